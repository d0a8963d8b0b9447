//! Counts what goes over the wire: calls, and answers that ask to slow down.
//!
//! It sits below the SDK's retries, so that every attempt counts, those too that
//! a retry made good. It changes no request and no answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_runtime::retries::classifiers::THROTTLING_ERRORS;
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
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;
use serde::Deserialize;

/// Attempts of calls to AWS, and how many of them were throttled.
///
/// Clones share the counts. They only ever grow: what a run did is the
/// difference between two looks.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<BTreeMap<String, Counts>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    calls: u64,
    throttles: u64,
}

impl Meter {
    /// The same client, counted.
    pub fn around(&self, client: impl HttpClient + 'static) -> SharedHttpClient {
        SharedHttpClient::new(Metered {
            meter: self.clone(),
            inner: SharedHttpClient::new(client),
        })
    }

    /// Attempts so far, over all services, retries included.
    pub fn calls(&self) -> u64 {
        self.counts().values().map(|of| of.calls).sum()
    }

    /// Throttled answers so far, over all services.
    pub fn throttles(&self) -> u64 {
        self.counts().values().map(|of| of.throttles).sum()
    }

    /// Throttled answers of one service so far, by the name that its requests
    /// are signed for (`ecr`, `ecs`, `lambda`).
    pub fn throttles_of(&self, service: &str) -> u64 {
        self.counts().get(service).map_or(0, |of| of.throttles)
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn called(&self, service: &str) {
        self.counts().entry(service.to_owned()).or_default().calls += 1;
    }

    pub(super) fn throttled(&self, service: &str) {
        let mut counts = self.counts();
        counts.entry(service.to_owned()).or_default().throttles += 1;
    }
}

/// The service that a request is signed for: `Credential=KEY/DATE/REGION/
/// SERVICE/aws4_request` (IAM User Guide, "Elements of an AWS API request
/// signature"). Empty for one that is not signed.
fn service_of(request: &HttpRequest) -> &str {
    request
        .headers()
        .get("authorization")
        .and_then(|signed| signed.split_once("Credential="))
        .and_then(|(_, credential)| credential.split('/').nth(3))
        .unwrap_or_default()
}

/// Whether an answer asks to slow down: by its status, or by one of the codes
/// that the SDK's own retries take for that.
fn is_throttle(status: u16, headers: &Headers, body: &[u8]) -> bool {
    status == 429
        || code_of(headers, body).is_some_and(|code| THROTTLING_ERRORS.contains(&code.as_str()))
}

/// An error's code, from where the protocols of AWS have it: a header, a member
/// of a JSON body, an element of an XML body (Smithy 2.0 specification, "AWS
/// protocols", the sections on operation errors).
fn code_of(headers: &Headers, body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ErrorBody {
        #[serde(rename = "__type")]
        kind: Option<String>,
        code: Option<String>,
    }
    let of_header = headers
        .get("x-amzn-query-error")
        .or_else(|| headers.get("x-amzn-errortype"));
    let code = match of_header {
        Some(code) => code.to_owned(),
        None => match serde_json::from_slice::<ErrorBody>(body) {
            Ok(error) => error.kind.or(error.code)?,
            Err(_) => {
                let text = std::str::from_utf8(body).ok()?;
                let (_, rest) = text.split_once("<Code>")?;
                rest.split_once("</Code>")?.0.to_owned()
            }
        },
    };
    // Written `Code;Sender` in the query header, and `namespace#Code:address`
    // elsewhere.
    let code = code.split([';', ':']).next()?;
    Some(code.rsplit('#').next()?.to_owned())
}

#[derive(Debug)]
struct Metered {
    meter: Meter,
    inner: SharedHttpClient,
}

impl HttpClient for Metered {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(MeteredConnector {
            meter: self.meter.clone(),
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
struct MeteredConnector {
    meter: Meter,
    inner: SharedHttpConnector,
}

impl HttpConnector for MeteredConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let service = service_of(&request).to_owned();
        self.meter.called(&service);
        let meter = self.meter.clone();
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            if answer.status().is_success() {
                return Ok(answer);
            }
            let (answer, throttled) = read_error(answer).await?;
            if throttled {
                meter.throttled(&service);
            }
            Ok(answer)
        })
    }
}

/// The same answer with its body in memory, and whether it is a throttle.
async fn read_error(mut answer: HttpResponse) -> Result<(HttpResponse, bool), ConnectorError> {
    let body = ByteStream::new(answer.take_body())
        .collect()
        .await
        .map_err(|error| ConnectorError::io(error.into()))?
        .into_bytes();
    let throttled = is_throttle(answer.status().as_u16(), answer.headers(), &body);
    *answer.body_mut() = SdkBody::from(body);
    Ok((answer, throttled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(headers: &[(&'static str, &'static str)], body: &str) -> Option<String> {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        code_of(&all, body.as_bytes())
    }

    #[test]
    fn finds_the_code_where_each_protocol_has_it() {
        let throttling = Some("ThrottlingException".to_owned());
        let json =
            r#"{"__type":"com.amazonaws.ecs#ThrottlingException","message":"Rate exceeded"}"#;
        assert_eq!(code(&[], json), throttling);
        let plain = r#"{"__type":"ThrottlingException"}"#;
        assert_eq!(code(&[], plain), throttling);
        let header = [(
            "x-amzn-errortype",
            "ThrottlingException:http://internal.amazon.com/coral/",
        )];
        assert_eq!(code(&header, "{}"), throttling);
        let query = [("x-amzn-query-error", "Throttling;Sender")];
        assert_eq!(code(&query, "\u{1}"), Some("Throttling".to_owned()));
        let xml = "<Error><Code>SlowDown</Code><Message>Please</Message></Error>";
        assert_eq!(code(&[], xml), Some("SlowDown".to_owned()));
        assert_eq!(code(&[], "no format at all"), None);
        assert_eq!(code(&[], ""), None);
    }

    #[test]
    fn tells_a_throttle_from_other_errors() {
        let none = Headers::new();
        assert!(is_throttle(429, &none, b""));
        assert!(is_throttle(
            400,
            &none,
            br#"{"__type":"ThrottlingException"}"#
        ));
        assert!(is_throttle(
            503,
            &none,
            b"<Error><Code>SlowDown</Code></Error>"
        ));
        assert!(!is_throttle(400, &none, br#"{"__type":"ClientException"}"#));
        // Unwell is not the same as asked too often.
        assert!(!is_throttle(503, &none, b"<Code>ServiceUnavailable</Code>"));
    }

    #[test]
    fn tells_the_service_by_the_signature() {
        let mut request = HttpRequest::empty();
        assert_eq!(service_of(&request), "");
        request.headers_mut().insert(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIA/20261122/eu-central-1/ecs/aws4_request, \
             SignedHeaders=host, Signature=00",
        );
        assert_eq!(service_of(&request), "ecs");
    }
}
