//! What runs go over that meet every call in turn: by sweeps of faults, and by the
//! role as it is deployed.

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace};
use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetTypeEnum};
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use snapshot_rotation::SnapshotRotation;
use steward::engine::Mode;
use steward::report::{Report, Status};
use steward::restore_point::{self, Document, RestorePoint, RestorePointKind};
use steward::run::Run;
use steward_sandbox::faults::Arranged;
use steward_sandbox::{Account, Database, Manifest, Place, SeededSnapshot, container};

use crate::stage::{Stage, name_of, states};

/// What a run goes over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scene {
    /// One database is due a snapshot, the snapshots of both are thinned, marked
    /// and recorded, with the service that uses them.
    Night,
    /// Snapshots are copied to another Region and another account, with documents
    /// there, and old copies go.
    Copies,
    /// The snapshots of a database that is gone end in two Regions.
    Retiring,
}

/// A scene in an account of its own.
pub(crate) struct Arrangement {
    pub(crate) stage: Stage,
    pub(crate) policy: String,
    /// The events of the clean runs, each until it leaves nothing to do. The run
    /// that meets the fault has the first.
    events: Vec<Value>,
    /// Where snapshots are, that of the databases first.
    pub(crate) spots: Vec<Spot>,
    /// Snapshots beside their database that stay until they are everywhere else.
    awaited: Vec<String>,
}

/// A place, and what has to be left in it.
pub(crate) struct Spot {
    pub(crate) account: Account,
    pub(crate) bucket: String,
    left: Found,
}

/// What is in a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    snapshots: BTreeSet<String>,
    documents: BTreeSet<String>,
}

const RECIPE: &str = "recipes/shop.json";

impl Scene {
    pub(crate) async fn arrange(self) -> Arrangement {
        let mut stage = Stage::new();
        // What the emulator dates by the machine's clock is of before.
        stage.now += SignedDuration::from_mins(10);
        match self {
            Self::Night => Box::pin(night(stage)).await,
            Self::Copies => Box::pin(copies(stage)).await,
            Self::Retiring => Box::pin(retiring(stage)).await,
        }
    }
}

impl Arrangement {
    /// The event of the run that meets the fault.
    pub(crate) fn event(&self) -> &Value {
        &self.events[0]
    }
}

impl Spot {
    async fn new(stage: &Stage, account: &Account) -> Self {
        let region = account.region_name();
        let there = Stage {
            account: account.clone(),
            now: stage.now,
        };
        let is_home = (account.id(), region) == (stage.account.id(), stage.account.region_name());
        Self {
            // As a stack there has it; the one here is still to be deployed.
            bucket: match is_home {
                true => there.bucket(region).await,
                false => there.bucket_of("steward-restore-points", region).await,
            },
            account: account.clone(),
            left: Found {
                snapshots: BTreeSet::new(),
                documents: BTreeSet::from([RECIPE.to_owned()]),
            },
        }
    }

    /// A snapshot has to be left, with its document.
    fn keeps(&mut self, key: &str) {
        let (_, name) = key.rsplit_once('/').unwrap();
        let name = name.strip_suffix(".json").unwrap();
        self.left.snapshots.insert(name.to_owned());
        self.left.documents.insert(key.to_owned());
    }

    async fn put(&self, key: &str, text: &str) {
        let body = text.as_bytes().to_vec().into();
        let put = self.account.s3().put_object().bucket(&self.bucket).key(key);
        put.body(body).send().await.unwrap();
    }

    async fn found(&self) -> Found {
        let mut found = Found::default();
        for (name, status) in states(&self.account).await {
            assert_eq!(status, "available", "{name}");
            found.snapshots.insert(name);
        }
        let list = self.account.s3().list_objects_v2().bucket(&self.bucket);
        let listed = list.send().await.unwrap();
        let keys = listed.contents().iter().filter_map(|object| object.key());
        found.documents = keys.map(str::to_owned).collect();
        found
    }
}

