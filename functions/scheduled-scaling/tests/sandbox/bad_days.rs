//! What goes wrong, and what becomes of it.

use serde_json::json;
use steward::engine::Mode;
use steward::report::Status;

use crate::stage::{DAILY, EVENING, MORNING, Stage, actions, kept};

async fn tag_service(stage: &Stage, key: &str, value: Option<&str>) {
    let ecs = stage.account.ecs();
    match value {
        Some(value) => {
            let tag = aws_sdk_ecs::types::Tag::builder().key(key).value(value);
            let request = ecs.tag_resource().resource_arn(stage.web.arn());
            request.tags(tag.build()).send().await.unwrap();
        }
        None => {
            let request = ecs.untag_resource().resource_arn(stage.web.arn());
            request.tag_keys(key).send().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_on_hold_stays_and_so_does_what_it_needs() {
    let stage = Stage::new().await;
    tag_service(&stage, "steward:hold", Some("a demo")).await;
    stage.go_to(EVENING);
    for _ in 0..4 {
        stage.account.control().settle().await.unwrap();
        stage.tick(DAILY).await;
        stage.minutes_later(5);
    }
    assert_eq!(stage.web.counts().await.unwrap(), (3, 3, 0));
    assert_eq!(stage.worker.counts().await.unwrap(), (0, 0, 0));
    assert_eq!(stage.database.status().await.unwrap(), "available");
    // When the hold ends, so does the day.
    tag_service(&stage, "steward:hold", None).await;
    stage.settle(DAILY).await;
    stage.assert_asleep("after the hold").await;
}

#[tokio::test]
async fn a_hold_that_keeps_something_asleep_is_told_once() {
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    stage.settle(DAILY).await;
    tag_service(&stage, "steward:hold", Some("an incident")).await;
    stage.go_to(MORNING);
    let mut told = Vec::new();
    for _ in 0..8 {
        stage.account.control().settle().await.unwrap();
        told.extend(stage.tick(DAILY).await.warnings);
        stage.minutes_later(5);
    }
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains("dev/web: on hold by tag steward:hold"),
        "{told:#?}"
    );
    tag_service(&stage, "steward:hold", None).await;
    stage.settle(DAILY).await;
    stage.assert_awake("after the hold").await;
}

#[tokio::test]
async fn tags_that_somebody_strips_cost_no_size() {
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    stage.settle(DAILY).await;
    tag_service(&stage, "steward:parked", None).await;
    stage.go_to(MORNING);
    stage.settle(DAILY).await;
    stage.assert_awake("with its tag stripped").await;
}

/// What AWS starts after seven days is stopped again; what a person starts is not.
#[tokio::test]
async fn a_database_that_aws_starts_after_seven_days_is_stopped_again() {
    let policy = r#"
version: 1
schedules:
  never: {periods: [{stop: "20:00"}], until_date: "2026-11-23"}
environments:
  dev: {schedules: [never]}
"#;
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    stage.settle(policy).await;
    stage.go_to("2026-11-30T20:30:00Z");
    stage.database.start_automatically().await.unwrap();
    stage.account.control().settle().await.unwrap();
    let report = stage.tick(policy).await;
    assert_eq!(actions(&report), ["park_database started_by_aws done"]);
    stage.account.control().settle().await.unwrap();
    stage.assert_asleep("in the second week").await;

    // Somebody needs it on the third day of that.
    stage.go_to("2026-12-03T12:00:00Z");
    let rds = stage.account.rds();
    let start = rds.start_db_instance().db_instance_identifier("shop-db");
    start.send().await.unwrap();
    stage.account.control().settle().await.unwrap();
    let report = stage.tick(policy).await;
    assert_eq!(actions(&report), ["unmark started_by_hand done"]);
    stage.go_to("2026-12-08T12:00:00Z");
    let report = stage.tick(policy).await;
    assert_eq!(actions(&report), Vec::<String>::new());
    assert_eq!(stage.database.status().await.unwrap(), "available");
}

#[tokio::test]
async fn what_is_started_by_hand_at_night_keeps_its_size_in_the_morning() {
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    stage.settle(DAILY).await;
    stage.go_to("2026-11-23T23:00:00Z");
    stage.worker.scale(2).await.unwrap();
    stage.account.control().settle().await.unwrap();
    let report = stage.tick(DAILY).await;
    assert_eq!(report.status, Status::NothingToDo);
    assert_eq!(stage.worker.counts().await.unwrap().0, 2);
    stage.go_to(MORNING);
    stage.settle(DAILY).await;
    assert_eq!(stage.worker.counts().await.unwrap().0, 2);
    assert_eq!(stage.web.counts().await.unwrap(), (3, 3, 0));
}

#[tokio::test]
async fn an_enforced_schedule_puts_right_what_somebody_changes() {
    let policy = DAILY.replace(
        r#"{periods: [{start: "08:00", stop: "20:00"}]}"#,
        r#"{periods: [{start: "08:00", stop: "20:00"}], enforced: true}"#,
    );
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    stage.settle(&policy).await;
    stage.worker.scale(2).await.unwrap();
    stage.account.control().settle().await.unwrap();
    let report = stage.tick(&policy).await;
    assert_eq!(actions(&report), ["park_service to_sleep done"]);
    stage.account.control().settle().await.unwrap();
    stage.assert_asleep("as it is enforced").await;
    stage.go_to(MORNING);
    stage.settle(&policy).await;
    stage.assert_awake("with the sizes of the day").await;
}

#[tokio::test]
async fn a_closed_change_calendar_holds_back_and_a_person_is_told_of_a_wake_up() {
    use steward_sandbox::CalendarType;
    let policy = DAILY.replace(
        r#"stop: "20:00"}]}"#,
        r#"stop: "20:00"}], change_calendars: [freeze]}"#,
    );
    let stage = Stage::new().await;
    let account = &stage.account;
    let (open, closed) = (CalendarType::DefaultOpen, CalendarType::DefaultClosed);
    account.calendar("freeze", closed, &[]).await.unwrap();
    stage.go_to(EVENING);
    let report = stage.tick(&policy).await;
    assert_eq!(report.status, Status::NothingToDo, "{report:#?}");
    assert_eq!(kept(&report), [], "{report:#?}");
    assert_eq!(report.summary.deferred, 1);
    stage.assert_awake("while it is closed").await;

    account.calendar("freeze", open, &[]).await.unwrap();
    stage.settle(&policy).await;
    account.calendar("freeze", closed, &[]).await.unwrap();
    stage.go_to(MORNING);
    let mut told = Vec::new();
    for _ in 0..3 {
        told.extend(stage.tick(&policy).await.warnings);
        stage.minutes_later(5);
    }
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains("Change Calendar freeze is closed"),
        "{told:#?}"
    );
    account.calendar("freeze", open, &[]).await.unwrap();
    stage.settle(&policy).await;
    stage.assert_awake("when it is open").await;
}

#[tokio::test]
async fn what_never_gets_ready_is_told_once() {
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    stage.settle(DAILY).await;
    let target_group = stage.web.target_group().unwrap().to_owned();
    let control = stage.account.control();
    let unhealthy = control.target_health(&target_group, Some("unhealthy"));
    unhealthy.await.unwrap();
    stage.go_to(MORNING);
    let mut told = Vec::new();
    for _ in 0..30 {
        stage.account.control().settle().await.unwrap();
        told.extend(stage.tick(DAILY).await.warnings);
        stage.minutes_later(5);
    }
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("dev is not awake"), "{told:#?}");
    assert!(told[0].contains("dev/web: it is on its way"), "{told:#?}");
    control.target_health(&target_group, None).await.unwrap();
    stage.settle(DAILY).await;
    stage.assert_awake("at last").await;
}

