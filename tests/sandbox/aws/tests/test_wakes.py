"""What alarms do, and which rules, topics and alarms a function lets wake it."""

import io
import json
import os
import sys
import tempfile
import time
import unittest
import urllib.request
import zipfile

from support import AwsTest, Server

import boto3

ALARM = {
    "Namespace": "AWS/ECS",
    "MetricName": "CPUUtilization",
    "Dimensions": [{"Name": "ServiceName", "Value": "web"}],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 80,
    "ComparisonOperator": "GreaterThanThreshold",
}
QUERY = {
    "Metrics": [{"Id": "q1", "Expression": 'SELECT AVG(CPUUtilization) FROM "AWS/ECS" GROUP BY ServiceName', "Period": 60}],
    "EvaluationPeriods": 1,
    "Threshold": 80,
    "ComparisonOperator": "GreaterThanThreshold",
}
# Answers with what woke it, as Lambda's runtime API wants it.
ECHO = """#!{python}
import json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as woken:
        request, event = woken.headers["Lambda-Runtime-Aws-Request-Id"], woken.read()
    urllib.request.urlopen(urllib.request.Request(api + request + "/response", event, method="POST")).read()
"""
SHAPES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "..", "shared", "fixtures", "events")


def shape(value):
    """The keys of something, and of everything in it."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value[:1]] if isinstance(value, list) else None


def fixture(name):
    """An event as it is documented."""
    with open(os.path.join(SHAPES, f"{name}.json"), encoding="utf-8") as file:
        return json.load(file)


class Wakes(AwsTest):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        cls.addClassCleanup(directory.cleanup)
        cls.moto = Server("moto")
        cls.addClassCleanup(cls.moto.end)
        cls.ministack = Server("ministack", "--state-dir", directory.name, "--moto-url", cls.moto.url)
        cls.addClassCleanup(cls.ministack.end)

    def setUp(self):
        super().setUp()
        self.url = self.moto.url
        self.functions = self.plumbing("lambda")
        self.answers = self.queue("answers")
        self.function = self.echo()

    def plumbing(self, service):
        keys = {"aws_access_key_id": self.account, "aws_secret_access_key": "test"}
        return boto3.client(service, region_name="us-east-1", endpoint_url=self.ministack.url, **keys)

    def arn(self, service, resource):
        return f"arn:aws:{service}:us-east-1:{self.account}:{resource}"

    def queue(self, name):
        return self.plumbing("sqs").create_queue(QueueName=name)["QueueUrl"]

    def echo(self):
        """A function that answers with what woke it."""
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, ECHO.format(python=os.path.realpath(sys.executable)))
        self.functions.create_function(
            FunctionName="echo",
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role=self.arn("iam", "role/echo").replace("us-east-1", ""),
            Code={"ZipFile": package.getvalue()},
        )
        self.functions.put_function_event_invoke_config(
            FunctionName="echo", DestinationConfig={"OnSuccess": {"Destination": self.arn("sqs", "answers")}}
        )
        return self.arn("lambda", "function:echo")

    def let(self, principal, **source):
        self.functions.add_permission(
            FunctionName="echo", StatementId="let", Action="lambda:InvokeFunction", Principal=principal, **source
        )

    def received(self, queue=None, seconds=20):
        """What comes next."""
        answer = self.plumbing("sqs").receive_message(QueueUrl=queue or self.answers, WaitTimeSeconds=seconds)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def woke(self):
        [answer] = self.received()
        return answer["requestPayload"]

    def nobody_wakes(self):
        self.assertEqual([], self.received(seconds=1))

    def alarm(self, name="busy", **more):
        self.client("cloudwatch").put_metric_alarm(AlarmName=name, **{**ALARM, **more})

    def ring(self, name="busy", state="ALARM"):
        self.control("cloudwatch/alarms", alarm=name, state=state)

    def test_an_alarm_invokes_a_function_that_lets_it(self):
        self.alarm(AlarmActions=[self.function], AlarmDescription="It is busy.")
        self.ring()
        self.nobody_wakes()
        self.let("lambda.alarms.cloudwatch.amazonaws.com", SourceAccount=self.account)
        self.ring(state="OK")
        self.nobody_wakes()
        self.ring()
        woke = self.woke()
        self.assertEqual(self.arn("cloudwatch", "alarm:busy"), woke["alarmArn"])
        self.assertEqual(("ALARM", "OK"), tuple(woke["alarmData"][of]["value"] for of in ("state", "previousState")))
        expected = shape(fixture("alarm-by-action"))
        dimensions = expected["alarmData"]["configuration"]["metrics"][0]["metricStat"]["metric"]
        dimensions["dimensions"] = {"ServiceName": None}
        self.assertEqual(expected, shape(woke))

    def test_a_function_that_lets_another_account_or_alarm_is_not_invoked(self):
        for source in ({"SourceAccount": "111111111111"}, {"SourceArn": self.arn("cloudwatch", "alarm:idle")}):
            with self.subTest(source):
                self.let("lambda.alarms.cloudwatch.amazonaws.com", **source)
                self.alarm(AlarmActions=[self.function])
                self.ring(state="OK")
                self.ring()
                self.nobody_wakes()
                self.functions.remove_permission(FunctionName="echo", StatementId="let")

    def test_every_time_series_of_an_alarm_invokes_the_function(self):
        self.let("lambda.alarms.cloudwatch.amazonaws.com")
        self.client("cloudwatch").put_metric_alarm(AlarmName="busiest", AlarmActions=[self.function], **QUERY)
        self.control("cloudwatch/contributors", alarm="busiest", attributes={"ServiceName": "web"})
        woke = self.woke()
        self.assertEqual({"ServiceName": "web"}, woke["alarmData"]["alarmContributor"]["attributes"])
        self.assertEqual(shape(fixture("alarm-by-action-contributor")), shape(woke))
        self.nobody_wakes()

    def test_actions_that_are_disabled_muted_or_suppressed_are_kept_back(self):
        self.let("lambda.alarms.cloudwatch.amazonaws.com")
        cloudwatch = self.client("cloudwatch")
        self.alarm(AlarmActions=[self.function], ActionsEnabled=False)
        self.ring()
        minute = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() - 300))
        # This botocore does not know mute rules.
        self.alarm("muted", AlarmActions=[self.function])
        self.mute("muted", f"at({minute})")
        self.ring("muted")
        self.alarm("upkeep")
        cloudwatch.put_composite_alarm(
            AlarmName="all",
            AlarmRule="ALARM(busy)",
            AlarmActions=[self.function],
            ActionsSuppressor="upkeep",
            ActionsSuppressorWaitPeriod=60,
            ActionsSuppressorExtensionPeriod=60,
        )
        self.nobody_wakes()
        cloudwatch.put_composite_alarm(AlarmName="any", AlarmRule="ALARM(busy)", AlarmActions=[self.function])
        woke = self.woke()
        self.assertEqual("any", woke["alarmData"]["alarmName"])
        self.assertEqual({"alarmRule"}, set(woke["alarmData"]["configuration"]))

    def mute(self, alarm, expression):
        members = {
            "Name": alarm,
            "Rule": {"Schedule": {"Expression": expression, "Duration": "PT1H"}},
            "MuteTargets": {"AlarmNames": [alarm]},
        }
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self.account}/20260101/us-east-1/monitoring/aws4_request",
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "GraniteServiceVersion20100801.PutAlarmMuteRule",
        }
        request = urllib.request.Request(self.url, json.dumps(members).encode(), headers)
        urllib.request.urlopen(request).close()

    def test_an_alarm_publishes_to_a_topic_and_that_invokes_the_function(self):
        topics, letters = self.plumbing("sns"), self.queue("letters")
        topic = topics.create_topic(Name="alarms")["TopicArn"]
        topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.arn("sqs", "letters"))
        topics.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=self.function)
        self.alarm(AlarmActions=[topic], OKActions=[topic, self.arn("sns", "nobody")], AlarmDescription="It is busy.")
        self.ring()
        [letter] = self.received(letters)
        self.assertEqual('ALARM: "busy" in US East (N. Virginia)', letter["Subject"])
        self.nobody_wakes()
        self.let("sns.amazonaws.com", SourceArn=topic)
        self.ring(state="OK")
        woke = self.woke()
        expected = fixture("alarm-by-sns")
        [record], [told] = expected["Records"], woke["Records"]
        self.assertLessEqual(set(record["Sns"]), set(told["Sns"]))
        self.assertEqual({*record}, {*told})
        message = json.loads(told["Sns"]["Message"])
        self.assertEqual(("ALARM", "OK"), (message["OldStateValue"], message["NewStateValue"]))
        documented = json.loads(record["Sns"]["Message"])
        del documented["Trigger"]["DatapointsToAlarm"]  # The alarm has none.
        documented["OKActions"] = documented["AlarmActions"]
        self.assertEqual(shape(documented), shape(message))
        self.assertEqual([{"value": "web", "name": "ServiceName"}], message["Trigger"]["Dimensions"])

    def test_a_composite_alarm_and_one_of_metric_math_publish_what_they_go_by(self):
        topics, letters = self.plumbing("sns"), self.queue("letters")
        topic = topics.create_topic(Name="alarms")["TopicArn"]
        topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.arn("sqs", "letters"))
        errors = {"Namespace": "AWS/ApplicationELB", "MetricName": "Errors", "Dimensions": [{"Name": "a", "Value": "b"}]}
        metrics = [
            {"Id": "e1", "Expression": "100 * errors", "Label": "Error rate"},
            {"Id": "errors", "MetricStat": {"Metric": errors, "Period": 300, "Stat": "Sum"}, "ReturnData": False},
        ]
        cloudwatch = self.client("cloudwatch")
        cloudwatch.put_metric_alarm(AlarmName="rate", AlarmActions=[topic], **{**QUERY, "Metrics": metrics})
        cloudwatch.put_composite_alarm(AlarmName="any", AlarmRule='ALARM("rate")', AlarmActions=[topic])
        self.ring("rate")
        letters = [json.loads(letter["Message"]) for letter in self.received(letters) + self.received(letters, 1)]
        of = {letter["AlarmName"]: letter for letter in letters}
        documented = json.loads(fixture("alarm-by-sns-composite")["Records"][0]["Sns"]["Message"])
        self.assertEqual(set(documented), set(of["any"]))
        documented = json.loads(fixture("alarm-by-sns-metric-math")["Records"][0]["Sns"]["Message"])["Trigger"]["Metrics"]
        self.assertEqual(shape(documented), shape(of["rate"]["Trigger"]["Metrics"]))

    def test_a_rule_invokes_a_function_that_lets_it(self):
        rules = self.plumbing("events")
        pattern = {"source": ["aws.cloudwatch"], "detail": {"state": {"value": ["ALARM"]}}}
        rule = rules.put_rule(Name="alarms", EventPattern=json.dumps(pattern))["RuleArn"]
        rules.put_targets(Rule="alarms", Targets=[{"Id": "function", "Arn": self.function}])
        self.alarm()
        self.ring()
        self.nobody_wakes()
        self.let("events.amazonaws.com", SourceArn=rule)
        self.ring(state="OK")
        self.ring()
        self.assertEqual("CloudWatch Alarm State Change", self.woke()["detail-type"])


if __name__ == "__main__":
    unittest.main()
