//! Reads that fail: each is a gap that names its permission and what it hides, and
//! nothing is done that it could speak against.

use alarm_remediation::{Concern, Remedy, Symptom};
use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, At, Fault, Scripted};

use crate::account::{Bell, account, ago, alarm, alarms, body, just_deployed, service, services};
use crate::stage::{Stage, case_of};

/// Every read without which it is not known what is wrong, and what of it is hidden then:
/// the alarm, or what the alarm is about.
const READS: [(Bell, &str, bool); 24] = [
    (Bell::Busy, "cloudwatch:DescribeAlarms", true),
    (Bell::Busy, "cloudwatch:ListTagsForResource", true),
    (Bell::Busy, "cloudwatch:ListAlarmMuteRules", true),
    (Bell::Unhealthy, "ecs:ListClusters", true),
    (Bell::Unhealthy, "ecs:ListServices", true),
    (Bell::Unhealthy, "ecs:DescribeServices", true),
    (Bell::Busy, "ecs:DescribeServices", false),
    (Bell::Busy, "ecs:ListServiceDeployments", false),
    (Bell::Busy, "ecs:DescribeServiceRevisions", false),
    (
        Bell::Busy,
        "application-autoscaling:DescribeScalableTargets",
        false,
    ),
    (Bell::Busy, "ecs:ListTasks", false),
    (Bell::Busy, "ecs:DescribeTasks", false),
    (
        Bell::Busy,
        "elasticloadbalancing:DescribeTargetHealth",
        false,
    ),
    (Bell::NoRoom, "ecs:DescribeClusters", true),
    (Bell::NoRoom, "ecs:DescribeCapacityProviders", true),
    (Bell::NoRoom, "autoscaling:DescribeAutoScalingGroups", false),
    (Bell::NoRoom, "ecs:ListClusters", false),
    (Bell::NoRoom, "ecs:ListContainerInstances", false),
    (Bell::NoRoom, "ecs:DescribeContainerInstances", false),
    (Bell::Impaired, "ecs:ListClusters", true),
    (Bell::Impaired, "ecs:ListContainerInstances", true),
    (Bell::Impaired, "ecs:DescribeContainerInstances", false),
    (
        Bell::Impaired,
        "autoscaling:DescribeAutoScalingInstances",
        false,
    ),
    (Bell::Storage, "rds:DescribeDBInstances", false),
];

#[tokio::test]
async fn a_read_that_is_denied_throttled_or_broken_is_a_gap_with_its_permission() {
    for (bell, read, hides_the_alarm) in READS {
        for fault in [
            Fault::Deny,
            Fault::Throttle,
            Fault::EmptyAnswer,
            Fault::TruncatedAnswer,
            Fault::error(400, "SomethingNew"),
        ] {
            let stage = Stage::over(account(bell)).await;
            stage.client.add(At::every(read), fault.clone());
            let seen = stage.observe().await;
            let hidden = if hides_the_alarm { "it" } else { bell.target() };
            let told = format!("{bell:?} {read} {fault}: {:?}", seen.gaps);
            assert!(!seen.gaps.is_empty(), "{told}");
            for gap in &seen.gaps {
                assert_eq!(gap.grant, read, "{told}");
                assert!(gap.read.starts_with(read), "{told}");
                assert!(gap.hides.covers(hidden), "{told}");
                assert!(!gap.hides.covers("another"), "{told}");
            }
            assert_eq!(stage.remedies(&seen), [], "{told}");
            if fault == Fault::Throttle {
                let calls = stage.client.count(read);
                assert!(calls >= 6, "given up too soon: {told}");
            }
        }
    }
}

