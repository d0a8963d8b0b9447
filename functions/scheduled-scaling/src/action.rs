//! What scheduled-scaling changes, complete: acting makes no choices.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use steward::engine::ActionView;
use steward::policy::Period;

use crate::calendar::Wanted;
use crate::due::Applied;
use crate::world::{Kind, Progress, Resource, Sizes, Suspended, World};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Writes into the ledger how far an environment is.
    Note(Note),
    /// Writes into the ledger what a person asks for.
    SetOverride(Overriding),
    /// Ends what a person asked for.
    EndOverride {
        /// Of which environment.
        environment: String,
    },
    /// Gives a service other sizes.
    SetService(Setting),
    /// Gives an Auto Scaling group other sizes.
    SetGroup(Setting),
    /// Makes a snapshot of a database before it sleeps.
    SnapshotDatabase(Snapshotting),
    /// Stops a database.
    ParkDatabase(Subject),
    /// Starts a database.
    WakeDatabase(Subject),
    /// Forgets that a resource was parked or sized.
    Unmark(Subject),
}

/// A resource, and the transition of its environment that a change is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its environment.
    pub environment: String,
    /// The transition; what the ledger says must be the same when it is acted on.
    pub transition: Applied,
    /// Its ARN.
    pub arn: String,
    /// What policies call it.
    pub name: String,
}

/// See [`Action::Note`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The environment.
    pub environment: String,
    /// The version of what the ledger says of it; `None` when it says nothing.
    pub version: Option<u64>,
    /// What is noted.
    pub what: Noted,
}

/// What is noted of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noted {
    /// It is seen for the first time, when its schedules say this.
    Seen {
        /// What they say.
        to: Wanted,
    },
    /// A transition begins.
    Begun {
        /// Which.
        to: Applied,
        /// The first step that has anything to do.
        step: u32,
    },
    /// Another step is under way.
    Step {
        /// Which, from 0.
        step: u32,
    },
    /// A person was told that it takes long.
    Told,
    /// Everything is as the transition asked.
    Finished,
    /// A transition was due too long ago and is left out.
    PassedOver {
        /// Which.
        to: Applied,
    },
}

impl Noted {
    /// What the ledger says afterwards.
    pub fn after(&self, before: Option<&Progress>, now: Timestamp) -> Option<Progress> {
        let begin = |last: Applied, finished, step| Progress {
            last,
            finished,
            step,
            step_since: now,
            told: false,
        };
        match self {
            Self::Seen { to } => {
                let last = Applied {
                    at: now,
                    to: to.clone(),
                };
                Some(begin(last, true, 0))
            }
            Self::Begun { to, step } => Some(begin(to.clone(), false, *step)),
            Self::PassedOver { to } => Some(begin(to.clone(), true, 0)),
            Self::Step { step } => before.map(|before| Progress {
                step: *step,
                step_since: now,
                told: false,
                ..before.clone()
            }),
            Self::Told => before.map(|before| Progress {
                told: true,
                ..before.clone()
            }),
            Self::Finished => before.map(|before| Progress {
                finished: true,
                told: false,
                ..before.clone()
            }),
        }
    }

    /// Whether this is what the ledger says.
    fn is_said_by(&self, progress: &Progress) -> bool {
        match self {
            Self::Seen { .. } => true,
            Self::Begun { to, .. } | Self::PassedOver { to } => progress.last == *to,
            Self::Step { step } => progress.step == *step,
            Self::Told => progress.told,
            Self::Finished => progress.finished,
        }
    }
}

/// See [`Action::SetOverride`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overriding {
    /// Of which environment.
    pub environment: String,
    /// What is asked for.
    pub to: Wanted,
    /// For how long, from when it is written.
    #[serde(rename = "for")]
    pub lasts: Period,
    /// Who asks.
    pub by: String,
    /// Why.
    pub why: String,
}

/// In which direction sizes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To nothing.
    Park,
    /// Back from nothing.
    Wake,
    /// From one size to another.
    Resize,
}

