//! One environment of a database, a group and a service, in states that are hard to
//! bring about.

mod incidents;

use steward::engine::Reason as _;
use steward::names::{ENVIRONMENT, PARKED};
use steward::policy::PolicyDocument;

use super::*;
use crate::world::{
    Database, Group, Kind, Remembered, Resource, Saved, Scalable, Service, Sizes, State, Stray,
    Suspended,
};

const DATABASE: &str = "arn:aws:rds:eu-central-1:111111111111:db:shop";
const GROUP: &str = "arn:aws:autoscaling:eu-central-1:111111111111:autoScalingGroup:1:\
                     autoScalingGroupName/shop";
const SERVICE: &str = "arn:aws:ecs:eu-central-1:111111111111:service/shop/web";

/// Every day from 08:00 to 20:00 UTC.
const DAILY: &str = r#"
version: 1
schedules:
  day: {periods: [{start: "08:00", stop: "20:00"}], change_calendars: [freeze]}
environments:
  dev: {schedules: [day]}
"#;

fn policy(text: &str) -> ScalingPolicy {
    let document = PolicyDocument::<ScalingPolicy>::parse(text, "test").unwrap();
    document.policy().clone()
}

/// A time on a day of November 2026: `23 08:00`.
fn at(text: &str) -> Timestamp {
    let (day, time) = text.split_once(' ').unwrap();
    format!("2026-11-{day}T{time}:00Z").parse().unwrap()
}

fn resource(arn: &str, name: &str, kind: Kind) -> Resource {
    Resource {
        arn: arn.to_owned(),
        name: name.to_owned(),
        tags: [(ENVIRONMENT.to_owned(), "dev".to_owned())].into(),
        saved: None,
        raised_from: None,
        kind,
    }
}

/// What is parked since Monday evening, and how it is remembered.
fn parked(mut resource: Resource, sizes: Sizes) -> Resource {
    let evening = at("23 20:00");
    resource.saved = Some(Saved {
        environment: "dev".to_owned(),
        sizes,
        at: evening,
        transition: evening,
        state: State::Parked,
    });
    resource.tags.insert(PARKED.to_owned(), evening.to_string());
    resource
}

fn database(status: &str) -> Resource {
    let kind = Kind::Database(Database {
        status: status.to_owned(),
        engine: "postgres".to_owned(),
        ..Database::default()
    });
    resource(DATABASE, "shop", kind)
}

fn group(size: u32) -> Resource {
    let kind = Kind::Group(Group {
        min: size,
        desired: size,
        max: 4,
        instances: size,
        in_service: size,
        ..Group::default()
    });
    resource(GROUP, "shop", kind)
}

fn service(desired: u32, suspended: Suspended) -> Resource {
    let kind = Kind::Service(Service {
        status: "ACTIVE".to_owned(),
        desired,
        running: desired,
        deployed_by_ecs: true,
        scalable: Some(Scalable {
            min: desired,
            max: 2 * desired,
            suspended,
        }),
        ..Service::default()
    });
    resource(SERVICE, "shop/web", kind)
}

fn sizes(min: u32, desired: u32, max: u32, suspended: Option<Suspended>) -> Sizes {
    Sizes {
        min: Some(min),
        desired: Some(desired),
        max: Some(max),
        suspended,
    }
}

fn awake() -> [Resource; 3] {
    let scales = Suspended::default();
    [database("available"), group(2), service(3, scales)]
}

fn asleep() -> [Resource; 3] {
    [
        parked(database("stopped"), Sizes::default()),
        parked(group(0), sizes(2, 2, 4, None)),
        parked(
            service(0, Suspended::ALL),
            sizes(3, 3, 6, Some(Suspended::default())),
        ),
    ]
}

/// The last transition of the environment, begun at the time when it was due.
fn progress(last: &str, to: Wanted, finished: bool) -> Progress {
    Progress {
        last: Applied { at: at(last), to },
        applied: true,
        finished,
        step: 0,
        step_since: at(last),
        told_of: None,
    }
}

