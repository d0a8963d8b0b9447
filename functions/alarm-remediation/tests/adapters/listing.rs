//! Pages and batches are the largest that AWS allows, all of them are read, and no more
//! is under way at once than is good for AWS.

use std::collections::BTreeSet;

use alarm_remediation::{Case, Scope, Source};
use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, Scripted};

use crate::account::{
    Bell, CLUSTER, account, alarm, alarms, asked, body, field, group, groups, health, instance,
    instance_arn, instances, providers, scalable, service, services, task, task_arn,
};
use crate::stage::{Stage, case_of, of_alarms};

/// So many names.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("it-{n:03}")).collect()
}

fn scope_of(names: &[String]) -> Scope {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    of_alarms(&names)
}

/// The alarms that are asked for by name, each as `make` has it.
fn named(script: Scripted, make: impl Fn(&str) -> Value + Send + Sync + 'static) -> Scripted {
    script.always("cloudwatch:DescribeAlarms", move |request| {
        let names = asked(request, "AlarmNames");
        alarms(names.iter().map(|name| make(name)).collect())
    })
}

/// Each alarm is about the service of its own name.
fn of_services(script: Scripted) -> Scripted {
    let script = named(script, |name| {
        let mut alarm = alarm(name, Bell::Busy);
        alarm["Dimensions"][1]["Value"] = json!(name);
        alarm
    });
    script.always("ecs:DescribeServices", |request| {
        let told = asked(request, "services");
        services(
            told.iter()
                .map(|name| {
                    let mut service = service();
                    service["serviceName"] = json!(name);
                    service
                })
                .collect(),
        )
    })
}

fn sizes(sent: &[String], key: &str) -> Vec<usize> {
    sent.iter()
        .map(|request| asked(request, key).len())
        .collect()
}

/// How many members a form has in a list.
fn members(request: &str, list: &str) -> usize {
    let member = |n: &usize| field(request, &format!("{list}.member.{n}")).is_some();
    (1..).take_while(member).count()
}

#[tokio::test]
async fn alarms_are_asked_for_a_hundred_at_a_time() {
    let all = names(101);
    let script = named(account(Bell::Busy), |name| {
        let mut alarm = alarm(name, Bell::Busy);
        alarm["StateValue"] = json!("OK");
        alarm
    });
    let stage = Stage::over(script).await.about(scope_of(&all));
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.world.alarms.len(), 101);
    let sent = stage.sent("DescribeAlarms");
    assert_eq!(sizes(&sent, "AlarmNames"), [100, 1]);
    assert_eq!(body(&sent[0])["MaxRecords"], json!(100));
}

#[tokio::test]
async fn a_sweep_reads_every_page_of_the_alarms_that_are_in_alarm() {
    let read = "cloudwatch:DescribeAlarms";
    let page = |name: &str, next: Value| json!({"MetricAlarms": [alarm(name, Bell::Busy)], "CompositeAlarms": [], "NextToken": next});
    let script = account(Bell::Busy)
        .on(read, page("it", json!("2")))
        .on(read, page("b", json!("3")))
        .on(read, page("c", Value::Null));
    let stage = Stage::over(script).await.about(Scope::Sweep);
    let seen = stage.observe().await;
    assert_eq!(seen.world.alarms.len(), 3);
    let sent = stage.sent("DescribeAlarms");
    let tokens: Vec<Value> = sent
        .iter()
        .map(|it| body(it)["NextToken"].clone())
        .collect();
    assert_eq!(tokens, [Value::Null, json!("2"), json!("3")]);
    for sent in &sent {
        assert_eq!(body(sent)["StateValue"], json!("ALARM"));
        assert_eq!(body(sent)["MaxRecords"], json!(100));
    }
}

#[tokio::test]
async fn services_are_described_ten_at_a_time_and_what_scales_them_fifty() {
    let all = names(51);
    let stage = Stage::over(of_services(account(Bell::Busy))).await;
    let stage = stage.about(scope_of(&all));
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.world.services.len(), 51);
    let sent = stage.sent("DescribeServices");
    assert_eq!(sizes(&sent, "services"), [10, 10, 10, 10, 10, 1]);
    assert_eq!(body(&sent[0])["include"], json!(["TAGS"]));
    let sent = stage.sent("DescribeScalableTargets");
    assert_eq!(sizes(&sent, "ResourceIds"), [50, 1]);
    assert_eq!(body(&sent[0])["ServiceNamespace"], json!("ecs"));
    for once_each in [
        "ListServiceDeployments",
        "DescribeServiceRevisions",
        "DescribeTargetHealth",
        "DescribeTasks",
    ] {
        assert_eq!(stage.sent(once_each).len(), 51, "{once_each}");
    }
    // Those that run, and those that stopped.
    assert_eq!(stage.sent("ListTasks").len(), 102);
}

