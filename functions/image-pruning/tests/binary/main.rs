//! The real binary, as AWS Lambda starts it: environment and events in, reports,
//! errors, log lines, metrics and messages out, and a kill in the middle of its
//! work.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod telling;
mod under_its_role;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use steward::engine::Clock;
use steward::report::Status;
use steward::switches;
use steward_sandbox::lambda::Lambda;
use steward_sandbox::{Account, Fault, Image, Manifest, Repository, Sandbox};

const POLICY: &str = r#"{"version": 1, "repositories": {"include": ["*"]},
    "retention": {"keep_newest": 1, "keep_younger_than": "1d", "remove_untagged_after": "1d"},
    "limits": {"max_delete_share_percent": 100}}"#;

fn days_ago(days: i64) -> Timestamp {
    Clock::System.now() - SignedDuration::from_hours(24 * days)
}

async fn set(account: &Account, name: &str, value: &str) {
    let put = account.ssm().put_parameter().name(name).value(value);
    put.r#type(aws_sdk_ssm::types::ParameterType::String)
        .overwrite(true)
        .send()
        .await
        .unwrap();
}

/// An account with both kill switches off, and a repository in which an index
/// with its two children may go and one image stays.
async fn account() -> (Account, Repository, String) {
    let account = Sandbox::shared().expect("the sandbox starts").account();
    for name in [
        switches::ALL.to_owned(),
        switches::name_for("image-pruning"),
    ] {
        set(&account, &name, switches::OFF).await;
    }
    let repository = account.repository("shop/web").await.unwrap();
    let children = ["amd64", "arm64"].map(|platform| Manifest::image_for("old", platform));
    for child in &children {
        repository.push_at(days_ago(60), child, &[]).await.unwrap();
    }
    let index = Manifest::index(&[&children[0], &children[1]]);
    repository
        .push_at(days_ago(60), &index, &["v1"])
        .await
        .unwrap();
    let newest = Manifest::image("newest");
    let newest = repository
        .push_at(days_ago(40), &newest, &["v2"])
        .await
        .unwrap();
    (account, repository, newest)
}

fn start(account: &Account, environment: &[(&str, &str)]) -> Lambda {
    let binary = env!("CARGO_BIN_EXE_image-pruning");
    Lambda::start(account, "image-pruning", binary, environment)
}

fn applying<'a>() -> [(&'a str, &'a str); 2] {
    [("STEWARD_MODE", "apply"), ("STEWARD_POLICY", POLICY)]
}

#[tokio::test]
async fn an_event_comes_in_and_a_report_goes_out() {
    let (account, repository, newest) = account().await;
    let lambda = start(&account, &applying());

    let plan = lambda.report(json!({"operation": "prune", "mode": "plan"}));
    assert_eq!((plan.status, plan.summary.planned), (Status::Planned, 3));
    assert_eq!(plan.account, account.id());
    assert_eq!(plan.run_id, "request-1");
    assert_eq!(repository.digests().await.unwrap().len(), 4);

    // A schedule, as EventBridge sends it.
    let applied = lambda.report(json!({
        "version": "0", "id": "one", "detail-type": "Scheduled Event", "source": "aws.events",
        "account": account.id(), "time": "2026-11-22T03:00:00Z", "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/nightly"], "detail": {},
    }));
    assert_eq!(
        (applied.status, applied.summary.done),
        (Status::Applied, 3),
        "{applied:#?}"
    );
    assert!(applied.sums_hold());
    assert_eq!(repository.digests().await.unwrap(), [newest]);

    // The same process again: nothing that it remembers is in the way.
    let again = lambda.report(json!({}));
    assert_eq!(again.status, Status::NothingToDo);
    assert_eq!(again.run_id, "request-3");
}

