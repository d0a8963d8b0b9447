//! Everything of the reference system that is not an image: network, load
//! balancer, capacity, cluster, database, secrets, logs, alarms, scaling.

use anyhow::{Context, Result};
use aws_sdk_applicationautoscaling::types::{
    MetricType, PredefinedMetricSpecification, ScalableDimension, ServiceNamespace,
    TargetTrackingScalingPolicyConfiguration,
};
use aws_sdk_ecs::types::{
    AutoScalingGroupProvider, CapacityProviderStrategyItem, ManagedScaling, ManagedScalingStatus,
};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, LoadBalancerSchemeEnum, LoadBalancerTypeEnum, Matcher, ProtocolEnum,
    TargetTypeEnum,
};
use aws_sdk_eventbridge::types::{EcsParameters, LaunchType, Target};

use super::alarms;
use crate::account::Account;
use crate::arrange::Place;
use crate::control::Network;

const CLUSTER: &str = "shop";
const CAPACITY_PROVIDER: &str = "shop-ec2";
const LOG_GROUP: &str = "/ecs/shop";

/// Names and ARNs of the reference system.
#[derive(Clone, Debug)]
pub struct System {
    /// VPC, subnets, security groups.
    pub network: Network,
    /// The load balancer's ARN.
    pub load_balancer: String,
    /// The target group's ARN.
    pub target_group: String,
    /// The listener's ARN.
    pub listener: String,
    /// The Auto Scaling group's name.
    pub auto_scaling_group: String,
    /// The capacity provider's name.
    pub capacity_provider: String,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's ARN.
    pub cluster_arn: String,
    /// The database instance's identifier.
    pub database: String,
    /// The ARNs of the secrets.
    pub secrets: Vec<String>,
    /// The log group of the services.
    pub log_group: String,
    /// The alarms' names.
    pub alarms: Vec<String>,
}

impl System {
    /// Where services of the reference system run.
    pub(super) fn place(&self) -> Place {
        Place {
            subnets: self.network.public_subnets.clone(),
            security_group: self.network.security_groups.service.clone(),
            capacity_provider: Some(self.capacity_provider.clone()),
            target_group: None,
            grace_seconds: 60,
        }
    }

    /// Makes an EventBridge rule that starts a task every night, and answers
    /// its ARN.
    pub(super) async fn schedule_task(
        &self,
        account: &Account,
        name: &str,
        task_definition: &str,
    ) -> Result<String> {
        let rule = account
            .events()
            .put_rule()
            .name(name)
            .schedule_expression("cron(30 1 * * ? *)")
            .description("Closes the day's books.")
            .send()
            .await
            .with_context(|| format!("cannot create rule {name}"))?;
        let task = EcsParameters::builder()
            .task_definition_arn(task_definition)
            .task_count(1)
            .launch_type(LaunchType::Ec2);
        let target = Target::builder()
            .id("task")
            .arn(&self.cluster_arn)
            .role_arn(format!("arn:aws:iam::{}:role/shop-schedules", account.id()))
            .ecs_parameters(task.build()?)
            .build()?;
        account
            .events()
            .put_targets()
            .rule(name)
            .targets(target)
            .send()
            .await
            .context("cannot set the rule's target")?;
        rule.rule_arn.context("a rule without an ARN")
    }
}

/// Makes everything that services need before they start.
pub(super) async fn build(account: &Account) -> Result<System> {
    let network = account.control().network().await?;
    let (load_balancer, target_group, listener) = load_balancer(account, &network).await?;
    let auto_scaling_group = capacity(account, &network).await?;
    let cluster_arn = cluster(account, &auto_scaling_group).await?;
    database(account, &network).await?;
    let secrets = secrets(account).await?;
    account
        .logs()
        .create_log_group()
        .log_group_name(LOG_GROUP)
        .send()
        .await
        .context("cannot create the log group")?;
    account
        .logs()
        .put_retention_policy()
        .log_group_name(LOG_GROUP)
        .retention_in_days(30)
        .send()
        .await
        .context("cannot set the log group's retention")?;
    Ok(System {
        network,
        load_balancer,
        target_group,
        listener,
        auto_scaling_group,
        capacity_provider: CAPACITY_PROVIDER.to_owned(),
        cluster: CLUSTER.to_owned(),
        cluster_arn,
        database: "shop".to_owned(),
        secrets,
        log_group: LOG_GROUP.to_owned(),
        alarms: alarms::names(),
    })
}

