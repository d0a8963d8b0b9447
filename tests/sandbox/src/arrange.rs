//! Small builders that arrange one thing in an account, for tests and the
//! seed. Each uses the SDK as a person or a pipeline would.

mod alarm;
mod application;
mod database;
mod environment;
mod group;
mod records;
mod trouble;

use anyhow::{Context, Result, ensure};
use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageIdentifier, ImageScanningConfiguration, ImageStatusFilter,
    ImageTagMutability,
};
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, Compatibility,
    ContainerDefinition, KeyValuePair, LoadBalancer, LogConfiguration, LogDriver,
    NetworkConfiguration, NetworkMode, PortMapping, Secret, Service,
};
use jiff::Timestamp;

use crate::account::Account;
use crate::control::Image;
use crate::manifest::Manifest;

pub use alarm::Alarm;
pub use database::Database;
pub use environment::{Environment, Service as EnvironmentService};
pub use group::{Group, Sizes};
pub use records::{CalendarType, LEDGER};

/// A repository of an account.
#[derive(Clone, Debug)]
pub struct Repository {
    account: Account,
    name: String,
}

impl Account {
    /// Makes an empty repository: tags may move, images are scanned on push.
    ///
    /// # Errors
    /// When it exists already.
    pub async fn repository(&self, name: &str) -> Result<Repository> {
        self.ecr()
            .create_repository()
            .repository_name(name)
            .image_tag_mutability(ImageTagMutability::Mutable)
            .image_scanning_configuration(
                ImageScanningConfiguration::builder()
                    .scan_on_push(true)
                    .build(),
            )
            .send()
            .await
            .with_context(|| format!("cannot create repository {name}"))?;
        Ok(self.existing_repository(name))
    }

    /// A repository that is there already.
    pub fn existing_repository(&self, name: &str) -> Repository {
        Repository {
            account: self.clone(),
            name: name.to_owned(),
        }
    }

    /// Makes a cluster and answers its ARN.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn cluster(&self, name: &str) -> Result<String> {
        let made = self
            .ecs()
            .create_cluster()
            .cluster_name(name)
            .send()
            .await
            .context("cannot create the cluster")?;
        let arn = made.cluster().and_then(|cluster| cluster.cluster_arn());
        Ok(arn.context("a cluster without an ARN")?.to_owned())
    }

    /// Registers a revision of a task definition of one container, as the
    /// reference system has them, and answers its ARN.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn task_definition(&self, family: &str, image: &str) -> Result<String> {
        self.task_definition_with(family, container(family, image, self).build())
            .await
    }

    /// As [`Account::task_definition`], with a container of the caller's.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn task_definition_with(
        &self,
        family: &str,
        container: ContainerDefinition,
    ) -> Result<String> {
        let made = self
            .ecs()
            .register_task_definition()
            .family(family)
            .requires_compatibilities(Compatibility::Ec2)
            .network_mode(NetworkMode::Awsvpc)
            .cpu("512")
            .memory("1024")
            .execution_role_arn(format!(
                "arn:aws:iam::{}:role/shop-task-execution",
                self.id()
            ))
            .task_role_arn(format!("arn:aws:iam::{}:role/shop-task", self.id()))
            .container_definitions(container)
            .send()
            .await
            .with_context(|| format!("cannot register a task definition of {family}"))?;
        let arn = made
            .task_definition()
            .and_then(|definition| definition.task_definition_arn());
        Ok(arn.context("a task definition without an ARN")?.to_owned())
    }

    /// Starts a service that runs `count` tasks, in subnets that need not
    /// exist.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn service(
        &self,
        cluster: &str,
        name: &str,
        task_definition: &str,
        count: i32,
    ) -> Result<Service> {
        let place = Place {
            subnets: vec!["subnet-0a".to_owned()],
            security_group: "sg-0a".to_owned(),
            capacity_provider: None,
            target_group: None,
            grace_seconds: 0,
        };
        self.service_in(cluster, name, task_definition, count, &place)
            .await
    }

    /// As [`Account::service`], in a place of the caller's.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn service_in(
        &self,
        cluster: &str,
        name: &str,
        task_definition: &str,
        count: i32,
        place: &Place,
    ) -> Result<Service> {
        let vpc = AwsVpcConfiguration::builder()
            .set_subnets(Some(place.subnets.clone()))
            .security_groups(&place.security_group)
            .assign_public_ip(AssignPublicIp::Disabled)
            .build()?;
        let mut request = self
            .ecs()
            .create_service()
            .cluster(cluster)
            .service_name(name)
            .task_definition(task_definition)
            .desired_count(count)
            .network_configuration(
                NetworkConfiguration::builder()
                    .awsvpc_configuration(vpc)
                    .build(),
            );
        if let Some(provider) = &place.capacity_provider {
            let strategy = CapacityProviderStrategyItem::builder()
                .capacity_provider(provider)
                .weight(1)
                .base(0);
            request = request.capacity_provider_strategy(strategy.build()?);
        }
        if let Some(target_group) = &place.target_group {
            let target = LoadBalancer::builder().target_group_arn(target_group);
            request = request
                .load_balancers(target.container_name(name).container_port(3000).build())
                .health_check_grace_period_seconds(place.grace_seconds);
        }
        let made = request
            .send()
            .await
            .with_context(|| format!("cannot create service {name}"))?;
        made.service
            .with_context(|| format!("service {name} was not answered"))
    }

    /// Makes a Lambda function from an image and answers its ARN.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn image_function(&self, name: &str, image: &str) -> Result<String> {
        let made = self
            .lambda_consumers()
            .create_function()
            .function_name(name)
            .role(format!("arn:aws:iam::{}:role/{name}", self.id()))
            .package_type(aws_sdk_lambda::types::PackageType::Image)
            .code(
                aws_sdk_lambda::types::FunctionCode::builder()
                    .image_uri(image)
                    .build(),
            )
            .timeout(60)
            .memory_size(1024)
            .send()
            .await
            .with_context(|| format!("cannot create function {name}"))?;
        made.function_arn.context("a function without an ARN")
    }
}

