//! What scheduled-scaling may have to ask AWS for. The README's table is this one.

use std::collections::BTreeSet;

use steward::permission::Needed::{Apply, Plan, Sometimes, SometimesToApply};
use steward::permission::{Asked, NOTIFY, Permission, READ_POLICY, READ_SWITCHES};

use crate::policy::{Member, ScalingPolicy};

const TABLE: &str = "arn:{partition}:dynamodb:{region}:{account}:table/steward-ledger";
const SERVICES: &str = "arn:{partition}:ecs:{region}:{account}:service/*";
const GROUPS: &str =
    "arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/*";
const DATABASES: &str = "arn:{partition}:rds:{region}:{account}:db:*";
const SNAPSHOTS: &str = "arn:{partition}:rds:{region}:{account}:snapshot:steward-*";
const SCALABLE: &str =
    "arn:{partition}:application-autoscaling:{region}:{account}:scalable-target/*";

/// Every IAM action that scheduled-scaling calls.
pub const PERMISSIONS: &[Permission] = &[
    Permission::of(
        "dynamodb:Query",
        TABLE,
        Plan,
        "how far environments are, what is remembered of resources, overrides, and what was \
         raised for a while",
    ),
    Permission::of(
        "ecs:ListClusters",
        "*",
        Sometimes,
        "the services of environments, where the policy has services",
    ),
    Permission::of("ecs:ListServices", "*", Sometimes, "the same"),
    Permission::of(
        "ecs:DescribeServices",
        "*",
        Sometimes,
        "their sizes and tags; again before acting",
    ),
    Permission::of(
        "application-autoscaling:DescribeScalableTargets",
        "*",
        Sometimes,
        "what scales them; again before acting",
    ),
    Permission::of(
        "elasticloadbalancing:DescribeTargetHealth",
        "*",
        Sometimes,
        "whether those that wake serve",
    ),
    Permission::of(
        "autoscaling:DescribeAutoScalingGroups",
        "*",
        Sometimes,
        "the groups of environments, where the policy has groups; again before acting",
    ),
    Permission::of(
        "ecs:DescribeCapacityProviders",
        "*",
        Sometimes,
        "which of them ECS scales itself",
    ),
    Permission::of(
        "ecs:DescribeClusters",
        "*",
        Sometimes,
        "the clusters of those that wake",
    ),
    Permission::of(
        "ecs:ListContainerInstances",
        "*",
        Sometimes,
        "whether their instances take tasks",
    ),
    Permission::of("ecs:DescribeContainerInstances", "*", Sometimes, "the same"),
    Permission::of(
        "rds:DescribeDBInstances",
        "*",
        Sometimes,
        "the databases of environments, where the policy has databases; again before acting",
    ),
    Permission::of(
        "rds:DescribeDBSnapshots",
        "*",
        Sometimes,
        "whether a database has its snapshot, where the policy asks for one",
    ),
    Permission::of(
        "ssm:GetCalendarState",
        "*",
        Sometimes,
        "Change Calendars, where a schedule names some",
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
        "remembering sizes, transitions and overrides; leases",
    ),
    Permission::of(
        "dynamodb:DeleteItem",
        TABLE,
        Apply,
        "forgetting sizes that are back; giving leases back",
    ),
    Permission::of(
        "application-autoscaling:RegisterScalableTarget",
        SCALABLE,
        SometimesToApply,
        "parking, waking and resizing services that are scaled",
    ),
    Permission::of(
        "ecs:UpdateService",
        SERVICES,
        SometimesToApply,
        "parking, waking and resizing services",
    ),
    Permission::of(
        "ecs:TagResource",
        SERVICES,
        SometimesToApply,
        "marking services as parked",
    ),
    Permission::of("ecs:UntagResource", SERVICES, SometimesToApply, "the same"),
    Permission::of(
        "autoscaling:UpdateAutoScalingGroup",
        GROUPS,
        SometimesToApply,
        "parking, waking and resizing groups",
    ),
    Permission::of(
        "autoscaling:CreateOrUpdateTags",
        GROUPS,
        SometimesToApply,
        "marking groups as parked",
    ),
    Permission::of(
        "autoscaling:DeleteTags",
        GROUPS,
        SometimesToApply,
        "the same",
    ),
    Permission::of(
        "rds:StopDBInstance",
        DATABASES,
        SometimesToApply,
        "parking databases",
    ),
    Permission::of(
        "rds:StartDBInstance",
        DATABASES,
        SometimesToApply,
        "waking databases",
    ),
    Permission::of(
        "rds:AddTagsToResource",
        DATABASES,
        SometimesToApply,
        "marking databases as parked; of their snapshots too",
    ),
    Permission::of(
        "rds:RemoveTagsFromResource",
        DATABASES,
        SometimesToApply,
        "the same",
    ),
    Permission::of(
        "rds:CreateDBSnapshot",
        DATABASES,
        SometimesToApply,
        "a snapshot before a database sleeps, where the policy asks for one; of the snapshot too",
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

/// The IAM actions that no code calls and AWS asks for behind a call, or in the
/// function's name, each with its reason.
pub const BEHIND_CALLS: &[(&str, &str)] = &[
    (
        "logs:CreateLogStream",
        "Lambda writes the function's output with its role",
    ),
    ("logs:PutLogEvents", "the same"),
    (
        "xray:PutTraceSegments",
        "Lambda sends traces with its role, where tracing is on",
    ),
    ("xray:PutTelemetryRecords", "the same"),
    (
        "sqs:SendMessage",
        "Lambda leaves failed runs in a queue with its role, where there is one",
    ),
    (
        "kms:GenerateDataKey*",
        "SNS encrypts for the caller, where a key of yours is used",
    ),
    (
        "kms:Decrypt",
        "DynamoDB, S3 and Parameter Store decrypt for the reader, where a key of yours is used",
    ),
    (
        "kms:CreateGrant",
        "RDS starts encrypted databases in the name of the caller (\"AWS KMS key management\", \
         Amazon RDS User Guide)",
    ),
];

/// The permissions that a policy asks for beyond those that are always needed.
pub fn asked_for(
    policy: &ScalingPolicy,
    partition: &str,
    region: &str,
    account: &str,
    _: &[String],
) -> Vec<Asked> {
    let members: Vec<Member> = policy
        .environments
        .values()
        .flat_map(|environment| environment.members().into_values())
        .collect();
    let has = |is: fn(&Member) -> bool| members.iter().any(is);
    let services = has(|member| member.services.is_some());
    let groups = has(|member| member.groups.is_some());
    let databases = has(|member| member.databases.is_some());
    let snapshots = has(|member| member.snapshot);
    let mut schedules = policy.schedules.values();
    let calendars = schedules.any(|schedule| !schedule.change_calendars.is_empty());
    let is_asked = |permission: &Permission| {
        let (service, operation) = permission.action.split_once(':').unwrap_or_default();
        let of_instances = operation.contains("ContainerInstances");
        let of_clusters = of_instances || operation == "DescribeClusters";
        match (service, operation) {
            ("ecs", "ListClusters") => services || groups,
            ("ecs", "DescribeCapacityProviders") => groups,
            ("ecs", _) if of_clusters => groups,
            ("ecs" | "application-autoscaling" | "elasticloadbalancing", _) => services,
            ("autoscaling", _) => groups,
            ("rds", "DescribeDBSnapshots" | "CreateDBSnapshot") => snapshots,
            ("rds", _) => databases,
            ("ssm", "GetCalendarState") => calendars,
            _ => false,
        }
    };
    let mut all = BTreeSet::new();
    for permission in PERMISSIONS.iter().filter(|permission| is_asked(permission)) {
        let on = permission.resource(partition, region, account, "");
        all.insert((permission.action, on));
    }
    if snapshots {
        let on = Permission::of("", SNAPSHOTS, Sometimes, "");
        let on = on.resource(partition, region, account, "");
        all.insert(("rds:CreateDBSnapshot", on.clone()));
        all.insert(("rds:AddTagsToResource", on));
    }
    let all = all.into_iter();
    all.map(|(action, resource)| Asked { action, resource })
        .collect()
}
