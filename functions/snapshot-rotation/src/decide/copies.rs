//! Which snapshots are copied to other Regions and accounts.
//!
//! A place gets the newest snapshot, and of the others those that are missing in
//! its own history and that its rules would keep. What is older than all that it
//! has is not brought there: nobody asked for old data to be moved.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use steward::engine::{Decision, Effect, Item};

use super::creation::Course;
use super::rationing::Ration;
use super::stays::deletion_of;
use super::{COPIES, Draft, Drafted, PENDING, Rotation, complete, pass, under_way};
use crate::action::{Action, Copying, Sharing, Tagging};
use crate::policy::{CopyTo, Rule};
use crate::reason::Reason;
use crate::retention::{Restorable, stay};
use crate::world::{Place, Progress, Snapshot};
use steward::names;

/// The places that a snapshot is still to be copied to, by its name.
pub(super) type Awaited<'a> = BTreeMap<&'a str, BTreeSet<Place>>;

/// When the data of a snapshot was taken; of one that is being copied its tag
/// says so before RDS does.
fn taken_at(snapshot: &Snapshot) -> Option<Timestamp> {
    let tagged = || snapshot.tags.get(names::TAKEN_AT)?.parse().ok();
    snapshot.taken_at.or_else(tagged)
}

impl<'w> Rotation<'w> {
    /// Plans copies to every place of the rule, and what goes there.
    pub(super) fn copy<'s>(
        &self,
        rule: &Rule,
        own: &[&'s Snapshot],
        course: &Course,
        draft: &mut Draft,
    ) -> Awaited<'s> {
        let good = own.iter().filter(|snapshot| snapshot.is_available());
        let timed = good.filter_map(|snapshot| Some((snapshot.taken_at?, *snapshot)));
        let mut sources: Vec<(Timestamp, &Snapshot)> =
            timed.filter(|(at, _)| self.has_been(*at)).collect();
        sources.sort_by_key(|(at, snapshot)| (*at, &snapshot.id));
        let mut awaited = Awaited::new();
        for copy in &rule.copies {
            let place = copy.place();
            if self.is_where_it_is(&place) {
                let unit = self.unit(&self.world.home);
                let target = format!("{unit} copies to {place}");
                draft.need(&unit, Reason::SamePlace);
                draft.push(&unit, target, None, Reason::SamePlace, Decision::Defer);
                continue;
            }
            for id in self.copy_to(rule, copy, &place, &sources, course, draft) {
                awaited.entry(id).or_default().insert(place.clone());
            }
        }
        awaited
    }

    /// Whether a place is that of the database, perhaps by the number of its own
    /// account. Copies there would be the snapshots themselves, and thinned twice.
    fn is_where_it_is(&self, place: &Place) -> bool {
        let home = &self.world.home;
        let own = |account: &String| self.database.account() == Some(account.as_str());
        place.region == home.region && place.account.as_ref().is_none_or(own)
    }

    /// Plans copies to one place. The answer is what of the sources is not there
    /// yet and shall be.
    fn copy_to<'s>(
        &self,
        rule: &Rule,
        copy: &CopyTo,
        place: &Place,
        sources: &[(Timestamp, &'s Snapshot)],
        course: &Course,
        draft: &mut Draft,
    ) -> Vec<&'s str> {
        let unit = self.unit(place);
        let objective = copy.objective.unwrap_or_else(|| rule.objective());
        let Some(holdings) = complete(self.world.places.get(place)) else {
            let read = self.gap(&unit).map(|gap| gap.read.clone());
            let reason = Reason::Unseen {
                read: read.unwrap_or_else(|| format!("snapshots of {place}")),
            };
            draft.push(&unit, unit.clone(), None, reason, Decision::Defer);
            return sources
                .iter()
                .map(|(_, source)| source.id.as_str())
                .collect();
        };
        let there = self.snapshots(place);
        let is_broken = |snapshot: &Snapshot| {
            matches!(
                snapshot.progress,
                Progress::Broken { .. } | Progress::Deleting
            )
        };
        let mut history: Vec<Restorable> = Vec::new();
        for snapshot in there.iter().filter(|snapshot| !is_broken(snapshot)) {
            if let Some(taken_at) = taken_at(snapshot) {
                let id = &snapshot.id;
                history.push(Restorable { id, taken_at });
            }
        }
        let oldest = history.iter().map(|restorable| restorable.taken_at).min();
        let newest_source = sources.last().map(|(_, snapshot)| snapshot.id.as_str());
        let is_there = |id: &str| {
            let mut living = there.iter().filter(|snapshot| !is_broken(snapshot));
            living.any(|snapshot| snapshot.id == id)
        };
        let mut missing = Vec::new();
        for (taken_at, source) in sources.iter().filter(|(_, source)| !is_there(&source.id)) {
            let newest = newest_source == Some(&source.id);
            if newest || oldest.is_some_and(|oldest| *taken_at > oldest) {
                missing.push((*taken_at, *source, newest));
                let (id, taken_at) = (source.id.as_str(), *taken_at);
                history.push(Restorable { id, taken_at });
            }
        }
        let keep = copy.keep.as_ref().unwrap_or(&rule.keep);
        let stays = stay(keep, &history, &rule.zone(), self.now);
        missing.retain(|(_, source, newest)| *newest || stays.contains_key(source.id.as_str()));

        let newest = self.newest(&there).map(|(_, taken_at)| taken_at);
        let replicated = holdings.replicated_until.get(&self.database.resource_id);
        let newest_restorable = newest.max(replicated.copied());
        let mut acts = false;
        let mut why = match self.newest_failed(rule, &there) {
            Some(snapshot) => Reason::NewestFailed { snapshot },
            None if missing.is_empty() => course.why.clone(),
            None => Reason::Missing { newest: true },
        };
        let under_way: Vec<&str> = there
            .iter()
            .filter(|snapshot| under_way(snapshot).is_some() && !is_broken(snapshot))
            .map(|snapshot| snapshot.id.as_str())
            .collect();
        for (taken_at, source, is_newest) in &missing {
            // What is left of a failed copy goes first; it has the name.
            if there.iter().any(|snapshot| snapshot.id == source.id) {
                draft.waits_for.insert("failed copies to be gone");
                continue;
            }
            let target = place.target(&source.id);
            match self.obstacle(copy, place, source) {
                Some(reason) => {
                    match &reason {
                        Reason::NotYetShared { .. } => {
                            acts = true;
                            draft.waits_for.insert("snapshots to be shared");
                        }
                        _ if *is_newest => draft.need(&unit, &reason),
                        _ => {}
                    }
                    why = reason.clone();
                    draft.push(&unit, target, Some(*taken_at), reason, Decision::Defer);
                }
                None => {
                    acts = true;
                    let reason = Reason::Missing { newest: *is_newest };
                    let action = self.copying(copy, place, source, *taken_at);
                    let item = Item {
                        unit: unit.clone(),
                        target,
                        since: Some(*taken_at),
                        serves: false,
                        reason,
                        decision: self.change(pass::COPY, Effect::Restore, action),
                    };
                    let before = std::cmp::Reverse(*taken_at);
                    draft.items.push(Drafted {
                        item,
                        ration: Some(Ration::Copy { newest, before }),
                    });
                }
            }
        }
        if !under_way.is_empty() {
            draft.waits_for.insert(COPIES);
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of copies is small")]
        draft.measure(&unit, &PENDING, (missing.len() + under_way.len()) as f64);
        let since = sources.first().map(|(at, _)| *at);
        let copying = there
            .iter()
            .filter(|snapshot| matches!(snapshot.progress, Progress::Under { .. }))
            .max_by_key(|snapshot| &snapshot.id);
        if let Some(reason) = copying.and_then(|snapshot| super::under_way(snapshot)) {
            why = reason;
        }
        let moves = acts || self.is_on_its_way(&there, objective);
        if !course.is_parked || !missing.is_empty() {
            self.watch(
                &unit,
                (newest_restorable, since),
                objective,
                (&why, moves),
                draft,
            );
        }
        self.thin_copies(rule, keep, place, &there, draft);
        let missing = missing.iter().map(|(_, source, _)| source.id.as_str());
        let coming = sources.iter().map(|(_, source)| source.id.as_str());
        missing
            .chain(coming.filter(|id| under_way.contains(id)))
            .collect()
    }

    /// Why a snapshot cannot be copied.
    fn obstacle(&self, copy: &CopyTo, place: &Place, source: &Snapshot) -> Option<Reason> {
        let other_region = place.region != self.world.home.region;
        // "This setting applies only to AWS GovCloud (US) Regions" (`PreSignedUrl`
        // of `CopyDBSnapshot`, Amazon RDS API Reference).
        if self.database.partition() == "aws-us-gov" && other_region && source.encrypted {
            return Some(Reason::PresignedUrl);
        }
        // Default groups are everywhere, and are never copied ("Option group
        // considerations" of copying a snapshot, Amazon RDS User Guide).
        let own_group = source.option_group.as_ref();
        if let Some(group) = own_group.filter(|group| !group.starts_with("default:"))
            && copy.option_group.is_none()
        {
            let group = group.clone();
            return Some(Reason::NoOptionGroup { group });
        }
        if let Some(account) = self.other_account(place) {
            if let Some(key) = self.default_key(source) {
                return Some(Reason::DefaultKey { key });
            }
            let shared = source.shared_with.as_ref();
            if !shared.is_some_and(|accounts| accounts.contains(account)) {
                let account = account.to_owned();
                return Some(Reason::NotYetShared { account });
            }
        }
        None
    }

    /// The account of a place that is not that of the database. A role of its own
    /// account needs nothing shared.
    fn other_account<'p>(&self, place: &'p Place) -> Option<&'p str> {
        let account = place.account.as_deref();
        account.filter(|account| self.database.account() != Some(*account))
    }

    fn default_key(&self, snapshot: &Snapshot) -> Option<String> {
        let key = snapshot.kms_key.as_ref()?;
        self.world
            .aws_managed_keys
            .contains(key)
            .then(|| key.clone())
    }

    fn copying(
        &self,
        copy: &CopyTo,
        place: &Place,
        source: &Snapshot,
        taken_at: Timestamp,
    ) -> Action {
        // With tags of its own a copy gets no others (`CopyTags` is ignored).
        let mut tags = self.tags(&source.tags);
        tags.insert(names::TAKEN_AT.to_owned(), taken_at.to_string());
        let has_own_group = source
            .option_group
            .as_ref()
            .is_some_and(|group| !group.starts_with("default:"));
        Action::CopySnapshot(Copying {
            of: self.subject(place, &source.id),
            source_arn: source.arn.clone(),
            kms_key_id: Some(copy.kms_key_id.clone()),
            option_group: copy.option_group.clone().filter(|_| has_own_group),
            tags,
        })
    }

    /// Writes on snapshots when their data was taken, and shares them.
    pub(super) fn mark(
        &self,
        rule: &Rule,
        own: &[&Snapshot],
        awaited: &Awaited<'_>,
        draft: &mut Draft,
    ) {
        let home = &self.world.home;
        let unit = self.unit(home);
        for snapshot in own.iter().filter(|snapshot| snapshot.is_available()) {
            let Some(taken_at) = snapshot.taken_at else {
                continue;
            };
            if snapshot.tags.get(names::TAKEN_AT) != Some(&taken_at.to_string()) {
                let action = Action::TagSnapshot(Tagging {
                    of: self.subject(home, &snapshot.id),
                    arn: snapshot.arn.clone(),
                    taken_at,
                });
                let target = action.target();
                let change = self.change(pass::MARK, Effect::Restore, action);
                draft.push(&unit, target, Some(taken_at), Reason::Untagged, change);
            }
            self.share(rule, snapshot, awaited.get(snapshot.id.as_str()), draft);
        }
        // Said once, and not of every snapshot.
        if let Some((newest, _)) = self.newest(own)
            && let Some(key) = self.default_key(newest)
            && !rule.share_with.is_empty()
        {
            draft.need(&unit, Reason::DefaultKey { key });
        }
    }

    fn share(
        &self,
        rule: &Rule,
        snapshot: &Snapshot,
        awaited: Option<&BTreeSet<Place>>,
        draft: &mut Draft,
    ) {
        let home = &self.world.home;
        let unit = self.unit(home);
        // What is there already cannot be told of a place that was not read.
        let copying = awaited.into_iter().flatten();
        let read = copying.filter(|place| complete(self.world.places.get(place)).is_some());
        let copying = read.filter_map(|place| self.other_account(place).map(str::to_owned));
        let mut accounts: BTreeSet<String> = rule.share_with.iter().cloned().collect();
        accounts.extend(copying);
        // What nobody could read is a gap, and nothing is shared twice.
        let Some(shared) = &snapshot.shared_with else {
            return;
        };
        let accounts: BTreeSet<String> = accounts.difference(shared).cloned().collect();
        if accounts.is_empty() {
            return;
        }
        let of = self.subject(home, &snapshot.id);
        let action = Action::ShareSnapshot(Sharing { of, accounts });
        let target = action.target();
        let hold = snapshot.hold(self.now);
        let hold = hold.or_else(|| self.database.hold(self.now));
        let (reason, decision) = match (hold, self.default_key(snapshot)) {
            (Some(hold), _) => (Reason::Held(hold), Decision::Keep),
            (None, Some(key)) => (Reason::DefaultKey { key }, Decision::Defer),
            (None, None) => (
                Reason::NotShared,
                self.change(pass::MARK, Effect::Restore, action),
            ),
        };
        draft.push(&unit, target, snapshot.taken_at, reason, decision);
    }

    /// What goes of the copies in a place.
    fn thin_copies(
        &self,
        rule: &Rule,
        keep: &crate::retention::Keep,
        place: &Place,
        there: &[&Snapshot],
        draft: &mut Draft,
    ) {
        let failed = self.newest_failed(rule, there);
        self.thin(
            rule,
            keep,
            place,
            there,
            |_| None,
            |snapshot| match &failed {
                Some(id) => (
                    Reason::NewestFailed {
                        snapshot: id.clone(),
                    },
                    Decision::Defer,
                ),
                None => (Reason::Expired, deletion_of(self, place, snapshot)),
            },
            draft,
        );
    }
}
