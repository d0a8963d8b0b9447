"""Which account an access key id stands for."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import accounts


class Accounts(unittest.TestCase):
    def test_twelve_digits_are_the_account(self):
        self.assertEqual("222222222222", accounts.account_of_access_key("222222222222"))

    def test_a_session_of_a_role_is_in_the_account_of_the_role(self):
        self.assertEqual("222222222222", accounts.account_of_access_key("ASIAX222222222222" + "0123456789ABCDEF"))

    def test_everything_else_is_the_default_account(self):
        for access_key_id in ("ASIA0123456789ABCDEF", "AKIAIOSFODNN7EXAMPLE", "22222222222", "ASIAX222222222222", "test"):
            self.assertEqual(accounts.DEFAULT_ACCOUNT, accounts.account_of_access_key(access_key_id))


if __name__ == "__main__":
    unittest.main()
