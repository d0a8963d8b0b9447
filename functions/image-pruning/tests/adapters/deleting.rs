//! The look before a deletion, and the deletion, answer by answer.

use image_pruning::{Action, ImagePruning, Scope};
use serde_json::{Value, json};
use steward::engine::{Act, Decision, Function, Outcome};
use steward_sandbox::faults::{Answer, Scripted};

use crate::script::{Stage, account, body, digest, image, now};

/// Three to delete (1, 2 and 3) and one that stays.
fn registry() -> Scripted {
    account(vec![
        image(0, &["head"]),
        image(1, &[]),
        image(2, &["v2"]),
        image(3, &[]),
    ])
}

/// The outcomes of what is decided, by the image's number.
async fn outcomes(script: Scripted) -> (Stage, Vec<Outcome>) {
    let stage = Stage::over(script).await;
    let outcomes = act(&stage).await;
    (stage, outcomes)
}

async fn act(stage: &Stage) -> Vec<Outcome> {
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let plan = ImagePruning::decide(&stage.policy, &Scope::Everything, &seen, now());
    let actions: Vec<Action> = plan
        .items
        .into_iter()
        .filter_map(|item| match item.decision {
            Decision::Act(change) => Some(change.action),
            Decision::Keep | Decision::Defer => None,
        })
        .collect();
    assert_eq!(actions.len(), 3);
    stage.hands.act(&stage.policy, &actions).await
}

fn failed(outcome: &Outcome, why: &str) -> bool {
    matches!(outcome, Outcome::Failed(text) if text.contains(why))
}

fn skipped(outcome: &Outcome, why: &str) -> bool {
    matches!(outcome, Outcome::Skipped(text) if text.contains(why))
}

/// What the look before the deletion is told of the images it asks for.
fn looking(answer: impl Fn(Vec<Value>) -> Answer + Send + Sync + 'static) -> Scripted {
    let all = [
        image(0, &["head"]),
        image(1, &[]),
        image(2, &["v2"]),
        image(3, &[]),
    ];
    registry().always(
        "ecr:DescribeImages",
        move |request| match body(request)["imageIds"].as_array() {
            None => Answer::Json(json!({"imageDetails": all})),
            Some(ids) => {
                let asked = |image: &&Value| {
                    ids.iter()
                        .any(|id| id["imageDigest"] == image["imageDigest"])
                };
                answer(all.iter().filter(asked).cloned().collect())
            }
        },
    )
}

#[tokio::test]
async fn deletes_by_digest_in_one_call() {
    let (stage, outcomes) = outcomes(registry()).await;
    assert_eq!(outcomes, [Outcome::Done, Outcome::Done, Outcome::Done]);
    let sent = stage.sent("BatchDeleteImage");
    let ids: Vec<Value> = (1..4).map(|n| json!({"imageDigest": digest(n)})).collect();
    assert_eq!(sent, [json!({"repositoryName": "app", "imageIds": ids})]);
}

/// The same with listings that show other images than the observation did,
/// after a look that does not tell of all images.
fn looking_twice(look: Answer, now: impl Into<Answer>) -> Scripted {
    let before = [
        image(0, &["head"]),
        image(1, &[]),
        image(2, &["v2"]),
        image(3, &[]),
    ];
    let now = now.into();
    registry()
        .on("ecr:DescribeImages", json!({"imageDetails": before}))
        .always("ecr:DescribeImages", move |request| {
            if body(request)["imageIds"].is_array() {
                return look.clone();
            }
            assert_eq!(body(request)["filter"], json!({"imageStatus": "ANY"}));
            now.clone()
        })
}

fn not_found() -> Answer {
    Answer::error(400, "ImageNotFoundException", "one of them is gone")
}

