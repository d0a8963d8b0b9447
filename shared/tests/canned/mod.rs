//! An AWS of canned answers: an HTTP connector that asks a closure, so that a
//! test decides what comes back, whether anything does, and sees what was
//! asked.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ssm::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;

/// What comes back.
pub(crate) enum Answer {
    /// A status and a body.
    Reply(u16, String),
    /// Nothing, ever.
    Never,
}

/// One request as it went out: its path and its body.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) uri: String,
    pub(crate) body: String,
}

type Script = dyn Fn(usize, &Asked) -> Answer + Send + Sync;

/// The connector; clones share what was asked.
#[derive(Clone)]
pub(crate) struct Canned {
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Canned").field(&self.asked().len()).finish()
    }
}

impl Canned {
    /// Answers the n-th request, counted from 0, as the script says.
    pub(crate) fn by(script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            asked: Arc::default(),
        }
    }

    /// Everything that was asked so far.
    pub(crate) fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A configuration whose clients ask this connector, and never twice.
    pub(crate) fn config(&self) -> SdkConfig {
        let credentials = Credentials::new("111122223333", "secret", None, None, "canned");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(RetryConfig::disabled())
            .http_client(self.clone())
            .build()
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let asked = Asked {
            uri: request.uri().to_owned(),
            body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
        };
        let number = {
            let mut all = self.asked();
            all.push(asked.clone());
            all.len() - 1
        };
        match (self.script)(number, &asked) {
            Answer::Never => HttpConnectorFuture::new(std::future::pending()),
            Answer::Reply(status, body) => {
                let status = StatusCode::try_from(status).unwrap();
                HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
            }
        }
    }
}

impl HttpClient for Canned {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
