//! Does what was decided about alarms. This file and its folder are all that changes AWS.
//!
//! What is about to be done is written down before it is: the try, which bounds the next,
//! and the case, which has it looked at what came of it. A run that is killed in between
//! has used a try, and a later one finds out that nothing has helped.

mod capacity;
mod databases;
pub(crate) mod memory;
mod services;

use std::sync::PoisonError;

use steward::engine::{Act, Outcome};

use crate::AlarmRemediation;
use crate::action::{Action, Remedy};
use crate::observe::{Alarms, Unread};
use crate::policy::RemediationPolicy;

/// An outcome that ends an action early.
type Early<T> = Result<T, Outcome>;

fn failed(call: &str, why: &str) -> Outcome {
    Outcome::Failed(format!("{call}: {why}"))
}

/// What could not be checked before acting.
fn unchecked(unread: &Unread) -> Outcome {
    failed(
        "the check before acting, nothing was done",
        &unread.to_string(),
    )
}

impl Act<AlarmRemediation> for Alarms {
    async fn act(&self, policy: &RemediationPolicy, batch: &[Action]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for action in batch {
            let ended = Box::pin(self.one(policy, action)).await;
            outcomes.push(ended.unwrap_or_else(|early| early));
        }
        outcomes
    }

    async fn finish(&self) -> Vec<String> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Alarms {
    async fn one(&self, policy: &RemediationPolicy, action: &Action) -> Early<Outcome> {
        match action {
            Action::Note(note) => self.note(note).await,
            Action::Remedy(remedying) => self.remedy(policy, remedying).await,
            Action::TakeBack(back) => self.take_back(back).await,
        }
    }

    /// Whether a remedy is still to be done; `Err` says why not, or that it is.
    async fn check(&self, remedy: &Remedy) -> Early<()> {
        match remedy {
            Remedy::RaiseService(it) => self.check_raise(it).await,
            Remedy::StopDeployment(it) => self.check_stop(it).await,
            Remedy::RollBack(it) => self.check_roll_back(it).await,
            Remedy::ReplaceTasks(it) => {
                self.check_service(&it.cluster, &it.service).await.map(drop)
            }
            Remedy::RaiseGroup(it) => self.check_raise_group(it).await,
            Remedy::DrainInstance(it) => self.check_instance(it, "ACTIVE", "DRAINING").await,
            Remedy::UseInstance(it) => self.check_instance(it, "DRAINING", "ACTIVE").await,
            Remedy::ReplaceInstance(it) => self.check_member(it).await,
            Remedy::GrowStorage(it) => self.check_storage(it).await,
            Remedy::ChangeClass(it) => self.check_class(it).await,
        }
    }

    /// Does it.
    async fn make(&self, remedy: &Remedy) -> Early<()> {
        match remedy {
            Remedy::RaiseService(it) => self.raise_service(it).await,
            Remedy::StopDeployment(it) => self.stop_deployment(it).await,
            Remedy::RollBack(it) => self.roll_back(it).await,
            Remedy::ReplaceTasks(it) => self.replace_tasks(it).await,
            Remedy::RaiseGroup(it) => self.raise_group(it).await,
            Remedy::DrainInstance(it) => self.set_status(it, "DRAINING").await,
            Remedy::UseInstance(it) => self.set_status(it, "ACTIVE").await,
            Remedy::ReplaceInstance(it) => self.replace_instance(it).await,
            Remedy::GrowStorage(it) => self.grow_storage(it).await,
            Remedy::ChangeClass(it) => self.change_class(it).await,
        }
    }
}
