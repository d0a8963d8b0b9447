//! The report: its status, its size, its digests.

use steward::engine::{Gap, Hides, Mode, Outcome, Trigger, Wait};
use steward::policy::PolicyDocument;
use steward::report::{
    ActionLine, ActionOutcome, GapLine, KeptLine, MAX_BYTES, Refusal, Report, Status, Summary,
};
use steward::run::{Context, run};

use crate::scripted::{Scripted, Stage, Thing, apply, thing};
use crate::support::{Limits, Setting, day, policy, woken};

fn wait() -> Wait {
    Wait {
        seconds: 30,
        what: "the database".to_owned(),
    }
}

fn gap() -> Gap {
    Gap {
        read: "a read failed".to_owned(),
        hides: Hides::unit("a"),
        grant: "a:Read".to_owned(),
    }
}

/// What a run in each mode comes to.
async fn statuses(things: &[&Thing], prepare: impl Fn(&Stage)) -> (Status, Status) {
    let mut both = vec![];
    for mode in [Mode::Plan, Mode::Apply] {
        let stage = Stage::of(things.iter().map(|thing| (*thing).clone()));
        prepare(&stage);
        let request = woken::<Scripted>(String::new());
        let run = Setting::of(mode)
            .run::<Scripted>(&stage, &policy(""), request)
            .await;
        both.push(run.report.status);
    }
    (both[0], both[1])
}

#[tokio::test]
async fn a_status_says_what_a_run_came_to() {
    use Status::{Applied, Failed, NothingToDo, Partial, Planned, Refused, Waiting};
    let stays = thing("a", "stays");
    let goes = thing("a", "goes").destroyed();
    let also = thing("b", "also").destroyed();
    let later = thing("a", "later").deferred();
    let fine = |_: &Stage| {};
    let waiting = |s: &Stage| s.world.borrow_mut().wait = Some(wait());
    let blind = |s: &Stage| s.gaps.borrow_mut().push(gap());
    let failing = |s: &Stage| s.ending("goes", Outcome::Failed("no".to_owned()));
    let skipping = |s: &Stage| s.ending("goes", Outcome::Skipped("in use".to_owned()));
    let late = |s: &Stage| s.ending("goes", Outcome::AlreadyDone);

    let failing_and_waiting = |s: &Stage| {
        failing(s);
        waiting(s);
    };

    let none: [&Thing; 0] = [];
    assert_eq!(statuses(&none, fine).await, (NothingToDo, NothingToDo));
    assert_eq!(statuses(&[&stays], fine).await, (NothingToDo, NothingToDo));
    assert_eq!(statuses(&[&stays, &goes], fine).await, (Planned, Applied));
    assert_eq!(statuses(&[&goes], late).await, (Planned, Applied));
    assert_eq!(statuses(&[&later], waiting).await, (Waiting, Waiting));
    assert_eq!(
        statuses(&[&later, &goes], waiting).await,
        (Planned, Waiting)
    );
    assert_eq!(statuses(&[&goes], blind).await, (Refused, Refused));
    assert_eq!(statuses(&[&goes, &also], blind).await, (Planned, Partial));
    assert_eq!(statuses(&[&goes], failing).await, (Planned, Failed));
    assert_eq!(statuses(&[&goes, &also], failing).await, (Planned, Partial));
    assert_eq!(
        statuses(&[&goes, &also], skipping).await,
        (Planned, Partial)
    );
    assert_eq!(
        statuses(&[&goes], failing_and_waiting).await,
        (Planned, Failed)
    );
}

#[tokio::test]
async fn what_is_kept_is_counted_by_reason_with_a_few_examples() {
    let stage = Stage::of((0..9).map(|n| thing("a", format!("a{n}"))));
    let report = apply(&stage, "").await;
    assert_eq!(report.kept.len(), 1);
    assert_eq!(
        (report.kept[0].reason.as_str(), report.kept[0].count),
        ("as_scripted", 9)
    );
    assert_eq!(report.kept[0].examples.len(), 3);
    assert_eq!(
        report.kept[0].examples[0],
        "a0: the script says so about a0"
    );
}

#[tokio::test]
async fn a_line_says_why_in_a_sentence() {
    let stage = Stage::of([thing("a", "a1").destroyed(), thing("a", "a2").deferred()]);
    let report = apply(&stage, "").await;
    assert_eq!(
        report.actions[0].detail["because"],
        "the script says so about a1"
    );
    assert_eq!(report.actions[1].kind, "none");
    assert_eq!(
        report.actions[1].error.as_deref(),
        Some("the script says so about a2")
    );
}

