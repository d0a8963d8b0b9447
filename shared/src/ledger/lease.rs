//! Leases: runs that must not overlap take one, and it expires by itself when
//! its holder is killed.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    BODY, DELETE, EXPIRES_AT, Key, Ledger, LedgerError, PARTITION, PUT, first_version, item_of,
    parse_entry, rounded_up, seconds, text_of,
};

/// A lease that this run has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Where it is written.
    pub key: Key,
    /// Who has it.
    pub holder: String,
    /// Until then, in whole seconds; nothing that it protects may be done later.
    pub until: Timestamp,
}

/// The body of its entry. Nothing else is in it, so that a holder is known by
/// the body as it stands.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    holder: String,
}

impl Ledger {
    /// Takes a lease that nobody has at `now`, or renews one's own: `holder` has
    /// to be unique among the runs. `until` is rounded up to whole seconds.
    ///
    /// # Errors
    /// [`LedgerError::Held`] when another has it, and everything but
    /// [`LedgerError::Changed`].
    pub async fn take_lease(
        &self,
        key: &Key,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Lease, LedgerError> {
        let until = rounded_up(until);
        let body = holding(key, holder)?;
        let item = item_of(key, body.clone(), Some(until), first_version(now));
        let request = self
            .client
            .put_item()
            .table_name(self.table())
            .condition_expression(
                "attribute_not_exists(#partition) OR #expires_at <= :now OR #body = :body",
            )
            .expression_attribute_names("#partition", PARTITION)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_names("#body", BODY)
            .expression_attribute_values(":now", seconds(now))
            .expression_attribute_values(":body", body)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = request.send().await else {
            return Ok(Lease {
                key: key.clone(),
                holder: holder.to_owned(),
                until,
            });
        };
        let Some(PutItemError::ConditionalCheckFailedException(there)) = error.as_service_error()
        else {
            return Err(self.failed(PUT, &error));
        };
        let malformed = |why: &str| LedgerError::Malformed {
            key: key.clone(),
            why: why.to_owned(),
        };
        let item = there.item();
        let entry = parse_entry(item.ok_or_else(|| malformed("AWS does not tell who has it"))?)?;
        Err(LedgerError::Held {
            by: entry.parse::<Holder>()?.holder,
            until: entry
                .expires_at
                .ok_or_else(|| malformed("a lease has to expire"))?,
        })
    }

    /// Gives a lease back. One that has expired, and that another may have by now,
    /// is given back already.
    ///
    /// # Errors
    /// [`LedgerError::NoTable`] and [`LedgerError::Failed`]; the lease then expires
    /// by itself.
    pub async fn release(&self, lease: &Lease) -> Result<(), LedgerError> {
        let request = self
            .client
            .delete_item()
            .table_name(self.table())
            .set_key(Some(lease.key.attributes()))
            .condition_expression("#body = :body")
            .expression_attribute_names("#body", BODY)
            .expression_attribute_values(":body", holding(&lease.key, &lease.holder)?);
        let Err(error) = request.send().await else {
            return Ok(());
        };
        match error.as_service_error() {
            Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
            _ => Err(self.failed(DELETE, &error)),
        }
    }

    /// The same at the end of a run, where all is done: answers with what a person should
    /// know.
    pub async fn give_back(&self, lease: &Lease) -> Option<String> {
        let error = self.release(lease).await.err()?;
        Some(format!(
            "the lease {} is not given back, and expires at {}: {error}",
            lease.key, lease.until
        ))
    }
}

/// A name that tells the leases of one run from those of another.
pub fn holder() -> String {
    let seed = RandomState::new().hash_one(std::process::id());
    format!("run {seed:016x}")
}

/// The body of the lease of this holder.
fn holding(key: &Key, holder: &str) -> Result<AttributeValue, LedgerError> {
    let holder = holder.to_owned();
    text_of(key, &Holder { holder })
}
