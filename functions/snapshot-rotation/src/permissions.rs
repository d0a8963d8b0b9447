//! What snapshot-rotation may have to ask AWS for. The README's table is this one.

use std::collections::BTreeSet;

use steward::permission::Needed::{Advice, Apply, Plan, Sometimes, SometimesToApply};
use steward::permission::{Asked, Needed, Permission};

use crate::policy::RotationPolicy;

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
        "arn:{partition}:rds:{region}:{account}:db:*",
        SometimesToApply,
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
        "the policy, when it is in S3",
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
    let asked = all.into_iter();
    asked
        .map(|(action, resource)| Asked { action, resource })
        .collect()
}
