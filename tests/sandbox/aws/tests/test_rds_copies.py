"""Amazon RDS as the plugin models it: copies of snapshots."""

import unittest

from rds_support import HERE, THERE, RdsTest

TAGS = [{"Key": "team", "Value": "a"}]
OTHER_TAGS = [{"Key": "for", "Value": "b"}]


class CopyTest(RdsTest):
    def setUp(self):
        super().setUp()
        self.there = self.client("rds", THERE)

    def arn(self, name, region=HERE):
        return f"arn:aws:rds:{region}:{self.account}:snapshot:{name}"

    def copy(self, source, target="copy", rds=None, **settings):
        answer = (rds or self.there).copy_db_snapshot(
            SourceDBSnapshotIdentifier=source, TargetDBSnapshotIdentifier=target, **settings
        )
        return answer["DBSnapshot"]

    def assert_copy_refused(self, code, source, **settings):
        return self.assert_refused(code, self.copy, source=source, **settings)


class Copies(CopyTest):
    def test_a_copy_in_another_region_is_a_manual_snapshot_that_says_where_it_is_from(self):
        instance = self.create()
        self.snapshot("s")
        self.control("rds/backdate", snapshot="s", created_at="2026-01-31T12:00:00Z")
        source = self.describe_snapshot("s")
        copy = self.copy(self.arn("s"))
        self.assertEqual(copy, self.describe_snapshot("copy", self.there))
        expected = {
            "DBSnapshotArn": self.arn("copy", THERE),
            "DBInstanceIdentifier": "db",
            "DbiResourceId": instance["DbiResourceId"],
            "SnapshotType": "manual",
            "SourceRegion": HERE,
            "SourceDBSnapshotIdentifier": self.arn("s"),
            "OriginalSnapshotCreateTime": source["OriginalSnapshotCreateTime"],
            "SnapshotDatabaseTime": source["SnapshotDatabaseTime"],
            "InstanceCreateTime": instance["InstanceCreateTime"],
            "Encrypted": False,
            "Status": "available",
        }
        self.assertEqual(expected, {name: copy[name] for name in expected})
        self.assertLess(source["SnapshotCreateTime"], copy["SnapshotCreateTime"])
        again = self.copy(self.arn("copy", THERE), "back", self.rds)
        self.assertEqual(source["OriginalSnapshotCreateTime"], again["OriginalSnapshotCreateTime"])
        self.assertEqual(THERE, again["SourceRegion"])

    def test_a_copy_in_the_same_region_is_named_or_by_arn(self):
        self.create()
        [automated] = self.names(SnapshotType="automated")
        for number, source in enumerate((automated, self.arn(automated))):
            copy = self.copy(source, f"copy{number}", self.rds)
            self.assertEqual(("manual", HERE), (copy["SnapshotType"], copy["SourceRegion"]))
            self.assertNotIn("SourceDBSnapshotIdentifier", copy)

    def test_what_is_not_there_cannot_be_copied_nor_over_what_is(self):
        self.create()
        self.snapshot("s")
        self.assert_copy_refused("DBSnapshotNotFound", "s")
        self.assert_copy_refused("DBSnapshotNotFound", self.arn("x"))
        self.assert_copy_refused("InvalidParameterValue", "arn:aws:rds:us-east-1:1:db:s")
        for name in ("-a", "a-", "a--b", "1a", "rds:a", "a" * 256):
            self.assert_copy_refused("InvalidParameterValue", self.arn("s"), target=name)
        self.copy(self.arn("s"))
        self.assert_copy_refused("DBSnapshotAlreadyExists", self.arn("s"))
        self.control("rds/fail", snapshot="s")
        self.assert_copy_refused("InvalidDBSnapshotState", self.arn("s"), target="t")

    def test_tags_come_along_when_asked_for_and_none_are_given(self):
        # The instance's own tags must not come by another way.
        self.create(Tags=OTHER_TAGS, CopyTagsToSnapshot=True)
        self.snapshot("s", Tags=TAGS)
        self.assertEqual([], self.copy(self.arn("s"), "c1")["TagList"])
        self.assertEqual(TAGS, self.copy(self.arn("s"), "c2", CopyTags=True)["TagList"])
        self.assertEqual(OTHER_TAGS, self.copy(self.arn("s"), "c3", CopyTags=True, Tags=OTHER_TAGS)["TagList"])
        bad = [{"Key": "a", "Value": "x,y"}]
        self.assert_copy_refused("InvalidParameterValue", self.arn("s"), Tags=bad)

    def test_an_option_group_stays_where_it_is(self):
        for rds, name in ((self.rds, "own"), (self.there, "theirs")):
            rds.create_option_group(
                OptionGroupName=name, EngineName="postgres", MajorEngineVersion="15", OptionGroupDescription="d"
            )
        self.create("own", OptionGroupName="own")
        self.create("plain")
        self.snapshot("s", "own")
        self.snapshot("p", "plain")
        self.assertEqual("default:postgres-15", self.copy(self.arn("p"), "c1")["OptionGroupName"])
        self.assert_copy_refused("InvalidParameterValue", self.arn("s"))
        self.assert_copy_refused("OptionGroupNotFoundFault", self.arn("s"), OptionGroupName="own")
        self.assertEqual("theirs", self.copy(self.arn("s"), "c2", OptionGroupName="theirs")["OptionGroupName"])
        default = "default:postgres-15"
        self.assertEqual(default, self.copy(self.arn("s"), "c3", OptionGroupName=default)["OptionGroupName"])
        self.assertEqual("own", self.copy("s", "c4", self.rds)["OptionGroupName"])


