//! What is true: the alarms of this run as they are now, what they are about, and what the
//! ledger remembers. It only reads.

mod alarms;
mod capacity;
mod concerns;
mod databases;
mod memory;
mod once;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use aws_config::SdkConfig;
use aws_sdk_applicationautoscaling as applicationautoscaling;
use aws_sdk_autoscaling as autoscaling;
use aws_sdk_cloudwatch as cloudwatch;
use aws_sdk_ecs as ecs;
use aws_sdk_elasticloadbalancingv2 as elb;
use aws_sdk_rds as rds;
use futures::future;
use jiff::Timestamp;
use steward::aws::{self, Pace, WholeXml};
use steward::engine::{Clock, Gap, Hides, Observe, Seen};
use steward::ledger::{Ledger, LedgerTable};

use self::once::Once;
use crate::AlarmRemediation;
use crate::action::Remedy;
use crate::case::{Case, Source, Stage};
use crate::policy::RemediationPolicy;
use crate::scope::Scope;
use crate::world::{Memory, State, Target, World};

/// Calls that are under way at once, at the most.
pub(crate) const CALLS_AT_ONCE: usize = 16;

/// Alarms and what they are about, as seen and changed through AWS, with what the ledger
/// remembers of them.
#[derive(Debug)]
pub struct Alarms {
    pub(crate) cloudwatch: cloudwatch::Client,
    pub(crate) ecs: ecs::Client,
    pub(crate) scaling: applicationautoscaling::Client,
    pub(crate) groups: autoscaling::Client,
    pub(crate) elb: elb::Client,
    pub(crate) rds: rds::Client,
    pub(crate) ledger: Ledger,
    pub(crate) cloudwatch_pace: Pace,
    pub(crate) ecs_pace: Pace,
    pub(crate) scaling_pace: Pace,
    pub(crate) groups_pace: Pace,
    pub(crate) elb_pace: Pace,
    pub(crate) rds_pace: Pace,
    pub(crate) clock: Clock,
    /// The leases that could not be given back, in sentences.
    pub(crate) kept: Mutex<Vec<String>>,
}

/// What could not be read: which read, why, and the permission that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    pub(crate) read: &'static str,
    pub(crate) why: String,
}

impl Unread {
    pub(crate) fn of(read: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { read, why }
    }

    fn gap(self, hides: Hides) -> Gap {
        Gap {
            read: format!("{}: {}", self.read, self.why),
            hides,
            grant: self.read.to_owned(),
        }
    }
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.read, self.why)
    }
}

/// Why an answer without the list that was asked for is none.
const NO_LIST: &str = "the answer has no list in it";

/// What was read, or why it was not.
pub(crate) type Read<T> = Result<T, Unread>;

impl Alarms {
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
            cloudwatch: cloudwatch::Client::new(config),
            ecs: ecs::Client::new(config),
            scaling: applicationautoscaling::Client::new(config),
            groups: autoscaling::Client::from_conf(whole_groups.build()),
            elb: elb::Client::from_conf(whole_elb.build()),
            rds: rds::Client::from_conf(whole_rds.build()),
            ledger: Ledger::new(config, ledger),
            cloudwatch_pace: pace("monitoring"),
            ecs_pace: pace("ecs"),
            scaling_pace: pace("application-autoscaling"),
            groups_pace: pace("autoscaling"),
            elb_pace: pace("elasticloadbalancing"),
            rds_pace: pace("rds"),
            clock,
            kept: Mutex::default(),
        }
    }

    /// Looks at some things, and at what is needed to judge them.
    async fn look(&self, targets: BTreeSet<Target>, once: &Once, seen: &mut Seen<World>) {
        let mut services: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut groups: BTreeSet<String> = BTreeSet::new();
        let mut instances: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut databases: BTreeSet<String> = BTreeSet::new();
        for target in targets {
            match target {
                Target::Service { cluster, service } => {
                    services.entry(cluster).or_default().push(service);
                }
                Target::Group(name) => {
                    groups.insert(name);
                }
                Target::Instance { cluster, instance } => {
                    instances.entry(cluster).or_default().insert(instance);
                }
                Target::Database(id) => {
                    databases.insert(id);
                }
            }
        }
        let (services, instances, databases) = future::join3(
            self.services(&services, once),
            self.instances(&instances),
            self.databases(&databases),
        )
        .await;
        for part in [services, instances, databases] {
            add(seen, part);
        }
        let of_services = seen.world.services.values();
        groups.extend(of_services.flat_map(|service| service.groups.clone()));
        let of_instances = seen.world.instances.values();
        groups.extend(of_instances.filter_map(|instance| instance.group.clone()));
        if !groups.is_empty() {
            self.groups(&groups, once, seen).await;
        }
    }
}

