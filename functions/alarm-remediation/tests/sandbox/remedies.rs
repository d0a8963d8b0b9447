//! Each remedy from the alarm to what came of it.

use aws_sdk_ecs::types::{DesiredStatus, ServiceDeploymentStatus};
use serde_json::json;
use steward_sandbox::{Trouble, TroubleKind};

use crate::stage::{CAPACITY, Stage, actions, kept};

#[tokio::test]
async fn a_busy_service_gets_more_tasks_for_an_hour_and_then_its_own_number() {
    let stage = Stage::new().await;
    let alarm = stage.web.alarm("web-cpu", "CPUUtilization", &[]).await;
    let alarm = alarm.unwrap();
    alarm.ring().await.unwrap();
    let report = stage.on(&alarm).await;
    assert_eq!(
        actions(&report),
        ["open_case noted done", "raise_service busy done"],
        "{report:#?}"
    );
    assert_eq!(report.wait.as_ref().map(|wait| wait.seconds), Some(60));
    let target = stage.web.scalable_target().await.unwrap().unwrap();
    assert_eq!((target.min_capacity(), target.max_capacity()), (6, 10));
    stage.account.control().settle().await.unwrap();
    assert_eq!(stage.web.counts().await.unwrap(), (6, 6, 0));
    assert_eq!(stage.remembered("raises").await, [stage.web.arn()]);

    // The event again: the case is open, and the remedy has its time.
    let again = stage.on(&alarm).await;
    assert_eq!(
        (actions(&again).len(), kept(&again)),
        (0, vec!["settling".to_owned()])
    );

    stage.minutes_later(3);
    alarm.calm().await.unwrap();
    let helped = stage.tick().await;
    assert_eq!(actions(&helped), ["record_effect quiet done"]);
    stage.minutes_later(30);
    assert_eq!(kept(&stage.tick().await), ["raised"]);
    stage.minutes_later(30);
    let over = stage.tick().await;
    assert_eq!(actions(&over), ["take_back raise_over done"], "{over:#?}");
    let target = stage.web.scalable_target().await.unwrap().unwrap();
    assert_eq!((target.min_capacity(), target.max_capacity()), (2, 10));
    assert_eq!(stage.remembered("raises").await, Vec::<String>::new());
    assert_eq!(actions(&stage.tick().await), ["close_case noted done"]);
    assert_eq!(stage.remembered("alarm-remediation-history").await.len(), 1);
}

#[tokio::test]
async fn a_service_that_nothing_scales_is_raised_and_taken_back_by_its_desired_count() {
    let stage = Stage::new().await;
    let worker = stage.environment.service("worker", 2).await.unwrap();
    stage.account.control().settle().await.unwrap();
    let alarm = worker
        .alarm("worker-memory", "MemoryUtilization", &[])
        .await;
    let alarm = alarm.unwrap();
    alarm.ring().await.unwrap();
    let report = stage.on(&alarm).await;
    assert_eq!(
        actions(&report),
        ["open_case noted done", "raise_service busy done"],
        "{report:#?}"
    );
    assert_eq!(worker.counts().await.unwrap().0, 3);
    alarm.calm().await.unwrap();
    stage.tick().await;
    stage.minutes_later(61);
    assert_eq!(actions(&stage.tick().await), ["take_back raise_over done"]);
    assert_eq!(worker.counts().await.unwrap().0, 2);
}

#[tokio::test]
async fn a_deployment_that_brings_unhealthy_targets_is_stopped_and_rolled_back() {
    let stage = Stage::new().await;
    let before = stage.web.describe().await.unwrap().task_definition;
    let alarm = stage
        .of_targets("web-unhealthy", "UnHealthyHostCount")
        .await;
    let broken = Trouble {
        kind: TroubleKind::Start,
        ..Trouble::default()
    };
    let deployment = stage.web.deploy_broken(broken).await.unwrap();
    alarm.ring().await.unwrap();
    let report = stage.on(&alarm).await;
    assert_eq!(
        actions(&report),
        [
            "open_case noted done",
            "stop_deployment bad_deployment done"
        ],
        "{report:#?}"
    );
    stage.account.control().settle().await.unwrap();
    let found = stage.web.deployment(&deployment).await.unwrap();
    assert_eq!(
        found.status(),
        Some(&ServiceDeploymentStatus::RollbackSuccessful)
    );
    let service = stage.web.describe().await.unwrap();
    assert_eq!(service.task_definition, before);
    assert_eq!((service.desired_count, service.running_count), (4, 4));
    alarm.calm().await.unwrap();
    stage.is_closed_in_time().await;
}

