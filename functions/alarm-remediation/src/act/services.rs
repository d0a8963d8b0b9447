//! Services: more tasks for a while, deployments stopped, releases taken back, tasks
//! replaced.

use std::collections::BTreeMap;

use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace};
use aws_sdk_ecs::types as ecs;
use futures::{TryFutureExt, future};
use steward::aws;
use steward::engine::Outcome;
use steward::names;

use super::{Early, failed, unchecked};
use crate::NAME;
use crate::action::{RaisingService, ReplacingTasks, RollingBack, StoppingDeployment, TakingBack};
use crate::observe::{Alarms, of_service};
use crate::world::Service;

impl Alarms {
    /// A service that may be changed.
    pub(super) async fn check_service(&self, cluster: &str, name: &str) -> Early<Service> {
        let now = self.clock.now();
        let found = self.describe_services(cluster, vec![name.to_owned()]).await;
        let found = found.map_err(|unread| unchecked(&unread))?;
        let Some(service) = found.first().map(|it| of_service(it, now)) else {
            return Err(Outcome::Skipped(format!("{cluster}/{name} is gone")));
        };
        if service.status != "ACTIVE" {
            return Err(Outcome::Skipped(format!("{cluster}/{name} goes")));
        }
        if let Some(hold) = service.tags.hold(now) {
            let why = format!("{cluster}/{name} is now on hold by {hold}");
            return Err(Outcome::Skipped(why));
        }
        if service.tags.is_parked() {
            return Err(Outcome::Skipped(format!("{cluster}/{name} is now parked")));
        }
        Ok(service)
    }

    pub(super) async fn check_raise(&self, it: &RaisingService) -> Early<()> {
        let scalable = self.scalable(&it.cluster, &it.service);
        let (service, scalable) = future::try_join(
            self.check_service(&it.cluster, &it.service),
            scalable.map_err(|unread| unchecked(&unread)),
        )
        .await?;
        let has = (scalable.map(|scalable| scalable.min), service.desired);
        if has == (it.min, it.desired) {
            return Ok(());
        }
        let most = scalable.map_or(service.desired, |scalable| scalable.min);
        if most >= it.to {
            return Err(Outcome::AlreadyDone);
        }
        let why = format!("{}/{} has other sizes meanwhile", it.cluster, it.service);
        Err(Outcome::Skipped(why))
    }

    pub(super) async fn raise_service(&self, it: &RaisingService) -> Early<()> {
        match it.min {
            // Registering moves a desired count below the minimum up to it
            // (`RegisterScalableTarget`, Application Auto Scaling API Reference).
            Some(_) => self.set_least(&it.cluster, &it.service, it.to).await,
            None => self.set_desired(&it.cluster, &it.service, it.to).await,
        }
    }

    async fn set_least(&self, cluster: &str, service: &str, least: u32) -> Early<()> {
        let request = self
            .scaling
            .register_scalable_target()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(format!("service/{cluster}/{service}"))
            .min_capacity(number(least));
        let answer = self.scaling_pace.call(request.send()).await;
        answer.map(drop).map_err(|error| {
            let call = "application-autoscaling:RegisterScalableTarget";
            failed(call, &aws::explain(&error))
        })
    }

    async fn set_desired(&self, cluster: &str, service: &str, desired: u32) -> Early<()> {
        let request = self
            .ecs
            .update_service()
            .cluster(cluster)
            .service(service)
            .desired_count(number(desired));
        let answer = self.ecs_pace.call(request.send()).await;
        answer
            .map(drop)
            .map_err(|error| failed("ecs:UpdateService", &aws::explain(&error)))
    }

    pub(super) async fn restore_service(
        &self,
        cluster: &str,
        service: &str,
        back: &TakingBack,
    ) -> Early<()> {
        if back.min.is_none() && back.desired.is_none() {
            return Ok(());
        }
        // What somebody has changed since it was decided on stays.
        let found = self.check_service(cluster, service).await?;
        if let Some((from, to)) = back.min {
            let scalable = self.scalable(cluster, service).await;
            let scalable = scalable.map_err(|unread| unchecked(&unread))?;
            if scalable.is_some_and(|scalable| scalable.min == from) {
                self.set_least(cluster, service, to).await?;
            }
        }
        if let Some((from, to)) = back.desired
            && found.desired == from
        {
            self.set_desired(cluster, service, to).await?;
        }
        Ok(())
    }

