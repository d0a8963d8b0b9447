//! Puts services, groups and databases to sleep, wakes and resizes them, and writes
//! down how far that is. The only file that changes AWS.
//!
//! Before the first change of an environment it takes the environment's lease, and
//! looks whether the ledger still says what was decided on. Sizes are remembered
//! before they are lowered, and forgotten after they are back.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace, SuspendedState};
use aws_sdk_rds::types::Tag;
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use steward::aws;
use steward::engine::{Act, Outcome};
use steward::ledger::{Key, Lease, LedgerError};
use steward::names::{ENVIRONMENT, MADE_FOR, MANAGED_BY, PARKED, SNAPSHOT_ROTATION};

use crate::ScheduledScaling;
use crate::action::{
    Action, Direction, Note, Overriding, Setting, Snapshotting, Subject, is_sized, sizes_of,
};
use crate::due::{Applied, Override};
use crate::names::{Mark, PARTITION, kinds, size_key};
use crate::observe::Environments;
use crate::policy::ScalingPolicy;
use crate::world::{Asked, Kind, Progress, Resource, Saved, Sizes, State};

/// How many changes of an environment are under way at once.
const AT_ONCE: usize = 4;

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

fn needs_lease(action: &Action) -> bool {
    !matches!(action, Action::SetOverride(_) | Action::EndOverride { .. })
}

/// An outcome that ends an action early.
type Early<T> = Result<T, Outcome>;

fn failed(call: &str, why: &str) -> Outcome {
    Outcome::Failed(format!("{call}: {why}"))
}

fn of_ledger(error: &LedgerError) -> Outcome {
    match error {
        LedgerError::Changed { .. } | LedgerError::Held { .. } => {
            Outcome::Skipped(error.to_string())
        }
        other => Outcome::Failed(other.to_string()),
    }
}

fn is_gone(error: &impl aws_sdk_rds::error::ProvideErrorMetadata) -> bool {
    aws::kind(error) == aws::ErrorKind::NotFound
}

impl Act<ScheduledScaling> for Environments {
    async fn act(&self, _: &ScalingPolicy, batch: &[Action]) -> Vec<Outcome> {
        // A batch is of one environment. What a person asks for needs no lease: it is
        // one write, and does not wait for a run that is under way.
        if let Some(action) = batch.iter().find(|action| needs_lease(action))
            && let Err(outcome) = self.hold(action.environment()).await
        {
            return vec![outcome; batch.len()];
        }
        stream::iter(batch)
            .map(|action| Box::pin(async { self.one(action).await.unwrap_or_else(|early| early) }))
            .buffered(AT_ONCE)
            .collect()
            .await
    }

    async fn finish(&self) -> Vec<String> {
        let held = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *held)
        };
        let leases = held.into_values().filter_map(|held| match held {
            Held::Mine(lease) => Some(lease),
            Held::Lost(_) => None,
        });
        let release = |lease: Lease| async move {
            let released = self.ledger.release(&lease).await;
            let error = released.err()?;
            Some(format!(
                "the lease {} is not given back, and expires at {}: {error}",
                lease.key, lease.until
            ))
        };
        let told: Vec<Option<String>> = stream::iter(leases)
            .map(release)
            .buffered(AT_ONCE)
            .collect()
            .await;
        told.into_iter().flatten().collect()
    }
}

