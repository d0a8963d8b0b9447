//! Which images go, and why every other one stays. Pure: no clock, no
//! environment, no network, no log, no SDK types.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;

use jiff::Timestamp;
use steward::engine::{After, Change, Decision, Effect, Gap, Item, Plan, Seen};
use steward::hold::Hold;

use crate::action::{Action, DeleteImage, target};
use crate::graph::{Graph, protected};
use crate::policy::{NEVER_SOONER_THAN, PruningPolicy, Retention};
use crate::world::{Digest, Image, Repository, Use, User, World};

#[cfg(test)]
mod tests;

/// Why an image stays, waits or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Stays: the repository is on hold.
    Held(Hold),
    /// Stays: somebody uses it.
    InUse(User),
    /// Stays: somebody uses an image whose digest is not known any more, and it
    /// could be this one.
    MayBeDeployed(User),
    /// Stays: an index whose child is in use, or the subject of one.
    HoldsUsed {
        /// What is in use.
        part: Digest,
    },
    /// Stays: a child of an index that stays.
    ChildOfKept {
        /// The index.
        index: Digest,
    },
    /// Stays: a signature, attestation or SBOM of an image that stays.
    RefersToKept {
        /// The image.
        subject: Digest,
    },
    /// Stays: a signature, attestation or SBOM whose image is, or may be, in
    /// another repository.
    SubjectElsewhere {
        /// The image.
        subject: Digest,
    },
    /// Stays: untagged, and an archived index, which cannot be read, may list
    /// it.
    MayBePartOfArchived {
        /// The index.
        index: Digest,
    },
    /// Stays: archived on purpose; what becomes of it is not ours to say.
    Archived,
    /// Stays: ECR does not say when it was pushed.
    PushTimeUnknown,
    /// Stays: pushed less than a day ago, whatever the policy says.
    JustPushed,
    /// Stays: it has a tag that the policy keeps.
    TagKept {
        /// The tag.
        tag: String,
    },
    /// Stays: among the newest tagged images.
    Newest {
        /// How many of them are kept.
        keep_newest: u32,
    },
    /// Stays: the newest of a repository in which nothing has a tag, because a
    /// repository is never emptied.
    LastImage,
    /// Stays: pushed within the time that the policy keeps.
    Young {
        /// How long, as the policy writes it.
        keep_younger_than: String,
    },
    /// Stays: untagged, and not for long enough.
    UntaggedYoung {
        /// How long, as the policy writes it.
        remove_untagged_after: String,
    },
    /// Waits: a read failed that could have shown that it is in use.
    Unseen {
        /// The read.
        read: String,
    },
    /// Goes: tagged, old, and not among the newest.
    Superseded {
        /// How many newer ones are kept.
        keep_newest: u32,
        /// The time after which tagged images go.
        keep_younger_than: String,
    },
    /// Goes: untagged for long enough.
    Untagged {
        /// The time after which untagged images go.
        remove_untagged_after: String,
    },
    /// Goes: with the index that lists it.
    ChildOfDeleted {
        /// The index.
        index: Digest,
    },
    /// Goes: with the image that it is about.
    RefersToDeleted {
        /// The image.
        subject: Digest,
    },
}

impl steward::engine::Reason for Reason {
    fn code(&self) -> &'static str {
        match self {
            Self::Held(_) => "held",
            Self::InUse(user) => user.kind.code(),
            Self::MayBeDeployed(_) => "may_be_deployed",
            Self::HoldsUsed { .. } => "holds_used_image",
            Self::ChildOfKept { .. } => "child_of_kept_index",
            Self::RefersToKept { .. } => "refers_to_kept_image",
            Self::SubjectElsewhere { .. } => "subject_elsewhere",
            Self::MayBePartOfArchived { .. } => "may_be_part_of_archived",
            Self::Archived => "archived",
            Self::PushTimeUnknown => "push_time_unknown",
            Self::JustPushed => "just_pushed",
            Self::TagKept { .. } => "tag_kept",
            Self::Newest { .. } => "newest",
            Self::LastImage => "last_image",
            Self::Young { .. } => "young",
            Self::UntaggedYoung { .. } => "untagged_young",
            Self::Unseen { .. } => "unseen",
            Self::Superseded { .. } => "superseded",
            Self::Untagged { .. } => "untagged",
            Self::ChildOfDeleted { .. } => "child_of_deleted_index",
            Self::RefersToDeleted { .. } => "refers_to_deleted_image",
        }
    }
}

