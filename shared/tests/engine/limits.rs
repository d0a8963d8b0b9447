//! Counts, shares, floors and the ceiling of a run.

use steward::engine::Effect;
use steward::report::{ActionOutcome, Report, Status};

use crate::scripted::{Stage, Thing, apply, outcomes, thing, why};
use crate::support::day;

fn refusals(report: &Report) -> Vec<(&str, &str)> {
    let pairs = report.refusals.iter().map(|r| (&*r.guard, &*r.unit));
    pairs.collect()
}

/// `count` things of a unit to be destroyed, the youngest first.
fn many(unit: &str, count: i64) -> impl Iterator<Item = Thing> {
    let one = move |n| thing(unit, format!("{unit}{n:02}"));
    (0..count).map(move |n| one(n).destroyed().since(day(100 - n)))
}

#[tokio::test]
async fn a_count_lets_the_oldest_go_first_and_the_rest_later() {
    let stage = Stage::of(many("a", 5).chain([thing("a", "ageless").destroyed()]));
    let report = apply(&stage, "max_actions_per_unit: 2").await;
    assert_eq!(stage.left(), ["a00", "a01", "a02", "ageless"]);
    assert_eq!(why(&report, "a00"), "held back by max_actions_per_unit");
    assert!(report.refusals.is_empty(), "a count is no refusal");
    assert_eq!(report.status, Status::Applied);

    apply(&stage, "max_actions_per_unit: 2").await;
    apply(&stage, "max_actions_per_unit: 2").await;
    assert!(stage.left().is_empty());
}

#[tokio::test]
async fn under_a_count_what_must_come_first_goes_first_even_when_it_is_younger() {
    // Pushing an image index pushes its children before it, so that they are
    // older than what they must come after.
    let stage = Stage::of([
        thing("a", "child")
            .destroyed()
            .since(day(1))
            .pass(1)
            .after(&["index"]),
        thing("a", "index").destroyed().since(day(2)),
        thing("a", "other").destroyed().since(day(3)),
    ]);
    let report = apply(&stage, "max_actions_per_unit: 1").await;
    assert_eq!(stage.touched(), ["index"]);
    assert_eq!(outcomes(&report)["child"], ActionOutcome::Deferred);
    apply(&stage, "max_actions_per_unit: 1").await;
    assert_eq!(stage.touched(), ["index", "child"]);
}

#[tokio::test]
async fn what_cannot_go_takes_no_place_under_a_count() {
    let stage = Stage::of([
        thing("a", "index"),
        thing("a", "child")
            .destroyed()
            .since(day(1))
            .pass(1)
            .after(&["index"]),
        thing("a", "other").destroyed().since(day(3)),
    ]);
    apply(&stage, "max_actions_per_unit: 1").await;
    assert_eq!(stage.touched(), ["other"]);
}

#[tokio::test]
async fn the_ceiling_of_a_run_counts_all_units_together() {
    let stage = Stage::of(many("a", 3).chain(many("b", 3)));
    let report = apply(&stage, "max_actions_per_unit: 2\nmax_actions_per_run: 3").await;
    assert_eq!(report.summary.done, 3);
    assert_eq!(stage.left(), ["a00", "b00", "b01"]);
    assert_eq!(why(&report, "a00"), "held back by max_actions_per_unit");
    assert_eq!(why(&report, "b01"), "held back by max_actions_per_run");
}

#[tokio::test]
async fn a_share_refuses_its_unit_and_no_other() {
    let stays = (0..9).map(|n| thing("a", format!("stays{n}")));
    let stage = Stage::of(many("a", 11).chain(stays).chain(many("b", 3)));
    let report = apply(&stage, "max_share_percent: 50").await;
    assert_eq!(refusals(&report), [("max_share_percent", "a")]);
    assert!(
        report.refusals[0].detail.contains("11 of 20 (55 %)"),
        "{report:?}"
    );
    assert_eq!(report.status, Status::Partial);
    assert_eq!(report.summary.done, 3);
}

#[tokio::test]
async fn a_share_of_exactly_the_limit_passes() {
    let stays = (0..11).map(|n| thing("a", format!("stays{n}")));
    let stage = Stage::of(many("a", 11).chain(stays));
    let report = apply(&stage, "max_share_percent: 50").await;
    assert_eq!(report.summary.done, 11);
}

#[tokio::test]
async fn a_share_does_not_judge_a_handful() {
    let stage = Stage::of(many("a", 10));
    let report = apply(&stage, "max_share_percent: 1").await;
    assert_eq!(report.summary.done, 10);
}

