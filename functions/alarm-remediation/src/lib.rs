//! Answers CloudWatch alarms the way a good engineer on call does: looks, decides whether
//! anything sensible can be done, does one bounded thing, sees whether it helped, else
//! wakes a person with the facts.
//!
//! It never acts without the ledger, on what is on hold or parked, on what a gap hides,
//! on alarms that nobody selected, or more often than its bounds allow.

mod act;
mod action;
mod case;
mod decide;
mod diagnose;
mod history;
pub mod hours;
mod observe;
mod permissions;
pub mod policy;
mod reason;
mod scope;
mod world;

use jiff::Timestamp;
use steward::engine::{ActionView, Function, PlanOf, RunLimits, ScopeError, Seen, UnitLimits};
use steward::event::Event;

pub use crate::act::memory::raise_of;
pub use crate::action::{
    ACTION_KINDS, Action, ChangingClass, GrowingStorage, NOTES, Note, OfInstance, RaisingGroup,
    RaisingService, Remedy, Remedying, ReplacingTasks, RollingBack, StoppingDeployment, TakingBack,
};
pub use crate::case::{
    Attempt, Attempts, Case, Effect, HISTORY, Health, Line, Noted, PARTITION, Source, Stage, Tried,
    counts_for, keys,
};
pub use crate::decide::{METRICS, refuses};
pub use crate::history::{History, Remembered};
pub use crate::observe::Alarms;
pub use crate::permissions::{BEHIND_CALLS, PERMISSIONS, asked_for};
pub use crate::policy::{KEPT_FOR, LINGERS, RemediationPolicy};
pub use crate::reason::{Code, REASON_CODES, Reason};
pub use crate::scope::{APPROVE, SWEEP, Scope, Sighting};
pub use crate::world::{
    Alarm, Concern, Database, Deployer, Deployment, Group, Instance, Memory, NoTarget, Quiet,
    REMEDIATION, Revision, Scalable, Service, State, Symptom, Tags, Target, Targets, Task, World,
};

/// The function's name in reports, policies, kill switches and tags.
pub const NAME: &str = "alarm-remediation";

/// alarm-remediation, for the engine.
#[derive(Debug)]
pub struct AlarmRemediation;

impl Function for AlarmRemediation {
    const NAME: &'static str = NAME;
    const OPERATIONS: &'static [&'static str] = &["remediate", SWEEP, APPROVE];
    /// AWS takes one at a time.
    const BATCH: usize = 1;
    const NOTES: &'static [&'static str] = NOTES;
    type Policy = RemediationPolicy;
    type Scope = Scope;
    type World = World;
    type Action = Action;
    type Reason = Reason;

    fn scope(event: &Event) -> Result<Scope, ScopeError> {
        match event {
            Event::Alarm(alarm) => Ok(Scope::of_alarm(alarm)),
            Event::EcsContainerInstance(instance) => Scope::of_instance(instance),
            Event::Schedule(_) => Ok(Scope::OpenCases),
            Event::Manual(manual) => match manual.operation.as_deref() {
                Some(SWEEP) => Scope::of_sweep(manual),
                Some(APPROVE) => Scope::of_approval(manual),
                _ => Scope::of_remediate(manual),
            },
            other => Err(ScopeError(format!(
                "{NAME} does not take {} events; allowed: CloudWatch alarms, ECS Container \
                 Instance State Change, schedules, and the manual form \
                 {{\"operation\":\"remediate\",\"mode\":\"plan\"}}",
                other.kind()
            ))),
        }
    }

    fn decide(
        policy: &RemediationPolicy,
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

    fn tell(action: &Action) -> Option<String> {
        action::tell(action)
    }

    fn unit_limits(_: &RemediationPolicy, _: &str) -> UnitLimits {
        UnitLimits::default()
    }

    fn run_limits(policy: &RemediationPolicy) -> RunLimits {
        RunLimits {
            max_actions: Some(policy.bounds.per_hour),
            ..RunLimits::default()
        }
    }
}
