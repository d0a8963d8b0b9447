//! The function's hands over a scripted account, with a ledger that keeps what is
//! written.

use std::time::Duration;

use alarm_remediation::{
    Action, AlarmRemediation, Alarms, Case, Concern, HISTORY, Noted, PARTITION, RemediationPolicy,
    Remedy, Scope, Sighting, Source, World,
};
use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_sdk_rds::config::Credentials;
use jiff::Timestamp;
use serde_json::{Value, json};
use steward::engine::{Act, Clock, Decision, Function, Observe, Outcome, Reason as _, Seen};
use steward::ledger::{LedgerTable, RAISES};
use steward::policy::PolicyDocument;
use steward_sandbox::faults::{Answer, Entries, FaultClient, Recorder, Scripted};

use crate::account::{ALARM, NOW, ago};

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

/// The scope of an event of the alarm `it`.
pub(crate) fn of_alarms(names: &[&str]) -> Scope {
    let sighting = |name: &&str| Sighting {
        name: (*name).to_owned(),
        arn: None,
    };
    Scope::Alarms(names.iter().map(sighting).collect())
}

/// The function's hands over a script.
pub(crate) struct Stage {
    pub(crate) hands: Alarms,
    pub(crate) client: FaultClient,
    pub(crate) table: Entries,
    pub(crate) policy: RemediationPolicy,
    pub(crate) scope: Scope,
    now: Timestamp,
    script: Scripted,
    recorder: Recorder,
}

impl Stage {
    pub(crate) async fn over(script: Scripted) -> Self {
        Self::with_ledger(script, |script| script).await
    }

