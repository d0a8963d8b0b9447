//! What woke us: one tolerant parser for everything that AWS sends to a function,
//! and for the form in which a person calls one.
//!
//! Tolerance has two sides here. A field that is absent, odd or new never sinks
//! an event that can still be used: it is noted in the event's `warnings`. But
//! an event is never taken for another kind than it is, and what cannot be
//! understood is an error that says what came and what was expected.
//!
//! This must never decide anything, read AWS, or put values of a payload into a
//! message: payloads may hold secrets, so messages name keys and kinds only.
//! (Detail types, sources, the mode and numbers of records are repeated, cut short.)
//!
//! The types are our own because the shapes of the crate `aws_lambda_events`
//! are stricter than what AWS sends: its alarm types fail on metric math,
//! anomaly bands, composite alarms without a suppressor and periods above
//! 65,535 s, and a payload that fails to deserialise never reaches a handler.

mod alarm;
mod arn;
mod ecr;
mod ecs;
mod envelope;
mod fields;
mod manual;
mod open_enum;
mod rds;
mod schedule;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use alarm::{
    AlarmChange, AlarmConfiguration, AlarmContributor, AlarmEvent, AlarmKind, AlarmMetric,
    AlarmRoute, AlarmState, ConfigurationOperation, Metric, Mute, ReasonData, ReasonDetails,
    SuppressedBy, Suppression, TriggeringAlarm,
};
pub use arn::Arn;
pub use ecr::{EcrImageAction, EcrImageEvent, EcrResult, EcrScanEvent, EcrScanStatus};
pub use ecs::{
    ContainerInstanceStatus, EcsContainerInstanceEvent, EcsDeploymentEvent, EcsDeploymentEventName,
    EcsService, EcsServiceActionEvent, EcsServiceActionName, EcsSeverity,
};
pub use envelope::Envelope;
pub use manual::ManualEvent;
pub use rds::{RdsEvent, RdsSubject};
pub use schedule::ScheduleEvent;

use envelope::Delivered;
use fields::{Notes, kind_of};

/// Whether a run may change anything.
///
/// The order is that of power: an event may lower a function's own leash, and
/// one that asks for more is refused.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Look, decide and report; change nothing.
    Plan,
    /// Change what the plan says.
    Apply,
}

impl Mode {
    /// `plan` or `apply`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mode \"{0}\" is not one of \"plan\" and \"apply\"")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    /// Exact words only: a mode that somebody misspelt must not be guessed.
    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        match word {
            "plan" => Ok(Self::Plan),
            "apply" => Ok(Self::Apply),
            other => Err(UnknownMode(cut(other))),
        }
    }
}

/// What caused a run, in the words of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A schedule, by rule or by EventBridge Scheduler.
    Schedule,
    /// A CloudWatch alarm, by whichever route.
    Alarm,
    /// Any other event of AWS.
    Event,
    /// The manual form, called by a person or another program.
    Manual,
    /// The `steward` binary; no event has this trigger.
    Cli,
}

/// Everything that can wake a function.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one event per run; a box would only be in the way of matching"
)]
pub enum Event {
    /// A CloudWatch alarm, by EventBridge, by direct action or by SNS.
    Alarm(AlarmEvent),
    /// A schedule without a payload of its own.
    Schedule(ScheduleEvent),
    /// Something an ECS service did or failed to do.
    EcsServiceAction(EcsServiceActionEvent),
    /// A step of an ECS service's deployment.
    EcsDeployment(EcsDeploymentEvent),
    /// A change of an ECS container instance or its agent.
    EcsContainerInstance(EcsContainerInstanceEvent),
    /// Something that happened to a database, a cluster or a snapshot.
    Rds(RdsEvent),
    /// An image pushed, deleted or archived.
    EcrImage(EcrImageEvent),
    /// An image scan that ended.
    EcrScan(EcrScanEvent),
    /// Our own form: by hand, or the payload of EventBridge Scheduler.
    Manual(ManualEvent),
}

