//! One account of the sandbox with an environment, a now, and runs of alarm-remediation
//! in it.

use std::cell::Cell;

use alarm_remediation::{AlarmRemediation, Alarms};
use aws_config::SdkConfig;
use aws_sdk_ecs::types::ManagedScalingStatus;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward::engine::{Clock, Mode};
use steward::lambda;
use steward::ledger::LedgerTable;
use steward::report::{ActionOutcome, Report};
use steward::run::Run;
use steward::switches::{Position, Switches};
use steward_sandbox::{
    Account, Alarm, Environment, EnvironmentService, Group, Manifest, Sandbox, Sizes,
};

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

/// An environment `dev`: a managed group, and a service behind a load balancer that is
/// scaled.
pub(crate) struct Stage {
    pub(crate) account: Account,
    pub(crate) environment: Environment,
    pub(crate) group: Group,
    pub(crate) web: EnvironmentService,
    now: Cell<Timestamp>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let sandbox = Sandbox::shared().expect("the sandbox starts");
        let account = sandbox.account();
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
        account.ledger().await.unwrap();
        Self {
            account,
            environment,
            group,
            web,
            now: Cell::new(Clock::System.now()),
        }
    }

    pub(crate) fn minutes_later(&self, minutes: i64) {
        self.now
            .set(self.now.get() + SignedDuration::from_mins(minutes));
    }

    /// An alarm on a metric of the service's target group.
    pub(crate) async fn of_targets(&self, name: &str, metric: &str) -> Alarm {
        let group = self.web.target_group().unwrap();
        let (_, group) = group.rsplit_once(':').unwrap();
        let dimensions = [("TargetGroup", group), ("LoadBalancer", "app/shop/1")];
        let metric = ("AWS/ApplicationELB", metric);
        let made = self.account.alarm(name, metric, &dimensions, &[]).await;
        made.unwrap()
    }

    /// What an alarm wakes.
    pub(crate) async fn on(&self, alarm: &Alarm) -> Report {
        let event = json!({"operation": "remediate", "alarms": [alarm.name()]});
        self.run(EVERYTHING, event).await
    }

    pub(crate) async fn tick(&self) -> Report {
        self.run(EVERYTHING, json!({})).await
    }

    pub(crate) async fn run(&self, policy: &str, event: Value) -> Report {
        let run = self.run_as(self.account.sdk_config(), policy, event);
        Box::pin(run).await.report
    }

    pub(crate) async fn run_as(
        &self,
        config: SdkConfig,
        policy: &str,
        event: Value,
    ) -> Run<AlarmRemediation> {
        let switches = Switches::Fixed(Position::Run);
        let now = self.now.get();
        let hands = Alarms::at(&config, LedgerTable::usual(), Clock::Fixed(now));
        let mut request = lambda::request::<AlarmRemediation>(&event).unwrap();
        request.mode = Some(Mode::Apply);
        let run = self
            .account
            .run_function(&hands, now, &switches, policy, request);
        Box::pin(run).await.unwrap()
    }

    /// The sort keys of a partition of the ledger.
    pub(crate) async fn remembered(&self, partition: &str) -> Vec<String> {
        let query = self.account.dynamodb().scan().table_name("steward-ledger");
        let answer = query.consistent_read(true).send().await.unwrap();
        let of = answer.items().iter();
        let of = of.filter(|item| item["pk"].as_s().unwrap() == partition);
        let mut keys: Vec<String> = of.map(|item| item["sk"].as_s().unwrap().clone()).collect();
        keys.sort();
        keys
    }

    /// It is quiet, and stays so until its case is closed.
    pub(crate) async fn is_closed_in_time(&self) {
        let helped = self.tick().await;
        assert_eq!(actions(&helped), ["record_effect quiet done"]);
        self.minutes_later(14);
        assert_eq!(actions(&self.tick().await), Vec::<String>::new());
        self.minutes_later(1);
        assert_eq!(actions(&self.tick().await), ["close_case noted done"]);
        let open = self.remembered("alarm-remediation").await;
        let cases = open.iter().filter(|key| key.starts_with("case#"));
        assert_eq!(cases.count(), 0, "{open:?}");
        assert_eq!(self.remembered("alarm-remediation-history").await.len(), 1);
    }
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
