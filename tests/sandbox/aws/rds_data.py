"""Amazon RDS: what is in instances and their snapshots, for those that a test wants to be real.

Such an instance is a server of PostgreSQL with an endpoint that answers. A snapshot of it, and a copy of that wherever, is
a copy of its data; a restore serves them. Everything else has a description only. "Connecting to a DB instance running the
PostgreSQL database engine", "Backing up and restoring" and "Using SSL with a PostgreSQL DB instance" (RDS User Guide).
"""

import contextlib
import os
import secrets
import shutil
import threading
import weakref
from datetime import datetime, timezone

import pg8000.native

import postgres
import postgres_door
import rds_tokens
import settings
from operations import refuse

ENGINE = "postgres"

# "Viewing Amazon RDS DB instance status": while it is one of these nobody gets in. Of `storage-full` that is said of
# writing; RDS stops such an instance soon, and so it is here at once.
CLOSED = {
    "creating",
    "deleting",
    "failed",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "incompatible-create",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "insufficient-capacity",
    "rebooting",
    "renaming",
    "restore-error",
    "starting",
    "stopped",
    "stopping",
    "storage-full",
}
STOPPED = "stopped"

# "Understanding PostgreSQL roles and permissions": what the master user is and has. Roles of the engine that are granted.
ROLES = """
CREATE ROLE rds_superuser; CREATE ROLE rds_iam; CREATE ROLE rds_password;
GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser;
"""

# Whom "GRANT rds_iam" was made to; who may only grant it on is none of them.
MEMBERS_OF_IAM = """
SELECT 1 FROM pg_auth_members
JOIN pg_roles role ON role.oid = roleid JOIN pg_roles granted ON granted.oid = member
WHERE role.rolname = 'rds_iam' AND granted.rolname = :user AND (inherit_option OR set_option)
"""

# Parameter of a parameter group that the server doesn't know.
FORCE_SSL = "rds.force_ssl"

# Settings of the server that a parameter group must not change, because the sandbox depends on them.
OWN = set(postgres.SETTINGS) | {"port", "archive_command", "restore_command", "ssl", "shared_preload_libraries"}

DATA = "data"


