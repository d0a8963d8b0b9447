//! Services: their deployments, tasks, targets and what scales them.

use std::collections::BTreeMap;

use aws_sdk_applicationautoscaling::types::ServiceNamespace;
use aws_sdk_ecs::types as ecs;
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthStateEnum};
use futures::{StreamExt, TryStreamExt, future, stream};
use jiff::{SignedDuration, Timestamp};
use steward::aws;
use steward::engine::{Hides, Seen};

use super::once::Once;
use super::{Alarms, CALLS_AT_ONCE, NO_LIST, Read, Unread, count, instant, tags};
use crate::world::{
    Deployer, Deployment, Revision, Scalable, Service, Target, Targets, Task, World,
};

/// The most that one call describes (`DescribeServices`, `DescribeTasks`, Amazon ECS API
/// Reference; `DescribeScalableTargets`, Application Auto Scaling API Reference).
const MOST_SERVICES: usize = 10;
const MOST_TASKS: usize = 100;
const MOST_SCALABLE: usize = 50;

/// The most deployments of a page (`ListServiceDeployments`); without it they are 20.
const PAGE: i32 = 100;

/// How long what a service said counts.
const LATELY: SignedDuration = SignedDuration::from_mins(15);

pub(super) const LIST_CLUSTERS: &str = "ecs:ListClusters";
const LIST_SERVICES: &str = "ecs:ListServices";
const DESCRIBE: &str = "ecs:DescribeServices";
const LIST_DEPLOYMENTS: &str = "ecs:ListServiceDeployments";
const REVISIONS: &str = "ecs:DescribeServiceRevisions";
const SCALABLE: &str = "application-autoscaling:DescribeScalableTargets";
const LIST_TASKS: &str = "ecs:ListTasks";
const TASKS: &str = "ecs:DescribeTasks";
const HEALTH: &str = "elasticloadbalancing:DescribeTargetHealth";

/// The target groups of a service; of two that deployments change between, both.
pub(super) fn target_groups(service: &ecs::Service) -> impl Iterator<Item = &str> {
    service.load_balancers().iter().flat_map(|balancer| {
        let other = balancer.advanced_configuration();
        let other = other.and_then(ecs::AdvancedConfiguration::alternate_target_group_arn);
        balancer.target_group_arn().into_iter().chain(other)
    })
}

impl Alarms {
    /// The clusters of the account, by ARN.
    pub(super) async fn clusters(&self) -> Read<Vec<String>> {
        let pages = self.ecs.list_clusters().into_paginator();
        let pages = pages.page_size(100).send();
        let (clusters, incomplete) = aws::read_pages_at(&self.ecs_pace, pages, |page| {
            (page.cluster_arns, page.next_token)
        })
        .await;
        match incomplete {
            None => Ok(clusters),
            Some(why) => Err(Unread::of(LIST_CLUSTERS, why.to_string())),
        }
    }

