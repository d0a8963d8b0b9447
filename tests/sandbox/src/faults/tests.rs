//! The connector below the real clients of the SDK, over a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ecr::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_ecr::types::ImageIdentifier;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use serde_json::json;

use super::*;

/// A configuration over a client, that tries three times with hardly a pause.
fn config(client: &FaultClient, retry: RetryConfig) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "123456789012",
            "secret",
            None,
            None,
            "test",
        )))
        .http_client(client.clone())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(SystemTimeSource::new()))
        .retry_config(retry.with_initial_backoff(Duration::from_millis(1)))
        .build()
}

fn retrying(client: &FaultClient) -> SdkConfig {
    config(client, RetryConfig::standard())
}

fn once(client: &FaultClient) -> SdkConfig {
    config(client, RetryConfig::disabled())
}

/// A registry of one repository with three images, one page each, and how many
/// deletions it has performed.
fn registry() -> (Scripted, Arc<AtomicUsize>) {
    let deletions = Arc::new(AtomicUsize::new(0));
    let performed = Arc::clone(&deletions);
    let scripted = Scripted::new()
        .always("ecr:DescribeImages", |body| {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            let page: usize = body["nextToken"].as_str().map_or(0, |t| t.parse().unwrap());
            let mut answer = json!({"imageDetails": [{"imageDigest": format!("sha256:{page}")}]});
            if page < 2 {
                answer["nextToken"] = json!((page + 1).to_string());
            }
            answer
        })
        .always("ecr:BatchDeleteImage", move |_| {
            performed.fetch_add(1, Ordering::SeqCst);
            json!({"imageIds": [], "failures": []})
        });
    (scripted, deletions)
}

/// Reads three pages, then deletes one image after the other.
async fn prune(config: SdkConfig) -> Result<usize, aws_sdk_ecr::Error> {
    let ecr = aws_sdk_ecr::Client::new(&config);
    let mut pages = ecr
        .describe_images()
        .repository_name("web")
        .into_paginator()
        .items()
        .send();
    let mut digests = Vec::new();
    while let Some(image) = pages.next().await {
        digests.extend(image?.image_digest);
    }
    for digest in &digests {
        ecr.batch_delete_image()
            .repository_name("web")
            .image_ids(ImageIdentifier::builder().image_digest(digest).build())
            .send()
            .await?;
    }
    Ok(digests.len())
}

/// Runs until it ends or is cut; `None` when it was cut.
async fn run_or_cut(faults: &FaultClient) -> Option<Result<usize, aws_sdk_ecr::Error>> {
    tokio::select! {
        result = prune(retrying(faults)) => Some(result),
        () = faults.cut() => None,
    }
}

