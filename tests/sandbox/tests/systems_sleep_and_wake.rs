//! What a schedule stops and starts, by the raw SDK: databases, services, Auto
//! Scaling groups and the capacity of clusters, each through the states that
//! AWS shows on the way; and what a schedule asks before and keeps beside.

use std::collections::HashMap;

use anyhow::{Context, Result};
use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace, SuspendedState};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use aws_sdk_ecs::types::ManagedScalingStatus;
use aws_sdk_ssm::types::CalendarState;
use steward_sandbox::{Account, CalendarType, LEDGER, Sandbox, Sizes};

/// Awake.
const SIZES: Sizes = Sizes {
    min: 1,
    desired: 2,
    max: 4,
};
/// Asleep: never a maximum of zero.
const ASLEEP: Sizes = Sizes {
    min: 0,
    desired: 0,
    max: 4,
};

fn account() -> Result<Account> {
    Ok(Sandbox::shared()?.account())
}

#[tokio::test]
async fn a_database_stops_and_starts() -> Result<()> {
    let account = account()?;
    let environment = account.environment("staging").await?;
    let database = environment.database("db").await?;
    let rds = account.rds();
    account.hold_changes().await?;

    let stop = || rds.stop_db_instance().db_instance_identifier("db").send();
    let start = || rds.start_db_instance().db_instance_identifier("db").send();
    stop().await?;
    assert_eq!(database.status().await?, "stopping");
    assert_eq!(database.status().await?, "stopping");
    let refused = start().await.unwrap_err().into_service_error();
    assert!(refused.is_invalid_db_instance_state_fault(), "{refused:?}");
    account.control().settle().await?;
    assert_eq!(database.status().await?, "stopped");
    let stopped = database.describe().await?;
    assert!(stopped.automatic_restart_time().is_some(), "{stopped:?}");

    start().await?;
    assert_eq!(database.status().await?, "starting");
    let refused = stop().await.unwrap_err().into_service_error();
    assert!(refused.is_invalid_db_instance_state_fault(), "{refused:?}");
    account.control().settle().await?;
    assert_eq!(database.status().await?, "available");
    Ok(())
}

#[tokio::test]
async fn aws_starts_a_database_that_was_stopped_for_long() -> Result<()> {
    let account = account()?;
    let database = account.database("db", &[]).await?;
    assert!(database.start_automatically().await.is_err());
    let rds = account.rds();
    rds.stop_db_instance()
        .db_instance_identifier("db")
        .send()
        .await?;
    account.pace(1).await?;
    database.start_automatically().await?;
    assert_eq!(database.status().await?, "starting");
    assert_eq!(database.status().await?, "available");
    Ok(())
}

#[tokio::test]
async fn a_service_and_its_targets_go_and_come() -> Result<()> {
    let account = account()?;
    let environment = account.environment("staging").await?;
    let service = environment.balanced_service("web", 2).await?;
    assert_eq!(service.counts().await?, (2, 2, 0));
    assert_eq!(service.health().await?, ["healthy", "healthy"]);
    assert_eq!(service.tags().await?["steward:environment"], "staging");

    account.hold_changes().await?;
    service.scale(0).await?;
    assert_eq!(service.counts().await?, (0, 2, 0));
    assert_eq!(service.health().await?, ["draining", "draining"]);
    account.control().settle().await?;
    assert_eq!(service.counts().await?, (0, 0, 0));
    assert!(service.health().await?.is_empty());

    service.scale(2).await?;
    assert_eq!(service.counts().await?, (2, 0, 2));
    assert!(service.health().await?.is_empty());
    account.control().settle().await?;
    assert_eq!(service.counts().await?, (2, 2, 0));
    assert_eq!(service.health().await?, ["healthy", "healthy"]);
    let target_group = service.target_group().context("a target group")?;
    let control = account.control();
    control
        .target_health(target_group, Some("unhealthy"))
        .await?;
    assert_eq!(service.health().await?, ["unhealthy", "unhealthy"]);
    Ok(())
}

#[tokio::test]
async fn a_group_goes_and_comes() -> Result<()> {
    let account = account()?;
    let environment = account.environment("staging").await?;
    let group = environment.group("batch", SIZES).await?;
    assert_eq!(group.sizes().await?, SIZES);
    assert_eq!(group.tags().await?["steward:environment"], "staging");

    account.hold_changes().await?;
    group.resize(ASLEEP).await?;
    assert_eq!(
        group.instance_states().await?,
        ["Terminating", "Terminating"]
    );
    account.control().settle().await?;
    assert!(group.instance_states().await?.is_empty());

    group.resize(SIZES).await?;
    assert_eq!(group.instance_states().await?, ["Pending", "Pending"]);
    account.control().settle().await?;
    assert_eq!(group.instance_states().await?, ["InService", "InService"]);

    let above = Sizes {
        desired: 5,
        ..SIZES
    };
    assert!(group.resize(above).await.is_err());
    assert_eq!(group.sizes().await?, SIZES);
    Ok(())
}

