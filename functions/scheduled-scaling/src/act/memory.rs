//! What is remembered: leases, how far environments are, overrides, and the sizes of
//! resources.

use std::sync::PoisonError;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use steward::engine::Outcome;
use steward::ledger::{self, Key, Lease, LedgerError};

use super::Early;
use crate::action::{Note, Overriding, Subject};
use crate::due::{Applied, Override};
use crate::names::{Mark, PARTITION, kinds, size_key};
use crate::observe::Environments;
use crate::world::{Asked, Progress, Saved, Sizes, State};

/// How long a lease lasts unless it is renewed: longer than any one change.
const LEASE: SignedDuration = SignedDuration::from_mins(4);

/// How long an override is remembered after it has ended.
const OVERRIDES_STAY: SignedDuration = SignedDuration::from_hours(60 * 24);

/// A lease, or why there is none in this run.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// This run has it.
    Mine(Lease),
    /// It has not, and does nothing to the environment any more.
    Lost(String),
}

impl Environments {
    pub(super) fn has_ledger(&self) -> bool {
        *self
            .has_ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lease of an environment, or renews it.
    pub(super) async fn hold(&self, environment: &str) -> Early<()> {
        if !self.has_ledger() {
            return Ok(());
        }
        let before = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.get(environment).cloned()
        };
        let now = self.clock.now();
        let until = now.saturating_add(LEASE).unwrap_or(Timestamp::MAX);
        let is_young = |lease: &Lease| {
            let half = now.saturating_add(LEASE / 2).unwrap_or(Timestamp::MAX);
            lease.until > half
        };
        let (holder, was_mine) = match &before {
            Some(Held::Lost(why)) => return Err(Outcome::Skipped(why.clone())),
            Some(Held::Mine(lease)) if is_young(lease) => return Ok(()),
            Some(Held::Mine(lease)) => (lease.holder.clone(), Some(lease.until)),
            None => (ledger::holder(), None),
        };
        let key = Key::new(PARTITION, format!("{}{environment}", kinds::LEASE));
        // What has expired may have been another's meanwhile, who gave it back.
        let taken = match was_mine {
            Some(until) if until <= now => Err(LedgerError::Changed { key }),
            _ => self.ledger.take_lease(&key, &holder, now, until).await,
        };
        let (held, answer) = match taken {
            Ok(lease) => (Held::Mine(lease), Ok(())),
            Err(error) => {
                let (why, ends): (String, fn(String) -> Outcome) = match &error {
                    LedgerError::Held { until, .. } => (
                        format!("another run works on {environment} until {until} at the latest"),
                        Outcome::Skipped,
                    ),
                    LedgerError::Changed { .. } => (
                        format!("the lease of {environment} has expired in this run"),
                        Outcome::Skipped,
                    ),
                    other => (other.to_string(), Outcome::Failed),
                };
                (Held::Lost(why.clone()), Err(ends(why)))
            }
        };
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(environment.to_owned(), held);
        answer
    }

    /// What stands under a sort key, and the version of that.
    async fn read<T: DeserializeOwned>(&self, sort: &str) -> Early<Option<(T, u64)>> {
        let key = Key::new(PARTITION, sort);
        Ok(self.ledger.read(&key, self.clock.now()).await?)
    }

    async fn progress(&self, environment: &str) -> Early<Option<(Progress, u64)>> {
        let sort = format!("{}{environment}", kinds::ENVIRONMENT);
        self.read(&sort).await
    }

    pub(super) async fn note(&self, note: &Note) -> Early<Outcome> {
        let known = self.progress(&note.environment).await?;
        if known.as_ref().map(|(_, version)| *version) != note.version {
            let why = format!(
                "another run has gone on with {} meanwhile",
                note.environment
            );
            return Err(Outcome::Skipped(why));
        }
        let now = self.clock.now();
        let before = known.as_ref().map(|(progress, _)| progress);
        let Some(after) = note.what.after(before, now) else {
            return Err(Outcome::Skipped(format!(
                "the ledger knows nothing of {} any more",
                note.environment
            )));
        };
        let key = format!("{}{}", kinds::ENVIRONMENT, note.environment);
        self.put(&key, &after, None, note.version).await
    }

    async fn put(
        &self,
        sort: &str,
        body: &impl serde::Serialize,
        expires_at: Option<Timestamp>,
        seen: Option<u64>,
    ) -> Early<Outcome> {
        let key = Key::new(PARTITION, sort);
        let now = self.clock.now();
        self.ledger.put(&key, body, expires_at, seen, now).await?;
        Ok(Outcome::Done)
    }

