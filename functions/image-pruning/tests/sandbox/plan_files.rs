//! A reviewed plan: only what is in it is done, and only as it was reviewed.

use image_pruning::ImagePruning;
use steward::engine::Mode;
use steward::plan_file::PlanFile;
use steward::report::{ActionOutcome, Status};

use crate::stage::{STRICT, Stage, fate};

async fn reviewed(stage: &Stage) -> PlanFile<ImagePruning> {
    let run = stage.run(STRICT, Mode::Plan, None).await;
    let text = serde_json::to_string_pretty(&run.plan_file()).unwrap();
    PlanFile::parse(&text).unwrap()
}

#[tokio::test]
async fn a_saved_plan_skips_what_drifted_and_adds_nothing() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let goes = stage.image(&repo, "goes", 60, &["v1"]).await;
    let gone = stage.image(&repo, "gone", 59, &["v2"]).await;
    let retagged = stage.image(&repo, "retagged", 58, &["v3"]).await;
    let deployed = stage.image(&repo, "deployed", 57, &["v4"]).await;
    stage.image(&repo, "newest", 40, &["v9"]).await;
    let plan = reviewed(&stage).await;
    assert_eq!(plan.actions.len(), 4);

    stage.image(&repo, "later", 50, &["v5"]).await;
    stage.image(&repo, "retagged", 58, &["again"]).await;
    stage.account.cluster("shop").await.unwrap();
    let task = stage
        .account
        .task_definition("web", &repo.tagged("v4"))
        .await
        .unwrap();
    stage
        .account
        .service("shop", "web", &task, 1)
        .await
        .unwrap();
    repo.delete(&gone).await.unwrap();

    let report = stage.run(STRICT, Mode::Apply, Some(plan)).await.report;

    assert_eq!(fate(&report, &goes).unwrap().0, ActionOutcome::Done);
    assert_eq!(fate(&report, &gone).unwrap().0, ActionOutcome::AlreadyDone);
    assert_eq!(fate(&report, &retagged).unwrap().0, ActionOutcome::Skipped);
    assert_eq!(fate(&report, &deployed).unwrap().0, ActionOutcome::Skipped);
    assert_eq!(report.status, Status::Partial);
    assert_eq!(repo.digests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_saved_plan_applied_twice_does_nothing_the_second_time() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.image(&repo, "goes", 60, &["v1"]).await;
    stage.image(&repo, "newest", 40, &["v9"]).await;
    let plan = reviewed(&stage).await;
    let again = PlanFile::parse(&serde_json::to_string(&plan).unwrap()).unwrap();

    let first = stage.run(STRICT, Mode::Apply, Some(plan)).await.report;
    let second = stage.run(STRICT, Mode::Apply, Some(again)).await.report;

    assert_eq!((first.status, first.summary.done), (Status::Applied, 1));
    assert_eq!((second.summary.done, second.summary.already_done), (0, 1));
    assert_eq!(second.status, Status::Applied);
}

#[tokio::test]
async fn a_reviewed_plan_exceeds_a_limit_only_where_the_policy_says_so() {
    let stage = Stage::new();
    let repo = stage.account.repository("tools/base").await.unwrap();
    for n in 0..20 {
        stage.image(&repo, &format!("base {n}"), 100 + n, &[]).await;
    }
    stage.image(&repo, "newest", 40, &["v9"]).await;
    let half = STRICT.replace(
        "max_delete_share_percent: 100",
        "max_delete_share_percent: 50",
    );
    let allowed = half.replace(
        "max_delete_share_percent: 50",
        "max_delete_share_percent: 50, reviewed_plan_may_exceed: [max_share_percent]",
    );
    // The plan that a person reviews says that it is refused, and holds what it
    // would do all the same.
    let planned = stage.run(&allowed, Mode::Plan, None).await;
    assert_eq!(planned.report.status, Status::Refused);
    let text = serde_json::to_string(&planned.plan_file()).unwrap();
    let unreviewed = stage.run(&half, Mode::Plan, None).await;
    assert_eq!(unreviewed.plan_file().actions.len(), 0);
    assert_eq!(stage.apply(&allowed).await.status, Status::Refused);

    let run = |policy: String| {
        let (stage, plan) = (&stage, PlanFile::parse(&text).unwrap());
        async move { stage.run(&policy, Mode::Apply, Some(plan)).await.report }
    };
    assert_eq!(run(half).await.status, Status::Refused);
    assert_eq!(repo.digests().await.unwrap().len(), 21);
    assert_eq!(run(allowed).await.summary.done, 20);
}
