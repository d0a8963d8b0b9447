//! What the ledger remembers: with one query all cases and all that was tried.

use jiff::Timestamp;
use steward::engine::{Gap, Hides, Seen};
use steward::ledger::{Entry, LedgerError};

use super::Alarms;
use crate::case::{Attempt, Attempts, PARTITION, keys};
use crate::scope::Scope;
use crate::world::{Memory, World};

impl Alarms {
    pub(super) async fn memory(
        &self,
        scope: &Scope,
        now: Timestamp,
        seen: &mut Seen<World>,
    ) -> Option<Memory> {
        let entries = match self.ledger.entries(PARTITION, "", now).await {
            Ok(entries) => entries,
            Err(LedgerError::NoTable { .. }) if self.ledger.may_be_missing() => {
                seen.warnings.push(format!(
                    "there is no ledger {}, so that nothing is known of open cases and of what \
                     was tried",
                    self.ledger.table()
                ));
                return None;
            }
            Err(error) => {
                seen.gaps.push(of_ledger(&error));
                return None;
            }
        };
        let mut memory = Memory::default();
        for entry in &entries {
            if remember(&mut memory, entry).is_err() {
                memory.malformed.insert(entry.key.sort.clone());
            }
        }
        // Only who raised something has to know what still is.
        let mut cases = memory.cases.iter();
        if cases.any(|(key, (_, case))| scope.covers(key, case) && !case.raised.is_empty()) {
            match self.ledger.raises(now).await {
                Ok(raises) => {
                    let by_arn = raises.into_iter().map(|it| (it.resource.clone(), it));
                    memory.raises = by_arn.collect();
                }
                Err(error) => {
                    seen.gaps.push(of_ledger(&error));
                    return None;
                }
            }
        }
        Some(memory)
    }
}

fn of_ledger(error: &LedgerError) -> Gap {
    Gap {
        read: error.to_string(),
        hides: Hides::Everything,
        grant: "dynamodb:Query".to_owned(),
    }
}

fn remember(memory: &mut Memory, entry: &Entry) -> Result<(), LedgerError> {
    let sort = entry.key.sort.as_str();
    if let Some(key) = sort.strip_prefix(keys::CASE) {
        let case = entry.parse()?;
        memory.cases.insert(key.to_owned(), (entry.version, case));
    } else if let Some(target) = sort.strip_prefix(keys::ATTEMPTS) {
        let target = target.parse().map_err(|error| LedgerError::Malformed {
            key: entry.key.clone(),
            why: format!("{error}"),
        })?;
        memory.attempts.insert(target, attempts(entry)?);
    } else if sort == keys::OF_ALL {
        memory.of_all = attempts(entry)?;
    }
    // Leases concern whoever takes one.
    Ok(())
}

/// What was tried, by its entry.
pub(crate) fn attempts(entry: &Entry) -> Result<Attempts, LedgerError> {
    let made: Vec<Attempt> = entry.parse()?;
    Ok(Attempts {
        version: Some(entry.version),
        made,
    })
}
