"""The two servers as processes: that they answer, stay on this machine, and leave nothing behind."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import zipfile

from support import SERVE, Server

import boto3

# A function that tells where it runs, as a binary of any language would have to: by the Lambda runtime API.
BOOTSTRAP = f"""#!{sys.executable}
import json, os, urllib.request
runtime = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(runtime + "next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
    answer = {{"pid": os.getpid(), "parent": os.getppid(), "environment": dict(os.environ)}}
    urllib.request.urlopen(urllib.request.Request(runtime + request + "/response", data=json.dumps(answer).encode()))
"""


def is_running(pid):
    """True if there is such a process, and it is more than an entry that nobody has read yet."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def children_of(pid):
    """The processes that a process started."""
    said = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(child) for child in said.split()]


def descendants_of(pid):
    """The processes that a process started, and those that these started."""
    found = children_of(pid)
    return found + [each for child in found for each in descendants_of(child)]


class ServeTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(directory.cleanup)
        self.state_dir = directory.name

    def start_ministack(self, *arguments):
        server = Server("ministack", "--state-dir", self.state_dir, *arguments)
        self.addCleanup(server.end)
        return server

    def run_function(self, url):
        """Make a function and run it once; returns what it says of itself."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            bootstrap = zipfile.ZipInfo("bootstrap")
            bootstrap.external_attr = 0o755 << 16
            files.writestr(bootstrap, BOOTSTRAP)
        functions = boto3.client(
            "lambda",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id="123456789012",
            aws_secret_access_key="test",
        )
        functions.create_function(
            FunctionName="where",
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role="arn:aws:iam::123456789012:role/where",
            Code={"ZipFile": archive.getvalue()},
        )
        return json.load(functions.invoke(FunctionName="where")["Payload"])

    def assert_gone(self, *pids):
        deadline = time.monotonic() + 10
        while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual([], [pid for pid in pids if is_running(pid)])


class Ministack(ServeTest):
    def test_a_function_runs_below_the_state_directory_and_knows_both_emulators(self):
        server = self.start_ministack("--moto-url", "http://127.0.0.1:1")
        environment = self.run_function(server.url)["environment"]
        self.assertEqual(server.url, environment["AWS_ENDPOINT_URL"])
        self.assertEqual("http://127.0.0.1:1", environment["AWS_ENDPOINT_URL_ECR"])
        self.assertEqual("http://127.0.0.1:1", environment["AWS_ENDPOINT_URL_LAMBDA"])
        root = os.path.realpath(self.state_dir)
        for name in ("LAMBDA_TASK_ROOT", "TMPDIR"):
            self.assertEqual(root, os.path.commonpath([root, os.path.realpath(environment[name])]))

    def test_all_processes_end_with_standard_input(self):
        server = self.start_ministack()
        where = self.run_function(server.url)
        server.end()
        self.assert_gone(server.process.pid, where["parent"], where["pid"])

    def test_all_processes_end_when_any_of_them_is_killed(self):
        for victim in ("keeper", "ministack", "keeper, politely"):
            with self.subTest(victim):
                server = self.start_ministack()
                where = self.run_function(server.url)
                if victim == "ministack":
                    os.kill(where["parent"], signal.SIGKILL)
                elif victim == "keeper":
                    os.kill(server.process.pid, signal.SIGKILL)
                else:
                    os.kill(server.process.pid, signal.SIGTERM)
                server.process.wait(timeout=10)
                self.assert_gone(server.process.pid, where["parent"], where["pid"])

    def test_all_processes_end_when_whoever_started_them_is_killed(self):
        starter = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import subprocess, sys, time\n"
                "server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
                "print(server.pid, flush=True)\n"
                "time.sleep(600)\n",
                *(sys.executable, SERVE, "ministack", "--port", "0", "--state-dir", self.state_dir),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(starter.stdout.close)
        keeper = int(starter.stdout.readline())
        port = int(starter.stdout.readline().removeprefix("ready "))
        where = self.run_function(f"http://127.0.0.1:{port}")
        os.kill(starter.pid, signal.SIGKILL)
        starter.wait(timeout=10)
        self.assert_gone(keeper, where["parent"], where["pid"])


class Moto(ServeTest):
    def start_moto(self):
        # What is killed leaves its files behind, and the sandbox removes them by this directory.
        server = Server("moto", TMPDIR=self.state_dir)
        self.addCleanup(server.end)
        return server

    def real_database(self, url):
        """Make a database real; returns where it answers and the processes that it takes."""
        rds = boto3.client(
            "rds", "us-east-1", endpoint_url=url, aws_access_key_id="123456789012", aws_secret_access_key="test"
        )
        rds.create_db_instance(
            DBInstanceIdentifier="db",
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            AllocatedStorage=20,
            MasterUsername="master",
            MasterUserPassword="not-a-secret",
        )
        request = urllib.request.Request(f"{url}/sandbox/database/real", data=b'{"instance": "db"}')
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def test_databases_end_with_it_however_it_ends(self):
        for end in ("standard input", "SIGTERM", "SIGKILL", "its keeper is killed"):
            with self.subTest(end):
                server = self.start_moto()
                connection = self.real_database(server.url)
                socket.create_connection((connection["host"], connection["port"])).close()
                family = descendants_of(server.process.pid)
                self.assertGreaterEqual(len(family), 3, "a keeper, the server and its own processes")
                if end == "standard input":
                    server.process.stdin.close()
                elif end == "its keeper is killed":
                    [keeper] = children_of(server.process.pid)
                    os.kill(keeper, signal.SIGKILL)
                    self.assert_gone(*family)
                    server.end()
                else:
                    os.kill(server.process.pid, getattr(signal, end))
                self.assert_gone(server.process.pid, *family)
                if end in ("standard input", "SIGTERM"):
                    self.assertFalse(os.path.exists(os.path.dirname(connection["authority"])))

    def test_it_ends_with_standard_input(self):
        server = self.start_moto()
        with urllib.request.urlopen(f"{server.url}/sandbox/health") as answer:
            self.assertEqual(200, answer.status)
        server.end()
        self.assertEqual(0, server.process.returncode)
        self.assert_gone(server.process.pid)

    def test_an_interrupt_is_for_the_parent_to_handle(self):
        server = self.start_moto()
        os.kill(server.process.pid, signal.SIGINT)
        time.sleep(0.2)
        with urllib.request.urlopen(f"{server.url}/sandbox/health") as answer:
            self.assertEqual(200, answer.status)
        os.kill(server.process.pid, signal.SIGTERM)
        self.assertEqual(0, server.process.wait(timeout=10))


if __name__ == "__main__":
    unittest.main()
