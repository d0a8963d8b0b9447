//! Whether what a recovery needs is there: a bucket of restore points in this
//! Region and in another one, each with its versions and with a key that opens
//! it.

use aws_config::SdkConfig;
use aws_sdk_kms::types::KeyState;
use aws_sdk_s3::types::{BucketVersioningStatus, ServerSideEncryption};
use steward::aws::{self, ErrorKind, Incomplete};

use super::deployment::in_region;
use super::{Finding, State};

const CHECK: &str = "recovery";

/// Looks at the buckets of every Region where the automation was deployed once.
pub(super) async fn look(config: &SdkConfig, account: &str, region: &str) -> Vec<Finding> {
    let prefix = format!("steward-restore-points-{account}-");
    let pages = aws_sdk_s3::Client::new(config)
        .list_buckets()
        .prefix(&prefix)
        // Only with a page size are there pages (Amazon S3 API Reference,
        // `ListBuckets`).
        .max_buckets(1000)
        .into_paginator()
        .send();
    let (buckets, incomplete) =
        aws::read_pages(pages, |page| (page.buckets, page.continuation_token)).await;
    if let Some(why) = incomplete {
        let what = "which buckets of restore points there are";
        return vec![Finding::unread("s3:ListAllMyBuckets", CHECK, what, &why)];
    }
    let regions: Vec<&str> = buckets
        .iter()
        .filter_map(|bucket| bucket.name()?.strip_prefix(&prefix))
        .collect();
    let mut findings = Vec::new();
    if !regions.contains(&region) {
        findings.push(
            Finding::new(
                CHECK,
                State::Bad,
                format!("there is no bucket {prefix}{region}"),
            )
            .todo("deploy infra/automation.yaml again"),
        );
    }
    if regions.iter().all(|of| *of == region) {
        findings.push(
            Finding::new(
                CHECK,
                State::Warning,
                "restore points have no bucket in any other Region: what is lost with this one \
                 cannot be restored by them",
            )
            .todo("deploy infra/automation.yaml with Role=recovery in another Region"),
        );
    }
    for of in regions {
        let config = in_region(config, of);
        findings.push(of_bucket(&config, &format!("{prefix}{of}")).await);
    }
    findings
}

/// Whether restore points in a bucket are still there and can be opened when
/// they are needed.
async fn of_bucket(config: &SdkConfig, bucket: &str) -> Finding {
    let client = aws_sdk_s3::Client::new(config);
    let versions = client.get_bucket_versioning().bucket(bucket).send().await;
    match versions {
        Ok(answer) if answer.status() == Some(&BucketVersioningStatus::Enabled) => {}
        Ok(_) => {
            let found = format!("{bucket} keeps no versions: what is overwritten is gone");
            return Finding::new(CHECK, State::Bad, found)
                .todo("deploy infra/automation.yaml again in its Region");
        }
        Err(error) => {
            let what = format!("whether {bucket} keeps versions");
            return Finding::unread(
                "s3:GetBucketVersioning",
                CHECK,
                &what,
                &Incomplete::Failed(error),
            );
        }
    }
    let key = match client.get_bucket_encryption().bucket(bucket).send().await {
        Ok(answer) => answer
            .server_side_encryption_configuration
            .into_iter()
            .flat_map(|configuration| configuration.rules)
            .filter_map(|rule| rule.apply_server_side_encryption_by_default)
            .filter(|default| default.sse_algorithm == ServerSideEncryption::AwsKms)
            .find_map(|default| default.kms_master_key_id),
        Err(error) => {
            let what = format!("with which key {bucket} is encrypted");
            return Finding::unread(
                "s3:GetEncryptionConfiguration",
                CHECK,
                &what,
                &Incomplete::Failed(error),
            );
        }
    };
    let Some(key) = key else {
        let found = format!("{bucket} has no key of its own, and restore points may hold secrets");
        return Finding::new(CHECK, State::Bad, found)
            .todo("deploy infra/automation.yaml again in its Region");
    };
    let kms = aws_sdk_kms::Client::new(config);
    let state = match kms.describe_key().key_id(&key).send().await {
        Ok(answer) => answer.key_metadata.and_then(|key| key.key_state),
        Err(error) if aws::kind(&error) == ErrorKind::NotFound => {
            let found = format!("the key {key} of {bucket} is gone: nothing in it can be opened");
            return Finding::new(CHECK, State::Bad, found);
        }
        Err(error) => {
            let what = format!("whether the key of {bucket} can be used");
            return Finding::unread("kms:DescribeKey", CHECK, &what, &Incomplete::Failed(error));
        }
    };
    match state {
        Some(KeyState::Enabled) => {
            let found = format!("{bucket} keeps versions, and its key can be used");
            Finding::new(CHECK, State::Good, found)
        }
        Some(KeyState::PendingDeletion) => Finding::new(
            CHECK,
            State::Bad,
            format!("the key {key} of {bucket} is to be deleted: nothing in it can be opened"),
        )
        .todo(format!("aws kms cancel-key-deletion --key-id {key}"))
        .todo(format!("then: aws kms enable-key --key-id {key}")),
        Some(KeyState::Disabled) => Finding::new(
            CHECK,
            State::Bad,
            format!("the key {key} of {bucket} is disabled: nothing in it can be opened"),
        )
        .todo(format!("aws kms enable-key --key-id {key}")),
        Some(state) => {
            let found = format!("the key {key} of {bucket} cannot be used: it is {state}");
            Finding::new(CHECK, State::Bad, found)
        }
        None => {
            let found = format!("KMS does not tell whether the key of {bucket} can be used");
            Finding::new(CHECK, State::Unknown, found)
        }
    }
}
