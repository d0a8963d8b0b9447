"""What the tests share: one server for all of them, an account of its own for each test, and the control API."""

import atexit
import itertools
import json
import os
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

sys.dont_write_bytecode = True

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

SERVE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "serve.py")

_next_account = itertools.count(700_000_000_001)
_server = None


class Server:
    """An emulator as the sandbox runs it. It ends with the pipe that is its standard input."""

    def __init__(self, *arguments, **environment):
        self.process = subprocess.Popen(
            [sys.executable, SERVE, *arguments, "--port", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            text=True,
        )
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise RuntimeError(f"the emulator did not start; it said {line!r}")
        self.url = f"http://127.0.0.1:{int(line.split()[1])}"

    def end(self):
        """End it as a dying parent would, and wait until it is gone."""
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


def moto_server():
    """The server that all tests of this run share."""
    global _server
    if _server is None:
        _server = Server("moto")
        atexit.register(_server.end)
    return _server


class AwsTest(unittest.TestCase):
    """A test against moto with the plugin, in an account that no other test uses."""

    maxDiff = None

    def setUp(self):
        self.url = moto_server().url
        self.account = str(next(_next_account))

    def client(self, service, region="us-east-1", access_key_id=None):
        """An SDK client of this test's account that doesn't retry."""
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=access_key_id or self.account,
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def control(self, path, **members):
        """A control request for this test's account."""
        body = json.dumps({"account": self.account, **members}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/sandbox/{path}", data=body)) as answer:
            return json.load(answer)

    def control_refusal(self, path, **members):
        """What the control API says to a request that makes no sense."""
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.control(path, **members)
        self.assertEqual(400, refused.exception.code)
        with refused.exception as answer:
            return json.load(answer)["error"]

    def calls(self):
        """The record of calls of this test's account."""
        with urllib.request.urlopen(f"{self.url}/sandbox/calls?account={self.account}") as answer:
            return json.load(answer)

    def assert_refused(self, code, operation, **parameters):
        """Assert that AWS refuses an operation with an error code; returns the error's message."""
        with self.assertRaises(ClientError) as refused:
            operation(**parameters)
        self.assertEqual(code, refused.exception.response["Error"]["Code"])
        return refused.exception.response["Error"]["Message"]