/// Other sizes for a service or group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Whose.
    pub of: Subject,
    /// In which direction they go.
    pub direction: Direction,
    /// The sizes that it has.
    pub from: Sizes,
    /// The sizes that it gets; what is left out stays.
    pub to: Sizes,
    /// The sizes that are remembered meanwhile; `None`: nothing is, any more.
    pub remember: Option<Sizes>,
}

/// See [`Action::SnapshotDatabase`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshotting {
    /// Of which database.
    pub of: Subject,
    /// What it is, in any account and Region.
    pub resource_id: String,
    /// The name of the snapshot.
    pub snapshot: String,
}

/// Every action kind, for the contract section of the README.
pub const ACTION_KINDS: &[&str] = &[
    "remember_environment",
    "begin_transition",
    "record_step",
    "record_overdue",
    "finish_transition",
    "pass_over_transition",
    "set_override",
    "end_override",
    "park_service",
    "wake_service",
    "resize_service",
    "park_group",
    "wake_group",
    "resize_group",
    "snapshot_database",
    "park_database",
    "wake_database",
    "unmark",
];

impl Action {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Note(note) => match note.what {
                Noted::Seen { .. } => "remember_environment",
                Noted::Begun { .. } => "begin_transition",
                Noted::Step { .. } => "record_step",
                Noted::Told => "record_overdue",
                Noted::Finished => "finish_transition",
                Noted::PassedOver { .. } => "pass_over_transition",
            },
            Self::SetOverride(_) => "set_override",
            Self::EndOverride { .. } => "end_override",
            Self::SetService(setting) => match setting.direction {
                Direction::Park => "park_service",
                Direction::Wake => "wake_service",
                Direction::Resize => "resize_service",
            },
            Self::SetGroup(setting) => match setting.direction {
                Direction::Park => "park_group",
                Direction::Wake => "wake_group",
                Direction::Resize => "resize_group",
            },
            Self::SnapshotDatabase(_) => "snapshot_database",
            Self::ParkDatabase(_) => "park_database",
            Self::WakeDatabase(_) => "wake_database",
            Self::Unmark(_) => "unmark",
        }
    }

    /// The environment that it is about.
    pub fn environment(&self) -> &str {
        match self {
            Self::Note(Note { environment, .. })
            | Self::SetOverride(Overriding { environment, .. })
            | Self::EndOverride { environment } => environment,
            Self::SetService(Setting { of, .. })
            | Self::SetGroup(Setting { of, .. })
            | Self::SnapshotDatabase(Snapshotting { of, .. })
            | Self::ParkDatabase(of)
            | Self::WakeDatabase(of)
            | Self::Unmark(of) => &of.environment,
        }
    }

    /// The resource that it is about; `None` where it is about what is remembered.
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Note(_) | Self::SetOverride(_) | Self::EndOverride { .. } => None,
            Self::SetService(Setting { of, .. })
            | Self::SetGroup(Setting { of, .. })
            | Self::SnapshotDatabase(Snapshotting { of, .. })
            | Self::ParkDatabase(of)
            | Self::WakeDatabase(of)
            | Self::Unmark(of) => Some(of),
        }
    }
}

/// Whether sizes are what was wanted, as far as that says something.
pub(crate) fn is_sized(has: Sizes, wanted: Sizes) -> bool {
    let is = |has: Option<u32>, wanted: Option<u32>| wanted.is_none() || has == wanted;
    let suspends = wanted.suspended.is_none() || has.suspended == wanted.suspended;
    is(has.min, wanted.min)
        && is(has.desired, wanted.desired)
        && is(has.max, wanted.max)
        && suspends
}

/// The sizes that a resource has; none of a database.
pub(crate) fn sizes_of(resource: &Resource) -> Sizes {
    match &resource.kind {
        Kind::Service(service) => Sizes {
            min: service.scalable.map(|scalable| scalable.min),
            desired: Some(service.desired),
            max: service.scalable.map(|scalable| scalable.max),
            suspended: service.scalable.map(|scalable| scalable.suspended),
        },
        Kind::Group(group) => Sizes {
            min: Some(group.min),
            desired: Some(group.desired),
            max: Some(group.max),
            suspended: None,
        },
        Kind::Database(_) => Sizes::default(),
    }
}

