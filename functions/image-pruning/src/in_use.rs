//! Who uses which image: tasks, deployments, task sets, daemons and task
//! definitions of Amazon ECS, rules and schedules that start tasks, Lambda
//! functions, here and in the accounts and Regions that the policy names;
//! restore points, and what the policy itself names.
//!
//! It only reads. A read that fails becomes a gap that hides everything,
//! because the image that it would have shown could be in any repository.

mod daemons;
mod definitions;
mod elsewhere;
mod functions;
mod place;
mod restore_points;
mod rules;
mod schedules;
mod services;
mod tasks;

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_ecs as ecs;
use steward::engine::{Gap, Hides};

use self::elsewhere::Places;
use self::place::Place;
use self::restore_points::RestorePoints;
use crate::policy::InUse;
use crate::reference::{self, Digest};
use crate::world::{Pin, Use, User, UserKind};

/// Things that are looked at side by side; what they call waits its turn, place
/// by place.
const AT_ONCE: usize = 16;

/// Everything that was found out about users of images.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Of users in the account and Region of the registry: what they take from
    /// another registry keeps nothing in ours.
    images: Vec<Used>,
    /// Of users who may name another registry, and need the copy in ours when
    /// that is lost: what Amazon ECR has replicated has the same repository
    /// name, tag and digest there.
    copied: Vec<Used>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) warnings: Vec<String>,
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
        self.copied.extend(other.copied);
        self.gaps.extend(other.gaps);
        self.warnings.extend(other.warnings);
    }

    fn joined(readings: Vec<Self>) -> Self {
        let mut all = Self::default();
        readings.into_iter().for_each(|reading| all.add(reading));
        all
    }

    /// A read in a cluster that failed. One that has been deleted since it was
    /// listed runs nothing.
    fn cluster_gap(
        &mut self,
        read: &str,
        grant: &str,
        cluster: &str,
        code: Option<&str>,
        why: &str,
    ) {
        if code != Some("ClusterNotFoundException") {
            self.gap(
                format!("{read} in cluster {}: {why}", short(cluster)),
                grant,
            );
        }
    }

    /// What a describe of `asked` things left open inside an HTTP 200. A thing
    /// that is missing has gone since it was listed and uses nothing.
    fn open(
        &mut self,
        operation: &str,
        asked: usize,
        answered: usize,
        failures: &[ecs::types::Failure],
    ) {
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
        if answered + failures.len() < asked {
            let read = format!("{operation}: {asked} asked for, fewer answered");
            self.gap(read, operation);
        }
    }

    /// The uses of one registry. A reference to another counts where its copy
    /// here may be needed, and only ever keeps more; one that cannot be read is
    /// a gap.
    pub(crate) fn uses_of(&self, account: &str, region: &str) -> (BTreeSet<Use>, Vec<Gap>) {
        let mut uses = BTreeSet::new();
        let mut gaps = Vec::new();
        let images = self.images.iter().map(|used| (used, false));
        let copied = self.copied.iter().map(|used| (used, true));
        for (used, copied) in images.chain(copied) {
            let counts = |a: &str, r: &str| copied || (a == account && r == region);
            let reference = match reference::parse(&used.image) {
                Ok(Some(reference)) => reference,
                Ok(None) => continue,
                Err(error) if error.registry.as_ref().is_some_and(|(a, r)| !counts(a, r)) => {
                    continue;
                }
                Err(error) => {
                    gaps.push(Gap {
                        read: format!("{error} ({})", used.by),
                        hides: error
                            .repository
                            .as_ref()
                            .map_or(Hides::Everything, Hides::unit),
                        grant: String::new(),
                    });
                    continue;
                }
            };
            if !counts(&reference.account, &reference.region) {
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
                    let looks_up = matches!(
                        used.by.kind,
                        UserKind::Deployment | UserKind::TaskSet | UserKind::Daemon
                    );
                    if let (Some(tag), true) = (tag, looks_up) {
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

/// Reads users of images: of this account and Region, and of wherever else the
/// policy names.
#[derive(Debug)]
pub(crate) struct Users {
    here: Place,
    elsewhere: Places,
    restore_points: RestorePoints,
}

/// A lock's content, also after a panic elsewhere: these maps are only ever
/// added to.
fn known<K, V, Q>(map: &Mutex<HashMap<K, V>>, key: &Q) -> Option<V>
where
    K: Borrow<Q> + Eq + Hash,
    V: Clone,
    Q: Eq + Hash + ?Sized,
{
    let map = map.lock().unwrap_or_else(PoisonError::into_inner);
    map.get(key).cloned()
}

fn remember<K: Eq + Hash, V>(map: &Mutex<HashMap<K, V>>, key: K, value: V) {
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
            here: Place::new(config),
            elsewhere: Places::new(config),
            restore_points: RestorePoints::new(config),
        }
    }

    /// Reads every user of images that there is.
    pub(crate) async fn read(&self, settings: &InUse) -> Reading {
        let (here, elsewhere, restore_points) = futures::join!(
            Box::pin(self.here.read(settings)),
            self.elsewhere.read(settings),
            self.restore_points.read(settings),
        );
        let mut all = Reading::joined(vec![here, elsewhere, restore_points]);
        all.copied
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
}
