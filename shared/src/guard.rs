//! What a plan may not do, whatever a function decided.
//!
//! Guards judge per unit (a repository, a database, an environment), with an
//! account-wide ceiling above. A count limit lets the oldest through and holds
//! back the excess; under that of a run, units take turns. A share or a floor
//! refuses the unit, and the rest goes on. Nothing here ever holds back an
//! [`Effect::Restore`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use crate::engine::{After, Effect, Gap, Reason, RunLimits, UnitLimits};
use crate::entry::{Entry, Held, Standing};
use crate::report::Refusal;

/// The most changes in one unit and run; the excess waits for the next run.
pub const MAX_ACTIONS_PER_UNIT: &str = "max_actions_per_unit";
/// The most changes in one run; the excess waits for the next run.
pub const MAX_ACTIONS_PER_RUN: &str = "max_actions_per_run";
/// The largest part of a unit that one run may change, of all that is there and
/// of what serves; above it the unit is refused.
pub const MAX_SHARE_PERCENT: &str = "max_share_percent";
/// The fewest things that serve which must remain of a unit; below it the unit
/// is refused. What is there and does not serve is not counted.
pub const KEEP_AT_LEAST: &str = "keep_at_least";
/// A read that failed could hide something about the unit.
pub const INCOMPLETE_OBSERVATION: &str = "incomplete_observation";

/// A plan file that was made for another operation, account or Region.
pub const PLAN_FILE: &str = "plan_file";
/// The mode gate: an event asks for more than the leash.
pub const MODE: &str = "mode";
/// Apply without a policy that selects its targets.
pub const EXPLICIT_POLICY: &str = "explicit_policy";
/// A kill switch is on or cannot be read.
pub const KILL_SWITCH: &str = "kill_switch";

/// Every guard, for the contract sections of the functions.
pub const NAMES: &[&str] = &[
    PLAN_FILE,
    MODE,
    EXPLICIT_POLICY,
    KILL_SWITCH,
    INCOMPLETE_OBSERVATION,
    KEEP_AT_LEAST,
    MAX_SHARE_PERCENT,
    MAX_ACTIONS_PER_UNIT,
    MAX_ACTIONS_PER_RUN,
];

/// A share says little about a handful: [`MAX_SHARE_PERCENT`] judges only
/// when more than this many things of a unit are to be changed.
pub const SHARE_JUDGES_ABOVE: usize = 10;

/// Holds back every destruction whose target a gap could hide: the backstop
/// behind a function's own `decide`. One refusal per unit, also for what the
/// function itself deferred because of the gap; and one for each gap that hides
/// nothing that was seen, because what it hides may be the work.
pub(crate) fn refuse_hidden<A, R: Reason>(
    entries: &mut [Entry<A, R>],
    gaps: &[Gap],
) -> Vec<Refusal> {
    let refusal = |unit: &str, gap: &Gap| {
        Refusal::new(
            INCOMPLETE_OBSERVATION,
            unit,
            &format!(
                "nothing is destroyed here while this cannot be read: {}",
                gap.read
            ),
        )
    };
    let mut refused: BTreeMap<String, Refusal> = BTreeMap::new();
    for entry in entries {
        let Some(gap) = gaps.iter().find(|gap| gap.hides.covers(&entry.unit)) else {
            continue;
        };
        let destroys = entry
            .wanted()
            .is_some_and(|change| change.effect == Effect::Destroy);
        if destroys || matches!(entry.standing, Standing::Deferred) {
            refused
                .entry(entry.unit.clone())
                .or_insert_with(|| refusal(&entry.unit, gap));
        }
        if destroys {
            entry.hold(Held::Guard(INCOMPLETE_OBSERVATION));
        }
    }
    let untold: Vec<Refusal> = gaps
        .iter()
        .filter(|gap| !refused.keys().any(|unit| gap.hides.covers(unit)))
        .map(|gap| refusal(&gap.hides.to_string(), gap))
        .collect();
    refused.into_values().chain(untold).collect()
}

