//! Pages, batches, what is shared, and reads that fail, against a scripted AWS.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_sdk_rds::config::Credentials;
use aws_sdk_rds::types::{
    DbInstance, DbParameterGroupStatus, OptionGroupMembership, Tag, VpcSecurityGroupMembership,
};
use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, At, Fault, FaultClient, Scripted};

use crate::policy::Application as ServiceName;
use crate::record::{ApplicationsWanted, Recorder};
use steward::names::{ENVIRONMENT, MADE_FOR};

const ARN: &str = "arn:aws:ecs:eu-west-1:123456789012";
const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/key-AbCdEf";
const GROUP: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef";

async fn over(script: Scripted) -> (Recorder, FaultClient) {
    let client = FaultClient::new(script);
    let config = steward::aws::config_loader()
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("123456789012", "test", None, None, "test"))
        .http_client(client.clone())
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(2)
                .with_initial_backoff(Duration::from_millis(1)),
        )
        .load()
        .await;
    (Recorder::new(&config), client)
}

fn body(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What a request asks for in a list.
fn asked(text: &str, list: &str) -> Vec<String> {
    let body = body(text);
    let items = body[list].as_array().unwrap().iter();
    items.map(|it| it.as_str().unwrap().to_owned()).collect()
}

fn instance(n: usize) -> DbInstance {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    DbInstance::builder()
        .db_instance_identifier(format!("db{n}"))
        .dbi_resource_id(format!("db-{n}"))
        .db_instance_class("db.t3.micro")
        .engine("oracle-ee")
        .engine_version("19")
        .multi_az(true)
        .storage_type("gp3")
        .db_parameter_groups(
            DbParameterGroupStatus::builder()
                .db_parameter_group_name("ours")
                .build(),
        )
        .option_group_memberships(
            OptionGroupMembership::builder()
                .option_group_name("options")
                .build(),
        )
        .vpc_security_groups(
            VpcSecurityGroupMembership::builder()
                .vpc_security_group_id("sg-1")
                .build(),
        )
        .tag_list(tag("team", "shop"))
        .tag_list(tag("aws:cloudformation:stack-name", "shop"))
        .tag_list(tag(MADE_FOR, "db-9"))
        .build()
}

fn groups() -> Scripted {
    Scripted::new()
        .always("rds:DescribeDBParameterGroups", |_| {
            Answer::result(
                "<DBParameterGroups><DBParameterGroup>\
                 <DBParameterGroupName>ours</DBParameterGroupName>\
                 <DBParameterGroupFamily>oracle-ee-19</DBParameterGroupFamily>\
                 </DBParameterGroup></DBParameterGroups>",
            )
        })
        .always("rds:DescribeDBParameters", |request| {
            assert!(request.contains("Source=user"), "{request}");
            let parameter = |name: &str| {
                format!(
                    "<Parameters><Parameter><ParameterName>{name}</ParameterName>\
                     <ParameterValue>1</ParameterValue><ApplyType>static</ApplyType>\
                     <ApplyMethod>pending-reboot</ApplyMethod></Parameter></Parameters>"
                )
            };
            Answer::result(&match request.contains("Marker=more") {
                false => format!("{}<Marker>more</Marker>", parameter("z")),
                true => parameter("a"),
            })
        })
        .always("rds:DescribeOptionGroups", |_| {
            Answer::result(
                "<OptionGroupsList><OptionGroup><OptionGroupName>options</OptionGroupName>\
                 <Options><Option><OptionName>S3_INTEGRATION</OptionName><OptionSettings>\
                 <OptionSetting><Name>SIZE</Name><Value>2</Value></OptionSetting>\
                 <OptionSetting><Name>UNSET</Name></OptionSetting>\
                 </OptionSettings></Option></Options></OptionGroup></OptionGroupsList>",
            )
        })
}

#[tokio::test]
async fn groups_that_databases_share_are_read_once_and_to_their_end() {
    let (recorder, client) = over(groups()).await;
    let instances: Vec<DbInstance> = (0..30).map(instance).collect();
    let databases = recorder.databases(&instances).await;
    assert_eq!(databases.len(), 30);
    for recorded in databases.values() {
        assert_eq!(recorded.missing, Vec::<String>::new());
        let group = &recorded.value.db_parameter_groups[0];
        let names: Vec<&str> = group.parameters.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["a", "z"]);
        let option = &recorded.value.option_groups[0].options[0];
        assert_eq!(option.name, "S3_INTEGRATION");
        assert_eq!(option.settings.len(), 1);
        assert_eq!(option.settings["SIZE"], "2");
        let tags: Vec<&String> = recorded.value.tags.keys().collect();
        assert_eq!(tags, ["team"]);
    }
    assert_eq!(client.count("rds:DescribeDBParameterGroups"), 1);
    assert_eq!(client.count("rds:DescribeDBParameters"), 2);
    assert_eq!(client.count("rds:DescribeOptionGroups"), 1);
}

