//! CloudWatch alarms, by the three routes on which they reach a function.
//!
//! The routes write the same facts differently; [`AlarmEvent`] is the one form
//! of all of them. It must never be taken for the alarm's present state: alarms
//! fire once per transition, events repeat, arrive late and out of order, and
//! muted alarms still send theirs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::envelope::{Delivered, Envelope};
use super::fields::{Fields, Notes, kind_of, timestamp};
use super::open_enum::open_enum;
use super::{Arn, EventError, quoted};

pub(super) const STATE_CHANGE: &str = "CloudWatch Alarm State Change";
pub(super) const CONTRIBUTOR_STATE_CHANGE: &str = "CloudWatch Alarm Contributor State Change";
pub(super) const CONFIGURATION_CHANGE: &str = "CloudWatch Alarm Configuration Change";

const ALARM: &str = "CloudWatch alarm";

/// How an alarm reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmRoute {
    /// As an event of every alarm in the account, muted ones included. AWS:
    /// "Alarm events and EventBridge".
    EventBridge,
    /// As the alarm's own action. AWS: "Invoke a Lambda function from an alarm".
    LambdaAction,
    /// As a notification. AWS: "Notifying users on alarm changes".
    Sns,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AlarmChange {
    /// The alarm's state.
    State,
    /// The state of one time series of an alarm over many.
    ContributorState,
    /// The alarm itself was created, updated or deleted.
    Configuration(ConfigurationOperation),
}

open_enum! {
    /// What was done to an alarm's configuration.
    ConfigurationOperation {
        /// Created.
        Create = "create",
        /// Updated.
        Update = "update",
        /// Deleted.
        Delete = "delete",
    }
}

open_enum! {
    /// The state of an alarm.
    AlarmState {
        /// Within its threshold.
        Ok = "OK",
        /// Outside its threshold.
        Alarm = "ALARM",
        /// Not enough data to tell. Contributors never have this state.
        InsufficientData = "INSUFFICIENT_DATA",
    }
}

/// What kind of alarm it is, by its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    /// On one metric.
    Metric,
    /// On an expression over metrics.
    MetricMath,
    /// On an anomaly detection band.
    Anomaly,
    /// On a Metrics Insights query (`SELECT …`); has contributors.
    MetricsInsights,
    /// On the states of other alarms.
    Composite,
    /// On a scheduled query of logs.
    Log,
    /// On a `PromQL` query.
    PromQl,
    /// Configuration absent or of a kind that is new.
    Other,
}

/// One metric as an alarm refers to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metric {
    /// Such as `AWS/ApplicationELB`.
    pub namespace: Option<String>,
    /// Such as `HTTPCode_Target_5XX_Count`.
    pub name: Option<String>,
    /// Which of its time series. Not every alarm has dimensions.
    pub dimensions: BTreeMap<String, String>,
}

/// One entry of an alarm's metrics: a metric or an expression over the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmMetric {
    /// How expressions refer to it. Notifications of single-metric alarms have none.
    pub id: Option<String>,
    /// A metric math expression, an anomaly band or a Metrics Insights query.
    pub expression: Option<String>,
    /// The metric, when it isn't an expression.
    pub metric: Option<Metric>,
    /// Seconds; up to a week, and beyond what sixteen bits hold.
    pub period_seconds: Option<u64>,
    /// `Average`, `Sum`, `p90` … as the API spells it on every route.
    pub stat: Option<String>,
    /// Whether the alarm watches this entry. Anomaly alarms watch two.
    pub return_data: bool,
}

/// What an alarm watches, as far as its event tells. Thresholds and the treatment
/// of missing data are for `DescribeAlarms`: state changes do not carry them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmConfiguration {
    /// What kind of alarm it is.
    pub kind: AlarmKind,
    /// The alarm's description.
    pub description: Option<String>,
    /// Its metrics; empty for composite, log and `PromQL` alarms.
    pub metrics: Vec<AlarmMetric>,
    /// The rule of a composite alarm.
    pub composite_rule: Option<String>,
    /// Name or ARN of the alarm that suppresses a composite alarm's actions.
    pub actions_suppressor: Option<String>,
    /// How long a composite alarm waits for its suppressor.
    pub suppressor_wait_seconds: Option<u64>,
    /// How long it stays suppressed afterwards.
    pub suppressor_extension_seconds: Option<u64>,
}

