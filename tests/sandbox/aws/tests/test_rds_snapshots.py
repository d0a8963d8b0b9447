"""Amazon RDS as the plugin models it: snapshots, their types and quota, and who may use them."""

import unittest
from datetime import datetime, timezone

from rds_support import THERE, RdsTest


class Snapshots(RdsTest):
    def test_snapshots_come_in_pages_of_twenty_to_a_hundred(self):
        self.create()
        for number in range(45):
            self.snapshot(f"s{number:02}")
        sizes, names = [], []
        pages = self.rds.get_paginator("describe_db_snapshots")
        for page in pages.paginate(SnapshotType="manual", PaginationConfig={"PageSize": 20}):
            sizes.append(len(page["DBSnapshots"]))
            names.extend(snapshot["DBSnapshotIdentifier"] for snapshot in page["DBSnapshots"])
        self.assertEqual([20, 20, 5], sizes)
        self.assertEqual([f"s{number:02}" for number in range(45)], names)
        for size in (19, 101):
            self.assert_refused("InvalidParameterValue", self.rds.describe_db_snapshots, MaxRecords=size)
        self.assert_refused("InvalidParameterValue", self.rds.describe_db_snapshots, Marker="x")

    def test_a_snapshot_is_creating_for_as_long_as_the_settings_say(self):
        self.create()
        self.control("settings", rds_polls=2)
        self.assertEqual("creating", self.snapshot("s")["Status"])
        seen = [self.describe_snapshot("s") for _ in range(3)]
        self.assertEqual(["creating", "creating", "available"], [snapshot["Status"] for snapshot in seen])
        self.assertEqual([0, 50, 100], [snapshot["PercentProgress"] for snapshot in seen])
        # Not documented, but met: awslabs/rds-snapshot-tool#45, cloud-custodian#4970.
        self.assertEqual([False, False, True], ["SnapshotCreateTime" in snapshot for snapshot in seen])
        self.assertEqual([False, False, True], ["OriginalSnapshotCreateTime" in snapshot for snapshot in seen])

    def test_an_instance_is_backing_up_while_its_snapshot_is_made(self):
        self.create()
        self.control("settings", rds_polls=1)
        self.snapshot("s")
        self.assert_refused("InvalidDBInstanceState", self.snapshot, name="t")
        self.assertEqual(["backing-up", "available"], [self.instance_status() for _ in range(2)])
        self.snapshot("t")

    def test_a_snapshot_can_be_made_to_fail(self):
        self.create()
        self.control("settings", rds_polls=5)
        self.snapshot("s")
        self.control("rds/fail", snapshot="s")
        seen = [self.describe_snapshot("s") for _ in range(7)]
        self.assertEqual({"failed"}, {snapshot["Status"] for snapshot in seen})
        self.assertNotIn("SnapshotCreateTime", seen[0])
        self.assert_refused("InvalidDBSnapshotState", self.rds.delete_db_snapshot, DBSnapshotIdentifier="s")
        self.assertIn("NotFound", self.control_refusal("rds/fail", snapshot="x"))

    def test_a_snapshot_that_is_being_created_cannot_be_deleted_or_copied(self):
        self.create()
        self.control("settings", rds_polls=1)
        self.snapshot("s")
        self.assert_refused("InvalidDBSnapshotState", self.rds.delete_db_snapshot, DBSnapshotIdentifier="s")
        self.assert_refused(
            "InvalidDBSnapshotState",
            self.rds.copy_db_snapshot,
            SourceDBSnapshotIdentifier="s",
            TargetDBSnapshotIdentifier="t",
        )
        for _ in range(2):
            self.describe_snapshot("s")
        self.rds.copy_db_snapshot(SourceDBSnapshotIdentifier="s", TargetDBSnapshotIdentifier="t")
        self.assertEqual("creating", self.describe_snapshot("t")["Status"])
        self.rds.delete_db_snapshot(DBSnapshotIdentifier="s")
        self.assert_refused("DBSnapshotNotFound", self.describe_snapshot, name="s")

    def test_automated_snapshots_cannot_be_deleted(self):
        self.create()
        [automated] = self.rds.describe_db_snapshots(SnapshotType="automated")["DBSnapshots"]
        name = automated["DBSnapshotIdentifier"]
        self.assertTrue(name.startswith("rds:db-"))
        self.assert_refused("InvalidDBSnapshotState", self.rds.delete_db_snapshot, DBSnapshotIdentifier=name)
        # "If this identifier is for an automated snapshot, the SnapshotType parameter must also be specified."
        self.assert_refused("DBSnapshotNotFound", self.describe_snapshot, name=name)
        self.assertEqual("available", self.describe_snapshot(name, SnapshotType="automated")["Status"])

    def test_an_instance_that_is_not_available_cannot_be_snapshotted(self):
        self.create()
        self.rds.stop_db_instance(DBInstanceIdentifier="db")
        self.assert_refused("InvalidDBInstanceState", self.snapshot, name="s")
        self.rds.start_db_instance(DBInstanceIdentifier="db")
        self.assertEqual("available", self.snapshot("s")["Status"])

    def test_snapshots_can_be_backdated(self):
        self.create()
        self.snapshot("s")
        self.control("rds/backdate", snapshot="s", created_at="2026-01-31T12:00:00Z")
        snapshot = self.describe_snapshot("s")
        moment = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
        self.assertEqual(moment, snapshot["SnapshotCreateTime"])
        self.assertEqual(moment, snapshot["OriginalSnapshotCreateTime"])
        self.assertIn("NotFound", self.control_refusal("rds/backdate", snapshot="x", created_at="2026-01-31T12:00:00Z"))

    def test_snapshots_say_what_their_instance_was(self):
        instance = self.create(Tags=[{"Key": "team", "Value": "a"}], BackupRetentionPeriod=3, Port=5433)
        self.rds.create_option_group(
            OptionGroupName="own", EngineName="postgres", MajorEngineVersion="15", OptionGroupDescription="d"
        )
        created = self.snapshot("s")
        changes = {"AllocatedStorage": 30, "OptionGroupName": "own"}
        self.rds.modify_db_instance(DBInstanceIdentifier="db", ApplyImmediately=True, **changes)
        snapshot = self.describe_snapshot("s")
        self.assertEqual(created, snapshot)
        expected = {
            "AllocatedStorage": 20,
            "AvailabilityZone": "us-east-1a",
            "BackupRetentionPeriod": 3,
            "DBInstanceIdentifier": "db",
            "DBSnapshotArn": f"arn:aws:rds:us-east-1:{self.account}:snapshot:s",
            "DbiResourceId": instance["DbiResourceId"],
            "Encrypted": False,
            "Engine": "postgres",
            "EngineVersion": "15.4",
            "IAMDatabaseAuthenticationEnabled": False,
            "InstanceCreateTime": instance["InstanceCreateTime"],
            "MasterUsername": "master",
            "OptionGroupName": "default:postgres-15",
            "Port": 5433,
            "SnapshotType": "manual",
            "SourceRegion": "us-east-1",
            "Status": "available",
            "StorageEncryptionType": "none",
            "TagList": [],
        }
        self.assertEqual(expected, {name: snapshot[name] for name in expected})
        self.assertNotIn("KmsKeyId", snapshot)
        self.assertNotIn("SourceDBSnapshotIdentifier", snapshot)
        self.assertEqual("own", self.snapshot("t")["OptionGroupName"])

    def test_tags_of_the_instance_come_along_if_it_says_so_and_none_are_given(self):
        mine, given = [{"Key": "team", "Value": "a"}], [{"Key": "for", "Value": "b"}]
        self.create("copies", Tags=mine, CopyTagsToSnapshot=True)
        self.create("keeps", Tags=mine)
        self.assertEqual(mine, self.snapshot("s1", "copies")["TagList"])
        self.assertEqual(given, self.snapshot("s2", "copies", Tags=given)["TagList"])
        self.assertEqual([], self.snapshot("s3", "keeps")["TagList"])
        arn = self.describe_snapshot("s3")["DBSnapshotArn"]
        self.rds.add_tags_to_resource(ResourceName=arn, Tags=given)
        self.assertEqual(given, self.describe_snapshot("s3")["TagList"])
        self.rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["for"])
        self.assertEqual([], self.describe_snapshot("s3")["TagList"])

    def test_tags_have_few_signs(self):
        self.create()
        good = [{"Key": "steward:taken-at", "Value": "2026-11-23T02:00:00Z a_b./=+-@ä"}]
        arn = self.snapshot("s", Tags=good)["DBSnapshotArn"]
        for key, value in [("a", "x,y"), ("a", "{}"), ("a*", ""), ("aws:a", ""), ("rds:a", ""), ("", "")]:
            tags = [{"Key": key, "Value": value}]
            self.assert_refused("InvalidParameterValue", self.snapshot, name="t", Tags=tags)
            self.assert_refused(
                "InvalidParameterValue", self.rds.add_tags_to_resource, ResourceName=arn, Tags=tags
            )

    def test_members_of_clusters_have_no_snapshots(self):
        self.rds.create_db_cluster(
            DBClusterIdentifier="c", Engine="aurora-postgresql", MasterUsername="m", MasterUserPassword="not-a-secret"
        )
        self.rds.create_db_instance(
            DBInstanceIdentifier="member",
            DBInstanceClass="db.r5.large",
            Engine="aurora-postgresql",
            DBClusterIdentifier="c",
        )
        message = self.assert_refused("InvalidParameterValue", self.snapshot, name="s", instance="member")
        self.assertIn("CreateDBClusterSnapshot", message)
        self.assertEqual([], self.names())


