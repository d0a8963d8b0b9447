//! The way of one environment from one state to the other, step by step.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use steward::engine::{Effect, Seen};

use super::members::Members;
use super::target::{Target, Verdict};
use super::{ASLEEP, Draft, Goal, OVERDUE, change, databases, pass};
use crate::action::{Action, Noted, Subject};
use crate::calendar::Wanted;
use crate::due::Applied;
use crate::order;
use crate::policy::{Environment, Member};
use crate::reason::Reason;
use crate::world::{Kind, Look, Progress, Remembered, Resource, World};

/// How many resources a sentence to a person names.
const NAMED: usize = 5;

/// One environment, and what is known of it.
pub(super) struct Course<'a> {
    pub(super) name: &'a str,
    pub(super) environment: &'a Environment,
    pub(super) seen: &'a Seen<World>,
    pub(super) members: &'a Members<'a>,
    pub(super) now: Timestamp,
}

/// What comes before a resource in the order of its environment.
#[derive(Clone, Copy)]
enum Order<'a> {
    /// What somebody has started by hand needs it.
    Needed,
    /// These members, as far as they are not as wanted.
    After(&'a [&'a str]),
}

/// What is to be changed waits while something was not seen.
fn wait_if(is_unseen: bool, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Do(..) if is_unseen => Verdict::Wait(Reason::Unseen),
        other => other,
    }
}

/// The changes of an environment, and what is not as wanted.
#[derive(Default)]
struct Changes {
    draft: Draft,
    /// The first step with something to do, from 0.
    step: Option<usize>,
    /// What is not as wanted, and why, in words.
    open: Vec<(String, String)>,
    /// Whether somebody forbids some of it.
    is_blocked: bool,
    /// Whether the policy is at fault, which no time mends.
    is_misled: bool,
    /// The members with something that somebody has started since it was parked.
    by_hand: BTreeSet<String>,
}

impl<'a> Course<'a> {
    pub(super) fn plan(&self, draft: &mut Draft, goal: Goal) {
        let known = self.known();
        let version = known.map(|known| known.version);
        let name = self.name;
        let look = goal.look(self.environment);
        let looked = self.seen.world.looked_at.get(name).copied();
        if looked.unwrap_or(Look::Memory) < look {
            return draft.defer(name, name, Reason::NotLookedAt);
        }
        match goal {
            // What the ledger has lost is not seen for the first time.
            Goal::Remember { to } if self.is_something_marked() => {
                self.go(draft, &to, true, None);
            }
            Goal::Remember { to } => {
                draft.note(name, version, Reason::FirstSeen, Noted::Seen { to: to.to });
            }
            Goal::Unread => draft.defer(name, name, Reason::LedgerUnread),
            Goal::PassOver(transition) => {
                draft.need(
                    name,
                    format!(
                        "{name}: nothing was {} at {}, which is longer ago than the policy catches \
                         up (catch_up); it stays as it is until its next transition, or \
                         until an override",
                        transition.to, transition.at
                    ),
                );
                let (at, to) = (transition.at, transition.to);
                let noted = Noted::PassedOver {
                    to: Applied { at, to },
                };
                draft.note(name, version, Reason::TooLate { at }, noted);
            }
            Goal::Frozen { due, calendar } => self.freeze(draft, &due, calendar),
            Goal::Begin(due) => self.go(draft, &due, true, None),
            Goal::GoOn(last) => {
                let progress = known.map(|known| &known.progress);
                self.go(draft, &last, false, progress);
            }
            Goal::Guard(last) => {
                self.rest(draft, &last);
                // In the order of a transition, which it may have to wait for.
                let mut changes = self.changes(&last, false, true).draft;
                draft.items.append(&mut changes.items);
                draft.waits_for.append(&mut changes.waits_for);
            }
            Goal::Rest(last) => {
                self.rest(draft, &last);
                for (member, resource) in self.resources() {
                    if matches!(resource.kind, Kind::Database(_)) && last.to == Wanted::Off {
                        let target = self.target(&last, &member, resource, false, false);
                        let verdict = self.seen_whole(databases::stay_parked(&target));
                        self.put(draft, &target, self.unless_held(verdict, resource));
                    }
                }
            }
        }
    }

