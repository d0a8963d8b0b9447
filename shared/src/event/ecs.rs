//! What Amazon ECS tells of services, deployments and container instances.

use jiff::Timestamp;

use super::envelope::{Delivered, Envelope};
use super::fields::Fields;
use super::open_enum::open_enum;
use super::{Arn, Event, EventError};

pub(super) const SERVICE_ACTION: &str = "ECS Service Action";
pub(super) const DEPLOYMENT_STATE_CHANGE: &str = "ECS Deployment State Change";
pub(super) const CONTAINER_INSTANCE_STATE_CHANGE: &str = "ECS Container Instance State Change";

/// A service, as its ARN names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EcsService {
    /// The service's ARN.
    pub arn: Arn,
    /// The cluster's name. `None` for a service that still has the short ARN
    /// without a cluster, when the event names none either. AWS: "Amazon
    /// Resource Names (ARNs) and IDs" (Amazon ECS Developer Guide).
    pub cluster: Option<String>,
    /// The service's name.
    pub name: String,
}

impl EcsService {
    fn read(delivered: &Delivered<'_>) -> Option<Self> {
        let arn = delivered.envelope.resource("ecs", "service")?.clone();
        let (cluster, name) = match arn.resource_id().split_once('/') {
            Some((cluster, name)) => (Some(cluster.to_owned()), name.to_owned()),
            None => {
                let cluster = delivered.detail.arn("clusterArn");
                (
                    cluster.map(|cluster| cluster.resource_id().to_owned()),
                    arn.resource_id().to_owned(),
                )
            }
        };
        Some(Self { arn, cluster, name })
    }
}

open_enum! {
    /// How grave ECS takes it to be. Decide by the event's name instead: a failed
    /// deployment and a completed one differ there, and new names appear.
    EcsSeverity {
        /// For information.
        Info = "INFO",
        /// A warning.
        Warn = "WARN",
        /// An error.
        Error = "ERROR",
    }
}

open_enum! {
    /// What a service did or failed to do. AWS: "Amazon ECS service action events".
    EcsServiceActionName {
        /// Healthy at the desired number of tasks; repeated from time to time.
        ServiceSteadyState = "SERVICE_STEADY_STATE",
        /// The same of a task set.
        TasksetSteadyState = "TASKSET_STEADY_STATE",
        /// The same of a capacity provider.
        CapacityProviderSteadyState = "CAPACITY_PROVIDER_STEADY_STATE",
        /// The scheduler changed the computed desired count. Not sent when a
        /// user or another program sets it.
        ServiceDesiredCountUpdated = "SERVICE_DESIRED_COUNT_UPDATED",
        /// The service has stopped a running task.
        TasksStopped = "TASKS_STOPPED",
        /// A deployment has begun.
        ServiceDeploymentInProgress = "SERVICE_DEPLOYMENT_IN_PROGRESS",
        /// A deployment has reached its steady state.
        ServiceDeploymentCompleted = "SERVICE_DEPLOYMENT_COMPLETED",
        /// A deployment has failed.
        ServiceDeploymentFailed = "SERVICE_DEPLOYMENT_FAILED",
        /// Tasks keep failing to start.
        ServiceTaskStartImpaired = "SERVICE_TASK_START_IMPAIRED",
        /// Service discovery holds an unhealthy task.
        ServiceDiscoveryInstanceUnhealthy = "SERVICE_DISCOVERY_INSTANCE_UNHEALTHY",
        /// A lattice target is unhealthy.
        VpcLatticeTargetUnhealthy = "VPC_LATTICE_TARGET_UNHEALTHY",
        /// A task of a daemon service no longer meets its placement constraints.
        ServiceDaemonPlacementConstraintViolated = "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED",
        /// ECS throttled its own scheduler.
        EcsOperationThrottled = "ECS_OPERATION_THROTTLED",
        /// Cloud Map throttled the scheduler.
        ServiceDiscoveryOperationThrottled = "SERVICE_DISCOVERY_OPERATION_THROTTLED",
        /// No place for a task: too little CPU, memory, ports, or no instance.
        ServiceTaskPlacementFailure = "SERVICE_TASK_PLACEMENT_FAILURE",
        /// A task cannot be placed because of how it is configured.
        ServiceTaskConfigurationFailure = "SERVICE_TASK_CONFIGURATION_FAILURE",
        /// The health of tasks can't be read.
        ServiceHealthUnknown = "SERVICE_HEALTH_UNKNOWN",
    }
}

