//! What becomes of every database and snapshot, case by case. Each case is a small
//! world; its fates are compared whole, so that nothing is left out of a test.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use steward::engine::{After, Decision, Function, Gap, Hides, Plan, Reason as _, Seen};
use steward::policy::{Period, Selection};

use crate::action::Action;
use crate::policy::{CopyTo, RotationPolicy, Rule};
use crate::reason::{REASON_CODES, Reason};
use crate::retention::Keep;
use crate::world::{Contents, Database, Holdings, Place, Progress, Quota, Snapshot, World};
use crate::{Scope, SnapshotRotation};
use steward::names;

mod copies;
mod creation;
mod documents;
mod measures;
mod ownership;
mod quota;
mod retire;
mod stays;

const RESOURCE_ID: &str = "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const OTHER_ACCOUNT: &str = "222222222222";

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn ago(ago: i64) -> Timestamp {
    now() - hours(ago)
}

fn home() -> Place {
    Place::here("eu-west-1")
}

fn west() -> Place {
    Place::here("us-west-2")
}

fn vault() -> Place {
    Place {
        account: Some(OTHER_ACCOUNT.to_owned()),
        region: "eu-west-1".to_owned(),
    }
}

fn copy_to(place: &Place) -> CopyTo {
    let role = |account: &String| format!("arn:aws:iam::{account}:role/steward");
    CopyTo {
        region: place.region.clone(),
        kms_key_id: "alias/backups".to_owned(),
        role_arn: place.account.as_ref().map(role),
        external_id: None,
        keep: None,
        objective: None,
        option_group: None,
        restore_points: None,
    }
}

fn last(last: u32) -> Keep {
    Keep {
        last,
        ..Keep::default()
    }
}

/// A database called `shop-db` with its snapshots, and the policy.
#[derive(Clone)]
struct Case {
    world: World,
    gaps: Vec<Gap>,
    policy: RotationPolicy,
    scope: Scope,
    now: Timestamp,
    /// What tests call snapshots, by identifier.
    labels: BTreeMap<String, String>,
}

impl Case {
    /// One database, available for years, that gets a snapshot every day, of which
    /// two stay.
    fn new() -> Self {
        let holdings = Holdings {
            complete: true,
            ..Holdings::default()
        };
        let rule = Rule {
            name: "all".to_owned(),
            keep: last(2),
            ..Rule::default()
        };
        Self {
            world: World {
                home: home(),
                databases: vec![],
                places: BTreeMap::from([(home(), holdings)]),
                recordings: BTreeMap::new(),
                aws_managed_keys: BTreeSet::new(),
            },
            gaps: vec![],
            policy: RotationPolicy {
                rules: vec![rule],
                ..RotationPolicy::default()
            },
            scope: Scope::Everything,
            now: now(),
            labels: BTreeMap::new(),
        }
        .and_database("shop-db", RESOURCE_ID)
    }

    fn and_database(mut self, identifier: &str, resource_id: &str) -> Self {
        self.world.databases.push(Database {
            identifier: identifier.to_owned(),
            resource_id: resource_id.to_owned(),
            arn: format!("arn:aws:rds:eu-west-1:111111111111:db:{identifier}"),
            status: "available".to_owned(),
            created_at: Some(ago(20_000)),
            replica_of: None,
            cluster: None,
            tags: BTreeMap::new(),
        });
        self
    }

    fn database(mut self, change: impl FnOnce(&mut Database)) -> Self {
        change(&mut self.world.databases[0]);
        self
    }

    fn rule(mut self, change: impl FnOnce(&mut Rule)) -> Self {
        change(&mut self.policy.rules[0]);
        self
    }

    /// Copies go there too.
    fn copies_to(mut self, place: &Place) -> Self {
        self.policy.rules[0].copies.push(copy_to(place));
        let holdings = Holdings {
            complete: true,
            ..Holdings::default()
        };
        self.world.places.insert(place.clone(), holdings);
        self
    }

    fn place(mut self, place: &Place, change: impl FnOnce(&mut Holdings)) -> Self {
        change(self.world.places.get_mut(place).unwrap());
        self
    }

