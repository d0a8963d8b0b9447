//! What is done about alarms now, and why nothing is about the others. Pure: no clock, no
//! environment, no network, no log, no SDK types.

mod bounds;
mod course;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use steward::engine::{
    After, Change, Decision, Effect, Item, Measure, MeasureKind, Need, OfAll, Plan, Seen, Wait,
};

use self::course::Course;
use crate::action::{Action, Remedy};
use crate::case::{Case, Source, Stage};
use crate::policy::{OFF, RemediationPolicy};
use crate::reason::{Code, Reason};
use crate::scope::{Scope, Sighting};
use crate::world::{
    Alarm, Concern, Instance, Memory, Quiet, REMEDIATION, State, Symptom, Target, World,
};

pub use self::bounds::refuses;

/// The passes of a lane.
mod pass {
    /// What is remembered of cases, so that what is done belongs to one.
    pub(super) const NOTE: u8 = 0;
    /// What is done.
    pub(super) const DO: u8 = 1;
}

/// How many cases are open.
const OPEN_CASES: MeasureKind = MeasureKind {
    name: "OpenCases",
    unit: "Count",
    of_all: OfAll::Sum,
};

/// Every metric of its own.
pub const METRICS: &[&MeasureKind] = &[&OPEN_CASES];

/// How long until the next tick.
const TICK_SECONDS: u32 = 60;

/// What is written as it is decided on.
pub(crate) struct Draft {
    items: Vec<Item<Action, Reason>>,
    needs: Vec<Need>,
    /// What something is done to in this run.
    taken: BTreeSet<Target>,
    /// How many remedies there are in this run.
    remedies: usize,
    /// The units of cases that stay open.
    open: Vec<String>,
}

impl Draft {
    fn keep(&mut self, unit: &str, target: &str, reason: Reason) {
        self.push(unit, target, reason, Decision::Keep, None);
    }

    fn defer(&mut self, unit: &str, target: &str, reason: Reason) {
        self.push(unit, target, reason, Decision::Defer, None);
    }

    fn push(
        &mut self,
        unit: &str,
        target: &str,
        reason: Reason,
        decision: Decision<Action>,
        since: Option<Timestamp>,
    ) {
        self.items.push(Item {
            unit: unit.to_owned(),
            target: target.to_owned(),
            since,
            serves: false,
            reason,
            decision,
        });
    }

    fn act(
        &mut self,
        (unit, target): (&str, &str),
        (pass, effect): (u8, Effect),
        reason: Reason,
        since: Timestamp,
        action: Action,
    ) {
        let change = Change {
            lane: unit.to_owned(),
            pass,
            after: After::EarlierPasses,
            effect,
            action,
        };
        self.push(unit, target, reason, Decision::Act(change), Some(since));
    }
}

/// What a case is about, as it is now.
pub(crate) struct Subject {
    pub(crate) source: Source,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) concerns: Vec<Concern>,
    pub(crate) burns: Burns,
    pub(crate) quiet: Quiet,
    /// Why it is in alarm, in words.
    pub(crate) why: String,
}

/// Whether something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Burns {
    /// It is, since then; `None` is from now on.
    Since(Option<Timestamp>),
    /// It is not.
    No,
    /// Nobody knows.
    Unknown(Reason),
    /// What would tell is gone, or was switched off.
    Gone,
}

