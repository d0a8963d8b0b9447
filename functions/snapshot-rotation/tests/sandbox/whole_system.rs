//! The seeded reference system, rotated for some nights, and then pruned of images
//! by the strictest policy: what restore points and recipes name is still there.

use std::collections::BTreeSet;

use image_pruning::{ImagePruning, Registry};
use jiff::SignedDuration;
use serde_json::{Value, json};
use steward::engine::{Clock, Mode};
use steward::lambda;
use steward::report::{ActionOutcome, Report, Status};
use steward::switches::{Position, Switches};
use steward_sandbox::seed::{self, Reference};
use steward_sandbox::{Account, Manifest};

use crate::stage::{Stage, names, states};

/// Everything unused goes that is a day old, but for the newest tagged image of a
/// repository.
const STRICTEST: &str = r#"
version: 1
repositories: {include: ["*"]}
retention: {keep_newest: 1, keep_younger_than: 1d, remove_untagged_after: 1d}
in_use: {revisions_per_family: 1, rollback_deployments: 1, restore_points: []}
limits: {max_delete_share_percent: 100, max_deletes_per_run: 100000}
"#;

/// Lets services and the database of the reference system belong together.
async fn tag_environment(account: &Account, reference: &Reference) {
    let (region, id) = (account.region_name(), account.id());
    for service in ["web", "worker", "reports"] {
        let tag = aws_sdk_ecs::types::Tag::builder().key("steward:environment");
        let arn = format!("arn:aws:ecs:{region}:{id}:service/shop/{service}");
        let request = account.ecs().tag_resource().resource_arn(arn);
        let request = request.tags(tag.value("shop").build());
        request.send().await.unwrap();
    }
    let tag = aws_sdk_rds::types::Tag::builder().key("steward:environment");
    let database = format!("arn:aws:rds:{region}:{id}:db:{}", reference.system.database);
    let request = account.rds().add_tags_to_resource();
    let request = request
        .resource_name(database)
        .tags(tag.value("shop").build());
    request.send().await.unwrap();
}

/// Deploys another image to the service `reports`; its digest.
async fn deploy_reports(stage: &Stage, reference: &Reference, version: &str) -> String {
    let account = &stage.account;
    let repository = account.existing_repository(&reference.reports.repository);
    let manifest = Manifest::image(version);
    let tags = [version];
    let pushed = repository.push_at(stage.now, &manifest, &tags);
    let digest = pushed.await.unwrap();
    let image = repository.pinned(&digest);
    let task = account.task_definition("reports", &image).await.unwrap();
    let update = account.ecs().update_service().cluster("shop");
    let update = update.service("reports").task_definition(task);
    update.send().await.unwrap();
    digest
}

/// One night: a snapshot is made, and everything that follows from it is done.
async fn night(stage: &mut Stage, policy: &str) {
    stage.now += SignedDuration::from_hours(24);
    let before: BTreeSet<String> = names(&stage.account).await.into_iter().collect();
    let made = stage.apply(policy).await;
    assert_eq!(made.status, Status::Waiting, "{made:#?}");
    let after: BTreeSet<String> = names(&stage.account).await.into_iter().collect();
    let new: Vec<&String> = after.difference(&before).collect();
    let [new] = new[..] else {
        panic!("one a night: {new:?}");
    };
    // The emulators date by the machine's clock, for which it is one day all along:
    // to them every recipe is of yesterday.
    let control = stage.account.control();
    control.backdate_snapshot(new, stage.now).await.unwrap();
    for _ in 0..6 {
        let report = stage.apply(policy).await;
        assert_eq!(report.summary.failed, 0, "{report:#?}");
        assert_eq!(report.gaps, []);
        let mut lines = report.actions.iter();
        if lines.all(|line| line.reason == "recipe_due") {
            return;
        }
    }
    panic!("it is never done");
}

