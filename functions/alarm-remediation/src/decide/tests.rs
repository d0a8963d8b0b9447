//! Alarms of every kind, and what is done about them. A table's row is a world, and the
//! kinds of actions and the codes of reasons that it comes to.

mod lasting;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};
use steward::engine::{Function, Gap, Hides, Reason as _};
use steward::ledger::{Raise, Sizes};
use steward::names;

use super::*;
use crate::AlarmRemediation;
use crate::action::Remedy;
use crate::case::{Attempt, Attempts, Health, Noted, counts_for};
use crate::world::{
    Database, Deployer, Deployment, Group, Instance, Revision, Scalable, Service, Tags, Targets,
    Task,
};

const ARN: &str = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:shop-web";

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

fn web() -> Target {
    "service:shop/web".parse().unwrap()
}

/// Everything that may be done, to everything.
fn policy() -> RemediationPolicy {
    let of = json!({"include": ["*"]});
    let policy = json!({
        "alarms": of,
        "clusters": of,
        "remedies": {
            "raise_service": {"of": of, "most": 20},
            "stop_deployment": {"of": of},
            "roll_back": {"of": of, "approval": false},
            "replace_tasks": {"of": of},
            "raise_group": {"of": of, "most": 8},
            "replace_instance": {"of": of},
            "grow_storage": {"of": of, "most_gib": 500},
        },
    });
    serde_json::from_value(policy).unwrap()
}

fn alarm(concern: Target, symptom: Symptom) -> Alarm {
    Alarm {
        arn: ARN.to_owned(),
        name: "shop-web".to_owned(),
        state: State::Alarm,
        since: ago(2),
        why: "Threshold Crossed".to_owned(),
        is_of_its_making: false,
        tags: Some(BTreeMap::new()),
        quiet: Quiet::No,
        is_of_scaling: false,
        is_of_steward: false,
        concerns: vec![Concern {
            target: concern,
            symptom,
        }],
        unread: vec![],
    }
}

fn task(n: u32, is_unhealthy: bool) -> Task {
    Task {
        arn: format!("arn:task/{n}"),
        started: Some(ago(600 + i64::from(n))),
        is_unhealthy,
    }
}

fn deployment(n: u32, status: &str, started: Timestamp, finished: Option<Timestamp>) -> Deployment {
    Deployment {
        arn: format!("arn:deployment/{n}"),
        revision: format!("arn:revision/{n}"),
        task_definition: format!("arn:task-definition/web:{n}"),
        started,
        finished,
        status: status.to_owned(),
        failed_tasks: 0,
    }
}

/// A service of four tasks that was deployed last week.
fn service() -> Service {
    Service {
        arn: "arn:service/shop/web".to_owned(),
        status: "ACTIVE".to_owned(),
        desired: 4,
        running: 4,
        min_healthy_percent: 50,
        last: Some(deployment(2, "SUCCESSFUL", ago(10_080), Some(ago(10_070)))),
        before_last: Some(Revision {
            arn: "arn:revision/1".to_owned(),
            task_definition: "arn:task-definition/web:1".to_owned(),
            digests: BTreeMap::from([("web".to_owned(), "sha256:aa".to_owned())]),
        }),
        scalable: Some(Scalable { min: 2, max: 10 }),
        tasks: (0..4).map(|n| task(n, false)).collect(),
        targets: Targets {
            healthy: 4,
            unhealthy: vec![],
        },
        ..Service::default()
    }
}

fn group() -> Group {
    Group {
        arn: "arn:group/shop".to_owned(),
        min: 2,
        desired: 4,
        max: 4,
        in_service: (0..4).map(|n| format!("i-{n}")).collect(),
        is_managed: true,
        connected: 4,
        ..Group::default()
    }
}

fn instance() -> Instance {
    Instance {
        arn: "arn:container-instance/shop/0".to_owned(),
        ec2: "i-0".to_owned(),
        cluster: "shop".to_owned(),
        group: Some("shop".to_owned()),
        status: "ACTIVE".to_owned(),
        is_connected: false,
        tasks: 2,
        is_of_provider: false,
        tags: Tags::default(),
    }
}

fn database() -> Database {
    Database {
        arn: "arn:db:shop".to_owned(),
        resource_id: "db-1".to_owned(),
        status: "available".to_owned(),
        storage_gib: 100,
        class: "db.t4g.medium".to_owned(),
        ..Database::default()
    }
}

/// The world of one alarm.
fn world(alarm: Alarm) -> World {
    World {
        memory: Some(Memory::default()),
        alarms: BTreeMap::from([(ARN.to_owned(), alarm)]),
        services: BTreeMap::from([("shop/web".to_owned(), service())]),
        groups: BTreeMap::from([(
            "shop".to_owned(),
            Group {
                connected: 3,
                ..group()
            },
        )]),
        instances: BTreeMap::from([(instance().arn, instance())]),
        databases: BTreeMap::from([("shop-db".to_owned(), database())]),
        ..World::default()
    }
}

fn of_service(symptom: Symptom, service: Service) -> World {
    let mut world = world(alarm(web(), symptom));
    world.services.insert("shop/web".to_owned(), service);
    world
}

fn event() -> Scope {
    Scope::Alarms(vec![Sighting {
        name: "shop-web".to_owned(),
        arn: Some(ARN.to_owned()),
    }])
}

fn plan(
    policy: &RemediationPolicy,
    scope: &Scope,
    world: World,
    at: Timestamp,
) -> Plan<Action, Reason> {
    let seen = Seen {
        world,
        ..Seen::default()
    };
    let plan = decide(policy, scope, &seen, at);
    let again = decide(policy, scope, &seen, at);
    assert_eq!(told(&plan), told(&again));
    plan
}

/// What comes of a plan: `kind(code)` of what is done, and the code of what is not.
fn told(plan: &Plan<Action, Reason>) -> Vec<String> {
    let lines = plan.items.iter().map(|item| match &item.decision {
        Decision::Act(change) => {
            let kind = AlarmRemediation::kind(&change.action);
            format!("{kind}({})", item.reason.code())
        }
        Decision::Keep => item.reason.code().to_owned(),
        Decision::Defer => format!("later({})", item.reason.code()),
    });
    lines.collect()
}

fn on_event(world: World) -> Vec<String> {
    told(&plan(&policy(), &event(), world, now()))
}

fn remedy(plan: &Plan<Action, Reason>) -> Option<&Remedy> {
    plan.items.iter().find_map(|item| match &item.decision {
        Decision::Act(change) => match &change.action {
            Action::Remedy(remedying) => Some(&remedying.remedy),
            _ => None,
        },
        _ => None,
    })
}

