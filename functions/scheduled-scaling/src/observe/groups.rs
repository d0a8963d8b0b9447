//! Auto Scaling groups, with the capacity providers that look after them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{AutoScalingGroup, Filter, LifecycleState};
use aws_sdk_ecs::types::{
    CapacityProvider, CapacityProviderStatus, ContainerInstanceStatus, ManagedScalingStatus,
};
use futures::{StreamExt, stream};
use steward::aws;
use steward::names::ENVIRONMENT;

use super::services::{is_whole, short};
use super::{CALLS_AT_ONCE, Environments, Reading, Wish, count, tags};
use crate::world::{Group, Kind, Look, Resource};

/// The largest page (`MaxRecords`, Amazon EC2 Auto Scaling API Reference).
const PAGE: i32 = 100;
/// The most that one call describes (Amazon ECS API Reference,
/// `DescribeContainerInstances` and `DescribeClusters`).
const MOST: usize = 100;

const GROUPS: &str = "autoscaling:DescribeAutoScalingGroups";
const PROVIDERS: &str = "ecs:DescribeCapacityProviders";
const CLUSTERS: &str = "ecs:DescribeClusters";
const LIST: &str = "ecs:ListContainerInstances";
const INSTANCES: &str = "ecs:DescribeContainerInstances";

