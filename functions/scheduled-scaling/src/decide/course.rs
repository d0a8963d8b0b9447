//! The way of one environment from one state to the other, step by step.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use steward::engine::{After, Change, Decision, Effect, Seen};

use super::members::Members;
use super::{ASLEEP, Draft, Goal, OVERDUE, capacity, databases, pass, services};
use crate::action::{Action, Direction, Noted, Setting, Subject};
use crate::calendar::Wanted;
use crate::due::Applied;
use crate::order;
use crate::policy::{Environment, Member, Size};
use crate::reason::Reason;
use crate::world::{Kind, Look, Progress, Remembered, Resource, Sizes, World};

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

/// What becomes of a resource.
pub(super) enum Verdict {
    /// It is as wanted.
    There(Reason),
    /// It is not for Steward to change, and nothing waits for it.
    Leave(Reason),
    /// It is to be changed, and somebody forbids it: what comes after it waits.
    Blocked(Reason),
    /// It will be as wanted, or can be changed later.
    Wait(Reason),
    /// It is to be changed.
    Do(Reason, Effect, Box<Action>),
}

/// A resource on its way, and where to.
pub(super) struct Target<'a> {
    pub(super) environment: &'a str,
    pub(super) resource: &'a Resource,
    pub(super) member: &'a Member,
    pub(super) goal: &'a Applied,
    /// Whether the step under way takes too long.
    pub(super) is_overdue: bool,
}

impl Target<'_> {
    pub(super) fn subject(&self) -> Subject {
        Subject {
            environment: self.environment.to_owned(),
            transition: self.goal.clone(),
            arn: self.resource.arn.clone(),
            name: self.resource.name.clone(),
        }
    }

    /// The size that the policy names for it now.
    pub(super) fn size(&self) -> Option<(&str, Size)> {
        let Wanted::On { size: Some(name) } = &self.goal.to else {
            return None;
        };
        let size = self.member.sizes.get(name)?;
        Some((name, *size))
    }

    /// The sizes to go back to: those that are remembered, else those it has, but for
    /// what alarm-remediation raised for a while.
    pub(super) fn baseline(&self, has: Sizes) -> Sizes {
        if let Some(saved) = self.resource.remembered(self.environment) {
            return saved.sizes;
        }
        let raised = self.resource.raised_from.unwrap_or_default();
        Sizes {
            min: has.min.map(|min| raised.min.unwrap_or(min)),
            desired: has.desired.map(|desired| raised.desired.unwrap_or(desired)),
            max: has.max.map(|max| raised.max.unwrap_or(max)),
            suspended: has.suspended,
        }
    }

    /// Other sizes for it; while they last, those that it goes back to are remembered.
    pub(super) fn set(
        &self,
        action: fn(Setting) -> Action,
        direction: Direction,
        has: Sizes,
        to: Sizes,
        remembers: bool,
    ) -> Verdict {
        let size = || self.size().map(|(name, _)| name.to_owned());
        let of = |sizes: Sizes| (sizes.desired.or(has.desired), sizes.min.or(has.min));
        let grows = of(to) >= of(has);
        let (reason, effect) = match direction {
            Direction::Park => (Reason::ToSleep, Effect::Change),
            Direction::Wake => (Reason::ToWake, Effect::Restore),
            Direction::Resize if grows => (Reason::ToResize { size: size() }, Effect::Restore),
            Direction::Resize => (Reason::ToResize { size: size() }, Effect::Change),
        };
        let setting = Setting {
            of: self.subject(),
            direction,
            from: has,
            to,
            remember: remembers.then(|| self.baseline(has)),
        };
        Verdict::Do(reason, effect, Box::new(action(setting)))
    }

    fn park(&self) -> Verdict {
        match &self.resource.kind {
            Kind::Service(service) => services::park(self, service),
            Kind::Group(group) => capacity::park(self, group),
            Kind::Database(database) => databases::park(self, database),
        }
    }

    fn wake(&self) -> Verdict {
        match &self.resource.kind {
            Kind::Service(service) => services::wake(self, service),
            Kind::Group(group) => capacity::wake(self, group),
            Kind::Database(database) => databases::wake(self, database),
        }
    }
}

