//! Lanes, passes, batches and their outcomes.

use steward::engine::Mode;
use steward::report::ActionOutcome::{Deferred, Done, Failed};
use steward::report::Status;

use crate::scripted::{Reply, Scripted, Stage, apply, outcomes, thing, why};
use crate::support::{Setting, policy, woken};

#[tokio::test]
async fn a_lane_goes_pass_by_pass_in_batches_of_what_one_call_takes() {
    let first = (0..4).map(|n| thing("a", format!("p0-{n}")).destroyed());
    let second = (0..2).map(|n| thing("a", format!("p1-{n}")).destroyed().pass(1));
    let stage = Stage::of(second.chain(first));
    apply(&stage, "").await;
    let batches = stage.batches.borrow();
    assert_eq!(
        *batches,
        [
            vec!["p0-0", "p0-1", "p0-2"],
            vec!["p0-3"],
            vec!["p1-0", "p1-1"]
        ]
    );
}

#[tokio::test]
async fn the_failure_of_one_lane_leaves_the_others_alone() {
    let lane = |unit: &str| {
        let name = |n| format!("{unit}{n}");
        [0, 1].map(|n| {
            thing(unit, name(n))
                .destroyed()
                .pass(n)
                .after_earlier_passes()
        })
    };
    let stage = Stage::of(["a", "b", "c"].iter().flat_map(|unit| lane(unit))).failing(&["b0"]);
    let report = apply(&stage, "").await;
    assert_eq!(report.status, Status::Partial);
    assert_eq!(stage.left(), ["b0", "b1"]);
    let ends = outcomes(&report);
    assert_eq!((ends["b0"], ends["b1"]), (Failed, Deferred));
}

#[tokio::test]
async fn more_lanes_than_run_side_by_side_all_get_their_turn() {
    let stage = Stage::of((0..50).map(|n| thing(&format!("u{n}"), format!("t{n}")).destroyed()));
    let report = apply(&stage, "").await;
    assert_eq!(report.summary.done, 50);
    assert_eq!(stage.batches.borrow().len(), 50);
}

#[tokio::test]
async fn a_batch_that_fails_as_a_whole_stops_its_lane() {
    let things = (0..9).map(|n| thing("a", format!("a{n}")).destroyed());
    let stage =
        Stage::of(things.chain([thing("b", "b0").destroyed()])).failing(&["a0", "a1", "a2"]);
    let report = apply(&stage, "").await;
    assert_eq!((report.summary.failed, report.summary.deferred), (3, 6));
    assert_eq!(
        why(&report, "a8"),
        "not reached: the batch before it failed as a whole"
    );
    assert_eq!(outcomes(&report)["b0"], Done);
}

#[tokio::test]
async fn a_batch_that_fails_in_part_does_not() {
    let stage =
        Stage::of((0..9).map(|n| thing("a", format!("a{n}")).destroyed())).failing(&["a0", "a1"]);
    let report = apply(&stage, "").await;
    assert_eq!((report.summary.failed, report.summary.done), (2, 7));
    assert_eq!(report.status, Status::Partial);
}

#[tokio::test]
async fn one_thing_that_always_fails_does_not_keep_its_lane_waiting_for_ever() {
    // The only index of a repository cannot be deleted. A batch of one says
    // nothing about the others where a call takes many.
    let stage = Stage::of([
        thing("a", "index").destroyed(),
        thing("a", "child").destroyed().pass(1).after(&["index"]),
        thing("a", "other").destroyed().pass(1),
    ])
    .failing(&["index"]);
    let report = apply(&stage, "").await;
    let ends = outcomes(&report);
    assert_eq!(
        (ends["index"], ends["child"], ends["other"]),
        (Failed, Deferred, Done)
    );
}

#[tokio::test]
async fn where_a_call_takes_one_its_failure_stops_the_lane() {
    let stage = Stage::of((0..3).map(|n| thing("a", format!("a{n}")).changed())).failing(&["a0"]);
    let setting = Setting::of(Mode::Apply);
    let request = woken::<Scripted<1>>(String::new());
    let run = setting
        .run::<Scripted<1>>(&stage, &policy(""), request)
        .await;
    let report = run.report;
    assert_eq!((report.summary.failed, report.summary.deferred), (1, 2));
    assert_eq!(report.status, Status::Failed);
}

#[tokio::test]
async fn an_action_without_an_outcome_has_failed() {
    let stage = Stage::of((0..6).map(|n| thing("a", format!("a{n}")).destroyed()));
    stage.reply.set(Reply::Short(2));
    let report = apply(&stage, "").await;
    assert_eq!((report.summary.done, report.summary.failed), (4, 2));
    assert!(why(&report, "a2").contains("no outcome"));
}

#[tokio::test]
async fn an_answer_without_any_outcome_stops_the_lane_too() {
    let stage = Stage::of((0..6).map(|n| thing("a", format!("a{n}")).destroyed()));
    stage.reply.set(Reply::Short(0));
    let report = apply(&stage, "").await;
    assert_eq!((report.summary.failed, report.summary.deferred), (3, 3));
    assert_eq!(report.status, Status::Failed);
    assert_eq!(stage.batches.borrow().len(), 1);
}
