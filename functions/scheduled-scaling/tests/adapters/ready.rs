//! What is asked for only where something waits for the answer.

use serde_json::json;
use steward_sandbox::faults::Scripted;

use crate::script::{
    DAILY, DAY, EVENING, FALLING_ASLEEP, Moment, NIGHT, SERVICE, Stage, WAKING_UP, asleep, awake,
    database, databases, group, groups, health, scalable, service, services,
};

/// What tells whether things that run also serve.
const READINESS: [&str; 4] = [
    "elasticloadbalancing:DescribeTargetHealth",
    "ecs:DescribeClusters",
    "ecs:ListContainerInstances",
    "ecs:DescribeContainerInstances",
];

async fn looked(moment: Moment, script: Scripted, policy: &str) -> Stage {
    let stage = Stage::over(moment, script).await.told(policy);
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    stage
}

/// The calls of a look, each with how often it was made.
fn calls(stage: &Stage) -> Vec<String> {
    let mut all: Vec<String> = stage.client.calls().iter().map(|it| it.action()).collect();
    all.sort();
    all
}

#[tokio::test]
async fn by_day_with_nothing_due_only_the_ledger_is_read() {
    let stage = looked(DAY, awake(), DAILY).await;
    assert_eq!(calls(&stage), ["dynamodb:Query", "dynamodb:Query"]);
}

#[tokio::test]
async fn at_night_with_nothing_due_the_ledger_is_read_and_databases_are_listed() {
    let stage = looked(NIGHT, asleep(), DAILY).await;
    assert_eq!(
        calls(&stage),
        [
            "dynamodb:Query",
            "dynamodb:Query",
            "dynamodb:Query",
            "rds:DescribeDBInstances"
        ]
    );
}