    pub(super) async fn set_override(&self, wanted: &Overriding) -> Early<Outcome> {
        let now = self.clock.now();
        // Of several that follow one another the first tells since when something else
        // than the schedules counts.
        let known = self.progress(&wanted.environment).await?;
        let stands_on = |before: &Override| {
            let last = known.as_ref().map(|(progress, _)| progress.last.at);
            last.is_some_and(|last| before.since <= last && last < before.until)
        };
        let set = |before: Option<Asked>| {
            let before = before.map(|asked| asked.what).filter(stands_on);
            Some(Asked {
                what: Override {
                    since: before.map_or(now, |before| before.since),
                    from: now,
                    until: wanted.lasts.after(now),
                    to: wanted.to.clone(),
                },
                by: wanted.by.clone(),
                why: wanted.why.clone(),
            })
        };
        self.write_override(&wanted.environment, set).await
    }

    /// Ended, not removed: that it was there tells the next tick that the schedules
    /// count again.
    pub(super) async fn end_override(&self, environment: &str) -> Early<Outcome> {
        let now = self.clock.now();
        let end = |asked: Option<Asked>| {
            let asked = asked.filter(|asked| asked.what.until > now)?;
            let what = Override {
                until: now,
                ..asked.what
            };
            Some(Asked { what, ..asked })
        };
        self.write_override(environment, end).await
    }

    async fn write_override(
        &self,
        environment: &str,
        change: impl Fn(Option<Asked>) -> Option<Asked>,
    ) -> Early<Outcome> {
        let sort = format!("{}{environment}", kinds::OVERRIDE);
        let (before, seen) = self.read(&sort).await?.unzip();
        let Some(after) = change(before) else {
            return Ok(Outcome::AlreadyDone);
        };
        let until = after.what.until.saturating_add(OVERRIDES_STAY);
        let until = until.unwrap_or(Timestamp::MAX);
        self.put(&sort, &after, Some(until), seen).await
    }

    /// The ledger must say what was decided on: another run may have gone on since.
    pub(super) async fn is_still_wanted(&self, of: &Subject) -> Early<()> {
        if !self.has_ledger() {
            return Ok(());
        }
        let known = self.progress(&of.environment).await?;
        let last: Option<Applied> = known.map(|(progress, _)| progress.last);
        if last.as_ref() == Some(&of.transition) {
            Ok(())
        } else {
            let why = format!("{} has another transition meanwhile", of.environment);
            Err(Outcome::Skipped(why))
        }
    }

    /// Now, to the second, as tags have it.
    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        now.round(jiff::Unit::Second).unwrap_or(now)
    }

    /// What is remembered of a resource, and the version of that.
    async fn saved(&self, arn: &str) -> Early<Option<(Saved, u64)>> {
        self.read(&size_key(arn)).await
    }

    /// Remembers sizes before they are changed. Sizes that are remembered already are
    /// never replaced, and not when either: what is interrupted here has not been
    /// done.
    pub(super) async fn remember(&self, of: &Subject, sizes: Sizes, state: State) -> Early<Mark> {
        let at = self.now();
        if !self.has_ledger() {
            return Ok(Mark { at, sizes });
        }
        let before = self.saved(&of.arn).await?;
        let seen = before.as_ref().map(|(_, version)| *version);
        let saved = match before {
            Some((saved, _)) => Saved { state, ..saved },
            None => Saved {
                environment: of.environment.clone(),
                sizes,
                at,
                transition: of.transition.at,
                state,
            },
        };
        self.put(&size_key(&of.arn), &saved, None, seen).await?;
        let sizes = saved.sizes;
        Ok(Mark { at, sizes })
    }

    /// Puts right the sizes that are remembered where a newer tag says others; answers
    /// whether anything is remembered.
    pub(super) async fn correct(&self, of: &Subject, sizes: Sizes) -> Early<bool> {
        let Some((saved, version)) = self.saved(&of.arn).await? else {
            return Ok(false);
        };
        if saved.sizes != sizes {
            let saved = Saved { sizes, ..saved };
            let sort = size_key(&of.arn);
            self.put(&sort, &saved, None, Some(version)).await?;
        }
        Ok(true)
    }

    /// Notes that what was remembered for has been done.
    pub(super) async fn confirm(&self, of: &Subject, state: State) -> Early<()> {
        if !self.has_ledger() {
            return Ok(());
        }
        let Some((before, version)) = self.saved(&of.arn).await? else {
            return Err(Outcome::Failed(format!(
                "the ledger has lost what {} had before",
                of.name
            )));
        };
        let saved = Saved {
            environment: of.environment.clone(),
            at: self.now(),
            transition: of.transition.at,
            state,
            ..before
        };
        let sort = size_key(&of.arn);
        self.put(&sort, &saved, None, Some(version)).await.map(drop)
    }

    pub(super) async fn forget(&self, of: &Subject) -> Early<()> {
        if !self.has_ledger() {
            return Ok(());
        }
        let Some((_, version)) = self.saved(&of.arn).await? else {
            return Ok(());
        };
        let key = Key::new(PARTITION, size_key(&of.arn));
        Ok(self.ledger.remove(&key, version).await?)
    }
}
