//! Whole environments that sleep and wake on schedules, in the right order: services,
//! then capacity, then databases, and back.
//!
//! It never lowers a size that it has not remembered first, never overwrites a
//! remembered size with nothing, never takes a group's maximum to zero, and never
//! holds back a wake-up for a limit.

mod act;
mod action;
pub mod calendar;
mod decide;
pub mod due;
mod names;
mod observe;
pub mod order;
mod permissions;
pub mod policy;
pub mod preview;
pub mod price;
mod reason;
pub mod schedule;
mod scope;
mod world;

use jiff::Timestamp;
use steward::engine::{ActionView, Function, PlanOf, RunLimits, ScopeError, Seen, UnitLimits};
use steward::event::Event;

pub use crate::action::{
    ACTION_KINDS, Action, Direction, Note, Noted, Overriding, Setting, Snapshotting, Subject,
};
pub use crate::decide::METRICS;
pub use crate::names::{Mark, MarkError, PARTITION};
pub use crate::observe::Environments;
pub use crate::permissions::{BEHIND_CALLS, PERMISSIONS, asked_for};
pub use crate::policy::ScalingPolicy;
pub use crate::reason::{REASON_CODES, Reason};
pub use crate::scope::{Asking, OVERRIDE, Scope};
pub use crate::world::{
    Asked, Database, Gate, Group, Kind, Look, Memory, Progress, Remembered, Resource, Saved,
    Scalable, Service, Sizes, State, Stray, Suspended, World,
};

/// The function's name in reports, policies, kill switches and tags.
pub const NAME: &str = "scheduled-scaling";

/// scheduled-scaling, for the engine.
#[derive(Debug)]
pub struct ScheduledScaling;

impl Function for ScheduledScaling {
    const NAME: &'static str = NAME;
    const OPERATIONS: &'static [&'static str] = &["scale", OVERRIDE];
    /// AWS takes one at a time. Several of one environment go side by side, so that
    /// one that fails does not hold up the others.
    const BATCH: usize = 20;
    const NOTES: &'static [&'static str] = &[
        "remember_environment",
        "begin_transition",
        "record_step",
        "record_overdue",
        "finish_transition",
    ];
    type Policy = ScalingPolicy;
    type Scope = Scope;
    type World = World;
    type Action = Action;
    type Reason = Reason;

    fn scope(event: &Event) -> Result<Scope, ScopeError> {
        match event {
            // An event is a wake-up: which environment it is about is found out by
            // looking.
            Event::Schedule(_) | Event::Rds(_) => Ok(Scope::Everything),
            Event::Manual(manual) if manual.operation.as_deref() == Some(OVERRIDE) => {
                scope::parse_override(manual)
            }
            Event::Manual(manual) => scope::parse_scale(manual),
            other => Err(ScopeError(format!(
                "{NAME} does not take {} events; allowed: schedules, RDS DB Instance Event, and \
                 the manual form {{\"operation\":\"scale\",\"mode\":\"plan\"}}",
                other.kind()
            ))),
        }
    }

    fn check(policy: &ScalingPolicy, scope: &Scope) -> Result<(), ScopeError> {
        scope.check(policy)
    }

    fn decide(
        policy: &ScalingPolicy,
        scope: &Scope,
        seen: &Seen<World>,
        now: Timestamp,
    ) -> PlanOf<Self> {
        decide::decide(policy, scope, seen, now)
    }

    fn achieved(action: &Action, world: &World) -> bool {
        action::achieved(action, world)
    }

    fn kind(action: &Action) -> &'static str {
        action.kind()
    }

    fn view(action: &Action) -> ActionView {
        action::view(action)
    }

    fn unit_limits(_: &ScalingPolicy, _: &str) -> UnitLimits {
        UnitLimits::default()
    }

    fn run_limits(policy: &ScalingPolicy) -> RunLimits {
        RunLimits {
            max_actions: Some(policy.limits.max_parked_per_run),
            ..RunLimits::default()
        }
    }
}