pub(crate) fn decide(
    policy: &RemediationPolicy,
    scope: &Scope,
    seen: &Seen<World>,
    now: Timestamp,
) -> Plan<Action, Reason> {
    let mut draft = Draft {
        items: vec![],
        needs: vec![],
        taken: BTreeSet::new(),
        remedies: 0,
        open: vec![],
    };
    let Some(memory) = &seen.world.memory else {
        without_ledger(scope, seen, &mut draft);
        return Plan::of(draft.items);
    };
    let deciding = Deciding {
        policy,
        scope,
        seen,
        memory,
        now,
    };
    let mut looked_at: BTreeSet<String> = BTreeSet::new();
    // Cases first: what they wait for or have done bounds what is new.
    for (key, (version, case)) in &memory.cases {
        if scope.covers(key, case) {
            looked_at.insert(key.clone());
            deciding.case(&mut draft, key, Some((*version, case)));
        }
    }
    match scope {
        Scope::OpenCases => {}
        Scope::Approved(name) if looked_at.is_empty() => {
            let text = format!("no open case is called {name}");
            draft.keep(name, name, Reason::new(Code::NothingToApprove, text));
        }
        Scope::Approved(_) => {}
        Scope::Sweep => {
            let open = seen.world.alarms.keys();
            for arn in open.filter(|arn| !looked_at.contains(*arn)) {
                deciding.case(&mut draft, arn, None);
            }
        }
        Scope::Alarms(sightings) => {
            for sighting in sightings {
                deciding.sighting(&mut draft, sighting, &mut looked_at);
            }
        }
        Scope::Instance { instance, .. } => {
            if !looked_at.contains(instance) {
                deciding.case(&mut draft, instance, None);
            }
        }
    }
    for key in &memory.malformed {
        let text = format!("ledger entry {key} cannot be understood, and is left alone");
        // Not by every tick.
        if *scope == Scope::Sweep {
            draft.needs.push(Need {
                unit: key.clone(),
                what: format!(
                    "{text}. Look at it, and remove it if it is nothing that Steward wrote."
                ),
            });
        }
        draft.keep(key, key, Reason::new(Code::Malformed, text));
    }
    let wait = (!draft.open.is_empty()).then(|| Wait {
        seconds: TICK_SECONDS,
        what: match draft.open.as_slice() {
            [one] => format!("the open case of {one}"),
            many => format!("{} open cases", many.len()),
        },
    });
    let measures = draft.open.iter().map(|unit| Measure {
        unit: unit.clone(),
        metric: &OPEN_CASES,
        value: 1.0,
    });
    Plan {
        measures: measures.collect(),
        items: draft.items,
        wait,
        needs: draft.needs,
    }
}

/// Without the ledger nothing is done, and everything is told.
fn without_ledger(scope: &Scope, seen: &Seen<World>, draft: &mut Draft) {
    let reason = Reason::new(
        Code::NoLedger,
        "nothing is done without the ledger, which bounds what is tried",
    );
    for alarm in seen.world.alarms.values() {
        draft.defer(&alarm.name, &alarm.arn, reason.clone());
    }
    match scope {
        Scope::Alarms(sightings) if seen.world.alarms.is_empty() => {
            for sighting in sightings {
                let target = sighting.arn.as_deref().unwrap_or(&sighting.name);
                draft.defer(&sighting.name, target, reason.clone());
            }
        }
        Scope::Instance { instance, .. } => draft.defer(instance, instance, reason),
        _ => {}
    }
}

/// Everything that is decided by.
pub(crate) struct Deciding<'a> {
    pub(crate) policy: &'a RemediationPolicy,
    pub(crate) scope: &'a Scope,
    pub(crate) seen: &'a Seen<World>,
    pub(crate) memory: &'a Memory,
    pub(crate) now: Timestamp,
}

