//! Users of images in other accounts and Regions, as far as the policy names
//! them.
//!
//! The very same reads as here, with the credentials of the role that the
//! policy names. Where a role cannot be assumed, what it would have shown is
//! unknown, and nothing is deleted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use futures::{StreamExt, stream};
use steward::aws;

use super::{AT_ONCE, Place, Reading, known, remember};
use crate::policy::{Elsewhere, InUse};

/// How the other account's `CloudTrail` shows who was there.
const SESSION_NAME: &str = "steward-image-pruning";

/// As whom something is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reader {
    role_arn: Option<String>,
    external_id: Option<String>,
}

/// The places that the policy names, as they come to be needed.
#[derive(Debug)]
pub(super) struct Places {
    config: SdkConfig,
    /// With the credentials of each role that could be assumed.
    configs: Mutex<HashMap<Reader, SdkConfig>>,
    /// By reader and Region.
    places: Mutex<HashMap<(Reader, String), Arc<Place>>>,
}

impl Places {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self {
            config: config.clone(),
            configs: Mutex::default(),
            places: Mutex::default(),
        }
    }

    /// Reads every user of images in every place that the policy names.
    pub(super) async fn read(&self, settings: &InUse) -> Reading {
        let readings: Vec<Reading> = stream::iter(&settings.elsewhere)
            .map(|entry| Box::pin(self.read_entry(entry, settings)))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        Reading::joined(readings)
    }

    async fn read_entry(&self, entry: &Elsewhere, settings: &InUse) -> Reading {
        let mut all = Reading::default();
        let reader = Reader {
            role_arn: entry.role_arn.clone(),
            external_id: entry.external_id.clone(),
        };
        let config = match &entry.role_arn {
            None => self.config.clone(),
            Some(arn) => match self.config_of_role(arn, &reader).await {
                Ok(config) => config,
                Err(error) => {
                    let read = format!("sts:AssumeRole of {arn}: {}", aws::chain(&error));
                    all.gap(read, &format!("sts:AssumeRole on {arn}"));
                    return all;
                }
            },
        };
        let readings: Vec<Reading> = stream::iter(&entry.regions)
            .map(|region| {
                let (reader, config) = (&reader, &config);
                async move {
                    let place = self.place(reader, region, config);
                    let reading = Box::pin(place.read(settings)).await;
                    reading.in_place(entry, region)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.add(Reading::joined(readings));
        all
    }

    fn place(&self, reader: &Reader, region: &str, config: &SdkConfig) -> Arc<Place> {
        let key = (reader.clone(), region.to_owned());
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let region = Region::new(region.to_owned());
            let config = config.clone().into_builder().region(region).build();
            Arc::new(Place::new(&config))
        };
        Arc::clone(places.entry(key).or_insert_with(new))
    }

    /// The configuration with a role's credentials, certain to have some.
    async fn config_of_role(
        &self,
        arn: &str,
        reader: &Reader,
    ) -> Result<SdkConfig, CredentialsError> {
        if let Some(config) = known(&self.configs, reader) {
            return Ok(config);
        }
        let mut provider = AssumeRoleProvider::builder(arn)
            .session_name(SESSION_NAME)
            .configure(&self.config);
        if let Some(id) = &reader.external_id {
            provider = provider.external_id(id);
        }
        let provider = provider.build().await;
        // Asked for once before anything else, so that a role that cannot be
        // assumed is one gap, and not one for every read with it.
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
        remember(&self.configs, reader.clone(), config.clone());
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

impl Reading {
    /// The same as users of another place, whose registry may be another, with
    /// the words for where it is from.
    fn in_place(mut self, entry: &Elsewhere, region: &str) -> Self {
        let place = match entry.account() {
            Some(account) => format!("{account}/{region}"),
            None => region.to_owned(),
        };
        self.copied.append(&mut self.images);
        for used in &mut self.copied {
            used.by.name = format!("{} in {place}", used.by.name);
        }
        for gap in &mut self.gaps {
            gap.read = format!("in {place}: {}", gap.read);
            if let Some(role) = entry.role_arn.as_ref().filter(|_| !gap.grant.is_empty()) {
                gap.grant = format!("{} to {role}", gap.grant);
            }
        }
        self
    }
}
