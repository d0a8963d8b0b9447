"""What Amazon ECS tells EventBridge ("Amazon ECS events", ECS Developer Guide: service action events, service deployment
state change events, container instance state change events)."""

import time

import events

SOURCE = "aws.ecs"

# "Service action events": the severity of each that is told here.
TYPES = {
    "SERVICE_STEADY_STATE": "INFO",
    "SERVICE_TASK_START_IMPAIRED": "WARN",
    "SERVICE_TASK_PLACEMENT_FAILURE": "ERROR",
    "SERVICE_DEPLOYMENT_IN_PROGRESS": "INFO",
    "SERVICE_DEPLOYMENT_COMPLETED": "INFO",
    "SERVICE_DEPLOYMENT_FAILED": "ERROR",
}


def service_action(service, name, reason=None):
    """A service action event."""
    detail = {
        "eventType": TYPES[name],
        "eventName": name,
        "clusterArn": service.place.cluster_arn,
        "createdAt": events.zulu(),
    }
    if reason:
        detail["reason"] = reason
    _tell(service.place, "ECS Service Action", service.arn, detail)


def deployment_change(service, deployment, name, reason):
    """A service deployment state change event."""
    detail = {
        "eventType": TYPES[name],
        "eventName": name,
        "clusterArn": service.place.cluster_arn,
        "deploymentId": deployment.id,
        "updatedAt": events.zulu(),
        "reason": reason,
    }
    _tell(service.place, "ECS Deployment State Change", service.arn, detail)


def instance_change(place, instance, status=None):
    """A container instance state change event; a deregistered instance is INACTIVE."""
    instance.version = vars(instance).get("version", 0) + 1
    detail = {
        "agentConnected": instance.agent_connected,
        "clusterArn": place.cluster_arn,
        "containerInstanceArn": instance.container_instance_arn,
        "ec2InstanceId": instance.ec2_instance_id,
        "registeredResources": instance.registered_resources,
        "remainingResources": instance.remaining_resources,
        "status": status or instance.status,
        "version": instance.version,
        "versionInfo": instance.version_info,
        "updatedAt": events.zulu(time.time()),
    }
    _tell(place, "ECS Container Instance State Change", instance.container_instance_arn, detail)


def _tell(place, detail_type, arn, detail):
    events.emit_of_service(place.account, place.region, SOURCE, detail_type, [arn], detail)
