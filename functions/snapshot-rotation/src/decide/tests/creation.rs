//! When a database gets a snapshot.

use super::*;

#[test]
fn a_database_without_a_snapshot_gets_its_first() {
    let case = Case::new();
    case.expect(&["new: do 0 first"]);
    let Action::CreateSnapshot(creation) = case.action("new") else {
        panic!("it is no creation");
    };
    assert_eq!(creation.of.snapshot, "steward-shop-db-uvwxyz-20261123-0000");
    let tags: Vec<(&str, &str)> = creation
        .tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        tags,
        [
            ("steward:made-for", RESOURCE_ID),
            ("steward:managed-by", "snapshot-rotation"),
        ]
    );
    assert_eq!(case.waits_for().unwrap(), "snapshots to be complete");
}

#[test]
fn a_snapshot_is_due_when_the_newest_is_an_interval_old_or_a_little_less() {
    for (age, fate) in [
        (0, "db: keep recent"),
        (22, "db: keep recent"),
        (23, "new: do 0 due"),
        (24, "new: do 0 due"),
        // Nights that were missed are made good by one.
        (24 * 30, "new: do 0 due"),
    ] {
        Case::new().own("a", age).expect(&["a: keep kept", fate]);
    }
}

#[test]
fn an_event_that_comes_twice_makes_nothing_twice() {
    let case = Case::new().own("a", 24);
    let Action::CreateSnapshot(first) = case.action("new") else {
        panic!("it is no creation");
    };
    assert_eq!(Action::CreateSnapshot(first), case.action("new"));
    // Nor some minutes later, when the first is still being made.
    let later = case.own("b", 0).snapshot(&home(), "b", |b| {
        b.progress = under("creating");
        (b.created_at, b.taken_at) = (None, None);
    });
    later.expect(&["a: keep kept", "b: keep under_way", "db: keep under_way"]);
    assert_eq!(later.waits_for().unwrap(), "snapshots to be complete");
    assert_eq!(later.needs(), Vec::<String>::new());
}

#[test]
fn the_same_time_has_the_same_name_however_often_it_is_asked_for() {
    let case = Case::new().own("a", 24);
    let mut later = case.clone();
    later.now = now() + hours(5);
    assert_eq!(case.action("new"), later.action("new"));
}

#[test]
fn a_database_in_a_state_that_passes_is_waited_for() {
    for status in [
        "backing-up",
        "modifying",
        "rebooting",
        "starting",
        "creating",
        "configuring-log-exports",
    ] {
        let case = Case::new()
            .own("a", 25)
            .database(|database| database.status = status.to_owned());
        case.expect(&["a: keep kept", "db: wait not_available"]);
        assert_eq!(case.waits_for().unwrap(), "databases to be available");
        assert_eq!(case.needs(), Vec::<String>::new(), "{status}");
    }
}

#[test]
fn a_database_in_any_other_state_is_told_and_past_its_objective_needs_a_person() {
    for status in [
        "stopped",
        "storage-full",
        "failed",
        "inaccessible-encryption-credentials",
        "nobody-knows",
    ] {
        let of_age = |age| {
            let case = Case::new().own("a", age);
            case.database(|database| database.status = status.to_owned())
        };
        let case = of_age(25);
        case.expect(&["a: keep kept", "db: wait not_available"]);
        assert_eq!(case.waits_for(), None);
        assert_eq!(case.needs(), Vec::<String>::new(), "{status}");
        assert_eq!(
            of_age(31).needs(),
            [format!(
                "db: the newest snapshot that can be restored is of 2026-11-22T05:00:00Z, and the \
                 objective is 30h: RDS makes no snapshot of a database that is {status}"
            )]
        );
    }
}

#[test]
fn a_state_in_which_rds_makes_snapshots_is_enough() {
    let optimizing = |database: &mut Database| database.status = "storage-optimization".to_owned();
    Case::new()
        .database(optimizing)
        .expect(&["new: do 0 first"]);
}

fn parked(case: Case, hours_ago: i64, status: &str) -> Case {
    case.database(|database| {
        database.status = status.to_owned();
        let tags = &mut database.tags;
        tags.insert(names::PARKED.to_owned(), ago(hours_ago).to_string());
    })
}

#[test]
fn a_parked_database_with_a_snapshot_from_then_needs_no_other() {
    for status in ["stopped", "stopping", "starting"] {
        // One that was made for parking, by somebody else.
        let case = Case::new().own("a", 110);
        let stop = foreign(&case.world.databases[0], "stopped-shop-db", 100);
        let case = parked(case.put(&home(), "stop", stop), 99, status);
        case.expect(&["a: keep kept", "stop: keep foreign", "db: keep parked"]);
        assert_eq!(case.needs(), Vec::<String>::new());
        assert_eq!(case.measured("db", "ObjectivesMissed"), None);
    }
    parked(Case::new().own("a", 100), 99, "stopped").expect(&["a: keep kept", "db: keep parked"]);
}

