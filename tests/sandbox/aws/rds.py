"""Amazon RDS: states that take time, pages, and the refusals that protect snapshots.

moto keeps instances and snapshots and makes every change at once. Here a change passes through the state that AWS shows
meanwhile, for as many describes as the settings say ("Viewing Amazon RDS DB instance status", RDS User Guide). Rules
are from the Amazon RDS API Reference (named API_*).
"""

import weakref
from datetime import datetime, timezone

from moto.core.responses import ActionResult
from moto.rds.models import rds_backends
from moto.rds.responses import RDSResponse

import operations
import settings
from operations import refuse

# API_DescribeDBSnapshots and API_DescribeDBInstances, MaxRecords: "Default: 100. Constraints: Minimum 20, maximum 100."
SMALLEST_PAGE = 20
LARGEST_PAGE = 100

# API_CreateDBSnapshot: "The source DB instance must be in the available or storage-optimization state."
STATES_THAT_ALLOW_SNAPSHOTS = ("available", "storage-optimization")


class Transition:
    """A state on the way to another."""

    def __init__(self, resource, during, after, polls):
        self._resource = weakref.ref(resource)
        self._after = after
        self._polls = self._polls_left = polls
        resource.status = during
        self._show_progress()

    def look(self):
        """Somebody describes the resource: time passes. Returns False when the change is complete."""
        self._show_progress()
        if self._polls_left == 0:
            self._resource().status = self._after
            return False
        self._polls_left -= 1
        return True

    def _show_progress(self):
        """API_DBSnapshot, PercentProgress: the share of the data that has been transferred."""
        done = self._polls - self._polls_left
        self._resource().percent_progress = 100 * done // self._polls if self._polls else 100


_transitions = weakref.WeakKeyDictionary()


def begin(response, resource, during, after="available"):
    """Let a resource pass through a state, if the account's settings give states any time."""
    polls = settings.of_account(response.current_account).rds_polls
    if polls:
        _transitions[resource] = Transition(resource, during, after, polls)


def _look(resource):
    if resource in _transitions and not _transitions[resource].look():
        del _transitions[resource]


# moto's own operations, which the ones below begin with.
_moto = {
    name: getattr(RDSResponse, name)
    for name in (
        "copy_db_snapshot",
        "create_db_instance",
        "create_db_instance_read_replica",
        "create_db_snapshot",
        "delete_db_instance",
        "delete_db_snapshot",
        "modify_db_instance",
        "reboot_db_instance",
        "restore_db_instance_from_db_snapshot",
        "restore_db_instance_to_point_in_time",
        "start_db_instance",
        "stop_db_instance",
    )
}


# Snapshots


def describe_db_snapshots(response):
    """API_DescribeDBSnapshots, in pages."""
    snapshots = response.backend.describe_db_snapshots(
        response.params.get("DBInstanceIdentifier"),
        response.params.get("DBSnapshotIdentifier"),
        response.params.get("SnapshotType"),
        _filters_of(response),
    )
    return _page(response, "DBSnapshots", snapshots)


def create_db_snapshot(response):
    """API_CreateDBSnapshot."""
    instance = _instance(response, "DBInstanceIdentifier")
    if instance is not None and instance.status not in STATES_THAT_ALLOW_SNAPSHOTS:
        _refuse_instance_state(instance, "available")
    result = _moto["create_db_snapshot"](response)
    begin(response, result.result["DBSnapshot"], "creating")
    return result


def copy_db_snapshot(response):
    """API_CopyDBSnapshot: the source must be in the available state."""
    source = response.backend.get_db_snapshot(response.params["SourceDBSnapshotIdentifier"])
    if source.status != "available":
        _refuse_snapshot_state(source, "is not currently in the available state.")
    result = _moto["copy_db_snapshot"](response)
    begin(response, result.result["DBSnapshot"], "creating")
    return result


def delete_db_snapshot(response):
    """API_DeleteDBSnapshot: a snapshot that is available, and not one that Amazon RDS or AWS Backup made."""
    snapshot = response.backend.database_snapshots.get(response.params["DBSnapshotIdentifier"])
    if snapshot is not None and snapshot.snapshot_type != "manual":
        _refuse_snapshot_state(snapshot, "is not a manual snapshot, and only manual snapshots may be deleted.")
    if snapshot is not None and snapshot.status != "available":
        _refuse_snapshot_state(snapshot, "is not currently in the available state.")
    return _moto["delete_db_snapshot"](response)


# Instances


def describe_db_instances(response):
    """API_DescribeDBInstances, in pages."""
    instances = response.backend.describe_db_instances(
        response.params.get("DBInstanceIdentifier"), filters=_filters_of(response)
    )
    return _page(response, "DBInstances", instances)


def create_db_instance(response):
    """API_CreateDBInstance."""
    return _created(response, "create_db_instance")


