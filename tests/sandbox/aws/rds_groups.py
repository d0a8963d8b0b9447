"""Amazon RDS: parameter groups, option groups, subnet groups, and an account's quotas.

Rules are from the Amazon RDS API Reference (named API_*).
"""

import re

from moto.core.responses import ActionResult
from moto.rds.models import OptionGroup
from moto.rds.responses import RDSResponse

import operations
import rds_answers
import rds_parameters
import rds_snapshots
import settings
from operations import refuse

# API_ModifyDBParameterGroup: "A maximum of 20 parameters can be modified in a single request."
MOST_PARAMETERS_AT_ONCE = 20

# API_DescribeDBParameters, Source: which parameters have their value from whom. Some of PostgreSQL's, so that there are
# others than those that a user set; engines of the sandbox need not have these.
PARAMETERS = [
    {"ParameterName": "autovacuum", "ParameterValue": "1", "Source": "engine-default", "ApplyType": "dynamic"},
    {"ParameterName": "log_min_duration_statement", "Source": "engine-default", "ApplyType": "dynamic"},
    {
        "ParameterName": "max_connections",
        "ParameterValue": "LEAST({DBInstanceClassMemory/9531392},5000)",
        "Source": "system",
        "ApplyType": "static",
    },
    {"ParameterName": "rds.force_ssl", "ParameterValue": "1", "Source": "system", "ApplyType": "dynamic"},
    {
        "ParameterName": "shared_buffers",
        "ParameterValue": "{DBInstanceClassMemory/32768}",
        "Source": "system",
        "ApplyType": "static",
    },
]
SOURCES = ("user", "system", "engine-default")

# "Quotas for Amazon RDS" (RDS User Guide): the defaults, but for manual snapshots, which a setting changes.
QUOTAS = {"DBInstances": 40, "AllocatedStorage": 100_000, "DBParameterGroups": 50, "DBSubnetGroups": 50}
OPTION_GROUPS = 20

# API_DescribeDBParameters, Filters.
PARAMETER_FILTERS = ("parameter-name",)

_modify_db_parameter_group_of_moto = RDSResponse.modify_db_parameter_group


def describe_account_attributes(response):
    """API_DescribeAccountAttributes: the quotas of the Region with what is used of each (API_AccountQuota)."""
    backend = response.backend
    used = {
        "DBInstances": len(backend.databases),
        "AllocatedStorage": sum(instance.allocated_storage for instance in backend.databases.values()),
        "DBParameterGroups": sum(not _is_default(group.name) for group in backend.db_parameter_groups.values()),
        "DBSubnetGroups": len(backend.subnet_groups),
    }
    limits = {
        **{name: (used[name], limit) for name, limit in QUOTAS.items()},
        "ManualSnapshots": (
            rds_snapshots.manual_snapshots_of(backend),
            settings.of_account(response.current_account).rds_manual_snapshots,
        ),
        "OptionGroups": (len(backend.option_groups), OPTION_GROUPS),
    }
    quotas = [{"AccountQuotaName": name, "Used": used, "Max": limit} for name, (used, limit) in sorted(limits.items())]
    return ActionResult({"AccountQuotas": quotas})


# Parameter groups


def describe_db_parameter_groups(response):
    """API_DescribeDBParameterGroups, in pages, with the default groups that instances use."""
    wanted = response.params.get("DBParameterGroupName")
    groups = [_parameter_group(response, wanted)] if wanted else _parameter_groups(response).values()
    return rds_answers.page(response, "DBParameterGroups", groups, rds_answers.arn_of, _as_it_is)


def describe_db_parameters(response):
    """API_DescribeDBParameters, in pages. What somebody set has the source `user`."""
    group = _parameter_group(response, response.params["DBParameterGroupName"])
    source = response.params.get("Source")
    if source and source not in SOURCES:
        refuse("InvalidParameterValue", f"Invalid source: {source}")
    names = rds_answers.filters_of(response, PARAMETER_FILTERS).get("parameter-name")
    found = {each["ParameterName"]: each for each in PARAMETERS}
    for name, was_set in group.parameters.items():
        found[name] = {"ApplyType": "dynamic", **found.get(name, {}), **was_set, "Source": "user"}
    parameters = [
        {"DataType": "string", "IsModifiable": True, "ApplyMethod": "pending-reboot", **each}
        for each in found.values()
        if source in (None, each["Source"]) and (names is None or each["ParameterName"] in names)
    ]
    return rds_answers.page(response, "Parameters", parameters, lambda each: each["ParameterName"], _as_it_is)


