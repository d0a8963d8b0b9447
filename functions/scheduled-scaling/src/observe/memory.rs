//! What the ledger remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use jiff::Timestamp;
use steward::engine::{Gap, Hides, Seen};
use steward::ledger::LedgerError;

use super::Environments;
use crate::names::{PARTITION, kinds};
use crate::world::{Asked, Look, Memory, Progress, Remembered, Saved, Sizes, World};

impl Environments {
    /// What persons asked for against the schedules, by environment: `None` where there
    /// is no ledger and need not be one.
    ///
    /// # Errors
    /// Those of [`Ledger::entries`](steward::ledger::Ledger::entries), and an entry
    /// that cannot be understood.
    pub async fn overrides(&self) -> Result<Option<BTreeMap<String, Asked>>, LedgerError> {
        let now = self.clock.now();
        let entries = self.ledger.entries(PARTITION, kinds::OVERRIDE, now).await;
        let entries = match entries {
            Err(LedgerError::NoTable { .. }) if self.ledger.may_be_missing() => return Ok(None),
            entries => entries?,
        };
        let asked = entries.iter().map(|entry| {
            let name = entry.key.sort.strip_prefix(kinds::OVERRIDE);
            Ok((name.unwrap_or_default().to_owned(), entry.parse()?))
        });
        asked.collect::<Result<_, _>>().map(Some)
    }

    /// How far environments are, and what persons asked for.
    pub(super) async fn memory(&self, now: Timestamp, seen: &mut Seen<World>) {
        let (environments, overrides) = futures::join!(
            self.ledger.entries(PARTITION, kinds::ENVIRONMENT, now),
            self.ledger.entries(PARTITION, kinds::OVERRIDE, now),
        );
        let mut malformed = Vec::new();
        let read = || -> Result<Memory, LedgerError> {
            let mut memory = Memory::default();
            let mut told = |name: &str, error: LedgerError| {
                memory.malformed.insert(name.to_owned());
                malformed.push((name.to_owned(), error));
            };
            for entry in environments? {
                let name = entry.key.sort.strip_prefix(kinds::ENVIRONMENT);
                let name = name.unwrap_or_default();
                match entry.parse::<Progress>() {
                    Ok(progress) => {
                        let version = entry.version;
                        let known = Remembered { version, progress };
                        memory.environments.insert(name.to_owned(), known);
                    }
                    Err(error) => told(name, error),
                }
            }
            for entry in overrides? {
                let name = entry.key.sort.strip_prefix(kinds::OVERRIDE);
                let name = name.unwrap_or_default();
                match entry.parse::<Asked>() {
                    Ok(asked) => {
                        memory.overrides.insert(name.to_owned(), asked);
                    }
                    Err(error) => told(name, error),
                }
            }
            Ok(memory)
        };
        let mut has_ledger = true;
        match read() {
            Ok(memory) => seen.world.memory = Some(memory),
            Err(error @ LedgerError::NoTable { .. }) if self.ledger.may_be_missing() => {
                has_ledger = false;
                seen.warnings.push(format!(
                    "{error}: what the schedules say now is applied, sizes are remembered in tags \
                     alone, and nothing keeps another run from doing the same"
                ));
            }
            Err(error) => seen.gaps.push(gap(&error, Hides::Everything)),
        }
        for (name, error) in malformed {
            seen.gaps.push(gap(&error, Hides::unit(name)));
        }
        *self
            .has_ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = has_ledger;
    }

    /// What is remembered of resources; `None` when that could not be read, without
    /// which nothing is decided.
    pub(super) async fn remembered(
        &self,
        looks: &BTreeMap<String, Look>,
        seen: &mut Seen<World>,
        now: Timestamp,
    ) -> Option<Resources> {
        if seen.world.memory.is_none() {
            return Some(Resources::default());
        }
        let is_whole = looks.values().any(|look| *look == Look::Whole);
        let raises = async {
            if is_whole {
                self.ledger.raises(now).await
            } else {
                Ok(vec![])
            }
        };
        let (sizes, raises) =
            futures::join!(self.ledger.entries(PARTITION, kinds::SIZE, now), raises);
        let mut unread = None;
        let read = || -> Result<Resources, LedgerError> {
            let mut all = Resources::default();
            for entry in sizes? {
                let arn = entry.key.sort.strip_prefix(kinds::SIZE);
                let arn = arn.unwrap_or_default().to_owned();
                all.saved.insert(arn, entry.parse()?);
            }
            let raises = raises.unwrap_or_else(|error| {
                unread = Some(error);
                vec![]
            });
            for raise in raises {
                let before = Sizes {
                    min: raise.min_before,
                    desired: raise.desired_before,
                    max: raise.max_before,
                    suspended: None,
                };
                all.raised.insert(raise.resource, before);
            }
            Ok(all)
        };
        let all = read();
        if let Some(error) = unread {
            // It hides no resource: what it is needed for waits.
            seen.world.raises_unread = true;
            seen.gaps.push(gap(&error, Hides::Units(BTreeSet::new())));
        }
        match all {
            Ok(all) => Some(all),
            Err(error) => {
                seen.world.memory = None;
                seen.gaps.push(gap(&error, Hides::Everything));
                None
            }
        }
    }
}

/// What is remembered of resources, by ARN.
#[derive(Default)]
pub(super) struct Resources {
    /// Sizes while they have others.
    pub(super) saved: BTreeMap<String, Saved>,
    /// Sizes before alarm-remediation raised them for a while.
    pub(super) raised: BTreeMap<String, Sizes>,
}

fn gap(error: &LedgerError, hides: Hides) -> Gap {
    let grant = match error {
        LedgerError::Failed { action, .. } => action,
        _ => "dynamodb:Query",
    };
    Gap {
        read: error.to_string(),
        hides,
        grant: grant.to_owned(),
    }
}
