//! Auto Scaling groups and container instances.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types as asg;
use aws_sdk_ecs::types as ecs;
use futures::{StreamExt, TryStreamExt, future, stream};
use steward::aws;
use steward::engine::{Hides, Seen};

use super::once::Once;
use super::services::whole;
use super::{Alarms, CALLS_AT_ONCE, Read, Unread, count, tags};
use crate::action::short;
use crate::world::{Group, Instance, Target, World};

/// The most that one call describes (Amazon ECS and Amazon EC2 Auto Scaling API
/// References).
const MOST_INSTANCES: usize = 100;
const MOST_GROUPS: usize = 50;
const MOST_MEMBERS: usize = 50;

const CLUSTERS: &str = "ecs:DescribeClusters";
const PROVIDERS: &str = "ecs:DescribeCapacityProviders";
const LIST_INSTANCES: &str = "ecs:ListContainerInstances";
const INSTANCES: &str = "ecs:DescribeContainerInstances";
const GROUPS: &str = "autoscaling:DescribeAutoScalingGroups";
const OF_GROUPS: &str = "autoscaling:DescribeAutoScalingInstances";

/// The Auto Scaling group of a capacity provider.
#[derive(Clone, Debug)]
pub(super) struct GroupOf {
    pub(super) provider: String,
    pub(super) group: String,
}

/// A capacity provider of an Auto Scaling group.
struct Provider {
    name: String,
    group: String,
    is_managed: bool,
}

