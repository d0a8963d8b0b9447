//! The real binary: as AWS Lambda starts it, with a kill in the middle of its work,
//! and as the automation stack deploys it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod under_its_role;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use steward::engine::Clock;
use steward::report::{Report, Status};
use steward::switches;
use steward_sandbox::lambda::Lambda;
use steward_sandbox::{Account, Database, Fault, Sandbox};

const POLICY: &str = r#"{"version": 1,
    "rules": [{"name": "all", "databases": {"include": ["*"]}, "keep": {"last": 2}}],
    "limits": {"max_delete_share_percent": 100, "keep_snapshots_at_least": 1}}"#;

fn start(account: &Account, environment: &[(&str, &str)]) -> Lambda {
    let binary = env!("CARGO_BIN_EXE_snapshot-rotation");
    Lambda::start(account, "snapshot-rotation", binary, environment)
}

fn applying<'a>() -> [(&'a str, &'a str); 2] {
    [("STEWARD_MODE", "apply"), ("STEWARD_POLICY", POLICY)]
}

async fn set(account: &Account, name: &str, value: &str) {
    let put = account.ssm().put_parameter().name(name).value(value);
    let put = put.r#type(aws_sdk_ssm::types::ParameterType::String);
    put.overwrite(true).send().await.unwrap();
}

/// A database with snapshots of Steward's of so many hours ago; their names.
pub(crate) async fn database(
    account: &Account,
    name: &str,
    hours: &[i64],
) -> (Database, Vec<String>) {
    let database = account.database_with(name, &[("steward:environment", "shop")], |request| {
        request.backup_retention_period(0)
    });
    let database = database.await.unwrap();
    let id = database.resource_id();
    let end = id[id.len() - 6..].to_lowercase();
    let mut names = Vec::new();
    for hours in hours {
        let taken_at = Clock::System.now() - SignedDuration::from_hours(*hours);
        let snapshot = format!("steward-{name}-{end}-{}", taken_at.strftime("%Y%m%d-%H%M"));
        let tags = [
            ("steward:managed-by", "snapshot-rotation"),
            ("steward:made-for", id),
            ("steward:environment", "shop"),
        ];
        let seeded = database.snapshot_at(taken_at, &snapshot, &tags).await;
        seeded.unwrap();
        names.push(snapshot);
    }
    (database, names)
}

pub(crate) async fn names(account: &Account) -> BTreeSet<String> {
    let all = account.manual_snapshots().await.unwrap();
    let names = all.into_iter().filter_map(|it| it.db_snapshot_identifier);
    names.collect()
}

/// An account with both kill switches off.
async fn account() -> Account {
    let account = Sandbox::shared().expect("the sandbox starts").account();
    for name in [
        switches::ALL.to_owned(),
        switches::name_for("snapshot-rotation"),
    ] {
        set(&account, &name, switches::OFF).await;
    }
    account
}

fn done(report: &Report) -> Vec<(&str, &str)> {
    let lines = report.actions.iter();
    let told = lines.map(|line| (line.kind.as_str(), line.reason.as_str()));
    let mut told: Vec<(&str, &str)> = told.collect();
    told.sort_unstable();
    told
}

