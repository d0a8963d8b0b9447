//! Reports made by hand, and how they look.

use serde_json::{Map, Value, json};
use steward::engine::{Mode, Trigger, Wait};
use steward::report::{
    ActionLine, ActionOutcome, GapLine, KeptLine, Refusal, Report, Status, Summary,
};

use super::*;

/// A report of a plan with nothing to do.
pub(crate) fn report() -> Report {
    Report {
        schema_version: 1,
        function: "image-pruning".to_owned(),
        operation: "prune".to_owned(),
        status: Status::NothingToDo,
        mode: Mode::Plan,
        run_id: "cli-20261122T120000.000Z-4711".to_owned(),
        trigger: Trigger::Cli,
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
        started_at: "2026-11-22T12:00:00Z".parse().unwrap(),
        finished_at: "2026-11-22T12:00:03.25Z".parse().unwrap(),
        policy_digest: digest(1),
        plan_digest: digest(2),
        summary: Summary::default(),
        actions: vec![],
        actions_total: 0,
        truncated: false,
        kept: vec![],
        refusals: vec![],
        gaps: vec![],
        warnings: vec![],
        wait: None,
    }
}

fn digest(n: usize) -> String {
    format!("sha256:{n:064x}")
}

/// A digest that differs from others at its beginning, as real ones do.
fn image_digest(n: usize) -> String {
    format!("sha256:{:012x}{:052x}", n * 0x1234_5678 + 0xabc, n)
}

fn action(repository: &str, n: usize, outcome: ActionOutcome) -> ActionLine {
    let digest = image_digest(n);
    let tagged = !n.is_multiple_of(3);
    let (reason, because, tags) = if tagged {
        let because = "unused, older than 30d and not among the newest 20";
        let mut tags = vec![format!("1.{n}.0")];
        if n.is_multiple_of(2) {
            tags.push(format!("git-{n:07x}"));
        }
        ("superseded", because, tags)
    } else {
        ("untagged", "unused, untagged and older than 14d", vec![])
    };
    let detail = json!({
        "repository": repository,
        "digest": digest,
        "tags": tags,
        "pushed_at": format!("2026-{:02}-{:02}T08:00:00Z", n % 9 + 1, n % 28 + 1),
        "size_bytes": 40_000_000 + 1_234_567 * n,
        "because": because,
    });
    ActionLine {
        kind: "delete_image".to_owned(),
        resource: format!("{repository}@{digest}"),
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
        reason: reason.to_owned(),
        detail: detail.as_object().unwrap().clone(),
        outcome,
        error: None,
    }
}

fn failing(mut line: ActionLine, error: &str) -> ActionLine {
    line.error = Some(error.to_owned());
    line
}

fn kept(reason: &str, count: usize, example: &str) -> KeptLine {
    KeptLine {
        reason: reason.to_owned(),
        count,
        examples: vec![example.to_owned()],
    }
}

/// Adds up what was put together by hand.
fn summed(mut report: Report) -> Report {
    let of = |outcome| {
        report
            .actions
            .iter()
            .filter(|l| l.outcome == outcome)
            .count()
    };
    let deferred = of(ActionOutcome::Deferred);
    let kept = report.kept.iter().map(|line| line.count).sum();
    report.summary = Summary {
        observed: kept + report.actions.len(),
        kept,
        deferred,
        planned: report.actions.len() - deferred,
        done: of(ActionOutcome::Done),
        already_done: of(ActionOutcome::AlreadyDone),
        skipped: of(ActionOutcome::Skipped),
        failed: of(ActionOutcome::Failed),
    };
    report.actions_total = report.actions.len();
    assert!(report.sums_hold());
    report
}

/// A plan for two repositories.
pub(crate) fn planned() -> Report {
    let mut report = report();
    report.status = Status::Planned;
    for n in 0..9 {
        report
            .actions
            .push(action("shop/web", n, ActionOutcome::Planned));
    }
    for n in 20..23 {
        report
            .actions
            .push(action("shop/api", n, ActionOutcome::Planned));
    }
    for n in 30..34 {
        let line = action("shop/web", n, ActionOutcome::Deferred);
        report
            .actions
            .push(failing(line, "held back by max_actions_per_unit"));
    }
    let used = image_digest(77);
    report.kept = vec![
        kept(
            "newest",
            40,
            &format!("shop/web@{used}: among the newest 20 tagged"),
        ),
        kept(
            "in_use_by_deployment",
            3,
            &format!(
                "shop/api@{}: deployed by service shop/api in cluster live",
                image_digest(78)
            ),
        ),
    ];
    summed(report)
}

