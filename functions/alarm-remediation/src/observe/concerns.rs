//! What an alarm is about: by its tag, by the policy, or by the dimensions of its metrics;
//! of a composite alarm what its children in alarm are about.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types as cw;
use futures::future::BoxFuture;
use steward::aws;

use super::alarms::{Described, MOST_NAMES};
use super::once::Once;
use super::{Alarms, Read, Unread};
use crate::action::short;
use crate::policy::{OFF, RemediationPolicy};
use crate::world::{Concern, REMEDIATION, Symptom, Target};

/// How deep composite alarms are followed.
const DEPTH: u8 = 3;

const CONTRIBUTORS: &str = "cloudwatch:DescribeAlarmContributors";

/// A metric that an alarm watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    namespace: String,
    name: String,
    side: Side,
    dimensions: BTreeMap<String, String>,
}

/// On which side of its threshold a metric is when its alarm goes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Above.
    High,
    /// Below.
    Low,
    /// Either, or nobody says.
    Unknown,
}

impl Side {
    pub(super) fn of(operator: Option<&cw::ComparisonOperator>) -> Self {
        use cw::ComparisonOperator as By;
        match operator {
            Some(
                By::GreaterThanThreshold
                | By::GreaterThanOrEqualToThreshold
                | By::GreaterThanUpperThreshold,
            ) => Self::High,
            Some(
                By::LessThanThreshold | By::LessThanOrEqualToThreshold | By::LessThanLowerThreshold,
            ) => Self::Low,
            _ => Self::Unknown,
        }
    }
}

/// The metrics of which less is worse.
const WORSE_WHEN_LOW: &[&str] = &[
    "BurstBalance",
    "CPUCreditBalance",
    "FreeStorageSpace",
    "FreeStorageSpaceLogVolume",
    "FreeableMemory",
    "HealthyHostCount",
    "HealthyStateDNS",
    "HealthyStateRouting",
    "RunningTaskCount",
];

impl Watched {
    pub(super) fn of(
        namespace: &str,
        name: &str,
        side: Side,
        dimensions: &[cw::Dimension],
    ) -> Self {
        let dimensions = dimensions.iter();
        Self {
            side,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: dimensions
                .filter_map(|it| Some((it.name()?.to_owned(), it.value()?.to_owned())))
                .collect(),
        }
    }

