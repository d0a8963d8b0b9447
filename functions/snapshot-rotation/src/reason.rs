//! Why a database or snapshot stays, waits or changes: the stable code and the
//! sentence.

use std::fmt;

use jiff::Timestamp;
use steward::hold::Hold;
use steward::policy::Period;

use crate::retention::Stays;
use crate::world::{Place, Quota};

/// Why a database or snapshot stays, waits or changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A database is left alone: no rule selects it.
    NotSelected,
    /// A database is left alone: its cluster has snapshots of its own.
    ClusterMember {
        /// The cluster.
        cluster: String,
    },
    /// A database is left alone: a replica, and the rule does not ask for those.
    ReadReplica {
        /// Of which database.
        of: String,
    },
    /// A database waits: two rules select it.
    TwoRules {
        /// Their names.
        rules: String,
    },
    /// Stays as it is: on hold.
    Held(Hold),
    /// Needs no snapshot now: the newest is young enough.
    Recent {
        /// When its data was taken.
        taken_at: Timestamp,
        /// The interval of the rule.
        every: Period,
    },
    /// Needs no snapshot now: it was parked, and has one from then.
    Parked {
        /// When it was parked.
        since: Timestamp,
    },
    /// Waits for a snapshot: it is not in a state that allows one.
    NotAvailable {
        /// Its state.
        status: String,
    },
    /// Waits: the account has no room for another snapshot.
    QuotaFull {
        /// Use and limit.
        quota: Quota,
    },
    /// Waits: so many copies are under way there already.
    CopiesInFlight {
        /// How many.
        under_way: usize,
    },
    /// Waits: a copy would be where the database is.
    SamePlace,
    /// Waits: RDS wants a presigned URL here, which Steward does not make.
    PresignedUrl,
    /// Waits: its key is AWS's own, and other accounts can never use that.
    DefaultKey {
        /// The key.
        key: String,
    },
    /// Waits: it has an option group of its own, and the policy names none there.
    NoOptionGroup {
        /// The one here.
        group: String,
    },
    /// Waits: the other account cannot see it before it is shared.
    NotYetShared {
        /// The account.
        account: String,
    },
    /// Waits: a read failed that could change the decision.
    Unseen {
        /// The read.
        read: String,
    },
    /// Waits: the newest attempt there has failed, and nothing goes before one
    /// succeeds.
    NewestFailed {
        /// Which.
        snapshot: String,
    },
    /// Waits: a snapshot of the database has Steward's name and not its tags, so
    /// that nobody knows whether another is due.
    TagsMissing {
        /// Which.
        snapshot: String,
    },
    /// Waits: a snapshot is due and cannot be made, and nothing goes before.
    Overdue,
    /// A snapshot stays: it is none of Steward's, or of Steward elsewhere.
    Foreign,
    /// A snapshot stays: it is being made, copied or deleted.
    UnderWay {
        /// Its state.
        status: String,
        /// How far, in percent.
        percent: i32,
    },
    /// A snapshot stays: it cannot be restored, and nothing has replaced it, or
    /// nobody knows its state.
    Broken {
        /// Its state.
        status: String,
    },
    /// A snapshot stays: RDS does not say when its data was taken.
    TimeUnknown,
    /// A snapshot stays: the newest here that can be restored.
    Newest,
    /// A snapshot stays: rules of the policy keep it.
    Kept(Vec<Stays>),
    /// A snapshot stays: it is still to be copied.
    AwaitsCopy {
        /// Where to.
        to: Place,
    },
    /// A snapshot stays: its database is gone, and nobody has said that it may go.
    DatabaseGone,
    /// A snapshot stays although it was to be retired: its database lives.
    DatabaseLives,
    /// A database gets its first snapshot.
    First,
    /// A database gets a snapshot: the newest is older than the interval.
    Due {
        /// When the data of the newest was taken.
        newest: Timestamp,
        /// The interval of the rule.
        every: Period,
    },
    /// A snapshot is copied: it is the newest, or fills what is missing there.
    Missing {
        /// Whether it is the newest.
        newest: bool,
    },
    /// A snapshot is tagged: it does not say when its data was taken.
    Untagged,
    /// A snapshot is shared: the policy says so, or it is to be copied.
    NotShared,
    /// A document is written: there is none, or an incomplete one.
    Undocumented,
    /// A recipe is written: what it tells has changed, or there is none.
    RecipeChanged,
    /// A recipe is written: the last one is a day old.
    RecipeDue,
    /// A document waits: what it would tell was not read, or is not yet written
    /// beside the database.
    NotRecorded,
    /// A recipe waits: the one of this name is of another account or Region.
    RecipeOfAnother {
        /// `ACCOUNT/REGION`.
        of: String,
    },
    /// A document stays: its snapshot or a copy is there, or it is of today.
    Recorded,
    /// A document stays: it lacks something, and there is no better one.
    RecordedIncompletely,
    /// A document goes: its snapshot is gone.
    SnapshotGone,
    /// A document goes: a complete one is there instead.
    Replaced,
    /// A snapshot goes: no rule keeps it.
    Expired,
    /// A snapshot goes: it cannot be restored, and another was made in its place
    /// or can be.
    BrokenAndReplaced {
        /// Its state.
        status: String,
    },
    /// A snapshot goes: its database is gone, and a person said so.
    Retired,
}

