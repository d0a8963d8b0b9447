//! What is measured, and what needs a person.

use super::*;

#[test]
fn the_age_of_the_newest_that_can_be_restored_is_measured_in_each_place() {
    let case = Case::new()
        .rule(|rule| rule.keep = last(5))
        .own("a", 25)
        .own("b", 1)
        .copies_to(&west())
        .copied(&west(), "a", 25);
    assert_eq!(case.measured("db", "NewestRestorableAge"), Some(3600.0));
    assert_eq!(case.measured("db", "ObjectivesMissed"), Some(0.0));
    let age = case.measured("west db", "NewestRestorableAge");
    assert_eq!(age, Some(25.0 * 3600.0));
    assert_eq!(case.measured("west db", "ObjectivesMissed"), Some(0.0));
}

#[test]
fn an_objective_that_is_missed_needs_a_person_who_is_told_why() {
    let case = Case::new()
        .own("a", 31)
        .database(|database| database.status = "stopped".to_owned());
    assert_eq!(case.measured("db", "ObjectivesMissed"), Some(1.0));
    let needs = case.needs();
    assert_eq!(needs.len(), 1);
    assert!(needs[0].contains("the objective is 30h"), "{needs:?}");
    assert!(needs[0].contains("stopped"), "{needs:?}");
    // While something is done about it, nobody needs to.
    let case = case.database(|database| database.status = "available".to_owned());
    assert_eq!(case.measured("db", "ObjectivesMissed"), Some(1.0));
    assert_eq!(case.needs(), Vec::<String>::new());
}

#[test]
fn a_parked_database_with_a_snapshot_from_then_misses_nothing() {
    let parked = |at: Timestamp| {
        move |database: &mut Database| {
            database.status = "stopped".to_owned();
            database
                .tags
                .insert(names::PARKED.to_owned(), at.to_string());
        }
    };
    let case = Case::new().own("a", 100);
    let asleep = case.clone().database(parked(ago(100)));
    asleep.expect(&["db: keep parked", "a: keep kept"]);
    assert_eq!(asleep.measured("db", "ObjectivesMissed"), None);
    // Without one from then it does.
    let awake_too_long = case.database(parked(ago(50)));
    awake_too_long.expect(&["db: wait not_available", "a: keep kept"]);
    assert_eq!(awake_too_long.measured("db", "ObjectivesMissed"), Some(1.0));
}

#[test]
fn automated_backups_that_are_replicated_count_where_they_are() {
    let case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .place(&west(), |holdings| {
            holdings
                .replicated_until
                .insert(RESOURCE_ID.to_owned(), ago(2));
        });
    let age = case.measured("west db", "NewestRestorableAge");
    assert_eq!(age, Some(2.0 * 3600.0));
}
