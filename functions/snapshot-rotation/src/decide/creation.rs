//! Whether a database gets a snapshot now.
//!
//! It goes by how old the newest good one is, never by what woke it: a night that
//! was missed is made good, and an event that comes twice makes nothing twice.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use steward::engine::{Decision, Effect, Item};
use steward::policy::Period;

use super::rationing::Ration;
use super::{Draft, Drafted, Rotation, complete, pass, under_way};
use crate::action::{Action, Creation};
use crate::policy::Rule;
use crate::reason::Reason;
use crate::world::{Progress, Snapshot};
use steward::names;

/// The states in which RDS makes snapshots (`CreateDBSnapshot`, Amazon RDS API
/// Reference).
pub(crate) const ALLOW_SNAPSHOTS: [&str; 2] = ["available", "storage-optimization"];

/// States that pass by themselves ("Viewing Amazon RDS DB instance status",
/// Amazon RDS User Guide).
pub(crate) const PASSING: [&str; 13] = [
    "backing-up",
    "configuring-enhanced-monitoring",
    "configuring-iam-database-auth",
    "configuring-log-exports",
    "converting-to-vpc",
    "creating",
    "maintenance",
    "modifying",
    "moving-to-vpc",
    "rebooting",
    "renaming",
    "starting",
    "upgrading",
];

/// A snapshot counts as due this part of the interval early, so that a daily
/// schedule, which never comes at quite the same second, makes one each day.
const EARLY_BY: i64 = 24;

/// How often in an interval it is tried again to make what has failed.
const RETRIES: i64 = 8;

/// States of a database that is parked. In any other it works, or something is
/// wrong with it, whatever its tag says; RDS itself starts what has been stopped
/// for seven days ("Stopping an Amazon RDS DB instance temporarily", Amazon RDS
/// User Guide).
const PARKED: [&str; 3] = ["starting", "stopped", "stopping"];

/// How long before the time of parking a snapshot of a parked database may have
/// been taken.
const BEFORE_PARKING: SignedDuration = SignedDuration::from_hours(1);

/// How many of a database's snapshots may have failed and still be there before it
/// gets one attempt in an interval, so that one that always fails does not fill the
/// account.
const MANY_FAILED: usize = 3;

/// How many tags of people a snapshot gets: a resource has 50 at most ("Tag
/// limits", AWS General Reference), and the rest is room for Steward's.
const MOST_OF_PEOPLE: usize = 44;

/// What comes of a database's own snapshots, for what goes and what is copied.
pub(super) struct Course {
    /// One is due and cannot be made, so that nothing may go.
    pub(super) overdue: bool,
    /// It is parked, and has a snapshot from then.
    pub(super) is_parked: bool,
    /// Why one is made, or is not.
    pub(super) why: Reason,
}

