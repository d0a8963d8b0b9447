//! The rules of Amazon EventBridge whose targets start tasks.
//!
//! Every rule counts: a disabled one can be enabled again, and one whose
//! cluster is gone may find it again when the environment is set up anew. That
//! is why every rule is asked for its targets, and not only those that
//! `ListRuleNamesByTarget` finds for the clusters of today.

use aws_sdk_eventbridge::error::SdkError;
use aws_sdk_eventbridge::types::{EventBus, Rule, Target};
use futures::{StreamExt, stream};
use steward::aws::{self, ErrorKind};

use super::definitions::Start;
use super::{AT_ONCE, Place, Reading};
use crate::world::{User, UserKind};

/// The most that EventBridge gives in one page (Amazon EventBridge API
/// Reference, `ListRules`, `ListTargetsByRule`, `ListEventBuses`).
const LARGEST_PAGE: i32 = 100;

impl Place {
    /// What rules start tasks from, on every event bus.
    pub(super) async fn rules(&self) -> (Reading, Vec<Start>) {
        let mut all = Reading::default();
        let (buses, incomplete) = aws::read_pages_by_token(|token| async move {
            let request = self.events.list_event_buses().limit(LARGEST_PAGE);
            let page = request.set_next_token(token).send().await?;
            Ok::<_, SdkError<_>>((page.event_buses, page.next_token))
        })
        .await;
        if let Some(why) = incomplete {
            let read = format!("events:ListEventBuses: {why}");
            all.gap(read, "events:ListEventBuses");
        }
        let of_buses: Vec<(Reading, Vec<Start>)> = stream::iter(buses)
            .map(|bus| async move { self.rules_of_bus(&bus).await })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut starts = Vec::new();
        for (reading, of_bus) in of_buses {
            all.add(reading);
            starts.extend(of_bus);
        }
        (all, starts)
    }

    async fn rules_of_bus(&self, bus: &EventBus) -> (Reading, Vec<Start>) {
        let mut all = Reading::default();
        let mut starts = Vec::new();
        let Some(bus) = bus.name() else {
            let read = "events:ListEventBuses: an event bus has no name".to_owned();
            all.gap(read, "events:ListEventBuses");
            return (all, starts);
        };
        let (rules, incomplete) = aws::read_pages_by_token(|token| async move {
            let request = self.events.list_rules().event_bus_name(bus);
            let request = request.limit(LARGEST_PAGE).set_next_token(token);
            let page = self.events_pace.call(request.send()).await?;
            Ok::<_, SdkError<_>>((page.rules, page.next_token))
        })
        .await;
        match incomplete {
            None => {}
            // Deleted since it was listed, with its rules.
            Some(why) if why.kind() == ErrorKind::NotFound => return (all, starts),
            Some(why) => all.gap(
                format!("events:ListRules of event bus {bus}: {why}"),
                "events:ListRules",
            ),
        }
        let of_rules: Vec<(Reading, Vec<Start>)> = stream::iter(rules)
            .map(|rule| async move { self.targets(bus, &rule).await })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (reading, of_rule) in of_rules {
            all.add(reading);
            starts.extend(of_rule);
        }
        (all, starts)
    }

    async fn targets(&self, bus: &str, rule: &Rule) -> (Reading, Vec<Start>) {
        let mut all = Reading::default();
        let mut starts = Vec::new();
        let operation = "events:ListTargetsByRule";
        let Some(name) = rule.name() else {
            let read = format!("events:ListRules of event bus {bus}: a rule has no name");
            all.gap(read, "events:ListRules");
            return (all, starts);
        };
        let (targets, incomplete) = aws::read_pages_by_token(|token| async move {
            let request = self.events.list_targets_by_rule().rule(name);
            let request = request.event_bus_name(bus).limit(LARGEST_PAGE);
            let page = self
                .events_pace
                .call(request.set_next_token(token).send())
                .await?;
            Ok::<_, SdkError<_>>((page.targets, page.next_token))
        })
        .await;
        match incomplete {
            None => {}
            Some(why) if why.kind() == ErrorKind::NotFound => return (all, starts),
            Some(why) => all.gap(
                format!("{operation} of rule {name} (event bus {bus}): {why}"),
                operation,
            ),
        }
        let by = User {
            kind: UserKind::EventRule,
            name: format!("{name} (event bus {bus})"),
        };
        for target in &targets {
            match definition_of(target) {
                Ok(None) => {}
                Ok(Some(definition)) => starts.push(Start {
                    definition: definition.to_owned(),
                    by: by.clone(),
                }),
                Err(problem) => all.gap(
                    format!("{operation} of rule {name} (event bus {bus}): {problem}"),
                    operation,
                ),
            }
        }
        (all, starts)
    }
}

/// The task definition of a target; `None` when it starts no task.
fn definition_of(target: &Target) -> Result<Option<&str>, &'static str> {
    match target.ecs_parameters() {
        Some(parameters) if !parameters.task_definition_arn().is_empty() => {
            Ok(Some(parameters.task_definition_arn()))
        }
        // The target's ARN is the cluster ("Amazon EventBridge targets").
        None if target.arn().split(':').nth(2) != Some("ecs") => Ok(None),
        _ => Err("a target starts a task and names no task definition"),
    }
}
