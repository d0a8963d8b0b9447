//! What becomes of one database as time passes and everything goes well.
//!
//! It has no rules of its own: [`decide`] decides each run, over a world that has
//! this database and nothing else, and what it wants is done at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use steward::engine::{Decision, Plan, Seen};
use steward::policy::{Period, Selection};

use super::{Drawn, Moment};
use crate::Scope;
use crate::action::{Action, Copying, Creation};
use crate::decide::{ByDatabase, decide};
use crate::policy::{Limits, RotationPolicy, Rule};
use crate::reason::Reason;
use crate::retention::{Per, Stays};
use crate::world::{Contents, Database, Holdings, Place, Progress, Snapshot, World};
use steward::names;

/// The most runs at one time, one for what the other has made. A run copies at
/// most 20 snapshots to a place, so that this is more than an account can have.
const MOST_RUNS_AT_ONCE: usize = 1_000;

/// Seconds of a day, in which the most at once are counted together.
const DAY_SECONDS: i64 = 24 * 3600;

/// More snapshots of one database in a place than this are not followed: nothing
/// thins them, and no account has room for that.
pub(super) const MOST_FOLLOWED: usize = 1_000;

/// One database on its way, under one rule.
pub(super) struct Course {
    policy: RotationPolicy,
    seen: Seen<World>,
    /// The same with no snapshot but the newest.
    newest_alone: Seen<World>,
    /// Whether snapshots have been made since the last whole run.
    lags: bool,
    every: Period,
    resource_id: String,
    /// What the ARN of a snapshot beside the database begins with.
    arn_begins: String,
    /// Whom new snapshots are shared with.
    shares: BTreeSet<String>,
    /// What a new snapshot is like: the newest there is.
    like: Option<Snapshot>,
    began: Timestamp,
    counts: BTreeMap<Place, Counts>,
}

/// How many snapshots there are in a place.
#[derive(Default)]
struct Counts {
    at_first: u64,
    now: u64,
    /// The most at once on each day since the beginning.
    by_day: Vec<u64>,
}

impl Course {
    /// The database alone, with what is there of it.
    pub(super) fn new(
        rule: &Rule,
        limits: &Limits,
        world: &World,
        of: &ByDatabase<'_>,
        database: &Database,
        now: Timestamp,
    ) -> Self {
        let nothing = Holdings {
            complete: true,
            ..Holdings::default()
        };
        let empty = world.places.keys();
        let empty = empty.map(|place| (place.clone(), nothing.clone()));
        let empty: BTreeMap<Place, Holdings> = empty.collect();
        let mut places = empty.clone();
        let own = of.get(database.resource_id.as_str()).into_iter().flatten();
        for (place, snapshot) in own {
            if let Some(holdings) = places.get_mut(place) {
                holdings.snapshots.push((*snapshot).clone());
            }
        }
        // The rule has been found; what it selects by need not be asked each time.
        let rule = Rule {
            databases: Some(Selection::everything()),
            tags: BTreeMap::new(),
            ..rule.clone()
        };
        let arn_begins = format!(
            "arn:{}:rds:{}:{}:snapshot:",
            database.partition(),
            world.home.region,
            database.account().unwrap_or_default()
        );
        let seen = |places: BTreeMap<Place, Holdings>| Seen {
            world: World {
                home: world.home.clone(),
                databases: vec![database.clone()],
                places,
                recordings: BTreeMap::new(),
                aws_managed_keys: world.aws_managed_keys.clone(),
            },
            gaps: vec![],
            warnings: vec![],
        };
        let mut course = Self {
            newest_alone: seen(empty),
            seen: seen(places),
            lags: false,
            every: rule.every,
            resource_id: database.resource_id.clone(),
            arn_begins,
            shares: rule.shares(),
            like: None,
            began: now,
            counts: BTreeMap::new(),
            policy: RotationPolicy {
                rules: vec![rule],
                limits: limits.clone(),
                ..RotationPolicy::default()
            },
        };
        course.like = course.newest(now).cloned();
        course.count(now);
        course
    }

