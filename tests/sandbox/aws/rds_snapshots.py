"""Amazon RDS: snapshots of instances, and how many an account may have.

A snapshot keeps what its instance was when it was taken, and stays when the instance goes. Rules are from the Amazon
RDS API Reference (named API_*) and the RDS User Guide.
"""

import functools
from datetime import datetime, timedelta, timezone

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.rds.models import DBSnapshot, RDSBackend, rds_backends
from moto.rds.responses import RDSResponse

import operations
import rds_answers
import rds_data
import rds_events
import rds_sharing
import rds_states
import settings
from operations import refuse
from rds_answers import refuse_instance_state, refuse_snapshot_state

# API_CreateDBSnapshot: "The source DB instance must be in the available or storage-optimization state."
STATES_THAT_ALLOW_SNAPSHOTS = ("available", "storage-optimization")

# API_DescribeDBSnapshots, SnapshotType and Filters.
OWN_TYPES = ("automated", "manual", "awsbackup")
DEFAULT_TYPES = ("automated", "manual")
FILTERS = ("db-instance-id", "db-snapshot-id", "dbi-resource-id", "snapshot-type", "engine")

_delete_db_snapshot_of_moto = RDSResponse.delete_db_snapshot


def describe_db_snapshots(response):
    """API_DescribeDBSnapshots, in pages: the account's own, and those that others let it use."""
    wanted = _Wanted(response)
    found = [view for view in wanted.candidates() if wanted.matches(view)]
    if wanted.name and not found:
        refuse("DBSnapshotNotFound", f"DBSnapshot {wanted.name} not found.")
    return rds_answers.page(
        response, "DBSnapshots", found, lambda view: view.arn, lambda view: view.described()
    )


def create_db_snapshot(response):
    """API_CreateDBSnapshot. The instance is `backing-up` meanwhile (RDS User Guide, DB instance status)."""
    name = response.params["DBSnapshotIdentifier"]
    response.backend.validate_db_snapshot_identifier(name, parameter_name="DBSnapshotIdentifier")
    tags = rds_answers.tags_of(response)
    instance = response.backend.databases.get(response.params["DBInstanceIdentifier"])
    if instance is not None and instance.db_cluster_identifier is not None:
        refuse(
            "InvalidParameterValue",
            "The specified instance is a member of a cluster and a snapshot cannot be created directly. "
            "Please use the CreateDBClusterSnapshot API instead.",
        )
    if instance is not None and instance.status not in STATES_THAT_ALLOW_SNAPSHOTS:
        refuse_instance_state(instance, "available")
    snapshot = response.backend.create_db_snapshot(response.params["DBInstanceIdentifier"], name, tags=tags)
    # What its storage needs to be optimized goes on when the snapshot is taken.
    then = None
    if instance is not None and instance.status == "storage-optimization" and rds_states.is_changing(instance):
        then = functools.partial(rds_states.begin, response.current_account, instance, "storage-optimization")
    rds_states.begin(response.current_account, instance, "backing-up", instance.status, then=then)
    rds_events.tell(snapshot, "RDS-EVENT-0040")
    told = functools.partial(rds_events.tell, snapshot, "RDS-EVENT-0042")
    rds_states.begin(response.current_account, snapshot, "creating", then=told)
    return ActionResult({"DBSnapshot": described(snapshot)})


def delete_db_snapshot(response):
    """API_DeleteDBSnapshot: a snapshot that is available, and not one that Amazon RDS or AWS Backup made.

    "If the snapshot is being copied, the copy operation is terminated."
    """
    snapshot = response.backend.database_snapshots.get(response.params["DBSnapshotIdentifier"])
    if snapshot is None:
        return _delete_db_snapshot_of_moto(response)
    if snapshot.snapshot_type != "manual":
        refuse_snapshot_state(snapshot, "is not a manual snapshot, and only manual snapshots may be deleted.")
    if snapshot.status != "available":
        refuse_snapshot_state(snapshot, "is not currently in the available state.")
    del response.backend.database_snapshots[snapshot.db_snapshot_identifier]
    rds_data.lose(snapshot)
    for copy in rds_states.changing():
        if getattr(copy, "copied_from", None) is snapshot:
            rds_states.put(copy, "failed")
    return ActionResult({"DBSnapshot": {**described(snapshot), "Status": "deleted"}})


