"""Amazon RDS as the plugin models it: instances that are stopped and started."""

import unittest
from datetime import datetime, timedelta, timezone

from rds_support import RdsTest


class Stops(RdsTest):
    def describe(self, name="db"):
        return self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def stop(self, name="db", **settings):
        return self.rds.stop_db_instance(DBInstanceIdentifier=name, **settings)["DBInstance"]

    def start(self, name="db"):
        return self.rds.start_db_instance(DBInstanceIdentifier=name)["DBInstance"]

    def assert_states(self, *expected):
        self.assertEqual(list(expected), [self.instance_status() for _ in expected])

    def test_only_what_is_available_stops_and_only_what_is_stopped_starts(self):
        self.control("settings", rds_polls=1)
        self.create()
        self.assert_refused("InvalidDBInstanceState", self.stop)
        self.assert_states("creating", "available")
        self.assert_refused("InvalidDBInstanceState", self.start)
        self.assertEqual("stopping", self.stop()["DBInstanceStatus"])
        self.assert_refused("InvalidDBInstanceState", self.stop)
        self.assert_refused("InvalidDBInstanceState", self.start)
        self.assert_states("stopping", "stopped", "stopped")
        self.assert_refused("InvalidDBInstanceState", self.stop)
        self.assertEqual("starting", self.start()["DBInstanceStatus"])
        self.assert_refused("InvalidDBInstanceState", self.stop)
        self.assert_states("starting", "available", "available")
        self.assert_refused("DBInstanceNotFound", self.stop, name="x")
        self.assert_refused("DBInstanceNotFound", self.start, name="x")

    def test_a_change_that_is_held_is_let_go_on_demand(self):
        self.create()
        self.control("settings", rds_polls=1000)
        self.stop(DBSnapshotIdentifier="before")
        self.assert_states("stopping", "stopping", "stopping")
        self.control("settle")
        self.assert_states("stopped", "stopped")
        self.assertEqual("available", self.describe_snapshot("before")["Status"])
        self.assertEqual(100, self.describe_snapshot("before")["PercentProgress"])

    def test_a_snapshot_name_that_is_taken_stops_nothing(self):
        self.create()
        self.snapshot("taken")
        self.assert_refused("DBSnapshotAlreadyExists", self.stop, DBSnapshotIdentifier="taken")
        self.assert_states("available")

    def test_neither_replicas_nor_their_sources_nor_members_of_clusters_stop(self):
        self.create()
        self.rds.create_db_instance_read_replica(DBInstanceIdentifier="replica", SourceDBInstanceIdentifier="db")
        for name in ("db", "replica"):
            self.assertIn("Read-Replica", self.assert_refused("InvalidDBInstanceState", self.stop, name=name))
        self.rds.delete_db_instance(DBInstanceIdentifier="replica", SkipFinalSnapshot=True)
        self.assertEqual("stopped", self.stop()["DBInstanceStatus"])
        self.rds.create_db_cluster(
            DBClusterIdentifier="cluster",
            Engine="aurora-postgresql",
            MasterUsername="master",
            MasterUserPassword="not-a-secret",
        )
        self.rds.create_db_instance(
            DBInstanceIdentifier="member",
            DBInstanceClass="db.r5.large",
            Engine="aurora-postgresql",
            DBClusterIdentifier="cluster",
        )
        self.assertIn("eligible", self.assert_refused("InvalidParameterCombination", self.stop, name="member"))

    def test_a_stopped_instance_says_when_it_is_started_again(self):
        self.create()
        self.assertNotIn("AutomaticRestartTime", self.describe())
        self.stop()
        in_a_week = datetime.now(timezone.utc) + timedelta(days=7)
        self.assertLess(abs(self.describe()["AutomaticRestartTime"] - in_a_week), timedelta(minutes=1))
        self.start()
        self.assertNotIn("AutomaticRestartTime", self.describe())

    def test_aws_starts_a_stopped_instance_on_demand(self):
        self.create()
        refusal = self.control_refusal("rds/automatic-start", instance="db")
        self.assertIn("not stopped", refusal)
        self.stop()
        self.control("settings", rds_polls=1)
        self.control("rds/automatic-start", instance="db")
        self.assert_states("starting", "available", "available")
        self.assertNotIn("AutomaticRestartTime", self.describe())
        self.assertIn("no instance", self.control_refusal("rds/automatic-start", instance="x"))

    def test_tags_of_instances_come_and_go_in_every_state(self):
        arn = self.create()["DBInstanceArn"]
        self.stop()
        parked = {"Key": "steward:parked", "Value": "2026-11-23T20:00:00Z"}
        self.rds.add_tags_to_resource(ResourceName=arn, Tags=[parked, {"Key": "team", "Value": "a b_.:/=+-@1"}])
        self.assertIn(parked, self.describe()["TagList"])
        for value in ("desired=2,min=1", "desired=2;min=1", "{}", "a'b", "50%"):
            wrong = [{"Key": "steward:parked", "Value": value}]
            self.assert_refused("InvalidParameterValue", self.rds.add_tags_to_resource, ResourceName=arn, Tags=wrong)
        self.assertIn(parked, self.describe()["TagList"])
        self.rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["steward:parked", "nobody-has-it"])
        self.assertEqual(["team"], [tag["Key"] for tag in self.describe()["TagList"]])


if __name__ == "__main__":
    unittest.main()
