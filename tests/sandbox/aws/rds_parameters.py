"""Amazon RDS: which parameters of its group are in effect in an instance, and which wait for a restart.

"Parameter groups for Amazon RDS" and "Modifying parameters in a DB parameter group" (RDS User Guide): dynamic parameters
take effect at once, static ones when the instance is rebooted; and so do all of a group that an instance is given anew.
"""

import rds_data
import rds_states
from operations import refuse

IN_SYNC, PENDING_REBOOT = "in-sync", "pending-reboot"
IMMEDIATE = "immediate"
INCOMPATIBLE = "incompatible-parameters"

# API_Parameter, ApplyType, of PostgreSQL's parameters: all others are dynamic.
STATIC = {
    "autovacuum_freeze_max_age",
    "autovacuum_max_workers",
    "huge_pages",
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_wal_senders",
    "max_worker_processes",
    "rds.logical_replication",
    "shared_buffers",
    "shared_preload_libraries",
    "track_activity_query_size",
    "wal_buffers",
}


class InEffect:
    """What an instance took from its group when it was last started, and of dynamic parameters since then."""

    def __init__(self, group):
        self.group_name = group.name
        self.values = values_of(group)


def values_of(group):
    """What somebody set in a group: name -> value."""
    return {name: each["ParameterValue"] for name, each in group.parameters.items() if "ParameterValue" in each}


def of_instance(instance):
    """The parameters in effect."""
    return _in_effect(instance).values


def take(instance):
    """The instance is started anew: all parameters of its group are in effect."""
    instance.parameters_in_effect = InEffect(_group_of(instance))
    database = rds_data.of_instance(instance)
    if database is not None:
        database.set_parameters(of_instance(instance), restarts=True)
    if instance.status == INCOMPATIBLE:
        rds_states.put(instance, "available")
    rds_data.follow(instance)


def check_changes(changes):
    """API_Parameter, ApplyMethod: "You can use the immediate value with dynamic parameters only." """
    for change in changes:
        if change.get("ApplyMethod") == IMMEDIATE and change["ParameterName"] in STATIC:
            refuse("InvalidParameterCombination", "cannot use immediate apply method for static parameter")


def changed(group, names):
    """Parameters of a group are changed: those that need no restart are in effect in every instance that has it."""
    values = values_of(group)
    for instance in list(group.backend.databases.values()):
        if instance.db_cluster_identifier is not None or _group_of(instance) is not group:
            continue
        current = _in_effect(instance).values
        for name in names:
            method = group.parameters.get(name, {}).get("ApplyMethod", IMMEDIATE)
            if name in STATIC or method != IMMEDIATE:
                continue
            current.pop(name, None)
            current.update({name: values[name]} if name in values else {})
        database = rds_data.of_instance(instance)
        if database is not None:
            database.set_parameters(current)


def statuses(instance):
    """API_DBParameterGroupStatus of an instance."""
    group, current = _group_of(instance), _in_effect(instance)
    in_sync = current.group_name == group.name and current.values == values_of(group)
    return [{"DBParameterGroupName": group.name, "ParameterApplyStatus": IN_SYNC if in_sync else PENDING_REBOOT}]


def _in_effect(instance):
    if "parameters_in_effect" not in vars(instance):
        instance.parameters_in_effect = InEffect(_group_of(instance))
    return instance.parameters_in_effect


def _group_of(instance):
    return instance.db_parameter_groups()[0]
