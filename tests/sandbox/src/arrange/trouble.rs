//! What goes wrong with services, their tasks, targets and instances, and with
//! databases.

use anyhow::{Context, Result};
use aws_sdk_ecs::types::{ContainerInstance, DesiredStatus, ServiceDeployment, Task};

use super::Database;
use super::environment::{Environment, Service};
use crate::control::{TargetEdit, Trouble, TroubleKind};

impl Service {
    /// Deploys a new revision whose tasks have trouble, as in not starting at
    /// all, and answers the ARN of the service deployment. The tasks there are
    /// run on.
    ///
    /// # Errors
    /// When Amazon ECS refuses.
    pub async fn deploy_broken(&self, trouble: Trouble) -> Result<String> {
        let image = format!("{}/{}:broken", self.account().registry(), self.name());
        let revision = self.account().task_definition(self.name(), &image).await?;
        let trouble = Trouble {
            task_definition: Some(revision.clone()),
            ..trouble
        };
        self.suffer(&trouble).await?;
        self.deploy(&revision).await
    }

    /// Deploys a task definition, and answers the ARN of the service
    /// deployment.
    ///
    /// # Errors
    /// When Amazon ECS refuses.
    pub async fn deploy(&self, task_definition: &str) -> Result<String> {
        let ecs = self.account().ecs();
        let update = ecs.update_service().cluster(self.cluster());
        let update = update.service(self.name()).task_definition(task_definition);
        let updated = update
            .send()
            .await
            .with_context(|| format!("cannot deploy {}", self.name()))?;
        let service = updated.service.context("no service was answered")?;
        let deployment = service.current_service_deployment;
        deployment.context("a service without a service deployment")
    }

    /// What Amazon ECS tells of a service deployment.
    ///
    /// # Errors
    /// When there is no such service deployment.
    pub async fn deployment(&self, arn: &str) -> Result<ServiceDeployment> {
        let ecs = self.account().ecs();
        let found = ecs.describe_service_deployments();
        let found = found.service_deployment_arns(arn).send().await?;
        let deployment = found.service_deployments.unwrap_or_default().pop();
        deployment.with_context(|| format!("there is no service deployment {arn}"))
    }

    /// Lets its tasks have trouble, until it recovers.
    ///
    /// # Errors
    /// When the trouble makes no sense.
    pub async fn suffer(&self, trouble: &Trouble) -> Result<()> {
        let control = self.account().control();
        Ok(control
            .trouble(self.cluster(), self.name(), trouble)
            .await?)
    }

    /// Lets the tasks that run have failing health checks of their containers.
    /// Those that replace them are healthy.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn sicken_tasks(&self) -> Result<()> {
        self.suffer(&Trouble {
            kind: TroubleKind::Unhealthy,
            running: true,
            times: Some(0),
            ..Trouble::default()
        })
        .await
    }

    /// Ends all trouble of its tasks.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn recover(&self) -> Result<()> {
        let control = self.account().control();
        Ok(control.end_trouble(self.cluster(), self.name()).await?)
    }

    /// Lets the tasks that are its targets be in a state, or one of them.
    ///
    /// # Errors
    /// When it has no target group, or there is no such state.
    pub async fn edit_targets(&self, edit: &TargetEdit) -> Result<()> {
        let target_group = self.target_group().context("no target group")?;
        let control = self.account().control();
        Ok(control.edit_targets(target_group, edit).await?)
    }

    /// Its tasks that are to run, or to stop, sorted by ARN.
    ///
    /// # Errors
    /// When Amazon ECS does not answer.
    pub async fn tasks(&self, desired: DesiredStatus) -> Result<Vec<Task>> {
        let ecs = self.account().ecs();
        let listed = ecs.list_tasks().cluster(self.cluster());
        let listed = listed.service_name(self.name()).desired_status(desired);
        let arns = listed.send().await?.task_arns.unwrap_or_default();
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let described = ecs.describe_tasks().cluster(self.cluster());
        let found = described.set_tasks(Some(arns)).send().await?;
        let mut tasks = found.tasks.unwrap_or_default();
        tasks.sort_by(|one, other| one.task_arn.cmp(&other.task_arn));
        Ok(tasks)
    }
}

impl Environment {
    /// Its container instances, sorted by ARN.
    ///
    /// # Errors
    /// When Amazon ECS does not answer.
    pub async fn container_instances(&self) -> Result<Vec<ContainerInstance>> {
        let ecs = self.account().ecs();
        let listed = ecs.list_container_instances().cluster(self.name());
        let arns = listed.send().await?.container_instance_arns;
        let arns = arns.unwrap_or_default();
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let described = ecs.describe_container_instances().cluster(self.name());
        let found = described.set_container_instances(Some(arns)).send().await?;
        let mut instances = found.container_instances.unwrap_or_default();
        instances.sort_by(|one, other| {
            one.container_instance_arn
                .cmp(&other.container_instance_arn)
        });
        Ok(instances)
    }

    /// Lets the agent of a container instance be lost, or come back. What runs
    /// there runs on.
    ///
    /// # Errors
    /// When there is no such container instance.
    pub async fn edit_agent(&self, container_instance: &str, connected: bool) -> Result<()> {
        let control = self.account().control();
        Ok(control
            .edit_agent(self.name(), container_instance, connected)
            .await?)
    }
}

impl Database {
    /// Uses up its storage: it is `storage-full`, unless RDS enlarges it by
    /// itself.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn fill_up(&self) -> Result<()> {
        self.leave(0).await
    }

    /// Leaves it so much free storage, in bytes, of which its metric tells.
    ///
    /// # Errors
    /// When it is not there any more, or smaller.
    pub async fn leave(&self, free_bytes: u64) -> Result<()> {
        let control = self.account().control();
        Ok(control.leave_storage(self.identifier(), free_bytes).await?)
    }
}
