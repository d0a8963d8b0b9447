//! What is true, without SDK types: alarms, what they are about, and what is remembered
//! of both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward::hold::{self, Hold};
use steward::ledger::Raise;
use steward::names;

use crate::case::{Attempts, Case};

/// The tag by which an alarm is selected, names what it is about, or is left alone.
pub const REMEDIATION: &str = "steward:remediation";

/// Everything that was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// What is remembered; `None` when there is no ledger, or it could not be read.
    pub memory: Option<Memory>,
    /// The alarms that were asked for and are there, by ARN.
    pub alarms: BTreeMap<String, Alarm>,
    /// The alarms that were asked for and are not there, by ARN or name.
    pub absent_alarms: BTreeSet<String>,
    /// The services that were looked at, by `CLUSTER/SERVICE`.
    pub services: BTreeMap<String, Service>,
    /// The Auto Scaling groups that were looked at, by name.
    pub groups: BTreeMap<String, Group>,
    /// The container instances that were looked at, by ARN.
    pub instances: BTreeMap<String, Instance>,
    /// The databases that were looked at, by identifier.
    pub databases: BTreeMap<String, Database>,
    /// What was looked for and is not there.
    pub absent: BTreeSet<Target>,
}

/// What is remembered from one run to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The open cases by key, with the versions of their entries.
    pub cases: BTreeMap<String, (u64, Case)>,
    /// What was tried, by what it counts for.
    pub attempts: BTreeMap<Target, Attempts>,
    /// What was tried in all of the account, the last hour.
    pub of_all: Attempts,
    /// What is larger than usual for a while, by ARN; only where a case that the run works
    /// on raised something.
    pub raises: BTreeMap<String, Raise>,
    /// The keys of entries that cannot be understood.
    pub malformed: BTreeSet<String>,
}

/// What an alarm is about and a remedy is done to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A service of Amazon ECS.
    Service {
        /// The name of its cluster.
        cluster: String,
        /// Its name.
        service: String,
    },
    /// An Auto Scaling group, by its name.
    Group(String),
    /// A container instance of Amazon ECS.
    Instance {
        /// The name of its cluster.
        cluster: String,
        /// Its ARN, or the id of its EC2 instance.
        instance: String,
    },
    /// An RDS instance, by its identifier.
    Database(String),
}

impl Target {
    /// What policies, reports and guards call it.
    pub fn name(&self) -> String {
        match self {
            Self::Service { cluster, service } => format!("{cluster}/{service}"),
            Self::Group(name) | Self::Database(name) => name.clone(),
            Self::Instance { cluster, instance } => {
                let id = instance.rsplit('/').next().unwrap_or(instance);
                format!("{cluster}/{id}")
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { cluster, service } => write!(f, "service:{cluster}/{service}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Instance { cluster, instance } => write!(f, "instance:{cluster}/{instance}"),
            Self::Database(id) => write!(f, "database:{id}"),
        }
    }
}

/// A text that names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" names no target; allowed: service:CLUSTER/SERVICE, group:NAME, database:IDENTIFIER"
)]
pub struct NoTarget(String);

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let (kind, name) = text.split_once(':').unwrap_or_default();
        let pair = || {
            let (cluster, name) = name.split_once('/')?;
            (!cluster.is_empty() && !name.is_empty()).then_some((cluster.to_owned(), name))
        };
        let target = match kind {
            "service" => pair().and_then(|(cluster, service)| {
                let service = service.to_owned();
                (!service.contains('/')).then_some(Self::Service { cluster, service })
            }),
            "instance" => pair().map(|(cluster, instance)| Self::Instance {
                cluster,
                instance: instance.to_owned(),
            }),
            "group" if !name.is_empty() => Some(Self::Group(name.to_owned())),
            "database" if !name.is_empty() => Some(Self::Database(name.to_owned())),
            _ => None,
        };
        target.ok_or_else(|| NoTarget(text.to_owned()))
    }
}

