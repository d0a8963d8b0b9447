//! A small account whose every answer is written down: one service, one group of two
//! instances and one database, each of which an alarm can be about.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, Scripted, time};

pub(crate) const NOW: &str = "2026-11-24T12:00:00Z";

pub(crate) const ALARM: &str = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:it";
pub(crate) const CLUSTER: &str = "arn:aws:ecs:eu-central-1:123456789012:cluster/shop";
pub(crate) const SERVICE: &str = "arn:aws:ecs:eu-central-1:123456789012:service/shop/web";
pub(crate) const GROUP: &str = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:1:\
                                autoScalingGroupName/shop";
pub(crate) const DATABASE: &str = "arn:aws:rds:eu-central-1:123456789012:db:shop-db";
pub(crate) const TARGETS: &str =
    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/1";

/// So many minutes ago.
pub(crate) fn ago(minutes: i64) -> Timestamp {
    let now: Timestamp = NOW.parse().unwrap();
    now - SignedDuration::from_mins(minutes)
}

/// The same as Amazon ECS writes it.
pub(crate) fn seconds_ago(minutes: i64) -> i64 {
    ago(minutes).as_second()
}

pub(crate) fn instance_arn(n: usize) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:container-instance/shop/ci{n}")
}

pub(crate) fn task_arn(n: usize) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:task/shop/{n}")
}

pub(crate) fn deployment_arn(n: usize) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:service-deployment/shop/web/{n}")
}

pub(crate) fn revision_arn(n: usize) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:service-revision/shop/web/{n}")
}

pub(crate) fn definition_arn(n: usize) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:task-definition/web:{n}")
}

/// The request's body as JSON.
pub(crate) fn body(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// A field of a form.
pub(crate) fn field(request: &str, name: &str) -> Option<String> {
    let mut fields = request.split('&').filter_map(|it| it.split_once('='));
    let found = fields.find(|(key, _)| *key == name);
    found.map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/"))
}

/// What a request asks for in a list.
pub(crate) fn asked(request: &str, key: &str) -> Vec<String> {
    let list = body(request)[key].as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|it| it.as_str().unwrap().to_owned())
        .collect()
}

/// What goes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bell {
    /// The service is busy: more tasks.
    Busy,
    /// Its targets are unhealthy: tasks are replaced, or what was deployed goes.
    Unhealthy,
    /// It answers with errors: what was deployed goes.
    Errors,
    /// The cluster is full: more instances.
    NoRoom,
    /// An instance fails its checks: it is drained and replaced.
    Impaired,
    /// The database is full: more storage.
    Storage,
}

impl Bell {
    /// Namespace, metric and dimensions.
    fn metric(
        self,
    ) -> (
        &'static str,
        &'static str,
        Vec<(&'static str, &'static str)>,
    ) {
        let of_targets = || {
            vec![
                ("TargetGroup", "targetgroup/web/1"),
                ("LoadBalancer", "app/a/1"),
            ]
        };
        let of_service = || vec![("ClusterName", "shop"), ("ServiceName", "web")];
        match self {
            Self::Busy => ("AWS/ECS", "CPUUtilization", of_service()),
            Self::Unhealthy => ("AWS/ApplicationELB", "UnHealthyHostCount", of_targets()),
            Self::Errors => (
                "AWS/ApplicationELB",
                "HTTPCode_Target_5XX_Count",
                of_targets(),
            ),
            Self::NoRoom => ("AWS/ECS", "CPUReservation", vec![("ClusterName", "shop")]),
            Self::Impaired => ("AWS/EC2", "StatusCheckFailed", vec![("InstanceId", "i-0")]),
            Self::Storage => (
                "AWS/RDS",
                "FreeStorageSpace",
                vec![("DBInstanceIdentifier", "shop-db")],
            ),
        }
    }

    /// What a gap that hides its target hides.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Busy | Self::Unhealthy | Self::Errors => "shop/web",
            Self::NoRoom => "shop",
            Self::Impaired => "shop/ci0",
            Self::Storage => "shop-db",
        }
    }
}

fn dimensions(of: &[(&str, &str)]) -> Value {
    of.iter()
        .map(|(name, value)| json!({"Name": name, "Value": value}))
        .collect()
}

/// An alarm of this name, in alarm for six minutes.
pub(crate) fn alarm(name: &str, bell: Bell) -> Value {
    let (namespace, metric, of) = bell.metric();
    json!({
        "AlarmName": name,
        "AlarmArn": ALARM.replace(":it", &format!(":{name}")),
        "StateValue": "ALARM",
        "StateReason": "Threshold Crossed: 3 datapoints were greater than the threshold.",
        "StateTransitionedTimestamp": time(ago(6).as_second()),
        "StateUpdatedTimestamp": time(ago(5).as_second()),
        "AlarmActions": [],
        "ComparisonOperator": match bell {
            Bell::Storage => "LessThanThreshold",
            _ => "GreaterThanThreshold",
        },
        "Namespace": namespace,
        "MetricName": metric,
        "Dimensions": dimensions(&of),
    })
}

