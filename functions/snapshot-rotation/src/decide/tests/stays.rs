//! What stays and what goes.

use super::*;

#[test]
fn what_no_rule_keeps_goes_and_the_rest_says_why_it_stays() {
    let case = Case::new().own("a", 49).own("b", 25).own("c", 1);
    case.expect(&[
        "db: keep recent",
        "a: do 4 expired",
        "b: keep kept",
        "c: keep kept",
    ]);
    let Action::DeleteSnapshot(deletion) = case.action("a") else {
        panic!("it is no deletion");
    };
    assert_eq!(deletion.taken_at, Some(ago(49)));
    assert!(!deletion.retired);
}

#[test]
fn nothing_goes_before_what_is_due_has_begun() {
    let case = Case::new().own("a", 72).own("b", 48).own("c", 24);
    case.expect(&[
        "new: do 0 due",
        "a: do 4 expired",
        "b: keep kept",
        "c: keep kept",
    ]);
    assert_eq!(case.comes_after("a"), ["new"]);
}

#[test]
fn nothing_goes_while_what_is_due_cannot_be_made() {
    Case::new()
        .own("a", 72)
        .own("b", 48)
        .own("c", 25)
        .database(|database| database.status = "stopped".to_owned())
        .expect(&[
            "db: wait not_available",
            "a: wait overdue",
            "b: keep kept",
            "c: keep kept",
        ]);
}

#[test]
fn nothing_goes_while_the_newest_attempt_has_failed() {
    let fail = |snapshot: &mut Snapshot| {
        snapshot.progress = failed();
        (snapshot.created_at, snapshot.taken_at) = (None, None);
    };
    let case = Case::new()
        .own("a", 97)
        .own("b", 73)
        .own("c", 49)
        .own("d", 1)
        .snapshot(&home(), "d", fail);
    case.expect(&[
        "new: do 0 due",
        "a: wait newest_failed",
        "b: keep kept",
        "c: keep kept",
        "d: keep broken",
    ]);
    // Another of the same time is good: the failed one goes, and what had expired.
    case.own("e", 0).expect(&[
        "db: keep recent",
        "a: do 4 expired",
        "b: do 4 expired",
        "c: keep kept",
        "d: do 4 broken_and_replaced",
        "e: keep kept",
    ]);
}

#[test]
fn a_database_whose_backups_stop_keeps_what_it_has() {
    let mut case = Case::new()
        .rule(|rule| {
            rule.keep = Keep {
                daily: 3,
                within: Some(Period::days(3)),
                ..Keep::default()
            };
        })
        .own("a", 49)
        .own("b", 25)
        .own("c", 1)
        .database(|database| database.status = "storage-full".to_owned());
    for days in [0, 30, 3000] {
        case.now = now() + hours(24 * days);
        let fates = case.fates();
        for label in ["a", "b", "c"] {
            assert!(fates.contains(&format!("{label}: keep kept")), "{fates:?}");
        }
    }
}

#[test]
fn a_held_snapshot_stays_and_so_do_all_of_a_held_database() {
    let hold = |tags: &mut BTreeMap<String, String>| {
        tags.insert("steward:hold".to_owned(), "audit".to_owned());
    };
    let case = Case::new().own("a", 49).own("b", 25).own("c", 1);
    case.clone()
        .snapshot(&home(), "a", |a| hold(&mut a.tags))
        .expect(&[
            "db: keep recent",
            "a: keep held",
            "b: keep kept",
            "c: keep kept",
        ]);
    case.database(|database| hold(&mut database.tags)).expect(&[
        "db: keep held",
        "a: keep held",
        "b: keep held",
        "c: keep held",
    ]);
}

#[test]
fn what_tells_no_time_stays() {
    Case::new()
        .own("a", 49)
        .own("b", 25)
        .own("c", 1)
        .snapshot(&home(), "a", |a| a.taken_at = None)
        .expect(&[
            "db: keep recent",
            "a: keep time_unknown",
            "b: keep kept",
            "c: keep kept",
        ]);
}

#[test]
fn a_time_in_the_future_takes_no_place_and_makes_nothing_fresh() {
    Case::new()
        .own("a", 49)
        .own("b", 25)
        .own("c", -100)
        .expect(&[
            "new: do 0 due",
            "a: keep kept",
            "b: keep kept",
            "c: keep kept",
        ]);
}

#[test]
fn a_gap_lets_nothing_go() {
    let unit = format!("eu-west-1/shop-db/{RESOURCE_ID}");
    Case::new()
        .own("a", 49)
        .own("b", 25)
        .own("c", 1)
        .gap(Hides::unit(unit))
        .expect(&[
            "db: keep recent",
            "a: wait unseen",
            "b: keep kept",
            "c: keep kept",
        ]);
}

#[test]
fn a_snapshot_that_does_not_say_when_is_tagged() {
    let case = Case::new().own("a", 1).snapshot(&home(), "a", |a| {
        a.tags.remove(names::TAKEN_AT);
    });
    case.expect(&["db: keep recent", "a: keep kept", "a tags: do 1 untagged"]);
    let Action::TagSnapshot(tagging) = case.action("a tags") else {
        panic!("it is not tagged");
    };
    assert_eq!(tagging.taken_at, ago(1));
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
