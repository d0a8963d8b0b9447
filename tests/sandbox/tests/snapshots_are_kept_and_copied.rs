//! Databases of the sandbox have snapshots of any age, and copies elsewhere.

use anyhow::{Context, Result};
use aws_sdk_kms::types::KeyManagerType;
use aws_sdk_rds::error::ProvideErrorMetadata;
use aws_sdk_rds::types::DbSnapshot;
use jiff::{Timestamp, ToSpan};
use steward_sandbox::{ReplicatedBackupEdit, Sandbox, Settings};

fn ids(snapshots: &[DbSnapshot]) -> Vec<&str> {
    let id = DbSnapshot::db_snapshot_identifier;
    snapshots.iter().filter_map(id).collect()
}

#[tokio::test]
async fn a_database_has_snapshots_of_any_age_and_kind() -> Result<()> {
    let account = Sandbox::shared()?.account();
    let database = account
        .database_with("shop", &[("team", "a")], |request| {
            request.backup_retention_period(0)
        })
        .await?;
    let long_ago: Timestamp = "2026-01-31T12:00:00Z".parse()?;
    database.snapshot_at(long_ago, "old", &[("a", "b")]).await?;
    database.snapshot("new", &[]).await?;
    let automated = database.automated_at(long_ago + 1.hour()).await?;
    assert_eq!(automated, "rds:shop-2026-01-31-13-00");

    let found = account.manual_snapshots().await?;
    assert_eq!(ids(&found), ["new", "old"]);
    let old = &found[1];
    assert_eq!(old.dbi_resource_id(), Some(database.resource_id()));
    let taken_at = old.original_snapshot_create_time().context("no time")?;
    assert_eq!(taken_at.secs(), long_ago.as_second());
    assert_eq!(old.tag_list()[0].key(), Some("a"));

    database.put_into("stopped").await?;
    let refused = database.snapshot("third", &[]).await;
    assert!(
        format!("{:?}", refused.unwrap_err()).contains("InvalidDBInstanceState"),
        "of a stopped database"
    );
    database.put_into("available").await?;
    account.allow_manual_snapshots(2).await?;
    let refused = database.snapshot("third", &[]).await;
    assert!(format!("{:?}", refused.unwrap_err()).contains("SnapshotQuotaExceeded"));
    database.delete().await?;
    assert_eq!(ids(&account.manual_snapshots().await?), ["new", "old"]);
    Ok(())
}

#[tokio::test]
async fn an_encrypted_copy_elsewhere_needs_a_key_of_there_and_can_fail() -> Result<()> {
    let account = Sandbox::shared()?.account();
    let there = account.region("eu-west-1");
    let (here_key, there_key) = (account.key().await?, there.key().await?);
    let database = account
        .database_with("shop", &[], |request| {
            request.storage_encrypted(true).kms_key_id(&here_key)
        })
        .await?;
    let source = database.snapshot("s", &[]).await?;
    let arn = source.db_snapshot_arn().context("no ARN")?;
    let polls = Settings {
        rds_polls: Some(3),
        ..Settings::default()
    };
    account.control().settings(&polls).await?;
    let rds = there.rds();
    let copy = rds
        .copy_db_snapshot()
        .source_db_snapshot_identifier(arn)
        .target_db_snapshot_identifier("s");
    let refused = copy.clone().send().await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterValue"));
    copy.kms_key_id(&there_key).send().await?;
    let [made] = there.manual_snapshots().await?.try_into().unwrap();
    assert_eq!(made.status(), Some("creating"));
    assert_eq!(made.kms_key_id(), Some(there_key.as_str()));
    assert_eq!(made.snapshot_create_time(), None);
    there.control().fail_snapshot("s").await?;
    let [made] = there.manual_snapshots().await?.try_into().unwrap();
    assert_eq!(made.status(), Some("failed"));

    let key = there.kms().describe_key().key_id("alias/aws/rds");
    let key = key.send().await?.key_metadata.context("no key")?;
    assert_eq!(key.key_manager, Some(KeyManagerType::Aws));
    Ok(())
}

#[tokio::test]
async fn automated_backups_are_replicated() -> Result<()> {
    let account = Sandbox::shared()?.account();
    let there = account.region("eu-west-1");
    let database = account.database("shop", &[]).await?;
    let until: Timestamp = "2026-01-31T12:00:00Z".parse()?;
    database.restorable_until(until).await?;
    let instance = database.describe().await?;
    let latest = instance.latest_restorable_time().context("no time")?;
    assert_eq!(latest.secs(), until.as_second());

    there
        .rds()
        .start_db_instance_automated_backups_replication()
        .source_db_instance_arn(instance.db_instance_arn().context("no ARN")?)
        .send()
        .await?;
    let edit = ReplicatedBackupEdit {
        latest: Some(until),
        ..ReplicatedBackupEdit::default()
    };
    let control = there.control();
    control
        .edit_replicated_backup(database.resource_id(), &edit)
        .await?;
    let found = there.rds().describe_db_instance_automated_backups();
    let found = found.dbi_resource_id(database.resource_id()).send().await?;
    let [backup] = found.db_instance_automated_backups() else {
        panic!("one backup expected: {found:?}")
    };
    assert_eq!(backup.status(), Some("replicating"));
    let window = backup.restore_window().context("no window")?;
    let latest = window.latest_time().context("no end")?;
    assert_eq!(latest.secs(), until.as_second());
    Ok(())
}