class Types(RdsTest):
    def setUp(self):
        super().setUp()
        # Without automated backups, so that there is only what is put there.
        self.instance = self.create(BackupRetentionPeriod=0)
        automated = {"type": "automated", "taken_at": "2026-11-22T03:04:05Z"}
        self.seed({"id": "m"}, automated, {"type": "awsbackup", "id": "b"})

    def seed(self, *snapshots):
        return self.control("rds/snapshots", snapshots=[{"instance": "db", **each} for each in snapshots])["snapshots"]

    def test_a_type_is_asked_for_or_it_is_manual_and_automated(self):
        automated = "rds:db-2026-11-22-03-04"
        self.assertEqual(["m", automated], self.names())
        self.assertEqual(["m"], self.names(SnapshotType="manual"))
        self.assertEqual([automated], self.names(SnapshotType="automated"))
        self.assertEqual(["b"], self.names(SnapshotType="awsbackup"))
        self.assertEqual([], self.names(SnapshotType="shared"))
        self.assertEqual([automated], self.names(Filters=[{"Name": "snapshot-type", "Values": ["automated"]}]))
        self.assertEqual([], self.names(SnapshotType="manual", Filters=[{"Name": "snapshot-type", "Values": ["x"]}]))
        self.assert_refused("InvalidParameterValue", self.names, SnapshotType="x")

    def test_filters_take_names_arns_and_resource_ids(self):
        self.create("other", BackupRetentionPeriod=0)
        self.snapshot("o", "other")
        resource_id = self.instance["DbiResourceId"]
        for wanted in (
            {"DBInstanceIdentifier": "DB"},
            {"DbiResourceId": resource_id},
            {"Filters": [{"Name": "db-instance-id", "Values": [self.instance["DBInstanceArn"]]}]},
            {"Filters": [{"Name": "dbi-resource-id", "Values": [resource_id, "db-X"]}]},
            {"Filters": [{"Name": "db-snapshot-id", "Values": ["m"]}]},
        ):
            self.assertEqual(["m"], self.names(SnapshotType="manual", **wanted), wanted)
        engine = [{"Name": "engine", "Values": ["postgres"]}]
        self.assertEqual(["m", "o"], self.names(Filters=engine, SnapshotType="manual"))
        self.assertEqual(
            [], self.names(DBInstanceIdentifier="db", Filters=[{"Name": "db-instance-id", "Values": ["other"]}])
        )
        self.assert_refused("InvalidParameterValue", self.names, Filters=[{"Name": "x", "Values": ["y"]}])

    def test_only_manual_ones_may_be_deleted(self):
        for name in ("rds:db-2026-11-22-03-04", "b"):
            self.assert_refused("InvalidDBSnapshotState", self.rds.delete_db_snapshot, DBSnapshotIdentifier=name)
        self.rds.delete_db_snapshot(DBSnapshotIdentifier="m")
        self.assert_refused("DBSnapshotNotFound", self.rds.delete_db_snapshot, DBSnapshotIdentifier="m")

    def test_the_manual_ones_of_a_deleted_instance_remain(self):
        self.rds.delete_db_instance(DBInstanceIdentifier="db", FinalDBSnapshotIdentifier="final")
        self.assertEqual(["final", "m"], self.names())
        again = self.create(BackupRetentionPeriod=0)
        self.assertNotEqual(self.instance["DbiResourceId"], again["DbiResourceId"])
        self.assertEqual(["final", "m"], self.names(DbiResourceId=self.instance["DbiResourceId"]))
        self.assertEqual([], self.names(DbiResourceId=again["DbiResourceId"]))

    def test_seeded_ones_are_as_told(self):
        [name] = self.seed(
            {
                "id": "S",
                "taken_at": "2026-01-31T12:00:00Z",
                "created_at": "2026-02-01T12:00:00Z",
                "tags": {"a": "b"},
                "status": "failed",
            }
        )
        self.assertEqual("s", name)
        snapshot = self.describe_snapshot("s")
        self.assertEqual(("failed", [{"Key": "a", "Value": "b"}]), (snapshot["Status"], snapshot["TagList"]))
        self.seed({"id": "t", "taken_at": "2026-01-31T12:00:00Z", "created_at": "2026-02-01T12:00:00Z"})
        snapshot = self.describe_snapshot("t")
        self.assertEqual(datetime(2026, 1, 31, 12, tzinfo=timezone.utc), snapshot["OriginalSnapshotCreateTime"])
        self.assertEqual(datetime(2026, 2, 1, 12, tzinfo=timezone.utc), snapshot["SnapshotCreateTime"])
        for wrong in ({"id": "m"}, {"type": "x"}, {"instance": "x"}, {"what": 1}):
            self.control_refusal("rds/snapshots", snapshots=[{"instance": "db", **wrong}])


