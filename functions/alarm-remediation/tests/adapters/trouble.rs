//! Changes that are refused, done already or not wanted any more: nothing is done twice,
//! nothing that was not written down, and what failed says which call did.

use alarm_remediation::Stage as Stands;
use serde_json::{Value, json};
use steward::engine::Outcome;
use steward_sandbox::faults::{Answer, At, Fault, Scripted};

use crate::account::{
    Bell, Fields, account, ago, asked, body, database, databases, definition, deploying,
    deployment, deployments, group, groups, instance, instances, just_deployed, member_tag,
    revision, scalable, service, services,
};
use crate::stage::Stage;

const DONE: Outcome = Outcome::Done;

/// What is changed on AWS, without what is only remembered.
const CHANGES: [&str; 9] = [
    "RegisterScalableTarget",
    "UpdateService",
    "StopServiceDeployment",
    "RegisterTaskDefinition",
    "StopTask",
    "UpdateContainerInstancesState",
    "UpdateAutoScalingGroup",
    "SetInstanceHealth",
    "ModifyDBInstance",
];

fn changed(stage: &Stage) -> Vec<String> {
    let order = stage.order().into_iter();
    order.filter(|it| CHANGES.contains(&it.as_str())).collect()
}

/// The account in which a remedy is done, by its kind.
fn scene(kind: &str) -> Scripted {
    match kind {
        "raise_service" => account(Bell::Busy),
        "stop_deployment" => deploying(Bell::Unhealthy),
        "roll_back" => just_deployed(Bell::Errors),
        "replace_tasks" => account(Bell::Unhealthy),
        "raise_group" => account(Bell::NoRoom),
        "drain_instance" => account(Bell::Impaired),
        "grow_storage" => account(Bell::Storage),
        other => panic!("{other}"),
    }
}

const KINDS: [(&str, &str); 7] = [
    ("raise_service", "service:shop/web"),
    ("stop_deployment", "service:shop/web"),
    ("roll_back", "service:shop/web"),
    ("replace_tasks", "service:shop/web"),
    ("raise_group", "group:shop"),
    ("drain_instance", "group:shop"),
    ("grow_storage", "database:shop-db"),
];

/// A run after whose look an operation is answered otherwise, and what becomes of the
/// remedy.
async fn but(
    kind: &str,
    operation: &str,
    reply: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Stage, Outcome) {
    let stage = Stage::over(scene(kind)).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    stage.henceforth(operation, reply);
    let outcomes = stage.act(&seen).await;
    let (last, outcome) = outcomes.last().unwrap().clone();
    assert_eq!(last, kind, "{outcomes:?}");
    (stage, outcome)
}

#[tokio::test]
async fn what_aws_refuses_has_failed_with_its_code_and_counts() {
    for (kind, operation, codes) in [
        (
            "raise_service",
            "application-autoscaling:RegisterScalableTarget",
            &[
                "ConcurrentUpdateException",
                "LimitExceededException",
                "ValidationException",
            ][..],
        ),
        (
            "stop_deployment",
            "ecs:StopServiceDeployment",
            &[
                "ConflictException",
                "ServiceDeploymentNotFoundException",
                "UnsupportedFeatureException",
                "AccessDeniedException",
            ],
        ),
        (
            "roll_back",
            "ecs:DescribeTaskDefinition",
            &["ClientException"],
        ),
        (
            "roll_back",
            "ecs:RegisterTaskDefinition",
            &["ClientException", "AccessDeniedException"],
        ),
        (
            "roll_back",
            "ecs:UpdateService",
            &[
                "ServiceNotActiveException",
                "InvalidParameterException",
                "ServiceNotFoundException",
            ],
        ),
        (
            "replace_tasks",
            "ecs:StopTask",
            &["ClusterNotFoundException", "AccessDeniedException"],
        ),
        (
            "raise_group",
            "autoscaling:UpdateAutoScalingGroup",
            &[
                "ScalingActivityInProgress",
                "ResourceContention",
                "ValidationError",
            ],
        ),
        (
            "drain_instance",
            "ecs:UpdateContainerInstancesState",
            &["InvalidParameterException", "ClusterNotFoundException"],
        ),
        (
            "grow_storage",
            "rds:ModifyDBInstance",
            &[
                "InvalidDBInstanceState",
                "StorageQuotaExceeded",
                "InvalidParameterCombination",
            ],
        ),
    ] {
        let target = KINDS.iter().find(|(of, _)| *of == kind).unwrap().1;
        for code in codes {
            let (stage, outcome) =
                but(kind, operation, |_| Answer::error(400, code, "a reason")).await;
            let Outcome::Failed(why) = &outcome else {
                panic!("{operation} {code}: {outcome:?}");
            };
            assert!(why.starts_with(operation), "{why}");
            assert!(why.contains(&format!("{code}: a reason")), "{why}");
            // It is looked at later what came of it, and it counts as a try.
            assert_eq!(stage.attempts(target).as_array().unwrap().len(), 1);
            let case = stage.case().unwrap();
            assert!(matches!(case.stage, Stands::Settling { .. }), "{case:?}");
            assert_eq!(stage.order().last().unwrap(), "DeleteItem lease");
        }
    }
}