fn by_hand() -> Given {
    Given {
        policy_source: "policy.yaml".to_owned(),
        policy: Some("policy.yaml".to_owned()),
        ..Given::default()
    }
}

const PLAIN: Look = Look {
    width: 80,
    colours: false,
    all: false,
};

/// The text, which never is wider than it may be.
fn text(report: &Report, look: &Look, given: Option<&Given>) -> String {
    let text = show(report, look, given);
    for line in text.lines() {
        assert!(line.chars().count() <= look.width, "too wide: {line:?}");
        assert_eq!(line, line.trim_end());
    }
    text
}

#[test]
fn shows_a_plan() {
    insta::assert_snapshot!(text(&planned(), &PLAIN, Some(&by_hand())));
}

#[test]
fn shows_every_row_of_a_plan_on_demand() {
    let look = Look {
        all: true,
        width: 120,
        ..PLAIN
    };
    insta::assert_snapshot!(text(&planned(), &look, None));
}

#[test]
fn what_is_archived_is_not_counted_as_reclaimed() {
    let mut report = planned();
    for line in report
        .actions
        .iter_mut()
        .filter(|l| l.resource.starts_with("shop/web"))
    {
        line.kind = "archive_image".to_owned();
    }
    let text = text(
        &report,
        &Look {
            width: 120,
            ..PLAIN
        },
        None,
    );
    let heading = text
        .lines()
        .find(|line| line.contains("reclaimable"))
        .unwrap();
    assert!(heading.contains("to archive"), "{heading}");
    let row = |name: &str| {
        text.lines()
            .find(|line| line.trim_start().starts_with(name))
            .unwrap()
    };
    for name in ["shop/web", "shop/api"] {
        assert_eq!(row(name).matches('≤').count(), 1, "{}", row(name));
    }
    assert_eq!(row("total").matches('≤').count(), 2, "{}", row("total"));
    assert!(text.contains("Sizes are upper bounds"));
}

#[test]
fn shows_what_was_done() {
    let mut report = planned();
    report.mode = Mode::Apply;
    report.status = Status::Applied;
    report.trigger = Trigger::Schedule;
    for line in &mut report.actions {
        if line.outcome == ActionOutcome::Planned {
            line.outcome = ActionOutcome::Done;
        }
    }
    report.actions[10].outcome = ActionOutcome::AlreadyDone;
    insta::assert_snapshot!(text(&summed(report), &PLAIN, None));
}

#[test]
fn shows_nothing_to_do() {
    insta::assert_snapshot!(text(&report(), &PLAIN, None));
}

#[test]
fn shows_a_refusal() {
    let mut report = report();
    report.status = Status::Refused;
    let read = "ecs:ListTasks in cluster live: AccessDeniedException: User: \
                arn:aws:sts::123456789012:assumed-role/steward/pruning is not authorized to \
                perform: ecs:ListTasks";
    for n in 0..7 {
        let mut line = action("shop/web", n, ActionOutcome::Deferred);
        line.kind = "none".to_owned();
        line.reason = "unseen".to_owned();
        line.detail = Map::new();
        let because = format!("may be in use, because this failed: {read}");
        report.actions.push(failing(line, &because));
    }
    for n in 10..32 {
        let line = action("shop/api", n, ActionOutcome::Deferred);
        report
            .actions
            .push(failing(line, "held back by max_share_percent"));
    }
    report.refusals = vec![
        Refusal::new(
            "incomplete_observation",
            "shop/web",
            &format!("nothing is destroyed here while this cannot be read: {read}"),
        ),
        Refusal::new(
            "max_share_percent",
            "shop/api",
            "22 of 25 (88 %) would be changed; the limit is 75 %",
        ),
    ];
    report.gaps = vec![GapLine {
        read: read.to_owned(),
        hides: "shop/web".to_owned(),
        grant: "ecs:ListTasks".to_owned(),
    }];
    report.kept = vec![kept("newest", 3, "shop/api@x: among the newest 20 tagged")];
    insta::assert_snapshot!(text(&summed(report), &PLAIN, Some(&by_hand())));
}

#[test]
fn shows_a_refusal_of_the_whole_run() {
    let mut report = report();
    report.mode = Mode::Apply;
    report.status = Status::Refused;
    report.trigger = Trigger::Schedule;
    report.refusals = vec![Refusal::new(
        "kill_switch",
        "run",
        "kill switch /steward/kill-switch/all is \"on\"; set it to \"off\" to go on",
    )];
    insta::assert_snapshot!(text(&report, &PLAIN, None));
}

