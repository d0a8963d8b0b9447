//! Making AWS fail, in process and at a chosen call.
//!
//! A [`FaultClient`] wraps any HTTP client of the SDK. It numbers and names the
//! calls of every service client built from it, and at the calls of a plan it
//! throttles, denies, breaks or loses the answer, or cuts the run. What is under
//! test cannot tell this from AWS: error bodies are in the service's own wire
//! format, so that codes, retries and classifications are the SDK's own.
//!
//! A cut needs no clock and no process:
//!
//! ```
//! # use steward_sandbox::faults::*;
//! # async fn run(_: FaultClient) {}
//! # async fn example(inner: Scripted) {
//! let faults = FaultClient::new(inner).with(At::nth("ecr:BatchDeleteImage", 2), Fault::CutAfter);
//! tokio::select! {
//!     () = run(faults.clone()) => panic!("the run was to be cut"),
//!     () = faults.cut() => {} // Here the run's future is dropped, which is a kill.
//! }
//! # }
//! ```
//!
//! A cut client stays dead: calls of tasks that outlive the run never leave it,
//! as those of a killed process would not. The next run gets a new client over
//! the same inner one. To sweep over every call of a run, record a clean run at
//! width 1, so that the numbers repeat, and take [`sweep()`] of its calls; or
//! [`sweep_kinds`], which needs no order. [`survive`] does so with a whole function.
//!
//! [`Scripted`] is an inner client without any network, for tests of adapters.
//!
//! Retries are calls of their own and are numbered; give clients under test a
//! retry policy with a small initial back-off. This must never be linked into a
//! function.

mod asked;
mod cbor;
mod entries;
mod recorder;
mod scripted;
mod sweep;
mod wire;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;
use tokio::sync::watch;

pub use cbor::time;
pub use entries::Entries;
pub use recorder::Recorder;
pub use scripted::{Answer, Scripted};
pub use sweep::{
    Arranged, Cut, calls_of_a_clean_run, in_turn, run_until_cut, survive, sweep, sweep_kinds,
    together,
};
pub(crate) use wire::percent_decoded;
use wire::{Recognised, respond_with_error};

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused for its rate, with the code and status of the service. The call
    /// is not performed.
    Throttle,
    /// Refused with any code. The call is not performed.
    Error {
        /// HTTP status; the SDK retries 500, 502, 503 and 504 by itself.
        status: u16,
        /// The service's code, such as `ServerException`.
        code: String,
    },
    /// Refused for want of a permission, which the message names as IAM does.
    /// The call is not performed.
    Deny,
    /// Performed, and the answer never arrives: the connection times out.
    LostAnswer,
    /// The run ends before the call is performed.
    CutBefore,
    /// The run ends after the call is performed and before its answer arrives.
    CutAfter,
    /// Performed, and the answer is a success without a body.
    EmptyAnswer,
    /// Performed, and the answer stops half-way through its body.
    TruncatedAnswer,
}

impl Fault {
    /// Refused with any code.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        Self::Error {
            status,
            code: code.to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { status, code } => write!(f, "Error {status} {code}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// At which calls a fault happens. Operations are written `ecr:BatchDeleteImage`
/// or, where no other service has one of that name, `BatchDeleteImage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// At one call, numbered from 1 over all services.
    Call(usize),
    /// At one call of an operation, numbered from 1 among its own.
    Nth {
        /// The operation.
        operation: String,
        /// Which of its calls.
        n: usize,
    },
    /// At one call of an operation in one Region, numbered from 1 among these.
    NthIn {
        /// The operation.
        operation: String,
        /// In the account of the run's first call, or in others.
        own: bool,
        /// The Region, as [`Call::region`] has it.
        region: Option<String>,
        /// Which of its calls.
        n: usize,
    },
    /// At every call of an operation.
    Every(String),
}

impl At {
    /// At the `n`th call of an operation, from 1.
    #[must_use]
    pub fn nth(operation: &str, n: usize) -> Self {
        Self::Nth {
            operation: operation.to_owned(),
            n,
        }
    }

