//! Where each observed thing stands on its way through a run.
//!
//! [`crate::guard`], [`crate::plan_file`] and [`crate::run`] move the entries
//! on, [`crate::report`] tells where they ended.

use jiff::Timestamp;

use crate::engine::{Change, Decision, Function, Item, Outcome, Reason};

/// Why the engine, not the function, holds an action back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// A guard of this name.
    Guard(&'static str),
    /// A change that it must come after is not made.
    After(String),
    /// A change that it must come after is made in this run, at a time that
    /// nothing orders.
    AfterThisRun(String),
    /// The plan file that is applied does not hold it.
    NotInPlanFile,
    /// It was never reached, and why.
    NotReached(String),
}

/// What the sentence of [`Held::NotReached`] starts with.
pub(crate) const NOT_REACHED: &str = "not reached: ";

impl Held {
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Guard(guard) => format!("held back by {guard}"),
            Self::After(target) => format!("must come after {target}, which stays"),
            Self::AfterThisRun(target) => {
                format!("must come after {target}, which this run changes; the next run goes on")
            }
            Self::NotInPlanFile => "not in the plan file".to_owned(),
            Self::NotReached(why) => format!("{NOT_REACHED}{why}"),
        }
    }
}

/// Where one observed thing stands on its way through the run.
#[derive(Clone, Debug)]
pub(crate) enum Standing<A> {
    Kept,
    Deferred,
    Wanted(Change<A>),
    Held(Change<A>, Held),
    Ended(Change<A>, Outcome),
}

/// One observed thing, or one line of a plan file whose thing is gone.
#[derive(Clone, Debug)]
pub(crate) struct Entry<A, R> {
    pub(crate) unit: String,
    pub(crate) target: String,
    pub(crate) since: Option<Timestamp>,
    /// Whether it can be used as it is, which is what floors count.
    pub(crate) serves: bool,
    /// `None` only for a line of a plan file that today's decision knows
    /// nothing of.
    pub(crate) reason: Option<R>,
    pub(crate) standing: Standing<A>,
}

impl<A, R> Entry<A, R> {
    /// What would be or was done to it, whatever became of that.
    pub(crate) fn action(&self) -> Option<&A> {
        match &self.standing {
            Standing::Wanted(change) | Standing::Held(change, _) | Standing::Ended(change, _) => {
                Some(&change.action)
            }
            Standing::Kept | Standing::Deferred => None,
        }
    }

    /// Whether the sums of the report count it as planned.
    pub(crate) fn is_planned(&self) -> bool {
        matches!(self.standing, Standing::Wanted(_) | Standing::Ended(..))
    }
}

impl<A, R: Reason> Entry<A, R> {
    pub(crate) fn of(item: Item<A, R>) -> Self {
        let Item {
            unit,
            target,
            since,
            serves,
            reason,
            decision,
        } = item;
        let standing = match decision {
            Decision::Keep => Standing::Kept,
            Decision::Defer => Standing::Deferred,
            Decision::Act(change) => Standing::Wanted(change),
        };
        Self {
            unit,
            target,
            since,
            serves,
            reason: Some(reason),
            standing,
        }
    }

    /// The code of its reason.
    pub(crate) fn code(&self) -> &'static str {
        self.reason
            .as_ref()
            .map_or("not_in_todays_plan", Reason::code)
    }

    /// The change that is wanted and that nothing holds back so far.
    pub(crate) fn wanted(&self) -> Option<&Change<A>> {
        match &self.standing {
            Standing::Wanted(change) => Some(change),
            _ => None,
        }
    }

    /// The change that is wanted, also when something holds it back.
    pub(crate) fn change(&self) -> Option<&Change<A>> {
        match &self.standing {
            Standing::Wanted(change) | Standing::Held(change, _) => Some(change),
            _ => None,
        }
    }

    /// Holds the change back, unless something else does already.
    pub(crate) fn hold(&mut self, held: Held) {
        self.move_on(|change| Standing::Held(change, held));
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.move_on(|change| Standing::Ended(change, outcome));
    }

    fn move_on(&mut self, to: impl FnOnce(Change<A>) -> Standing<A>) {
        self.standing = match std::mem::replace(&mut self.standing, Standing::Deferred) {
            Standing::Wanted(change) => to(change),
            other => other,
        };
    }
}

/// An entry of a function's run.
pub(crate) type EntryOf<F> = Entry<<F as Function>::Action, <F as Function>::Reason>;

/// The entries of a function's run.
pub(crate) type Entries<F> = Vec<EntryOf<F>>;
