//! The automation stack as it is deployed, and what AWS delivers to the function in it:
//! events by the stack's rules, an alarm's own action, a topic's notification, and the
//! schedules. What comes out are the changes in AWS, and the messages at the topic.

use std::path::Path;

use serde_json::Value;
use steward::engine::Clock;
use steward::event::Trigger;
use steward::report::Report;
use steward_sandbox::deploy::{self, Function};
use steward_sandbox::{
    Account, Alarm, Letter, Mailbox, Parts, Sandbox, Settings, Trouble, TroubleKind,
};

use crate::minutes;
use crate::shop::{CAPACITY, EVERYTHING, Shop, actions, kept, of_targets, open_cases, remembered};

/// A sandbox of its own, because deployed functions act in the default account.
struct System {
    _sandbox: Sandbox,
    account: Account,
    shop: Shop,
    function: Function,
    people: Mailbox,
}

impl System {
    async fn new(more: &[(&str, &str)]) -> Self {
        let sandbox = tokio::task::spawn_blocking(|| Sandbox::start(Parts::Both));
        let sandbox = sandbox.await.unwrap().unwrap();
        let account = sandbox.default_account();
        let shop = Shop::new(&account).await;
        let binary = Path::new(env!("CARGO_BIN_EXE_alarm-remediation"));
        let mut parameters = vec![
            ("AlarmRemediationMode", "apply"),
            ("AlarmRemediationPolicy", EVERYTHING),
            // They are fired when it is their time.
            ("AlarmRemediationSchedule", "rate(1 day)"),
            ("AlarmRemediationSweepSchedule", "rate(1 day)"),
        ];
        parameters.extend(more);
        let packages = [("alarm-remediation", binary)];
        let deployed = deploy::automation(&account, &packages, &parameters).await;
        let deployed = deployed.unwrap();
        let topic = deployed.output("TopicArn").unwrap();
        let people = Mailbox::of(&account, topic, "people").await.unwrap();
        let function = deployed.function("alarm-remediation").unwrap().clone();
        Self {
            _sandbox: sandbox,
            account,
            shop,
            function,
            people,
        }
    }

    /// What the next run did that something has woken.
    async fn woken(&self) -> Report {
        report(self.function.next_answer().await.unwrap())
    }

    /// So many minutes later the schedule fires.
    async fn tick(&self, later: i64) -> Report {
        self.account.age_ledger(minutes(later)).await.unwrap();
        let report = report(
            self.function
                .fire_schedule(Clock::System.now())
                .await
                .unwrap(),
        );
        assert_eq!(report.trigger, Trigger::Schedule);
        report
    }

    /// What people were told since the last look: subjects and texts.
    async fn told(&self, expected: usize) -> String {
        let letters = self.people.read(expected).await.unwrap();
        assert_eq!(letters.len(), expected, "{letters:#?}");
        let text = |it: Letter| format!("{}\n{}\n", it.subject, it.text);
        letters.into_iter().map(text).collect()
    }

    /// The ARN of the function.
    fn arn(&self) -> String {
        let (region, id) = (self.account.region_name(), self.account.id());
        let name = self.function.name();
        format!("arn:aws:lambda:{region}:{id}:function:{name}")
    }

    async fn least(&self) -> i32 {
        let target = self.shop.web.scalable_target().await.unwrap();
        target.unwrap().min_capacity()
    }

    async fn has_ended(&self, cases: usize) {
        assert_eq!(open_cases(&self.account).await, Vec::<String>::new());
        let ended = remembered(&self.account, "alarm-remediation-history").await;
        assert_eq!(ended.len(), cases, "{ended:?}");
    }
}

fn report(answer: Value) -> Report {
    let report: Report = serde_json::from_value(answer).unwrap();
    assert!(report.sums_hold());
    assert_eq!(report.gaps, []);
    let unsent = report
        .warnings
        .iter()
        .filter(|it| it.contains("not be sent"));
    assert_eq!(unsent.count(), 0, "{:?}", report.warnings);
    report
}

