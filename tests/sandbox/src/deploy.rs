//! Deploys the automation stack of `infra/` with the functions' binaries in it,
//! as for real: functions, roles, log groups, topic, schedules, kill switches.
//! And makes a schedule fire.
//!
//! Functions run with the credentials of their role, so they act in the default
//! account whoever deploys them; elsewhere deploying is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_eventbridge::types::RuleState;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{DestinationConfig, OnFailure, OnSuccess};
use aws_sdk_scheduler::types::{ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode};
use jiff::Timestamp;
use serde_json::Value;

use crate::DEFAULT_ACCOUNT;
use crate::account::Account;
use crate::stack::Stack;

const STACK: &str = "steward";

/// The group of the stack's schedules.
const SCHEDULES: &str = "steward";

/// How long a fired schedule may take to be answered: ministack looks twice a
/// second for schedules that are due, and then the function has its own time.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The automation as it is deployed.
#[derive(Clone, Debug)]
pub struct Deployment {
    outputs: BTreeMap<String, String>,
    functions: BTreeMap<String, Function>,
}

/// A function as it is deployed.
#[derive(Clone, Debug)]
pub struct Function {
    account: Account,
    name: String,
    log_group: String,
    answers_url: String,
}

/// Deploys `infra/automation.yaml` with packages by function (the executable, or
/// its zip) and parameters that are not left at their defaults, or updates the
/// stack.
///
/// # Errors
/// Outside the default account, or when the stack or an emulator refuses.
pub async fn automation(
    account: &Account,
    packages: &[(&str, &Path)],
    parameters: &[(&str, &str)],
) -> Result<Deployment> {
    ensure!(
        account.id() == DEFAULT_ACCOUNT,
        "functions act in account {DEFAULT_ACCOUNT}, so they cannot be deployed into {}",
        account.id()
    );
    let stack = Stack {
        name: STACK,
        template: "automation.yaml",
        packages,
        parameters,
    };
    let outputs = account.deploy_stack(&stack).await?;
    let mut functions = BTreeMap::new();
    for (function, _) in packages {
        let deployed = Function::deployed(account, function).await?;
        functions.insert((*function).to_owned(), deployed);
    }
    Ok(Deployment { outputs, functions })
}

impl Deployment {
    /// A function that was given a package.
    ///
    /// # Errors
    /// When it was not.
    pub fn function(&self, function: &str) -> Result<&Function> {
        let found = self.functions.get(function);
        found.with_context(|| format!("no package of {function} is deployed"))
    }

    /// An output of the stack.
    ///
    /// # Errors
    /// When it has none of this name.
    pub fn output(&self, name: &str) -> Result<&str> {
        let value = self.outputs.get(name).map(String::as_str);
        value.with_context(|| format!("the stack has no output {name}"))
    }
}

impl Function {
    /// The function of the stack, with somebody to hear its answers.
    async fn deployed(account: &Account, function: &str) -> Result<Self> {
        // The template fixes it.
        let name = format!("steward-{function}");
        let (answers_url, answers_arn) = queue(account, &format!("{name}-answers")).await?;
        // In AWS nobody hears the answer of a scheduled run; here the stage does.
        account
            .lambda_runtime()
            .put_function_event_invoke_config()
            .function_name(&name)
            .maximum_retry_attempts(0)
            .destination_config(
                DestinationConfig::builder()
                    .on_success(OnSuccess::builder().destination(&answers_arn).build())
                    .on_failure(OnFailure::builder().destination(&answers_arn).build())
                    .build(),
            )
            .send()
            .await
            .with_context(|| format!("cannot set the destinations of runs of {name}"))?;
        Ok(Self {
            account: account.clone(),
            log_group: format!("/aws/lambda/{name}"),
            name,
            answers_url,
        })
    }

    /// The function's name in Lambda.
    pub fn name(&self) -> &str {
        &self.name
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

    /// Invokes the function with an event of AWS, if a rule of the stack sends such
    /// events to it. Nobody but AWS can put them onto the bus.
    ///
    /// # Errors
    /// When the rule is not enabled, does not match, or has another target; and as
    /// [`Function::invoke`].
    pub async fn woken_by(&self, rule: &str, event: &Value) -> Result<Value> {
        let events = self.account.events();
        let found = events.describe_rule().name(rule).send().await;
        let found = found.with_context(|| format!("the stack has no rule {rule}"))?;
        ensure!(
            found.state() == Some(&RuleState::Enabled),
            "{rule} is not enabled"
        );
        let test = events
            .test_event_pattern()
            .event_pattern(found.event_pattern().context("a rule without a pattern")?)
            .event(event.to_string());
        ensure!(test.send().await?.result, "{rule} does not match {event}");
        let targets = events.list_targets_by_rule().rule(rule).send().await?;
        let is_self = |arn: &str| arn.ends_with(&format!(":function:{}", self.name));
        let mut targets = targets.targets().iter();
        ensure!(
            targets.any(|target| is_self(target.arn())),
            "{rule} wakes others"
        );
        self.invoke(event).await
    }

    /// Makes the schedule fire now, and waits for what the run answers.
    ///
    /// EventBridge Scheduler itself invokes the function, with the payload and
    /// the target of the stack's schedule: what is added is a schedule like it
    /// that is due once, at this moment.
    ///
    /// # Errors
    /// When the run fails or does not end in time, with what it logged.
    pub async fn fire_schedule(&self, now: Timestamp) -> Result<Value> {
        self.fire(&self.name, now).await
    }

    /// As [`Function::fire_schedule`], of another schedule of the stack for this
    /// function.
    ///
    /// # Errors
    /// As there.
    pub async fn fire(&self, schedule: &str, now: Timestamp) -> Result<Value> {
        // Answers of earlier runs that nobody has waited for.
        self.account
            .sqs()
            .purge_queue()
            .queue_url(&self.answers_url)
            .send()
            .await
            .context("cannot empty the queue of answers")?;
        let scheduler = self.account.scheduler();
        let scheduled = scheduler
            .get_schedule()
            .group_name(SCHEDULES)
            .name(schedule)
            .send()
            .await
            .with_context(|| format!("the stack has no schedule {schedule}"))?;
        let once = format!("{schedule}-{}", now.as_millisecond());
        scheduler
            .create_schedule()
            .group_name(SCHEDULES)
            .name(&once)
            .schedule_expression(format!("at({})", now.strftime("%Y-%m-%dT%H:%M:%S")))
            .flexible_time_window(
                FlexibleTimeWindow::builder()
                    .mode(FlexibleTimeWindowMode::Off)
                    .build()?,
            )
            .set_target(scheduled.target)
            .action_after_completion(ActionAfterCompletion::Delete)
            .send()
            .await
            .with_context(|| format!("cannot create schedule {once}"))?;
        self.next_answer()
            .await
            .with_context(|| format!("the schedule {once} was to fire"))
    }

    /// What the next run answers that an event, a topic, an alarm or a schedule has
    /// woken, or the last one to which nobody has listened yet.
    ///
    /// # Errors
    /// When the run fails or does not end in time, with what it logged.
    pub async fn next_answer(&self) -> Result<Value> {
        let deadline = Instant::now() + RUN_TIMEOUT;
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        loop {
            poll.tick().await;
            if let Some(answer) = self.delivered_answer().await? {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                bail!(
                    "no run of {} has ended within {} s; its last log says:\n{}",
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