    /// The metric of a Metrics Insights query, `SELECT MAX(Metric) FROM
    /// SCHEMA("Namespace", …)`; its dimensions are those of its contributors.
    pub(super) fn of_query(query: &str, side: Side) -> Option<Self> {
        let rest = query
            .get(..6)
            .filter(|it| it.eq_ignore_ascii_case("select"));
        rest?;
        let metric = query.split_once('(')?.1.split_once(')')?.0;
        let from = query.to_ascii_lowercase().find(" from ")? + 6;
        let from = query.get(from..)?.trim_start();
        let from = from.strip_prefix("SCHEMA(").unwrap_or(from).trim_start();
        let namespace = match from.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?,
            None => from.split([' ', ',', ')']).next()?,
        };
        Some(Self {
            side,
            namespace: namespace.to_owned(),
            name: metric.trim_matches('"').to_owned(),
            dimensions: BTreeMap::new(),
        })
    }

    fn with(&self, dimensions: BTreeMap<String, String>) -> Self {
        Self {
            dimensions,
            ..self.clone()
        }
    }

    /// What is wrong when it is out of its bounds. A service that has next to nothing to do
    /// does not need more tasks.
    pub(super) fn symptom(&self) -> Symptom {
        let worse = match WORSE_WHEN_LOW.contains(&self.name.as_str()) {
            true => Side::Low,
            false => Side::High,
        };
        if self.side == worse {
            self.of_its_metric()
        } else {
            Symptom::Other
        }
    }

    fn of_its_metric(&self) -> Symptom {
        match (self.namespace.as_str(), self.name.as_str()) {
            ("AWS/ECS", "CPUUtilization" | "MemoryUtilization") => {
                if self.dimensions.contains_key("ServiceName") {
                    Symptom::Busy
                } else {
                    Symptom::NoRoom
                }
            }
            ("AWS/ECS", "CPUReservation" | "MemoryReservation" | "GPUReservation")
            | ("AWS/ECS/ManagedScaling", "CapacityProviderReservation") => Symptom::NoRoom,
            ("ECS/ContainerInsights", "CpuUtilized" | "MemoryUtilized") => Symptom::Busy,
            ("ECS/ContainerInsights", "RunningTaskCount" | "PendingTaskCount") => {
                Symptom::Unhealthy
            }
            (
                "AWS/ApplicationELB",
                "HTTPCode_Target_5XX_Count"
                | "HTTPCode_ELB_5XX_Count"
                | "HTTPCode_ELB_502_Count"
                | "HTTPCode_ELB_503_Count"
                | "HTTPCode_ELB_504_Count"
                | "TargetConnectionErrorCount"
                | "TargetResponseTime",
            ) => Symptom::Errors,
            (
                "AWS/ApplicationELB",
                "UnHealthyHostCount"
                | "HealthyHostCount"
                | "UnhealthyStateRouting"
                | "UnhealthyStateDNS"
                | "HealthyStateRouting"
                | "HealthyStateDNS",
            ) => Symptom::Unhealthy,
            (
                "AWS/EC2",
                "StatusCheckFailed"
                | "StatusCheckFailed_Instance"
                | "StatusCheckFailed_System"
                | "StatusCheckFailed_AttachedEBS",
            ) => Symptom::Impaired,
            ("AWS/EC2", "CPUUtilization") => Symptom::Busy,
            ("AWS/RDS", "FreeStorageSpace" | "FreeStorageSpaceLogVolume") => Symptom::StorageLow,
            ("AWS/RDS", "DatabaseConnections") => Symptom::Connections,
            (
                "AWS/RDS",
                "CPUUtilization" | "DBLoad" | "DBLoadCPU" | "FreeableMemory" | "ReadLatency"
                | "WriteLatency" | "DiskQueueDepth" | "BurstBalance" | "CPUCreditBalance",
            ) => Symptom::DatabaseBusy,
            _ => Symptom::Other,
        }
    }

    fn dimension(&self, name: &str) -> Option<&String> {
        self.dimensions.get(name).filter(|value| !value.is_empty())
    }
}

/// Sorts out what is about the same.
struct Found<'a> {
    once: &'a Once,
    concerns: BTreeSet<Concern>,
    unread: Vec<Unread>,
}

impl Alarms {
    /// What an alarm is about, and what of that could not be found out.
    pub(super) async fn concerns(
        &self,
        policy: &RemediationPolicy,
        described: &Described,
        tag: Option<&str>,
        once: &Once,
    ) -> (Vec<Concern>, Vec<Unread>) {
        let mut found = Found {
            once,
            concerns: BTreeSet::new(),
            unread: vec![],
        };
        if let Some(named) = named_by(policy, &described.alarm.name, tag) {
            found.concerns.insert(named_for(named, &described.watched));
        } else {
            self.of_alarm(policy, described, DEPTH, &mut found).await;
        }
        (found.concerns.into_iter().collect(), found.unread)
    }

