//! What is true: the DB instances of this Region, and the manual snapshots of
//! each place that the policy names. It only reads.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_kms as kms;
use aws_sdk_kms::types::KeyManagerType;
use aws_sdk_rds as rds;
use aws_sdk_rds::primitives::DateTime;
use aws_sdk_rds::types::{DbInstance, DbSnapshot, Tag};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use steward::aws::{self, ActingAs, Pace, Roles, WholeXml};
use steward::engine::{Clock, Gap, Hides, Observe, Seen};

use crate::decide::rule_of;
use crate::policy::{Application, CopyTo, RotationPolicy, Rule};
use crate::record::{self, ApplicationsWanted, Recorder};
use crate::world::{
    Contents, Database, Documents, Holdings, Place, Progress, Quota, Recording, Snapshot, World,
    Written,
};
use crate::{Scope, SnapshotRotation};
use steward::names;

/// Calls that are under way at once, at the most.
const CALLS_AT_ONCE: usize = 16;

/// How `CloudTrail` of other accounts shows who was there.
const SESSION_NAME: &str = "steward-snapshot-rotation";

/// What is wrong with a listing of snapshots one of which is not whole.
const PARTIAL: &str = "a snapshot has no identifier, ARN or list of tags";

/// How many databases a warning names.
const NAMED: usize = 5;

/// The largest page (`MaxRecords`, Amazon RDS API Reference).
const PAGE: i32 = 100;

/// The databases of one account and Region with their snapshots everywhere, as
/// seen and changed through AWS.
#[derive(Debug)]
pub struct Snapshots {
    config: SdkConfig,
    roles: Roles,
    recorder: Recorder,
    pub(crate) pace: Pace,
    pub(crate) clock: Clock,
    /// What the last observation saw, for the checks before acting.
    pub(crate) last: Mutex<Option<Arc<World>>>,
}

/// What a place holds, and what of it could not be read.
struct Read {
    holdings: Holdings,
    /// The read, and the permission that it needs.
    gap: Option<(String, &'static str)>,
    /// The same of its bucket.
    bucket_gap: Option<Gap>,
    warnings: Vec<String>,
}

impl Snapshots {
    /// Clients with this configuration.
    pub fn new(config: &SdkConfig) -> Self {
        Self::at(config, Clock::System)
    }

    /// The same with another clock, by which holds expire.
    pub fn at(config: &SdkConfig, clock: Clock) -> Self {
        Self {
            config: config.clone(),
            roles: Roles::new(config, SESSION_NAME),
            recorder: Recorder::new(config),
            pace: Pace::new(aws::meter(), "rds", CALLS_AT_ONCE),
            clock,
            last: Mutex::default(),
        }
    }

    /// A client for the Region of the databases.
    pub(crate) fn here(&self) -> rds::Client {
        client_of(&self.config)
    }

    /// The configuration for a place; the error is the read that failed.
    async fn config_of(&self, policy: &RotationPolicy, place: &Place) -> Result<SdkConfig, String> {
        let copy = policy.places().get(place).copied();
        let who = copy.map_or_else(ActingAs::default, |copy| copy.acting_as());
        let config = self.roles.config(&who).await.map_err(|error| {
            let arn = who.role_arn.clone().unwrap_or_default();
            format!("sts:AssumeRole of {arn}: {}", aws::chain(&error))
        })?;
        Ok(aws::in_region(&config, &place.region))
    }

    /// A client for a place; the error is the read that failed.
    pub(crate) async fn client(
        &self,
        policy: &RotationPolicy,
        place: &Place,
    ) -> Result<rds::Client, String> {
        let config = self.config_of(policy, place).await?;
        Ok(client_of(&config))
    }

    /// The bucket for documents of a place; `None` where the policy has none.
    pub(crate) async fn bucket(
        &self,
        policy: &RotationPolicy,
        place: &Place,
    ) -> Result<Option<record::Bucket>, String> {
        let name = if *place == self.home() {
            policy.restore_points.clone()
        } else {
            let copy = policy.places().get(place).copied();
            copy.and_then(|copy| copy.restore_points.clone())
        };
        let Some(name) = name else {
            return Ok(None);
        };
        let config = self.config_of(policy, place).await?;
        Ok(Some(record::Bucket::new(&config, &name, "")))
    }