class Database:
    """The data of an instance, and the server that serves them while the instance's status allows it."""

    def __init__(self, instance, parameters):
        self.server = postgres.new_server(postgres.new_port())
        self.door = _door_of(instance)
        self.master = instance.master_username
        self.name = instance.db_name or "postgres"
        self.backups = _backups.setdefault(instance.dbi_resource_id, Backups(self.server.archive))
        self.address = postgres.HOST
        self._instance = weakref.ref(instance)
        self._parameters = parameters
        self._password = None

    def be_new(self, password):
        """A new database with nothing in it but its master user."""
        self.server.fill_from(postgres.empty())
        self.server.start()
        master = _identifier(self.master)
        self.server.run(f"{ROLES} CREATE ROLE {master} LOGIN CREATEDB CREATEROLE; GRANT rds_superuser TO {master}")
        self.server.run(f"GRANT rds_iam TO {master} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
        self.server.run(f"ALTER DATABASE postgres OWNER TO {master}")
        if self.name != "postgres":
            self.server.run(f"CREATE DATABASE {_identifier(self.name)} OWNER {master}")
        self.set_password(password)

    def set_password(self, password):
        """Let the master user have a password, at the next start if it does not run."""
        self._password = password
        if self.server.is_running:
            master, literal = _identifier(self.master), pg8000.native.literal(password)
            self.server.run(f"ALTER ROLE {master} PASSWORD {literal}")
            self._password = None

    def set_parameters(self, parameters, restarts=False):
        """Let parameters of a group be in effect. For those that are static it is stopped, and to be started again."""
        self._parameters = parameters
        if restarts:
            self.stop()
        else:
            self._take_parameters()
            self.server.reconfigure()

    def start(self):
        """Start the server with its parameters, which may be such that it cannot."""
        if not self.server.is_running:
            self._take_parameters()
            self.server.start()
            if self._password is not None:
                self.set_password(self._password)

    def follow(self, status):
        """Let clients in, or not, as a status of the instance says."""
        if status not in CLOSED:
            self.start()
            if not self.door.is_open:
                self.door.tokens = self
                self.door.open_to(self.server)
            return
        self.door.close()
        if status == STOPPED:
            self.stop()

    def are_asked_of(self, user):
        """Whether a user has tokens instead of a password: who is granted `rds_iam`."""
        return bool(self.server.run(MEMBERS_OF_IAM, user=user))

    def are_good(self, user, token):
        """Whether a token lets a user in, as long as the instance has IAM database authentication enabled."""
        instance = self._instance()
        endpoint = self.address, self.door.port
        return (
            instance is not None
            and instance.enable_iam_database_authentication
            and rds_tokens.is_valid(token, user, *endpoint, instance.account_id, instance.region)
        )

    def password_of(self, user):
        """A password with which the server itself lets a user in who has shown a token; another one each time."""
        password = secrets.token_hex(16)
        self.server.run(f"ALTER ROLE {_identifier(user)} PASSWORD '{password}'")
        return password

    def stop(self):
        """Stop the server; what was logged until then remains."""
        if self.server.is_running:
            self.backups.closed_at = self.server.close_log()
            self.server.stop()

    def run(self, sql, parameters):
        """What a statement of the master user's answers, by its columns and rows."""
        with contextlib.closing(self.server.connect(database=self.name)) as connection:
            connection.run(f"SET SESSION AUTHORIZATION {_identifier(self.master)}")
            rows = connection.run(sql, **parameters)
            return [column["name"] for column in connection.columns or ()], rows or [], connection.row_count

    def _take_parameters(self):
        self.door.needs_tls = self._parameters.get(FORCE_SSL) != "0"
        known = postgres.known_settings() - OWN
        self.server.settings = {
            name: value
            for name, value in self._parameters.items()
            # A formula is for machines of a size, which this one does not have.
            if name in known and "{" not in value
        }


class Backups:
    """What there is of an instance to restore it to a point in time: copies of its data, and what was logged since."""

    def __init__(self, archive):
        self.archive = archive
        #: When a copy was complete, and where it is; oldest first.
        self.copies = []
        #: Up to when everything is logged of a server that does not run.
        self.closed_at = None

    def begin_of(self, moment):
        """The last copy that was complete at a moment, None if there is none."""
        return next((directory for at, directory in reversed(self.copies) if at <= moment), None)


_lock = threading.RLock()
_databases = weakref.WeakKeyDictionary()
_copies = weakref.WeakKeyDictionary()
# By resource id. They outlive their instances, and so do the doors, which are by account, Region and name.
_backups = {}
_doors = {}
_origin = threading.local()


def of_instance(instance):
    """The database of an instance, None if it is not a real one."""
    return _databases.get(instance)


def existing(instance):
    """The database of an instance that must have one."""
    database = of_instance(instance)
    if database is None:
        raise ValueError(f"instance {instance.db_instance_identifier!r} is not a real database; see database/real")
    return database


def authority_file():
    """The file of the authority that clients are to trust ("Certificate bundles", RDS User Guide)."""
    return postgres_door.authority().path


def make_real(instance, password, parameters):
    """Let an instance be a real database from now on, an empty one."""
    if instance.engine != ENGINE:
        raise ValueError(f"{instance.db_instance_identifier!r} has the engine {instance.engine}, and not {ENGINE}")
    if of_instance(instance) is not None:
        raise ValueError(f"{instance.db_instance_identifier!r} is a real database already")
    database = Database(instance, parameters)
    database.be_new(password)
    _begin(instance, database)


@contextlib.contextmanager
def origin(fill):
    """While this lasts a new instance is real if `fill`, which fills its database, is not None."""
    _origin.fill = (fill,)
    try:
        yield
    finally:
        del _origin.fill


def be_born(instance, password, parameters):
    """A new instance is real if it comes from real data, or if it is new and the account wants it so."""
    restored = getattr(_origin, "fill", None)
    if restored is not None:
        if restored[0] is not None:
            database = Database(instance, parameters)
            restored[0](database)
            _begin(instance, database)
    elif settings.of_account(instance.account_id).rds_real and instance.engine == ENGINE:
        make_real(instance, password, parameters)


def follow(instance):
    """The status of an instance has changed."""
    database = of_instance(instance)
    if database is not None:
        try:
            database.follow(instance.status)
        except postgres.Unavailable:
            # "incompatible-parameters": it cannot start with those of its group.
            database.door.close()
            vars(instance)["told_status"] = "incompatible-parameters"


def end(instance, keeps_backups):
    """An instance is deleted."""
    with _lock:
        database = _databases.pop(instance, None)
    if database is not None:
        database.door.close()
        if keeps_backups:
            database.stop()
        postgres.forget(database.server, keeps_backups)
        if not keeps_backups:
            _drop_backups(instance.dbi_resource_id)


def rename(instance):
    """An instance has another name, and so another endpoint."""
    database = of_instance(instance)
    if database is not None:
        database.door.close()
        database.door = _door_of(instance)
        follow(instance)


def keep(snapshot, instance, is_automated):
    """A snapshot of an instance is made."""
    database = of_instance(instance)
    if database is None:
        return
    directory = os.path.join(postgres.new_directory("snapshot"), DATA)
    database.server.copy_to(directory)
    _copies[snapshot] = directory
    if is_automated:
        database.backups.copies.append((datetime.now(timezone.utc), directory))


def carry(copy, source):
    """A snapshot is copied."""
    directory = _copies.get(source)
    if directory is not None:
        # Nobody changes what is in it, and so all of them have the same.
        _copies[copy] = directory


def lose(snapshot):
    """A snapshot is deleted; what is in it may be a backup that stays."""
    directory = _copies.pop(snapshot, None)
    if directory is not None:
        _remove_what_nobody_has(directory)


def first_backup_of(instance):
    """When the first backup of a real database was complete, as moto keeps times; None if there is none."""
    backups = _backups.get(instance.dbi_resource_id)
    return backups.copies[0][0].replace(tzinfo=None) if backups and backups.copies else None


def end_of(instance):
    """Up to when there are data of a real database that is deleted, as moto keeps times; None if there are none."""
    backups = _backups.get(instance.dbi_resource_id)
    return backups.closed_at.replace(tzinfo=None) if backups and backups.closed_at else None


def from_snapshot(snapshot):
    """What fills a database from a snapshot, None if it has no data."""
    directory = _copies.get(snapshot)
    if directory is None:
        return None

    def fill(database):
        database.server.fill_from(directory)

    return fill


def from_point_in_time(resource_id, moment, instance=None):
    """What fills a database as another was at a moment, None if that is not a real one.

    A moment before the first copy of its data was complete is refused: nothing is known of it.
    """
    backups = _backups.get(resource_id)
    database = instance and of_instance(instance)
    if backups is None:
        return None
    begin = backups.begin_of(moment)
    if begin is None:
        refuse("InvalidParameterValue", "The specified instance cannot be restored to a time before its first backup.")
    if database and database.server.is_running:
        backups.closed_at = database.server.close_log()
    if backups.closed_at is None:
        refuse("InvalidParameterValue", "Nothing is known of what the specified instance was at that time.")

    def fill(new):
        new.server.recover_to(begin, backups.archive, min(moment, backups.closed_at))
        # It starts again with the parameters of its group.
        new.server.stop()

    return fill


def _drop_backups(resource_id):
    backups = _backups.pop(resource_id, None)
    for _, directory in backups.copies if backups else ():
        _remove_what_nobody_has(directory)


def _remove_what_nobody_has(directory):
    """Remove a copy of data, unless a snapshot or a backup has it."""
    kept = {each for backups in list(_backups.values()) for _, each in backups.copies}
    if directory not in kept | set(_copies.values()):
        shutil.rmtree(os.path.dirname(directory), ignore_errors=True)


def _begin(instance, database):
    with _lock:
        _databases[instance] = database
    follow(instance)


def _door_of(instance):
    with _lock:
        name = (instance.account_id, instance.region, instance.db_instance_identifier)
        if name not in _doors:
            _doors[name] = postgres_door.Door()
        return _doors[name]


def _identifier(name):
    return pg8000.native.identifier(name)
