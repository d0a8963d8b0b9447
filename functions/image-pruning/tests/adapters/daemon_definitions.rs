//! Daemon revisions whose definition is gone: nothing can go back to a former
//! one, and of a present one nobody knows what it runs.

use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, Scripted};

use crate::consumers::with_daemon;
use crate::script::{REGISTRY, Stage, account, body, digest, pins, with_cluster};

/// The daemon at revision 3, which had 2 and 1 before; this one tells no image,
/// and its definition is described like this.
fn silent_at(silent: &'static str, definition: Answer) -> Scripted {
    with_daemon(with_cluster(account(vec![])))
        .always("ecs:DescribeDaemonRevisions", move |request| {
            let revision = |arn: &Value| {
                let n: usize = arn
                    .as_str()
                    .unwrap()
                    .rsplit('/')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap();
                let images = match arn == silent {
                    true => json!([]),
                    false => json!([{"containerName": "agent", "imageDigest": digest(n),
                        "image": format!("{REGISTRY}/app@{}", digest(n))}]),
                };
                json!({"daemonRevisionArn": arn, "containerImages": images,
                    "daemonTaskDefinitionArn": format!("arn/agent:{n}")})
            };
            let asked = body(request)["daemonRevisionArns"].clone();
            let found: Vec<Value> = asked.as_array().unwrap().iter().map(revision).collect();
            json!({"daemonRevisions": found, "failures": []})
        })
        .always("ecs:DescribeDaemonTaskDefinition", move |_| {
            definition.clone()
        })
}

fn gone() -> [Answer; 2] {
    let deleted = json!({"daemonTaskDefinition": {"status": "DELETED"}});
    let refused = "Unable to describe daemon task definition.";
    [
        Answer::Json(deleted),
        Answer::error(400, "ClientException", refused),
    ]
}

#[tokio::test]
async fn a_former_revision_without_its_definition_is_passed_over() {
    for definition in gone() {
        let mut stage = Stage::over(silent_at("revision/2", definition)).await;
        stage.policy.in_use.rollback_deployments = 1;
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, []);
        // The one before it is what one can go back to.
        let images = [1, 3].map(|n| format!("in_use_by_daemon Digest(Digest(\"{}\"))", digest(n)));
        let mut pins = pins(&seen);
        pins.sort();
        assert_eq!(pins, images);
    }
}

#[tokio::test]
async fn a_present_revision_without_its_definition_is_a_gap() {
    for definition in gone() {
        let stage = Stage::over(silent_at("revision/3", definition)).await;
        let gaps = stage.observe().await.gaps;
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert!(gaps[0].read.contains("present revision"), "{gaps:?}");
        assert!(gaps[0].hides.covers("app") && gaps[0].hides.covers("other"));
    }
}

#[tokio::test]
async fn a_former_definition_that_is_not_clearly_gone_is_a_gap() {
    for definition in [
        Answer::Json(json!({"daemonTaskDefinition": {"status": "ACTIVE"}})),
        Answer::Json(json!({"daemonTaskDefinition": {"status": "DELETE_IN_PROGRESS"}})),
        Answer::Json(json!({"daemonTaskDefinition": {}})),
        Answer::Json(json!({})),
        Answer::error(400, "ClientException", "Something else is wrong."),
        Answer::error(400, "AccessDeniedException", "no"),
    ] {
        let stage = Stage::over(silent_at("revision/2", definition)).await;
        let gaps = stage.observe().await.gaps;
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!(gaps[0].grant, "ecs:DescribeDaemonTaskDefinition");
    }
}

#[tokio::test]
async fn a_deleted_definition_that_still_tells_its_images_keeps_them() {
    let definition = Answer::Json(json!({"daemonTaskDefinition": {"status": "DELETED",
        "containerDefinitions": [{"image": format!("{REGISTRY}/app:stable")}]}}));
    let seen = Stage::over(silent_at("revision/2", definition))
        .await
        .observe()
        .await;
    assert_eq!(seen.gaps, []);
    let stable = r#"in_use_by_daemon Tag("stable")"#.to_owned();
    assert!(pins(&seen).contains(&stable), "{:?}", pins(&seen));
}