    fn known(&self) -> Option<&'a Remembered> {
        let memory = self.seen.world.memory.as_ref();
        memory.and_then(|memory| memory.environments.get(self.name))
    }

    fn is_something_marked(&self) -> bool {
        let mut resources = self.resources().into_iter();
        resources.any(|(_, resource)| {
            // Templates and restored databases copy tags.
            let is_tagged = resource.mark().is_some() && resource.is_at_nothing();
            resource.saved.is_some() || is_tagged
        })
    }

    fn rest(&self, draft: &mut Draft, last: &Applied) {
        let (since, to) = (last.at, last.to.clone());
        let was_applied = self.known().is_some_and(|known| known.progress.applied);
        draft.measure(self.name, &ASLEEP, to == Wanted::Off && was_applied);
        draft.measure(self.name, &OVERDUE, false);
        draft.keep(self.name, self.name, Reason::NothingDue { since, to });
    }

    /// A person is told once when it is a wake-up that a calendar holds back.
    fn freeze(&self, draft: &mut Draft, due: &Applied, calendar: String) {
        let known = self.known();
        let wakes = matches!(due.to, Wanted::On { .. });
        let reason = Reason::Frozen {
            calendar: calendar.clone(),
        };
        match known.filter(|known| wakes && known.progress.told_of != Some(due.at)) {
            Some(known) => {
                draft.need(
                    self.name,
                    format!(
                        "{}: it was to wake at {}, and Change Calendar {calendar} is closed, or \
                         cannot be read",
                        self.name, due.at
                    ),
                );
                let noted = Noted::Told { of: due.at };
                draft.note(self.name, Some(known.version), reason, noted);
            }
            None => draft.defer(self.name, self.name, reason),
        }
    }

    fn target<'t>(
        &self,
        goal: &'t Applied,
        member: &'t Member,
        resource: &'t Resource,
        is_overdue: bool,
        is_enforced: bool,
    ) -> Target<'t>
    where
        'a: 't,
    {
        Target {
            environment: self.name,
            resource,
            member,
            goal,
            now: self.now,
            is_overdue,
            has_ledger: self.seen.world.memory.is_some(),
            is_enforced,
        }
    }

    fn resources(&self) -> Vec<(Member, &'a Resource)> {
        let members = self.environment.members().into_iter();
        let of = |(name, member): (String, Member)| {
            let resources = self.members.resources(self.name, &name);
            let of = resources.iter().map(move |found| (member.clone(), *found));
            of.collect::<Vec<_>>()
        };
        members.flat_map(of).collect()
    }

    /// Whether a read failed that could hide something of the environment.
    fn is_hidden(&self) -> bool {
        self.seen.gaps.iter().any(|gap| gap.hides.covers(self.name))
    }

    /// Nothing is changed that something unseen could speak against.
    fn seen_whole(&self, verdict: Verdict) -> Verdict {
        wait_if(self.is_hidden(), verdict)
    }

    /// Nothing is changed that is on hold.
    fn unless_held(&self, verdict: Verdict, resource: &Resource) -> Verdict {
        match (verdict, resource.hold(self.now)) {
            (Verdict::Do(..), Some(hold)) => Verdict::Blocked(Reason::Held(hold)),
            (other, _) => other,
        }
    }

    /// The changes of a transition, and what is noted of it. `begins` when it does;
    /// `progress` is what is known of one under way.
    fn go(&self, draft: &mut Draft, goal: &Applied, begins: bool, progress: Option<&Progress>) {
        let waking = goal.to != Wanted::Off;
        let since = progress.map(|progress| progress.step_since);
        let within = self.environment.ready_within;
        let is_overdue = since.is_some_and(|since| within.after(since) < self.now);
        let mut changes = self.changes(goal, is_overdue, false);
        changes.open.extend(self.strays(&mut changes.draft, goal));
        let open = !changes.open.is_empty();
        draft.measure(self.name, &ASLEEP, !waking && !open);
        draft.measure(self.name, &OVERDUE, is_overdue && open);
        let is_to_be_told = is_overdue || changes.is_misled || (waking && changes.is_blocked);
        self.note_progress(draft, goal, begins, progress, is_to_be_told, &changes);
        draft.items.append(&mut changes.draft.items);
        draft.waits_for.append(&mut changes.draft.waits_for);
    }

    /// What becomes of every resource, in the order in which members need each other.
    fn changes(&self, goal: &Applied, is_overdue: bool, is_enforced: bool) -> Changes {
        let waking = goal.to != Wanted::Off;
        let members = self.environment.members();
        let needs = self.environment.needs();
        // The policy's check has refused what has no order.
        let waves = order::waves(&needs).unwrap_or_default();
        let all = order::closure(&needs);
        let waves: Vec<&BTreeSet<&str>> = if waking {
            waves.iter().collect()
        } else {
            waves.iter().rev().collect()
        };
        let mut changes = Changes::default();
        let mut is_open: BTreeMap<&str, bool> = BTreeMap::new();
        for (step, wave) in waves.into_iter().enumerate() {
            for name in wave.iter().copied() {
                // Before it: what it needs when it wakes, and what needs it when it
                // sleeps, also by way of others that have nothing to do.
                let is_before = |other: &&str| {
                    if waking {
                        all[name].contains(*other)
                    } else {
                        all[*other].contains(name)
                    }
                };
                let waits_for: Vec<&str> = is_open
                    .iter()
                    .filter(|(other, open)| **open && is_before(other))
                    .map(|(other, _)| *other)
                    .collect();
                let before = changes.open.len();
                let member = &members[name];
                if self.members.with_several(self.name).contains(name) {
                    let why = "the policy selects something in it more than once";
                    changes.open.push((name.to_owned(), why.to_owned()));
                    changes.is_misled = true;
                }
                let needed = changes
                    .by_hand
                    .iter()
                    .any(|other| all[other].contains(name));
                for resource in self.members.resources(self.name, name) {
                    let target = self.target(goal, member, resource, is_overdue, is_enforced);
                    let order = if needed {
                        Order::Needed
                    } else {
                        Order::After(&waits_for)
                    };
                    if self.one(&mut changes, &target, order) {
                        changes.by_hand.insert(name.to_owned());
                    }
                }
                let open = changes.open.len() > before;
                is_open.insert(name, open);
                if open && changes.step.is_none() {
                    changes.step = Some(step);
                }
            }
        }
        changes
    }

    /// Answers whether somebody has started it since it was parked.
    fn one(&self, changes: &mut Changes, target: &Target<'_>, order: Order<'_>) -> bool {
        let resource = target.resource;
        let is_off = target.goal.to == Wanted::Off;
        // What is needed first may be what was not seen. And sizes that may be raised for
        // a while are not remembered as the usual ones.
        let is_unseen = self.is_hidden() && (is_off || !target.member.needs.is_empty())
            || self.seen.world.raises_unread && (is_off || target.size().is_some());
        let verdict = wait_if(is_unseen, target.park_or_wake());
        let by_hand = matches!(verdict, Verdict::There(Reason::StartedByHand));
        let verdict = match (verdict, order) {
            (Verdict::Do(..) | Verdict::Wait(_), Order::Needed) => Verdict::Leave(Reason::Needed),
            (Verdict::Do(..) | Verdict::Wait(_), Order::After(others)) if !others.is_empty() => {
                let members = others.join(", ");
                Verdict::Wait(Reason::WaitsFor { members })
            }
            (other, _) => other,
        };
        let verdict = match verdict {
            // Only its mark is left to be taken away, for which nothing waits.
            Verdict::Do(Reason::StillMarked, ..) if resource.hold(self.now).is_some() => {
                Verdict::There(Reason::Awake)
            }
            other => self.unless_held(other, resource),
        };
        changes.is_blocked |= matches!(verdict, Verdict::Blocked(_));
        if let Verdict::Blocked(reason) | Verdict::Wait(reason) | Verdict::Do(reason, ..) = &verdict
        {
            let open = (resource.name.clone(), reason.to_string());
            changes.open.push(open);
        }
        self.put(&mut changes.draft, target, verdict);
        by_hand
    }

    /// What is remembered as parked here and is in no member: what is gone is
    /// forgotten, and of the rest a person is told before the environment counts as
    /// awake.
    fn strays(&self, draft: &mut Draft, goal: &Applied) -> Vec<(String, String)> {
        let mut open = Vec::new();
        let all = self.seen.world.strays.iter();
        let own = all.filter(|(_, stray)| stray.saved.environment == self.name);
        for (arn, stray) in own {
            if goal.to == Wanted::Off {
                continue;
            }
            if stray.is_gone {
                let action = Action::Unmark(Subject {
                    environment: self.name.to_owned(),
                    transition: goal.clone(),
                    arn: arn.clone(),
                    name: arn.clone(),
                });
                let decision = change(self.name, pass::CHANGE, Effect::Restore, action);
                draft.push(self.name, arn, Reason::Gone, decision, Some(goal.at));
            } else {
                let reason = if self.is_hidden() {
                    Reason::Unseen
                } else {
                    Reason::NoMember
                };
                open.push((arn.clone(), reason.to_string()));
                draft.defer(self.name, arn, reason);
            }
        }
        open
    }

    fn put(&self, draft: &mut Draft, target: &Target<'_>, verdict: Verdict) {
        let arn = &target.resource.arn;
        match verdict {
            Verdict::There(reason) | Verdict::Leave(reason) | Verdict::Blocked(reason) => {
                draft.keep(self.name, arn, reason);
            }
            Verdict::Wait(reason) => {
                draft.waits_for.insert(format!("{} to be ready", self.name));
                draft.defer(self.name, arn, reason);
            }
            Verdict::Do(reason, effect, action) => {
                draft.waits_for.insert(format!("{} to be ready", self.name));
                let decision = change(self.name, pass::CHANGE, effect, *action);
                draft.push(self.name, arn, reason, decision, Some(target.goal.at));
            }
        }
    }

    /// What the ledger is told of a transition, and when it takes long a person.
    fn note_progress(
        &self,
        draft: &mut Draft,
        goal: &Applied,
        begins: bool,
        progress: Option<&Progress>,
        is_to_be_told: bool,
        changes: &Changes,
    ) {
        let name = self.name;
        let version = self.known().map(|known| known.version);
        let number = |step: usize| u32::try_from(step).unwrap_or(u32::MAX);
        let step = changes.step.map(number);
        if begins {
            let (at, to) = (goal.at, goal.to.clone());
            let noted = Noted::Begun {
                to: goal.clone(),
                step: step.unwrap_or_default(),
            };
            return draft.note(name, version, Reason::Due { at, to }, noted);
        }
        let is_open = !changes.open.is_empty();
        let tell =
            |draft: &mut Draft| draft.need(name, self.sentence(goal, progress, &changes.open));
        let Some(progress) = progress else {
            // Without a ledger there is nothing to note.
            if is_to_be_told && is_open {
                tell(draft);
            }
            return if is_open {
                draft.defer(name, name, Reason::UnderWay);
            } else {
                let (since, to) = (goal.at, goal.to.clone());
                draft.keep(name, name, Reason::NothingDue { since, to });
            };
        };
        if !is_open {
            return if self.is_hidden() {
                draft.defer(name, name, Reason::Unseen);
            } else {
                draft.note(name, version, Reason::Reached, Noted::Finished);
            };
        }
        // One that goes back, as instances come and go, is no new step: its time
        // goes on. And what is not seen may belong to one before.
        match step {
            Some(step) if step > progress.step && !self.is_hidden() => {
                draft.note(name, version, Reason::NextStep, Noted::Step { step });
            }
            _ if is_to_be_told && progress.told_of != Some(goal.at) => {
                tell(draft);
                let since = progress.step_since;
                let noted = Noted::Told { of: goal.at };
                draft.note(name, version, Reason::Overdue { since }, noted);
            }
            _ => draft.defer(name, name, Reason::UnderWay),
        }
    }

    fn sentence(
        &self,
        goal: &Applied,
        progress: Option<&Progress>,
        open: &[(String, String)],
    ) -> String {
        let what = match goal.to {
            Wanted::Off => "is not asleep",
            Wanted::On { .. } => "is not awake",
        };
        let since = progress.map_or(goal.at, |progress| progress.step_since);
        let told: Vec<String> = open
            .iter()
            .take(NAMED)
            .map(|(resource, why)| format!("{resource}: {why}"))
            .collect();
        let more = open.len().saturating_sub(NAMED);
        let more = if more == 0 {
            String::new()
        } else {
            format!("; and {more} more")
        };
        format!(
            "{} {what}, and has been at this step since {since}: {}{more}",
            self.name,
            told.join("; ")
        )
    }
}
