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
