//! What the real binary tells beside its report: log lines, metrics, and
//! messages to an SNS topic with a queue behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use jiff::Timestamp;
use serde_json::{Value, json};
use steward::report::{Report, Status};
use steward::switches;
use steward_sandbox::{Account, Fault, Image, Mailbox, Manifest};

use crate::{POLICY, account, applying, set, start};

const PAGE: &str = include_str!("../../../../docs/logging.md");

/// The metrics of a line that is of the embedded metric format, by name.
fn metrics(line: &Value) -> Option<BTreeMap<String, f64>> {
    let definitions = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array()?;
    let value = |definition: &Value| {
        let name = definition["Name"].as_str().unwrap().to_owned();
        let value = line[&name].as_f64().unwrap();
        (name, value)
    };
    Some(definitions.iter().map(value).collect())
}

/// The lines of a run.
fn of_run<'a>(log: &'a [Value], id: &str) -> Vec<&'a Value> {
    log.iter().filter(|line| line["run.id"] == id).collect()
}

async fn mailbox(account: &Account) -> Mailbox {
    Mailbox::new(account, "steward").await.unwrap()
}

fn telling<'a>(topic: &'a str, policy: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("STEWARD_MODE", "apply"),
        ("STEWARD_POLICY", policy),
        ("STEWARD_NOTIFY_TOPIC", topic),
    ]
}

