//! The lines with metrics are of the embedded metric format.

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use steward::metrics::{MOST_UNITS, Measured, NAMESPACE, OF_FUNCTION_ONLY, OF_UNIT, lines};
use steward::report::{Report, Status};
use steward::tally::UnitTally;

use crate::{at, done, failed, quiet, report};

/// From "Specification: Embedded metric format" in the Amazon CloudWatch User
/// Guide, with the units of `MetricDatum` in the Amazon CloudWatch API
/// Reference. What JSON Schema cannot say is in [`assert_is_emf`].
fn specification() -> Validator {
    let name = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
    let units = "^((Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|Megabits|Gigabits|\
                 Terabits|Count)(/Second)?|Seconds|Microseconds|Milliseconds|Percent|None)$";
    jsonschema::validator_for(&json!({
        "type": "object",
        "required": ["_aws"],
        "properties": { "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": false,
            "properties": {
                "Timestamp": { "type": "integer" },
                "CloudWatchMetrics": { "type": "array", "items": {
                    "type": "object",
                    "required": ["Namespace", "Dimensions", "Metrics"],
                    "additionalProperties": false,
                    "properties": {
                        "Namespace": { "type": "string", "minLength": 1, "maxLength": 255 },
                        "Dimensions": { "type": "array", "minItems": 1, "items": {
                            "type": "array", "minItems": 0, "maxItems": 30, "items": name,
                        }},
                        "Metrics": { "type": "array", "maxItems": 100, "items": {
                            "type": "object",
                            "required": ["Name"],
                            "additionalProperties": false,
                            "properties": {
                                "Name": name,
                                "Unit": { "type": "string", "pattern": units },
                                "StorageResolution": { "enum": [1, 60] },
                            },
                        }},
                    },
                }},
            },
        }},
    }))
    .unwrap()
}

/// Every target is a member of the root; metrics are numbers, dimensions
/// strings that CloudWatch takes; a log event has at most 1 MB.
fn assert_is_emf(line: &Map<String, Value>) {
    let value = Value::Object(line.clone());
    if let Err(error) = specification().validate(&value) {
        panic!("{error}: {value:#}");
    }
    assert!(value.to_string().len() < 1_000_000);
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        for metric in directive["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap();
            assert!(line[name].is_number(), "{name} in {value:#}");
        }
        for name in directive["Dimensions"][0].as_array().unwrap() {
            let dimension = line[name.as_str().unwrap()].as_str().unwrap();
            assert!((1..=1_024).contains(&dimension.len()), "{dimension}");
            assert!(dimension.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            assert!(!dimension.starts_with(':') && !dimension.trim().is_empty());
        }
    }
}

fn told(report: &Report, units: &[UnitTally], measured: &Measured) -> Vec<Map<String, Value>> {
    let also = json!({ "message": "metrics of image-pruning", "run.id": "0a1b2c3d" });
    let lines = lines(report, units, measured, also.as_object().unwrap());
    lines.iter().for_each(assert_is_emf);
    lines
}

#[test]
fn a_run_has_a_line_for_the_function_and_one_for_each_unit() {
    let units = [done("shop/web", 3), failed("shop/worker", 2), quiet("base")];
    let report = report(|report| {
        report.status = Status::Partial;
        report.warnings = vec!["one".to_owned()];
        report.summary.observed = 35;
        report.summary.done = 3;
    });
    let measured = Measured {
        cold_start: true,
        api_calls: 17,
        throttles: 2,
        notifications_sent: 2,
        notifications_failed: 1,
    };
    let lines = told(&report, &units, &measured);
    let text: Vec<String> = lines
        .iter()
        .map(|line| serde_json::to_string_pretty(line).unwrap())
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn the_time_is_that_of_the_report_in_milliseconds() {
    let report = report(|report| report.finished_at = at("2026-11-23T02:00:01.2345Z"));
    let lines = told(&report, &[], &Measured::default());
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["_aws"]["Timestamp"], 1_795_399_201_234_i64);
    assert_eq!(lines[0]["Duration"], 1_234.5);
}

#[test]
fn a_run_that_failed_without_a_failed_action_shows() {
    let failed = report(|report| report.status = Status::Failed);
    let lines = told(&failed, &[], &Measured::default());
    assert_eq!(
        (&lines[0]["Failed"], &lines[0]["RunFailed"]),
        (&json!(0), &json!(1))
    );
}

#[test]
fn of_many_units_those_with_trouble_are_told_and_then_the_largest() {
    let mut units: Vec<UnitTally> = (0..200).map(|n| quiet(&format!("unit-{n:03}"))).collect();
    for (n, unit) in units.iter_mut().enumerate() {
        unit.summary.observed = n;
    }
    units[3] = failed("broken", 1);
    units[5].refused = 1;
    units[7] = done("changed", 100);
    let lines = told(&report(|_| ()), &units, &Measured::default());
    assert_eq!(lines.len(), 1 + MOST_UNITS);
    assert_eq!(lines[0]["units_told"], MOST_UNITS);
    assert_eq!(lines[0]["units_left_out"], 200 - MOST_UNITS);
    let names: Vec<&str> = lines[1..]
        .iter()
        .map(|line| line["Unit"].as_str().unwrap())
        .collect();
    assert_eq!(
        names[..4],
        ["broken", "unit-005", "changed", "unit-199"],
        "{names:?}"
    );
}

#[test]
fn a_name_that_is_no_dimension_becomes_one() {
    let long = "x".repeat(2_000);
    let units = [
        quiet(""),
        quiet(":a"),
        quiet("bücher\n"),
        quiet(&long),
        quiet(" "),
    ];
    let lines = told(&report(|_| ()), &units, &Measured::default());
    let names: Vec<&str> = lines[1..]
        .iter()
        .map(|line| line["Unit"].as_str().unwrap())
        .collect();
    assert_eq!(names[..3], ["?", "a", "b?cher?"]);
    assert_eq!(names[3].len(), 1_024);
}

#[test]
fn the_documentation_names_every_metric_with_its_unit() {
    let page = include_str!("../../../docs/logging.md");
    assert!(page.contains(&format!("`{NAMESPACE}`")));
    for (name, unit) in OF_UNIT {
        assert!(
            page.contains(&format!("| `{name}` | {unit} | function, unit |")),
            "{name}"
        );
    }
    for (name, unit) in OF_FUNCTION_ONLY {
        assert!(
            page.contains(&format!("| `{name}` | {unit} | function |")),
            "{name}"
        );
    }
    assert!(page.contains(&format!("At most {MOST_UNITS} units")));
}
