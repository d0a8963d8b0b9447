//! RDS instances, with what RDS has said of them lately.

use aws_sdk_rds::types::{DbInstance, SourceType};
use steward::aws;
use steward::engine::{Hides, Seen};

use super::{Alarms, Read, Unread, count, instant, tags};
use crate::world::{Database, Target, World};

/// How far back events are read, in minutes.
const MINUTES: i32 = 120;

const DESCRIBE: &str = "rds:DescribeDBInstances";
const EVENTS: &str = "rds:DescribeEvents";

impl Alarms {
    /// Looks at a database.
    pub(super) async fn database(&self, id: &str, seen: &mut Seen<World>) {
        let found = match self.describe_database(id).await {
            Ok(found) => found,
            Err(unread) => {
                seen.gaps.push(unread.gap(Hides::unit(id)));
                return;
            }
        };
        let Some(mut database) = found.as_ref().and_then(of_instance) else {
            let target = Target::Database(id.to_owned());
            seen.world.absent.insert(target);
            return;
        };
        match self.events(id).await {
            Ok(events) => database.events = events,
            // They only tell people more.
            Err(unread) => seen.warnings.push(format!("the events of {id}: {unread}")),
        }
        seen.world.databases.insert(id.to_owned(), database);
    }

    pub(crate) async fn describe_database(&self, id: &str) -> Read<Option<DbInstance>> {
        let request = self.rds.describe_db_instances().db_instance_identifier(id);
        match self.rds_pace.call(request.send()).await {
            Ok(answer) => Ok(answer.db_instances().first().cloned()),
            Err(error) if aws::code(&error) == Some("DBInstanceNotFound") => Ok(None),
            Err(error) => Err(Unread::of(DESCRIBE, aws::explain(&error))),
        }
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

pub(crate) fn of_instance(instance: &DbInstance) -> Option<Database> {
    let most = instance.max_allocated_storage().map(count);
    let storage = count(instance.allocated_storage()?);
    Some(Database {
        arn: instance.db_instance_arn()?.to_owned(),
        resource_id: instance.dbi_resource_id()?.to_owned(),
        status: instance.db_instance_status()?.to_owned(),
        tags: tags(
            instance
                .tag_list()
                .iter()
                .map(|tag| (tag.key(), tag.value())),
        ),
        storage_gib: storage,
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