#[tokio::test]
async fn one_that_is_gone_is_done_already_and_a_listing_tells_which() {
    let now = json!({"imageDetails": [image(0, &["head"]), image(1, &[]), image(3, &[])]});
    for look in [not_found(), json!({}).into(), now.clone().into()] {
        let (stage, outcomes) = outcomes(looking_twice(look, now.clone())).await;
        assert_eq!(
            outcomes,
            [Outcome::Done, Outcome::AlreadyDone, Outcome::Done]
        );
        assert_eq!(
            stage.sent("BatchDeleteImage")[0]["imageIds"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        // One for the observation, one by ids, one listing.
        assert_eq!(stage.client.count("ecr:DescribeImages"), 3);
    }
}

#[tokio::test]
async fn one_that_is_not_found_because_it_was_archived_stays() {
    let mut archived = image(2, &["v2"]);
    archived["imageStatus"] = json!("ARCHIVED");
    let now =
        json!({"imageDetails": [image(0, &["head"]), image(1, &[]), archived, image(3, &[])]});
    let (_, outcomes) = outcomes(looking_twice(not_found(), now)).await;
    assert_eq!(outcomes[0], Outcome::Done);
    assert!(skipped(&outcomes[1], "archived"), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::Done);
}

#[tokio::test]
async fn where_all_are_gone_nothing_is_deleted() {
    let now = json!({"imageDetails": [image(0, &["head"])]});
    let (stage, outcomes) = outcomes(looking_twice(not_found(), now)).await;
    assert_eq!(
        outcomes,
        [
            Outcome::AlreadyDone,
            Outcome::AlreadyDone,
            Outcome::AlreadyDone
        ]
    );
    assert_eq!(stage.client.count("ecr:BatchDeleteImage"), 0);
}

#[tokio::test]
async fn a_listing_that_is_not_whole_stops_the_batch() {
    let denied = || Answer::error(400, "AccessDeniedException", "no");
    for now in [
        denied(),
        json!({}).into(),
        json!({"imageDetails": [{}]}).into(),
    ] {
        let (stage, outcomes) = outcomes(looking_twice(not_found(), now)).await;
        assert!(
            outcomes.iter().all(|o| failed(o, "ecr:DescribeImages")),
            "{outcomes:?}"
        );
        assert_eq!(stage.client.count("ecr:BatchDeleteImage"), 0);
    }
}

#[tokio::test]
async fn one_that_was_archived_or_tagged_meanwhile_stays() {
    let script = looking(|mut found| {
        found[0]["imageStatus"] = json!("ARCHIVED");
        found[1]["imageTags"] = json!(["v2", "promoted"]);
        json!({"imageDetails": found}).into()
    });
    let (_, outcomes) = outcomes(script).await;
    assert!(skipped(&outcomes[0], "archived"), "{outcomes:?}");
    assert!(
        skipped(&outcomes[1], "[v2] to [promoted, v2]"),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[2], Outcome::Done);
}

#[tokio::test]
async fn a_repository_that_is_gone_is_done_already() {
    let gone = || {
        Answer::error(
            400,
            "RepositoryNotFoundException",
            "The repository is gone.",
        )
    };
    for script in [
        looking_twice(gone(), gone()),
        registry().always("ecr:BatchDeleteImage", move |_| gone()),
    ] {
        let (_, outcomes) = outcomes(script).await;
        assert_eq!(
            outcomes,
            [
                Outcome::AlreadyDone,
                Outcome::AlreadyDone,
                Outcome::AlreadyDone
            ]
        );
    }
}

#[tokio::test]
async fn a_deletion_that_answers_less_than_was_asked_has_failed_for_the_rest() {
    let script = registry().always(
        "ecr:BatchDeleteImage",
        |request| json!({"imageIds": [body(request)["imageIds"][1]], "failures": []}),
    );
    let (_, outcomes) = outcomes(script).await;
    assert!(failed(&outcomes[0], "no answer"), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Done);
    assert!(failed(&outcomes[2], "no answer"), "{outcomes:?}");

    let empty = registry().always("ecr:BatchDeleteImage", |_| json!({}));
    let (_, outcomes) = self::outcomes(empty).await;
    assert!(
        outcomes.iter().all(|o| failed(o, "no answer")),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn failures_inside_an_answer_are_told_apart() {
    let failure = |n: usize, code: Value| {
        json!({"imageId": {"imageDigest": digest(n)}, "failureCode": code,
            "failureReason": "a reason"})
    };
    let answer = json!({"imageIds": [], "failures": [
        failure(1, json!("ImageNotFound")),
        failure(2, json!("ImageReferencedByManifestList")),
        failure(3, json!("SomethingNew")),
    ]});
    let script = registry().always("ecr:BatchDeleteImage", move |_| answer.clone());
    let (_, outcomes) = outcomes(script).await;
    assert_eq!(outcomes[0], Outcome::AlreadyDone);
    assert!(
        skipped(&outcomes[1], "an index that still exists"),
        "{outcomes:?}"
    );
    assert!(
        failed(&outcomes[2], "SomethingNew: a reason"),
        "{outcomes:?}"
    );

    let uncoded = json!({"imageIds": [], "failures": [failure(1, Value::Null)]});
    let script = registry().always("ecr:BatchDeleteImage", move |_| uncoded.clone());
    let (_, outcomes) = self::outcomes(script).await;
    assert!(failed(&outcomes[0], "no failure code"), "{outcomes:?}");
    assert!(failed(&outcomes[1], "no answer"), "{outcomes:?}");
}

#[tokio::test]
async fn an_image_that_is_both_deleted_and_failed_has_failed() {
    let script = registry().always("ecr:BatchDeleteImage", |request| {
        json!({"imageIds": body(request)["imageIds"], "failures": [
            {"imageId": {"imageDigest": digest(2)}, "failureCode": "KmsError"}]})
    });
    let (_, outcomes) = outcomes(script).await;
    assert_eq!(outcomes[0], Outcome::Done);
    assert!(failed(&outcomes[1], "KmsError"), "{outcomes:?}");
}

#[tokio::test]
async fn a_look_that_fails_deletes_nothing() {
    for (operation, status, code) in [
        ("ecr:ListTagsForResource", 400, "AccessDeniedException"),
        ("ecr:DescribeImages", 400, "AccessDeniedException"),
        ("ecs:ListClusters", 400, "AccessDeniedException"),
        ("ecs:ListTaskDefinitions", 400, "ThrottlingException"),
        ("lambda:ListFunctions", 403, "AccessDeniedException"),
    ] {
        // The observation is fine; everything after it is not.
        let first = match operation {
            "ecr:ListTagsForResource" => json!({"tags": []}),
            "ecr:DescribeImages" => json!({"imageDetails": [image(0, &["head"]), image(1, &[]),
                image(2, &["v2"]), image(3, &[])]}),
            "ecs:ListClusters" => json!({"clusterArns": []}),
            "ecs:ListTaskDefinitions" => json!({"taskDefinitionArns": []}),
            _ => json!({"Functions": []}),
        };
        let script = registry()
            .on(operation, first)
            .always(operation, move |_| Answer::error(status, code, "no"));
        let (stage, outcomes) = outcomes(script).await;
        assert!(
            outcomes.iter().all(|o| failed(o, operation)),
            "{operation}: {outcomes:?}"
        );
        assert_eq!(stage.client.count("ecr:BatchDeleteImage"), 0);
    }
}

#[tokio::test]
async fn nothing_is_deleted_of_what_was_never_observed() {
    let seen = Stage::over(registry()).await;
    let outcomes = act(&seen).await;
    assert_eq!(outcomes.len(), 3);
    let fresh = Stage::over(registry()).await;
    let action = Action::DeleteImage(image_pruning::Removal {
        archived_at: None,
        repository: "app".to_owned(),
        digest: image_pruning::Digest::new(digest(1)),
        tags: vec![],
        pushed_at: None,
        size_bytes: None,
    });
    let outcomes = fresh.hands.act(&fresh.policy, &[action]).await;
    assert!(failed(&outcomes[0], "was not observed"), "{outcomes:?}");
    assert_eq!(fresh.client.count("ecr:BatchDeleteImage"), 0);
}
