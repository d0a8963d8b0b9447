//! Nights on which everything goes well.

use serde_json::json;
use steward::engine::Mode;
use steward::report::Status;

use crate::stage::{DAILY, Stage, actions, names, snapshot, states};

#[tokio::test]
async fn a_plan_changes_nothing() {
    let stage = Stage::new();
    stage.database("shop-db").await;
    let report = stage.plan(DAILY).await;
    assert_eq!(report.status, Status::Planned);
    assert_eq!(actions(&report), ["create_snapshot first planned"]);
    assert_eq!(names(&stage.account).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_snapshot_is_made_waited_for_and_made_only_once() {
    let stage = Stage::new();
    let database = stage.database("shop-db").await;
    stage.takes_time(4).await;
    let report = stage.apply(DAILY).await;
    assert_eq!(report.status, Status::Waiting);
    assert_eq!(actions(&report), ["create_snapshot first done"]);

    let report = stage.apply(DAILY).await;
    assert_eq!(report.status, Status::Waiting, "{report:?}");
    assert_eq!(actions(&report), Vec::<String>::new());

    stage.takes_time(0).await;
    while states(&stage.account).await[0].1 != "available" {}
    let report = stage.apply(DAILY).await;
    assert_eq!(report.status, Status::Applied, "{report:?}");
    assert_eq!(actions(&report), ["tag_snapshot untagged done"]);
    let [name] = names(&stage.account).await.try_into().unwrap();
    let made = snapshot(&stage.account, &name).await;
    let tag = |key: &str| {
        let tags = made.tag_list().iter();
        let mut found = tags.filter(|tag| tag.key() == Some(key));
        found.next().and_then(|tag| tag.value()).unwrap_or_default()
    };
    assert_eq!(tag("steward:made-for"), database.resource_id());
    assert_eq!(tag("steward:managed-by"), "snapshot-rotation");
    assert_eq!(tag("steward:environment"), "shop");
    let taken_at = made.original_snapshot_create_time().unwrap().secs();
    let tagged: jiff::Timestamp = tag("steward:taken-at").parse().unwrap();
    assert_eq!(tagged.as_second(), taken_at);

    let report = stage.apply(DAILY).await;
    assert_eq!(report.status, Status::NothingToDo, "{report:?}");
}

#[tokio::test]
async fn what_no_rule_keeps_goes_and_what_others_made_stays() {
    let stage = Stage::new();
    let database = stage.database("shop-db").await;
    let mut kept = vec![
        stage.own(&database, 26).await,
        stage.own(&database, 2).await,
    ];
    stage.own(&database, 50).await;
    stage.own(&database, 74).await;
    let old = stage.hours_ago(5000);
    let tags = [("steward:managed-by", "snapshot-rotation")];
    database
        .snapshot_at(old, "shop-db-final", &tags)
        .await
        .unwrap();
    kept.push("shop-db-final".to_owned());
    kept.sort();

    let report = stage.apply(DAILY).await;
    assert_eq!(report.status, Status::Applied, "{report:?}");
    let gone = "delete_snapshot expired done";
    assert_eq!(actions(&report), [gone, gone]);
    assert_eq!(names(&stage.account).await, kept);
}

#[tokio::test]
async fn a_snapshot_is_copied_recorded_in_both_regions_and_thinned_in_both() {
    let stage = Stage::new();
    let there = stage.account.region("eu-west-1");
    let database = stage.database("shop-db").await;
    for hours in [50, 26, 2] {
        stage.own(&database, hours).await;
    }
    let (here_bucket, there_bucket) = (
        stage.bucket(stage.account.region_name()).await,
        stage.bucket("eu-west-1").await,
    );
    let key = there.key().await.unwrap();
    let policy = format!(
        r#"
version: 1
rules:
- name: all
  databases: {{include: ["*"]}}
  keep: {{last: 2}}
  copies:
  - {{region: eu-west-1, kms_key_id: "{key}", keep: {{last: 1}}, restore_points: {there_bucket}}}
restore_points: {here_bucket}
limits: {{max_delete_share_percent: 100, keep_snapshots_at_least: 1}}
"#
    );
    let newest = stage.account.manual_snapshots().await.unwrap();
    let newest = newest.iter().map(|s| s.db_snapshot_identifier().unwrap());
    let newest = newest.max().unwrap().to_owned();

    // It ends when there is nothing left to do.
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let report = stage.apply(&policy).await;
        let bad = |line: &String| line.ends_with("failed") || line.ends_with("skipped");
        assert!(!actions(&report).iter().any(bad), "{report:#?}");
        assert_eq!(report.gaps, vec![], "{report:#?}");
        kinds.extend(report.actions.iter().map(|line| line.kind.clone()));
        if report.status == Status::NothingToDo {
            break;
        }
    }
    assert_eq!(stage.apply(&policy).await.status, Status::NothingToDo);
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    assert_eq!(
        kinds,
        [
            "copy_snapshot",
            "delete_document",
            "delete_snapshot",
            "write_recipe",
            "write_restore_point",
        ]
    );
    assert_eq!(names(&stage.account).await.len(), 2);
    assert_eq!(names(&there).await, std::slice::from_ref(&newest));
    let copy = snapshot(&there, &newest).await;
    assert_eq!(copy.kms_key_id(), Some(key.as_str()));

    let folder = format!("restore-points/shop-db/{}", database.resource_id());
    let point = format!("{folder}/{newest}.json");
    let recipe = "recipes/shop.json".to_owned();
    assert_eq!(
        stage.keys(&there, &there_bucket).await,
        [recipe, point.clone()]
    );
    assert_eq!(stage.keys(&stage.account, &here_bucket).await.len(), 3);
    let read = |account: &steward_sandbox::Account, bucket: &str| {
        let get = account.s3().get_object().bucket(bucket).key(&point);
        async move {
            let body = get.send().await.unwrap().body;
            body.collect().await.unwrap().to_vec()
        }
    };
    let here = read(&stage.account, &here_bucket).await;
    let elsewhere = read(&there, &there_bucket).await;
    assert_eq!(here, elsewhere);
    let document: serde_json::Value = serde_json::from_slice(&here).unwrap();
    assert_eq!(document["snapshot"]["id"], newest.as_str());
    assert_eq!(document["copies"][0]["region"], "eu-west-1");
    assert_eq!(document["incomplete"], json!([]));
}

#[tokio::test]
async fn an_event_is_about_its_database_alone() {
    let stage = Stage::new();
    stage.database("shop-db").await;
    stage.database("other-db").await;
    let event = json!({"databases": ["other-db"]});
    let config = stage.account.sdk_config();
    let report = stage.run_as(config, DAILY, Mode::Apply, event).await.report;
    assert_eq!(actions(&report), ["create_snapshot first done"]);
    let [name] = names(&stage.account).await.try_into().unwrap();
    assert!(name.starts_with("steward-other-db-"), "{name}");
}

#[tokio::test]
async fn the_snapshots_of_a_database_that_is_gone_end_when_a_person_says_so() {
    let stage = Stage::new();
    let database = stage.database("shop-db").await;
    let name = stage.own(&database, 2).await;
    let retire = json!({"operation": "retire", "resource_ids": [database.resource_id()]});
    let run = async || {
        let config = stage.account.sdk_config();
        stage
            .run_as(config, DAILY, Mode::Apply, retire.clone())
            .await
            .report
    };
    let report = run().await;
    assert_eq!(actions(&report), Vec::<String>::new(), "while it lives");
    assert_eq!(names(&stage.account).await, std::slice::from_ref(&name));

    database.delete().await.unwrap();
    let report = stage.apply(DAILY).await;
    assert_eq!(report.kept[0].reason, "database_gone", "{report:?}");
    let report = run().await;
    assert_eq!(actions(&report), ["delete_snapshot retired done"]);
    assert_eq!(names(&stage.account).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_another_tool_made_is_rotated_where_the_policy_adopts_it() {
    let mut stage = Stage::new();
    let database = stage.database("shop-db").await;
    let policy = DAILY.replace("limits:", "  adopt: [\"nightly-*\"]\nlimits:");
    for days in 1..=4 {
        let name = format!("nightly-{days}");
        let at = stage.hours_ago(24 * days);
        database.snapshot_at(at, &name, &[]).await.unwrap();
    }
    let at = stage.hours_ago(200);
    database.snapshot_at(at, "by-hand", &[]).await.unwrap();
    for _ in 0..3 {
        let report = stage.apply(&policy).await;
        let bad = |line: &String| line.ends_with("failed") || line.ends_with("skipped");
        assert!(!actions(&report).iter().any(bad), "{report:#?}");
        // What was made is not of the future.
        stage.now += jiff::SignedDuration::from_mins(5);
    }
    let left = names(&stage.account).await;
    assert_eq!(left[..2], ["by-hand", "nightly-1"]);
    assert!(left[2].starts_with("steward-shop-db-"), "{left:?}");
    assert_eq!(left.len(), 3);
}
