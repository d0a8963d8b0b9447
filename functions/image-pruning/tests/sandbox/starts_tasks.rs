//! What a rule, a schedule or a daemon would start is never deleted.

use aws_sdk_ecs::types::DaemonContainerDefinition;
use aws_sdk_eventbridge::types::{EcsParameters, RuleState, Target};
use aws_sdk_scheduler::types::{
    EcsParameters as ScheduledTask, FlexibleTimeWindow, FlexibleTimeWindowMode, ScheduleState,
    Target as ScheduleTarget,
};
use steward::report::Status;
use steward_sandbox::{Account, Repository};

use crate::stage::{STRICT, Stage, going, kept_for, sorted};

/// A revision of a family that is not the newest any more, and so not kept by
/// itself; with its image.
pub(crate) async fn older_revision(
    stage: &Stage,
    repo: &Repository,
    family: &str,
) -> (String, String) {
    let tag = format!("{family}-old");
    let image = stage.image(repo, &tag, 60, &[&tag]).await;
    let account = &stage.account;
    let image_of = |tag: &str| repo.tagged(tag);
    let older = account
        .task_definition(family, &image_of(&tag))
        .await
        .unwrap();
    account
        .task_definition(family, "public.ecr.aws/nginx/nginx:1")
        .await
        .unwrap();
    (older, image)
}

fn cluster_arn(account: &Account) -> String {
    let (region, id) = (account.region_name(), account.id());
    format!("arn:aws:ecs:{region}:{id}:cluster/shop")
}

fn role_arn(account: &Account) -> String {
    format!("arn:aws:iam::{}:role/starts-tasks", account.id())
}

/// A rule on a bus that starts tasks from a definition.
pub(crate) async fn rule(account: &Account, bus: &str, name: &str, definition: &str) {
    let events = account.events();
    events
        .put_rule()
        .event_bus_name(bus)
        .name(name)
        .event_pattern(r#"{"source":["shop"]}"#)
        .state(RuleState::Disabled)
        .send()
        .await
        .unwrap();
    let task = EcsParameters::builder().task_definition_arn(definition);
    let target = Target::builder()
        .id("task")
        .arn(cluster_arn(account))
        .role_arn(role_arn(account))
        .ecs_parameters(task.build().unwrap());
    let put = events.put_targets().event_bus_name(bus).rule(name);
    let put = put.targets(target.build().unwrap()).send().await.unwrap();
    assert_eq!(put.failed_entry_count(), 0, "{put:?}");
}

/// A schedule that is disabled.
pub(crate) async fn schedule(account: &Account, name: &str, target: ScheduleTarget) {
    let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off);
    account
        .scheduler()
        .create_schedule()
        .name(name)
        .schedule_expression("cron(0 3 * * ? *)")
        .flexible_time_window(window.build().unwrap())
        .state(ScheduleState::Disabled)
        .target(target)
        .send()
        .await
        .unwrap();
}

/// The templated target that starts tasks from a definition.
pub(crate) fn task_target(account: &Account, definition: &str) -> ScheduleTarget {
    let task = ScheduledTask::builder().task_definition_arn(definition);
    ScheduleTarget::builder()
        .arn(cluster_arn(account))
        .role_arn(role_arn(account))
        .ecs_parameters(task.build().unwrap())
        .build()
        .unwrap()
}

/// The universal target, which calls an operation of Amazon ECS.
fn call_target(account: &Account, operation: &str, input: &str) -> ScheduleTarget {
    ScheduleTarget::builder()
        .arn(format!("arn:aws:scheduler:::aws-sdk:ecs:{operation}"))
        .role_arn(role_arn(account))
        .input(input)
        .build()
        .unwrap()
}

/// A daemon in the cluster `shop` that runs an image.
pub(crate) async fn daemon(account: &Account, name: &str, image: &str) -> String {
    let definition = daemon_definition(account, name, image).await;
    let created = account
        .ecs()
        .create_daemon()
        .cluster_arn(cluster_arn(account))
        .daemon_name(name)
        .daemon_task_definition_arn(definition)
        .capacity_provider_arns("arn:aws:ecs:us-east-1:1:capacity-provider/instances")
        .send()
        .await
        .unwrap();
    created.daemon_arn().unwrap().to_owned()
}

async fn daemon_definition(account: &Account, family: &str, image: &str) -> String {
    let container = DaemonContainerDefinition::builder()
        .name("agent")
        .image(image);
    let registered = account
        .ecs()
        .register_daemon_task_definition()
        .family(family)
        .container_definitions(container.build().unwrap())
        .send()
        .await
        .unwrap();
    registered.daemon_task_definition_arn().unwrap().to_owned()
}

