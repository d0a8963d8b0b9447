//! What snapshot-rotation may have to ask AWS for. The README's table is this one.

use std::collections::BTreeSet;

use steward::permission::Needed::{Advice, Apply, Plan, Sometimes, SometimesToApply};
use steward::permission::{
    Asked, Behind, CREATE_LOG_STREAM, LEAVE_FAILED_RUNS, NOTIFY, PUT_LOG_EVENTS, PUT_TELEMETRY,
    PUT_TRACE_SEGMENTS, Permission, READ_POLICY, READ_SWITCHES,
};

use crate::policy::RotationPolicy;

const SNAPSHOTS: &str = "arn:{partition}:rds:{region}:{account}:snapshot:steward-*";

/// Every IAM action that snapshot-rotation calls.
pub const PERMISSIONS: &[Permission] = &[
    Permission::of(
        "rds:DescribeDBInstances",
        "*",
        Plan,
        "which databases there are, with their tags; again before acting",
    ),
    Permission::of(
        "rds:DescribeDBSnapshots",
        "*",
        Plan,
        "their snapshots, in every Region that the policy names; again before deleting",
    ),
    Permission::of(
        "rds:DescribeAccountAttributes",
        "*",
        Advice,
        "how many snapshots there is room for",
    ),
    Permission::of(
        "rds:DescribeDBInstanceAutomatedBackups",
        "*",
        Advice,
        "automated backups that are replicated, which count towards the objective",
    ),
    Permission::of(
        "rds:DescribeDBSnapshotAttributes",
        SNAPSHOTS,
        Sometimes,
        "whom snapshots are shared with, where the policy shares them",
    ),
    Permission::of(
        "kms:DescribeKey",
        "*",
        Sometimes,
        "whether a key can be shared, where the policy shares snapshots",
    ),
    Permission::of(
        "rds:DescribeDBParameterGroups",
        "*",
        Sometimes,
        "parameter groups of databases, for restore points",
    ),
    Permission::of(
        "rds:DescribeDBParameters",
        "*",
        Sometimes,
        "their parameters that are not the engine's own",
    ),
    Permission::of(
        "rds:DescribeOptionGroups",
        "*",
        Sometimes,
        "option groups of databases",
    ),
    Permission::of(
        "ecs:ListClusters",
        "*",
        Sometimes,
        "the services that use a database",
    ),
    Permission::of(
        "ecs:DescribeClusters",
        "*",
        Sometimes,
        "how their clusters are set up",
    ),
    Permission::of(
        "ecs:ListServices",
        "*",
        Sometimes,
        "the services that use a database",
    ),
    Permission::of(
        "ecs:DescribeServices",
        "*",
        Sometimes,
        "how they are set up",
    ),
    Permission::of(
        "ecs:DescribeServiceRevisions",
        "*",
        Sometimes,
        "the digests of the images that they run",
    ),
    Permission::of(
        "ecs:DescribeTaskDefinition",
        "*",
        Sometimes,
        "what their tasks are",
    ),
    Permission::of(
        "elasticloadbalancing:DescribeTargetGroups",
        "*",
        Sometimes,
        "their target groups and health checks",
    ),
    Permission::of(
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        "*",
        Sometimes,
        "the same",
    ),
    Permission::of(
        "application-autoscaling:DescribeScalableTargets",
        "*",
        Sometimes,
        "how they are scaled",
    ),
    Permission::of(
        "application-autoscaling:DescribeScalingPolicies",
        "*",
        Sometimes,
        "the same",
    ),
    Permission::of(
        "application-autoscaling:DescribeScheduledActions",
        "*",
        Sometimes,
        "the same",
    ),
    Permission::of(
        "secretsmanager:DescribeSecret",
        "arn:{partition}:secretsmanager:{region}:{account}:secret:*",
        Sometimes,
        "names and versions of their secrets, never values",
    ),
    Permission::of(
        "ssm:DescribeParameters",
        "*",
        Sometimes,
        "the same of parameters",
    ),
    Permission::of(
        "s3:ListBucket",
        "*",
        Sometimes,
        "which restore points there are, where the policy names their bucket",
    ),
    Permission::of(
        "rds:CreateDBSnapshot",
        "arn:{partition}:rds:{region}:{account}:db:*",
        SometimesToApply,
        "making snapshots; of the snapshots too",
    ),
    Permission::of(
        "rds:AddTagsToResource",
        SNAPSHOTS,
        Apply,
        "tags of what it makes",
    ),
    Permission::of(
        "rds:CopyDBSnapshot",
        SNAPSHOTS,
        SometimesToApply,
        "copying, where the policy names places",
    ),
    Permission::of(
        "rds:ModifyDBSnapshotAttribute",
        SNAPSHOTS,
        SometimesToApply,
        "sharing, where the policy names accounts",
    ),
    Permission::of(
        "rds:DeleteDBSnapshot",
        SNAPSHOTS,
        Apply,
        "deleting; in apply mode only",
    ),
    Permission::of(
        "s3:PutObject",
        "*",
        SometimesToApply,
        "writing restore points and recipes, where the policy names their bucket",
    ),
    Permission::of(
        "s3:DeleteObject",
        "*",
        SometimesToApply,
        "deleting restore points with their snapshots",
    ),
    READ_SWITCHES,
    READ_POLICY,
    Permission::of(
        "s3:GetObject",
        "*",
        Sometimes,
        "restore points, where the policy names their bucket; and the policy, when it is in S3",
    ),
    Permission::of(
        "sts:AssumeRole",
        "*",
        Sometimes,
        "the roles of other accounts that the policy names",
    ),
    NOTIFY,
];

