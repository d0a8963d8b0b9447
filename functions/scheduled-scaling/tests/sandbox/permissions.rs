//! What the function asks of AWS is what its role allows, and nothing else: the calls
//! of an evening and a morning are recorded, and judged by the role as
//! `infra/automation.yaml` deploys it.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::ManagedScalingStatus;
use jiff::{SignedDuration, Timestamp};
use scheduled_scaling::{BEHIND_CALLS, Environments, PERMISSIONS, ScheduledScaling};
use serde_json::json;
use steward::permission::Needed;
use steward_sandbox::recorded::{Differences, Recorded, actions_of, differences};
use steward_sandbox::{Account, CalendarType, Decision, Role, Sandbox, Sizes};
use tokio::sync::OnceCell;

const POLICY: &str = "
version: 1
schedules:
  day: {periods: [{start: '08:00', stop: '20:00'}], change_calendars: [freeze]}
environments:
  dev:
    schedules: [day]
    members:
      databases: {databases: {include: ['*']}, snapshot: true}
      capacity: {groups: {include: ['*']}}
      services: {services: {include: ['*']}, needs: [databases, capacity]}
";

/// What AWS knows of each call of the function, beside the Region.
const CONTEXT: [(&str, &str); 5] = [
    ("aws:ResourceTag/steward:environment", "dev"),
    ("aws:TagKeys", "steward:parked"),
    ("dynamodb:LeadingKeys", "scheduled-scaling"),
    ("application-autoscaling:service-namespace", "ecs"),
    (
        "application-autoscaling:scalable-dimension",
        "ecs:service:DesiredCount",
    ),
];

/// Ticks until there is nothing left to do.
async fn ticks(
    account: &Account,
    outputs: &std::collections::BTreeMap<String, String>,
    from: &str,
) -> Vec<Recorded> {
    let function = outputs["ScheduledScalingFunctionName"].as_str();
    let role = outputs["ScheduledScalingRoleArn"].as_str();
    let mut now: Timestamp = from.parse().unwrap();
    let event = json!({"operation": "scale"});
    let mut runs = Vec::new();
    for _ in 0..20 {
        account.control().settle().await.unwrap();
        let recorded = account.record::<ScheduledScaling, _>(
            (function, role),
            now,
            |config, clock, ledger| Environments::at(config, ledger, clock),
            &event,
        );
        let recorded = recorded.await.unwrap();
        let report = &recorded.report;
        assert_eq!(report.summary.failed, 0, "{report:#?}");
        assert_eq!(report.gaps, [], "{report:#?}");
        let is_over = report.summary.planned == 0 && report.wait.is_none();
        runs.push(recorded);
        if is_over {
            return runs;
        }
        now += SignedDuration::from_mins(5);
    }
    panic!("it never ends: {:#?}", runs.last().unwrap().report);
}

/// An afternoon, an evening and a morning, the last with the policy in S3.
async fn record() -> Vec<Recorded> {
    let account = Sandbox::shared().unwrap().account();
    let mut environment = account.environment("dev").await.unwrap();
    environment.database("shop-db").await.unwrap();
    let sizes = Sizes {
        min: 1,
        desired: 2,
        max: 4,
    };
    let scaling = ManagedScalingStatus::Enabled;
    environment.capacity("shop", sizes, scaling).await.unwrap();
    let web = environment.balanced_service("web", 3).await.unwrap();
    web.scale_between(2, 6).await.unwrap();
    let open = CalendarType::DefaultOpen;
    account.calendar("freeze", open, &[]).await.unwrap();
    let bucket = format!("policies-{}", account.id());
    let s3 = account.s3();
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    let put = s3.put_object().bucket(&bucket).key("scaling.yaml");
    put.body(POLICY.as_bytes().to_vec().into())
        .send()
        .await
        .unwrap();

    let key = account.key().await.unwrap();
    let object = format!("{bucket}/scaling.yaml");
    let mut parameters = vec![
        ("ScheduledScalingMode", "apply"),
        ("ScheduledScalingPolicy", POLICY),
        ("ScheduledScalingEnvironments", "dev,test*"),
        ("ScheduledScalingSnapshots", "true"),
        ("ScheduledScalingKeys", key.as_str()),
    ];
    let outputs = account.automation(&parameters).await.unwrap();
    let mut runs = ticks(&account, &outputs, "2026-11-23T15:00:00Z").await;
    runs.extend(ticks(&account, &outputs, "2026-11-23T20:00:00Z").await);
    assert_eq!(web.counts().await.unwrap(), (0, 0, 0));
    parameters.push(("ScheduledScalingPolicyObject", &object));
    let outputs = account.automation(&parameters).await.unwrap();
    runs.extend(ticks(&account, &outputs, "2026-11-24T08:00:00Z").await);
    assert_eq!(web.counts().await.unwrap(), (3, 3, 0));
    runs
}

