//! What tests and the seed need and AWS has no operation for, through the
//! control API of our moto plugin: bulk seeding with chosen dates, network,
//! settings, faults, task edits, and the record of calls.

use std::collections::BTreeMap;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

mod database;
mod trouble;

pub use database::{Connection, Rows, Visit};
pub use trouble::{AlarmEdit, Event, MetricEdit, TargetEdit, Trouble, TroubleKind};

/// The control API for one account and Region.
#[derive(Clone, Debug)]
pub struct Control {
    base: String,
    account: String,
    region: String,
}

/// An image to put into a repository as if it had been pushed at a moment of
/// one's choice. Tags move as they do at a push.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Image {
    /// Its tags; none for an untagged image.
    pub tags: Vec<String>,
    /// When it was pushed; now when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Timestamp>,
    /// When it was last pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_pull: Option<Timestamp>,
    /// `imageSizeInBytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// The manifest; a distinct plain one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The digest; that of the manifest when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// `imageManifestMediaType`; the manifest's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// `artifactMediaType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_media_type: Option<String>,
    /// The digest this image refers to, as a signature does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `ACTIVE` or `ARCHIVED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When it was last archived; of an archived image at its push when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    /// When it was last restored from the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Timestamp>,
}

/// A snapshot of a database to put there as if it had been taken at a moment
/// of one's choice. No quota holds it back.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SeededSnapshot {
    /// Identifier of the instance, which must exist.
    pub instance: String,
    /// Its identifier; one of the form that its type has when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `manual`, `automated` or `awsbackup`; manual when absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub snapshot_type: Option<String>,
    /// `OriginalSnapshotCreateTime`; `created_at` or else now when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Timestamp>,
    /// `SnapshotCreateTime`; `taken_at` or else now when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Its tags; when absent those of the instance, if that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Its status; `available` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The ARN of what it is a copy of, in another Region or account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What to change of a database. A status lasts until a call changes it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DatabaseEdit {
    /// `stopped`, `modifying`, `storage-full` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Up to when it can be restored to a point in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_restorable_time: Option<Timestamp>,
}

/// What to change of automated backups that are replicated to this Region.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplicatedBackupEdit {
    /// `replicating`, `retained` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Begin of the restore window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Timestamp>,
    /// End of the restore window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<Timestamp>,
}

/// A call that fails, on demand.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Fault {
    /// The service, as in `ecr`.
    pub service: String,
    /// The operation, as in `BatchDeleteImage`.
    pub operation: String,
    /// The error code, as in `ThrottlingException`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The HTTP status; 400 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many calls fail; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// How many calls succeed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<u32>,
    /// Only calls whose body contains this.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// How long the call takes, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// A failure of one image inside an answer of status 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_failure: Option<ImageFailure>,
}

impl Fault {
    /// An operation that fails with an error code until the faults are cleared.
    pub fn of(service: &str, operation: &str, code: &str) -> Self {
        Self {
            service: service.to_owned(),
            operation: operation.to_owned(),
            code: Some(code.to_owned()),
            ..Self::default()
        }
    }
}

/// A failure inside the answer of `BatchDeleteImage` or `BatchGetImage`.
#[derive(Clone, Debug, Serialize)]
pub struct ImageFailure {
    /// Which image.
    pub digest: String,
    /// `failureCode`, as in `KmsError`.
    pub code: String,
}

/// How the emulated services behave in one account.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Settings {
    /// How many describes an RDS state takes to move on; 0 is at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rds_polls: Option<u32>,
    /// For how many describes the storage of a restored database that is
    /// available is still loaded; 0 is not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rds_loading_polls: Option<u32>,
    /// How many manual snapshots the account may have in each Region; 100
    /// unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rds_manual_snapshots: Option<u32>,
    /// Whether every new `PostgreSQL` instance is a real server; they are not
    /// unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rds_real: Option<bool>,
    /// Whether a web application runs in every task that is told of a
    /// database, and answers through load balancers from it; none does unless
    /// told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_applications: Option<bool>,
    /// How many describes an ECS rollout takes to move on, and tasks take to
    /// start and stop; 0 is at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_polls: Option<u32>,
    /// How many tasks an instance of an Auto Scaling group has room for; 10
    /// unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_tasks_per_instance: Option<u32>,
    /// How many describes of its Auto Scaling group an instance takes to come
    /// or go; 0 is at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_polls: Option<u32>,
    /// How many instances there is capacity for, over all groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_instances: Option<u32>,
    /// How many describes a task takes to be healthy as a target; 0 is at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_polls: Option<u32>,
    /// How many describes an archived image takes to be restored; 0 is at
    /// once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecr_polls: Option<u32>,
    /// Whether new deployments have service revisions; older ones on AWS have
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_service_revisions: Option<bool>,
    /// How much storage databases may have in each Region, in gibibytes;
    /// 100,000 unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rds_storage_gib: Option<u32>,
    /// Whether ECS and RDS tell EventBridge what happens, which wakes whoever
    /// has a rule for it; they don't unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_events: Option<bool>,
}

