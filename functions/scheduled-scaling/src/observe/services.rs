//! Services of Amazon ECS, with what scales them and whether they serve.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_applicationautoscaling::types::{ScalableTarget, ServiceNamespace};
use aws_sdk_ecs::types as ecs;
use aws_sdk_elasticloadbalancingv2::types::TargetHealthStateEnum;
use futures::{StreamExt, stream};
use steward::aws;

use super::{CALLS_AT_ONCE, Environments, Reading, Wish, count, tags};
use crate::world::{Kind, Look, Resource, Scalable, Service, Suspended};

/// The most that one call describes (`DescribeServices`, Amazon ECS API Reference).
const MOST_SERVICES: usize = 10;
/// The most resource ids of one call (`DescribeScalableTargets`, Application Auto
/// Scaling API Reference).
const MOST_TARGETS: usize = 50;

const LIST_CLUSTERS: &str = "ecs:ListClusters";
const LIST_SERVICES: &str = "ecs:ListServices";
const DESCRIBE: &str = "ecs:DescribeServices";
const SCALABLE: &str = "application-autoscaling:DescribeScalableTargets";
const HEALTH: &str = "elasticloadbalancing:DescribeTargetHealth";

impl Environments {
    /// The clusters of the account.
    pub(super) async fn clusters(&self) -> Result<Vec<String>, (String, &'static str)> {
        let pages = self.ecs.list_clusters().into_paginator();
        let pages = pages.page_size(100).send();
        let (clusters, incomplete) = aws::read_pages_at(&self.ecs_pace, pages, |page| {
            (page.cluster_arns, page.next_token)
        })
        .await;
        match incomplete {
            None => Ok(clusters),
            Some(why) => Err((format!("{LIST_CLUSTERS}: {why}"), LIST_CLUSTERS)),
        }
    }

    pub(super) async fn services(&self, wish: &Wish<'_>) -> Reading {
        let mut reading = Reading::nothing();
        if wish.kinds(Look::Whole, |member| &member.services).is_none() {
            return reading;
        }
        reading.is_listed = true;
        let clusters = self.clusters().await.unwrap_or_else(|failed| {
            reading.failed.push(failed);
            vec![]
        });
        let mut described = stream::iter(clusters)
            .map(|cluster| async move { self.services_in(&cluster).await })
            .buffer_unordered(CALLS_AT_ONCE);
        let mut services: Vec<(Resource, Vec<TargetGroups>)> = Vec::new();
        while let Some((found, failed)) = described.next().await {
            reading.failed.extend(failed);
            for service in found {
                match service_of(&service) {
                    None => reading.failed.push((
                        format!("{DESCRIBE}: a service has no ARN, name, cluster or status"),
                        DESCRIBE,
                    )),
                    Some(resource) => {
                        let arn = resource.arn.clone();
                        match wish.take(resource) {
                            Some(resource) => services.push((resource, target_groups(&service))),
                            None => reading.others.push(arn),
                        }
                    }
                }
            }
        }
        let scalable = self.scalable_targets(&services).await;
        let health = self.health(wish, &services).await;
        let scalable = scalable.unwrap_or_else(|failed| {
            reading.failed.push(failed);
            // Whatever scales it would fight a desired count alone.
            services.clear();
            BTreeMap::new()
        });
        for (mut resource, balancers) in services {
            if let Kind::Service(of) = &mut resource.kind {
                of.scalable = scalable.get(&format!("service/{}", resource.name)).copied();
                for groups in balancers {
                    // Of two that deployments change between, one serves.
                    let answers = groups.iter().filter_map(|group| health.get(group));
                    let sum: Result<Vec<u32>, &String> =
                        answers.map(|answer| answer.as_ref().copied()).collect();
                    match sum {
                        Ok(healthy) if healthy.is_empty() => {}
                        Ok(healthy) => of.healthy.push(healthy.iter().sum()),
                        Err(why) => {
                            of.healthy.push(0);
                            reading.warnings.push(format!(
                                "{} counts as not ready: {HEALTH}: {why}",
                                resource.name
                            ));
                        }
                    }
                }
            }
            reading.resources.push(resource);
        }
        reading
    }

