//! Who uses which image: tasks, deployments, task sets and task definitions of
//! Amazon ECS, Lambda functions, and what the policy names.
//!
//! It only reads. A read that fails becomes a gap that hides everything,
//! because the image that it would have shown could be in any repository.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_ecs as ecs;
use aws_sdk_ecs::types::{
    DeploymentControllerType, DesiredStatus, Service, ServiceDeploymentStatus, ServiceRevision,
    SortOrder, Task, TaskDefinitionStatus, VersionConsistency,
};
use aws_sdk_lambda as lambda;
use aws_sdk_lambda::types::{FunctionConfiguration, FunctionVersion, PackageType};
use futures::{StreamExt, stream};
use steward::aws::{self, ErrorKind};
use steward::engine::{Gap, Hides};
use tokio::sync::Semaphore;

use crate::policy::InUse;
use crate::reference::{self, Digest};
use crate::world::{Pin, Use, User, UserKind};

/// Describes that are under way at once, in all. ECS throttles those of task
/// definitions soonest.
const CALLS_AT_ONCE: usize = 8;

/// Things that are looked at side by side; what they call waits its turn for
/// one of [`CALLS_AT_ONCE`].
const AT_ONCE: usize = 8;

/// Everything that was found out about users of images.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    images: Vec<Used>,
    pub(crate) gaps: Vec<Gap>,
}

/// An image as its user writes it.
#[derive(Debug)]
struct Used {
    image: String,
    digest: Option<Digest>,
    by_tag: ByTag,
    by: User,
}

/// What a tag means to somebody who has no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByTag {
    /// It is looked up when it is needed.
    LooksUp,
    /// It was looked up once, and no one knows what it was then.
    HasLookedUp,
}

impl Reading {
    fn gap(&mut self, read: String, grant: &str) {
        self.gaps.push(Gap {
            read,
            hides: Hides::Everything,
            grant: grant.to_owned(),
        });
    }

    fn add(&mut self, other: Self) {
        self.images.extend(other.images);
        self.gaps.extend(other.gaps);
    }

    fn joined(readings: Vec<Self>) -> Self {
        let mut all = Self::default();
        readings.into_iter().for_each(|reading| all.add(reading));
        all
    }

    /// The uses of one registry; references to others are none of ours, and
    /// one that cannot be read is a gap.
    pub(crate) fn uses_of(&self, account: &str, region: &str) -> (BTreeSet<Use>, Vec<Gap>) {
        let mut uses = BTreeSet::new();
        let mut gaps = Vec::new();
        for used in &self.images {
            let reference = match reference::parse(&used.image) {
                Ok(Some(reference)) => reference,
                Ok(None) => continue,
                Err(error)
                    if error
                        .registry
                        .as_ref()
                        .is_some_and(|(a, r)| a != account || r != region) =>
                {
                    continue;
                }
                Err(error) => {
                    gaps.push(Gap {
                        read: format!("{error} ({})", used.by),
                        hides: Hides::Everything,
                        grant: String::new(),
                    });
                    continue;
                }
            };
            if reference.account != account || reference.region != region {
                continue;
            }
            let mut add = |pin| {
                uses.insert(Use {
                    repository: reference.repository.clone(),
                    pin,
                    by: used.by.clone(),
                });
            };
            let digest = used.digest.clone().or(reference.digest);
            match (digest, reference.tag) {
                (Some(digest), tag) => {
                    add(Pin::Digest(digest));
                    // A deployment whose containers have version consistency
                    // switched off looks its tag up for every task.
                    if let (Some(tag), UserKind::Deployment | UserKind::TaskSet) =
                        (tag, used.by.kind)
                    {
                        add(Pin::Tag(tag));
                    }
                }
                (None, Some(tag)) if used.by_tag == ByTag::HasLookedUp => add(Pin::WasTag(tag)),
                (None, Some(tag)) => add(Pin::Tag(tag)),
                // The parser gives `latest` when neither is written.
                (None, None) => {}
            }
        }
        (uses, gaps)
    }
}

