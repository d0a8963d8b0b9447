//! What sleeps, wakes and gets another size now, and why everything else stays.
//! Pure: no clock, no environment, no network, no log, no SDK types.

mod capacity;
mod course;
mod databases;
mod members;
mod services;
mod target;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use steward::engine::{
    After, Change, Decision, Effect, Gap, Hides, Item, Measure, MeasureKind, Need, OfAll, Plan,
    Seen, Wait,
};

use self::course::Course;
pub(crate) use self::members::{Members, Place, Placing};
use crate::action::{Action, Note, Noted, Overriding};
use crate::calendar::{Calendar, Transition, Wanted};
use crate::due::{self, Applied, Due};
use crate::policy::{Environment, ScalingPolicy};
use crate::reason::Reason;
use crate::schedule::Schedule;
use crate::scope::{Asking, Scope};
use crate::world::{Gate, Look, Memory, Progress, World};

/// The passes of a lane, which is an environment.
mod pass {
    /// What the ledger must say first.
    pub(super) const NOTE: u8 = 0;
    /// What sleeps and wakes.
    pub(super) const CHANGE: u8 = 1;
}

/// 1 where an environment is asleep.
const ASLEEP: MeasureKind = MeasureKind {
    name: "EnvironmentsAsleep",
    unit: "Count",
    of_all: OfAll::Sum,
};
/// 1 where a step takes longer than the policy allows.
const OVERDUE: MeasureKind = MeasureKind {
    name: "StepsOverdue",
    unit: "Count",
    of_all: OfAll::Sum,
};

/// The metrics of an environment beside the sums, with their units of measure.
pub const METRICS: &[MeasureKind] = &[ASLEEP, OVERDUE];

/// Who asks for an override without a name.
const NOBODY: &str = "somebody who did not say";

/// The next look at what takes minutes.
const LOOK_AGAIN_SECONDS: u32 = 60;

/// What an environment is to come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// It was never seen before.
    Remember {
        /// What its schedules say, and since when.
        to: Applied,
    },
    /// A transition was due too long ago.
    PassOver(Transition),
    /// A transition waits for a Change Calendar.
    Frozen {
        /// What is due.
        due: Applied,
        /// Which calendar is closed.
        calendar: String,
    },
    /// A transition begins.
    Begin(Applied),
    /// One is under way, or there is no ledger to tell.
    GoOn(Applied),
    /// The last has ended, and what it asked for is to stay.
    Guard(Applied),
    /// The last has ended.
    Rest(Applied),
    /// What is remembered of it cannot be understood.
    Unread,
}

impl Goal {
    /// How much of an environment has to be looked at for it.
    pub(crate) fn look(&self, environment: &Environment) -> Look {
        match self {
            Self::PassOver(_) | Self::Frozen { .. } | Self::Unread => Look::Memory,
            Self::Remember { .. } | Self::Begin(_) | Self::GoOn(_) | Self::Guard(_) => Look::Whole,
            Self::Rest(last) => {
                let mut members = environment.members().into_values();
                let has_databases = members.any(|member| member.databases.is_some());
                if last.to == Wanted::Off && has_databases {
                    Look::Databases
                } else {
                    Look::Memory
                }
            }
        }
    }

    /// Whether something may wait for what the environment is made of to be ready. To
    /// guard what a transition has left asks nobody to wait.
    pub(crate) fn awaits(&self) -> bool {
        matches!(self, Self::Remember { .. } | Self::Begin(_) | Self::GoOn(_))
    }

    /// The transition under way.
    pub(crate) fn to(&self) -> Option<&Applied> {
        match self {
            Self::Remember { to } | Self::Begin(to) | Self::GoOn(to) | Self::Guard(to) => Some(to),
            _ => None,
        }
    }
}

/// The schedules of a policy, ready to be asked.
pub(crate) struct Schedules<'p> {
    policy: &'p ScalingPolicy,
    /// The dates of each list of holidays.
    pub(crate) holidays: BTreeMap<String, BTreeSet<Date>>,
}

impl<'p> Schedules<'p> {
    pub(crate) fn of(policy: &'p ScalingPolicy) -> Self {
        Self {
            policy,
            holidays: policy.dates_of_holidays(),
        }
    }

    /// The schedules of an environment by their names, the first one first in rank.
    fn of_environment(
        &self,
        environment: &Environment,
    ) -> impl Iterator<Item = (&'p str, &'p Schedule)> {
        let all = &self.policy.schedules;
        let known = environment.schedules.iter();
        let known = known.filter_map(|name| all.get_key_value(name));
        known.map(|(name, schedule)| (name.as_str(), schedule))
    }

