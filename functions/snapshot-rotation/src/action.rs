//! What snapshot-rotation does to AWS, as data.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use steward::engine::{ActionView, Elsewhere};

use crate::world::{Place, Progress, World};
use steward::names;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes a snapshot of a database.
    CreateSnapshot(Creation),
    /// Writes on a snapshot when its data was taken.
    TagSnapshot(Tagging),
    /// Lets other accounts copy and restore a snapshot.
    ShareSnapshot(Sharing),
    /// Copies a snapshot to another Region or account.
    CopySnapshot(Copying),
    /// Writes the document of a snapshot.
    WriteRestorePoint(Writing),
    /// Writes the recipe of an environment.
    WriteRecipe(RecipeWriting),
    /// Deletes a snapshot.
    DeleteSnapshot(Deletion),
    /// Deletes a document.
    DeleteDocument(DocumentDeletion),
}

/// Which snapshot, of which database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Where the snapshot is or will be.
    pub place: Place,
    /// Its identifier.
    pub snapshot: String,
    /// The identifier of its database.
    pub database: String,
    /// The resource id of its database.
    pub resource_id: String,
}

impl Subject {
    fn unit(&self) -> String {
        self.place.unit(&self.database, &self.resource_id)
    }

    pub(crate) fn target(&self) -> String {
        self.place.target(&self.snapshot)
    }
}

/// See [`Action::CreateSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Creation {
    /// The snapshot to be.
    pub of: Subject,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// See [`Action::TagSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tagging {
    /// The snapshot.
    pub of: Subject,
    /// Its ARN.
    pub arn: String,
    /// When its data was taken.
    pub taken_at: Timestamp,
}

/// See [`Action::ShareSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharing {
    /// The snapshot.
    pub of: Subject,
    /// The accounts that are added.
    pub accounts: BTreeSet<String>,
}

/// See [`Action::CopySnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copying {
    /// The copy to be.
    pub of: Subject,
    /// The ARN of what is copied.
    pub source_arn: String,
    /// The key of the copy: an ARN, id or alias of the place that it goes to.
    /// `None` for one that is not encrypted.
    pub kms_key_id: Option<String>,
    /// The option group of the copy, where its source's is no default one.
    pub option_group: Option<String>,
    /// All of its tags.
    pub tags: BTreeMap<String, String>,
}

/// See [`Action::DeleteSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// The snapshot.
    pub of: Subject,
    /// When it was made or copied; with the name, this is what it is.
    pub created_at: Option<Timestamp>,
    /// When its data was taken.
    pub taken_at: Option<Timestamp>,
    /// Whether it goes although it may be the last, because its database is gone
    /// and a person said so.
    pub retired: bool,
}

/// See [`Action::WriteRestorePoint`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writing {
    /// The snapshot that it is of, where the document goes.
    pub of: Subject,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The digest of its content, which may hold what no plan may; `None` for the
    /// same as another.
    pub content_digest: Option<String>,
    /// The bucket beside the database from which the same document is taken;
    /// `None` writes the first one.
    pub same_as: Option<String>,
}

/// See [`Action::WriteRecipe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeWriting {
    /// Where.
    pub place: Place,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Of which environment.
    pub environment: String,
    /// The digest of its content, which may hold what no plan may.
    pub content_digest: String,
}

/// See [`Action::DeleteDocument`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentDeletion {
    /// Where.
    pub place: Place,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The snapshot that it was about; `None` for a recipe.
    pub snapshot: Option<String>,
    /// How guards name what it was about.
    pub unit: String,
}

/// Every action kind, for the contract section of the README.
pub const ACTION_KINDS: &[&str] = &[
    "create_snapshot",
    "tag_snapshot",
    "share_snapshot",
    "copy_snapshot",
    "write_restore_point",
    "write_recipe",
    "delete_snapshot",
    "delete_document",
];

impl Action {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::CreateSnapshot(_) => "create_snapshot",
            Self::TagSnapshot(_) => "tag_snapshot",
            Self::ShareSnapshot(_) => "share_snapshot",
            Self::CopySnapshot(_) => "copy_snapshot",
            Self::WriteRestorePoint(_) => "write_restore_point",
            Self::WriteRecipe(_) => "write_recipe",
            Self::DeleteSnapshot(_) => "delete_snapshot",
            Self::DeleteDocument(_) => "delete_document",
        }
    }

    /// The snapshot that it is about; `None` where it is about a document alone.
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::CreateSnapshot(creation) => Some(&creation.of),
            Self::TagSnapshot(tagging) => Some(&tagging.of),
            Self::ShareSnapshot(sharing) => Some(&sharing.of),
            Self::CopySnapshot(copying) => Some(&copying.of),
            Self::WriteRestorePoint(writing) => Some(&writing.of),
            Self::DeleteSnapshot(deletion) => Some(&deletion.of),
            Self::WriteRecipe(_) | Self::DeleteDocument(_) => None,
        }
    }

    /// Where it changes something.
    pub fn place(&self) -> &Place {
        match self {
            Self::CreateSnapshot(creation) => &creation.of.place,
            Self::TagSnapshot(tagging) => &tagging.of.place,
            Self::ShareSnapshot(sharing) => &sharing.of.place,
            Self::CopySnapshot(copying) => &copying.of.place,
            Self::WriteRestorePoint(writing) => &writing.of.place,
            Self::WriteRecipe(writing) => &writing.place,
            Self::DeleteSnapshot(deletion) => &deletion.of.place,
            Self::DeleteDocument(deletion) => &deletion.place,
        }
    }

    /// How a plan names what changes. Of one snapshot several things can change.
    pub(crate) fn target(&self) -> String {
        match self {
            Self::CreateSnapshot(Creation { of, .. })
            | Self::CopySnapshot(Copying { of, .. })
            | Self::DeleteSnapshot(Deletion { of, .. }) => of.target(),
            Self::TagSnapshot(tagging) => format!("{} tags", tagging.of.target()),
            Self::ShareSnapshot(sharing) => format!("{} shares", sharing.of.target()),
            Self::WriteRestorePoint(Writing { bucket, key, .. })
            | Self::WriteRecipe(RecipeWriting { bucket, key, .. })
            | Self::DeleteDocument(DocumentDeletion { bucket, key, .. }) => {
                format!("s3://{bucket}/{key}")
            }
        }
    }

    fn unit(&self) -> String {
        match self {
            Self::WriteRecipe(writing) => recipe_unit(&writing.place, &writing.environment),
            Self::DeleteDocument(deletion) => deletion.unit.clone(),
            other => other.subject().map(Subject::unit).unwrap_or_default(),
        }
    }
}