#[tokio::test]
async fn a_task_that_is_gone_by_now_is_replaced() {
    let gone = |_: &str| {
        let why = "The referenced task was not found.";
        Answer::error(400, "InvalidParameterException", why)
    };
    let (_, outcome) = but("replace_tasks", "ecs:StopTask", gone).await;
    assert_eq!(outcome, DONE);
    let (_, outcome) = but("replace_tasks", "ecs:StopTask", |_| {
        Answer::error(400, "InvalidParameterException", "taskId length")
    })
    .await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_failure_inside_an_answer_of_200_is_a_failure() {
    for (failure, told) in [
        (
            json!({"arn": "arn/one", "reason": "CONTAINER_INSTANCE_REGISTERING"}),
            "CONTAINER_INSTANCE_REGISTERING",
        ),
        (json!({}), "a failure without a reason"),
    ] {
        let answer = json!({"containerInstances": [], "failures": [failure]});
        let operation = "ecs:UpdateContainerInstancesState";
        let (_, outcome) = but("drain_instance", operation, move |_| answer.clone().into()).await;
        assert_eq!(outcome, Outcome::Failed(format!("{operation}: {told}")));
    }
}

/// The first answer was lost: the SDK asks again, and AWS refuses what it has done.
#[tokio::test]
async fn what_is_refused_because_it_is_done_is_done() {
    let stage = Stage::over(scene("stop_deployment")).await;
    let seen = stage.observe().await;
    let lists = "ecs:ListServiceDeployments";
    let script_then = |status: &'static str| {
        move |_: &str| -> Answer {
            deployments(vec![
                deployment(2, "SUCCESSFUL", 30_000),
                deployment(3, status, 8),
            ])
            .into()
        }
    };
    // Looked at before, refused, and looked at again.
    let first = script_then("IN_PROGRESS");
    let then = script_then("ROLLBACK_REQUESTED");
    let looks = std::sync::atomic::AtomicUsize::new(0);
    stage.henceforth(lists, move |request| {
        let n = looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if n == 0 {
            first(request)
        } else {
            then(request)
        }
    });
    stage.henceforth("ecs:StopServiceDeployment", |_| {
        Answer::error(400, "ConflictException", "it is being stopped")
    });
    let outcomes = stage.act(&seen).await;
    assert_eq!(outcomes[1], ("stop_deployment", Outcome::AlreadyDone));

    let stage = Stage::over(scene("grow_storage")).await;
    let seen = stage.observe().await;
    let looks = std::sync::atomic::AtomicUsize::new(0);
    stage.henceforth("rds:DescribeDBInstances", move |_| {
        let mut found = database();
        if looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
            found.insert("DBInstanceStatus", "modifying".to_owned());
            let pending = "<AllocatedStorage>120</AllocatedStorage>".to_owned();
            found.insert("PendingModifiedValues", pending);
        }
        databases(&found)
    });
    stage.henceforth("rds:ModifyDBInstance", |_| {
        Answer::error(400, "InvalidDBInstanceState", "it is modifying")
    });
    let outcomes = stage.act(&seen).await;
    assert_eq!(outcomes[1], ("grow_storage", Outcome::AlreadyDone));
}

