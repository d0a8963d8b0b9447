"""Amazon EC2 Auto Scaling: groups whose instances take time to come and go.

moto keeps groups, launch configurations, policies, tags and the instances of Amazon EC2. Rules are from the Amazon EC2
Auto Scaling API Reference (named API_*) and User Guide. What the instances are to Amazon ECS is in `ecs_capacity.py`.
"""

import time

from moto.autoscaling.models import FakeAutoScalingGroup, autoscaling_backends
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

import operations
import settings
from operations import refuse

# API_DescribeAutoScalingGroups and API_DescribeTags, MaxRecords: "The default value is 50 and the maximum value is 100."
LARGEST_PAGE = 100
PAGE_IF_NOT_SAID = 50

# API_Tag: the longest key and value.
LONGEST_KEY = 128
LONGEST_VALUE = 256

# "Amazon EC2 Auto Scaling instance lifecycle": the states of an instance that counts towards the desired capacity.
HERE = ("Pending", "InService")

_create_of_moto = AutoScalingResponse.create_auto_scaling_group
_update_of_moto = AutoScalingResponse.update_auto_scaling_group
_tag_of_moto = AutoScalingResponse.create_or_update_tags
_untag_of_moto = AutoScalingResponse.delete_tags
_set_desired_capacity_of_moto = FakeAutoScalingGroup.set_desired_capacity


# Operations


def create_auto_scaling_group(response):
    """API_CreateAutoScalingGroup."""
    smallest, largest = (response._get_int_param(name) for name in ("MinSize", "MaxSize"))
    desired = response._get_int_param("DesiredCapacity")
    _check_sizes(smallest, largest, smallest if desired is None else desired)
    name = response._get_param("AutoScalingGroupName")
    if name in response.autoscaling_backend.autoscaling_groups:
        refuse("AlreadyExists", f"AutoScalingGroup by this name already exists - {name}")
    result = _create_of_moto(response)
    if response._get_int_param("HealthCheckGracePeriod") is None:
        # API_CreateAutoScalingGroup: "Default: 0 seconds".
        response.autoscaling_backend.autoscaling_groups[name].health_check_grace_period = 0
    return result


def update_auto_scaling_group(response):
    """API_UpdateAutoScalingGroup: what is left out stays.

    "If a new value for MinSize is specified without setting the value for DesiredCapacity, and the new MinSize is larger
    than the current size of the group, this sets the group's DesiredCapacity to the new MinSize value"; and the same of
    MaxSize when it is smaller.
    """
    group = _group_named(response)
    smallest, largest = response._get_int_param("MinSize"), response._get_int_param("MaxSize")
    desired = response._get_int_param("DesiredCapacity")
    smallest = group.min_size if smallest is None else smallest
    largest = group.max_size if largest is None else largest
    if desired is None:
        desired = min(max(group.desired_capacity, smallest), largest)
    _check_sizes(smallest, largest, desired)
    policy, sizes = group.mixed_instances_policy, (group.min_size, group.max_size, group.desired_capacity)
    # moto would set sizes by rules of its own, and forget the policy when it is left out.
    group.is_being_told = True
    try:
        _update_of_moto(response)
    finally:
        group.is_being_told = False
        group.min_size, group.max_size, group.desired_capacity = sizes
        group.mixed_instances_policy = group.mixed_instances_policy or policy
    group.min_size, group.max_size = smallest, largest
    group.set_desired_capacity(desired)
    return EmptyResult()


def set_desired_capacity(response):
    """API_SetDesiredCapacity."""
    group = _group_named(response)
    desired = response._get_int_param("DesiredCapacity")
    if desired > group.max_size:
        refuse("ValidationError", f"New SetDesiredCapacity value {desired} is above max value {group.max_size}.")
    if desired < group.min_size:
        refuse("ValidationError", f"New SetDesiredCapacity value {desired} is below min value {group.min_size}.")
    group.set_desired_capacity(desired)
    return EmptyResult()


