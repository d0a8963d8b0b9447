//! A run that is killed or whose calls fail at any point harms nothing, and
//! clean runs complete the work.

use std::collections::BTreeSet;

use steward::report::Status;
use steward_sandbox::faults::{
    Arranged, At, Call, Fault, FaultClient, calls_of_a_clean_run, in_turn, run_until_cut, survive,
    sweep_kinds, together,
};

use crate::scene::Scene;

async fn calls_of(scene: Scene) -> Vec<Call> {
    let arranged = Box::pin(scene.arrange()).await;
    Box::pin(calls_of_a_clean_run(&arranged)).await
}

/// Calls of every kind in turn meet every fault; then clean runs must end right.
async fn survives(scene: Scene, faults: &[Fault]) {
    let calls = calls_of(scene).await;
    let arrange = || Box::pin(scene.arrange());
    Box::pin(survive(arrange, in_turn(sweep_kinds(&calls, faults)))).await;
}

const KILLS: [Fault; 2] = [Fault::CutBefore, Fault::CutAfter];

#[tokio::test]
async fn a_night_that_is_killed_at_any_call_is_completed_by_the_next_runs() {
    survives(Scene::Night, &KILLS).await;
}

#[tokio::test]
async fn copying_that_is_killed_at_any_call_is_completed_by_the_next_runs() {
    survives(Scene::Copies, &KILLS).await;
}

#[tokio::test]
async fn retiring_that_is_killed_at_any_call_is_completed_by_the_next_runs() {
    survives(Scene::Retiring, &KILLS).await;
}

#[tokio::test]
async fn denied_or_broken_at_any_call_a_night_harms_nothing() {
    survives(Scene::Night, &[Fault::Deny]).await;
}

#[tokio::test]
async fn empty_or_cut_answers_at_any_call_of_a_night_harm_nothing() {
    survives(Scene::Night, &[Fault::EmptyAnswer, Fault::TruncatedAnswer]).await;
}

#[tokio::test]
async fn denied_at_any_call_copying_harms_nothing() {
    survives(Scene::Copies, &[Fault::Deny]).await;
}

#[tokio::test]
async fn empty_or_cut_answers_at_any_call_of_copying_harm_nothing() {
    let faults = [Fault::EmptyAnswer, Fault::TruncatedAnswer];
    survives(Scene::Copies, &faults).await;
}

#[tokio::test]
async fn retiring_whose_calls_fail_harms_nothing() {
    let faults = [Fault::Deny, Fault::EmptyAnswer, Fault::TruncatedAnswer];
    survives(Scene::Retiring, &faults).await;
}

#[tokio::test]
async fn throttled_broken_or_unanswered_at_any_call_it_tries_again() {
    for scene in [Scene::Night, Scene::Copies, Scene::Retiring] {
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
