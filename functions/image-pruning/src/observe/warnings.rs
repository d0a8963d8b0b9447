//! What a person should know about what was observed, and no rule acts on.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Last;
use crate::graph::{Graph, protected};
use crate::lifecycle::LifecyclePolicy;
use crate::policy::PruningPolicy;
use crate::reference;
use crate::world::{Pin, Use, UserKind, World};

/// References of the policy that keep nothing: mistyped, moved on, or of
/// another registry without a copy here. The person who wrote one meant
/// something to be kept.
pub(super) fn idle_references(policy: &PruningPolicy, last: &Last, world: &World) -> Vec<String> {
    let mut idle = Vec::new();
    for text in &policy.in_use.references {
        let Ok(Some(reference)) = reference::parse(text) else {
            continue;
        };
        let here = (reference.account.as_str(), reference.region.as_str());
        let foreign =
            !last.account.is_empty() && here != (last.account.as_str(), last.region.as_str());
        let Some(repository) = world.repositories.get(&reference.repository) else {
            if foreign {
                idle.push(format!(
                    "in_use.references: {text} is in another registry, and no repository of that \
                     name is looked at here: it keeps nothing"
                ));
            }
            continue;
        };
        let found = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => repository.images.contains_key(digest),
            (None, tag) => repository
                .images
                .values()
                .any(|image| image.tags.iter().any(|t| Some(t) == tag.as_ref())),
        };
        if !found && foreign {
            idle.push(format!(
                "in_use.references: {text} is in another registry, and no copy of it is here: it \
                 keeps nothing"
            ));
        } else if !found {
            idle.push(format!(
                "in_use.references: {text} names no image, and keeps nothing"
            ));
        }
    }
    idle
}

/// Repositories of which nothing goes, because a digest in use is not known.
pub(super) fn kept_whole(world: &World) -> Vec<String> {
    let mut told: BTreeMap<&str, String> = BTreeMap::new();
    for used in &world.uses {
        let Some(repository) = world.repositories.get(&used.repository) else {
            continue;
        };
        if matches!(&used.pin, Pin::WasTag(tag) if !repository.tells(tag)) {
            told.entry(&used.repository).or_insert_with(|| {
                format!(
                    "repository {} is kept whole: an image of it is {}, and its digest is not \
                     recorded; {}",
                    used.repository,
                    used.by,
                    how_to_record(used.by.kind),
                )
            });
        }
    }
    told.into_values().collect()
}

/// What a person can do so that the digest of what is used is known.
fn how_to_record(by: UserKind) -> &'static str {
    match by {
        UserKind::Task
        | UserKind::StoppedTask
        | UserKind::Deployment
        | UserKind::RollbackTarget
        | UserKind::TaskSet
        | UserKind::Daemon => "deploy that again to have it recorded",
        UserKind::LambdaFunction => {
            "update the function to the image's digest, and delete that version if nothing needs it"
        }
        UserKind::RestorePoint | UserKind::Recipe => {
            "write the reference in that document with its digest, or delete the document if \
             nothing needs it"
        }
        UserKind::EventRule
        | UserKind::Schedule
        | UserKind::TaskDefinition
        | UserKind::PolicyReference => "write the reference there with its digest",
    }
}

/// One warning for each repository whose lifecycle policy is about to take
/// something that is protected here.
pub(super) fn lifecycle_warnings(
    policy: &PruningPolicy,
    world: &World,
    lifecycles: &BTreeMap<String, LifecyclePolicy>,
    now: Timestamp,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, lifecycle) in lifecycles {
        let Some(repository) = world.repositories.get(name) else {
            continue;
        };
        let marks = lifecycle.marks(repository, now);
        if marks.is_empty() {
            continue;
        }
        let uses: Vec<&Use> = world
            .uses
            .iter()
            .filter(|u| u.repository == *name)
            .collect();
        let in_use = protected(repository, &Graph::of(repository), &uses);
        let keep_tags = &policy.retention_of(name).keep_tags;
        let mut taken = marks.iter().filter_map(|mark| {
            let image = repository.images.get(mark.digest)?;
            let kept_tag = || image.tags.iter().find(|tag| keep_tags.selects(tag));
            let why = match in_use.get(mark.digest) {
                Some(reason) => reason.to_string(),
                None => format!("the policy keeps tag {}", kept_tag()?),
            };
            Some((mark, why))
        });
        if let Some((mark, why)) = taken.next() {
            let more = match taken.count() {
                0 => String::new(),
                n => format!(" (and {n} more like it)"),
            };
            warnings.push(format!(
                "repository {name}: rule {} of its own lifecycle policy is about to {} {}, although \
                 it is protected here: {why}{more}; ECR does not ask who uses an image",
                mark.rule, mark.verb, mark.digest
            ));
        }
    }
    warnings
}

/// One warning for all lifecycle policies that could not be read.
pub(super) fn unread_lifecycles_warning(unread: &[(String, String)]) -> Option<String> {
    let (name, why) = unread.first()?;
    let more = match unread.len() - 1 {
        0 => String::new(),
        n => format!(" and of {n} more"),
    };
    Some(format!(
        "the lifecycle policy of repository {name}{more} cannot be read \
         (ecr:GetLifecyclePolicy: {why}); whether it is about to expire something that is in use \
         is not known"
    ))
}
