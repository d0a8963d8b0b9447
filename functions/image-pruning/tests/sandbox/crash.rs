//! A run that is killed or whose calls fail at any point harms nothing, and
//! the next one completes the work.

use std::sync::Arc;

use image_pruning::ImagePruning;
use serde_json::json;
use steward::engine::Mode;
use steward::report::Status;
use steward_sandbox::faults::{At, Call, Fault, FaultClient, sweep};

use crate::stage::{STRICT, Stage, sorted};

/// A small account with something of everything; returns what must be left.
async fn arrange() -> (Stage, Vec<String>) {
    let stage = Stage::new();
    let web = stage.account.repository("shop/web").await.unwrap();
    let mut left = stage.index(&web, "deployed", 50, &["v2"]).await;
    stage.index(&web, "old", 60, &["v1"]).await;
    left.push(stage.image(&web, "newest", 40, &["v3"]).await);
    let worker = stage.account.repository("shop/worker").await.unwrap();
    left.push(stage.image(&worker, "pinned", 70, &[]).await);
    stage.image(&worker, "leftover", 65, &[]).await;
    left.push(stage.image(&worker, "newest", 40, &["v3"]).await);
    stage.account.cluster("shop").await.unwrap();
    for (name, image) in [
        ("web", web.tagged("v2")),
        ("worker", worker.pinned(&left[5])),
    ] {
        let task = stage.account.task_definition(name, &image).await.unwrap();
        stage.account.service("shop", name, &task, 1).await.unwrap();
    }
    stage
        .account
        .image_function("thumbnails", &worker.tagged("v3"))
        .await
        .unwrap();
    (stage, sorted(left))
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

async fn run(stage: &Stage, client: &FaultClient) -> Option<steward::run::Run<ImagePruning>> {
    let config = stage.account.sdk_config_with(client.clone());
    tokio::select! {
        run = stage.run_as(config, STRICT, Mode::Apply, None, json!({})) => Some(run),
        () = client.cut() => None,
    }
}

async fn calls_of_a_clean_run() -> Vec<Call> {
    let (stage, left) = arrange().await;
    let client = FaultClient::new(stage.account.http_client());
    let report = run(&stage, &client).await.unwrap().report;
    assert_eq!(report.status, Status::Applied);
    assert_eq!(present(&stage).await, left);
    client.calls()
}

/// Every call in turn meets every fault; then one clean run must end right.
async fn survives(faults: &[Fault]) {
    let calls = calls_of_a_clean_run().await;
    let mut met = 0;
    for cut in sweep(&calls, faults) {
        let (stage, left) = arrange().await;
        let before = present(&stage).await;
        let client = cut.client(stage.account.http_client());
        let first = run(&stage, &client).await;
        assert_eq!(first.is_none(), client.is_cut(), "{cut}");
        let after = present(&stage).await;
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
        let second = run(&stage, &clean).await.unwrap().report;
        assert!(
            matches!(second.status, Status::Applied | Status::NothingToDo),
            "{cut}: {second:?}"
        );
        assert_eq!(present(&stage).await, left, "{cut}");
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
    let calls = calls_of_a_clean_run().await;
    let mut needed: std::collections::BTreeSet<String> = calls.iter().map(Call::action).collect();
    // What the engine calls for every function: kill switches, policies, and a
    // topic after the run.
    let of_the_engine = [
        "ssm:GetParameters",
        "ssm:GetParameter",
        "s3:GetObject",
        "sns:Publish",
    ];
    needed.extend(of_the_engine.map(str::to_owned));
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
    let calls = calls_of_a_clean_run().await;
    let operations: std::collections::BTreeSet<String> = calls.iter().map(Call::action).collect();
    assert!(operations.len() >= 14, "{operations:?}");
    for operation in operations {
        let (stage, left) = arrange().await;
        let client =
            FaultClient::new(stage.account.http_client()).with(At::every(&operation), Fault::Deny);
        let report = run(&stage, &client).await.unwrap().report;
        let after = present(&stage).await;
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
    let (stage, left) = arrange().await;
    let client = Arc::new(FaultClient::new(stage.account.http_client()));
    let (one, two) = tokio::join!(run(&stage, &client), run(&stage, &client));
    let (one, two) = (one.unwrap().report, two.unwrap().report);
    assert_eq!(present(&stage).await, left);
    assert_eq!(one.summary.failed + two.summary.failed, 0);
    assert_eq!(one.summary.done + two.summary.done, 5, "{one:#?} {two:#?}");
}
