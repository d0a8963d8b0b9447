//! What snapshot-rotation is told. `policy.example.yaml` shows every key with its
//! default.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward::aws::ActingAs;
use steward::engine::UnitLimits;
use steward::guard;
use steward::policy::{
    Notify, Period, Policy, Problems, S3Prefix, Selection, account_of_role, is_external_id,
    is_region,
};
use wildmatch::WildMatch;

use crate::retention::Keep;
use crate::world::{Database, Place};

/// The most copies that RDS makes at once to one Region of an account
/// ("Limitations" of copying a snapshot, Amazon RDS User Guide).
pub const MOST_COPIES_IN_FLIGHT: u32 = 20;

/// The most accounts that a manual snapshot can be shared with
/// (`ModifyDBSnapshotAttribute`, Amazon RDS API Reference).
pub const MOST_SHARES: usize = 20;

/// The shortest interval between snapshots of a database.
pub const SHORTEST_INTERVAL: Period = Period::hours(1);

/// The policy of snapshot-rotation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RotationPolicy {
    /// Which databases, how often, where to, and what stays. Required for apply.
    /// Without it, a plan looks at every database by the defaults of a rule.
    pub rules: Vec<Rule>,
    /// The bucket for restore points and recipes of this Region; null writes
    /// none.
    pub restore_points: Option<String>,
    /// How much one run may do.
    pub limits: Limits,
    /// What a run tells people.
    pub notify: Notify,
}

/// What is done for some databases. A database that two rules select is an
/// error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What reports call it.
    pub name: String,
    /// The databases, by identifier. `"*"` is an explicit choice. Null: all that
    /// have the tags.
    #[serde(default)]
    pub databases: Option<Selection>,
    /// Tags that a database has to have, all of them, with a value that the glob
    /// matches. Empty asks for none.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether read replicas are selected too. Members of clusters never are.
    #[serde(default)]
    pub replicas: bool,
    /// A snapshot is made when the newest good one is older than this. 1h to
    /// 3650d.
    #[serde(default = "a_day")]
    pub every: Period,
    /// The newest snapshot that can be restored should not be older than this, in
    /// any place; when it is, an alarm goes off. Null: `every` and a quarter. Not
    /// shorter than `every`.
    #[serde(default)]
    pub objective: Option<Period>,
    /// Which snapshots stay.
    #[serde(default = "Keep::by_default")]
    pub keep: Keep,
    /// The time zone of hours, days, weeks, months and years, an IANA name.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Where snapshots are copied to.
    #[serde(default)]
    pub copies: Vec<CopyTo>,
    /// The accounts that may restore and copy the snapshots. At most 20, those of
    /// `copies` included.
    #[serde(default)]
    pub share_with: BTreeSet<String>,
    /// Manual snapshots of these databases that somebody else made are rotated as
    /// well when their names match one of these globs. They are not copied.
    #[serde(default)]
    pub adopt: Vec<String>,
    /// The services that use the databases, for restore points, beside those
    /// with the same `steward:environment` tag.
    #[serde(default)]
    pub applications: Vec<Application>,
}

/// A service on Amazon ECS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The name of its cluster.
    pub cluster: String,
    /// Its name.
    pub service: String,
}

/// Where snapshots are copied to: another Region, another account, or both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyTo {
    /// The Region.
    pub region: String,
    /// The key that copies are encrypted with: an ARN, or an alias or id of that
    /// account and Region. Required, also for databases that are not encrypted.
    pub kms_key_id: String,
    /// The role of another account that copies, keeps and deletes there:
    /// `arn:aws:iam::222222222222:role/NAME`. Null: this account.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// What the role's trust policy asks for as `sts:ExternalId`.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Which copies stay. Null: as `keep` of the rule.
    #[serde(default)]
    pub keep: Option<Keep>,
    /// As `objective` of the rule, for copies. Null: the rule's.
    #[serde(default)]
    pub objective: Option<Period>,
    /// The option group of copies there, for databases that have one of their
    /// own. Null: such a database is reported and not copied.
    #[serde(default)]
    pub option_group: Option<String>,
    /// The bucket there for restore points; null writes none.
    #[serde(default)]
    pub restore_points: Option<String>,
}

