//! The contract section of the README says what the code does.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use snapshot_rotation::{
    ACTION_KINDS, BEHIND_CALLS, CopyTo, METRICS, PERMISSIONS, REASON_CODES, RotationPolicy, Rule,
    Scope, SnapshotRotation,
};
use steward::engine::Function;
use steward::policy::{Policy, PolicyDocument};
use steward::{guard, hold, lambda};

const README: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../policy.example.yaml");
const LOGGING: &str = include_str!("../../../docs/logging.md");

/// The rows of the table under a heading: cells without their backquotes.
fn table(heading: &str) -> Vec<Vec<String>> {
    let section = README
        .split("\n### ")
        .find(|section| section.lines().next() == Some(heading))
        .unwrap_or_else(|| panic!("no section {heading}"));
    let rows: Vec<Vec<String>> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            line.trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table in section {heading}");
    rows
}

fn first_column(heading: &str) -> BTreeSet<String> {
    let rows = table(heading);
    let names: BTreeSet<String> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(names.len(), rows.len(), "{heading} names something twice");
    names
}

fn first_two_columns(heading: &str) -> Vec<(String, String)> {
    let rows = table(heading).into_iter();
    rows.map(|row| (row[0].clone(), row[1].clone())).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn names_every_operation_action_and_reason() {
    assert_eq!(
        first_column("Operations"),
        set(SnapshotRotation::OPERATIONS)
    );
    assert_eq!(first_column("Actions"), set(ACTION_KINDS));
    assert_eq!(first_column("Reasons"), set(REASON_CODES));
}

#[test]
fn names_every_permission_and_what_it_is_for() {
    let told = first_two_columns("Permissions");
    let needed: Vec<(String, String)> = PERMISSIONS
        .iter()
        .map(|permission| (permission.action.to_owned(), permission.why.to_owned()))
        .collect();
    assert_eq!(told, needed);
    let told = first_two_columns("Permissions behind a call");
    let behind: Vec<(String, String)> = BEHIND_CALLS
        .iter()
        .map(|(action, why)| ((*action).to_owned(), (*why).to_owned()))
        .collect();
    assert_eq!(told, behind);
    first_column("Permissions");
    first_column("Permissions behind a call");
}

#[test]
fn names_every_guard_tag_and_environment_variable() {
    assert_eq!(first_column("Guards"), set(guard::NAMES));
    let tags = [
        snapshot_rotation::MANAGED_BY,
        snapshot_rotation::MADE_FOR,
        snapshot_rotation::TAKEN_AT,
        snapshot_rotation::ENVIRONMENT,
        snapshot_rotation::PARKED,
        hold::HOLD,
        hold::HOLD_UNTIL,
    ];
    assert_eq!(first_column("Tags"), set(&tags));
    assert_eq!(first_column("Environment"), set(lambda::ENVIRONMENT));
}

#[test]
fn names_every_metric_of_its_own() {
    for metric in METRICS {
        assert!(README.contains(&format!("`{}`", metric.name)));
        let row = format!("| `{}` | {} |", metric.name, metric.unit);
        assert!(LOGGING.contains(&row), "{row}");
    }
}

/// Leaves by their key path; an empty list is a leaf.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(&path, value, into);
            }
        }
        leaf => {
            into.insert(path.to_owned(), leaf.to_string());
        }
    }
}

#[test]
fn names_every_policy_key_with_its_default() {
    let mut defaults = BTreeMap::new();
    let policy = serde_json::to_value(RotationPolicy::default()).unwrap();
    flatten("", &policy, &mut defaults);
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    let mut of_rules = BTreeSet::new();
    for (key, default) in first_two_columns("Policy") {
        if defaults.contains_key(&key) {
            told.insert(key, default);
        } else {
            of_rules.insert(key);
        }
    }
    assert_eq!(told, defaults);
    let rule = serde_json::to_value(Rule::default()).unwrap();
    let keys: BTreeSet<String> = rule.as_object().unwrap().keys().cloned().collect();
    assert_eq!(of_rules, keys);
}

