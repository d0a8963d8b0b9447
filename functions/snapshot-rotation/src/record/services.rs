//! The services of Amazon ECS, their clusters and releases, and how they are
//! scaled, in AWS's own words.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_applicationautoscaling::error::SdkError;
use aws_sdk_applicationautoscaling::types::ServiceNamespace;
use aws_sdk_ecs::types::{ClusterField, Failure, ServiceField, TaskDefinitionField};
use futures::{StreamExt, stream};
use steward::aws;
use steward::restore_point::AsAnswered;

use super::answer::{Answer, settle, text};
use super::applications::told;
use super::{AT_ONCE, Reads, Recorder};
use crate::policy::Application as ServiceName;
use steward::names::ENVIRONMENT;

/// The most that one call describes (Amazon ECS API Reference,
/// `DescribeServices`, `DescribeClusters`, `DescribeServiceRevisions`).
const MOST_SERVICES: usize = 10;
const MOST_CLUSTERS: usize = 100;
const MOST_REVISIONS: usize = 20;

/// What of a cluster is state, not setting.
const STATE_OF_CLUSTERS: [&str; 7] = [
    "status",
    "registeredContainerInstancesCount",
    "runningTasksCount",
    "pendingTasksCount",
    "activeServicesCount",
    "statistics",
    "attachmentsStatus",
];

/// What of scaling is state, not setting.
const STATE_OF_SCALING: [&str; 2] = ["CreationTime", "PredictedCapacity"];

/// Services that were looked for, by name.
#[derive(Default)]
pub(super) struct Found {
    /// As `DescribeServices` tells of them.
    pub(super) services: Reads<AsAnswered>,
    /// Those of each environment, by its name.
    pub(super) environments: BTreeMap<String, BTreeSet<ServiceName>>,
    /// Why there may be more.
    pub(super) unlisted: Vec<String>,
}

/// What Application Auto Scaling answers to one listing.
pub(super) type Listing = Result<Vec<AsAnswered>, String>;

/// Everything that scales services.
pub(super) struct Scalings {
    pub(super) targets: Listing,
    pub(super) policies: Listing,
    pub(super) scheduled_actions: Listing,
}

/// The last part of an ARN.
pub(super) fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The name of a service as it is described.
fn name_of(service: &AsAnswered) -> Option<ServiceName> {
    Some(ServiceName {
        cluster: short(text(service, "clusterArn")?).to_owned(),
        service: text(service, "serviceName")?.to_owned(),
    })
}

/// The value of its tag `steward:environment`.
fn environment_of(service: &AsAnswered) -> Option<&str> {
    let tags = super::answer::objects(&service.0, "tags");
    let mut tags = tags.filter(|tag| tag.get("key").is_some_and(|key| key == ENVIRONMENT));
    tags.next()?.get("value")?.as_str()
}

/// What a describe left open inside an HTTP 200; a thing that is missing is not
/// there.
fn open(operation: &str, failures: &[Failure]) -> Result<(), String> {
    match failures.iter().find(|f| f.reason() != Some("MISSING")) {
        None => Ok(()),
        Some(failure) => Err(format!(
            "{operation} of {}: {}",
            short(failure.arn().unwrap_or_default()),
            failure.reason().unwrap_or("failed without a reason")
        )),
    }
}

