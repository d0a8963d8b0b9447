//! What people are told, in both forms.

use jiff::SignedDuration;
use jsonschema::Validator;
use serde_json::{Value, json};
use steward::engine::{Mode, Trigger};
use steward::notify::{Message, Told, messages};
use steward::policy::{News, Notify};
use steward::report::{ActionLine, ActionOutcome, GapLine, Refusal, Report, Status};
use steward::tally::UnitTally;

use crate::{done, failed, gap, hidden, quiet, report, share};

/// From "Custom notifications using Amazon Q Developer in chat applications",
/// event schema and parameter details, in its Administrator Guide. Nothing else
/// may be in it: a message that is not of this schema is dropped silently.
fn chat_schema() -> Validator {
    let text = json!({ "type": "string", "minLength": 1 });
    let texts = json!({ "type": "array", "minItems": 1, "items": text });
    jsonschema::validator_for(&json!({
        "type": "object",
        "required": ["version", "source", "content"],
        "additionalProperties": false,
        "properties": {
            "version": { "const": "1.0" },
            "source": { "const": "custom" },
            "id": text,
            "content": {
                "type": "object",
                "required": ["description"],
                "additionalProperties": false,
                "properties": {
                    "textType": { "const": "client-markdown" },
                    "title": text,
                    "description": text,
                    "nextSteps": texts,
                    "keywords": texts,
                },
            },
            "metadata": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "threadId": text,
                    "summary": text,
                    "eventType": { "type": "string", "pattern": "^[a-zA-Z0-9-]{1,100}$" },
                    "relatedResources": texts,
                    "additionalContext": { "type": "object", "additionalProperties": text },
                    "enableCustomActions": { "type": "boolean" },
                },
            },
        },
    }))
    .unwrap()
}

/// What holds for every message, whatever it tells.
fn assert_is_fit(message: &Message) {
    // Amazon SNS API Reference, "Publish": less than 100 characters, no line
    // breaks or control characters.
    assert!(
        (1..100).contains(&message.subject.len()),
        "{}",
        message.subject
    );
    assert!(
        message.subject.bytes().all(|b| (b' '..=b'~').contains(&b)),
        "{}",
        message.subject
    );
    assert!(message.text.len() < 16_000, "{} bytes", message.text.len());
    if let Err(error) = chat_schema().validate(&message.chat) {
        panic!("{error}");
    }
    let description = message.chat["content"]["description"].as_str().unwrap();
    assert!(description.chars().count() <= 2_501);
    let chat = message.chat.to_string();
    assert!(!chat.contains('<') && !chat.contains('>'));

    let whole: Value = serde_json::from_str(&message.for_each_protocol()).unwrap();
    assert_eq!(whole["default"], message.text);
    let https = whole["https"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(https).unwrap(), message.chat);
}

fn told(report: &Report, units: &[UnitTally], policy: &Notify) -> Vec<Message> {
    let messages = messages(
        report,
        units,
        policy,
        &Told::default(),
        "image-pruning",
        "/aws/lambda/image-pruning",
    );
    messages.iter().for_each(assert_is_fit);
    assert!(messages.len() <= 10);
    // PublishBatch takes 256 KiB in all (Amazon SNS API Reference).
    let bytes: usize = messages.iter().map(|m| m.for_each_protocol().len()).sum();
    assert!(bytes < 256 * 1024, "{bytes} bytes");
    messages
}

fn abouts(messages: &[Message]) -> Vec<(News, &str)> {
    messages
        .iter()
        .map(|m| (m.news, m.about.as_str()))
        .collect()
}

/// As a person reads it, and as chat is given it.
fn shown(message: &Message) -> String {
    format!(
        "Subject: {}\n\n{}\n==== chat ====\n{:#}\n",
        message.subject, message.text, message.chat
    )
}

fn on(news: &[News]) -> Notify {
    Notify {
        on: news.iter().copied().collect(),
        ..Notify::default()
    }
}

#[test]
fn nothing_happened_and_nobody_hears_of_it() {
    assert_eq!(
        told(&report(|_| ()), &[quiet("shop/web")], &Notify::default()),
        []
    );
}

#[test]
fn what_was_done_is_told_for_each_unit() {
    let report = report(|report| report.status = Status::Applied);
    let mut web = done("shop/web", 3);
    web.summary.deferred = 12;
    let messages = told(&report, &[quiet("base"), web], &Notify::default());
    assert_eq!(abouts(&messages), [(News::Done, "shop/web")]);
    insta::assert_snapshot!(shown(&messages[0]));
}

