//! The registry's stories: what pipelines pushed, what runs, and what tags have
//! left behind.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};

use super::System;
use crate::account::Account;
use crate::arrange::Place;
use crate::control::{Image, Settings, TaskEdit};
use crate::manifest::{Manifest, hex};

/// A rollout that no test will see the end of by itself.
const POLLS_OF_A_LONG_ROLLOUT: u32 = 1_000_000;

/// A release for two architectures, as buildx pushes it.
#[derive(Clone, Debug)]
pub struct ReleaseImages {
    /// Its version tag.
    pub tag: String,
    /// The image index.
    pub index: String,
    /// The images for amd64 and arm64.
    pub platforms: Vec<String>,
    /// What buildx attests about each of them.
    pub attestations: Vec<String>,
}

impl ReleaseImages {
    /// The index and everything below it.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.index)
            .chain(&self.platforms)
            .chain(&self.attestations)
            .map(String::as_str)
    }
}

/// See [`Reference::web`](super::Reference::web).
#[derive(Clone, Debug)]
pub struct WebStory {
    /// The repository's name.
    pub repository: String,
    /// The service's name.
    pub service: String,
    /// All releases, oldest first; the last two are running and deploying.
    pub releases: Vec<ReleaseImages>,
    /// What runs.
    pub running: ReleaseImages,
    /// What is being deployed.
    pub deploying: ReleaseImages,
    /// Signatures whose subjects are `running` and `deploying`.
    pub signatures: Vec<String>,
    /// A signature of the oldest release, which goes with it.
    pub old_signature: String,
    /// Tagged builds that were never released.
    pub failed_builds: Vec<String>,
    /// Platform images whose index was never pushed, untagged.
    pub leftovers: Vec<String>,
    /// The task definition of what runs.
    pub running_task_definition: String,
    /// The task definition of what is being deployed.
    pub deploying_task_definition: String,
}

/// See [`Reference::worker`](super::Reference::worker).
#[derive(Clone, Debug)]
pub struct WorkerStory {
    /// The repository's name.
    pub repository: String,
    /// The service's name.
    pub service: String,
    /// The digest that the task definition names; untagged.
    pub pinned: String,
    /// Its signature of the older kind, bound to it by a tag only.
    pub signature: String,
    /// What `latest` names now.
    pub latest: String,
    /// All other images that `latest` has named, oldest first; untagged.
    pub untagged: Vec<String>,
    /// The service's task definition.
    pub task_definition: String,
}

/// See [`Reference::reports`](super::Reference::reports).
#[derive(Clone, Debug)]
pub struct ReportsStory {
    /// The repository's name.
    pub repository: String,
    /// The service's name.
    pub service: String,
    /// What the service was deployed with and starts again when it is scaled
    /// up; untagged, and known to its service revision only.
    pub deployed: String,
    /// What `stable` names now.
    pub stable: String,
    /// All other images that `stable` has named, oldest first; untagged.
    pub untagged: Vec<String>,
    /// The service's task definition, which says `:stable`.
    pub task_definition: String,
}

/// See [`Reference::batch`](super::Reference::batch).
#[derive(Clone, Debug)]
pub struct BatchStory {
    /// The repository's name.
    pub repository: String,
    /// The tag that the task definition names.
    pub scheduled_tag: String,
    /// The digest of that tag: neither young nor among the newest.
    pub scheduled: String,
    /// All other builds, oldest first, each with its tag.
    pub others: Vec<String>,
    /// The task's definition.
    pub task_definition: String,
    /// The EventBridge rule that starts it.
    pub rule: String,
}

/// See [`Reference::thumbnails`](super::Reference::thumbnails).
#[derive(Clone, Debug)]
pub struct ThumbnailsStory {
    /// The repository's name.
    pub repository: String,
    /// The function's ARN.
    pub function: String,
    /// What the function runs; untagged.
    pub deployed: String,
    /// What `prod` names now.
    pub prod: String,
    /// All other images that `prod` has named, oldest first; untagged.
    pub untagged: Vec<String>,
}

/// A repository that nothing uses.
#[derive(Clone, Debug)]
pub struct UnusedStory {
    /// The repository's name.
    pub repository: String,
    /// Its images, oldest first.
    pub images: Vec<String>,
}

