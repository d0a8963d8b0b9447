//! What anything uses is never deleted.

use aws_sdk_ecs::types::{
    AwsVpcConfiguration, DeploymentController, DeploymentControllerType, DesiredStatus,
    NetworkConfiguration, Scale, ScaleUnit, VersionConsistency,
};
use steward::report::{ActionOutcome, Status};
use steward_sandbox::{Settings, TaskEdit, container};

use crate::stage::{STRICT, Stage, fate, going, kept_for, sorted};

#[tokio::test]
async fn keeps_the_digest_of_a_running_task_whose_tag_has_moved_on() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let running = stage.image(&repo, "running", 40, &["stable"]).await;
    stage.account.cluster("shop").await.unwrap();
    let task = stage
        .account
        .task_definition("web", &repo.tagged("stable"))
        .await
        .unwrap();
    stage
        .account
        .service("shop", "web", &task, 2)
        .await
        .unwrap();
    stage.image(&repo, "between", 30, &["stable"]).await;
    let newest = stage.image(&repo, "newest", 20, &["stable"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::Applied);
    assert_eq!(
        sorted(repo.digests().await.unwrap()),
        sorted([running.clone(), newest])
    );
    assert!(matches!(
        kept_for(&report, &running),
        Some("in_use_by_task" | "in_use_by_deployment")
    ));
}

#[tokio::test]
async fn keeps_the_digest_of_a_service_scaled_to_zero() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/reports").await.unwrap();
    let deployed = stage.image(&repo, "deployed", 40, &["stable"]).await;
    stage.account.cluster("shop").await.unwrap();
    let task = stage
        .account
        .task_definition("reports", &repo.tagged("stable"))
        .await
        .unwrap();
    stage
        .account
        .service("shop", "reports", &task, 1)
        .await
        .unwrap();
    stage
        .account
        .ecs()
        .update_service()
        .cluster("shop")
        .service("reports")
        .desired_count(0)
        .send()
        .await
        .unwrap();
    let tasks = stage
        .account
        .ecs()
        .list_tasks()
        .cluster("shop")
        .desired_status(DesiredStatus::Stopped)
        .send()
        .await
        .unwrap();
    // Not even a stopped task tells of it any more.
    for arn in tasks.task_arns() {
        let edit = TaskEdit {
            cluster: "shop".into(),
            task: arn.clone(),
            image_digest: Some(None),
            ..TaskEdit::default()
        };
        stage.account.control().edit_task(&edit).await.unwrap();
    }
    let leftover = stage.image(&repo, "leftover", 30, &[]).await;
    stage.image(&repo, "newest", 20, &["stable"]).await;

    let report = stage.apply(STRICT).await;

    assert!(repo.has(&deployed).await.unwrap());
    assert!(!repo.has(&leftover).await.unwrap());
    assert_eq!(kept_for(&report, &deployed), Some("in_use_by_deployment"));
}

#[tokio::test]
async fn keeps_both_images_of_a_service_in_the_middle_of_a_deployment() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let old = stage.image(&repo, "old", 40, &["v1"]).await;
    let new = stage.image(&repo, "new", 30, &["v2"]).await;
    let latest = stage.image(&repo, "latest", 20, &["v3"]).await;
    stage.account.cluster("shop").await.unwrap();
    let first = stage
        .account
        .task_definition("web", &repo.pinned(&old))
        .await
        .unwrap();
    stage
        .account
        .service("shop", "web", &first, 2)
        .await
        .unwrap();
    let polls = Settings {
        ecs_polls: Some(50),
        ..Settings::default()
    };
    stage.account.control().settings(&polls).await.unwrap();
    let second = stage
        .account
        .task_definition("web", &repo.tagged("v2"))
        .await
        .unwrap();
    stage
        .account
        .ecs()
        .update_service()
        .cluster("shop")
        .service("web")
        .task_definition(&second)
        .send()
        .await
        .unwrap();

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::NothingToDo);
    assert_eq!(
        sorted(repo.digests().await.unwrap()),
        sorted([old, new, latest])
    );
}