#[tokio::test]
async fn records_the_calls_of_every_service_in_one_order() {
    let scripted = Scripted::new()
        .on("ecr:DescribeImages", json!({}))
        .on(
            "rds:DescribeDBSnapshots",
            Answer::result("<DBSnapshots><DBSnapshot><DBSnapshotIdentifier>rds:orders-2026-11-22</DBSnapshotIdentifier></DBSnapshot></DBSnapshots>"),
        )
        .on("lambda:ListFunctions", json!({"Functions": [{"FunctionName": "thumbnails"}]}))
        .on("lambda:GetFunction", json!({"Code": {"ImageUri": "x"}}))
        .on("s3:GetObject", Answer::Body(b"version: 1".to_vec()))
        .on("scheduler:GetSchedule", json!({"Name": "nightly"}))
        .on("ecs:DescribeServices", json!({"services": []}))
        .on("ssm:GetParameter", json!({"Parameter": {"Value": "on"}}))
        .on("cloudwatch:DescribeAlarms", json!({"MetricAlarms": [{"AlarmName": "web-5xx", "Threshold": 5.5, "Period": 60}]}))
        .on("sqs:ReceiveMessage", json!({}));
    let faults = FaultClient::new(scripted.clone());
    let config = once(&faults);

    let ecr = aws_sdk_ecr::Client::new(&config);
    ecr.describe_images()
        .repository_name("shop/web")
        .send()
        .await
        .unwrap();
    let rds = aws_sdk_rds::Client::new(&config);
    let snapshots = rds
        .describe_db_snapshots()
        .db_instance_identifier("orders")
        .db_snapshot_identifier("rds:orders-2026-11-22")
        .send()
        .await
        .unwrap();
    assert_eq!(
        snapshots.db_snapshots()[0].db_snapshot_identifier(),
        Some("rds:orders-2026-11-22")
    );
    let lambda = aws_sdk_lambda::Client::new(&config);
    let functions = lambda.list_functions().send().await.unwrap();
    assert_eq!(functions.functions()[0].function_name(), Some("thumbnails"));
    let function = lambda
        .get_function()
        .function_name("thumbnails")
        .send()
        .await
        .unwrap();
    assert_eq!(function.code().unwrap().image_uri(), Some("x"));
    let s3 = aws_sdk_s3::Client::new(&config);
    let object = s3
        .get_object()
        .bucket("policies")
        .key("a/b.yaml")
        .send()
        .await
        .unwrap();
    let text = object.body.collect().await.unwrap().into_bytes();
    assert_eq!(&text[..], b"version: 1");
    let scheduler = aws_sdk_scheduler::Client::new(&config);
    scheduler
        .get_schedule()
        .name("nightly")
        .send()
        .await
        .unwrap();
    let ecs = aws_sdk_ecs::Client::new(&config);
    ecs.describe_services()
        .cluster("prod")
        .services("web")
        .send()
        .await
        .unwrap();
    let ssm = aws_sdk_ssm::Client::new(&config);
    ssm.get_parameter()
        .name("/steward/stop")
        .send()
        .await
        .unwrap();
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&config);
    let alarms = cloudwatch.describe_alarms().send().await.unwrap();
    assert_eq!(alarms.metric_alarms()[0].threshold(), Some(5.5));
    assert_eq!(alarms.metric_alarms()[0].period(), Some(60));
    let sqs = aws_sdk_sqs::Client::new(&config);
    sqs.receive_message()
        .queue_url("https://sqs.eu-west-1.amazonaws.com/123456789012/dead")
        .send()
        .await
        .unwrap();

    let calls: Vec<String> = faults.calls().iter().map(ToString::to_string).collect();
    assert_eq!(
        calls,
        [
            "1: ecr DescribeImages shop/web",
            "2: rds DescribeDBSnapshots rds:orders-2026-11-22",
            "3: lambda ListFunctions",
            "4: lambda GetFunction thumbnails",
            "5: s3 GetObject policies/a/b.yaml",
            "6: scheduler GetSchedule nightly",
            "7: ecs DescribeServices web",
            "8: ssm GetParameter /steward/stop",
            "9: cloudwatch DescribeAlarms",
            "10: sqs ReceiveMessage https://sqs.eu-west-1.amazonaws.com/123456789012/dead",
        ]
    );
    assert!(
        faults
            .calls()
            .iter()
            .all(|call| call.region.as_deref() == Some("eu-west-1"))
    );
    assert_eq!(scripted.unused(), Vec::<String>::new());
}

/// The code of each service's answer, by fault, as the SDK reads it.
async fn codes(fault: Fault) -> Vec<String> {
    let faults = FaultClient::new(Scripted::new());
    for operation in [
        "ecr:DescribeImages",
        "rds:DescribeDBSnapshots",
        "lambda:ListFunctions",
        "s3:GetObject",
        "scheduler:GetSchedule",
        "cloudwatch:DescribeAlarms",
        "sqs:ListQueues",
    ] {
        faults.add(At::every(operation), fault.clone());
    }
    let config = once(&faults);
    macro_rules! code {
        ($call:expr) => {
            match $call.send().await {
                Ok(_) => panic!("{} succeeded", stringify!($call)),
                Err(error) => match error.code() {
                    Some(code) => code.to_owned(),
                    None => panic!("{}", DisplayErrorContext(&error)),
                },
            }
        };
    }
    let codes = vec![
        code!(
            aws_sdk_ecr::Client::new(&config)
                .describe_images()
                .repository_name("web")
        ),
        code!(aws_sdk_rds::Client::new(&config).describe_db_snapshots()),
        code!(aws_sdk_lambda::Client::new(&config).list_functions()),
        code!(
            aws_sdk_s3::Client::new(&config)
                .get_object()
                .bucket("policies")
                .key("x")
        ),
        code!(
            aws_sdk_scheduler::Client::new(&config)
                .get_schedule()
                .name("nightly")
        ),
        code!(aws_sdk_cloudwatch::Client::new(&config).describe_alarms()),
        code!(aws_sdk_sqs::Client::new(&config).list_queues()),
    ];
    assert_eq!(faults.unspent(), Vec::<String>::new());
    assert_eq!(faults.calls().len(), codes.len());
    codes
}

