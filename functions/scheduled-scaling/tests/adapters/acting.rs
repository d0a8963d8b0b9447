//! In which order things are changed, and with which parameters: sizes are remembered
//! before they are lowered, and forgotten after they are back.

use serde_json::json;
use steward::engine::Outcome;
use steward_sandbox::faults::{Answer, Scripted};

use crate::script::{
    DATABASE, EVENING, FALLING_ASLEEP, GROUP, Moment, SERVICE, Stage, WAKING_UP, asleep, awake,
    body, database, databases, field, group, groups, parked_service, providers, scalable, service,
    services,
};

const DONE: Outcome = Outcome::Done;

/// Nothing left to park but the group.
fn services_asleep() -> Scripted {
    awake()
        .always("ecs:DescribeServices", |_| services(vec![parked_service()]))
        .always("application-autoscaling:DescribeScalableTargets", |_| {
            scalable(0, 0, true)
        })
}

/// Nothing left to park but the database.
fn capacity_asleep() -> Scripted {
    services_asleep().always("autoscaling:DescribeAutoScalingGroups", |_| {
        groups(&[group(0)], None)
    })
}

/// Nothing left to wake but the group and the service.
fn database_awake() -> Scripted {
    asleep().always("rds:DescribeDBInstances", |_| {
        databases(&[database("available")], None)
    })
}

/// Nothing left to wake but the service.
fn capacity_awake() -> Scripted {
    database_awake().always("autoscaling:DescribeAutoScalingGroups", |_| {
        groups(&[group(2)], None)
    })
}

async fn stage(moment: Moment, script: Scripted, remembered: &[&str]) -> Stage {
    let stage = Stage::over(moment, script).await;
    for arn in remembered {
        stage.table.remember(arn);
    }
    stage
}