#[tokio::test]
async fn every_log_line_is_json_with_its_time_and_names_the_run() {
    let (account, ..) = account().await;
    let lambda = start(&account, &applying());
    lambda.report(json!({}));
    let (error, _) = lambda.error(json!({"mode": "no"}));
    assert_eq!(error, "InvalidEvent");
    let log = lambda.log();
    for line in &log {
        let time = line["timestamp"].as_str().unwrap_or_default();
        assert!(time.parse::<Timestamp>().is_ok(), "{line}");
        assert!(
            line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
        assert_eq!(line["service"], "image-pruning", "{line}");
    }
    let first = of_run(&log, "request-1");
    let deleted = first
        .iter()
        .filter(|line| line["action.kind"] == "delete_image")
        .count();
    assert_eq!(deleted, 3, "{log:#?}");
    let summary: Vec<&&Value> = first
        .iter()
        .filter(|line| line["policy.digest"].is_string())
        .collect();
    assert_eq!(summary.len(), 1, "{log:#?}");
    assert_eq!(summary[0]["run.status"], "applied");
    assert_eq!(summary[0]["run.done"], 3);
    for line in first {
        assert_eq!(line["function_request_id"], "request-1", "{line}");
        assert_eq!(line["function_name"], "image-pruning", "{line}");
        assert_eq!(line["function_memory_size"], 128, "{line}");
        assert_eq!(line["cold_start"], true, "{line}");
        assert_eq!(
            line["xray_trace_id"], "1-5759e988-bd862e3fe1be46a994272793",
            "{line}"
        );
        let arn = line["function_arn"].as_str().unwrap_or_default();
        assert!(arn.ends_with(":function:image-pruning"), "{line}");
    }
    let refused = log.iter().find(|line| line["error.kind"] == "InvalidEvent");
    let refused = refused.unwrap_or_else(|| panic!("{log:#?}"));
    assert_eq!(refused["level"], "ERROR");
    assert_eq!(refused["run.id"], "request-2");
    assert_eq!(refused["cold_start"], false);
}

#[tokio::test]
async fn a_process_that_was_started_ahead_is_no_cold_start() {
    let (account, ..) = account().await;
    let ahead = [("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency")];
    let lambda = start(&account, &ahead);
    lambda.report(json!({}));
    let log = lambda.log();
    assert!(
        log.iter().all(|line| line["cold_start"] == false),
        "{log:#?}"
    );
}

#[tokio::test]
async fn the_metrics_of_a_run_are_those_of_its_report() {
    let (account, repository, _) = account().await;
    let base = account.repository("base").await.unwrap();
    let only = Manifest::image("only");
    base.push_at(crate::days_ago(9), &only, &["v1"])
        .await
        .unwrap();
    let lambda = start(&account, &applying());
    let first = lambda.report(json!({}));
    assert_eq!(first.status, Status::Applied);
    // One throttled answer, which a retry makes good.
    let slow_down = Fault {
        service: "ecr".into(),
        operation: "DescribeRepositories".into(),
        times: Some(1),
        code: Some("ThrottlingException".into()),
        status: Some(400),
        ..Fault::default()
    };
    account.control().fault(&slow_down).await.unwrap();
    let second = lambda.report(json!({"mode": "plan"}));
    assert_eq!(repository.digests().await.unwrap().len(), 1);

    let log = lambda.log();
    for (id, report, cold, throttles) in [
        ("request-1", &first, 1.0, 0.0),
        ("request-2", &second, 0.0, 1.0),
    ] {
        let lines = of_run(&log, id);
        let told: Vec<(&Value, BTreeMap<String, f64>)> = lines
            .iter()
            .filter_map(|line| Some((*line, metrics(line)?)))
            .collect();
        let (function, units): (Vec<_>, Vec<_>) =
            told.iter().partition(|(line, _)| line["Unit"].is_null());
        assert_eq!((function.len(), units.len()), (1, 2), "{told:#?}");
        let (line, of_function) = function[0];
        assert_sums(of_function, report);
        assert_eq!(of_function["Refused"], report.refusals.len() as f64);
        assert_eq!(of_function["Gaps"], report.gaps.len() as f64);
        assert_eq!(of_function["ColdStart"], cold);
        assert_eq!(of_function["Throttles"], throttles);
        assert!(of_function["ApiCalls"] > 5.0, "{of_function:?}");
        let time = line["_aws"]["Timestamp"].as_i64().unwrap();
        assert_eq!(time, report.finished_at.as_millisecond());
        let elapsed = report.finished_at.duration_since(report.started_at);
        assert!((of_function["Duration"] - elapsed.as_secs_f64() * 1_000.0).abs() < 0.01);
        let mut together: BTreeMap<String, f64> = BTreeMap::new();
        for (line, of_unit) in &units {
            assert_eq!(line["Function"], "image-pruning");
            assert!(
                line["Unit"] == "base" || line["Unit"] == "shop/web",
                "{line}"
            );
            for (name, value) in of_unit {
                *together.entry(name.clone()).or_default() += value;
            }
        }
        assert_sums(&together, report);
    }
}

fn assert_sums(found: &BTreeMap<String, f64>, report: &Report) {
    let sums = &report.summary;
    for (name, value) in [
        ("Observed", sums.observed),
        ("Kept", sums.kept),
        ("Deferred", sums.deferred),
        ("Planned", sums.planned),
        ("Done", sums.done),
        ("AlreadyDone", sums.already_done),
        ("Skipped", sums.skipped),
        ("Failed", sums.failed),
    ] {
        assert_eq!(found[name], value as f64, "{name}");
    }
}

#[tokio::test]
async fn metrics_are_written_at_every_log_level() {
    let (account, ..) = account().await;
    let lambda = start(&account, &[("AWS_LAMBDA_LOG_LEVEL", "ERROR")]);
    lambda.report(json!({}));
    let log = lambda.log();
    assert!(
        !log.is_empty() && log.iter().all(|line| metrics(line).is_some()),
        "{log:#?}"
    );
}

#[tokio::test]
async fn no_log_level_shows_an_event_or_a_policy() {
    let (account, ..) = account().await;
    let secret = "hunter2-in-the-policy";
    let policy = format!("# {secret}\n{POLICY}");
    set(&account, "/steward/policy", &policy).await;
    for environment in [
        [
            ("STEWARD_POLICY_FROM", "ssm:/steward/policy"),
            ("RUST_LOG", "trace"),
        ],
        [
            ("STEWARD_POLICY_FROM", "ssm:/steward/policy"),
            ("AWS_LAMBDA_LOG_LEVEL", "TRACE"),
        ],
        [
            ("STEWARD_POLICY", &policy),
            ("RUST_LOG", "aws_smithy_runtime=trace,trace"),
        ],
    ] {
        let lambda = start(&account, &environment);
        lambda.report(json!({"mode": "plan"}));
        lambda.error(json!({"mode": "plan", "nothing": "hunter3-in-the-event"}));
        let log = Value::from(lambda.log()).to_string();
        assert!(log.len() > 100 && !log.contains(secret), "{log}");
        assert!(!log.contains("hunter3"), "{log}");
    }
}

/// The first column of every table of fields.
fn documented() -> BTreeSet<String> {
    let logs = PAGE.split("## Queries").next().unwrap();
    let mut fields = BTreeSet::new();
    let mut in_table = false;
    for line in logs.lines() {
        in_table = line.starts_with("| field |") || (in_table && line.starts_with('|'));
        if let Some(rest) = line.strip_prefix("| `").filter(|_| in_table) {
            fields.insert(rest.split('`').next().unwrap().to_owned());
        }
    }
    fields
}

/// What the queries name.
fn queried() -> BTreeSet<String> {
    let queries = PAGE.split("## Queries").nth(1).unwrap();
    let queries = queries.split("## Notifications").next().unwrap();
    let text: String = queries.split("```").skip(1).step_by(2).collect();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "._@\"-".contains(c)));
    let of_the_language = [
        "fields",
        "filter",
        "ispresent",
        "sort",
        "desc",
        "asc",
        "stats",
        "count",
        "latest",
        "as",
        "by",
        "avg",
        "max",
        "times",
        "last",
        "",
    ];
    words
        .filter(|word| !of_the_language.contains(word))
        .filter(|word| !word.starts_with('@') && !word.contains('"'))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_documentation_names_the_fields_of_real_lines() {
    let (account, repository, _) = account().await;
    let control = account.control();
    let mut log = Vec::new();
    // Denied deletions fail; a read that is denied is a gap and a refusal.
    for operation in ["BatchDeleteImage", "DescribeImages"] {
        let denied = Fault {
            service: "ecr".into(),
            operation: operation.into(),
            code: Some("AccessDeniedException".into()),
            status: Some(400),
            ..Fault::default()
        };
        control.fault(&denied).await.unwrap();
        let lambda = start(
            &account,
            &telling("arn:aws:sns:us-east-1:123456789012:no", POLICY),
        );
        lambda.report(json!({}));
        lambda.error(json!({"mode": "no"}));
        log.extend(lambda.log());
        control.clear_faults().await.unwrap();
    }
    // A report with no room for all of its actions.
    let many: Vec<Image> = (0..900)
        .map(|n| Image {
            tags: vec![format!("b{n}")],
            pushed_at: Some(crate::days_ago(100 + n)),
            ..Image::default()
        })
        .collect();
    repository.fill(&many).await.unwrap();
    let lambda = start(&account, &applying());
    let report = lambda.report(json!({"mode": "plan"}));
    assert!(report.truncated);
    log.extend(lambda.log());

    let metric = |name: &String| {
        PAGE.contains(&format!("| `{name}` | Count |"))
            || PAGE.contains(&format!("| `{name}` | Milliseconds |"))
    };
    let found: BTreeSet<String> = log
        .iter()
        .flat_map(|line| line.as_object().unwrap().keys().cloned())
        .filter(|name| !metric(name))
        .collect();
    assert_eq!(found, documented());
    for name in queried() {
        assert!(found.contains(&name) || metric(&name), "{name} is no field");
    }
}

