//! A registry and its users in memory, and hands of the function over it that
//! can be stopped at any step.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use image_pruning::{Action, Digest, ImagePruning, PruningPolicy, Removal, Scope, Storage, World};
use jiff::Timestamp;
use serde_json::json;
use steward::engine::{Act, Gap, Observe, Outcome, Seen};
use steward::policy::PolicyDocument;
use steward::run::Run;
use steward_sandbox::Steps;

use crate::oracle;

/// What is true, for all who look at it.
#[derive(Debug, Default)]
pub(crate) struct Cloud {
    pub(crate) world: World,
    pub(crate) gaps: Vec<Gap>,
    /// Images that Amazon ECR fails to delete.
    pub(crate) failing: BTreeSet<Digest>,
    /// Everything that was ever deleted, in order.
    pub(crate) deleted: Vec<(String, Digest)>,
    /// Everything that was ever archived, in order.
    pub(crate) archived: Vec<(String, Digest)>,
    /// What archived indexes list, which nobody can read.
    pub(crate) unread: BTreeMap<(String, Digest), Vec<Digest>>,
    /// Somebody is between the last look and the deletion.
    pub(crate) deleting: usize,
}

pub(crate) type Shared = Rc<RefCell<Cloud>>;

impl Cloud {
    /// As `BatchDeleteImage` does it, image by image.
    fn delete(&mut self, image: &Removal) -> Outcome {
        if self.failing.contains(&image.digest) {
            return Outcome::Failed("ecr:BatchDeleteImage: KmsError".to_owned());
        }
        let Some(repository) = self.world.repositories.get_mut(&image.repository) else {
            return Outcome::AlreadyDone;
        };
        if !repository.images.contains_key(&image.digest) {
            return Outcome::AlreadyDone;
        }
        let mut indexes = oracle::listed_by(repository, &image.digest);
        indexes.remove(&image.digest);
        let in_archive = self.unread.iter().any(|((name, index), children)| {
            *name == image.repository
                && repository.images.contains_key(index)
                && children.contains(&image.digest)
        });
        if !indexes.is_empty() || in_archive {
            return Outcome::Skipped("ImageReferencedByManifestList".to_owned());
        }
        Arc::make_mut(repository).images.remove(&image.digest);
        self.deleted
            .push((image.repository.clone(), image.digest.clone()));
        Outcome::Done
    }

    /// As `UpdateImageStorageClass` does it.
    fn archive(&mut self, image: &Removal, now: Timestamp) -> Outcome {
        if self.failing.contains(&image.digest) {
            return Outcome::Failed("ecr:UpdateImageStorageClass: ServerException".to_owned());
        }
        let gone = || Outcome::Skipped("it is gone".to_owned());
        let Some(repository) = self.world.repositories.get_mut(&image.repository) else {
            return gone();
        };
        let mut indexes = oracle::listed_by(repository, &image.digest);
        indexes.remove(&image.digest);
        let Some(there) = Arc::make_mut(repository).images.get_mut(&image.digest) else {
            return gone();
        };
        if there.storage != Storage::Standard {
            return Outcome::AlreadyDone;
        }
        if !indexes.is_empty() {
            return Outcome::Failed("ImageStorageClassUpdateNotSupportedException".to_owned());
        }
        there.storage = Storage::Archived { since: Some(now) };
        let place = (image.repository.clone(), image.digest.clone());
        let children = std::mem::take(&mut there.children);
        self.unread.insert(place.clone(), children);
        self.archived.push(place);
        Outcome::Done
    }

    /// Why an image must not be removed after all.
    fn objection(&self, action: &Action) -> Option<Outcome> {
        let image = action.removal();
        let repository = self.world.repositories.get(&image.repository)?;
        let there = repository.images.get(&image.digest)?;
        let archived_at = match there.storage {
            Storage::Archived { since } => since,
            Storage::Standard | Storage::Moving => None,
        };
        let why = if archived_at != image.archived_at {
            if matches!(action, Action::ArchiveImage(_)) && archived_at.is_some() {
                return Some(Outcome::AlreadyDone);
            }
            "in another storage class"
        } else if repository.hold.is_some() {
            "now on hold"
        } else if there.tags != image.tags {
            "its tags have changed"
        } else if oracle::in_use(&self.world, &image.repository).contains(&image.digest) {
            "has come into use"
        } else {
            return None;
        };
        Some(Outcome::Skipped(why.to_owned()))
    }
}

