//! One account of the sandbox with an environment, a now, and a run of
//! scheduled-scaling in it.

use std::cell::Cell;
use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_ecs::types::ManagedScalingStatus;
use jiff::{SignedDuration, Timestamp};
use scheduled_scaling::{Environments, ScheduledScaling};
use serde_json::{Value, json};
use steward::engine::{Clock, Mode};
use steward::lambda;
use steward::ledger::LedgerTable;
use steward::report::{ActionOutcome, Report};
use steward::run::Run;
use steward::switches::{Position, Switches};
use steward_sandbox::{Account, Database, EnvironmentService, Group, Sandbox, Sizes};

/// Every day from eight to eight, in UTC.
pub(crate) const DAILY: &str = r#"
version: 1
schedules:
  day: {periods: [{start: "08:00", stop: "20:00"}]}
environments:
  dev: {schedules: [day]}
"#;

pub(crate) const EVENING: &str = "2026-11-23T20:00:00Z";
pub(crate) const MORNING: &str = "2026-11-24T08:00:00Z";

/// The sizes of the environment's capacity by day.
pub(crate) const CAPACITY: Sizes = Sizes {
    min: 1,
    desired: 2,
    max: 4,
};

/// An environment `dev` that Steward has seen: a database, a managed group, a service
/// behind a load balancer that is scaled, and one that is not.
pub(crate) struct Stage {
    pub(crate) account: Account,
    pub(crate) now: Cell<Timestamp>,
    pub(crate) database: Database,
    pub(crate) group: Group,
    pub(crate) web: EnvironmentService,
    pub(crate) worker: EnvironmentService,
}

impl Stage {
    /// At seven in the evening, seen once.
    pub(crate) async fn new() -> Self {
        let stage = Self::unseen().await;
        stage.account.ledger().await.unwrap();
        let report = stage.tick(DAILY).await;
        assert_eq!(actions(&report), ["remember_environment first_seen done"]);
        stage
    }

    /// The same without a ledger.
    pub(crate) async fn unseen() -> Self {
        let sandbox = Sandbox::shared().expect("the sandbox starts");
        let account = sandbox.account();
        let mut environment = account.environment("dev").await.unwrap();
        let database = environment.database("shop-db").await.unwrap();
        let scaling = ManagedScalingStatus::Enabled;
        let group = environment
            .capacity("shop", CAPACITY, scaling)
            .await
            .unwrap();
        let web = environment.balanced_service("web", 3).await.unwrap();
        web.scale_between(2, 6).await.unwrap();
        let worker = environment.service("worker", 1).await.unwrap();
        account.control().settle().await.unwrap();
        Self {
            account,
            now: Cell::new("2026-11-23T19:00:00Z".parse().unwrap()),
            database,
            group,
            web,
            worker,
        }
    }

    pub(crate) fn go_to(&self, at: &str) {
        self.now.set(at.parse().unwrap());
    }

    pub(crate) fn minutes_later(&self, minutes: i64) {
        self.now
            .set(self.now.get() + SignedDuration::from_mins(minutes));
    }

    pub(crate) async fn tick(&self, policy: &str) -> Report {
        self.run(policy, Mode::Apply, json!({})).await
    }

    pub(crate) async fn run(&self, policy: &str, mode: Mode, event: Value) -> Report {
        let run = self.run_as(self.account.sdk_config(), policy, mode, event);
        Box::pin(run).await.report
    }

    pub(crate) async fn run_as(
        &self,
        config: SdkConfig,
        policy: &str,
        mode: Mode,
        event: Value,
    ) -> Run<ScheduledScaling> {
        Box::pin(self.run_with(config, LedgerTable::usual(), policy, mode, event)).await
    }

    pub(crate) async fn run_with(
        &self,
        config: SdkConfig,
        ledger: LedgerTable,
        policy: &str,
        mode: Mode,
        event: Value,
    ) -> Run<ScheduledScaling> {
        let mut payload = json!({"mode": mode.as_str()});
        for (key, value) in event.as_object().unwrap() {
            payload[key] = value.clone();
        }
        let switches = Switches::Fixed(Position::Run);
        let now = self.now.get();
        let hands = Environments::at(&config, ledger, Clock::Fixed(now));
        let request = lambda::request::<ScheduledScaling>(&payload).unwrap();
        let run = self
            .account
            .run_function(&hands, now, &switches, policy, request);
        Box::pin(run).await.unwrap()
    }

    /// Ticks until a transition has ended; everything on its way arrives in between.
    pub(crate) async fn settle(&self, policy: &str) {
        for _ in 0..20 {
            self.account.control().settle().await.unwrap();
            let report = self.tick(policy).await;
            self.minutes_later(5);
            if report.summary.planned == 0 && report.wait.is_none() {
                return;
            }
        }
        panic!("it never ends: {:#?}", self.tick(policy).await);
    }