async fn recorded() -> &'static [Recorded] {
    static RUNS: OnceCell<Vec<Recorded>> = OnceCell::const_new();
    RUNS.get_or_init(|| Box::pin(record())).await
}

async fn called() -> BTreeSet<String> {
    actions_of(recorded().await.iter().flat_map(Recorded::own))
}

#[tokio::test]
async fn the_role_allows_what_is_called_and_nothing_else() {
    let runs = recorded().await.iter();
    let allowed = runs.flat_map(|run| run.role.allowed_actions()).collect();
    let found = differences(&called().await, &allowed, BEHIND_CALLS);
    assert_eq!(found, Differences::default());
}

#[tokio::test]
async fn the_list_of_permissions_is_what_is_called_and_says_on_what() {
    let listed = PERMISSIONS
        .iter()
        .map(|permission| permission.action.to_owned())
        .collect();
    assert_eq!(called().await, listed);
    for run in recorded().await {
        let mut unlisted = run.unlisted(PERMISSIONS);
        // It says so in words, of the snapshots that are made.
        unlisted.retain(|(action, arn)| {
            action != "rds:CreateDBSnapshot" || !arn.contains(":snapshot:steward-")
        });
        assert_eq!(unlisted, []);
    }
}

#[tokio::test]
async fn the_simulation_allows_each_recorded_call_on_what_it_names() {
    let mut scoped = BTreeSet::new();
    for run in recorded().await {
        assert_eq!(run.role.denies(run.own(), &CONTEXT).await.unwrap(), []);
        scoped.extend(run.asked().into_iter().filter(|(_, arn)| *arn != "*"));
    }
    assert!(scoped.len() > 20, "{scoped:?}");
}

/// The writes of the function, each on something of the account.
fn writes(id: &str) -> Vec<(&'static str, String)> {
    let of = |service: &str, rest: &str| format!("arn:aws:{service}:us-east-1:{id}:{rest}");
    let service = of("ecs", "service/dev/web");
    let group = of(
        "autoscaling",
        "autoScalingGroup:0a1b:autoScalingGroupName/shop",
    );
    let database = of("rds", "db:shop-db");
    vec![
        ("ecs:UpdateService", service.clone()),
        ("ecs:TagResource", service.clone()),
        ("ecs:UntagResource", service),
        ("autoscaling:UpdateAutoScalingGroup", group.clone()),
        ("autoscaling:CreateOrUpdateTags", group.clone()),
        ("autoscaling:DeleteTags", group),
        ("rds:StopDBInstance", database.clone()),
        ("rds:StartDBInstance", database.clone()),
        ("rds:AddTagsToResource", database.clone()),
        ("rds:RemoveTagsFromResource", database.clone()),
        ("rds:CreateDBSnapshot", database),
        (
            "application-autoscaling:RegisterScalableTarget",
            of("application-autoscaling", "scalable-target/0a1b"),
        ),
        ("dynamodb:PutItem", of("dynamodb", "table/steward-ledger")),
        (
            "dynamodb:DeleteItem",
            of("dynamodb", "table/steward-ledger"),
        ),
    ]
}

/// [`CONTEXT`] with other values, and without those that are empty.
fn context(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let mut all = CONTEXT.to_vec();
    for (key, value) in changes {
        all.retain(|(other, _)| other != key);
        if !value.is_empty() {
            all.push((key, value));
        }
    }
    all
}