/// Every reason code, for the contract section of the README.
pub const REASON_CODES: &[&str] = &[
    "held",
    "in_use_by_task",
    "in_use_by_stopped_task",
    "in_use_by_deployment",
    "rollback_target",
    "in_use_by_task_set",
    "in_use_by_daemon",
    "started_by_rule",
    "started_by_schedule",
    "in_task_definition",
    "in_use_by_lambda_function",
    "named_by_restore_point",
    "named_by_recipe",
    "referenced_by_policy",
    "may_be_deployed",
    "holds_used_image",
    "child_of_kept_index",
    "refers_to_kept_image",
    "subject_elsewhere",
    "may_be_part_of_archived",
    "archived",
    "push_time_unknown",
    "just_pushed",
    "tag_kept",
    "newest",
    "last_image",
    "young",
    "untagged_young",
    "unseen",
    "superseded",
    "untagged",
    "child_of_deleted_index",
    "refers_to_deleted_image",
];

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(hold) => write!(f, "its repository is on hold by {hold}"),
            Self::InUse(user) => write!(f, "{user}"),
            Self::MayBeDeployed(user) => write!(
                f,
                "may be what is {user}, whose digest is not recorded any more"
            ),
            Self::HoldsUsed { part } => write!(f, "{part}, which is in use, is part of it"),
            Self::ChildOfKept { index } => write!(f, "part of index {index}, which stays"),
            Self::RefersToKept { subject } => write!(f, "about {subject}, which stays"),
            Self::SubjectElsewhere { subject } => {
                write!(
                    f,
                    "about {subject}, which is or may be in another repository"
                )
            }
            Self::MayBePartOfArchived { index } => {
                write!(f, "untagged, and may be part of archived index {index}")
            }
            Self::Archived => f.write_str("in the archive storage class"),
            Self::PushTimeUnknown => f.write_str("ECR does not say when it was pushed"),
            Self::JustPushed => {
                write!(
                    f,
                    "pushed less than {NEVER_SOONER_THAN} ago, which no policy can change"
                )
            }
            Self::TagKept { tag } => write!(f, "the policy keeps tag {tag}"),
            Self::Newest { keep_newest } => write!(f, "among the newest {keep_newest} tagged"),
            Self::LastImage => f.write_str("the newest of a repository in which nothing is tagged"),
            Self::Young { keep_younger_than } => {
                write!(f, "tagged and pushed within {keep_younger_than}")
            }
            Self::UntaggedYoung {
                remove_untagged_after,
            } => {
                write!(f, "untagged, but pushed within {remove_untagged_after}")
            }
            Self::Unseen { read } => write!(f, "may be in use, because this failed: {read}"),
            Self::Superseded {
                keep_newest,
                keep_younger_than,
            } => write!(
                f,
                "unused, older than {keep_younger_than} and not among the newest {keep_newest}"
            ),
            Self::Untagged {
                remove_untagged_after,
            } => {
                write!(f, "unused, untagged and older than {remove_untagged_after}")
            }
            Self::ChildOfDeleted { index } => write!(f, "part of index {index}, which goes"),
            Self::RefersToDeleted { subject } => write!(f, "about {subject}, which goes"),
        }
    }
}

/// The whole plan: every image of every selected repository in exactly one of
/// keep, act, defer.
pub(crate) fn decide(
    policy: &PruningPolicy,
    seen: &Seen<World>,
    now: Timestamp,
) -> Plan<Action, Reason> {
    let mut uses: BTreeMap<&str, Vec<&Use>> = BTreeMap::new();
    for used in &seen.world.uses {
        uses.entry(&used.repository).or_default().push(used);
    }
    let mut items = Vec::new();
    let registry = Registry::of(&seen.world);
    for (name, repository) in &seen.world.repositories {
        let uses = uses
            .get(name.as_str())
            .map(Vec::as_slice)
            .unwrap_or_default();
        let gap = seen.gaps.iter().find(|gap| gap.hides.covers(name));
        judge(
            policy, &registry, name, repository, uses, gap, now, &mut items,
        );
    }
    Plan { items, wait: None }
}