#[tokio::test]
async fn an_answer_that_is_lost_changes_nothing_in_the_end() {
    for (kind, operation) in [
        (
            "raise_service",
            "application-autoscaling:RegisterScalableTarget",
        ),
        ("raise_service", "dynamodb:PutItem"),
        ("raise_service", "dynamodb:GetItem"),
        ("stop_deployment", "ecs:StopServiceDeployment"),
        ("roll_back", "ecs:DescribeTaskDefinition"),
        ("roll_back", "ecs:RegisterTaskDefinition"),
        ("roll_back", "ecs:UpdateService"),
        ("replace_tasks", "ecs:StopTask"),
        ("raise_group", "autoscaling:UpdateAutoScalingGroup"),
        ("drain_instance", "ecs:UpdateContainerInstancesState"),
        ("grow_storage", "rds:ModifyDBInstance"),
    ] {
        let stage = Stage::over(scene(kind)).await;
        stage.client.add(At::nth(operation, 1), Fault::LostAnswer);
        let outcomes = stage.tick().await;
        assert_eq!(outcomes.last().unwrap(), &(kind, DONE), "{operation}");
        assert_eq!(stage.client.unspent(), Vec::<String>::new(), "{operation}");
        let case = stage.case().unwrap();
        assert_eq!(case.tried.len(), 1, "{operation}");
    }
}

fn tagged(key: &str, value: &str) -> Value {
    let mut tagged = service();
    tagged["tags"] = json!([{"key": key, "value": value}]);
    tagged
}

fn with(mut service: Value, key: &str, value: Value) -> Value {
    service[key] = value;
    service
}

/// What changed since the look, at every remedy of a service.
#[tokio::test]
async fn a_service_that_is_not_to_be_touched_by_now_is_left_alone() {
    for (now, why) in [
        (tagged("steward:hold", "a demo"), "on hold"),
        (
            tagged("steward:hold-until", "2026-11-25T00:00:00Z"),
            "on hold",
        ),
        (tagged("steward:parked", "2026-11-24T11:59:00Z"), "parked"),
        (with(service(), "status", json!("DRAINING")), "goes"),
        (Value::Null, "gone"),
    ] {
        for kind in [
            "raise_service",
            "stop_deployment",
            "roll_back",
            "replace_tasks",
        ] {
            let now = now.clone();
            let reply = move |_: &str| -> Answer {
                match now.is_null() {
                    true => json!({"services": [], "failures": [{"reason": "MISSING"}]}).into(),
                    false => services(vec![now.clone()]).into(),
                }
            };
            let (stage, outcome) = but(kind, "ecs:DescribeServices", reply).await;
            is_left_alone(&stage, &outcome, kind, why);
        }
    }
}

/// It was skipped, nothing was changed, and nothing counts.
fn is_left_alone(stage: &Stage, outcome: &Outcome, kind: &str, why: &str) {
    assert!(
        matches!(outcome, Outcome::Skipped(told) if told.contains(why)),
        "{kind} {why}: {outcome:?}"
    );
    assert_eq!(changed(stage), Vec::<String>::new(), "{kind} {why}");
    let target = KINDS.iter().find(|(of, _)| *of == kind).unwrap().1;
    assert_eq!(stage.attempts(target), json!([]), "{kind} {why}");
    assert_eq!(stage.case().unwrap().stage, Stands::Open, "{kind} {why}");
    assert_eq!(stage.order().last().unwrap(), "DeleteItem lease");
}

fn of_group(change: impl Fn(&mut Fields)) -> Answer {
    let mut group = group();
    change(&mut group);
    groups(&[group], None)
}

