//! The mode gate and the explicit policy.

use steward::engine::Mode;
use steward::policy::PolicyDocument;
use steward::report::{Report, Status};

use crate::scripted::{Scripted, Stage, thing};
use crate::support::{Limits, Setting, policy, woken};

async fn run(leash: Mode, asked: Option<Mode>, policy: &PolicyDocument<Limits>) -> (Stage, Report) {
    let stage = Stage::of([thing("a", "a1").destroyed()]);
    let mut request = woken::<Scripted>(String::new());
    request.mode = asked;
    let run = Setting::of(leash).run(&stage, policy, request).await;
    (stage, run.report)
}

fn refused_by(report: &Report) -> Vec<&str> {
    report.refusals.iter().map(|r| r.guard.as_str()).collect()
}

#[tokio::test]
async fn an_event_may_lower_the_leash_and_never_lengthen_it() {
    use Mode::{Apply, Plan};
    let table = [
        (Plan, None, Status::Planned, Plan),
        (Plan, Some(Plan), Status::Planned, Plan),
        (Plan, Some(Apply), Status::Refused, Apply),
        (Apply, None, Status::Applied, Apply),
        (Apply, Some(Plan), Status::Planned, Plan),
        (Apply, Some(Apply), Status::Applied, Apply),
    ];
    for (leash, asked, status, mode) in table {
        let (stage, report) = run(leash, asked, &policy("")).await;
        assert_eq!(
            (report.status, report.mode),
            (status, mode),
            "{leash} {asked:?}"
        );
        assert_eq!(
            stage.touched().is_empty(),
            status != Status::Applied,
            "{leash} {asked:?}"
        );
    }
}

#[tokio::test]
async fn an_event_that_asks_for_more_is_refused_before_anything_is_read() {
    let (stage, report) = run(Mode::Plan, Some(Mode::Apply), &policy("")).await;
    assert_eq!(refused_by(&report), ["mode"]);
    assert_eq!(stage.observations.get(), 0);
    assert_eq!(report.summary.observed, 0);
}

#[tokio::test]
async fn apply_without_a_policy_is_refused_and_plan_is_not() {
    let none = PolicyDocument::defaults();
    let (stage, report) = run(Mode::Apply, None, &none).await;
    assert_eq!(report.status, Status::Refused);
    assert_eq!(refused_by(&report), ["explicit_policy"]);
    assert_eq!(stage.observations.get(), 0);

    let (_, report) = run(Mode::Apply, Some(Mode::Plan), &none).await;
    assert_eq!(report.status, Status::Planned);
    assert!(report.warnings[0].contains("no policy was given"));
}

#[tokio::test]
async fn apply_with_a_policy_that_selects_nothing_is_refused() {
    let vague = PolicyDocument::parse("version: 1\nmax_actions_per_run: 5\n", "test").unwrap();
    let (stage, report) = run(Mode::Apply, None, &vague).await;
    assert_eq!(report.status, Status::Refused);
    assert_eq!(refused_by(&report), ["explicit_policy"]);
    assert!(stage.touched().is_empty());
}