#[tokio::test]
async fn a_release_that_brought_errors_is_taken_back_by_the_digests_that_ran() {
    let stage = Stage::new().await;
    let image = format!("{}/web:2", stage.account.registry());
    let revision = stage.account.task_definition("web", &image).await.unwrap();
    stage.web.deploy(&revision).await.unwrap();
    stage.account.control().settle().await.unwrap();
    let alarm = stage
        .of_targets("web-errors", "HTTPCode_Target_5XX_Count")
        .await;
    alarm.ring().await.unwrap();
    let report = stage.on(&alarm).await;
    assert_eq!(
        actions(&report),
        ["open_case noted done", "roll_back bad_release done"],
        "{report:#?}"
    );
    let service = stage.web.describe().await.unwrap();
    let arn = service.task_definition.unwrap();
    let ecs = stage.account.ecs();
    let described = ecs.describe_task_definition().task_definition(&arn);
    let definition = described.send().await.unwrap().task_definition.unwrap();
    let image = definition.container_definitions()[0].image().unwrap();
    assert!(image.contains("/web@sha256:"), "{image}");
    stage.account.control().settle().await.unwrap();
    assert_eq!(stage.web.counts().await.unwrap(), (4, 4, 0));
    alarm.calm().await.unwrap();
    stage.is_closed_in_time().await;

    // It goes off again: what ran before is the release that was left, and stays left.
    alarm.ring().await.unwrap();
    let report = stage.on(&alarm).await;
    assert_eq!(
        actions(&report),
        ["open_case no_release done"],
        "{report:#?}"
    );
    let service = stage.web.describe().await.unwrap();
    assert_eq!(service.task_definition.unwrap(), arn);
}

#[tokio::test]
async fn unhealthy_tasks_are_replaced_and_nothing_is_deployed() {
    let stage = Stage::new().await;
    let before = stage.web.tasks(DesiredStatus::Running).await.unwrap();
    stage.web.sicken_tasks().await.unwrap();
    let alarm = stage
        .of_targets("web-unhealthy", "UnHealthyHostCount")
        .await;
    alarm.ring().await.unwrap();
    let deployed = stage.web.describe().await.unwrap();
    let report = stage.on(&alarm).await;
    assert_eq!(
        actions(&report),
        ["open_case noted done", "replace_tasks unhealthy done"],
        "{report:#?}"
    );
    stage.account.control().settle().await.unwrap();
    // All were unhealthy: one shows whether another would be well.
    let tasks = stage.web.tasks(DesiredStatus::Running).await.unwrap();
    let is_new =
        |it: &&aws_sdk_ecs::types::Task| !before.iter().any(|old| old.task_arn() == it.task_arn());
    assert_eq!((tasks.len(), tasks.iter().filter(is_new).count()), (4, 1));
    let after = stage.web.describe().await.unwrap();
    assert_eq!(after.task_definition, deployed.task_definition);
    assert_eq!(
        after.current_service_deployment,
        deployed.current_service_deployment
    );
}

#[tokio::test]
async fn an_instance_whose_agent_is_lost_is_drained_and_replaced() {
    let stage = Stage::new().await;
    let instances = stage.environment.container_instances().await.unwrap();
    let lost = instances[0].container_instance_arn().unwrap();
    let ec2 = instances[0].ec2_instance_id().unwrap().to_owned();
    stage.environment.edit_agent(lost, false).await.unwrap();
    let event = json!({
        "version": "0", "id": "1", "detail-type": "ECS Container Instance State Change",
        "source": "aws.ecs", "account": stage.account.id(), "time": "2026-11-23T12:00:00Z",
        "region": stage.account.region_name(), "resources": [lost],
        "detail": {
            "agentConnected": false, "clusterArn": "arn:aws:ecs:us-east-1:1:cluster/dev",
            "containerInstanceArn": lost, "ec2InstanceId": ec2, "status": "ACTIVE",
        },
    });
    let report = stage.run(crate::stage::EVERYTHING, event).await;
    assert_eq!(actions(&report), ["open_case damping done"], "{report:#?}");
    stage.minutes_later(4);
    assert_eq!(kept(&stage.tick().await), ["damping"]);
    stage.minutes_later(1);
    let drained = stage.tick().await;
    assert_eq!(
        actions(&drained),
        ["drain_instance bad_instance done"],
        "{drained:#?}"
    );
    let instances = stage.environment.container_instances().await.unwrap();
    let one = instances
        .iter()
        .find(|it| it.container_instance_arn() == Some(lost));
    assert!(
        one.is_none_or(|it| it.status() == Some("DRAINING")),
        "{one:?}"
    );
    stage.minutes_later(5);
    stage.tick().await;
    stage.minutes_later(6);
    let replaced = stage.tick().await;
    assert_eq!(
        actions(&replaced),
        ["replace_instance bad_instance done"],
        "{replaced:#?}"
    );
    for _ in 0..4 {
        stage.account.control().settle().await.unwrap();
    }
    let group = stage.group.describe().await.unwrap();
    let is_there = |it: &aws_sdk_autoscaling::types::Instance| it.instance_id() == Some(&ec2);
    assert!(!group.instances().iter().any(is_there), "{group:#?}");
    assert_eq!(group.instances().len(), 2);
}