def take(backend, instance_id, name, snapshot_type="manual", tags=None, original_created_at=None, kms_key_id=None):
    """Make a snapshot of an instance as it is now; in place of moto's own, which all its operations use."""
    instance = backend.databases.get(instance_id)
    if instance is None:
        refuse("DBInstanceNotFound", f"DBInstance {instance_id} not found.")
    refuse_if_it_exists(backend, name)
    if snapshot_type == "manual":
        refuse_beyond_quota(backend)
    snapshot = DBSnapshot(backend, instance, name, snapshot_type, tags, original_created_at, kms_key_id)
    snapshot.details = _details_of(instance)
    snapshot.source_region = backend.region_name
    snapshot.source_db_snapshot_identifier = None
    snapshot.snapshot_database_time = snapshot.original_snapshot_create_time
    backend.database_snapshots[snapshot.db_snapshot_identifier] = snapshot
    rds_data.keep(snapshot, instance, snapshot_type == "automated")
    return snapshot


def take_automated(backend, instance):
    """The automated snapshot that Amazon RDS takes of a new instance ("Introduction to backups", RDS User Guide)."""
    instance.add_event("DB_INSTANCE_BACKUP_START")
    moment = utcnow()
    # Another instance may have had the name within the minute.
    while automated_name(instance, moment) in backend.database_snapshots:
        moment += timedelta(minutes=1)
    snapshot = take(backend, instance.db_instance_identifier, automated_name(instance, moment), "automated")
    snapshot.add_event("DB_SNAPSHOT_CREATE_AUTOMATED_START")
    snapshot.add_event("DB_SNAPSHOT_CREATE_AUTOMATED_FINISH")
    instance.add_event("DB_INSTANCE_BACKUP_FINISH")


def automated_of(instance):
    """The automated snapshots of an instance that there are."""
    snapshots = instance.backend.database_snapshots.values()
    wanted = "automated", instance.dbi_resource_id
    return [each for each in snapshots if (each.snapshot_type, each.dbi_resource_id) == wanted]


def lose_automated(instance):
    """Automated backups are switched off, and what there was of them is deleted."""
    for snapshot in automated_of(instance):
        del instance.backend.database_snapshots[snapshot.db_snapshot_identifier]
        rds_data.lose(snapshot)


def automated_name(instance, moment):
    """How Amazon RDS names its snapshots, as in `rds:mydb-2012-04-02-00-01` (API_CopyDBSnapshot)."""
    return f"rds:{instance.db_instance_identifier}-{moment.strftime('%Y-%m-%d-%H-%M')}"


def described(snapshot):
    """A snapshot as API_DBSnapshot has it.

    A snapshot has no times until it is complete, nor when it failed; AWS documents neither, and its users met both.
    """
    complete = snapshot.status == "available"
    return {
        **snapshot.details,
        "DBSnapshotIdentifier": snapshot.db_snapshot_identifier,
        "DBSnapshotArn": snapshot.arn,
        "SnapshotType": snapshot.snapshot_type,
        "Status": snapshot.status,
        "PercentProgress": getattr(snapshot, "percent_progress", 100),
        "SnapshotCreateTime": snapshot.created if complete else None,
        "OriginalSnapshotCreateTime": snapshot.original_snapshot_create_time if complete else None,
        "SnapshotDatabaseTime": snapshot.snapshot_database_time if complete else None,
        "SourceRegion": snapshot.source_region,
        "SourceDBSnapshotIdentifier": snapshot.source_db_snapshot_identifier,
        "Encrypted": snapshot.encrypted,
        "StorageEncryptionType": "sse-kms" if snapshot.encrypted else "none",
        "KmsKeyId": snapshot.kms_key_id if snapshot.encrypted else None,
        "TagList": snapshot.tags,
    }


