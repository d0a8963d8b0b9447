//! What scheduled-scaling may have to ask AWS for. The README's table is this one.

use steward::names::ENVIRONMENT;
use steward::permission::Needed::{Apply, Plan, Sometimes, SometimesToApply};
use steward::permission::{
    Asked, Behind, CREATE_LOG_STREAM, LEAVE_FAILED_RUNS, NOTIFY, PUT_LOG_EVENTS, PUT_TELEMETRY,
    PUT_TRACE_SEGMENTS, Permission, READ_POLICY, READ_SWITCHES,
};

use crate::policy::{Member, ScalingPolicy};

const TABLE: &str = "arn:{partition}:dynamodb:{region}:{account}:table/steward-ledger";
const SERVICES: &str = "arn:{partition}:ecs:{region}:{account}:service/*";
const GROUPS: &str =
    "arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/*";
const DATABASES: &str = "arn:{partition}:rds:{region}:{account}:db:*";
const SNAPSHOTS: &str = "arn:{partition}:rds:{region}:{account}:snapshot:steward-*";
const CALENDARS: &str = "arn:{partition}:ssm:{region}:{account}:document/*";
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
        CALENDARS,
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
pub const BEHIND_CALLS: &[Behind] = &[
    CREATE_LOG_STREAM,
    PUT_LOG_EVENTS,
    PUT_TRACE_SEGMENTS,
    PUT_TELEMETRY,
    LEAVE_FAILED_RUNS,
    (
        "kms:GenerateDataKey*",
        "SNS, DynamoDB and RDS encrypt for the caller, where a key of yours is used",
    ),
    (
        "kms:Decrypt",
        "DynamoDB, RDS, S3 and Parameter Store decrypt for the caller, where a key of yours is used",
    ),
    (
        "kms:CreateGrant",
        "RDS starts encrypted databases in the name of the caller (\"AWS KMS key management\", \
         Amazon RDS User Guide)",
    ),
    ("kms:DescribeKey", "the same"),
];

/// How many environments of a policy are asked about, one by one.
const ENVIRONMENTS: usize = 5;

/// What a policy has members of.
struct Kinds {
    services: bool,
    groups: bool,
    databases: bool,
    snapshots: bool,
}

impl Kinds {
    fn of(members: &[Member]) -> Self {
        let has = |is: fn(&Member) -> bool| members.iter().any(is);
        Self {
            services: has(|member| member.services.is_some()),
            groups: has(|member| member.groups.is_some()),
            databases: has(|member| member.databases.is_some()),
            snapshots: has(|member| member.snapshot),
        }
    }

    /// Whether a permission is needed for them.
    fn ask_for(&self, permission: &Permission) -> bool {
        let (service, operation) = permission.action.split_once(':').unwrap_or_default();
        let of_instances = operation.contains("ContainerInstances");
        let of_clusters = of_instances || operation == "DescribeClusters";
        match (service, operation) {
            ("ecs", "ListClusters") => self.services || self.groups,
            ("ecs", "DescribeCapacityProviders") => self.groups,
            ("ecs", _) if of_clusters => self.groups,
            ("ecs" | "application-autoscaling" | "elasticloadbalancing", _) => self.services,
            ("autoscaling", _) => self.groups,
            ("rds", "DescribeDBSnapshots" | "CreateDBSnapshot") => self.snapshots,
            ("rds", _) => self.databases,
            _ => false,
        }
    }
}

