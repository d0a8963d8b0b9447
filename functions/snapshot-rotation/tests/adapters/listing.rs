//! Listings are read to their end, in the largest pages, and what is missing in
//! one is a gap that names its place.

use serde_json::json;
use steward::engine::Hides;
use steward_sandbox::faults::{Answer, At, Fault, Scripted};

use crate::script::{
    Fields, HERE, RESOURCE_ID, Stage, THERE, at, copies, database, databases, home, page, planned,
    policy, region, snapshot,
};

/// 350 snapshots in four pages.
fn hundreds(script: Scripted, of: &'static str) -> Scripted {
    let all: Vec<Fields> = (1..=350).map(|days| snapshot(of, days)).collect();
    script.always("rds:DescribeDBSnapshots", move |request| {
        let marker = request.split('&').find_map(|it| it.strip_prefix("Marker="));
        let n: usize = marker.map_or(0, |marker| marker.parse().unwrap());
        let next = (n < 3).then(|| (n + 1).to_string());
        let some = all.iter().skip(100 * n).take(100).cloned();
        page(&some.collect::<Vec<_>>(), next.as_deref())
    })
}

#[tokio::test]
async fn hundreds_of_snapshots_come_in_pages_of_a_hundred() {
    let here = hundreds(home(vec![]), HERE);
    let there = hundreds(region(vec![]), THERE);
    let stage = Stage::over(here, there).await;
    let seen = stage.observe(&policy(copies())).await;
    assert_eq!(seen.gaps, []);
    for place in [HERE, THERE] {
        assert_eq!(at(&seen, place).snapshots.len(), 350);
        assert!(at(&seen, place).complete);
        let sent = stage.sent(place, "DescribeDBSnapshots");
        assert_eq!(sent.len(), 4);
        for body in sent {
            assert!(body.contains("MaxRecords=100"), "{body}");
            assert!(body.contains("SnapshotType=manual"), "{body}");
        }
    }
    // Databases, room and backups take no call more for that.
    assert_eq!(stage.sent(HERE, "DescribeDBInstances").len(), 1);
    assert_eq!(stage.client.calls().len(), 4 + 4 + 1 + 2 + 1);
}

#[tokio::test]
async fn a_page_that_fails_there_is_a_gap_of_that_place_and_nothing_of_its_databases_goes() {
    let there = hundreds(region(vec![]), THERE)
        .on(
            "rds:DescribeDBSnapshots",
            page(&[snapshot(THERE, 1)], Some("1")),
        )
        .on(
            "rds:DescribeDBSnapshots",
            Answer::error(400, "InvalidParameterValue", "a bad marker"),
        );
    let here = home((1..=5).map(|days| snapshot(HERE, days)).collect());
    let stage = Stage::over(here, there).await;
    let policy = policy(copies());
    let seen = stage.observe(&policy).await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    let gap = &seen.gaps[0];
    assert!(gap.read.contains("a bad marker"), "{gap:?}");
    assert!(gap.read.contains(&format!("in {THERE}")), "{gap:?}");
    assert_eq!(gap.grant, "rds:DescribeDBSnapshots");
    for place in [HERE, THERE] {
        let unit = format!("{place}/shop-db/{RESOURCE_ID}");
        assert!(gap.hides.covers(&unit), "{gap:?} and {unit}");
    }
    assert!(!gap.hides.covers(&format!("{HERE}/other-db/db-OTHER")));
    assert!(!at(&seen, THERE).complete);
    let planned = planned(&policy, &seen);
    let [made] = planned.as_slice() else {
        panic!("{planned:?}");
    };
    assert!(made.ends_with(" due"), "{made}");
}

#[tokio::test]
async fn a_page_that_fails_beside_the_databases_hides_everything() {
    let here = hundreds(home(vec![]), HERE)
        .on(
            "rds:DescribeDBSnapshots",
            page(&[snapshot(HERE, 3)], Some("1")),
        )
        .on(
            "rds:DescribeDBSnapshots",
            Answer::error(403, "AccessDenied", "no"),
        );
    let stage = Stage::over(here, region(vec![])).await;
    let policy = policy(json!({}));
    let seen = stage.observe(&policy).await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    assert_eq!(seen.gaps[0].hides, Hides::Everything);
    assert!(!at(&seen, HERE).complete);
    assert_eq!(planned(&policy, &seen), Vec::<String>::new());
}

