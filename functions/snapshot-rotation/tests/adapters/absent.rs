//! What is absent is not false: it is kept, and told.

use serde_json::json;
use snapshot_rotation::{Progress, Snapshot, World};
use steward::engine::{Hides, Seen};
use steward_sandbox::faults::{Answer, Scripted};

use crate::script::{
    Fields, HERE, Stage, at, database, databases, home, planned, policy, region, snapshot,
};

/// Five snapshots, of which the rule keeps two, the third changed like this.
fn with(change: impl Fn(&mut Fields)) -> Vec<Fields> {
    let mut all: Vec<Fields> = (0..5).map(|days| snapshot(HERE, days)).collect();
    change(&mut all[2]);
    all
}

async fn seen_of(here: Scripted) -> Seen<World> {
    let stage = Stage::over(here, region(vec![])).await;
    stage.observe(&policy(json!({}))).await
}

/// The third of [`with`], and whether it would be deleted.
async fn third(change: impl Fn(&mut Fields)) -> (Snapshot, bool) {
    let seen = seen_of(home(with(change))).await;
    assert_eq!(seen.gaps, []);
    let name = &snapshot(HERE, 2)["DBSnapshotIdentifier"];
    let mut all = at(&seen, HERE).snapshots.iter();
    let third = all.find(|snapshot| snapshot.id == *name).unwrap().clone();
    let planned = planned(&policy(json!({})), &seen);
    let others: Vec<&String> = planned.iter().filter(|it| !it.contains(name)).collect();
    assert_eq!(others.len(), 2, "the two oldest always go: {planned:?}");
    (third, planned.len() > others.len())
}

#[tokio::test]
async fn all_that_is_told_lets_the_third_go() {
    let (third, goes) = third(|_| {}).await;
    assert!(third.is_available() && goes, "{third:?}");
}

#[tokio::test]
async fn a_snapshot_with_no_tags_is_not_stewards() {
    let (third, goes) = third(|fields| {
        fields.insert("TagList", String::new());
    })
    .await;
    assert!(third.tags.is_empty() && !goes, "{third:?}");
}

#[tokio::test]
async fn a_snapshot_without_a_time_stays() {
    let (third, goes) = third(|fields| {
        fields.remove("SnapshotCreateTime");
        fields.remove("OriginalSnapshotCreateTime");
    })
    .await;
    assert_eq!((third.taken_at, third.created_at), (None, None));
    assert!(!goes);
}

#[tokio::test]
async fn of_a_snapshot_with_one_time_that_is_when_it_was_taken() {
    let (third, goes) = third(|fields| {
        fields.remove("OriginalSnapshotCreateTime");
    })
    .await;
    assert!(third.taken_at.is_some() && third.taken_at == third.created_at);
    assert!(goes);
}

#[tokio::test]
async fn a_snapshot_in_a_state_that_nobody_knows_stays_and_cannot_be_restored() {
    for status in [
        None,
        Some(""),
        Some("incompatible-restore"),
        Some("AVAILABLE"),
    ] {
        let (third, goes) = third(|fields| {
            fields.remove("Status");
            fields.extend(status.map(|status| ("Status", status.to_owned())));
        })
        .await;
        assert!(!third.is_available(), "{third:?}");
        assert!(!third.progress.has_failed(), "{third:?}");
        assert!(matches!(third.progress, Progress::Broken { .. }) && !goes);
    }
}

#[tokio::test]
async fn a_snapshot_under_way_without_a_share_has_none_yet() {
    let (third, goes) = third(|fields| {
        fields.insert("Status", "creating".to_owned());
        fields.remove("PercentProgress");
    })
    .await;
    assert!(
        matches!(third.progress, Progress::Under { percent: 0, .. }) && !goes,
        "{third:?}"
    );
}

#[tokio::test]
async fn a_snapshot_without_the_resource_id_is_stewards_by_tag_and_name() {
    let (third, goes) = third(|fields| {
        fields.remove("DbiResourceId");
    })
    .await;
    assert_eq!(third.resource_id, None);
    assert!(goes);
}

#[tokio::test]
async fn what_has_no_name_or_list_of_tags_makes_its_listing_incomplete() {
    for field in ["DBSnapshotIdentifier", "DBSnapshotArn", "TagList"] {
        let all = with(|fields| {
            fields.remove(field);
        });
        let seen = seen_of(home(all)).await;
        assert_eq!(seen.gaps.len(), 1, "{field}: {:?}", seen.gaps);
        assert!(!at(&seen, HERE).complete);
        let planned = planned(&policy(json!({})), &seen);
        assert_eq!(planned, Vec::<String>::new(), "{field}");
    }
    for field in [
        "DBInstanceIdentifier",
        "DbiResourceId",
        "DBInstanceArn",
        "DBInstanceStatus",
        "TagList",
    ] {
        let mut other = database();
        other.remove(field);
        let here = home(with(|_| {}));
        let here = here.on("rds:DescribeDBInstances", databases(&[database(), other]));
        let seen = seen_of(here).await;
        assert_eq!(seen.gaps.len(), 1, "{field}: {:?}", seen.gaps);
        assert_eq!(seen.gaps[0].hides, Hides::Everything);
        let planned = planned(&policy(json!({})), &seen);
        assert_eq!(planned, Vec::<String>::new(), "{field}");
    }
}

#[tokio::test]
async fn a_quota_that_is_not_told_is_a_warning() {
    for quotas in [
        "<AccountQuotas/>",
        "<AccountQuotas><AccountQuota><AccountQuotaName>DBInstances</AccountQuotaName>\
         <Used>1</Used><Max>40</Max></AccountQuota></AccountQuotas>",
        "<AccountQuotas><AccountQuota><AccountQuotaName>ManualSnapshots</AccountQuotaName>\
         <Max>40</Max></AccountQuota></AccountQuotas>",
        "",
    ] {
        let here = home(with(|_| {})).on("rds:DescribeAccountAttributes", Answer::result(quotas));
        let seen = seen_of(here).await;
        assert_eq!(seen.gaps, []);
        assert_eq!(at(&seen, HERE).quota, None);
        let [warning] = seen.warnings.as_slice() else {
            panic!("{quotas}: {:?}", seen.warnings);
        };
        assert!(
            warning.contains(HERE) && warning.contains("ManualSnapshots"),
            "{warning}"
        );
    }
}