#[tokio::test]
async fn a_floor_refuses_its_unit_and_no_other() {
    let stage = Stage::of(many("a", 3).chain(many("b", 2)).chain([
        thing("b", "stays1"),
        thing("b", "stays2"),
        thing("b", "deferred").deferred(),
    ]));
    let report = apply(&stage, "keep_at_least: 3").await;
    assert_eq!(refusals(&report), [("keep_at_least", "a")]);
    assert!(
        report.refusals[0]
            .detail
            .contains("3 of 3 would go and leave 0")
    );
    assert_eq!(report.summary.done, 2);
    assert_eq!(stage.left().len(), 6);
}

#[tokio::test]
async fn a_floor_counts_things_and_not_what_is_said_about_them() {
    // Two steps for one thing are one thing that goes.
    let twice = |n: u8| {
        let name = format!("a{n}");
        [
            thing("a", name.clone()).with(Effect::Change, "untag"),
            thing("a", name).destroyed().pass(1),
        ]
    };
    let stage = Stage::of((0..3).flat_map(twice));
    let report = apply(&stage, "keep_at_least: 1").await;
    assert_eq!(refusals(&report), [("keep_at_least", "a")]);
    assert!(stage.touched().is_empty());
}

#[tokio::test]
async fn a_floor_is_nothing_to_changes_that_end_nothing() {
    let stage = Stage::of([thing("a", "a1").changed()]);
    let report = apply(&stage, "keep_at_least: 5").await;
    assert_eq!(report.status, Status::Applied);
}

#[tokio::test]
async fn a_floor_counts_only_what_can_be_used() {
    let idle = || (0..5).map(|n| thing("a", format!("idle{n}")).idle());
    let stage = Stage::of(many("a", 2).chain(idle()));
    let report = apply(&stage, "keep_at_least: 1").await;
    assert_eq!(refusals(&report), [("keep_at_least", "a")]);
    assert!(
        report.refusals[0]
            .detail
            .contains("2 of 2 would go and leave 0")
    );

    // What cannot be used may go however little of the rest there is.
    let stage = Stage::of(idle().map(Thing::destroyed).chain([thing("a", "stays")]));
    let report = apply(&stage, "keep_at_least: 3").await;
    assert_eq!(report.summary.done, 5);
    assert_eq!(stage.left(), ["stays"]);
}

#[tokio::test]
async fn a_share_is_not_thinned_by_what_cannot_be_used() {
    let idle = || (0..50).map(|n| thing("a", format!("idle{n:02}")).idle());
    let stage = Stage::of(many("a", 11).chain(idle()).chain([thing("a", "stays")]));
    let report = apply(&stage, "max_share_percent: 50").await;
    assert_eq!(refusals(&report), [("max_share_percent", "a")]);
    assert!(report.refusals[0].detail.contains("11 of 12 (91 %)"));

    let stage = Stage::of(idle().map(Thing::destroyed).chain(many("b", 1)));
    let report = apply(&stage, "max_share_percent: 50").await;
    assert_eq!(refusals(&report), [("max_share_percent", "a")]);
    assert!(report.refusals[0].detail.contains("50 of 50 (100 %)"));
}

#[tokio::test]
async fn waking_up_is_never_held_back_and_takes_nobodys_place() {
    let wakes = (0..20).map(|n| thing("a", format!("wakes{n:02}")).restored());
    let stage = Stage::of(wakes.chain(many("a", 2)));
    let limits =
        "max_actions_per_unit: 1\nmax_actions_per_run: 1\nmax_share_percent: 10\nkeep_at_least: 20";
    let report = apply(&stage, limits).await;
    assert_eq!(report.summary.done, 21);
    assert_eq!(stage.left(), ["a00"]);

    let stage = Stage::of([thing("a", "wakes").restored()]);
    let none =
        "max_actions_per_unit: 0\nmax_actions_per_run: 0\nmax_share_percent: 0\nkeep_at_least: 9";
    assert_eq!(apply(&stage, none).await.status, Status::Applied);
}

#[tokio::test]
async fn a_limit_of_none_at_all_holds_everything_and_is_no_failure() {
    let stage = Stage::of(many("a", 2));
    let report = apply(&stage, "max_actions_per_run: 0").await;
    assert_eq!(report.status, Status::NothingToDo);
    assert_eq!(report.summary.deferred, 2);
}
