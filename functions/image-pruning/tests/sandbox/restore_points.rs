//! What a restore point or a recipe names is never deleted.

use image_pruning::Registry;
use serde_json::json;
use steward::engine::{Clock, Mode};
use steward::report::{ActionOutcome, Status};
use steward::switches::{Position, Switches};
use steward_sandbox::faults::FaultClient;

use crate::stage::{STRICT, Stage, fate, going, kept_for, sorted};

pub(crate) fn with_restore_points(bucket: &str) -> String {
    STRICT.replace(
        "in_use: {",
        &format!("in_use: {{restore_points: [\"s3://{bucket}/points/\"], "),
    )
}

/// A bucket of this test's alone.
pub(crate) async fn bucket(stage: &Stage) -> String {
    let name = format!("restore-points-{}", stage.account.id());
    let create = stage.account.s3().create_bucket().bucket(&name);
    create.send().await.unwrap();
    name
}

pub(crate) async fn put(stage: &Stage, bucket: &str, key: &str, text: &str) {
    let body = text.as_bytes().to_vec();
    let put = stage.account.s3().put_object().bucket(bucket).key(key);
    put.body(body.into()).send().await.unwrap();
}

pub(crate) fn document(kind: &str, reference: &str) -> String {
    json!({"schema_version": 1, "kind": kind, "images": [{"reference": reference}],
        "environment": {"PASSWORD": "hunter2"}})
    .to_string()
}

#[tokio::test]
async fn keeps_what_restore_points_and_recipes_name() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let bucket = bucket(&stage).await;
    let mut used = vec![stage.image(&repo, "newest", 20, &["newest"]).await];
    for (kind, key) in [
        ("restore_point", "points/shop/2026-09-01.json"),
        ("recipe", "points/recipes/shop.json"),
    ] {
        let image = stage.image(&repo, kind, 60, &[]).await;
        put(&stage, &bucket, key, &document(kind, &repo.pinned(&image))).await;
        used.push(image);
    }
    let unused = stage.image(&repo, "unused", 50, &[]).await;
    let also = document("recipe", &repo.pinned(&unused));
    // Neither below the prefix nor JSON by its name.
    put(&stage, &bucket, "other/shop.json", &also).await;
    put(&stage, &bucket, "points/notes.txt", "see other/").await;

    let report = stage.apply(&with_restore_points(&bucket)).await;

    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(going(&report), [unused]);
    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(used.clone()));
    assert_eq!(kept_for(&report, &used[1]), Some("named_by_restore_point"));
    assert_eq!(kept_for(&report, &used[2]), Some("named_by_recipe"));
}

#[tokio::test]
async fn a_document_that_cannot_be_read_holds_everything_back_and_stays_secret() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.image(&repo, "newest", 20, &["newest"]).await;
    let unused = stage.image(&repo, "unused", 50, &[]).await;
    let bucket = bucket(&stage).await;
    let whole = document("recipe", &repo.pinned(&unused));
    let (cut, _) = whole.split_at(whole.len() - 1);
    put(&stage, &bucket, "points/cut.json", cut).await;

    let report = stage.apply(&with_restore_points(&bucket)).await;

    assert_eq!(report.gaps.len(), 1, "{report:#?}");
    assert!(
        report.gaps[0].read.contains("points/cut.json"),
        "{:?}",
        report.gaps
    );
    assert_eq!(report.gaps[0].grant, "s3:GetObject");
    assert_eq!(
        fate(&report, &unused),
        Some((ActionOutcome::Deferred, "unseen"))
    );
    assert!(repo.has(&unused).await.unwrap());
    let text = serde_json::to_string(&report).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_place_without_documents_is_told_and_one_that_does_not_exist_is_a_gap() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.image(&repo, "newest", 20, &["newest"]).await;
    let unused = stage.image(&repo, "unused", 50, &[]).await;
    let bucket = bucket(&stage).await;

    let report = stage.plan(&with_restore_points(&bucket)).await;

    let told = |warning: &String| warning.contains("points/ holds no *.json object");
    assert!(report.warnings.iter().any(told), "{:?}", report.warnings);
    assert_eq!(going(&report), std::slice::from_ref(&unused));

    let report = stage.plan(&with_restore_points("no-such-bucket")).await;

    assert_eq!(going(&report), Vec::<String>::new());
    assert_eq!(report.gaps.len(), 1);
    assert_eq!(report.gaps[0].grant, "s3:ListBucket");
}

#[tokio::test]
async fn a_document_is_fetched_once_until_it_changes() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let first = stage.image(&repo, "first", 60, &[]).await;
    let second = stage.image(&repo, "second", 50, &[]).await;
    stage.image(&repo, "newest", 20, &["newest"]).await;
    let bucket = bucket(&stage).await;
    let client = FaultClient::new(stage.account.http_client());
    let config = stage.account.sdk_config_with(client.clone());
    let hands = Registry::at(&config, Clock::Fixed(stage.now));
    let plan = async || {
        let switches = Switches::Fixed(Position::Run);
        let policy = with_restore_points(&bucket);
        let run = stage.run_with(&hands, &switches, &policy, Mode::Plan, None, json!({}));
        going(&run.await.report)
    };

    for (named, goes, reads) in [
        (&first, &second, 1),
        (&first, &second, 1),
        (&second, &first, 2),
    ] {
        let text = document("restore_point", &repo.pinned(named));
        put(&stage, &bucket, "points/shop.json", &text).await;
        assert_eq!(plan().await, std::slice::from_ref(goes));
        assert_eq!(client.count("s3:GetObject"), reads);
    }
}
