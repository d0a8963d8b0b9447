//! What snapshot-rotation may have to ask AWS for. The README's table is this one.

use std::collections::BTreeSet;

use steward::permission::Needed::{Advice, Apply, Plan, Sometimes, SometimesToApply};
use steward::permission::{Asked, Needed, Permission};

use crate::policy::RotationPolicy;

const DATABASES: &str = "arn:{partition}:rds:{region}:{account}:db:*";
const SNAPSHOTS: &str = "arn:{partition}:rds:{region}:{account}:snapshot:steward-*";
const SWITCHES: &str = "arn:{partition}:ssm:{region}:{account}:parameter/steward/kill-switch/*";

const fn of(
    action: &'static str,
    on: &'static str,
    needed: Needed,
    why: &'static str,
) -> Permission {
    Permission {
        action,
        why,
        on,
        needed,
    }
}

/// Every IAM action that snapshot-rotation calls.
pub const PERMISSIONS: &[Permission] = &[
    of(
        "rds:DescribeDBInstances",
        "*",
        Plan,
        "which databases there are, with their tags; again before acting",
    ),
    of(
        "rds:DescribeDBSnapshots",
        "*",
        Plan,
        "their snapshots, in every Region that the policy names; again before deleting",
    ),
    of(
        "rds:DescribeAccountAttributes",
        "*",
        Advice,
        "how many snapshots there is room for",
    ),
    of(
        "rds:DescribeDBInstanceAutomatedBackups",
        "*",
        Advice,
        "automated backups that are replicated, which count towards the objective",
    ),
    of(
        "rds:DescribeDBSnapshotAttributes",
        SNAPSHOTS,
        Sometimes,
        "whom snapshots are shared with, where the policy shares them",
    ),
    of(
        "kms:DescribeKey",
        "*",
        Sometimes,
        "whether a key can be shared, where the policy shares snapshots",
    ),
    of(
        "rds:CreateDBSnapshot",
        DATABASES,
        Apply,
        "making snapshots; of the snapshots too",
    ),
    of(
        "rds:AddTagsToResource",
        SNAPSHOTS,
        Apply,
        "tags of what it makes",
    ),
    of(
        "rds:CopyDBSnapshot",
        SNAPSHOTS,
        SometimesToApply,
        "copying, where the policy names places",
    ),
    of(
        "rds:ModifyDBSnapshotAttribute",
        SNAPSHOTS,
        SometimesToApply,
        "sharing, where the policy names accounts",
    ),
    of(
        "rds:DeleteDBSnapshot",
        SNAPSHOTS,
        Apply,
        "deleting; in apply mode only",
    ),
    of(
        "s3:ListBucket",
        "*",
        Sometimes,
        "which documents there are, where the policy names buckets",
    ),
    of(
        "s3:PutObject",
        "*",
        SometimesToApply,
        "writing restore points and recipes, where the policy names buckets",
    ),
    of(
        "s3:DeleteObject",
        "*",
        SometimesToApply,
        "deleting documents whose snapshots are gone",
    ),
    of(
        "rds:DescribeDBParameterGroups",
        "*",
        Sometimes,
        "for restore points: the parameter groups of databases",
    ),
    of(
        "rds:DescribeDBParameters",
        "*",
        Sometimes,
        "for restore points: what in them is no default",
    ),
    of(
        "rds:DescribeOptionGroups",
        "*",
        Sometimes,
        "for restore points: the option groups of databases",
    ),
    of(
        "ecs:ListClusters",
        "*",
        Sometimes,
        "for restore points: where the services are that use databases",
    ),
    of(
        "ecs:ListServices",
        "*",
        Sometimes,
        "for restore points: the services",
    ),
    of(
        "ecs:DescribeServices",
        "*",
        Sometimes,
        "for restore points: their settings and tags",
    ),
    of(
        "ecs:DescribeClusters",
        "*",
        Sometimes,
        "for restore points: the settings of their clusters",
    ),
    of(
        "ecs:DescribeServiceRevisions",
        "*",
        Sometimes,
        "for restore points: the digests of their images",
    ),
    of(
        "ecs:DescribeTaskDefinition",
        "*",
        Sometimes,
        "for restore points: their task definitions",
    ),
    of(
        "application-autoscaling:DescribeScalableTargets",
        "*",
        Sometimes,
        "for restore points: how services are scaled",
    ),
    of(
        "application-autoscaling:DescribeScalingPolicies",
        "*",
        Sometimes,
        "the same",
    ),
    of(
        "application-autoscaling:DescribeScheduledActions",
        "*",
        Sometimes,
        "the same",
    ),
    of(
        "elasticloadbalancing:DescribeTargetGroups",
        "*",
        Sometimes,
        "for restore points: target groups and their health checks",
    ),
    of(
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        "*",
        Sometimes,
        "the same",
    ),
    of(
        "secretsmanager:DescribeSecret",
        "*",
        Sometimes,
        "for restore points: names and versions of secrets, never values",
    ),
    of(
        "ssm:DescribeParameters",
        "*",
        Sometimes,
        "for restore points: versions of parameters that services read, never values",
    ),
    of("ssm:GetParameters", SWITCHES, Apply, "the kill switches"),
    of(
        "ssm:GetParameter",
        "arn:{partition}:ssm:{region}:{account}:parameter/*",
        Sometimes,
        "the policy, when it is in Parameter Store",
    ),
    of(
        "s3:GetObject",
        "*",
        Sometimes,
        "the policy, when it is in S3; recipes and restore points",
    ),
    of(
        "sts:AssumeRole",
        "*",
        Sometimes,
        "the roles of other accounts that the policy names",
    ),
    of(
        "sns:Publish",
        "*",
        Sometimes,
        "telling people what a run did, when there is a topic",
    ),
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
        "kms:CreateGrant",
        "RDS copies encrypted snapshots in the name of the caller, who must be allowed to use \
         both keys (\"Copying a DB snapshot\", Amazon RDS User Guide)",
    ),
    (
        "kms:GenerateDataKey*",
        "the same; and SNS and S3 encrypt for the caller, where a key of yours is used",
    ),
    (
        "kms:Decrypt",
        "the same; and S3 and Parameter Store decrypt for the reader",
    ),
];

