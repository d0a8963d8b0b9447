//! A run that is killed or whose calls fail at any point harms nothing, and
//! the next one completes the work.

use std::sync::Arc;

use image_pruning::ImagePruning;
use serde_json::json;
use steward::engine::Mode;
use steward::report::Status;
use steward_sandbox::faults::{At, Call, Fault, FaultClient, sweep};

use crate::elsewhere::role_of;
use crate::restore_points::{bucket, document, put, with_restore_points};
use crate::stage::{STRICT, Stage, sorted};
use crate::starts_tasks::{daemon, older_revision, rule, schedule, task_target};

/// An account, and what must be left of its images.
struct Scene {
    stage: Stage,
    policy: String,
    left: Vec<String>,
}

/// A small account with services and a function.
async fn arrange() -> Scene {
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
    Scene {
        policy: STRICT.to_owned(),
        left: sorted(left),
        stage,
    }
}

/// The same with every other kind of user, each with an image that nothing else
/// keeps.
async fn arrange_all() -> Scene {
    let Scene {
        stage, mut left, ..
    } = arrange().await;
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
    Scene {
        stage,
        policy,
        left: sorted(left),
    }
}

async fn present(stage: &Stage) -> Vec<String> {
    let mut all = Vec::new();
    for name in ["shop/web", "shop/worker"] {
        all.extend(
            stage
                .account
                .existing_repository(name)
                .digests()
                .await
                .unwrap(),
        );
    }
    sorted(all)
}

async fn run(scene: &Scene, client: &FaultClient) -> Option<steward::run::Run<ImagePruning>> {
    let config = scene.stage.account.sdk_config_with(client.clone());
    tokio::select! {
        run = scene.stage.run_as(config, &scene.policy, Mode::Apply, None, json!({})) => Some(run),
        () = client.cut() => None,
    }
}

async fn calls_of_a_clean_run(scene: Scene) -> Vec<Call> {
    let Scene { stage, left, .. } = &scene;
    let client = FaultClient::new(stage.account.http_client());
    let report = run(&scene, &client).await.unwrap().report;
    assert_eq!(report.status, Status::Applied);
    assert_eq!(present(stage).await, *left);
    client.calls()
}

/// Every call in turn meets every fault; then one clean run must end right.
async fn survives(faults: &[Fault]) {
    let calls = calls_of_a_clean_run(arrange().await).await;
    let mut met = 0;
    for cut in sweep(&calls, faults) {
        let scene = arrange().await;
        let Scene { stage, left, .. } = &scene;
        let before = present(stage).await;
        let client = cut.client(stage.account.http_client());
        let first = run(&scene, &client).await;
        assert_eq!(first.is_none(), client.is_cut(), "{cut}");
        let after = present(stage).await;
        assert!(
            left.iter().all(|digest| after.contains(digest)),
            "{cut} lost an image in use"
        );
        assert!(after.iter().all(|digest| before.contains(digest)), "{cut}");
        if let Some(run) = &first {
            let claimed = run.report.summary.done + run.report.summary.already_done;
            assert!(
                claimed <= before.len() - after.len(),
                "{cut}: {claimed} claimed to be gone of {before:?}, and there are {after:?}"
            );
        }
        if let Some(run) = &first
            && run.report.summary.failed + run.report.gaps.len() + run.report.refusals.len() > 0
        {
            assert!(
                !matches!(run.report.status, Status::Applied | Status::NothingToDo),
                "{cut}: a failure must be visible, but: {:?}",
                run.report
            );
        }
        let clean = FaultClient::new(stage.account.http_client());
        let second = run(&scene, &clean).await.unwrap().report;
        assert!(
            matches!(second.status, Status::Applied | Status::NothingToDo),
            "{cut}: {second:?}"
        );
        assert_eq!(present(stage).await, *left, "{cut}");
        met += usize::from(client.unspent().is_empty());
    }
    assert!(
        met >= calls.len() * faults.len() * 9 / 10,
        "only {met} faults met their call"
    );
}

#[tokio::test]
async fn killed_before_any_call_it_is_completed_by_the_next_run() {
    survives(&[Fault::CutBefore]).await;
}

#[tokio::test]
async fn killed_after_any_call_it_is_completed_by_the_next_run() {
    survives(&[Fault::CutAfter]).await;
}

#[tokio::test]
async fn throttled_or_unanswered_at_any_call_it_finishes_or_says_so() {
    survives(&[Fault::Throttle, Fault::LostAnswer]).await;
}

#[tokio::test]
async fn denied_or_broken_at_any_call_it_harms_nothing() {
    survives(&[Fault::Deny, Fault::error(500, "InternalFailure")]).await;
}

#[tokio::test]
async fn empty_or_cut_answers_at_any_call_harm_nothing() {
    survives(&[Fault::EmptyAnswer, Fault::TruncatedAnswer]).await;
}

#[tokio::test]
async fn the_readme_names_every_permission_and_none_that_is_not_needed() {
    let calls = calls_of_a_clean_run(arrange_all().await).await;
    // The one permission that is named otherwise than its operation ("Actions,
    // resources, and condition keys for Amazon S3", Service Authorization
    // Reference).
    let action_of = |call: &Call| call.action().replace("s3:ListObjectsV2", "s3:ListBucket");
    let mut needed: std::collections::BTreeSet<String> = calls.iter().map(action_of).collect();
    // What the engine calls for every function: kill switches and policies.
    needed.extend(["ssm:GetParameters", "ssm:GetParameter", "s3:GetObject"].map(str::to_owned));
    let readme = include_str!("../../README.md");
    let section = readme.split("### Permissions").nth(1).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let told = rows
        .filter_map(|line| line.split('`').nth(1).map(str::to_owned))
        .collect();
    assert_eq!(needed, told);
}

#[tokio::test]
async fn each_operation_denied_throughout_harms_nothing() {
    let calls = calls_of_a_clean_run(arrange_all().await).await;
    let operations: std::collections::BTreeSet<String> = calls.iter().map(Call::action).collect();
    assert!(operations.len() >= 29, "{operations:?}");
    for operation in operations {
        let scene = arrange_all().await;
        let Scene { stage, left, .. } = &scene;
        let client =
            FaultClient::new(stage.account.http_client()).with(At::every(&operation), Fault::Deny);
        let report = run(&scene, &client).await.unwrap().report;
        let after = present(stage).await;
        assert!(
            left.iter().all(|digest| after.contains(digest)),
            "{operation}"
        );
        assert!(
            !matches!(report.status, Status::Applied | Status::NothingToDo),
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

#[tokio::test]
async fn two_runs_at_once_delete_each_image_once_and_nothing_else() {
    let scene = arrange().await;
    let Scene { stage, left, .. } = &scene;
    let client = Arc::new(FaultClient::new(stage.account.http_client()));
    let (one, two) = tokio::join!(run(&scene, &client), run(&scene, &client));
    let (one, two) = (one.unwrap().report, two.unwrap().report);
    assert_eq!(present(stage).await, *left);
    assert_eq!(one.summary.failed + two.summary.failed, 0);
    assert_eq!(one.summary.done + two.summary.done, 5, "{one:#?} {two:#?}");
}
