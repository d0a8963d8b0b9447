//! What an alarm is about, whether it may be taken on and whether it is kept still.

use alarm_remediation::{Concern, Quiet, Symptom};
use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, Scripted};

use crate::account::{Bell, account, alarm, alarms, body, metric_in};
use crate::stage::{EVERYTHING, Stage, of_alarms};

fn concern(target: &str, symptom: Symptom) -> Concern {
    Concern {
        target: target.parse().unwrap(),
        symptom,
    }
}

/// What the alarm `it` is about.
async fn about(script: Scripted) -> (Stage, Vec<Concern>) {
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    assert_eq!(seen.gaps, []);
    let concerns = seen.world.alarms[crate::account::ALARM].concerns.clone();
    (stage, concerns)
}

fn composite(name: &str) -> Value {
    let mut composite = alarm(name, Bell::Busy);
    for key in ["Namespace", "MetricName", "Dimensions"] {
        composite.as_object_mut().unwrap().remove(key);
    }
    composite["AlarmRule"] = json!("ALARM(a) OR ALARM(b)");
    composite
}

/// What `DescribeAlarms` says of the children of a composite alarm: nothing but these.
fn child(name: &str, state: &str) -> Value {
    json!({
        "AlarmName": name,
        "AlarmArn": crate::account::ALARM.replace(":it", &format!(":{name}")),
        "StateValue": state,
    })
}

#[tokio::test]
async fn a_composite_alarm_is_about_what_its_children_in_alarm_are_about() {
    let script = account(Bell::Busy).always("cloudwatch:DescribeAlarms", |request| {
        let request = body(request);
        if let Some(of) = request["ChildrenOfAlarmName"].as_str() {
            // No other parameter may stand beside it, but those of pages.
            let keys = request.as_object().unwrap().keys();
            let others = ["ChildrenOfAlarmName", "MaxRecords", "NextToken"];
            assert!(keys.clone().all(|key| others.contains(&key.as_str())));
            return match (of, request["NextToken"].as_str()) {
                ("it", None) => json!({
                    "MetricAlarms": [child("a", "ALARM"), child("b", "OK")],
                    "CompositeAlarms": [],
                    "NextToken": "2",
                }),
                ("it", Some("2")) => json!({
                    "MetricAlarms": [child("c", "INSUFFICIENT_DATA")],
                    "CompositeAlarms": [child("inner", "ALARM")],
                }),
                ("inner", None) => alarms(vec![child("d", "ALARM")]),
                other => panic!("{other:?}"),
            };
        }
        match request["AlarmNames"].to_string().as_str() {
            r#"["it"]"# => json!({"MetricAlarms": [], "CompositeAlarms": [composite("it")]}),
            r#"["a","inner"]"# => json!({
                "MetricAlarms": [alarm("a", Bell::Busy)],
                "CompositeAlarms": [composite("inner")],
            }),
            r#"["d"]"# => alarms(vec![alarm("d", Bell::Storage)]),
            other => panic!("{other}"),
        }
    });
    let (stage, concerns) = about(script).await;
    assert_eq!(
        concerns,
        [
            concern("service:shop/web", Symptom::Busy),
            concern("database:shop-db", Symptom::StorageLow),
        ]
    );
    for sent in stage.sent("DescribeAlarms") {
        let sent = body(&sent);
        assert_eq!(sent["MaxRecords"], json!(100), "{sent}");
        if sent["ChildrenOfAlarmName"].is_null() {
            let kinds = json!(["MetricAlarm", "CompositeAlarm", "LogAlarm"]);
            assert_eq!(sent["AlarmTypes"], kinds, "or only those of metrics come");
        }
    }
}

