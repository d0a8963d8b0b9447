"""AWS Systems Manager Change Calendar, and the ledger's kind of table, as ministack and its gaps serve them."""

import tempfile
import unittest

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from support import Server

ACCOUNT = "700000000900"
NIGHT = ("20261123T200000Z", "20261124T060000Z")


def calendar(kind, *events, extra=""):
    lines = ["BEGIN:VCALENDAR", "PRODID:-//AWS//Change Calendar 1.0//EN", "VERSION:2.0", f"X-CALENDAR-TYPE:{kind}"]
    for begin, end in events:
        separators = ["" if ";" in moment else ":" for moment in (begin, end)]
        lines += ["BEGIN:VEVENT", f"DTSTART{separators[0]}{begin}", f"DTEND{separators[1]}{end}"]
        lines += [extra] if extra else []
        lines += ["SUMMARY:An event", "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR"])


class Plumbing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        state = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        cls.addClassCleanup(state.cleanup)
        cls.server = Server("ministack", "--state-dir", state.name)
        cls.addClassCleanup(cls.server.end)

    @classmethod
    def client(cls, service, account=ACCOUNT):
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=cls.server.url,
            aws_access_key_id=account,
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def assert_refused(self, code, operation, *values, **parameters):
        with self.assertRaises(ClientError) as refused:
            operation(*values, **parameters)
        self.assertEqual(code, refused.exception.response["Error"]["Code"])
        return refused.exception.response


class Calendars(Plumbing):
    def setUp(self):
        self.ssm = self.client("ssm")

    def create(self, name, *content, **more):
        self.ssm.create_document(
            Name=name, DocumentType="ChangeCalendar", DocumentFormat="TEXT", Content=calendar(*content, **more)
        )
        self.addCleanup(self.ssm.delete_document, Name=name)

    def state(self, *names, at=None):
        more = {"AtTime": at} if at else {}
        answer = self.ssm.get_calendar_state(CalendarNames=list(names), **more)
        return answer["State"], answer.get("NextTransitionTime")

    def test_an_open_calendar_is_closed_during_its_events(self):
        self.create("open", "DEFAULT_OPEN", NIGHT)
        self.assertEqual(("OPEN", "2026-11-23T20:00:00Z"), self.state("open", at="2026-11-23T19:59:59Z"))
        self.assertEqual(("CLOSED", "2026-11-24T06:00:00Z"), self.state("open", at="2026-11-23T20:00:00Z"))
        self.assertEqual(("OPEN", None), self.state("open", at="2026-11-24T06:00:00Z"))

    def test_a_closed_calendar_is_open_during_its_events(self):
        begin = ";TZID=Europe/Berlin:20261123T210000"
        self.create("closed", "DEFAULT_CLOSED", (begin, NIGHT[1]))
        self.assertEqual(("CLOSED", "2026-11-23T20:00:00Z"), self.state("closed", at="2026-11-23T20:59:59+01:00"))
        self.assertEqual(("OPEN", "2026-11-24T06:00:00Z"), self.state("closed", at="2026-11-23T21:00:00+01:00"))

    def test_several_calendars_are_open_when_all_are(self):
        self.create("night", "DEFAULT_OPEN", NIGHT)
        self.create("always", "DEFAULT_OPEN")
        arn = f"arn:aws:ssm:us-east-1:{ACCOUNT}:document/always"
        self.assertEqual(("OPEN", "2026-11-23T20:00:00Z"), self.state("night", arn, at="2026-11-23T12:00:00Z"))
        self.assertEqual("CLOSED", self.state(arn, "night", at="2026-11-23T21:00:00Z")[0])

    def test_events_that_touch_are_one(self):
        self.create("two", "DEFAULT_OPEN", NIGHT, (NIGHT[1], "20261124T080000Z"))
        self.assertEqual(("CLOSED", "2026-11-24T08:00:00Z"), self.state("two", at="2026-11-23T21:00:00Z"))

    def test_a_calendar_is_closed_and_opened_by_its_document(self):
        self.create("now", "DEFAULT_OPEN")
        self.assertEqual("OPEN", self.state("now")[0])
        self.ssm.update_document(Name="now", DocumentVersion="$LATEST", Content=calendar("DEFAULT_CLOSED"))
        self.assertEqual("CLOSED", self.state("now")[0])
        same = {"Name": "now", "DocumentVersion": "$LATEST", "Content": calendar("DEFAULT_CLOSED")}
        self.assert_refused("DuplicateDocumentContent", self.ssm.update_document, **same)

    def test_what_is_no_calendar_is_refused(self):
        self.create("there", "DEFAULT_OPEN")
        refused = self.assert_refused
        refused("DocumentAlreadyExists", self.create, "there", "DEFAULT_OPEN")
        refused("InvalidDocumentContent", self.create, "wrong", "DEFAULT_AJAR")
        refused("InvalidDocumentContent", self.create, "wrong", "DEFAULT_OPEN", NIGHT, extra="RRULE:FREQ=DAILY")
        refused("InvalidDocumentContent", self.create, "wrong", "DEFAULT_OPEN", (":soon", NIGHT[1]))
        refused("InvalidDocument", self.ssm.get_calendar_state, CalendarNames=["there", "nowhere"])
        refused("ValidationException", self.ssm.get_calendar_state, CalendarNames=["there"], AtTime="noon")
        other = self.client("ssm", "700000000901")
        refused("InvalidDocument", other.get_calendar_state, CalendarNames=["there"])

    def test_parameters_are_ministacks_as_before(self):
        self.ssm.put_parameter(Name="/a", Value="b", Type="String")
        self.assertEqual("b", self.ssm.get_parameter(Name="/a")["Parameter"]["Value"])