/// The mute rule that keeps an alarm's actions still. The event is sent all the
/// same, and nothing is sent when the window ends: who honours a mute has to look
/// again at its end. AWS: "Configure alarm mute rules".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mute {
    /// The mute rule.
    pub by: Option<Arn>,
    /// Since when.
    pub window_start: Option<Timestamp>,
    /// Until when.
    pub window_end: Option<Timestamp>,
}

open_enum! {
    /// Why a composite alarm's actions are suppressed.
    SuppressedBy {
        /// It waits for its suppressor.
        WaitPeriod = "WaitPeriod",
        /// Its suppressor has ended only just now.
        ExtensionPeriod = "ExtensionPeriod",
        /// Its suppressor is in alarm.
        Alarm = "Alarm",
    }
}

/// A composite alarm's actions are suppressed; its event is sent all the same.
/// AWS: "Suppressing composite alarm actions".
#[derive(Clone, Debug, PartialEq)]
pub struct Suppression {
    /// By what.
    pub by: SuppressedBy,
    /// In CloudWatch's words.
    pub reason: Option<String>,
}

/// One time series of an alarm that watches many: the only place where such an
/// alarm names the resource. AWS: "`AlarmContributor`" (CloudWatch API Reference).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlarmContributor {
    /// Its id.
    pub id: Option<String>,
    /// Such as the dimensions of its metric.
    pub attributes: BTreeMap<String, String>,
}

/// The data behind a state's reason: JSON in a string, of a form that depends on
/// the kind of alarm. Kept as it came, and read only when somebody asks.
#[derive(Clone, Debug, PartialEq)]
pub struct ReasonData(String);

impl ReasonData {
    /// As it came.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// What can be read of it. `None` when it is no JSON object.
    #[must_use]
    pub fn details(&self) -> Option<ReasonDetails> {
        let value: Value = serde_json::from_str(&self.0).ok()?;
        let notes = Notes::default();
        let data = Fields::new(value.as_object()?, "reasonData", &notes);
        let numbers = |key| -> Vec<Option<f64>> {
            let list = data.raw(key).and_then(Value::as_array);
            list.into_iter().flatten().map(Value::as_f64).collect()
        };
        let triggering_alarms = data
            .objects("triggeringAlarms")
            .iter()
            .filter_map(|alarm| {
                let state = alarm.object("state");
                Some(TriggeringAlarm {
                    arn: alarm.arn("arn")?,
                    state: state.text("value").map(|text| text.as_str().into()),
                    timestamp: state.time("timestamp"),
                })
            })
            .collect();
        Some(ReasonDetails {
            query_date: data.time("queryDate"),
            start_date: data.time("startDate"),
            statistic: data.text("statistic"),
            period_seconds: data.whole_number("period"),
            recent_datapoints: numbers("recentDatapoints"),
            threshold: data.number("threshold"),
            recent_lower_thresholds: numbers("recentLowerThresholds"),
            recent_upper_thresholds: numbers("recentUpperThresholds"),
            triggering_alarms,
        })
    }
}

/// The data behind a state's reason, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct ReasonDetails {
    /// When the metric was read.
    pub query_date: Option<Timestamp>,
    /// Of the first datapoint.
    pub start_date: Option<Timestamp>,
    /// Absent for metric math and anomaly alarms.
    pub statistic: Option<String>,
    /// Seconds.
    pub period_seconds: Option<u64>,
    /// Oldest first; `None` where data was missing.
    pub recent_datapoints: Vec<Option<f64>>,
    /// Absent for anomaly alarms.
    pub threshold: Option<f64>,
    /// Of anomaly alarms.
    pub recent_lower_thresholds: Vec<Option<f64>>,
    /// Of anomaly alarms.
    pub recent_upper_thresholds: Vec<Option<f64>>,
    /// Of composite alarms: the children behind the change.
    pub triggering_alarms: Vec<TriggeringAlarm>,
}

/// A child of a composite alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggeringAlarm {
    /// The child.
    pub arn: Arn,
    /// Its state then.
    pub state: Option<AlarmState>,
    /// Since when.
    pub timestamp: Option<Timestamp>,
}

