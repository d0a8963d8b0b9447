//! The function as the automation stack deploys it, with the credentials of its role,
//! where IAM judges every request: each permission that is taken away is named, and
//! without it nothing is changed.

use std::collections::BTreeSet;
use std::path::Path;

use alarm_remediation::PERMISSIONS;
use aws_sdk_cloudwatch::types::MetricDataQuery;
use aws_sdk_ecs::types::DesiredStatus;
use serde_json::{Value, json};
use steward::report::{Report, Status};
use steward_sandbox::deploy::{self, Function};
use steward_sandbox::{
    Account, Alarm, Database, EnvironmentService, Parts, Sandbox, Settings, Trouble, TroubleKind,
};

use crate::minutes;
use crate::shop::{EVERYTHING, Shop, actions, of_targets, open_cases};

/// Each is tried as often as permissions are taken away.
const BOUNDS: &str = "bounds: {attempts: 20, per_hour: 100, cool_down: 1m}\n";

/// What the sandbox does not judge: Application Auto Scaling, which ministack does not
/// have. And where the policy is not.
const UNJUDGED: [&str; 3] = [
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:RegisterScalableTarget",
    "s3:GetObject",
];

struct System {
    _sandbox: Sandbox,
    account: Account,
    shop: Shop,
    /// Nothing scales it.
    worker: EnvironmentService,
    /// Its tasks are unhealthy.
    sick: EnvironmentService,
    /// A deployment of it fails.
    broken: EnvironmentService,
    /// Of another environment, which the role is not for.
    blog: EnvironmentService,
    database: Database,
    /// The container instance whose agent is lost: its ARN, and the instance.
    lost: (String, String),
}

impl System {
    async fn new() -> Self {
        // Its own sandbox: functions act in the default account, and none of the
        // others judges them.
        let sandbox = tokio::task::spawn_blocking(|| Sandbox::start(Parts::Enforcing));
        let sandbox = sandbox.await.unwrap().unwrap();
        let account = sandbox.default_account();
        let roomy = Settings {
            ecs_tasks_per_instance: Some(40),
            ..Settings::default()
        };
        account.control().settings(&roomy).await.unwrap();
        let shop = Shop::new(&account).await;
        let dev = &shop.environment;
        let worker = dev.service("worker", 2).await.unwrap();
        let sick = dev.balanced_service("sick", 2).await.unwrap();
        let broken = dev.balanced_service("broken", 2).await.unwrap();
        let database = dev.database("shop-db").await.unwrap();
        let other = account.environment("blog").await.unwrap();
        let blog = other.service("blog", 2).await.unwrap();
        account.control().settle().await.unwrap();
        let instances = dev.container_instances().await.unwrap();
        let arn = instances[0].container_instance_arn().unwrap();
        let ec2 = instances[0].ec2_instance_id().unwrap();
        let lost = (arn.to_owned(), ec2.to_owned());
        Self {
            _sandbox: sandbox,
            account,
            shop,
            worker,
            sick,
            broken,
            blog,
            database,
            lost,
        }
    }

