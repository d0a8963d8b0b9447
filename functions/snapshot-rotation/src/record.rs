//! What a recovery needs beside a snapshot, read from AWS: how databases are set
//! up, and the applications that use them. `documents` keeps what was read.
//!
//! It only reads, but for [`Bucket::put`] and [`Bucket::delete`], and it
//! decides nothing. Values of secrets and parameters are never asked for.

mod answer;
mod applications;
mod database;
mod documents;
mod secrets;
mod services;
mod target_groups;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_rds::types::DbInstance;
use steward::aws::{self, Pace};
use steward::restore_point::Database;
use {
    aws_sdk_applicationautoscaling as scaling, aws_sdk_ecs as ecs,
    aws_sdk_elasticloadbalancingv2 as elb, aws_sdk_rds as rds,
    aws_sdk_secretsmanager as secretsmanager, aws_sdk_ssm as ssm,
};

pub(crate) use self::applications::ApplicationsWanted;
pub(crate) use self::documents::{Bucket, Put};

/// Things that are looked at side by side; what they call waits its turn.
const AT_ONCE: usize = 16;

/// Calls to one service that are under way at once, at the most.
const CALLS_AT_ONCE: usize = 8;

/// What was read, and a sentence for each thing that could not be.
#[derive(Debug, Default)]
pub(crate) struct Recorded<T> {
    pub(crate) value: T,
    pub(crate) missing: Vec<String>,
}

/// Things by name, and for each that could not be read why, as a sentence.
type Reads<T> = BTreeMap<String, Result<T, String>>;

/// What is read of one account and Region.
#[derive(Debug)]
pub(crate) struct Recorder {
    region: String,
    rds: rds::Client,
    rds_pace: Pace,
    ecs: ecs::Client,
    ecs_pace: Pace,
    elb: elb::Client,
    elb_pace: Pace,
    scaling: scaling::Client,
    secretsmanager: secretsmanager::Client,
    secretsmanager_pace: Pace,
    ssm: ssm::Client,
}

impl Recorder {
    /// Clients for everything that is recorded.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let pace = |service| Pace::new(aws::meter(), service, CALLS_AT_ONCE);
        let rds = rds::config::Builder::from(config).interceptor(aws::WholeXml);
        let elb = elb::config::Builder::from(config).interceptor(aws::WholeXml);
        Self {
            region: aws::region(config).unwrap_or_default(),
            rds: rds::Client::from_conf(rds.build()),
            rds_pace: pace("rds"),
            ecs: ecs::Client::new(config),
            ecs_pace: pace("ecs"),
            elb: elb::Client::from_conf(elb.build()),
            elb_pace: pace("elasticloadbalancing"),
            scaling: scaling::Client::new(config),
            secretsmanager: secretsmanager::Client::new(config),
            secretsmanager_pace: pace("secretsmanager"),
            ssm: ssm::Client::new(config),
        }
    }

    /// How these databases are set up, by `DbiResourceId`. One without an id is
    /// left out. Groups that they share are read once.
    pub(crate) async fn databases(
        &self,
        instances: &[DbInstance],
    ) -> BTreeMap<String, Recorded<Database>> {
        let groups = self.groups(instances).await;
        let recorded = instances.iter().filter_map(|instance| {
            let resource_id = instance.dbi_resource_id()?.to_owned();
            Some((resource_id, database::record(instance, &groups)))
        });
        recorded.collect()
    }
}
