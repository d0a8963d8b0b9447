//! Other accounts and Regions, as far as a policy names them: the configuration
//! that a client there is built from.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

/// As whom something is done elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ActingAs {
    /// The role, by its ARN; `None` is whoever calls.
    pub role_arn: Option<String>,
    /// What the role's trust policy asks for as `sts:ExternalId`.
    pub external_id: Option<String>,
}

/// The same configuration for another Region.
pub fn in_region(config: &SdkConfig, region: &str) -> SdkConfig {
    let region = Region::new(region.to_owned());
    config.clone().into_builder().region(region).build()
}

/// Sessions of roles, one for each as long as the process lives.
#[derive(Debug)]
pub struct Roles {
    config: SdkConfig,
    /// How the other account's `CloudTrail` shows who was there.
    session_name: &'static str,
    /// With the credentials of each role that could be assumed.
    configs: Mutex<HashMap<ActingAs, SdkConfig>>,
}

impl Roles {
    /// Roles that are assumed with the credentials of `config`.
    pub fn new(config: &SdkConfig, session_name: &'static str) -> Self {
        Self {
            config: config.clone(),
            session_name,
            configs: Mutex::default(),
        }
    }

    /// The configuration of somebody, certain to have credentials.
    ///
    /// # Errors
    /// When the role cannot be assumed.
    pub async fn config(&self, who: &ActingAs) -> Result<SdkConfig, CredentialsError> {
        match &who.role_arn {
            None => Ok(self.config.clone()),
            Some(arn) => self.config_of_role(arn, who).await,
        }
    }

    async fn config_of_role(
        &self,
        arn: &str,
        who: &ActingAs,
    ) -> Result<SdkConfig, CredentialsError> {
        let known = |configs: &Mutex<HashMap<ActingAs, SdkConfig>>| {
            let configs = configs.lock().unwrap_or_else(PoisonError::into_inner);
            configs.get(who).cloned()
        };
        if let Some(config) = known(&self.configs) {
            return Ok(config);
        }
        let mut provider = AssumeRoleProvider::builder(arn)
            .session_name(self.session_name)
            .configure(&self.config);
        if let Some(id) = &who.external_id {
            provider = provider.external_id(id);
        }
        let provider = provider.build().await;
        // Asked for once before anything else, so that a role that cannot be
        // assumed is one failure, and not one for every call with it.
        let first = provider.provide_credentials().await?;
        let session = Session {
            provider,
            first: Mutex::new(Some(first)),
        };
        let config = self
            .config
            .clone()
            .into_builder()
            .credentials_provider(SharedCredentialsProvider::new(session))
            // One cache for all clients, so that all share a session.
            .identity_cache(IdentityCache::lazy().build())
            .build();
        self.configs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(who.clone(), config.clone());
        Ok(config)
    }
}

/// A session of a role, renewed when it expires. What was got first is handed
/// out first.
#[derive(Debug)]
struct Session {
    provider: AssumeRoleProvider,
    first: Mutex<Option<Credentials>>,
}

impl ProvideCredentials for Session {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        match first.take() {
            Some(credentials) => future::ProvideCredentials::ready(Ok(credentials)),
            None => self.provider.provide_credentials(),
        }
    }
}