    async fn deploy(&self, mode: &str) -> Deployed<'_> {
        let binary = Path::new(env!("CARGO_BIN_EXE_alarm-remediation"));
        let policy = format!("{EVERYTHING}{BOUNDS}");
        let id = self.account.id();
        // Nothing propagates tags to them.
        let untagged = ["task", "container-instance"];
        let untagged = untagged.map(|kind| format!("arn:aws:ecs:us-east-1:{id}:{kind}/dev/*"));
        let parameters = [
            ("AlarmRemediationMode", mode),
            ("AlarmRemediationPolicy", policy.as_str()),
            ("AlarmRemediationEnvironments", "dev"),
            ("AlarmRemediationUntagged", &untagged.join(",")),
            ("AlarmRemediationGrowsStorage", "true"),
            (
                "AlarmRemediationTaskRoles",
                &format!("arn:aws:iam::{id}:role/shop-*"),
            ),
            // It is woken by hand.
            ("AlarmRemediationScheduleState", "DISABLED"),
        ];
        let packages = [("alarm-remediation", binary)];
        let deployed = deploy::automation(&self.account, &packages, &parameters).await;
        let deployed = deployed.unwrap();
        let role = deployed.output("AlarmRemediationRoleArn").unwrap();
        Deployed {
            system: self,
            function: deployed.function("alarm-remediation").unwrap().clone(),
            role: role.rsplit('/').next().unwrap().to_owned(),
            denied: BTreeSet::new(),
        }
    }

    /// All that the function could change.
    async fn state(&self) -> Vec<String> {
        let mut state = Vec::new();
        for service in [
            &self.shop.web,
            &self.worker,
            &self.sick,
            &self.broken,
            &self.blog,
        ] {
            let found = service.describe().await.unwrap();
            let tasks = service.tasks(DesiredStatus::Running).await.unwrap();
            let mut arns: Vec<_> = tasks.iter().filter_map(|it| it.task_arn()).collect();
            arns.sort_unstable();
            if service.name() == "broken" {
                // They come and go.
                arns.clear();
            }
            let least = service.scalable_target().await.unwrap();
            let deployment = found.current_service_deployment.unwrap();
            let deployment = service.deployment(&deployment).await.unwrap();
            state.push(format!(
                "{} {:?} {} {:?} {:?} {arns:?}",
                service.name(),
                least.map(|it| it.min_capacity()),
                found.desired_count,
                found.task_definition,
                deployment.status(),
            ));
        }
        let sizes = self.shop.group.sizes().await.unwrap();
        state.push(format!("{} {} {}", sizes.min, sizes.desired, sizes.max));
        state.push(format!("{:?}", self.shop.group.instance_states().await));
        let instances = self.shop.environment.container_instances().await.unwrap();
        let status = instances.iter().map(|it| it.status().unwrap_or_default());
        state.push(status.collect::<Vec<_>>().join(" "));
        let database = self.database.describe().await.unwrap();
        state.push(format!("{:?}", database.allocated_storage));
        state
    }

    fn agent(&self) -> Value {
        let (arn, ec2) = &self.lost;
        json!({
            "detail-type": "ECS Container Instance State Change", "source": "aws.ecs",
            "account": self.account.id(), "region": "us-east-1", "resources": [arn],
            "detail": {
                "agentConnected": false, "containerInstanceArn": arn, "ec2InstanceId": ec2,
                "clusterArn": format!("arn:aws:ecs:us-east-1:{}:cluster/dev", self.account.id()),
                "status": "ACTIVE",
            },
        })
    }
}

/// The stack in a mode.
struct Deployed<'a> {
    system: &'a System,
    function: Function,
    role: String,
    /// What was taken away so far.
    denied: BTreeSet<&'static str>,
}

fn on(alarm: &Alarm) -> Value {
    json!({"operation": "remediate", "alarms": [alarm.name()]})
}

impl Deployed<'_> {
    async fn run(&self, event: &Value) -> Report {
        let answer = self.function.invoke(event).await.unwrap();
        serde_json::from_value(answer).unwrap()
    }

    /// As if what was tried had been so long ago that something may be tried again.
    async fn later(&self) {
        self.system.account.age_ledger(minutes(16)).await.unwrap();
    }

    /// Runs without a permission: it is named, and nothing is changed.
    async fn without(&mut self, action: &'static str, event: &Value) -> String {
        self.denied.insert(action);
        let before = self.system.state().await;
        let iam = self.system.account.iam();
        let deny = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Deny", "Action": action, "Resource": "*"}]});
        let put = iam.put_role_policy().role_name(&self.role);
        let put = put.policy_name("deny").policy_document(deny.to_string());
        put.send().await.unwrap();
        // After a try it looks at what came of that before it tries again.
        let mut said = String::new();
        for _ in 0..3 {
            self.later().await;
            said = match self.function.invoke(event).await {
                Ok(answer) => answer.to_string(),
                Err(error) => format!("{error:#}"),
            };
            if said.contains(action) {
                break;
            }
        }
        let delete = iam.delete_role_policy().role_name(&self.role);
        delete.policy_name("deny").send().await.unwrap();
        assert!(said.contains(action), "{action} is not named: {said}");
        assert_eq!(self.system.state().await, before, "{action}");
        said
    }

    /// Runs until something is done.
    async fn until(&self, expected: &str, event: &Value) {
        let mut done = Vec::new();
        for _ in 0..4 {
            self.later().await;
            let report = self.run(event).await;
            assert_eq!(report.gaps, [], "{expected}");
            assert_eq!(report.summary.failed, 0, "{expected}: {report:#?}");
            done.extend(actions(&report));
            if done.iter().any(|it| it == expected) {
                return;
            }
        }
        panic!("{expected}: {done:?}");
    }
}

