//! The cluster of a scenario: services, their revisions and deployments, tasks,
//! and task definitions. Pages and batches are those of the Amazon ECS API
//! Reference; asking for more is an error, as there.

use serde_json::{Value, json};

use crate::aws::Answer;
use crate::ecr::{self, digest, repository_name};
use crate::pruning::{Pruning, Use};
use crate::rotation::Rotation;
use crate::scenario::{ACCOUNT, REGION};

const PAGE: usize = 100;

/// One cluster with everything in it.
pub(crate) struct Clusters {
    pruning: Pruning,
    services: usize,
    tasks_each: usize,
    revisions_each: usize,
    now: i64,
}

fn arn(rest: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{rest}")
}

impl Clusters {
    pub(crate) fn of(pruning: &Pruning) -> Self {
        Self {
            pruning: pruning.clone(),
            services: pruning.services,
            tasks_each: pruning.tasks_each,
            revisions_each: pruning.revisions_each,
            now: pruning.now,
        }
    }

    /// Name, image and digest of the one container of a service.
    fn container(&self, service: usize, what: Use) -> Value {
        let (repository, image) = self.pruning.image_of(service, what);
        let registry = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com");
        let name = repository_name(repository);
        json!({
            "containerName": "app",
            "name": "app",
            "image": format!("{registry}/{name}:v{image}"),
            "imageDigest": digest(repository, image),
        })
    }

    fn service_arn(service: usize) -> String {
        arn(&format!("service/live/app-{service:04}"))
    }

    fn revision_arn(service: usize, what: Use) -> String {
        let n = u8::from(what == Use::Current);
        arn(&format!("service-revision/live/app-{service:04}/{n}"))
    }

    fn definition_arn(service: usize, revision: usize) -> String {
        arn(&format!("task-definition/app-{service:04}:{revision}"))
    }

    pub(crate) fn answer(&self, operation: &str, asked: &Value) -> Answer {
        match operation {
            "ListClusters" => Answer::json(&json!({"clusterArns": [arn("cluster/live")]})),
            "DescribeClusters" => described("clusters", asked, 100, |arn| {
                Some(json!({"clusterArn": arn, "clusterName": "live", "status": "ACTIVE"}))
            }),
            "ListDaemons" => Answer::json(&json!({"daemonSummariesList": []})),
            "ListServices" => {
                let arns = (0..self.services).map(Self::service_arn).collect();
                listing("serviceArns", arns, asked)
            }
            "ListTasks" => {
                let running = asked["desiredStatus"].as_str() != Some("STOPPED");
                let tasks = if running {
                    self.services * self.tasks_each
                } else {
                    0
                };
                let arns = (0..tasks).map(|n| arn(&format!("task/live/{n:08x}")));
                listing("taskArns", arns.collect(), asked)
            }
            "ListTaskDefinitions" => {
                let newest_first = (0..self.services).flat_map(|service| {
                    (1..=self.revisions_each)
                        .rev()
                        .map(move |revision| Self::definition_arn(service, revision))
                });
                listing("taskDefinitionArns", newest_first.collect(), asked)
            }
            "DescribeServices" => {
                let include = asked["include"].as_array();
                let with_tags = include.is_some_and(|include| include.contains(&json!("TAGS")));
                described("services", asked, 10, |arn| self.service(arn, with_tags))
            }
            "DescribeTasks" => described("tasks", asked, 100, |arn| self.task(arn)),
            "DescribeServiceRevisions" => {
                let asked = json!({"serviceRevisions": asked["serviceRevisionArns"]});
                described("serviceRevisions", &asked, 20, |arn| self.revision(arn))
            }
            "ListServiceDeployments" => self.deployments(asked),
            "DescribeTaskDefinition" => self.definition(asked),
            _ => Answer::error("UnknownOperationException", operation),
        }
    }

    fn service(&self, arn: &str, with_tags: bool) -> Option<Value> {
        let service = number(arn)?;
        let definition = Self::definition_arn(service, self.revisions_each);
        let environment = json!({
            "key": "steward:environment",
            "value": Rotation::environment(service),
        });
        let tags = if with_tags { vec![environment] } else { vec![] };
        Some(json!({
            "serviceArn": arn,
            "tags": tags,
            "serviceName": format!("app-{service:04}"),
            "clusterArn": self::arn("cluster/live"),
            "status": "ACTIVE",
            "desiredCount": self.tasks_each,
            "runningCount": self.tasks_each,
            "pendingCount": 0,
            "launchType": "EC2",
            "taskDefinition": definition,
            "deploymentController": {"type": "ECS"},
            "deployments": [{
                "id": format!("ecs-svc/{service}"),
                "status": "PRIMARY",
                "taskDefinition": definition,
                "desiredCount": self.tasks_each,
                "runningCount": self.tasks_each,
                "pendingCount": 0,
                "rolloutState": "COMPLETED",
                "createdAt": self.now - 86_400,
            }],
            "currentServiceRevisions": [{
                "arn": Self::revision_arn(service, Use::Current),
                "requestedTaskCount": self.tasks_each,
                "runningTaskCount": self.tasks_each,
                "pendingTaskCount": 0,
            }],
            "events": [],
        }))
    }

