//! Each story of the seed, read back with the raw SDK.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use aws_sdk_ecs::types::{DeploymentRolloutState, Service};
use jiff::Timestamp;
use steward_sandbox::seed::{self, Reference};
use steward_sandbox::{Account, Sandbox};

const NOW: &str = "2026-11-20T09:00:00Z";

async fn seeded() -> Result<(Account, Reference)> {
    let account = Sandbox::shared()?.account();
    let reference = seed::reference_system(&account, NOW.parse::<Timestamp>()?).await?;
    Ok((account, reference))
}

async fn service(account: &Account, name: &str) -> Result<Service> {
    let described = account
        .ecs()
        .describe_services()
        .cluster("shop")
        .services(name)
        .send()
        .await?;
    described
        .services
        .unwrap_or_default()
        .pop()
        .with_context(|| format!("no service {name}"))
}

/// The digests that a service's revisions hold, by task definition.
async fn revision_digests(
    account: &Account,
    service: &Service,
) -> Result<BTreeSet<(String, String)>> {
    let arns = service
        .current_service_revisions()
        .iter()
        .filter_map(|revision| revision.arn.clone())
        .collect();
    let described = account
        .ecs()
        .describe_service_revisions()
        .set_service_revision_arns(Some(arns))
        .send()
        .await?;
    let mut digests = BTreeSet::new();
    for revision in described.service_revisions() {
        for image in revision.container_images() {
            let definition = revision
                .task_definition()
                .context("a revision without a task definition")?;
            digests.insert((
                definition.to_owned(),
                image.image_digest().unwrap_or("none").to_owned(),
            ));
        }
    }
    Ok(digests)
}

async fn running_digests(account: &Account, service: &str) -> Result<BTreeSet<String>> {
    let ecs = account.ecs();
    let listed = ecs
        .list_tasks()
        .cluster("shop")
        .service_name(service)
        .send()
        .await?;
    if listed.task_arns().is_empty() {
        return Ok(BTreeSet::new());
    }
    let tasks = ecs
        .describe_tasks()
        .cluster("shop")
        .set_tasks(listed.task_arns)
        .send()
        .await?;
    let containers = tasks.tasks().iter().flat_map(|task| task.containers());
    Ok(containers
        .filter_map(|container| container.image_digest.clone())
        .collect())
}

async fn tags_of(account: &Account, repository: &str, digest: &str) -> Result<Vec<String>> {
    let id = aws_sdk_ecr::types::ImageIdentifier::builder()
        .image_digest(digest)
        .build();
    let found = account
        .ecr()
        .describe_images()
        .repository_name(repository)
        .image_ids(id)
        .send()
        .await?;
    Ok(found
        .image_details()
        .first()
        .context("no such image")?
        .image_tags()
        .to_vec())
}

