//! The entry of a function in Lambda: its environment, its requests, and what
//! an invocation says that has no report.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use steward::aws::IdentityError;
use steward::engine::{
    ActionView, Function, Leash, Mode, Plan, PlanOf, RunLimits, ScopeError, Seen, Trigger,
    UnitLimits,
};
use steward::event::Event;
use steward::lambda::{self, Environment, EnvironmentError, InvocationError, request};
use steward::ledger::LedgerTable;
use steward::policy::{Notify, Policy, PolicyError, PolicySource, Problems};
use steward::run::Request;

// ---- a function that only wakes up --------------------------------------------

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
struct Nothing {
    notify: Notify,
}

impl Policy for Nothing {
    fn check(&self, _: &mut Problems) {}

    fn selects_targets(&self) -> bool {
        false
    }

    fn notify(&self) -> &Notify {
        &self.notify
    }
}

#[derive(Clone, Debug)]
struct None0;

impl fmt::Display for None0 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no reason")
    }
}

impl steward::engine::Reason for None0 {
    fn code(&self) -> &'static str {
        "none"
    }
}

#[derive(Debug)]
struct Sleeper;

impl Function for Sleeper {
    const NAME: &'static str = "sleeper";
    const OPERATIONS: &'static [&'static str] = &["wake", "yawn"];
    const BATCH: usize = 1;
    type Policy = Nothing;
    type Scope = String;
    type World = ();
    type Action = ();
    type Reason = None0;

    /// Takes schedules, and by hand a parameter `bed`.
    fn scope(event: &Event) -> Result<String, ScopeError> {
        match event {
            Event::Schedule(_) => Ok("every bed".to_owned()),
            Event::Manual(manual) => match manual.parameters.get("bed") {
                None => Ok("every bed".to_owned()),
                Some(Value::String(bed)) => Ok(bed.clone()),
                Some(other) => Err(ScopeError(format!(
                    "bed: {other} is not allowed; allowed: a name"
                ))),
            },
            other => Err(ScopeError(format!(
                "it does not take {} events",
                other.kind()
            ))),
        }
    }

    fn decide(_: &Nothing, _: &String, _: &Seen<()>, _: Timestamp) -> PlanOf<Self> {
        Plan::of(vec![])
    }

    fn achieved((): &(), (): &()) -> bool {
        true
    }

    fn kind((): &()) -> &'static str {
        "none"
    }

    fn view((): &()) -> ActionView {
        ActionView {
            target: String::new(),
            unit: String::new(),
            resource: String::new(),
            detail: serde_json::Map::new(),
            elsewhere: None,
        }
    }

    fn unit_limits(_: &Nothing, _: &str) -> UnitLimits {
        UnitLimits::default()
    }

    fn run_limits(_: &Nothing) -> RunLimits {
        RunLimits::default()
    }
}

fn asked(payload: &Value) -> Request<Sleeper> {
    request(payload).unwrap()
}

/// Error type and message as Lambda shows them.
fn refused(payload: &Value) -> (String, String) {
    let error = request::<Sleeper>(payload).unwrap_err();
    shown(error)
}

fn shown(error: InvocationError) -> (String, String) {
    let diagnostic = lambda_runtime::Diagnostic::from(error);
    (diagnostic.error_type, diagnostic.error_message)
}

// ---- requests -----------------------------------------------------------------

#[test]
fn an_event_becomes_a_request() {
    let rule = json!({
        "version": "0", "id": "1", "detail-type": "Scheduled Event", "source": "aws.events",
        "account": "111122223333", "time": "2026-11-22T03:00:00Z", "region": "eu-west-1",
        "resources": ["arn:aws:events:eu-west-1:111122223333:rule/nightly"], "detail": {}
    });
    let table = [
        (json!({}), "wake", None, Trigger::Manual, "every bed"),
        (
            json!({"operation": "yawn"}),
            "yawn",
            None,
            Trigger::Manual,
            "every bed",
        ),
        (
            json!({"mode": "plan"}),
            "wake",
            Some(Mode::Plan),
            Trigger::Manual,
            "every bed",
        ),
        (
            json!({"mode": "apply", "bed": "red"}),
            "wake",
            Some(Mode::Apply),
            Trigger::Manual,
            "red",
        ),
        (
            json!({"operation": "wake", "executionId": "e-1"}),
            "wake",
            None,
            Trigger::Schedule,
            "every bed",
        ),
        (rule, "wake", None, Trigger::Schedule, "every bed"),
    ];
    for (payload, operation, mode, trigger, scope) in table {
        let request = asked(&payload);
        assert_eq!(request.operation, operation, "{payload}");
        assert_eq!(request.mode, mode, "{payload}");
        assert_eq!(request.trigger, trigger, "{payload}");
        assert_eq!(request.scope, scope, "{payload}");
        assert!(request.plan_file.is_none());
    }
}