    /// The services of a cluster.
    async fn services_in(&self, cluster: &str) -> (Vec<ecs::Service>, Vec<(String, &'static str)>) {
        let mut failed = Vec::new();
        let name = short(cluster);
        let pages = self.ecs.list_services().cluster(cluster);
        let pages = pages.into_paginator().page_size(100).send();
        let (arns, incomplete) = aws::read_pages_at(&self.ecs_pace, pages, |page| {
            (page.service_arns, page.next_token)
        })
        .await;
        match incomplete {
            // Deleted since it was listed.
            Some(why) if why.code() == Some("ClusterNotFoundException") => {}
            Some(why) => failed.push((format!("{LIST_SERVICES} of {name}: {why}"), LIST_SERVICES)),
            None => {}
        }
        let chunks: Vec<Vec<String>> = arns.chunks(MOST_SERVICES).map(<[_]>::to_vec).collect();
        let mut answers = stream::iter(chunks)
            .map(|chunk| async move { self.describe(cluster, chunk).await })
            .buffer_unordered(CALLS_AT_ONCE);
        let mut services = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(described) => services.extend(described),
                Err(why) => failed.push((format!("{DESCRIBE} of {name}: {why}"), DESCRIBE)),
            }
        }
        (services, failed)
    }

    /// Some services of a cluster with their tags; those that are gone are left out.
    pub(crate) async fn describe(
        &self,
        cluster: &str,
        services: Vec<String>,
    ) -> Result<Vec<ecs::Service>, String> {
        let asked = services.len();
        let request = self
            .ecs
            .describe_services()
            .cluster(cluster)
            .set_services(Some(services))
            .include(ecs::ServiceField::Tags);
        let answer = match self.ecs_pace.call(request.send()).await {
            Ok(answer) => answer,
            // Deleted since, with all that was in it.
            Err(error) if aws::code(&error) == Some("ClusterNotFoundException") => {
                return Ok(vec![]);
            }
            Err(error) => return Err(aws::explain(&error)),
        };
        is_whole(asked, answer.services().len(), answer.failures())?;
        let mut services = answer.services.unwrap_or_default();
        // The last hundred of each, which nobody asks for.
        services
            .iter_mut()
            .for_each(|service| service.events = None);
        Ok(services)
    }

    /// What Application Auto Scaling may do with services, by resource id.
    async fn scalable_targets(
        &self,
        services: &[(Resource, Vec<TargetGroups>)],
    ) -> Result<BTreeMap<String, Scalable>, (String, &'static str)> {
        let ids: Vec<String> = services
            .iter()
            .map(|(resource, _)| format!("service/{}", resource.name))
            .collect();
        let chunks: Vec<Vec<String>> = ids.chunks(MOST_TARGETS).map(<[_]>::to_vec).collect();
        let mut answers = stream::iter(chunks)
            .map(|chunk| async move { self.scalable_targets_of(chunk).await })
            .buffer_unordered(CALLS_AT_ONCE);
        let mut all = BTreeMap::new();
        while let Some(answer) = answers.next().await {
            let targets = answer.map_err(|why| (format!("{SCALABLE}: {why}"), SCALABLE))?;
            all.extend(targets.iter().map(scalable_of));
        }
        Ok(all)
    }

    pub(crate) async fn scalable_targets_of(
        &self,
        ids: Vec<String>,
    ) -> Result<Vec<ScalableTarget>, String> {
        let pages = self
            .scaling
            .describe_scalable_targets()
            .service_namespace(ServiceNamespace::Ecs)
            .set_resource_ids(Some(ids))
            .into_paginator()
            .send();
        let (targets, incomplete) = aws::read_pages_at(&self.scaling_pace, pages, |page| {
            (page.scalable_targets, page.next_token)
        })
        .await;
        match incomplete {
            // The SDK makes an empty text of what is absent and must not be.
            None if targets.iter().any(|it| it.resource_id().is_empty()) => {
                Err("a scalable target has no resource id".to_owned())
            }
            None => Ok(targets),
            Some(why) => Err(why.to_string()),
        }
    }

    /// How many targets of each target group are healthy, of services that wake and
    /// run. Load balancers tell it one target group at a time.
    async fn health(
        &self,
        wish: &Wish<'_>,
        services: &[(Resource, Vec<TargetGroups>)],
    ) -> BTreeMap<String, Result<u32, String>> {
        let running = services
            .iter()
            .filter(|(resource, _)| wish.may_be_ready(resource));
        let groups: BTreeSet<&str> = running
            .flat_map(|(_, balancers)| balancers.iter().flatten())
            .map(String::as_str)
            .collect();
        stream::iter(groups)
            .map(|group| async move {
                let request = self.elb.describe_target_health().target_group_arn(group);
                let answer = self.elb_pace.call(request.send()).await;
                let healthy = answer
                    .map_err(|error| aws::explain(&error))
                    .and_then(|answer| {
                        let all = answer.target_health_descriptions;
                        let all = all.ok_or("the answer has no list in it")?;
                        let is_healthy = all.iter().filter(|target| {
                            let health = target.target_health();
                            let state = health.and_then(|health| health.state());
                            state == Some(&TargetHealthStateEnum::Healthy)
                        });
                        Ok(u32::try_from(is_healthy.count()).unwrap_or(u32::MAX))
                    });
                (group.to_owned(), healthy)
            })
            .buffer_unordered(CALLS_AT_ONCE)
            .collect()
            .await
    }
}