async fn alarm_on_database(system: &System) -> Alarm {
    let dimensions = [("DBInstanceIdentifier", "shop-db")];
    let metric = ("AWS/RDS", "FreeStorageSpace");
    let made = system.account.alarm("db-storage", metric, &dimensions, &[]);
    made.await.unwrap()
}

/// An alarm on the time series of the clusters' reservation.
async fn alarm_on_clusters(system: &System) -> Alarm {
    let query = "SELECT AVG(CPUReservation) FROM SCHEMA(\"AWS/ECS\", ClusterName) \
                 GROUP BY ClusterName";
    let query = MetricDataQuery::builder().id("q1").expression(query);
    let query = query.period(60).return_data(true).build();
    let made = system.account.alarm_with("no-room", |it| it.metrics(query));
    let made = made.await.unwrap();
    let of = [("ClusterName", "dev")];
    let edited = system.account.control();
    edited
        .edit_contributor("no-room", &of, "ALARM")
        .await
        .unwrap();
    made
}

#[tokio::test]
async fn a_role_to_plan_reads_all_it_needs_and_changes_nothing_whatever_the_leash() {
    let system = System::new().await;
    let deployed = system.deploy("plan").await;
    let alarm = system
        .worker
        .alarm("worker-memory", "MemoryUtilization", &[]);
    let alarm = alarm.await.unwrap();
    alarm.ring().await.unwrap();
    let storage = alarm_on_database(&system).await;
    storage.ring().await.unwrap();
    alarm_on_clusters(&system).await;
    let before = system.state().await;

    let report = deployed.run(&json!({"operation": "sweep"})).await;
    assert_eq!(
        (report.status, &report.gaps[..]),
        (Status::Planned, &[][..])
    );

    // Told otherwise behind the stack's back.
    let lambda = system.account.lambda_runtime();
    let name = deployed.function.name();
    let found = lambda.get_function_configuration().function_name(name);
    let environment = found.send().await.unwrap().environment.unwrap();
    let mut variables = environment.variables.unwrap();
    variables.insert("STEWARD_MODE".to_owned(), "apply".to_owned());
    let environment = aws_sdk_lambda::types::Environment::builder();
    let environment = environment.set_variables(Some(variables)).build();
    let update = lambda.update_function_configuration().function_name(name);
    update.environment(environment).send().await.unwrap();

    let report = deployed.run(&json!({"operation": "sweep"})).await;
    assert_eq!(report.gaps, [], "a plan's role reads everything");
    assert_eq!(report.summary.done, 0, "{:#?}", report.actions);
    assert!(report.summary.failed >= 3, "{:#?}", report.actions);
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.contains("dynamodb:PutItem"), "{text}");
    assert_eq!(system.state().await, before);
    assert_eq!(open_cases(&system.account).await, Vec::<String>::new());
}

