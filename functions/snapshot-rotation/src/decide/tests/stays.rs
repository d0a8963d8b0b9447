//! Which snapshots stay beside their database, and which go.

use super::*;

const DAY: i64 = 24;

#[test]
fn what_no_rule_keeps_goes_and_the_rest_says_why_it_stays() {
    let case = Case::new()
        .own("a", 1)
        .own("b", 25)
        .own("c", 49)
        .own("d", 73);
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "d: do 4 expired",
        "db: keep recent",
    ]);
    let items = case.plan().items;
    let words = |label: &str| {
        let mut found = items
            .iter()
            .filter(|item| case.label(&item.target) == label);
        found.next().unwrap().reason.to_string()
    };
    assert_eq!(words("a"), "among the last");
    assert_eq!(words("c"), "no rule keeps it");
    assert_eq!(case.comes_after("c"), Vec::<String>::new());
}

#[test]
fn nothing_goes_before_what_is_due_has_been_asked_for() {
    let case = Case::new()
        .own("a", DAY)
        .own("b", 2 * DAY)
        .own("c", 3 * DAY);
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "new: do 0 due",
    ]);
    assert_eq!(case.comes_after("c"), ["new"]);
}

#[test]
fn the_oldest_stays_while_a_rule_has_too_few() {
    let weekly = Keep {
        last: 1,
        weekly: 4,
        ..Keep::default()
    };
    let case = Case::new().rule(|rule| rule.keep = weekly);
    // 2026-11-23 is a Monday: `a` is of this week, the others of the one before.
    let case = case.own("a", 1).own("b", 25).own("c", 49).own("d", 73);
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "d: keep kept",
        "db: keep recent",
    ]);
    let items = case.plan().items;
    let why = |label: &str| {
        let mut found = items
            .iter()
            .filter(|item| case.label(&item.target) == label);
        found.next().unwrap().reason.to_string()
    };
    assert_eq!(why("a"), "among the last, weekly");
    assert_eq!(why("b"), "weekly");
    assert_eq!(why("d"), "oldest, as long as weeks are too few");
}

#[test]
fn a_history_counts_from_its_newest_and_not_from_the_clock() {
    let within = Keep {
        within: Some(Period::days(3)),
        ..Keep::default()
    };
    // Nothing has been made for a year.
    let case = Case::new()
        .rule(|rule| rule.keep = within)
        .own("a", 9000)
        .own("b", 9024)
        .own("c", 9200)
        .database(|database| database.cluster = None);
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "new: do 0 due",
    ]);
}

#[test]
fn a_policy_without_a_rule_to_thin_by_thins_nothing() {
    let case = Case::new().rule(|rule| rule.keep = Keep::default());
    case.own("a", 1)
        .own("b", 9000)
        .expect(&["a: keep kept", "b: keep kept", "db: keep recent"]);
}

#[test]
fn days_are_those_of_the_time_zone_of_the_rule() {
    let daily = |zone: &str| {
        Case::new()
            .rule(|rule| {
                rule.keep = Keep {
                    daily: 1,
                    ..Keep::default()
                };
                rule.time_zone = zone.to_owned();
            })
            .own("a", 11)
            .own("b", 13)
    };
    // 01:00 and, the day before, 23:00; both are the same day in New York.
    daily("UTC").expect(&["a: keep kept", "b: do 4 expired", "db: keep recent"]);
    let two = |case: Case| case.rule(|rule| rule.keep.daily = 2).own("c", 30);
    two(daily("UTC")).expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "db: keep recent",
    ]);
    two(daily("America/New_York")).expect(&[
        "a: keep kept",
        "b: do 4 expired",
        "c: keep kept",
        "db: keep recent",
    ]);
}

#[test]
fn a_snapshot_on_hold_stays_and_takes_its_place_in_the_history() {
    let case = Case::new()
        .own("a", 1)
        .own("b", 25)
        .own("c", 49)
        .snapshot(&home(), "c", |c| {
            c.tags.insert("steward:hold".to_owned(), String::new());
        });
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: keep held",
        "db: keep recent",
    ]);
    let until = |at: Timestamp| {
        case.clone().snapshot(&home(), "c", move |c| {
            c.tags.remove("steward:hold");
            c.tags
                .insert("steward:hold-until".to_owned(), at.to_string());
        })
    };
    let fates = |fate| ["a: keep kept", "b: keep kept", fate, "db: keep recent"];
    until(ago(-1)).expect(&fates("c: keep held"));
    until(ago(1)).expect(&fates("c: do 4 expired"));
}

#[test]
fn while_the_newest_attempt_has_failed_nothing_goes() {
    let case = Case::new()
        .own("failed", 1)
        .own("a", 25)
        .own("b", 49)
        .own("c", 73)
        .snapshot(&home(), "failed", |s| s.progress = failed());
    case.expect(&[
        "failed: keep broken",
        "a: keep kept",
        "b: keep kept",
        "c: wait newest_failed",
        "new: do 0 due",
    ]);
}