#[tokio::test]
async fn capacity_follows_what_runs_on_it() -> Result<()> {
    let account = account()?;
    let mut environment = account.environment("staging").await?;
    let group = environment
        .capacity("staging-ec2", SIZES, ManagedScalingStatus::Enabled)
        .await?;
    let service = environment.service("web", 2).await?;
    assert_eq!(service.counts().await?, (2, 2, 0));

    // Its minimum gone and its tasks as well, AWS lets the group fall.
    service.scale(0).await?;
    let autoscaling = account.autoscaling();
    let lower = autoscaling.update_auto_scaling_group();
    lower
        .auto_scaling_group_name(group.name())
        .min_size(0)
        .send()
        .await?;
    assert_eq!(group.sizes().await?, Sizes { min: 0, ..SIZES });
    account.control().settle().await?;
    assert_eq!(group.sizes().await?, ASLEEP);
    assert!(
        container_instances(&account, environment.name())
            .await?
            .is_empty()
    );

    // Tasks wait for instances, and make the group grow.
    account.hold_changes().await?;
    service.scale(2).await?;
    assert_eq!(service.counts().await?, (2, 0, 2));
    assert_eq!(group.instance_states().await?, ["Pending"]);
    assert!(
        container_instances(&account, environment.name())
            .await?
            .is_empty()
    );
    account.control().settle().await?;
    assert_eq!(service.counts().await?, (2, 2, 0));
    assert_eq!(group.instance_states().await?, ["InService"]);
    assert_eq!(
        container_instances(&account, environment.name())
            .await?
            .len(),
        1
    );
    Ok(())
}

async fn container_instances(account: &Account, cluster: &str) -> Result<Vec<String>> {
    let ecs = account.ecs();
    let listed = ecs.list_container_instances().cluster(cluster).send();
    Ok(listed.await?.container_instance_arns.unwrap_or_default())
}

#[tokio::test]
async fn scaling_is_suspended_and_its_bounds_are_kept() -> Result<()> {
    let account = account()?;
    let environment = account.environment("staging").await?;
    let service = environment.service("web", 2).await?;
    assert_eq!(service.scalable_target().await?, None);
    service.scale_between(1, 4).await?;

    let suspended = SuspendedState::builder()
        .dynamic_scaling_in_suspended(true)
        .dynamic_scaling_out_suspended(true)
        .scheduled_scaling_suspended(true)
        .build();
    account
        .application_autoscaling()
        .register_scalable_target()
        .service_namespace(ServiceNamespace::Ecs)
        .resource_id(service.resource_id())
        .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
        .min_capacity(0)
        .suspended_state(suspended.clone())
        .send()
        .await?;
    let target = service.scalable_target().await?.context("a target")?;
    assert_eq!((target.min_capacity(), target.max_capacity()), (0, 4));
    assert_eq!(target.suspended_state(), Some(&suspended));

    service.scale(0).await?;
    account.control().settle().await?;
    assert_eq!(service.counts().await?, (0, 0, 0));
    service.scale_between(1, 4).await?;
    assert_eq!(service.counts().await?, (1, 1, 0));
    Ok(())
}

#[tokio::test]
async fn a_calendar_says_whether_changes_may_be_made() -> Result<()> {
    let account = account()?;
    let night = (
        "2026-11-23T20:00:00Z".parse()?,
        "2026-11-24T06:00:00Z".parse()?,
    );
    account
        .calendar("freeze", CalendarType::DefaultOpen, &[night])
        .await?;
    let ssm = account.ssm();
    let state = |at: Option<&str>| {
        let request = ssm.get_calendar_state().calendar_names("freeze");
        request.set_at_time(at.map(str::to_owned)).send()
    };
    let during = state(Some("2026-11-23T21:00:00Z")).await?;
    assert_eq!(during.state(), Some(&CalendarState::Closed));
    assert_eq!(during.next_transition_time(), Some("2026-11-24T06:00:00Z"));
    for (kind, expected) in [
        (CalendarType::DefaultClosed, CalendarState::Closed),
        (CalendarType::DefaultClosed, CalendarState::Closed),
        (CalendarType::DefaultOpen, CalendarState::Open),
    ] {
        account.calendar("freeze", kind, &[]).await?;
        assert_eq!(state(None).await?.state(), Some(&expected));
    }
    Ok(())
}

#[tokio::test]
async fn the_ledger_tells_who_was_first() -> Result<()> {
    let account = account()?;
    account.ledger().await?;
    let lease = |holder: &str| {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        HashMap::from([
            ("pk".to_owned(), text("scheduled-scaling")),
            ("sk".to_owned(), text("lease#staging")),
            ("holder".to_owned(), text(holder)),
        ])
    };
    let dynamodb = account.dynamodb();
    let take = |holder: &str| {
        dynamodb
            .put_item()
            .table_name(LEDGER)
            .set_item(Some(lease(holder)))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
    };
    take("one").await?;
    let refused = take("two").await.unwrap_err().into_service_error();
    let aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
        refused,
    ) = refused
    else {
        panic!("refused for another reason: {refused:?}")
    };
    assert_eq!(refused.item, Some(lease("one")));
    Ok(())
}