#[test]
fn a_policy_digest_does_not_depend_on_comments_order_or_what_is_the_default() {
    let digest = |text: &str| {
        let document: PolicyDocument<Limits> = PolicyDocument::parse(text, "test").unwrap();
        document.digest().to_owned()
    };
    let plain = digest("version: 1\nkeep_at_least: 3\nmax_share_percent: 20\n");
    assert!(plain.starts_with("sha256:") && plain.len() == 71, "{plain}");
    for same in [
        "# why\nversion: 1\nmax_share_percent: 20 # a fifth\nkeep_at_least: 3\n",
        "{\"keep_at_least\": 3, \"version\": 1, \"max_share_percent\": 20}",
        "version: 1\nkeep_at_least: 3\nmax_share_percent: 20\nreviewed_plan_may_exceed: []\n",
    ] {
        assert_eq!(digest(same), plain, "{same}");
    }
    assert_ne!(
        digest("version: 1\nkeep_at_least: 4\nmax_share_percent: 20\n"),
        plain
    );
}

// ---- size ---------------------------------------------------------------------

fn line(n: usize, outcome: ActionOutcome, error: Option<String>) -> ActionLine {
    ActionLine {
        kind: "delete_image".to_owned(),
        resource: format!("web@sha256:{n:064}"),
        account: "111122223333".to_owned(),
        region: "eu-west-1".to_owned(),
        reason: "expired".to_owned(),
        detail: serde_json::Map::new(),
        outcome,
        error,
    }
}

fn report(actions: Vec<ActionLine>) -> Report {
    Report {
        schema_version: 1,
        function: "image-pruning".to_owned(),
        operation: "prune".to_owned(),
        status: Status::Partial,
        mode: Mode::Apply,
        run_id: "run-1".to_owned(),
        trigger: Trigger::Schedule,
        account: "111122223333".to_owned(),
        region: "eu-west-1".to_owned(),
        started_at: day(0),
        finished_at: day(0),
        policy_digest: "sha256:0".to_owned(),
        plan_digest: "sha256:0".to_owned(),
        summary: Summary::default(),
        actions_total: actions.len(),
        actions,
        truncated: false,
        kept: vec![],
        refusals: vec![],
        gaps: vec![],
        warnings: vec![],
        wait: None,
    }
}

/// The bounded report, which is small and says that it was cut.
fn cut(report: &Report) -> Report {
    let bounded = report.bounded();
    let size = serde_json::to_vec(&bounded).unwrap().len();
    assert!(size <= MAX_BYTES, "{size} bytes");
    assert!(bounded.truncated);
    assert_eq!(bounded.actions_total, report.actions.len());
    assert_eq!(bounded.summary, report.summary);
    bounded
}

#[test]
fn a_small_report_is_left_as_it_is() {
    let small = report(vec![line(0, ActionOutcome::Done, None)]);
    assert_eq!(small.bounded(), small);
}

#[test]
fn of_fifty_thousand_actions_the_failures_stay() {
    let failures = [7, 30_000, 49_999];
    let lines = (0..50_000).map(|n| match failures.contains(&n) {
        true => line(n, ActionOutcome::Failed, Some("x".repeat(100_000))),
        false => line(n, ActionOutcome::Done, None),
    });
    let whole = report(lines.collect());
    let bounded = cut(&whole);
    assert!(
        bounded.actions.len() > 500,
        "{} lines",
        bounded.actions.len()
    );
    for (line, n) in bounded.actions.iter().zip(failures) {
        assert_eq!(line.outcome, ActionOutcome::Failed);
        assert_eq!(line.resource, whole.actions[n].resource);
        let error = line.error.as_deref().unwrap();
        assert!(error.len() < 2_000 && error.ends_with('…'));
    }
}

#[test]
fn fifty_thousand_failures_with_huge_errors_fit() {
    let huge = "é\"\u{1}\n".repeat(100);
    let lines = (0..50_000).map(|n| line(n, ActionOutcome::Failed, Some(huge.clone())));
    let bounded = cut(&report(lines.collect()));
    assert!(
        bounded.actions.len() > 100,
        "{} lines",
        bounded.actions.len()
    );
}

