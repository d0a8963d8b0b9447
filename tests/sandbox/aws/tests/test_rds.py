"""Amazon RDS as the plugin models it."""

import unittest
from datetime import datetime, timezone

from support import AwsTest


class RdsTest(AwsTest):
    def setUp(self):
        super().setUp()
        self.rds = self.client("rds")

    def create(self, name="db"):
        return self.rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            AllocatedStorage=20,
            MasterUsername="master",
            MasterUserPassword="not-a-secret",
        )["DBInstance"]

    def snapshot(self, name, instance="db"):
        return self.rds.create_db_snapshot(DBInstanceIdentifier=instance, DBSnapshotIdentifier=name)["DBSnapshot"]

    def instance_status(self, name="db"):
        return self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["DBInstanceStatus"]

    def describe_snapshot(self, name):
        return self.rds.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"][0]


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
        self.assertEqual("available", self.describe_snapshot(name)["Status"])

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


class Instances(RdsTest):
    def test_instances_come_in_pages(self):
        for number in range(21):
            self.create(f"db{number:02}")
        first = self.rds.describe_db_instances(MaxRecords=20)
        second = self.rds.describe_db_instances(MaxRecords=20, Marker=first["Marker"])
        self.assertEqual((20, 1), (len(first["DBInstances"]), len(second["DBInstances"])))
        self.assertNotIn("Marker", second)
        self.assert_refused("InvalidParameterValue", self.rds.describe_db_instances, MaxRecords=19)

    def test_every_change_passes_through_its_state(self):
        self.control("settings", rds_polls=1)
        self.create()
        self.assert_passes("creating", "available")
        self.rds.modify_db_instance(DBInstanceIdentifier="db", BackupRetentionPeriod=3, ApplyImmediately=True)
        self.assert_refused("InvalidDBInstanceState", self.rds.reboot_db_instance, DBInstanceIdentifier="db")
        self.assert_passes("modifying", "available")
        self.rds.reboot_db_instance(DBInstanceIdentifier="db")
        self.assert_passes("rebooting", "available")
        self.rds.stop_db_instance(DBInstanceIdentifier="db", DBSnapshotIdentifier="before")
        self.assert_passes("stopping", "stopped")
        self.assertEqual("creating", self.describe_snapshot("before")["Status"])
        self.assertEqual("available", self.describe_snapshot("before")["Status"])
        self.rds.start_db_instance(DBInstanceIdentifier="db")
        self.assert_passes("starting", "available")
        self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="new", DBSnapshotIdentifier="before")
        self.assertEqual(["creating", "available"], [self.instance_status("new") for _ in range(2)])

    def assert_passes(self, during, after):
        self.assertEqual([during, after, after], [self.instance_status() for _ in range(3)])

    def test_without_settings_every_change_is_done_at_once(self):
        self.create()
        self.assertEqual("available", self.instance_status())
        self.rds.stop_db_instance(DBInstanceIdentifier="db")
        self.assertEqual("stopped", self.instance_status())


if __name__ == "__main__":
    unittest.main()