#[tokio::test]
async fn an_event_comes_in_and_a_report_goes_out() {
    let account = account().await;
    let (_, shops) = database(&account, "shop-db", &[26, 50, 74]).await;
    let before = names(&account).await;
    let lambda = start(&account, &applying());

    let plan = lambda.report(json!({"operation": "rotate", "mode": "plan"}));
    assert_eq!(plan.status, Status::Planned, "{plan:#?}");
    assert_eq!(plan.account, account.id());
    assert_eq!(names(&account).await, before);

    // A schedule, as EventBridge sends it.
    let applied = lambda.report(json!({
        "version": "0", "id": "one", "detail-type": "Scheduled Event", "source": "aws.events",
        "account": account.id(), "time": "2026-11-22T03:00:00Z", "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/nightly"], "detail": {},
    }));
    assert!(applied.sums_hold());
    assert_eq!(applied.status, Status::Waiting, "{applied:#?}");
    let tagged = ("tag_snapshot", "untagged");
    let expected = [
        ("create_snapshot", "due"),
        ("delete_snapshot", "expired"),
        tagged,
        tagged,
        tagged,
    ];
    assert_eq!(done(&applied), expected);
    let after = names(&account).await;
    assert!(!after.contains(&shops[2]), "{after:?}");
    assert_eq!(after.len(), 3);

    // An event of RDS about the snapshot that it has made, twice, and one about a
    // person's.
    let made = after.difference(&before).next().unwrap();
    let event = |id: &str| {
        json!({
            "version": "0", "id": "two", "detail-type": "RDS DB Snapshot Event",
            "source": "aws.rds", "account": account.id(), "time": "2026-11-22T03:10:00Z",
            "region": "us-east-1", "resources": [],
            "detail": {
                "EventCategories": ["creation"], "SourceType": "SNAPSHOT",
                "SourceArn": format!("arn:aws:rds:us-east-1:{}:snapshot:{id}", account.id()),
                "SourceIdentifier": id, "Message": "Manual snapshot created",
                "EventID": "RDS-EVENT-0042",
            },
        })
    };
    let marked = lambda.report(event(made));
    assert_eq!(done(&marked), [("delete_snapshot", "expired"), tagged]);
    assert_eq!(lambda.report(event(made)).status, Status::NothingToDo);
    let nobodys = lambda.report(event("shop-db-before-upgrade"));
    assert_eq!(nobodys.status, Status::NothingToDo);
    assert_eq!(nobodys.summary.observed, 0, "{nobodys:#?}");
}

#[tokio::test]
async fn the_leash_the_policy_and_the_switches_are_stronger_than_the_event() {
    let account = account().await;
    database(&account, "shop-db", &[26, 50, 74]).await;
    let before = names(&account).await;
    let own = switches::name_for("snapshot-rotation");
    let refused = |lambda: &Lambda, guard: &str| {
        let report = lambda.report(json!({"mode": "apply"}));
        assert_eq!(report.status, Status::Refused, "{guard}: {report:#?}");
        assert_eq!(report.refusals[0].guard, guard);
    };
    for mode in ["plan", ""] {
        let environment = [("STEWARD_MODE", mode), ("STEWARD_POLICY", POLICY)];
        let lambda = start(&account, &environment);
        refused(&lambda, "mode");
        assert_eq!(lambda.report(json!({})).status, Status::Planned);
    }
    refused(
        &start(&account, &[("STEWARD_MODE", "apply")]),
        "explicit_policy",
    );
    let lambda = start(&account, &applying());
    for name in [switches::ALL, &own] {
        set(&account, name, "on").await;
        refused(&lambda, "kill_switch");
        let delete = account.ssm().delete_parameter().name(name);
        delete.send().await.unwrap();
        refused(&lambda, "kill_switch");
        set(&account, name, switches::OFF).await;
    }
    assert_eq!(names(&account).await, before);
    let wrong = lambda.error(json!({"operation": "retire"}));
    assert_eq!(wrong.0, "InvalidRequest", "{}", wrong.1);
    assert!(wrong.1.contains("resource_ids"), "{}", wrong.1);
    assert_eq!(lambda.report(json!({})).status, Status::Waiting);
}

#[tokio::test]
async fn a_process_that_is_killed_while_deleting_leaves_nothing_broken_for_the_next() {
    let account = account().await;
    let hours: Vec<i64> = (0..10).map(|day| 2 + 24 * day).collect();
    let (_, snapshots) = database(&account, "shop-db", &hours).await;
    // All deletions but the first two are held until long after the kill.
    let held = Fault {
        service: "rds".into(),
        operation: "DeleteDBSnapshot".into(),
        skip: Some(2),
        delay_ms: Some(5_000),
        ..Fault::default()
    };
    account.control().fault(&held).await.unwrap();

    let mut first = start(&account, &applying());
    first.send(json!({}));
    let mut left = names(&account).await;
    for _ in 0..300 {
        if left.len() < snapshots.len() {
            break;
        }
        let pause = Duration::from_millis(50);
        let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
        left = names(&account).await;
    }
    assert!(
        (snapshots.len() - 2..snapshots.len()).contains(&left.len()),
        "some and not all are gone: {left:?}"
    );
    first.kill();
    assert!(
        first.ended.try_recv().is_err(),
        "it was killed in the middle"
    );
    account.control().clear_faults().await.unwrap();

    let second = start(&account, &applying());
    let report = second.report(json!({}));
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let newest: BTreeSet<String> = snapshots[..2].iter().cloned().collect();
    assert_eq!(names(&account).await, newest);
    assert_eq!(second.report(json!({})).status, Status::NothingToDo);
}