/// The key of a document of a snapshot, by what is seeded.
fn key_of(resource_id: &str, seeded: &SeededSnapshot) -> String {
    let name = seeded.id.as_ref().unwrap();
    format!(
        "restore-points/{}/{resource_id}/{name}.json",
        seeded.instance
    )
}

/// A document of a snapshot that says no more than it must.
fn document(account: &Account, resource_id: &str, seeded: &SeededSnapshot) -> String {
    let id = seeded.id.clone().unwrap();
    let (region, owner) = (account.region_name(), account.id());
    let document = Document::RestorePoint(Box::new(RestorePoint {
        schema_version: restore_point::SCHEMA_VERSION,
        kind: RestorePointKind::RestorePoint,
        recorded_at: seeded.taken_at.unwrap(),
        snapshot: restore_point::Snapshot {
            arn: format!("arn:aws:rds:{region}:{owner}:snapshot:{id}"),
            id,
            account: owner.to_owned(),
            region: region.to_owned(),
            database_identifier: seeded.instance.clone(),
            resource_id: resource_id.to_owned(),
            taken_at: seeded.taken_at.unwrap(),
            engine: "postgres".to_owned(),
            engine_version: "15.4".to_owned(),
            encrypted: None,
            kms_key_id: None,
            allocated_storage: None,
            full_snapshot_size_in_bytes: None,
        },
        copies: vec![],
        database: None,
        applications: vec![],
        images: vec![],
        incomplete: vec![],
    }));
    document.text().unwrap().expose_secret().to_owned()
}

/// A service behind a load balancer that takes a secret and a parameter and is
/// scaled, of the environment of the databases.
async fn application(account: &Account) {
    let network = account.control().network().await.unwrap();
    let group = account.elbv2().create_target_group().name("web");
    let group = group.protocol(ProtocolEnum::Http).port(3000);
    let group = group.vpc_id(&network.vpc).target_type(TargetTypeEnum::Ip);
    let group = group.send().await.unwrap();
    let group = group.target_groups()[0].target_group_arn().unwrap();

    let secret = account.secretsmanager().create_secret();
    let secret = secret.name("shop/database").secret_string("not told");
    secret.send().await.unwrap();
    let parameter = account.ssm().put_parameter().name("/shop/settings");
    let parameter = parameter.r#type(aws_sdk_ssm::types::ParameterType::String);
    parameter.value("not told").send().await.unwrap();

    let repository = account.repository("shop/web").await.unwrap();
    let manifest = Manifest::image("web");
    let digest = repository.push(&manifest, Some("v1")).await.unwrap();
    let image = repository.pinned(&digest);
    let settings = aws_sdk_ecs::types::Secret::builder().name("SETTINGS");
    let settings = settings.value_from("/shop/settings").build().unwrap();
    let container = container("web", &image, account).secrets(settings).build();
    let task = account.task_definition_with("web", container);
    let task = task.await.unwrap();
    account.cluster("shop").await.unwrap();
    let place = Place {
        subnets: network.public_subnets,
        security_group: network.security_groups.service,
        capacity_provider: None,
        target_group: Some(group.to_owned()),
        grace_seconds: 60,
    };
    let service = account.service_in("shop", "web", &task, 1, &place);
    let service = service.await.unwrap();
    let tag = aws_sdk_ecs::types::Tag::builder().key("steward:environment");
    let tagged = account.ecs().tag_resource().tags(tag.value("shop").build());
    let tagged = tagged.resource_arn(service.service_arn().unwrap());
    tagged.send().await.unwrap();
    let scaling = account.application_autoscaling();
    let target = scaling
        .register_scalable_target()
        .service_namespace(ServiceNamespace::Ecs)
        .resource_id("service/shop/web")
        .scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
    let target = target.min_capacity(1).max_capacity(3);
    target.send().await.unwrap();
}

