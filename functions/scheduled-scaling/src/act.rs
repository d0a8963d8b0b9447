//! Puts services, groups and databases to sleep, wakes and resizes them, and writes
//! down how far that is. This file and its folder are all that changes AWS.
//!
//! Before the first change of an environment it takes the environment's lease, and
//! looks whether the ledger still says what was decided on. Sizes are remembered
//! before they are lowered, and forgotten after they are back.

mod databases;
mod memory;

use std::sync::PoisonError;

use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace, SuspendedState};
use aws_sdk_rds::types::Tag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures::{StreamExt, stream};
use steward::aws;
use steward::engine::{Act, Outcome};
use steward::ledger::Lease;
use steward::names::PARKED;

pub(crate) use self::memory::Held;
use crate::ScheduledScaling;
use crate::action::{Action, Direction, Setting, Subject, is_sized, sizes_of};
use crate::observe::Environments;
use crate::policy::ScalingPolicy;
use crate::world::{Kind, Resource, Sizes, State};

/// How many changes of an environment are under way at once.
const AT_ONCE: usize = 4;

/// How AWS says that what is to be changed is gone, or busy (the errors of
/// `UpdateService`, `RegisterScalableTarget`, `UpdateAutoScalingGroup`,
/// `StopDBInstance`, `StartDBInstance` and `CreateDBSnapshot` in their API references).
const GONE_OR_BUSY: &[&str] = &[
    "ClusterNotFoundException",
    "ServiceNotFoundException",
    "ServiceNotActiveException",
    "ConcurrentUpdateException",
    "ScalingActivityInProgress",
    "ResourceContention",
    "DBInstanceNotFound",
    INVALID_STATE,
];

/// How RDS says that an instance is in a state in which the call is of no use.
const INVALID_STATE: &str = "InvalidDBInstanceState";

fn needs_lease(action: &Action) -> bool {
    !matches!(action, Action::SetOverride(_) | Action::EndOverride { .. })
}

/// An outcome that ends an action early.
type Early<T> = Result<T, Outcome>;

fn failed(call: &str, why: &str) -> Outcome {
    Outcome::Failed(format!("{call}: {why}"))
}

/// What a call that failed says of its target: that it is gone, or busy with something
/// else, which the next run will know; or that the call failed.
fn refused<E>(call: &str, error: &E) -> Outcome
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let why = format!("{call}: {}", aws::explain(error));
    let is_told = aws::code(error).is_some_and(|code| GONE_OR_BUSY.contains(&code));
    if is_told {
        Outcome::Skipped(why)
    } else {
        Outcome::Failed(why)
    }
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
        let release = |lease: Lease| async move { self.ledger.give_back(&lease).await };
        let told: Vec<Option<String>> = stream::iter(leases)
            .map(release)
            .buffered(AT_ONCE)
            .collect()
            .await;
        told.into_iter().flatten().collect()
    }
}

impl Environments {
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

    // Tags.

    async fn tag(&self, of: &Subject, value: &str) -> Early<()> {
        let answer = match kind_of(&of.arn) {
            "ecs" => {
                let tag = aws_sdk_ecs::types::Tag::builder().key(PARKED).value(value);
                let request = self.ecs.tag_resource().resource_arn(&of.arn);
                let request = request.tags(tag.build());
                let answer = self.ecs_pace.call(request.send()).await;
                answer.map(drop).map_err(|error| aws::explain(&error))
            }
            "autoscaling" => {
                let request = self.groups.create_or_update_tags();
                let request = request.tags(group_tag(&of.name).value(value).build());
                let answer = self.groups_pace.call(request.send()).await;
                answer.map(drop).map_err(|error| aws::explain(&error))
            }
            _ => {
                let tag = Tag::builder().key(PARKED).value(value).build();
                let request = self.rds.add_tags_to_resource().resource_name(&of.arn);
                let answer = self.rds_pace.call(request.tags(tag).send()).await;
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
                let answer = self.ecs_pace.call(request.tag_keys(PARKED).send()).await;
                answer.map(drop).map_err(|error| aws::explain(&error))
            }
            "autoscaling" => {
                let request = self.groups.delete_tags();
                let request = request.tags(group_tag(&of.name).build());
                let answer = self.groups_pace.call(request.send()).await;
                answer.map(drop).map_err(|error| aws::explain(&error))
            }
            _ => {
                let request = self.rds.remove_tags_from_resource();
                let request = request.resource_name(&of.arn).tag_keys(PARKED);
                let answer = self.rds_pace.call(request.send()).await;
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
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = answer.map(drop);
        answer.map_err(|error| refused("ecs:UpdateService", &error))
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
        let answer = self.scaling_pace.call(request.send()).await;
        let answer = answer.map(drop);
        answer.map_err(|error| refused("application-autoscaling:RegisterScalableTarget", &error))
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
                // What is remembered of it while it sleeps is what it goes back to, or what
                // its newer tag says.
                Direction::Wake if self.correct(of, sizes).await? => {}
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
        let answer = self.groups_pace.call(request.send()).await;
        answer.map_err(|error| refused("autoscaling:UpdateAutoScalingGroup", &error))?;
        self.after(setting, &found).await
    }

    async fn group_now(&self, name: &str) -> Early<Option<Resource>> {
        let request = self.groups.describe_auto_scaling_groups();
        let request = request.auto_scaling_group_names(name);
        let answer = self.groups_pace.call(request.send()).await;
        let answer = answer.map_err(|error| {
            let call = "the check before acting, nothing was done: \
                        autoscaling:DescribeAutoScalingGroups";
            failed(call, &aws::explain(&error))
        })?;
        let mut groups = answer.auto_scaling_groups().iter();
        Ok(groups.find_map(crate::observe::group_of))
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
