//! Deletes one batch of images of one repository. The only file that changes
//! AWS.
//!
//! Just before, it reads again whether the repository is on hold, whether the
//! images still have the tags they had, and who uses what; whatever has changed
//! in a way that matters is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_sdk_ecr::types::{ImageFailure, ImageFailureCode, ImageIdentifier};
use steward::aws;
use steward::engine::{Act, Outcome};
use tokio::time::Instant;

use crate::ImagePruning;
use crate::action::{Action, DeleteImage};
use crate::graph::{Graph, protected};
use crate::in_use::Reading;
use crate::observe::{HoldError, Registry, is_archived};
use crate::policy::PruningPolicy;
use crate::world::{Digest, Repository, Use};

/// An image just before it is deleted.
enum Present {
    Here { tags: Vec<String>, archived: bool },
    Gone,
}

/// How long a reading of users serves the check before deleting.
const RECHECK_AFTER: Duration = Duration::from_secs(20);

impl Act<ImagePruning> for Registry {
    async fn act(&self, policy: &PruningPolicy, batch: &[Action]) -> Vec<Outcome> {
        let images: Vec<&DeleteImage> = batch
            .iter()
            .map(|Action::DeleteImage(image)| image)
            .collect();
        let Some(first) = images.first() else {
            return vec![];
        };
        match self.recheck(policy, &first.repository, &images).await {
            Ok(mut outcomes) => {
                let going: Vec<&DeleteImage> = images
                    .iter()
                    .copied()
                    .filter(|image| !outcomes.contains_key(&image.digest))
                    .collect();
                if !going.is_empty() {
                    outcomes.extend(self.delete(&first.repository, &going).await);
                }
                let missing = || Outcome::Failed("ECR gave no answer for it".to_owned());
                images
                    .iter()
                    .map(|image| outcomes.remove(&image.digest).unwrap_or_else(missing))
                    .collect()
            }
            Err(outcome) => vec![outcome; images.len()],
        }
    }
}

impl Registry {
    /// What must not be deleted after all, and why. `Err` is for the whole
    /// batch.
    async fn recheck(
        &self,
        policy: &PruningPolicy,
        name: &str,
        images: &[&DeleteImage],
    ) -> Result<BTreeMap<Digest, Outcome>, Outcome> {
        let failed = |why: String| {
            Outcome::Failed(format!(
                "the check before deleting failed, nothing was deleted: {why}"
            ))
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
            self.hold_of(&arn),
            self.present(name, images),
            self.users_now(policy),
        );
        match hold {
            Ok(None) => {}
            Ok(Some(hold)) => {
                return Err(Outcome::Skipped(format!(
                    "repository {name} is now on hold by {hold}"
                )));
            }
            Err(HoldError::Gone) => return Err(Outcome::AlreadyDone),
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
        let present = present.map_err(failed)?;
        Ok(changed(name, &repository, images, &present, &uses))
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

    /// What became of the images since they were observed; one that ECR says
    /// nothing about is not in the answer.
    async fn present(
        &self,
        name: &str,
        images: &[&DeleteImage],
    ) -> Result<BTreeMap<Digest, Present>, String> {
        let mut found = BTreeMap::new();
        // DescribeImages fails as a whole when one image is missing, and names
        // it; the others are asked for again.
        let mut asked: Vec<&Digest> = images.iter().map(|image| &image.digest).collect();
        while !asked.is_empty() {
            let answer = self
                .ecr
                .describe_images()
                .repository_name(name)
                .set_image_ids(Some(asked.iter().map(|digest| id_of(digest)).collect()))
                .send()
                .await;
            match answer {
                Ok(answer) => {
                    for detail in answer.image_details.unwrap_or_default() {
                        let archived = is_archived(&detail);
                        let mut tags = detail.image_tags.unwrap_or_default();
                        tags.sort();
                        if let Some(digest) = detail.image_digest {
                            found.insert(Digest::new(digest), Present::Here { tags, archived });
                        }
                    }
                    break;
                }
                Err(error) if aws::code(&error) == Some("ImageNotFoundException") => {
                    let text = aws::explain(&error);
                    let (gone, rest): (Vec<&Digest>, Vec<&Digest>) = asked
                        .iter()
                        .partition(|digest| text.contains(digest.as_str()));
                    if gone.is_empty() {
                        return Err(format!("ecr:DescribeImages: {text}"));
                    }
                    found.extend(gone.into_iter().map(|d| (d.clone(), Present::Gone)));
                    asked = rest;
                }
                Err(error) if aws::code(&error) == Some("RepositoryNotFoundException") => {
                    found.extend(asked.into_iter().map(|d| (d.clone(), Present::Gone)));
                    break;
                }
                Err(error) => return Err(format!("ecr:DescribeImages: {}", aws::explain(&error))),
            }
        }
        Ok(found)
    }

    async fn delete(&self, name: &str, images: &[&DeleteImage]) -> BTreeMap<Digest, Outcome> {
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

/// What of the batch is gone, has other tags, or has come into use.
fn changed(
    name: &str,
    repository: &Repository,
    images: &[&DeleteImage],
    present: &BTreeMap<Digest, Present>,
    uses: &BTreeSet<Use>,
) -> BTreeMap<Digest, Outcome> {
    let mut outcomes = BTreeMap::new();
    for image in images {
        let outcome = match present.get(&image.digest) {
            Some(Present::Gone) => Some(Outcome::AlreadyDone),
            // What is gone is an error that names it, never silence.
            None => Some(Outcome::Failed(
                "the check before deleting says nothing about it".to_owned(),
            )),
            Some(Present::Here { archived: true, .. }) => {
                Some(Outcome::Skipped("it has been archived since".to_owned()))
            }
            Some(Present::Here { tags, .. }) if *tags != image.tags => {
                Some(Outcome::Skipped(format!(
                    "its tags have changed from [{}] to [{}]",
                    image.tags.join(", "),
                    tags.join(", ")
                )))
            }
            Some(_) => None,
        };
        if let Some(outcome) = outcome {
            outcomes.insert(image.digest.clone(), outcome);
        }
    }
    let uses: Vec<&Use> = uses.iter().filter(|used| used.repository == name).collect();
    let protected = protected(repository, &Graph::of(repository), &uses);
    for image in images {
        if let Some(reason) = protected.get(&image.digest) {
            outcomes
                .entry(image.digest.clone())
                .or_insert_with(|| Outcome::Skipped(format!("has come into use: {reason}")));
        }
    }
    outcomes
}