fn of_database(key: &'static str, value: &str) -> Answer {
    let mut database = database();
    database.insert(key, value.to_owned());
    databases(&database)
}

fn of_instance(key: &str, value: Value, request: &str) -> Answer {
    let all = asked(request, "containerInstances");
    let all = all
        .iter()
        .map(|arn| with(instance(arn), key, value.clone()));
    instances(all.collect()).into()
}

#[tokio::test]
async fn what_has_changed_since_the_look_is_left_alone() {
    let hold = |tag: &str| format!("<Tag><Key>{tag}</Key><Value>yes</Value></Tag>");
    let describe_groups = "autoscaling:DescribeAutoScalingGroups";
    let describe_databases = "rds:DescribeDBInstances";
    for (kind, operation, answer, why) in [
        (
            "raise_service",
            "ecs:DescribeServices",
            services(vec![with(service(), "desiredCount", json!(5))]).into(),
            "other sizes",
        ),
        (
            "raise_service",
            "application-autoscaling:DescribeScalableTargets",
            scalable(3, 10).into(),
            "other sizes",
        ),
        (
            "stop_deployment",
            "ecs:ListServiceDeployments",
            deployments(vec![deployment(3, "SUCCESSFUL", 0)]).into(),
            "the deployment is SUCCESSFUL",
        ),
        (
            "stop_deployment",
            "ecs:ListServiceDeployments",
            deployments(vec![]).into(),
            "the deployment is gone",
        ),
        (
            "roll_back",
            "ecs:ListServiceDeployments",
            deployments(vec![
                deployment(2, "SUCCESSFUL", 10),
                deployment(3, "PENDING", -2),
            ])
            .into(),
            "deployed again",
        ),
        (
            "raise_group",
            describe_groups,
            of_group(|group| {
                group.insert("DesiredCapacity", "1".to_owned());
                group.insert("MaxSize", "1".to_owned());
            }),
            "other sizes",
        ),
        (
            "raise_group",
            describe_groups,
            of_group(|group| {
                group.insert("Tags", member_tag("steward:hold", "yes"));
            }),
            "on hold",
        ),
        ("raise_group", describe_groups, groups(&[], None), "gone"),
        (
            "drain_instance",
            describe_groups,
            of_group(|group| {
                group.insert("Tags", member_tag("steward:parked", "now"));
            }),
            "parked",
        ),
        (
            "drain_instance",
            "ecs:DescribeContainerInstances",
            json!({"containerInstances": [], "failures": [{"reason": "MISSING"}]}).into(),
            "gone",
        ),
        (
            "grow_storage",
            describe_databases,
            of_database("TagList", &hold("steward:hold")),
            "on hold",
        ),
        (
            "grow_storage",
            describe_databases,
            of_database("TagList", &hold("steward:parked")),
            "parked",
        ),
        (
            "grow_storage",
            describe_databases,
            of_database("DbiResourceId", "db-ANOTHER"),
            "another database",
        ),
        (
            "grow_storage",
            describe_databases,
            of_database("AllocatedStorage", "110"),
            "110 GiB meanwhile",
        ),
        (
            "grow_storage",
            describe_databases,
            Answer::error(404, "DBInstanceNotFound", "none"),
            "gone",
        ),
    ] {
        let (stage, outcome) = but(kind, operation, move |_| answer.clone()).await;
        is_left_alone(&stage, &outcome, kind, why);
    }
    for (key, value, why) in [
        ("status", json!("DEREGISTERING"), "is DEREGISTERING"),
        (
            "tags",
            json!([{"key": "steward:hold", "value": "yes"}]),
            "on hold",
        ),
    ] {
        let read = "ecs:DescribeContainerInstances";
        let (stage, outcome) = but("drain_instance", read, move |request| {
            of_instance(key, value.clone(), request)
        })
        .await;
        is_left_alone(&stage, &outcome, "drain_instance", why);
    }
}