/// A metric in an alarm's list of metrics.
pub(crate) fn metric_in(id: &str, bell: Bell) -> Value {
    let (namespace, metric, of) = bell.metric();
    let metric = json!({
        "Namespace": namespace,
        "MetricName": metric,
        "Dimensions": dimensions(&of),
    });
    json!({"Id": id, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}})
}

/// A page of `DescribeAlarms`.
pub(crate) fn alarms(all: Vec<Value>) -> Value {
    json!({"MetricAlarms": all, "CompositeAlarms": []})
}

/// The service `web`, with four tasks.
pub(crate) fn service() -> Value {
    json!({
        "serviceArn": SERVICE,
        "serviceName": "web",
        "clusterArn": CLUSTER,
        "status": "ACTIVE",
        "desiredCount": 4,
        "runningCount": 4,
        "pendingCount": 0,
        "schedulingStrategy": "REPLICA",
        "deploymentController": {"type": "ECS"},
        "deploymentConfiguration": {
            "minimumHealthyPercent": 50,
            "maximumPercent": 200,
            "strategy": "ROLLING",
        },
        "deployments": [{"status": "PRIMARY", "failedTasks": 2}],
        "loadBalancers": [{"targetGroupArn": TARGETS}],
        "events": [],
        "tags": [],
    })
}

pub(crate) fn services(all: Vec<Value>) -> Value {
    json!({"services": all, "failures": []})
}

/// A deployment that ended so many minutes ago, or began then.
pub(crate) fn deployment(n: usize, status: &str, minutes: i64) -> Value {
    let mut deployment = json!({
        "serviceDeploymentArn": deployment_arn(n),
        "serviceArn": SERVICE,
        "clusterArn": CLUSTER,
        "status": status,
        "targetServiceRevisionArn": revision_arn(n),
        "createdAt": seconds_ago(minutes + 2),
        "startedAt": seconds_ago(minutes + 2),
    });
    if status == "SUCCESSFUL" {
        deployment["finishedAt"] = json!(seconds_ago(minutes));
    }
    deployment
}

pub(crate) fn deployments(all: Vec<Value>) -> Value {
    json!({"serviceDeployments": all})
}

/// The revision that a deployment of the same number brings.
pub(crate) fn revision(arn: &str) -> Value {
    let n = arn.rsplit('/').next().unwrap();
    json!({
        "serviceRevisionArn": arn,
        "serviceArn": SERVICE,
        "taskDefinition": definition_arn(n.parse().unwrap()),
        "containerImages": [{
            "containerName": "app",
            "image": "registry/web:latest",
            "imageDigest": format!("sha256:{n}"),
        }],
    })
}

/// A task that runs; the first is not well.
pub(crate) fn task(arn: &str) -> Value {
    json!({
        "taskArn": arn,
        "clusterArn": CLUSTER,
        "group": "service:web",
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "healthStatus": if arn.ends_with("/0") { "UNHEALTHY" } else { "HEALTHY" },
        "startedAt": seconds_ago(600),
        "containerInstanceArn": instance_arn(0),
        "containers": [{"name": "app"}],
    })
}

/// The scalable target of `web`.
pub(crate) fn scalable(min: u32, max: u32) -> Value {
    json!({"ScalableTargets": [{
        "ServiceNamespace": "ecs",
        "ResourceId": "service/shop/web",
        "ScalableDimension": "ecs:service:DesiredCount",
        "MinCapacity": min,
        "MaxCapacity": max,
        "RoleARN": "arn:aws:iam::123456789012:role/scaling",
        "CreationTime": 1_700_000_000,
    }]})
}

/// Targets of `DescribeTargetHealth`, in these states.
pub(crate) fn health(states: &[&str]) -> Answer {
    let targets = states.iter().enumerate().map(|(n, state)| {
        format!(
            "<member><Target><Id>10.0.0.{n}</Id><Port>80</Port></Target><TargetHealth>\
             <State>{state}</State></TargetHealth></member>"
        )
    });
    let targets: String = targets.collect();
    Answer::result(&format!(
        "<TargetHealthDescriptions>{targets}</TargetHealthDescriptions>"
    ))
}

/// A container instance.
pub(crate) fn instance(arn: &str) -> Value {
    let n = arn.rsplit("ci").next().unwrap();
    json!({
        "containerInstanceArn": arn,
        "ec2InstanceId": format!("i-{n}"),
        "status": "ACTIVE",
        "agentConnected": true,
        "runningTasksCount": 2,
        "tags": [],
    })
}

