//! Makes, marks, shares, copies and deletes snapshots of one database. The only
//! file that changes AWS.
//!
//! Just before, it looks again at the database that gets a snapshot, and at each
//! snapshot that goes together with the newest that stays; what has changed in a
//! way that matters is skipped.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use aws_sdk_rds as rds;
use aws_sdk_rds::types::{Filter, Tag};
use futures::{StreamExt, stream};
use steward::aws;
use steward::engine::{Act, Outcome};
use steward::restore_point::Document;

use crate::SnapshotRotation;
use crate::action::{
    Action, Copying, Creation, Deletion, DocumentDeletion, RecipeWriting, Sharing, Subject,
    Tagging, Writing,
};
use crate::decide::rule_of;
use crate::document;
use crate::observe::{Snapshots, snapshot_of};
use crate::policy::RotationPolicy;
use crate::record::{Bucket, Put};
use crate::world::{Database, Place, Progress, Snapshot, World};
use steward::names;

/// What a document comes to that would be another than was decided.
const CHANGED: &str = "what it would tell has changed; the next run writes it";

/// How many actions of a batch are under way at once.
const AT_ONCE: usize = 4;

impl Act<SnapshotRotation> for Snapshots {
    async fn act(&self, policy: &RotationPolicy, batch: &[Action]) -> Vec<Outcome> {
        stream::iter(batch)
            .map(|action| Box::pin(self.one(policy, action)))
            .buffered(AT_ONCE)
            .collect()
            .await
    }
}

impl Snapshots {
    async fn one(&self, policy: &RotationPolicy, action: &Action) -> Outcome {
        // A future that is not awaited calls nothing: documents need no client.
        let client = async {
            let client = self.client(policy, action.place()).await;
            client.map_err(Outcome::Failed)
        };
        let outcome = async {
            Ok(match action {
                Action::WriteRestorePoint(writing) => self.write(policy, writing).await?,
                Action::WriteRecipe(writing) => self.write_recipe(policy, writing).await?,
                Action::DeleteDocument(deletion) => self.delete_document(policy, deletion).await?,
                Action::CreateSnapshot(creation) => self.create(&client.await?, creation).await,
                Action::TagSnapshot(tagging) => self.tag(&client.await?, tagging).await,
                Action::ShareSnapshot(sharing) => self.share(&client.await?, sharing).await,
                Action::CopySnapshot(copying) => self.copy(&client.await?, copying).await,
                Action::DeleteSnapshot(deletion) => {
                    self.delete(policy, &client.await?, deletion).await
                }
            })
        };
        outcome.await.unwrap_or_else(|obstacle| obstacle)
    }

