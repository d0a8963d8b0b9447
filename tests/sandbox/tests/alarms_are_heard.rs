//! What wakes whoever looks after alarms, by the raw SDK: alarms that ring,
//! alone, in time series and together, muted and not; and what such a one finds
//! and may do: deployments, tasks, targets, instances and storage.

use anyhow::{Context, Result};
use aws_sdk_cloudwatch::types::{
    ActionConfiguration, ActionsSuppressedBy, AlarmMuteRuleStatus, AlarmTagsPropagation, Dimension,
    HistoryItemType, Metric, MetricDataQuery, MetricStat, StateValue, Statistic, Tag,
};
use aws_sdk_ecs::types::{
    ContainerInstanceStatus, DesiredStatus, HealthStatus, ManagedScalingStatus,
    ServiceDeploymentStatus, StopServiceDeploymentStopType, TaskStopCode,
};
use aws_smithy_types::DateTime;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use steward_sandbox::{
    Account, AlarmEdit, MetricEdit, Sandbox, Settings, Sizes, TargetEdit, Trouble, TroubleKind,
};

const QUERY: &str =
    "SELECT AVG(CPUUtilization) FROM SCHEMA(\"AWS/ECS\", ServiceName) GROUP BY ServiceName";
const CPU: (&str, &str) = ("AWS/ECS", "CPUUtilization");
const GIB: u64 = 1 << 30;

fn account() -> Result<Account> {
    Ok(Sandbox::shared()?.account())
}

#[expect(
    clippy::disallowed_methods,
    reason = "Mute rules are active by the clock on the wall."
)]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Alarms that change their state.
fn alarms() -> Value {
    json!({"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"]})
}

