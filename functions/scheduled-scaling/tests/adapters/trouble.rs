//! Changes that are refused: what is gone or busy is skipped, everything else has
//! failed, and nothing is lowered that was not remembered.

use serde_json::json;
use steward::engine::Outcome;
use steward_sandbox::faults::{Answer, At, Fault, Scripted};

use crate::script::{
    DATABASE, EVENING, FALLING_ASLEEP, GROUP, SERVICE, Stage, WAKING_UP, asleep, awake, body,
    database, databases, group, groups, parked_service, scalable, service, services,
};

/// What is changed on AWS, without what is only remembered.
const CHANGES: [&str; 6] = [
    "TagResource",
    "RegisterScalableTarget",
    "UpdateService",
    "CreateOrUpdateTags",
    "UpdateAutoScalingGroup",
    "StopDBInstance",
];

fn changed(stage: &Stage) -> Vec<String> {
    let order = stage.order().into_iter();
    order.filter(|it| CHANGES.contains(&it.as_str())).collect()
}

fn is_skipped(outcome: &Outcome, why: &str) -> bool {
    matches!(outcome, Outcome::Skipped(told) if told.contains(why))
}

fn is_failed(outcome: &Outcome, why: &str) -> bool {
    matches!(outcome, Outcome::Failed(told) if told.contains(why))
}

/// The only thing that the next tick parks: a service, a group or a database.
fn to_park(what: &str) -> Scripted {
    let script = awake();
    if what == "service" {
        return script;
    }
    let script = script
        .always("ecs:DescribeServices", |_| services(vec![parked_service()]))
        .always("application-autoscaling:DescribeScalableTargets", |_| {
            scalable(0, 0, true)
        });
    if what == "group" {
        return script;
    }
    script.always("autoscaling:DescribeAutoScalingGroups", |_| {
        groups(&[group(0)], None)
    })
}

/// A tick that parks one thing, and what becomes of that.
async fn park(what: &str, script: Scripted) -> (Stage, Outcome) {
    let stage = Stage::over(FALLING_ASLEEP, script).await;
    let before: &[&str] = match what {
        "service" => &[],
        "group" => &[SERVICE],
        _ => &[SERVICE, GROUP],
    };
    before.iter().for_each(|arn| stage.table.remember(arn));
    let outcomes = stage.tick().await;
    let (kind, outcome) = outcomes.last().unwrap().clone();
    assert_eq!(kind, format!("park_{what}"));
    (stage, outcome)
}

fn arn_of(what: &str) -> &'static str {
    match what {
        "service" => SERVICE,
        "group" => GROUP,
        _ => DATABASE,
    }
}