    /// The services of a cluster.
    pub(super) async fn services_in(&self, cluster: &str) -> Read<Vec<ecs::Service>> {
        let pages = self.ecs.list_services().cluster(cluster);
        let pages = pages.into_paginator().page_size(100).send();
        let (arns, incomplete) = aws::read_pages_at(&self.ecs_pace, pages, |page| {
            (page.service_arns, page.next_token)
        })
        .await;
        if let Some(why) = incomplete {
            return Err(Unread::of(LIST_SERVICES, why.to_string()));
        }
        let services: Vec<Vec<ecs::Service>> = stream::iter(chunks(&arns, MOST_SERVICES))
            .map(|chunk| self.describe_services(cluster, chunk))
            .buffered(CALLS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(services.into_iter().flatten().collect())
    }

    /// Some services of a cluster with their tags; those that are gone are left out.
    pub(crate) async fn describe_services(
        &self,
        cluster: &str,
        names: Vec<String>,
    ) -> Read<Vec<ecs::Service>> {
        let asked = names.len();
        let request = self
            .ecs
            .describe_services()
            .cluster(cluster)
            .set_services(Some(names))
            .include(ecs::ServiceField::Tags);
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = match answer {
            Err(error) if aws::code(&error) == Some("ClusterNotFoundException") => {
                return Ok(vec![]);
            }
            answer => answer.map_err(|error| Unread::of(DESCRIBE, aws::explain(&error)))?,
        };
        let failures = answer.failures.unwrap_or_default();
        let services = whole(DESCRIBE, asked, answer.services, &failures)?;
        let has_all = |it: &ecs::Service| {
            it.service_arn().is_some() && it.service_name().is_some() && it.status().is_some()
        };
        if !services.iter().all(has_all) {
            return Err(Unread::of(DESCRIBE, "a service has no ARN, name or status"));
        }
        Ok(services)
    }

    /// Looks at services, by the names of their clusters.
    pub(super) async fn services(
        &self,
        wanted: &BTreeMap<String, Vec<String>>,
        once: &Once,
    ) -> Seen<World> {
        let chunks = wanted.iter().flat_map(|(cluster, names)| {
            let chunks = names.chunks(MOST_SERVICES);
            chunks.map(move |chunk| (cluster.as_str(), chunk))
        });
        let describing = stream::iter(chunks)
            .map(|(cluster, names)| async move {
                let described = self.describe_services(cluster, names.to_vec()).await;
                (cluster, names, described)
            })
            .buffered(CALLS_AT_ONCE)
            .collect::<Vec<_>>();
        let (described, scalable) = future::join(describing, self.all_scalable(wanted)).await;

        let mut seen = Seen::<World>::default();
        let mut there = Vec::new();
        for (cluster, names, described) in described {
            let of = |service: &String| Target::Service {
                cluster: cluster.to_owned(),
                service: service.clone(),
            };
            let described = match described {
                Ok(described) => described,
                Err(unread) => {
                    let hidden = names.iter().map(|name| of(name).name()).collect();
                    seen.gaps.push(unread.gap(Hides::Units(hidden)));
                    continue;
                }
            };
            for name in names {
                let mut found = described.iter();
                match found.find(|it| it.service_name() == Some(name)) {
                    Some(found) => there.push((cluster, name.as_str(), found.clone())),
                    None => {
                        seen.world.absent.insert(of(name));
                    }
                }
            }
        }
        let looked: Vec<(String, Read<Service>)> = stream::iter(there)
            .map(|(cluster, name, found)| {
                let scalable = scalable.get(&scalable_id(cluster, name)).cloned();
                async move {
                    let service = self.service((cluster, name), &found, scalable, once);
                    (format!("{cluster}/{name}"), Box::pin(service).await)
                }
            })
            .buffered(CALLS_AT_ONCE)
            .collect()
            .await;
        for (unit, service) in looked {
            match service {
                Ok(service) => {
                    seen.world.services.insert(unit, service);
                }
                Err(unread) => seen.gaps.push(unread.gap(Hides::unit(unit))),
            }
        }
        seen
    }

    async fn service(
        &self,
        (cluster, name): (&str, &str),
        found: &ecs::Service,
        scalable: Option<Read<Option<Scalable>>>,
        once: &Once,
    ) -> Read<Service> {
        let now = self.clock.now();
        let mut service = of_description(found, now);
        service.scalable = scalable.unwrap_or(Ok(None))?;
        let (releases, running, stopped, health) = future::try_join4(
            self.releases(cluster, name, found),
            self.tasks(cluster, name, ecs::DesiredStatus::Running),
            self.tasks(cluster, name, ecs::DesiredStatus::Stopped),
            self.health(found),
        )
        .await?;
        service.under_way = releases.under_way;
        service.newest = releases.newest;
        service.last = releases.last;
        service.before_last = releases.before_last;
        service.went_back = releases.went_back;
        service.stopped = why_stopped(&stopped, now);
        let by_instance = self.ec2_of(cluster, &running, &health).await?;
        service.tasks = running
            .iter()
            .filter_map(|task| task_of(task, &health, &by_instance))
            .collect();
        service.targets = targets_of(&health);
        if service.no_place.is_some() {
            let groups = self.groups_in(cluster, once).await?;
            service.groups = groups.into_iter().map(|of| of.group).collect();
        }
        Ok(service)
    }

    /// The deployments of a service, the newest first.
    pub(crate) async fn deployments(
        &self,
        cluster: &str,
        name: &str,
    ) -> Read<Vec<ecs::ServiceDeploymentBrief>> {
        let answers = aws::read_pages_by_token(|token| {
            let request = self
                .ecs
                .list_service_deployments()
                .cluster(cluster)
                .service(name)
                .max_results(PAGE)
                .set_next_token(token);
            async {
                let answer = self.ecs_pace.call(request.send()).await;
                answer.map(|answer| (answer.service_deployments, answer.next_token))
            }
        });
        let (mut all, incomplete) = answers.await;
        if let Some(why) = incomplete {
            return Err(Unread::of(LIST_DEPLOYMENTS, why.to_string()));
        }
        all.sort_by_key(|it| std::cmp::Reverse(instant(it.created_at())));
        Ok(all)
    }

    /// What is being deployed, what was last, and what ran before.
    async fn releases(&self, cluster: &str, name: &str, found: &ecs::Service) -> Read<Releases> {
        let deployments = self.deployments(cluster, name).await?;
        let mut releases = Releases::default();
        let is_under_way = |it: &&Deployment| {
            matches!(
                it.status.as_str(),
                "PENDING"
                    | "IN_PROGRESS"
                    | "STOP_REQUESTED"
                    | "ROLLBACK_REQUESTED"
                    | "ROLLBACK_IN_PROGRESS"
            )
        };
        // One that is left out might be the one that is under way.
        let all: Option<Vec<Deployment>> = deployments.iter().map(deployment_of).collect();
        let all = all.ok_or_else(|| {
            let why = "a deployment has no ARN, status or time";
            Unread::of(LIST_DEPLOYMENTS, why)
        })?;
        releases.under_way = all.iter().find(is_under_way).cloned();
        releases.newest = all.iter().find(|it| it.finished.is_some()).cloned();
        let mut successful = all.iter().filter(|it| it.is_successful());
        releases.last = successful.next().cloned();
        let current = releases.last.as_ref().map(|it| it.revision.clone());
        let before = successful.find(|it| Some(&it.revision) != current.as_ref());
        let before = before.map(|it| it.revision.clone());
        let earlier = successful.find(|it| Some(&it.revision) != before.as_ref());
        let earlier = earlier.map(|it| it.revision.clone());
        let under_way = releases.under_way.as_ref().map(|it| it.revision.clone());
        let mut arns: Vec<String> = [current.clone(), before.clone(), earlier.clone(), under_way]
            .into_iter()
            .flatten()
            .collect();
        arns.sort_unstable();
        arns.dedup();
        if arns.is_empty() {
            return Ok(releases);
        }
        let asked = arns.len();
        let request = self.ecs.describe_service_revisions();
        let request = request.set_service_revision_arns(Some(arns));
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = answer.map_err(|error| Unread::of(REVISIONS, aws::explain(&error)))?;
        let failures = answer.failures.unwrap_or_default();
        let revisions = whole(REVISIONS, asked, answer.service_revisions, &failures)?;
        let revisions: Vec<Revision> = revisions.iter().filter_map(revision_of).collect();
        let of = |arn: &String| revisions.iter().find(|it| it.arn == *arn);
        for deployment in [&mut releases.under_way, &mut releases.last]
            .into_iter()
            .flatten()
        {
            if let Some(revision) = of(&deployment.revision) {
                deployment
                    .task_definition
                    .clone_from(&revision.task_definition);
            }
        }
        let mut primary = found.deployments().iter();
        let primary = primary.find(|it| it.status() == Some("PRIMARY"));
        if let (Some(under_way), Some(primary)) = (&mut releases.under_way, primary) {
            under_way.failed_tasks = count(primary.failed_tasks());
        }
        releases.before_last = before.as_ref().and_then(of).cloned();
        // By its digests: going back registers what ran as another task definition. Where
        // releases share their images these tell nothing.
        let ran = |arn: &Option<String>| {
            let revision = arn.as_ref().and_then(of);
            revision.map(|it| &it.digests).filter(|it| !it.is_empty())
        };
        let (now, left) = (ran(&current), ran(&before));
        releases.went_back = now.is_some() && now == ran(&earlier) && now != left;
        Ok(releases)
    }

    /// What Application Auto Scaling may do with a service.
    pub(crate) async fn scalable(&self, cluster: &str, name: &str) -> Read<Option<Scalable>> {
        let id = scalable_id(cluster, name);
        let found = self.scalable_of(std::slice::from_ref(&id)).await?;
        Ok(found.get(&id).copied())
    }

    /// The same of many, by [`scalable_id`].
    async fn all_scalable(
        &self,
        wanted: &BTreeMap<String, Vec<String>>,
    ) -> BTreeMap<String, Read<Option<Scalable>>> {
        let ids = wanted.iter().flat_map(|(cluster, names)| {
            let ids = names.iter();
            ids.map(move |name| scalable_id(cluster, name))
        });
        let ids: Vec<String> = ids.collect();
        let found: Vec<Vec<(String, Read<Option<Scalable>>)>> =
            stream::iter(ids.chunks(MOST_SCALABLE))
                .map(|ids| async move {
                    let found = self.scalable_of(ids).await;
                    let of = |id: &String| {
                        let found = found.as_ref().map_err(Unread::clone);
                        (id.clone(), found.map(|found| found.get(id).copied()))
                    };
                    ids.iter().map(of).collect()
                })
                .buffered(CALLS_AT_ONCE)
                .collect()
                .await;
        found.into_iter().flatten().collect()
    }

    async fn scalable_of(&self, ids: &[String]) -> Read<BTreeMap<String, Scalable>> {
        let pages = self
            .scaling
            .describe_scalable_targets()
            .service_namespace(ServiceNamespace::Ecs)
            .set_resource_ids(Some(ids.to_vec()))
            .into_paginator()
            .send();
        let (targets, incomplete) = aws::read_pages_at(&self.scaling_pace, pages, |page| {
            (page.scalable_targets, page.next_token)
        })
        .await;
        if let Some(why) = incomplete {
            return Err(Unread::of(SCALABLE, why.to_string()));
        }
        // The SDK makes an empty text of what is absent and must not be.
        if targets.iter().any(|it| it.resource_id().is_empty()) {
            return Err(Unread::of(SCALABLE, "a scalable target has no resource id"));
        }
        let targets = targets.iter().map(|target| {
            let bounds = Scalable {
                min: count(target.min_capacity()),
                max: count(target.max_capacity()),
            };
            (target.resource_id().to_owned(), bounds)
        });
        Ok(targets.collect())
    }

    async fn tasks(
        &self,
        cluster: &str,
        name: &str,
        status: ecs::DesiredStatus,
    ) -> Read<Vec<ecs::Task>> {
        let pages = self
            .ecs
            .list_tasks()
            .cluster(cluster)
            .service_name(name)
            .desired_status(status);
        let pages = pages.into_paginator().page_size(100).send();
        let (arns, incomplete) = aws::read_pages_at(&self.ecs_pace, pages, |page| {
            (page.task_arns, page.next_token)
        })
        .await;
        if let Some(why) = incomplete {
            return Err(Unread::of(LIST_TASKS, why.to_string()));
        }
        let tasks: Vec<Vec<ecs::Task>> = stream::iter(chunks(&arns, MOST_TASKS))
            .map(|chunk| self.describe_tasks(cluster, chunk))
            .buffered(CALLS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(tasks.into_iter().flatten().collect())
    }

    async fn describe_tasks(&self, cluster: &str, arns: Vec<String>) -> Read<Vec<ecs::Task>> {
        let asked = arns.len();
        let request = self.ecs.describe_tasks().cluster(cluster);
        let request = request.set_tasks(Some(arns));
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = answer.map_err(|error| Unread::of(TASKS, aws::explain(&error)))?;
        let failures = answer.failures.unwrap_or_default();
        whole(TASKS, asked, answer.tasks, &failures)
    }

    /// How the targets of a service are, of all its target groups.
    async fn health(&self, service: &ecs::Service) -> Read<Vec<TargetHealthDescription>> {
        let health: Vec<Vec<TargetHealthDescription>> = stream::iter(target_groups(service))
            .map(|group| self.target_health(group))
            .buffered(CALLS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(health.into_iter().flatten().collect())
    }

    async fn target_health(&self, group: &str) -> Read<Vec<TargetHealthDescription>> {
        let request = self.elb.describe_target_health().target_group_arn(group);
        let answer = self.elb_pace.call(request.send()).await;
        let answer = answer.map_err(|error| Unread::of(HEALTH, aws::explain(&error)))?;
        let health = answer.target_health_descriptions;
        health.ok_or_else(|| Unread::of(HEALTH, NO_LIST))
    }

    /// The EC2 instances of tasks, by the ARNs of their container instances; only where
    /// targets are instances.
    async fn ec2_of(
        &self,
        cluster: &str,
        tasks: &[ecs::Task],
        health: &[TargetHealthDescription],
    ) -> Read<BTreeMap<String, String>> {
        let are_instances = health.iter().any(|it| {
            let id = it.target().and_then(|target| target.id());
            is_unwell(it) && id.is_some_and(|id| id.starts_with("i-"))
        });
        if !are_instances {
            return Ok(BTreeMap::new());
        }
        let arns = tasks.iter().filter_map(ecs::Task::container_instance_arn);
        let arns = arns.map(str::to_owned).collect();
        let instances = self.describe_instances(cluster, &arns).await?;
        let pairs = instances.into_iter().filter_map(|it| {
            let arn = it.container_instance_arn()?.to_owned();
            Some((arn, it.ec2_instance_id()?.to_owned()))
        });
        Ok(pairs.collect())
    }
}

/// What was deployed of a service.
#[derive(Default)]
struct Releases {
    under_way: Option<Deployment>,
    newest: Option<Deployment>,
    last: Option<Deployment>,
    before_last: Option<Revision>,
    went_back: bool,
}

/// What one call after the other asks for.
fn chunks(all: &[String], most: usize) -> Vec<Vec<String>> {
    all.chunks(most).map(<[String]>::to_vec).collect()
}

/// What Application Auto Scaling calls a service.
fn scalable_id(cluster: &str, name: &str) -> String {
    format!("service/{cluster}/{name}")
}

/// What an answer of ECS describes, when it says of everything that was asked for what it
/// is, or that it is missing: "MISSING" is what an answer of 200 says of what does not
/// exist.
pub(super) fn whole<T>(
    read: &'static str,
    asked: usize,
    told: Option<Vec<T>>,
    failures: &[ecs::Failure],
) -> Read<Vec<T>> {
    let mut failed = failures.iter();
    if let Some(failure) = failed.find(|it| it.reason() != Some("MISSING")) {
        let why = failure.reason().unwrap_or("a failure without a reason");
        return Err(Unread::of(read, why));
    }
    let told = told.ok_or_else(|| Unread::of(read, NO_LIST))?;
    if told.len() + failures.len() < asked {
        let why = "the answer lacks some of what was asked for";
        return Err(Unread::of(read, why));
    }
    Ok(told)
}

/// What a description of a service tells by itself.
pub(crate) fn of_description(service: &ecs::Service, now: Timestamp) -> Service {
    let controller = service.deployment_controller();
    let controller = controller.map(ecs::DeploymentController::r#type);
    let configuration = service.deployment_configuration();
    let strategy = configuration.and_then(ecs::DeploymentConfiguration::strategy);
    let deployer = match (controller, strategy) {
        (Some(controller), _) if *controller != ecs::DeploymentControllerType::Ecs => {
            Deployer::Another
        }
        (_, Some(strategy)) if *strategy != ecs::DeploymentStrategy::Rolling => Deployer::Shifting,
        _ => Deployer::Rolling,
    };
    let least = configuration.and_then(ecs::DeploymentConfiguration::minimum_healthy_percent);
    let events = service.events().iter();
    let lately = events.filter(|event| {
        let at = instant(event.created_at());
        at.is_some_and(|at| now.duration_since(at) <= LATELY)
    });
    // What was placed since makes an older complaint void.
    let newest = lately.filter_map(ecs::ServiceEvent::message).find(|text| {
        ["unable to place", "has started", "steady state"]
            .iter()
            .any(|words| text.contains(words))
    });
    Service {
        arn: service.service_arn().unwrap_or_default().to_owned(),
        status: service.status().unwrap_or_default().to_owned(),
        tags: tags(service.tags().iter().map(|tag| (tag.key(), tag.value()))),
        desired: count(service.desired_count()),
        running: count(service.running_count()),
        deployer,
        is_daemon: service.scheduling_strategy() == Some(&ecs::SchedulingStrategy::Daemon),
        grace_seconds: count(
            service
                .health_check_grace_period_seconds()
                .unwrap_or_default(),
        ),
        min_healthy_percent: least.map_or(100, count),
        no_place: newest
            .filter(|text| text.contains("unable to place"))
            .map(str::to_owned),
        ..Service::default()
    }
}

fn deployment_of(brief: &ecs::ServiceDeploymentBrief) -> Option<Deployment> {
    let created = instant(brief.created_at());
    Some(Deployment {
        arn: brief.service_deployment_arn()?.to_owned(),
        revision: brief
            .target_service_revision_arn()
            .unwrap_or_default()
            .to_owned(),
        task_definition: String::new(),
        started: instant(brief.started_at()).or(created)?,
        finished: instant(brief.finished_at()),
        status: brief.status()?.as_str().to_owned(),
        failed_tasks: 0,
    })
}

fn revision_of(revision: &ecs::ServiceRevision) -> Option<Revision> {
    let images = revision.container_images().iter();
    Some(Revision {
        arn: revision.service_revision_arn()?.to_owned(),
        task_definition: revision.task_definition()?.to_owned(),
        digests: images
            .filter_map(|it| {
                Some((
                    it.container_name()?.to_owned(),
                    it.image_digest()?.to_owned(),
                ))
            })
            .collect(),
    })
}

/// Why tasks stopped lately, the newest first; not those that a person or a deployment
/// stopped.
fn why_stopped(tasks: &[ecs::Task], now: Timestamp) -> Vec<String> {
    let mut stopped: Vec<(Timestamp, String)> = Vec::new();
    for task in tasks {
        let Some(at) = instant(task.stopped_at().or(task.stopping_at())) else {
            continue;
        };
        let code = task.stop_code().map_or("", ecs::TaskStopCode::as_str);
        let reason = task.stopped_reason().unwrap_or_default();
        let on_purpose = matches!(code, "UserInitiated")
            || code == "ServiceSchedulerInitiated" && !reason.contains("health checks");
        if on_purpose || now.duration_since(at) > LATELY {
            continue;
        }
        let exits = task.containers().iter();
        let exits: Vec<String> = exits
            .filter_map(|it| {
                let code = it.exit_code().filter(|code| *code != 0)?;
                let why = it.reason().unwrap_or_default();
                let why = if why.is_empty() {
                    String::new()
                } else {
                    format!(" ({why})")
                };
                Some(format!(
                    "{} exited with {code}{why}",
                    it.name().unwrap_or_default()
                ))
            })
            .collect();
        let exits = if exits.is_empty() {
            String::new()
        } else {
            format!("; {}", exits.join(", "))
        };
        stopped.push((at, format!("{code}: {reason}{exits}")));
    }
    stopped.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    stopped.into_iter().map(|(_, why)| why).collect()
}

fn is_unwell(target: &TargetHealthDescription) -> bool {
    let state = target.target_health().and_then(|health| health.state());
    matches!(
        state,
        Some(TargetHealthStateEnum::Unhealthy | TargetHealthStateEnum::UnhealthyDraining)
    )
}

fn targets_of(health: &[TargetHealthDescription]) -> Targets {
    let is_well = |it: &&TargetHealthDescription| {
        it.target_health().and_then(|health| health.state())
            == Some(&TargetHealthStateEnum::Healthy)
    };
    let healthy = health.iter().filter(is_well).count();
    let unwell = health.iter().filter(|it| is_unwell(it));
    Targets {
        healthy: u32::try_from(healthy).unwrap_or(u32::MAX),
        unhealthy: unwell
            .map(|it| {
                let id = it
                    .target()
                    .and_then(|target| target.id())
                    .unwrap_or_default();
                let reason = it.target_health().and_then(|health| health.reason());
                let reason = reason.map_or("no reason", |reason| reason.as_str());
                format!("{id} {reason}")
            })
            .collect(),
    }
}

/// A task that runs; `None` is one that stops already.
fn task_of(
    task: &ecs::Task,
    health: &[TargetHealthDescription],
    by_instance: &BTreeMap<String, String>,
) -> Option<Task> {
    if task.last_status() == Some("STOPPED") || task.desired_status() == Some("STOPPED") {
        return None;
    }
    let details = task.attachments().iter().flat_map(|it| it.details());
    let addresses = details.filter(|it| it.name() == Some("privateIPv4Address"));
    let mut ids: Vec<&str> = addresses.filter_map(|it| it.value()).collect();
    let ec2 = task
        .container_instance_arn()
        .and_then(|arn| by_instance.get(arn));
    let bindings = task
        .containers()
        .iter()
        .flat_map(|it| it.network_bindings());
    let ports: Vec<i32> = bindings.filter_map(|it| it.host_port()).collect();
    ids.extend(ec2.map(String::as_str));
    let is_its = |it: &&TargetHealthDescription| {
        let Some(target) = it.target() else {
            return false;
        };
        let id = target.id().unwrap_or_default();
        let port = target.port().unwrap_or_default();
        ids.contains(&id) && (!id.starts_with("i-") || ports.contains(&port))
    };
    let fails = health.iter().filter(is_its).any(is_unwell);
    Some(Task {
        arn: task.task_arn()?.to_owned(),
        started: instant(task.started_at()),
        is_unhealthy: fails || task.health_status() == Some(&ecs::HealthStatus::Unhealthy),
    })
}
