//! AWS Lambda around the real binary of a function: the other side of the Runtime
//! API is a small server in this file. It panics where a test would.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its Lambda included"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::account::Account;
use jiff::SignedDuration;
use serde_json::Value;
use steward::engine::Clock;
use steward::report::Report;

/// A tracing header, as X-Ray writes it.
const TRACE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

/// How an invocation ended: `response` or `error`, and its body.
pub type Ended = (String, Value);

/// The function's process and the Lambda around it.
#[derive(Debug)]
pub struct Lambda {
    process: Child,
    events: Sender<(String, Value)>,
    /// How its invocations end, in their order.
    pub ended: Receiver<Ended>,
    log: Option<JoinHandle<Vec<String>>>,
    next_id: AtomicU32,
}

impl Lambda {
    /// Starts the binary of a function with the credentials of an account and
    /// these variables.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(
        account: &Account,
        function: &str,
        binary: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, waiting) = channel();
        let (report, ended) = channel();
        let arn = format!(
            "arn:aws:lambda:{}:{}:function:{function}",
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

        let mut process = Command::new(binary)
            .env_clear()
            .envs(account.env())
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", function)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env(
                "AWS_LAMBDA_LOG_GROUP_NAME",
                format!("/aws/lambda/{function}"),
            )
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
    ///
    /// # Panics
    /// When the function's Lambda has gone away.
    pub fn send(&self, event: Value) -> String {
        let id = format!("request-{}", self.next_id.fetch_add(1, Ordering::Relaxed));
        self.events.send((id.clone(), event)).unwrap();
        id
    }

    /// How the next invocation ends.
    ///
    /// # Panics
    /// When none does.
    pub fn ended(&self) -> Ended {
        self.ended
            .recv_timeout(Duration::from_secs(30))
            .expect("the function answers")
    }

    /// The report on an event.
    ///
    /// # Panics
    /// When it ends in an error, or not at all.
    pub fn report(&self, event: Value) -> Report {
        self.send(event);
        let (how, body) = self.ended();
        assert_eq!(how, "response", "{body}");
        serde_json::from_value(body).unwrap()
    }

    /// The error type and message for an event.
    ///
    /// # Panics
    /// When it ends in a report, or not at all.
    pub fn error(&self, event: Value) -> (String, String) {
        self.send(event);
        let (how, body) = self.ended();
        assert_eq!(how, "error", "{body}");
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        (text("errorType"), text("errorMessage"))
    }

    /// SIGKILL, as Lambda ends a function whose time is up.
    ///
    /// # Panics
    /// When the process cannot be ended.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Everything that it has written, which only its end makes certain.
    ///
    /// # Panics
    /// When a line is no JSON.
    pub fn log(mut self) -> Vec<Value> {
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
                    ("Lambda-Runtime-Trace-Id", TRACE),
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