    /// What would be done and why.
    pub(super) fn plan(&self, now: Timestamp) -> Plan<Action, Reason> {
        decide(&self.policy, &Scope::Everything, &self.seen, now)
    }

    /// Lets time pass up to a moment, with a run each time that a snapshot is due.
    /// The answer is when the next is; `None` when there are too many to go on.
    ///
    /// Of several on one day only the last run copies and deletes. What stays is the
    /// same: what the rules have done with they never keep again.
    pub(super) fn pass(&mut self, mut next: Timestamp, until: Timestamp) -> Option<Timestamp> {
        while next <= until {
            let after = self.every.after(next);
            let goes_on = after <= until && self.day(after) == self.day(next);
            if goes_on && next > self.began {
                self.make(next);
            } else {
                self.run(next);
            }
            next = self.due_after(next);
            let places = self.seen.world.places.values();
            if places.map(|held| held.snapshots.len()).max() > Some(MOST_FOLLOWED) {
                return None;
            }
        }
        Some(next)
    }

    /// A run of which only the new snapshot counts: whether one is made follows from
    /// the newest alone.
    fn make(&mut self, now: Timestamp) {
        let newest = self.newest(now).cloned();
        let home = self.seen.world.home.clone();
        if let Some(holdings) = self.newest_alone.world.places.get_mut(&home) {
            holdings.snapshots = newest.into_iter().collect();
        }
        let plan = decide(&self.policy, &Scope::Everything, &self.newest_alone, now);
        for item in plan.items {
            if let Decision::Act(change) = item.decision
                && let Action::CreateSnapshot(creation) = change.action
            {
                let snapshot = self.created(creation, now);
                self.put(&home, snapshot);
            }
        }
        self.lags = true;
    }

    fn day(&self, at: Timestamp) -> i64 {
        at.duration_since(self.began).as_secs() / DAY_SECONDS
    }

    /// What is under way at the beginning is complete, or gone.
    pub(super) fn settle(&mut self, now: Timestamp) {
        for holdings in self.seen.world.places.values_mut() {
            let snapshots = &mut holdings.snapshots;
            snapshots.retain(|snapshot| snapshot.progress != Progress::Deleting);
            for snapshot in snapshots {
                if !matches!(snapshot.progress, Progress::Under { .. }) {
                    continue;
                }
                let tagged = snapshot.tags.get(names::TAKEN_AT);
                let tagged = tagged.and_then(|text| text.parse().ok());
                let named = || names::parse(&snapshot.id).map(|named| named.due);
                let taken_at = tagged.or_else(named).unwrap_or(now).min(now);
                snapshot.progress = Progress::Available;
                snapshot.taken_at.get_or_insert(taken_at);
                snapshot.created_at.get_or_insert(taken_at);
            }
        }
    }

    /// One run, and those that what it makes gives rise to: RDS tells that a
    /// snapshot is complete, which wakes the function again.
    fn run(&mut self, now: Timestamp) {
        let lags = std::mem::take(&mut self.lags);
        for _ in 0..MOST_RUNS_AT_ONCE {
            let items = self.plan(now).items.into_iter();
            let wanted = items.filter_map(|item| match item.decision {
                Decision::Act(change) => Some(change.action),
                Decision::Keep | Decision::Defer => None,
            });
            let (goes, comes): (Vec<Action>, Vec<Action>) =
                wanted.partition(|action| matches!(action, Action::DeleteSnapshot(_)));
            let mut gives_rise = false;
            for action in comes {
                gives_rise |= self.come(action, now);
            }
            // What comes is there before anything goes; but not all of a day.
            if !lags {
                self.count(now);
            }
            for action in goes {
                self.go(&action);
            }
            if !lags {
                self.count(now);
            }
            if !gives_rise {
                break;
            }
        }
        self.count(now);
    }