/// A change of a CloudWatch alarm, whatever the route.
///
/// One wake-up of an alarm is told from another by [`arn`](Self::arn) and
/// [`state_timestamp`](Self::state_timestamp), for contributors with the
/// contributor's id; every route repeats events.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmEvent {
    /// How it reached us.
    pub route: AlarmRoute,
    /// What changed.
    pub change: AlarmChange,
    /// The alarm's name, colons included.
    pub name: String,
    /// The alarm's ARN; some notifications lack it.
    pub arn: Option<Arn>,
    /// The alarm's account.
    pub account: Option<String>,
    /// The alarm's Region code, taken from its ARN: notifications name Regions
    /// for people ("EU (Ireland)").
    pub region: Option<String>,
    /// The id of the event or message, the same on redelivery.
    pub event_id: Option<String>,
    /// When the event was sent.
    pub time: Option<Timestamp>,
    /// The state now.
    pub state: AlarmState,
    /// The state before. Contributors and configuration changes have none.
    pub previous_state: Option<AlarmState>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Why, for programs. Absent at creation, after `SetAlarmState`, for alarms
    /// over many time series, and in notifications.
    pub reason_data: Option<ReasonData>,
    /// Since when it has the state.
    pub state_timestamp: Option<Timestamp>,
    /// What it watches.
    pub configuration: AlarmConfiguration,
    /// Present when a mute rule keeps its actions still.
    pub mute: Option<Mute>,
    /// Present when its actions are suppressed.
    pub suppressed: Option<Suppression>,
    /// The time series concerned, of an alarm over many.
    pub contributor: Option<AlarmContributor>,
    /// The alarm's tags. `None` when the event did not carry them or CloudWatch
    /// could not read them, which doesn't mean that there are none.
    pub tags: Option<BTreeMap<String, String>>,
    /// Further alarms of the same delivery. SNS publishes one message per
    /// invocation ("Amazon SNS FAQs"), but its format is a list, and what other
    /// programs pass on may use it.
    pub further: Vec<AlarmEvent>,
    /// What was tolerated while reading.
    pub warnings: Vec<String>,
}

impl AlarmEvent {
    /// What kind of alarm it is.
    #[must_use]
    pub fn kind(&self) -> AlarmKind {
        self.configuration.kind
    }

    /// This alarm and the further ones of its delivery.
    pub fn all(&self) -> impl Iterator<Item = &AlarmEvent> {
        std::iter::once(self).chain(&self.further)
    }
}

/// An alarm's event from the bus.
pub(super) fn read_delivered(delivered: &Delivered<'_>) -> Result<AlarmEvent, EventError> {
    let Delivered {
        envelope,
        detail,
        detail_type,
    } = delivered;
    let change = match *detail_type {
        CONFIGURATION_CHANGE => {
            let operation = detail.text("operation").unwrap_or_default();
            AlarmChange::Configuration(operation.as_str().into())
        }
        CONTRIBUTOR_STATE_CHANGE => AlarmChange::ContributorState,
        _ => AlarmChange::State,
    };
    let arn = envelope.resource("cloudwatch", "alarm").cloned();
    read_detail(detail, AlarmRoute::EventBridge, change, arn, envelope)
}

/// An alarm that invoked us itself: `{"source":"aws.cloudwatch","alarmArn":…,
/// "alarmData":…}`.
pub(super) fn parse_lambda_action(payload: &Map<String, Value>) -> Result<AlarmEvent, EventError> {
    let notes = Notes::default();
    let event = Fields::new(payload, "", &notes);
    if event.text("source").as_deref() != Some("aws.cloudwatch") {
        return Err(EventError::Missing {
            event: ALARM,
            expected: "\"source\":\"aws.cloudwatch\" beside its \"alarmData\"",
        });
    }
    let data = event.object("alarmData");
    let change = if data.has("alarmContributor") {
        AlarmChange::ContributorState
    } else {
        AlarmChange::State
    };
    let envelope = Envelope {
        account: event.text("accountId"),
        ..Envelope::read(&event)
    };
    let arn = event.arn("alarmArn");
    let mut alarm = read_detail(&data, AlarmRoute::LambdaAction, change, arn, &envelope)?;
    alarm.warnings = notes.into_warnings();
    Ok(alarm)
}

