//! The managed daemons of Amazon ECS: what they run, and can be rolled back to.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_ecs::error::SdkError;
use aws_sdk_ecs::types::{
    DaemonDeploymentStatus, DaemonDeploymentSummary, DaemonRevision, DaemonTaskDefinitionStatus,
};
use futures::{StreamExt, stream};
use steward::aws;

use super::{AT_ONCE, ByTag, Place, Reading, Used, known, remember, short};
use crate::policy::InUse;
use crate::reference::Digest;
use crate::world::{User, UserKind};

/// The most that one call describes (Amazon ECS API Reference,
/// `DescribeDaemonRevisions`).
const MOST_REVISIONS: usize = 20;

/// The images of one revision of a daemon: reference and digest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Revision {
    images: Vec<(String, Option<Digest>)>,
}

/// A read that failed: its text, and the permission to grant.
type Unread = (String, &'static str);

/// Whether this Region, or this partition, has no managed daemons.
fn has_none(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "UnsupportedFeatureException"
                | "UnknownOperationException"
                | "UnknownOperation"
                | "InvalidAction"
        )
    )
}

/// Whether the daemon, or its cluster, does not exist any more.
fn is_gone(code: Option<&str>) -> bool {
    matches!(
        code,
        Some("DaemonNotFoundException" | "ClusterNotFoundException")
    )
}

/// Whether a definition does not exist any more. That is a `ClientException`,
/// which other things are as well; its words are not documented, and are taken
/// to be those for task definitions.
fn is_gone_definition(code: Option<&str>, text: &str) -> bool {
    let text = text.to_lowercase();
    code == Some("ClientException")
        && [
            "unable to describe daemon task definition",
            "unable to describe task definition",
        ]
        .iter()
        .any(|words| text.contains(words))
}