class Ledger(Plumbing):
    """What the ledger relies on, which ministack does by itself."""

    NAME = "steward-ledger"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client("dynamodb").create_table(
            TableName=cls.NAME,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )

    def setUp(self):
        self.dynamodb = self.client("dynamodb")

    def test_a_condition_that_fails_tells_what_is_there(self):
        key = {"pk": {"S": "conditions"}, "sk": {"S": "lease#a"}}
        item = {**key, "holder": {"S": "one"}}
        absent = {"TableName": self.NAME, "ConditionExpression": "attribute_not_exists(pk)"}
        self.dynamodb.put_item(Item=item, **absent)
        told = {"TableName": self.NAME, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        other = {**told, "ConditionExpression": "holder = :h", "ExpressionAttributeValues": {":h": {"S": "two"}}}
        for operation, parameters in (
            (self.dynamodb.put_item, {"Item": item, **told, **absent}),
            (self.dynamodb.update_item, {"Key": key, "UpdateExpression": "SET holder = :h", **other}),
            (self.dynamodb.delete_item, {"Key": key, **other}),
        ):
            refusal = self.assert_refused("ConditionalCheckFailedException", operation, **parameters)
            self.assertEqual(item, refusal["Item"])
        self.assertEqual(item, self.dynamodb.get_item(TableName=self.NAME, Key=key, ConsistentRead=True)["Item"])

    def test_a_condition_on_what_is_not_there_fails_and_tells_nothing(self):
        key = {"pk": {"S": "conditions"}, "sk": {"S": "nobody"}}
        refusal = self.assert_refused(
            "ConditionalCheckFailedException",
            self.dynamodb.update_item,
            TableName=self.NAME,
            Key=key,
            UpdateExpression="SET holder = :h",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":h": {"S": "one"}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        self.assertNotIn("Item", refusal)

    def test_a_query_by_the_beginning_of_the_sort_key_comes_in_pages(self):
        sizes = [f"size#prod#{number}" for number in range(5)]
        for name in [*sizes, "size#test#0", "lease#prod"]:
            self.dynamodb.put_item(TableName=self.NAME, Item={"pk": {"S": "pages"}, "sk": {"S": name}})
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.NAME,
            ConsistentRead=True,
            KeyConditionExpression="pk = :p AND begins_with(sk, :s)",
            ExpressionAttributeValues={":p": {"S": "pages"}, ":s": {"S": "size#prod#"}},
            PaginationConfig={"PageSize": 2},
        )
        found = [[item["sk"]["S"] for item in page["Items"]] for page in pages]
        self.assertEqual([2, 2, 1], [len(page) for page in found])
        self.assertEqual(sizes, sum(found, []))

    def test_a_page_of_a_query_has_at_most_a_megabyte(self):
        for number in range(12):
            item = {"pk": {"S": "large"}, "sk": {"S": f"{number:02}"}, "text": {"S": "x" * 100_000}}
            self.dynamodb.put_item(TableName=self.NAME, Item=item)
        answer = self.dynamodb.query(
            TableName=self.NAME,
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": "large"}},
        )
        self.assertLess(answer["Count"], 12)
        self.assertIn("LastEvaluatedKey", answer)


if __name__ == "__main__":
    unittest.main()