#[test]
fn a_snapshot_that_somebody_else_made_does_not_make_good_a_failed_one() {
    let case = Case::new()
        .own("failed", 1)
        .own("a", 25)
        .own("b", 49)
        .own("c", 73)
        .snapshot(&home(), "failed", |s| s.progress = failed());
    let other = foreign(&case.world.databases[0], "by-hand", 0);
    case.put(&home(), "by hand", other).expect(&[
        "by hand: keep foreign",
        "failed: keep broken",
        "a: keep kept",
        "b: keep kept",
        "c: wait newest_failed",
        "new: do 0 due",
    ]);
}

#[test]
fn a_failed_one_goes_when_another_was_made_in_its_place() {
    let case = Case::new()
        .own("failed", 2)
        .own("b", 26)
        .own("c", 50)
        .snapshot(&home(), "failed", |s| s.progress = failed());
    let mut second = own(&case.world.databases[0], 1);
    second.id = names::snapshot_id("shop-db", RESOURCE_ID, ago(2), 2);
    case.put(&home(), "second", second).expect(&[
        "failed: do 4 broken_and_replaced",
        "second: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "db: keep recent",
    ]);
}

#[test]
fn a_snapshot_in_a_state_that_nobody_knows_is_no_backup_and_is_never_deleted() {
    let case = Case::new()
        .own("a", 1)
        .own("b", 25)
        .own("c", 49)
        .own("odd", 73)
        .snapshot(&home(), "odd", |s| {
            s.progress = Progress::of("resting", None)
        });
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "odd: keep broken",
        "db: keep recent",
    ]);
}

#[test]
fn nothing_goes_while_a_snapshot_is_due_and_cannot_be_made() {
    let case = Case::new()
        .own("a", 25)
        .own("b", 49)
        .own("c", 73)
        .database(|database| database.status = "stopped".to_owned());
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: wait overdue",
        "db: wait not_available",
    ]);
    // Not due, it is as good as any other.
    let recent = Case::new()
        .own("a", 1)
        .own("b", 25)
        .own("c", 49)
        .database(|database| database.status = "stopped".to_owned());
    recent.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "db: keep recent",
    ]);
}

#[test]
fn what_is_made_or_deleted_stays_as_it_is() {
    for status in ["creating", "deleting", "modifying"] {
        let case = Case::new()
            .own("a", 1)
            .own("b", 25)
            .own("c", 49)
            .snapshot(&home(), "c", |c| c.progress = Progress::of(status, None));
        case.expect(&[
            "a: keep kept",
            "b: keep kept",
            "c: keep under_way",
            "db: keep recent",
        ]);
    }
}

#[test]
fn nothing_goes_whose_time_nobody_knows_or_is_still_to_come() {
    let case = Case::new()
        .own("a", 1)
        .own("b", 25)
        .own("c", 49)
        .own("unknown", 73)
        .own("future", -5)
        .snapshot(&home(), "unknown", |s| s.taken_at = None);
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "unknown: keep time_unknown",
        "future: keep kept",
        "db: keep recent",
    ]);
}

#[test]
fn a_clock_that_steps_back_takes_nothing() {
    let mut case = Case::new().own("a", 1).own("b", 25).own("c", 49);
    case.now = ago(30);
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: keep kept",
        "db: keep recent",
    ]);
}

#[test]
fn a_gap_that_could_hide_the_database_lets_nothing_go() {
    let case = Case::new().own("a", 1).own("b", 25).own("c", 49);
    let unit = home().unit("shop-db", RESOURCE_ID);
    for hides in [Hides::Everything, Hides::unit(unit)] {
        case.clone().gap(hides).expect(&[
            "a: keep kept",
            "b: keep kept",
            "c: wait unseen",
            "db: keep recent",
        ]);
    }
    case.gap(Hides::unit("eu-west-1/other/db-1")).expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "db: keep recent",
    ]);
}

#[test]
fn a_snapshot_that_does_not_say_when_it_was_taken_is_tagged() {
    let case = Case::new().own("a", 1).snapshot(&home(), "a", |a| {
        a.tags.remove(names::TAKEN_AT);
    });
    case.expect(&["a: keep kept", "a tags: do 1 untagged", "db: keep recent"]);
    let Action::TagSnapshot(tagging) = case.action("a tags") else {
        panic!("it is no tagging");
    };
    assert_eq!(tagging.taken_at, ago(1));
    // A tag that a restored database has passed on says something else.
    let wrong = Case::new().own("a", 1).snapshot(&home(), "a", |a| {
        a.tags
            .insert(names::TAKEN_AT.to_owned(), ago(99).to_string());
    });
    wrong.expect(&["a: keep kept", "a tags: do 1 untagged", "db: keep recent"]);
}
