//! One account of the sandbox, a now, and a run of snapshot-rotation in it.

use aws_config::SdkConfig;
use aws_sdk_rds::types::DbSnapshot;
use aws_sdk_s3::types::CreateBucketConfiguration;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use snapshot_rotation::{SnapshotRotation, Snapshots};
use steward::engine::{Clock, Mode};
use steward::lambda;
use steward::report::{ActionOutcome, Report};
use steward::run::Run;
use steward::switches::{Position, Switches};

use steward_sandbox::{Account, Database, Sandbox, SeededSnapshot, Settings};

/// Every database, every day, two stay, and the floor is one.
pub(crate) const DAILY: &str = r#"
version: 1
rules:
- name: all
  databases: {include: ["*"]}
  keep: {last: 2}
limits: {max_delete_share_percent: 100, keep_snapshots_at_least: 1}
"#;

pub(crate) struct Stage {
    pub(crate) account: Account,
    pub(crate) now: Timestamp,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::shared().expect("the sandbox starts");
        #[expect(
            clippy::disallowed_methods,
            reason = "the emulator dates what it makes by the machine's clock"
        )]
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        Self {
            account: sandbox.account(),
            now,
        }
    }

    pub(crate) fn hours_ago(&self, hours: i64) -> Timestamp {
        self.now - SignedDuration::from_hours(hours)
    }

    /// A database without automated backups.
    pub(crate) async fn database(&self, identifier: &str) -> Database {
        let tags = [("steward:environment", "shop")];
        let made = self.account.database_with(identifier, &tags, |request| {
            request.backup_retention_period(0)
        });
        made.await.unwrap()
    }

    /// A snapshot of so many hours ago, as Steward leaves it; its name.
    pub(crate) async fn own(&self, database: &Database, hours_ago: i64) -> String {
        let seeded = self.own_seeded(database, hours_ago);
        let [name] = database.fill(&[seeded]).await.unwrap().try_into().unwrap();
        name
    }

    /// The same before it is there.
    pub(crate) fn own_seeded(&self, database: &Database, hours_ago: i64) -> SeededSnapshot {
        self.own_of(database, database.resource_id(), hours_ago)
    }

    /// The same for the database with another resource id, as a copy has it.
    pub(crate) fn own_of(&self, database: &Database, id: &str, hours_ago: i64) -> SeededSnapshot {
        let taken_at = self.hours_ago(hours_ago);
        let tags = [
            ("steward:managed-by", "snapshot-rotation"),
            ("steward:made-for", id),
            ("steward:taken-at", &taken_at.to_string()),
        ];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned()));
        SeededSnapshot {
            id: Some(name_of(database.identifier(), id, taken_at)),
            tags: Some(tags.into()),
            ..database.seeded(taken_at)
        }
    }

    /// From now on what is made and copied takes so many looks.
    pub(crate) async fn takes_time(&self, polls: u32) {
        let settings = Settings {
            rds_polls: Some(polls),
            ..Settings::default()
        };
        self.account.control().settings(&settings).await.unwrap();
    }

    /// A bucket of this test's alone, in a Region.
    pub(crate) async fn bucket(&self, region: &str) -> String {
        self.bucket_of("points", region).await
    }

    /// The same with a name that begins otherwise.
    pub(crate) async fn bucket_of(&self, what: &str, region: &str) -> String {
        let name = format!("{what}-{}-{region}", self.account.id());
        let mut create = self.account.region(region).s3().create_bucket();
        if region != "us-east-1" {
            let place = CreateBucketConfiguration::builder().location_constraint(region.into());
            create = create.create_bucket_configuration(place.build());
        }
        create.bucket(&name).send().await.unwrap();
        name
    }

    pub(crate) async fn keys(&self, account: &Account, bucket: &str) -> Vec<String> {
        let list = account.s3().list_objects_v2().bucket(bucket);
        let listed = list.send().await.unwrap();
        let keys = listed.contents().iter().filter_map(|object| object.key());
        keys.map(str::to_owned).collect()
    }

    pub(crate) async fn plan(&self, policy: &str) -> Report {
        self.run_as(self.account.sdk_config(), policy, Mode::Plan, json!({}))
            .await
            .report
    }

    pub(crate) async fn apply(&self, policy: &str) -> Report {
        self.run_as(self.account.sdk_config(), policy, Mode::Apply, json!({}))
            .await
            .report
    }

    pub(crate) async fn run_as(
        &self,
        config: SdkConfig,
        policy: &str,
        mode: Mode,
        event: Value,
    ) -> Run<SnapshotRotation> {
        let mut payload = json!({"mode": mode.as_str()});
        for (key, value) in event.as_object().unwrap() {
            payload[key] = value.clone();
        }
        let switches = Switches::Fixed(Position::Run);
        let hands = Snapshots::at(&config, Clock::Fixed(self.now));
        let request = lambda::request::<SnapshotRotation>(&payload).unwrap();
        let run = self
            .account
            .run_function(&hands, self.now, &switches, policy, request);
        run.await.unwrap()
    }
}

/// What Steward calls a snapshot of a database that is due at a moment.
pub(crate) fn name_of(database: &str, resource_id: &str, due: Timestamp) -> String {
    let end = resource_id[resource_id.len() - 6..].to_lowercase();
    format!("steward-{database}-{end}-{}", due.strftime("%Y%m%d-%H%M"))
}

/// The snapshots of an account and Region by name, with their states.
pub(crate) async fn states(account: &Account) -> Vec<(String, String)> {
    let all = account.manual_snapshots().await.unwrap();
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let mut states: Vec<(String, String)> = all
        .iter()
        .map(|s| (text(s.db_snapshot_identifier()), text(s.status())))
        .collect();
    states.sort();
    states
}

pub(crate) async fn names(account: &Account) -> Vec<String> {
    states(account)
        .await
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

pub(crate) async fn snapshot(account: &Account, name: &str) -> DbSnapshot {
    let all = account.manual_snapshots().await.unwrap();
    let mut all = all.into_iter();
    let found = all.find(|s| s.db_snapshot_identifier() == Some(name));
    found.unwrap_or_else(|| panic!("there is no {name}"))
}

/// `KIND REASON OUTCOME` of every action.
pub(crate) fn actions(report: &Report) -> Vec<String> {
    let told = report.actions.iter().map(|line| {
        let outcome = match line.outcome {
            ActionOutcome::Planned => "planned",
            ActionOutcome::Done => "done",
            ActionOutcome::AlreadyDone => "already_done",
            ActionOutcome::Deferred => "deferred",
            ActionOutcome::Skipped => "skipped",
            ActionOutcome::Failed => "failed",
        };
        format!("{} {} {outcome}", line.kind, line.reason)
    });
    let mut all: Vec<String> = told.collect();
    all.sort();
    all
}