#[test]
fn what_was_tolerated_in_an_event_reaches_the_report() {
    let request =
        asked(&json!({"scheduledTime": "<aws.scheduler.scheduled-time>", "mode": "plan"}));
    assert_eq!(request.warnings.len(), 1, "{:?}", request.warnings);
}

#[test]
fn what_is_not_understood_is_an_error_that_says_what_was_expected() {
    let table = [
        (
            json!(null),
            "InvalidEvent",
            "expected an event as a JSON object",
        ),
        (
            json!([]),
            "InvalidEvent",
            "expected an event as a JSON object",
        ),
        (
            json!("plan"),
            "InvalidEvent",
            "expected an event as a JSON object",
        ),
        (json!({"hello": 1}), "InvalidEvent", "\"hello\""),
        (
            json!({"mode": "Apply"}),
            "InvalidEvent",
            "is not one of \"plan\" and \"apply\"",
        ),
        (json!({"mode": null}), "InvalidEvent", "\"mode\" must be"),
        (
            json!({"mode": ["apply"]}),
            "InvalidEvent",
            "\"mode\" must be",
        ),
        (
            json!({"operation": ""}),
            "InvalidEvent",
            "\"operation\" must be",
        ),
        (
            json!({"operation": "sleep"}),
            "InvalidRequest",
            "operation: \"sleep\" is not allowed; allowed: wake, yawn",
        ),
        (
            json!({"operation": "WAKE"}),
            "InvalidRequest",
            "allowed: wake, yawn",
        ),
        (
            json!({"mode": "plan", "bed": 7}),
            "InvalidRequest",
            "bed: 7 is not allowed",
        ),
        (
            json!({"mode": "plan", "detail-type": "Scheduled Event"}),
            "InvalidEvent",
            "found both",
        ),
        (
            json!({"detail-type": "Lunch", "source": "aws.events"}),
            "InvalidEvent",
            "Lunch",
        ),
    ];
    for (payload, kind, expected) in table {
        let (error_type, message) = refused(&payload);
        assert_eq!(error_type, kind, "{payload}: {message}");
        assert!(message.contains(expected), "{payload}: {message}");
    }
}

#[test]
fn an_event_of_another_kind_names_the_function_that_does_not_take_it() {
    let push = json!({
        "version": "0", "id": "1", "detail-type": "ECR Image Action", "source": "aws.ecr",
        "account": "111122223333", "time": "2026-11-22T03:00:00Z", "region": "eu-west-1", "resources": [],
        "detail": {"action-type": "PUSH", "result": "SUCCESS", "repository-name": "web",
            "image-digest": "sha256:1", "image-tag": "v1"}
    });
    let (error_type, message) = refused(&push);
    assert_eq!(error_type, "InvalidRequest");
    assert_eq!(
        message,
        "the event is not for sleeper: it does not take ECR Image Action events"
    );
}

