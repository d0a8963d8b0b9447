//! The services of Amazon ECS: what they run, would run when they are scaled up,
//! and can be rolled back to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use aws_sdk_ecs::error::SdkError;
use aws_sdk_ecs::types::{
    DeploymentControllerType, Service, ServiceDeploymentStatus, ServiceRevision,
};
use futures::{StreamExt, stream};
use steward::aws;

use super::definitions::Unread;
use super::{AT_ONCE, ByTag, Place, Reading, Used, known, remember, short};
use crate::policy::InUse;
use crate::reference::{self, Digest};
use crate::world::{User, UserKind};

/// The most that one call describes (Amazon ECS API Reference,
/// `DescribeServiceRevisions`).
const MOST_REVISIONS: usize = 20;

/// Revisions by ARN.
type Revisions = HashMap<String, Arc<ServiceRevision>>;

/// The revisions that a service has deployed, by ARN.
struct Deployed {
    current: Vec<String>,
    /// Of the successful deployments but the present ones, newest first, or why
    /// they are not known.
    before: Result<Vec<String>, String>,
}

impl Deployed {
    /// Those that are looked at first for what can be rolled back to: as many as
    /// are kept.
    fn newest(&self, rollback_deployments: usize) -> impl Iterator<Item = &String> {
        let before = self.before.as_deref().unwrap_or_default();
        before.iter().take(rollback_deployments)
    }
}

/// What a revision runs of Amazon ECR, for telling releases apart: a sidecar
/// from elsewhere that moves on makes no release.
fn release_of(revision: &ServiceRevision) -> Vec<(String, String)> {
    let mut images: Vec<(String, String)> = revision
        .container_images()
        .iter()
        .filter_map(|container| {
            let image = container.image()?;
            let elsewhere = matches!(reference::parse(image), Ok(None));
            let digest = container.image_digest().unwrap_or_default();
            (!elsewhere).then(|| (image.to_owned(), digest.to_owned()))
        })
        .collect();
    images.sort();
    if images.is_empty() || images.iter().any(|(_, digest)| digest.is_empty()) {
        let definition = revision.task_definition().unwrap_or_default();
        images.push((definition.to_owned(), String::new()));
    }
    images
}

