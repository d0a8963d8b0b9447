//! A function that decides exactly what its world says, for the rules of the
//! engine one by one.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use steward::engine::{
    Act, ActionView, After, Change, Decision, Effect, Function, Gap, Item, Mode, Observe, Outcome,
    Plan, PlanOf, RunLimits, ScopeError, Seen, UnitLimits, Wait,
};
use steward::report::{ActionOutcome, Report};

use crate::support::{Limits, Setting, policy, woken};

/// What the script wants of one thing.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Keep,
    Defer,
    Change { effect: Effect, step: &'static str },
}

/// One thing of the world, with what is decided about it.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) unit: String,
    pub(crate) target: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) lane: String,
    pub(crate) pass: u8,
    pub(crate) after: After,
    pub(crate) serves: bool,
    pub(crate) wish: Wish,
}

/// A thing that stays, in a lane named as its unit, after nothing.
pub(crate) fn thing(unit: &str, target: impl Into<String>) -> Thing {
    Thing {
        unit: unit.to_owned(),
        target: target.into(),
        since: None,
        lane: unit.to_owned(),
        pass: 0,
        after: After::Targets(vec![]),
        serves: true,
        wish: Wish::Keep,
    }
}

impl Thing {
    /// One that is there and cannot be used.
    pub(crate) fn idle(self) -> Self {
        Self {
            serves: false,
            ..self
        }
    }

    pub(crate) fn destroyed(self) -> Self {
        self.with(Effect::Destroy, "end")
    }

    pub(crate) fn changed(self) -> Self {
        self.with(Effect::Change, "change")
    }

    pub(crate) fn restored(self) -> Self {
        self.with(Effect::Restore, "restore")
    }

    pub(crate) fn with(mut self, effect: Effect, step: &'static str) -> Self {
        self.wish = Wish::Change { effect, step };
        self
    }

    pub(crate) fn deferred(mut self) -> Self {
        self.wish = Wish::Defer;
        self
    }

    pub(crate) fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    pub(crate) fn lane(mut self, lane: &str) -> Self {
        self.lane = lane.to_owned();
        self
    }

    pub(crate) fn pass(mut self, pass: u8) -> Self {
        self.pass = pass;
        self
    }

    pub(crate) fn after(mut self, targets: &[&str]) -> Self {
        self.after = After::Targets(targets.iter().map(|t| (*t).to_owned()).collect());
        self
    }

    pub(crate) fn after_earlier_passes(mut self) -> Self {
        self.after = After::EarlierPasses;
        self
    }
}

/// One change of one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deed {
    pub(crate) unit: String,
    pub(crate) target: String,
    pub(crate) step: String,
}

/// The one reason of the script.
#[derive(Clone, Debug)]
pub(crate) struct AsScripted(String);

impl fmt::Display for AsScripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the script says so about {}", self.0)
    }
}

impl steward::engine::Reason for AsScripted {
    fn code(&self) -> &'static str {
        "as_scripted"
    }
}

/// The world of the script.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) things: Vec<Thing>,
    /// Deeds that are done already although their thing is still there.
    pub(crate) done: Vec<Deed>,
    pub(crate) wait: Option<Wait>,
}

#[derive(Debug)]
pub(crate) struct Scripted<const BATCH: usize = 3>;

impl<const B: usize> Function for Scripted<B> {
    const NAME: &'static str = "scripted";
    const OPERATIONS: &'static [&'static str] = &["act", "rehearse"];
    const BATCH: usize = B;
    type Policy = Limits;
    type Scope = String;
    type World = World;
    type Action = Deed;
    type Reason = AsScripted;

    fn scope(_: &steward::event::Event) -> Result<String, ScopeError> {
        Ok(String::new())
    }

    fn decide(_: &Limits, _: &String, seen: &Seen<World>, _: Timestamp) -> PlanOf<Self> {
        let decide = |thing: &Thing| Item {
            unit: thing.unit.clone(),
            target: thing.target.clone(),
            since: thing.since,
            serves: thing.serves,
            reason: AsScripted(thing.target.clone()),
            decision: match &thing.wish {
                Wish::Keep => Decision::Keep,
                Wish::Defer => Decision::Defer,
                Wish::Change { effect, step } => Decision::Act(Change {
                    lane: thing.lane.clone(),
                    pass: thing.pass,
                    after: thing.after.clone(),
                    effect: *effect,
                    action: Deed {
                        unit: thing.unit.clone(),
                        target: thing.target.clone(),
                        step: (*step).to_owned(),
                    },
                }),
            },
        };
        Plan {
            wait: seen.world.wait.clone(),
            ..Plan::of(seen.world.things.iter().map(decide).collect())
        }
    }

    fn achieved(deed: &Deed, world: &World) -> bool {
        world.done.contains(deed) || !world.things.iter().any(|t| t.target == deed.target)
    }

    fn kind(_: &Deed) -> &'static str {
        "deed"
    }

    fn view(deed: &Deed) -> ActionView {
        ActionView {
            target: deed.target.clone(),
            unit: deed.unit.clone(),
            resource: format!("{}/{}", deed.unit, deed.target),
            detail: serde_json::Map::new(),
            elsewhere: None,
        }
    }

    fn unit_limits(policy: &Limits, _: &str) -> UnitLimits {
        policy.of_unit()
    }

    fn run_limits(policy: &Limits) -> RunLimits {
        policy.of_run()
    }
}

