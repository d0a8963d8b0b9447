//! Deletes or archives one batch of images of one repository. The only file that
//! changes AWS.
//!
//! Just before, it reads again whether the repository is on hold, whether the
//! images still have the tags they had, and who uses what; whatever has changed
//! in a way that matters is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_sdk_ecr::types::{
    ImageFailure, ImageFailureCode, ImageIdentifier, ImageStatus, TargetStorageClass,
};
use futures::{StreamExt, stream};
use steward::aws;
use steward::engine::{Act, Outcome};
use tokio::time::Instant;

use crate::ImagePruning;
use crate::action::{Action, Removal};
use crate::graph::{Graph, protected};
use crate::in_use::Reading;
use crate::observe::{AT_ONCE, HoldError, Registry, storage_of};
use crate::policy::PruningPolicy;
use crate::world::{Digest, Image, Repository, Storage, Use};

/// What is there just before images are removed.
struct Present {
    /// Those of the batch that are there.
    here: BTreeMap<Digest, Here>,
    /// An index that has come, or come out of the archive, since the observation.
    new_index: Option<Digest>,
}

struct Here {
    tags: Vec<String>,
    storage: Storage,
}

/// How long a reading of users serves the check before acting.
const RECHECK_AFTER: Duration = Duration::from_secs(20);

impl Act<ImagePruning> for Registry {
    async fn act(&self, policy: &PruningPolicy, batch: &[Action]) -> Vec<Outcome> {
        let Some(first) = batch.first() else {
            return vec![];
        };
        let name = &first.removal().repository;
        // Boxed, as the calls below are: by value they make every frame above them
        // large, and the stack of a thread is small.
        let mut outcomes = match Box::pin(self.recheck(policy, name, batch)).await {
            Ok(outcomes) => outcomes,
            Err(Halt::RepositoryGone) => return batch.iter().map(if_gone).collect(),
            Err(Halt::Batch(outcome)) => return vec![outcome; batch.len()],
        };
        let (mut to_delete, mut to_archive) = (Vec::new(), Vec::new());
        for action in batch {
            match action {
                _ if outcomes.contains_key(&action.removal().digest) => {}
                Action::DeleteImage(removal) => to_delete.push(removal),
                Action::ArchiveImage(removal) => to_archive.push(removal),
            }
        }
        if !to_delete.is_empty() {
            outcomes.extend(Box::pin(self.delete(name, &to_delete)).await);
        }
        let archived: Vec<(Digest, Outcome)> = stream::iter(to_archive)
            .map(|removal| self.archive(removal))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        outcomes.extend(archived);
        let missing = || Outcome::Failed("ECR gave no answer for it".to_owned());
        batch
            .iter()
            .map(|action| outcomes.remove(&action.removal().digest))
            .map(|outcome| outcome.unwrap_or_else(missing))
            .collect()
    }
}

/// What stops a whole batch.
enum Halt {
    /// There is no such repository any more.
    RepositoryGone,
    /// For every one of it the same.
    Batch(Outcome),
}

/// What an action comes to when its image is gone. That is what a deletion
/// wants; who looks for an archived image does not.
fn if_gone(action: &Action) -> Outcome {
    match action {
        Action::DeleteImage(_) => Outcome::AlreadyDone,
        Action::ArchiveImage(_) => {
            Outcome::Skipped("it is gone, so that nothing can be archived".to_owned())
        }
    }
}

