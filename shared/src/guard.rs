//! What a plan may not do, whatever a function decided.
//!
//! Guards judge per unit (a repository, a database, an environment), with an
//! account-wide ceiling above. A count limit holds back the excess, oldest
//! first; a share or a floor refuses the unit, and the rest goes on. Nothing
//! here ever holds back an [`Effect::Restore`].

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{Effect, Gap, Reason};
use crate::report::Refusal;
use crate::run::{Entry, Held, Standing};

/// The most changes in one unit and run; the excess waits for the next run.
pub const MAX_ACTIONS_PER_UNIT: &str = "max_actions_per_unit";
/// The most changes in one run; the excess waits for the next run.
pub const MAX_ACTIONS_PER_RUN: &str = "max_actions_per_run";
/// The largest part of a unit that one run may change; above it the unit is
/// refused.
pub const MAX_SHARE_PERCENT: &str = "max_share_percent";
/// The fewest things that must remain of a unit; below it the unit is refused.
pub const KEEP_AT_LEAST: &str = "keep_at_least";
/// A read that failed could hide something about the unit.
pub const INCOMPLETE_OBSERVATION: &str = "incomplete_observation";

/// The mode gate: an event asks for more than the leash.
pub const MODE: &str = "mode";
/// Apply without a policy that selects its targets.
pub const EXPLICIT_POLICY: &str = "explicit_policy";
/// A kill switch is on or cannot be read.
pub const KILL_SWITCH: &str = "kill_switch";

/// Every guard, for the contract sections of the functions.
pub const NAMES: &[&str] = &[
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

/// The limits of one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitLimits {
    /// See [`MAX_ACTIONS_PER_UNIT`].
    pub max_actions: Option<u32>,
    /// See [`MAX_SHARE_PERCENT`]; 0 to 100.
    pub max_share_percent: Option<u8>,
    /// See [`KEEP_AT_LEAST`].
    pub keep_at_least: Option<u32>,
}

/// The limits of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// See [`MAX_ACTIONS_PER_RUN`].
    pub max_actions: Option<u32>,
    /// The limits, by the names above, that a reviewed plan file may exceed.
    pub reviewed_plan_may_exceed: BTreeSet<String>,
}

/// Holds back every destruction whose target a gap could hide: the backstop
/// behind a function's own `decide`. One refusal per unit, also for what the
/// function itself deferred because of the gap; and one for each gap that hides
/// nothing that was seen, because what it hides may be the work.
pub(crate) fn refuse_hidden<A: Clone, R: Reason>(
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
pub(crate) fn limit<A: Clone, R: Reason>(
    entries: &mut [Entry<A, R>],
    run_limits: &RunLimits,
    unit_limits: impl Fn(&str) -> UnitLimits,
    exceeding: &BTreeSet<String>,
) -> Vec<Refusal> {
    let applies = |name: &str| !exceeding.contains(name);
    let mut observed: BTreeMap<String, usize> = BTreeMap::new();
    let mut limited: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (n, entry) in entries.iter().enumerate() {
        *observed.entry(entry.unit.clone()).or_default() += 1;
        if entry
            .wanted()
            .is_some_and(|change| change.effect != Effect::Restore)
        {
            limited.entry(entry.unit.clone()).or_default().push(n);
        }
    }

    let mut refusals = Vec::new();
    for (unit, members) in &limited {
        let of_unit = unit_limits(unit);
        let (wants, there) = (
            members.len(),
            observed.get(unit).copied().unwrap_or_default(),
        );
        let ends = members
            .iter()
            .filter(|n| {
                entries[**n]
                    .wanted()
                    .is_some_and(|c| c.effect == Effect::Destroy)
            })
            .count();
        let remain = there.saturating_sub(ends);
        let floor = of_unit.keep_at_least.filter(|_| applies(KEEP_AT_LEAST));
        let share = of_unit
            .max_share_percent
            .filter(|_| applies(MAX_SHARE_PERCENT));
        let refusal =
            if let Some(floor) = floor.filter(|floor| ends > 0 && remain < *floor as usize) {
                Some((
                    KEEP_AT_LEAST,
                    format!("{ends} of {there} would go and leave {remain}; the floor is {floor}"),
                ))
            } else {
                share
                    .filter(|_| wants > SHARE_JUDGES_ABOVE)
                    .filter(|share| wants * 100 > usize::from(*share) * there)
                    .map(|share| {
                        let part = wants * 100 / there.max(1);
                        let detail = format!(
                            "{wants} of {there} ({part} %) would be changed; the limit is {share} %"
                        );
                        (MAX_SHARE_PERCENT, detail)
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

/// Lets the `most` oldest through and holds the others back. Among things of
/// one age, earlier passes go first, so that what must come first is never
/// crowded out by what follows it.
fn hold_excess<A: Clone, R: Reason>(
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
    free.sort_by_key(|n| {
        let entry = &entries[*n];
        let pass = entry.wanted().map(|change| change.pass);
        (
            entry.since.is_none(),
            entry.since,
            pass,
            entry.target.clone(),
        )
    });
    for n in free.into_iter().skip(most as usize) {
        entries[n].hold(Held::Guard(guard));
    }
}
