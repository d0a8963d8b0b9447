"""AWS KMS as the plugin models it: whose a key is, and whether it can be used."""

import unittest

from support import AwsTest


class Keys(AwsTest):
    def setUp(self):
        super().setUp()
        self.kms = self.client("kms")

    def describe(self, name):
        return self.kms.describe_key(KeyId=name)["KeyMetadata"]

    def test_a_key_is_the_customers_or_of_aws(self):
        own = self.kms.create_key()["KeyMetadata"]
        self.kms.create_alias(AliasName="alias/own", TargetKeyId=own["KeyId"])
        for name in (own["KeyId"], own["Arn"], "alias/own", own["Arn"].split(":key/")[0] + ":alias/own"):
            self.assertEqual((own["Arn"], "CUSTOMER"), (self.describe(name)["Arn"], self.describe(name)["KeyManager"]))
        default = self.describe("alias/aws/rds")
        self.assertEqual(("AWS", "Enabled"), (default["KeyManager"], default["KeyState"]))
        self.assertEqual(default, self.describe(default["Arn"]))
        for name in ("alias/none", own["KeyId"][:-4] + "0000", own["Arn"][:-4] + "0000"):
            self.assert_refused("NotFoundException", self.kms.describe_key, KeyId=name)

    def test_a_key_by_its_arn_passes_through_its_states(self):
        arn = self.kms.create_key()["KeyMetadata"]["Arn"]
        for operation, state in [
            (self.kms.disable_key, "Disabled"),
            (self.kms.enable_key, "Enabled"),
            (self.kms.schedule_key_deletion, "PendingDeletion"),
            (self.kms.cancel_key_deletion, "Disabled"),
        ]:
            operation(KeyId=arn)
            self.assertEqual(state, self.describe(arn)["KeyState"])


if __name__ == "__main__":
    unittest.main()