/// An open case of the alarm, after these notes and remedies, a quarter of an hour old.
fn case() -> Case {
    let opened = Noted::Opened {
        source: Source::Alarm(ARN.to_owned()),
        name: "shop-web".to_owned(),
        unit: "shop/web".to_owned(),
        concerns: vec![],
        since: Some(ago(2)),
        why: "Threshold Crossed".to_owned(),
    };
    Noted::all_after(&[opened], None, ago(2)).unwrap()
}

fn with_case(mut world: World, case: Case) -> World {
    let memory = world.memory.as_mut().unwrap();
    memory.cases.insert(ARN.to_owned(), (7, case));
    world
}

fn tried(mut world: World, remedy: &Remedy, at: &[Timestamp]) -> World {
    let memory = world.memory.as_mut().unwrap();
    let made = at.iter().map(|at| Attempt {
        at: *at,
        kind: remedy.kind().to_owned(),
        case: ARN.to_owned(),
    });
    let attempts = Attempts {
        version: Some(1),
        made: made.collect(),
    };
    memory.attempts.insert(counts_for(remedy), attempts);
    world
}

fn raise() -> Remedy {
    let busy = of_service(Symptom::Busy, service());
    remedy(&plan(&policy(), &event(), busy, now()))
        .unwrap()
        .clone()
}

#[test]
fn every_symptom_of_a_service_has_its_remedy_or_is_told() {
    let no_room = || Service {
        no_place: Some("unable to place a task: RESOURCE:ENI".to_owned()),
        groups: vec!["shop".to_owned()],
        running: 3,
        ..service()
    };
    let unwell = |n: u32| Service {
        tasks: (0..4).map(|m| task(m, m < n)).collect(),
        ..service()
    };
    let rolling = |status: &str, started| Service {
        under_way: Some(deployment(3, status, started, None)),
        ..service()
    };
    let released = || Service {
        last: Some(deployment(2, "SUCCESSFUL", ago(20), Some(ago(10)))),
        ..service()
    };
    let stopped = |why: &str| Service {
        stopped: vec![why.to_owned()],
        ..unwell(1)
    };
    use Symptom::{Busy, Errors, Unhealthy};
    for (name, symptom, service, expected) in [
        ("busy", Busy, service(), "raise_service(busy)"),
        (
            "busy, tasks on their way",
            Busy,
            Service {
                running: 3,
                ..service()
            },
            "",
        ),
        (
            "busy at its maximum",
            Busy,
            Service {
                desired: 10,
                running: 10,
                ..service()
            },
            "open_case(at_maximum)",
        ),
        (
            "busy daemon",
            Busy,
            Service {
                is_daemon: true,
                ..service()
            },
            "open_case(left_to_owner)",
        ),
        (
            "busy while deployed",
            Busy,
            rolling("IN_PROGRESS", ago(5)),
            "",
        ),
        (
            "errors of nothing new",
            Errors,
            service(),
            "open_case(no_release)",
        ),
        (
            "errors during a deployment",
            Errors,
            rolling("IN_PROGRESS", ago(5)),
            "stop_deployment(bad_deployment)",
        ),
        (
            "errors that are older than the deployment",
            Errors,
            rolling("IN_PROGRESS", ago(0)),
            "",
        ),
        (
            "errors while it rolls back",
            Errors,
            rolling("ROLLBACK_IN_PROGRESS", ago(5)),
            "",
        ),
        (
            "errors during a blue/green deployment",
            Errors,
            Service {
                deployer: Deployer::Shifting,
                ..rolling("IN_PROGRESS", ago(5))
            },
            "open_case(left_to_owner)",
        ),
        (
            "errors during a deployment by CodeDeploy",
            Errors,
            Service {
                deployer: Deployer::Another,
                ..rolling("IN_PROGRESS", ago(5))
            },
            "open_case(left_to_owner)",
        ),
        (
            "errors during the first deployment",
            Errors,
            Service {
                last: None,
                ..rolling("IN_PROGRESS", ago(5))
            },
            "open_case(nothing_to_go_back_to)",
        ),
        (
            "errors after a release",
            Errors,
            released(),
            "roll_back(bad_release)",
        ),
        (
            "errors after the first release",
            Errors,
            Service {
                before_last: None,
                ..released()
            },
            "open_case(nothing_to_go_back_to)",
        ),
        (
            "unhealthy after a release",
            Unhealthy,
            released(),
            "roll_back(bad_release)",
        ),
        (
            "one unhealthy",
            Unhealthy,
            unwell(1),
            "replace_tasks(unhealthy)",
        ),
        (
            "all unhealthy",
            Unhealthy,
            unwell(4),
            "replace_tasks(unhealthy)",
        ),
        (
            "none is known to be unhealthy",
            Unhealthy,
            unwell(0),
            "open_case(tasks_fail)",
        ),
        (
            "unhealthy, and no task can start",
            Unhealthy,
            stopped("TaskFailedToStart: CannotPullContainerError"),
            "open_case(tasks_fail)",
        ),
        (
            "unhealthy daemon",
            Unhealthy,
            Service {
                is_daemon: true,
                ..unwell(1)
            },
            "open_case(left_to_owner)",
        ),
        ("unhealthy, and no room", Unhealthy, no_room(), ""),
        (
            "no room, of no one group",
            Busy,
            Service {
                groups: vec![],
                ..no_room()
            },
            "open_case(no_group)",
        ),
        (
            "nothing that is known",
            Symptom::Other,
            service(),
            "open_case(no_remedy)",
        ),
        (
            "deleted",
            Busy,
            Service {
                status: "INACTIVE".to_owned(),
                ..service()
            },
            "open_case(target_gone)",
        ),
    ] {
        let lines = on_event(of_service(symptom, service));
        let expected: Vec<&str> = match expected {
            // Waited for: the case is opened all the same.
            "" => {
                assert_eq!(lines.len(), 1, "{name}: {lines:?}");
                assert!(lines[0].starts_with("open_case("), "{name}: {lines:?}");
                continue;
            }
            told if told.starts_with("open_case") => vec![told],
            remedy => vec![remedy, "open_case(noted)"],
        };
        assert_eq!(lines, expected, "{name}");
    }
}

