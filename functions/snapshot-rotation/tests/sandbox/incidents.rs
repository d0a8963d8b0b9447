//! What users of other tools reported, or what reading these tools showed, replayed
//! here, where it does not happen. `tests/README.md` has the list, also of those
//! that other tests replay.

use aws_sdk_rds::types::Tag;
use jiff::SignedDuration;
use serde_json::json;
use steward::engine::Mode;
use steward::report::{Report, Status};
use steward_sandbox::faults::FaultClient;
use steward_sandbox::{Account, Database};

use crate::stage::{DAILY, Stage, actions, names, snapshot};

/// A copy in another Region, as Steward leaves it.
async fn copied(stage: &Stage, there: &Account, key: &str, database: &Database, name: &str) {
    let source = snapshot(&stage.account, name).await;
    let kept = source.tag_list().iter().cloned();
    let copy = there
        .rds()
        .copy_db_snapshot()
        .source_db_snapshot_identifier(source.db_snapshot_arn().unwrap())
        .target_db_snapshot_identifier(name)
        .kms_key_id(key)
        .set_tags(Some(kept.collect()));
    let made = copy.send().await.unwrap().db_snapshot.unwrap();
    assert_eq!(made.db_instance_identifier(), Some(database.identifier()));
    while snapshot(there, name).await.status() != Some("available") {}
}

/// [`DAILY`] with copies to `eu-west-1`.
fn with_copies(keep_here: &str, key: &str, keep_there: &str) -> String {
    let copies = format!(
        "  copies: [{{region: eu-west-1, kms_key_id: \"{key}\", keep: {keep_there}}}]\nlimits:"
    );
    let policy = DAILY.replace("{last: 2}", keep_here);
    policy.replace("limits:", &copies)
}

fn warns(report: &Report, words: &str) -> bool {
    report
        .warnings
        .iter()
        .any(|warning| warning.contains(words))
}

/// Reading rds-snapshot-tool, which deletes whatever is older than its days: it
/// went on while new snapshots failed, until there was none.
#[tokio::test]
async fn backups_that_stop_cost_none_of_the_snapshots_that_there_are() {
    let mut stage = Stage::new();
    let database = stage.database("shop-db").await;
    for days in 60..70 {
        stage.own(&database, 24 * days).await;
    }
    let policy = DAILY.replace("{last: 2}", "{daily: 7}");
    database.put_into("incompatible-parameters").await.unwrap();
    for _ in 0..3 {
        let report = stage.apply(&policy).await;
        assert!(warns(&report, "incompatible-parameters"), "{report:#?}");
        assert_eq!(names(&stage.account).await.len(), 10);
    }
    // A database that works again gets its snapshot first, and then what the rule
    // does not keep goes.
    database.put_into("available").await.unwrap();
    for _ in 0..3 {
        stage.now += SignedDuration::from_mins(5);
        stage.apply(&policy).await;
    }
    assert_eq!(names(&stage.account).await.len(), 7);
}

/// Reading rds-snapshot-tool: how old a snapshot is was read from its name.
#[tokio::test]
async fn a_snapshot_is_as_old_as_its_data_whatever_its_name_says() {
    let stage = Stage::new();
    let database = stage.database("shop-db").await;
    let old = stage.own(&database, 26).await;
    let fresh = stage.own(&database, 2).await;
    let end = old.rfind("-20").unwrap();
    let misnamed = format!("{}-20200101-0000", &old[..end]);
    let tags = snapshot(&stage.account, &old).await;
    let tags: Vec<(&str, &str)> = tags
        .tag_list()
        .iter()
        .map(|tag| (tag.key().unwrap(), tag.value().unwrap()))
        .collect();
    let at = stage.hours_ago(1);
    database.snapshot_at(at, &misnamed, &tags).await.unwrap();

    stage.apply(DAILY).await;

    let mut left = vec![fresh, misnamed];
    left.sort();
    assert_eq!(names(&stage.account).await, left);
}