pub(crate) fn instances(all: Vec<Value>) -> Value {
    json!({"containerInstances": all, "failures": []})
}

/// The inside of an element, field by field.
pub(crate) type Fields = BTreeMap<&'static str, String>;

fn elements(fields: &Fields) -> String {
    let elements = fields.iter();
    let elements = elements.map(|(name, value)| format!("<{name}>{value}</{name}>"));
    elements.collect()
}

pub(crate) fn member_tag(key: &str, value: &str) -> String {
    format!("<member><Key>{key}</Key><Value>{value}</Value></member>")
}

/// The group `shop`: two instances, and room for no more.
pub(crate) fn group() -> Fields {
    let instance = |n: usize| {
        format!(
            "<member><InstanceId>i-{n}</InstanceId><LifecycleState>InService</LifecycleState>\
             <HealthStatus>Healthy</HealthStatus></member>"
        )
    };
    Fields::from([
        ("AutoScalingGroupName", "shop".to_owned()),
        ("AutoScalingGroupARN", GROUP.to_owned()),
        ("MinSize", "1".to_owned()),
        ("DesiredCapacity", "2".to_owned()),
        ("MaxSize", "2".to_owned()),
        ("Instances", (0..2).map(instance).collect()),
        ("Tags", member_tag("team", "shop")),
    ])
}

/// A page of `DescribeAutoScalingGroups`, with the token of the next.
pub(crate) fn groups(all: &[Fields], next: Option<&str>) -> Answer {
    let members = all.iter().map(elements);
    let members: String = members.map(|it| format!("<member>{it}</member>")).collect();
    let next = next.map(|next| format!("<NextToken>{next}</NextToken>"));
    let next = next.unwrap_or_default();
    Answer::result(&format!(
        "<AutoScalingGroups>{members}</AutoScalingGroups>{next}"
    ))
}

/// The capacity provider of the group.
pub(crate) fn providers(status: &str) -> Value {
    json!({"capacityProviders": [{
        "name": "shop",
        "status": "ACTIVE",
        "autoScalingGroupProvider": {
            "autoScalingGroupArn": GROUP,
            "managedScaling": {"status": status},
        },
    }], "failures": []})
}

/// The database `shop-db`, with 100 GiB.
pub(crate) fn database() -> Fields {
    Fields::from([
        ("DBInstanceIdentifier", "shop-db".to_owned()),
        ("DBInstanceArn", DATABASE.to_owned()),
        ("DbiResourceId", "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ".to_owned()),
        ("DBInstanceStatus", "available".to_owned()),
        ("DBInstanceClass", "db.t4g.medium".to_owned()),
        ("AllocatedStorage", "100".to_owned()),
        ("TagList", String::new()),
    ])
}

/// What `DescribeDBInstances` says of one.
pub(crate) fn databases(one: &Fields) -> Answer {
    let one = elements(one);
    Answer::result(&format!(
        "<DBInstances><DBInstance>{one}</DBInstance></DBInstances>"
    ))
}

/// Instances of `DescribeAutoScalingInstances`, each of the group `shop`.
fn members(request: &str) -> Answer {
    let all = (1..).map_while(|n| field(request, &format!("InstanceIds.member.{n}")));
    let all: String = all
        .map(|id| {
            format!(
                "<member><InstanceId>{id}</InstanceId><AutoScalingGroupName>shop\
                 </AutoScalingGroupName></member>"
            )
        })
        .collect();
    Answer::result(&format!(
        "<AutoScalingInstances>{all}</AutoScalingInstances>"
    ))
}

