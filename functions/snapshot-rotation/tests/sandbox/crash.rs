//! A run that is killed or whose calls fail at any point harms nothing, and
//! clean runs complete the work.

use std::collections::BTreeSet;

use steward::report::Status;
use steward_sandbox::faults::{
    Arranged, At, Call, Cut, Fault, FaultClient, calls_of_a_clean_run, in_turn, run_until_cut,
    survive, sweep_kinds, together,
};

use crate::scene::Scene;

async fn calls_of(scene: Scene) -> Vec<Call> {
    let arranged = Box::pin(scene.arrange()).await;
    Box::pin(calls_of_a_clean_run(&arranged)).await
}

/// The calls that this scene is for: a night meets the faults of what it reads
/// beside the databases.
async fn own_calls_of(scene: Scene) -> Vec<Call> {
    let mut calls = calls_of(scene).await;
    if !matches!(scene, Scene::Night) {
        let of_recordings = |call: &Call| {
            let services = ["ecs", "elasticloadbalancing", "application-autoscaling"];
            let groups = ["DescribeDBParameterGroups", "DescribeDBParameters"];
            services.contains(&call.service.as_str()) || groups.iter().any(|it| call.is(it))
        };
        calls.retain(|call| !of_recordings(call));
    }
    calls
}

/// Calls of every kind in turn meet every fault; then clean runs must end right.
async fn survives(scene: Scene, faults: &[Fault]) {
    let calls = own_calls_of(scene).await;
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
async fn empty_or_cut_answers_at_any_call_of_a_night_harm_nothing() {
    survives(Scene::Night, &[Fault::EmptyAnswer, Fault::TruncatedAnswer]).await;
}

/// Of operations that are called once, `each_operation_denied_for_some_runs_harms_nothing`
/// says the same.
#[tokio::test]
async fn one_of_several_calls_denied_harms_nothing() {
    for scene in [Scene::Night, Scene::Copies, Scene::Retiring] {
        let calls = own_calls_of(scene).await;
        let is_one_of_several = |cut: &Cut| {
            let same = |call: &&Call| call.is(&cut.call.action());
            calls.iter().filter(same).count() > 1
        };
        let cuts = sweep_kinds(&calls, &[Fault::Deny]).filter(is_one_of_several);
        let arrange = || Box::pin(scene.arrange());
        Box::pin(survive(arrange, in_turn(cuts))).await;
    }
}

#[tokio::test]
async fn empty_or_cut_answers_at_any_call_of_copying_harm_nothing() {
    let faults = [Fault::EmptyAnswer, Fault::TruncatedAnswer];
    survives(Scene::Copies, &faults).await;
}

#[tokio::test]
async fn empty_or_cut_answers_at_any_call_of_retiring_harm_nothing() {
    let faults = [Fault::EmptyAnswer, Fault::TruncatedAnswer];
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
        let trials = together(&own_calls_of(scene).await, &faults);
        let arrange = || Box::pin(scene.arrange());
        Box::pin(survive(arrange, trials)).await;
    }
}

#[tokio::test]
async fn each_operation_denied_for_some_runs_harms_nothing() {
    for (scene, least) in [
        (Scene::Night, 25),
        (Scene::Copies, 14),
        (Scene::Retiring, 6),
    ] {
        let calls = own_calls_of(scene).await;
        let operations: BTreeSet<String> = calls.iter().map(Call::action).collect();
        assert!(operations.len() >= least, "{operations:?}");
        for operation in operations {
            let arranged = Box::pin(scene.arrange()).await;
            let mut before = arranged.found().await;
            let client = FaultClient::new(arranged.account().http_client())
                .with(At::every(&operation), Fault::Deny);
            for run in 0..3 {
                let report = run_until_cut(&arranged, &client).await.unwrap();
                let after = arranged.found().await;
                arranged.assert_harmless(&before, &after, Some(&report), &operation);
                before = after;
                // Later runs may have no use for it.
                if run > 0 {
                    continue;
                }
                let text = serde_json::to_string(&report).unwrap();
                assert!(
                    text.contains(&operation),
                    "{operation} is not named: {text}"
                );
                let warned = report.warnings.iter().any(|it| it.contains(&operation));
                let good = [Status::Applied, Status::Waiting, Status::NothingToDo];
                assert!(
                    warned || !good.contains(&report.status),
                    "{operation}: {report:#?}"
                );
            }
            arranged.assert_completed(&operation).await;
        }
    }
}
