//! What the function asks of AWS is what its role allows, and nothing else: the calls of
//! runs that together do every remedy, take back and approve are recorded, and judged by
//! the role as `infra/automation.yaml` deploys it.

use std::collections::{BTreeMap, BTreeSet};

use alarm_remediation::{AlarmRemediation, Alarms, BEHIND_CALLS, PERMISSIONS};
use aws_sdk_cloudwatch::types::MetricDataQuery;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward::engine::Clock;
use steward::report::ActionOutcome;
use steward_sandbox::recorded::{Differences, Recorded, actions_of, differences};
use steward_sandbox::{Account, Alarm, Decision, Role, Sandbox, Trouble, TroubleKind};
use tokio::sync::OnceCell;

use crate::shop::{EVERYTHING, Shop, of_targets};

/// What AWS knows of each call of the function, beside the Region.
const CONTEXT: [(&str, &str); 4] = [
    ("aws:ResourceTag/steward:environment", "dev"),
    ("dynamodb:LeadingKeys", "alarm-remediation"),
    ("application-autoscaling:service-namespace", "ecs"),
    (
        "application-autoscaling:scalable-dimension",
        "ecs:service:DesiredCount",
    ),
];

/// An account with the stack, and runs of the function in it.
struct Scene {
    account: Account,
    outputs: BTreeMap<String, String>,
    now: Timestamp,
    runs: Vec<Recorded>,
}

impl Scene {
    async fn new(account: Account, parameters: &[(&str, &str)]) -> Self {
        let outputs = account.automation(parameters).await.unwrap();
        Self {
            account,
            outputs,
            now: Clock::System.now(),
            runs: Vec::new(),
        }
    }

    async fn run(&mut self, event: Value) {
        let function = self.outputs["AlarmRemediationFunctionName"].as_str();
        let role = self.outputs["AlarmRemediationRoleArn"].as_str();
        let recorded = self.account.record::<AlarmRemediation, _>(
            (function, role),
            self.now,
            |config, clock, ledger| Alarms::at(config, ledger, clock),
            &event,
        );
        let recorded = Box::pin(recorded).await.unwrap();
        assert_eq!(recorded.report.summary.failed, 0, "{:#?}", recorded.report);
        assert_eq!(recorded.report.gaps, [], "{:#?}", recorded.report);
        self.runs.push(recorded);
    }

    /// What an alarm wakes.
    async fn on(&mut self, alarm: &Alarm) {
        alarm.ring().await.unwrap();
        let event = json!({"operation": "remediate", "alarms": [alarm.name()]});
        self.run(event).await;
    }

    /// Ticks, an hour apart.
    async fn ticks(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.account.control().settle().await.unwrap();
            self.now += SignedDuration::from_hours(1);
            self.run(json!({"operation": "remediate"})).await;
        }
    }

    /// All of these kinds were done.
    fn has_done(&self, kinds: &[&str]) {
        let lines = self.runs.iter().flat_map(|run| &run.report.actions);
        let done = lines.filter(|line| line.outcome == ActionOutcome::Done);
        let done: BTreeSet<&str> = done.map(|line| line.kind.as_str()).collect();
        for kind in kinds {
            assert!(done.contains(kind), "{kind}: {done:?}");
        }
    }
}

async fn account() -> (Account, Shop) {
    let account = Sandbox::shared().unwrap().account();
    let shop = Box::pin(Shop::new(&account)).await;
    (account, shop)
}

/// Services: raised, alone and by their bounds, stopped, replaced, taken back.
async fn of_services() -> Vec<Recorded> {
    let (account, shop) = Box::pin(account()).await;
    // What goes back to what ran before waits for a person.
    let policy = EVERYTHING.replace("approval: false", "approval: true");
    let parameters = parameters(&policy);
    let scene = Scene::new(account.clone(), &parameters);
    let mut scene = Box::pin(scene).await;
    let alarms = [
        Box::pin(busy(&mut scene, &shop)).await,
        Box::pin(badly_deployed(&mut scene, &shop)).await,
        Box::pin(unhealthy(&mut scene, &shop)).await,
    ];
    for alarm in alarms.iter().flatten() {
        alarm.calm().await.unwrap();
    }
    Box::pin(scene.ticks(4)).await;
    Box::pin(released(&mut scene, &shop)).await;
    scene.has_done(&[
        "raise_service",
        "stop_deployment",
        "replace_tasks",
        "roll_back",
        "take_back",
        "close_case",
    ]);
    scene.runs
}

