//! Archiving, and deleting from the archive, answer by answer.

use image_pruning::{Action, ImagePruning, RemoveBy, Scope};
use serde_json::{Value, json};
use steward::engine::{Act, Decision, Function, Outcome};
use steward::policy::Period;
use steward_sandbox::faults::{Answer, Scripted};

use crate::script::{Stage, account, body, digest, image, index, now};

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

/// What every look after the observation is told instead of an image; `Null`
/// when it is not there.
fn looking(n: usize, now: impl Fn(Value) -> Answer + Send + Sync + 'static) -> Scripted {
    registry()
        .on("ecr:DescribeImages", json!({"imageDetails": images()}))
        .always("ecr:DescribeImages", move |request| {
            assert_eq!(body(request)["filter"], json!({"imageStatus": "ANY"}));
            assert_eq!(body(request)["imageIds"], Value::Null);
            let mut all = images();
            match now(all.remove(n)) {
                Answer::Json(Value::Null) => {}
                Answer::Json(changed) => all.push(changed),
                other => return other,
            }
            Answer::Json(json!({"imageDetails": all}))
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
async fn what_is_gone_from_the_archive_is_deleted_already() {
    let (stage, outcomes) = outcomes(looking(2, |_| Answer::Json(Value::Null))).await;
    assert_eq!(outcomes, [Outcome::Done, Outcome::AlreadyDone]);
    assert_eq!(stage.client.count("ecr:BatchDeleteImage"), 0);
}

#[tokio::test]
async fn where_a_look_does_not_tell_all_nothing_is_done() {
    let answers: [fn(Value) -> Answer; 4] = [
        |_| Answer::error(400, "AccessDeniedException", "no"),
        |_| Answer::Json(json!({"imageTags": ["no digest"]})),
        |_| Answer::error(400, "ImageNotFoundException", "one of them is gone"),
        |_| Answer::error(400, "InvalidParameterException", "no"),
    ];
    for answer in answers {
        let (stage, outcomes) = outcomes(looking(2, answer)).await;
        for outcome in &outcomes {
            assert!(failed(outcome, "ecr:DescribeImages"), "{outcomes:?}");
        }
        assert_eq!(stage.client.count("ecr:BatchDeleteImage"), 0);
        assert_eq!(stage.client.count("ecr:UpdateImageStorageClass"), 0);
    }
}

/// What archiving 1, with these tags, comes to where a third image is `then`
/// when the repository is observed, and `now` just before.
async fn beside(tags: &'static [&str], then: Option<Value>, now: Option<Value>) -> Outcome {
    let with = move |third: &Option<Value>| -> Vec<Value> {
        let ours = [image(0, &["head"]), image(1, tags)].into_iter();
        ours.chain(third.clone()).collect()
    };
    let later = with(&now);
    let script = registry()
        .on("ecr:DescribeImages", json!({"imageDetails": with(&then)}))
        .always(
            "ecr:DescribeImages",
            move |_| json!({"imageDetails": later}),
        )
        .always("ecr:BatchGetImage", |_| {
            json!({"failures": [], "images": [
                {"imageId": {"imageDigest": digest(3)}, "imageManifest": "{\"manifests\": []}"}]})
        });
    let mut stage = Stage::over(script).await;
    stage.policy.retention.remove_by = RemoveBy::Archive;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let plan = ImagePruning::decide(
        &stage.policy,
        &Scope::Everything,
        &seen,
        crate::script::now(),
    );
    let actions: Vec<Action> = plan
        .items
        .into_iter()
        .filter_map(|item| match item.decision {
            Decision::Act(change) => Some(change.action),
            Decision::Keep | Decision::Defer => None,
        })
        .filter(|action| action.removal().digest.as_str() == digest(1))
        .collect();
    assert_eq!(actions.len(), 1);
    stage.hands.act(&stage.policy, &actions).await.remove(0)
}

#[tokio::test]
async fn an_untagged_image_beside_a_new_index_is_not_archived() {
    let mut new = index(3, &["v3"]);
    new["imagePushedAt"] = json!(now().as_second());
    // Pushed before the image, so that it cannot list it as far as is known.
    let mut archived = index(3, &["v3"]);
    archived["imageStatus"] = json!("ARCHIVED");
    archived["lastArchivedAt"] = json!(now().as_second() - 100 * 24 * 3600);
    let mut restoring = archived.clone();
    restoring["imageStatus"] = json!("ACTIVATING");
    let mut restored = index(3, &["v3"]);
    restored["lastActivatedAt"] = json!(now().as_second());

    for (then, now) in [
        (None, &new),
        (Some(&archived), &restoring),
        (Some(&archived), &restored),
        (Some(&index(3, &["v3"])), &restored),
    ] {
        let outcome = beside(&[], then.cloned(), Some(now.clone())).await;
        assert!(skipped(&outcome, "may list it"), "{now}: {outcome:?}");
        let outcome = beside(&["v1"], then.cloned(), Some(now.clone())).await;
        assert_eq!(outcome, Outcome::Done, "{now}");
    }
    // Neither one that is as it was, nor one that has been archived or deleted,
    // nor an image that lists nothing.
    let here = index(3, &["v3"]);
    for (then, now) in [
        (Some(&here), Some(&here)),
        (Some(&archived), Some(&archived)),
        (Some(&here), Some(&archived)),
        (Some(&here), None),
        (None, Some(&image(3, &["v3"]))),
    ] {
        let outcome = beside(&[], then.cloned(), now.cloned()).await;
        assert_eq!(outcome, Outcome::Done, "{then:?} {now:?}");
    }
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