/// The permissions that a policy asks for beyond those that are always needed. What
/// changes resources is asked for by the tag of their environment, of these
/// environments, or where none is named of the first; not for members without
/// the tag.
pub fn asked_for(
    policy: &ScalingPolicy,
    partition: &str,
    region: &str,
    account: &str,
    environments: &[String],
) -> Vec<Asked> {
    let on = |permission: &Permission| permission.resource(partition, region, account, "");
    let by_tag = |permission: &Permission| matches!(permission.on, SERVICES | GROUPS | DATABASES);
    let members = policy.environments.values();
    let members: Vec<Member> = members
        .flat_map(|environment| environment.members().into_values())
        .collect();
    let all = Kinds::of(&members);
    let mut schedules = policy.schedules.values();
    let calendars = schedules.any(|schedule| !schedule.change_calendars.is_empty());
    let of_all = PERMISSIONS.iter().filter(|permission| {
        let of_calendars = permission.action == "ssm:GetCalendarState" && calendars;
        !by_tag(permission) && (all.ask_for(permission) || of_calendars)
    });
    let mut asked: Vec<Asked> = of_all
        .map(|permission| Asked::on(permission.action, on(permission)))
        .collect();
    if all.snapshots {
        let snapshot = on(&Permission::of("", SNAPSHOTS, Sometimes, ""));
        let actions = ["rds:CreateDBSnapshot", "rds:AddTagsToResource"];
        asked.extend(actions.map(|action| Asked::on(action, snapshot.clone())));
    }
    let named = |name: &String| environments.is_empty() || environments.contains(name);
    let some = policy.environments.iter().filter(|(name, _)| named(name));
    for (name, environment) in some.take(ENVIRONMENTS) {
        let members = environment.members().into_values();
        let members: Vec<Member> = members.filter(|member| !member.untagged).collect();
        let kinds = Kinds::of(&members);
        let writes = PERMISSIONS.iter().filter(|permission| by_tag(permission));
        let writes = writes.filter(|permission| kinds.ask_for(permission));
        asked.extend(writes.map(|permission| Asked {
            tag: Some((ENVIRONMENT, Some(name.clone()))),
            ..Asked::on(permission.action, on(permission))
        }));
    }
    asked
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn policy(environments: Value) -> ScalingPolicy {
        serde_json::from_value(json!({ "environments": environments })).unwrap()
    }

    fn asked(policy: &ScalingPolicy, environments: &[&str]) -> BTreeSet<String> {
        let environments: Vec<String> = environments.iter().map(ToString::to_string).collect();
        let asked = asked_for(policy, "aws", "eu-west-1", "123456789012", &environments);
        let told = asked.iter().map(|asked| {
            let tag = asked.tag.as_ref();
            let tag = tag.map(|(key, value)| format!(" {key}={}", value.as_ref().unwrap()));
            format!("{}{}", asked.action, tag.unwrap_or_default())
        });
        told.collect()
    }

    #[test]
    fn what_a_policy_has_is_asked_for_and_nothing_else() {
        let only = |kind: &str| {
            let members = json!({ "all": { kind: { "include": ["*"] } } });
            policy(json!({ "dev": { "schedules": [], "members": members } }))
        };
        for (kind, expected, not) in [
            (
                "services",
                "ecs:UpdateService steward:environment=dev",
                "rds:",
            ),
            (
                "groups",
                "autoscaling:UpdateAutoScalingGroup steward:environment=dev",
                "ecs:UpdateService",
            ),
            (
                "databases",
                "rds:StopDBInstance steward:environment=dev",
                "ecs:",
            ),
        ] {
            let asked = asked(&only(kind), &[]);
            assert!(asked.contains(expected), "{asked:?}");
            assert!(!asked.iter().any(|one| one.starts_with(not)), "{asked:?}");
            assert!(
                !asked.iter().any(|one| one.contains("Snapshot")),
                "{asked:?}"
            );
        }
    }

    #[test]
    fn changes_are_asked_for_by_the_tags_of_some_environments() {
        let environments: serde_json::Map<String, Value> = (0..9)
            .map(|n| (format!("env-{n}"), json!({ "schedules": [] })))
            .collect();
        let policy = policy(Value::Object(environments));
        let tagged = |environments: &[&str]| -> BTreeSet<String> {
            let asked = asked(&policy, environments).into_iter();
            asked
                .filter_map(|one| Some(one.split_once("steward:environment=")?.1.to_owned()))
                .collect()
        };
        assert_eq!(tagged(&["env-7", "gone"]), ["env-7".to_owned()].into());
        assert_eq!(tagged(&[]).len(), ENVIRONMENTS);
    }

    #[test]
    fn members_without_the_tag_are_not_asked_for_by_it() {
        let members = json!({ "all": {
            "services": { "include": ["shop/*"] }, "untagged": true, "snapshot": true,
        } });
        let policy = policy(json!({ "dev": { "schedules": [], "members": members } }));
        let asked = asked(&policy, &[]);
        assert!(asked.contains("ecs:DescribeServices"), "{asked:?}");
        assert!(asked.contains("rds:CreateDBSnapshot"), "{asked:?}");
        assert!(!asked.iter().any(|one| one.contains('=')), "{asked:?}");
    }
}
