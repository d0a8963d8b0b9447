//! A SIGKILL in the middle of a remedy: later ticks find out what came of it, and nothing
//! is done twice.

use std::time::Duration;

use aws_sdk_ecs::types::{DesiredStatus, Task};
use serde_json::{Value, json};
use steward_sandbox::lambda::Lambda;
use steward_sandbox::{Account, Fault};

use crate::shop::{Shop, actions, kept, of_targets, open_cases, remembered};
use crate::{account, applying, minutes, ringing, start};

/// Waits until something is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if is_so().await {
            return;
        }
        let pause = Duration::from_millis(50);
        let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
    }
    panic!("it never is");
}

/// The statuses of the calls of an operation so far; 0 is of one that is under way.
async fn calls(account: &Account, operation: &str) -> Vec<u16> {
    let calls = account.control().calls().await.unwrap().into_iter();
    let of = calls.filter(|call| call.operation == operation);
    of.map(|call| call.status).collect()
}

/// A call of the function that is held: until the function was killed, at least.
async fn held(account: &Account, fault: Fault) {
    let fault = Fault {
        times: Some(1),
        delay_ms: Some(3_000),
        ..fault
    };
    account.control().clear_calls().await.unwrap();
    account.control().fault(&fault).await.unwrap();
}

/// Kills a function while its call is held, and waits until that has ended after all.
async fn killed_in(account: &Account, mut lambda: Lambda, event: Value, call: &str) {
    lambda.send(event);
    until(async || !calls(account, call).await.is_empty()).await;
    lambda.kill();
    assert!(
        lambda.ended.try_recv().is_err(),
        "it was killed in the middle"
    );
    until(async || {
        let calls = calls(account, call).await;
        calls.iter().all(|status| *status != 0)
    })
    .await;
    account.control().clear_faults().await.unwrap();
}

async fn least(shop: &Shop) -> i32 {
    let target = shop.web.scalable_target().await.unwrap();
    target.unwrap().min_capacity()
}

const REGISTER: &str = "RegisterScalableTarget";

/// The call by which a service is raised.
fn registering() -> Fault {
    Fault {
        service: "application-autoscaling".into(),
        operation: REGISTER.into(),
        ..Fault::default()
    }
}

#[tokio::test]
async fn a_raise_that_came_to_pass_is_seen_by_the_next_tick_and_taken_back_in_time() {
    let (account, shop) = account().await;
    let event = ringing(&account, &shop).await;
    held(&account, registering()).await;
    killed_in(&account, start(&account, &applying()), event, REGISTER).await;
    assert_eq!(least(&shop).await, 6);

    let second = start(&account, &applying());
    let tick = second.report(json!({}));
    assert_eq!(
        (actions(&tick).len(), kept(&tick)),
        (0, vec!["settling".to_owned()]),
        "{tick:#?}"
    );
    account.existing_alarm("web-cpu").calm().await.unwrap();
    let helped = second.report(json!({}));
    assert_eq!(actions(&helped), ["record_effect quiet done"]);
    account.age_ledger(minutes(61)).await.unwrap();
    let over = second.report(json!({}));
    assert_eq!(actions(&over), ["take_back raise_over done"], "{over:#?}");
    assert_eq!(least(&shop).await, 2);
    let closed = second.report(json!({}));
    assert_eq!(actions(&closed), ["close_case noted done"], "{closed:#?}");
    // It was raised once, and taken back once.
    assert_eq!(calls(&account, REGISTER).await.len(), 2);
    assert_eq!(remembered(&account, "raises").await, Vec::<String>::new());
    assert_eq!(open_cases(&account).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_raise_that_never_came_to_pass_counts_and_is_tried_again_later() {
    let (account, shop) = account().await;
    let event = ringing(&account, &shop).await;
    let refused = Fault {
        code: Some("InternalServiceException".to_owned()),
        status: Some(500),
        ..registering()
    };
    held(&account, refused).await;
    killed_in(&account, start(&account, &applying()), event, REGISTER).await;
    assert_eq!(least(&shop).await, 2);

    let second = start(&account, &applying());
    assert_eq!(kept(&second.report(json!({}))), ["settling"]);
    assert_eq!(least(&shop).await, 2);
    account.age_ledger(minutes(16)).await.unwrap();
    let mut done = Vec::new();
    for _ in 0..3 {
        done.extend(actions(&second.report(json!({}))));
    }
    let raises = done.iter().filter(|it| *it == "raise_service busy done");
    assert_eq!(raises.count(), 1, "{done:?}");
    assert_eq!(least(&shop).await, 6);
}

/// The ARNs of the tasks that run.
async fn running(shop: &Shop) -> Vec<String> {
    let tasks = shop.web.tasks(DesiredStatus::Running).await.unwrap();
    let arn = |task: Task| task.task_arn.unwrap();
    tasks.into_iter().map(arn).collect()
}

#[tokio::test]
async fn tasks_that_were_being_replaced_are_not_replaced_again() {
    let (account, shop) = account().await;
    let alarm = of_targets(&shop.web, "web-unhealthy", "UnHealthyHostCount").await;
    let before = running(&shop).await;
    shop.web.sicken_tasks().await.unwrap();
    alarm.ring().await.unwrap();
    let stop = Fault {
        service: "ecs".into(),
        operation: "StopTask".into(),
        ..Fault::default()
    };
    held(&account, stop).await;
    let event = json!({"operation": "remediate", "alarms": ["web-unhealthy"]});
    killed_in(&account, start(&account, &applying()), event, "StopTask").await;
    account.control().settle().await.unwrap();
    let after = running(&shop).await;
    let left = after.iter().filter(|task| before.contains(task)).count();
    assert_eq!((after.len(), left), (4, 3));

    // Three are as they were, and what was done has its time.
    let second = start(&account, &applying());
    let tick = second.report(json!({}));
    assert_eq!(
        (actions(&tick).len(), kept(&tick)),
        (0, vec!["settling".to_owned()]),
        "{tick:#?}"
    );
    alarm.calm().await.unwrap();
    let helped = second.report(json!({}));
    assert_eq!(actions(&helped), ["record_effect quiet done"]);
    account.age_ledger(minutes(16)).await.unwrap();
    let closed = second.report(json!({}));
    assert_eq!(actions(&closed), ["close_case noted done"], "{closed:#?}");
    assert_eq!(calls(&account, "StopTask").await.len(), 1);
    assert_eq!(running(&shop).await, after);
}
