//! The whole deployment against a scripted AWS: what is denied, absent or odd is
//! told as that, and never taken for fine.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::{Value, json};
use steward::aws::Identity;
use steward_sandbox::faults::{Answer, At, Fault, FaultClient, Scripted};

use super::{Finding, State, deployment};
use crate::functions;

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:steward";

/// Each read of the doctor: its operation, its IAM action, and what is not
/// known without it.
const READS: [(&str, &str, &str); 12] = [
    (
        "lambda:GetFunctionConfiguration",
        "lambda:GetFunctionConfiguration",
        "function",
    ),
    (
        "lambda:GetFunctionConcurrency",
        "lambda:GetFunctionConcurrency",
        "concurrency",
    ),
    (
        "lambda:GetAccountSettings",
        "lambda:GetAccountSettings",
        "concurrency",
    ),
    ("sqs:GetQueueUrl", "sqs:GetQueueUrl", "dead_letters"),
    (
        "sqs:GetQueueAttributes",
        "sqs:GetQueueAttributes",
        "dead_letters",
    ),
    (
        "cloudwatch:DescribeAlarms",
        "cloudwatch:DescribeAlarms",
        "alarms",
    ),
    (
        "cloudwatch:GetMetricData",
        "cloudwatch:GetMetricData",
        "last_run",
    ),
    ("sns:GetTopicAttributes", "sns:GetTopicAttributes", "topic"),
    ("s3:ListBuckets", "s3:ListAllMyBuckets", "recovery"),
    (
        "s3:GetBucketVersioning",
        "s3:GetBucketVersioning",
        "recovery",
    ),
    (
        "s3:GetBucketEncryption",
        "s3:GetEncryptionConfiguration",
        "recovery",
    ),
    ("kms:DescribeKey", "kms:DescribeKey", "recovery"),
];

