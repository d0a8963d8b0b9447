//! The real binary, as AWS Lambda starts it: environment and events in, reports,
//! errors and log lines out, and a kill in the middle of its work.
//!
//! The other side of the Runtime API is a small server in this file.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward::engine::Clock;
use steward::report::{Report, Status};
use steward::switches;
use steward_sandbox::{Account, Fault, Image, Manifest, Repository, Sandbox};

const POLICY: &str = r#"{"version": 1, "repositories": {"include": ["*"]},
    "retention": {"keep_newest": 1, "keep_younger_than": "1d", "remove_untagged_after": "1d"},
    "limits": {"max_delete_share_percent": 100}}"#;

/// How an invocation ended: `response` or `error`, and its body.
type Ended = (String, Value);

/// The function's process and the Lambda around it.
struct Lambda {
    process: Child,
    events: Sender<(String, Value)>,
    ended: Receiver<Ended>,
    log: Option<JoinHandle<Vec<String>>>,
    next_id: AtomicU32,
}

impl Lambda {
    fn start(account: &Account, environment: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, waiting) = channel();
        let (report, ended) = channel();
        let arn = format!(
            "arn:aws:lambda:{}:{}:function:image-pruning",
            account.region_name(),
            account.id()
        );
        let waiting = Arc::new(Mutex::new(waiting));
        thread::spawn(move || {
            // Ends with the test process, as nothing else ends it.
            for stream in listener.incoming() {
                let (waiting, report, arn) = (Arc::clone(&waiting), report.clone(), arn.clone());
                thread::spawn(move || {
                    // The function goes away when a test ends or kills it.
                    let _ = serve(&stream.unwrap(), &waiting, &report, &arn);
                });
            }
        });

        let mut process = Command::new(env!("CARGO_BIN_EXE_image-pruning"))
            .env_clear()
            .envs(account.env())
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "image-pruning")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/image-pruning")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "one")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let log = Some(thread::spawn(move || lines.map_while(Result::ok).collect()));
        Self {
            process,
            events,
            ended,
            log,
            next_id: AtomicU32::new(1),
        }
    }

    /// Sends an event; returns the request's id.
    fn send(&self, event: Value) -> String {
        let id = format!("request-{}", self.next_id.fetch_add(1, Ordering::Relaxed));
        self.events.send((id.clone(), event)).unwrap();
        id
    }

    fn ended(&self) -> Ended {
        self.ended
            .recv_timeout(Duration::from_secs(30))
            .expect("the function answers")
    }

    /// The report on an event.
    fn report(&self, event: Value) -> Report {
        self.send(event);
        let (how, body) = self.ended();
        assert_eq!(how, "response", "{body}");
        serde_json::from_value(body).unwrap()
    }

    /// The error type and message for an event.
    fn error(&self, event: Value) -> (String, String) {
        self.send(event);
        let (how, body) = self.ended();
        assert_eq!(how, "error", "{body}");
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        (text("errorType"), text("errorMessage"))
    }

    /// SIGKILL, as Lambda ends a function whose time is up.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Everything that it has written, which only its end makes certain.
    fn log(mut self) -> Vec<Value> {
        self.kill();
        let log = self.log.take().unwrap().join().unwrap();
        log.iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect()
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One connection of the function's: "Using the Lambda runtime API", AWS Lambda
/// Developer Guide.
fn serve(
    stream: &TcpStream,
    waiting: &Mutex<Receiver<(String, Value)>>,
    report: &Sender<Ended>,
    arn: &str,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = request(&mut reader)? {
        let part = |n: usize| path.split('/').nth(n).unwrap_or_default();
        match (part(2), part(3), part(5)) {
            // "Using the Lambda Extensions API to create extensions": an extension
            // without events, which is how a process gets SIGTERM before its end.
            ("extension", "register", _) => {
                let body = r#"{"functionName":"image-pruning","functionVersion":"1","handler":""}"#;
                respond(
                    stream,
                    "200 OK",
                    &[("Lambda-Extension-Identifier", "one")],
                    body,
                )?;
            }
            // The end of the sandbox, which never comes.
            ("extension", ..) => thread::park(),
            ("runtime", "invocation", "") => {
                let Ok((id, event)) = waiting.lock().unwrap().recv() else {
                    return Ok(());
                };
                let deadline = Clock::System.now() + SignedDuration::from_secs(60);
                let deadline = deadline.as_millisecond().to_string();
                let headers = [
                    ("Lambda-Runtime-Aws-Request-Id", id.as_str()),
                    ("Lambda-Runtime-Deadline-Ms", &deadline),
                    ("Lambda-Runtime-Invoked-Function-Arn", arn),
                ];
                respond(stream, "200 OK", &headers, &event.to_string())?;
            }
            ("runtime", "invocation", how) => {
                let body = serde_json::from_slice(&body).unwrap();
                respond(stream, "202 Accepted", &[], "")?;
                if report.send((how.to_owned(), body)).is_err() {
                    return Ok(());
                }
            }
            other => panic!("{path} is not of the Runtime API: {other:?}"),
        }
    }
    Ok(())
}

fn request(reader: &mut impl BufRead) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        assert!(!line.starts_with("transfer-encoding"), "sent in chunks");
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((path, body)))
}