async fn night(stage: Stage) -> Arrangement {
    let mut home = Spot::new(&stage, &stage.account).await;
    application(&stage.account).await;

    // Due, and nothing of it is recorded yet but what goes.
    let shop = stage.database("shop-db").await;
    let due = [26, 50, 74].map(|hours| stage.own_seeded(&shop, hours));
    shop.fill(&due).await.unwrap();
    let id = shop.resource_id();
    home.keeps(&key_of(id, &due[0]));
    let new = SeededSnapshot {
        id: Some(name_of("shop-db", id, stage.hours_ago(2))),
        ..due[0].clone()
    };
    home.keeps(&key_of(id, &new));
    for gone in &due[1..] {
        home.put(&key_of(id, gone), "{}").await;
    }

    // Not due. Its newest is not marked yet, one is on hold.
    let group = stage.account.rds().create_option_group();
    let group = group.option_group_name("blog").engine_name("postgres");
    let group = group.major_engine_version("15");
    let group = group.option_group_description("Ours.").send();
    group.await.unwrap();
    let tags = [("steward:environment", "shop")];
    let blog = stage.account.database_with("blog-db", &tags, |request| {
        let request = request.backup_retention_period(0);
        request.option_group_name("blog")
    });
    let blog = blog.await.unwrap();
    let id = blog.resource_id();
    let mut snapshots = [2, 26, 50, 74, 98].map(|hours| stage.own_seeded(&blog, hours));
    let tags = snapshots[0].tags.as_mut().unwrap();
    tags.remove("steward:taken-at");
    let tags = snapshots[4].tags.as_mut().unwrap();
    tags.insert("steward:hold".to_owned(), "audit".to_owned());
    blog.fill(&snapshots).await.unwrap();
    for kept in [0, 1, 4] {
        home.keeps(&key_of(id, &snapshots[kept]));
    }
    let ago = stage.hours_ago(5000);
    blog.snapshot_at(ago, "blog-db-final", &[]).await.unwrap();
    home.left.snapshots.insert("blog-db-final".to_owned());
    // One document is complete and still has its incomplete one beside it, one is
    // to be completed, and some are of snapshots that are gone.
    let key = key_of(id, &snapshots[1]);
    let incomplete = key.replace(".json", ".incomplete.json");
    home.put(&key, "{}").await;
    home.put(&incomplete, "{}").await;
    let incomplete = key_of(id, &snapshots[4]).replace(".json", ".incomplete.json");
    home.put(&incomplete, "{}").await;
    let gone = stage.own_seeded(&blog, 122);
    for gone in [&snapshots[2], &snapshots[3], &gone] {
        home.put(&key_of(id, gone), "{}").await;
    }
    home.put("recipes/shop.incomplete.json", "{}").await;

    let policy = format!(
        r#"
version: 1
rules:
- name: all
  databases: {{include: ["*"]}}
  keep: {{last: 2}}
restore_points: {}
limits: {{max_delete_share_percent: 100, keep_snapshots_at_least: 1}}
"#,
        home.bucket
    );
    Arrangement {
        stage,
        policy,
        events: vec![json!({})],
        spots: vec![home],
        awaited: vec![],
    }
}

/// Puts copies of a database's snapshots into a place, with documents, and
/// answers the key that encrypts them. The database itself is not there.
async fn copied(stage: &Stage, spot: &Spot, of: &Database, hours: &[i64]) -> String {
    let key = spot.account.key().await.unwrap();
    let same = spot.account.database_with(of.identifier(), &[], |request| {
        request.storage_encrypted(true).kms_key_id(&key)
    });
    let same = same.await.unwrap();
    let id = of.resource_id();
    let (region, account) = (stage.account.region_name(), stage.account.id());
    let copies = hours.iter().map(|hours| {
        let copy = stage.own_of(&same, id, *hours);
        let name = copy.id.clone().unwrap();
        let source = format!("arn:aws:rds:{region}:{account}:snapshot:{name}");
        SeededSnapshot {
            source: Some(source),
            ..copy
        }
    });
    let copies: Vec<SeededSnapshot> = copies.collect();
    same.fill(&copies).await.unwrap();
    same.delete().await.unwrap();
    key
}