def set_instance_health(response):
    """API_SetInstanceHealth: an unhealthy instance is terminated and replaced, when the group next looks at it.

    A group's grace period is respected unless it is said otherwise: until it is over, the call changes nothing.
    """
    name, health = response._get_param("InstanceId"), response._get_param("HealthStatus")
    if health not in ("Healthy", "Unhealthy"):
        refuse("ValidationError", "Valid instance health states are: [Healthy, Unhealthy]")
    groups = response.autoscaling_backend.autoscaling_groups.values()
    found = [(group, state) for group in groups for state in group.instance_states if state.instance_id == name]
    if not found:
        refuse("ValidationError", f"Instance Id not found - No managed instance found for instance ID: {name}")
    [(group, state)] = found
    respects = response._get_bool_param("ShouldRespectGracePeriod", True)
    if health == "Unhealthy" and respects and time.time() < _end_of_grace(group, state):
        return EmptyResult()
    state.health_status = health
    if settings.of_account(group.account_id).autoscaling_polls == 0:
        look(group)
    return EmptyResult()


def describe_auto_scaling_groups(response):
    """API_DescribeAutoScalingGroups: by name or filter, at most a hundred to a page; names that nobody has are left out."""
    groups = response.autoscaling_backend.describe_auto_scaling_groups(
        response._get_param("AutoScalingGroupNames", []), filters=response._get_param("Filters", [])
    )
    page, token = _page(response, sorted(groups, key=_name_of), _name_of)
    for group in page:
        look(group)
    return ActionResult({"AutoScalingGroups": page, "NextToken": token})


def create_or_update_tags(response):
    """API_CreateOrUpdateTags: of groups that exist."""
    for tag in response._get_param("Tags", []):
        _check_tagged(response, tag)
        if not 1 <= len(tag["Key"]) <= LONGEST_KEY or len(tag.get("Value") or "") > LONGEST_VALUE:
            refuse("ValidationError", f"The tag {tag['Key']!r} is longer than a tag can be.")
        if tag["Key"].startswith("aws:"):
            refuse("ValidationError", "Tag keys starting with 'aws:' are reserved for internal use.")
    return _tag_of_moto(response)


def delete_tags(response):
    """API_DeleteTags: of groups that exist. A tag that is not there is no error."""
    for tag in response._get_params().get("Tags", []):
        _check_tagged(response, tag)
    return _untag_of_moto(response)


def describe_tags(response):
    """API_DescribeTags, in pages."""
    tags = response.autoscaling_backend.describe_tags(response._get_param("Filters", []))
    page, token = _page(response, sorted(tags, key=_place_of_tag), _place_of_tag)
    return ActionResult({"Tags": page, "NextToken": token})


# What groups do by themselves


def resize(group, capacity, leaving_first=()):
    """Change the desired capacity. Of the instances that may leave, those in `leaving_first` do so first."""
    group.desired_capacity = capacity
    _launch(group)
    _terminate(group, leaving_first)
    _pass_on(group)


def look(group):
    """Somebody describes a group: time passes."""
    for state in list(group.instance_states):
        left = vars(state).get("polls_left", 0)
        if left:
            state.polls_left = left - 1
        else:
            _arrive(group, state)
    _replace_unhealthy(group)
    # What could not be launched or terminated before is tried again.
    resize(group, group.desired_capacity)


def settle(account):
    """Let every instance of an account that is on its way arrive."""
    for group in groups_of(account):
        _replace_unhealthy(group)
        _launch(group)
        for state in list(group.instance_states):
            _arrive(group, state)
        _pass_on(group)


def groups_of(account):
    """Every group of an account, in all its Regions."""
    return [group for backend in autoscaling_backends[account].values() for group in backend.autoscaling_groups.values()]


def group_of_arn(account, region, arn):
    """The group that an ARN, or just its name, names; None if there is none."""
    groups = autoscaling_backends[account][region].autoscaling_groups
    return groups.get(arn.split("autoScalingGroupName/")[-1])


def install():
    """Put these operations in place of moto's."""
    FakeAutoScalingGroup.set_desired_capacity = _set_desired_capacity
    operations.install(
        AutoScalingResponse,
        create_auto_scaling_group,
        update_auto_scaling_group,
        set_desired_capacity,
        set_instance_health,
        describe_auto_scaling_groups,
        create_or_update_tags,
        delete_tags,
        describe_tags,
    )


def _set_desired_capacity(group, capacity):
    """moto's every change of a group's size comes here."""
    if vars(group).get("is_being_told"):
        return
    policy = group.mixed_instances_policy or {}
    if policy.get("LaunchTemplate", {}).get("Overrides"):
        # Instances with weights, which are moto's.
        _set_desired_capacity_of_moto(group, capacity)
        return
    resize(group, group.min_size if capacity is None else capacity)


