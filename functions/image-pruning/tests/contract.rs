//! The contract section of the README says what the code does.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

use std::collections::{BTreeMap, BTreeSet};

use image_pruning::{
    ACTION_KINDS, BEHIND_CALLS, ImagePruning, PERMISSIONS, PruningPolicy, REASON_CODES, Scope,
};
use serde_json::json;
use steward::engine::Function;
use steward::policy::{Policy, PolicyDocument};
use steward::{guard, hold, lambda};
use steward_sandbox::contract::{Readme, event, in_template, leaves};

const README: Readme = Readme(include_str!("../README.md"));
const EXAMPLE: &str = include_str!("../policy.example.yaml");
const TEMPLATE: &str = include_str!("../../../infra/automation.yaml");

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn names_every_operation_action_and_reason() {
    assert_eq!(
        README.names("Operations").unwrap(),
        set(ImagePruning::OPERATIONS)
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
    assert_eq!(
        README.names("Tags").unwrap(),
        set(&[hold::HOLD, hold::HOLD_UNTIL])
    );
    assert_eq!(
        README.names("Environment").unwrap(),
        set(lambda::ENVIRONMENT)
    );
}

#[test]
fn names_every_policy_key_with_its_default() {
    let defaults = leaves(&PruningPolicy::default()).unwrap();
    let told: BTreeMap<String, String> = README.pairs("Policy").unwrap().into_iter().collect();
    assert_eq!(told, defaults);
}

#[test]
fn the_example_has_every_key_and_the_defaults() {
    let example = PolicyDocument::<PruningPolicy>::parse(EXAMPLE, "policy.example.yaml").unwrap();
    assert!(example.policy().selects_targets());
    let mut policy = example.policy().clone();
    // The one value that is no default, as its comment says.
    policy.repositories = None;
    assert_eq!(policy, PruningPolicy::default());
    let defaults = leaves(&PruningPolicy::default()).unwrap();
    for path in defaults.keys() {
        let key = path.rsplit('.').next().unwrap();
        assert!(
            EXAMPLE.contains(&format!("{key}:")),
            "{path} is not in the example"
        );
    }
}

#[test]
fn the_commented_override_of_the_example_parses_too() {
    let (before, after) = EXAMPLE.split_once("overrides: []").unwrap();
    let text = format!("{before}overrides:{}", after.replace("\n#  ", "\n  "));
    let policy = PolicyDocument::<PruningPolicy>::parse(&text, "example").unwrap();
    assert_eq!(policy.policy().overrides.len(), 1);
}

/// What an event of AWS wakes, or why it wakes nothing.
fn woken_by(fixture: &str) -> Result<Scope, String> {
    let event = steward::event::parse(&event(fixture).unwrap()).unwrap();
    ImagePruning::scope(&event).map_err(|error| error.to_string())
}

#[test]
fn schedules_and_pushes_wake_it_and_its_own_deletions_do_not() {
    assert_eq!(woken_by("schedule-rule.json"), Ok(Scope::Everything));
    let pushed = woken_by("ecr-push.json").unwrap();
    assert!(matches!(pushed, Scope::Repositories(names) if names.len() == 1));
    let deleted = woken_by("ecr-delete-untagged.json").unwrap();
    assert_eq!(deleted, Scope::Repositories(vec![]));
    let error = woken_by("alarm-metric.json").unwrap_err();
    assert!(
        error.contains("CloudWatch alarm") && error.contains("allowed:"),
        "{error}"
    );
}

#[test]
fn a_wrong_parameter_is_named_with_what_is_allowed() {
    for (event, expected) in [
        (
            json!({"mode": "plan", "repositories": "shop/web"}),
            "repositories: \"shop/web\"",
        ),
        (
            json!({"mode": "plan", "repositories": []}),
            "repositories: []",
        ),
        (
            json!({"mode": "plan", "repositories": ["a", 1]}),
            "repositories: [\"a\",1]",
        ),
        (json!({"mode": "plan", "repos": ["a"]}), "repos: not a key"),
    ] {
        let parsed = steward::event::parse(&event).unwrap();
        let error = ImagePruning::scope(&parsed).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("allowed: "),
            "{error}"
        );
    }
}

#[test]
fn the_policy_of_the_template_is_the_defaults_and_lets_nothing_be_deleted() {
    let default = in_template("ImagePruningPolicy", "Default").unwrap();
    // A text in double quotes is the same in YAML and in JSON.
    let text: String = serde_json::from_str(&default).unwrap();
    let policy = PolicyDocument::<PruningPolicy>::parse(&text, "ImagePruningPolicy").unwrap();
    assert_eq!(policy.policy(), &PruningPolicy::default());
    assert!(!policy.selects_targets());
    // The template's rule knows this text, and refuses to apply by it.
    let rule = format!("[!Ref ImagePruningPolicy, {default}]");
    assert!(TEMPLATE.contains(&rule), "{rule}");
}

#[test]
fn the_schedule_of_the_template_asks_for_what_it_has_and_no_mode_of_its_own() {
    let input = in_template("ImagePruningNightly", "Input").unwrap();
    let input = input.trim_matches('\'');
    let request = lambda::request::<ImagePruning>(&serde_json::from_str(input).unwrap()).unwrap();
    assert_eq!(request.operation, ImagePruning::OPERATIONS[0]);
    assert_eq!(request.mode, None);
    assert_eq!(request.scope, Scope::Everything);
}
