//! Rules, schedules, daemons, restore points and consumers elsewhere, call by
//! call.

use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, At, Fault, Scripted};

use crate::script::{
    CLUSTER, REGISTRY, Stage, account, body, digest, pins, with_cluster, with_restore_point,
    with_role,
};

const JOB: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/job";

/// One rule that starts `job:3` and one schedule that starts `job:4`, none of
/// them the newest revision.
fn starting() -> Scripted {
    with_rule_and_schedule(account(vec![]))
        .always(
            "ecs:ListTaskDefinitions",
            |_| json!({"taskDefinitionArns": [format!("{JOB}:9")]}),
        )
        .always("ecs:DescribeTaskDefinition", |request| {
            let asked = body(request)["taskDefinition"].as_str().unwrap().to_owned();
            let tag = asked.rsplit(':').next().unwrap().to_owned();
            json!({"taskDefinition": {"containerDefinitions": [
                {"name": "job", "image": format!("{REGISTRY}/app:{tag}")}]}})
        })
}

/// With a rule that starts `job:3` and a schedule that starts `job:4`.
pub(crate) fn with_rule_and_schedule(script: Scripted) -> Scripted {
    script
        .always(
            "events:ListEventBuses",
            |_| json!({"EventBuses": [{"Name": "default"}]}),
        )
        .always(
            "events:ListRules",
            |_| json!({"Rules": [{"Name": "night"}]}),
        )
        .always(
            "events:ListTargetsByRule",
            |_| json!({"Targets": [target(&format!("{JOB}:3"))]}),
        )
        .always(
            "scheduler:ListSchedules",
            |_| json!({"Schedules": [summary("night", CLUSTER, 1)]}),
        )
        .always("scheduler:GetSchedule", |_| {
            schedule(&format!("{JOB}:4"), 1)
        })
}

fn target(definition: &str) -> Value {
    json!({"Id": "1", "Arn": CLUSTER, "EcsParameters": {"TaskDefinitionArn": definition}})
}

fn summary(name: &str, target: &str, modified: u32) -> Value {
    json!({"Name": name, "GroupName": "default", "Target": {"Arn": target},
        "Arn": format!("arn:aws:scheduler:eu-west-1:123456789012:schedule/default/{name}"),
        "LastModificationDate": modified})
}

fn schedule(definition: &str, modified: u32) -> Value {
    json!({"LastModificationDate": modified, "Target": {"Arn": CLUSTER,
        "RoleArn": "arn", "EcsParameters": {"TaskDefinitionArn": definition}}})
}

/// Which of the newest revision, the rule's and the schedule's are seen.
const ALL: [&str; 3] = [
    r#"in_task_definition Tag("9")"#,
    r#"started_by_rule Tag("3")"#,
    r#"started_by_schedule Tag("4")"#,
];

fn sorted(mut pins: Vec<String>) -> Vec<String> {
    pins.sort();
    pins
}

#[tokio::test]
async fn rules_and_schedules_start_what_their_definitions_name() {
    let stage = Stage::over(starting()).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(sorted(pins(&seen)), ALL);
    let users: Vec<String> = seen.world.uses.iter().map(|u| u.by.to_string()).collect();
    assert!(users.contains(&"started by rule night (event bus default)".to_owned()));
    assert!(users.contains(&"started by schedule default/night".to_owned()));
}

#[tokio::test]
async fn what_is_started_is_described_once_and_a_schedule_is_read_once() {
    let script = starting().always("events:ListTargetsByRule", |_| {
        json!({"Targets": [target(&format!("{JOB}:9")), target(&format!("{JOB}:4")),
            target(&format!("{JOB}:4")), target(JOB)]})
    });
    let stage = Stage::over(script).await;
    for _ in 0..3 {
        assert_eq!(stage.observe().await.gaps, []);
    }
    // Revisions 9 and 4, whoever names them and however often.
    assert_eq!(stage.client.count("ecs:DescribeTaskDefinition"), 2);
    assert_eq!(stage.client.count("scheduler:GetSchedule"), 1);
    assert_eq!(stage.client.count("events:ListTargetsByRule"), 3);
}

