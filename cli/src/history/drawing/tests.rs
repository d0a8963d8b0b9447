//! Small histories, and how they look.

use std::collections::{BTreeMap, BTreeSet};

use alarm_remediation::{
    Health, Line, OfInstance, RaisingService, ReplacingTasks, RollingBack, Source,
};

use super::*;

const PLAIN: Look = Look {
    width: 80,
    colours: false,
    all: false,
};

fn at(minute: i64) -> Timestamp {
    let start: Timestamp = "2026-11-23T22:00:00Z".parse().unwrap();
    start + jiff::SignedDuration::from_mins(minute)
}

fn case(name: &str, opened: i64) -> Case {
    Case {
        source: Source::Alarm(format!(
            "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}"
        )),
        name: name.to_owned(),
        unit: "shop/web".to_owned(),
        concerns: vec![],
        opened: at(opened),
        since: at(opened - 2),
        stage: Stage::Open,
        told: BTreeSet::new(),
        proposed: None,
        tried: vec![],
        raised: BTreeSet::new(),
        log: vec![Line {
            at: at(opened),
            what: format!("opened: alarm {name}: 3 datapoints were above the threshold"),
        }],
    }
}

fn open(case: Case) -> Remembered {
    Remembered {
        key: case.source.key(),
        ended: None,
        case,
    }
}

fn ended(case: Case, minute: i64) -> Remembered {
    Remembered {
        ended: Some(at(minute)),
        ..open(case)
    }
}

const SERVICE: &str = "arn:aws:ecs:eu-west-1:123456789012:service/shop/web";

fn raise() -> Remedy {
    Remedy::RaiseService(RaisingService {
        cluster: "shop".to_owned(),
        service: "web".to_owned(),
        arn: SERVICE.to_owned(),
        min: Some(2),
        desired: 4,
        to: 6,
    })
}

fn roll_back() -> Remedy {
    Remedy::RollBack(RollingBack {
        cluster: "shop".to_owned(),
        service: "web".to_owned(),
        arn: SERVICE.to_owned(),
        revision: "arn:aws:ecs:eu-west-1:123456789012:service-revision/shop/web/41".to_owned(),
        task_definition: "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:41".to_owned(),
        digests: BTreeMap::new(),
        from: "arn:aws:ecs:eu-west-1:123456789012:service-deployment/shop/web/d42".to_owned(),
    })
}

fn replace_tasks() -> Remedy {
    Remedy::ReplaceTasks(ReplacingTasks {
        cluster: "shop".to_owned(),
        service: "web".to_owned(),
        tasks: vec!["arn:1".to_owned(), "arn:2".to_owned()],
    })
}

fn drain() -> Remedy {
    Remedy::DrainInstance(OfInstance {
        cluster: "shop".to_owned(),
        instance: "arn:aws:ecs:eu-west-1:123456789012:container-instance/shop/0a1b".to_owned(),
        ec2: "i-0f3a1b2c3d4e5f607".to_owned(),
        group: "shop-instances".to_owned(),
    })
}

fn tried(remedy: Remedy, minute: i64, effect: Option<Effect>) -> Tried {
    Tried {
        at: at(minute),
        remedy,
        effect,
    }
}

/// A service that was busy, and has more tasks for a while.
fn raised() -> Case {
    let mut case = case("shop-cpu", 5);
    case.stage = Stage::Calm { since: at(14) };
    case.tried = vec![tried(raise(), 6, Some(Effect::Helped))];
    case.raised = BTreeSet::from([SERVICE.to_owned()]);
    let happened = [
        (6, raise().sentence()),
        (14, format!("{}: it helped", raise().sentence())),
        (14, "quiet".to_owned()),
    ];
    let lines = happened.map(|(minute, what)| Line {
        at: at(minute),
        what,
    });
    case.log.extend(lines);
    case
}

/// A release that brought errors, and whose way back waits for approval.
fn proposed() -> Case {
    let mut case = case("shop-5xx", 20);
    case.proposed = Some(roll_back());
    case.told = BTreeSet::from(["waits_for_approval".to_owned()]);
    case
}

fn answer(cases: Vec<Remembered>) -> Answer {
    Answer {
        schema_version: 1,
        function: NAME,
        ledger: "steward-ledger".to_owned(),
        now: at(25),
        cases,
        warnings: vec![],
    }
}

fn nowhere() -> AwsArguments {
    AwsArguments {
        profile: None,
        region: None,
    }
}

fn checked(text: String, look: &Look) -> String {
    for line in text.lines() {
        // Names that are longer than all room stay whole in commands.
        assert!(
            line.chars().count() <= look.width || line.starts_with("    "),
            "{line}"
        );
        assert_eq!(line, line.trim_end(), "{line:?}");
    }
    text
}

fn text(answer: &Answer, look: &Look) -> String {
    checked(Drawing::new(answer, look, &nowhere()).draw(), look)
}

fn whole(answer: &Answer) -> String {
    checked(
        Drawing::new(answer, &PLAIN, &nowhere()).draw_whole(),
        &PLAIN,
    )
}

