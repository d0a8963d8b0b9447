//! Days on which something fails: each ends in a clear report, with nothing lost,
//! and a later run completes the work.

use steward::engine::Mode;
use steward::report::Status;
use steward_sandbox::faults::{At, Fault, FaultClient};

use crate::stage::{DAILY, Stage, actions, names};

#[tokio::test]
async fn a_stopped_database_is_reported_and_loses_nothing() {
    let stage = Stage::new();
    let database = stage.database("shop-db").await;
    for hours in [100, 75, 50] {
        stage.own(&database, hours).await;
    }
    database.put_into("stopped").await.unwrap();
    let report = stage.apply(DAILY).await;
    let told = ["none not_available deferred", "none overdue deferred"];
    assert_eq!(actions(&report), told);
    let warned = report
        .warnings
        .iter()
        .any(|w| w.contains("the objective is 30h"));
    assert!(warned, "{:?}", report.warnings);
    assert_eq!(names(&stage.account).await.len(), 3);
}

#[tokio::test]
async fn a_full_account_is_told_and_what_has_expired_makes_room() {
    let stage = Stage::new();
    let database = stage.database("shop-db").await;
    for hours in [100, 75, 50] {
        stage.own(&database, hours).await;
    }
    stage.account.allow_manual_snapshots(3).await.unwrap();
    let report = stage.apply(DAILY).await;
    assert_eq!(
        actions(&report),
        ["delete_snapshot expired done", "none quota_full deferred"]
    );
    let report = stage.apply(DAILY).await;
    assert!(actions(&report).contains(&"create_snapshot due done".to_owned()));
}

#[tokio::test]
async fn nothing_goes_when_making_a_snapshot_fails() {
    let stage = Stage::new();
    let database = stage.database("shop-db").await;
    for hours in [100, 75, 50] {
        stage.own(&database, hours).await;
    }
    let client = FaultClient::new(stage.account.http_client());
    client.add(
        At::every("CreateDBSnapshot"),
        Fault::error(400, "KMSKeyNotAccessibleFault"),
    );
    let config = stage.account.sdk_config_with(client);
    let none = serde_json::json!({});
    let report = stage.run_as(config, DAILY, Mode::Apply, none).await.report;
    assert_eq!(report.status, Status::Failed, "{report:?}");
    assert_eq!(
        actions(&report),
        [
            "create_snapshot due failed",
            "delete_snapshot expired deferred"
        ]
    );
    let error = report.actions[0].error.as_deref().unwrap_or_default();
    assert!(error.contains("KMSKeyNotAccessible"), "{error}");
    assert_eq!(names(&stage.account).await.len(), 3);
}

#[tokio::test]
async fn nothing_is_made_or_deleted_when_snapshots_cannot_be_listed() {
    let stage = Stage::new();
    let database = stage.database("shop-db").await;
    for hours in [100, 75, 50] {
        stage.own(&database, hours).await;
    }
    for operation in ["DescribeDBSnapshots", "DescribeDBInstances"] {
        let client = FaultClient::new(stage.account.http_client());
        client.add(At::every(operation), Fault::error(403, "AccessDenied"));
        let config = stage.account.sdk_config_with(client);
        let none = serde_json::json!({});
        let report = stage.run_as(config, DAILY, Mode::Apply, none).await.report;
        assert_eq!(report.status, Status::Refused, "{report:?}");
        assert!(report.gaps[0].read.contains(operation), "{report:?}");
        assert_eq!(names(&stage.account).await.len(), 3);
    }
}

#[tokio::test]
async fn a_region_that_is_down_stops_deletions_and_not_snapshots() {
    let stage = Stage::new();
    let database = stage.database("shop-db").await;
    for hours in [100, 75, 50] {
        stage.own(&database, hours).await;
    }
    let copies = "  copies: [{region: eu-west-1, kms_key_id: alias/backups, \
                  role_arn: \"arn:aws:iam::222222222222:role/none\"}]\n";
    let policy = DAILY.replace("limits:", &format!("{copies}limits:"));
    let client = FaultClient::new(stage.account.http_client());
    client.add(At::every("AssumeRole"), Fault::error(403, "AccessDenied"));
    let config = stage.account.sdk_config_with(client);
    let none = serde_json::json!({});
    let report = stage
        .run_as(config, &policy, Mode::Apply, none)
        .await
        .report;
    assert_eq!(report.status, Status::Partial, "{report:?}");
    assert!(actions(&report).contains(&"create_snapshot due done".to_owned()));
    assert!(report.gaps[0].read.contains("sts:AssumeRole"), "{report:?}");
    assert_eq!(names(&stage.account).await.len(), 4);
}

