//! Deleting: what is read again just before, and failures inside an answer
//! that says 200.

use image_pruning::{Action, ImagePruning, PruningPolicy, Registry, Scope};
use steward::engine::{Act, Clock, Decision, Function, Observe, Outcome};
use steward::policy::PolicyDocument;
use steward::report::{ActionOutcome, Status};
use steward_sandbox::{Fault, ImageFailure, Manifest};

use crate::stage::{STRICT, Stage, fate, going, sorted};

/// What `decide` wants done, with hands that have observed the account.
async fn decided(stage: &Stage) -> (Registry, PruningPolicy, Vec<Action>) {
    let policy = PolicyDocument::<PruningPolicy>::parse(STRICT, "test").unwrap();
    let hands = Registry::at(&stage.account.sdk_config(), Clock::Fixed(stage.now));
    let seen = hands.observe(policy.policy(), &Scope::Everything).await;
    assert_eq!(seen.gaps, []);
    let plan = ImagePruning::decide(policy.policy(), &Scope::Everything, &seen, stage.now);
    let actions = plan
        .items
        .into_iter()
        .filter_map(|item| match item.decision {
            Decision::Act(change) => Some(change.action),
            Decision::Keep | Decision::Defer => None,
        });
    (hands, policy.policy().clone(), actions.collect())
}

fn skipped(outcome: &Outcome, why: &str) -> bool {
    matches!(outcome, Outcome::Skipped(text) if text.contains(why))
}

#[tokio::test]
async fn keeps_an_image_that_comes_into_use_after_it_was_observed() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let index = stage.index(&repo, "release", 60, &["v1"]).await;
    stage.image(&repo, "newest", 40, &["v2"]).await;
    let (hands, policy, actions) = decided(&stage).await;
    assert_eq!(actions.len(), 4);

    stage.account.cluster("shop").await.unwrap();
    let task = stage
        .account
        .task_definition("web", &repo.pinned(&index[2]))
        .await
        .unwrap();
    stage
        .account
        .service("shop", "web", &task, 1)
        .await
        .unwrap();
    let outcomes = hands.act(&policy, &actions).await;

    assert!(
        outcomes.iter().all(|o| skipped(o, "come into use")),
        "{outcomes:?}"
    );
    assert_eq!(repo.digests().await.unwrap().len(), 5);
}

#[tokio::test]
async fn keeps_an_image_that_got_another_tag_and_knows_one_that_is_gone() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let retagged = stage.image(&repo, "retagged", 60, &["v1"]).await;
    let gone = stage.image(&repo, "gone", 59, &["v2"]).await;
    let goes = stage.image(&repo, "goes", 58, &["v3"]).await;
    stage.image(&repo, "newest", 40, &["v9"]).await;
    let (hands, policy, actions) = decided(&stage).await;

    stage.image(&repo, "retagged", 60, &["promoted"]).await;
    repo.delete(&gone).await.unwrap();
    let outcomes = hands.act(&policy, &actions).await;

    for (action, outcome) in actions.iter().zip(&outcomes) {
        let image = action.removal();
        match image.digest.as_str() {
            d if d == retagged => assert!(skipped(outcome, "tags have changed"), "{outcome:?}"),
            d if d == gone => assert_eq!(*outcome, Outcome::AlreadyDone),
            d => {
                assert_eq!(d, goes);
                assert_eq!(*outcome, Outcome::Done);
            }
        }
    }
    assert!(repo.has(&retagged).await.unwrap());
}

