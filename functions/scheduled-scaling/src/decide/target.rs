//! A resource on its way: what it had, what it is to have, and the change between.

use jiff::Timestamp;
use steward::engine::Effect;

use super::{capacity, databases, services};
use crate::action::{Action, Direction, Setting, Subject, is_sized};
use crate::calendar::Wanted;
use crate::due::Applied;
use crate::policy::{Member, Size};
use crate::reason::Reason;
use crate::world::{Kind, Resource, Saved, Sizes, State, Suspended};

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
    pub(super) now: Timestamp,
    /// Whether the step under way takes too long.
    pub(super) is_overdue: bool,
    /// Whether a ledger remembers.
    pub(super) has_ledger: bool,
    /// Whether what somebody changes by hand is put right.
    pub(super) is_enforced: bool,
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

    /// What is remembered of it.
    pub(super) fn remembered(&self) -> Option<Saved> {
        self.resource.remembered(self.has_ledger)
    }

    /// The size that the policy names for it now. Without a ledger nothing could
    /// remember the one before.
    pub(super) fn size(&self) -> Option<(&str, Size)> {
        let Wanted::On { size: Some(name) } = &self.goal.to else {
            return None;
        };
        let size = self.member.sizes.get(name).filter(|_| self.has_ledger)?;
        Some((name, *size))
    }

    /// Whether it was parked for this very transition, and runs: somebody has started
    /// it since.
    pub(super) fn was_started_by_hand(&self, saved: Option<&Saved>) -> bool {
        let was_parked = saved
            .is_some_and(|saved| saved.state == State::Parked && saved.transition == self.goal.at);
        // It was written down only after the count was zero: whatever is asked for now
        // is a person's.
        let runs = match &self.resource.kind {
            Kind::Service(service) => service.desired > 0,
            _ => !self.resource.is_at_nothing(),
        };
        was_parked && !self.is_enforced && runs
    }

    /// The sizes to go back to: those that are remembered, else those it has, but for
    /// what alarm-remediation raised for a while.
    pub(super) fn baseline(&self, has: Sizes) -> Sizes {
        if let Some(saved) = self.remembered() {
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

    /// What it is to have when it is awake; `None` when nothing says what that is.
    /// What somebody has started meanwhile is not made smaller, but for where it
    /// comes from a size of the policy.
    pub(super) fn awake(&self, has: Sizes) -> Option<Sizes> {
        let saved = self.remembered();
        if let Some((_, size)) = self.size() {
            return Some(size.over(self.baseline(has)));
        }
        let Some(saved) = saved else {
            let is_lost = self.resource.is_marked() && self.resource.is_at_nothing();
            return (!is_lost).then_some(has);
        };
        if !saved.state.is_parked() {
            return Some(saved.sizes);
        }
        let before = saved.sizes;
        let min = has.min.max(before.min);
        let max = if has.max == Some(0) {
            before.max
        } else {
            has.max
        };
        let woken = Sizes {
            min: min.min(max),
            desired: has
                .desired
                .max(before.desired)
                .max(min)
                .min(max.or(Some(u32::MAX))),
            max,
            suspended: if has.suspended == Some(Suspended::ALL) {
                before.suspended
            } else {
                has.suspended
            },
        };
        before.is_known().then_some(woken)
    }

    /// Whether what is remembered is what has to be while it is awake in this size.
    pub(super) fn is_noted(&self, saved: Option<&Saved>) -> bool {
        match (saved.map(|saved| &saved.state), self.size()) {
            (None, None) => true,
            (Some(State::Sized(has)), Some((wanted, _))) => has == wanted,
            _ => false,
        }
    }

    /// Other sizes for it; while they last, those that it goes back to are remembered.
    pub(super) fn set(
        &self,
        action: fn(Setting) -> Action,
        direction: Direction,
        has: Sizes,
        to: Sizes,
    ) -> Verdict {
        let size = self.size().map(|(name, _)| name.to_owned());
        let remembers = direction == Direction::Park || size.is_some();
        let of = |sizes: Sizes| (sizes.desired.or(has.desired), sizes.min.or(has.min));
        let grows = of(to) >= of(has);
        let (reason, effect) = match direction {
            Direction::Park => (Reason::ToSleep, Effect::Change),
            Direction::Wake => (Reason::ToWake, Effect::Restore),
            Direction::Resize => {
                let effect = if grows {
                    Effect::Restore
                } else {
                    Effect::Change
                };
                (Reason::ToResize { size: size.clone() }, effect)
            }
        };
        let setting = Setting {
            of: self.subject(),
            direction,
            from: has,
            to,
            remember: remembers.then(|| self.baseline(has)),
            size,
        };
        Verdict::Do(reason, effect, Box::new(action(setting)))
    }

    /// The change that brings it to what it is to have when it is awake, and what is
    /// remembered of it to where that has to be; `None` when there is none.
    pub(super) fn set_awake(
        &self,
        action: fn(Setting) -> Action,
        has: Sizes,
        wanted: Sizes,
    ) -> Option<Verdict> {
        let saved = self.remembered();
        if !is_sized(has, wanted) || !self.is_noted(saved.as_ref()) {
            let was_parked = saved.is_some_and(|saved| saved.state.is_parked());
            let direction = if was_parked {
                Direction::Wake
            } else {
                Direction::Resize
            };
            return Some(self.set(action, direction, has, wanted));
        }
        (self.resource.is_marked() && self.size().is_none()).then(|| {
            let action = Action::Unmark(self.subject());
            Verdict::Do(Reason::StillMarked, Effect::Restore, Box::new(action))
        })
    }

    /// As the transition asks.
    pub(super) fn park_or_wake(&self) -> Verdict {
        match self.goal.to {
            Wanted::Off => self.park(),
            Wanted::On { .. } => self.wake(),
        }
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
