//! What image-pruning may have to ask AWS for. The README's table is this one.

use steward::permission::Needed::{Advice, Apply, Plan, Sometimes, SometimesToApply};
use steward::permission::{
    Asked, Behind, CREATE_LOG_STREAM, LEAVE_FAILED_RUNS, NOTIFY, PUT_LOG_EVENTS, PUT_TELEMETRY,
    PUT_TRACE_SEGMENTS, Permission, READ_POLICY, READ_SWITCHES,
};

use steward::policy::S3Prefix;

use crate::policy::{PruningPolicy, RemoveBy};

const REPOSITORY: &str = "arn:{partition}:ecr:{region}:{account}:repository/{unit}";

/// Every IAM action that image-pruning calls.
pub const PERMISSIONS: &[Permission] = &[
    Permission::of(
        "ecr:DescribeRepositories",
        "arn:{partition}:ecr:{region}:{account}:repository/*",
        Plan,
        "which repositories there are",
    ),
    Permission::of(
        "ecr:DescribeImages",
        REPOSITORY,
        Plan,
        "their images, with tags, times and subjects; again before acting",
    ),
    Permission::of("ecr:BatchGetImage", REPOSITORY, Plan, "what indexes list"),
    Permission::of("ecr:ListTagsForResource", REPOSITORY, Plan, "holds"),
    Permission::of(
        "ecr:GetRepositoryPolicy",
        REPOSITORY,
        Plan,
        "who outside the account may pull",
    ),
    Permission::of("ecr:GetRegistryPolicy", "*", Plan, "the same, for all"),
    Permission::of(
        "ecr:DescribeRegistry",
        "*",
        Plan,
        "where images are replicated to",
    ),
    Permission::of(
        "ecr:DescribePullThroughCacheRules",
        "*",
        Plan,
        "which repositories are caches, where the policy does not name them",
    ),
    Permission::of(
        "ecr:GetLifecyclePolicy",
        REPOSITORY,
        Advice,
        "warnings of lifecycle policies; without it only those are missing",
    ),
    Permission::of(
        "ecr:ListPullTimeUpdateExclusions",
        "*",
        Advice,
        "a warning when our own reads count as pulls, where pulls matter",
    ),
    Permission::of(
        "ecr:BatchDeleteImage",
        REPOSITORY,
        Apply,
        "deleting; in apply mode only",
    ),
    Permission::of(
        "ecr:UpdateImageStorageClass",
        REPOSITORY,
        SometimesToApply,
        "archiving, with `remove_by: archive`; in apply mode only",
    ),
    Permission::of("ecs:ListClusters", "*", Plan, "where users of images are"),
    Permission::of("ecs:ListServices", "*", Plan, "services"),
    Permission::of(
        "ecs:DescribeServices",
        "*",
        Plan,
        "their deployments, revisions and task sets",
    ),
    Permission::of(
        "ecs:ListServiceDeployments",
        "*",
        Plan,
        "what can be rolled back to",
    ),
    Permission::of(
        "ecs:DescribeServiceRevisions",
        "*",
        Plan,
        "the digests of deployments, also at zero",
    ),
    Permission::of(
        "ecs:ListTasks",
        "*",
        Plan,
        "running and recently stopped tasks",
    ),
    Permission::of("ecs:DescribeTasks", "*", Plan, "their digests"),
    Permission::of(
        "ecs:ListTaskDefinitions",
        "*",
        Plan,
        "the newest revisions of active families",
    ),
    Permission::of("ecs:DescribeTaskDefinition", "*", Plan, "their images"),
    Permission::of("ecs:ListDaemons", "*", Plan, "managed daemons"),
    Permission::of("ecs:DescribeDaemon", "*", Plan, "their present revisions"),
    Permission::of(
        "ecs:ListDaemonDeployments",
        "*",
        Plan,
        "what they can be rolled back to",
    ),
    Permission::of(
        "ecs:DescribeDaemonRevisions",
        "*",
        Plan,
        "their images and digests",
    ),
    Permission::of(
        "ecs:DescribeDaemonTaskDefinition",
        "*",
        Plan,
        "their images, while a digest is not recorded",
    ),
    Permission::of("events:ListEventBuses", "*", Plan, "where rules are"),
    Permission::of("events:ListRules", "*", Plan, "rules, disabled ones too"),
    Permission::of(
        "events:ListTargetsByRule",
        "*",
        Plan,
        "the task definitions that they start",
    ),
    Permission::of(
        "scheduler:ListSchedules",
        "*",
        Plan,
        "schedules, disabled ones too",
    ),
    Permission::of(
        "scheduler:GetSchedule",
        "*",
        Plan,
        "the task definitions that they start",
    ),
    Permission::of(
        "lambda:ListFunctions",
        "*",
        Plan,
        "functions made from images",
    ),
    Permission::of(
        "lambda:GetFunction",
        "arn:{partition}:lambda:{region}:{account}:function:*",
        Plan,
        "their images, version by version",
    ),
    READ_SWITCHES,
    READ_POLICY,
    Permission::of(
        "s3:GetObject",
        "*",
        Sometimes,
        "the policy, when it is in S3; restore points",
    ),
    Permission::of(
        "s3:ListBucket",
        "*",
        Sometimes,
        "restore points, when the policy names where they are",
    ),
    Permission::of(
        "sts:AssumeRole",
        "*",
        Sometimes,
        "the roles that the policy names elsewhere",
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
        "kms:GenerateDataKey*",
        "SNS encrypts for the publisher, where the topic has a key of yours",
    ),
    (
        "kms:Decrypt",
        "the same; and S3 and Parameter Store decrypt for the reader",
    ),
];

/// The permissions that a policy asks for beyond those that are always needed.
/// `partition`, `region` and `account` are those of the registry; what is given
/// for one repository after another is asked for on these.
pub fn asked_for(
    policy: &PruningPolicy,
    partition: &str,
    region: &str,
    account: &str,
    repositories: &[String],
) -> Vec<Asked> {
    let mut all = Vec::new();
    let mut ask = |action, resource| all.push(Asked::on(action, resource));
    for name in repositories {
        if policy.retention_of(name).remove_by == RemoveBy::Archive {
            let repository = format!("arn:{partition}:ecr:{region}:{account}:repository/{name}");
            ask("ecr:UpdateImageStorageClass", repository);
        }
    }
    for place in &policy.in_use.restore_points {
        let Some(S3Prefix { bucket, prefix }) = S3Prefix::parse(place) else {
            continue;
        };
        ask("s3:ListBucket", format!("arn:{partition}:s3:::{bucket}"));
        let objects = format!("arn:{partition}:s3:::{bucket}/{prefix}*");
        ask("s3:GetObject", objects);
    }
    for role in policy
        .in_use
        .elsewhere
        .iter()
        .filter_map(|e| e.role_arn.as_ref())
    {
        ask("sts:AssumeRole", role.clone());
    }
    all
}