/// A change to one ECS task.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TaskEdit {
    /// The cluster's name.
    pub cluster: String,
    /// The task's ARN.
    pub task: String,
    /// `PENDING`, `RUNNING` or `STOPPED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_status: Option<String>,
    /// Why it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// What stopped it, as in `EssentialContainerExited`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// When it stopped; tasks are forgotten an hour later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// The digest its containers run; `Some(None)` for a task that has not
    /// pulled its image yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Option<String>>,
    /// `healthStatus`: `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_status: Option<String>,
}

/// The network of the reference system.
#[derive(Clone, Debug, Deserialize)]
pub struct Network {
    /// The VPC's id.
    pub vpc: String,
    /// Two subnets, in two availability zones.
    pub public_subnets: Vec<String>,
    /// Two subnets, in two availability zones.
    pub private_subnets: Vec<String>,
    /// The security groups.
    pub security_groups: SecurityGroups,
}

/// The security groups of the reference system.
#[derive(Clone, Debug, Deserialize)]
pub struct SecurityGroups {
    /// Of the load balancer.
    pub alb: String,
    /// Of the services' tasks.
    pub service: String,
    /// Of the database.
    pub database: String,
}

/// One AWS call that the emulator answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// The service, as in `ecr`.
    pub service: String,
    /// The operation, as in `DescribeImages`.
    pub operation: String,
    /// The request: JSON, or text for services that speak otherwise.
    #[serde(default)]
    pub body: Value,
    /// The HTTP status of the answer.
    #[serde(default)]
    pub status: u16,
}

/// The control API did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox's control API refused {method} {path}: {reason}")]
pub struct ControlError {
    method: &'static str,
    path: String,
    reason: String,
}

impl ControlError {
    fn new(method: &'static str, path: &str, reason: String) -> Self {
        Self {
            method,
            path: path.to_owned(),
            reason,
        }
    }
}

impl Control {
    pub(crate) fn new(base: &str, account: &str, region: &str) -> Self {
        Self {
            base: base.to_owned(),
            account: account.to_owned(),
            region: region.to_owned(),
        }
    }

    /// Puts images into a repository; thousands at once are fine. Answers their
    /// digests in the same order.
    ///
    /// # Errors
    /// When the repository does not exist or an image makes no sense.
    pub async fn images(
        &self,
        repository: &str,
        images: &[Image],
    ) -> Result<Vec<String>, ControlError> {
        #[derive(Deserialize)]
        struct Made {
            images: Vec<MadeImage>,
        }
        #[derive(Deserialize)]
        struct MadeImage {
            digest: String,
        }
        let made: Made = self
            .post(
                "/sandbox/ecr/images",
                json!({"repository": repository, "images": images}),
            )
            .await?;
        Ok(made.images.into_iter().map(|image| image.digest).collect())
    }

    /// Changes when a database snapshot was taken.
    ///
    /// # Errors
    /// When there is no such snapshot.
    pub async fn backdate_snapshot(
        &self,
        snapshot: &str,
        created_at: Timestamp,
    ) -> Result<(), ControlError> {
        self.post::<Value>(
            "/sandbox/rds/backdate",
            json!({"snapshot": snapshot, "created_at": created_at}),
        )
        .await?;
        Ok(())
    }

    /// Puts snapshots of databases there; thousands at once are fine. Answers
    /// their identifiers in the same order.
    ///
    /// # Errors
    /// When an instance does not exist, or an identifier is taken.
    pub async fn snapshots(
        &self,
        snapshots: &[SeededSnapshot],
    ) -> Result<Vec<String>, ControlError> {
        #[derive(Deserialize)]
        struct Made {
            snapshots: Vec<String>,
        }
        let made: Made = self
            .post("/sandbox/rds/snapshots", json!({"snapshots": snapshots}))
            .await?;
        Ok(made.snapshots)
    }

    /// Lets a database snapshot fail, whether it is on its way or complete.
    ///
    /// # Errors
    /// When there is no such snapshot.
    pub async fn fail_snapshot(&self, snapshot: &str) -> Result<(), ControlError> {
        self.post::<Value>("/sandbox/rds/fail", json!({"snapshot": snapshot}))
            .await?;
        Ok(())
    }

    /// Changes a database as time or AWS would.
    ///
    /// # Errors
    /// When there is no such database.
    pub async fn edit_database(
        &self,
        instance: &str,
        edit: &DatabaseEdit,
    ) -> Result<(), ControlError> {
        let mut body = json!(edit);
        body["instance"] = json!(instance);
        self.post::<Value>("/sandbox/rds/instances", body).await?;
        Ok(())
    }