/// One that Application Auto Scaling scales, and one that nothing does.
async fn busy(scene: &mut Scene, shop: &Shop) -> Vec<Alarm> {
    let worker = shop.environment.service("worker", 2).await.unwrap();
    let mut alarms = Vec::new();
    for (service, metric) in [
        (&shop.web, "CPUUtilization"),
        (&worker, "MemoryUtilization"),
    ] {
        let alarm = service.alarm(service.name(), metric, &[]).await.unwrap();
        Box::pin(scene.on(&alarm)).await;
        alarms.push(alarm);
    }
    alarms
}

async fn badly_deployed(scene: &mut Scene, shop: &Shop) -> Vec<Alarm> {
    let broken = shop.environment.balanced_service("broken", 2).await;
    let broken = broken.unwrap();
    scene.account.control().settle().await.unwrap();
    let start = Trouble {
        kind: TroubleKind::Start,
        ..Trouble::default()
    };
    broken.deploy_broken(start).await.unwrap();
    let alarm = of_targets(&broken, "broken-unwell", "UnHealthyHostCount").await;
    Box::pin(scene.on(&alarm)).await;
    vec![alarm]
}

async fn unhealthy(scene: &mut Scene, shop: &Shop) -> Vec<Alarm> {
    let sick = shop.environment.balanced_service("sick", 2).await;
    let sick = sick.unwrap();
    scene.account.control().settle().await.unwrap();
    sick.sicken_tasks().await.unwrap();
    let alarm = of_targets(&sick, "sick-unwell", "UnHealthyHostCount").await;
    Box::pin(scene.on(&alarm)).await;
    vec![alarm]
}

/// A release that a person approves to go back behind.
async fn released(scene: &mut Scene, shop: &Shop) {
    let image = format!("{}/web:2", scene.account.registry());
    let revision = scene.account.task_definition("web", &image).await.unwrap();
    shop.web.deploy(&revision).await.unwrap();
    scene.account.control().settle().await.unwrap();
    let alarm = of_targets(&shop.web, "web-errors", "HTTPCode_Target_5XX_Count").await;
    scene.now = Clock::System.now() + SignedDuration::from_mins(1);
    Box::pin(scene.on(&alarm)).await;
    let approval = json!({"operation": "approve", "case": "web-errors"});
    Box::pin(scene.run(approval)).await;
}

/// Capacity and databases, with the policy in S3: a group without room, storage, an
/// instance without an agent; time series, and a sweep.
async fn of_capacity() -> Vec<Recorded> {
    let (account, shop) = Box::pin(account()).await;
    let bucket = format!("policies-{}", account.id());
    let s3 = account.s3();
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    let put = s3.put_object().bucket(&bucket).key("remediation.yaml");
    let body = EVERYTHING.as_bytes().to_vec();
    put.body(body.into()).send().await.unwrap();
    let object = format!("{bucket}/remediation.yaml");
    let mut parameters = parameters(EVERYTHING).to_vec();
    parameters.push(("AlarmRemediationPolicyObject", &object));
    let scene = Scene::new(account.clone(), &parameters);
    let mut scene = Box::pin(scene).await;
    Box::pin(without_room(&mut scene)).await;
    Box::pin(full(&mut scene, &shop)).await;
    Box::pin(scene.ticks(3)).await;
    // One comes back after it was drained, another does not.
    for comes_back in [true, false] {
        Box::pin(lost(&mut scene, &shop, comes_back)).await;
    }
    scene.has_done(&[
        "raise_group",
        "drain_instance",
        "use_instance",
        "replace_instance",
        "grow_storage",
        "take_back",
    ]);
    scene.runs
}

/// A time series of an alarm, which a sweep finds.
async fn without_room(scene: &mut Scene) {
    let query = "SELECT AVG(CPUReservation) FROM SCHEMA(\"AWS/ECS\", ClusterName) \
                 GROUP BY ClusterName";
    let query = MetricDataQuery::builder().id("q1").expression(query);
    let query = query.period(60).return_data(true).build();
    let made = scene.account.alarm_with("no-room", |it| it.metrics(query));
    made.await.unwrap();
    for (state, event) in [
        ("ALARM", json!({"operation": "sweep"})),
        ("OK", json!({"operation": "remediate"})),
    ] {
        let control = scene.account.control();
        let edited = control.edit_contributor("no-room", &[("ClusterName", "dev")], state);
        edited.await.unwrap();
        Box::pin(scene.run(event)).await;
    }
}