class Quota(RdsTest):
    def setUp(self):
        super().setUp()
        self.create()
        self.control("settings", rds_manual_snapshots=2)

    def used_and_most(self, rds=None):
        quotas = (rds or self.rds).describe_account_attributes()["AccountQuotas"]
        return [(quota["Used"], quota["Max"]) for quota in quotas if quota["AccountQuotaName"] == "ManualSnapshots"]

    def test_manual_snapshots_count_and_automated_ones_do_not(self):
        self.assertEqual([(0, 2)], self.used_and_most())
        self.snapshot("s1")
        self.rds.copy_db_snapshot(SourceDBSnapshotIdentifier="s1", TargetDBSnapshotIdentifier="s2")
        self.assertEqual([(2, 2)], self.used_and_most())
        self.assertEqual([(0, 2)], self.used_and_most(self.client("rds", THERE)))
        self.assertEqual("Cannot create more than 2 manual snapshots", self.assert_full(self.snapshot, name="s3"))
        self.assert_full(self.rds.copy_db_snapshot, SourceDBSnapshotIdentifier="s1", TargetDBSnapshotIdentifier="s3")
        self.assert_full(self.rds.stop_db_instance, DBInstanceIdentifier="db", DBSnapshotIdentifier="s3")
        self.assert_full(self.rds.delete_db_instance, DBInstanceIdentifier="db", FinalDBSnapshotIdentifier="s3")
        self.assertEqual("available", self.instance_status())
        automated = {"instance": "db", "type": "automated", "taken_at": "2026-01-01T00:00:00Z"}
        self.control("rds/snapshots", snapshots=[automated])
        self.rds.delete_db_snapshot(DBSnapshotIdentifier="s1")
        self.snapshot("s3")

    def assert_full(self, operation, **parameters):
        return self.assert_refused("SnapshotQuotaExceeded", operation, **parameters)


