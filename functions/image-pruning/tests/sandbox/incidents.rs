//! What users of other tools reported, replayed here, where it does not happen.
//! `tests/README.md` has the list, also of those that other tests replay.

use aws_sdk_ecr::types::{ImageIdentifier, TargetStorageClass};
use aws_sdk_ecs::types::DesiredStatus;
use serde_json::json;
use steward::engine::Mode;
use steward::plan_file::PlanFile;
use steward::report::{ActionOutcome, Status};
use steward_sandbox::faults::{At, Fault, FaultClient};
use steward_sandbox::{Image, Manifest, Repository, TaskEdit};

use crate::stage::{STRICT, Stage, fate, going, kept_for, sorted};

/// A service of two tasks in cluster `shop`, deployed from this reference.
async fn deploy(stage: &Stage, name: &str, image: &str) {
    let account = &stage.account;
    account.cluster("shop").await.unwrap();
    let task = account.task_definition(name, image).await.unwrap();
    account.service("shop", name, &task, 2).await.unwrap();
}

async fn scale(stage: &Stage, service: &str, count: i32) {
    let ecs = stage.account.ecs();
    let update = ecs.update_service().cluster("shop").service(service);
    update.desired_count(count).send().await.unwrap();
}

/// Overnight ECS forgets what stopped tasks ran.
async fn forget_stopped_tasks(stage: &Stage) {
    let list = stage.account.ecs().list_tasks().cluster("shop");
    let stopped = list.desired_status(DesiredStatus::Stopped).send();
    for arn in stopped.await.unwrap().task_arns() {
        let edit = TaskEdit {
            cluster: "shop".into(),
            task: arn.clone(),
            image_digest: Some(None),
            ..TaskEdit::default()
        };
        stage.account.control().edit_task(&edit).await.unwrap();
    }
}

/// What the tasks of cluster `shop` run.
async fn running(stage: &Stage) -> Vec<String> {
    let ecs = stage.account.ecs();
    let tasks = ecs.list_tasks().cluster("shop").send().await.unwrap();
    let describe = ecs.describe_tasks().cluster("shop");
    let told = describe.set_tasks(tasks.task_arns).send().await.unwrap();
    let containers = told.tasks().iter().flat_map(|task| task.containers());
    let mut all: Vec<String> = containers
        .filter_map(|container| container.image_digest().map(str::to_owned))
        .collect();
    all.dedup();
    all
}

/// aws/amazon-ecs-agent#4226, aws/containers-roadmap#2493, #2393 and #2394:
/// `latest` was pushed again, a cleanup removed the digest that was deployed
/// before and had no tag any more, and new tasks of the running deployment could
/// not start. #2687: the same when Fargate retired a task.
#[tokio::test]
async fn a_service_scales_out_on_the_digest_that_latest_named_when_it_was_deployed() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let deployed = stage.image(&repo, "deployed", 60, &["latest"]).await;
    deploy(&stage, "web", &repo.tagged("latest")).await;
    stage
        .image(&repo, "pushed and never deployed", 50, &["latest"])
        .await;
    stage.image(&repo, "newest", 40, &["latest"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::Applied);
    scale(&stage, "web", 4).await;
    assert_eq!(running(&stage).await, std::slice::from_ref(&deployed));
    assert!(repo.has(&deployed).await.unwrap());
}

