//! The target groups that services register their tasks in.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types as sdk;
use futures::{StreamExt, stream};
use steward::aws;
use steward::restore_point::TargetGroup;

use super::{AT_ONCE, Reads, Recorder};

impl Recorder {
    /// Target groups by ARN, with their attributes. One call for each: a call
    /// for many fails as a whole when one of them is gone.
    pub(super) async fn target_groups(&self, arns: &BTreeSet<String>) -> Reads<TargetGroup> {
        stream::iter(arns.iter().cloned())
            .map(|arn| async move {
                let read = self.target_group(&arn).await;
                (arn, read)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    async fn target_group(&self, arn: &str) -> Result<TargetGroup, String> {
        let name = arn
            .rsplit_once(":targetgroup/")
            .map_or(arn, |(_, name)| name);
        let failed = |operation: &str, why: &str| {
            format!("elasticloadbalancing:{operation} of {name}: {why}")
        };
        let operation = "DescribeTargetGroups";
        let request = self.elb.describe_target_groups().target_group_arns(arn);
        let answer = self.elb_pace.call(request.send()).await;
        let answer = answer.map_err(|error| failed(operation, &aws::explain(&error)))?;
        let group = answer.target_groups().first();
        let group = group.ok_or_else(|| failed(operation, "the answer has no group in it"))?;
        let operation = "DescribeTargetGroupAttributes";
        let request = self.elb.describe_target_group_attributes();
        let request = request.target_group_arn(arn);
        let answer = self.elb_pace.call(request.send()).await;
        let answer = answer.map_err(|error| failed(operation, &aws::explain(&error)))?;
        let attributes = answer.attributes.as_ref();
        let attributes =
            attributes.ok_or_else(|| failed(operation, "the answer has no list in it"))?;
        Ok(target_group(group, attributes))
    }
}

fn target_group(group: &sdk::TargetGroup, attributes: &[sdk::TargetGroupAttribute]) -> TargetGroup {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let matcher = group.matcher();
    let mut load_balancer_arns = group.load_balancer_arns().to_vec();
    load_balancer_arns.sort();
    let attributes: BTreeMap<String, String> = attributes
        .iter()
        .filter_map(|each| Some((each.key()?.to_owned(), each.value()?.to_owned())))
        .collect();
    TargetGroup {
        arn: group.target_group_arn().unwrap_or_default().to_owned(),
        name: owned(group.target_group_name()),
        protocol: owned(group.protocol().map(sdk::ProtocolEnum::as_str)),
        protocol_version: owned(group.protocol_version()),
        port: group.port(),
        vpc_id: owned(group.vpc_id()),
        target_type: owned(group.target_type().map(sdk::TargetTypeEnum::as_str)),
        ip_address_type: owned(
            group
                .ip_address_type()
                .map(sdk::TargetGroupIpAddressTypeEnum::as_str),
        ),
        target_control_port: group.target_control_port(),
        health_check_enabled: group.health_check_enabled(),
        health_check_protocol: owned(group.health_check_protocol().map(sdk::ProtocolEnum::as_str)),
        health_check_port: owned(group.health_check_port()),
        health_check_path: owned(group.health_check_path()),
        health_check_interval_seconds: group.health_check_interval_seconds(),
        health_check_timeout_seconds: group.health_check_timeout_seconds(),
        healthy_threshold_count: group.healthy_threshold_count(),
        unhealthy_threshold_count: group.unhealthy_threshold_count(),
        matcher_http_code: owned(matcher.and_then(sdk::Matcher::http_code)),
        matcher_grpc_code: owned(matcher.and_then(sdk::Matcher::grpc_code)),
        load_balancer_arns,
        attributes,
    }
}
