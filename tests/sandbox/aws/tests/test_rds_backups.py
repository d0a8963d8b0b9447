"""Amazon RDS as the plugin models it: automated backups, here and replicated."""

import unittest
from datetime import datetime, timezone

from rds_support import HERE, THERE, RdsTest


class Backups(RdsTest):
    def backups(self, rds=None, **settings):
        return (rds or self.rds).describe_db_instance_automated_backups(**settings)["DBInstanceAutomatedBackups"]

    def test_an_instance_with_automated_backups_has_one_here(self):
        instance = self.create(BackupRetentionPeriod=7)
        self.create("none", BackupRetentionPeriod=0)
        [backup] = self.backups()
        expected = {
            "DBInstanceArn": instance["DBInstanceArn"],
            "DbiResourceId": instance["DbiResourceId"],
            "Region": HERE,
            "Status": "active",
            "BackupRetentionPeriod": 7,
            "Encrypted": False,
        }
        self.assertEqual(expected, {name: backup[name] for name in expected})
        self.assertLessEqual(set(backup["RestoreWindow"]), {"EarliestTime", "LatestTime"})
        self.assert_refused(
            "DBInstanceAutomatedBackupNotFound",
            self.rds.describe_db_instance_automated_backups,
            DBInstanceIdentifier="x",
        )

    def test_what_a_deleted_instance_kept_is_retained(self):
        instance = self.create()
        self.rds.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True, DeleteAutomatedBackups=False)
        [backup] = self.backups()
        self.assertEqual(("retained", instance["DbiResourceId"]), (backup["Status"], backup["DbiResourceId"]))
        self.assertEqual([backup], self.backups(Filters=[{"Name": "status", "Values": ["retained"]}]))
        self.assertEqual([], self.backups(Filters=[{"Name": "status", "Values": ["active"]}]))

    def test_backups_are_replicated_to_another_region(self):
        instance = self.create(StorageEncrypted=True)
        there = self.client("rds", THERE)
        source, resource_id = instance["DBInstanceArn"], instance["DbiResourceId"]
        start = there.start_db_instance_automated_backups_replication
        self.assert_refused("KMSKeyNotAccessibleFault", start, SourceDBInstanceArn=source)
        self.assert_refused("DBInstanceNotFound", start, SourceDBInstanceArn=source + "x")
        key = self.key(THERE)
        start(SourceDBInstanceArn=source, KmsKeyId=key, BackupRetentionPeriod=14)
        [backup] = self.backups(there)
        expected = {
            "DBInstanceArn": source,
            "DbiResourceId": resource_id,
            "Region": HERE,
            "Status": "replicating",
            "KmsKeyId": key,
            "BackupRetentionPeriod": 14,
        }
        self.assertEqual(expected, {name: backup[name] for name in expected})
        arn = backup["DBInstanceAutomatedBackupsArn"]
        self.assertTrue(arn.startswith(f"arn:aws:rds:{THERE}:{self.account}:auto-backup:ab-"))
        self.assertEqual([backup], self.backups(there, DBInstanceAutomatedBackupsArn=arn))
        [described] = self.rds.describe_db_instances()["DBInstances"]
        self.assertEqual(
            [{"DBInstanceAutomatedBackupsArn": arn}], described["DBInstanceAutomatedBackupsReplications"]
        )

        self.control(
            "rds/replicated-backups",
            region=THERE,
            resource_id=resource_id,
            earliest="2026-01-01T00:00:00Z",
            latest="2026-01-31T12:00:00Z",
        )
        [backup] = self.backups(there, DbiResourceId=resource_id)
        self.assertEqual(datetime(2026, 1, 31, 12, tzinfo=timezone.utc), backup["RestoreWindow"]["LatestTime"])
        self.assertEqual("replicating", backup["Status"])
        there.stop_db_instance_automated_backups_replication(SourceDBInstanceArn=source)
        self.assertEqual("retained", self.backups(there)[0]["Status"])
        [described] = self.rds.describe_db_instances()["DBInstances"]
        self.assertEqual([], described["DBInstanceAutomatedBackupsReplications"])
        self.assertIn("no replicated", self.control_refusal("rds/replicated-backups", resource_id="db-X"))


if __name__ == "__main__":
    unittest.main()
