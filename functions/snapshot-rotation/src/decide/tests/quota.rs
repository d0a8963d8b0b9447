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
