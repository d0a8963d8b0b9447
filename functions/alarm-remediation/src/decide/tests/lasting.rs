//! What lasts, comes back, or does not go as it was meant to: remedies that were not made,
//! AWS that takes its time, alarms without data, approvals of what has changed meanwhile.

use crate::action::OfInstance;
use crate::case::Effect;

use super::*;

fn of_open_cases(world: World) -> Plan<Action, Reason> {
    plan(&policy(), &Scope::OpenCases, world, now())
}

fn verified(case: &Case, effect: Effect, minutes: i64) -> Case {
    let of = "it".to_owned();
    Noted::all_after(&[Noted::Verified { effect, of }], Some(case), ago(minutes)).unwrap()
}

/// A case that was opened and is in alarm for so long.
fn opened(minutes: i64) -> Case {
    Case {
        opened: ago(minutes),
        since: ago(minutes),
        ..case()
    }
}

fn since(mut world: World, minutes: i64) -> World {
    world.alarms.get_mut(ARN).unwrap().since = ago(minutes);
    world
}

#[test]
fn what_waits_for_approval_is_told_again_only_when_it_is_another_thing() {
    let mut policy = policy();
    policy.remedies.raise_service.as_mut().unwrap().approval = true;
    let of = |desired| Service {
        desired,
        running: desired,
        ..service()
    };
    let proposed = Noted::Told {
        codes: BTreeSet::from(["waits_for_approval".to_owned()]),
        text: "told".to_owned(),
        proposed: Some(raise()),
    };
    let case = Noted::all_after(&[proposed], Some(&case()), ago(1)).unwrap();
    let world = |service| with_case(of_service(Symptom::Busy, service), case.clone());
    // Numbers change all the time, and nobody is told of that.
    let tick = plan(&policy, &Scope::OpenCases, world(of(5)), now());
    assert_eq!(told(&tick), ["waits_for_approval"]);
    assert_eq!(tick.needs, []);
    // Whoever approves what is not wanted any more is told what is, and that is written.
    let approved = Scope::Approved("shop-web".to_owned());
    let other = plan(&policy, &approved, world(of(5)), now());
    assert_eq!(told(&other), ["tell_person(waits_for_approval)"]);
    let Decision::Act(Change {
        action: Action::Note(note),
        ..
    }) = &other.items[0].decision
    else {
        panic!("{other:?}");
    };
    assert!(!note.what.iter().all(|it| it.is_said_by(Some(&case))));
    let after = Noted::all_after(&note.what, Some(&case), now()).unwrap();
    let world = with_case(of_service(Symptom::Busy, of(5)), after);
    assert_eq!(
        told(&plan(&policy, &approved, world, now())),
        ["raise_service(busy)"]
    );
    // Another kind of remedy is another thing.
    policy.remedies.replace_tasks.as_mut().unwrap().approval = true;
    let unwell = with_case(of_service(Symptom::Unhealthy, unwell()), case);
    assert_eq!(
        told(&plan(&policy, &Scope::OpenCases, unwell, now())),
        ["tell_person(waits_for_approval)"]
    );
}

fn of_instance() -> OfInstance {
    OfInstance {
        cluster: "shop".to_owned(),
        instance: instance().arn,
        ec2: "i-0".to_owned(),
        group: "shop".to_owned(),
    }
}

/// The case of a lost agent whose instance was drained eight minutes ago.
fn drained() -> Case {
    let before = Health { good: 3, bad: 0 };
    let drain = Remedy::DrainInstance(of_instance());
    let case = agent_case(25).with(&drain, "lost", before, ago(8), ago(3));
    verified(&case, Effect::DidNotHelp, 3)
}

fn draining(is_connected: bool) -> Instance {
    Instance {
        status: "DRAINING".to_owned(),
        tasks: 0,
        is_connected,
        ..instance()
    }
}

fn others() -> Group {
    Group {
        connected: 3,
        ..group()
    }
}

