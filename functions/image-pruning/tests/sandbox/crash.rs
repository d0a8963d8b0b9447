//! A run that is killed or whose calls fail at any point harms nothing, and
//! the next one completes the work.

use aws_config::SdkConfig;
use aws_sdk_ecr::types::{DescribeImagesFilter, ImageStatus, ImageStatusFilter};
use image_pruning::ImagePruning;
use serde_json::json;
use steward::aws;
use steward::engine::Mode;
use steward::report::{Report, Status};
use steward::run::Run;
use steward_sandbox::Account;
use steward_sandbox::faults::{
    self, At, Call, Fault, FaultClient, in_turn, run_until_cut, survive, sweep,
};

use crate::elsewhere::role_of;
use crate::restore_points::{bucket, document, put, with_restore_points};
use crate::stage::{STRICT, Stage};
use crate::starts_tasks::{daemon, older_revision, rule, schedule, task_target};

/// What a run goes over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scene {
    /// Images that go for good, and services and a function that use others.
    Deleting,
    /// The same with every other kind of user, each with an image that nothing
    /// else keeps.
    EveryUser,
    /// Images that go to the archive, and from there.
    Archiving,
}

/// A scene in an account of its own.
pub(crate) struct Arranged {
    pub(crate) stage: Stage,
    pub(crate) policy: String,
    /// What must be left of its images.
    left: Vec<Found>,
}

const ARCHIVING: &str = r#"
version: 1
repositories: {include: ["*"]}
retention:
  keep_newest: 1
  keep_younger_than: 1d
  remove_untagged_after: 1d
  remove_unpulled_after: 30d
  remove_by: archive
  delete_archived_after: 90d
limits: {max_delete_share_percent: 100}
"#;

impl Scene {
    pub(crate) async fn arrange(self) -> Arranged {
        let mut arranged = match self {
            Self::Deleting => Box::pin(deleting()).await,
            Self::EveryUser => Box::pin(every_user()).await,
            Self::Archiving => Box::pin(archiving()).await,
        };
        arranged.left.sort();
        arranged
    }

    async fn calls_of_a_clean_run(self) -> Vec<Call> {
        let arranged = Box::pin(self.arrange()).await;
        Box::pin(faults::calls_of_a_clean_run(&arranged)).await
    }
}

impl faults::Arranged for Arranged {
    type Function = ImagePruning;
    type Found = Vec<Found>;

    fn account(&self) -> &Account {
        &self.stage.account
    }

    async fn run(&self, config: SdkConfig) -> Run<ImagePruning> {
        let run = self
            .stage
            .run_as(config, &self.policy, Mode::Apply, None, json!({}));
        Box::pin(run).await
    }

    async fn found(&self) -> Vec<Found> {
        present(&self.stage).await
    }

    fn assert_harmless(
        &self,
        before: &Vec<Found>,
        after: &Vec<Found>,
        report: Option<&Report>,
        told: &str,
    ) {
        assert_harmless(&self.left, before, after, told);
        let Some(report) = report else { return };
        let claimed = report.summary.done + report.summary.already_done;
        // What goes from the archive is counted as gone already.
        let gone_from_it = before.iter().filter(|(digest, status)| {
            *status == "ARCHIVED" && !digests(after).contains(&digest.as_str())
        });
        let in_archive = archived(after) + gone_from_it.count() - archived(before);
        assert!(
            claimed <= before.len() - after.len() + in_archive,
            "{told}: {claimed} claimed to be gone of {before:?}, and there are {after:?}"
        );
    }

    async fn assert_completed(&self, told: &str) {
        let report = self.run(self.stage.account.sdk_config()).await.report;
        assert!(
            matches!(report.status, Status::Applied | Status::NothingToDo),
            "{told}: {report:?}"
        );
        assert_eq!(present(&self.stage).await, self.left, "{told}");
    }
}

