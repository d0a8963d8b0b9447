//! What is Steward's own, and which databases it looks after.

use super::*;

#[test]
fn a_tag_alone_proves_nothing() {
    let database = Case::new().world.databases[0].clone();
    let tagged = |id: &str| Snapshot {
        tags: own(&database, 2000).tags,
        ..foreign(&database, id, 2000)
    };
    let mut of_another = own(&database, 3000);
    // Restored from a snapshot of Steward's, a database has its tags.
    of_another.resource_id = Some("db-ANOTHERANOTHERANOTHERANOTHE".to_owned());
    Case::new()
        .own("a", 25)
        .own("b", 1)
        .put(&home(), "final", tagged("shop-db-final"))
        .put(&home(), "manual", tagged("steward-shop-db"))
        .put(&home(), "restored", of_another)
        .expect(&[
            "db: keep recent",
            "a: keep kept",
            "b: keep kept",
            "final: keep foreign",
            "manual: keep foreign",
            "restored: keep foreign",
        ]);
}

#[test]
fn snapshots_of_others_are_rotated_only_where_their_names_match() {
    let database = Case::new().world.databases[0].clone();
    let case = Case::new()
        .own("a", 25)
        .own("b", 1)
        .put(&home(), "old", foreign(&database, "nightly-1", 2000))
        .put(&home(), "final", foreign(&database, "shop-db-final", 2000));
    let fates = ["db: keep recent", "a: keep kept", "b: keep kept"];
    case.expect(&[&fates[..], &["old: keep foreign", "final: keep foreign"]].concat());
    case.rule(|rule| rule.adopt = vec!["nightly-*".to_owned()])
        .expect(&[&fates[..], &["old: do 4 expired", "final: keep foreign"]].concat());
}

#[test]
fn a_database_made_again_under_its_name_begins_anew_and_the_old_snapshots_stay() {
    let case = Case::new().own("a", 49).own("b", 25);
    let mut again = case.clone();
    again.world.databases.clear();
    let again = again.and_database("shop-db", "db-ZYXWVUTSRQPONMLKJIHGFEDCBA");
    again.expect(&[
        "new: do 0 first",
        "a: keep database_gone",
        "b: keep database_gone",
    ]);
}

#[test]
fn a_renamed_database_keeps_its_snapshots() {
    Case::new()
        .own("a", 49)
        .own("b", 25)
        .own("c", 1)
        .database(|database| database.identifier = "renamed".to_owned())
        .expect(&[
            "renamed: keep recent",
            "a: do 4 expired",
            "b: keep kept",
            "c: keep kept",
        ]);
}

#[test]
fn a_database_that_two_rules_select_is_left_alone_and_told() {
    let mut case = Case::new().own("a", 49).own("b", 25);
    let second = Rule {
        name: "again".to_owned(),
        ..case.policy.rules[0].clone()
    };
    case.policy.rules.push(second);
    case.expect(&[
        "db: wait two_rules",
        "a: keep two_rules",
        "b: keep two_rules",
    ]);
    assert_eq!(
        case.needs(),
        ["db: more than one rule selects it: all, again"]
    );
}

#[test]
fn members_of_clusters_and_replicas_are_left_alone() {
    let member = |database: &mut Database| database.cluster = Some("shop".to_owned());
    Case::new()
        .database(member)
        .expect(&["db: keep cluster_member"]);
    let replica = |database: &mut Database| database.replica_of = Some("shop".to_owned());
    let case = Case::new().database(replica);
    case.expect(&["db: keep read_replica"]);
    case.rule(|rule| rule.replicas = true)
        .expect(&["new: do 0 first"]);
}

#[test]
fn databases_are_selected_by_name_and_tags() {
    let case = Case::new().rule(|rule| {
        rule.databases = Some(Selection {
            include: vec!["shop-*".to_owned()],
            exclude: vec!["*-test".to_owned()],
        });
        rule.tags = BTreeMap::from([("team".to_owned(), "pay*".to_owned())]);
    });
    let tag = |value: &'static str| {
        move |database: &mut Database| {
            database.tags.insert("team".to_owned(), value.to_owned());
        }
    };
    case.expect(&["db: keep not_selected"]);
    case.clone()
        .database(tag("web"))
        .expect(&["db: keep not_selected"]);
    case.clone()
        .database(tag("payments"))
        .expect(&["new: do 0 first"]);
    case.database(tag("payments"))
        .database(|database| database.identifier = "shop-test".to_owned())
        .expect(&["shop-test: keep not_selected"]);
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

/// Two that stay by the rules, and one more that would go.
fn with_third(change: impl FnOnce(&mut Snapshot)) -> Case {
    let case = Case::new().own("a", 1).own("b", 25).own("c", 49);
    case.snapshot(&home(), "c", change)
}
