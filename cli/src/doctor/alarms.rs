//! Whether somebody hears of what goes wrong: the alarms that
//! `infra/automation.yaml` makes, and the topics that they and runs tell.

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::{AlarmType, MetricAlarm, StateValue};
use steward::aws::{self, ErrorKind, Incomplete};
use steward::event::Arn;

use super::deployment::in_region;
use super::{Finding, State};
use crate::words::count;

/// Alarms of the whole deployment, as `steward-ALARM`.
const OF_ALL: &[&str] = &["dead-letters"];

/// Alarms of each function, as `steward-FUNCTION-ALARM`.
const OF_A_FUNCTION: &[&str] = &[
    "errors",
    "throttles",
    "failed-actions",
    "failed-runs",
    "gaps",
    "untold",
];

/// Alarms that one function has beside, as `steward-ALARM`.
const OF_ONE_FUNCTION: &[&str] = &[
    "snapshot-rotation-objectives",
    "snapshot-rotation-documents",
    "scheduled-scaling-steps",
];

/// Alarms of each function that runs by a schedule, unless turned off.
const IF_SCHEDULED: &[&str] = &["overdue"];

/// Alarms that one function has beside, unless turned off.
const OF_ONE_FUNCTION_IF_WANTED: &[&str] = &["snapshot-rotation-copies"];

/// How many alarms one call describes by their names (Amazon CloudWatch API
/// Reference, `DescribeAlarms`).
const NAMES: usize = 100;

/// An alarm that should be there.
struct Expected {
    name: String,
    /// Of what nobody is told without it, where it can be turned off; `None`
    /// when the template always makes it.
    tells: Option<&'static str>,
}

fn expected(functions: &[&str]) -> Vec<Expected> {
    let beside = OF_ALL.iter().chain(OF_ONE_FUNCTION);
    let beside = beside.map(|alarm| (format!("steward-{alarm}"), None));
    let wanted = OF_ONE_FUNCTION_IF_WANTED.iter();
    let wanted = wanted.map(|alarm| {
        (
            format!("steward-{alarm}"),
            Some("when copies do not finish"),
        )
    });
    let of_each = functions.iter().flat_map(|function| {
        let name = move |alarm: &&str| format!("steward-{function}-{alarm}");
        let always = OF_A_FUNCTION.iter().map(name).map(|name| (name, None));
        let scheduled = IF_SCHEDULED.iter().map(name);
        always.chain(scheduled.map(|name| (name, Some("when runs stay away"))))
    });
    beside
        .chain(wanted)
        .chain(of_each)
        .map(|(name, tells)| Expected { name, tells })
        .collect()
}

/// Looks at the alarms, and at every topic that one of them or a run tells.
pub(super) async fn look(
    config: &SdkConfig,
    functions: &[&str],
    mut topics: BTreeSet<String>,
) -> Vec<Finding> {
    let expected = expected(functions);
    let client = aws_sdk_cloudwatch::Client::new(config);
    let mut alarms = Vec::new();
    let mut findings = Vec::new();
    for names in expected.chunks(NAMES) {
        let names = names.iter().map(|expected| expected.name.clone());
        let pages = client
            .describe_alarms()
            .set_alarm_names(Some(names.collect()))
            .alarm_types(AlarmType::MetricAlarm)
            .into_paginator()
            .send();
        let (of_names, incomplete) =
            aws::read_pages(pages, |page| (page.metric_alarms, page.next_token)).await;
        alarms.extend(of_names);
        if let Some(why) = incomplete {
            let what = "whether alarms are there and quiet";
            let unread = Finding::unread("cloudwatch:DescribeAlarms", "alarms", what, &why);
            findings.push(unread);
            findings.extend(of_topics(config, &topics).await);
            return findings;
        }
    }
    let mut fine = 0;
    for Expected { name, tells } in &expected {
        let alarm = alarms.iter().find(|a| a.alarm_name() == Some(name));
        let of_alarm = match alarm {
            Some(alarm) => {
                let arns = alarm.alarm_actions().iter().filter(|arn| is_topic(arn));
                topics.extend(arns.cloned());
                of_alarm(name, alarm)
            }
            None => vec![match tells {
                None => Finding::new("alarms", State::Bad, format!("there is no alarm {name}"))
                    .todo("deploy infra/automation.yaml again"),
                Some(when) => {
                    let found = format!("there is no alarm {name}: nobody is told {when}");
                    Finding::new("alarms", State::Warning, found)
                }
            }],
        };
        if of_alarm.is_empty() {
            fine += 1;
        }
        findings.extend(of_alarm);
    }
    if fine > 0 {
        let found = format!(
            "{} there, quiet, and with somebody to tell",
            count(fine, "alarm")
        );
        findings.push(Finding::new("alarms", State::Good, found));
    }
    findings.extend(of_topics(config, &topics).await);
    findings
}

