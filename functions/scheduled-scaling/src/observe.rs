//! What is true: what the ledger remembers, and of the environments with something to
//! do their services, groups and databases. It only reads.

mod databases;
mod groups;
mod memory;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use aws_config::SdkConfig;
use aws_sdk_applicationautoscaling as applicationautoscaling;
use aws_sdk_autoscaling as autoscaling;
use aws_sdk_ecs as ecs;
use aws_sdk_elasticloadbalancingv2 as elb;
use aws_sdk_rds as rds;
use aws_sdk_ssm as ssm;
use futures::{StreamExt, stream};
use steward::aws::{self, Pace, WholeXml};
use steward::engine::{Clock, Gap, Hides, Observe, Seen};
use steward::ledger::{Ledger, LedgerTable};
use steward::policy::Selection;

use crate::ScheduledScaling;
use crate::act::Held;
use crate::calendar::Wanted;
use crate::decide::{Goal, Place, Placing, Schedules};
use crate::due::Due;
use crate::policy::{Environment, Member, ScalingPolicy};
use crate::scope::Scope;
use crate::world::{Gate, Kind, Look, Resource, Saved, Stray, World};

/// Calls to one service that are under way at once, at the most.
const CALLS_AT_ONCE: usize = 16;

/// Environments as seen and changed through AWS, with what the ledger remembers of
/// them.
#[derive(Debug)]
pub struct Environments {
    pub(crate) ecs: ecs::Client,
    pub(crate) scaling: applicationautoscaling::Client,
    pub(crate) groups: autoscaling::Client,
    pub(crate) rds: rds::Client,
    pub(crate) elb: elb::Client,
    pub(crate) ssm: ssm::Client,
    pub(crate) ledger: Ledger,
    pub(crate) ecs_pace: Pace,
    pub(crate) scaling_pace: Pace,
    pub(crate) groups_pace: Pace,
    pub(crate) rds_pace: Pace,
    pub(crate) elb_pace: Pace,
    pub(crate) ssm_pace: Pace,
    pub(crate) clock: Clock,
    /// The leases that this run has taken, by environment.
    pub(crate) held: Mutex<BTreeMap<String, Held>>,
    /// Whether there is a ledger, as the last observation found.
    pub(crate) has_ledger: Mutex<bool>,
}

/// What is read, and what of it could not be.
pub(crate) struct Reading {
    pub(crate) resources: Vec<Resource>,
    /// What was listed and is of no environment that is looked at, by ARN.
    pub(crate) others: Vec<String>,
    /// Whether anything was listed.
    pub(crate) is_listed: bool,
    /// The reads that failed, each with the permission that it needs.
    pub(crate) failed: Vec<(String, &'static str)>,
    /// Reads that failed and concern one resource, which counts as not ready.
    pub(crate) warnings: Vec<String>,
}

impl Reading {
    pub(crate) fn nothing() -> Self {
        Self {
            resources: vec![],
            others: vec![],
            is_listed: false,
            failed: vec![],
            warnings: vec![],
        }
    }
}

/// What is to be looked at.
pub(crate) struct Wish<'p> {
    policy: &'p ScalingPolicy,
    placing: Placing<'p>,
    looks: &'p BTreeMap<String, Look>,
    goals: &'p BTreeMap<String, Goal>,
    /// What is remembered, by ARN.
    saved: &'p BTreeMap<String, Saved>,
}

