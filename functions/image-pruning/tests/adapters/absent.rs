//! Absent is not false: what a field would have said is not assumed.

use image_pruning::{Digest, Storage};
use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, Scripted};

use crate::script::{
    DEFINITION, REGISTRY, Stage, account, digest, image, index, pins, with_cluster, with_service,
    with_task,
};

/// What hides everything, and why.
async fn gap_of(script: Scripted) -> String {
    let seen = Stage::over(script).await.observe().await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    seen.gaps[0].read.clone()
}

#[tokio::test]
async fn an_image_without_digest_makes_its_repository_incomplete() {
    let mut odd = image(1, &["v1"]);
    odd.as_object_mut().unwrap().remove("imageDigest");
    let stage = Stage::over(account(vec![odd, image(2, &[])])).await;
    let seen = stage.observe().await;
    assert!(!seen.world.repositories["app"].complete);
    assert!(seen.gaps[0].read.contains("no digest"), "{:?}", seen.gaps);
    assert!(seen.gaps[0].hides.covers("app"));
}

#[tokio::test]
async fn an_image_without_push_time_has_none() {
    let mut odd = image(1, &["v1"]);
    odd.as_object_mut().unwrap().remove("imagePushedAt");
    let seen = Stage::over(account(vec![odd])).await.observe().await;
    assert_eq!(seen.gaps, []);
    let images = &seen.world.repositories["app"].images;
    assert_eq!(images[&Digest::new(digest(1))].pushed_at, None);
}

#[tokio::test]
async fn a_status_that_is_new_to_us_counts_as_archived() {
    let mut odd = image(1, &["v1"]);
    odd["imageStatus"] = json!("FROZEN_SOLID");
    let seen = Stage::over(account(vec![odd, image(2, &[])]))
        .await
        .observe()
        .await;
    let images = &seen.world.repositories["app"].images;
    assert_eq!(images[&Digest::new(digest(1))].storage, Storage::Moving);
    assert_eq!(images[&Digest::new(digest(2))].storage, Storage::Standard);
}

/// An image whose media type ECR does not tell, and what its manifest says.
async fn children_without_media_type(manifest: &str) -> Result<Vec<Digest>, String> {
    let mut odd = image(1, &["v1"]);
    odd.as_object_mut()
        .unwrap()
        .remove("imageManifestMediaType");
    children(odd, manifest).await
}

async fn children(image: Value, manifest: &str) -> Result<Vec<Digest>, String> {
    let manifest = manifest.to_owned();
    let script = account(vec![image]).always("ecr:BatchGetImage", move |_| {
        json!({"failures": [], "images": [
            {"imageId": {"imageDigest": digest(1)}, "imageManifest": manifest}]})
    });
    let seen = Stage::over(script).await.observe().await;
    match seen.gaps.first() {
        Some(gap) => {
            assert!(gap.hides.covers("app") && !gap.hides.covers("other"));
            assert_eq!(gap.grant, "ecr:BatchGetImage");
            Err(gap.read.clone())
        }
        None => {
            let images = &seen.world.repositories["app"].images;
            Ok(images[&Digest::new(digest(1))].children.clone())
        }
    }
}

#[tokio::test]
async fn an_image_without_media_type_is_read_to_know_its_children() {
    let lists = json!({"manifests": [{"digest": digest(7)}]}).to_string();
    assert_eq!(
        children_without_media_type(&lists).await,
        Ok(vec![Digest::new(digest(7))])
    );
    for parts in ["layers", "fsLayers", "blobs"] {
        let single = json!({parts: []}).to_string();
        assert_eq!(children_without_media_type(&single).await, Ok(vec![]));
    }
    assert!(children_without_media_type("{}").await.is_err());
}

#[tokio::test]
async fn an_index_that_does_not_say_what_it_lists_is_not_one_without_children() {
    let lists = json!({"manifests": []}).to_string();
    assert_eq!(children(index(1, &["v1"]), &lists).await, Ok(vec![]));
    for broken in [
        "",
        "{}",
        "{not json",
        "[]",
        r#"{"layers": []}"#,
        r#"{"manifests": null}"#,
        r#"{"manifests": {}}"#,
        r#"{"manifests": [{"size": 1}]}"#,
        r#"{"manifests": [{"digest": 1}]}"#,
    ] {
        let found = children(index(1, &["v1"]), broken).await;
        assert!(found.is_err(), "{broken:?} gave {found:?}");
    }
}

#[tokio::test]
async fn an_index_that_is_missing_from_the_answer_is_a_gap() {
    let seen = Stage::over(account(vec![index(1, &["v1"])]))
        .await
        .observe()
        .await;
    assert!(
        seen.gaps[0].read.contains("missing from the answer"),
        "{:?}",
        seen.gaps
    );
}

