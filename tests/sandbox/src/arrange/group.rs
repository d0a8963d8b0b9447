//! Auto Scaling groups, alone and as the capacity of a cluster.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use aws_sdk_autoscaling::types::{AutoScalingGroup, Tag};
use aws_sdk_ecs::types::{
    AutoScalingGroupProvider, CapacityProviderStrategyItem, ManagedScaling, ManagedScalingStatus,
};

use crate::account::Account;

/// The sizes of an Auto Scaling group, in instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// `MinSize`.
    pub min: i32,
    /// `DesiredCapacity`, between the others.
    pub desired: i32,
    /// `MaxSize`.
    pub max: i32,
}

/// An Auto Scaling group of an account.
#[derive(Clone, Debug)]
pub struct Group {
    account: Account,
    name: String,
    arn: String,
}

impl Account {
    /// Makes an Auto Scaling group of `t3.medium` instances in some subnets,
    /// with these tags.
    ///
    /// # Errors
    /// When a size is outside the others, or there is a group of this name.
    pub async fn group(
        &self,
        name: &str,
        sizes: Sizes,
        subnets: &[String],
        tags: &[(&str, &str)],
    ) -> Result<Group> {
        let autoscaling = self.autoscaling();
        autoscaling
            .create_launch_configuration()
            .launch_configuration_name(name)
            .image_id("ami-0ec5000000000a123")
            .instance_type("t3.medium")
            .send()
            .await
            .with_context(|| format!("cannot create launch configuration {name}"))?;
        let tag = |(key, value): &(&str, &str)| {
            let tag = Tag::builder().resource_id(name).key(*key).value(*value);
            let tag = tag.resource_type("auto-scaling-group");
            tag.propagate_at_launch(false).build()
        };
        autoscaling
            .create_auto_scaling_group()
            .auto_scaling_group_name(name)
            .launch_configuration_name(name)
            .min_size(sizes.min)
            .max_size(sizes.max)
            .desired_capacity(sizes.desired)
            .vpc_zone_identifier(subnets.join(","))
            .set_tags(Some(tags.iter().map(tag).collect()))
            .send()
            .await
            .with_context(|| format!("cannot create Auto Scaling group {name}"))?;
        self.existing_group(name).await
    }

    /// An Auto Scaling group that is there already.
    ///
    /// # Errors
    /// When it is not.
    pub async fn existing_group(&self, name: &str) -> Result<Group> {
        let arn = describe(self, name).await?.auto_scaling_group_arn;
        Ok(Group {
            account: self.clone(),
            name: name.to_owned(),
            arn: arn.context("an Auto Scaling group without an ARN")?,
        })
    }
}

impl Group {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// What Amazon EC2 Auto Scaling tells of it. Time passes by that.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn describe(&self) -> Result<AutoScalingGroup> {
        describe(&self.account, &self.name).await
    }

    /// Its sizes.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn sizes(&self) -> Result<Sizes> {
        let group = self.describe().await?;
        let sizes = (group.min_size, group.desired_capacity, group.max_size);
        let (Some(min), Some(desired), Some(max)) = sizes else {
            anyhow::bail!("group {} has sizes {sizes:?}", self.name)
        };
        Ok(Sizes { min, desired, max })
    }

    /// The lifecycle states of its instances, sorted.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn instance_states(&self) -> Result<Vec<String>> {
        let group = self.describe().await?;
        let states = group.instances().iter().filter_map(|one| {
            let state = one.lifecycle_state()?;
            Some(state.as_str().to_owned())
        });
        let mut states: Vec<_> = states.collect();
        states.sort();
        Ok(states)
    }

    /// Its tags.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn tags(&self) -> Result<BTreeMap<String, String>> {
        let group = self.describe().await?;
        let tags = group.tags.unwrap_or_default().into_iter();
        Ok(tags
            .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
            .collect())
    }

    /// Changes its sizes, as a person would.
    ///
    /// # Errors
    /// When a size is outside the others.
    pub async fn resize(&self, sizes: Sizes) -> Result<()> {
        let autoscaling = self.account.autoscaling();
        autoscaling
            .update_auto_scaling_group()
            .auto_scaling_group_name(&self.name)
            .min_size(sizes.min)
            .desired_capacity(sizes.desired)
            .max_size(sizes.max)
            .send()
            .await
            .with_context(|| format!("cannot resize group {}", self.name))?;
        Ok(())
    }

    /// Makes it the only capacity provider of a cluster, under its own name,
    /// with managed scaling or without.
    ///
    /// # Errors
    /// When Amazon ECS refuses.
    pub async fn provide(&self, cluster: &str, scaling: ManagedScalingStatus) -> Result<()> {
        let scaling = ManagedScaling::builder().status(scaling);
        let provider = AutoScalingGroupProvider::builder()
            .auto_scaling_group_arn(&self.arn)
            .managed_scaling(scaling.target_capacity(100).build());
        let ecs = self.account.ecs();
        ecs.create_capacity_provider()
            .name(&self.name)
            .auto_scaling_group_provider(provider.build()?)
            .send()
            .await
            .with_context(|| format!("cannot create capacity provider {}", self.name))?;
        let strategy = CapacityProviderStrategyItem::builder()
            .capacity_provider(&self.name)
            .weight(1);
        ecs.put_cluster_capacity_providers()
            .cluster(cluster)
            .capacity_providers(&self.name)
            .default_capacity_provider_strategy(strategy.build()?)
            .send()
            .await
            .with_context(|| format!("cannot give cluster {cluster} its capacity"))?;
        Ok(())
    }
}

async fn describe(account: &Account, name: &str) -> Result<AutoScalingGroup> {
    let found = account
        .autoscaling()
        .describe_auto_scaling_groups()
        .auto_scaling_group_names(name)
        .send()
        .await?;
    let group = found.auto_scaling_groups.unwrap_or_default().pop();
    group.with_context(|| format!("there is no Auto Scaling group {name}"))
}
