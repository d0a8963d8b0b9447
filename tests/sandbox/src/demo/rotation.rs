//! A night of snapshot-rotation on the reference system's database, and the night
//! after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_rds::types::{DbSnapshot, Tag};
use aws_sdk_s3::types::CreateBucketConfiguration;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward_sandbox::deploy::{Deployment, Function};
use steward_sandbox::seed::Reference;
use steward_sandbox::{Account, Database, SeededSnapshot, Settings};

use super::{fire, indented};
use crate::build::Binaries;
use crate::show::Stage;
use crate::up;

const POLICY: &str = include_str!("rotation-policy.yaml");

/// The Region that copies go to.
const THERE: &str = "us-west-2";

/// How many nights the cron job has run, up to the night before last.
const NIGHTS: i64 = 16;

/// What somebody has made by hand.
const BY_HAND: &str = "before-the-big-migration";

/// How many looks a snapshot takes to be complete.
const LOOKS: u32 = 3;

/// More runs than a night can need.
const MOST_RUNS: usize = 8;

/// What the names of Steward's snapshots of the database begin with.
const OWN: &str = "steward-shop-";

/// What those of the cron job begin with.
const CRON: &str = "nightly-shop-";

/// Plays both nights. `parameters` are what the stack has already.
pub(super) async fn nights(
    stage: &Stage,
    account: &Account,
    reference: &Reference,
    binaries: &Binaries,
    automation: &Deployment,
    parameters: &[(&str, &str)],
) -> Result<()> {
    let database = account
        .existing_database(&reference.system.database)
        .await?;
    let there = account.region(THERE);
    let buckets = Buckets {
        here: automation.output("RestorePointBucketName")?.to_owned(),
        there: format!("steward-restore-points-{}-{THERE}", account.id()),
    };
    let yesterday = history(&database).await?;
    make_bucket(&there, &buckets.there).await?;
    let key = there.key().await?;
    let policy = POLICY
        .replace("THE-KEY-THERE", &key)
        .replace("THE-BUCKET-THERE", &buckets.there)
        .replace("THE-BUCKET-HERE", &buckets.here);
    let deploy = async |mode| {
        let mut all = parameters.to_vec();
        all.extend([
            ("SnapshotRotationMode", mode),
            ("SnapshotRotationPolicy", policy.as_str()),
            ("SnapshotRotationAdopts", "nightly-shop-*"),
            ("SnapshotRotationCopyRegions", THERE),
            ("SnapshotRotationKeys", key.as_str()),
            ("SnapshotRotationRestorePoints", "true"),
            ("RecoveryBucket", buckets.there.as_str()),
        ]);
        up::deploy_automation(account, binaries, &all).await
    };

    stage.title("7. The database: a plan by hand")?;
    stage.say(format!(
        "A cron job made a snapshot of database `{}` in each of {NIGHTS} nights, deleted none, and\n\
         copied none anywhere. Somebody made {BY_HAND} by hand. Since last\n\
         night Steward makes the snapshots. Tonight the team lets it adopt the cron job's, and\n\
         thin, copy and record. The new policy, in plan mode first:\n\n{}",
        database.identifier(),
        indented(&policy)
    ))?;
    deploy("plan").await?;
    stage.run(
        &binaries.steward,
        &[
            "snapshot-rotation",
            "plan",
            "--policy",
            "ssm:/steward/policy/snapshot-rotation",
        ],
        &account.env(),
    )?;
    let before = names(account).await?;
    ensure!(
        before.len() == usize::try_from(NIGHTS)? + 2,
        "a plan has changed something: {before:?}"
    );

    stage.title("8. The night: a snapshot is due, and others have expired")?;
    let automation = deploy("apply").await?;
    account
        .control()
        .settings(&Settings {
            rds_polls: Some(LOOKS),
            ..Settings::default()
        })
        .await?;
    let night = Night {
        stage,
        steward: &binaries.steward,
        function: automation.function("snapshot-rotation")?,
        here: account.clone(),
        there,
        database,
        key,
        buckets,
    };
    stage.say(format!(
        "The stack is updated with {}, and its schedule fires. RDS\n\
         takes minutes or hours to make a snapshot. A run does not sleep meanwhile, but answers\n\
         {}:\n",
        stage.strong("SnapshotRotationMode=apply"),
        stage.strong("waiting"),
    ))?;
    let (first, gone) = night.begin(&before).await?;
    ensure!(!gone.is_empty(), "nothing has expired of {before:?}");

    stage.title("9. RDS says that the snapshot is complete")?;
    night.completed(&first).await?;
    night.settle().await?;
    night.prove(&[&yesterday, &first]).await?;

    stage.title("10. A night later")?;
    stage
        .say("The sandbox cannot wait for a day. Instead, every snapshot becomes a day older.\n")?;
    night.a_day_passes().await?;
    let before = names(account).await?;
    let (second, _) = night.begin(&before).await?;
    night.settle().await?;

    stage.title("11. The proof, read from RDS and S3 themselves")?;
    night.prove(&[&yesterday, &first, &second]).await
}

