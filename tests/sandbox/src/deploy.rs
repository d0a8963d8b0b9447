//! Puts a function's binary into the sandbox as a deployment would: role, log
//! group, function, destinations of its asynchronous runs, schedule, kill
//! switches. And makes the schedule fire.
//!
//! Functions run with the credentials of their role, so they act in the default
//! account whoever deploys them; elsewhere deploying is refused.

use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    Architecture, DestinationConfig, Environment, FunctionCode, OnFailure, OnSuccess, Runtime,
};
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, Target,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::DEFAULT_ACCOUNT;
use crate::account::Account;

/// The kill switch of every function; `off` means: not killed.
pub const KILL_SWITCH_ALL: &str = "/steward/kill-switch/all";

/// How long a fired schedule may take to be answered: ministack looks every ten
/// seconds for schedules that are due, and then the function has its own time.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A function as it is deployed.
#[derive(Clone, Debug)]
pub struct Deployment {
    account: Account,
    name: String,
    function_arn: String,
    role_arn: String,
    log_group: String,
    answers_url: String,
    schedule: String,
}

/// A function's executable, and what it is to be told.
#[derive(Clone, Debug)]
pub struct Function<'a> {
    /// Its name, as in `image-pruning`.
    pub name: &'a str,
    /// The executable of this machine's architecture.
    pub binary: &'a Path,
    /// Its own environment variables, as in `STEWARD_MODE`.
    pub environment: &'a [(&'a str, &'a str)],
    /// When its schedule fires, as in `cron(0 3 * * ? *)`.
    pub schedule: &'a str,
}

/// Deploys a function.
///
/// # Errors
/// Outside the default account, or when an emulator refuses.
pub async fn deploy(account: &Account, function: &Function<'_>) -> Result<Deployment> {
    ensure!(
        account.id() == DEFAULT_ACCOUNT,
        "functions act in account {DEFAULT_ACCOUNT}, so they cannot be deployed into {}",
        account.id()
    );
    let name = function.name;
    let role_arn = role(account, &format!("steward-{name}"), "lambda.amazonaws.com").await?;
    let log_group = format!("/aws/lambda/steward-{name}");
    account
        .logs()
        .create_log_group()
        .log_group_name(&log_group)
        .send()
        .await
        .context("cannot create the log group")?;
    let (answers_url, answers_arn) = queue(account, &format!("steward-{name}-answers")).await?;

    let bundle = bundle(function.binary)
        .with_context(|| format!("cannot bundle {}", function.binary.display()))?;
    let lambda = account.lambda_runtime();
    let made = lambda
        .create_function()
        .function_name(format!("steward-{name}"))
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .architectures(if cfg!(target_arch = "aarch64") {
            Architecture::Arm64
        } else {
            Architecture::X8664
        })
        .role(&role_arn)
        .code(FunctionCode::builder().zip_file(Blob::new(bundle)).build())
        .memory_size(256)
        .timeout(900)
        .environment(environment(account, function.environment))
        .send()
        .await
        .with_context(|| format!("cannot create function steward-{name}"))?;
    let function_arn = made.function_arn.context("a function without an ARN")?;
    lambda
        .put_function_event_invoke_config()
        .function_name(format!("steward-{name}"))
        // A run that failed has said so; the next tick runs again.
        .maximum_retry_attempts(0)
        .destination_config(
            DestinationConfig::builder()
                .on_success(OnSuccess::builder().destination(&answers_arn).build())
                .on_failure(OnFailure::builder().destination(&answers_arn).build())
                .build(),
        )
        .send()
        .await
        .context("cannot set the destinations of asynchronous runs")?;
    for switch in [
        KILL_SWITCH_ALL.to_owned(),
        format!("/steward/kill-switch/{name}"),
    ] {
        set_parameter(account, &switch, "off").await?;
    }
    let deployment = Deployment {
        account: account.clone(),
        name: format!("steward-{name}"),
        function_arn,
        role_arn: role(
            account,
            &format!("steward-{name}-schedule"),
            "scheduler.amazonaws.com",
        )
        .await?,
        log_group,
        answers_url,
        schedule: format!("steward-{name}"),
    };
    deployment
        .create_schedule(
            &deployment.schedule,
            function.schedule,
            ActionAfterCompletion::None,
        )
        .await?;
    Ok(deployment)
}

