//! Saved plans: what applying one does, and what it never does.

use steward::engine::{Effect, Mode};
use steward::plan_file::{PlanFile, PlanFileError};
use steward::report::ActionOutcome::{AlreadyDone, Deferred, Done, Skipped};
use steward::report::{Report, Status};
use steward::run::Run;

use crate::pruning::Pruning;
use crate::scripted::{Deed, Scripted, Stage, Thing, outcomes, thing, why};
use crate::support::{Setting, day, policy, woken};

async fn plan(stage: &Stage, more_policy: &str) -> Run<Scripted> {
    let request = woken::<Scripted>("everything".to_owned());
    let setting = Setting::of(Mode::Plan);
    setting.run(stage, &policy(more_policy), request).await
}

async fn saved(stage: &Stage) -> String {
    let run = plan(stage, "").await;
    serde_json::to_string_pretty(&run.plan_file()).unwrap()
}

async fn apply_file(stage: &Stage, file: &str, more_policy: &str) -> Report {
    let mut request = woken::<Scripted>("everything".to_owned());
    request.plan_file = Some(PlanFile::parse(file).unwrap());
    let setting = Setting::of(Mode::Apply);
    let run = setting.run(stage, &policy(more_policy), request).await;
    run.report
}

fn three() -> Vec<Thing> {
    vec![
        thing("a", "a1").destroyed(),
        thing("a", "a2").destroyed(),
        thing("b", "b1").changed(),
    ]
}

#[tokio::test]
async fn a_plan_survives_its_file() {
    let stage = Stage::of(three());
    let run = plan(&stage, "").await;
    let file: PlanFile<Scripted> = PlanFile::parse(&saved(&stage).await).unwrap();
    assert_eq!(file.actions.iter().collect::<Vec<_>>(), run.planned());
    assert_eq!(file.plan_digest, run.report.plan_digest);
    assert_eq!(file.scope, "everything");

    let report = apply_file(&stage, &saved(&stage).await, "").await;
    assert_eq!(report.status, Status::Applied);
    assert_eq!(report.summary.done, 3);
    assert_eq!(report.plan_digest, run.report.plan_digest);
}

#[tokio::test]
async fn a_plan_holds_only_what_the_guards_let_through() {
    let stage = Stage::of(three());
    let run = plan(&stage, "max_actions_per_run: 1").await;
    assert_eq!(run.plan_file().actions.len(), 1);
}