/// How much one run may do. Making snapshots and copies has no limit but those of
/// RDS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most deletions of a database's snapshots in one place and run; the
    /// rest waits, oldest first. 1 to 1000.
    pub max_deletes_per_database: u32,
    /// A database of which more than this part of the snapshots in one place would
    /// go is refused; judged when more than 10 would. 1 to 100.
    pub max_delete_share_percent: u8,
    /// The most deletions in one run; the rest waits. 1 to 10000.
    pub max_deletes_per_run: u32,
    /// A database that would be left with fewer snapshots in one place that can be
    /// restored is refused, and so is a policy with a `keep` that comes down to
    /// fewer. 1 to 1000.
    pub keep_snapshots_at_least: u32,
    /// The most copies under way at once to one Region of an account. 1 to 20.
    pub max_copies_in_flight: u32,
    /// The limits that a reviewed plan file may exceed:
    /// `max_actions_per_unit`, `max_actions_per_run`, `max_share_percent`.
    pub reviewed_plan_may_exceed: BTreeSet<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_deletes_per_database: 20,
            max_delete_share_percent: 50,
            max_deletes_per_run: 200,
            keep_snapshots_at_least: 2,
            max_copies_in_flight: MOST_COPIES_IN_FLIGHT,
            reviewed_plan_may_exceed: BTreeSet::new(),
        }
    }
}

fn a_day() -> Period {
    Period::days(1)
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Default for Rule {
    /// What a plan without a policy goes by.
    fn default() -> Self {
        Self {
            name: "defaults".to_owned(),
            databases: Some(Selection::everything()),
            tags: BTreeMap::new(),
            replicas: false,
            every: a_day(),
            objective: None,
            keep: Keep::by_default(),
            time_zone: utc(),
            copies: vec![],
            share_with: BTreeSet::new(),
            adopt: vec![],
            applications: vec![],
        }
    }
}

impl Rule {
    /// Whether it selects the database.
    pub fn selects(&self, database: &Database) -> bool {
        self.may_select(&database.identifier)
            && self.tags.iter().all(|(key, glob)| {
                let value = database.tags.get(key);
                value.is_some_and(|value| WildMatch::new(glob).matches(value))
            })
    }

    /// Whether it selects a database of this identifier, if it has the tags.
    pub fn may_select(&self, identifier: &str) -> bool {
        let named = self.databases.as_ref();
        named.is_none_or(|selection| selection.selects(identifier))
    }

    /// Whether it makes a snapshot of somebody else's its own.
    pub fn adopts(&self, snapshot: &str) -> bool {
        let mut globs = self.adopt.iter();
        globs.any(|glob| WildMatch::new(glob).matches(snapshot))
    }

    /// How old the newest snapshot may be.
    pub fn objective(&self) -> Period {
        self.objective.unwrap_or_else(|| self.every.and_a_quarter())
    }

    /// The time zone; a policy with a wrong one is none.
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC)
    }

    /// The accounts that snapshots have to be shared with.
    pub fn shares(&self) -> BTreeSet<String> {
        let copying = self.copies.iter().filter_map(|copy| copy.place().account);
        self.share_with.iter().cloned().chain(copying).collect()
    }
}

impl CopyTo {
    /// Where it is.
    pub fn place(&self) -> Place {
        let account = self.role_arn.as_deref().and_then(account_of_role);
        Place {
            account: account.map(str::to_owned),
            region: self.region.clone(),
        }
    }

    /// As whom copies are made.
    pub fn acting_as(&self) -> ActingAs {
        ActingAs {
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
        }
    }