#[test]
fn one_huge_line_does_not_push_the_others_out() {
    let mut lines: Vec<_> = (0..10)
        .map(|n| line(n, ActionOutcome::Failed, None))
        .collect();
    lines[0].resource = "r".repeat(300_000);
    lines[1]
        .detail
        .insert("environment".to_owned(), "v".repeat(300_000).into());
    let many: Vec<_> = (0..100_000).map(serde_json::Value::from).collect();
    lines[2].detail.insert("members".to_owned(), many.into());
    lines[2]
        .detail
        .insert("because".to_owned(), "it is so".into());
    for n in 0..50_000 {
        lines[3].detail.insert(format!("key{n}"), n.into());
    }
    lines[4].detail.insert("k".repeat(300_000), 1.into());
    lines[5].kind = "k".repeat(300_000);
    lines[6].reason = "r".repeat(300_000);
    let bounded = cut(&report(lines));
    assert_eq!(bounded.actions.len(), 10);
    assert!(bounded.actions[0].resource.ends_with('…'));
    assert_eq!(bounded.actions[2].detail["because"], "it is so");
    assert!(bounded.actions[3].detail.len() > 1);
}

#[test]
fn no_other_part_of_a_report_breaks_the_bound() {
    // Characters that JSON writes six times as long, and lists of any length.
    for text in ["\u{1}".repeat(700), "𝄞".repeat(700), "a".repeat(700)] {
        let mut whole = report(vec![line(0, ActionOutcome::Failed, None)]);
        whole.wait = Some(Wait {
            seconds: 1,
            what: text.repeat(300),
        });
        whole.run_id = text.repeat(300);
        for _ in 0..300 {
            whole.warnings.push(text.clone());
            whole.refusals.push(Refusal::new(&text, &text, &text));
            whole.gaps.push(GapLine {
                read: text.clone(),
                hides: text.clone(),
                grant: text.clone(),
            });
            whole.kept.push(KeptLine {
                reason: text.clone(),
                count: 1,
                examples: vec![text.clone(), text.clone(), text.clone()],
            });
        }
        let bounded = cut(&whole);
        assert_eq!(bounded.actions.len(), 1, "the failure has its place");
        for shown in [
            bounded.warnings.len(),
            bounded.refusals.len(),
            bounded.gaps.len(),
            bounded.kept.len(),
        ] {
            assert!((3..300).contains(&shown), "{shown}");
        }
        let said = bounded.warnings.last().unwrap();
        assert!(said.contains("left out"), "{said}");
    }
}

#[tokio::test]
async fn a_run_over_fifty_thousand_things_has_a_bounded_report() {
    let stage = Stage::of((0..50_000).map(|n| {
        let one = thing(&format!("u{}", n % 20), format!("t{n}"));
        if n % 3 == 0 { one } else { one.destroyed() }
    }));
    // The helper checks the bound.
    let report = apply(&stage, "max_actions_per_run: 300").await;
    assert_eq!(report.summary.done, 300);
    let bounded = report.bounded();
    assert!(bounded.truncated);
    let shown = |outcome| {
        bounded
            .actions
            .iter()
            .filter(|l| l.outcome == outcome)
            .count()
    };
    assert_eq!(
        shown(ActionOutcome::Done),
        300,
        "what was done before what was not"
    );
    assert!(shown(ActionOutcome::Deferred) > 100);
}

#[tokio::test]
async fn of_more_actions_than_are_asked_for_failures_are_told_first_and_all_are_counted() {
    let things = (0..6).map(|n| thing("a", format!("a{n}")).destroyed());
    let stage = Stage::of(things.chain([thing("a", "later").deferred(), thing("a", "stays")]));
    stage.ending("a4", Outcome::Failed("no".to_owned()));
    stage.ending("a5", Outcome::Skipped("in use".to_owned()));
    let setting = Setting::of(Mode::Apply);
    let context = Context {
        most_lines: 3,
        ..setting.context()
    };
    let request = woken::<Scripted>(String::new());
    let run = run::<Scripted>(&stage, &context, &policy(""), request).await;

    let told: Vec<&str> = run.report.actions.iter().map(|l| &*l.resource).collect();
    assert_eq!(told, ["a/a4", "a/a5", "a/a0"]);
    assert_eq!(run.report.actions_total, 7);
    assert!(run.report.truncated && run.report.bounded().truncated);
    let all: Vec<String> = run.lines().map(|line| line.resource).collect();
    assert_eq!(all, ["a/a0", "a/a1", "a/a2", "a/a3", "a/a4", "a/a5"]);
}