#[test]
fn a_parked_database_without_a_snapshot_from_then_keeps_its_objective() {
    let case = parked(Case::new().own("a", 110), 99, "stopped");
    case.expect(&["a: keep kept", "db: wait not_available"]);
    assert_eq!(case.needs().len(), 1);
    assert_eq!(case.measured("db", "ObjectivesMissed"), Some(1.0));
    // Nor does a snapshot help that cannot be restored.
    let case = Case::new()
        .own("a", 100)
        .snapshot(&home(), "a", |a| a.progress = failed());
    parked(case, 99, "stopped").expect(&["a: keep broken", "db: wait not_available"]);
}

#[test]
fn a_database_that_works_is_not_parked_whatever_its_tag_says() {
    // RDS starts what has been stopped for seven days.
    parked(Case::new().own("a", 200), 199, "available").expect(&["a: keep kept", "new: do 0 due"]);
    let case = parked(Case::new().own("a", 200), 199, "storage-full");
    case.expect(&["a: keep kept", "db: wait not_available"]);
    assert_eq!(case.needs().len(), 1);
}

#[test]
fn a_time_of_parking_that_cannot_be_read_or_is_still_to_come_parks_nothing() {
    for value in ["", "yesterday", "2026-11-24T12:00:00Z"] {
        let case = Case::new().own("a", 100).database(|database| {
            database.status = "stopped".to_owned();
            database
                .tags
                .insert(names::PARKED.to_owned(), value.to_owned());
        });
        case.expect(&["a: keep kept", "db: wait not_available"]);
    }
}

#[test]
fn a_failed_attempt_is_made_again_under_another_name() {
    let case = Case::new()
        .own("a", 48)
        .own("b", 24)
        .snapshot(&home(), "b", |b| b.progress = failed());
    case.expect(&["a: keep kept", "b: keep broken", "new: do 0 due"]);
    let newest = |case: &Case| match case.action("new") {
        Action::CreateSnapshot(creation) => creation.of.snapshot,
        other => panic!("{other:?}"),
    };
    // The time that is due now is that of `b` plus a day.
    assert_eq!(newest(&case), "steward-shop-db-uvwxyz-20261123-1200");
    let mut yesterday = case;
    yesterday.now = ago(23);
    assert_eq!(newest(&yesterday), "steward-shop-db-uvwxyz-20261122-1200-2");
}

#[test]
fn attempts_that_fail_again_and_again_leave_one_and_no_name_is_used_twice() {
    let mut case = Case::new().own("a", 48);
    for attempt in [2, 3] {
        let database = &case.world.databases[0];
        let id = names::snapshot_id("shop-db", RESOURCE_ID, ago(24), attempt);
        let mut snapshot = own(database, 23);
        snapshot.id = id;
        snapshot.progress = failed();
        case = case.put(&home(), &format!("attempt {attempt}"), snapshot);
    }
    // Due 24 hours ago, a fourth attempt is made six hours later.
    case.now = ago(19);
    case.expect(&[
        "a: keep kept",
        "attempt 2: do 4 broken_and_replaced",
        "attempt 3: keep broken",
        "db: wait newest_failed",
    ]);
    case.now = ago(18);
    case.expect(&[
        "a: keep kept",
        "attempt 2: do 4 broken_and_replaced",
        "attempt 3: keep broken",
        "new: do 0 due",
    ]);
    assert_eq!(
        case.action("new").subject().unwrap().snapshot,
        "steward-shop-db-uvwxyz-20261122-1200-4"
    );
    assert_eq!(case.comes_after("attempt 2"), ["new"]);
}

#[test]
fn attempts_that_wait_do_not_hide_an_objective_that_is_missed() {
    let mut case = Case::new().own("a", 48);
    let mut attempt = own(&case.world.databases[0], 6);
    attempt.id = names::snapshot_id("shop-db", RESOURCE_ID, ago(24), 8);
    attempt.progress = failed();
    case = case.put(&home(), "attempt 8", attempt);
    case.now = ago(4);
    case.expect(&[
        "a: keep kept",
        "attempt 8: keep broken",
        "db: wait newest_failed",
    ]);
    let needs = case.needs();
    assert!(needs[0].contains("the objective is 30h"), "{needs:?}");
}

#[test]
fn a_snapshot_that_lost_its_tags_is_told_and_not_made_by_every_run() {
    let case = Case::new().own("a", 24);
    let id = case.action("new").subject().unwrap().snapshot.clone();
    let stripped = foreign(&case.world.databases[0], &id, 0);
    let mut case = case.put(&home(), "stripped", stripped);
    case.expect(&[
        "a: keep kept",
        "stripped: keep foreign",
        "db: wait tags_missing",
    ]);
    let needs = case.needs();
    assert!(needs[0].contains("has lost the tags"), "{needs:?}");
    // An interval later another is made, so that there is one for each.
    case.now = ago(-24);
    case.expect(&["a: keep kept", "stripped: keep foreign", "new: do 0 due"]);
}