class Sharing(RdsTest):
    def setUp(self):
        super().setUp()
        self.friend = str(int(self.account) + 100_000_000_000)
        self.friends = self.client("rds", access_key_id=self.friend)

    def share(self, name, *accounts, rds=None):
        return (rds or self.rds).modify_db_snapshot_attribute(
            DBSnapshotIdentifier=name, AttributeName="restore", ValuesToAdd=list(accounts)
        )

    def shared_with(self, name):
        found = self.rds.describe_db_snapshot_attributes(DBSnapshotIdentifier=name)["DBSnapshotAttributesResult"]
        self.assertEqual(name, found["DBSnapshotIdentifier"])
        [attribute] = found["DBSnapshotAttributes"]
        self.assertEqual("restore", attribute["AttributeName"])
        return attribute["AttributeValues"]

    def test_whom_a_snapshot_is_shared_with_sees_it_when_asked_for(self):
        self.create(Tags=[{"Key": "a", "Value": "b"}], CopyTagsToSnapshot=True)
        arn = self.snapshot("s")["DBSnapshotArn"]
        self.assertEqual([], self.shared_with("s"))
        self.share("s", self.friend)
        self.share("s", self.friend, "999999999999")
        self.assertEqual([self.friend, "999999999999"], self.shared_with("s"))
        self.assertEqual([], self.names(self.friends))
        self.assertEqual([arn], self.names(self.friends, IncludeShared=True))
        self.assertNotIn(arn, self.names(self.friends, IncludePublic=True))
        [seen] = self.friends.describe_db_snapshots(SnapshotType="shared")["DBSnapshots"]
        self.assertEqual(("shared", arn, []), (seen["SnapshotType"], seen["DBSnapshotArn"], seen["TagList"]))
        self.assertEqual([], self.names(self.client("rds", THERE, self.friend), SnapshotType="shared"))
        self.assert_refused("DBSnapshotNotFound", self.friends.delete_db_snapshot, DBSnapshotIdentifier="s")
        self.rds.modify_db_snapshot_attribute(
            DBSnapshotIdentifier="s", AttributeName="restore", ValuesToRemove=[self.friend]
        )
        self.assertEqual([], self.names(self.friends, SnapshotType="shared"))

    def test_a_public_snapshot_is_seen_by_all_that_ask_for_such(self):
        self.create()
        arn = self.snapshot("s")["DBSnapshotArn"]
        self.assertNotIn(arn, self.names(self.friends, SnapshotType="public"))
        self.share("s", "all")
        self.assertIn(arn, self.names(self.friends, SnapshotType="public"))
        self.assertIn(arn, self.names(self.friends, IncludePublic=True))
        self.assertEqual([], self.names(self.friends, SnapshotType="shared"))

    def test_it_is_for_twenty_accounts_at_most(self):
        self.create()
        self.snapshot("s")
        self.share("s", *(f"{number:012}" for number in range(20)))
        self.assert_refused("SharedSnapshotQuotaExceeded", self.share_with_friend)
        self.assertEqual(20, len(self.shared_with("s")))

    def share_with_friend(self):
        self.share("s", self.friend)

    def test_what_cannot_be_shared_is_refused(self):
        self.create()
        [automated] = self.names(SnapshotType="automated")
        self.create("default", StorageEncrypted=True)
        self.create("own", StorageEncrypted=True, KmsKeyId=self.key())
        self.snapshot("s", "default")
        self.snapshot("t", "own")
        for name, value in [(automated, self.friend), ("s", self.friend), ("t", "all"), ("t", "x"), ("t", "1234")]:
            with self.subTest(name=name, value=value):
                self.assert_refused(
                    "InvalidParameterValue",
                    self.rds.modify_db_snapshot_attribute,
                    DBSnapshotIdentifier=name,
                    AttributeName="restore",
                    ValuesToAdd=[value],
                )
        self.assert_refused(
            "DBSnapshotNotFound", self.rds.describe_db_snapshot_attributes, DBSnapshotIdentifier="x"
        )
        self.share("t", self.friend)
        self.control("rds/fail", snapshot="t")
        self.assert_refused(
            "InvalidDBSnapshotState",
            self.rds.modify_db_snapshot_attribute,
            DBSnapshotIdentifier="t",
            AttributeName="restore",
            ValuesToAdd=["999999999999"],
        )


if __name__ == "__main__":
    unittest.main()
