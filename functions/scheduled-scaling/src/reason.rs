//! Why an environment or resource stays, waits or changes: the stable code and the
//! sentence.

use std::fmt;

use jiff::Timestamp;
use steward::hold::Hold;

use crate::calendar::Wanted;

/// Why an environment or resource stays, waits or changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An environment is as its last transition asked.
    NothingDue {
        /// Since when.
        since: Timestamp,
        /// What it asked for.
        to: Wanted,
    },
    /// An environment is seen for the first time, and left as it is.
    FirstSeen,
    /// A transition is due.
    Due {
        /// When it was.
        at: Timestamp,
        /// What it asks for.
        to: Wanted,
    },
    /// A transition was due too long ago.
    TooLate {
        /// When it was.
        at: Timestamp,
    },
    /// A transition waits: a Change Calendar is closed or cannot be read.
    Frozen {
        /// Which.
        calendar: String,
    },
    /// A transition is under way.
    UnderWay,
    /// A step of a transition is done, and the next begins.
    NextStep,
    /// A step of a transition takes longer than the policy allows.
    Overdue {
        /// Since when it is under way.
        since: Timestamp,
    },
    /// Everything is as the transition asked.
    Reached,
    /// A person asks for it.
    Asked,
    /// Nothing is done without the ledger, which could not be read.
    LedgerUnread,
    /// Was put to sleep, and is no environment of the policy any more.
    Forgotten,
    /// There is no ledger to remember it in.
    NoLedger,
    /// It became due while this run looked; the next one looks at it.
    NotLookedAt,
    /// Waits: something that it stands for could not be read.
    Unseen,
    /// Is left alone: the policy selects it twice.
    TwoMembers {
        /// Where.
        members: String,
    },
    /// Stays as it is: on hold.
    Held(Hold),
    /// Is left alone: each instance has one task of it.
    Daemon,
    /// Is left alone: it goes, or is gone.
    Leaving {
        /// Its status.
        status: String,
    },
    /// Is left alone: RDS does not stop replicas.
    Replica {
        /// Of which database.
        of: String,
    },
    /// Is left alone: RDS does not stop what has replicas.
    HasReplicas {
        /// Which.
        replicas: String,
    },
    /// Is left alone: its cluster is stopped and started as a whole.
    ClusterMember {
        /// Which.
        cluster: String,
    },
    /// Is left alone: RDS does not stop such databases.
    CannotStop {
        /// Why.
        why: &'static str,
    },
    /// Is left alone: a size would be more than its maximum.
    AboveMaximum {
        /// The size.
        size: String,
        /// How many it asks for.
        desired: u32,
        /// The most that may be.
        max: u32,
    },
    /// Sleeps.
    Asleep,
    /// Was at nothing before anybody parked it, and is left there.
    AtZero,
    /// Is awake, in the size that is wanted.
    Awake,
    /// Is on its way to sleep.
    FallingAsleep,
    /// Is on its way to be awake.
    WakingUp,
    /// Waits: instances are protected from scale-in.
    Protected {
        /// How many.
        instances: u32,
    },
    /// Waits for a deployment to end.
    Deploying,
    /// Waits: it is in a state in which it cannot be changed.
    Busy {
        /// The state.
        status: String,
    },
    /// Waits for other members of its environment.
    WaitsFor {
        /// Which.
        members: String,
    },
    /// Waits for its snapshot.
    SnapshotUnderWay {
        /// Its name.
        snapshot: String,
    },
    /// Waits: its snapshot failed.
    SnapshotFailed {
        /// Its name.
        snapshot: String,
    },
    /// Gets a snapshot before it sleeps.
    SnapshotFirst,
    /// Is to sleep.
    ToSleep,
    /// Is to wake.
    ToWake,
    /// Is to have another size.
    ToResize {
        /// Its name; `None` is the one that it had.
        size: Option<String>,
    },
    /// Waits: it is at nothing, and nothing says what it was.
    SizesUnknown,
    /// Waits: it is remembered as parked, and no member of the environment has it.
    NoMember,
    /// Is remembered as parked, and gone.
    Gone,
    /// Runs, and is marked as if it did not.
    StillMarked,
    /// Somebody started it; it runs until the next transition.
    StartedByHand,
    /// Is left alone: what somebody started since needs it.
    Needed,
    /// AWS started it, because it had been stopped for seven days.
    StartedByAws,
}

