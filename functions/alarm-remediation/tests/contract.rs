//! The contract section of the README says what the code does.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

use std::collections::{BTreeMap, BTreeSet};

use alarm_remediation::hours::{Freeze, Working};
use alarm_remediation::policy::{
    ChangeClass, GrowStorage, Mapping, OFF, Plain, RaiseGroup, RaiseService, Remedies,
    ReplaceInstance, ReplaceTasks, RollBack,
};
use alarm_remediation::{
    ACTION_KINDS, AlarmRemediation, BEHIND_CALLS, HISTORY, KEPT_FOR, LINGERS, METRICS, NOTES,
    PARTITION, PERMISSIONS, REASON_CODES, REMEDIATION, RemediationPolicy, Scope, Sighting, keys,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use steward::engine::Function;
use steward::policy::{Period, Policy, PolicyDocument, Selection};
use steward::{guard, hold, lambda, ledger, names};
use steward_sandbox::contract::{Readme, event, leaves};

const README: Readme = Readme(include_str!("../README.md"));
const EXAMPLE: &str = include_str!("../policy.example.yaml");
const LOGGING: &str = include_str!("../../../docs/logging.md");

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn names_every_operation_action_and_reason() {
    assert_eq!(
        README.names("Operations").unwrap(),
        set(AlarmRemediation::OPERATIONS)
    );
    assert_eq!(README.names("Actions").unwrap(), set(ACTION_KINDS));
    assert_eq!(README.names("Reasons").unwrap(), set(REASON_CODES));
}

#[test]
fn what_only_the_ledger_hears_of_says_so() {
    let told = README.pairs("Actions").unwrap();
    let noted = told.iter().filter(|(_, does)| {
        let writes = does.starts_with("writes into the ledger");
        writes || does == "moves a case to the history"
    });
    let noted: BTreeSet<String> = noted.map(|(kind, _)| kind.clone()).collect();
    assert_eq!(noted, set(NOTES));
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
        // Cells are told without the backquotes around them.
        .map(|(action, why)| ((*action).to_owned(), why.trim_matches('`').to_owned()))
        .collect();
    assert_eq!(told, behind);
}

#[test]
fn names_every_guard_tag_and_environment_variable() {
    assert_eq!(README.names("Guards").unwrap(), set(guard::NAMES));
    let tags = [
        REMEDIATION,
        names::PARKED,
        names::MANAGED_BY,
        hold::HOLD,
        hold::HOLD_UNTIL,
    ];
    assert_eq!(README.names("Tags").unwrap(), set(&tags));
    let variables = [lambda::ENVIRONMENT, &[lambda::LEDGER]].concat();
    assert_eq!(README.names("Environment").unwrap(), set(&variables));
    assert!(README.0.contains(&format!("\n| `{OFF}` | ")));
}

#[test]
fn names_the_ledger_its_partitions_and_keys() {
    for name in [ledger::TABLE, PARTITION, HISTORY, ledger::RAISES] {
        assert!(README.0.contains(&format!("`{name}`")), "{name}");
    }
    let targets = [keys::ATTEMPTS, keys::LEASE].map(|start| format!("{start}TARGET"));
    let [attempts, lease] = &targets;
    let case = format!("{}ALARM", keys::CASE);
    for key in [case.as_str(), attempts, keys::OF_ALL, lease] {
        assert!(README.0.contains(&format!("\n| `{key}` | ")), "{key}");
    }
    let whole = README.0.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!((LINGERS, KEPT_FOR), (Period::minutes(15), Period::days(90)));
    for text in ["quiet for 15 minutes", "kept for 90 days", "for 90 days."] {
        assert!(whole.contains(text), "{text}");
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
    let mut keys = leaves(&RemediationPolicy::default()).unwrap();
    let of = json!({"include": ["*"]});
    let with = |key: &str, value: u32| json!({"of": of, key: value});
    keys.extend(keys_of::<Mapping>(
        "targets.*.",
        json!({"alarms": of, "target": "group:a"}),
    ));
    let place = |name: &str| format!("remedies.{name}.");
    keys.extend(keys_of::<RaiseService>(
        &place("raise_service"),
        with("most", 1),
    ));
    keys.extend(keys_of::<Plain>(
        &place("stop_deployment"),
        json!({"of": of}),
    ));
    keys.extend(keys_of::<RollBack>(&place("roll_back"), json!({"of": of})));
    keys.extend(keys_of::<ReplaceTasks>(
        &place("replace_tasks"),
        json!({"of": of}),
    ));
    keys.extend(keys_of::<RaiseGroup>(
        &place("raise_group"),
        with("most", 1),
    ));
    keys.extend(keys_of::<ReplaceInstance>(
        &place("replace_instance"),
        json!({"of": of}),
    ));
    keys.extend(keys_of::<GrowStorage>(
        &place("grow_storage"),
        with("most_gib", 20),
    ));
    keys.extend(keys_of::<ChangeClass>(
        &place("change_class"),
        json!({"of": of, "classes": ["db.t4g.medium", "db.t4g.large"]}),
    ));
    keys.extend(keys_of::<Working>(
        "hours.within.*.",
        json!({"days": ["mon"], "from": "09:00", "to": "17:00"}),
    ));
    keys.extend(keys_of::<Freeze>(
        "hours.freezes.*.",
        json!({"from": "2026-12-20T00:00:00Z", "until": "2027-01-02T00:00:00Z", "why": "x"}),
    ));
    let told: BTreeMap<String, String> = README.pairs("Policy").unwrap().into_iter().collect();
    assert_eq!(told, keys);
}

#[test]
fn the_action_kinds_of_remedies_are_keys_of_the_policy() {
    let named = serde_json::to_value(Remedies::default()).unwrap();
    for key in named.as_object().unwrap().keys() {
        assert!(ACTION_KINDS.contains(&key.as_str()), "{key}");
        assert!(README.0.contains(&format!(": `{key}`\n")), "{key}");
    }
}

fn parse(text: &str) -> RemediationPolicy {
    let document = PolicyDocument::<RemediationPolicy>::parse(text, "policy.example.yaml");
    document.unwrap().policy().clone()
}

#[test]
fn the_example_has_the_defaults_where_it_does_not_say_otherwise() {
    let mut policy = parse(EXAMPLE);
    assert!(policy.selects_targets());
    // What is no default, as its comment says.
    assert!(policy.alarms.take().is_some());
    assert_eq!(policy, RemediationPolicy::default());
}

/// The example with everything that is commented out in it.
fn filled() -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let (head, body) = EXAMPLE.split_once("version: 1\n").unwrap();
    // Comments have a space after their mark, what is commented out has two.
    let bare = body.lines().map(|line| match line.split_once("#  ") {
        Some((start, rest)) if start.trim().is_empty() => format!("{start}  {rest}"),
        _ => line.to_owned(),
    });
    let lines: Vec<String> = bare.collect();
    let mut text = format!("{head}version: 1\n");
    for (n, line) in lines.iter().enumerate() {
        // What has nothing is what has something below it now.
        let next = lines.get(n + 1).map_or("", String::as_str);
        let nothing = [": null", ": []"].iter().find(|end| line.ends_with(*end));
        let line = match nothing {
            Some(end) if indent(next) > indent(line) => line.replace(end, ":"),
            _ => line.clone(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[test]
fn the_example_has_every_key_and_what_is_commented_out_has_the_defaults() {
    let text = filled();
    let policy = parse(&text);
    let everything = Selection::everything();
    let of = |given: Selection| {
        assert_ne!(given, everything);
        serde_json::to_value(given).unwrap()
    };
    let remedies = policy.remedies;

    let it = remedies.raise_service.unwrap();
    let least = json!({"of": of(it.of.clone()), "most": it.most});
    assert_eq!(it, serde_json::from_value(least).unwrap());
    let it = remedies.stop_deployment.unwrap();
    let least = json!({"of": of(it.of.clone())});
    assert_eq!(it, serde_json::from_value(least).unwrap());
    let it = remedies.roll_back.unwrap();
    let least = json!({"of": of(it.of.clone())});
    assert_eq!(it, serde_json::from_value(least).unwrap());
    let it = remedies.replace_tasks.unwrap();
    let least = json!({"of": of(it.of.clone())});
    assert_eq!(it, serde_json::from_value(least).unwrap());
    let it = remedies.raise_group.unwrap();
    let least = json!({"of": of(it.of.clone()), "most": it.most});
    assert_eq!(it, serde_json::from_value(least).unwrap());
    let it = remedies.replace_instance.unwrap();
    let least = json!({"of": of(it.of.clone())});
    assert_eq!(it, serde_json::from_value(least).unwrap());
    let it = remedies.grow_storage.unwrap();
    let least = json!({"of": of(it.of.clone()), "most_gib": it.most_gib});
    assert_eq!(it, serde_json::from_value(least).unwrap());
    assert_eq!(remedies.change_class.unwrap().classes.len(), 3);

    assert!(policy.clusters.is_some());
    assert_eq!(policy.targets.len(), 1);
    assert_eq!(
        (policy.hours.within.len(), policy.hours.freezes.len()),
        (1, 1)
    );
    for key in README.names("Policy").unwrap() {
        let key = key.rsplit('.').next().unwrap();
        assert!(
            text.contains(&format!("{key}:")),
            "{key} is not in the example"
        );
    }
}

/// What an event wakes, or why it wakes nothing.
fn woken_by(event: &Value) -> Result<Scope, String> {
    let event = steward::event::parse(event).unwrap();
    AlarmRemediation::scope(&event).map_err(|error| error.to_string())
}

/// The alarm of an event, in the account and Region of the fixtures.
fn sighting(name: &str) -> Sighting {
    Sighting {
        name: name.to_owned(),
        arn: Some(format!(
            "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}"
        )),
    }
}

/// Every shape in which an alarm reaches a function, and which alarm that is. What it
/// says of the alarm's state decides nothing: the alarm is read.
const ALARMS: &[(&str, &str)] = &[
    ("alarm-anomaly", "orders-db-cpu: unusual"),
    ("alarm-by-action", "web-5xx"),
    ("alarm-by-action-composite", "web-is-down"),
    ("alarm-by-action-contributor", "any-service-cpu"),
    ("alarm-by-sns", "web-5xx"),
    ("alarm-by-sns-anomaly", "orders-db-cpu: unusual"),
    ("alarm-by-sns-composite", "web-is-down"),
    ("alarm-by-sns-metric-math", "web-error-rate"),
    ("alarm-by-sns-null-description", "web-5xx"),
    ("alarm-composite", "web-is-down"),
    ("alarm-composite-not-suppressed", "web-is-down"),
    ("alarm-composite-suppressed", "web-is-down"),
    ("alarm-composite-suppressed-by-alarm", "web-is-down"),
    ("alarm-configuration-create", "web-is-down"),
    ("alarm-configuration-delete", "web-5xx"),
    ("alarm-configuration-update", "web-5xx"),
    ("alarm-contributor", "any-service-cpu"),
    ("alarm-created-in-alarm", "web-healthy-hosts"),
    ("alarm-insufficient-data", "web-5xx"),
    ("alarm-log", "orders-errors-in-log"),
    ("alarm-long-period", "backup-is-old"),
    ("alarm-metric", "web-5xx"),
    ("alarm-metric-math", "web-error-rate"),
    ("alarm-metric-muted", "web-5xx"),
    ("alarm-metrics-insights", "any-service-cpu"),
    ("alarm-no-dimensions", "billing"),
    ("alarm-null-datapoints", "web-5xx"),
    ("alarm-odd-fields", "web-5xx"),
    ("alarm-promql", "pods-restarting"),
    ("alarm-unknown-configuration", "from-the-future"),
    ("alarm-unknown-state", "web-5xx"),
    ("alarm-without-configuration", "bare"),
    ("alarm-without-reason-data", "web-5xx"),
];

const CONTAINER_INSTANCE: &str = "arn:aws:ecs:eu-west-1:123456789012:container-instance";

/// What each recorded event wakes that is none of [`ALARMS`]: a scope, or what the
/// refusal says.
fn others() -> BTreeMap<&'static str, Result<Scope, &'static str>> {
    let instance = |id: &str| Scope::Instance {
        cluster: "prod".to_owned(),
        instance: format!("{CONTAINER_INSTANCE}/{id}"),
    };
    let no_arn = Sighting {
        arn: None,
        ..sighting("web-5xx")
    };
    let several = ["web-5xx", "web: latency"].map(sighting).to_vec();
    let mut others = BTreeMap::from([
        (
            "alarm-by-sns-missing-fields",
            Ok(Scope::Alarms(vec![no_arn])),
        ),
        ("alarm-by-sns-several", Ok(Scope::Alarms(several))),
        (
            "ecs-container-instance",
            Ok(instance("prod/b54a2a04046f43319d743f6d7f6ca315")),
        ),
        (
            "ecs-container-instance-short-arn",
            Ok(instance("b54a2a04-046f-4331-9d74-3f6d7f6ca315")),
        ),
        (
            "ecs-container-instance-sparse",
            Err("names no cluster; allowed: an event with detail.clusterArn"),
        ),
        // Operations of other functions, without what they ask for.
        ("manual-empty", Ok(Scope::OpenCases)),
        ("manual-operation", Ok(Scope::OpenCases)),
        ("manual-plan", Ok(Scope::OpenCases)),
        ("manual-unfilled-placeholders", Ok(Scope::OpenCases)),
        (
            "manual-apply-with-parameters",
            Err("not a key of this event; allowed: operation, mode, alarms"),
        ),
        (
            "manual-from-scheduler",
            Err("environment: not a key of this event"),
        ),
    ]);
    for name in [
        "schedule-rule",
        "schedule-scheduler-default",
        "schedule-without-rule",
    ] {
        others.insert(name, Ok(Scope::OpenCases));
    }
    others
}

#[test]
fn every_recorded_event_wakes_it_for_what_it_is_about_or_is_refused() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(root.join("../../shared/fixtures/events")).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let fixtures: BTreeSet<String> = files
        .filter_map(|file| file.strip_suffix(".json").map(str::to_owned))
        .collect();
    let alarms: BTreeMap<&str, &str> = ALARMS.iter().copied().collect();
    let others = others();
    for known in alarms.keys().chain(others.keys()) {
        assert!(fixtures.contains(*known), "there is no {known}");
    }
    for name in &fixtures {
        let found = woken_by(&event(&format!("{name}.json")).unwrap());
        let name = name.as_str();
        match (alarms.get(name), others.get(name)) {
            (Some(alarm), _) => {
                assert_eq!(found, Ok(Scope::Alarms(vec![sighting(alarm)])), "{name}");
            }
            (None, Some(Ok(expected))) => assert_eq!(found.as_ref(), Ok(expected), "{name}"),
            (None, expected) => {
                let expected = expected.and_then(|it| it.as_ref().err());
                let expected = expected.copied().unwrap_or("does not take ");
                let error = found.unwrap_err();
                assert!(error.contains(expected), "{name}: {error}");
                assert!(!name.starts_with("alarm"), "{name}: {error}");
            }
        }
    }
}

#[test]
fn the_cluster_of_an_instance_is_in_its_arn_or_beside_it() {
    let mut sent = event("ecs-container-instance.json").unwrap();
    let detail = sent["detail"].as_object_mut().unwrap();
    detail.remove("clusterArn").unwrap();
    let whole = woken_by(&event("ecs-container-instance.json").unwrap());
    assert!(matches!(&whole, Ok(Scope::Instance { cluster, .. }) if cluster == "prod"));
    assert_eq!(woken_by(&sent), whole);
}

#[test]
fn by_hand_it_is_asked_about_alarms_open_cases_everything_or_one_approval() {
    let named = |name: &str| Sighting {
        name: name.to_owned(),
        arn: None,
    };
    for (event, expected) in [
        (json!({}), Scope::OpenCases),
        (json!({"mode": "plan"}), Scope::OpenCases),
        (
            json!({"operation": "remediate", "alarms": ["a", "b: c"]}),
            Scope::Alarms(vec![named("a"), named("b: c")]),
        ),
        (json!({"operation": "sweep", "mode": "apply"}), Scope::Sweep),
        (
            json!({"operation": "approve", "case": "b: c"}),
            Scope::Approved("b: c".to_owned()),
        ),
    ] {
        let request = lambda::request::<AlarmRemediation>(&event).unwrap();
        assert_eq!(request.scope, expected, "{event}");
    }
    // As EventBridge Scheduler asks, with its input.
    let scheduled = json!({"operation": "sweep", "scheduledTime": "2026-11-22T19:00:00Z",
                           "executionId": "d32c5kddcf5bb8c3"});
    assert_eq!(woken_by(&scheduled), Ok(Scope::Sweep));
}

#[test]
fn a_wrong_parameter_is_named_with_what_is_allowed() {
    for (event, expected) in [
        (json!({"mode": "plan", "alarms": "a"}), "alarms: \"a\""),
        (json!({"mode": "plan", "alarms": []}), "alarms: []"),
        (json!({"mode": "plan", "alarms": [1]}), "alarms: [1]"),
        (json!({"mode": "plan", "alarm": "a"}), "alarm: not a key"),
        (
            json!({"operation": "sweep", "alarms": ["a"]}),
            "alarms: not a key",
        ),
        (json!({"operation": "approve"}), "case: missing"),
        (json!({"operation": "approve", "case": " "}), "case: \" \""),
        (json!({"operation": "approve", "case": 1}), "case: 1"),
        (
            json!({"operation": "approve", "case": "a", "why": "b"}),
            "why: not a key",
        ),
    ] {
        let error = woken_by(&event).unwrap_err();
        assert!(
            error.contains(expected) && error.contains("allowed: "),
            "{error} instead of {expected}"
        );
    }
    let unknown = json!({"operation": "restart"});
    let error = lambda::request::<AlarmRemediation>(&unknown).unwrap_err();
    assert!(steward::aws::chain(&error).contains("allowed: remediate, sweep, approve"));
}