    /// The deployments of a service that may be changed, the newest first.
    async fn check_deployments(
        &self,
        cluster: &str,
        name: &str,
    ) -> Early<Vec<ecs::ServiceDeploymentBrief>> {
        let deployments = self.deployments(cluster, name);
        let (_, deployments) = future::try_join(
            self.check_service(cluster, name),
            deployments.map_err(|unread| unchecked(&unread)),
        )
        .await?;
        Ok(deployments)
    }

    pub(super) async fn check_stop(&self, it: &StoppingDeployment) -> Early<()> {
        let deployments = self.check_deployments(&it.cluster, &it.service).await?;
        let mut deployments = deployments.iter();
        let found =
            deployments.find(|one| one.service_deployment_arn() == Some(it.deployment.as_str()));
        let status = found.and_then(|one| one.status());
        match status.map(ecs::ServiceDeploymentStatus::as_str) {
            Some("PENDING" | "IN_PROGRESS") => Ok(()),
            Some("ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" | "ROLLBACK_SUCCESSFUL") => {
                Err(Outcome::AlreadyDone)
            }
            other => Err(Outcome::Skipped(format!(
                "the deployment is {}",
                other.unwrap_or("gone")
            ))),
        }
    }

    pub(super) async fn stop_deployment(&self, it: &StoppingDeployment) -> Early<()> {
        let request = self
            .ecs
            .stop_service_deployment()
            .service_deployment_arn(&it.deployment)
            .stop_type(ecs::StopServiceDeploymentStopType::Rollback);
        let answer = self.ecs_pace.call(request.send()).await;
        answer
            .map(drop)
            .map_err(|error| failed("ecs:StopServiceDeployment", &aws::explain(&error)))
    }

    pub(super) async fn check_roll_back(&self, it: &RollingBack) -> Early<()> {
        let deployments = self.check_deployments(&it.cluster, &it.service).await?;
        // One that failed has left what runs as it was.
        let is_in_the_way = |one: &&ecs::ServiceDeploymentBrief| {
            let status = one.status().map(ecs::ServiceDeploymentStatus::as_str);
            !matches!(status, Some("STOPPED" | "ROLLBACK_SUCCESSFUL"))
        };
        let newest = deployments.iter().find(is_in_the_way);
        if newest.and_then(|one| one.service_deployment_arn()) == Some(it.from.as_str()) {
            return Ok(());
        }
        let why = format!("{}/{} was deployed again meanwhile", it.cluster, it.service);
        Err(Outcome::Skipped(why))
    }

    /// Goes back to a task definition with the images that ran, by their digests: a tag
    /// may name another image by now.
    pub(super) async fn roll_back(&self, it: &RollingBack) -> Early<()> {
        const DESCRIBE: &str = "ecs:DescribeTaskDefinition";
        let request = self
            .ecs
            .describe_task_definition()
            .task_definition(&it.task_definition)
            .include(ecs::TaskDefinitionField::Tags);
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = answer.map_err(|error| failed(DESCRIBE, &aws::explain(&error)))?;
        let Some(definition) = answer.task_definition() else {
            return Err(failed(DESCRIBE, "the answer has no task definition in it"));
        };
        let pinned = pin(definition.container_definitions(), &it.digests)
            .map_err(|why| failed("the images that ran are not known, nothing was done", &why))?;
        let arn = if pinned == definition.container_definitions() {
            it.task_definition.clone()
        } else {
            self.register(definition, answer.tags(), pinned).await?
        };
        let request = self
            .ecs
            .update_service()
            .cluster(&it.cluster)
            .service(&it.service)
            .task_definition(arn);
        let answer = self.ecs_pace.call(request.send()).await;
        answer
            .map(drop)
            .map_err(|error| failed("ecs:UpdateService", &aws::explain(&error)))
    }

