"""copy-account.yaml lets the other account's function do there what its code does, and nothing else."""

import re
import unittest

from template import Refused, Stack, load
from test_automation import HOUSE, is_read, listed, statements

TEMPLATE = load("copy-account.yaml")
GIVEN = {
    "RotationRoleArn": "arn:aws:iam::210987654321:role/steward-SnapshotRotationRole-0A1B",
    "ExternalId": "0123456789abcdef",
    "SourceRegion": "eu-west-1",
}
SOURCE_KEY = "arn:aws:kms:eu-west-1:210987654321:key/0a1b"
EVERYTHING = {"SourceKeyArn": SOURCE_KEY, "RestorePointBucket": "points"}


def stack(**given):
    return Stack(TEMPLATE, **GIVEN, **given)


def by_sid(stack):
    return {statement["Sid"]: statement for statement in statements(stack, "CopyRole")}


class CopyAccount(unittest.TestCase):
    def test_whatever_is_referred_to_exists(self):
        for given in ({}, EVERYTHING, {"AllowDeletion": "false"}, {"PermissionsBoundaryArn": "arn:aws:iam::aws:policy/a"}):
            self.assertEqual(stack(**given).dangling(), [])

    def test_only_the_function_with_the_external_id_gets_in(self):
        (trust,) = stack().resources["CopyRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual(trust["Principal"], {"AWS": GIVEN["RotationRoleArn"]})
        self.assertEqual(trust["Condition"], {"StringEquals": {"sts:ExternalId": GIVEN["ExternalId"]}})
        for wrong in ({"ExternalId": "short"}, {"RotationRoleArn": "arn:aws:iam::*:role/any"}):
            with self.assertRaises(Refused):
                Stack(TEMPLATE, **(GIVEN | wrong))

    def test_it_allows_what_the_code_calls_in_a_place(self):
        code = (HOUSE / "functions/snapshot-rotation/src/permissions.rs").read_text()
        known = set(re.findall(r'"([a-z0-9-]+:[A-Z][\w*]+)"', code))
        granted = {
            action
            for statement in by_sid(stack(**EVERYTHING)).values()
            if statement["Effect"] == "Allow"
            for action in listed(statement["Action"])
        }
        # Databases are in the other account, with everything that uses them, and sharing is done from there.
        self.assertEqual(granted - known, set())
        self.assertEqual(
            {action for action in known - granted if action.startswith("rds:") and not is_read(action)},
            {"rds:CreateDBSnapshot", "rds:ModifyDBSnapshotAttribute"},
        )
        self.assertLessEqual({"rds:DescribeDBSnapshots", "rds:DescribeAccountAttributes"}, granted)

    def test_writes_are_scoped(self):
        shared = "arn:aws:rds:eu-west-1:210987654321:snapshot:steward-*"
        own = "arn:aws:rds:eu-central-1:123456789012:snapshot:steward-*"
        whole = stack(**EVERYTHING)
        found = by_sid(whole)
        for sid, resources in (
            ("CopyWhatIsShared", [shared, own]),
            ("DeleteItsOwnCopies", [own]),
            ("UseKeysThroughRds", ["${CopyKey.Arn}", SOURCE_KEY]),
            ("GrantKeysToRds", ["${CopyKey.Arn}", SOURCE_KEY]),
            ("ListRestorePoints", ["arn:aws:s3:::points"]),
            ("KeepRestorePoints", ["arn:aws:s3:::points/*"]),
        ):
            self.assertEqual(list(map(whole.text, listed(found[sid]["Resource"]))), resources, sid)
        self.assertEqual(
            found["DeleteItsOwnCopies"]["Condition"],
            {"StringEquals": {"aws:ResourceTag/steward:managed-by": "snapshot-rotation"}},
        )
        self.assertEqual(found["NothingOnHold"]["Condition"], {"Null": {"aws:ResourceTag/steward:hold": "false"}})
        self.assertEqual(
            found["GrantKeysToRds"]["Condition"],
            {
                "StringLike": {"kms:ViaService": "rds.*.amazonaws.com"},
                "Bool": {"kms:GrantIsForAWSResource": "true"},
            },
        )
        self.assertNotIn("DeleteItsOwnCopies", by_sid(stack(AllowDeletion="false")))
        self.assertEqual(whole.text(by_sid(stack())["UseKeysThroughRds"]["Resource"][0]), "${CopyKey.Arn}")
        self.assertEqual(len(by_sid(stack())["UseKeysThroughRds"]["Resource"]), 1)


if __name__ == "__main__":
    unittest.main()