/// An image as it has to be found in the end.
type Found = (String, &'static str);

fn active(digests: Vec<String>) -> Vec<Found> {
    let found = digests.into_iter().map(|digest| (digest, "ACTIVE"));
    found.collect()
}

async fn deleting() -> Arranged {
    let stage = Stage::new();
    let account = &stage.account;
    let web = account.repository("shop/web").await.unwrap();
    let mut left = stage.index(&web, "deployed", 50, &["v2"]).await;
    stage.index(&web, "old", 60, &["v1"]).await;
    left.push(stage.image(&web, "newest", 40, &["v3"]).await);
    let worker = account.repository("shop/worker").await.unwrap();
    left.push(stage.image(&worker, "pinned", 70, &[]).await);
    stage.image(&worker, "leftover", 65, &[]).await;
    left.push(stage.image(&worker, "newest", 40, &["v3"]).await);
    account.cluster("shop").await.unwrap();
    for (name, image) in [
        ("web", web.tagged("v2")),
        ("worker", worker.pinned(&left[5])),
    ] {
        let task = account.task_definition(name, &image).await.unwrap();
        account.service("shop", name, &task, 1).await.unwrap();
    }
    account
        .image_function("thumbnails", &worker.tagged("v3"))
        .await
        .unwrap();
    Arranged {
        policy: STRICT.to_owned(),
        left: active(left),
        stage,
    }
}

async fn every_user() -> Arranged {
    let Arranged {
        stage,
        left: used,
        policy: _,
    } = deleting().await;
    let mut left = Vec::new();
    let account = &stage.account;
    let worker = account.existing_repository("shop/worker");
    let (older, image) = older_revision(&stage, &worker, "on-event").await;
    rule(account, "default", "on-event", &older).await;
    left.push(image);
    let (older, image) = older_revision(&stage, &worker, "nightly").await;
    schedule(account, "nightly", task_target(account, &older)).await;
    left.push(image);
    // The image came after the daemon, so that only its tag is known.
    daemon(account, "agent", &worker.tagged("agent")).await;
    left.push(stage.image(&worker, "agent", 60, &["agent"]).await);
    let bucket = bucket(&stage).await;
    let named = stage.image(&worker, "named", 60, &[]).await;
    let text = document("restore_point", &worker.pinned(&named));
    put(&stage, &bucket, "points/shop.json", &text).await;
    left.push(named);
    let other = Stage::new().account;
    let elsewhere = stage.image(&worker, "elsewhere", 60, &[]).await;
    let pinned = worker.pinned(&elsewhere);
    other.image_function("elsewhere", &pinned).await.unwrap();
    left.push(elsewhere);

    let policy = with_restore_points(&bucket).replace(
        "in_use: {",
        &format!(
            "in_use: {{elsewhere: [{{role_arn: \"{}\", regions: [us-east-1]}}], ",
            role_of(&other)
        ),
    );
    Arranged {
        stage,
        policy,
        left: [used, active(left)].concat(),
    }
}

/// An index with its parts and signatures that is to be archived, one that was
/// archived long ago and goes, and the newest.
async fn archiving() -> Arranged {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let mut old = stage.index(&repo, "old", 60, &["v1"]).await;
    let signature = steward_sandbox::Image {
        pushed_at: Some(stage.days_ago(60)),
        subject: Some(old[0].clone()),
        ..steward_sandbox::Image::default()
    };
    old.extend(repo.fill(&[signature]).await.unwrap());
    let mut found: Vec<Found> = old.into_iter().map(|digest| (digest, "ARCHIVED")).collect();
    found.push((stage.image(&repo, "newest", 40, &["v2"]).await, "ACTIVE"));
    let long_ago = steward_sandbox::Image {
        tags: vec!["v0".to_owned()],
        pushed_at: Some(stage.days_ago(400)),
        status: Some("ARCHIVED".to_owned()),
        archived_at: Some(stage.days_ago(100)),
        ..steward_sandbox::Image::default()
    };
    repo.fill(&[long_ago]).await.unwrap();
    Arranged {
        policy: ARCHIVING.to_owned(),
        left: found,
        stage,
    }
}

async fn present(stage: &Stage) -> Vec<Found> {
    let mut all = Vec::new();
    for name in ["shop/web", "shop/worker"] {
        let filter = DescribeImagesFilter::builder()
            .image_status(ImageStatusFilter::Any)
            .build();
        let listing = stage.account.ecr().describe_images().repository_name(name);
        let mut pages = listing.filter(filter).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = match page {
                // Not every scene has both.
                Err(error) if aws::code(&error) == Some("RepositoryNotFoundException") => break,
                page => page.unwrap(),
            };
            for detail in page.image_details.unwrap() {
                let status = match detail.image_status.unwrap() {
                    ImageStatus::Active => "ACTIVE",
                    ImageStatus::Archived => "ARCHIVED",
                    other => panic!("{other}"),
                };
                all.push((detail.image_digest.unwrap(), status));
            }
        }
    }
    all.sort();
    all
}

/// What must be there at every moment, archived or not.
fn digests(found: &[Found]) -> Vec<&str> {
    found.iter().map(|(digest, _)| digest.as_str()).collect()
}

