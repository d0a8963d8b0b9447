//! An application that uses a database: a service of Amazon ECS and everything
//! that re-creating it needs.
//!
//! What Amazon ECS and Application Auto Scaling say is kept in their own words,
//! so that a setting that AWS adds tomorrow is in it, and it can be registered
//! again. What is only state (counts, events) is left out.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One service.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Application {
    /// Its cluster's name.
    pub cluster: String,
    /// Its own name.
    pub service: String,
    /// Its ARN.
    pub service_arn: String,
    /// The cluster: settings, configuration, capacity providers and default
    /// strategy, tags (`DescribeClusters`); absent when it could not be read.
    pub cluster_settings: Option<AsAnswered>,
    /// The service: launch type or strategy, desired count, deployment
    /// configuration, load balancers, network, placement, tags and the rest
    /// (`DescribeServices`).
    pub service_settings: AsAnswered,
    /// `rolloutState` of its primary deployment. While it is not `COMPLETED`,
    /// the oldest of the releases is the one that was proved.
    pub rollout_state: Option<String>,
    /// What is deployed, newest first: more than one while a deployment goes on.
    pub releases: Vec<Release>,
    /// How its desired count is scaled.
    pub scaling: Scaling,
    /// The target groups that its tasks are registered in.
    pub target_groups: Vec<TargetGroup>,
    /// The secrets that its releases name.
    pub secrets: Vec<Secret>,
    /// The parameters of Systems Manager that its releases name.
    pub parameters: Vec<Parameter>,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("service", &self.service_arn)
            .finish_non_exhaustive()
    }
}

/// A JSON object as AWS answered it, in AWS's own names. It may have plain-text
/// values of environment variables in it: `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AsAnswered(pub Map<String, Value>);

impl fmt::Debug for AsAnswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsAnswered").finish_non_exhaustive()
    }
}

/// A release of a service: a task definition, and how the service ran it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// The service revision, with the images that it resolved
    /// (`DescribeServiceRevisions`); absent where there is none.
    pub service_revision: Option<AsAnswered>,
    /// `taskDefinitionArn`.
    pub task_definition_arn: String,
    /// The whole definition with its tags, as it was registered
    /// (`DescribeTaskDefinition`); absent when it could not be read.
    pub task_definition: Option<AsAnswered>,
}

/// An image that an application runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// By digest (`REGISTRY/REPOSITORY@sha256:…`) where Amazon ECS has resolved
    /// it, and as written where it has not.
    pub reference: String,
    /// As the task definition writes it, with its tag.
    pub image: String,
    /// The container that it is for.
    pub container: String,
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// `taskDefinitionArn` of the release.
    pub task_definition_arn: String,
}

/// What Application Auto Scaling knows of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scaling {
    /// Its smallest and largest sizes (`DescribeScalableTargets`).
    pub targets: Vec<AsAnswered>,
    /// Its scaling policies (`DescribeScalingPolicies`).
    pub policies: Vec<AsAnswered>,
    /// Its scheduled actions (`DescribeScheduledActions`).
    pub scheduled_actions: Vec<AsAnswered>,
}

/// A target group of Elastic Load Balancing. Names are those of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetGroup {
    /// `TargetGroupArn`.
    pub arn: String,
    /// `TargetGroupName`.
    pub name: Option<String>,
    /// `Protocol`.
    pub protocol: Option<String>,
    /// `ProtocolVersion`.
    pub protocol_version: Option<String>,
    /// `Port`.
    pub port: Option<i32>,
    /// `VpcId`.
    pub vpc_id: Option<String>,
    /// `TargetType`: `instance` or `ip`.
    pub target_type: Option<String>,
    /// `IpAddressType`.
    pub ip_address_type: Option<String>,
    /// `TargetControlPort`.
    pub target_control_port: Option<i32>,
    /// `HealthCheckEnabled`.
    pub health_check_enabled: Option<bool>,
    /// `HealthCheckProtocol`.
    pub health_check_protocol: Option<String>,
    /// `HealthCheckPort`: a number, or `traffic-port`.
    pub health_check_port: Option<String>,
    /// `HealthCheckPath`.
    pub health_check_path: Option<String>,
    /// `HealthCheckIntervalSeconds`.
    pub health_check_interval_seconds: Option<i32>,
    /// `HealthCheckTimeoutSeconds`.
    pub health_check_timeout_seconds: Option<i32>,
    /// `HealthyThresholdCount`.
    pub healthy_threshold_count: Option<i32>,
    /// `UnhealthyThresholdCount`.
    pub unhealthy_threshold_count: Option<i32>,
    /// `Matcher.HttpCode`.
    pub matcher_http_code: Option<String>,
    /// `Matcher.GrpcCode`.
    pub matcher_grpc_code: Option<String>,
    /// `LoadBalancerArns`, sorted.
    pub load_balancer_arns: Vec<String>,
    /// `DescribeTargetGroupAttributes`, by key.
    pub attributes: BTreeMap<String, String>,
}

/// A secret of Secrets Manager, never its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Secret {
    /// `ARN`.
    pub arn: String,
    /// `Name`, which replicas in other Regions have too.
    pub name: String,
    /// The version that is `AWSCURRENT`.
    pub version_id: Option<String>,
    /// `KmsKeyId`; absent for the key that AWS manages.
    pub kms_key_id: Option<String>,
    /// The Regions that it is replicated to, sorted.
    pub replica_regions: Vec<String>,
}

/// A parameter of Systems Manager, never its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Parameter {
    /// `Name`.
    pub name: String,
    /// `ARN`.
    pub arn: Option<String>,
    /// `Type`: `String`, `StringList` or `SecureString`.
    pub parameter_type: Option<String>,
    /// `Version`, from 1.
    pub version: i64,
    /// `KeyId`, of a `SecureString`.
    pub kms_key_id: Option<String>,
}
