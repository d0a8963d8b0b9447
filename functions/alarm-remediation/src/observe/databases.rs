//! RDS instances, with what RDS has said of them lately.

use std::collections::BTreeSet;

use aws_sdk_rds::types::{DbInstance, SourceType};
use futures::{StreamExt, stream};
use steward::aws;
use steward::engine::{Hides, Seen};

use super::{Alarms, CALLS_AT_ONCE, NO_LIST, Read, Unread, count, instant, tags};
use crate::world::{Database, Target, World};

/// How far back events are read, in minutes.
const MINUTES: i32 = 120;

const DESCRIBE: &str = "rds:DescribeDBInstances";
const EVENTS: &str = "rds:DescribeEvents";

impl Alarms {
    /// Looks at databases. RDS tells their events one database at a time.
    pub(super) async fn databases(&self, ids: &BTreeSet<String>) -> Seen<World> {
        let looked: Vec<_> = stream::iter(ids)
            .map(|id| async move { (id, self.database(id).await) })
            .buffered(CALLS_AT_ONCE)
            .collect()
            .await;
        let mut seen = Seen::<World>::default();
        for (id, found) in looked {
            match found {
                Ok(Some((mut database, events))) => {
                    match events {
                        Ok(events) => database.events = events,
                        // They only tell people more.
                        Err(unread) => {
                            seen.warnings.push(format!("the events of {id}: {unread}"));
                        }
                    }
                    seen.world.databases.insert(id.clone(), database);
                }
                Ok(None) => {
                    seen.world.absent.insert(Target::Database(id.clone()));
                }
                Err(unread) => seen.gaps.push(unread.gap(Hides::unit(id))),
            }
        }
        seen
    }

    /// A database with its events; `None` is one that is gone.
    async fn database(&self, id: &str) -> Read<Option<(Database, Read<Vec<String>>)>> {
        let Some(database) = self.describe_database(id).await? else {
            return Ok(None);
        };
        Ok(Some((database, self.events(id).await)))
    }

    pub(crate) async fn describe_database(&self, id: &str) -> Read<Option<Database>> {
        let request = self.rds.describe_db_instances().db_instance_identifier(id);
        let found = match self.rds_pace.call(request.send()).await {
            Ok(answer) => answer.db_instances.and_then(|all| all.into_iter().next()),
            Err(error) if aws::code(&error) == Some("DBInstanceNotFound") => return Ok(None),
            Err(error) => return Err(Unread::of(DESCRIBE, aws::explain(&error))),
        };
        // Of one that does not exist there is that error, and no empty list.
        let found = found.ok_or_else(|| Unread::of(DESCRIBE, NO_LIST))?;
        let why = "the database has no ARN, id, status, storage or tags";
        let database = of_instance(&found);
        database.map(Some).ok_or_else(|| Unread::of(DESCRIBE, why))
    }

    async fn events(&self, id: &str) -> Read<Vec<String>> {
        let request = self
            .rds
            .describe_events()
            .source_type(SourceType::DbInstance)
            .source_identifier(id)
            .duration(MINUTES);
        let pages = request.into_paginator().send();
        let (events, incomplete) =
            aws::read_pages_at(&self.rds_pace, pages, |page| (page.events, page.marker)).await;
        if let Some(why) = incomplete {
            return Err(Unread::of(EVENTS, why.to_string()));
        }
        let mut told: Vec<_> = events
            .iter()
            .filter_map(|event| Some((instant(event.date())?, event.message()?)))
            .collect();
        told.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Ok(told
            .into_iter()
            .map(|(at, text)| format!("{at} {text}"))
            .collect())
    }
}

/// A database; `None` is one that lacks what it cannot be without.
fn of_instance(instance: &DbInstance) -> Option<Database> {
    let most = instance.max_allocated_storage().map(count);
    let storage = count(instance.allocated_storage()?);
    Some(Database {
        arn: instance.db_instance_arn()?.to_owned(),
        resource_id: instance.dbi_resource_id()?.to_owned(),
        status: instance.db_instance_status()?.to_owned(),
        tags: tags(
            instance
                .tag_list
                .as_ref()?
                .iter()
                .map(|tag| (tag.key(), tag.value())),
        ),
        storage_gib: storage,
        grows_to_gib: instance
            .pending_modified_values()
            .and_then(|pending| pending.allocated_storage())
            .map(count),
        autoscales_to_gib: most.filter(|most| *most > 0),
        class: instance.db_instance_class().unwrap_or_default().to_owned(),
        next_class: instance
            .pending_modified_values()
            .and_then(|pending| pending.db_instance_class())
            .map(str::to_owned),
        cluster: instance.db_cluster_identifier().map(str::to_owned),
        events: vec![],
    })
}