#[test]
fn the_example_has_every_key_and_the_defaults() {
    let example = PolicyDocument::<RotationPolicy>::parse(EXAMPLE, "policy.example.yaml").unwrap();
    assert!(example.policy().selects_targets());
    let mut policy = example.policy().clone();
    // What is no default, as the comments say: that there is a rule, and its name.
    let rule = policy.rules.pop().unwrap();
    assert_eq!(policy, RotationPolicy::default());
    let defaults = Rule {
        name: "everything".to_owned(),
        ..Rule::default()
    };
    assert_eq!(rule, defaults);
    let mut keys = BTreeMap::new();
    for value in [
        serde_json::to_value(RotationPolicy::default()).unwrap(),
        serde_json::to_value(Rule::default()).unwrap(),
    ] {
        flatten("", &value, &mut keys);
    }
    for path in keys.keys() {
        let key = path.rsplit('.').next().unwrap();
        assert!(
            EXAMPLE.contains(&format!("{key}:")),
            "{path} is not in the example"
        );
    }
}

#[test]
fn the_commented_copy_of_the_example_has_every_key_and_parses() {
    let (before, after) = EXAMPLE.split_once("copies: []").unwrap();
    let text = format!("{before}copies:{}", after.replace("\n    #  ", "\n      "));
    // What is commented in other lists would belong to the copy.
    let text = text.replace("\n      - cluster: shop\n        service: web", "");
    let policy = PolicyDocument::<RotationPolicy>::parse(&text, "example").unwrap();
    let copy: &CopyTo = &policy.policy().rules[0].copies[0];
    assert_eq!(copy.region, "eu-west-1");
    let keys = serde_json::to_value(copy).unwrap();
    for key in keys.as_object().unwrap().keys() {
        assert!(text.contains(&format!("{key}: ")), "{key}");
    }
}

/// What an event of AWS wakes, or why it wakes nothing.
fn woken_by(fixture: &str) -> Result<Scope, String> {
    let path = format!(
        "{}/../../shared/fixtures/events/{fixture}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let event = steward::event::parse(&serde_json::from_str(&text).unwrap()).unwrap();
    SnapshotRotation::scope(&event).map_err(|error| error.to_string())
}

#[test]
fn schedules_and_its_own_snapshots_wake_it_and_those_of_others_do_not() {
    assert_eq!(woken_by("schedule-rule.json"), Ok(Scope::Everything));
    let error = woken_by("alarm-metric.json").unwrap_err();
    assert!(
        error.contains("CloudWatch alarm") && error.contains("allowed:"),
        "{error}"
    );
    let of = |id: &str| {
        let event = json!({
            "version": "0", "id": "00000000-0000-0000-0000-000000000000",
            "detail-type": "RDS DB Snapshot Event", "source": "aws.rds",
            "account": "123456789012", "time": "2026-11-23T03:05:00Z", "region": "eu-central-1",
            "resources": [format!("arn:aws:rds:eu-central-1:123456789012:snapshot:{id}")],
            "detail": {
                "EventCategories": ["creation"], "SourceType": "SNAPSHOT",
                "SourceArn": format!("arn:aws:rds:eu-central-1:123456789012:snapshot:{id}"),
                "Date": "2026-11-23T03:05:00Z", "Message": "Manual snapshot created",
                "SourceIdentifier": id, "EventID": "RDS-EVENT-0042"
            }
        });
        SnapshotRotation::scope(&steward::event::parse(&event).unwrap()).unwrap()
    };
    let own = of("steward-shop-db-uvwxyz-20261123-0302");
    assert_eq!(own, Scope::Databases(vec!["shop-db".to_owned()]));
    assert_eq!(of("shop-db-final"), Scope::Databases(vec![]));
}

#[test]
fn a_wrong_parameter_is_named_with_what_is_allowed() {
    for (event, expected) in [
        (
            json!({"mode": "plan", "databases": "shop-db"}),
            "databases: \"shop-db\"",
        ),
        (json!({"mode": "plan", "databases": []}), "databases: []"),
        (
            json!({"mode": "plan", "databases": ["a", 1]}),
            "databases: [\"a\",1]",
        ),
        (json!({"mode": "plan", "dbs": ["a"]}), "dbs: not a key"),
        (json!({"operation": "retire"}), "resource_ids: missing"),
        (
            json!({"operation": "retire", "resource_ids": []}),
            "resource_ids: []",
        ),
        (
            json!({"operation": "retire", "databases": ["a"]}),
            "databases: not a key",
        ),
    ] {
        let parsed = steward::event::parse(&event).unwrap();
        let error = SnapshotRotation::scope(&parsed).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("allowed: "),
            "{error}"
        );
    }
}
