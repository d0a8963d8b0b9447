"""Amazon RDS: instances that are restored from a snapshot or to a point in time, and the settings they come with.

API_RestoreDBInstanceFromDBSnapshot, API_RestoreDBInstanceToPointInTime and "Restoring to a DB instance", "Restoring a DB
instance to a specified time" (RDS User Guide). A restored instance has what its data say (engine, master user and
password, key, size) and otherwise the settings of the call, or defaults; not those of its source.
"""

import re
from datetime import timezone

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.rds.models import rds_backends
from moto.rds.responses import RDSResponse

import kms
import operations
import rds_answers
import rds_backups
import rds_data
import rds_groups
import rds_sharing
import rds_states
import settings
from operations import refuse
from rds_answers import refuse_instance_state, refuse_snapshot_state

# API_DBInstance, StorageOperationStatus: the volume is initializing from a snapshot.
INITIALIZING = "Initializing"

# "Default: io1 if the Iops parameter is specified, otherwise gp3".
STORAGE, STORAGE_WITH_IOPS = "gp3", "io1"

SNAPSHOT_ARN = re.compile(r"arn:[\w-]+:rds:([\w-]+):(\d{12}):snapshot:(.+)")

# Settings of a call that are taken as they are, and are otherwise what an instance has that is new: parameter -> name.
OF_THE_CALL = {
    "AutoMinorVersionUpgrade": "auto_minor_version_upgrade",
    "AvailabilityZone": "availability_zone",
    "CACertificateIdentifier": "ca_certificate_identifier",
    "DBSubnetGroupName": "db_subnet_group_name",
    "DBParameterGroupName": "db_parameter_group_name",
    "DeletionProtection": "deletion_protection",
    "EnableCloudwatchLogsExports": "enable_cloudwatch_logs_exports",
    "EnableIAMDatabaseAuthentication": "enable_iam_database_authentication",
    "Iops": "iops",
    "MultiAZ": "multi_az",
    "OptionGroupName": "option_group_name",
    "StorageThroughput": "storage_throughput",
    "VpcSecurityGroupIds": "vpc_security_group_ids",
}
# And those that are otherwise what the source had: parameter -> name.
OF_THE_SOURCE = {
    "BackupRetentionPeriod": "backup_retention_period",
    "DBInstanceClass": "db_instance_class",
    "Port": "port",
    "PreferredBackupWindow": "preferred_backup_window",
}


def restore_db_instance_from_db_snapshot(response):
    """API_RestoreDBInstanceFromDBSnapshot: of an available snapshot of one's own, or one that is shared."""
    if response.params.get("DBClusterSnapshotIdentifier"):
        raise NotImplementedError("an instance from the snapshot of a cluster")
    snapshot = _snapshot_of(response)
    if snapshot.status != "available":
        refuse_snapshot_state(snapshot, "is not currently in the available state.")
    _refuse_without_key(snapshot.kms_key_id if snapshot.encrypted else None)
    source = snapshot.database
    tags = rds_answers.tags_of(response) or _tags_that_come_along(response, snapshot)
    key = snapshot.kms_key_id if snapshot.encrypted else None
    name = response.params["DBInstanceIdentifier"]
    members = _members_of(response, name, source, key, tags)
    members["copy_tags_to_snapshot"] = bool(response.params.get("CopyTagsToSnapshot"))
    return _made(response, members, rds_data.from_snapshot(snapshot))


def restore_db_instance_to_point_in_time(response):
    """API_RestoreDBInstanceToPointInTime: of an instance, a deleted one's retained backups, or replicated ones."""
    params = response.params
    source, backup = _source_of(response)
    if not source.backup_retention_period:
        refuse("PointInTimeRestoreNotEnabled", "Automated backups are not enabled for the source DB instance.")
    moment = _moment_of(params, backup["RestoreWindow"])
    _refuse_without_key(backup["KmsKeyId"])
    tags = rds_answers.tags_of(response) or list(source.tags)
    members = _members_of(response, params["TargetDBInstanceIdentifier"], source, backup["KmsKeyId"], tags)
    members["copy_tags_to_snapshot"] = bool(params.get("CopyTagsToSnapshot"))
    members["max_allocated_storage"] = params.get("MaxAllocatedStorage")
    living = source if rds_data.of_instance(source) is not None else None
    return _made(response, members, rds_data.from_point_in_time(source.dbi_resource_id, moment, living))


def put_outcome(account, region, name, status):
    """Let the next instance that is created or restored by a name end in a state, instead of available."""
    if status not in OUTCOMES:
        raise ValueError(f"{status!r} is no state in which a new instance ends; there are {', '.join(OUTCOMES)}")
    vars(rds_backends[account][region]).setdefault("outcomes", {})[name.lower()] = status


