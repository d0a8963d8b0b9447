//! Reads that fail, and things that go away between two calls.

use std::collections::BTreeMap;

use serde_json::json;
use steward_sandbox::faults::{Answer, At, Fault, Scripted};

use crate::consumers::{over_restore_points, point, with_daemon, with_rule_and_schedule};
use crate::script::{
    CLUSTER, REGISTRY, SERVICE, Stage, account, digest, elsewhere, image, index, known, pins,
    with_cluster, with_restore_point, with_role, with_service, with_task,
};

/// An account in which every read has something to say.
fn busy() -> Scripted {
    let settled = json!([{"containerName": "web", "image": format!("{REGISTRY}/app:v1")}]);
    let task = json!({"containers": [
        {"image": format!("{REGISTRY}/app:v1"), "imageDigest": digest(1)}]});
    let script = with_task(account(vec![index(1, &["v1"]), image(2, &[])]), task);
    let listing = |request: &str| {
        let running = crate::script::body(request)["desiredStatus"] == "RUNNING";
        json!({"taskArns": if running { vec!["arn/one"] } else { vec![] }})
    };
    let script = with_rule_and_schedule(with_daemon(with_service(script, settled)));
    with_restore_point(
        script,
        point(&format!("{{\"reference\":\"{REGISTRY}/app:v9\"}}")),
    )
    .always("ecs:ListTasks", listing)
    .always("ecs:DescribeDaemonRevisions", |_| {
        json!({"daemonRevisions": [{"daemonRevisionArn": "revision/3",
                "daemonTaskDefinitionArn": "arn/agent:3"}],
                "failures": []})
    })
    .always(
        "ecs:ListDaemonDeployments",
        |_| json!({"daemonDeployments": []}),
    )
    .always("ecs:DescribeDaemonTaskDefinition", |_| {
        json!({"daemonTaskDefinition": {"containerDefinitions": [
                {"image": format!("{REGISTRY}/app:agent")}]}})
    })
    .always("ecr:BatchGetImage", |_| {
        json!({"failures": [], "images": [{"imageId": {"imageDigest": digest(1)},
                "imageManifest": "{\"manifests\":[]}"}]})
    })
    .always(
        "ecs:ListTaskDefinitions",
        |_| json!({"taskDefinitionArns": [crate::script::DEFINITION]}),
    )
    .always(
        "lambda:ListFunctions",
        |_| json!({"Functions": [{"FunctionName": "f", "Version": "1", "PackageType": "Image"}]}),
    )
    .always(
        "lambda:GetFunction",
        |_| json!({"Code": {"ImageUri": format!("{REGISTRY}/app:v1")}}),
    )
}

const READS: [&str; 31] = [
    "ecr:DescribeRepositories",
    "ecr:DescribeRegistry",
    "ecr:GetRegistryPolicy",
    "ecr:GetRepositoryPolicy",
    "ecr:DescribePullThroughCacheRules",
    "ecr:ListTagsForResource",
    "ecr:DescribeImages",
    "ecr:BatchGetImage",
    "ecs:ListClusters",
    "ecs:ListServices",
    "ecs:DescribeServices",
    "ecs:ListServiceDeployments",
    "ecs:DescribeServiceRevisions",
    "ecs:ListTasks",
    "ecs:DescribeTasks",
    "ecs:ListTaskDefinitions",
    "ecs:DescribeTaskDefinition",
    "ecs:ListDaemons",
    "ecs:DescribeDaemon",
    "ecs:ListDaemonDeployments",
    "ecs:DescribeDaemonRevisions",
    "ecs:DescribeDaemonTaskDefinition",
    "events:ListEventBuses",
    "events:ListRules",
    "events:ListTargetsByRule",
    "scheduler:ListSchedules",
    "scheduler:GetSchedule",
    "lambda:ListFunctions",
    "lambda:GetFunction",
    "s3:ListObjectsV2",
    "s3:GetObject",
];

