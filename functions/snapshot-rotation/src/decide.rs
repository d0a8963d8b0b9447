//! Which snapshots are made, copied, shared and deleted, and why everything else
//! stays. Pure: no clock, no environment, no network, no log, no SDK types.

mod copies;
mod creation;
mod documents;
mod rationing;
mod retire;
mod stays;

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use steward::engine::{
    After, Change, Decision, Effect, Gap, Item, Measure, MeasureKind, Need, OfAll, Plan, Seen, Wait,
};
use steward::policy::Period;

pub(crate) use self::creation::{ALLOW_SNAPSHOTS, PASSING};
use self::documents::Recorded;
use self::rationing::Ration;
use crate::Scope;
use crate::action::{Action, Subject};
use crate::policy::{RotationPolicy, Rule};
use crate::reason::Reason;
use crate::world::{Database, Holdings, Place, Progress, Snapshot, World};
use steward::names;

/// The passes of a lane, which is a database in all of its places.
mod pass {
    pub(super) const CREATE: u8 = 0;
    pub(super) const MARK: u8 = 1;
    pub(super) const COPY: u8 = 2;
    pub(super) const RECORD: u8 = 3;
    pub(super) const DELETE: u8 = 4;
    pub(super) const FORGET: u8 = 5;
}

/// How old the newest snapshot is that can be restored.
const AGE: MeasureKind = MeasureKind {
    name: "NewestRestorableAge",
    unit: "Seconds",
    of_all: OfAll::Greatest,
};
/// 1 where it is older than the objective, or there is none.
const MISSED: MeasureKind = MeasureKind {
    name: "ObjectivesMissed",
    unit: "Count",
    of_all: OfAll::Sum,
};
/// Copies that are wanted and not complete.
const PENDING: MeasureKind = MeasureKind {
    name: "CopiesPending",
    unit: "Count",
    of_all: OfAll::Sum,
};
/// Restore points and recipes that lack something.
const INCOMPLETE: MeasureKind = MeasureKind {
    name: "DocumentsIncomplete",
    unit: "Count",
    of_all: OfAll::Sum,
};

/// The metrics of a database in a place beside the sums, with their units of
/// measure.
pub const METRICS: &[MeasureKind] = &[AGE, MISSED, PENDING, INCOMPLETE];

/// A time that is later than now by no more than this is now: clocks differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(15);

/// The next look at what takes minutes.
const LOOK_AGAIN_SECONDS: u32 = 60;

/// What a later run has to look at again, in words.
const SNAPSHOTS: &str = "snapshots to be complete";
/// See [`SNAPSHOTS`].
const COPIES: &str = "copies to be complete";

/// The whole plan.
pub(crate) fn decide(
    policy: &RotationPolicy,
    scope: &Scope,
    seen: &Seen<World>,
    now: Timestamp,
) -> Plan<Action, Reason> {
    let world = &seen.world;
    let rules = policy.rules();
    let mut draft = Draft::default();
    match scope {
        Scope::Retire(resource_ids) => retire::retire(&mut draft, seen, resource_ids, now),
        Scope::Everything | Scope::Databases(_) => {
            let in_scope = |database: &&Database| scope.covers(&database.identifier);
            let snapshots = by_database(world);
            let recorded = Recorded::of(world);
            let mut selected = Vec::new();
            for database in world.databases.iter().filter(in_scope) {
                let rotation = Rotation {
                    world,
                    snapshots: &snapshots,
                    recorded: &recorded,
                    gaps: &seen.gaps,
                    database,
                    now,
                };
                match rule_of(&rules, database) {
                    Ok(rule) => {
                        rotation.plan(rule, &mut draft);
                        selected.push((database, rule));
                    }
                    Err(reason) => rotation.leave(reason, &mut draft),
                }
            }
            documents::keep_documents(&mut draft, seen, &recorded, policy, scope);
            if *scope == Scope::Everything {
                documents::write_recipes(&mut draft, world, &selected, &seen.gaps, now);
                draft.tell_others(seen, now);
            }
        }
    }
    rationing::ration(&mut draft, world, &policy.limits);
    draft.into_plan()
}

