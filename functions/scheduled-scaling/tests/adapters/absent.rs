//! What is absent is not taken for nothing.

use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, Scripted};

use crate::script::{
    EVENING, Stage, WAKING_UP, awake, database, databases, group, groups, scalable, service,
    services,
};

/// With a second service, group or database that lacks something.
fn with_service(change: impl Fn(&mut Value)) -> Scripted {
    let mut other = service(1);
    other["serviceArn"] = json!("arn:aws:ecs:eu-central-1:123456789012:service/shop/other");
    other["serviceName"] = json!("other");
    change(&mut other);
    let arns = json!({"serviceArns": ["one", "other"]});
    awake()
        .always("ecs:ListServices", move |_| arns.clone())
        .always("ecs:DescribeServices", move |_| {
            services(vec![service(3), other.clone()])
        })
}

/// A gap with this permission, and nothing is changed.
async fn is_a_gap(script: Scripted, grant: &str, told: &str) {
    let stage = Stage::over(EVENING, script).await;
    let seen = stage.observe().await;
    let [gap] = &seen.gaps[..] else {
        panic!("{told}: {:?}", seen.gaps);
    };
    assert_eq!(gap.grant, grant, "{told}");
    assert!(gap.hides.covers("dev"), "{told}");
    assert_eq!(stage.planned(&seen), ["begin_transition due"], "{told}");
}

#[tokio::test]
async fn a_service_without_what_decides_is_a_gap() {
    for key in ["serviceArn", "serviceName", "clusterArn", "status"] {
        let script = with_service(|other| other[key] = Value::Null);
        is_a_gap(script, "ecs:DescribeServices", key).await;
    }
}

/// Of a size that is absent the SDK makes 0, which nobody can tell from one that is 0.
#[tokio::test]
async fn a_group_without_what_decides_is_a_gap() {
    for key in ["AutoScalingGroupName", "AutoScalingGroupARN", "Tags"] {
        let mut other = group(2);
        other.remove(key);
        let script = awake().always("autoscaling:DescribeAutoScalingGroups", move |_| {
            groups(&[group(2), other.clone()], None)
        });
        is_a_gap(script, "autoscaling:DescribeAutoScalingGroups", key).await;
    }
}

#[tokio::test]
async fn a_database_without_what_decides_is_a_gap() {
    for key in [
        "DBInstanceIdentifier",
        "DBInstanceArn",
        "DBInstanceStatus",
        "DbiResourceId",
        "TagList",
    ] {
        let mut other = database("available");
        other.remove(key);
        let script = awake().always("rds:DescribeDBInstances", move |_| {
            databases(&[database("available"), other.clone()], None)
        });
        is_a_gap(script, "rds:DescribeDBInstances", key).await;
    }
}

#[tokio::test]
async fn a_scalable_target_without_its_service_is_a_gap() {
    let mut targets = scalable(2, 6, false);
    targets["ScalableTargets"][0]["ResourceId"] = Value::Null;
    let operation = "application-autoscaling:DescribeScalableTargets";
    let script = awake().on(operation, targets);
    is_a_gap(script, operation, "ResourceId").await;
}

/// Of a page of groups without its list the SDK makes an empty one; one that breaks off
/// is refused.
#[tokio::test]
async fn a_page_without_its_list_is_a_gap() {
    let empty = || Answer::Json(json!({}));
    for (operation, answer) in [
        ("ecs:ListClusters", empty()),
        ("ecs:ListServices", empty()),
        ("ecs:DescribeServices", empty()),
        ("ecs:DescribeCapacityProviders", empty()),
        ("application-autoscaling:DescribeScalableTargets", empty()),
        ("rds:DescribeDBInstances", Answer::result("")),
    ] {
        let script = awake().on(operation, answer);
        is_a_gap(script, operation, operation).await;
    }
}

#[tokio::test]
async fn what_has_no_tags_belongs_to_no_environment() {
    let untagged = |other: &mut Value| other["tags"] = json!([]);
    let mut lonely = group(2);
    lonely.insert("Tags", String::new());
    let mut alone = database("available");
    alone.insert("TagList", String::new());
    let script = with_service(untagged)
        .always("autoscaling:DescribeAutoScalingGroups", move |_| {
            groups(&[lonely.clone()], None)
        })
        .always("rds:DescribeDBInstances", move |_| {
            databases(&[alone.clone()], None)
        });
    let stage = Stage::over(EVENING, script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let names: Vec<&str> = seen
        .world
        .resources
        .values()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(names, ["shop/web"]);
}

#[tokio::test]
async fn an_answer_about_clusters_or_instances_that_lacks_some_is_a_gap() {
    for (operation, answer) in [
        ("ecs:DescribeClusters", json!({"failures": []})),
        ("ecs:DescribeContainerInstances", json!({"failures": []})),
        (
            "ecs:DescribeContainerInstances",
            json!({"containerInstances": [{"ec2InstanceId": "i-0", "agentConnected": true}]}),
        ),
    ] {
        let stage = Stage::over(WAKING_UP, awake().on(operation, answer)).await;
        let seen = stage.observe().await;
        let grants: Vec<&str> = seen.gaps.iter().map(|gap| gap.grant.as_str()).collect();
        assert_eq!(grants, [operation]);
        assert!(seen.gaps[0].read.contains("lacks"), "{:?}", seen.gaps);
        let planned = stage.planned(&seen);
        assert!(
            !planned.contains(&"finish_transition reached".to_owned()),
            "{planned:?}"
        );
    }
}