    pub(crate) fn calendar(&self, environment: &Environment) -> Calendar<'p> {
        Calendar::new(self.of_environment(environment), &self.holidays)
    }

    /// Whether what is changed by hand is put right by the next tick.
    pub(crate) fn is_enforced(&self, environment: &Environment) -> bool {
        let mut known = self.of_environment(environment);
        known.any(|(_, schedule)| schedule.enforced)
    }

    /// The Change Calendars of an environment.
    pub(crate) fn change_calendars(&self, environment: &'p Environment) -> BTreeSet<&'p str> {
        let known = self.of_environment(environment);
        let calendars = known.flat_map(|(_, schedule)| &schedule.change_calendars);
        calendars.map(String::as_str).collect()
    }

    /// What is due for an environment.
    pub(crate) fn due(
        &self,
        name: &str,
        environment: &'p Environment,
        memory: &Memory,
        now: Timestamp,
    ) -> Due {
        due::due(
            &self.calendar(environment),
            memory
                .environments
                .get(name)
                .map(|known| &known.progress.last),
            memory.override_of(name),
            now,
            SignedDuration::from_secs(self.policy.catch_up.seconds()),
        )
    }

    /// What an environment is to come to. A Change Calendar that is not among the
    /// gates is as good as closed.
    pub(crate) fn goal(
        &self,
        name: &str,
        environment: &'p Environment,
        world: &World,
        now: Timestamp,
    ) -> Goal {
        let Some(memory) = &world.memory else {
            return Goal::GoOn(self.asked_now(environment, now));
        };
        if memory.malformed.contains(name) {
            return Goal::Unread;
        }
        let frozen = || {
            let mut calendars = self.change_calendars(environment).into_iter();
            calendars.find(|name| world.change_calendars.get(*name) != Some(&Gate::Open))
        };
        let last = memory.environments.get(name).map(|known| &known.progress);
        let is_waking = |progress: &Progress| !progress.finished && progress.last.to != Wanted::Off;
        match (self.due(name, environment, memory, now), last) {
            (Due::FirstSight, _) | (Due::Nothing, None) => Goal::Remember {
                to: self.asked_now(environment, now),
            },
            (Due::TooLate(transition), _) => Goal::PassOver(transition),
            (Due::Apply(due), _) => match frozen() {
                // A wake-up under way is not left halfway.
                Some(_) if due.to != Wanted::Off && last.is_some_and(is_waking) => {
                    Goal::GoOn(last.map_or(due, |progress| progress.last.clone()))
                }
                Some(calendar) => Goal::Frozen {
                    due,
                    calendar: calendar.to_owned(),
                },
                None => Goal::Begin(due),
            },
            (Due::Nothing, Some(progress)) if !progress.finished => {
                Goal::GoOn(progress.last.clone())
            }
            (Due::Nothing, Some(progress)) => {
                // What was only seen, or too late, is left as it is.
                let is_enforced = progress.applied && self.is_enforced(environment);
                if is_enforced && frozen().is_none() {
                    Goal::Guard(progress.last.clone())
                } else {
                    Goal::Rest(progress.last.clone())
                }
            }
        }
    }

    /// What its schedules say now, and since when: awake, when they never said
    /// anything.
    fn asked_now(&self, environment: &'p Environment, now: Timestamp) -> Applied {
        let calendar = self.calendar(environment);
        let week = SignedDuration::from_hours(8 * 24);
        let before = now.saturating_sub(week).unwrap_or(Timestamp::MIN);
        let last = calendar.transitions(before, now).pop();
        last.map_or_else(
            || Applied {
                at: Timestamp::UNIX_EPOCH,
                to: calendar.wanted_at(now).unwrap_or(Wanted::On { size: None }),
            },
            |last| Applied {
                at: last.at,
                to: last.to,
            },
        )
    }
}

/// A plan that grows.
#[derive(Default)]
pub(crate) struct Draft {
    items: Vec<Item<Action, Reason>>,
    needs: Vec<Need>,
    measures: Vec<Measure>,
    waits_for: BTreeSet<String>,
}

impl Draft {
    fn push(
        &mut self,
        environment: &str,
        target: &str,
        reason: Reason,
        decision: Decision<Action>,
        since: Option<Timestamp>,
    ) {
        self.items.push(Item {
            unit: environment.to_owned(),
            target: target.to_owned(),
            since,
            serves: true,
            reason,
            decision,
        });
    }

    fn keep(&mut self, environment: &str, target: &str, reason: Reason) {
        self.push(environment, target, reason, Decision::Keep, None);
    }

    fn defer(&mut self, environment: &str, target: &str, reason: Reason) {
        self.push(environment, target, reason, Decision::Defer, None);
    }

    /// A note in the ledger, before anything else of its environment.
    fn note(&mut self, environment: &str, version: Option<u64>, reason: Reason, what: Noted) {
        let note = Note {
            environment: environment.to_owned(),
            version,
            what,
        };
        let change = first(environment, Action::Note(note));
        self.push(environment, environment, reason, change, None);
    }

