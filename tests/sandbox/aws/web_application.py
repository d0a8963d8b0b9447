"""The web application that runs in a task, where a test wants one to run: it answers from its database.

It is what the image of the reference system stands for. Like that it is told by its environment where its database is,
with what is secret resolved when the task starts ("Pass Secrets Manager secrets through Amazon ECS environment variables",
ECS Developer Guide): DATABASE_URL, or DATABASE_HOST, _PORT, _NAME, _USERNAME and _PASSWORD.

`/api/health` is 200 with the number of rows of every table, 503 while the database does not answer.
"""

import contextlib
import json
import re
import ssl
from urllib.parse import unquote, urlsplit

import pg8000.native
from moto.secretsmanager.models import secretsmanager_backends

import rds_data

HEALTH = "/api/health"
SECONDS_TO_ANSWER = 5
# Names of databases elsewhere are not looked up: nothing here leaves this machine.
HERE = ("127.0.0.1", "localhost")

OF_THE_DATABASE = "DATABASE_"

# "arn:…:secret:name", and behind it what of the secret is wanted: json-key:version-stage:version-id.
SECRET_ARN = re.compile(r"(arn:[\w-]+:secretsmanager:([\w-]+):(\d{12}):secret:([^:]+))(?::([^:]*):([^:]*):([^:]*))?")

ROWS = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND nspname = 'public' ORDER BY relname
"""


class Application:
    """What runs in one task."""

    def __init__(self, environment):
        self._environment = environment

    def answer(self, path):
        """The status and the members of a JSON document that answer a request."""
        if path != HEALTH:
            return 200, {"application": "shop", "path": path}
        try:
            database, rows = self._rows()
        except (pg8000.Error, OSError, KeyError, ValueError) as error:
            return 503, {"status": "unavailable", "because": type(error).__name__}
        return 200, {"status": "ok", "database": database, "rows": rows}

    def is_well(self):
        """What the health check of its container finds."""
        status, _ = self.answer(HEALTH)
        return status == 200

    def _rows(self):
        where = self._where()
        if where["host"] not in HERE:
            raise ValueError("a database that is not on this machine")
        trusted = ssl.create_default_context(cafile=rds_data.authority_file())
        connection = pg8000.native.Connection(**where, ssl_context=trusted, timeout=SECONDS_TO_ANSWER)
        with contextlib.closing(connection):
            tables = [name for [name] in connection.run(ROWS)]
            count = {name: connection.run(f"SELECT count(*) FROM {pg8000.native.identifier(name)}") for name in tables}
        return where["database"], {name: rows for name, [[rows]] in count.items()}

    def _where(self):
        told = self._environment
        if "DATABASE_URL" in told:
            url = urlsplit(told["DATABASE_URL"])
            return {
                "host": url.hostname or "",
                "port": url.port or 5432,
                "database": url.path.lstrip("/"),
                "user": unquote(url.username or ""),
                "password": unquote(url.password or ""),
            }
        return {
            "host": told["DATABASE_HOST"],
            "port": int(told["DATABASE_PORT"]),
            "database": told["DATABASE_NAME"],
            "user": told["DATABASE_USERNAME"],
            "password": told["DATABASE_PASSWORD"],
        }


def of_container(definition):
    """The application of a container definition, with its secrets as they are now.

    None of one that is told of no database: what runs there is something else.
    """
    members = [*(definition.get("environment") or ()), *(definition.get("secrets") or ())]
    if not any(each["name"].startswith(OF_THE_DATABASE) for each in members):
        return None
    told = {each["name"]: each["value"] for each in definition.get("environment") or ()}
    for each in definition.get("secrets") or ():
        value = _secret(each["valueFrom"])
        if value is not None:
            told[each["name"]] = value
    return Application(told)


def _secret(value_from):
    """The text that a secret has, or a member of it; None if there is no such thing."""
    found = SECRET_ARN.fullmatch(value_from)
    if not found:
        return None
    arn, region, account, _, key, stage, version = found.groups()
    backend = secretsmanager_backends[account][region]
    name = arn if arn in [secret.arn for secret in backend.secrets.values()] else found[4]
    try:
        text = backend.get_secret_value(name, version or None, stage or None)["SecretString"]
        return str(json.loads(text)[key]) if key else text
    except Exception:  # noqa: BLE001 - moto has an error of its own for each reason, and the task sees none of them.
        return None


def body_of(members):
    """The body of an answer."""
    return json.dumps(members).encode()