#[test]
fn a_refusal_says_what_to_do_about_it() {
    let report = report(|report| {
        report.status = Status::Refused;
        report.refusals = vec![share("base/debian")];
    });
    let messages = told(&report, &[quiet("base/debian")], &Notify::default());
    assert_eq!(abouts(&messages), [(News::Refused, "base/debian")]);
    insta::assert_snapshot!(shown(&messages[0]));
}

#[test]
fn failures_are_told_first_and_not_all_of_them() {
    let report = report(|report| report.status = Status::Partial);
    let mut web = failed("shop/web", 9);
    web.summary.done = 2;
    web.done_kinds = done("shop/web", 2).done_kinds;
    let messages = told(&report, &[done("base", 1), web], &Notify::default());
    assert_eq!(
        abouts(&messages),
        [(News::Failed, "shop/web"), (News::Done, "base")]
    );
    insta::assert_snapshot!(shown(&messages[0]));
}

#[test]
fn a_read_that_hides_many_units_is_told_once() {
    let report = report(|report| {
        report.status = Status::Refused;
        report.gaps = vec![gap("everything")];
        report.refusals = vec![hidden("base"), hidden("shop/web"), hidden("shop/worker")];
    });
    let units = [quiet("base"), quiet("shop/web"), quiet("shop/worker")];
    let messages = told(&report, &units, &Notify::default());
    assert_eq!(abouts(&messages), [(News::NeedsPerson, "the run")]);
    insta::assert_snapshot!(shown(&messages[0]));
}

#[test]
fn a_read_that_hides_one_unit_is_told_with_it() {
    let report = report(|report| {
        report.gaps = vec![gap("base")];
        report.refusals = vec![hidden("base")];
    });
    let messages = told(
        &report,
        &[quiet("base"), quiet("shop/web")],
        &Notify::default(),
    );
    assert_eq!(abouts(&messages), [(News::NeedsPerson, "base")]);
    assert!(
        messages[0].text.contains("grant ecs:ListClusters"),
        "{}",
        messages[0].text
    );
    assert!(
        messages[0]
            .text
            .contains("Refused by incomplete_observation: "),
        "{}",
        messages[0].text
    );
}

#[test]
fn a_switch_that_is_on_is_news_about_the_run() {
    let report = report(|report| {
        report.status = Status::Refused;
        let detail = "kill switch /steward/kill-switch/all is \"on\"; set it to \"off\" to go on";
        report.refusals = vec![Refusal::new("kill_switch", "run", detail)];
    });
    let messages = told(&report, &[], &Notify::default());
    assert_eq!(abouts(&messages), [(News::Refused, "the run")]);
    assert_eq!(
        messages[0].chat["metadata"]["threadId"],
        "steward/image-pruning/123456789012/eu-west-1/run"
    );
}

#[test]
fn a_run_without_time_to_read_is_told_as_failed() {
    let report = report(|report| {
        report.status = Status::Failed;
        report.warnings = vec!["time ran out while reading, and nothing was changed".to_owned()];
    });
    let messages = told(&report, &[], &Notify::default());
    assert_eq!(abouts(&messages), [(News::Failed, "the run")]);
    assert!(messages[0].text.contains("time ran out while reading"));
}

#[test]
fn a_run_that_reached_nothing_says_why_and_not_what_a_limit_holds_back() {
    let waits = |error: &str| ActionLine {
        kind: "delete_image".to_owned(),
        resource: "shop/web@sha256:0".to_owned(),
        account: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        reason: "superseded".to_owned(),
        detail: serde_json::Map::new(),
        outcome: ActionOutcome::Deferred,
        error: Some(error.to_owned()),
    };
    let report = report(|report| {
        report.status = Status::Failed;
        report.actions = vec![
            waits("held back by max_actions_per_unit"),
            waits("not reached: the function's time is nearly up; the next run goes on"),
        ];
    });
    let messages = told(&report, &[], &Notify::default());
    let text = &messages[0].text;
    assert!(
        text.contains("Nothing was done: the function's time is nearly up"),
        "{text}"
    );
}

#[test]
fn what_is_too_much_for_a_message_is_counted() {
    let report = report(|report| {
        report.gaps = (0..40)
            .map(|n| GapLine {
                read: format!("an image reference number {n}"),
                hides: format!("gone-{n}"),
                grant: String::new(),
            })
            .collect();
    });
    let messages = told(&report, &[], &Notify::default());
    let text = &messages[0].text;
    assert!(
        text.contains("And 18 more; the log has them all."),
        "{text}"
    );
    assert!(
        text.contains("Nothing that it could hide is changed before it can be read."),
        "{text}"
    );
    assert!(!text.contains("grant "), "{text}");
}