fn on() -> Wanted {
    Wanted::On { size: None }
}

/// All of it was looked at, and its Change Calendar is open.
fn seen(resources: impl IntoIterator<Item = Resource>, progress: Progress) -> Seen<World> {
    let known = Remembered {
        version: 7,
        progress,
    };
    let memory = Memory {
        environments: [("dev".to_owned(), known)].into(),
        ..Memory::default()
    };
    let resources = resources.into_iter();
    Seen {
        world: World {
            memory: Some(memory),
            change_calendars: [("freeze".to_owned(), Gate::Open)].into(),
            looked_at: [("dev".to_owned(), Look::Whole)].into(),
            resources: resources.map(|it| (it.arn.clone(), it)).collect(),
            ..World::default()
        },
        ..Seen::default()
    }
}

fn decided(seen: &Seen<World>, now: &str) -> Plan<Action, Reason> {
    decide(&policy(DAILY), &Scope::Everything, seen, at(now))
}

/// Of each thing what becomes of it and why: `shop/web: park_service to_sleep`.
fn told(plan: &Plan<Action, Reason>) -> Vec<String> {
    let told = plan.items.iter().map(|item| {
        let what = match &item.decision {
            Decision::Keep => "keep",
            Decision::Defer => "defer",
            Decision::Act(change) => change.action.kind(),
        };
        let name = match item.target.as_str() {
            DATABASE => "database",
            GROUP => "group",
            SERVICE => "service",
            other => other,
        };
        format!("{name}: {what} {}", item.reason.code())
    });
    let mut all: Vec<String> = told.collect();
    all.sort();
    all
}

fn unread(hides: Hides) -> Gap {
    Gap {
        read: "rds:DescribeDBInstances: no answer".to_owned(),
        hides,
        grant: "rds:DescribeDBInstances".to_owned(),
    }
}

#[test]
fn a_wake_up_under_way_is_not_left_halfway_for_a_calendar() {
    let begun = progress("24 08:00", on(), false);
    let mut seen = seen(asleep(), begun);
    seen.world
        .change_calendars
        .insert("freeze".to_owned(), Gate::Unread);
    let mut twice = policy(DAILY);
    let day = twice.schedules.get_mut("day").unwrap();
    let mut peak = day.periods[0].clone();
    peak.start = Some("09:00".parse().unwrap());
    peak.size = Some("peak".to_owned());
    day.periods[0].stop = Some("09:00".parse().unwrap());
    day.periods.push(peak);
    let plan = decide(&twice, &Scope::Everything, &seen, at("24 09:05"));
    let told = told(&plan);
    assert!(
        told.contains(&"database: wake_database to_wake".to_owned()),
        "{told:?}"
    );
    // One that has not begun waits, and a person is told.
    let night = progress("23 20:00", Wanted::Off, true);
    seen.world
        .memory
        .as_mut()
        .unwrap()
        .environments
        .get_mut("dev")
        .unwrap()
        .progress = night;
    let plan = decide(&twice, &Scope::Everything, &seen, at("24 09:05"));
    assert_eq!(self::told(&plan), ["dev: record_overdue frozen"]);
    assert_eq!(plan.needs.len(), 1);
}

#[test]
fn nothing_needs_a_wake_up_that_could_not_be_seen() {
    let begun = progress("24 08:00", on(), false);
    let mut seen = seen(asleep().into_iter().skip(1), begun);
    seen.gaps.push(unread(Hides::unit("dev")));
    // The database is not there, and nobody knows why.
    assert_eq!(
        told(&decided(&seen, "24 08:05")),
        [
            "dev: defer under_way",
            "group: defer unseen",
            "service: defer waits_for"
        ]
    );
    seen.world.resources = asleep().map(|it| (it.arn.clone(), it)).into();
    assert_eq!(
        told(&decided(&seen, "24 08:05"))[0],
        "database: wake_database to_wake"
    );
}