    async fn register(
        &self,
        like: &ecs::TaskDefinition,
        tags: &[ecs::Tag],
        containers: Vec<ecs::ContainerDefinition>,
    ) -> Early<String> {
        const REGISTER: &str = "ecs:RegisterTaskDefinition";
        let is_own = |tag: &&ecs::Tag| {
            let key = tag.key().unwrap_or_default();
            key.starts_with(names::OWN_TAGS) || key.starts_with("aws:")
        };
        let kept = tags.iter().filter(|tag| !is_own(tag)).cloned();
        let ours = ecs::Tag::builder().key(names::MANAGED_BY).value(NAME);
        let tags = kept.chain([ours.build()]).collect();
        let request = self
            .ecs
            .register_task_definition()
            .set_family(like.family().map(str::to_owned))
            .set_task_role_arn(like.task_role_arn().map(str::to_owned))
            .set_execution_role_arn(like.execution_role_arn().map(str::to_owned))
            .set_network_mode(like.network_mode().cloned())
            .set_container_definitions(Some(containers))
            .set_volumes(some(like.volumes()))
            .set_placement_constraints(some(like.placement_constraints()))
            .set_requires_compatibilities(some(like.requires_compatibilities()))
            .set_cpu(like.cpu().map(str::to_owned))
            .set_memory(like.memory().map(str::to_owned))
            .set_pid_mode(like.pid_mode().cloned())
            .set_ipc_mode(like.ipc_mode().cloned())
            .set_proxy_configuration(like.proxy_configuration().cloned())
            .set_ephemeral_storage(like.ephemeral_storage().cloned())
            .set_runtime_platform(like.runtime_platform().cloned())
            .set_enable_fault_injection(like.enable_fault_injection())
            .set_tags(Some(tags));
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = answer.map_err(|error| failed(REGISTER, &aws::explain(&error)))?;
        let arn = answer
            .task_definition()
            .and_then(ecs::TaskDefinition::task_definition_arn);
        arn.map(str::to_owned)
            .ok_or_else(|| failed(REGISTER, "the answer has no ARN in it"))
    }

    pub(super) async fn replace_tasks(&self, it: &ReplacingTasks) -> Early<()> {
        for task in &it.tasks {
            let request = self
                .ecs
                .stop_task()
                .cluster(&it.cluster)
                .task(task)
                .reason("Steward: unhealthy, to be replaced");
            let answer = self.ecs_pace.call(request.send()).await;
            match answer {
                Ok(_) => {}
                // Gone already, as wanted: "The referenced task was not found."
                Err(error)
                    if aws::code(&error) == Some("InvalidParameterException")
                        && aws::explain(&error).contains("not found") => {}
                Err(error) => {
                    let why = format!("{task}: {}", aws::explain(&error));
                    return Err(failed("ecs:StopTask", &why));
                }
            }
        }
        Ok(())
    }
}

fn some<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Containers with the images of these digests.
fn pin(
    containers: &[ecs::ContainerDefinition],
    digests: &BTreeMap<String, String>,
) -> Result<Vec<ecs::ContainerDefinition>, String> {
    let pin_one = |container: &ecs::ContainerDefinition| {
        let image = container.image().unwrap_or_default();
        if image.contains('@') {
            return Ok(container.clone());
        }
        let name = container.name().unwrap_or_default();
        let digest = digests.get(name);
        let digest = digest.ok_or_else(|| format!("no digest is known of container {name}"))?;
        let mut pinned = container.clone();
        pinned.image = Some(format!("{}@{digest}", without_tag(image)));
        Ok(pinned)
    };
    containers.iter().map(pin_one).collect()
}

/// An image's name without its tag. A colon before the last slash is that of a port.
fn without_tag(image: &str) -> &str {
    let name = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[name..].find(':') {
        Some(colon) => &image[..name + colon],
        None => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, image: &str) -> ecs::ContainerDefinition {
        let container = ecs::ContainerDefinition::builder();
        container.name(name).image(image).build()
    }

    #[test]
    fn images_are_pinned_to_what_ran() {
        let ran = BTreeMap::from([
            ("web".to_owned(), "sha256:aa".to_owned()),
            ("proxy".to_owned(), "sha256:bb".to_owned()),
        ]);
        for (image, expected) in [
            (
                "registry:5000/shop/web:v1",
                "registry:5000/shop/web@sha256:aa",
            ),
            ("registry:5000/shop/web", "registry:5000/shop/web@sha256:aa"),
            ("web:v1", "web@sha256:aa"),
            ("shop/web@sha256:cc", "shop/web@sha256:cc"),
        ] {
            let pinned = pin(&[container("web", image)], &ran).unwrap();
            assert_eq!(pinned[0].image(), Some(expected));
        }
        let unknown = pin(&[container("web", "a:1"), container("log", "b:1")], &ran);
        assert_eq!(unknown.unwrap_err(), "no digest is known of container log");
    }
}