/// fujiwara/ecrm#30: a service at zero has no task that could tell what it runs,
/// its tag has moved on, and in the morning it comes back on the old digest.
#[tokio::test]
async fn a_service_that_was_at_zero_overnight_comes_back() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let deployed = stage.image(&repo, "deployed", 60, &["stable"]).await;
    deploy(&stage, "web", &repo.tagged("stable")).await;
    scale(&stage, "web", 0).await;
    forget_stopped_tasks(&stage).await;
    stage.image(&repo, "newest", 40, &["stable"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(kept_for(&report, &deployed), Some("in_use_by_deployment"));
    scale(&stage, "web", 2).await;
    assert!(repo.has(&deployed).await.unwrap());
}

/// METR/hawk#950: a rule for untagged images of three days took the digests that
/// functions were pinned to, and every call was a 502. aws-lambda-deploy#68: nor
/// could they be deployed again.
#[tokio::test]
async fn the_untagged_digest_that_a_function_is_pinned_to_stays() {
    let stage = Stage::new();
    let repo = stage.account.repository("api").await.unwrap();
    let pinned = stage.image(&repo, "pinned", 60, &[]).await;
    stage
        .account
        .image_function("api", &repo.pinned(&pinned))
        .await
        .unwrap();
    let unused = stage.image(&repo, "unused", 50, &[]).await;
    stage.image(&repo, "newest", 40, &["v1"]).await;
    let three_days = STRICT.replace("remove_untagged_after: 1d", "remove_untagged_after: 3d");

    let report = stage.apply(&three_days).await;

    assert_eq!(going(&report), [unused]);
    assert_eq!(
        kept_for(&report, &pinned),
        Some("in_use_by_lambda_function")
    );
}

/// awslabs/ecr-cleanup-lambda#39: only `$LATEST` was looked at, and what an older
/// published version (and the alias on it) runs was deleted.
#[tokio::test]
async fn what_an_older_version_of_a_function_runs_stays() {
    let stage = Stage::new();
    let repo = stage.account.repository("api").await.unwrap();
    let first = stage.image(&repo, "first", 60, &["v1"]).await;
    stage
        .account
        .image_function("api", &repo.tagged("v1"))
        .await
        .unwrap();
    let lambda = stage.account.lambda_consumers();
    lambda
        .publish_version()
        .function_name("api")
        .send()
        .await
        .unwrap();
    stage.image(&repo, "second", 50, &["v2"]).await;
    let update = lambda.update_function_code().function_name("api");
    update.image_uri(repo.tagged("v2")).send().await.unwrap();
    stage.image(&repo, "newest", 40, &["v3"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(kept_for(&report, &first), Some("in_use_by_lambda_function"));
    assert_eq!(going(&report), Vec::<String>::new());
}

/// awslabs/ecr-cleanup-lambda#44: tags were compared as texts, and images that a
/// task definition names by digest were deleted while they ran. The other forms
/// of a reference are from reading ecrm, which compares whole strings and knows one
/// host name: tag and digest together, and the dual-stack host.
#[tokio::test]
async fn images_named_by_digest_in_whatever_form_stay() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let dual = format!(
        "{}.dkr-ecr.{}.on.aws/shop/web",
        stage.account.id(),
        stage.account.region_name()
    );
    let mut kept = Vec::new();
    for (name, form) in [("plain", 0), ("both", 1), ("dual", 2)] {
        let digest = stage.image(&repo, name, 60, &[]).await;
        let image = match form {
            0 => repo.pinned(&digest),
            1 => format!("{}:v9@{digest}", repo.uri()),
            _ => format!("{dual}@{digest}"),
        };
        stage.account.task_definition(name, &image).await.unwrap();
        kept.push(digest);
    }
    let unused = stage.image(&repo, "unused", 50, &[]).await;
    stage.image(&repo, "newest", 40, &["v1"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(going(&report), [unused]);
    for digest in kept {
        assert_eq!(kept_for(&report, &digest), Some("in_task_definition"));
    }
}

/// opensupplyhub/open-supply-hub#1243, zeek/zeek#3015: deletions of untagged
/// images failed one by one with `ImageReferencedByManifestList`, for ever.
#[tokio::test]
async fn an_old_index_and_all_its_children_go_in_one_run_without_a_refusal() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let old = stage.index(&repo, "old", 60, &["v1"]).await;
    let newest = stage.index(&repo, "newest", 40, &["v2"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::Applied);
    assert_eq!(report.summary.failed + report.summary.skipped, 0);
    assert_eq!(going(&report), sorted(old));
    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(newest));
}

/// Read in awslabs/ecr-cleanup-lambda: an image was deleted by digest, with all
/// its tags, when any one of them failed the test for tags to leave alone.
#[tokio::test]
async fn one_tag_that_is_kept_keeps_the_image_whatever_its_other_tags() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let both = stage
        .image(&repo, "both", 400, &["build-7", "release-1"])
        .await;
    let other = stage.image(&repo, "other", 300, &["build-8"]).await;
    stage.image(&repo, "newest", 40, &["build-9"]).await;
    let releases = STRICT.replace(
        "keep_newest: 1,",
        "keep_newest: 1, keep_tags: {include: [\"release-*\"]},",
    );

    let report = stage.apply(&releases).await;

    assert_eq!(going(&report), [other]);
    assert_eq!(kept_for(&report, &both), Some("tag_kept"));
    assert_eq!(repo.digest_of("build-7").await.unwrap(), both);
}

/// snok/container-retention-policy#97, daniel-hauser/moneyman#789, fujiwara/ecrm#125:
/// untagged platforms, attestations and signatures were taken for rubbish, and live
/// tags could not be pulled any more. DefangLabs/defang#466: such parts live as long
/// as their index.
#[tokio::test]
async fn the_untagged_parts_of_a_live_tag_stay_however_old() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let mut live = stage.index(&repo, "live", 900, &["v1"]).await;
    let referrer = Image {
        pushed_at: Some(stage.days_ago(900)),
        subject: Some(live[0].clone()),
        ..Image::default()
    };
    live.extend(repo.fill(&[referrer]).await.unwrap());
    let by_tag = format!("{}.sig", live[1].replace(':', "-"));
    live.push(stage.image(&repo, "signature", 900, &[&by_tag]).await);
    let rubbish = stage.image(&repo, "rubbish", 800, &[]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(going(&report), [rubbish]);
    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(live));
}

/// aws/containers-roadmap#1596 and #1466 (an index with its platforms and an
/// attestation of `unknown/unknown` is four images to a lifecycle rule), #2613
/// (so are signatures): "keep 2" kept less than one release.
#[tokio::test]
async fn keeping_the_newest_counts_releases_and_not_their_parts() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let first = stage.index(&repo, "first", 60, &["v1"]).await;
    let mut kept = stage.index(&repo, "second", 50, &["v2"]).await;
    kept.extend(stage.index(&repo, "third", 40, &["v3"]).await);
    for n in [0, 4] {
        let tag = format!("{}.sig", kept[n].replace(':', "-"));
        let signature = stage
            .image(&repo, &format!("signature {n}"), 30, &[&tag])
            .await;
        kept.push(signature);
    }
    let two = STRICT.replace("keep_newest: 1", "keep_newest: 2");

    let report = stage.apply(&two).await;

    assert_eq!(going(&report), sorted(first));
    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(kept));
}

