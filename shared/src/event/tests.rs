//! Every fixture, accepted and rejected, and what holds for any payload at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Every accepted fixture and what it is, in one line.
const ACCEPTED: &[(&str, &str)] = &[
    (
        "alarm-anomaly",
        "alarm State EventBridge orders-db-cpu: unusual OK>ALARM Anomaly",
    ),
    (
        "alarm-by-action",
        "alarm State LambdaAction web-5xx OK>ALARM Metric",
    ),
    (
        "alarm-by-action-composite",
        "alarm State LambdaAction web-is-down OK>ALARM Composite",
    ),
    (
        "alarm-by-action-contributor",
        "alarm ContributorState LambdaAction any-service-cpu ?>ALARM MetricsInsights",
    ),
    ("alarm-by-sns", "alarm State Sns web-5xx OK>ALARM Metric"),
    (
        "alarm-by-sns-anomaly",
        "alarm State Sns orders-db-cpu: unusual OK>ALARM Anomaly",
    ),
    (
        "alarm-by-sns-composite",
        "alarm State Sns web-is-down OK>ALARM Composite",
    ),
    (
        "alarm-by-sns-metric-math",
        "alarm State Sns web-error-rate OK>ALARM MetricMath",
    ),
    (
        "alarm-by-sns-missing-fields",
        "alarm State Sns web-5xx ?>ALARM Other",
    ),
    (
        "alarm-by-sns-null-description",
        "alarm State Sns web-5xx OK>ALARM Metric",
    ),
    (
        "alarm-by-sns-several",
        "alarm State Sns web-5xx OK>ALARM Metric + web: latency ALARM>OK",
    ),
    (
        "alarm-composite",
        "alarm State EventBridge web-is-down OK>ALARM Composite",
    ),
    (
        "alarm-composite-not-suppressed",
        "alarm State EventBridge web-is-down OK>ALARM Composite",
    ),
    (
        "alarm-composite-suppressed",
        "alarm State EventBridge web-is-down OK>ALARM Composite",
    ),
    (
        "alarm-composite-suppressed-by-alarm",
        "alarm State EventBridge web-is-down OK>ALARM Composite",
    ),
    (
        "alarm-configuration-create",
        "alarm Configuration(Create) EventBridge web-is-down ?>INSUFFICIENT_DATA Composite",
    ),
    (
        "alarm-configuration-delete",
        "alarm Configuration(Delete) EventBridge web-5xx ?>INSUFFICIENT_DATA Metric",
    ),
    (
        "alarm-configuration-update",
        "alarm Configuration(Update) EventBridge web-5xx ?>INSUFFICIENT_DATA Metric",
    ),
    (
        "alarm-contributor",
        "alarm ContributorState EventBridge any-service-cpu ?>ALARM MetricsInsights",
    ),
    (
        "alarm-created-in-alarm",
        "alarm State EventBridge web-healthy-hosts INSUFFICIENT_DATA>ALARM Metric",
    ),
    (
        "alarm-insufficient-data",
        "alarm State EventBridge web-5xx OK>INSUFFICIENT_DATA Metric",
    ),
    (
        "alarm-log",
        "alarm State EventBridge orders-errors-in-log INSUFFICIENT_DATA>ALARM Log",
    ),
    (
        "alarm-long-period",
        "alarm State EventBridge backup-is-old OK>ALARM Metric",
    ),
    (
        "alarm-metric",
        "alarm State EventBridge web-5xx OK>ALARM Metric",
    ),
    (
        "alarm-metric-math",
        "alarm State EventBridge web-error-rate INSUFFICIENT_DATA>ALARM MetricMath",
    ),
    (
        "alarm-metric-muted",
        "alarm State EventBridge web-5xx OK>ALARM Metric",
    ),
    (
        "alarm-metrics-insights",
        "alarm State EventBridge any-service-cpu INSUFFICIENT_DATA>ALARM MetricsInsights",
    ),
    (
        "alarm-no-dimensions",
        "alarm State EventBridge billing OK>ALARM Metric",
    ),
    (
        "alarm-null-datapoints",
        "alarm State EventBridge web-5xx OK>ALARM Metric",
    ),
    (
        "alarm-odd-fields",
        "alarm State EventBridge web-5xx ?>ALARM Metric",
    ),
    (
        "alarm-promql",
        "alarm State EventBridge pods-restarting INSUFFICIENT_DATA>ALARM PromQl",
    ),
    (
        "alarm-unknown-configuration",
        "alarm State EventBridge from-the-future ?>ALARM Other",
    ),
    (
        "alarm-unknown-state",
        "alarm State EventBridge web-5xx SLEEPY>DORMANT Metric",
    ),
    (
        "alarm-without-configuration",
        "alarm State EventBridge bare ?>OK Other",
    ),
    (
        "alarm-without-reason-data",
        "alarm State EventBridge web-5xx OK>ALARM Metric",
    ),
    (
        "ecr-archive",
        "event ECR Image Action web UPDATE_STORAGE_CLASS",
    ),
    ("ecr-delete-untagged", "event ECR Image Action web DELETE"),
    ("ecr-push", "event ECR Image Action shop/web PUSH"),
    ("ecr-scan", "event ECR Image Scan web Some(Complete)"),
    ("ecr-scan-sparse", "event ECR Image Scan web Some(Failed)"),
    ("ecr-unknown-action", "event ECR Image Action web POLISH"),
    (
        "ecs-container-instance",
        "event ECS Container Instance State Change Some(false) Some(Active)",
    ),
    (
        "ecs-container-instance-short-arn",
        "event ECS Container Instance State Change Some(true) Some(Active)",
    ),
    (
        "ecs-container-instance-sparse",
        "event ECS Container Instance State Change None Some(Other(\"HIBERNATING\"))",
    ),
    (
        "ecs-deployment-completed",
        "event ECS Deployment State Change prod/web SERVICE_DEPLOYMENT_COMPLETED",
    ),
    (
        "ecs-deployment-failed",
        "event ECS Deployment State Change prod/web SERVICE_DEPLOYMENT_FAILED",
    ),
    (
        "ecs-deployment-in-progress",
        "event ECS Deployment State Change prod/web SERVICE_DEPLOYMENT_IN_PROGRESS",
    ),
    (
        "ecs-service-placement-failure",
        "event ECS Service Action prod/web SERVICE_TASK_PLACEMENT_FAILURE",
    ),
    (
        "ecs-service-short-arn",
        "event ECS Service Action prod/web SERVICE_TASK_START_IMPAIRED",
    ),
    (
        "ecs-service-steady",
        "event ECS Service Action prod/web SERVICE_STEADY_STATE",
    ),
    (
        "ecs-service-unknown-name",
        "event ECS Service Action prod/web SERVICE_IS_BORED",
    ),
    (
        "manual-apply-with-parameters",
        "manual Some(\"prune\") Some(Apply) max_actions,repositories",
    ),
    ("manual-empty", "manual None None "),
    (
        "manual-from-scheduler",
        "schedule Some(\"park\") Some(Apply) environment",
    ),
    ("manual-operation", "manual Some(\"prune\") None "),
    ("manual-plan", "manual Some(\"prune\") Some(Plan) "),
    (
        "manual-unfilled-placeholders",
        "manual Some(\"park\") None ",
    ),
    (
        "rds-cluster-snapshot",
        "event RDS DB Cluster Snapshot Event ledger-before-release Some(\"RDS-EVENT-0075\")",
    ),
    (
        "rds-cluster-stopped",
        "event RDS DB Cluster Event ledger Some(\"RDS-EVENT-0150\")",
    ),
    (
        "rds-instance-minimal",
        "event RDS DB Instance Event orders Some(\"RDS-EVENT-0154\")",
    ),
    (
        "rds-instance-prefixed-identifier",
        "event RDS DB Instance Event orders Some(\"RDS-EVENT-0049\")",
    ),
    (
        "rds-instance-started",
        "event RDS DB Instance Event orders Some(\"RDS-EVENT-0088\")",
    ),
    (
        "rds-snapshot-automated",
        "event RDS DB Snapshot Event rds:orders-2026-11-22-04-07 Some(\"RDS-EVENT-0091\")",
    ),
    (
        "rds-snapshot-copied",
        "event RDS DB Snapshot Event steward-orders-uvwxyz-20261122-0300 Some(\"RDS-EVENT-0060\")",
    ),
    (
        "rds-snapshot-manual",
        "event RDS DB Snapshot Event steward-orders-20261122 Some(\"RDS-EVENT-0042\")",
    ),
    (
        "rds-snapshot-without-event-id",
        "event RDS DB Snapshot Event rds:orders-2026-11-22-04-07 None",
    ),
    (
        "schedule-rule",
        "schedule 2026-11-22T03:00:00Z rule/image-pruning-daily",
    ),
    (
        "schedule-scheduler-default",
        "schedule 2026-11-22T03:00:00Z schedule/default/image-pruning-daily",
    ),
    ("schedule-without-rule", "schedule ? ?"),
];