#[tokio::test]
async fn by_its_rule_an_alarm_stops_a_bad_deployment_and_its_case_ends_when_it_is_quiet() {
    let system = System::new(&[]).await;
    let web = &system.shop.web;
    let before = web.describe().await.unwrap().task_definition;
    let alarm = of_targets(web, "web-unhealthy", "UnHealthyHostCount").await;
    let broken = Trouble {
        kind: TroubleKind::Start,
        ..Trouble::default()
    };
    web.deploy_broken(broken).await.unwrap();

    alarm.ring().await.unwrap();
    let report = system.woken().await;
    assert_eq!(report.trigger, Trigger::Alarm);
    assert_eq!(
        actions(&report),
        [
            "open_case noted done",
            "stop_deployment bad_deployment done"
        ],
        "{report:#?}"
    );
    let told = system.told(1).await;
    for word in ["Done: dev/web", "rolled back", "of which failed"] {
        assert!(told.contains(word), "{word}: {told}");
    }

    // A tick finds it on its way back; later it is back.
    let tick = system.tick(1).await;
    assert_eq!(
        (actions(&tick).len(), kept(&tick)),
        (0, vec!["settling".to_owned()])
    );
    system.account.control().settle().await.unwrap();
    let service = web.describe().await.unwrap();
    assert_eq!(service.task_definition, before);
    assert_eq!((service.desired_count, service.running_count), (4, 4));

    // That it is quiet comes by the rule as well.
    alarm.calm().await.unwrap();
    assert_eq!(actions(&system.woken().await), ["record_effect quiet done"]);
    assert_eq!(kept(&system.tick(14).await), ["quiet"]);
    assert_eq!(actions(&system.tick(1).await), ["close_case noted done"]);
    system.has_ended(1).await;
    let told = system.told(1).await;
    assert!(told.contains("it helped"), "{told}");
}

#[tokio::test]
async fn by_its_rule_a_lost_agent_has_its_instance_drained_and_replaced_by_later_ticks() {
    let system = System::new(&[]).await;
    let shop = &system.shop;
    let instances = shop.environment.container_instances().await.unwrap();
    let lost = instances[0].container_instance_arn().unwrap();
    let ec2 = instances[0].ec2_instance_id().unwrap();
    // From now on ECS tells.
    let telling = Settings {
        service_events: Some(true),
        ..Settings::default()
    };
    system.account.control().settings(&telling).await.unwrap();
    shop.environment.edit_agent(lost, false).await.unwrap();

    let report = system.woken().await;
    assert_eq!(report.trigger, Trigger::Event);
    assert_eq!(actions(&report), ["open_case damping done"], "{report:#?}");
    assert_eq!(kept(&system.tick(4).await), ["damping"]);
    let drained = system.tick(1).await;
    assert_eq!(
        actions(&drained),
        ["drain_instance bad_instance done"],
        "{drained:#?}"
    );
    let told = system.told(1).await;
    assert!(told.contains(ec2), "{told}");
    // Its tasks do not go where nobody hears of them.
    system.tick(5).await;
    let replaced = system.tick(6).await;
    assert_eq!(
        actions(&replaced),
        ["replace_instance bad_instance done"],
        "{replaced:#?}"
    );
    for _ in 0..4 {
        system.account.control().settle().await.unwrap();
    }
    let group = shop.group.describe().await.unwrap();
    assert_eq!(
        group.instances().len(),
        usize::try_from(CAPACITY.min).unwrap()
    );
    assert!(
        group
            .instances()
            .iter()
            .all(|it| it.instance_id() != Some(ec2))
    );
    let mut done = Vec::new();
    for _ in 0..4 {
        done.extend(actions(&system.tick(16).await));
    }
    assert_eq!(done.last().unwrap(), "close_case noted done", "{done:?}");
    system.has_ended(1).await;
}

