//! Scheduled scaling in miniature: environments are parked and woken in order
//! over many ticks, and a size is saved before it is lowered.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use steward::engine::{
    Act, ActionView, After, Change, Decision, Effect, Function, Item, Observe, Outcome, Plan,
    PlanOf, RunLimits, ScopeError, Seen, UnitLimits, Wait,
};

use crate::support::{Limits, give_way};

/// Environments are awake in these hours (UTC).
const AWAKE: std::ops::Range<i8> = 8..18;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Database {
    Stopped,
    Starting,
    Available,
    Stopping,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Environment {
    /// The size of its service.
    pub(crate) size: u32,
    /// The size to wake up to; only a parked environment has one.
    pub(crate) saved: Option<u32>,
    /// Tasks that run; they follow the size from tick to tick.
    pub(crate) tasks: u32,
    pub(crate) database: Database,
}

impl Environment {
    pub(crate) fn awake(size: u32) -> Self {
        Self {
            size,
            saved: None,
            tasks: size,
            database: Database::Available,
        }
    }

    pub(crate) fn parked(saved: u32) -> Self {
        Self {
            size: 0,
            saved: Some(saved),
            tasks: 0,
            database: Database::Stopped,
        }
    }
}

/// Environments by name.
pub(crate) type World = BTreeMap<String, Environment>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    SaveSize(u32),
    SetSize(u32),
    StopDatabase,
    StartDatabase,
    ForgetSize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scale {
    pub(crate) environment: String,
    pub(crate) step: Step,
}

impl Scale {
    /// What the step is about: its saved size, its service or its database.
    fn part(&self) -> &'static str {
        match self.step {
            Step::SaveSize(_) | Step::ForgetSize => "saved-size",
            Step::SetSize(_) => "service",
            Step::StopDatabase | Step::StartDatabase => "database",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Why {
    AsTheScheduleSays,
    ToPark,
    ToWake,
    DatabaseBusy,
    TasksStillRun,
    DatabaseNotUp,
    ServiceNotUp,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsTheScheduleSays => "it is as the schedule says",
            Self::ToPark => "the schedule says parked",
            Self::ToWake => "the schedule says awake",
            Self::DatabaseBusy => "the database is on its way from one state to another",
            Self::TasksStillRun => "the database stops when no task is left",
            Self::DatabaseNotUp => "tasks start when the database is up",
            Self::ServiceNotUp => "the saved size is of use until the service has it",
        })
    }
}

impl steward::engine::Reason for Why {
    fn code(&self) -> &'static str {
        match self {
            Self::AsTheScheduleSays => "as_scheduled",
            Self::ToPark => "to_park",
            Self::ToWake => "to_wake",
            Self::DatabaseBusy => "database_busy",
            Self::TasksStillRun => "tasks_still_run",
            Self::DatabaseNotUp => "database_not_up",
            Self::ServiceNotUp => "service_not_up",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Scaling;

type Verdict = (Why, Option<(u8, Effect, Step)>);

impl Function for Scaling {
    const NAME: &'static str = "scaling";
    const OPERATIONS: &'static [&'static str] = &["scale"];
    const BATCH: usize = 1;
    type Policy = Limits;
    type Scope = ();
    type World = World;
    type Action = Scale;
    type Reason = Why;

    fn scope(_: &steward::event::Event) -> Result<(), ScopeError> {
        Ok(())
    }

    fn decide(_: &Limits, (): &(), seen: &Seen<World>, now: Timestamp) -> PlanOf<Self> {
        let hour = now.to_zoned(TimeZone::UTC).hour();
        let mut items = vec![];
        let mut at_rest = true;
        for (name, environment) in &seen.world {
            let verdicts = if AWAKE.contains(&hour) {
                decide_wake(environment)
            } else {
                decide_park(environment)
            };
            for (part, (reason, step)) in ["saved-size", "service", "database"]
                .into_iter()
                .zip(verdicts)
            {
                let kept = step.is_none() && matches!(reason, Why::AsTheScheduleSays);
                at_rest &= kept;
                let decision = match step {
                    Some((pass, effect, step)) => Decision::Act(Change {
                        lane: name.clone(),
                        pass,
                        after: After::EarlierPasses,
                        effect,
                        action: Scale {
                            environment: name.clone(),
                            step,
                        },
                    }),
                    None if kept => Decision::Keep,
                    None => Decision::Defer,
                };
                items.push(Item {
                    unit: name.clone(),
                    target: format!("{name}/{part}"),
                    since: None,
                    serves: true,
                    reason,
                    decision,
                });
            }
        }
        let wait = (!at_rest).then(|| Wait {
            seconds: 60,
            what: "the next step of an environment".to_owned(),
        });
        Plan {
            wait,
            ..Plan::of(items)
        }
    }

    fn achieved(action: &Scale, world: &World) -> bool {
        let Some(environment) = world.get(&action.environment) else {
            return false;
        };
        match action.step {
            Step::SaveSize(size) => environment.saved == Some(size),
            Step::SetSize(size) => environment.size == size,
            Step::StopDatabase => {
                matches!(environment.database, Database::Stopping | Database::Stopped)
            }
            Step::StartDatabase => {
                matches!(
                    environment.database,
                    Database::Starting | Database::Available
                )
            }
            Step::ForgetSize => environment.saved.is_none(),
        }
    }

    fn kind(action: &Scale) -> &'static str {
        match action.step {
            Step::SaveSize(_) => "save_size",
            Step::SetSize(_) => "set_size",
            Step::StopDatabase => "stop_database",
            Step::StartDatabase => "start_database",
            Step::ForgetSize => "forget_size",
        }
    }

