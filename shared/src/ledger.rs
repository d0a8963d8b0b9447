//! The ledger: what AWS itself cannot remember for Steward, in a table of
//! DynamoDB. Sizes that were lowered, the last transition of an environment,
//! overrides, leases that expire, temporary raises.
//!
//! Every write is conditional on what the writer has seen, so that of two
//! writers one wins and the other is told ([`LedgerError::Changed`]), and an
//! answer that was lost is no lost race. The ledger must never write without a
//! condition, never take a read that failed for an entry that is absent, and
//! never hold a secret: whoever may read the table reads all of it.
//!
//! Keys of the table: `pk` ([`Key::partition`]) and `sk` ([`Key::sort`]), both
//! texts. Attributes: `body` (JSON as text), `version`, and `expires_at`, which
//! is the table's time-to-live attribute: seconds since 1970. DynamoDB deletes
//! late, "typically within a few days of their expiration" ("Using time to live
//! (TTL) in DynamoDB", Amazon DynamoDB Developer Guide), so that everything
//! here takes `now` and counts what has expired as gone.

mod lease;
mod raise;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::lease::{Lease, holder};
pub use self::raise::{RAISES, Raise, Sizes};
use crate::aws;
use crate::engine::Outcome;

/// The name of the table where no other is given.
pub const TABLE: &str = "steward-ledger";

const PARTITION: &str = "pk";
const SORT: &str = "sk";
const BODY: &str = "body";
const VERSION: &str = "version";
const EXPIRES_AT: &str = "expires_at";

const QUERY: &str = "dynamodb:Query";
const GET: &str = "dynamodb:GetItem";
const PUT: &str = "dynamodb:PutItem";
const DELETE: &str = "dynamodb:DeleteItem";

type Item = HashMap<String, AttributeValue>;

/// Which table, and whether it has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerTable {
    /// It was deployed, or named by a person.
    Required(String),
    /// For a run by hand, in an account that may have no ledger.
    IfThere(String),
}

impl LedgerTable {
    /// The one that is deployed under the usual name.
    pub fn usual() -> Self {
        Self::Required(TABLE.to_owned())
    }

    /// The name of the table.
    pub fn name(&self) -> &str {
        match self {
            Self::Required(name) | Self::IfThere(name) => name,
        }
    }
}

/// Where an entry is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whose entries these are: the name of a function, or [`RAISES`]. Roles are
    /// given partitions (`dynamodb:LeadingKeys`).
    pub partition: String,
    /// Unique in the partition; entries are listed in its order. Never empty.
    pub sort: String,
}

impl Key {
    /// The key of these two.
    pub fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self {
            partition: partition.into(),
            sort: sort.into(),
        }
    }

    fn attributes(&self) -> Item {
        Item::from([
            (
                PARTITION.to_owned(),
                AttributeValue::S(self.partition.clone()),
            ),
            (SORT.to_owned(), AttributeValue::S(self.sort.clone())),
        ])
    }

    fn of(item: &Item) -> Self {
        let text = |name| item.get(name).and_then(|value| value.as_s().ok());
        let text = |name| text(name).cloned().unwrap_or_default();
        Self::new(text(PARTITION), text(SORT))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.sort)
    }
}

/// One entry, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it is.
    pub key: Key,
    /// Goes up by one with every write. The first is the time at which the entry
    /// was made, in milliseconds: the version of an entry that is gone does not
    /// come back with a new one of the same key.
    pub version: u64,
    /// From then on it counts as gone; `None` is never. In whole seconds.
    pub expires_at: Option<Timestamp>,
    /// What it says.
    pub body: Value,
}

impl Entry {
    /// What it says, as the type that it was written from.
    ///
    /// # Errors
    /// [`LedgerError::Malformed`] with the place in the body.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, LedgerError> {
        serde_path_to_error::deserialize(&self.body).map_err(|error| LedgerError::Malformed {
            key: self.key.clone(),
            why: format!("{}: {}", error.path(), error.inner()),
        })
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Why the ledger was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Somebody else has written, made or removed the entry in between.
    #[error("ledger entry {key} was changed by another run in between")]
    Changed {
        /// Which entry.
        key: Key,
    },
    /// Somebody else has the lease.
    #[error("{by} has it until {until}")]
    Held {
        /// Whoever has it, as it calls itself.
        by: String,
        /// Until then, unless it is given back or renewed.
        until: Timestamp,
    },
    /// There is no such table (`ResourceNotFoundException`).
    #[error("there is no ledger: table {table} does not exist")]
    NoTable {
        /// Its name.
        table: String,
    },
    /// A call failed. A write may have been made all the same.
    #[error("{action} of table {table} failed: {why}")]
    Failed {
        /// The IAM action that the call takes.
        action: &'static str,
        /// The table.
        table: String,
        /// What kind of failure it is.
        kind: aws::ErrorKind,
        /// AWS's code and message, or the whole cause chain.
        why: String,
    },
    /// An entry is not what this ledger writes, or cannot be written as JSON.
    #[error("ledger entry {key} cannot be used: {why}")]
    Malformed {
        /// Which entry.
        key: Key,
        /// What is wrong with it.
        why: String,
    },
}

