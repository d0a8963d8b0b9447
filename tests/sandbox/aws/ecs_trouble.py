"""What goes wrong with the tasks of a service, as a test arranges it, and what Amazon ECS does then.

"Stopped tasks error messages", "Viewing Amazon ECS service event messages" and "How the Amazon ECS deployment circuit
breaker detects failures" (ECS Developer Guide) are the sources for the words and numbers.
"""

import math

import ecs_events

# The kinds of trouble: tasks that stop instead of running, that run until a load balancer finds them unhealthy, that
# cannot be placed, and that run although their containers' health checks fail.
KINDS = ("start", "health-checks", "placement", "unhealthy")
FAILURES = ("start", "health-checks")

# "(service service-name) was unable to place a task because ...": what is said of the closest instance, by the reason
# that the event for EventBridge has ("SERVICE_TASK_PLACEMENT_FAILURE").
PLACEMENT = {
    "RESOURCE:CPU": "has insufficient CPU units available",
    "RESOURCE:MEMORY": "has insufficient memory available",
    "RESOURCE:ENI": 'encountered error "RESOURCE:ENI"',
    "AGENT": 'encountered error "AGENT"',
}
NO_ROOM = "no container instance met all of its requirements."
TROUBLESHOOTING = "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."

# "(service service-name) is unable to consistently start tasks successfully": after repeated failures.
FAILURES_UNTIL_IMPAIRED = 3

# API_DeploymentCircuitBreaker and "How the Amazon ECS deployment circuit breaker detects failures".
BREAKER_SHARE, BREAKER_LEAST, BREAKER_MOST = 0.5, 3, 200


class Trouble:
    """One kind of trouble of the tasks of a service, of one task definition or of all. Raises ValueError for another."""

    def __init__(self, kind, task_definition=None, times=None, stop_code=None, stopped_reason=None, exit_code=None, reason=None):
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of trouble; there are {', '.join(KINDS)}")
        if kind == "placement" and reason is None:
            reason = "RESOURCE:MEMORY"
        if reason is not None and (kind != "placement" or reason not in PLACEMENT):
            raise ValueError(f"{reason!r} is no reason of {kind}; there are {', '.join(PLACEMENT)} of placement")
        self.kind, self.placement = kind, reason
        self._task_definition, self._times = task_definition, times
        self._stop_code, self._stopped_reason, self._exit_code = stop_code, stopped_reason, exit_code

    def names(self, task_definition):
        """Whether it is the trouble of a task definition."""
        return self._task_definition in (None, task_definition.arn, f"{task_definition.family}:{task_definition.revision}")

    def is_of(self, task_definition):
        """Whether a task that starts now has it."""
        return self._times != 0 and self.names(task_definition)

    def count(self):
        """One more task has had it."""
        if self._times is not None:
            self._times -= 1

    def stop(self, task):
        """Let a task fail."""
        if self.kind == "health-checks":
            groups = [each.get("targetGroupArn") for each in task.load_balancers]
            reason = f"Task failed ELB health checks in (target-group {groups[0]})" if groups else None
            task.stop("ServiceSchedulerInitiated", self._stopped_reason or reason or "Task failed container health checks")
            return
        code = self._stop_code or "EssentialContainerExited"
        reason = self._stopped_reason or "Essential container in task exited"
        for container in task.containers:
            if code == "TaskFailedToStart":
                container["reason"] = reason
            else:
                container["exitCode"] = 1 if self._exit_code is None else self._exit_code
        task.stop(code, reason)


def placement_failed(service, trouble):
    """No task is placed, and it is said why."""
    instance = next(iter(service.place.backend.container_instances.get(service.place.cluster_name, {})), None)
    closest = f" The closest matching (container-instance {instance}) {PLACEMENT[trouble.placement]}." if instance else ""
    text = f"(service {service.name}) was unable to place a task because {NO_ROOM}{closest} {TROUBLESHOOTING}"
    _say_once(service, text)
    ecs_events.service_action(service, "SERVICE_TASK_PLACEMENT_FAILURE", trouble.placement)


def unhealthy_target(service, task, description="Health checks failed"):
    """A load balancer finds a task unhealthy."""
    for balancer in task.load_balancers:
        service.note(
            f"(service {service.name}) (port {balancer.get('containerPort')}) is unhealthy in (target-group "
            f"{balancer.get('targetGroupArn')}) due to (reason {description})."
        )


def tasks_failed(service, deployment, count):
    """Tasks of a deployment have failed."""
    before, deployment.failed_tasks = deployment.failed_tasks, deployment.failed_tasks + count
    if before < FAILURES_UNTIL_IMPAIRED <= deployment.failed_tasks:
        service.note(f"(service {service.name}) is unable to consistently start tasks successfully. {TROUBLESHOOTING}")
        ecs_events.service_action(service, "SERVICE_TASK_START_IMPAIRED")
    if breaker_of(service)["enable"] and deployment.is_in_progress and deployment.failed_tasks >= threshold(service):
        _trip(service, deployment)


def breaker_of(service):
    """API_DeploymentCircuitBreaker of a service."""
    given = service.members["deploymentConfiguration"].get("deploymentCircuitBreaker") or {}
    return {"enable": False, "rollback": False, **given}


def threshold(service):
    """API_ServiceDeploymentCircuitBreaker, threshold."""
    return min(max(math.ceil(BREAKER_SHARE * service.desired_count), BREAKER_LEAST), BREAKER_MOST)


def describe_breaker(service, deployment):
    """API_ServiceDeploymentCircuitBreaker."""
    if not breaker_of(service)["enable"]:
        return {"status": "DISABLED", "failureCount": 0, "threshold": 0}
    status = "TRIGGERED" if deployment.is_tripped else "MONITORING" if deployment.is_in_progress else "MONITORING_COMPLETE"
    return {"status": status, "failureCount": deployment.failed_tasks, "threshold": threshold(service)}


def _trip(service, deployment):
    reason = "ECS deployment circuit breaker: tasks failed to start."
    deployment.is_tripped = True
    deployment.fail(reason)
    service.note(f"(service {service.name}) (deployment {deployment.id}) deployment failed: tasks failed to start.")
    ecs_events.deployment_change(service, deployment, "SERVICE_DEPLOYMENT_FAILED", reason)
    if breaker_of(service)["rollback"]:
        service.roll_back(deployment, "Service deployment rolled back because the circuit breaker threshold was exceeded.")
    else:
        deployment.finish("STOPPED", reason)


def _say_once(service, text):
    """The scheduler repeats itself only after six hours ("Viewing Amazon ECS service event messages")."""
    if not service.events or service.events[0]["message"] != text:
        service.note(text)
