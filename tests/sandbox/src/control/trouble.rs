//! What goes wrong, for functions that put it right: alarms that ring, tasks,
//! targets and instances that fail, databases that fill up; and what services
//! told EventBridge of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Control, ControlError};

/// A state of an alarm as CloudWatch would have found it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AlarmEdit {
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// Why; what CloudWatch would say when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, in JSON; what CloudWatch looked at when there is no reason either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_data: Option<Value>,
    /// What CloudWatch looked at; one datapoint that fits when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datapoints: Option<Vec<f64>>,
    /// `PARTIAL_DATA`, `EVALUATION_ERROR` or `EVALUATION_FAILURE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation_state: Option<String>,
}

/// What a metric is from now on, in every period.
#[derive(Clone, Debug, Serialize)]
pub struct MetricEdit {
    /// The namespace, as in `AWS/RDS`.
    pub namespace: String,
    /// The name, as in `FreeStorageSpace`.
    pub metric: String,
    /// Its dimensions, all of them.
    pub dimensions: BTreeMap<String, String>,
    /// Its value, whatever the statistic.
    pub value: f64,
}

/// Trouble that the tasks of a service have from now on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// The ARN of the task definition whose tasks have it; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    /// How many of the tasks that start have it; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Whether those that run now have it as well.
    pub running: bool,
    /// Of tasks that do not start: `stopCode`; `EssentialContainerExited` when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// `stoppedReason`; one that fits when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// Of tasks that do not start: the exit code of their containers; 1 when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Of tasks without a place: `RESOURCE:CPU`, `RESOURCE:MEMORY`,
    /// `RESOURCE:ENI` or `AGENT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Kinds of trouble that tasks have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleKind {
    /// They stop instead of running.
    #[default]
    Start,
    /// They run, the load balancer finds them unhealthy, and they are stopped.
    HealthChecks,
    /// No container instance has a place for them.
    Placement,
    /// They run, and the health checks of their containers fail.
    Unhealthy,
}

/// How a target group sees targets that are tasks.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TargetEdit {
    /// The state, as in `unhealthy`; as it would be when absent.
    pub state: Option<String>,
    /// Why a target is unhealthy, as in `Target.Timeout`;
    /// `Target.FailedHealthChecks` when absent.
    pub reason: Option<String>,
    /// The ARN of the only task that is meant; all, also those to come, when
    /// absent.
    pub task: Option<String>,
}

/// An event as EventBridge delivers it, but for its id.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// The service, as in `aws.cloudwatch`.
    pub source: String,
    /// What kind of event.
    #[serde(rename = "detail-type")]
    pub detail_type: String,
    /// The ARNs that it is about.
    pub resources: Vec<String>,
    /// The event itself.
    pub detail: Value,
}

impl Control {
    /// Lets an alarm be in a state, which EventBridge is told if it is another.
    ///
    /// # Errors
    /// When there is no such alarm or state.
    pub async fn edit_alarm(&self, alarm: &str, edit: &AlarmEdit) -> Result<(), ControlError> {
        let mut body = json!(edit);
        body["alarm"] = json!(alarm);
        self.post::<Value>("/sandbox/cloudwatch/alarms", body)
            .await?;
        Ok(())
    }

    /// Lets one time series of an alarm on a Metrics Insights query be in
    /// `OK` or `ALARM`, and answers its id.
    ///
    /// # Errors
    /// When there is no such alarm, or it is on something else.
    pub async fn edit_contributor(
        &self,
        alarm: &str,
        attributes: &[(&str, &str)],
        state: &str,
    ) -> Result<String, ControlError> {
        #[derive(Deserialize)]
        struct Told {
            id: String,
        }
        let attributes: BTreeMap<_, _> = attributes.iter().copied().collect();
        let body = json!({"alarm": alarm, "attributes": attributes, "state": state});
        let told: Told = self.post("/sandbox/cloudwatch/contributors", body).await?;
        Ok(told.id)
    }

    /// Lets a metric have a value.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn edit_metric(&self, edit: &MetricEdit) -> Result<(), ControlError> {
        self.post::<Value>("/sandbox/cloudwatch/metrics", json!(edit))
            .await?;
        Ok(())
    }

    /// Lets a Metrics Insights query, or another expression as it is written,
    /// have a value.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn edit_expression(&self, expression: &str, value: f64) -> Result<(), ControlError> {
        let body = json!({"expression": expression, "value": value});
        self.post::<Value>("/sandbox/cloudwatch/metrics", body)
            .await?;
        Ok(())
    }

    /// Lets the tasks of a service have trouble, until it is ended.
    ///
    /// # Errors
    /// When there is no such service, or the trouble makes no sense.
    pub async fn trouble(
        &self,
        cluster: &str,
        service: &str,
        trouble: &Trouble,
    ) -> Result<(), ControlError> {
        let mut body = json!(trouble);
        body["cluster"] = json!(cluster);
        body["service"] = json!(service);
        self.post::<Value>("/sandbox/ecs/trouble", body).await?;
        Ok(())
    }

    /// Ends all trouble of a service.
    ///
    /// # Errors
    /// When there is no such service.
    pub async fn end_trouble(&self, cluster: &str, service: &str) -> Result<(), ControlError> {
        let body = json!({"cluster": cluster, "service": service});
        self.post::<Value>("/sandbox/ecs/trouble/end", body).await?;
        Ok(())
    }

    /// Lets the agent of a container instance, by its ARN or id, be connected
    /// or lost.
    ///
    /// # Errors
    /// When there is no such container instance.
    pub async fn edit_agent(
        &self,
        cluster: &str,
        container_instance: &str,
        connected: bool,
    ) -> Result<(), ControlError> {
        let body = json!({
            "cluster": cluster,
            "container_instance": container_instance,
            "agent_connected": connected,
        });
        self.post::<Value>("/sandbox/ecs/container-instances", body)
            .await?;
        Ok(())
    }

    /// Lets the targets of a group that are tasks, or one of them, be in a
    /// state.
    ///
    /// # Errors
    /// When there is no such target group, task, state or reason.
    pub async fn edit_targets(
        &self,
        target_group: &str,
        edit: &TargetEdit,
    ) -> Result<(), ControlError> {
        let mut body = json!(edit);
        body["target_group"] = json!(target_group);
        self.post::<Value>("/sandbox/elbv2/target-health", body)
            .await?;
        Ok(())
    }

    /// Leaves a database so much free storage, in bytes; with none it is
    /// `storage-full`.
    ///
    /// # Errors
    /// When there is no such database, or it is smaller.
    pub async fn leave_storage(&self, instance: &str, free_bytes: u64) -> Result<(), ControlError> {
        let body = json!({"instance": instance, "free_bytes": free_bytes});
        self.post::<Value>("/sandbox/rds/storage", body).await?;
        Ok(())
    }

    /// The events that services of this account and Region told EventBridge so
    /// far, in order.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn events(&self) -> Result<Vec<Event>, ControlError> {
        let path = format!(
            "/sandbox/events?account={}&region={}",
            self.account, self.region
        );
        self.request("GET", &path, None).await
    }

    /// Forgets the events so far.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn clear_events(&self) -> Result<(), ControlError> {
        self.post::<Value>("/sandbox/events/clear", json!({}))
            .await?;
        Ok(())
    }
}
