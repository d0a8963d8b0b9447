//! RDS instances: their snapshots before they sleep, stopping and starting them.

use std::collections::BTreeMap;

use aws_sdk_rds::types::Tag;
use steward::aws;
use steward::engine::Outcome;
use steward::names::{ENVIRONMENT, MADE_FOR, MANAGED_BY, SNAPSHOT_ROTATION};

use super::{Early, INVALID_STATE, failed, refused};
use crate::action::{Snapshotting, Subject};
use crate::observe::Environments;
use crate::world::{Kind, Resource, Sizes, State};

/// How many tags of people a snapshot gets: a resource has 50 at most ("Tag
/// limits", AWS General Reference), and the rest is room for Steward's.
const MOST_OF_PEOPLE: usize = 44;

impl Environments {
    pub(super) async fn instance_now(&self, name: &str) -> Early<Option<Resource>> {
        let request = self
            .rds
            .describe_db_instances()
            .db_instance_identifier(name);
        let answer = match self.rds_pace.call(request.send()).await {
            Ok(answer) => answer,
            Err(error) if aws::kind(&error) == aws::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let call = "the check before acting, nothing was done: rds:DescribeDBInstances";
                return Err(failed(call, &aws::explain(&error)));
            }
        };
        let mut instances = answer.db_instances().iter();
        Ok(instances.find_map(crate::observe::database_of))
    }

    /// A database as it is now, unless it must not be touched.
    pub(super) async fn database_now(&self, of: &Subject) -> Early<Resource> {
        let name = &of.name;
        let found = self.instance_now(name).await?;
        let found = found.filter(|found| found.arn == of.arn);
        let found = found.ok_or_else(|| Outcome::Skipped(format!("{name} is gone")))?;
        match found.hold(self.clock.now()) {
            Some(hold) => Err(Outcome::Skipped(format!("{name} is now on hold by {hold}"))),
            None => Ok(found),
        }
    }

    pub(super) async fn snapshot(&self, wanted: &Snapshotting) -> Early<Outcome> {
        let of = &wanted.of;
        self.is_still_wanted(of).await?;
        let found = self.database_now(of).await?;
        let own = |key: &str| key.starts_with("steward:") || key.starts_with("aws:");
        let mut tags: BTreeMap<&str, &str> = found
            .tags
            .iter()
            .filter(|(key, _)| !own(key))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .take(MOST_OF_PEOPLE)
            .collect();
        tags.extend([
            (MANAGED_BY, SNAPSHOT_ROTATION),
            (MADE_FOR, wanted.resource_id.as_str()),
        ]);
        if let Some(environment) = found.environment() {
            tags.insert(ENVIRONMENT, environment);
        }
        let tags = tags.into_iter();
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
        let request = self
            .rds
            .create_db_snapshot()
            .db_instance_identifier(&of.name)
            .db_snapshot_identifier(&wanted.snapshot)
            .set_tags(Some(tags.collect()));
        match self.rds_pace.call(request.send()).await {
            Ok(_) => Ok(Outcome::Done),
            Err(error) if aws::code(&error) == Some("DBSnapshotAlreadyExists") => {
                Ok(Outcome::AlreadyDone)
            }
            Err(error) => Err(refused("rds:CreateDBSnapshot", &error)),
        }
    }

    pub(super) async fn park_database(&self, of: &Subject) -> Early<Outcome> {
        self.is_still_wanted(of).await?;
        let found = self.database_now(of).await?;
        let status = status_of(&found);
        if !matches!(status, "available" | "stopping" | "stopped") {
            return Err(Outcome::Skipped(format!("{} is {status}", of.name)));
        }
        let mark = self.remember(of, Sizes::default(), State::Parking).await?;
        self.tag(of, &mark.at.to_string()).await?;
        if status != "available" {
            self.confirm(of, State::Parked).await?;
            return Ok(Outcome::AlreadyDone);
        }
        self.hold(&of.environment).await?;
        let request = self.rds.stop_db_instance().db_instance_identifier(&of.name);
        let outcome = match self.rds_pace.call(request.send()).await {
            Ok(_) => Outcome::Done,
            Err(error) => {
                let early = refused("rds:StopDBInstance", &error);
                let is_done = |status: &str| matches!(status, "stopping" | "stopped");
                self.unless_done(of, aws::code(&error), early, is_done)
                    .await?
            }
        };
        self.confirm(of, State::Parked).await?;
        Ok(outcome)
    }

    /// Looks again where RDS says that the state of a database does not allow a call:
    /// one whose answer was lost is made twice.
    async fn unless_done(
        &self,
        of: &Subject,
        code: Option<&str>,
        early: Outcome,
        is_done: fn(&str) -> bool,
    ) -> Early<Outcome> {
        if code != Some(INVALID_STATE) {
            return Err(early);
        }
        let found = self.instance_now(&of.name).await?;
        let found = found.filter(|found| found.arn == of.arn);
        match found {
            Some(found) if is_done(status_of(&found)) => Ok(Outcome::AlreadyDone),
            _ => Err(early),
        }
    }

    pub(super) async fn wake_database(&self, of: &Subject) -> Early<Outcome> {
        self.is_still_wanted(of).await?;
        let found = self.database_now(of).await?;
        let mut outcome = Outcome::AlreadyDone;
        if status_of(&found) == "stopped" {
            let request = self
                .rds
                .start_db_instance()
                .db_instance_identifier(&of.name);
            outcome = match self.rds_pace.call(request.send()).await {
                Ok(_) => Outcome::Done,
                Err(error) => {
                    let early = refused("rds:StartDBInstance", &error);
                    let is_done = |status: &str| matches!(status, "starting" | "available");
                    self.unless_done(of, aws::code(&error), early, is_done)
                        .await?
                }
            };
        } else if status_of(&found) == "stopping" {
            return Err(Outcome::Skipped(format!("{} is stopping", of.name)));
        }
        self.untag(of, &found).await?;
        self.forget(of).await?;
        Ok(outcome)
    }
}

fn status_of(resource: &Resource) -> &str {
    match &resource.kind {
        Kind::Database(database) => &database.status,
        _ => "",
    }
}
