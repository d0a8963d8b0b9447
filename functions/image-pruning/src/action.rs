//! The one thing that image-pruning does to AWS, as data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use steward::engine::ActionView;

use crate::world::{Digest, World};

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Deletes one image with all its tags.
    DeleteImage(DeleteImage),
}

/// The image as it was when its deletion was decided. One that has got another
/// tag since is another case, and has to be decided again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteImage {
    /// The repository.
    pub repository: String,
    /// The image.
    pub digest: Digest,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// When it was pushed.
    pub pushed_at: Option<Timestamp>,
    /// Its compressed size as ECR counts it.
    pub size_bytes: Option<u64>,
}

/// Every action kind, for the contract section of the README.
pub const ACTION_KINDS: &[&str] = &["delete_image"];

/// How a plan names an image.
pub(crate) fn target(repository: &str, digest: &Digest) -> String {
    format!("{repository}@{digest}")
}

/// Gone already, which only a complete reading of its repository can show.
pub(crate) fn achieved(Action::DeleteImage(image): &Action, world: &World) -> bool {
    world
        .repositories
        .get(&image.repository)
        .is_some_and(|repository| {
            repository.complete && !repository.images.contains_key(&image.digest)
        })
}

pub(crate) fn view(Action::DeleteImage(image): &Action) -> ActionView {
    let target = target(&image.repository, &image.digest);
    let mut detail = Map::new();
    detail.insert("repository".to_owned(), json!(image.repository));
    detail.insert("digest".to_owned(), json!(image.digest));
    detail.insert("tags".to_owned(), json!(image.tags));
    detail.insert("pushed_at".to_owned(), json!(image.pushed_at));
    detail.insert("size_bytes".to_owned(), json!(image.size_bytes));
    ActionView {
        kind: "delete_image",
        resource: target.clone(),
        target,
        unit: image.repository.clone(),
        detail,
    }
}