#[tokio::test]
async fn a_schedule_that_was_modified_is_read_again() {
    let script = starting()
        .on(
            "scheduler:ListSchedules",
            json!({"Schedules": [summary("night", CLUSTER, 1)]}),
        )
        .always(
            "scheduler:ListSchedules",
            |_| json!({"Schedules": [summary("night", CLUSTER, 2)]}),
        )
        .on("scheduler:GetSchedule", schedule(&format!("{JOB}:4"), 1))
        // Modified once more between the listing and the answer: not kept.
        .on("scheduler:GetSchedule", schedule(&format!("{JOB}:5"), 3))
        .always("scheduler:GetSchedule", |_| {
            schedule(&format!("{JOB}:6"), 2)
        });
    let stage = Stage::over(script).await;
    for revision in [4, 5, 6, 6] {
        let pins = pins(&stage.observe().await);
        let expected = format!("started_by_schedule Tag(\"{revision}\")");
        assert!(pins.contains(&expected), "{expected}: {pins:?}");
    }
    assert_eq!(stage.client.count("scheduler:GetSchedule"), 3);
}

#[tokio::test]
async fn buses_rules_targets_and_schedules_come_in_pages_of_a_hundred() {
    let page = |request: &str, list: &str, item: fn(usize) -> Value| {
        let page = body(request)["NextToken"].as_str().map_or(0, |_| 1);
        let mut answer = json!({list: [item(page)]});
        if page == 0 {
            answer["NextToken"] = json!("more");
        }
        answer
    };
    let script = starting()
        .always("events:ListEventBuses", move |request| {
            page(
                request,
                "EventBuses",
                |n| json!({"Name": format!("bus{n}")}),
            )
        })
        .always("events:ListRules", move |request| {
            page(request, "Rules", |n| json!({"Name": format!("rule{n}")}))
        })
        .always("events:ListTargetsByRule", move |request| {
            page(request, "Targets", |n| target(&format!("{JOB}:{n}")))
        })
        .on(
            "scheduler:ListSchedules",
            json!({"Schedules": [summary("a", CLUSTER, 1)], "NextToken": "more"}),
        )
        .on(
            "scheduler:ListSchedules",
            json!({"Schedules": [summary("b", CLUSTER, 1)]}),
        );
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let started = |kind: &str| {
        let pins = pins(&seen);
        pins.iter().filter(|pin| pin.starts_with(kind)).count()
    };
    // Two rules on each of two buses, with a target of each revision.
    assert_eq!(started("started_by_rule"), 8);
    assert_eq!(started("started_by_schedule"), 2);
    for (operation, calls) in [
        ("ListEventBuses", 2),
        ("ListRules", 4),
        ("ListTargetsByRule", 8),
    ] {
        let sent = stage.sent(operation);
        assert_eq!(sent.len(), calls, "{operation}");
        assert!(sent.iter().all(|sent| sent["Limit"] == 100), "{sent:?}");
    }
    let uris = stage.uris();
    let listings = uris.iter().filter(|uri| uri.contains("/schedules?"));
    assert!(listings.clone().all(|uri| uri.contains("MaxResults=100")));
    assert_eq!(listings.count(), 2);
}