impl Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What is wrong with a target, as an alarm's metrics tell it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// The tasks of a service use much CPU or memory.
    Busy,
    /// A service answers with errors, or late.
    Errors,
    /// Targets or tasks of a service are unhealthy, or too few.
    Unhealthy,
    /// The tasks of a cluster have reserved nearly all of it.
    NoRoom,
    /// An instance fails its status checks.
    Impaired,
    /// The ECS agent of an instance is not connected.
    AgentLost,
    /// A database has little storage left.
    StorageLow,
    /// A database has many connections.
    Connections,
    /// A database uses much CPU or memory, or answers late.
    DatabaseBusy,
    /// Something else.
    Other,
}

/// One thing that an alarm is about, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Concern {
    /// What.
    pub target: Target,
    /// What is wrong with it.
    pub symptom: Symptom,
}

/// The state of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Within its threshold.
    Ok,
    /// Outside its threshold.
    Alarm,
    /// Not enough data, or a state that is new.
    NoData,
}

/// Whether an alarm's actions are kept still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// They are not.
    No,
    /// A mute rule keeps them still.
    Muted {
        /// The rule.
        by: String,
    },
    /// The alarm that suppresses it does.
    Suppressed {
        /// Why, in CloudWatch's words.
        why: String,
    },
    /// Nobody knows: it could not be read.
    Unread,
}

/// An alarm as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Since when it has it.
    pub since: Timestamp,
    /// Why, in CloudWatch's words.
    pub why: String,
    /// Whether it watches nothing yet but what `treatMissingData` makes of nothing: it
    /// has been in alarm since it was made, without one datapoint.
    pub is_of_its_making: bool,
    /// Its tags; `None` when they could not be read.
    pub tags: Option<BTreeMap<String, String>>,
    /// Whether its actions are kept still.
    pub quiet: Quiet,
    /// Whether one of its actions is that of a scaling policy.
    pub is_of_scaling: bool,
    /// Whether it watches Steward itself.
    pub is_of_steward: bool,
    /// What it is about, by its dimensions, its tag or the policy; of a composite alarm
    /// what its children in alarm are about.
    pub concerns: Vec<Concern>,
    /// What of that could not be found out.
    pub unread: Vec<String>,
}

/// What is common to all targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    /// The hold in force.
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        let tags = self.0.iter();
        hold::hold_of(tags.map(|(key, value)| (key.as_str(), value.as_str())), now)
    }

    /// Whether it was parked on purpose.
    pub fn is_parked(&self) -> bool {
        self.0.contains_key(names::PARKED)
    }
}

/// How a service is deployed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deployer {
    /// By ECS, rolling.
    #[default]
    Rolling,
    /// By ECS, blue/green, linear or canary.
    Shifting,
    /// By `CodeDeploy` or somebody else.
    Another,
}

/// A deployment of a service (`ServiceDeployment`, Amazon ECS API Reference).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its ARN.
    pub arn: String,
    /// The service revision that it is to bring.
    pub revision: String,
    /// The task definition of that, where known.
    pub task_definition: String,
    /// Since when.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// As ECS says it: `IN_PROGRESS`, `SUCCESSFUL`, `ROLLBACK_IN_PROGRESS` ….
    pub status: String,
    /// How many tasks of it have failed.
    pub failed_tasks: u32,
}

impl Deployment {
    /// Whether it goes back already.
    pub fn is_rolling_back(&self) -> bool {
        matches!(
            self.status.as_str(),
            "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" | "STOP_REQUESTED"
        )
    }

    /// Whether it has brought its revision.
    pub fn is_successful(&self) -> bool {
        self.status == "SUCCESSFUL"
    }
}

/// A service revision, as far as going back to it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its ARN.
    pub arn: String,
    /// Its task definition.
    pub task_definition: String,
    /// The digest of the image of each container, by the container's name.
    pub digests: BTreeMap<String, String>,
}

