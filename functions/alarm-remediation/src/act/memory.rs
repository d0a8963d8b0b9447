//! The ledger's part: cases, tries, leases and raises, written before anything is done.

use std::sync::PoisonError;

use futures::future;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use steward::engine::Outcome;
use steward::ledger::{self, Key, Lease, LedgerError, RAISES, Raise, Sizes};

use super::Early;
use crate::action::{Note, Remedy, Remedying, TakingBack};
use crate::case::{Attempt, Attempts, Case, HISTORY, Noted, PARTITION, Stage, counts_for, keys};
use crate::decide::refuses;
use crate::observe::Alarms;
use crate::policy::{KEPT_FOR, RemediationPolicy};
use crate::world::Target;

/// How long a run may work on one target.
const LEASE: SignedDuration = SignedDuration::from_mins(5);

/// How often what all lanes write is tried again when another lane was faster.
const TRIES: usize = 8;

impl Alarms {
    pub(super) async fn note(&self, note: &Note) -> Early<Outcome> {
        let now = self.clock.now();
        let key = Key::new(PARTITION, format!("{}{}", keys::CASE, note.case));
        let known: Option<(Case, u64)> = self.read(&key).await?;
        let version = known.as_ref().map(|(_, version)| *version);
        let case = known.as_ref().map(|(case, _)| case);
        if note.what.iter().all(|noted| noted.is_said_by(case)) {
            return Ok(Outcome::AlreadyDone);
        }
        if version != note.version {
            let why = format!("the case of {} was changed by another run", note.unit);
            return Err(Outcome::Skipped(why));
        }
        if let Some(case) = case
            && let Some(last) = Noted::last_words(&note.what, case, now)
        {
            self.file(&note.case, &last, now).await?;
            let version = version.unwrap_or_default();
            self.ledger.remove(&key, version).await?;
            return Ok(Outcome::Done);
        }
        let Some(after) = Noted::all_after(&note.what, case, now) else {
            let why = format!("the case of {} is closed", note.unit);
            return Err(Outcome::Skipped(why));
        };
        self.write(&key, &after, None, version).await?;
        Ok(Outcome::Done)
    }

