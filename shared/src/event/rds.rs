//! What Amazon RDS tells of databases, clusters and snapshots.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::envelope::{Delivered, Envelope};
use super::{Arn, EventError};

pub(super) const INSTANCE: &str = "RDS DB Instance Event";
pub(super) const SNAPSHOT: &str = "RDS DB Snapshot Event";
pub(super) const CLUSTER: &str = "RDS DB Cluster Event";
pub(super) const CLUSTER_SNAPSHOT: &str = "RDS DB Cluster Snapshot Event";

/// What an event is about, by its detail-type. (`SourceType` in the detail is no
/// guide: the documentation's samples and real events differ.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RdsSubject {
    /// A DB instance.
    Instance,
    /// A snapshot of a DB instance.
    Snapshot,
    /// A DB cluster.
    Cluster,
    /// A snapshot of a DB cluster.
    ClusterSnapshot,
}

impl RdsSubject {
    /// As EventBridge names it.
    #[must_use]
    pub fn detail_type(self) -> &'static str {
        match self {
            Self::Instance => INSTANCE,
            Self::Snapshot => SNAPSHOT,
            Self::Cluster => CLUSTER,
            Self::ClusterSnapshot => CLUSTER_SNAPSHOT,
        }
    }

    /// The resource type in the ARN of such a thing. AWS: "Amazon Resource Names
    /// (ARNs) in Amazon RDS".
    fn resource_type(self) -> &'static str {
        match self {
            Self::Instance => "db",
            Self::Snapshot => "snapshot",
            Self::Cluster => "cluster",
            Self::ClusterSnapshot => "cluster-snapshot",
        }
    }
}

/// An event of RDS. AWS: "Monitoring Amazon RDS events" and "Amazon RDS event
/// categories and event messages" (best effort, possibly out of order).
#[derive(Clone, Debug, PartialEq)]
pub struct RdsEvent {
    /// Around the event.
    pub envelope: Envelope,
    /// What it is about.
    pub subject: RdsSubject,
    /// The database's, cluster's or snapshot's id. Ids of automated snapshots
    /// begin with `rds:`.
    pub identifier: String,
    /// As it came. In AWS's own samples, events of automated snapshots carry the
    /// ARN of the database here.
    pub source_arn: Option<Arn>,
    /// As it came, such as `DB_INSTANCE`.
    pub source_type: Option<String>,
    /// `RDS-EVENT-0042` and so on; older events lack it.
    pub event_id: Option<String>,
    /// Such as `creation`, `deletion`, `notification`.
    pub categories: Vec<String>,
    /// For people.
    pub message: Option<String>,
    /// When it happened.
    pub date: Option<Timestamp>,
    /// The resource's tags when the message was sent. `None` when the event did
    /// not carry them, which doesn't mean that there are none.
    pub tags: Option<BTreeMap<String, String>>,
    /// What was tolerated while reading.
    pub warnings: Vec<String>,
}

pub(super) fn read(delivered: Delivered<'_>) -> Result<RdsEvent, EventError> {
    let subject = match delivered.detail_type {
        INSTANCE => RdsSubject::Instance,
        SNAPSHOT => RdsSubject::Snapshot,
        CLUSTER => RdsSubject::Cluster,
        _ => RdsSubject::ClusterSnapshot,
    };
    let Delivered {
        envelope, detail, ..
    } = delivered;
    let source_arn = detail.arn("SourceArn");
    // The ARN goes first because the identifier of an instance is written with a
    // stray "rds:" in AWS's samples; but only an ARN of the thing itself counts.
    let identifier = source_arn
        .as_ref()
        .or_else(|| envelope.resource("rds", subject.resource_type()))
        .filter(|arn| arn.resource_type() == subject.resource_type())
        .map(|arn| arn.resource_id().to_owned())
        .or_else(|| detail.text("SourceIdentifier"))
        .ok_or(EventError::Missing {
            event: subject.detail_type(),
            expected: "\"detail.SourceIdentifier\" or a matching \"detail.SourceArn\"",
        })?;
    Ok(RdsEvent {
        envelope,
        subject,
        identifier,
        source_arn,
        source_type: detail.text("SourceType"),
        event_id: detail.text("EventID"),
        categories: detail.texts("EventCategories"),
        message: detail.text("Message"),
        date: detail.time("Date"),
        tags: detail.text_map("Tags"),
        warnings: Vec::new(),
    })
}
