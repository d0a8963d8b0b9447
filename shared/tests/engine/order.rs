//! What must come after what.

use steward::report::ActionOutcome::{Deferred, Done, Failed, Skipped};
use steward::report::Status;

use steward::engine::Outcome;

use crate::scripted::{Stage, apply, outcomes, thing, why};

#[tokio::test]
async fn a_change_waits_for_a_target_that_stays() {
    let stage = Stage::of([
        thing("a", "index"),
        thing("a", "child").destroyed().pass(1).after(&["index"]),
        thing("a", "grandchild")
            .destroyed()
            .pass(2)
            .after(&["child"]),
        thing("a", "other").destroyed().pass(2),
    ]);
    let report = apply(&stage, "").await;
    assert_eq!(stage.touched(), ["other"]);
    assert_eq!(why(&report, "child"), "must come after index, which stays");
    assert_eq!(
        why(&report, "grandchild"),
        "must come after child, which stays"
    );
}

#[tokio::test]
async fn a_target_that_no_longer_exists_is_no_obstacle() {
    let stage = Stage::of([thing("a", "child").destroyed().pass(1).after(&["gone"])]);
    assert_eq!(apply(&stage, "").await.status, Status::Applied);
}

#[tokio::test]
async fn a_failure_defers_only_what_must_come_after_it() {
    let stage = Stage::of([
        thing("a", "index1").destroyed(),
        thing("a", "index2").destroyed(),
        thing("a", "child1").destroyed().pass(1).after(&["index1"]),
        thing("a", "child2").destroyed().pass(1).after(&["index2"]),
        thing("a", "both")
            .destroyed()
            .pass(1)
            .after(&["index2", "index1"]),
        thing("a", "grandchild1")
            .destroyed()
            .pass(2)
            .after(&["child1"]),
        thing("a", "free").destroyed().pass(2),
    ])
    .failing(&["index1"]);
    let report = apply(&stage, "").await;
    assert_eq!(report.status, Status::Partial);
    let ends = outcomes(&report);
    assert_eq!((ends["index1"], ends["index2"]), (Failed, Done));
    assert_eq!((ends["child1"], ends["child2"]), (Deferred, Done));
    assert_eq!(
        (ends["both"], ends["grandchild1"], ends["free"]),
        (Deferred, Deferred, Done)
    );
    assert!(why(&report, "grandchild1").contains("child1, which was not done"));
}

#[tokio::test]
async fn what_was_skipped_was_not_done() {
    let stage = Stage::of([
        thing("a", "index").destroyed(),
        thing("a", "other").destroyed(),
        thing("a", "child").destroyed().pass(1).after(&["index"]),
    ]);
    stage.ending("index", Outcome::Skipped("it is in use by now".to_owned()));
    let report = apply(&stage, "").await;
    let ends = outcomes(&report);
    assert_eq!(
        (ends["index"], ends["other"], ends["child"]),
        (Skipped, Done, Deferred)
    );
}

#[tokio::test]
async fn what_was_so_already_is_no_obstacle() {
    let stage = Stage::of([
        thing("a", "index").destroyed(),
        thing("a", "child").destroyed().pass(1).after(&["index"]),
    ]);
    stage.ending("index", Outcome::AlreadyDone);
    assert_eq!(apply(&stage, "").await.status, Status::Applied);
}

#[tokio::test]
async fn steps_after_earlier_passes_wait_for_all_of_them() {
    let stage = Stage::of([
        thing("a", "one").changed(),
        thing("a", "two").changed(),
        thing("a", "three").changed().pass(1).after_earlier_passes(),
        thing("a", "four").changed().pass(2).after_earlier_passes(),
        thing("a", "free").changed().pass(2),
        thing("b", "elsewhere")
            .changed()
            .pass(9)
            .after_earlier_passes(),
    ])
    .failing(&["two"]);
    let report = apply(&stage, "").await;
    let ends = outcomes(&report);
    assert_eq!((ends["three"], ends["four"]), (Deferred, Deferred));
    assert_eq!((ends["free"], ends["elsewhere"]), (Done, Done));
    assert_eq!(why(&report, "three"), "not reached: an earlier step failed");
}

#[tokio::test]
async fn steps_after_earlier_passes_wait_for_one_that_a_limit_holds_back() {
    let stage = Stage::of([
        thing("a", "save").changed().since(crate::support::day(9)),
        thing("a", "lower")
            .changed()
            .since(crate::support::day(1))
            .pass(1)
            .after_earlier_passes(),
    ]);
    for order in [["save"].as_slice(), &["save", "lower"]] {
        apply(&stage, "max_actions_per_run: 1").await;
        assert_eq!(stage.touched(), order);
    }

    let stage = Stage::of([
        thing("a", "save").changed(),
        thing("a", "lower")
            .changed()
            .lane("a")
            .pass(1)
            .after_earlier_passes(),
        thing("b", "restores")
            .restored()
            .lane("a")
            .pass(2)
            .after_earlier_passes(),
    ]);
    let report = apply(&stage, "max_actions_per_unit: 0").await;
    assert!(
        stage.touched().is_empty(),
        "a step was taken without the one before it"
    );
    assert_eq!(
        why(&report, "restores"),
        "must come after save, which stays"
    );
}

#[tokio::test]
async fn a_change_that_must_come_after_one_in_another_lane_waits_for_the_next_run() {
    // Lanes run side by side, so that their order within a run is nobody's.
    let stage = Stage::of([
        thing("a", "first").destroyed(),
        thing("b", "second").destroyed().pass(1).after(&["first"]),
    ]);
    let report = apply(&stage, "").await;
    assert_eq!(stage.touched(), ["first"]);
    assert!(why(&report, "second").contains("first"), "{report:?}");
    apply(&stage, "").await;
    assert_eq!(stage.touched(), ["first", "second"]);
}

#[tokio::test]
async fn a_change_never_shares_a_pass_with_what_it_must_come_after() {
    let stage = Stage::of([
        thing("a", "second").destroyed().after(&["first"]),
        thing("a", "first").destroyed(),
    ]);
    apply(&stage, "").await;
    assert_eq!(stage.touched(), ["first"]);
    apply(&stage, "").await;
    assert_eq!(stage.touched(), ["first", "second"]);
}