/// Whether an answer tells of all that was asked for: what is gone is a failure of the
/// kind `MISSING` inside it ("API failure reasons", Amazon ECS Developer Guide).
///
/// # Errors
/// When it does not.
pub(super) fn is_whole(asked: usize, told: usize, failures: &[ecs::Failure]) -> Result<(), String> {
    let is_missing = |failure: &&ecs::Failure| failure.reason() == Some("MISSING");
    if let Some(failure) = failures.iter().find(|failure| !is_missing(failure)) {
        return Err(format!(
            "{}: {}",
            short(failure.arn().unwrap_or_default()),
            failure.reason().unwrap_or("failed without a reason")
        ));
    }
    if told + failures.len() < asked {
        return Err("the answer lacks some of what was asked for".to_owned());
    }
    Ok(())
}

/// The last part of an ARN.
pub(super) fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The target groups of one of a service's load balancers: its own, and the one that
/// blue/green deployments change to (`AdvancedConfiguration`, Amazon ECS API
/// Reference).
type TargetGroups = Vec<String>;

fn target_groups(service: &ecs::Service) -> Vec<TargetGroups> {
    let of = |balancer: &ecs::LoadBalancer| {
        let advanced = balancer.advanced_configuration();
        let other = advanced.and_then(|advanced| advanced.alternate_target_group_arn());
        let groups = balancer.target_group_arn().into_iter().chain(other);
        groups.map(str::to_owned).collect()
    };
    service.load_balancers().iter().map(of).collect()
}

/// A service as it was described; `None` when something is missing that decides. Tags
/// were asked for, so that one without any has none.
pub(crate) fn service_of(service: &ecs::Service) -> Option<Resource> {
    let (arn, name) = (service.service_arn()?, service.service_name()?);
    let cluster = short(service.cluster_arn()?);
    let of = service.tags().iter();
    let controller = service.deployment_controller();
    let is_rolling = |deployment: &ecs::Deployment| {
        deployment.rollout_state() == Some(&ecs::DeploymentRolloutState::InProgress)
    };
    Some(Resource {
        arn: arn.to_owned(),
        name: format!("{cluster}/{name}"),
        tags: tags(of.map(|tag| (tag.key(), tag.value()))),
        saved: None,
        raised_from: None,
        kind: Kind::Service(Service {
            status: service.status()?.to_owned(),
            desired: count(service.desired_count()),
            running: count(service.running_count()),
            pending: count(service.pending_count()),
            is_daemon: service.scheduling_strategy() == Some(&ecs::SchedulingStrategy::Daemon),
            deployed_by_ecs: controller
                .is_none_or(|it| *it.r#type() == ecs::DeploymentControllerType::Ecs),
            is_deploying: service.deployments().iter().any(is_rolling)
                || service.task_sets().len() > 1,
            scalable: None,
            healthy: vec![],
        }),
    })
}

/// A scalable target, with its resource id. What is not told is not suspended.
pub(crate) fn scalable_of(target: &ScalableTarget) -> (String, Scalable) {
    let suspended = target.suspended_state();
    let is = |told: Option<bool>| told.unwrap_or_default();
    let scalable = Scalable {
        min: count(target.min_capacity()),
        max: count(target.max_capacity()),
        suspended: Suspended {
            scale_in: is(suspended.and_then(|it| it.dynamic_scaling_in_suspended())),
            scale_out: is(suspended.and_then(|it| it.dynamic_scaling_out_suspended())),
            scheduled: is(suspended.and_then(|it| it.scheduled_scaling_suspended())),
        },
    };
    (target.resource_id().to_owned(), scalable)
}
