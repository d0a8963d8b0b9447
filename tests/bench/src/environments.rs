//! The environments of a scenario: services, Auto Scaling groups and databases that
//! are stopped and started, and come to what they are asked for before anybody looks
//! again. Pages and batches are those of the API references; asking for more is an
//! error, as there.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::aws::Answer;
use crate::ecr;
use crate::ecs::{described, listing, number};
use crate::ledger::{self, Ledger};
use crate::rds::{self, Asked};
use crate::scaling::{BALANCED, DATABASES, GROUPS, INSTANCES, MANAGED, SCALED, SERVICES, Scaling};
use crate::scenario::{ACCOUNT, REGION};

/// The most groups of a page.
const GROUPS_OF_A_PAGE: usize = 100;

/// Events that ECS tells of each service, whether they are wanted or not.
const EVENTS: usize = 100;

const PARTITION: &str = "scheduled-scaling";

/// By day.
const TASKS: u64 = 3;
const MOST_TASKS: u64 = 6;

pub(crate) struct Environments {
    scaling: Scaling,
    /// The events of any service, as JSON.
    events: String,
    state: Mutex<State>,
    ledger: Ledger,
}

struct State {
    services: Vec<Service>,
    groups: Vec<Group>,
    databases: Vec<Database>,
}

#[derive(Clone)]
struct Service {
    desired: u64,
    bounds: Option<Bounds>,
    mark: Option<String>,
}

#[derive(Clone)]
struct Bounds {
    min: u64,
    max: u64,
    is_suspended: bool,
}

#[derive(Clone)]
struct Group {
    min: usize,
    desired: usize,
    mark: Option<String>,
}

#[derive(Clone)]
struct Database {
    status: &'static str,
    mark: Option<String>,
}

fn cluster_arn(cluster: usize) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/cluster-{cluster:02}")
}

fn group_name(group: usize) -> String {
    format!("group-{group:04}")
}

fn group_arn(group: usize) -> String {
    let name = group_name(group);
    format!(
        "arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:\
         930d940e-891e-4781-a11a-7b0acd480f03:autoScalingGroupName/{name}"
    )
}

fn provider(group: usize) -> String {
    format!("provider-{group:04}")
}

fn is_managed(group: usize) -> bool {
    group % GROUPS < MANAGED
}

fn instance_id(group: usize, n: usize) -> String {
    format!("i-0{group:08x}{n:08x}")
}

fn database_name(database: usize) -> String {
    format!("shop-{database:04}")
}

fn database_arn(database: usize) -> String {
    let name = database_name(database);
    format!("arn:aws:rds:{REGION}:{ACCOUNT}:db:{name}")
}

fn target_group(service: usize) -> String {
    format!(
        "arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/app-{service:04}/\
         6d0ecf831eec9f09"
    )
}

