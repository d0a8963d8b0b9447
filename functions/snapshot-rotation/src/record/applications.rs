//! The applications that use a database: services that the policy names, or
//! that have the environment's tag.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use steward::restore_point::{
    Application, AsAnswered, Image, Parameter, Release, Scaling, Secret, TargetGroup,
};

use super::answer::{objects, settle, text};
use super::secrets::{self, Named};
use super::services::{Listing, Scalings, short};
use super::{Reads, Recorded, Recorder};
use crate::policy::Application as ServiceName;

/// What of a service is state, not setting.
const STATE: [&str; 10] = [
    "status",
    "runningCount",
    "pendingCount",
    "deployments",
    "taskSets",
    "events",
    "createdAt",
    "createdBy",
    "currentServiceDeployment",
    "currentServiceRevisions",
];

/// Settings of a service that Amazon ECS tells with its deployments only.
const OF_DEPLOYMENTS: [&str; 4] = [
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "fargateEphemeralStorage",
];

/// A service as people call it.
pub(super) fn told(name: &ServiceName) -> String {
    format!("service {} in cluster {}", name.service, name.cluster)
}

/// Which applications are read: those of all databases together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ApplicationsWanted {
    /// By name.
    pub(crate) services: BTreeSet<ServiceName>,
    /// Every service whose tag `steward:environment` has one of these values.
    pub(crate) environments: BTreeSet<String>,
}

/// Applications with every image of theirs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Uses {
    pub(crate) applications: Vec<Application>,
    pub(crate) images: Vec<Image>,
}

/// The applications of all databases.
#[derive(Debug, Default)]
pub(crate) struct Applications {
    services: BTreeMap<String, Recorded<Uses>>,
    environments: BTreeMap<String, BTreeSet<ServiceName>>,
    /// Why an environment may have more services.
    unlisted: Vec<String>,
}

