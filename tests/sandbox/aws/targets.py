"""Elastic Load Balancing: the targets that tasks of services are, and their health.

A task of a service with a load balancer is a target by its address while it runs ("Service load balancing", ECS
Developer Guide). "Target health status" (User Guide for Application Load Balancers) is the source for the states.
Target groups of instances are moto's.
"""

import itertools

from moto.core.responses import ActionResult
from moto.elbv2.models import FakeHealthStatus, elbv2_backends
from moto.elbv2.responses import ELBV2Response

import operations
import settings

# API_TargetHealth, Reason and Description of the states that a target can be in here.
REASONS = {
    "initial": ("Elb.RegistrationInProgress", "Target registration is in progress"),
    "draining": ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
    "unhealthy": ("Target.FailedHealthChecks", "Health checks failed"),
    "unavailable": ("Target.HealthCheckDisabled", "Health checks are disabled for this target"),
    "healthy": (None, None),
}

_numbers = itertools.count(1)
_describe_of_moto = ELBV2Response.describe_target_health


class Target:
    """A task as a target."""

    def __init__(self, polls):
        self.polls_left = polls
        self.state = "initial" if polls else "healthy"

    def look(self):
        """Somebody describes the target: time passes."""
        if self.polls_left > 0:
            self.polls_left -= 1
        elif self.state == "initial":
            self.state = "healthy"


def new_address():
    """An address that no other task has."""
    number = next(_numbers)
    return f"10.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}"


def register(task):
    """A task runs: it is registered, and healthy after as many describes as the account's settings say."""
    for group, port in _groups_of(task):
        group.targets[task.address] = {"Id": task.address, "Port": port}
        _of_tasks(group)[task.address] = Target(settings.of_account(task.place.account).target_polls)


def drain(task):
    """A task is to stop."""
    for group, _ in _groups_of(task):
        if task.address in _of_tasks(group):
            _of_tasks(group)[task.address].state = "draining"


def deregister(task):
    """A task doesn't run any more."""
    for group, _ in _groups_of(task):
        if _of_tasks(group).pop(task.address, None):
            group.targets.pop(task.address, None)


def put_health(account, region, group, state=None):
    """Let every target of a group, also those to come, be in a state; None ends that."""
    found = elbv2_backends[account][region].target_groups.get(group)
    if found is None:
        raise ValueError(f"there is no target group {group!r}")
    if state not in REASONS and state is not None:
        raise ValueError(f"{state!r} is no state of a target; there are {', '.join(REASONS)}")
    found.told_state = state


def settle(account):
    """Let every target of an account that is being registered be healthy."""
    for backend in elbv2_backends[account].values():
        for group in backend.target_groups.values():
            for target in _of_tasks(group).values():
                target.polls_left = 0
                target.look()


def describe_target_health(response):
    """API_DescribeTargetHealth."""
    group = response.elbv2_backend.target_groups.get(response._get_param("TargetGroupArn"))
    if group is None or not _of_tasks(group):
        return _describe_of_moto(response)
    targets = response._get_param("Targets", []) or list(group.targets.values())
    return ActionResult({"TargetHealthDescriptions": [_health_of(response, group, target) for target in targets]})


def install():
    """Put these operations in place of moto's."""
    operations.install(ELBV2Response, describe_target_health)


def _health_of(response, group, target):
    found = _of_tasks(group).get(target["Id"])
    if found is None:
        return group.health_for(target, response.elbv2_backend.ec2_backend)
    found.look()
    state = found.state
    if state != "draining":
        state = vars(group).get("told_state") or state
    return FakeHealthStatus(target["Id"], group.targets[target["Id"]]["Port"], None, state, *REASONS[state])


def _of_tasks(group):
    return vars(group).setdefault("targets_of_tasks", {})


def _groups_of(task):
    groups = elbv2_backends[task.place.account][task.place.region].target_groups
    for balancer in task.load_balancers:
        group = groups.get(balancer.get("targetGroupArn"))
        if group is not None and group.target_type == "ip":
            yield group, balancer.get("containerPort")
