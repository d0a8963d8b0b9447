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
