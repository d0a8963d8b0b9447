//! The registry of a scenario. Pages and batches are those of the Amazon ECR API
//! Reference; asking for more is an error, as there.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::aws::Answer;
use crate::pruning::Pruning;
use crate::scenario::{ACCOUNT, REGION};

const PAGE: usize = 1000;
const BATCH: usize = 100;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The digest of an image, from its repository and number.
pub(crate) fn digest(repository: usize, image: usize) -> String {
    let hash = Sha256::digest(format!("{repository}/{image}"));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

pub(crate) fn repository_name(repository: usize) -> String {
    format!("shop/app-{repository:04}")
}

/// Repositories and images; pages are written once, so that serving them costs
/// nothing.
pub(crate) struct Registry {
    repositories: usize,
    /// Images by digest, of each repository, in the order of the listing.
    images: Vec<Vec<(String, String)>>,
    indexes: BTreeMap<String, String>,
    pages: Vec<Vec<Bytes>>,
    deleted: Mutex<HashSet<String>>,
}

impl Registry {
    pub(crate) fn of(pruning: &Pruning) -> Self {
        let mut registry = Self {
            repositories: pruning.repositories,
            images: vec![],
            indexes: BTreeMap::new(),
            pages: vec![],
            deleted: Mutex::default(),
        };
        for repository in 0..pruning.repositories {
            let images: Vec<(String, String)> = (0..pruning.images)
                .map(|image| registry.image(pruning, repository, image))
                .collect();
            let pages = images.chunks(PAGE).enumerate().map(|(n, chunk)| {
                let details: Vec<&str> = chunk.iter().map(|(_, json)| json.as_str()).collect();
                let more = images.len() > (n + 1) * PAGE;
                let token = if more {
                    format!(r#","nextToken":"{}""#, (n + 1) * PAGE)
                } else {
                    String::new()
                };
                format!(r#"{{"imageDetails":[{}]{token}}}"#, details.join(",")).into()
            });
            registry.pages.push(pages.collect());
            registry.images.push(images);
        }
        registry
    }

    /// An image as `DescribeImages` tells it. The first are the newest, each a
    /// minute older than the one before; all are older than a day.
    fn image(&mut self, pruning: &Pruning, repository: usize, image: usize) -> (String, String) {
        let digest = digest(repository, image);
        let media_type = match pruning.kind(image) {
            Kind::Index => {
                let children: Vec<Value> = pruning
                    .children(image)
                    .map(|child| json!({"mediaType": MANIFEST, "size": 1234, "digest": self::digest(repository, child)}))
                    .collect();
                let manifest =
                    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
                self.indexes.insert(digest.clone(), manifest.to_string());
                INDEX
            }
            Kind::Single | Kind::Child => MANIFEST,
        };
        let pushed_at = pruning.now - 2 * 86_400 - 60 * i64::try_from(image).unwrap_or(i64::MAX);
        let mut detail = json!({
            "registryId": ACCOUNT,
            "repositoryName": repository_name(repository),
            "imageDigest": digest,
            "imageSizeInBytes": 52_428_800 + image,
            "imagePushedAt": pushed_at,
            "imageManifestMediaType": media_type,
            "artifactMediaType": "application/vnd.oci.image.config.v1+json",
            "imageStatus": "ACTIVE",
            "lastRecordedPullTime": pushed_at + 3600,
        });
        if pruning.kind(image) != Kind::Child {
            detail["imageTags"] = json!([format!("v{image}")]);
        }
        (digest, detail.to_string())
    }

    pub(crate) fn images_left(&self) -> usize {
        self.images.iter().map(Vec::len).sum::<usize>() - self.deleted().len()
    }

    fn deleted(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn answer(&self, operation: &str, asked: &Value) -> Answer {
        match operation {
            "DescribeRepositories" => self.describe_repositories(asked),
            "DescribeImages" => self.describe_images(asked),
            "ListTagsForResource" => Answer::json(&json!({"tags": []})),
            "DescribeRegistry" => Answer::json(&json!({
                "registryId": ACCOUNT,
                "replicationConfiguration": {"rules": []},
            })),
            "DescribePullThroughCacheRules" => Answer::json(&json!({"pullThroughCacheRules": []})),
            "GetRegistryPolicy" => Answer::error("RegistryPolicyNotFoundException", "none"),
            "GetRepositoryPolicy" => Answer::error("RepositoryPolicyNotFoundException", "none"),
            "GetLifecyclePolicy" => Answer::error("LifecyclePolicyNotFoundException", "none"),
            "BatchGetImage" => self.batch_get_image(asked),
            "BatchDeleteImage" => self.batch_delete_image(asked),
            _ => Answer::error("UnknownOperationException", operation),
        }
    }

    fn describe_repositories(&self, asked: &Value) -> Answer {
        let from = offset(asked);
        let size = match page_size(asked, PAGE) {
            Ok(size) => size,
            Err(answer) => return answer,
        };
        let repositories: Vec<Value> = (from..self.repositories.min(from + size))
            .map(|n| {
                let name = repository_name(n);
                json!({
                    "repositoryArn": format!("arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}"),
                    "registryId": ACCOUNT,
                    "repositoryName": name,
                    "repositoryUri": format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}"),
                    "createdAt": 1_700_000_000,
                    "imageTagMutability": "MUTABLE",
                })
            })
            .collect();
        let mut answer = json!({"repositories": repositories});
        if from + size < self.repositories {
            answer["nextToken"] = json!((from + size).to_string());
        }
        Answer::json(&answer)
    }

    fn repository(&self, asked: &Value) -> Option<usize> {
        let name = asked["repositoryName"].as_str()?;
        let number = name.strip_prefix("shop/app-")?.parse().ok()?;
        (number < self.repositories).then_some(number)
    }

    fn describe_images(&self, asked: &Value) -> Answer {
        let Some(repository) = self.repository(asked) else {
            return Answer::error("RepositoryNotFoundException", "no such repository");
        };
        if let Some(ids) = asked["imageIds"].as_array() {
            return self.describe_some(repository, ids);
        }
        let size = match page_size(asked, PAGE) {
            Ok(size) => size,
            Err(answer) => return answer,
        };
        let from = offset(asked);
        if size == PAGE && self.deleted().is_empty() {
            let page = self.pages[repository].get(from / PAGE);
            let empty = Bytes::from_static(br#"{"imageDetails":[]}"#);
            return Answer::body(page.cloned().unwrap_or(empty));
        }
        let deleted = self.deleted();
        let left: Vec<&str> = self.images[repository]
            .iter()
            .filter(|(digest, _)| !deleted.contains(digest))
            .map(|(_, json)| json.as_str())
            .collect();
        let to = left.len().min(from + size);
        let token = if to < left.len() {
            format!(r#","nextToken":"{to}""#)
        } else {
            String::new()
        };
        let page = left.get(from..to).unwrap_or_default().join(",");
        Answer::body(format!(r#"{{"imageDetails":[{page}]{token}}}"#))
    }

    fn describe_some(&self, repository: usize, ids: &[Value]) -> Answer {
        if ids.len() > BATCH {
            return Answer::error("InvalidParameterException", "at most 100 image ids");
        }
        let wanted: HashSet<&str> = ids
            .iter()
            .filter_map(|id| id["imageDigest"].as_str())
            .collect();
        let deleted = self.deleted();
        let found: Vec<&str> = self.images[repository]
            .iter()
            .filter(|(digest, _)| wanted.contains(digest.as_str()) && !deleted.contains(digest))
            .map(|(_, json)| json.as_str())
            .collect();
        if found.len() < wanted.len() {
            return Answer::error("ImageNotFoundException", "an image is not there");
        }
        Answer::body(format!(r#"{{"imageDetails":[{}]}}"#, found.join(",")))
    }

    fn batch_get_image(&self, asked: &Value) -> Answer {
        let ids = asked["imageIds"].as_array().cloned().unwrap_or_default();
        if ids.len() > BATCH {
            return Answer::error("InvalidParameterException", "at most 100 image ids");
        }
        let images: Vec<Value> = ids
            .iter()
            .filter_map(|id| {
                let digest = id["imageDigest"].as_str()?;
                let manifest = self.indexes.get(digest)?;
                Some(json!({
                    "registryId": ACCOUNT,
                    "repositoryName": asked["repositoryName"],
                    "imageId": {"imageDigest": digest},
                    "imageManifest": manifest,
                    "imageManifestMediaType": INDEX,
                }))
            })
            .collect();
        Answer::json(&json!({"images": images, "failures": []}))
    }

    fn batch_delete_image(&self, asked: &Value) -> Answer {
        let ids = asked["imageIds"].as_array().cloned().unwrap_or_default();
        if ids.len() > BATCH {
            return Answer::error("InvalidParameterException", "at most 100 image ids");
        }
        let mut deleted = self.deleted();
        deleted.extend(
            ids.iter()
                .filter_map(|id| id["imageDigest"].as_str().map(str::to_owned)),
        );
        Answer::json(&json!({"imageIds": ids, "failures": []}))
    }
}

/// What an image is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An image for one platform.
    Single,
    /// An index that lists the images after it.
    Index,
    /// One of these.
    Child,
}

pub(crate) fn offset(asked: &Value) -> usize {
    let token = asked["nextToken"].as_str().unwrap_or_default();
    token.parse().unwrap_or(0)
}

/// The page size asked for, or the default of 100.
pub(crate) fn page_size(asked: &Value, most: usize) -> Result<usize, Answer> {
    let size = asked["maxResults"].as_u64().unwrap_or(100.min(most as u64));
    match usize::try_from(size) {
        Ok(size) if (1..=most).contains(&size) => Ok(size),
        _ => Err(Answer::error(
            "InvalidParameterException",
            "maxResults is out of bounds",
        )),
    }
}