type Failed = (String, &'static str);

/// What takes tasks.
#[derive(Default)]
struct Registered {
    /// The EC2 instances.
    instances: BTreeSet<String>,
    /// The capacity providers that a cluster uses.
    providers: BTreeSet<String>,
}

impl Environments {
    pub(super) async fn capacity(&self, wish: &Wish<'_>) -> Reading {
        let mut reading = Reading::nothing();
        let Some(untagged) = wish.kinds(Look::Whole, |member| &member.groups) else {
            return reading;
        };
        reading.is_listed = true;
        let filter = Filter::builder().name("tag-key").values(ENVIRONMENT);
        let request = self.groups.describe_auto_scaling_groups();
        let request = request.max_records(PAGE);
        let request = if untagged {
            request
        } else {
            request.filters(filter.build())
        };
        let pages = request.into_paginator().send();
        let (groups, incomplete) = aws::read_pages_at(&self.groups_pace, pages, |page| {
            (page.auto_scaling_groups, page.next_token)
        })
        .await;
        if let Some(why) = incomplete {
            reading.failed.push((format!("{GROUPS}: {why}"), GROUPS));
        }
        let mut wanted: Vec<(Resource, AutoScalingGroup)> = Vec::new();
        for group in groups {
            match group_of(&group) {
                None => reading.failed.push((
                    format!("{GROUPS}: a group has no ARN, name, size or tags"),
                    GROUPS,
                )),
                Some(resource) => {
                    let arn = resource.arn.clone();
                    match wish.take(resource) {
                        Some(resource) => wanted.push((resource, group)),
                        None => reading.others.push(arn),
                    }
                }
            }
        }
        if wanted.is_empty() {
            return reading;
        }
        let providers = match self.providers().await {
            Ok(providers) => providers,
            Err(failed) => {
                // Whether ECS moves their sizes is not known.
                reading.failed.push(failed);
                return reading;
            }
        };
        let of = |resource: &Resource| providers.get(&resource.arn);
        for (resource, _) in &mut wanted {
            let is_managed = of(resource).is_some_and(|(_, is_managed)| *is_managed);
            if let Kind::Group(kind) = &mut resource.kind {
                kind.is_managed = is_managed;
            }
        }
        let running: BTreeSet<&str> = wanted
            .iter()
            .filter(|(resource, _)| wish.may_be_ready(resource))
            .filter_map(|(resource, _)| Some(of(resource)?.0.as_str()))
            .collect();
        let registered = if running.is_empty() {
            Ok(Registered::default())
        } else {
            self.registered(&running).await
        };
        let (registered, is_known) = match registered {
            Ok(registered) => (registered, true),
            Err(failed) => {
                reading.failed.push(failed);
                (Registered::default(), false)
            }
        };
        for (mut resource, group) in wanted {
            // One that no cluster uses has no instances to register.
            let registers = of(&resource).is_some_and(|(name, _)| {
                let is_used = !is_known || registered.providers.contains(name);
                running.contains(name.as_str()) && is_used
            });
            if let Kind::Group(kind) = &mut resource.kind {
                let ids = group.instances().iter().filter_map(|it| it.instance_id());
                let own = ids.filter(|id| registered.instances.contains(*id)).count();
                kind.registered = registers.then(|| {
                    if is_known {
                        u32::try_from(own).unwrap_or(u32::MAX)
                    } else {
                        0
                    }
                });
            }
            reading.resources.push(resource);
        }
        reading
    }

    /// The name of each group's capacity provider, by the ARN of the group, and
    /// whether it moves the group's size.
    async fn providers(&self) -> Result<BTreeMap<String, (String, bool)>, Failed> {
        let page = |token: Option<String>| {
            let request = self.ecs.describe_capacity_providers();
            let request = request.set_next_token(token);
            async move {
                let answer = self.ecs_pace.call(request.send()).await;
                answer.map(|answer| (answer.capacity_providers, answer.next_token))
            }
        };
        let (providers, incomplete) = aws::read_pages_by_token(page).await;
        if let Some(why) = incomplete {
            return Err((format!("{PROVIDERS}: {why}"), PROVIDERS));
        }
        let of = |provider: CapacityProvider| {
            // One that was deleted is told of for a while (`DescribeCapacityProviders`).
            let is_active = provider.status() == Some(&CapacityProviderStatus::Active);
            let group = provider.auto_scaling_group_provider.as_ref();
            let group = group.filter(|_| is_active)?;
            let scaling = group.managed_scaling().and_then(|scaling| scaling.status());
            let is_managed = scaling == Some(&ManagedScalingStatus::Enabled);
            let name = provider.name()?.to_owned();
            Some((
                group.auto_scaling_group_arn().to_owned(),
                (name, is_managed),
            ))
        };
        Ok(providers.into_iter().filter_map(of).collect())
    }

    /// The EC2 instances that take tasks of the clusters with these capacity
    /// providers.
    async fn registered(&self, providers: &BTreeSet<&str>) -> Result<Registered, Failed> {
        let arns = self.clusters().await?;
        let mut clusters = Vec::new();
        let mut all = Registered::default();
        for chunk in arns.chunks(MOST) {
            let request = self.ecs.describe_clusters();
            let request = request.set_clusters(Some(chunk.to_vec()));
            let answer = self.ecs_pace.call(request.send()).await;
            let failed = |why: String| (format!("{CLUSTERS}: {why}"), CLUSTERS);
            let answer = answer.map_err(|error| failed(aws::explain(&error)))?;
            is_whole(chunk.len(), answer.clusters().len(), answer.failures()).map_err(failed)?;
            let described = answer.clusters.unwrap_or_default();
            let uses = |name: &String| providers.contains(name.as_str());
            let is_wanted = |cluster: &aws_sdk_ecs::types::Cluster| {
                cluster.capacity_providers().iter().any(uses)
            };
            for cluster in &described {
                let used = cluster
                    .capacity_providers()
                    .iter()
                    .filter(|name| uses(name));
                all.providers.extend(used.cloned());
            }
            let names = described.into_iter().filter(is_wanted);
            clusters.extend(names.filter_map(|cluster| cluster.cluster_arn));
        }
        let mut answers = stream::iter(clusters)
            .map(|cluster| async move { self.registered_in(&cluster).await })
            .buffer_unordered(CALLS_AT_ONCE);
        while let Some(answer) = answers.next().await {
            all.instances.extend(answer?);
        }
        Ok(all)
    }

    async fn registered_in(&self, cluster: &str) -> Result<Vec<String>, Failed> {
        let name = short(cluster);
        let pages = self.ecs.list_container_instances().cluster(cluster);
        let pages = pages.status(ContainerInstanceStatus::Active);
        let pages = pages.into_paginator().page_size(100).send();
        let (arns, incomplete) = aws::read_pages_at(&self.ecs_pace, pages, |page| {
            (page.container_instance_arns, page.next_token)
        })
        .await;
        match incomplete {
            // Deleted since it was listed.
            Some(why) if why.code() == Some("ClusterNotFoundException") => {}
            Some(why) => return Err((format!("{LIST} of {name}: {why}"), LIST)),
            None => {}
        }
        let mut ids = Vec::new();
        for chunk in arns.chunks(MOST) {
            let request = self.ecs.describe_container_instances().cluster(cluster);
            let request = request.set_container_instances(Some(chunk.to_vec()));
            let failed = |why: String| (format!("{INSTANCES} of {name}: {why}"), INSTANCES);
            let answer = match self.ecs_pace.call(request.send()).await {
                Ok(answer) => answer,
                Err(error) if aws::code(&error) == Some("ClusterNotFoundException") => break,
                Err(error) => return Err(failed(aws::explain(&error))),
            };
            let told = answer.container_instances().len();
            is_whole(chunk.len(), told, answer.failures()).map_err(failed)?;
            let instances = answer.container_instances.unwrap_or_default().into_iter();
            let connected = instances.filter(|instance| instance.agent_connected());
            ids.extend(connected.filter_map(|instance| instance.ec2_instance_id));
        }
        Ok(ids)
    }
}

/// A group as it was described; `None` when something is missing that decides.
pub(crate) fn group_of(group: &AutoScalingGroup) -> Option<Resource> {
    let of = group.tags.as_ref()?.iter();
    let instances = group.instances();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    // The SDK makes an empty text of what is absent and must not be.
    let name = group.auto_scaling_group_name();
    let name = name.filter(|name| !name.is_empty())?;
    let serves = |instance: &&aws_sdk_autoscaling::types::Instance| {
        instance.lifecycle_state() == Some(&LifecycleState::InService)
            && instance.health_status() == Some("Healthy")
    };
    let is_protected = |instance: &&aws_sdk_autoscaling::types::Instance| {
        instance.protected_from_scale_in() == Some(true)
    };
    Some(Resource {
        arn: group.auto_scaling_group_arn()?.to_owned(),
        name: name.to_owned(),
        tags: tags(of.map(|tag| (tag.key(), tag.value()))),
        saved: None,
        raised_from: None,
        kind: Kind::Group(Group {
            min: count(group.min_size()?),
            desired: count(group.desired_capacity()?),
            max: count(group.max_size()?),
            instances: number(instances.len()),
            in_service: number(instances.iter().filter(serves).count()),
            protected: number(instances.iter().filter(is_protected).count()),
            is_managed: false,
            registered: None,
        }),
    })
}