#[tokio::test]
async fn only_schedules_that_have_to_do_with_tasks_are_read() {
    let script = starting().always("scheduler:ListSchedules", |_| {
        let mut silent = summary("silent", "", 1);
        silent.as_object_mut().unwrap().remove("Target");
        json!({"Schedules": [
            summary("queue", "arn:aws:sqs:eu-west-1:123456789012:jobs", 1),
            summary("other", "arn:aws:scheduler:::aws-sdk:rds:stopDBInstance", 1),
            summary("call", "arn:aws:scheduler:::aws-sdk:ecs:runTask", 1),
            summary("night", CLUSTER, 1),
            silent,
        ]})
    });
    let stage = Stage::over(script).await;
    assert_eq!(stage.observe().await.gaps, []);
    let uris = stage.uris();
    let read: Vec<&str> = uris
        .iter()
        .filter_map(|uri| uri.split("/schedules/").nth(1)?.split('?').next())
        .collect();
    assert_eq!(
        sorted(read.into_iter().map(str::to_owned).collect()),
        ["call", "night", "silent"]
    );
}

/// The one gap that hides everything.
async fn gap_of(script: Scripted) -> steward::engine::Gap {
    let mut seen = Stage::over(script).await.observe().await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    let gap = seen.gaps.remove(0);
    assert!(gap.hides.covers("app") && gap.hides.covers("other"));
    gap
}

#[tokio::test]
async fn what_a_rule_or_schedule_leaves_out_is_a_gap() {
    for (operation, answer) in [
        ("events:ListEventBuses", json!({})),
        ("events:ListEventBuses", json!({"EventBuses": [{}]})),
        ("events:ListRules", json!({})),
        ("events:ListRules", json!({"Rules": [{}]})),
        ("events:ListTargetsByRule", json!({})),
        (
            "events:ListTargetsByRule",
            json!({"Targets": [{"Id": "1", "Arn": CLUSTER}]}),
        ),
        (
            "events:ListTargetsByRule",
            json!({"Targets": [{"Id": "1", "Arn": CLUSTER, "EcsParameters": {}}]}),
        ),
        (
            "events:ListTargetsByRule",
            json!({"Targets": [], "NextToken": "again"}),
        ),
        ("scheduler:ListSchedules", json!({})),
        ("scheduler:ListSchedules", json!({"Schedules": null})),
        ("scheduler:GetSchedule", json!({})),
        ("scheduler:GetSchedule", json!({"Target": {}})),
        ("scheduler:GetSchedule", json!({"Target": {"Arn": CLUSTER}})),
        (
            "scheduler:GetSchedule",
            json!({"Target": {"Arn": CLUSTER, "EcsParameters": {}}}),
        ),
        (
            "scheduler:GetSchedule",
            json!({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:ecs:runTask",
                "Input": "not JSON: hunter2"}}),
        ),
    ] {
        let told = answer.to_string();
        let gap = gap_of(starting().always(operation, move |_| answer.clone())).await;
        assert_eq!(gap.grant, operation, "{told}: {gap:?}");
        assert!(gap.read.starts_with(operation), "{told}: {gap:?}");
        assert!(!gap.read.contains("hunter2"), "{gap:?}");
    }
}

#[tokio::test]
async fn what_is_deleted_between_two_calls_starts_nothing() {
    for operation in [
        "events:ListRules",
        "events:ListTargetsByRule",
        "scheduler:GetSchedule",
    ] {
        let script = starting().always(operation, |_| {
            Answer::error(404, "ResourceNotFoundException", "gone")
        });
        let seen = Stage::over(script).await.observe().await;
        assert_eq!(seen.gaps, [], "{operation}");
        assert!(!pins(&seen).is_empty(), "{operation}");
    }
    // Neither does a definition that was deleted.
    let script = starting().always("ecs:DescribeTaskDefinition", |request| {
        match body(request)["taskDefinition"].as_str() {
            Some(arn) if arn.ends_with(":9") => Answer::Json(json!({"taskDefinition": {
                "containerDefinitions": [{"image": format!("{REGISTRY}/app:9")}]}})),
            _ => Answer::error(
                400,
                "ClientException",
                "Unable to describe task definition.",
            ),
        }
    });
    let seen = Stage::over(script).await.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(pins(&seen), [ALL[0]]);
}

