//! What snapshot-rotation does to AWS, as data.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use steward::engine::{ActionView, Elsewhere};

use crate::names;
use crate::world::{Place, Progress, World};

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
    /// Deletes a snapshot.
    DeleteSnapshot(Deletion),
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

/// Every action kind, for the contract section of the README.
pub const ACTION_KINDS: &[&str] = &[
    "create_snapshot",
    "tag_snapshot",
    "share_snapshot",
    "copy_snapshot",
    "delete_snapshot",
];

impl Action {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::CreateSnapshot(_) => "create_snapshot",
            Self::TagSnapshot(_) => "tag_snapshot",
            Self::ShareSnapshot(_) => "share_snapshot",
            Self::CopySnapshot(_) => "copy_snapshot",
            Self::DeleteSnapshot(_) => "delete_snapshot",
        }
    }

    /// The snapshot that it is about.
    pub fn subject(&self) -> &Subject {
        match self {
            Self::CreateSnapshot(creation) => &creation.of,
            Self::TagSnapshot(tagging) => &tagging.of,
            Self::ShareSnapshot(sharing) => &sharing.of,
            Self::CopySnapshot(copying) => &copying.of,
            Self::DeleteSnapshot(deletion) => &deletion.of,
        }
    }

    /// How a plan names what changes. Of one snapshot several things can change.
    pub(crate) fn target(&self) -> String {
        let snapshot = self.subject().target();
        match self {
            Self::CreateSnapshot(_) | Self::CopySnapshot(_) | Self::DeleteSnapshot(_) => snapshot,
            Self::TagSnapshot(_) => format!("{snapshot} tags"),
            Self::ShareSnapshot(_) => format!("{snapshot} shares"),
        }
    }
}

/// Whether the world already is as the action would leave it.
pub(crate) fn achieved(action: &Action, world: &World) -> bool {
    let of = action.subject();
    let snapshot = world.snapshot(&of.place, &of.snapshot);
    match action {
        Action::CreateSnapshot(_) | Action::CopySnapshot(_) => snapshot.is_some_and(|snapshot| {
            let own = snapshot.made_for(of.place == world.home);
            let lives = !matches!(
                snapshot.progress,
                Progress::Broken { .. } | Progress::Deleting
            );
            own == Some(&of.resource_id) && lives
        }),
        Action::TagSnapshot(tagging) => snapshot.is_some_and(|snapshot| {
            snapshot.tags.get(names::TAKEN_AT) == Some(&tagging.taken_at.to_string())
        }),
        Action::ShareSnapshot(sharing) => snapshot
            .and_then(|snapshot| snapshot.shared_with.as_ref())
            .is_some_and(|accounts| accounts.is_superset(&sharing.accounts)),
        // Only a complete listing can show that it is gone.
        Action::DeleteSnapshot(_) => {
            let holdings = world.places.get(&of.place);
            snapshot.is_none() && holdings.is_some_and(|holdings| holdings.complete)
        }
    }
}

pub(crate) fn view(action: &Action) -> ActionView {
    let of = action.subject();
    let mut detail = Map::new();
    let mut put = |key: &str, value: Value| detail.insert(key.to_owned(), value);
    put("snapshot", json!(of.snapshot));
    put("database", json!(of.database));
    put("resource_id", json!(of.resource_id));
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
    }
    ActionView {
        target: action.target(),
        unit: of.unit(),
        resource: of.target(),
        detail,
        elsewhere: Some(Elsewhere {
            account: of.place.account.clone(),
            region: of.place.region.clone(),
        }),
    }
}
