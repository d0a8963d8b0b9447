"""Alarms as the plugin models them, and what CloudWatch tells EventBridge of them."""

import json
import unittest
import urllib.request
from datetime import datetime, timedelta, timezone

from support import AwsTest

WEB = {
    "Namespace": "AWS/ApplicationELB",
    "MetricName": "HTTPCode_Target_5XX_Count",
    "Dimensions": [{"Name": "LoadBalancer", "Value": "app/web/1"}],
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 2,
    "Threshold": 5.0,
    "ComparisonOperator": "GreaterThanThreshold",
}
QUERY = 'SELECT AVG(CPUUtilization) FROM SCHEMA("AWS/ECS", ClusterName, ServiceName) GROUP BY ServiceName'


class CloudWatchTest(AwsTest):
    def setUp(self):
        super().setUp()
        self.cloudwatch = self.client("cloudwatch")

    def put(self, name="web-5xx", **more):
        self.cloudwatch.put_metric_alarm(AlarmName=name, **{**WEB, **more})

    def put_query(self, name="busy"):
        metrics = [{"Id": "q1", "Expression": QUERY, "Period": 60, "ReturnData": True}]
        settings = {"EvaluationPeriods": 1, "Threshold": 80.0, "ComparisonOperator": "GreaterThanThreshold"}
        self.cloudwatch.put_metric_alarm(AlarmName=name, Metrics=metrics, **settings)

    def put_composite(self, rule, name="all", **more):
        self.cloudwatch.put_composite_alarm(AlarmName=name, AlarmRule=rule, **more)

    def set(self, state, name="web-5xx", **more):
        more.setdefault("StateReason", "because")
        self.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, **more)

    def alarm(self, name="web-5xx", kind="Metric"):
        found = self.cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=[f"{kind}Alarm"])
        [alarm] = found[f"{kind}Alarms"]
        return alarm

    def names(self, **wanted):
        found = self.cloudwatch.describe_alarms(**wanted)
        return [alarm["AlarmName"] for kind in ("MetricAlarms", "CompositeAlarms") for alarm in found[kind]]

    def mute(self, name="tonight", alarms=("web-5xx",), begin=-10, duration="PT1H", **more):
        at = datetime.now(timezone.utc) + timedelta(minutes=begin)
        schedule = {"Expression": f"at({at:%Y-%m-%dT%H:%M})", "Duration": duration}
        more.setdefault("Rule", {"Schedule": schedule})
        self.cloudwatch.put_alarm_mute_rule(Name=name, MuteTargets={"AlarmNames": list(alarms)}, **more)

    def events(self, detail_type="CloudWatch Alarm State Change"):
        with urllib.request.urlopen(f"{self.url}/sandbox/events?account={self.account}") as answer:
            return [event for event in json.load(answer) if event["detail-type"] == detail_type]