    fn view(action: &Scale) -> ActionView {
        let target = format!("{}/{}", action.environment, action.part());
        ActionView {
            target: target.clone(),
            unit: action.environment.clone(),
            resource: target,
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

/// Saved size, service and database of an environment that should be parked.
fn decide_park(environment: &Environment) -> [Verdict; 3] {
    let fine = (Why::AsTheScheduleSays, None);
    let act = |pass, step| (Why::ToPark, Some((pass, Effect::Change, step)));
    let saved = match (environment.size, environment.saved) {
        (0, _) => fine.clone(),
        (size, Some(saved)) if saved == size => fine.clone(),
        (size, _) => act(0, Step::SaveSize(size)),
    };
    let service = match environment.size {
        0 => fine.clone(),
        _ => act(1, Step::SetSize(0)),
    };
    let database = match environment.database {
        Database::Stopped => fine,
        Database::Stopping | Database::Starting => (Why::DatabaseBusy, None),
        Database::Available if environment.size > 0 || environment.tasks > 0 => {
            (Why::TasksStillRun, None)
        }
        Database::Available => act(0, Step::StopDatabase),
    };
    [saved, service, database]
}

/// The same of one that should be awake. Nothing of it may be limited.
fn decide_wake(environment: &Environment) -> [Verdict; 3] {
    let fine = (Why::AsTheScheduleSays, None);
    let act = |pass, step| (Why::ToWake, Some((pass, Effect::Restore, step)));
    let up = environment.database == Database::Available;
    let database = match environment.database {
        Database::Available => fine.clone(),
        Database::Starting | Database::Stopping => (Why::DatabaseBusy, None),
        Database::Stopped => act(0, Step::StartDatabase),
    };
    let (service, saved) = match environment.saved {
        None => (fine.clone(), fine),
        Some(_) if !up => ((Why::DatabaseNotUp, None), (Why::ServiceNotUp, None)),
        Some(saved) if environment.size == 0 => {
            (act(0, Step::SetSize(saved)), act(1, Step::ForgetSize))
        }
        Some(_) => (fine, act(0, Step::ForgetSize)),
    };
    [saved, service, database]
}

/// Services and databases that take a tick to follow, and that notice when a
/// size is lowered without having been saved.
pub(crate) struct Account {
    pub(crate) world: RefCell<World>,
    /// What really changed, in order.
    pub(crate) changes: RefCell<Vec<String>>,
}

impl Account {
    pub(crate) fn of(world: World) -> Self {
        Self {
            world: RefCell::new(world),
            changes: RefCell::default(),
        }
    }

    /// Lets a minute pass.
    pub(crate) fn tick(&self) {
        for environment in self.world.borrow_mut().values_mut() {
            environment.tasks = environment.size;
            environment.database = match environment.database {
                Database::Starting | Database::Available => Database::Available,
                Database::Stopping | Database::Stopped => Database::Stopped,
            };
        }
    }
}

impl Observe<Scaling> for Account {
    async fn observe(&self, _: &Limits, (): &()) -> Seen<World> {
        give_way(1).await;
        let world = self.world.borrow().clone();
        give_way(1).await;
        Seen {
            world,
            ..Seen::default()
        }
    }
}

impl Act<Scaling> for Account {
    async fn act(&self, _: &Limits, batch: &[Scale]) -> Vec<Outcome> {
        let mut outcomes = vec![];
        for action in batch {
            give_way(action.environment.len()).await;
            let done = self.change(action);
            give_way(2).await;
            outcomes.push(if done {
                Outcome::Done
            } else {
                Outcome::AlreadyDone
            });
        }
        outcomes
    }
}

impl Account {
    fn change(&self, action: &Scale) -> bool {
        let mut world = self.world.borrow_mut();
        if Scaling::achieved(action, &world) {
            return false;
        }
        let name = &action.environment;
        let environment = world.get_mut(name).unwrap();
        match action.step {
            Step::SaveSize(size) => {
                assert!(size > 0, "{name}: a saved size is overwritten with zero");
                environment.saved = Some(size);
            }
            Step::SetSize(0) => {
                assert_eq!(
                    environment.saved,
                    Some(environment.size),
                    "{name}: a size is lowered that was not saved"
                );
                environment.size = 0;
            }
            Step::SetSize(size) => {
                assert_eq!(
                    environment.database,
                    Database::Available,
                    "{name}: tasks start without their database"
                );
                environment.size = size;
            }
            Step::StopDatabase => {
                assert_eq!(
                    environment.tasks, 0,
                    "{name}: the database stops under running tasks"
                );
                environment.database = Database::Stopping;
            }
            Step::StartDatabase => environment.database = Database::Starting,
            Step::ForgetSize => {
                assert_ne!(environment.size, 0, "{name}: the size is lost");
                environment.saved = None;
            }
        }
        self.changes
            .borrow_mut()
            .push(format!("{name}: {:?}", action.step));
        true
    }
}