    /// At every call of an operation.
    #[must_use]
    pub fn every(operation: &str) -> Self {
        Self::Every(operation.to_owned())
    }
}

/// One call that was made or tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number, from 1 over all services.
    pub number: usize,
    /// As IAM names the service: `ecr`, `rds`, `cloudwatch` …
    pub service: String,
    /// As the API names it; `GET /path` where the path is none we know.
    pub operation: String,
    /// The Region it was signed for.
    pub region: Option<String>,
    /// The account that its credentials act in, where they are the sandbox's.
    pub account: Option<String>,
    /// What it names first of what it concerns: a repository, a database, a
    /// function, a key. `None` where it names nothing, as most listings do.
    pub resource: Option<String>,
    /// The ARNs that IAM judges it on; `*` where there are none.
    pub judged_on: Vec<String>,
}

impl Call {
    /// The IAM action that it takes; `None` where it takes none.
    #[must_use]
    pub fn permission(&self) -> Option<String> {
        asked::permission(&self.service, &self.operation)
    }

    /// `ecr:BatchDeleteImage`, as the API has it.
    #[must_use]
    pub fn action(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }

    /// Whether it can change nothing, by its operation's name.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        let reads = [
            "Describe",
            "List",
            "Get",
            "BatchGet",
            "Head",
            "Query",
            "AssumeRole",
        ];
        reads.iter().any(|verb| self.operation.starts_with(verb))
    }

    /// Whether it is of that operation, with or without its service's name.
    #[must_use]
    pub fn is(&self, operation: &str) -> bool {
        match operation.split_once(':') {
            Some((service, operation)) => self.service == service && self.operation == operation,
            None => self.operation == operation,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.number, self.service, self.operation)?;
        if let Some(resource) = &self.resource {
            write!(f, " {resource}")?;
        }
        Ok(())
    }
}

/// A fault of the plan, and the call that it happened to last.
#[derive(Debug)]
struct Planned {
    at: At,
    fault: Fault,
    met: Option<Call>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    plan: Vec<Planned>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    cut: watch::Sender<bool>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panics elsewhere shouldn't hide its message behind this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers a call and looks up what happens to it: the first fault of the
    /// plan that is due.
    fn enter(&self, recognised: &Recognised) -> (Call, Option<Fault>) {
        let mut state = self.state();
        let call = Call {
            number: state.calls.len() + 1,
            service: recognised.service.clone(),
            operation: recognised.operation.clone(),
            region: recognised.region.clone(),
            account: recognised.account.clone(),
            resource: recognised.resource.clone(),
            judged_on: asked::judged_on(recognised),
        };
        state.calls.push(call.clone());
        let State { calls, plan } = &mut *state;
        let due = plan.iter_mut().find(|planned| match &planned.at {
            At::Call(number) => *number == call.number,
            At::Every(operation) => call.is(operation),
            At::Nth { operation, n } => {
                call.is(operation) && calls.iter().filter(|c| c.is(operation)).count() == *n
            }
            At::NthIn {
                operation,
                own,
                region,
                n,
            } => {
                let first = &calls[0].account;
                let is = |call: &&Call| {
                    let is_own = call.account == *first;
                    call.is(operation) && is_own == *own && call.region == *region
                };
                is(&&call) && calls.iter().filter(is).count() == *n
            }
        });
        let fault = due.map(|planned| {
            planned.met = Some(call.clone());
            planned.fault.clone()
        });
        (call, fault)
    }

    fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }
}

/// An HTTP client that records calls and makes those of its plan fail.
///
/// Clones share the numbers, the plan and the cut.
#[derive(Clone, Debug)]
pub struct FaultClient {
    shared: Arc<Shared>,
    inner: SharedHttpClient,
}

