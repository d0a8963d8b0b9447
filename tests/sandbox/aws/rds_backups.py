"""Amazon RDS: automated backups, and those that are replicated to another Region.

"Working with backups" and "Replicating automated backups to another AWS Region" (RDS User Guide),
API_DBInstanceAutomatedBackup. Of an instance that is deleted, what remains are the automated snapshots that it was told
to keep.
"""

import collections
from datetime import datetime, timedelta

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.rds.models import rds_backends
from moto.rds.responses import RDSResponse

import kms
import operations
import rds_answers
import rds_data
from operations import refuse

# API_DescribeDBInstanceAutomatedBackups, Filters.
FILTERS = ("status", "db-instance-id", "dbi-resource-id")

# API_StartDBInstanceAutomatedBackupsReplication, BackupRetentionPeriod.
DEFAULT_RETENTION_DAYS = 7

# Account and Region -> resource id of the source instance -> its backup that is replicated there.
_replicated = collections.defaultdict(dict)
# ARN of a backup that is replicated -> its source instance, which may be gone.
_sources = {}


def describe_db_instance_automated_backups(response):
    """API_DescribeDBInstanceAutomatedBackups, in pages: of this Region's instances, and replicated ones."""
    params = response.params
    filters = rds_answers.filters_of(response, FILTERS)
    for name, key in [("db-instance-id", "DBInstanceIdentifier"), ("dbi-resource-id", "DbiResourceId")]:
        if params.get(key):
            filters[name] = [params[key]]
    wanted_arn = params.get("DBInstanceAutomatedBackupsArn")
    replicated = _replicated[response.current_account, response.region].values()
    backups = [*_own_backups(response.backend), *map(dict, replicated)]
    found = [
        backup
        for backup in backups
        if wanted_arn in (None, backup.get("DBInstanceAutomatedBackupsArn")) and _matches(backup, filters)
    ]
    if not found and (wanted_arn or params.get("DBInstanceIdentifier") or params.get("DbiResourceId")):
        refuse("DBInstanceAutomatedBackupNotFound", "No automated backup for this DB instance was found.")
    return rds_answers.page(response, "DBInstanceAutomatedBackups", found, _position_of, lambda backup: backup)


def start_db_instance_automated_backups_replication(response):
    """API_StartDBInstanceAutomatedBackupsReplication, called in the Region that shall have the backups."""
    params = response.params
    instance = _source_instance(response)
    if not instance.backup_retention_period:
        rds_answers.refuse_instance_state(instance, "available, with automated backups,")
    key = None
    if instance.storage_encrypted:
        # "You must specify an AWS KMS key" for one that is encrypted; it is of the destination's Region.
        wanted = params.get("KmsKeyId") or ""
        found = kms.usable_key(response.current_account, response.region, wanted)
        if found is None:
            refuse("KMSKeyNotAccessibleFault", f"The target KMS key [{wanted}] does not exist or is not enabled.")
        key = found.arn
    place = f"{response.region}:{response.current_account}"
    arn = f"arn:aws:rds:{place}:auto-backup:ab-{instance.dbi_resource_id.removeprefix('db-').lower()}"
    backup = {
        **of_instance(instance),
        "Status": "replicating",
        "Encrypted": key is not None,
        "KmsKeyId": key,
        "BackupRetentionPeriod": params.get("BackupRetentionPeriod") or DEFAULT_RETENTION_DAYS,
        "DBInstanceAutomatedBackupsArn": arn,
        "DBInstanceAutomatedBackupsReplications": None,
        "TagList": rds_answers.tags_of(response) or [],
    }
    _replicated[response.current_account, response.region][instance.dbi_resource_id] = backup
    _sources[arn] = instance
    told = getattr(instance, "db_instance_automated_backups_replications", [])
    others = [each for each in told if each["DBInstanceAutomatedBackupsArn"] != arn]
    instance.db_instance_automated_backups_replications = [*others, {"DBInstanceAutomatedBackupsArn": arn}]
    return ActionResult({"DBInstanceAutomatedBackup": backup})


def stop_db_instance_automated_backups_replication(response):
    """API_StopDBInstanceAutomatedBackupsReplication: what was replicated is retained."""
    instance = _source_instance(response)
    backup = _replicated[response.current_account, response.region].get(instance.dbi_resource_id)
    if backup is None:
        refuse("DBInstanceAutomatedBackupNotFound", "No automated backup for this DB instance was found.")
    backup["Status"] = "retained"
    told = getattr(instance, "db_instance_automated_backups_replications", [])
    arn = backup["DBInstanceAutomatedBackupsArn"]
    kept = [each for each in told if each["DBInstanceAutomatedBackupsArn"] != arn]
    instance.db_instance_automated_backups_replications = kept
    return ActionResult({"DBInstanceAutomatedBackup": backup})