#[tokio::test]
async fn keeps_what_the_last_successful_deployment_ran() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.account.cluster("shop").await.unwrap();
    let mut digests = Vec::new();
    for n in 1..=4 {
        let digest = stage
            .image(&repo, &format!("release {n}"), 60 - n, &["release"])
            .await;
        let task = stage
            .account
            .task_definition("web", &repo.tagged("release"))
            .await
            .unwrap();
        if n == 1 {
            stage
                .account
                .service("shop", "web", &task, 1)
                .await
                .unwrap();
        } else {
            let update = stage
                .account
                .ecs()
                .update_service()
                .cluster("shop")
                .service("web");
            update.task_definition(&task).send().await.unwrap();
        }
        // Describing is what lets the rollout move on.
        let services = stage
            .account
            .ecs()
            .describe_services()
            .cluster("shop")
            .services("web");
        services.send().await.unwrap();
        digests.push(digest);
    }
    // What a stopped task ran is kept for an hour; here it is long ago.
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let tasks = stage
            .account
            .ecs()
            .list_tasks()
            .cluster("shop")
            .desired_status(status);
        for task in tasks.send().await.unwrap().task_arns() {
            let edit = TaskEdit {
                cluster: "shop".into(),
                task: task.clone(),
                image_digest: Some(Some(digests[3].clone())),
                ..TaskEdit::default()
            };
            stage.account.control().edit_task(&edit).await.unwrap();
        }
    }

    // Restarts of the present release are no release to go back to.
    for _ in 0..3 {
        let restart = stage.account.ecs().update_service().cluster("shop");
        let restart = restart.service("web").force_new_deployment(true);
        restart.send().await.unwrap();
        let services = stage.account.ecs().describe_services().cluster("shop");
        services.services("web").send().await.unwrap();
    }
    let report = stage.apply(STRICT).await;

    assert_eq!(
        kept_for(&report, &digests[2]),
        Some("rollback_target"),
        "{report:#?}"
    );
    assert_eq!(
        sorted(repo.digests().await.unwrap()),
        sorted(digests[2..].to_vec())
    );
}