    fn check(&self, path: &str, problems: &mut Problems) {
        let at = |key: &str| format!("{path}.{key}");
        if !is_region(&self.region) {
            let found = format!("\"{}\"", self.region);
            problems.add(&at("region"), found, "a Region such as eu-west-1");
        }
        // "None" and the like are what scripts write for nothing.
        let no_key = ["", "none", "null", "default"];
        if no_key.contains(&self.kms_key_id.trim().to_lowercase().as_str()) {
            problems.add(
                &at("kms_key_id"),
                format!("\"{}\"", self.kms_key_id),
                "the ARN, id or alias of a key in that account and Region",
            );
        }
        if let Some(role) = &self.role_arn
            && account_of_role(role).is_none()
        {
            problems.add(
                &at("role_arn"),
                format!("\"{role}\""),
                "arn:aws:iam::ACCOUNT:role/NAME, or null for this account",
            );
        }
        match &self.external_id {
            Some(id) if !is_external_id(id) => problems.add(
                &at("external_id"),
                format!("\"{id}\""),
                "2 to 1224 letters, digits and +=,.@:/-_",
            ),
            Some(id) if self.role_arn.is_none() => problems.add(
                &at("external_id"),
                format!("\"{id}\""),
                "only together with role_arn",
            ),
            _ => {}
        }
        if let Some(keep) = &self.keep {
            keep.check(&at("keep"), problems);
        }
        if let Some(bucket) = &self.restore_points {
            check_bucket(&at("restore_points"), bucket, problems);
        }
    }
}

fn check_bucket(path: &str, bucket: &str, problems: &mut Problems) {
    if S3Prefix::parse(&format!("s3://{bucket}/")).is_none() {
        problems.add(path, format!("\"{bucket}\""), "the name of a bucket");
    }
}

impl RotationPolicy {
    /// The rules in force: without any, the one of the defaults.
    pub fn rules(&self) -> Cow<'_, [Rule]> {
        if self.rules.is_empty() {
            vec![Rule::default()].into()
        } else {
            self.rules.as_slice().into()
        }
    }

    /// Every place that some rule copies to, each once, with one of its entries.
    pub fn places(&self) -> BTreeMap<Place, &CopyTo> {
        let copies = self.rules.iter().flat_map(|rule| &rule.copies);
        copies.map(|copy| (copy.place(), copy)).collect()
    }

    /// The limits for the engine.
    pub fn unit_limits(&self) -> UnitLimits {
        UnitLimits {
            max_actions: Some(self.limits.max_deletes_per_database),
            max_share_percent: Some(self.limits.max_delete_share_percent),
            keep_at_least: Some(self.limits.keep_snapshots_at_least),
        }
    }

    fn check_rule(&self, n: usize, rule: &Rule, problems: &mut Problems) {
        let path = format!("rules[{n}]");
        let at = |key: &str| format!("{path}.{key}");
        if rule.name.trim().is_empty() {
            problems.add(&at("name"), format!("\"{}\"", rule.name), "a name");
        }
        if self.rules[..n].iter().any(|other| other.name == rule.name) {
            problems.add(&at("name"), format!("\"{}\"", rule.name), "each name once");
        }
        match &rule.databases {
            Some(selection) => selection.check(&at("databases"), problems),
            None if rule.tags.is_empty() => {
                problems.add(
                    &path,
                    "a rule without databases and tags",
                    "databases, tags or both",
                );
            }
            None => {}
        }
        problems.within(&at("every"), rule.every, SHORTEST_INTERVAL, Period::MAX);
        let objectives = rule.copies.iter().enumerate().map(|(m, copy)| {
            let path = format!("{path}.copies[{m}].objective");
            (path, copy.objective)
        });
        let own = (at("objective"), rule.objective);
        for (path, objective) in std::iter::once(own).chain(objectives) {
            if let Some(objective) = objective {
                problems.within(&path, objective, rule.every, Period::MAX);
            }
        }
        rule.keep.check(&at("keep"), problems);
        let keeps = rule.copies.iter().enumerate().filter_map(|(m, copy)| {
            let path = format!("{path}.copies[{m}].keep");
            Some((path, copy.keep.as_ref()?))
        });
        for (path, keep) in std::iter::once((at("keep"), &rule.keep)).chain(keeps) {
            // Every deletion would be refused, and nothing would ever go.
            let floor = i64::from(self.limits.keep_snapshots_at_least);
            if let Some(keeps) = keep.at_least(rule.every).filter(|keeps| *keeps < floor) {
                let found = format!("rules that come down to {keeps}");
                let allowed = format!("limits.keep_snapshots_at_least, {floor}, or more");
                problems.add(&path, found, allowed);
            }
        }
        if TimeZone::get(&rule.time_zone).is_err() {
            problems.add(
                &at("time_zone"),
                format!("\"{}\"", rule.time_zone),
                "an IANA time zone such as Europe/Berlin",
            );
        }
        for (m, copy) in rule.copies.iter().enumerate() {
            let path = format!("{path}.copies[{m}]");
            copy.check(&path, problems);
            let place = copy.place();
            if rule.copies[..m].iter().any(|other| other.place() == place) {
                problems.add(&path, &place, "each account and Region once in a rule");
            }
            if copy.restore_points.is_some() && self.restore_points.is_none() {
                problems.add(
                    &format!("{path}.restore_points"),
                    "a bucket",
                    "one only where restore_points names a bucket of this Region too",
                );
            }
            // What a bucket has of one place another would take for its own, and end.
            if let Some(bucket) = &copy.restore_points {
                let mut others = self.places().into_iter();
                let twice = others.any(|(other, entry)| {
                    other != place && entry.restore_points.as_ref() == Some(bucket)
                });
                if twice || self.restore_points.as_ref() == Some(bucket) {
                    problems.add(
                        &format!("{path}.restore_points"),
                        format!("\"{bucket}\""),
                        "another bucket for each account and Region",
                    );
                }
            }
            // A place is read and acted in once, whichever rule names it.
            let other = self.rules[..n]
                .iter()
                .flat_map(|other| &other.copies)
                .find(|other| other.place() == place);
            if other.is_some_and(|other| {
                (&other.role_arn, &other.external_id, &other.restore_points)
                    != (&copy.role_arn, &copy.external_id, &copy.restore_points)
            }) {
                problems.add(
                    &path,
                    &place,
                    "the same role_arn, external_id and restore_points wherever a place is named",
                );
            }
        }
        for account in &rule.share_with {
            if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
                let path = at("share_with");
                problems.add(&path, format!("\"{account}\""), "accounts, 12 digits each");
            }
        }
        if rule.shares().len() > MOST_SHARES {
            problems.add(
                &at("share_with"),
                format!("{} accounts with those of copies", rule.shares().len()),
                format!("{MOST_SHARES} at most"),
            );
        }
        for (m, glob) in rule.adopt.iter().enumerate() {
            if !glob.contains(|c: char| c.is_ascii_alphanumeric()) {
                problems.add(
                    &format!("{path}.adopt[{m}]"),
                    format!("\"{glob}\""),
                    "a snapshot's name, or a glob that begins to name some",
                );
            }
        }
    }
}