#[tokio::test]
async fn what_is_gone_or_busy_is_skipped_and_other_refusals_have_failed() {
    for (what, operation, code, skips) in [
        (
            "service",
            "ecs:UpdateService",
            "ServiceNotActiveException",
            true,
        ),
        (
            "service",
            "ecs:UpdateService",
            "ServiceNotFoundException",
            true,
        ),
        (
            "service",
            "ecs:UpdateService",
            "ClusterNotFoundException",
            true,
        ),
        (
            "service",
            "ecs:UpdateService",
            "InvalidParameterException",
            false,
        ),
        (
            "service",
            "ecs:UpdateService",
            "AccessDeniedException",
            false,
        ),
        (
            "service",
            "application-autoscaling:RegisterScalableTarget",
            "ConcurrentUpdateException",
            true,
        ),
        (
            "service",
            "application-autoscaling:RegisterScalableTarget",
            "LimitExceededException",
            false,
        ),
        (
            "group",
            "autoscaling:UpdateAutoScalingGroup",
            "ScalingActivityInProgress",
            true,
        ),
        (
            "group",
            "autoscaling:UpdateAutoScalingGroup",
            "ResourceContention",
            true,
        ),
        (
            "group",
            "autoscaling:UpdateAutoScalingGroup",
            "ValidationError",
            false,
        ),
        (
            "database",
            "rds:StopDBInstance",
            "InvalidDBInstanceState",
            true,
        ),
        ("database", "rds:StopDBInstance", "DBInstanceNotFound", true),
        (
            "database",
            "rds:StopDBInstance",
            "InvalidDBClusterStateFault",
            false,
        ),
    ] {
        let script = to_park(what).always(operation, move |_| Answer::error(400, code, "a reason"));
        let (stage, outcome) = park(what, script).await;
        let is = if skips { is_skipped } else { is_failed };
        assert!(is(&outcome, operation), "{operation} {code}: {outcome:?}");
        assert!(is(&outcome, "a reason"), "{operation} {code}: {outcome:?}");
        // It is still remembered as on its way, and the next tick tries again.
        let saved = stage.table.says(&format!("size#{}", arn_of(what))).unwrap();
        assert_eq!(saved["state"], json!("parking"), "{operation} {code}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_started_now_keeps_its_mark() {
    for (code, skips) in [
        ("InvalidDBInstanceState", true),
        ("KMSKeyNotAccessibleFault", false),
    ] {
        let script = asleep().always("rds:StartDBInstance", move |_| {
            Answer::error(400, code, "a reason")
        });
        let stage = Stage::over(WAKING_UP, script).await;
        stage.table.remember_all();
        let outcomes = stage.tick().await;
        let is = if skips { is_skipped } else { is_failed };
        assert!(
            is(&outcomes[0].1, "rds:StartDBInstance"),
            "{code}: {outcomes:?}"
        );
        assert_eq!(stage.sent("RemoveTagsFromResource"), Vec::<String>::new());
        let saved = stage.table.says(&format!("size#{DATABASE}"));
        assert_eq!(saved.unwrap()["state"], json!("parked"));
    }
}

#[tokio::test]
async fn what_the_ledger_does_not_take_is_not_changed() {
    for what in ["service", "group", "database"] {
        for (code, told) in [
            ("AccessDeniedException", "dynamodb:PutItem"),
            ("ResourceNotFoundException", "there is no ledger"),
        ] {
            let refuses = move |script: Scripted| {
                script.always("dynamodb:PutItem", move |request| {
                    let sort = body(request)["Item"]["sk"]["S"].clone();
                    match sort.as_str().unwrap().starts_with("size#") {
                        true => Answer::error(400, code, "no"),
                        false => json!({}).into(),
                    }
                })
            };
            let stage = Stage::with_ledger(FALLING_ASLEEP, to_park(what), refuses).await;
            let before = match what {
                "service" => vec![],
                "group" => vec![SERVICE],
                _ => vec![SERVICE, GROUP],
            };
            before.iter().for_each(|arn| stage.table.remember(arn));
            let outcomes = stage.tick().await;
            let (_, outcome) = outcomes.last().unwrap();
            assert!(is_failed(outcome, told), "{what} {code}: {outcome:?}");
            assert_eq!(changed(&stage), Vec::<String>::new(), "{what} {code}");
        }
    }
}

#[tokio::test]
async fn a_lease_or_a_note_that_is_not_written_lets_nothing_begin() {
    for (key, told) in [
        ("lease#", "dynamodb:PutItem"),
        ("environment#", "dynamodb:PutItem"),
    ] {
        let refuses = move |script: Scripted| {
            script.always("dynamodb:PutItem", move |request| {
                let sort = body(request)["Item"]["sk"]["S"].clone();
                match sort.as_str().unwrap().starts_with(key) {
                    true => Answer::error(400, "AccessDeniedException", "no"),
                    false => json!({}).into(),
                }
            })
        };
        let stage = Stage::with_ledger(EVENING, awake(), refuses).await;
        let outcomes = stage.tick().await;
        let [("begin_transition", outcome)] = &outcomes[..] else {
            panic!("{key}: {outcomes:?}");
        };
        assert!(is_failed(outcome, told), "{key}: {outcome:?}");
        assert_eq!(changed(&stage), Vec::<String>::new(), "{key}");
    }
}

/// Another run has the lease, or has gone on with the environment.
#[tokio::test]
async fn what_another_run_does_is_left_to_it() {
    let held = |script: Scripted| {
        script.always("dynamodb:PutItem", |_| {
            Answer::error(400, "ConditionalCheckFailedException", "no")
        })
    };
    let stage = Stage::with_ledger(FALLING_ASLEEP, awake(), held).await;
    let outcomes = stage.tick().await;
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    assert!(
        !matches!(outcomes[0].1, Outcome::Done | Outcome::AlreadyDone),
        "{outcomes:?}"
    );
    assert_eq!(changed(&stage), Vec::<String>::new());

    let stage = Stage::over(FALLING_ASLEEP, awake()).await;
    let seen = stage.observe().await;
    stage.table.put("environment#dev", &WAKING_UP.progress());
    let outcomes = stage.act(&seen).await;
    assert!(
        is_skipped(&outcomes[0].1, "another transition"),
        "{outcomes:?}"
    );
    assert_eq!(changed(&stage), Vec::<String>::new());
}

#[tokio::test]
async fn a_tag_that_is_not_written_leaves_its_resource_as_it_is_and_remembered() {
    for (what, operation) in [
        ("service", "ecs:TagResource"),
        ("group", "autoscaling:CreateOrUpdateTags"),
        ("database", "rds:AddTagsToResource"),
    ] {
        let script = to_park(what).always(operation, |_| {
            Answer::error(400, "AccessDeniedException", "no")
        });
        let (stage, outcome) = park(what, script).await;
        assert!(is_failed(&outcome, "tagging"), "{what}: {outcome:?}");
        let lowered = changed(&stage);
        let lowered: Vec<&String> = lowered.iter().filter(|it| !it.contains("Tag")).collect();
        assert_eq!(lowered, Vec::<&String>::new(), "{what}");
        let saved = stage.table.says(&format!("size#{}", arn_of(what)));
        assert_eq!(saved.unwrap()["state"], json!("parking"), "{what}");
    }
}

/// A tag that stays is a wake-up that has not ended: the next tick takes it away.
#[tokio::test]
async fn a_tag_that_is_not_removed_keeps_what_is_remembered() {
    let script = asleep().always("rds:RemoveTagsFromResource", |_| {
        Answer::error(403, "AccessDenied", "no")
    });
    let stage = Stage::over(WAKING_UP, script).await;
    stage.table.remember_all();
    let outcomes = stage.tick().await;
    assert!(is_failed(&outcomes[0].1, "untagging"), "{outcomes:?}");
    assert!(stage.table.says(&format!("size#{DATABASE}")).is_some());
}

#[tokio::test]
async fn what_changed_since_the_look_is_skipped() {
    let held = {
        let mut held = service(3);
        let hold = json!({"key": "steward:hold", "value": "a demo"});
        held["tags"].as_array_mut().unwrap().push(hold);
        held
    };
    let draining = {
        let mut draining = service(3);
        draining["status"] = json!("DRAINING");
        draining
    };
    for (now, why) in [
        (services(vec![held]), "on hold"),
        (services(vec![service(5)]), "other sizes"),
        (services(vec![draining]), "goes"),
        (
            json!({"services": [], "failures": [{"arn": SERVICE, "reason": "MISSING"}]}),
            "gone",
        ),
    ] {
        let script = awake()
            .on("ecs:DescribeServices", services(vec![service(3)]))
            .always("ecs:DescribeServices", move |_| now.clone());
        let (stage, outcome) = park("service", script).await;
        assert!(is_skipped(&outcome, why), "{why}: {outcome:?}");
        assert_eq!(changed(&stage), Vec::<String>::new(), "{why}");
        assert_eq!(stage.table.says(&format!("size#{SERVICE}")), None, "{why}");
    }
    for (now, why) in [
        (Answer::error(404, "DBInstanceNotFound", "none"), "gone"),
        (databases(&[database("modifying")], None), "is modifying"),
    ] {
        let script = to_park("database")
            .on(
                "rds:DescribeDBInstances",
                databases(&[database("available")], None),
            )
            .always("rds:DescribeDBInstances", move |_| now.clone());
        let (stage, outcome) = park("database", script).await;
        assert!(is_skipped(&outcome, why), "{why}: {outcome:?}");
        assert_eq!(changed(&stage), Vec::<String>::new(), "{why}");
    }
    let script = to_park("group")
        .on(
            "autoscaling:DescribeAutoScalingGroups",
            groups(&[group(2)], None),
        )
        .always("autoscaling:DescribeAutoScalingGroups", |_| {
            groups(&[], None)
        });
    let (stage, outcome) = park("group", script).await;
    assert!(is_skipped(&outcome, "gone"), "{outcome:?}");
    assert_eq!(changed(&stage), Vec::<String>::new());
}

/// Each change may be made twice: the SDK tries again when an answer is lost.
#[tokio::test]
async fn an_answer_that_is_lost_changes_nothing_in_the_end() {
    for (what, operation) in [
        ("service", "ecs:TagResource"),
        ("service", "application-autoscaling:RegisterScalableTarget"),
        ("service", "ecs:UpdateService"),
        ("service", "dynamodb:GetItem"),
        ("group", "autoscaling:UpdateAutoScalingGroup"),
        ("group", "autoscaling:CreateOrUpdateTags"),
        ("database", "rds:AddTagsToResource"),
    ] {
        let stage = Stage::over(FALLING_ASLEEP, to_park(what)).await;
        let before: &[&str] = match what {
            "service" => &[],
            "group" => &[SERVICE],
            _ => &[SERVICE, GROUP],
        };
        before.iter().for_each(|arn| stage.table.remember(arn));
        stage.client.add(At::nth(operation, 1), Fault::LostAnswer);
        let outcomes = stage.tick().await;
        assert_eq!(stage.client.unspent(), Vec::<String>::new(), "{operation}");
        let (_, outcome) = outcomes.last().unwrap();
        assert_eq!(*outcome, Outcome::Done, "{operation}");
        let saved = stage.table.says(&format!("size#{}", arn_of(what)));
        assert_eq!(saved.unwrap()["state"], json!("parked"), "{operation}");
    }
}