#[tokio::test]
async fn keeps_everything_in_a_repository_where_a_deployments_digest_is_not_known() {
    let stage = Stage::new();
    let off = Settings {
        ecs_service_revisions: Some(false),
        ..Settings::default()
    };
    stage.account.control().settings(&off).await.unwrap();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let other = stage.account.repository("shop/other").await.unwrap();
    // What was deployed as stable may have got any other tag, too.
    let deployed = stage.image(&repo, "deployed", 40, &["stable"]).await;
    let tagged = stage.image(&repo, "tagged", 35, &["git-abc"]).await;
    stage.account.cluster("shop").await.unwrap();
    let task = stage
        .account
        .task_definition("web", &repo.tagged("stable"))
        .await
        .unwrap();
    stage
        .account
        .service("shop", "web", &task, 0)
        .await
        .unwrap();
    stage.image(&repo, "present", 30, &["stable"]).await;
    let elsewhere = stage.image(&other, "elsewhere", 35, &[]).await;
    stage.image(&other, "newest", 30, &["v1"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(kept_for(&report, &deployed), Some("may_be_deployed"));
    assert_eq!(kept_for(&report, &tagged), Some("may_be_deployed"));
    let told = |warning: &String| warning.contains("shop/web is kept whole");
    assert!(report.warnings.iter().any(told), "{:?}", report.warnings);
    assert_eq!(repo.digests().await.unwrap().len(), 3);
    assert!(!other.has(&elsewhere).await.unwrap());
}

#[tokio::test]
async fn running_tasks_tell_the_digest_of_a_deployment_that_has_no_revision() {
    let stage = Stage::new();
    let off = Settings {
        ecs_service_revisions: Some(false),
        ..Settings::default()
    };
    stage.account.control().settings(&off).await.unwrap();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let deployed = stage.image(&repo, "deployed", 40, &["stable"]).await;
    stage.account.cluster("shop").await.unwrap();
    let task = stage
        .account
        .task_definition("web", &repo.tagged("stable"))
        .await
        .unwrap();
    stage
        .account
        .service("shop", "web", &task, 2)
        .await
        .unwrap();
    let between = stage.image(&repo, "between", 35, &["stable"]).await;
    let present = stage.image(&repo, "present", 30, &["stable"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(going(&report), [between]);
    assert_eq!(
        sorted(repo.digests().await.unwrap()),
        sorted([deployed, present])
    );
}

#[tokio::test]
async fn where_tags_cannot_move_the_tag_tells_the_image() {
    let stage = Stage::new();
    let off = Settings {
        ecs_service_revisions: Some(false),
        ..Settings::default()
    };
    stage.account.control().settings(&off).await.unwrap();
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage
        .account
        .ecr()
        .put_image_tag_mutability()
        .repository_name("shop/web")
        .image_tag_mutability(aws_sdk_ecr::types::ImageTagMutability::Immutable)
        .send()
        .await
        .unwrap();
    let deployed = stage.image(&repo, "deployed", 40, &["v1"]).await;
    let unused = stage.image(&repo, "unused", 35, &["v2"]).await;
    stage.image(&repo, "newest", 30, &["v3"]).await;
    stage.account.cluster("shop").await.unwrap();
    let task = stage
        .account
        .task_definition("web", &repo.tagged("v1"))
        .await
        .unwrap();
    stage
        .account
        .service("shop", "web", &task, 0)
        .await
        .unwrap();

    let report = stage.apply(STRICT).await;

    assert_eq!(going(&report), [unused]);
    assert!(repo.has(&deployed).await.unwrap());
}

#[tokio::test]
async fn keeps_a_platform_of_an_index_in_use_and_the_whole_index_with_it() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let index = stage.index(&repo, "release", 40, &[]).await;
    let unused = stage.index(&repo, "unused", 40, &[]).await;
    stage.account.cluster("shop").await.unwrap();
    // ECS may report the platform's digest for a task, or the index's.
    let task = stage
        .account
        .task_definition("web", &repo.pinned(&index[1]))
        .await
        .unwrap();
    stage
        .account
        .service("shop", "web", &task, 1)
        .await
        .unwrap();

    let report = stage.apply(STRICT).await;

    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(index.clone()));
    assert_eq!(going(&report), sorted(unused));
    assert_eq!(kept_for(&report, &index[0]), Some("holds_used_image"));
    assert_eq!(kept_for(&report, &index[2]), Some("child_of_kept_index"));
}

#[tokio::test]
async fn keeps_what_containers_without_version_consistency_would_start() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.image(&repo, "first", 50, &["edge"]).await;
    stage.account.cluster("shop").await.unwrap();
    let loose = container("web", &repo.tagged("edge"), &stage.account)
        .version_consistency(VersionConsistency::Disabled)
        .build();
    let task = stage
        .account
        .task_definition_with("web", loose)
        .await
        .unwrap();
    stage
        .account
        .service("shop", "web", &task, 1)
        .await
        .unwrap();
    // Revisions of the family come and go; the service's own is not among the
    // newest any more.
    stage.image(&repo, "other", 20, &["other"]).await;
    for _ in 0..3 {
        stage
            .account
            .task_definition("web", &repo.tagged("other"))
            .await
            .unwrap();
    }
    let edge = stage.image(&repo, "second", 40, &["edge"]).await;
    let leftover = stage.image(&repo, "leftover", 45, &[]).await;

    stage.apply(STRICT).await;

    assert!(repo.has(&edge).await.unwrap());
    assert!(!repo.has(&leftover).await.unwrap());
}

#[tokio::test]
async fn keeps_the_images_of_task_sets() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let blue = stage.image(&repo, "blue", 50, &["blue"]).await;
    let green = stage.image(&repo, "green", 45, &["green"]).await;
    let newest = stage.image(&repo, "newest", 40, &["newest"]).await;
    let gone = stage.image(&repo, "gone", 48, &["gone"]).await;
    stage.account.cluster("shop").await.unwrap();
    let ecs = stage.account.ecs();
    ecs.create_service()
        .cluster("shop")
        .service_name("web")
        .desired_count(2)
        .deployment_controller(
            DeploymentController::builder()
                .r#type(DeploymentControllerType::External)
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    for tag in ["blue", "green"] {
        let task = stage
            .account
            .task_definition(tag, &repo.tagged(tag))
            .await
            .unwrap();
        ecs.create_task_set()
            .cluster("shop")
            .service("web")
            .task_definition(&task)
            .scale(
                Scale::builder()
                    .value(100.0)
                    .unit(ScaleUnit::Percent)
                    .build(),
            )
            .send()
            .await
            .unwrap();
        // Deregistered definitions are no longer of their family, but the task
        // set still runs them.
        ecs.deregister_task_definition()
            .task_definition(&task)
            .send()
            .await
            .unwrap();
    }

    let report = stage.apply(STRICT).await;

    assert_eq!(
        sorted(repo.digests().await.unwrap()),
        sorted([blue.clone(), green, newest])
    );
    assert_eq!(fate(&report, &gone).unwrap().0, ActionOutcome::Done);
    assert!(matches!(
        kept_for(&report, &blue),
        Some("in_use_by_task_set" | "in_use_by_task")
    ));
}

#[tokio::test]
async fn keeps_the_last_revisions_of_each_family_and_no_more() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/batch").await.unwrap();
    let mut digests = Vec::new();
    for n in 1..=5 {
        let tag = format!("v{n}");
        digests.push(stage.image(&repo, &tag, 60 - n, &[&tag]).await);
        stage
            .account
            .task_definition("batch", &repo.tagged(&tag))
            .await
            .unwrap();
    }
    let three = STRICT.replace("revisions_per_family: 1", "revisions_per_family: 3");

    let report = stage.apply(&three).await;

    assert_eq!(
        sorted(repo.digests().await.unwrap()),
        sorted(digests[2..].to_vec())
    );
    assert_eq!(kept_for(&report, &digests[2]), Some("in_task_definition"));
}