async fn fill(
    stage: &Stage,
    repo: &Repository,
    tag: &str,
    pushed: i64,
    pulled: Option<i64>,
) -> String {
    let image = Image {
        tags: vec![tag.to_owned()],
        pushed_at: Some(stage.days_ago(pushed)),
        last_pull: pulled.map(|days| stage.days_ago(days)),
        ..Image::default()
    };
    repo.fill(&[image]).await.unwrap().remove(0)
}

const BY_PULLS: &str = r#"
version: 1
repositories: {include: ["*"]}
retention: {keep_newest: 1, keep_younger_than: 300d, remove_unpulled_after: 60d}
limits: {max_delete_share_percent: 100}
"#;

/// aws/containers-roadmap#921 and #2728: people ask to expire what is not pulled;
/// AWS declined, because images were lost: a task that runs for months pulls once,
/// and what was never recorded as pulled is not unused.
#[tokio::test]
async fn what_nobody_pulls_goes_unless_it_runs_or_no_pull_is_recorded() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let runs = fill(&stage, &repo, "runs", 200, Some(200)).await;
    deploy(&stage, "web", &repo.tagged("runs")).await;
    let unpulled = fill(&stage, &repo, "unpulled", 200, Some(100)).await;
    let unknown = fill(&stage, &repo, "unknown", 200, None).await;
    let pulled = fill(&stage, &repo, "pulled", 400, Some(3)).await;
    let old = fill(&stage, &repo, "old", 400, None).await;
    fill(&stage, &repo, "newest", 40, None).await;

    let report = stage.apply(BY_PULLS).await;

    assert_eq!(
        fate(&report, &unpulled),
        Some((ActionOutcome::Done, "unpulled"))
    );
    assert_eq!(
        fate(&report, &old),
        Some((ActionOutcome::Done, "superseded"))
    );
    assert_eq!(report.summary.done, 2);
    assert!(repo.has(&runs).await.unwrap());
    assert_eq!(kept_for(&report, &unknown), Some("young"));
    assert_eq!(kept_for(&report, &pulled), Some("pulled_recently"));
}