    fn quota(self, place: &Place, used: u64, max: u64) -> Self {
        self.place(place, |holdings| holdings.quota = Some(Quota { used, max }))
    }

    fn put(mut self, place: &Place, label: &str, snapshot: Snapshot) -> Self {
        self.labels.insert(snapshot.id.clone(), label.to_owned());
        let holdings = self.world.places.get_mut(place).unwrap();
        holdings.snapshots.push(snapshot);
        self
    }

    /// A snapshot of the first database with data of so many hours ago, as Steward
    /// leaves it.
    fn own(self, label: &str, hours_ago: i64) -> Self {
        let snapshot = own(&self.world.databases[0], hours_ago);
        self.put(&home(), label, snapshot)
    }

    /// The copy of a snapshot that is, or was, at home.
    fn copied(self, place: &Place, label: &str, hours_ago: i64) -> Self {
        let copy = copy_of(&own(&self.world.databases[0], hours_ago), place);
        self.put(place, label, copy)
    }

    fn snapshot(mut self, place: &Place, label: &str, change: impl FnOnce(&mut Snapshot)) -> Self {
        let labels = &self.labels;
        let holdings = self.world.places.get_mut(place).unwrap();
        let mut all = holdings.snapshots.iter_mut();
        change(all.find(|snapshot| labels[&snapshot.id] == label).unwrap());
        self
    }

    fn gap(mut self, hides: Hides) -> Self {
        self.gaps.push(Gap {
            read: "rds:DescribeDBSnapshots: AccessDenied".to_owned(),
            hides,
            grant: "rds:DescribeDBSnapshots".to_owned(),
        });
        self
    }

    fn plan(&self) -> Plan<Action, Reason> {
        let seen = Seen {
            world: self.world.clone(),
            gaps: self.gaps.clone(),
            warnings: vec![],
        };
        SnapshotRotation::decide(&self.policy, &self.scope, &seen, self.now)
    }

    /// How tests call a target: `db` or `other-db` for a database, `a` for a
    /// snapshot, `new` for one to be, and first the place, if that is not home; a
    /// document by its bucket and what it is of.
    fn label(&self, target: &str) -> String {
        if let Some((folder, name)) = target.rsplit_once('/')
            && let Some(at) = folder.strip_prefix("s3://")
        {
            let bucket = at.split('/').next().unwrap_or_default();
            let (of, end) = name.split_at(name.find('.').unwrap_or(name.len()));
            let of = self.labels.get(of).map_or(of, String::as_str);
            return format!("{bucket}/{of}{end}");
        }
        let places = [(vault(), "vault "), (west(), "west "), (home(), "")];
        let in_place = |(place, name): &(Place, &'static str)| {
            let rest = target.strip_prefix(&format!("{place}/"))?;
            Some((*name, rest.to_owned()))
        };
        let Some((place, rest)) = places.iter().find_map(in_place) else {
            return target.to_owned();
        };
        let (what, of) = match rest.split_once(' ') {
            Some((what, of)) => (what, format!(" {of}")),
            None => (rest.as_str(), String::new()),
        };
        let what = match (self.labels.get(what), what.split_once('/')) {
            (Some(label), _) => label,
            (None, Some(("shop-db", _))) => "db",
            (None, Some((identifier, _))) => identifier,
            (None, None) if what.starts_with("steward-") => "new",
            (None, None) => what,
        };
        format!("{place}{what}{of}")
    }

    /// `LABEL: keep|wait|do PASS CODE` of everything.
    fn fates(&self) -> BTreeSet<String> {
        let plan = self.plan();
        let fates: BTreeSet<String> = plan
            .items
            .iter()
            .map(|item| {
                let verdict = match &item.decision {
                    Decision::Keep => "keep".to_owned(),
                    Decision::Defer => "wait".to_owned(),
                    Decision::Act(change) => format!("do {}", change.pass),
                };
                let code = item.reason.code();
                assert!(REASON_CODES.contains(&code), "{code} is not documented");
                format!("{}: {verdict} {code}", self.label(&item.target))
            })
            .collect();
        assert_eq!(
            fates.len(),
            plan.items.len(),
            "told twice: {:#?}",
            plan.items
        );
        fates
    }

