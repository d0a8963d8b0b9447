//! The alarms of the reference system, as `infra/architecture.yaml` has them.

use anyhow::{Context, Result};
use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, Statistic};

use super::System;
use crate::account::Account;

/// One of the reference system's alarms: so many minutes in a row.
struct Alarm {
    name: &'static str,
    namespace: &'static str,
    metric: &'static str,
    of: Of,
    over: Over,
    minutes: i32,
    when: When,
}

/// Which resource an alarm watches.
enum Of {
    WebService,
    Cluster,
    CapacityProvider,
    LoadBalancer,
    TargetGroup,
    Database,
}

/// What is made of a minute's values.
enum Over {
    Statistic(Statistic),
    Percentile(&'static str),
}

enum When {
    Above(f64),
    Below(f64),
}

const SUM: Over = Over::Statistic(Statistic::Sum);
const AVERAGE: Over = Over::Statistic(Statistic::Average);
const MAXIMUM: Over = Over::Statistic(Statistic::Maximum);
const MINIMUM: Over = Over::Statistic(Statistic::Minimum);

const fn alarm(
    name: &'static str,
    (namespace, metric): (&'static str, &'static str),
    of: Of,
    over: Over,
    minutes: i32,
    when: When,
) -> Alarm {
    Alarm {
        name,
        namespace,
        metric,
        of,
        over,
        minutes,
        when,
    }
}

const ECS: &str = "AWS/ECS";
const SCALING: &str = "AWS/ECS/ManagedScaling";
const ALB: &str = "AWS/ApplicationELB";
const RDS: &str = "AWS/RDS";

#[rustfmt::skip]
const ALARMS: [Alarm; 13] = [
    alarm("shop-errors", (ALB, "HTTPCode_Target_5XX_Count"), Of::LoadBalancer, SUM, 3, When::Above(10.0)),
    alarm("shop-load-balancer-errors", (ALB, "HTTPCode_ELB_5XX_Count"), Of::LoadBalancer, SUM, 3, When::Above(10.0)),
    alarm("shop-latency", (ALB, "TargetResponseTime"), Of::LoadBalancer, Over::Percentile("p95"), 5, When::Above(2.0)),
    alarm("shop-unhealthy-hosts", (ALB, "UnHealthyHostCount"), Of::TargetGroup, MAXIMUM, 3, When::Above(0.0)),
    alarm("shop-web-cpu", (ECS, "CPUUtilization"), Of::WebService, AVERAGE, 3, When::Above(85.0)),
    alarm("shop-web-memory", (ECS, "MemoryUtilization"), Of::WebService, AVERAGE, 3, When::Above(90.0)),
    alarm("shop-cluster-full", (SCALING, "CapacityProviderReservation"), Of::CapacityProvider, AVERAGE, 15, When::Above(100.0)),
    alarm("shop-cluster-cpu-reservation", (ECS, "CPUReservation"), Of::Cluster, AVERAGE, 15, When::Above(90.0)),
    alarm("shop-cluster-memory-reservation", (ECS, "MemoryReservation"), Of::Cluster, AVERAGE, 15, When::Above(90.0)),
    alarm("shop-database-cpu", (RDS, "CPUUtilization"), Of::Database, AVERAGE, 3, When::Above(80.0)),
    alarm("shop-database-connections", (RDS, "DatabaseConnections"), Of::Database, MAXIMUM, 3, When::Above(60.0)),
    alarm("shop-database-storage", (RDS, "FreeStorageSpace"), Of::Database, MINIMUM, 15, When::Below(2_000_000_000.0)),
    alarm("shop-database-memory", (RDS, "FreeableMemory"), Of::Database, AVERAGE, 5, When::Below(67_108_864.0)),
];

/// Their names.
pub(super) fn names() -> Vec<String> {
    ALARMS.iter().map(|alarm| alarm.name.to_owned()).collect()
}

/// Makes all of them.
pub(super) async fn build(account: &Account, system: &System) -> Result<()> {
    // CloudWatch knows load balancers and target groups by the ends of their
    // ARNs.
    let balancer = system.load_balancer.split_once("loadbalancer/");
    let balancer = balancer.map_or("", |(_, name)| name);
    let targets = system.target_group.rsplit(':').next().unwrap_or_default();
    let cluster = ("ClusterName", system.cluster.as_str());
    for alarm in &ALARMS {
        let dimensions = match alarm.of {
            Of::WebService => vec![cluster, ("ServiceName", "web")],
            Of::Cluster => vec![cluster],
            Of::CapacityProvider => {
                vec![cluster, ("CapacityProviderName", &system.capacity_provider)]
            }
            Of::LoadBalancer => vec![("LoadBalancer", balancer)],
            Of::TargetGroup => vec![("LoadBalancer", balancer), ("TargetGroup", targets)],
            Of::Database => vec![("DBInstanceIdentifier", system.database.as_str())],
        };
        let dimensions = dimensions
            .into_iter()
            .map(|(name, value)| Dimension::builder().name(name).value(value).build());
        let (operator, threshold) = match alarm.when {
            When::Above(threshold) => (ComparisonOperator::GreaterThanThreshold, threshold),
            When::Below(threshold) => (ComparisonOperator::LessThanThreshold, threshold),
        };
        let request = account
            .cloudwatch()
            .put_metric_alarm()
            .alarm_name(alarm.name)
            .namespace(alarm.namespace)
            .metric_name(alarm.metric)
            .comparison_operator(operator)
            .threshold(threshold)
            .period(60)
            .evaluation_periods(alarm.minutes)
            .set_dimensions(Some(dimensions.collect()));
        let request = match &alarm.over {
            Over::Statistic(statistic) => request.statistic(statistic.clone()),
            Over::Percentile(percentile) => request.extended_statistic(*percentile),
        };
        request
            .send()
            .await
            .with_context(|| format!("cannot create alarm {}", alarm.name))?;
    }
    Ok(())
}
