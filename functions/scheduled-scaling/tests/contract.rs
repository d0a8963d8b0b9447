//! The contract section of the README says what the code does.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

use std::collections::{BTreeMap, BTreeSet};

use scheduled_scaling::policy::{Environment, Member, Size};
use scheduled_scaling::schedule::{Exception, Period, Schedule};
use scheduled_scaling::{
    ACTION_KINDS, BEHIND_CALLS, METRICS, PARTITION, PERMISSIONS, REASON_CODES, ScalingPolicy,
    ScheduledScaling, Scope,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use steward::engine::Function;
use steward::policy::{Policy, PolicyDocument};
use steward::{guard, hold, lambda, ledger, names};
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
        set(ScheduledScaling::OPERATIONS)
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
        names::ENVIRONMENT,
        names::PARKED,
        names::MANAGED_BY,
        names::MADE_FOR,
        hold::HOLD,
        hold::HOLD_UNTIL,
    ];
    assert_eq!(README.names("Tags").unwrap(), set(&tags));
    let variables = [lambda::ENVIRONMENT, &[lambda::LEDGER]].concat();
    assert_eq!(README.names("Environment").unwrap(), set(&variables));
}

#[test]
fn names_the_ledger_its_partitions_and_keys() {
    for name in [ledger::TABLE, PARTITION, ledger::RAISES] {
        assert!(README.0.contains(&format!("`{name}`")), "{name}");
    }
    for key in ["environment#ENV", "override#ENV", "size#ARN", "lease#ENV"] {
        assert!(README.0.contains(&format!("\n| `{key}` | ")), "{key}");
    }
}

#[test]
fn names_every_metric_of_its_own() {
    for metric in METRICS {
        assert!(README.0.contains(&format!("`{}`", metric.name)));
        let row = format!("| `{}` | {} |", metric.name, metric.unit);
        assert!(LOGGING.contains(&row), "{row}");
    }
}

/// The keys of something that has only what it must have, with their defaults;
/// `none` of those.
fn keys_of<T: DeserializeOwned + Serialize>(
    place: &str,
    required: Value,
) -> BTreeMap<String, String> {
    let least: T = serde_json::from_value(required.clone()).unwrap();
    let all = serde_json::to_value(least).unwrap();
    let default = |(key, value): (&String, &Value)| {
        let default = match required.get(key) {
            Some(_) => "none".to_owned(),
            None => value.to_string(),
        };
        (format!("{place}{key}"), default)
    };
    all.as_object().unwrap().iter().map(default).collect()
}

#[test]
fn names_every_policy_key_with_its_default() {
    let mut keys = leaves(&ScalingPolicy::default()).unwrap();
    // What has no leaves.
    for key in ["holidays", "schedules", "environments"] {
        assert!(!keys.contains_key(key));
        keys.insert(key.to_owned(), "{}".to_owned());
    }
    keys.extend(keys_of::<Schedule>("schedules.*.", json!({"periods": []})));
    keys.extend(keys_of::<Period>("schedules.*.periods.*.", json!({})));
    keys.extend(keys_of::<Exception>(
        "schedules.*.exceptions.*.",
        json!({"dates": "2026-12-24"}),
    ));
    keys.extend(keys_of::<Environment>(
        "environments.*.",
        json!({"schedules": []}),
    ));
    keys.extend(keys_of::<Member>("environments.*.members.*.", json!({})));
    keys.extend(keys_of::<Size>(
        "environments.*.members.*.sizes.*.",
        json!({}),
    ));
    let told: BTreeMap<String, String> = README.pairs("Policy").unwrap().into_iter().collect();
    assert_eq!(told, keys);
}

fn parse(text: &str) -> ScalingPolicy {
    let document = PolicyDocument::<ScalingPolicy>::parse(text, "policy.example.yaml");
    document.unwrap().policy().clone()
}

#[test]
fn the_example_has_the_defaults_where_it_does_not_say_otherwise() {
    let mut policy = parse(EXAMPLE);
    assert!(policy.selects_targets());
    // What is no default, as the comments say: that there is a schedule, with a
    // period, and an environment that names it.
    let office = policy.schedules.remove("office").unwrap();
    let dev = policy.environments.remove("dev").unwrap();
    assert_eq!(policy, ScalingPolicy::default());
    let periods = json!([{"days": ["mon-fri"], "start": "07:30", "stop": "19:00"}]);
    let least: Schedule = serde_json::from_value(json!({"periods": periods})).unwrap();
    assert_eq!(office, least);
    let least: Environment = serde_json::from_value(json!({"schedules": ["office"]})).unwrap();
    assert_eq!(dev, least);
}

#[test]
fn the_example_has_every_key_and_what_is_commented_out_parses() {
    let mut text = EXAMPLE.replace("\n    #  ", "\n      ");
    for (left_out, filled) in [
        ("holidays: {}\n#", "holidays:\n"),
        ("exceptions: []\n", "exceptions:\n"),
        ("members: null\n", "members:\n"),
        ("price_per_hour: null\n", "price_per_hour: 0.42\n"),
        ("price_per_hour_of: {}\n", "price_per_hour_of:\n"),
    ] {
        assert_eq!(text.matches(left_out).count(), 1, "{left_out}");
        text = text.replace(left_out, filled);
    }
    let policy = parse(&text);
    assert_eq!(policy.holidays["germany"].len(), 2);
    assert_eq!(policy.schedules["office"].exceptions.len(), 1);
    let dev = &policy.environments["dev"];
    let members = dev.members();
    // What is written with every key has the defaults.
    let database = Member {
        databases: members["database"].databases.clone(),
        ..Member::default()
    };
    assert_eq!(members["database"], database);
    assert_eq!(members["web"].sizes["small"].desired, Some(1));
    assert_eq!(dev.price_per_hour_of.len(), 1);

    for key in README.names("Policy").unwrap() {
        let key = key.rsplit('.').next().unwrap();
        assert!(
            text.contains(&format!("{key}:")),
            "{key} is not in the example"
        );
    }
}