/// A moment `days` and `hours` before another.
fn before(now: Timestamp, days: u32, hours: u32) -> Result<Timestamp> {
    let hours = i64::from(days) * 24 + i64::from(hours);
    now.checked_sub(SignedDuration::from_hours(hours))
        .context("a date before the beginning of time")
}

/// A release and the images that make it up, children first, as they are
/// pushed.
fn release(
    name: &str,
    version: u32,
    pushed_at: Timestamp,
) -> (ReleaseImages, Manifest, Vec<Image>) {
    let tag = format!("v1.{version}.0");
    let commit = format!("sha-{}", &hex(&format!("{name} {tag}"))[..7]);
    let build = format!("{name} {tag}");
    let platforms =
        ["amd64", "arm64"].map(|architecture| Manifest::image_for(&build, architecture));
    let attestations = platforms.each_ref().map(Manifest::attestation_of);
    let index = Manifest::index(&[
        &platforms[0],
        &platforms[1],
        &attestations[0],
        &attestations[1],
    ]);
    let mut images: Vec<Image> = platforms
        .iter()
        .chain(&attestations)
        .map(|child| child.pushed_at(pushed_at, std::iter::empty::<String>()))
        .collect();
    images.push(index.pushed_at(pushed_at, [tag.clone(), commit]));
    let digests = |manifests: &[Manifest]| {
        manifests
            .iter()
            .map(|one| one.digest().to_owned())
            .collect()
    };
    let described = ReleaseImages {
        tag,
        index: index.digest().to_owned(),
        platforms: digests(&platforms),
        attestations: digests(&attestations),
    };
    (described, index, images)
}

pub(super) async fn web(account: &Account, system: &System, now: Timestamp) -> Result<WebStory> {
    const RELEASES: u32 = 40;
    let repository = account.repository("shop/web").await?;
    let mut images = Vec::new();
    let mut releases = Vec::new();
    let mut indexes = Vec::new();
    for version in 0..RELEASES {
        let pushed_at = before(now, (RELEASES - 1 - version) * 6, 2)?;
        let (described, index, pushed) = release("web", version, pushed_at);
        releases.push(described);
        indexes.push((index, pushed_at));
        images.extend(pushed);
    }
    let [old, .., running_index, deploying_index] = indexes.as_slice() else {
        anyhow::bail!("the story needs three releases at least");
    };
    let mut signatures = Vec::new();
    for (index, pushed_at) in [old, running_index, deploying_index] {
        let signature = Manifest::signature_of(index);
        signatures.push(signature.digest().to_owned());
        images.push(signature.pushed_at(*pushed_at, std::iter::empty::<String>()));
    }
    let old_signature = signatures.remove(0);
    let (mut failed_builds, mut leftovers) = (Vec::new(), Vec::new());
    for n in 0..8_u32 {
        let failed = Manifest::image(&format!("web failed build {n}"));
        images.push(failed.pushed_at(
            before(now, 15 + n * 25, 7)?,
            [format!("build-{}-failed", 412 + n * 31)],
        ));
        failed_builds.push(failed.digest().to_owned());
        let leftover = Manifest::image_for(&format!("web interrupted build {n}"), "amd64");
        images.push(leftover.pushed_at(before(now, 12 + n * 25, 9)?, std::iter::empty::<String>()));
        leftovers.push(leftover.digest().to_owned());
    }
    repository.fill(&images).await?;

    let [.., running, deploying] = releases.as_slice() else {
        anyhow::bail!("the story needs two releases at least");
    };
    let (running, deploying) = (running.clone(), deploying.clone());
    let running_task_definition = account
        .task_definition("web", &repository.tagged(&running.tag))
        .await?;
    let place = Place {
        target_group: Some(system.target_group.clone()),
        ..system.place()
    };
    account
        .service_in(&system.cluster, "web", &running_task_definition, 3, &place)
        .await?;
    let deploying_task_definition = account
        .task_definition("web", &repository.tagged(&deploying.tag))
        .await?;
    deploy_web(account, system, &deploying_task_definition).await?;
    Ok(WebStory {
        repository: repository.name().to_owned(),
        service: "web".to_owned(),
        releases,
        running,
        deploying,
        signatures,
        old_signature,
        failed_builds,
        leftovers,
        running_task_definition,
        deploying_task_definition,
    })
}

