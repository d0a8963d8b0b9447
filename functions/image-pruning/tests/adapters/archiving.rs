//! Archiving, and deleting from the archive, answer by answer.

use image_pruning::{Action, ImagePruning, RemoveBy, Scope};
use serde_json::{Value, json};
use steward::engine::{Act, Decision, Function, Outcome};
use steward::policy::Period;
use steward_sandbox::faults::{Answer, Scripted};

use crate::script::{Stage, account, body, digest, image, now};

/// One to archive (1), one to delete from the archive (2), one that stays.
fn images() -> Vec<Value> {
    let mut archived = image(2, &["v2"]);
    archived["imageStatus"] = json!("ARCHIVED");
    archived["lastArchivedAt"] = json!(now().as_second() - 100 * 24 * 3600);
    vec![image(0, &["head"]), image(1, &["v1"]), archived]
}

fn registry() -> Scripted {
    account(images()).always(
        "ecr:UpdateImageStorageClass",
        |request| json!({"imageId": body(request)["imageId"], "imageStatus": "ARCHIVED"}),
    )
}

/// What the look before acting is told instead of an image.
fn looking(n: usize, now: impl Fn(Value) -> Answer + Send + Sync + 'static) -> Scripted {
    registry().always("ecr:DescribeImages", move |request| {
        let asked = body(request)["imageIds"].clone();
        let Some(ids) = asked.as_array() else {
            return Answer::Json(json!({"imageDetails": images()}));
        };
        let known = |image: &Value| {
            ids.iter()
                .any(|id| id["imageDigest"] == image["imageDigest"])
        };
        let found: Vec<Value> = images().into_iter().filter(known).collect();
        match found
            .iter()
            .find(|i| i["imageDigest"] == digest(n).as_str())
        {
            Some(image) => match now(image.clone()) {
                Answer::Json(Value::Null) => Answer::error(
                    400,
                    "ImageNotFoundException",
                    &format!(
                        "The image with imageId {{imageDigest:'{}'}} does not exist",
                        digest(n)
                    ),
                ),
                Answer::Json(changed) => {
                    let others = found
                        .iter()
                        .filter(|i| i["imageDigest"] != digest(n).as_str());
                    let all: Vec<&Value> = others.chain([&changed]).collect();
                    Answer::Json(json!({"imageDetails": all}))
                }
                other => other,
            },
            None => Answer::Json(json!({"imageDetails": found})),
        }
    })
}

/// The outcomes of archiving 1 and of deleting 2.
async fn outcomes(script: Scripted) -> (Stage, [Outcome; 2]) {
    let mut stage = Stage::over(script).await;
    stage.policy.retention.remove_by = RemoveBy::Archive;
    stage.policy.retention.delete_archived_after = Some(Period::days(90));
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
    assert!(
        matches!(
            actions[..],
            [Action::ArchiveImage(_), Action::DeleteImage(_)]
        ),
        "{actions:?}"
    );
    // Lanes keep them apart; one batch may hold both all the same.
    let outcomes = stage.hands.act(&stage.policy, &actions).await;
    (stage, outcomes.try_into().unwrap())
}

fn skipped(outcome: &Outcome, why: &str) -> bool {
    matches!(outcome, Outcome::Skipped(text) if text.contains(why))
}

fn failed(outcome: &Outcome, why: &str) -> bool {
    matches!(outcome, Outcome::Failed(text) if text.contains(why))
}

#[tokio::test]
async fn archives_image_by_image_and_deletes_by_digest() {
    let (stage, outcomes) = outcomes(registry()).await;
    assert_eq!(outcomes, [Outcome::Done, Outcome::Done]);
    assert_eq!(
        stage.sent("UpdateImageStorageClass"),
        [
            json!({"repositoryName": "app", "imageId": {"imageDigest": digest(1)},
            "targetStorageClass": "ARCHIVE"})
        ]
    );
    assert_eq!(
        stage.sent("BatchDeleteImage"),
        [json!({"repositoryName": "app", "imageIds": [{"imageDigest": digest(2)}]})]
    );
}

#[tokio::test]
async fn what_was_archived_meanwhile_is_done_already() {
    let (stage, outcomes) = outcomes(looking(1, |mut image| {
        image["imageStatus"] = json!("ARCHIVED");
        Answer::Json(image)
    }))
    .await;
    assert_eq!(outcomes, [Outcome::AlreadyDone, Outcome::Done]);
    assert_eq!(stage.client.count("ecr:UpdateImageStorageClass"), 0);
}