/// The buckets of restore points.
struct Buckets {
    here: String,
    there: String,
}

/// What both nights need.
struct Night<'a> {
    stage: &'a Stage,
    steward: &'a Path,
    function: &'a Function,
    here: Account,
    there: Account,
    database: Database,
    /// The key of copies.
    key: String,
    buckets: Buckets,
}

impl Night<'_> {
    /// Fires the schedule; one snapshot begins, and what has expired goes. The
    /// answer is the new one's name, and what is gone.
    async fn begin(&self, before: &BTreeSet<String>) -> Result<(String, BTreeSet<String>)> {
        let run = fire(self.function).await?;
        self.stage.report(self.steward, &run)?;
        let after = names(&self.here).await?;
        let made: Vec<&String> = after.difference(before).collect();
        let gone: BTreeSet<String> = before.difference(&after).cloned().collect();
        let [made] = made.as_slice() else {
            bail!("there should be one more snapshot, and there are {made:?}: {run}");
        };
        ensure!(
            run["status"] == "waiting" && made.starts_with(OWN),
            "the run should wait for its snapshot, which is {made}: {run}"
        );
        let told: BTreeSet<String> = done(&run, "delete_snapshot")
            .filter(|action| action["reason"] == "expired")
            .filter_map(|action| Some(action["detail"]["snapshot"].as_str()?.to_owned()))
            .collect();
        ensure!(gone == told, "gone are {gone:?}, and told is of {told:?}");
        ensure!(
            gone.iter().all(|name| name.starts_with(CRON)),
            "of {gone:?} only the cron job's should be gone"
        );
        Ok(((*made).clone(), gone))
    }

    /// Looks on until a snapshot is complete, and gives the function the event
    /// that RDS then sends.
    async fn completed(&self, name: &str) -> Result<()> {
        self.stage.say(format!(
            "To look on:\n\
             \x20 aws rds describe-db-snapshots --db-snapshot-identifier {name} \\\n\
             \x20   --query 'DBSnapshots[0].[Status,PercentProgress]' --output text\n"
        ))?;
        let mut last = String::new();
        for _ in 0..=LOOKS + 1 {
            let snapshot = self.snapshot(&self.here, name).await?;
            let percent = snapshot.percent_progress().unwrap_or_default();
            last = snapshot.status().unwrap_or_default().to_owned();
            self.stage.say(format!("  {last:<10} {percent:>3}"))?;
            if last == "available" {
                break;
            }
        }
        ensure!(last == "available", "{name} is {last} for ever");
        self.stage.say(
            "\nRDS tells EventBridge (RDS-EVENT-0042), whose rule in the stack wakes the function\n\
             for this database alone. The sandbox's RDS tells nobody: the demo asks EventBridge\n\
             whether the rule is for this event, and then wakes the function with it.\n",
        )?;
        let event = self.event(name);
        let rule = format!("{}-after-snapshot", self.function.name());
        let events = self.here.events();
        let rule = events.describe_rule().name(rule).send().await?;
        let matches = events
            .test_event_pattern()
            .event_pattern(rule.event_pattern().unwrap_or_default())
            .event(event.to_string())
            .send()
            .await?;
        ensure!(matches.result(), "no rule is for {event}");
        let run = self.function.invoke(&event).await?;
        self.stage.report(self.steward, &run)?;
        ensure!(
            run["trigger"] == "event",
            "it was woken by {}",
            run["trigger"]
        );
        for kind in ["copy_snapshot", "write_restore_point"] {
            ensure!(done(&run, kind).count() == 1, "no {kind} in {run}");
        }
        Ok(())
    }

    /// Lets time pass and the schedule fire until there is nothing to do.
    async fn settle(&self) -> Result<()> {
        self.stage.say(format!(
            "\nThe schedule goes on to fire, until there is {}:\n",
            self.stage.strong("nothing to do")
        ))?;
        for _ in 0..MOST_RUNS {
            for _ in 0..=LOOKS {
                // Whoever looks lets time pass, here.
                names(&self.here).await?;
                names(&self.there).await?;
                self.database.describe().await?;
            }
            let run = fire(self.function).await?;
            let status = run["status"].as_str().unwrap_or_default();
            self.stage.say(format!("  {}", status.replace('_', " ")))?;
            for action in run["actions"].as_array().into_iter().flatten() {
                let text = |key: &str| action[key].as_str().unwrap_or_default();
                ensure!(text("outcome") == "done", "it went wrong: {action}");
                self.stage.say(format!(
                    "    {:<20} {} ({})",
                    text("kind"),
                    text("resource"),
                    text("reason")
                ))?;
            }
            if status == "nothing_to_do" {
                return self.stage.say("");
            }
        }
        bail!("after {MOST_RUNS} runs there still is something to do")
    }

    /// Holds both Regions to what these nights are to leave there.
    async fn prove(&self, nights: &[&String]) -> Result<()> {
        let here = self.prove_place(&self.here, &self.buckets.here, nights);
        let here = here.await?;
        let there = self.prove_place(&self.there, &self.buckets.there, nights);
        let there = there.await?;
        ensure!(
            here.contains_key(BY_HAND) && there.keys().all(|name| name.starts_with(OWN)),
            "here is {here:?} and there is {there:?}"
        );
        let managed = here.into_iter().filter(|(name, _)| name != BY_HAND);
        let managed: Vec<(Timestamp, String)> = managed.map(|(name, at)| (at, name)).collect();
        let stays = kept_by_the_rules(&managed);
        ensure!(
            managed.len() == stays.len(),
            "of {managed:?} the policy's rules keep {stays:?}"
        );

        let newest = nights.last().context("there was no night")?;
        let key = self.point(newest);
        let here = documents(&self.here, &self.buckets.here).await?;
        let there = documents(&self.there, &self.buckets.there).await?;
        let document = here.get(&key).context("it was there before")?;
        ensure!(
            there.get(&key) == Some(document),
            "{key} differs between the Regions"
        );
        let count = |of: &str| document[of].as_array().map_or(0, Vec::len);
        let (services, images) = (count("applications"), count("images"));
        ensure!(services == 3 && images > 0, "{document}");
        self.stage.say(format!(
            "  {key},\n\
             \x20 the same in both buckets, has every setting of the database, {services} services, and\n\
             \x20 {images} images by their digests."
        ))
    }

    /// Shows and checks what a place has; its snapshots, and when their data was
    /// taken.
    async fn prove_place(
        &self,
        account: &Account,
        bucket: &str,
        nights: &[&String],
    ) -> Result<BTreeMap<String, Timestamp>> {
        let region = account.region_name();
        let documents = documents(account, bucket).await?;
        let mut keys: BTreeSet<String> = nights.iter().map(|name| self.point(name)).collect();
        keys.insert(format!("recipes/{}.json", self.database.identifier()));
        let found: BTreeSet<String> = documents.keys().cloned().collect();
        ensure!(found == keys, "in {bucket} are {found:?}");
        for (key, document) in &documents {
            ensure!(
                document["incomplete"] == json!([]),
                "{key} lacks something: {document}"
            );
        }
        let mut all = BTreeMap::new();
        for snapshot in account.manual_snapshots().await? {
            let name = snapshot.db_snapshot_identifier().unwrap_or_default();
            let at = snapshot
                .original_snapshot_create_time()
                .map_or(0, |at| at.secs());
            ensure!(
                snapshot.status() == Some("available") && snapshot.encrypted() == Some(true),
                "{name} of {region} cannot be restored: {snapshot:?}"
            );
            ensure!(
                region != THERE || snapshot.kms_key_id() == Some(&self.key),
                "{name} of {region} is not encrypted with the key there"
            );
            all.insert(name.to_owned(), Timestamp::from_second(at)?);
        }
        let own: Vec<&String> = all.keys().filter(|name| name.starts_with(OWN)).collect();
        let mut expected = nights.to_vec();
        expected.sort();
        ensure!(own == expected, "in {region} are {own:?} of {expected:?}");

        self.stage
            .say(format!("  {}, with its recipe", self.stage.strong(region)))?;
        let mut newest_first: Vec<(&Timestamp, &String)> =
            all.iter().map(|(name, at)| (at, name)).collect();
        newest_first.sort_by(|a, b| b.cmp(a));
        for (at, name) in newest_first {
            let what = match name {
                name if name == BY_HAND => "stays: not Steward's, and not adopted",
                name if name.starts_with(CRON) => "adopted",
                _ => "with its restore point",
            };
            let at = at.strftime("%a %Y-%m-%d %H:%M");
            self.stage.say(format!("    {at}  {name:<37}  {what}"))?;
        }
        self.stage.say("")?;
        Ok(all)
    }

    fn point(&self, snapshot: &str) -> String {
        let (identifier, id) = (self.database.identifier(), self.database.resource_id());
        format!("restore-points/{identifier}/{id}/{snapshot}.json")
    }

    async fn snapshot(&self, account: &Account, name: &str) -> Result<DbSnapshot> {
        let describe = account.rds().describe_db_snapshots();
        let found = describe.db_snapshot_identifier(name).send().await?;
        let found = found.db_snapshots.unwrap_or_default().into_iter().next();
        found.with_context(|| format!("there is no {name} in {}", account.region_name()))
    }

    /// What RDS tells EventBridge of a manual snapshot ("Amazon RDS event
    /// categories and event messages", Amazon RDS User Guide).
    fn event(&self, name: &str) -> Value {
        let (account, region) = (self.here.id(), self.here.region_name());
        let arn = format!("arn:aws:rds:{region}:{account}:snapshot:{name}");
        let now = up::now();
        json!({
            "version": "0",
            "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
            "detail-type": "RDS DB Snapshot Event",
            "source": "aws.rds",
            "account": account,
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": region,
            "resources": [arn],
            "detail": {
                "EventCategories": ["creation"],
                "SourceType": "SNAPSHOT",
                "SourceArn": arn,
                "Date": now,
                "Message": "Manual snapshot created",
                "SourceIdentifier": name,
                "EventID": "RDS-EVENT-0042",
            },
        })
    }

    /// Makes every snapshot a day older, in both Regions, with what its tag says.
    async fn a_day_passes(&self) -> Result<()> {
        for account in [&self.here, &self.there] {
            for snapshot in account.manual_snapshots().await? {
                let taken_at = snapshot.original_snapshot_create_time();
                let (Some(name), Some(arn), Some(taken_at)) = (
                    snapshot.db_snapshot_identifier(),
                    snapshot.db_snapshot_arn(),
                    taken_at,
                ) else {
                    bail!("{snapshot:?} is not complete");
                };
                let taken_at =
                    Timestamp::from_second(taken_at.secs())? - SignedDuration::from_hours(24);
                account.control().backdate_snapshot(name, taken_at).await?;
                if name.starts_with(OWN) {
                    let tag = Tag::builder()
                        .key("steward:taken-at")
                        .value(taken_at.to_string());
                    let add = account.rds().add_tags_to_resource().resource_name(arn);
                    add.tags(tag.build()).send().await?;
                }
            }
        }
        Ok(())
    }
}