def create_db_instance_read_replica(response):
    """API_CreateDBInstanceReadReplica."""
    return _created(response, "create_db_instance_read_replica")


def restore_db_instance_from_db_snapshot(response):
    """API_RestoreDBInstanceFromDBSnapshot: the snapshot must be available."""
    snapshot = response.backend.database_snapshots.get(response.params.get("DBSnapshotIdentifier"))
    if snapshot is not None and snapshot.status != "available":
        _refuse_snapshot_state(snapshot, "is not currently in the available state.")
    return _created(response, "restore_db_instance_from_db_snapshot")


def restore_db_instance_to_point_in_time(response):
    """API_RestoreDBInstanceToPointInTime."""
    return _created(response, "restore_db_instance_to_point_in_time")


def modify_db_instance(response):
    """API_ModifyDBInstance: not while another change is under way."""
    return _changed(response, "modify_db_instance", "modifying")


def reboot_db_instance(response):
    """API_RebootDBInstance: not while another change is under way."""
    return _changed(response, "reboot_db_instance", "rebooting")


def start_db_instance(response):
    """API_StartDBInstance."""
    result = _moto["start_db_instance"](response)
    begin(response, result.result["DBInstance"], "starting")
    return result


def stop_db_instance(response):
    """API_StopDBInstance, with a snapshot if one is asked for."""
    result = _moto["stop_db_instance"](response)
    begin(response, result.result["DBInstance"], "stopping", "stopped")
    _begin_snapshot_named(response, "DBSnapshotIdentifier")
    return result


def delete_db_instance(response):
    """API_DeleteDBInstance, with a final snapshot if one is asked for. The instance is gone at once."""
    result = _moto["delete_db_instance"](response)
    _begin_snapshot_named(response, "FinalDBSnapshotIdentifier")
    return result


def backdate_snapshot(account, region, snapshot_id, created_at):
    """Let a snapshot have been made at another time, in seconds since 1970."""
    snapshot = rds_backends[account][region].get_db_snapshot(snapshot_id)
    # moto keeps times without a zone, in UTC.
    moment = datetime.fromtimestamp(created_at, timezone.utc).replace(tzinfo=None)
    snapshot.created = snapshot.original_snapshot_create_time = moment


def install():
    """Put these operations in place of moto's."""
    operations.install(
        RDSResponse,
        describe_db_snapshots,
        create_db_snapshot,
        copy_db_snapshot,
        delete_db_snapshot,
        describe_db_instances,
        create_db_instance,
        create_db_instance_read_replica,
        restore_db_instance_from_db_snapshot,
        restore_db_instance_to_point_in_time,
        modify_db_instance,
        reboot_db_instance,
        start_db_instance,
        stop_db_instance,
        delete_db_instance,
    )


def _created(response, operation):
    result = _moto[operation](response)
    begin(response, result.result["DBInstance"], "creating")
    return result


def _changed(response, operation, during):
    instance = _instance(response, "DBInstanceIdentifier")
    if instance in _transitions:
        _refuse_instance_state(instance, "available")
    before = instance.status if instance is not None else None
    result = _moto[operation](response)
    if before == "available":
        begin(response, result.result["DBInstance"], during)
    return result


def _begin_snapshot_named(response, parameter):
    name = response.params.get(parameter)
    if name:
        begin(response, response.backend.get_db_snapshot(name), "creating")


def _instance(response, parameter):
    return response.backend.databases.get(response.params.get(parameter))


def _refuse_instance_state(instance, wanted):
    refuse("InvalidDBInstanceState", f"Instance {instance.db_instance_identifier} is not in {wanted} state.")


def _refuse_snapshot_state(snapshot, what):
    refuse("InvalidDBSnapshotState", f"Snapshot {snapshot.db_snapshot_identifier} {what}")


def _filters_of(response):
    return {each["Name"]: each["Values"] for each in response.params.get("Filters", [])}


def _page(response, member, resources):
    """One page of resources by ARN; time passes for those that are on it."""
    size = int(response.params.get("MaxRecords") or LARGEST_PAGE)
    if not SMALLEST_PAGE <= size <= LARGEST_PAGE:
        refuse(
            "InvalidParameterValue",
            f"Invalid value {size} for MaxRecords. Must be between {SMALLEST_PAGE} and {LARGEST_PAGE}",
        )
    marker = response.params.get("Marker")
    try:
        after = operations.position_of(marker) if marker else None
    except ValueError:
        refuse("InvalidParameterValue", f"The parameter Marker is not valid: {marker}")
    page, token = operations.page_of(sorted(resources, key=_arn_of), size, after, _arn_of)
    for resource in page:
        _look(resource)
    return ActionResult({member: page, "Marker": token} if token else {member: page})


def _arn_of(resource):
    return resource.arn