impl Alarms {
    /// The Auto Scaling groups of a cluster's capacity providers.
    pub(super) async fn groups_of_cluster(&self, cluster: &str) -> Read<Vec<GroupOf>> {
        let request = self.ecs.describe_clusters().clusters(cluster);
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = answer.map_err(|error| Unread::of(CLUSTERS, aws::explain(&error)))?;
        let failures = answer.failures.unwrap_or_default();
        let clusters = whole(CLUSTERS, 1, answer.clusters, &failures)?;
        let names: Vec<String> = clusters
            .iter()
            .flat_map(|it| it.capacity_providers().to_vec())
            .collect();
        if names.is_empty() {
            return Ok(vec![]);
        }
        let providers = self.providers(Some(names)).await?;
        let of = |it: Provider| GroupOf {
            provider: it.name,
            group: it.group,
        };
        Ok(providers.into_iter().map(of).collect())
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
                name: it.name().unwrap_or_default().to_owned(),
                group: short(provider.auto_scaling_group_arn()).to_owned(),
                is_managed: status == Some(&ecs::ManagedScalingStatus::Enabled),
            })
        });
        Ok(of_groups.collect())
    }

    /// Looks at Auto Scaling groups.
    pub(super) async fn groups(
        &self,
        names: &BTreeSet<String>,
        once: &Once,
        seen: &mut Seen<World>,
    ) {
        match self.try_groups(names, once).await {
            Ok(found) => {
                let absent = names.iter().filter(|name| !found.contains_key(*name));
                let absent: Vec<Target> = absent.cloned().map(Target::Group).collect();
                seen.world.absent.extend(absent);
                seen.world.groups.extend(found);
            }
            Err(unread) => seen.gaps.push(unread.gap(Hides::Units(names.clone()))),
        }
    }

    async fn try_groups(
        &self,
        names: &BTreeSet<String>,
        once: &Once,
    ) -> Read<BTreeMap<String, Group>> {
        let names: Vec<String> = names.iter().cloned().collect();
        let groups: Vec<BTreeMap<String, Group>> = stream::iter(names.chunks(MOST_GROUPS))
            .map(|chunk| self.describe_groups(chunk.to_vec()))
            .buffered(CALLS_AT_ONCE)
            .try_collect()
            .await?;
        let mut groups: BTreeMap<String, Group> = groups.into_iter().flatten().collect();
        if groups.is_empty() {
            return Ok(groups);
        }
        let (providers, connected) =
            future::try_join(self.providers(None), self.connected(once)).await?;
        for provider in providers {
            if let Some(group) = groups.get_mut(&provider.group) {
                group.is_managed = provider.is_managed;
            }
        }
        for group in groups.values_mut() {
            let of = group.in_service.intersection(&connected).count();
            group.connected = u32::try_from(of).unwrap_or(u32::MAX);
        }
        Ok(groups)
    }

    /// The EC2 instances of the account whose agents are connected and that take tasks.
    async fn connected(&self, once: &Once) -> Read<BTreeSet<String>> {
        let clusters = self.all_clusters(once).await?;
        let instances: Vec<Vec<ecs::ContainerInstance>> = stream::iter(&clusters)
            .map(|cluster| async move {
                let arns = self.list_instances(cluster, None).await?;
                self.describe_instances(cluster, &arns).await
            })
            .buffered(CALLS_AT_ONCE)
            .try_collect()
            .await?;
        let mut instances: Vec<ecs::ContainerInstance> = instances.into_iter().flatten().collect();
        instances.retain(|it| it.agent_connected() && it.status() == Some("ACTIVE"));
        let ids = instances.into_iter().filter_map(|it| it.ec2_instance_id);
        Ok(ids.collect())
    }

    /// Auto Scaling groups of these names; those that are gone are left out.
    pub(crate) async fn describe_groups(
        &self,
        names: Vec<String>,
    ) -> Read<BTreeMap<String, Group>> {
        let pages = self.groups.describe_auto_scaling_groups();
        let pages = pages.set_auto_scaling_group_names(Some(names));
        let pages = pages.into_paginator().send();
        let (groups, incomplete) = aws::read_pages_at(&self.groups_pace, pages, |page| {
            (page.auto_scaling_groups, page.next_token)
        })
        .await;
        if let Some(why) = incomplete {
            return Err(Unread::of(GROUPS, why.to_string()));
        }
        // What is left out would pass for gone.
        let groups: Option<BTreeMap<String, Group>> = groups.iter().map(of_group).collect();
        groups.ok_or_else(|| Unread::of(GROUPS, "a group has no name, ARN, size or tags"))
    }

    async fn list_instances(
        &self,
        cluster: &str,
        filter: Option<String>,
    ) -> Read<BTreeSet<String>> {
        // Without a status ECS leaves out those that are drained.
        let of = |status| self.list_instances_of(cluster, filter.clone(), status);
        let (active, draining) = future::try_join(
            of(ecs::ContainerInstanceStatus::Active),
            of(ecs::ContainerInstanceStatus::Draining),
        )
        .await?;
        Ok(active.into_iter().chain(draining).collect())
    }

    async fn list_instances_of(
        &self,
        cluster: &str,
        filter: Option<String>,
        status: ecs::ContainerInstanceStatus,
    ) -> Read<Vec<String>> {
        let pages = self
            .ecs
            .list_container_instances()
            .cluster(cluster)
            .set_filter(filter)
            .status(status);
        let pages = pages.into_paginator().page_size(100).send();
        let (found, incomplete) = aws::read_pages_at(&self.ecs_pace, pages, |page| {
            (page.container_instance_arns, page.next_token)
        })
        .await;
        match incomplete {
            None => Ok(found),
            Some(why) => Err(Unread::of(LIST_INSTANCES, why.to_string())),
        }
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
            let answer = match self.ecs_pace.call(request.send()).await {
                Err(error) if aws::code(&error) == Some("ClusterNotFoundException") => {
                    return Ok(vec![]);
                }
                answer => answer,
            };
            let answer = answer.map_err(|error| Unread::of(INSTANCES, aws::explain(&error)))?;
            let failures = answer.failures.unwrap_or_default();
            let told = answer.container_instances;
            instances.extend(whole(INSTANCES, chunk.len(), told, &failures)?);
        }
        let has_all = |it: &ecs::ContainerInstance| {
            it.container_instance_arn().is_some() && it.status().is_some()
        };
        match instances.iter().all(has_all) {
            true => Ok(instances),
            false => Err(Unread::of(INSTANCES, "an instance has no ARN or status")),
        }
    }

    /// Looks at container instances, by the names of their clusters.
    pub(super) async fn instances(
        &self,
        wanted: &BTreeMap<String, BTreeSet<String>>,
    ) -> Seen<World> {
        let looked: Vec<_> = stream::iter(wanted)
            .map(|(cluster, arns)| async move {
                (cluster, arns, self.try_instances(cluster, arns).await)
            })
            .buffered(CALLS_AT_ONCE)
            .collect()
            .await;
        let mut seen = Seen::<World>::default();
        for (cluster, arns, found) in looked {
            let of = |arn: &String| Target::Instance {
                cluster: cluster.clone(),
                instance: arn.clone(),
            };
            match found {
                Ok(found) => {
                    let absent = arns.iter().filter(|arn| !found.contains_key(*arn));
                    seen.world.absent.extend(absent.map(of));
                    seen.world.instances.extend(found);
                }
                Err(unread) => {
                    let hidden = arns.iter().map(|arn| of(arn).name()).collect();
                    seen.gaps.push(unread.gap(Hides::Units(hidden)));
                }
            }
        }
        seen
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
        // Those that are not EC2's have other ids, and are of no group.
        let ids = instances.values().map(|it| it.ec2.clone());
        let ids: Vec<String> = ids.filter(|id| id.starts_with("i-")).collect();
        let mut members = Vec::new();
        for chunk in ids.chunks(MOST_MEMBERS) {
            let pages = self.groups.describe_auto_scaling_instances();
            let pages = pages.set_instance_ids(Some(chunk.to_vec()));
            let pages = pages.into_paginator().send();
            let (found, incomplete) = aws::read_pages_at(&self.groups_pace, pages, |page| {
                (page.auto_scaling_instances, page.next_token)
            })
            .await;
            if let Some(why) = incomplete {
                return Err(Unread::of(OF_GROUPS, why.to_string()));
            }
            members.extend(found);
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

/// A group; `None` is one that lacks what it cannot be without.
fn of_group(group: &asg::AutoScalingGroup) -> Option<(String, Group)> {
    let in_service = group.instances().iter().filter(|it| {
        it.lifecycle_state() == Some(&asg::LifecycleState::InService)
            && it.health_status() == Some("Healthy")
    });
    // The SDK makes an empty text of a name that is absent and must not be.
    let name = group.auto_scaling_group_name()?;
    let name = (!name.is_empty()).then(|| name.to_owned())?;
    let group = Group {
        arn: group.auto_scaling_group_arn()?.to_owned(),
        tags: tags(
            group
                .tags
                .as_ref()?
                .iter()
                .map(|tag| (tag.key(), tag.value())),
        ),
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
        is_of_provider: instance.capacity_provider_name().is_some(),
        tags: tags(instance.tags().iter().map(|tag| (tag.key(), tag.value()))),
    })
}
