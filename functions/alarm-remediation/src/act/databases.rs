//! The storage of RDS instances.

use steward::aws;
use steward::engine::Outcome;

use super::{Early, failed, unchecked};
use crate::action::GrowingStorage;
use crate::observe::Alarms;

impl Alarms {
    pub(super) async fn check_storage(&self, it: &GrowingStorage) -> Early<()> {
        let id = &it.database;
        let found = self.describe_database(id).await;
        let found = found.map_err(|unread| unchecked(&unread))?;
        let Some(database) = found else {
            return Err(Outcome::Skipped(format!("database {id} is gone")));
        };
        if database.resource_id != it.resource_id {
            let why = format!("{id} is another database now: {}", database.resource_id);
            return Err(Outcome::Skipped(why));
        }
        if let Some(hold) = database.tags.hold(self.clock.now()) {
            return Err(Outcome::Skipped(format!("{id} is now on hold by {hold}")));
        }
        if database.tags.is_parked() {
            return Err(Outcome::Skipped(format!("{id} is now parked")));
        }
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
            .map_err(|error| failed("rds:ModifyDBInstance", &aws::explain(&error)))
    }
}