/// The close of aws/containers-roadmap#921: archive first. What was archived too
/// early comes back whole.
#[tokio::test]
async fn what_was_archived_too_early_is_restored_and_stays() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let old = stage.index(&repo, "old", 60, &["v1"]).await;
    let newest = stage.image(&repo, "newest", 40, &["v2"]).await;
    let archive = STRICT.replace("keep_newest: 1,", "keep_newest: 1, remove_by: archive,");

    let report = stage.apply(&archive).await;
    assert_eq!(report.status, Status::Applied);
    assert_eq!(going(&report), sorted(old.clone()));
    assert!(
        report
            .actions
            .iter()
            .all(|line| line.kind == "archive_image")
    );
    assert_eq!(stage.apply(&archive).await.status, Status::NothingToDo);
    assert_eq!(stage.apply(STRICT).await.status, Status::NothingToDo);

    for digest in &old {
        let id = ImageIdentifier::builder().image_digest(digest).build();
        let ecr = stage.account.ecr();
        let update = ecr.update_image_storage_class().repository_name("shop/web");
        let to = update
            .image_id(id)
            .target_storage_class(TargetStorageClass::Standard);
        to.send().await.unwrap();
    }
    let report = stage.apply(&archive).await;
    // What is restored counts as pushed now, and one newest is kept.
    assert_eq!(going(&report), [newest]);
    assert_eq!(repo.digest_of("v1").await.unwrap(), old[0]);
}

/// Read in fujiwara/ecrm: without the clusters it was told to look at, it warned
/// and deleted.
#[tokio::test]
async fn clusters_that_cannot_be_listed_stop_everything() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let old = stage.image(&repo, "old", 60, &["v1"]).await;
    stage.image(&repo, "newest", 40, &["v2"]).await;
    let client = FaultClient::new(stage.account.http_client())
        .with(At::every("ecs:ListClusters"), Fault::Deny);
    let config = stage.account.sdk_config_with(client);

    let run = stage
        .run_as(config, STRICT, Mode::Apply, None, json!({}))
        .await;

    assert_eq!(run.report.status, Status::Refused);
    assert_eq!(
        fate(&run.report, &old),
        Some((ActionOutcome::Deferred, "unseen"))
    );
    assert!(repo.has(&old).await.unwrap());
}

/// aws/containers-roadmap#2746: a push of an old image under a new tag does not
/// make it young, and a promotion between decision and cleanup was not noticed.
#[tokio::test]
async fn an_old_image_that_is_promoted_meanwhile_is_not_deleted() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let manifest = Manifest::image("candidate");
    let candidate = repo
        .push_at(stage.days_ago(60), &manifest, &["rc-1"])
        .await
        .unwrap();
    stage.image(&repo, "newest", 40, &["rc-2"]).await;
    let run = stage.run(STRICT, Mode::Plan, None).await;
    assert_eq!(going(&run.report), std::slice::from_ref(&candidate));
    repo.push(&manifest, Some("production")).await.unwrap();

    let text = serde_json::to_string(&run.plan_file()).unwrap();
    let plan = PlanFile::parse(&text).unwrap();
    let report = stage.run(STRICT, Mode::Apply, Some(plan)).await.report;

    assert_eq!(report.summary.skipped, 1, "{report:#?}");
    assert_eq!(repo.digest_of("production").await.unwrap(), candidate);
}