#[tokio::test]
async fn throttles_in_the_words_of_each_service() {
    assert_eq!(
        codes(Fault::Throttle).await,
        [
            "ThrottlingException",
            "Throttling",
            "TooManyRequestsException",
            "SlowDown",
            "ThrottlingException",
            "ThrottlingException",
            "ThrottlingException",
        ]
    );
}

#[tokio::test]
async fn denies_in_the_words_of_each_service() {
    assert_eq!(
        codes(Fault::Deny).await,
        [
            "AccessDeniedException",
            "AccessDenied",
            "AccessDeniedException",
            "AccessDenied",
            "AccessDeniedException",
            "AccessDenied",
            "AccessDeniedException",
        ]
    );
}

#[tokio::test]
async fn answers_with_any_code() {
    let codes = codes(Fault::error(400, "Strange<&Code")).await;
    assert!(
        codes.iter().all(|code| code == "Strange<&Code"),
        "{codes:?}"
    );
}

#[tokio::test]
async fn a_denial_names_the_permission() {
    let faults = FaultClient::new(Scripted::new()).with(At::every("DescribeImages"), Fault::Deny);
    let ecr = aws_sdk_ecr::Client::new(&retrying(&faults));
    let error = ecr
        .describe_images()
        .repository_name("web")
        .send()
        .await
        .unwrap_err();
    let message = error.message().unwrap();
    assert!(
        message.contains("is not authorized to perform: ecr:DescribeImages because"),
        "{message}"
    );
    assert_eq!(faults.calls().len(), 1, "a denial is not retried");
}

#[tokio::test]
async fn modelled_errors_are_the_sdks_own_types() {
    let faults = FaultClient::new(Scripted::new())
        .with(
            At::Call(1),
            Fault::error(400, "RepositoryNotFoundException"),
        )
        .with(At::Call(2), Fault::error(404, "DBSnapshotNotFound"));
    let config = once(&faults);
    let ecr = aws_sdk_ecr::Client::new(&config);
    let error = ecr
        .describe_images()
        .repository_name("web")
        .send()
        .await
        .unwrap_err();
    assert!(
        error
            .into_service_error()
            .is_repository_not_found_exception()
    );
    let rds = aws_sdk_rds::Client::new(&config);
    let error = rds.describe_db_snapshots().send().await.unwrap_err();
    assert!(error.into_service_error().is_db_snapshot_not_found_fault());
}