#[tokio::test]
async fn what_cannot_be_understood_is_an_error_with_its_type_and_the_whole_chain() {
    let (account, repository, _) = account().await;
    let lambda = start(&account, &applying());
    for (event, error_type, words) in [
        (
            json!({"detail-type": "Something Else", "source": "aws.else"}),
            "InvalidEvent",
            ["the event cannot be understood: ", "Something Else"],
        ),
        (
            json!([1, 2]),
            "InvalidEvent",
            ["the event cannot be understood: ", "a JSON object"],
        ),
        (
            json!({"mode": "aply"}),
            "InvalidEvent",
            ["the event cannot be understood: ", "aply"],
        ),
        (
            json!({"operation": "destroy"}),
            "InvalidRequest",
            ["the event is not for image-pruning: ", "allowed: prune"],
        ),
        (
            json!({"operation": "prune", "repositories": []}),
            "InvalidRequest",
            ["the event is not for image-pruning: ", "repositories"],
        ),
    ] {
        let (found, message) = lambda.error(event);
        assert_eq!(found, error_type, "{message}");
        for word in words {
            assert!(message.contains(word), "{message}");
        }
    }
    assert_eq!(repository.digests().await.unwrap().len(), 4);
    // The process lives on.
    assert_eq!(
        lambda.report(json!({"mode": "plan"})).status,
        Status::Planned
    );
}