/// Writes a parameter, new or not.
///
/// # Errors
/// When the emulator refuses.
pub async fn set_parameter(account: &Account, name: &str, value: &str) -> Result<()> {
    account
        .ssm()
        .put_parameter()
        .name(name)
        .value(value)
        .r#type(aws_sdk_ssm::types::ParameterType::String)
        .overwrite(true)
        .send()
        .await
        .with_context(|| format!("cannot write parameter {name}"))?;
    Ok(())
}

impl Deployment {
    /// The function's name in Lambda.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The function's ARN.
    pub fn function_arn(&self) -> &str {
        &self.function_arn
    }

    /// The schedule's name.
    pub fn schedule(&self) -> &str {
        &self.schedule
    }

    /// Replaces the function's own environment variables, as a new deployment
    /// of its stack would.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn configure(&self, variables: &[(&str, &str)]) -> Result<()> {
        self.account
            .lambda_runtime()
            .update_function_configuration()
            .function_name(&self.name)
            .environment(environment(&self.account, variables))
            .send()
            .await
            .with_context(|| format!("cannot configure {}", self.name))?;
        Ok(())
    }

    /// Invokes the function with an event and waits for its answer.
    ///
    /// # Errors
    /// When the function fails, with what it said.
    pub async fn invoke(&self, event: &Value) -> Result<Value> {
        let answer = self
            .account
            .lambda_runtime()
            .invoke()
            .function_name(&self.name)
            .payload(Blob::new(event.to_string()))
            .send()
            .await
            .with_context(|| format!("cannot invoke {}", self.name))?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if let Some(error) = answer.function_error {
            bail!(
                "{} failed ({error}): {}",
                self.name,
                String::from_utf8_lossy(&payload)
            );
        }
        serde_json::from_slice(&payload).context("an answer that is not JSON")
    }

    /// Makes the schedule fire now, and waits for what the run answers.
    ///
    /// EventBridge Scheduler itself invokes the function, with the payload and
    /// the target of the function's schedule: what is added is a schedule like
    /// it that is due once, at this moment.
    ///
    /// # Errors
    /// When the run fails or does not end in time, with what it logged.
    pub async fn fire_schedule(&self, now: Timestamp) -> Result<Value> {
        // Answers of earlier runs that nobody has waited for.
        self.account
            .sqs()
            .purge_queue()
            .queue_url(&self.answers_url)
            .send()
            .await
            .context("cannot empty the queue of answers")?;
        let at = format!("at({})", now.strftime("%Y-%m-%dT%H:%M:%S"));
        let once = format!("{}-{}", self.schedule, now.as_millisecond());
        self.create_schedule(&once, &at, ActionAfterCompletion::Delete)
            .await?;

        let deadline = Instant::now() + RUN_TIMEOUT;
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        loop {
            poll.tick().await;
            if let Some(answer) = self.delivered_answer().await? {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                bail!(
                    "the schedule {once} brought no answer of {} within {} s; its last log says:\n{}",
                    self.name,
                    RUN_TIMEOUT.as_secs(),
                    self.last_log().await?.join("\n")
                );
            }
        }
    }

    /// What a run's destination has received.
    async fn delivered_answer(&self) -> Result<Option<Value>> {
        let sqs = self.account.sqs();
        let received = sqs
            .receive_message()
            .queue_url(&self.answers_url)
            .send()
            .await
            .context("cannot read answers")?;
        let Some(message) = received.messages.unwrap_or_default().into_iter().next() else {
            return Ok(None);
        };
        if let Some(receipt) = message.receipt_handle() {
            sqs.delete_message()
                .queue_url(&self.answers_url)
                .receipt_handle(receipt)
                .send()
                .await?;
        }
        let envelope: Value = serde_json::from_str(message.body().unwrap_or_default())
            .context("a destination's message")?;
        if envelope["responseContext"]["functionError"].is_string() {
            bail!("{} failed: {}", self.name, envelope["responsePayload"]);
        }
        Ok(Some(envelope["responsePayload"].clone()))
    }

    /// What the last run logged. ministack writes a stream per run, whole, when
    /// the run ends.
    async fn last_log(&self) -> Result<Vec<String>> {
        let logs = self.account.logs();
        let mut streams = Vec::new();
        let mut pages = logs
            .describe_log_streams()
            .log_group_name(&self.log_group)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.context("cannot list the function's logs")?;
            streams.extend(page.log_streams.unwrap_or_default());
        }
        let last = streams.iter().max_by_key(|stream| stream.creation_time());
        let Some(name) = last.and_then(|stream| stream.log_stream_name()) else {
            return Ok(vec!["nothing".to_owned()]);
        };
        let events = logs
            .get_log_events()
            .log_group_name(&self.log_group)
            .log_stream_name(name)
            .send()
            .await
            .context("cannot read the run's log")?;
        let lines = events.events.unwrap_or_default().into_iter();
        Ok(lines.filter_map(|event| event.message).collect())
    }

    async fn create_schedule(
        &self,
        name: &str,
        expression: &str,
        after: ActionAfterCompletion,
    ) -> Result<()> {
        self.account
            .scheduler()
            .create_schedule()
            .name(name)
            .schedule_expression(expression)
            .flexible_time_window(
                FlexibleTimeWindow::builder()
                    .mode(FlexibleTimeWindowMode::Off)
                    .build()?,
            )
            .target(
                Target::builder()
                    .arn(&self.function_arn)
                    .role_arn(&self.role_arn)
                    .build()?,
            )
            .action_after_completion(after)
            .send()
            .await
            .with_context(|| format!("cannot create schedule {name}"))?;
        Ok(())
    }
}