    /// The Region of the databases.
    fn home(&self) -> Place {
        let region = self.config.region().map(ToString::to_string);
        Place::here(region.unwrap_or_default())
    }

    /// The DB instances here, and what was missing in the listing.
    async fn instances(&self) -> (Vec<DbInstance>, Vec<Gap>) {
        let pages = self.here().describe_db_instances().max_records(PAGE);
        let pages = pages.into_paginator().send();
        let (instances, incomplete) =
            aws::read_pages_at(&self.pace, pages, |page| (page.db_instances, page.marker)).await;
        let gap = |why: String, grant: &str| Gap {
            read: format!("rds:DescribeDBInstances: {why}"),
            hides: Hides::Everything,
            grant: grant.to_owned(),
        };
        let mut gaps = Vec::new();
        if let Some(why) = incomplete {
            gaps.push(gap(why.to_string(), "rds:DescribeDBInstances"));
        }
        // Without its list of tags nobody knows whether it is on hold.
        let is_whole =
            |found: &DbInstance| found.tag_list.is_some() && database_of(found).is_some();
        if !instances.iter().all(is_whole) {
            let why = "a DB instance has no identifier, resource id, ARN, status or list of tags";
            gaps.push(gap(why.to_owned(), ""));
        }
        (instances, gaps)
    }

    async fn place(&self, policy: &RotationPolicy, scope: &Scope, place: &Place) -> Read {
        let mut read = Read {
            holdings: Holdings::default(),
            gap: None,
            bucket_gap: None,
            warnings: vec![],
        };
        let client = match self.client(policy, place).await {
            Ok(client) => client,
            Err(why) => {
                read.gap = Some((why, "sts:AssumeRole"));
                return read;
            }
        };
        let is_home = *place == self.home();
        let replicated = async {
            if is_home {
                Ok(BTreeMap::new())
            } else {
                self.replicated(&client).await
            }
        };
        let ((snapshots, incomplete), quota, replicated, listed) = futures::join!(
            self.snapshots(&client),
            self.quota(&client),
            replicated,
            self.listed(policy, scope, place),
        );
        match listed {
            Ok(documents) => read.holdings.documents = documents,
            Err(gap) => read.bucket_gap = Some(gap),
        }
        read.holdings.snapshots = snapshots;
        match incomplete {
            None => read.holdings.complete = true,
            Some(why) => {
                let why = format!("rds:DescribeDBSnapshots in {place}: {why}");
                read.gap = Some((why, "rds:DescribeDBSnapshots"));
            }
        }
        match quota {
            Ok(quota) => read.holdings.quota = quota,
            Err(why) => read.warnings.push(format!(
                "how many snapshots {place} has room for cannot be told: \
                 rds:DescribeAccountAttributes: {why}"
            )),
        }
        match replicated {
            Ok(replicated) => read.holdings.replicated_until = replicated,
            Err(why) => read.warnings.push(format!(
                "automated backups that are replicated to {place} do not count: \
                 rds:DescribeDBInstanceAutomatedBackups: {why}"
            )),
        }
        read
    }

    /// What the bucket of a place holds, recipes with their digests.
    async fn listed(
        &self,
        policy: &RotationPolicy,
        scope: &Scope,
        place: &Place,
    ) -> Result<Option<Documents>, Gap> {
        let gap = |bucket: &str, read: String, grant: &str| Gap {
            read,
            hides: Hides::unit(format!("s3://{bucket}")),
            grant: grant.to_owned(),
        };
        let bucket = self.bucket(policy, place).await;
        let Some(bucket) = bucket.map_err(|why| gap("", why, "sts:AssumeRole"))? else {
            return Ok(None);
        };
        let name = bucket.name().to_owned();
        let (listed, incomplete) = bucket.list().await;
        if let Some(why) = incomplete {
            return Err(gap(&name, why, "s3:ListBucket"));
        }
        let keys: BTreeSet<String> = listed.into_keys().collect();
        // Runs about some databases write no recipes.
        let are_written = *scope == Scope::Everything;
        let is_recipe = |key: &&String| are_written && key.starts_with("recipes/");
        let bucket = &bucket;
        let heads: Vec<_> = stream::iter(keys.iter().filter(is_recipe))
            .map(|key| async move { (key, bucket.head(key).await) })
            .buffered(CALLS_AT_ONCE)
            .collect()
            .await;
        let mut recipes = BTreeMap::new();
        for (key, head) in heads {
            if let Some(head) = head.map_err(|why| gap(&name, why, "s3:GetObject"))? {
                let written = Written {
                    content_digest: head.content_digest,
                    at: head.last_modified,
                    of: head.of,
                };
                recipes.insert(key.clone(), written);
            }
        }
        Ok(Some(Documents {
            bucket: name,
            keys,
            recipes,
        }))
    }