const DAEMON: &str = "arn:aws:ecs:eu-west-1:123456789012:daemon/shop/agent";

fn daemon_revision(n: usize, images: Value) -> Value {
    json!({"daemonRevisionArn": format!("revision/{n}"), "containerImages": images,
        "daemonTaskDefinitionArn": format!("arn/agent:{n}")})
}

fn told(n: usize) -> Value {
    json!([{"containerName": "agent", "image": format!("{REGISTRY}/app@{}", digest(n)),
        "imageDigest": digest(n)}])
}

/// A daemon at revision 3, which had 2 (twice) and 1 before.
fn a_daemon() -> Scripted {
    with_daemon(with_cluster(account(vec![])))
}

/// The same in an account that has the cluster.
pub(crate) fn with_daemon(script: Scripted) -> Scripted {
    script
        .always("ecs:ListDaemons", |_| {
            json!({"daemonSummariesList": [{"daemonArn": DAEMON}]})
        })
        .always("ecs:DescribeDaemon", |_| {
            json!({"daemon": {"daemonArn": DAEMON, "currentRevisions": [{"arn": "revision/3"}]}})
        })
        .always("ecs:ListDaemonDeployments", |_| {
            let deployment = |n: usize, status: &str, at: u32| {
                json!({"targetDaemonRevisionArn": format!("revision/{n}"), "status": status,
                    "createdAt": at})
            };
            json!({"daemonDeployments": [
                deployment(1, "SUCCESSFUL", 100),
                deployment(3, "SUCCESSFUL", 500),
                deployment(2, "SUCCESSFUL", 200),
                deployment(7, "STOPPED", 400),
                deployment(2, "SUCCESSFUL", 300),
            ]})
        })
        .always("ecs:DescribeDaemonRevisions", |request| {
            let arns = body(request)["daemonRevisionArns"].clone();
            let revisions: Vec<Value> = arns.as_array().unwrap().iter()
                .map(|arn| {
                    let n = arn.as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap();
                    daemon_revision(n, told(n))
                })
                .collect();
            json!({"daemonRevisions": revisions, "failures": []})
        })
}

#[tokio::test]
async fn a_daemon_keeps_its_present_release_and_the_last_before() {
    let mut stage = Stage::over(a_daemon()).await;
    stage.policy.in_use.rollback_deployments = 1;
    for _ in 0..2 {
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, []);
        let images = [2, 3].map(|n| format!("in_use_by_daemon Digest(Digest(\"{}\"))", digest(n)));
        assert_eq!(sorted(pins(&seen)), images);
    }
    // Each revision was described once.
    let described: usize = stage
        .sent("DescribeDaemonRevisions")
        .iter()
        .map(|sent| sent["daemonRevisionArns"].as_array().unwrap().len())
        .sum();
    assert_eq!(described, 3, "3, 2 and 1");
    assert_eq!(stage.sent("ListDaemons")[0]["clusterArn"], CLUSTER);
}