#[tokio::test]
async fn an_alarm_that_rings_is_heard_with_all_that_is_known_of_it() -> Result<()> {
    let account = account()?;
    let environment = account.environment("staging").await?;
    let service = environment.service("web", 1).await?;
    let heard = account.listen("alarms", &alarms()).await?;
    let tags = [("team", "web")];
    let alarm = service.alarm("web-cpu", "CPUUtilization", &tags).await?;

    alarm.ring().await?;
    let events = heard.read(1).await?;
    let [event] = events.as_slice() else {
        panic!("one event: {events:#?}")
    };
    assert_eq!(event["account"], account.id());
    assert_eq!(event["region"], "us-east-1");
    assert_eq!(event["resources"], json!([alarm.arn()]));
    let detail = &event["detail"];
    assert_eq!(detail["alarmName"], "web-cpu");
    assert_eq!(detail["state"]["value"], "ALARM");
    assert_eq!(detail["previousState"]["value"], "INSUFFICIENT_DATA");
    let data = detail["state"]["reasonData"].as_str().unwrap_or_default();
    let data: Value = serde_json::from_str(data)?;
    assert_eq!(data["recentDatapoints"], json!([81.0]));
    let metric = &detail["configuration"]["metrics"][0]["metricStat"]["metric"];
    assert_eq!(
        metric,
        &json!({
            "namespace": "AWS/ECS", "name": "CPUUtilization",
            "dimensions": {"ClusterName": "staging", "ServiceName": "web"},
        })
    );
    // Tags are only told if they are to be.
    assert_eq!(detail.get("alarmTags"), None);
    let told = account
        .cloudwatch()
        .list_tags_for_resource()
        .resource_arn(alarm.arn())
        .send()
        .await?;
    assert_eq!(
        told.tags(),
        [Tag::builder().key("team").value("web").build()]
    );

    // A standing alarm is silent; when it ends, that is heard again.
    alarm.ring().await?;
    alarm.calm().await?;
    let events = heard.read(1).await?;
    let states: Vec<_> = events
        .iter()
        .map(|one| &one["detail"]["state"]["value"])
        .collect();
    assert_eq!(states, ["OK"]);
    let history = account
        .cloudwatch()
        .describe_alarm_history()
        .alarm_name("web-cpu")
        .history_item_type(HistoryItemType::StateUpdate)
        .send()
        .await?;
    let summaries = history.alarm_history_items().iter();
    let summaries: Vec<_> = summaries
        .filter_map(|item| item.history_summary())
        .collect();
    assert_eq!(
        summaries,
        [
            "Alarm updated from ALARM to OK",
            "Alarm updated from INSUFFICIENT_DATA to ALARM"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn tags_are_told_if_they_are_propagated() -> Result<()> {
    let account = account()?;
    let heard = account.listen("alarms", &alarms()).await?;
    let propagation = AlarmTagsPropagation::builder().enabled(true).build();
    let configuration = ActionConfiguration::builder().alarm_tags_propagation(propagation);
    let alarm = account
        .alarm_with("tagged", |request| {
            request
                .namespace("AWS/ECS")
                .metric_name("CPUUtilization")
                .statistic(Statistic::Average)
                .period(60)
                .tags(Tag::builder().key("team").value("web").build())
                .action_configuration(configuration.build())
        })
        .await?;
    assert!(alarm.describe().await?.action_configuration().is_some());
    alarm.ring().await?;
    let events = heard.read(1).await?;
    assert_eq!(events[0]["detail"]["alarmTags"], json!({"team": "web"}));
    assert_eq!(events[0]["detail"]["alarmTagsStatus"], "SUCCESS");
    Ok(())
}

#[tokio::test]
async fn a_muted_alarm_is_heard_and_says_so() -> Result<()> {
    let account = account()?;
    let heard = account.listen("alarms", &alarms()).await?;
    let alarm = account.alarm("busy", CPU, &[], &[]).await?;
    let from = now() - 5.minutes();
    let rule = account.mute("tonight", &["busy"], from, "PT1H").await?;
    alarm.ring().await?;
    let events = heard.read(1).await?;
    let mute = &events[0]["detail"]["muteDetail"];
    assert_eq!(mute["mutedByArn"], rule);
    let begin = format!("{}:00.000+0000", from.strftime("%Y-%m-%dT%H:%M"));
    assert_eq!(mute["muteWindowStart"], begin);

    let cloudwatch = account.cloudwatch();
    let rules = cloudwatch.list_alarm_mute_rules().alarm_name("busy");
    let rules = rules.send().await?;
    let statuses = rules.alarm_mute_rule_summaries().iter();
    let statuses: Vec<_> = statuses.filter_map(|rule| rule.status()).collect();
    assert_eq!(statuses, [&AlarmMuteRuleStatus::Active]);
    let delete = cloudwatch.delete_alarm_mute_rule();
    delete.alarm_mute_rule_name("tonight").send().await?;
    alarm.calm().await?;
    assert_eq!(heard.read(1).await?[0]["detail"].get("muteDetail"), None);
    let gone = cloudwatch.get_alarm_mute_rule();
    let gone = gone.alarm_mute_rule_name("tonight").send().await;
    let gone = gone.unwrap_err().into_service_error();
    assert!(gone.is_resource_not_found_exception(), "{gone:?}");
    Ok(())
}

#[tokio::test]
async fn a_composite_alarm_follows_its_children_and_waits_for_its_suppressor() -> Result<()> {
    let account = account()?;
    let (child, _) = (
        account.alarm("busy", CPU, &[], &[]).await?,
        account.alarm("upkeep", CPU, &[], &[]).await?,
    );
    let all = account.composite_alarm("all", "ALARM(busy)").await?;
    let cloudwatch = account.cloudwatch();
    cloudwatch
        .put_composite_alarm()
        .alarm_name("all")
        .alarm_rule("ALARM(busy)")
        .actions_suppressor("upkeep")
        .actions_suppressor_wait_period(120)
        .actions_suppressor_extension_period(120)
        .send()
        .await?;
    let pattern = json!({"source": ["aws.cloudwatch"], "detail": {"alarmName": ["all"]}});
    let heard = account.listen("composites", &pattern).await?;

    child.ring().await?;
    let events = heard.read(1).await?;
    let detail = &events[0]["detail"];
    assert_eq!(detail["state"]["value"], "ALARM");
    assert_eq!(detail["state"]["actionsSuppressedBy"], "WaitPeriod");
    assert_eq!(detail["configuration"]["alarmRule"], "ALARM(busy)");
    assert_eq!(detail["configuration"]["actionsSuppressor"], "upkeep");
    let data = detail["state"]["reasonData"].as_str().unwrap_or_default();
    let data: Value = serde_json::from_str(data)?;
    assert_eq!(data["triggeringAlarms"][0]["arn"], child.arn());

    let described = all.describe_composite().await?;
    assert_eq!(described.state_value(), Some(&StateValue::Alarm));
    let by = described.actions_suppressed_by();
    assert_eq!(by, Some(&ActionsSuppressedBy::WaitPeriod));
    account.control().settle().await?;
    let described = all.describe_composite().await?;
    assert_eq!(described.actions_suppressed_by(), None);
    let parents = cloudwatch.describe_alarms().parents_of_alarm_name("busy");
    let parents = parents.send().await?;
    let names = parents.composite_alarms().iter();
    let names: Vec<_> = names.filter_map(|alarm| alarm.alarm_name()).collect();
    assert_eq!(names, ["all"]);
    Ok(())
}

#[tokio::test]
async fn every_time_series_of_an_alarm_is_heard_for_itself() -> Result<()> {
    let account = account()?;
    let heard = account
        .listen(
            "contributors",
            &json!({"detail-type": ["CloudWatch Alarm Contributor State Change"]}),
        )
        .await?;
    let query = MetricDataQuery::builder().id("q1").expression(QUERY);
    let query = query.period(60).return_data(true).build();
    account
        .alarm_with("busiest", |request| request.metrics(query))
        .await?;
    let control = account.control();
    let attributes = [("ServiceName", "web")];
    let id = control
        .edit_contributor("busiest", &attributes, "ALARM")
        .await?;
    let events = heard.read(1).await?;
    let detail = &events[0]["detail"];
    assert_eq!(detail["alarmContributor"]["id"], id);
    assert_eq!(
        detail["alarmContributor"]["attributes"],
        json!({"ServiceName": "web"})
    );
    assert_eq!(detail.get("previousState"), None);
    let listed = account.cloudwatch().describe_alarm_contributors();
    let listed = listed.alarm_name("busiest").send().await?;
    let ids = listed.alarm_contributors().iter();
    let ids: Vec<_> = ids
        .map(|contributor| contributor.contributor_id())
        .collect();
    assert_eq!(ids, [Some(id.as_str())]);
    Ok(())
}

#[tokio::test]
async fn an_alarm_is_in_the_state_that_it_is_put_into() -> Result<()> {
    let account = account()?;
    let alarm = account.alarm("busy", CPU, &[], &[]).await?;
    let edit = AlarmEdit {
        state: "ALARM".to_owned(),
        reason: Some("because".to_owned()),
        reason_data: Some(json!({"version": "1.0"})),
        ..AlarmEdit::default()
    };
    alarm.edit(&edit).await?;
    let described = alarm.describe().await?;
    assert_eq!(described.state_value(), Some(&StateValue::Alarm));
    assert_eq!(described.state_reason(), Some("because"));
    assert_eq!(described.state_reason_data(), Some("{\"version\":\"1.0\"}"));
    assert!(described.state_transitioned_timestamp().is_some());
    // By the API as well.
    let cloudwatch = account.cloudwatch();
    let set = cloudwatch.set_alarm_state().alarm_name("busy");
    let set = set.state_value(StateValue::Ok).state_reason("tried out");
    set.send().await?;
    let described = alarm.describe().await?;
    assert_eq!(described.state_value(), Some(&StateValue::Ok));
    Ok(())
}

#[tokio::test]
async fn a_metric_has_the_value_that_it_is_given() -> Result<()> {
    let account = account()?;
    let edit = MetricEdit {
        namespace: "AWS/RDS".to_owned(),
        metric: "FreeStorageSpace".to_owned(),
        dimensions: [("DBInstanceIdentifier".to_owned(), "db".to_owned())].into(),
        value: 1.5e9,
    };
    account.control().edit_metric(&edit).await?;
    let dimension = Dimension::builder()
        .name("DBInstanceIdentifier")
        .value("db");
    let metric = Metric::builder()
        .namespace("AWS/RDS")
        .metric_name("FreeStorageSpace")
        .dimensions(dimension.build());
    let stat = MetricStat::builder().metric(metric.build()).period(60);
    let query = MetricDataQuery::builder()
        .id("free")
        .metric_stat(stat.stat("Minimum").build());
    let found = account
        .cloudwatch()
        .get_metric_data()
        .metric_data_queries(query.build())
        .start_time(DateTime::from_secs(1_800_000_000))
        .end_time(DateTime::from_secs(1_800_000_120))
        .send()
        .await?;
    let results = found.metric_data_results();
    assert_eq!(results[0].values(), [1.5e9, 1.5e9]);
    Ok(())
}

#[tokio::test]
async fn a_failing_deployment_is_stopped_and_rolled_back() -> Result<()> {
    let account = account()?;
    let told = Settings {
        service_events: Some(true),
        ..Settings::default()
    };
    account.control().settings(&told).await?;
    let pattern = json!({"source": ["aws.ecs"], "detail-type": ["ECS Service Action"],
        "detail": {"eventName": ["SERVICE_TASK_START_IMPAIRED"]}});
    let heard = account.listen("impaired", &pattern).await?;
    let environment = account.environment("staging").await?;
    let service = environment.service("web", 2).await?;
    let good = service.describe().await?.task_definition;

    let arn = service.deploy_broken(Trouble::default()).await?;
    for _ in 0..2 {
        let described = service.describe().await?;
        assert_eq!(described.running_count, 2, "the former tasks run on");
        assert!(described.deployments()[0].failed_tasks > 0);
    }
    let deployment = service.deployment(&arn).await?;
    assert_eq!(
        deployment.status(),
        Some(&ServiceDeploymentStatus::InProgress)
    );
    let stopped = service.tasks(DesiredStatus::Stopped).await?;
    let code = stopped.first().and_then(|task| task.stop_code());
    assert_eq!(code, Some(&TaskStopCode::EssentialContainerExited));
    let events = heard.read(1).await?;
    assert_eq!(events[0]["resources"], json!([service.arn()]));
    assert_eq!(events[0]["detail"]["eventType"], "WARN");

    account.pace(1).await?;
    let ecs = account.ecs();
    let stop = || {
        let request = ecs.stop_service_deployment().service_deployment_arn(&arn);
        request
            .stop_type(StopServiceDeploymentStopType::Rollback)
            .send()
    };
    stop().await?;
    service.describe().await?;
    let deployment = service.deployment(&arn).await?;
    let expected = ServiceDeploymentStatus::RollbackInProgress;
    assert_eq!(deployment.status(), Some(&expected));
    assert!(deployment.rollback().is_some());
    let refused = stop().await.unwrap_err().into_service_error();
    assert!(refused.is_conflict_exception(), "{refused:?}");
    account.control().settle().await?;
    let deployment = service.deployment(&arn).await?;
    let expected = ServiceDeploymentStatus::RollbackSuccessful;
    assert_eq!(deployment.status(), Some(&expected));
    assert_eq!(service.describe().await?.task_definition, good);
    assert_eq!(service.counts().await?, (2, 2, 0));
    Ok(())
}

#[tokio::test]
async fn sick_tasks_and_targets_are_replaced_by_healthy_ones() -> Result<()> {
    let account = account()?;
    let environment = account.environment("staging").await?;
    let service = environment.balanced_service("web", 2).await?;
    service.sicken_tasks().await?;
    let tasks = service.tasks(DesiredStatus::Running).await?;
    let sick = tasks[0].task_arn().context("a task without an ARN")?;
    assert_eq!(tasks[0].health_status(), Some(&HealthStatus::Unhealthy));
    let edit = TargetEdit {
        state: Some("unhealthy".to_owned()),
        reason: Some("Target.Timeout".to_owned()),
        task: Some(sick.to_owned()),
    };
    service.edit_targets(&edit).await?;
    assert_eq!(service.health().await?, ["healthy", "unhealthy"]);

    let ecs = account.ecs();
    let stop = ecs.stop_task().cluster(service.cluster()).task(sick);
    stop.send().await?;
    assert_eq!(service.health().await?, ["healthy", "healthy"]);
    let tasks = service.tasks(DesiredStatus::Running).await?;
    let healths = tasks.iter().filter_map(|task| task.health_status());
    let mut healths: Vec<_> = healths.map(HealthStatus::as_str).collect();
    healths.sort_unstable();
    assert_eq!(healths, ["UNHEALTHY", "UNKNOWN"]);
    Ok(())
}

#[tokio::test]
async fn tasks_without_a_place_are_told_until_there_is_one() -> Result<()> {
    let account = account()?;
    let environment = account.environment("staging").await?;
    let service = environment.service("web", 1).await?;
    service
        .suffer(&Trouble {
            kind: TroubleKind::Placement,
            reason: Some("RESOURCE:CPU".to_owned()),
            ..Trouble::default()
        })
        .await?;
    service.scale(2).await?;
    assert_eq!(service.counts().await?, (2, 1, 0));
    let described = service.describe().await?;
    let message = described.events().first().and_then(|event| event.message());
    let message = message.unwrap_or_default();
    assert!(message.contains("was unable to place a task"), "{message}");
    service.recover().await?;
    assert_eq!(service.counts().await?, (2, 2, 0));
    Ok(())
}

#[tokio::test]
async fn a_lost_instance_is_drained_and_replaced() -> Result<()> {
    let account = account()?;
    let mut environment = account.environment("staging").await?;
    let sizes = Sizes {
        min: 2,
        desired: 2,
        max: 4,
    };
    let group = environment
        .capacity("staging-ec2", sizes, ManagedScalingStatus::Disabled)
        .await?;
    let service = environment.service("web", 2).await?;
    let instances = environment.container_instances().await?;
    let lost = instances[0].container_instance_arn().context("an ARN")?;
    environment.edit_agent(lost, false).await?;
    let instances = environment.container_instances().await?;
    assert!(!instances[0].agent_connected());

    let ecs = account.ecs();
    let drain = ecs.update_container_instances_state();
    let drain = drain.cluster(environment.name()).container_instances(lost);
    drain
        .status(ContainerInstanceStatus::Draining)
        .send()
        .await?;
    account.control().settle().await?;
    assert_eq!(service.counts().await?, (2, 2, 0));
    let instances = environment.container_instances().await?;
    assert_eq!(instances[0].running_tasks_count(), 0);

    account.pace(1).await?;
    let id = instances[0].ec2_instance_id().context("an id")?;
    let autoscaling = account.autoscaling();
    let unhealthy = autoscaling.set_instance_health().instance_id(id);
    unhealthy.health_status("Unhealthy").send().await?;
    assert!(
        group
            .instance_states()
            .await?
            .contains(&"Terminating".to_owned())
    );
    account.control().settle().await?;
    let instances = environment.container_instances().await?;
    assert_eq!(instances.len(), 2);
    assert!(
        instances
            .iter()
            .all(|one| one.ec2_instance_id() != Some(id))
    );
    assert!(instances.iter().all(|one| one.agent_connected()));
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_full_grows() -> Result<()> {
    let account = account()?;
    let database = account.database("db", &[]).await?;
    database.leave(GIB).await?;
    assert_eq!(database.status().await?, "available");
    database.fill_up().await?;
    assert_eq!(database.status().await?, "storage-full");
    let rds = account.rds();
    let grow = |size| {
        let request = rds.modify_db_instance().db_instance_identifier("db");
        request
            .allocated_storage(size)
            .apply_immediately(true)
            .send()
    };
    assert!(grow(10).await.is_err(), "it never shrinks");
    account.pace(1).await?;
    grow(40).await?;
    assert_eq!(database.status().await?, "modifying");
    account.control().settle().await?;
    let described = database.describe().await?;
    assert_eq!(described.allocated_storage(), Some(40));
    assert_eq!(described.db_instance_status(), Some("available"));
    let events = rds.describe_events().event_categories("low storage");
    let events = events.send().await?;
    assert_eq!(events.events().len(), 2);
    Ok(())
}
