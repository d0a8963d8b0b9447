//! The types of the cycle that drives every function: what a function supplies
//! ([`Function`], [`Observe`], [`Act`]) and what the engine makes of it.
//!
//! The cycle itself is in [`crate::run`]. Nothing here reads or changes AWS.

use std::collections::BTreeSet;
use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::event::ManualEvent;
pub use crate::event::{Mode, Trigger};
use crate::policy::Policy;

/// Which targets a failed read could hide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hides {
    /// Nothing can be said about any unit.
    Everything,
    /// Only these units (repositories, databases, environments, services).
    Units(BTreeSet<String>),
}

impl Hides {
    /// The gap concerns one unit.
    pub fn unit(unit: impl Into<String>) -> Self {
        Self::Units(BTreeSet::from([unit.into()]))
    }

    /// Whether the gap could hide something in `unit`.
    pub fn covers(&self, unit: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Units(units) => units.contains(unit),
        }
    }
}

impl Display for Hides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Units(units) => {
                for (n, unit) in units.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}{unit}")?;
                }
                Ok(())
            }
        }
    }
}

/// A read that failed, was denied or came back incomplete, although the
/// decision needs it. A read that it can do without is a warning.
///
/// Nothing that a gap could hide is destroyed; [`crate::run::run`] checks that behind every
/// `decide`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// The read, what it was about, and why it failed.
    pub read: String,
    /// What it could have shown.
    pub hides: Hides,
    /// The IAM action that the read needs.
    pub grant: String,
}

/// An observation: complete, or with the gaps named.
#[derive(Clone, Debug, Default)]
pub struct Seen<W> {
    /// What is true, as far as it could be read.
    pub world: W,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// What a person should know and no rule acts on.
    pub warnings: Vec<String>,
}

/// What a change does to its target, from harmless to final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Brings something back: waking, restoring, undoing. No limit holds it
    /// back; what it must come after still does.
    Restore,
    /// Changes something that can be changed back. Limits apply.
    Change,
    /// Ends something for good, or takes it from those who use it. Limits apply,
    /// and no gap may hide its target.
    Destroy,
}

/// What must have succeeded before a change is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Everything in the earlier passes of its lane.
    EarlierPasses,
    /// The changes of these targets. They are in an earlier pass of the same
    /// lane; where one is not, the change waits for the next run. A target that
    /// no longer exists is no obstacle; one that stays is.
    Targets(Vec<String>),
}

/// A wanted change, with its place in the order of things.
#[derive(Clone, Debug)]
pub struct Change<A> {
    /// Lanes run side by side, bounded by [`crate::run::LANES_AT_ONCE`].
    pub lane: String,
    /// Passes of a lane run in ascending order.
    pub pass: u8,
    /// What must have succeeded before.
    pub after: After,
    /// What it does to its target.
    pub effect: Effect,
    /// Every id and parameter, and nothing derived from the clock.
    pub action: A,
}

impl<A> Change<A> {
    /// A change that has no place in any order any more, because it has ended.
    pub(crate) fn bare(action: A) -> Self {
        Self {
            lane: String::new(),
            pass: 0,
            after: After::EarlierPasses,
            effect: Effect::Change,
            action,
        }
    }
}

/// What becomes of one observed thing.
#[derive(Clone, Debug)]
pub enum Decision<A> {
    /// It stays as it is.
    Keep,
    /// It is to be changed.
    Act(Change<A>),
    /// A change is wanted but cannot be made or described yet.
    Defer,
}

/// One observed thing with its decision and the reason for it.
#[derive(Clone, Debug)]
pub struct Item<A, R> {
    /// What guards judge by: a repository, a database, an environment.
    pub unit: String,
    /// The thing itself, unique in the plan together with its action.
    pub target: String,
    /// How old its claim is: limits take the oldest first. `None` is newest.
    pub since: Option<Timestamp>,
    /// Whether it can be used as it is. What a floor keeps are things that
    /// serve; an archived image, which nobody can pull, is there and does not.
    pub serves: bool,
    /// Why.
    pub reason: R,
    /// What.
    pub decision: Decision<A>,
}

/// What the engine has to wait for before it makes sense to be called again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Wait {
    /// Seconds until the next call is worth its while.
    pub seconds: u32,
    /// What is waited for.
    #[serde(rename = "for")]
    pub what: String,
}

/// Every observed thing, in exactly one of keep, act, defer.
#[derive(Clone, Debug)]
pub struct Plan<A, R> {
    /// In a deterministic order.
    pub items: Vec<Item<A, R>>,
    /// Set when the work goes on later.
    pub wait: Option<Wait>,
    /// What only a person can put right, and no gap or guard tells.
    pub needs: Vec<Need>,
    /// What is watched of its units beside the sums.
    pub measures: Vec<Measure>,
}

