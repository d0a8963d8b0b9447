//! The other side of the Lambda Runtime API ("Using the Lambda runtime API for
//! custom runtimes", AWS Lambda Developer Guide), for one function process.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::scenario::{ACCOUNT, REGION};

/// How long a run may take before it counts as hung, and its deadline.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What the function did.
enum Said {
    /// It asks for an event.
    Next(Instant),
    /// It has answered, with a report or an error.
    Ended(Instant, bool, Bytes),
}

/// A Runtime API; it is gone when this is dropped.
pub(crate) struct Runtime {
    pub(crate) address: String,
    said: mpsc::UnboundedReceiver<Said>,
    event: Arc<Event>,
    server: JoinHandle<()>,
}

/// The event that waits to be fetched.
#[derive(Default)]
struct Event {
    there: Notify,
    body: Mutex<String>,
}

impl Runtime {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (tell, said) = mpsc::unbounded_channel();
        let event = Arc::new(Event::default());
        let server = tokio::spawn(serve(listener, tell, Arc::clone(&event)));
        Ok(Self {
            address,
            said,
            event,
            server,
        })
    }

    async fn heard(&mut self) -> Result<Said> {
        let said = tokio::time::timeout(TIMEOUT, self.said.recv()).await;
        said.context("the function hangs")?
            .context("the Runtime API has ended")
    }

    /// When the function asked for an event.
    pub(crate) async fn next(&mut self) -> Result<Instant> {
        match self.heard().await? {
            Said::Next(at) => Ok(at),
            Said::Ended(..) => bail!("the function answers without an event"),
        }
    }

    /// Gives it the event, and returns its report with the time that it took.
    pub(crate) async fn invoke(&mut self, event: &Value) -> Result<(Value, Duration)> {
        let started = Instant::now();
        *self
            .event
            .body
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = event.to_string();
        self.event.there.notify_one();
        match self.heard().await? {
            Said::Ended(at, true, body) => {
                Ok((serde_json::from_slice(&body)?, at.duration_since(started)))
            }
            Said::Ended(_, false, body) => {
                bail!("the function failed: {}", String::from_utf8_lossy(&body))
            }
            Said::Next(_) => bail!("the function asks for an event twice"),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, tell: mpsc::UnboundedSender<Said>, event: Arc<Event>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (tell, event) = (tell.clone(), Arc::clone(&event));
        connections.spawn(async move {
            let answer = service_fn(|request| respond(request, &tell, &event));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    tell: &mpsc::UnboundedSender<Said>,
    event: &Event,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let now = Instant::now();
    let path = request.uri().path().to_owned();
    let part = |n: usize| path.split('/').nth(n).unwrap_or_default();
    let mut response = Response::new(Full::default());
    let header = |response: &mut Response<_>, name: &'static str, value: &str| {
        if let Ok(value) = hyper::header::HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    match (part(2), part(3), part(5)) {
        ("runtime", "invocation", "") => {
            let _ = tell.send(Said::Next(now));
            event.there.notified().await;
            let body = event.body.lock().unwrap_or_else(PoisonError::into_inner);
            *response.body_mut() = Full::new(Bytes::from(body.clone()));
            let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:bench");
            header(&mut response, "lambda-runtime-aws-request-id", "run-1");
            header(&mut response, "lambda-runtime-deadline-ms", &deadline());
            header(&mut response, "lambda-runtime-invoked-function-arn", &arn);
        }
        ("runtime", "invocation" | "init", how) => {
            let body = request.into_body().collect().await;
            let body = body
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default();
            let _ = tell.send(Said::Ended(Instant::now(), how == "response", body));
            *response.status_mut() = StatusCode::ACCEPTED;
        }
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}

#[expect(
    clippy::disallowed_methods,
    reason = "Lambda gives its deadline as a wall-clock time"
)]
fn deadline() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let at = since.unwrap_or_default() + TIMEOUT;
    at.as_millis().to_string()
}
