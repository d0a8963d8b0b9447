//! RDS instances.

use jiff::SignedDuration;
use steward::engine::Effect;
use steward::names;

use super::target::{Target, Verdict};
use crate::action::{Action, Snapshotting};
use crate::reason::Reason;
use crate::world::{Database, Kind, State};

/// How long RDS leaves an instance stopped ("Stopping an Amazon RDS DB instance
/// temporarily", Amazon RDS User Guide).
const STOPPED_AT_MOST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The states in which an instance can be used ("Viewing Amazon RDS DB instance
/// status", Amazon RDS User Guide).
const SERVES: &[&str] = &[
    "available",
    "backing-up",
    "configuring-enhanced-monitoring",
    "configuring-iam-database-auth",
    "configuring-log-exports",
    "converting-to-vpc",
    "moving-to-vpc",
    "storage-config-upgrade",
    "storage-initialization",
    "storage-optimization",
];

/// How often a snapshot is tried before a database sleeps.
const SNAPSHOT_ATTEMPTS: usize = 3;

/// The states in which it sleeps, or is about to.
const STOPPED: &str = "stopped";
const STOPPING: &str = "stopping";

/// What RDS does not stop ("Limitations", ibidem), or not as an instance.
fn left_alone(database: &Database) -> Option<Verdict> {
    let leave = |reason| Some(Verdict::Leave(reason));
    if let Some(cluster) = database.cluster.clone() {
        return leave(Reason::ClusterMember { cluster });
    }
    if let Some(of) = database.replica_of.clone() {
        return leave(Reason::Replica { of });
    }
    if !database.replicas.is_empty() {
        let replicas: Vec<&str> = database.replicas.iter().map(String::as_str).collect();
        let replicas = replicas.join(", ");
        return leave(Reason::HasReplicas { replicas });
    }
    if database.engine.starts_with("sqlserver") && database.is_multi_az {
        let why = "SQL Server with a standby in another Availability Zone";
        return leave(Reason::CannotStop { why });
    }
    if matches!(database.status.as_str(), "deleting" | "deleted") {
        let status = database.status.clone();
        return leave(Reason::Leaving { status });
    }
    None
}

pub(super) fn park(target: &Target<'_>, database: &Database) -> Verdict {
    if let Some(verdict) = left_alone(database) {
        return verdict;
    }
    let saved = target.remembered();
    let runs = !matches!(database.status.as_str(), STOPPED | STOPPING);
    if runs && target.was_started_by_hand(saved.as_ref()) {
        return match stay_parked(target) {
            // Its mark goes when the transition has ended: until then it tells this
            // from one that was never parked.
            Verdict::Do(reason @ Reason::StartedByHand, ..) => Verdict::There(reason),
            other => other,
        };
    }
    let noted = target.resource.saved.as_ref();
    let is_confirmed = noted.is_some_and(|saved| saved.state == State::Parked);
    match database.status.as_str() {
        // What a person stopped sleeps as well, and AWS would start it after a week.
        // What was stopped and not confirmed is confirmed.
        STOPPED if !target.resource.is_marked() || (target.has_ledger && !is_confirmed) => {
            let action = Action::ParkDatabase(target.subject());
            Verdict::Do(Reason::ToSleep, Effect::Change, Box::new(action))
        }
        STOPPED => Verdict::There(Reason::Asleep),
        STOPPING => Verdict::Wait(Reason::FallingAsleep),
        "available" => {
            if target.member.snapshot
                && let Some(verdict) = snapshot_first(target, database)
            {
                return verdict;
            }
            let action = Action::ParkDatabase(target.subject());
            Verdict::Do(Reason::ToSleep, Effect::Change, Box::new(action))
        }
        status => Verdict::Wait(Reason::Busy {
            status: status.to_owned(),
        }),
    }
}

/// The snapshot that is to be there before it stops.
fn snapshot_first(target: &Target<'_>, database: &Database) -> Option<Verdict> {
    let (name, due) = (&target.resource.name, target.goal.at);
    let Some(snapshots) = &database.snapshots else {
        return Some(Verdict::Wait(Reason::Unseen));
    };
    let id = |attempt| names::snapshot_id(name, &database.resource_id, due, attempt);
    let has_failed = |id: &String| snapshots.get(id).is_some_and(|state| state == "failed");
    let next = (1..=SNAPSHOT_ATTEMPTS).map(id).find(|id| !has_failed(id));
    let Some(snapshot) = next else {
        let snapshot = id(SNAPSHOT_ATTEMPTS);
        return Some(Verdict::Wait(Reason::SnapshotFailed { snapshot }));
    };
    match snapshots.get(&snapshot).map(String::as_str) {
        Some("available") => None,
        Some(_) => Some(Verdict::Wait(Reason::SnapshotUnderWay { snapshot })),
        None => {
            let action = Action::SnapshotDatabase(Snapshotting {
                of: target.subject(),
                resource_id: database.resource_id.clone(),
                snapshot,
            });
            Some(Verdict::Do(
                Reason::SnapshotFirst,
                Effect::Change,
                Box::new(action),
            ))
        }
    }
}

pub(super) fn wake(target: &Target<'_>, database: &Database) -> Verdict {
    if let Some(verdict) = left_alone(database) {
        return verdict;
    }
    let is_marked = target.resource.is_marked();
    match database.status.as_str() {
        STOPPED => {
            let action = Action::WakeDatabase(target.subject());
            Verdict::Do(Reason::ToWake, Effect::Restore, Box::new(action))
        }
        STOPPING => Verdict::Wait(Reason::Busy {
            status: database.status.clone(),
        }),
        _ if is_marked => {
            let action = Action::Unmark(target.subject());
            Verdict::Do(Reason::StillMarked, Effect::Restore, Box::new(action))
        }
        status if SERVES.contains(&status) => Verdict::There(Reason::Awake),
        "starting" => Verdict::Wait(Reason::WakingUp),
        status => Verdict::Wait(Reason::Busy {
            status: status.to_owned(),
        }),
    }
}

/// A database of an environment that sleeps: what AWS starts again after seven days
/// is stopped again, and what a person starts before then is that person's until the
/// next transition.
pub(super) fn stay_parked(target: &Target<'_>) -> Verdict {
    let Target { resource, .. } = target;
    let Kind::Database(database) = &resource.kind else {
        return Verdict::Leave(Reason::Awake);
    };
    if let Some(verdict) = left_alone(database) {
        return verdict;
    }
    if matches!(database.status.as_str(), STOPPED | STOPPING) {
        return Verdict::There(Reason::Asleep);
    }
    let saved = target.remembered();
    let Some(saved) = saved.filter(|saved| saved.state.is_parked()) else {
        return Verdict::There(Reason::StartedByHand);
    };
    // One that is still being parked was to be stopped again, which was interrupted.
    let is_young = target.now.duration_since(saved.at) < STOPPED_AT_MOST;
    // Whoever takes the tag away, as the README tells people, has taken the database.
    let is_taken = !resource.tags.contains_key(names::PARKED);
    if saved.state == State::Parked && (is_young || is_taken) {
        let action = Action::Unmark(target.subject());
        return Verdict::Do(Reason::StartedByHand, Effect::Restore, Box::new(action));
    }
    // It can be stopped again as soon as it is available (RDS-EVENT-0088).
    if database.status == "available" {
        let action = Action::ParkDatabase(target.subject());
        Verdict::Do(Reason::StartedByAws, Effect::Change, Box::new(action))
    } else {
        Verdict::Wait(Reason::Busy {
            status: database.status.clone(),
        })
    }
}