/// Every document of a bucket, by its key.
async fn documents(stage: &Stage, account: &Account, bucket: &str) -> Vec<(String, Value)> {
    let mut documents = Vec::new();
    for key in stage.keys(account, bucket).await {
        let get = account.s3().get_object().bucket(bucket).key(&key);
        let body = get.send().await.unwrap().body.collect().await.unwrap();
        let document = serde_json::from_slice(&body.to_vec()).unwrap();
        documents.push((key, document));
    }
    documents
}

async fn prune(stage: &Stage, policy: &str, mode: Mode) -> Report {
    let clock = Clock::Fixed(stage.now);
    let hands = Registry::at(&stage.account.sdk_config(), clock);
    let mut request = lambda::request::<ImagePruning>(&json!({})).unwrap();
    request.mode = Some(mode);
    let switches = Switches::Fixed(Position::Run);
    let run = stage
        .account
        .run_function(&hands, stage.now, &switches, policy, request);
    run.await.unwrap().report
}

#[tokio::test]
async fn no_image_that_a_document_names_is_pruned() {
    let mut stage = Stage::new();
    let account = stage.account.clone();
    let there = account.region("eu-west-1");
    let reference = seed::reference_system(&account, stage.now).await.unwrap();
    tag_environment(&account, &reference).await;
    let (here_bucket, there_bucket) = (
        stage.bucket("us-east-1").await,
        stage.bucket("eu-west-1").await,
    );
    let key = there.key().await.unwrap();
    let policy = format!(
        r#"
version: 1
rules:
- name: all
  databases: {{include: ["*"]}}
  keep: {{last: 3}}
  copies: [{{region: eu-west-1, kms_key_id: "{key}", restore_points: {there_bucket}}}]
restore_points: {here_bucket}
"#
    );

    let mut deployed = vec![reference.reports.deployed.clone()];
    for version in ["", "v101", "v102", "v103"] {
        if !version.is_empty() {
            deployed.push(deploy_reports(&stage, &reference, version).await);
        }
        night(&mut stage, &policy).await;
    }

    let left = states(&account).await;
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(states(&there).await, left);
    let mut named = BTreeSet::new();
    for (account, bucket) in [(&account, &here_bucket), (&there, &there_bucket)] {
        let documents = documents(&stage, account, bucket).await;
        let keys: Vec<&String> = documents.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), 4, "one for each, and the recipe: {keys:?}");
        for (key, document) in &documents {
            assert_eq!(document["incomplete"], json!([]), "{key}");
            let images = document["images"].as_array().unwrap();
            assert!(images.len() >= 4, "{key}: {images:?}");
            for image in images {
                let (_, image) = image["reference"]
                    .as_str()
                    .unwrap()
                    .split_once('/')
                    .unwrap();
                let (repository, digest) = image.split_once('@').unwrap();
                named.insert((repository.to_owned(), digest.to_owned()));
            }
        }
    }
    // Of the first night nothing is left but what the next ones name.
    for digest in &deployed[1..] {
        let image = (reference.reports.repository.clone(), digest.clone());
        assert!(named.contains(&image), "{digest} is not in {named:?}");
    }

    // Nothing else keeps all of these.
    let careless = prune(&stage, STRICTEST, Mode::Plan).await;
    let lost = named.iter().filter(|(_, digest)| {
        let mut lines = careless.actions.iter();
        lines.any(|line| {
            line.outcome == ActionOutcome::Planned && line.resource.ends_with(digest.as_str())
        })
    });
    assert!(lost.count() > 0, "{careless:#?}");

    let with_documents = STRICTEST.replace(
        "restore_points: []",
        &format!("restore_points: [\"s3://{here_bucket}/\"]"),
    );
    let report = prune(&stage, &with_documents, Mode::Apply).await;

    assert_eq!(report.gaps, []);
    assert_eq!(report.summary.failed, 0);
    assert!(report.summary.done > 100, "{:?}", report.summary);
    for (repository, digest) in &named {
        let repository = account.existing_repository(repository);
        assert!(
            repository.has(digest).await.unwrap(),
            "{digest} of {} is gone",
            repository.name()
        );
    }
}
