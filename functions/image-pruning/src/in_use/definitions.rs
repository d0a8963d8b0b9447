//! The task definitions of Amazon ECS: the newest of each family, those that
//! rules and schedules start tasks from, and the containers of any.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use aws_sdk_ecs::types::{SortOrder, TaskDefinitionStatus, VersionConsistency};
use futures::{StreamExt, stream};
use steward::aws;

use super::{AT_ONCE, ByTag, Place, Reading, Used, short};
use crate::world::{User, UserKind};

/// What of a task definition matters here.
#[derive(Debug)]
pub(super) struct Containers {
    arn: String,
    /// Container name, image, and whether its tag is looked up for every task.
    pub(super) images: Vec<(String, String, ByTag)>,
}

impl Containers {
    /// All of them as used by somebody.
    pub(super) fn used(
        &self,
        by: &User,
        by_tag: impl Fn(ByTag) -> ByTag,
    ) -> impl Iterator<Item = Used> {
        let used = |(_, image, as_written): &(String, String, ByTag)| Used {
            image: image.clone(),
            digest: None,
            by_tag: by_tag(*as_written),
            by: by.clone(),
        };
        self.images.iter().map(used).collect::<Vec<_>>().into_iter()
    }
}

/// A task definition that something starts tasks from when its time comes.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// As it is written: with a revision, or without for the newest.
    pub(super) definition: String,
    pub(super) by: User,
}

/// The newest active revision of each family, by the family's name.
pub(super) type Newest = BTreeMap<String, String>;

/// A task definition that could not be read.
pub(super) struct Unread {
    pub(super) read: String,
    /// It does not exist any more.
    pub(super) gone: bool,
}

impl Place {
    /// The newest revisions of every active task-definition family, and which
    /// is the newest of each.
    pub(super) async fn families(&self, revisions: usize) -> (Reading, Newest) {
        let mut all = Reading::default();
        let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // Descending order lists the newest revisions of a family first
        // (Amazon ECS API Reference, `ListTaskDefinitions`).
        let definitions = self
            .ecs
            .list_task_definitions()
            .status(TaskDefinitionStatus::Active)
            .sort(SortOrder::Desc);
        let pages = definitions.into_paginator().page_size(100).send();
        let (arns, incomplete) =
            aws::read_pages(pages, |page| (page.task_definition_arns, page.next_token)).await;
        if let Some(why) = incomplete {
            all.gap(
                format!("ecs:ListTaskDefinitions: {why}"),
                "ecs:ListTaskDefinitions",
            );
        }
        for arn in arns {
            let of_family = families.entry(family_of(&arn).to_owned()).or_default();
            if of_family.len() < revisions {
                of_family.push(arn);
            }
        }
        let newest = families
            .iter()
            .filter_map(|(family, arns)| Some((family.clone(), arns.first()?.clone())))
            .collect();
        let described: Vec<Result<Arc<Containers>, Unread>> =
            stream::iter(families.into_values().flatten())
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
        (all, newest)
    }

    /// The images of what is started. A definition that has been deregistered
    /// can still be started where it is named with its revision, and be
    /// described; one that does not exist cannot.
    pub(super) async fn started(&self, starts: Vec<Start>, newest: &Newest) -> Reading {
        let mut users: BTreeMap<String, Vec<User>> = BTreeMap::new();
        for start in starts {
            let definition = match has_revision(&start.definition) {
                true => Some(start.definition),
                // Without an active revision there is nothing to start; where
                // the listing of families has failed, there is a gap already.
                false => newest.get(family_of(&start.definition)).cloned(),
            };
            if let Some(definition) = definition {
                users.entry(definition).or_default().push(start.by);
            }
        }
        let mut described = stream::iter(users)
            .map(|(definition, by)| async move { (self.containers(&definition).await, by) })
            .buffer_unordered(AT_ONCE);
        let mut all = Reading::default();
        while let Some((containers, users)) = described.next().await {
            match containers {
                Ok(containers) => {
                    for by in &users {
                        all.images.extend(containers.used(by, |_| ByTag::LooksUp));
                    }
                }
                Err(unread) if unread.gone => {}
                Err(unread) => all.gap(unread.read, "ecs:DescribeTaskDefinition"),
            }
        }
        all
    }

    /// The containers of a definition. Whoever asks while it is being described
    /// waits for the same answer.
    pub(super) async fn containers(&self, definition: &str) -> Result<Arc<Containers>, Unread> {
        let known = {
            let mut all = self
                .definitions
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(definition.to_owned()).or_default())
        };
        let containers = known.get_or_try_init(|| self.describe_definition(definition));
        containers.await.cloned()
    }

    async fn describe_definition(&self, definition: &str) -> Result<Arc<Containers>, Unread> {
        let failed = |why: String, gone| Unread {
            read: format!("ecs:DescribeTaskDefinition of {}: {why}", short(definition)),
            gone,
        };
        let request = self
            .ecs
            .describe_task_definition()
            .task_definition(definition);
        let answer = self.ecs_pace.call(request.send()).await.map_err(|error| {
            // "Unable to describe task definition" is a ClientException.
            let text = aws::explain(&error);
            let gone = aws::code(&error) == Some("ClientException")
                && text
                    .to_lowercase()
                    .contains("unable to describe task definition");
            failed(text, gone)
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
        Ok(Arc::new(Containers {
            arn: definition.to_owned(),
            images,
        }))
    }
}

/// The family of a definition: an ARN or a name, with or without a revision.
fn family_of(definition: &str) -> &str {
    let name = short(definition);
    name.split_once(':').map_or(name, |(family, _)| family)
}

/// Whether a definition is named with its revision. Without one, and with `*`,
/// the newest active one is meant (Amazon ECS API Reference, `RunTask`).
fn has_revision(definition: &str) -> bool {
    let revision = short(definition)
        .split_once(':')
        .map(|(_, revision)| revision);
    revision.is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_family_and_revision_of_every_form() {
        let arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/nightly";
        for (definition, revision) in [
            ("nightly".to_owned(), false),
            ("nightly:12".to_owned(), true),
            (arn.to_owned(), false),
            (format!("{arn}:12"), true),
            (format!("{arn}:*"), false),
            (format!("{arn}:"), false),
        ] {
            assert_eq!(family_of(&definition), "nightly", "{definition}");
            assert_eq!(has_revision(&definition), revision, "{definition}");
        }
    }
}
