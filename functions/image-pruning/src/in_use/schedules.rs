//! The schedules of Amazon EventBridge Scheduler that start tasks.
//!
//! Disabled ones count too: they can be enabled again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_scheduler::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_scheduler::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_scheduler::error::{BoxError, SdkError};
use aws_sdk_scheduler::operation::get_schedule::GetScheduleOutput;
use aws_sdk_scheduler::types::ScheduleSummary;
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde::de::IgnoredAny;
use steward::aws::{self, ErrorKind};

use super::definitions::Start;
use super::{AT_ONCE, Place, Reading, known, remember};
use crate::world::{User, UserKind};

/// What a schedule starts a task from, if it starts one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Starts(Option<String>);

impl Place {
    /// What schedules start tasks from, in every schedule group.
    pub(super) async fn schedules(&self) -> (Reading, Vec<Start>) {
        let mut all = Reading::default();
        let (mut schedules, incomplete) = aws::read_pages_by_token(|token| async move {
            let request = self.scheduler.list_schedules().max_results(100);
            let request = request.set_next_token(token).customize();
            let has_list = HasList::default();
            let page = request.interceptor(has_list.clone()).send().await?;
            let schedules = has_list.0.load(Ordering::Relaxed).then_some(page.schedules);
            Ok::<_, SdkError<_>>((schedules, page.next_token))
        })
        .await;
        if let Some(why) = incomplete {
            let read = format!("scheduler:ListSchedules: {why}");
            all.gap(read, "scheduler:ListSchedules");
        }
        // The summary names the target, and most have nothing to do with tasks.
        schedules.retain(|schedule| {
            let target = schedule.target().map(|target| target.arn());
            target.is_none_or(|arn| arn.is_empty() || is_of_ecs(arn))
        });
        let read: Vec<Result<Option<Start>, String>> = stream::iter(schedules)
            .map(|schedule| async move { self.schedule(&schedule).await })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut starts = Vec::new();
        for one in read {
            match one {
                Ok(start) => starts.extend(start),
                Err(read) => all.gap(read, "scheduler:GetSchedule"),
            }
        }
        (all, starts)
    }

    async fn schedule(&self, summary: &ScheduleSummary) -> Result<Option<Start>, String> {
        let (name, group) = (
            summary.name().unwrap_or_default(),
            summary.group_name().unwrap_or("default"),
        );
        // Its target changes only with the schedule.
        let key = summary
            .arn()
            .zip(summary.last_modification_date())
            .map(|(arn, modified)| format!("{arn} {}", modified.as_nanos()));
        let mut starts = key.as_ref().and_then(|key| known(&self.schedules, key));
        if starts.is_none() {
            let request = self.scheduler.get_schedule().name(name).group_name(group);
            let failed =
                |why: &str| format!("scheduler:GetSchedule of schedule {group}/{name}: {why}");
            let schedule = match self.scheduler_pace.call(request.send()).await {
                Ok(schedule) => schedule,
                Err(error) if aws::kind(&error) == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(failed(&aws::explain(&error))),
            };
            let found = Arc::new(starts_of(&schedule).map_err(failed)?);
            // It may have been modified between the listing and this answer.
            let same = summary.last_modification_date() == schedule.last_modification_date();
            if let Some(key) = key.filter(|_| same) {
                remember(&self.schedules, key, Arc::clone(&found));
            }
            starts = Some(found);
        }
        let definition = starts.and_then(|starts| starts.0.clone());
        Ok(definition.map(|definition| Start {
            definition,
            by: User {
                kind: UserKind::Schedule,
                name: format!("{group}/{name}"),
            },
        }))
    }
}

/// Whether a target has to do with Amazon ECS: a cluster, for the templated
/// target, or one of its API operations, for the universal one (EventBridge
/// Scheduler User Guide, "Managing targets").
fn is_of_ecs(arn: &str) -> bool {
    arn.split(':').nth(2) == Some("ecs") || arn.contains(":aws-sdk:ecs:")
}

/// What the input of a universal target may say; everything else of it is
/// ignored.
#[derive(Deserialize)]
struct Input {
    #[serde(rename = "TaskDefinition", alias = "taskDefinition")]
    task_definition: Option<String>,
}

fn starts_of(schedule: &GetScheduleOutput) -> Result<Starts, &'static str> {
    let target = schedule.target().ok_or("the answer has no target in it")?;
    if let Some(parameters) = target.ecs_parameters() {
        let definition = parameters.task_definition_arn();
        return match definition.is_empty() {
            true => Err("it starts a task and names no task definition"),
            false => Ok(Starts(Some(definition.to_owned()))),
        };
    }
    if target.arn().contains(":aws-sdk:ecs:") {
        // Most of these scale a service, and name no definition. The input can
        // hold what nobody may read, so that no error quotes it.
        let input = target.input().unwrap_or("{}");
        return serde_json::from_str(input)
            .map(|input: Input| Starts(input.task_definition))
            .map_err(|_| "its input is not the JSON of a call to Amazon ECS");
    }
    match target.arn().is_empty() || is_of_ecs(target.arn()) {
        true => Err("it starts a task and names no task definition"),
        false => Ok(Starts(None)),
    }
}

/// Whether an answer of `ListSchedules` has a list in it. Where it has none, the
/// SDK hands out an empty one, and nothing would be told from no answer.
#[derive(Clone, Debug, Default)]
struct HasList(Arc<AtomicBool>);

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "Schedules")]
    schedules: Option<IgnoredAny>,
}

impl Intercept for HasList {
    fn name(&self) -> &'static str {
        "HasList"
    }

    // Not before: until then a body from the wire is not read.
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let page = context.response().body().bytes();
        let page = page.map(serde_json::from_slice::<Page>);
        let has_list = matches!(page, Some(Ok(page)) if page.schedules.is_some());
        self.0.store(has_list, Ordering::Relaxed);
        Ok(())
    }
}