fn respond(
    mut stream: &TcpStream,
    status: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{text}\r\n{body}").as_bytes())
}

fn days_ago(days: i64) -> Timestamp {
    Clock::System.now() - SignedDuration::from_hours(24 * days)
}

async fn set(account: &Account, name: &str, value: &str) {
    let put = account.ssm().put_parameter().name(name).value(value);
    put.r#type(aws_sdk_ssm::types::ParameterType::String)
        .overwrite(true)
        .send()
        .await
        .unwrap();
}

/// An account with both kill switches off, and a repository in which an index
/// with its two children may go and one image stays.
async fn account() -> (Account, Repository, String) {
    let account = Sandbox::shared().expect("the sandbox starts").account();
    for name in [
        switches::ALL.to_owned(),
        switches::name_for("image-pruning"),
    ] {
        set(&account, &name, switches::OFF).await;
    }
    let repository = account.repository("shop/web").await.unwrap();
    let children = ["amd64", "arm64"].map(|platform| Manifest::image_for("old", platform));
    for child in &children {
        repository.push_at(days_ago(60), child, &[]).await.unwrap();
    }
    let index = Manifest::index(&[&children[0], &children[1]]);
    repository
        .push_at(days_ago(60), &index, &["v1"])
        .await
        .unwrap();
    let newest = Manifest::image("newest");
    let newest = repository
        .push_at(days_ago(40), &newest, &["v2"])
        .await
        .unwrap();
    (account, repository, newest)
}

fn applying<'a>() -> [(&'a str, &'a str); 2] {
    [("STEWARD_MODE", "apply"), ("STEWARD_POLICY", POLICY)]
}

#[tokio::test]
async fn an_event_comes_in_and_a_report_goes_out() {
    let (account, repository, newest) = account().await;
    let lambda = Lambda::start(&account, &applying());

    let plan = lambda.report(json!({"operation": "prune", "mode": "plan"}));
    assert_eq!((plan.status, plan.summary.planned), (Status::Planned, 3));
    assert_eq!(plan.account, account.id());
    assert_eq!(plan.run_id, "request-1");
    assert_eq!(repository.digests().await.unwrap().len(), 4);

    // A schedule, as EventBridge sends it.
    let applied = lambda.report(json!({
        "version": "0", "id": "one", "detail-type": "Scheduled Event", "source": "aws.events",
        "account": account.id(), "time": "2026-11-22T03:00:00Z", "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/nightly"], "detail": {},
    }));
    assert_eq!(
        (applied.status, applied.summary.done),
        (Status::Applied, 3),
        "{applied:#?}"
    );
    assert!(applied.sums_hold());
    assert_eq!(repository.digests().await.unwrap(), [newest]);

    // The same process again: nothing that it remembers is in the way.
    let again = lambda.report(json!({}));
    assert_eq!(again.status, Status::NothingToDo);
    assert_eq!(again.run_id, "request-3");
}

