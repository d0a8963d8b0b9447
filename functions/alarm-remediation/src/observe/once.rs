//! What many alarms need and one answer tells all of them: it is asked for once in a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::capacity::GroupOf;
use super::{Alarms, CALLS_AT_ONCE, Read};
use crate::action::short;
use crate::world::Target;

/// Names, or why they were not read.
type Names = OnceCell<Read<Vec<String>>>;

/// The Auto Scaling groups of a cluster's capacity providers, read once.
type Groups = OnceCell<Read<Vec<GroupOf>>>;

/// The answers so far, and the failures.
#[derive(Debug, Default)]
pub(super) struct Once {
    clusters: Names,
    services: OnceCell<Read<Vec<Behind>>>,
    groups: Mutex<BTreeMap<String, Arc<Groups>>>,
}

/// A service, and the target groups that its tasks are targets of.
#[derive(Clone, Debug)]
struct Behind {
    service: Target,
    target_groups: Vec<String>,
}

impl Alarms {
    /// The clusters of the account, by ARN.
    pub(super) async fn all_clusters(&self, once: &Once) -> Read<Vec<String>> {
        let clusters = once.clusters.get_or_init(|| self.clusters()).await;
        clusters.clone()
    }

    /// The Auto Scaling groups of a cluster's capacity providers.
    pub(super) async fn groups_in(&self, cluster: &str, once: &Once) -> Read<Vec<GroupOf>> {
        let cell = {
            let mut groups = once.groups.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(groups.entry(cluster.to_owned()).or_default())
        };
        let groups = cell.get_or_init(|| self.groups_of_cluster(cluster)).await;
        groups.clone()
    }

    /// The services whose tasks are targets of a group: `targetgroup/NAME/ID`.
    pub(super) async fn services_behind(&self, group: &str, once: &Once) -> Read<Vec<Target>> {
        let services = once.services.get_or_init(|| self.balanced(once)).await;
        let services = services.clone()?.into_iter();
        let end = format!(":{group}");
        let is_its = |it: &Behind| it.target_groups.iter().any(|arn| arn.ends_with(&end));
        Ok(services.filter(is_its).map(|it| it.service).collect())
    }

    /// Every service of the account that has a target group.
    async fn balanced(&self, once: &Once) -> Read<Vec<Behind>> {
        let clusters = self.all_clusters(once).await?;
        let all: Vec<Vec<Behind>> = stream::iter(clusters)
            .map(|cluster| async move { self.balanced_in(&cluster).await })
            .buffered(CALLS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(all.into_iter().flatten().collect())
    }

    async fn balanced_in(&self, cluster: &str) -> Read<Vec<Behind>> {
        let mut all = Vec::new();
        for service in self.services_in(cluster).await? {
            let groups = super::services::target_groups(&service);
            let target_groups: Vec<String> = groups.map(str::to_owned).collect();
            if !target_groups.is_empty() {
                all.push(Behind {
                    service: Target::Service {
                        cluster: short(cluster).to_owned(),
                        service: service.service_name().unwrap_or_default().to_owned(),
                    },
                    target_groups,
                });
            }
        }
        Ok(all)
    }
}
