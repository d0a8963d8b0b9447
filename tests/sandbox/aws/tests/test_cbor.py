"""CloudWatch in the protocol that the Rust SDK speaks, which this SDK's client would not choose by itself."""

import unittest
import urllib.error
import urllib.request

from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from support import AwsTest

PROTOCOL = "smithy-rpc-v2-cbor"


class CloudWatchInCbor(AwsTest):
    def call(self, operation, **parameters):
        """The status and the parsed answer of a call."""
        model = self.client("cloudwatch").meta.service_model.operation_model(operation)
        request = create_serializer(PROTOCOL).serialize_to_request(parameters, model)
        scope = f"{self.account}/20260101/us-east-1/monitoring/aws4_request"
        headers = {
            **request["headers"],
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none",
        }
        url = self.url + request["url_path"]
        try:
            answer = urllib.request.urlopen(urllib.request.Request(url, data=bytes(request["body"]), headers=headers))
        except urllib.error.HTTPError as refused:
            answer = refused
        with answer:
            self.assertEqual("rpc-v2-cbor", answer.headers["smithy-protocol"])
            self.assertEqual("application/cbor", answer.headers["content-type"])
            received = {"body": answer.read(), "headers": dict(answer.headers), "status_code": answer.status}
        parsed = create_parser(PROTOCOL).parse(received, model.output_shape)
        return answer.status, parsed

    def put_alarm(self, **more):
        return self.call(
            "PutMetricAlarm",
            AlarmName="web-5xx",
            Namespace="AWS/ApplicationELB",
            MetricName="HTTPCode_Target_5XX_Count",
            Dimensions=[{"Name": "LoadBalancer", "Value": "app/web/1"}],
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=2,
            Threshold=5.5,
            ComparisonOperator="GreaterThanThreshold",
            ActionsEnabled=True,
            **more,
        )

    def test_an_alarm_comes_back_as_it_was_put(self):
        self.assertEqual(200, self.put_alarm()[0])
        _, answer = self.call("DescribeAlarms", AlarmNames=["web-5xx"])
        [alarm] = answer["MetricAlarms"]
        by_json = self.client("cloudwatch").describe_alarms(AlarmNames=["web-5xx"])["MetricAlarms"]
        self.assertEqual(by_json, [alarm])
        self.assertEqual((5.5, 60, True), (alarm["Threshold"], alarm["Period"], alarm["ActionsEnabled"]))

    def test_it_is_recorded_like_any_other_call(self):
        self.call("DescribeAlarms", AlarmNames=["web-5xx"])
        [call] = self.calls()
        self.assertEqual(("cloudwatch", "DescribeAlarms"), (call["service"], call["operation"]))
        self.assertEqual({"AlarmNames": ["web-5xx"]}, call["body"])

    def test_a_fault_speaks_it_too(self):
        self.control("faults", service="cloudwatch", operation="DescribeAlarms", code="Throttling", message="slow down")
        status, answer = self.call("DescribeAlarms")
        self.assertEqual(400, status)
        self.assertEqual(("Throttling", "slow down"), (answer["Error"]["Code"], answer["Error"]["Message"]))


if __name__ == "__main__":
    unittest.main()
