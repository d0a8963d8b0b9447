//! Places in other accounts: what is asked for there and about them, and how
//! often.

use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, Scripted};

use crate::script::{HERE, RESOURCE_ID, Stage, THERE, at, copies, home, policy, region, snapshot};

const ROLE: &str = "arn:aws:iam::222222222222:role/steward-copies";

/// Copies to another account, in the other Region.
fn to_another_account() -> Value {
    let mut rule = copies();
    rule["copies"][0]["role_arn"] = json!(ROLE);
    rule
}

/// The Region of the database with snapshots of these days, shared with nobody.
fn sharing(days: std::ops::RangeInclusive<i64>) -> Scripted {
    let snapshots = days.map(|days| {
        let mut fields = snapshot(HERE, days);
        fields.insert("KmsKeyId", format!("arn:aws:kms:{HERE}:123456789012:key/k"));
        fields
    });
    home(snapshots.collect())
        .always("rds:DescribeDBSnapshotAttributes", |_| {
            Answer::result(
                "<DBSnapshotAttributesResult><DBSnapshotAttributes><DBSnapshotAttribute>\
                 <AttributeName>restore</AttributeName><AttributeValues/></DBSnapshotAttribute>\
                 </DBSnapshotAttributes></DBSnapshotAttributesResult>",
            )
        })
        .always(
            "kms:DescribeKey",
            |_| json!({"KeyMetadata": {"KeyId": "k", "KeyManager": "CUSTOMER"}}),
        )
}

fn with_role(script: Scripted) -> Scripted {
    script.always("sts:AssumeRole", |_| {
        Answer::result(
            "<Credentials><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>test</SecretAccessKey>\
             <SessionToken>test</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
             </Credentials>",
        )
    })
}

fn calls(stage: &Stage, operation: &str) -> usize {
    let calls = stage.client.calls();
    let of = calls.iter().filter(|call| call.operation == operation);
    of.count()
}

#[tokio::test]
async fn a_role_is_assumed_once_and_only_what_is_missing_there_is_asked_about() {
    let there = region((3..=5).map(|days| snapshot(THERE, days)).collect());
    let stage = Stage::over(with_role(sharing(1..=5)), there).await;
    let policy = policy(to_another_account());
    for run in 1..=2 {
        let seen = stage.observe(&policy).await;
        assert_eq!(seen.gaps, []);
        assert_eq!(calls(&stage, "AssumeRole"), 1);
        assert_eq!(calls(&stage, "DescribeDBSnapshotAttributes"), 2 * run);
        // They have one key.
        assert_eq!(calls(&stage, "DescribeKey"), run);
        let known = at(&seen, HERE).snapshots.iter();
        let known = known.filter(|snapshot| snapshot.shared_with.is_some());
        let mut known: Vec<&str> = known.map(|snapshot| snapshot.id.as_str()).collect();
        known.sort_unstable();
        let mut missing = [1, 2].map(|days| snapshot(HERE, days)["DBSnapshotIdentifier"].clone());
        missing.sort_unstable();
        assert_eq!(known, missing);
    }
}

#[tokio::test]
async fn nobody_is_asked_about_shares_for_a_place_that_was_not_read() {
    let there = region(vec![]).on(
        "rds:DescribeDBSnapshots",
        Answer::error(403, "AccessDenied", "no"),
    );
    let stage = Stage::over(with_role(sharing(1..=5)), there).await;
    let seen = stage.observe(&policy(to_another_account())).await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    let unit = format!("{HERE}/shop-db/{RESOURCE_ID}");
    assert!(seen.gaps[0].hides.covers(&unit), "{:?}", seen.gaps);
    assert_eq!(calls(&stage, "DescribeDBSnapshotAttributes"), 0);
}

#[tokio::test]
async fn a_share_that_cannot_be_read_is_a_gap_of_its_database() {
    let here = with_role(sharing(1..=5)).on(
        "rds:DescribeDBSnapshotAttributes",
        Answer::result("<DBSnapshotAttributesResult/>"),
    );
    let there = region((2..=5).map(|days| snapshot(THERE, days)).collect());
    let stage = Stage::over(here, there).await;
    let seen = stage.observe(&policy(to_another_account())).await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    let gap = &seen.gaps[0];
    assert_eq!(gap.grant, "rds:DescribeDBSnapshotAttributes");
    assert!(
        gap.hides.covers(&format!("{HERE}/shop-db/{RESOURCE_ID}")),
        "{gap:?}"
    );
}