/// Forty services have no need of one another.
#[tokio::test]
async fn services_are_looked_at_side_by_side_and_no_more_than_sixteen_calls_at_once() {
    let all = names(40);
    let stage = Stage::over(of_services(account(Bell::Busy))).await;
    let stage = stage.about(scope_of(&all));
    assert_eq!(stage.observe().await.gaps, []);
    let most = stage.crowd();
    // Sixteen to ECS, and to load balancers beside.
    assert!((16..=32).contains(&most), "{most}");
}

#[tokio::test]
async fn tasks_come_in_pages_and_are_described_a_hundred_at_a_time() {
    let script = account(Bell::Busy).always("ecs:ListTasks", |request| {
        let request = body(request);
        assert_eq!(
            (&request["maxResults"], &request["serviceName"]),
            (&json!(100), &json!("web"))
        );
        if request["desiredStatus"] == "STOPPED" {
            return json!({"taskArns": []});
        }
        match request["nextToken"].as_str() {
            None => {
                json!({"taskArns": (0..100).map(task_arn).collect::<Vec<_>>(), "nextToken": "2"})
            }
            Some(_) => json!({"taskArns": [task_arn(100)]}),
        }
    });
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.world.services["shop/web"].tasks.len(), 101);
    assert_eq!(sizes(&stage.sent("DescribeTasks"), "tasks"), [100, 1]);
}

#[tokio::test]
async fn clusters_services_and_deployments_come_in_the_largest_pages() {
    let other = "arn:aws:ecs:eu-central-1:123456789012:cluster/other";
    let page = |key: &str, items: Value, next: Option<&str>| json!({key: items, "nextToken": next});
    let script = account(Bell::Unhealthy)
        .on(
            "ecs:ListClusters",
            page("clusterArns", json!([CLUSTER]), Some("2")),
        )
        .on(
            "ecs:ListClusters",
            page("clusterArns", json!([other]), None),
        )
        .always("ecs:ListServices", move |request| {
            let request = body(request);
            match (request["cluster"] == other, request["nextToken"].is_null()) {
                (true, _) => json!({"serviceArns": []}),
                (false, true) => json!({"serviceArns": names(10), "nextToken": "2"}),
                (false, false) => json!({"serviceArns": ["web"]}),
            }
        })
        .always("ecs:DescribeServices", |request| {
            let told = asked(request, "services");
            services(told.iter().map(|_| service()).collect())
        })
        .always("ecs:ListServiceDeployments", |request| {
            let deployment = crate::account::deployment;
            match body(request)["nextToken"].is_null() {
                true => json!({
                    "serviceDeployments": [deployment(1, "SUCCESSFUL", 60_000)],
                    "nextToken": "2",
                }),
                false => json!({"serviceDeployments": [deployment(2, "SUCCESSFUL", 30_000)]}),
            }
        });
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    for operation in ["ListClusters", "ListServices", "ListServiceDeployments"] {
        for sent in stage.sent(operation) {
            assert_eq!(body(&sent)["maxResults"], json!(100), "{operation}");
        }
    }
    let batches = sizes(&stage.sent("DescribeServices"), "services");
    assert_eq!(batches[..2], [10, 1]);
    // The later one was on the second page.
    let last = seen.world.services["shop/web"].last.clone().unwrap();
    assert_eq!(last.arn, crate::account::deployment_arn(2));
    let revisions = asked(
        &stage.sent("DescribeServiceRevisions")[0],
        "serviceRevisionArns",
    );
    assert_eq!(revisions.len(), 2);
}

/// A case of a lost agent.
fn of_agent(n: usize) -> Case {
    let mut case = case_of("", "agent", &[]);
    case.source = Source::Agent {
        cluster: "shop".to_owned(),
        instance: instance_arn(n),
    };
    case
}