#[test]
fn while_it_is_not_known_what_is_raised_nothing_is_parked_and_all_wakes() {
    let evening = progress("23 20:00", Wanted::Off, false);
    let mut parking = seen(awake(), evening);
    assert!(
        told(&decided(&parking, "23 20:05")).contains(&"service: park_service to_sleep".to_owned())
    );
    parking.world.raises_unread = true;
    assert!(told(&decided(&parking, "23 20:05")).contains(&"service: defer unseen".to_owned()));
    let mut waking = seen(asleep(), progress("24 08:00", on(), false));
    waking.world.raises_unread = true;
    let told = told(&decided(&waking, "24 08:05"));
    assert_eq!(told[0], "database: wake_database to_wake");
}

#[test]
fn what_no_member_has_any_more_is_told_and_what_is_gone_is_forgotten() {
    let begun = progress("24 08:00", on(), false);
    let mut seen = seen(awake(), begun);
    let saved = asleep()[2].saved.clone().unwrap();
    let mut stray = |arn: &str, is_gone| {
        let saved = saved.clone();
        seen.world
            .strays
            .insert(arn.to_owned(), Stray { saved, is_gone });
    };
    stray("arn:of:one", false);
    stray("arn:of:other", true);
    let plan = decided(&seen, "24 08:05");
    let told = told(&plan);
    assert_eq!(
        told[..2],
        ["arn:of:one: defer no_member", "arn:of:other: unmark gone"]
    );
    assert!(
        told.contains(&"dev: defer under_way".to_owned()),
        "{told:?}"
    );
    assert_eq!(plan.needs, vec![]);
    // After the time of a step a person hears of it.
    let plan = decided(&seen, "24 09:05");
    assert!(
        plan.needs[0]
            .what
            .contains("no member of the environment has it"),
        "{plan:?}"
    );
    // What could not be read is not called so.
    seen.gaps.push(unread(Hides::unit("dev")));
    assert_eq!(
        self::told(&decided(&seen, "24 08:05"))[0],
        "arn:of:one: defer unseen"
    );
}

#[test]
fn an_environment_that_sleeps_when_it_is_taken_out_of_the_policy_is_told_once() {
    let mut seen = seen([], progress("23 20:00", Wanted::Off, true));
    let none = policy("version: 1");
    let plan = decide(&none, &Scope::Everything, &seen, at("24 08:05"));
    assert_eq!(told(&plan), ["dev: record_overdue forgotten"]);
    assert!(plan.needs[0].what.contains("nothing wakes it"));
    let known = seen
        .world
        .memory
        .as_mut()
        .unwrap()
        .environments
        .get_mut("dev")
        .unwrap();
    known.progress.told_of = Some(at("23 20:00"));
    let plan = decide(&none, &Scope::Everything, &seen, at("24 08:10"));
    assert_eq!(told(&plan), ["dev: keep forgotten"]);
    assert_eq!(plan.needs, vec![]);
}

#[test]
fn a_database_that_was_stopped_and_not_confirmed_is_confirmed() {
    let mut all = asleep();
    all[0].saved.as_mut().unwrap().state = State::Parking;
    let plan = decided(
        &seen(all, progress("23 20:00", Wanted::Off, false)),
        "23 20:20",
    );
    assert!(
        told(&plan).contains(&"database: park_database to_sleep".to_owned()),
        "{plan:?}"
    );
    // Then there is nothing left to do.
    let plan = decided(
        &seen(asleep(), progress("23 20:00", Wanted::Off, false)),
        "23 20:20",
    );
    assert!(
        told(&plan).contains(&"dev: finish_transition reached".to_owned()),
        "{plan:?}"
    );
}