#[tokio::test]
async fn a_policy_or_an_environment_that_is_wrong_is_an_error_at_every_invocation() {
    let (account, repository, _) = account().await;
    for (environment, error_type, words) in [
        (
            vec![(
                "STEWARD_POLICY",
                r#"{"version": 1, "retention": {"keep_newst": 1}}"#,
            )],
            "InvalidPolicy",
            ["STEWARD_POLICY", "keep_newst"],
        ),
        (
            vec![(
                "STEWARD_POLICY",
                r#"{"version": 1, "retention": {"keep_newest": 0}}"#,
            )],
            "InvalidPolicy",
            ["retention.keep_newest", "1 to 10000"],
        ),
        (
            vec![("STEWARD_POLICY_FROM", "ssm:/no/such/policy")],
            "UnreadablePolicy",
            ["ssm:/no/such/policy", "ParameterNotFound"],
        ),
        (
            vec![
                ("STEWARD_POLICY", POLICY),
                ("STEWARD_POLICY_FROM", "ssm:/a"),
            ],
            "InvalidEnvironment",
            ["STEWARD_POLICY", "STEWARD_POLICY_FROM"],
        ),
        (
            vec![("STEWARD_POLICY", POLICY), ("STEWARD_MODE", "Apply")],
            "InvalidEnvironment",
            ["STEWARD_MODE", "allowed: plan, apply"],
        ),
    ] {
        let lambda = start(&account, &environment);
        for _ in 0..2 {
            let (found, message) = lambda.error(json!({}));
            assert_eq!(found, error_type, "{message}");
            for word in words {
                assert!(message.contains(word), "{message}");
            }
        }
    }
    assert_eq!(repository.digests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn the_leash_of_the_function_is_stronger_than_the_event() {
    let (account, repository, _) = account().await;
    for mode in ["plan", ""] {
        let environment = [("STEWARD_MODE", mode), ("STEWARD_POLICY", POLICY)];
        let lambda = start(&account, &environment);
        let refused = lambda.report(json!({"mode": "apply"}));
        assert_eq!(refused.status, Status::Refused);
        assert_eq!(refused.refusals[0].guard, "mode");
        assert_eq!(lambda.report(json!({})).status, Status::Planned);
    }
    let without_policy = start(&account, &[("STEWARD_MODE", "apply")]);
    let refused = without_policy.report(json!({}));
    assert_eq!(refused.status, Status::Refused);
    assert_eq!(refused.refusals[0].guard, "explicit_policy");
    assert_eq!(repository.digests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_kill_switch_that_is_on_or_missing_stops_it_and_off_lets_it_go_on() {
    let (account, repository, _) = account().await;
    let lambda = start(&account, &applying());
    let own = switches::name_for("image-pruning");
    for name in [switches::ALL, &own] {
        for value in ["on", "OFF", "stop: see ticket 7"] {
            set(&account, name, value).await;
            let report = lambda.report(json!({}));
            assert_eq!(report.status, Status::Refused, "{name} is {value}");
            assert_eq!(report.refusals[0].guard, "kill_switch");
            assert!(
                report.refusals[0].detail.contains(name),
                "{:?}",
                report.refusals
            );
        }
        let delete = account.ssm().delete_parameter().name(name);
        delete.send().await.unwrap();
        let report = lambda.report(json!({}));
        assert_eq!(report.status, Status::Refused, "{name} is missing");
        assert!(
            report.refusals[0].detail.contains("does not exist"),
            "{:?}",
            report.refusals
        );
        set(&account, name, switches::OFF).await;
    }
    assert_eq!(repository.digests().await.unwrap().len(), 4);
    assert_eq!(lambda.report(json!({})).status, Status::Applied);
}

#[tokio::test]
async fn a_policy_is_read_from_a_parameter_or_a_bucket_at_every_invocation() {
    let (account, repository, _) = account().await;
    set(&account, "/steward/image-pruning/policy", POLICY).await;
    let s3 = account.s3();
    s3.create_bucket().bucket("policies").send().await.unwrap();
    let put = |text: &str| {
        let body = text.as_bytes().to_vec();
        let put = s3.put_object().bucket("policies").key("image-pruning.yaml");
        put.body(body.into()).send()
    };
    put(POLICY).await.unwrap();
    let mut digests = Vec::new();
    for from in [
        "ssm:/steward/image-pruning/policy",
        "s3://policies/image-pruning.yaml",
    ] {
        let environment = [("STEWARD_MODE", "apply"), ("STEWARD_POLICY_FROM", from)];
        let lambda = start(&account, &environment);
        let report = lambda.report(json!({"mode": "plan"}));
        assert_eq!(report.summary.planned, 3, "{from}");
        digests.push(report.policy_digest);
        if from.starts_with("s3") {
            put(&POLICY.replace("\"*\"", "\"other/*\"")).await.unwrap();
            let report = lambda.report(json!({}));
            assert_eq!(
                (report.status, report.summary.observed),
                (Status::NothingToDo, 0)
            );
            put("version: 2").await.unwrap();
            let (error, message) = lambda.error(json!({}));
            assert_eq!(error, "InvalidPolicy");
            assert!(message.contains(from), "{message}");
        }
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(repository.digests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_process_that_is_killed_while_deleting_leaves_nothing_broken_for_the_next() {
    let (account, repository, newest) = account().await;
    let more: Vec<Image> = (0..150)
        .map(|n| Image {
            tags: vec![format!("b{n}")],
            pushed_at: Some(days_ago(100 + n)),
            ..Image::default()
        })
        .collect();
    repository.fill(&more).await.unwrap();
    let before = repository.digests().await.unwrap().len();
    // The second batch is held until long after the kill.
    let held = Fault {
        service: "ecr".into(),
        operation: "BatchDeleteImage".into(),
        skip: Some(1),
        times: Some(1),
        delay_ms: Some(5_000),
        ..Fault::default()
    };
    account.control().fault(&held).await.unwrap();

    let mut first = start(&account, &applying());
    first.send(json!({}));
    let mut left = before;
    for _ in 0..300 {
        left = repository.digests().await.unwrap().len();
        if left < before {
            break;
        }
        let pause = Duration::from_millis(50);
        let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
    }
    assert_eq!(left, before - 100, "the first batch and no more");
    first.kill();
    assert!(
        first.ended.try_recv().is_err(),
        "it was killed in the middle"
    );
    account.control().clear_faults().await.unwrap();

    let second = start(&account, &applying());
    let report = second.report(json!({}));
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(repository.digests().await.unwrap(), [newest]);
    assert_eq!(second.report(json!({})).status, Status::NothingToDo);
}