impl Environments {
    pub(crate) fn of(scaling: &Scaling) -> Self {
        let sleeps = scaling.is_asleep();
        let mark = |sizes: &str| sleeps.then(|| format!("{}{sizes}", scaling.last()));
        let service = |n: usize| {
            let is_scaled = n % SERVICES < SCALED;
            let bounds = |min, max| Bounds {
                min,
                max,
                is_suspended: sleeps,
            };
            Service {
                desired: if sleeps { 0 } else { TASKS },
                bounds: is_scaled.then(|| match sleeps {
                    true => bounds(0, 0),
                    false => bounds(1, MOST_TASKS),
                }),
                mark: mark(" desired=3"),
            }
        };
        let instances = if sleeps { 0 } else { INSTANCES };
        let group = Group {
            min: instances,
            desired: instances,
            mark: mark(" desired=2 min=2 max=4"),
        };
        let database = Database {
            status: if sleeps { "stopped" } else { "available" },
            mark: mark(""),
        };
        let event = |n: usize| {
            json!({
                "id": format!("2a1b3c4d-0000-4000-8000-{n:012x}"),
                "createdAt": scaling.now.as_second() - 21_600,
                "message": "(service app) has reached a steady state.",
            })
        };
        let events: Vec<Value> = (0..EVENTS).map(event).collect();
        Self {
            events: Value::from(events).to_string(),
            state: Mutex::new(State {
                services: (0..scaling.services()).map(service).collect(),
                groups: vec![group; scaling.groups()],
                databases: vec![database; scaling.databases()],
            }),
            ledger: Ledger::of(remembered(scaling).into_iter()),
            scaling: scaling.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of services, groups and databases are awake.
    pub(crate) fn awake(&self) -> usize {
        let state = self.state();
        let services = state.services.iter().filter(|it| it.desired > 0);
        let groups = state.groups.iter().filter(|it| it.desired > 0);
        let databases = state.databases.iter();
        let databases = databases.filter(|it| it.status == "available");
        services.count() + groups.count() + databases.count()
    }

    pub(crate) fn answer(
        &self,
        service: &str,
        operation: &str,
        asked: &Value,
        form: &Asked<'_>,
    ) -> Answer {
        match service {
            "DYNAMODB" => self.ledger.answer(operation, asked),
            "ECS" => self.ecs(operation, asked),
            "APPLICATION_AUTO_SCALING" => self.scalable(operation, asked),
            "AUTO_SCALING" => self.auto_scaling(operation, form),
            "RDS" => self.rds(operation, form),
            "ELASTIC_LOAD_BALANCING_V2" => self.health(operation, form),
            _ => Answer::error("UnknownOperationException", operation),
        }
    }

    fn cluster_of(&self, environment: usize) -> usize {
        environment % self.scaling.clusters
    }

    fn service_id(&self, service: usize) -> String {
        let cluster = self.cluster_of(service / SERVICES);
        format!("cluster-{cluster:02}/app-{service:04}")
    }

    fn service_arn(&self, service: usize) -> String {
        let id = self.service_id(service);
        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/{id}")
    }

    /// The managed groups of a cluster.
    fn managed_in(&self, cluster: usize) -> impl Iterator<Item = usize> {
        let groups = 0..self.scaling.groups();
        groups.filter(move |n| is_managed(*n) && self.cluster_of(n / GROUPS) == cluster)
    }

    fn ecs(&self, operation: &str, asked: &Value) -> Answer {
        let cluster = asked["cluster"].as_str().and_then(number);
        match operation {
            "ListClusters" => {
                let arns = (0..self.scaling.clusters).map(cluster_arn).collect();
                listing("clusterArns", arns, asked)
            }
            "ListServices" => {
                let all = 0..self.scaling.services();
                let of = all.filter(|n| Some(self.cluster_of(n / SERVICES)) == cluster);
                listing(
                    "serviceArns",
                    of.map(|n| self.service_arn(n)).collect(),
                    asked,
                )
            }
            "DescribeServices" => self.describe_services(asked),
            "DescribeClusters" => described("clusters", asked, 100, |arn| {
                let providers = self.managed_in(number(arn)?).map(provider);
                Some(json!({
                    "clusterArn": arn,
                    "clusterName": arn.rsplit('/').next(),
                    "status": "ACTIVE",
                    "capacityProviders": providers.collect::<Vec<_>>(),
                }))
            }),
            "DescribeCapacityProviders" => self.capacity_providers(asked),
            "ListContainerInstances" => {
                let cluster = cluster.unwrap_or(usize::MAX);
                let state = self.state();
                let mut arns = Vec::new();
                for group in self.managed_in(cluster) {
                    let running = state.groups.get(group).map_or(0, |it| it.desired);
                    arns.extend((0..running).map(|n| {
                        let id = instance_id(group, n);
                        format!(
                            "arn:aws:ecs:{REGION}:{ACCOUNT}:container-instance/\
                             cluster-{cluster:02}/{id}"
                        )
                    }));
                }
                listing("containerInstanceArns", arns, asked)
            }
            "DescribeContainerInstances" => described("containerInstances", asked, 100, |arn| {
                Some(json!({
                    "containerInstanceArn": arn,
                    "ec2InstanceId": arn.rsplit('/').next(),
                    "status": "ACTIVE",
                    "agentConnected": true,
                    "runningTasksCount": 3,
                }))
            }),
            "UpdateService" => {
                let service = asked["service"].as_str().and_then(number);
                let mut state = self.state();
                match service.and_then(|n| state.services.get_mut(n)) {
                    Some(service) => {
                        let desired = asked["desiredCount"].as_u64();
                        service.desired = desired.unwrap_or(service.desired);
                        Answer::json(&json!({"service": {}}))
                    }
                    None => Answer::error("ServiceNotFoundException", "no such service"),
                }
            }
            "TagResource" | "UntagResource" => {
                let service = asked["resourceArn"].as_str().and_then(number);
                let mut state = self.state();
                match service.and_then(|n| state.services.get_mut(n)) {
                    Some(service) => {
                        let value = asked["tags"][0]["value"].as_str();
                        service.mark = value.map(str::to_owned);
                        Answer::json(&json!({}))
                    }
                    None => Answer::error("InvalidParameterException", "no such service"),
                }
            }
            _ => Answer::error("UnknownOperationException", operation),
        }
    }

    /// Written as text, because events are most of it.
    fn describe_services(&self, asked: &Value) -> Answer {
        let names = asked["services"].as_array().cloned().unwrap_or_default();
        if names.len() > 10 {
            return Answer::error("InvalidParameterException", "too many services at once");
        }
        let state = self.state();
        let numbers = names.iter().filter_map(Value::as_str).filter_map(number);
        let mut all = Vec::new();
        for n in numbers {
            if let Some(service) = state.services.get(n) {
                let told = self.service(n, service).to_string();
                let told = told.strip_suffix('}').unwrap_or(&told);
                all.push(format!("{told},\"events\":{}}}", self.events));
            }
        }
        if all.len() < names.len() {
            return Answer::error("InvalidParameterException", "no such service");
        }
        let all = all.join(",");
        Answer::body(format!("{{\"services\":[{all}],\"failures\":[]}}"))
    }

    fn service(&self, n: usize, service: &Service) -> Value {
        let environment = Scaling::environment(n / SERVICES);
        let mut tags = vec![
            json!({"key": "steward:environment", "value": environment}),
            json!({"key": "team", "value": "shop"}),
        ];
        tags.extend(
            service
                .mark
                .iter()
                .map(|mark| json!({"key": "steward:parked", "value": mark})),
        );
        let balancers = match n % SERVICES < BALANCED {
            true => json!([{
                "targetGroupArn": target_group(n),
                "containerName": "app",
                "containerPort": 8080,
            }]),
            false => json!([]),
        };
        let definition = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/app-{n:04}:7");
        let created = self.scaling.now.as_second() - 864_000;
        json!({
            "serviceArn": self.service_arn(n),
            "serviceName": format!("app-{n:04}"),
            "clusterArn": cluster_arn(self.cluster_of(n / SERVICES)),
            "status": "ACTIVE",
            "desiredCount": service.desired,
            "runningCount": service.desired,
            "pendingCount": 0,
            "launchType": "EC2",
            "schedulingStrategy": "REPLICA",
            "taskDefinition": definition,
            "loadBalancers": balancers,
            "deploymentController": {"type": "ECS"},
            "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100},
            "deployments": [{
                "id": format!("ecs-svc/{n:019}"),
                "status": "PRIMARY",
                "taskDefinition": definition,
                "desiredCount": service.desired,
                "runningCount": service.desired,
                "pendingCount": 0,
                "rolloutState": "COMPLETED",
                "rolloutStateReason": "ECS deployment completed.",
                "createdAt": created,
                "updatedAt": created,
            }],
            "placementConstraints": [],
            "placementStrategy": [{"type": "spread", "field": "attribute:ecs.availability-zone"}],
            "createdAt": created,
            "tags": tags,
        })
    }

    fn capacity_providers(&self, asked: &Value) -> Answer {
        let size = match ecr::page_size(asked, 10) {
            Ok(size) => size,
            Err(answer) => return answer,
        };
        let from = ecr::offset(asked);
        let all = (0..self.scaling.groups()).filter(|n| is_managed(*n));
        let mut rest = all.skip(from);
        let page: Vec<Value> = rest
            .by_ref()
            .take(size)
            .map(|group| {
                let name = provider(group);
                json!({
                    "capacityProviderArn":
                        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:capacity-provider/{name}"),
                    "name": name,
                    "status": "ACTIVE",
                    "autoScalingGroupProvider": {
                        "autoScalingGroupArn": group_arn(group),
                        "managedScaling": {"status": "ENABLED", "targetCapacity": 100},
                        "managedTerminationProtection": "ENABLED",
                    },
                })
            })
            .collect();
        let mut answer = json!({"capacityProviders": page, "failures": []});
        if rest.next().is_some() {
            answer["nextToken"] = json!((from + size).to_string());
        }
        Answer::json(&answer)
    }

    fn scalable(&self, operation: &str, asked: &Value) -> Answer {
        let mut state = self.state();
        match operation {
            "DescribeScalableTargets" => {
                let ids = asked["ResourceIds"].as_array().cloned().unwrap_or_default();
                if ids.len() > 50 {
                    return Answer::error("ValidationException", "too many ids at once");
                }
                let targets = ids.iter().filter_map(|id| {
                    let service = state.services.get(number(id.as_str()?)?)?;
                    let bounds = service.bounds.as_ref()?;
                    let is = bounds.is_suspended;
                    Some(json!({
                        "ServiceNamespace": "ecs",
                        "ResourceId": id,
                        "ScalableDimension": "ecs:service:DesiredCount",
                        "MinCapacity": bounds.min,
                        "MaxCapacity": bounds.max,
                        "RoleARN": format!("arn:aws:iam::{ACCOUNT}:role/scaling"),
                        "CreationTime": 1_700_000_000,
                        "SuspendedState": {
                            "DynamicScalingInSuspended": is,
                            "DynamicScalingOutSuspended": is,
                            "ScheduledScalingSuspended": is,
                        },
                    }))
                });
                Answer::json(&json!({"ScalableTargets": targets.collect::<Vec<_>>()}))
            }
            "RegisterScalableTarget" => {
                let service = asked["ResourceId"].as_str().and_then(number);
                let service = service.and_then(|n| state.services.get_mut(n));
                let Some(bounds) = service.and_then(|it| it.bounds.as_mut()) else {
                    return Answer::error("ObjectNotFoundException", "no such target");
                };
                bounds.min = asked["MinCapacity"].as_u64().unwrap_or(bounds.min);
                bounds.max = asked["MaxCapacity"].as_u64().unwrap_or(bounds.max);
                let suspended = &asked["SuspendedState"]["ScheduledScalingSuspended"];
                bounds.is_suspended = suspended.as_bool().unwrap_or(bounds.is_suspended);
                Answer::json(&json!({}))
            }
            _ => Answer::error("UnknownOperationException", operation),
        }
    }

    fn auto_scaling(&self, operation: &str, asked: &Asked<'_>) -> Answer {
        let mut state = self.state();
        let of = |key: &str| asked.get(key).and_then(number);
        match operation {
            "DescribeAutoScalingGroups" => {
                let token = asked.get("NextToken").and_then(|token| token.parse().ok());
                let (from, size) = match of("AutoScalingGroupNames.member.1") {
                    Some(group) => (group, 1),
                    None if asked.get("MaxRecords") != Some("100") => {
                        return rds::error("ValidationError", "MaxRecords is not the most, 100");
                    }
                    None => (token.unwrap_or(0), GROUPS_OF_A_PAGE),
                };
                let page = state.groups.iter().enumerate().skip(from).take(size);
                let page: String = page.map(|(n, group)| group_xml(n, group)).collect();
                let next = match size > 1 && from + size < state.groups.len() {
                    true => format!("<NextToken>{}</NextToken>", from + size),
                    false => String::new(),
                };
                rds::result(
                    operation,
                    &format!("<AutoScalingGroups>{page}</AutoScalingGroups>{next}"),
                )
            }
            "UpdateAutoScalingGroup" => {
                let group = of("AutoScalingGroupName");
                let Some((n, group)) = group.and_then(|n| Some((n, state.groups.get_mut(n)?)))
                else {
                    return rds::error("ValidationError", "no such group");
                };
                let number = |key: &str| asked.get(key).and_then(|size| size.parse().ok());
                group.min = number("MinSize").unwrap_or(group.min);
                group.desired = match number("DesiredCapacity") {
                    Some(desired) => desired,
                    // Its capacity provider follows the tasks, of which there are none, or
                    // enough.
                    None if is_managed(n) => group.min,
                    None => group.desired.max(group.min),
                };
                rds::result(operation, "")
            }
            "CreateOrUpdateTags" | "DeleteTags" => {
                let group = of("Tags.member.1.ResourceId");
                let Some(group) = group.and_then(|n| state.groups.get_mut(n)) else {
                    return rds::error("ValidationError", "no such group");
                };
                group.mark = asked.get("Tags.member.1.Value").map(str::to_owned);
                rds::result(operation, "")
            }
            _ => rds::error("InvalidAction", operation),
        }
    }

    fn rds(&self, operation: &str, asked: &Asked<'_>) -> Answer {
        let mut state = self.state();
        let named = asked.get("DBInstanceIdentifier").and_then(number);
        let tagged = asked.get("ResourceName").and_then(number);
        let told = |(n, database): (usize, &Database)| {
            let environment = Scaling::environment(n / DATABASES);
            let mut tags = vec![
                ("steward:environment", environment.as_str()),
                ("team", "shop"),
            ];
            tags.extend(
                database
                    .mark
                    .iter()
                    .map(|mark| ("steward:parked", mark.as_str())),
            );
            rds::instance(&rds::Instance {
                name: database_name(n),
                resource_id: format!("db-BENCH{n:021}"),
                group: "shop",
                status: database.status,
                is_multi_az: false,
                tags: &tags,
            })
        };
        match operation {
            "DescribeDBInstances" => match named {
                None => {
                    let all: Vec<String> = state.databases.iter().enumerate().map(told).collect();
                    let texts: Vec<&str> = all.iter().map(String::as_str).collect();
                    rds::paged(asked, &rds::listing(operation, "DBInstances", &texts))
                }
                Some(n) => match state.databases.get(n) {
                    Some(database) => {
                        let told = told((n, database));
                        rds::result(operation, &format!("<DBInstances>{told}</DBInstances>"))
                    }
                    None => rds::error("DBInstanceNotFound", "no such database"),
                },
            },
            "StopDBInstance" | "StartDBInstance" => {
                let (from, to) = match operation {
                    "StopDBInstance" => ("available", "stopped"),
                    _ => ("stopped", "available"),
                };
                match named.and_then(|n| state.databases.get_mut(n)) {
                    Some(database) if database.status == from => {
                        database.status = to;
                        rds::result(operation, "<DBInstance/>")
                    }
                    Some(database) => rds::error("InvalidDBInstanceState", database.status),
                    None => rds::error("DBInstanceNotFound", "no such database"),
                }
            }
            "AddTagsToResource" | "RemoveTagsFromResource" => {
                match tagged.and_then(|n| state.databases.get_mut(n)) {
                    Some(database) => {
                        database.mark = asked.get("Tags.Tag.1.Value").map(str::to_owned);
                        rds::result(operation, "")
                    }
                    None => rds::error("DBInstanceNotFound", "no such database"),
                }
            }
            _ => rds::error("InvalidAction", operation),
        }
    }

    /// Of a service that runs every target is healthy.
    fn health(&self, operation: &str, asked: &Asked<'_>) -> Answer {
        let group = asked.get("TargetGroupArn").unwrap_or_default();
        let name = group.rsplit('/').nth(1).and_then(number);
        let state = self.state();
        let Some(service) = name.and_then(|n| state.services.get(n)) else {
            return rds::error("TargetGroupNotFound", group);
        };
        let mut all = String::new();
        for n in 0..service.desired {
            let _ = write!(
                all,
                "<member><Target><Id>i-{n:017x}</Id><Port>32768</Port></Target>\
                 <HealthCheckPort>32768</HealthCheckPort><TargetHealth><State>healthy</State>\
                 </TargetHealth></member>"
            );
        }
        let all = format!("<TargetHealthDescriptions>{all}</TargetHealthDescriptions>");
        rds::result(operation, &all)
    }
}

/// An Auto Scaling group with about what Auto Scaling tells of one.
fn group_xml(n: usize, group: &Group) -> String {
    let (name, arn) = (group_name(n), group_arn(n));
    let template = "<LaunchTemplate><LaunchTemplateId>lt-0123456789abcdef0</LaunchTemplateId>\
                    <LaunchTemplateName>shop</LaunchTemplateName><Version>1</Version>\
                    </LaunchTemplate>";
    let mut instances = String::new();
    for instance in 0..group.desired {
        let id = instance_id(n, instance);
        let _ = write!(
            instances,
            "<member><InstanceId>{id}</InstanceId><InstanceType>m7g.large</InstanceType>\
             <AvailabilityZone>{REGION}a</AvailabilityZone><LifecycleState>InService\
             </LifecycleState><HealthStatus>Healthy</HealthStatus>{template}\
             <ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
        );
    }
    let environment = Scaling::environment(n / GROUPS);
    let mut tags = BTreeMap::from([
        ("steward:environment", environment.as_str()),
        ("team", "shop"),
    ]);
    tags.extend(
        group
            .mark
            .iter()
            .map(|mark| ("steward:parked", mark.as_str())),
    );
    let mut told = String::new();
    for (key, value) in tags {
        let _ = write!(
            told,
            "<member><ResourceId>{name}</ResourceId><ResourceType>auto-scaling-group\
             </ResourceType><Key>{key}</Key><Value>{value}</Value><PropagateAtLaunch>false\
             </PropagateAtLaunch></member>"
        );
    }
    format!(
        "<member><AutoScalingGroupName>{name}</AutoScalingGroupName>\
         <AutoScalingGroupARN>{arn}</AutoScalingGroupARN>{template}<MinSize>{}</MinSize>\
         <MaxSize>4</MaxSize><DesiredCapacity>{}</DesiredCapacity>\
         <DefaultCooldown>300</DefaultCooldown><AvailabilityZones><member>{REGION}a</member>\
         <member>{REGION}b</member></AvailabilityZones><LoadBalancerNames/><TargetGroupARNs/>\
         <HealthCheckType>EC2</HealthCheckType><HealthCheckGracePeriod>300\
         </HealthCheckGracePeriod><Instances>{instances}</Instances>\
         <CreatedTime>2025-01-01T00:00:00.000Z</CreatedTime><SuspendedProcesses/>\
         <VPCZoneIdentifier>subnet-0123456789abcdef0,subnet-0123456789abcdef1\
         </VPCZoneIdentifier><EnabledMetrics/><Tags>{told}</Tags><TerminationPolicies>\
         <member>Default</member></TerminationPolicies><NewInstancesProtectedFromScaleIn>true\
         </NewInstancesProtectedFromScaleIn></member>",
        group.min, group.desired
    )
}

/// What the ledger remembers at the beginning.
fn remembered(scaling: &Scaling) -> Vec<((String, String), Value)> {
    let last = scaling.last().to_string();
    let sleeps = scaling.is_asleep();
    let to = if sleeps {
        json!("off")
    } else {
        json!({"on": {"size": null}})
    };
    let progress = json!({
        "last": {"at": last, "to": to},
        "applied": true,
        "finished": true,
        "step": 2,
        "step_since": last,
        "told_of": null,
    });
    let mut all: Vec<_> = (0..scaling.environments)
        .map(|of| {
            let sort = format!("environment#{}", Scaling::environment(of));
            ledger::entry(PARTITION, &sort, &progress)
        })
        .collect();
    if !sleeps {
        return all;
    }
    let mut saved = |arn: String, environment: usize, sizes: Value| {
        let body = json!({
            "environment": Scaling::environment(environment),
            "sizes": sizes,
            "at": last,
            "transition": last,
            "state": "parked",
        });
        all.push(ledger::entry(PARTITION, &format!("size#{arn}"), &body));
    };
    for n in 0..scaling.services() {
        let environment = n / SERVICES;
        let cluster = environment % scaling.clusters;
        let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/cluster-{cluster:02}/app-{n:04}");
        let sizes = match n % SERVICES < SCALED {
            true => json!({
                "min": 1, "desired": TASKS, "max": MOST_TASKS,
                "suspended": {"in": false, "out": false, "scheduled": false},
            }),
            false => json!({"desired": TASKS}),
        };
        saved(arn, environment, sizes);
    }
    for n in 0..scaling.groups() {
        let sizes = json!({"min": INSTANCES, "desired": INSTANCES, "max": 4});
        saved(group_arn(n), n / GROUPS, sizes);
    }
    for n in 0..scaling.databases() {
        saved(database_arn(n), n / DATABASES, json!({}));
    }
    all
}