# "Viewing Amazon RDS DB instance status": states in which an instance may end that was to be available.
OUTCOMES = (
    "failed",
    "incompatible-create",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "inaccessible-encryption-credentials",
    "insufficient-capacity",
    "storage-full",
)


def begin(instance):
    """A new instance is being created, and then available, or what a test says."""
    outcome = vars(instance.backend).get("outcomes", {}).pop(instance.db_instance_identifier, None)
    then = None
    if outcome is not None:
        # Whoever looks at it next is to see where it ended, and not that it was available before.
        def then():
            rds_states.put(instance, outcome)

    rds_states.begin(instance.account_id, instance, "creating", outcome or "available", then=then)


def look(instance):
    """Somebody describes an instance. API_DBInstance, StorageOperationStatus: while it is available its storage is loaded."""
    left = vars(instance).get("loading_polls_left", 0)
    is_loading = left > 0 and instance.status == "available"
    instance.storage_operation_status = INITIALIZING if is_loading else None
    done = 100 - 100 * left // instance.loading_polls if is_loading else None
    instance.storage_operation_percent_progress = done
    if is_loading:
        instance.loading_polls_left -= 1


def settle(account):
    """What is restored is loaded."""
    for backend in list(rds_backends[account].values()):
        for instance in list(backend.databases.values()):
            instance.loading_polls_left = 0


def check_network(response, subnet_group, security_groups):
    """"Working with a DB instance in a VPC": the security groups are of the VPC of the subnet group."""
    ec2 = ec2_backends[response.current_account][response.region]
    if subnet_group is not None and subnet_group not in response.backend.subnet_groups:
        refuse("DBSubnetGroupNotFoundFault", f"DB subnet group '{subnet_group}' does not exist.")
    vpc = response.backend.subnet_groups[subnet_group].vpc_id if subnet_group else ec2.default_vpc.id
    for each in security_groups or ():
        group = ec2.get_security_group_from_id(each)
        if group is None:
            refuse("InvalidParameterValue", f"Invalid security group, groupId= {each}, groupName=.")
        if group.vpc_id != vpc:
            refuse(
                "InvalidParameterCombination",
                "The DB instance and EC2 security group are in different VPCs. "
                f"The DB instance is in {vpc} and the EC2 security group is in {group.vpc_id}",
            )
    return vpc


def check_quotas(response, storage_gib):
    """"Quotas for Amazon RDS": instances of a Region, and their storage."""
    backend = response.backend
    if len(backend.databases) >= rds_groups.QUOTAS["DBInstances"]:
        refuse("InstanceQuotaExceeded", "DB Instance quota exceeded")
    used = sum(each.allocated_storage for each in backend.databases.values())
    if used + storage_gib > settings.of_account(response.current_account).rds_storage_gib:
        refuse("StorageQuotaExceeded", "The request would result in the user exceeding the allowed amount of storage.")


def install():
    """Put these operations in place of moto's."""
    operations.install(RDSResponse, restore_db_instance_from_db_snapshot, restore_db_instance_to_point_in_time)


def _members_of(response, name, source, key, tags):
    """What a restored instance is, as moto wants to be told."""
    params = response.params
    if name.lower() in response.backend.databases:
        refuse("DBInstanceAlreadyExists", "DB instance already exists")
    if params.get("ManageMasterUserPassword"):
        refuse("InvalidParameterCombination", f"ManageMasterUserPassword is not supported for engine {source.engine}.")
    if params.get("MultiAZ") and params.get("AvailabilityZone"):
        refuse("InvalidParameterCombination", "Requesting a specific availability zone is not valid for Multi-AZ.")
    if params.get("Engine", source.engine) != source.engine:
        refuse("InvalidParameterValue", f"Cannot change engine {source.engine} to {params['Engine']}.")
    storage = int(params.get("AllocatedStorage") or source.allocated_storage)
    if storage < source.allocated_storage:
        refuse("InvalidParameterValue", "Allocated storage size can't be less than that of the source.")
    check_quotas(response, storage)
    groups = params.get("VpcSecurityGroupIds")
    vpc = check_network(response, params.get("DBSubnetGroupName"), groups)
    public = params.get("PubliclyAccessible")
    given = {name: params[parameter] for parameter, name in OF_THE_CALL.items() if params.get(parameter) is not None}
    given["vpc_security_group_ids"] = list(groups or [_default_group_of(response, vpc)])
    return {
        **given,
        **{
            name: params[parameter] if params.get(parameter) is not None else getattr(source, name)
            for parameter, name in OF_THE_SOURCE.items()
        },
        "db_instance_identifier": name.lower(),
        "engine": source.engine,
        "engine_version": source.engine_version,
        "db_name": source.db_name,
        "license_model": source.license_model,
        "master_username": source.master_username,
        "allocated_storage": storage,
        "storage_type": params.get("StorageType") or (STORAGE_WITH_IOPS if params.get("Iops") else STORAGE),
        "publicly_accessible": _has_internet(response, vpc) if public is None else public,
        "storage_encrypted": key is not None,
        "kms_key_id": key,
        "tags": tags,
    }


