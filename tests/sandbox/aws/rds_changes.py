"""Amazon RDS: changes of an instance, at once or in the maintenance window; its name, and its master user's password.

API_ModifyDBInstance, "Modifying an Amazon RDS DB instance" (RDS User Guide: what is applied when), "Renaming a DB
instance" and "Password management with Amazon RDS and AWS Secrets Manager".
"""

import json
import secrets

from moto.rds.models import DBInstance, MasterUserSecret, rds_backends

import rds_data
import rds_groups
import rds_parameters
import rds_snapshots
import rds_states
from operations import refuse

# Parameter of API_ModifyDBInstance -> member of API_PendingModifiedValues, and attribute of the instance. These wait for
# the maintenance window unless ApplyImmediately is said; of storage that is in `rds_storage.py`.
THAT_WAIT = {
    "CACertificateIdentifier": ("CACertificateIdentifier", "ca_certificate_identifier"),
    "DBInstanceClass": ("DBInstanceClass", "db_instance_class"),
    "DBPortNumber": ("Port", "port"),
    "DBSubnetGroupName": ("DBSubnetGroupName", "db_subnet_group_name"),
    "EnableIAMDatabaseAuthentication": ("IAMDatabaseAuthenticationEnabled", "enable_iam_database_authentication"),
    "EngineVersion": ("EngineVersion", "engine_version"),
    "Iops": ("Iops", "iops"),
    "MultiAZ": ("MultiAZ", "multi_az"),
    "NewDBInstanceIdentifier": ("DBInstanceIdentifier", "db_instance_identifier"),
    "StorageThroughput": ("StorageThroughput", "storage_throughput"),
    "StorageType": ("StorageType", "storage_type"),
}
# "If you change it from one nonzero value to another, the change is applied as soon as possible."
RETENTION = "BackupRetentionPeriod"
STORAGE = "AllocatedStorage"
NAME = "NewDBInstanceIdentifier"

# "Requirements" of passwords for PostgreSQL: 8 to 128 printable characters but these.
SHORTEST, LONGEST, FORBIDDEN = 8, 128, set("/'\"@ ")


def check(response, instance):
    """Refuse what a modification must not ask for."""
    params = response.params
    new_name = params.get(NAME)
    if new_name:
        params[NAME] = new_name.lower()
        if params[NAME] in response.backend.databases:
            refuse("DBInstanceAlreadyExists", "DB instance already exists")
    manages, password = params.get("ManageMasterUserPassword"), params.get("MasterUserPassword")
    managed = instance.manage_master_user_password if manages is None else manages
    if managed and password:
        refuse("InvalidParameterCombination", "You can't specify MasterUserPassword for a managed master user password.")
    if manages is False and instance.manage_master_user_password and not password:
        refuse("InvalidParameterCombination", "MasterUserPassword is required when RDS no longer manages it.")
    if params.get("RotateMasterUserPassword") and not instance.manage_master_user_password:
        refuse("InvalidParameterCombination", "Only a managed master user password can be rotated.")
    if password:
        check_password(password)
    group = params.get("DBParameterGroupName")
    if group:
        rds_groups.check_family(response, group, instance)


def check_password(password):
    """"Constraints" of API_ModifyDBInstance, MasterUserPassword."""
    printable = all(32 < ord(sign) < 127 and sign not in FORBIDDEN for sign in password)
    if not printable or not SHORTEST <= len(password) <= LONGEST:
        refuse("InvalidParameterValue", "The parameter MasterUserPassword is not a valid password.")


def take_what_waits(params, instance):
    """What waits for the maintenance window, taken out of a call that does not say ApplyImmediately.

    With it, all that waited until now is applied too: it is put into the call.
    """
    waiting = dict(vars(instance).get("pending_modified_values") or {})
    if params.get("ApplyImmediately"):
        alike = {name: (name, None) for name in (RETENTION, STORAGE)}
        for parameter, (member, _) in {**THAT_WAIT, **alike}.items():
            if member in waiting:
                params.setdefault(parameter, waiting.pop(member))
    else:
        for parameter, (member, attribute) in THAT_WAIT.items():
            if params.get(parameter) is not None:
                value = params.pop(parameter)
                waiting.pop(member, None)
                if value != getattr(instance, attribute):
                    waiting[member] = value
        days = params.get(RETENTION)
        if days is not None and (days == 0) != (instance.backup_retention_period == 0):
            waiting[RETENTION] = params.pop(RETENTION)
    instance.pending_modified_values = waiting or None


