//! Every listing is read to its end, in pages as large as AWS gives them.

use serde_json::{Value, json};

use crate::script::{
    CLUSTER, REGISTRY, Stage, account, body, digest, image, index, repository, with_cluster,
};

/// The `page`th of three pages: items and, but for the last, a token.
fn page(request: &str, list: &str, items: impl Fn(usize) -> Value) -> Value {
    let page = body(request)["nextToken"]
        .as_str()
        .map_or(0, |token| token.parse::<usize>().unwrap());
    let mut answer = json!({list: items(page)});
    if page < 2 {
        answer["nextToken"] = json!((page + 1).to_string());
    }
    answer
}

fn sizes(stage: &Stage, operation: &str) -> Vec<Value> {
    let sent = stage.sent(operation);
    sent.iter().map(|body| body["maxResults"].clone()).collect()
}

#[tokio::test]
async fn repositories_and_images_come_in_pages_of_a_thousand() {
    let script = account(vec![])
        .always("ecr:DescribeRepositories", |request| {
            page(request, "repositories", |n| {
                json!([repository(&format!("app{n}"))])
            })
        })
        .always("ecr:DescribeImages", |request| {
            page(request, "imageDetails", |n| json!([image(n, &[])]))
        });
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let names: Vec<&String> = seen.world.repositories.keys().collect();
    assert_eq!(names, ["app0", "app1", "app2"]);
    for repository in seen.world.repositories.values() {
        assert_eq!(repository.images.len(), 3);
        assert!(repository.complete);
    }
    assert_eq!(sizes(&stage, "DescribeRepositories"), [1000, 1000, 1000]);
    assert_eq!(sizes(&stage, "DescribeImages"), [1000; 9]);
    for sent in stage.sent("DescribeImages") {
        assert_eq!(sent["filter"], json!({"imageStatus": "ANY"}));
    }
}

#[tokio::test]
async fn a_page_that_fails_leaves_the_rest_and_a_gap() {
    let script = account(vec![])
        .on(
            "ecr:DescribeImages",
            json!({"imageDetails": [image(1, &[])], "nextToken": "more"}),
        )
        .on(
            "ecr:DescribeImages",
            steward_sandbox::faults::Answer::error(400, "InvalidParameterException", "a bad token"),
        );
    let seen = Stage::over(script).await.observe().await;
    assert_eq!(seen.world.repositories["app"].images.len(), 1);
    assert!(!seen.world.repositories["app"].complete);
    assert_eq!(seen.gaps.len(), 1);
    assert!(seen.gaps[0].read.contains("a bad token"), "{:?}", seen.gaps);
    assert_eq!(seen.gaps[0].grant, "ecr:DescribeImages");
    assert!(seen.gaps[0].hides.covers("app") && !seen.gaps[0].hides.covers("other"));
}

#[tokio::test]
async fn a_listing_that_comes_back_to_a_page_is_a_gap_and_ends() {
    for (operation, list, token) in [
        ("ecr:DescribeRepositories", "repositories", "nextToken"),
        ("ecr:DescribeImages", "imageDetails", "nextToken"),
        ("ecs:ListClusters", "clusterArns", "nextToken"),
        ("ecs:ListServices", "serviceArns", "nextToken"),
        ("ecs:ListTaskDefinitions", "taskDefinitionArns", "nextToken"),
        ("lambda:ListFunctions", "Functions", "NextMarker"),
        ("events:ListEventBuses", "EventBuses", "NextToken"),
        ("scheduler:ListSchedules", "Schedules", "NextToken"),
    ] {
        for circle in [&["again", "again"][..], &["there", "back", "there"][..]] {
            let script = circle.iter().fold(
                with_cluster(account(vec![image(1, &[])])),
                |script, next| script.on(operation, json!({list: [], token: next})),
            );
            let seen = Stage::over(script).await.observe().await;
            let mut gaps = seen.gaps.iter();
            let gap = gaps.find(|gap| gap.read.contains("comes again and again"));
            let gap = gap.unwrap_or_else(|| panic!("{operation} {circle:?}: {:?}", seen.gaps));
            assert_eq!(gap.grant, operation, "{circle:?}");
            assert!(gap.hides.covers("app"), "{gap:?}");
        }
    }
}