def refuse_if_it_exists(backend, name):
    if name in backend.database_snapshots:
        refuse(
            "DBSnapshotAlreadyExists",
            f"Cannot create the snapshot because a snapshot with the identifier {name.lower()} already exists.",
        )


def refuse_beyond_quota(backend):
    """Manual DB instance snapshots are counted, per Region ("Quotas for Amazon RDS", RDS User Guide)."""
    limit = settings.of_account(backend.account_id).rds_manual_snapshots
    if manual_snapshots_of(backend) >= limit:
        refuse("SnapshotQuotaExceeded", f"Cannot create more than {limit} manual snapshots")


def manual_snapshots_of(backend):
    """How many snapshots count towards the quota."""
    return sum(snapshot.snapshot_type == "manual" for snapshot in backend.database_snapshots.values())


# What the control API arranges.


def seed(account, region, wanted):
    """Put snapshots of an instance there as if they had been taken at a moment, whatever the quota says.

    Answers their identifiers. `wanted` are dictionaries of `instance`, and if given `id`, `type`, `taken_at`,
    `created_at` (both in seconds since 1970), `tags` and `status`.
    """
    backend = rds_backends[account][region]
    return [_seeded(backend, each) for each in wanted]


def backdate(account, region, name, created_at):
    """Let a snapshot have been made at another time, in seconds since 1970."""
    snapshot = rds_backends[account][region].get_db_snapshot(name)
    _date(snapshot, created_at, created_at)


def fail(account, region, name):
    """Let a snapshot fail, whether it is being made or was complete."""
    rds_states.put(rds_backends[account][region].get_db_snapshot(name), "failed")


def install():
    """Put these operations in place of moto's."""
    # The quota is counted here, and without the snapshots that Amazon RDS takes.
    RDSBackend.SNAPSHOT_QUOTA = float("inf")
    RDSBackend.create_db_snapshot = take
    operations.install(RDSResponse, describe_db_snapshots, create_db_snapshot, delete_db_snapshot)


class _Wanted:
    """What a call of DescribeDBSnapshots asks for."""

    def __init__(self, response):
        params = response.params
        self._account = response.current_account
        self._backend = response.backend
        self._type = params.get("SnapshotType")
        if self._type and self._type not in (*OWN_TYPES, *rds_sharing.TYPES):
            refuse("InvalidParameterValue", f"Unknown snapshot type: {self._type}")
        self._shared = self._type == "shared" or not self._type and params.get("IncludeShared")
        self._public = self._type == "public" or not self._type and params.get("IncludePublic")
        self._filters = filters = rds_answers.filters_of(response, FILTERS)
        self.name = params.get("DBSnapshotIdentifier")
        for name, value in [
            ("db-snapshot-id", self.name),
            ("db-instance-id", params.get("DBInstanceIdentifier")),
            ("dbi-resource-id", params.get("DbiResourceId")),
        ]:
            if value:
                filters[name] = [value] if name not in filters else [value] * (value in filters[name])

    def candidates(self):
        """The snapshots of the types that are asked for."""
        # "If this identifier is for an automated snapshot, the SnapshotType parameter must also be specified."
        default = ("manual",) if self.name else DEFAULT_TYPES
        types = [self._type] if self._type else self._filters.get("snapshot-type", default)
        for snapshot in self._backend.database_snapshots.values():
            if snapshot.snapshot_type in types:
                yield _Own(snapshot)
        yield from rds_sharing.visible(self._account, self._backend.region_name, self._shared, self._public)

    def matches(self, view):
        """Whether a snapshot is among those that the filters leave. Only resource ids tell capitals apart."""
        if not self._filters:
            return True
        details = view.snapshot.details
        instance = details["DBInstanceIdentifier"]
        owner = view.snapshot.account_id
        has = {
            "db-snapshot-id": {view.snapshot.db_snapshot_identifier, view.arn.lower()},
            "db-instance-id": {instance, f"arn:aws:rds:{self._backend.region_name}:{owner}:db:{instance}"},
            "dbi-resource-id": {details["DbiResourceId"].lower()},
            "snapshot-type": {view.snapshot_type},
            "engine": {details["Engine"]},
        }
        return all(has[name] & {value.lower() for value in values} for name, values in self._filters.items())