/// A service of Amazon ECS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its ARN.
    pub arn: String,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: String,
    /// Its tags.
    pub tags: Tags,
    /// How many tasks are asked for.
    pub desired: u32,
    /// How many run.
    pub running: u32,
    /// How it is deployed.
    pub deployer: Deployer,
    /// Whether each instance has one task of it.
    pub is_daemon: bool,
    /// How long ECS does not look at the health of a task that has started, seconds.
    pub grace_seconds: u32,
    /// The least share of tasks that deployments leave, percent of the desired.
    pub min_healthy_percent: u32,
    /// The deployment under way.
    pub under_way: Option<Deployment>,
    /// The newest deployment that has ended, however it did.
    pub newest: Option<Deployment>,
    /// The last deployment that brought what runs.
    pub last: Option<Deployment>,
    /// What ran before that: the target of the successful deployment before.
    pub before_last: Option<Revision>,
    /// Whether what was last deployed had run before that already: somebody went back.
    pub went_back: bool,
    /// What Application Auto Scaling may do with it.
    pub scalable: Option<Scalable>,
    /// The tasks that run.
    pub tasks: Vec<Task>,
    /// What its targets are, of all target groups.
    pub targets: Targets,
    /// Why tasks stopped lately, other than by a person or a deployment: code and
    /// reason, the newest first.
    pub stopped: Vec<String>,
    /// Why tasks cannot be placed, in ECS's words; the newest.
    pub no_place: Option<String>,
    /// The Auto Scaling groups that give it capacity.
    pub groups: Vec<String>,
}

/// A scalable target of Application Auto Scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalable {
    /// The least tasks.
    pub min: u32,
    /// The most tasks.
    pub max: u32,
}

/// A task that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its ARN.
    pub arn: String,
    /// Since when it runs.
    pub started: Option<Timestamp>,
    /// Whether its own checks, or those of a target group, say that it is not well.
    pub is_unhealthy: bool,
}

/// How the targets of a service are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// How many are healthy.
    pub healthy: u32,
    /// Those that are not, with the reason's code: one line each.
    pub unhealthy: Vec<String>,
}

/// An Auto Scaling group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its ARN.
    pub arn: String,
    /// Its tags.
    pub tags: Tags,
    /// The least instances.
    pub min: u32,
    /// How many are asked for.
    pub desired: u32,
    /// The most.
    pub max: u32,
    /// The ids of its instances that are in service and healthy.
    pub in_service: BTreeSet<String>,
    /// Whether a capacity provider of ECS with managed scaling moves its desired
    /// capacity.
    pub is_managed: bool,
    /// How many of its instances have an agent that is connected, and take tasks.
    pub connected: u32,
}

/// A container instance of Amazon ECS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its ARN.
    pub arn: String,
    /// The id of its EC2 instance.
    pub ec2: String,
    /// The name of its cluster.
    pub cluster: String,
    /// The name of its Auto Scaling group.
    pub group: Option<String>,
    /// As ECS says it: `ACTIVE`, `DRAINING` ….
    pub status: String,
    /// Whether its agent is connected.
    pub is_connected: bool,
    /// How many tasks run on it.
    pub tasks: u32,
    /// Whether it came from a capacity provider, and so from an Auto Scaling group.
    pub is_of_provider: bool,
    /// Its tags.
    pub tags: Tags,
}

/// An RDS instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// Its ARN.
    pub arn: String,
    /// What it is, in any account and Region.
    pub resource_id: String,
    /// As RDS tells it, such as `available`.
    pub status: String,
    /// Its tags.
    pub tags: Tags,
    /// Its storage, GiB.
    pub storage_gib: u32,
    /// What its storage is to be, GiB, where RDS has taken a change that is not made yet.
    pub grows_to_gib: Option<u32>,
    /// Up to where RDS grows it by itself, GiB.
    pub autoscales_to_gib: Option<u32>,
    /// Its class, such as `db.t4g.medium`.
    pub class: String,
    /// The class that it is being given.
    pub next_class: Option<String>,
    /// The Aurora cluster that it is a member of.
    pub cluster: Option<String>,
    /// What RDS has said of it lately, the newest first.
    pub events: Vec<String>,
}

impl Database {
    /// The class that it has once RDS has done what it was asked for.
    pub fn class_to_be(&self) -> &str {
        self.next_class.as_deref().unwrap_or(&self.class)
    }

    /// Whether it has so much storage, or RDS has taken the change that gives it as much.
    pub fn will_have(&self, gib: u32) -> bool {
        self.storage_gib >= gib || self.grows_to_gib.is_some_and(|to| to >= gib)
    }
}