/// The cron job's snapshots, the one that was made by hand, and last night's of
/// Steward, whose name is the answer.
async fn history(database: &Database) -> Result<String> {
    // So that tonight's is due for some time already.
    let last_night = up::now() - SignedDuration::from_mins(24 * 60 + 37);
    let nights_before = |nights: i64| last_night - SignedDuration::from_hours(24 * nights);
    let by_others = |name: String, taken_at| SeededSnapshot {
        id: Some(name),
        tags: Some(BTreeMap::new()),
        ..database.seeded(taken_at)
    };
    let mut all: Vec<SeededSnapshot> = (1..=NIGHTS)
        .map(|night| {
            let taken_at = nights_before(night);
            by_others(format!("{CRON}{}", taken_at.strftime("%Y%m%d")), taken_at)
        })
        .collect();
    all.push(by_others(BY_HAND.to_owned(), nights_before(60)));
    database.fill(&all).await?;

    let id = database.resource_id();
    let end = id.get(id.len().saturating_sub(6)..).unwrap_or_default();
    let slot = last_night.strftime("%Y%m%d-%H%M");
    let name = format!("{OWN}{}-{slot}", end.to_lowercase());
    let taken_at = Timestamp::from_second(last_night.as_second())?;
    let tags = [
        ("steward:managed-by", "snapshot-rotation"),
        ("steward:made-for", id),
        ("steward:taken-at", &taken_at.to_string()),
    ];
    database.snapshot_at(taken_at, &name, &tags).await?;
    Ok(name)
}