#[tokio::test]
async fn without_the_ledger_everything_is_hidden_and_nothing_else_is_looked_at() {
    for fault in [Fault::Deny, Fault::Throttle, Fault::EmptyAnswer] {
        let stage = Stage::over(account(Bell::Busy)).await;
        stage.client.add(At::every("dynamodb:Query"), fault);
        let seen = stage.observe().await;
        let [gap] = &seen.gaps[..] else {
            panic!("{:?}", seen.gaps);
        };
        assert_eq!(gap.grant, "dynamodb:Query");
        assert!(gap.hides.covers("shop/web"));
        assert_eq!(seen.world.memory, None);
        assert_eq!(stage.planned(&seen), Vec::<String>::new());
        assert_eq!(stage.reasons(&seen), ["no_ledger"]);
        assert_eq!(stage.client.count("ecs:DescribeServices"), 0);
    }
}

/// Whoever raised something has to know whether it still is.
#[tokio::test]
async fn raises_that_cannot_be_read_hide_everything() {
    let busy = Concern {
        target: "service:shop/web".parse().unwrap(),
        symptom: Symptom::Busy,
    };
    let denied = |script: Scripted| {
        let mut case = case_of(crate::account::ALARM, "it", &[&busy]);
        case.raised.insert(crate::account::SERVICE.to_owned());
        let case = serde_json::to_value(&case).unwrap();
        let key = format!("case#{}", crate::account::ALARM);
        let item = steward_sandbox::faults::Entries::item("alarm-remediation", &key, &case);
        script.always("dynamodb:Query", move |request| {
            let values = &body(request)["ExpressionAttributeValues"];
            if values[":partition"]["S"] == "raises" {
                return Answer::error(400, "AccessDeniedException", "not yours");
            }
            json!({"Items": [item]}).into()
        })
    };
    let stage = Stage::with_ledger(account(Bell::Busy), denied).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps[0].grant, "dynamodb:Query");
    assert!(seen.gaps[0].hides.covers("shop/web"));
    assert_eq!(stage.planned(&seen), Vec::<String>::new());
}

#[tokio::test]
async fn a_read_that_is_throttled_for_a_while_is_made_again() {
    for (bell, read, _) in READS {
        let stage = Stage::over(account(bell)).await;
        for n in 1..=3 {
            stage.client.add(At::nth(read, n), Fault::Throttle);
        }
        let seen = stage.observe().await;
        assert_eq!(stage.client.unspent(), Vec::<String>::new(), "{read}");
        assert_eq!(seen.gaps, [], "{read}");
        assert_eq!(stage.remedies(&seen).len(), 1, "{bell:?} {read}");
    }
}

#[tokio::test]
async fn events_of_a_database_that_cannot_be_read_only_tell_less() {
    let stage = Stage::over(account(Bell::Storage)).await;
    stage
        .client
        .add(At::every("rds:DescribeEvents"), Fault::Deny);
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let [warning] = &seen.warnings[..] else {
        panic!("{:?}", seen.warnings);
    };
    assert!(
        warning.starts_with("the events of shop-db: rds:DescribeEvents: "),
        "{warning}"
    );
    assert_eq!(
        stage.planned(&seen),
        ["open_case noted", "grow_storage storage_low"]
    );
}

#[tokio::test]
async fn contributors_that_cannot_be_read_leave_open_what_the_alarm_is_about() {
    let mut over_many = alarm("it", Bell::Busy);
    over_many["EvaluationCriteria"] = json!({"PromQLCriteria": {"Query": "up"}});
    over_many["Dimensions"] = json!([]);
    let script = account(Bell::Busy).always("cloudwatch:DescribeAlarms", move |_| {
        alarms(vec![over_many.clone()])
    });
    let stage = Stage::over(script).await;
    let read = "cloudwatch:DescribeAlarmContributors";
    stage.client.add(At::every(read), Fault::Deny);
    let seen = stage.observe().await;
    assert_eq!(seen.gaps[0].grant, read);
    assert!(seen.gaps[0].hides.covers("it"));
    assert_eq!(stage.planned(&seen), ["open_case unseen"]);
}

