//! Users of images in other accounts and Regions, as far as the policy names
//! them.
//!
//! The very same reads as here, with the credentials of the role that the
//! policy names. Where a role cannot be assumed, what it would have shown is
//! unknown, and nothing is deleted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use futures::{StreamExt, stream};
use steward::aws::{self, ActingAs, Roles};

use super::{AT_ONCE, Place, Reading};
use crate::policy::{Elsewhere, InUse};

/// How the other account's `CloudTrail` shows who was there.
const SESSION_NAME: &str = "steward-image-pruning";

/// The places that the policy names, as they come to be needed.
#[derive(Debug)]
pub(super) struct Places {
    roles: Roles,
    /// By reader and Region.
    places: Mutex<HashMap<(ActingAs, String), Arc<Place>>>,
}

impl Places {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self {
            roles: Roles::new(config, SESSION_NAME),
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
        let reader = ActingAs {
            role_arn: entry.role_arn.clone(),
            external_id: entry.external_id.clone(),
        };
        let config = match self.roles.config(&reader).await {
            Ok(config) => config,
            Err(error) => {
                let arn = reader.role_arn.unwrap_or_default();
                let read = format!("sts:AssumeRole of {arn}: {}", aws::chain(&error));
                all.gap(read, &format!("sts:AssumeRole on {arn}"));
                return all;
            }
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

    fn place(&self, reader: &ActingAs, region: &str, config: &SdkConfig) -> Arc<Place> {
        let key = (reader.clone(), region.to_owned());
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Place::new(&aws::in_region(config, region)));
        Arc::clone(places.entry(key).or_insert_with(new))
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
