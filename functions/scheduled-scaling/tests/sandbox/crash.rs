//! A run that is killed or whose calls fail at any point loses no size, and clean runs
//! complete the work.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use scheduled_scaling::ScheduledScaling;
use serde_json::json;
use steward::engine::Mode;
use steward::report::Report;
use steward::run::Run;
use steward_sandbox::Account;
use steward_sandbox::faults::{
    Arranged, Call, Fault, calls_of_a_clean_run, in_turn, survive, sweep_kinds, together,
};

use crate::stage::{CAPACITY, DAILY, EVENING, MORNING, Stage};

/// Which run meets the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// Services go to sleep.
    Services,
    /// Capacity goes to sleep.
    Capacity,
    /// The database goes to sleep.
    Database,
    /// The database wakes.
    Morning,
    /// Capacity wakes.
    Instances,
    /// Services wake.
    Serving,
}

const EVENINGS: [Scene; 3] = [Scene::Services, Scene::Capacity, Scene::Database];
const MORNINGS: [Scene; 3] = [Scene::Morning, Scene::Instances, Scene::Serving];

struct InScene {
    scene: Scene,
    stage: Stage,
}

impl Scene {
    fn is_evening(self) -> bool {
        EVENINGS.contains(&self)
    }

    async fn arrange(self) -> InScene {
        let stage = Stage::new().await;
        if !self.is_evening() {
            stage.go_to(EVENING);
            stage.settle(DAILY).await;
        }
        stage.go_to(if self.is_evening() { EVENING } else { MORNING });
        let before = match self {
            Self::Services | Self::Morning => 0,
            Self::Capacity | Self::Instances => 1,
            Self::Database | Self::Serving => 2,
        };
        for _ in 0..before {
            stage.tick(DAILY).await;
            stage.account.control().settle().await.unwrap();
            stage.minutes_later(5);
        }
        InScene { scene: self, stage }
    }
}

impl Arranged for InScene {
    type Function = ScheduledScaling;
    /// How much is asked for of everything, and the state of the database.
    type Found = BTreeMap<&'static str, String>;

    fn account(&self) -> &Account {
        &self.stage.account
    }

    async fn run(&self, config: SdkConfig) -> Run<ScheduledScaling> {
        self.stage
            .run_as(config, DAILY, Mode::Apply, json!({}))
            .await
    }

    async fn found(&self) -> Self::Found {
        let stage = &self.stage;
        let target = stage.web.scalable_target().await.unwrap().unwrap();
        let bounds = format!("{}..{}", target.min_capacity(), target.max_capacity());
        [
            ("web", stage.web.counts().await.unwrap().0.to_string()),
            ("worker", stage.worker.counts().await.unwrap().0.to_string()),
            ("bounds", bounds),
            ("group", format!("{:?}", stage.group.sizes().await.unwrap())),
            ("database", stage.database.status().await.unwrap()),
        ]
        .into()
    }

    fn assert_harmless(
        &self,
        before: &Self::Found,
        after: &Self::Found,
        _: Option<&Report>,
        told: &str,
    ) {
        // The database never stops before services and capacity sleep, and these never
        // wake before it.
        let is = |key: &str, value: &str| after[key] == value;
        if is("database", "stopping") || is("database", "stopped") {
            assert!(is("web", "0") && is("worker", "0"), "{told}: {after:?}");
        }
        let max = format!("max: {}", CAPACITY.max);
        assert!(after["group"].contains(&max), "{told}: {after:?}");
        // Only what this run is about has changed.
        let may = match self.scene {
            Scene::Services | Scene::Serving => ["web", "worker", "bounds"].as_slice(),
            Scene::Capacity | Scene::Instances => ["group"].as_slice(),
            Scene::Database | Scene::Morning => ["database"].as_slice(),
        };
        for (key, value) in before {
            assert!(
                may.contains(key) || after[key] == *value,
                "{told}: {key}: {after:?}"
            );
        }
    }

    async fn assert_completed(&self, told: &str) {
        // The lease of a run that is gone expires.
        self.stage.minutes_later(5);
        self.stage.settle(DAILY).await;
        if self.scene.is_evening() {
            self.stage.assert_asleep(told).await;
        } else {
            self.stage.assert_awake(told).await;
        }
    }
}

/// Calls of every kind in turn meet every fault; then clean runs must end right.
async fn survives(scenes: &[Scene], faults: &[Fault]) {
    for scene in scenes {
        let arrange = || Box::pin(scene.arrange());
        let calls = calls_of(*scene).await;
        Box::pin(survive(arrange, in_turn(sweep_kinds(&calls, faults)))).await;
    }
}

async fn calls_of(scene: Scene) -> Vec<Call> {
    let arranged = Box::pin(scene.arrange()).await;
    Box::pin(calls_of_a_clean_run(&arranged)).await
}

#[tokio::test]
async fn an_evening_that_is_killed_at_any_kind_of_call_is_completed_by_the_next_runs() {
    survives(&EVENINGS, &[Fault::CutBefore, Fault::CutAfter]).await;
}

#[tokio::test]
async fn a_morning_that_is_killed_at_any_kind_of_call_is_completed_by_the_next_runs() {
    survives(&MORNINGS, &[Fault::CutBefore, Fault::CutAfter]).await;
}

/// Those two runs together make every kind of call.
#[tokio::test]
async fn empty_cut_or_denied_answers_harm_nothing() {
    let faults = [Fault::EmptyAnswer, Fault::TruncatedAnswer, Fault::Deny];
    survives(&[Scene::Services, Scene::Instances], &faults).await;
}

#[tokio::test]
async fn throttled_broken_or_unanswered_at_any_call_it_tries_again() {
    for scene in EVENINGS.into_iter().chain(MORNINGS) {
        let faults = [
            Fault::Throttle,
            Fault::LostAnswer,
            Fault::error(500, "InternalFailure"),
        ];
        let trials = together(&calls_of(scene).await, &faults);
        let arrange = || Box::pin(scene.arrange());
        Box::pin(survive(arrange, trials)).await;
    }
}