/// How far a member is.
#[derive(Default)]
struct Standing<'a> {
    /// What is not as wanted, in words.
    open: Vec<(&'a str, String)>,
    /// Whether somebody forbids some of it.
    is_blocked: bool,
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
            Goal::Remember { to } => {
                draft.note(name, version, Reason::FirstSeen, Noted::Seen { to });
            }
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
            Goal::Begin(due) => {
                let since = self.now;
                self.go(draft, &due, Some(since), None);
            }
            Goal::GoOn(last) => {
                let progress = known.map(|known| &known.progress);
                self.go(draft, &last, None, progress);
            }
            Goal::Guard(last) => {
                self.rest(draft, &last);
                for (member, resource) in self.resources() {
                    self.correct(draft, &last, &member, resource);
                }
            }
            Goal::Rest(last) => {
                self.rest(draft, &last);
                for (member, resource) in self.resources() {
                    if matches!(resource.kind, Kind::Database(_)) && last.to == Wanted::Off {
                        let target = self.target(&last, &member, resource, false);
                        let verdict = databases::stay_parked(&target, self.now);
                        self.put(draft, &target, verdict);
                    }
                }
            }
        }
    }

    fn known(&self) -> Option<&'a Remembered> {
        let memory = self.seen.world.memory.as_ref();
        memory.and_then(|memory| memory.environments.get(self.name))
    }

    fn rest(&self, draft: &mut Draft, last: &Applied) {
        let (since, to) = (last.at, last.to.clone());
        draft.measure(self.name, &ASLEEP, to == Wanted::Off);
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
        match known.filter(|known| wakes && !known.progress.told) {
            Some(known) => {
                draft.need(
                    self.name,
                    format!(
                        "{}: it was to wake at {}, and Change Calendar {calendar} is closed, or \
                         cannot be read",
                        self.name, due.at
                    ),
                );
                draft.note(self.name, Some(known.version), reason, Noted::Told);
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
    ) -> Target<'t>
    where
        'a: 't,
    {
        Target {
            environment: self.name,
            resource,
            member,
            goal,
            is_overdue,
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

    /// What somebody changed by hand is put right at once, whatever needs it.
    fn correct(&self, draft: &mut Draft, goal: &Applied, member: &Member, resource: &Resource) {
        let target = self.target(goal, member, resource, true);
        let verdict = match goal.to {
            Wanted::Off => self.seen_whole(target.park()),
            Wanted::On { .. } => target.wake(),
        };
        self.put(draft, &target, verdict);
    }

    /// Whether a read failed that could hide something of the environment.
    fn is_hidden(&self) -> bool {
        self.seen.gaps.iter().any(|gap| gap.hides.covers(self.name))
    }

    /// Nothing is parked while not everything is seen.
    fn seen_whole(&self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Do(..) if self.is_hidden() => Verdict::Wait(Reason::Unseen),
            other => other,
        }
    }

    /// The changes of a transition, and what is noted of it. `begins` when it does;
    /// `progress` is what is known of one under way.
    fn go(
        &self,
        draft: &mut Draft,
        goal: &Applied,
        begins: Option<Timestamp>,
        progress: Option<&Progress>,
    ) {
        let waking = goal.to != Wanted::Off;
        let since = begins.or(progress.map(|progress| progress.step_since));
        let within = self.environment.ready_within;
        let is_overdue = since.is_some_and(|since| within.after(since) < self.now);
        let members = self.environment.members();
        let needs = self.environment.needs();
        let Ok(waves) = order::waves(&needs) else {
            // The policy's check has refused it.
            return draft.defer(self.name, self.name, Reason::Unseen);
        };
        let waves: Vec<&BTreeSet<&str>> = if waking {
            waves.iter().collect()
        } else {
            waves.iter().rev().collect()
        };
        let mut standing: BTreeMap<&str, Standing<'_>> = BTreeMap::new();
        let mut changes = Draft::default();
        for member in waves.iter().flat_map(|wave| wave.iter().copied()) {
            // Before it: what it needs when it wakes, and what needs it when it
            // sleeps.
            let is_before = |other: &&str| {
                if waking {
                    needs[member].contains(*other)
                } else {
                    needs[*other].contains(member)
                }
            };
            let is_open = |other: &&str| !standing[other].open.is_empty();
            let before = standing.keys().copied().filter(|other| is_before(other));
            let waits_for: Vec<&str> = before.filter(is_open).collect();
            let of = self.each(
                &mut changes,
                goal,
                &members[member],
                member,
                &waits_for,
                is_overdue,
            );
            standing.insert(member, of);
        }
        let of_wave = |wave: &&BTreeSet<&str>| wave.iter().any(|m| !standing[m].open.is_empty());
        let step = waves.iter().position(of_wave);
        let open: Vec<&(&str, String)> = standing.values().flat_map(|of| &of.open).collect();
        let is_blocked = standing.values().any(|of| of.is_blocked);
        draft.measure(self.name, &ASLEEP, !waking && open.is_empty());
        draft.measure(self.name, &OVERDUE, is_overdue && !open.is_empty());
        self.note_progress(
            draft,
            goal,
            begins.is_some(),
            progress,
            step,
            is_overdue || (waking && is_blocked),
            &open,
        );
        draft.items.append(&mut changes.items);
        draft.waits_for.append(&mut changes.waits_for);
    }

    /// What becomes of the resources of a member.
    fn each(
        &self,
        draft: &mut Draft,
        goal: &Applied,
        member: &Member,
        name: &str,
        waits_for: &[&str],
        is_overdue: bool,
    ) -> Standing<'a> {
        let mut standing = Standing::default();
        if self.members.with_several(self.name).contains(name) {
            let why = "the policy selects something in it more than once".to_owned();
            standing.open.push((self.name, why));
        }
        for resource in self.members.resources(self.name, name).iter().copied() {
            let target = self.target(goal, member, resource, is_overdue);
            let verdict = match goal.to {
                Wanted::Off => self.seen_whole(target.park()),
                Wanted::On { .. } => target.wake(),
            };
            let verdict = match verdict {
                Verdict::Do(..) | Verdict::Wait(_) if !waits_for.is_empty() => {
                    Verdict::Wait(Reason::WaitsFor {
                        members: waits_for.join(", "),
                    })
                }
                other => other,
            };
            let verdict = match (verdict, resource.hold(self.now)) {
                (Verdict::Do(..), Some(hold)) => Verdict::Blocked(Reason::Held(hold)),
                (other, _) => other,
            };
            match &verdict {
                Verdict::There(_) | Verdict::Leave(_) => {}
                Verdict::Blocked(reason) => {
                    standing.is_blocked = true;
                    standing.open.push((&resource.name, reason.to_string()));
                }
                Verdict::Wait(reason) | Verdict::Do(reason, ..) => {
                    standing.open.push((&resource.name, reason.to_string()));
                }
            }
            self.put(draft, &target, verdict);
        }
        standing
    }

    fn put(&self, draft: &mut Draft, target: &Target<'_>, verdict: Verdict) {
        let arn = &target.resource.arn;
        let is_held = |verdict: &Verdict| matches!(verdict, Verdict::Do(..));
        let verdict = match target.resource.hold(self.now).filter(|_| is_held(&verdict)) {
            Some(hold) => Verdict::Blocked(Reason::Held(hold)),
            None => verdict,
        };
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
                let change = Change {
                    lane: self.name.to_owned(),
                    pass: pass::CHANGE,
                    after: After::EarlierPasses,
                    effect,
                    action: *action,
                };
                let since = Some(target.goal.at);
                draft.push(self.name, arn, reason, Decision::Act(change), since);
            }
        }
    }

    /// What the ledger is told of a transition, and when it takes long a person.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own")]
    fn note_progress(
        &self,
        draft: &mut Draft,
        goal: &Applied,
        begins: bool,
        progress: Option<&Progress>,
        step: Option<usize>,
        is_to_be_told: bool,
        open: &[&(&str, String)],
    ) {
        let name = self.name;
        let version = self.known().map(|known| known.version);
        let number = |step: usize| u32::try_from(step).unwrap_or(u32::MAX);
        if begins {
            let (at, to) = (goal.at, goal.to.clone());
            let noted = Noted::Begun {
                to: goal.clone(),
                step: number(step.unwrap_or_default()),
            };
            return draft.note(name, version, Reason::Due { at, to }, noted);
        }
        let tell = |draft: &mut Draft| draft.need(name, self.sentence(goal, progress, open));
        let Some(progress) = progress else {
            // Without a ledger there is nothing to note.
            if is_to_be_told {
                tell(draft);
            }
            return match step {
                Some(_) => draft.defer(name, name, Reason::UnderWay),
                None => draft.keep(
                    name,
                    name,
                    Reason::NothingDue {
                        since: goal.at,
                        to: goal.to.clone(),
                    },
                ),
            };
        };
        match step {
            None if self.is_hidden() => draft.defer(name, name, Reason::Unseen),
            None => draft.note(name, version, Reason::Reached, Noted::Finished),
            Some(step) if number(step) != progress.step => {
                let step = number(step);
                draft.note(name, version, Reason::NextStep, Noted::Step { step });
            }
            Some(_) if is_to_be_told && !progress.told => {
                tell(draft);
                let since = progress.step_since;
                draft.note(name, version, Reason::Overdue { since }, Noted::Told);
            }
            Some(_) => draft.defer(name, name, Reason::UnderWay),
        }
    }

    fn sentence(
        &self,
        goal: &Applied,
        progress: Option<&Progress>,
        open: &[&(&str, String)],
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
