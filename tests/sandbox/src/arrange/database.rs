//! Databases and their snapshots.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use aws_sdk_rds::operation::create_db_instance::builders::CreateDBInstanceFluentBuilder;
use aws_sdk_rds::types::{DbInstance, DbSnapshot, Tag};
use jiff::Timestamp;

use crate::account::Account;
use crate::control::{DatabaseEdit, SeededSnapshot, Settings};

/// A database instance of an account, in the Region of that account.
#[derive(Clone, Debug)]
pub struct Database {
    account: Account,
    identifier: String,
    resource_id: String,
}

impl Account {
    /// Makes a `PostgreSQL` instance of 20 GiB that is not encrypted, has these
    /// tags, and keeps automated backups for a week.
    ///
    /// # Errors
    /// When RDS refuses.
    pub async fn database(&self, identifier: &str, tags: &[(&str, &str)]) -> Result<Database> {
        self.database_with(identifier, tags, |request| request)
            .await
    }

    /// As [`Account::database`], with changes of the caller's: a key, a class,
    /// no automated backups.
    ///
    /// # Errors
    /// When RDS refuses.
    pub async fn database_with(
        &self,
        identifier: &str,
        tags: &[(&str, &str)],
        change: impl FnOnce(CreateDBInstanceFluentBuilder) -> CreateDBInstanceFluentBuilder,
    ) -> Result<Database> {
        let rds = self.rds();
        let request = rds
            .create_db_instance()
            .db_instance_identifier(identifier)
            .db_instance_class("db.t3.micro")
            .engine("postgres")
            .engine_version("15.4")
            .allocated_storage(20)
            .master_username("master")
            .master_user_password("not-a-secret")
            .backup_retention_period(7)
            .set_tags(Some(listed(tags)));
        change(request)
            .send()
            .await
            .with_context(|| format!("cannot create database {identifier}"))?;
        self.existing_database(identifier).await
    }

    /// A database that is there already.
    ///
    /// # Errors
    /// When it is not.
    pub async fn existing_database(&self, identifier: &str) -> Result<Database> {
        let found = describe(self, identifier).await?;
        let resource_id = found.dbi_resource_id.context("no resource id")?;
        Ok(Database {
            account: self.clone(),
            identifier: identifier.to_owned(),
            resource_id,
        })
    }

    /// Makes a customer managed key in the Region and answers its ARN.
    ///
    /// # Errors
    /// When KMS refuses.
    pub async fn key(&self) -> Result<String> {
        let made = self.kms().create_key().send().await?;
        let key = made.key_metadata.context("a key without metadata")?;
        key.arn.context("a key without an ARN")
    }

    /// Every manual snapshot of the Region, whatever database it is of, sorted
    /// by identifier.
    ///
    /// # Errors
    /// When RDS does not answer.
    pub async fn manual_snapshots(&self) -> Result<Vec<DbSnapshot>> {
        let mut pages = self
            .rds()
            .describe_db_snapshots()
            .snapshot_type("manual")
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(snapshot) = pages.next().await {
            found.push(snapshot?);
        }
        Ok(found)
    }

    /// Sets how many manual snapshots the account may have in each Region.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn allow_manual_snapshots(&self, most: u32) -> Result<()> {
        let settings = Settings {
            rds_manual_snapshots: Some(most),
            ..Settings::default()
        };
        Ok(self.control().settings(&settings).await?)
    }
}

impl Database {
    /// The account and Region it is in.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Its `DBInstanceIdentifier`.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// Its `DbiResourceId`: another one for each database there ever was.
    pub fn resource_id(&self) -> &str {
        &self.resource_id
    }