/// What of a task definition matters here.
#[derive(Debug)]
struct Containers {
    arn: String,
    /// Container name, image, and whether its tag is looked up for every task.
    images: Vec<(String, String, ByTag)>,
}

impl Containers {
    /// All of them as used by somebody.
    fn used(&self, by: &User, by_tag: impl Fn(ByTag) -> ByTag) -> impl Iterator<Item = Used> {
        let used = |(_, image, as_written): &(String, String, ByTag)| Used {
            image: image.clone(),
            digest: None,
            by_tag: by_tag(*as_written),
            by: by.clone(),
        };
        self.images.iter().map(used).collect::<Vec<_>>().into_iter()
    }
}

/// A task definition that could not be read.
struct Unread {
    read: String,
    /// It does not exist any more.
    gone: bool,
}

/// What a revision runs, for telling releases apart.
fn release_of(revision: &ServiceRevision) -> Vec<(String, String)> {
    let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
    let mut images: Vec<(String, String)> = revision
        .container_images()
        .iter()
        .map(|c| (text(c.image()), text(c.image_digest())))
        .collect();
    images.sort();
    if images.iter().any(|(_, digest)| digest.is_empty()) || images.is_empty() {
        images.push((text(revision.task_definition()), String::new()));
    }
    images
}

/// The image of one version of a Lambda function.
#[derive(Debug)]
struct FunctionImage {
    written: String,
    digest: Option<Digest>,
}

/// Reads users of images, and remembers what cannot change: task definitions,
/// complete service revisions, versions of Lambda functions.
#[derive(Debug)]
pub(crate) struct Users {
    ecs: ecs::Client,
    lambda: lambda::Client,
    calls: Semaphore,
    definitions: Mutex<HashMap<String, Arc<Containers>>>,
    revisions: Mutex<HashMap<String, Arc<ServiceRevision>>>,
    functions: Mutex<HashMap<String, Arc<FunctionImage>>>,
}

/// A lock's content, also after a panic elsewhere: these maps are only ever
/// added to.
fn known<V: Clone>(map: &Mutex<HashMap<String, V>>, key: &str) -> Option<V> {
    let map = map.lock().unwrap_or_else(PoisonError::into_inner);
    map.get(key).cloned()
}

fn remember<V>(map: &Mutex<HashMap<String, V>>, key: String, value: V) {
    map.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(key, value);
}

/// The last part of an ARN, which is what people call the thing.
fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

