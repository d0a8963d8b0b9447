//! The documents that tie together what a recovery needs: a restore point for
//! each snapshot of a database, and a recipe for each environment.
//!
//! snapshot-rotation writes them, dr-restore follows them, and image-pruning
//! keeps the images that they name. They never hold the value of a secret, but
//! task definitions may have plain-text values in them: a document's text is a
//! [`SecretString`] wherever it travels, `Debug` shows nothing of its content,
//! and no error quotes any of it. Their JSON Schemas are
//! `shared/schema/restore-point.schema.json` and `recipe.schema.json`.

mod application;
mod database;

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::application::{
    Application, AsAnswered, Image, Parameter, Release, Scaling, Secret, TargetGroup,
};
pub use self::database::{
    ActivityStream, AdditionalVolume, AssociatedRole, Database, DbOption, DbParameter, Domain,
    MasterUserSecret, OptionGroup, ParameterGroup, Subnet, SubnetGroup,
};
use crate::digest;

/// The version of the shape of these documents.
pub const SCHEMA_VERSION: u32 = 1;

/// The largest document that is written and read, in bytes. The largest task
/// definition is 64 KiB ("Amazon ECS service quotas"), and a document holds few.
pub const MAX_BYTES: i64 = 4 * 1024 * 1024;

/// What ends the key of a document that is complete.
const COMPLETE: &str = ".json";

/// What ends the key of one that lacks something.
const INCOMPLETE: &str = ".incomplete.json";

/// What a restore from one snapshot needs beside the snapshot.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RestorePoint {
    /// Of this shape: 1.
    #[schemars(extend("const" = 1))]
    pub schema_version: u32,
    /// `restore_point`.
    pub kind: RestorePointKind,
    /// When this was read. RFC 3339.
    #[schemars(with = "String")]
    pub recorded_at: Timestamp,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Its copies, wanted ones included: a copy may still be on its way.
    pub copies: Vec<SnapshotCopy>,
    /// The settings that a restore does not bring back; absent when they could
    /// not be read.
    pub database: Option<Database>,
    /// What uses the database.
    pub applications: Vec<Application>,
    /// Every image of every application.
    pub images: Vec<Image>,
    /// What could not be read, a sentence each. Empty when nothing is missing.
    pub incomplete: Vec<String>,
}

/// What a recovery of an environment to any point in time needs.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recipe {
    /// Of this shape: 1.
    #[schemars(extend("const" = 1))]
    pub schema_version: u32,
    /// `recipe`.
    pub kind: RecipeKind,
    /// When this was read. RFC 3339.
    #[schemars(with = "String")]
    pub recorded_at: Timestamp,
    /// Its name: the value of the tag `steward:environment`.
    pub environment: String,
    /// Whose it is (12 digits).
    pub account: String,
    /// Where it is.
    pub region: String,
    /// Its databases.
    pub databases: Vec<Database>,
    /// What uses them.
    pub applications: Vec<Application>,
    /// Every image of every application.
    pub images: Vec<Image>,
    /// What could not be read, a sentence each. Empty when nothing is missing.
    pub incomplete: Vec<String>,
}

/// The kind of a restore point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestorePointKind {
    /// The only one.
    #[default]
    RestorePoint,
}

/// The kind of a recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecipeKind {
    /// The only one.
    #[default]
    Recipe,
}

/// A snapshot of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// `DBSnapshotIdentifier`, which its copies have too.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Whose it is (12 digits).
    pub account: String,
    /// Where it is.
    pub region: String,
    /// `DBInstanceIdentifier` of the database.
    pub database_identifier: String,
    /// `DbiResourceId` of the database, which no other database ever has.
    pub resource_id: String,
    /// When its data was taken. RFC 3339.
    #[schemars(with = "String")]
    pub taken_at: Timestamp,
    /// `Engine`, such as `postgres`.
    pub engine: String,
    /// `EngineVersion`.
    pub engine_version: String,
    /// Whether it is encrypted; absent when RDS does not tell.
    pub encrypted: Option<bool>,
    /// The KMS key that it is encrypted with.
    pub kms_key_id: Option<String>,
    /// `AllocatedStorage`, in GiB: a restore has at least as much.
    pub allocated_storage: Option<i32>,
    /// `FullSnapshotSizeInBytes`, once RDS has counted it.
    pub full_snapshot_size_in_bytes: Option<i64>,
}

/// A copy of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotCopy {
    /// Its ARN.
    pub arn: String,
    /// Whose it is (12 digits).
    pub account: String,
    /// Where it is.
    pub region: String,
    /// The KMS key that it is encrypted with, as the policy names it.
    pub kms_key_id: Option<String>,
}

/// A document of either kind.
#[derive(Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Document {
    /// Of one snapshot.
    RestorePoint(Box<RestorePoint>),
    /// Of one environment.
    Recipe(Box<Recipe>),
}