#[test]
fn one_that_fails_and_fails_gets_one_attempt_in_an_interval() {
    let mut case = Case::new().own("a", 73);
    for (attempt, hours) in [(1, 49), (2, 49), (1, 25)] {
        let mut failure = own(&case.world.databases[0], hours);
        failure.id = names::snapshot_id("shop-db", RESOURCE_ID, ago(hours), attempt);
        failure.progress = failed();
        case = case.put(&home(), &format!("{hours} {attempt}"), failure);
    }
    // The one of today is made, and no second.
    let id = case.action("new").subject().unwrap().snapshot.clone();
    assert_eq!(id, "steward-shop-db-uvwxyz-20261123-1100");
    let mut failure = own(&case.world.databases[0], 0);
    failure.id = id;
    failure.progress = failed();
    let case = case.put(&home(), "today", failure);
    let fates = case.fates();
    assert!(fates.contains("db: wait newest_failed"), "{fates:?}");
}

#[test]
fn a_little_early_every_day_does_not_move_the_time_of_day() {
    // Due at noon yesterday, and made at eleven.
    let mut early = own(&Case::new().world.databases[0], 25);
    early.id = names::snapshot_id("shop-db", RESOURCE_ID, ago(24), 1);
    let mut case = Case::new().put(&home(), "a", early);
    case.now = ago(1) - SignedDuration::from_mins(1);
    case.expect(&["a: keep kept", "db: keep recent"]);
    case.now = ago(1);
    let id = case.action("new").subject().unwrap().snapshot.clone();
    assert_eq!(id, "steward-shop-db-uvwxyz-20261123-1200");
}

#[test]
fn a_snapshot_gets_the_tags_that_people_gave_its_database() {
    let case = Case::new().database(|database| {
        for (key, value) in [
            ("team", "shop"),
            ("aws:cloudformation:stack-name", "shop"),
            ("steward:environment", "production"),
            ("steward:parked", "2020-01-01T00:00:00Z"),
        ] {
            database.tags.insert(key.to_owned(), value.to_owned());
        }
        let many = (0..60).map(|n| (format!("z{n:02}"), String::new()));
        database.tags.extend(many);
    });
    let Action::CreateSnapshot(creation) = case.action("new") else {
        panic!("none is made");
    };
    let tags = creation.tags;
    assert_eq!(tags["team"], "shop");
    assert_eq!(tags[names::MADE_FOR], RESOURCE_ID);
    assert_eq!(tags[names::ENVIRONMENT], "production");
    assert!(!tags.contains_key("steward:parked"), "{tags:?}");
    assert!(!tags.keys().any(|key| key.starts_with("aws:")), "{tags:?}");
    // One more is added when it is complete; 50 is the limit of AWS.
    assert!(tags.len() < 50, "{}", tags.len());
}

#[test]
fn an_old_snapshot_that_is_upgraded_does_not_hold_up_the_next() {
    let case = Case::new()
        .own("a", 48)
        .own("b", 24)
        .snapshot(&home(), "a", |a| a.progress = under("upgrading"));
    case.expect(&["a: keep under_way", "b: keep kept", "new: do 0 due"]);
}

#[test]
fn a_snapshot_that_is_never_complete_needs_a_person() {
    let hangs = |age| {
        Case::new()
            .own("a", age + 24)
            .own("b", age)
            .snapshot(&home(), "b", |b| {
                b.progress = under("creating");
                b.taken_at = None;
            })
    };
    assert_eq!(hangs(10).needs(), Vec::<String>::new());
    let case = hangs(31);
    case.expect(&["a: keep kept", "b: keep under_way", "db: keep under_way"]);
    assert_eq!(
        case.needs(),
        [
            "db: the newest snapshot that can be restored is of 2026-11-21T05:00:00Z, and the \
          objective is 30h: creating, 40 %"
        ]
    );
}

#[test]
fn a_snapshot_of_which_nobody_knows_when_it_was_taken_is_no_newest() {
    let case = Case::new()
        .own("a", 1)
        .snapshot(&home(), "a", |a| a.taken_at = None);
    case.expect(&["a: keep time_unknown", "new: do 0 first"]);
}

#[test]
fn a_snapshot_from_the_future_is_no_fresh_data() {
    // Clocks may differ by minutes.
    let in_minutes = |minutes| {
        let mut case = Case::new().own("old", 30).own("a", 0);
        case.now = now() - SignedDuration::from_mins(minutes);
        case
    };
    in_minutes(15).expect(&["a: keep kept", "old: keep kept", "db: keep recent"]);
    in_minutes(16).expect(&["a: keep kept", "old: keep kept", "new: do 0 due"]);
}

