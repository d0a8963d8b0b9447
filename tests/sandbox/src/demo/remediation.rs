//! A release that breaks the service: alarm-remediation has it rolled back, looks whether
//! that helped, and tells people.

use anyhow::{Context as _, Result, ensure};
use aws_sdk_ecs::types::ServiceDeploymentStatus;
use jiff::SignedDuration;
use serde_json::Value;
use steward_sandbox::seed::System;
use steward_sandbox::{Account, EnvironmentService, Mailbox, Trouble, TroubleKind};

use super::{fire, indented, letters};
use crate::build::Binaries;
use crate::show::Stage;
use crate::up;

const POLICY: &str = include_str!("remediation-policy.yaml");

/// Which alarm of the reference system hears of it first.
const ALARM: &str = "shop-unhealthy-hosts";

/// Longer than a case stays open once its alarm is quiet.
const LATER: SignedDuration = SignedDuration::from_mins(16);

/// Plays it. `parameters` are what the stack has already.
pub(super) async fn bad_release(
    stage: &Stage,
    account: &Account,
    system: &System,
    binaries: &Binaries,
    mailbox: &Mailbox,
    parameters: &[(&str, &str)],
) -> Result<()> {
    let mut all = parameters.to_vec();
    all.extend([
        ("AlarmRemediationMode", "apply"),
        ("AlarmRemediationPolicy", POLICY),
    ]);
    stage.title("15. A release breaks the service, and its alarm goes off")?;
    stage.say(format!(
        "The stack is updated with what may be done about alarms:\n\n{}",
        indented(POLICY)
    ))?;
    let automation = up::deploy_automation(account, binaries, &all).await?;
    let function = automation.function("alarm-remediation")?;
    let web = account.existing_service(&system.cluster, "web").await?;
    let before = definition(&web).await?;
    // What is awake again after the night is no news here.
    account.control().settle().await?;
    mailbox.read(0).await?;
    let broken = Trouble {
        kind: TroubleKind::Start,
        ..Trouble::default()
    };
    let deployment = web.deploy_broken(broken).await?;
    stage.say(format!(
        "A new release is deployed, and its tasks do not start. CloudWatch alarm {} goes\n\
         off, and EventBridge wakes the function, which looks for itself:\n",
        stage.strong(ALARM)
    ))?;
    let alarm = account.existing_alarm(ALARM);
    alarm.ring().await?;
    let run = function.next_answer().await?;
    stage.report(&binaries.steward, &run)?;
    expect(&run, "stop_deployment")?;
    letters(stage, mailbox).await?;

    stage.title("16. It looks whether that helped")?;
    account.control().settle().await?;
    let ended = web.deployment(&deployment).await?;
    ensure!(
        ended.status() == Some(&ServiceDeploymentStatus::RollbackSuccessful),
        "the deployment is {:?}",
        ended.status()
    );
    ensure!(definition(&web).await? == before, "another release runs");
    alarm.calm().await?;
    let run = function.next_answer().await?;
    stage.report(&binaries.steward, &run)?;
    expect(&run, "record_effect")?;
    letters(stage, mailbox).await?;
    stage.say(format!(
        "{} runs again, read from ECS itself. Once the alarm has been quiet for a quarter of\n\
         an hour, a tick closes the case:\n",
        stage.strong(before.rsplit('/').next().unwrap_or(&before))
    ))?;
    account.age_ledger(LATER).await?;
    expect(&fire(function).await?, "close_case")?;
    let history = ["alarm-remediation", "history"];
    stage.run(&binaries.steward, &history, &account.env())?;
    stage.say("")
}

/// What the service runs.
async fn definition(service: &EnvironmentService) -> Result<String> {
    let found = service.describe().await?.task_definition;
    found.context("a service without a task definition")
}

/// A run has done this.
fn expect(run: &Value, kind: &str) -> Result<()> {
    let actions = run["actions"].as_array().map(Vec::as_slice);
    let mut actions = actions.unwrap_or_default().iter();
    let is_done = actions.any(|action| action["kind"] == kind && action["outcome"] == "done");
    ensure!(is_done, "there is no {kind} that was done in {run}");
    Ok(())
}
