"""Amazon RDS: instances, who they are and the states they pass through.

moto keeps instances and makes every change at once. Rules are from the Amazon RDS API Reference (named API_*) and the
RDS User Guide. Snapshots are in `rds_snapshots.py`, `rds_copies.py` and `rds_sharing.py`, automated backups in
`rds_backups.py`, groups and quotas in `rds_groups.py`.
"""

import base64
import collections
import hashlib
from datetime import datetime, timedelta

from moto.core.utils import utcnow
from moto.rds.models import DBInstance, rds_backends
from moto.rds.responses import RDSResponse

import kms
import operations
import rds_answers
import rds_backups
import rds_changes
import rds_copies
import rds_data
import rds_events
import rds_groups
import rds_parameters
import rds_restores
import rds_sharing
import rds_snapshots
import rds_states
import rds_storage
from operations import refuse
from rds_answers import refuse_instance_state

# API_DescribeDBInstances, Filters; domains are not modelled.
FILTERS = ("db-cluster-id", "db-instance-id", "dbi-resource-id", "engine")

# "Stopping an Amazon RDS DB instance temporarily": a stopped instance is started again after seven days.
LONGEST_STOP = timedelta(days=7)

# "Restoring a DB instance to a specified time": the latest restorable time is typically within the last five minutes.
BEHIND = timedelta(minutes=5)

# What moto forgets of an instance's settings: parameter of API_CreateDBInstance and API_ModifyDBInstance -> attribute
# of the instance, named as API_DBInstance names it in moto's way.
FORGOTTEN = {
    "DatabaseInsightsMode": "database_insights_mode",
    "DedicatedLogVolume": "dedicated_log_volume",
    "EnablePerformanceInsights": "performance_insights_enabled",
    "EngineLifecycleSupport": "engine_lifecycle_support",
    "NetworkType": "network_type",
    "PerformanceInsightsRetentionPeriod": "performance_insights_retention_period",
}
# API_CreateDBInstance: their defaults, and what no call of the sandbox changes.
DEFAULTS = {
    "backup_target": "region",
    "database_insights_mode": "standard",
    "dedicated_log_volume": False,
    "engine_lifecycle_support": "open-source-rds-extended-support",
    "network_type": "IPV4",
    "performance_insights_enabled": False,
}
DEFAULT_INSIGHTS_DAYS = 7

# moto's own operations, which the ones below begin with.
_moto = {
    name: getattr(RDSResponse, name)
    for name in (
        "add_tags_to_resource",
        "create_db_instance",
        "create_db_instance_read_replica",
        "delete_db_instance",
        "modify_db_instance",
        "reboot_db_instance",
        "start_db_instance",
        "stop_db_instance",
    )
}

# How many instances have had a name in an account and Region.
_born = collections.Counter()


def describe_db_instances(response):
    """API_DescribeDBInstances, in pages."""
    instances = response.backend.describe_db_instances(
        response.params.get("DBInstanceIdentifier"), filters=rds_answers.filters_of(response, FILTERS)
    )
    return rds_answers.page(response, "DBInstances", instances, rds_answers.arn_of, _looked_at)


def create_db_instance(response):
    """API_CreateDBInstance."""
    rds_answers.tags_of(response)
    key = response.params.get("KmsKeyId")
    if key and kms.usable_key(response.current_account, response.region, key) is None:
        refuse(
            "KMSKeyNotAccessibleFault",
            f"Specified KMS key [{key}] does not exist, is not enabled or you do not have permissions to access it.",
        )
    rds_storage.check_new(response)
    _check_new(response)
    result = _moto["create_db_instance"](response)
    instance = result.result["DBInstance"]
    rds_restores.begin(instance)
    _keep_what_moto_forgets(instance, response.params)
    return result


def create_db_instance_read_replica(response):
    """API_CreateDBInstanceReadReplica. moto's replica is its source once more; here it is an instance of its own."""
    tags = rds_answers.tags_of(response)
    result = _moto["create_db_instance_read_replica"](response)
    replica = result.result["DBInstance"]
    replica.backend = response.backend
    replica.created = replica.instance_create_time = utcnow()
    replica.tags = tags or []
    replica.latest_restorable_time = None
    replica.db_instance_automated_backups_replications = []
    replica.dbi_resource_id = _new_resource_id(replica)
    rds_states.begin(response.current_account, replica, "creating")
    return result