impl Observe<AlarmRemediation> for Alarms {
    async fn observe(&self, policy: &RemediationPolicy, scope: &Scope) -> Seen<World> {
        let now = self.clock.now();
        let mut seen = Seen::default();
        let memory = self.memory(scope, now, &mut seen).await;
        let remembered = memory.iter().flat_map(|memory| &memory.cases);
        let cases: BTreeMap<&String, &Case> = remembered
            .map(|(key, (_, case))| (key, case))
            .filter(|(key, case)| scope.covers(key, case))
            .collect();

        let mut names: BTreeSet<String> = BTreeSet::new();
        for case in cases.values() {
            if let Source::Alarm(arn) = &case.source {
                names.insert(alarms::name_of(arn).to_owned());
            }
        }
        if let Scope::Alarms(sightings) = scope {
            names.extend(sightings.iter().map(|sighting| sighting.name.clone()));
        }
        let once = Once::default();
        let all = *scope == Scope::Sweep;
        self.alarms(policy, (&names, all), &cases, &once, &mut seen)
            .await;
        if let (Scope::Alarms(sightings), true) = (scope, seen.gaps.is_empty()) {
            let found = |arn: &String| seen.world.alarms.contains_key(arn);
            let wanted = sightings.iter().filter_map(|sighting| sighting.arn.clone());
            let absent: Vec<String> = wanted.filter(|arn| !found(arn)).collect();
            seen.world.absent_alarms.extend(absent);
        }

        let mut targets: BTreeSet<Target> = BTreeSet::new();
        for alarm in seen.world.alarms.values() {
            if alarm.state == State::Alarm {
                targets.extend(alarm.concerns.iter().map(|concern| concern.target.clone()));
            }
        }
        for case in cases.values() {
            targets.extend(of_case(case, memory.as_ref(), now));
        }
        if let Scope::Instance { cluster, instance } = scope {
            targets.insert(Target::Instance {
                cluster: cluster.clone(),
                instance: instance.clone(),
            });
        }
        // Without the ledger nothing is done, and nothing has to be known.
        if memory.is_some() {
            self.look(targets, &once, &mut seen).await;
        }
        seen.world.memory = memory;
        seen
    }
}

/// Adds a part of what is seen.
fn add(seen: &mut Seen<World>, part: Seen<World>) {
    seen.world.services.extend(part.world.services);
    seen.world.instances.extend(part.world.instances);
    seen.world.databases.extend(part.world.databases);
    seen.world.absent.extend(part.world.absent);
    seen.gaps.extend(part.gaps);
    seen.warnings.extend(part.warnings);
}

/// What has to be looked at for a case, whether its alarm is quiet or not. Of one that is
/// quiet already that is what may be given back, and what is due to be taken back.
fn of_case(case: &Case, memory: Option<&Memory>, now: Timestamp) -> impl Iterator<Item = Target> {
    let agent = match &case.source {
        Source::Alarm(_) => None,
        Source::Agent { cluster, instance } => Some(Target::Instance {
            cluster: cluster.clone(),
            instance: instance.clone(),
        }),
    };
    let is_calm = matches!(case.stage, Stage::Calm { .. });
    let last = case.last().map(|last| &last.remedy);
    let last = last.filter(|remedy| !is_calm || matches!(remedy, Remedy::DrainInstance(_)));
    let last = last.map(Remedy::target);
    let is_due = |arn: &str| {
        let raise = memory.and_then(|memory| memory.raises.get(arn));
        is_calm && case.raised.contains(arn) && raise.is_some_and(|raise| raise.until <= now)
    };
    let raised = case.tried.iter();
    let raised = raised.filter(|tried| tried.remedy.raises().is_some_and(is_due));
    let raised: Vec<Target> = raised.map(|tried| tried.remedy.target()).collect();
    agent.into_iter().chain(last).chain(raised)
}

pub(crate) use self::capacity::of_instance as of_container_instance;
pub(crate) use self::services::of_description as of_service;

/// An instant of the SDK's.
pub(crate) fn instant(at: Option<&aws_smithy_types::DateTime>) -> Option<Timestamp> {
    let at = at?;
    let nanos = i32::try_from(at.subsec_nanos()).unwrap_or_default();
    Timestamp::new(at.secs(), nanos).ok()
}

/// What an API calls a whole number and AWS does not make negative.
pub(crate) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// Tags as a map.
pub(crate) fn tags<'t>(
    tags: impl Iterator<Item = (Option<&'t str>, Option<&'t str>)>,
) -> crate::world::Tags {
    let all = tags.filter_map(|(key, value)| Some((key?.to_owned(), value?.to_owned())));
    crate::world::Tags(all.collect())
}