/// What of these the role may do.
async fn may(
    role: &Role,
    asked: &[(&'static str, String)],
    changes: &[(&'static str, &'static str)],
) -> BTreeSet<&'static str> {
    let context = context(changes);
    let mut allowed = BTreeSet::new();
    for (action, resource) in asked {
        let judged = role.judge_in(action, resource, &context).await.unwrap();
        if judged == Decision::Allowed {
            allowed.insert(*action);
        }
    }
    allowed
}

#[tokio::test]
async fn only_what_has_the_tag_of_an_environment_is_changed() {
    let Recorded { account, role, .. } = &recorded().await[0];
    let writes = writes(account.id());
    let all: BTreeSet<&str> = writes.iter().map(|(action, _)| *action).collect();
    assert_eq!(may(role, &writes, &[]).await, all);
    let tag = "aws:ResourceTag/steward:environment";
    assert_eq!(may(role, &writes, &[(tag, "test-2")]).await, all);

    // IAM knows no environment of a scalable target or of the ledger.
    let without: BTreeSet<&str> = [
        "application-autoscaling:RegisterScalableTarget",
        "dynamodb:PutItem",
        "dynamodb:DeleteItem",
    ]
    .into();
    for value in ["production", "devs", ""] {
        assert_eq!(
            may(role, &writes, &[(tag, value)]).await,
            without,
            "{value}"
        );
    }

    // Of all tags it sets the mark of what it parked.
    let tagging: BTreeSet<&str> = all
        .iter()
        .copied()
        .filter(|action| action.to_lowercase().contains("tag"))
        .collect();
    assert_eq!(tagging.len(), 6);
    let others = &all - &tagging;
    for key in ["steward:environment", "steward:hold", "Name"] {
        let may = may(role, &writes, &[("aws:TagKeys", key)]).await;
        assert_eq!(may, others, "{key}");
    }
}

#[tokio::test]
async fn what_is_on_hold_or_cannot_wake_again_is_denied() {
    let Recorded { account, role, .. } = &recorded().await[0];
    let writes = writes(account.id());
    for (key, value, frozen) in [
        (
            "aws:ResourceTag/steward:hold",
            "audit",
            &[
                "ecs:UpdateService",
                "autoscaling:UpdateAutoScalingGroup",
                "rds:StopDBInstance",
                "rds:StartDBInstance",
                "rds:CreateDBSnapshot",
            ][..],
        ),
        (
            "autoscaling:MaxSize",
            "0",
            &["autoscaling:UpdateAutoScalingGroup"],
        ),
    ] {
        let mut denied = BTreeSet::new();
        for (action, resource) in &writes {
            let context = context(&[(key, value)]);
            let judged = role.judge_in(action, resource, &context).await.unwrap();
            if judged == Decision::Denied {
                denied.insert(*action);
            }
        }
        assert_eq!(denied, frozen.iter().copied().collect(), "{key}");
    }
    let group = may(role, &writes, &[("autoscaling:MaxSize", "4")]).await;
    assert!(group.contains("autoscaling:UpdateAutoScalingGroup"));
}

#[tokio::test]
async fn of_the_ledger_it_writes_its_own_part_and_reads_what_was_raised() {
    let Recorded { account, role, .. } = &recorded().await[0];
    let table = |name: &str| format!("arn:aws:dynamodb:us-east-1:{}:table/{name}", account.id());
    let asked = [
        "dynamodb:Query",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:DeleteItem",
        "dynamodb:UpdateItem",
        "dynamodb:BatchWriteItem",
        "dynamodb:Scan",
        "dynamodb:DeleteTable",
        "dynamodb:UpdateTable",
    ];
    let on = |name: &str| asked.map(|action| (action, table(name)));
    for (partition, allowed) in [
        ("scheduled-scaling", &asked[..4]),
        ("raises", &asked[..2]),
        ("alarm-remediation", &[]),
    ] {
        let keys = [("dynamodb:LeadingKeys", partition)];
        let may = may(role, &on("steward-ledger"), &keys).await;
        assert_eq!(may, allowed.iter().copied().collect(), "{partition}");
    }
    assert_eq!(may(role, &on("orders"), &[]).await, BTreeSet::new());
}

#[tokio::test]
async fn a_role_that_may_park_may_do_nothing_beside() {
    let Recorded { account, role, .. } = &recorded().await[0];
    let id = account.id();
    let of = |service: &str, rest: &str| format!("arn:aws:{service}:us-east-1:{id}:{rest}");
    let service = of("ecs", "service/dev/web");
    let group = of(
        "autoscaling",
        "autoScalingGroup:0a1b:autoScalingGroupName/shop",
    );
    let database = of("rds", "db:shop-db");
    let snapshot = of("rds", "snapshot:steward-shop-db-3q4r5s-20261123-0302");
    let asked = [
        ("ecs:DeleteService", service.clone()),
        ("ecs:CreateService", service),
        ("ecs:RunTask", of("ecs", "task-definition/web:1")),
        ("ecs:StopTask", of("ecs", "task/dev/0a1b")),
        ("ecs:UpdateCluster", of("ecs", "cluster/dev")),
        ("autoscaling:DeleteAutoScalingGroup", group.clone()),
        ("autoscaling:SetDesiredCapacity", group.clone()),
        ("autoscaling:SuspendProcesses", group.clone()),
        ("autoscaling:TerminateInstanceInAutoScalingGroup", group),
        ("rds:DeleteDBInstance", database.clone()),
        ("rds:ModifyDBInstance", database.clone()),
        ("rds:RebootDBInstance", database.clone()),
        ("rds:StopDBCluster", of("rds", "cluster:shop")),
        ("rds:CreateDBSnapshot", of("rds", "snapshot:nightly")),
        ("rds:DeleteDBSnapshot", snapshot.clone()),
        ("rds:ModifyDBSnapshotAttribute", snapshot.clone()),
        ("rds:RemoveTagsFromResource", snapshot),
        (
            "application-autoscaling:DeregisterScalableTarget",
            of("application-autoscaling", "scalable-target/0a1b"),
        ),
        (
            "application-autoscaling:PutScalingPolicy",
            of("application-autoscaling", "scalable-target/0a1b"),
        ),
        ("ec2:TerminateInstances", of("ec2", "instance/i-0a1b")),
        ("ssm:GetParameter", of("ssm", "parameter/shop/settings")),
        ("ssm:GetDocument", of("ssm", "document/freeze")),
        (
            "ssm:PutParameter",
            of("ssm", "parameter/steward/kill-switch/all"),
        ),
        (
            "ssm:PutParameter",
            of("ssm", "parameter/steward/policy/scheduled-scaling"),
        ),
        (
            "lambda:UpdateFunctionConfiguration",
            of("lambda", "function:steward-scheduled-scaling"),
        ),
        ("s3:GetObject", "arn:aws:s3:::somebody-elses/a".to_owned()),
        ("sns:Publish", of("sns", "somebody-elses")),
        ("sts:AssumeRole", format!("arn:aws:iam::{id}:role/admin")),
        ("iam:PassRole", format!("arn:aws:iam::{id}:role/admin")),
        // Without the service that its conditions name.
        ("kms:Decrypt", of("kms", "key/0a1b")),
        ("kms:CreateGrant", of("kms", "key/0a1b")),
    ];
    assert_eq!(may(role, &asked, &[]).await, BTreeSet::new());
    // What is scaled and is no service, such as a table.
    let register = &writes(id)[11..12];
    assert!(register[0].0.ends_with("RegisterScalableTarget"));
    for (key, value) in [
        ("application-autoscaling:service-namespace", "dynamodb"),
        (
            "application-autoscaling:scalable-dimension",
            "dynamodb:table:ReadCapacityUnits",
        ),
    ] {
        let may = may(role, register, &[(key, value)]).await;
        assert_eq!(may, BTreeSet::new(), "{value}");
    }
    // Of another account.
    let elsewhere = writes("210987654321");
    assert_eq!(may(role, &elsewhere, &[]).await, BTreeSet::new());
}

#[tokio::test]
async fn in_plan_mode_neither_the_function_nor_a_person_may_write() {
    let account = Sandbox::shared().unwrap().account();
    let parameters = [
        ("ScheduledScalingSnapshots", "true"),
        ("ScheduledScalingEnvironments", "dev"),
    ];
    let outputs = account.automation(&parameters).await.unwrap();
    let asked = writes(account.id());
    let writes = asked.iter().map(|(action, _)| *action).collect();
    let listed = PERMISSIONS.iter().filter(|permission| {
        let writes = matches!(permission.needed, Needed::Apply | Needed::SometimesToApply);
        writes && !permission.action.contains(":Get")
    });
    let listed: BTreeSet<&str> = listed.map(|permission| permission.action).collect();
    assert_eq!(listed, writes);
    for role in ["ScheduledScalingRoleArn", "PlanRoleArn"] {
        let role = account.role(&outputs[role]).await.unwrap();
        assert_eq!(may(&role, &asked, &[]).await, BTreeSet::new());
        // What a plan reads is there.
        for permission in PERMISSIONS {
            let reads = matches!(permission.needed, Needed::Plan | Needed::Sometimes);
            let of_this =
                !["ssm:GetParameter", "s3:GetObject", "sns:Publish"].contains(&permission.action);
            if reads && of_this {
                let on = permission.resource("aws", "us-east-1", account.id(), "*");
                let judged = role.judge_in(permission.action, &on, &CONTEXT).await;
                assert_eq!(judged.unwrap(), Decision::Allowed, "{}", permission.action);
            }
        }
    }
}
