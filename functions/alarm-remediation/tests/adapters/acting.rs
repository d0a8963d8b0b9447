//! In which order things are changed, and with which parameters: the case and the try are
//! written before anything is done.

use alarm_remediation::{
    Case, Concern, OfInstance, Remedy, Scope, Source, Stage as Stands, Symptom, Target, Tried,
};
use serde_json::{Value, json};
use steward::engine::Outcome;
use steward_sandbox::faults::Scripted;

use crate::account::{
    ALARM, Bell, GROUP, SERVICE, account, ago, asked, body, definition, definition_arn, deploying,
    deployment_arn, field, instance, instance_arn, instances, just_deployed, providers, task_arn,
};
use crate::stage::{Stage, case_of};

const DONE: Outcome = Outcome::Done;

/// What the ledger is asked and told before a remedy is done: `check` is what is looked at
/// again.
fn order(check: &[&str], remembered: &[&str], make: &[&str]) -> Vec<String> {
    let before = [
        "GetItem case",
        "PutItem case",
        "PutItem lease",
        "GetItem case",
        "GetItem attempts",
        "GetItem all",
    ];
    let written = ["PutItem attempts", "PutItem all", "PutItem case"];
    let all = [
        &before[..],
        check,
        &written,
        remembered,
        make,
        &["DeleteItem lease"],
    ];
    all.concat().iter().map(|it| (*it).to_owned()).collect()
}

/// One run from the alarm to the remedy.
async fn does(script: Scripted, kind: &'static str) -> Stage {
    let stage = Stage::over(script).await;
    assert_eq!(stage.tick().await, [("open_case", DONE), (kind, DONE)]);
    let case = stage.case().unwrap();
    assert!(matches!(case.stage, Stands::Settling { .. }), "{case:?}");
    assert_eq!(case.tried.len(), 1);
    stage
}

#[tokio::test]
async fn a_service_that_is_scaled_is_raised_by_its_minimum() {
    let stage = does(account(Bell::Busy), "raise_service").await;
    let (get, put) = (format!("GetItem {SERVICE}"), format!("PutItem {SERVICE}"));
    assert_eq!(
        stage.order(),
        order(
            &["DescribeServices", "DescribeScalableTargets"],
            &[&get, &put],
            &["RegisterScalableTarget"],
        )
    );
    assert_eq!(
        body(&stage.sent("RegisterScalableTarget")[0]),
        json!({
            "ServiceNamespace": "ecs",
            "ResourceId": "service/shop/web",
            "ScalableDimension": "ecs:service:DesiredCount",
            "MinCapacity": 6,
        }),
        "what is not named stays as it is"
    );
    let raise = stage.table.says("raises", SERVICE).unwrap();
    assert_eq!(
        raise,
        json!({"min_before": 2, "desired_before": 4, "max_before": null,
            "until": "2026-11-24T13:00:00Z", "to": [{"min": 6, "desired": null, "max": null}]})
    );
    let tried = stage.attempts("service:shop/web");
    assert_eq!(
        tried,
        json!([{"at": crate::account::NOW, "kind": "raise_service", "case": ALARM}])
    );
    assert_eq!(stage.table.says("alarm-remediation", "all"), Some(tried));
}

#[tokio::test]
async fn a_service_that_nothing_scales_is_raised_by_its_desired_count() {
    let read = "application-autoscaling:DescribeScalableTargets";
    let script = account(Bell::Busy).always(read, |_| json!({"ScalableTargets": []}));
    let stage = does(script, "raise_service").await;
    assert_eq!(
        body(&stage.sent("UpdateService")[0]),
        json!({"cluster": "shop", "service": "web", "desiredCount": 6})
    );
    assert_eq!(stage.sent("RegisterScalableTarget"), Vec::<String>::new());
    let raise = stage.table.says("raises", SERVICE).unwrap();
    assert_eq!(
        (&raise["min_before"], &raise["desired_before"]),
        (&Value::Null, &json!(4))
    );
}

/// What was raised before is larger still, and goes back to what it was before that.
#[tokio::test]
async fn a_second_raise_remembers_the_first_size() {
    let stage = Stage::over(account(Bell::Busy)).await;
    let first = json!({"min_before": 1, "desired_before": 2, "max_before": null,
        "until": "2026-11-24T12:30:00Z"});
    stage.table.put("raises", SERVICE, &first);
    assert_eq!(stage.tick().await[1], ("raise_service", DONE));
    let raise = stage.table.says("raises", SERVICE).unwrap();
    assert_eq!(
        raise,
        json!({"min_before": 1, "desired_before": 2, "max_before": null,
            "until": "2026-11-24T13:00:00Z", "to": [{"min": 6, "desired": null, "max": null}]})
    );
}

#[tokio::test]
async fn a_deployment_is_stopped_so_that_ecs_rolls_it_back() {
    let stage = does(deploying(Bell::Unhealthy), "stop_deployment").await;
    assert_eq!(
        stage.order(),
        order(
            &["DescribeServices", "ListServiceDeployments"],
            &[],
            &["StopServiceDeployment"],
        )
    );
    assert_eq!(
        body(&stage.sent("StopServiceDeployment")[0]),
        json!({"serviceDeploymentArn": deployment_arn(3), "stopType": "ROLLBACK"})
    );
    assert_eq!(stage.raised(), Vec::<String>::new());
}