#[tokio::test]
async fn tasks_without_a_place_get_room_before_there_are_more_of_them() {
    let stage = Stage::new().await;
    let no_place = Trouble {
        kind: TroubleKind::Placement,
        reason: Some("RESOURCE:ENI".to_owned()),
        ..Trouble::default()
    };
    stage.web.suffer(&no_place).await.unwrap();
    stage.web.scale(5).await.unwrap();
    stage.web.describe().await.unwrap();
    stage.web.describe().await.unwrap();
    let alarm = stage.web.alarm("web-cpu", "CPUUtilization", &[]).await;
    let alarm = alarm.unwrap();
    alarm.ring().await.unwrap();
    let report = stage.on(&alarm).await;
    assert_eq!(
        actions(&report),
        ["open_case noted done", "raise_group no_room done"],
        "{report:#?}"
    );
    let sizes = stage.group.sizes().await.unwrap();
    assert_eq!((sizes.min, sizes.max), (CAPACITY.min, CAPACITY.max + 1));
    stage.web.recover().await.unwrap();
    alarm.calm().await.unwrap();
    stage.tick().await;
    stage.minutes_later(61);
    assert_eq!(actions(&stage.tick().await), ["take_back raise_over done"]);
    assert_eq!(stage.group.sizes().await.unwrap().max, CAPACITY.max);
}

#[tokio::test]
async fn a_database_that_runs_out_of_storage_gets_more_once() {
    let stage = Stage::new().await;
    let database = stage.environment.database("shop-db").await.unwrap();
    stage.account.control().settle().await.unwrap();
    let has = database
        .describe()
        .await
        .unwrap()
        .allocated_storage
        .unwrap();
    let dimensions = [("DBInstanceIdentifier", "shop-db")];
    let metric = ("AWS/RDS", "FreeStorageSpace");
    let alarm = stage.account.alarm("db-storage", metric, &dimensions, &[]);
    let alarm = alarm.await.unwrap();
    alarm.ring().await.unwrap();
    stage.account.hold_changes().await.unwrap();
    let report = stage.on(&alarm).await;
    assert_eq!(
        actions(&report),
        ["grow_storage storage_low done", "open_case noted done"],
        "{report:#?}"
    );
    stage.minutes_later(6);
    let waits = stage.tick().await;
    // RDS modifies and optimises it: that is given time.
    assert_eq!(kept(&waits), ["settling"], "{waits:#?}");
    stage.account.stop_holding_changes().await.unwrap();
    stage.account.control().settle().await.unwrap();
    let now = database
        .describe()
        .await
        .unwrap()
        .allocated_storage
        .unwrap();
    assert!(
        now >= has + has / 10 && now <= has + has / 2,
        "{has} to {now}"
    );
    alarm.calm().await.unwrap();
    stage.is_closed_in_time().await;
}

#[tokio::test]
async fn a_database_gets_a_larger_class_when_a_person_approves_it() {
    let stage = Stage::new().await;
    let database = stage.environment.database("shop-db").await.unwrap();
    stage.account.control().settle().await.unwrap();
    let class = async || {
        database
            .describe()
            .await
            .unwrap()
            .db_instance_class
            .unwrap()
    };
    let has = class().await;
    let policy = format!(
        "{{version: 1, alarms: {{include: ['*']}}, settle: 5m, remedies: {{change_class: {{of: \
         {{include: ['*']}}, classes: [{has}, db.m7g.4xlarge]}}}}}}"
    );
    let dimensions = [("DBInstanceIdentifier", "shop-db")];
    let metric = ("AWS/RDS", "DatabaseConnections");
    let alarm = stage.account.alarm("db-full", metric, &dimensions, &[]);
    let alarm = alarm.await.unwrap();
    alarm.ring().await.unwrap();
    let event = json!({"operation": "remediate", "alarms": ["db-full"]});
    let told = stage.run(&policy, event).await;
    assert_eq!(actions(&told), ["open_case waits_for_approval done"]);
    stage.minutes_later(1);
    let waits = stage.run(&policy, json!({})).await;
    assert_eq!(kept(&waits), ["waits_for_approval"], "{waits:#?}");
    assert_eq!(class().await, has);
    let approve = json!({"operation": "approve", "case": "db-full"});
    let done = stage.run(&policy, approve.clone()).await;
    assert_eq!(
        actions(&done),
        ["change_class small_database done"],
        "{done:#?}"
    );
    stage.account.control().settle().await.unwrap();
    assert_eq!(class().await, "db.m7g.4xlarge");
    let again = stage.run(&policy, approve).await;
    assert_eq!(actions(&again), Vec::<String>::new(), "{again:#?}");
    alarm.calm().await.unwrap();
    stage.minutes_later(6);
    stage.is_closed_in_time().await;
}
