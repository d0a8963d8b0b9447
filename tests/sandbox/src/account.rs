//! One AWS account of the sandbox, as the SDK sees it.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::client::http::{HttpClient, SharedHttpClient};

use crate::control::Control;
use crate::endpoints::Endpoints;
use crate::router::Router;

/// An account and Region of a [`Sandbox`](crate::Sandbox).
///
/// The typed clients are for arranging and asserting; what is under test gets
/// [`Account::sdk_config`].
#[derive(Clone, Debug)]
pub struct Account {
    endpoints: Endpoints,
    id: String,
    region: String,
}

impl Account {
    pub(crate) fn new(endpoints: Endpoints, id: String) -> Self {
        Self {
            endpoints,
            id,
            region: "us-east-1".to_owned(),
        }
    }

    /// The same account in another Region.
    #[must_use]
    pub fn region(&self, region: &str) -> Self {
        Self {
            region: region.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The account number, twelve digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The Region's name; `us-east-1` unless told otherwise.
    pub fn region_name(&self) -> &str {
        &self.region
    }

    /// The host name of the account's registry, as in image references.
    pub fn registry(&self) -> String {
        format!("{}.dkr.ecr.{}.amazonaws.com", self.id, self.region)
    }

    /// An SDK configuration that reaches this account, whichever the service.
    pub fn sdk_config(&self) -> SdkConfig {
        self.sdk_config_with(self.http_client())
    }

    /// The HTTP client of [`Account::sdk_config`], to be wrapped by one that
    /// makes calls fail.
    ///
    /// Its connections belong to the async runtime that uses it first.
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(Router::new(self.endpoints.clone()))
    }

    /// As [`Account::sdk_config`], with an HTTP client of the caller's.
    pub fn sdk_config_with(&self, http_client: impl HttpClient + 'static) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                &self.id, "sandbox", None, None, "sandbox",
            )))
            .endpoint_url(self.endpoints.moto())
            .http_client(SharedHttpClient::new(http_client))
            // Real clients wait between attempts; tests need not.
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .build(),
            )
            .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
                TokioSleep::new(),
            ))
            .time_source(SystemTimeSource::new())
            .build()
    }

    /// What a process outside this one needs in its environment to be in this
    /// account: endpoints, credentials, Region.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut variables = self.endpoints.variables();
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", self.id.as_str()),
            ("AWS_SECRET_ACCESS_KEY", "sandbox"),
            ("AWS_REGION", &self.region),
            ("AWS_DEFAULT_REGION", &self.region),
            // Not to look for credentials where a cloud machine would have them.
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ] {
            variables.push((name.to_owned(), value.to_owned()));
        }
        variables
    }

    /// What AWS has no operation for: seeding in bulk, back-dating, faults,
    /// the record of calls.
    pub fn control(&self) -> Control {
        Control::new(self.endpoints.moto(), &self.id, &self.region)
    }

    /// Sends `lambda` calls to ministack, which runs functions; elsewhere they
    /// go to moto, which knows the functions that use images.
    fn plumbing_config(&self) -> SdkConfig {
        self.sdk_config_with(Router::with_lambda_plumbing(self.endpoints.clone()))
    }

    /// The registry.
    pub fn ecr(&self) -> aws_sdk_ecr::Client {
        aws_sdk_ecr::Client::new(&self.sdk_config())
    }

    /// The container service.
    pub fn ecs(&self) -> aws_sdk_ecs::Client {
        aws_sdk_ecs::Client::new(&self.sdk_config())
    }

    /// Lambda functions of the account looked after: those made from images.
    pub fn lambda_consumers(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.sdk_config())
    }

    /// The Lambda that runs function binaries.
    pub fn lambda_runtime(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.plumbing_config())
    }

    /// Databases.
    pub fn rds(&self) -> aws_sdk_rds::Client {
        aws_sdk_rds::Client::new(&self.sdk_config())
    }

    /// Load balancers.
    pub fn elbv2(&self) -> aws_sdk_elasticloadbalancingv2::Client {
        aws_sdk_elasticloadbalancingv2::Client::new(&self.sdk_config())
    }

    /// Auto Scaling groups.
    pub fn autoscaling(&self) -> aws_sdk_autoscaling::Client {
        aws_sdk_autoscaling::Client::new(&self.sdk_config())
    }

    /// Scalable targets of services.
    pub fn application_autoscaling(&self) -> aws_sdk_applicationautoscaling::Client {
        aws_sdk_applicationautoscaling::Client::new(&self.sdk_config())
    }

    /// Alarms.
    pub fn cloudwatch(&self) -> aws_sdk_cloudwatch::Client {
        aws_sdk_cloudwatch::Client::new(&self.sdk_config())
    }

    /// Keys that encrypt databases and their snapshots.
    pub fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.sdk_config())
    }

    /// Secrets.
    pub fn secretsmanager(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.sdk_config())
    }

    /// Rules and events (ministack).
    pub fn events(&self) -> aws_sdk_eventbridge::Client {
        aws_sdk_eventbridge::Client::new(&self.sdk_config())
    }

    /// Schedules (ministack).
    pub fn scheduler(&self) -> aws_sdk_scheduler::Client {
        aws_sdk_scheduler::Client::new(&self.sdk_config())
    }

    /// Topics (ministack).
    pub fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.sdk_config())
    }

    /// Queues (ministack).
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk_config())
    }

    /// Parameters: policies and kill switches (ministack).
    pub fn ssm(&self) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::new(&self.sdk_config())
    }

    /// Buckets (ministack).
    pub fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.sdk_config())
    }

    /// The ledger's table (ministack).
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.sdk_config())
    }

    /// Roles (ministack).
    pub fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.sdk_config())
    }

    /// Log groups (ministack).
    pub fn logs(&self) -> aws_sdk_cloudwatchlogs::Client {
        aws_sdk_cloudwatchlogs::Client::new(&self.sdk_config())
    }
}
