//! The calls of a function as a stack deploys it, and what its role makes of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aws_config::SdkConfig;
use jiff::Timestamp;
use serde_json::Value;
use steward::engine::{Act, Clock, Function, Observe};
use steward::lambda::{self, Environment};
use steward::ledger::LedgerTable;
use steward::notify::{self, Notifier, Told};
use steward::permission::Permission;
use steward::policy::Policy;
use steward::report::Report;
use steward::run::{self, Context};
use steward::switches::{Absent, Switches};

use crate::account::Account;
use crate::faults::{Call, FaultClient};
use crate::role::{Decision, Role};
use crate::stack::Stack;

/// A run of a function as it is deployed.
#[derive(Debug)]
pub struct Recorded {
    /// Where it ran.
    pub account: Account,
    /// Its role.
    pub role: Role,
    /// Everything that it called.
    pub calls: Vec<Call>,
    /// What it reported.
    pub report: Report,
}

/// What actions are called and what actions are allowed, one without the other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Called, and not allowed by the role.
    pub called_only: Vec<String>,
    /// Allowed by the role, and neither called nor said to be behind a call.
    pub allowed_only: Vec<String>,
    /// Said to be behind a call, and not allowed by the role.
    pub behind_only: Vec<String>,
}

impl Account {
    /// Deploys the automation, of which nothing can run. Answers its outputs.
    ///
    /// # Errors
    /// As [`Account::deploy_stack`].
    pub async fn automation(
        &self,
        parameters: &[(&str, &str)],
    ) -> Result<BTreeMap<String, String>> {
        let stack = Stack {
            name: "steward",
            template: "automation.yaml",
            packages: &[],
            parameters,
        };
        self.deploy_stack(&stack).await
    }

    /// Runs a deployed function in this process, with everything as its stack sets
    /// it: environment, policy, switches, topic.
    ///
    /// # Errors
    /// When the deployment is not whole, or people could not be told.
    pub async fn record<F, H>(
        &self,
        (function, role): (&str, &str),
        now: Timestamp,
        hands: impl FnOnce(&SdkConfig, Clock, LedgerTable) -> H,
        event: &Value,
    ) -> Result<Recorded>
    where
        F: Function,
        H: Observe<F> + Act<F>,
    {
        let deployed = self.lambda_runtime().get_function_configuration();
        let deployed = deployed.function_name(function).send().await?;
        let variables = deployed.environment.and_then(|it| it.variables);
        let variables: HashMap<String, String> = variables.context("no environment")?;
        let client = FaultClient::new(self.http_client());
        let config = self.sdk_config_with(client.clone());
        // As `lambda::serve` does it.
        let environment = Environment::read(|name| variables.get(name).cloned())?;
        let policy = environment.policy.load::<F::Policy>(&config).await?;
        let ssm = aws_sdk_ssm::Client::new(&config);
        let switches = Switches::of(ssm, F::NAME, Absent::Stops);
        let clock = Clock::Fixed(now);
        let context = Context {
            account: self.id().to_owned(),
            region: self.region_name().to_owned(),
            run_id: "test".to_owned(),
            leash: environment.leash,
            clock,
            deadline: None,
            switches: &switches,
            most_lines: usize::MAX,
        };
        let request = lambda::request::<F>(event)?;
        let hands = hands(&config, clock, environment.ledger);
        let run = run::run(&hands, &context, &policy, request).await;
        let notify = policy.policy().notify();
        let told = Told::default();
        let messages =
            notify::messages(&run.report, &run.units, notify, &told, F::NAME, "log-group");
        let topic = environment.notify_topic.context("no topic")?;
        let notifier = Notifier::new(&config, topic);
        let sent = notifier.send(F::NAME, &messages, Duration::from_secs(10));
        let warnings = sent.await.warnings;
        ensure!(warnings.is_empty(), "nobody was told: {warnings:?}");
        Ok(Recorded {
            role: self.role(role).await?,
            account: self.clone(),
            calls: client.calls(),
            report: run.report,
        })
    }
}