/// Reading skyscrapers' module: a copy's `SnapshotCreateTime` is when it was
/// copied, so that old data that is copied again looks like the newest.
#[tokio::test]
async fn a_copy_is_as_old_as_its_data_whenever_it_was_made() {
    let stage = Stage::new();
    let there = stage.account.region("eu-west-1");
    let key = there.key().await.unwrap();
    let database = stage.database("shop-db").await;
    let old = stage.own(&database, 50).await;
    let fresh = stage.own(&database, 2).await;
    copied(&stage, &there, &key, &database, &fresh).await;
    copied(&stage, &there, &key, &database, &old).await;

    let policy = with_copies("{last: 2}", &key, "{last: 1}");
    let report = stage.apply(&policy).await;

    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(names(&there).await, [fresh]);
}

/// skyscrapers/terraform-rds#68: with both ends in one account, the cleanup of
/// what lay between ran over the copies that were to stay, and two days later all
/// were gone.
#[tokio::test]
async fn each_place_keeps_what_its_own_rules_say() {
    let stage = Stage::new();
    let there = stage.account.region("eu-west-1");
    let key = there.key().await.unwrap();
    let database = stage.database("shop-db").await;
    let mut all = Vec::new();
    for hours in [50, 26, 2] {
        let name = stage.own(&database, hours).await;
        copied(&stage, &there, &key, &database, &name).await;
        all.push(name);
    }
    let policy = with_copies("{last: 1}", &key, "{last: 3}");
    for _ in 0..2 {
        let report = stage.apply(&policy).await;
        assert_eq!(report.gaps, vec![], "{report:#?}");
    }
    assert_eq!(names(&stage.account).await, [all[2].clone()]);
    all.sort();
    assert_eq!(names(&there).await, all);
}

/// Reading cloud-custodian: `latest` grouped snapshots by database without sorting
/// them first, so that listings in another order had several newest.
#[tokio::test]
async fn every_database_has_its_own_newest_in_whatever_order_they_are_listed() {
    let stage = Stage::new();
    let (one, other) = (stage.database("a-db").await, stage.database("b-db").await);
    let mut left = Vec::new();
    for (hours, database) in [(50, &one), (3, &other), (26, &one), (27, &other), (2, &one)] {
        let name = stage.own(database, hours).await;
        if hours < 24 {
            left.push(name);
        }
    }
    let report = stage.apply(&DAILY.replace("last: 2", "last: 1")).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    left.sort();
    assert_eq!(names(&stage.account).await, left);
}

/// aurora-snapshot-tool#11: a call for the tags of each snapshot, until RDS
/// throttled them.
#[tokio::test]
async fn snapshots_are_read_by_the_page_and_never_one_by_one() {
    let stage = Stage::new();
    stage.account.allow_manual_snapshots(400).await.unwrap();
    let database = stage.database("shop-db").await;
    let mut counts = Vec::new();
    for days in [1..50, 50..250] {
        for day in days {
            stage.own(&database, 24 * day).await;
        }
        let client = FaultClient::new(stage.account.http_client());
        let config = stage.account.sdk_config_with(client.clone());
        let report = stage
            .run_as(config, DAILY, Mode::Plan, json!({}))
            .await
            .report;
        assert_eq!(report.gaps, vec![], "{report:#?}");
        assert_eq!(client.count("ListTagsForResource"), 0);
        counts.push((client.count("DescribeDBSnapshots"), client.calls().len()));
    }
    // 49 snapshots are a page, 249 are three.
    assert_eq!(counts[0].0, 1);
    assert_eq!(counts[1], (3, counts[0].1 + 2));
}

