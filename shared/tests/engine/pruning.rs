//! Image pruning in miniature: many things in few units, a lane per
//! repository, a hundred per call, and indexes before their children.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use steward::engine::{
    Act, ActionView, After, Change, Decision, Effect, Function, Gap, Item, Observe, Outcome, Plan,
    PlanOf, RunLimits, ScopeError, Seen, UnitLimits,
};
use steward::policy::Period;

use crate::support::{Limits, give_way};

/// Younger images stay.
pub(crate) const KEEP_YOUNGER: Period = Period::days(30);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Image {
    pub(crate) pushed_at: Timestamp,
    pub(crate) in_use: bool,
    pub(crate) held: bool,
    /// The images that an index consists of, by digest.
    pub(crate) children: BTreeSet<String>,
}

/// Repositories, and in each its images by digest.
pub(crate) type Registry = BTreeMap<String, BTreeMap<String, Image>>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeleteImage {
    pub(crate) repository: String,
    pub(crate) digest: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Why {
    InUse,
    Held,
    Young { pushed_at: Timestamp },
    PartOfKept { index: String },
    Unseen { read: String },
    Expired { pushed_at: Timestamp },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("it is in use"),
            Self::Held => f.write_str("a person holds it"),
            Self::Young { pushed_at } => write!(f, "pushed as late as {pushed_at}"),
            Self::PartOfKept { index } => write!(f, "part of {index}, which stays"),
            Self::Unseen { read } => write!(f, "it could be in use, as this failed: {read}"),
            Self::Expired { pushed_at } => write!(f, "unused, and pushed as early as {pushed_at}"),
        }
    }
}

impl steward::engine::Reason for Why {
    fn code(&self) -> &'static str {
        match self {
            Self::InUse => "in_use",
            Self::Held => "held",
            Self::Young { .. } => "young",
            Self::PartOfKept { .. } => "part_of_kept",
            Self::Unseen { .. } => "unseen",
            Self::Expired { .. } => "expired",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pruning;

impl Function for Pruning {
    const NAME: &'static str = "pruning";
    const OPERATIONS: &'static [&'static str] = &["prune"];
    const BATCH: usize = 100;
    type Policy = Limits;
    type Scope = ();
    type World = Registry;
    type Action = DeleteImage;
    type Reason = Why;

    fn scope(_: &steward::event::Event) -> Result<(), ScopeError> {
        Ok(())
    }

    fn decide(_: &Limits, (): &(), seen: &Seen<Registry>, now: Timestamp) -> PlanOf<Self> {
        let items = seen.world.iter().flat_map(|(repository, images)| {
            let gap = seen.gaps.iter().find(|gap| gap.hides.covers(repository));
            images
                .keys()
                .map(move |digest| decide_image(repository, images, digest, gap, now))
        });
        Plan::of(items.collect())
    }

    fn achieved(action: &DeleteImage, world: &Registry) -> bool {
        !world
            .get(&action.repository)
            .is_some_and(|images| images.contains_key(&action.digest))
    }

    fn kind(_: &DeleteImage) -> &'static str {
        "delete_image"
    }

    fn view(action: &DeleteImage) -> ActionView {
        let target = target(&action.repository, &action.digest);
        ActionView {
            target: target.clone(),
            unit: action.repository.clone(),
            resource: target,
            detail: serde_json::Map::new(),
            elsewhere: None,
        }
    }

    fn unit_limits(policy: &Limits, _: &str) -> UnitLimits {
        policy.of_unit()
    }

    fn run_limits(policy: &Limits) -> RunLimits {
        policy.of_run()
    }
}

fn target(repository: &str, digest: &str) -> String {
    format!("{repository}@{digest}")
}