/// The fixtures that are odd on purpose; all others must leave no warning.
const WARNS: &[(&str, &[&str])] = &[
    (
        "alarm-odd-fields",
        &[
            "detail.previousState was left out: expected an object, found a string",
            "detail.state.reason was left out: expected a string, found a number",
            "detail.state.reasonData was left out: expected a string, found a list",
            "detail.state.timestamp was left out: expected a time, found a string",
            "detail.configuration.metrics[1] was left out: expected an object, found a string",
            "detail.configuration.metrics[2].metricStat.metric.dimensions[0] was left out: expected a name and a value, found a string",
            "detail.configuration.metrics[2].metricStat.period was left out: expected a whole number, found a string",
            "detail.muteDetail was left out: expected an object, found a string",
            "detail.state.actionsSuppressedBy was left out: expected a string, found an object",
            "detail.alarmTags was left out: expected an object, found a string",
        ],
    ),
    (
        "alarm-by-sns-missing-fields",
        &["the notification has no \"AlarmArn\", so the alarm's Region is not known"],
    ),
    (
        "alarm-by-sns-several",
        &[
            "SNS record 1: expected the message of a CloudWatch alarm, found a text that is not JSON",
        ],
    ),
    (
        "ecs-service-unknown-name",
        &["detail.clusterArn was left out: expected an ARN, found a number"],
    ),
    (
        "manual-unfilled-placeholders",
        &[
            "scheduledTime was left out: expected a time, found a string",
            "scheduleArn was left out: expected an ARN, found a string",
            "attemptNumber was left out: expected a whole number, found a string",
        ],
    ),
];