/// Every reason code, for the contract section of the README.
pub const REASON_CODES: &[&str] = &[
    "nothing_due",
    "first_seen",
    "due",
    "too_late",
    "frozen",
    "under_way",
    "next_step",
    "overdue",
    "reached",
    "asked",
    "ledger_unread",
    "forgotten",
    "no_ledger",
    "not_looked_at",
    "unseen",
    "two_members",
    "held",
    "daemon",
    "leaving",
    "replica",
    "has_replicas",
    "cluster_member",
    "cannot_stop",
    "above_maximum",
    "asleep",
    "at_zero",
    "awake",
    "falling_asleep",
    "waking_up",
    "protected",
    "deploying",
    "busy",
    "waits_for",
    "snapshot_under_way",
    "snapshot_failed",
    "snapshot_first",
    "to_sleep",
    "to_wake",
    "to_resize",
    "sizes_unknown",
    "no_member",
    "gone",
    "still_marked",
    "started_by_hand",
    "needed",
    "started_by_aws",
];

impl steward::engine::Reason for Reason {
    fn code(&self) -> &'static str {
        match self {
            Self::NothingDue { .. } => "nothing_due",
            Self::FirstSeen => "first_seen",
            Self::Due { .. } => "due",
            Self::TooLate { .. } => "too_late",
            Self::Frozen { .. } => "frozen",
            Self::UnderWay => "under_way",
            Self::NextStep => "next_step",
            Self::Overdue { .. } => "overdue",
            Self::Reached => "reached",
            Self::Asked => "asked",
            Self::LedgerUnread => "ledger_unread",
            Self::Forgotten => "forgotten",
            Self::NoLedger => "no_ledger",
            Self::NotLookedAt => "not_looked_at",
            Self::Unseen => "unseen",
            Self::TwoMembers { .. } => "two_members",
            Self::Held(_) => "held",
            Self::Daemon => "daemon",
            Self::Leaving { .. } => "leaving",
            Self::Replica { .. } => "replica",
            Self::HasReplicas { .. } => "has_replicas",
            Self::ClusterMember { .. } => "cluster_member",
            Self::CannotStop { .. } => "cannot_stop",
            Self::AboveMaximum { .. } => "above_maximum",
            Self::Asleep => "asleep",
            Self::AtZero => "at_zero",
            Self::Awake => "awake",
            Self::FallingAsleep => "falling_asleep",
            Self::WakingUp => "waking_up",
            Self::Protected { .. } => "protected",
            Self::Deploying => "deploying",
            Self::Busy { .. } => "busy",
            Self::WaitsFor { .. } => "waits_for",
            Self::SnapshotUnderWay { .. } => "snapshot_under_way",
            Self::SnapshotFailed { .. } => "snapshot_failed",
            Self::SnapshotFirst => "snapshot_first",
            Self::ToSleep => "to_sleep",
            Self::ToWake => "to_wake",
            Self::ToResize { .. } => "to_resize",
            Self::SizesUnknown => "sizes_unknown",
            Self::NoMember => "no_member",
            Self::Gone => "gone",
            Self::StillMarked => "still_marked",
            Self::StartedByHand => "started_by_hand",
            Self::Needed => "needed",
            Self::StartedByAws => "started_by_aws",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingDue { since, to } => write!(f, "{to} since {since}, and nothing is due"),
            Self::FirstSeen => {
                f.write_str("seen for the first time: it stays as it is until its next transition")
            }
            Self::Due { at, to } => write!(f, "its schedules say {to} since {at}"),
            Self::TooLate { at } => write!(
                f,
                "the transition of {at} was due longer ago than the policy catches up (catch_up)"
            ),
            Self::Frozen { calendar } => {
                write!(f, "Change Calendar {calendar} is closed, or cannot be read")
            }
            Self::UnderWay => f.write_str("its transition is under way"),
            Self::NextStep => f.write_str("a step is done, and the next begins"),
            Self::Overdue { since } => write!(
                f,
                "the step under way since {since} takes longer than the policy allows \
                 (ready_within)"
            ),
            Self::Reached => f.write_str("everything is as its transition asked"),
            Self::Asked => f.write_str("a person asks for it"),
            Self::LedgerUnread => {
                f.write_str("nothing is done without the ledger, which could not be read")
            }
            Self::Forgotten => {
                f.write_str("it was put to sleep, and the policy has no such environment any more")
            }
            Self::NoLedger => f.write_str("there is no ledger to remember it in"),
            Self::NotLookedAt => {
                f.write_str("it became due while this run looked; the next one looks at it")
            }
            Self::Unseen => f.write_str(
                "nothing is parked here, nor woken that needs something, while what it is made of \
                 cannot be read",
            ),
            Self::TwoMembers { members } => {
                write!(f, "the policy selects it more than once: {members}")
            }
            Self::Held(hold) => write!(f, "on hold by {hold}"),
            Self::Daemon => {
                f.write_str("a daemon service has a task on each instance, and no size of its own")
            }
            Self::Leaving { status } => write!(f, "it is {status}"),
            Self::Replica { of } => write!(f, "a replica of {of}, and RDS stops no replicas"),
            Self::HasReplicas { replicas } => {
                write!(f, "RDS stops no database that has replicas: {replicas}")
            }
            Self::ClusterMember { cluster } => write!(
                f,
                "a member of cluster {cluster}, which is stopped and started as a whole"
            ),
            Self::CannotStop { why } => write!(f, "RDS cannot stop it: {why}"),
            Self::AboveMaximum { size, desired, max } => write!(
                f,
                "size {size} asks for {desired}, and its maximum is {max}: give the size a max"
            ),
            Self::Asleep => f.write_str("it sleeps"),
            Self::AtZero => {
                f.write_str("it was at nothing before anybody parked it, and stays there")
            }
            Self::Awake => f.write_str("it is awake, in the size that is wanted"),
            Self::FallingAsleep => f.write_str("it is on its way to sleep"),
            Self::WakingUp => f.write_str("it is on its way, and not ready"),
            Self::Protected { instances } => write!(
                f,
                "{instances} of its instances are protected from scale-in, which is respected"
            ),
            Self::Deploying => f.write_str("a deployment is under way"),
            Self::Busy { status } => write!(f, "it is {status}"),
            Self::WaitsFor { members } => write!(f, "it waits for {members}"),
            Self::SnapshotUnderWay { snapshot } => {
                write!(f, "it waits for its snapshot {snapshot}")
            }
            Self::SnapshotFailed { snapshot } => write!(f, "its snapshot {snapshot} failed"),
            Self::SnapshotFirst => f.write_str("it gets a snapshot before it sleeps"),
            Self::ToSleep => f.write_str("it is to sleep"),
            Self::ToWake => f.write_str("it is to wake"),
            Self::ToResize { size: Some(size) } => write!(f, "it is to have size {size}"),
            Self::ToResize { size: None } => f.write_str("it is to have the size that it had"),
            Self::SizesUnknown => f.write_str(
                "it was parked, and neither the ledger nor its tag says what sizes it had: give \
                 it its size, and it stays",
            ),
            Self::NoMember => f.write_str(
                "it was parked here, and no member of the environment has it any more: wake it, \
                 or put it back (its tag steward:environment, or the policy)",
            ),
            Self::Gone => f.write_str("it is remembered as parked, and is gone"),
            Self::StillMarked => f.write_str("it runs, and is still marked as parked"),
            Self::StartedByHand => {
                f.write_str("somebody started it; it runs until the next transition")
            }
            Self::Needed => f.write_str(
                "what somebody started since needs it; it stays until the next transition",
            ),
            Self::StartedByAws => {
                f.write_str("AWS started it, because it had been stopped for seven days")
            }
        }
    }
}
