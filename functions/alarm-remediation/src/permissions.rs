//! What alarm-remediation may have to ask AWS for. The README's table is this one.

use steward::names::ENVIRONMENT;
use steward::permission::Needed::{Apply, Plan, Sometimes, SometimesToApply};
use steward::permission::{
    Asked, Behind, CREATE_LOG_STREAM, LEAVE_FAILED_RUNS, NOTIFY, PUT_LOG_EVENTS, PUT_TELEMETRY,
    PUT_TRACE_SEGMENTS, Permission, READ_POLICY, READ_SWITCHES,
};

use crate::policy::{RemediationPolicy, Remedies};

const TABLE: &str = "arn:{partition}:dynamodb:{region}:{account}:table/steward-ledger";
const ALARMS: &str = "arn:{partition}:cloudwatch:{region}:{account}:alarm:*";
const SERVICES: &str = "arn:{partition}:ecs:{region}:{account}:service/*";
const DEPLOYMENTS: &str = "arn:{partition}:ecs:{region}:{account}:service-deployment/*";
const TASKS: &str = "arn:{partition}:ecs:{region}:{account}:task/*";
const INSTANCES: &str = "arn:{partition}:ecs:{region}:{account}:container-instance/*";
const GROUPS: &str =
    "arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/*";
const DATABASES: &str = "arn:{partition}:rds:{region}:{account}:db:*";
const SCALABLE: &str =
    "arn:{partition}:application-autoscaling:{region}:{account}:scalable-target/*";

/// Every IAM action that alarm-remediation calls.
pub const PERMISSIONS: &[Permission] = &[
    Permission::of(
        "dynamodb:Query",
        TABLE,
        Plan,
        "open cases, what was tried, and what was raised for a while",
    ),
    Permission::of(
        "cloudwatch:DescribeAlarms",
        "*",
        Plan,
        "alarms as they are now, and the children of composite ones",
    ),
    Permission::of(
        "cloudwatch:ListTagsForResource",
        ALARMS,
        Plan,
        "which alarms are selected, and what they are about",
    ),
    Permission::of(
        "cloudwatch:ListAlarmMuteRules",
        "*",
        Plan,
        "whether an alarm is muted",
    ),
    Permission::of(
        "cloudwatch:DescribeAlarmContributors",
        "*",
        Sometimes,
        "which of its time series an alarm is about",
    ),
    Permission::of(
        "ecs:ListClusters",
        "*",
        Sometimes,
        "what a target group or an instance belongs to, and which instances take tasks",
    ),
    Permission::of("ecs:ListServices", "*", Sometimes, "the same"),
    Permission::of(
        "ecs:DescribeServices",
        "*",
        Sometimes,
        "services, their sizes, events and tags; again before acting",
    ),
    Permission::of(
        "ecs:ListServiceDeployments",
        "*",
        Sometimes,
        "what was deployed when; again before acting",
    ),
    Permission::of(
        "ecs:DescribeServiceRevisions",
        "*",
        Sometimes,
        "what ran before, by its digests",
    ),
    Permission::of("ecs:ListTasks", "*", Sometimes, "how its tasks are"),
    Permission::of("ecs:DescribeTasks", "*", Sometimes, "the same"),
    Permission::of(
        "application-autoscaling:DescribeScalableTargets",
        "*",
        Sometimes,
        "what scales it; again before acting",
    ),
    Permission::of(
        "elasticloadbalancing:DescribeTargetHealth",
        "*",
        Sometimes,
        "how its targets are",
    ),
    Permission::of(
        "ecs:DescribeClusters",
        "*",
        Sometimes,
        "which groups give a cluster capacity",
    ),
    Permission::of("ecs:DescribeCapacityProviders", "*", Sometimes, "the same"),
    Permission::of(
        "ecs:ListContainerInstances",
        "*",
        Sometimes,
        "which instances take tasks",
    ),
    Permission::of(
        "ecs:DescribeContainerInstances",
        "*",
        Sometimes,
        "the same; again before acting",
    ),
    Permission::of(
        "autoscaling:DescribeAutoScalingGroups",
        "*",
        Sometimes,
        "groups, their sizes and tags; again before acting",
    ),
    Permission::of(
        "autoscaling:DescribeAutoScalingInstances",
        "*",
        Sometimes,
        "which group an instance is of",
    ),
    Permission::of(
        "rds:DescribeDBInstances",
        "*",
        Sometimes,
        "databases, their storage and tags; again before acting",
    ),
    Permission::of(
        "rds:DescribeEvents",
        "*",
        Sometimes,
        "what RDS has said of them, for people",
    ),
    Permission::of(
        "dynamodb:GetItem",
        TABLE,
        Apply,
        "the same as was decided on, just before acting",
    ),
    Permission::of(
        "dynamodb:PutItem",
        TABLE,
        Apply,
        "cases, tries, raises and leases, before anything is done",
    ),
    Permission::of(
        "dynamodb:DeleteItem",
        TABLE,
        Apply,
        "closing cases, forgetting raises, giving leases back",
    ),
    Permission::of(
        "application-autoscaling:RegisterScalableTarget",
        SCALABLE,
        SometimesToApply,
        "raising services that are scaled, and taking that back",
    ),
    Permission::of(
        "ecs:UpdateService",
        SERVICES,
        SometimesToApply,
        "raising services, taking that back, and going back to what ran before",
    ),
    Permission::of(
        "ecs:StopServiceDeployment",
        DEPLOYMENTS,
        SometimesToApply,
        "stopping a bad deployment",
    ),
    Permission::of(
        "ecs:DescribeTaskDefinition",
        "*",
        SometimesToApply,
        "what ran before",
    ),
    Permission::of(
        "ecs:RegisterTaskDefinition",
        "*",
        SometimesToApply,
        "the same with its images pinned",
    ),
    Permission::of(
        "ecs:StopTask",
        TASKS,
        SometimesToApply,
        "replacing unhealthy tasks",
    ),
    Permission::of(
        "autoscaling:UpdateAutoScalingGroup",
        GROUPS,
        SometimesToApply,
        "raising groups, and taking that back",
    ),
    Permission::of(
        "ecs:UpdateContainerInstancesState",
        INSTANCES,
        SometimesToApply,
        "draining an instance, and giving it back",
    ),
    Permission::of(
        "autoscaling:SetInstanceHealth",
        GROUPS,
        SometimesToApply,
        "having an instance replaced",
    ),
    Permission::of(
        "rds:ModifyDBInstance",
        DATABASES,
        SometimesToApply,
        "growing the storage of a database, and its class where that is approved by an event",
    ),
    READ_SWITCHES,
    READ_POLICY,
    Permission::of(
        "s3:GetObject",
        "*",
        Sometimes,
        "the policy, when it is in S3",
    ),
    NOTIFY,
];