    fn task(&self, arn: &str) -> Option<Value> {
        let id = arn.rsplit('/').next()?;
        let service = usize::from_str_radix(id, 16).ok()? / self.tasks_each.max(1);
        let mut container = self.container(service, Use::Current);
        container["lastStatus"] = json!("RUNNING");
        Some(json!({
            "taskArn": arn,
            "clusterArn": self::arn("cluster/live"),
            "taskDefinitionArn": Self::definition_arn(service, self.revisions_each),
            "group": format!("service:app-{service:04}"),
            "lastStatus": "RUNNING",
            "desiredStatus": "RUNNING",
            "launchType": "EC2",
            "createdAt": self.now - 86_400,
            "containers": [container],
        }))
    }

    fn revision(&self, arn: &str) -> Option<Value> {
        let mut parts = arn.rsplit('/');
        let what = match parts.next()? {
            "1" => Use::Current,
            _ => Use::Previous,
        };
        let service = number(parts.next()?)?;
        let behind = usize::from(what == Use::Previous);
        let revision = self.revisions_each.saturating_sub(behind).max(1);
        Some(json!({
            "serviceRevisionArn": arn,
            "serviceArn": Self::service_arn(service),
            "clusterArn": self::arn("cluster/live"),
            "taskDefinition": Self::definition_arn(service, revision),
            "containerImages": [self.container(service, what)],
            "createdAt": self.now - 86_400,
        }))
    }

    fn deployments(&self, asked: &Value) -> Answer {
        let arn = asked["service"].as_str().unwrap_or_default();
        let Some(service) = number(arn) else {
            return Answer::error("ServiceNotFoundException", "no such service");
        };
        let deployment = |what: Use, age: i64| {
            json!({
                "serviceDeploymentArn": format!("{}/{age}", Self::revision_arn(service, what)),
                "serviceArn": arn,
                "clusterArn": self::arn("cluster/live"),
                "status": "SUCCESSFUL",
                "createdAt": self.now - age,
                "targetServiceRevisionArn": Self::revision_arn(service, what),
            })
        };
        Answer::json(&json!({"serviceDeployments": [
            deployment(Use::Current, 86_400),
            deployment(Use::Previous, 2 * 86_400),
        ]}))
    }

    fn definition(&self, asked: &Value) -> Answer {
        let arn = asked["taskDefinition"].as_str().unwrap_or_default();
        let parts = arn
            .rsplit_once(':')
            .and_then(|(family, revision)| Some((number(family)?, revision.parse().ok()?)));
        let Some((service, revision)) = parts else {
            let message = "Unable to describe task definition.";
            return Answer::error("ClientException", message);
        };
        let behind: usize = self.revisions_each.saturating_sub(revision);
        let mut container = self.container(service, Use::Definition { behind });
        container["cpu"] = json!(256);
        container["memory"] = json!(512);
        container["essential"] = json!(true);
        container["environment"] = json!([{"name": "PORT", "value": "8080"}]);
        Answer::json(&json!({"taskDefinition": {
            "taskDefinitionArn": arn,
            "family": format!("app-{service:04}"),
            "revision": revision,
            "status": "ACTIVE",
            "containerDefinitions": [container],
        }}))
    }
}

/// The number at the end of a name.
pub(crate) fn number(name: &str) -> Option<usize> {
    name.rsplit('-').next()?.parse().ok()
}

pub(crate) fn listing(key: &str, arns: Vec<String>, asked: &Value) -> Answer {
    let size = match ecr::page_size(asked, PAGE) {
        Ok(size) => size,
        Err(answer) => return answer,
    };
    let from = ecr::offset(asked);
    let to = arns.len().min(from + size);
    let mut answer = json!({key: arns.get(from..to).unwrap_or_default()});
    if to < arns.len() {
        answer["nextToken"] = json!(to.to_string());
    }
    Answer::json(&answer)
}

/// A describe of at most `cap` things by ARN; what is not there is a failure
/// inside the answer.
pub(crate) fn described(
    key: &str,
    asked: &Value,
    cap: usize,
    thing: impl Fn(&str) -> Option<Value>,
) -> Answer {
    let arns = asked[key].as_array().cloned().unwrap_or_default();
    if arns.len() > cap {
        return Answer::error("InvalidParameterException", "too many things at once");
    }
    let mut things = Vec::new();
    let mut failures = Vec::new();
    for arn in arns.iter().filter_map(Value::as_str) {
        match thing(arn) {
            Some(thing) => things.push(thing),
            None => failures.push(json!({"arn": arn, "reason": "MISSING"})),
        }
    }
    Answer::json(&json!({key: things, "failures": failures}))
}