/// An answer of 200 may have failures in it.
#[tokio::test]
async fn what_is_missing_is_gone_and_every_other_reason_is_a_gap() {
    for (bell, read, list) in [
        (Bell::Busy, "ecs:DescribeServices", "services"),
        (Bell::Busy, "ecs:DescribeTasks", "tasks"),
        (
            Bell::Busy,
            "ecs:DescribeServiceRevisions",
            "serviceRevisions",
        ),
        (Bell::NoRoom, "ecs:DescribeClusters", "clusters"),
        (
            Bell::Impaired,
            "ecs:DescribeContainerInstances",
            "containerInstances",
        ),
    ] {
        for (failure, gaps) in [
            (json!({"arn": "arn/one", "reason": "MISSING"}), 0),
            (json!({"arn": "arn/one", "reason": "ACCESS_DENIED"}), 1),
            (json!({"arn": "arn/one"}), 1),
            (json!({}), 1),
        ] {
            // As many as are asked for.
            let many = match list {
                "tasks" => 4,
                "serviceRevisions" => 2,
                _ => 1,
            };
            let failures: Vec<Value> = vec![failure.clone(); many];
            let answer = json!({list: [], "failures": failures});
            let script = account(bell).always(read, move |_| answer.clone());
            let stage = Stage::over(script).await;
            let seen = stage.observe().await;
            let told = format!("{read} {failure}: {:?}", seen.gaps);
            assert_eq!(seen.gaps.len(), gaps, "{told}");
            assert!(seen.gaps.iter().all(|gap| gap.grant == read), "{told}");
            if gaps > 0 {
                assert_eq!(stage.remedies(&seen), [], "{told}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_leaves_some_out_without_a_word_is_a_gap() {
    for (bell, read, list) in [
        (Bell::Busy, "ecs:DescribeServices", "services"),
        (Bell::Busy, "ecs:DescribeTasks", "tasks"),
        (
            Bell::Busy,
            "ecs:DescribeServiceRevisions",
            "serviceRevisions",
        ),
        (Bell::NoRoom, "ecs:DescribeClusters", "clusters"),
        (
            Bell::Impaired,
            "ecs:DescribeContainerInstances",
            "containerInstances",
        ),
    ] {
        let answer = json!({list: [], "failures": []});
        let script = account(bell).always(read, move |_| answer.clone());
        let stage = Stage::over(script).await;
        let seen = stage.observe().await;
        let [gap] = &seen.gaps[..] else {
            panic!("{read}: {:?}", seen.gaps);
        };
        assert_eq!(gap.grant, read);
        assert!(gap.read.contains("lacks some"), "{gap:?}");
        assert_eq!(stage.remedies(&seen), [], "{read}");
    }
}

#[tokio::test]
async fn what_is_gone_is_told_to_a_person() {
    for (bell, read, answer) in [
        (
            Bell::Busy,
            "ecs:DescribeServices",
            Answer::Json(json!({"services": [], "failures": [{"reason": "MISSING"}]})),
        ),
        (
            Bell::Busy,
            "ecs:DescribeServices",
            Answer::error(400, "ClusterNotFoundException", "Cluster not found."),
        ),
        (
            Bell::Impaired,
            "ecs:DescribeContainerInstances",
            Answer::Json(json!({"containerInstances": [], "failures": [{"reason": "MISSING"}]})),
        ),
        (
            Bell::NoRoom,
            "autoscaling:DescribeAutoScalingGroups",
            crate::account::groups(&[], None),
        ),
        (
            Bell::Storage,
            "rds:DescribeDBInstances",
            Answer::error(404, "DBInstanceNotFound", "DBInstance shop-db not found."),
        ),
    ] {
        let script = account(bell).always(read, move |_| answer.clone());
        let stage = Stage::over(script).await;
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, [], "{bell:?}");
        assert_eq!(seen.world.absent.len(), 1, "{bell:?}");
        assert_eq!(stage.planned(&seen), ["open_case target_gone"], "{bell:?}");
    }
}

#[tokio::test]
async fn an_alarm_that_is_gone_is_no_case_and_ends_one() {
    let script = || account(Bell::Busy).always("cloudwatch:DescribeAlarms", |_| alarms(vec![]));
    let stage = Stage::over(script()).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(stage.reasons(&seen), ["alarm_gone"]);
    let stage = Stage::over(script()).await.remembering(&[], |_| {});
    let seen = stage.observe().await;
    assert_eq!(stage.planned(&seen), ["calm_case quiet"]);
}

/// Between the look and the change.
#[tokio::test]
async fn a_check_before_acting_that_fails_changes_nothing_and_counts_for_nothing() {
    for (bell, script, read, target) in [
        (
            Bell::Busy,
            account(Bell::Busy),
            "ecs:DescribeServices",
            "service:shop/web",
        ),
        (
            Bell::Busy,
            account(Bell::Busy),
            "application-autoscaling:DescribeScalableTargets",
            "service:shop/web",
        ),
        (
            Bell::Errors,
            just_deployed(Bell::Errors),
            "ecs:ListServiceDeployments",
            "service:shop/web",
        ),
        (
            Bell::NoRoom,
            account(Bell::NoRoom),
            "autoscaling:DescribeAutoScalingGroups",
            "group:shop",
        ),
        (
            Bell::Impaired,
            account(Bell::Impaired),
            "ecs:DescribeContainerInstances",
            "group:shop",
        ),
        (
            Bell::Storage,
            account(Bell::Storage),
            "rds:DescribeDBInstances",
            "database:shop-db",
        ),
    ] {
        for fault in [Fault::Deny, Fault::EmptyAnswer, Fault::TruncatedAnswer] {
            let stage = Stage::over(script.clone()).await;
            let seen = stage.observe().await;
            assert_eq!(stage.remedies(&seen).len(), 1, "{bell:?}");
            stage.client.add(At::every(read), fault.clone());
            let outcomes = stage.act(&seen).await;
            let (_, last) = outcomes.last().unwrap();
            let told = format!("{bell:?} {fault}: {last:?}");
            assert!(
                told.contains("Failed(") && told.contains("nothing was done"),
                "{told}"
            );
            assert!(told.contains(read), "{told}");
            assert_eq!(stage.attempts(target), json!([]), "{told}");
            assert_eq!(stage.case().unwrap().tried, [], "{told}");
        }
    }
}

/// In one look at many, what fails for one hides that one.
#[tokio::test]
async fn what_fails_for_one_service_hides_no_other() {
    let other = |name: &str| {
        let mut other = service();
        other["serviceName"] = json!(name);
        other["serviceArn"] = json!(format!(
            "arn:aws:ecs:eu-central-1:123456789012:service/shop/{name}"
        ));
        other
    };
    let script = account(Bell::Busy)
        .always("cloudwatch:DescribeAlarms", |_| {
            let mut second = alarm("second", Bell::Busy);
            second["Dimensions"][1]["Value"] = json!("api");
            alarms(vec![alarm("it", Bell::Busy), second])
        })
        .always("ecs:DescribeServices", move |_| {
            services(vec![service(), other("api")])
        })
        .always("ecs:ListTasks", |request| {
            match body(request)["serviceName"] == "api" {
                true => Answer::error(400, "ServerException", "broken"),
                false => json!({"taskArns": []}).into(),
            }
        });
    let stage = Stage::over(script).await;
    let stage = stage.about(crate::stage::of_alarms(&["it", "second"]));
    let seen = stage.observe().await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    assert!(seen.gaps[0].hides.covers("shop/api"));
    assert!(!seen.gaps[0].hides.covers("shop/web"));
    let [Remedy::RaiseService(raising)] = &stage.remedies(&seen)[..] else {
        panic!("{:?}", stage.planned(&seen));
    };
    assert_eq!(raising.service, "web");
    assert_eq!(ago(0), crate::account::NOW.parse().unwrap());
}
