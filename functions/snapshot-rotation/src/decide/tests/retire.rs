//! The end of the snapshots of a database that is gone.

use super::*;

fn retiring(case: Case) -> Case {
    let mut case = case;
    case.scope = Scope::Retire(vec![RESOURCE_ID.to_owned()]);
    case
}

/// Two snapshots, one with a copy, and no database any more.
fn gone() -> Case {
    let mut case = Case::new()
        .copies_to(&west())
        .own("a", 9000)
        .own("b", 9024)
        .copied(&west(), "a", 9000);
    case.world.databases.clear();
    retiring(case)
}

#[test]
fn every_snapshot_and_copy_of_a_database_that_is_gone_ends() {
    let case = gone();
    case.expect(&["a: do 4 retired", "b: do 4 retired", "west a: do 4 retired"]);
    assert!(matches!(case.action("a"), Action::DeleteSnapshot(d) if d.retired));
    assert!(case.plan().items.iter().all(|item| !item.serves));
}

#[test]
fn a_database_that_lives_is_not_retired() {
    let case = retiring(Case::new().own("a", 1).own("b", 25));
    case.expect(&["a: keep database_lives", "b: keep database_lives"]);
    assert_eq!(case.needs().len(), 2);
}

#[test]
fn what_others_made_or_hold_or_is_under_way_is_not_retired() {
    let database = Case::new().world.databases.remove(0);
    gone()
        .put(&home(), "final", foreign(&database, "shop-db-final", 1))
        .snapshot(&home(), "a", |a| {
            a.tags.insert("steward:hold".to_owned(), String::new());
        })
        .snapshot(&home(), "b", |b| b.progress = under("copying"))
        .expect(&["a: keep held", "b: keep under_way", "west a: do 4 retired"]);
}

#[test]
fn nothing_is_retired_while_the_databases_cannot_all_be_read() {
    gone().gap(Hides::Everything).expect(&[
        "a: wait unseen",
        "b: wait unseen",
        "west a: wait unseen",
    ]);
}

#[test]
fn a_new_database_of_the_same_name_does_not_stand_in_the_way() {
    let case = gone().and_database("shop-db", "db-ZYXWVUTSRQPONMLKJIHGFEDCBA");
    case.expect(&["a: do 4 retired", "b: do 4 retired", "west a: do 4 retired"]);
}

#[test]
fn others_are_left_alone() {
    let mut case = gone();
    case.scope = Scope::Retire(vec!["db-OTHER".to_owned()]);
    case.expect(&[]);
}
