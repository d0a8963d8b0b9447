//! The tasks of Amazon ECS: running, pending and recently stopped.

use aws_sdk_ecs::types::{DesiredStatus, Task};
use futures::{StreamExt, stream};
use steward::aws;

use super::definitions::Unread;
use super::{AT_ONCE, ByTag, Place, Reading, Used, short};
use crate::policy::InUse;
use crate::reference::Digest;
use crate::world::{User, UserKind};

impl Place {
    pub(super) async fn clusters(&self, settings: &InUse) -> Reading {
        let mut all = Reading::default();
        let pages = self
            .ecs
            .list_clusters()
            .into_paginator()
            .page_size(100)
            .send();
        let (clusters, incomplete) =
            aws::read_pages(pages, |page| (page.cluster_arns, page.next_token)).await;
        if let Some(why) = incomplete {
            all.gap(format!("ecs:ListClusters: {why}"), "ecs:ListClusters");
        }
        let readings: Vec<Reading> = stream::iter(clusters)
            .map(|cluster| async move {
                let (services, daemons, running, stopped) = futures::join!(
                    Box::pin(self.services(&cluster, settings)),
                    self.daemons(&cluster, settings),
                    self.tasks(&cluster, DesiredStatus::Running),
                    self.tasks(&cluster, DesiredStatus::Stopped),
                );
                Reading::joined(vec![services, daemons, running, stopped])
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
        let (arns, incomplete) =
            aws::read_pages(pages, |page| (page.task_arns, page.next_token)).await;
        if let Some(why) = incomplete {
            let (code, text) = (why.code(), why.to_string());
            all.cluster_gap(
                &format!("ecs:ListTasks ({status})"),
                "ecs:ListTasks",
                cluster,
                code,
                &text,
            );
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
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let (code, text) = (aws::code(&error), aws::explain(&error));
                let operation = "ecs:DescribeTasks";
                all.cluster_gap(operation, operation, cluster, code, &text);
                return all;
            }
        };
        let answered = answer.tasks().len();
        all.open("ecs:DescribeTasks", asked, answered, answer.failures());
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
        let running = task.last_status() == Some("RUNNING");
        let pulling = task.pull_started_at().is_some() && !of_service;
        let by_tag = if running || pulling {
            ByTag::HasLookedUp
        } else {
            ByTag::LooksUp
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
            let image = match container.image().filter(|image| !image.is_empty()) {
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
}