    async fn create(&self, client: &rds::Client, creation: &Creation) -> Outcome {
        let of = &creation.of;
        let request = client
            .describe_db_instances()
            .db_instance_identifier(&of.database);
        let answer = self.pace.call(request.send()).await;
        let instance = match answer {
            Ok(answer) => answer.db_instances.unwrap_or_default().into_iter().next(),
            Err(error) if is(&error, "DBInstanceNotFound") => None,
            Err(error) => return check_failed("rds:DescribeDBInstances", &error),
        };
        let Some(instance) = instance else {
            return Outcome::Skipped(format!("{} is gone", of.database));
        };
        if instance.dbi_resource_id() != Some(of.resource_id.as_str()) {
            return Outcome::Skipped(format!("{} is another database now", of.database));
        }
        let tags = instance.tag_list().iter();
        let tags = tags.filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or(""))));
        if let Some(hold) = steward::hold::hold_of(tags, self.clock.now()) {
            return Outcome::Skipped(format!("{} is now on hold by {hold}", of.database));
        }
        let request = client
            .create_db_snapshot()
            .db_instance_identifier(&of.database)
            .db_snapshot_identifier(&of.snapshot)
            .set_tags(Some(tag_list(&creation.tags)));
        match self.pace.call(request.send()).await {
            Ok(_) => Outcome::Done,
            Err(error) if is(&error, "DBSnapshotAlreadyExists") => {
                self.is_ours_already(client, of).await
            }
            Err(error) if is(&error, "InvalidDBInstanceState") => {
                Outcome::Skipped(format!("rds:CreateDBSnapshot: {}", aws::explain(&error)))
            }
            Err(error) => failed("rds:CreateDBSnapshot", &error),
        }
    }

    /// Whether what has the name already is the one that was to be made.
    async fn is_ours_already(&self, client: &rds::Client, of: &Subject) -> Outcome {
        let world = match self.last_seen() {
            Ok(world) => world,
            Err(outcome) => return outcome,
        };
        let is_ours = |found: &Snapshot| world.made_for(&of.place, found) == Some(&of.resource_id);
        match self.look_at(client, &of.snapshot).await {
            Ok(Some(found)) if is_ours(&found) => Outcome::AlreadyDone,
            Ok(_) => Outcome::Failed(format!("another snapshot is called {}", of.snapshot)),
            Err(why) => Outcome::Failed(why),
        }
    }

    /// A snapshot as it is now; `None` when it is gone.
    async fn look_at(&self, client: &rds::Client, id: &str) -> Result<Option<Snapshot>, String> {
        let request = client.describe_db_snapshots().db_snapshot_identifier(id);
        match self.pace.call(request.send()).await {
            Ok(answer) => {
                let found = answer.db_snapshots.unwrap_or_default().into_iter();
                let mut found = found.filter_map(snapshot_of);
                Ok(found.find(|snapshot| snapshot.id == id))
            }
            Err(error) if is(&error, "DBSnapshotNotFound") => Ok(None),
            Err(error) => Err(format!(
                "the check before acting failed, nothing was done: rds:DescribeDBSnapshots: {}",
                aws::explain(&error)
            )),
        }
    }

    async fn tag(&self, client: &rds::Client, tagging: &Tagging) -> Outcome {
        let tag = Tag::builder()
            .key(names::TAKEN_AT)
            .value(tagging.taken_at.to_string())
            .build();
        let request = client
            .add_tags_to_resource()
            .resource_name(&tagging.arn)
            .tags(tag);
        match self.pace.call(request.send()).await {
            Ok(_) => Outcome::Done,
            Err(error) if is(&error, "DBSnapshotNotFound") => {
                Outcome::Skipped("it is gone".to_owned())
            }
            Err(error) => failed("rds:AddTagsToResource", &error),
        }
    }

    async fn share(&self, client: &rds::Client, sharing: &Sharing) -> Outcome {
        let request = client
            .modify_db_snapshot_attribute()
            .db_snapshot_identifier(&sharing.of.snapshot)
            .attribute_name("restore")
            .set_values_to_add(Some(sharing.accounts.iter().cloned().collect()));
        match self.pace.call(request.send()).await {
            Ok(_) => Outcome::Done,
            Err(error) if is(&error, "DBSnapshotNotFound") => {
                Outcome::Skipped("it is gone".to_owned())
            }
            Err(error) => failed("rds:ModifyDBSnapshotAttribute", &error),
        }
    }

    async fn copy(&self, client: &rds::Client, copying: &Copying) -> Outcome {
        let request = client
            .copy_db_snapshot()
            .source_db_snapshot_identifier(&copying.source_arn)
            .target_db_snapshot_identifier(&copying.of.snapshot)
            .set_kms_key_id(copying.kms_key_id.clone())
            .set_option_group_name(copying.option_group.clone())
            .set_tags(Some(tag_list(&copying.tags)));
        match self.pace.call(request.send()).await {
            Ok(_) => Outcome::Done,
            Err(error) if is(&error, "DBSnapshotAlreadyExists") => {
                self.is_ours_already(client, &copying.of).await
            }
            Err(error) if is(&error, "DBSnapshotNotFound") => {
                Outcome::Skipped(format!("{} is gone", copying.source_arn))
            }
            Err(error) => failed("rds:CopyDBSnapshot", &error),
        }
    }

    /// What was seen when it was decided.
    fn last_seen(&self) -> Result<Arc<World>, Outcome> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let unseen = || Outcome::Failed("nothing was observed".to_owned());
        last.clone().ok_or_else(unseen)
    }

    /// The bucket of a place, if it still is the one that was meant.
    async fn bucket_for(
        &self,
        policy: &RotationPolicy,
        place: &Place,
        name: &str,
    ) -> Result<Bucket, Outcome> {
        match self.bucket(policy, place).await {
            Ok(Some(bucket)) if bucket.name() == name => Ok(bucket),
            Ok(_) => Err(Outcome::Skipped(format!(
                "the policy has no bucket {name} for {place} any more"
            ))),
            Err(why) => Err(Outcome::Failed(why)),
        }
    }

    async fn write(&self, policy: &RotationPolicy, writing: &Writing) -> Result<Outcome, Outcome> {
        let bucket = self.bucket_for(policy, &writing.of.place, &writing.bucket);
        let bucket = bucket.await?;
        let document = self.document_of(policy, writing).await?;
        let put = bucket.put(&document, Put::UnlessThere).await;
        put.map(|()| Outcome::Done).map_err(Outcome::Failed)
    }

    /// The document that is written: the same as beside the database, or made of
    /// what was observed when it was decided.
    async fn document_of(
        &self,
        policy: &RotationPolicy,
        writing: &Writing,
    ) -> Result<Document, Outcome> {
        let world = self.last_seen()?;
        if let Some(name) = &writing.same_as {
            let home = self.bucket_for(policy, &world.home, name).await?;
            return match home.read(&writing.key).await {
                Ok(Some(document)) => Ok(document),
                Ok(None) => Err(Outcome::Skipped(format!("it is gone from {name}"))),
                Err(why) => Err(Outcome::Failed(why)),
            };
        }
        let of = &writing.of;
        let mut databases = world.databases.iter();
        let database = databases.find(|database| database.resource_id == of.resource_id);
        let document = database.zip(world.snapshot(&of.place, &of.snapshot));
        let document = document.and_then(|(database, snapshot)| {
            let rules = policy.rules();
            let rule = rule_of(&rules, database).ok()?;
            document::restore_point(&world, rule, database, snapshot, self.clock.now())
        });
        let same = |document: &Document| Some(document.content_digest()) == writing.content_digest;
        document
            .filter(same)
            .ok_or_else(|| Outcome::Skipped(CHANGED.to_owned()))
    }

    async fn write_recipe(
        &self,
        policy: &RotationPolicy,
        writing: &RecipeWriting,
    ) -> Result<Outcome, Outcome> {
        let bucket = self.bucket_for(policy, &writing.place, &writing.bucket);
        let bucket = bucket.await?;
        let world = self.last_seen()?;
        let rules = policy.rules();
        let of_environment: Vec<&Database> = world
            .databases
            .iter()
            .filter(|database| rule_of(&rules, database).is_ok())
            .filter(|database| database.environment() == writing.environment)
            .collect();
        let now = self.clock.now();
        let document = document::recipe(&world, &writing.environment, &of_environment, now);
        if document.content_digest() != writing.content_digest {
            return Err(Outcome::Skipped(CHANGED.to_owned()));
        }
        let put = bucket.put(&document, Put::Replacing).await;
        put.map(|()| Outcome::Done).map_err(Outcome::Failed)
    }

    async fn delete_document(
        &self,
        policy: &RotationPolicy,
        deletion: &DocumentDeletion,
    ) -> Result<Outcome, Outcome> {
        let bucket = self.bucket_for(policy, &deletion.place, &deletion.bucket);
        let deleted = bucket.await?.delete(&deletion.key).await;
        deleted.map(|()| Outcome::Done).map_err(Outcome::Failed)
    }

    async fn delete(
        &self,
        policy: &RotationPolicy,
        client: &rds::Client,
        deletion: &Deletion,
    ) -> Outcome {
        let of = &deletion.of;
        let world = match self.last_seen() {
            Ok(world) => world,
            Err(outcome) => return outcome,
        };
        let at_home = of.place == world.home;
        let (found, still) = futures::join!(
            self.look_at(client, &of.snapshot),
            self.may_still_go(policy, client, &world, deletion),
        );
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Outcome::AlreadyDone,
            Err(why) => return Outcome::Failed(why),
        };
        if let Some(hold) = found.hold(self.clock.now()) {
            return Outcome::Skipped(format!("it is now on hold by {hold}"));
        }
        let own = world.made_for(&of.place, &found) == Some(&of.resource_id);
        let adopted = at_home && is_adopted(policy, &found, &of.resource_id);
        if !own && !adopted {
            return Outcome::Skipped("it is not Steward's any more".to_owned());
        }
        if (found.created_at, found.taken_at) != (deletion.created_at, deletion.taken_at) {
            return Outcome::Skipped("it is another snapshot now".to_owned());
        }
        match (&found.progress, still) {
            // It cannot be restored, so that nothing has to stay in its place.
            (Progress::Broken { .. }, _) if !deletion.retired => {}
            (Progress::Under { status, .. }, _) => {
                return Outcome::Skipped(format!("it is {status} now"));
            }
            (Progress::Deleting, _) => return Outcome::AlreadyDone,
            (_, Ok(None)) => {}
            (_, Ok(Some(why))) => return Outcome::Skipped(why),
            (_, Err(why)) => return Outcome::Failed(why),
        }
        let request = client
            .delete_db_snapshot()
            .db_snapshot_identifier(&of.snapshot);
        match self.pace.call(request.send()).await {
            Ok(_) => Outcome::Done,
            Err(error) if is(&error, "DBSnapshotNotFound") => Outcome::AlreadyDone,
            // "The DB snapshot must be in the available state to be deleted"
            // (`DeleteDBSnapshot`, Amazon RDS API Reference).
            Err(error) if is(&error, "InvalidDBSnapshotState") => {
                Outcome::Skipped(format!("rds:DeleteDBSnapshot: {}", aws::explain(&error)))
            }
            Err(error) => failed("rds:DeleteDBSnapshot", &error),
        }
    }

    /// Why a snapshot may not go after all: what stays must still be there, and a
    /// database that is retired must still be gone.
    async fn may_still_go(
        &self,
        policy: &RotationPolicy,
        client: &rds::Client,
        world: &Arc<World>,
        deletion: &Deletion,
    ) -> Result<Option<String>, String> {
        let of = &deletion.of;
        if deletion.retired {
            let by_id = Filter::builder()
                .name("dbi-resource-id")
                .values(&of.resource_id)
                .build();
            let request = self.here().describe_db_instances();
            let request = request.filters(by_id);
            let answer = self.pace.call(request.send()).await.map_err(|error| {
                format!(
                    "the check before acting failed, nothing was done: rds:DescribeDBInstances: {}",
                    aws::explain(&error)
                )
            })?;
            let mut lives = answer.db_instances.unwrap_or_default().into_iter();
            let lives = lives.any(|i| i.dbi_resource_id() == Some(&of.resource_id));
            return Ok(lives.then(|| "its database is there again".to_owned()));
        }
        let Some(newest) = newest_of(policy, world, &of.place, &of.resource_id) else {
            let why = "no other snapshot of its database could be restored";
            return Ok(Some(why.to_owned()));
        };
        if newest.id == of.snapshot {
            return Ok(Some("it is the newest that can be restored".to_owned()));
        }
        let now = self.look_at(client, &newest.id).await?;
        let there = now.is_some_and(|now| now.is_available());
        Ok((!there).then(|| format!("{}, which stays, is not available any more", newest.id)))
    }
}