    fn need(&mut self, environment: &str, what: String) {
        self.needs.push(Need {
            unit: environment.to_owned(),
            what,
        });
    }

    fn measure(&mut self, environment: &str, metric: &'static MeasureKind, is: bool) {
        self.measures.push(Measure {
            unit: environment.to_owned(),
            metric,
            value: f64::from(u8::from(is)),
        });
    }
}

/// A change of what is remembered, which nothing holds back.
fn first(environment: &str, action: Action) -> Decision<Action> {
    change(environment, pass::NOTE, Effect::Restore, action)
}

/// A change in the lane of an environment.
fn change(environment: &str, pass: u8, effect: Effect, action: Action) -> Decision<Action> {
    Decision::Act(Change {
        lane: environment.to_owned(),
        pass,
        after: After::EarlierPasses,
        effect,
        action,
    })
}

/// The whole plan.
pub(crate) fn decide(
    policy: &ScalingPolicy,
    scope: &Scope,
    seen: &Seen<World>,
    now: Timestamp,
) -> Plan<Action, Reason> {
    let mut draft = Draft::default();
    match scope {
        Scope::Override(asked) => override_one(&mut draft, asked, seen),
        Scope::Everything | Scope::Environments(_) => {
            decide_environments(&mut draft, policy, scope, seen, now);
        }
    }
    let wait = (!draft.waits_for.is_empty()).then(|| Wait {
        seconds: LOOK_AGAIN_SECONDS,
        what: draft.waits_for.into_iter().collect::<Vec<_>>().join(", "),
    });
    Plan {
        items: draft.items,
        wait,
        needs: draft.needs,
        measures: draft.measures,
    }
}

fn decide_environments(
    draft: &mut Draft,
    policy: &ScalingPolicy,
    scope: &Scope,
    seen: &Seen<World>,
    now: Timestamp,
) {
    let schedules = Schedules::of(policy);
    let members = Members::of(policy, &seen.world);
    for (name, environment) in &policy.environments {
        if !scope.covers(name) {
            continue;
        }
        let is_unread = |gap: &Gap| gap.hides == Hides::Everything;
        if seen.world.memory.is_none() && seen.gaps.iter().any(is_unread) {
            draft.defer(name, name, Reason::LedgerUnread);
            continue;
        }
        let goal = schedules.goal(name, environment, &seen.world, now);
        let course = Course {
            name,
            environment,
            seen,
            members: &members,
            now,
        };
        course.plan(draft, goal);
    }
    for (resource, places) in members.several() {
        let unit = places.first().map_or("", |place| &place.environment);
        let told: Vec<String> = places.iter().map(ToString::to_string).collect();
        let members = told.join(", ");
        draft.keep(unit, &resource.arn, Reason::TwoMembers { members });
    }
    if *scope == Scope::Everything {
        tell_forgotten(draft, policy, &seen.world);
    }
}

/// What was put to sleep and is no environment of the policy any more is told, once.
fn tell_forgotten(draft: &mut Draft, policy: &ScalingPolicy, world: &World) {
    let known = world.memory.iter().flat_map(|memory| &memory.environments);
    for (name, known) in known {
        let progress = &known.progress;
        let sleeps = progress.applied && progress.last.to == Wanted::Off;
        if policy.environments.contains_key(name) || !sleeps {
            continue;
        }
        let of = progress.last.at;
        if progress.told_of == Some(of) {
            draft.keep(name, name, Reason::Forgotten);
        } else {
            draft.need(
                name,
                format!(
                    "{name}: it was put to sleep at {of}, and the policy has no such environment \
                     any more: nothing wakes it. Put it back and override it, or wake it by hand"
                ),
            );
            draft.note(
                name,
                Some(known.version),
                Reason::Forgotten,
                Noted::Told { of },
            );
        }
    }
}

/// What a person asks for, against the schedules.
fn override_one(draft: &mut Draft, asked: &Asking, seen: &Seen<World>) {
    let name = asked.environment.as_str();
    let reason = match (&seen.world.memory, seen.gaps.is_empty()) {
        (Some(_), _) => Reason::Asked,
        (None, true) => Reason::NoLedger,
        (None, false) => Reason::LedgerUnread,
    };
    if reason != Reason::Asked {
        // It is tried all the same: what was asked for must not end as if there had
        // been nothing to do.
        draft.need(
            name,
            format!("the override of {name} is not remembered: {reason}"),
        );
    }
    let action = match &asked.to {
        Some(to) => Action::SetOverride(Overriding {
            environment: name.to_owned(),
            to: to.clone(),
            lasts: asked.lasts,
            by: asked.by.clone().unwrap_or_else(|| NOBODY.to_owned()),
            why: asked.why.clone(),
        }),
        None => Action::EndOverride {
            environment: name.to_owned(),
        },
    };
    draft.push(name, name, reason, first(name, action), None);
}

#[cfg(test)]
mod tests;