#[tokio::test]
async fn a_setting_that_is_not_told_or_not_read_is_named() {
    let (recorder, client) = over(groups()).await;
    client.add(At::nth("rds:DescribeDBParameters", 2), Fault::Deny);
    let mut untold = instance(1);
    untold.multi_az = None;
    untold.tag_list = None;
    let databases = recorder.databases(&[untold]).await;
    let recorded = &databases["db-1"];
    let [multi_az, tags, parameters] = &recorded.missing[..] else {
        panic!("{:?}", recorded.missing);
    };
    assert!(
        multi_az.contains("of db1: the answer has no MultiAZ"),
        "{multi_az}"
    );
    assert!(tags.contains("of db1: the answer has no TagList"), "{tags}");
    assert!(
        parameters.starts_with("rds:DescribeDBParameters of ours: AccessDenied: "),
        "{parameters}"
    );
    // Half a group would be taken for all of it.
    assert_eq!(recorded.value.db_parameter_groups, []);
    assert_eq!(recorded.value.option_groups.len(), 1);
}

/// A cluster with 25 services of one environment, all alike.
fn shop() -> Scripted {
    Scripted::new()
        .always(
            "ecs:ListClusters",
            |_| json!({"clusterArns": [format!("{ARN}:cluster/shop")]}),
        )
        .always("ecs:ListServices", |request| {
            let page = usize::from(body(request)["nextToken"] == "more");
            let names = [0..20, 20..25][page].clone();
            let arns: Vec<String> = names.map(|n| format!("{ARN}:service/shop/s{n}")).collect();
            match page {
                0 => json!({"serviceArns": arns, "nextToken": "more"}),
                _ => json!({"serviceArns": arns}),
            }
        })
        .always("ecs:DescribeServices", |request| {
            let services: Vec<Value> = asked(request, "services")
                .iter()
                .map(|arn| {
                    let name = arn.rsplit('/').next().unwrap();
                    json!({
                        "serviceArn": format!("{ARN}:service/shop/{name}"),
                        "serviceName": name,
                        "clusterArn": format!("{ARN}:cluster/shop"),
                        "status": "ACTIVE",
                        "aSettingOfTomorrow": {"x": 1},
                        "events": [{"message": "noise"}],
                        "taskDefinition": format!("{ARN}:task-definition/web:7"),
                        "loadBalancers": [{"targetGroupArn": GROUP}],
                        "tags": [{"key": ENVIRONMENT, "value": "production"}],
                        "currentServiceRevisions":
                            [{"arn": format!("{ARN}:service-revision/shop/{name}/1")}],
                        "deployments": [{
                            "status": "PRIMARY",
                            "rolloutState": "COMPLETED",
                            "taskDefinition": format!("{ARN}:task-definition/web:7"),
                            "serviceConnectConfiguration": {"enabled": true},
                        }],
                    })
                })
                .collect();
            json!({"services": services, "failures": []})
        })
        .always("ecs:DescribeClusters", |_| {
            json!({"failures": [], "clusters": [{
                "clusterArn": format!("{ARN}:cluster/shop"),
                "runningTasksCount": 7,
                "settings": [{"name": "containerInsights", "value": "enabled"}],
            }]})
        })
        .always("ecs:DescribeServiceRevisions", |request| {
            let revisions: Vec<Value> = asked(request, "serviceRevisionArns")
                .iter()
                .map(|arn| {
                    json!({
                        "serviceRevisionArn": arn,
                        "taskDefinition": format!("{ARN}:task-definition/web:7"),
                        "createdAt": 1_795_427_139.5,
                        "containerImages": [
                            {"containerName": "web", "image": "r.example/web:1",
                             "imageDigest": "sha256:aa"},
                        ],
                    })
                })
                .collect();
            json!({"serviceRevisions": revisions, "failures": []})
        })
        .always("ecs:DescribeTaskDefinition", |_| {
            json!({
                "taskDefinition": {
                    "taskDefinitionArn": format!("{ARN}:task-definition/web:7"),
                    "aSettingOfTomorrow": [1, 2],
                    "containerDefinitions": [
                        {
                            "name": "web",
                            "image": "r.example/web:1",
                            "environment": [{"name": "PASSWORD", "value": "hunter2"}],
                            "secrets": [
                                {"name": "KEY", "valueFrom": format!("{SECRET}:json::")},
                                {"name": "MODE", "valueFrom": "/shop/mode"},
                            ],
                        },
                        {"name": "tag", "image": "r.example/tag:1",
                         "versionConsistency": "disabled"},
                    ],
                },
                "tags": [{"key": "team", "value": "shop"}],
            })
        })
        .always(
            "application-autoscaling:DescribeScalableTargets",
            |_| json!({"ScalableTargets": [scaled(json!({"MinCapacity": 2, "MaxCapacity": 5}))]}),
        )
        .always(
            "application-autoscaling:DescribeScalingPolicies",
            |request| match body(request)["NextToken"].as_str() {
                None => json!({"ScalingPolicies": [], "NextToken": "more"}),
                Some(_) => json!({"ScalingPolicies": [scaled(json!({
                    "PolicyARN": "arn", "PolicyName": "cpu", "PolicyType": "TargetTrackingScaling",
                }))]}),
            },
        )
        .always(
            "application-autoscaling:DescribeScheduledActions",
            |_| json!({"ScheduledActions": []}),
        )
        .always("elasticloadbalancing:DescribeTargetGroups", |_| {
            Answer::result(&format!(
                "<TargetGroups><member><TargetGroupArn>{GROUP}</TargetGroupArn>\
                 <HealthCheckPath>/api/health</HealthCheckPath></member></TargetGroups>"
            ))
        })
        .always("elasticloadbalancing:DescribeTargetGroupAttributes", |_| {
            Answer::result(
                "<Attributes><member><Key>stickiness.enabled</Key><Value>true</Value></member>\
                 </Attributes>",
            )
        })
        .always("secretsmanager:DescribeSecret", |_| {
            json!({"ARN": SECRET, "Name": "shop/key", "VersionIdsToStages": {
                "00000000-0000-0000-0000-000000000001": ["AWSPREVIOUS"],
                "00000000-0000-0000-0000-000000000002": ["AWSCURRENT"],
            }})
        })
        .always("ssm:DescribeParameters", |_| {
            json!({"Parameters": [
                {"Name": "/shop/mode", "Version": 3, "Type": "String",
                 "ARN": "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/mode"},
            ]})
        })
}