impl<A, R> Plan<A, R> {
    /// A plan of these, and nothing beside.
    pub fn of(items: Vec<Item<A, R>>) -> Self {
        Self {
            items,
            wait: None,
            needs: vec![],
            measures: vec![],
        }
    }
}

/// Something about a unit that only a person can put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The unit, as guards name it.
    pub unit: String,
    /// What is wrong and what helps, in a sentence. It stands among the warnings
    /// of the report.
    pub what: String,
}

/// A number that CloudWatch keeps of a unit; the sum over all units, or where
/// that says nothing the greatest, is kept of the function.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// The unit, as guards name it.
    pub unit: String,
    /// The metric.
    pub metric: &'static MeasureKind,
    /// Its value.
    pub value: f64,
}

/// What is measured.
#[derive(Debug, PartialEq, Eq)]
pub struct MeasureKind {
    /// The name of the metric.
    pub name: &'static str,
    /// Its unit of measure, one of CloudWatch's (`StandardUnit`, Amazon
    /// CloudWatch API Reference).
    pub unit: &'static str,
    /// How the values of all units make that of the function.
    pub of_all: OfAll,
}

/// How values make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfAll {
    /// All together.
    Sum,
    /// The greatest.
    Greatest,
}

/// The plan of a function.
pub type PlanOf<F> = Plan<<F as Function>::Action, <F as Function>::Reason>;

/// A typed reason that a person can read: `Display` is the sentence.
pub trait Reason: Clone + Debug + Display {
    /// The stable code for reports.
    fn code(&self) -> &'static str;
}

/// How an action appears in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionView {
    /// The item's target that the action belongs to.
    pub target: String,
    /// The unit that guards judge by.
    pub unit: String,
    /// ARN, or `repository@digest`.
    pub resource: String,
    /// Parameters worth showing; never a secret.
    pub detail: serde_json::Map<String, serde_json::Value>,
    /// Where it is, when that is not where the run is.
    pub elsewhere: Option<Elsewhere>,
}

/// Another Region, or another account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// 12 digits; `None` is the account of the run.
    pub account: Option<String>,
    /// Such as `eu-west-1`.
    pub region: String,
}

/// The limits of one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitLimits {
    /// See [`MAX_ACTIONS_PER_UNIT`](crate::guard::MAX_ACTIONS_PER_UNIT).
    pub max_actions: Option<u32>,
    /// See [`MAX_SHARE_PERCENT`](crate::guard::MAX_SHARE_PERCENT); 0 to 100.
    pub max_share_percent: Option<u8>,
    /// See [`KEEP_AT_LEAST`](crate::guard::KEEP_AT_LEAST).
    pub keep_at_least: Option<u32>,
}

/// The limits of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// See [`MAX_ACTIONS_PER_RUN`](crate::guard::MAX_ACTIONS_PER_RUN).
    pub max_actions: Option<u32>,
    /// The limits, by the names of their guards, that a reviewed plan file may exceed.
    pub reviewed_plan_may_exceed: BTreeSet<String>,
}

/// The pure half of a function. There is no `self`: nothing here reads or
/// calls anything.
pub trait Function {
    /// The name in reports, policies and kill switches.
    const NAME: &'static str;
    /// The operations it knows, the main one first.
    const OPERATIONS: &'static [&'static str];
    /// How many actions of one lane AWS takes in one call.
    const BATCH: usize;
    /// The kinds of its actions that only write down how far the work is. They are in
    /// the report, and are no news to people.
    const NOTES: &'static [&'static str] = &[];
    /// What we are told.
    type Policy: Policy;
    /// What woke us, resolved.
    type Scope: Clone + Debug + PartialEq + Serialize + DeserializeOwned;
    /// What is true; never SDK types.
    type World;
    /// One change, complete.
    type Action: Clone + Debug + PartialEq + Serialize + DeserializeOwned;
    /// Why.
    type Reason: Reason;

    /// Turns a wake-up into a scope.
    ///
    /// # Errors
    /// When the event is none of this function's, or a manual parameter is
    /// wrong: the message names the place, the value and what is allowed.
    fn scope(event: &crate::event::Event) -> Result<Self::Scope, ScopeError>;

    /// What a scope asks for and the policy does not have, such as a thing that it
    /// does not name. Nothing is read or changed then.
    ///
    /// # Errors
    /// When there is such a thing: the message names the place, the value and what is
    /// allowed.
    fn check(_policy: &Self::Policy, _scope: &Self::Scope) -> Result<(), ScopeError> {
        Ok(())
    }

    /// What to do and why. Touches no clock, environment, network, randomness
    /// or log: the same input gives the same plan in the same order.
    fn decide(
        policy: &Self::Policy,
        scope: &Self::Scope,
        seen: &Seen<Self::World>,
        now: Timestamp,
    ) -> PlanOf<Self>
    where
        Self: Sized;

    /// Whether the world already is as the action would leave it: one answer
    /// for resumption, lost answers, plan files and tests.
    fn achieved(action: &Self::Action, world: &Self::World) -> bool;

    /// The stable kind of the action, such as `delete_image`.
    fn kind(action: &Self::Action) -> &'static str;

    /// How the action appears in a report.
    fn view(action: &Self::Action) -> ActionView;

    /// What people read of an action that was done, in a sentence, with how to undo it;
    /// `None` where its kind and a number say enough.
    fn tell(_action: &Self::Action) -> Option<String> {
        None
    }

    /// The limits that the policy sets for one unit.
    fn unit_limits(policy: &Self::Policy, unit: &str) -> UnitLimits;

    /// The limits that the policy sets for a run.
    fn run_limits(policy: &Self::Policy) -> RunLimits;
}

