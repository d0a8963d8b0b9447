//! Reads that fail: each is a gap that names its permission, and nothing is changed
//! that it could speak against.

use serde_json::json;
use steward_sandbox::faults::{Answer, At, Fault, Scripted};

use crate::script::{
    DAILY, DATABASE, EVENING, FALLING_ASLEEP, GROUP, Moment, SERVICE, Stage, WAKING_UP, asleep,
    awake, body, scalable, services,
};

/// Every read without which an environment is not known, and when it is made.
const READS: [(Moment, &str); 11] = [
    (EVENING, "dynamodb:Query"),
    (EVENING, "ecs:ListClusters"),
    (EVENING, "ecs:ListServices"),
    (EVENING, "ecs:DescribeServices"),
    (EVENING, "application-autoscaling:DescribeScalableTargets"),
    (EVENING, "autoscaling:DescribeAutoScalingGroups"),
    (EVENING, "ecs:DescribeCapacityProviders"),
    (EVENING, "rds:DescribeDBInstances"),
    (WAKING_UP, "ecs:DescribeClusters"),
    (WAKING_UP, "ecs:ListContainerInstances"),
    (WAKING_UP, "ecs:DescribeContainerInstances"),
];

#[tokio::test]
async fn a_read_that_is_denied_throttled_or_broken_is_a_gap_with_its_permission() {
    for (moment, read) in READS {
        for fault in [
            Fault::Deny,
            Fault::Throttle,
            Fault::EmptyAnswer,
            Fault::TruncatedAnswer,
            Fault::error(400, "SomethingNew"),
        ] {
            let stage = Stage::over(moment, awake()).await;
            stage.client.add(At::every(read), fault.clone());
            let seen = stage.observe().await;
            assert!(!seen.gaps.is_empty(), "{read} {fault}");
            for gap in &seen.gaps {
                assert_eq!(gap.grant, read, "{fault}: {gap:?}");
                assert!(gap.read.contains(read), "{gap:?}");
                assert!(gap.hides.covers("dev"), "{gap:?}");
            }
            let changed = stage.changes(&seen).remove(&1).unwrap_or_default();
            assert!(changed.is_empty(), "{read} {fault}: {changed:?}");
            let planned = stage.planned(&seen);
            let ends = planned.iter().any(|it| it.starts_with("finish_transition"));
            assert!(!ends, "{read} {fault}: {planned:?}");
            if fault == Fault::Throttle {
                assert!(
                    stage.client.count(read) >= 6,
                    "{read} was given up too soon"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_read_that_is_throttled_for_a_while_is_made_again() {
    for (moment, read) in READS {
        let stage = Stage::over(moment, awake()).await;
        for n in 1..=3 {
            stage.client.add(At::nth(read, n), Fault::Throttle);
        }
        let seen = stage.observe().await;
        assert_eq!(stage.client.unspent(), Vec::<String>::new(), "{read}");
        assert_eq!(seen.gaps, [], "{read}");
        assert_eq!(seen.world.resources.len(), 3, "{read}");
    }
}

/// What RDS tells by hand of snapshots is asked only where one is to be made.
#[tokio::test]
async fn snapshots_that_cannot_be_listed_keep_their_database_awake() {
    let policy = r#"
version: 1
schedules:
  day: {periods: [{start: "08:00", stop: "20:00"}]}
environments:
  dev: {schedules: [day], members: {db: {databases: {include: ["*"]}, snapshot: true}}}
"#;
    let stage = Stage::over(FALLING_ASLEEP, awake()).await.told(policy);
    let seen = stage.observe().await;
    assert_eq!(stage.planned(&seen), ["snapshot_database snapshot_first"]);
    stage
        .client
        .add(At::every("rds:DescribeDBSnapshots"), Fault::Deny);
    let seen = stage.observe().await;
    assert_eq!(seen.gaps[0].grant, "rds:DescribeDBSnapshots");
    assert_eq!(stage.planned(&seen), Vec::<String>::new());
}

#[tokio::test]
async fn health_that_cannot_be_read_is_no_gap_and_not_taken_for_good() {
    let stage = Stage::over(WAKING_UP, awake()).await;
    let health = "elasticloadbalancing:DescribeTargetHealth";
    stage.client.add(At::every(health), Fault::Deny);
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let [warning] = &seen.warnings[..] else {
        panic!("{:?}", seen.warnings);
    };
    assert!(
        warning.contains("shop/web counts as not ready") && warning.contains(health),
        "{warning}"
    );
    assert_eq!(stage.planned(&seen), ["record_step next_step"]);
}

#[tokio::test]
async fn a_change_calendar_that_cannot_be_read_counts_as_closed() {
    let policy = DAILY.replace(r#""20:00"}]}"#, r#""20:00"}], change_calendars: [freeze]}"#);
    for answer in [
        Answer::error(400, "AccessDeniedException", "not yours"),
        json!({}).into(),
        json!({"State": "SOMETIMES"}).into(),
    ] {
        let script = awake().always("ssm:GetCalendarState", move |_| answer.clone());
        let stage = Stage::over(EVENING, script).await.told(&policy);
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, []);
        assert!(
            seen.warnings[0].contains("counts as closed"),
            "{:?}",
            seen.warnings
        );
        assert_eq!(stage.planned(&seen), Vec::<String>::new());
        // Nothing is looked at that waits for it.
        assert_eq!(stage.client.count("ecs:ListClusters"), 0);
    }
}

#[tokio::test]
async fn what_is_missing_is_gone_and_every_other_reason_is_a_gap() {
    let reads = [
        (EVENING, "ecs:DescribeServices", "services"),
        (WAKING_UP, "ecs:DescribeClusters", "clusters"),
        (
            WAKING_UP,
            "ecs:DescribeContainerInstances",
            "containerInstances",
        ),
    ];
    for (moment, operation, list) in reads {
        for (failure, gaps) in [
            (json!({"arn": "arn/one", "reason": "MISSING"}), 0),
            (json!({"arn": "arn/one", "reason": "ACCESS_DENIED"}), 1),
            (json!({"arn": "arn/one"}), 1),
            (json!({}), 1),
        ] {
            let failures = match list {
                "containerInstances" => vec![failure.clone(), failure.clone()],
                _ => vec![failure.clone()],
            };
            let answer = json!({list: [], "failures": failures});
            let script = awake().always(operation, move |_| answer.clone());
            let stage = Stage::over(moment, script).await;
            let seen = stage.observe().await;
            assert_eq!(
                seen.gaps.len(),
                gaps,
                "{operation} {failure}: {:?}",
                seen.gaps
            );
            assert!(seen.gaps.iter().all(|gap| gap.grant == operation));
        }
    }
}

#[tokio::test]
async fn a_cluster_that_is_deleted_between_two_calls_has_nothing() {
    let gone = || Answer::error(400, "ClusterNotFoundException", "Cluster not found.");
    for (moment, operation) in [
        (EVENING, "ecs:ListServices"),
        (EVENING, "ecs:DescribeServices"),
        (WAKING_UP, "ecs:ListContainerInstances"),
        (WAKING_UP, "ecs:DescribeContainerInstances"),
    ] {
        let script = awake().always(operation, move |_| gone());
        let stage = Stage::over(moment, script).await;
        assert_eq!(stage.observe().await.gaps, [], "{operation}");
    }
}

/// A raised size must not be remembered as the usual one, and waking needs none.
#[tokio::test]
async fn raises_that_cannot_be_read_hold_back_parking_and_no_waking() {
    let denied = |script: Scripted| {
        script.always("dynamodb:Query", |request| {
            let values = &body(request)["ExpressionAttributeValues"];
            if values[":partition"]["S"] == "raises" {
                return Answer::error(400, "AccessDeniedException", "not yours");
            }
            let start = values[":start"]["S"].as_str().unwrap();
            let is_evening = start == "environment#";
            let entry = crate::script::item("environment#dev", &EVENING.progress());
            json!({"Items": if is_evening { vec![entry] } else { vec![] }}).into()
        })
    };
    let stage = Stage::with_ledger(EVENING, awake(), denied).await;
    let seen = stage.observe().await;
    let [gap] = &seen.gaps[..] else {
        panic!("{:?}", seen.gaps);
    };
    assert!(
        gap.read.contains("dynamodb:Query") && !gap.hides.covers("dev"),
        "{gap:?}"
    );
    assert_eq!(stage.planned(&seen), ["begin_transition due"]);
}

/// Between the look and the change.
#[tokio::test]
async fn a_check_before_acting_that_fails_changes_nothing() {
    for (moment, script, remembered, read) in [
        (EVENING, awake(), &[][..], "ecs:DescribeServices"),
        (
            EVENING,
            awake(),
            &[],
            "application-autoscaling:DescribeScalableTargets",
        ),
        (
            WAKING_UP,
            asleep(),
            &[SERVICE, GROUP, DATABASE],
            "rds:DescribeDBInstances",
        ),
    ] {
        let stage = Stage::over(moment, script).await;
        remembered.iter().for_each(|arn| stage.table.remember(arn));
        let seen = stage.observe().await;
        stage.client.add(At::every(read), Fault::Deny);
        let outcomes = stage.act(&seen).await;
        let (_, last) = outcomes.last().unwrap();
        let told = format!("{last:?}");
        assert!(
            told.starts_with("Failed(") && told.contains("nothing was done") && told.contains(read),
            "{told}"
        );
        let order = stage.order();
        let changes = ["Update", "Register", "Start", "Stop", "Tag", "AddTags"];
        let is_change = |it: &&String| changes.iter().any(|verb| it.starts_with(verb));
        assert_eq!(order.iter().find(is_change), None, "{read}: {order:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_of_its_scaling_is_not_parked_by_its_count_alone() {
    let other = "application-autoscaling:DescribeScalableTargets";
    let script = awake()
        .on(other, scalable(2, 6, false))
        .always(other, |_| Answer::error(400, "AccessDeniedException", "no"));
    let stage = Stage::over(EVENING, script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let outcomes = stage.act(&seen).await;
    assert!(format!("{outcomes:?}").contains(other), "{outcomes:?}");
    assert_eq!(stage.sent("UpdateService"), Vec::<String>::new());
    assert_eq!(stage.table.says(&format!("size#{SERVICE}")), None);
}

#[tokio::test]
async fn a_service_that_goes_between_the_list_and_its_description_is_left_out() {
    let script = awake().always(
        "ecs:DescribeServices",
        |_| json!({"services": [], "failures": [{"arn": SERVICE, "reason": "MISSING"}]}),
    );
    let stage = Stage::over(EVENING, script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.world.resources.len(), 2);
    // One that is on its way out is seen, and left alone.
    let mut draining = crate::script::service(0);
    draining["status"] = json!("DRAINING");
    let script = awake().always("ecs:DescribeServices", move |_| {
        services(vec![draining.clone()])
    });
    let stage = Stage::over(EVENING, script).await;
    let seen = stage.observe().await;
    let reasons = stage.reasons(&seen);
    assert!(reasons.contains(&"leaving"), "{reasons:?}");
}