/// The form that events and direct actions share.
fn read_detail(
    detail: &Fields<'_>,
    route: AlarmRoute,
    change: AlarmChange,
    arn: Option<Arn>,
    envelope: &Envelope,
) -> Result<AlarmEvent, EventError> {
    let state = detail.object("state");
    let previous = detail.object("previousState");
    Ok(AlarmEvent {
        route,
        change,
        name: name(detail.text("alarmName"), arn.as_ref())?,
        account: of_arn(arn.as_ref(), |arn| &arn.account).or_else(|| envelope.account.clone()),
        region: of_arn(arn.as_ref(), |arn| &arn.region).or_else(|| envelope.region.clone()),
        arn,
        event_id: envelope.id.clone(),
        time: envelope.time,
        state: state
            .text("value")
            .ok_or(EventError::Missing {
                event: ALARM,
                expected: "a text in \"state.value\"",
            })?
            .as_str()
            .into(),
        previous_state: previous.text("value").map(|text| text.as_str().into()),
        reason: state.text("reason"),
        reason_data: reason_data(&state),
        state_timestamp: state.time("timestamp"),
        configuration: read_configuration(&detail.object("configuration")),
        mute: detail.has("muteDetail").then(|| {
            let mute = detail.object("muteDetail");
            Mute {
                by: mute.arn("mutedByArn"),
                window_start: mute.time("muteWindowStart"),
                window_end: mute.time("muteWindowEnd"),
            }
        }),
        suppressed: suppression(&state),
        contributor: detail.has("alarmContributor").then(|| {
            let contributor = detail.object("alarmContributor");
            AlarmContributor {
                id: contributor.text("id"),
                attributes: contributor.text_map("attributes").unwrap_or_default(),
            }
        }),
        tags: tags(detail),
        further: Vec::new(),
        warnings: Vec::new(),
    })
}

fn name(written: Option<String>, arn: Option<&Arn>) -> Result<String, EventError> {
    written
        .or_else(|| of_arn(arn, |arn| arn.resource_id()))
        .ok_or(EventError::Missing {
            event: ALARM,
            expected: "the alarm's name or ARN",
        })
}

fn of_arn(arn: Option<&Arn>, part: impl FnOnce(&Arn) -> &str) -> Option<String> {
    let part = part(arn?);
    (!part.is_empty()).then(|| part.to_owned())
}

fn reason_data(state: &Fields<'_>) -> Option<ReasonData> {
    match state.raw("reasonData")? {
        Value::String(text) => Some(ReasonData(text.clone())),
        // Hand-made events have it without the wrapping string.
        object @ Value::Object(_) => Some(ReasonData(object.to_string())),
        _ => {
            // Asked for as a text only for the note that it leaves.
            state.text("reasonData");
            None
        }
    }
}

fn suppression(state: &Fields<'_>) -> Option<Suppression> {
    const KEY: &str = "actionsSuppressedBy";
    let by = match (state.text(KEY), state.raw(KEY)) {
        (Some(by), _) => by.as_str().into(),
        (None, None | Some(Value::String(_))) => return None,
        // Suppressed by something of a form that is new: suppressed all the same.
        (None, Some(odd)) => SuppressedBy::Other(kind_of(odd).to_owned()),
    };
    Some(Suppression {
        by,
        reason: state.text("actionsSuppressedReason"),
    })
}

fn tags(detail: &Fields<'_>) -> Option<BTreeMap<String, String>> {
    let status = detail.text("alarmTagsStatus");
    if status.is_some_and(|status| status != "SUCCESS") {
        return None;
    }
    detail.text_map("alarmTags")
}

fn read_configuration(configuration: &Fields<'_>) -> AlarmConfiguration {
    let metrics: Vec<AlarmMetric> = configuration
        .objects("metrics")
        .iter()
        .map(|entry| {
            let stat = entry.object("metricStat");
            let metric = stat.object("metric");
            AlarmMetric {
                id: entry.text("id"),
                expression: entry.text("expression"),
                metric: (!metric.is_absent()).then(|| Metric {
                    namespace: metric.text("namespace"),
                    name: metric.text("name"),
                    dimensions: metric.text_map("dimensions").unwrap_or_default(),
                }),
                period_seconds: stat
                    .whole_number("period")
                    .or_else(|| entry.whole_number("period")),
                stat: stat.text("stat"),
                return_data: entry.boolean("returnData").unwrap_or(true),
            }
        })
        .collect();
    let composite_rule = configuration.text("alarmRule");
    AlarmConfiguration {
        kind: kind(composite_rule.is_some(), &metrics, |key| {
            configuration.has(key)
        }),
        description: configuration.text("description"),
        metrics,
        composite_rule,
        actions_suppressor: configuration.text("actionsSuppressor"),
        suppressor_wait_seconds: configuration.whole_number("actionsSuppressorWaitPeriod"),
        suppressor_extension_seconds: configuration
            .whole_number("actionsSuppressorExtensionPeriod"),
    }
}

