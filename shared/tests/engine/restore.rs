//! A disaster recovery in miniature: steps that each need what the one before
//! has made, so that a later step cannot even be described yet.

use std::cell::RefCell;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use steward::engine::{
    Act, ActionView, After, Change, Decision, Effect, Function, Gap, Item, Observe, Outcome, Plan,
    PlanOf, RunLimits, ScopeError, Seen, UnitLimits, Wait,
};

use crate::support::{Limits, give_way};

/// What is to be recovered, chosen once and then fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    pub(crate) restore_id: String,
    pub(crate) snapshot: String,
    pub(crate) image: String,
}

impl Recovery {
    pub(crate) fn of_web() -> Self {
        Self {
            restore_id: "web-20261101".to_owned(),
            snapshot: "web-2026-10-31".to_owned(),
            image: "web@sha256:1".to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Database {
    pub(crate) id: String,
    /// Only one that is available has an endpoint.
    pub(crate) endpoint: Option<String>,
}

/// What there is of the recovery, found by its deterministic names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Site {
    pub(crate) databases: Vec<Database>,
    /// Task definitions: the endpoint and image of each.
    pub(crate) revisions: Vec<(String, String)>,
    /// The revision that the service runs, counted from 0.
    pub(crate) deployed: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    RestoreDatabase { id: String, snapshot: String },
    RegisterRevision { endpoint: String, image: String },
    DeployRevision { revision: usize },
}

impl Step {
    fn target(&self) -> &'static str {
        match self {
            Self::RestoreDatabase { .. } => "database",
            Self::RegisterRevision { .. } => "revision",
            Self::DeployRevision { .. } => "service",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Why {
    Recovered,
    NextStep,
    BeingMade,
    NeedsTheStepBefore,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recovered => "it is recovered",
            Self::NextStep => "it is the next step",
            Self::BeingMade => "AWS is making it",
            Self::NeedsTheStepBefore => "what it needs is made by the step before it",
        })
    }
}

impl steward::engine::Reason for Why {
    fn code(&self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::NextStep => "next_step",
            Self::BeingMade => "being_made",
            Self::NeedsTheStepBefore => "needs_step_before",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Restore;

impl Function for Restore {
    const NAME: &'static str = "restore";
    const OPERATIONS: &'static [&'static str] = &["restore"];
    const BATCH: usize = 1;
    type Policy = Limits;
    type Scope = Recovery;
    type World = Site;
    type Action = Step;
    type Reason = Why;

    fn scope(_: &steward::event::Event) -> Result<Recovery, ScopeError> {
        Ok(Recovery::of_web())
    }

    fn decide(_: &Limits, scope: &Recovery, seen: &Seen<Site>, _: Timestamp) -> PlanOf<Self> {
        let site = &seen.world;
        let database = site.databases.iter().find(|d| d.id == scope.restore_id);
        let endpoint = database.and_then(|d| d.endpoint.clone());
        let revision = endpoint.as_ref().and_then(|endpoint| {
            let wanted = (endpoint.clone(), scope.image.clone());
            site.revisions.iter().position(|r| *r == wanted)
        });
        let steps = [
            match (database, &endpoint) {
                (None, _) => act(Step::RestoreDatabase {
                    id: scope.restore_id.clone(),
                    snapshot: scope.snapshot.clone(),
                }),
                (Some(_), None) => (Why::BeingMade, Decision::Defer),
                (Some(_), Some(_)) => (Why::Recovered, Decision::Keep),
            },
            match (endpoint, revision) {
                (None, _) => (Why::NeedsTheStepBefore, Decision::Defer),
                (Some(endpoint), None) => act(Step::RegisterRevision {
                    endpoint,
                    image: scope.image.clone(),
                }),
                (Some(_), Some(_)) => (Why::Recovered, Decision::Keep),
            },
            match revision {
                None => (Why::NeedsTheStepBefore, Decision::Defer),
                Some(revision) if site.deployed == Some(revision) => {
                    (Why::Recovered, Decision::Keep)
                }
                Some(revision) => act(Step::DeployRevision { revision }),
            },
        ];
        let unfinished = steps.iter().any(|(_, d)| !matches!(d, Decision::Keep));
        let items = ["database", "revision", "service"]
            .into_iter()
            .zip(steps)
            .map(|(target, (reason, decision))| Item {
                unit: "recovery".to_owned(),
                target: target.to_owned(),
                since: None,
                serves: true,
                reason,
                decision,
            });
        Plan {
            wait: unfinished.then(|| Wait {
                seconds: 30,
                what: "the next step of the recovery".to_owned(),
            }),
            ..Plan::of(items.collect())
        }
    }

    fn achieved(step: &Step, site: &Site) -> bool {
        match step {
            Step::RestoreDatabase { id, .. } => site.databases.iter().any(|d| d.id == *id),
            Step::RegisterRevision { endpoint, image } => {
                site.revisions.contains(&(endpoint.clone(), image.clone()))
            }
            Step::DeployRevision { revision } => site.deployed == Some(*revision),
        }
    }

    fn kind(step: &Step) -> &'static str {
        match step {
            Step::RestoreDatabase { .. } => "restore_database",
            Step::RegisterRevision { .. } => "register_revision",
            Step::DeployRevision { .. } => "deploy_revision",
        }
    }