/// What an event of AWS wakes, or why it wakes nothing.
fn woken_by(fixture: &str) -> Result<Scope, String> {
    let event = steward::event::parse(&event(fixture).unwrap()).unwrap();
    ScheduledScaling::scope(&event).map_err(|error| error.to_string())
}

#[test]
fn schedules_and_databases_wake_it_for_everything_and_nothing_else_does() {
    for fixture in ["schedule-rule.json", "rds-instance-started.json"] {
        assert_eq!(woken_by(fixture), Ok(Scope::Everything), "{fixture}");
    }
    for fixture in ["alarm-metric.json", "ecs-service-steady.json"] {
        let error = woken_by(fixture).unwrap_err();
        assert!(
            error.contains("allowed: schedules, RDS DB Instance Event"),
            "{error}"
        );
    }
}

#[test]
fn a_wrong_parameter_is_named_with_what_is_allowed() {
    let wish = |more: Value| {
        let mut event = json!({"operation": "override", "environment": "dev", "to": "on",
                               "for": "3h", "why": "a demo"});
        for (key, value) in more.as_object().unwrap() {
            event[key] = value.clone();
        }
        event
    };
    for (event, expected) in [
        (
            json!({"mode": "plan", "environments": "dev"}),
            "environments: \"dev\"",
        ),
        (
            json!({"mode": "plan", "environments": []}),
            "environments: []",
        ),
        (json!({"mode": "plan", "envs": ["a"]}), "envs: not a key"),
        (json!({"operation": "override"}), "environment: missing"),
        (wish(json!({"to": null})), "to: missing"),
        (wish(json!({"to": "awake"})), "to: \"awake\""),
        (wish(json!({"for": null})), "for: missing"),
        (wish(json!({"for": "32d"})), "for: \"32d\""),
        (wish(json!({"for": 3})), "for: 3"),
        (wish(json!({"why": " "})), "why: \" \""),
        (wish(json!({"why": "x".repeat(201)})), "why: \"xxx"),
        (wish(json!({"by": 1})), "by: 1"),
        (wish(json!({"size": 1})), "size: 1"),
        (
            wish(json!({"to": "off", "size": "small"})),
            "size: \"small\"",
        ),
        (wish(json!({"to": "none"})), "for: \"3h\""),
        (wish(json!({"until": "noon"})), "until: not a key"),
    ] {
        let parsed = steward::event::parse(&event).unwrap();
        let error = ScheduledScaling::scope(&parsed).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("allowed: "),
            "{error} instead of {expected}"
        );
    }
}

#[test]
fn what_the_policy_does_not_have_is_named_with_what_it_has() {
    let policy = parse(EXAMPLE);
    let of = |event: Value| {
        let parsed = steward::event::parse(&event).unwrap();
        let scope = ScheduledScaling::scope(&parsed).unwrap();
        ScheduledScaling::check(&policy, &scope).map_err(|error| error.to_string())
    };
    assert_eq!(of(json!({"mode": "plan", "environments": ["dev"]})), Ok(()));
    assert_eq!(
        of(json!({"mode": "plan", "environments": ["dev", "prod"]})).unwrap_err(),
        "environments: \"prod\" is not in the policy; allowed: dev"
    );
    let wish = |environment: &str, size: Value| {
        of(
            json!({"operation": "override", "environment": environment, "to": "on", "for": "3h",
                  "why": "a demo", "size": size}),
        )
    };
    assert_eq!(wish("dev", Value::Null), Ok(()));
    assert_eq!(
        wish("prod", Value::Null).unwrap_err(),
        "environment: \"prod\" is not in the policy; allowed: dev"
    );
    assert_eq!(
        wish("dev", json!("small")).unwrap_err(),
        "size: \"small\" is no size of dev; allowed: none, because it has no sizes"
    );
}

#[test]
fn the_policy_of_the_template_is_the_defaults_and_lets_nothing_be_parked() {
    let default = in_template("ScheduledScalingPolicy", "Default").unwrap();
    // A text in double quotes is the same in YAML and in JSON.
    let text: String = serde_json::from_str(&default).unwrap();
    let policy = PolicyDocument::<ScalingPolicy>::parse(&text, "ScheduledScalingPolicy").unwrap();
    assert_eq!(policy.policy(), &ScalingPolicy::default());
    assert!(!policy.selects_targets());
    // The template's rule knows this text, and refuses to apply by it.
    let rule = format!("[!Ref ScheduledScalingPolicy, {default}]");
    assert!(TEMPLATE.contains(&rule), "{rule}");
}

#[test]
fn the_schedule_of_the_template_asks_for_what_it_has_and_no_mode_of_its_own() {
    let input = in_template("ScheduledScalingTick", "Input").unwrap();
    let input = input.trim_matches('\'');
    let request =
        lambda::request::<ScheduledScaling>(&serde_json::from_str(input).unwrap()).unwrap();
    assert_eq!(request.operation, ScheduledScaling::OPERATIONS[0]);
    assert_eq!(request.mode, None);
    assert_eq!(request.scope, Scope::Everything);
}