impl Place {
    pub(super) async fn services(&self, cluster: &str, settings: &InUse) -> Reading {
        let mut all = Reading::default();
        let services = self.ecs.list_services().cluster(cluster);
        let pages = services.into_paginator().page_size(100).send();
        let (arns, incomplete) =
            aws::read_pages(pages, |page| (page.service_arns, page.next_token)).await;
        if let Some(why) = incomplete {
            let (code, text) = (why.code(), why.to_string());
            all.cluster_gap("ecs:ListServices", "ecs:ListServices", cluster, code, &text);
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
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let (code, text) = (aws::code(&error), aws::explain(&error));
                let operation = "ecs:DescribeServices";
                all.cluster_gap(operation, operation, cluster, code, &text);
                return all;
            }
        };
        let answered = answer.services().len();
        all.open("ecs:DescribeServices", asked, answered, answer.failures());
        let deployed: Vec<Deployed> = stream::iter(answer.services())
            .map(|service| self.deployed(cluster, service))
            .buffered(AT_ONCE)
            .collect()
            .await;
        // One call describes 20 revisions, so these services share theirs.
        let most = settings.rollback_deployments as usize;
        let wanted = deployed
            .iter()
            .flat_map(|of| of.newest(most).chain(&of.current));
        let wanted: BTreeSet<&String> = wanted.collect();
        let wanted: Vec<String> = wanted.into_iter().cloned().collect();
        let revisions = self.describe_revisions(&wanted).await;
        let readings: Vec<Reading> = stream::iter(answer.services().iter().zip(&deployed))
            .map(|(service, deployed)| self.service(cluster, service, deployed, &revisions, most))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.add(Reading::joined(readings));
        all
    }

    /// What a service has deployed.
    async fn deployed(&self, cluster: &str, service: &Service) -> Deployed {
        let current: Vec<String> = service
            .current_service_revisions()
            .iter()
            .filter_map(|revision| revision.arn().map(str::to_owned))
            .collect();
        // Only the ECS controller keeps service deployments; task sets are what
        // the others have.
        let controller = service.deployment_controller().map(|c| c.r#type());
        let arn = service.service_arn().unwrap_or_default();
        let mut before = match controller {
            None | Some(DeploymentControllerType::Ecs) => {
                self.successful_revisions(cluster, arn).await
            }
            Some(_) => Ok(vec![]),
        };
        if let Ok(before) = &mut before {
            before.retain(|arn| !current.contains(arn));
        }
        Deployed { current, before }
    }

    /// Everything that a service runs, would run when it is scaled up, or can
    /// be rolled back to.
    async fn service(
        &self,
        cluster: &str,
        service: &Service,
        deployed: &Deployed,
        revisions: &Result<Revisions, String>,
        rollback_deployments: usize,
    ) -> Reading {
        let mut all = Reading::default();
        let arn = service.service_arn().unwrap_or_default();
        let name = format!("{} (cluster {})", short(arn), short(cluster));
        let user = |kind| User {
            kind,
            name: name.clone(),
        };
        let none = Revisions::new();
        let revisions = revisions.as_ref().unwrap_or_else(|read| {
            all.gap(read.clone(), "ecs:DescribeServiceRevisions");
            &none
        });

        // Definitions whose images some revision of the present deployments
        // tells digest by digest.
        let mut told: BTreeSet<String> = BTreeSet::new();
        let current = deployed.current.iter();
        let current: Vec<&Arc<ServiceRevision>> =
            current.filter_map(|arn| revisions.get(arn)).collect();
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

        let targets = self.rollback_targets(deployed, &current, revisions, rollback_deployments);
        match targets.await {
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
        deployed: &Deployed,
        current: &[&Arc<ServiceRevision>],
        newest: &Revisions,
        most: usize,
    ) -> Result<Vec<Arc<ServiceRevision>>, (String, &'static str)> {
        let arns = deployed.before.as_ref();
        let arns = arns.map_err(|read| (read.clone(), "ecs:ListServiceDeployments"))?;
        let mut releases: BTreeSet<_> = current
            .iter()
            .map(|revision| release_of(revision))
            .collect();
        let mut targets = Vec::new();
        let (first, others) = arns.split_at(deployed.newest(most).count());
        // In the order of the deployments.
        let mut add = |chunk: &[String], found: &Revisions| {
            for revision in chunk.iter().filter_map(|arn| found.get(arn)) {
                if targets.len() < most && releases.insert(release_of(revision)) {
                    targets.push(Arc::clone(revision));
                }
            }
            targets.len() >= most
        };
        let mut enough = add(first, newest);
        for chunk in others.chunks(MOST_REVISIONS) {
            if enough {
                break;
            }
            let found = self.describe_revisions(chunk).await;
            let found = found.map_err(|read| (read, "ecs:DescribeServiceRevisions"))?;
            enough = add(chunk, &found);
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
        let (briefs, incomplete) = aws::read_pages_by_token(|token| async move {
            let request = self
                .ecs
                .list_service_deployments()
                .service(service)
                .cluster(cluster)
                .status(ServiceDeploymentStatus::Successful)
                .max_results(100)
                .set_next_token(token);
            let page = self.ecs_pace.call(request.send()).await?;
            Ok::<_, SdkError<_>>((page.service_deployments, page.next_token))
        })
        .await;
        match incomplete {
            None => {}
            // Deleted since it was described.
            Some(why)
                if matches!(
                    why.code(),
                    Some("ServiceNotFoundException" | "ClusterNotFoundException")
                ) =>
            {
                return Ok(vec![]);
            }
            Some(why) => {
                return Err(format!(
                    "ecs:ListServiceDeployments of service {}: {why}",
                    short(service)
                ));
            }
        }
        let mut deployments: Vec<_> = briefs
            .into_iter()
            .map(|brief| {
                let at = brief.created_at().map(|at| at.as_nanos());
                (at, brief.target_service_revision_arn)
            })
            .collect();
        deployments.sort();
        let mut seen = BTreeSet::new();
        Ok(deployments
            .into_iter()
            .rev()
            .filter_map(|(_, arn)| arn)
            .filter(|arn| seen.insert(arn.clone()))
            .collect())
    }

    /// Revisions by ARN; those that have gone since they were listed are not
    /// among them.
    async fn describe_revisions(&self, arns: &[String]) -> Result<Revisions, String> {
        let mut found = Revisions::new();
        let mut unknown = Vec::new();
        for arn in arns {
            match known(&self.revisions, arn) {
                Some(revision) => {
                    found.insert(arn.clone(), revision);
                }
                None => unknown.push(arn.clone()),
            }
        }
        for chunk in unknown.chunks(MOST_REVISIONS) {
            let request = self
                .ecs
                .describe_service_revisions()
                .set_service_revision_arns(Some(chunk.to_vec()));
            let failed = |why: &str| Err(format!("ecs:DescribeServiceRevisions: {why}"));
            let answer = match self.ecs_pace.call(request.send()).await {
                Ok(answer) => answer,
                Err(error) => return failed(&aws::explain(&error)),
            };
            if let Some(failure) = answer
                .failures()
                .iter()
                .find(|f| f.reason() != Some("MISSING"))
            {
                return failed(&format!(
                    "{} {}",
                    failure.arn().unwrap_or_default(),
                    failure.reason().unwrap_or("failed without a reason")
                ));
            }
            if answer.service_revisions().len() + answer.failures().len() < chunk.len() {
                return failed("fewer answered than asked for");
            }
            for revision in answer.service_revisions.unwrap_or_default() {
                let Some(arn) = revision.service_revision_arn().map(str::to_owned) else {
                    return failed("a revision has no ARN");
                };
                let revision = Arc::new(revision);
                // A digest is filled in when the first task starts, and stays.
                let settled = !revision.container_images().is_empty()
                    && revision
                        .container_images()
                        .iter()
                        .all(|c| c.image_digest().is_some());
                if settled {
                    remember(&self.revisions, arn.clone(), Arc::clone(&revision));
                }
                found.insert(arn, revision);
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
            // A revision without a digest has not fixed one, so that ECS will
            // look the tag up.
            let digest_of = |name: &str| {
                let containers = revision.container_images();
                let found = containers.iter().find(|c| c.container_name() == Some(name));
                found.and_then(|c| c.image_digest()).map(Digest::new)
            };
            images.extend(untold.map(|(name, image, _)| Used {
                image: image.clone(),
                digest: digest_of(name),
                by_tag: ByTag::LooksUp,
                by: by.clone(),
            }));
        }
        Ok(images)
    }
}
