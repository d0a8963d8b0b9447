"""Databases whose storage fills up and is enlarged, and what RDS tells of them."""

import json
import unittest
import urllib.request
from datetime import datetime, timedelta, timezone

from rds_support import RdsTest

GIB = 1024**3


class StorageTest(RdsTest):
    def modify(self, size=None, at_once=True, **more):
        if size is not None:
            more["AllocatedStorage"] = size
        return self.rds.modify_db_instance(DBInstanceIdentifier="db", ApplyImmediately=at_once, **more)["DBInstance"]

    def instance(self):
        return self.rds.describe_db_instances(DBInstanceIdentifier="db")["DBInstances"][0]

    def size(self):
        return self.instance()["AllocatedStorage"]

    def fill(self, free):
        self.control("rds/storage", instance="db", free_bytes=int(free))

    def messages(self, **wanted):
        return [event["Message"] for event in self.rds.describe_events(**wanted)["Events"]]

    def told(self):
        """The ids of the events that EventBridge heard."""
        with urllib.request.urlopen(f"{self.url}/sandbox/events?account={self.account}") as answer:
            return [event["detail"]["EventID"] for event in json.load(answer)]


class Growth(StorageTest):
    def test_storage_passes_from_modifying_to_optimization(self):
        self.control("settings", rds_polls=1)
        self.create()
        self.control("settle")
        self.modify(40)
        sizes = [(each["DBInstanceStatus"], each["AllocatedStorage"]) for each in (self.instance() for _ in range(5))]
        self.assertEqual(("modifying", 20), sizes[0])
        self.assertIn(("storage-optimization", 40), sizes)
        self.assertEqual(("available", 40), sizes[-1])

    def test_it_grows_by_ten_percent_at_least(self):
        self.create(AllocatedStorage=100)
        self.modify(101)
        self.assertEqual((110, "available"), (self.size(), self.instance_status()))

    def test_it_never_shrinks(self):
        self.create(AllocatedStorage=100)
        message = self.assert_refused("InvalidParameterCombination", self.modify, size=50)
        self.assertIn("cannot be less than", message)
        self.modify(100)
        self.assertEqual(100, self.size())

    def test_storage_that_is_optimized_is_not_changed_again_but_all_else_is(self):
        self.control("settings", rds_polls=2)
        self.create()
        self.control("settle")
        self.modify(40)
        self.assert_refused("InvalidDBInstanceState", self.modify, size=60)
        while self.instance_status() != "storage-optimization":
            pass
        self.assertIn("being optimized", self.assert_refused("InvalidParameterCombination", self.modify, size=60))
        self.modify(BackupRetentionPeriod=3)
        self.snapshot("one")
        self.control("settle")
        self.assertEqual(("available", 40), (self.instance_status(), self.size()))

    def test_it_is_changed_four_times_a_day(self):
        self.create()
        for size in (30, 40, 50, 60):
            self.modify(size)
        self.assertIn("24 hours", self.assert_refused("InvalidParameterCombination", self.modify, size=70))

    def test_a_stopped_database_does_not_grow(self):
        self.create()
        self.rds.stop_db_instance(DBInstanceIdentifier="db")
        self.assert_refused("InvalidDBInstanceState", self.modify, size=40)

    def test_the_account_has_a_quota(self):
        self.control("settings", rds_storage_gib=50)
        self.create()
        self.assert_refused("StorageQuotaExceeded", self.modify, size=51)
        self.modify(50)
        self.assert_refused("StorageQuotaExceeded", self.create, name="more")

    def test_provisioned_iops_are_said_with_it(self):
        self.create(StorageType="io1", Iops=1000, AllocatedStorage=100)
        self.assert_refused("InvalidParameterCombination", self.modify, size=200)
        self.modify(200, Iops=1000)
        self.assertEqual(200, self.size())

    def test_without_apply_immediately_it_waits_for_the_maintenance_window(self):
        self.create()
        self.modify(40, at_once=False)
        self.assertEqual((20, {"AllocatedStorage": 40}), (self.size(), self.instance()["PendingModifiedValues"]))
        self.control("settle")
        self.assertEqual((40, {}), (self.size(), self.instance().get("PendingModifiedValues", {})))

    def test_the_upper_limit_of_autoscaling_is_kept(self):
        self.create(MaxAllocatedStorage=100)
        self.assertEqual(100, self.instance()["MaxAllocatedStorage"])
        self.modify(MaxAllocatedStorage=20)
        self.assertNotIn("MaxAllocatedStorage", self.instance())
        self.assert_refused("InvalidParameterCombination", self.modify, MaxAllocatedStorage=10)


