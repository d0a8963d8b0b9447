//! What went wrong with other tools, decided here.

use super::*;

/// The environment goes to sleep.
fn evening(all: impl IntoIterator<Item = Resource>) -> Vec<String> {
    let begun = progress("23 20:00", Wanted::Off, false);
    told(&decided(&seen(all, begun), "23 20:05"))
}

fn is_told(told: &[String], what: &str) {
    assert!(told.iter().any(|it| it == what), "{what}: {told:?}");
}

/// ECS takes no desired count for one (`UpdateService`, Amazon ECS API Reference).
#[test]
fn a_daemon_is_left_alone_and_holds_nothing_up() {
    let mut daemon = service(2, Suspended::default());
    if let Kind::Service(service) = &mut daemon.kind {
        service.is_daemon = true;
        service.scalable = None;
    }
    let told = evening([database("available"), group(2), daemon]);
    is_told(&told, "service: keep daemon");
    is_told(&told, "group: park_group to_sleep");
}

#[test]
fn instances_that_are_protected_are_told_and_waited_for() {
    let mut group = parked(group(0), sizes(2, 2, 4, None));
    if let Kind::Group(group) = &mut group.kind {
        group.instances = 2;
        group.protected = 2;
    }
    let [_, _, service] = asleep();
    let told = evening([database("available"), group, service]);
    is_told(&told, "group: defer protected");
    is_told(&told, "database: defer waits_for");
}

#[test]
fn what_is_at_zero_when_it_is_first_seen_stays_so_and_is_not_remembered_as_usual() {
    let at_zero = || {
        let mut group = group(0);
        if let Kind::Group(group) = &mut group.kind {
            group.max = 4;
        }
        let mut service = service(0, Suspended::default());
        if let Kind::Service(service) = &mut service.kind {
            service.scalable = None;
        }
        [database("available"), group, service]
    };
    let told = evening(at_zero());
    is_told(&told, "service: keep at_zero");
    is_told(&told, "group: keep at_zero");
    is_told(&told, "database: park_database to_sleep");

    let morning = progress("24 08:00", on(), false);
    let told = self::told(&decided(&seen(at_zero(), morning), "24 08:05"));
    assert_eq!(
        told,
        [
            "database: keep awake",
            "dev: finish_transition reached",
            "group: keep awake",
            "service: keep at_zero"
        ]
    );
}

/// An event may come before the status that it tells of has changed; and a database
/// cannot be stopped in every state ("Stopping an Amazon RDS DB instance temporarily",
/// Amazon RDS User Guide).
#[test]
fn a_database_that_is_busy_is_stopped_when_it_is_available() {
    let [_, group, service] = asleep();
    for status in [
        "backing-up",
        "configuring-log-exports",
        "maintenance",
        "modifying",
        "rebooting",
        "storage-optimization",
        "upgrading",
    ] {
        let told = evening([database(status), group.clone(), service.clone()]);
        is_told(&told, "database: defer busy");
    }
    let told = evening([database("available"), group, service]);
    is_told(&told, "database: park_database to_sleep");

    let week = |status: &str| {
        let night = progress("23 20:00", Wanted::Off, true);
        let seen = seen([parked(database(status), Sizes::default())], night);
        let long = r#"
version: 1
schedules:
  never: {periods: [{stop: "20:00"}], until_date: "2026-11-23"}
environments:
  dev: {schedules: [never]}
"#;
        let plan = decide(&policy(long), &Scope::Everything, &seen, at("30 20:01"));
        self::told(&plan)[0].clone()
    };
    // RDS-EVENT-0154 is told while it still starts.
    assert_eq!(week("starting"), "database: defer busy");
    assert_eq!(week("available"), "database: park_database started_by_aws");
}