    /// What RDS tells of it.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn describe(&self) -> Result<DbInstance> {
        describe(&self.account, &self.identifier).await
    }

    /// Takes a snapshot now, as a person would.
    ///
    /// # Errors
    /// When RDS refuses, as it does while the database changes.
    pub async fn snapshot(&self, id: &str, tags: &[(&str, &str)]) -> Result<DbSnapshot> {
        let made = self
            .account
            .rds()
            .create_db_snapshot()
            .db_instance_identifier(&self.identifier)
            .db_snapshot_identifier(id)
            .set_tags(Some(listed(tags)))
            .send()
            .await
            .with_context(|| format!("cannot create snapshot {id}"))?;
        made.db_snapshot.context("no snapshot was answered")
    }

    /// Puts a manual snapshot there as if it had been taken at a moment.
    ///
    /// # Errors
    /// When the control API refuses it.
    pub async fn snapshot_at(
        &self,
        taken_at: Timestamp,
        id: &str,
        tags: &[(&str, &str)],
    ) -> Result<()> {
        self.fill(&[SeededSnapshot {
            id: Some(id.to_owned()),
            tags: Some(owned(tags)),
            ..self.seeded(taken_at)
        }])
        .await?;
        Ok(())
    }

    /// Puts an automated snapshot there as if RDS had taken it at a moment, and
    /// answers its identifier.
    ///
    /// # Errors
    /// When there is one of that minute.
    pub async fn automated_at(&self, taken_at: Timestamp) -> Result<String> {
        let made = self
            .fill(&[SeededSnapshot {
                snapshot_type: Some("automated".to_owned()),
                ..self.seeded(taken_at)
            }])
            .await?;
        made.into_iter().next().context("no snapshot was answered")
    }

    /// A manual snapshot of it, to be changed and given to [`Database::fill`].
    pub fn seeded(&self, taken_at: Timestamp) -> SeededSnapshot {
        SeededSnapshot {
            instance: self.identifier.clone(),
            taken_at: Some(taken_at),
            ..SeededSnapshot::default()
        }
    }

    /// Puts many snapshots there at once, and answers their identifiers.
    ///
    /// # Errors
    /// When the control API refuses one.
    pub async fn fill(&self, snapshots: &[SeededSnapshot]) -> Result<Vec<String>> {
        Ok(self.account.control().snapshots(snapshots).await?)
    }

    /// Lets it be in a state until a call changes that: `stopped`, `modifying`,
    /// `storage-full` …
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn put_into(&self, status: &str) -> Result<()> {
        self.edit(&DatabaseEdit {
            status: Some(status.to_owned()),
            ..DatabaseEdit::default()
        })
        .await
    }

    /// Lets AWS start it, as it does when it has been stopped for seven days.
    ///
    /// # Errors
    /// When it is not stopped.
    pub async fn start_automatically(&self) -> Result<()> {
        let control = self.account.control();
        Ok(control
            .start_database_automatically(&self.identifier)
            .await?)
    }

    /// Its status.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn status(&self) -> Result<String> {
        let status = self.describe().await?.db_instance_status;
        status.context("a database without a status")
    }

    /// Says up to when it can be restored to a point in time.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn restorable_until(&self, latest: Timestamp) -> Result<()> {
        self.edit(&DatabaseEdit {
            latest_restorable_time: Some(latest),
            ..DatabaseEdit::default()
        })
        .await
    }

    /// Deletes it without a final snapshot; its manual snapshots stay.
    ///
    /// # Errors
    /// When RDS refuses.
    pub async fn delete(&self) -> Result<()> {
        let rds = self.account.rds();
        let delete = rds
            .delete_db_instance()
            .db_instance_identifier(&self.identifier);
        delete.skip_final_snapshot(true).send().await?;
        Ok(())
    }

    async fn edit(&self, edit: &DatabaseEdit) -> Result<()> {
        let control = self.account.control();
        Ok(control.edit_database(&self.identifier, edit).await?)
    }
}

async fn describe(account: &Account, identifier: &str) -> Result<DbInstance> {
    let found = account
        .rds()
        .describe_db_instances()
        .db_instance_identifier(identifier)
        .send()
        .await
        .with_context(|| format!("there is no database {identifier}"))?;
    let instance = found.db_instances.unwrap_or_default().into_iter().next();
    instance.context("no database was answered")
}

fn listed(tags: &[(&str, &str)]) -> Vec<Tag> {
    let tag = |(key, value): &(&str, &str)| Tag::builder().key(*key).value(*value).build();
    tags.iter().map(tag).collect()
}

fn owned(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    tags.iter().map(pair).collect()
}