    /// What a recovery of the databases in scope needs beside their data.
    async fn recordings(
        &self,
        policy: &RotationPolicy,
        scope: &Scope,
        instances: &[DbInstance],
        databases: &[Database],
    ) -> BTreeMap<String, Recording> {
        if policy.restore_points.is_none() {
            return BTreeMap::new();
        }
        let mut of: BTreeMap<&str, (BTreeSet<Application>, Option<&str>)> = BTreeMap::new();
        for (database, rule) in selected(policy, scope, databases) {
            let named = rule.applications.iter().cloned().collect();
            of.insert(
                &database.resource_id,
                (named, database.tagged_environment()),
            );
        }
        let wanted = ApplicationsWanted {
            services: of.values().flat_map(|(named, _)| named.clone()).collect(),
            environments: of
                .values()
                .filter_map(|(_, environment)| environment.map(str::to_owned))
                .collect(),
        };
        let is_wanted = |instance: &&DbInstance| {
            instance
                .dbi_resource_id()
                .is_some_and(|id| of.contains_key(id))
        };
        let instances: Vec<DbInstance> = instances.iter().filter(is_wanted).cloned().collect();
        let (mut settings, applications) = futures::join!(
            Box::pin(self.recorder.databases(&instances)),
            Box::pin(self.recorder.applications(&wanted)),
        );
        let recorded = of.into_iter().map(|(id, (services, environment))| {
            let uses = applications.of(&services, environment);
            let mut recording = Recording {
                settings: None,
                applications: uses.value.applications,
                images: uses.value.images,
                missing: uses.missing,
            };
            match settings.remove(id) {
                Some(read) => {
                    recording.settings = Some(read.value);
                    recording.missing.extend(read.missing);
                }
                None => recording
                    .missing
                    .push("the settings of the database were not read".to_owned()),
            }
            (id.to_owned(), recording)
        });
        recorded.collect()
    }

    /// The manual snapshots of a place, without those that others share.
    async fn snapshots(&self, client: &rds::Client) -> (Vec<Snapshot>, Option<String>) {
        let listing = client.describe_db_snapshots().snapshot_type("manual");
        let pages = listing.max_records(PAGE).into_paginator().send();
        let (read, incomplete) = aws::read_pages_at(&self.pace, pages, |page| {
            let whole = |all: Vec<_>| all.into_iter().map(whole_snapshot_of).collect();
            (page.db_snapshots.map(whole), page.marker)
        })
        .await;
        let mut incomplete = incomplete.map(|why| why.to_string());
        let mut snapshots: Vec<Snapshot> = Vec::with_capacity(read.len());
        for snapshot in read {
            match snapshot {
                Some(snapshot) => snapshots.push(snapshot),
                None => incomplete = Some(PARTIAL.to_owned()),
            }
        }
        snapshots.sort_by(|a, b| a.id.cmp(&b.id));
        (snapshots, incomplete)
    }

    async fn quota(&self, client: &rds::Client) -> Result<Option<Quota>, String> {
        let answer = self.pace.call(client.describe_account_attributes().send());
        let answer = answer.await.map_err(|error| aws::explain(&error))?;
        let mut quotas = answer.account_quotas.unwrap_or_default().into_iter();
        let manual = quotas.find(|q| q.account_quota_name() == Some("ManualSnapshots"));
        let Some((used, max)) = manual.and_then(|quota| Some((quota.used?, quota.max?))) else {
            return Err("the answer does not tell ManualSnapshots".to_owned());
        };
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(Some(Quota {
            used: count(used),
            max: count(max),
        }))
    }

