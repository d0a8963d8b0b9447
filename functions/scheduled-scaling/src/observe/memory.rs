//! What the ledger remembers.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use jiff::Timestamp;
use steward::engine::{Gap, Hides, Seen};
use steward::ledger::LedgerError;

use super::{Environments, Wish};
use crate::names::{self, PARTITION, kinds};
use crate::world::{Asked, Look, Memory, Progress, Remembered, Saved, Sizes, World};

impl Environments {
    /// How far environments are, and what persons asked for.
    pub(super) async fn memory(&self, now: Timestamp, seen: &mut Seen<World>) {
        let (environments, overrides) = futures::join!(
            self.ledger.entries(PARTITION, kinds::ENVIRONMENT, now),
            self.ledger.entries(PARTITION, kinds::OVERRIDE, now),
        );
        let read = || -> Result<Memory, LedgerError> {
            let mut memory = Memory::default();
            for entry in environments? {
                let progress: Progress = entry.parse()?;
                let version = entry.version;
                let name = entry.key.sort.strip_prefix(kinds::ENVIRONMENT);
                let name = name.unwrap_or_default().to_owned();
                let known = Remembered { version, progress };
                memory.environments.insert(name, known);
            }
            for entry in overrides? {
                let asked: Asked = entry.parse()?;
                let name = entry.key.sort.strip_prefix(kinds::OVERRIDE);
                memory
                    .overrides
                    .insert(name.unwrap_or_default().to_owned(), asked);
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
            Err(error) => seen.gaps.push(gap(&error)),
        }
        *self
            .has_ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = has_ledger;
    }

    /// What is remembered of each resource that was seen.
    pub(super) async fn remembered(&self, wish: &Wish<'_>, seen: &mut Seen<World>, now: Timestamp) {
        if seen.world.memory.is_none() {
            return;
        }
        let is_whole = wish.looks.values().any(|look| *look == Look::Whole);
        let raises = async {
            if is_whole {
                self.ledger.raises(now).await
            } else {
                Ok(vec![])
            }
        };
        let (sizes, raises) =
            futures::join!(self.ledger.entries(PARTITION, kinds::SIZE, now), raises);
        let read = || -> Result<_, LedgerError> {
            let mut saved: BTreeMap<String, Vec<(String, Saved, u64)>> = BTreeMap::new();
            for entry in sizes? {
                if let Some((environment, arn)) = names::parse_size_key(&entry.key.sort) {
                    let of = saved.entry(arn.to_owned()).or_default();
                    of.push((environment.to_owned(), entry.parse()?, entry.version));
                }
            }
            Ok((saved, raises?))
        };
        let (saved, raises) = match read() {
            Ok(read) => read,
            Err(error) => {
                // Without what is remembered nothing is decided.
                seen.world.memory = None;
                seen.gaps.push(gap(&error));
                return;
            }
        };
        for (arn, all) in saved {
            if let Some(resource) = seen.world.resources.get_mut(&arn) {
                let of = all.into_iter();
                resource.saved = of
                    .map(|(name, saved, version)| (name, (saved, version)))
                    .collect();
            }
        }
        for raise in raises {
            if let Some(resource) = seen.world.resources.get_mut(&raise.resource) {
                resource.raised_from = Some(Sizes {
                    min: raise.min_before,
                    desired: raise.desired_before,
                    max: raise.max_before,
                    suspended: None,
                });
            }
        }
    }
}

fn gap(error: &LedgerError) -> Gap {
    let grant = match error {
        LedgerError::Failed { action, .. } => action,
        _ => "dynamodb:Query",
    };
    Gap {
        read: error.to_string(),
        hides: Hides::Everything,
        grant: grant.to_owned(),
    }
}