/// A deployment whose functions have a mode that there is not, so that what is
/// inside them is not looked at.
fn script() -> Scripted {
    let alarm = |name: &str| {
        json!({
            "AlarmName": name, "ActionsEnabled": true, "AlarmActions": [TOPIC], "StateValue": "OK",
        })
    };
    let of_each = functions::names().into_iter().map(|function| {
        [
            "errors",
            "throttles",
            "failed-actions",
            "failed-runs",
            "gaps",
            "untold",
            "overdue",
        ]
        .map(|name| alarm(&format!("steward-{function}-{name}")))
    });
    let others = [
        "steward-dead-letters",
        "steward-snapshot-rotation-objectives",
        "steward-snapshot-rotation-copies",
        "steward-snapshot-rotation-documents",
        "steward-scheduled-scaling-steps",
    ]
    .map(alarm);
    let alarms: Vec<Value> = of_each.flatten().chain(others).collect();
    Scripted::new()
        .always(
            "lambda:GetFunctionConfiguration",
            |_| json!({"State": "Active", "Environment": wrong_mode()}),
        )
        .always("lambda:GetFunctionConcurrency", |_| json!({}))
        .always("lambda:GetAccountSettings", |_| {
            let limit =
                json!({"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900});
            json!({ "AccountLimit": limit })
        })
        .always("sqs:GetQueueUrl", |_| json!({"QueueUrl": "https://queue"}))
        .always("sqs:GetQueueAttributes", |_| {
            json!({"Attributes": {
                "ApproximateNumberOfMessages": "0",
                "ApproximateNumberOfMessagesNotVisible": "0",
                "ApproximateNumberOfMessagesDelayed": "0",
            }})
        })
        .always(
            "cloudwatch:DescribeAlarms",
            move |_| json!({ "MetricAlarms": alarms }),
        )
        .always("cloudwatch:GetMetricData", |_| {
            let none =
                |id| json!({"Id": id, "StatusCode": "Complete", "Timestamps": [], "Values": []});
            json!({"MetricDataResults": [none("runs"), none("failed")]})
        })
        .always("sns:GetTopicAttributes", |_| attributes("1", "0"))
        .always("s3:ListBuckets", |_| {
            let bucket = |region| {
                format!(
                    "<Bucket><Name>steward-restore-points-123456789012-{region}</Name></Bucket>"
                )
            };
            let buckets = bucket("eu-central-1") + &bucket("eu-west-1");
            body(&format!(
                "<ListAllMyBucketsResult><Buckets>{buckets}</Buckets></ListAllMyBucketsResult>"
            ))
        })
        .always("s3:GetBucketVersioning", |_| {
            body("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        })
        .always("s3:GetBucketEncryption", |_| encrypted("aws:kms"))
        .always(
            "kms:DescribeKey",
            |_| json!({"KeyMetadata": {"KeyId": "key", "KeyState": "Enabled"}}),
        )
}

fn wrong_mode() -> Value {
    json!({"Variables": {"STEWARD_MODE": "perhaps"}})
}

fn body(xml: &str) -> Answer {
    Answer::Body(xml.as_bytes().to_vec())
}

fn attributes(confirmed: &str, pending: &str) -> Answer {
    let entry = |key, value| format!("<entry><key>{key}</key><value>{value}</value></entry>");
    let entries =
        entry("SubscriptionsConfirmed", confirmed) + &entry("SubscriptionsPending", pending);
    Answer::result(&format!("<Attributes>{entries}</Attributes>"))
}

fn encrypted(algorithm: &str) -> Answer {
    let key = "<KMSMasterKeyID>key</KMSMasterKeyID>";
    let default = format!("<SSEAlgorithm>{algorithm}</SSEAlgorithm>{key}");
    body(&format!(
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>{default}\
         </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
    ))
}

async fn look(client: FaultClient) -> Vec<Finding> {
    let credentials = Credentials::new("AKID", "secret", None, None, "script");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(client)
        .build();
    let identity = Identity {
        account: "123456789012".to_owned(),
        arn: "arn:aws:iam::123456789012:user/ops".to_owned(),
    };
    deployment::look(&config, &identity, "eu-central-1", &[]).await
}

fn told(findings: &[Finding]) -> Vec<(&'static str, State, &str)> {
    let told = findings.iter();
    told.map(|f| (f.check, f.state, f.found.as_str())).collect()
}

/// What is found besides what is wrong with this script anyway.
async fn found_with(script: Scripted) -> Vec<Finding> {
    let expected = look(FaultClient::new(self::script())).await;
    let mut findings = look(FaultClient::new(script)).await;
    findings.retain(|finding| {
        let same = |other: &Finding| other.found == finding.found && other.check == finding.check;
        !expected.iter().any(same)
    });
    findings
}

#[tokio::test]
async fn the_script_is_of_a_deployment_with_a_wrong_mode_and_no_runs() {
    let findings = look(FaultClient::new(script())).await;
    let wrong: Vec<_> = told(&findings)
        .into_iter()
        .filter(|(_, state, _)| *state != State::Good)
        .map(|(check, state, _)| (check, state))
        .collect();
    let of_each = [("environment", State::Bad), ("last_run", State::Bad)];
    assert_eq!(
        wrong,
        of_each.repeat(functions::names().len()),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn what_may_not_be_read_is_unknown_and_names_its_permission() {
    let good = |findings: &[Finding], of: &str| {
        let good = findings
            .iter()
            .filter(|f| f.state == State::Good && f.check == of);
        good.count()
    };
    let whole = look(FaultClient::new(script())).await;
    for (operation, action, check) in READS {
        let client = FaultClient::new(script()).with(At::every(operation), Fault::Deny);
        let findings = look(client.clone()).await;
        assert!(client.unspent().is_empty(), "{operation} is not called");
        let unread: Vec<&Finding> = findings
            .iter()
            .filter(|finding| finding.state == State::Unknown)
            .collect();
        assert!(!unread.is_empty(), "{action}: {findings:#?}");
        for finding in unread {
            assert_eq!(finding.check, check, "{finding:?}");
            assert!(
                finding.found.contains(&format!(" is not read: {action}: ")),
                "{finding:?}"
            );
            assert_eq!(finding.todo, [format!("allow yourself {action}")]);
        }
        // Nothing that was not read is told to be good.
        let before = good(&whole, check);
        assert!(
            good(&findings, check) < before || before == 0,
            "{action}: {findings:#?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_tell_is_unknown() {
    let empty = |_: &str| json!({});
    for (script, check, found) in [
        (
            script().always("lambda:GetAccountSettings", empty),
            "concurrency",
            "Lambda does not tell the account's quota",
        ),
        (
            script().always(
                "lambda:GetFunctionConfiguration",
                |_| json!({"Environment": wrong_mode()}),
            ),
            "function",
            "Lambda does not tell its state",
        ),
        (
            script().always("sqs:GetQueueAttributes", empty),
            "dead_letters",
            "SQS does not tell how many letters",
        ),
        (
            script().always("cloudwatch:DescribeAlarms", empty),
            "alarms",
            "the answer has no list in it",
        ),
        (
            script().always("sns:GetTopicAttributes", |_| Answer::result("")),
            "topic",
            "SNS does not tell who is subscribed",
        ),
        (
            script().always("s3:ListBuckets", |_| body("<ListAllMyBucketsResult/>")),
            "recovery",
            "the answer has no list in it",
        ),
        (
            script().always("kms:DescribeKey", empty),
            "recovery",
            "KMS does not tell whether the key",
        ),
    ] {
        let findings = found_with(script).await;
        let (_, state, text) = *told(&findings)
            .iter()
            .find(|(of, _, _)| *of == check)
            .unwrap_or_else(|| panic!("{check}: {findings:#?}"));
        assert_eq!(state, State::Unknown, "{text}");
        assert!(text.contains(found), "{text}");
    }
}

#[tokio::test]
async fn what_is_not_as_it_should_be_is_told() {
    let not_found = |code: &'static str| move |_: &str| Answer::error(400, code, "none");
    let quota = |all: i32, free: i32| {
        let limit = json!({"ConcurrentExecutions": all, "UnreservedConcurrentExecutions": free});
        script().always(
            "lambda:GetAccountSettings",
            move |_| json!({ "AccountLimit": limit }),
        )
    };
    let configured = |configuration: Value| {
        script().always("lambda:GetFunctionConfiguration", move |_| {
            configuration.clone()
        })
    };
    for (script, check, state, found) in [
        (
            quota(10, 10),
            "concurrency",
            State::Warning,
            "10 at once in this Region, 10 of them reserved by no function: other functions can",
        ),
        (quota(100, 0), "concurrency", State::Bad, "nothing can run"),
        (
            configured(json!({
                "State": "Failed", "StateReason": "no key", "Environment": wrong_mode(),
            })),
            "function",
            State::Bad,
            "its state is Failed: no key",
        ),
        (
            configured(json!({
                "State": "Active", "LastUpdateStatus": "Failed", "Environment": wrong_mode(),
            })),
            "function",
            State::Bad,
            "its last update failed, so that it runs as before",
        ),
        (
            configured(json!({
                "State": "Active", "Environment": {"Error": {"Message": "no key"}},
            })),
            "environment",
            State::Unknown,
            "its variables cannot be read: no key",
        ),
        (
            script().always(
                "sqs:GetQueueUrl",
                not_found("AWS.SimpleQueueService.NonExistentQueue"),
            ),
            "dead_letters",
            State::Bad,
            "there is no queue steward-dead-letters",
        ),
        (
            script().always("sns:GetTopicAttributes", not_found("NotFound")),
            "topic",
            State::Bad,
            "does not exist, so that it tells nobody",
        ),
        (
            script().always("s3:GetBucketEncryption", |_| encrypted("AES256")),
            "recovery",
            State::Bad,
            "has no key of its own",
        ),
        (
            script().always("kms:DescribeKey", not_found("NotFoundException")),
            "recovery",
            State::Bad,
            "is gone: nothing in it can be opened",
        ),
    ] {
        let findings = found_with(script).await;
        let told = told(&findings);
        assert!(
            told.iter()
                .any(|(of, is, text)| *of == check && *is == state && text.contains(found)),
            "{check} {found}: {told:#?}"
        );
    }
}