/// Whether an ARN is that of an SNS topic.
fn is_topic(arn: &str) -> bool {
    Arn::parse(arn).is_some_and(|arn| arn.service == "sns")
}

/// What is wrong with an alarm.
fn of_alarm(name: &str, alarm: &MetricAlarm) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut tell = |state, found| findings.push(Finding::new("alarms", state, found));
    if alarm.actions_enabled() != Some(true) {
        tell(
            State::Bad,
            format!("{name} tells nobody: its actions are turned off"),
        );
    } else if alarm.alarm_actions().is_empty() {
        tell(State::Bad, format!("{name} tells nobody: it has no action"));
    }
    match alarm.state_value() {
        Some(StateValue::Ok) => {}
        Some(StateValue::Alarm) => {
            let why = alarm.alarm_description().unwrap_or("it has no description");
            let since = alarm.state_updated_timestamp();
            let since = since.map_or_else(String::new, |since| format!(" since {since}"));
            tell(State::Bad, format!("{name} is in alarm{since}: {why}"));
        }
        Some(StateValue::InsufficientData) => {
            tell(State::Warning, format!("{name} has not had any data yet"));
        }
        _ => tell(
            State::Unknown,
            format!("CloudWatch does not tell the state of {name}"),
        ),
    }
    findings
}

async fn of_topics(config: &SdkConfig, topics: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for arn in topics {
        findings.push(of_topic(config, arn).await);
    }
    findings
}

/// Whether a topic has somebody behind it. Who that is stays with SNS: the
/// address of a subscription may hold a secret.
async fn of_topic(config: &SdkConfig, arn: &str) -> Finding {
    let check = "topic";
    let Some(Arn { region, .. }) = Arn::parse(arn) else {
        return Finding::new(check, State::Bad, format!("{arn} is no topic"));
    };
    let client = aws_sdk_sns::Client::new(&in_region(config, &region));
    let answer = match client.get_topic_attributes().topic_arn(arn).send().await {
        Ok(answer) => answer,
        Err(error) if aws::kind(&error) == ErrorKind::NotFound => {
            let found = format!("{arn} does not exist, so that it tells nobody");
            return Finding::new(check, State::Bad, found);
        }
        Err(error) => {
            return Finding::unread(
                "sns:GetTopicAttributes",
                check,
                &format!("whether somebody hears of {arn}"),
                &Incomplete::Failed(error),
            );
        }
    };
    let number = |name| answer.attributes()?.get(name)?.parse::<usize>().ok();
    let confirmed = number("SubscriptionsConfirmed");
    let pending = number("SubscriptionsPending");
    let (Some(confirmed), Some(pending)) = (confirmed, pending) else {
        let found = format!("SNS does not tell who is subscribed to {arn}");
        return Finding::new(check, State::Unknown, found);
    };
    let found = format!(
        "{arn} has {} and {pending} not confirmed yet",
        count(confirmed, "subscription")
    );
    match (confirmed, pending) {
        (0, 0) => Finding::new(check, State::Bad, format!("{arn} tells nobody"))
            .todo("deploy with NotifyEmail, or subscribe: aws sns subscribe"),
        (0, _) => Finding::new(check, State::Bad, format!("{found}: it tells nobody"))
            .todo("confirm the subscription by the link in the message from SNS"),
        (_, 0) => {
            let found = format!("{arn} has {}", count(confirmed, "subscription"));
            Finding::new(check, State::Good, found)
        }
        _ => Finding::new(check, State::Warning, found)
            .todo("confirm it by the link in the message from SNS, or remove it"),
    }
}