/// Makes what looks at services once they are there.
pub(super) async fn finish(account: &Account, system: &System) -> Result<()> {
    scaling(account).await?;
    alarms::build(account, system).await
}

async fn load_balancer(account: &Account, network: &Network) -> Result<(String, String, String)> {
    let elb = account.elbv2();
    let balancer = elb
        .create_load_balancer()
        .name("shop")
        .r#type(LoadBalancerTypeEnum::Application)
        .scheme(LoadBalancerSchemeEnum::InternetFacing)
        .set_subnets(Some(network.public_subnets.clone()))
        .security_groups(&network.security_groups.alb)
        .send()
        .await
        .context("cannot create the load balancer")?;
    let balancer = balancer
        .load_balancers()
        .first()
        .and_then(|made| made.load_balancer_arn());
    let balancer = balancer
        .context("a load balancer without an ARN")?
        .to_owned();
    let group = elb
        .create_target_group()
        .name("shop-web")
        .protocol(ProtocolEnum::Http)
        .port(3000)
        .vpc_id(&network.vpc)
        // Tasks with a network interface of their own are reached by address.
        .target_type(TargetTypeEnum::Ip)
        .health_check_path("/api/health")
        .health_check_interval_seconds(30)
        .healthy_threshold_count(2)
        .unhealthy_threshold_count(3)
        .matcher(Matcher::builder().http_code("200").build())
        .send()
        .await
        .context("cannot create the target group")?;
    let group = group
        .target_groups()
        .first()
        .and_then(|made| made.target_group_arn());
    let group = group.context("a target group without an ARN")?.to_owned();
    let forward = Action::builder()
        .r#type(ActionTypeEnum::Forward)
        .target_group_arn(&group)
        .build();
    let listener = elb
        .create_listener()
        .load_balancer_arn(&balancer)
        .protocol(ProtocolEnum::Http)
        .port(80)
        .default_actions(forward)
        .send()
        .await
        .context("cannot create the listener")?;
    let listener = listener
        .listeners()
        .first()
        .and_then(|made| made.listener_arn());
    Ok((
        balancer,
        group,
        listener.context("a listener without an ARN")?.to_owned(),
    ))
}

async fn capacity(account: &Account, network: &Network) -> Result<String> {
    const GROUP: &str = "shop-ecs";
    let autoscaling = account.autoscaling();
    autoscaling
        .create_launch_configuration()
        .launch_configuration_name(GROUP)
        // The ECS-optimised image of Amazon Linux 2023; its id means nothing here.
        .image_id("ami-0ec5000000000a123")
        .instance_type("t3.medium")
        .security_groups(&network.security_groups.service)
        .send()
        .await
        .context("cannot create the launch configuration")?;
    autoscaling
        .create_auto_scaling_group()
        .auto_scaling_group_name(GROUP)
        .launch_configuration_name(GROUP)
        .min_size(2)
        .max_size(10)
        .desired_capacity(2)
        .vpc_zone_identifier(network.public_subnets.join(","))
        .health_check_type("EC2")
        .send()
        .await
        .context("cannot create the Auto Scaling group")?;
    Ok(GROUP.to_owned())
}