impl FaultClient {
    /// A client that only records, over one that performs the calls.
    #[must_use]
    pub fn new(inner: impl HttpClient + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                cut: watch::Sender::new(false),
            }),
            inner: SharedHttpClient::new(inner),
        }
    }

    /// Adds a fault to the plan. Of several that are due at one call, the one
    /// added first happens.
    #[must_use]
    pub fn with(self, at: At, fault: Fault) -> Self {
        self.add(at, fault);
        self
    }

    /// As [`with`](Self::with), in the middle of a test.
    pub fn add(&self, at: At, fault: Fault) {
        self.shared.state().plan.push(Planned {
            at,
            fault,
            met: None,
        });
    }

    /// The calls so far, in order, those that failed included.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// How many calls of an operation there were.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        let state = self.shared.state();
        state.calls.iter().filter(|call| call.is(operation)).count()
    }

    /// The faults of the plan that have not happened. A test whose fault never
    /// happened proves nothing, so most tests end with this being empty.
    #[must_use]
    pub fn unspent(&self) -> Vec<String> {
        let state = self.shared.state();
        state
            .plan
            .iter()
            .filter(|planned| planned.met.is_none())
            .map(|planned| format!("{} at {:?}", planned.fault, planned.at))
            .collect()
    }

    /// The faults of the plan that have happened, each with the last call that it
    /// happened to.
    #[must_use]
    pub fn met(&self) -> Vec<(Fault, Call)> {
        let state = self.shared.state();
        let met = state.plan.iter();
        met.filter_map(|planned| Some((planned.fault.clone(), planned.met.clone()?)))
            .collect()
    }

    /// Whether a cut point has been reached.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.shared.is_cut()
    }

    /// Resolves when a cut point has been reached, and never if none is.
    pub fn cut(&self) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let mut cut = shared.cut.subscribe();
            // The sender lives in `shared`, so this can't end for want of one.
            let _ = cut.wait_for(|cut| *cut).await;
        }
    }
}

impl HttpClient for FaultClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(FaultConnector {
            shared: Arc::clone(&self.shared),
            inner: self.inner.http_connector(settings, components),
        })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[derive(Debug)]
struct FaultConnector {
    shared: Arc<Shared>,
    inner: SharedHttpConnector,
}

impl HttpConnector for FaultConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if self.shared.is_cut() {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let recognised = Recognised::of(&request);
        let (call, fault) = self.shared.enter(&recognised);
        let Some(fault) = fault else {
            return self.inner.call(request);
        };
        let shared = Arc::clone(&self.shared);
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            match fault {
                Fault::Throttle => Ok(wire::throttle(&recognised)),
                Fault::Deny => Ok(wire::deny(&recognised)),
                Fault::Error { status, code } => Ok(respond_with_error(
                    &recognised,
                    status,
                    &code,
                    "A fault of the test.",
                )),
                Fault::LostAnswer => {
                    // Lost is lost, whatever the answer was.
                    let _ = inner.call(request).await;
                    Err(ConnectorError::timeout(
                        format!("the answer of call {call} was lost").into(),
                    ))
                }
                Fault::CutBefore => cut(&shared).await,
                Fault::CutAfter => {
                    let _ = inner.call(request).await;
                    cut(&shared).await
                }
                Fault::EmptyAnswer => {
                    let answer = inner.call(request).await?;
                    shorten(answer, |_| 0).await
                }
                Fault::TruncatedAnswer => {
                    let answer = inner.call(request).await?;
                    shorten(answer, |length| length / 2).await
                }
            }
        })
    }
}

/// Ends the run: whoever waits for the cut is woken, and this call never returns.
async fn cut(shared: &Shared) -> Result<HttpResponse, ConnectorError> {
    shared.cut.send_replace(true);
    std::future::pending().await
}

async fn shorten(
    mut answer: HttpResponse,
    length: impl FnOnce(usize) -> usize,
) -> Result<HttpResponse, ConnectorError> {
    let body = ByteStream::new(answer.take_body())
        .collect()
        .await
        .map_err(|error| ConnectorError::io(error.into()))?
        .into_bytes();
    let length = length(body.len());
    let headers = answer.headers_mut();
    headers.remove("content-length");
    headers.insert("content-length", length.to_string());
    *answer.body_mut() = SdkBody::from(body.slice(..length));
    Ok(answer)
}

#[cfg(test)]
mod tests;