#[tokio::test]
async fn each_permission_that_is_taken_away_is_named_and_harms_nothing() {
    let system = System::new().await;
    let mut deployed = system.deploy("apply").await;
    let account = &system.account;

    // A service that goes back behind a release.
    let image = format!("{}/web:2", account.registry());
    let revision = account.task_definition("web", &image).await.unwrap();
    system.shop.web.deploy(&revision).await.unwrap();
    account.control().settle().await.unwrap();
    let alarm = of_targets(&system.shop.web, "web-errors", "HTTPCode_Target_5XX_Count").await;
    alarm.ring().await.unwrap();
    for action in [
        "ssm:GetParameter",
        "ssm:GetParameters",
        "dynamodb:Query",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:ListTagsForResource",
        // What the target group belongs to an open case knows.
        "ecs:ListClusters",
        "ecs:ListServices",
        "cloudwatch:ListAlarmMuteRules",
        "ecs:DescribeServices",
        "ecs:ListServiceDeployments",
        "ecs:DescribeServiceRevisions",
        "ecs:ListTasks",
        "ecs:DescribeTasks",
        "elasticloadbalancing:DescribeTargetHealth",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "ecs:DescribeTaskDefinition",
        "ecs:RegisterTaskDefinition",
        "ecs:UpdateService",
    ] {
        deployed.without(action, &on(&alarm)).await;
    }
    deployed
        .until("roll_back bad_release done", &on(&alarm))
        .await;
    account.control().settle().await.unwrap();
    // What it cannot tell and cannot give back it says; the next run goes on.
    alarm.calm().await.unwrap();
    deployed.without("dynamodb:DeleteItem", &on(&alarm)).await;
    deployed.until("close_case noted done", &on(&alarm)).await;

    // One that is busy.
    let alarm = system
        .worker
        .alarm("worker-memory", "MemoryUtilization", &[]);
    let alarm = alarm.await.unwrap();
    alarm.ring().await.unwrap();
    deployed.until("raise_service busy done", &on(&alarm)).await;

    // One whose tasks are unhealthy, and one that is badly deployed.
    system.sick.sicken_tasks().await.unwrap();
    let alarm = of_targets(&system.sick, "sick-unwell", "UnHealthyHostCount").await;
    alarm.ring().await.unwrap();
    deployed.without("ecs:StopTask", &on(&alarm)).await;
    deployed
        .until("replace_tasks unhealthy done", &on(&alarm))
        .await;
    let broken = Trouble {
        kind: TroubleKind::Start,
        ..Trouble::default()
    };
    system.broken.deploy_broken(broken).await.unwrap();
    let alarm = of_targets(&system.broken, "broken-unwell", "UnHealthyHostCount").await;
    alarm.ring().await.unwrap();
    deployed
        .without("ecs:StopServiceDeployment", &on(&alarm))
        .await;
    deployed
        .until("stop_deployment bad_deployment done", &on(&alarm))
        .await;
    account.control().settle().await.unwrap();

    // A database, and what people are told.
    let alarm = alarm_on_database(&system).await;
    alarm.ring().await.unwrap();
    for action in ["rds:DescribeDBInstances", "rds:ModifyDBInstance"] {
        deployed.without(action, &on(&alarm)).await;
    }
    deployed
        .until("grow_storage storage_low done", &on(&alarm))
        .await;

    // A cluster without room, and an instance of no use.
    let alarm = alarm_on_clusters(&system).await;
    for action in [
        "cloudwatch:DescribeAlarmContributors",
        "ecs:DescribeClusters",
        "ecs:DescribeCapacityProviders",
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:UpdateAutoScalingGroup",
    ] {
        deployed.without(action, &on(&alarm)).await;
    }
    deployed
        .until("raise_group no_room done", &on(&alarm))
        .await;
    let of = [("ClusterName", "dev")];
    let edited = account.control();
    edited.edit_contributor("no-room", &of, "OK").await.unwrap();
    deployed
        .until("record_effect quiet done", &on(&alarm))
        .await;
    let edit = system.shop.environment.edit_agent(&system.lost.0, false);
    edit.await.unwrap();
    for action in [
        "ecs:ListContainerInstances",
        "ecs:DescribeContainerInstances",
        "autoscaling:DescribeAutoScalingInstances",
        "ecs:UpdateContainerInstancesState",
    ] {
        deployed.without(action, &system.agent()).await;
    }
    let drained = "drain_instance bad_instance done";
    deployed.until(drained, &system.agent()).await;
    account.control().settle().await.unwrap();
    deployed
        .without("autoscaling:SetInstanceHealth", &system.agent())
        .await;

    // A service of another environment is seen, and not touched.
    let alarm = system.blog.alarm("blog-memory", "MemoryUtilization", &[]);
    let alarm = alarm.await.unwrap();
    alarm.ring().await.unwrap();
    let before = system.state().await;
    let report = deployed.run(&on(&alarm)).await;
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.contains("ecs:UpdateService"), "{text}");
    assert_eq!(report.summary.failed, 1, "{report:#?}");
    assert_eq!(system.state().await, before);

    let told = deployed.without("sns:Publish", &on(&alarm)).await;
    assert!(told.contains("could not be sent"), "{told}");
    deployed.denied.extend(UNJUDGED);
    let all = PERMISSIONS.iter().map(|it| it.action);
    let left: Vec<&str> = all.filter(|it| !deployed.denied.contains(it)).collect();
    assert_eq!(left, ["rds:DescribeEvents"], "it is for people only");
}
