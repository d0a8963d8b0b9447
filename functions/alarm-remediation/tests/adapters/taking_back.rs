//! What was raised for a while goes back to what it was, and only that.

use alarm_remediation::{
    Concern, RaisingGroup, RaisingService, Remedy, Stage as Stands, Symptom, Tried, raise_of,
};
use serde_json::{Value, json};
use steward::engine::Outcome;
use steward_sandbox::faults::{Answer, At, Fault, Scripted};

use crate::account::{
    Bell, GROUP, SERVICE, account, ago, alarm, alarms, body, field, group, groups, scalable,
    service, services,
};
use crate::stage::Stage;

const DONE: Outcome = Outcome::Done;

fn busy() -> Concern {
    Concern {
        target: "service:shop/web".parse().unwrap(),
        symptom: Symptom::Busy,
    }
}

fn raising_service(min: Option<u32>) -> Remedy {
    Remedy::RaiseService(RaisingService {
        cluster: "shop".to_owned(),
        service: "web".to_owned(),
        arn: SERVICE.to_owned(),
        min,
        desired: 4,
        to: 6,
    })
}

fn raising_group(desired: Option<(u32, u32)>) -> Remedy {
    Remedy::RaiseGroup(RaisingGroup {
        group: "shop".to_owned(),
        arn: GROUP.to_owned(),
        max: (2, 3),
        desired,
    })
}

/// A case that has been quiet for ten minutes, and what was raised for it: until so many
/// minutes ago.
async fn quiet(script: Scripted, remedy: Remedy, over_since: i64) -> Stage {
    let script = script.always("cloudwatch:DescribeAlarms", |_| {
        let mut alarm = alarm("it", Bell::Busy);
        alarm["StateValue"] = json!("OK");
        alarms(vec![alarm])
    });
    let arn = remedy.raises().unwrap().to_owned();
    let stage = Stage::over(script).await;
    let raise = raise_of(&remedy, ago(over_since)).unwrap();
    let raise = serde_json::to_value(raise).unwrap();
    stage.table.put("raises", &arn, &raise);
    stage.remembering(&[&busy()], |case| {
        case.stage = Stands::Calm { since: ago(10) };
        case.raised.insert(arn);
        case.tried.push(Tried {
            at: ago(70),
            remedy,
            effect: None,
        });
    })
}

fn is_raised(script: Scripted) -> Scripted {
    script.always("application-autoscaling:DescribeScalableTargets", |_| {
        scalable(6, 10)
    })
}

fn group_of(desired: u32, max: u32) -> Answer {
    let mut group = group();
    group.insert("DesiredCapacity", desired.to_string());
    group.insert("MaxSize", max.to_string());
    groups(&[group], None)
}

