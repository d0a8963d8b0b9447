//! One account of the sandbox with an environment, a now, and runs of alarm-remediation
//! in it.

use std::cell::Cell;

use alarm_remediation::{AlarmRemediation, Alarms};
use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward::engine::{Clock, Mode};
use steward::lambda;
use steward::ledger::LedgerTable;
use steward::report::Report;
use steward::run::Run;
use steward::switches::{Position, Switches};
use steward_sandbox::{Account, Alarm, Environment, EnvironmentService, Group, Sandbox};

pub(crate) use crate::shop::{CAPACITY, EVERYTHING, actions, kept};
use crate::shop::{Shop, of_targets, open_cases, remembered};

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
        let Shop {
            environment,
            group,
            web,
        } = Shop::new(&account).await;
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
        of_targets(&self.web, name, metric).await
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
        remembered(&self.account, partition).await
    }

    /// It is quiet, and stays so until its case is closed.
    pub(crate) async fn is_closed_in_time(&self) {
        let helped = self.tick().await;
        assert_eq!(actions(&helped), ["record_effect quiet done"]);
        self.minutes_later(14);
        assert_eq!(actions(&self.tick().await), Vec::<String>::new());
        self.minutes_later(1);
        assert_eq!(actions(&self.tick().await), ["close_case noted done"]);
        assert_eq!(open_cases(&self.account).await, Vec::<String>::new());
        assert_eq!(self.remembered("alarm-remediation-history").await.len(), 1);
    }
}
