//! RDS instances, and the snapshots that are to be there before they sleep.

use std::collections::BTreeMap;

use aws_sdk_rds::types::DbInstance;
use futures::{StreamExt, stream};
use steward::aws;

use super::{CALLS_AT_ONCE, Environments, Reading, Wish, tags};
use crate::world::{Database, Kind, Look, Resource};

/// The largest page (`MaxRecords`, Amazon RDS API Reference).
const PAGE: i32 = 100;

const INSTANCES: &str = "rds:DescribeDBInstances";
const SNAPSHOTS: &str = "rds:DescribeDBSnapshots";

impl Environments {
    pub(super) async fn databases(&self, wish: &Wish<'_>) -> Reading {
        let mut reading = Reading::nothing();
        if wish
            .kinds(Look::Databases, |member| &member.databases)
            .is_none()
        {
            return reading;
        }
        reading.is_listed = true;
        let pages = self.rds.describe_db_instances().max_records(PAGE);
        let pages = pages.into_paginator().send();
        let (instances, incomplete) = aws::read_pages_at(&self.rds_pace, pages, |page| {
            (page.db_instances, page.marker)
        })
        .await;
        if let Some(why) = incomplete {
            reading
                .failed
                .push((format!("{INSTANCES}: {why}"), INSTANCES));
        }
        for instance in &instances {
            match database_of(instance) {
                None => reading.failed.push((
                    format!("{INSTANCES}: an instance has no identifier, ARN, status or tags"),
                    INSTANCES,
                )),
                Some(resource) => {
                    let arn = resource.arn.clone();
                    match wish.take(resource) {
                        Some(resource) => reading.resources.push(resource),
                        None => reading.others.push(arn),
                    }
                }
            }
        }
        let asked: Vec<(usize, String)> = reading
            .resources
            .iter()
            .enumerate()
            .filter(|(_, resource)| wish.wants_snapshots(resource))
            .map(|(n, resource)| (n, resource.name.clone()))
            .collect();
        let answers: Vec<_> = stream::iter(asked)
            .map(|(n, name)| async move { (n, self.snapshots_of(&name).await) })
            .buffered(CALLS_AT_ONCE)
            .collect()
            .await;
        for (n, answer) in answers {
            match answer {
                Ok(snapshots) => {
                    if let Kind::Database(database) = &mut reading.resources[n].kind {
                        database.snapshots = Some(snapshots);
                    }
                }
                Err(why) => reading
                    .failed
                    .push((format!("{SNAPSHOTS}: {why}"), SNAPSHOTS)),
            }
        }
        reading
    }

    /// The manual snapshots of a database, by name, with their states.
    async fn snapshots_of(&self, database: &str) -> Result<BTreeMap<String, String>, String> {
        let pages = self
            .rds
            .describe_db_snapshots()
            .db_instance_identifier(database)
            .snapshot_type("manual")
            .max_records(PAGE)
            .into_paginator()
            .send();
        let (snapshots, incomplete) = aws::read_pages_at(&self.rds_pace, pages, |page| {
            (page.db_snapshots, page.marker)
        })
        .await;
        if let Some(why) = incomplete {
            return Err(why.to_string());
        }
        let of = snapshots.into_iter();
        Ok(of
            .filter_map(|snapshot| Some((snapshot.db_snapshot_identifier?, snapshot.status?)))
            .collect())
    }
}

/// An instance as it was described; `None` when something is missing that decides.
pub(crate) fn database_of(instance: &DbInstance) -> Option<Resource> {
    let of = instance.tag_list.as_ref()?.iter();
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let replicas = instance.read_replica_db_instance_identifiers().iter();
    let clusters = instance.read_replica_db_cluster_identifiers().iter();
    Some(Resource {
        arn: instance.db_instance_arn()?.to_owned(),
        name: instance.db_instance_identifier()?.to_owned(),
        tags: tags(of.map(|tag| (tag.key(), tag.value()))),
        saved: None,
        raised_from: None,
        kind: Kind::Database(Database {
            status: instance.db_instance_status()?.to_owned(),
            resource_id: instance.dbi_resource_id()?.to_owned(),
            cluster: text(instance.db_cluster_identifier()),
            replica_of: text(instance.read_replica_source_db_instance_identifier())
                .or_else(|| text(instance.read_replica_source_db_cluster_identifier())),
            replicas: replicas.chain(clusters).cloned().collect(),
            engine: instance.engine().unwrap_or_default().to_owned(),
            is_multi_az: instance.multi_az().unwrap_or_default(),
            snapshots: None,
        }),
    })
}