class _Own:
    """A snapshot as its own account sees it."""

    def __init__(self, snapshot):
        self.snapshot = snapshot
        self.arn = snapshot.arn
        self.snapshot_type = snapshot.snapshot_type

    def described(self):
        """As API_DBSnapshot has it; time passes for it."""
        rds_states.look(self.snapshot)
        return described(self.snapshot)


def _details_of(instance):
    """What a snapshot keeps of its instance, as API_DBSnapshot names it."""
    group = getattr(instance, "db_subnet_group", None)
    return {
        "AllocatedStorage": instance.allocated_storage,
        "AvailabilityZone": instance.availability_zone,
        "BackupRetentionPeriod": instance.backup_retention_period,
        "DBInstanceIdentifier": instance.db_instance_identifier,
        "DbiResourceId": instance.dbi_resource_id,
        "DedicatedLogVolume": False,
        "Engine": instance.engine,
        "EngineVersion": instance.engine_version,
        "IAMDatabaseAuthenticationEnabled": instance.enable_iam_database_authentication,
        "InstanceCreateTime": instance.created,
        "Iops": instance.iops,
        "LicenseModel": instance.license_model,
        "MasterUsername": instance.master_username,
        "OptionGroupName": instance.option_group_name,
        "Port": instance.port,
        "PreferredBackupWindow": instance.preferred_backup_window,
        "SnapshotTarget": "region",
        "StorageThroughput": instance.storage_throughput,
        "StorageType": instance.storage_type,
        "VpcId": group.vpc_id if group else None,
    }


def _seeded(backend, wanted):
    instance = backend.databases.get(wanted["instance"])
    if instance is None:
        raise ValueError(f"there is no instance {wanted['instance']!r}")
    snapshot_type = wanted.get("type", "manual")
    if snapshot_type not in OWN_TYPES:
        raise ValueError(f"type {snapshot_type!r} is none of {OWN_TYPES}")
    taken_at = wanted.get("taken_at", wanted.get("created_at"))
    moment = _moment_of(taken_at) if taken_at is not None else utcnow()
    name = wanted.get("id") or {
        "manual": f"{instance.db_instance_identifier}-{moment.strftime('%Y-%m-%d-%H-%M-%S')}",
        "automated": automated_name(instance, moment),
        # "Amazon RDS backups" (AWS Backup Developer Guide): the names of its recovery points.
        "awsbackup": f"awsbackup:job-{instance.db_instance_identifier}-{moment.strftime('%Y%m%d%H%M%S')}",
    }[snapshot_type]
    refuse_if_it_exists(backend, name)
    tags = wanted.get("tags")
    listed = None if tags is None else [{"Key": key, "Value": value} for key, value in tags.items()]
    snapshot = DBSnapshot(backend, instance, name, snapshot_type, listed)
    snapshot.details = _details_of(instance)
    snapshot.source_region = backend.region_name
    snapshot.source_db_snapshot_identifier = wanted.get("source")
    snapshot.status = wanted.get("status", "available")
    stamp = moment.replace(tzinfo=timezone.utc).timestamp()
    _date(snapshot, wanted.get("created_at", stamp), stamp)
    backend.database_snapshots[snapshot.db_snapshot_identifier] = snapshot
    rds_data.keep(snapshot, instance, is_automated=False)
    return snapshot.db_snapshot_identifier


def _date(snapshot, created_at, taken_at):
    snapshot.created = _moment_of(created_at)
    snapshot.original_snapshot_create_time = snapshot.snapshot_database_time = _moment_of(taken_at)


def _moment_of(seconds):
    """A time as moto keeps them: without a zone, in UTC."""
    return datetime(1970, 1, 1) + timedelta(seconds=seconds)