impl Wish<'_> {
    /// The environments that are looked at so closely, or more.
    fn of(&self, look: Look) -> impl Iterator<Item = &Environment> {
        let close = self.looks.iter().filter(move |(_, of)| **of >= look);
        close.filter_map(|(name, _)| self.policy.environments.get(name))
    }

    /// Whether one of their members has such resources, and whether those without a
    /// tag have to be seen as well.
    fn kinds(&self, look: Look, of: fn(&Member) -> &Option<Selection>) -> Option<bool> {
        let members = self.of(look).flat_map(|it| it.members().into_values());
        let having: Vec<bool> = members
            .filter(|member| of(member).is_some())
            .map(|member| member.untagged)
            .collect();
        (!having.is_empty()).then(|| having.contains(&true) || !self.saved.is_empty())
    }

    /// With what is remembered of it, a resource of an environment that is looked at;
    /// `None` is no such thing.
    fn take(&self, mut resource: Resource) -> Option<Resource> {
        resource.saved = self.saved.get(&resource.arn).cloned();
        (!self.places(&resource).is_empty()).then_some(resource)
    }

    /// The places of a resource in environments that are looked at.
    fn places(&self, resource: &Resource) -> Vec<Place> {
        let least = match resource.kind {
            Kind::Database(_) => Look::Databases,
            _ => Look::Whole,
        };
        let mut places = self.placing.of_resource(resource);
        places.retain(|place| {
            let look = self.looks.get(&place.environment);
            look.is_some_and(|look| *look >= least)
        });
        places
    }

    /// Whether it is of an environment that wakes, and as large as it is asked to be:
    /// only then does it matter whether it serves.
    fn may_be_ready(&self, resource: &Resource) -> bool {
        let is_up = match &resource.kind {
            Kind::Service(service) => service.desired > 0 && service.runs(),
            Kind::Group(group) => group.least() > 0 && group.runs(),
            Kind::Database(_) => false,
        };
        let wakes = |goal: &Goal| {
            let to = goal.to().filter(|_| goal.awaits());
            to.is_some_and(|to| matches!(to.to, Wanted::On { .. }))
        };
        is_up && self.goals_of(resource).any(wakes)
    }

    /// Whether it is a database that gets a snapshot before it sleeps, and could be
    /// stopped now.
    fn wants_snapshots(&self, resource: &Resource) -> bool {
        let is_off = |goal: &Goal| goal.to().is_some_and(|to| to.to == Wanted::Off);
        let may_stop = matches!(&resource.kind, Kind::Database(it) if it.status == "available");
        let sleeps = may_stop && self.goals_of(resource).any(is_off);
        let mut places = self.places(resource).into_iter();
        sleeps
            && places.any(|place| {
                let member = self.placing.member(&place);
                member.is_some_and(|member| member.snapshot)
            })
    }

    /// What the environments of a resource are to come to.
    fn goals_of(&self, resource: &Resource) -> impl Iterator<Item = &Goal> {
        let places = self.places(resource).into_iter();
        places.filter_map(|place| self.goals.get(&place.environment))
    }
}

impl Environments {
    /// Clients with this configuration, and the ledger in its account and Region.
    pub fn new(config: &SdkConfig, ledger: LedgerTable) -> Self {
        Self::at(config, ledger, Clock::System)
    }

    /// The same with another clock.
    pub fn at(config: &SdkConfig, ledger: LedgerTable, clock: Clock) -> Self {
        let whole_groups = autoscaling::config::Builder::from(config).interceptor(WholeXml);
        let whole_rds = rds::config::Builder::from(config).interceptor(WholeXml);
        let whole_elb = elb::config::Builder::from(config).interceptor(WholeXml);
        let pace = |service| Pace::new(aws::meter(), service, CALLS_AT_ONCE);
        Self {
            ecs: ecs::Client::new(config),
            scaling: applicationautoscaling::Client::new(config),
            groups: autoscaling::Client::from_conf(whole_groups.build()),
            rds: rds::Client::from_conf(whole_rds.build()),
            elb: elb::Client::from_conf(whole_elb.build()),
            ssm: ssm::Client::new(config),
            ledger: Ledger::new(config, ledger),
            ecs_pace: pace("ecs"),
            scaling_pace: pace("application-autoscaling"),
            groups_pace: pace("autoscaling"),
            rds_pace: pace("rds"),
            elb_pace: pace("elasticloadbalancing"),
            ssm_pace: pace("ssm"),
            clock,
            held: Mutex::default(),
            has_ledger: Mutex::new(true),
        }
    }

    /// What Change Calendars say, each by itself: together they would say only what
    /// is worst.
    async fn change_calendars(
        &self,
        names: BTreeSet<&str>,
        seen: &mut Seen<World>,
    ) -> BTreeMap<String, Gate> {
        let asked: Vec<_> = stream::iter(names)
            .map(|name| async move { (name, self.change_calendar(name).await) })
            .buffered(CALLS_AT_ONCE)
            .collect()
            .await;
        let mut gates = BTreeMap::new();
        for (name, answer) in asked {
            let gate = answer.unwrap_or_else(|why| {
                seen.warnings.push(format!(
                    "Change Calendar {name} counts as closed: ssm:GetCalendarState: {why}"
                ));
                Gate::Unread
            });
            gates.insert(name.to_owned(), gate);
        }
        gates
    }

    async fn change_calendar(&self, name: &str) -> Result<Gate, String> {
        let request = self.ssm.get_calendar_state().calendar_names(name);
        let answer = self.ssm_pace.call(request.send()).await;
        let answer = answer.map_err(|error| aws::explain(&error))?;
        match answer.state().map(ssm::types::CalendarState::as_str) {
            Some("OPEN") => Ok(Gate::Open),
            Some("CLOSED") => Ok(Gate::Closed {
                until: answer.next_transition_time().and_then(|at| at.parse().ok()),
            }),
            _ => Err("the answer has no state in it".to_owned()),
        }
    }