#[tokio::test]
async fn a_topic_hears_of_what_was_done() {
    let (account, ..) = account().await;
    let mailbox = mailbox(&account).await;
    let lambda = start(&account, &telling(mailbox.topic(), POLICY));
    let applied = lambda.report(json!({}));
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");
    assert_eq!(applied.warnings, [] as [String; 0]);

    let messages = mailbox.read(1).await.unwrap();
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!(
        message.subject,
        format!(
            "Done: shop/web (image-pruning, us-east-1, {})",
            account.id()
        )
    );
    assert!(
        message.text.contains("delete_image: 3 done"),
        "{}",
        message.text
    );
    assert!(message.text.contains("Run request-1"), "{}", message.text);
    assert!(
        message.text.contains("Log group /aws/lambda/image-pruning"),
        "{}",
        message.text
    );
    assert_eq!(message.attributes["function"], "image-pruning");
    assert_eq!(message.attributes["news"], "done");

    // The next run finds nothing to do, and nobody hears of it.
    assert_eq!(lambda.report(json!({})).status, Status::NothingToDo);
    assert_eq!(mailbox.read(0).await.unwrap(), []);
    let log = lambda.log();
    let sent: Vec<f64> = log
        .iter()
        .filter_map(|line| metrics(line)?.get("NotificationsSent").copied())
        .collect();
    assert_eq!(sent, [1.0, 0.0]);
}

