//! What a run is about: the open cases, every alarm, the alarms of an event, an instance
//! whose agent was lost, or a case whose remedy a person approves.

use serde::{Deserialize, Serialize};
use steward::engine::{ScopeError, names_in};
use steward::event::{AlarmEvent, EcsContainerInstanceEvent, ManualEvent};

use crate::case::Case;

/// The operation of a person's approval.
pub const APPROVE: &str = "approve";

/// The operation that looks at every alarm, for events that got lost.
pub const SWEEP: &str = "sweep";

/// What a run is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The open cases.
    OpenCases,
    /// These, and every alarm that is in alarm.
    Sweep,
    /// These alarms, whether a case is open or not.
    Alarms(Vec<Sighting>),
    /// A container instance.
    Instance {
        /// The name of its cluster.
        cluster: String,
        /// Its ARN.
        instance: String,
    },
    /// The case whose remedy a person approves: the end of its key, or the alarm's
    /// name.
    Approved(String),
}

/// An alarm that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    /// Its name.
    pub name: String,
    /// Its ARN, where the event has it.
    pub arn: Option<String>,
}

impl Scope {
    /// Whether a run works on an open case.
    pub(crate) fn covers(&self, key: &str, case: &Case) -> bool {
        match self {
            Self::OpenCases | Self::Sweep => true,
            Self::Alarms(sightings) => sightings.iter().any(|it| match &it.arn {
                Some(arn) => arn == key,
                None => it.name == case.name,
            }),
            Self::Instance { instance, .. } => instance == key,
            Self::Approved(name) => *name == case.name || name == key,
        }
    }

    /// The scope of an alarm's event.
    pub(crate) fn of_alarm(event: &AlarmEvent) -> Self {
        let sightings = event.all().map(|alarm| Sighting {
            name: alarm.name.clone(),
            arn: alarm.arn.as_ref().map(ToString::to_string),
        });
        Self::Alarms(sightings.collect())
    }

    /// The scope of an instance's event.
    pub(crate) fn of_instance(event: &EcsContainerInstanceEvent) -> Result<Self, ScopeError> {
        let instance = event.container_instance.to_string();
        // Old ARNs have no cluster in them.
        let of_arn = |arn: &str| {
            let mut parts = arn.rsplit('/');
            parts.next();
            parts.next().map(str::to_owned)
        };
        let of_cluster = |arn: String| arn.rsplit('/').next().map(str::to_owned);
        let cluster = event.cluster_arn.as_ref().map(ToString::to_string);
        let cluster = cluster.and_then(of_cluster);
        let cluster = cluster.or_else(|| {
            let name = of_arn(&instance)?;
            (!name.contains(':')).then_some(name)
        });
        let Some(cluster) = cluster else {
            return Err(ScopeError(
                "the event names no cluster; allowed: an event with detail.clusterArn".to_owned(),
            ));
        };
        Ok(Self::Instance { cluster, instance })
    }

    /// The scope of the main operation by hand: some alarms, or the open cases.
    pub(crate) fn of_remediate(manual: &ManualEvent) -> Result<Self, ScopeError> {
        let names = names_in(manual, "alarms", "names of alarms")?;
        let sighting = |name| Sighting { name, arn: None };
        Ok(names.map_or(Self::OpenCases, |names| {
            Self::Alarms(names.into_iter().map(sighting).collect())
        }))
    }

    /// The scope of a sweep by hand.
    pub(crate) fn of_sweep(manual: &ManualEvent) -> Result<Self, ScopeError> {
        match manual.parameters.keys().next() {
            None => Ok(Self::Sweep),
            Some(key) => Err(ScopeError(format!(
                "{key}: not a key of this event; allowed: operation, mode"
            ))),
        }
    }

    /// The scope of an approval.
    pub(crate) fn of_approval(manual: &ManualEvent) -> Result<Self, ScopeError> {
        if let Some(key) = manual.parameters.keys().find(|key| *key != "case") {
            return Err(ScopeError(format!(
                "{key}: not a key of this event; allowed: operation, mode, case"
            )));
        }
        let allowed = "allowed: the name of an alarm, or the key of its case";
        let case = manual.parameters.get("case");
        let case = case.ok_or_else(|| ScopeError(format!("case: missing; {allowed}")))?;
        match case.as_str().filter(|case| !case.trim().is_empty()) {
            Some(case) => Ok(Self::Approved(case.to_owned())),
            None => Err(ScopeError(format!(
                "case: {case} is not allowed; {allowed}"
            ))),
        }
    }
}