/// `ECS Service Action`. AWS: "Amazon ECS service action events".
#[derive(Clone, Debug, PartialEq)]
pub struct EcsServiceActionEvent {
    /// Around the event.
    pub envelope: Envelope,
    /// The service concerned.
    pub service: EcsService,
    /// What happened.
    pub name: EcsServiceActionName,
    /// How grave ECS takes it to be.
    pub severity: Option<EcsSeverity>,
    /// Its cluster.
    pub cluster_arn: Option<Arn>,
    /// Why, such as `RESOURCE:MEMORY` for a failed placement.
    pub reason: Option<String>,
    /// When.
    pub created_at: Option<Timestamp>,
    /// What was tolerated while reading.
    pub warnings: Vec<String>,
}

open_enum! {
    /// A step of a deployment.
    EcsDeploymentEventName {
        /// Begun; also when a rollback begins, which only the reason tells.
        InProgress = "SERVICE_DEPLOYMENT_IN_PROGRESS",
        /// The service has reached a steady state after it.
        Completed = "SERVICE_DEPLOYMENT_COMPLETED",
        /// Failed; sent for services with the circuit breaker switched on.
        Failed = "SERVICE_DEPLOYMENT_FAILED",
    }
}

/// `ECS Deployment State Change`. AWS: "Amazon ECS service deployment state
/// change events".
#[derive(Clone, Debug, PartialEq)]
pub struct EcsDeploymentEvent {
    /// Around the event.
    pub envelope: Envelope,
    /// The service concerned.
    pub service: EcsService,
    /// What happened.
    pub name: EcsDeploymentEventName,
    /// How grave ECS takes it to be.
    pub severity: Option<EcsSeverity>,
    /// Its cluster; samples from before 2025 lack it.
    pub cluster_arn: Option<Arn>,
    /// `ecs-svc/…`, the id that `DescribeServices` shows too.
    pub deployment_id: Option<String>,
    /// In ECS's own words.
    pub reason: Option<String>,
    /// When.
    pub updated_at: Option<Timestamp>,
    /// What was tolerated while reading.
    pub warnings: Vec<String>,
}

open_enum! {
    /// The status of a container instance. AWS: "`ContainerInstance`" (Amazon ECS
    /// API Reference).
    ContainerInstanceStatus {
        /// Being registered.
        Registering = "REGISTERING",
        /// Could not be registered.
        RegistrationFailed = "REGISTRATION_FAILED",
        /// Takes tasks.
        Active = "ACTIVE",
        /// Takes no new tasks; those of services move away.
        Draining = "DRAINING",
        /// Being deregistered.
        Deregistering = "DEREGISTERING",
        /// Deregistered.
        Inactive = "INACTIVE",
    }
}

/// `ECS Container Instance State Change`. AWS: "Amazon ECS container instance
/// state change events". The detail is a `ContainerInstance` of the API.
#[derive(Clone, Debug, PartialEq)]
pub struct EcsContainerInstanceEvent {
    /// Around the event.
    pub envelope: Envelope,
    /// The container instance.
    pub container_instance: Arn,
    /// Its cluster.
    pub cluster_arn: Option<Arn>,
    /// The EC2 instance below it.
    pub ec2_instance_id: Option<String>,
    /// Whether the agent is connected. Agents flap: one event proves nothing.
    pub agent_connected: Option<bool>,
    /// Its status.
    pub status: Option<ContainerInstanceStatus>,
    /// Tasks running on it.
    pub running_tasks: Option<u64>,
    /// Tasks about to run on it.
    pub pending_tasks: Option<u64>,
    /// Grows with every change of the instance; tells a late event from a new one.
    pub version: Option<u64>,
    /// When it was registered.
    pub registered_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
    /// What was tolerated while reading.
    pub warnings: Vec<String>,
}

