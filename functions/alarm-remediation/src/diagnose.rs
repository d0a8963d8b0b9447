//! What is to be said of one thing that an alarm is about: a remedy, a reason to wait, or
//! what a person has to know. Pure, and without a look at bounds: those come after.

mod capacity;
mod databases;
mod services;

pub(crate) use self::capacity::{drained, give_back};
pub(crate) use self::databases::PASSING;

use jiff::Timestamp;
use steward::engine::Seen;

use crate::action::Remedy;
use crate::case::{Case, Health};
use crate::policy::RemediationPolicy;
use crate::reason::{Code, Reason};
use crate::world::{Concern, Tags, Target, World};

/// What is to be done about one thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// This, if it may be.
    Do(Box<Doing>),
    /// Nothing yet: the next tick looks again.
    Wait(Reason),
    /// A person has to know.
    Tell(Telling),
    /// Nothing: it is as it should be.
    Nothing(Reason),
}

/// A remedy, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doing {
    pub(crate) code: Code,
    /// Why, with the evidence.
    pub(crate) why: String,
    pub(crate) remedy: Remedy,
    /// Whether it belongs to the one before.
    pub(crate) goes_on: bool,
    /// What it can break, for those who decide on it.
    pub(crate) risk: &'static str,
}

/// What a person has to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Telling {
    pub(crate) reason: Reason,
    /// What to do next.
    pub(crate) next: String,
}

impl Verdict {
    fn tell(code: Code, text: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Tell(Telling {
            reason: Reason::new(code, text),
            next: next.into(),
        })
    }

    fn wait(code: Code, text: impl Into<String>) -> Self {
        Self::Wait(Reason::new(code, text))
    }

    fn remedy(code: Code, why: String, remedy: Remedy, risk: &'static str) -> Self {
        Self::Do(Box::new(Doing {
            code,
            why,
            remedy,
            goes_on: false,
            risk,
        }))
    }

    /// Of several things the one that comes first: what can be done, then what is waited
    /// for, then what a person has to know.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Do(_) => 0,
            // What is on hold is nobody's, and keeps nobody from the rest.
            Self::Wait(reason) if reason.code == Code::Held => 3,
            Self::Wait(_) => 1,
            Self::Tell(_) => 2,
            Self::Nothing(_) => 4,
        }
    }
}

/// What a diagnosis looks at.
pub(crate) struct Patient<'a> {
    pub(crate) policy: &'a RemediationPolicy,
    pub(crate) seen: &'a Seen<World>,
    pub(crate) now: Timestamp,
    /// Its case, which knows since when it is wrong.
    pub(crate) case: &'a Case,
}

impl Patient<'_> {
    fn world(&self) -> &World {
        &self.seen.world
    }

    /// What to say of a thing before it is looked at closely: that it is gone, unseen, on
    /// hold or parked.
    fn at_once(&self, target: &Target, tags: Option<&Tags>) -> Option<Verdict> {
        let name = target.name();
        if self.world().absent.contains(target) {
            return Some(Verdict::tell(
                Code::TargetGone,
                format!("{name}, which the alarm is about, does not exist any more"),
                "Delete the alarm, or let it watch what took its place.",
            ));
        }
        let is_hidden = self.seen.gaps.iter().any(|gap| gap.hides.covers(&name));
        let Some(tags) = tags.filter(|_| !is_hidden) else {
            let text = format!("{name} could not be looked at");
            return Some(Verdict::wait(Code::Unseen, text));
        };
        if let Some(hold) = tags.hold(self.now) {
            let text = format!("{name} is on hold by {hold}");
            return Some(Verdict::wait(Code::Held, text));
        }
        if tags.is_parked() {
            let text = format!("{name} is parked on purpose");
            return Some(Verdict::Nothing(Reason::new(Code::Parked, text)));
        }
        None
    }
}

/// What is to be said of one thing.
pub(crate) fn diagnose(patient: &Patient<'_>, concern: &Concern) -> Verdict {
    match &concern.target {
        Target::Service { cluster, service } => {
            services::diagnose(patient, concern, cluster, service)
        }
        Target::Group(name) => capacity::group(patient, concern, name),
        Target::Instance { cluster, instance } => {
            capacity::instance(patient, concern, cluster, instance)
        }
        Target::Database(id) => databases::diagnose(patient, concern, id),
    }
}

/// How a thing is, to compare with how it was.
pub(crate) fn health(target: &Target, world: &World) -> Option<Health> {
    match target {
        Target::Service { .. } => {
            let service = world.services.get(&target.name())?;
            let unwell = service.tasks.iter().filter(|task| task.is_unhealthy);
            let unwell = u32::try_from(unwell.count()).unwrap_or(u32::MAX);
            let targets = u32::try_from(service.targets.unhealthy.len()).unwrap_or(u32::MAX);
            Some(Health {
                good: service.running.saturating_sub(unwell),
                bad: unwell.max(targets),
            })
        }
        Target::Group(name) => Some(Health {
            good: world.groups.get(name)?.connected,
            bad: 0,
        }),
        Target::Instance { instance, .. } => {
            let group = world.instances.get(instance)?.group.as_ref()?;
            health(&Target::Group(group.clone()), world)
        }
        Target::Database(id) => Some(Health {
            good: world.databases.get(id)?.storage_gib,
            bad: 0,
        }),
    }
}

/// A share of a number, rounded up and at least one.
fn share(of: u32, percent: u32) -> u32 {
    let share = (u64::from(of) * u64::from(percent)).div_ceil(100);
    u32::try_from(share).unwrap_or(u32::MAX).max(1)
}
