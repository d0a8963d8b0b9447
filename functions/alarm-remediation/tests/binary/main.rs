//! The real binary, as AWS Lambda starts it: events and environment in, reports and
//! errors out, and a kill in the middle of a remedy. And as its stack deploys it, woken
//! by what AWS delivers, and with the credentials of its role.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod delivered;
mod killed;
#[path = "../shop/mod.rs"]
mod shop;
mod under_its_role;

use jiff::SignedDuration;
use serde_json::{Value, json};
use steward::event::Trigger;
use steward::report::Status;
use steward::switches;
use steward_sandbox::lambda::Lambda;
use steward_sandbox::{Account, Sandbox};

use crate::shop::{EVERYTHING, Shop, actions, kept, open_cases, remembered};

async fn set(account: &Account, name: &str, value: &str) {
    let put = account.ssm().put_parameter().name(name).value(value);
    put.r#type(aws_sdk_ssm::types::ParameterType::String)
        .overwrite(true)
        .send()
        .await
        .unwrap();
}

/// An account with a ledger, both kill switches off, and a shop.
async fn account() -> (Account, Shop) {
    let account = Sandbox::shared().expect("the sandbox starts").account();
    for name in [
        switches::ALL.to_owned(),
        switches::name_for("alarm-remediation"),
    ] {
        set(&account, &name, switches::OFF).await;
    }
    account.ledger().await.unwrap();
    let shop = Shop::new(&account).await;
    (account, shop)
}

fn start(account: &Account, environment: &[(&str, &str)]) -> Lambda {
    let binary = env!("CARGO_BIN_EXE_alarm-remediation");
    Lambda::start(account, "alarm-remediation", binary, environment)
}

fn applying<'a>() -> [(&'a str, &'a str); 2] {
    [("STEWARD_MODE", "apply"), ("STEWARD_POLICY", EVERYTHING)]
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// The event of an alarm that goes off now, off the bus.
async fn ringing(account: &Account, shop: &Shop) -> Value {
    let pattern = json!({"source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"]});
    let heard = account.listen("alarms", &pattern).await.unwrap();
    let alarm = shop.web.alarm("web-cpu", "CPUUtilization", &[]).await;
    alarm.unwrap().ring().await.unwrap();
    heard.read(1).await.unwrap().remove(0)
}

async fn is_as_it_was(shop: &Shop) {
    let target = shop.web.scalable_target().await.unwrap().unwrap();
    assert_eq!((target.min_capacity(), target.max_capacity()), (2, 10));
    assert_eq!(shop.web.counts().await.unwrap().0, 4);
}