pub(super) fn read(delivered: Delivered<'_>) -> Result<Event, EventError> {
    match delivered.detail_type {
        SERVICE_ACTION => read_service_action(delivered).map(Event::EcsServiceAction),
        DEPLOYMENT_STATE_CHANGE => read_deployment(delivered).map(Event::EcsDeployment),
        _ => read_container_instance(delivered).map(Event::EcsContainerInstance),
    }
}

fn read_service_action(delivered: Delivered<'_>) -> Result<EcsServiceActionEvent, EventError> {
    let (service, name) = service_and_name(&delivered, SERVICE_ACTION)?;
    let Delivered {
        envelope, detail, ..
    } = delivered;
    Ok(EcsServiceActionEvent {
        envelope,
        service,
        name: name.as_str().into(),
        severity: severity(&detail),
        cluster_arn: detail.arn("clusterArn"),
        reason: detail.text("reason"),
        created_at: detail.time("createdAt"),
        warnings: Vec::new(),
    })
}

fn read_deployment(delivered: Delivered<'_>) -> Result<EcsDeploymentEvent, EventError> {
    let (service, name) = service_and_name(&delivered, DEPLOYMENT_STATE_CHANGE)?;
    let Delivered {
        envelope, detail, ..
    } = delivered;
    Ok(EcsDeploymentEvent {
        envelope,
        service,
        name: name.as_str().into(),
        severity: severity(&detail),
        cluster_arn: detail.arn("clusterArn"),
        deployment_id: detail.text("deploymentId"),
        reason: detail.text("reason"),
        updated_at: detail.time("updatedAt"),
        warnings: Vec::new(),
    })
}

fn read_container_instance(
    delivered: Delivered<'_>,
) -> Result<EcsContainerInstanceEvent, EventError> {
    let Delivered {
        envelope, detail, ..
    } = delivered;
    let container_instance = detail
        .arn("containerInstanceArn")
        .or_else(|| envelope.resource("ecs", "container-instance").cloned())
        .ok_or(EventError::Missing {
            event: CONTAINER_INSTANCE_STATE_CHANGE,
            expected: "the container instance's ARN in \"detail.containerInstanceArn\" or \"resources\"",
        })?;
    Ok(EcsContainerInstanceEvent {
        container_instance,
        cluster_arn: detail.arn("clusterArn"),
        ec2_instance_id: detail.text("ec2InstanceId"),
        agent_connected: detail.boolean("agentConnected"),
        status: detail.text("status").map(|status| status.as_str().into()),
        running_tasks: detail.whole_number("runningTasksCount"),
        pending_tasks: detail.whole_number("pendingTasksCount"),
        version: detail.whole_number("version"),
        registered_at: detail.time("registeredAt"),
        updated_at: detail.time("updatedAt"),
        envelope,
        warnings: Vec::new(),
    })
}

fn service_and_name(
    delivered: &Delivered<'_>,
    event: &'static str,
) -> Result<(EcsService, String), EventError> {
    let service = EcsService::read(delivered).ok_or(EventError::Missing {
        event,
        expected: "the service's ARN in \"resources\"",
    })?;
    let name = delivered
        .detail
        .text("eventName")
        .ok_or(EventError::Missing {
            event,
            expected: "a text in \"detail.eventName\"",
        })?;
    Ok((service, name))
}

fn severity(detail: &Fields<'_>) -> Option<EcsSeverity> {
    detail.text("eventType").map(|text| text.as_str().into())
}