/// pbudzon/aws-maintenance#19: more copies at once than RDS makes to one Region.
#[tokio::test]
async fn more_copies_than_rds_makes_at_once_wait_for_their_turn() {
    let stage = Stage::new();
    let there = stage.account.region("eu-west-1");
    let key = there.key().await.unwrap();
    let database = stage.database("shop-db").await;
    let oldest = stage.own(&database, 600).await;
    copied(&stage, &there, &key, &database, &oldest).await;
    for day in 0..24 {
        stage.own(&database, 2 + 24 * day).await;
    }
    stage.takes_time(1000).await;
    let policy = with_copies("{last: 30}", &key, "{last: 30}");
    for _ in 0..2 {
        let report = stage.apply(&policy).await;
        assert_eq!(report.summary.failed, 0, "{report:#?}");
        let waiting = actions(&report);
        let waiting = waiting.iter().filter(|a| a.contains("copies_in_flight"));
        assert_eq!(waiting.count(), 4, "{report:#?}");
        assert_eq!(names(&there).await.len(), 21);
    }
}

/// aurora-snapshot-tool#25: copies failed by `KMSKeyNotAccessible`, which nobody was
/// told.
#[tokio::test]
async fn a_key_that_cannot_be_used_is_told_by_every_run() {
    let stage = Stage::new();
    let there = stage.account.region("eu-west-1");
    let database = stage.database("shop-db").await;
    let mut all = Vec::new();
    for hours in [50, 26, 2] {
        all.push(stage.own(&database, hours).await);
    }
    let id = stage.account.id();
    let key = format!("arn:aws:kms:eu-west-1:{id}:key/00000000-0000-0000-0000-000000000000");
    let policy = with_copies("{last: 2}", &key, "{last: 2}");
    for _ in 0..2 {
        let report = stage.apply(&policy).await;
        let failed = report.actions.iter().find_map(|line| line.error.as_deref());
        assert!(
            failed.unwrap().contains("KMSKeyNotAccessible"),
            "{report:#?}"
        );
        assert!(names(&there).await.is_empty());
        assert!(names(&stage.account).await.contains(&all[2]));
    }
}

/// rds-snapshot-tool#24: what the account's default key encrypts cannot be shared.
#[tokio::test]
async fn what_the_default_key_encrypts_is_told_and_not_shared() {
    let stage = Stage::new();
    let made = stage.account.database_with("shop-db", &[], |request| {
        request.storage_encrypted(true).backup_retention_period(0)
    });
    let database = made.await.unwrap();
    let name = stage.own(&database, 2).await;
    let policy = DAILY.replace("limits:", "  share_with: [\"222222222222\"]\nlimits:");
    let report = stage.apply(&policy).await;
    assert_eq!(report.summary.failed, 0, "{report:#?}");
    assert!(actions(&report).contains(&"none default_key deferred".to_owned()));
    assert!(warns(&report, "AWS manages"), "{:?}", report.warnings);
    assert_eq!(names(&stage.account).await, [name]);
}

/// Reading cloud-custodian: with tags of its own a copy gets none of its source.
#[tokio::test]
async fn a_copy_has_the_tags_that_people_gave_its_source() {
    let stage = Stage::new();
    let there = stage.account.region("eu-west-1");
    let key = there.key().await.unwrap();
    let database = stage.database("shop-db").await;
    let name = stage.own(&database, 2).await;
    let source = snapshot(&stage.account, &name).await;
    let tag = Tag::builder().key("team").value("shop").build();
    let add = stage.account.rds().add_tags_to_resource().tags(tag);
    let arn = source.db_snapshot_arn().unwrap();
    add.resource_name(arn).send().await.unwrap();

    stage
        .apply(&with_copies("{last: 2}", &key, "{last: 2}"))
        .await;

    let copy = snapshot(&there, &name).await;
    let tags = copy.tag_list().iter();
    let mut keys: Vec<&str> = tags.filter_map(|tag| tag.key()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "steward:environment",
            "steward:made-for",
            "steward:managed-by",
            "steward:taken-at",
            "team"
        ]
    );
}