#[tokio::test]
async fn a_child_of_a_composite_alarm_is_about_what_its_own_tag_says() {
    let script = account(Bell::Busy)
        .always("cloudwatch:DescribeAlarms", |request| {
            let request = body(request);
            if request["ChildrenOfAlarmName"] == "it" {
                let children = ["a", "b", "c"].map(|name| child(name, "ALARM"));
                return alarms(children.to_vec());
            }
            match request["AlarmNames"].to_string().as_str() {
                r#"["it"]"# => json!({"MetricAlarms": [], "CompositeAlarms": [composite("it")]}),
                r#"["a","b","c"]"# => {
                    alarms(["a", "b", "c"].map(|name| alarm(name, Bell::Busy)).to_vec())
                }
                other => panic!("{other}"),
            }
        })
        .always("cloudwatch:ListTagsForResource", |request| {
            let request = body(request);
            let arn = request["ResourceARN"].as_str().unwrap();
            let value = match arn.rsplit(':').next().unwrap() {
                "a" => "database:shop-db",
                "b" => "off",
                _ => return json!({"Tags": []}),
            };
            json!({"Tags": [{"Key": "steward:remediation", "Value": value}]})
        });
    let (_, concerns) = about(script).await;
    assert_eq!(
        concerns,
        [
            concern("service:shop/web", Symptom::Busy),
            concern("database:shop-db", Symptom::Other),
        ]
    );
}

#[tokio::test]
async fn composite_alarms_that_watch_each_other_are_followed_no_further_than_they_go() {
    let script = account(Bell::Busy).always("cloudwatch:DescribeAlarms", |request| {
        match body(request)["ChildrenOfAlarmName"].is_null() {
            true => json!({"MetricAlarms": [], "CompositeAlarms": [composite("it")]}),
            false => json!({"MetricAlarms": [], "CompositeAlarms": [child("it", "ALARM")]}),
        }
    });
    let (stage, concerns) = about(script).await;
    assert_eq!(concerns, []);
    assert!(stage.client.count("cloudwatch:DescribeAlarms") <= 8);
}

#[tokio::test]
async fn an_alarm_over_many_is_about_its_contributors_of_all_pages() {
    let mut over_many = alarm("it", Bell::Busy);
    for key in ["Namespace", "MetricName", "Dimensions"] {
        over_many.as_object_mut().unwrap().remove(key);
    }
    over_many["Metrics"] = json!([{
        "Id": "q1",
        "Expression": "SELECT MAX(CPUUtilization) FROM SCHEMA(\"AWS/ECS\", ClusterName, \
                       ServiceName) GROUP BY ClusterName, ServiceName",
    }]);
    let contributor = |service: &str| {
        json!({
            "ContributorId": service,
            "ContributorAttributes": {"ClusterName": "shop", "ServiceName": service},
            "StateReason": "Threshold Crossed",
        })
    };
    let script = account(Bell::Busy)
        .always("cloudwatch:DescribeAlarms", move |_| {
            alarms(vec![over_many.clone()])
        })
        .on(
            "cloudwatch:DescribeAlarmContributors",
            json!({"AlarmContributors": [contributor("web")], "NextToken": "2"}),
        )
        .on(
            "cloudwatch:DescribeAlarmContributors",
            json!({"AlarmContributors": [contributor("api")]}),
        )
        .always(
            "ecs:DescribeServices",
            |_| json!({"services": [], "failures": [{"reason": "MISSING"}, {"reason": "MISSING"}]}),
        );
    let (stage, concerns) = about(script).await;
    assert_eq!(
        concerns,
        [
            concern("service:shop/api", Symptom::Busy),
            concern("service:shop/web", Symptom::Busy),
        ]
    );
    let asked = stage.sent("DescribeAlarmContributors");
    let asked: Vec<Value> = asked.iter().map(|it| body(it)).collect();
    assert_eq!(
        asked,
        [
            json!({"AlarmName": "it"}),
            json!({"AlarmName": "it", "NextToken": "2"}),
        ]
    );
}