/// An alarm of a busy service with actions: when it goes off, and when it is quiet.
async fn acting(system: &System, name: &str, action: &str) -> Alarm {
    let web = &system.shop.web;
    let of = [("ClusterName", web.cluster()), ("ServiceName", web.name())];
    let dimensions = of.map(|(name, value)| {
        let dimension = aws_sdk_cloudwatch::types::Dimension::builder();
        dimension.name(name).value(value).build()
    });
    let made = system.account.alarm_with(name, |request| {
        request
            .namespace("AWS/ECS")
            .metric_name("CPUUtilization")
            .statistic(aws_sdk_cloudwatch::types::Statistic::Average)
            .period(60)
            .set_dimensions(Some(dimensions.to_vec()))
            .alarm_actions(action)
            .ok_actions(action)
    });
    made.await.unwrap()
}

#[tokio::test]
async fn without_its_rules_an_alarms_own_action_and_its_topic_wake_it() {
    let topic = "arn:aws:sns:us-east-1:123456789012:alarms";
    let system = System::new(&[
        ("AlarmRemediationOnEvents", "DISABLED"),
        ("AlarmRemediationTopic", topic),
    ])
    .await;
    let sns = system.account.sns();
    sns.create_topic().name("alarms").send().await.unwrap();
    let subscribe = sns.subscribe().topic_arn(topic).protocol("lambda");
    subscribe.endpoint(system.arn()).send().await.unwrap();

    let alarm = acting(&system, "web-cpu", &system.arn()).await;
    alarm.ring().await.unwrap();
    let report = system.woken().await;
    assert_eq!(report.trigger, Trigger::Alarm);
    assert_eq!(
        actions(&report),
        ["open_case noted done", "raise_service busy done"],
        "{report:#?}"
    );
    assert_eq!(system.least().await, 6);
    let told = system.told(1).await;
    assert!(told.contains("service dev/web gets 6 tasks"), "{told}");

    // Another of the same service, by a topic: it waits for what was done for the first.
    let by_topic = acting(&system, "web-cpu-peak", topic).await;
    by_topic.ring().await.unwrap();
    let report = system.woken().await;
    assert_eq!(report.trigger, Trigger::Alarm);
    assert_eq!(
        actions(&report),
        ["open_case another_case done"],
        "{report:#?}"
    );
    assert_eq!(system.least().await, 6);

    by_topic.calm().await.unwrap();
    let report = system.woken().await;
    assert_eq!(report.trigger, Trigger::Alarm);
    assert_eq!(actions(&report), ["calm_case quiet done"], "{report:#?}");
    alarm.calm().await.unwrap();
    assert_eq!(actions(&system.woken().await), ["record_effect quiet done"]);
    let over = system.tick(61).await;
    assert_eq!(
        actions(&over),
        ["close_case noted done", "take_back raise_over done"],
        "{over:#?}"
    );
    assert_eq!(system.least().await, 2);
    assert_eq!(actions(&system.tick(1).await), ["close_case noted done"]);
    system.has_ended(2).await;
}

#[tokio::test]
async fn an_alarm_that_nothing_told_of_is_found_by_the_schedule_of_the_sweep() {
    let system = System::new(&[("AlarmRemediationOnEvents", "DISABLED")]).await;
    let alarm = system
        .shop
        .web
        .alarm("web-cpu", "CPUUtilization", &[])
        .await;
    alarm.unwrap().ring().await.unwrap();
    let tick = system.tick(0).await;
    assert_eq!((tick.summary.observed, tick.wait), (0, None));
    let sweep = system
        .function
        .fire("steward-alarm-remediation-sweep", Clock::System.now());
    let sweep = report(sweep.await.unwrap());
    assert_eq!(
        (sweep.operation.as_str(), sweep.trigger),
        ("sweep", Trigger::Schedule)
    );
    assert_eq!(
        actions(&sweep),
        ["open_case noted done", "raise_service busy done"],
        "{sweep:#?}"
    );
    assert_eq!(system.least().await, 6);
}