class Time(CopyTest):
    def setUp(self):
        super().setUp()
        self.create()

    def statuses(self, *names):
        found = self.there.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
        has = {snapshot["DBSnapshotIdentifier"]: snapshot["Status"] for snapshot in found}
        return [has[name] for name in names]

    def test_a_copy_takes_time(self):
        self.snapshot("s")
        self.control("settings", rds_polls=2)
        self.assertEqual("creating", self.copy(self.arn("s"))["Status"])
        seen = [self.describe_snapshot("copy", self.there) for _ in range(3)]
        self.assertEqual(["creating", "creating", "available"], [copy["Status"] for copy in seen])
        self.assertEqual([0, 50, 100], [copy["PercentProgress"] for copy in seen])
        self.assertEqual([False, False, True], ["SnapshotCreateTime" in copy for copy in seen])
        self.assertEqual("available", self.describe_snapshot("s")["Status"])

    def test_copies_of_one_instance_wait_for_each_other(self):
        self.create("other")
        for name, instance in (("s1", "db"), ("s2", "db"), ("o", "other")):
            self.snapshot(name, instance)
        self.control("settings", rds_polls=1)
        for name in ("s1", "s2", "o"):
            self.copy(self.arn(name), name)
        self.assertEqual(["creating", "creating", "creating"], self.statuses("s1", "s2", "o"))
        self.assertEqual(["available", "creating", "available"], self.statuses("s1", "s2", "o"))
        self.assertEqual(["available", "available", "available"], self.statuses("s1", "s2", "o"))

    def test_a_copy_fails_when_its_source_goes(self):
        self.snapshot("s")
        self.copy(self.arn("s"), "done")
        self.control("settings", rds_polls=1)
        self.copy(self.arn("s"))
        self.assert_refused("InvalidDBSnapshotState", self.there.delete_db_snapshot, DBSnapshotIdentifier="copy")
        self.rds.delete_db_snapshot(DBSnapshotIdentifier="s")
        self.assertEqual(["failed", "available"], self.statuses("copy", "done"))

    def test_twenty_copies_into_a_region_may_be_in_progress(self):
        for number in range(21):
            self.snapshot(f"s{number}")
        self.control("settings", rds_polls=1)
        self.copy("s0", "here", self.rds)
        for number in range(20):
            self.copy(self.arn(f"s{number}"), f"s{number}")
        message = self.assert_copy_refused("SnapshotQuotaExceeded", self.arn("s20"), target="s20")
        self.assertIn("20", message)
        self.copy("s20", "here-too", self.rds)
        self.copy(self.arn("s20"), "s20", self.client("rds", "eu-central-1"))
        for _ in range(3):
            self.statuses()
        self.copy(self.arn("s20"), "s20")