#[tokio::test]
async fn a_hold_set_after_observing_stops_the_repository() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.image(&repo, "old", 60, &["v1"]).await;
    stage.image(&repo, "newest", 40, &["v9"]).await;
    let (hands, policy, actions) = decided(&stage).await;

    let ecr = stage.account.ecr();
    let described = ecr.describe_repositories().send().await.unwrap();
    ecr.tag_resource()
        .resource_arn(described.repositories()[0].repository_arn().unwrap())
        .tags(
            aws_sdk_ecr::types::Tag::builder()
                .key("steward:hold")
                .value("x")
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    let outcomes = hands.act(&policy, &actions).await;

    assert!(skipped(&outcomes[0], "on hold"), "{outcomes:?}");
    assert_eq!(repo.digests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_use_that_cannot_be_read_again_stops_the_deletion() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.image(&repo, "old", 60, &["v1"]).await;
    stage.image(&repo, "newest", 40, &["v9"]).await;
    let (hands, policy, actions) = decided(&stage).await;

    let denied = Fault::of("ecs", "ListClusters", "AccessDeniedException");
    stage.account.control().fault(&denied).await.unwrap();
    let outcomes = hands.act(&policy, &actions).await;

    assert!(matches!(&outcomes[0], Outcome::Failed(why) if why.contains("ecs:ListClusters")));
    assert_eq!(repo.digests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_index_pushed_meanwhile_over_a_doomed_image_saves_it() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let child = Manifest::image_for("child", "amd64");
    repo.push_at(stage.days_ago(60), &child, &[]).await.unwrap();
    stage.image(&repo, "newest", 40, &["v9"]).await;
    let (hands, policy, actions) = decided(&stage).await;

    repo.push(&Manifest::index(&[&child]), Some("v10"))
        .await
        .unwrap();
    let outcomes = hands.act(&policy, &actions).await;

    assert!(
        skipped(&outcomes[0], "index that still exists"),
        "{outcomes:?}"
    );
    assert!(repo.has(child.digest()).await.unwrap());
}

#[tokio::test]
async fn a_failure_inside_an_answer_is_a_failure_of_that_image_only() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let index = stage.index(&repo, "broken", 60, &["v1"]).await;
    let fine = stage.image(&repo, "fine", 58, &["v3"]).await;
    stage.image(&repo, "newest", 40, &["v9"]).await;
    let fault = Fault {
        service: "ecr".into(),
        operation: "BatchDeleteImage".into(),
        image_failure: Some(ImageFailure {
            digest: index[0].clone(),
            code: "KmsError".into(),
        }),
        ..Fault::default()
    };
    stage.account.control().fault(&fault).await.unwrap();

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::Partial);
    assert_eq!(fate(&report, &fine).unwrap().0, ActionOutcome::Done);
    assert_eq!(fate(&report, &index[0]).unwrap().0, ActionOutcome::Failed);
    let failed = report
        .actions
        .iter()
        .find(|l| l.outcome == ActionOutcome::Failed)
        .unwrap();
    assert!(failed.error.as_ref().unwrap().contains("KmsError"));
    for child in &index[1..] {
        assert_eq!(fate(&report, child).unwrap().0, ActionOutcome::Deferred);
        assert!(repo.has(child).await.unwrap());
    }

    stage.account.control().clear_faults().await.unwrap();
    let again = stage.apply(STRICT).await;
    assert_eq!(
        (again.status, going(&again)),
        (Status::Applied, sorted(index))
    );
}

#[tokio::test]
async fn slows_down_when_throttled_and_finishes() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    for n in 0..5 {
        stage
            .image(&repo, &format!("old {n}"), 60 + n, &[&format!("v{n}")])
            .await;
    }
    for (service, operation) in [
        ("ecr", "DescribeImages"),
        ("ecr", "BatchDeleteImage"),
        ("ecs", "ListTasks"),
        ("lambda", "ListFunctions"),
    ] {
        let fault = Fault {
            times: Some(2),
            ..Fault::of(service, operation, "ThrottlingException")
        };
        stage.account.control().fault(&fault).await.unwrap();
    }

    let report = stage.apply(STRICT).await;

    assert_eq!(
        (report.status, report.summary.done),
        (Status::Applied, 4),
        "{report:#?}"
    );
    assert_eq!(report.gaps, []);
}

#[tokio::test]
async fn deletes_more_than_a_page_and_a_batch_and_counts_its_calls() {
    let stage = Stage::new();
    let repo = stage.account.repository("builds").await.unwrap();
    let images: Vec<steward_sandbox::Image> = (0..1250)
        .map(|n| steward_sandbox::Image {
            tags: vec![format!("b{n}")],
            pushed_at: Some(stage.days_ago(2 + n)),
            ..steward_sandbox::Image::default()
        })
        .collect();
    let digests = repo.fill(&images).await.unwrap();
    let policy = STRICT.replace(
        "limits: {",
        "limits: {max_deletes_per_repository: 10000, max_deletes_per_run: 10000, ",
    );
    stage.account.control().clear_calls().await.unwrap();

    let report = stage.apply(&policy).await;

    assert_eq!(
        (report.status, report.summary.done),
        (Status::Applied, 1249)
    );
    let calls = stage.account.control().calls().await.unwrap();
    let count = |operation: &str| calls.iter().filter(|c| c.operation == operation).count();
    assert_eq!(count("BatchDeleteImage"), 13);
    // Two pages, and one look at each batch before it goes.
    assert_eq!(count("DescribeImages"), 2 + 13);
    assert_eq!(count("BatchGetImage"), 0);
    assert_eq!(repo.digests().await.unwrap(), digests[..1]);
}
