//! Where AWS throttles, fewer calls are under way at once.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Value, json};
use steward_sandbox::faults::{Answer, Scripted};

use crate::script::{
    EVENING, Moment, SERVICE, Stage, TARGETS, WAKING_UP, awake, body, field, health, service,
    services,
};

/// So many services that run, each with a target group of its own.
fn many(count: usize) -> Scripted {
    let arns: Vec<String> = (0..count).map(|n| format!("{SERVICE}{n}")).collect();
    awake().always("ecs:ListServices", move |_| json!({"serviceArns": arns}))
}

/// What `DescribeServices` says of services of these ARNs.
fn described(request: &str) -> Answer {
    let asked = body(request)["services"].as_array().unwrap().clone();
    let told = asked.iter().map(|arn: &Value| {
        let mut service = service(1);
        let number = arn.as_str().unwrap().strip_prefix(SERVICE).unwrap();
        service["serviceArn"] = arn.clone();
        service["serviceName"] = json!(format!("web{number}"));
        service["loadBalancers"] = json!([{"targetGroupArn": format!("{TARGETS}{number}")}]);
        service
    });
    services(told.collect()).into()
}

/// Answers like this from the second time on that the same is asked for.
fn after_a_throttle(
    code: &'static str,
    reply: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> impl Fn(&str) -> Answer + Send + Sync + 'static {
    let asked = Mutex::new(BTreeSet::new());
    move |request: &str| {
        if asked.lock().unwrap().insert(request.to_owned()) {
            return Answer::error(400, code, "Rate exceeded");
        }
        reply(request)
    }
}

/// The calls under way at once in a look, at the most, after one in which everything
/// was throttled once.
async fn after_throttles(moment: Moment, script: Scripted) -> usize {
    let stage = Stage::over(moment, script).await;
    assert_eq!(stage.observe().await.gaps, []);
    stage.crowd();
    assert_eq!(stage.observe().await.gaps, []);
    stage.crowd()
}

#[tokio::test]
async fn calls_to_a_service_of_aws_are_sixteen_at_once_at_the_most() {
    let script = many(400).always("ecs:DescribeServices", described);
    let stage = Stage::over(EVENING, script).await;
    assert_eq!(stage.observe().await.gaps, []);
    assert_eq!(stage.client.count("ecs:DescribeServices"), 40);
    // With listings of groups and databases beside.
    let most = stage.crowd();
    assert!(most <= 18, "{most}");
}

/// It comes back by one for each round, so that forty calls do not bring it back to
/// sixteen.
#[tokio::test]
async fn a_service_of_aws_that_throttles_is_asked_less_at_once() {
    let replies = after_a_throttle("ThrottlingException", described);
    let script = many(400).always("ecs:DescribeServices", replies);
    let most = after_throttles(EVENING, script).await;
    assert!(most <= 12, "{most}");

    let replies = after_a_throttle("Throttling", |request| {
        let group = field(request, "TargetGroupArn").unwrap();
        assert!(group.starts_with(TARGETS), "{group}");
        health(&["healthy"])
    });
    let script = many(40)
        .always("ecs:DescribeServices", described)
        .always("elasticloadbalancing:DescribeTargetHealth", replies);
    let most = after_throttles(WAKING_UP, script).await;
    assert!(most <= 12, "{most}");
}