/// The hands of one run.
#[derive(Debug)]
pub(crate) struct Hands {
    cloud: Shared,
    steps: Steps,
    /// What time it is in the run.
    now: Cell<Timestamp>,
}

impl Hands {
    pub(crate) fn new(cloud: &Shared) -> Self {
        Self {
            cloud: Rc::clone(cloud),
            steps: Steps::default(),
            now: Cell::new(Timestamp::UNIX_EPOCH),
        }
    }

    pub(crate) fn cut_at(self, step: usize) -> Self {
        let steps = self.steps.cut_at(step);
        Self { steps, ..self }
    }

    pub(crate) fn with_turns(self, turns: Vec<u8>) -> Self {
        let steps = self.steps.with_turns(turns);
        Self { steps, ..self }
    }

    pub(crate) fn steps(&self) -> usize {
        self.steps.taken()
    }

    /// One run to its end, or to where it is killed, which is `None`.
    pub(crate) async fn run(
        &self,
        policy: &PolicyDocument<PruningPolicy>,
        now: Timestamp,
    ) -> Option<Run<ImagePruning>> {
        self.now.set(now);
        self.steps
            .run(self, ("123456789012", "eu-west-1"), now, policy, &json!({}))
            .await
    }
}

impl Observe<ImagePruning> for Hands {
    async fn observe(&self, policy: &PruningPolicy, _: &Scope) -> Seen<World> {
        let mut seen = Seen::<World>::default();
        self.steps.step().await;
        seen.gaps = self.cloud.borrow().gaps.clone();
        let names: Vec<String> = {
            let cloud = self.cloud.borrow();
            let all = cloud.world.repositories.keys().cloned();
            all.filter(|name| policy.selects(name)).collect()
        };
        for name in names {
            self.steps.step().await;
            let read = self.cloud.borrow().world.repositories.get(&name).cloned();
            seen.world
                .repositories
                .extend(read.map(|repository| (name, repository)));
        }
        self.steps.step().await;
        seen.world.uses = self.cloud.borrow().world.uses.clone();
        seen.world.account = self.cloud.borrow().world.account.clone();
        seen.world.more_repositories = self.cloud.borrow().world.more_repositories;
        seen
    }
}

impl Act<ImagePruning> for Hands {
    async fn act(&self, _: &PruningPolicy, batch: &[Action]) -> Vec<Outcome> {
        self.steps.step().await;
        let objections: Vec<Option<Outcome>> = {
            let mut cloud = self.cloud.borrow_mut();
            cloud.deleting += 1;
            batch.iter().map(|action| cloud.objection(action)).collect()
        };
        let _over = Deleting(&self.cloud);
        self.steps.step().await;
        let mut outcomes = Vec::new();
        for (action, objection) in batch.iter().zip(objections) {
            let mut cloud = self.cloud.borrow_mut();
            let outcome = objection.unwrap_or_else(|| match action {
                Action::DeleteImage(image) => cloud.delete(image),
                Action::ArchiveImage(image) => cloud.archive(image, self.now.get()),
            });
            outcomes.push(outcome);
        }
        // Done, and the answer still on its way.
        self.steps.step().await;
        outcomes
    }
}

/// Counts a deletion as over, also when its run is killed.
struct Deleting<'a>(&'a Shared);

impl Drop for Deleting<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().deleting -= 1;
    }
}

/// Runs a future that needs no network and no clock.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// The policy as a document that names its targets.
pub(crate) fn document(policy: &PruningPolicy) -> PolicyDocument<PruningPolicy> {
    let mut text = serde_json::to_value(policy).unwrap();
    text["version"] = 1.into();
    PolicyDocument::parse(&text.to_string(), "test").unwrap()
}
