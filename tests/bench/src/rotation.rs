//! snapshot-rotation over databases with snapshots in two Regions: what is true
//! there, and how many calls a run needs.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::scenario::{ACCOUNT, REGION, Truth, now, pages};

/// The Region of the copies.
pub(crate) const THERE: &str = "eu-west-1";

/// Databases and services belong to one of so many environments.
pub(crate) const ENVIRONMENTS: usize = 10;

/// Parameters of a parameter group that are not the engine's own.
pub(crate) const PARAMETERS: usize = 5;

/// Databases that each have snapshots here, a copy of each there, and a restore
/// point of either. Each snapshot is a day older than the next, and the newest is
/// so old that another is due. The oldest has expired, in both Regions. What the
/// recipes tell has changed.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    pub(crate) databases: usize,
    /// Of each database in each Region.
    pub(crate) snapshots_each: usize,
    pub(crate) services: usize,
    pub(crate) apply: bool,
    /// Snapshot ages count from it.
    pub(crate) now: Timestamp,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            databases: 200,
            snapshots_each: 25,
            services: 10,
            apply: false,
            now: Timestamp::from_second(now()).unwrap_or_default(),
        }
    }
}

/// One snapshot or its copy, by its database and how many are newer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Which {
    pub(crate) database: usize,
    pub(crate) newer: usize,
}

impl Rotation {
    pub(crate) fn identifier(database: usize) -> String {
        format!("shop-{database:04}")
    }

    pub(crate) fn resource_id(database: usize) -> String {
        format!("db-BENCH{database:021}")
    }

    pub(crate) fn environment(of: usize) -> String {
        format!("env-{:02}", of % ENVIRONMENTS)
    }

    pub(crate) fn bucket(region: &str) -> String {
        format!("restore-points-{region}")
    }

    pub(crate) fn key(region: &str) -> String {
        format!("arn:aws:kms:{region}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab")
    }

    /// Every snapshot, in the order of its database and newest first.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = Which> {
        let each = self.snapshots_each;
        let of = move |database| (0..each).map(move |newer| Which { database, newer });
        (0..self.databases).flat_map(of)
    }

    pub(crate) fn taken_at(&self, which: Which) -> Timestamp {
        let days = i64::try_from(which.newer).unwrap_or(i64::MAX / 48);
        self.now - SignedDuration::from_hours(25 + 24 * days)
    }

    /// As the function names what it makes.
    pub(crate) fn name(&self, which: Which) -> String {
        let id = Self::resource_id(which.database);
        let end = id.get(id.len() - 6..).unwrap_or_default().to_lowercase();
        let slot = self.taken_at(which).strftime("%Y%m%d-%H%M");
        format!("steward-{}-{end}-{slot}", Self::identifier(which.database))
    }

    pub(crate) fn point(&self, which: Which) -> String {
        let database = which.database;
        let (identifier, id) = (Self::identifier(database), Self::resource_id(database));
        format!("restore-points/{identifier}/{id}/{}.json", self.name(which))
    }

    /// How many of the environments have a database.
    pub(crate) fn environments(&self) -> usize {
        self.databases.min(ENVIRONMENTS)
    }

    fn snapshots_in_a_region(&self) -> usize {
        self.databases * self.snapshots_each
    }

    pub(crate) fn policy(&self) -> Value {
        json!({
            "version": 1,
            "rules": [{
                "name": "all",
                "databases": {"include": ["*"]},
                "keep": {"last": self.snapshots_each - 1},
                "copies": [{
                    "region": THERE,
                    "kms_key_id": Self::key(THERE),
                    "restore_points": Self::bucket(THERE),
                }],
            }],
            "restore_points": Self::bucket(REGION),
            "limits": {"max_deletes_per_run": 10_000},
        })
    }

    /// What is done of each kind: snapshots made, snapshots deleted, recipes
    /// written.
    fn work(&self) -> (usize, usize, usize) {
        (self.databases, 2 * self.databases, 2 * self.environments())
    }

    pub(crate) fn truth(&self) -> Truth {
        let snapshots = 2 * self.snapshots_in_a_region();
        let (made, deleted, recipes) = self.work();
        let planned = made + deleted + recipes;
        // Each snapshot has its restore point.
        let observed = made + 2 * snapshots + recipes;
        Truth {
            observed,
            kept: observed - planned,
            planned,
            deferred: 0,
            left: if self.apply {
                snapshots + made - deleted
            } else {
                snapshots
            },
        }
    }

    /// The calls that the run makes, by operation.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, usize> {
        let (databases, snapshots) = (self.databases, self.snapshots_in_a_region());
        let environments = self.environments();
        // Of the environments that have a database, one of ten each.
        let services = (0..self.services).filter(|n| n % ENVIRONMENTS < environments);
        let services = services.count();
        let (made, deleted, recipes) = match self.apply {
            true => self.work(),
            false => (0, 0, 0),
        };
        // A lane for each database, with a batch for what it makes and one for what
        // goes, and one for each environment's recipes.
        let batches = match self.apply {
            true => 2 * databases + environments,
            false => 0,
        };
        BTreeMap::from([
            ("rds:DescribeDBInstances", pages(databases, 100) + made),
            (
                "rds:DescribeDBSnapshots",
                // What goes, and the newest that stays in its place.
                2 * pages(snapshots, 100) + 2 * deleted,
            ),
            ("rds:DescribeAccountAttributes", 2),
            ("rds:DescribeDBInstanceAutomatedBackups", 1),
            ("rds:DescribeDBParameterGroups", environments),
            (
                "rds:DescribeDBParameters",
                environments * pages(PARAMETERS, 100),
            ),
            ("rds:CreateDBSnapshot", made),
            ("rds:DeleteDBSnapshot", deleted),
            (
                "s3:ListObjectsV2",
                2 * pages(snapshots + environments, 1000),
            ),
            ("s3:HeadObject", 2 * environments),
            ("s3:PutObject", recipes),
            ("ecs:ListClusters", 1),
            ("ecs:DescribeClusters", 1),
            ("ecs:ListServices", pages(self.services, 100)),
            ("ecs:DescribeServices", self.services.div_ceil(10)),
            ("ecs:DescribeServiceRevisions", services.div_ceil(20)),
            ("ecs:DescribeTaskDefinition", services),
            ("application_auto_scaling:DescribeScalableTargets", 1),
            ("application_auto_scaling:DescribeScalingPolicies", 1),
            ("application_auto_scaling:DescribeScheduledActions", 1),
            (
                "ssm:GetParameters",
                if self.apply { 1 + batches } else { 0 },
            ),
        ])
    }

    /// The longest chain of calls of which each needs the answer of the one
    /// before: the pages of a Region's snapshots, or the way to the definitions of
    /// services.
    pub(crate) fn critical_path(&self) -> usize {
        // Databases, clusters, services, their description, revisions, definitions.
        let services = pages(self.databases, 100) + 3 + 2 * usize::from(self.services > 0);
        pages(self.snapshots_in_a_region(), 100).max(services)
    }
}