#[test]
fn open_cases_and_those_that_have_ended() {
    let mut failing = case("shop-unhealthy", -120);
    failing.tried = vec![
        tried(replace_tasks(), -119, Some(Effect::DidNotHelp)),
        tried(roll_back(), -100, Some(Effect::Helped)),
    ];
    insta::assert_snapshot!(text(
        &answer(vec![
            open(proposed()),
            open(raised()),
            ended(failing, -60),
            ended(case("shop-latency", -300), -280),
        ]),
        &PLAIN
    ));
}

#[test]
fn all_that_happened_in_one_case() {
    insta::assert_snapshot!(whole(&answer(vec![open(raised())])));
}

#[test]
fn what_waits_for_approval_is_told_with_the_command() {
    let aws = AwsArguments {
        profile: Some("prod".to_owned()),
        region: None,
    };
    let mut named = proposed();
    named.name = "shop: it's 5xx".to_owned();
    let answer = answer(vec![open(named)]);
    let wide = Look {
        width: 200,
        ..PLAIN
    };
    let text = Drawing::new(&answer, &wide, &aws).draw_whole();
    let command = r"steward alarm-remediation approve 'shop: it'\''s 5xx' --policy POLICY --mode apply --profile prod";
    assert!(text.contains(command), "{text}");
    assert!(
        text.contains("To approve that service shop/web goes back to web:41"),
        "{text}"
    );
    // What has ended can be neither approved nor undone.
    let answer = super::super::Answer {
        cases: vec![ended(proposed(), 30), ended(raised(), 30)],
        ..answer
    };
    let text = Drawing::new(&answer, &wide, &aws).draw_whole();
    assert!(
        !text.contains("To approve") && !text.contains("To undo"),
        "{text}"
    );
}

#[test]
fn only_what_is_so_still_can_be_undone() {
    let undo_of = |tried: Vec<Tried>, raised: &[&str]| {
        let mut case = case("a", 0);
        case.tried = tried;
        case.raised = raised.iter().map(ToString::to_string).collect();
        whole(&answer(vec![open(case)]))
            .matches("To undo that")
            .count()
    };
    assert_eq!(undo_of(vec![tried(raise(), 1, None)], &[SERVICE]), 1);
    assert_eq!(undo_of(vec![tried(raise(), 1, None)], &[]), 0);
    assert_eq!(undo_of(vec![tried(drain(), 1, None)], &[]), 1);
    let replaced = tried(replace_tasks(), 2, None);
    assert_eq!(undo_of(vec![tried(drain(), 1, None), replaced], &[]), 0);
}

#[test]
fn how_a_case_stands_is_told_in_a_few_words() {
    let of = |change: &dyn Fn(&mut Case)| {
        let mut case = case("a", 0);
        change(&mut case);
        standing(&open(case))
    };
    assert_eq!(of(&|_| {}), "in alarm");
    let settling = Stage::Settling {
        until: at(9),
        before: Health::default(),
    };
    assert_eq!(
        of(&|case| case.stage = settling.clone()),
        "given time until 2026-11-23 22:09Z"
    );
    assert_eq!(
        standing(&open(raised())),
        "quiet since 2026-11-23 22:14Z; 1 raised"
    );
    assert_eq!(
        standing(&open(proposed())),
        "waits for approval: service shop/web goes back to web:41, pinned to the images that \
         ran; a person was told"
    );
    // What waits for approval while something else settles is not what is waited for.
    assert!(
        of(&|case| {
            case.stage = settling.clone();
            case.proposed = Some(roll_back());
        })
        .starts_with("given time")
    );
}

#[test]
fn the_newest_that_have_ended_are_shown_and_all_on_demand() {
    let cases = (0..15i64).map(|n| ended(case(&format!("alarm-{n}"), -n), 5 - n));
    let answer = answer(cases.collect());
    let some = text(&answer, &PLAIN);
    assert!(some.contains("0 open cases, and 15 ended"), "{some}");
    assert!(some.contains("and 3 more; --all shows them"), "{some}");
    assert!(
        some.contains(" alarm-11 ") && !some.contains("alarm-12"),
        "{some}"
    );
    let all = text(&answer, &Look { all: true, ..PLAIN });
    assert!(
        all.contains(" alarm-14 ") && !all.contains("more;"),
        "{all}"
    );
    assert!(
        !all.contains("\nOpen\n") && !all.contains(" plan "),
        "{all}"
    );
}

#[test]
fn nothing_remembered_and_no_ledger_are_told_apart() {
    let nothing = text(&answer(vec![]), &PLAIN);
    assert!(nothing.contains("0 open cases, and 0 ended"), "{nothing}");
    assert!(!nothing.contains("Warnings"), "{nothing}");
    let none = super::super::Answer::of("steward-ledger", at(0), None);
    let none = text(&none, &PLAIN);
    assert!(
        none.contains("there is no ledger, and so nothing is remembered"),
        "{none}"
    );
}