#[tokio::test]
async fn a_listing_that_comes_back_to_a_page_is_a_gap_and_ends() {
    for circle in [&["again", "again"][..], &["there", "back", "there"][..]] {
        let add = |script: Scripted, marker: &&str| {
            script.on("rds:DescribeDBSnapshots", page(&[], Some(marker)))
        };
        let all = (1..=5).map(|days| snapshot(HERE, days)).collect();
        let here = circle.iter().fold(home(all), add);
        let stage = Stage::over(here, region(vec![])).await;
        let policy = policy(json!({}));
        let seen = stage.observe(&policy).await;
        assert_eq!(seen.gaps.len(), 1, "{circle:?}: {:?}", seen.gaps);
        let gap = &seen.gaps[0];
        assert!(gap.read.contains("comes again and again"), "{gap:?}");
        assert_eq!(gap.grant, "rds:DescribeDBSnapshots");
        assert_eq!(planned(&policy, &seen), Vec::<String>::new());
    }
    let again = |script: Scripted| {
        let answer = "<DBInstances/><Marker>again</Marker>";
        script.on("rds:DescribeDBInstances", Answer::result(answer))
    };
    let stage = Stage::over(again(again(home(vec![]))), region(vec![])).await;
    let seen = stage.observe(&policy(json!({}))).await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    assert_eq!(seen.gaps[0].hides, Hides::Everything);
}

#[tokio::test]
async fn a_throttled_page_is_asked_for_again() {
    let stage = Stage::over(hundreds(home(vec![]), HERE), region(vec![])).await;
    for n in [1, 3, 4] {
        let client = &stage.client;
        client.add(At::nth("rds:DescribeDBSnapshots", n), Fault::Throttle);
    }
    stage
        .client
        .add(At::nth("rds:DescribeDBInstances", 1), Fault::Throttle);
    let seen = stage.observe(&policy(json!({}))).await;
    assert_eq!(seen.gaps, []);
    assert_eq!(at(&seen, HERE).snapshots.len(), 350);
    assert_eq!(seen.world.databases.len(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_gap() {
    for operation in ["rds:DescribeDBSnapshots", "rds:DescribeDBInstances"] {
        for fault in [Fault::TruncatedAnswer, Fault::EmptyAnswer] {
            let here = home((1..=5).map(|days| snapshot(HERE, days)).collect());
            let stage = Stage::over(here, region(vec![])).await;
            stage.client.add(At::every(operation), fault.clone());
            let policy = policy(json!({}));
            let seen = stage.observe(&policy).await;
            assert_eq!(seen.gaps.len(), 1, "{operation} {fault}: {:?}", seen.gaps);
            assert!(seen.gaps[0].read.starts_with(operation), "{:?}", seen.gaps);
            assert_eq!(seen.gaps[0].hides, Hides::Everything);
            assert_eq!(planned(&policy, &seen), Vec::<String>::new(), "{fault}");
        }
    }
}

#[tokio::test]
async fn an_empty_marker_ends_a_listing_as_none_does() {
    for marker in ["", "<Marker/>", "<Marker></Marker>"] {
        let answer = format!("<DBInstances/>{marker}");
        let here = home(vec![]).on("rds:DescribeDBInstances", Answer::result(&answer));
        let stage = Stage::over(here, region(vec![])).await;
        let seen = stage.observe(&policy(json!({}))).await;
        assert_eq!(seen.gaps, [], "{marker}");
        assert_eq!(seen.world.databases, [], "{marker}");
    }
    // Whereas a page without the list says nothing of what there is.
    let here = home(vec![])
        .on(
            "rds:DescribeDBInstances",
            Answer::result("<Marker>more</Marker>"),
        )
        .on("rds:DescribeDBInstances", databases(&[database()]));
    let stage = Stage::over(here, region(vec![])).await;
    let seen = stage.observe(&policy(json!({}))).await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    assert_eq!(seen.gaps[0].grant, "rds:DescribeDBInstances");
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_is_a_gap_of_its_place() {
    let role = "arn:aws:iam::222222222222:role/steward-copies";
    let mut rule = copies();
    rule["copies"][0]["role_arn"] = json!(role);
    let here = home((1..=5).map(|days| snapshot(HERE, days)).collect())
        .always("sts:AssumeRole", |_| {
            Answer::error(403, "AccessDenied", "not trusted")
        });
    let stage = Stage::over(here, region(vec![])).await;
    let policy = policy(rule);
    let seen = stage.observe(&policy).await;
    let of_role = seen.gaps.iter().find(|gap| gap.grant == "sts:AssumeRole");
    let gap = of_role.unwrap_or_else(|| panic!("{:?}", seen.gaps));
    assert!(
        gap.read.contains(role) && gap.read.contains("not trusted"),
        "{gap:?}"
    );
    assert!(gap.hides.covers(&format!("{HERE}/shop-db/{RESOURCE_ID}")));
    assert_eq!(
        stage.sent(THERE, "DescribeDBSnapshots"),
        Vec::<String>::new()
    );
    let planned = planned(&policy, &seen);
    assert!(
        planned.iter().all(|what| what.ends_with(" due")),
        "{planned:?}"
    );
}