#[test]
fn the_second_half_of_what_was_approved_needs_no_approval_and_no_hours() {
    let mut policy = policy();
    policy.remedies.replace_instance.as_mut().unwrap().approval = true;
    policy.hours.freezes.push(crate::hours::Freeze {
        from: ago(10),
        until: now() + SignedDuration::from_hours(1),
        why: "sale".to_owned(),
    });
    let world = World {
        memory: Some(Memory {
            cases: BTreeMap::from([(instance().arn, (3, drained()))]),
            ..Memory::default()
        }),
        instances: BTreeMap::from([(instance().arn, draining(false))]),
        groups: BTreeMap::from([("shop".to_owned(), others())]),
        ..World::default()
    };
    assert_eq!(
        told(&plan(&policy, &Scope::OpenCases, world, now())),
        ["replace_instance(bad_instance)"]
    );
}

#[test]
fn an_instance_is_given_back_until_it_is_and_not_against_whoever_drains_it_later() {
    let before = Health { good: 3, bad: 0 };
    let give_back = Remedy::UseInstance(of_instance());
    let tried = drained().with(&give_back, "back", before, ago(2), ago(1));
    // The call failed, or the run was killed before it.
    assert_eq!(
        lost(draining(true), others(), Some(tried.clone())),
        ["use_instance(instance_back)"]
    );
    let done = verified(&tried, Effect::Helped, 1);
    let lines = lost(draining(true), others(), Some(done));
    assert!(!lines.join(" ").contains("use_instance"), "{lines:?}");
}

#[test]
fn an_instance_that_its_group_has_ended_ends_its_case() {
    let gone = |is_of_provider| Instance {
        group: None,
        is_of_provider,
        ..draining(false)
    };
    let kinds = |instance, case| lost(instance, others(), Some(case)).join(" ");
    // By its provider, or because it was drained out of a group.
    assert_eq!(kinds(gone(true), agent_case(12)), "calm_case(quiet)");
    let lines = kinds(gone(false), drained());
    assert!(!lines.contains("no_group"), "{lines}");
    assert_eq!(kinds(gone(false), agent_case(12)), "tell_person(no_group)");
}

#[test]
fn a_remedy_that_was_not_made_is_not_one_that_did_not_help() {
    let mut world = with_case(of_service(Symptom::Busy, service()), settled(6));
    world = tried(world, &raise(), &[ago(20)]);
    let plan = of_open_cases(world);
    let Decision::Act(Change {
        action: Action::Note(note),
        ..
    }) = &plan.items[0].decision
    else {
        panic!("{plan:?}");
    };
    assert!(
        matches!(
            note.what.as_slice(),
            [Noted::Verified {
                effect: Effect::NotDone,
                ..
            }]
        ),
        "{note:?}"
    );
    let after = verified(&settled(20), Effect::NotDone, 15);
    assert!(!after.has_failed(|_| true));
}

#[test]
fn what_aws_has_just_finished_is_given_time() {
    let stop = Remedy::StopDeployment(crate::action::StoppingDeployment {
        cluster: "shop".to_owned(),
        service: "web".to_owned(),
        deployment: "arn:deployment/3".to_owned(),
    });
    let ended = |minutes: i64| {
        let newest = deployment(3, "ROLLBACK_SUCCESSFUL", ago(40), Some(ago(minutes)));
        let service = Service {
            newest: Some(newest),
            ..service()
        };
        let case = opened(38).with(&stop, "bad", Health::default(), ago(36), ago(31));
        let world = with_case(of_service(Symptom::Errors, service), case);
        told(&of_open_cases(since(world, 38)))
    };
    assert_eq!(ended(4), ["tell_person(settling)"]);
    assert_eq!(ended(5), ["record_effect(noted)"]);
}

#[test]
fn a_release_is_not_blamed_for_what_a_newer_one_brought_and_took_along() {
    let released = |newer: Option<i64>| {
        let newest = newer.map(|started| {
            deployment(
                3,
                "ROLLBACK_SUCCESSFUL",
                ago(started),
                Some(ago(started - 4)),
            )
        });
        let service = Service {
            last: Some(deployment(2, "SUCCESSFUL", ago(30), Some(ago(25)))),
            newest,
            ..service()
        };
        let world = with_case(of_service(Symptom::Errors, service), opened(10));
        told(&of_open_cases(since(world, 10)))
    };
    assert_eq!(released(None), ["roll_back(bad_release)"]);
    assert_eq!(released(Some(12)), ["tell_person(no_release)"]);
    // One that failed after it had begun is somebody's try to mend it.
    assert_eq!(released(Some(8)), ["roll_back(bad_release)"]);
}

