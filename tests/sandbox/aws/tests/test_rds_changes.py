"""Amazon RDS as the plugin models it: changes of instances, at once, later or after a reboot."""

import json
import unittest

from rds_support import RdsTest


class Changes(RdsTest):
    def modify(self, name="db", **changes):
        return self.rds.modify_db_instance(DBInstanceIdentifier=name, **changes)["DBInstance"]

    def describe(self, name="db"):
        return self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def refuse(self, code, **changes):
        return self.assert_refused(code, self.rds.modify_db_instance, DBInstanceIdentifier="db", **changes)

    def test_what_is_not_applied_at_once_waits_for_the_maintenance_window(self):
        self.create()
        wanted = {"DBInstanceClass": "db.m5.large", "MultiAZ": True, "EngineVersion": "15.8"}
        self.modify(**wanted, DBPortNumber=5544, EnableIAMDatabaseAuthentication=True, DeletionProtection=True)
        waiting = self.describe()
        expected = {**wanted, "Port": 5544, "IAMDatabaseAuthenticationEnabled": True}
        self.assertEqual(expected, waiting["PendingModifiedValues"])
        self.assertEqual("db.t3.micro", waiting["DBInstanceClass"])
        self.assertTrue(waiting["DeletionProtection"])
        self.control("settle")
        applied = self.describe()
        self.assertEqual(wanted, {name: applied[name] for name in wanted})
        self.assertEqual((5544, {}), (applied["Endpoint"]["Port"], applied.get("PendingModifiedValues", {})))

    def test_whoever_applies_at_once_applies_what_waited(self):
        self.create()
        self.modify(DBInstanceClass="db.m5.large", AllocatedStorage=40)
        self.assertEqual(
            {"DBInstanceClass": "db.m5.large", "AllocatedStorage": 40}, self.describe()["PendingModifiedValues"]
        )
        self.modify(MultiAZ=True, ApplyImmediately=True)
        applied = self.describe()
        expected = {"DBInstanceClass": "db.m5.large", "MultiAZ": True, "AllocatedStorage": 40}
        self.assertEqual(expected, {name: applied[name] for name in expected})
        self.assertEqual({}, applied.get("PendingModifiedValues", {}))

    def test_what_waits_is_withdrawn_by_asking_for_what_is(self):
        self.create()
        self.modify(DBInstanceClass="db.m5.large")
        self.modify(DBInstanceClass="db.t3.micro")
        self.assertEqual({}, self.describe().get("PendingModifiedValues", {}))

    def test_a_name_changes_and_the_instance_stays(self):
        self.control("settings", rds_polls=1)
        before = self.create(Tags=[{"Key": "a", "Value": "b"}])
        self.instance_status()
        self.instance_status()
        self.modify(NewDBInstanceIdentifier="Other", ApplyImmediately=True)
        self.assertEqual(["renaming", "available"], [self.instance_status("other") for _ in range(2)])
        after = self.describe("other")
        for name in ("DbiResourceId", "InstanceCreateTime", "TagList"):
            self.assertEqual(before[name], after[name])
        self.assertTrue(after["DBInstanceArn"].endswith(":db:other"))
        self.assertTrue(after["Endpoint"]["Address"].startswith("other."))
        self.assert_refused("DBInstanceNotFound", self.rds.describe_db_instances, DBInstanceIdentifier="db")
        self.create()
        self.instance_status()
        self.instance_status()
        self.refuse("DBInstanceAlreadyExists", NewDBInstanceIdentifier="other", ApplyImmediately=True)

    def test_a_name_can_wait_as_well(self):
        self.create()
        self.modify(NewDBInstanceIdentifier="other")
        self.assertEqual({"DBInstanceIdentifier": "other"}, self.describe()["PendingModifiedValues"])
        self.control("settle")
        self.assertEqual("available", self.instance_status("other"))

    def test_backups_are_switched_on_and_off(self):
        self.create(BackupRetentionPeriod=0)
        self.modify(BackupRetentionPeriod=7)
        self.assertEqual({"BackupRetentionPeriod": 7}, self.describe()["PendingModifiedValues"])
        self.modify(BackupRetentionPeriod=7, ApplyImmediately=True)
        self.assertEqual(1, len(self.names(SnapshotType="automated")))
        self.modify(BackupRetentionPeriod=9)
        self.assertEqual(9, self.describe()["BackupRetentionPeriod"])
        self.modify(BackupRetentionPeriod=0, ApplyImmediately=True)
        self.assertEqual([], self.names(SnapshotType="automated"))

    def test_a_master_password_is_given_or_managed(self):
        self.create()
        self.refuse("InvalidParameterValue", MasterUserPassword="short")
        self.refuse("InvalidParameterValue", MasterUserPassword="with a space")
        self.refuse("InvalidParameterCombination", RotateMasterUserPassword=True, ApplyImmediately=True)
        self.refuse("InvalidParameterCombination", ManageMasterUserPassword=True, MasterUserPassword="long-enough")
        arn = self.modify(ManageMasterUserPassword=True)["MasterUserSecret"]["SecretArn"]
        self.refuse("InvalidParameterCombination", MasterUserPassword="long-enough")
        secrets = self.client("secretsmanager")
        value = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])
        self.assertEqual("master", value["username"])
        self.refuse("InvalidParameterCombination", ManageMasterUserPassword=False)
        self.modify(ManageMasterUserPassword=False, MasterUserPassword="long-enough")
        self.assertNotIn("MasterUserSecret", self.describe())

    def test_a_password_that_is_reset_has_a_state_of_its_own(self):
        self.create()
        self.control("settings", rds_polls=1)
        self.modify(MasterUserPassword="long-enough")
        self.assertEqual(
            ["resetting-master-credentials", "available"], [self.instance_status() for _ in range(2)]
        )