/// A zip as it is, or the one that Lambda wants: the executable, named `bootstrap` ("Deploy
/// Lambda functions as .zip file archives", "OS-only runtimes").
fn bundle(binary: &Path) -> Result<Vec<u8>> {
    if binary
        .extension()
        .is_some_and(|extension| extension == "zip")
    {
        return Ok(std::fs::read(binary)?);
    }
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    // Not compressed: it goes no further than this machine.
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .unix_permissions(0o755);
    zip.start_file("bootstrap", options)?;
    zip.write_all(&std::fs::read(binary)?)?;
    Ok(zip.finish()?.into_inner())
}

/// A function's own variables, and where the sandbox is. (Lambda sets Region
/// and credentials.)
fn environment(account: &Account, variables: &[(&str, &str)]) -> Environment {
    let own = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let sandbox = account
        .env()
        .into_iter()
        .filter(|(name, _)| name.starts_with("AWS_ENDPOINT_URL"));
    Environment::builder()
        .set_variables(Some(sandbox.chain(own).collect()))
        .build()
}

async fn role(account: &Account, name: &str, service: &str) -> Result<String> {
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    });
    let made = account
        .iam()
        .create_role()
        .role_name(name)
        .assume_role_policy_document(trust.to_string())
        .send()
        .await
        .with_context(|| format!("cannot create role {name}"))?;
    Ok(made.role.context("a role that was not answered")?.arn)
}

async fn queue(account: &Account, name: &str) -> Result<(String, String)> {
    use aws_sdk_sqs::types::QueueAttributeName::QueueArn;
    let sqs = account.sqs();
    let made = sqs
        .create_queue()
        .queue_name(name)
        .send()
        .await
        .with_context(|| format!("cannot create queue {name}"))?;
    let url = made.queue_url.context("a queue without an address")?;
    let attributes = sqs
        .get_queue_attributes()
        .queue_url(&url)
        .attribute_names(QueueArn)
        .send()
        .await?;
    let arn = attributes
        .attributes()
        .and_then(|all| all.get(&QueueArn))
        .context("a queue without an ARN")?
        .clone();
    Ok((url, arn))
}