def modify_db_parameter_group(response):
    """API_ModifyDBParameterGroup: some parameters at once, and not of a default group."""
    group = _parameter_group(response, response.params["DBParameterGroupName"])
    if _is_default(group.name):
        refuse("InvalidDBParameterGroupState", f"The parameter group {group.name} is a default group.")
    count = len(response.params.get("Parameters") or [])
    if not 1 <= count <= MOST_PARAMETERS_AT_ONCE:
        refuse("InvalidParameterValue", f"{count} parameters; there must be 1 to {MOST_PARAMETERS_AT_ONCE}.")
    changes = response.params["Parameters"]
    rds_parameters.check_changes(changes)
    result = _modify_db_parameter_group_of_moto(response)
    rds_parameters.changed(group, [each["ParameterName"] for each in changes])
    return result


def reset_db_parameter_group(response):
    """API_ResetDBParameterGroup: some parameters, or all, are the engine's again."""
    group = _parameter_group(response, response.params["DBParameterGroupName"])
    names = [each["ParameterName"] for each in response.params.get("Parameters") or []]
    if response.params.get("ResetAllParameters"):
        names = list(group.parameters)
    for name in names:
        group.parameters.pop(name, None)
    rds_parameters.changed(group, names)
    return ActionResult({"DBParameterGroupName": group.name})


def check_family(response, name, instance):
    """The group of an instance must be there, and of the family of its engine and version."""
    family = f"{instance.engine}{major_version_of(instance.engine, instance.engine_version)}"
    if _parameter_group(response, name).family != family:
        refuse("InvalidParameterCombination", f"The Parameter Group {name} is not of the family {family}.")


# Option groups


def describe_option_groups(response):
    """API_DescribeOptionGroups, in pages, with the default groups that instances use."""
    params = response.params
    groups = {group.name: group for group in response.backend.option_groups.values()}
    for instance in response.backend.databases.values():
        if instance.db_cluster_identifier is None and _is_default(instance.option_group_name):
            engine, major = instance.engine, major_version_of(instance.engine, instance.engine_version)
            name = instance.option_group_name
            words = f"Default option group for {engine} {major}"
            groups.setdefault(name, OptionGroup(response.backend, name, engine, major, words))
    name, engine, major = (params.get(key) for key in ("OptionGroupName", "EngineName", "MajorEngineVersion"))
    if name and name.lower() not in groups:
        refuse("OptionGroupNotFoundFault", f"Specified OptionGroupName: {name} not found.")
    found = [
        group
        for group in groups.values()
        if (not name or group.name == name.lower())
        and engine in (None, group.engine_name)
        and major in (None, group.major_engine_version)
    ]
    return rds_answers.page(response, "OptionGroupsList", found, rds_answers.arn_of, _as_it_is)


def create_option_group(response):
    """API_CreateOptionGroup, for every engine and version: moto has a list of them that ended in 2022."""
    params = response.params
    name = params["OptionGroupName"].lower()
    if name in response.backend.option_groups:
        refuse("OptionGroupAlreadyExistsFault", f"An option group named {name} already exists.")
    group = OptionGroup(
        response.backend,
        name,
        params["EngineName"],
        params["MajorEngineVersion"],
        params["OptionGroupDescription"],
        rds_answers.tags_of(response),
    )
    response.backend.option_groups[name] = group
    return ActionResult({"OptionGroup": group})


def default_option_group_of(engine, version):
    """The default option group of an engine, as in `default:postgres-15` ("Working with option groups")."""
    return f"default:{engine}-{major_version_of(engine, version).replace('.', '-')}"


def major_version_of(engine, version):
    """The major version of an engine: `15` of PostgreSQL 15.4, `9.6` of 9.6.1, `8.0` of MySQL 8.0.35."""
    parts = version.split(".")
    whole = engine == "postgres" and int(re.match(r"\d*", parts[0])[0] or 0) >= 10
    return parts[0] if whole else ".".join(parts[:2])


# Subnet groups


def describe_db_subnet_groups(response):
    """API_DescribeDBSubnetGroups, in pages."""
    groups = response.backend.describe_db_subnet_groups(response.params.get("DBSubnetGroupName"))
    return rds_answers.page(response, "DBSubnetGroups", groups, rds_answers.arn_of, _as_it_is)


def install():
    """Put these operations in place of moto's."""
    operations.install(
        RDSResponse,
        describe_account_attributes,
        describe_db_parameter_groups,
        describe_db_parameters,
        modify_db_parameter_group,
        reset_db_parameter_group,
        describe_option_groups,
        create_option_group,
        describe_db_subnet_groups,
    )


def _parameter_groups(response):
    for instance in response.backend.databases.values():
        # moto makes the default group of an instance when it is looked at.
        instance.db_parameter_groups()
    return response.backend.db_parameter_groups


def _parameter_group(response, name):
    groups = _parameter_groups(response)
    if name not in groups:
        refuse("DBParameterGroupNotFound", f"DBParameterGroup not found: {name}")
    return groups[name]


def _is_default(name):
    return name.startswith(("default.", "default:"))


def _as_it_is(resource):
    return resource
