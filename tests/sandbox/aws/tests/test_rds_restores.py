"""Amazon RDS as the plugin models it: what a restored instance has, and what it lost."""

import unittest
from datetime import datetime, timedelta, timezone

from rds_support import THERE, RdsTest


class RestoreTest(RdsTest):
    def setUp(self):
        super().setUp()
        self.network = self.control("network")
        self.make_subnet_group()

    def make_subnet_group(self, name="g", rds=None, network=None):
        (rds or self.rds).create_db_subnet_group(
            DBSubnetGroupName=name,
            DBSubnetGroupDescription="d",
            SubnetIds=(network or self.network)["private_subnets"],
        )

    def describe(self, name="db", rds=None):
        return (rds or self.rds).describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def restore(self, name="new", snapshot="s", rds=None, **settings):
        operation = (rds or self.rds).restore_db_instance_from_db_snapshot
        return operation(DBInstanceIdentifier=name, DBSnapshotIdentifier=snapshot, **settings)["DBInstance"]

    def refuse(self, code, **settings):
        return self.assert_refused(
            code,
            self.rds.restore_db_instance_from_db_snapshot,
            **{"DBInstanceIdentifier": "new", "DBSnapshotIdentifier": "s", **settings},
        )

    def create_with_everything(self):
        self.rds.create_db_parameter_group(
            DBParameterGroupName="own", DBParameterGroupFamily="postgres15", Description="d"
        )
        return self.create(
            BackupRetentionPeriod=9,
            CACertificateIdentifier="rds-ca-rsa4096-g1",
            CopyTagsToSnapshot=True,
            DBInstanceClass="db.t3.large",
            DBName="shop",
            DBParameterGroupName="own",
            DBSubnetGroupName="g",
            DeletionProtection=True,
            EnableCloudwatchLogsExports=["postgresql"],
            EnableIAMDatabaseAuthentication=True,
            MaxAllocatedStorage=100,
            MonitoringInterval=60,
            MonitoringRoleArn="arn:aws:iam::123456789012:role/monitoring",
            MultiAZ=True,
            Port=5433,
            PreferredBackupWindow="03:00-03:30",
            PreferredMaintenanceWindow="sun:05:00-sun:05:30",
            PubliclyAccessible=False,
            StorageEncrypted=True,
            StorageType="gp2",
            Tags=[{"Key": "of", "Value": "db"}],
            VpcSecurityGroupIds=[self.network["security_groups"]["database"]],
        )


