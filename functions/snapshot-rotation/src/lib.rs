//! Snapshots of RDS databases: made when the newest is too old, copied to other
//! Regions and accounts, thinned by restic's rules, and written down with
//! everything else that a recovery needs.
//!
//! It never deletes the newest snapshot of a database in a place, nor any that it
//! has not made or been told to adopt, nor any of a database whose snapshots fail.

mod act;
mod action;
mod decide;
mod document;
mod observe;
mod permissions;
mod policy;
mod preview;
mod reason;
mod record;
pub mod retention;
mod world;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use steward::engine::{
    ActionView, Function, PlanOf, RunLimits, ScopeError, Seen, UnitLimits, names_in,
};
use steward::event::{Event, ManualEvent, RdsSubject};

pub use crate::action::{
    ACTION_KINDS, Action, Copying, Creation, Deletion, DocumentDeletion, RecipeWriting, Sharing,
    Subject, Tagging, Writing,
};
pub use crate::decide::METRICS;
pub use crate::observe::Snapshots;
pub use crate::permissions::{BEHIND_CALLS, PERMISSIONS, asked_for};
pub use crate::policy::{
    Application, CopyTo, Limits, MOST_COPIES_IN_FLIGHT, MOST_SHARES, RotationPolicy, Rule,
    SHORTEST_INTERVAL,
};
pub use crate::preview::{
    Drawn, InPlace, Left, MANUAL_SNAPSHOTS, Moment, Picture, Preview, Room, preview,
    preview_from_nothing, without_documents,
};
pub use crate::reason::{REASON_CODES, Reason};
pub use crate::world::{
    Contents, Database, Documents, Holdings, Place, Progress, Quota, Recording, Snapshot, World,
    Written,
};
pub use steward::names::{ENVIRONMENT, MADE_FOR, MANAGED_BY, PARKED, TAKEN_AT};

/// The function's name in reports, policies, kill switches and tags.
pub const NAME: &str = "snapshot-rotation";

/// snapshot-rotation, for the engine.
#[derive(Debug)]
pub struct SnapshotRotation;

/// What a run is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All that the policy selects.
    Everything,
    /// Only the databases with these identifiers, as far as the policy selects
    /// them.
    Databases(Vec<String>),
    /// The snapshots of databases that are gone, by resource id: they end.
    Retire(Vec<String>),
}

impl Scope {
    /// Whether a run rotates the database of this identifier.
    pub(crate) fn covers(&self, database: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Databases(names) => names.iter().any(|name| name == database),
            Self::Retire(_) => false,
        }
    }
}

impl Function for SnapshotRotation {
    const NAME: &'static str = NAME;
    const OPERATIONS: &'static [&'static str] = &["rotate", "retire"];
    /// RDS takes one at a time. Several of one database go side by side, so that
    /// one that fails does not hold up the others.
    const BATCH: usize = 20;
    type Policy = RotationPolicy;
    type Scope = Scope;
    type World = World;
    type Action = Action;
    type Reason = Reason;

    fn scope(event: &Event) -> Result<Scope, ScopeError> {
        match event {
            Event::Schedule(_) => Ok(Scope::Everything),
            Event::Rds(rds) => Ok(match rds.subject {
                // Of one of Steward's snapshots the name tells the database; others
                // are no work.
                RdsSubject::Snapshot => Scope::Databases(
                    steward::names::parse(&rds.identifier)
                        .map(|named| named.database.to_owned())
                        .into_iter()
                        .collect(),
                ),
                RdsSubject::Instance => Scope::Databases(vec![rds.identifier.clone()]),
                RdsSubject::Cluster | RdsSubject::ClusterSnapshot => Scope::Databases(vec![]),
            }),
            Event::Manual(manual) => scope_by_hand(manual),
            other => Err(ScopeError(format!(
                "{NAME} does not take {} events; allowed: schedules, RDS DB Snapshot Event, RDS DB \
                 Instance Event, and the manual form {{\"operation\":\"rotate\",\"mode\":\"plan\"}}",
                other.kind()
            ))),
        }
    }

    fn decide(
        policy: &RotationPolicy,
        scope: &Scope,
        seen: &Seen<World>,
        now: Timestamp,
    ) -> PlanOf<Self> {
        decide::decide(policy, scope, seen, now)
    }

    fn achieved(action: &Action, world: &World) -> bool {
        action::achieved(action, world)
    }

    fn kind(action: &Action) -> &'static str {
        action.kind()
    }

    fn view(action: &Action) -> ActionView {
        action::view(action)
    }

    fn unit_limits(policy: &RotationPolicy, _: &str) -> UnitLimits {
        policy.unit_limits()
    }

    fn run_limits(policy: &RotationPolicy) -> RunLimits {
        RunLimits {
            max_actions: Some(policy.limits.max_deletes_per_run),
            reviewed_plan_may_exceed: policy.limits.reviewed_plan_may_exceed.clone(),
        }
    }
}

/// The scope of the manual form: `databases` for `rotate`, `resource_ids` for
/// `retire`, which cannot do without.
fn scope_by_hand(manual: &ManualEvent) -> Result<Scope, ScopeError> {
    if manual.operation.as_deref() == Some("retire") {
        let ids = names_in(manual, "resource_ids", "resource ids of databases")?;
        ids.map(Scope::Retire).ok_or_else(|| {
            ScopeError(
                "resource_ids: missing; allowed: a list of one or more resource ids of databases \
                 that are gone, such as db-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                    .to_owned(),
            )
        })
    } else {
        let names = names_in(manual, "databases", "identifiers of databases")?;
        Ok(names.map_or(Scope::Everything, Scope::Databases))
    }
}
