//! What an evening and a morning do, in order.

use serde_json::json;
use steward::engine::Mode;
use steward::report::Status;

use crate::stage::{CAPACITY, DAILY, EVENING, MORNING, Stage, actions};

#[tokio::test]
async fn an_environment_goes_to_sleep_from_its_services_to_its_database() {
    let stage = Stage::new().await;
    stage.account.hold_changes().await.unwrap();
    stage.go_to(EVENING);
    let report = stage.tick(DAILY).await;
    assert_eq!(
        actions(&report),
        [
            "begin_transition due done",
            "park_service to_sleep done",
            "park_service to_sleep done"
        ]
    );
    assert_eq!(report.status, Status::Waiting);
    // While tasks still stop, nothing else does.
    stage.minutes_later(5);
    let report = stage.tick(DAILY).await;
    assert_eq!(actions(&report), Vec::<String>::new());
    assert_eq!(stage.group.sizes().await.unwrap().min, CAPACITY.min);
    assert_eq!(stage.database.status().await.unwrap(), "available");

    stage.account.control().settle().await.unwrap();
    stage.minutes_later(5);
    let report = stage.tick(DAILY).await;
    assert_eq!(
        actions(&report),
        ["park_group to_sleep done", "record_step next_step done"]
    );
    stage.minutes_later(5);
    let report = stage.tick(DAILY).await;
    assert_eq!(
        actions(&report),
        ["park_database to_sleep done", "record_step next_step done"]
    );
    assert_eq!(stage.database.status().await.unwrap(), "stopping");
    stage.account.control().settle().await.unwrap();
    stage.minutes_later(5);
    let report = stage.tick(DAILY).await;
    assert_eq!(actions(&report), ["finish_transition reached done"]);
    stage.assert_asleep("after the evening").await;
}

#[tokio::test]
async fn an_environment_wakes_from_its_database_to_its_services() {
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    stage.settle(DAILY).await;
    stage.assert_asleep("at night").await;
    stage.account.hold_changes().await.unwrap();

    stage.go_to(MORNING);
    let report = stage.tick(DAILY).await;
    assert_eq!(
        actions(&report),
        ["begin_transition due done", "wake_database to_wake done"]
    );
    stage.minutes_later(5);
    let report = stage.tick(DAILY).await;
    assert_eq!(actions(&report), Vec::<String>::new());
    assert_eq!(stage.group.sizes().await.unwrap().min, 0);

    stage.account.control().settle().await.unwrap();
    let report = stage.tick(DAILY).await;
    assert_eq!(
        actions(&report),
        ["record_step next_step done", "wake_group to_wake done"]
    );
    // Instances are on their way, and no service is asked for.
    stage.minutes_later(5);
    let report = stage.tick(DAILY).await;
    assert_eq!(actions(&report), Vec::<String>::new());
    assert_eq!(stage.web.counts().await.unwrap(), (0, 0, 0));

    stage.account.control().settle().await.unwrap();
    let report = stage.tick(DAILY).await;
    assert_eq!(
        actions(&report),
        [
            "record_step next_step done",
            "wake_service to_wake done",
            "wake_service to_wake done"
        ]
    );
    // Tasks run, and their targets are not healthy yet.
    stage.minutes_later(5);
    let report = stage.tick(DAILY).await;
    assert_eq!(actions(&report), Vec::<String>::new());
    assert_eq!(report.status, Status::Waiting);
    stage.account.control().settle().await.unwrap();
    let report = stage.tick(DAILY).await;
    assert_eq!(actions(&report), ["finish_transition reached done"]);
    stage.assert_awake("in the morning").await;
    let report = stage.tick(DAILY).await;
    assert_eq!(report.status, Status::NothingToDo);
}

#[tokio::test]
async fn a_plan_of_the_evening_changes_nothing() {
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    let report = stage.run(DAILY, Mode::Plan, json!({})).await;
    assert_eq!(
        actions(&report),
        [
            "begin_transition due planned",
            "park_service to_sleep planned",
            "park_service to_sleep planned"
        ]
    );
    stage.assert_awake("after a plan").await;
    assert_eq!(stage.remembered("lease#").await, Vec::<String>::new());
}