    /// Does what is not a deletion. The answer is whether there may be more to do
    /// now.
    fn come(&mut self, action: Action, now: Timestamp) -> bool {
        match action {
            Action::CreateSnapshot(creation) => {
                let snapshot = self.created(creation, now);
                let home = self.seen.world.home.clone();
                self.put(&home, snapshot)
            }
            Action::CopySnapshot(copying) => {
                let place = copying.of.place.clone();
                match self.copied(copying, now) {
                    Some(copy) => self.put(&place, copy),
                    None => false,
                }
            }
            Action::TagSnapshot(tagging) => {
                if let Some(snapshot) = self.find(&tagging.of.place, &tagging.of.snapshot) {
                    let taken_at = tagging.taken_at.to_string();
                    snapshot.tags.insert(names::TAKEN_AT.to_owned(), taken_at);
                }
                false
            }
            Action::ShareSnapshot(sharing) => {
                let found = self.find(&sharing.of.place, &sharing.of.snapshot);
                found.is_some_and(|snapshot| {
                    let shared = snapshot.shared_with.get_or_insert_default();
                    shared.extend(sharing.accounts);
                    true
                })
            }
            // There are no buckets in this world.
            Action::WriteRestorePoint(_)
            | Action::WriteRecipe(_)
            | Action::DeleteDocument(_)
            | Action::DeleteSnapshot(_) => false,
        }
    }

    fn go(&mut self, action: &Action) {
        if let Some(of) = action.subject()
            && let Some(holdings) = self.seen.world.places.get_mut(&of.place)
        {
            let snapshots = &mut holdings.snapshots;
            snapshots.retain(|snapshot| snapshot.id != of.snapshot);
        }
    }

    fn find(&mut self, place: &Place, id: &str) -> Option<&mut Snapshot> {
        let holdings = self.seen.world.places.get_mut(place)?;
        let mut all = holdings.snapshots.iter_mut();
        all.find(|snapshot| snapshot.id == id)
    }

    fn put(&mut self, place: &Place, snapshot: Snapshot) -> bool {
        match self.seen.world.places.get_mut(place) {
            Some(holdings) => {
                holdings.snapshots.push(snapshot);
                true
            }
            None => false,
        }
    }

    /// A snapshot as `CreateDBSnapshot` makes it, complete, and marked and shared as
    /// the function does next.
    fn created(&self, creation: Creation, now: Timestamp) -> Snapshot {
        let of = creation.of;
        let like = self.like.as_ref();
        let mut tags = creation.tags;
        tags.insert(names::TAKEN_AT.to_owned(), now.to_string());
        Snapshot {
            arn: format!("{}{}", self.arn_begins, of.snapshot),
            id: of.snapshot,
            database: of.database,
            resource_id: Some(of.resource_id),
            progress: Progress::Available,
            created_at: Some(now),
            taken_at: Some(now),
            encrypted: like.is_some_and(|like| like.encrypted),
            kms_key: like.and_then(|like| like.kms_key.clone()),
            option_group: like.and_then(|like| like.option_group.clone()),
            source_arn: None,
            tags,
            shared_with: Some(self.shares.clone()),
            contents: Contents::default(),
        }
    }

    /// A copy as `CopyDBSnapshot` makes it, complete.
    fn copied(&self, copying: Copying, now: Timestamp) -> Option<Snapshot> {
        let world = &self.seen.world;
        let source = world.snapshot(&world.home, &copying.of.snapshot)?;
        let arn = format!("{}:{}", copying.of.place, source.id);
        Some(Snapshot {
            arn,
            created_at: Some(now),
            encrypted: true,
            kms_key: copying.kms_key_id,
            option_group: copying.option_group,
            source_arn: Some(copying.source_arn),
            tags: copying.tags,
            shared_with: None,
            ..source.clone()
        })
    }