#[tokio::test]
async fn a_raise_that_is_over_is_taken_back_and_forgotten_last() {
    let script = is_raised(account(Bell::Busy));
    let stage = quiet(script, raising_service(Some(2)), 1).await;
    assert_eq!(stage.tick().await, [("take_back", DONE)]);
    let of_raise = |call: &str| format!("{call} {SERVICE}");
    assert_eq!(
        stage.order(),
        [
            "PutItem lease",
            &of_raise("GetItem"),
            "DescribeServices",
            "DescribeScalableTargets",
            "RegisterScalableTarget",
            &of_raise("DeleteItem"),
            "GetItem case",
            "PutItem case",
            "DeleteItem lease",
        ]
    );
    let sent = body(&stage.sent("RegisterScalableTarget")[0]);
    assert_eq!(
        (&sent["MinCapacity"], &sent["MaxCapacity"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(stage.raised(), Vec::<String>::new());
    assert!(stage.case().unwrap().raised.is_empty());
}

#[tokio::test]
async fn a_desired_count_or_the_sizes_of_a_group_go_back_as_well() {
    let read = "application-autoscaling:DescribeScalableTargets";
    let script = account(Bell::Busy)
        .always(read, |_| json!({"ScalableTargets": []}))
        .always("ecs:DescribeServices", |_| {
            let mut raised = service();
            raised["desiredCount"] = json!(6);
            services(vec![raised])
        });
    let stage = quiet(script, raising_service(None), 1).await;
    assert_eq!(stage.tick().await, [("take_back", DONE)]);
    assert_eq!(
        body(&stage.sent("UpdateService")[0]),
        json!({"cluster": "shop", "service": "web", "desiredCount": 4})
    );

    let describe = "autoscaling:DescribeAutoScalingGroups";
    // Room that ECS uses is kept; where nobody manages it, instances go with it.
    let two = || Some("2".to_owned());
    for (desired, asked_for, sizes) in [(None, 2, [two(), None]), (Some((2, 3)), 3, [two(), two()])]
    {
        let script = account(Bell::NoRoom).always(describe, move |_| group_of(asked_for, 3));
        let stage = quiet(script, raising_group(desired), 1).await;
        assert_eq!(stage.tick().await, [("take_back", DONE)]);
        let sent = &stage.sent("UpdateAutoScalingGroup")[0];
        assert_eq!(
            ["MaxSize", "DesiredCapacity"].map(|it| field(sent, it)),
            sizes
        );
        assert_eq!(stage.raised(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_is_raised_for_longer_is_not_even_looked_at() {
    let script = is_raised(account(Bell::Busy));
    let stage = quiet(script, raising_service(Some(2)), -30).await;
    let seen = stage.observe().await;
    assert_eq!(stage.reasons(&seen), ["raised"]);
    let calls: Vec<String> = stage.client.calls().iter().map(|it| it.action()).collect();
    assert_eq!(
        calls,
        [
            "dynamodb:Query",
            "dynamodb:Query",
            "cloudwatch:DescribeAlarms",
        ]
    );
}

/// A run about another alarm has nothing to do with it.
#[tokio::test]
async fn what_is_raised_for_another_case_is_not_asked_for() {
    let script = is_raised(account(Bell::Busy));
    let stage = quiet(script, raising_service(Some(2)), 1).await;
    let stage = stage.about(crate::stage::of_alarms(&["another"]));
    stage.observe().await;
    assert_eq!(stage.client.count("dynamodb:Query"), 1);
}

/// What somebody has changed since is theirs, and what is gone has no size.
#[tokio::test]
async fn what_has_another_size_since_stays_so_and_is_forgotten() {
    let changed = account(Bell::Busy)
        .always("application-autoscaling:DescribeScalableTargets", |_| {
            scalable(5, 10)
        });
    let gone = account(Bell::Busy).always(
        "ecs:DescribeServices",
        |_| json!({"services": [], "failures": [{"arn": SERVICE, "reason": "MISSING"}]}),
    );
    let parked = is_raised(account(Bell::Busy)).always("ecs:DescribeServices", |_| {
        let mut parked = service();
        parked["tags"] = json!([{"key": "steward:parked", "value": "2026-11-24T10:00:00Z"}]);
        services(vec![parked])
    });
    for script in [changed, gone, parked] {
        let stage = quiet(script, raising_service(Some(2)), 1).await;
        assert_eq!(stage.tick().await, [("take_back", DONE)]);
        assert_eq!(stage.sent("RegisterScalableTarget"), Vec::<String>::new());
        assert_eq!(stage.raised(), Vec::<String>::new());
    }
    let script =
        account(Bell::NoRoom).always("autoscaling:DescribeAutoScalingGroups", |_| group_of(3, 5));
    let stage = quiet(script, raising_group(Some((2, 4))), 1).await;
    assert_eq!(stage.tick().await, [("take_back", DONE)]);
    assert_eq!(stage.sent("UpdateAutoScalingGroup"), Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_looked_at_or_changed_now_stays_remembered() {
    let script = || is_raised(account(Bell::Busy));
    let stage = quiet(script(), raising_service(Some(2)), 1).await;
    stage
        .client
        .add(At::every("ecs:DescribeServices"), Fault::Deny);
    let seen = stage.observe().await;
    assert_eq!(stage.reasons(&seen), ["unseen"]);

    for (operation, answer, told) in [
        (
            "application-autoscaling:RegisterScalableTarget",
            Answer::error(400, "ConcurrentUpdateException", "a reason"),
            "RegisterScalableTarget: ConcurrentUpdateException: a reason",
        ),
        (
            "ecs:DescribeServices",
            Answer::error(400, "AccessDeniedException", "not yours"),
            "nothing was done",
        ),
    ] {
        let stage = quiet(script(), raising_service(Some(2)), 1).await;
        let seen = stage.observe().await;
        stage.henceforth(operation, move |_| answer.clone());
        let outcomes = stage.act(&seen).await;
        let [("take_back", Outcome::Failed(why))] = &outcomes[..] else {
            panic!("{outcomes:?}");
        };
        assert!(why.contains(told), "{why}");
        assert_eq!(stage.raised(), [SERVICE]);
        assert_eq!(stage.case().unwrap().raised.len(), 1);
    }

    let held = |_: &str| {
        let mut held = service();
        held["tags"] = json!([{"key": "steward:hold", "value": "a demo"}]);
        services(vec![held])
    };
    let stage = quiet(script(), raising_service(Some(2)), 1).await;
    let seen = stage.observe().await;
    stage.henceforth("ecs:DescribeServices", held);
    let outcomes = stage.act(&seen).await;
    assert!(
        matches!(&outcomes[0].1, Outcome::Skipped(why) if why.contains("on hold")),
        "{outcomes:?}"
    );
    assert_eq!(stage.raised(), [SERVICE]);
}

#[tokio::test]
async fn an_answer_that_is_lost_takes_nothing_back_twice() {
    for operation in [
        "application-autoscaling:RegisterScalableTarget",
        "ecs:DescribeServices",
        "dynamodb:DeleteItem",
        "dynamodb:PutItem",
    ] {
        let script = is_raised(account(Bell::Busy));
        let stage = quiet(script, raising_service(Some(2)), 1).await;
        let seen = stage.observe().await;
        let so_far = stage.client.count(operation);
        stage
            .client
            .add(At::nth(operation, so_far + 1), Fault::LostAnswer);
        assert_eq!(stage.act(&seen).await, [("take_back", DONE)], "{operation}");
        assert_eq!(stage.client.unspent(), Vec::<String>::new(), "{operation}");
        assert_eq!(stage.raised(), Vec::<String>::new(), "{operation}");
    }
}