#[tokio::test]
async fn an_enforced_schedule_lists_everything_and_asks_for_nothing_one_by_one() {
    let policy = DAILY.replace(r#""20:00"}]}"#, r#""20:00"}], enforced: true}"#);
    let listings = [
        "application-autoscaling:DescribeScalableTargets",
        "autoscaling:DescribeAutoScalingGroups",
        "dynamodb:Query",
        "dynamodb:Query",
        "dynamodb:Query",
        "dynamodb:Query",
        "ecs:DescribeCapacityProviders",
        "ecs:DescribeServices",
        "ecs:ListClusters",
        "ecs:ListServices",
        "rds:DescribeDBInstances",
    ];
    for (moment, script) in [(DAY, awake()), (NIGHT, asleep())] {
        let stage = looked(moment, script, &policy).await;
        assert_eq!(calls(&stage), listings, "{moment:?}");
    }
}

#[tokio::test]
async fn what_sleeps_or_goes_to_sleep_is_not_asked_whether_it_serves() {
    for (moment, script) in [
        (WAKING_UP, asleep()),
        (EVENING, awake()),
        (FALLING_ASLEEP, awake()),
    ] {
        let stage = looked(moment, script, DAILY).await;
        for read in READINESS {
            assert_eq!(stage.client.count(read), 0, "{read} at {moment:?}");
        }
    }
}

#[tokio::test]
async fn what_wakes_and_runs_is_asked_whether_it_serves() {
    let stage = looked(WAKING_UP, awake(), DAILY).await;
    for read in READINESS {
        assert_eq!(stage.client.count(read), 1, "{read}");
    }
}

#[tokio::test]
async fn what_has_not_come_to_its_size_yet_is_not_asked() {
    let mut starting = service(3);
    starting["runningCount"] = json!(2);
    let mut launching = group(2);
    launching.insert("DesiredCapacity", "3".to_owned());
    launching.insert("MinSize", "3".to_owned());
    let script = awake()
        .always("ecs:DescribeServices", move |_| {
            services(vec![starting.clone()])
        })
        .always("autoscaling:DescribeAutoScalingGroups", move |_| {
            groups(&[launching.clone()], None)
        });
    let stage = looked(WAKING_UP, script, DAILY).await;
    for read in READINESS {
        assert_eq!(stage.client.count(read), 0, "{read}");
    }
    let seen = stage.observe().await;
    assert_eq!(stage.planned(&seen), ["record_step next_step"]);
    assert_eq!(stage.reasons(&seen), ["awake", "waits_for", "waking_up"]);
}

#[tokio::test]
async fn a_service_is_awake_when_each_of_its_target_groups_has_enough_healthy_targets() {
    for (states, expected) in [
        (vec!["healthy"; 3], "finish_transition reached"),
        (
            vec!["healthy", "healthy", "initial"],
            "record_step next_step",
        ),
        (
            vec!["healthy", "healthy", "draining", "healthy"],
            "finish_transition reached",
        ),
        (vec![], "record_step next_step"),
    ] {
        let told = format!("{states:?}");
        let script = awake().always("elasticloadbalancing:DescribeTargetHealth", move |_| {
            health(&states)
        });
        let stage = Stage::over(WAKING_UP, script).await;
        let seen = stage.observe().await;
        assert_eq!(stage.planned(&seen), [expected], "{told}");
    }
}

#[tokio::test]
async fn instances_that_take_no_tasks_hold_the_services_back() {
    let asleep_but_for_its_group = |connected: bool| {
        asleep()
            .always("autoscaling:DescribeAutoScalingGroups", |_| {
                groups(&[group(2)], None)
            })
            .always("rds:DescribeDBInstances", |_| {
                databases(&[database("available")], None)
            })
            .always("ecs:DescribeContainerInstances", move |_| {
                json!({"containerInstances": [
                    {"ec2InstanceId": "i-0", "agentConnected": true},
                    {"ec2InstanceId": "i-1", "agentConnected": connected},
                ], "failures": []})
            })
    };
    for (connected, woken) in [(true, true), (false, false)] {
        let script = asleep_but_for_its_group(connected);
        let stage = Stage::over(WAKING_UP, script).await;
        stage.table.remember(SERVICE);
        let seen = stage.observe().await;
        let planned = stage.planned(&seen);
        let wakes = planned.contains(&"wake_service to_wake".to_owned());
        assert_eq!(wakes, woken, "{planned:?}");
    }
}

#[tokio::test]
async fn snapshots_are_listed_only_of_what_can_be_stopped_now() {
    let policy = r#"
version: 1
schedules:
  day: {periods: [{start: "08:00", stop: "20:00"}], enforced: true}
environments:
  dev: {schedules: [day], members: {db: {databases: {include: ["*"]}, snapshot: true}}}
"#;
    for (moment, script, listed) in [
        (FALLING_ASLEEP, awake(), 1),
        (FALLING_ASLEEP, asleep(), 0),
        (NIGHT, asleep(), 0),
        (DAY, awake(), 0),
    ] {
        let stage = looked(moment, script, policy).await;
        let count = stage.client.count("rds:DescribeDBSnapshots");
        assert_eq!(count, listed, "{moment:?}");
    }
}

#[tokio::test]
async fn a_service_that_nothing_scales_has_its_count_alone() {
    let script = awake().always(
        "application-autoscaling:DescribeScalableTargets",
        |_| json!({"ScalableTargets": []}),
    );
    let stage = Stage::over(EVENING, script).await;
    stage.tick().await;
    assert_eq!(stage.sent("RegisterScalableTarget"), Vec::<String>::new());
    let [sent] = &stage.sent("UpdateService")[..] else {
        panic!("{:?}", stage.order());
    };
    assert_eq!(
        crate::script::body(sent),
        json!({"cluster": "shop", "service": "web", "desiredCount": 0})
    );
}

#[tokio::test]
async fn what_application_auto_scaling_does_not_tell_is_not_suspended() {
    let mut target = scalable(2, 6, false);
    target["ScalableTargets"][0]["SuspendedState"] = json!(null);
    let script = awake().always(
        "application-autoscaling:DescribeScalableTargets",
        move |_| target.clone(),
    );
    let stage = Stage::over(EVENING, script).await;
    stage.tick().await;
    let saved = stage.table.says(&format!("size#{}", SERVICE));
    let suspended = json!({"in": false, "out": false, "scheduled": false});
    assert_eq!(saved.unwrap()["sizes"]["suspended"], suspended);
}