impl Recorded {
    /// Calls with the role's own credentials, and not with those of the roles
    /// that it assumes.
    pub fn own(&self) -> impl Iterator<Item = &Call> {
        self.calls_in(self.account.id())
    }

    /// Calls in an account.
    pub fn calls_in<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Call> {
        let calls = self.calls.iter();
        calls.filter(move |call| call.account.as_deref() == Some(account))
    }

    /// What its own calls are judged on: action and ARN, each once.
    pub fn asked(&self) -> BTreeSet<(String, String)> {
        asked_by(self.own()).map(|(_, asked)| asked).collect()
    }

    /// What its own calls are judged on and listed permissions do not name: action
    /// and ARN.
    pub fn unlisted(&self, listed: &[Permission]) -> Vec<(String, String)> {
        let is_listed = |(action, arn): &(String, String)| {
            let listed = listed.iter().find(|listed| listed.action == action);
            let on = listed.map(|it| it.resource("aws", "*", self.account.id(), "*"));
            on.is_some_and(|on| on == "*" || is_match(&on, arn))
        };
        let asked = self.asked().into_iter();
        asked.filter(|asked| !is_listed(asked)).collect()
    }
}

/// What calls are judged on, each with its call.
fn asked_by<'a>(
    calls: impl Iterator<Item = &'a Call>,
) -> impl Iterator<Item = (&'a Call, (String, String))> {
    calls.flat_map(|call| {
        let action = call.permission().into_iter();
        action.flat_map(move |action| {
            let on = call.judged_on.iter();
            on.map(move |arn| (call, (action.clone(), arn.clone())))
        })
    })
}

/// Whether a text has the form of a pattern with `*`.
fn is_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The actions of calls.
pub fn actions_of<'a>(calls: impl Iterator<Item = &'a Call>) -> BTreeSet<String> {
    calls.filter_map(Call::permission).collect()
}

/// Holds what was called against what roles allow; `behind` are the actions behind
/// calls, with their reasons.
pub fn differences(
    called: &BTreeSet<String>,
    allowed: &BTreeSet<String>,
    behind: &[(&str, &str)],
) -> Differences {
    let behind: BTreeSet<String> = behind.iter().map(|(one, _)| (*one).to_owned()).collect();
    let explained = called.union(&behind).cloned().collect();
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        one.difference(other).cloned().collect::<Vec<String>>()
    };
    Differences {
        called_only: only(called, allowed),
        allowed_only: only(allowed, &explained),
        behind_only: only(&behind, allowed),
    }
}

impl Role {
    /// What IAM's simulation does not allow of these calls, in their Regions, on each
    /// ARN that they are judged on; with the tags of every resource.
    ///
    /// # Errors
    /// When IAM refuses to say.
    pub async fn denies<'a>(
        &self,
        calls: impl Iterator<Item = &'a Call>,
        tags: &[(&str, &str)],
    ) -> Result<Vec<(String, String)>> {
        let asked = asked_by(calls).map(|(call, asked)| (asked, call.region.clone()));
        let asked: BTreeSet<_> = asked.collect();
        ensure!(!asked.is_empty(), "nothing was called");
        let mut denied = Vec::new();
        for ((action, arn), region) in asked {
            let region = region.as_deref().unwrap_or_default();
            let mut context = vec![("aws:RequestedRegion", region)];
            context.extend(tags);
            if self.judge_in(&action, &arn, &context).await? != Decision::Allowed {
                denied.push((action, arn));
            }
        }
        Ok(denied)
    }

    /// What of these, actions on ARNs, the role may do after all.
    ///
    /// # Errors
    /// When IAM refuses to say.
    pub async fn allows<'a>(
        &self,
        asked: &'a [(&'a str, String)],
        context: &[(&str, &str)],
    ) -> Result<Vec<&'a (&'a str, String)>> {
        let mut allowed = Vec::new();
        for one in asked {
            if self.judge_in(one.0, &one.1, context).await? == Decision::Allowed {
                allowed.push(one);
            }
        }
        Ok(allowed)
    }
}
