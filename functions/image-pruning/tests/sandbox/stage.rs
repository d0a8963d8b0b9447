//! One account of the sandbox, a fixed now, and a run of image-pruning in it.

use aws_config::SdkConfig;
use image_pruning::{ImagePruning, Registry};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward::engine::{Clock, Mode};
use steward::lambda;
use steward::plan_file::PlanFile;
use steward::report::{ActionOutcome, Report};
use steward::run::Run;
use steward::switches::{Position, Switches};
use steward_sandbox::{Account, Manifest, Repository, Sandbox};

/// Everything unused goes, but for the newest tagged image and what is
/// younger than a day.
pub(crate) const STRICT: &str = r#"
version: 1
repositories: {include: ["*"]}
retention: {keep_newest: 1, keep_younger_than: 1d, remove_untagged_after: 1d}
in_use: {revisions_per_family: 1, rollback_deployments: 1}
limits: {max_delete_share_percent: 100}
"#;

pub(crate) struct Stage {
    pub(crate) account: Account,
    pub(crate) now: Timestamp,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::shared().expect("the sandbox starts");
        Self {
            account: sandbox.account(),
            now: "2026-11-22T12:00:00Z".parse().unwrap(),
        }
    }

    pub(crate) fn days_ago(&self, days: i64) -> Timestamp {
        self.now - SignedDuration::from_hours(24 * days)
    }

    /// An image that is this many days old.
    pub(crate) async fn image(
        &self,
        to: &Repository,
        name: &str,
        days: i64,
        tags: &[&str],
    ) -> String {
        to.push_at(self.days_ago(days), &Manifest::image(name), tags)
            .await
            .unwrap()
    }

    /// An index over two platforms and an attestation, all of one age; its own
    /// digest first.
    pub(crate) async fn index(
        &self,
        to: &Repository,
        name: &str,
        days: i64,
        tags: &[&str],
    ) -> Vec<String> {
        let amd = Manifest::image_for(name, "amd64");
        let arm = Manifest::image_for(name, "arm64");
        let attestation = Manifest::attestation_of(&amd);
        let parts = [&amd, &arm, &attestation];
        let at = self.days_ago(days);
        for part in parts {
            to.push_at(at, part, &[]).await.unwrap();
        }
        let index = Manifest::index(&parts);
        to.push_at(at, &index, tags).await.unwrap();
        std::iter::once(&index)
            .chain(parts)
            .map(|manifest| manifest.digest().to_owned())
            .collect()
    }

    pub(crate) async fn plan(&self, policy: &str) -> Report {
        self.run(policy, Mode::Plan, None).await.report
    }

    pub(crate) async fn apply(&self, policy: &str) -> Report {
        self.run(policy, Mode::Apply, None).await.report
    }

    pub(crate) async fn run(
        &self,
        policy: &str,
        mode: Mode,
        plan_file: Option<PlanFile<ImagePruning>>,
    ) -> Run<ImagePruning> {
        self.run_as(
            self.account.sdk_config(),
            policy,
            mode,
            plan_file,
            json!({}),
        )
        .await
    }

    pub(crate) async fn run_as(
        &self,
        config: SdkConfig,
        policy: &str,
        mode: Mode,
        plan_file: Option<PlanFile<ImagePruning>>,
        event: Value,
    ) -> Run<ImagePruning> {
        let switches = Switches::Fixed(Position::Run);
        let hands = Registry::at(&config, Clock::Fixed(self.now));
        self.run_with(&hands, &switches, policy, mode, plan_file, event)
            .await
    }

    pub(crate) async fn run_with(
        &self,
        hands: &Registry,
        switches: &Switches,
        policy: &str,
        mode: Mode,
        plan_file: Option<PlanFile<ImagePruning>>,
        event: Value,
    ) -> Run<ImagePruning> {
        let mut request = lambda::request::<ImagePruning>(&event).unwrap();
        request.mode = Some(mode);
        request.plan_file = plan_file;
        let run = self
            .account
            .run_function(hands, self.now, switches, policy, request);
        run.await.unwrap()
    }
}

/// The reason an image is kept for, or `None` when it isn't among the
/// examples.
pub(crate) fn kept_for<'a>(report: &'a Report, digest: &str) -> Option<&'a str> {
    report
        .kept
        .iter()
        .find(|line| {
            line.examples
                .iter()
                .any(|example| example.contains(&format!("@{digest}:")))
        })
        .map(|line| line.reason.as_str())
}

/// What became of an image's deletion, with the reason, when it was wanted.
pub(crate) fn fate<'a>(report: &'a Report, digest: &str) -> Option<(ActionOutcome, &'a str)> {
    report
        .actions
        .iter()
        .find(|line| line.resource.ends_with(digest))
        .map(|line| (line.outcome, line.reason.as_str()))
}

/// The images that were or would be deleted, sorted.
pub(crate) fn going(report: &Report) -> Vec<String> {
    let mut digests: Vec<String> = report
        .actions
        .iter()
        .filter(|line| matches!(line.outcome, ActionOutcome::Planned | ActionOutcome::Done))
        .filter_map(|line| {
            line.resource
                .split_once('@')
                .map(|(_, digest)| digest.to_owned())
        })
        .collect();
    digests.sort();
    digests
}

pub(crate) fn sorted(digests: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let mut digests: Vec<String> = digests.into_iter().map(Into::into).collect();
    digests.sort();
    digests
}