/// How the stage answers a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reply {
    /// With every outcome.
    Full,
    /// With only this many outcomes.
    Short(usize),
    /// Not at all.
    Never,
    /// With every outcome, when this instant has passed.
    At(tokio::time::Instant),
}

/// The script's world, and what was done on it.
pub(crate) struct Stage {
    pub(crate) world: RefCell<World>,
    pub(crate) gaps: RefCell<Vec<Gap>>,
    /// What does not end as done.
    pub(crate) outcomes: RefCell<HashMap<String, Outcome>>,
    pub(crate) reply: Cell<Reply>,
    /// The targets of every batch, in order.
    pub(crate) batches: RefCell<Vec<Vec<String>>>,
    pub(crate) observations: Cell<usize>,
    pub(crate) observes_never: Cell<bool>,
    /// After how many batches the engine let go, each time that it did.
    pub(crate) finished: RefCell<Vec<usize>>,
    pub(crate) finishes_never: Cell<bool>,
}

impl Stage {
    pub(crate) fn of(things: impl IntoIterator<Item = Thing>) -> Self {
        let world = World {
            things: things.into_iter().collect(),
            ..World::default()
        };
        Self {
            world: RefCell::new(world),
            gaps: RefCell::default(),
            outcomes: RefCell::default(),
            reply: Cell::new(Reply::Full),
            batches: RefCell::default(),
            observations: Cell::new(0),
            observes_never: Cell::new(false),
            finished: RefCell::default(),
            finishes_never: Cell::new(false),
        }
    }

    pub(crate) fn failing(self, targets: &[&str]) -> Self {
        for target in targets {
            self.ending(target, Outcome::Failed(format!("{target} refuses to go")));
        }
        self
    }

    pub(crate) fn ending(&self, target: &str, outcome: Outcome) {
        self.outcomes
            .borrow_mut()
            .insert(target.to_owned(), outcome);
    }

    /// Every target that an act was called for, in order.
    pub(crate) fn touched(&self) -> Vec<String> {
        self.batches.borrow().concat()
    }

    /// What there still is.
    pub(crate) fn left(&self) -> Vec<String> {
        let world = self.world.borrow();
        world.things.iter().map(|t| t.target.clone()).collect()
    }
}

impl<const B: usize> Observe<Scripted<B>> for Stage {
    async fn observe(&self, _: &Limits, _: &String) -> Seen<World> {
        self.observations.set(self.observations.get() + 1);
        if self.observes_never.get() {
            std::future::pending::<()>().await;
        }
        Seen {
            world: self.world.borrow().clone(),
            gaps: self.gaps.borrow().clone(),
            warnings: vec![],
        }
    }
}

impl<const B: usize> Act<Scripted<B>> for Stage {
    async fn act(&self, _: &Limits, batch: &[Deed]) -> Vec<Outcome> {
        let names = batch.iter().map(|deed| deed.target.clone()).collect();
        self.batches.borrow_mut().push(names);
        match self.reply.get() {
            Reply::Never => std::future::pending().await,
            Reply::At(instant) => {
                let _ = tokio::time::timeout_at(instant, std::future::pending::<()>()).await;
            }
            Reply::Full | Reply::Short(_) => {}
        }
        let outcomes = self.outcomes.borrow();
        let mut answer: Vec<Outcome> = batch
            .iter()
            .map(|deed| outcomes.get(&deed.target).cloned().unwrap_or(Outcome::Done))
            .collect();
        let mut world = self.world.borrow_mut();
        for (deed, outcome) in batch.iter().zip(&answer) {
            if *outcome == Outcome::Done {
                world.things.retain(|thing| thing.target != deed.target);
            }
        }
        if let Reply::Short(length) = self.reply.get() {
            answer.truncate(length);
        }
        answer
    }

    async fn finish(&self) -> Vec<String> {
        let batches = self.batches.borrow().len();
        self.finished.borrow_mut().push(batches);
        if self.finishes_never.get() {
            std::future::pending::<()>().await;
        }
        vec![]
    }
}

/// One run of a function that may apply, under a policy for everything with
/// these further lines.
pub(crate) async fn apply(stage: &Stage, more_policy: &str) -> Report {
    let setting = Setting::of(Mode::Apply);
    let policy = policy(more_policy);
    let run = setting.run::<Scripted>(stage, &policy, woken::<Scripted>(String::new()));
    run.await.report
}

/// The outcome of each target's line.
pub(crate) fn outcomes(report: &Report) -> BTreeMap<&str, ActionOutcome> {
    report
        .actions
        .iter()
        .map(|line| (last_part(&line.resource), line.outcome))
        .collect()
}

/// Why the line of a target ended as it did.
pub(crate) fn why<'a>(report: &'a Report, target: &str) -> &'a str {
    let line = report
        .actions
        .iter()
        .find(|line| last_part(&line.resource) == target);
    line.and_then(|line| line.error.as_deref())
        .unwrap_or_default()
}

fn last_part(resource: &str) -> &str {
    resource.rsplit('/').next().unwrap_or(resource)
}