class Restores(RestoreTest):
    def test_what_a_restore_keeps_and_what_it_loses(self):
        source = self.create_with_everything()
        self.snapshot("s")
        self.restore()
        restored = self.describe("new")
        kept = (
            "AllocatedStorage",
            "BackupRetentionPeriod",
            "DBInstanceClass",
            "DBName",
            "Engine",
            "EngineVersion",
            "KmsKeyId",
            "MasterUsername",
            "PreferredBackupWindow",
            "StorageEncrypted",
            "TagList",
        )
        self.assertEqual({name: source[name] for name in kept}, {name: restored[name] for name in kept})
        self.assertEqual(5433, restored["Endpoint"]["Port"])
        lost = {
            "CopyTagsToSnapshot": False,
            "DeletionProtection": False,
            "IAMDatabaseAuthenticationEnabled": False,
            "MonitoringInterval": 0,
            "MultiAZ": False,
            "PubliclyAccessible": True,
            "StorageType": "gp3",
        }
        self.assertEqual(lost, {name: restored[name] for name in lost})
        self.assertEqual("default.postgres15", restored["DBParameterGroups"][0]["DBParameterGroupName"])
        self.assertNotEqual(source["VpcSecurityGroups"], restored["VpcSecurityGroups"])
        for name in ("EnabledCloudwatchLogsExports", "DBSubnetGroup", "MonitoringRoleArn"):
            self.assertFalse(restored.get(name), name)
        for name in ("MaxAllocatedStorage", "PreferredMaintenanceWindow", "CACertificateIdentifier", "DbiResourceId"):
            self.assertNotEqual(source[name], restored.get(name), name)

    def test_settings_of_the_call_are_taken(self):
        self.create_with_everything()
        self.snapshot("s")
        group = self.network["security_groups"]["database"]
        wanted = {
            "BackupRetentionPeriod": 3,
            "CopyTagsToSnapshot": True,
            "DBInstanceClass": "db.m5.large",
            "DeletionProtection": True,
            "MultiAZ": True,
            "PubliclyAccessible": False,
            "StorageType": "gp2",
        }
        self.restore(
            **wanted,
            CACertificateIdentifier="rds-ca-rsa4096-g1",
            DBParameterGroupName="own",
            DBSubnetGroupName="g",
            EnableCloudwatchLogsExports=["postgresql"],
            EnableIAMDatabaseAuthentication=True,
            Port=5555,
            Tags=[{"Key": "of", "Value": "new"}],
            VpcSecurityGroupIds=[group],
        )
        restored = self.describe("new")
        self.assertEqual(wanted, {name: restored[name] for name in wanted})
        self.assertTrue(restored["IAMDatabaseAuthenticationEnabled"])
        self.assertEqual(["postgresql"], restored["EnabledCloudwatchLogsExports"])
        self.assertEqual("rds-ca-rsa4096-g1", restored["CACertificateIdentifier"])
        self.assertEqual([{"Key": "of", "Value": "new"}], restored["TagList"])
        self.assertEqual([group], [each["VpcSecurityGroupId"] for each in restored["VpcSecurityGroups"]])
        parameters = [{"DBParameterGroupName": "own", "ParameterApplyStatus": "in-sync"}]
        self.assertEqual(parameters, restored["DBParameterGroups"])
        self.assertEqual("g", restored["DBSubnetGroup"]["DBSubnetGroupName"])

    def test_a_subnet_group_with_a_way_out_makes_it_public_unless_it_is_said_otherwise(self):
        self.create()
        self.snapshot("s")
        # The reference system's network has an internet gateway.
        self.assertTrue(self.restore(DBSubnetGroupName="g")["PubliclyAccessible"])
        self.assertFalse(self.restore("other", DBSubnetGroupName="g", PubliclyAccessible=False)["PubliclyAccessible"])

    def test_what_is_not_there_or_does_not_fit_is_refused(self):
        self.create()
        self.snapshot("s")
        vpc = self.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        foreign = self.client("ec2").create_security_group(GroupName="x", Description="d", VpcId=vpc)["GroupId"]
        for code, settings in (
            ("DBSnapshotNotFound", {"DBSnapshotIdentifier": "x"}),
            ("DBInstanceAlreadyExists", {"DBInstanceIdentifier": "DB"}),
            ("DBSubnetGroupNotFoundFault", {"DBSubnetGroupName": "x"}),
            ("DBParameterGroupNotFound", {"DBParameterGroupName": "x"}),
            ("OptionGroupNotFoundFault", {"OptionGroupName": "x"}),
            ("InvalidParameterCombination", {"DBSubnetGroupName": "g", "VpcSecurityGroupIds": [foreign]}),
            ("InvalidParameterCombination", {"MultiAZ": True, "AvailabilityZone": "us-east-1a"}),
            ("InvalidParameterCombination", {"ManageMasterUserPassword": True}),
            ("InvalidParameterValue", {"AllocatedStorage": 10}),
            ("InvalidParameterValue", {"Engine": "mysql"}),
            ("InvalidParameterValue", {"VpcSecurityGroupIds": ["sg-none"]}),
        ):
            with self.subTest(code, **settings):
                self.refuse(code, **settings)
        self.control("settings", rds_storage_gib=30)
        self.refuse("StorageQuotaExceeded")
        self.control("rds/fail", snapshot="s")
        self.refuse("InvalidDBSnapshotState")
        left = self.rds.describe_db_instances()["DBInstances"]
        self.assertEqual(["db"], [each["DBInstanceIdentifier"] for each in left])

    def test_without_its_key_nothing_is_restored(self):
        key = self.key()
        self.create(StorageEncrypted=True, KmsKeyId=key)
        self.snapshot("s")
        self.client("kms").disable_key(KeyId=key)
        self.refuse("KMSKeyNotAccessibleFault")

    def test_a_copy_elsewhere_brings_no_groups_of_where_it_came_from(self):
        self.create_with_everything()
        arn = self.snapshot("s")["DBSnapshotArn"]
        there = self.client("rds", THERE)
        key = self.key(THERE)
        there.copy_db_snapshot(
            SourceDBSnapshotIdentifier=arn, TargetDBSnapshotIdentifier="c", KmsKeyId=key, CopyTags=True
        )
        self.restore(snapshot="c", rds=there)
        restored = self.describe("new", there)
        self.assertEqual((key, [{"Key": "of", "Value": "db"}]), (restored["KmsKeyId"], restored["TagList"]))
        self.assertEqual("eu-west-1a", restored["AvailabilityZone"])
        self.assertNotIn("DBSubnetGroup", restored)

    def test_what_was_to_be_available_can_end_otherwise(self):
        self.create()
        self.snapshot("s")
        self.control("settings", rds_polls=1)
        for outcome in ("incompatible-restore", "storage-full", "incompatible-parameters"):
            self.control("rds/outcomes", instance=outcome, status=outcome)
            self.restore(outcome)
            self.assertEqual(["creating", outcome, outcome], [self.instance_status(outcome) for _ in range(3)])
            self.assert_refused("InvalidDBInstanceState", self.snapshot, name="x", instance=outcome)
        self.rds.delete_db_instance(DBInstanceIdentifier="storage-full", SkipFinalSnapshot=True)
        self.restore("storage-full")
        self.assertEqual(["creating", "available"], [self.instance_status("storage-full") for _ in range(2)])
        self.assertIn("no state", self.control_refusal("rds/outcomes", instance="x", status="stopped"))

    def test_storage_is_loaded_while_a_restored_instance_is_available(self):
        self.create()
        self.snapshot("s")
        self.control("settings", rds_polls=1, rds_loading_polls=4)
        self.restore()
        members = "DBInstanceStatus", "StorageOperationStatus", "StorageOperationPercentProgress"
        described = [self.describe("new") for _ in range(6)]
        seen = [tuple(instance.get(member) for member in members) for instance in described]
        loading = [("available", "Initializing", percent) for percent in (0, 25, 50, 75)]
        self.assertEqual([("creating", None, None), *loading, ("available", None, None)], seen)
        self.restore("other")
        self.control("settle")
        self.assertNotIn("StorageOperationStatus", self.describe("other"))

    def test_shared_ones_are_restored_by_their_arn_without_their_tags(self):
        self.create(CopyTagsToSnapshot=True, Tags=[{"Key": "of", "Value": "db"}])
        arn = self.snapshot("s")["DBSnapshotArn"]
        other = str(int(self.account) + 500_000)
        rds = self.client("rds", access_key_id=other)
        wanted = {"DBInstanceIdentifier": "new", "DBSnapshotIdentifier": arn}
        self.assert_refused("DBSnapshotNotFound", rds.restore_db_instance_from_db_snapshot, **wanted)
        self.rds.modify_db_snapshot_attribute(
            DBSnapshotIdentifier="s", AttributeName="restore", ValuesToAdd=[other]
        )
        self.assertEqual([], rds.restore_db_instance_from_db_snapshot(**wanted)["DBInstance"]["TagList"])


