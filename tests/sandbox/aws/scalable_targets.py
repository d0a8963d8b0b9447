"""Application Auto Scaling: the scalable targets of services, with what suspends them.

moto keeps targets and policies. Rules are from the Application Auto Scaling API Reference (named API_*) and User Guide.
"""

from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse

import operations
from operations import answer, parameters_of, refuse

# API_DescribeScalableTargets, MaxResults: "between 1 and 50. The default value is 50."; ResourceIds: at most 50.
LARGEST_PAGE = 50
MOST_RESOURCES = 50

# API_SuspendedState. "Suspend and resume scaling for Application Auto Scaling": each is false unless it is said to be true.
SUSPENDABLE = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")

# "Service-linked roles for Application Auto Scaling": the role for Amazon ECS.
ROLE = (
    "arn:aws:iam::{}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_ECSService"
)

DESIRED_COUNT = "ecs:service:DesiredCount"

_register_of_moto = ApplicationAutoScalingResponse.register_scalable_target


def register_scalable_target(response):
    """API_RegisterScalableTarget: what is left out of an update stays as it was.

    "If you call the RegisterScalableTarget API operation to update an existing scalable target, Application Auto Scaling
    retrieves the current capacity of the resource. If it's below the minimum capacity or above the maximum capacity,
    Application Auto Scaling adjusts the capacity of the scalable target to place it within these bounds, even if you
    don't include the MinCapacity or MaxCapacity request parameters." Nothing is said of targets that are suspended.
    """
    wanted = parameters_of(response)
    backend = response.applicationautoscaling_backend
    known = backend.targets.get(wanted.get("ScalableDimension"), {}).get(wanted.get("ResourceId"))
    smallest = wanted.get("MinCapacity", known.min_capacity if known else None)
    largest = wanted.get("MaxCapacity", known.max_capacity if known else None)
    if smallest is None or largest is None:
        refuse("ValidationException", "MinCapacity and MaxCapacity are required when registering a scalable target.")
    if smallest < 0 or largest < 0:
        refuse("ValidationException", "Capacities cannot be negative.")
    if smallest > largest:
        refuse("ValidationException", "Maximum capacity cannot be less than minimum capacity")
    before = (known.suspended_state if known else None) or {}
    registered = _register_of_moto(response)
    target = backend.targets[wanted["ScalableDimension"]][wanted["ResourceId"]]
    target.suspended_state = {**before, **(wanted.get("SuspendedState") or {})}
    if known is not None:
        _move_within(backend, target, below=True, above=True)
    return registered


def describe_scalable_targets(response):
    """API_DescribeScalableTargets: fifty to a page; a dimension only with resources."""
    wanted = parameters_of(response)
    resources = wanted.get("ResourceIds") or []
    if len(resources) > MOST_RESOURCES:
        refuse("ValidationException", f"ResourceIds can have at most {MOST_RESOURCES} items.")
    if wanted.get("ScalableDimension") and not resources:
        refuse("ValidationException", "If you specify a scalable dimension, you must also specify a resource ID.")
    size = wanted.get("MaxResults", LARGEST_PAGE)
    if not 1 <= size <= LARGEST_PAGE:
        refuse("ValidationException", f"MaxResults must be between 1 and {LARGEST_PAGE}.")
    try:
        after = operations.position_of(wanted["NextToken"]) if wanted.get("NextToken") else None
    except ValueError:
        refuse("InvalidNextTokenException", "Invalid token")
    targets = response.applicationautoscaling_backend.describe_scalable_targets(
        wanted.get("ServiceNamespace"), resources, wanted.get("ScalableDimension")
    )
    page, token = operations.page_of(sorted(targets, key=_place_of), size, after, _place_of)
    return answer({"ScalableTargets": [_described(target) for target in page], "NextToken": token})


def settle(account):
    """What policies do when they run: services outside the bounds are moved into them.

    "Register a scalable target", API_RegisterScalableTarget: as policies come into effect, unless scaling in or out is
    suspended. Without a policy nothing happens until somebody registers the target again.
    """
    for backend in applicationautoscaling_backends[account].values():
        with_policies = {(policy.scalable_dimension, policy.resource_id) for policy in backend.policies.values()}
        for targets in backend.targets.values():
            for target in targets.values():
                if _place_key(target) in with_policies:
                    state = target.suspended_state or {}
                    _move_within(
                        backend,
                        target,
                        below=not state.get("DynamicScalingOutSuspended"),
                        above=not state.get("DynamicScalingInSuspended"),
                    )


def install():
    """Put these operations in place of moto's."""
    operations.install(ApplicationAutoScalingResponse, register_scalable_target, describe_scalable_targets)


def _move_within(backend, target, below, above):
    if target.scalable_dimension != DESIRED_COUNT:
        return
    _, cluster, name = target.resource_id.split("/")
    service = backend.ecs_backend.services.get(f"{cluster}:{name}")
    if service is None or service.status != "ACTIVE":
        return
    if below and service.desired_count < target.min_capacity:
        service.scale(target.min_capacity)
    if above and service.desired_count > target.max_capacity:
        service.scale(target.max_capacity)


def _described(target):
    """API_ScalableTarget."""
    state = target.suspended_state or {}
    return {
        "ServiceNamespace": target.service_namespace,
        "ResourceId": target.resource_id,
        "ScalableDimension": target.scalable_dimension,
        "MinCapacity": target.min_capacity,
        "MaxCapacity": target.max_capacity,
        "RoleARN": target.role_arn or ROLE.format(target.applicationautoscaling_backend.account_id),
        "CreationTime": target.creation_time,
        "SuspendedState": {name: bool(state.get(name)) for name in SUSPENDABLE},
        "ScalableTargetARN": target.arn,
    }


def _place_of(target):
    return [target.resource_id, target.scalable_dimension]


def _place_key(target):
    return target.scalable_dimension, target.resource_id
