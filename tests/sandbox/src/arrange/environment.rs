//! An environment: a cluster with capacity, services and databases that carry
//! the tag `steward:environment`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use aws_sdk_applicationautoscaling::types::{ScalableDimension, ScalableTarget, ServiceNamespace};
use aws_sdk_ecs::types::{ManagedScalingStatus, ServiceField, Tag};
use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetTypeEnum};

use super::{Database, Group, Place, Sizes};
use crate::account::Account;
use crate::control::Network;

/// The tag that names the environment of a resource.
const TAG: &str = "steward:environment";

/// An environment of an account.
#[derive(Clone, Debug)]
pub struct Environment {
    account: Account,
    name: String,
    network: Network,
    capacity_provider: Option<String>,
}

/// A service of an environment.
#[derive(Clone, Debug)]
pub struct Service {
    account: Account,
    cluster: String,
    name: String,
    arn: String,
    target_group: Option<String>,
}

impl Account {
    /// Makes an environment with nothing in it but a network and a cluster,
    /// which has its name.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn environment(&self, name: &str) -> Result<Environment> {
        let network = self.control().network().await?;
        self.cluster(name).await?;
        Ok(Environment {
            account: self.clone(),
            name: name.to_owned(),
            network,
            capacity_provider: None,
        })
    }

    /// A service that is there already.
    ///
    /// # Errors
    /// When it is not.
    pub async fn existing_service(&self, cluster: &str, name: &str) -> Result<Service> {
        let mut service = Service {
            account: self.clone(),
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            arn: String::new(),
            target_group: None,
        };
        let found = service.describe().await?;
        service.arn = found.service_arn.context("a service without an ARN")?;
        let balancers = found.load_balancers.unwrap_or_default();
        service.target_group = balancers.into_iter().find_map(|it| it.target_group_arn);
        Ok(service)
    }

    /// Changes the settings of the account so that whatever takes time stays on
    /// its way until somebody settles it.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn hold_changes(&self) -> Result<()> {
        self.pace(FOR_EVER).await
    }

    /// Ends [`Account::hold_changes`]; what is on its way stays there.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn stop_holding_changes(&self) -> Result<()> {
        self.pace(0).await
    }

    /// Lets each state on the way last as many describes.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn pace(&self, polls: u32) -> Result<()> {
        let settings = crate::control::Settings {
            rds_polls: Some(polls),
            ecs_polls: Some(polls),
            autoscaling_polls: Some(polls),
            target_polls: Some(polls),
            ..crate::control::Settings::default()
        };
        Ok(self.control().settings(&settings).await?)
    }
}

/// More describes than any test makes.
const FOR_EVER: u32 = 1_000_000;

impl Environment {
    /// Its name, which is that of its cluster as well.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Makes a database of it.
    ///
    /// # Errors
    /// When RDS refuses.
    pub async fn database(&self, identifier: &str) -> Result<Database> {
        let tags = [(TAG, self.name.as_str())];
        self.account.database(identifier, &tags).await
    }

    /// Makes an Auto Scaling group of it that belongs to no cluster.
    ///
    /// # Errors
    /// When Amazon EC2 Auto Scaling refuses.
    pub async fn group(&self, name: &str, sizes: Sizes) -> Result<Group> {
        let subnets = &self.network.private_subnets;
        let tags = [(TAG, self.name.as_str())];
        self.account.group(name, sizes, subnets, &tags).await
    }

    /// Makes an Auto Scaling group of it that is the capacity of its cluster:
    /// services made from now on run there.
    ///
    /// # Errors
    /// When Amazon EC2 Auto Scaling or Amazon ECS refuses.
    pub async fn capacity(
        &mut self,
        name: &str,
        sizes: Sizes,
        scaling: ManagedScalingStatus,
    ) -> Result<Group> {
        let group = self.group(name, sizes).await?;
        group.provide(&self.name, scaling).await?;
        self.capacity_provider = Some(name.to_owned());
        Ok(group)
    }

    /// Makes a service of it.
    ///
    /// # Errors
    /// When Amazon ECS refuses.
    pub async fn service(&self, name: &str, count: i32) -> Result<Service> {
        self.service_behind(name, count, None).await
    }

    /// Makes a service of it whose tasks are targets of a target group.
    ///
    /// # Errors
    /// When Elastic Load Balancing or Amazon ECS refuses.
    pub async fn balanced_service(&self, name: &str, count: i32) -> Result<Service> {
        let made = self
            .account
            .elbv2()
            .create_target_group()
            .name(format!("{}-{name}", self.name))
            .protocol(ProtocolEnum::Http)
            .port(3000)
            .vpc_id(&self.network.vpc)
            .target_type(TargetTypeEnum::Ip)
            .send()
            .await
            .with_context(|| format!("cannot create a target group for {name}"))?;
        let group = made.target_groups.unwrap_or_default().pop();
        let arn = group.and_then(|group| group.target_group_arn);
        let arn = arn.context("a target group without an ARN")?;
        self.service_behind(name, count, Some(arn)).await
    }