/// Judges floors and shares, then counts.
pub(crate) fn limit<A, R: Reason>(
    entries: &mut [Entry<A, R>],
    run_limits: &RunLimits,
    unit_limits: impl Fn(&str) -> UnitLimits,
    exceeding: &BTreeSet<String>,
) -> Vec<Refusal> {
    let applies = |name: &str| !exceeding.contains(name);
    let things = count_things(entries);
    let mut limited: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (n, entry) in entries.iter().enumerate() {
        if !is_limited(entry) {
            continue;
        }
        match limited.get_mut(&entry.unit) {
            Some(members) => members.push(n),
            None => {
                limited.insert(entry.unit.clone(), vec![n]);
            }
        }
    }

    let mut refusals = Vec::new();
    for (unit, members) in &limited {
        let of_unit = unit_limits(unit);
        let things = things.get(unit).copied().unwrap_or_default();
        let (ends, serving) = (things.ending, things.serving);
        let remain = serving.saturating_sub(ends);
        // Much that is there and does not serve must not hide that nearly
        // everything that serves would go.
        let parts = [
            (things.wanted, things.there),
            (things.serving_wanted, serving),
        ];
        let floor = of_unit.keep_at_least.filter(|_| applies(KEEP_AT_LEAST));
        let share = of_unit
            .max_share_percent
            .filter(|_| applies(MAX_SHARE_PERCENT));
        let refusal = if let Some(floor) =
            floor.filter(|floor| ends > 0 && remain < *floor as usize)
        {
            Some((
                KEEP_AT_LEAST,
                format!("{ends} of {serving} would go and leave {remain}; the floor is {floor}"),
            ))
        } else {
            share.and_then(|share| {
                let (wants, of) = parts.into_iter().find(|(wants, of)| {
                    *wants > SHARE_JUDGES_ABOVE && wants * 100 > usize::from(share) * of
                })?;
                let part = wants * 100 / of.max(1);
                let detail =
                    format!("{wants} of {of} ({part} %) would be changed; the limit is {share} %");
                Some((MAX_SHARE_PERCENT, detail))
            })
        };
        if let Some((guard, detail)) = refusal {
            refusals.push(Refusal::new(guard, unit, &detail));
            members
                .iter()
                .for_each(|n| entries[*n].hold(Held::Guard(guard)));
        }
    }

    if applies(MAX_ACTIONS_PER_UNIT) {
        for (unit, members) in &limited {
            let most = unit_limits(unit).max_actions;
            hold_excess(entries, members, most, MAX_ACTIONS_PER_UNIT);
        }
    }
    if applies(MAX_ACTIONS_PER_RUN) {
        let all: Vec<usize> = limited.into_values().flatten().collect();
        hold_excess(entries, &all, run_limits.max_actions, MAX_ACTIONS_PER_RUN);
    }
    refusals
}

/// Whether a change of it is wanted that limits judge.
fn is_limited<A, R: Reason>(entry: &Entry<A, R>) -> bool {
    let wanted = entry.wanted();
    wanted.is_some_and(|change| change.effect != Effect::Restore)
}

/// What is known of one thing, however many changes of it are wanted.
#[derive(Default)]
struct Thing {
    there: bool,
    serves: bool,
    wanted: bool,
    serving_wanted: bool,
    ends: bool,
}

/// How many things of a unit are so.
#[derive(Clone, Copy, Default)]
struct Things {
    there: usize,
    serving: usize,
    wanted: usize,
    serving_wanted: usize,
    /// Of what serves.
    ending: usize,
}

fn count_things<A, R: Reason>(entries: &[Entry<A, R>]) -> HashMap<String, Things> {
    let mut units: HashMap<&str, HashMap<&str, Thing>> = HashMap::new();
    for entry in entries {
        let of_unit = units.entry(&entry.unit).or_default();
        let thing = of_unit.entry(&entry.target).or_default();
        // A line of a plan file whose thing is gone is no thing.
        if entry.reason.is_some() {
            thing.there = true;
            thing.serves |= entry.serves;
        }
        if is_limited(entry) {
            let destroyed = entry.wanted().map(|change| change.effect) == Some(Effect::Destroy);
            thing.wanted = true;
            thing.serving_wanted |= entry.serves;
            thing.ends |= entry.serves && destroyed;
        }
    }
    units
        .into_iter()
        .map(|(unit, things)| {
            let count = |is: fn(&Thing) -> bool| things.values().filter(|thing| is(thing)).count();
            let counted = Things {
                there: count(|thing| thing.there),
                serving: count(|thing| thing.serves),
                wanted: count(|thing| thing.wanted),
                serving_wanted: count(|thing| thing.serving_wanted),
                ending: count(|thing| thing.ends),
            };
            (unit.to_owned(), counted)
        })
        .collect()
}

