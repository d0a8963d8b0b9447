"""Amazon RDS: storage that fills up and is enlarged.

API_ModifyDBInstance (AllocatedStorage, MaxAllocatedStorage), "Working with storage for Amazon RDS DB instances" and
"Managing capacity automatically with Amazon RDS storage autoscaling" (RDS User Guide) are the sources. The reference
names no errors but StorageQuotaExceeded; the others are those that users meet, or are taken alike.
"""

import math
import time

from moto.rds.models import rds_backends

import cloudwatch
import rds_events
import rds_states
import settings
from operations import refuse
from rds_answers import refuse_instance_state

GIB = 1024**3
# "Viewing Amazon RDS DB instance status": a full instance is to be enlarged. While it is optimized it is asked, and refused.
STATES_THAT_ALLOW_CHANGES = ("available", "storage-full", "storage-optimization")
# API_ModifyDBInstance, AllocatedStorage: at least ten percent more; less is rounded up to that.
LEAST_GROWTH = 10
# "You can modify storage up to four times in 24 hours", and not while it is optimized.
MOST_CHANGES, SECONDS_OF_CHANGES = 4, 24 * 3600
# "the Iops parameter" must be given for what has provisioned IOPS.
WITH_PROVISIONED_IOPS = ("io1", "io2")
# Storage autoscaling: "Free available space is less than or equal to 10 percent of the allocated storage", and then the
# greatest of 10 GiB and 10 percent of the storage.
LOW, LEAST_STEP = 10, 10


def check_new(response):
    """A new instance must find room in the account's quota."""
    size = response.params.get("AllocatedStorage")
    if size:
        _check_quota(response.backend, int(size))


def take_growth(response, instance):
    """The size that a call asks for, rounded as RDS does, and taken out of the call; None if it changes nothing."""
    size = response.params.pop("AllocatedStorage", None)
    if size is None or int(size) == instance.allocated_storage:
        return None
    size, current = int(size), instance.allocated_storage
    if size < current:
        refuse(
            "InvalidParameterCombination",
            f"Requested storage size ({size}) cannot be less than the current storage size ({current})",
        )
    if instance.status not in STATES_THAT_ALLOW_CHANGES:
        refuse_instance_state(instance, "available")
    if instance.storage_type in WITH_PROVISIONED_IOPS and not response.params.get("Iops"):
        refuse("InvalidParameterCombination", "You must specify both the storage size and iops when modifying them.")
    if instance.status == "storage-optimization":
        refuse(
            "InvalidParameterCombination",
            "You can't currently modify the storage of this DB instance because the previous storage change is being "
            "optimized.",
        )
    if len(_recent_changes(instance)) >= MOST_CHANGES:
        refuse(
            "InvalidParameterCombination",
            "You can't currently modify the storage of this DB instance because the maximum number of storage "
            f"modifications ({MOST_CHANGES}) in 24 hours has been reached.",
        )
    size = max(size, math.ceil(current * (100 + LEAST_GROWTH) / 100))
    _check_quota(response.backend, size - current)
    return size


def grow(instance, size, by_itself=False):
    """Enlarge the storage: the instance is being modified, then its storage optimized, and may be used all the time."""
    begins, ends = ("RDS-EVENT-0217", "RDS-EVENT-0218") if by_itself else ("RDS-EVENT-0018", "RDS-EVENT-0017")
    _recent_changes(instance).append(time.time())
    rds_events.tell(instance, begins)

    def applied():
        gained, instance.allocated_storage = size - instance.allocated_storage, size
        _no_longer_pending(instance)
        rds_events.tell(instance, ends)
        if "free_bytes" in vars(instance):
            _tell_free(instance, instance.free_bytes + gained * GIB)
        rds_states.put(instance, "available")
        rds_states.begin(instance.account_id, instance, "storage-optimization")

    rds_states.begin(instance.account_id, instance, "modifying", "modifying", then=applied)


def grow_later(instance, size):
    """Without ApplyImmediately the change waits for the maintenance window."""
    instance.pending_modified_values = {**(_pending(instance) or {}), "AllocatedStorage": size}


def put_free(account, region, name, free_bytes):
    """Let an instance have so much free storage. RDS tells when it is low, and enlarges it if it may."""
    instance = rds_backends[account][region].databases.get(name)
    if instance is None:
        raise ValueError(f"there is no instance {name!r}")
    if not 0 <= free_bytes <= instance.allocated_storage * GIB:
        raise ValueError(f"{name!r} has {instance.allocated_storage} GiB")
    _tell_free(instance, free_bytes)
    if free_bytes * 100 > LOW * instance.allocated_storage * GIB:
        return
    if instance.max_allocated_storage and instance.status == "available":
        step = max(LEAST_STEP, math.ceil(instance.allocated_storage / 10))
        grow(instance, min(instance.allocated_storage + step, instance.max_allocated_storage), by_itself=True)
    elif free_bytes == 0:
        rds_events.tell(instance, "RDS-EVENT-0007")
        rds_states.put(instance, "storage-full")
    else:
        allocated = instance.allocated_storage
        percent = free_bytes * 100 // (allocated * GIB)
        free = free_bytes // 1024**2
        rds_events.tell(instance, "RDS-EVENT-0089", name=name, percent=percent, allocated=allocated, free=free)


def settle(account):
    """The maintenance window comes."""
    for backend in rds_backends[account].values():
        for instance in list(backend.databases.values()):
            size = (_pending(instance) or {}).get("AllocatedStorage")
            if size and instance.status == "available":
                grow(instance, size)


def _pending(instance):
    return vars(instance).get("pending_modified_values")


def _no_longer_pending(instance):
    others = {name: value for name, value in (_pending(instance) or {}).items() if name != "AllocatedStorage"}
    instance.pending_modified_values = others or None


def _tell_free(instance, free_bytes):
    instance.free_bytes = free_bytes
    cloudwatch.put_metric(
        instance.account_id,
        instance.region,
        value=float(free_bytes),
        namespace="AWS/RDS",
        metric="FreeStorageSpace",
        dimensions={"DBInstanceIdentifier": instance.db_instance_identifier},
    )


def _recent_changes(instance):
    changes = [at for at in vars(instance).get("storage_changes", []) if time.time() - at < SECONDS_OF_CHANGES]
    instance.storage_changes = changes
    return changes


def _check_quota(backend, more):
    used = sum(each.allocated_storage for each in backend.databases.values())
    if used + more > settings.of_account(backend.account_id).rds_storage_gib:
        refuse("StorageQuotaExceeded", "The request would result in the user exceeding the allowed amount of storage.")