/// The one rule for a database, or why there is none.
pub(crate) fn rule_of<'a>(rules: &'a [Rule], database: &Database) -> Result<&'a Rule, Reason> {
    if let Some(cluster) = &database.cluster {
        let cluster = cluster.clone();
        return Err(Reason::ClusterMember { cluster });
    }
    let selecting = rules.iter().filter(|rule| rule.selects(database));
    let (mut selecting, mut without): (Vec<&Rule>, Vec<&Rule>) = (selecting.collect(), vec![]);
    if database.replica_of.is_some() {
        (selecting, without) = selecting.iter().partition(|rule| rule.replicas);
    }
    match (selecting.as_slice(), &database.replica_of) {
        ([], Some(of)) if !without.is_empty() => Err(Reason::ReadReplica { of: of.clone() }),
        ([], _) => Err(Reason::NotSelected),
        ([rule], _) => Ok(rule),
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|rule| rule.name.as_str()).collect();
            Err(Reason::TwoRules {
                rules: names.join(", "),
            })
        }
    }
}

/// A plan while it is made.
#[derive(Default)]
struct Draft {
    items: Vec<Drafted>,
    needs: Vec<Need>,
    measures: Vec<Measure>,
    /// The snapshots, by place and name, that have their item.
    told: BTreeSet<(Place, String)>,
    /// What a later run has to look at again, in words.
    waits_for: BTreeSet<&'static str>,
}

/// An item, and what it takes of what is short.
struct Drafted {
    item: Item<Action, Reason>,
    ration: Option<Ration>,
}

impl Draft {
    fn push(
        &mut self,
        unit: &str,
        target: String,
        since: Option<Timestamp>,
        reason: Reason,
        decision: Decision<Action>,
    ) {
        let item = Item {
            unit: unit.to_owned(),
            target,
            since,
            serves: false,
            reason,
            decision,
        };
        self.items.push(Drafted { item, ration: None });
    }

    /// The item of a snapshot that is there.
    fn snapshot(
        &mut self,
        unit: &str,
        place: &Place,
        snapshot: &Snapshot,
        serves: bool,
        (reason, decision): (Reason, Decision<Action>),
    ) {
        self.told.insert((place.clone(), snapshot.id.clone()));
        let item = Item {
            unit: unit.to_owned(),
            target: place.target(&snapshot.id),
            since: snapshot.taken_at.or(snapshot.created_at),
            serves,
            reason,
            decision,
        };
        self.items.push(Drafted { item, ration: None });
    }

    fn need(&mut self, unit: &str, what: impl ToString) {
        self.needs.push(Need {
            unit: unit.to_owned(),
            what: what.to_string(),
        });
    }

    fn measure(&mut self, unit: &str, metric: &'static MeasureKind, value: f64) {
        self.measures.push(Measure {
            unit: unit.to_owned(),
            metric,
            value,
        });
    }

    /// Every snapshot that nothing was decided about stays: those of databases
    /// that are gone, or that no rule has there, and those that are none of
    /// Steward's.
    fn tell_others(&mut self, seen: &Seen<World>, now: Timestamp) {
        let world = &seen.world;
        let databases = world.databases.iter();
        let living: BTreeSet<&str> = databases.map(|d| d.resource_id.as_str()).collect();
        for (place, holdings) in &world.places {
            for snapshot in &holdings.snapshots {
                if self.told.contains(&(place.clone(), snapshot.id.clone())) {
                    continue;
                }
                let made_for = world.made_for(place, snapshot);
                let resource_id = made_for.or(snapshot.resource_id.as_deref());
                let unit = place.unit(&snapshot.database, resource_id.unwrap_or("unknown"));
                let mut gaps = seen.gaps.iter();
                let unread = gaps.find(|gap| gap.hides.covers(&unit));
                let keep = |reason| (reason, Decision::Keep);
                let verdict = match (made_for, snapshot.hold(now), unread) {
                    (None, _, _) => keep(Reason::Foreign),
                    (Some(_), Some(hold), _) => keep(Reason::Held(hold)),
                    // The read that failed could have shown the database, or more
                    // of what is there.
                    (Some(_), None, Some(gap)) => {
                        let read = gap.read.clone();
                        (Reason::Unseen { read }, Decision::Defer)
                    }
                    (Some(id), None, _) if living.contains(id) => keep(Reason::NotSelected),
                    (Some(_), None, None) => keep(Reason::DatabaseGone),
                };
                let serves = made_for.is_some() && snapshot.is_available();
                self.snapshot(&unit, place, snapshot, serves, verdict);
            }
        }
    }

