//! The kill switches, read from Systems Manager parameters before observing
//! and before every batch of writes.

use std::time::Duration;

use steward::engine::{Deadline, Mode};
use steward::report::{ActionOutcome, Report, Status};
use steward::switches::{Absent, Switches};
use tokio::time::Instant;

use crate::canned::{Answer, Canned};
use crate::scripted::{Scripted, Stage, outcomes, thing, why};
use crate::support::{Setting, policy, woken};

const OWN: &str = "/steward/kill-switch/scripted";

/// Both switches with these values; `None` leaves one out.
fn parameters(all: Option<&str>, own: Option<&str>) -> Answer {
    let found: Vec<_> = [("/steward/kill-switch/all", all), (OWN, own)]
        .into_iter()
        .filter_map(|(name, value)| Some(serde_json::json!({"Name": name, "Value": value?})))
        .collect();
    Answer::Reply(200, serde_json::json!({ "Parameters": found }).to_string())
}

async fn run(canned: &Canned, absent: Absent, stage: &Stage) -> Report {
    run_within(None, canned, absent, stage).await
}

async fn run_within(
    deadline: Option<Deadline>,
    canned: &Canned,
    absent: Absent,
    stage: &Stage,
) -> Report {
    let client = aws_sdk_ssm::Client::new(&canned.config());
    let mut setting = Setting::of(Mode::Apply);
    setting.switches = Switches::of(client, "scripted", absent);
    setting.deadline = deadline;
    let policy = policy("");
    let run = setting.run::<Scripted>(stage, &policy, woken::<Scripted>(String::new()));
    run.await.report
}

#[tokio::test]
async fn a_switch_that_is_not_off_stops_a_run_before_it_reads_anything() {
    let table = [
        (Some("off"), Some("off"), Absent::Stops, None),
        (Some(" off\n"), Some("off"), Absent::Stops, None),
        (
            Some("on"),
            Some("off"),
            Absent::Stops,
            Some("all is \"on\""),
        ),
        (
            Some("off"),
            Some("OFF"),
            Absent::Stops,
            Some("scripted is \"OFF\""),
        ),
        (
            Some("off"),
            Some(""),
            Absent::Passes,
            Some("scripted is \"\""),
        ),
        (
            Some("off"),
            None,
            Absent::Stops,
            Some("scripted does not exist"),
        ),
        (Some("off"), None, Absent::Passes, None),
        (None, None, Absent::Passes, None),
    ];
    for (all, own, absent, stopped_by) in table {
        let (all_value, own_value) = (all.map(str::to_owned), own.map(str::to_owned));
        let canned = Canned::by(move |_, _| parameters(all_value.as_deref(), own_value.as_deref()));
        let stage = Stage::of([thing("a", "a1").destroyed()]);
        let report = run(&canned, absent, &stage).await;
        let Some(stopped_by) = stopped_by else {
            assert_eq!(report.status, Status::Applied, "{all:?} {own:?}");
            continue;
        };
        assert_eq!(report.status, Status::Refused);
        assert_eq!(report.refusals[0].guard, "kill_switch");
        assert!(report.refusals[0].detail.contains(stopped_by), "{report:?}");
        assert_eq!(stage.observations.get(), 0);
    }
}

#[tokio::test]
async fn both_switches_are_asked_for_in_one_call() {
    let canned = Canned::by(|_, _| parameters(Some("off"), Some("off")));
    run(&canned, Absent::Stops, &Stage::of([])).await;
    let asked = canned.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].uri.contains("ssm"), "{asked:?}");
    assert!(asked[0].body.contains("/steward/kill-switch/all"));
    assert!(asked[0].body.contains(OWN));
}

#[tokio::test]
async fn a_switch_that_cannot_be_read_stops_a_run() {
    let denied = r#"{"__type":"AccessDeniedException","Message":"no ssm:GetParameters"}"#;
    let canned = Canned::by(move |_, _| Answer::Reply(400, denied.to_owned()));
    let stage = Stage::of([thing("a", "a1").destroyed()]);
    let report = run(&canned, Absent::Passes, &stage).await;
    assert_eq!(report.status, Status::Refused);
    let detail = &report.refusals[0].detail;
    assert!(
        detail.contains("means stop") && detail.contains("no ssm:GetParameters"),
        "{detail}"
    );
    assert_eq!(stage.observations.get(), 0);
}

#[tokio::test]
async fn a_switch_thrown_between_two_batches_leaves_the_rest_for_later() {
    // One read at the gate and one before each batch: the third comes before
    // the second batch.
    let canned = Canned::by(|n, _| match n {
        0 | 1 => parameters(Some("off"), Some("off")),
        _ => parameters(Some("off"), Some("incident 42")),
    });
    let stage = Stage::of((0..9).map(|n| thing("a", format!("a{n}")).destroyed()));
    let report = run(&canned, Absent::Stops, &stage).await;

    assert_eq!(report.status, Status::Partial);
    assert_eq!((report.summary.done, report.summary.deferred), (3, 6));
    assert_eq!(stage.left().len(), 6);
    assert_eq!(outcomes(&report)["a8"], ActionOutcome::Deferred);
    assert!(why(&report, "a8").contains("incident 42"));
    let guards: Vec<_> = report.refusals.iter().map(|r| &r.guard).collect();
    assert_eq!(guards, ["kill_switch"]);
}

#[tokio::test]
async fn a_switch_thrown_before_the_first_batch_means_that_nothing_was_done() {
    let canned = Canned::by(|n, _| match n {
        0 => parameters(Some("off"), Some("off")),
        _ => parameters(Some("on"), Some("off")),
    });
    let stage = Stage::of([thing("a", "a1").destroyed(), thing("b", "b1").destroyed()]);
    let report = run(&canned, Absent::Stops, &stage).await;
    assert_eq!(report.status, Status::Refused);
    assert_eq!(report.summary.deferred, 2);
    assert_eq!(report.refusals.len(), 1, "one refusal, however many lanes");
    assert!(stage.touched().is_empty());
}

#[tokio::test]
async fn a_switch_that_never_answers_stops_a_run_in_time_for_its_report() {
    let soon = || {
        let now = Instant::now();
        Some(Deadline {
            last_start: now + Duration::from_secs(1),
            last_answer: now + Duration::from_millis(1_500),
        })
    };
    let at_the_gate = Canned::by(|_, _| Answer::Never);
    let stage = Stage::of([thing("a", "a1").destroyed()]);
    let report = run_within(soon(), &at_the_gate, Absent::Stops, &stage).await;
    assert_eq!(report.status, Status::Refused);
    assert!(report.refusals[0].detail.contains("in time"), "{report:?}");

    let before_a_batch = Canned::by(|n, _| match n {
        0 => parameters(Some("off"), Some("off")),
        _ => Answer::Never,
    });
    let report = run_within(soon(), &before_a_batch, Absent::Stops, &stage).await;
    assert_eq!(report.status, Status::Refused);
    assert!(stage.touched().is_empty());
}