    fn view(step: &Step) -> ActionView {
        ActionView {
            target: step.target().to_owned(),
            unit: "recovery".to_owned(),
            resource: step.target().to_owned(),
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

fn act(step: Step) -> (Why, Decision<Step>) {
    let change = Change {
        lane: "recovery".to_owned(),
        pass: 0,
        after: After::EarlierPasses,
        effect: Effect::Restore,
        action: step,
    };
    (Why::NextStep, Decision::Act(change))
}

/// The recovery Region. A database takes a tick to be available.
#[derive(Default)]
pub(crate) struct Region {
    pub(crate) site: RefCell<Site>,
    pub(crate) gaps: RefCell<Vec<Gap>>,
    /// What was really made, in order.
    pub(crate) made: RefCell<Vec<&'static str>>,
}

impl Region {
    /// Lets half a minute pass.
    pub(crate) fn tick(&self) {
        for database in &mut self.site.borrow_mut().databases {
            database.endpoint = Some(format!("{}.rds.example", database.id));
        }
    }
}

impl Observe<Restore> for Region {
    async fn observe(&self, _: &Limits, _: &Recovery) -> Seen<Site> {
        give_way(1).await;
        let world = self.site.borrow().clone();
        give_way(1).await;
        Seen {
            world,
            gaps: self.gaps.borrow().clone(),
            warnings: vec![],
        }
    }
}

impl Act<Restore> for Region {
    async fn act(&self, _: &Limits, batch: &[Step]) -> Vec<Outcome> {
        let mut outcomes = vec![];
        for step in batch {
            give_way(1).await;
            outcomes.push(self.make(step));
            give_way(1).await;
        }
        outcomes
    }
}

impl Region {
    /// Looks again just before it makes anything, as every adapter does.
    fn make(&self, step: &Step) -> Outcome {
        let mut site = self.site.borrow_mut();
        if Restore::achieved(step, &site) {
            return Outcome::AlreadyDone;
        }
        match step.clone() {
            Step::RestoreDatabase { id, .. } => {
                site.databases.push(Database { id, endpoint: None })
            }
            Step::RegisterRevision { endpoint, image } => site.revisions.push((endpoint, image)),
            Step::DeployRevision { revision } => {
                if revision >= site.revisions.len() {
                    return Outcome::Failed(format!("there is no revision {revision}"));
                }
                site.deployed = Some(revision);
            }
        }
        self.made.borrow_mut().push(step.target());
        Outcome::Done
    }
}