/// What becomes of one image.
#[derive(Clone, Debug)]
enum Verdict {
    Keep(Reason),
    Go {
        reason: Reason,
        after: Vec<Digest>,
        pass: u8,
        since: Option<Timestamp>,
    },
}

/// What is in the registry beyond one repository.
struct Registry<'a> {
    attached: HashSet<&'a Digest>,
    more_repositories: bool,
}

impl<'a> Registry<'a> {
    /// Only images that some attachment elsewhere could be about matter, and
    /// only where there are attachments; most registries have few.
    fn of(world: &'a World) -> Self {
        let images = || world.repositories.values().flat_map(|r| &r.images);
        let wanted: HashSet<Digest> = images()
            .flat_map(|(_, image)| image.attached_by_tag())
            .collect();
        Self {
            attached: images()
                .map(|(digest, _)| digest)
                .filter(|digest| wanted.contains(digest))
                .collect(),
            more_repositories: world.more_repositories,
        }
    }

    /// Whether an image is, or may be, in some repository.
    fn may_have(&self, digest: &Digest) -> bool {
        self.more_repositories || self.attached.contains(digest)
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "what a repository is judged by, once, from one place"
)]
fn judge<'a>(
    policy: &'a PruningPolicy,
    registry: &'a Registry<'a>,
    name: &str,
    repository: &'a Repository,
    uses: &[&Use],
    gap: Option<&Gap>,
    now: Timestamp,
    items: &mut Vec<Item<Action, Reason>>,
) {
    let graph = Graph::of(repository);
    let retention = policy.retention_of(name);
    let protected = protected(repository, &graph, uses);
    let newest = newest_named(repository, &graph, retention.keep_newest);
    let last = (newest.is_empty() && protected.is_empty())
        .then(|| newest_of_all(repository, &graph))
        .flatten();
    let unreadable = repository
        .images
        .iter()
        .find(|(_, image)| image.archived && image.index)
        .map(|(digest, _)| digest);
    let court = Court {
        repository,
        registry,
        unreadable,
        retention,
        protected,
        newest,
        last,
        graph,
        now,
    };
    let mut verdicts = court.verdicts();
    for (digest, image) in &repository.images {
        let verdict = match (&repository.hold, verdicts.remove(digest)) {
            (Some(hold), _) => Verdict::Keep(Reason::Held(hold.clone())),
            (None, Some(verdict)) => verdict,
            (None, None) => Verdict::Keep(court.stays_unjudged(digest)),
        };
        let (reason, decision, since) = match (verdict, gap) {
            (Verdict::Keep(reason), _) => (reason, Decision::Keep, image.pushed_at),
            (Verdict::Go { since, .. }, Some(gap)) => (
                Reason::Unseen {
                    read: gap.read.clone(),
                },
                Decision::Defer,
                since,
            ),
            (
                Verdict::Go {
                    reason,
                    after,
                    pass,
                    since,
                },
                None,
            ) => {
                let change = Change {
                    lane: name.to_owned(),
                    pass,
                    after: After::Targets(after.iter().map(|d| target(name, d)).collect()),
                    effect: Effect::Destroy,
                    action: Action::DeleteImage(DeleteImage {
                        repository: name.to_owned(),
                        digest: digest.clone(),
                        tags: image.tags.clone(),
                        pushed_at: image.pushed_at,
                        size_bytes: image.size_bytes,
                    }),
                };
                (reason, Decision::Act(change), since)
            }
        };
        items.push(Item {
            unit: name.to_owned(),
            target: target(name, digest),
            since,
            reason,
            decision,
        });
    }
}

/// The newest named images that are nobody's child, as a set. Archived ones
/// stay anyway and cannot be pulled, so that they take no place in it.
fn newest_named<'a>(
    repository: &'a Repository,
    graph: &Graph<'a>,
    keep: u32,
) -> HashSet<&'a Digest> {
    let mut named: Vec<(&Digest, &Image)> = repository
        .images
        .iter()
        .filter(|(digest, image)| {
            image.named() && !image.archived && !graph.parents.contains_key(digest)
        })
        .collect();
    named.sort_by(|(a, x), (b, y)| y.pushed_at.cmp(&x.pushed_at).then(a.cmp(b)));
    named
        .into_iter()
        .take(keep as usize)
        .map(|(digest, _)| digest)
        .collect()
}