/// Every reason code, for the contract section of the README.
pub const REASON_CODES: &[&str] = &[
    "not_selected",
    "cluster_member",
    "read_replica",
    "two_rules",
    "held",
    "recent",
    "parked",
    "not_available",
    "quota_full",
    "copies_in_flight",
    "same_place",
    "presigned_url",
    "default_key",
    "no_option_group",
    "not_yet_shared",
    "unseen",
    "newest_failed",
    "tags_missing",
    "overdue",
    "foreign",
    "under_way",
    "broken",
    "time_unknown",
    "newest",
    "kept",
    "awaits_copy",
    "database_gone",
    "database_lives",
    "first",
    "due",
    "missing",
    "untagged",
    "not_shared",
    "undocumented",
    "recipe_changed",
    "recipe_due",
    "recipe_of_another",
    "not_recorded",
    "recorded",
    "recorded_incompletely",
    "snapshot_gone",
    "replaced",
    "expired",
    "broken_and_replaced",
    "retired",
];

impl steward::engine::Reason for Reason {
    fn code(&self) -> &'static str {
        match self {
            Self::NotSelected => "not_selected",
            Self::ClusterMember { .. } => "cluster_member",
            Self::ReadReplica { .. } => "read_replica",
            Self::TwoRules { .. } => "two_rules",
            Self::Held(_) => "held",
            Self::Recent { .. } => "recent",
            Self::Parked { .. } => "parked",
            Self::NotAvailable { .. } => "not_available",
            Self::QuotaFull { .. } => "quota_full",
            Self::CopiesInFlight { .. } => "copies_in_flight",
            Self::SamePlace => "same_place",
            Self::PresignedUrl => "presigned_url",
            Self::DefaultKey { .. } => "default_key",
            Self::NoOptionGroup { .. } => "no_option_group",
            Self::NotYetShared { .. } => "not_yet_shared",
            Self::Unseen { .. } => "unseen",
            Self::NewestFailed { .. } => "newest_failed",
            Self::TagsMissing { .. } => "tags_missing",
            Self::Overdue => "overdue",
            Self::Foreign => "foreign",
            Self::UnderWay { .. } => "under_way",
            Self::Broken { .. } => "broken",
            Self::TimeUnknown => "time_unknown",
            Self::Newest => "newest",
            Self::Kept(_) => "kept",
            Self::AwaitsCopy { .. } => "awaits_copy",
            Self::DatabaseGone => "database_gone",
            Self::DatabaseLives => "database_lives",
            Self::First => "first",
            Self::Due { .. } => "due",
            Self::Missing { .. } => "missing",
            Self::Untagged => "untagged",
            Self::NotShared => "not_shared",
            Self::Undocumented => "undocumented",
            Self::RecipeChanged => "recipe_changed",
            Self::RecipeDue => "recipe_due",
            Self::RecipeOfAnother { .. } => "recipe_of_another",
            Self::NotRecorded => "not_recorded",
            Self::Recorded => "recorded",
            Self::RecordedIncompletely => "recorded_incompletely",
            Self::SnapshotGone => "snapshot_gone",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::BrokenAndReplaced { .. } => "broken_and_replaced",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSelected => f.write_str("no rule of the policy selects it"),
            Self::ClusterMember { cluster } => write!(f, "a member of cluster {cluster}"),
            Self::ReadReplica { of } => {
                write!(
                    f,
                    "a replica of {of}, and the rule does not say replicas: true"
                )
            }
            Self::TwoRules { rules } => write!(f, "more than one rule selects it: {rules}"),
            Self::Held(hold) => write!(f, "on hold by {hold}"),
            Self::Recent { taken_at, every } => {
                write!(
                    f,
                    "the newest snapshot is of {taken_at}, younger than {every}"
                )
            }
            Self::Parked { since } => {
                write!(f, "parked since {since}, with a snapshot of that time")
            }
            Self::NotAvailable { status } => {
                write!(f, "RDS makes no snapshot of a database that is {status}")
            }
            Self::QuotaFull { quota } => write!(
                f,
                "{} of {} manual snapshots are in use, and there is no room for another",
                quota.used, quota.max
            ),
            Self::CopiesInFlight { under_way } => {
                write!(f, "{under_way} copies are under way there already")
            }
            Self::SamePlace => f.write_str(
                "the policy names the account and Region of the database itself (copies)",
            ),
            Self::PresignedUrl => f.write_str(
                "copies of encrypted snapshots between GovCloud Regions need a presigned URL, \
                 which Steward does not make",
            ),
            Self::DefaultKey { key } => write!(
                f,
                "it is encrypted with {key}, which AWS manages and other accounts cannot use: \
                 encrypt the database with a key of your own"
            ),
            Self::NoOptionGroup { group } => write!(
                f,
                "it has option group {group}, and the policy names none there (option_group)"
            ),
            Self::NotYetShared { account } => write!(f, "not yet shared with {account}"),
            Self::Unseen { read } => write!(f, "not everything could be read: {read}"),
            Self::NewestFailed { snapshot } => {
                write!(f, "the newest attempt, {snapshot}, has failed")
            }
            Self::TagsMissing { snapshot } => write!(
                f,
                "{snapshot} has lost the tags steward:managed-by and steward:made-for: give them \
                 back, or wait for the next interval"
            ),
            Self::Overdue => f.write_str("a snapshot is due and cannot be made"),
            Self::Foreign => f.write_str("not made by Steward here, and not adopted"),
            Self::UnderWay { status, percent } => write!(f, "{status}, {percent} %"),
            Self::Broken { status } => {
                write!(f, "{status}: it cannot be restored, and is not replaced")
            }
            Self::TimeUnknown => f.write_str("RDS does not say when its data was taken"),
            Self::Newest => f.write_str("the newest here that can be restored"),
            Self::Kept(rules) => {
                for (n, rule) in rules.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}{rule}")?;
                }
                Ok(())
            }
            Self::AwaitsCopy { to } => write!(f, "still to be copied to {to}"),
            Self::DatabaseGone => f.write_str(
                "its database is gone; `steward snapshot-rotation retire` lets its snapshots go",
            ),
            Self::DatabaseLives => f.write_str("its database is there, and cannot be retired"),
            Self::First => f.write_str("there is no snapshot of it that can be restored"),
            Self::Due { newest, every } => {
                write!(f, "the newest snapshot is of {newest}, older than {every}")
            }
            Self::Missing { newest: true } => f.write_str("the newest has no copy there"),
            Self::Missing { newest: false } => f.write_str("wanted there, and has no copy"),
            Self::Untagged => f.write_str("it does not say when its data was taken"),
            Self::NotShared => f.write_str("not yet shared with everybody whom the policy names"),
            Self::Undocumented => f.write_str("its snapshot has no complete restore point there"),
            Self::RecipeChanged => f.write_str("what it tells has changed"),
            Self::RecipeDue => f.write_str("the last one is a day old"),
            Self::RecipeOfAnother { of } => write!(
                f,
                "the bucket has a recipe of this name that is of {of}: give each a bucket of its \
                 own, or another steward:environment"
            ),
            Self::NotRecorded => f.write_str("what it would tell is not recorded yet"),
            Self::Recorded => f.write_str("its snapshot or a copy is there, or it is of today"),
            Self::RecordedIncompletely => {
                f.write_str("it lacks something, and there is no better one")
            }
            Self::SnapshotGone => f.write_str("its snapshot is gone"),
            Self::Replaced => f.write_str("a complete one takes its place"),
            Self::Expired => f.write_str("no rule keeps it"),
            Self::BrokenAndReplaced { status } => {
                write!(
                    f,
                    "{status}: it cannot be restored, and another takes its place"
                )
            }
            Self::Retired => f.write_str("its database is gone, and it is retired"),
        }
    }
}