/// What scales service `s0`, with what every answer about it has.
fn scaled(mut item: Value) -> Value {
    for (name, value) in [
        ("ServiceNamespace", json!("ecs")),
        ("ResourceId", json!("service/shop/s0")),
        ("ScalableDimension", json!("ecs:service:DesiredCount")),
        ("RoleARN", json!("arn:aws:iam::123456789012:role/scaling")),
        ("CreationTime", json!(1_795_427_139)),
    ] {
        item[name] = value;
    }
    item
}

fn production() -> ApplicationsWanted {
    ApplicationsWanted {
        services: BTreeSet::new(),
        environments: BTreeSet::from(["production".to_owned()]),
    }
}

#[tokio::test]
async fn services_are_read_in_batches_and_what_they_share_is_read_once() {
    let (recorder, client) = over(shop()).await;
    let all = recorder.applications(&production()).await;
    let all = all.of(&BTreeSet::new(), Some("production"));
    assert_eq!(all.missing, Vec::<String>::new());
    assert_eq!(all.value.applications.len(), 25);
    for (operation, calls) in [
        ("ecs:ListClusters", 1),
        ("ecs:ListServices", 2),
        ("ecs:DescribeServices", 3),
        ("ecs:DescribeClusters", 1),
        ("ecs:DescribeServiceRevisions", 2),
        ("ecs:DescribeTaskDefinition", 1),
        ("application-autoscaling:DescribeScalableTargets", 1),
        ("application-autoscaling:DescribeScalingPolicies", 2),
        ("application-autoscaling:DescribeScheduledActions", 1),
        ("elasticloadbalancing:DescribeTargetGroups", 1),
        ("elasticloadbalancing:DescribeTargetGroupAttributes", 1),
        ("secretsmanager:DescribeSecret", 1),
        ("ssm:DescribeParameters", 1),
    ] {
        assert_eq!(client.count(operation), calls, "{operation}");
    }
    // Nothing else was asked, the value of a secret least of all.
    assert_eq!(client.calls().len(), 18);
}

#[tokio::test]
async fn a_service_is_recorded_in_the_words_of_aws() {
    let (recorder, _) = over(shop()).await;
    let all = recorder.applications(&production()).await;
    let all = all.of(&BTreeSet::new(), Some("production"));
    let first = &all.value.applications[0];
    assert_eq!(first.service, "s0");
    assert_eq!(first.rollout_state.as_deref(), Some("COMPLETED"));
    let shown = format!("{first:?} {:?}", first.releases);
    assert!(!shown.contains("hunter2"), "{shown}");
    let first = serde_json::to_value(first).unwrap();
    let settings = &first["service_settings"];
    assert_eq!(settings["aSettingOfTomorrow"], json!({"x": 1}));
    assert_eq!(
        settings["serviceConnectConfiguration"],
        json!({"enabled": true})
    );
    assert_eq!(settings["events"], Value::Null);
    let definition = &first["releases"][0]["task_definition"];
    assert_eq!(definition["aSettingOfTomorrow"], json!([1, 2]));
    assert_eq!(definition["tags"][0]["key"], "team");
    assert_eq!(
        definition["containerDefinitions"][0]["environment"][0]["value"],
        "hunter2"
    );
    assert_eq!(first["scaling"]["targets"][0]["MaxCapacity"], 5);
    assert_eq!(first["scaling"]["policies"][0]["PolicyName"], "cpu");
    assert_eq!(
        first["secrets"][0]["version_id"],
        "00000000-0000-0000-0000-000000000002"
    );
    assert_eq!(first["parameters"][0]["version"], 3);
    assert_eq!(
        first["target_groups"][0]["attributes"]["stickiness.enabled"],
        "true"
    );
    let references: BTreeSet<&str> = all
        .value
        .images
        .iter()
        .map(|image| image.reference.as_str())
        .collect();
    // Of a tag that is looked up for every task, no digest is what it means.
    assert_eq!(
        references,
        BTreeSet::from(["r.example/tag:1", "r.example/web@sha256:aa"])
    );
}