#[tokio::test]
async fn a_throttled_read_is_tried_again() {
    let clean = over_restore_points(busy()).await.observe().await;
    assert_eq!(clean.gaps, []);
    for read in READS {
        let stage = over_restore_points(busy()).await;
        for n in 1..=3 {
            stage.client.add(At::nth(read, n), Fault::Throttle);
        }
        let seen = stage.observe().await;
        assert_eq!(stage.client.unspent(), Vec::<String>::new(), "{read}");
        assert_eq!(seen.gaps, [], "{read}");
        assert_eq!(pins(&seen), pins(&clean), "{read}");
        assert_eq!(known(&seen), known(&clean), "{read}");
    }
}

#[tokio::test]
async fn a_read_that_is_throttled_for_ever_is_a_gap_with_its_permission() {
    for read in READS {
        let stage = over_restore_points(busy()).await;
        stage.client.add(At::every(read), Fault::Throttle);
        // The one permission that is named otherwise than its operation.
        let grant = read.replace("ListObjectsV2", "ListBucket");
        let seen = stage.observe().await;
        assert!(!seen.gaps.is_empty(), "{read}");
        for gap in &seen.gaps {
            assert_eq!(gap.grant, grant, "{gap:?}");
            assert!(gap.read.contains(read), "{gap:?}");
            assert!(gap.hides.covers("app"), "{gap:?}");
            let of_the_registry = [
                "ecr:DescribeRepositories",
                "ecr:DescribeRegistry",
                "ecr:GetRegistryPolicy",
            ];
            let everywhere = !read.starts_with("ecr:") || of_the_registry.contains(&read);
            assert_eq!(gap.hides.covers("other"), everywhere, "{gap:?}");
        }
        assert!(
            stage.client.count(read) >= 6,
            "{read} was given up too soon"
        );
    }
}

#[tokio::test]
async fn whatever_happens_to_a_call_all_users_are_seen_or_there_is_a_gap() {
    let everywhere = async || {
        let mut stage = over_restore_points(with_role(busy())).await;
        stage.policy.in_use.elsewhere = elsewhere(&["us-east-1"]);
        stage
    };
    let stage = everywhere().await;
    let clean = stage.observe().await;
    assert_eq!(clean.gaps, []);
    let calls = stage.client.calls();
    let faults = [
        Fault::Throttle,
        Fault::LostAnswer,
        Fault::Deny,
        Fault::error(500, "InternalFailure"),
        Fault::EmptyAnswer,
        Fault::TruncatedAnswer,
    ];
    for fault in &faults {
        let mut nth: BTreeMap<String, usize> = BTreeMap::new();
        for call in &calls {
            let n = nth.entry(call.action()).or_default();
            *n += 1;
            let stage = everywhere().await;
            stage.client.add(At::nth(&call.action(), *n), fault.clone());
            let seen = stage.observe().await;
            let at = format!("{fault:?} at {} number {n}", call.action());
            assert_eq!(stage.client.unspent(), Vec::<String>::new(), "{at}");
            if seen.gaps.is_empty() {
                assert_eq!(pins(&seen), pins(&clean), "{at}");
                assert_eq!(known(&seen), known(&clean), "{at}");
            }
            assert!(seen.gaps.iter().all(|gap| gap.hides.covers("app")), "{at}");
        }
    }
    assert!(calls.len() > 40, "{}", calls.len());
}

#[tokio::test]
async fn a_repository_that_is_deleted_between_two_calls_is_left_out() {
    for operation in ["ecr:ListTagsForResource", "ecr:DescribeImages"] {
        let script = account(vec![image(1, &[])]).always(operation, |_| {
            Answer::error(
                400,
                "RepositoryNotFoundException",
                "The repository does not exist.",
            )
        });
        let seen = Stage::over(script).await.observe().await;
        assert_eq!(seen.gaps, [], "{operation}");
        assert!(seen.world.repositories.is_empty(), "{operation}");
    }
}