class Parameters(RdsTest):
    def setUp(self):
        super().setUp()
        self.make_group("own")
        self.create(DBParameterGroupName="own")

    def make_group(self, name, family="postgres15"):
        self.rds.create_db_parameter_group(DBParameterGroupName=name, DBParameterGroupFamily=family, Description="d")

    def set(self, name, method, group="own"):
        self.rds.modify_db_parameter_group(
            DBParameterGroupName=group,
            Parameters=[{"ParameterName": name, "ParameterValue": "64", "ApplyMethod": method}],
        )

    def status(self):
        [group] = self.rds.describe_db_instances(DBInstanceIdentifier="db")["DBInstances"][0]["DBParameterGroups"]
        return group["DBParameterGroupName"], group["ParameterApplyStatus"]

    def reboot(self):
        self.rds.reboot_db_instance(DBInstanceIdentifier="db")

    def test_dynamic_ones_are_in_sync_and_static_ones_wait(self):
        self.assertEqual(("own", "in-sync"), self.status())
        self.set("work_mem", "immediate")
        self.assertEqual(("own", "in-sync"), self.status())
        for name, method in (("max_connections", "pending-reboot"), ("statement_timeout", "pending-reboot")):
            self.set(name, method)
            self.assertEqual(("own", "pending-reboot"), self.status())
            self.reboot()
            self.assertEqual(("own", "in-sync"), self.status())
        self.rds.reset_db_parameter_group(DBParameterGroupName="own", ResetAllParameters=True)
        self.assertEqual(("own", "pending-reboot"), self.status())

    def test_static_ones_cannot_be_set_at_once(self):
        self.assert_refused(
            "InvalidParameterCombination",
            self.rds.modify_db_parameter_group,
            DBParameterGroupName="own",
            Parameters=[{"ParameterName": "max_connections", "ParameterValue": "9", "ApplyMethod": "immediate"}],
        )

    def test_another_group_waits_for_a_reboot(self):
        self.make_group("other")
        self.make_group("newer", "postgres16")
        self.rds.modify_db_instance(DBInstanceIdentifier="db", DBParameterGroupName="other")
        self.assertEqual(("other", "pending-reboot"), self.status())
        self.reboot()
        self.assertEqual(("other", "in-sync"), self.status())
        for name, code in (("newer", "InvalidParameterCombination"), ("x", "DBParameterGroupNotFound")):
            self.assert_refused(
                code, self.rds.modify_db_instance, DBInstanceIdentifier="db", DBParameterGroupName=name
            )


if __name__ == "__main__":
    unittest.main()