/// Two runs that began with the same observation: one does it, the other nothing.
#[tokio::test]
async fn two_ticks_at_once_do_it_once() {
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    let run = || stage.tick(DAILY);
    let (one, other) = tokio::join!(run(), run());
    for report in [&one, &other] {
        assert_eq!(report.summary.failed, 0, "{report:#?}");
    }
    stage.settle(DAILY).await;
    stage.assert_asleep("after two at once").await;
    stage.go_to(MORNING);
    let (one, other) = tokio::join!(run(), run());
    for report in [&one, &other] {
        assert_eq!(report.summary.failed, 0, "{report:#?}");
    }
    stage.settle(DAILY).await;
    stage.assert_awake("after two at once").await;
}

#[tokio::test]
async fn a_replica_and_its_source_are_left_alone_with_the_reason() {
    let stage = Stage::new().await;
    let rds = stage.account.rds();
    let tag = aws_sdk_rds::types::Tag::builder()
        .key("steward:environment")
        .value("dev");
    rds.create_db_instance_read_replica()
        .db_instance_identifier("shop-db-replica")
        .source_db_instance_identifier("shop-db")
        .tags(tag.build())
        .send()
        .await
        .unwrap();
    stage.go_to(EVENING);
    stage.settle(DAILY).await;
    assert_eq!(stage.database.status().await.unwrap(), "available");
    let plan = stage.run(DAILY, Mode::Plan, json!({})).await;
    assert_eq!(plan.status, Status::NothingToDo);
    let reasons: Vec<String> = kept(&plan).into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(
        reasons,
        ["has_replicas", "nothing_due", "replica"],
        "{plan:#?}"
    );
    stage.go_to(MORNING);
    stage.settle(DAILY).await;
    assert_eq!(stage.web.counts().await.unwrap(), (3, 3, 0));
}

#[tokio::test]
async fn a_database_gets_its_snapshot_before_it_sleeps() {
    let policy = r#"
version: 1
schedules:
  day: {periods: [{start: "08:00", stop: "20:00"}]}
environments:
  dev:
    schedules: [day]
    members:
      db: {databases: {include: ["*"]}, snapshot: true}
      capacity: {groups: {include: ["*"]}, needs: [db]}
      services: {services: {include: ["*"]}, needs: [capacity, db]}
"#;
    let stage = Stage::new().await;
    stage.go_to(EVENING);
    stage.settle(policy).await;
    stage.assert_asleep("with a snapshot").await;
    let all = stage.account.manual_snapshots().await.unwrap();
    let [snapshot] = all.as_slice() else {
        panic!("{all:#?}");
    };
    assert_eq!(snapshot.status(), Some("available"));
    let name = snapshot.db_snapshot_identifier().unwrap();
    assert!(
        name.starts_with("steward-shop-db-") && name.ends_with("-20261123-2000"),
        "{name}"
    );
    let tags: Vec<(&str, &str)> = snapshot
        .tag_list()
        .iter()
        .filter_map(|tag| Some((tag.key()?, tag.value()?)))
        .collect();
    assert!(
        tags.contains(&("steward:managed-by", "snapshot-rotation")),
        "{tags:?}"
    );
    assert!(
        tags.contains(&("steward:made-for", stage.database.resource_id())),
        "{tags:?}"
    );
}