async fn copies(stage: Stage) -> Arrangement {
    let account = &stage.account;
    let other = Stage::new().account;
    let mut spots = vec![
        Spot::new(&stage, account).await,
        Spot::new(&stage, &account.region("eu-west-1")).await,
        Spot::new(&stage, &other).await,
    ];
    let key = account.key().await.unwrap();
    let tags = [("steward:environment", "shop")];
    let shop = account.database_with("shop-db", &tags, |request| {
        let request = request.backup_retention_period(0);
        request.storage_encrypted(true).kms_key_id(&key)
    });
    let shop = shop.await.unwrap();
    let id = shop.resource_id();
    let snapshots = [2, 26, 50, 74].map(|hours| stage.own_seeded(&shop, hours));
    shop.fill(&snapshots).await.unwrap();
    let documents = snapshots.iter().map(|of| key_of(id, of));
    let documents: Vec<String> = documents.collect();
    spots[0].keeps(&documents[0]);
    for (snapshot, key) in snapshots.iter().zip(&documents).skip(1) {
        spots[0].put(key, &document(account, id, snapshot)).await;
    }
    let share = account.rds().modify_db_snapshot_attribute();
    let share = share.db_snapshot_identifier(snapshots[2].id.clone().unwrap());
    let share = share.attribute_name("restore").values_to_add(other.id());
    share.send().await.unwrap();

    // There is one that is documented beside its database only, others that no
    // rule keeps there once the missing ones have come, and documents that end.
    let mut keys = Vec::new();
    for spot in &mut spots[1..] {
        keys.push(copied(&stage, spot, &shop, &[26, 98, 122, 146]).await);
        for key in &documents[..3] {
            spot.keeps(key);
        }
        for hours in [98, 122, 146, 170] {
            let old = stage.own_seeded(&shop, hours);
            spot.put(&key_of(id, &old), "{}").await;
        }
    }
    let awaited = [1, 2].map(|n| snapshots[n].id.clone().unwrap());
    let policy = format!(
        r#"
version: 1
rules:
- name: all
  databases: {{include: ["*"]}}
  keep: {{last: 1}}
  copies:
  - region: eu-west-1
    kms_key_id: "{}"
    keep: {{last: 3}}
    restore_points: {}
  - region: us-east-1
    kms_key_id: "{}"
    role_arn: "arn:aws:iam::{}:role/steward-copies"
    external_id: shop-and-its-copies
    keep: {{last: 3}}
    restore_points: {}
restore_points: {}
limits: {{max_delete_share_percent: 100, keep_snapshots_at_least: 1}}
"#,
        keys[0],
        spots[1].bucket,
        keys[1],
        other.id(),
        spots[2].bucket,
        spots[0].bucket
    );
    Arrangement {
        stage,
        policy,
        events: vec![json!({})],
        spots,
        awaited: awaited.into(),
    }
}

async fn retiring(stage: Stage) -> Arrangement {
    let account = &stage.account;
    let mut spots = vec![
        Spot::new(&stage, account).await,
        Spot::new(&stage, &account.region("eu-west-1")).await,
    ];
    let mut key = String::new();
    let gone = stage.database("shop-db").await;
    let lives = stage.database("blog-db").await;
    for (database, hours) in [(&gone, [2, 26, 50]), (&lives, [2, 26, 49])] {
        let id = database.resource_id();
        let mut snapshots = hours.map(|hours| stage.own_seeded(database, hours));
        if database.identifier() == "shop-db" {
            let tags = snapshots[2].tags.as_mut().unwrap();
            tags.insert("steward:hold".to_owned(), "audit".to_owned());
        }
        database.fill(&snapshots).await.unwrap();
        key = copied(&stage, &spots[1], database, &hours[..2]).await;
        for (spot, snapshots) in spots.iter_mut().zip([&snapshots[..], &snapshots[..2]]) {
            for (n, snapshot) in snapshots.iter().enumerate() {
                let document = key_of(id, snapshot);
                spot.put(&document, "{}").await;
                // The one that is on hold, and all of the one that lives.
                if n == 2 || database.identifier() == "blog-db" {
                    spot.keeps(&document);
                }
            }
        }
    }
    gone.delete().await.unwrap();
    let policy = format!(
        r#"
version: 1
rules:
- name: all
  databases: {{include: ["*"]}}
  keep: {{last: 3}}
  copies: [{{region: eu-west-1, kms_key_id: "{key}", restore_points: {}}}]
restore_points: {}
limits: {{max_delete_share_percent: 100, keep_snapshots_at_least: 1}}
"#,
        spots[1].bucket, spots[0].bucket
    );
    let retire = json!({"operation": "retire", "resource_ids": [gone.resource_id()]});
    Arrangement {
        stage,
        policy,
        events: vec![retire, json!({})],
        spots,
        awaited: vec![],
    }
}