/// What becomes of an action that the ledger ends: another run was faster, or it failed.
impl From<LedgerError> for Outcome {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Changed { .. } | LedgerError::Held { .. } => {
                Self::Skipped(error.to_string())
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The ledger. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
    table: LedgerTable,
}

impl Ledger {
    /// The ledger in the account and Region of this configuration.
    pub fn new(config: &SdkConfig, table: LedgerTable) -> Self {
        Self {
            client: Client::new(config),
            table,
        }
    }

    /// Whether [`LedgerError::NoTable`] only means that there is none here.
    pub fn may_be_missing(&self) -> bool {
        matches!(self.table, LedgerTable::IfThere(_))
    }

    /// The name of its table.
    pub fn table(&self) -> &str {
        self.table.name()
    }

    /// The entries of a partition whose sort keys begin like this, in the order
    /// of these; all of the partition when it is empty. What has expired by `now`
    /// is left out.
    ///
    /// # Errors
    /// Everything but [`LedgerError::Changed`] and [`LedgerError::Held`]: one page
    /// that fails or one entry that cannot be understood, and there is no answer.
    pub async fn entries(
        &self,
        partition: &str,
        begins_with: &str,
        now: Timestamp,
    ) -> Result<Vec<Entry>, LedgerError> {
        let query = self
            .client
            .query()
            .table_name(self.table())
            .consistent_read(true)
            .expression_attribute_names("#partition", PARTITION)
            .expression_attribute_values(":partition", AttributeValue::S(partition.to_owned()));
        // "The AttributeValue for a key attribute cannot contain an empty string
        // value", says DynamoDB.
        let query = match begins_with {
            "" => query.key_condition_expression("#partition = :partition"),
            start => query
                .key_condition_expression("#partition = :partition AND begins_with(#sort, :start)")
                .expression_attribute_names("#sort", SORT)
                .expression_attribute_values(":start", AttributeValue::S(start.to_owned())),
        };
        let pages = query.into_paginator().send();
        let (items, incomplete) =
            aws::read_pages(pages, |page| (page.items, page.last_evaluated_key)).await;
        match incomplete {
            None => {}
            Some(aws::Incomplete::Failed(error)) => return Err(self.failed(QUERY, &error)),
            Some(other) => return Err(self.no_answer(QUERY, other.to_string())),
        }
        let mut entries = Vec::new();
        for item in &items {
            let entry = parse_entry(item)?;
            if !entry.has_expired(now) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// One entry; `None` when there is none, or it has expired by `now`.
    ///
    /// # Errors
    /// Everything but [`LedgerError::Changed`] and [`LedgerError::Held`].
    pub async fn entry(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, LedgerError> {
        let request = self
            .client
            .get_item()
            .table_name(self.table())
            .set_key(Some(key.attributes()))
            .consistent_read(true)
            // The answer to a key that is not there has no item in it. With what it
            // cost in it as well, it can be told from an answer that lost its body.
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = request.send().await;
        let answer = answer.map_err(|error| self.failed(GET, &error))?;
        if answer.item().is_none() && answer.consumed_capacity().is_none() {
            return Err(self.no_answer(GET, "the answer has nothing in it".to_owned()));
        }
        let entry = answer.item().map(parse_entry).transpose()?;
        Ok(entry.filter(|entry| !entry.has_expired(now)))
    }

    /// What an entry says, and its version; `None` as for [`Self::entry`].
    ///
    /// # Errors
    /// Those of [`Self::entry`] and [`Entry::parse`].
    pub async fn read<T: DeserializeOwned>(
        &self,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<(T, u64)>, LedgerError> {
        let entry = self.entry(key, now).await?;
        let parse = |entry: Entry| Ok((entry.parse()?, entry.version));
        entry.map(parse).transpose()
    }

    /// Writes an entry, and answers with its new version. `seen` is the version
    /// that the writer has read; with `None` there must be no entry, or one that
    /// has expired by `now`. `expires_at` is rounded up to whole seconds. An item
    /// of DynamoDB has at most 400 KB.
    ///
    /// An SDK tries again when an answer is lost, and then finds its own write:
    /// what is there with this body and the version that this write gives is
    /// taken for it.
    ///
    /// # Errors
    /// [`LedgerError::Changed`] when the entry is not as it was seen, and
    /// everything but [`LedgerError::Held`].
    pub async fn put(
        &self,
        key: &Key,
        body: &impl Serialize,
        expires_at: Option<Timestamp>,
        seen: Option<u64>,
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        let version = match seen {
            Some(seen) => seen.saturating_add(1),
            None => first_version(now),
        };
        let body = text_of(key, body)?;
        let item = item_of(key, body.clone(), expires_at, version);
        let request = self.client.put_item().table_name(self.table());
        let request = match seen {
            Some(seen) => request
                .condition_expression("#version = :seen")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":seen", AttributeValue::N(seen.to_string())),
            None => request
                .condition_expression("attribute_not_exists(#partition) OR #expires_at <= :now")
                .expression_attribute_names("#partition", PARTITION)
                .expression_attribute_names("#expires_at", EXPIRES_AT)
                .expression_attribute_values(":now", seconds(now)),
        };
        let request = request
            .set_item(Some(item))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = request.send().await else {
            return Ok(version);
        };
        let Some(PutItemError::ConditionalCheckFailedException(there)) = error.as_service_error()
        else {
            return Err(self.failed(PUT, &error));
        };
        let is_ours = there.item().is_some_and(|item| {
            item.get(BODY) == Some(&body)
                && item.get(VERSION) == Some(&AttributeValue::N(version.to_string()))
        });
        if is_ours {
            Ok(version)
        } else {
            Err(LedgerError::Changed { key: key.clone() })
        }
    }

    /// Removes an entry of this version; one that is gone already is success.
    ///
    /// # Errors
    /// [`LedgerError::Changed`] when it has another version, and everything but
    /// [`LedgerError::Held`].
    pub async fn remove(&self, key: &Key, seen: u64) -> Result<(), LedgerError> {
        let request = self
            .client
            .delete_item()
            .table_name(self.table())
            .set_key(Some(key.attributes()))
            .condition_expression("attribute_not_exists(#partition) OR #version = :seen")
            .expression_attribute_names("#partition", PARTITION)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":seen", AttributeValue::N(seen.to_string()));
        let Err(error) = request.send().await else {
            return Ok(());
        };
        Err(match error.as_service_error() {
            Some(DeleteItemError::ConditionalCheckFailedException(_)) => {
                LedgerError::Changed { key: key.clone() }
            }
            _ => self.failed(DELETE, &error),
        })
    }

    fn failed(
        &self,
        action: &'static str,
        error: &(impl Error + ProvideErrorMetadata + 'static),
    ) -> LedgerError {
        let table = self.table().to_owned();
        if aws::code(error) == Some("ResourceNotFoundException") {
            return LedgerError::NoTable { table };
        }
        LedgerError::Failed {
            action,
            table,
            kind: aws::kind(error),
            why: aws::explain(error),
        }
    }

    fn no_answer(&self, action: &'static str, why: String) -> LedgerError {
        LedgerError::Failed {
            action,
            table: self.table().to_owned(),
            kind: aws::ErrorKind::Other,
            why,
        }
    }
}

/// A body as the table keeps it.
fn text_of(key: &Key, body: &impl Serialize) -> Result<AttributeValue, LedgerError> {
    let text = serde_json::to_string(body).map_err(|error| LedgerError::Malformed {
        key: key.clone(),
        why: aws::chain(&error),
    })?;
    Ok(AttributeValue::S(text))
}

/// An entry as the table keeps it.
fn item_of(key: &Key, body: AttributeValue, expires_at: Option<Timestamp>, version: u64) -> Item {
    let mut item = key.attributes();
    item.insert(BODY.to_owned(), body);
    item.insert(VERSION.to_owned(), AttributeValue::N(version.to_string()));
    if let Some(at) = expires_at {
        item.insert(EXPIRES_AT.to_owned(), seconds(rounded_up(at)));
    }
    item
}

fn first_version(now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond()).unwrap_or_default()
}

/// Whole seconds since 1970, as the time-to-live attribute has to be.
fn seconds(at: Timestamp) -> AttributeValue {
    AttributeValue::N(at.as_second().to_string())
}

/// What was promised until some instant does not end before it.
fn rounded_up(at: Timestamp) -> Timestamp {
    let up = i64::from(at.subsec_nanosecond() > 0);
    Timestamp::from_second(at.as_second().saturating_add(up)).unwrap_or(Timestamp::MAX)
}

fn parse_entry(item: &Item) -> Result<Entry, LedgerError> {
    let key = Key::of(item);
    let malformed = |why: String| LedgerError::Malformed {
        key: key.clone(),
        why,
    };
    let number = |name: &str| match item.get(name) {
        None => Ok(None),
        Some(AttributeValue::N(number)) => Ok(Some(number)),
        Some(_) => Err(malformed(format!("{name} is no number"))),
    };
    let version = number(VERSION)?
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| malformed(format!("{VERSION} is no whole number")))?;
    let expires_at = match number(EXPIRES_AT)? {
        None => None,
        Some(number) => {
            let at = number.parse().ok();
            let at = at.and_then(|seconds| Timestamp::from_second(seconds).ok());
            Some(at.ok_or_else(|| malformed(format!("{EXPIRES_AT} is no time in seconds")))?)
        }
    };
    let body = item.get(BODY).and_then(|body| body.as_s().ok());
    let body = body.ok_or_else(|| malformed(format!("{BODY} is no text")))?;
    let body = serde_json::from_str(body)
        .map_err(|error| malformed(format!("{BODY} is no JSON: {error}")))?;
    Ok(Entry {
        key,
        version,
        expires_at,
        body,
    })
}