#[test]
fn what_goes_back_is_not_stopped_as_a_bad_deployment() {
    let going_back = Service {
        under_way: Some(deployment(3, "IN_PROGRESS", ago(19), None)),
        ..service()
    };
    let released = Service {
        last: Some(deployment(2, "SUCCESSFUL", ago(20), Some(ago(10)))),
        ..service()
    };
    let world = of_service(Symptom::Errors, released);
    let roll_back = remedy(&plan(&policy(), &event(), world, now()))
        .unwrap()
        .clone();
    let world = tried(
        of_service(Symptom::Errors, going_back),
        &roll_back,
        &[ago(20)],
    );
    let lines = told(&plan(&policy(), &event(), world, now()));
    assert_eq!(lines, ["open_case(rolling_back)"]);
}

#[test]
fn an_alarm_that_loses_its_data_after_a_remedy_blocks_nobody_and_ends() {
    let no_data = |case: Case, minutes: i64| {
        let mut world = since(
            with_case(of_service(Symptom::Busy, larger()), case),
            minutes,
        );
        world.alarms.get_mut(ARN).unwrap().state = State::NoData;
        of_open_cases(world)
    };
    assert_eq!(told(&no_data(settled(4), 2)), ["no_data"]);
    assert_eq!(told(&no_data(settled(6), 2)), ["record_effect(no_data)"]);
    let open = verified(&settled(20), Effect::NotKnown, 14);
    assert_eq!(told(&no_data(open.clone(), 14)), ["no_data"]);
    let calm = no_data(open, 15);
    assert_eq!(told(&calm), ["calm_case(no_data)"]);
    assert_eq!(calm.needs.len(), 1);
}

#[test]
fn a_case_that_cannot_be_judged_for_long_keeps_nobody_from_its_target() {
    let other = |minutes: i64| {
        let mut world = of_service(Symptom::Busy, service());
        let memory = world.memory.as_mut().unwrap();
        let case = Case {
            source: Source::Alarm("other".to_owned()),
            name: "other".to_owned(),
            ..settled(minutes)
        };
        memory.cases.insert("other".to_owned(), (1, case));
        told(&plan(&policy(), &event(), world, now()))
    };
    assert_eq!(other(64), ["open_case(another_case)"]);
    assert_eq!(other(65), ["raise_service(busy)", "open_case(noted)"]);
}

#[test]
fn of_two_raises_of_one_thing_whichever_case_ends_takes_back_the_whole() {
    let twice = Service {
        desired: 9,
        running: 9,
        scalable: Some(Scalable { min: 9, max: 10 }),
        ..service()
    };
    let calm = Noted::all_after(&[Noted::Calmed], Some(&settled(80)), ago(20)).unwrap();
    let mut world = with_raise(twice, State::Ok, calm, ago(1));
    let memory = world.memory.as_mut().unwrap();
    let raise = memory.raises.get_mut("arn:service/shop/web").unwrap();
    raise.to.push(Sizes {
        min: Some(9),
        ..Sizes::default()
    });
    let plan = of_open_cases(world);
    let back = plan.items.iter().find_map(|item| match &item.decision {
        Decision::Act(Change {
            action: Action::TakeBack(back),
            ..
        }) => Some(back.min),
        _ => None,
    });
    assert_eq!(back, Some(Some((9, 2))), "{plan:?}");
}