#[test]
fn shows_what_failed() {
    let mut report = report();
    report.mode = Mode::Apply;
    report.status = Status::Partial;
    for n in 0..6 {
        report
            .actions
            .push(action("shop/web", n, ActionOutcome::Done));
    }
    for n in 10..17 {
        let line = action("shop/web", n, ActionOutcome::Failed);
        let error = "ecr:BatchDeleteImage: KmsError: the key of the repository is disabled";
        report.actions.push(failing(line, error));
    }
    for n in 20..23 {
        let line = action("shop/api", n, ActionOutcome::Failed);
        let error = format!(
            "ecr:BatchDeleteImage: UnableToGetUpstream: {}",
            image_digest(n)
        );
        report.actions.push(failing(line, &error));
    }
    let line = action("shop/api", 30, ActionOutcome::Skipped);
    let error = "has come into use: deployed by service shop/api in cluster live";
    report.actions.push(failing(line, error));
    let line = action("shop/api", 31, ActionOutcome::Deferred);
    report
        .actions
        .push(failing(line, "not reached: an earlier step failed"));
    report.warnings = vec!["repository shop/old does not exist".to_owned()];
    insta::assert_snapshot!(text(&summed(report), &PLAIN, Some(&by_hand())));
}

#[test]
fn says_that_a_report_was_shortened() {
    let mut report = planned();
    report.actions_total = 5_000;
    report.summary.planned += 5_000 - report.actions.len();
    report.summary.observed += 5_000 - report.actions.len();
    report.truncated = true;
    let text = text(&report, &PLAIN, None);
    assert!(text.contains("of 5,000 actions it lists 16"), "{text}");
}

#[test]
fn bears_very_long_names_and_errors() {
    let mut report = report();
    report.status = Status::Partial;
    report.mode = Mode::Apply;
    let long = ["a-team-with-a-long-name"; 11].join("/");
    for n in 0..2 {
        report.actions.push(action(&long, n, ActionOutcome::Done));
    }
    let tag = format!("feature-{}", "x".repeat(120));
    report.actions[1]
        .detail
        .insert("tags".to_owned(), json!([tag]));
    let line = action(&long, 3, ActionOutcome::Failed);
    report
        .actions
        .push(failing(line, &"no-space-anywhere".repeat(20)));
    report.kept = vec![kept(
        "newest",
        3,
        &format!("{long}@{}: newest", image_digest(9)),
    )];
    report.refusals = vec![Refusal::new("max_share_percent", &long, "too much")];
    report.gaps = vec![GapLine {
        read: long.clone(),
        hides: vec![long.as_str(); 20].join(", "),
        grant: "ecr:DescribeImages".to_owned(),
    }];
    report.warnings = vec![long.clone()];
    insta::assert_snapshot!(text(&summed(report), &PLAIN, Some(&by_hand())));
}

#[test]
fn shows_the_largest_of_a_hundred_repositories() {
    let mut report = report();
    report.status = Status::Planned;
    for repository in 0..100 {
        let name = format!("team-{:02}/service-{repository:03}", repository % 7);
        for n in 0..=repository {
            report
                .actions
                .push(action(&name, n, ActionOutcome::Planned));
        }
    }
    insta::assert_snapshot!(text(&summed(report.clone()), &PLAIN, Some(&by_hand())));
    let all = text(&summed(report), &Look { all: true, ..PLAIN }, None);
    assert_eq!(
        all.lines()
            .filter(|l| l.contains("team-00/service-000 "))
            .count(),
        1
    );
    assert!(all.lines().count() > 5_050, "{}", all.lines().count());
}