def modify_db_instance(response):
    """API_ModifyDBInstance: not while another change is under way, but for storage that is being optimized."""
    instance = _instance(response)
    if instance is None or instance.db_cluster_identifier is not None:
        return _changed(response, "modify_db_instance", "modifying")
    params, before, old_name = response.params, instance.status, instance.db_instance_identifier
    if rds_states.is_changing(instance) and before != "storage-optimization":
        refuse_instance_state(instance, "available")
    rds_changes.check(response, instance)
    rds_changes.take_what_waits(params, instance)
    had_backups, at_once = bool(instance.backup_retention_period), params.get("ApplyImmediately")
    grown = rds_storage.take_growth(response, instance)
    changes, during = set(params) - {"DBInstanceIdentifier", "ApplyImmediately"}, rds_changes.during(params)
    result = _moto["modify_db_instance"](response)
    rds_changes.applied(instance, params, old_name, had_backups)
    if grown is not None:
        (rds_storage.grow if at_once else rds_storage.grow_later)(instance, grown)
    elif changes and before == "available":
        rds_states.begin(response.current_account, instance, during)
    _keep_what_moto_forgets(instance, params)
    return result


def reboot_db_instance(response):
    """API_RebootDBInstance: not while another change is under way. Parameters that need a restart take effect."""
    instance = _instance(response)
    is_own = instance is not None and instance.db_cluster_identifier is None
    if is_own and not rds_states.is_changing(instance):
        rds_parameters.take(instance)
    return _changed(response, "reboot_db_instance", "rebooting", "RDS-EVENT-0006")


def start_db_instance(response):
    """API_StartDBInstance: of a stopped instance."""
    _refuse_what_never_stops(_instance(response))
    result = _moto["start_db_instance"](response)
    _begin_start(result.result["DBInstance"])
    return result


def stop_db_instance(response):
    """API_StopDBInstance: of an available instance, with a snapshot if one is asked for."""
    _refuse_what_never_stops(_instance(response))
    result = _moto["stop_db_instance"](response)
    instance = result.result["DBInstance"]
    instance.automatic_restart_time = utcnow() + LONGEST_STOP
    told = _telling(instance, "RDS-EVENT-0087")
    rds_states.begin(response.current_account, instance, "stopping", "stopped", then=told)
    _begin_snapshot_named(response, "DBSnapshotIdentifier")
    return result


def delete_db_instance(response):
    """API_DeleteDBInstance, with a final snapshot unless it is skipped. The instance is gone at once."""
    final, skips = (response.params.get(name) for name in ("FinalDBSnapshotIdentifier", "SkipFinalSnapshot"))
    instance = _instance(response)
    if instance is not None and bool(final) == bool(skips) and instance.db_cluster_identifier is None:
        refuse(
            "InvalidParameterCombination",
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified, and forbidden then.",
        )
    automated = rds_snapshots.automated_of(instance) if instance is not None else ()
    result = _moto["delete_db_instance"](response)
    for snapshot in automated:
        if snapshot.db_snapshot_identifier not in response.backend.database_snapshots:
            rds_data.lose(snapshot)
    keeps_backups = response.params.get("DeleteAutomatedBackups") is False or rds_backups.is_replicated(instance)
    rds_data.end(instance, keeps_backups)
    rds_events.tell(instance, "RDS-EVENT-0003")
    _begin_snapshot_named(response, "FinalDBSnapshotIdentifier")
    return result


def add_tags_to_resource(response):
    """API_AddTagsToResource: tags of the form that API_Tag has."""
    rds_answers.tags_of(response)
    return _moto["add_tags_to_resource"](response)


def make_real(account, region, name):
    """Let an instance be a real server from now on, with its master user and nothing else in it."""
    instance = _existing(account, region, name)
    rds_data.make_real(instance, rds_changes.password_of(instance), rds_parameters.of_instance(instance))
    # Its newest automated backup is what it can be restored to a point in time from.
    for snapshot in rds_snapshots.automated_of(instance)[-1:]:
        rds_data.keep(snapshot, instance, is_automated=True)


def connection_of(account, region, name):
    """How to get into a real database: the endpoint, and the file of the authority that its certificate is from."""
    instance = _existing(account, region, name)
    database = rds_data.existing(instance)
    return {
        "host": database.address,
        "port": database.door.port,
        "database": database.name,
        "user": database.master,
        "authority": rds_data.authority_file(),
    }