#[tokio::test]
async fn the_event_of_an_alarm_comes_in_and_what_was_done_goes_out() {
    let (account, shop) = account().await;
    let event = ringing(&account, &shop).await;
    let lambda = start(&account, &applying());

    let plan = lambda.report(json!({"alarms": ["web-cpu"], "mode": "plan"}));
    assert_eq!(plan.status, Status::Planned, "{plan:#?}");
    assert_eq!(plan.account, account.id());
    is_as_it_was(&shop).await;
    assert_eq!(open_cases(&account).await, Vec::<String>::new());

    let report = lambda.report(event.clone());
    assert!(report.sums_hold());
    assert_eq!(report.trigger, Trigger::Alarm);
    assert_eq!(
        actions(&report),
        ["open_case noted done", "raise_service busy done"],
        "{report:#?}"
    );
    // The event again, and a tick: the case is open, and the remedy has its time.
    for event in [event, json!({})] {
        let again = lambda.report(event);
        assert_eq!(
            (actions(&again).len(), kept(&again)),
            (0, vec!["settling".to_owned()])
        );
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_understood_is_an_error_and_nothing_is_done() {
    let (account, shop) = account().await;
    let event = ringing(&account, &shop).await;
    let lambda = start(&account, &applying());
    let without = |path: &str, key: &str| {
        let mut event = event.clone();
        let at = event.pointer_mut(path).unwrap();
        at.as_object_mut().unwrap().remove(key);
        event
    };
    let mut both = event.clone();
    both["mode"] = json!("apply");
    let mut forged = event.clone();
    forged["source"] = json!("shop.monitoring");
    let agent = json!({
        "detail-type": "ECS Container Instance State Change", "source": "aws.ecs",
        "account": account.id(), "region": "us-east-1", "resources": [], "detail": {},
    });
    let topic = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "lunch"}}]});
    for (event, error_type, word) in [
        (without("/detail/state", "value"), "InvalidEvent", "state"),
        (without("", "source"), "InvalidEvent", "source"),
        (both, "InvalidEvent", "both"),
        (forged, "InvalidEvent", "shop.monitoring"),
        (agent, "InvalidEvent", "containerInstanceArn"),
        (topic, "InvalidEvent", "record 1"),
        (json!([1]), "InvalidEvent", "a JSON object"),
        (json!({"mode": "aply"}), "InvalidEvent", "aply"),
        (
            json!({"operation": "scale"}),
            "InvalidRequest",
            "allowed: remediate",
        ),
        (json!({"operation": "approve"}), "InvalidRequest", "case"),
        (
            json!({"alarms": ["web-cpu"]}),
            "InvalidEvent",
            "manual form",
        ),
        (
            json!({"operation": "remediate", "alarms": "web-cpu"}),
            "InvalidRequest",
            "alarms",
        ),
        (
            json!({"operation": "sweep", "alarms": []}),
            "InvalidRequest",
            "alarms",
        ),
    ] {
        let (found, message) = lambda.error(event);
        assert_eq!(found, error_type, "{message}");
        assert!(message.contains(word), "{word}: {message}");
    }
    is_as_it_was(&shop).await;
    let partition = remembered(&account, "alarm-remediation").await;
    assert_eq!(partition, Vec::<String>::new());
    // The process lives on, and understands what can be.
    assert_eq!(lambda.report(event).status, Status::Waiting);
}

#[tokio::test]
async fn without_its_ledger_it_does_nothing_and_says_so() {
    let (account, shop) = account().await;
    let event = ringing(&account, &shop).await;
    let [mode, policy] = applying();
    let lambda = start(&account, &[mode, policy, ("STEWARD_LEDGER", "elsewhere")]);
    for event in [event.clone(), json!({"operation": "sweep"}), json!({})] {
        let report = lambda.report(event);
        assert_eq!(actions(&report), Vec::<String>::new());
        let [gap] = &report.gaps[..] else {
            panic!("one gap: {report:#?}");
        };
        assert_eq!(
            gap.read,
            "there is no ledger: table elsewhere does not exist"
        );
        is_as_it_was(&shop).await;
    }
    // It is there again.
    let lambda = start(&account, &applying());
    assert_eq!(
        actions(&lambda.report(event)),
        ["open_case noted done", "raise_service busy done"]
    );
}

#[tokio::test]
async fn the_leash_the_policy_and_the_switches_are_stronger_than_the_event() {
    let (account, shop) = account().await;
    let event = ringing(&account, &shop).await;
    let own = switches::name_for("alarm-remediation");
    let refused = |lambda: &Lambda, event: &Value, guard: &str| {
        let report = lambda.report(event.clone());
        assert_eq!(report.status, Status::Refused, "{guard}: {report:#?}");
        assert_eq!(report.refusals[0].guard, guard);
    };
    for mode in ["plan", ""] {
        let environment = [("STEWARD_MODE", mode), ("STEWARD_POLICY", EVERYTHING)];
        let lambda = start(&account, &environment);
        refused(&lambda, &json!({"mode": "apply"}), "mode");
        assert_eq!(lambda.report(event.clone()).status, Status::Planned);
    }
    let without = start(&account, &[("STEWARD_MODE", "apply")]);
    refused(&without, &event, "explicit_policy");
    let lambda = start(&account, &applying());
    for name in [switches::ALL, &own] {
        set(&account, name, "on").await;
        refused(&lambda, &event, "kill_switch");
        let delete = account.ssm().delete_parameter().name(name);
        delete.send().await.unwrap();
        refused(&lambda, &event, "kill_switch");
        set(&account, name, switches::OFF).await;
    }
    is_as_it_was(&shop).await;
    assert_eq!(open_cases(&account).await, Vec::<String>::new());
    assert_eq!(lambda.report(event).status, Status::Waiting);
}
