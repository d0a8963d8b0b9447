//! What is sent, written down, and how much of it is under way at once.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use serde_json::Value;

use super::Scripted;
use super::wire::Recognised;

/// How often whoever else wants to call is let go before, while a call is under way.
const TURNS: usize = 100;

/// A request as it was sent.
#[derive(Clone, Debug)]
struct Sent {
    operation: String,
    /// A form, or JSON.
    body: String,
}

impl Sent {
    /// Its operation, and what it concerns of the ledger.
    fn told(&self) -> String {
        let asked: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let sort = ["Item", "Key"]
            .iter()
            .find_map(|key| asked[key]["sk"]["S"].as_str());
        match sort {
            Some(sort) => {
                let kind = sort.split('#').next().unwrap_or_default();
                format!("{} {kind}", self.operation)
            }
            None => self.operation.clone(),
        }
    }
}

/// A script that writes down what it is asked. Clones share what they have written.
#[derive(Clone)]
pub struct Recorder {
    sent: Arc<Mutex<Vec<Sent>>>,
    /// How many calls are under way, and how many were at the most.
    crowd: Arc<Mutex<(usize, usize)>>,
    inner: Scripted,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    /// One that has written nothing down yet.
    #[must_use]
    pub fn new(inner: Scripted) -> Self {
        Self {
            sent: Arc::default(),
            crowd: Arc::default(),
            inner,
        }
    }

    /// Forgets what was sent so far.
    pub fn clear(&self) {
        locked(&self.sent).clear();
    }

    /// What was sent, in order: the operation, and of those of the ledger what the sort
    /// key begins with, up to the `#`.
    #[must_use]
    pub fn order(&self) -> Vec<String> {
        locked(&self.sent).iter().map(Sent::told).collect()
    }

    /// What was sent to an operation: its forms, or JSON.
    #[must_use]
    pub fn sent(&self, operation: &str) -> Vec<String> {
        let sent = locked(&self.sent);
        let of = sent.iter().filter(|sent| sent.operation == operation);
        of.map(|sent| sent.body.clone()).collect()
    }

    /// The most calls that were under way at once since this was asked last.
    #[must_use]
    pub fn crowd(&self) -> usize {
        std::mem::take(&mut locked(&self.crowd).1)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = Recognised::of(&request);
        locked(&self.sent).push(Sent {
            operation: call.operation,
            body: call.body,
        });
        let answer = self.inner.call(request);
        let crowd = Arc::clone(&self.crowd);
        HttpConnectorFuture::new(async move {
            {
                let mut crowd = locked(&crowd);
                crowd.0 += 1;
                crowd.1 = crowd.1.max(crowd.0);
            }
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            let answer = answer.await;
            locked(&crowd).0 -= 1;
            answer
        })
    }
}

impl HttpClient for Recorder {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