impl Users {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self {
            ecs: ecs::Client::new(config),
            lambda: lambda::Client::new(config),
            calls: Semaphore::new(CALLS_AT_ONCE),
            definitions: Mutex::default(),
            revisions: Mutex::default(),
            functions: Mutex::default(),
        }
    }

    /// Makes a call when its turn has come.
    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        // The semaphore is never closed; were it, the call would still be made.
        let _turn = self.calls.acquire().await.ok();
        call.await
    }

    /// Reads every user of images that there is.
    pub(crate) async fn read(&self, settings: &InUse) -> Reading {
        let (clusters, families, functions) = futures::join!(
            self.clusters(settings),
            self.families(settings.revisions_per_family as usize),
            self.functions(),
        );
        let mut all = Reading::joined(vec![clusters, families, functions]);
        all.images
            .extend(settings.references.iter().map(|reference| Used {
                image: reference.clone(),
                digest: None,
                by_tag: ByTag::LooksUp,
                by: User {
                    kind: UserKind::PolicyReference,
                    name: reference.clone(),
                },
            }));
        all
    }

    async fn clusters(&self, settings: &InUse) -> Reading {
        let mut all = Reading::default();
        let pages = self
            .ecs
            .list_clusters()
            .into_paginator()
            .page_size(100)
            .send();
        let (clusters, incomplete) = aws::read_pages(pages, |page| page.cluster_arns).await;
        if let Some(why) = incomplete {
            all.gap(format!("ecs:ListClusters: {why}"), "ecs:ListClusters");
        }
        let readings: Vec<Reading> = stream::iter(clusters)
            .map(|cluster| async move {
                let (services, running, stopped) = futures::join!(
                    self.services(&cluster, settings),
                    self.tasks(&cluster, DesiredStatus::Running),
                    self.tasks(&cluster, DesiredStatus::Stopped),
                );
                Reading::joined(vec![services, running, stopped])
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.add(Reading::joined(readings));
        all
    }

    /// Running tasks include pending ones; ECS shows stopped ones for an hour
    /// at least (Amazon ECS API Reference, `ListTasks`).
    async fn tasks(&self, cluster: &str, status: DesiredStatus) -> Reading {
        let mut all = Reading::default();
        let tasks = self
            .ecs
            .list_tasks()
            .cluster(cluster)
            .desired_status(status.clone());
        let pages = tasks.into_paginator().page_size(100).send();
        let (arns, incomplete) = aws::read_pages(pages, |page| page.task_arns).await;
        match incomplete {
            // Deleted since it was listed: nothing runs there.
            Some(why) if why.code() == Some("ClusterNotFoundException") => {}
            Some(why) => {
                let read = format!(
                    "ecs:ListTasks ({status}) in cluster {}: {why}",
                    short(cluster)
                );
                all.gap(read, "ecs:ListTasks");
            }
            None => {}
        }
        let stopped = status == DesiredStatus::Stopped;
        let chunks: Vec<Vec<String>> = arns.chunks(100).map(<[String]>::to_vec).collect();
        let readings: Vec<Reading> = stream::iter(chunks)
            .map(|chunk| self.describe_tasks(cluster, chunk, stopped))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.add(Reading::joined(readings));
        all
    }

    async fn describe_tasks(&self, cluster: &str, arns: Vec<String>, stopped: bool) -> Reading {
        let mut all = Reading::default();
        let asked = arns.len();
        let request = self
            .ecs
            .describe_tasks()
            .cluster(cluster)
            .set_tasks(Some(arns));
        let answer = self.call(request.send()).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if aws::code(&error) == Some("ClusterNotFoundException") => return all,
            Err(error) => {
                let read = format!(
                    "ecs:DescribeTasks in cluster {}: {}",
                    short(cluster),
                    aws::explain(&error)
                );
                all.gap(read, "ecs:DescribeTasks");
                return all;
            }
        };
        all.failures("ecs:DescribeTasks", answer.failures());
        if answer.tasks().len() + answer.failures().len() < asked {
            all.gap(
                format!(
                    "ecs:DescribeTasks in cluster {}: {asked} asked for, fewer answered",
                    short(cluster)
                ),
                "ecs:DescribeTasks",
            );
        }
        let kind = if stopped {
            UserKind::StoppedTask
        } else {
            UserKind::Task
        };
        for task in answer.tasks() {
            all.add(self.task(cluster, task, kind).await);
        }
        all
    }

    async fn task(&self, cluster: &str, task: &Task, kind: UserKind) -> Reading {
        let mut all = Reading::default();
        let id = task.task_arn().map_or("without ARN", short);
        let by = User {
            kind,
            name: format!("{id} (cluster {})", short(cluster)),
        };
        // What a service's task is about to pull is the digest of its
        // deployment, which is read with the service.
        let of_service = task
            .group()
            .is_some_and(|group| group.starts_with("service:"));
        let has_pulled = task.last_status() == Some("RUNNING");
        let by_tag = if of_service && !has_pulled {
            ByTag::LooksUp
        } else {
            ByTag::HasLookedUp
        };
        // Every task has a container; where none is told, its definition has to
        // tell.
        if task.containers().is_empty() {
            let definition = task.task_definition_arn().unwrap_or_default();
            match self.containers(definition).await {
                Ok(containers) => all.images.extend(containers.used(&by, |_| by_tag)),
                Err(unread) => all.gap(unread.read, "ecs:DescribeTaskDefinition"),
            }
        }
        for container in task.containers() {
            if kind == UserKind::StoppedTask && container.image_digest().is_none() {
                // It stopped before it had pulled anything.
                continue;
            }
            let image = match container.image() {
                Some(image) => image.to_owned(),
                // What AWS adds to a task (GuardDuty's agent, the proxy of
                // Service Connect) has no image and is not in its definition.
                None => match self
                    .image_of(task, container.name().unwrap_or_default())
                    .await
                {
                    Ok(Some(image)) => image,
                    Ok(None) => continue,
                    Err(unread) => {
                        all.gap(unread.read, "ecs:DescribeTaskDefinition");
                        continue;
                    }
                },
            };
            all.images.push(Used {
                image,
                digest: container.image_digest().map(Digest::new),
                by_tag,
                by: by.clone(),
            });
        }
        all
    }

    /// The image of a task's container by its definition, if it is in there.
    async fn image_of(&self, task: &Task, container: &str) -> Result<Option<String>, Unread> {
        let definition = task.task_definition_arn().unwrap_or_default();
        let containers = self.containers(definition).await?;
        Ok(containers
            .images
            .iter()
            .find(|(name, ..)| name == container)
            .map(|(_, image, _)| image.clone()))
    }

    async fn services(&self, cluster: &str, settings: &InUse) -> Reading {
        let mut all = Reading::default();
        let services = self.ecs.list_services().cluster(cluster);
        let pages = services.into_paginator().page_size(100).send();
        let (arns, incomplete) = aws::read_pages(pages, |page| page.service_arns).await;
        match incomplete {
            Some(why) if why.code() == Some("ClusterNotFoundException") => {}
            Some(why) => {
                let read = format!("ecs:ListServices in cluster {}: {why}", short(cluster));
                all.gap(read, "ecs:ListServices");
            }
            None => {}
        }
        let chunks: Vec<Vec<String>> = arns.chunks(10).map(<[String]>::to_vec).collect();
        let readings: Vec<Reading> = stream::iter(chunks)
            .map(|chunk| self.describe_services(cluster, chunk, settings))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.add(Reading::joined(readings));
        all
    }

    async fn describe_services(
        &self,
        cluster: &str,
        arns: Vec<String>,
        settings: &InUse,
    ) -> Reading {
        let mut all = Reading::default();
        let asked = arns.len();
        let request = self
            .ecs
            .describe_services()
            .cluster(cluster)
            .set_services(Some(arns));
        let answer = self.call(request.send()).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if aws::code(&error) == Some("ClusterNotFoundException") => return all,
            Err(error) => {
                let read = format!(
                    "ecs:DescribeServices in cluster {}: {}",
                    short(cluster),
                    aws::explain(&error)
                );
                all.gap(read, "ecs:DescribeServices");
                return all;
            }
        };
        all.failures("ecs:DescribeServices", answer.failures());
        if answer.services().len() + answer.failures().len() < asked {
            all.gap(
                format!(
                    "ecs:DescribeServices in cluster {}: {asked} asked for, fewer answered",
                    short(cluster)
                ),
                "ecs:DescribeServices",
            );
        }
        let readings: Vec<Reading> = stream::iter(answer.services())
            .map(|service| self.service(cluster, service, settings))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.add(Reading::joined(readings));
        all
    }

    /// Everything that a service runs, would run when it is scaled up, or can
    /// be rolled back to.
    async fn service(&self, cluster: &str, service: &Service, settings: &InUse) -> Reading {
        let mut all = Reading::default();
        let arn = service.service_arn().unwrap_or_default();
        let name = format!("{} (cluster {})", short(arn), short(cluster));
        let user = |kind| User {
            kind,
            name: name.clone(),
        };

        // Definitions whose images some revision of the present deployments
        // tells digest by digest.
        let mut told: BTreeSet<String> = BTreeSet::new();
        let current: Vec<String> = service
            .current_service_revisions()
            .iter()
            .filter_map(|revision| revision.arn().map(str::to_owned))
            .collect();
        let current = match self.describe_revisions(&current).await {
            Ok(current) => current,
            Err(read) => {
                all.gap(read, "ecs:DescribeServiceRevisions");
                vec![]
            }
        };
        for revision in &current {
            told.extend(revision.task_definition().map(str::to_owned));
            match self
                .revision_images(revision, user(UserKind::Deployment))
                .await
            {
                Ok(images) => all.images.extend(images),
                Err(unread) => all.gap(unread.read, "ecs:DescribeTaskDefinition"),
            }
        }

        // Only the ECS controller keeps service deployments; task sets below
        // are what the others have.
        let controller = service.deployment_controller().map(|c| c.r#type());
        if matches!(controller, None | Some(DeploymentControllerType::Ecs)) {
            let most = settings.rollback_deployments as usize;
            match self.rollback_targets(cluster, arn, &current, most).await {
                Ok(targets) => {
                    for revision in targets {
                        match self
                            .revision_images(&revision, user(UserKind::RollbackTarget))
                            .await
                        {
                            Ok(images) => all.images.extend(images),
                            // Without its definition nothing can go back to it.
                            Err(unread) if unread.gone => {}
                            Err(unread) => all.gap(unread.read, "ecs:DescribeTaskDefinition"),
                        }
                    }
                }
                Err((read, grant)) => all.gap(read, grant),
            }
        }

        // Deployments that have no revision. While tasks of one run, these tell
        // the digest; without, only the tag is known.
        let mut untold: BTreeMap<&str, (UserKind, bool)> = BTreeMap::new();
        let deployments = service.deployments().iter().map(|deployment| {
            let runs = deployment.running_count() > 0;
            (deployment.task_definition(), UserKind::Deployment, runs)
        });
        let sets = service.task_sets().iter().map(|set| {
            let runs = set.running_count() > 0;
            (set.task_definition(), UserKind::TaskSet, runs)
        });
        for (definition, kind, runs) in deployments.chain(sets) {
            if let Some(definition) = definition {
                let (_, all_run) = untold.entry(definition).or_insert((kind, true));
                *all_run &= runs;
            }
        }
        if let Some(definition) = service.task_definition() {
            untold
                .entry(definition)
                .or_insert((UserKind::Deployment, false));
        }
        untold.retain(|definition, _| !told.contains(*definition));
        for (definition, (kind, runs)) in untold {
            match self.containers(definition).await {
                Ok(containers) => all.images.extend(containers.used(&user(kind), |by_tag| {
                    if runs { ByTag::LooksUp } else { by_tag }
                })),
                Err(unread) => all.gap(unread.read, "ecs:DescribeTaskDefinition"),
            }
        }
        all
    }

    /// What the service can be rolled back to: the last successful deployments
    /// that ran something else than the present ones, and than each other.
    /// Deployments that only restarted the same release count once.
    async fn rollback_targets(
        &self,
        cluster: &str,
        service: &str,
        current: &[Arc<ServiceRevision>],
        most: usize,
    ) -> Result<Vec<Arc<ServiceRevision>>, (String, &'static str)> {
        let arns = self
            .successful_revisions(cluster, service)
            .await
            .map_err(|read| (read, "ecs:ListServiceDeployments"))?;
        let mut releases: BTreeSet<_> = current
            .iter()
            .map(|revision| release_of(revision))
            .collect();
        let mut targets = Vec::new();
        for chunk in arns.chunks(20) {
            let found = self
                .describe_revisions(chunk)
                .await
                .map_err(|read| (read, "ecs:DescribeServiceRevisions"))?;
            let by_arn: HashMap<&str, &Arc<ServiceRevision>> = found
                .iter()
                .filter_map(|revision| Some((revision.service_revision_arn()?, revision)))
                .collect();
            // In the order of the deployments, which the answer need not have.
            for revision in chunk.iter().filter_map(|arn| by_arn.get(arn.as_str())) {
                if targets.len() < most && releases.insert(release_of(revision)) {
                    targets.push(Arc::clone(revision));
                }
            }
            if targets.len() >= most {
                break;
            }
        }
        Ok(targets)
    }

    /// The revisions of the successful deployments, newest first. ECS keeps
    /// deployments for 90 days (Amazon ECS Developer Guide, "View service
    /// history using Amazon ECS service deployments").
    async fn successful_revisions(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Vec<String>, String> {
        let failed = |why: String| {
            Err(format!(
                "ecs:ListServiceDeployments of service {}: {why}",
                short(service)
            ))
        };
        let mut deployments = Vec::new();
        let mut token: Option<String> = None;
        loop {
            // The SDK has no paginator for this operation.
            let request = self
                .ecs
                .list_service_deployments()
                .service(service)
                .cluster(cluster)
                .status(ServiceDeploymentStatus::Successful)
                .max_results(100)
                .set_next_token(token.clone());
            let answer = match self.call(request.send()).await {
                Ok(answer) => answer,
                // Deleted since it was described.
                Err(error)
                    if matches!(
                        aws::code(&error),
                        Some("ServiceNotFoundException" | "ClusterNotFoundException")
                    ) =>
                {
                    return Ok(vec![]);
                }
                Err(error) => return failed(aws::explain(&error)),
            };
            let Some(briefs) = answer.service_deployments else {
                return failed("the answer has no list in it".to_owned());
            };
            for brief in briefs {
                let at = brief.created_at().map(|at| at.as_nanos());
                deployments.push((at, brief.target_service_revision_arn));
            }
            let next = answer.next_token.filter(|next| !next.is_empty());
            if next.is_some() && next == token {
                return failed("the same page comes again and again".to_owned());
            }
            token = next;
            if token.is_none() {
                break;
            }
        }
        deployments.sort();
        let mut seen = BTreeSet::new();
        Ok(deployments
            .into_iter()
            .rev()
            .filter_map(|(_, arn)| arn)
            .filter(|arn| seen.insert(arn.clone()))
            .collect())
    }

    async fn describe_revisions(
        &self,
        arns: &[String],
    ) -> Result<Vec<Arc<ServiceRevision>>, String> {
        let mut found = Vec::new();
        let mut unknown = Vec::new();
        for arn in arns {
            match known(&self.revisions, arn) {
                Some(revision) => found.push(revision),
                None => unknown.push(arn.clone()),
            }
        }
        for chunk in unknown.chunks(20) {
            let request = self
                .ecs
                .describe_service_revisions()
                .set_service_revision_arns(Some(chunk.to_vec()));
            let answer = self.call(request.send()).await.map_err(|error| {
                format!("ecs:DescribeServiceRevisions: {}", aws::explain(&error))
            })?;
            if let Some(failure) = answer
                .failures()
                .iter()
                .find(|f| f.reason() != Some("MISSING"))
            {
                return Err(format!(
                    "ecs:DescribeServiceRevisions: {} {}",
                    failure.arn().unwrap_or_default(),
                    failure.reason().unwrap_or("failed without a reason")
                ));
            }
            if answer.service_revisions().len() + answer.failures().len() < chunk.len() {
                return Err(
                    "ecs:DescribeServiceRevisions: fewer answered than asked for".to_owned(),
                );
            }
            for revision in answer.service_revisions.unwrap_or_default() {
                let revision = Arc::new(revision);
                // A digest is filled in when the first task starts, and stays.
                let settled = !revision.container_images().is_empty()
                    && revision
                        .container_images()
                        .iter()
                        .all(|c| c.image_digest().is_some());
                if let (true, Some(arn)) = (settled, revision.service_revision_arn()) {
                    remember(&self.revisions, arn.to_owned(), Arc::clone(&revision));
                }
                found.push(revision);
            }
        }
        Ok(found)
    }

    /// The images of a revision: by digest where it has one, and as its
    /// definition says where it has not.
    async fn revision_images(
        &self,
        revision: &ServiceRevision,
        by: User,
    ) -> Result<Vec<Used>, Unread> {
        let mut images = Vec::new();
        let mut told = BTreeSet::new();
        for container in revision.container_images() {
            let (Some(image), Some(digest)) = (container.image(), container.image_digest()) else {
                continue;
            };
            told.extend(container.container_name().map(str::to_owned));
            images.push(Used {
                image: image.to_owned(),
                digest: Some(Digest::new(digest)),
                by_tag: ByTag::LooksUp,
                by: by.clone(),
            });
        }
        // A present deployment's containers are all looked for: one that the
        // revision leaves out is used all the same.
        let complete = !told.is_empty()
            && told.len() == revision.container_images().len()
            && by.kind != UserKind::Deployment;
        if !complete {
            let definition = revision.task_definition().unwrap_or_default();
            let containers = self.containers(definition).await?;
            let untold = containers
                .images
                .iter()
                .filter(|(name, ..)| !told.contains(name));
            images.extend(untold.map(|(_, image, by_tag)| Used {
                image: image.clone(),
                digest: None,
                by_tag: *by_tag,
                by: by.clone(),
            }));
        }
        Ok(images)
    }

    /// The newest revisions of every active task-definition family.
    async fn families(&self, revisions: usize) -> Reading {
        let mut all = Reading::default();
        let mut newest: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // Descending order lists the newest revisions of a family first
        // (Amazon ECS API Reference, `ListTaskDefinitions`).
        let definitions = self
            .ecs
            .list_task_definitions()
            .status(TaskDefinitionStatus::Active)
            .sort(SortOrder::Desc);
        let pages = definitions.into_paginator().page_size(100).send();
        let (arns, incomplete) = aws::read_pages(pages, |page| page.task_definition_arns).await;
        if let Some(why) = incomplete {
            all.gap(
                format!("ecs:ListTaskDefinitions: {why}"),
                "ecs:ListTaskDefinitions",
            );
        }
        for arn in arns {
            let family = arn
                .rsplit_once(':')
                .map_or(arn.as_str(), |(family, _)| family);
            let of_family = newest.entry(family.to_owned()).or_default();
            if of_family.len() < revisions {
                of_family.push(arn);
            }
        }
        let described: Vec<Result<Arc<Containers>, Unread>> =
            stream::iter(newest.into_values().flatten())
                .map(|arn| async move { self.containers(&arn).await })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
        for containers in described {
            match containers {
                Ok(containers) => {
                    let by = User {
                        kind: UserKind::TaskDefinition,
                        name: short(&containers.arn).to_owned(),
                    };
                    all.images.extend(containers.used(&by, |_| ByTag::LooksUp));
                }
                Err(unread) => all.gap(unread.read, "ecs:DescribeTaskDefinition"),
            }
        }
        all
    }

    async fn containers(&self, definition: &str) -> Result<Arc<Containers>, Unread> {
        if let Some(containers) = known(&self.definitions, definition) {
            return Ok(containers);
        }
        let failed = |why: String, gone| Unread {
            read: format!("ecs:DescribeTaskDefinition of {}: {why}", short(definition)),
            gone,
        };
        let request = self
            .ecs
            .describe_task_definition()
            .task_definition(definition);
        let answer = self.call(request.send()).await.map_err(|error| {
            // "Unable to describe task definition" is a ClientException.
            let gone = aws::code(&error) == Some("ClientException");
            failed(aws::explain(&error), gone)
        })?;
        let found = answer
            .task_definition
            .and_then(|definition| definition.container_definitions)
            .filter(|containers| !containers.is_empty())
            .ok_or_else(|| failed("the answer has no containers in it".to_owned(), false))?;
        let mut images = Vec::new();
        for container in &found {
            let image = container
                .image()
                .ok_or_else(|| failed("a container has no image".to_owned(), false))?;
            let by_tag = match container.version_consistency() {
                Some(VersionConsistency::Disabled) => ByTag::LooksUp,
                _ => ByTag::HasLookedUp,
            };
            let name = container.name().unwrap_or_default();
            images.push((name.to_owned(), image.to_owned(), by_tag));
        }
        let containers = Arc::new(Containers {
            arn: definition.to_owned(),
            images,
        });
        remember(
            &self.definitions,
            definition.to_owned(),
            Arc::clone(&containers),
        );
        Ok(containers)
    }

    /// Every published version of every Lambda function made from an image.
    async fn functions(&self) -> Reading {
        let mut all = Reading::default();
        let versions = self
            .lambda
            .list_functions()
            .function_version(FunctionVersion::All);
        let pages = versions.into_paginator().page_size(50).send();
        let (mut functions, incomplete) = aws::read_pages(pages, |page| page.functions).await;
        if let Some(why) = incomplete {
            all.gap(
                format!("lambda:ListFunctions: {why}"),
                "lambda:ListFunctions",
            );
        }
        functions.retain(|function| function.package_type() != Some(&PackageType::Zip));
        let readings: Vec<Reading> = stream::iter(functions)
            .map(|function| self.function(function))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.add(Reading::joined(readings));
        all
    }

    async fn function(&self, function: FunctionConfiguration) -> Reading {
        let mut all = Reading::default();
        let name = function.function_name().unwrap_or_default();
        let version = function.version().unwrap_or("$LATEST");
        let by = User {
            kind: UserKind::LambdaFunction,
            name: format!("{name}:{version}"),
        };
        // A published version never changes its code; `$LATEST` may be in the
        // middle of a change.
        let key = function
            .revision_id()
            .filter(|_| version != "$LATEST")
            .map(|id| format!("{name}:{version}:{id}"));
        let mut image = key.as_ref().and_then(|key| known(&self.functions, key));
        if image.is_none() {
            let request = self
                .lambda
                .get_function()
                .function_name(name)
                .qualifier(version);
            let answer = self.call(request.send()).await;
            let code = match answer {
                Ok(answer) => answer.code,
                Err(error) if aws::kind(&error) == ErrorKind::NotFound => return all,
                Err(error) => {
                    let read = format!(
                        "lambda:GetFunction of {name}:{version}: {}",
                        aws::explain(&error)
                    );
                    all.gap(read, "lambda:GetFunction");
                    return all;
                }
            };
            let uri = code.as_ref().and_then(|code| code.image_uri());
            let resolved = code.as_ref().and_then(|code| code.resolved_image_uri());
            let Some(written) = uri.or(resolved) else {
                // Not made from an image after all, if its package type says so
                // or is not there to say.
                if function.package_type() == Some(&PackageType::Image) {
                    let read = format!("lambda:GetFunction of {name}:{version}: no image URI");
                    all.gap(read, "lambda:GetFunction");
                }
                return all;
            };
            let digest = resolved
                .and_then(|uri| uri.rsplit_once('@'))
                .map(|(_, d)| Digest::new(d));
            let found = Arc::new(FunctionImage {
                written: written.to_owned(),
                digest,
            });
            if let Some(key) = key {
                remember(&self.functions, key, Arc::clone(&found));
            }
            image = Some(found);
        }
        if let Some(image) = image {
            all.images.push(Used {
                image: image.written.clone(),
                digest: image.digest.clone(),
                by_tag: ByTag::HasLookedUp,
                by,
            });
        }
        all
    }
}

impl Reading {
    /// What a describe could not answer, inside an HTTP 200. A thing that is
    /// missing has gone since it was listed and uses nothing.
    fn failures(&mut self, operation: &str, failures: &[ecs::types::Failure]) {
        for failure in failures.iter().filter(|f| f.reason() != Some("MISSING")) {
            self.gap(
                format!(
                    "{operation}: {} {}",
                    failure.arn().unwrap_or_default(),
                    failure.reason().unwrap_or("failed without a reason")
                ),
                operation,
            );
        }
    }
}