#[tokio::test]
async fn what_is_so_already_is_done_and_counts_for_nothing() {
    for (kind, operation, answer) in [
        (
            "raise_service",
            "application-autoscaling:DescribeScalableTargets",
            scalable(6, 10).into(),
        ),
        (
            "stop_deployment",
            "ecs:ListServiceDeployments",
            deployments(vec![deployment(3, "ROLLBACK_IN_PROGRESS", 8)]).into(),
        ),
        (
            "raise_group",
            "autoscaling:DescribeAutoScalingGroups",
            of_group(|group| {
                group.insert("MaxSize", "3".to_owned());
            }),
        ),
        (
            "grow_storage",
            "rds:DescribeDBInstances",
            of_database("AllocatedStorage", "120"),
        ),
        (
            "grow_storage",
            "rds:DescribeDBInstances",
            of_database(
                "PendingModifiedValues",
                "<AllocatedStorage>120</AllocatedStorage>",
            ),
        ),
    ] {
        let (stage, outcome) = but(kind, operation, move |_| answer.clone()).await;
        assert_eq!(outcome, Outcome::AlreadyDone, "{kind} {operation}");
        assert_eq!(changed(&stage), Vec::<String>::new(), "{kind}");
        let target = KINDS.iter().find(|(of, _)| *of == kind).unwrap().1;
        assert_eq!(stage.attempts(target), json!([]), "{kind}");
    }
    let read = "ecs:DescribeContainerInstances";
    let (stage, outcome) = but("drain_instance", read, |request| {
        of_instance("status", json!("DRAINING"), request)
    })
    .await;
    assert_eq!(outcome, Outcome::AlreadyDone);
    assert_eq!(changed(&stage), Vec::<String>::new());
}

/// A tag may name another image by now, and then what it names is not what ran.
#[tokio::test]
async fn a_release_is_not_taken_back_to_images_that_nobody_knows() {
    let mut two = definition();
    let containers = &mut two["taskDefinition"]["containerDefinitions"];
    let log = json!({"name": "log", "image": "log:1"});
    containers.as_array_mut().unwrap().push(log);
    let (stage, outcome) = but("roll_back", "ecs:DescribeTaskDefinition", move |_| {
        two.clone().into()
    })
    .await;
    let Outcome::Failed(why) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        why.contains("nothing was done") && why.contains("container log"),
        "{why}"
    );
    assert_eq!(changed(&stage), Vec::<String>::new());
    for (operation, expected) in [
        ("ecs:DescribeTaskDefinition", &[][..]),
        ("ecs:RegisterTaskDefinition", &["RegisterTaskDefinition"]),
    ] {
        let (stage, outcome) = but("roll_back", operation, |_| json!({}).into()).await;
        assert!(
            matches!(&outcome, Outcome::Failed(why) if why.starts_with(operation)),
            "{outcome:?}"
        );
        assert_eq!(changed(&stage), expected, "no service is changed");
    }
    assert_eq!(
        revision("a/1")["containerImages"][0]["imageDigest"],
        "sha256:1"
    );
}

/// Refuses what is written under sort keys that begin like this.
fn refusing(prefix: &'static str, code: &'static str) -> impl FnOnce(Scripted) -> Scripted {
    move |script| {
        script.always("dynamodb:PutItem", move |request| {
            let sort = body(request)["Item"]["sk"]["S"].clone();
            match sort.as_str().unwrap().starts_with(prefix) {
                true => Answer::error(400, code, "no"),
                false => json!({}).into(),
            }
        })
    }
}

