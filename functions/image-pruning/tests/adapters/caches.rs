//! What cannot change is asked for once per process; what can, every time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use steward_sandbox::faults::Answer;

use crate::script::{DEFINITION, REGISTRY, REVISION, Stage, account, digest, pins, with_service};

fn settled() -> Value {
    json!([{"containerName": "web", "image": format!("{REGISTRY}/app:v1"),
        "imageDigest": digest(1)}])
}

#[tokio::test]
async fn a_complete_revision_is_described_once() {
    // The definition is read once too: it tells of containers that the revision
    // leaves out.
    let script =
        with_service(account(vec![]), settled()).always("ecs:DescribeTaskDefinition", |_| {
            json!({"taskDefinition": {"containerDefinitions": [
                {"name": "web", "image": format!("{REGISTRY}/app:v1")},
                {"name": "side", "image": format!("{REGISTRY}/side:v1")}]}})
        });
    let stage = Stage::over(script).await;
    let first = stage.observe().await;
    let again = stage.observe().await;
    assert_eq!(pins(&first), pins(&again));
    assert!(!pins(&first).is_empty());
    assert!(
        first
            .world
            .uses
            .iter()
            .any(|used| used.repository == "side")
    );
    assert_eq!(stage.client.count("ecs:DescribeServiceRevisions"), 1);
    assert_eq!(stage.client.count("ecs:DescribeTaskDefinition"), 1);
    assert_eq!(stage.client.count("ecs:DescribeServices"), 2);
}

#[tokio::test]
async fn an_incomplete_revision_is_described_again_until_it_is_complete() {
    let started = Arc::new(AtomicBool::new(false));
    let reads = Arc::clone(&started);
    let open = json!([{"containerName": "web", "image": format!("{REGISTRY}/app:v1")}]);
    let script = with_service(account(vec![]), json!([])).always(
        "ecs:DescribeServiceRevisions",
        move |_| {
            let told = match reads.load(Ordering::SeqCst) {
                true => settled(),
                false => open.clone(),
            };
            json!({"failures": [], "serviceRevisions": [{"serviceRevisionArn": REVISION,
                "taskDefinition": DEFINITION, "containerImages": told}]})
        },
    );
    let stage = Stage::over(script).await;
    for _ in 0..2 {
        assert_eq!(
            pins(&stage.observe().await),
            [r#"in_use_by_deployment Tag("stable")"#]
        );
    }
    assert_eq!(stage.client.count("ecs:DescribeServiceRevisions"), 2);
    started.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let pins = pins(&stage.observe().await);
        assert!(pins[0].contains(&digest(1)), "{pins:?}");
    }
    assert_eq!(stage.client.count("ecs:DescribeServiceRevisions"), 3);
}

#[tokio::test]
async fn a_task_definition_is_described_once_but_not_after_a_failure() {
    let script = account(vec![])
        .always(
            "ecs:ListTaskDefinitions",
            |_| json!({"taskDefinitionArns": [DEFINITION]}),
        )
        .on(
            "ecs:DescribeTaskDefinition",
            Answer::error(400, "ClientException", "not now"),
        )
        .always("ecs:DescribeTaskDefinition", |_| {
            json!({"taskDefinition": {"containerDefinitions": [
                {"name": "web", "image": format!("{REGISTRY}/app:v1")}]}})
        });
    let stage = Stage::over(script).await;
    assert_eq!(stage.observe().await.gaps.len(), 1);
    for _ in 0..3 {
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, []);
        assert_eq!(pins(&seen), [r#"in_task_definition Tag("v1")"#]);
    }
    assert_eq!(stage.client.count("ecs:DescribeTaskDefinition"), 2);
    assert_eq!(stage.client.count("ecs:ListTaskDefinitions"), 4);
}

#[tokio::test]
async fn a_published_version_is_read_once_per_revision_and_the_latest_always() {
    let functions = |version: &str, revision: Option<&str>| {
        let mut function = json!({"FunctionName": "f", "Version": version,
            "PackageType": "Image"});
        if let Some(revision) = revision {
            function["RevisionId"] = json!(revision);
        }
        json!({"Functions": [function]})
    };
    let script = account(vec![])
        .on("lambda:ListFunctions", functions("7", Some("one")))
        .on("lambda:ListFunctions", functions("7", Some("one")))
        .on("lambda:ListFunctions", functions("7", Some("two")))
        .on("lambda:ListFunctions", functions("7", None))
        .on("lambda:ListFunctions", functions("7", None))
        .on("lambda:ListFunctions", functions("$LATEST", Some("one")))
        .on("lambda:ListFunctions", functions("$LATEST", Some("one")))
        .always("lambda:GetFunction", |_| {
            json!({"Code": {"ImageUri": format!("{REGISTRY}/app:v1"),
                "ResolvedImageUri": format!("{REGISTRY}/app@{}", digest(1))}})
        });
    let stage = Stage::over(script).await;
    for reads in [1, 1, 2, 3, 4, 5, 6] {
        let seen = stage.observe().await;
        assert_eq!(seen.world.uses.len(), 1);
        assert_eq!(stage.client.count("lambda:GetFunction"), reads);
    }
}