#[test]
fn a_group_keeps_its_room_while_ecs_uses_it() {
    let remedy = Remedy::RaiseGroup(crate::action::RaisingGroup {
        group: "shop".to_owned(),
        arn: "arn:group/shop".to_owned(),
        max: (4, 5),
        desired: None,
    });
    let tick = |desired: u32| {
        let case = case().with(&remedy, "full", Health::default(), ago(80), ago(75));
        let case = Noted::all_after(&[Noted::Calmed], Some(&case), ago(20)).unwrap();
        let target = Target::Group("shop".to_owned());
        let mut world = with_case(world(alarm(target, Symptom::NoRoom)), case);
        world.alarms.get_mut(ARN).unwrap().state = State::Ok;
        let raise = Raise {
            resource: "arn:group/shop".to_owned(),
            min_before: None,
            desired_before: None,
            max_before: Some(4),
            until: ago(1),
            to: vec![Sizes {
                max: Some(5),
                ..Sizes::default()
            }],
        };
        let memory = world.memory.as_mut().unwrap();
        memory.raises.insert(raise.resource.clone(), raise);
        let group = Group {
            max: 5,
            desired,
            is_managed: true,
            ..group()
        };
        world.groups.insert("shop".to_owned(), group);
        told(&of_open_cases(world))
    };
    assert_eq!(tick(5), ["raised"]);
    assert_eq!(tick(4), ["take_back(raise_over)"]);
}

#[test]
fn each_of_several_things_is_told_of_whatever_is_on_hold() {
    let held = Tags(BTreeMap::from([(
        "steward:hold".to_owned(),
        "x".to_owned(),
    )]));
    let held = Service {
        tags: held,
        ..service()
    };
    let both = |first: Service, case: Option<Case>| {
        let mut world = of_service(Symptom::Errors, first);
        world.services.insert("shop/api".to_owned(), service());
        let concerns = &mut world.alarms.get_mut(ARN).unwrap().concerns;
        concerns.push(Concern {
            target: "service:shop/api".parse().unwrap(),
            symptom: Symptom::Errors,
        });
        match case {
            None => plan(&policy(), &event(), world, now()),
            Some(case) => of_open_cases(with_case(world, case)),
        }
    };
    let plan = both(held, None);
    assert_eq!(told(&plan), ["open_case(no_release)"]);
    assert!(plan.needs[0].what.contains("shop/api"), "{:?}", plan.needs);
    assert!(
        !plan.needs[0].what.contains("shop/web:"),
        "{:?}",
        plan.needs
    );
    let Decision::Act(Change {
        action: Action::Note(note),
        ..
    }) = &plan.items[0].decision
    else {
        panic!("{plan:?}");
    };
    let case = Noted::all_after(&note.what, None, ago(1)).unwrap();
    // The hold is over: the other is told of, and the first not again.
    let later = both(service(), Some(case));
    assert_eq!(told(&later), ["tell_person(no_release)"]);
    assert!(
        later.needs[0].what.contains("shop/web:"),
        "{:?}",
        later.needs
    );
    assert!(
        !later.needs[0].what.contains("shop/api:"),
        "{:?}",
        later.needs
    );
}

#[test]
fn what_flaps_or_is_about_to_be_done_for_long_is_told() {
    let deploying = Service {
        under_way: Some(deployment(3, "IN_PROGRESS", ago(40), None)),
        ..service()
    };
    let flapping = Case {
        since: ago(5),
        ..opened(31)
    };
    let world = with_case(of_service(Symptom::Busy, deploying), flapping);
    assert_eq!(
        told(&of_open_cases(since(world, 5))),
        ["tell_person(deploying)"]
    );
    let busy = |minutes| {
        let world = with_case(of_service(Symptom::Busy, service()), opened(minutes));
        of_open_cases(since(world, minutes))
    };
    assert_eq!(told(&busy(29)), ["raise_service(busy)"]);
    let long = busy(31);
    assert_eq!(told(&long), ["raise_service(busy)", "tell_person(noted)"]);
    assert_eq!(long.needs.len(), 1);
}

#[test]
fn a_task_that_has_just_started_is_given_the_time_that_its_service_gives() {
    let young = |seconds: i64| {
        let task = Task {
            started: Some(now() - SignedDuration::from_secs(seconds)),
            ..task(0, true)
        };
        let service = Service {
            grace_seconds: 300,
            tasks: vec![task],
            ..service()
        };
        on_event(of_service(Symptom::Unhealthy, service))
    };
    assert_eq!(young(299), ["open_case(heals_itself)"]);
    assert_eq!(young(300), ["replace_tasks(unhealthy)", "open_case(noted)"]);
}
