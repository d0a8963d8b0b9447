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
    DeploymentControllerType, DesiredStatus, Service, ServiceDeploymentStatus, ServiceField,
    ServiceRevision, SortOrder, TaskDefinitionStatus, VersionConsistency,
};
use aws_sdk_lambda as lambda;
use aws_sdk_lambda::types::{FunctionConfiguration, FunctionVersion, PackageType};
use futures::{StreamExt, stream};
use steward::aws::{self, ErrorKind};
use steward::engine::{Gap, Hides};

use crate::policy::InUse;
use crate::reference::{self, Digest};
use crate::world::{Pin, Use, User, UserKind};

/// Calls of one kind that are under way at once. ECS throttles describes of
/// task definitions soonest.
const AT_ONCE: usize = 6;

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

/// Reads users of images, and remembers what cannot change: task definitions,
/// complete service revisions, versions of Lambda functions.
#[derive(Debug)]
pub(crate) struct Users {
    ecs: ecs::Client,
    lambda: lambda::Client,
    definitions: Mutex<HashMap<String, Arc<Containers>>>,
    revisions: Mutex<HashMap<String, Arc<ServiceRevision>>>,
    functions: Mutex<HashMap<String, Arc<(String, Option<Digest>)>>>,
}

/// A lock's content, also after a panic elsewhere: these maps are only ever
/// added to.
fn known<K: std::hash::Hash + Eq, V: Clone, Q: std::hash::Hash + Eq + ?Sized>(
    map: &Mutex<HashMap<K, V>>,
    key: &Q,
) -> Option<V>
where
    K: std::borrow::Borrow<Q>,
{
    map.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(key)
        .cloned()
}