fn decide_image(
    repository: &str,
    images: &BTreeMap<String, Image>,
    digest: &str,
    gap: Option<&Gap>,
    now: Timestamp,
) -> Item<DeleteImage, Why> {
    let image = &images[digest];
    let parents: Vec<&String> = images
        .iter()
        .filter(|(_, index)| index.children.contains(digest))
        .map(|(index, _)| index)
        .collect();
    let kept_parent = parents
        .iter()
        .find(|index| reason_to_keep(&images[**index], now).is_some());
    let (reason, decision) = match (reason_to_keep(image, now), kept_parent, gap) {
        (Some(why), _, _) => (why, Decision::Keep),
        (None, Some(index), _) => {
            let index = (*index).clone();
            (Why::PartOfKept { index }, Decision::Keep)
        }
        (None, None, Some(gap)) => {
            let read = gap.read.clone();
            (Why::Unseen { read }, Decision::Defer)
        }
        (None, None, None) => {
            let change = Change {
                lane: repository.to_owned(),
                pass: u8::from(!parents.is_empty()),
                after: After::Targets(parents.iter().map(|d| target(repository, d)).collect()),
                effect: Effect::Destroy,
                action: DeleteImage {
                    repository: repository.to_owned(),
                    digest: digest.to_owned(),
                },
            };
            let pushed_at = image.pushed_at;
            (Why::Expired { pushed_at }, Decision::Act(change))
        }
    };
    Item {
        unit: repository.to_owned(),
        target: target(repository, digest),
        since: Some(image.pushed_at),
        serves: true,
        reason,
        decision,
    }
}

fn reason_to_keep(image: &Image, now: Timestamp) -> Option<Why> {
    let pushed_at = image.pushed_at;
    if image.in_use {
        Some(Why::InUse)
    } else if image.held {
        Some(Why::Held)
    } else if pushed_at > KEEP_YOUNGER.before(now) {
        Some(Why::Young { pushed_at })
    } else {
        None
    }
}

/// A registry as ECR keeps it: an image that an index refers to cannot be
/// deleted while the index is there (Amazon ECR API Reference,
/// `BatchDeleteImage`: `ImageReferencedByManifestList`).
#[derive(Default)]
pub(crate) struct Ecr {
    pub(crate) registry: RefCell<Registry>,
    pub(crate) gaps: RefCell<Vec<Gap>>,
    /// What was really deleted, in order.
    pub(crate) deleted: RefCell<Vec<String>>,
    pub(crate) calls: Cell<usize>,
}

impl Ecr {
    pub(crate) fn of(registry: Registry) -> Self {
        Self {
            registry: RefCell::new(registry),
            ..Self::default()
        }
    }
}

impl Observe<Pruning> for Ecr {
    async fn observe(&self, _: &Limits, (): &()) -> Seen<Registry> {
        give_way(1).await;
        let world = self.registry.borrow().clone();
        give_way(1).await;
        Seen {
            world,
            gaps: self.gaps.borrow().clone(),
            warnings: vec![],
        }
    }
}

impl Act<Pruning> for Ecr {
    async fn act(&self, _: &Limits, batch: &[DeleteImage]) -> Vec<Outcome> {
        give_way(batch[0].repository.len()).await;
        self.calls.set(self.calls.get() + 1);
        let outcomes = self.delete(batch);
        give_way(1).await;
        outcomes
    }
}

impl Ecr {
    fn delete(&self, batch: &[DeleteImage]) -> Vec<Outcome> {
        let mut registry = self.registry.borrow_mut();
        batch
            .iter()
            .map(|DeleteImage { repository, digest }| {
                let Some(images) = registry.get_mut(repository) else {
                    return Outcome::AlreadyDone;
                };
                let Some(image) = images.get(digest) else {
                    return Outcome::AlreadyDone;
                };
                if image.in_use {
                    return Outcome::Skipped("it is in use by now".to_owned());
                }
                if images.values().any(|index| index.children.contains(digest)) {
                    return Outcome::Failed("ImageReferencedByManifestList".to_owned());
                }
                images.remove(digest);
                self.deleted.borrow_mut().push(target(repository, digest));
                Outcome::Done
            })
            .collect()
    }
}