#[tokio::test]
async fn a_throttled_call_is_retried_and_the_retry_is_a_call_of_its_own() {
    let (registry, deletions) = registry();
    let faults =
        FaultClient::new(registry).with(At::nth("ecr:BatchDeleteImage", 2), Fault::Throttle);
    assert_eq!(prune(retrying(&faults)).await.unwrap(), 3);
    assert_eq!(deletions.load(Ordering::SeqCst), 3);
    assert_eq!(faults.count("BatchDeleteImage"), 4);
    assert_eq!(faults.unspent(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_answer_was_performed() {
    let (registry, deletions) = registry();
    let faults = FaultClient::new(registry).with(At::Call(4), Fault::LostAnswer);
    let error = prune(once(&faults)).await.unwrap_err();
    assert!(DisplayErrorContext(&error).to_string().contains("was lost"));
    assert_eq!(deletions.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lost_answer_is_retried_by_the_sdk() {
    let (registry, deletions) = registry();
    let faults = FaultClient::new(registry).with(At::Call(4), Fault::LostAnswer);
    assert_eq!(prune(retrying(&faults)).await.unwrap(), 3);
    assert_eq!(deletions.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn an_empty_answer_passes_for_an_empty_page() {
    let (registry, deletions) = registry();
    let faults = FaultClient::new(registry).with(At::Call(2), Fault::EmptyAnswer);
    // Read without suspicion, the second page has neither images nor a token.
    assert_eq!(prune(once(&faults)).await.unwrap(), 1);
    assert_eq!(deletions.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_truncated_answer_is_an_error() {
    let (registry, deletions) = registry();
    let faults = FaultClient::new(registry).with(At::Call(2), Fault::TruncatedAnswer);
    prune(once(&faults)).await.unwrap_err();
    assert_eq!(deletions.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_cut_before_performs_nothing_and_a_cut_after_does() {
    for (fault, performed) in [(Fault::CutBefore, 1), (Fault::CutAfter, 2)] {
        let (registry, deletions) = registry();
        let faults = FaultClient::new(registry).with(At::nth("BatchDeleteImage", 2), fault);
        assert!(run_or_cut(&faults).await.is_none());
        assert!(faults.is_cut());
        assert_eq!(deletions.load(Ordering::SeqCst), performed);
    }
}

#[tokio::test]
async fn what_outlives_a_cut_makes_no_calls() {
    let (registry, deletions) = registry();
    let faults = FaultClient::new(registry).with(At::Call(1), Fault::CutBefore);
    assert!(run_or_cut(&faults).await.is_none());
    let ecr = aws_sdk_ecr::Client::new(&retrying(&faults));
    let straggler = tokio::spawn(ecr.batch_delete_image().repository_name("web").send());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!straggler.is_finished());
    straggler.abort();
    assert_eq!(deletions.load(Ordering::SeqCst), 0);
    assert_eq!(faults.calls().len(), 1);
}

#[tokio::test]
async fn a_run_without_a_cut_point_is_never_cut() {
    let (registry, _) = registry();
    let faults = FaultClient::new(registry);
    assert!(run_or_cut(&faults).await.is_some());
    assert!(!faults.is_cut());
}

#[tokio::test]
async fn of_two_faults_at_one_call_the_first_added_happens() {
    let faults = FaultClient::new(Scripted::new())
        .with(At::Call(1), Fault::error(400, "First"))
        .with(At::every("DescribeImages"), Fault::error(400, "Second"));
    let ecr = aws_sdk_ecr::Client::new(&once(&faults));
    let error = ecr
        .describe_images()
        .repository_name("web")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("First"));
    assert_eq!(
        faults.unspent(),
        ["Error 400 Second at Every(\"DescribeImages\")"]
    );
}

#[tokio::test]
async fn sweeps_over_every_call_of_a_run() {
    let (registry, _) = registry();
    let clean = FaultClient::new(registry);
    prune(once(&clean)).await.unwrap();
    let calls = clean.calls();
    assert_eq!(calls.len(), 6);

    let faults = [
        Fault::Throttle,
        Fault::LostAnswer,
        Fault::CutBefore,
        Fault::CutAfter,
    ];
    let names: Vec<String> = sweep(&calls, &faults).map(|cut| cut.to_string()).collect();
    assert_eq!(names.len(), 24);
    assert_eq!(names[0], "Throttle at 1: ecr DescribeImages web");
    assert_eq!(names[23], "CutAfter at 6: ecr BatchDeleteImage web");

    for cut in sweep(&calls, &faults) {
        let (registry, deletions) = self::registry();
        let client = cut.client(registry.clone());
        let ended = run_or_cut(&client).await;
        let is_cut = matches!(cut.fault, Fault::CutBefore | Fault::CutAfter);
        assert_eq!(ended.is_none(), is_cut, "{cut}");
        assert_eq!(client.unspent(), Vec::<String>::new(), "{cut}");
        let again = FaultClient::new(registry);
        prune(once(&again)).await.unwrap();
        assert!(deletions.load(Ordering::SeqCst) >= 3, "{cut}");
    }
}

#[tokio::test]
#[should_panic(expected = "the script has no answer (left) for ecr:DescribeImages")]
async fn a_call_that_the_script_does_not_know_is_loud() {
    let faults = FaultClient::new(Scripted::new().on("ecr:ListImages", json!({})));
    let ecr = aws_sdk_ecr::Client::new(&once(&faults));
    let _ = ecr.describe_images().repository_name("web").send().await;
}

#[tokio::test]
async fn scripted_errors_are_in_the_services_format() {
    let scripted = Scripted::new().on(
        "rds:DescribeDBInstances",
        Answer::error(404, "DBInstanceNotFound", "DBInstance orders not found."),
    );
    let rds = aws_sdk_rds::Client::new(&once(&FaultClient::new(scripted)));
    let error = rds
        .describe_db_instances()
        .db_instance_identifier("orders")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.message(), Some("DBInstance orders not found."));
    assert!(error.into_service_error().is_db_instance_not_found_fault());
}