#[tokio::test]
async fn a_list_that_is_absent_from_an_answer_is_a_gap() {
    for operation in [
        "ecr:DescribeRepositories",
        "ecr:DescribeImages",
        "ecr:ListTagsForResource",
        "ecr:DescribeRegistry",
        "ecr:GetRegistryPolicy",
        "ecr:GetRepositoryPolicy",
        "ecr:DescribePullThroughCacheRules",
        "ecs:ListClusters",
        "ecs:ListServices",
        "ecs:ListTasks",
        "ecs:ListServiceDeployments",
        "ecs:ListTaskDefinitions",
        "lambda:ListFunctions",
    ] {
        let settled = json!([{"containerName": "web", "image": format!("{REGISTRY}/app:v1"),
            "imageDigest": digest(1)}]);
        let script = with_service(account(vec![image(1, &["v1"])]), settled)
            .always(operation, |_| json!({}));
        let seen = Stage::over(script).await.observe().await;
        assert!(
            !seen.gaps.is_empty(),
            "{operation} without its list was taken for an empty one"
        );
        for gap in &seen.gaps {
            assert_eq!(gap.grant, operation, "{gap:?}");
            assert!(gap.hides.covers("app"));
        }
    }
}

#[tokio::test]
async fn a_describe_that_answers_less_than_was_asked_is_a_gap() {
    let task = with_task(account(vec![]), json!({}));
    let nothing = json!({"tasks": [], "failures": []});
    let read = gap_of(task.always("ecs:DescribeTasks", move |_| nothing.clone())).await;
    assert!(read.contains("fewer answered"), "{read}");

    let service = with_service(account(vec![]), json!([])).always(
        "ecs:DescribeServices",
        |_| json!({"services": [], "failures": []}),
    );
    let read = gap_of(service).await;
    assert!(read.contains("fewer answered"), "{read}");

    let revision = with_service(account(vec![]), json!([])).always(
        "ecs:DescribeServiceRevisions",
        |_| json!({"serviceRevisions": [], "failures": []}),
    );
    let read = gap_of(revision).await;
    assert!(read.contains("fewer answered"), "{read}");

    let definition = with_service(account(vec![]), json!([]))
        .always("ecs:DescribeTaskDefinition", |_| json!({}));
    let seen = Stage::over(definition).await.observe().await;
    assert!(!seen.gaps.is_empty());
    assert!(
        seen.gaps
            .iter()
            .all(|gap| gap.grant == "ecs:DescribeTaskDefinition")
    );
}

#[tokio::test]
async fn what_aws_adds_to_a_task_has_no_image_and_uses_none() {
    let guardduty = json!({"name": "aws-guardduty-agent-x", "imageDigest": digest(9)});
    let proxy = json!({"name": "ecs-service-connect-x", "image": null, "imageDigest": null});
    let web = json!({"name": "web", "imageDigest": digest(1)});
    let task = json!({"lastStatus": "RUNNING", "taskDefinitionArn": DEFINITION,
        "containers": [guardduty, proxy, web]});
    let script = with_task(account(vec![]), task).always("ecs:DescribeTaskDefinition", |_| {
        json!({"taskDefinition": {"containerDefinitions": [
            {"name": "web", "image": format!("{REGISTRY}/app:stable")}]}})
    });
    let seen = Stage::over(script).await.observe().await;
    assert_eq!(seen.gaps, []);
    let pins = pins(&seen);
    assert_eq!(pins.len(), 1, "{pins:?}");
    assert!(pins[0].contains(&digest(1)), "{pins:?}");
}

#[tokio::test]
async fn a_container_whose_image_nobody_tells_is_a_gap() {
    let task = json!({"taskDefinitionArn": DEFINITION, "containers": [{"name": "web"}]});
    let unknown = with_task(account(vec![]), task).always("ecs:DescribeTaskDefinition", |_| {
        Answer::error(
            400,
            "ClientException",
            "Unable to describe task definition.",
        )
    });
    let read = gap_of(unknown).await;
    assert!(read.contains("ecs:DescribeTaskDefinition"), "{read}");

    let definition = account(vec![])
        .always(
            "ecs:ListTaskDefinitions",
            |_| json!({"taskDefinitionArns": [DEFINITION]}),
        )
        .always(
            "ecs:DescribeTaskDefinition",
            |_| json!({"taskDefinition": {"containerDefinitions": [{"name": "web"}]}}),
        );
    let read = gap_of(definition).await;
    assert!(read.contains("has no image"), "{read}");
}