    /// Nothing runs, and everything remembers what it was.
    pub(crate) async fn assert_asleep(&self, told: &str) {
        assert_eq!(self.web.counts().await.unwrap(), (0, 0, 0), "{told}");
        assert_eq!(self.worker.counts().await.unwrap(), (0, 0, 0), "{told}");
        let target = self.web.scalable_target().await.unwrap().unwrap();
        assert_eq!(
            (target.min_capacity(), target.max_capacity()),
            (0, 0),
            "{told}"
        );
        let suspended = target.suspended_state().unwrap();
        assert_eq!(
            suspended.dynamic_scaling_in_suspended(),
            Some(true),
            "{told}"
        );
        assert_eq!(
            suspended.dynamic_scaling_out_suspended(),
            Some(true),
            "{told}"
        );
        assert_eq!(
            suspended.scheduled_scaling_suspended(),
            Some(true),
            "{told}"
        );
        let sizes = self.group.sizes().await.unwrap();
        assert_eq!((sizes.min, sizes.max), (0, CAPACITY.max), "{told}");
        assert_eq!(self.database.status().await.unwrap(), "stopped", "{told}");
        let mark = &self.web.tags().await.unwrap()["steward:parked"];
        assert!(
            mark.ends_with(" desired=3 min=2 max=6 suspended=none"),
            "{told}: {mark}"
        );
        let mark = &self.group.tags().await.unwrap()["steward:parked"];
        assert!(mark.ends_with(" min=1 max=4"), "{told}: {mark}");
    }

    /// Everything is as it was by day, and nothing is marked.
    pub(crate) async fn assert_awake(&self, told: &str) {
        assert_eq!(self.web.counts().await.unwrap(), (3, 3, 0), "{told}");
        assert_eq!(self.worker.counts().await.unwrap(), (1, 1, 0), "{told}");
        assert_eq!(self.web.health().await.unwrap(), ["healthy"; 3], "{told}");
        let target = self.web.scalable_target().await.unwrap().unwrap();
        assert_eq!(
            (target.min_capacity(), target.max_capacity()),
            (2, 6),
            "{told}"
        );
        let suspended = target.suspended_state();
        let is_suspended = suspended.is_some_and(|it| {
            [
                it.dynamic_scaling_in_suspended(),
                it.dynamic_scaling_out_suspended(),
                it.scheduled_scaling_suspended(),
            ]
            .contains(&Some(true))
        });
        assert!(!is_suspended, "{told}: {suspended:?}");
        let sizes = self.group.sizes().await.unwrap();
        assert_eq!(
            (sizes.min, sizes.max),
            (CAPACITY.min, CAPACITY.max),
            "{told}"
        );
        assert_eq!(self.database.status().await.unwrap(), "available", "{told}");
        let tags = [
            self.web.tags().await.unwrap(),
            self.worker.tags().await.unwrap(),
            self.group.tags().await.unwrap(),
            database_tags(&self.database).await,
        ];
        for tags in tags {
            assert!(!tags.contains_key("steward:parked"), "{told}: {tags:?}");
        }
        assert_eq!(
            self.remembered("size#").await,
            Vec::<String>::new(),
            "{told}"
        );
    }

    /// The sort keys of what the ledger remembers.
    pub(crate) async fn remembered(&self, begins_with: &str) -> Vec<String> {
        let query = self.account.dynamodb().scan().table_name("steward-ledger");
        let answer = query.consistent_read(true).send().await.unwrap();
        let items = answer.items().iter();
        let mut keys: Vec<String> = items
            .map(|item| item["sk"].as_s().unwrap().clone())
            .filter(|key| key.starts_with(begins_with))
            .collect();
        keys.sort();
        keys
    }
}

async fn database_tags(database: &Database) -> BTreeMap<String, String> {
    let described = database.describe().await.unwrap();
    let tags = described.tag_list.unwrap_or_default().into_iter();
    tags.filter_map(|tag| Some((tag.key?, tag.value?)))
        .collect()
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
        format!("{} {} {outcome}", line.kind, line.reason)
    });
    let mut all: Vec<String> = told.collect();
    all.sort();
    all
}

/// The reasons for which things stay, each as often as it is given.
pub(crate) fn kept(report: &Report) -> Vec<(String, usize)> {
    let mut all: Vec<_> = report
        .kept
        .iter()
        .map(|kept| (kept.reason.clone(), kept.count))
        .collect();
    all.sort();
    all
}