/// Starts the deployment that stays on its way: old and new tasks run side by
/// side.
async fn deploy_web(account: &Account, system: &System, task_definition: &str) -> Result<()> {
    let settings = |ecs_polls| Settings {
        ecs_polls: Some(ecs_polls),
        ..Settings::default()
    };
    account
        .control()
        .settings(&settings(POLLS_OF_A_LONG_ROLLOUT))
        .await?;
    let ecs = account.ecs();
    ecs.update_service()
        .cluster(&system.cluster)
        .service("web")
        .task_definition(task_definition)
        .send()
        .await
        .context("cannot start the deployment of web")?;
    // The rollout has taken its pace; those of other services are at once.
    account.control().settings(&settings(0)).await?;
    let listed = ecs
        .list_tasks()
        .cluster(&system.cluster)
        .service_name("web")
        .send()
        .await?;
    let tasks = ecs
        .describe_tasks()
        .cluster(&system.cluster)
        .set_tasks(listed.task_arns)
        .send()
        .await?;
    let new = tasks
        .tasks()
        .iter()
        .filter(|task| task.task_definition_arn() == Some(task_definition));
    for task in new.filter_map(|task| task.task_arn()) {
        let running = TaskEdit {
            cluster: system.cluster.clone(),
            task: task.to_owned(),
            last_status: Some("RUNNING".to_owned()),
            ..TaskEdit::default()
        };
        account.control().edit_task(&running).await?;
    }
    Ok(())
}

/// Images that one tag has named in turn, oldest first, every `every` days up
/// to a few hours ago.
fn moved_on(
    name: &str,
    tag: &str,
    count: u32,
    every: u32,
    now: Timestamp,
) -> Result<Vec<(Manifest, Image)>> {
    (0..count)
        .map(|n| {
            let manifest = Manifest::image(&format!("{name} build {n}"));
            let image = manifest.pushed_at(before(now, (count - 1 - n) * every, 5)?, [tag]);
            Ok((manifest, image))
        })
        .collect()
}

fn digests_except(builds: &[(Manifest, Image)], excepted: &[&str]) -> Vec<String> {
    let digests = builds.iter().map(|(manifest, _)| manifest.digest());
    digests
        .filter(|digest| !excepted.contains(digest))
        .map(str::to_owned)
        .collect()
}

fn images(builds: &[(Manifest, Image)]) -> Vec<Image> {
    builds.iter().map(|(_, image)| image.clone()).collect()
}

pub(super) async fn worker(
    account: &Account,
    system: &System,
    now: Timestamp,
) -> Result<WorkerStory> {
    /// Twenty builds ago, two months.
    const PINNED: usize = 24;
    let repository = account.repository("shop/worker").await?;
    let builds = moved_on("worker", "latest", 45, 3, now)?;
    let (pinned, pinned_image) = &builds[PINNED];
    let signature = Manifest::tagged_signature_of(pinned);
    let signed_at = pinned_image.pushed_at.unwrap_or(now);
    let mut pushed = images(&builds);
    pushed.push(signature.pushed_at(signed_at, [pinned.signature_tag()]));
    repository.fill(&pushed).await?;

    let latest = repository.digest_of("latest").await?;
    let task_definition = account
        .task_definition("worker", &repository.pinned(pinned.digest()))
        .await?;
    account
        .service_in(
            &system.cluster,
            "worker",
            &task_definition,
            2,
            &system.place(),
        )
        .await?;
    Ok(WorkerStory {
        repository: repository.name().to_owned(),
        service: "worker".to_owned(),
        untagged: digests_except(&builds, &[pinned.digest(), &latest]),
        pinned: pinned.digest().to_owned(),
        signature: signature.digest().to_owned(),
        latest,
        task_definition,
    })
}