    /// The newest of Steward's own beside the database.
    fn newest(&self, now: Timestamp) -> Option<&Snapshot> {
        let world = &self.seen.world;
        let home = world.at_home()?;
        let own = home.snapshots.iter().filter(|snapshot| {
            snapshot.is_available()
                && snapshot.taken_at.is_some_and(|at| at <= now)
                && world.made_for(&world.home, snapshot) == Some(&self.resource_id)
        });
        own.max_by_key(|snapshot| snapshot.taken_at)
    }

    /// When the next snapshot is due, after a run.
    fn due_after(&self, now: Timestamp) -> Timestamp {
        let newest = self.newest(now).and_then(|snapshot| snapshot.taken_at);
        let due = newest.map(|newest| self.every.after(newest));
        due.filter(|due| *due > now)
            .unwrap_or_else(|| self.every.after(now))
    }

    fn count(&mut self, now: Timestamp) {
        let day = usize::try_from(self.day(now)).unwrap_or(0);
        for (place, holdings) in &self.seen.world.places {
            let counts = self.counts.entry(place.clone()).or_default();
            let there = holdings.snapshots.len() as u64;
            if counts.by_day.is_empty() {
                counts.at_first = there;
                counts.now = there;
            }
            // Until now there were as many as after the last run.
            let as_before = counts.now;
            while counts.by_day.len() <= day {
                counts.by_day.push(as_before);
            }
            if let Some(most) = counts.by_day.last_mut() {
                *most = there.max(*most);
            }
            counts.now = there;
        }
    }

    /// How many there were at first in each place, and the most at once on each day
    /// since then, up to the last run.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&Place, u64, &[u64])> {
        let counts = self.counts.iter();
        counts.map(|(place, counts)| (place, counts.at_first, counts.by_day.as_slice()))
    }

    /// What is there of it in a place at a moment, the newest first.
    pub(super) fn look(&self, place: &Place, plan: &Plan<Action, Reason>, at: Timestamp) -> Moment {
        let mut verdicts: HashMap<&str, (&Reason, bool)> = HashMap::new();
        for item in &plan.items {
            let goes = matches!(item.decision, Decision::Act(_));
            verdicts.insert(&item.target, (&item.reason, goes));
        }
        let holdings = self.seen.world.places.get(place);
        let snapshots = holdings.into_iter().flat_map(|all| &all.snapshots);
        let drawn = snapshots.map(|snapshot| {
            let verdict = verdicts.get(place.target(&snapshot.id).as_str());
            Drawn {
                snapshot: snapshot.id.clone(),
                taken_at: snapshot.taken_at.or(snapshot.created_at),
                why: verdict
                    .map(|(reason, _)| labels(reason))
                    .unwrap_or_default(),
                goes: verdict.is_some_and(|(_, goes)| *goes),
            }
        });
        let mut snapshots: Vec<Drawn> = drawn.collect();
        snapshots.sort_by(|a, b| (b.taken_at, &b.snapshot).cmp(&(a.taken_at, &a.snapshot)));
        Moment { at, snapshots }
    }
}

/// Why a snapshot is there, in a word or two for each rule: those of the policy, or
/// the code of the reason.
pub(super) fn labels(reason: &Reason) -> Vec<String> {
    let Reason::Kept(rules) = reason else {
        return vec![steward::engine::Reason::code(reason).to_owned()];
    };
    let mut labels: Vec<String> = rules
        .iter()
        .map(|rule| match rule {
            Stays::Newest(Per::Snapshot) => "last".to_owned(),
            Stays::Oldest(_) => "oldest".to_owned(),
            Stays::InTheFuture => "in_the_future".to_owned(),
            Stays::NoRule => "no_rule".to_owned(),
            Stays::Newest(_) | Stays::Within(_) => rule.to_string(),
        })
        .collect();
    // Several rules can keep the oldest.
    labels.dedup();
    labels
}
