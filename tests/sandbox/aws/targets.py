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

MISMATCH = "Target.ResponseCodeMismatch"

# What is said beside each reason of API_TargetHealth for an unhealthy target, in the words of its documentation.
UNHEALTHY = {
    "Target.FailedHealthChecks": "Health checks failed",
    MISMATCH: "Health checks failed with these codes: [502]",
    "Target.Timeout": "Request timed out",
    "Elb.InternalError": "The health checks failed due to an internal error",
}

_numbers = itertools.count(1)
_describe_of_moto = ELBV2Response.describe_target_health


class Target:
    """A task as a target."""

    def __init__(self, polls, task):
        self.task = task
        self.polls_left = polls
        self.state = "initial" if polls else "healthy"
        #: The state and reason that a test says it has; None for as it would be.
        self.told = None

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
        _of_tasks(group)[task.address] = Target(settings.of_account(task.place.account).target_polls, task)


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


def put_health(account, region, group, state=None, reason=None, task=None):
    """Let every target of a group, also those to come, be in a state, or only that of a task; None ends that."""
    found = elbv2_backends[account][region].target_groups.get(group)
    if found is None:
        raise ValueError(f"there is no target group {group!r}")
    told = _told(state, reason)
    if task is None:
        found.told = told
    elif task.address not in _of_tasks(found):
        raise ValueError(f"{task.task_arn!r} is no target of {group!r}")
    else:
        _of_tasks(found)[task.address].told = told


def put_task_health(task, state, reason=None):
    """Let a task be in a state as a target of whatever it is a target of; None ends that."""
    for group, _ in _groups_of(task):
        if task.address in _of_tasks(group):
            _of_tasks(group)[task.address].told = _told(state, reason)


def description_of(state, reason=None):
    """What is said of a target in a state."""
    return UNHEALTHY[reason] if reason in UNHEALTHY and state == "unhealthy" else REASONS[state][1]


def settle(account):
    """Let every target of an account that is being registered be healthy."""
    for backend in elbv2_backends[account].values():
        for group in backend.target_groups.values():
            for target in _of_tasks(group).values():
                target.polls_left = 0
                target.look()


def in_turn(group):
    """The tasks that requests to a group go to: the healthy ones, or if there are none those that are unhealthy."""
    found = [(target.task, _state_of(group, target)[0]) for target in list(_of_tasks(group).values())]
    by_state = {state: [task for task, is_in in found if is_in == state] for state in ("healthy", "unhealthy")}
    return by_state["healthy"] or by_state["unhealthy"]


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
    state, reason = _state_of(group, found)
    reason, description = reason or REASONS[state][0], description_of(state, reason)
    return FakeHealthStatus(target["Id"], group.targets[target["Id"]]["Port"], None, state, reason, description)


def _state_of(group, target):
    """The state of a target and its reason: as a test says, or as its application answers where one runs."""
    if target.state == "draining":
        return target.state, None
    told = target.told or vars(group).get("told")
    if told is not None or target.state != "healthy":
        return told or (target.state, None)
    application = target.task.application()
    if application is None:
        return target.state, None
    status, _ = application.answer(group.health_check_path or "/")
    matcher = (group.matcher or {}).get("HttpCode") or "200"
    return ("healthy", None) if _matches(status, matcher) else ("unhealthy", MISMATCH)


def _matches(status, codes):
    """API_Matcher, HttpCode: codes or ranges of them, separated by commas."""
    ranges = [each.split("-") for each in codes.split(",")]
    return any(int(each[0]) <= status <= int(each[-1]) for each in ranges)


def _told(state, reason):
    if state is None:
        return None
    if state not in REASONS:
        raise ValueError(f"{state!r} is no state of a target; there are {', '.join(REASONS)}")
    if reason is not None and (state != "unhealthy" or reason not in UNHEALTHY):
        raise ValueError(f"{reason!r} is no reason of {state}; there are {', '.join(UNHEALTHY)} of unhealthy")
    return state, reason


def _of_tasks(group):
    return vars(group).setdefault("targets_of_tasks", {})


def _groups_of(task):
    groups = elbv2_backends[task.place.account][task.place.region].target_groups
    for balancer in task.load_balancers:
        group = groups.get(balancer.get("targetGroupArn"))
        if group is not None and group.target_type == "ip":
            yield group, balancer.get("containerPort")