def settle(account):
    """The maintenance window comes, and what waited for it is applied, but for storage."""
    for backend in list(rds_backends[account].values()):
        for instance in list(backend.databases.values()):
            waiting = vars(instance).get("pending_modified_values") or {}
            params = {
                parameter: waiting[member]
                for parameter, (member, _) in {**THAT_WAIT, RETENTION: (RETENTION, None)}.items()
                if member in waiting
            }
            if params and instance.status == "available":
                _apply(backend, instance, params)
                left = {STORAGE: waiting[STORAGE]} if STORAGE in waiting else None
                instance.pending_modified_values = left


def _apply(backend, instance, params):
    old_name, had_backups = instance.db_instance_identifier, bool(instance.backup_retention_period)
    for parameter, value in params.items():
        setattr(instance, THAT_WAIT[parameter][1] if parameter in THAT_WAIT else "backup_retention_period", value)
    if instance.db_instance_identifier != old_name:
        del backend.databases[old_name]
        backend.databases[instance.db_instance_identifier] = instance
    applied(instance, params, old_name, had_backups)
    rds_states.begin(instance.account_id, instance, during(params))


def applied(instance, params, old_name, had_backups):
    """A modification has been made; what hangs on it."""
    if "DBPortNumber" in params:
        instance.port = int(params["DBPortNumber"])
    if params.get("MultiAZ") is not None:
        instance.secondary_availability_zone = f"{instance.region}b" if params["MultiAZ"] else None
    if instance.db_instance_identifier != old_name:
        rds_data.rename(instance)
    if params.get("MasterUserPassword"):
        _set_password(instance, params["MasterUserPassword"])
    elif params.get("ManageMasterUserPassword") or params.get("RotateMasterUserPassword"):
        _set_password(instance, password_of(instance))
    # "Enabling automated backups": a backup is made at once.
    if instance.backup_retention_period and not had_backups:
        rds_snapshots.take_automated(instance.backend, instance)
    if not instance.backup_retention_period and had_backups:
        rds_snapshots.lose_automated(instance)


def during(params):
    """The state in which an instance is while it is changed."""
    if params.get(NAME):
        return "renaming"
    if params.get("ManageMasterUserPassword") is not None or params.get("MasterUserPassword"):
        return "resetting-master-credentials"
    return "modifying"


def password_of(instance):
    """The master user's password, as the caller gave it or as it is in the managed secret."""
    if not instance.manage_master_user_password:
        # moto keeps it, and lets nobody ask for it.
        return vars(instance).get("_master_user_password")
    managed = instance.master_user_secret
    value = managed.secretsmanager.get_secret_value(managed.secret.arn, None, None)
    return json.loads(value["SecretString"])["password"]


def install():
    """Let managed secrets hold what AWS documents: the master user and a password that nobody else has."""
    MasterUserSecret._generate_secret_string = _new_credentials
    MasterUserSecret.rotate_secret = _rotate
    DBInstance.db_parameter_group_status_list = property(rds_parameters.statuses)


def _new_credentials(managed):
    return json.dumps({"username": managed.resource.master_username, "password": secrets.token_urlsafe(21)})


def _rotate(managed):
    managed._status = "rotating"
    managed.secretsmanager.put_secret_value(
        secret_id=managed.secret.arn,
        secret_string=_new_credentials(managed),
        secret_binary=None,
        client_request_token=None,
        version_stages=["AWSCURRENT"],
    )


def _set_password(instance, password):
    database = rds_data.of_instance(instance)
    if database is not None:
        database.set_password(password)