#[test]
fn shows_another_function_with_actions_of_many_kinds() {
    let mut report = report();
    report.function = "scheduled-scaling".to_owned();
    report.operation = "park".to_owned();
    report.mode = Mode::Apply;
    report.status = Status::Waiting;
    report.wait = Some(Wait {
        seconds: 30,
        what: "database live to stop".to_owned(),
    });
    for (n, (kind, resource)) in [
        (
            "stop_service",
            "arn:aws:ecs:eu-central-1:123456789012:service/live/api",
        ),
        (
            "stop_database",
            "arn:aws:rds:eu-central-1:123456789012:db:live",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut line = action("unused", n, ActionOutcome::Done);
        line.kind = kind.to_owned();
        line.resource = resource.to_owned();
        line.reason = "out_of_hours".to_owned();
        line.detail = Map::from_iter([("because".to_owned(), Value::from("it is night"))]);
        report.actions.push(line);
    }
    insta::assert_snapshot!(text(&summed(report), &PLAIN, None));
}

#[test]
fn advises_how_to_go_on_from_a_plan() {
    let advice = |given: &Given| {
        let text = text(&planned(), &PLAIN, Some(given));
        text.split_once("\nNext\n").unwrap().1.to_owned()
    };
    let without_policy = advice(&Given::default());
    assert!(
        without_policy.contains("plan --policy POLICY --plan-out plan.json"),
        "{without_policy}"
    );
    let scoped = Given {
        scope: vec![("repository".to_owned(), "shop/web".to_owned())],
        options: vec![("profile".to_owned(), "my team's".to_owned())],
        ..by_hand()
    };
    let again = advice(&scoped).replace(" \\\n     ", "");
    assert!(
        again.contains(
            "steward image-pruning apply --policy policy.yaml --repository shop/web --profile \
             'my team'\\''s'\n"
        ),
        "{again}"
    );
    let saved = advice(&Given {
        plan_out: Some("p.json".to_owned()),
        ..scoped
    });
    let saved = saved.replace(" \\\n     ", "");
    assert!(
        saved.contains("apply --policy policy.yaml --profile 'my team'\\''s' --plan p.json\n"),
        "{saved}"
    );
    assert!(!saved.contains("--repository"), "{saved}");
    let woken = advice(&Given {
        scope: vec![("event".to_owned(), "event.json".to_owned())],
        ..by_hand()
    });
    assert!(
        woken.contains("plan --policy policy.yaml --event event.json"),
        "{woken}"
    );
    assert!(!woken.contains("steward image-pruning apply"), "{woken}");
    let by_name = Given {
        operation: Some("override".to_owned()),
        operands: vec!["dev".to_owned(), "on".to_owned()],
        scope: vec![("why".to_owned(), "a demo".to_owned())],
        ..by_hand()
    };
    let named = advice(&by_name).replace(" \\\n     ", "");
    for part in [
        "steward image-pruning override dev on --policy policy.yaml --why 'a demo' --plan-out",
        "steward image-pruning override dev on --mode apply --policy policy.yaml --why 'a demo'\n",
    ] {
        assert!(named.contains(part), "{part}: {named}");
    }
    let saved = advice(&Given {
        plan_out: Some("p.json".to_owned()),
        ..by_name
    });
    assert!(
        saved.contains("steward image-pruning apply --policy policy.yaml --plan"),
        "{saved}"
    );
}

#[test]
fn a_plan_file_that_has_drifted_is_no_plan_any_more() {
    let mut report = planned();
    for line in &mut report.actions {
        line.outcome = ActionOutcome::Skipped;
        line.error = Some("drifted since the plan was made: no longer there".to_owned());
    }
    let text = text(&summed(report), &PLAIN, Some(&by_hand()));
    assert!(text.starts_with("image-pruning prune: nothing of the plan file is left to do"));
    assert!(!text.contains("\nNext\n"), "{text}");
}

#[test]
fn colours_only_when_asked_to() {
    assert!(!show(&planned(), &PLAIN, None).contains('\u{1b}'));
    let look = Look {
        colours: true,
        ..PLAIN
    };
    let coloured = show(&planned(), &look, None);
    assert!(coloured.starts_with("\u{1b}[1;33mimage-pruning prune: would delete 12 images"));
    let mut bare = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        bare.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    bare.push_str(rest);
    assert_eq!(
        bare.lines().map(str::trim_end).collect::<Vec<_>>(),
        show(&planned(), &PLAIN, None).lines().collect::<Vec<_>>()
    );
}

#[test]
fn nothing_in_a_report_steers_the_terminal() {
    let mut report = planned();
    let evil = "x\u{1b}]0;owned\u{7}\u{1b}[2J".to_owned();
    report.function = evil.clone();
    report.region = evil.clone();
    report.warnings = vec![evil.clone()];
    report.actions[0].resource = evil.clone();
    report.actions[0].kind = evil.clone();
    report.actions[1].reason = evil.clone();
    report.actions[2]
        .detail
        .insert("tags".to_owned(), json!([evil]));
    report.actions[3]
        .detail
        .insert("repository".to_owned(), json!(evil));
    report.kept[0].reason = evil.clone();
    report.refusals = vec![Refusal::new(&evil, &evil, &evil)];
    report.gaps = vec![GapLine {
        read: evil.clone(),
        hides: evil.clone(),
        grant: evil.clone(),
    }];
    let text = text(&report, &Look { all: true, ..PLAIN }, None);
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text:?}"
    );
}