#[test]
fn a_plan_tells_what_it_would_do_only_when_asked() {
    let report = report(|report| {
        report.mode = Mode::Plan;
        report.status = Status::Planned;
        report.refusals = vec![share("base")];
    });
    let mut web = done("shop/web", 3);
    web.planned_kinds = std::mem::take(&mut web.done_kinds);
    web.summary.done = 0;
    let units = [quiet("base"), web];
    let messages = told(&report, &units, &Notify::default());
    assert_eq!(abouts(&messages), [(News::Refused, "base")]);
    let asked = on(&[News::Planned, News::Refused]);
    let messages = told(&report, &units, &asked);
    assert_eq!(
        abouts(&messages),
        [(News::Refused, "base"), (News::Planned, "shop/web")]
    );
    assert!(messages[1].text.contains("delete_image: 3 planned"));
}

#[test]
fn the_policy_decides_what_is_told() {
    let report = report(|report| {
        report.refusals = vec![share("base")];
        report.gaps = vec![gap("base")];
    });
    let units = [quiet("base"), done("shop/web", 1), failed("shop/worker", 1)];
    for (news, expected) in [
        (News::Failed, "shop/worker"),
        (News::NeedsPerson, "base"),
        (News::Refused, "base"),
        (News::Done, "shop/web"),
    ] {
        let messages = told(&report, &units, &on(&[news]));
        assert_eq!(abouts(&messages), [(news, expected)]);
    }
    assert_eq!(told(&report, &units, &on(&[])), []);
}

#[test]
fn one_thread_for_each_subject_from_run_to_run() {
    let thread = |run_id: &str, unit: &str| {
        let report = report(|report| report.run_id = run_id.to_owned());
        let messages = told(&report, &[done(unit, 1)], &Notify::default());
        let chat = messages[0].chat.clone();
        (chat["metadata"]["threadId"].clone(), chat["id"].clone())
    };
    let (first, first_id) = thread("one", "shop/web");
    let (second, second_id) = thread("two", "shop/web");
    let (other, _) = thread("two", "shop/worker");
    assert_eq!(first, second);
    assert_ne!(first_id, second_id);
    assert_ne!(first, other);
}

#[test]
fn above_the_bound_there_is_one_digest() {
    let mut units: Vec<UnitTally> = (0..30)
        .map(|n| done(&format!("team/app-{n:02}"), 2))
        .collect();
    units[7] = failed("team/broken", 1);
    let report = report(|report| {
        report.refusals = vec![share("team/app-03")];
        report.summary.done = 58;
        report.summary.failed = 1;
    });
    let all = told(&report, &units, &Notify::default());
    assert_eq!(abouts(&all), [(News::Failed, "several units")]);
    insta::assert_snapshot!(shown(&all[0]));
    assert_eq!(told(&report, &units[..5], &Notify::default()).len(), 5);
    assert_eq!(told(&report, &units[..6], &Notify::default()).len(), 1);
    let always = Notify {
        digest_above: 0,
        ..Notify::default()
    };
    let quiet_night = crate::report(|_| ());
    let digest = told(&quiet_night, &units[..1], &always);
    assert_eq!(abouts(&digest), [(News::Done, "several units")]);
}

#[test]
fn a_digest_counts_what_needs_a_person() {
    let mut units: Vec<UnitTally> = (0..8).map(|n| done(&format!("shop-{n}"), 0)).collect();
    for tally in &mut units {
        tally.needs = vec!["an objective is missed".to_owned()];
    }
    let report = report(|report| report.gaps = vec![gap("everything")]);
    let all = told(&report, &units, &Notify::default());
    assert_eq!(abouts(&all), [(News::NeedsPerson, "several units")]);
    assert!(
        all[0].subject.contains("9 for you in 8 units"),
        "{}",
        all[0].subject
    );
}

#[test]
fn nothing_that_others_named_breaks_a_message() {
    let nasty = "bücher/<!channel>\r\n\u{7}".to_owned() + &"x".repeat(5_000);
    let report = report(|report| {
        report.status = Status::Partial;
        let mut everything = gap("everything");
        everything.read = nasty.repeat(20);
        everything.grant = nasty.clone();
        report.gaps = (0..400).map(|_| everything.clone()).collect();
        report.refusals = (0..400)
            .map(|_| Refusal::new(&nasty, "run", &nasty))
            .collect();
        report.warnings = vec![nasty.clone()];
    });
    let mut unit = failed(&nasty, 500);
    unit.failures = vec![nasty.repeat(50)];
    let units: Vec<UnitTally> = (0..9)
        .map(|n| UnitTally {
            unit: format!("{n}{nasty}"),
            ..unit.clone()
        })
        .collect();
    let most = Notify {
        digest_above: 10,
        ..Notify::default()
    };
    assert_eq!(told(&report, &units, &most).len(), 10);
    assert_eq!(told(&report, &units, &Notify::default()).len(), 1);
}