/// The permissions that a policy asks for beyond those that are always needed.
pub fn asked_for(
    policy: &RotationPolicy,
    partition: &str,
    region: &str,
    account: &str,
    _: &[String],
) -> Vec<Asked> {
    let own = |region: &str| format!("arn:{partition}:rds:{region}:{account}:snapshot:steward-*");
    let mut all = BTreeSet::new();
    for rule in &policy.rules {
        if !rule.shares().is_empty() {
            all.insert(("rds:DescribeDBSnapshotAttributes", own(region)));
            all.insert(("rds:ModifyDBSnapshotAttribute", own(region)));
            all.insert(("kms:DescribeKey", "*".to_owned()));
        }
        for copy in &rule.copies {
            match &copy.role_arn {
                Some(role) => all.insert(("sts:AssumeRole", role.clone())),
                None => all.insert(("rds:CopyDBSnapshot", own(&copy.region))),
            };
        }
    }
    // Those of other accounts belong to their roles.
    let own_copies = policy.rules.iter().flat_map(|rule| &rule.copies);
    let own_copies = own_copies.filter(|copy| copy.role_arn.is_none());
    let buckets = own_copies.filter_map(|copy| copy.restore_points.as_ref());
    for bucket in policy.restore_points.iter().chain(buckets) {
        all.insert(("s3:ListBucket", format!("arn:{partition}:s3:::{bucket}")));
        let objects = format!("arn:{partition}:s3:::{bucket}/*");
        for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
            all.insert((action, objects.clone()));
        }
    }
    if policy.restore_points.is_some() {
        let for_restore_points = PERMISSIONS.iter().filter(|permission| {
            permission.needed == Sometimes
                && permission.on == "*"
                && is_of_restore_points(permission)
        });
        all.extend(for_restore_points.map(|permission| (permission.action, "*".to_owned())));
    }
    let asked = all.into_iter();
    asked
        .map(|(action, resource)| Asked { action, resource })
        .collect()
}

/// Whether it is for reading what restore points tell.
fn is_of_restore_points(permission: &Permission) -> bool {
    let services = [
        "ecs",
        "application-autoscaling",
        "elasticloadbalancing",
        "secretsmanager",
    ];
    let of_others = [
        "rds:DescribeDBParameterGroups",
        "rds:DescribeDBParameters",
        "rds:DescribeOptionGroups",
        "ssm:DescribeParameters",
    ];
    let service = permission.action.split(':').next().unwrap_or_default();
    services.contains(&service) || of_others.contains(&permission.action)
}
