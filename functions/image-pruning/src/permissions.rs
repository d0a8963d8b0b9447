//! What image-pruning may have to ask AWS for. The README's table is this one.

use steward::permission::Needed::{Advice, Apply, Plan, Sometimes, SometimesToApply};
use steward::permission::{Asked, Needed, Permission};

use steward::policy::S3Prefix;

use crate::policy::{PruningPolicy, RemoveBy};

const REPOSITORY: &str = "arn:{partition}:ecr:{region}:{account}:repository/{unit}";
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

/// Every IAM action that image-pruning calls.
pub const PERMISSIONS: &[Permission] = &[
    of(
        "ecr:DescribeRepositories",
        "arn:{partition}:ecr:{region}:{account}:repository/*",
        Plan,
        "which repositories there are",
    ),
    of(
        "ecr:DescribeImages",
        REPOSITORY,
        Plan,
        "their images, with tags, times and subjects; again before acting",
    ),
    of("ecr:BatchGetImage", REPOSITORY, Plan, "what indexes list"),
    of("ecr:ListTagsForResource", REPOSITORY, Plan, "holds"),
    of(
        "ecr:GetRepositoryPolicy",
        REPOSITORY,
        Plan,
        "who outside the account may pull",
    ),
    of("ecr:GetRegistryPolicy", "*", Plan, "the same, for all"),
    of(
        "ecr:DescribeRegistry",
        "*",
        Plan,
        "where images are replicated to",
    ),
    of(
        "ecr:DescribePullThroughCacheRules",
        "*",
        Plan,
        "which repositories are caches, where the policy does not name them",
    ),
    of(
        "ecr:GetLifecyclePolicy",
        REPOSITORY,
        Advice,
        "warnings of lifecycle policies; without it only those are missing",
    ),
    of(
        "ecr:ListPullTimeUpdateExclusions",
        "*",
        Advice,
        "a warning when our own reads count as pulls, where pulls matter",
    ),
    of(
        "ecr:BatchDeleteImage",
        REPOSITORY,
        Apply,
        "deleting; in apply mode only",
    ),
    of(
        "ecr:UpdateImageStorageClass",
        REPOSITORY,
        SometimesToApply,
        "archiving, with `remove_by: archive`; in apply mode only",
    ),
    of("ecs:ListClusters", "*", Plan, "where users of images are"),
    of("ecs:ListServices", "*", Plan, "services"),
    of(
        "ecs:DescribeServices",
        "*",
        Plan,
        "their deployments, revisions and task sets",
    ),
    of(
        "ecs:ListServiceDeployments",
        "*",
        Plan,
        "what can be rolled back to",
    ),
    of(
        "ecs:DescribeServiceRevisions",
        "*",
        Plan,
        "the digests of deployments, also at zero",
    ),
    of(
        "ecs:ListTasks",
        "*",
        Plan,
        "running and recently stopped tasks",
    ),
    of("ecs:DescribeTasks", "*", Plan, "their digests"),
    of(
        "ecs:ListTaskDefinitions",
        "*",
        Plan,
        "the newest revisions of active families",
    ),
    of("ecs:DescribeTaskDefinition", "*", Plan, "their images"),
    of("ecs:ListDaemons", "*", Plan, "managed daemons"),
    of("ecs:DescribeDaemon", "*", Plan, "their present revisions"),
    of(
        "ecs:ListDaemonDeployments",
        "*",
        Plan,
        "what they can be rolled back to",
    ),
    of(
        "ecs:DescribeDaemonRevisions",
        "*",
        Plan,
        "their images and digests",
    ),
    of(
        "ecs:DescribeDaemonTaskDefinition",
        "*",
        Plan,
        "their images, while a digest is not recorded",
    ),
    of("events:ListEventBuses", "*", Plan, "where rules are"),
    of("events:ListRules", "*", Plan, "rules, disabled ones too"),
    of(
        "events:ListTargetsByRule",
        "*",
        Plan,
        "the task definitions that they start",
    ),
    of(
        "scheduler:ListSchedules",
        "*",
        Plan,
        "schedules, disabled ones too",
    ),
    of(
        "scheduler:GetSchedule",
        "*",
        Plan,
        "the task definitions that they start",
    ),
    of(
        "lambda:ListFunctions",
        "*",
        Plan,
        "functions made from images",
    ),
    of(
        "lambda:GetFunction",
        "arn:{partition}:lambda:{region}:{account}:function:*",
        Plan,
        "their images, version by version",
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
        "the policy, when it is in S3; restore points",
    ),
    of(
        "s3:ListBucket",
        "*",
        Sometimes,
        "restore points, when the policy names where they are",
    ),
    of(
        "sts:AssumeRole",
        "*",
        Sometimes,
        "the roles that the policy names elsewhere",
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
    let mut ask = |action, resource| all.push(Asked { action, resource });
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