/// Reading every peer: a source that is deleted while it is copied fails the copy.
#[tokio::test]
async fn the_source_of_a_copy_stays_until_the_copy_is_complete() {
    let stage = Stage::new();
    let there = stage.account.region("eu-west-1");
    let key = there.key().await.unwrap();
    let database = stage.database("shop-db").await;
    let source = stage.own(&database, 20).await;
    stage.takes_time(1000).await;
    let policy = with_copies("{last: 1}", &key, "{last: 2}");
    stage.apply(&policy).await;
    // A newer one has come meanwhile; the older is kept by no rule any more.
    let newer = stage.own(&database, 2).await;
    let report = stage.apply(&policy).await;
    let kept = report.kept.iter().find(|line| line.reason == "awaits_copy");
    assert!(kept.is_some(), "{report:#?}");
    assert!(names(&stage.account).await.contains(&source));

    stage.takes_time(0).await;
    for _ in 0..4 {
        while snapshot(&there, &source).await.status() != Some("available") {}
        stage.apply(&policy).await;
    }
    let mut both = vec![source.clone(), newer.clone()];
    both.sort();
    assert_eq!(names(&there).await, both);
    assert!(!names(&stage.account).await.contains(&source));
}

/// Reading every peer: snapshots are found by the name of their database, also when
/// another has that name now.
#[tokio::test]
async fn a_database_made_again_under_the_same_name_begins_anew() {
    let stage = Stage::new();
    let before = stage.database("shop-db").await;
    let mut all = Vec::new();
    for hours in [80, 56, 32] {
        all.push(stage.own(&before, hours).await);
    }
    before.delete().await.unwrap();
    let after = stage.database("shop-db").await;
    assert_ne!(before.resource_id(), after.resource_id());
    let report = stage.apply(DAILY).await;
    assert_eq!(actions(&report), ["create_snapshot first done"]);
    let gone = report
        .kept
        .iter()
        .find(|line| line.reason == "database_gone");
    assert_eq!(gone.unwrap().count, 3, "{report:#?}");
    let left = names(&stage.account).await;
    assert!(all.iter().all(|name| left.contains(name)), "{left:?}");
    assert_eq!(left.len(), 4);
}

/// Reading every peer: a tag proves that a snapshot may go. AWS copies the tags of
/// a database onto its snapshots, and of a snapshot onto what is restored from it.
#[tokio::test]
async fn tags_that_aws_copied_prove_nothing() {
    let stage = Stage::new();
    let tags = [
        ("steward:managed-by", "snapshot-rotation"),
        ("steward:made-for", "db-OF-WHAT-IT-WAS-RESTORED-FROM"),
    ];
    let made = stage
        .account
        .database_with("restored-db", &tags, |request| {
            request
                .copy_tags_to_snapshot(true)
                .backup_retention_period(7)
        });
    let database = made.await.unwrap();
    let old = stage.hours_ago(9000);
    let its = ("steward:made-for", database.resource_id());
    let tags = [tags[0], its];
    database
        .snapshot_at(old, "before-migration", &tags)
        .await
        .unwrap();
    // A name that Steward could have given, of another database.
    let name = "steward-restored-db-abcdef-20250101-0000";
    database.snapshot_at(old, name, &tags).await.unwrap();
    let automated = database.automated_at(stage.hours_ago(100)).await.unwrap();
    for hours in [50, 26, 2] {
        stage.own(&database, hours).await;
    }
    stage.apply(DAILY).await;
    let left = names(&stage.account).await;
    assert!(left.contains(&"before-migration".to_owned()), "{left:?}");
    assert!(left.contains(&name.to_owned()), "{left:?}");
    assert_eq!(left.len(), 4);
    let rds = stage.account.rds();
    let listing = rds.describe_db_snapshots().snapshot_type("automated");
    let listing = listing.db_snapshot_identifier(automated);
    assert_eq!(listing.send().await.unwrap().db_snapshots().len(), 1);
}
