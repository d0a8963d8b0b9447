//! The Lambda's deadline. Real time, as short as a busy machine allows.

use std::time::Duration;

use steward::engine::{Deadline, Mode};
use steward::report::{ActionOutcome, Report, Status};
use tokio::time::Instant;

use crate::scripted::{Reply, Scripted, Stage, outcomes, thing, why};
use crate::support::{Setting, policy, woken};

const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(60);

/// A run that may start batches for `start` and wait for answers for `answer`.
async fn run(stage: &Stage, start: Duration, answer: Duration) -> (Report, Duration) {
    let now = Instant::now();
    let mut setting = Setting::of(Mode::Apply);
    setting.deadline = Some(Deadline {
        last_start: now + start,
        last_answer: now + answer,
    });
    let policy = policy("");
    let run = setting.run::<Scripted>(stage, &policy, woken::<Scripted>(String::new()));
    (run.await.report, now.elapsed())
}

fn nine() -> Stage {
    Stage::of((0..9).map(|n| thing("a", format!("a{n}")).destroyed()))
}

#[tokio::test]
async fn nothing_is_started_after_the_last_start() {
    let stage = nine();
    stage.reply.set(Reply::At(Instant::now() + SHORT + SHORT));
    let (report, _) = run(&stage, SHORT, LONG).await;

    assert_eq!(
        stage.batches.borrow().len(),
        1,
        "the first batch took all the time"
    );
    assert_eq!(report.status, Status::Partial);
    assert_eq!((report.summary.done, report.summary.deferred), (3, 6));
    assert!(why(&report, "a8").contains("time is nearly up"));
    assert!(
        report.refusals.is_empty(),
        "running out of time is no refusal"
    );
}

#[tokio::test]
async fn a_run_that_may_start_nothing_does_nothing_and_says_so() {
    let stage = nine();
    let (report, _) = run(&stage, Duration::ZERO, LONG).await;
    // Observing is bounded by the last start too, but one that answers at once
    // is not lost.
    assert!(stage.touched().is_empty());
    assert_eq!(report.status, Status::Failed);
    assert_eq!(report.summary.done, 0);
}

#[tokio::test]
async fn an_act_that_never_answers_is_given_up_in_time_for_the_report() {
    let stage = nine();
    stage.reply.set(Reply::Never);
    let (report, took) = run(&stage, SHORT, SHORT).await;
    assert!(took < LONG / 2, "{took:?}");

    assert_eq!(report.status, Status::Failed);
    assert_eq!((report.summary.failed, report.summary.deferred), (3, 6));
    assert_eq!(outcomes(&report)["a0"], ActionOutcome::Failed);
    assert!(why(&report, "a0").contains("no answer before the deadline"));
}

#[tokio::test]
async fn observing_that_takes_too_long_fails_and_changes_nothing() {
    let stage = nine();
    stage.observes_never.set(true);
    let (report, took) = run(&stage, SHORT, LONG).await;
    assert!(took < LONG / 2, "{took:?}");
    assert_eq!(report.status, Status::Failed);
    assert!(
        report
            .warnings
            .iter()
            .any(|w| w.contains("time ran out while reading"))
    );
    assert!(stage.touched().is_empty());
}

#[test]
fn a_deadline_leaves_room_for_a_batch_and_the_report_of_any_life() {
    for seconds in [0, 1, 3, 10, 60, 80, 900] {
        let life = Duration::from_secs(seconds);
        let now = Instant::now();
        let deadline = Deadline::after(life);
        let slack = Duration::from_secs(1);
        assert!(deadline.last_start <= deadline.last_answer, "{seconds} s");
        assert!(deadline.last_answer <= now + life + slack, "{seconds} s");
        assert!(deadline.last_start + life / 4 <= now + life + slack + life / 4);
        if seconds >= 80 {
            assert!(deadline.last_start + Duration::from_secs(20) <= now + life + slack);
            assert!(deadline.last_answer + Duration::from_secs(3) <= now + life + slack);
        }
    }
}