#[test]
fn after_seven_days_a_database_is_stopped_again_unless_somebody_has_taken_it() {
    let long = r#"
version: 1
schedules:
  never: {periods: [{stop: "20:00"}], until_date: "2026-11-23"}
environments:
  dev: {schedules: [never]}
"#;
    let night = || progress("23 20:00", Wanted::Off, true);
    let one = |database: Resource, now: &str| {
        let plan = decide(
            &policy(long),
            &Scope::Everything,
            &seen([database], night()),
            at(now),
        );
        told(&plan)[0].clone()
    };
    let started = || parked(database("available"), Sizes::default());
    assert_eq!(
        one(started(), "30 19:59"),
        "database: unmark started_by_hand"
    );
    assert_eq!(
        one(started(), "30 20:01"),
        "database: park_database started_by_aws"
    );
    let mut taken = started();
    taken.tags.remove(PARKED);
    assert_eq!(one(taken, "30 20:01"), "database: unmark started_by_hand");
}

#[test]
fn what_is_at_nothing_and_nobody_remembers_is_told_and_keeps_its_mark() {
    let mut all = asleep();
    all[2].saved = None;
    all[2].tags.insert(PARKED.to_owned(), "yes".to_owned());
    let [_, _, service] = all;
    let mut begun = progress("24 08:00", on(), false);
    begun.step = 2;
    let plan = decided(
        &seen([database("available"), group(2), service], begun),
        "24 08:05",
    );
    let told = told(&plan);
    assert!(
        told.contains(&"service: keep sizes_unknown".to_owned()),
        "{told:?}"
    );
    assert!(
        plan.needs[0]
            .what
            .contains("neither the ledger nor its tag"),
        "{plan:?}"
    );
}

#[test]
fn a_step_that_goes_back_keeps_its_time() {
    let mut begun = progress("24 08:00", on(), false);
    begun.step = 2;
    let [database, mut group, service] = awake();
    if let Kind::Group(group) = &mut group.kind {
        group.in_service = 1;
    }
    let seen = seen([database, group, service], begun);
    assert!(told(&decided(&seen, "24 08:05")).contains(&"dev: defer under_way".to_owned()));
    assert!(told(&decided(&seen, "24 09:05")).contains(&"dev: record_overdue overdue".to_owned()));
}

#[test]
fn a_hold_on_what_only_has_its_mark_left_holds_nothing_up() {
    let mut held = parked(database("available"), Sizes::default());
    held.tags
        .insert("steward:hold".to_owned(), "mine".to_owned());
    let [_, group, service] = asleep();
    let begun = progress("24 08:00", on(), false);
    let told = told(&decided(&seen([held, group, service], begun), "24 08:05"));
    assert!(
        told.contains(&"database: keep awake".to_owned()),
        "{told:?}"
    );
    assert!(
        told.contains(&"group: wake_group to_wake".to_owned()),
        "{told:?}"
    );
}

#[test]
fn a_tag_that_was_copied_to_what_runs_is_not_believed() {
    let copied = || {
        let mut service = service(3, Suspended::default());
        let tag = "2026-11-23T20:00:00Z desired=1 min=1 max=1";
        service.tags.insert(PARKED.to_owned(), tag.to_owned());
        service
    };
    let plan = decided(
        &seen([copied()], progress("24 20:00", Wanted::Off, false)),
        "24 20:05",
    );
    let mut changes = plan.items.iter().filter_map(|item| match &item.decision {
        Decision::Act(Change {
            action: Action::SetService(setting),
            ..
        }) => setting.remember,
        _ => None,
    });
    let usual = Some(Suspended::default());
    assert_eq!(changes.next(), Some(sizes(3, 3, 6, usual)));
    // Nor does it make an environment that is seen for the first time go to sleep.
    let mut first = seen([copied()], progress("24 20:00", Wanted::Off, false));
    first.world.memory = Some(Memory::default());
    let told = told(&decided(&first, "24 22:00"));
    assert_eq!(told, ["dev: remember_environment first_seen"]);
}
