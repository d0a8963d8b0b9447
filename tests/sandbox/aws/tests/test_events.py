"""What moto's services tell is on ministack's event bus, and goes where its rules say."""

import json
import tempfile
import unittest
import urllib.request

from support import AwsTest, Server

import boto3

PATTERN = {
    "source": ["aws.cloudwatch"],
    "detail-type": ["CloudWatch Alarm State Change"],
    "detail": {"state": {"value": ["ALARM"]}},
}
ENVELOPE = {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
ALARM = {
    "Namespace": "AWS/ECS",
    "MetricName": "CPUUtilization",
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 80,
    "ComparisonOperator": "GreaterThanThreshold",
}


class Bus(AwsTest):
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

    def plumbing(self, service, region="us-east-1"):
        keys = {"aws_access_key_id": self.account, "aws_secret_access_key": "test"}
        return boto3.client(service, region_name=region, endpoint_url=self.ministack.url, **keys)

    def queue(self, region="us-east-1"):
        """A queue behind a rule for alarms."""
        queue = self.plumbing("sqs", region).create_queue(QueueName="alarms")["QueueUrl"]
        rules = self.plumbing("events", region)
        rules.put_rule(Name="alarms", EventPattern=json.dumps(PATTERN))
        arn = f"arn:aws:sqs:{region}:{self.account}:alarms"
        rules.put_targets(Rule="alarms", Targets=[{"Id": "queue", "Arn": arn}])
        return queue

    def received(self, queue, region="us-east-1"):
        answer = self.plumbing("sqs", region).receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def raise_alarm(self, region="us-east-1"):
        cloudwatch = self.client("cloudwatch", region)
        cloudwatch.put_metric_alarm(AlarmName="busy", **ALARM)
        cloudwatch.set_alarm_state(AlarmName="busy", StateValue="ALARM", StateReason="because")

    def test_an_alarm_is_heard_where_it_rings(self):
        here, there = self.queue(), self.queue("eu-west-1")
        self.raise_alarm()
        [event] = self.received(here)
        self.assertEqual([], self.received(there, "eu-west-1"))
        self.assertEqual((self.account, "us-east-1"), (event["account"], event["region"]))
        self.assertEqual(ENVELOPE, set(event))
        kept = json.load(urllib.request.urlopen(f"{self.url}/sandbox/events?account={self.account}"))[-1]
        self.assertEqual(kept["detail"], event["detail"])

    def test_nobody_else_speaks_for_aws(self):
        entry = {"Source": "aws.cloudwatch", "DetailType": PATTERN["detail-type"][0], "Detail": "{}"}
        answer = self.plumbing("events").put_events(Entries=[entry])
        self.assertEqual("NotAuthorizedForSourceException", answer["Entries"][0]["ErrorCode"])

    def test_there_is_no_bus_elsewhere(self):
        self.assertIn("not on this machine", self.control_refusal("events/bus", url="http://203.0.113.7:80"))


if __name__ == "__main__":
    unittest.main()