/// The newest image that hangs on nothing and can be pulled.
fn newest_of_all<'a>(repository: &'a Repository, graph: &Graph<'a>) -> Option<&'a Digest> {
    let on_its_own = |digest: &&Digest| {
        !graph.parents.contains_key(digest) && !graph.subjects.contains_key(digest)
    };
    repository
        .images
        .iter()
        .filter(|(digest, image)| on_its_own(digest) && !image.archived)
        .max_by_key(|(digest, image)| (image.pushed_at, *digest))
        .map(|(digest, _)| digest)
}

struct Court<'a> {
    repository: &'a Repository,
    registry: &'a Registry<'a>,
    /// An index whose children are not known.
    unreadable: Option<&'a Digest>,
    retention: &'a Retention,
    protected: BTreeMap<&'a Digest, Reason>,
    newest: HashSet<&'a Digest>,
    /// What stays because nothing else would for certain.
    last: Option<&'a Digest>,
    graph: Graph<'a>,
    now: Timestamp,
}

type Verdicts<'a> = HashMap<&'a Digest, Verdict>;

impl<'a> Court<'a> {
    /// The verdict on every image: what it hangs on comes before it.
    fn verdicts(&self) -> Verdicts<'a> {
        let images = &self.repository.images;
        let mut unjudged: HashMap<&'a Digest, usize> = images
            .keys()
            .map(|digest| (digest, self.above(digest).count()))
            .collect();
        let mut ready: VecDeque<&'a Digest> = images
            .keys()
            .filter(|digest| unjudged.get(digest) == Some(&0))
            .collect();
        let mut found = Verdicts::new();
        while let Some(digest) = ready.pop_front() {
            let verdict = self.find(digest, &found);
            found.insert(digest, verdict);
            let children = images.get(digest).into_iter().flat_map(|i| &i.children);
            let referrers = self.graph.referrers.get(digest).into_iter().flatten();
            for below in children.chain(referrers.copied()) {
                let Some((below, _)) = images.get_key_value(below) else {
                    continue;
                };
                let open = unjudged.get_mut(below).filter(|count| **count > 0);
                if let Some(count) = open {
                    *count -= 1;
                    if *count == 0 {
                        ready.push_back(below);
                    }
                }
            }
        }
        // Digests are hashes, so that nothing can hang on itself; what claims
        // to do so all the same is kept.
        for digest in images.keys() {
            found
                .entry(digest)
                .or_insert_with(|| Verdict::Keep(self.stays_unjudged(digest)));
        }
        found
    }

    fn stays_unjudged(&self, digest: &Digest) -> Reason {
        self.protected
            .get(digest)
            .cloned()
            .unwrap_or_else(|| Reason::ChildOfKept {
                index: digest.clone(),
            })
    }

    /// What an image hangs on: the indexes that list it, and its subjects.
    fn above(&self, digest: &Digest) -> impl Iterator<Item = &'a Digest> {
        let parents = self.graph.parents.get(digest).into_iter().flatten();
        let subjects = self.graph.subjects.get(digest).into_iter().flatten();
        parents.chain(subjects).copied()
    }

    /// The verdict on an image, those on what it hangs on being found.
    fn find(&self, digest: &'a Digest, found: &Verdicts<'a>) -> Verdict {
        let image = match (
            self.protected.get(digest),
            self.repository.images.get(digest),
        ) {
            (Some(reason), _) => return Verdict::Keep(reason.clone()),
            (None, Some(image)) => image,
            (None, None) => return Verdict::Keep(self.stays_unjudged(digest)),
        };

        // What hangs on something else is never judged alone.
        let subjects = self.graph.subjects.get(digest);
        let is_subject = |holder| subjects.is_some_and(|all| all.contains(&holder));
        let mut above = Vec::new();
        for holder in self.above(digest) {
            match found.get(holder) {
                Some(Verdict::Go { pass, since, .. }) => above.push((holder, *pass, *since)),
                _ if is_subject(holder) => {
                    return Verdict::Keep(Reason::RefersToKept {
                        subject: holder.clone(),
                    });
                }
                _ => {
                    return Verdict::Keep(Reason::ChildOfKept {
                        index: holder.clone(),
                    });
                }
            }
        }

        // A name of its own can keep it all the same.
        let own = self.on_its_own(digest, image);
        let attached = !above.is_empty();
        let reason = match own {
            Verdict::Keep(
                reason @ (Reason::Archived
                | Reason::PushTimeUnknown
                | Reason::JustPushed
                | Reason::SubjectElsewhere { .. }
                | Reason::MayBePartOfArchived { .. }
                | Reason::TagKept { .. }),
            ) => {
                return Verdict::Keep(reason);
            }
            Verdict::Keep(reason) if !attached || image.named() => {
                return Verdict::Keep(reason);
            }
            Verdict::Go { reason, .. } if !attached => reason,
            Verdict::Keep(_) | Verdict::Go { .. } => match above.first() {
                Some((holder, ..)) if is_subject(holder) => Reason::RefersToDeleted {
                    subject: (*holder).clone(),
                },
                Some((index, ..)) => Reason::ChildOfDeleted {
                    index: (*index).clone(),
                },
                None => return Verdict::Keep(self.stays_unjudged(digest)),
            },
        };
        // It comes after all that it hangs on, and is as old as the oldest of
        // it, so that a limit takes the whole before the parts of another.
        let mut pass = 0_u8;
        for (_, earlier, _) in &above {
            match earlier.checked_add(1) {
                Some(next) => pass = pass.max(next),
                // Nested deeper than there are passes, as nothing real is.
                None => return Verdict::Keep(self.stays_unjudged(digest)),
            }
        }
        let since = above
            .iter()
            .map(|(_, _, since)| *since)
            .min()
            .unwrap_or(image.pushed_at);
        let after = above
            .into_iter()
            .map(|(digest, ..)| digest.clone())
            .collect();
        Verdict::Go {
            reason,
            after,
            pass,
            since,
        }
    }

    /// The verdict on an image that hangs on nothing.
    fn on_its_own(&self, digest: &Digest, image: &Image) -> Verdict {
        let retention = self.retention;
        if image.archived {
            return Verdict::Keep(Reason::Archived);
        }
        let Some(pushed_at) = image.pushed_at else {
            return Verdict::Keep(Reason::PushTimeUnknown);
        };
        if pushed_at > NEVER_SOONER_THAN.before(self.now) {
            return Verdict::Keep(Reason::JustPushed);
        }
        if let Some(tag) = image
            .tags
            .iter()
            .find(|tag| retention.keep_tags.selects(tag))
        {
            return Verdict::Keep(Reason::TagKept { tag: tag.clone() });
        }
        // A signature by tag may be about an image of another repository,
        // whatever else it is named; an OCI referrer is in the repository of
        // its subject or about nothing.
        let mut subjects = image.attached_by_tag();
        let apart = subjects.find(|subject| {
            !self.repository.images.contains_key(subject) && self.registry.may_have(subject)
        });
        if let Some(subject) = apart {
            return Verdict::Keep(Reason::SubjectElsewhere { subject });
        }
        let go = |reason| Verdict::Go {
            reason,
            after: vec![],
            pass: 0,
            since: Some(pushed_at),
        };
        if !image.named() {
            let after = retention.remove_untagged_after;
            let remove_untagged_after = after.to_string();
            if let Some(index) = self.unreadable {
                return Verdict::Keep(Reason::MayBePartOfArchived {
                    index: index.clone(),
                });
            }
            return if pushed_at > after.before(self.now) {
                Verdict::Keep(Reason::UntaggedYoung {
                    remove_untagged_after,
                })
            } else if self.last == Some(digest) {
                Verdict::Keep(Reason::LastImage)
            } else {
                go(Reason::Untagged {
                    remove_untagged_after,
                })
            };
        }
        let keep_newest = retention.keep_newest;
        if self.newest.contains(digest) {
            return Verdict::Keep(Reason::Newest { keep_newest });
        }
        let keep_younger_than = retention.keep_younger_than.to_string();
        if pushed_at > retention.keep_younger_than.before(self.now) {
            return Verdict::Keep(Reason::Young { keep_younger_than });
        }
        go(Reason::Superseded {
            keep_newest,
            keep_younger_than,
        })
    }
}