fn directory(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/events")
        .join(name)
}

fn names(of: &str) -> BTreeSet<String> {
    fs::read_dir(directory(of))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn fixture(name: &str) -> Value {
    let path = directory(&format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn accepted(name: &str) -> Event {
    parse(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn alarm(name: &str) -> AlarmEvent {
    match accepted(name) {
        Event::Alarm(alarm) => alarm,
        other => panic!("{name} is {other:?}"),
    }
}

fn time(text: &str) -> Option<jiff::Timestamp> {
    Some(text.parse().unwrap())
}

fn summary(event: &Event) -> String {
    let word = serde_json::to_value(event.trigger()).unwrap();
    let word = word.as_str().unwrap();
    let kind = event.kind();
    match event {
        Event::Alarm(alarm) => {
            let states = |alarm: &AlarmEvent| {
                let previous = alarm.previous_state.as_ref().map_or("?", |s| s.as_str());
                format!("{previous}>{}", alarm.state)
            };
            let mut text = format!(
                "{word} {:?} {:?} {} {} {:?}",
                alarm.change,
                alarm.route,
                alarm.name,
                states(alarm),
                alarm.kind()
            );
            for further in &alarm.further {
                text += &format!(" + {} {}", further.name, states(further));
            }
            text
        }
        Event::Schedule(schedule) => format!(
            "{word} {} {}",
            schedule
                .envelope
                .time
                .map_or("?".to_owned(), |t| t.to_string()),
            schedule
                .envelope
                .resources
                .first()
                .map_or("?", |arn| &arn.resource),
        ),
        Event::EcsServiceAction(e) => format!(
            "{word} {kind} {}/{} {}",
            e.service.cluster.as_deref().unwrap_or("?"),
            e.service.name,
            e.name
        ),
        Event::EcsDeployment(e) => format!(
            "{word} {kind} {}/{} {}",
            e.service.cluster.as_deref().unwrap_or("?"),
            e.service.name,
            e.name
        ),
        Event::EcsContainerInstance(e) => {
            format!("{word} {kind} {:?} {:?}", e.agent_connected, e.status)
        }
        Event::Rds(e) => format!("{word} {kind} {} {:?}", e.identifier, e.event_id),
        Event::EcrImage(e) => format!("{word} {kind} {} {}", e.repository, e.action),
        Event::EcrScan(e) => format!("{word} {kind} {} {:?}", e.repository, e.status),
        Event::Manual(e) => format!(
            "{word} {:?} {:?} {}",
            e.operation,
            e.mode,
            e.parameters.keys().cloned().collect::<Vec<_>>().join(",")
        ),
    }
}

#[test]
fn takes_every_fixture_for_what_it_is() {
    let listed: BTreeSet<String> = ACCEPTED
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(listed, names("."), "the table and the directory must agree");
    for (name, expected) in ACCEPTED {
        assert_eq!(summary(&accepted(name)), *expected, "{name}");
    }
}

#[test]
fn warns_of_what_is_odd_and_of_nothing_else() {
    for (name, _) in ACCEPTED {
        let expected = WARNS
            .iter()
            .find(|(odd, _)| odd == name)
            .map_or(&[][..], |(_, warnings)| warnings);
        assert_eq!(accepted(name).warnings(), expected, "{name}");
    }
}

#[test]
fn rejects_with_a_message_that_says_what_came_and_what_was_expected() {
    for name in names("rejected") {
        let fixture = fixture(&format!("rejected/{name}"));
        let error = parse(&fixture["payload"]).expect_err(&name).to_string();
        assert_eq!(error, fixture["message"].as_str().unwrap(), "{name}");
        assert!(!error.contains("hunter2"), "{name} repeats a secret");
    }
}

#[test]
fn reads_a_metric_alarm_in_full() {
    let alarm = alarm("alarm-metric");
    assert_eq!(
        alarm.arn.as_ref().unwrap().to_string(),
        "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:web-5xx"
    );
    assert_eq!(alarm.account.as_deref(), Some("123456789012"));
    assert_eq!(alarm.region.as_deref(), Some("eu-west-1"));
    assert_eq!(alarm.state_timestamp, time("2026-11-22T10:00:00.989Z"));
    assert_eq!(alarm.time, time("2026-11-22T10:00:01Z"));
    assert_eq!(
        alarm.configuration.description.as_deref(),
        Some("The web service answers with errors.")
    );
    assert_eq!(alarm.tags.unwrap()["team"], "web");
    assert_eq!(alarm.mute, None);
    assert_eq!(alarm.suppressed, None);
    let [entry] = &alarm.configuration.metrics[..] else {
        panic!("{:?}", alarm.configuration.metrics)
    };
    let metric = entry.metric.as_ref().unwrap();
    assert_eq!(metric.namespace.as_deref(), Some("AWS/ApplicationELB"));
    assert_eq!(metric.name.as_deref(), Some("HTTPCode_Target_5XX_Count"));
    assert_eq!(
        metric.dimensions["TargetGroup"],
        "targetgroup/web/73e2d6bc24d8a067"
    );
    assert_eq!(
        (entry.period_seconds, entry.stat.as_deref()),
        (Some(60), Some("Sum"))
    );
    let data = alarm.reason_data.unwrap().details().unwrap();
    assert_eq!(data.recent_datapoints, [Some(12.0), Some(9.0), Some(31.0)]);
    assert_eq!((data.threshold, data.period_seconds), (Some(5.0), Some(60)));
    assert_eq!(data.query_date, time("2026-11-22T10:00:00.985Z"));
}

#[test]
fn the_three_routes_tell_the_same_of_one_alarm() {
    let mut bus = alarm("alarm-metric");
    let action = alarm("alarm-by-action");
    let sns = alarm("alarm-by-sns");
    for other in [&action, &sns] {
        assert_eq!(other.name, bus.name);
        assert_eq!(other.arn, bus.arn);
        assert_eq!(other.account, bus.account);
        assert_eq!(other.region, bus.region, "{:?}", other.route);
        assert_eq!(other.state, bus.state);
        assert_eq!(other.previous_state, bus.previous_state);
        assert_eq!(other.state_timestamp, bus.state_timestamp);
    }
    assert_eq!(action.configuration, bus.configuration);
    // A notification's single metric has no id; all else is spelt alike.
    bus.configuration.metrics[0].id = None;
    assert_eq!(sns.configuration, bus.configuration);
}

#[test]
fn the_region_of_a_notification_is_never_its_display_name() {
    assert_eq!(alarm("alarm-by-sns").region.as_deref(), Some("eu-west-1"));
    assert_eq!(alarm("alarm-by-sns-missing-fields").region, None);
    assert_eq!(
        alarm("alarm-by-sns-missing-fields").account.as_deref(),
        Some("123456789012")
    );
}

#[test]
fn the_region_is_the_arns_where_the_envelope_is_odd() {
    assert_eq!(
        alarm("alarm-configuration-delete").region.as_deref(),
        Some("eu-west-1")
    );
}

#[test]
fn tells_mutes_and_suppressions() {
    let mute = alarm("alarm-metric-muted").mute.unwrap();
    assert_eq!(mute.by.unwrap().resource_id(), "release-window");
    assert_eq!(mute.window_start, time("2026-11-22T09:30:00Z"));
    assert_eq!(mute.window_end, time("2026-11-22T11:30:00Z"));

    let composite = alarm("alarm-composite-suppressed");
    let suppressed = composite.suppressed.unwrap();
    assert_eq!(suppressed.by, SuppressedBy::WaitPeriod);
    assert_eq!(
        suppressed.reason.as_deref(),
        Some("Actions suppressed by WaitPeriod")
    );
    assert_eq!(composite.configuration.suppressor_wait_seconds, Some(120));
    assert_eq!(
        composite.configuration.suppressor_extension_seconds,
        Some(180)
    );
    let by_alarm = alarm("alarm-composite-suppressed-by-alarm").suppressed;
    assert_eq!(by_alarm.unwrap().by, SuppressedBy::Alarm);
    assert_eq!(alarm("alarm-composite-not-suppressed").suppressed, None);
}

#[test]
fn an_unreadable_mute_or_suppression_still_counts() {
    let odd = alarm("alarm-odd-fields");
    assert_eq!(odd.mute, Some(Mute::default()));
    assert_eq!(
        odd.suppressed.unwrap().by,
        SuppressedBy::Other("an object".to_owned())
    );
}

#[test]
fn tags_that_could_not_be_read_are_unknown_and_not_empty() {
    assert_eq!(alarm("alarm-metric-muted").tags, None);
    assert_eq!(alarm("alarm-metric-math").tags, None);
}

#[test]
fn reads_the_children_of_a_composite_alarm() {
    let alarm = alarm("alarm-composite");
    assert_eq!(
        alarm.configuration.composite_rule.as_deref(),
        Some("ALARM(\"web-5xx\") OR ALARM(\"web: latency\")")
    );
    assert_eq!(alarm.configuration.actions_suppressor, None);
    let children = alarm
        .reason_data
        .unwrap()
        .details()
        .unwrap()
        .triggering_alarms;
    let names: Vec<&str> = children
        .iter()
        .map(|child| child.arn.resource_id())
        .collect();
    assert_eq!(names, ["web-5xx", "web: latency"]);
    assert_eq!(children[0].state, Some(AlarmState::Alarm));
    assert_eq!(children[0].timestamp, time("2026-11-22T10:00:00.394Z"));
}

#[test]
fn reads_contributors() {
    for name in ["alarm-contributor", "alarm-by-action-contributor"] {
        let alarm = alarm(name);
        let contributor = alarm.contributor.unwrap();
        assert_eq!(contributor.id.as_deref(), Some("6d442278dba546f6"));
        assert_eq!(contributor.attributes["ServiceName"], "web");
        assert_eq!(alarm.previous_state, None);
        assert_eq!(alarm.reason_data, None);
        assert_eq!(alarm.configuration.metrics[0].period_seconds, Some(60));
    }
}

#[test]
fn reads_reason_data_of_every_form() {
    let details = |name| alarm(name).reason_data.unwrap().details().unwrap();
    let anomaly = details("alarm-anomaly");
    assert_eq!(anomaly.threshold, None);
    assert_eq!(anomaly.recent_upper_thresholds, [Some(0.3007)]);
    assert_eq!(details("alarm-metric-math").statistic, None);
    assert_eq!(details("alarm-long-period").period_seconds, Some(604_800));
    assert_eq!(
        details("alarm-null-datapoints").recent_datapoints,
        [Some(12.0), None, Some(31.0)]
    );
    assert_eq!(alarm("alarm-without-reason-data").reason_data, None);
}

#[test]
fn reads_expressions_beside_metrics() {
    let metrics = alarm("alarm-metric-math").configuration.metrics;
    let watched: Vec<_> = metrics.iter().filter(|entry| entry.return_data).collect();
    assert_eq!(watched.len(), 1);
    assert_eq!(
        watched[0].expression.as_deref(),
        Some("100 * errors / requests")
    );
    assert_eq!(metrics[1].metric.as_ref().unwrap().dimensions.len(), 1);
    assert_eq!(
        alarm("alarm-long-period").configuration.metrics[0].period_seconds,
        Some(604_800)
    );
}

#[test]
fn reads_statistics_of_notifications_in_the_apis_spelling() {
    let stat = |name| alarm(name).configuration.metrics[0].stat.clone();
    assert_eq!(stat("alarm-by-sns").as_deref(), Some("Sum"));
    assert_eq!(
        stat("alarm-by-sns-null-description").as_deref(),
        Some("p90")
    );
    assert_eq!(stat("alarm-by-sns-anomaly").as_deref(), Some("Average"));
}

#[test]
fn loses_no_alarm_of_a_delivery() {
    let alarm = alarm("alarm-by-sns-several");
    let ids: Vec<_> = alarm
        .all()
        .map(|a| (a.name.as_str(), a.event_id.as_deref().unwrap()))
        .collect();
    assert_eq!(
        ids,
        [
            ("web-5xx", "22222222-0000-0000-0000-000000000000"),
            ("web: latency", "33333333-0000-0000-0000-000000000000"),
        ]
    );
}

#[test]
fn reads_schedules_of_scheduler() {
    let Event::Manual(event) = accepted("manual-from-scheduler") else {
        panic!()
    };
    assert_eq!(event.scheduled_time, time("2026-11-22T19:00:00Z"));
    assert_eq!(event.execution_id.as_deref(), Some("d32c5kddcf5bb8c3"));
    assert_eq!(
        event.schedule_arn.unwrap().resource_id(),
        "default/staging-evening"
    );
    assert_eq!(event.attempt_number, Some(2));
    assert_eq!(event.parameters["environment"], "staging");
}

#[test]
fn reads_a_container_instance() {
    let Event::EcsContainerInstance(event) = accepted("ecs-container-instance") else {
        panic!()
    };
    assert_eq!(
        event.ec2_instance_id.as_deref(),
        Some("i-0f3a1b2c3d4e5f607")
    );
    assert_eq!(
        event.container_instance.resource_type(),
        "container-instance"
    );
    assert_eq!(event.cluster_arn.unwrap().resource_id(), "prod");
    assert_eq!(
        (event.running_tasks, event.version),
        (Some(4), Some(14_801))
    );
    assert_eq!(event.updated_at, time("2026-11-22T10:00:00.635Z"));
}

#[test]
fn reads_an_rds_event_in_full() {
    let Event::Rds(event) = accepted("rds-snapshot-manual") else {
        panic!()
    };
    assert_eq!(event.subject, RdsSubject::Snapshot);
    assert_eq!(event.categories, ["creation"]);
    assert_eq!(event.date, time("2026-11-22T10:00:00.882Z"));
    assert_eq!(
        event.tags.unwrap()["steward:managed-by"],
        "snapshot-rotation"
    );
}

#[test]
fn reads_ecr_events_in_full() {
    let Event::EcrImage(push) = accepted("ecr-push") else {
        panic!()
    };
    assert_eq!(push.tag.as_deref(), Some("v42"));
    assert_eq!(push.result, Some(EcrResult::Success));
    assert!(push.digest.unwrap().starts_with("sha256:7f5b"));
    let Event::EcrImage(delete) = accepted("ecr-delete-untagged") else {
        panic!()
    };
    assert_eq!(delete.tag, None);
    let Event::EcrImage(archive) = accepted("ecr-archive") else {
        panic!()
    };
    assert_eq!(archive.target_storage_class.as_deref(), Some("ARCHIVE"));
    let Event::EcrScan(scan) = accepted("ecr-scan") else {
        panic!()
    };
    assert_eq!(scan.finding_counts.unwrap()["CRITICAL"], 10);
    assert_eq!(scan.tags, ["v42", "latest"]);
    let Event::EcrScan(sparse) = accepted("ecr-scan-sparse") else {
        panic!()
    };
    assert_eq!(sparse.finding_counts, None);
}

#[test]
fn plan_is_less_than_apply() {
    assert!(Mode::Plan < Mode::Apply);
    assert_eq!(serde_json::to_value(Mode::Plan).unwrap(), json!("plan"));
    assert_eq!("apply".parse::<Mode>().unwrap(), Mode::Apply);
}

/// Which detail may stand under which label: none but its own. Exchanging the
/// details of two fixtures must give an error or the labelled kind, filled only
/// with what that kind could read.
#[test]
fn is_never_taken_for_another_kind() {
    let delivered: Vec<(&str, Value)> = ACCEPTED
        .iter()
        .map(|(name, _)| (*name, fixture(name)))
        .filter(|(_, payload)| payload.get("detail-type").is_some())
        .collect();
    for (label, labelled) in &delivered {
        let kind = parse(labelled).unwrap().kind();
        for (from, other) in &delivered {
            let mut mixed = labelled.clone();
            mixed["detail"] = other["detail"].clone();
            if let Ok(event) = parse(&mixed) {
                assert_eq!(event.kind(), kind, "the detail of {from} in {label}");
            }
            let mut mixed = labelled.clone();
            mixed["source"] = other["source"].clone();
            if let Ok(event) = parse(&mixed) {
                assert_eq!(event.kind(), kind, "the source of {from} in {label}");
                let sources = [&labelled["source"], &other["source"]];
                assert!(
                    sources[0] == sources[1] || kind == "Scheduled Event",
                    "the source of {from} in {label}"
                );
            }
        }
    }
}

/// Any JSON at all.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("arn:aws:ecs:eu-west-1:123456789012:service/prod/web")),
        Just(json!("[{\"AlarmName\":1}]")),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any_key(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "detail-type",
            "source",
            "detail",
            "resources",
            "Records",
            "Sns",
            "Message",
            "alarmData",
            "alarmArn",
            "state",
            "value",
            "configuration",
            "metrics",
            "mode",
            "operation",
            "scheduledTime",
            "eventName",
            "SourceArn",
            "repository-name",
        ])
        .prop_map(str::to_owned),
        ".{0,8}",
    ]
}

/// A place inside a payload, and what to put there.
fn replace(value: &mut Value, path: &[usize], with: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = with;
        return;
    };
    let inner = match value {
        Value::Array(list) if !list.is_empty() => {
            let index = first % list.len();
            list.get_mut(index)
        }
        Value::Object(object) if !object.is_empty() => {
            let index = first % object.len();
            object.values_mut().nth(index)
        }
        _ => None,
    };
    match inner {
        Some(inner) => replace(inner, rest, with),
        None => *value = with,
    }
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(payload in any_json()) {
        let _ = parse(&payload).map(|event| event.trigger());
    }

    /// Damage anywhere inside a real event neither makes it panic nor turns it
    /// into another kind.
    #[test]
    fn no_damage_makes_it_another_kind(
        index in 0..ACCEPTED.len(),
        path in prop::collection::vec(any::<usize>(), 1..7),
        with in any_json(),
    ) {
        let payload = fixture(ACCEPTED[index].0);
        prop_assume!(payload != json!({}));
        let kind = parse(&payload).unwrap().kind();
        let mut damaged = payload.clone();
        replace(&mut damaged, &path, with);
        if let Ok(event) = parse(&damaged) {
            prop_assert_eq!(event.kind(), kind);
            if let Event::Alarm(alarm) = event {
                let _ = alarm.reason_data.map(|data| data.details());
            }
        }
    }

    /// Messages stay short and never repeat values of the payload.
    #[test]
    fn messages_are_bounded_and_repeat_no_values(
        keys in prop::collection::btree_set("[a-z]{1,60}", 1..60),
    ) {
        let payload: Map<String, Value> =
            keys.into_iter().map(|key| (key, json!("hunter2"))).collect();
        if let Err(error) = parse(&Value::Object(payload)) {
            let message = error.to_string();
            prop_assert!(message.len() < 2_000, "{}", message);
            prop_assert!(!message.contains("hunter2"));
        }
    }
}