def put_replicated(account, region, resource_id, status=None, earliest=None, latest=None):
    """Let a replicated backup have a status and a restore window of one's choice; times in seconds since 1970."""
    backup = _replicated[account, region].get(resource_id)
    if backup is None:
        raise ValueError(f"there are no replicated backups of {resource_id!r} in {region}")
    backup["Status"] = status or backup["Status"]
    window = dict(backup["RestoreWindow"] or {})
    for name, moment in (("EarliestTime", earliest), ("LatestTime", latest)):
        if moment is not None:
            window[name] = datetime(1970, 1, 1) + timedelta(seconds=moment)
    backup["RestoreWindow"] = window


def find(response, resource_id, arn):
    """An instance as it is or was, and its automated backup of this Region: its own, or one that is replicated here."""
    replicated = _replicated[response.current_account, response.region]
    for backup in replicated.values():
        if arn is not None and backup["DBInstanceAutomatedBackupsArn"] == arn:
            return _sources[arn], backup
    for instance in response.backend.databases.values():
        if instance.dbi_resource_id == resource_id and instance.db_cluster_identifier is None:
            return instance, of_instance(instance)
    for instance, backup in _retained(response.backend):
        if backup["DbiResourceId"] == resource_id:
            return instance, backup
    return None


def is_replicated(instance):
    """Whether there are backups of an instance in another Region, which stay when it goes."""
    return any(instance.dbi_resource_id in replicated for replicated in _replicated.values())


def install():
    """Put these operations in place of moto's."""
    operations.install(
        RDSResponse,
        describe_db_instance_automated_backups,
        start_db_instance_automated_backups_replication,
        stop_db_instance_automated_backups_replication,
    )


def _own_backups(backend):
    for instance in backend.databases.values():
        if instance.db_cluster_identifier is None and instance.backup_retention_period:
            yield of_instance(instance)
    for _, backup in _retained(backend):
        yield backup


def _retained(backend):
    """The instances that are deleted and told to keep their backups, each with what is retained of it."""
    alive = {instance.dbi_resource_id for instance in backend.databases.values()}
    retained = {}
    for snapshot in backend.database_snapshots.values():
        if snapshot.snapshot_type == "automated" and snapshot.dbi_resource_id not in alive:
            retained.setdefault(snapshot.dbi_resource_id, []).append(snapshot)
    for snapshots in retained.values():
        times = sorted(snapshot.original_snapshot_create_time for snapshot in snapshots)
        instance = snapshots[0].database
        begin, end = rds_data.first_backup_of(instance), rds_data.end_of(instance)
        window = {"EarliestTime": begin or times[0], "LatestTime": end or times[-1]}
        yield instance, {**of_instance(instance), "Status": "retained", "RestoreWindow": window}


def of_instance(instance):
    """The automated backup of an instance that there is."""
    latest = instance.latest_restorable_time
    begin = rds_data.first_backup_of(instance) or instance.created
    kept_from = utcnow() - timedelta(days=instance.backup_retention_period)
    group = getattr(instance, "db_subnet_group", None)
    return {
        "AllocatedStorage": instance.allocated_storage,
        "AvailabilityZone": instance.availability_zone,
        "BackupRetentionPeriod": instance.backup_retention_period,
        "BackupTarget": "region",
        "DBInstanceArn": instance.arn,
        "DBInstanceAutomatedBackupsReplications": getattr(instance, "db_instance_automated_backups_replications", []),
        "DBInstanceIdentifier": instance.db_instance_identifier,
        "DbiResourceId": instance.dbi_resource_id,
        "Encrypted": instance.storage_encrypted,
        "Engine": instance.engine,
        "EngineVersion": instance.engine_version,
        "IAMDatabaseAuthenticationEnabled": instance.enable_iam_database_authentication,
        "InstanceCreateTime": instance.created,
        "KmsKeyId": instance.kms_key_id,
        "LicenseModel": instance.license_model,
        "MasterUsername": instance.master_username,
        "OptionGroupName": instance.option_group_name,
        "Port": instance.port,
        "PreferredBackupWindow": instance.preferred_backup_window,
        "Region": instance.region,
        "RestoreWindow": {"EarliestTime": max(begin, kept_from), "LatestTime": latest},
        "Status": "active",
        "StorageType": instance.storage_type,
        "VpcId": group.vpc_id if group else None,
    }


def _matches(backup, filters):
    has = {
        "status": {backup["Status"]},
        "db-instance-id": {backup["DBInstanceIdentifier"], backup["DBInstanceArn"].lower()},
        "dbi-resource-id": {backup["DbiResourceId"].lower()},
    }
    return all(has[name] & {value.lower() for value in values} for name, values in filters.items())


def _source_instance(response):
    arn = response.params["SourceDBInstanceArn"]
    _, _, _, region, account, _, name = (arn.split(":", 6) + [""] * 7)[:7]
    instance = None
    if account == response.current_account and region != response.region:
        instance = rds_backends[account][region].databases.get(name)
    if instance is None:
        refuse("DBInstanceNotFound", f"DBInstance {arn} not found in another Region of this account.")
    return instance


def _position_of(backup):
    return [backup["DbiResourceId"], backup.get("DBInstanceAutomatedBackupsArn") or ""]
