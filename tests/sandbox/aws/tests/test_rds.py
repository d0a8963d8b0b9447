"""Amazon RDS as the plugin models it: instances."""

import re
import unittest
from datetime import datetime, timedelta, timezone

from rds_support import THERE, RdsTest


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

    def test_an_instance_can_be_put_into_any_state(self):
        self.create()
        for status in ("modifying", "storage-full", "backing-up", "stopped"):
            self.control("rds/instances", instance="db", status=status)
            self.assertEqual([status] * 2, [self.instance_status() for _ in range(2)])
            self.assert_refused("InvalidDBInstanceState", self.snapshot, name="s")
        self.control("rds/instances", instance="db", status="storage-optimization")
        self.snapshot("s")
        self.assertEqual("storage-optimization", self.instance_status())
        self.assertIn("no instance", self.control_refusal("rds/instances", instance="x", status="stopped"))
        self.assertIn("unknown", self.control_refusal("rds/instances", instance="db", state="stopped"))

    def test_data_can_be_restored_up_to_a_time_as_long_as_there_are_automated_backups(self):
        self.create()
        instance = self.describe()
        self.assertLessEqual(instance["InstanceCreateTime"], instance["LatestRestorableTime"])
        self.assertLess(datetime.now(timezone.utc) - instance["LatestRestorableTime"], timedelta(minutes=6))
        self.control("rds/instances", instance="db", latest_restorable_time="2026-01-31T12:00:00Z")
        self.assertEqual(datetime(2026, 1, 31, 12, tzinfo=timezone.utc), self.describe()["LatestRestorableTime"])
        self.create("none", BackupRetentionPeriod=0)
        self.assertNotIn("LatestRestorableTime", self.describe("none"))
        self.assertEqual([], self.names(DBInstanceIdentifier="none"))

    def describe(self, name="db"):
        return self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def test_settings_that_a_restore_does_not_bring_back_are_told(self):
        network = self.control("network")
        self.rds.create_db_subnet_group(
            DBSubnetGroupName="g", DBSubnetGroupDescription="d", SubnetIds=network["private_subnets"]
        )
        settings = {
            "CACertificateIdentifier": "rds-ca-rsa2048-g1",
            "DatabaseInsightsMode": "advanced",
            "DeletionProtection": True,
            "MaxAllocatedStorage": 100,
            "MonitoringInterval": 60,
            "MonitoringRoleArn": "arn:aws:iam::123456789012:role/monitoring",
            "MultiAZ": True,
            "NetworkType": "IPV4",
            "PerformanceInsightsRetentionPeriod": 465,
            "PreferredBackupWindow": "03:00-03:30",
            "PreferredMaintenanceWindow": "sun:05:00-sun:05:30",
            "StorageThroughput": 125,
            "StorageType": "gp3",
        }
        self.create(
            DBSubnetGroupName="g", EnablePerformanceInsights=True, EnableIAMDatabaseAuthentication=True, **settings
        )
        self.snapshot("s")
        expected = {
            **settings,
            "DedicatedLogVolume": False,
            "EngineLifecycleSupport": "open-source-rds-extended-support",
            "IAMDatabaseAuthenticationEnabled": True,
            "LicenseModel": "postgresql-license",
            "PerformanceInsightsEnabled": True,
            "PerformanceInsightsKMSKeyId": self.client("kms").describe_key(KeyId="alias/aws/rds")["KeyMetadata"]["Arn"],
            "SecondaryAvailabilityZone": "us-east-1b",
        }
        instance = self.describe()
        self.assertEqual(expected, {name: instance[name] for name in expected})
        self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="restored", DBSnapshotIdentifier="s")
        restored = self.describe("restored")
        self.assertFalse(restored["PerformanceInsightsEnabled"])
        self.assertEqual("standard", restored["DatabaseInsightsMode"])
        self.rds.modify_db_instance(DBInstanceIdentifier="db", EnablePerformanceInsights=False)
        changed = self.describe()
        self.assertFalse(changed["PerformanceInsightsEnabled"])
        self.assertNotIn("PerformanceInsightsKMSKeyId", changed)

    def test_every_instance_there_ever_was_has_a_resource_id_of_its_own(self):
        ids = [self.create(name)["DbiResourceId"] for name in ("db", "other")]
        self.snapshot("s")
        self.rds.create_db_instance_read_replica(DBInstanceIdentifier="replica", SourceDBInstanceIdentifier="db")
        self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="restored", DBSnapshotIdentifier="s")
        ids += [self.describe(name)["DbiResourceId"] for name in ("replica", "restored")]
        self.rds.delete_db_instance(DBInstanceIdentifier="other", SkipFinalSnapshot=True)
        ids.append(self.create("other")["DbiResourceId"])
        self.rds = self.client("rds", THERE)
        ids.append(self.create()["DbiResourceId"])
        self.assertEqual(6, len(set(ids)))
        for each in ids:
            self.assertTrue(re.fullmatch(r"db-[A-Z0-9]{26}", each), each)
        self.assertEqual(["replica"], [self.source_of_replica()])

    def source_of_replica(self):
        rds = self.client("rds")
        source = rds.describe_db_instances(DBInstanceIdentifier="db")["DBInstances"][0]
        [replica] = source["ReadReplicaDBInstanceIdentifiers"]
        found = rds.describe_db_instances(DBInstanceIdentifier=replica)["DBInstances"][0]
        self.assertEqual("db", found["ReadReplicaSourceDBInstanceIdentifier"])
        return replica

    def test_encrypted_ones_have_the_arn_of_a_key(self):
        key = self.key()
        self.assertEqual(key, self.create("own", StorageEncrypted=True, KmsKeyId=key)["KmsKeyId"])
        default = self.create("default", StorageEncrypted=True)["KmsKeyId"]
        self.assertEqual("AWS", self.client("kms").describe_key(KeyId=default)["KeyMetadata"]["KeyManager"])
        self.assertNotIn("KmsKeyId", self.create("none"))
        self.client("kms").disable_key(KeyId=key)
        for wrong in (key, key[:-4] + "0000", "alias/none", self.key(THERE)):
            self.assert_refused(
                "KMSKeyNotAccessibleFault", self.create, name="x", StorageEncrypted=True, KmsKeyId=wrong
            )

    def test_deletion_needs_a_final_snapshot_or_a_word(self):
        self.create()
        self.assert_refused("InvalidParameterCombination", self.rds.delete_db_instance, DBInstanceIdentifier="db")
        self.control("settings", rds_polls=1)
        self.rds.delete_db_instance(DBInstanceIdentifier="db", FinalDBSnapshotIdentifier="final")
        self.assertEqual("creating", self.describe_snapshot("final")["Status"])
        self.assertEqual(["final"], self.names())


if __name__ == "__main__":
    unittest.main()