#[tokio::test]
async fn an_alarm_on_an_expression_over_metrics_of_one_thing_looks_that_up_once() {
    let mut expression = alarm("it", Bell::Errors);
    for key in ["Namespace", "MetricName", "Dimensions"] {
        expression.as_object_mut().unwrap().remove(key);
    }
    expression["Metrics"] = json!([
        {"Id": "e1", "Expression": "m1 / m2"},
        metric_in("m1", Bell::Errors),
        metric_in("m2", Bell::Unhealthy),
    ]);
    let script = account(Bell::Errors).always("cloudwatch:DescribeAlarms", move |_| {
        alarms(vec![expression.clone()])
    });
    let (stage, concerns) = about(script).await;
    assert_eq!(
        concerns,
        [
            concern("service:shop/web", Symptom::Errors),
            concern("service:shop/web", Symptom::Unhealthy),
        ]
    );
    assert_eq!(stage.client.count("ecs:ListServices"), 1);
    // Once to find it, once to look at it.
    assert_eq!(stage.client.count("ecs:DescribeServices"), 2);
}

#[tokio::test]
async fn what_many_alarms_need_is_asked_for_once() {
    for (bell, once) in [
        (Bell::Unhealthy, ["ecs:ListClusters", "ecs:ListServices"]),
        (Bell::NoRoom, ["ecs:ListClusters", "ecs:DescribeClusters"]),
    ] {
        let names = ["it", "b", "c", "d"];
        let script = account(bell).always("cloudwatch:DescribeAlarms", move |_| {
            alarms(names.iter().map(|name| alarm(name, bell)).collect())
        });
        let stage = Stage::over(script).await.about(of_alarms(&names));
        let seen = stage.observe().await;
        assert_eq!(seen.gaps, []);
        assert_eq!(seen.world.alarms.len(), 4);
        for read in once {
            assert_eq!(stage.client.count(read), 1, "{bell:?} {read}");
        }
    }
}

#[tokio::test]
async fn a_tag_names_what_an_alarm_is_about_and_switches_it_off() {
    let tagged = |value: &str| {
        let value = value.to_owned();
        account(Bell::Busy).always("cloudwatch:ListTagsForResource", move |request| {
            assert_eq!(body(request)["ResourceARN"], crate::account::ALARM);
            json!({"Tags": [
                {"Key": "team", "Value": "shop"},
                {"Key": "steward:remediation", "Value": value},
            ]})
        })
    };
    let (stage, concerns) = about(tagged("database:shop-db")).await;
    assert_eq!(concerns, [concern("database:shop-db", Symptom::Other)]);
    assert_eq!(stage.client.count("ecs:DescribeServices"), 0);
    let (_, concerns) = about(tagged("yes")).await;
    assert_eq!(concerns, [concern("service:shop/web", Symptom::Busy)]);

    let (stage, concerns) = about(tagged("off")).await;
    assert_eq!(concerns, []);
    assert_eq!(stage.client.count("cloudwatch:ListAlarmMuteRules"), 0);
    let seen = stage.observe().await;
    assert_eq!(stage.reasons(&seen), ["not_selected"]);
}