impl Registry {
    /// What must not be removed after all, and why.
    async fn recheck(
        &self,
        policy: &PruningPolicy,
        name: &str,
        batch: &[Action],
    ) -> Result<BTreeMap<Digest, Outcome>, Halt> {
        let failed = |why: String| {
            Halt::Batch(Outcome::Failed(format!(
                "the check before acting failed, nothing was done: {why}"
            )))
        };
        let (arn, repository, account, region) = {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((arn, repository)) = last.repositories.get(name) else {
                return Err(failed(format!("repository {name} was not observed")));
            };
            (
                arn.clone(),
                Arc::clone(repository),
                last.account.clone(),
                last.region.clone(),
            )
        };
        let (hold, present, users) = futures::join!(
            Box::pin(self.hold_of(&arn)),
            Box::pin(self.present(name, &repository, batch)),
            Box::pin(self.users_now(policy)),
        );
        match hold {
            Ok(None) => {}
            Ok(Some(hold)) => {
                return Err(Halt::Batch(Outcome::Skipped(format!(
                    "repository {name} is now on hold by {hold}"
                ))));
            }
            Err(HoldError::Gone) => return Err(Halt::RepositoryGone),
            Err(HoldError::Unreadable(why)) => {
                return Err(failed(format!("ecr:ListTagsForResource: {why}")));
            }
        }
        let (uses, unreadable) = users.uses_of(&account, &region);
        if let Some(gap) = users
            .gaps
            .iter()
            .chain(&unreadable)
            .find(|gap| gap.hides.covers(name))
        {
            return Err(failed(gap.read.clone()));
        }
        let present = present.map_err(failed)?.ok_or(Halt::RepositoryGone)?;
        Ok(changed(name, &repository, batch, &present, &uses))
    }

    /// Who uses what, read again since the observation. Lanes that check at
    /// nearly the same time share one reading.
    async fn users_now(&self, policy: &PruningPolicy) -> Arc<Reading> {
        let arrived = Instant::now();
        let mut latest = self.rechecked.lock().await;
        // One that began while this lane was waiting its turn is as good.
        if let Some((at, reading)) = &*latest
            && (*at >= arrived || at.elapsed() < RECHECK_AFTER)
        {
            return Arc::clone(reading);
        }
        let at = Instant::now();
        let reading = Arc::new(self.users.read(&policy.in_use).await);
        *latest = Some((at, Arc::clone(&reading)));
        reading
    }

    /// What became of the images since they were observed; `None` when the
    /// repository is gone.
    ///
    /// Without a filter `DescribeImages` leaves archived images out (Amazon ECR
    /// API Reference, `DescribeImagesFilter`), and it is not documented whether
    /// also when they are asked for by id. So only a listing of all tells that
    /// one is gone, and what is in the archive.
    async fn present(
        &self,
        name: &str,
        observed: &Repository,
        batch: &[Action],
    ) -> Result<Option<Present>, String> {
        let in_standard = |action: &Action| match action {
            Action::DeleteImage(removal) => removal.archived_at.is_none(),
            Action::ArchiveImage(_) => false,
        };
        if batch.iter().all(in_standard)
            && let Some(here) = self.all_by_id(name, batch).await?
        {
            let new_index = None;
            return Ok(Some(Present { here, new_index }));
        }
        let Some(mut images) = self.images_now(name).await? else {
            return Ok(None);
        };
        let new_index = images
            .iter()
            .find(|(digest, image)| is_new_index(image, observed.images.get(*digest)))
            .map(|(digest, _)| digest.clone());
        let asked = batch.iter().map(|action| &action.removal().digest);
        let here = asked.filter_map(|digest| {
            let (digest, image) = images.remove_entry(digest)?;
            let (tags, storage) = (image.tags, image.storage);
            Some((digest, Here { tags, storage }))
        });
        let here = here.collect();
        Ok(Some(Present { here, new_index }))
    }

