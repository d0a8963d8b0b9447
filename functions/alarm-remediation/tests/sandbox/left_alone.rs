//! What nothing is done about: alarms of others, what is kept still, held or parked.

use serde_json::json;
use steward::engine::Clock;

use crate::stage::{EVERYTHING, Stage, actions, kept};

async fn tag(stage: &Stage, key: &str, value: &str) {
    let tag = aws_sdk_ecs::types::Tag::builder().key(key).value(value);
    let request = stage.account.ecs().tag_resource();
    let request = request.resource_arn(stage.web.arn()).tags(tag.build());
    request.send().await.unwrap();
}

async fn is_as_it_was(stage: &Stage) {
    let target = stage.web.scalable_target().await.unwrap().unwrap();
    assert_eq!((target.min_capacity(), target.max_capacity()), (2, 10));
    assert_eq!(stage.web.counts().await.unwrap().0, 4);
}

#[tokio::test]
async fn an_alarm_that_nobody_selects_is_looked_at_and_nothing_else() {
    let stage = Stage::new().await;
    let alarm = stage.web.alarm("web-cpu", "CPUUtilization", &[]).await;
    let alarm = alarm.unwrap();
    alarm.ring().await.unwrap();
    let nobody = EVERYTHING.replacen(r#"alarms: {include: ["*"]}"#, "", 1);
    let event = || json!({"operation": "remediate", "alarms": [alarm.name()]});
    let report = stage.run(&nobody, event()).await;
    assert_eq!(
        (actions(&report).len(), kept(&report)),
        (0, vec!["not_selected".to_owned()])
    );
    assert_eq!(
        stage.remembered("alarm-remediation").await,
        Vec::<String>::new()
    );

    // Its tag selects it, and another tag would have it left alone.
    let cloudwatch = stage.account.cloudwatch();
    let with = |value: &str| {
        let tag = aws_sdk_cloudwatch::types::Tag::builder();
        let tag = tag.key("steward:remediation").value(value).build();
        cloudwatch
            .tag_resource()
            .resource_arn(alarm.arn())
            .tags(tag)
    };
    with("off").send().await.unwrap();
    assert_eq!(
        kept(&stage.run(EVERYTHING, event()).await),
        ["not_selected"]
    );
    is_as_it_was(&stage).await;
    with("on").send().await.unwrap();
    let report = stage.run(&nobody, event()).await;
    assert_eq!(
        actions(&report),
        ["open_case noted done", "raise_service busy done"]
    );
}

#[tokio::test]
async fn an_alarm_that_is_over_or_gone_by_the_time_its_event_comes_is_no_case() {
    let stage = Stage::new().await;
    let alarm = stage.web.alarm("web-cpu", "CPUUtilization", &[]).await;
    let alarm = alarm.unwrap();
    alarm.ring().await.unwrap();
    alarm.calm().await.unwrap();
    assert_eq!(kept(&stage.on(&alarm).await), ["not_in_alarm"]);
    let cloudwatch = stage.account.cloudwatch();
    let delete = cloudwatch.delete_alarms().alarm_names(alarm.name());
    delete.send().await.unwrap();
    assert_eq!(kept(&stage.on(&alarm).await), ["alarm_gone"]);
    is_as_it_was(&stage).await;
}

#[tokio::test]
async fn a_muted_alarm_is_a_case_that_is_acted_on_when_the_mute_ends() {
    let stage = Stage::new().await;
    let alarm = stage.web.alarm("web-cpu", "CPUUtilization", &[]).await;
    let alarm = alarm.unwrap();
    let from = Clock::System.now();
    let muted = stage.account.mute("night", &["web-cpu"], from, "PT1H");
    muted.await.unwrap();
    alarm.ring().await.unwrap();
    let report = stage.on(&alarm).await;
    assert_eq!(actions(&report), ["open_case muted done"], "{report:#?}");
    assert_eq!(kept(&stage.tick().await), ["muted"]);
    is_as_it_was(&stage).await;
    let cloudwatch = stage.account.cloudwatch();
    let delete = cloudwatch
        .delete_alarm_mute_rule()
        .alarm_mute_rule_name("night");
    delete.send().await.unwrap();
    assert_eq!(actions(&stage.tick().await), ["raise_service busy done"]);
}

#[tokio::test]
async fn what_is_on_hold_or_parked_is_left_as_it_is() {
    let stage = Stage::new().await;
    let alarm = stage.web.alarm("web-cpu", "CPUUtilization", &[]).await;
    let alarm = alarm.unwrap();
    alarm.ring().await.unwrap();
    tag(&stage, "steward:hold", "yes").await;
    assert_eq!(actions(&stage.on(&alarm).await), ["open_case held done"]);
    stage.minutes_later(60);
    assert_eq!(kept(&stage.tick().await), ["held"]);
    let untag = stage.account.ecs().untag_resource();
    let untag = untag.resource_arn(stage.web.arn()).tag_keys("steward:hold");
    untag.send().await.unwrap();
    tag(&stage, "steward:parked", "2026-11-23T20:00:00Z").await;
    assert_eq!(kept(&stage.tick().await), ["parked"]);
    is_as_it_was(&stage).await;
}

#[tokio::test]
async fn a_composite_alarm_is_about_what_its_children_in_alarm_are_about() {
    let stage = Stage::new().await;
    let child = stage.web.alarm("web-cpu", "CPUUtilization", &[]).await;
    let child = child.unwrap();
    stage
        .of_targets("web-errors", "HTTPCode_Target_5XX_Count")
        .await;
    let rule = "ALARM(\"web-cpu\") OR ALARM(\"web-errors\")";
    let both = stage.account.composite_alarm("web", rule).await.unwrap();
    child.ring().await.unwrap();
    let report = stage.on(&both).await;
    assert_eq!(
        actions(&report),
        ["open_case noted done", "raise_service busy done"],
        "{report:#?}"
    );
    // The child is another case of the same cause: nothing is done twice.
    let report = stage.on(&child).await;
    assert_eq!(actions(&report), ["open_case another_case done"]);
    let target = stage.web.scalable_target().await.unwrap().unwrap();
    assert_eq!(target.min_capacity(), 6);
}

#[tokio::test]
async fn a_sweep_finds_the_alarm_whose_event_was_lost() {
    let stage = Stage::new().await;
    let alarm = stage.web.alarm("web-cpu", "CPUUtilization", &[]).await;
    alarm.unwrap().ring().await.unwrap();
    let tick = stage.tick().await;
    assert_eq!((tick.summary.observed, tick.wait), (0, None));
    let report = stage.run(EVERYTHING, json!({"operation": "sweep"})).await;
    assert_eq!(
        actions(&report),
        ["open_case noted done", "raise_service busy done"],
        "{report:#?}"
    );
}

#[tokio::test]
async fn without_its_ledger_it_does_nothing() {
    let stage = Stage::new().await;
    let alarm = stage.web.alarm("web-cpu", "CPUUtilization", &[]).await;
    let alarm = alarm.unwrap();
    alarm.ring().await.unwrap();
    let dynamodb = stage.account.dynamodb();
    let delete = dynamodb.delete_table().table_name("steward-ledger");
    delete.send().await.unwrap();
    let report = stage.on(&alarm).await;
    assert_eq!(actions(&report), Vec::<String>::new());
    assert_eq!(report.gaps.len(), 1, "{report:#?}");
    is_as_it_was(&stage).await;
}