#[tokio::test]
async fn what_is_gone_is_deleted_already_and_not_archived() {
    let (_, outcomes) = outcomes(looking(1, |_| Answer::Json(Value::Null))).await;
    assert!(skipped(&outcomes[0], "is gone"), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Done);
}

#[tokio::test]
async fn what_is_not_found_in_the_archive_is_left_to_the_deletion_to_tell() {
    // It may be left out of the answer only because it is archived.
    let hidden = || looking(2, |_| Answer::Json(Value::Null));
    let (_, found) = outcomes(hidden()).await;
    assert_eq!(found, [Outcome::Done, Outcome::Done]);
    let gone = hidden().always("ecr:BatchDeleteImage", |_| {
        json!({"imageIds": [], "failures": [
            {"imageId": {"imageDigest": digest(2)}, "failureCode": "ImageNotFound"}]})
    });
    let (_, found) = outcomes(gone).await;
    assert_eq!(found, [Outcome::Done, Outcome::AlreadyDone]);
}

#[tokio::test]
async fn what_left_the_archive_meanwhile_stays() {
    for (status, archived_at, why) in [
        ("ACTIVE", None, "restored since"),
        ("ACTIVATING", None, "being restored"),
        (
            "ARCHIVED",
            Some(now().as_second()),
            "restored and archived since",
        ),
        ("ARCHIVED", None, "restored and archived since"),
    ] {
        let (stage, outcomes) = outcomes(looking(2, move |mut image| {
            image["imageStatus"] = json!(status);
            image["lastArchivedAt"] = json!(archived_at);
            Answer::Json(image)
        }))
        .await;
        assert_eq!(outcomes[0], Outcome::Done);
        assert!(skipped(&outcomes[1], why), "{status}: {outcomes:?}");
        assert_eq!(stage.client.count("ecr:BatchDeleteImage"), 0);
    }
}

#[tokio::test]
async fn other_tags_keep_from_the_archive() {
    let (stage, outcomes) = outcomes(looking(1, |mut image| {
        image["imageTags"] = json!(["v1", "stable"]);
        Answer::Json(image)
    }))
    .await;
    assert!(skipped(&outcomes[0], "tags have changed"), "{outcomes:?}");
    assert_eq!(stage.client.count("ecr:UpdateImageStorageClass"), 0);
}

#[tokio::test]
async fn an_answer_with_another_status_is_a_failure() {
    for status in [json!("ACTIVE"), Value::Null] {
        let script = registry().always(
            "ecr:UpdateImageStorageClass",
            move |_| json!({"imageStatus": status}),
        );
        let (_, outcomes) = outcomes(script).await;
        assert!(failed(&outcomes[0], "afterwards"), "{outcomes:?}");
        assert_eq!(outcomes[1], Outcome::Done);
    }
}

#[tokio::test]
async fn a_refusal_is_a_failure_unless_the_image_is_in_the_archive() {
    let refusal = |code: &'static str| {
        registry().always("ecr:UpdateImageStorageClass", move |_| {
            Answer::error(400, code, "no")
        })
    };
    let not_supported = "ImageStorageClassUpdateNotSupportedException";
    let (_, found) = outcomes(refusal(not_supported)).await;
    assert!(failed(&found[0], not_supported), "{found:?}");
    let (_, found) = outcomes(refusal("ServerException")).await;
    assert!(failed(&found[0], "ServerException"), "{found:?}");
    for code in ["ImageNotFoundException", "RepositoryNotFoundException"] {
        let (_, found) = outcomes(refusal(code)).await;
        assert!(skipped(&found[0], "is gone"), "{found:?}");
    }
    // Archived by a call whose answer was lost: the second look tells.
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let lost = looking(1, move |mut image| {
        if looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 {
            image["imageStatus"] = json!("ARCHIVED");
        }
        Answer::Json(image)
    })
    .always("ecr:UpdateImageStorageClass", move |_| {
        Answer::error(400, not_supported, "no")
    });
    let (_, found) = outcomes(lost).await;
    assert_eq!(found, [Outcome::AlreadyDone, Outcome::Done]);
}