    /// Lets AWS start a database that has been stopped for seven days.
    ///
    /// # Errors
    /// When there is no such database, or it is not stopped.
    pub async fn start_database_automatically(&self, instance: &str) -> Result<(), ControlError> {
        self.post::<Value>(
            "/sandbox/rds/automatic-start",
            json!({"instance": instance}),
        )
        .await?;
        Ok(())
    }

    /// Lets the tasks that are targets of a group be in a state, as in
    /// `unhealthy`; `None` ends that.
    ///
    /// # Errors
    /// When there is no such target group or state.
    pub async fn target_health(
        &self,
        target_group: &str,
        state: Option<&str>,
    ) -> Result<(), ControlError> {
        self.post::<Value>(
            "/sandbox/elbv2/target-health",
            json!({"target_group": target_group, "state": state}),
        )
        .await?;
        Ok(())
    }

    /// Lets everything that takes time come to its end, also what AWS does of
    /// itself after a while: idle groups of capacity providers shrink, scaling
    /// policies move services into their bounds.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn settle(&self) -> Result<(), ControlError> {
        self.post::<Value>("/sandbox/settle", json!({})).await?;
        Ok(())
    }

    /// Changes automated backups that are replicated to this Region, by the
    /// resource id of their database.
    ///
    /// # Errors
    /// When there are none of that database here.
    pub async fn edit_replicated_backup(
        &self,
        resource_id: &str,
        edit: &ReplicatedBackupEdit,
    ) -> Result<(), ControlError> {
        let mut body = json!(edit);
        body["resource_id"] = json!(resource_id);
        self.post::<Value>("/sandbox/rds/replicated-backups", body)
            .await?;
        Ok(())
    }

    /// Makes the reference system's network.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn network(&self) -> Result<Network, ControlError> {
        self.post("/sandbox/network", json!({})).await
    }

    /// Changes how services behave in this account.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn settings(&self, settings: &Settings) -> Result<(), ControlError> {
        self.post::<Value>("/sandbox/settings", json!(settings))
            .await?;
        Ok(())
    }

    /// Adds a fault to this account.
    ///
    /// # Errors
    /// When the fault makes no sense.
    pub async fn fault(&self, fault: &Fault) -> Result<(), ControlError> {
        self.post::<Value>("/sandbox/faults", json!(fault)).await?;
        Ok(())
    }

    /// Ends all faults of this account.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn clear_faults(&self) -> Result<(), ControlError> {
        self.post::<Value>("/sandbox/faults/clear", json!({}))
            .await?;
        Ok(())
    }

    /// Changes a task as time or an agent would.
    ///
    /// # Errors
    /// When there is no such task.
    pub async fn edit_task(&self, edit: &TaskEdit) -> Result<(), ControlError> {
        self.post::<Value>("/sandbox/ecs/tasks", json!(edit))
            .await?;
        Ok(())
    }

    /// The AWS calls of this account and Region so far, in order.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn calls(&self) -> Result<Vec<Call>, ControlError> {
        let path = format!(
            "/sandbox/calls?account={}&region={}",
            self.account, self.region
        );
        self.request("GET", &path, None).await
    }

    /// Forgets the calls so far.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn clear_calls(&self) -> Result<(), ControlError> {
        self.post::<Value>("/sandbox/calls/clear", json!({}))
            .await?;
        Ok(())
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, ControlError> {
        let mut fields = match body {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.insert("account".to_owned(), json!(self.account));
        fields.insert("region".to_owned(), json!(self.region));
        self.request("POST", path, Some(Value::Object(fields)))
            .await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, ControlError> {
        let failed = |reason: String| ControlError::new(method, path, reason);
        let (status, bytes) = send(method, &format!("{}{path}", self.base), body)
            .await
            .map_err(failed)?;
        if !(200..300).contains(&status) {
            return Err(failed(format!(
                "{status} {}",
                String::from_utf8_lossy(&bytes)
            )));
        }
        let bytes = if bytes.is_empty() {
            b"null".to_vec()
        } else {
            bytes
        };
        serde_json::from_slice(&bytes)
            .map_err(|error| failed(format!("{error} in {}", String::from_utf8_lossy(&bytes))))
    }
}

/// The status and body that answer a request; or why there is no answer.
async fn send(method: &str, uri: &str, body: Option<Value>) -> Result<(u16, Vec<u8>), String> {
    let body = body.map_or_else(SdkBody::empty, |body| SdkBody::from(body.to_string()));
    let mut request = HttpRequest::new(body);
    request
        .set_method(method)
        .map_err(|error| error.to_string())?;
    request.set_uri(uri).map_err(|error| error.to_string())?;
    request
        .headers_mut()
        .insert("content-type", "application/json");
    // A connection for one call: callers may each have a runtime of their own.
    let response = Connector::builder()
        .build_http()
        .call(request)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let status = response.status().as_u16();
    let bytes = aws_smithy_types::byte_stream::ByteStream::new(response.into_body())
        .collect()
        .await
        .map_err(|error| error.to_string())?
        .to_vec();
    Ok((status, bytes))
}