impl Event {
    /// The word for the report.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        match self {
            Self::Alarm(_) => Trigger::Alarm,
            Self::Schedule(_) => Trigger::Schedule,
            Self::EcsServiceAction(_)
            | Self::EcsDeployment(_)
            | Self::EcsContainerInstance(_)
            | Self::Rds(_)
            | Self::EcrImage(_)
            | Self::EcrScan(_) => Trigger::Event,
            Self::Manual(manual) if manual.is_scheduled() => Trigger::Schedule,
            Self::Manual(_) => Trigger::Manual,
        }
    }

    /// What kind of event this is, for messages such as "image-pruning does not
    /// take … events".
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Alarm(_) => "CloudWatch alarm",
            Self::Schedule(_) => "Scheduled Event",
            Self::EcsServiceAction(_) => "ECS Service Action",
            Self::EcsDeployment(_) => "ECS Deployment State Change",
            Self::EcsContainerInstance(_) => "ECS Container Instance State Change",
            Self::Rds(event) => event.subject.detail_type(),
            Self::EcrImage(_) => "ECR Image Action",
            Self::EcrScan(_) => "ECR Image Scan",
            Self::Manual(_) => "manual",
        }
    }

    /// What was odd about the event and could be tolerated, for the report.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Alarm(event) => &event.warnings,
            Self::Schedule(event) => &event.warnings,
            Self::EcsServiceAction(event) => &event.warnings,
            Self::EcsDeployment(event) => &event.warnings,
            Self::EcsContainerInstance(event) => &event.warnings,
            Self::Rds(event) => &event.warnings,
            Self::EcrImage(event) => &event.warnings,
            Self::EcrScan(event) => &event.warnings,
            Self::Manual(event) => &event.warnings,
        }
    }
}

/// Why a payload is no event of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Not even an object.
    #[error("expected an event as a JSON object, found {found}")]
    NotAnObject {
        /// The kind of value that came.
        found: &'static str,
    },

    /// An object in which nothing tells what it is.
    #[error(
        "expected an AWS event (\"detail-type\" with \"source\", \"alarmData\", or SNS \"Records\") \
         or the manual form (any of {}); found an object with the keys {keys}",
        manual::KEYS_IN_WORDS
    )]
    Unrecognised {
        /// Its keys.
        keys: String,
    },

    /// An EventBridge event of a kind no function takes.
    #[error(
        "no function takes events of source {event_source} with the detail-type {detail_type}; {known}"
    )]
    UnknownDetailType {
        /// As it came.
        event_source: String,
        /// As it came.
        detail_type: String,
        /// What would be understood instead.
        known: String,
    },

    /// Keys of the manual form beside those of an AWS event. Whichever was
    /// meant, ignoring the other could turn a plan into an apply.
    #[error("expected either an AWS event or the manual form, found both: {manual} beside {aws}")]
    Ambiguous {
        /// Keys of the manual form.
        manual: String,
        /// Keys that mark an AWS event.
        aws: String,
    },

    /// An event of a known kind that lacks what makes it usable.
    #[error("{event}: expected {expected}")]
    Missing {
        /// Kind of event.
        event: &'static str,
        /// What it lacks.
        expected: &'static str,
    },

    /// Records of another service than SNS.
    #[error("expected records of aws:sns, found records of {found}")]
    ForeignRecords {
        /// The service they are from.
        found: String,
    },

    /// SNS delivered something that is no alarm.
    #[error("SNS record {index}: expected the message of a CloudWatch alarm, found {found}")]
    NotAnAlarmMessage {
        /// Counted from 1.
        index: usize,
        /// What came instead.
        found: String,
    },

    /// A mode that does not exist.
    #[error(transparent)]
    Mode(#[from] UnknownMode),

    /// A key of the manual form with a value of another type.
    #[error("\"{key}\" must be {expected}, found {found}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },

    /// A key that differs from one of the manual form in case or separators.
    #[error("unknown key \"{found}\": did you mean \"{meant}\"?")]
    MisspeltKey {
        /// As it came.
        found: String,
        /// The key of the manual form.
        meant: &'static str,
    },
}

/// The sources and detail-types that are understood. Sources that begin with
/// `aws.` are reserved to AWS, so a pair cannot be forged by whoever may put
/// events on the bus ("`PutEvents`", Amazon EventBridge API Reference).
const KNOWN: [(&str, &str); 14] = [
    ("aws.cloudwatch", alarm::STATE_CHANGE),
    ("aws.cloudwatch", alarm::CONTRIBUTOR_STATE_CHANGE),
    ("aws.cloudwatch", alarm::CONFIGURATION_CHANGE),
    ("aws.events", schedule::DETAIL_TYPE),
    ("aws.scheduler", schedule::DETAIL_TYPE),
    ("aws.ecs", ecs::SERVICE_ACTION),
    ("aws.ecs", ecs::DEPLOYMENT_STATE_CHANGE),
    ("aws.ecs", ecs::CONTAINER_INSTANCE_STATE_CHANGE),
    ("aws.rds", rds::INSTANCE),
    ("aws.rds", rds::SNAPSHOT),
    ("aws.rds", rds::CLUSTER),
    ("aws.rds", rds::CLUSTER_SNAPSHOT),
    ("aws.ecr", ecr::IMAGE_ACTION),
    ("aws.ecr", ecr::IMAGE_SCAN),
];