impl Rotation<'_> {
    /// Plans a snapshot, or says why there is none.
    pub(super) fn create(
        &self,
        rule: &Rule,
        snapshots: &[&Snapshot],
        own: &[&Snapshot],
        draft: &mut Draft,
    ) -> Course {
        let home = &self.world.home;
        let unit = self.unit(home);
        let newest = self.newest(own).map(|(_, taken_at)| taken_at);
        let parked = self.parked_with_snapshot(snapshots);
        let (reason, act) = self.whether(rule, snapshots, own, parked, &unit);
        let why = reason.clone();
        // What could not be read says nothing about the objective; it is a gap.
        if parked.is_none() && !matches!(reason, Reason::Unseen { .. }) {
            let times = (newest, self.database.created_at);
            let moves = act.is_some() || self.is_on_its_way(own, rule.objective());
            self.watch(&unit, times, rule.objective(), (&reason, moves), draft);
        }
        if matches!(reason, Reason::UnderWay { .. }) {
            draft.waits_for.insert(super::SNAPSHOTS);
        }
        let mut overdue = false;
        match (act, &reason) {
            (Some(creation), _) => {
                let fails = failed(own) > 0;
                let ration = Ration::Snapshot { fails, newest };
                let action = Action::CreateSnapshot(creation);
                let item = Item {
                    unit,
                    target: action.target(),
                    since: newest,
                    serves: false,
                    reason,
                    decision: self.change(pass::CREATE, Effect::Restore, action),
                };
                draft.items.push(Drafted {
                    item,
                    ration: Some(ration),
                });
            }
            (None, Reason::NotAvailable { status }) => {
                overdue = true;
                if PASSING.contains(&status.as_str()) {
                    draft.waits_for.insert("databases to be available");
                }
                draft.push(&unit, unit.clone(), newest, reason, Decision::Defer);
            }
            (None, Reason::TagsMissing { .. }) => {
                draft.need(&unit, &reason);
                draft.push(&unit, unit.clone(), newest, reason, Decision::Defer);
            }
            (None, Reason::Unseen { .. } | Reason::NewestFailed { .. }) => {
                draft.push(&unit, unit.clone(), newest, reason, Decision::Defer);
            }
            (None, _) => draft.push(&unit, unit.clone(), newest, reason, Decision::Keep),
        }
        Course {
            overdue,
            is_parked: parked.is_some(),
            why,
        }
    }

    fn whether(
        &self,
        rule: &Rule,
        snapshots: &[&Snapshot],
        own: &[&Snapshot],
        parked: Option<Timestamp>,
        unit: &str,
    ) -> (Reason, Option<Creation>) {
        let newest = self.newest(own);
        let slot = newest.map(|(newest, taken_at)| slot_of(newest, taken_at, rule.every));
        let newest = newest.map(|(_, taken_at)| taken_at);
        let home = &self.world.home;
        let gap = self.gap(unit).map(|gap| gap.read.clone());
        if complete(self.world.at_home()).is_none() {
            let read = gap.unwrap_or_else(|| "snapshots of this Region".to_owned());
            return (Reason::Unseen { read }, None);
        }
        if let Some(hold) = self.database.hold(self.now) {
            return (Reason::Held(hold), None);
        }
        // One that is upgraded, say, is none that is being made.
        let being_made = |snapshot: &&&Snapshot| {
            let due = names::parse(&snapshot.id).map(|named| named.due);
            matches!(snapshot.progress, Progress::Under { .. }) && due > newest
        };
        let being_made = own.iter().filter(being_made).max_by_key(|s| &s.id);
        if let Some(reason) = being_made.and_then(|s| under_way(s)) {
            return (reason, None);
        }
        let every = rule.every;
        if let Some((taken_at, slot)) = newest.zip(slot)
            && self.now.duration_since(slot).as_secs() < due_after(every)
        {
            return (Reason::Recent { taken_at, every }, None);
        }
        if let Some(snapshot) = self.without_tags(rule, snapshots) {
            let snapshot = snapshot.id.clone();
            return (Reason::TagsMissing { snapshot }, None);
        }
        if let Some(since) = parked {
            return (Reason::Parked { since }, None);
        }
        let status = &self.database.status;
        if !ALLOW_SNAPSHOTS.contains(&status.as_str()) {
            let status = status.clone();
            return (Reason::NotAvailable { status }, None);
        }
        let due = due_at(slot, every, self.now);
        let name = |attempt| {
            let database = self.database;
            names::snapshot_id(&database.identifier, &database.resource_id, due, attempt)
        };
        let is_free = |id: &String| self.world.snapshot(home, id).is_none();
        // A failed attempt keeps its name until it is gone, and no name is used
        // again: what comes next has the next number.
        let of_first = name(1);
        let attempts = own.iter().filter_map(|snapshot| {
            let same = snapshot.id.starts_with(&of_first);
            let named = names::parse(&snapshot.id).filter(|_| same)?;
            Some((named.attempt, &snapshot.id))
        });
        let last = attempts.max();
        let made = last.map_or(0, |(attempt, _)| attempt);
        let rests = self.now < next_attempt(due, every, made) || failed(own) >= MANY_FAILED;
        if let Some((_, id)) = last.filter(|_| rests) {
            let snapshot = id.clone();
            return (Reason::NewestFailed { snapshot }, None);
        }
        let Some(id) = (made + 1..=999).map(name).find(is_free) else {
            let read = "999 attempts of the same time".to_owned();
            return (Reason::Unseen { read }, None);
        };
        let creation = Creation {
            of: self.subject(home, &id),
            tags: self.tags(&self.database.tags),
        };
        match newest {
            Some(newest) => (Reason::Due { newest, every }, Some(creation)),
            None => (Reason::First, Some(creation)),
        }
    }

    /// A snapshot of the interval that has Steward's name and not its tags: somebody
    /// took them off. As long as it is there another would be asked for by every
    /// run.
    fn without_tags<'s>(&self, rule: &Rule, snapshots: &[&'s Snapshot]) -> Option<&'s Snapshot> {
        let (home, resource_id) = (&self.world.home, &self.database.resource_id);
        let without = |snapshot: &&Snapshot| {
            let of_the_interval = names::parse(&snapshot.id).is_some_and(|named| {
                named.is_of(resource_id) && rule.every.after(named.due) > self.now
            });
            of_the_interval && !self.is_own(home, snapshot)
        };
        let all = snapshots.iter().copied().filter(without);
        all.max_by_key(|snapshot| &snapshot.id)
    }

    /// When the database was parked, if it still is and has a snapshot from then,
    /// whoever made it: its data has not changed since.
    fn parked_with_snapshot(&self, snapshots: &[&Snapshot]) -> Option<Timestamp> {
        let parked_at = self.database.parked_at()?;
        if !PARKED.contains(&self.database.status.as_str()) {
            return None;
        }
        let (_, newest) = self.newest(snapshots)?;
        let from_then = parked_at.duration_since(newest) <= BEFORE_PARKING;
        (self.has_been(parked_at) && from_then).then_some(parked_at)
    }

    /// The tags of a new snapshot: those that people gave what it is made of, and
    /// Steward's. RDS adds none of itself where a call names some, whatever
    /// `CopyTagsToSnapshot` says ("Tagging Amazon RDS resources", Amazon RDS User
    /// Guide). Those of AWS cannot be given.
    pub(super) fn tags(&self, like: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let database = self.database;
        let own = |key: &str| key.starts_with(names::OWN_TAGS) || key.starts_with("aws:");
        let of_people = like
            .iter()
            .filter(|(key, _)| !own(key))
            .take(MOST_OF_PEOPLE);
        let mut tags: BTreeMap<String, String> = of_people
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let made_for = (names::MADE_FOR.to_owned(), database.resource_id.clone());
        tags.extend([
            (names::MANAGED_BY.to_owned(), crate::NAME.to_owned()),
            made_for,
        ]);
        if let Some(environment) = database.tags.get(names::ENVIRONMENT) {
            tags.insert(names::ENVIRONMENT.to_owned(), environment.clone());
        }
        tags
    }
}