fn remember<K: std::hash::Hash + Eq, V>(map: &Mutex<HashMap<K, V>>, key: K, value: V) {
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
            definitions: Mutex::default(),
            revisions: Mutex::default(),
            functions: Mutex::default(),
        }
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
        let answer = self
            .ecs
            .describe_tasks()
            .cluster(cluster)
            .set_tasks(Some(arns))
            .send()
            .await;
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
        let (kind, by_tag) = if stopped {
            (UserKind::StoppedTask, ByTag::LooksUp)
        } else {
            (UserKind::Task, ByTag::HasLookedUp)
        };
        for task in answer.tasks() {
            let id = task.task_arn().map_or("without ARN", short);
            let by = User {
                kind,
                name: format!("{id} (cluster {})", short(cluster)),
            };
            // Every task has a container; where none is told, its definition
            // has to tell.
            if task.containers().is_empty() {
                let definition = task.task_definition_arn().unwrap_or_default();
                match self.containers(definition).await {
                    Ok(containers) => {
                        all.images
                            .extend(containers.images.iter().map(|(_, image, _)| Used {
                                image: image.clone(),
                                digest: None,
                                by_tag,
                                by: by.clone(),
                            }));
                    }
                    Err(read) => all.gap(read, "ecs:DescribeTaskDefinition"),
                }
            }
            for container in task.containers() {
                let Some(image) = container.image() else {
                    all.gap(
                        format!("ecs:DescribeTasks: {by} has a container without image"),
                        "",
                    );
                    continue;
                };
                all.images.push(Used {
                    image: image.to_owned(),
                    digest: container.image_digest().map(Digest::new),
                    by_tag,
                    by: by.clone(),
                });
            }
        }
        all
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
        let answer = self
            .ecs
            .describe_services()
            .cluster(cluster)
            .set_services(Some(arns))
            .include(ServiceField::Tags)
            .send()
            .await;
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

        let mut revisions: BTreeMap<String, UserKind> = BTreeMap::new();
        let controller = service.deployment_controller().map(|c| c.r#type());
        // Only the ECS controller keeps service deployments; task sets below
        // are what the others have.
        if matches!(controller, None | Some(DeploymentControllerType::Ecs)) {
            match self
                .successful_revisions(cluster, arn, settings.rollback_deployments as usize)
                .await
            {
                Ok(targets) => {
                    revisions.extend(
                        targets
                            .into_iter()
                            .map(|arn| (arn, UserKind::RollbackTarget)),
                    );
                }
                Err(read) => all.gap(read, "ecs:ListServiceDeployments"),
            }
        }
        let current = service
            .current_service_revisions()
            .iter()
            .filter_map(|r| r.arn());
        revisions.extend(current.map(|arn| (arn.to_owned(), UserKind::Deployment)));

        // Definitions whose images some revision of the present deployments
        // tells digest by digest.
        let mut told: BTreeSet<String> = BTreeSet::new();
        let arns: Vec<String> = revisions.keys().cloned().collect();
        match self.describe_revisions(&arns).await {
            Ok(found) => {
                for revision in found {
                    let kind = revision
                        .service_revision_arn()
                        .and_then(|arn| revisions.get(arn))
                        .copied()
                        .unwrap_or(UserKind::RollbackTarget);
                    if kind == UserKind::Deployment {
                        told.extend(revision.task_definition().map(str::to_owned));
                    }
                    all.add(self.revision_images(&revision, user(kind)).await);
                }
            }
            Err(read) => all.gap(read, "ecs:DescribeServiceRevisions"),
        }

        let mut untold: BTreeMap<&str, UserKind> = BTreeMap::new();
        let deployed = service
            .deployments()
            .iter()
            .filter_map(|d| d.task_definition());
        for definition in deployed.chain(service.task_definition()) {
            if !told.contains(definition) {
                untold.insert(definition, UserKind::Deployment);
            }
        }
        for set in service.task_sets() {
            untold.extend(
                set.task_definition()
                    .map(|definition| (definition, UserKind::TaskSet)),
            );
        }
        for (definition, kind) in untold {
            match self.containers(definition).await {
                Ok(containers) => {
                    for (_, image, by_tag) in &containers.images {
                        all.images.push(Used {
                            image: image.clone(),
                            digest: None,
                            by_tag: *by_tag,
                            by: user(kind),
                        });
                    }
                }
                Err(read) => all.gap(read, "ecs:DescribeTaskDefinition"),
            }
        }
        all
    }

    /// The revisions of the last successful deployments, newest first.
    async fn successful_revisions(
        &self,
        cluster: &str,
        service: &str,
        most: usize,
    ) -> Result<Vec<String>, String> {
        let failed = |why: String| {
            Err(format!(
                "ecs:ListServiceDeployments of service {}: {why}",
                short(service)
            ))
        };
        let mut deployments = Vec::new();
        let mut token = None;
        loop {
            // The SDK has no paginator for this operation.
            let answer = self
                .ecs
                .list_service_deployments()
                .service(service)
                .cluster(cluster)
                .status(ServiceDeploymentStatus::Successful)
                .max_results(100)
                .set_next_token(token)
                .send()
                .await;
            let answer = match answer {
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
            token = answer.next_token;
            if token.is_none() {
                break;
            }
        }
        deployments.sort();
        Ok(deployments
            .into_iter()
            .rev()
            .filter_map(|(_, arn)| arn)
            .take(most)
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
            let answer = self
                .ecs
                .describe_service_revisions()
                .set_service_revision_arns(Some(chunk.to_vec()))
                .send()
                .await
                .map_err(|error| {
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
                        .all(|c| c.image().is_some() && c.image_digest().is_some());
                if let (true, Some(arn)) = (settled, revision.service_revision_arn()) {
                    remember(&self.revisions, arn.to_owned(), Arc::clone(&revision));
                }
                found.push(revision);
            }
        }
        Ok(found)
    }

    async fn revision_images(&self, revision: &ServiceRevision, by: User) -> Reading {
        let mut all = Reading::default();
        let open = revision
            .container_images()
            .iter()
            .any(|c| c.image().is_none() || c.image_digest().is_none());
        let definition = revision.task_definition().unwrap_or_default();
        let containers = if open || revision.container_images().is_empty() {
            match self.containers(definition).await {
                Ok(containers) => Some(containers),
                Err(read) => {
                    all.gap(read, "ecs:DescribeTaskDefinition");
                    return all;
                }
            }
        } else {
            None
        };
        let mut told = BTreeSet::new();
        for container in revision.container_images() {
            let (Some(image), Some(digest)) = (container.image(), container.image_digest()) else {
                continue;
            };
            told.extend(container.container_name());
            all.images.push(Used {
                image: image.to_owned(),
                digest: Some(Digest::new(digest)),
                by_tag: ByTag::LooksUp,
                by: by.clone(),
            });
        }
        for (name, image, by_tag) in containers.iter().flat_map(|c| &c.images) {
            if !told.contains(name.as_str()) {
                all.images.push(Used {
                    image: image.clone(),
                    digest: None,
                    by_tag: *by_tag,
                    by: by.clone(),
                });
            }
        }
        all
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
        let described: Vec<Result<Arc<Containers>, String>> =
            stream::iter(newest.into_values().flatten())
                .map(|arn| async move { self.containers(&arn).await })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
        for containers in described {
            match containers {
                Ok(containers) => {
                    let name = short(&containers.arn).to_owned();
                    for (_, image, _) in &containers.images {
                        all.images.push(Used {
                            image: image.clone(),
                            digest: None,
                            by_tag: ByTag::LooksUp,
                            by: User {
                                kind: UserKind::TaskDefinition,
                                name: name.clone(),
                            },
                        });
                    }
                }
                Err(read) => all.gap(read, "ecs:DescribeTaskDefinition"),
            }
        }
        all
    }

    async fn containers(&self, definition: &str) -> Result<Arc<Containers>, String> {
        if let Some(containers) = known(&self.definitions, definition) {
            return Ok(containers);
        }
        let failed =
            |why: String| format!("ecs:DescribeTaskDefinition of {}: {why}", short(definition));
        let answer = self
            .ecs
            .describe_task_definition()
            .task_definition(definition)
            .send()
            .await
            .map_err(|error| failed(aws::explain(&error)))?;
        let found = answer
            .task_definition()
            .ok_or_else(|| failed("no answer".to_owned()))?;
        let mut images = Vec::new();
        for container in found.container_definitions() {
            let image = container
                .image()
                .ok_or_else(|| failed("a container has no image".to_owned()))?;
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
        // Every change of a version's code or settings gives a new revision id.
        let key = function
            .revision_id()
            .map(|id| format!("{name}:{version}:{id}"));
        let mut image = key.as_ref().and_then(|key| known(&self.functions, key));
        if image.is_none() {
            let answer = self
                .lambda
                .get_function()
                .function_name(name)
                .qualifier(version)
                .send()
                .await;
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
            let found = Arc::new((written.to_owned(), digest));
            if let Some(key) = key {
                remember(&self.functions, key, Arc::clone(&found));
            }
            image = Some(found);
        }
        if let Some(image) = image {
            all.images.push(Used {
                image: image.0.clone(),
                digest: image.1.clone(),
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
