//! Which snapshots of a database stay in a place, and which go.

use std::collections::BTreeMap;

use jiff::Timestamp;
use steward::engine::{Decision, Effect};

use super::copies::Awaited;
use super::creation::retry_after;
use super::{Draft, Rotation, pass, under_way};
use crate::action::{Action, Deletion};
use crate::policy::Rule;
use crate::reason::Reason;
use crate::retention::{Keep, Restorable, stay};
use crate::world::{Place, Progress, Snapshot};
use steward::names;

type Verdict = (Reason, Decision<Action>);

impl Rotation<'_> {
    /// What goes of the snapshots beside their database.
    pub(super) fn thin_at_home(
        &self,
        rule: &Rule,
        snapshots: &[&Snapshot],
        own: &[&Snapshot],
        awaited: &Awaited<'_>,
        overdue: bool,
        draft: &mut Draft,
    ) {
        let home = &self.world.home;
        // What has expired makes the room without which no attempt can succeed.
        let quota = self.world.at_home().and_then(|holdings| holdings.quota);
        let is_full = quota.is_some_and(|quota| quota.used >= quota.max);
        let failed = self.newest_failed(rule, own).filter(|_| !is_full);
        let awaits = |snapshot: &Snapshot| {
            let to = awaited.get(snapshot.id.as_str())?.first()?;
            Some(Reason::AwaitsCopy { to: to.clone() })
        };
        let expired = |snapshot: &Snapshot| match &failed {
            Some(id) => {
                let snapshot = id.clone();
                (Reason::NewestFailed { snapshot }, Decision::Defer)
            }
            None if overdue => (Reason::Overdue, Decision::Defer),
            None => (Reason::Expired, deletion_of(self, home, snapshot)),
        };
        self.thin(rule, &rule.keep, home, snapshots, awaits, expired, draft);
    }

    /// An item for every snapshot of the database in a place. `awaits` is why one
    /// stays beside the rules, `expired` what becomes of one that they do not
    /// keep.
    #[expect(
        clippy::too_many_arguments,
        reason = "what the snapshots of a place are judged by, once"
    )]
    pub(super) fn thin(
        &self,
        rule: &Rule,
        keep: &Keep,
        place: &Place,
        snapshots: &[&Snapshot],
        awaits: impl Fn(&Snapshot) -> Option<Reason>,
        expired: impl Fn(&Snapshot) -> Verdict,
        draft: &mut Draft,
    ) {
        let unit = self.unit(place);
        let at_home = *place == self.world.home;
        let managed: Vec<&Snapshot> = snapshots
            .iter()
            .filter(|s| self.is_own(place, s) || (at_home && rule.adopts(&s.id)))
            .copied()
            .collect();
        let good = managed.iter().filter(|snapshot| snapshot.is_available());
        let restorable: Vec<Restorable> = good
            .filter_map(|snapshot| {
                let (id, taken_at) = (snapshot.id.as_str(), snapshot.taken_at?);
                Some(Restorable { id, taken_at })
            })
            .collect();
        let mut kept = stay(keep, &restorable, &rule.zone(), self.now);
        let own: Vec<&Snapshot> = managed
            .iter()
            .filter(|snapshot| self.is_own(place, snapshot))
            .copied()
            .collect();
        // One of somebody else's that is adopted may be newer.
        let newest = [self.newest(&managed), self.newest(&own)];
        let unread = self.gap(&unit).map(|gap| gap.read.clone());
        let held = self.database.hold(self.now);
        for snapshot in snapshots {
            let is_managed = managed.iter().any(|other| other.id == snapshot.id);
            let rules = kept.remove(snapshot.id.as_str());
            let mut newest = newest.iter().flatten();
            let is_newest = newest.any(|(newest, _)| newest.id == snapshot.id);
            let keep = |reason| (reason, Decision::Keep);
            let verdict = if !is_managed {
                keep(Reason::Foreign)
            } else if let Some(hold) = snapshot.hold(self.now).or_else(|| held.clone()) {
                keep(Reason::Held(hold))
            } else if let Some(reason) = under_way(snapshot) {
                keep(reason)
            } else if let Progress::Broken { status } = &snapshot.progress {
                self.broken(rule, place, snapshot, status, &managed)
            } else if snapshot.taken_at.is_none() {
                keep(Reason::TimeUnknown)
            } else if let Some(reason) = awaits(snapshot) {
                keep(reason)
            } else if let Some(rules) = rules {
                keep(Reason::Kept(rules))
            } else if is_newest {
                keep(Reason::Newest)
            } else {
                expired(snapshot)
            };
            let verdict = match (verdict, &unread) {
                ((_, Decision::Act(_)), Some(read)) => {
                    let read = read.clone();
                    (Reason::Unseen { read }, Decision::Defer)
                }
                (verdict, _) => verdict,
            };
            let serves = is_managed && snapshot.is_available();
            draft.snapshot(&unit, place, snapshot, serves, verdict);
        }
    }

    /// One that has failed goes when there is another in its place: one of the
    /// same interval or later that can be restored, or a later attempt, so that
    /// attempts that fail again and again do not fill the account. A copy that can be
    /// made again goes after a rest, because it is made again then.
    fn broken(
        &self,
        rule: &Rule,
        place: &Place,
        snapshot: &Snapshot,
        status: &str,
        managed: &[&Snapshot],
    ) -> Verdict {
        let status = status.to_owned();
        let newest = self.newest(managed).map(|(_, taken_at)| taken_at);
        let which = |id: &str| names::parse(id).map(|named| (named.due, named.attempt));
        let replaced = which(&snapshot.id).is_some_and(|own| {
            let later = |other: &&Snapshot| {
                self.is_own(place, other) && which(&other.id).is_some_and(|other| other > own)
            };
            newest.is_some_and(|newest| is_of_its_time_or_later(rule, own.0, newest))
                || managed.iter().any(later)
        });
        let source = self.world.snapshot(&self.world.home, &snapshot.id);
        let source = source.filter(|source| *place != self.world.home && source.is_available());
        let goes = match source {
            Some(source) => {
                let rest = retry_after(rule.every).as_secs().max(1);
                match (snapshot.created_at, source.taken_at) {
                    (Some(at), _) => self.now.duration_since(at).as_secs() >= rest,
                    // Every other rest, by the age of its data.
                    (None, Some(at)) => self.now.duration_since(at).as_secs() / rest % 2 == 1,
                    (None, None) => replaced,
                }
            }
            None => replaced,
        };
        if snapshot.progress.has_failed() && goes {
            let gone = deletion_of(self, place, snapshot);
            (Reason::BrokenAndReplaced { status }, gone)
        } else {
            (Reason::Broken { status }, Decision::Keep)
        }
    }

    /// The newest of Steward's own in a place, when it has failed: nothing goes
    /// then.
    pub(super) fn newest_failed(&self, rule: &Rule, own: &[&Snapshot]) -> Option<String> {
        let newest = self.newest(own).map(|(_, taken_at)| taken_at);
        let failed = own
            .iter()
            .filter(|snapshot| matches!(snapshot.progress, Progress::Broken { .. }));
        let named: BTreeMap<Timestamp, &str> = failed
            .filter_map(|snapshot| Some((names::parse(&snapshot.id)?.due, snapshot.id.as_str())))
            .collect();
        let (due, id) = named.last_key_value()?;
        let later = newest.is_some_and(|newest| is_of_its_time_or_later(rule, *due, newest));
        (!later).then(|| (*id).to_owned())
    }
}

/// Whether a snapshot with data of `taken_at` is of the interval for which
/// another was due, or of a later one. The one before is of one interval earlier,
/// to the minute.
fn is_of_its_time_or_later(rule: &Rule, due: Timestamp, taken_at: Timestamp) -> bool {
    rule.every.after(taken_at).as_second() - due.as_second() >= 60
}

/// The deletion of a snapshot.
pub(super) fn deletion_of(
    rotation: &Rotation<'_>,
    place: &Place,
    snapshot: &Snapshot,
) -> Decision<Action> {
    let action = Action::DeleteSnapshot(Deletion {
        of: rotation.subject(place, &snapshot.id),
        created_at: snapshot.created_at,
        taken_at: snapshot.taken_at,
        retired: false,
    });
    rotation.change(pass::DELETE, Effect::Destroy, action)
}