    /// The images of a batch in one call; `None` unless ECR tells all of them.
    async fn all_by_id(
        &self,
        name: &str,
        batch: &[Action],
    ) -> Result<Option<BTreeMap<Digest, Here>>, String> {
        let asked = batch.iter().map(|action| id_of(&action.removal().digest));
        let answer = self
            .ecr
            .describe_images()
            .repository_name(name)
            .set_image_ids(Some(asked.collect()))
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            // It fails as a whole when one image is missing.
            Err(error) => match aws::code(&error) {
                Some("ImageNotFoundException" | "RepositoryNotFoundException") => return Ok(None),
                _ => return Err(format!("ecr:DescribeImages: {}", aws::explain(&error))),
            },
        };
        let mut here = BTreeMap::new();
        for detail in answer.image_details.unwrap_or_default() {
            let storage = storage_of(&detail);
            let mut tags = detail.image_tags.unwrap_or_default();
            tags.sort();
            if let Some(digest) = detail.image_digest {
                here.insert(Digest::new(digest), Here { tags, storage });
            }
        }
        let told = |action: &Action| here.contains_key(&action.removal().digest);
        Ok(batch.iter().all(told).then_some(here))
    }

    async fn delete(&self, name: &str, images: &[&Removal]) -> BTreeMap<Digest, Outcome> {
        let ids = images.iter().map(|image| id_of(&image.digest)).collect();
        let answer = self
            .ecr
            .batch_delete_image()
            .repository_name(name)
            .set_image_ids(Some(ids))
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if aws::code(&error) == Some("RepositoryNotFoundException") => {
                return images
                    .iter()
                    .map(|i| (i.digest.clone(), Outcome::AlreadyDone))
                    .collect();
            }
            Err(error) => {
                let failed =
                    Outcome::Failed(format!("ecr:BatchDeleteImage: {}", aws::explain(&error)));
                return images
                    .iter()
                    .map(|i| (i.digest.clone(), failed.clone()))
                    .collect();
            }
        };
        let mut outcomes = BTreeMap::new();
        // One line per deleted tag, all with the digest.
        for id in answer.image_ids() {
            if let Some(digest) = id.image_digest() {
                outcomes.insert(Digest::new(digest), Outcome::Done);
            }
        }
        for failure in answer.failures() {
            if let Some(digest) = failure.image_id().and_then(|id| id.image_digest()) {
                outcomes.insert(Digest::new(digest), outcome_of(failure));
            }
        }
        outcomes
    }

    /// Moves one image to the archive; there is no call for several.
    async fn archive(&self, removal: &Removal) -> (Digest, Outcome) {
        let digest = removal.digest.clone();
        let request = self
            .ecr
            .update_image_storage_class()
            .repository_name(&removal.repository)
            .image_id(id_of(&digest))
            .target_storage_class(TargetStorageClass::Archive);
        let answer = self.pace.call(request.send()).await;
        let failed = |why: String| Outcome::Failed(format!("ecr:UpdateImageStorageClass: {why}"));
        let outcome = match answer {
            Ok(answer) => match answer.image_status {
                Some(ImageStatus::Archived) => Outcome::Done,
                status => failed(format!(
                    "the image is {} afterwards",
                    status.as_ref().map_or("in no state", ImageStatus::as_str)
                )),
            },
            Err(error) => match aws::code(&error) {
                Some("ImageNotFoundException" | "RepositoryNotFoundException") => {
                    if_gone(&Action::ArchiveImage(removal.clone()))
                }
                // Also of one that has been archived already: by somebody else,
                // or by a call whose answer was lost.
                Some("ImageStorageClassUpdateNotSupportedException") => {
                    match self.is_archived_now(removal).await {
                        Ok(true) => Outcome::AlreadyDone,
                        Ok(false) => failed(aws::explain(&error)),
                        Err(why) => failed(format!("{}; {why}", aws::explain(&error))),
                    }
                }
                _ => failed(aws::explain(&error)),
            },
        };
        (digest, outcome)
    }

    async fn is_archived_now(&self, removal: &Removal) -> Result<bool, String> {
        let images = self.images_now(&removal.repository).await?;
        let image = images.and_then(|mut images| images.remove(&removal.digest));
        Ok(image.is_some_and(|image| image.is_archived()))
    }
}

/// Whether an index is one that was not there when the repository was observed,
/// or was in the archive then and is not, or no longer for good, now.
fn is_new_index(image: &Image, observed: Option<&Image>) -> bool {
    let as_it_was = |then: &Image| {
        (then.storage, then.pushed_at, then.restored_at)
            == (image.storage, image.pushed_at, image.restored_at)
    };
    image.index && !image.is_archived() && !observed.is_some_and(as_it_was)
}