#[test]
fn no_room_is_mended_before_tasks_are_added() {
    let no_room = Service {
        no_place: Some("unable to place a task".to_owned()),
        groups: vec!["shop".to_owned()],
        ..service()
    };
    let with = |group: Group| {
        let mut world = of_service(Symptom::Busy, no_room.clone());
        world.groups.insert("shop".to_owned(), group);
        plan(&policy(), &event(), world, now())
    };
    let managed = with(group());
    let Some(Remedy::RaiseGroup(it)) = remedy(&managed) else {
        panic!("{:?}", told(&managed));
    };
    assert_eq!((it.max, it.desired), ((4, 5), None));
    let by_hand = with(Group {
        is_managed: false,
        max: 6,
        ..group()
    });
    let Some(Remedy::RaiseGroup(it)) = remedy(&by_hand) else {
        panic!("{:?}", told(&by_hand));
    };
    assert_eq!((it.max, it.desired), ((6, 6), Some((4, 5))));
    // ECS itself asks for more, or the policy allows no more.
    for (group, expected) in [
        (Group { max: 6, ..group() }, "open_case(heals_itself)"),
        (
            Group {
                connected: 3,
                ..group()
            },
            "open_case(heals_itself)",
        ),
        (
            Group {
                desired: 8,
                max: 8,
                connected: 8,
                ..group()
            },
            "open_case(at_maximum)",
        ),
    ] {
        assert_eq!(told(&with(group)), [expected]);
    }
}

#[test]
fn tasks_are_replaced_in_batches_the_oldest_first_and_never_all() {
    let unwell = |desired: u32, unwell: u32, percent: u32| {
        let tasks = (0..desired).map(|n| task(n, n < unwell)).collect();
        let service = Service {
            desired,
            running: desired,
            tasks,
            min_healthy_percent: percent,
            ..service()
        };
        let world = of_service(Symptom::Unhealthy, service);
        match remedy(&plan(&policy(), &event(), world, now())) {
            Some(Remedy::ReplaceTasks(it)) => it.tasks.clone(),
            other => panic!("{other:?}"),
        }
    };
    // The oldest has the highest number.
    assert_eq!(unwell(8, 4, 50), ["arn:task/3", "arn:task/2"]);
    assert_eq!(unwell(20, 3, 0).len(), 3);
    // Deployments leave all of them.
    assert_eq!(unwell(8, 4, 100).len(), 1);
    // None is well: one shows whether another would be.
    assert_eq!(unwell(8, 8, 0), ["arn:task/7"]);
    assert_eq!(unwell(1, 1, 100).len(), 1);
}

