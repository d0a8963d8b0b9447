//! An AWS that knows only what a test has told it, without any network.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use serde_json::Value;

use super::cbor;
use super::wire::{self, Protocol, Recognised};

/// What a scripted AWS answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A success with this JSON: for JSON services, REST services with JSON, and
    /// CloudWatch (as CBOR, with times as [`time`](super::time) writes them).
    Json(Value),
    /// A success of a query service: what stands inside `<OperationResult>`.
    Result(String),
    /// A success with this body as it stands: XML and objects of S3.
    Body(Vec<u8>),
    /// A refusal, in the format of the service.
    Error {
        /// HTTP status.
        status: u16,
        /// The service's code.
        code: String,
        /// For people.
        message: String,
    },
}

impl Answer {
    /// A refusal, in the format of the service.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    /// What stands inside a query service's `<OperationResult>`.
    #[must_use]
    pub fn result(xml: &str) -> Self {
        Self::Result(xml.to_owned())
    }

    fn into_response(self, call: &Recognised) -> HttpResponse {
        let success = |body| wire::respond(call, 200, &[], body);
        match (self, call.protocol) {
            (Self::Json(value), Protocol::Cbor) => success(cbor::encode(&value)),
            (Self::Json(value), Protocol::Json | Protocol::RestJson) => {
                success(value.to_string().into())
            }
            (Self::Result(xml), Protocol::Query) => {
                let operation = &call.operation;
                let body = format!(
                    "<{operation}Response><{operation}Result>{xml}</{operation}Result>\
                     </{operation}Response>"
                );
                success(body.into())
            }
            (Self::Body(body), _) => success(body),
            (
                Self::Error {
                    status,
                    code,
                    message,
                },
                _,
            ) => wire::respond_with_error(call, status, &code, &message),
            (answer, protocol) => panic!(
                "{} of {} speaks {protocol:?} and cannot be answered with {answer:?}",
                call.operation, call.service
            ),
        }
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

type Reply = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

#[derive(Default)]
struct Script {
    queued: BTreeMap<String, VecDeque<Answer>>,
    replies: BTreeMap<String, Reply>,
}

/// An inner client that answers from a script, operation by operation.
///
/// A call for which the script has no answer is a mistake of the test, and
/// panics: an error would be taken for one of AWS, which code under test is
/// built to survive.
#[derive(Clone, Default)]
pub struct Scripted {
    script: Arc<Mutex<Script>>,
}

impl Scripted {
    /// A script without any answers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next answer to an operation (`ecr:DescribeImages`); each is given
    /// once, in the order they were added.
    #[must_use]
    pub fn on(self, operation: &str, answer: impl Into<Answer>) -> Self {
        let mut script = self.script();
        let answers = script.queued.entry(operation.to_owned()).or_default();
        answers.push_back(answer.into());
        drop(script);
        self
    }

    /// The answer to every call of an operation, made from the request's body,
    /// once those added by [`on`](Self::on) are used up.
    #[must_use]
    pub fn always<A: Into<Answer>>(
        self,
        operation: &str,
        reply: impl Fn(&str) -> A + Send + Sync + 'static,
    ) -> Self {
        let reply: Reply = Arc::new(move |body| reply(body).into());
        self.script().replies.insert(operation.to_owned(), reply);
        self
    }

    /// The operations with answers that nobody has asked for.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        let script = self.script();
        let left = script
            .queued
            .iter()
            .filter(|(_, answers)| !answers.is_empty());
        left.map(|(operation, _)| operation.clone()).collect()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, call: &Recognised) -> Answer {
        let action = format!("{}:{}", call.service, call.operation);
        let mut script = self.script();
        let queued = script.queued.get_mut(&action);
        if let Some(answer) = queued.and_then(VecDeque::pop_front) {
            return answer;
        }
        if let Some(reply) = script.replies.get(&action).cloned() {
            // A reply may add to the script, so it must not find it locked.
            drop(script);
            return reply(&call.body);
        }
        let known: Vec<&String> = script.queued.keys().chain(script.replies.keys()).collect();
        panic!("the script has no answer (left) for {action}; it knows {known:?}");
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl HttpConnector for Scripted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = Recognised::of(&request);
        // Within the future, so that a call that is never awaited uses nothing up.
        let scripted = self.clone();
        HttpConnectorFuture::new(async move { Ok(scripted.answer(&call).into_response(&call)) })
    }
}

impl HttpClient for Scripted {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