#[tokio::test]
async fn a_release_is_taken_back_by_a_definition_pinned_to_the_images_that_ran() {
    let stage = does(just_deployed(Bell::Errors), "roll_back").await;
    assert_eq!(
        stage.order(),
        order(
            &["DescribeServices", "ListServiceDeployments"],
            &[],
            &[
                "DescribeTaskDefinition",
                "RegisterTaskDefinition",
                "UpdateService",
            ],
        )
    );
    assert_eq!(
        body(&stage.sent("DescribeTaskDefinition")[0]),
        json!({"taskDefinition": definition_arn(1), "include": ["TAGS"]})
    );
    let mut expected = definition()["taskDefinition"].clone();
    for key in ["taskDefinitionArn", "revision", "status"] {
        expected.as_object_mut().unwrap().remove(key);
    }
    expected["containerDefinitions"][0]["image"] = json!("registry/web@sha256:1");
    expected["tags"] = json!([
        {"key": "team", "value": "shop"},
        {"key": "steward:managed-by", "value": "alarm-remediation"},
    ]);
    let registered = body(&stage.sent("RegisterTaskDefinition")[0]);
    assert_eq!(registered, expected, "all of it but its images");
    assert_eq!(
        body(&stage.sent("UpdateService")[0]),
        json!({"cluster": "shop", "service": "web", "taskDefinition": definition_arn(9)})
    );
}

#[tokio::test]
async fn a_definition_that_is_pinned_already_is_not_registered_again() {
    let mut pinned = definition();
    pinned["taskDefinition"]["containerDefinitions"][0]["image"] = json!("registry/web@sha256:1");
    let script =
        just_deployed(Bell::Errors).always("ecs:DescribeTaskDefinition", move |_| pinned.clone());
    let stage = does(script, "roll_back").await;
    assert_eq!(stage.sent("RegisterTaskDefinition"), Vec::<String>::new());
    let sent = body(&stage.sent("UpdateService")[0]);
    assert_eq!(sent["taskDefinition"], json!(definition_arn(1)));
}

#[tokio::test]
async fn unhealthy_tasks_are_stopped_with_a_reason_that_people_find() {
    let stage = does(account(Bell::Unhealthy), "replace_tasks").await;
    assert_eq!(
        stage.order(),
        order(&["DescribeServices"], &[], &["StopTask"])
    );
    assert_eq!(
        body(&stage.sent("StopTask")[0]),
        json!({
            "cluster": "shop",
            "task": task_arn(0),
            "reason": "Steward: unhealthy, to be replaced",
        })
    );
}

#[tokio::test]
async fn a_managed_group_gets_room_and_no_desired_capacity() {
    let stage = does(account(Bell::NoRoom), "raise_group").await;
    let (get, put) = (format!("GetItem {GROUP}"), format!("PutItem {GROUP}"));
    assert_eq!(
        stage.order(),
        order(
            &["DescribeAutoScalingGroups"],
            &[&get, &put],
            &["UpdateAutoScalingGroup"],
        )
    );
    let sent = &stage.sent("UpdateAutoScalingGroup")[0];
    let of = [
        "AutoScalingGroupName",
        "MaxSize",
        "DesiredCapacity",
        "MinSize",
    ];
    let of = of.map(|name| field(sent, name));
    assert_eq!(
        of,
        [Some("shop".to_owned()), Some("3".to_owned()), None, None]
    );
    let raise = stage.table.says("raises", GROUP).unwrap();
    assert_eq!(
        raise,
        json!({"min_before": null, "desired_before": null, "max_before": 2,
            "until": "2026-11-24T13:00:00Z", "to": [{"min": null, "desired": null, "max": 3}]})
    );
}

#[tokio::test]
async fn a_group_that_nobody_manages_gets_instances_as_well() {
    let script =
        account(Bell::NoRoom).always("ecs:DescribeCapacityProviders", |_| providers("DISABLED"));
    let stage = does(script, "raise_group").await;
    let sent = &stage.sent("UpdateAutoScalingGroup")[0];
    let of = ["MaxSize", "DesiredCapacity"].map(|name| field(sent, name));
    assert_eq!(of, [Some("3".to_owned()), Some("3".to_owned())]);
    let raise = stage.table.says("raises", GROUP).unwrap();
    assert_eq!(
        (&raise["desired_before"], &raise["max_before"]),
        (&json!(2), &json!(2))
    );
}

#[tokio::test]
async fn an_instance_is_drained_first() {
    let stage = does(account(Bell::Impaired), "drain_instance").await;
    assert_eq!(
        stage.order(),
        order(
            &["DescribeAutoScalingGroups", "DescribeContainerInstances"],
            &[],
            &["UpdateContainerInstancesState"],
        )
    );
    assert_eq!(
        body(&stage.sent("UpdateContainerInstancesState")[0]),
        json!({
            "cluster": "shop",
            "containerInstances": [instance_arn(0)],
            "status": "DRAINING",
        })
    );
    // It counts for its group.
    assert_eq!(stage.attempts("group:shop").as_array().unwrap().len(), 1);
}

