//! A run that is killed or whose calls fail at any point does no harm and nothing twice,
//! and clean runs complete the work: what was raised is taken back, cases are closed.

use std::collections::BTreeMap;

use alarm_remediation::AlarmRemediation;
use aws_config::SdkConfig;
use serde_json::{Value, json};
use steward::report::Report;
use steward::run::Run;
use steward_sandbox::faults::{
    Arranged, Call, Fault, calls_of_a_clean_run, in_turn, survive, sweep_kinds, together,
};
use steward_sandbox::{Account, Alarm, Trouble, TroubleKind};

use crate::shop::open_cases;
use crate::stage::{EVERYTHING, Stage};

/// Which run meets the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// A busy service is raised.
    Busy,
    /// That is taken back.
    Over,
    /// A bad deployment is stopped.
    Deployment,
}

struct InScene {
    scene: Scene,
    stage: Stage,
    alarm: Alarm,
}

impl Scene {
    async fn arrange(self) -> InScene {
        let stage = Stage::new().await;
        let alarm = match self {
            Self::Busy | Self::Over => stage.web.alarm("web-cpu", "CPUUtilization", &[]).await,
            Self::Deployment => Ok(stage.of_targets("web-unwell", "UnHealthyHostCount").await),
        };
        let alarm = alarm.unwrap();
        if self == Self::Deployment {
            let broken = Trouble {
                kind: TroubleKind::Start,
                ..Trouble::default()
            };
            stage.web.deploy_broken(broken).await.unwrap();
        }
        alarm.ring().await.unwrap();
        if self == Self::Over {
            stage.on(&alarm).await;
            alarm.calm().await.unwrap();
            stage.tick().await;
            stage.minutes_later(61);
        }
        InScene {
            scene: self,
            stage,
            alarm,
        }
    }
}

impl InScene {
    fn event(&self) -> Value {
        match self.scene {
            Scene::Over => json!({}),
            _ => json!({"operation": "remediate", "alarms": [self.alarm.name()]}),
        }
    }

    async fn least(&self) -> i32 {
        let target = self.stage.web.scalable_target().await.unwrap();
        target.unwrap().min_capacity()
    }

    /// The names of its successful, failed and other deployments, the newest first.
    async fn status(&self) -> String {
        let ecs = self.stage.account.ecs();
        let listed = ecs.list_service_deployments().cluster("dev").service("web");
        let mut all = listed.send().await.unwrap().service_deployments.unwrap();
        all.sort_by_key(|one| std::cmp::Reverse(one.created_at().map(|at| at.secs())));
        let status = all.iter().find_map(|one| {
            let status = one.status()?.as_str();
            (status != "SUCCESSFUL").then(|| status.to_owned())
        });
        status.unwrap_or_default()
    }

    /// Whether what the alarm asks for is done.
    async fn is_done(&self) -> bool {
        match self.scene {
            Scene::Busy => self.least().await == 6,
            Scene::Over => true,
            Scene::Deployment => self.status().await.starts_with("ROLLBACK"),
        }
    }
}

impl Arranged for InScene {
    type Function = AlarmRemediation;
    /// The bounds of the service, how much is asked for, and how its deployment is.
    type Found = BTreeMap<&'static str, String>;

    fn account(&self) -> &Account {
        &self.stage.account
    }

    async fn run(&self, config: SdkConfig) -> Run<AlarmRemediation> {
        self.stage.run_as(config, EVERYTHING, self.event()).await
    }

    async fn found(&self) -> Self::Found {
        let target = self.stage.web.scalable_target().await.unwrap().unwrap();
        let asked = self.stage.web.counts().await.unwrap().0;
        [
            ("min", target.min_capacity().to_string()),
            ("max", target.max_capacity().to_string()),
            ("asked", asked.to_string()),
            ("deployment", self.status().await),
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
        assert_eq!(after["max"], "10", "{told}: {after:?}");
        let min = after["min"].as_str();
        let asked = after["asked"].as_str();
        match self.scene {
            Scene::Busy | Scene::Over => {
                assert!(["2", "6"].contains(&min), "{told}: {after:?}");
                assert!(["4", "6"].contains(&asked), "{told}: {after:?}");
                assert_eq!(after["deployment"], before["deployment"], "{told}");
            }
            Scene::Deployment => {
                assert_eq!((min, asked), ("2", "4"), "{told}: {after:?}");
                let status = after["deployment"].as_str();
                assert!(
                    status == "IN_PROGRESS" || status.starts_with("ROLLBACK"),
                    "{told}: {after:?}"
                );
            }
        }
    }

    async fn assert_completed(&self, told: &str) {
        let stage = &self.stage;
        // The lease of a run that is gone expires, and the target cools down. What was
        // tried counts, so that there is one more time.
        for _ in 0..3 {
            if self.is_done().await {
                break;
            }
            stage.minutes_later(16);
            stage.run(EVERYTHING, self.event()).await;
        }
        assert!(self.is_done().await, "{told}");
        stage.account.control().settle().await.unwrap();
        self.alarm.calm().await.unwrap();
        for _ in 0..8 {
            stage.minutes_later(16);
            stage.tick().await;
        }
        assert_eq!(self.least().await, 2, "{told}");
        let raises = stage.remembered("raises").await;
        assert_eq!(raises, Vec::<String>::new(), "{told}");
        let open = open_cases(&stage.account).await;
        assert_eq!(open, Vec::<String>::new(), "{told}");
    }
}

async fn calls_of(scene: Scene) -> Vec<Call> {
    let arranged = Box::pin(scene.arrange()).await;
    Box::pin(calls_of_a_clean_run(&arranged)).await
}

/// Calls of every kind in turn meet every fault; then clean runs must end right.
async fn survives(scenes: &[Scene], faults: &[Fault]) {
    for scene in scenes {
        let arrange = || Box::pin(scene.arrange());
        let calls = calls_of(*scene).await;
        Box::pin(survive(arrange, in_turn(sweep_kinds(&calls, faults)))).await;
    }
}

#[tokio::test]
async fn a_raise_that_is_killed_at_any_kind_of_call_is_completed_and_taken_back_later() {
    survives(&[Scene::Busy], &[Fault::CutBefore, Fault::CutAfter]).await;
}

#[tokio::test]
async fn taking_a_raise_back_that_is_killed_at_any_kind_of_call_is_completed_later() {
    survives(&[Scene::Over], &[Fault::CutBefore, Fault::CutAfter]).await;
}

#[tokio::test]
async fn a_stop_that_is_killed_at_any_kind_of_call_is_completed_later() {
    survives(&[Scene::Deployment], &[Fault::CutBefore, Fault::CutAfter]).await;
}

#[tokio::test]
async fn empty_cut_or_denied_answers_harm_nothing() {
    let faults = [Fault::EmptyAnswer, Fault::TruncatedAnswer, Fault::Deny];
    survives(&[Scene::Busy], &faults).await;
}

#[tokio::test]
async fn throttled_broken_or_unanswered_at_any_call_it_tries_again() {
    for scene in [Scene::Busy, Scene::Over, Scene::Deployment] {
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
