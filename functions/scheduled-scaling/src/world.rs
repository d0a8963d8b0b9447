//! What is true, without SDK types: how far environments are, and what they are made
//! of.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use steward::hold::{self, Hold};
use steward::names;

use crate::due::{Applied, Override};
use crate::names::Mark;

/// Everything that was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// What is remembered; `None` when there is no ledger, which only runs by hand can
    /// do without.
    pub memory: Option<Memory>,
    /// The Change Calendars that environments name, by name or ARN.
    pub change_calendars: BTreeMap<String, Gate>,
    /// What was looked at of each environment.
    pub looked_at: BTreeMap<String, Look>,
    /// The resources, as far as they were looked at, by ARN.
    pub resources: BTreeMap<String, Resource>,
    /// Whether it is not known what alarm-remediation has raised for a while.
    pub raises_unread: bool,
    /// What is remembered of resources that are in no member of an environment that
    /// was looked at, by ARN.
    pub strays: BTreeMap<String, Stray>,
}

/// Something that is remembered as parked, and that no member has any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Stray {
    /// What is remembered.
    pub saved: Saved,
    /// Whether it is gone: its kind was listed, all of it, and it was not there.
    pub is_gone: bool,
}

/// What is remembered from one run to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// How far each environment is.
    pub environments: BTreeMap<String, Remembered>,
    /// What persons asked for, against the schedules.
    pub overrides: BTreeMap<String, Asked>,
    /// The environments of which an entry cannot be understood.
    pub malformed: BTreeSet<String>,
}

/// How far an environment is with its last transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The last transition that was begun.
    pub last: Applied,
    /// Whether it was applied; else it was only seen, or due too long ago.
    pub applied: bool,
    /// Whether everything is as it asked, or nothing more is done about it.
    pub finished: bool,
    /// The step that is under way, from 0.
    pub step: u32,
    /// Since when it is.
    pub step_since: Timestamp,
    /// The transition of which a person was told, by when it was due.
    pub told_of: Option<Timestamp>,
}

/// [`Progress`], with the version of its entry in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The version.
    pub version: u64,
    /// What it says.
    pub progress: Progress,
}

/// What a person asked for, and who and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What, and for how long.
    #[serde(flatten)]
    pub what: Override,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

/// What a Change Calendar says (`GetCalendarState`, AWS Systems Manager API
/// Reference).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Changes are allowed.
    Open,
    /// They are not.
    Closed {
        /// Until when, when it says so.
        until: Option<Timestamp>,
    },
    /// It could not be read, which is as if it were closed.
    Unread,
}

/// How much of an environment is looked at in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// Only what is remembered.
    Memory,
    /// Its databases too, which AWS starts again after seven days.
    Databases,
    /// Everything.
    Whole,
}

/// Sizes of a service or group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sizes {
    /// The least: of a service what Application Auto Scaling has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// How many tasks or instances are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// The most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// What of a service's scaling was suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspended>,
}

/// What Application Auto Scaling does not do (`SuspendedState`, Application Auto
/// Scaling API Reference).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspended {
    /// Scaling in by a policy.
    #[serde(rename = "in")]
    pub scale_in: bool,
    /// Scaling out by a policy.
    #[serde(rename = "out")]
    pub scale_out: bool,
    /// What is scheduled there.
    pub scheduled: bool,
}

impl Suspended {
    /// Everything, as parked services have it.
    pub const ALL: Self = Self {
        scale_in: true,
        scale_out: true,
        scheduled: true,
    };

    /// The names in a [`Mark`].
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("in", self.scale_in),
            ("out", self.scale_out),
            ("scheduled", self.scheduled),
        ];
        all.into_iter().filter_map(|(name, is)| is.then_some(name))
    }

    /// Reads these names, with `+` between them; `none` is none.
    pub(crate) fn of_names(text: &str) -> Option<Self> {
        let mut all = Self::default();
        for name in text.split('+').filter(|name| *name != "none") {
            match name {
                "in" => all.scale_in = true,
                "out" => all.scale_out = true,
                "scheduled" => all.scheduled = true,
                _ => return None,
            }
        }
        Some(all)
    }
}

/// The sizes that a resource had, remembered while it has others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// Of which environment.
    pub environment: String,
    /// The sizes.
    pub sizes: Sizes,
    /// When that was written.
    pub at: Timestamp,
    /// The transition that it was for, by when that was due.
    pub transition: Timestamp,
    /// Why it has others.
    pub state: State,
}

/// Why a resource has other sizes than those that are remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is being parked.
    Parking,
    /// It was parked.
    Parked,
    /// It is being given a size of the policy.
    Sizing,
    /// It was given the size of this name.
    Sized(String),
}

impl State {
    /// Whether it sleeps, or was about to.
    pub fn is_parked(&self) -> bool {
        matches!(self, Self::Parking | Self::Parked)
    }
}

/// Something that sleeps and wakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its ARN.
    pub arn: String,
    /// What policies call it: `CLUSTER/SERVICE`, the name of a group, the identifier
    /// of a database.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What the ledger remembers of it.
    pub saved: Option<Saved>,
    /// The sizes that it had before alarm-remediation raised it for a while.
    pub raised_from: Option<Sizes>,
    /// What it is.
    pub kind: Kind,
}

