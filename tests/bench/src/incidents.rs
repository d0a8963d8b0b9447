//! The system of a scenario in which alarms go off: services, Auto Scaling groups with
//! instances, and databases, with one thing wrong with each. Pages and batches are those
//! of the API references; asking for more is an error, as there.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::aws::Answer;
use crate::cbor::time;
use crate::ecr;
use crate::ecs::{described, listing, number};
use crate::ledger::{self, Ledger};
use crate::rds::{self, Asked};
use crate::remediation::{INSTANCES, Remediation, Remedy, TASKS};
use crate::scenario::{ACCOUNT, REGION};

/// Events that ECS tells of each service, whether they are wanted or not.
const EVENTS: usize = 100;

pub(crate) struct Incidents {
    remediation: Remediation,
    /// The events of any service, as JSON.
    events: String,
    ledger: Ledger,
    /// What something was done to.
    treated: Mutex<BTreeSet<usize>>,
}

fn ecs_arn(rest: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{rest}")
}

fn cluster(n: usize) -> String {
    format!("cluster-{n:02}")
}

fn service(n: usize) -> String {
    format!("app-{n:04}")
}

fn group(n: usize) -> String {
    format!("group-{n:04}")
}

fn group_arn(n: usize) -> String {
    let name = group(n);
    format!(
        "arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:\
         930d940e-891e-4781-a11a-7b0acd480f03:autoScalingGroupName/{name}"
    )
}

/// The kth instance of the nth group.
fn instance(n: usize, k: usize) -> String {
    format!("i-{k:012x}-{n:04}")
}

fn target_group(n: usize) -> String {
    format!("targetgroup/app/6d0ecf83-{n:04}")
}

fn target_group_arn(n: usize) -> String {
    let name = target_group(n);
    format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{name}")
}

fn definition_arn(n: usize, revision: usize) -> String {
    ecs_arn(&format!("task-definition/app-{n:04}:{revision}"))
}

impl Incidents {
    pub(crate) fn of(remediation: &Remediation) -> Self {
        let event = |n: usize| {
            json!({
                "id": format!("2a1b3c4d-0000-4000-8000-{n:012x}"),
                "createdAt": remediation.ago(360).as_second(),
                "message": "(service app) has reached a steady state.",
            })
        };
        let events: Vec<Value> = (0..EVENTS).map(event).collect();
        Self {
            events: Value::from(events).to_string(),
            ledger: Ledger::of(cases(remediation).into_iter()),
            treated: Mutex::default(),
            remediation: remediation.clone(),
        }
    }

