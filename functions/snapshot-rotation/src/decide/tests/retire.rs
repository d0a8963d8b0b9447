//! The end of the snapshots of databases that are gone.

use super::*;

fn retired(mut case: Case) -> Case {
    case.scope = Scope::Retire(vec![RESOURCE_ID.to_owned()]);
    case
}

#[test]
fn all_of_a_database_that_is_gone_go_everywhere_and_no_others() {
    let other = "db-OTHEROTHEROTHEROTHEROTHER1";
    let mut case = Case::new()
        .own("a", 25)
        .own("b", 1)
        .copies_to(&west())
        .copied(&west(), "b", 1);
    let foreign = foreign(&case.world.databases[0], "shop-db-final", 1);
    case.world.databases.clear();
    let mut case = case.and_database("other-db", other).own("kept", 5);
    case = case.put(&home(), "final", foreign);
    let case = retired(case);
    case.expect(&["a: do 4 retired", "b: do 4 retired", "west b: do 4 retired"]);
    let Action::DeleteSnapshot(deletion) = case.action("b") else {
        panic!("it is no deletion");
    };
    assert!(deletion.retired);
}

#[test]
fn a_database_that_lives_is_not_retired() {
    let case = retired(Case::new().own("a", 25).own("b", 1));
    case.expect(&["a: keep database_lives", "b: keep database_lives"]);
    assert!(!case.needs().is_empty());
}

#[test]
fn what_is_held_stays_and_what_is_unseen_waits() {
    let mut case = Case::new()
        .own("a", 25)
        .own("b", 1)
        .snapshot(&home(), "a", |a| {
            a.tags.insert("steward:hold".to_owned(), String::new());
        });
    case.world.databases.clear();
    let case = retired(case.gap(Hides::Everything));
    case.expect(&["a: keep held", "b: wait unseen"]);
}

#[test]
fn a_new_database_of_the_same_name_does_not_stand_in_the_way() {
    let case = gone().and_database("shop-db", "db-ZYXWVUTSRQPONMLKJIHGFEDCBA");
    case.expect(&["a: do 4 retired", "b: do 4 retired", "west a: do 4 retired"]);
}

#[test]
fn nothing_is_retired_while_the_databases_cannot_all_be_read() {
    gone().gap(Hides::Everything).expect(&[
        "a: wait unseen",
        "b: wait unseen",
        "west a: wait unseen",
    ]);
}

/// Two snapshots, one with a copy, and no database any more.
fn gone() -> Case {
    let mut case = Case::new()
        .copies_to(&west())
        .own("a", 9000)
        .own("b", 9024)
        .copied(&west(), "a", 9000);
    case.world.databases.clear();
    retired(case)
}

#[test]
fn what_steward_made_in_another_region_or_account_is_that_ones_to_retire() {
    // Here are copies of a database that lives in another Region, and there the
    // originals of one; and the vault has those of another account.
    let mut case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .copies_to(&vault());
    let database = case.world.databases[0].clone();
    let at = |text: &str| Some(text.to_owned());
    let mut copy = own(&database, 2);
    copy.source_arn = at("arn:aws:rds:us-west-2:111111111111:snapshot:x").map(|arn| {
        let (begins, _) = arn.rsplit_once(':').unwrap();
        format!("{begins}:{}", copy.id)
    });
    case = case.put(&home(), "copy here", copy);
    let original = own(&database, 3);
    case = case.put(&west(), "original", original);
    let mut others = copy_of(&own(&database, 4), &vault());
    others.source_arn = others
        .source_arn
        .map(|arn| arn.replace("111111111111", "333333333333"));
    case = case.put(&vault(), "others", others);
    let fates = case.fates();
    for fate in [
        "copy here: keep foreign",
        "west original: keep foreign",
        "vault others: keep foreign",
    ] {
        assert!(fates.contains(fate), "{fates:#?}");
    }
    case.world.databases.clear();
    retired(case).expect(&["a: do 4 retired"]);
}