    /// Until when automated backups that RDS replicates here reach.
    async fn replicated(
        &self,
        client: &rds::Client,
    ) -> Result<BTreeMap<String, Timestamp>, String> {
        let listing = client.describe_db_instance_automated_backups();
        let pages = listing.max_records(PAGE).into_paginator().send();
        let (backups, incomplete) = aws::read_pages_at(&self.pace, pages, |page| {
            (page.db_instance_automated_backups, page.marker)
        })
        .await;
        if let Some(why) = incomplete {
            return Err(why.to_string());
        }
        let mut until = BTreeMap::new();
        for backup in backups {
            let latest = backup.restore_window.and_then(|window| window.latest_time);
            if backup.status.as_deref() == Some("replicating")
                && let (Some(id), Some(latest)) = (backup.dbi_resource_id, latest.and_then(time))
            {
                until.insert(id, latest);
            }
        }
        Ok(until)
    }

    /// The accounts that a snapshot is shared with.
    pub(crate) async fn shared_with(
        &self,
        client: &rds::Client,
        id: &str,
    ) -> Result<BTreeSet<String>, String> {
        let request = client
            .describe_db_snapshot_attributes()
            .db_snapshot_identifier(id);
        let answer = self.pace.call(request.send()).await;
        let answer = answer.map_err(|error| aws::explain(&error))?;
        let attributes = answer
            .db_snapshot_attributes_result
            .and_then(|result| result.db_snapshot_attributes)
            .ok_or("the answer has no list in it")?;
        let mut restore = attributes
            .into_iter()
            .filter(|attribute| attribute.attribute_name() == Some("restore"));
        let values = restore.next().and_then(|found| found.attribute_values);
        Ok(values.unwrap_or_default().into_iter().collect())
    }

    /// Whether AWS manages a key.
    async fn is_aws_managed(&self, client: &kms::Client, key: &str) -> Result<bool, String> {
        let answer = client.describe_key().key_id(key).send().await;
        let answer = answer.map_err(|error| aws::explain(&error))?;
        let manager = answer.key_metadata.and_then(|key| key.key_manager);
        let manager = manager.ok_or("the answer does not tell who manages it")?;
        Ok(manager == KeyManagerType::Aws)
    }