#[tokio::test]
async fn keeps_the_image_of_every_version_of_a_lambda_function() {
    let stage = Stage::new();
    let repo = stage.account.repository("thumbnails").await.unwrap();
    let first = stage.image(&repo, "first", 60, &["live"]).await;
    stage
        .account
        .image_function("thumbnails", &repo.tagged("live"))
        .await
        .unwrap();
    let lambda = stage.account.lambda_consumers();
    lambda
        .publish_version()
        .function_name("thumbnails")
        .send()
        .await
        .unwrap();
    let second = stage.image(&repo, "second", 50, &["live"]).await;
    lambda
        .update_function_code()
        .function_name("thumbnails")
        .image_uri(repo.tagged("live"))
        .send()
        .await
        .unwrap();
    let unused = stage.image(&repo, "unused", 45, &["live"]).await;
    let newest = stage.image(&repo, "newest", 40, &["live"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(
        sorted(repo.digests().await.unwrap()),
        sorted([first.clone(), second.clone(), newest])
    );
    for digest in [first, second] {
        assert_eq!(
            kept_for(&report, &digest),
            Some("in_use_by_lambda_function")
        );
    }
    assert_eq!(going(&report), [unused]);
}

#[tokio::test]
async fn keeps_what_the_policy_names_by_tag_and_by_digest() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let by_tag = stage.image(&repo, "by tag", 60, &["partner"]).await;
    let by_digest = stage.image(&repo, "by digest", 50, &[]).await;
    let newest = stage.image(&repo, "newest", 40, &["newest"]).await;
    let unused = stage.image(&repo, "unused", 45, &[]).await;
    let policy = STRICT.replace(
        "in_use: {",
        &format!(
            "in_use: {{references: [\"{}\", \"{}\"], ",
            repo.tagged("partner"),
            repo.pinned(&by_digest)
        ),
    );

    let report = stage.apply(&policy).await;

    assert_eq!(
        sorted(repo.digests().await.unwrap()),
        sorted([by_tag, by_digest, newest])
    );
    assert_eq!(going(&report), [unused]);
}

fn network() -> NetworkConfiguration {
    let vpc = AwsVpcConfiguration::builder()
        .subnets("subnet-0a")
        .security_groups("sg-0a");
    NetworkConfiguration::builder()
        .awsvpc_configuration(vpc.build().unwrap())
        .build()
}

#[tokio::test]
async fn a_task_that_has_pulled_nothing_yet_keeps_what_its_tag_names() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/batch").await.unwrap();
    let was = stage.image(&repo, "was", 60, &["nightly"]).await;
    stage.account.cluster("shop").await.unwrap();
    let definition = stage
        .account
        .task_definition("batch", &repo.tagged("nightly"))
        .await
        .unwrap();
    let started = stage
        .account
        .ecs()
        .run_task()
        .cluster("shop")
        .task_definition(&definition)
        .network_configuration(network())
        .send()
        .await
        .unwrap();
    let task = started.tasks()[0].task_arn().unwrap().to_owned();
    let edit = TaskEdit {
        cluster: "shop".into(),
        task,
        last_status: Some("PENDING".into()),
        image_digest: Some(None),
        ..TaskEdit::default()
    };
    stage.account.control().edit_task(&edit).await.unwrap();
    let present = stage.image(&repo, "present", 50, &["nightly"]).await;

    let report = stage.plan(STRICT).await;

    assert_eq!(going(&report), [was]);
    assert_eq!(kept_for(&report, &present), Some("in_use_by_task"));
}