#[tokio::test]
async fn two_runs_at_once_make_one_snapshot_and_delete_nothing_twice() {
    let mut stage = Stage::new();
    let database = stage.database("shop-db").await;
    for hours in [100, 75, 50] {
        stage.own(&database, hours).await;
    }
    let (one, other) = tokio::join!(stage.apply(DAILY), stage.apply(DAILY));
    assert_eq!(one.summary.failed + other.summary.failed, 0, "{one:#?}");
    for _ in 0..2 {
        // What was made is not of the future.
        stage.now += jiff::SignedDuration::from_mins(5);
        stage.apply(DAILY).await;
    }
    let left = names(&stage.account).await;
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn a_database_that_is_renamed_keeps_its_snapshots_and_its_interval() {
    let stage = Stage::new();
    let database = stage.database("shop-db").await;
    for hours in [26, 2] {
        stage.own(&database, hours).await;
    }
    let before = names(&stage.account).await;
    let rds = stage.account.rds();
    let rename = rds.modify_db_instance().db_instance_identifier("shop-db");
    let rename = rename.new_db_instance_identifier("store-db");
    rename.apply_immediately(true).send().await.unwrap();
    let report = stage.apply(DAILY).await;
    assert_eq!(report.status, Status::NothingToDo, "{report:#?}");
    assert_eq!(names(&stage.account).await, before);
    let kept = report.kept.iter().find(|line| line.reason == "kept");
    assert_eq!(kept.unwrap().count, 2, "{report:#?}");
}

#[tokio::test]
async fn a_listing_that_is_throttled_for_a_while_is_read_to_its_end() {
    let stage = Stage::new();
    stage.account.allow_manual_snapshots(400).await.unwrap();
    let database = stage.database("shop-db").await;
    for day in 1..=120 {
        stage.own(&database, 24 * day).await;
    }
    let client = FaultClient::new(stage.account.http_client());
    for n in [1, 3] {
        client.add(At::nth("DescribeDBSnapshots", n), Fault::Throttle);
    }
    let config = stage.account.sdk_config_with(client.clone());
    let none = serde_json::json!({});
    let report = stage.run_as(config, DAILY, Mode::Plan, none).await.report;
    assert_eq!(client.unspent(), Vec::<String>::new());
    assert_eq!(report.gaps, vec![], "{report:#?}");
    // The database, its snapshots, and the one that is due.
    assert_eq!(report.summary.observed, 121);
}

#[tokio::test]
async fn a_page_that_is_never_answered_lets_nothing_go() {
    let stage = Stage::new();
    stage.account.allow_manual_snapshots(400).await.unwrap();
    let database = stage.database("shop-db").await;
    for day in 1..=120 {
        stage.own(&database, 24 * day).await;
    }
    let before = names(&stage.account).await;
    let client = FaultClient::new(stage.account.http_client());
    for second_page_again in 2..20 {
        let at = At::nth("DescribeDBSnapshots", second_page_again);
        client.add(at, Fault::error(500, "InternalFailure"));
    }
    let config = stage.account.sdk_config_with(client.clone());
    let none = serde_json::json!({});
    let report = stage.run_as(config, DAILY, Mode::Apply, none).await.report;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    let gap = &report.gaps[0].read;
    assert!(gap.contains("DescribeDBSnapshots"), "{gap}");
    assert_eq!(names(&stage.account).await, before);
}

#[tokio::test]
async fn a_copy_that_hangs_holds_its_source_and_past_the_objective_needs_a_person() {
    let mut stage = Stage::new();
    let there = stage.account.region("eu-west-1");
    let key = there.key().await.unwrap();
    let database = stage.database("shop-db").await;
    let source = stage.own(&database, 20).await;
    let copies = format!("  copies: [{{region: eu-west-1, kms_key_id: \"{key}\"}}]\nlimits:");
    let policy = DAILY.replace("limits:", &copies);
    stage.takes_time(10_000).await;
    let report = stage.apply(&policy).await;
    assert_eq!(actions(&report), ["copy_snapshot missing done"]);
    assert_eq!(report.status, Status::Waiting, "{report:#?}");
    assert_eq!(report.warnings, Vec::<String>::new());

    stage.now += jiff::SignedDuration::from_hours(24);
    let report = stage.apply(&policy).await;
    let there_is_none = "no snapshot can be restored, and the objective is 30h";
    let told = |w: &String| w.contains(there_is_none) && w.contains("eu-west-1");
    assert!(report.warnings.iter().any(told), "{:#?}", report.warnings);
    assert_eq!(names(&there).await, std::slice::from_ref(&source));
    assert!(names(&stage.account).await.contains(&source));
}