def run_sql(account, region, name, sql, parameters):
    """Run a statement in a real database as its master user, whether or not clients are let in."""
    columns, rows, count = rds_data.existing(_existing(account, region, name)).run(sql, parameters)
    return {"columns": columns, "rows": [[_told(value) for value in row] for row in rows], "count": count}


def settle(account):
    """The maintenance window comes for what waits for it, and what is restored is loaded."""
    rds_changes.settle(account)
    rds_restores.settle(account)


def put_instance(account, region, name, status=None, latest_restorable_time=None):
    """Put an instance into a state that lasts until a call changes it; times in seconds since 1970."""
    instance = _existing(account, region, name)
    if status is not None:
        rds_states.put(instance, status)
        instance.automatic_restart_time = utcnow() + LONGEST_STOP if status == "stopped" else None
    if latest_restorable_time is not None:
        # moto keeps times without a zone, in UTC.
        instance.latest_restorable_time = datetime(1970, 1, 1) + timedelta(seconds=latest_restorable_time)


def start_automatically(account, region, name):
    """What AWS does to an instance that has been stopped for seven days."""
    instance = _existing(account, region, name)
    if instance.status != "stopped":
        raise ValueError(f"instance {name!r} is {instance.status}, not stopped")
    instance.status = "available"
    rds_events.tell(instance, "RDS-EVENT-0154")
    _begin_start(instance)


def install():
    """Put these operations in place of moto's."""
    kms.install()
    parts = (rds_backups, rds_changes, rds_copies, rds_events, rds_groups, rds_restores, rds_sharing, rds_snapshots)
    for part in parts:
        part.install()
    # Whoever sets the status of an instance starts or stops its server thereby, if it is a real one.
    DBInstance.status = property(_status, _set_status)
    DBInstance.endpoint = property(_endpoint)
    # moto calls this once, for every new instance but replicas, when all of it is set.
    DBInstance.save_automated_backup = _be_born
    DBInstance.latest_restorable_time = property(_latest_restorable_time, _set_latest_restorable_time)
    operations.install(
        RDSResponse,
        describe_db_instances,
        create_db_instance,
        create_db_instance_read_replica,
        modify_db_instance,
        reboot_db_instance,
        start_db_instance,
        stop_db_instance,
        delete_db_instance,
        add_tags_to_resource,
    )


def _be_born(instance):
    """What is an instance's own, and which moto makes the same for all; then its first automated snapshot."""
    instance.dbi_resource_id = _new_resource_id(instance)
    vars(instance).update(DEFAULTS)
    if instance.db_cluster_identifier is not None:
        return
    if instance.engine == "postgres":
        instance.license_model = "postgresql-license"
    # "Multi-AZ DB instance deployments": a standby in another zone.
    instance.secondary_availability_zone = f"{instance.region}b" if instance.multi_az else None
    instance.storage_encryption_type = "sse-kms" if instance.storage_encrypted else "none"
    if instance.storage_encrypted:
        named = instance.kms_key_id and kms.usable_key(instance.account_id, instance.region, instance.kms_key_id)
        instance.kms_key_id = (named or kms.default_key(instance.account_id, instance.region)).arn
    if not instance.option_group_supplied:
        instance.option_group_name = rds_groups.default_option_group_of(instance.engine, instance.engine_version)
    rds_data.be_born(instance, rds_changes.password_of(instance), rds_parameters.of_instance(instance))
    # "Backup retention period": automated backups are off when it is 0.
    if instance.backup_retention_period:
        rds_snapshots.take_automated(instance.backend, instance)


def _new_resource_id(instance):
    """API_DBInstance, DbiResourceId: `db-` and 26 capital letters and digits, another for each instance there ever was.

    The same in every run of the same calls.
    """
    name = f"{instance.account_id}/{instance.region}/{instance.db_instance_identifier}"
    _born[name] += 1
    digest = hashlib.sha256(f"{name}/{_born[name]}".encode()).digest()
    return f"db-{base64.b32encode(digest).decode()[:26]}"


def _latest_restorable_time(instance):
    """API_DBInstance, LatestRestorableTime: there is one as long as there are automated backups."""
    told = instance.__dict__.get("told_restorable_time")
    typical = max(rds_data.first_backup_of(instance) or instance.created, utcnow() - BEHIND)
    return told or (typical if instance.backup_retention_period else None)


def _set_latest_restorable_time(instance, moment):
    instance.__dict__["told_restorable_time"] = moment


