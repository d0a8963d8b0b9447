//! What is true, without SDK types: databases, and what each place holds of
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use steward::hold::{self, Hold};
use steward::restore_point;

use steward::names;

/// An account and a Region that hold snapshots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The other account, 12 digits; `None` is the account of the run.
    pub account: Option<String>,
    /// Such as `eu-west-1`.
    pub region: String,
}

impl Place {
    /// A Region of the account of the run.
    pub fn here(region: impl Into<String>) -> Self {
        Self {
            account: None,
            region: region.into(),
        }
    }

    /// How guards, gaps and metrics name a database's snapshots here.
    pub fn unit(&self, database: &str, resource_id: &str) -> String {
        format!("{self}/{database}/{resource_id}")
    }

    /// How a plan names one of its snapshots.
    pub fn target(&self, snapshot: &str) -> String {
        format!("{self}/{snapshot}")
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => write!(f, "{account}:{}", self.region),
            None => f.write_str(&self.region),
        }
    }
}

/// Everything that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// Where the databases are.
    pub home: Place,
    /// The DB instances here, members of clusters too, by identifier.
    pub databases: Vec<Database>,
    /// What each place holds; a place that could not be read at all is missing.
    pub places: BTreeMap<Place, Holdings>,
    /// What a recovery needs beside the data, by resource id, where documents are
    /// written.
    pub recordings: BTreeMap<String, Recording>,
    /// Keys that AWS manages for the account, such as the one behind
    /// `alias/aws/rds`, by ARN: what they encrypt cannot be shared.
    pub aws_managed_keys: BTreeSet<String>,
}

impl World {
    /// Nothing, before anything was seen.
    pub fn of_nothing(home: Place) -> Self {
        Self {
            home,
            databases: vec![],
            places: BTreeMap::new(),
            recordings: BTreeMap::new(),
            aws_managed_keys: BTreeSet::new(),
        }
    }

    /// The snapshot of this name in a place.
    pub fn snapshot(&self, place: &Place, id: &str) -> Option<&Snapshot> {
        let holdings = self.places.get(place)?;
        holdings.snapshots.iter().find(|snapshot| snapshot.id == id)
    }

    /// The account of the databases, by the ARN of one or of a snapshot beside
    /// them; `None` when there is neither.
    fn account(&self) -> Option<&str> {
        let database = self.databases.first().map(|database| &database.arn);
        let snapshot = || Some(&self.at_home()?.snapshots.first()?.arn);
        let (_, account, _) = parts_of(database.or_else(snapshot)?)?;
        Some(account)
    }

    /// The database that Steward here made a snapshot of a place for. `None` for
    /// what is not its own: somebody else's, and what Steward made in another
    /// Region or account, which looks the same and is that one's to rotate.
    ///
    /// RDS promises `DbiResourceId` to be unique in a Region, and not that a copy in
    /// another has that of its source. Of a copy it tells the source, when that is
    /// in another Region or account (`SourceDBSnapshotIdentifier` of `DBSnapshot`,
    /// Amazon RDS API Reference).
    pub fn made_for<'s>(&self, place: &Place, snapshot: &'s Snapshot) -> Option<&'s str> {
        let made_for = snapshot.says_made_for()?;
        let source = snapshot.source_arn.as_deref().map(parts_of);
        let is_own = if *place == self.home {
            let from_here = source.is_none_or(|source| {
                let own = parts_of(&snapshot.arn).map(|(region, account, _)| (region, account));
                source.map(|(region, account, _)| (region, account)) == own
            });
            let told = snapshot.resource_id.as_ref();
            from_here && told.is_none_or(|id| id == made_for)
        } else {
            // Every copy that Steward makes is encrypted and named like its source.
            let from_home = (
                self.home.region.as_str(),
                self.account()?,
                snapshot.id.as_str(),
            );
            snapshot.encrypted && source.flatten() == Some(from_home)
        };
        is_own.then_some(made_for)
    }

    /// What the place of the databases holds.
    pub fn at_home(&self) -> Option<&Holdings> {
        self.places.get(&self.home)
    }
}

/// A DB instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// What people call it. It can be changed.
    pub identifier: String,
    /// What it is. It is never changed, and never used again.
    pub resource_id: String,
    /// Its ARN, which has the identifier in it.
    pub arn: String,
    /// As RDS tells it, such as `available`.
    pub status: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Of which database it is a replica.
    pub replica_of: Option<String>,
    /// Of which cluster it is a member.
    pub cluster: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Database {
    /// The hold in force.
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        hold_of(&self.tags, now)
    }

    /// Such as `aws`: `arn:PARTITION:rds:REGION:ACCOUNT:db:NAME`.
    pub fn partition(&self) -> &str {
        self.arn.split(':').nth(1).unwrap_or_default()
    }

    /// The account that it is in.
    pub fn account(&self) -> Option<&str> {
        parts_of(&self.arn).map(|(_, account, _)| account)
    }

    /// The environment that its tag names.
    pub fn tagged_environment(&self) -> Option<&str> {
        let tagged = self.tags.get(names::ENVIRONMENT).map(String::as_str);
        tagged.filter(|name| !name.is_empty())
    }

    /// The environment that it belongs to: that of its tag, or itself.
    pub fn environment(&self) -> &str {
        self.tagged_environment().unwrap_or(&self.identifier)
    }

    /// When it was parked, as its tag says; `None` also when it cannot be read.
    pub fn parked_at(&self) -> Option<Timestamp> {
        self.tags.get(names::PARKED)?.trim().parse().ok()
    }
}