/// A text that is no document. Nothing of the text is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON of the shape.
    #[error("it is no document of the published shape (line {line}, column {column})")]
    Shape {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// It is of another version, or of none.
    #[error("its schema_version is not {SCHEMA_VERSION}")]
    Version,
    /// It is of no kind that there is.
    #[error("its kind is neither restore_point nor recipe")]
    Kind,
    /// It is larger than [`MAX_BYTES`].
    #[error("it has {0} bytes, and {MAX_BYTES} are allowed")]
    TooLarge(usize),
}

impl From<serde_json::Error> for DocumentError {
    fn from(error: serde_json::Error) -> Self {
        Self::Shape {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// What tells a document's version and kind, before the rest is read.
#[derive(Deserialize)]
struct Head {
    schema_version: Option<Value>,
    kind: Option<Value>,
}

impl Document {
    /// Reads a document. Keys that are not known are ignored.
    ///
    /// # Errors
    /// [`DocumentError`], which says where and never what is written there.
    pub fn parse(text: &SecretString) -> Result<Self, DocumentError> {
        let text = text.expose_secret();
        let head: Head = serde_json::from_str(text)?;
        if head.schema_version.and_then(|version| version.as_u64())
            != Some(u64::from(SCHEMA_VERSION))
        {
            return Err(DocumentError::Version);
        }
        match head.kind.as_ref().and_then(Value::as_str) {
            Some("restore_point") => Ok(Self::RestorePoint(serde_json::from_str(text)?)),
            Some("recipe") => Ok(Self::Recipe(serde_json::from_str(text)?)),
            _ => Err(DocumentError::Kind),
        }
    }

    /// The document as it is stored.
    ///
    /// # Errors
    /// [`DocumentError::TooLarge`]: nobody would read it.
    pub fn text(&self) -> Result<SecretString, DocumentError> {
        let text = serde_json::to_string_pretty(self)?;
        if i64::try_from(text.len()).is_ok_and(|bytes| bytes <= MAX_BYTES) {
            Ok(SecretString::from(text))
        } else {
            Err(DocumentError::TooLarge(text.len()))
        }
    }

    /// `sha256:` of everything but when it was recorded, and how many tasks a
    /// service runs that is scaled, by which a change is told from another reading
    /// of the same.
    pub fn content_digest(&self) -> String {
        // Every key of a document is text, which is all that could fail.
        let mut content = serde_json::to_value(self).unwrap_or_default();
        if let Some(keys) = content.as_object_mut() {
            keys.remove("recorded_at");
            let applications = keys.get_mut("applications");
            for each in applications
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                let is_scaled = !each["scaling"]["targets"]
                    .as_array()
                    .is_none_or(Vec::is_empty);
                let settings = each["service_settings"].as_object_mut();
                if let Some(settings) = settings.filter(|_| is_scaled) {
                    settings.remove("desiredCount");
                }
            }
        }
        digest::sha256_of(&content)
    }

    /// Whose environment or database it is of: `ACCOUNT/REGION`.
    pub fn of(&self) -> String {
        let (account, region) = match self {
            Self::RestorePoint(document) => (&document.snapshot.account, &document.snapshot.region),
            Self::Recipe(document) => (&document.account, &document.region),
        };
        format!("{account}/{region}")
    }

    /// What could not be read.
    pub fn incomplete(&self) -> &[String] {
        match self {
            Self::RestorePoint(document) => &document.incomplete,
            Self::Recipe(document) => &document.incomplete,
        }
    }

    /// The images that it names.
    pub fn images(&self) -> &[Image] {
        match self {
            Self::RestorePoint(document) => &document.images,
            Self::Recipe(document) => &document.images,
        }
    }

    /// Where it belongs in its bucket. One that lacks something has a key of its
    /// own, until a complete one replaces it.
    pub fn key(&self) -> String {
        let complete = self.incomplete().is_empty();
        match self {
            Self::RestorePoint(document) => restore_point_key(
                &document.snapshot.database_identifier,
                &document.snapshot.resource_id,
                &document.snapshot.id,
                complete,
            ),
            Self::Recipe(document) => recipe_key(&document.environment, complete),
        }
    }
}

/// The key of a snapshot's restore point.
pub fn restore_point_key(
    database_identifier: &str,
    resource_id: &str,
    snapshot_id: &str,
    complete: bool,
) -> String {
    let end = if complete { COMPLETE } else { INCOMPLETE };
    format!("restore-points/{database_identifier}/{resource_id}/{snapshot_id}{end}")
}

/// The key of an environment's recipe.
pub fn recipe_key(environment: &str, complete: bool) -> String {
    let end = if complete { COMPLETE } else { INCOMPLETE };
    format!("recipes/{environment}{end}")
}

/// The JSON Schema of restore points.
pub fn restore_point_schema() -> schemars::Schema {
    schemars::schema_for!(RestorePoint)
}

/// The JSON Schema of recipes.
pub fn recipe_schema() -> schemars::Schema {
    schemars::schema_for!(Recipe)
}

impl fmt::Debug for RestorePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestorePoint")
            .field("snapshot", &self.snapshot.arn)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RestorePoint(document) => document.fmt(f),
            Self::Recipe(document) => document.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
