//! The images that restore points and recipes name, without which a recovery
//! would have a database and nothing to run.
//!
//! A document may hold plain-text environment values of task definitions: it is
//! kept as a secret while it is read, and no error quotes any of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_config::SdkConfig;
use aws_sdk_s3 as s3;
use aws_sdk_s3::types::Object;
use futures::{StreamExt, stream};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use steward::aws::{self, WholeXml};
use steward::policy::S3Prefix;
use steward::restore_point::MAX_BYTES;

use super::{AT_ONCE, ByTag, Reading, Used, known, remember};
use crate::policy::InUse;
use crate::reference;
use crate::world::{User, UserKind};

/// Reads restore points, and remembers each until its object changes.
#[derive(Debug)]
pub(super) struct RestorePoints {
    s3: s3::Client,
    documents: Mutex<HashMap<String, Arc<Document>>>,
}

/// What is known of a document.
#[derive(Debug, PartialEq, Eq)]
struct Document {
    kind: UserKind,
    /// References into Amazon ECR, all readable.
    images: Vec<String>,
}

impl RestorePoints {
    pub(super) fn new(config: &SdkConfig) -> Self {
        let whole = s3::config::Builder::from(config).interceptor(WholeXml);
        Self {
            s3: s3::Client::from_conf(whole.build()),
            documents: Mutex::default(),
        }
    }