    fn into_plan(mut self) -> Plan<Action, Reason> {
        for drafted in &self.items {
            if let Decision::Act(change) = &drafted.item.decision {
                match change.action {
                    Action::CreateSnapshot(_) => self.waits_for.insert(SNAPSHOTS),
                    Action::CopySnapshot(_) => self.waits_for.insert(COPIES),
                    _ => false,
                };
            }
        }
        let waits_for: Vec<&str> = self.waits_for.into_iter().collect();
        Plan {
            items: self.items.into_iter().map(|drafted| drafted.item).collect(),
            wait: (!waits_for.is_empty()).then(|| Wait {
                seconds: LOOK_AGAIN_SECONDS,
                what: waits_for.join(", "),
            }),
            needs: self.needs,
            measures: self.measures,
        }
    }
}

/// The snapshots of each database, by its resource id, with where they are.
pub(crate) type ByDatabase<'a> = HashMap<&'a str, Vec<(&'a Place, &'a Snapshot)>>;

/// Finds out once of which database each snapshot is: by what RDS tells beside the
/// databases, and elsewhere by what Steward wrote on it.
pub(crate) fn by_database(world: &World) -> ByDatabase<'_> {
    let mut all = ByDatabase::new();
    for (place, holdings) in &world.places {
        let at_home = *place == world.home;
        for snapshot in &holdings.snapshots {
            let told = snapshot.resource_id.as_deref().filter(|_| at_home);
            if let Some(id) = told.or_else(|| world.made_for(place, snapshot)) {
                all.entry(id).or_default().push((place, snapshot));
            }
        }
    }
    all
}

/// One database, judged by one rule.
struct Rotation<'a> {
    world: &'a World,
    gaps: &'a [Gap],
    snapshots: &'a ByDatabase<'a>,
    recorded: &'a Recorded<'a>,
    database: &'a Database,
    now: Timestamp,
}

impl<'a> Rotation<'a> {
    fn unit(&self, place: &Place) -> String {
        let Database {
            identifier,
            resource_id,
            ..
        } = self.database;
        place.unit(identifier, resource_id)
    }

