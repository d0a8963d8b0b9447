//! The contract section of the README says what the code does.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use snapshot_rotation::{
    ACTION_KINDS, BEHIND_CALLS, CopyTo, METRICS, PERMISSIONS, REASON_CODES, RotationPolicy, Rule,
    Scope, SnapshotRotation,
};
use steward::engine::Function;
use steward::policy::{Policy, PolicyDocument};
use steward::{guard, hold, lambda};
use steward_sandbox::contract::{Readme, event, in_template, leaves};

const README: Readme = Readme(include_str!("../README.md"));
const EXAMPLE: &str = include_str!("../policy.example.yaml");
const LOGGING: &str = include_str!("../../../docs/logging.md");
const TEMPLATE: &str = include_str!("../../../infra/automation.yaml");

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn names_every_operation_action_and_reason() {
    assert_eq!(
        README.names("Operations").unwrap(),
        set(SnapshotRotation::OPERATIONS)
    );
    assert_eq!(README.names("Actions").unwrap(), set(ACTION_KINDS));
    assert_eq!(README.names("Reasons").unwrap(), set(REASON_CODES));
}

#[test]
fn names_every_permission_and_what_it_is_for() {
    let told = README.pairs("Permissions").unwrap();
    let needed: Vec<(String, String)> = PERMISSIONS
        .iter()
        .map(|permission| (permission.action.to_owned(), permission.why.to_owned()))
        .collect();
    assert_eq!(told, needed);
    let told = README.pairs("Permissions behind a call").unwrap();
    let behind: Vec<(String, String)> = BEHIND_CALLS
        .iter()
        .map(|(action, why)| ((*action).to_owned(), (*why).to_owned()))
        .collect();
    assert_eq!(told, behind);
}

#[test]
fn names_every_guard_tag_and_environment_variable() {
    assert_eq!(README.names("Guards").unwrap(), set(guard::NAMES));
    let tags = [
        snapshot_rotation::MANAGED_BY,
        snapshot_rotation::MADE_FOR,
        snapshot_rotation::TAKEN_AT,
        snapshot_rotation::ENVIRONMENT,
        snapshot_rotation::PARKED,
        hold::HOLD,
        hold::HOLD_UNTIL,
    ];
    assert_eq!(README.names("Tags").unwrap(), set(&tags));
    assert_eq!(
        README.names("Environment").unwrap(),
        set(lambda::ENVIRONMENT)
    );
}

#[test]
fn names_every_metric_of_its_own() {
    for metric in METRICS {
        assert!(README.0.contains(&format!("`{}`", metric.name)));
        let row = format!("| `{}` | {} |", metric.name, metric.unit);
        assert!(LOGGING.contains(&row), "{row}");
    }
}

#[test]
fn names_every_policy_key_with_its_default() {
    let defaults = leaves(&RotationPolicy::default()).unwrap();
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    let mut of_rules = BTreeSet::new();
    for (key, default) in README.pairs("Policy").unwrap() {
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
    let mut keys = leaves(&RotationPolicy::default()).unwrap();
    keys.extend(leaves(&Rule::default()).unwrap());
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
    let event = steward::event::parse(&event(fixture).unwrap()).unwrap();
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

#[test]
fn the_policy_of_the_template_is_the_defaults_and_lets_nothing_be_deleted() {
    let default = in_template("SnapshotRotationPolicy", "Default").unwrap();
    // A text in double quotes is the same in YAML and in JSON.
    let text: String = serde_json::from_str(&default).unwrap();
    let policy = PolicyDocument::<RotationPolicy>::parse(&text, "SnapshotRotationPolicy").unwrap();
    assert_eq!(policy.policy(), &RotationPolicy::default());
    assert!(!policy.selects_targets());
    // The template's rule knows this text, and refuses to apply by it.
    let rule = format!("[!Ref SnapshotRotationPolicy, {default}]");
    assert!(TEMPLATE.contains(&rule), "{rule}");
}

#[test]
fn the_schedule_of_the_template_asks_for_what_it_has_and_no_mode_of_its_own() {
    let input = in_template("SnapshotRotationHourly", "Input").unwrap();
    let input = input.trim_matches('\'');
    let request =
        lambda::request::<SnapshotRotation>(&serde_json::from_str(input).unwrap()).unwrap();
    assert_eq!(request.operation, SnapshotRotation::OPERATIONS[0]);
    assert_eq!(request.mode, None);
    assert_eq!(request.scope, Scope::Everything);
}