    /// With other answers of the ledger.
    pub(crate) async fn with_ledger(
        script: Scripted,
        change: impl FnOnce(Scripted) -> Scripted,
    ) -> Self {
        let table = Entries::default();
        let script = change(table.behind(script));
        let recorder = Recorder::new(script.clone());
        let client = FaultClient::new(recorder.clone());
        let config = steward::aws::config_loader()
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("123456789012", "test", None, None, "test"))
            .http_client(steward::aws::meter().around(client.clone()))
            // As the function retries, but without its pauses.
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(6)
                    .with_initial_backoff(Duration::from_millis(1)),
            )
            .load()
            .await;
        let now = NOW.parse().unwrap();
        let policy = PolicyDocument::<RemediationPolicy>::parse(EVERYTHING, "test").unwrap();
        Self {
            hands: Alarms::at(&config, LedgerTable::usual(), Clock::Fixed(now)),
            client,
            table,
            policy: policy.policy().clone(),
            scope: of_alarms(&["it"]),
            now,
            script,
            recorder,
        }
    }

    /// The script, to be changed: clones share their answers.
    pub(crate) fn script(&self) -> Scripted {
        self.script.clone()
    }

    /// From now on an operation is answered like this.
    pub(crate) fn henceforth<A: Into<Answer>>(
        &self,
        operation: &str,
        reply: impl Fn(&str) -> A + Send + Sync + 'static,
    ) {
        let _ = self.script().always(operation, reply);
    }

    /// With another scope.
    pub(crate) fn about(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// With another policy.
    pub(crate) fn told(mut self, policy: &str) -> Self {
        let policy = PolicyDocument::<RemediationPolicy>::parse(policy, "test").unwrap();
        self.policy = policy.policy().clone();
        self
    }

    /// With a case of the alarm `it` about these, open for five minutes.
    pub(crate) fn remembering(self, concerns: &[&Concern], change: impl FnOnce(&mut Case)) -> Self {
        let mut case = case_of(ALARM, "it", concerns);
        change(&mut case);
        self.remember(&case);
        self
    }

    pub(crate) fn remember(&self, case: &Case) {
        let key = format!("case#{}", case.source.key());
        let case = serde_json::to_value(case).unwrap();
        self.table.put(PARTITION, &key, &case);
    }

    /// What the ledger says of the alarm's case.
    pub(crate) fn case(&self) -> Option<Case> {
        let says = self.table.says(PARTITION, &format!("case#{ALARM}"))?;
        Some(serde_json::from_value(says).unwrap())
    }

    /// What was tried on a target, as the ledger has it.
    pub(crate) fn attempts(&self, target: &str) -> Value {
        let says = self.table.says(PARTITION, &format!("attempts#{target}"));
        says.unwrap_or(json!([]))
    }

    /// The sort keys of what is raised.
    pub(crate) fn raised(&self) -> Vec<String> {
        self.table.keys(RAISES)
    }

    /// The sort keys of cases that have ended.
    pub(crate) fn ended(&self) -> Vec<String> {
        self.table.keys(HISTORY)
    }

    pub(crate) async fn observe(&self) -> Seen<World> {
        Observe::<AlarmRemediation>::observe(&self.hands, &self.policy, &self.scope).await
    }

    fn acts(&self, seen: &Seen<World>) -> Vec<(Action, &'static str)> {
        let plan = AlarmRemediation::decide(&self.policy, &self.scope, seen, self.now);
        let mut acts = Vec::new();
        for item in plan.items {
            if let Decision::Act(change) = item.decision {
                acts.push((change.pass, change.action, item.reason.code()));
            }
        }
        acts.sort_by_key(|(pass, ..)| *pass);
        let acts = acts.into_iter();
        acts.map(|(_, action, reason)| (action, reason)).collect()
    }

    /// What would be done: `KIND REASON` of each change, in order of their passes.
    pub(crate) fn planned(&self, seen: &Seen<World>) -> Vec<String> {
        let acts = self.acts(seen).into_iter();
        acts.map(|(action, reason)| format!("{} {reason}", AlarmRemediation::kind(&action)))
            .collect()
    }

    /// The remedies that would be done.
    pub(crate) fn remedies(&self, seen: &Seen<World>) -> Vec<Remedy> {
        let acts = self.acts(seen).into_iter();
        acts.filter_map(|(action, _)| match action {
            Action::Remedy(remedying) => Some(remedying.remedy),
            _ => None,
        })
        .collect()
    }

    /// The reasons for which alarms and cases stay, or wait.
    pub(crate) fn reasons(&self, seen: &Seen<World>) -> Vec<&'static str> {
        let plan = AlarmRemediation::decide(&self.policy, &self.scope, seen, self.now);
        let stays = plan.items.iter();
        let stays = stays.filter(|item| !matches!(item.decision, Decision::Act(_)));
        stays.map(|item| item.reason.code()).collect()
    }

    /// Looks and acts, and tells what becomes of each change; what comes after one that
    /// failed is not begun.
    pub(crate) async fn tick(&self) -> Vec<(&'static str, Outcome)> {
        let seen = self.observe().await;
        assert_eq!(seen.gaps, []);
        self.act(&seen).await
    }

    /// Acts on what was seen.
    pub(crate) async fn act(&self, seen: &Seen<World>) -> Vec<(&'static str, Outcome)> {
        self.recorder.clear();
        let mut all = Vec::new();
        for (action, _) in self.acts(seen) {
            let batch = std::slice::from_ref(&action);
            let acting = Act::<AlarmRemediation>::act(&self.hands, &self.policy, batch);
            let [outcome] = &Box::pin(acting).await[..] else {
                panic!("one outcome for each action");
            };
            let goes_on = matches!(outcome, Outcome::Done | Outcome::AlreadyDone);
            all.push((AlarmRemediation::kind(&action), outcome.clone()));
            if !goes_on {
                break;
            }
        }
        let told = Act::<AlarmRemediation>::finish(&self.hands).await;
        assert_eq!(told, Vec::<String>::new());
        all
    }

    /// What was sent since the last look, in order: the operation, and of those of the
    /// ledger the kind of entry.
    pub(crate) fn order(&self) -> Vec<String> {
        self.recorder.order()
    }

    /// What was sent to an operation.
    pub(crate) fn sent(&self, operation: &str) -> Vec<String> {
        self.recorder.sent(operation)
    }

    /// The most calls that were under way at once since this was asked last.
    pub(crate) fn crowd(&self) -> usize {
        self.recorder.crowd()
    }
}

/// A case of an alarm about these, opened five minutes ago.
pub(crate) fn case_of(arn: &str, name: &str, concerns: &[&Concern]) -> Case {
    let opened = Noted::Opened {
        source: Source::Alarm(arn.to_owned()),
        name: name.to_owned(),
        unit: name.to_owned(),
        concerns: concerns.iter().copied().cloned().collect(),
        since: Some(ago(6)),
        why: "a test".to_owned(),
    };
    Noted::all_after(&[opened], None, ago(5)).unwrap()
}
