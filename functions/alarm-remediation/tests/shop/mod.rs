//! What the alarms are about: an environment with a managed group, and a service behind
//! a load balancer that is scaled. And how a report is read.

use aws_sdk_ecs::types::ManagedScalingStatus;
use steward::report::{ActionOutcome, Report};
use steward_sandbox::{Account, Alarm, Environment, EnvironmentService, Group, Manifest, Sizes};

/// Everything that may be done, to everything.
pub(crate) const EVERYTHING: &str = r#"
version: 1
alarms: {include: ["*"]}
clusters: {include: ["*"]}
remedies:
  raise_service: {of: {include: ["*"]}, most: 20}
  stop_deployment: {of: {include: ["*"]}}
  roll_back: {of: {include: ["*"]}, approval: false}
  replace_tasks: {of: {include: ["*"]}}
  raise_group: {of: {include: ["*"]}, most: 8}
  replace_instance: {of: {include: ["*"]}, lost_for: 5m}
  grow_storage: {of: {include: ["*"]}, most_gib: 500}
"#;

/// The sizes of the environment's capacity.
pub(crate) const CAPACITY: Sizes = Sizes {
    min: 2,
    desired: 2,
    max: 2,
};

/// An environment `dev`.
pub(crate) struct Shop {
    pub(crate) environment: Environment,
    pub(crate) group: Group,
    pub(crate) web: EnvironmentService,
}

impl Shop {
    pub(crate) async fn new(account: &Account) -> Self {
        let images = account.repository("web").await.unwrap();
        for tag in ["1", "2"] {
            let image = Manifest::image(tag);
            images.push(&image, Some(tag)).await.unwrap();
        }
        let mut environment = account.environment("dev").await.unwrap();
        let scaling = ManagedScalingStatus::Enabled;
        let group = environment.capacity("shop", CAPACITY, scaling).await;
        let group = group.unwrap();
        let web = environment.balanced_service("web", 4).await.unwrap();
        web.scale_between(2, 10).await.unwrap();
        account.control().settle().await.unwrap();
        Self {
            environment,
            group,
            web,
        }
    }
}

/// An alarm on a metric of a service's target group.
pub(crate) async fn of_targets(service: &EnvironmentService, name: &str, metric: &str) -> Alarm {
    let group = service.target_group().unwrap();
    let (_, group) = group.rsplit_once(':').unwrap();
    let dimensions = [("TargetGroup", group), ("LoadBalancer", "app/shop/1")];
    let metric = ("AWS/ApplicationELB", metric);
    let made = service.account().alarm(name, metric, &dimensions, &[]);
    made.await.unwrap()
}

/// The sort keys of a partition of the ledger.
pub(crate) async fn remembered(account: &Account, partition: &str) -> Vec<String> {
    let query = account.dynamodb().scan().table_name("steward-ledger");
    let answer = query.consistent_read(true).send().await.unwrap();
    let of = answer.items().iter();
    let of = of.filter(|item| item["pk"].as_s().unwrap() == partition);
    let mut keys: Vec<String> = of.map(|item| item["sk"].as_s().unwrap().clone()).collect();
    keys.sort();
    keys
}

/// The keys of the cases that are open.
pub(crate) async fn open_cases(account: &Account) -> Vec<String> {
    let mut keys = remembered(account, "alarm-remediation").await;
    keys.retain(|key| key.starts_with("case#"));
    keys
}

/// `KIND REASON OUTCOME` of every action that was not deferred.
pub(crate) fn actions(report: &Report) -> Vec<String> {
    let lines = report.actions.iter();
    let lines = lines.filter(|line| line.outcome != ActionOutcome::Deferred);
    let told = lines.map(|line| {
        let outcome = match line.outcome {
            ActionOutcome::Planned => "planned",
            ActionOutcome::Done => "done",
            ActionOutcome::AlreadyDone => "already_done",
            ActionOutcome::Deferred => unreachable!("left out"),
            ActionOutcome::Skipped => "skipped",
            ActionOutcome::Failed => "failed",
        };
        let error = line.error.as_deref().unwrap_or_default();
        format!("{} {} {outcome}{error}", line.kind, line.reason)
    });
    let mut all: Vec<String> = told.collect();
    all.sort();
    all
}

/// The reasons for which things stay.
pub(crate) fn kept(report: &Report) -> Vec<String> {
    let mut all: Vec<_> = report.kept.iter().map(|kept| kept.reason.clone()).collect();
    all.sort();
    all
}