#[test]
fn a_service_is_raised_by_a_step_within_every_maximum() {
    for (desired, scalable, expected) in [
        (4, Some(Scalable { min: 2, max: 10 }), (Some(2), 6)),
        (8, Some(Scalable { min: 2, max: 10 }), (Some(2), 10)),
        (1, None, (None, 2)),
        (18, None, (None, 20)),
    ] {
        let service = Service {
            desired,
            running: desired,
            scalable,
            ..service()
        };
        let plan = plan(
            &policy(),
            &event(),
            of_service(Symptom::Busy, service),
            now(),
        );
        match remedy(&plan) {
            Some(Remedy::RaiseService(it)) => assert_eq!((it.min, it.to), expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn alarms_that_are_nobodys_business_open_no_case() {
    let of = |change: &dyn Fn(&mut Alarm)| {
        let mut alarm = alarm(web(), Symptom::Busy);
        change(&mut alarm);
        on_event(world(alarm))
    };
    let tag = |value: &str| Some(BTreeMap::from([(REMEDIATION.to_owned(), value.to_owned())]));
    for (expected, lines) in [
        ("of_scaling_policy", of(&|it| it.is_of_scaling = true)),
        ("of_steward", of(&|it| it.is_of_steward = true)),
        ("not_in_alarm", of(&|it| it.state = State::Ok)),
        ("no_data", of(&|it| it.state = State::NoData)),
        ("young", of(&|it| it.is_of_its_making = true)),
        ("alarm_unread", of(&|it| it.tags = None)),
        ("not_selected", of(&|it| it.tags = tag("off"))),
    ] {
        assert_eq!(lines, [expected]);
    }
    let nobody = RemediationPolicy {
        alarms: None,
        ..policy()
    };
    let busy = || of_service(Symptom::Busy, service());
    assert_eq!(
        told(&plan(&nobody, &event(), busy(), now())),
        ["not_selected"]
    );
    let mut tagged = busy();
    tagged.alarms.get_mut(ARN).unwrap().tags = tag("on");
    let lines = told(&plan(&nobody, &event(), tagged, now()));
    assert_eq!(lines, ["raise_service(busy)", "open_case(noted)"]);

    // One of the same name, elsewhere; one that is gone; one that could not be read.
    let elsewhere = Scope::Alarms(vec![Sighting {
        name: "shop-web".to_owned(),
        arn: Some(ARN.replace("123456789012", "210987654321")),
    }]);
    assert_eq!(
        told(&plan(&policy(), &elsewhere, busy(), now())),
        ["foreign"]
    );
    let mut gone = busy();
    gone.alarms.clear();
    gone.absent_alarms.insert(ARN.to_owned());
    assert_eq!(on_event(gone.clone()), ["alarm_gone"]);
    gone.absent_alarms.clear();
    assert_eq!(on_event(gone), ["later(alarm_unread)"]);
}

#[test]
fn what_is_kept_still_is_a_case_that_is_looked_at_again() {
    let quiet = |quiet: Quiet| {
        let mut alarm = alarm(web(), Symptom::Busy);
        alarm.quiet = quiet;
        let plan = plan(&policy(), &event(), world(alarm), now());
        assert_eq!(plan.wait.as_ref().map(|wait| wait.seconds), Some(60));
        assert!(plan.needs.is_empty());
        told(&plan)
    };
    let muted = Quiet::Muted {
        by: "night".to_owned(),
    };
    assert_eq!(quiet(muted), ["open_case(muted)"]);
    let suppressed = Quiet::Suppressed {
        why: "deploys".to_owned(),
    };
    assert_eq!(quiet(suppressed), ["open_case(suppressed)"]);
    assert_eq!(quiet(Quiet::Unread), ["open_case(alarm_unread)"]);
    // When that ends nothing fires: the next tick acts.
    let over = with_case(of_service(Symptom::Busy, service()), case());
    let lines = told(&plan(&policy(), &Scope::OpenCases, over, now()));
    assert_eq!(lines, ["raise_service(busy)"]);
}

#[test]
fn a_case_of_which_nobody_knows_how_it_stands_is_told_when_that_lasts() {
    let opened = |minutes: i64| {
        let opened = Noted::Opened {
            source: Source::Alarm(ARN.to_owned()),
            name: "shop-web".to_owned(),
            unit: "shop/web".to_owned(),
            concerns: vec![],
            since: Some(ago(minutes)),
            why: "Threshold Crossed".to_owned(),
        };
        Noted::all_after(&[opened], None, ago(minutes)).unwrap()
    };
    let tick = |change: &dyn Fn(&mut World), case: Case| {
        let mut world = with_case(of_service(Symptom::Busy, service()), case);
        change(&mut world);
        told(&plan(&policy(), &Scope::OpenCases, world, now()))
    };
    let no_data = |world: &mut World| world.alarms.get_mut(ARN).unwrap().state = State::NoData;
    let unread = |world: &mut World| world.alarms.clear();
    let quiet = |world: &mut World, quiet: Quiet| {
        let alarm = world.alarms.get_mut(ARN).unwrap();
        (alarm.quiet, alarm.since) = (quiet, ago(95));
    };
    let unknown = |world: &mut World| quiet(world, Quiet::Unread);
    type Change<'a> = &'a dyn Fn(&mut World);
    let unknowns: [(Change<'_>, &str); 3] = [
        (&no_data, "no_data"),
        (&unread, "alarm_unread"),
        (&unknown, "alarm_unread"),
    ];
    for (change, reason) in unknowns {
        assert_eq!(tick(change, opened(20)), [reason]);
        let told = format!("tell_person({reason})");
        assert_eq!(tick(change, opened(31)), [told.as_str()]);
        let settling = settled(31);
        let lines = tick(
            change,
            Case {
                since: ago(31),
                opened: ago(31),
                ..settling
            },
        );
        assert!(
            lines.iter().all(|line| !line.contains("raise")),
            "{lines:?}"
        );
    }
    // It was quiet before it had no data: that is how it ends.
    let calm =
        |minutes: i64| Noted::all_after(&[Noted::Calmed], Some(&opened(60)), ago(minutes)).unwrap();
    assert_eq!(tick(&no_data, calm(14)), ["quiet"]);
    assert_eq!(tick(&no_data, calm(15)), ["close_case(noted)"]);
    assert_eq!(tick(&unread, calm(15)), ["alarm_unread"]);
    // A mute is somebody's word.
    let by = "night".to_owned();
    let muted = |world: &mut World| quiet(world, Quiet::Muted { by: by.clone() });
    assert_eq!(tick(&muted, opened(90)), ["muted"]);
}

#[test]
fn what_is_parked_held_or_hidden_is_left_alone() {
    let tagged = |key: &str| Service {
        tags: Tags(BTreeMap::from([(key.to_owned(), "yes".to_owned())])),
        ..service()
    };
    let parked = of_service(Symptom::Busy, tagged(names::PARKED));
    assert_eq!(on_event(parked), ["open_case(parked)"]);
    let held = of_service(Symptom::Busy, tagged(steward::hold::HOLD));
    assert_eq!(on_event(held), ["open_case(held)"]);
    let mut unseen = of_service(Symptom::Busy, service());
    unseen.services.clear();
    assert_eq!(on_event(unseen.clone()), ["open_case(unseen)"]);
    unseen.absent.insert(web());
    assert_eq!(on_event(unseen), ["open_case(target_gone)"]);
    let seen = Seen {
        world: of_service(Symptom::Busy, service()),
        gaps: vec![Gap {
            read: "ecs:ListTasks".to_owned(),
            hides: Hides::unit("shop/web"),
            grant: "ecs:ListTasks".to_owned(),
        }],
        ..Seen::default()
    };
    let plan = decide(&policy(), &event(), &seen, now());
    assert_eq!(told(&plan), ["open_case(unseen)"]);
}

#[test]
fn without_the_ledger_nothing_is_done() {
    let world = World {
        memory: None,
        ..of_service(Symptom::Busy, service())
    };
    assert_eq!(on_event(world), ["later(no_ledger)"]);
}

#[test]
fn a_remedy_that_the_policy_does_not_name_is_told_with_how_to_do_it() {
    let nothing = RemediationPolicy {
        remedies: crate::policy::Remedies::default(),
        ..policy()
    };
    let plan = plan(
        &nothing,
        &event(),
        of_service(Symptom::Busy, service()),
        now(),
    );
    assert_eq!(told(&plan), ["open_case(notify_only)"]);
    let [need] = plan.needs.as_slice() else {
        panic!("{:?}", plan.needs);
    };
    for part in [
        "shop-web",
        "6 tasks instead of 4",
        "raise_service",
        "steward:hold",
    ] {
        assert!(need.what.contains(part), "{part}: {}", need.what);
    }
}

#[test]
fn an_approval_does_what_was_proposed_and_nothing_else() {
    let mut policy = policy();
    policy.remedies.raise_service.as_mut().unwrap().approval = true;
    let world = || of_service(Symptom::Busy, service());
    let first = plan(&policy, &event(), world(), now());
    assert_eq!(told(&first), ["open_case(waits_for_approval)"]);
    let need = &first.needs[0].what;
    assert!(
        need.contains("steward alarm-remediation approve 'shop-web'"),
        "{need}"
    );
    let Decision::Act(Change {
        action: Action::Note(note),
        ..
    }) = &first.items[0].decision
    else {
        panic!("{first:?}");
    };
    let case = Noted::all_after(&note.what, None, now()).unwrap();
    // It is told once.
    let again = plan(
        &policy,
        &Scope::OpenCases,
        with_case(world(), case.clone()),
        now(),
    );
    assert_eq!(told(&again), ["waits_for_approval"]);
    assert!(again.needs.is_empty());
    // Whatever hours there are, a person is there.
    policy.hours.freezes.push(crate::hours::Freeze {
        from: ago(10),
        until: now() + SignedDuration::from_hours(1),
        why: "sale".to_owned(),
    });
    let approved = Scope::Approved("shop-web".to_owned());
    let done = plan(&policy, &approved, with_case(world(), case.clone()), now());
    assert_eq!(told(&done), ["raise_service(busy)"]);
    // The service has grown meanwhile: it is another proposal.
    let grown = of_service(
        Symptom::Busy,
        Service {
            desired: 6,
            running: 6,
            ..service()
        },
    );
    let other = plan(&policy, &approved, with_case(grown, case), now());
    assert_eq!(told(&other), ["tell_person(waits_for_approval)"]);
    let nobody = plan(&policy, &approved, world(), now());
    assert_eq!(told(&nobody), ["nothing_to_approve"]);
}

#[test]
fn a_freeze_and_other_hours_tell_a_person_and_do_nothing() {
    let mut frozen = policy();
    frozen.hours.freezes.push(crate::hours::Freeze {
        from: ago(10),
        until: now() + SignedDuration::from_hours(1),
        why: "sale".to_owned(),
    });
    let plan = plan(
        &frozen,
        &event(),
        of_service(Symptom::Busy, service()),
        now(),
    );
    assert_eq!(told(&plan), ["open_case(outside_hours)"]);
    assert!(plan.needs[0].what.contains("(sale)"), "{:?}", plan.needs);
}

#[test]
fn attempts_of_all_alarms_bound_what_is_tried_on_a_target() {
    let raise = raise();
    let busy = || with_case(of_service(Symptom::Busy, service()), case());
    let tick = |world: World| told(&plan(&policy(), &Scope::OpenCases, world, now()));
    assert_eq!(tick(tried(busy(), &raise, &[ago(14)])), ["cool_down"]);
    assert_eq!(
        tick(tried(busy(), &raise, &[ago(16)])),
        ["raise_service(busy)"]
    );
    let twice = tried(busy(), &raise, &[ago(60), ago(30)]);
    assert_eq!(tick(twice), ["tell_person(attempts_used)"]);
    // Out of the window.
    let old = tried(busy(), &raise, &[ago(400), ago(30)]);
    assert_eq!(tick(old), ["raise_service(busy)"]);
    // Told once.
    let mut told_of = case();
    told_of.told.insert("attempts_used".to_owned());
    let twice = with_case(of_service(Symptom::Busy, service()), told_of);
    assert_eq!(
        tick(tried(twice, &raise, &[ago(60), ago(30)])),
        ["attempts_used"]
    );
    // As many in the account as are allowed in an hour.
    let mut many = busy();
    let made = (0..10).map(|n| Attempt {
        at: ago(50 - n),
        kind: "roll_back".to_owned(),
        case: "other".to_owned(),
    });
    many.memory.as_mut().unwrap().of_all.made = made.collect();
    assert_eq!(tick(many), ["hourly_limit"]);
}

#[test]
fn one_case_works_on_a_target_at_a_time() {
    let other = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:shop-web-memory";
    let busy = || {
        let mut world = of_service(Symptom::Busy, service());
        let second = Alarm {
            arn: other.to_owned(),
            name: "shop-web-memory".to_owned(),
            ..alarm(web(), Symptom::Busy)
        };
        world.alarms.insert(other.to_owned(), second);
        world
    };
    // Two alarms of one cause, in one run.
    let lines = told(&plan(&policy(), &Scope::Sweep, busy(), now()));
    assert_eq!(
        lines,
        [
            "raise_service(busy)",
            "open_case(noted)",
            "open_case(another_case)"
        ]
    );
    // And one after the other.
    let first = case().with(
        &raise(),
        "busy",
        Health::default(),
        ago(1),
        now() + SignedDuration::from_mins(4),
    );
    let mut world = with_case(busy(), first);
    let memory = world.memory.as_mut().unwrap();
    memory
        .raises
        .insert("arn:service/shop/web".to_owned(), raised(now()));
    let lines = told(&plan(&policy(), &Scope::Sweep, world, now()));
    assert_eq!(lines, ["settling", "open_case(another_case)"]);
}

fn raised(until: Timestamp) -> Raise {
    Raise {
        resource: "arn:service/shop/web".to_owned(),
        min_before: Some(2),
        desired_before: Some(4),
        max_before: None,
        until,
        to: vec![Sizes {
            min: Some(6),
            ..Sizes::default()
        }],
    }
}

/// A case for which the service was raised, some minutes ago.
fn settled(minutes: i64) -> Case {
    let before = Health { good: 4, bad: 0 };
    case().with(&raise(), "busy", before, ago(minutes), ago(minutes - 5))
}

fn with_raise(service: Service, alarm_state: State, case: Case, until: Timestamp) -> World {
    let mut world = with_case(of_service(Symptom::Busy, service), case);
    world.alarms.get_mut(ARN).unwrap().state = alarm_state;
    let memory = world.memory.as_mut().unwrap();
    memory
        .raises
        .insert("arn:service/shop/web".to_owned(), raised(until));
    tried(world, &raise(), &[ago(6)])
}

fn larger() -> Service {
    Service {
        desired: 6,
        running: 6,
        scalable: Some(Scalable { min: 6, max: 10 }),
        tasks: (0..6).map(|n| task(n, false)).collect(),
        ..service()
    }
}

#[test]
fn what_came_of_a_remedy_is_looked_at_and_what_made_it_worse_is_taken_back() {
    let hour = now() + SignedDuration::from_hours(1);
    let tick = |world: World| told(&plan(&policy(), &Scope::OpenCases, world, now()));
    let early = with_raise(larger(), State::Alarm, settled(4), hour);
    assert_eq!(tick(early), ["settling"]);
    let helped = with_raise(larger(), State::Ok, settled(4), hour);
    assert_eq!(tick(helped), ["record_effect(quiet)"]);
    let not = with_raise(larger(), State::Alarm, settled(6), hour);
    assert_eq!(tick(not), ["record_effect(noted)"]);
    let worse = Service {
        running: 6,
        tasks: (0..6).map(|n| task(n, n < 3)).collect(),
        ..larger()
    };
    let worse = with_raise(worse, State::Alarm, settled(6), hour);
    assert_eq!(
        tick(worse),
        ["take_back(made_worse)", "record_effect(made_worse)"]
    );
    // What AWS still works on is given time.
    let mut under_way = with_case(of_service(Symptom::Errors, service()), case());
    let stop = Remedy::StopDeployment(crate::action::StoppingDeployment {
        cluster: "shop".to_owned(),
        service: "web".to_owned(),
        deployment: "arn:deployment/3".to_owned(),
    });
    let stopping = case().with(&stop, "errors", Health::default(), ago(6), ago(1));
    under_way
        .memory
        .as_mut()
        .unwrap()
        .cases
        .insert(ARN.to_owned(), (8, stopping));
    under_way.services.get_mut("shop/web").unwrap().under_way =
        Some(deployment(3, "ROLLBACK_IN_PROGRESS", ago(7), None));
    assert_eq!(tick(under_way), ["settling"]);
}

#[test]
fn raises_are_taken_back_when_they_are_over_and_nobody_needs_them() {
    let calm = |minutes: i64| {
        let notes = [Noted::Calmed];
        Noted::all_after(&notes, Some(&settled(30)), ago(minutes)).unwrap()
    };
    let tick = |world: World| plan(&policy(), &Scope::OpenCases, world, now());
    let back = |plan: &Plan<Action, Reason>| {
        plan.items.iter().find_map(|item| match &item.decision {
            Decision::Act(Change {
                action: Action::TakeBack(back),
                ..
            }) => {
                let to = |sizes: Option<(u32, u32)>| sizes.map(|(_, to)| to);
                Some((to(back.min), to(back.desired), to(back.max)))
            }
            _ => None,
        })
    };
    let soon = now() + SignedDuration::from_mins(1);
    let kept = tick(with_raise(larger(), State::Ok, calm(20), soon));
    assert_eq!(told(&kept), ["raised"]);
    let over = tick(with_raise(larger(), State::Ok, calm(20), ago(1)));
    assert_eq!(told(&over), ["take_back(raise_over)"]);
    assert_eq!(back(&over), Some((Some(2), None, None)));
    // It burns still: it stays as it is, and what more can be done is.
    let burning = tick(with_raise(larger(), State::Alarm, settled(6), ago(1)));
    assert_eq!(back(&burning), None);
    // Somebody has given it another size since: that stays.
    let other = Service {
        scalable: Some(Scalable { min: 3, max: 10 }),
        ..larger()
    };
    let other = tick(with_raise(other, State::Ok, calm(20), ago(1)));
    assert_eq!(back(&other), Some((None, None, None)));
    // It sleeps: whoever parked it knows what it had before.
    let tags = Tags(BTreeMap::from([(names::PARKED.to_owned(), "x".to_owned())]));
    let asleep = tick(with_raise(
        Service { tags, ..larger() },
        State::Ok,
        calm(20),
        ago(1),
    ));
    assert_eq!(back(&asleep), Some((None, None, None)));
    // It is gone from the ledger: the case knows, and ends.
    let mut gone = with_raise(larger(), State::Ok, calm(20), ago(1));
    gone.memory.as_mut().unwrap().raises.clear();
    assert_eq!(told(&tick(gone)), ["record_raise_gone(noted)"]);
    // Another case needs it.
    let mut needed = with_raise(larger(), State::Ok, calm(20), ago(1));
    let memory = needed.memory.as_mut().unwrap();
    memory.cases.insert("other".to_owned(), (1, settled(3)));
    let lines = told(&tick(needed));
    assert!(lines.contains(&"raised".to_owned()), "{lines:?}");
}

#[test]
fn a_quiet_case_lingers_and_an_alarm_that_comes_back_is_the_same_case() {
    let calm =
        |minutes: i64| Noted::all_after(&[Noted::Calmed], Some(&case()), ago(minutes)).unwrap();
    let tick = |state: State, minutes: i64| {
        let mut world = with_case(of_service(Symptom::Errors, service()), calm(minutes));
        let alarm = world.alarms.get_mut(ARN).unwrap();
        alarm.state = state;
        alarm.since = ago(0);
        told(&plan(&policy(), &Scope::OpenCases, world, now()))
    };
    assert_eq!(tick(State::Ok, 14), ["quiet"]);
    assert_eq!(tick(State::Ok, 15), ["close_case(noted)"]);
    assert_eq!(tick(State::Alarm, 3), ["reopen_case(no_release)"]);
    let mut gone = with_case(of_service(Symptom::Errors, service()), case());
    gone.alarms.clear();
    gone.absent_alarms.insert(ARN.to_owned());
    let lines = told(&plan(&policy(), &Scope::OpenCases, gone, now()));
    assert_eq!(lines, ["calm_case(quiet)"]);
}

#[test]
fn an_alarm_that_nothing_helps_is_told_of_once_when_it_is_old() {
    let mut deploying = of_service(Symptom::Busy, service());
    deploying.services.get_mut("shop/web").unwrap().under_way =
        Some(deployment(3, "IN_PROGRESS", ago(40), None));
    let old = |minutes: i64, told: &[&str]| {
        let mut case = case();
        case.opened = ago(minutes);
        case.since = ago(minutes);
        case.told = told.iter().map(ToString::to_string).collect();
        let mut world = with_case(deploying.clone(), case);
        world.alarms.get_mut(ARN).unwrap().since = ago(minutes);
        self::told(&plan(&policy(), &Scope::OpenCases, world, now()))
    };
    assert_eq!(old(29, &[]), ["deploying"]);
    assert_eq!(old(30, &[]), ["tell_person(deploying)"]);
    assert_eq!(old(90, &["open_for_long"]), ["deploying"]);
}

/// A service of which a task is unhealthy.
fn unwell() -> Service {
    Service {
        tasks: (0..4).map(|n| task(n, n == 0)).collect(),
        ..service()
    }
}

#[test]
fn replacements_that_fail_as_well_and_a_release_that_was_not_to_blame_are_told() {
    let failed = |symptom, service: Service, later: Service| {
        let done = plan(&policy(), &event(), of_service(symptom, service), now());
        let remedy = remedy(&done).unwrap().clone();
        let before = Health { good: 3, bad: 1 };
        let case = case().with(&remedy, "bad", before, ago(30), ago(25));
        let verified = Noted::Verified {
            effect: crate::case::Effect::DidNotHelp,
            of: remedy.sentence(),
        };
        let case = Noted::all_after(&[verified], Some(&case), ago(20)).unwrap();
        let world = with_case(of_service(symptom, later), case);
        let world = tried(world, &remedy, &[ago(30)]);
        told(&plan(&policy(), &Scope::OpenCases, world, now()))
    };
    let replaced = Service {
        tasks: (1..5).map(|n| task(n, n == 4)).collect(),
        ..service()
    };
    assert_eq!(
        failed(Symptom::Unhealthy, unwell(), replaced),
        ["tell_person(tasks_fail)"]
    );
    let released = |n| Service {
        last: Some(deployment(n, "SUCCESSFUL", ago(20), Some(ago(10)))),
        ..service()
    };
    assert_eq!(
        failed(Symptom::Errors, released(2), released(3)),
        ["tell_person(no_release)"]
    );

    // Calls that failed, or that a run was killed before, have changed nothing.
    assert_eq!(
        failed(Symptom::Unhealthy, unwell(), unwell()),
        ["replace_tasks(unhealthy)"]
    );
    assert_eq!(
        failed(Symptom::Errors, released(2), released(2)),
        ["roll_back(bad_release)"]
    );
}

#[test]
fn what_was_gone_back_to_is_no_release_to_blame() {
    for (symptom, service, expected) in [
        (Symptom::Errors, service(), "no_release"),
        (Symptom::Unhealthy, unwell(), "unhealthy"),
    ] {
        let service = Service {
            last: Some(deployment(3, "SUCCESSFUL", ago(20), Some(ago(10)))),
            went_back: true,
            ..service
        };
        let done = plan(&policy(), &event(), of_service(symptom, service), now());
        let kinds = told(&done).join(" ");
        assert!(kinds.contains(expected), "{kinds}");
        assert!(!kinds.contains("roll_back"), "{kinds}");
    }

    // Whichever alarm it was for; what is deployed later is a release again.
    let released = |minutes| Service {
        last: Some(deployment(3, "SUCCESSFUL", ago(minutes), Some(ago(9)))),
        ..service()
    };
    for (started, expected) in [
        (19, "open_case(no_release)"),
        (12, "roll_back(bad_release)"),
    ] {
        let world = of_service(Symptom::Errors, released(2));
        let roll_back = remedy(&plan(&policy(), &event(), world, now()))
            .unwrap()
            .clone();
        let world = of_service(Symptom::Errors, released(started));
        let world = tried(world, &roll_back, &[ago(20)]);
        let done = told(&plan(&policy(), &event(), world, now()));
        assert!(done.contains(&expected.to_owned()), "{done:?}");
    }
}

fn lost(instance: Instance, group: Group, case: Option<Case>) -> Vec<String> {
    let arn = instance.arn.clone();
    let mut memory = Memory::default();
    let key = arn.clone();
    if let Some(case) = case {
        memory.cases.insert(key, (3, case));
    }
    let world = World {
        memory: Some(memory),
        instances: BTreeMap::from([(arn.clone(), instance)]),
        groups: BTreeMap::from([("shop".to_owned(), group)]),
        ..World::default()
    };
    let scope = Scope::Instance {
        cluster: "shop".to_owned(),
        instance: arn,
    };
    told(&plan(&policy(), &scope, world, now()))
}

fn agent_case(minutes: i64) -> Case {
    let opened = Noted::Opened {
        source: Source::Agent {
            cluster: "shop".to_owned(),
            instance: instance().arn,
        },
        name: "i-0".to_owned(),
        unit: "i-0".to_owned(),
        concerns: vec![],
        since: None,
        why: "lost".to_owned(),
    };
    Noted::all_after(&[opened], None, ago(minutes)).unwrap()
}

#[test]
fn a_lost_agent_is_given_time_then_its_instance_is_drained_and_replaced() {
    let others = || Group {
        connected: 3,
        ..group()
    };
    assert_eq!(lost(instance(), others(), None), ["open_case(damping)"]);
    assert_eq!(lost(instance(), others(), Some(agent_case(9))), ["damping"]);
    assert_eq!(
        lost(instance(), others(), Some(agent_case(10))),
        ["drain_instance(bad_instance)"]
    );
    let drain = |case: Case, at: i64| {
        let remedy = Remedy::DrainInstance(crate::action::OfInstance {
            cluster: "shop".to_owned(),
            instance: instance().arn,
            ec2: "i-0".to_owned(),
            group: "shop".to_owned(),
        });
        let before = Health { good: 3, bad: 0 };
        case.with(&remedy, "lost", before, ago(at), ago(at - 5))
    };
    let draining = |tasks| Instance {
        status: "DRAINING".to_owned(),
        tasks,
        ..instance()
    };
    let drained = |at: i64| {
        let verified = Noted::Verified {
            effect: crate::case::Effect::DidNotHelp,
            of: "drained".to_owned(),
        };
        Noted::all_after(&[verified], Some(&drain(agent_case(25), at)), ago(at - 5)).unwrap()
    };
    assert_eq!(lost(draining(2), others(), Some(drained(8))), ["settling"]);
    for (tasks, at) in [(0, 8), (2, 10)] {
        assert_eq!(
            lost(draining(tasks), others(), Some(drained(at))),
            ["replace_instance(bad_instance)"]
        );
    }
    // It comes back while it is drained.
    let back = Instance {
        is_connected: true,
        ..draining(0)
    };
    assert_eq!(
        lost(back, others(), Some(drained(8))),
        ["use_instance(instance_back)"]
    );
    let back = Instance {
        is_connected: true,
        ..instance()
    };
    assert_eq!(
        lost(back.clone(), others(), Some(agent_case(5))),
        ["calm_case(quiet)"]
    );
    assert_eq!(lost(back, others(), None), ["not_in_alarm"]);
    // Several at once have another cause.
    let few = Group {
        connected: 1,
        ..group()
    };
    assert_eq!(
        lost(instance(), few, Some(agent_case(10))),
        ["tell_person(too_few_left)"]
    );
    let alone = Instance {
        group: None,
        ..instance()
    };
    assert_eq!(
        lost(alone, others(), Some(agent_case(10))),
        ["tell_person(no_group)"]
    );
}

#[test]
fn storage_grows_by_what_rds_takes_and_everything_else_of_a_database_is_told() {
    let of = |symptom, database: Database| {
        let target = Target::Database("shop-db".to_owned());
        let mut world = world(alarm(target, symptom));
        world.databases.insert("shop-db".to_owned(), database);
        plan(&policy(), &event(), world, now())
    };
    let to = |database: Database| match remedy(&of(Symptom::StorageLow, database)) {
        Some(Remedy::GrowStorage(it)) => it.to_gib,
        other => panic!("{other:?}"),
    };
    assert_eq!(to(database()), 120);
    assert_eq!(
        to(Database {
            status: "storage-full".to_owned(),
            ..database()
        }),
        120
    );
    assert_eq!(
        to(Database {
            autoscales_to_gib: Some(115),
            ..database()
        }),
        115
    );
    assert_eq!(
        to(Database {
            storage_gib: 450,
            ..database()
        }),
        500
    );
    for (database, expected) in [
        (
            Database {
                status: "storage-optimization".to_owned(),
                ..database()
            },
            "open_case(heals_itself)",
        ),
        (
            Database {
                status: "failed".to_owned(),
                ..database()
            },
            "open_case(cannot_grow)",
        ),
        (
            Database {
                autoscales_to_gib: Some(105),
                ..database()
            },
            "open_case(cannot_grow)",
        ),
        (
            Database {
                cluster: Some("aurora".to_owned()),
                ..database()
            },
            "open_case(cannot_grow)",
        ),
        (
            Database {
                storage_gib: 480,
                ..database()
            },
            "open_case(at_maximum)",
        ),
    ] {
        assert_eq!(told(&of(Symptom::StorageLow, database)), [expected]);
    }
    for symptom in [Symptom::Connections, Symptom::DatabaseBusy, Symptom::Other] {
        assert_eq!(told(&of(symptom, database())), ["open_case(database)"]);
    }
    let restarting = Database {
        status: "rebooting".to_owned(),
        ..database()
    };
    assert_eq!(
        told(&of(Symptom::Connections, restarting)),
        ["open_case(heals_itself)"]
    );
}

#[test]
fn a_larger_class_is_proposed_and_never_given_without_a_person() {
    let of = json!({"include": ["*"]});
    let classes = ["db.t4g.small", "db.t4g.medium", "db.t4g.large"];
    let mut policy = policy();
    let setting = json!({"of": of, "classes": classes});
    policy.remedies.change_class = Some(serde_json::from_value(setting).unwrap());
    let world = |symptom, database: Database| {
        let target = Target::Database("shop-db".to_owned());
        let mut world = world(alarm(target, symptom));
        world.databases.insert("shop-db".to_owned(), database);
        world
    };
    for symptom in [Symptom::Connections, Symptom::DatabaseBusy] {
        let first = plan(&policy, &event(), world(symptom, database()), now());
        assert_eq!(told(&first), ["open_case(waits_for_approval)"]);
        let need = &first.needs[0].what;
        for part in [
            "db.t4g.large instead of db.t4g.medium",
            "approve 'shop-web'",
            "restarts",
        ] {
            assert!(need.contains(part), "{part}: {need}");
        }
        let Decision::Act(Change {
            action: Action::Note(note),
            ..
        }) = &first.items[0].decision
        else {
            panic!("{first:?}");
        };
        let case = Noted::all_after(&note.what, None, now()).unwrap();
        let approved = Scope::Approved("shop-web".to_owned());
        let at = |database, scope: &Scope| {
            let world = with_case(world(symptom, database), case.clone());
            told(&plan(&policy, scope, world, now()))
        };
        assert_eq!(at(database(), &approved), ["change_class(small_database)"]);
        assert_eq!(at(database(), &Scope::OpenCases), ["waits_for_approval"]);
    }
    let largest = Database {
        class: "db.t4g.large".to_owned(),
        ..database()
    };
    let unknown = Database {
        class: "db.r7g.large".to_owned(),
        ..database()
    };
    let on_its_way = Database {
        next_class: Some("db.t4g.large".to_owned()),
        ..database()
    };
    for database in [largest, unknown, on_its_way] {
        let world = world(Symptom::DatabaseBusy, database);
        let plan = plan(&policy, &event(), world, now());
        assert_eq!(told(&plan), ["open_case(database)"]);
    }
}

#[test]
fn an_alarm_that_names_nothing_is_told_with_how_to_name_it() {
    let mut nothing = world(alarm(web(), Symptom::Busy));
    nothing.alarms.get_mut(ARN).unwrap().concerns.clear();
    let plan = plan(&policy(), &event(), nothing.clone(), now());
    assert_eq!(told(&plan), ["open_case(no_target)"]);
    assert!(
        plan.needs[0].what.contains("steward:remediation="),
        "{:?}",
        plan.needs
    );
    let unread = vec!["ecs:ListClusters: AccessDenied".to_owned()];
    nothing.alarms.get_mut(ARN).unwrap().unread = unread;
    assert_eq!(on_event(nothing), ["open_case(unseen)"]);
}

#[test]
fn of_several_things_the_one_about_which_something_can_be_done_comes_first() {
    let mut world = of_service(Symptom::Busy, service());
    let connections = Concern {
        target: Target::Database("shop-db".to_owned()),
        symptom: Symptom::Connections,
    };
    let concerns = &mut world.alarms.get_mut(ARN).unwrap().concerns;
    concerns.insert(0, connections);
    assert_eq!(on_event(world), ["raise_service(busy)", "open_case(noted)"]);
}

#[test]
fn an_entry_that_nobody_understands_is_told_and_left() {
    let mut world = of_service(Symptom::Busy, service());
    let memory = world.memory.as_mut().unwrap();
    memory.malformed.insert("case#x".to_owned());
    let plan = |scope: Scope| plan(&policy(), &scope, world.clone(), now());
    let tick = plan(Scope::OpenCases);
    assert_eq!(
        (told(&tick), tick.needs.len()),
        (vec!["malformed".to_owned()], 0)
    );
    assert_eq!(plan(Scope::Sweep).needs.len(), 1);
    // What was tried may be in it.
    let mut world = with_case(of_service(Symptom::Busy, service()), case());
    let memory = world.memory.as_mut().unwrap();
    memory
        .malformed
        .insert("attempts#service:shop/web".to_owned());
    let tick = self::plan(&policy(), &Scope::OpenCases, world, now());
    assert_eq!(told(&tick), ["malformed", "malformed"]);
}

#[test]
fn an_alarm_that_is_switched_off_ends_its_case() {
    let mut world = with_case(of_service(Symptom::Busy, service()), case());
    let off = BTreeMap::from([(REMEDIATION.to_owned(), "off".to_owned())]);
    world.alarms.get_mut(ARN).unwrap().tags = Some(off);
    let lines = told(&plan(&policy(), &Scope::OpenCases, world, now()));
    assert_eq!(lines, ["calm_case(quiet)"]);
}

#[test]
fn actions_are_achieved_once_the_world_is_as_they_leave_it() {
    let world = of_service(Symptom::Busy, service());
    let done = plan(&policy(), &event(), world.clone(), now());
    let actions: Vec<&Action> = done
        .items
        .iter()
        .filter_map(|item| match &item.decision {
            Decision::Act(change) => Some(&change.action),
            _ => None,
        })
        .collect();
    assert_eq!(actions.len(), 2);
    for action in &actions {
        assert!(!AlarmRemediation::achieved(action, &world));
        let value: Value = serde_json::to_value(action).unwrap();
        assert_eq!(serde_json::from_value::<Action>(value).unwrap(), **action);
    }
    let after = with_case(of_service(Symptom::Busy, larger()), case());
    for action in &actions {
        assert!(AlarmRemediation::achieved(action, &after), "{action:?}");
    }
}

#[test]
fn a_stop_that_was_written_down_and_never_made_is_made_later() {
    let stop = Remedy::StopDeployment(crate::action::StoppingDeployment {
        cluster: "shop".to_owned(),
        service: "web".to_owned(),
        deployment: "arn:deployment/3".to_owned(),
    });
    let deploys = Service {
        under_way: Some(deployment(3, "IN_PROGRESS", ago(40), None)),
        ..service()
    };
    let case = case().with(&stop, "errors", Health::default(), ago(20), ago(15));
    let tick = |case: Case| {
        let world = with_case(of_service(Symptom::Errors, deploys.clone()), case);
        let world = tried(world, &stop, &[ago(20)]);
        told(&plan(&policy(), &Scope::OpenCases, world, now()))
    };
    assert_eq!(tick(case.clone()), ["record_effect(noted)"]);
    let verified = Noted::Verified {
        effect: crate::case::Effect::DidNotHelp,
        of: stop.sentence(),
    };
    let open = Noted::all_after(&[verified], Some(&case), ago(1)).unwrap();
    assert_eq!(tick(open), ["stop_deployment(bad_deployment)"]);
}