/// Understands a payload.
///
/// An empty object is the manual form with every default: the function's main
/// operation, in the mode that its own leash gives.
///
/// # Errors
///
/// When the payload is neither an event of AWS that a function takes nor the
/// manual form, when it is both, or when it lacks what makes it usable.
pub fn parse(payload: &Value) -> Result<Event, EventError> {
    let Some(object) = payload.as_object() else {
        return Err(EventError::NotAnObject {
            found: kind_of(payload),
        });
    };
    let aws: Vec<&str> = ["detail-type", "alarmData", "Records"]
        .into_iter()
        .filter(|key| object.contains_key(*key))
        .collect();
    let manual: Vec<&str> = manual::KEYS
        .into_iter()
        .filter(|key| object.contains_key(*key))
        .collect();
    if !aws.is_empty() && !manual.is_empty() {
        return Err(EventError::Ambiguous {
            manual: quoted(manual),
            aws: quoted(aws),
        });
    }
    match aws.first().copied() {
        Some("detail-type") => parse_delivered(object),
        Some("alarmData") => alarm::parse_lambda_action(object).map(Event::Alarm),
        Some(_) => alarm::parse_sns(object).map(Event::Alarm),
        None if object.is_empty() || !manual.is_empty() => manual::parse(object).map(Event::Manual),
        None => Err(EventError::Unrecognised {
            keys: quoted(object.keys().map(String::as_str)),
        }),
    }
}

fn parse_delivered(object: &Map<String, Value>) -> Result<Event, EventError> {
    let text = |key| object.get(key).and_then(Value::as_str);
    let pair = (text("source"), text("detail-type"));
    let Some((source, detail_type)) = KNOWN
        .into_iter()
        .find(|(source, detail_type)| pair == (Some(source), Some(detail_type)))
    else {
        let sources = KNOWN.into_iter().filter(|known| pair.1 == Some(known.1));
        let sources = quoted(sources.map(|(source, _)| source));
        let known = if sources.is_empty() {
            format!(
                "known are {}",
                quoted(KNOWN.map(|(_, detail_type)| detail_type))
            )
        } else {
            format!("that detail-type is of source {sources}")
        };
        let named = |word: Option<&str>| word.map_or("(none)".to_owned(), |word| quoted([word]));
        return Err(EventError::UnknownDetailType {
            event_source: named(pair.0),
            detail_type: named(pair.1),
            known,
        });
    };
    let notes = Notes::default();
    let delivered = Delivered::read(object, detail_type, &notes);
    let mut event = match source {
        "aws.cloudwatch" => Event::Alarm(alarm::read_delivered(&delivered)?),
        "aws.ecs" => ecs::read(delivered)?,
        "aws.rds" => Event::Rds(rds::read(delivered)?),
        "aws.ecr" => ecr::read(delivered)?,
        _ => Event::Schedule(schedule::read(delivered)),
    };
    *event.warnings_mut() = notes.into_warnings();
    Ok(event)
}

impl Event {
    fn warnings_mut(&mut self) -> &mut Vec<String> {
        match self {
            Self::Alarm(event) => &mut event.warnings,
            Self::Schedule(event) => &mut event.warnings,
            Self::EcsServiceAction(event) => &mut event.warnings,
            Self::EcsDeployment(event) => &mut event.warnings,
            Self::EcsContainerInstance(event) => &mut event.warnings,
            Self::Rds(event) => &mut event.warnings,
            Self::EcrImage(event) => &mut event.warnings,
            Self::EcrScan(event) => &mut event.warnings,
            Self::Manual(event) => &mut event.warnings,
        }
    }
}

/// Words in quotes with commas between, each cut short, duplicates left out.
fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    /// Enough to recognise a payload by, and bounded whatever came.
    const MAX_WORDS: usize = 20;
    let mut list: Vec<String> = Vec::new();
    let mut left_out = false;
    for word in words {
        let word = format!("\"{}\"", cut(word));
        if list.contains(&word) {
            continue;
        }
        if list.len() == MAX_WORDS {
            left_out = true;
            break;
        }
        list.push(word);
    }
    if left_out {
        list.push("…".to_owned());
    }
    list.join(", ")
}

/// At most fifty characters of a word that came with the payload.
fn cut(word: &str) -> String {
    const MAX_CHARACTERS: usize = 50;
    let mut short: String = word.chars().take(MAX_CHARACTERS).collect();
    if short.len() < word.len() {
        short.push('…');
    }
    short
}