/// What a place holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdings {
    /// Manual snapshots, of everybody.
    pub snapshots: Vec<Snapshot>,
    /// Whether these are all.
    pub complete: bool,
    /// How many manual snapshots there are and may be; `None` when the account
    /// does not say.
    pub quota: Option<Quota>,
    /// Until when databases, by resource id, can be restored here from automated
    /// backups that RDS replicates.
    pub replicated_until: BTreeMap<String, Timestamp>,
    /// Restore points and recipes, where the policy has a bucket for them and it
    /// can be listed.
    pub documents: Option<Documents>,
}

/// Use and limit of manual snapshots in a Region (`AccountQuota`, Amazon RDS API
/// Reference: `ManualSnapshots`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many there are.
    pub used: u64,
    /// How many there may be.
    pub max: u64,
}

/// What a bucket holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// The bucket.
    pub bucket: String,
    /// The keys of all that is in it.
    pub keys: BTreeSet<String>,
    /// What is known of each recipe, by key; nothing in runs that write none.
    pub recipes: BTreeMap<String, Written>,
}

/// A recipe that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The digest of its content; `None` when somebody else wrote it.
    pub content_digest: Option<String>,
    /// When; `None` when S3 does not tell.
    pub at: Option<Timestamp>,
    /// Whose environment it is of, `ACCOUNT/REGION`; `None` when somebody else wrote
    /// it.
    pub of: Option<String>,
}

/// What was read of a database for a recovery.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Its settings.
    pub settings: Option<restore_point::Database>,
    /// The services that use it.
    pub applications: Vec<restore_point::Application>,
    /// Every image of theirs.
    pub images: Vec<restore_point::Image>,
    /// What could not be read, a sentence each.
    pub missing: Vec<String>,
}

/// How far a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It can be restored.
    Available,
    /// It is being made or copied, in percent.
    Under {
        /// As RDS tells it.
        status: String,
        /// The share of the data that has been transferred.
        percent: i32,
    },
    /// It is being deleted.
    Deleting,
    /// It cannot be restored as it is.
    Broken {
        /// As RDS tells it.
        status: String,
    },
}

impl Progress {
    /// Whether it can never be restored. In a state that nobody knows it may be
    /// all right tomorrow, and is not deleted.
    pub fn has_failed(&self) -> bool {
        matches!(self, Self::Broken { status } if status == "failed")
    }

    /// From `Status` and `PercentProgress`. A status that nobody knows is no
    /// promise that it can be restored, and none that it never can
    /// ([`Progress::has_failed`]).
    pub fn of(status: &str, percent: Option<i32>) -> Self {
        match status {
            "available" => Self::Available,
            "creating" | "copying" | "pending" | "modifying" | "upgrading" | "backing-up" => {
                Self::Under {
                    status: status.to_owned(),
                    percent: percent.unwrap_or(0),
                }
            }
            "deleting" => Self::Deleting,
            other => Self::Broken {
                status: other.to_owned(),
            },
        }
    }
}

/// A manual DB snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its identifier, unique in its place.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// The identifier that its database had then.
    pub database: String,
    /// The resource id of its database, as RDS tells it.
    pub resource_id: Option<String>,
    /// How far it is.
    pub progress: Progress,
    /// When it was made; of a copy, when it was copied. Absent until it is
    /// complete.
    pub created_at: Option<Timestamp>,
    /// When its data was taken, which a copy does not change.
    pub taken_at: Option<Timestamp>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// With which key.
    pub kms_key: Option<String>,
    /// The option group that it would be restored with.
    pub option_group: Option<String>,
    /// What it was copied from; RDS tells it of copies from another Region or
    /// account only.
    pub source_arn: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The accounts that may restore or copy it; `None` when nobody asked.
    pub shared_with: Option<BTreeSet<String>>,
    /// What of it only restore points tell.
    pub contents: Contents,
}

/// What is in a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Such as `postgres`.
    pub engine: String,
    /// Such as `16.4`.
    pub engine_version: String,
    /// The storage of its database, in GiB.
    pub allocated_storage: Option<i32>,
    /// Its full size in bytes.
    pub full_size_bytes: Option<i64>,
}

impl Snapshot {
    /// The hold in force.
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        hold_of(&self.tags, now)
    }

    /// Whether it can be restored.
    pub fn is_available(&self) -> bool {
        self.progress == Progress::Available
    }

    /// The database that Steward says it was made for: by its tag, which its name
    /// must agree with. AWS copies tags, so that this alone proves nothing;
    /// [`World::made_for`] does.
    fn says_made_for(&self) -> Option<&str> {
        if self.tags.get(names::MANAGED_BY).map(String::as_str) != Some(crate::NAME) {
            return None;
        }
        let made_for = self.tags.get(names::MADE_FOR)?;
        let fits = names::parse(&self.id)?.is_of(made_for);
        fits.then_some(made_for)
    }
}

/// The Region, the account and the name in the ARN of a snapshot or an instance:
/// `arn:PARTITION:rds:REGION:ACCOUNT:KIND:NAME`.
fn parts_of(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.splitn(7, ':').skip(3);
    let (region, account, _) = (parts.next()?, parts.next()?, parts.next()?);
    Some((region, account, parts.next()?))
}

fn hold_of(tags: &BTreeMap<String, String>, now: Timestamp) -> Option<Hold> {
    let tags = tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    hold::hold_of(tags, now)
}