impl Recorder {
    /// The services of these names, and all of these environments.
    pub(super) async fn services(
        &self,
        named: &BTreeSet<ServiceName>,
        environments: &BTreeSet<String>,
    ) -> Found {
        let mut found = Found::default();
        if !environments.is_empty() {
            self.services_of(environments, &mut found).await;
        }
        let mut by_cluster: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for name in named {
            if !found.services.contains_key(&told(name)) {
                let services = by_cluster.entry(&name.cluster).or_default();
                services.push(name.service.clone());
            }
        }
        let mut chunks = Vec::new();
        for (cluster, services) in by_cluster {
            for chunk in services.chunks(MOST_SERVICES) {
                chunks.push((cluster, chunk.to_vec()));
            }
        }
        let described: Vec<_> = stream::iter(chunks)
            .map(|(cluster, chunk)| async move {
                let described = self.describe_services(cluster, &chunk).await;
                (cluster, chunk, described)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (cluster, chunk, described) in described {
            let mut by_name: BTreeMap<ServiceName, AsAnswered> = BTreeMap::new();
            let why = described.map(|services| {
                let services = services.into_iter();
                by_name.extend(services.filter_map(|each| Some((name_of(&each)?, each))));
            });
            for service in chunk {
                let name = ServiceName {
                    cluster: cluster.to_owned(),
                    service,
                };
                let read = match (by_name.remove(&name), &why) {
                    (Some(service), _) => Ok(service),
                    (None, Err(why)) => Err(why.clone()),
                    (None, Ok(())) => Err(format!("there is no {}", told(&name))),
                };
                found.services.insert(told(&name), read);
            }
        }
        found
    }

    /// Every service of these environments, in all clusters.
    async fn services_of(&self, environments: &BTreeSet<String>, found: &mut Found) {
        let pages = self.ecs.list_clusters().into_paginator();
        let pages = pages.page_size(100).send();
        let (clusters, incomplete) = aws::read_pages_at(&self.ecs_pace, pages, |page| {
            (page.cluster_arns, page.next_token)
        })
        .await;
        if let Some(why) = incomplete {
            found.unlisted.push(format!("ecs:ListClusters: {why}"));
        }
        let mut readings = stream::iter(clusters)
            .map(|cluster| async move { self.services_in(&cluster).await })
            .buffer_unordered(AT_ONCE);
        while let Some((services, unlisted)) = readings.next().await {
            found.unlisted.extend(unlisted);
            for service in services {
                let environment = environment_of(&service).map(str::to_owned);
                let environment = environment.filter(|it| environments.contains(it));
                if let (Some(environment), Some(name)) = (environment, name_of(&service)) {
                    found.services.insert(told(&name), Ok(service));
                    found
                        .environments
                        .entry(environment)
                        .or_default()
                        .insert(name);
                }
            }
        }
    }

    /// The services of a cluster, and why they may not be all.
    async fn services_in(&self, cluster: &str) -> (Vec<AsAnswered>, Vec<String>) {
        let mut unlisted = Vec::new();
        let pages = self.ecs.list_services().cluster(cluster);
        let pages = pages.into_paginator().page_size(100).send();
        let (arns, incomplete) = aws::read_pages_at(&self.ecs_pace, pages, |page| {
            (page.service_arns, page.next_token)
        })
        .await;
        match incomplete {
            // Deleted since it was listed.
            Some(why) if why.code() == Some("ClusterNotFoundException") => {}
            Some(why) => {
                let cluster = short(cluster);
                unlisted.push(format!("ecs:ListServices in cluster {cluster}: {why}"));
            }
            None => {}
        }
        let chunks: Vec<Vec<String>> = arns.chunks(MOST_SERVICES).map(<[_]>::to_vec).collect();
        let mut described = stream::iter(chunks)
            .map(|chunk| async move { self.describe_services(cluster, &chunk).await })
            .buffer_unordered(AT_ONCE);
        let mut services = Vec::new();
        while let Some(answer) = described.next().await {
            match answer {
                Ok(answered) => services.extend(answered),
                Err(why) => unlisted.push(why),
            }
        }
        (services, unlisted)
    }

    /// At most ten services; those that are deleted are left out.
    async fn describe_services(
        &self,
        cluster: &str,
        services: &[String],
    ) -> Result<Vec<AsAnswered>, String> {
        let operation = "ecs:DescribeServices";
        let failed = |why: &str| format!("{operation} in cluster {}: {why}", short(cluster));
        let answer = Answer::default();
        let request = self.ecs.describe_services().cluster(cluster);
        let request = request
            .set_services(Some(services.to_vec()))
            .include(ServiceField::Tags)
            .customize()
            .interceptor(answer.clone());
        let described = self.ecs_pace.call(request.send()).await;
        let described = described.map_err(|error| failed(&aws::explain(&error)))?;
        open(operation, described.failures())?;
        if described.services().len() + described.failures().len() < services.len() {
            return Err(failed("fewer answered than asked for"));
        }
        let mut found = answer
            .list("services")
            .ok_or_else(|| failed("the answer has no list in it"))?;
        // Deleted services are described for a while.
        found.retain(|service| text(service, "status") != Some("INACTIVE"));
        Ok(found)
    }

    /// Clusters by ARN, as settings.
    pub(super) async fn clusters(&self, arns: &BTreeSet<String>) -> Reads<AsAnswered> {
        let arns: Vec<String> = arns.iter().cloned().collect();
        let mut reads = Reads::new();
        for chunk in arns.chunks(MOST_CLUSTERS) {
            let answer = Answer::default();
            let request = self.ecs.describe_clusters();
            let request = request
                .set_clusters(Some(chunk.to_vec()))
                .include(ClusterField::Settings)
                .include(ClusterField::Configurations)
                .include(ClusterField::Attachments)
                .include(ClusterField::Tags)
                .customize()
                .interceptor(answer.clone());
            let operation = "ecs:DescribeClusters";
            let described = match self.ecs_pace.call(request.send()).await {
                Ok(described) => open(operation, described.failures())
                    .map(|()| answer.list("clusters").unwrap_or_default()),
                Err(error) => Err(format!("{operation}: {}", aws::explain(&error))),
            };
            add(&mut reads, operation, chunk, "clusterArn", described);
        }
        for cluster in reads.values_mut().flatten() {
            settle(cluster, &STATE_OF_CLUSTERS);
        }
        reads
    }

    /// Service revisions by ARN.
    pub(super) async fn revisions(&self, arns: &BTreeSet<String>) -> Reads<AsAnswered> {
        let arns: Vec<String> = arns.iter().cloned().collect();
        let chunks: Vec<Vec<String>> = arns.chunks(MOST_REVISIONS).map(<[_]>::to_vec).collect();
        let operation = "ecs:DescribeServiceRevisions";
        let described: Vec<_> = stream::iter(chunks)
            .map(|chunk| async move {
                let answer = Answer::default();
                let request = self.ecs.describe_service_revisions();
                let request = request
                    .set_service_revision_arns(Some(chunk.clone()))
                    .customize()
                    .interceptor(answer.clone());
                let described = match self.ecs_pace.call(request.send()).await {
                    Ok(described) => open(operation, described.failures())
                        .map(|()| answer.list("serviceRevisions").unwrap_or_default()),
                    Err(error) => Err(format!("{operation}: {}", aws::explain(&error))),
                };
                (chunk, described)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut reads = Reads::new();
        for (chunk, described) in described {
            add(
                &mut reads,
                operation,
                &chunk,
                "serviceRevisionArn",
                described,
            );
        }
        reads
    }

    /// Task definitions by ARN, whole and with their tags.
    pub(super) async fn task_definitions(&self, arns: BTreeSet<String>) -> Reads<AsAnswered> {
        stream::iter(arns)
            .map(|arn| async move {
                let definition = self.task_definition(&arn).await;
                (arn, definition)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    async fn task_definition(&self, arn: &str) -> Result<AsAnswered, String> {
        let failed = |why: &str| format!("ecs:DescribeTaskDefinition of {}: {why}", short(arn));
        let answer = Answer::default();
        let request = self.ecs.describe_task_definition().task_definition(arn);
        let request = request.include(TaskDefinitionField::Tags).customize();
        let request = request.interceptor(answer.clone());
        let described = self.ecs_pace.call(request.send()).await;
        described.map_err(|error| failed(&aws::explain(&error)))?;
        let nothing = || failed("the answer has no definition in it");
        let mut whole = answer.whole().ok_or_else(nothing)?;
        let Some(serde_json::Value::Object(definition)) = whole.0.remove("taskDefinition") else {
            return Err(nothing());
        };
        let mut definition = AsAnswered(definition);
        if let Some(tags) = whole.0.remove("tags") {
            definition.0.insert("tags".to_owned(), tags);
        }
        settle(&mut definition, &[]);
        Ok(definition)
    }

    /// Everything that scales services of Amazon ECS.
    pub(super) async fn scalings(&self) -> Scalings {
        let (targets, policies, scheduled_actions) =
            futures::join!(self.targets(), self.policies(), self.scheduled_actions());
        Scalings {
            targets,
            policies,
            scheduled_actions,
        }
    }

    async fn targets(&self) -> Listing {
        let (items, incomplete) = aws::read_pages_by_token(|token| async move {
            let answer = Answer::default();
            let request = self.scaling.describe_scalable_targets();
            let request = request.service_namespace(ServiceNamespace::Ecs);
            let request = request.max_results(50).set_next_token(token);
            let request = request.customize().interceptor(answer.clone());
            let next = request.send().await?.next_token;
            Ok::<_, SdkError<_>>((answer.list("ScalableTargets"), next))
        })
        .await;
        let why = incomplete.map(|why| why.to_string());
        listing(
            "application-autoscaling:DescribeScalableTargets",
            items,
            why,
        )
    }

    async fn policies(&self) -> Listing {
        let (items, incomplete) = aws::read_pages_by_token(|token| async move {
            let answer = Answer::default();
            let request = self.scaling.describe_scaling_policies();
            let request = request.service_namespace(ServiceNamespace::Ecs);
            // The largest page ("Maximum value" of MaxResults is 50, and 10
            // while a call asks for several resources).
            let request = request.max_results(10).set_next_token(token);
            let request = request.customize().interceptor(answer.clone());
            let next = request.send().await?.next_token;
            Ok::<_, SdkError<_>>((answer.list("ScalingPolicies"), next))
        })
        .await;
        let why = incomplete.map(|why| why.to_string());
        listing(
            "application-autoscaling:DescribeScalingPolicies",
            items,
            why,
        )
    }

    async fn scheduled_actions(&self) -> Listing {
        let (items, incomplete) = aws::read_pages_by_token(|token| async move {
            let answer = Answer::default();
            let request = self.scaling.describe_scheduled_actions();
            let request = request.service_namespace(ServiceNamespace::Ecs);
            let request = request.max_results(50).set_next_token(token);
            let request = request.customize().interceptor(answer.clone());
            let next = request.send().await?.next_token;
            Ok::<_, SdkError<_>>((answer.list("ScheduledActions"), next))
        })
        .await;
        let why = incomplete.map(|why| why.to_string());
        listing(
            "application-autoscaling:DescribeScheduledActions",
            items,
            why,
        )
    }
}

/// What was asked for in one call, each by itself.
fn add(
    reads: &mut Reads<AsAnswered>,
    operation: &str,
    asked: &[String],
    arn: &str,
    described: Result<Vec<AsAnswered>, String>,
) {
    for asked in asked {
        let read = match &described {
            Ok(_) => Err(format!("{operation}: there is no {asked}")),
            Err(why) => Err(why.clone()),
        };
        reads.insert(asked.clone(), read);
    }
    for each in described.into_iter().flatten() {
        if let Some(name) = text(&each, arn).map(str::to_owned) {
            reads.insert(name, Ok(each));
        }
    }
}

fn listing(operation: &str, mut items: Vec<AsAnswered>, incomplete: Option<String>) -> Listing {
    if let Some(why) = incomplete {
        return Err(format!("{operation}: {why}"));
    }
    for item in &mut items {
        settle(item, &STATE_OF_SCALING);
    }
    Ok(items)
}