impl Policy for RotationPolicy {
    fn check(&self, problems: &mut Problems) {
        for (n, rule) in self.rules.iter().enumerate() {
            self.check_rule(n, rule, problems);
        }
        if let Some(bucket) = &self.restore_points {
            check_bucket("restore_points", bucket, problems);
        }
        let limits = &self.limits;
        let at = |key: &str| format!("limits.{key}");
        for (key, value, most) in [
            (
                "max_deletes_per_database",
                limits.max_deletes_per_database,
                1_000,
            ),
            ("max_deletes_per_run", limits.max_deletes_per_run, 10_000),
            (
                "keep_snapshots_at_least",
                limits.keep_snapshots_at_least,
                1_000,
            ),
            (
                "max_copies_in_flight",
                limits.max_copies_in_flight,
                MOST_COPIES_IN_FLIGHT,
            ),
        ] {
            problems.within(&at(key), value, 1, most);
        }
        let share = limits.max_delete_share_percent;
        problems.within(&at("max_delete_share_percent"), share, 1, 100);
        let may_exceed = [
            guard::MAX_ACTIONS_PER_UNIT,
            guard::MAX_ACTIONS_PER_RUN,
            guard::MAX_SHARE_PERCENT,
        ];
        let names = limits.reviewed_plan_may_exceed.iter();
        for name in names.filter(|name| !may_exceed.contains(&name.as_str())) {
            let path = at("reviewed_plan_may_exceed");
            problems.add(&path, format!("\"{name}\""), may_exceed.join(", "));
        }
        self.notify.check("notify", problems);
    }

    fn selects_targets(&self) -> bool {
        !self.rules.is_empty()
    }

    fn notify(&self) -> &Notify {
        &self.notify
    }
}

#[cfg(test)]
mod tests;