#[tokio::test]
async fn an_alarm_that_nobody_selects_is_looked_at_no_further() {
    let policy = EVERYTHING.replace(r#"alarms: {include: ["*"]}"#, "alarms: {include: [b]}");
    let stage = Stage::over(account(Bell::Busy)).await.told(&policy);
    let seen = stage.observe().await;
    assert_eq!(stage.reasons(&seen), ["not_selected"]);
    let calls: Vec<String> = stage.client.calls().iter().map(|it| it.action()).collect();
    assert_eq!(
        calls,
        [
            "dynamodb:Query",
            "cloudwatch:DescribeAlarms",
            "cloudwatch:ListTagsForResource",
        ]
    );
}

#[tokio::test]
async fn an_alarm_that_is_quiet_drives_a_scaling_policy_or_is_ours_is_read_and_no_more() {
    let changed = |key: &str, value: Value| {
        let mut alarm = alarm("it", Bell::Busy);
        alarm[key] = value;
        alarm
    };
    let scaling = "arn:aws:autoscaling:eu-central-1:123456789012:scalingPolicy:1:resource/ecs/\
                   service/shop/web:policyName/cpu";
    for (alarm, reason) in [
        (changed("StateValue", json!("OK")), "not_in_alarm"),
        (changed("StateValue", json!("INSUFFICIENT_DATA")), "no_data"),
        (changed("StateValue", json!("SOMETHING_NEW")), "no_data"),
        (
            changed("AlarmActions", json!([scaling])),
            "of_scaling_policy",
        ),
        (changed("AlarmName", json!("steward-it")), "of_steward"),
    ] {
        let name = alarm["AlarmName"].as_str().unwrap().to_owned();
        let script = account(Bell::Busy).always("cloudwatch:DescribeAlarms", move |_| {
            alarms(vec![alarm.clone()])
        });
        let stage = Stage::over(script).await.about(of_alarms(&[&name]));
        let seen = stage.observe().await;
        assert_eq!(stage.reasons(&seen), [reason]);
        let calls: Vec<String> = stage.client.calls().iter().map(|it| it.action()).collect();
        assert_eq!(calls, ["dynamodb:Query", "cloudwatch:DescribeAlarms"]);
    }
}

#[tokio::test]
async fn an_alarm_that_an_active_rule_mutes_waits() {
    let rule = |status: &str| {
        json!({
            "AlarmMuteRuleArn":
                "arn:aws:cloudwatch:eu-central-1:123456789012:alarm-mute-rule:deploys",
            "Status": status,
        })
    };
    for (first, second, muted) in [
        (vec![], vec![rule("ACTIVE")], true),
        (vec![rule("SCHEDULED")], vec![rule("EXPIRED")], false),
    ] {
        let read = "cloudwatch:ListAlarmMuteRules";
        let script = account(Bell::Busy)
            .on(
                read,
                json!({"AlarmMuteRuleSummaries": first, "NextToken": "2"}),
            )
            .on(read, json!({"AlarmMuteRuleSummaries": second}));
        let stage = Stage::over(script).await;
        let seen = stage.observe().await;
        let asked = stage.sent("ListAlarmMuteRules");
        assert_eq!(
            body(&asked[1]),
            json!({"AlarmName": "it", "Statuses": ["ACTIVE"], "MaxRecords": 100,
                "NextToken": "2"})
        );
        let quiet = &seen.world.alarms[crate::account::ALARM].quiet;
        if muted {
            let by = "deploys".to_owned();
            assert_eq!(*quiet, Quiet::Muted { by });
            assert_eq!(stage.planned(&seen), ["open_case muted"]);
        } else {
            assert_eq!(*quiet, Quiet::No);
            assert_eq!(stage.remedies(&seen).len(), 1);
        }
    }
}

#[tokio::test]
async fn a_composite_alarm_that_another_suppresses_waits_and_is_not_asked_for_mutes() {
    let mut suppressed = composite("it");
    suppressed["ActionsSuppressedBy"] = json!("Alarm");
    suppressed["ActionsSuppressedReason"] = json!("the network is down");
    let script =
        account(Bell::Busy).always("cloudwatch:DescribeAlarms", move |request| {
            match body(request)["ChildrenOfAlarmName"].is_null() {
                true => json!({"MetricAlarms": [], "CompositeAlarms": [suppressed]}),
                false => alarms(vec![]),
            }
        });
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    assert_eq!(stage.planned(&seen), ["open_case suppressed"]);
    assert_eq!(stage.client.count("cloudwatch:ListAlarmMuteRules"), 0);
}

#[tokio::test]
async fn the_ledger_knows_what_the_alarm_of_an_open_case_is_about() {
    let known = concern("service:shop/web", Symptom::Unhealthy);
    let stage = Stage::over(account(Bell::Unhealthy)).await;
    let stage = stage.remembering(&[&known], |_| {});
    let seen = stage.observe().await;
    assert_eq!(stage.remedies(&seen).len(), 1);
    assert_eq!(stage.client.count("ecs:ListServices"), 0);
}

/// One that is on an instance of no cluster is about nothing that is known here.
#[tokio::test]
async fn an_instance_is_looked_for_in_every_cluster_until_it_is_found() {
    let clusters = |_: &str| json!({"clusterArns": ["cluster/one", "cluster/two", "cluster/shop"]});
    let script = account(Bell::Impaired)
        .always("ecs:ListClusters", clusters)
        .always("ecs:ListContainerInstances", |request| {
            let request = body(request);
            let is_here = request["cluster"] == "cluster/two" && request["status"] == "DRAINING";
            let found = match is_here && request["filter"] == "ec2InstanceId == 'i-0'" {
                true => vec![crate::account::instance_arn(0)],
                false => vec![],
            };
            json!({"containerInstanceArns": found})
        });
    let (stage, concerns) = about(script).await;
    assert_eq!(concerns.len(), 1);
    assert_eq!(concerns[0].target.name(), "two/ci0");
    let filtered = stage.sent("ListContainerInstances");
    let filtered = filtered.iter().map(|it| body(it));
    let filtered: Vec<Value> = filtered.filter(|it| !it["filter"].is_null()).collect();
    assert_eq!(filtered.len(), 4, "not in the third: {filtered:?}");

    let nowhere = account(Bell::Impaired).always(
        "ecs:ListContainerInstances",
        |_| json!({"containerInstanceArns": []}),
    );
    let (stage, concerns) = about(nowhere).await;
    assert_eq!(concerns, []);
    let seen = stage.observe().await;
    assert_eq!(stage.planned(&seen), ["open_case no_target"]);
}

#[tokio::test]
async fn a_database_or_group_by_dimension_needs_no_look_up() {
    let (stage, concerns) = about(account(Bell::Storage)).await;
    assert_eq!(concerns, [concern("database:shop-db", Symptom::StorageLow)]);
    assert_eq!(stage.client.count("ecs:ListClusters"), 0);
    let mut of_group = alarm("it", Bell::NoRoom);
    of_group["Namespace"] = json!("AWS/EC2");
    of_group["MetricName"] = json!("CPUUtilization");
    of_group["Dimensions"] = json!([{"Name": "AutoScalingGroupName", "Value": "shop"}]);
    let script = account(Bell::NoRoom).always("cloudwatch:DescribeAlarms", move |_| {
        alarms(vec![of_group.clone()])
    });
    let (stage, concerns) = about(script).await;
    assert_eq!(concerns, [concern("group:shop", Symptom::Busy)]);
    assert_eq!(stage.client.count("ecs:DescribeClusters"), 0);
}

/// Events of RDS come newest first, whatever the order in which they are told.
#[tokio::test]
async fn what_rds_said_lately_comes_newest_first_and_of_all_pages() {
    let event =
        |at: &str, text: &str| format!("<Event><Date>{at}</Date><Message>{text}</Message></Event>");
    let script = account(Bell::Storage)
        .on(
            "rds:DescribeEvents",
            Answer::result(&format!(
                "<Events>{}</Events><Marker>2</Marker>",
                event("2026-11-24T11:00:00Z", "first")
            )),
        )
        .on(
            "rds:DescribeEvents",
            Answer::result(&format!(
                "<Events>{}</Events>",
                event("2026-11-24T11:30:00Z", "second")
            )),
        );
    let stage = Stage::over(script).await;
    let seen = stage.observe().await;
    let events = &seen.world.databases["shop-db"].events;
    assert_eq!(
        *events,
        ["2026-11-24T11:30:00Z second", "2026-11-24T11:00:00Z first"]
    );
    let asked = &stage.sent("DescribeEvents")[0];
    let of = ["SourceType", "SourceIdentifier", "Duration"]
        .map(|name| crate::account::field(asked, name).unwrap());
    assert_eq!(of, ["db-instance", "shop-db", "120"]);
}