fn id_of(digest: &Digest) -> ImageIdentifier {
    ImageIdentifier::builder()
        .image_digest(digest.as_str())
        .build()
}

/// A failure inside an HTTP 200.
fn outcome_of(failure: &ImageFailure) -> Outcome {
    let reason = failure.failure_reason().unwrap_or_default();
    match failure.failure_code() {
        Some(ImageFailureCode::ImageNotFound) => Outcome::AlreadyDone,
        Some(ImageFailureCode::ImageReferencedByManifestList) => {
            Outcome::Skipped(format!("an index that still exists lists it: {reason}"))
        }
        code => Outcome::Failed(format!(
            "ecr:BatchDeleteImage: {}: {reason}",
            code.map_or("no failure code", |code| code.as_str())
        )),
    }
}

/// What of the batch is gone, is in another state, has other tags, or has come
/// into use.
fn changed(
    name: &str,
    repository: &Repository,
    batch: &[Action],
    present: &Present,
    uses: &BTreeSet<Use>,
) -> BTreeMap<Digest, Outcome> {
    let mut outcomes = BTreeMap::new();
    for action in batch {
        let removal = action.removal();
        let outcome = match present.here.get(&removal.digest) {
            None => Some(if_gone(action)),
            Some(Here { tags, storage }) => moved(action, *storage)
                .or_else(|| retagged(removal, tags))
                .or_else(|| joined(action, present.new_index.as_ref())),
        };
        if let Some(outcome) = outcome {
            outcomes.insert(removal.digest.clone(), outcome);
        }
    }
    let uses: Vec<&Use> = uses.iter().filter(|used| used.repository == name).collect();
    let protected = protected(repository, &Graph::of(repository), &uses);
    for action in batch {
        let digest = &action.removal().digest;
        if let Some(reason) = protected.get(digest) {
            outcomes
                .entry(digest.clone())
                .or_insert_with(|| Outcome::Skipped(format!("has come into use: {reason}")));
        }
    }
    outcomes
}

/// What it comes to that an image has another storage class than it had.
fn moved(action: &Action, storage: Storage) -> Option<Outcome> {
    let skipped = |why: &str| Some(Outcome::Skipped(why.to_owned()));
    match (action.removal().archived_at, storage) {
        (None, Storage::Standard) => None,
        (Some(then), Storage::Archived { since: Some(since) }) if then == since => None,
        (None, Storage::Archived { .. }) => match action {
            Action::ArchiveImage(_) => Some(Outcome::AlreadyDone),
            Action::DeleteImage(_) => skipped("it has been archived since"),
        },
        (Some(_), Storage::Archived { .. }) => skipped("it has been restored and archived since"),
        (Some(_), Storage::Standard) => skipped("it has been restored since"),
        (_, Storage::Moving) => skipped("it is being restored"),
    }
}

/// An untagged image may have become part of an index: ECR refuses to delete it
/// then, but nothing says that it refuses to archive it.
fn joined(action: &Action, new_index: Option<&Digest>) -> Option<Outcome> {
    let Action::ArchiveImage(removal) = action else {
        return None;
    };
    let is_tool_made = |tag: &String| Digest::of_attachment_tag(tag).is_some();
    let index = new_index.filter(|index| **index != removal.digest)?;
    removal.tags.iter().all(is_tool_made).then(|| {
        Outcome::Skipped(format!(
            "index {index} was pushed or restored since, and may list it"
        ))
    })
}

fn retagged(removal: &Removal, tags: &[String]) -> Option<Outcome> {
    (tags != removal.tags).then(|| {
        Outcome::Skipped(format!(
            "its tags have changed from [{}] to [{}]",
            removal.tags.join(", "),
            tags.join(", ")
        ))
    })
}
