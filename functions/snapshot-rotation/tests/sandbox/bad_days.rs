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