impl Place {
    pub(super) async fn daemons(&self, cluster: &str, settings: &InUse) -> Reading {
        let mut all = Reading::default();
        let (daemons, incomplete) = aws::read_pages_by_token(|token| async move {
            let request = self.ecs.list_daemons().cluster_arn(cluster);
            let request = request.max_results(100).set_next_token(token);
            let page = self.ecs_pace.call(request.send()).await?;
            Ok::<_, SdkError<_>>((page.daemon_summaries_list, page.next_token))
        })
        .await;
        match incomplete {
            None => {}
            Some(why) if has_none(why.code()) => return all,
            Some(why) => {
                let (code, text) = (why.code(), why.to_string());
                all.cluster_gap("ecs:ListDaemons", "ecs:ListDaemons", cluster, code, &text);
            }
        }
        let most = settings.rollback_deployments as usize;
        let readings: Vec<Reading> = stream::iter(daemons)
            .map(|daemon| async move {
                let arn = daemon.daemon_arn().unwrap_or_default();
                Box::pin(self.daemon(cluster, arn, most)).await
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.add(Reading::joined(readings));
        all
    }

    async fn daemon(&self, cluster: &str, arn: &str, rollbacks: usize) -> Reading {
        let mut all = Reading::default();
        let by = User {
            kind: UserKind::Daemon,
            name: format!("{} (cluster {})", short(arn), short(cluster)),
        };
        match self.revisions_of_daemon(arn, rollbacks).await {
            Ok(revisions) => {
                for (image, digest) in revisions.iter().flat_map(|revision| &revision.images) {
                    all.images.push(Used {
                        image: image.clone(),
                        digest: digest.clone(),
                        by_tag: ByTag::LooksUp,
                        by: by.clone(),
                    });
                }
            }
            Err((read, grant)) => all.gap(format!("{read} ({by})"), grant),
        }
        all
    }

    /// The present revisions of a daemon, the one that its latest deployment is
    /// about, and those of the last successful deployments that ran something
    /// else.
    async fn revisions_of_daemon(
        &self,
        arn: &str,
        rollbacks: usize,
    ) -> Result<Vec<Arc<Revision>>, Unread> {
        let operation = "ecs:DescribeDaemon";
        let failed = |why: String| (format!("{operation}: {why}"), operation);
        let request = self.ecs.describe_daemon().daemon_arn(arn);
        let daemon = match self.ecs_pace.call(request.send()).await {
            Ok(answer) => answer.daemon,
            // Deleted since it was listed.
            Err(error) if is_gone(aws::code(&error)) => return Ok(vec![]),
            Err(error) => return Err(failed(aws::explain(&error))),
        };
        let daemon = daemon.ok_or_else(|| failed("the answer has no daemon in it".to_owned()))?;
        let mut deployments = self.deployments_of_daemon(arn).await?;
        deployments.sort_by_key(|deployment| deployment.created_at().map(|at| at.as_nanos()));
        deployments.reverse();
        let target = |deployment: &DaemonDeploymentSummary| {
            deployment.target_daemon_revision_arn().map(str::to_owned)
        };
        let mut present: Vec<String> = daemon
            .current_revisions()
            .iter()
            .filter_map(|revision| revision.arn().map(str::to_owned))
            .chain(deployments.first().and_then(target))
            .collect();
        present.sort();
        present.dedup();
        if present.is_empty() {
            return Err(failed(
                "neither it nor a deployment has a revision".to_owned(),
            ));
        }
        let mut found = self.describe_daemon_revisions(&present).await?;
        if found.len() < present.len() {
            let operation = "ecs:DescribeDaemonRevisions";
            return Err((
                format!("{operation}: a present revision, or its definition, is missing"),
                operation,
            ));
        }
        let mut seen = BTreeSet::new();
        let former: Vec<String> = deployments
            .iter()
            .filter(|deployment| deployment.status() == Some(&DaemonDeploymentStatus::Successful))
            .filter_map(target)
            .filter(|arn| !present.contains(arn) && seen.insert(arn.clone()))
            .collect();
        let mut releases: BTreeSet<Arc<Revision>> = found.iter().cloned().collect();
        let mut left = rollbacks;
        for chunk in former.chunks(MOST_REVISIONS) {
            if left == 0 {
                break;
            }
            for revision in self.describe_daemon_revisions(chunk).await? {
                if left > 0 && releases.insert(Arc::clone(&revision)) {
                    found.push(revision);
                    left -= 1;
                }
            }
        }
        Ok(found)
    }

    async fn deployments_of_daemon(
        &self,
        arn: &str,
    ) -> Result<Vec<DaemonDeploymentSummary>, Unread> {
        let operation = "ecs:ListDaemonDeployments";
        let (deployments, incomplete) = aws::read_pages_by_token(|token| async move {
            let request = self.ecs.list_daemon_deployments().daemon_arn(arn);
            let request = request.max_results(100).set_next_token(token);
            let page = self.ecs_pace.call(request.send()).await?;
            Ok::<_, SdkError<_>>((page.daemon_deployments, page.next_token))
        })
        .await;
        match incomplete {
            Some(why) if !is_gone(why.code()) => Err((format!("{operation}: {why}"), operation)),
            _ => Ok(deployments),
        }
    }

    /// Revisions in the order they are asked for; one that is missing is gone,
    /// or its definition is: nothing can go back to it.
    async fn describe_daemon_revisions(
        &self,
        arns: &[String],
    ) -> Result<Vec<Arc<Revision>>, Unread> {
        let operation = "ecs:DescribeDaemonRevisions";
        let failed = |why: String| (format!("{operation}: {why}"), operation);
        let unknown: Vec<&String> = arns
            .iter()
            .filter(|arn| known(&self.daemon_revisions, *arn).is_none())
            .collect();
        let mut fresh = Vec::new();
        for chunk in unknown.chunks(MOST_REVISIONS) {
            let wanted = chunk.iter().map(|arn| (*arn).clone()).collect();
            let request = self
                .ecs
                .describe_daemon_revisions()
                .set_daemon_revision_arns(Some(wanted));
            let answer = self.ecs_pace.call(request.send()).await;
            let answer = answer.map_err(|error| failed(aws::explain(&error)))?;
            let mut failures = answer.failures().iter();
            if let Some(failure) = failures.find(|failure| failure.reason() != Some("MISSING")) {
                let reason = failure.reason().unwrap_or("failed without a reason");
                return Err(failed(reason.to_owned()));
            }
            if answer.daemon_revisions().len() + answer.failures().len() < chunk.len() {
                return Err(failed("fewer answered than asked for".to_owned()));
            }
            for revision in answer.daemon_revisions() {
                fresh.extend(self.daemon_revision(revision).await?);
            }
        }
        let of = |arn: &String| {
            let fresh = fresh.iter().find(|(name, _)| name == arn);
            known(&self.daemon_revisions, arn).or_else(|| fresh.map(|(_, found)| Arc::clone(found)))
        };
        Ok(arns.iter().filter_map(of).collect())
    }

    /// The images of a revision, as it tells them, or else its definition; `None`
    /// where neither does, because the definition is gone. A revision never
    /// changes once all its digests are there (Amazon ECS API Reference,
    /// `DescribeDaemonRevisions`).
    async fn daemon_revision(
        &self,
        revision: &DaemonRevision,
    ) -> Result<Option<(String, Arc<Revision>)>, Unread> {
        let arn = revision.daemon_revision_arn().unwrap_or_default();
        let mut images: Vec<(String, Option<Digest>)> = Vec::new();
        let mut complete = !revision.container_images().is_empty();
        for container in revision.container_images() {
            match container.image() {
                Some(image) => {
                    let digest = container.image_digest().map(Digest::new);
                    complete &= digest.is_some();
                    images.push((image.to_owned(), digest));
                }
                None => complete = false,
            }
        }
        if !complete {
            // What it does not tell is among its definition's.
            let definition = revision.daemon_task_definition_arn().unwrap_or_default();
            let Some(written) = self.images_of_daemon_definition(definition).await? else {
                return Ok(None);
            };
            images.extend(written.into_iter().map(|image| (image, None)));
        }
        images.sort();
        images.dedup();
        let found = Arc::new(Revision { images });
        if complete {
            remember(&self.daemon_revisions, arn.to_owned(), Arc::clone(&found));
        }
        Ok(Some((arn.to_owned(), found)))
    }

    /// The images of a definition; `None` when it is gone.
    async fn images_of_daemon_definition(
        &self,
        definition: &str,
    ) -> Result<Option<Vec<String>>, Unread> {
        let operation = "ecs:DescribeDaemonTaskDefinition";
        let failed = |why: String| {
            let read = format!("{operation} of {}: {why}", short(definition));
            (read, operation)
        };
        let request = self
            .ecs
            .describe_daemon_task_definition()
            .daemon_task_definition(definition);
        let answer = match self.ecs_pace.call(request.send()).await {
            Ok(answer) => answer.daemon_task_definition,
            Err(error) => {
                let text = aws::explain(&error);
                return match is_gone_definition(aws::code(&error), &text) {
                    true => Ok(None),
                    false => Err(failed(text)),
                };
            }
        };
        let found =
            answer.ok_or_else(|| failed("the answer has no definition in it".to_owned()))?;
        let deleted = found.status() == Some(&DaemonTaskDefinitionStatus::Deleted);
        let containers = found.container_definitions.unwrap_or_default();
        match (containers.is_empty(), deleted) {
            (false, _) => Ok(Some(containers.into_iter().map(|c| c.image).collect())),
            (true, true) => Ok(None),
            (true, false) => Err(failed("the answer has no containers in it".to_owned())),
        }
    }
}
