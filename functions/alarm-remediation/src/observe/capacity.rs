//! Auto Scaling groups and container instances.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types as asg;
use aws_sdk_ecs::types as ecs;
use steward::aws;
use steward::engine::{Hides, Seen};

use super::{Alarms, Read, Unread, count, tags};
use crate::action::short;
use crate::world::{Group, Instance, Target, World};

/// The most that one call describes (Amazon ECS and Amazon EC2 Auto Scaling API
/// References).
const MOST_INSTANCES: usize = 100;
const MOST_GROUPS: usize = 50;

const CLUSTERS: &str = "ecs:DescribeClusters";
const PROVIDERS: &str = "ecs:DescribeCapacityProviders";
const LIST_INSTANCES: &str = "ecs:ListContainerInstances";
const INSTANCES: &str = "ecs:DescribeContainerInstances";
const GROUPS: &str = "autoscaling:DescribeAutoScalingGroups";
const OF_GROUPS: &str = "autoscaling:DescribeAutoScalingInstances";

/// A capacity provider of an Auto Scaling group.
struct Provider {
    group: String,
    is_managed: bool,
}

impl Alarms {
    /// The Auto Scaling groups of a cluster's capacity providers.
    pub(super) async fn groups_of_cluster(&self, cluster: &str) -> Read<Vec<String>> {
        let request = self.ecs.describe_clusters().clusters(cluster);
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = answer.map_err(|error| Unread::of(CLUSTERS, aws::explain(&error)))?;
        let names = answer.clusters().iter();
        let names: Vec<String> = names
            .flat_map(|it| it.capacity_providers().to_vec())
            .collect();
        if names.is_empty() {
            return Ok(vec![]);
        }
        let providers = self.providers(Some(names)).await?;
        Ok(providers.into_iter().map(|it| it.group).collect())
    }

    /// Capacity providers of Auto Scaling groups: these, or all.
    async fn providers(&self, names: Option<Vec<String>>) -> Read<Vec<Provider>> {
        let answers = aws::read_pages_by_token(|token| {
            let request = self
                .ecs
                .describe_capacity_providers()
                .set_capacity_providers(names.clone())
                .set_next_token(token);
            async {
                let answer = self.ecs_pace.call(request.send()).await;
                answer.map(|answer| (answer.capacity_providers, answer.next_token))
            }
        });
        let (all, incomplete) = answers.await;
        if let Some(why) = incomplete {
            return Err(Unread::of(PROVIDERS, why.to_string()));
        }
        let of_groups = all.iter().filter_map(|it| {
            let provider = it.auto_scaling_group_provider()?;
            let scaling = provider.managed_scaling();
            let status = scaling.and_then(ecs::ManagedScaling::status);
            Some(Provider {
                group: short(provider.auto_scaling_group_arn()).to_owned(),
                is_managed: status == Some(&ecs::ManagedScalingStatus::Enabled),
            })
        });
        Ok(of_groups.collect())
    }

    /// Looks at Auto Scaling groups.
    pub(super) async fn groups(&self, names: &BTreeSet<String>, seen: &mut Seen<World>) {
        match self.try_groups(names).await {
            Ok(found) => {
                let absent = names.iter().filter(|name| !found.contains_key(*name));
                let absent: Vec<Target> = absent.cloned().map(Target::Group).collect();
                seen.world.absent.extend(absent);
                seen.world.groups.extend(found);
            }
            Err(unread) => seen.gaps.push(unread.gap(Hides::Units(names.clone()))),
        }
    }

    async fn try_groups(&self, names: &BTreeSet<String>) -> Read<BTreeMap<String, Group>> {
        let names: Vec<String> = names.iter().cloned().collect();
        let mut groups = BTreeMap::new();
        for chunk in names.chunks(MOST_GROUPS) {
            for group in self.describe_groups(chunk.to_vec()).await? {
                if let Some((name, group)) = of_group(&group) {
                    groups.insert(name, group);
                }
            }
        }
        if groups.is_empty() {
            return Ok(groups);
        }
        for provider in self.providers(None).await? {
            if let Some(group) = groups.get_mut(&provider.group) {
                group.is_managed = provider.is_managed;
            }
        }
        let is_ours = |id: &str| groups.values().any(|it| it.in_service.contains(id));
        let mut connected: BTreeSet<String> = BTreeSet::new();
        for cluster in self.clusters().await? {
            let arns = self.list_instances(&cluster, None).await?;
            for instance in self.describe_instances(&cluster, &arns).await? {
                let id = instance.ec2_instance_id().unwrap_or_default();
                if instance.agent_connected() && instance.status() == Some("ACTIVE") && is_ours(id)
                {
                    connected.insert(id.to_owned());
                }
            }
        }
        for group in groups.values_mut() {
            let of = group.in_service.intersection(&connected).count();
            group.connected = u32::try_from(of).unwrap_or(u32::MAX);
        }
        Ok(groups)
    }

    /// Auto Scaling groups of these names.
    pub(crate) async fn describe_groups(
        &self,
        names: Vec<String>,
    ) -> Read<Vec<asg::AutoScalingGroup>> {
        let pages = self.groups.describe_auto_scaling_groups();
        let pages = pages.set_auto_scaling_group_names(Some(names));
        let pages = pages.into_paginator().send();
        let (groups, incomplete) = aws::read_pages_at(&self.groups_pace, pages, |page| {
            (page.auto_scaling_groups, page.next_token)
        })
        .await;
        match incomplete {
            None => Ok(groups),
            Some(why) => Err(Unread::of(GROUPS, why.to_string())),
        }
    }