impl Arrangement {
    async fn run_of(&self, config: SdkConfig, event: &Value) -> Run<SnapshotRotation> {
        let run = self
            .stage
            .run_as(config, &self.policy, Mode::Apply, event.clone());
        Box::pin(run).await
    }
}

impl Arranged for Arrangement {
    type Function = SnapshotRotation;
    type Found = Vec<Found>;

    fn account(&self) -> &Account {
        &self.stage.account
    }

    async fn run(&self, config: SdkConfig) -> Run<SnapshotRotation> {
        self.run_of(config, self.event()).await
    }

    async fn found(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for spot in &self.spots {
            found.push(spot.found().await);
        }
        found
    }

    fn assert_harmless(
        &self,
        before: &Vec<Found>,
        after: &Vec<Found>,
        _: Option<&Report>,
        told: &str,
    ) {
        for (n, spot) in self.spots.iter().enumerate() {
            let (before, after, left) = (&before[n], &after[n], &spot.left);
            let place = spot.account.region_name();
            let kept = left.snapshots.intersection(&before.snapshots);
            let lost: Vec<&String> = kept.filter(|id| !after.snapshots.contains(*id)).collect();
            assert!(lost.is_empty(), "{told}: {place} lost {lost:?}");
            let new = after.snapshots.difference(&before.snapshots);
            let new: Vec<&String> = new.filter(|id| !left.snapshots.contains(*id)).collect();
            assert!(new.is_empty(), "{told}: {place} has {new:?}");
            let kept = left.documents.intersection(&before.documents);
            let lost: Vec<&String> = kept.filter(|key| !after.documents.contains(*key)).collect();
            assert!(lost.is_empty(), "{told}: {place} lost {lost:?}");
            let wanted = |key: &&String| {
                let whole = key.replace(".incomplete.json", ".json");
                !left.documents.contains(&whole)
            };
            let new = after.documents.difference(&before.documents);
            let new: Vec<&String> = new.filter(wanted).collect();
            assert!(new.is_empty(), "{told}: {place} has {new:?}");
        }
        for name in &self.awaited {
            let there = after.iter().filter(|spot| spot.snapshots.contains(name));
            assert!(
                after[0].snapshots.contains(name) || there.count() == after.len() - 1,
                "{told}: {name} is gone and not copied"
            );
        }
    }

    async fn assert_completed(&self, told: &str) {
        let mut before = self.found().await;
        for event in &self.events {
            let mut report;
            let mut runs = 0;
            loop {
                report = self.run_of(self.account().sdk_config(), event).await.report;
                assert!(
                    matches!(
                        report.status,
                        Status::Applied | Status::Waiting | Status::NothingToDo
                    ),
                    "{told}: {report:#?}"
                );
                let after = self.found().await;
                self.assert_harmless(&before, &after, None, told);
                before = after;
                if report.status == Status::NothingToDo {
                    break;
                }
                runs += 1;
                assert!(runs < 8, "{told} is never done: {report:#?}");
            }
        }
        for (spot, found) in self.spots.iter().zip(&before) {
            assert_eq!(*found, spot.left, "{told}: in {}", spot.bucket);
        }
    }
}