impl Applications {
    /// The services of these names, and all of an environment. Of what was not
    /// wanted when they were read, nothing is known, which counts as missing.
    pub(crate) fn of(
        &self,
        services: &BTreeSet<ServiceName>,
        environment: Option<&str>,
    ) -> Recorded<Uses> {
        let mut all = Recorded::<Uses>::default();
        let mut names = services.clone();
        if let Some(environment) = environment {
            all.missing.extend(self.unlisted.iter().cloned());
            names.extend(
                self.environments
                    .get(environment)
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
        }
        for name in &names {
            let Some(of) = self.services.get(&told(name)) else {
                all.missing.push(format!("{} was not read", told(name)));
                continue;
            };
            all.value
                .applications
                .extend(of.value.applications.iter().cloned());
            all.value.images.extend(of.value.images.iter().cloned());
            all.missing.extend(of.missing.iter().cloned());
        }
        // What several applications lack is told once.
        all.missing.sort();
        all.missing.dedup();
        all
    }
}

/// Everything that services need, each read once.
struct Surroundings {
    clusters: Reads<AsAnswered>,
    definitions: Reads<AsAnswered>,
    scalings: Scalings,
    target_groups: Reads<TargetGroup>,
    secrets: Reads<Secret>,
    parameters: Reads<Parameter>,
}

impl Recorder {
    /// Reads every application that some database needs. What they share is read
    /// once.
    pub(crate) async fn applications(&self, wanted: &ApplicationsWanted) -> Applications {
        if wanted.services.is_empty() && wanted.environments.is_empty() {
            return Applications::default();
        }
        let found = self.services(&wanted.services, &wanted.environments).await;
        let services = found.services.values().flatten();
        let (mut clusters, mut revisions, mut groups) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for service in services {
            clusters.extend(text(service, "clusterArn").map(str::to_owned));
            revisions.extend(current_revisions(service));
            groups.extend(target_groups(service));
        }
        let (clusters, revisions, scalings, target_groups) = futures::join!(
            self.clusters(&clusters),
            self.revisions(&revisions),
            self.scalings(),
            self.target_groups(&groups),
        );
        let releases: BTreeMap<&String, Recorded<Vec<Release>>> = found
            .services
            .iter()
            .filter_map(|(name, read)| Some((name, releases(read.as_ref().ok()?, &revisions))))
            .collect();
        let all = releases.values().flat_map(|of| &of.value);
        let arns: BTreeSet<String> = all.map(|one| one.task_definition_arn.clone()).collect();
        let definitions = self.task_definitions(arns).await;
        let mut named = BTreeSet::new();
        for object in definitions.values().chain(revisions.values()).flatten() {
            named.extend(secrets::named_in(object));
        }
        let (secrets, parameters) = futures::join!(self.secrets(&named), self.parameters(&named));
        let surroundings = Surroundings {
            clusters,
            definitions,
            scalings,
            target_groups,
            secrets,
            parameters,
        };
        let mut releases: BTreeMap<String, Recorded<Vec<Release>>> = releases
            .into_iter()
            .map(|(name, of)| (name.clone(), of))
            .collect();
        let services = found.services.into_iter().map(|(name, read)| {
            let of = releases.remove(&name).unwrap_or_default();
            let recorded = match read {
                Ok(service) => record(service, of, &surroundings),
                Err(why) => Recorded {
                    value: Uses::default(),
                    missing: vec![why],
                },
            };
            (name, recorded)
        });
        Applications {
            services: services.collect(),
            environments: found.environments,
            unlisted: found.unlisted,
        }
    }
}

fn current_revisions(service: &AsAnswered) -> impl Iterator<Item = String> {
    let revisions = objects(&service.0, "currentServiceRevisions");
    revisions.filter_map(|revision| Some(revision.get("arn")?.as_str()?.to_owned()))
}

/// The target groups of a service, those of its next deployment included.
fn target_groups(service: &AsAnswered) -> BTreeSet<String> {
    let balancers = objects(&service.0, "loadBalancers");
    let groups = balancers.flat_map(|balancer| {
        let alternate = balancer
            .get("advancedConfiguration")
            .and_then(|more| more.get("alternateTargetGroupArn"));
        [balancer.get("targetGroupArn"), alternate]
    });
    let groups = groups.flatten().filter_map(Value::as_str);
    groups.map(str::to_owned).collect()
}

/// What a service has deployed, newest first, without the definitions.
fn releases(service: &AsAnswered, revisions: &Reads<AsAnswered>) -> Recorded<Vec<Release>> {
    let mut all = Recorded::<Vec<Release>>::default();
    for arn in current_revisions(service) {
        match revisions.get(&arn) {
            Some(Ok(revision)) => all.value.push(Release {
                task_definition_arn: text(revision, "taskDefinition")
                    .unwrap_or_default()
                    .to_owned(),
                service_revision: Some(revision.clone()),
                task_definition: None,
            }),
            Some(Err(why)) => all.missing.push(why.clone()),
            None => all.missing.push(format!("{arn} was not read")),
        }
    }
    let created_at = |release: &Release| {
        let revision = release.service_revision.as_ref()?;
        revision.0.get("createdAt")?.as_f64()
    };
    all.value.sort_by(|a, b| {
        created_at(b)
            .partial_cmp(&created_at(a))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    // Deployments from before there were revisions, and those of other
    // controllers, have none.
    let of = |list| objects(&service.0, list).filter_map(|one| one.get("taskDefinition")?.as_str());
    let own = text(service, "taskDefinition").into_iter();
    for definition in own.chain(of("deployments")).chain(of("taskSets")) {
        if all
            .value
            .iter()
            .all(|one| one.task_definition_arn != definition)
        {
            all.value.push(Release {
                service_revision: None,
                task_definition_arn: definition.to_owned(),
                task_definition: None,
            });
        }
    }
    all
}

/// One service with everything that was read for it.
fn record(
    mut service: AsAnswered,
    releases: Recorded<Vec<Release>>,
    read: &Surroundings,
) -> Recorded<Uses> {
    let Recorded {
        value: mut releases,
        mut missing,
    } = releases;
    let cluster_arn = text(&service, "clusterArn").unwrap_or_default().to_owned();
    let name = ServiceName {
        cluster: short(&cluster_arn).to_owned(),
        service: text(&service, "serviceName").unwrap_or_default().to_owned(),
    };
    for release in &mut releases {
        let arn = &release.task_definition_arn;
        release.task_definition = take(&read.definitions, arn, &mut missing);
    }
    let mut images = Vec::new();
    for release in &releases {
        let of = images_of(&name, release);
        images.extend(of.value);
        missing.extend(of.missing);
    }
    let objects_of = |release: &Release| {
        [
            release.service_revision.clone(),
            release.task_definition.clone(),
        ]
    };
    let mut named = BTreeSet::new();
    for object in releases.iter().flat_map(objects_of).flatten() {
        named.extend(secrets::named_in(&object));
    }
    let mut secrets = Vec::new();
    let mut parameters = Vec::new();
    for named in &named {
        match named {
            Named::Secret(name) => secrets.extend(take(&read.secrets, name, &mut missing)),
            Named::Parameter(name) => {
                parameters.extend(take(&read.parameters, name, &mut missing));
            }
        }
    }
    sort(&mut secrets);
    sort(&mut parameters);
    let groups = target_groups(&service);
    let groups: Vec<TargetGroup> = groups
        .iter()
        .filter_map(|arn| take(&read.target_groups, arn, &mut missing))
        .collect();
    let mut scaled = |listing: &Listing| scaled(&name, listing, &mut missing);
    let scaling = Scaling {
        targets: scaled(&read.scalings.targets),
        policies: scaled(&read.scalings.policies),
        scheduled_actions: scaled(&read.scalings.scheduled_actions),
    };
    let cluster_settings = take(&read.clusters, &cluster_arn, &mut missing);
    let rollout_state = lift_primary_deployment(&mut service);
    settle(&mut service, &STATE);
    let application = Application {
        service_arn: text(&service, "serviceArn").unwrap_or_default().to_owned(),
        cluster: name.cluster,
        service: name.service,
        cluster_settings,
        service_settings: service,
        rollout_state,
        releases,
        scaling,
        target_groups: groups,
        secrets,
        parameters,
    };
    sort(&mut images);
    Recorded {
        value: Uses {
            applications: vec![application],
            images,
        },
        missing,
    }
}

fn sort<T: Ord>(items: &mut Vec<T>) {
    items.sort();
    items.dedup();
}

/// What was read of this name; where it was not, why is missing.
fn take<T: Clone>(reads: &Reads<T>, name: &str, missing: &mut Vec<String>) -> Option<T> {
    match reads.get(name) {
        Some(Ok(value)) => return Some(value.clone()),
        Some(Err(why)) => missing.push(why.clone()),
        None => missing.push(format!("{name} was not read")),
    }
    None
}

/// What scales one service.
fn scaled(name: &ServiceName, listing: &Listing, missing: &mut Vec<String>) -> Vec<AsAnswered> {
    let resource = format!("service/{}/{}", name.cluster, name.service);
    match listing {
        Ok(items) => {
            let of = items
                .iter()
                .filter(|item| text(item, "ResourceId") == Some(&resource));
            of.cloned().collect()
        }
        Err(why) => {
            missing.push(why.clone());
            vec![]
        }
    }
}

/// Takes over the settings that the primary deployment tells, and answers its
/// `rolloutState`.
fn lift_primary_deployment(service: &mut AsAnswered) -> Option<String> {
    let is_primary =
        |one: &&Map<String, Value>| one.get("status").is_some_and(|it| it == "PRIMARY");
    let primary = objects(&service.0, "deployments").find(is_primary)?.clone();
    for name in OF_DEPLOYMENTS {
        if let Some(setting) = primary.get(name) {
            let settings = service.0.entry(name.to_owned());
            settings.or_insert_with(|| setting.clone());
        }
    }
    Some(primary.get("rolloutState")?.as_str()?.to_owned())
}

/// The images of a release. Amazon ECS alone knows which image a tag meant when
/// it was deployed; a digest is never guessed.
fn images_of(name: &ServiceName, release: &Release) -> Recorded<Vec<Image>> {
    let mut all = Recorded::<Vec<Image>>::default();
    let none = AsAnswered::default();
    let revision = release.service_revision.as_ref().unwrap_or(&none);
    let definition = release.task_definition.as_ref().unwrap_or(&none);
    let resolved = |container: &str| {
        let images = objects(&revision.0, "containerImages");
        images
            .filter(|image| image.get("containerName").is_some_and(|it| it == container))
            .find_map(|image| image.get("imageDigest")?.as_str())
    };
    let containers = objects(&definition.0, "containerDefinitions").filter_map(|container| {
        let tag_is_meant = container
            .get("versionConsistency")
            .is_some_and(|consistency| consistency == "disabled");
        let image = container.get("image")?.as_str()?;
        Some((container.get("name")?.as_str()?, image, tag_is_meant))
    });
    // Amazon ECS adds containers of its own, and the definition may be missing.
    let revisions = objects(&revision.0, "containerImages").filter_map(|image| {
        let written = image.get("image")?.as_str()?;
        Some((image.get("containerName")?.as_str()?, written, false))
    });
    let mut known = BTreeSet::new();
    for (container, image, tag_is_meant) in containers.chain(revisions) {
        if !known.insert(container) {
            continue;
        }
        let pinned = image.split_once('@').map(|(_, digest)| digest);
        let digest = resolved(container).or(pinned);
        if digest.is_none() && !tag_is_meant {
            all.missing.push(format!(
                "Amazon ECS tells no digest for image {image} of container {container} in {}: \
                 it has resolved none since the service was last deployed",
                told(name)
            ));
        }
        all.value.push(Image {
            reference: digest.map_or_else(|| image.to_owned(), |digest| by_digest(image, digest)),
            image: image.to_owned(),
            container: container.to_owned(),
            cluster: name.cluster.clone(),
            service: name.service.clone(),
            task_definition_arn: release.task_definition_arn.clone(),
        });
    }
    all
}

/// An image by its digest, without its tag.
fn by_digest(image: &str, digest: &str) -> String {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    // A colon before the last slash is that of a port.
    let name_starts = name.rfind('/').map_or(0, |slash| slash + 1);
    let name_ends = name[name_starts..]
        .find(':')
        .map_or(name.len(), |colon| name_starts + colon);
    format!("{}@{digest}", &name[..name_ends])
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn an_image_by_digest_has_no_tag() {
        let digest = "sha256:aa";
        for (image, expected) in [
            ("nginx", "nginx@sha256:aa"),
            ("nginx:1.27", "nginx@sha256:aa"),
            ("localhost:5000/a/b", "localhost:5000/a/b@sha256:aa"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b@sha256:aa"),
            ("r.example/a/b:1@sha256:bb", "r.example/a/b@sha256:aa"),
            ("r.example/a/b@sha256:bb", "r.example/a/b@sha256:aa"),
        ] {
            assert_eq!(by_digest(image, digest), expected, "{image}");
        }
    }
}