/// island-is/island.is#10926: a rule took an image between its build and its
/// deployment.
#[tokio::test]
async fn a_build_on_its_way_to_its_deployment_stays() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let built = stage.image(&repo, "built", 0, &["build-1"]).await;
    stage.image(&repo, "later", 0, &["build-2"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::NothingToDo);
    assert!(repo.has(&built).await.unwrap());
}

/// aws/containers-roadmap#1078 and #1036: lifecycle policies do not look at what
/// runs. They cannot be stopped from here; but nobody is surprised.
#[tokio::test]
async fn a_lifecycle_policy_that_will_take_what_runs_is_told() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/web").await.unwrap();
    let deployed = stage.image(&repo, "deployed", 60, &["v1"]).await;
    deploy(&stage, "web", &repo.tagged("v1")).await;
    stage.image(&repo, "newest", 10, &["v2"]).await;
    let text = json!({"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any",
        "countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}}]});
    let ecr = stage.account.ecr();
    let put = ecr.put_lifecycle_policy().repository_name("shop/web");
    put.lifecycle_policy_text(text.to_string())
        .send()
        .await
        .unwrap();

    let report = stage.plan(STRICT).await;

    let warnings = report.warnings.join("\n");
    assert!(warnings.contains("shop/web: rule 1"), "{warnings}");
    assert!(warnings.contains(&deployed), "{warnings}");
}

/// aws/containers-roadmap#2705: caches are full of other people's images, and
/// cleaning them up by the rules for one's own takes what the next pull needs.
#[tokio::test]
async fn pull_through_caches_are_left_alone_until_they_are_named() {
    let stage = Stage::new();
    let repo = stage.account.repository("quay/nginx").await.unwrap();
    let old = stage.image(&repo, "old", 60, &["1.26"]).await;
    stage.image(&repo, "newest", 40, &["1.27"]).await;
    let ecr = stage.account.ecr();
    let create = ecr.create_pull_through_cache_rule();
    let rule = create
        .ecr_repository_prefix("quay")
        .upstream_registry_url("quay.io");
    rule.send().await.unwrap();

    let report = stage.apply(STRICT).await;
    assert_eq!(report.summary.observed, 0);
    assert!(
        report.warnings[0].contains("quay/nginx"),
        "{:?}",
        report.warnings
    );

    let named = STRICT.replace("include: [\"*\"]", "include: [\"*\", \"quay/*\"]");
    assert_eq!(going(&stage.apply(&named).await), [old]);
}

/// From reading every peer: consumers in other accounts are seen by none, and each
/// Region is cleaned alone.
#[tokio::test]
async fn what_another_account_pulled_lately_stays() {
    let stage = Stage::new();
    let repo = stage.account.repository("base").await.unwrap();
    let pulled = fill(&stage, &repo, "pulled", 200, Some(10)).await;
    let copied = fill(&stage, &repo, "copied", 80, None).await;
    let forgotten = fill(&stage, &repo, "forgotten", 300, Some(200)).await;
    fill(&stage, &repo, "newest", 40, None).await;
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Sid": "partner", "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}]});
    let ecr = stage.account.ecr();
    let set = ecr.set_repository_policy().repository_name("base");
    set.policy_text(policy.to_string()).send().await.unwrap();

    let report = stage.apply(STRICT).await;

    assert_eq!(going(&report), [forgotten]);
    for digest in [pulled, copied] {
        assert_eq!(kept_for(&report, &digest), Some("pulled_from_elsewhere"));
    }
}