def _launch(group):
    """"Suspend and resume Amazon EC2 Auto Scaling processes": not while Launch is suspended."""
    missing = group.desired_capacity - len(_here(group))
    of_account = settings.of_account(group.account_id)
    running = sum(len(each.instance_states) for each in groups_of(group.account_id))
    missing = min(missing, of_account.autoscaling_instances - running)
    if missing <= 0 or "Launch" in group._suspended_processes:
        return
    group.replace_autoscaling_group_instances(missing, group.get_propagated_tags())
    for state in group.instance_states[-missing:]:
        _begin(group, state, "Pending")


def _terminate(group, leaving_first):
    """"Use instance scale-in protection": protected instances stay, and the group stays larger than is desired."""
    surplus = len(_here(group)) - group.desired_capacity
    if surplus <= 0 or "Terminate" in group._suspended_processes:
        return
    unprotected = [state for state in _here(group) if not state.protected_from_scale_in]
    unprotected.sort(key=lambda state: state.instance_id not in leaving_first)
    for state in unprotected[:surplus]:
        _begin(group, state, "Terminating")


def _replace_unhealthy(group):
    """"Suspend and resume Amazon EC2 Auto Scaling processes": not while ReplaceUnhealthy or Terminate is suspended."""
    if {"ReplaceUnhealthy", "Terminate"} & set(group._suspended_processes):
        return
    for state in list(group.instance_states):
        if state.health_status == "Unhealthy" and state.lifecycle_state == "InService":
            _begin(group, state, "Terminating")


def _end_of_grace(group, state):
    return vars(state).get("in_service_since", 0) + (group.health_check_grace_period or 0)


def _begin(group, state, during):
    state.lifecycle_state = during
    state.polls_left = settings.of_account(group.account_id).autoscaling_polls
    if state.polls_left == 0:
        _arrive(group, state)


def _arrive(group, state):
    if state.lifecycle_state == "Pending":
        state.lifecycle_state, state.in_service_since = "InService", time.time()
    elif state.lifecycle_state == "Terminating":
        group.instance_states.remove(state)
        group.ec2_backend.terminate_instances([state.instance_id])


def _pass_on(group):
    """Tell load balancers which instances there are."""
    if group.name in group.autoscaling_backend.autoscaling_groups:
        group.autoscaling_backend.update_attached_elbs(group.name)
        group.autoscaling_backend.update_attached_target_groups(group.name)


def _here(group):
    return [state for state in group.instance_states if state.lifecycle_state in HERE]


# Reading a request


def _group_named(response):
    group = response.autoscaling_backend.autoscaling_groups.get(response._get_param("AutoScalingGroupName"))
    if group is None:
        refuse("ValidationError", "AutoScalingGroup name not found - null")
    return group


def _check_sizes(smallest, largest, desired):
    """API_CreateAutoScalingGroup and API_UpdateAutoScalingGroup, DesiredCapacity: between the minimum and the maximum."""
    if smallest > largest:
        refuse("ValidationError", f"Max bound, {largest}, must be greater than or equal to min bound, {smallest}")
    if not smallest <= desired <= largest:
        refuse(
            "ValidationError",
            f"Desired capacity:{desired} must be between the specified min size:{smallest} and max size:{largest}",
        )


def _check_tagged(response, tag):
    if tag.get("ResourceId") not in response.autoscaling_backend.autoscaling_groups:
        refuse("ValidationError", f"Resource Id {tag.get('ResourceId')} for AutoScalingGroup does not exist.")


def _page(response, items, position):
    size = response._get_int_param("MaxRecords", PAGE_IF_NOT_SAID)
    if not 1 <= size <= LARGEST_PAGE:
        refuse("ValidationError", f"MaxRecords must be between 1 and {LARGEST_PAGE}.")
    token = response._get_param("NextToken")
    try:
        after = operations.position_of(token) if token else None
    except ValueError:
        refuse("InvalidNextToken", f"The token {token!r} is invalid.")
    return operations.page_of(items, size, after, position)


def _name_of(group):
    return group.name


def _place_of_tag(tag):
    return [tag["ResourceId"], tag["Key"]]