/// From night to a size, from that to another, and back to the usual one.
#[tokio::test]
async fn sizes_of_the_policy_come_and_go_and_the_usual_ones_come_back() {
    let policy = r#"
version: 1
schedules:
  day:
    periods:
      - {start: "08:00", stop: "12:00", size: peak}
      - {start: "12:00", stop: "16:00", size: small}
      - {start: "16:00", stop: "20:00"}
environments:
  dev:
    schedules: [day]
    members:
      databases: {databases: {include: ["*"]}}
      capacity:
        groups: {include: ["*"]}
        needs: [databases]
        sizes: {peak: {min: 2}, small: {max: 3}}
      services:
        services: {include: ["*/web"]}
        needs: [capacity]
        sizes: {peak: {min: 4, desired: 5, max: 8}, small: {min: 1, desired: 1}}
      workers: {services: {include: ["*/worker"]}, needs: [capacity]}
"#;
    let stage = Stage::new().await;
    let bounds = || async {
        let target = stage.web.scalable_target().await.unwrap().unwrap();
        (target.min_capacity(), target.max_capacity())
    };
    stage.go_to(EVENING);
    stage.settle(policy).await;
    stage.assert_asleep("before the peak").await;
    stage.go_to(MORNING);
    stage.settle(policy).await;
    assert_eq!(stage.web.counts().await.unwrap(), (5, 5, 0));
    assert_eq!(bounds().await, (4, 8));
    let sizes = stage.group.sizes().await.unwrap();
    assert_eq!((sizes.min, sizes.max), (2, CAPACITY.max));
    assert!(
        !stage
            .web
            .tags()
            .await
            .unwrap()
            .contains_key("steward:parked")
    );
    // Its policies may move it meanwhile.
    stage.web.scale(7).await.unwrap();
    stage.account.control().settle().await.unwrap();
    let report = stage.tick(policy).await;
    assert_eq!(actions(&report), Vec::<String>::new());

    // What the next size leaves open is the usual one's, not the last one's.
    stage.go_to("2026-11-24T12:00:00Z");
    stage.settle(policy).await;
    assert_eq!(stage.web.counts().await.unwrap(), (1, 1, 0));
    assert_eq!(bounds().await, (1, 6));
    let sizes = stage.group.sizes().await.unwrap();
    assert_eq!((sizes.min, sizes.max), (CAPACITY.min, 3));

    stage.go_to("2026-11-24T16:00:00Z");
    stage.settle(policy).await;
    stage.assert_awake("in the usual size").await;
}

#[tokio::test]
async fn an_override_wakes_an_environment_for_a_while() {
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    stage.settle(DAILY).await;
    stage.go_to("2026-11-23T22:00:00Z");
    let asked = json!({
        "operation": "override", "environment": "dev", "to": "on", "for": "3h",
        "why": "a release", "by": "ana"
    });
    let report = stage.run(DAILY, Mode::Apply, asked).await;
    assert_eq!(actions(&report), ["set_override asked done"]);
    stage.settle(DAILY).await;
    stage.assert_awake("while it is overridden").await;
    stage.go_to("2026-11-24T00:59:00Z");
    let report = stage.tick(DAILY).await;
    assert_eq!(report.status, Status::NothingToDo);
    // It ends by itself, and the night goes on.
    stage.go_to("2026-11-24T01:00:00Z");
    stage.settle(DAILY).await;
    stage.assert_asleep("after the override").await;
    stage.go_to(MORNING);
    stage.settle(DAILY).await;
    stage.assert_awake("in the morning").await;
}

#[tokio::test]
async fn an_override_that_is_ended_gives_the_schedules_their_say() {
    let stage = Stage::new().await;
    let asked = |to: &str| {
        let mut asked = json!({"operation": "override", "environment": "dev", "to": to});
        if to != "none" {
            asked["for"] = json!("3h");
            asked["why"] = json!("a test");
        }
        asked
    };
    // At four, when people are still at work.
    stage.go_to("2026-11-23T16:00:00Z");
    stage.run(DAILY, Mode::Apply, asked("off")).await;
    stage.settle(DAILY).await;
    stage.assert_asleep("by the override").await;
    let report = stage.run(DAILY, Mode::Apply, asked("none")).await;
    assert_eq!(actions(&report), ["end_override asked done"]);
    stage.settle(DAILY).await;
    stage.assert_awake("after its end").await;
}

/// Without a ledger the schedules are taken at their word, and tags remember.
#[tokio::test]
async fn by_hand_it_does_without_a_ledger_and_says_so() {
    use steward::ledger::LedgerTable;
    let stage = Stage::unseen().await;
    let tick = || async {
        let table = LedgerTable::IfThere("steward-ledger".to_owned());
        let config = stage.account.sdk_config();
        let run = stage.run_with(config, table, DAILY, Mode::Apply, json!({}));
        stage.account.control().settle().await.unwrap();
        run.await.report
    };
    stage.go_to(EVENING);
    let report = tick().await;
    assert!(
        report.warnings[0].starts_with("there is no ledger"),
        "{report:#?}"
    );
    for _ in 0..4 {
        tick().await;
    }
    stage.account.control().settle().await.unwrap();
    stage.assert_asleep("without a ledger").await;
    stage.go_to(MORNING);
    for _ in 0..5 {
        tick().await;
    }
    stage.account.control().settle().await.unwrap();
    let report = tick().await;
    assert_eq!(report.status, Status::NothingToDo, "{report:#?}");
    assert_eq!(stage.web.counts().await.unwrap(), (3, 3, 0));
    assert!(
        !stage
            .web
            .tags()
            .await
            .unwrap()
            .contains_key("steward:parked")
    );
    // In AWS it must be there.
    let report = stage.tick(DAILY).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
}
