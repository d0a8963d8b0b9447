//! Auto Scaling groups and their instances.

use aws_sdk_ecs::types::ContainerInstanceStatus;
use futures::{TryFutureExt, future};
use steward::aws;
use steward::engine::Outcome;

use super::{Early, failed, unchecked};
use crate::action::{OfInstance, RaisingGroup, TakingBack};
use crate::observe::{Alarms, of_container_instance};
use crate::world::{Group, Tags};

impl Alarms {
    /// A group that may be changed.
    async fn check_group(&self, name: &str) -> Early<Group> {
        let found = self.describe_groups(vec![name.to_owned()]).await;
        let found = found.map_err(|unread| unchecked(&unread))?;
        let Some(group) = found.into_values().next() else {
            return Err(Outcome::Skipped(format!("group {name} is gone")));
        };
        self.may_change(name, &group.tags)?;
        Ok(group)
    }

    fn may_change(&self, name: &str, tags: &Tags) -> Early<()> {
        if let Some(hold) = tags.hold(self.clock.now()) {
            return Err(Outcome::Skipped(format!("{name} is now on hold by {hold}")));
        }
        if tags.is_parked() {
            return Err(Outcome::Skipped(format!("{name} is now parked")));
        }
        Ok(())
    }

    pub(super) async fn check_raise_group(&self, it: &RaisingGroup) -> Early<()> {
        let group = self.check_group(&it.group).await?;
        let asked = it.desired.is_none_or(|(before, _)| group.desired == before);
        if group.max == it.max.0 && asked {
            return Ok(());
        }
        let is_asked = it.desired.is_none_or(|(_, to)| group.desired >= to);
        if group.max >= it.max.1 && is_asked {
            return Err(Outcome::AlreadyDone);
        }
        let why = format!("group {} has other sizes meanwhile", it.group);
        Err(Outcome::Skipped(why))
    }

    pub(super) async fn raise_group(&self, it: &RaisingGroup) -> Early<()> {
        let (max, desired) = (it.max.1, it.desired.map(|(_, to)| to));
        self.set_group(&it.group, Some(max), desired).await
    }

    pub(super) async fn restore_group(&self, name: &str, back: &TakingBack) -> Early<()> {
        if back.max.is_none() && back.desired.is_none() {
            return Ok(());
        }
        // What somebody has changed since it was decided on stays.
        let group = self.check_group(name).await?;
        let is_so = |has: u32, back: Option<(u32, u32)>| {
            back.and_then(|(from, to)| (from == has).then_some(to))
        };
        let max = is_so(group.max, back.max);
        let desired = is_so(group.desired, back.desired);
        if max.is_none() && desired.is_none() {
            return Ok(());
        }
        if desired.is_none() && max.is_some_and(|max| group.desired > max) {
            let why = format!("{name} needs its room again");
            return Err(Outcome::Skipped(why));
        }
        self.set_group(name, max, desired).await
    }

    async fn set_group(&self, name: &str, max: Option<u32>, desired: Option<u32>) -> Early<()> {
        let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        let request = self
            .groups
            .update_auto_scaling_group()
            .auto_scaling_group_name(name)
            .set_max_size(max.map(number))
            .set_desired_capacity(desired.map(number));
        let answer = self.groups_pace.call(request.send()).await;
        answer
            .map(drop)
            .map_err(|error| failed("autoscaling:UpdateAutoScalingGroup", &aws::explain(&error)))
    }

    /// An instance in one status that is to get another.
    pub(super) async fn check_instance(&self, it: &OfInstance, from: &str, to: &str) -> Early<()> {
        let arns = std::iter::once(it.instance.clone()).collect();
        let found = self.describe_instances(&it.cluster, &arns);
        let (_, found) = future::try_join(
            self.check_group(&it.group),
            found.map_err(|unread| unchecked(&unread)),
        )
        .await?;
        let mut found = found.iter();
        let Some(instance) = found.find_map(|one| of_container_instance(&it.cluster, one)) else {
            return Err(Outcome::Skipped(format!("instance {} is gone", it.ec2)));
        };
        self.may_change(&it.ec2, &instance.tags)?;
        match instance.status.as_str() {
            status if status == from => Ok(()),
            status if status == to => Err(Outcome::AlreadyDone),
            other => Err(Outcome::Skipped(format!("instance {} is {other}", it.ec2))),
        }
    }

    pub(super) async fn set_status(&self, it: &OfInstance, status: &str) -> Early<()> {
        const CALL: &str = "ecs:UpdateContainerInstancesState";
        let request = self
            .ecs
            .update_container_instances_state()
            .cluster(&it.cluster)
            .container_instances(&it.instance)
            .status(ContainerInstanceStatus::from(status));
        let answer = self.ecs_pace.call(request.send()).await;
        let answer = answer.map_err(|error| failed(CALL, &aws::explain(&error)))?;
        match answer.failures().first() {
            None => Ok(()),
            Some(failure) => {
                let why = failure.reason().unwrap_or("a failure without a reason");
                Err(failed(CALL, why))
            }
        }
    }

    pub(super) async fn check_member(&self, it: &OfInstance) -> Early<()> {
        let group = self.check_group(&it.group).await?;
        if group.in_service.contains(&it.ec2) {
            Ok(())
        } else {
            Err(Outcome::AlreadyDone)
        }
    }

    pub(super) async fn replace_instance(&self, it: &OfInstance) -> Early<()> {
        let request = self
            .groups
            .set_instance_health()
            .instance_id(&it.ec2)
            .health_status("Unhealthy")
            .should_respect_grace_period(false);
        let answer = self.groups_pace.call(request.send()).await;
        answer
            .map(drop)
            .map_err(|error| failed("autoscaling:SetInstanceHealth", &aws::explain(&error)))
    }
}
