//! What is absent is not taken for nothing.

use alarm_remediation::Remedy;
use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, Scripted};

use crate::account::{
    Bell, account, alarm, alarms, database, databases, deployment, deployments, group, groups,
    health, instance, instances, just_deployed, revision, scalable, service, services, task,
};
use crate::stage::Stage;

/// A gap with this permission, and no remedy.
async fn is_a_gap(script: Scripted, grant: &str, told: &str) {
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    let [gap] = &seen.gaps[..] else {
        panic!("{told}: {:?}", seen.gaps);
    };
    assert_eq!(gap.grant, grant, "{told}");
    assert_eq!(stage.remedies(&seen), [], "{told}");
    let told_gone = ["alarm_gone", "target_gone"];
    let planned = stage.planned(&seen);
    let reasons = stage.reasons(&seen);
    let says_so = |it: &str| told_gone.iter().any(|gone| it.contains(gone));
    assert!(!planned.iter().any(|it| says_so(it)), "{told}: {planned:?}");
    assert!(!reasons.iter().any(|it| says_so(it)), "{told}: {reasons:?}");
}

#[tokio::test]
async fn an_alarm_without_what_decides_is_a_gap() {
    for key in ["AlarmName", "AlarmArn", "StateValue"] {
        let mut other = alarm("other", Bell::Busy);
        other.as_object_mut().unwrap().remove(key);
        let script = account(Bell::Busy).always("cloudwatch:DescribeAlarms", move |_| {
            alarms(vec![alarm("it", Bell::Busy), other.clone()])
        });
        is_a_gap(script, "cloudwatch:DescribeAlarms", key).await;
    }
}

/// An alarm would pass for deleted, for one that no tag switches off, or for not muted. Of
/// contributors without their list the SDK makes none.
#[tokio::test]
async fn an_answer_of_cloudwatch_without_its_list_is_a_gap() {
    for read in [
        "cloudwatch:DescribeAlarms",
        "cloudwatch:ListTagsForResource",
        "cloudwatch:ListAlarmMuteRules",
    ] {
        let script = account(Bell::Busy).always(read, |_| json!({}));
        is_a_gap(script, read, read).await;
    }
}

#[tokio::test]
async fn an_answer_without_its_list_is_a_gap() {
    let json = || Answer::Json(json!({}));
    let xml = || Answer::result("");
    for (bell, read, answer) in [
        (Bell::Unhealthy, "ecs:ListClusters", json()),
        (Bell::Unhealthy, "ecs:ListServices", json()),
        (Bell::Busy, "ecs:DescribeServices", json()),
        (Bell::Busy, "ecs:ListServiceDeployments", json()),
        (Bell::Busy, "ecs:DescribeServiceRevisions", json()),
        (
            Bell::Busy,
            "application-autoscaling:DescribeScalableTargets",
            json(),
        ),
        (Bell::Busy, "ecs:ListTasks", json()),
        (Bell::Busy, "ecs:DescribeTasks", json()),
        (
            Bell::Busy,
            "elasticloadbalancing:DescribeTargetHealth",
            xml(),
        ),
        (Bell::NoRoom, "ecs:DescribeClusters", json()),
        (Bell::NoRoom, "ecs:DescribeCapacityProviders", json()),
        (Bell::Impaired, "ecs:ListContainerInstances", json()),
        (Bell::Impaired, "ecs:DescribeContainerInstances", json()),
        (
            Bell::Impaired,
            "autoscaling:DescribeAutoScalingInstances",
            xml(),
        ),
        (Bell::Storage, "rds:DescribeDBInstances", xml()),
    ] {
        let script = account(bell).always(read, move |_| answer.clone());
        is_a_gap(script, read, read).await;
    }
}

#[tokio::test]
async fn a_service_without_what_decides_is_a_gap() {
    for key in ["serviceArn", "serviceName", "status"] {
        let mut lacking = service();
        lacking[key] = Value::Null;
        let script = account(Bell::Busy).always("ecs:DescribeServices", move |_| {
            services(vec![lacking.clone()])
        });
        is_a_gap(script, "ecs:DescribeServices", key).await;
    }
}

/// It might be the one that is under way.
#[tokio::test]
async fn a_deployment_without_what_decides_is_a_gap() {
    for key in ["serviceDeploymentArn", "status", "createdAt"] {
        let mut lacking = deployment(3, "IN_PROGRESS", 8);
        lacking[key] = Value::Null;
        if key == "createdAt" {
            lacking["startedAt"] = Value::Null;
        }
        let script = account(Bell::Busy).always("ecs:ListServiceDeployments", move |_| {
            deployments(vec![deployment(2, "SUCCESSFUL", 30_000), lacking.clone()])
        });
        is_a_gap(script, "ecs:ListServiceDeployments", key).await;
    }
}

#[tokio::test]
async fn a_scalable_target_without_its_service_is_a_gap() {
    let read = "application-autoscaling:DescribeScalableTargets";
    let mut targets = scalable(2, 10);
    targets["ScalableTargets"][0]["ResourceId"] = Value::Null;
    let script = account(Bell::Busy).always(read, move |_| targets.clone());
    is_a_gap(script, read, "ResourceId").await;
}