    fn gap(&self, unit: &str) -> Option<&'a Gap> {
        self.gaps.iter().find(|gap| gap.hides.covers(unit))
    }

    fn subject(&self, place: &Place, snapshot: &str) -> Subject {
        Subject {
            place: place.clone(),
            snapshot: snapshot.to_owned(),
            database: self.database.identifier.clone(),
            resource_id: self.database.resource_id.clone(),
        }
    }

    /// A change of this database. Its places share a lane, because what goes in
    /// one waits for what comes in another.
    fn change(&self, pass: u8, effect: Effect, action: Action) -> Decision<Action> {
        Decision::Act(Change {
            lane: self.database.resource_id.clone(),
            pass,
            after: After::Targets(vec![]),
            effect,
            action,
        })
    }

    /// Its snapshots in a place, whoever made them.
    fn snapshots(&self, place: &Place) -> Vec<&'a Snapshot> {
        let of = self.snapshots.get(self.database.resource_id.as_str());
        let all = of.into_iter().flatten();
        let there = all.filter(|(where_it_is, _)| *where_it_is == place);
        there.map(|(_, snapshot)| *snapshot).collect()
    }

    fn is_own(&self, place: &Place, snapshot: &Snapshot) -> bool {
        self.world.made_for(place, snapshot) == Some(&self.database.resource_id)
    }

    fn plan(&self, rule: &Rule, draft: &mut Draft) {
        let home = &self.world.home;
        let snapshots = self.snapshots(home);
        let own = snapshots.iter().filter(|s| self.is_own(home, s));
        let own: Vec<&Snapshot> = own.copied().collect();
        let course = self.create(rule, &snapshots, &own, draft);
        let awaited = self.copy(rule, &own, &course, draft);
        self.mark(rule, &own, &awaited, draft);
        self.record(rule, &own, draft);
        self.thin_at_home(rule, &snapshots, &own, &awaited, course.overdue, draft);
    }

    /// The database and its snapshots stay as they are.
    fn leave(&self, reason: Reason, draft: &mut Draft) {
        let unit = self.unit(&self.world.home);
        let decision = match &reason {
            Reason::TwoRules { .. } => {
                draft.need(&unit, &reason);
                Decision::Defer
            }
            _ => Decision::Keep,
        };
        for place in self.world.places.keys() {
            for snapshot in self.snapshots(place) {
                let unit = self.unit(place);
                let reason = if self.is_own(place, snapshot) {
                    reason.clone()
                } else {
                    Reason::Foreign
                };
                let serves = snapshot.is_available();
                draft.snapshot(&unit, place, snapshot, serves, (reason, Decision::Keep));
            }
        }
        draft.push(&unit, unit.clone(), None, reason, decision);
    }

    /// Whether a time is not later than now.
    fn has_been(&self, at: Timestamp) -> bool {
        at.duration_since(self.now) <= CLOCKS_DIFFER
    }

    /// The newest of these that can be restored, and when its data was taken. One
    /// from the future tells of a wrong clock, and not of fresh data.
    fn newest<'s>(&self, snapshots: &[&'s Snapshot]) -> Option<(&'s Snapshot, Timestamp)> {
        let good = snapshots.iter().filter(|snapshot| snapshot.is_available());
        let timed = good.filter_map(|snapshot| Some((*snapshot, snapshot.taken_at?)));
        let past = timed.filter(|(_, taken_at)| self.has_been(*taken_at));
        past.max_by_key(|(snapshot, taken_at)| (*taken_at, &snapshot.id))
    }

    /// Whether a snapshot is being made or copied here, and for not so long that
    /// nobody believes in it any more: as long as it would do for the objective.
    fn is_on_its_way(&self, snapshots: &[&Snapshot], objective: Period) -> bool {
        snapshots.iter().any(|snapshot| {
            let due = names::parse(&snapshot.id).map(|named| named.due);
            matches!(snapshot.progress, Progress::Under { .. })
                && due.is_some_and(|due| objective.after(due) >= self.now)
        })
    }

    /// Measures how old the newest is, and says so when it is too old and nothing
    /// is under way to change that. `since` counts where there is none.
    fn watch(
        &self,
        unit: &str,
        (newest, since): (Option<Timestamp>, Option<Timestamp>),
        objective: Period,
        (why, under_way): (&Reason, bool),
        draft: &mut Draft,
    ) {
        let age = |at: Timestamp| self.now.duration_since(at).as_secs().max(0);
        if let Some(newest) = newest {
            #[expect(
                clippy::cast_precision_loss,
                reason = "seconds of a few years are exact"
            )]
            draft.measure(unit, &AGE, age(newest) as f64);
        }
        let from = newest.or(since);
        let missed = from.is_some_and(|from| age(from) > objective.seconds());
        draft.measure(unit, &MISSED, if missed { 1.0 } else { 0.0 });
        if missed && !under_way {
            let newest = match newest {
                Some(newest) => format!("the newest snapshot that can be restored is of {newest}"),
                None => "no snapshot can be restored".to_owned(),
            };
            draft.need(
                unit,
                format!("{newest}, and the objective is {objective}: {why}"),
            );
        }
    }
}

/// A snapshot that is on its way, as a reason to leave it.
fn under_way(snapshot: &Snapshot) -> Option<Reason> {
    match &snapshot.progress {
        Progress::Under { status, percent } => Some(Reason::UnderWay {
            status: status.clone(),
            percent: *percent,
        }),
        Progress::Deleting => Some(Reason::UnderWay {
            status: "deleting".to_owned(),
            percent: 0,
        }),
        Progress::Available | Progress::Broken { .. } => None,
    }
}

/// Everything that a place holds, when that is certain.
fn complete(holdings: Option<&Holdings>) -> Option<&Holdings> {
    holdings.filter(|holdings| holdings.complete)
}

#[cfg(test)]
mod tests;