/// Where the tasks of a service run and what they are reached by.
#[derive(Clone, Debug)]
pub struct Place {
    /// Subnets of the tasks.
    pub subnets: Vec<String>,
    /// Security group of the tasks.
    pub security_group: String,
    /// The cluster's capacity provider.
    pub capacity_provider: Option<String>,
    /// Target group for port 3000.
    pub target_group: Option<String>,
    /// How long tasks that have started are not judged by their target group, seconds.
    pub grace_seconds: i32,
}

/// The container of the reference system: port 3000, its secrets, its logs.
pub fn container(
    name: &str,
    image: &str,
    account: &Account,
) -> aws_sdk_ecs::types::builders::ContainerDefinitionBuilder {
    let secret = format!(
        "arn:aws:secretsmanager:{}:{}:secret:shop/database",
        account.region_name(),
        account.id()
    );
    let mut logs = LogConfiguration::builder().log_driver(LogDriver::Awslogs);
    for (option, value) in [
        ("awslogs-group", "/ecs/shop"),
        ("awslogs-region", account.region_name()),
        ("awslogs-stream-prefix", name),
    ] {
        logs = logs.options(option, value);
    }
    let mut container = ContainerDefinition::builder()
        .name(name)
        .image(image)
        .essential(true)
        .cpu(512)
        .memory(1024)
        .port_mappings(PortMapping::builder().container_port(3000).build())
        .environment(
            KeyValuePair::builder()
                .name("NODE_ENV")
                .value("production")
                .build(),
        );
    if let Ok(secret) = Secret::builder()
        .name("DATABASE_URL")
        .value_from(secret)
        .build()
    {
        container = container.secrets(secret);
    }
    if let Ok(logs) = logs.build() {
        container = container.log_configuration(logs);
    }
    container
}

impl Repository {
    /// Its name, as in `shop/web`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address, to which `:tag` or `@digest` is added.
    pub fn uri(&self) -> String {
        format!("{}/{}", self.account.registry(), self.name)
    }

