//! What image-pruning does to AWS, as data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use steward::engine::ActionView;

use crate::world::{Digest, Image, World};

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Deletes one image with all its tags.
    DeleteImage(Removal),
    /// Moves one image to the archive storage class. Its tags stay with it.
    ArchiveImage(Removal),
}

/// The image as it was when its removal was decided. One that has got another
/// tag since, or has been archived or restored, is another case, and has to be
/// decided again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    /// The repository.
    pub repository: String,
    /// The image.
    pub digest: Digest,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// When it was pushed.
    pub pushed_at: Option<Timestamp>,
    /// Its compressed size as ECR counts it; `None` for an index, whose size is
    /// that of the largest image that it lists, which is counted by itself.
    pub size_bytes: Option<u64>,
    /// When it was archived; `None` for one that can be pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
}

/// Every action kind, for the contract section of the README.
pub const ACTION_KINDS: &[&str] = &["delete_image", "archive_image"];

impl Action {
    /// The image that it is about.
    pub fn removal(&self) -> &Removal {
        match self {
            Self::DeleteImage(removal) | Self::ArchiveImage(removal) => removal,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::DeleteImage(_) => "delete_image",
            Self::ArchiveImage(_) => "archive_image",
        }
    }
}

/// How a plan names an image.
pub(crate) fn target(repository: &str, digest: &Digest) -> String {
    format!("{repository}@{digest}")
}

/// Gone already, which only a complete reading of its repository can show; or
/// in the archive. What was to be archived and is gone is not achieved: a person
/// would look for it there.
pub(crate) fn achieved(action: &Action, world: &World) -> bool {
    let removal = action.removal();
    let Some(repository) = world.repositories.get(&removal.repository) else {
        return false;
    };
    let image = repository.images.get(&removal.digest);
    match action {
        Action::DeleteImage(_) => repository.complete && image.is_none(),
        Action::ArchiveImage(_) => image.is_some_and(Image::is_archived),
    }
}

pub(crate) fn view(action: &Action) -> ActionView {
    let removal = action.removal();
    let target = target(&removal.repository, &removal.digest);
    let mut detail = Map::new();
    detail.insert("repository".to_owned(), json!(removal.repository));
    detail.insert("digest".to_owned(), json!(removal.digest));
    detail.insert("tags".to_owned(), json!(removal.tags));
    detail.insert("pushed_at".to_owned(), json!(removal.pushed_at));
    detail.insert("size_bytes".to_owned(), json!(removal.size_bytes));
    if let Some(archived_at) = removal.archived_at {
        detail.insert("archived_at".to_owned(), json!(archived_at));
    }
    ActionView {
        resource: target.clone(),
        target,
        unit: removal.repository.clone(),
        detail,
        elsewhere: None,
    }
}