    /// Everything that is wished for.
    async fn look(&self, wish: &Wish<'_>, seen: &mut Seen<World>) {
        let (services, groups, databases) = futures::join!(
            Box::pin(self.services(wish)),
            Box::pin(self.capacity(wish)),
            Box::pin(self.databases(wish)),
        );
        let listed = [
            (":ecs:", Look::Whole, services),
            (":autoscaling:", Look::Whole, groups),
            (":rds:", Look::Databases, databases),
        ];
        let mut known: BTreeSet<String> = BTreeSet::new();
        let mut complete: Vec<&str> = Vec::new();
        for (kind, least, reading) in listed {
            let hidden: BTreeSet<String> = wish
                .looks
                .iter()
                .filter(|(_, look)| **look >= least)
                .map(|(name, _)| name.clone())
                .collect();
            if reading.is_listed && reading.failed.is_empty() {
                complete.push(kind);
            }
            for (read, grant) in reading.failed {
                seen.gaps.push(Gap {
                    read,
                    hides: Hides::Units(hidden.clone()),
                    grant: grant.to_owned(),
                });
            }
            seen.warnings.extend(reading.warnings);
            known.extend(reading.others);
            let of = reading.resources.into_iter();
            let resources = of.map(|resource| (resource.arn.clone(), resource));
            seen.world.resources.extend(resources);
        }
        for (arn, saved) in wish.saved {
            let look = wish.looks.get(&saved.environment);
            if look == Some(&Look::Whole) && !seen.world.resources.contains_key(arn) {
                let is_listed = complete.iter().any(|kind| arn.contains(kind));
                let stray = Stray {
                    saved: saved.clone(),
                    is_gone: is_listed && !known.contains(arn),
                };
                seen.world.strays.insert(arn.clone(), stray);
            }
        }
    }
}

impl Observe<ScheduledScaling> for Environments {
    async fn observe(&self, policy: &ScalingPolicy, scope: &Scope) -> Seen<World> {
        let now = self.clock.now();
        let mut seen = Seen::default();
        self.memory(now, &mut seen).await;
        let is_unread = seen.world.memory.is_none() && !seen.gaps.is_empty();
        if is_unread || matches!(scope, Scope::Override(_)) {
            return seen;
        }
        let schedules = Schedules::of(policy);
        let covered = policy.environments.iter();
        let covered: Vec<_> = covered.filter(|(name, _)| scope.covers(name)).collect();
        if let Some(memory) = &seen.world.memory {
            let mut calendars = BTreeSet::new();
            for (name, environment) in &covered {
                let due = schedules.due(name, environment, memory, now);
                let is_enforced = schedules.is_enforced(environment);
                if matches!(due, Due::Apply(_) | Due::FirstSight) || is_enforced {
                    calendars.extend(schedules.change_calendars(environment));
                }
            }
            seen.world.change_calendars = self.change_calendars(calendars, &mut seen).await;
        }
        let mut looks = BTreeMap::new();
        let mut goals = BTreeMap::new();
        for (name, environment) in covered {
            let goal = schedules.goal(name, environment, &seen.world, now);
            looks.insert(name.clone(), goal.look(environment));
            goals.insert(name.clone(), goal);
        }
        if looks.values().any(|look| *look > Look::Memory)
            && let Some(remembered) = self.remembered(&looks, &mut seen, now).await
        {
            let wish = Wish {
                policy,
                placing: Placing::of(policy),
                looks: &looks,
                goals: &goals,
                saved: &remembered.saved,
            };
            self.look(&wish, &mut seen).await;
            for (arn, raised) in remembered.raised {
                if let Some(resource) = seen.world.resources.get_mut(&arn) {
                    resource.raised_from = Some(raised);
                }
            }
        }
        seen.world.looked_at = looks;
        seen
    }
}

pub(crate) use self::databases::database_of;
pub(crate) use self::groups::group_of;
pub(crate) use self::services::{scalable_of, service_of};

/// What an API calls a whole number and AWS does not make negative.
pub(crate) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// Tags as a map.
pub(crate) fn tags<'t>(
    tags: impl Iterator<Item = (Option<&'t str>, Option<&'t str>)>,
) -> BTreeMap<String, String> {
    tags.filter_map(|(key, value)| Some((key?.to_owned(), value.unwrap_or_default().to_owned())))
        .collect()
}