#[tokio::test]
async fn an_instance_without_what_decides_is_a_gap() {
    for key in ["containerInstanceArn", "status"] {
        let script = account(Bell::Impaired).always("ecs:DescribeContainerInstances", move |_| {
            let mut lacking = instance(&crate::account::instance_arn(0));
            lacking[key] = Value::Null;
            instances(vec![lacking, instance(&crate::account::instance_arn(1))])
        });
        let stage = Stage::over(script).await;
        let seen = stage.observe().await;
        // Of what it is about, and of who else in the group takes tasks.
        assert!(!seen.gaps.is_empty(), "{key}");
        for gap in &seen.gaps {
            assert_eq!(gap.grant, "ecs:DescribeContainerInstances", "{key}");
        }
        assert_eq!(stage.planned(&seen), ["open_case unseen"], "{key}");
    }
}

/// Of a size that is absent the SDK makes 0, which nobody can tell from one that is 0.
#[tokio::test]
async fn a_group_without_what_decides_is_a_gap() {
    for key in ["AutoScalingGroupName", "AutoScalingGroupARN", "Tags"] {
        let mut lacking = group();
        lacking.remove(key);
        let script = account(Bell::NoRoom)
            .always("autoscaling:DescribeAutoScalingGroups", move |_| {
                groups(std::slice::from_ref(&lacking), None)
            });
        is_a_gap(script, "autoscaling:DescribeAutoScalingGroups", key).await;
    }
}

#[tokio::test]
async fn a_database_without_what_decides_is_a_gap() {
    for key in [
        "DBInstanceArn",
        "DbiResourceId",
        "DBInstanceStatus",
        "AllocatedStorage",
        "TagList",
    ] {
        let mut lacking = database();
        lacking.remove(key);
        let script =
            account(Bell::Storage).always("rds:DescribeDBInstances", move |_| databases(&lacking));
        is_a_gap(script, "rds:DescribeDBInstances", key).await;
    }
}

/// Going back to images that nobody knows would go back to whatever their tags name now.
#[tokio::test]
async fn a_revision_without_digests_is_nothing_to_go_back_to() {
    for key in ["imageDigest", "containerName"] {
        let script =
            just_deployed(Bell::Errors).always("ecs:DescribeServiceRevisions", move |request| {
                let asked = crate::account::asked(request, "serviceRevisionArns");
                let lacking = asked.iter().map(|arn| {
                    let mut revision = revision(arn);
                    revision["containerImages"][0][key] = Value::Null;
                    revision
                });
                json!({"serviceRevisions": lacking.collect::<Vec<_>>(), "failures": []})
            });
        let stage = Stage::over(script).await;
        let seen = stage.observe().await;
        assert_eq!(
            stage.planned(&seen),
            ["open_case nothing_to_go_back_to"],
            "{key}"
        );
    }
}

/// Without them nobody says that anything is wrong with it.
#[tokio::test]
async fn a_task_or_target_that_tells_nothing_of_its_health_is_not_taken_for_unwell() {
    let script = account(Bell::Unhealthy)
        .always("ecs:DescribeTasks", |request| {
            let asked = crate::account::asked(request, "tasks");
            let silent = asked.iter().map(|arn| {
                let mut task = task(arn);
                task["healthStatus"] = Value::Null;
                task
            });
            json!({"tasks": silent.collect::<Vec<_>>(), "failures": []})
        })
        .always("elasticloadbalancing:DescribeTargetHealth", |_| {
            Answer::result(
                "<TargetHealthDescriptions><member><Target><Id>10.0.0.1</Id></Target></member>\
                 </TargetHealthDescriptions>",
            )
        });
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(stage.planned(&seen), ["open_case tasks_fail"]);
}

#[tokio::test]
async fn unhealthy_targets_find_their_tasks_by_address_or_by_instance_and_port() {
    let silent = |arn: &str, n: usize| {
        let mut task = task(arn);
        task["healthStatus"] = json!("UNKNOWN");
        task["containerInstanceArn"] = json!(crate::account::instance_arn(n % 2));
        task["containers"] = json!([{"networkBindings": [{"hostPort": 32_000 + n}]}]);
        task["attachments"] = json!([{
            "type": "ElasticNetworkInterface",
            "details": [{"name": "privateIPv4Address", "value": format!("10.0.0.{n}")}],
        }]);
        task
    };
    let described = move |request: &str| {
        let asked = crate::account::asked(request, "tasks");
        let all = asked.iter().enumerate().map(|(n, arn)| silent(arn, n));
        json!({"tasks": all.collect::<Vec<_>>(), "failures": []})
    };
    let by_address = account(Bell::Unhealthy)
        .always("ecs:DescribeTasks", described)
        .always("elasticloadbalancing:DescribeTargetHealth", |_| {
            health(&["healthy", "healthy", "unhealthy", "healthy"])
        });
    let by_port = account(Bell::Unhealthy)
        .always("ecs:DescribeTasks", described)
        .always("elasticloadbalancing:DescribeTargetHealth", |_| {
            let target = |id: &str, port: u32, state: &str| {
                format!(
                    "<member><Target><Id>{id}</Id><Port>{port}</Port></Target><TargetHealth>\
                     <State>{state}</State></TargetHealth></member>"
                )
            };
            Answer::result(&format!(
                "<TargetHealthDescriptions>{}{}</TargetHealthDescriptions>",
                target("i-0", 32_000, "healthy"),
                target("i-0", 32_002, "unhealthy"),
            ))
        });
    for script in [by_address, by_port] {
        let stage = Stage::over(script).await;
        let seen = stage.observe().await;
        let [Remedy::ReplaceTasks(replacing)] = &stage.remedies(&seen)[..] else {
            panic!("{:?}", stage.planned(&seen));
        };
        assert_eq!(replacing.tasks, [crate::account::task_arn(2)]);
    }
}