/// A database without storage, and one that is only told of.
async fn full(scene: &mut Scene, shop: &Shop) {
    shop.environment.database("shop-db").await.unwrap();
    scene.account.control().settle().await.unwrap();
    for metric in ["FreeStorageSpace", "CPUUtilization"] {
        let dimensions = [("DBInstanceIdentifier", "shop-db")];
        let made = scene
            .account
            .alarm(metric, ("AWS/RDS", metric), &dimensions, &[]);
        let alarm = made.await.unwrap();
        Box::pin(scene.on(&alarm)).await;
        alarm.calm().await.unwrap();
    }
}

/// An instance whose agent is lost.
async fn lost(scene: &mut Scene, shop: &Shop, comes_back: bool) {
    let instances = shop.environment.container_instances().await.unwrap();
    let one = instances.iter().find(|it| it.status() == Some("ACTIVE"));
    let one = one.unwrap();
    let arn = one.container_instance_arn().unwrap();
    shop.environment.edit_agent(arn, false).await.unwrap();
    let event = json!({
        "detail-type": "ECS Container Instance State Change", "source": "aws.ecs",
        "account": scene.account.id(), "region": scene.account.region_name(),
        "time": "2026-11-23T12:00:00Z", "resources": [arn],
        "detail": {
            "agentConnected": false, "clusterArn": "arn:aws:ecs:us-east-1:1:cluster/dev",
            "containerInstanceArn": arn, "ec2InstanceId": one.ec2_instance_id().unwrap(),
            "status": "ACTIVE",
        },
    });
    Box::pin(scene.run(event)).await;
    scene.now += SignedDuration::from_mins(16);
    Box::pin(scene.run(json!({}))).await;
    if comes_back {
        shop.environment.edit_agent(arn, true).await.unwrap();
    }
    Box::pin(scene.ticks(3)).await;
}

fn parameters(policy: &str) -> [(&str, &str); 5] {
    [
        ("AlarmRemediationMode", "apply"),
        ("AlarmRemediationPolicy", policy),
        ("AlarmRemediationEnvironments", "dev,test*"),
        ("AlarmRemediationGrowsStorage", "true"),
        (
            "AlarmRemediationTaskRoles",
            "arn:aws:iam::123456789012:role/shop-*",
        ),
    ]
}