/// What AWS asks for behind a call.
pub const BEHIND_CALLS: &[Behind] = &[
    ("ecs:TagResource", "`ecs:RegisterTaskDefinition` with tags"),
    (
        "iam:PassRole",
        "`ecs:RegisterTaskDefinition` with the task role and the execution role of what ran before",
    ),
    CREATE_LOG_STREAM,
    PUT_LOG_EVENTS,
    PUT_TRACE_SEGMENTS,
    PUT_TELEMETRY,
    LEAVE_FAILED_RUNS,
    (
        "kms:GenerateDataKey*",
        "SNS and DynamoDB encrypt for the caller, where a key of yours is used",
    ),
    (
        "kms:Decrypt",
        "DynamoDB, S3 and Parameter Store decrypt for the caller, where a key of yours is used",
    ),
];

/// Whether a permission is needed by remedies that a policy names.
fn is_asked_for(remedies: &Remedies, action: &str) -> bool {
    match action {
        "application-autoscaling:RegisterScalableTarget" => remedies.raise_service.is_some(),
        "ecs:UpdateService" => remedies.raise_service.is_some() || remedies.roll_back.is_some(),
        "ecs:StopServiceDeployment" => remedies.stop_deployment.is_some(),
        "ecs:DescribeTaskDefinition" | "ecs:RegisterTaskDefinition" => remedies.roll_back.is_some(),
        "ecs:StopTask" => remedies.replace_tasks.is_some(),
        "autoscaling:UpdateAutoScalingGroup" => remedies.raise_group.is_some(),
        "ecs:UpdateContainerInstancesState" | "autoscaling:SetInstanceHealth" => {
            remedies.replace_instance.is_some()
        }
        // Of a class as well, where a person approves that by an event.
        "rds:ModifyDBInstance" => remedies.grow_storage.is_some(),
        _ => false,
    }
}