#[tokio::test]
async fn an_index_that_is_not_found_between_two_calls_is_a_gap() {
    let script = account(vec![index(1, &[]), image(2, &[])]).always("ecr:BatchGetImage", |_| {
        json!({"images": [], "failures": [
            {"imageId": {"imageDigest": digest(1)}, "failureCode": "ImageNotFound"}]})
    });
    let seen = Stage::over(script).await.observe().await;
    // It was listed a moment ago; the next run knows whether it is gone.
    assert_eq!(seen.gaps.len(), 1);
    assert_eq!(known(&seen), [digest(1), digest(2)]);
}

#[tokio::test]
async fn a_failure_of_an_index_that_is_new_to_us_is_a_gap() {
    for failure in [
        json!({"imageId": {"imageDigest": digest(1)}, "failureCode": "SomethingElse"}),
        json!({"imageId": {"imageDigest": digest(1)}}),
        json!({"failureCode": "ImageNotFound"}),
    ] {
        let script = account(vec![index(1, &[])]).always(
            "ecr:BatchGetImage",
            move |_| json!({"images": [], "failures": [failure]}),
        );
        let seen = Stage::over(script).await.observe().await;
        assert_eq!(seen.gaps.len(), 1);
        assert_eq!(known(&seen), [digest(1)]);
    }
}

#[tokio::test]
async fn a_cluster_that_is_deleted_between_two_calls_uses_nothing() {
    for operation in [
        "ecs:ListServices",
        "ecs:DescribeServices",
        "ecs:ListTasks",
        "ecs:DescribeTasks",
    ] {
        let script = busy().always(operation, |_| {
            Answer::error(400, "ClusterNotFoundException", "Cluster not found.")
        });
        let seen = Stage::over(script).await.observe().await;
        assert_eq!(seen.gaps, [], "{operation}");
    }
}

#[tokio::test]
async fn a_service_or_function_that_is_deleted_between_two_calls_uses_nothing() {
    for (operation, code) in [
        ("ecs:ListServiceDeployments", "ServiceNotFoundException"),
        ("ecs:ListServiceDeployments", "ClusterNotFoundException"),
        ("lambda:GetFunction", "ResourceNotFoundException"),
    ] {
        let script = busy().always(operation, move |_| Answer::error(404, code, "gone"));
        let seen = Stage::over(script).await.observe().await;
        assert_eq!(seen.gaps, [], "{operation}");
    }
}

#[tokio::test]
async fn missing_is_gone_and_every_other_reason_is_a_gap() {
    for (operation, list) in [
        ("ecs:DescribeTasks", "tasks"),
        ("ecs:DescribeServices", "services"),
        ("ecs:DescribeServiceRevisions", "serviceRevisions"),
    ] {
        for (failure, gaps) in [
            (json!({"arn": "arn/one", "reason": "MISSING"}), 0),
            (json!({"arn": "arn/one", "reason": "ACCESS_DENIED"}), 1),
            (json!({"arn": "arn/one"}), 1),
            (json!({}), 1),
        ] {
            let answer = json!({list: [], "failures": [failure]});
            let script = busy().always(operation, move |_| answer.clone());
            let seen = Stage::over(script).await.observe().await;
            assert_eq!(
                seen.gaps.len(),
                gaps,
                "{operation} {failure}: {:?}",
                seen.gaps
            );
            assert!(seen.gaps.iter().all(|gap| gap.grant == operation));
        }
    }
}

#[tokio::test]
async fn a_service_with_an_arn_of_the_old_format_is_asked_about_in_its_cluster() {
    // Before 2018 the ARN of a service did not name its cluster ("Amazon
    // Resource Names (ARNs) and IDs", Amazon ECS Developer Guide).
    let old = SERVICE.replace("service/shop/web", "service/web");
    let asked = old.clone();
    let script = with_service(with_cluster(account(vec![])), json!([]))
        .always("ecs:ListServices", move |_| json!({"serviceArns": [old]}))
        .always(
            "ecs:DescribeServices",
            move |_| json!({"failures": [], "services": [{"serviceArn": asked}]}),
        );
    let stage = Stage::over(script).await;
    assert_eq!(stage.observe().await.gaps, []);
    assert_eq!(
        stage.sent("ListServiceDeployments")[0]["cluster"],
        json!(CLUSTER)
    );
}