#[tokio::test]
async fn other_registries_protect_nothing_here() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let old = stage.image(&repo, "old", 60, &["v1"]).await;
    stage.image(&repo, "new", 50, &["v2"]).await;
    for (n, image) in [
        "shop/web:v1".to_owned(),
        "ghcr.io/shop/web:v1".to_owned(),
        repo.tagged("v1")
            .replace(stage.account.id(), "999999999999"),
        repo.tagged("v1")
            .replace(stage.account.region_name(), "ap-south-1"),
    ]
    .iter()
    .enumerate()
    {
        stage
            .account
            .task_definition(&format!("other-{n}"), image)
            .await
            .unwrap();
    }

    let report = stage.plan(STRICT).await;

    assert_eq!(going(&report), [old]);
}

#[tokio::test]
async fn keeps_what_more_than_a_page_of_tasks_and_services_use() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    stage.account.cluster("shop").await.unwrap();
    let mut used = Vec::new();
    // Eleven services are two calls of DescribeServices, and 110 tasks two
    // pages of ListTasks.
    for n in 0..11 {
        let digest = stage.image(&repo, &format!("image {n}"), 60, &[]).await;
        let task = stage
            .account
            .task_definition(&format!("web-{n}"), &repo.pinned(&digest))
            .await
            .unwrap();
        stage
            .account
            .service("shop", &format!("web-{n}"), &task, 10)
            .await
            .unwrap();
        used.push(digest);
    }
    let unused = stage.image(&repo, "unused", 60, &[]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(going(&report), [unused]);
    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(used));
    let calls = stage.account.control().calls().await.unwrap();
    let count = |operation: &str| calls.iter().filter(|c| c.operation == operation).count();
    assert!(
        count("DescribeServices") >= 2 && count("ListTasks") >= 3,
        "{}",
        calls.len()
    );
}