async fn recorded() -> &'static [Recorded] {
    static RUNS: OnceCell<Vec<Recorded>> = OnceCell::const_new();
    RUNS.get_or_init(|| {
        Box::pin(async {
            let mut runs = Box::pin(of_services()).await;
            runs.extend(Box::pin(of_capacity()).await);
            runs
        })
    })
    .await
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
        // The other half of the end of a deployment.
        unlisted.retain(|(action, arn)| {
            action != "ecs:StopServiceDeployment" || !arn.contains(":service/")
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

#[tokio::test]
async fn a_role_to_plan_reads_and_tells() {
    let account = Sandbox::shared().unwrap().account();
    let mut planning = parameters(EVERYTHING);
    planning[0].1 = "plan";
    let outputs = account.automation(&planning).await.unwrap();
    let role = account.role(&outputs["AlarmRemediationRoleArn"]).await;
    let mut allowed = role.unwrap().allowed_actions();
    allowed.retain(|action| {
        let (_, verb) = action.split_once(':').unwrap();
        let reads = ["Describe", "List", "Get", "Query"];
        !reads.iter().any(|read| verb.starts_with(read))
    });
    let telling = [
        "kms:Decrypt",
        "kms:GenerateDataKey*",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sns:Publish",
        "sqs:SendMessage",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    ];
    assert_eq!(
        allowed.iter().map(String::as_str).collect::<Vec<_>>(),
        telling
    );
}

/// The writes of the function, each on something of the account.
fn writes(id: &str) -> Vec<(&'static str, String)> {
    let of = |service: &str, rest: &str| format!("arn:aws:{service}:us-east-1:{id}:{rest}");
    let group = of(
        "autoscaling",
        "autoScalingGroup:0a1b:autoScalingGroupName/shop",
    );
    vec![
        ("ecs:UpdateService", of("ecs", "service/dev/web")),
        ("ecs:StopServiceDeployment", of("ecs", "service/dev/web")),
        ("ecs:StopTask", of("ecs", "task/dev/0a1b")),
        (
            "ecs:UpdateContainerInstancesState",
            of("ecs", "container-instance/dev/0a1b"),
        ),
        ("autoscaling:UpdateAutoScalingGroup", group.clone()),
        ("autoscaling:SetInstanceHealth", group),
        ("rds:ModifyDBInstance", of("rds", "db:shop-db")),
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
async fn only_what_has_the_tag_of_an_environment_is_changed_and_nothing_on_hold() {
    let Recorded { account, role, .. } = &recorded().await[0];
    let writes = writes(account.id());
    let all: BTreeSet<&str> = writes.iter().map(|(action, _)| *action).collect();
    let tag = "aws:ResourceTag/steward:environment";
    for value in ["dev", "test-2"] {
        assert_eq!(may(role, &writes, &[(tag, value)]).await, all, "{value}");
    }
    for value in ["production", "devs", ""] {
        let may = may(role, &writes, &[(tag, value)]).await;
        assert_eq!(may, BTreeSet::new(), "{value}");
    }
    for (action, resource) in &writes {
        let held = context(&[("aws:ResourceTag/steward:hold", "audit")]);
        let judged = role.judge_in(action, resource, &held).await.unwrap();
        assert_eq!(judged, Decision::Denied, "{action}");
    }
}

#[tokio::test]
async fn what_is_named_is_changed_without_a_tag_and_storage_only_where_that_is_said() {
    let account = Sandbox::shared().unwrap().account();
    let id = account.id();
    let named = format!(
        "arn:aws:ecs:us-east-1:{id}:service/dev/*,arn:aws:ecs:us-east-1:{id}:task/dev/*,\
         arn:aws:rds:us-east-1:{id}:db:shop-db"
    );
    let role = async |grows| {
        let parameters = [
            ("AlarmRemediationMode", "apply"),
            ("AlarmRemediationPolicy", EVERYTHING),
            ("AlarmRemediationUntagged", named.as_str()),
            ("AlarmRemediationGrowsStorage", grows),
        ];
        let outputs = account.automation(&parameters).await.unwrap();
        account
            .role(&outputs["AlarmRemediationRoleArn"])
            .await
            .unwrap()
    };
    let no_tag = [("aws:ResourceTag/steward:environment", "")];
    let mut expected: BTreeSet<&str> = [
        "ecs:StopServiceDeployment",
        "ecs:StopTask",
        "ecs:UpdateService",
    ]
    .into();
    let writes = writes(id);
    assert_eq!(may(&role("false").await, &writes, &no_tag).await, expected);
    let role = role("true").await;
    expected.insert("rds:ModifyDBInstance");
    assert_eq!(may(&role, &writes, &no_tag).await, expected);
    let elsewhere = [
        (
            "ecs:StopTask",
            format!("arn:aws:ecs:us-east-1:{id}:task/blog/0a1b"),
        ),
        (
            "rds:ModifyDBInstance",
            format!("arn:aws:rds:us-east-1:{id}:db:blog"),
        ),
        // Nobody has said which roles may be handed on.
        (
            "ecs:RegisterTaskDefinition",
            format!("arn:aws:ecs:us-east-1:{id}:task-definition/web:1"),
        ),
        ("iam:PassRole", format!("arn:aws:iam::{id}:role/shop-task")),
    ];
    let may = may(&role, &elsewhere, &no_tag).await;
    assert_eq!(may, BTreeSet::new());
}

#[tokio::test]
async fn of_the_ledger_it_writes_its_own_parts_and_no_other() {
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
        ("alarm-remediation", &asked[..4]),
        ("alarm-remediation-history", &asked[..4]),
        ("raises", &asked[..4]),
        ("scheduled-scaling", &[]),
    ] {
        let keys = [("dynamodb:LeadingKeys", partition)];
        let may = may(role, &on("steward-ledger"), &keys).await;
        assert_eq!(may, allowed.iter().copied().collect(), "{partition}");
    }
    assert_eq!(may(role, &on("orders"), &[]).await, BTreeSet::new());
}

#[tokio::test]
async fn a_role_that_may_remedy_may_do_nothing_beside() {
    let Recorded { account, role, .. } = &recorded().await[0];
    let id = account.id();
    let of = |service: &str, rest: &str| format!("arn:aws:{service}:us-east-1:{id}:{rest}");
    let service = of("ecs", "service/dev/web");
    let group = of(
        "autoscaling",
        "autoScalingGroup:0a1b:autoScalingGroupName/shop",
    );
    let database = of("rds", "db:shop-db");
    let alarm = of("cloudwatch", "alarm:web-cpu");
    let asked = [
        ("ecs:DeleteService", service.clone()),
        ("ecs:CreateService", service.clone()),
        ("ecs:TagResource", service),
        ("ecs:RunTask", of("ecs", "task-definition/web:1")),
        ("ecs:DeregisterTaskDefinition", "*".to_owned()),
        ("ecs:UpdateCluster", of("ecs", "cluster/dev")),
        ("ecs:ExecuteCommand", of("ecs", "task/dev/0a1b")),
        (
            "ecs:DeregisterContainerInstance",
            of("ecs", "container-instance/dev/0a1b"),
        ),
        ("autoscaling:DeleteAutoScalingGroup", group.clone()),
        ("autoscaling:SetDesiredCapacity", group.clone()),
        ("autoscaling:SuspendProcesses", group.clone()),
        ("autoscaling:SetInstanceProtection", group.clone()),
        ("autoscaling:CreateOrUpdateTags", group.clone()),
        ("autoscaling:TerminateInstanceInAutoScalingGroup", group),
        ("rds:DeleteDBInstance", database.clone()),
        ("rds:RebootDBInstance", database.clone()),
        ("rds:StopDBInstance", database.clone()),
        ("rds:PromoteReadReplica", database.clone()),
        ("rds:RemoveTagsFromResource", database),
        ("rds:ModifyDBInstance", of("rds", "og:shop")),
        ("rds:ModifyDBInstance", of("rds", "pg:shop")),
        ("rds:ModifyDBInstance", of("rds", "subgrp:shop")),
        ("rds:ModifyDBInstance", of("rds", "cluster:shop")),
        ("cloudwatch:PutMetricAlarm", alarm.clone()),
        ("cloudwatch:DeleteAlarms", alarm.clone()),
        ("cloudwatch:DisableAlarmActions", alarm.clone()),
        ("cloudwatch:SetAlarmState", alarm.clone()),
        ("cloudwatch:TagResource", alarm),
        (
            "cloudwatch:PutAlarmMuteRule",
            of("cloudwatch", "alarm-mute-rule:night"),
        ),
        (
            "application-autoscaling:DeregisterScalableTarget",
            of("application-autoscaling", "scalable-target/0a1b"),
        ),
        (
            "application-autoscaling:PutScalingPolicy",
            of("application-autoscaling", "scalable-target/0a1b"),
        ),
        ("ec2:TerminateInstances", of("ec2", "instance/i-0a1b")),
        ("ec2:RebootInstances", of("ec2", "instance/i-0a1b")),
        ("elasticloadbalancing:DeregisterTargets", "*".to_owned()),
        ("ssm:GetParameter", of("ssm", "parameter/shop/settings")),
        ("ssm:SendCommand", of("ec2", "instance/i-0a1b")),
        (
            "ssm:PutParameter",
            of("ssm", "parameter/steward/kill-switch/all"),
        ),
        (
            "ssm:PutParameter",
            of("ssm", "parameter/steward/policy/alarm-remediation"),
        ),
        (
            "lambda:UpdateFunctionConfiguration",
            of("lambda", "function:steward-alarm-remediation"),
        ),
        (
            "lambda:InvokeFunction",
            of("lambda", "function:steward-scheduled-scaling"),
        ),
        ("s3:GetObject", "arn:aws:s3:::somebody-elses/a".to_owned()),
        ("sns:Publish", of("sns", "somebody-elses")),
        ("sts:AssumeRole", format!("arn:aws:iam::{id}:role/admin")),
        ("iam:PassRole", format!("arn:aws:iam::{id}:role/admin")),
        // Without the service that its conditions name.
        ("kms:Decrypt", of("kms", "key/0a1b")),
        ("kms:GenerateDataKey", of("kms", "key/0a1b")),
        ("kms:CreateGrant", of("kms", "key/0a1b")),
    ];
    assert_eq!(may(role, &asked, &[]).await, BTreeSet::new());
    // What is scaled and is no service, such as a table; roles for others than tasks.
    let register = [(
        "application-autoscaling:RegisterScalableTarget",
        of("application-autoscaling", "scalable-target/0a1b"),
    )];
    assert_eq!(may(role, &register, &[]).await.len(), 1);
    for (key, value) in [
        ("application-autoscaling:service-namespace", "dynamodb"),
        (
            "application-autoscaling:scalable-dimension",
            "dynamodb:table:ReadCapacityUnits",
        ),
    ] {
        assert_eq!(may(role, &register, &[(key, value)]).await, BTreeSet::new());
    }
    let pass = [(
        "iam:PassRole",
        "arn:aws:iam::123456789012:role/shop-task".to_owned(),
    )];
    for (service, allowed) in [("ecs-tasks.amazonaws.com", 1), ("lambda.amazonaws.com", 0)] {
        let may = may(role, &pass, &[("iam:PassedToService", service)]).await;
        assert_eq!(may.len(), allowed, "{service}");
    }
    let tag = [("ecs:TagResource", of("ecs", "task-definition/web:9"))];
    for (by, allowed) in [("RegisterTaskDefinition", 1), ("CreateService", 0), ("", 0)] {
        let may = may(role, &tag, &[("ecs:CreateAction", by)]).await;
        assert_eq!(may.len(), allowed, "{by}");
    }
}