#[tokio::test]
async fn every_read_that_fails_is_named_once_and_leaves_the_rest() {
    for (operation, names) in [
        ("ecs:ListClusters", "ecs:ListClusters: AccessDenied"),
        (
            "ecs:ListServices",
            "ecs:ListServices in cluster shop: AccessDenied",
        ),
        (
            "ecs:DescribeServices",
            "ecs:DescribeServices in cluster shop: AccessDenied",
        ),
        ("ecs:DescribeClusters", "ecs:DescribeClusters: AccessDenied"),
        (
            "ecs:DescribeServiceRevisions",
            "ecs:DescribeServiceRevisions: AccessDenied",
        ),
        (
            "ecs:DescribeTaskDefinition",
            "ecs:DescribeTaskDefinition of web:7: AccessDenied",
        ),
        (
            "application-autoscaling:DescribeScalableTargets",
            "application-autoscaling:DescribeScalableTargets: AccessDenied",
        ),
        (
            "application-autoscaling:DescribeScalingPolicies",
            "application-autoscaling:DescribeScalingPolicies: AccessDenied",
        ),
        (
            "application-autoscaling:DescribeScheduledActions",
            "application-autoscaling:DescribeScheduledActions: AccessDenied",
        ),
        (
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetGroups of web/0123456789abcdef: AccessDenied",
        ),
        (
            "elasticloadbalancing:DescribeTargetGroupAttributes",
            "elasticloadbalancing:DescribeTargetGroupAttributes of web/0123456789abcdef: AccessDenied",
        ),
        (
            "secretsmanager:DescribeSecret",
            "secretsmanager:DescribeSecret of arn:aws:",
        ),
        (
            "ssm:DescribeParameters",
            "ssm:DescribeParameters in eu-west-1: AccessDenied",
        ),
    ] {
        let (recorder, client) = over(shop()).await;
        client.add(At::every(operation), Fault::Deny);
        let all = recorder.applications(&production()).await;
        let all = all.of(&BTreeSet::new(), Some("production"));
        let told = all
            .missing
            .iter()
            .filter(|it| it.starts_with(names))
            .count();
        assert_eq!(told, 1, "{operation}: {:?}", all.missing);
        assert_eq!(client.unspent(), Vec::<String>::new());
        let listing = operation.contains(":List") || operation == "ecs:DescribeServices";
        let expected = if listing { 0 } else { 25 };
        assert_eq!(all.value.applications.len(), expected, "{operation}");
    }
}

#[tokio::test]
async fn an_image_without_a_digest_is_named_and_kept_as_written() {
    let script = shop().always("ecs:DescribeServiceRevisions", |request| {
        let arns = asked(request, "serviceRevisionArns");
        json!({"failures": [], "serviceRevisions": [{
            "serviceRevisionArn": arns[0],
            "taskDefinition": format!("{ARN}:task-definition/web:7"),
            "containerImages": [{"containerName": "web", "image": "r.example/web:1"}],
        }]})
    });
    let name = ServiceName {
        cluster: "shop".to_owned(),
        service: "s0".to_owned(),
    };
    let wanted = ApplicationsWanted {
        services: BTreeSet::from([name]),
        environments: BTreeSet::new(),
    };
    let (recorder, client) = over(script).await;
    let all = recorder
        .applications(&wanted)
        .await
        .of(&wanted.services, None);
    assert_eq!(client.count("ecs:ListClusters"), 0);
    assert_eq!(all.missing.len(), 1, "{:?}", all.missing);
    assert!(
        all.missing[0].contains(
            "no digest for image r.example/web:1 of container web in service s0 in cluster shop"
        ),
        "{:?}",
        all.missing
    );
    let web = all
        .value
        .images
        .iter()
        .find(|image| image.container == "web");
    assert_eq!(web.unwrap().reference, "r.example/web:1");
}