def _keep_what_moto_forgets(instance, params):
    for parameter, attribute in FORGOTTEN.items():
        if parameter in params:
            setattr(instance, attribute, params[parameter])
    if not instance.performance_insights_enabled:
        instance.performance_insights_kms_key_id = instance.performance_insights_retention_period = None
        return
    # API_CreateDBInstance, PerformanceInsightsKMSKeyId and PerformanceInsightsRetentionPeriod: the defaults.
    named = params.get("PerformanceInsightsKMSKeyId") or getattr(instance, "performance_insights_kms_key_id", None)
    key = kms.usable_key(instance.account_id, instance.region, named or kms.KEY_OF_RDS)
    if key is None:
        refuse("KMSKeyNotAccessibleFault", f"Specified KMS key [{named}] does not exist or is not enabled.")
    instance.performance_insights_kms_key_id = key.arn
    if not getattr(instance, "performance_insights_retention_period", None):
        instance.performance_insights_retention_period = DEFAULT_INSIGHTS_DAYS


def _check_new(response):
    """What a new instance must have; members of clusters have the cluster's."""
    params = response.params
    if params.get("DBClusterIdentifier"):
        return
    rds_restores.check_network(response, params.get("DBSubnetGroupName"), params.get("VpcSecurityGroupIds"))
    if params.get("ManageMasterUserPassword") and params.get("MasterUserPassword"):
        refuse("InvalidParameterCombination", "You can't specify MasterUserPassword for a managed master user password.")


def _status(instance):
    return vars(instance)["told_status"]


def _set_status(instance, status):
    vars(instance)["told_status"] = status
    rds_data.follow(instance)


def _endpoint(instance):
    """API_DBInstance, Endpoint: "might not be shown for instances with the status of creating"."""
    database = rds_data.of_instance(instance)
    if database is None:
        return {"Address": instance.address, "Port": instance.port}
    return None if instance.status == "creating" else {"Address": database.address, "Port": database.door.port}


def _begin_start(instance):
    instance.automatic_restart_time = None
    rds_states.begin(instance.account_id, instance, "starting", then=_telling(instance, "RDS-EVENT-0088"))


def _telling(instance, event_id):
    """What is told when a change is complete."""
    return lambda: rds_events.tell(instance, event_id)


def _refuse_what_never_stops(instance):
    """"Stopping an Amazon RDS DB instance temporarily", limitations, and what API_StopDBInstance notes of Aurora.

    The words and the code for Aurora are those that users meet (base2Services/cfn-start-stop-stack#65).
    """
    if instance is None:
        return
    if instance.db_cluster_identifier is not None:
        refuse(
            "InvalidParameterCombination", f"{instance.engine} DB instances are not eligible for stopping and starting."
        )
    if instance.is_replica:
        refuse("InvalidDBInstanceState", "Cannot stop or start a Read-Replica instance")
    if instance.replicas:
        refuse("InvalidDBInstanceState", "Cannot stop or start an instance that has a Read-Replica")
    if instance.multi_az and instance.engine.startswith("sqlserver"):
        refuse("InvalidDBInstanceState", "Cannot stop or start a SQL Server instance in a Multi-AZ deployment")


def _changed(response, operation, during, event_id=None):
    """A change of an instance. While its storage is optimized it may be changed, and is in that state all the while."""
    instance = _instance(response)
    before = instance.status if instance is not None else None
    if instance is not None and rds_states.is_changing(instance) and before != "storage-optimization":
        refuse_instance_state(instance, "available")
    result = _moto[operation](response)
    changed = result.result["DBInstance"]
    told = _telling(changed, event_id) if event_id else None
    if before == "available":
        rds_states.begin(response.current_account, changed, during, then=told)
    return result


def _begin_snapshot_named(response, parameter):
    name = response.params.get(parameter)
    if name:
        rds_states.begin(response.current_account, response.backend.get_db_snapshot(name), "creating")


def _instance(response):
    return response.backend.databases.get(response.params.get("DBInstanceIdentifier"))


def _existing(account, region, name):
    instance = rds_backends[account][region].databases.get(name)
    if instance is None:
        raise ValueError(f"there is no instance {name!r}")
    return instance


def _told(value):
    """A value of a database as JSON has it; what that doesn't know as text."""
    return value if value is None or isinstance(value, (bool, int, float, str, list, dict)) else str(value)


def _looked_at(instance):
    rds_states.look(instance)
    rds_restores.look(instance)
    return instance