/// The permissions that a policy asks for beyond those that are always needed. What
/// changes resources is asked for by the tag of their environment, with the values that are
/// known.
pub fn asked_for(
    policy: &RemediationPolicy,
    partition: &str,
    region: &str,
    account: &str,
    environments: &[String],
) -> Vec<Asked> {
    let mut asked = Vec::new();
    for permission in PERMISSIONS {
        let on = permission.resource(partition, region, account, "");
        match permission.needed {
            // What these are on is known where the function is deployed.
            Sometimes
                if [READ_POLICY.action, "s3:GetObject", NOTIFY.action]
                    .contains(&permission.action) => {}
            Sometimes => asked.push(Asked::on(permission.action, on)),
            SometimesToApply if is_asked_for(&policy.remedies, permission.action) => {
                let values: Vec<Option<String>> = match environments {
                    [] => vec![None],
                    some => some.iter().cloned().map(Some).collect(),
                };
                let mut resources = vec![on];
                if permission.on == DEPLOYMENTS {
                    // Judged on the service as well, which has the tag.
                    let of_service = Permission::of(permission.action, SERVICES, Apply, "");
                    resources.push(of_service.resource(partition, region, account, ""));
                }
                for on in resources {
                    if on == "*" {
                        asked.push(Asked::on(permission.action, on));
                        continue;
                    }
                    asked.extend(values.iter().cloned().map(|value| Asked {
                        tag: Some((ENVIRONMENT, value)),
                        ..Asked::on(permission.action, on.clone())
                    }));
                }
            }
            _ => {}
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changes_is_asked_for_only_by_remedies_that_are_named() {
        let asked = |policy: &RemediationPolicy| -> Vec<&'static str> {
            let asked = asked_for(policy, "aws", "eu-west-1", "123456789012", &[]);
            let mut asked: Vec<_> = asked.into_iter().map(|one| one.action).collect();
            asked.dedup();
            asked
        };
        let nothing = asked(&RemediationPolicy::default());
        assert!(nothing.contains(&"ecs:DescribeServices"));
        let of = json!({"include": ["*"]});
        for (remedies, expected) in [
            (
                json!({"raise_service": {"of": of, "most": 9}}),
                vec![
                    "application-autoscaling:RegisterScalableTarget",
                    "ecs:UpdateService",
                ],
            ),
            (
                json!({"stop_deployment": {"of": of}}),
                vec!["ecs:StopServiceDeployment"],
            ),
            (
                json!({"roll_back": {"of": of}}),
                vec![
                    "ecs:UpdateService",
                    "ecs:DescribeTaskDefinition",
                    "ecs:RegisterTaskDefinition",
                ],
            ),
            (json!({"replace_tasks": {"of": of}}), vec!["ecs:StopTask"]),
            (
                json!({"raise_group": {"of": of, "most": 9}}),
                vec!["autoscaling:UpdateAutoScalingGroup"],
            ),
            (
                json!({"replace_instance": {"of": of}}),
                vec![
                    "ecs:UpdateContainerInstancesState",
                    "autoscaling:SetInstanceHealth",
                ],
            ),
            (
                json!({"grow_storage": {"of": of, "most_gib": 100}}),
                vec!["rds:ModifyDBInstance"],
            ),
        ] {
            let policy = serde_json::from_value(json!({ "remedies": remedies })).unwrap();
            let mut more = asked(&policy);
            more.retain(|action| !nothing.contains(action));
            assert_eq!(more, expected);
        }
    }

    #[test]
    fn the_end_of_a_deployment_is_asked_for_on_its_service_as_well() {
        let remedies = json!({"stop_deployment": {"of": {"include": ["*"]}}});
        let policy = serde_json::from_value(json!({ "remedies": remedies })).unwrap();
        let environments = ["shop".to_owned()];
        let asked = asked_for(&policy, "aws", "eu-west-1", "123456789012", &environments);
        let of = asked.into_iter();
        let of = of.filter(|one| one.action == "ecs:StopServiceDeployment");
        let on: Vec<(String, Option<_>)> = of.map(|one| (one.resource, one.tag)).collect();
        let expected = ["service-deployment", "service"].map(|kind| {
            let arn = format!("arn:aws:ecs:eu-west-1:123456789012:{kind}/*");
            (arn, Some((ENVIRONMENT, Some("shop".to_owned()))))
        });
        assert_eq!(on, expected);
    }
}