class PointsInTime(RestoreTest):
    def restore(self, target="new", **settings):
        operation = self.rds.restore_db_instance_to_point_in_time
        return operation(TargetDBInstanceIdentifier=target, **settings)["DBInstance"]

    def refuse(self, code, **settings):
        operation = self.rds.restore_db_instance_to_point_in_time
        return self.assert_refused(code, operation, TargetDBInstanceIdentifier="another", **settings)

    def test_a_restore_has_defaults_for_what_its_source_had(self):
        self.create_with_everything()
        self.restore(SourceDBInstanceIdentifier="db", UseLatestRestorableTime=True, MaxAllocatedStorage=50)
        restored = self.describe("new")
        expected = {"MultiAZ": False, "DeletionProtection": False, "MaxAllocatedStorage": 50, "BackupRetentionPeriod": 9}
        self.assertEqual(expected, {name: restored[name] for name in expected})

    def test_times_are_within_the_window(self):
        self.create()
        now = datetime.now(timezone.utc)
        self.control("rds/instances", instance="db", latest_restorable_time=now.isoformat())
        of_it = {"SourceDBInstanceIdentifier": "db"}
        self.restore(RestoreTime=now - timedelta(milliseconds=1), **of_it)
        for moment in (now + timedelta(minutes=1), now - timedelta(days=1)):
            self.refuse("InvalidParameterValue", RestoreTime=moment, **of_it)
        self.refuse("InvalidParameterCombination", **of_it)
        self.refuse("InvalidParameterCombination", RestoreTime=now, UseLatestRestorableTime=True, **of_it)

    def test_without_automated_backups_there_is_no_point_in_time(self):
        self.create(BackupRetentionPeriod=0)
        latest = {"UseLatestRestorableTime": True}
        self.refuse("PointInTimeRestoreNotEnabled", SourceDBInstanceIdentifier="db", **latest)
        self.refuse("DBInstanceNotFound", SourceDBInstanceIdentifier="x", **latest)
        self.refuse("DBInstanceAutomatedBackupNotFound", SourceDbiResourceId="db-X", **latest)
        self.refuse("InvalidParameterCombination", **latest)

    def test_retained_and_replicated_backups_are_sources_too(self):
        source = self.create()
        there = self.client("rds", THERE)
        there.start_db_instance_automated_backups_replication(SourceDBInstanceArn=source["DBInstanceArn"])
        [backup] = there.describe_db_instance_automated_backups()["DBInstanceAutomatedBackups"]
        self.rds.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True, DeleteAutomatedBackups=False)
        self.restore(SourceDbiResourceId=source["DbiResourceId"], UseLatestRestorableTime=True)
        self.assertEqual("available", self.instance_status("new"))
        there.restore_db_instance_to_point_in_time(
            SourceDBInstanceAutomatedBackupsArn=backup["DBInstanceAutomatedBackupsArn"],
            TargetDBInstanceIdentifier="new",
            UseLatestRestorableTime=True,
        )
        self.assertEqual("eu-west-1a", self.describe("new", there)["AvailabilityZone"])


if __name__ == "__main__":
    unittest.main()