#[tokio::test]
async fn what_cannot_be_understood_is_an_error_with_its_type_and_the_whole_chain() {
    let (account, repository, _) = account().await;
    let lambda = Lambda::start(&account, &applying());
    for (event, error_type, words) in [
        (
            json!({"detail-type": "Something Else", "source": "aws.else"}),
            "InvalidEvent",
            ["the event cannot be understood: ", "Something Else"],
        ),
        (
            json!([1, 2]),
            "InvalidEvent",
            ["the event cannot be understood: ", "a JSON object"],
        ),
        (
            json!({"mode": "aply"}),
            "InvalidEvent",
            ["the event cannot be understood: ", "aply"],
        ),
        (
            json!({"operation": "destroy"}),
            "InvalidRequest",
            ["the event is not for image-pruning: ", "allowed: prune"],
        ),
        (
            json!({"operation": "prune", "repositories": []}),
            "InvalidRequest",
            ["the event is not for image-pruning: ", "repositories"],
        ),
    ] {
        let (found, message) = lambda.error(event);
        assert_eq!(found, error_type, "{message}");
        for word in words {
            assert!(message.contains(word), "{message}");
        }
    }
    assert_eq!(repository.digests().await.unwrap().len(), 4);
    // The process lives on.
    assert_eq!(
        lambda.report(json!({"mode": "plan"})).status,
        Status::Planned
    );
}