/// The account when this alarm has gone off.
pub(crate) fn account(bell: Bell) -> Scripted {
    of_cloudwatch(bell)
        .always("ecs:ListClusters", |_| json!({"clusterArns": [CLUSTER]}))
        .always("ecs:ListServices", |_| json!({"serviceArns": [SERVICE]}))
        .always("ecs:DescribeServices", |_| services(vec![service()]))
        // The last three weeks ago, and the one before that.
        .always("ecs:ListServiceDeployments", |_| {
            deployments(vec![
                deployment(1, "SUCCESSFUL", 60_000),
                deployment(2, "SUCCESSFUL", 30_000),
            ])
        })
        .always("ecs:DescribeServiceRevisions", |request| {
            let asked = asked(request, "serviceRevisionArns");
            let all: Vec<Value> = asked.iter().map(|arn| revision(arn)).collect();
            json!({"serviceRevisions": all, "failures": []})
        })
        .always("ecs:ListTasks", |request| {
            let runs = body(request)["desiredStatus"] == "RUNNING";
            let all = (0..if runs { 4 } else { 0 }).map(task_arn);
            json!({"taskArns": all.collect::<Vec<_>>()})
        })
        .always("ecs:DescribeTasks", |request| {
            let asked = asked(request, "tasks");
            let all: Vec<Value> = asked.iter().map(|arn| task(arn)).collect();
            json!({"tasks": all, "failures": []})
        })
        .always("elasticloadbalancing:DescribeTargetHealth", |_| {
            health(&["healthy"; 4])
        })
        .always("application-autoscaling:DescribeScalableTargets", |_| {
            scalable(2, 10)
        })
        .always("ecs:DescribeClusters", |_| {
            json!({"clusters": [{"clusterArn": CLUSTER, "capacityProviders": ["shop"]}],
                "failures": []})
        })
        .always("ecs:DescribeCapacityProviders", |_| providers("ENABLED"))
        .always("ecs:ListContainerInstances", |request| {
            let request = body(request);
            let all = match request["filter"].as_str() {
                _ if request["status"] == "DRAINING" => vec![],
                Some("ec2InstanceId == 'i-0'") => vec![instance_arn(0)],
                Some(_) => vec![],
                None => vec![instance_arn(0), instance_arn(1)],
            };
            json!({"containerInstanceArns": all})
        })
        .always("ecs:DescribeContainerInstances", |request| {
            let asked = asked(request, "containerInstances");
            instances(asked.iter().map(|arn| instance(arn)).collect())
        })
        .always("autoscaling:DescribeAutoScalingGroups", |_| {
            groups(&[group()], None)
        })
        .always("autoscaling:DescribeAutoScalingInstances", members)
        .always("rds:DescribeDBInstances", |_| databases(&database()))
        .always("rds:DescribeEvents", |_| Answer::result("<Events/>"))
        .always("application-autoscaling:RegisterScalableTarget", |_| {
            json!({})
        })
        .always("ecs:UpdateService", |_| json!({"service": {}}))
        .always(
            "ecs:StopServiceDeployment",
            |_| json!({"serviceDeploymentArn": deployment_arn(3)}),
        )
        .always("ecs:DescribeTaskDefinition", |_| definition())
        .always(
            "ecs:RegisterTaskDefinition",
            |_| json!({"taskDefinition": {"taskDefinitionArn": definition_arn(9)}}),
        )
        .always("ecs:StopTask", |_| json!({"task": {}}))
        .always("ecs:UpdateContainerInstancesState", |_| instances(vec![]))
        .always("autoscaling:UpdateAutoScalingGroup", |_| Answer::result(""))
        .always("autoscaling:SetInstanceHealth", |_| Answer::result(""))
        .always("rds:ModifyDBInstance", |_| Answer::result(""))
}

fn of_cloudwatch(bell: Bell) -> Scripted {
    Scripted::new()
        .always("cloudwatch:DescribeAlarms", move |_| {
            alarms(vec![alarm("it", bell)])
        })
        .always("cloudwatch:ListTagsForResource", |_| json!({"Tags": []}))
        .always(
            "cloudwatch:ListAlarmMuteRules",
            |_| json!({"AlarmMuteRuleSummaries": []}),
        )
        .always("cloudwatch:DescribeAlarmContributors", |_| {
            json!({"AlarmContributors": [{
                "ContributorId": "1",
                "ContributorAttributes": {"ClusterName": "shop", "ServiceName": "web"},
                "StateReason": "Threshold Crossed",
            }]})
        })
}

/// The task definition that ran before.
pub(crate) fn definition() -> Value {
    json!({
        "taskDefinition": {
            "taskDefinitionArn": definition_arn(1),
            "family": "web",
            "revision": 1,
            "status": "ACTIVE",
            "networkMode": "awsvpc",
            "taskRoleArn": "arn:aws:iam::123456789012:role/task",
            "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
            "requiresCompatibilities": ["EC2"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [{
                "name": "app",
                "image": "registry/web:latest",
                "cpu": 0,
                "essential": true,
                "environment": [{"name": "PORT", "value": "8080"}],
            }],
        },
        "tags": [
            {"key": "team", "value": "shop"},
            {"key": "steward:environment", "value": "dev"},
            {"key": "aws:cloudformation:stack-name", "value": "shop"},
        ],
    })
}

/// The same with a deployment that ended ten minutes ago.
pub(crate) fn just_deployed(bell: Bell) -> Scripted {
    account(bell).always("ecs:ListServiceDeployments", |_| {
        deployments(vec![
            deployment(1, "SUCCESSFUL", 60_000),
            deployment(2, "SUCCESSFUL", 10),
        ])
    })
}

/// The same with one that is under way since ten minutes.
pub(crate) fn deploying(bell: Bell) -> Scripted {
    account(bell).always("ecs:ListServiceDeployments", |_| {
        deployments(vec![
            deployment(2, "SUCCESSFUL", 30_000),
            deployment(3, "IN_PROGRESS", 8),
        ])
    })
}