/// Nothing in an alarm's event names its kind, so its configuration has to.
///
/// CloudWatch documents no event of log and `PromQL` alarms; the keys are those
/// of the API ("`PutLogAlarm`" and "`PutMetricAlarm`", CloudWatch API Reference)
/// in the spelling that events use.
fn kind(composite: bool, metrics: &[AlarmMetric], has: impl Fn(&str) -> bool) -> AlarmKind {
    let starts = |expression: &str, word: &str| {
        let start = expression.trim_start().get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    let expressions: Vec<&str> = metrics
        .iter()
        .filter_map(|entry| entry.expression.as_deref())
        .collect();
    if composite {
        AlarmKind::Composite
    } else if expressions
        .iter()
        .any(|expression| starts(expression, "ANOMALY_DETECTION_BAND"))
    {
        AlarmKind::Anomaly
    } else if expressions
        .iter()
        .any(|expression| starts(expression, "SELECT "))
    {
        AlarmKind::MetricsInsights
    } else if !expressions.is_empty() {
        AlarmKind::MetricMath
    } else if metrics.iter().any(|entry| entry.metric.is_some()) {
        AlarmKind::Metric
    } else if has("scheduledQueryConfiguration") {
        AlarmKind::Log
    } else if has("evaluationCriteria") {
        AlarmKind::PromQl
    } else {
        AlarmKind::Other
    }
}

/// An alarm's notification, `{"Records":[{"Sns":{"Message":"…"}}]}`.
///
/// One readable alarm is enough: the others' problems become warnings.
pub(super) fn parse_sns(payload: &Map<String, Value>) -> Result<AlarmEvent, EventError> {
    let records = match payload.get("Records") {
        Some(Value::Array(records)) => records.as_slice(),
        other => {
            return Err(EventError::WrongType {
                key: "Records",
                expected: "a list",
                found: other.map_or("nothing", kind_of),
            });
        }
    };
    let mut alarms = Vec::new();
    let mut problems = Vec::new();
    for (index, record) in records.iter().enumerate() {
        match parse_record(record, index) {
            Ok(alarm) => alarms.push(alarm),
            Err(problem) => problems.push(problem),
        }
    }
    if alarms.is_empty() {
        return Err(problems.into_iter().next().unwrap_or(EventError::Missing {
            event: "SNS",
            expected: "at least one record",
        }));
    }
    let mut first = alarms.remove(0);
    first.further = alarms;
    first
        .warnings
        .extend(problems.iter().map(|problem| problem.to_string()));
    Ok(first)
}

fn parse_record(record: &Value, index: usize) -> Result<AlarmEvent, EventError> {
    let not_an_alarm = |found: &str| EventError::NotAnAlarmMessage {
        index: index + 1,
        found: found.to_owned(),
    };
    // SNS writes "EventSource"; SQS, S3 and DynamoDB write "eventSource".
    let source = ["EventSource", "eventSource"]
        .iter()
        .find_map(|key| record.get(key).and_then(Value::as_str));
    if let Some(source) = source
        && source != "aws:sns"
    {
        return Err(EventError::ForeignRecords {
            found: super::cut(source),
        });
    }
    let sns = record
        .get("Sns")
        .ok_or_else(|| not_an_alarm("a record without \"Sns\""))?;
    let message = sns
        .get("Message")
        .and_then(Value::as_str)
        .ok_or_else(|| not_an_alarm("no message"))?;
    let message: Value =
        serde_json::from_str(message).map_err(|_| not_an_alarm("a text that is not JSON"))?;
    let object = message
        .as_object()
        .ok_or_else(|| not_an_alarm(kind_of(&message)))?;
    if !object.contains_key("AlarmName") && !object.contains_key("AlarmArn") {
        let keys = quoted(object.keys().map(String::as_str));
        return Err(not_an_alarm(&format!("an object with the keys {keys}")));
    }
    read_message(object, sns, index)
}

fn read_message(
    message: &Map<String, Value>,
    sns: &Value,
    index: usize,
) -> Result<AlarmEvent, EventError> {
    let notes = Notes::default();
    let message = Fields::new(message, &format!("Records[{index}].Sns.Message"), &notes);
    let arn = message.arn("AlarmArn");
    if arn.is_none() {
        notes.add("the notification has no \"AlarmArn\", so the alarm's Region is not known");
    }
    let mut alarm = AlarmEvent {
        route: AlarmRoute::Sns,
        change: AlarmChange::State,
        name: name(message.text("AlarmName"), arn.as_ref())?,
        account: of_arn(arn.as_ref(), |arn| &arn.account).or_else(|| message.text("AWSAccountId")),
        region: of_arn(arn.as_ref(), |arn| &arn.region),
        arn,
        event_id: sns
            .get("MessageId")
            .and_then(Value::as_str)
            .map(str::to_owned),
        time: sns.get("Timestamp").and_then(timestamp),
        state: message
            .text("NewStateValue")
            .ok_or(EventError::Missing {
                event: ALARM,
                expected: "a text in \"NewStateValue\"",
            })?
            .as_str()
            .into(),
        previous_state: message
            .text("OldStateValue")
            .map(|text| text.as_str().into()),
        reason: message.text("NewStateReason"),
        reason_data: None,
        state_timestamp: message.time("StateChangeTime"),
        configuration: read_trigger(&message),
        mute: None,
        suppressed: None,
        contributor: None,
        tags: None,
        further: Vec::new(),
        warnings: Vec::new(),
    };
    alarm.warnings = notes.into_warnings();
    Ok(alarm)
}

/// A notification's `Trigger`: the one metric itself, or a list of `Metrics`.
fn read_trigger(message: &Fields<'_>) -> AlarmConfiguration {
    let trigger = message.object("Trigger");
    let mut metrics: Vec<AlarmMetric> = trigger
        .objects("Metrics")
        .iter()
        .map(|entry| {
            let stat = entry.object("MetricStat");
            let metric = stat.object("Metric");
            AlarmMetric {
                id: entry.text("Id"),
                expression: entry.text("Expression"),
                metric: (!metric.is_absent()).then(|| read_sns_metric(&metric)),
                period_seconds: stat
                    .whole_number("Period")
                    .or_else(|| entry.whole_number("Period")),
                stat: stat.text("Stat").map(api_spelling),
                return_data: entry.boolean("ReturnData").unwrap_or(true),
            }
        })
        .collect();
    if metrics.is_empty() && trigger.has("MetricName") {
        metrics.push(AlarmMetric {
            id: None,
            expression: None,
            metric: Some(read_sns_metric(&trigger)),
            period_seconds: trigger.whole_number("Period"),
            stat: trigger
                .text("Statistic")
                .or_else(|| trigger.text("ExtendedStatistic"))
                .map(api_spelling),
            return_data: true,
        });
    }
    let composite_rule = message.text("AlarmRule");
    let kind = kind(composite_rule.is_some(), &metrics, |key| {
        let (first, rest) = key.split_at(1);
        let key = first.to_uppercase() + rest;
        trigger.has(&key) || message.has(&key)
    });
    AlarmConfiguration {
        kind,
        description: message.text("AlarmDescription"),
        metrics,
        composite_rule,
        actions_suppressor: message.text("ActionsSuppressor"),
        suppressor_wait_seconds: message.whole_number("ActionsSuppressorWaitPeriod"),
        suppressor_extension_seconds: message.whole_number("ActionsSuppressorExtensionPeriod"),
    }
}

fn read_sns_metric(metric: &Fields<'_>) -> Metric {
    Metric {
        namespace: metric.text("Namespace"),
        name: metric.text("MetricName"),
        dimensions: metric.text_map("Dimensions").unwrap_or_default(),
    }
}

/// Notifications shout the statistics' names.
fn api_spelling(stat: String) -> String {
    let spelt = match stat.as_str() {
        "AVERAGE" => "Average",
        "SUM" => "Sum",
        "MINIMUM" => "Minimum",
        "MAXIMUM" => "Maximum",
        "SAMPLE_COUNT" | "SAMPLECOUNT" => "SampleCount",
        _ => return stat,
    };
    spelt.to_owned()
}
