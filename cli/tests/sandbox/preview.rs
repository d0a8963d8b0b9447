//! `steward snapshot-rotation preview`: what is and what will be, and nothing changes.

use jiff::SignedDuration;
use serde_json::Value;
use steward_sandbox::{Database, Fault};

use super::{Desk, desk, now, status, text};

/// Every day, of which three stay, and two of the copies; another rule shares.
const POLICY: &str = r#"
version: 1
rules:
- name: nightly
  databases: {include: ["*"], exclude: ["shared-db"]}
  keep: {last: 3}
  copies: [{region: eu-west-1, kms_key_id: alias/backups, keep: {last: 2}}]
- name: shared
  databases: {include: ["shared-db"]}
  share_with: ["222222222222"]
"#;

/// Snapshots of so many days ago, as the function leaves them.
async fn own(database: &Database, days: i64) {
    let resource_id = database.resource_id();
    let end = resource_id[resource_id.len() - 6..].to_lowercase();
    for day in 0..days {
        let taken_at = now() - SignedDuration::from_hours(24 * day + 3);
        let slot = taken_at.strftime("%Y%m%d-%H%M");
        let name = format!("steward-{}-{end}-{slot}", database.identifier());
        let tags = [
            ("steward:managed-by", "snapshot-rotation"),
            ("steward:made-for", resource_id),
        ];
        database.snapshot_at(taken_at, &name, &tags).await.unwrap();
    }
}

fn preview(desk: &Desk, more: &[&str]) -> (Value, i32) {
    let base = ["snapshot-rotation", "preview", "--json"];
    let output = desk.steward(&[&base[..], more].concat());
    let answer = serde_json::from_slice(&output.stdout);
    let answer = answer.unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    (answer, status(&output))
}

/// How many snapshots there are at each moment in each place of a picture.
fn counts(picture: &Value) -> Vec<Vec<usize>> {
    let places = picture["places"].as_array().unwrap().iter();
    places
        .map(|place| {
            let moments = place["moments"].as_array().unwrap().iter();
            let counts = moments.map(|moment| moment["snapshots"].as_array().unwrap().len());
            counts.collect()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_draws_what_will_be_and_changes_nothing() {
    let desk = desk("a_preview");
    std::fs::write(desk.directory.join("policy.yaml"), POLICY).unwrap();
    let policy = ["--policy", "policy.yaml"];
    desk.account.allow_manual_snapshots(14).await.unwrap();
    for (identifier, days) in [("shop-db", 5), ("shop-db-2", 0), ("shop-db-3", 0)] {
        let database = desk.account.database(identifier, &[]).await.unwrap();
        own(&database, days).await;
    }
    let stopped = desk.account.database("stopped-db", &[]).await.unwrap();
    stopped.put_into("stopped").await.unwrap();
    let shared = desk.account.database("shared-db", &[]).await.unwrap();
    own(&shared, 1).await;
    let before = desk.account.manual_snapshots().await.unwrap();

    let (answer, exit) = preview(&desk, &policy);
    assert_eq!(exit, 0, "{answer:#}");
    assert_eq!(answer["account"], desk.account.id());
    let databases: Vec<String> = answer["pictures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|picture| picture["databases"].to_string())
        .collect();
    assert_eq!(
        databases,
        [
            r#"["shop-db-2","shop-db-3"]"#,
            r#"["shared-db"]"#,
            r#"["shop-db"]"#
        ]
    );
    assert_eq!(
        counts(&answer["pictures"][0])[..2],
        [[0, 3, 3, 3], [0, 2, 2, 2]]
    );
    assert_eq!(
        counts(&answer["pictures"][2])[..2],
        [[5, 3, 3, 3], [0, 2, 2, 2]]
    );
    assert_eq!(answer["left"][0]["database"], "stopped-db");
    assert_eq!(answer["left"][0]["reason"], "not_available");
    // The deletions wait until the newest has its copy.
    let next_run = &answer["next_run"];
    assert_eq!(
        (&next_run["makes"], &next_run["refusals"]),
        (&2.into(), &Value::Array(vec![]))
    );
    let room = &answer["room"][0];
    assert_eq!((&room["now"], &room["max"]), (&6.into(), &14.into()));
    // The shared one has the rules by default, and grows longest.
    assert!(room["full_at"].is_string(), "{room}");

    let shown = desk.steward(&[&["snapshot-rotation", "preview"][..], &policy].concat());
    assert_eq!(status(&shown), 0, "{}", text(&shown));
    for part in [
        "shop-db-2, shop-db-3\n  rule nightly: every 1d\n",
        "keeps last 3\n",
        "  in a year      3  ",
        "stopped-db: RDS makes no snapshot of a database that is stopped",
        "has no room for them from 20",
        "    steward snapshot-rotation plan --policy policy.yaml\n",
    ] {
        assert!(text(&shown).contains(part), "{part:?}: {}", text(&shown));
    }

    let one = [&policy[..], &["--database", "shop-db"]].concat();
    let (answer, exit) = preview(&desk, &one);
    assert_eq!((exit, counts(&answer["pictures"][0]).len()), (0, 2));
    assert_eq!(answer["pictures"].as_array().unwrap().len(), 1);
    assert_eq!(answer["room"], Value::Array(vec![]));

    assert_eq!(desk.account.manual_snapshots().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_it_could_not_read() {
    let desk = desk("a_blind_preview");
    std::fs::write(desk.directory.join("policy.yaml"), POLICY).unwrap();
    let policy = ["--policy", "policy.yaml"];
    desk.account.database("shop-db", &[]).await.unwrap();
    let shared = desk.account.database("shared-db", &[]).await.unwrap();
    own(&shared, 1).await;
    let control = desk.account.control();
    let deny = |operation: &str| Fault::of("rds", operation, "AccessDenied");

    control
        .fault(&deny("DescribeDBSnapshotAttributes"))
        .await
        .unwrap();
    let (answer, exit) = preview(&desk, &policy);
    assert_eq!(exit, 5, "{answer:#}");
    assert_eq!(answer["pictures"].as_array().unwrap().len(), 1);
    assert_eq!(answer["left"][0]["reason"], "unseen");
    assert_eq!(
        answer["gaps"][0]["grant"],
        "rds:DescribeDBSnapshotAttributes"
    );

    control.fault(&deny("DescribeDBSnapshots")).await.unwrap();
    let blind = desk.steward(&[&["snapshot-rotation", "preview"][..], &policy].concat());
    assert_eq!(status(&blind), 1, "{}", text(&blind));
    assert!(
        text(&blind).contains("Could not be read") && text(&blind).contains("Not drawn"),
        "{}",
        text(&blind)
    );
}