pub(super) async fn reports(
    account: &Account,
    system: &System,
    now: Timestamp,
) -> Result<ReportsStory> {
    /// The service was deployed when this build was `stable`; two more came.
    const DEPLOYED: usize = 9;
    let repository = account.repository("shop/reports").await?;
    let builds = moved_on("reports", "stable", 12, 30, now)?;
    let (until_then, since) = builds.split_at(DEPLOYED + 1);
    repository.fill(&images(until_then)).await?;
    let task_definition = account
        .task_definition("reports", &repository.tagged("stable"))
        .await?;
    account
        .service_in(
            &system.cluster,
            "reports",
            &task_definition,
            1,
            &system.place(),
        )
        .await?;
    account
        .ecs()
        .update_service()
        .cluster(&system.cluster)
        .service("reports")
        .desired_count(0)
        .send()
        .await
        .context("cannot scale reports to zero")?;
    repository.fill(&images(since)).await?;

    let deployed = builds[DEPLOYED].0.digest().to_owned();
    let stable = repository.digest_of("stable").await?;
    Ok(ReportsStory {
        repository: repository.name().to_owned(),
        service: "reports".to_owned(),
        untagged: digests_except(&builds, &[&deployed, &stable]),
        deployed,
        stable,
        task_definition,
    })
}

pub(super) async fn batch(
    account: &Account,
    system: &System,
    now: Timestamp,
) -> Result<BatchStory> {
    const BUILDS: u32 = 14;
    /// The build that works; nobody has touched the job since.
    const SCHEDULED: usize = 3;
    let repository = account.repository("shop/batch").await?;
    let mut builds = Vec::new();
    for n in 0..BUILDS {
        let manifest = Manifest::image(&format!("batch build {n}"));
        let image = manifest.pushed_at(
            before(now, (BUILDS - 1 - n) * 10, 8)?,
            [format!("build-{}", 101 + n)],
        );
        builds.push((manifest, image));
    }
    repository.fill(&images(&builds)).await?;

    let (scheduled, image) = &builds[SCHEDULED];
    let scheduled_tag = image.tags.first().context("a build without a tag")?.clone();
    let task_definition = account
        .task_definition("batch", &repository.tagged(&scheduled_tag))
        .await?;
    let rule = system
        .schedule_task(account, "shop-batch-nightly", &task_definition)
        .await?;
    Ok(BatchStory {
        repository: repository.name().to_owned(),
        others: digests_except(&builds, &[scheduled.digest()]),
        scheduled: scheduled.digest().to_owned(),
        scheduled_tag,
        task_definition,
        rule,
    })
}

pub(super) async fn thumbnails(account: &Account, now: Timestamp) -> Result<ThumbnailsStory> {
    /// The function was last updated when this build was `prod`; three more
    /// came.
    const DEPLOYED: usize = 6;
    let repository = account.repository("thumbnails").await?;
    let builds = moved_on("thumbnails", "prod", 10, 12, now)?;
    let (until_then, since) = builds.split_at(DEPLOYED + 1);
    repository.fill(&images(until_then)).await?;
    let function = account
        .image_function("thumbnails", &repository.tagged("prod"))
        .await?;
    repository.fill(&images(since)).await?;

    let deployed = builds[DEPLOYED].0.digest().to_owned();
    let prod = repository.digest_of("prod").await?;
    Ok(ThumbnailsStory {
        repository: repository.name().to_owned(),
        function,
        untagged: digests_except(&builds, &[&deployed, &prod]),
        deployed,
        prod,
    })
}

pub(super) async fn admin(account: &Account, now: Timestamp) -> Result<UnusedStory> {
    tagged_now_and_then(account, "shop/admin", 12, (18, 4), now, |n| {
        format!("2.{n}")
    })
    .await
}

pub(super) async fn base(account: &Account, now: Timestamp) -> Result<UnusedStory> {
    tagged_now_and_then(account, "tools/base", 34, (16, 60), now, |n| {
        format!("2025.{:02}", n + 1)
    })
    .await
}

/// A repository of `count` tagged images, one every `every` days, the newest
/// `newest` days old.
async fn tagged_now_and_then(
    account: &Account,
    name: &str,
    count: u32,
    (every, newest): (u32, u32),
    now: Timestamp,
    tag: impl Fn(u32) -> String,
) -> Result<UnusedStory> {
    let repository = account.repository(name).await?;
    let mut pushed = Vec::new();
    for n in 0..count {
        let manifest = Manifest::image(&format!("{name} build {n}"));
        pushed
            .push(manifest.pushed_at(before(now, newest + (count - 1 - n) * every, 11)?, [tag(n)]));
    }
    let images = repository.fill(&pushed).await?;
    Ok(UnusedStory {
        repository: repository.name().to_owned(),
        images,
    })
}