#[tokio::test]
async fn a_kill_switch_is_told_once_and_not_by_every_run_of_a_process() {
    let (account, ..) = account().await;
    set(&account, switches::ALL, "stop").await;
    let mailbox = mailbox(&account).await;
    let lambda = start(&account, &telling(mailbox.topic(), POLICY));
    // As EventBridge Scheduler starts it.
    let schedule = "arn:aws:scheduler:us-east-1:111111111111:schedule/default/steward";
    let scheduled = json!({"operation": "prune", "scheduleArn": schedule});
    assert_eq!(lambda.report(scheduled.clone()).status, Status::Refused);
    let told = mailbox.read(1).await.unwrap();
    assert!(told[0].text.contains("kill_switch"), "{told:#?}");
    assert_eq!(lambda.report(scheduled).status, Status::Refused);
    assert_eq!(mailbox.read(0).await.unwrap(), []);
    assert_eq!(lambda.report(json!({})).status, Status::Refused);
    assert_eq!(mailbox.read(1).await.unwrap().len(), told.len());
}

#[tokio::test]
async fn above_the_bound_of_the_policy_a_topic_hears_one_digest() {
    let (account, ..) = account().await;
    let mailbox = mailbox(&account).await;
    for name in ["a", "b", "c"] {
        let repository = account.repository(name).await.unwrap();
        let of = |n: i64| Image {
            tags: vec![format!("v{n}")],
            pushed_at: Some(crate::days_ago(50 + n)),
            ..Image::default()
        };
        repository.fill(&[of(1), of(2)]).await.unwrap();
    }
    let policy = POLICY.replacen('{', r#"{"notify": {"digest_above": 3},"#, 1);
    let lambda = start(&account, &telling(mailbox.topic(), &policy));
    let applied = lambda.report(json!({}));
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");
    let messages = mailbox.read(1).await.unwrap();
    assert_eq!(messages.len(), 1, "{messages:#?}");
    assert!(
        messages[0].subject.starts_with("6 done in 4 units ("),
        "{}",
        messages[0].subject
    );
}

/// Somebody on this machine who answers every request in the same way, or
/// never.
fn stand_in(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        // Ends with the test process, as nothing else ends it.
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0; 65_536];
                let _ = stream.read(&mut request);
                match answer {
                    Some(answer) => {
                        let _ = stream.write_all(answer.as_bytes());
                    }
                    None => thread::park(),
                }
            });
        }
    });
    address
}

const DENIED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n\
    <ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
    <Code>AuthorizationError</Code><Message>not authorized to perform: SNS:Publish</Message>\
    </Error><RequestId>1</RequestId></ErrorResponse>";

#[tokio::test]
async fn a_topic_that_cannot_be_told_changes_nothing_but_a_warning_and_a_metric() {
    for (endpoint, words) in [
        (None, "NotFound"),
        (Some(stand_in(Some(DENIED))), "AuthorizationError"),
        (Some(stand_in(None)), "no answer within"),
    ] {
        let (account, repository, newest) = account().await;
        let topic = format!("arn:aws:sns:us-east-1:{}:not-there", account.id());
        let mut environment: Vec<(&str, &str)> = telling(&topic, POLICY).to_vec();
        if let Some(endpoint) = &endpoint {
            environment.push(("AWS_ENDPOINT_URL_SNS", endpoint));
        }
        let lambda = start(&account, &environment);
        let applied = lambda.report(json!({}));
        assert_eq!((applied.status, applied.summary.done), (Status::Applied, 3));
        assert_eq!(repository.digests().await.unwrap(), [newest]);
        assert_eq!(applied.warnings.len(), 1, "{:?}", applied.warnings);
        let warning = &applied.warnings[0];
        assert!(
            warning.contains(words) && warning.contains(&topic),
            "{warning}"
        );
        let log = lambda.log();
        let told = log.iter().find_map(metrics).unwrap();
        assert_eq!(
            (told["NotificationsSent"], told["NotificationsFailed"]),
            (0.0, 1.0)
        );
        assert_eq!(told["Warnings"], 1.0);
        let line = log.iter().find(|line| line["warning"] == **warning);
        assert_eq!(line.unwrap_or_else(|| panic!("{log:#?}"))["level"], "WARN");
    }
}

#[tokio::test]
async fn a_wrong_topic_is_an_error_before_anything_is_done() {
    let (account, repository, _) = account().await;
    let lambda = start(&account, &telling("steward", POLICY));
    let (error, message) = lambda.error(json!({}));
    assert_eq!(error, "InvalidEnvironment");
    assert!(
        message.contains("STEWARD_NOTIFY_TOPIC is \"steward\""),
        "{message}"
    );
    assert_eq!(repository.digests().await.unwrap().len(), 4);
}