    /// What every document in every place of the policy names.
    pub(super) async fn read(&self, settings: &InUse) -> Reading {
        let places = settings.restore_points.iter();
        let readings: Vec<Reading> = stream::iter(places)
            .map(|place| async move {
                match S3Prefix::parse(place) {
                    Some(place) => self.read_place(&place).await,
                    // The policy's own check refuses it before.
                    None => {
                        let mut all = Reading::default();
                        all.gap(format!("in_use.restore_points: {place} is no place"), "");
                        all
                    }
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        Reading::joined(readings)
    }

    async fn read_place(&self, place: &S3Prefix) -> Reading {
        let mut all = Reading::default();
        let objects = self.s3.list_objects_v2().bucket(&place.bucket);
        let objects = objects.prefix(&place.prefix).into_paginator();
        let pages = objects.page_size(1000).send();
        let (mut objects, incomplete) = aws::read_pages(pages, aws::objects_of).await;
        let complete = incomplete.is_none();
        if let Some(why) = incomplete {
            let read = format!("s3:ListObjectsV2 of {place}: {why}");
            // The permission is named differently from the operation ("Actions,
            // resources, and condition keys for Amazon S3").
            all.gap(read, "s3:ListBucket");
        }
        objects.retain(|object| object.key().is_none_or(|key| key.ends_with(".json")));
        if objects.is_empty() && complete {
            all.warnings.push(format!(
                "in_use.restore_points: {place} holds no *.json object, and keeps nothing"
            ));
        }
        let documents: Vec<Reading> = stream::iter(objects)
            .map(|object| async move { self.read_object(place, &object).await })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.add(Reading::joined(documents));
        all
    }

    async fn read_object(&self, place: &S3Prefix, object: &Object) -> Reading {
        let mut all = Reading::default();
        let key = object.key().unwrap_or_default();
        let name = format!("s3://{}/{key}", place.bucket);
        match self.document(place, object, key).await {
            Ok(Some(document)) => {
                for image in &document.images {
                    all.copied.push(Used {
                        image: image.clone(),
                        digest: None,
                        // A tag says what was meant then, not what it is now.
                        by_tag: ByTag::HasLookedUp,
                        by: User {
                            kind: document.kind,
                            name: name.clone(),
                        },
                    });
                }
            }
            // Deleted since it was listed.
            Ok(None) => {}
            Err(why) => all.gap(format!("s3:GetObject of {name}: {why}"), "s3:GetObject"),
        }
        all
    }

    async fn document(
        &self,
        place: &S3Prefix,
        object: &Object,
        key: &str,
    ) -> Result<Option<Arc<Document>>, String> {
        let version = object
            .e_tag()
            .map(|tag| format!("{}/{key} {tag}", place.bucket));
        let remembered = version.as_ref().and_then(|v| known(&self.documents, v));
        if remembered.is_some() {
            return Ok(remembered);
        }
        if object.size().is_some_and(|bytes| bytes > MAX_BYTES) {
            return Err(format!("it is larger than {MAX_BYTES} bytes"));
        }
        let request = self.s3.get_object().bucket(&place.bucket).key(key);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if aws::code(&error) == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(aws::explain(&error)),
        };
        // It may have been replaced between the listing and this answer.
        let same = answer.e_tag() == object.e_tag();
        let bytes = answer.body.collect().await;
        let bytes = bytes.map_err(|error| aws::chain(&error))?.to_vec();
        let text = String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())?;
        let document = Arc::new(parse_document(&SecretString::from(text))?);
        if let Some(version) = version.filter(|_| same) {
            remember(&self.documents, version, Arc::clone(&document));
        }
        Ok(Some(document))
    }
}

/// What of a document matters here. Other keys are ignored, whatever they are:
/// restore points and recipes hold much more than this.
#[derive(Deserialize)]
struct Written {
    schema_version: Option<u64>,
    kind: Option<String>,
    images: Option<Vec<WrittenImage>>,
}

#[derive(Deserialize)]
struct WrittenImage {
    reference: Option<String>,
}

/// Reads a document in the shape that the function's README tells. Errors say
/// where, and never what is written there.
fn parse_document(text: &SecretString) -> Result<Document, String> {
    let written: Written = serde_json::from_str(text.expose_secret()).map_err(|error| {
        format!(
            "it is no document of the documented shape (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    if written.schema_version != Some(1) {
        return Err("its schema_version is not 1".to_owned());
    }
    let kind = match written.kind.as_deref() {
        Some("restore_point") => UserKind::RestorePoint,
        Some("recipe") => UserKind::Recipe,
        _ => return Err("its kind is neither restore_point nor recipe".to_owned()),
    };
    let listed = written.images.ok_or("it has no list of images")?;
    let mut images = Vec::new();
    for (n, image) in listed.into_iter().enumerate() {
        let reference = image
            .reference
            .ok_or_else(|| format!("images[{n}] has no reference"))?;
        match reference::parse(&reference) {
            Ok(Some(_)) => images.push(reference),
            // Of another kind of registry, which nothing here is about.
            Ok(None) => {}
            Err(_) => return Err(format!("images[{n}].reference cannot be read")),
        }
    }
    Ok(Document { kind, images })
}

#[cfg(test)]
mod tests {
    use steward::restore_point::{Recipe, RecipeKind, SCHEMA_VERSION};

    use super::*;

    fn parsed(text: &str) -> Result<Document, String> {
        parse_document(&SecretString::from(text))
    }

    #[test]
    fn reads_the_documented_shape_and_ignores_the_rest() {
        let reference = format!(
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/web@sha256:{}",
            "0".repeat(64)
        );
        let text = serde_json::json!({
            "schema_version": 1,
            "kind": "restore_point",
            "images": [
                {"reference": reference, "container": "web"},
                {"reference": "public.ecr.aws/nginx/nginx:1"},
            ],
            "snapshot": {"environment": {"PASSWORD": "hunter2"}},
        });
        assert_eq!(
            parsed(&text.to_string()),
            Ok(Document {
                kind: UserKind::RestorePoint,
                images: vec![reference]
            })
        );
        let recipe = r#"{"schema_version":1,"kind":"recipe","images":[]}"#;
        assert_eq!(parsed(recipe).map(|d| d.kind), Ok(UserKind::Recipe));
    }

    /// The minimal shape above is part of what is written.
    #[test]
    fn reads_recipes_as_they_are_written() {
        let registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/web";
        let by_digest = format!("{registry}@sha256:{}", "0".repeat(64));
        let image = |reference: &str| steward::restore_point::Image {
            reference: reference.to_owned(),
            image: format!("{registry}:stable"),
            container: "web".to_owned(),
            cluster: "shop".to_owned(),
            service: "web".to_owned(),
            task_definition_arn: "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7"
                .to_owned(),
        };
        let recipe = Recipe {
            schema_version: SCHEMA_VERSION,
            kind: RecipeKind::Recipe,
            recorded_at: "2026-11-22T12:00:00Z".parse().unwrap(),
            environment: "production".to_owned(),
            account: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            databases: vec![],
            applications: vec![],
            images: vec![image(&by_digest), image("public.ecr.aws/nginx/nginx:1")],
            incomplete: vec![],
        };
        let written = steward::restore_point::Document::Recipe(Box::new(recipe));
        assert_eq!(
            parse_document(&written.text().unwrap()),
            Ok(Document {
                kind: UserKind::Recipe,
                images: vec![by_digest]
            })
        );
    }

    #[test]
    fn says_where_it_is_wrong_and_never_what_is_written_there() {
        let head = r#""schema_version":1,"kind":"recipe""#;
        for (text, problem) in [
            (String::new(), "line 1, column 0"),
            ("hunter2".to_owned(), "line 1, column 1"),
            (r#"{"password":"hunter2""#.to_owned(), "line 1, column 21"),
            ("{}".to_owned(), "schema_version is not 1"),
            (
                r#"{"schema_version":2,"kind":"recipe","images":[]}"#.to_owned(),
                "schema_version is not 1",
            ),
            (
                r#"{"schema_version":"hunter2","images":[]}"#.to_owned(),
                "line 1, column 27",
            ),
            (
                r#"{"schema_version":1,"kind":"hunter2","images":[]}"#.to_owned(),
                "kind is neither",
            ),
            (
                r#"{"schema_version":1,"images":[]}"#.to_owned(),
                "kind is neither",
            ),
            (format!("{{{head}}}"), "no list of images"),
            (format!(r#"{{{head},"images":null}}"#), "no list of images"),
            (
                format!(r#"{{{head},"images":"hunter2"}}"#),
                "line 1, column",
            ),
            (
                format!(r#"{{{head},"images":[{{"name":"hunter2"}}]}}"#),
                "images[0] has no reference",
            ),
            (
                format!(
                    r#"{{{head},"images":[{{"reference":"hunter2.dkr.ecr.x.amazonaws.com/a"}}]}}"#
                ),
                "images[0].reference cannot be read",
            ),
            (
                format!(r#"{{{head},"images":[{{"reference":""}}]}}"#),
                "images[0].reference cannot be read",
            ),
        ] {
            let error = parsed(&text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
    }
}
