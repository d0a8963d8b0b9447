//! Room for snapshots, and copies under way: who gets what is short.

use super::*;

#[test]
fn without_room_a_snapshot_is_put_off_and_says_so_before_it_fails() {
    let case = Case::new().own("a", 24).quota(&home(), 100, 100);
    case.expect(&["a: keep kept", "new: wait quota_full"]);
    assert_eq!(
        case.needs(),
        ["db: 100 of 100 manual snapshots are in use, and there is no room for another"]
    );
    assert_eq!(case.waits_for(), None, "nothing will make room");
}

#[test]
fn what_had_expired_goes_and_makes_room() {
    let case = Case::new()
        .own("a", 24)
        .own("b", 48)
        .own("c", 72)
        .quota(&home(), 100, 100);
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "new: wait quota_full",
    ]);
    assert_eq!(case.comes_after("c"), Vec::<String>::new());
    assert_eq!(case.waits_for().unwrap(), "room for snapshots");
}

#[test]
fn without_room_a_failed_attempt_does_not_hold_what_could_make_it() {
    let case = Case::new()
        .own("failed", 1)
        .own("a", 25)
        .own("b", 49)
        .own("c", 73)
        .snapshot(&home(), "failed", |s| s.progress = failed());
    case.quota(&home(), 100, 100).expect(&[
        "failed: keep broken",
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "new: wait quota_full",
    ]);
}

#[test]
fn the_database_that_has_gone_longest_without_gets_the_room_there_is() {
    let mut case = Case::new().own("a", 30).quota(&home(), 98, 100);
    for (identifier, age) in [("blog-db", Some(50)), ("forum-db", None)] {
        let resource_id = format!("db-{identifier}");
        case = case.and_database(identifier, &resource_id);
        if let Some(age) = age {
            let database = case.world.databases.last().unwrap();
            let snapshot = own(database, age);
            case = case.put(&home(), identifier, snapshot);
        }
    }
    let plan = case.plan();
    let made: BTreeSet<&str> = plan
        .items
        .iter()
        .filter_map(|item| match &item.decision {
            Decision::Act(change) => Some(change.action.subject().database.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(made, BTreeSet::from(["blog-db", "forum-db"]));
    assert_eq!(case.needs().len(), 1);
}

#[test]
fn an_account_that_does_not_tell_is_asked_all_the_same() {
    let case = Case::new().own("a", 24);
    case.expect(&["a: keep kept", "new: do 0 due"]);
}

#[test]
fn copies_need_room_too() {
    let case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .quota(&west(), 100, 100);
    case.expect(&[
        "a: keep awaits_copy",
        "west a: wait quota_full",
        "db: keep recent",
    ]);
    assert_eq!(case.needs().len(), 1);
}

#[test]
fn only_so_many_copies_are_under_way_at_once_whoever_makes_them() {
    let of_others = |n: usize| {
        let mut case = Case::new().own("a", 1).copies_to(&west());
        let database = case.world.databases[0].clone();
        for i in 0..n {
            let mut copy = copy_of(&foreign(&database, &format!("x{i}"), 5), &west());
            copy.progress = under("copying");
            case = case.put(&west(), &format!("x{i}"), copy);
        }
        case
    };
    let case = of_others(20);
    assert!(case.fates().contains("west a: wait copies_in_flight"));
    assert_eq!(case.waits_for().unwrap(), "copies to be complete");
    assert!(of_others(19).fates().contains("west a: do 2 missing"));
}

#[test]
fn the_newest_is_copied_first_where_the_newest_copy_is_oldest() {
    let mut case = Case::new()
        .rule(|rule| rule.keep = last(9))
        .own("a", 1)
        .own("b", 25)
        .own("c", 49)
        .copies_to(&west())
        .copied(&west(), "c", 49);
    case = case.and_database("blog-db", "db-BLOG00000000000000000000001");
    let database = case.world.databases[1].clone();
    case = case.put(&home(), "other", own(&database, 2));
    case.policy.limits.max_copies_in_flight = 2;
    let fates = case.fates();
    // A database without any copy comes first, and then the newest of the other.
    assert!(fates.contains("west other: do 2 missing"), "{fates:?}");
    assert!(fates.contains("west a: do 2 missing"), "{fates:?}");
    assert!(fates.contains("west b: wait copies_in_flight"), "{fates:?}");
    assert_eq!(case.needs(), Vec::<String>::new());
}
