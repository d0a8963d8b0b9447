//! The restore points and recipes in one bucket.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_s3 as s3;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use steward::aws;
use steward::restore_point::{Document, MAX_BYTES};

/// The metadata that tells a document's content digest without reading it.
const CONTENT_DIGEST: &str = "content-digest";

/// One bucket, and where in it documents are.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    s3: s3::Client,
    bucket: String,
    prefix: String,
}

/// What is known of a document without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// As [`Document::content_digest`] has it; `None` when somebody else wrote it.
    pub(crate) content_digest: Option<String>,
    /// When it was last written; `None` when S3 does not tell.
    pub(crate) last_modified: Option<Timestamp>,
}

/// What happens when there is a document of the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It stays, and that is fine: it is of the same snapshot, and was recorded
    /// nearer to it.
    UnlessThere,
    /// It is replaced.
    Replacing,
}

impl Bucket {
    /// Those of a bucket in the Region and account of the configuration, below a
    /// prefix that is empty or ends with a slash.
    pub(crate) fn new(config: &SdkConfig, bucket: &str, prefix: &str) -> Self {
        let config = s3::config::Builder::from(config).interceptor(aws::WholeXml);
        Self {
            s3: s3::Client::from_conf(config.build()),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.bucket
    }

    /// Every document that is listed, incomplete ones too: its key as
    /// [`Document::key`] has it, and when it was last written. And why these may
    /// not be all.
    pub(crate) async fn list(&self) -> (BTreeMap<String, Timestamp>, Option<String>) {
        let objects = self.s3.list_objects_v2().bucket(&self.bucket);
        let objects = objects.prefix(&self.prefix).into_paginator();
        let (objects, incomplete) =
            aws::read_pages(objects.page_size(1000).send(), aws::objects_of).await;
        let mut why = incomplete.map(|why| why.to_string());
        let mut listed = BTreeMap::new();
        for object in &objects {
            let key = object.key().unwrap_or_default();
            let Some(key) = key
                .strip_prefix(&self.prefix)
                .filter(|it| it.ends_with(".json"))
            else {
                continue;
            };
            match object.last_modified().and_then(timestamp) {
                Some(at) => {
                    listed.insert(key.to_owned(), at);
                }
                None => why = Some(format!("the answer has no LastModified of {key} in it")),
            }
        }
        let place = format!("s3://{}/{}", self.bucket, self.prefix);
        let why = why.map(|why| format!("s3:ListObjectsV2 of {place}: {why}"));
        (listed, why)
    }

    /// One document; `None` when there is none of this key.
    ///
    /// # Errors
    /// When it cannot be read or is no document, with its place and nothing of
    /// its content.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<Document>, String> {
        let failed = |why: &str| format!("s3:GetObject of {}: {why}", self.name_of(key));
        let request = self
            .s3
            .get_object()
            .bucket(&self.bucket)
            .key(self.full(key));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if aws::code(&error) == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(failed(&why(&error))),
        };
        if answer
            .content_length()
            .is_some_and(|bytes| bytes > MAX_BYTES)
        {
            return Err(failed(&format!("it is larger than {MAX_BYTES} bytes")));
        }
        let bytes = answer.body.collect().await;
        let bytes = bytes.map_err(|error| failed(&aws::chain(&error)))?.to_vec();
        let text = String::from_utf8(bytes).map_err(|_| failed("it is no UTF-8 text"))?;
        let document = Document::parse(&SecretString::from(text));
        document
            .map(Some)
            .map_err(|error| failed(&error.to_string()))
    }

    /// What is known of a document without reading it; `None` when there is none
    /// of this key.
    ///
    /// # Errors
    /// When S3 does not say. Without `s3:ListBucket` it says of a missing object
    /// that access is denied.
    pub(crate) async fn head(&self, key: &str) -> Result<Option<Head>, String> {
        let request = self
            .s3
            .head_object()
            .bucket(&self.bucket)
            .key(self.full(key));
        match request.send().await {
            Ok(answer) => {
                let metadata = answer.metadata();
                let digest = metadata.and_then(|metadata| metadata.get(CONTENT_DIGEST));
                Ok(Some(Head {
                    content_digest: digest.cloned(),
                    last_modified: answer.last_modified().and_then(timestamp),
                }))
            }
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(format!(
                "s3:HeadObject of {}: {}",
                self.name_of(key),
                why(&error)
            )),
        }
    }

    /// Writes a document where its content belongs.
    ///
    /// # Errors
    /// When it is too large to be read again, or S3 refuses.
    pub(crate) async fn put(&self, document: &Document, put: Put) -> Result<(), String> {
        let key = document.key();
        let failed = |why: &str| format!("s3:PutObject of {}: {why}", self.name_of(&key));
        let text = document
            .text()
            .map_err(|error| failed(&error.to_string()))?;
        let body = text.expose_secret().as_bytes().to_vec();
        let unless_there = (put == Put::UnlessThere).then(|| "*".to_owned());
        let request = self
            .s3
            .put_object()
            .bucket(&self.bucket)
            .key(self.full(&key));
        let request = request
            .content_type("application/json")
            .metadata(CONTENT_DIGEST, document.content_digest())
            .set_if_none_match(unless_there)
            .body(ByteStream::from(body));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if aws::code(&error) == Some("PreconditionFailed") => Ok(()),
            Err(error) => Err(failed(&why(&error))),
        }
    }

    /// Deletes a document. One that is gone already counts as deleted.
    ///
    /// # Errors
    /// When S3 refuses.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), String> {
        let request = self
            .s3
            .delete_object()
            .bucket(&self.bucket)
            .key(self.full(key));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!(
                "s3:DeleteObject of {}: {}",
                self.name_of(key),
                why(&error)
            )),
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn name_of(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.bucket, self.prefix)
    }
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_second(at.secs()).ok()
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    Some(error.raw_response()?.status().as_u16())
}

/// An error as a person reads it. Answers to HEAD have no body, so that their
/// status is all there is.
fn why<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match (aws::code(error), status(error)) {
        (None, Some(403)) => "access is denied".to_owned(),
        _ => aws::explain(error),
    }
}