    /// Reads whom snapshots are shared with, and which keys stand in the way, for
    /// rules that share.
    async fn sharing(&self, policy: &RotationPolicy, scope: &Scope, seen: &mut Seen<World>) {
        let wanted = wanted_shares(policy, scope, &seen.world);
        if wanted.is_empty() {
            return;
        }
        let client = &self.here();
        let mut reads = stream::iter(&wanted)
            .map(|(id, unit)| async move { (id, unit, self.shared_with(client, id).await) })
            .buffer_unordered(CALLS_AT_ONCE);
        let mut known = BTreeMap::new();
        while let Some((id, unit, read)) = reads.next().await {
            match read {
                Ok(accounts) => {
                    known.insert(id.clone(), accounts);
                }
                Err(why) => seen.gaps.push(Gap {
                    read: format!("rds:DescribeDBSnapshotAttributes of {id}: {why}"),
                    hides: Hides::unit(unit),
                    grant: "rds:DescribeDBSnapshotAttributes".to_owned(),
                }),
            }
        }
        drop(reads);
        let world = &mut seen.world;
        let mut keys = BTreeSet::new();
        if let Some(holdings) = world.places.get_mut(&world.home) {
            for snapshot in &mut holdings.snapshots {
                if let Some(accounts) = known.remove(&snapshot.id) {
                    snapshot.shared_with = Some(accounts);
                    keys.extend(snapshot.kms_key.clone());
                }
            }
        }
        let client = kms::Client::new(&self.config);
        for key in keys {
            match self.is_aws_managed(&client, &key).await {
                Ok(true) => {
                    world.aws_managed_keys.insert(key);
                }
                Ok(false) => {}
                Err(why) => seen.warnings.push(format!(
                    "whether {key} can be shared cannot be told: kms:DescribeKey: {why}"
                )),
            }
        }
    }
}

/// A client that takes no part of an answer for the whole.
pub(crate) fn client_of(config: &SdkConfig) -> rds::Client {
    let config = rds::config::Builder::from(config).interceptor(WholeXml);
    rds::Client::from_conf(config.build())
}

/// The snapshots whose shares matter, with their units: Steward's own that can be
/// restored, where a rule shares them or another account is to copy them.
fn wanted_shares(
    policy: &RotationPolicy,
    scope: &Scope,
    world: &World,
) -> BTreeMap<String, String> {
    let selected: HashMap<&str, (&Database, &Rule)> = selected(policy, scope, &world.databases)
        .map(|(database, rule)| (database.resource_id.as_str(), (database, rule)))
        .collect();
    // Nothing is copied to a place that was not read.
    let read = world.places.iter().filter(|(_, held)| held.complete);
    let ids_in: HashMap<&Place, HashSet<&str>> = read
        .map(|(place, held)| {
            (
                place,
                held.snapshots.iter().map(|s| s.id.as_str()).collect(),
            )
        })
        .collect();
    let is_missing =
        |place: &Place, id: &str| ids_in.get(place).is_some_and(|ids| !ids.contains(id));
    let mut wanted = BTreeMap::new();
    let snapshots = world.at_home().into_iter().flat_map(|home| &home.snapshots);
    for snapshot in snapshots.filter(|snapshot| snapshot.is_available()) {
        let of = world
            .made_for(&world.home, snapshot)
            .and_then(|id| selected.get(id));
        let Some((database, rule)) = of else {
            continue;
        };
        let mut places = rule.copies.iter().map(CopyTo::place);
        let others_copy =
            places.any(|place| place.account.is_some() && is_missing(&place, &snapshot.id));
        if others_copy || !rule.share_with.is_empty() {
            let unit = world.home.unit(&database.identifier, &database.resource_id);
            wanted.insert(snapshot.id.clone(), unit);
        }
    }
    wanted
}

/// Whether a run has nothing to look at: RDS tells of every instance and snapshot,
/// of which the policy may select none.
fn is_about_nothing(policy: &RotationPolicy, scope: &Scope) -> bool {
    let Scope::Databases(names) = scope else {
        return false;
    };
    let rules = policy.rules();
    let mut selecting = names
        .iter()
        .filter(|name| rules.iter().any(|rule| rule.may_select(name)));
    selecting.next().is_none()
}

/// The databases in scope that a rule of the policy rotates.
fn selected<'a>(
    policy: &'a RotationPolicy,
    scope: &'a Scope,
    databases: &'a [Database],
) -> impl Iterator<Item = (&'a Database, &'a Rule)> {
    let in_scope = databases.iter().filter(|d| scope.covers(&d.identifier));
    in_scope.filter_map(|database| Some((database, rule_of(&policy.rules, database).ok()?)))
}

impl Observe<SnapshotRotation> for Snapshots {
    async fn observe(&self, policy: &RotationPolicy, scope: &Scope) -> Seen<World> {
        let home = self.home();
        if is_about_nothing(policy, scope) {
            return Seen {
                world: World::of_nothing(home),
                gaps: vec![],
                warnings: vec![],
            };
        }
        let places: Vec<Place> = std::iter::once(home.clone())
            .chain(policy.places().into_keys())
            .collect();
        let reads = stream::iter(places)
            .map(|place| async move {
                let read = Box::pin(self.place(policy, scope, &place)).await;
                (place, read)
            })
            .buffer_unordered(CALLS_AT_ONCE)
            .collect::<Vec<_>>();
        let here = async {
            let (instances, gaps) = self.instances().await;
            let mut databases: Vec<Database> = instances.iter().filter_map(database_of).collect();
            databases.sort_by(|a, b| a.identifier.cmp(&b.identifier));
            let recordings = self.recordings(policy, scope, &instances, &databases);
            let recordings = Box::pin(recordings).await;
            (databases, gaps, recordings)
        };
        let ((databases, gaps, recordings), mut reads) = futures::join!(here, reads);
        let warnings = nobody_uses(&databases, &recordings);
        let mut seen = Seen {
            world: World {
                recordings,
                ..World::of_nothing(home.clone())
            },
            gaps,
            warnings: warnings.into_iter().collect(),
        };
        if let Scope::Databases(names) = scope {
            for name in names {
                if !databases.iter().any(|d| d.identifier == *name) {
                    let warning = format!("there is no DB instance {name} here");
                    seen.warnings.push(warning);
                }
            }
        }
        reads.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (place, read) in reads {
            if let Some((read, grant)) = read.gap {
                let hides = if place == home {
                    Hides::Everything
                } else {
                    hidden_by(policy, scope, &databases, &home, &place)
                };
                let grant = grant.to_owned();
                seen.gaps.push(Gap { read, hides, grant });
            }
            seen.gaps.extend(read.bucket_gap);
            seen.warnings.extend(read.warnings);
            seen.world.places.insert(place, read.holdings);
        }
        seen.world.databases = databases;
        self.sharing(policy, scope, &mut seen).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Arc::new(seen.world.clone()));
        drop(last);
        seen
    }
}