/// An event that is understood but not for this function, or asks for
/// something that it does not have.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ScopeError(pub String);

/// The names under the one key that an operation of the manual form takes; `None`
/// when it is left out. `what` they name, in the plural, is for the error.
///
/// # Errors
/// When there is another key, or the value is no list of one or more texts.
pub fn names_in(
    manual: &ManualEvent,
    key: &str,
    what: &str,
) -> Result<Option<Vec<String>>, ScopeError> {
    if let Some(other) = manual.parameters.keys().find(|other| *other != key) {
        return Err(ScopeError(format!(
            "{other}: not a key of this event; allowed: operation, mode, {key}"
        )));
    }
    let Some(value) = manual.parameters.get(key) else {
        return Ok(None);
    };
    let list = value.as_array().into_iter().flatten();
    let names: Option<Vec<String>> = list.map(|v| v.as_str().map(str::to_owned)).collect();
    let names = names.filter(|names| !names.is_empty());
    names.map(Some).ok_or_else(|| {
        ScopeError(format!(
            "{key}: {value} is not allowed; allowed: a list of one or more {what}"
        ))
    })
}

/// The reading half. It cannot write.
pub trait Observe<F: Function> {
    /// Reads everything that the decision needs, or names the gaps.
    fn observe(&self, policy: &F::Policy, scope: &F::Scope)
    -> impl Future<Output = Seen<F::World>>;
}

/// The writing half: the only thing that changes AWS.
pub trait Act<F: Function> {
    /// Does one batch of one lane, re-reading preconditions where the API
    /// allows. Answers with one outcome per action, in order.
    fn act(&self, policy: &F::Policy, batch: &[F::Action]) -> impl Future<Output = Vec<Outcome>>;

    /// Gives back what was taken in order to act, such as leases. Called once at
    /// the end of every run that may act, however the lanes ended. A run that is
    /// killed never gets here, and the deadline may cut it short, so that what is
    /// taken has to expire by itself too. Answers with what a person should know of
    /// that, which becomes warnings of the report.
    fn finish(&self) -> impl Future<Output = Vec<String>> {
        std::future::ready(vec![])
    }
}

/// What became of one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done now.
    Done,
    /// It was so already, which is success.
    AlreadyDone,
    /// The re-check said no, and why.
    Skipped(String),
    /// It failed, with the whole cause chain.
    Failed(String),
}

/// The clock, so that tests decide what time it is.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// Always this instant.
    Fixed(Timestamp),
}

impl Clock {
    /// What time it is.
    pub fn now(self) -> Timestamp {
        match self {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the clock"
            )]
            Self::System => Timestamp::now(),
            Self::Fixed(now) => now,
        }
    }
}

/// When the Lambda will be killed, and how much before that the engine stops.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// No batch is started after this: one batch and the report must fit in
    /// what is left.
    pub last_start: Instant,
    /// A batch that has not answered by then is given up, so that the report
    /// gets out. The next run finds out what became of it.
    pub last_answer: Instant,
}

impl Deadline {
    /// The deadline of a Lambda that has this much time left: 20 s for a batch
    /// and 3 s for the report, or a quarter and a tenth of a short life.
    pub fn after(remaining: Duration) -> Self {
        let now = Instant::now();
        let keep =
            |most: u64, part: u32| remaining - Duration::from_secs(most).min(remaining / part);
        Self {
            last_start: now + keep(20, 4),
            last_answer: now + keep(3, 10),
        }
    }
}

/// What a run may do at most, whatever an event asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leash(pub Mode);