    fn of_alarm<'a>(
        &'a self,
        policy: &'a RemediationPolicy,
        described: &'a Described,
        depth: u8,
        found: &'a mut Found<'_>,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if described.is_composite {
                self.of_children(policy, described, depth, found).await;
                return;
            }
            let mut watched = described.watched.clone();
            if described.has_contributors {
                match self.contributors(&described.alarm.name).await {
                    Ok(contributors) => {
                        let of = |it: &Watched| -> Vec<Watched> {
                            let all = contributors.iter();
                            all.map(|one| it.with(one.clone())).collect()
                        };
                        watched = described.watched.iter().flat_map(of).collect();
                    }
                    Err(unread) => found.unread.push(unread),
                }
            }
            // An alarm over several metrics of one thing is about that one thing.
            let mut symptoms: BTreeMap<&BTreeMap<String, String>, Vec<&Watched>> = BTreeMap::new();
            for one in &watched {
                symptoms.entry(&one.dimensions).or_default().push(one);
            }
            for of_one in symptoms.values() {
                let Some(one) = of_one.first() else { continue };
                match self.of_metric(one, found.once).await {
                    Ok(targets) => {
                        for one in of_one {
                            let symptom = one.symptom();
                            let concerns = targets.iter().cloned();
                            let concerns = concerns.map(|target| Concern { target, symptom });
                            found.concerns.extend(concerns);
                        }
                    }
                    Err(unread) => found.unread.push(unread),
                }
            }
        })
    }

    async fn of_children(
        &self,
        policy: &RemediationPolicy,
        described: &Described,
        depth: u8,
        found: &mut Found<'_>,
    ) {
        if depth == 0 {
            return;
        }
        let names = self.children_in_alarm(&described.alarm.name).await;
        let names = match names {
            Ok(names) => names,
            Err(unread) => {
                found.unread.push(unread);
                return;
            }
        };
        for names in names.chunks(MOST_NAMES) {
            match self.described(Some(names)).await {
                Ok(children) => {
                    for child in &children {
                        self.of_child(policy, child, depth - 1, found).await;
                    }
                }
                Err(unread) => found.unread.push(unread),
            }
        }
    }

    /// What a child is about, as if it were on its own: by its tag, by the policy, or by its
    /// dimensions.
    async fn of_child(
        &self,
        policy: &RemediationPolicy,
        child: &Described,
        depth: u8,
        found: &mut Found<'_>,
    ) {
        let tags = match self.tags_of_alarm(&child.alarm.arn).await {
            Ok(tags) => tags,
            // It may be switched off by them.
            Err(unread) => {
                found.unread.push(unread);
                return;
            }
        };
        let tag = tags.get(REMEDIATION).map(String::as_str);
        if tag == Some(OFF) {
            return;
        }
        match named_by(policy, &child.alarm.name, tag) {
            Some(named) => {
                found.concerns.insert(named_for(named, &child.watched));
            }
            None => self.of_alarm(policy, child, depth, found).await,
        }
    }

    /// The attributes of the time series of an alarm that are in alarm.
    async fn contributors(&self, name: &str) -> Read<Vec<BTreeMap<String, String>>> {
        let answers = aws::read_pages_by_token(|token| {
            let request = self
                .cloudwatch
                .describe_alarm_contributors()
                .alarm_name(name)
                .set_next_token(token);
            async {
                let answer = self.cloudwatch_pace.call(request.send()).await;
                answer.map(|answer| (answer.alarm_contributors, answer.next_token))
            }
        });
        let (all, incomplete) = answers.await;
        if let Some(why) = incomplete {
            return Err(Unread::of(CONTRIBUTORS, why.to_string()));
        }
        let attributes = all.iter().map(|one| {
            let of = one.contributor_attributes().into_iter().flatten();
            of.map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        });
        Ok(attributes.collect())
    }

    /// What a metric is about, by its dimensions.
    async fn of_metric(&self, watched: &Watched, once: &Once) -> Read<Vec<Target>> {
        let dimension = |name: &str| watched.dimension(name);
        if let (Some(cluster), Some(service)) = (dimension("ClusterName"), dimension("ServiceName"))
        {
            return Ok(vec![Target::Service {
                cluster: cluster.clone(),
                service: service.clone(),
            }]);
        }
        if let Some(group) = dimension("AutoScalingGroupName") {
            return Ok(vec![Target::Group(group.clone())]);
        }
        if let Some(id) = dimension("DBInstanceIdentifier") {
            return Ok(vec![Target::Database(id.clone())]);
        }
        if let Some(cluster) = dimension("ClusterName") {
            let provider = dimension("CapacityProviderName");
            let mut groups = self.groups_in(cluster, once).await?;
            groups.retain(|of| provider.is_none_or(|provider| of.provider == *provider));
            let groups = groups.into_iter().map(|of| Target::Group(of.group));
            return Ok(groups.collect());
        }
        if let Some(group) = dimension("TargetGroup") {
            return self.services_behind(group, once).await;
        }
        if let Some(id) = dimension("InstanceId") {
            return self.instance_of(id, once).await;
        }
        Ok(vec![])
    }

    /// The container instance on an EC2 instance.
    async fn instance_of(&self, id: &str, once: &Once) -> Read<Vec<Target>> {
        for cluster in self.all_clusters(once).await? {
            let found = self.container_instances_on(&cluster, id).await?;
            if let Some(arn) = found.into_iter().next() {
                return Ok(vec![Target::Instance {
                    cluster: short(&cluster).to_owned(),
                    instance: arn,
                }]);
            }
        }
        Ok(vec![])
    }
}