class Keys(CopyTest):
    def test_an_encrypted_copy_in_another_region_needs_a_key_of_that_region(self):
        here, there = self.key(), self.key(THERE)
        self.create(StorageEncrypted=True, KmsKeyId=here)
        self.assertEqual(here, self.snapshot("s")["KmsKeyId"])
        self.assert_copy_refused("InvalidParameterValue", self.arn("s"))
        for wrong in (here, "alias/none", "None", there[:-4] + "0000"):
            self.assert_copy_refused("KMSKeyNotAccessibleFault", self.arn("s"), KmsKeyId=wrong)
        names = [there, there.split("/")[1], "alias/backup", there.split(":key/")[0] + ":alias/backup"]
        kms = self.client("kms", THERE)
        kms.create_alias(AliasName="alias/backup", TargetKeyId=there)
        for number, name in enumerate(names):
            copy = self.copy(self.arn("s"), f"c{number}", KmsKeyId=name)
            self.assertEqual((True, there), (copy["Encrypted"], copy["KmsKeyId"]))
        self.assertEqual(here, self.copy("s", "same", self.rds)["KmsKeyId"])
        kms.disable_key(KeyId=there)
        self.assert_copy_refused("KMSKeyNotAccessibleFault", self.arn("s"), KmsKeyId=there)
        self.client("kms").disable_key(KeyId=here)
        message = self.assert_copy_refused("KMSKeyNotAccessibleFault", self.arn("s"), KmsKeyId="alias/aws/rds")
        self.assertIn("source", message)

    def test_a_key_encrypts_a_copy_of_what_is_not(self):
        self.create()
        self.snapshot("s")
        copy = self.copy(self.arn("s"), KmsKeyId="alias/aws/rds")
        self.assertTrue(copy["Encrypted"])
        key = self.client("kms", THERE).describe_key(KeyId=copy["KmsKeyId"])["KeyMetadata"]
        self.assertEqual("AWS", key["KeyManager"])
        self.assertFalse(self.copy(self.arn("s"), "plain")["Encrypted"])

    def test_an_unencrypted_copy_of_an_encrypted_instance_cannot_be_had(self):
        self.create(StorageEncrypted=True)
        self.snapshot("s")
        self.assertTrue(self.copy("s", "c", self.rds)["Encrypted"])


class Accounts(CopyTest):
    def setUp(self):
        super().setUp()
        self.vault = str(int(self.account) + 100_000_000_000)
        self.theirs = self.client("rds", THERE, self.vault)

    def share(self, name):
        self.rds.modify_db_snapshot_attribute(
            DBSnapshotIdentifier=name, AttributeName="restore", ValuesToAdd=[self.vault]
        )

    def test_another_account_copies_what_is_shared_with_it_in_one_step(self):
        instance = self.create()
        self.snapshot("s", Tags=TAGS)
        self.assert_copy_refused("DBSnapshotNotFound", self.arn("s"), rds=self.theirs)
        self.share("s")
        copy = self.copy(self.arn("s"), rds=self.theirs, CopyTags=True)
        expected = {
            "DBSnapshotArn": f"arn:aws:rds:{THERE}:{self.vault}:snapshot:copy",
            "DbiResourceId": instance["DbiResourceId"],
            "SourceRegion": HERE,
            "SourceDBSnapshotIdentifier": self.arn("s"),
            "TagList": [],
        }
        self.assertEqual(expected, {name: copy[name] for name in expected})
        tagged = self.copy(self.arn("s"), "tagged", self.theirs, Tags=OTHER_TAGS)
        self.assertEqual(OTHER_TAGS, tagged["TagList"])
        self.assertEqual(["copy", "tagged"], self.names(self.theirs))
        same_region = self.copy(self.arn("s"), "same", self.client("rds", HERE, self.vault))
        self.assertEqual(self.arn("s"), same_region["SourceDBSnapshotIdentifier"])

    def test_an_encrypted_one_needs_a_key_and_must_not_be_under_the_default_one(self):
        self.create(StorageEncrypted=True, KmsKeyId=self.key())
        self.snapshot("s")
        self.share("s")
        near = self.client("rds", HERE, self.vault)
        self.assert_copy_refused("InvalidParameterValue", self.arn("s"), rds=near)
        own = self.key(HERE, self.vault)
        self.assertEqual(own, self.copy(self.arn("s"), rds=near, KmsKeyId=own)["KmsKeyId"])
        foreign = self.key(THERE)
        self.assertEqual(foreign, self.copy(self.arn("s"), rds=self.theirs, KmsKeyId=foreign)["KmsKeyId"])
        # Shared while it could be, and encrypted by a copy under the same name.
        self.create("default", StorageEncrypted=True)
        self.snapshot("d", "default")
        self.assert_refused("InvalidParameterValue", self.share, name="d")


if __name__ == "__main__":
    unittest.main()