#[tokio::test]
async fn a_policy_or_an_environment_that_is_wrong_is_an_error_at_every_invocation() {
    let (account, repository, _) = account().await;
    for (environment, error_type, words) in [
        (
            vec![(
                "STEWARD_POLICY",
                r#"{"version": 1, "retention": {"keep_newst": 1}}"#,
            )],
            "InvalidPolicy",
            ["STEWARD_POLICY", "keep_newst"],
        ),
        (
            vec![(
                "STEWARD_POLICY",
                r#"{"version": 1, "retention": {"keep_newest": 0}}"#,
            )],
            "InvalidPolicy",
            ["retention.keep_newest", "1 to 10000"],
        ),
        (
            vec![("STEWARD_POLICY_FROM", "ssm:/no/such/policy")],
            "UnreadablePolicy",
            ["ssm:/no/such/policy", "ParameterNotFound"],
        ),
        (
            vec![
                ("STEWARD_POLICY", POLICY),
                ("STEWARD_POLICY_FROM", "ssm:/a"),
            ],
            "InvalidEnvironment",
            ["STEWARD_POLICY", "STEWARD_POLICY_FROM"],
        ),
        (
            vec![("STEWARD_POLICY", POLICY), ("STEWARD_MODE", "Apply")],
            "InvalidEnvironment",
            ["STEWARD_MODE", "allowed: plan, apply"],
        ),
    ] {
        let lambda = Lambda::start(&account, &environment);
        for _ in 0..2 {
            let (found, message) = lambda.error(json!({}));
            assert_eq!(found, error_type, "{message}");
            for word in words {
                assert!(message.contains(word), "{message}");
            }
        }
    }
    assert_eq!(repository.digests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn the_leash_of_the_function_is_stronger_than_the_event() {
    let (account, repository, _) = account().await;
    for mode in ["plan", ""] {
        let environment = [("STEWARD_MODE", mode), ("STEWARD_POLICY", POLICY)];
        let lambda = Lambda::start(&account, &environment);
        let refused = lambda.report(json!({"mode": "apply"}));
        assert_eq!(refused.status, Status::Refused);
        assert_eq!(refused.refusals[0].guard, "mode");
        assert_eq!(lambda.report(json!({})).status, Status::Planned);
    }
    let without_policy = Lambda::start(&account, &[("STEWARD_MODE", "apply")]);
    let refused = without_policy.report(json!({}));
    assert_eq!(refused.status, Status::Refused);
    assert_eq!(refused.refusals[0].guard, "explicit_policy");
    assert_eq!(repository.digests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_kill_switch_that_is_on_or_missing_stops_it_and_off_lets_it_go_on() {
    let (account, repository, _) = account().await;
    let lambda = Lambda::start(&account, &applying());
    let own = switches::name_for("image-pruning");
    for name in [switches::ALL, &own] {
        for value in ["on", "OFF", "stop: see ticket 7"] {
            set(&account, name, value).await;
            let report = lambda.report(json!({}));
            assert_eq!(report.status, Status::Refused, "{name} is {value}");
            assert_eq!(report.refusals[0].guard, "kill_switch");
            assert!(
                report.refusals[0].detail.contains(name),
                "{:?}",
                report.refusals
            );
        }
        let delete = account.ssm().delete_parameter().name(name);
        delete.send().await.unwrap();
        let report = lambda.report(json!({}));
        assert_eq!(report.status, Status::Refused, "{name} is missing");
        assert!(
            report.refusals[0].detail.contains("does not exist"),
            "{:?}",
            report.refusals
        );
        set(&account, name, switches::OFF).await;
    }
    assert_eq!(repository.digests().await.unwrap().len(), 4);
    assert_eq!(lambda.report(json!({})).status, Status::Applied);
}

#[tokio::test]
async fn a_policy_is_read_from_a_parameter_or_a_bucket_at_every_invocation() {
    let (account, repository, _) = account().await;
    set(&account, "/steward/image-pruning/policy", POLICY).await;
    let s3 = account.s3();
    s3.create_bucket().bucket("policies").send().await.unwrap();
    let put = |text: &str| {
        let body = text.as_bytes().to_vec();
        let put = s3.put_object().bucket("policies").key("image-pruning.yaml");
        put.body(body.into()).send()
    };
    put(POLICY).await.unwrap();
    let mut digests = Vec::new();
    for from in [
        "ssm:/steward/image-pruning/policy",
        "s3://policies/image-pruning.yaml",
    ] {
        let environment = [("STEWARD_MODE", "apply"), ("STEWARD_POLICY_FROM", from)];
        let lambda = Lambda::start(&account, &environment);
        let report = lambda.report(json!({"mode": "plan"}));
        assert_eq!(report.summary.planned, 3, "{from}");
        digests.push(report.policy_digest);
        if from.starts_with("s3") {
            put(&POLICY.replace("\"*\"", "\"other/*\"")).await.unwrap();
            let report = lambda.report(json!({}));
            assert_eq!(
                (report.status, report.summary.observed),
                (Status::NothingToDo, 0)
            );
            put("version: 2").await.unwrap();
            let (error, message) = lambda.error(json!({}));
            assert_eq!(error, "InvalidPolicy");
            assert!(message.contains(from), "{message}");
        }
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(repository.digests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn every_log_line_is_json_with_its_time_and_names_the_run() {
    let (account, ..) = account().await;
    let lambda = Lambda::start(&account, &applying());
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
    }
    let of_run: Vec<&Value> = log
        .iter()
        .filter(|line| line.to_string().contains("request-1"))
        .collect();
    let deleted = of_run
        .iter()
        .filter(|line| line["action.kind"] == "delete_image")
        .count();
    assert_eq!(deleted, 3, "{log:#?}");
    let summary: Vec<&&Value> = of_run
        .iter()
        .filter(|line| line["run.status"].is_string())
        .collect();
    assert_eq!(summary.len(), 1, "{log:#?}");
    assert_eq!(summary[0]["run.id"], "request-1");
    assert_eq!(summary[0]["run.done"], 3);
    for line in of_run {
        assert_eq!(line["span"]["requestId"], "request-1", "{line}");
    }
    let refused = log.iter().find(|line| line["error.kind"] == "InvalidEvent");
    let refused = refused.unwrap_or_else(|| panic!("{log:#?}"));
    assert_eq!(refused["level"], "ERROR");
    assert!(
        refused["span"].to_string().contains("request-2"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_process_that_is_killed_while_deleting_leaves_nothing_broken_for_the_next() {
    let (account, repository, newest) = account().await;
    let more: Vec<Image> = (0..150)
        .map(|n| Image {
            tags: vec![format!("b{n}")],
            pushed_at: Some(days_ago(100 + n)),
            ..Image::default()
        })
        .collect();
    repository.fill(&more).await.unwrap();
    let before = repository.digests().await.unwrap().len();
    // The second batch is held until long after the kill.
    let held = Fault {
        service: "ecr".into(),
        operation: "BatchDeleteImage".into(),
        skip: Some(1),
        times: Some(1),
        delay_ms: Some(5_000),
        ..Fault::default()
    };
    account.control().fault(&held).await.unwrap();

    let mut first = Lambda::start(&account, &applying());
    first.send(json!({}));
    let mut left = before;
    for _ in 0..300 {
        left = repository.digests().await.unwrap().len();
        if left < before {
            break;
        }
        let pause = Duration::from_millis(50);
        let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
    }
    assert_eq!(left, before - 100, "the first batch and no more");
    first.kill();
    assert!(
        first.ended.try_recv().is_err(),
        "it was killed in the middle"
    );
    account.control().clear_faults().await.unwrap();

    let second = Lambda::start(&account, &applying());
    let report = second.report(json!({}));
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(repository.digests().await.unwrap(), [newest]);
    assert_eq!(second.report(json!({})).status, Status::NothingToDo);
}