#[test]
fn a_gap_of_two_units_is_told_about_the_run() {
    let report = report(|report| {
        report.gaps = vec![GapLine {
            hides: "base, shop/web".to_owned(),
            ..gap("")
        }];
    });
    let messages = told(
        &report,
        &[quiet("base"), quiet("shop/web")],
        &Notify::default(),
    );
    assert_eq!(abouts(&messages), [(News::NeedsPerson, "the run")]);
}

/// The messages of a run after another one, so long before, told its own.
fn told_after(
    (before, units_before): (&Report, &[UnitTally]),
    hours: i64,
    report: &Report,
    units: &[UnitTally],
) -> Vec<Message> {
    let policy = Notify::default();
    let first = told(before, units_before, &policy);
    let mut memory = Told::default();
    memory.note(
        first.into_iter().flat_map(|message| message.things),
        report.finished_at - SignedDuration::from_hours(hours),
    );
    messages(report, units, &policy, &memory, "image-pruning", "group")
}

#[test]
fn what_stands_is_told_again_only_after_a_while() {
    let report = report(|report| {
        report.gaps = vec![gap("everything")];
        report.refusals = vec![share("shop/web")];
    });
    let mut unit = failed("shop/api", 2);
    unit.needs = vec!["an objective is missed".to_owned()];
    let units = [quiet("shop/web"), unit];
    let before = (&report, &units[..]);
    assert_eq!(told(&report, &units, &Notify::default()).len(), 3);
    assert_eq!(told_after(before, 5, &report, &units), []);
    assert_eq!(told_after(before, 6, &report, &units).len(), 3);
}

#[test]
fn other_counts_and_errors_make_no_other_thing_of_what_stands() {
    let before = report(|report| {
        report.gaps = vec![gap("everything")];
        report.refusals = vec![share("shop/web")];
    });
    let after = report(|report| {
        report.gaps = vec![GapLine {
            read: "ecs:ListClusters in eu-west-1: timed out after 3 s".to_owned(),
            ..gap("everything")
        }];
        let detail = "13 of 14 (92 %) would be changed; the limit is 75 %";
        report.refusals = vec![Refusal::new("max_share_percent", "shop/web", detail)];
    });
    let units_before = [quiet("shop/web"), failed("shop/api", 2)];
    let units = [quiet("shop/web"), failed("shop/api", 1)];
    // One failure is not told in the words of two.
    let told = told_after((&before, &units_before), 1, &after, &units);
    assert_eq!(abouts(&told), [(News::Failed, "shop/api")]);
}

#[test]
fn what_is_new_is_told_beside_what_stands() {
    let before = report(|report| report.gaps = vec![gap("shop/web")]);
    let after = report(|report| {
        report.gaps = vec![
            gap("shop/web"),
            GapLine {
                read: "ecs:ListServices in eu-west-1: AccessDeniedException".to_owned(),
                grant: "ecs:ListServices".to_owned(),
                ..gap("shop/web")
            },
        ];
    });
    let needing = |what: &str| {
        let mut unit = quiet("shop/api");
        unit.needs = vec![what.to_owned()];
        [quiet("shop/web"), unit]
    };
    let first = needing("not connected since 02:00");
    let told = told_after(
        (&before, &first),
        1,
        &after,
        &needing("not connected since 03:00"),
    );
    let texts: Vec<&str> = told.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(
        abouts(&told),
        [
            (News::NeedsPerson, "shop/api"),
            (News::NeedsPerson, "shop/web")
        ]
    );
    assert!(texts[0].contains("since 03:00"), "{}", texts[0]);
    assert!(texts[1].contains("ecs:ListServices"), "{}", texts[1]);
    assert!(!texts[1].contains("ecs:ListClusters"), "{}", texts[1]);
}

#[test]
fn what_was_done_and_what_a_person_asks_for_is_always_told() {
    let report = report(|report| report.gaps = vec![gap("everything")]);
    let units = [done("shop/web", 2)];
    let again = told_after((&report, &units), 1, &report, &units);
    assert_eq!(abouts(&again), [(News::Done, "shop/web")]);
    let by_hand = Report {
        trigger: Trigger::Manual,
        ..report.clone()
    };
    let asked = told_after((&report, &units), 1, &by_hand, &units);
    assert_eq!(
        abouts(&asked),
        [(News::NeedsPerson, "the run"), (News::Done, "shop/web")]
    );
}