#[test]
fn a_database_on_hold_gets_none_and_loses_none() {
    let case = Case::new()
        .own("a", 100)
        .own("b", 90)
        .own("c", 80)
        .database(|database| {
            database
                .tags
                .insert("steward:hold".to_owned(), "yes".to_owned());
        });
    case.expect(&[
        "a: keep held",
        "b: keep held",
        "c: keep held",
        "db: keep held",
    ]);
    assert_eq!(case.needs().len(), 1, "its objective is missed");
    let expired = Case::new().own("a", 1).database(|database| {
        let until = ago(1).to_string();
        database.tags.insert("steward:hold-until".to_owned(), until);
    });
    expired.expect(&["a: keep kept", "db: keep recent"]);
}

#[test]
fn without_the_listing_here_nothing_is_made_and_nothing_is_said_of_the_objective() {
    let case = Case::new()
        .own("a", 100)
        .place(&home(), |holdings| holdings.complete = false)
        .gap(Hides::Everything);
    case.expect(&["a: keep kept", "db: wait unseen"]);
    assert_eq!(case.needs(), Vec::<String>::new());
    assert_eq!(case.measured("db", "ObjectivesMissed"), None);
}

#[test]
fn the_database_that_two_rules_select_is_left_alone_and_needs_a_person() {
    let mut case = Case::new().own("a", 100).own("b", 99).own("c", 98);
    let second = Rule {
        name: "second".to_owned(),
        ..case.policy.rules[0].clone()
    };
    case.policy.rules.push(second);
    case.expect(&[
        "a: keep two_rules",
        "b: keep two_rules",
        "c: keep two_rules",
        "db: wait two_rules",
    ]);
    assert_eq!(
        case.needs(),
        ["db: more than one rule selects it: all, second"]
    );
}

#[test]
fn rules_select_by_identifier_and_by_tags() {
    let selects = |rule: Rule| rule.selects(&Case::new().world.databases[0]);
    let by_name = |names: &[&str], exclude: &[&str]| Rule {
        databases: Some(Selection {
            include: names.iter().map(|name| (*name).to_owned()).collect(),
            exclude: exclude.iter().map(|name| (*name).to_owned()).collect(),
        }),
        ..Rule::default()
    };
    assert!(selects(by_name(&["shop-*"], &[])));
    assert!(!selects(by_name(&["shop-*"], &["*-db"])));
    assert!(!selects(by_name(&["blog-*"], &[])));
    let by_tag = |glob: &str| Rule {
        databases: None,
        tags: BTreeMap::from([("backup".to_owned(), glob.to_owned())]),
        ..Rule::default()
    };
    assert!(!selects(by_tag("*")), "it has no such tag");
    let mut tagged = Case::new().world.databases.remove(0);
    tagged.tags.insert("backup".to_owned(), "daily".to_owned());
    assert!(by_tag("d*").selects(&tagged));
    assert!(!by_tag("weekly").selects(&tagged));
}

#[test]
fn a_database_that_no_rule_selects_is_left_alone() {
    let case = Case::new().own("a", 100).own("b", 99).own("c", 98);
    let case = case.rule(|rule| rule.databases = Some(Selection::default()));
    case.expect(&[
        "a: keep not_selected",
        "b: keep not_selected",
        "c: keep not_selected",
        "db: keep not_selected",
    ]);
}

#[test]
fn a_member_of_a_cluster_is_never_taken_as_an_instance() {
    let case = Case::new().database(|database| database.cluster = Some("aurora".to_owned()));
    case.expect(&["db: keep cluster_member"]);
}

#[test]
fn a_replica_is_taken_only_where_a_rule_asks_for_it() {
    let replica = Case::new().database(|database| database.replica_of = Some("main".to_owned()));
    replica.expect(&["db: keep read_replica"]);
    let asked = replica.clone().rule(|rule| rule.replicas = true);
    asked.expect(&["new: do 0 first"]);
    // A rule that does not take replicas is not a second one.
    let mut two = replica;
    let second = Rule {
        name: "replicas".to_owned(),
        replicas: true,
        ..two.policy.rules[0].clone()
    };
    two.policy.rules.push(second);
    two.expect(&["new: do 0 first"]);
}

#[test]
fn a_run_for_some_databases_leaves_the_others() {
    let mut case = Case::new().and_database("other-db", "db-OTHER000000000000000000001");
    case.scope = Scope::Databases(vec!["other-db".to_owned()]);
    case.expect(&["new: do 0 first"]);
    assert_eq!(case.action("new").subject().unwrap().database, "other-db");
}