/// The newest snapshot of a database in a place, Steward's own or adopted, when last
/// looked.
fn newest_of<'a>(
    policy: &RotationPolicy,
    world: &'a World,
    place: &Place,
    resource_id: &str,
) -> Option<&'a Snapshot> {
    let holdings = world.places.get(place)?;
    let of_it = holdings.snapshots.iter().filter(|snapshot| {
        world.made_for(place, snapshot) == Some(resource_id)
            || (*place == world.home && is_adopted(policy, snapshot, resource_id))
    });
    let good = of_it.filter(|snapshot| snapshot.is_available());
    good.max_by_key(|snapshot| snapshot.taken_at)
}

/// Whether a snapshot beside its database is somebody else's that a rule adopts.
fn is_adopted(policy: &RotationPolicy, snapshot: &Snapshot, resource_id: &str) -> bool {
    let its = snapshot.resource_id.as_deref() == Some(resource_id);
    its && policy.rules.iter().any(|rule| rule.adopts(&snapshot.id))
}

fn tag_list(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect()
}

/// Whether it is this error. The API Reference names errors with `Fault` at their
/// end, and some answers have them without.
fn is(error: &impl aws_sdk_rds::error::ProvideErrorMetadata, name: &str) -> bool {
    aws::code(error).is_some_and(|code| code.strip_suffix("Fault").unwrap_or(code) == name)
}

fn failed(
    operation: &str,
    error: &(impl std::error::Error + aws_sdk_rds::error::ProvideErrorMetadata + 'static),
) -> Outcome {
    Outcome::Failed(format!("{operation}: {}", aws::explain(error)))
}

fn check_failed(
    operation: &str,
    error: &(impl std::error::Error + aws_sdk_rds::error::ProvideErrorMetadata + 'static),
) -> Outcome {
    Outcome::Failed(format!(
        "the check before acting failed, nothing was done: {operation}: {}",
        aws::explain(error)
    ))
}