/// What stays by the policy's `keep` of the Region of the database, told once more
/// and apart from the function: the last 2, of the newest 7 days and 4 weeks the
/// newest of each, and the oldest where there are fewer.
fn kept_by_the_rules(snapshots: &[(Timestamp, String)]) -> BTreeSet<&str> {
    let mut newest_first: Vec<&(Timestamp, String)> = snapshots.iter().collect();
    newest_first.sort_by(|a, b| b.cmp(a));
    let mut stays: BTreeSet<&str> = BTreeSet::new();
    let mut keep = |most: usize, period: &dyn Fn(Timestamp) -> String| {
        let mut periods: Vec<String> = Vec::new();
        for (at, name) in &newest_first {
            let period = period(*at);
            if periods.len() < most && !periods.contains(&period) {
                periods.push(period);
                stays.insert(name);
            }
        }
        if let (true, Some((_, oldest))) = (periods.len() < most, newest_first.last()) {
            stays.insert(oldest);
        }
    };
    keep(2, &|at| at.to_string());
    keep(7, &|at| at.strftime("%Y-%m-%d").to_string());
    keep(4, &|at| at.strftime("%G-%V").to_string());
    stays
}

async fn make_bucket(account: &Account, name: &str) -> Result<()> {
    let place =
        CreateBucketConfiguration::builder().location_constraint(account.region_name().into());
    let create = account.s3().create_bucket().bucket(name);
    let create = create.create_bucket_configuration(place.build());
    create
        .send()
        .await
        .with_context(|| format!("cannot create bucket {name}"))?;
    Ok(())
}

/// The manual snapshots of an account and Region.
async fn names(account: &Account) -> Result<BTreeSet<String>> {
    let all = account.manual_snapshots().await?.into_iter();
    Ok(all
        .filter_map(|snapshot| snapshot.db_snapshot_identifier)
        .collect())
}

/// Every document of a bucket, by its key.
async fn documents(account: &Account, bucket: &str) -> Result<BTreeMap<String, Value>> {
    let s3 = account.s3();
    let listed = s3.list_objects_v2().bucket(bucket).send().await?;
    let mut documents = BTreeMap::new();
    for key in listed.contents().iter().filter_map(|object| object.key()) {
        let object = s3.get_object().bucket(bucket).key(key).send().await?;
        let text = object.body.collect().await?.into_bytes();
        documents.insert(key.to_owned(), serde_json::from_slice(&text)?);
    }
    Ok(documents)
}

/// The actions of a kind that a run did.
fn done<'r>(run: &'r Value, kind: &str) -> impl Iterator<Item = &'r Value> {
    let actions = run["actions"].as_array().into_iter().flatten();
    actions.filter(move |action| action["kind"] == kind && action["outcome"] == "done")
}
