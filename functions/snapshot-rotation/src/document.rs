//! Restore points and recipes, put together from what was seen. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use steward::restore_point::{self, Document, Recipe, RestorePoint, SnapshotCopy};

use crate::policy::Rule;
use crate::world::{Database, Recording, Snapshot, World};

/// The restore point of a snapshot beside its database; `None` while its database
/// was not recorded, or RDS does not say when its data was taken.
pub(crate) fn restore_point(
    world: &World,
    rule: &Rule,
    database: &Database,
    snapshot: &Snapshot,
    recorded_at: Timestamp,
) -> Option<Document> {
    let recording = world.recordings.get(&database.resource_id)?.clone();
    let account = account_of(&snapshot.arn);
    let copies = rule.copies.iter().map(|copy| {
        let place = copy.place();
        let account = place.account.as_deref().unwrap_or(account);
        let (partition, id) = (database.partition(), &snapshot.id);
        SnapshotCopy {
            arn: format!(
                "arn:{partition}:rds:{}:{account}:snapshot:{id}",
                place.region
            ),
            account: account.to_owned(),
            region: place.region,
            kms_key_id: Some(copy.kms_key_id.clone()),
        }
    });
    let contents = &snapshot.contents;
    Some(Document::RestorePoint(Box::new(RestorePoint {
        schema_version: restore_point::SCHEMA_VERSION,
        kind: restore_point::RestorePointKind::RestorePoint,
        recorded_at,
        snapshot: restore_point::Snapshot {
            id: snapshot.id.clone(),
            arn: snapshot.arn.clone(),
            account: account.to_owned(),
            region: world.home.region.clone(),
            database_identifier: database.identifier.clone(),
            resource_id: database.resource_id.clone(),
            taken_at: snapshot.taken_at?,
            engine: contents.engine.clone(),
            engine_version: contents.engine_version.clone(),
            encrypted: Some(snapshot.encrypted),
            kms_key_id: snapshot.kms_key.clone(),
            allocated_storage: contents.allocated_storage,
            full_snapshot_size_in_bytes: contents.full_size_bytes,
        },
        copies: copies.collect(),
        database: recording.settings,
        applications: recording.applications,
        images: recording.images,
        incomplete: recording.missing,
    })))
}

/// The recipe of an environment: all of its databases, and what uses them.
pub(crate) fn recipe(
    world: &World,
    environment: &str,
    databases: &[&Database],
    recorded_at: Timestamp,
) -> Document {
    let mut settings = Vec::new();
    let mut applications = BTreeMap::new();
    let (mut images, mut incomplete) = (Vec::new(), Vec::new());
    for database in databases {
        let unread = || Recording {
            missing: vec![format!("{} was not read", database.identifier)],
            ..Recording::default()
        };
        let recording = world.recordings.get(&database.resource_id);
        let recording = recording.cloned().unwrap_or_else(unread);
        settings.extend(recording.settings);
        let of = recording.applications.into_iter();
        applications.extend(of.map(|application| (application.service_arn.clone(), application)));
        images.extend(recording.images);
        incomplete.extend(recording.missing);
    }
    images.sort();
    images.dedup();
    incomplete.sort();
    incomplete.dedup();
    let arn = databases.first().map(|database| database.arn.as_str());
    Document::Recipe(Box::new(Recipe {
        schema_version: restore_point::SCHEMA_VERSION,
        kind: restore_point::RecipeKind::Recipe,
        recorded_at,
        environment: environment.to_owned(),
        account: account_of(arn.unwrap_or_default()).to_owned(),
        region: world.home.region.clone(),
        databases: settings,
        applications: applications.into_values().collect(),
        images,
        incomplete,
    }))
}

/// The account of an ARN: `arn:PARTITION:rds:REGION:ACCOUNT:…`.
fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}