async fn cluster(account: &Account, auto_scaling_group: &str) -> Result<String> {
    let described = account
        .autoscaling()
        .describe_auto_scaling_groups()
        .auto_scaling_group_names(auto_scaling_group)
        .send()
        .await
        .context("cannot read the Auto Scaling group")?;
    let group = described
        .auto_scaling_groups()
        .first()
        .and_then(|group| group.auto_scaling_group_arn());
    let scaling = ManagedScaling::builder()
        .status(ManagedScalingStatus::Enabled)
        .target_capacity(90)
        .build();
    let provider = AutoScalingGroupProvider::builder()
        .auto_scaling_group_arn(group.context("an Auto Scaling group without an ARN")?)
        .managed_scaling(scaling)
        .build()?;
    let ecs = account.ecs();
    ecs.create_capacity_provider()
        .name(CAPACITY_PROVIDER)
        .auto_scaling_group_provider(provider)
        .send()
        .await
        .context("cannot create the capacity provider")?;
    let arn = account.cluster(CLUSTER).await?;
    ecs.put_cluster_capacity_providers()
        .cluster(CLUSTER)
        .capacity_providers(CAPACITY_PROVIDER)
        .default_capacity_provider_strategy(
            CapacityProviderStrategyItem::builder()
                .capacity_provider(CAPACITY_PROVIDER)
                .weight(1)
                .build()?,
        )
        .send()
        .await
        .context("cannot give the cluster its capacity provider")?;
    Ok(arn)
}

async fn database(account: &Account, network: &Network) -> Result<()> {
    let rds = account.rds();
    rds.create_db_subnet_group()
        .db_subnet_group_name("shop")
        .db_subnet_group_description("The private subnets.")
        .set_subnet_ids(Some(network.private_subnets.clone()))
        .send()
        .await
        .context("cannot create the database's subnet group")?;
    rds.create_db_instance()
        .db_instance_identifier("shop")
        .db_name("shop")
        .engine("postgres")
        .engine_version("15.4")
        .db_instance_class("db.t3.micro")
        .allocated_storage(20)
        .max_allocated_storage(100)
        .storage_type("gp2")
        .storage_encrypted(true)
        .port(5432)
        .master_username("shop")
        .manage_master_user_password(true)
        .db_subnet_group_name("shop")
        .vpc_security_group_ids(&network.security_groups.database)
        .publicly_accessible(false)
        .backup_retention_period(7)
        .copy_tags_to_snapshot(true)
        .deletion_protection(true)
        .send()
        .await
        .context("cannot create the database")?;
    Ok(())
}

async fn secrets(account: &Account) -> Result<Vec<String>> {
    let mut arns = Vec::new();
    for (name, description) in [
        ("shop/database", "How services reach the database."),
        ("shop/settings", "API URLs and other settings."),
    ] {
        let made = account
            .secretsmanager()
            .create_secret()
            .name(name)
            .description(description)
            .secret_string(r#"{"example":"nothing secret in a sandbox"}"#)
            .send()
            .await
            .with_context(|| format!("cannot create secret {name}"))?;
        arns.push(made.arn.context("a secret without an ARN")?);
    }
    Ok(arns)
}

async fn scaling(account: &Account) -> Result<()> {
    const RESOURCE: &str = "service/shop/web";
    let scaling = account.application_autoscaling();
    scaling
        .register_scalable_target()
        .service_namespace(ServiceNamespace::Ecs)
        .resource_id(RESOURCE)
        .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
        .min_capacity(2)
        .max_capacity(10)
        .send()
        .await
        .context("cannot register the scalable target")?;
    for (name, metric, target) in [
        ("web-cpu", MetricType::EcsServiceAverageCpuUtilization, 60.0),
        (
            "web-memory",
            MetricType::EcsServiceAverageMemoryUtilization,
            75.0,
        ),
    ] {
        let metric = PredefinedMetricSpecification::builder().predefined_metric_type(metric);
        let tracking = TargetTrackingScalingPolicyConfiguration::builder()
            .target_value(target)
            .predefined_metric_specification(metric.build()?)
            .build()?;
        scaling
            .put_scaling_policy()
            .policy_name(name)
            .service_namespace(ServiceNamespace::Ecs)
            .resource_id(RESOURCE)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .policy_type(aws_sdk_applicationautoscaling::types::PolicyType::TargetTrackingScaling)
            .target_tracking_scaling_policy_configuration(tracking)
            .send()
            .await
            .with_context(|| format!("cannot set scaling policy {name}"))?;
    }
    Ok(())
}