#[tokio::test]
async fn a_daemon_whose_digest_is_not_recorded_keeps_what_its_tag_names() {
    for images in [
        json!([]),
        json!([{"containerName": "agent"}]),
        json!([{"containerName": "agent", "image": format!("{REGISTRY}/app:stable")}]),
    ] {
        let script = a_daemon()
            .always("ecs:ListDaemonDeployments", |_| json!({"daemonDeployments": []}))
            .always("ecs:DescribeDaemonRevisions", move |_| {
                json!({"daemonRevisions": [daemon_revision(3, images.clone())], "failures": []})
            })
            .always("ecs:DescribeDaemonTaskDefinition", |_| {
                json!({"daemonTaskDefinition": {"containerDefinitions": [
                    {"image": format!("{REGISTRY}/app:stable")}]}})
            });
        let stage = Stage::over(script).await;
        for _ in 0..2 {
            let seen = stage.observe().await;
            assert_eq!(seen.gaps, []);
            assert_eq!(pins(&seen), [r#"in_use_by_daemon Tag("stable")"#]);
        }
        // It is asked about again until its digests are there.
        assert_eq!(stage.client.count("ecs:DescribeDaemonRevisions"), 2);
        assert_eq!(
            stage.sent("DescribeDaemonTaskDefinition")[0],
            json!({"daemonTaskDefinition": "arn/agent:3"})
        );
    }
}

#[tokio::test]
async fn a_region_without_managed_daemons_has_none() {
    for code in ["UnsupportedFeatureException", "UnknownOperationException"] {
        let script = a_daemon().always("ecs:ListDaemons", move |_| Answer::error(400, code, "no"));
        let seen = Stage::over(script).await.observe().await;
        assert_eq!(seen.gaps, [], "{code}");
        assert_eq!(pins(&seen), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_daemon_that_is_deleted_between_two_calls_runs_nothing() {
    for (operation, code) in [
        ("ecs:ListDaemons", "ClusterNotFoundException"),
        ("ecs:DescribeDaemon", "DaemonNotFoundException"),
        ("ecs:DescribeDaemon", "ClusterNotFoundException"),
    ] {
        let script = a_daemon().always(operation, move |_| Answer::error(400, code, "gone"));
        assert_eq!(
            Stage::over(script).await.observe().await.gaps,
            [],
            "{operation}"
        );
    }
}

#[tokio::test]
async fn what_a_daemon_leaves_out_is_a_gap() {
    let silent = json!({"daemonRevisions": [daemon_revision(3, json!([]))], "failures": []});
    for (operation, answer) in [
        ("ecs:ListDaemons", json!({})),
        ("ecs:DescribeDaemon", json!({})),
        ("ecs:ListDaemonDeployments", json!({})),
        ("ecs:DescribeDaemonRevisions", json!({})),
        (
            "ecs:DescribeDaemonRevisions",
            json!({"failures": [{"arn": "revision/3", "reason": "ACCESS_DENIED"}]}),
        ),
        (
            "ecs:DescribeDaemonRevisions",
            json!({"failures": [{"arn": "revision/3", "reason": "MISSING"}]}),
        ),
        ("ecs:DescribeDaemonTaskDefinition", json!({})),
        (
            "ecs:DescribeDaemonTaskDefinition",
            json!({"daemonTaskDefinition": {"containerDefinitions": []}}),
        ),
    ] {
        let mut script = a_daemon();
        if operation == "ecs:DescribeDaemonTaskDefinition" {
            let silent = silent.clone();
            script = script.always("ecs:DescribeDaemonRevisions", move |_| silent.clone());
        }
        let told = answer.to_string();
        let gap = gap_of(script.always(operation, move |_| answer.clone())).await;
        assert_eq!(gap.grant, operation, "{told}: {gap:?}");
        assert!(gap.read.starts_with(operation), "{told}: {gap:?}");
    }
    let script = a_daemon()
        .always(
            "ecs:DescribeDaemon",
            |_| json!({"daemon": {"daemonArn": DAEMON}}),
        )
        .always(
            "ecs:ListDaemonDeployments",
            |_| json!({"daemonDeployments": []}),
        );
    let gap = gap_of(script).await;
    assert!(gap.read.contains("has a revision"), "{gap:?}");
}

pub(crate) async fn over_restore_points(script: Scripted) -> Stage {
    let mut stage = Stage::over(script).await;
    stage.policy.in_use.restore_points = vec!["s3://points/shop/".to_owned()];
    stage
}

pub(crate) fn point(images: &str) -> String {
    format!(r#"{{"schema_version":1,"kind":"restore_point","images":[{images}],"a":"hunter2"}}"#)
}

#[tokio::test]
async fn restore_points_come_in_pages_of_a_thousand_and_only_json_is_fetched() {
    let reference = format!(r#"{{"reference":"{REGISTRY}/app@{}"}}"#, digest(1));
    let listing = |key: &str, next: &str| {
        let more = match next.is_empty() {
            true => "<IsTruncated>false</IsTruncated>".to_owned(),
            false => format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>"
            ),
        };
        let contents = format!("<Contents><Key>{key}</Key><Size>90</Size></Contents>");
        let page =
            format!("<ListBucketResult><KeyCount>1</KeyCount>{more}{contents}</ListBucketResult>");
        Answer::Body(page.into_bytes())
    };
    let document = point(&reference);
    let script = account(vec![])
        .always("s3:GetObject", move |_| {
            Answer::Body(document.clone().into_bytes())
        })
        .on("s3:ListObjectsV2", listing("shop/a.json", "more"))
        .on("s3:ListObjectsV2", listing("shop/notes.txt", "last"))
        .on("s3:ListObjectsV2", listing("shop/b.json", ""));
    let stage = over_restore_points(script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.warnings, Vec::<String>::new());
    let users: Vec<&str> = seen.world.uses.iter().map(|u| u.by.name.as_str()).collect();
    assert_eq!(
        users,
        ["s3://points/shop/a.json", "s3://points/shop/b.json"]
    );
    assert_eq!(stage.client.count("s3:GetObject"), 2);
    let uris = stage.uris();
    let listings = uris.iter().filter(|uri| uri.contains("list-type=2"));
    for uri in listings.clone() {
        assert!(
            uri.contains("prefix=shop%2F") && uri.contains("max-keys=1000"),
            "{uri}"
        );
    }
    assert_eq!(listings.count(), 3);
}

#[tokio::test]
async fn a_tag_in_a_restore_point_may_be_any_image() {
    let stage = over_restore_points(with_restore_point(
        account(vec![]),
        point(&format!(r#"{{"reference":"{REGISTRY}/app:v1"}}"#)),
    ))
    .await;
    let seen = stage.observe().await;
    assert_eq!(pins(&seen), [r#"named_by_restore_point WasTag("v1")"#]);
    assert!(
        seen.warnings[0].contains("kept whole")
            && seen.warnings[0].contains("write the reference in that document with its digest")
            && !seen.warnings[0].contains("deploy"),
        "{:?}",
        seen.warnings
    );
}

#[tokio::test]
async fn a_restore_point_that_cannot_be_read_is_a_gap_that_quotes_nothing() {
    for (operation, answer, problem) in [
        (
            "s3:ListObjectsV2",
            Answer::Body(b"<ListBucketResult/>".to_vec()),
            "no list",
        ),
        (
            "s3:ListObjectsV2",
            Answer::error(403, "AccessDenied", "no"),
            "AccessDenied",
        ),
        (
            "s3:ListObjectsV2",
            Answer::error(404, "NoSuchBucket", "no"),
            "NoSuchBucket",
        ),
        (
            "s3:GetObject",
            Answer::error(403, "AccessDenied", "no"),
            "AccessDenied",
        ),
        (
            "s3:GetObject",
            Answer::error(403, "InvalidObjectState", "no"),
            "InvalidObjectState",
        ),
        ("s3:GetObject", Answer::Body(vec![]), "line 1"),
        ("s3:GetObject", Answer::Body(b"\xff\xfe".to_vec()), "UTF-8"),
        (
            "s3:GetObject",
            Answer::Body(br#"{"a":"hunter2"}"#.to_vec()),
            "schema_version",
        ),
        (
            "s3:GetObject",
            Answer::Body(b"hunter2".to_vec()),
            "line 1, column 1",
        ),
        (
            "s3:GetObject",
            Answer::Body(point(r#"{"reference":"hunter2.dkr.ecr.x/y"}"#).into_bytes()),
            "images[0].reference",
        ),
    ] {
        let grant = operation.replace("ListObjectsV2", "ListBucket");
        let script = with_restore_point(account(vec![]), point(""));
        let script = script.always(operation, move |_| answer.clone());
        let seen = over_restore_points(script).await.observe().await;
        assert_eq!(seen.gaps.len(), 1, "{problem}: {:?}", seen.gaps);
        let gap = &seen.gaps[0];
        assert!(
            gap.read.contains(problem) && gap.read.contains(operation),
            "{gap:?}"
        );
        assert!(gap.read.contains("s3://points/shop/"), "{gap:?}");
        assert!(!format!("{seen:?}").contains("hunter2"), "{gap:?}");
        assert_eq!(gap.grant, grant);
        assert!(gap.hides.covers("app") && gap.hides.covers("other"));
    }
}

#[tokio::test]
async fn a_restore_point_that_goes_between_two_calls_names_nothing() {
    let script = with_restore_point(account(vec![]), point(""))
        .always("s3:GetObject", |_| Answer::error(404, "NoSuchKey", "gone"));
    let seen = over_restore_points(script).await.observe().await;
    assert_eq!((seen.gaps, seen.warnings), (vec![], vec![]));
}

#[tokio::test]
async fn a_restore_point_that_is_too_large_is_not_fetched() {
    let script = with_restore_point(account(vec![]), point("")).always("s3:ListObjectsV2", |_| {
        Answer::Body(
            b"<ListBucketResult><KeyCount>1</KeyCount><Contents><Key>shop/a.json</Key>\
              <Size>5000000</Size></Contents></ListBucketResult>"
                .to_vec(),
        )
    });
    let stage = over_restore_points(script).await;
    let seen = stage.observe().await;
    assert!(seen.gaps[0].read.contains("larger than"), "{:?}", seen.gaps);
    assert_eq!(stage.client.count("s3:GetObject"), 0);
}

#[tokio::test]
async fn one_session_serves_every_region_and_client_of_a_role() {
    let mut stage = Stage::over(with_role(starting())).await;
    stage.policy.in_use.elsewhere = crate::script::elsewhere(&["us-east-1", "us-west-2"]);
    for _ in 0..2 {
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, []);
        let of = |place: &str| {
            let uses = seen.world.uses.iter();
            uses.filter(|used| used.by.name.ends_with(place)).count()
        };
        assert_eq!(of(" in 222222222222/us-east-1"), 3);
        assert_eq!(of(" in 222222222222/us-west-2"), 3);
        assert_eq!(seen.world.uses.len(), 9);
    }
    assert_eq!(stage.client.count("sts:AssumeRole"), 1);
    let calls = stage.client.calls();
    let regions = |operation: &str| {
        let calls = calls.iter().filter(|call| call.is(operation));
        let mut regions: Vec<&str> = calls.filter_map(|call| call.region.as_deref()).collect();
        regions.sort_unstable();
        regions.dedup();
        regions
    };
    for operation in [
        "ecs:ListClusters",
        "lambda:ListFunctions",
        "events:ListRules",
    ] {
        assert_eq!(regions(operation), ["eu-west-1", "us-east-1", "us-west-2"]);
    }
    // STS is asked where we are.
    assert_eq!(regions("sts:AssumeRole"), ["eu-west-1"]);
    assert_eq!(stage.client.count("ecr:DescribeRepositories"), 2);
}

#[tokio::test]
async fn a_role_that_could_not_be_assumed_is_tried_again_next_time() {
    let mut stage = Stage::over(with_role(starting())).await;
    stage.policy.in_use.elsewhere = crate::script::elsewhere(&["us-east-1"]);
    stage.client.add(At::nth("sts:AssumeRole", 1), Fault::Deny);
    let seen = stage.observe().await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    assert!(
        seen.gaps[0]
            .grant
            .starts_with("sts:AssumeRole on arn:aws:iam::222222222222:role/")
    );
    assert!(seen.gaps[0].hides.covers("anything"));
    assert_eq!(stage.observe().await.gaps, []);
}
