//! The backstop behind every `decide`: nothing is destroyed that a failed read
//! could have protected.

use steward::engine::{Gap, Hides};
use steward::report::{ActionOutcome, Status};

use crate::scripted::{Stage, apply, outcomes, thing, why};

fn gap(hides: Hides) -> Gap {
    Gap {
        read: "ecs:DescribeTasks in cluster web failed: AccessDeniedException".to_owned(),
        hides,
        grant: "ecs:DescribeTasks".to_owned(),
    }
}

fn two_units() -> Vec<crate::scripted::Thing> {
    vec![
        thing("a", "a1").destroyed(),
        thing("a", "a2").changed(),
        thing("a", "a3").restored(),
        thing("b", "b1").destroyed(),
    ]
}

#[tokio::test]
async fn a_decision_that_ignores_gaps_still_destroys_nothing() {
    let stage = Stage::of(two_units());
    stage.gaps.borrow_mut().push(gap(Hides::Everything));
    let report = apply(&stage, "").await;

    assert_eq!(
        stage.left(),
        ["a1", "b1"],
        "changes that can be undone go on"
    );
    assert_eq!(report.status, Status::Partial);
    let refused: Vec<_> = report
        .refusals
        .iter()
        .map(|r| (&*r.guard, &*r.unit))
        .collect();
    assert_eq!(
        refused,
        [
            ("incomplete_observation", "a"),
            ("incomplete_observation", "b")
        ]
    );
    assert!(
        report.refusals[0]
            .detail
            .contains("ecs:DescribeTasks in cluster web")
    );
    assert_eq!(report.gaps[0].grant, "ecs:DescribeTasks");
    assert_eq!(why(&report, "a1"), "held back by incomplete_observation");
}

#[tokio::test]
async fn a_gap_over_some_units_blocks_only_these() {
    let stage = Stage::of(two_units());
    stage.gaps.borrow_mut().push(gap(Hides::unit("a")));
    let report = apply(&stage, "").await;
    assert_eq!(stage.left(), ["a1"]);
    assert_eq!(report.status, Status::Partial);
    assert_eq!(outcomes(&report)["b1"], ActionOutcome::Done);
    assert_eq!(report.refusals.len(), 1);
}

#[tokio::test]
async fn what_the_function_itself_defers_because_of_a_gap_is_a_refusal_too() {
    let stage = Stage::of([thing("a", "a1").deferred(), thing("b", "b1").deferred()]);
    stage.gaps.borrow_mut().push(gap(Hides::unit("a")));
    let report = apply(&stage, "").await;
    let units: Vec<_> = report.refusals.iter().map(|r| &*r.unit).collect();
    assert_eq!(units, ["a"]);
    assert_eq!(report.status, Status::Refused);
}

#[tokio::test]
async fn a_run_that_could_see_nothing_does_not_say_that_there_is_nothing_to_do() {
    let stage = Stage::of([]);
    stage.gaps.borrow_mut().push(gap(Hides::Everything));
    let report = apply(&stage, "").await;
    assert_eq!(report.status, Status::Refused);
    assert_eq!(report.refusals[0].guard, "incomplete_observation");
    assert_eq!(report.refusals[0].unit, "everything");
}

#[tokio::test]
async fn a_unit_that_could_not_be_listed_is_refused_by_its_name() {
    let stage = Stage::of([thing("b", "b1").destroyed()]);
    stage.gaps.borrow_mut().push(gap(Hides::unit("a")));
    let report = apply(&stage, "").await;
    assert_eq!(report.status, Status::Partial);
    assert_eq!(report.refusals[0].unit, "a");
    assert!(stage.left().is_empty());
}

#[tokio::test]
async fn a_gap_over_things_that_stay_is_never_silent() {
    let stage = Stage::of([thing("a", "a1"), thing("b", "b1").destroyed()]);
    stage.gaps.borrow_mut().push(gap(Hides::unit("a")));
    let report = apply(&stage, "").await;
    assert_eq!(report.status, Status::Partial);
    assert_eq!(report.refusals[0].unit, "a");
    assert_eq!(stage.left(), ["a1"]);
}
