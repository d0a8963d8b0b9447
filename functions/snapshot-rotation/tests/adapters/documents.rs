//! What is asked of the buckets of documents.

use serde_json::json;
use snapshot_rotation::{RotationPolicy, Scope};
use steward_sandbox::faults::{Answer, At, Fault, Scripted};

use crate::script::{HERE, Stage, at, home, policy, region};

const RECIPES: usize = 40;

fn with_recipes(script: Scripted) -> Scripted {
    let contents: String = (0..RECIPES)
        .map(|n| {
            format!(
                "<Contents><Key>recipes/env-{n:02}.json</Key>\
                 <LastModified>2026-11-21T03:00:00.000Z</LastModified></Contents>"
            )
        })
        .collect();
    let list = format!(
        "<ListBucketResult><KeyCount>{RECIPES}</KeyCount><IsTruncated>false</IsTruncated>\
         {contents}</ListBucketResult>"
    );
    script
        .always("s3:ListObjectsV2", move |_| {
            Answer::Body(list.clone().into_bytes())
        })
        .always("s3:HeadObject", |_| Answer::Body(vec![]))
}

/// Documents are wanted, and there is no database that has any.
fn with_bucket() -> RotationPolicy {
    RotationPolicy {
        restore_points: Some("points".to_owned()),
        ..policy(json!({"databases": {"include": ["none*"]}}))
    }
}

fn heads(stage: &Stage) -> usize {
    let calls = stage.client.calls();
    calls
        .iter()
        .filter(|call| call.operation == "HeadObject")
        .count()
}

#[tokio::test]
async fn recipes_are_looked_at_once_each_and_side_by_side() {
    let stage = Stage::over(with_recipes(home(vec![])), region(vec![])).await;
    let seen = stage.observe(&with_bucket()).await;
    assert_eq!(seen.gaps, []);
    let documents = at(&seen, HERE).documents.as_ref().unwrap();
    assert_eq!(documents.recipes.len(), RECIPES);
    assert_eq!(heads(&stage), RECIPES);
    assert_eq!(stage.crowd(), 16);
}

#[tokio::test]
async fn a_run_about_one_database_looks_at_no_recipe() {
    let stage = Stage::over(with_recipes(home(vec![])), region(vec![])).await;
    let scope = Scope::Databases(vec!["none-any-more".to_owned()]);
    let seen = stage.observe_some(&with_bucket(), &scope).await;
    assert_eq!(seen.gaps, []);
    let documents = at(&seen, HERE).documents.as_ref().unwrap();
    assert_eq!(documents.keys.len(), RECIPES);
    assert_eq!(heads(&stage), 0);
}

#[tokio::test]
async fn a_recipe_that_cannot_be_looked_at_is_a_gap_of_its_bucket() {
    let stage = Stage::over(with_recipes(home(vec![])), region(vec![])).await;
    stage.client.add(At::nth("s3:HeadObject", 30), Fault::Deny);
    let seen = stage.observe(&with_bucket()).await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    assert!(seen.gaps[0].hides.covers("s3://points"), "{:?}", seen.gaps);
    assert_eq!(seen.gaps[0].grant, "s3:GetObject");
    assert_eq!(at(&seen, HERE).documents, None);
}
