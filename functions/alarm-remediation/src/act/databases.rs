//! The storage and the class of RDS instances.

use steward::aws;
use steward::engine::Outcome;

use super::{Early, failed, unchecked};
use crate::action::{ChangingClass, GrowingStorage};
use crate::observe::Alarms;
use crate::world::Database;

const MODIFY: &str = "rds:ModifyDBInstance";

impl Alarms {
    /// The database as it is just before it is changed; `Err` when it is to be left alone.
    async fn check_database(&self, id: &str, resource_id: &str) -> Early<Database> {
        let found = self.describe_database(id).await;
        let found = found.map_err(|unread| unchecked(&unread))?;
        let Some(database) = found else {
            return Err(Outcome::Skipped(format!("database {id} is gone")));
        };
        if database.resource_id != resource_id {
            let why = format!("{id} is another database now: {}", database.resource_id);
            return Err(Outcome::Skipped(why));
        }
        if let Some(hold) = database.tags.hold(self.clock.now()) {
            return Err(Outcome::Skipped(format!("{id} is now on hold by {hold}")));
        }
        if database.tags.is_parked() {
            return Err(Outcome::Skipped(format!("{id} is now parked")));
        }
        Ok(database)
    }

    pub(super) async fn check_storage(&self, it: &GrowingStorage) -> Early<()> {
        let id = &it.database;
        let database = self.check_database(id, &it.resource_id).await?;
        if database.will_have(it.to_gib) {
            return Err(Outcome::AlreadyDone);
        }
        if database.storage_gib != it.from_gib {
            let why = format!("{id} has {} GiB meanwhile", database.storage_gib);
            return Err(Outcome::Skipped(why));
        }
        Ok(())
    }

    pub(super) async fn grow_storage(&self, it: &GrowingStorage) -> Early<()> {
        let request = self
            .rds
            .modify_db_instance()
            .db_instance_identifier(&it.database)
            .allocated_storage(i32::try_from(it.to_gib).unwrap_or(i32::MAX))
            .apply_immediately(true);
        let answer = self.rds_pace.call(request.send()).await;
        answer
            .map(drop)
            .map_err(|error| failed(MODIFY, &aws::explain(&error)))
    }

    pub(super) async fn check_class(&self, it: &ChangingClass) -> Early<()> {
        let id = &it.database;
        let database = self.check_database(id, &it.resource_id).await?;
        if database.class_to_be() == it.to {
            return Err(Outcome::AlreadyDone);
        }
        if database.class_to_be() != it.from {
            let why = format!("{id} is of class {} meanwhile", database.class_to_be());
            return Err(Outcome::Skipped(why));
        }
        if database.status != "available" {
            return Err(Outcome::Skipped(format!("{id} is {}", database.status)));
        }
        Ok(())
    }

    pub(super) async fn change_class(&self, it: &ChangingClass) -> Early<()> {
        let request = self
            .rds
            .modify_db_instance()
            .db_instance_identifier(&it.database)
            .db_instance_class(&it.to)
            .apply_immediately(true);
        let answer = self.rds_pace.call(request.send()).await;
        answer
            .map(drop)
            .map_err(|error| failed(MODIFY, &aws::explain(&error)))
    }
}