fn drained() -> Remedy {
    Remedy::DrainInstance(OfInstance {
        cluster: "shop".to_owned(),
        instance: instance_arn(0),
        ec2: "i-0".to_owned(),
        group: "shop".to_owned(),
    })
}

fn has_drained(case: &mut Case) {
    case.tried.push(Tried {
        at: ago(11),
        remedy: drained(),
        effect: None,
    });
}

/// The instance is drained, and nothing runs on it any more.
fn is_drained(script: Scripted, is_connected: bool) -> Scripted {
    script.always("ecs:DescribeContainerInstances", move |request| {
        let all = asked(request, "containerInstances");
        let all = all.iter().map(|arn| {
            let mut instance = instance(arn);
            if *arn == instance_arn(0) {
                instance["status"] = json!("DRAINING");
                instance["agentConnected"] = json!(is_connected);
                instance["runningTasksCount"] = json!(0);
            }
            instance
        });
        instances(all.collect())
    })
}

fn impaired() -> Concern {
    Concern {
        target: Target::Instance {
            cluster: "shop".to_owned(),
            instance: instance_arn(0),
        },
        symptom: Symptom::Impaired,
    }
}

#[tokio::test]
async fn an_instance_that_is_drained_is_replaced_and_no_other_try_is_counted() {
    let stage = Stage::over(is_drained(account(Bell::Impaired), true)).await;
    let stage = stage.remembering(&[&impaired()], has_drained);
    assert_eq!(stage.tick().await, [("replace_instance", DONE)]);
    assert_eq!(
        stage.order(),
        [
            "PutItem lease",
            "GetItem case",
            "GetItem attempts",
            "GetItem all",
            "DescribeAutoScalingGroups",
            "PutItem case",
            "SetInstanceHealth",
            "DeleteItem lease",
        ]
    );
    let sent = &stage.sent("SetInstanceHealth")[0];
    let of = ["InstanceId", "HealthStatus", "ShouldRespectGracePeriod"];
    let of = of.map(|name| field(sent, name).unwrap());
    assert_eq!(of, ["i-0", "Unhealthy", "false"]);
}

#[tokio::test]
async fn an_instance_that_is_well_again_takes_tasks_again() {
    let stage = Stage::over(is_drained(account(Bell::Impaired), true)).await;
    let stage = stage.about(Scope::OpenCases);
    let mut case = case_of("", "i-0", &[]);
    case.source = Source::Agent {
        cluster: "shop".to_owned(),
        instance: instance_arn(0),
    };
    has_drained(&mut case);
    stage.remember(&case);
    assert_eq!(stage.tick().await, [("use_instance", DONE)]);
    assert_eq!(
        body(&stage.sent("UpdateContainerInstancesState")[0]),
        json!({
            "cluster": "shop",
            "containerInstances": [instance_arn(0)],
            "status": "ACTIVE",
        })
    );
}

#[tokio::test]
async fn a_database_gets_storage_at_once_and_nothing_else() {
    let stage = does(account(Bell::Storage), "grow_storage").await;
    assert_eq!(
        stage.order(),
        order(&["DescribeDBInstances"], &[], &["ModifyDBInstance"])
    );
    let sent = &stage.sent("ModifyDBInstance")[0];
    let mut of: Vec<&str> = sent.split('&').collect();
    of.sort_unstable();
    assert_eq!(
        of,
        [
            "Action=ModifyDBInstance",
            "AllocatedStorage=120",
            "ApplyImmediately=true",
            "DBInstanceIdentifier=shop-db",
            "Version=2014-10-31",
        ]
    );
}

/// What a person was told is written down, so that it is told once; a case that ends goes
/// to the history.
#[tokio::test]
async fn notes_are_written_one_after_the_other_and_a_case_that_ends_is_kept() {
    let quiet = |_: &str| {
        let mut alarm = crate::account::alarm("it", Bell::Busy);
        alarm["StateValue"] = json!("OK");
        crate::account::alarms(vec![alarm])
    };
    let script = account(Bell::Busy).always("cloudwatch:DescribeAlarms", quiet);
    let stage = Stage::over(script).await.remembering(&[], |_| {});
    assert_eq!(stage.tick().await, [("calm_case", DONE)]);
    assert_eq!(stage.order(), ["GetItem case", "PutItem case"]);
    assert!(matches!(stage.case().unwrap().stage, Stands::Calm { .. }));

    let stage = stage.remembering(&[], |case| {
        case.stage = Stands::Calm { since: ago(20) };
    });
    assert_eq!(stage.tick().await, [("close_case", DONE)]);
    let kept = format!("PutItem {}", ago(5));
    assert_eq!(stage.order(), ["GetItem case", &kept, "DeleteItem case"]);
    assert_eq!(stage.case(), None);
    assert_eq!(stage.ended(), [format!("{}#{ALARM}", ago(5))]);
}