#[tokio::test]
async fn a_file_that_was_edited_is_noticed() {
    let stage = Stage::of(three());
    let file = saved(&stage).await;
    for (from, to) in [
        ("\"a1\"", "\"a9\""),
        ("\"everything\"", "\"something\""),
        (crate::support::ACCOUNT, "999999999999"),
        (crate::support::REGION, "eu-west-2"),
        ("\"operation\": \"act\"", "\"operation\": \"rehearse\""),
    ] {
        let edited = file.replace(from, to);
        assert_ne!(edited, file, "{from} is in the file");
        let error = PlanFile::<Scripted>::parse(&edited).unwrap_err();
        assert!(matches!(error, PlanFileError::Edited { .. }), "{error}");
        assert!(error.to_string().contains("make a new plan"));
    }
    let mut shorter: serde_json::Value = serde_json::from_str(&file).unwrap();
    shorter["actions"].as_array_mut().unwrap().pop();
    let error = PlanFile::<Scripted>::parse(&shorter.to_string()).unwrap_err();
    assert!(matches!(error, PlanFileError::Edited { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_plan_file_is_refused_by_its_place() {
    let file = saved(&Stage::of(three())).await;
    let broken = |change: fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = serde_json::from_str(&file).unwrap();
        change(&mut value);
        let error = PlanFile::<Scripted>::parse(&value.to_string()).unwrap_err();
        error.to_string()
    };
    let table = [
        (
            broken(|v| v["actions"][1]["target"] = 7.into()),
            "actions[1].target",
        ),
        (broken(|v| v["also"] = 1.into()), "also"),
        (
            broken(|v| v["schema_version"] = 2.into()),
            "schema_version is \"2\"",
        ),
        (
            broken(|v| v["function"] = "pruning".into()),
            "function is \"pruning\"",
        ),
        (
            broken(|v| *v = serde_json::json!([])),
            "schema_version is missing",
        ),
    ];
    for (message, expected) in table {
        assert!(message.contains(expected), "{message}");
    }
    let truncated = PlanFile::<Scripted>::parse(&file[..file.len() / 2]).unwrap_err();
    assert!(
        truncated
            .to_string()
            .contains("is not a plan file of scripted")
    );
    let foreign = PlanFile::<Pruning>::parse(&file).unwrap_err();
    assert!(matches!(
        foreign,
        PlanFileError::Elsewhere {
            field: "function",
            ..
        }
    ));
}

#[tokio::test]
async fn a_plan_for_elsewhere_is_refused_and_nothing_is_read() {
    let stage = Stage::of(three());
    let file = saved(&stage).await;
    let observed = stage.observations.get();
    type Elsewhere = (&'static str, fn(&mut Setting));
    let settings: [Elsewhere; 2] = [
        ("account", |s| s.account = "999999999999".to_owned()),
        ("region", |s| s.region = "us-east-1".to_owned()),
    ];
    for (field, change) in settings {
        let mut setting = Setting::of(Mode::Apply);
        change(&mut setting);
        let parsed: PlanFile<Scripted> = PlanFile::parse(&file).unwrap();
        let error = parsed
            .fits("act", &setting.account, &setting.region)
            .unwrap_err();
        assert!(error.to_string().starts_with(field), "{error}");

        let mut request = woken::<Scripted>("everything".to_owned());
        request.plan_file = Some(parsed);
        let report = setting.run(&stage, &policy(""), request).await.report;
        assert_eq!(report.status, Status::Refused);
        assert_eq!(report.refusals[0].guard, "plan_file");
        assert!(report.refusals[0].detail.contains(field));
    }
    let parsed: PlanFile<Scripted> = PlanFile::parse(&file).unwrap();
    let setting = Setting::of(Mode::Apply);
    let error = parsed
        .fits("rehearse", &setting.account, &setting.region)
        .unwrap_err();
    assert!(error.to_string().starts_with("operation"), "{error}");

    let mut request = woken::<Scripted>("everything".to_owned());
    request.operation = "rehearse";
    request.plan_file = Some(parsed);
    let setting = Setting::of(Mode::Apply);
    let report = setting.run(&stage, &policy(""), request).await.report;
    assert_eq!(report.status, Status::Refused);
    assert_eq!(stage.observations.get(), observed);
    assert!(stage.touched().is_empty());
}

#[tokio::test]
async fn what_is_achieved_counts_as_done() {
    let stage = Stage::of(three());
    let file = saved(&stage).await;
    stage.world.borrow_mut().things.retain(|t| t.target != "a1");
    let report = apply_file(&stage, &file, "").await;
    assert_eq!(report.status, Status::Applied);
    let ends = outcomes(&report);
    assert_eq!((ends["a1"], ends["a2"]), (AlreadyDone, Done));
    assert_eq!(
        stage.touched(),
        ["a2", "b1"],
        "nothing is done for what is done"
    );
}

#[tokio::test]
async fn what_drifted_is_skipped_with_the_reason() {
    let stage = Stage::of(three());
    let file = saved(&stage).await;
    {
        let mut world = stage.world.borrow_mut();
        world.things[0] = thing("a", "a1");
        world.things[1] = thing("a", "a2").with(Effect::Destroy, "another end");
    }
    let report = apply_file(&stage, &file, "").await;
    assert_eq!(report.status, Status::Partial);
    let ends = outcomes(&report);
    assert_eq!(
        (ends["a1"], ends["a2"], ends["b1"]),
        (Skipped, Skipped, Done)
    );
    assert_eq!(
        why(&report, "a1"),
        "drifted since the plan was made: the script says so about a1"
    );
    assert_eq!(stage.touched(), ["b1"]);
    assert_eq!(report.summary.observed, 3, "one line for each thing");
}

#[tokio::test]
async fn nothing_new_is_added() {
    let stage = Stage::of(three());
    let file = saved(&stage).await;
    let new = thing("a", "a0").destroyed();
    stage.world.borrow_mut().things.insert(0, new);
    let report = apply_file(&stage, &file, "").await;
    assert_eq!(outcomes(&report)["a0"], Deferred);
    assert_eq!(why(&report, "a0"), "not in the plan file");
    assert_eq!(stage.left(), ["a0"]);
}

#[tokio::test]
async fn a_file_that_is_applied_twice_finds_everything_done() {
    let stage = Stage::of(three());
    let file = saved(&stage).await;
    apply_file(&stage, &file, "").await;
    let touched = stage.touched().len();
    let report = apply_file(&stage, &file, "").await;
    assert_eq!(report.status, Status::Applied);
    assert_eq!(report.summary.already_done, 3);
    assert_eq!(stage.touched().len(), touched);
}

#[tokio::test]
async fn a_look_at_a_file_that_is_done_finds_nothing_to_do() {
    let stage = Stage::of(three());
    let file = saved(&stage).await;
    apply_file(&stage, &file, "").await;
    let mut request = woken::<Scripted>("everything".to_owned());
    request.plan_file = Some(PlanFile::parse(&file).unwrap());
    let run = Setting::of(Mode::Plan)
        .run(&stage, &policy(""), request)
        .await;
    assert_eq!(run.report.status, Status::NothingToDo);
}

#[tokio::test]
async fn a_file_whose_first_step_is_done_goes_on_with_its_second() {
    // Two steps of one target; today's plan knows only the second.
    let steps = || {
        [
            thing("a", "a1").with(Effect::Change, "save"),
            thing("a", "a1")
                .with(Effect::Change, "lower")
                .pass(1)
                .after_earlier_passes(),
        ]
    };
    let stage = Stage::of(steps());
    let file = saved(&stage).await;
    {
        let mut world = stage.world.borrow_mut();
        world.things.remove(0);
        world.done.push(Deed {
            unit: "a".to_owned(),
            target: "a1".to_owned(),
            step: "save".to_owned(),
        });
    }
    let report = apply_file(&stage, &file, "").await;
    assert_eq!(report.status, Status::Applied);
    assert_eq!((report.summary.already_done, report.summary.done), (1, 1));
}

#[tokio::test]
async fn a_step_waits_for_an_earlier_one_that_drifted_or_is_new() {
    let steps = |save: &'static str| {
        [
            thing("a", "a1/saved-size").with(Effect::Change, save),
            thing("a", "a1/size")
                .with(Effect::Change, "lower")
                .pass(1)
                .after_earlier_passes(),
        ]
    };
    // The size to save has changed since.
    let stage = Stage::of(steps("save 3"));
    let file = saved(&stage).await;
    stage.world.borrow_mut().things[0] = steps("save 4")[0].clone();
    let report = apply_file(&stage, &file, "").await;
    assert!(
        stage.touched().is_empty(),
        "a size was lowered that was not saved"
    );
    assert_eq!(
        (outcomes(&report)["saved-size"], outcomes(&report)["size"]),
        (Skipped, Deferred)
    );

    // There was nothing to save.
    let stage = Stage::of([steps("")[1].clone()]);
    let file = saved(&stage).await;
    stage
        .world
        .borrow_mut()
        .things
        .insert(0, steps("save 4")[0].clone());
    let report = apply_file(&stage, &file, "").await;
    assert!(
        stage.touched().is_empty(),
        "a size was lowered that was not saved"
    );
    assert!(why(&report, "size").contains("a1/saved-size"));
}

#[tokio::test]
async fn a_step_that_was_done_and_is_wanted_anew_holds_back_what_follows_it() {
    let save = |step: &'static str| thing("a", "a1/saved-size").with(Effect::Change, step);
    let lower = thing("a", "a1/size").with(Effect::Change, "lower");
    let stage = Stage::of([save("save 3"), lower.pass(1).after_earlier_passes()]);
    let file = saved(&stage).await;
    {
        let mut world = stage.world.borrow_mut();
        world.things[0] = save("save 4");
        world.done.push(Deed {
            unit: "a".to_owned(),
            target: "a1/saved-size".to_owned(),
            step: "save 3".to_owned(),
        });
    }
    let report = apply_file(&stage, &file, "").await;
    assert!(
        stage.touched().is_empty(),
        "a size was lowered that was not saved"
    );
    assert_eq!(report.summary.already_done, 1);
    assert_eq!(report.summary.deferred, 2);
}

#[tokio::test]
async fn a_reviewed_file_may_exceed_exactly_the_limits_that_the_policy_names() {
    let many = || Stage::of((0..12).map(|n| thing("a", format!("a{n}")).destroyed().since(day(n))));
    let limits =
        "max_share_percent: 10\nkeep_at_least: 3\nmax_actions_per_unit: 4\nmax_actions_per_run: 2";
    let names = [
        "max_share_percent",
        "keep_at_least",
        "max_actions_per_unit",
        "max_actions_per_run",
    ];
    // What a file with all twelve comes to when these limits may be exceeded.
    let table: [(&[usize], usize, Option<&str>); 5] = [
        (&[], 0, Some("keep_at_least")),
        (&[1], 0, Some("max_share_percent")),
        (&[0, 1], 2, None),
        (&[0, 1, 3], 4, None),
        (&[0, 1, 2, 3], 12, None),
    ];
    for (may_exceed, done, refused_by) in table {
        let stage = many();
        let file = saved(&stage).await;
        let may: Vec<_> = may_exceed.iter().map(|n| names[*n]).collect();
        let policy_lines = format!("{limits}\nreviewed_plan_may_exceed: {may:?}");
        let report = apply_file(&stage, &file, &policy_lines).await;
        assert_eq!(report.summary.done, done, "{may:?}");
        let guards: Vec<_> = report.refusals.iter().map(|r| &*r.guard).collect();
        assert_eq!(guards, Vec::from_iter(refused_by), "{may:?}");
    }
    // Without a file the same policy lets nothing through.
    let stage = many();
    let report = plan(
        &stage,
        &format!("{limits}\nreviewed_plan_may_exceed: {names:?}"),
    )
    .await;
    assert_eq!(report.report.status, Status::Refused);
}

#[tokio::test]
async fn things_that_are_gone_do_not_count_for_a_floor() {
    let stage = Stage::of((0..5).map(|n| thing("a", format!("a{n}")).destroyed()));
    let file = saved(&stage).await;
    stage.world.borrow_mut().things.truncate(2);
    let report = apply_file(&stage, &file, "keep_at_least: 2").await;
    assert_eq!(report.refusals[0].guard, "keep_at_least");
    assert!(
        report.refusals[0].detail.starts_with("2 of 2 would go"),
        "{report:?}"
    );
    assert_eq!(stage.left().len(), 2);
}

#[tokio::test]
async fn a_gap_blocks_a_reviewed_file_as_well() {
    let stage = Stage::of(three());
    let file = saved(&stage).await;
    stage.gaps.borrow_mut().push(steward::engine::Gap {
        read: "ecs:ListTasks failed".to_owned(),
        hides: steward::engine::Hides::Everything,
        grant: "ecs:ListTasks".to_owned(),
    });
    let report = apply_file(
        &stage,
        &file,
        "reviewed_plan_may_exceed: [incomplete_observation]",
    )
    .await;
    assert_eq!(stage.touched(), ["b1"]);
    assert_eq!(report.status, Status::Partial);
}

#[tokio::test]
async fn equal_plans_have_equal_digests_at_any_time() {
    let stage = Stage::of(three());
    let first = plan(&stage, "").await.report;
    let mut later = Setting::of(Mode::Plan);
    later.now = day(301);
    let request = woken::<Scripted>("everything".to_owned());
    let second = later
        .run::<Scripted>(&stage, &policy(""), request)
        .await
        .report;
    assert_ne!(first.started_at, second.started_at);
    assert_eq!(first.plan_digest, second.plan_digest);

    stage.world.borrow_mut().things.pop();
    let third = plan(&stage, "").await.report;
    assert_ne!(first.plan_digest, third.plan_digest);
    let request = woken::<Scripted>("something else".to_owned());
    let fourth = Setting::of(Mode::Plan)
        .run::<Scripted>(&stage, &policy(""), request)
        .await;
    assert_ne!(third.plan_digest, fourth.report.plan_digest);
}
