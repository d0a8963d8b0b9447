//! What is measured, and what needs a person.

use super::*;

const AGE: &str = "NewestRestorableAge";
const MISSED: &str = "ObjectivesMissed";

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
    // Where it is copied no more than here.
    let copied = asleep.clone().copies_to(&west()).copied(&west(), "a", 100);
    copied.expect(&["db: keep parked", "a: keep kept", "west a: keep kept"]);
    assert_eq!(copied.measured("west db", "ObjectivesMissed"), None);
    assert_eq!(copied.needs(), Vec::<String>::new());
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

#[test]
fn an_objective_is_an_interval_and_a_quarter_where_the_policy_does_not_say() {
    for (age, missed) in [(30, 0.0), (31, 1.0)] {
        let case = Case::new().own("a", age);
        assert_eq!(case.measured("db", MISSED), Some(missed), "{age}");
        let own = case.rule(|rule| rule.objective = Some(Period::hours(48)));
        assert_eq!(own.measured("db", MISSED), Some(0.0));
    }
}

#[test]
fn a_missed_objective_needs_nobody_while_it_is_put_right() {
    let case = Case::new().own("a", 100);
    assert_eq!(case.measured("db", MISSED), Some(1.0));
    assert_eq!(case.needs(), Vec::<String>::new());
}

#[test]
fn a_database_without_any_snapshot_is_as_old_as_itself() {
    let made = |hours_ago: Option<i64>| {
        Case::new().database(|database| {
            database.created_at = hours_ago.map(ago);
            database.status = "modifying".to_owned();
        })
    };
    assert_eq!(made(Some(29)).measured("db", MISSED), Some(0.0));
    assert_eq!(made(Some(31)).measured("db", MISSED), Some(1.0));
    assert_eq!(made(Some(31)).measured("db", AGE), None);
    assert_eq!(
        made(Some(31)).needs(),
        [
            "db: no snapshot can be restored, and the objective is 30h: RDS makes no snapshot of a \
          database that is modifying"
        ]
    );
    // RDS does not tell before it is made.
    assert_eq!(made(None).measured("db", MISSED), Some(0.0));
}

#[test]
fn copies_may_have_an_objective_of_their_own() {
    let case = Case::new()
        .own("a", 40)
        .copies_to(&west())
        .copied(&west(), "a", 40);
    let case = case.rule(|rule| rule.copies[0].objective = Some(Period::hours(48)));
    assert_eq!(case.measured("west db", MISSED), Some(0.0));
    assert_eq!(case.measured("db", MISSED), Some(1.0));
}

#[test]
fn a_copy_that_never_comes_to_its_end_needs_a_person() {
    let hangs = |age: i64| {
        Case::new()
            .own("a", age)
            .copies_to(&west())
            .copied(&west(), "a", age)
            .snapshot(&west(), "a", |a| a.progress = under("copying"))
            .database(|database| database.status = "storage-optimization".to_owned())
    };
    assert_eq!(hangs(10).needs(), Vec::<String>::new());
    assert_eq!(
        hangs(31).needs(),
        ["west db: no snapshot can be restored, and the objective is 30h: copying, 40 %"]
    );
}

#[test]
fn copies_that_fail_again_and_again_need_a_person() {
    let case = Case::new()
        .own("a", 1)
        .own("b", 40)
        .copies_to(&west())
        .copied(&west(), "a", 1)
        .snapshot(&west(), "a", |a| a.progress = failed());
    let id = case.world.at_home().unwrap().snapshots[0].id.clone();
    assert_eq!(
        case.needs(),
        [format!(
            "west db: no snapshot can be restored, and the objective is 30h: the newest attempt, \
             {id}, has failed"
        )]
    );
}

#[test]
fn an_objective_that_is_missed_there_for_what_is_wrong_here_says_so() {
    let case = Case::new()
        .own("a", 100)
        .copies_to(&west())
        .copied(&west(), "a", 100)
        .database(|database| database.status = "incompatible-parameters".to_owned());
    let there = case
        .needs()
        .into_iter()
        .find(|need| need.starts_with("west"));
    let there = there.unwrap();
    assert!(there.contains("incompatible-parameters"), "{there}");
}
