//! What a function's hands took is given back at the end of every run that may
//! act.

use std::time::Duration;

use serde_json::json;
use steward::engine::{Deadline, Mode};
use steward::report::Status;
use steward::switches::{Absent, Switches};
use tokio::time::Instant;

use crate::canned::{Answer, Canned};
use crate::scripted::{Reply, Scripted, Stage, thing};
use crate::support::{Setting, policy, woken};

fn nine() -> Stage {
    let lanes = ["a", "b", "c"];
    let things = lanes.iter().flat_map(|unit| {
        let name = move |n| format!("{unit}{n}");
        (0..3).map(move |n| thing(unit, name(n)).destroyed())
    });
    Stage::of(things)
}

async fn run(stage: &Stage, setting: Setting) -> Status {
    let policy = policy("");
    let run = setting.run::<Scripted>(stage, &policy, woken::<Scripted>(String::new()));
    run.await.report.status
}

#[tokio::test]
async fn once_after_all_lanes_whatever_became_of_them() {
    let stage = nine();
    let status = run(&stage, Setting::of(Mode::Apply)).await;
    assert_eq!(status, Status::Applied);
    assert_eq!(*stage.finished.borrow(), [3]);

    let stage = nine().failing(&["a0", "a1", "a2", "b1"]);
    let status = run(&stage, Setting::of(Mode::Apply)).await;
    assert_eq!(status, Status::Partial);
    assert_eq!(*stage.finished.borrow(), [3]);

    let stage = Stage::of([]);
    let status = run(&stage, Setting::of(Mode::Apply)).await;
    assert_eq!(status, Status::NothingToDo);
    assert_eq!(*stage.finished.borrow(), [0]);
}

#[tokio::test]
async fn also_when_a_switch_stops_the_run() {
    // The gate reads the switches, and then each lane does.
    let canned = Canned::by(|n, _| {
        let value = if n < 2 { "off" } else { "incident 42" };
        let names = ["/steward/kill-switch/all", "/steward/kill-switch/scripted"];
        let found = names.map(|name| json!({ "Name": name, "Value": value }));
        Answer::Reply(200, json!({ "Parameters": found }).to_string())
    });
    let stage = nine();
    let mut setting = Setting::of(Mode::Apply);
    let client = aws_sdk_ssm::Client::new(&canned.config());
    setting.switches = Switches::of(client, "scripted", Absent::Stops);
    assert_eq!(run(&stage, setting).await, Status::Partial);
    assert_eq!(*stage.finished.borrow(), [1]);
}

#[tokio::test]
async fn never_by_a_run_that_may_not_act() {
    let stage = nine();
    assert_eq!(run(&stage, Setting::of(Mode::Plan)).await, Status::Planned);
    assert!(stage.finished.borrow().is_empty());
}

#[tokio::test]
async fn within_the_time_that_the_report_leaves() {
    let within = |time: Duration| {
        let mut setting = Setting::of(Mode::Apply);
        let at = Instant::now() + time;
        setting.deadline = Some(Deadline {
            last_start: at,
            last_answer: at,
        });
        setting
    };
    let stage = nine();
    stage.finishes_never.set(true);
    let status = run(&stage, within(Duration::from_secs(1))).await;
    assert_eq!(status, Status::Applied, "what was done stays done");

    // Also when the lanes took all of it.
    let stage = nine();
    stage.reply.set(Reply::Never);
    let status = run(&stage, within(Duration::from_millis(400))).await;
    assert_eq!(status, Status::Failed);
    assert_eq!(*stage.finished.borrow(), [3]);
}