def _made(response, members, fill):
    with rds_data.origin(fill):
        instance = response.backend.create_db_instance(members)
    instance.loading_polls_left = instance.loading_polls = settings.of_account(instance.account_id).rds_loading_polls
    begin(instance)
    return ActionResult({"DBInstance": instance})


def _snapshot_of(response):
    """By name one of one's own, by ARN also one that is shared; of this Region."""
    name = response.params.get("DBSnapshotIdentifier") or ""
    account, own_name = response.current_account, name
    if name.startswith("arn:"):
        found = SNAPSHOT_ARN.fullmatch(name)
        if not found or found[1] != response.region:
            refuse("DBSnapshotNotFound", f"DBSnapshot {name} not found.")
        _, account, own_name = found.groups()
    snapshot = rds_backends[account][response.region].database_snapshots.get(own_name)
    if snapshot is None or not rds_sharing.may_use(response.current_account, snapshot):
        refuse("DBSnapshotNotFound", f"DBSnapshot {name} not found.")
    if account != response.current_account and rds_sharing.is_under_default_key(snapshot):
        _refuse_key(snapshot.kms_key_id)
    return snapshot


def _tags_that_come_along(response, snapshot):
    """API_RestoreDBInstanceFromDBSnapshot, CopyTagsToSnapshot: without new tags, those of the snapshot's source instance.

    Elsewhere there is no such instance: of a copy they are taken to be its own.
    """
    if snapshot.account_id != response.current_account:
        return []
    return list(snapshot.tags if snapshot.source_db_snapshot_identifier else snapshot.database.tags)


def _source_of(response):
    """The instance as it is or was, and its automated backup."""
    params = response.params
    name, resource_id, arn = (
        params.get(key)
        for key in ("SourceDBInstanceIdentifier", "SourceDbiResourceId", "SourceDBInstanceAutomatedBackupsArn")
    )
    if sum(each is not None for each in (name, resource_id, arn)) != 1:
        refuse("InvalidParameterCombination", "Exactly one source of the restore must be given.")
    if name is not None:
        instance = response.backend.databases.get(name.lower())
        if instance is None:
            refuse("DBInstanceNotFound", f"DBInstance {name} not found.")
        if instance.status == "creating":
            refuse_instance_state(instance, "available")
        return instance, rds_backups.of_instance(instance)
    found = rds_backups.find(response, resource_id, arn)
    if found is None:
        refuse("DBInstanceAutomatedBackupNotFound", "No automated backup for this DB instance was found.")
    return found


def _moment_of(params, window):
    wanted, latest = params.get("RestoreTime"), params.get("UseLatestRestorableTime")
    if (wanted is None) == (not latest):
        refuse("InvalidParameterCombination", "Either RestoreTime or UseLatestRestorableTime must be specified.")
    begin, end = (_in_utc(window[name]) for name in ("EarliestTime", "LatestTime"))
    now = utcnow().replace(tzinfo=timezone.utc)
    if latest:
        return min(end, now)
    moment = _in_utc(wanted)
    if moment > min(end, now):
        refuse(
            "InvalidParameterValue",
            f"The specified instance cannot be restored to a time later than {end.isoformat()}",
        )
    if moment < begin:
        refuse(
            "InvalidParameterValue",
            f"The specified instance cannot be restored to a time earlier than {begin.isoformat()}",
        )
    return moment


def _in_utc(moment):
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc)


def _refuse_without_key(arn):
    if arn is not None:
        key = kms.key_of_arn(arn)
        if key is None or key.key_state != "Enabled":
            _refuse_key(arn)


def _refuse_key(arn):
    refuse("KMSKeyNotAccessibleFault", f"Specified KMS key [{arn}] does not exist or is not enabled.")


def _default_group_of(response, vpc):
    return ec2_backends[response.current_account][response.region].get_default_security_group(vpc).id


def _has_internet(response, vpc):
    """API_CreateDBInstance, PubliclyAccessible: the default is whether the VPC has an internet gateway attached.

    A default VPC has one ("Default VPC components", Amazon VPC User Guide).
    """
    if vpc == ec2_backends[response.current_account][response.region].default_vpc.id:
        return True
    gateways = ec2_backends[response.current_account][response.region].describe_internet_gateways()
    return any(gateway.vpc and gateway.vpc.id == vpc for gateway in gateways)