#[tokio::test]
async fn what_the_ledger_does_not_take_is_not_done() {
    for (kind, _) in KINDS {
        for prefix in ["lease#", "attempts#", "all", "case#", "arn:"] {
            let raises = kind.starts_with("raise");
            if prefix == "arn:" && !raises {
                continue;
            }
            let stage = Stage::over(scene(kind)).await;
            let seen = stage.observe().await;
            // The case is there, and nothing more can be written.
            let opened = crate::stage::case_of(crate::account::ALARM, "it", &[]);
            stage.remember(&opened);
            for (code, told) in [
                ("AccessDeniedException", "dynamodb:PutItem"),
                ("ResourceNotFoundException", "there is no ledger"),
                ("ConditionalCheckFailedException", ""),
            ] {
                let _ = refusing(prefix, code)(stage.script());
                let outcomes = stage.act(&seen).await;
                let (_, outcome) = outcomes.last().unwrap();
                let is_done = matches!(outcome, Outcome::Done | Outcome::AlreadyDone);
                assert!(!is_done, "{kind} {prefix} {code}: {outcomes:?}");
                assert!(format!("{outcome:?}").contains(told), "{outcome:?}");
                assert_eq!(changed(&stage), Vec::<String>::new(), "{kind} {prefix}");
            }
        }
    }
}

/// Whoever was faster is left to it.
#[tokio::test]
async fn what_another_run_does_is_left_to_it() {
    let stage = Stage::over(scene("raise_service")).await;
    let seen = stage.observe().await;
    let mut settling = crate::stage::case_of(crate::account::ALARM, "it", &[]);
    settling.stage = Stands::Settling {
        until: ago(-5),
        before: alarm_remediation::Health::default(),
    };
    let outcomes = {
        stage.remember(&settling);
        stage.act(&seen).await
    };
    let (kind, outcome) = outcomes.last().unwrap();
    assert_eq!(*kind, "raise_service");
    assert!(
        matches!(outcome, Outcome::Skipped(why) if why.contains("another run")),
        "{outcomes:?}"
    );
    assert_eq!(changed(&stage), Vec::<String>::new());
}

/// Tries of other runs, between the look and the change.
#[tokio::test]
async fn bounds_hold_by_what_the_ledger_says_just_before() {
    let tries = |count: usize, minutes: i64| {
        let one = json!({"at": ago(minutes), "kind": "raise_service", "case": "other"});
        json!(vec![one; count])
    };
    for (sort, tries, why) in [
        ("attempts#service:shop/web", tries(1, 5), "left alone until"),
        ("attempts#service:shop/web", tries(2, 60), "are allowed"),
        ("all", tries(10, 30), "in the account in an hour"),
    ] {
        let stage = Stage::over(scene("raise_service")).await;
        let seen = stage.observe().await;
        stage.table.put("alarm-remediation", sort, &tries);
        let outcomes = stage.act(&seen).await;
        let (_, outcome) = outcomes.last().unwrap();
        assert!(
            matches!(outcome, Outcome::Skipped(told) if told.contains(why)),
            "{sort}: {outcome:?}"
        );
        assert_eq!(changed(&stage), Vec::<String>::new(), "{sort}");
    }
}

/// Another lane has written what all of them write: it is read again, and written after.
#[tokio::test]
async fn a_count_that_another_lane_was_faster_to_write_is_read_again() {
    let races = std::sync::Mutex::new(2);
    let stage = Stage::over(scene("raise_service")).await;
    let table = stage.table.clone();
    stage.henceforth("dynamodb:PutItem", move |request| -> Answer {
        let item = &body(request)["Item"];
        let sort = item["sk"]["S"].as_str().unwrap();
        let mut left = races.lock().unwrap();
        if sort == "all" && *left > 0 {
            *left -= 1;
            return Answer::error(400, "ConditionalCheckFailedException", "no");
        }
        let says = body(item["body"]["S"].as_str().unwrap());
        table.put(item["pk"]["S"].as_str().unwrap(), sort, &says);
        json!({}).into()
    });
    let outcomes = stage.tick().await;
    assert_eq!(outcomes.last().unwrap(), &("raise_service", DONE));
    let of_all = stage.order();
    let of_all: Vec<&String> = of_all.iter().filter(|it| it.ends_with(" all")).collect();
    assert_eq!(
        of_all,
        [
            "GetItem all",
            "PutItem all",
            "GetItem all",
            "PutItem all",
            "GetItem all",
            "PutItem all",
        ],
        "the first is that of the check"
    );
}