fn archived(found: &[Found]) -> usize {
    found
        .iter()
        .filter(|(_, status)| *status == "ARCHIVED")
        .count()
}

/// What must be left is there, what is used can be pulled, and nothing is new.
fn assert_harmless(left: &[Found], before: &[Found], after: &[Found], told: &str) {
    let (there, then) = (digests(after), digests(before));
    assert!(digests(left).iter().all(|d| there.contains(d)), "{told}");
    assert!(there.iter().all(|digest| then.contains(digest)), "{told}");
    let mut in_use = left.iter().filter(|(_, status)| *status == "ACTIVE");
    assert!(
        in_use.all(|image| after.contains(image)),
        "{told} lost an image in use"
    );
}

/// Every call in turn meets every fault; then one clean run must end right.
async fn survives(scene: Scene, faults: &[Fault]) {
    let calls = scene.calls_of_a_clean_run().await;
    let arrange = || Box::pin(scene.arrange());
    Box::pin(survive(arrange, in_turn(sweep(&calls, faults)))).await;
}

#[tokio::test]
async fn killed_before_any_call_it_is_completed_by_the_next_run() {
    survives(Scene::Deleting, &[Fault::CutBefore]).await;
}

#[tokio::test]
async fn killed_after_any_call_it_is_completed_by_the_next_run() {
    survives(Scene::Deleting, &[Fault::CutAfter]).await;
}

#[tokio::test]
async fn throttled_or_unanswered_at_any_call_it_finishes_or_says_so() {
    survives(Scene::Deleting, &[Fault::Throttle, Fault::LostAnswer]).await;
}

#[tokio::test]
async fn denied_or_broken_at_any_call_it_harms_nothing() {
    survives(
        Scene::Deleting,
        &[Fault::Deny, Fault::error(500, "InternalFailure")],
    )
    .await;
}

#[tokio::test]
async fn empty_or_cut_answers_at_any_call_harm_nothing() {
    survives(
        Scene::Deleting,
        &[Fault::EmptyAnswer, Fault::TruncatedAnswer],
    )
    .await;
}

#[tokio::test]
async fn an_archiving_run_that_is_killed_at_any_call_is_completed_by_the_next() {
    survives(Scene::Archiving, &[Fault::CutBefore, Fault::CutAfter]).await;
}

#[tokio::test]
async fn an_archiving_run_whose_calls_fail_harms_nothing() {
    let faults = [
        Fault::LostAnswer,
        Fault::Deny,
        Fault::EmptyAnswer,
        Fault::error(500, "InternalFailure"),
    ];
    survives(Scene::Archiving, &faults).await;
}

#[tokio::test]
async fn each_operation_denied_throughout_harms_nothing() {
    for (scene, least) in [(Scene::EveryUser, 29), (Scene::Archiving, 10)] {
        let calls = scene.calls_of_a_clean_run().await;
        let operations: std::collections::BTreeSet<String> =
            calls.iter().map(Call::action).collect();
        assert!(operations.len() >= least, "{operations:?}");
        for operation in operations {
            let arranged = scene.arrange().await;
            let Arranged { stage, left, .. } = &arranged;
            let before = present(stage).await;
            let client = FaultClient::new(stage.account.http_client())
                .with(At::every(&operation), Fault::Deny);
            let report = run_until_cut(&arranged, &client).await.unwrap();
            assert_harmless(left, &before, &present(stage).await, &operation);
            // Nothing waits for what only a warning is made of.
            let for_warnings = [
                "ecr:GetLifecyclePolicy",
                "ecr:ListPullTimeUpdateExclusions",
                "sts:GetCallerIdentity",
            ];
            assert_eq!(
                matches!(report.status, Status::Applied | Status::NothingToDo),
                for_warnings.contains(&operation.as_str()),
                "{operation}: {:?}",
                report.status
            );
            let text = serde_json::to_string(&report).unwrap();
            assert!(
                text.contains(&operation),
                "{operation} is not named: {text}"
            );
        }
    }
}

#[tokio::test]
async fn two_runs_at_once_delete_each_image_once_and_nothing_else() {
    let arranged = Scene::Deleting.arrange().await;
    let Arranged { stage, left, .. } = &arranged;
    let client = FaultClient::new(stage.account.http_client());
    let run = || run_until_cut(&arranged, &client);
    let (one, two) = tokio::join!(run(), run());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(present(stage).await, *left);
    assert_eq!(one.summary.failed + two.summary.failed, 0);
    assert_eq!(one.summary.done + two.summary.done, 5, "{one:#?} {two:#?}");
}
