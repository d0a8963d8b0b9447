//! Whose snapshots are whose: what Steward may touch is its own or adopted.

use super::*;

/// Two that stay by the rules, and one more that would go.
fn with_third(change: impl FnOnce(&mut Snapshot)) -> Case {
    let case = Case::new().own("a", 1).own("b", 25).own("c", 49);
    case.snapshot(&home(), "c", change)
}

fn renamed(case: Case, from: &str, to: &str) -> Case {
    let mut case = case;
    let holdings = case.world.places.get_mut(&home()).unwrap();
    let snapshots = &mut holdings.snapshots;
    let found = snapshots.iter_mut().find(|s| s.id == from).unwrap();
    to.clone_into(&mut found.id);
    let label = case.labels.remove(from).unwrap();
    case.labels.insert(to.to_owned(), label);
    case
}

#[test]
fn a_snapshot_with_a_copied_tag_and_another_name_is_never_deleted() {
    // AWS copies the tags of a database onto its final and its parking snapshots.
    let case = with_third(|_| {});
    let id = case.world.at_home().unwrap().snapshots[2].id.clone();
    for other in [
        "shop-db-final",
        "steward-shop-db",
        "steward-shop-db-aaaaaa-20261121-1100",
    ] {
        renamed(case.clone(), &id, other).expect(&[
            "a: keep kept",
            "b: keep kept",
            "c: keep foreign",
            "db: keep recent",
        ]);
    }
}

#[test]
fn a_tag_that_names_another_database_or_function_or_none_makes_it_foreign() {
    type Change = fn(&mut Snapshot);
    let changes: [Change; 4] = [
        |s| {
            s.tags.remove(names::MANAGED_BY);
        },
        |s| {
            s.tags
                .insert(names::MANAGED_BY.to_owned(), "dr-restore".to_owned());
        },
        |s| {
            s.tags.remove(names::MADE_FOR);
        },
        |s| {
            let other = "db-AAAAAAAAAAAAAAAAAAAAUVWXYZ".to_owned();
            s.tags.insert(names::MADE_FOR.to_owned(), other);
        },
    ];
    for change in changes {
        with_third(change).expect(&[
            "a: keep kept",
            "b: keep kept",
            "c: keep foreign",
            "db: keep recent",
        ]);
    }
}

#[test]
fn a_snapshot_that_rds_says_is_of_another_database_is_foreign() {
    // A restored database has the tags of the snapshot that it came from.
    let restored = "db-RESTORED0000000000000000001";
    let case = with_third(|s| s.resource_id = Some(restored.to_owned()));
    case.and_database("restored", restored).expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: keep foreign",
        "db: keep recent",
        "new: do 0 first",
    ]);
}

#[test]
fn snapshots_of_others_stay_and_take_no_place() {
    let case = Case::new().own("a", 1).own("b", 25).own("c", 49);
    let database = case.world.databases[0].clone();
    case.put(&home(), "final", foreign(&database, "shop-db-final", 2))
        .put(
            &home(),
            "by hand",
            foreign(&database, "before-migration", 900),
        )
        .expect(&[
            "final: keep foreign",
            "by hand: keep foreign",
            "a: keep kept",
            "b: keep kept",
            "c: do 4 expired",
            "db: keep recent",
        ]);
}

#[test]
fn only_names_that_a_rule_adopts_are_rotated_too() {
    let case = Case::new()
        .rule(|rule| rule.adopt = vec!["nightly-*".to_owned()])
        .own("a", 1)
        .own("b", 25);
    let database = case.world.databases[0].clone();
    let other = Database {
        resource_id: "db-OTHER".to_owned(),
        ..database.clone()
    };
    case.put(&home(), "old", foreign(&database, "nightly-1", 49))
        .put(&home(), "final", foreign(&database, "final", 50))
        .put(&home(), "of another", foreign(&other, "nightly-2", 51))
        .expect(&[
            "a: keep kept",
            "b: keep kept",
            "old: do 4 expired",
            "final: keep foreign",
            "of another: keep foreign",
            "db: keep recent",
        ]);
}

#[test]
fn adopted_snapshots_count_in_the_history_and_not_for_the_interval() {
    let case = Case::new().rule(|rule| rule.adopt = vec!["nightly-*".to_owned()]);
    let database = case.world.databases[0].clone();
    let case = case
        .put(&home(), "x", foreign(&database, "nightly-1", 1))
        .put(&home(), "y", foreign(&database, "nightly-2", 25))
        .put(&home(), "z", foreign(&database, "nightly-3", 49));
    case.expect(&[
        "x: keep kept",
        "y: keep kept",
        "z: do 4 expired",
        "new: do 0 first",
    ]);
    assert_eq!(case.comes_after("z"), ["new"]);
}

#[test]
fn a_database_that_is_renamed_keeps_its_history() {
    let case = Case::new().own("a", 24).own("b", 48).own("c", 72);
    let case = case.database(|database| {
        "store-db".clone_into(&mut database.identifier);
        "arn:aws:rds:eu-west-1:111111111111:db:store-db".clone_into(&mut database.arn);
    });
    case.expect(&[
        "a: keep kept",
        "b: keep kept",
        "c: do 4 expired",
        "new: do 0 due",
    ]);
    let of = case.action("new").subject().clone();
    assert_eq!(of.snapshot, "steward-store-db-uvwxyz-20261123-1200");
    // What belongs together is judged together, under the name of now.
    let items = case.plan().items;
    let units: BTreeSet<&str> = items.iter().map(|item| item.unit.as_str()).collect();
    assert_eq!(units.len(), 1, "{units:?}");
}

#[test]
fn one_that_is_made_again_under_the_same_name_begins_anew() {
    let case = Case::new().own("a", 24).own("b", 48).own("c", 72);
    let case = case.database(|database| {
        "db-ZYXWVUTSRQPONMLKJIHGFEDCBA".clone_into(&mut database.resource_id);
    });
    case.expect(&[
        "a: keep database_gone",
        "b: keep database_gone",
        "c: keep database_gone",
        "new: do 0 first",
    ]);
    let of = case.action("new").subject().clone();
    assert_eq!(of.snapshot, "steward-shop-db-fedcba-20261123-0000");
}

#[test]
fn snapshots_of_a_database_that_is_gone_stay_until_a_person_says_otherwise() {
    let mut case = Case::new().own("a", 9000).own("b", 9024);
    case.world.databases.clear();
    case.expect(&["a: keep database_gone", "b: keep database_gone"]);
    // While the databases could not all be read, it is not said to be gone.
    case.clone()
        .gap(Hides::Everything)
        .expect(&["a: wait unseen", "b: wait unseen"]);
    case.snapshot(&home(), "a", |a| {
        a.tags.insert("steward:hold".to_owned(), String::new());
    })
    .expect(&["a: keep held", "b: keep database_gone"]);
}

#[test]
fn copies_where_its_rule_has_none_are_not_said_to_be_of_no_database() {
    let mut case = Case::new()
        .own("a", 1)
        .copies_to(&west())
        .copied(&west(), "c", 49);
    case.policy.rules[0].copies.clear();
    case.expect(&[
        "a: keep kept",
        "west c: keep not_selected",
        "db: keep recent",
    ]);
}
