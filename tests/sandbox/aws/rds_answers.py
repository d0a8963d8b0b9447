"""Amazon RDS: what the answers and refusals of its operations share. Rules are from the Amazon RDS API Reference."""

import re
import unicodedata

from moto.core.responses import ActionResult

import operations
from operations import refuse

# API_DescribeDBSnapshots, API_DescribeDBInstances and others, MaxRecords: "Default: 100. Constraints: Minimum 20,
# maximum 100."
SMALLEST_PAGE = 20
LARGEST_PAGE = 100

# API_Tag: the pattern of keys and values, whose letters, digits and spaces are those of Unicode; its reserved prefixes.
TAG_SIGNS = set("_.:/=+-@")
TAG_CATEGORIES = ("L", "N", "Z")
RESERVED_PREFIXES = ("aws:", "rds:")


def page(response, member, resources, position, answered):
    """One page of resources. `position` sorts them and is unique; `answered` makes of one what is answered."""
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
    found, token = operations.page_of(sorted(resources, key=position), size, after, position)
    answers = [answered(resource) for resource in found]
    return ActionResult({member: answers, "Marker": token} if token else {member: answers})


def filters_of(response, known):
    """The filters of a request, by name. Those that AWS doesn't know are refused."""
    filters = {each["Name"]: list(each.get("Values") or []) for each in response.params.get("Filters") or []}
    for name, values in filters.items():
        if name not in known:
            refuse("InvalidParameterValue", f"Unrecognized filter name: {name}")
        if not values:
            refuse("InvalidParameterCombination", f"The list of values of filter {name} must not be empty.")
    return filters


def tags_of(response):
    """The tags of a request as moto keeps them, or None when it names none. What API_Tag forbids is refused."""
    given = response.params.get("Tags")
    if given is None:
        return None
    tags = [{"Key": tag["Key"], "Value": tag.get("Value") or ""} for tag in given]
    for tag in tags:
        _check_tag(tag["Key"], 128, 1)
        _check_tag(tag["Value"], 256, 0)
        if re.match("|".join(RESERVED_PREFIXES), tag["Key"]):
            refuse("InvalidParameterValue", "Tag keys cannot start with the reserved prefixes 'aws:' and 'rds:'.")
    return tags


def refuse_instance_state(instance, wanted):
    refuse("InvalidDBInstanceState", f"Instance {instance.db_instance_identifier} is not in {wanted} state.")


def refuse_snapshot_state(snapshot, what):
    refuse("InvalidDBSnapshotState", f"Snapshot {snapshot.db_snapshot_identifier} {what}")


def arn_of(resource):
    return resource.arn


def _check_tag(text, longest, shortest):
    allowed = all(sign in TAG_SIGNS or unicodedata.category(sign)[0] in TAG_CATEGORIES for sign in text)
    if not allowed or not shortest <= len(text) <= longest:
        refuse("InvalidParameterValue", f"Tag key or value {text!r} is not valid.")