/// Lets the `most` oldest of the units, in turn, through and holds the others
/// back. A change counts as no older than what it must come after, and among
/// changes of one age earlier passes go first, so that what must come first is
/// never crowded out by what follows it.
fn hold_excess<A, R: Reason>(
    entries: &mut [Entry<A, R>],
    members: &[usize],
    most: Option<u32>,
    guard: &'static str,
) {
    let Some(most) = most else { return };
    let mut free: Vec<usize> = members
        .iter()
        .copied()
        .filter(|n| entries[*n].wanted().is_some())
        .collect();
    if free.len() <= most as usize {
        return;
    }
    free.sort_by_key(|n| entries[*n].wanted().map(|change| change.pass));
    let ages = ages(entries, &free);
    let mut ranked: Vec<(Age, usize)> = ages.into_iter().zip(free).collect();
    ranked.sort_by(|(a, m), (b, n)| {
        let pass = |n: &usize| entries[*n].wanted().map(|change| change.pass);
        a.cmp(b)
            .then_with(|| pass(m).cmp(&pass(n)))
            .then_with(|| entries[*m].target.cmp(&entries[*n].target))
    });
    // Units take turns, each with its oldest: one whose changes fail again and
    // again must not use up the whole of every run.
    let mut taken: HashMap<&str, usize> = HashMap::new();
    let mut in_turn: Vec<(usize, usize)> = Vec::with_capacity(ranked.len());
    for (_, n) in ranked {
        let turn = taken.entry(&entries[n].unit).or_default();
        in_turn.push((*turn, n));
        *turn += 1;
    }
    in_turn.sort_by_key(|(turn, _)| *turn);
    for (_, n) in in_turn.into_iter().skip(most as usize) {
        entries[n].hold(Held::Guard(guard));
    }
}

/// By when a change is due; what has no age is youngest.
type Age = (bool, Option<Timestamp>);

/// The age of each of these changes, which are in the order of their passes.
fn ages<A, R: Reason>(entries: &[Entry<A, R>], in_order: &[usize]) -> Vec<Age> {
    let targets_before = |n: &usize| match entries[*n].wanted().map(|change| &change.after) {
        Some(After::Targets(targets)) => targets.as_slice(),
        Some(After::EarlierPasses) | None => &[],
    };
    let asked_for: HashSet<&str> = in_order
        .iter()
        .flat_map(|n| targets_before(n).iter().map(String::as_str))
        .collect();
    let mut of_target: HashMap<&str, Age> = HashMap::new();
    // In each lane, the youngest of the passes before the current one, the
    // current pass, and the youngest up to and with it.
    let mut of_lane: HashMap<&str, (Option<Age>, u8, Age)> = HashMap::new();
    let mut ages = Vec::with_capacity(in_order.len());
    for n in in_order {
        let entry = &entries[*n];
        let own: Age = (entry.since.is_none(), entry.since);
        let Some(change) = entry.wanted() else {
            ages.push(own);
            continue;
        };
        let lane = of_lane
            .entry(&change.lane)
            .or_insert((None, change.pass, own));
        if lane.1 < change.pass {
            *lane = (Some(lane.2), change.pass, lane.2);
        }
        let before = match &change.after {
            After::EarlierPasses => lane.0,
            After::Targets(targets) => targets
                .iter()
                .filter_map(|target| of_target.get(target.as_str()).copied())
                .max(),
        };
        let age = before.map_or(own, |before| own.max(before));
        lane.2 = lane.2.max(age);
        if asked_for.contains(entry.target.as_str()) {
            let known = of_target.entry(&entry.target).or_insert(age);
            *known = age.max(*known);
        }
        ages.push(age);
    }
    ages
}