#[tokio::test]
async fn indexes_are_read_a_hundred_at_a_time() {
    let images: Vec<Value> = (0..250).map(|n| index(n, &[])).collect();
    let script = account(images).always("ecr:BatchGetImage", |request| {
        let ids = body(request)["imageIds"].as_array().unwrap().clone();
        let manifest = json!({"manifests": [{"digest": digest(999)}]}).to_string();
        let images: Vec<Value> = ids
            .iter()
            .map(|id| json!({"imageId": id, "imageManifest": manifest}))
            .collect();
        json!({"images": images, "failures": []})
    });
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let images = &seen.world.repositories["app"].images;
    assert!(images.values().all(|image| image.children.len() == 1));
    let mut asked: Vec<usize> = stage
        .sent("BatchGetImage")
        .iter()
        .map(|sent| sent["imageIds"].as_array().unwrap().len())
        .collect();
    asked.sort_unstable();
    assert_eq!(asked, [50, 100, 100]);
}

#[tokio::test]
async fn clusters_services_and_tasks_come_in_the_largest_pages_and_batches() {
    let script = with_cluster(account(vec![]))
        .always("ecs:ListClusters", |request| {
            page(request, "clusterArns", |n| match n {
                1 => json!([CLUSTER]),
                _ => json!([]),
            })
        })
        .always("ecs:ListServices", |request| {
            page(request, "serviceArns", |n| {
                let arns: Vec<String> = (0..8).map(|m| format!("{CLUSTER}/s{n}{m}")).collect();
                json!(arns)
            })
        })
        .always("ecs:DescribeServices", |request| {
            let arns = body(request)["services"].as_array().unwrap().clone();
            let services: Vec<Value> = arns
                .iter()
                .map(|arn| json!({"serviceArn": arn, "deploymentController": {"type": "EXTERNAL"}}))
                .collect();
            json!({"services": services, "failures": []})
        })
        .always("ecs:ListTasks", |request| {
            let stopped = body(request)["desiredStatus"] == "STOPPED";
            page(request, "taskArns", |n| {
                let count = if stopped { 0 } else { 70 };
                let arns: Vec<String> = (0..count).map(|m| format!("{CLUSTER}/t{n}{m}")).collect();
                json!(arns)
            })
        })
        .always("ecs:DescribeTasks", |request| {
            let arns = body(request)["tasks"].as_array().unwrap().clone();
            let tasks: Vec<Value> = arns
                .iter()
                .map(|arn| {
                    json!({"taskArn": arn, "containers": [
                        {"image": format!("{REGISTRY}/app:v1"), "imageDigest": digest(1)},
                    ]})
                })
                .collect();
            json!({"tasks": tasks, "failures": []})
        });
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.world.uses.len(), 210);
    assert_eq!(sizes(&stage, "ListClusters"), [100; 3]);
    assert_eq!(sizes(&stage, "ListServices"), [100; 3]);
    assert_eq!(sizes(&stage, "ListTasks"), [100; 6]);
    let batches = |operation: &str, list: &str| {
        let sent = stage.sent(operation);
        let mut counts: Vec<usize> = sent
            .iter()
            .map(|sent| sent[list].as_array().unwrap().len())
            .collect();
        counts.sort_unstable();
        counts
    };
    assert_eq!(batches("DescribeServices", "services"), [4, 10, 10]);
    assert_eq!(batches("DescribeTasks", "tasks"), [10, 100, 100]);
}