impl Deciding<'_> {
    /// An alarm that an event is about and no case is open for.
    fn sighting(&self, draft: &mut Draft, sighting: &Sighting, looked_at: &mut BTreeSet<String>) {
        let world = &self.seen.world;
        let found = world.alarms.values().find(|alarm| match &sighting.arn {
            Some(arn) => alarm.arn == *arn,
            None => alarm.name == sighting.name,
        });
        let key = match found {
            Some(alarm) => alarm.arn.clone(),
            None => sighting
                .arn
                .clone()
                .unwrap_or_else(|| sighting.name.clone()),
        };
        if !looked_at.insert(key.clone()) {
            return;
        }
        if found.is_some() {
            self.case(draft, &key, None);
            return;
        }
        // One of this name was found, and has another ARN.
        let is_foreign = world
            .alarms
            .values()
            .any(|alarm| alarm.name == sighting.name);
        let reason = if is_foreign {
            let text = format!("{key} is of another account or Region");
            Reason::new(Code::Foreign, text)
        } else if world.absent_alarms.contains(&key) {
            Reason::new(Code::AlarmGone, format!("alarm {} is gone", sighting.name))
        } else {
            let text = format!("alarm {} could not be read", sighting.name);
            draft.defer(&sighting.name, &key, Reason::new(Code::AlarmUnread, text));
            return;
        };
        draft.keep(&sighting.name, &key, reason);
    }

    /// A case, or what would be one.
    fn case(&self, draft: &mut Draft, key: &str, known: Option<(u64, &Case)>) {
        let subject = self.subject(key, known.map(|(_, case)| case));
        if known.is_none()
            && let Some(reason) = self.left_alone(&subject)
        {
            draft.keep(&subject.unit, key, reason);
            return;
        }
        let course = Course {
            deciding: self,
            key,
            subject: &subject,
            known,
        };
        course.go(draft);
    }

    /// What a key is about.
    fn subject(&self, key: &str, case: Option<&Case>) -> Subject {
        let source = match (case, self.scope) {
            (Some(case), _) => case.source.clone(),
            (None, Scope::Instance { cluster, instance }) => Source::Agent {
                cluster: cluster.clone(),
                instance: instance.clone(),
            },
            (None, _) => Source::Alarm(key.to_owned()),
        };
        let mut subject = match &source {
            Source::Alarm(arn) => self.alarm(arn, &source, case),
            Source::Agent { cluster, instance } => self.agent(cluster, instance, &source, case),
        };
        if let Some(case) = case {
            // One thread of messages, whatever is found out later.
            subject.unit.clone_from(&case.unit);
        }
        subject
    }

    fn alarm(&self, arn: &str, source: &Source, case: Option<&Case>) -> Subject {
        let world = &self.seen.world;
        let Some(alarm) = world.alarms.get(arn) else {
            let name = case.map_or(arn, |case| &case.name);
            let is_gone = world.absent_alarms.contains(arn);
            let text = format!("alarm {name} could not be read");
            return Subject {
                source: source.clone(),
                name: name.to_owned(),
                unit: name.to_owned(),
                concerns: vec![],
                burns: if is_gone {
                    Burns::Gone
                } else {
                    Burns::Unknown(Reason::new(Code::AlarmUnread, text))
                },
                quiet: Quiet::No,
                why: String::new(),
            };
        };
        let unit = match alarm.concerns.as_slice() {
            [one, ..] => one.target.name(),
            [] => alarm.name.clone(),
        };
        Subject {
            source: source.clone(),
            name: alarm.name.clone(),
            unit,
            concerns: alarm.concerns.clone(),
            burns: match tag_of(alarm) {
                // Whoever switches an alarm off ends its case.
                Some(OFF) if case.is_some() => Burns::Gone,
                _ => burns(alarm),
            },
            quiet: alarm.quiet.clone(),
            // Since when, so that each incident is told in words of its own.
            why: format!("alarm {}, since {}: {}", alarm.name, alarm.since, alarm.why),
        }
    }

    fn agent(&self, cluster: &str, arn: &str, source: &Source, case: Option<&Case>) -> Subject {
        let target = Target::Instance {
            cluster: cluster.to_owned(),
            instance: arn.to_owned(),
        };
        let world = &self.seen.world;
        let instance = world.instances.get(arn);
        let name = instance.map_or_else(|| target.name(), |it| it.ec2.clone());
        let burns = match instance {
            _ if world.absent.contains(&target) => Burns::Gone,
            None => {
                let text = format!("instance {name} could not be looked at");
                Burns::Unknown(Reason::new(Code::Unseen, text))
            }
            Some(it) if !matches!(it.status.as_str(), "ACTIVE" | "DRAINING") => Burns::Gone,
            Some(it) if it.is_connected => Burns::No,
            // Its group has ended it, and ECS keeps what was not connected then
            // (`DeregisterContainerInstance`, Amazon ECS API Reference).
            Some(it) if it.group.is_none() && was_of_a_group(it, case) => Burns::Gone,
            // ECS does not say since when: from when it was first seen, or seen again.
            Some(_) => match case {
                Some(case) if !matches!(case.stage, Stage::Calm { .. }) => {
                    Burns::Since(Some(case.since))
                }
                _ => Burns::Since(None),
            },
        };
        Subject {
            source: source.clone(),
            unit: name.clone(),
            why: format!(
                "the ECS agent of {name} is not connected, seen so since {}",
                match &burns {
                    Burns::Since(Some(since)) => *since,
                    _ => self.now,
                }
            ),
            name,
            concerns: vec![Concern {
                target,
                symptom: Symptom::AgentLost,
            }],
            burns,
            quiet: Quiet::No,
        }
    }

    /// Why no case is opened.
    fn left_alone(&self, subject: &Subject) -> Option<Reason> {
        let name = &subject.name;
        if let Source::Agent { cluster, .. } = &subject.source {
            let clusters = self.policy.clusters.as_ref();
            if !clusters.is_some_and(|it| it.selects(cluster)) {
                let text = format!("the policy selects no lost agents of cluster {cluster}");
                return Some(Reason::new(Code::NotSelected, text));
            }
        }
        if let Source::Alarm(arn) = &subject.source
            && let Some(alarm) = self.seen.world.alarms.get(arn)
            && let Some(reason) = self.is_none_of_ours(alarm)
        {
            return Some(reason);
        }
        match &subject.burns {
            Burns::Since(_) => None,
            Burns::No => Some(Reason::new(
                Code::NotInAlarm,
                format!("{name} is not in alarm"),
            )),
            Burns::Gone => Some(Reason::new(Code::AlarmGone, format!("{name} is gone"))),
            Burns::Unknown(reason) => Some(reason.clone()),
        }
    }

    fn is_none_of_ours(&self, alarm: &Alarm) -> Option<Reason> {
        let name = &alarm.name;
        if alarm.is_of_steward {
            let text = format!("alarm {name} watches Steward itself");
            return Some(Reason::new(Code::OfSteward, text));
        }
        // By its tag it may be switched off, which is not known then.
        if alarm.tags.is_none() {
            let text = format!("the tags of alarm {name} could not be read");
            return Some(Reason::new(Code::AlarmUnread, text));
        }
        if !self.policy.takes_on(name, tag_of(alarm)) {
            let text = format!("neither a tag nor the policy selects alarm {name}");
            return Some(Reason::new(Code::NotSelected, text));
        }
        if alarm.is_of_scaling {
            let text = format!("alarm {name} drives a scaling policy");
            return Some(Reason::new(Code::OfScalingPolicy, text));
        }
        None
    }

    /// Whether a gap could hide anything about a unit.
    pub(crate) fn is_hidden(&self, unit: &str) -> bool {
        self.seen.gaps.iter().any(|gap| gap.hides.covers(unit))
    }
}

/// Whether an instance that is of no group now was of one.
fn was_of_a_group(instance: &Instance, case: Option<&Case>) -> bool {
    let mut tried = case.into_iter().flat_map(|case| &case.tried);
    instance.is_of_provider
        || tried.any(|it| {
            matches!(&it.remedy, Remedy::DrainInstance(of) | Remedy::ReplaceInstance(of)
                if of.instance == instance.arn)
        })
}

/// The value of the tag `steward:remediation`.
fn tag_of(alarm: &Alarm) -> Option<&str> {
    let tags = alarm.tags.as_ref()?;
    tags.get(REMEDIATION).map(String::as_str)
}

fn burns(alarm: &Alarm) -> Burns {
    let name = &alarm.name;
    match alarm.state {
        State::Ok => Burns::No,
        State::NoData => Burns::Unknown(Reason::new(
            Code::NoData,
            format!("alarm {name} has no data, which says nothing"),
        )),
        State::Alarm if alarm.is_of_its_making => Burns::Unknown(Reason::new(
            Code::Young,
            format!("alarm {name} has seen no data since it was made"),
        )),
        State::Alarm => Burns::Since(Some(alarm.since)),
    }
}