#[test]
fn no_payload_makes_it_panic_or_say_nothing() {
    let odd = [
        json!(null),
        json!(true),
        json!(-1.5e300),
        json!(""),
        json!("\u{0}é"),
        json!([{}]),
        json!({}),
        json!({"": ""}),
        json!({"a": {"b": {"c": []}}}),
        json!("x".repeat(100_000)),
    ];
    let keys = [
        "operation",
        "mode",
        "detail-type",
        "source",
        "detail",
        "alarmData",
        "Records",
        "time",
        "resources",
        "scheduledTime",
        "executionId",
        "scheduleArn",
        "attemptNumber",
        "bed",
        "account",
    ];
    let sources = [
        "aws.events",
        "aws.cloudwatch",
        "aws.ecs",
        "aws.rds",
        "aws.ecr",
        "aws.scheduler",
        "x",
    ];
    let types = [
        "Scheduled Event",
        "CloudWatch Alarm State Change",
        "ECS Service Action",
        "ECS Deployment State Change",
        "ECS Container Instance State Change",
        "RDS DB Snapshot Event",
        "ECR Image Action",
        "ECR Image Scan",
        "",
    ];
    let mut payloads: Vec<Value> = odd.to_vec();
    for value in &odd {
        for key in keys {
            payloads.push(json!({ key: value }));
            for other in keys {
                payloads.push(json!({ key: value, other: "plan" }));
            }
        }
        for source in sources {
            for detail_type in types {
                payloads
                    .push(json!({"source": source, "detail-type": detail_type, "detail": value}));
                payloads.push(json!({"source": source, "detail-type": detail_type, "time": value, "resources": value}));
            }
        }
        payloads.push(json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": value}}]}));
        payloads.push(json!({"Records": [{"Sns": value}]}));
        payloads.push(json!({"alarmData": {"state": value, "configuration": value}}));
    }
    for payload in payloads {
        if let Err(error) = request::<Sleeper>(&payload) {
            let (error_type, message) = shown(error);
            assert!(!error_type.is_empty() && !message.is_empty());
            assert!(
                message.len() < 3_000,
                "{} bytes about a payload",
                message.len()
            );
        }
    }
}

// ---- environment --------------------------------------------------------------

type Variables = [(&'static str, &'static str)];

fn environment(variables: &Variables) -> Result<Environment, EnvironmentError> {
    Environment::read(|name| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn the_environment_sets_leash_and_policy() {
    let ssm = || PolicySource::Ssm("/p".to_owned());
    let inline = || PolicySource::Inline("version: 1".to_owned().into());
    let table: [(&Variables, Mode, PolicySource); 9] = [
        (&[], Mode::Plan, PolicySource::Defaults),
        (
            &[("STEWARD_MODE", "plan")],
            Mode::Plan,
            PolicySource::Defaults,
        ),
        (
            &[("STEWARD_MODE", "apply")],
            Mode::Apply,
            PolicySource::Defaults,
        ),
        (
            &[("STEWARD_MODE", " apply\n")],
            Mode::Apply,
            PolicySource::Defaults,
        ),
        (
            &[("STEWARD_MODE", ""), ("STEWARD_POLICY", " ")],
            Mode::Plan,
            PolicySource::Defaults,
        ),
        (&[("STEWARD_POLICY", "version: 1")], Mode::Plan, inline()),
        (&[("STEWARD_POLICY_FROM", "ssm:/p")], Mode::Plan, ssm()),
        (&[("STEWARD_POLICY_FROM", " ssm:/p ")], Mode::Plan, ssm()),
        (
            &[("STEWARD_POLICY", ""), ("STEWARD_POLICY_FROM", "ssm:/p")],
            Mode::Plan,
            ssm(),
        ),
    ];
    for (variables, mode, policy) in table {
        let leash = Leash(mode);
        assert_eq!(
            environment(variables).unwrap(),
            Environment {
                leash,
                policy,
                notify_topic: None,
                ledger: LedgerTable::usual(),
            },
            "{variables:?}"
        );
    }
}

#[test]
fn the_topic_is_an_arn_in_any_partition() {
    for arn in [
        "arn:aws:sns:eu-west-1:123456789012:steward",
        " arn:aws-cn:sns:cn-north-1:123456789012:team_Steward-1 ",
    ] {
        let read = environment(&[("STEWARD_NOTIFY_TOPIC", arn)]).unwrap();
        assert_eq!(read.notify_topic.unwrap().to_string(), arn.trim());
    }
    let unset = environment(&[("STEWARD_NOTIFY_TOPIC", "")]).unwrap();
    assert_eq!(unset.notify_topic, None);
}

#[test]
fn the_ledger_is_a_table_that_has_to_be_there() {
    let read = environment(&[("STEWARD_LEDGER", " team.steward_ledger-1\n")]).unwrap();
    let table = LedgerTable::Required("team.steward_ledger-1".to_owned());
    assert_eq!(read.ledger, table);
    let unset = environment(&[("STEWARD_LEDGER", "")]).unwrap();
    assert_eq!(unset.ledger, LedgerTable::usual());
}

#[test]
fn no_debug_shows_a_policy() {
    let read = environment(&[("STEWARD_POLICY", "version: 1 # hunter2")]).unwrap();
    assert!(!format!("{read:?} {read:#?}").contains("hunter2"));
}

#[test]
fn a_wrong_environment_names_the_variable_the_value_and_what_is_allowed() {
    let topic = "arn:aws:sns:eu-west-1:123456789012:steward";
    let table: [(&Variables, &[&str]); 9] = [
        (
            &[("STEWARD_LEDGER", "no/table")],
            &["STEWARD_LEDGER", "\"no/table\"", "a DynamoDB table"],
        ),
        (
            &[("STEWARD_NOTIFY_TOPIC", "steward")],
            &["STEWARD_NOTIFY_TOPIC", "\"steward\"", topic],
        ),
        (
            &[(
                "STEWARD_NOTIFY_TOPIC",
                "arn:aws:sns:eu-west-1:123456789012:steward.fifo",
            )],
            &[
                "STEWARD_NOTIFY_TOPIC",
                "steward.fifo",
                "a standard SNS topic",
            ],
        ),
        (
            &[(
                "STEWARD_NOTIFY_TOPIC",
                "arn:aws:sqs:eu-west-1:123456789012:steward",
            )],
            &["STEWARD_NOTIFY_TOPIC", "arn:aws:sqs", topic],
        ),
        (
            &[("STEWARD_MODE", "Apply")],
            &["STEWARD_MODE", "\"Apply\"", "plan, apply"],
        ),
        (
            &[("STEWARD_MODE", "yes")],
            &["STEWARD_MODE", "\"yes\"", "plan, apply"],
        ),
        (
            &[("STEWARD_POLICY_FROM", "policy.yaml")],
            &["STEWARD_POLICY_FROM", "policy.yaml", "ssm:NAME"],
        ),
        (
            &[("STEWARD_POLICY_FROM", "s3://b")],
            &["STEWARD_POLICY_FROM", "s3://b", "s3://bucket/key"],
        ),
        (
            &[
                ("STEWARD_POLICY", "version: 1"),
                ("STEWARD_POLICY_FROM", "ssm:/p"),
            ],
            &["STEWARD_POLICY", "STEWARD_POLICY_FROM"],
        ),
    ];
    for (variables, expected) in table {
        let error = environment(variables).unwrap_err();
        let (error_type, message) = shown(error.into());
        assert_eq!(error_type, "InvalidEnvironment");
        for part in expected {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn only_the_documented_variables_are_read() {
    let read = std::cell::RefCell::new(vec![]);
    Environment::read(|name| {
        read.borrow_mut().push(name.to_owned());
        None
    })
    .unwrap();
    for name in read.into_inner() {
        let documented = lambda::ENVIRONMENT.iter().chain([&lambda::LEDGER]);
        assert!(documented.into_iter().any(|one| *one == name), "{name}");
    }
}

// ---- diagnostics --------------------------------------------------------------

#[test]
fn every_error_has_a_stable_type_and_tells_its_whole_cause_once() {
    let unreadable = PolicyError::Unreadable {
        origin: "ssm:/p".to_owned(),
        problem: "ssm:GetParameter: denied".to_owned(),
    };
    let invalid = PolicyError::Invalid {
        origin: "ssm:/p".to_owned(),
        problems: vec![
            "max: 7 is not allowed".to_owned(),
            "version: missing".to_owned(),
        ],
    };
    let source = EnvironmentError::Source(PolicyError::Source("x".to_owned()));
    let table: [(InvocationError, &str, &str); 8] = [
        (
            request::<Sleeper>(&json!([])).unwrap_err(),
            "InvalidEvent",
            "the event cannot be understood: expected an event as a JSON object, found ",
        ),
        (
            request::<Sleeper>(&json!({"operation": "x"})).unwrap_err(),
            "InvalidRequest",
            "the event is not for sleeper: operation: \"x\" is not allowed; allowed: wake, yawn",
        ),
        (
            unreadable.into(),
            "UnreadablePolicy",
            "the policy cannot be used: policy ssm:/p cannot be read: ssm:GetParameter: denied",
        ),
        (
            invalid.into(),
            "InvalidPolicy",
            "the policy cannot be used: policy ssm:/p: max: 7 is not allowed; version: missing",
        ),
        (
            PolicyError::Source("x".to_owned()).into(),
            "InvalidPolicy",
            "the policy cannot be used: \"x\" is no policy source; allowed: ",
        ),
        (
            source.into(),
            "InvalidEnvironment",
            "the environment cannot be used: environment variable STEWARD_POLICY_FROM: \"x\" is no policy source",
        ),
        (
            IdentityError::NoRegion.into(),
            "UnknownIdentity",
            "the account or Region is unknown: no Region is set",
        ),
        (
            IdentityError::GetCallerIdentity("dispatch failure: timed out".to_owned()).into(),
            "UnknownIdentity",
            "the account or Region is unknown: sts:GetCallerIdentity failed: dispatch failure: timed out",
        ),
    ];
    for (error, kind, message) in table {
        let (error_type, told) = shown(error);
        assert_eq!(error_type, kind);
        assert!(told.starts_with(message), "{told}");
        assert_eq!(
            told.matches("is no policy source").count(),
            usize::from(message.contains("is no policy"))
        );
    }
}
