//! Which images go, and why every other one stays. Pure: no clock, no
//! environment, no network, no log, no SDK types.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use jiff::Timestamp;
use steward::engine::{After, Change, Decision, Effect, Gap, Item, Plan, Seen};
use steward::policy::Period;

use self::newest::{last, newest_named};
use crate::action::{Action, Removal, target};
use crate::archive::ClosedIndexes;
use crate::graph::{Graph, protected};
use crate::policy::{NEVER_SOONER_THAN, PruningPolicy, RemoveBy, Retention};
use crate::reason::Reason;
use crate::world::{Digest, Image, Outsider, Repository, Storage, Use, World};

mod archived;
mod newest;

#[cfg(test)]
mod tests;

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
    Plan::of(items)
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
    account: &'a str,
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
            account: &world.account,
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
    let last = last(repository, &graph, &newest, &protected);
    let mut court = Court {
        repository,
        registry,
        closed: ClosedIndexes::default(),
        all_closed: ClosedIndexes::of(repository, |_| true),
        wanted: ClosedIndexes::default(),
        retention,
        outsider: policy.unnamed_outsider(registry.account, repository),
        keep_pulled_within: policy.in_use.keep_pulled_within,
        protected,
        newest,
        last,
        graph,
        now,
    };
    court.find_wanted_indexes();
    court.find_closed_indexes();
    let mut verdicts = court.verdicts();
    for (digest, image) in &repository.images {
        let verdict = match (&repository.hold, verdicts.remove(digest)) {
            (Some(hold), _) => Verdict::Keep(Reason::Held(hold.clone())),
            (None, Some(verdict)) => verdict,
            (None, None) => court.find(digest, image, &Verdicts::new()),
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
                let change = court.change(name, digest, image, pass, &after);
                (reason, Decision::Act(change), since)
            }
        };
        items.push(Item {
            unit: name.to_owned(),
            target: target(name, digest),
            since,
            serves: image.can_be_pulled(),
            reason,
            decision,
        });
    }
}

struct Court<'a> {
    repository: &'a Repository,
    registry: &'a Registry<'a>,
    /// Archived indexes that stay: what they list is not known.
    closed: ClosedIndexes<'a>,
    /// All of them, also those that go.
    all_closed: ClosedIndexes<'a>,
    /// Those that must be whole when they come back, or are on their way: what
    /// they may list does not follow them to the archive.
    wanted: ClosedIndexes<'a>,
    retention: &'a Retention,
    /// Somebody who may pull and whom the policy does not name.
    outsider: Option<&'a Outsider>,
    keep_pulled_within: Period,
    protected: BTreeMap<&'a Digest, Reason>,
    newest: HashSet<&'a Digest>,
    /// What stays because nothing else would for certain.
    last: Option<&'a Digest>,
    graph: Graph<'a>,
    now: Timestamp,
}

type Verdicts<'a> = HashMap<&'a Digest, Verdict>;

impl<'a> Court<'a> {
    /// Finds out which archived indexes stay. One that stays may list others, so
    /// that these stay too, and so on until no more do. Of two that both go it is
    /// not known whether one lists the other; then ECR refuses the part
    /// (`ImageReferencedByManifestList`), and the next run goes on.
    fn find_closed_indexes(&mut self) {
        let mut staying = HashSet::new();
        loop {
            let stays = |(digest, image): &(&'a Digest, &'a Image)| {
                staying.contains(digest)
                    || self.repository.hold.is_some()
                    || self.protected.contains_key(digest)
                    || self.above(digest).next().is_some()
                    || matches!(self.on_its_own(digest, image), Verdict::Keep(_))
            };
            let closed = ClosedIndexes::of(self.repository, stays);
            if closed.len() == staying.len() {
                return;
            }
            staying.extend(closed.iter());
            self.closed = closed;
        }
    }

    /// The change that removes an image.
    fn change(
        &self,
        name: &str,
        digest: &Digest,
        image: &Image,
        pass: u8,
        above: &[Digest],
    ) -> Change<Action> {
        let removal = Removal {
            repository: name.to_owned(),
            digest: digest.clone(),
            tags: image.tags.clone(),
            pushed_at: image.pushed_at,
            size_bytes: image.size_bytes.filter(|_| image.children.is_empty()),
            archived_at: match image.storage {
                Storage::Archived { since } => since,
                Storage::Standard | Storage::Moving => None,
            },
        };
        let in_archive = |digest: &Digest| {
            let image = self.repository.images.get(digest);
            image.is_some_and(|image| !image.can_be_pulled())
        };
        // What an archived index lists is not known, so that in the archive
        // everything else waits for all indexes; and as they must not hold up
        // what goes from the standard storage class, theirs is another lane.
        let (lane, after) = if image.can_be_pulled() || !above.iter().all(in_archive) {
            let targets = above.iter().map(|holder| target(name, holder)).collect();
            (name.to_owned(), After::Targets(targets))
        } else {
            (format!("{name} (archive)"), After::EarlierPasses)
        };
        Change {
            lane,
            pass,
            after,
            // An archived image is not gone for good, but whoever needs it now
            // cannot have it: it is protected as if it were deleted.
            effect: Effect::Destroy,
            action: if self.is_archived_first(image) {
                Action::ArchiveImage(removal)
            } else {
                Action::DeleteImage(removal)
            },
        }
    }