/// What a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A service of Amazon ECS.
    Service(Service),
    /// An Auto Scaling group.
    Group(Group),
    /// An RDS instance.
    Database(Database),
}

/// A service of Amazon ECS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: String,
    /// How many tasks are asked for.
    pub desired: u32,
    /// How many run.
    pub running: u32,
    /// How many are on their way.
    pub pending: u32,
    /// Whether each instance has one task of it, so that it has no size of its own.
    pub is_daemon: bool,
    /// Whether ECS itself deploys; `CodeDeploy` or somebody else does otherwise.
    pub deployed_by_ecs: bool,
    /// Whether a deployment is under way.
    pub is_deploying: bool,
    /// What Application Auto Scaling may do with it.
    pub scalable: Option<Scalable>,
    /// How many targets each of its target groups has that are healthy; of services
    /// that wake and run.
    pub healthy: Vec<u32>,
}

/// A scalable target of Application Auto Scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalable {
    /// The least tasks.
    pub min: u32,
    /// The most tasks.
    pub max: u32,
    /// What is suspended.
    pub suspended: Suspended,
}

/// An Auto Scaling group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The least instances.
    pub min: u32,
    /// How many are asked for.
    pub desired: u32,
    /// The most.
    pub max: u32,
    /// How many there are, in any state.
    pub instances: u32,
    /// How many of them are in service and healthy.
    pub in_service: u32,
    /// How many of them are protected from scale-in.
    pub protected: u32,
    /// Whether a capacity provider of ECS with managed scaling moves its desired
    /// capacity.
    pub is_managed: bool,
    /// How many of them take tasks of a cluster; `None` when its cluster is not
    /// known, and unless it wakes and runs.
    pub registered: Option<u32>,
}

impl Service {
    /// Whether as many tasks run as are asked for.
    pub fn runs(&self) -> bool {
        self.running >= self.desired
    }
}

impl Group {
    /// How many instances are asked for: of a managed one the minimum, because the rest
    /// comes when tasks ask for it.
    pub fn least(&self) -> u32 {
        if self.is_managed {
            self.min
        } else {
            self.desired
        }
    }

    /// Whether so many are in service.
    pub fn runs(&self) -> bool {
        self.in_service >= self.least()
    }
}

/// An RDS instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// As RDS tells it, such as `available`.
    pub status: String,
    /// What it is, in any account and Region.
    pub resource_id: String,
    /// The cluster that it is a member of.
    pub cluster: Option<String>,
    /// The database that it is a replica of.
    pub replica_of: Option<String>,
    /// Its own replicas.
    pub replicas: BTreeSet<String>,
    /// Its engine, such as `postgres`.
    pub engine: String,
    /// Whether it has a standby in another Availability Zone.
    pub is_multi_az: bool,
    /// Manual snapshots of it by name, with their states; read where one is to be
    /// made.
    pub snapshots: Option<BTreeMap<String, String>>,
}

impl Resource {
    /// The hold in force.
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        let tags = self.tags.iter();
        hold::hold_of(tags.map(|(key, value)| (key.as_str(), value.as_str())), now)
    }

    /// The environment that its tag names.
    pub fn environment(&self) -> Option<&str> {
        let tagged = self.tags.get(names::ENVIRONMENT).map(String::as_str);
        tagged.filter(|name| !name.is_empty())
    }

    /// What its tag says of when and how it was parked.
    pub fn mark(&self) -> Option<Mark> {
        self.tags.get(names::PARKED)?.parse().ok()
    }

    /// What is remembered of it: by the ledger or by its tag, whichever is newer. The
    /// tag of a resource that runs proves nothing where there is a ledger: templates
    /// copy tags.
    pub fn remembered(&self, has_ledger: bool) -> Option<Saved> {
        let mark = self.mark().filter(|_| !has_ledger || self.is_at_nothing());
        let of_tag = mark.map(|mark| Saved {
            environment: self.environment().unwrap_or_default().to_owned(),
            sizes: mark.sizes,
            at: mark.at,
            transition: mark.at,
            state: State::Parked,
        });
        match (&self.saved, of_tag) {
            (Some(saved), Some(tag)) if tag.at > saved.at && tag.sizes.is_known() => Some(tag),
            (Some(saved), _) => Some(saved.clone()),
            (None, tag) => tag,
        }
    }

    /// Whether nothing of it runs or is asked for.
    pub fn is_at_nothing(&self) -> bool {
        match &self.kind {
            Kind::Service(service) => {
                let bounded = service.scalable.is_some_and(|scalable| scalable.max == 0);
                service.desired == 0 || bounded
            }
            Kind::Group(group) => group.min == 0 && (group.is_managed || group.desired == 0),
            Kind::Database(database) => {
                matches!(
                    database.status.as_str(),
                    "stopped" | "stopping" | "starting"
                )
            }
        }
    }

    /// Whether anything says that it is parked or sized.
    pub fn is_marked(&self) -> bool {
        self.tags.contains_key(names::PARKED) || self.saved.is_some()
    }
}

impl Sizes {
    /// Whether it says anything.
    pub fn is_known(self) -> bool {
        self.desired.is_some() || self.min.is_some()
    }
}

impl Memory {
    /// What a person asked for that is not over.
    pub fn override_of(&self, environment: &str) -> Option<&Override> {
        self.overrides.get(environment).map(|asked| &asked.what)
    }
}