    /// The reference of a tag.
    pub fn tagged(&self, tag: &str) -> String {
        format!("{}:{tag}", self.uri())
    }

    /// The reference of a digest.
    pub fn pinned(&self, digest: &str) -> String {
        format!("{}@{digest}", self.uri())
    }

    /// Pushes a manifest now, through the SDK; a tag moves to it. Without a tag
    /// it is pushed by digest.
    ///
    /// # Errors
    /// When ECR refuses it, as it does an index whose children are not there.
    pub async fn push(&self, manifest: &Manifest, tag: Option<&str>) -> Result<String> {
        self.account
            .ecr()
            .put_image()
            .repository_name(&self.name)
            .image_manifest(manifest.text())
            .image_manifest_media_type(manifest.media_type())
            .image_digest(manifest.digest())
            .set_image_tag(tag.map(str::to_owned))
            .send()
            .await
            .with_context(|| format!("cannot push to {}", self.name))?;
        Ok(manifest.digest().to_owned())
    }

    /// Puts a manifest there as if it had been pushed at a moment.
    ///
    /// # Errors
    /// When the control API refuses it.
    pub async fn push_at(
        &self,
        pushed_at: Timestamp,
        manifest: &Manifest,
        tags: &[&str],
    ) -> Result<String> {
        self.fill(&[manifest.pushed_at(pushed_at, tags.iter().copied())])
            .await?;
        Ok(manifest.digest().to_owned())
    }

    /// Puts many images there at once.
    ///
    /// # Errors
    /// When the control API refuses one.
    pub async fn fill(&self, images: &[Image]) -> Result<Vec<String>> {
        Ok(self.account.control().images(&self.name, images).await?)
    }

    /// Whether an image is still there.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn has(&self, digest: &str) -> Result<bool> {
        Ok(self
            .digests()
            .await?
            .iter()
            .any(|present| present == digest))
    }

    /// Deletes an image, with all its tags, as a person would.
    ///
    /// # Errors
    /// When ECR refuses it.
    pub async fn delete(&self, digest: &str) -> Result<()> {
        let id = ImageIdentifier::builder().image_digest(digest).build();
        let ecr = self.account.ecr();
        let delete = ecr.batch_delete_image().repository_name(&self.name);
        let answer = delete.image_ids(id).send().await?;
        ensure!(
            answer.failures().is_empty(),
            "{digest} of {} is not deleted: {:?}",
            self.name,
            answer.failures()
        );
        Ok(())
    }

    /// The digests of all images that can be pulled, each once.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn digests(&self) -> Result<Vec<String>> {
        self.digests_that_are(ImageStatusFilter::Active).await
    }

    /// The digests of all images in the archive, each once.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn archived(&self) -> Result<Vec<String>> {
        self.digests_that_are(ImageStatusFilter::Archived).await
    }

    async fn digests_that_are(&self, status: ImageStatusFilter) -> Result<Vec<String>> {
        let filter = DescribeImagesFilter::builder().image_status(status).build();
        let mut pages = self
            .account
            .ecr()
            .describe_images()
            .repository_name(&self.name)
            .filter(filter)
            .into_paginator()
            .items()
            .send();
        let mut digests = Vec::new();
        while let Some(image) = pages.next().await {
            digests.extend(image?.image_digest);
        }
        Ok(digests)
    }

    /// The digest that a tag names now.
    ///
    /// # Errors
    /// When there is no such tag.
    pub async fn digest_of(&self, tag: &str) -> Result<String> {
        let id = ImageIdentifier::builder().image_tag(tag).build();
        let found = self
            .account
            .ecr()
            .describe_images()
            .repository_name(&self.name)
            .image_ids(id)
            .send()
            .await
            .with_context(|| format!("no tag {tag} in {}", self.name))?;
        let digest = found
            .image_details
            .unwrap_or_default()
            .into_iter()
            .find_map(|image| image.image_digest);
        digest.context("an image without a digest")
    }
}
