//! The HTTP client of the sandbox: sends each SDK call to the emulator that
//! answers for its service, so that one `SdkConfig` serves every client, and
//! refuses every address beyond this machine.

use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::endpoints::{Endpoints, refuse_beyond_loopback};

/// A plain-HTTP client that chooses the emulator by the service in the
/// request's signature.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    endpoints: Endpoints,
    lambda: LambdaOf,
    plain: SharedHttpClient,
}

/// Both emulators have a Lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LambdaOf {
    /// The functions that use images: what pruning has to know.
    AccountLookedAfter,
    /// The functions that run.
    Plumbing,
}

impl Router {
    pub(crate) fn new(endpoints: Endpoints) -> Self {
        Self {
            endpoints,
            lambda: LambdaOf::AccountLookedAfter,
            plain: Builder::new().build_http(),
        }
    }

    pub(crate) fn with_lambda_plumbing(endpoints: Endpoints) -> Self {
        Self {
            lambda: LambdaOf::Plumbing,
            ..Self::new(endpoints)
        }
    }
}

impl HttpClient for Router {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(RoutedConnector {
            endpoints: self.endpoints.clone(),
            lambda: self.lambda,
            plain: self.plain.http_connector(settings, components),
        })
    }
}

#[derive(Debug)]
struct RoutedConnector {
    endpoints: Endpoints,
    lambda: LambdaOf,
    plain: SharedHttpConnector,
}

impl RoutedConnector {
    fn route(&self, request: &mut HttpRequest) -> Result<(), ConnectorError> {
        let refused = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
        // The caller's own address is judged first: a client pointed at AWS
        // itself is a mistake to report, not one to reroute silently.
        refuse_beyond_loopback(request.uri()).map_err(|error| refused(error.into()))?;
        let Some(service) = request
            .headers()
            .get("authorization")
            .and_then(signed_service)
            .map(str::to_owned)
        else {
            return Ok(());
        };
        let emulator = match (service.as_str(), self.lambda) {
            ("lambda", LambdaOf::Plumbing) => self.endpoints.ministack(),
            (service, _) => self.endpoints.of_service(service),
        };
        let Some(emulator) = emulator else {
            return Err(refused(
                format!(
                    "`{service}` is answered by ministack, and this sandbox was started without it"
                )
                .into(),
            ));
        };
        request
            .uri_mut()
            .set_endpoint(emulator)
            .map_err(|error| refused(error.into()))
    }
}

impl HttpConnector for RoutedConnector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        match self.route(&mut request) {
            Ok(()) => self.plain.call(request),
            Err(error) => HttpConnectorFuture::ready(Err(error)),
        }
    }
}

/// The service of a `SigV4` `Authorization` header:
/// `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …`.
fn signed_service(authorization: &str) -> Option<&str> {
    let (_, scope) = authorization.split_once("Credential=")?;
    scope.split(',').next()?.split('/').nth(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_read_from_the_signature() {
        let header = "AWS4-HMAC-SHA256 Credential=123456789012/20260101/us-east-1/ecr/aws4_request, SignedHeaders=host";
        assert_eq!(signed_service(header), Some("ecr"));
        assert_eq!(signed_service("Bearer x"), None);
    }
}