#[tokio::test]
async fn web_is_in_the_middle_of_a_deployment() -> Result<()> {
    let (account, reference) = seeded().await?;
    let web = &reference.web;
    // Describing does not move it on.
    service(&account, "web").await?;
    let seen = service(&account, "web").await?;

    let states: Vec<_> = seen
        .deployments()
        .iter()
        .map(|one| {
            (
                one.status().unwrap_or_default(),
                one.task_definition().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        ("PRIMARY", web.deploying_task_definition.as_str()),
        ("ACTIVE", web.running_task_definition.as_str()),
    ];
    assert_eq!(states, expected);
    assert_eq!(
        seen.deployments()[0].rollout_state(),
        Some(&DeploymentRolloutState::InProgress)
    );
    assert!(
        seen.deployments().iter().all(|one| one.running_count() > 0),
        "{seen:?}"
    );
    let both = [web.deploying.index.clone(), web.running.index.clone()].into();
    assert_eq!(running_digests(&account, "web").await?, both);
    let revisions = revision_digests(&account, &seen).await?;
    assert_eq!(
        revisions
            .into_iter()
            .map(|(_, digest)| digest)
            .collect::<BTreeSet<_>>(),
        both
    );
    Ok(())
}

#[tokio::test]
async fn releases_are_indexes_over_platforms_and_attestations() -> Result<()> {
    let (account, reference) = seeded().await?;
    let release = &reference.web.deploying;
    let id = aws_sdk_ecr::types::ImageIdentifier::builder()
        .image_tag(&release.tag)
        .build();
    let got = account
        .ecr()
        .batch_get_image()
        .repository_name("shop/web")
        .image_ids(id)
        .send()
        .await?;
    let manifest = got
        .images()
        .first()
        .and_then(|image| image.image_manifest())
        .context("no manifest")?;
    let index: serde_json::Value = serde_json::from_str(manifest)?;
    let platforms: Vec<_> = index["manifests"]
        .as_array()
        .context("no manifests")?
        .iter()
        .map(|child| {
            child["platform"]["architecture"]
                .as_str()
                .unwrap_or_default()
        })
        .collect();
    assert_eq!(platforms, ["amd64", "arm64", "unknown", "unknown"]);

    let present = account.existing_repository("shop/web").digests().await?;
    for release in &reference.web.releases {
        for digest in release.all() {
            assert!(
                present.iter().any(|there| there == digest),
                "{} of {} is missing",
                digest,
                release.tag
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn deployed_releases_are_signed() -> Result<()> {
    let (account, reference) = seeded().await?;
    let web = &reference.web;
    for (release, signature) in [&web.running, &web.deploying]
        .into_iter()
        .zip(&web.signatures)
    {
        let subject = aws_sdk_ecr::types::SubjectIdentifier::builder()
            .image_digest(&release.index)
            .build()?;
        let found = account
            .ecr()
            .list_image_referrers()
            .repository_name("shop/web")
            .subject_id(subject)
            .send()
            .await?;
        let referrers: Vec<_> = found
            .referrers()
            .iter()
            .map(|referrer| referrer.digest())
            .collect();
        assert_eq!(referrers, [signature]);
    }
    let worker = &reference.worker;
    let by_tag = tags_of(&account, "shop/worker", &worker.signature).await?;
    assert_eq!(by_tag, [format!("{}.sig", worker.pinned.replace(':', "-"))]);
    Ok(())
}

#[tokio::test]
async fn worker_is_pinned_to_a_digest_that_latest_has_left() -> Result<()> {
    let (account, reference) = seeded().await?;
    let worker = &reference.worker;
    assert_eq!(
        running_digests(&account, "worker").await?,
        [worker.pinned.clone()].into()
    );
    assert_eq!(
        tags_of(&account, "shop/worker", &worker.pinned).await?,
        [""; 0]
    );
    assert_eq!(
        tags_of(&account, "shop/worker", &worker.latest).await?,
        ["latest"]
    );
    assert_eq!(service(&account, "worker").await?.deployments().len(), 1);
    assert!(worker.untagged.len() > 40);
    Ok(())
}

#[tokio::test]
async fn reports_at_zero_is_known_to_its_service_revision_only() -> Result<()> {
    let (account, reference) = seeded().await?;
    let reports = &reference.reports;
    let seen = service(&account, "reports").await?;
    assert_eq!((seen.desired_count(), seen.running_count()), (0, 0));
    assert_eq!(running_digests(&account, "reports").await?, [].into());
    let expected = (reports.task_definition.clone(), reports.deployed.clone());
    assert_eq!(revision_digests(&account, &seen).await?, [expected].into());
    assert_eq!(
        tags_of(&account, "shop/reports", &reports.deployed).await?,
        [""; 0]
    );
    assert_ne!(reports.stable, reports.deployed);
    Ok(())
}

#[tokio::test]
async fn a_rule_starts_batch_every_night() -> Result<()> {
    let (account, reference) = seeded().await?;
    let batch = &reference.batch;
    let events = account.events();
    let rules = events.list_rules().send().await?;
    let rule = rules.rules().first().context("no rule")?;
    assert_eq!(rule.arn(), Some(batch.rule.as_str()));
    let targets = events
        .list_targets_by_rule()
        .rule(rule.name().unwrap_or_default())
        .send()
        .await?;
    let task = targets
        .targets()
        .first()
        .and_then(|target| target.ecs_parameters())
        .context("no ECS target")?;
    assert_eq!(task.task_definition_arn(), batch.task_definition);
    let definition = account
        .ecs()
        .describe_task_definition()
        .task_definition(&batch.task_definition)
        .send()
        .await?;
    let image = definition
        .task_definition()
        .and_then(|one| one.container_definitions().first()?.image());
    let tagged = account
        .existing_repository("shop/batch")
        .tagged(&batch.scheduled_tag);
    assert_eq!(image, Some(tagged.as_str()));
    assert_eq!(
        tags_of(&account, "shop/batch", &batch.scheduled).await?,
        [batch.scheduled_tag.as_str()]
    );
    Ok(())
}

#[tokio::test]
async fn thumbnails_runs_a_digest_that_prod_has_left() -> Result<()> {
    let (account, reference) = seeded().await?;
    let thumbnails = &reference.thumbnails;
    let function = account
        .lambda_consumers()
        .get_function()
        .function_name("thumbnails")
        .send()
        .await?;
    let resolved = function
        .code()
        .and_then(|code| code.resolved_image_uri())
        .context("no resolved image")?;
    assert_eq!(
        resolved,
        account
            .existing_repository("thumbnails")
            .pinned(&thumbnails.deployed)
    );
    assert_eq!(
        tags_of(&account, "thumbnails", &thumbnails.deployed).await?,
        [""; 0]
    );
    assert_eq!(
        tags_of(&account, "thumbnails", &thumbnails.prod).await?,
        ["prod"]
    );
    Ok(())
}

#[tokio::test]
async fn base_images_are_nearly_all_old() -> Result<()> {
    let (account, reference) = seeded().await?;
    let ninety_days_ago = "2026-08-22T09:00:00Z".parse::<Timestamp>()?.as_second();
    let images = account
        .ecr()
        .describe_images()
        .repository_name(&reference.base.repository)
        .send()
        .await?;
    let dates = images
        .image_details()
        .iter()
        .filter_map(|image| Some(image.image_pushed_at()?.secs()));
    let (old, young): (Vec<_>, Vec<_>) = dates.partition(|pushed_at| *pushed_at < ninety_days_ago);
    assert!(
        old.len() > 9 * young.len() && old.len() > 20,
        "{} old, {} young",
        old.len(),
        young.len()
    );
    Ok(())
}

#[tokio::test]
async fn the_system_around_is_as_the_overview_says() -> Result<()> {
    let (account, reference) = seeded().await?;
    let system = &reference.system;
    let groups = account
        .elbv2()
        .describe_target_groups()
        .target_group_arns(&system.target_group)
        .send()
        .await?;
    let group = groups.target_groups().first().context("no target group")?;
    assert_eq!(
        (group.port(), group.health_check_path()),
        (Some(3000), Some("/api/health"))
    );
    let asg = account
        .autoscaling()
        .describe_auto_scaling_groups()
        .auto_scaling_group_names(&system.auto_scaling_group)
        .send()
        .await?;
    let asg = asg
        .auto_scaling_groups()
        .first()
        .context("no Auto Scaling group")?;
    assert_eq!(
        (asg.min_size(), asg.max_size(), asg.desired_capacity()),
        (Some(2), Some(10), Some(2))
    );
    assert!(
        asg.instances()
            .iter()
            .all(|one| one.instance_type() == Some("t3.medium")),
        "{asg:?}"
    );

    let databases = account
        .rds()
        .describe_db_instances()
        .db_instance_identifier("shop")
        .send()
        .await?;
    let database = databases.db_instances().first().context("no database")?;
    assert_eq!(
        (database.engine(), database.engine_version()),
        (Some("postgres"), Some("15.4"))
    );
    assert_eq!(
        database.endpoint().and_then(|endpoint| endpoint.port()),
        Some(5432)
    );
    assert_eq!(database.storage_encrypted(), Some(true));
    assert_eq!(database.deletion_protection(), Some(true));
    assert_eq!(database.publicly_accessible(), Some(false));
    assert_eq!(database.backup_retention_period(), Some(7));

    let clusters = account
        .ecs()
        .describe_clusters()
        .clusters("shop")
        .send()
        .await?;
    assert_eq!(
        clusters
            .clusters()
            .first()
            .context("no cluster")?
            .capacity_providers(),
        ["shop-ec2"]
    );
    let targets = account
        .application_autoscaling()
        .describe_scalable_targets()
        .service_namespace(aws_sdk_applicationautoscaling::types::ServiceNamespace::Ecs)
        .send()
        .await?;
    let target = targets
        .scalable_targets()
        .first()
        .context("no scalable target")?;
    assert_eq!((target.min_capacity(), target.max_capacity()), (2, 10));
    assert_eq!(
        account
            .secretsmanager()
            .list_secrets()
            .send()
            .await?
            .secret_list()
            .len(),
        3,
        "two, and the database's"
    );
    Ok(())
}

#[tokio::test]
async fn alarms_watch_the_service_the_load_balancer_and_the_database() -> Result<()> {
    let (account, reference) = seeded().await?;
    let described = account.cloudwatch().describe_alarms().send().await?;
    // Target tracking has made alarms of its own, as it does on AWS.
    for name in &reference.system.alarms {
        let mut named = described
            .metric_alarms()
            .iter()
            .filter(|alarm| alarm.alarm_name() == Some(name));
        let alarm = named.next().with_context(|| format!("no alarm {name}"))?;
        assert!(!alarm.dimensions().is_empty(), "{alarm:?}");
    }
    assert_eq!(reference.system.alarms.len(), 13);
    Ok(())
}

#[tokio::test]
async fn every_image_in_use_is_there_and_there_are_some_hundreds() -> Result<()> {
    let (account, reference) = seeded().await?;
    let mut total = 0;
    for repository in reference.repositories() {
        let present = account.existing_repository(repository).digests().await?;
        total += present.len();
        for used in reference
            .in_use()
            .iter()
            .filter(|used| used.repository == repository)
        {
            assert!(present.contains(&used.digest), "{used:?}");
        }
    }
    assert!((300..=400).contains(&total), "{total} images");
    Ok(())
}

#[tokio::test]
async fn two_seeds_of_one_moment_have_the_same_digests() -> Result<()> {
    let ((_, one), (_, other)) = (seeded().await?, seeded().await?);
    assert_eq!(one.in_use(), other.in_use());
    assert_eq!(one.base.images, other.base.images);
    Ok(())
}
