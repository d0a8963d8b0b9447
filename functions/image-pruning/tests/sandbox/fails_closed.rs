//! A read that fails, is denied or comes back incomplete: nothing is deleted
//! in the repositories it could concern, the rest goes on, and the report names
//! the read and the permission to grant.

use steward::report::Status;
use steward_sandbox::{Fault, ImageFailure};

use crate::stage::{STRICT, Stage, going};

/// Two repositories with one deletion each, a cluster, a service, a task
/// definition and a function, so that every read has something to say.
async fn busy() -> Stage {
    let stage = Stage::new();
    for name in ["shop/web", "shop/worker"] {
        let repo = stage.account.repository(name).await.unwrap();
        stage
            .index(&repo, &format!("old {name}"), 60, &["v1"])
            .await;
        stage
            .image(&repo, &format!("newest {name}"), 40, &["v2"])
            .await;
    }
    let web = stage.account.existing_repository("shop/web");
    stage.account.cluster("shop").await.unwrap();
    let task = stage
        .account
        .task_definition("web", &web.tagged("v2"))
        .await
        .unwrap();
    stage
        .account
        .service("shop", "web", &task, 1)
        .await
        .unwrap();
    stage
        .account
        .image_function("thumbnails", &web.tagged("v2"))
        .await
        .unwrap();
    stage
}

#[tokio::test]
async fn a_denied_read_of_users_blocks_every_repository() {
    for (service, operation) in [
        ("ecs", "ListClusters"),
        ("ecs", "ListServices"),
        ("ecs", "DescribeServices"),
        ("ecs", "ListServiceDeployments"),
        ("ecs", "DescribeServiceRevisions"),
        ("ecs", "ListTasks"),
        ("ecs", "DescribeTasks"),
        ("ecs", "ListTaskDefinitions"),
        ("ecs", "DescribeTaskDefinition"),
        ("lambda", "ListFunctions"),
        ("lambda", "GetFunction"),
    ] {
        let stage = busy().await;
        let denied = Fault::of(service, operation, "AccessDeniedException");
        stage.account.control().fault(&denied).await.unwrap();

        let report = stage.apply(STRICT).await;

        let action = format!("{service}:{operation}");
        assert_eq!(report.status, Status::Refused, "{action}");
        assert_eq!(going(&report), Vec::<String>::new(), "{action}");
        let gap = report.gaps.iter().find(|gap| gap.grant == action);
        let gap = gap.unwrap_or_else(|| panic!("{action}: {:?}", report.gaps));
        assert!(gap.read.contains("AccessDenied"), "{}", gap.read);
        assert_eq!(gap.hides, "everything");
        let refused: Vec<_> = report
            .refusals
            .iter()
            .map(|r| (r.guard.as_str(), r.unit.as_str()))
            .collect();
        assert_eq!(
            refused,
            [
                ("incomplete_observation", "shop/web"),
                ("incomplete_observation", "shop/worker")
            ],
            "{action}"
        );
        let calls = stage.account.control().calls().await.unwrap();
        assert!(
            calls
                .iter()
                .all(|call| call.operation != "BatchDeleteImage"),
            "{action}"
        );
    }
}

#[tokio::test]
async fn a_denied_read_of_one_repository_blocks_only_that_one() {
    for operation in ["DescribeImages", "BatchGetImage", "ListTagsForResource"] {
        let stage = busy().await;
        let denied = Fault {
            body_contains: Some("shop/web".into()),
            ..Fault::of("ecr", operation, "AccessDeniedException")
        };
        stage.account.control().fault(&denied).await.unwrap();

        let report = stage.apply(STRICT).await;

        assert_eq!(report.summary.done, 4, "{operation}: {report:#?}");
        assert!(
            report
                .actions
                .iter()
                .filter(|l| l.error.is_none())
                .all(|l| l.resource.starts_with("shop/worker@"))
        );
        assert_eq!(report.gaps.len(), 1, "{operation}");
        assert_eq!(report.gaps[0].hides, "shop/web");
        assert_eq!(report.gaps[0].grant, format!("ecr:{operation}"));
        let web = stage.account.existing_repository("shop/web");
        stage.account.control().clear_faults().await.unwrap();
        assert_eq!(web.digests().await.unwrap().len(), 5, "{operation}");
    }
}

#[tokio::test]
async fn a_denied_listing_of_repositories_does_nothing_and_says_so() {
    let stage = busy().await;
    let denied = Fault::of("ecr", "DescribeRepositories", "AccessDeniedException");
    stage.account.control().fault(&denied).await.unwrap();

    let report = stage.apply(STRICT).await;

    assert_eq!(report.gaps[0].grant, "ecr:DescribeRepositories");
    assert_eq!(report.summary.observed, 0);
    // Not knowing is not the same as nothing to do.
    assert_eq!(report.status, Status::Refused);
}

#[tokio::test]
async fn an_index_that_cannot_be_read_blocks_its_repository() {
    let stage = busy().await;
    let web = stage.account.existing_repository("shop/web");
    let index = web.digest_of("v1").await.unwrap();
    let fault = Fault {
        service: "ecr".into(),
        operation: "BatchGetImage".into(),
        image_failure: Some(ImageFailure {
            digest: index,
            code: "KmsError".into(),
        }),
        ..Fault::default()
    };
    stage.account.control().fault(&fault).await.unwrap();

    let report = stage.apply(STRICT).await;

    assert_eq!(report.gaps.len(), 1);
    assert!(report.gaps[0].read.contains("KmsError"));
    assert_eq!(web.digests().await.unwrap().len(), 5);
    assert_eq!(report.summary.done, 4);
}

#[tokio::test]
async fn a_manifest_that_is_no_json_blocks_its_repository() {
    let stage = busy().await;
    let web = stage.account.existing_repository("shop/web");
    let broken = steward_sandbox::Image {
        tags: vec!["odd".into()],
        pushed_at: Some(stage.days_ago(50)),
        manifest: Some("{not json".into()),
        media_type: Some("application/vnd.oci.image.index.v1+json".into()),
        ..steward_sandbox::Image::default()
    };
    web.fill(&[broken]).await.unwrap();

    let report = stage.apply(STRICT).await;

    assert!(
        report.gaps[0].read.contains("cannot be read"),
        "{:?}",
        report.gaps
    );
    assert_eq!(report.gaps[0].hides, "shop/web");
    assert_eq!(web.digests().await.unwrap().len(), 6);
}

#[tokio::test]
async fn an_unreadable_reference_blocks_its_repository_or_every_one() {
    let stage = busy().await;
    let web = stage.account.existing_repository("shop/web");
    stage
        .account
        .task_definition("odd", &format!("{}@sha256:tooshort", web.uri()))
        .await
        .unwrap();

    let report = stage.plan(STRICT).await;

    assert!(
        report.gaps[0].read.contains("sha256:tooshort"),
        "{:?}",
        report.gaps
    );
    assert_eq!(report.gaps[0].hides, "shop/web");
    assert_eq!(report.summary.planned, 4);

    let nameless = format!("{}/:v1", stage.account.registry());
    stage
        .account
        .task_definition("odder", &nameless)
        .await
        .unwrap();
    let report = stage.apply(STRICT).await;
    assert_eq!(report.status, Status::Refused);
    assert!(report.gaps.iter().any(|gap| gap.hides == "everything"));
}