/// Says of which databases no service is known, whose restore points bring back
/// the database alone.
fn nobody_uses(databases: &[Database], recordings: &BTreeMap<String, Recording>) -> Option<String> {
    let unused = databases.iter().filter(|database| {
        let recording = recordings.get(&database.resource_id);
        recording.is_some_and(|it| it.applications.is_empty() && it.missing.is_empty())
    });
    let unused: Vec<&str> = unused
        .map(|database| database.identifier.as_str())
        .collect();
    let more = match unused.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!unused.is_empty()).then(|| {
        let named = unused[..unused.len().min(NAMED)].join(", ");
        format!(
            "restore points of {named}{more} have no service of Amazon ECS in them: give the \
             database and its services the same tag {}, or name these in `applications`",
            names::ENVIRONMENT
        )
    })
}

/// What cannot be told while a place cannot be read: what its databases still
/// have to copy there, and so what may go here too.
fn hidden_by(
    policy: &RotationPolicy,
    scope: &Scope,
    databases: &[Database],
    home: &Place,
    place: &Place,
) -> Hides {
    let units: BTreeSet<String> = selected(policy, scope, databases)
        .filter(|(_, rule)| rule.copies.iter().any(|copy| copy.place() == *place))
        .flat_map(|(database, _)| {
            let of = |place: &Place| place.unit(&database.identifier, &database.resource_id);
            [of(home), of(place)]
        })
        .collect();
    Hides::Units(units)
}

fn database_of(instance: &DbInstance) -> Option<Database> {
    Some(Database {
        identifier: instance.db_instance_identifier()?.to_owned(),
        resource_id: instance.dbi_resource_id()?.to_owned(),
        arn: instance.db_instance_arn()?.to_owned(),
        status: instance.db_instance_status()?.to_owned(),
        created_at: instance.instance_create_time().copied().and_then(time),
        replica_of: instance
            .read_replica_source_db_instance_identifier()
            .or(instance.read_replica_source_db_cluster_identifier())
            .map(str::to_owned),
        cluster: instance.db_cluster_identifier().map(str::to_owned),
        tags: tags_of(instance.tag_list()),
    })
}

/// The same of a snapshot that says which tags it has, without which nobody knows
/// whose it is.
fn whole_snapshot_of(snapshot: DbSnapshot) -> Option<Snapshot> {
    snapshot.tag_list.is_some().then(|| snapshot_of(snapshot))?
}

pub(crate) fn snapshot_of(snapshot: DbSnapshot) -> Option<Snapshot> {
    let created_at = snapshot.snapshot_create_time.and_then(time);
    let original = snapshot.original_snapshot_create_time.and_then(time);
    Some(Snapshot {
        progress: Progress::of(
            snapshot.status().unwrap_or_default(),
            snapshot.percent_progress,
        ),
        tags: tags_of(snapshot.tag_list()),
        id: snapshot.db_snapshot_identifier?,
        arn: snapshot.db_snapshot_arn?,
        database: snapshot.db_instance_identifier.unwrap_or_default(),
        resource_id: snapshot.dbi_resource_id,
        created_at,
        taken_at: original.or(created_at),
        encrypted: snapshot.encrypted == Some(true),
        kms_key: snapshot.kms_key_id,
        option_group: snapshot.option_group_name,
        source_arn: snapshot.source_db_snapshot_identifier,
        shared_with: None,
        contents: Contents {
            engine: snapshot.engine.unwrap_or_default(),
            engine_version: snapshot.engine_version.unwrap_or_default(),
            allocated_storage: snapshot.allocated_storage,
            full_size_bytes: snapshot.full_snapshot_size_in_bytes,
        },
    })
}

fn tags_of(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or("").to_owned())))
        .collect()
}

fn time(at: DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}