/// What a parked service has: with nothing to scale it, nothing scales it either.
pub(crate) fn nothing_of_service(has: Sizes) -> Sizes {
    Sizes {
        min: has.min.map(|_| 0),
        desired: Some(0),
        max: has.max.map(|_| 0),
        suspended: has.suspended.map(|_| Suspended::ALL),
    }
}

/// Whether the world already is as the action would leave it.
pub(crate) fn achieved(action: &Action, world: &World) -> bool {
    let resource = |of: &Subject| world.resources.get(&of.arn);
    let memory = world.memory.as_ref();
    match action {
        Action::Note(note) => memory
            .and_then(|memory| memory.environments.get(&note.environment))
            .is_some_and(|known| {
                note.version != Some(known.version) && note.what.is_said_by(&known.progress)
            }),
        Action::SetOverride(wanted) => memory
            .and_then(|memory| memory.overrides.get(&wanted.environment))
            .is_some_and(|asked| {
                let same = asked.what.to == wanted.to && asked.why == wanted.why;
                same && asked.what.until.duration_since(asked.what.from).as_secs()
                    == wanted.lasts.seconds()
                    && asked.by == wanted.by
            }),
        Action::EndOverride { environment } => {
            memory.is_some_and(|memory| !memory.overrides.contains_key(environment))
        }
        Action::SetService(setting) | Action::SetGroup(setting) => resource(&setting.of)
            .is_some_and(|found| {
                let is_marked = found.is_marked(&setting.of.environment);
                is_sized(sizes_of(found), setting.to) && is_marked == setting.remember.is_some()
            }),
        Action::SnapshotDatabase(wanted) => {
            resource(&wanted.of).is_some_and(|found| match &found.kind {
                Kind::Database(database) => database
                    .snapshots
                    .as_ref()
                    .is_some_and(|all| all.contains_key(&wanted.snapshot)),
                _ => false,
            })
        }
        Action::ParkDatabase(of) => resource(of).is_some_and(|found| match &found.kind {
            Kind::Database(database) => {
                found.is_marked(&of.environment)
                    && matches!(database.status.as_str(), "stopping" | "stopped")
            }
            _ => false,
        }),
        Action::WakeDatabase(of) => resource(of).is_some_and(|found| match &found.kind {
            Kind::Database(database) => {
                !found.is_marked(&of.environment)
                    && !matches!(database.status.as_str(), "stopping" | "stopped")
            }
            _ => false,
        }),
        Action::Unmark(of) => resource(of).is_some_and(|found| !found.is_marked(&of.environment)),
    }
}

pub(crate) fn view(action: &Action) -> ActionView {
    let mut detail = Map::new();
    let mut put = |key: &str, value: serde_json::Value| detail.insert(key.to_owned(), value);
    let environment = action.environment().to_owned();
    put("environment", json!(environment));
    match action {
        Action::Note(note) => match &note.what {
            Noted::Seen { to } => {
                put("to", json!(to));
            }
            Noted::Begun { to, .. } | Noted::PassedOver { to } => {
                put("to", json!(to.to));
                put("due_at", json!(to.at));
            }
            Noted::Step { step } => {
                put("step", json!(step));
            }
            Noted::Told | Noted::Finished => {}
        },
        Action::SetOverride(wanted) => {
            put("to", json!(wanted.to));
            put("for", json!(wanted.lasts));
            put("by", json!(wanted.by));
            put("why", json!(wanted.why));
        }
        Action::SetService(setting) | Action::SetGroup(setting) => {
            put("from", json!(setting.from));
            put("to", json!(setting.to));
            put("remembered", json!(setting.remember));
        }
        Action::SnapshotDatabase(wanted) => {
            put("snapshot", json!(wanted.snapshot));
            put("resource_id", json!(wanted.resource_id));
        }
        Action::EndOverride { .. }
        | Action::ParkDatabase(_)
        | Action::WakeDatabase(_)
        | Action::Unmark(_) => {}
    }
    let target = action.subject().map_or(&environment, |of| &of.arn).clone();
    ActionView {
        resource: target.clone(),
        target,
        unit: environment,
        detail,
        elsewhere: None,
    }
}
