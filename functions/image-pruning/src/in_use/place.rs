//! One account and Region: who uses images there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_config::SdkConfig;
use aws_sdk_ecs::types::ServiceRevision;
use aws_sdk_ecs::{self as ecs};
use aws_sdk_eventbridge as eventbridge;
use aws_sdk_lambda as lambda;
use aws_sdk_scheduler as scheduler;
use steward::aws::{self, Pace};
use tokio::sync::OnceCell;

use super::daemons::Revision;
use super::definitions::Containers;
use super::functions::FunctionImage;
use super::schedules::Starts;
use super::{AT_ONCE, Reading};
use crate::policy::InUse;

/// Calls about single things that are under way at once to one service of a
/// place, at the most; listings come on top, one per cluster and kind. ECS
/// throttles describes of task definitions soonest.
///
/// There is room for two kinds of things: the way to what a service can be
/// rolled back to is the longest of a run, and must not wait for the many task
/// definitions beside it.
const CALLS_AT_ONCE: usize = 2 * AT_ONCE;

/// Reads the users of images of one account and Region, and remembers what
/// cannot change: task definitions, complete revisions of services and daemons,
/// versions of Lambda functions, and schedules until they are modified.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) ecs: ecs::Client,
    pub(super) lambda: lambda::Client,
    pub(super) events: eventbridge::Client,
    pub(super) scheduler: scheduler::Client,
    pub(super) ecs_pace: Pace,
    pub(super) lambda_pace: Pace,
    pub(super) events_pace: Pace,
    pub(super) scheduler_pace: Pace,
    pub(super) definitions: Mutex<HashMap<String, Arc<OnceCell<Arc<Containers>>>>>,
    pub(super) revisions: Mutex<HashMap<String, Arc<ServiceRevision>>>,
    pub(super) daemon_revisions: Mutex<HashMap<String, Arc<Revision>>>,
    pub(super) functions: Mutex<HashMap<String, Arc<FunctionImage>>>,
    pub(super) schedules: Mutex<HashMap<String, Arc<Starts>>>,
}

impl Place {
    pub(super) fn new(config: &SdkConfig) -> Self {
        let pace = |service| Pace::new(aws::meter(), service, CALLS_AT_ONCE);
        Self {
            ecs: ecs::Client::new(config),
            lambda: lambda::Client::new(config),
            events: eventbridge::Client::new(config),
            scheduler: scheduler::Client::new(config),
            ecs_pace: pace("ecs"),
            lambda_pace: pace("lambda"),
            events_pace: pace("events"),
            scheduler_pace: pace("scheduler"),
            definitions: Mutex::default(),
            revisions: Mutex::default(),
            daemon_revisions: Mutex::default(),
            functions: Mutex::default(),
            schedules: Mutex::default(),
        }
    }

    /// Reads every user of images that there is.
    pub(super) async fn read(&self, settings: &InUse) -> Reading {
        let (clusters, definitions, functions) = futures::join!(
            self.clusters(settings),
            Box::pin(self.definitions(settings.revisions_per_family as usize)),
            self.functions(),
        );
        Reading::joined(vec![clusters, definitions, functions])
    }

    /// Task definitions: the newest of each family, and those that rules and
    /// schedules start tasks from. The newest come first, since rules and
    /// schedules mostly name these, and each is described once.
    async fn definitions(&self, revisions_per_family: usize) -> Reading {
        let ((families, newest), (rules, mut started), (schedules, by_schedules)) = futures::join!(
            self.families(revisions_per_family),
            self.rules(),
            self.schedules(),
        );
        started.extend(by_schedules);
        let started = self.started(started, &newest).await;
        Reading::joined(vec![families, rules, schedules, started])
    }
}