/// How many have failed.
fn failed(own: &[&Snapshot]) -> usize {
    let failed = own.iter().filter(|snapshot| snapshot.progress.has_failed());
    failed.count()
}

/// The time from which the next interval counts: when the newest was due, where it
/// was made about then, else when its data was taken. So a schedule that is a
/// little early every day stays at its time of day.
fn slot_of(newest: &Snapshot, taken_at: Timestamp, every: Period) -> Timestamp {
    let due = names::parse(&newest.id).map(|named| named.due);
    let about = SignedDuration::from_secs(every.seconds() / EARLY_BY);
    due.filter(|due| due.duration_since(taken_at).abs() <= about)
        .unwrap_or(taken_at)
}

/// From when an attempt is made after so many that have failed: the second at
/// once, every other an eighth of the interval after the one before, so that events
/// of failures do not fill the account with them.
fn next_attempt(due: Timestamp, every: Period, made: usize) -> Timestamp {
    let waits = i64::try_from(made).unwrap_or(i64::MAX).saturating_sub(1);
    let seconds = retry_after(every).as_secs().saturating_mul(waits);
    due + SignedDuration::from_secs(seconds)
}

/// How long what has failed again is left alone.
pub(super) fn retry_after(every: Period) -> SignedDuration {
    SignedDuration::from_secs(every.seconds() / RETRIES)
}

/// The seconds after which the next snapshot is due.
fn due_after(every: Period) -> i64 {
    every.seconds() - every.seconds() / EARLY_BY
}

/// When the snapshot that is due now was due: one or more whole intervals after
/// that of the newest, so that two runs that see the same give it the same name. The
/// first is due at the last full interval of the clock.
fn due_at(newest: Option<Timestamp>, every: Period, now: Timestamp) -> Timestamp {
    let seconds = every.seconds().max(1);
    let at = |second: i64| Timestamp::from_second(second).unwrap_or(now);
    match newest {
        None => at(now.as_second() - now.as_second().rem_euclid(seconds)),
        Some(newest) => {
            let passed = now.duration_since(newest).as_secs() / seconds;
            at(newest.as_second() + seconds * passed.max(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_time_that_names_a_snapshot_follows_from_the_newest() {
        let day = Period::days(1);
        for (newest, now, due) in [
            (None, "2026-11-23T03:02:11Z", "2026-11-23T00:00:00Z"),
            // A little early is in time.
            (
                Some("2026-11-22T03:02:11Z"),
                "2026-11-23T03:00:00Z",
                "2026-11-23T03:02:11Z",
            ),
            (
                Some("2026-11-22T03:02:11Z"),
                "2026-11-23T20:00:00Z",
                "2026-11-23T03:02:11Z",
            ),
            // Three nights were missed.
            (
                Some("2026-11-20T03:02:11Z"),
                "2026-11-23T04:00:00Z",
                "2026-11-23T03:02:11Z",
            ),
        ] {
            let newest = newest.map(at);
            assert_eq!(due_at(newest, day, at(now)), at(due), "{newest:?} {now}");
        }
    }

    #[test]
    fn a_daily_snapshot_is_due_an_hour_early() {
        assert_eq!(due_after(Period::days(1)), 23 * 3600);
        assert_eq!(due_after(Period::hours(1)), 3600 - 150);
    }
}