    async fn list_instances(
        &self,
        cluster: &str,
        filter: Option<String>,
    ) -> Read<BTreeSet<String>> {
        let mut arns = BTreeSet::new();
        // Without a status ECS leaves out those that are drained.
        for status in [
            ecs::ContainerInstanceStatus::Active,
            ecs::ContainerInstanceStatus::Draining,
        ] {
            let pages = self
                .ecs
                .list_container_instances()
                .cluster(cluster)
                .set_filter(filter.clone())
                .status(status);
            let pages = pages.into_paginator().page_size(100).send();
            let (found, incomplete) = aws::read_pages_at(&self.ecs_pace, pages, |page| {
                (page.container_instance_arns, page.next_token)
            })
            .await;
            if let Some(why) = incomplete {
                return Err(Unread::of(LIST_INSTANCES, why.to_string()));
            }
            arns.extend(found);
        }
        Ok(arns)
    }

    /// The ARNs of the container instances on an EC2 instance.
    pub(super) async fn container_instances_on(
        &self,
        cluster: &str,
        id: &str,
    ) -> Read<BTreeSet<String>> {
        let filter = format!("ec2InstanceId == '{id}'");
        self.list_instances(cluster, Some(filter)).await
    }

    /// Container instances of a cluster with their tags; those that are gone are left out.
    pub(crate) async fn describe_instances(
        &self,
        cluster: &str,
        arns: &BTreeSet<String>,
    ) -> Read<Vec<ecs::ContainerInstance>> {
        let arns: Vec<String> = arns.iter().cloned().collect();
        let mut instances = Vec::new();
        for chunk in arns.chunks(MOST_INSTANCES) {
            let request = self
                .ecs
                .describe_container_instances()
                .cluster(cluster)
                .set_container_instances(Some(chunk.to_vec()))
                .include(ecs::ContainerInstanceField::Tags);
            let answer = self.ecs_pace.call(request.send()).await;
            let answer = answer.map_err(|error| Unread::of(INSTANCES, aws::explain(&error)))?;
            let mut failures = answer.failures().iter();
            if let Some(failure) = failures.find(|it| it.reason() != Some("MISSING")) {
                let why = failure.reason().unwrap_or("a failure without a reason");
                return Err(Unread::of(INSTANCES, why));
            }
            instances.extend(answer.container_instances().to_vec());
        }
        Ok(instances)
    }

    /// Looks at container instances of a cluster.
    pub(super) async fn instances(
        &self,
        cluster: &str,
        arns: &BTreeSet<String>,
        seen: &mut Seen<World>,
    ) {
        let of = |arn: &String| Target::Instance {
            cluster: cluster.to_owned(),
            instance: arn.clone(),
        };
        match self.try_instances(cluster, arns).await {
            Ok(found) => {
                for arn in arns {
                    match found.get(arn) {
                        Some(instance) => {
                            seen.world.instances.insert(arn.clone(), instance.clone());
                        }
                        None => {
                            seen.world.absent.insert(of(arn));
                        }
                    }
                }
            }
            Err(unread) => {
                let hidden = arns.iter().map(|arn| of(arn).name()).collect();
                seen.gaps.push(unread.gap(Hides::Units(hidden)));
            }
        }
    }

    async fn try_instances(
        &self,
        cluster: &str,
        arns: &BTreeSet<String>,
    ) -> Read<BTreeMap<String, Instance>> {
        let found = self.describe_instances(cluster, arns).await?;
        let mut instances: BTreeMap<String, Instance> = BTreeMap::new();
        for instance in &found {
            if let Some(instance) = of_instance(cluster, instance) {
                instances.insert(instance.arn.clone(), instance);
            }
        }
        let ids: Vec<String> = instances.values().map(|it| it.ec2.clone()).collect();
        if ids.is_empty() {
            return Ok(instances);
        }
        let pages = self.groups.describe_auto_scaling_instances();
        let pages = pages.set_instance_ids(Some(ids)).into_paginator().send();
        let (members, incomplete) = aws::read_pages_at(&self.groups_pace, pages, |page| {
            (page.auto_scaling_instances, page.next_token)
        })
        .await;
        if let Some(why) = incomplete {
            return Err(Unread::of(OF_GROUPS, why.to_string()));
        }
        for instance in instances.values_mut() {
            let mut of = members.iter();
            let of = of.find(|it| it.instance_id() == Some(&instance.ec2));
            instance.group = of
                .and_then(|it| it.auto_scaling_group_name())
                .map(str::to_owned);
        }
        Ok(instances)
    }
}

pub(crate) fn of_group(group: &asg::AutoScalingGroup) -> Option<(String, Group)> {
    let in_service = group.instances().iter().filter(|it| {
        it.lifecycle_state() == Some(&asg::LifecycleState::InService)
            && it.health_status() == Some("Healthy")
    });
    let name = group.auto_scaling_group_name()?.to_owned();
    let group = Group {
        arn: group.auto_scaling_group_arn()?.to_owned(),
        tags: tags(group.tags().iter().map(|tag| (tag.key(), tag.value()))),
        min: count(group.min_size()?),
        desired: count(group.desired_capacity()?),
        max: count(group.max_size()?),
        in_service: in_service
            .filter_map(|it| Some(it.instance_id()?.to_owned()))
            .collect(),
        is_managed: false,
        connected: 0,
    };
    Some((name, group))
}

pub(crate) fn of_instance(cluster: &str, instance: &ecs::ContainerInstance) -> Option<Instance> {
    Some(Instance {
        arn: instance.container_instance_arn()?.to_owned(),
        ec2: instance.ec2_instance_id().unwrap_or_default().to_owned(),
        cluster: cluster.to_owned(),
        group: None,
        status: instance.status().unwrap_or_default().to_owned(),
        is_connected: instance.agent_connected(),
        tasks: count(instance.running_tasks_count()),
        tags: tags(instance.tags().iter().map(|tag| (tag.key(), tag.value()))),
    })
}