/// How guards name the recipe of an environment in a place.
pub(crate) fn recipe_unit(place: &Place, environment: &str) -> String {
    place.unit(environment, "recipe")
}

/// Whether the world already is as the action would leave it.
pub(crate) fn achieved(action: &Action, world: &World) -> bool {
    let holdings = world.places.get(action.place());
    let documents = holdings.and_then(|holdings| holdings.documents.as_ref());
    let of = |of: &Subject| world.snapshot(&of.place, &of.snapshot);
    match action {
        Action::CreateSnapshot(Creation { of: wanted, .. })
        | Action::CopySnapshot(Copying { of: wanted, .. }) => of(wanted).is_some_and(|snapshot| {
            let own = world.made_for(&wanted.place, snapshot);
            let lives = !matches!(
                snapshot.progress,
                Progress::Broken { .. } | Progress::Deleting
            );
            own == Some(&wanted.resource_id) && lives
        }),
        Action::TagSnapshot(tagging) => of(&tagging.of).is_some_and(|snapshot| {
            snapshot.tags.get(names::TAKEN_AT) == Some(&tagging.taken_at.to_string())
        }),
        Action::ShareSnapshot(sharing) => of(&sharing.of)
            .and_then(|snapshot| snapshot.shared_with.as_ref())
            .is_some_and(|accounts| accounts.is_superset(&sharing.accounts)),
        Action::WriteRestorePoint(writing) => {
            documents.is_some_and(|documents| documents.keys.contains(&writing.key))
        }
        Action::WriteRecipe(writing) => documents
            .and_then(|documents| documents.recipes.get(&writing.key))
            .and_then(|written| written.content_digest.as_ref())
            .is_some_and(|digest| *digest == writing.content_digest),
        // Only a complete listing can show that it is gone.
        Action::DeleteSnapshot(deletion) => {
            of(&deletion.of).is_none() && holdings.is_some_and(|holdings| holdings.complete)
        }
        Action::DeleteDocument(deletion) => {
            documents.is_some_and(|documents| !documents.keys.contains(&deletion.key))
        }
    }
}

pub(crate) fn view(action: &Action) -> ActionView {
    let mut detail = Map::new();
    let mut put = |key: &str, value: Value| detail.insert(key.to_owned(), value);
    if let Some(of) = action.subject() {
        put("snapshot", json!(of.snapshot));
        put("database", json!(of.database));
        put("resource_id", json!(of.resource_id));
    }
    match action {
        Action::CreateSnapshot(_) => {}
        Action::TagSnapshot(tagging) => {
            put("taken_at", json!(tagging.taken_at));
        }
        Action::ShareSnapshot(sharing) => {
            put("accounts", json!(sharing.accounts));
        }
        Action::CopySnapshot(copying) => {
            put("source", json!(copying.source_arn));
            put("kms_key_id", json!(copying.kms_key_id));
            if let Some(group) = &copying.option_group {
                put("option_group", json!(group));
            }
        }
        Action::DeleteSnapshot(deletion) => {
            put("taken_at", json!(deletion.taken_at));
            put("created_at", json!(deletion.created_at));
        }
        Action::WriteRestorePoint(writing) => {
            put("content_digest", json!(writing.content_digest));
        }
        Action::WriteRecipe(writing) => {
            put("environment", json!(writing.environment));
            put("content_digest", json!(writing.content_digest));
        }
        Action::DeleteDocument(deletion) => {
            put("snapshot", json!(deletion.snapshot));
        }
    }
    let resource = match action {
        Action::TagSnapshot(_) | Action::ShareSnapshot(_) => {
            action.subject().map(Subject::target).unwrap_or_default()
        }
        other => other.target(),
    };
    ActionView {
        target: action.target(),
        unit: action.unit(),
        resource,
        detail,
        elsewhere: Some(Elsewhere {
            account: action.place().account.clone(),
            region: action.place().region.clone(),
        }),
    }
}