    fn treated(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.treated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of what alarms are about nothing was done to.
    pub(crate) fn untreated(&self) -> usize {
        self.remediation.alarms - self.treated().len()
    }

    fn cluster_of(&self, n: usize) -> usize {
        n % self.remediation.clusters
    }

    /// The numbers of what is in a cluster.
    fn all_in(&self, cluster: Option<usize>) -> impl Iterator<Item = usize> {
        let all = 0..self.remediation.alarms;
        all.filter(move |n| Some(self.cluster_of(*n)) == cluster)
    }

    /// Something was done to what this names.
    fn treat(&self, named: Option<&str>, answer: Answer) -> Answer {
        match named.and_then(number) {
            Some(n) if n < self.remediation.alarms => {
                self.treated().insert(n);
                answer
            }
            _ => Answer::error("ValidationException", "no such thing"),
        }
    }

    pub(crate) fn answer(
        &self,
        service: &str,
        operation: &str,
        asked: &Value,
        form: &Asked<'_>,
    ) -> Answer {
        match service {
            "CLOUDWATCH" => self.cloudwatch(operation, asked),
            "DYNAMODB" => self.ledger.answer(operation, asked),
            "ECS" => self.ecs(operation, asked),
            "APPLICATION_AUTO_SCALING" => self.scalable(operation, asked),
            "AUTO_SCALING" => self.auto_scaling(operation, form),
            "RDS" => self.rds(operation, form),
            "ELASTIC_LOAD_BALANCING_V2" => health(operation),
            _ => Answer::error("UnknownOperationException", operation),
        }
    }

    fn cloudwatch(&self, operation: &str, asked: &Value) -> Answer {
        match operation {
            "DescribeAlarms" => {
                let names = asked["AlarmNames"].as_array().cloned().unwrap_or_default();
                if names.len() > 100 || asked["MaxRecords"] != 100 {
                    return Answer::cbor_error("ValidationError");
                }
                let names = names.iter().filter_map(Value::as_str);
                let alarms: Vec<Value> = names.filter_map(number).map(|n| self.alarm(n)).collect();
                Answer::cbor(&json!({"MetricAlarms": alarms, "CompositeAlarms": []}))
            }
            "ListTagsForResource" => {
                Answer::cbor(&json!({"Tags": [{"Key": "team", "Value": "shop"}]}))
            }
            "ListAlarmMuteRules" => Answer::cbor(&json!({"AlarmMuteRuleSummaries": []})),
            _ => Answer::cbor_error("UnknownOperation"),
        }
    }

    /// An alarm, in alarm for six minutes.
    fn alarm(&self, n: usize) -> Value {
        let cluster = cluster(self.cluster_of(n));
        let of_target = || vec![("TargetGroup", target_group(n))];
        let (namespace, metric, dimensions) = match self.remediation.remedy {
            None | Some(Remedy::RaiseService) => (
                "AWS/ECS",
                "CPUUtilization",
                vec![("ClusterName", cluster), ("ServiceName", service(n))],
            ),
            Some(Remedy::StopDeployment | Remedy::ReplaceTasks) => {
                ("AWS/ApplicationELB", "UnHealthyHostCount", of_target())
            }
            Some(Remedy::RollBack) => (
                "AWS/ApplicationELB",
                "HTTPCode_Target_5XX_Count",
                of_target(),
            ),
            Some(Remedy::RaiseGroup) => {
                ("AWS/ECS", "CPUReservation", vec![("ClusterName", cluster)])
            }
            Some(Remedy::ReplaceInstance) => (
                "AWS/EC2",
                "StatusCheckFailed",
                vec![("InstanceId", instance(n, 0))],
            ),
            Some(Remedy::GrowStorage) => (
                "AWS/RDS",
                "FreeStorageSpace",
                vec![("DBInstanceIdentifier", format!("shop-{n:04}"))],
            ),
        };
        let dimensions = dimensions.iter();
        let dimensions: Vec<Value> = dimensions
            .map(|(name, value)| json!({"Name": name, "Value": value}))
            .collect();
        json!({
            "AlarmName": Remediation::alarm_name(n),
            "AlarmArn": Remediation::alarm_arn(n),
            "AlarmDescription": "An alarm of the bench.",
            "AlarmConfigurationUpdatedTimestamp": time(self.remediation.ago(90_000).as_second()),
            "ActionsEnabled": true,
            "OKActions": [],
            "AlarmActions": [format!("arn:aws:sns:{REGION}:{ACCOUNT}:on-call")],
            "InsufficientDataActions": [],
            "StateValue": "ALARM",
            "StateReason": "Threshold Crossed: 3 out of the last 3 datapoints were greater \
                            than the threshold (80.0).",
            "StateUpdatedTimestamp": time(self.remediation.ago(6).as_second()),
            "StateTransitionedTimestamp": time(self.remediation.ago(6).as_second()),
            "MetricName": metric,
            "Namespace": namespace,
            "Statistic": "Average",
            "Dimensions": dimensions,
            "Period": 60,
            "EvaluationPeriods": 3,
            "Threshold": 80.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "missing",
        })
    }

    fn ecs(&self, operation: &str, asked: &Value) -> Answer {
        let text = |key: &str| asked[key].as_str();
        let within = text("cluster").and_then(number);
        match operation {
            "ListClusters" => {
                let all = 0..self.remediation.clusters;
                let arns = all.map(|n| ecs_arn(&format!("cluster/{}", cluster(n))));
                listing("clusterArns", arns.collect(), asked)
            }
            "ListServices" => {
                let arns = self.all_in(within).map(|n| self.service_arn(n));
                listing("serviceArns", arns.collect(), asked)
            }
            "DescribeServices" => self.describe_services(asked),
            "ListServiceDeployments" => match text("service").and_then(number) {
                Some(n) => Answer::json(&json!({"serviceDeployments": self.deployments(n)})),
                None => Answer::error("ServiceNotFoundException", "no such service"),
            },
            "DescribeServiceRevisions" => {
                let asked = json!({"serviceRevisions": asked["serviceRevisionArns"]});
                described("serviceRevisions", &asked, 20, revision)
            }
            "ListTasks" => {
                let tasks = match text("desiredStatus") {
                    Some("STOPPED") => 0,
                    _ => TASKS,
                };
                let n = text("serviceName").and_then(number).unwrap_or_default();
                let cluster = cluster(self.cluster_of(n));
                let arns = (0..tasks).map(|k| ecs_arn(&format!("task/{cluster}/{k:028x}-{n:04}")));
                listing("taskArns", arns.collect(), asked)
            }
            "DescribeTasks" => described("tasks", asked, 100, |arn| self.task(arn)),
            "DescribeClusters" => described("clusters", asked, 100, |name| {
                let providers = self
                    .all_in(number(name))
                    .map(|n| format!("provider-{n:04}"));
                Some(json!({
                    "clusterArn": ecs_arn(&format!("cluster/{name}")),
                    "clusterName": name,
                    "status": "ACTIVE",
                    "capacityProviders": providers.collect::<Vec<_>>(),
                }))
            }),
            "DescribeCapacityProviders" => self.capacity_providers(asked),
            "ListContainerInstances" => {
                let on = text("filter").and_then(|it| it.split('\'').nth(1));
                let drains = text("status") == Some("DRAINING");
                let all = self.all_in(within).filter(|_| !drains);
                let all = all.flat_map(|n| (0..INSTANCES).map(move |k| instance(n, k)));
                let of = all.filter(|id| on.is_none_or(|on| on == id));
                let arns = of.map(|id| ecs_arn(&format!("container-instance/{id}")));
                listing("containerInstanceArns", arns.collect(), asked)
            }
            "DescribeContainerInstances" => described("containerInstances", asked, 100, |arn| {
                Some(json!({
                    "containerInstanceArn": arn,
                    "ec2InstanceId": arn.rsplit('/').next(),
                    "status": "ACTIVE",
                    "agentConnected": true,
                    "runningTasksCount": 3,
                    "tags": [],
                }))
            }),
            "UpdateService" | "StopTask" | "StopServiceDeployment" => {
                let named = ["service", "task", "serviceDeploymentArn"];
                let named = named.iter().find_map(|key| text(key));
                self.treat(named, Answer::json(&json!({})))
            }
            "UpdateContainerInstancesState" => {
                let named = asked["containerInstances"][0].as_str();
                let answer = json!({"containerInstances": [], "failures": []});
                self.treat(named, Answer::json(&answer))
            }
            "DescribeTaskDefinition" => definition(text("taskDefinition").unwrap_or_default()),
            "RegisterTaskDefinition" => {
                let n = text("family").and_then(number).unwrap_or_default();
                let arn = definition_arn(n, 8);
                Answer::json(&json!({"taskDefinition": {"taskDefinitionArn": arn}}))
            }
            _ => Answer::error("UnknownOperationException", operation),
        }
    }

    fn service_arn(&self, n: usize) -> String {
        let cluster = cluster(self.cluster_of(n));
        ecs_arn(&format!("service/{cluster}/{}", service(n)))
    }

    /// Written as text, because events are most of it.
    fn describe_services(&self, asked: &Value) -> Answer {
        let names = asked["services"].as_array().cloned().unwrap_or_default();
        if names.len() > 10 {
            return Answer::error("InvalidParameterException", "too many services at once");
        }
        let numbers = names.iter().filter_map(Value::as_str).filter_map(number);
        let all: Vec<String> = numbers
            .map(|n| {
                let told = self.service(n).to_string();
                let told = told.strip_suffix('}').unwrap_or(&told);
                format!("{told},\"events\":{}}}", self.events)
            })
            .collect();
        let all = all.join(",");
        Answer::body(format!("{{\"services\":[{all}],\"failures\":[]}}"))
    }

    fn service(&self, n: usize) -> Value {
        let definition = definition_arn(n, 7);
        let created = self.remediation.ago(14_400).as_second();
        json!({
            "serviceArn": self.service_arn(n),
            "serviceName": service(n),
            "clusterArn": ecs_arn(&format!("cluster/{}", cluster(self.cluster_of(n)))),
            "status": "ACTIVE",
            "desiredCount": TASKS,
            "runningCount": TASKS,
            "pendingCount": 0,
            "launchType": "EC2",
            "schedulingStrategy": "REPLICA",
            "taskDefinition": definition,
            "loadBalancers": [{
                "targetGroupArn": target_group_arn(n),
                "containerName": "app",
                "containerPort": 8080,
            }],
            "deploymentController": {"type": "ECS"},
            "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 50},
            "deployments": [{
                "id": format!("ecs-svc/{n:019}"),
                "status": "PRIMARY",
                "taskDefinition": definition,
                "desiredCount": TASKS,
                "runningCount": TASKS,
                "pendingCount": 0,
                "rolloutState": "COMPLETED",
                "createdAt": created,
                "updatedAt": created,
            }],
            "createdAt": created,
            "tags": [{"key": "steward:environment", "value": "dev"}],
        })
    }

    /// Two that ended long ago; and where one is to be blamed, one that did not.
    fn deployments(&self, n: usize) -> Vec<Value> {
        let now = &self.remediation;
        let deployment = |number: usize, status: &str, minutes: i64| {
            let mut deployment = json!({
                "serviceDeploymentArn":
                    ecs_arn(&format!("service-deployment/{number}/app-{n:04}")),
                "serviceArn": self.service_arn(n),
                "clusterArn": ecs_arn(&format!("cluster/{}", cluster(self.cluster_of(n)))),
                "status": status,
                "createdAt": now.ago(minutes + 2).as_second(),
                "startedAt": now.ago(minutes + 2).as_second(),
                "targetServiceRevisionArn":
                    ecs_arn(&format!("service-revision/{number}/app-{n:04}")),
            });
            if status == "SUCCESSFUL" {
                deployment["finishedAt"] = json!(now.ago(minutes).as_second());
            }
            deployment
        };
        let last = match now.remedy {
            Some(Remedy::StopDeployment) => deployment(7, "IN_PROGRESS", 8),
            Some(Remedy::RollBack) => deployment(7, "SUCCESSFUL", 10),
            _ => deployment(7, "SUCCESSFUL", 14_400),
        };
        vec![last, deployment(6, "SUCCESSFUL", 28_800)]
    }

    /// Where tasks are to be replaced the first of each service is not well.
    fn task(&self, arn: &str) -> Option<Value> {
        let is_first = arn.contains(&format!("/{:028x}-", 0));
        let is_unwell = is_first && self.remediation.remedy == Some(Remedy::ReplaceTasks);
        let n = number(arn)?;
        Some(json!({
            "taskArn": arn,
            "clusterArn": ecs_arn(&format!("cluster/{}", cluster(self.cluster_of(n)))),
            "taskDefinitionArn": definition_arn(n, 7),
            "group": format!("service:{}", service(n)),
            "lastStatus": "RUNNING",
            "desiredStatus": "RUNNING",
            "healthStatus": if is_unwell { "UNHEALTHY" } else { "HEALTHY" },
            "launchType": "EC2",
            "createdAt": self.remediation.ago(14_400).as_second(),
            "startedAt": self.remediation.ago(14_400).as_second(),
            "containers": [{
                "name": "app",
                "lastStatus": "RUNNING",
                "networkBindings": [{"containerPort": 8080, "hostPort": 32_768}],
            }],
        }))
    }

    fn capacity_providers(&self, asked: &Value) -> Answer {
        let size = match ecr::page_size(asked, 10) {
            Ok(size) => size,
            Err(answer) => return answer,
        };
        let from = ecr::offset(asked);
        let wanted = asked["capacityProviders"].as_array();
        let all = 0..self.remediation.alarms;
        let all = all.filter(|n| {
            let name = json!(format!("provider-{n:04}"));
            wanted.is_none_or(|wanted| wanted.contains(&name))
        });
        let mut rest = all.skip(from);
        let page = rest.by_ref().take(size).map(|n| {
            json!({
                "name": format!("provider-{n:04}"),
                "status": "ACTIVE",
                "autoScalingGroupProvider": {
                    "autoScalingGroupArn": group_arn(n),
                    "managedScaling": {"status": "ENABLED", "targetCapacity": 100},
                },
            })
        });
        let page: Vec<Value> = page.collect();
        let mut answer = json!({"capacityProviders": page, "failures": []});
        if rest.next().is_some() {
            answer["nextToken"] = json!((from + size).to_string());
        }
        Answer::json(&answer)
    }

    fn scalable(&self, operation: &str, asked: &Value) -> Answer {
        match operation {
            "DescribeScalableTargets" => {
                let ids = asked["ResourceIds"].as_array().cloned().unwrap_or_default();
                if ids.len() > 50 {
                    return Answer::error("ValidationException", "too many ids at once");
                }
                let targets = ids.iter().map(|id| {
                    json!({
                        "ServiceNamespace": "ecs",
                        "ResourceId": id,
                        "ScalableDimension": "ecs:service:DesiredCount",
                        "MinCapacity": 2,
                        "MaxCapacity": 10,
                        "RoleARN": format!("arn:aws:iam::{ACCOUNT}:role/scaling"),
                        "CreationTime": 1_700_000_000,
                    })
                });
                Answer::json(&json!({"ScalableTargets": targets.collect::<Vec<_>>()}))
            }
            "RegisterScalableTarget" => {
                self.treat(asked["ResourceId"].as_str(), Answer::json(&json!({})))
            }
            _ => Answer::error("UnknownOperationException", operation),
        }
    }

    fn auto_scaling(&self, operation: &str, asked: &Asked<'_>) -> Answer {
        let named = |list: &str| -> Vec<String> {
            let member = |n: usize| asked.get(&format!("{list}.member.{n}"));
            (1..).map_while(member).map(str::to_owned).collect()
        };
        match operation {
            "DescribeAutoScalingGroups" => {
                let names = named("AutoScalingGroupNames");
                if names.is_empty() || names.len() > 50 {
                    return rds::error("ValidationError", "none, or too many groups at once");
                }
                let all: String = names
                    .iter()
                    .filter_map(|it| number(it))
                    .map(group_xml)
                    .collect();
                rds::result(
                    operation,
                    &format!("<AutoScalingGroups>{all}</AutoScalingGroups>"),
                )
            }
            "DescribeAutoScalingInstances" => {
                let mut all = String::new();
                for id in named("InstanceIds") {
                    let of = number(&id).map(group).unwrap_or_default();
                    let _ = write!(
                        all,
                        "<member><InstanceId>{id}</InstanceId><AutoScalingGroupName>{of}\
                         </AutoScalingGroupName><LifecycleState>InService</LifecycleState>\
                         <HealthStatus>HEALTHY</HealthStatus></member>"
                    );
                }
                rds::result(
                    operation,
                    &format!("<AutoScalingInstances>{all}</AutoScalingInstances>"),
                )
            }
            "UpdateAutoScalingGroup" => {
                let named = asked.get("AutoScalingGroupName");
                self.treat(named, rds::result(operation, ""))
            }
            _ => rds::error("InvalidAction", operation),
        }
    }

    fn rds(&self, operation: &str, asked: &Asked<'_>) -> Answer {
        let named = asked.get("DBInstanceIdentifier");
        match operation {
            "DescribeDBInstances" => match named.and_then(number) {
                Some(n) => {
                    let told = rds::instance(&rds::Instance {
                        name: format!("shop-{n:04}"),
                        resource_id: format!("db-BENCH{n:021}"),
                        group: "shop",
                        status: "available",
                        is_multi_az: false,
                        tags: &[("team", "shop")],
                    });
                    rds::result(operation, &format!("<DBInstances>{told}</DBInstances>"))
                }
                None => rds::error("DBInstanceNotFound", "no such database"),
            },
            "DescribeEvents" => rds::result(operation, "<Events/>"),
            "ModifyDBInstance" => self.treat(named, rds::result(operation, "<DBInstance/>")),
            _ => rds::error("InvalidAction", operation),
        }
    }
}

fn revision(arn: &str) -> Option<Value> {
    let n = number(arn)?;
    let revision = arn.split('/').nth(1)?.parse().ok()?;
    Some(json!({
        "serviceRevisionArn": arn,
        "taskDefinition": definition_arn(n, revision),
        "containerImages": [{
            "containerName": "app",
            "image": format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/app:v{revision}"),
            "imageDigest": format!("sha256:{revision:064x}"),
        }],
    }))
}

fn definition(arn: &str) -> Answer {
    let family = arn.rsplit('/').next().and_then(|it| it.split(':').next());
    Answer::json(&json!({"taskDefinition": {
        "taskDefinitionArn": arn,
        "family": family,
        "revision": 6,
        "status": "ACTIVE",
        "containerDefinitions": [{
            "name": "app",
            "image": format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/app:v6"),
            "cpu": 256,
            "memory": 512,
            "essential": true,
            "environment": [{"name": "PORT", "value": "8080"}],
        }],
    }, "tags": []}))
}

/// Every target is healthy.
fn health(operation: &str) -> Answer {
    let mut all = String::new();
    for n in 0..TASKS {
        let _ = write!(
            all,
            "<member><Target><Id>10.0.0.{n}</Id><Port>8080</Port></Target>\
             <HealthCheckPort>8080</HealthCheckPort><TargetHealth><State>healthy</State>\
             </TargetHealth></member>"
        );
    }
    let all = format!("<TargetHealthDescriptions>{all}</TargetHealthDescriptions>");
    rds::result(operation, &all)
}

/// A group that is as large as it may be.
fn group_xml(n: usize) -> String {
    let (name, arn) = (group(n), group_arn(n));
    let mut instances = String::new();
    for k in 0..INSTANCES {
        let id = instance(n, k);
        let _ = write!(
            instances,
            "<member><InstanceId>{id}</InstanceId><InstanceType>m7g.large</InstanceType>\
             <AvailabilityZone>{REGION}a</AvailabilityZone><LifecycleState>InService\
             </LifecycleState><HealthStatus>Healthy</HealthStatus>\
             <ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
        );
    }
    format!(
        "<member><AutoScalingGroupName>{name}</AutoScalingGroupName>\
         <AutoScalingGroupARN>{arn}</AutoScalingGroupARN><MinSize>1</MinSize>\
         <MaxSize>{INSTANCES}</MaxSize><DesiredCapacity>{INSTANCES}</DesiredCapacity>\
         <DefaultCooldown>300</DefaultCooldown><HealthCheckType>EC2</HealthCheckType>\
         <Instances>{instances}</Instances><CreatedTime>2025-01-01T00:00:00.000Z</CreatedTime>\
         <Tags><member><Key>team</Key><Value>shop</Value></member></Tags></member>"
    )
}

/// The open cases at the beginning, of each of which a person was told.
fn cases(remediation: &Remediation) -> Vec<((String, String), Value)> {
    if remediation.remedy.is_some() {
        return vec![];
    }
    let since = remediation.ago(6).to_string();
    let case = |n: usize| {
        let of = cluster(n % remediation.clusters);
        let target = format!("service:{of}/{}", service(n));
        let line = |what: &str| json!({"at": since, "what": what});
        let body = json!({
            "source": {"alarm": Remediation::alarm_arn(n)},
            "name": Remediation::alarm_name(n),
            "unit": target,
            "concerns": [{"target": target, "symptom": "busy"}],
            "opened": since,
            "since": since,
            "stage": "open",
            "told": ["notify_only"],
            "proposed": null,
            "tried": [],
            "raised": [],
            "log": [
                line("opened: Threshold Crossed: 3 out of the last 3 datapoints were greater"),
                line("told: This could be done, and the policy does not name it: more tasks"),
            ],
        });
        let sort = format!("case#{}", Remediation::alarm_arn(n));
        ledger::entry("alarm-remediation", &sort, &body)
    };
    (0..remediation.alarms).map(case).collect()
}
