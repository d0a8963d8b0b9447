//! The metrics of a run, as log lines in the CloudWatch embedded metric format:
//! CloudWatch Logs makes metrics of them, without a call of the function's.
//!
//! `docs/logging.md` lists them. One line is for the function, one for each
//! unit.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::{Measure, OfAll};
use crate::report::{Report, Status, Summary};
use crate::tally::UnitTally;

/// The namespace of every metric.
pub const NAMESPACE: &str = "Steward";

/// How many units have metrics of their own. Each costs as many custom metrics
/// as [`OF_UNIT`] names, in each hour that it is told.
pub const MOST_UNITS: usize = 50;

/// The longest value of a dimension that is told, in bytes. CloudWatch takes
/// 1,024 (Amazon CloudWatch API Reference, "Dimension").
const MOST_DIMENSION: usize = 1_024;

/// The metrics of a unit, with their units of measure.
pub const OF_UNIT: &[(&str, &str)] = &[
    ("Observed", "Count"),
    ("Kept", "Count"),
    ("Deferred", "Count"),
    ("Planned", "Count"),
    ("Done", "Count"),
    ("AlreadyDone", "Count"),
    ("Skipped", "Count"),
    ("Failed", "Count"),
    ("Refused", "Count"),
    ("Gaps", "Count"),
];

/// The metrics that only a function has.
pub const OF_FUNCTION_ONLY: &[(&str, &str)] = &[
    ("RunFailed", "Count"),
    ("Warnings", "Count"),
    ("Duration", "Milliseconds"),
    ("ColdStart", "Count"),
    ("ApiCalls", "Count"),
    ("Throttles", "Count"),
    ("NotificationsSent", "Count"),
    ("NotificationsFailed", "Count"),
];

/// What is known of a run beside its report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Whether this process had served nothing before.
    pub cold_start: bool,
    /// Requests sent to AWS, retries included.
    pub api_calls: u64,
    /// Answers that asked to slow down.
    pub throttles: u64,
    /// Messages that SNS has taken.
    pub notifications_sent: usize,
    /// Messages that it has not.
    pub notifications_failed: usize,
}

/// The lines of a run: the function's, and those of its units, of which those
/// with trouble come first, then those with most to change, then the largest.
/// `also` stands in each of them.
pub fn lines(
    report: &Report,
    units: &[UnitTally],
    measured: &Measured,
    also: &Map<String, Value>,
) -> Vec<Map<String, Value>> {
    let mut order: Vec<&UnitTally> = units.iter().collect();
    order.sort_by_key(|tally| {
        let sums = &tally.summary;
        let trouble = sums.failed + tally.refused + tally.gaps + tally.needs.len();
        let size = (trouble > 0, sums.planned + sums.deferred, sums.observed);
        std::cmp::Reverse(size)
    });
    let told = &order[..order.len().min(MOST_UNITS)];

    let mut lines = Vec::with_capacity(told.len() + 1);
    let mut values = sums(&report.summary, report.refusals.len(), report.gaps.len());
    values.extend(of_function(report, measured));
    values.extend(of_all_units(units));
    let mut line = line(report, &["Function"], values, also);
    line.insert("units_told".to_owned(), told.len().into());
    line.insert(
        "units_left_out".to_owned(),
        (order.len() - told.len()).into(),
    );
    lines.push(line);
    for tally in told {
        let mut values = sums(&tally.summary, tally.refused, tally.gaps);
        values.extend(tally.measures.iter().map(of_measure));
        let mut line = self::line(report, &["Function", "Unit"], values, also);
        line.insert("Unit".to_owned(), dimension(&tally.unit).into());
        lines.push(line);
    }
    lines
}

type Metric = ((&'static str, &'static str), Value);

fn sums(summary: &Summary, refused: usize, gaps: usize) -> Vec<Metric> {
    let values = [
        summary.observed,
        summary.kept,
        summary.deferred,
        summary.planned,
        summary.done,
        summary.already_done,
        summary.skipped,
        summary.failed,
        refused,
        gaps,
    ];
    OF_UNIT
        .iter()
        .copied()
        .zip(values.map(Value::from))
        .collect()
}

fn of_measure(measure: &Measure) -> Metric {
    let metric = measure.metric;
    ((metric.name, metric.unit), measure.value.into())
}

/// What is measured of units, put together for the function, by name.
fn of_all_units(units: &[UnitTally]) -> Vec<Metric> {
    let mut all: BTreeMap<&str, Measure> = BTreeMap::new();
    for measure in units.iter().flat_map(|tally| &tally.measures) {
        all.entry(measure.metric.name)
            .and_modify(|total| match measure.metric.of_all {
                OfAll::Sum => total.value += measure.value,
                OfAll::Greatest => total.value = total.value.max(measure.value),
            })
            .or_insert_with(|| measure.clone());
    }
    all.values().map(of_measure).collect()
}

fn of_function(report: &Report, measured: &Measured) -> Vec<Metric> {
    let elapsed = report.finished_at.duration_since(report.started_at);
    let values = [
        u64::from(report.status == Status::Failed).into(),
        report.warnings.len().into(),
        (elapsed.as_secs_f64() * 1_000.0).into(),
        u64::from(measured.cold_start).into(),
        measured.api_calls.into(),
        measured.throttles.into(),
        measured.notifications_sent.into(),
        measured.notifications_failed.into(),
    ];
    OF_FUNCTION_ONLY.iter().copied().zip(values).collect()
}

/// One document of the embedded metric format ("Specification: Embedded metric
/// format", Amazon CloudWatch User Guide): at most 100 metrics, their values
/// and those of the dimensions beside `_aws`, and whatever else is of use in a
/// query.
fn line(
    report: &Report,
    dimensions: &[&str],
    values: Vec<Metric>,
    also: &Map<String, Value>,
) -> Map<String, Value> {
    let definitions: Vec<Value> = values
        .iter()
        .map(|((name, unit), _)| json!({ "Name": name, "Unit": unit }))
        .collect();
    let mut line = also.clone();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": report.finished_at.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [dimensions],
                "Metrics": definitions,
            }],
        }),
    );
    line.insert("Function".to_owned(), dimension(&report.function).into());
    for ((name, _), value) in values {
        line.insert(name.to_owned(), value);
    }
    line
}

/// Fit for the value of a dimension: ASCII without control characters, not
/// empty, and with no colon at its start (Amazon CloudWatch API Reference,
/// "Dimension").
fn dimension(text: &str) -> String {
    let ascii: String = text
        .chars()
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .take(MOST_DIMENSION)
        .collect();
    let value = ascii.trim_start_matches(':').trim();
    if value.is_empty() { "?" } else { value }.to_owned()
}