#[tokio::test]
async fn a_task_that_tells_no_containers_uses_what_its_definition_names() {
    let task = json!({"taskDefinitionArn": DEFINITION, "lastStatus": "PENDING",
        "pullStartedAt": 1_700_000_000});
    let script = with_task(account(vec![]), task).always("ecs:DescribeTaskDefinition", |_| {
        json!({"taskDefinition": {"containerDefinitions": [
            {"name": "web", "image": format!("{REGISTRY}/app:stable")}]}})
    });
    let seen = Stage::over(script).await.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(pins(&seen), [r#"in_use_by_task WasTag("stable")"#]);

    let unknown =
        with_task(account(vec![]), json!({})).always("ecs:DescribeTaskDefinition", |_| {
            Answer::error(
                400,
                "ClientException",
                "Unable to describe task definition.",
            )
        });
    let read = gap_of(unknown).await;
    assert!(read.contains("ecs:DescribeTaskDefinition"), "{read}");
}

#[tokio::test]
async fn a_task_that_pulls_or_runs_without_a_digest_may_run_whatever_its_tag_was() {
    let was = r#"in_use_by_task WasTag("stable")"#;
    let is = r#"in_use_by_task Tag("stable")"#;
    for (state, expected) in [
        (json!({"lastStatus": "PROVISIONING"}), is),
        (
            json!({"lastStatus": "PENDING", "pullStartedAt": 1_700_000_000}),
            was,
        ),
        (json!({"lastStatus": "RUNNING"}), was),
        // A service's task pulls what its deployment says.
        (
            json!({"lastStatus": "PENDING", "pullStartedAt": 1_700_000_000,
                "group": "service:web"}),
            is,
        ),
        (
            json!({"lastStatus": "RUNNING", "group": "service:web"}),
            was,
        ),
    ] {
        let mut task = state.clone();
        task["containers"] = json!([{"image": format!("{REGISTRY}/app:stable")}]);
        let script = with_task(account(vec![]), task);
        let seen = Stage::over(script).await.observe().await;
        assert_eq!(pins(&seen), [expected], "{state}");
    }
}

#[tokio::test]
async fn a_revision_that_leaves_out_an_image_or_a_digest_is_completed_by_its_definition() {
    let name = "web";
    let image = format!("{REGISTRY}/app:stable");
    // Nothing was fixed, so that the tag will be looked up.
    let tag = r#"in_use_by_deployment Tag("stable")"#;
    let pinned = format!("in_use_by_deployment Digest(Digest(\"{}\"))", digest(1));
    for (told, expected) in [
        (json!([]), vec![tag]),
        (json!([{"containerName": name}]), vec![tag]),
        (json!([{"containerName": name, "image": image}]), vec![tag]),
        (
            json!([{"containerName": name, "imageDigest": digest(1)}]),
            vec![pinned.as_str(), tag],
        ),
    ] {
        let seen = Stage::over(with_service(account(vec![]), told.clone()))
            .await
            .observe()
            .await;
        assert_eq!(seen.gaps, [], "{told}");
        assert_eq!(pins(&seen), expected, "{told}");
    }
}

#[tokio::test]
async fn a_service_whose_revision_is_not_told_uses_what_its_deployments_name() {
    let script = with_service(account(vec![]), json!([])).always("ecs:DescribeServices", |_| {
        json!({"failures": [], "services": [{"serviceArn": crate::script::SERVICE,
            "taskDefinition": DEFINITION}]})
    });
    let seen = Stage::over(script).await.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(pins(&seen), [r#"in_use_by_deployment WasTag("stable")"#]);

    let pruned = with_service(account(vec![]), json!([])).always(
        "ecs:DescribeServiceRevisions",
        |_| json!({"serviceRevisions": [], "failures": [{"arn": "r", "reason": "MISSING"}]}),
    );
    let seen = Stage::over(pruned).await.observe().await;
    assert_eq!(seen.gaps, []);
    assert_eq!(pins(&seen), [r#"in_use_by_deployment WasTag("stable")"#]);
}

#[tokio::test]
async fn a_function_that_tells_no_image_is_a_gap_only_if_it_is_made_of_one() {
    for (package, gaps) in [(Some("Image"), 1), (Some("Zip"), 0), (None, 0)] {
        let mut function = json!({"FunctionName": "thumbnails", "Version": "1"});
        if let Some(package) = package {
            function["PackageType"] = json!(package);
        }
        let script = account(vec![])
            .always(
                "lambda:ListFunctions",
                move |_| json!({"Functions": [function]}),
            )
            .always("lambda:GetFunction", |_| json!({"Code": {}}));
        let seen = Stage::over(script).await.observe().await;
        assert_eq!(seen.gaps.len(), gaps, "{package:?}: {:?}", seen.gaps);
    }
}

#[tokio::test]
async fn a_repository_without_name_arn_or_registry_is_told_and_left_alone() {
    let script = with_cluster(account(vec![image(1, &[])])).always(
        "ecr:DescribeRepositories",
        |_| json!({"repositories": [{"repositoryName": "odd"}, crate::script::repository("app")]}),
    );
    let seen = Stage::over(script).await.observe().await;
    assert_eq!(seen.world.repositories.len(), 1);
    assert!(
        seen.warnings[0].contains("without name"),
        "{:?}",
        seen.warnings
    );
}