#[tokio::test]
async fn instances_are_described_a_hundred_at_a_time_and_their_groups_asked_for_fifty() {
    let script = account(Bell::Impaired).always("ecs:DescribeContainerInstances", |request| {
        let all = asked(request, "containerInstances");
        let all = all.iter().map(|arn| {
            let mut instance = instance(arn);
            // One that is no instance of EC2.
            if arn.ends_with("ci7") {
                instance["ec2InstanceId"] = json!("mi-7");
            }
            instance
        });
        instances(all.collect())
    });
    let stage = Stage::over(script).await.about(Scope::OpenCases);
    (0..102).for_each(|n| stage.remember(&of_agent(n)));
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.world.instances.len(), 102);
    let sent = stage.sent("DescribeContainerInstances");
    // And the two of the cluster.
    assert_eq!(sizes(&sent, "containerInstances"), [100, 2, 2]);
    assert_eq!(body(&sent[0])["include"], json!(["TAGS"]));
    let sent = stage.sent("DescribeAutoScalingInstances");
    let batches: Vec<usize> = sent.iter().map(|it| members(it, "InstanceIds")).collect();
    assert_eq!(batches, [50, 50, 1]);
    assert_eq!(seen.world.instances[&instance_arn(7)].group, None);
}

#[tokio::test]
async fn groups_are_described_fifty_at_a_time_and_capacity_providers_in_pages() {
    let all = names(51);
    let script = named(account(Bell::NoRoom), |name| {
        let mut alarm = alarm(name, Bell::NoRoom);
        alarm["Dimensions"] = json!([{"Name": "AutoScalingGroupName", "Value": name}]);
        alarm
    });
    let script = script
        .always("autoscaling:DescribeAutoScalingGroups", |request| {
            let name = |n: usize| field(request, &format!("AutoScalingGroupNames.member.{n}"));
            let all: Vec<_> = (1..).map_while(name).collect();
            let all = all.into_iter().map(|name| {
                let mut group = group();
                group.insert("AutoScalingGroupName", name);
                group
            });
            groups(&all.collect::<Vec<_>>(), None)
        })
        .always("ecs:DescribeCapacityProviders", |request| {
            let mut page = providers("ENABLED");
            let request = body(request);
            if request["nextToken"].is_null() {
                page["capacityProviders"] = json!([]);
                page["nextToken"] = json!("2");
            } else {
                let arn = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:1:\
                           autoScalingGroupName/it-000";
                let provider = &mut page["capacityProviders"][0];
                provider["autoScalingGroupProvider"]["autoScalingGroupArn"] = json!(arn);
            }
            page
        });
    let stage = Stage::over(script).await.about(scope_of(&all));
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.world.groups.len(), 51);
    let sent = stage.sent("DescribeAutoScalingGroups");
    let batches = sent.iter().map(|it| members(it, "AutoScalingGroupNames"));
    assert_eq!(batches.collect::<Vec<_>>(), [50, 1]);
    let managed = seen.world.groups.iter().filter(|(_, it)| it.is_managed);
    let managed: BTreeSet<&str> = managed.map(|(name, _)| name.as_str()).collect();
    assert_eq!(managed, BTreeSet::from(["it-000"]));
    // Whether it is managed is asked of all, and instances of every cluster, once.
    assert_eq!(stage.client.count("ecs:DescribeCapacityProviders"), 2);
    assert_eq!(stage.client.count("ecs:ListContainerInstances"), 2);
}

/// The SDK would go round for ever.
#[tokio::test]
async fn tokens_that_go_round_in_a_circle_are_a_gap() {
    let mut over_many = alarm("it", Bell::Busy);
    over_many["EvaluationCriteria"] = json!({"PromQLCriteria": {"Query": "up"}});
    over_many["Dimensions"] = json!([]);
    let none = json!([]);
    let about_many = account(Bell::Busy).always("cloudwatch:DescribeAlarms", move |_| {
        alarms(vec![over_many.clone()])
    });
    for (script, read, list) in [
        (
            account(Bell::Busy),
            "cloudwatch:DescribeAlarms",
            json!({"MetricAlarms": none}),
        ),
        (
            account(Bell::Busy),
            "cloudwatch:ListAlarmMuteRules",
            json!({"AlarmMuteRuleSummaries": none}),
        ),
        (
            about_many,
            "cloudwatch:DescribeAlarmContributors",
            json!({"AlarmContributors": none}),
        ),
        (
            account(Bell::Errors),
            "ecs:ListClusters",
            json!({"clusterArns": none}),
        ),
        (
            account(Bell::Errors),
            "ecs:ListServices",
            json!({"serviceArns": none}),
        ),
        (
            account(Bell::Busy),
            "ecs:ListServiceDeployments",
            json!({"serviceDeployments": none}),
        ),
        (
            account(Bell::Busy),
            "application-autoscaling:DescribeScalableTargets",
            json!({"ScalableTargets": none}),
        ),
        (
            account(Bell::Busy),
            "ecs:ListTasks",
            json!({"taskArns": none}),
        ),
        (
            account(Bell::NoRoom),
            "ecs:DescribeCapacityProviders",
            json!({"capacityProviders": none, "failures": none}),
        ),
        (
            account(Bell::Impaired),
            "ecs:ListContainerInstances",
            json!({"containerInstanceArns": none}),
        ),
    ] {
        let script = script.always(read, move |request| {
            let request = body(request);
            let token = [&request["nextToken"], &request["NextToken"]];
            let next = if token.contains(&&json!("a")) {
                "b"
            } else {
                "a"
            };
            let mut page = list.clone();
            let key = match list.as_object().unwrap().keys().next().unwrap().as_str() {
                key if key.starts_with(char::is_uppercase) => "NextToken",
                _ => "nextToken",
            };
            page[key] = json!(next);
            page
        });
        is_endless(script, read).await;
    }
    let script = account(Bell::NoRoom).always("autoscaling:DescribeAutoScalingGroups", |request| {
        let next =
            field(request, "NextToken").map_or("a", |token| if token == "a" { "b" } else { "a" });
        groups(&[group()], Some(next))
    });
    is_endless(script, "autoscaling:DescribeAutoScalingGroups").await;
    let read = "autoscaling:DescribeAutoScalingInstances";
    let script = account(Bell::Impaired).always(read, |request| {
        let next =
            field(request, "NextToken").map_or("a", |token| if token == "a" { "b" } else { "a" });
        Answer::result(&format!(
            "<AutoScalingInstances/><NextToken>{next}</NextToken>"
        ))
    });
    is_endless(script, read).await;
}