#[tokio::test]
async fn keeps_what_rules_start_on_every_event_bus_also_when_they_are_disabled() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/jobs").await.unwrap();
    stage.account.cluster("shop").await.unwrap();
    let mut used = Vec::new();
    stage
        .account
        .events()
        .create_event_bus()
        .name("orders")
        .send()
        .await
        .unwrap();
    for (bus, family) in [("default", "nightly"), ("orders", "on-order")] {
        let (definition, image) = older_revision(&stage, &repo, family).await;
        rule(&stage.account, bus, family, &definition).await;
        used.push(image);
    }
    let (_, unused) = older_revision(&stage, &repo, "by-hand").await;
    used.push(stage.image(&repo, "newest", 20, &["newest"]).await);

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(going(&report), [unused]);
    assert_eq!(sorted(repo.digests().await.unwrap()), sorted(used.clone()));
    assert_eq!(kept_for(&report, &used[0]), Some("started_by_rule"));
    assert_eq!(kept_for(&report, &used[1]), Some("started_by_rule"));
}

#[tokio::test]
async fn keeps_what_a_deregistered_definition_of_a_rule_names() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/jobs").await.unwrap();
    stage.account.cluster("shop").await.unwrap();
    let (definition, image) = older_revision(&stage, &repo, "nightly").await;
    rule(&stage.account, "default", "nightly", &definition).await;
    let deregister = stage.account.ecs().deregister_task_definition();
    let deregister = deregister.task_definition(&definition);
    deregister.send().await.unwrap();
    stage.image(&repo, "newest", 20, &["newest"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(kept_for(&report, &image), Some("started_by_rule"));
    assert!(repo.has(&image).await.unwrap());
}

#[tokio::test]
async fn a_rule_or_schedule_that_names_a_family_starts_its_newest_revision() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/jobs").await.unwrap();
    stage.account.cluster("shop").await.unwrap();
    let (older, superseded) = older_revision(&stage, &repo, "nightly").await;
    let newest = stage.image(&repo, "present", 50, &["present"]).await;
    stage
        .account
        .task_definition("nightly", &repo.tagged("present"))
        .await
        .unwrap();
    let (family, _) = older.rsplit_once(':').unwrap();
    rule(&stage.account, "default", "nightly", family).await;
    let target = task_target(&stage.account, family);
    schedule(&stage.account, "nightly", target).await;
    stage.image(&repo, "newest", 20, &["newest"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(kept_for(&report, &newest), Some("started_by_rule"));
    assert_eq!(going(&report), [superseded]);
}

#[tokio::test]
async fn keeps_what_schedules_start_in_both_ways() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/jobs").await.unwrap();
    stage.account.cluster("shop").await.unwrap();
    let (templated, first) = older_revision(&stage, &repo, "templated").await;
    let (universal, second) = older_revision(&stage, &repo, "universal").await;
    let account = &stage.account;
    schedule(account, "templated", task_target(account, &templated)).await;
    let run = format!(r#"{{"Cluster":"shop","TaskDefinition":"{universal}"}}"#);
    schedule(account, "universal", call_target(account, "runTask", &run)).await;
    // Parks a service, and starts nothing.
    let park = r#"{"Cluster":"shop","Service":"web","DesiredCount":0}"#;
    schedule(account, "park", call_target(account, "updateService", park)).await;
    let queue = ScheduleTarget::builder()
        .arn(format!("arn:aws:sqs:us-east-1:{}:jobs", account.id()))
        .role_arn(role_arn(account));
    schedule(account, "queue", queue.build().unwrap()).await;
    let (_, unused) = older_revision(&stage, &repo, "by-hand").await;
    stage.image(&repo, "newest", 20, &["newest"]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(going(&report), [unused]);
    for image in [first, second] {
        assert_eq!(kept_for(&report, &image), Some("started_by_schedule"));
    }
}

#[tokio::test]
async fn keeps_what_daemons_run_and_can_be_rolled_back_to() {
    let stage = Stage::new();
    let repo = stage.account.repository("shop/agent").await.unwrap();
    stage.account.cluster("shop").await.unwrap();
    let mut digests = Vec::new();
    let mut arn = String::new();
    for n in 1..=3 {
        let name = format!("release {n}");
        digests.push(stage.image(&repo, &name, 60 - n, &["stable"]).await);
        if n == 1 {
            arn = daemon(&stage.account, "agent", &repo.tagged("stable")).await;
            continue;
        }
        let stable = repo.tagged("stable");
        let definition = daemon_definition(&stage.account, "agent", &stable).await;
        let update = stage.account.ecs().update_daemon().daemon_arn(&arn);
        update
            .daemon_task_definition_arn(definition)
            .capacity_provider_arns("arn:aws:ecs:us-east-1:1:capacity-provider/instances")
            .send()
            .await
            .unwrap();
    }
    // The tag has moved on since the last deployment.
    stage.image(&repo, "not deployed", 30, &["stable"]).await;
    let unused = stage.image(&repo, "unused", 50, &[]).await;

    let report = stage.apply(STRICT).await;

    assert_eq!(going(&report), sorted([digests[0].clone(), unused]));
    for digest in &digests[1..] {
        assert_eq!(kept_for(&report, digest), Some("in_use_by_daemon"));
    }
}