    /// Whether an image that goes is archived, not deleted.
    fn is_archived_first(&self, image: &Image) -> bool {
        image.can_be_pulled() && self.retention.remove_by == RemoveBy::Archive
    }

    /// The verdict on every image that hangs on another, or on which another
    /// hangs: what it hangs on comes before it. Most hang on nothing, and are
    /// judged alone.
    fn verdicts(&self) -> Verdicts<'a> {
        let images = &self.repository.images;
        let hangs = |(digest, image): &(&'a Digest, &'a Image)| {
            self.above(digest).next().is_some()
                || !image.children.is_empty()
                || self.graph.referrers.contains_key(digest)
        };
        let mut unjudged: HashMap<&'a Digest, usize> = images
            .iter()
            .filter(hangs)
            .map(|(digest, _)| (digest, self.above(digest).count()))
            .collect();
        let mut ready: VecDeque<(&'a Digest, &'a Image)> = images
            .iter()
            .filter(|(digest, _)| unjudged.get(digest) == Some(&0))
            .collect();
        let mut found = Verdicts::new();
        while let Some((digest, image)) = ready.pop_front() {
            let verdict = self.find(digest, image, &found);
            found.insert(digest, verdict);
            let children = &image.children;
            let referrers = self.graph.referrers.get(digest).into_iter().flatten();
            for below in children.iter().chain(referrers.copied()) {
                let Some((below, image)) = images.get_key_value(below) else {
                    continue;
                };
                let open = unjudged.get_mut(below).filter(|count| **count > 0);
                if let Some(count) = open {
                    *count -= 1;
                    if *count == 0 {
                        ready.push_back((below, image));
                    }
                }
            }
        }
        // Digests are hashes, so that nothing can hang on itself; what claims
        // to do so all the same is kept.
        for digest in unjudged.into_keys() {
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
    fn find(&self, digest: &'a Digest, image: &'a Image, found: &Verdicts<'a>) -> Verdict {
        if let Some(reason) = self.protected.get(digest) {
            return Verdict::Keep(reason.clone());
        }

        // What hangs on something else is never judged alone.
        let subjects = self.graph.subjects.get(digest);
        let is_subject = |holder| subjects.is_some_and(|all| all.contains(&holder));
        let mut above = Vec::new();
        let mut archived_subject = None;
        for holder in self.above(digest) {
            let whole = self.repository.images.get(holder);
            match found.get(holder) {
                // What is in the archive is not deleted while its whole only
                // gets there: it would be missing when that is restored.
                Some(Verdict::Go { pass, since, .. })
                    if image.can_be_pulled()
                        || whole.is_some_and(|whole| !self.is_archived_first(whole)) =>
                {
                    above.push((holder, *pass, *since));
                }
                // Where a run was cut short between the two.
                Some(Verdict::Keep(Reason::Archived))
                    if is_subject(holder)
                        && self.is_archived_first(image)
                        && !self.is_wanted(holder) =>
                {
                    archived_subject = Some(holder);
                }
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
        let attached = !above.is_empty() || archived_subject.is_some();
        let reason = match own {
            Verdict::Keep(
                reason @ (Reason::Archived
                | Reason::LastImage
                | Reason::PushTimeUnknown
                | Reason::JustPushed
                | Reason::SubjectElsewhere { .. }
                | Reason::PulledFromElsewhere { .. }
                | Reason::MayBePartOfArchived { .. }
                | Reason::TagKept { .. }),
            ) => {
                return Verdict::Keep(reason);
            }
            Verdict::Keep(reason) if !attached || image.named() => {
                return Verdict::Keep(reason);
            }
            Verdict::Go { reason, .. } if !attached => reason,
            Verdict::Keep(_) | Verdict::Go { .. } => match (above.first(), archived_subject) {
                (Some((holder, ..)), _) if is_subject(holder) => Reason::RefersToDeleted {
                    subject: (*holder).clone(),
                },
                (Some((index, ..)), _) => Reason::ChildOfDeleted {
                    index: (*index).clone(),
                },
                (None, Some(subject)) => Reason::RefersToArchived {
                    subject: subject.clone(),
                },
                (None, None) => return Verdict::Keep(self.stays_unjudged(digest)),
            },
        };
        // What was in the archive before its index could not be told to be part
        // of it any more, and would be deleted alone.
        let in_archive = |part: &&Digest| {
            let part = self.repository.images.get(*part);
            part.is_some_and(Image::is_archived)
        };
        if self.is_archived_first(image)
            && let Some(part) = image.children.iter().find(in_archive)
        {
            return Verdict::Keep(Reason::HoldsArchived { part: part.clone() });
        }
        // It comes after all that it hangs on, and is as old as the oldest of
        // it, so that a limit takes the whole before the parts of another.
        let mut pass = first_pass(image);
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
            .unwrap_or(match image.storage {
                Storage::Archived { since } => since,
                Storage::Standard | Storage::Moving => image.pushed_at,
            });
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

    /// What keeps an image that hangs on nothing, in whichever storage class.
    fn stays_anywhere(&self, digest: &'a Digest, image: &Image) -> Option<Reason> {
        let Some(arrived_at) = image.arrived_at() else {
            return Some(Reason::PushTimeUnknown);
        };
        if !self.is_over(arrived_at, NEVER_SOONER_THAN) {
            return Some(Reason::JustPushed);
        }
        if let Some(tag) = image
            .tags
            .iter()
            .find(|tag| self.retention.keep_tags.selects(tag))
        {
            return Some(Reason::TagKept { tag: tag.clone() });
        }
        // A signature by tag may be about an image of another repository,
        // whatever else it is named; an OCI referrer is in the repository of
        // its subject or about nothing.
        let mut subjects = image.attached_by_tag();
        let apart = subjects.find(|subject| {
            !self.repository.images.contains_key(subject) && self.registry.may_have(subject)
        });
        if let Some(subject) = apart {
            return Some(Reason::SubjectElsewhere { subject });
        }
        let pulled_at = || self.graph.last_pulled_at(self.repository, digest);
        if let Some(outsider) = self.outsider
            && !self.is_over(
                pulled_at().map_or(arrived_at, |at| at.max(arrived_at)),
                self.keep_pulled_within,
            )
        {
            return Some(Reason::PulledFromElsewhere {
                outsider: outsider.words.clone(),
                keep_pulled_within: self.keep_pulled_within,
            });
        }
        None
    }

    fn is_over(&self, at: Timestamp, period: Period) -> bool {
        at <= period.before(self.now)
    }

    /// The verdict on an image that hangs on nothing.
    fn on_its_own(&self, digest: &'a Digest, image: &Image) -> Verdict {
        let retention = self.retention;
        let go = |reason| Verdict::Go {
            reason,
            after: vec![],
            pass: first_pass(image),
            since: image.pushed_at,
        };
        let is_over = |at, period| self.is_over(at, period);
        let long_enough_in_archive = match (image.storage, retention.delete_archived_after) {
            (Storage::Standard, _) => None,
            (_, Some(after)) if self.is_due_from_archive(digest, after) => {
                Some(Reason::ArchivedLongEnough {
                    delete_archived_after: after,
                })
            }
            _ => return Verdict::Keep(Reason::Archived),
        };
        if let Some(reason) = self.stays_anywhere(digest, image) {
            return Verdict::Keep(reason);
        }
        let Some(arrived_at) = image.arrived_at() else {
            return Verdict::Keep(Reason::PushTimeUnknown);
        };
        let pulled_at = || self.graph.last_pulled_at(self.repository, digest);
        if let Some(reason) = long_enough_in_archive {
            return if let Some(index) = self.closed.may_list(image) {
                Verdict::Keep(Reason::MayBePartOfArchived {
                    index: index.clone(),
                })
            } else if self.last == Some(digest) {
                Verdict::Keep(Reason::LastImage)
            } else {
                go(reason)
            };
        }
        if !image.named() {
            let remove_untagged_after = retention.remove_untagged_after;
            // To archive a part of what nobody wants from the archive is
            // harmless, and finishes what a run began that was cut short. To
            // delete it waits until the index is gone, not only on its way.
            let wholes = if self.is_archived_first(image) {
                &self.wanted
            } else {
                &self.all_closed
            };
            if let Some(index) = wholes.may_list(image) {
                return Verdict::Keep(Reason::MayBePartOfArchived {
                    index: index.clone(),
                });
            }
            return if !is_over(arrived_at, remove_untagged_after) {
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
        // That no pull is recorded does not mean that there was none; then only
        // the age counts.
        if let Some(remove_unpulled_after) = retention.remove_unpulled_after
            && let Some(pulled_at) = pulled_at()
        {
            if !is_over(pulled_at, remove_unpulled_after) {
                return Verdict::Keep(Reason::PulledRecently {
                    remove_unpulled_after,
                });
            }
            if is_over(arrived_at, remove_unpulled_after) {
                return go(Reason::Unpulled {
                    remove_unpulled_after,
                });
            }
        }
        let keep_younger_than = retention.keep_younger_than;
        if !is_over(arrived_at, keep_younger_than) {
            return Verdict::Keep(Reason::Young { keep_younger_than });
        }
        go(Reason::Superseded {
            keep_newest,
            keep_younger_than,
        })
    }
}

/// The pass of an image that hangs on nothing that is known: from the archive,
/// where nobody knows what hangs on what, indexes go before everything else.
fn first_pass(image: &Image) -> u8 {
    u8::from(!image.can_be_pulled() && !image.index)
}