    /// Keeps a case that has ended for people. One that was kept already, by a run that
    /// was killed, stays.
    async fn file(&self, case: &str, last: &Case, now: Timestamp) -> Early<()> {
        let key = Key::new(HISTORY, format!("{}#{case}", last.opened));
        let until = KEPT_FOR.after(now);
        let kept = self.ledger.put(&key, last, Some(until), None, now).await;
        match kept {
            Ok(_) | Err(LedgerError::Changed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn remedy(
        &self,
        policy: &RemediationPolicy,
        remedying: &Remedying,
    ) -> Early<Outcome> {
        let lease = self.lease(&counts_for(&remedying.remedy)).await?;
        let ended = self.with_lease(policy, remedying).await;
        self.give_back(&lease).await;
        ended
    }

    async fn with_lease(
        &self,
        policy: &RemediationPolicy,
        remedying: &Remedying,
    ) -> Early<Outcome> {
        let Remedying { remedy, .. } = remedying;
        let now = self.clock.now();
        let key = Key::new(PARTITION, format!("{}{}", keys::CASE, remedying.case));
        let on = counts_for(remedy);
        let (on_key, all_key) = (attempts_key(&on), of_all_key());
        let (known, on_target, of_all) = future::try_join3(
            self.read::<Case>(&key),
            self.attempts(&on_key),
            self.attempts(&all_key),
        )
        .await?;
        let Some((case, version)) = known else {
            let why = format!("no case is open for {}", remedying.unit);
            return Err(Outcome::Skipped(why));
        };
        if case.stage != Stage::Open && !remedying.goes_on {
            let why = format!("another run works on the case of {}", remedying.unit);
            return Err(Outcome::Skipped(why));
        }
        if !remedying.goes_on {
            let both = (&on_target, &of_all);
            let kind = remedy.kind();
            let approved = remedying.is_approved;
            if let Some(reason) = refuses(&policy.bounds, kind, both, 0, approved, now) {
                return Err(Outcome::Skipped(reason.text));
            }
        }
        self.check(remedy).await?;
        if !remedying.goes_on {
            self.record(policy, remedying, &on_target, of_all).await?;
        }
        let settles = policy.settle.after(now);
        let with = case.with(remedy, &remedying.why, remedying.before, now, settles);
        self.write(&key, &with, None, Some(version)).await?;
        if let (Some(arn), Some(lasts)) = (remedy.raises(), policy.lasts(remedy)) {
            self.record_raise(remedy, arn, lasts.after(now)).await?;
        }
        let Err(failed) = self.make(remedy).await else {
            return Ok(Outcome::Done);
        };
        // Where an answer is lost the SDK asks again, and AWS refuses what it has done.
        match self.check(remedy).await {
            Err(Outcome::AlreadyDone) => Err(Outcome::AlreadyDone),
            _ => Err(failed),
        }
    }

    /// Writes a try down, for its target and for all.
    async fn record(
        &self,
        policy: &RemediationPolicy,
        remedying: &Remedying,
        on_target: &Attempts,
        mut of_all: Attempts,
    ) -> Early<()> {
        let now = self.clock.now();
        let attempt = Attempt {
            at: now,
            kind: remedying.remedy.kind().to_owned(),
            case: remedying.case.clone(),
        };
        let window = policy.bounds.window;
        let since = window.before(now);
        let expires = window.after(now);
        let made = on_target.with(attempt.clone(), since);
        let key = attempts_key(&counts_for(&remedying.remedy));
        self.write(&key, &made, Some(expires), on_target.version)
            .await?;
        let hour = SignedDuration::from_hours(1);
        let since = now.saturating_sub(hour).unwrap_or(Timestamp::MIN);
        let expires = now.saturating_add(hour).unwrap_or(Timestamp::MAX);
        let key = of_all_key();
        let mut lost = None;
        for _ in 0..TRIES {
            if lost.is_some() {
                of_all = self.attempts(&key).await?;
            }
            if of_all.since(since, None) >= policy.bounds.per_hour as usize {
                let why = "other remedies have used up what is allowed in an hour";
                return Err(Outcome::Skipped(why.to_owned()));
            }
            let made = of_all.with(attempt.clone(), since);
            let written = self
                .ledger
                .put(&key, &made, Some(expires), of_all.version, now)
                .await;
            match written {
                Ok(_) => return Ok(()),
                Err(error @ LedgerError::Changed { .. }) => lost = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(lost.map_or_else(
            || Outcome::Skipped("the ledger was not written".to_owned()),
            Outcome::from,
        ))
    }

    /// Writes down what is larger than usual for a while. What was raised before is larger
    /// still, and goes back to what it was before that.
    async fn record_raise(&self, remedy: &Remedy, arn: &str, until: Timestamp) -> Early<()> {
        let key = Key::new(RAISES, arn);
        let known: Option<(Raise, u64)> = self.read(&key).await?;
        let (known, version) = known.unzip();
        let Some(new) = raise_of(remedy, until) else {
            return Ok(());
        };
        let raise = match known {
            Some(mut known) => {
                known.until = known.until.max(until);
                known.to.extend(new.to);
                known
            }
            None => new,
        };
        self.write(&key, &raise, None, version).await
    }

    pub(super) async fn take_back(&self, back: &TakingBack) -> Early<Outcome> {
        let lease = self.lease(&back.target).await?;
        let ended = self.take_back_with_lease(back).await;
        self.give_back(&lease).await;
        ended
    }

    async fn take_back_with_lease(&self, back: &TakingBack) -> Early<Outcome> {
        let now = self.clock.now();
        let key = Key::new(RAISES, &back.arn);
        let raise: Option<(Raise, u64)> = self.read(&key).await?;
        if let Some((raise, version)) = raise {
            if raise.until != back.until {
                let why = format!("{} was raised again meanwhile", back.arn);
                return Err(Outcome::Skipped(why));
            }
            self.restore(back).await?;
            self.ledger.remove(&key, version).await?;
        }
        let key = Key::new(PARTITION, format!("{}{}", keys::CASE, back.case));
        let known: Option<(Case, u64)> = self.read(&key).await?;
        if let Some((case, version)) = known {
            let without = case.without_raise(&back.arn, now);
            self.write(&key, &without, None, Some(version)).await?;
        }
        Ok(Outcome::Done)
    }

    async fn restore(&self, back: &TakingBack) -> Early<()> {
        match &back.target {
            Target::Service { cluster, service } => {
                self.restore_service(cluster, service, back).await
            }
            Target::Group(name) => self.restore_group(name, back).await,
            _ => Ok(()),
        }
    }

    async fn lease(&self, on: &Target) -> Early<Lease> {
        let now = self.clock.now();
        let until = now.saturating_add(LEASE).unwrap_or(Timestamp::MAX);
        let key = Key::new(PARTITION, format!("{}{on}", keys::LEASE));
        let holder = ledger::holder();
        Ok(self.ledger.take_lease(&key, &holder, now, until).await?)
    }

    /// Gives a lease back. What was done is done: that it could not be is told.
    async fn give_back(&self, lease: &Lease) {
        if let Some(text) = self.ledger.give_back(lease).await {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(text);
        }
    }

    async fn attempts(&self, key: &Key) -> Early<Attempts> {
        let known: Option<(Vec<Attempt>, u64)> = self.read(key).await?;
        let (made, version) = known.unzip();
        Ok(Attempts {
            version,
            made: made.unwrap_or_default(),
        })
    }

    /// What stands under a key, and the version of that.
    async fn read<T: DeserializeOwned>(&self, key: &Key) -> Early<Option<(T, u64)>> {
        Ok(self.ledger.read(key, self.clock.now()).await?)
    }

    async fn write(
        &self,
        key: &Key,
        body: &impl Serialize,
        expires_at: Option<Timestamp>,
        seen: Option<u64>,
    ) -> Early<()> {
        let now = self.clock.now();
        self.ledger.put(key, body, expires_at, seen, now).await?;
        Ok(())
    }
}

/// What is written down of a remedy that raises something.
pub fn raise_of(remedy: &Remedy, until: Timestamp) -> Option<Raise> {
    let resource = remedy.raises()?.to_owned();
    Some(match remedy {
        Remedy::RaiseService(it) => Raise {
            resource,
            min_before: it.min,
            desired_before: Some(it.desired),
            max_before: None,
            until,
            to: vec![Sizes {
                min: it.min.map(|_| it.to),
                desired: it.min.is_none().then_some(it.to),
                max: None,
            }],
        },
        Remedy::RaiseGroup(it) => Raise {
            resource,
            min_before: None,
            desired_before: it.desired.map(|(before, _)| before),
            max_before: Some(it.max.0),
            until,
            to: vec![Sizes {
                min: None,
                desired: it.desired.map(|(_, to)| to),
                max: (it.max.0 != it.max.1).then_some(it.max.1),
            }],
        },
        _ => return None,
    })
}

fn attempts_key(on: &Target) -> Key {
    Key::new(PARTITION, format!("{}{on}", keys::ATTEMPTS))
}

fn of_all_key() -> Key {
    Key::new(PARTITION, keys::OF_ALL)
}
