//! Deletes container images in Amazon ECR that nothing runs, can roll back to
//! or names, and tells for every image it keeps why it stays.
//!
//! It never deletes an image that is in use, or part of one, or about one; and
//! where a read that could have shown a use has failed, it deletes nothing that
//! the read could concern.

mod act;
mod action;
mod archive;
mod decide;
mod graph;
mod in_use;
mod lifecycle;
mod observe;
mod outsiders;
mod permissions;
mod policy;
mod reason;
mod reference;
mod world;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use steward::engine::{
    ActionView, Function, PlanOf, RunLimits, ScopeError, Seen, UnitLimits, names_in,
};
use steward::event::{EcrImageAction, EcrResult, Event};

pub use crate::action::{ACTION_KINDS, Action, Removal};
pub use crate::observe::Registry;
pub use crate::permissions::{BEHIND_CALLS, PERMISSIONS, asked_for};
pub use crate::policy::{
    ARCHIVED_AT_LEAST, Elsewhere, InUse, Limits, NEVER_SOONER_THAN, Override, PULLS_TELL_AFTER,
    PruningPolicy, RemoveBy, Retention, Tags,
};
pub use crate::reason::{REASON_CODES, Reason};
pub use crate::world::{
    Digest, Image, Outsider, Pin, Repository, Storage, Use, User, UserKind, World,
};

/// image-pruning, for the engine.
#[derive(Debug)]
pub struct ImagePruning;

/// Which of the selected repositories a run is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All that the policy selects.
    Everything,
    /// Only these, as far as the policy selects them.
    Repositories(Vec<String>),
}

impl Function for ImagePruning {
    const NAME: &'static str = "image-pruning";
    const OPERATIONS: &'static [&'static str] = &["prune"];
    /// `BatchDeleteImage` takes 100 image ids (Amazon ECR API Reference).
    const BATCH: usize = 100;
    type Policy = PruningPolicy;
    type Scope = Scope;
    type World = World;
    type Action = Action;
    type Reason = Reason;

    fn scope(event: &Event) -> Result<Scope, ScopeError> {
        match event {
            Event::Schedule(_) => Ok(Scope::Everything),
            // A push is work; what a prune itself causes must not wake the
            // next one, past the limits of a run.
            Event::EcrImage(image) => Ok(Scope::Repositories(
                (image.action == EcrImageAction::Push && image.result == Some(EcrResult::Success))
                    .then(|| image.repository.clone())
                    .into_iter()
                    .collect(),
            )),
            Event::Manual(manual) => {
                let names = names_in(manual, "repositories", "repository names")?;
                Ok(names.map_or(Scope::Everything, Scope::Repositories))
            }
            other => Err(ScopeError(format!(
                "image-pruning does not take {} events; allowed: schedules, ECR Image Action, and \
                 the manual form {{\"operation\":\"prune\",\"mode\":\"plan\"}}",
                other.kind()
            ))),
        }
    }

    fn decide(
        policy: &PruningPolicy,
        _: &Scope,
        seen: &Seen<World>,
        now: Timestamp,
    ) -> PlanOf<Self> {
        decide::decide(policy, seen, now)
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

    fn unit_limits(policy: &PruningPolicy, repository: &str) -> UnitLimits {
        policy.limits_of(repository)
    }

    fn run_limits(policy: &PruningPolicy) -> RunLimits {
        RunLimits {
            max_actions: Some(policy.limits.max_deletes_per_run),
            reviewed_plan_may_exceed: policy.limits.reviewed_plan_may_exceed.clone(),
        }
    }
}