class Filling(StorageTest):
    def test_a_full_database_is_told_and_grows_when_it_is_asked_to(self):
        self.control("settings", service_events=True)
        self.create()
        self.fill(0)
        self.assertEqual("storage-full", self.instance_status())
        self.assertIn("RDS-EVENT-0007", self.told())
        self.assert_refused("InvalidDBInstanceState", self.snapshot, name="one")
        self.modify(40)
        self.assertEqual(("available", 40), (self.instance_status(), self.size()))
        self.assertEqual(["RDS-EVENT-0018", "RDS-EVENT-0017"], self.told()[-2:])

    def test_the_metric_says_how_much_is_free(self):
        self.create()
        self.fill(GIB)
        self.modify(30)
        end = datetime.now(timezone.utc)
        dimensions = [{"Name": "DBInstanceIdentifier", "Value": "db"}]
        metric = {"Namespace": "AWS/RDS", "MetricName": "FreeStorageSpace", "Dimensions": dimensions}
        query = {"Id": "free", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Minimum"}}
        [result] = self.client("cloudwatch").get_metric_data(
            MetricDataQueries=[query], StartTime=end - timedelta(minutes=5), EndTime=end
        )["MetricDataResults"]
        self.assertEqual({11.0 * GIB}, set(result["Values"]))

    def test_little_free_storage_is_told(self):
        self.create()
        self.fill(3 * GIB)
        self.assertEqual([], self.messages(EventCategories=["low storage"]))
        self.fill(GIB)
        [message] = self.messages(EventCategories=["low storage"])
        self.assertIn("is low at 5%", message)
        self.assertEqual("available", self.instance_status())

    def test_autoscaling_enlarges_what_is_low(self):
        self.control("settings", service_events=True)
        self.create(MaxAllocatedStorage=25)
        self.fill(GIB)
        self.assertEqual((25, "available"), (self.size(), self.instance_status()))
        self.assertEqual(["RDS-EVENT-0217", "RDS-EVENT-0218"], self.told()[-2:])
        self.fill(0)
        self.assertEqual("storage-full", self.instance_status())

    def test_more_than_there_is_cannot_be_free(self):
        self.create()
        self.assertIn("has 20 GiB", self.control_refusal("rds/storage", instance="db", free_bytes=21 * GIB))


class Events(StorageTest):
    def test_a_life_is_told(self):
        self.control("settings", service_events=True)
        self.create(Tags=[{"Key": "team", "Value": "web"}])
        self.snapshot("one")
        self.rds.reboot_db_instance(DBInstanceIdentifier="db")
        self.rds.stop_db_instance(DBInstanceIdentifier="db")
        self.rds.start_db_instance(DBInstanceIdentifier="db")
        self.rds.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True)
        wanted = ["0005", "0040", "0042", "0006", "0087", "0088", "0003"]
        told = [each[-4:] for each in self.told() if each[-4:] in wanted]
        self.assertEqual(wanted, told)
        with urllib.request.urlopen(f"{self.url}/sandbox/events?account={self.account}") as answer:
            stopped = next(each for each in json.load(answer) if each["detail"]["EventID"] == "RDS-EVENT-0087")
        self.assertEqual(("aws.rds", "RDS DB Instance Event"), (stopped["source"], stopped["detail-type"]))
        detail = stopped["detail"]
        self.assertEqual(("DB_INSTANCE", "db"), (detail["SourceType"], detail["SourceIdentifier"]))
        self.assertEqual({"team": "web"}, detail["Tags"])
        self.assertEqual(stopped["resources"], [detail["SourceArn"]])

    def test_a_change_is_told_when_it_is_complete(self):
        self.control("settings", service_events=True)
        self.create()
        self.control("settings", rds_polls=5)
        self.rds.stop_db_instance(DBInstanceIdentifier="db")
        self.assertNotIn("RDS-EVENT-0087", self.told())
        self.control("settle")
        self.assertIn("RDS-EVENT-0087", self.told())

    def test_they_are_described_by_source_category_and_time(self):
        self.create()
        self.create("other")
        self.assertIn("DB instance created.", self.messages(SourceIdentifier="db", SourceType="db-instance"))
        self.assertEqual(2, len(self.messages(EventCategories=["creation"], SourceType="db-instance")))
        self.assertEqual([], self.messages(SourceType="db-cluster"))
        past = datetime.now(timezone.utc) - timedelta(hours=2)
        self.assertEqual([], self.messages(StartTime=past, Duration=60))
        self.assertNotEqual([], self.messages(StartTime=past))
        self.assert_refused("InvalidParameterCombination", self.rds.describe_events, SourceIdentifier="db")

    def test_they_come_in_pages(self):
        for number in range(21):
            self.create(f"db{number}", BackupRetentionPeriod=0)
        first = self.rds.describe_events(MaxRecords=20)
        rest = self.rds.describe_events(MaxRecords=20, Marker=first["Marker"])
        self.assertEqual(20, len(first["Events"]))
        self.assertEqual(21, len({event["SourceIdentifier"] for event in first["Events"] + rest["Events"]}))

    def test_eventbridge_hears_nothing_unless_the_settings_say_so(self):
        self.create()
        self.assertEqual([], self.told())


if __name__ == "__main__":
    unittest.main()