/// What is said of a resource in the ledger: its state.
fn state(stage: &Stage, arn: &str) -> Option<String> {
    let saved = stage.table.says(&format!("size#{arn}"))?;
    Some(saved["state"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_service_is_remembered_and_marked_before_it_is_parked() {
    let stage = stage(FALLING_ASLEEP, awake(), &[]).await;
    assert_eq!(stage.tick().await, [("park_service", DONE)]);
    assert_eq!(
        stage.order(),
        [
            "PutItem lease",
            "GetItem environment",
            "DescribeServices",
            "DescribeScalableTargets",
            "GetItem size",
            "PutItem size",
            "TagResource",
            "RegisterScalableTarget",
            "UpdateService",
            "GetItem size",
            "PutItem size",
            "DeleteItem lease",
        ]
    );
    let put = stage.sent("PutItem");
    let remembered = body(body(&put[1])["Item"]["body"]["S"].as_str().unwrap());
    assert_eq!(
        (&remembered["state"], &remembered["sizes"]),
        (
            &json!("parking"),
            &json!({"min": 2, "desired": 3, "max": 6,
                "suspended": {"in": false, "out": false, "scheduled": false}})
        )
    );
    let tagged = body(&stage.sent("TagResource")[0]);
    assert_eq!(tagged["resourceArn"], json!(SERVICE));
    let mark = "2026-11-23T20:10:00Z desired=3 min=2 max=6 suspended=none";
    assert_eq!(
        tagged["tags"],
        json!([{"key": "steward:parked", "value": mark}])
    );
    let bounds = body(&stage.sent("RegisterScalableTarget")[0]);
    assert_eq!(
        bounds,
        json!({
            "ServiceNamespace": "ecs",
            "ResourceId": "service/shop/web",
            "ScalableDimension": "ecs:service:DesiredCount",
            "MinCapacity": 0,
            "MaxCapacity": 0,
            "SuspendedState": {
                "DynamicScalingInSuspended": true,
                "DynamicScalingOutSuspended": true,
                "ScheduledScalingSuspended": true,
            },
        })
    );
    let count = body(&stage.sent("UpdateService")[0]);
    assert_eq!(
        count,
        json!({"cluster": "shop", "service": "web", "desiredCount": 0})
    );
    assert_eq!(state(&stage, SERVICE).as_deref(), Some("parked"));
}

#[tokio::test]
async fn a_service_wakes_by_its_count_first_and_is_forgotten_last() {
    let stage = stage(WAKING_UP, capacity_awake(), &[SERVICE]).await;
    let outcomes = stage.tick().await;
    assert_eq!(outcomes, [("record_step", DONE), ("wake_service", DONE)]);
    assert_eq!(
        stage.order(),
        [
            "PutItem lease",
            "GetItem environment",
            "PutItem environment",
            "GetItem environment",
            "DescribeServices",
            "DescribeScalableTargets",
            "UpdateService",
            "RegisterScalableTarget",
            "UntagResource",
            "GetItem size",
            "DeleteItem size",
            "DeleteItem lease",
        ]
    );
    let count = body(&stage.sent("UpdateService")[0]);
    assert_eq!(count["desiredCount"], json!(3));
    let bounds = body(&stage.sent("RegisterScalableTarget")[0]);
    assert_eq!(
        (&bounds["MinCapacity"], &bounds["MaxCapacity"]),
        (&json!(2), &json!(6))
    );
    let suspended = &bounds["SuspendedState"];
    assert_eq!(suspended["ScheduledScalingSuspended"], json!(false));
    assert_eq!(
        body(&stage.sent("UntagResource")[0])["tagKeys"],
        json!(["steward:parked"])
    );
    assert_eq!(state(&stage, SERVICE), None);
}

/// Others suspend scaling too, and that stays theirs.
#[tokio::test]
async fn a_service_gets_back_what_was_suspended_before() {
    let stage = stage(WAKING_UP, capacity_awake(), &[SERVICE]).await;
    let mut saved = stage.table.says(&format!("size#{SERVICE}")).unwrap();
    saved["sizes"]["suspended"] = json!({"in": true, "out": false, "scheduled": false});
    stage.table.put(&format!("size#{SERVICE}"), &saved);
    stage.tick().await;
    let bounds = body(&stage.sent("RegisterScalableTarget")[0]);
    assert_eq!(
        bounds["SuspendedState"],
        json!({
            "DynamicScalingInSuspended": true,
            "DynamicScalingOutSuspended": false,
            "ScheduledScalingSuspended": false,
        })
    );
}

#[tokio::test]
async fn a_managed_group_is_parked_by_its_minimum_alone() {
    let stage = stage(FALLING_ASLEEP, services_asleep(), &[SERVICE]).await;
    let outcomes = stage.tick().await;
    assert_eq!(outcomes, [("record_step", DONE), ("park_group", DONE)]);
    assert_eq!(
        stage.order()[3..],
        [
            "GetItem environment",
            "DescribeAutoScalingGroups",
            "GetItem size",
            "PutItem size",
            "CreateOrUpdateTags",
            "UpdateAutoScalingGroup",
            "GetItem size",
            "PutItem size",
            "DeleteItem lease",
        ]
    );
    let sent = &stage.sent("UpdateAutoScalingGroup")[0];
    assert_eq!(field(sent, "AutoScalingGroupName").as_deref(), Some("shop"));
    assert_eq!(field(sent, "MinSize").as_deref(), Some("0"));
    assert_eq!(field(sent, "DesiredCapacity"), None, "ECS sees to it");
    assert_eq!(
        field(sent, "MaxSize"),
        None,
        "or ECS could not scale it out of zero"
    );
    let tagged = &stage.sent("CreateOrUpdateTags")[0];
    let is_handed_on = field(tagged, "Tags.member.1.PropagateAtLaunch");
    assert_eq!(is_handed_on.as_deref(), Some("false"));
    assert_eq!(state(&stage, GROUP).as_deref(), Some("parked"));
}

#[tokio::test]
async fn a_group_that_nobody_manages_is_parked_and_woken_by_its_desired_capacity_too() {
    let nobody = |_: &str| json!({"capacityProviders": [], "failures": []});
    let script = services_asleep().always("ecs:DescribeCapacityProviders", nobody);
    let asleep = stage(FALLING_ASLEEP, script, &[SERVICE]).await;
    asleep.tick().await;
    let sent = &asleep.sent("UpdateAutoScalingGroup")[0];
    let sizes = ["MinSize", "DesiredCapacity", "MaxSize"].map(|key| field(sent, key));
    assert_eq!(sizes, [Some("0".to_owned()), Some("0".to_owned()), None]);

    let script = database_awake().always("ecs:DescribeCapacityProviders", nobody);
    let awake = stage(WAKING_UP, script, &[SERVICE, GROUP]).await;
    let outcomes = awake.tick().await;
    assert_eq!(outcomes, [("record_step", DONE), ("wake_group", DONE)]);
    assert_eq!(
        awake.order()[3..],
        [
            "GetItem environment",
            "DescribeAutoScalingGroups",
            "UpdateAutoScalingGroup",
            "DeleteTags",
            "GetItem size",
            "DeleteItem size",
            "DeleteItem lease",
        ]
    );
    let sent = &awake.sent("UpdateAutoScalingGroup")[0];
    let sizes = ["MinSize", "DesiredCapacity"].map(|key| field(sent, key));
    assert_eq!(sizes, [Some("2".to_owned()), Some("2".to_owned())]);
    assert_eq!(state(&awake, GROUP), None);
}

/// One whose managed scaling is off is moved by nobody.
#[tokio::test]
async fn a_capacity_provider_without_managed_scaling_manages_nothing() {
    let script =
        services_asleep().always("ecs:DescribeCapacityProviders", |_| providers("DISABLED"));
    let stage = stage(FALLING_ASLEEP, script, &[SERVICE]).await;
    stage.tick().await;
    let sent = &stage.sent("UpdateAutoScalingGroup")[0];
    assert_eq!(field(sent, "DesiredCapacity").as_deref(), Some("0"));
}

#[tokio::test]
async fn a_database_is_remembered_and_marked_before_it_is_stopped() {
    let stage = stage(FALLING_ASLEEP, capacity_asleep(), &[SERVICE, GROUP]).await;
    let outcomes = stage.tick().await;
    assert_eq!(outcomes, [("record_step", DONE), ("park_database", DONE)]);
    assert_eq!(
        stage.order()[3..],
        [
            "GetItem environment",
            "DescribeDBInstances",
            "GetItem size",
            "PutItem size",
            "AddTagsToResource",
            "StopDBInstance",
            "GetItem size",
            "PutItem size",
            "DeleteItem lease",
        ]
    );
    assert_eq!(state(&stage, DATABASE).as_deref(), Some("parked"));
    let stopped = &stage.sent("StopDBInstance")[0];
    assert_eq!(
        field(stopped, "DBInstanceIdentifier").as_deref(),
        Some("shop-db")
    );
    assert_eq!(field(stopped, "DBSnapshotIdentifier"), None);
}

#[tokio::test]
async fn a_database_is_started_before_it_is_forgotten() {
    let stage = stage(WAKING_UP, asleep(), &[SERVICE, GROUP, DATABASE]).await;
    assert_eq!(stage.tick().await, [("wake_database", DONE)]);
    assert_eq!(
        stage.order(),
        [
            "PutItem lease",
            "GetItem environment",
            "DescribeDBInstances",
            "StartDBInstance",
            "RemoveTagsFromResource",
            "GetItem size",
            "DeleteItem size",
            "DeleteItem lease",
        ]
    );
    assert_eq!(state(&stage, DATABASE), None);
}

/// The answer to the first call is lost, or another run was faster.
#[tokio::test]
async fn what_is_so_already_is_done() {
    let invalid = || Answer::error(400, "InvalidDBInstanceState", "it is on its way");
    let others = [SERVICE, GROUP];
    let all = [SERVICE, GROUP, DATABASE];
    // Listed, looked at, refused, and looked at again.
    for status in ["stopping", "stopped"] {
        let available = || databases(&[database("available")], None);
        let script = capacity_asleep()
            .on("rds:DescribeDBInstances", available())
            .on("rds:DescribeDBInstances", available())
            .on(
                "rds:DescribeDBInstances",
                databases(&[database(status)], None),
            )
            .always("rds:StopDBInstance", move |_| invalid());
        let stage = stage(FALLING_ASLEEP, script, &others).await;
        let outcomes = stage.tick().await;
        assert_eq!(
            outcomes[1],
            ("park_database", Outcome::AlreadyDone),
            "{status}"
        );
        assert_eq!(state(&stage, DATABASE).as_deref(), Some("parked"));
    }
    for status in ["starting", "available"] {
        let stopped = || databases(&[database("stopped")], None);
        let script = asleep()
            .on("rds:DescribeDBInstances", stopped())
            .on("rds:DescribeDBInstances", stopped())
            .on(
                "rds:DescribeDBInstances",
                databases(&[database(status)], None),
            )
            .always("rds:StartDBInstance", move |_| invalid());
        let stage = stage(WAKING_UP, script, &all).await;
        let outcomes = stage.tick().await;
        assert_eq!(
            outcomes,
            [("wake_database", Outcome::AlreadyDone)],
            "{status}"
        );
        assert_eq!(state(&stage, DATABASE), None);
    }
}

#[tokio::test]
async fn what_sleeps_already_is_confirmed_and_not_stopped_again() {
    // Between the look and the change somebody has stopped it.
    let script = capacity_asleep()
        .on(
            "rds:DescribeDBInstances",
            databases(&[database("available")], None),
        )
        .always("rds:DescribeDBInstances", |_| {
            databases(&[database("stopped")], None)
        });
    let stage = stage(FALLING_ASLEEP, script, &[SERVICE, GROUP]).await;
    let outcomes = stage.tick().await;
    assert_eq!(outcomes[1], ("park_database", Outcome::AlreadyDone));
    assert_eq!(stage.sent("StopDBInstance"), Vec::<String>::new());
    assert_eq!(state(&stage, DATABASE).as_deref(), Some("parked"));
}

#[tokio::test]
async fn a_snapshot_that_is_there_already_is_done() {
    let policy = r#"
version: 1
schedules:
  day: {periods: [{start: "08:00", stop: "20:00"}]}
environments:
  dev: {schedules: [day], members: {db: {databases: {include: ["*"]}, snapshot: true}}}
"#;
    for (answer, expected) in [
        (Answer::result(""), "Done"),
        (
            Answer::error(400, "DBSnapshotAlreadyExists", "there"),
            "AlreadyDone",
        ),
        (
            Answer::error(400, "InvalidDBInstanceState", "busy"),
            "Skipped",
        ),
        (
            Answer::error(400, "SnapshotQuotaExceeded", "full"),
            "Failed",
        ),
    ] {
        let script = awake().always("rds:CreateDBSnapshot", move |_| answer.clone());
        let stage = stage(FALLING_ASLEEP, script, &[]).await.told(policy);
        let outcomes = stage.tick().await;
        let told = format!("{outcomes:?}");
        assert!(
            told.starts_with("[(\"snapshot_database\", ") && told.contains(expected),
            "{told}"
        );
        let sent = &stage.sent("CreateDBSnapshot")[0];
        let name = field(sent, "DBSnapshotIdentifier").unwrap();
        assert!(name.ends_with("-20261123-2000"), "{name}");
        assert_eq!(stage.sent("StopDBInstance"), Vec::<String>::new());
    }
}

/// A whole evening's first tick: the note is written before anything is touched.
#[tokio::test]
async fn a_transition_is_begun_in_the_ledger_before_the_first_change() {
    let stage = stage(EVENING, awake(), &[]).await;
    let outcomes = stage.tick().await;
    assert_eq!(
        outcomes,
        [("begin_transition", DONE), ("park_service", DONE)]
    );
    assert_eq!(
        stage.order()[..4],
        [
            "PutItem lease",
            "GetItem environment",
            "PutItem environment",
            "GetItem environment",
        ]
    );
    let last = stage.table.says("environment#dev").unwrap()["last"].clone();
    assert_eq!(last, json!({"at": "2026-11-23T20:00:00Z", "to": "off"}));
}

/// What another run has set already is set again and noted, which does no harm.
#[tokio::test]
async fn a_service_that_was_parked_meanwhile_is_confirmed() {
    let script = awake()
        .on("ecs:DescribeServices", services(vec![service(3)]))
        .always("ecs:DescribeServices", |_| services(vec![service(0)]))
        .on(
            "application-autoscaling:DescribeScalableTargets",
            scalable(2, 6, false),
        )
        .always("application-autoscaling:DescribeScalableTargets", |_| {
            scalable(0, 0, true)
        });
    let stage = stage(FALLING_ASLEEP, script, &[]).await;
    assert_eq!(stage.tick().await, [("park_service", DONE)]);
    assert_eq!(stage.sent("RegisterScalableTarget"), Vec::<String>::new());
    assert_eq!(state(&stage, SERVICE).as_deref(), Some("parked"));
}