#[tokio::test]
async fn deployments_and_their_revisions_come_in_the_largest_pages_and_batches() {
    let service = crate::script::with_service(account(vec![]), json!([]))
        .always("ecs:ListServiceDeployments", |request| {
            page(request, "serviceDeployments", |n| {
                let briefs: Vec<Value> = (0..10)
                    .map(|m| {
                        let created = 1_700_000_000 + 100 * n + m;
                        json!({"createdAt": created, "targetServiceRevisionArn": format!("r{n}{m}")})
                    })
                    .collect();
                json!(briefs)
            })
        })
        .always("ecs:DescribeServiceRevisions", |request| {
            let arns = body(request)["serviceRevisionArns"].as_array().unwrap().clone();
            let revisions: Vec<Value> = arns
                .iter()
                .map(|arn| {
                    // Each release of its own, or it would count as a restart.
                    let number = arn.as_str().unwrap()[1..].parse().unwrap_or(99);
                    json!({"serviceRevisionArn": arn, "taskDefinition": crate::script::DEFINITION,
                        "containerImages": [{"containerName": "web",
                            "image": format!("{REGISTRY}/app:v1"), "imageDigest": digest(number)}]})
                })
                .collect();
            json!({"serviceRevisions": revisions, "failures": []})
        });
    let mut stage = Stage::over(service).await;
    stage.policy.in_use.rollback_deployments = 20;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(sizes(&stage, "ListServiceDeployments"), [100; 3]);
    let sent = stage.sent("DescribeServiceRevisions");
    let counts: Vec<usize> = sent
        .iter()
        .map(|sent| sent["serviceRevisionArns"].as_array().unwrap().len())
        .collect();
    // The present one, and the last ones as far as they are wanted, together.
    assert_eq!(counts, [20, 1]);
    let asked = serde_json::to_string(&sent).unwrap();
    assert!(asked.contains("\"r29\"") && asked.contains("\"r10\""));
    assert!(
        !asked.contains("\"r09\""),
        "only the last ones can be rolled back to"
    );
}

#[tokio::test]
async fn the_newest_revisions_of_a_family_are_found_over_pages() {
    let script = account(vec![])
        .always("ecs:ListTaskDefinitions", |request| {
            page(request, "taskDefinitionArns", |n| {
                let newest = 9 - 2 * n;
                json!([format!("family:{newest}"), format!("family:{}", newest - 1)])
            })
        })
        .always("ecs:DescribeTaskDefinition", |request| {
            let arn = body(request)["taskDefinition"].clone();
            json!({"taskDefinition": {"taskDefinitionArn": arn, "containerDefinitions": [
                {"name": "web", "image": format!("{REGISTRY}/app:v1")}]}})
        });
    let mut stage = Stage::over(script).await;
    stage.policy.in_use.revisions_per_family = 3;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(sizes(&stage, "ListTaskDefinitions"), [100; 3]);
    let mut described: Vec<Value> = stage
        .sent("DescribeTaskDefinition")
        .iter()
        .map(|sent| sent["taskDefinition"].clone())
        .collect();
    described.sort_by_key(Value::to_string);
    assert_eq!(described, ["family:7", "family:8", "family:9"]);
    for sent in stage.sent("ListTaskDefinitions") {
        assert_eq!(
            (&sent["sort"], &sent["status"]),
            (&json!("DESC"), &json!("ACTIVE"))
        );
    }
}

#[tokio::test]
async fn functions_come_in_pages_of_fifty_with_every_version() {
    let function = |version: &str| {
        json!({"FunctionName": "thumbnails", "Version": version, "PackageType": "Image",
            "RevisionId": format!("revision {version}")})
    };
    let zip = json!({"FunctionName": "zipped", "Version": "1", "PackageType": "Zip"});
    let script = account(vec![])
        .on(
            "lambda:ListFunctions",
            json!({"Functions": [function("1")], "NextMarker": "a"}),
        )
        .on(
            "lambda:ListFunctions",
            json!({"Functions": [zip], "NextMarker": "b"}),
        )
        .on(
            "lambda:ListFunctions",
            json!({"Functions": [function("2")]}),
        )
        .always("lambda:GetFunction", |_| {
            json!({"Code": {"ImageUri": format!("{REGISTRY}/app:v1"),
                "ResolvedImageUri": format!("{REGISTRY}/app@{}", digest(5))}})
        });
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let users: Vec<&str> = seen
        .world
        .uses
        .iter()
        .map(|used| used.by.name.as_str())
        .collect();
    assert_eq!(users, ["thumbnails:1", "thumbnails:2"]);
    let listings: Vec<String> = stage
        .uris()
        .into_iter()
        .filter(|uri| uri.contains("MaxItems"))
        .collect();
    assert_eq!(listings.len(), 3, "{listings:?}");
    for uri in &listings {
        assert!(
            uri.contains("MaxItems=50") && uri.contains("FunctionVersion=ALL"),
            "{uri}"
        );
    }
    assert!(stage.uris().iter().any(|uri| uri.contains("Qualifier=2")));
}