/// The IAM actions that no code calls and AWS asks for behind a call, or in the
/// function's name, each with its reason.
pub const BEHIND_CALLS: &[Behind] = &[
    CREATE_LOG_STREAM,
    PUT_LOG_EVENTS,
    PUT_TRACE_SEGMENTS,
    PUT_TELEMETRY,
    LEAVE_FAILED_RUNS,
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

/// The permissions that a policy asks for beyond those that are always needed;
/// to make snapshots, on those databases of these units that a rule may select by
/// their identifiers.
pub fn asked_for(
    policy: &RotationPolicy,
    partition: &str,
    region: &str,
    account: &str,
    units: &[String],
) -> Vec<Asked> {
    let own = |region: &str| format!("arn:{partition}:rds:{region}:{account}:snapshot:steward-*");
    let mut all = BTreeSet::new();
    for unit in units {
        // As `Place::unit` writes it.
        if let Some((place, of)) = unit.split_once('/')
            && let Some((database, _)) = of.split_once('/')
            && place == region
            && policy.rules.iter().any(|rule| rule.may_select(database))
        {
            let database = format!("arn:{partition}:rds:{region}:{account}:db:{database}");
            all.insert(("rds:CreateDBSnapshot", database));
        }
    }
    for rule in &policy.rules {
        if !rule.shares().is_empty() {
            all.insert(("rds:DescribeDBSnapshotAttributes", own(region)));
            all.insert(("rds:ModifyDBSnapshotAttribute", own(region)));
        }
        for copy in &rule.copies {
            match &copy.role_arn {
                Some(role) => all.insert(("sts:AssumeRole", role.clone())),
                None => all.insert(("rds:CopyDBSnapshot", own(&copy.region))),
            };
        }
    }
    if let Some(bucket) = &policy.restore_points {
        let reads = PERMISSIONS
            .iter()
            .filter(|permission| is_recorded(permission));
        let resource =
            |permission: &Permission| permission.resource(partition, region, account, "");
        all.extend(reads.map(|permission| (permission.action, resource(permission))));
        // Those of other accounts are for the roles there.
        let here = policy.places().into_values();
        let here = here.filter(|copy| copy.role_arn.is_none());
        let buckets = here.filter_map(|copy| copy.restore_points.as_ref());
        for bucket in buckets.chain([bucket]) {
            let bucket = format!("arn:{partition}:s3:::{bucket}");
            all.insert(("s3:ListBucket", bucket.clone()));
            for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
                all.insert((action, format!("{bucket}/*")));
            }
        }
    }
    let asked = all.into_iter();
    asked
        .map(|(action, resource)| Asked::on(action, resource))
        .collect()
}

/// Whether it is a read for restore points, of what they are about.
fn is_recorded(permission: &Permission) -> bool {
    let (service, operation) = permission.action.split_once(':').unwrap_or_default();
    match service {
        "ecs" | "elasticloadbalancing" | "application-autoscaling" | "secretsmanager" => true,
        "rds" => operation.ends_with("Parameters") || operation.ends_with("Groups"),
        "ssm" => operation == "DescribeParameters",
        _ => false,
    }
}
