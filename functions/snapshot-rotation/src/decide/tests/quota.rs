//! When the account has no room.

use super::*;

#[test]
fn a_plan_says_that_there_is_no_room_and_what_has_expired_makes_some() {
    let case = Case::new()
        .own("a", 72)
        .own("b", 48)
        .own("c", 24)
        .quota(&home(), 100, 100);
    case.expect(&[
        "new: wait quota_full",
        "a: do 4 expired",
        "b: keep kept",
        "c: keep kept",
    ]);
    assert_eq!(case.comes_after("a"), Vec::<String>::new());
    assert!(case.needs()[0].contains("100 of 100"), "{:?}", case.needs());
}

#[test]
fn who_has_waited_longest_gets_the_room_that_there_is() {
    let other = "db-OTHEROTHEROTHEROTHEROTHER1";
    let case = Case::new()
        .own("a", 24)
        .and_database("other-db", other)
        .quota(&home(), 99, 100);
    let fates: Vec<(String, bool)> = case
        .plan()
        .items
        .iter()
        .filter(|item| item.target.contains("steward-") && item.reason.code() != "kept")
        .map(|item| {
            let acts = matches!(item.decision, Decision::Act(_));
            (item.unit.clone(), acts)
        })
        .collect();
    assert_eq!(
        fates,
        [
            (format!("eu-west-1/shop-db/{RESOURCE_ID}"), false),
            (format!("eu-west-1/other-db/{other}"), true),
        ]
    );
}

#[test]
fn copies_need_room_where_they_go() {
    Case::new()
        .own("a", 1)
        .copies_to(&west())
        .quota(&west(), 40, 40)
        .expect(&[
            "db: keep recent",
            "a: keep awaits_copy",
            "west a: wait quota_full",
        ]);
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

#[test]
fn what_always_fails_gets_what_others_leave() {
    let other = "db-OTHEROTHEROTHEROTHEROTHER1";
    let mut failure = own(&Case::new().world.databases[0], 49);
    failure.progress = failed();
    let case = Case::new()
        .own("a", 100)
        .put(&home(), "failure", failure)
        .and_database("other-db", other)
        .quota(&home(), 99, 100);
    let items = case.plan().items;
    let made = items.iter().find(|item| {
        let acts = matches!(&item.decision, Decision::Act(change) if change.pass == 0);
        acts && item.target.contains("steward-")
    });
    assert_eq!(made.unwrap().unit, format!("eu-west-1/other-db/{other}"));
}