class Alarms(CloudWatchTest):
    def test_a_new_alarm_has_no_data(self):
        self.put()
        alarm = self.alarm()
        self.assertEqual("INSUFFICIENT_DATA", alarm["StateValue"])
        self.assertEqual("Unchecked: Initial alarm creation", alarm["StateReason"])
        self.assertNotIn("StateReasonData", alarm)
        self.assertEqual(([], True, 5.0), (alarm["AlarmActions"], alarm["ActionsEnabled"], alarm["Threshold"]))

    def test_an_update_replaces_everything_but_the_state_and_the_tags(self):
        self.put(AlarmDescription="errors", Tags=[{"Key": "team", "Value": "web"}])
        self.set("ALARM")
        self.put(Threshold=9.0, Tags=[{"Key": "team", "Value": "other"}])
        alarm = self.alarm()
        self.assertEqual(("ALARM", 9.0), (alarm["StateValue"], alarm["Threshold"]))
        self.assertNotIn("AlarmDescription", alarm)
        tags = self.cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
        self.assertEqual([{"Key": "team", "Value": "web"}], tags)

    def test_tags_come_and_go(self):
        self.put()
        arn = self.alarm()["AlarmArn"]
        self.cloudwatch.tag_resource(ResourceARN=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        self.cloudwatch.untag_resource(ResourceARN=arn, TagKeys=["a"])
        self.assertEqual([{"Key": "b", "Value": "2"}], self.cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"])

    def test_only_a_change_of_the_value_is_a_transition(self):
        self.put()
        self.set("ALARM")
        first = self.alarm()
        self.set("ALARM", StateReason="still")
        again = self.alarm()
        self.assertEqual(first["StateTransitionedTimestamp"], again["StateTransitionedTimestamp"])
        self.assertLess(first["StateUpdatedTimestamp"], again["StateUpdatedTimestamp"])
        self.assertEqual("still", again["StateReason"])
        self.assertEqual(1, len(self.events()))

    def test_pages_hold_as_many_as_are_asked_for(self):
        for number in range(5):
            self.put(f"a{number}")
        first = self.cloudwatch.describe_alarms(MaxRecords=3)
        self.assertEqual(["a0", "a1", "a2"], [alarm["AlarmName"] for alarm in first["MetricAlarms"]])
        self.assertEqual(["a3", "a4"], self.names(MaxRecords=3, NextToken=first["NextToken"]))
        self.assert_refused("InvalidNextToken", self.cloudwatch.describe_alarms, NextToken="x")
        self.assert_refused("ValidationError", self.cloudwatch.describe_alarms, MaxRecords=101)

    def test_filters_hold_together(self):
        self.put("a1", AlarmActions=["arn:aws:sns:us-east-1:1:one"])
        self.put("a2")
        self.put("b1", AlarmActions=["arn:aws:sns:us-east-1:1:one"])
        self.set("ALARM", "a1")
        self.assertEqual(["a1", "a2"], self.names(AlarmNamePrefix="a"))
        self.assertEqual(["a1"], self.names(StateValue="ALARM"))
        self.assertEqual(["a2"], self.names(AlarmNamePrefix="a", StateValue="INSUFFICIENT_DATA"))
        self.assertEqual(["a1", "b1"], self.names(ActionPrefix="arn:aws:sns"))
        both = {"AlarmNames": ["a1"], "AlarmNamePrefix": "a"}
        self.assert_refused("ValidationError", self.cloudwatch.describe_alarms, **both)

    def test_what_excludes_each_other_is_refused(self):
        put = self.cloudwatch.put_metric_alarm
        metrics = [{"Id": "m1", "Expression": "1"}]
        self.assert_refused("ValidationError", put, AlarmName="a", **WEB, Metrics=metrics)
        self.assert_refused("ValidationError", put, AlarmName="a", **WEB, ExtendedStatistic="p95")
        beside = {"Namespace": "AWS/ECS", "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "LessThanThreshold"}
        self.assert_refused("InvalidParameterCombination", put, AlarmName="a", Metrics=metrics, **beside)

    def test_the_history_outlives_the_alarm(self):
        self.put()
        self.set("ALARM", StateReasonData='{"version":"1.0"}')
        self.cloudwatch.delete_alarms(AlarmNames=["web-5xx", "never"])
        items = self.cloudwatch.describe_alarm_history(AlarmName="web-5xx")["AlarmHistoryItems"]
        kinds = [item["HistoryItemType"] for item in items]
        self.assertEqual(["ConfigurationUpdate", "StateUpdate", "ConfigurationUpdate"], kinds)
        update = items[1]
        self.assertEqual("Alarm updated from INSUFFICIENT_DATA to ALARM", update["HistorySummary"])
        new = json.loads(update["HistoryData"])["newState"]
        self.assertEqual({"stateValue": "ALARM", "stateReason": "because", "stateReasonData": {"version": "1.0"}}, new)
        oldest = self.cloudwatch.describe_alarm_history(ScanBy="TimestampAscending", MaxRecords=1)
        self.assertEqual('Alarm "web-5xx" created', oldest["AlarmHistoryItems"][0]["HistorySummary"])
        rest = self.cloudwatch.describe_alarm_history(ScanBy="TimestampAscending", NextToken=oldest["NextToken"])
        self.assertEqual(2, len(rest["AlarmHistoryItems"]))

    def test_a_state_is_set_with_data_in_json_only(self):
        self.put()
        wanted = {"AlarmName": "web-5xx", "StateValue": "OK", "StateReason": "x"}
        self.assert_refused("InvalidFormat", self.cloudwatch.set_alarm_state, **wanted, StateReasonData="no")
        self.assert_refused("ResourceNotFound", self.cloudwatch.set_alarm_state, **{**wanted, "AlarmName": "else"})

    def test_evaluation_may_fail(self):
        self.put()
        self.control("cloudwatch/alarms", alarm="web-5xx", state="ALARM", evaluation_state="EVALUATION_FAILURE")
        self.assertEqual("EVALUATION_FAILURE", self.alarm()["EvaluationState"])


class Events(CloudWatchTest):
    def test_a_transition_is_told_with_both_states_and_the_metric(self):
        self.put(AlarmDescription="errors")
        self.control("cloudwatch/alarms", alarm="web-5xx", state="ALARM", datapoints=[7.0, 9.0])
        [event] = self.events()
        alarm = self.alarm()
        self.assertEqual(("aws.cloudwatch", [alarm["AlarmArn"]]), (event["source"], event["resources"]))
        detail = event["detail"]
        self.assertEqual({"alarmName", "state", "previousState", "configuration"}, set(detail))
        self.assertEqual("INSUFFICIENT_DATA", detail["previousState"]["value"])
        self.assertNotIn("reasonData", detail["previousState"])
        state = detail["state"]
        self.assertEqual("ALARM", state["value"])
        self.assertRegex(state["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000$")
        self.assertTrue(state["reason"].startswith("Threshold Crossed: 2 out of the last 2 datapoints [7.0, 9.0]"))
        data = json.loads(state["reasonData"])
        known = {"version": "1.0", "statistic": "Sum", "period": 60, "recentDatapoints": [7.0, 9.0], "threshold": 5.0}
        self.assertEqual(known, {key: data[key] for key in known})
        [metric] = detail["configuration"]["metrics"]
        self.assertEqual("errors", detail["configuration"]["description"])
        self.assertTrue(metric["returnData"])
        of = {"namespace": WEB["Namespace"], "name": WEB["MetricName"], "dimensions": {"LoadBalancer": "app/web/1"}}
        self.assertEqual({"metric": of, "period": 60, "stat": "Sum"}, metric["metricStat"])

    def test_metric_math_is_told_as_it_was_put(self):
        stat = {"Metric": {"Namespace": "AWS/RDS", "MetricName": "FreeStorageSpace"}, "Period": 60, "Stat": "Minimum"}
        metrics = [
            {"Id": "m1", "MetricStat": stat, "ReturnData": False},
            {"Id": "e1", "Expression": "m1/1000", "Label": "GB"},
        ]
        settings = {"EvaluationPeriods": 1, "Threshold": 2.0, "ComparisonOperator": "LessThanThreshold"}
        self.cloudwatch.put_metric_alarm(AlarmName="free", Metrics=metrics, **settings)
        self.set("ALARM", "free")
        told = self.events()[0]["detail"]["configuration"]["metrics"]
        self.assertEqual({"id": "e1", "expression": "m1/1000", "label": "GB", "returnData": True}, told[1])
        self.assertEqual((False, "Minimum"), (told[0]["returnData"], told[0]["metricStat"]["stat"]))

    def test_tags_are_told_if_they_are_propagated(self):
        body = {
            "AlarmName": "tagged",
            **WEB,
            "Tags": [{"Key": "team", "Value": "web"}, {"Key": "cost", "Value": "7"}],
            "ActionConfiguration": {"AlarmTagsPropagation": {"Enabled": True, "ExcludedTagKeys": ["cost"]}},
        }
        scope = f"{self.account}/20260101/us-east-1/monitoring/aws4_request"
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none",
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "GraniteServiceVersion20100801.PutMetricAlarm",
        }
        # This SDK does not know the member yet; Rust's does.
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        urllib.request.urlopen(request).close()
        self.set("ALARM", "tagged")
        detail = self.events()[0]["detail"]
        self.assertEqual(({"team": "web"}, "SUCCESS"), (detail["alarmTags"], detail["alarmTagsStatus"]))

    def test_contributors_are_told_each_for_itself(self):
        self.put_query()
        put = {"alarm": "busy", "attributes": {"ServiceName": "web"}}
        identifier = self.control("cloudwatch/contributors", **put)["id"]
        self.control("cloudwatch/contributors", **{**put, "attributes": {"ServiceName": "api"}})
        self.control("cloudwatch/contributors", **put, state="OK")
        told = self.events("CloudWatch Alarm Contributor State Change")
        self.assertEqual(["ALARM", "ALARM", "OK"], [event["detail"]["state"]["value"] for event in told])
        self.assertEqual({"id": identifier, "attributes": {"ServiceName": "web"}}, told[0]["detail"]["alarmContributor"])
        self.assertNotIn("previousState", told[0]["detail"])
        self.assertEqual(QUERY, told[0]["detail"]["configuration"]["metrics"][0]["expression"])
        [event] = self.events()
        self.assertEqual("1 out of 1 time series evaluated to ALARM", event["detail"]["state"]["reason"])
        self.assertNotIn("reasonData", event["detail"]["state"])
        [left] = self.cloudwatch.describe_alarm_contributors(AlarmName="busy")["AlarmContributors"]
        self.assertEqual({"ServiceName": "api"}, left["ContributorAttributes"])

    def test_other_alarms_have_no_contributors(self):
        self.put()
        self.assert_refused("ValidationError", self.cloudwatch.describe_alarm_contributors, AlarmName="web-5xx")
        self.assert_refused("ResourceNotFoundException", self.cloudwatch.describe_alarm_contributors, AlarmName="x")
        refusal = self.control_refusal("cloudwatch/contributors", alarm="web-5xx", attributes={"a": "b"})
        self.assertIn("Metrics Insights", refusal)

    def test_changes_of_the_configuration_are_told(self):
        self.put()
        self.put(Threshold=9.0)
        self.cloudwatch.delete_alarms(AlarmNames=["web-5xx"])
        told = [event["detail"] for event in self.events("CloudWatch Alarm Configuration Change")]
        self.assertEqual(["create", "update", "delete"], [detail["operation"] for detail in told])
        thresholds = told[1]["previousConfiguration"]["threshold"], told[1]["configuration"]["threshold"]
        self.assertEqual((5.0, 9.0), thresholds)


class Composites(CloudWatchTest):
    def setUp(self):
        super().setUp()
        self.put("a")
        self.put("b")

    def state(self, name="all"):
        return self.alarm(name, "Composite")["StateValue"]

    def test_they_follow_their_children(self):
        self.put_composite('ALARM(a) AND NOT ALARM("b")')
        self.assertEqual("OK", self.state())
        self.set("ALARM", "a")
        self.assertEqual("ALARM", self.state())
        arn = self.alarm("a")["AlarmArn"]
        told = [event["detail"] for event in self.events() if event["detail"]["alarmName"] == "all"]
        self.assertEqual(["OK", "ALARM"], [detail["state"]["value"] for detail in told])
        self.assertEqual({"alarmRule": 'ALARM(a) AND NOT ALARM("b")'}, told[1]["configuration"])
        self.assertTrue(told[1]["state"]["reason"].startswith(f"{arn} transitioned to ALARM at "))
        [trigger] = json.loads(told[1]["state"]["reasonData"])["triggeringAlarms"]
        self.assertEqual((arn, "ALARM"), (trigger["arn"], trigger["state"]["value"]))
        self.set("ALARM", "b")
        self.assertEqual("OK", self.state())

    def test_rules_know_precedence_and_arns(self):
        arn = self.alarm("a")["AlarmArn"]
        self.put_composite(f"FALSE AND TRUE OR (INSUFFICIENT_DATA({arn}) AND NOT OK(b))")
        self.assertEqual("ALARM", self.state())

    def test_rules_that_make_no_sense_are_refused(self):
        for rule in ("ALARM(a", "ALARM a", "ALARM(a) ALARM(b)", "AND", "ALARM(nobody)"):
            with self.subTest(rule):
                self.assert_refused("ValidationError", self.cloudwatch.put_composite_alarm, AlarmName="x", AlarmRule=rule)

    def test_they_are_described_only_if_asked_for(self):
        self.put_composite("ALARM(a)")
        self.assertEqual(["a", "b"], self.names())
        self.assertEqual(["all"], self.names(AlarmTypes=["CompositeAlarm"]))
        self.assertEqual(["a", "b", "all"], self.names(AlarmTypes=["CompositeAlarm", "MetricAlarm"]))

    def test_children_and_parents_are_found(self):
        self.put_composite("ALARM(a) OR ALARM(b)")
        self.put_composite("ALARM(all)", "above")
        children = self.cloudwatch.describe_alarms(ChildrenOfAlarmName="all")
        self.assertEqual(["a", "b"], [alarm["AlarmName"] for alarm in children["MetricAlarms"]])
        self.assertEqual(
            {"AlarmName", "AlarmArn", "StateValue", "StateUpdatedTimestamp"}, set(children["MetricAlarms"][0])
        )
        [parent] = self.cloudwatch.describe_alarms(ParentsOfAlarmName="all")["CompositeAlarms"]
        self.assertEqual({"AlarmName": "above", "AlarmArn": self.alarm("above", "Composite")["AlarmArn"]}, parent)
        describe = self.cloudwatch.describe_alarms
        self.assert_refused("ValidationError", describe, ParentsOfAlarmName="a", StateValue="OK")

    def test_children_are_not_deleted(self):
        self.put_composite("ALARM(a)")
        self.assert_refused("ValidationError", self.cloudwatch.delete_alarms, AlarmNames=["a"])
        self.cloudwatch.delete_alarms(AlarmNames=["all", "a"])
        self.assertEqual(["b"], self.names(AlarmTypes=["CompositeAlarm", "MetricAlarm"]))

    def test_a_suppressor_is_waited_for(self):
        periods = {"ActionsSuppressorWaitPeriod": 120, "ActionsSuppressorExtensionPeriod": 180}
        self.put_composite("ALARM(a)", ActionsSuppressor="b", **periods)
        self.control("settle")
        self.assertNotIn("ActionsSuppressedBy", self.alarm("all", "Composite"))
        self.set("ALARM", "a")
        alarm = self.alarm("all", "Composite")
        self.assertEqual("WaitPeriod", alarm["ActionsSuppressedBy"])
        state = self.events()[-1]["detail"]["state"]
        self.assertEqual("WaitPeriod", state["actionsSuppressedBy"])
        self.assertEqual("Actions suppressed by WaitPeriod", state["actionsSuppressedReason"])
        self.set("ALARM", "b")
        self.assertEqual("Alarm", self.alarm("all", "Composite")["ActionsSuppressedBy"])
        self.control("settle")
        self.assertEqual("Alarm", self.alarm("all", "Composite")["ActionsSuppressedBy"])
        self.set("OK", "b")
        self.assertEqual("ExtensionPeriod", self.alarm("all", "Composite")["ActionsSuppressedBy"])
        self.control("settle")
        self.assertNotIn("ActionsSuppressedBy", self.alarm("all", "Composite"))

    def test_a_suppressor_has_both_periods(self):
        put = self.cloudwatch.put_composite_alarm
        self.assert_refused("ValidationError", put, AlarmName="x", AlarmRule="ALARM(a)", ActionsSuppressor="b")


class Mutes(CloudWatchTest):
    def status(self, name="tonight"):
        return self.cloudwatch.get_alarm_mute_rule(AlarmMuteRuleName=name)["Status"]

    def test_a_muted_alarm_tells_by_whom(self):
        self.put()
        self.mute()
        self.set("ALARM")
        mute = self.events()[0]["detail"]["muteDetail"]
        arn = f"arn:aws:cloudwatch:us-east-1:{self.account}:alarm-mute-rule:tonight"
        self.assertEqual(arn, mute["mutedByArn"])
        begin, end = (datetime.strptime(mute[f"muteWindow{at}"], "%Y-%m-%dT%H:%M:%S.%f%z") for at in ("Start", "End"))
        self.assertEqual(timedelta(hours=1), end - begin)

    def test_rules_are_scheduled_active_and_expired(self):
        self.mute(begin=-10)
        self.assertEqual("ACTIVE", self.status())
        self.mute(begin=10)
        self.assertEqual("SCHEDULED", self.status())
        self.mute(begin=-100)
        self.assertEqual("EXPIRED", self.status())
        now = datetime.now(timezone.utc)
        self.mute(begin=-10, ExpireDate=now - timedelta(minutes=1))
        self.assertEqual("EXPIRED", self.status())
        self.mute(begin=-10, StartDate=now + timedelta(minutes=5))
        self.assertEqual("SCHEDULED", self.status())

    def test_a_recurring_rule_is_active_in_its_windows(self):
        now = datetime.now(timezone.utc) - timedelta(minutes=90)
        weekday = now.strftime("%a").upper()
        cron = f"cron({now.minute} {now.hour} * * {weekday})"
        for duration, status in (("PT2H", "ACTIVE"), ("PT1H", "SCHEDULED"), ("P1DT1H", "ACTIVE")):
            self.mute(Rule={"Schedule": {"Expression": cron, "Duration": duration}})
            self.assertEqual(status, self.status())
        rule = self.cloudwatch.get_alarm_mute_rule(AlarmMuteRuleName="tonight")
        self.assertEqual(("RECURRING", ["web-5xx"]), (rule["MuteType"], rule["MuteTargets"]["AlarmNames"]))

    def test_a_rule_may_name_its_time_zone(self):
        from zoneinfo import ZoneInfo

        there = datetime.now(ZoneInfo("Asia/Tokyo")) - timedelta(minutes=5)
        schedule = {"Expression": f"at({there:%Y-%m-%dT%H:%M})", "Duration": "PT10M", "Timezone": "Asia/Tokyo"}
        self.mute(Rule={"Schedule": schedule})
        self.assertEqual("ACTIVE", self.status())

    def test_rules_are_listed_by_alarm_and_status(self):
        self.mute("one", ["a"])
        self.mute("two", ["a", "b"], begin=10)
        listed = self.cloudwatch.list_alarm_mute_rules

        def names(**wanted):
            found = listed(**wanted)["AlarmMuteRuleSummaries"]
            return [rule["AlarmMuteRuleArn"].split(":")[-1] for rule in found]

        self.assertEqual(["one", "two"], names())
        self.assertEqual(["two"], names(AlarmName="b"))
        self.assertEqual(["two"], names(AlarmName="a", Statuses=["SCHEDULED"]))
        first = listed(MaxRecords=1)
        self.assertEqual("ACTIVE", first["AlarmMuteRuleSummaries"][0]["Status"])
        self.assertEqual(["two"], names(MaxRecords=1, NextToken=first["NextToken"]))

    def test_a_deleted_rule_mutes_no_longer(self):
        self.put()
        self.mute()
        for _ in range(2):
            self.cloudwatch.delete_alarm_mute_rule(AlarmMuteRuleName="tonight")
        self.set("ALARM")
        self.assertNotIn("muteDetail", self.events()[0]["detail"])
        self.assert_refused(
            "ResourceNotFoundException", self.cloudwatch.get_alarm_mute_rule, AlarmMuteRuleName="tonight"
        )

    def test_rules_that_make_no_sense_are_refused(self):
        for expression, duration in (("rate(1 day)", "PT1H"), ("cron(0 2 * *)", "PT1H"), ("at(2026-01-01T00:00)", "PT1S")):
            rule = {"Schedule": {"Expression": expression, "Duration": duration}}
            put = {"Name": "x", "Rule": rule}
            self.assert_refused("ValidationError", self.cloudwatch.put_alarm_mute_rule, **put)


class Metrics(CloudWatchTest):
    METRIC = {"namespace": "AWS/RDS", "metric": "FreeStorageSpace", "dimensions": {"DBInstanceIdentifier": "db"}}

    def query(self, identifier="m1", **more):
        dimensions = [{"Name": "DBInstanceIdentifier", "Value": "db"}]
        metric = {"Namespace": "AWS/RDS", "MetricName": "FreeStorageSpace", "Dimensions": dimensions}
        return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Minimum"}, **more}

    def values(self, *queries, minutes=3, **more):
        end = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
        found = self.cloudwatch.get_metric_data(
            MetricDataQueries=list(queries), StartTime=end - timedelta(minutes=minutes), EndTime=end, **more
        )
        return {result["Id"]: result["Values"] for result in found["MetricDataResults"]}

    def test_a_metric_has_the_value_that_it_was_given(self):
        self.assertEqual({"m1": []}, self.values(self.query()))
        self.control("cloudwatch/metrics", **self.METRIC, value=1.5e9)
        self.assertEqual({"m1": [1.5e9] * 3}, self.values(self.query()))

    def test_points_come_newest_first_unless_it_is_said_otherwise(self):
        points = [{"at": "2026-01-31T11:57:30Z", "value": 3}, {"at": "2026-01-31T11:59:10Z", "value": 1}]
        self.control("cloudwatch/metrics", **self.METRIC, points=points)
        self.assertEqual({"m1": [1.0, 3.0]}, self.values(self.query()))
        self.assertEqual({"m1": [3.0, 1.0]}, self.values(self.query(), ScanBy="TimestampAscending"))

    def test_expressions_are_calculated_or_given(self):
        self.control("cloudwatch/metrics", **self.METRIC, value=10)
        self.control("cloudwatch/metrics", expression=QUERY, value=91)
        queries = [
            {"Id": "e1", "Expression": "100 * m1 / e2"},
            {"Id": "e2", "Expression": "m1 + m1", "ReturnData": False},
            self.query(ReturnData=False),
            {"Id": "q1", "Expression": QUERY.replace("GROUP", " GROUP"), "Period": 60},
            {"Id": "e3", "Expression": "ANOMALY_DETECTION_BAND(m1, 2)"},
        ]
        self.assertEqual({"e1": [50.0], "q1": [91.0], "e3": []}, self.values(*queries, minutes=1))

    def test_what_was_reported_counts_too(self):
        at = datetime(2026, 1, 31, 11, 59, 30, tzinfo=timezone.utc)
        datum = {"MetricName": "FreeStorageSpace", "Value": 7, "Timestamp": at}
        datum["Dimensions"] = [{"Name": "DBInstanceIdentifier", "Value": "db"}]
        self.cloudwatch.put_metric_data(Namespace="AWS/RDS", MetricData=[datum])
        self.assertEqual({"m1": [7.0]}, self.values(self.query()))

    def test_a_metric_without_a_value_makes_no_sense(self):
        self.assertIn("value or points", self.control_refusal("cloudwatch/metrics", **self.METRIC))


if __name__ == "__main__":
    unittest.main()