async fn is_endless(script: Scripted, read: &str) {
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    let Some(gap) = seen.gaps.first() else {
        panic!("{read} is no gap");
    };
    assert_eq!(gap.grant, read);
    assert!(
        gap.read.ends_with("the same page comes again and again"),
        "{gap:?}"
    );
    assert_eq!(stage.remedies(&seen), [], "{read}");
}

#[tokio::test]
async fn a_service_with_two_target_groups_is_as_well_as_both() {
    let other = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/green/2";
    let script = account(Bell::Busy)
        .always("ecs:DescribeServices", move |_| {
            let mut service = service();
            let advanced = json!({"alternateTargetGroupArn": other});
            service["loadBalancers"][0]["advancedConfiguration"] = advanced;
            services(vec![service])
        })
        .always(
            "elasticloadbalancing:DescribeTargetHealth",
            move |request| match field(request, "TargetGroupArn").unwrap() == other {
                true => health(&["unhealthy"]),
                false => health(&["healthy", "draining"]),
            },
        );
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    let targets = &seen.world.services["shop/web"].targets;
    assert_eq!((targets.healthy, targets.unhealthy.len()), (1, 1));
    assert_eq!(stage.sent("DescribeTargetHealth").len(), 2);
}

/// Of several scalable targets only that of the service counts.
#[tokio::test]
async fn what_scales_a_service_may_be_on_any_page() {
    let read = "application-autoscaling:DescribeScalableTargets";
    let script = account(Bell::Busy)
        .on(read, json!({"ScalableTargets": [], "NextToken": "2"}))
        .on(read, scalable(3, 8));
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    let scalable = seen.world.services["shop/web"].scalable.unwrap();
    assert_eq!((scalable.min, scalable.max), (3, 8));
}

#[tokio::test]
async fn why_tasks_stopped_is_told_newest_first() {
    let script = account(Bell::Busy)
        .always(
            "ecs:ListTasks",
            |_| json!({"taskArns": [task_arn(0), task_arn(1)]}),
        )
        .always("ecs:DescribeTasks", |request| {
            let all = asked(request, "tasks");
            let stopped = all.iter().enumerate().map(|(n, arn)| {
                let mut task = task(arn);
                task["lastStatus"] = json!("STOPPED");
                task["stopCode"] = json!("EssentialContainerExited");
                task["stoppedReason"] = json!(format!("Essential container {n} exited"));
                task["stoppedAt"] =
                    json!(crate::account::seconds_ago(5 - i64::try_from(n).unwrap()));
                task["containers"] = json!([{"name": "app", "exitCode": 137, "reason": "OOM"}]);
                task
            });
            json!({"tasks": stopped.collect::<Vec<_>>(), "failures": []})
        });
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    let stopped = &seen.world.services["shop/web"].stopped;
    assert_eq!(
        *stopped,
        [
            "EssentialContainerExited: Essential container 1 exited; app exited with 137 (OOM)",
            "EssentialContainerExited: Essential container 0 exited; app exited with 137 (OOM)",
        ]
    );
}