    async fn service_behind(
        &self,
        name: &str,
        count: i32,
        target_group: Option<String>,
    ) -> Result<Service> {
        let image = format!("{}/{name}:1", self.account.registry());
        let task_definition = self.account.task_definition(name, &image).await?;
        let place = Place {
            subnets: self.network.private_subnets.clone(),
            security_group: self.network.security_groups.service.clone(),
            capacity_provider: self.capacity_provider.clone(),
            target_group: target_group.clone(),
            grace_seconds: 0,
        };
        let account = &self.account;
        let made = account
            .service_in(&self.name, name, &task_definition, count, &place)
            .await?;
        let service = Service {
            account: account.clone(),
            cluster: self.name.clone(),
            name: name.to_owned(),
            arn: made.service_arn.context("a service without an ARN")?,
            target_group,
        };
        let tag = Tag::builder().key(TAG).value(&self.name).build();
        account
            .ecs()
            .tag_resource()
            .resource_arn(&service.arn)
            .tags(tag)
            .send()
            .await
            .with_context(|| format!("cannot tag service {name}"))?;
        Ok(service)
    }
}

impl Service {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The name of its cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Its ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The target group of its tasks.
    pub fn target_group(&self) -> Option<&str> {
        self.target_group.as_deref()
    }

    /// What Amazon ECS tells of it, with its tags. Time passes by that.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn describe(&self) -> Result<aws_sdk_ecs::types::Service> {
        let found = self
            .account
            .ecs()
            .describe_services()
            .cluster(&self.cluster)
            .services(&self.name)
            .include(ServiceField::Tags)
            .send()
            .await?;
        let service = found.services.unwrap_or_default().pop();
        service.with_context(|| format!("there is no service {}", self.name))
    }

    /// How many tasks are desired, running and pending.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn counts(&self) -> Result<(i32, i32, i32)> {
        let service = self.describe().await?;
        Ok((
            service.desired_count,
            service.running_count,
            service.pending_count,
        ))
    }

    /// Its tags.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn tags(&self) -> Result<BTreeMap<String, String>> {
        let tags = self.describe().await?.tags.unwrap_or_default().into_iter();
        Ok(tags
            .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
            .collect())
    }

    /// Changes its desired count, as a person would.
    ///
    /// # Errors
    /// When Amazon ECS refuses.
    pub async fn scale(&self, count: i32) -> Result<()> {
        let ecs = self.account.ecs();
        let update = ecs.update_service().cluster(&self.cluster);
        let update = update.service(&self.name).desired_count(count);
        update
            .send()
            .await
            .with_context(|| format!("cannot scale {}", self.name))?;
        Ok(())
    }

    /// The states of its targets, sorted; none without a target group.
    ///
    /// # Errors
    /// When Elastic Load Balancing does not answer.
    pub async fn health(&self) -> Result<Vec<String>> {
        let Some(group) = &self.target_group else {
            return Ok(Vec::new());
        };
        let elb = self.account.elbv2();
        let answer = elb.describe_target_health().target_group_arn(group);
        let found = answer.send().await?;
        let states = found.target_health_descriptions().iter().filter_map(|one| {
            let state = one.target_health()?.state()?;
            Some(state.as_str().to_owned())
        });
        let mut states: Vec<_> = states.collect();
        states.sort();
        Ok(states)
    }

    /// Makes it a scalable target with these bounds, or changes them.
    ///
    /// # Errors
    /// When Application Auto Scaling refuses.
    pub async fn scale_between(&self, min: i32, max: i32) -> Result<()> {
        self.account
            .application_autoscaling()
            .register_scalable_target()
            .service_namespace(ServiceNamespace::Ecs)
            .resource_id(self.resource_id())
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .min_capacity(min)
            .max_capacity(max)
            .send()
            .await
            .with_context(|| format!("cannot make {} a scalable target", self.name))?;
        Ok(())
    }

    /// The scalable target that it is, if it is one.
    ///
    /// # Errors
    /// When Application Auto Scaling does not answer.
    pub async fn scalable_target(&self) -> Result<Option<ScalableTarget>> {
        let scaling = self.account.application_autoscaling();
        let found = scaling
            .describe_scalable_targets()
            .service_namespace(ServiceNamespace::Ecs)
            .resource_ids(self.resource_id())
            .send()
            .await?;
        Ok(found.scalable_targets.unwrap_or_default().pop())
    }

    /// Its id as a scalable target.
    pub fn resource_id(&self) -> String {
        format!("service/{}/{}", self.cluster, self.name)
    }
}