impl Environments {
    fn has_ledger(&self) -> bool {
        *self
            .has_ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lease of an environment, or renews it.
    async fn hold(&self, environment: &str) -> Early<()> {
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
            None => (self.holder(), None),
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
                let why = match &error {
                    LedgerError::Held { until, .. } => {
                        format!("another run works on {environment} until {until} at the latest")
                    }
                    LedgerError::Changed { .. } => {
                        format!("the lease of {environment} has expired in this run")
                    }
                    other => other.to_string(),
                };
                let outcome = match error {
                    LedgerError::Held { .. } | LedgerError::Changed { .. } => {
                        Outcome::Skipped(why.clone())
                    }
                    _ => Outcome::Failed(why.clone()),
                };
                (Held::Lost(why), Err(outcome))
            }
        };
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(environment.to_owned(), held);
        answer
    }

    /// What tells this run's leases from another's.
    fn holder(&self) -> String {
        let seed: u64 = std::hash::BuildHasher::hash_one(
            &std::collections::hash_map::RandomState::new(),
            std::process::id(),
        );
        format!("run {seed:016x}")
    }

    async fn one(&self, action: &Action) -> Early<Outcome> {
        match action {
            Action::Note(note) => self.note(note).await,
            Action::SetOverride(wanted) => self.set_override(wanted).await,
            Action::EndOverride { environment } => self.end_override(environment).await,
            Action::SetService(setting) => self.set_service(setting).await,
            Action::SetGroup(setting) => self.set_group(setting).await,
            Action::SnapshotDatabase(wanted) => self.snapshot(wanted).await,
            Action::ParkDatabase(of) => self.park_database(of).await,
            Action::WakeDatabase(of) => self.wake_database(of).await,
            Action::Unmark(of) => self.unmark(of).await,
        }
    }

    // What is remembered.

    async fn progress(&self, environment: &str) -> Early<Option<(Progress, u64)>> {
        let key = Key::new(PARTITION, format!("{}{environment}", kinds::ENVIRONMENT));
        let entry = self.ledger.entry(&key, self.clock.now()).await;
        let entry = entry.map_err(|error| of_ledger(&error))?;
        entry
            .map(|entry| Ok((entry.parse()?, entry.version)))
            .transpose()
            .map_err(|error: LedgerError| of_ledger(&error))
    }

    async fn note(&self, note: &Note) -> Early<Outcome> {
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
        let written = self.ledger.put(&key, body, expires_at, seen, now).await;
        written.map_err(|error| of_ledger(&error))?;
        Ok(Outcome::Done)
    }

    async fn set_override(&self, wanted: &Overriding) -> Early<Outcome> {
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
    async fn end_override(&self, environment: &str) -> Early<Outcome> {
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
        let now = self.clock.now();
        let entry = self.ledger.entry(&Key::new(PARTITION, &sort), now).await;
        let entry = entry.map_err(|error| of_ledger(&error))?;
        let seen = entry.as_ref().map(|entry| entry.version);
        let before = entry.map(|entry| entry.parse()).transpose();
        let before = before.map_err(|error| of_ledger(&error))?;
        let Some(after) = change(before) else {
            return Ok(Outcome::AlreadyDone);
        };
        let until = after.what.until.saturating_add(OVERRIDES_STAY);
        let until = until.unwrap_or(Timestamp::MAX);
        self.put(&sort, &after, Some(until), seen).await
    }

    /// The ledger must say what was decided on: another run may have gone on since.
    async fn is_still_wanted(&self, of: &Subject) -> Early<()> {
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
        let key = Key::new(PARTITION, size_key(arn));
        let entry = self.ledger.entry(&key, self.clock.now()).await;
        let entry = entry.map_err(|error| of_ledger(&error))?;
        entry
            .map(|entry| Ok((entry.parse()?, entry.version)))
            .transpose()
            .map_err(|error: LedgerError| of_ledger(&error))
    }

    /// Remembers sizes before they are changed. Sizes that are remembered already are
    /// never replaced, and not when either: what is interrupted here has not been
    /// done.
    async fn remember(&self, of: &Subject, sizes: Sizes, state: State) -> Early<Mark> {
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

    /// Notes that what was remembered for has been done.
    async fn confirm(&self, of: &Subject, state: State) -> Early<()> {
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

    /// Forgets that a resource was parked or sized, unless it sleeps: another run may
    /// have parked it since.
    async fn unmark(&self, of: &Subject) -> Early<Outcome> {
        self.is_still_wanted(of).await?;
        let found = match kind_of(&of.arn) {
            // What is gone has no other name.
            _ if of.name == of.arn => None,
            "ecs" => match of.name.rsplit_once('/') {
                Some((cluster, service)) => self.service_now(cluster, service).await?,
                None => None,
            },
            "autoscaling" => self.group_now(&of.name).await?,
            _ => self.instance_now(&of.name).await?,
        };
        if let Some(found) = found {
            let sleeps = match &found.kind {
                Kind::Database(database) => {
                    matches!(database.status.as_str(), "stopped" | "stopping")
                }
                _ => found.is_at_nothing(),
            };
            if sleeps {
                return Err(Outcome::Skipped(format!("{} sleeps", of.name)));
            }
            self.untag(of, &found).await?;
        }
        self.forget(of).await?;
        Ok(Outcome::Done)
    }

    async fn forget(&self, of: &Subject) -> Early<()> {
        if !self.has_ledger() {
            return Ok(());
        }
        let Some((_, version)) = self.saved(&of.arn).await? else {
            return Ok(());
        };
        let key = Key::new(PARTITION, size_key(&of.arn));
        let removed = self.ledger.remove(&key, version).await;
        removed.map_err(|error| of_ledger(&error))
    }

    // Tags.

    async fn tag(&self, of: &Subject, value: &str) -> Early<()> {
        let answer = match kind_of(&of.arn) {
            "ecs" => {
                let tag = aws_sdk_ecs::types::Tag::builder().key(PARKED).value(value);
                let request = self.ecs.tag_resource().resource_arn(&of.arn);
                let request = request.tags(tag.build());
                let answer = self.pace.call(request.send()).await;
                answer.map(drop).map_err(|error| aws::explain(&error))
            }
            "autoscaling" => {
                let request = self.groups.create_or_update_tags();
                let request = request.tags(group_tag(&of.name).value(value).build());
                let answer = self.pace.call(request.send()).await;
                answer.map(drop).map_err(|error| aws::explain(&error))
            }
            _ => {
                let tag = Tag::builder().key(PARKED).value(value).build();
                let request = self.rds.add_tags_to_resource().resource_name(&of.arn);
                let answer = self.pace.call(request.tags(tag).send()).await;
                answer.map(drop).map_err(|error| aws::explain(&error))
            }
        };
        answer.map_err(|why| failed("tagging", &why))
    }

    async fn untag(&self, of: &Subject, found: &Resource) -> Early<()> {
        if !found.tags.contains_key(PARKED) {
            return Ok(());
        }
        let answer = match kind_of(&of.arn) {
            "ecs" => {
                let request = self.ecs.untag_resource().resource_arn(&of.arn);
                let answer = self.pace.call(request.tag_keys(PARKED).send()).await;
                answer.map(drop).map_err(|error| aws::explain(&error))
            }
            "autoscaling" => {
                let request = self.groups.delete_tags();
                let request = request.tags(group_tag(&of.name).build());
                let answer = self.pace.call(request.send()).await;
                answer.map(drop).map_err(|error| aws::explain(&error))
            }
            _ => {
                let request = self.rds.remove_tags_from_resource();
                let request = request.resource_name(&of.arn).tag_keys(PARKED);
                let answer = self.pace.call(request.send()).await;
                answer.map(drop).map_err(|error| aws::explain(&error))
            }
        };
        answer.map_err(|why| failed("untagging", &why))
    }

    // Services.

    async fn set_service(&self, setting: &Setting) -> Early<Outcome> {
        let of = &setting.of;
        self.is_still_wanted(of).await?;
        let Some((cluster, service)) = of.name.rsplit_once('/') else {
            return Err(Outcome::Failed(format!("{} names no cluster", of.name)));
        };
        let found = self.service_now(cluster, service).await?;
        let found = self.may_set(found, setting)?;
        self.before(setting).await?;
        // Registering moves what is outside the new bounds into them
        // (`RegisterScalableTarget`, Application Auto Scaling API Reference). A count
        // that comes back is set before, so that a run that is killed in between does
        // not leave the bound for it.
        if setting.direction == Direction::Park {
            self.register(&found, setting).await?;
            self.set_desired(cluster, service, setting.to.desired)
                .await?;
        } else {
            self.set_desired(cluster, service, setting.to.desired)
                .await?;
            self.register(&found, setting).await?;
        }
        self.after(setting, &found).await
    }

    async fn set_desired(&self, cluster: &str, service: &str, desired: Option<u32>) -> Early<()> {
        let Some(desired) = desired else {
            return Ok(());
        };
        let request = self
            .ecs
            .update_service()
            .cluster(cluster)
            .service(service)
            .desired_count(i32::try_from(desired).unwrap_or(i32::MAX));
        let answer = self.pace.call(request.send()).await;
        let answer = answer.map(drop);
        answer.map_err(|error| failed("ecs:UpdateService", &aws::explain(&error)))
    }

    /// Gives a service's scalable target what it lacks of the bounds.
    async fn register(&self, found: &Resource, setting: &Setting) -> Early<()> {
        let bounds = Sizes {
            desired: None,
            ..setting.to
        };
        if is_sized(sizes_of(found), bounds) {
            return Ok(());
        }
        let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        let suspended = bounds.suspended.map(|it| {
            SuspendedState::builder()
                .dynamic_scaling_in_suspended(it.scale_in)
                .dynamic_scaling_out_suspended(it.scale_out)
                .scheduled_scaling_suspended(it.scheduled)
                .build()
        });
        let request = self
            .scaling
            .register_scalable_target()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(format!("service/{}", setting.of.name))
            .set_min_capacity(bounds.min.map(number))
            .set_max_capacity(bounds.max.map(number))
            .set_suspended_state(suspended);
        let answer = self.pace.call(request.send()).await;
        let answer = answer.map(drop);
        answer.map_err(|error| {
            let call = "application-autoscaling:RegisterScalableTarget";
            failed(call, &aws::explain(&error))
        })
    }

    async fn service_now(&self, cluster: &str, service: &str) -> Early<Option<Resource>> {
        let check = |why: String| failed("the check before acting, nothing was done", &why);
        let found = self.describe(cluster, vec![service.to_owned()]).await;
        let found = found.map_err(|why| check(format!("ecs:DescribeServices: {why}")))?;
        let mut services = found.iter().filter_map(crate::observe::service_of);
        let Some(mut resource) = services.next() else {
            return Ok(None);
        };
        let id = format!("service/{}", resource.name);
        let targets = self.scalable_targets_of(vec![id.clone()]).await;
        let targets = targets.map_err(|why| {
            check(format!(
                "application-autoscaling:DescribeScalableTargets: {why}"
            ))
        })?;
        let mut targets = targets.iter().map(crate::observe::scalable_of);
        if let Kind::Service(service) = &mut resource.kind {
            service.scalable = targets.find(|(of, _)| *of == id).map(|(_, it)| it);
        }
        Ok(Some(resource))
    }

    /// Whether a resource is as it was when its sizes were decided on.
    fn may_set(&self, found: Option<Resource>, setting: &Setting) -> Early<Resource> {
        let name = &setting.of.name;
        let Some(found) = found else {
            return Err(Outcome::Skipped(format!("{name} is gone")));
        };
        if let Some(hold) = found.hold(self.clock.now()) {
            return Err(Outcome::Skipped(format!("{name} is now on hold by {hold}")));
        }
        let has = sizes_of(&found);
        let is_gone = matches!(&found.kind, Kind::Service(service) if service.status != "ACTIVE");
        if is_gone {
            return Err(Outcome::Skipped(format!("{name} goes")));
        }
        // Only what is set matters: ECS itself moves the size of a managed group. And what
        // another run has done already is no other size.
        let Sizes {
            min,
            desired,
            max,
            suspended,
        } = setting.to;
        let from = Sizes {
            min: min.and(setting.from.min),
            desired: desired.and(setting.from.desired),
            max: max.and(setting.from.max),
            suspended: suspended.and(setting.from.suspended),
        };
        if is_sized(has, from) || is_sized(has, setting.to) {
            Ok(found)
        } else {
            Err(Outcome::Skipped(format!(
                "{name} has other sizes meanwhile"
            )))
        }
    }

    /// What has to be remembered before sizes are set.
    async fn before(&self, setting: &Setting) -> Early<()> {
        let of = &setting.of;
        if let Some(sizes) = setting.remember {
            match setting.direction {
                Direction::Park => {
                    let mark = self.remember(of, sizes, State::Parking).await?;
                    self.tag(of, &mark.to_string()).await?;
                }
                Direction::Wake | Direction::Resize if !self.has_ledger() => {
                    let why = "there is no ledger to remember its sizes in".to_owned();
                    return Err(Outcome::Skipped(why));
                }
                // What is remembered of it while it sleeps is what it goes back to.
                Direction::Wake if self.saved(&of.arn).await?.is_some() => {}
                Direction::Wake | Direction::Resize => {
                    self.remember(of, sizes, State::Sizing).await?;
                }
            }
        }
        // Nothing is lowered by a run that another may have followed.
        self.hold(&of.environment).await
    }

    /// What is left to do after sizes are set.
    async fn after(&self, setting: &Setting, found: &Resource) -> Early<Outcome> {
        let of = &setting.of;
        if setting.direction != Direction::Park {
            self.untag(of, found).await?;
        }
        match (setting.remember, &setting.size) {
            (None, _) => self.forget(of).await?,
            (Some(_), _) if setting.direction == Direction::Park => {
                self.confirm(of, State::Parked).await?;
            }
            (Some(_), Some(size)) => self.confirm(of, State::Sized(size.clone())).await?,
            (Some(_), None) => {}
        }
        Ok(Outcome::Done)
    }

    // Groups.

    async fn set_group(&self, setting: &Setting) -> Early<Outcome> {
        let of = &setting.of;
        self.is_still_wanted(of).await?;
        let found = self.group_now(&of.name).await?;
        let found = self.may_set(found, setting)?;
        self.before(setting).await?;
        let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        let request = self
            .groups
            .update_auto_scaling_group()
            .auto_scaling_group_name(&of.name)
            .set_min_size(setting.to.min.map(number))
            .set_desired_capacity(setting.to.desired.map(number))
            .set_max_size(setting.to.max.map(number));
        let answer = self.pace.call(request.send()).await;
        answer
            .map_err(|error| failed("autoscaling:UpdateAutoScalingGroup", &aws::explain(&error)))?;
        self.after(setting, &found).await
    }

    async fn group_now(&self, name: &str) -> Early<Option<Resource>> {
        let request = self.groups.describe_auto_scaling_groups();
        let request = request.auto_scaling_group_names(name);
        let answer = self.pace.call(request.send()).await;
        let answer = answer.map_err(|error| {
            let call = "the check before acting, nothing was done: \
                        autoscaling:DescribeAutoScalingGroups";
            failed(call, &aws::explain(&error))
        })?;
        let mut groups = answer.auto_scaling_groups().iter();
        Ok(groups.find_map(crate::observe::group_of))
    }

    // Databases.

    async fn instance_now(&self, name: &str) -> Early<Option<Resource>> {
        let request = self
            .rds
            .describe_db_instances()
            .db_instance_identifier(name);
        let answer = match self.pace.call(request.send()).await {
            Ok(answer) => answer,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => {
                let call = "the check before acting, nothing was done: rds:DescribeDBInstances";
                return Err(failed(call, &aws::explain(&error)));
            }
        };
        let mut instances = answer.db_instances().iter();
        Ok(instances.find_map(crate::observe::database_of))
    }

    /// A database as it is now, unless it must not be touched.
    async fn database_now(&self, of: &Subject) -> Early<Resource> {
        let name = &of.name;
        let found = self.instance_now(name).await?;
        let found = found.filter(|found| found.arn == of.arn);
        let found = found.ok_or_else(|| Outcome::Skipped(format!("{name} is gone")))?;
        match found.hold(self.clock.now()) {
            Some(hold) => Err(Outcome::Skipped(format!("{name} is now on hold by {hold}"))),
            None => Ok(found),
        }
    }

    async fn snapshot(&self, wanted: &Snapshotting) -> Early<Outcome> {
        let of = &wanted.of;
        self.is_still_wanted(of).await?;
        let found = self.database_now(of).await?;
        let own = |key: &str| key.starts_with("steward:") || key.starts_with("aws:");
        let mut tags: BTreeMap<&str, &str> = found
            .tags
            .iter()
            .filter(|(key, _)| !own(key))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .take(MOST_OF_PEOPLE)
            .collect();
        tags.extend([
            (MANAGED_BY, SNAPSHOT_ROTATION),
            (MADE_FOR, wanted.resource_id.as_str()),
        ]);
        if let Some(environment) = found.environment() {
            tags.insert(ENVIRONMENT, environment);
        }
        let tags = tags.into_iter();
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
        let request = self
            .rds
            .create_db_snapshot()
            .db_instance_identifier(&of.name)
            .db_snapshot_identifier(&wanted.snapshot)
            .set_tags(Some(tags.collect()));
        match self.pace.call(request.send()).await {
            Ok(_) => Ok(Outcome::Done),
            Err(error) if aws::code(&error) == Some("DBSnapshotAlreadyExists") => {
                Ok(Outcome::AlreadyDone)
            }
            Err(error) if aws::code(&error) == Some("InvalidDBInstanceState") => Err(
                Outcome::Skipped(format!("rds:CreateDBSnapshot: {}", aws::explain(&error))),
            ),
            Err(error) => Err(failed("rds:CreateDBSnapshot", &aws::explain(&error))),
        }
    }

    async fn park_database(&self, of: &Subject) -> Early<Outcome> {
        self.is_still_wanted(of).await?;
        let found = self.database_now(of).await?;
        let status = status_of(&found);
        if !matches!(status, "available" | "stopping" | "stopped") {
            return Err(Outcome::Skipped(format!("{} is {status}", of.name)));
        }
        let mark = self.remember(of, Sizes::default(), State::Parking).await?;
        self.tag(of, &mark.at.to_string()).await?;
        if status != "available" {
            self.confirm(of, State::Parked).await?;
            return Ok(Outcome::AlreadyDone);
        }
        self.hold(&of.environment).await?;
        let request = self.rds.stop_db_instance().db_instance_identifier(&of.name);
        match self.pace.call(request.send()).await {
            Ok(_) => {
                self.confirm(of, State::Parked).await?;
                Ok(Outcome::Done)
            }
            Err(error) if aws::code(&error) == Some("InvalidDBInstanceState") => Err(
                Outcome::Skipped(format!("rds:StopDBInstance: {}", aws::explain(&error))),
            ),
            Err(error) => Err(failed("rds:StopDBInstance", &aws::explain(&error))),
        }
    }

    async fn wake_database(&self, of: &Subject) -> Early<Outcome> {
        self.is_still_wanted(of).await?;
        let found = self.database_now(of).await?;
        let mut outcome = Outcome::AlreadyDone;
        if status_of(&found) == "stopped" {
            let request = self
                .rds
                .start_db_instance()
                .db_instance_identifier(&of.name);
            match self.pace.call(request.send()).await {
                Ok(_) => outcome = Outcome::Done,
                Err(error) if aws::code(&error) == Some("InvalidDBInstanceState") => {
                    let why = format!("rds:StartDBInstance: {}", aws::explain(&error));
                    return Err(Outcome::Skipped(why));
                }
                Err(error) => return Err(failed("rds:StartDBInstance", &aws::explain(&error))),
            }
        } else if status_of(&found) == "stopping" {
            return Err(Outcome::Skipped(format!("{} is stopping", of.name)));
        }
        self.untag(of, &found).await?;
        self.forget(of).await?;
        Ok(outcome)
    }
}

/// How many tags of people a snapshot gets: a resource has 50 at most ("Tag
/// limits", AWS General Reference), and the rest is room for Steward's.
const MOST_OF_PEOPLE: usize = 44;

fn status_of(resource: &Resource) -> &str {
    match &resource.kind {
        Kind::Database(database) => &database.status,
        _ => "",
    }
}

/// The service of AWS in an ARN.
fn kind_of(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}

fn group_tag(name: &str) -> aws_sdk_autoscaling::types::builders::TagBuilder {
    aws_sdk_autoscaling::types::Tag::builder()
        .resource_id(name)
        .resource_type("auto-scaling-group")
        .key(PARKED)
        .propagate_at_launch(false)
}