    #[track_caller]
    fn expect(&self, fates: &[&str]) -> &Self {
        let expected: BTreeSet<String> = fates.iter().map(|fate| (*fate).to_owned()).collect();
        assert_eq!(self.fates(), expected);
        self
    }

    /// The action of the item with this label.
    fn action(&self, label: &str) -> Action {
        let items = self.plan().items;
        let mut found = items.into_iter().filter(|i| self.label(&i.target) == label);
        match found.next().map(|item| item.decision) {
            Some(Decision::Act(change)) => change.action,
            other => panic!("{label}: {other:?}"),
        }
    }

    /// What a change must come after.
    fn comes_after(&self, label: &str) -> Vec<String> {
        let items = self.plan().items;
        let item = items.iter().find(|i| self.label(&i.target) == label);
        let Some(Decision::Act(change)) = item.map(|item| &item.decision) else {
            panic!("{label} does not change");
        };
        let After::Targets(targets) = &change.after else {
            panic!("{label} waits for more than its own");
        };
        targets.iter().map(|target| self.label(target)).collect()
    }

    /// What needs a person, `LABEL: WHAT`.
    fn needs(&self) -> Vec<String> {
        let needs = self.plan().needs.into_iter();
        needs
            .map(|need| format!("{}: {}", self.label(&need.unit), need.what))
            .collect()
    }

    fn waits_for(&self) -> Option<String> {
        self.plan().wait.map(|wait| wait.what)
    }

    fn measured(&self, label: &str, metric: &str) -> Option<f64> {
        let measures = self.plan().measures;
        let mut found = measures
            .iter()
            .filter(|m| self.label(&m.unit) == label && m.metric.name == metric);
        let value = found.next().map(|measure| measure.value);
        assert!(found.next().is_none(), "{label} {metric} twice");
        value
    }
}

/// A snapshot as Steward leaves it, with data of so many hours ago.
fn own(database: &Database, hours_ago: i64) -> Snapshot {
    let taken_at = ago(hours_ago);
    let Database {
        identifier,
        resource_id,
        ..
    } = database;
    let id = names::snapshot_id(identifier, resource_id, taken_at, 1);
    Snapshot {
        arn: format!("arn:aws:rds:eu-west-1:111111111111:snapshot:{id}"),
        id,
        database: identifier.clone(),
        resource_id: Some(resource_id.clone()),
        progress: Progress::Available,
        created_at: Some(taken_at),
        taken_at: Some(taken_at),
        encrypted: true,
        kms_key: Some("arn:aws:kms:eu-west-1:111111111111:key/own".to_owned()),
        option_group: Some("default:postgres-17".to_owned()),
        source_arn: None,
        tags: BTreeMap::from([
            (names::MANAGED_BY.to_owned(), crate::NAME.to_owned()),
            (names::MADE_FOR.to_owned(), resource_id.clone()),
            (names::TAKEN_AT.to_owned(), taken_at.to_string()),
        ]),
        shared_with: Some(BTreeSet::new()),
        contents: Contents::default(),
    }
}

/// A copy as RDS tells of it: with a time of its own.
fn copy_of(source: &Snapshot, place: &Place) -> Snapshot {
    let account = place.account.as_deref().unwrap_or("111111111111");
    Snapshot {
        arn: format!(
            "arn:aws:rds:{}:{account}:snapshot:{}",
            place.region, source.id
        ),
        // It differs, or not: Amazon RDS promises nothing.
        resource_id: None,
        created_at: source.created_at.map(|at| at + hours(3)),
        source_arn: Some(source.arn.clone()),
        shared_with: None,
        ..source.clone()
    }
}

/// Somebody else's snapshot of a database.
fn foreign(database: &Database, id: &str, hours_ago: i64) -> Snapshot {
    Snapshot {
        id: id.to_owned(),
        arn: format!("arn:aws:rds:eu-west-1:111111111111:snapshot:{id}"),
        tags: BTreeMap::new(),
        ..own(database, hours_ago)
    }
}

fn under(status: &str) -> Progress {
    Progress::of(status, Some(40))
}

fn failed() -> Progress {
    Progress::of("failed", None)
}