/// What an alarm is about by its tag, or else by the policy.
fn named_by(
    policy: &RemediationPolicy,
    alarm: &str,
    tag: Option<&str>,
) -> Option<(Target, Option<Symptom>)> {
    let by_tag = tag.and_then(|tag| Some((tag.parse().ok()?, None)));
    by_tag.or_else(|| policy.mapped(alarm))
}

fn named_for((target, symptom): (Target, Option<Symptom>), watched: &[Watched]) -> Concern {
    let symptom = symptom.unwrap_or_else(|| symptom_for(&target, watched));
    Concern { target, symptom }
}

/// What is wrong with a target that a tag or the policy names: what the alarm watches, as
/// far as that can be said of such a target.
fn symptom_for(target: &Target, watched: &[Watched]) -> Symptom {
    let fits = |symptom: &Symptom| match target {
        Target::Service { .. } => {
            matches!(
                symptom,
                Symptom::Busy | Symptom::Errors | Symptom::Unhealthy
            )
        }
        Target::Group(_) => matches!(symptom, Symptom::NoRoom | Symptom::Busy),
        Target::Instance { .. } => matches!(symptom, Symptom::Impaired),
        Target::Database(_) => matches!(
            symptom,
            Symptom::StorageLow | Symptom::Connections | Symptom::DatabaseBusy
        ),
    };
    let mut symptoms = watched.iter().map(Watched::symptom);
    symptoms.find(fits).unwrap_or(Symptom::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Watched {
        let dimensions = dimensions.iter();
        Watched {
            side: match WORSE_WHEN_LOW.contains(&name) {
                true => Side::Low,
                false => Side::High,
            },
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: dimensions
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn the_same_metric_of_a_cluster_and_of_a_service_is_another_symptom() {
        let of = |dimensions| watched("AWS/ECS", "CPUUtilization", dimensions).symptom();
        let service = [("ClusterName", "shop"), ("ServiceName", "web")];
        assert_eq!(of(&service), Symptom::Busy);
        assert_eq!(of(&service[..1]), Symptom::NoRoom);
    }

    #[test]
    fn queries_of_metrics_insights_name_their_metric() {
        for query in [
            "SELECT MAX(CPUUtilization) FROM SCHEMA(\"AWS/ECS\", ClusterName, ServiceName) \
             GROUP BY ClusterName, ServiceName ORDER BY MAX() DESC LIMIT 10",
            "select avg(\"CPUUtilization\") from \"AWS/ECS\" group by ServiceName",
        ] {
            let found = Watched::of_query(query, Side::High).unwrap();
            assert_eq!(found, watched("AWS/ECS", "CPUUtilization", &[]), "{query}");
        }
        for other in [
            "",
            "m1 / m2",
            "ANOMALY_DETECTION_BAND(m1, 2)",
            "selection(m1)",
        ] {
            assert_eq!(Watched::of_query(other, Side::High), None, "{other}");
        }
    }

    #[test]
    fn what_is_named_for_an_alarm_has_only_symptoms_of_its_kind() {
        let database = Target::Database("shop-db".to_owned());
        let cpu = watched("AWS/RDS", "CPUUtilization", &[]);
        let errors = watched("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", &[]);
        let all = [errors.clone(), cpu];
        assert_eq!(symptom_for(&database, &all), Symptom::DatabaseBusy);
        assert_eq!(symptom_for(&database, &[errors]), Symptom::Other);
    }

    #[test]
    fn what_is_on_the_good_side_of_its_threshold_is_no_reason_for_more() {
        for (namespace, name, dimensions) in [
            ("AWS/ECS", "CPUUtilization", vec![("ServiceName", "web")]),
            (
                "AWS/ECS",
                "MemoryReservation",
                vec![("ClusterName", "shop")],
            ),
            ("AWS/RDS", "FreeStorageSpace", vec![]),
            ("AWS/RDS", "DatabaseConnections", vec![]),
            ("AWS/ApplicationELB", "HealthyHostCount", vec![]),
        ] {
            let bad = watched(namespace, name, &dimensions);
            assert_ne!(bad.symptom(), Symptom::Other, "{name}");
            let good = match bad.side {
                Side::Low => Side::High,
                _ => Side::Low,
            };
            for side in [good, Side::Unknown] {
                let good = Watched {
                    side,
                    ..bad.clone()
                };
                assert_eq!(good.symptom(), Symptom::Other, "{name}");
            }
        }
    }
}
