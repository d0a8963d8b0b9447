//! Auto Scaling groups and their instances: room for tasks, and instances that are of no
//! use.

use steward::policy::Period;

use super::{Doing, Patient, Verdict, share};
use crate::action::{OfInstance, RaisingGroup, Remedy};
use crate::case::Effect;
use crate::policy::{LOST_FOR, has_lasted};
use crate::reason::Code;
use crate::world::{Concern, Instance, Symptom, Target};

/// How long services are given to move away from an instance that is drained.
const DRAINS_FOR: Period = Period::minutes(10);

pub(super) fn group(patient: &Patient<'_>, concern: &Concern, name: &str) -> Verdict {
    match concern.symptom {
        Symptom::NoRoom | Symptom::Busy => {
            raise(patient, name, format!("the instances of {name} are full"))
        }
        _ => Verdict::tell(
            Code::NoRemedy,
            format!("no remedy is known for what the alarm watches of group {name}"),
            "Look at the alarm's metric and at the activities of the group.",
        ),
    }
}

/// More room in a group.
pub(super) fn raise(patient: &Patient<'_>, name: &str, facts: String) -> Verdict {
    let target = Target::Group(name.to_owned());
    let group = patient.world().groups.get(name);
    if let Some(verdict) = patient.at_once(&target, group.map(|it| &it.tags)) {
        return verdict;
    }
    let Some(group) = group else {
        return Verdict::wait(Code::Unseen, format!("group {name} was not looked at"));
    };
    let facts = format!(
        "{facts}. Group {name} has {} instances that take tasks, {} asked for, and room for {}",
        group.connected, group.desired, group.max
    );
    if group.connected < group.desired {
        let text = format!("instances are on their way. {facts}");
        return Verdict::wait(Code::HealsItself, text);
    }
    if group.is_managed && group.desired < group.max {
        let text = format!("ECS itself asks for more instances. {facts}");
        return Verdict::wait(Code::HealsItself, text);
    }
    let setting = patient.policy.remedies.raise_group.as_ref();
    let most = setting.map_or(u32::MAX, |it| it.most);
    let wanted = group
        .desired
        .saturating_add(setting.map_or(1, |it| it.step));
    let wanted = wanted.min(most);
    if wanted <= group.desired {
        return Verdict::tell(
            Code::AtMaximum,
            format!("{most} instances are the most that the policy allows. {facts}"),
            "Raise the maximum in the policy, or reserve less for each task.",
        );
    }
    Verdict::remedy(
        Code::NoRoom,
        facts,
        Remedy::RaiseGroup(RaisingGroup {
            group: name.to_owned(),
            arn: group.arn.clone(),
            max: (group.max, group.max.max(wanted)),
            desired: (!group.is_managed).then_some((group.desired, wanted)),
        }),
        "More instances cost more, and more tasks hold more connections to the database. When it \
         is taken back, the group ends as many instances, with what runs on them.",
    )
}

pub(super) fn instance(
    patient: &Patient<'_>,
    concern: &Concern,
    cluster: &str,
    arn: &str,
) -> Verdict {
    let mut instances = patient.world().instances.values();
    let found = instances.find(|it| it.arn == arn || it.ec2 == arn);
    if let Some(verdict) = patient.at_once(&concern.target, found.map(|it| &it.tags)) {
        return verdict;
    }
    let Some(instance) = found else {
        return Verdict::wait(Code::Unseen, format!("instance {arn} was not looked at"));
    };
    let of = |group: &str| OfInstance {
        cluster: cluster.to_owned(),
        instance: instance.arn.clone(),
        ec2: instance.ec2.clone(),
        group: group.to_owned(),
    };
    let what = match concern.symptom {
        Symptom::AgentLost => format!("the ECS agent of {} is not connected", instance.ec2),
        _ => format!("instance {} fails its checks", instance.ec2),
    };
    let facts = format!("{what}; {} tasks are on it", instance.tasks);
    let Some(group) = &instance.group else {
        return Verdict::tell(
            Code::NoGroup,
            format!("{facts}, and it is of no Auto Scaling group that would replace it"),
            "Restart its agent, or replace it by hand.",
        );
    };
    let setting = patient.policy.remedies.replace_instance.as_ref();
    let lost_for = setting.map_or(LOST_FOR, |it| it.lost_for);
    if !has_lasted(patient.case.since, lost_for, patient.now) {
        let text = format!("{facts}; such pass, and it has {lost_for}");
        return Verdict::wait(Code::Damping, text);
    }
    let replace = Remedy::ReplaceInstance(of(group));
    if patient.case.has_failed(|it| *it == replace) {
        return Verdict::tell(
            Code::TasksFail,
            format!("{facts}; the group was to replace it, and it is still there"),
            "Look at the activities of the group, whether something protects the instance, and \
             whether the group could be told.",
        );
    }
    if let Some(verdict) = floor(patient, instance, group, &facts) {
        return verdict;
    }
    if instance.status != "DRAINING" {
        return Verdict::remedy(
            Code::BadInstance,
            facts,
            Remedy::DrainInstance(of(group)),
            "Its tasks are stopped once others run. Where the agent is lost they may go on to \
             run unseen until the instance is replaced.",
        );
    }
    let drained = patient.case.tried.iter().rev().find(
        |tried| matches!(&tried.remedy, Remedy::DrainInstance(it) if it.instance == instance.arn),
    );
    let Some(drained) = drained else {
        return Verdict::wait(
            Code::HealsItself,
            format!("somebody else drains it: {facts}"),
        );
    };
    if instance.tasks > 0 && !has_lasted(drained.at, DRAINS_FOR, patient.now) {
        return Verdict::wait(Code::Settling, format!("tasks move away from it: {facts}"));
    }
    Verdict::Do(Box::new(Doing {
        code: Code::BadInstance,
        why: facts,
        remedy: replace,
        goes_on: true,
        risk: "The instance is terminated, and what is on its disks is lost.",
    }))
}

/// What to say when too few instances would be left.
fn floor(patient: &Patient<'_>, one: &Instance, name: &str, facts: &str) -> Option<Verdict> {
    let group = patient.world().groups.get(name);
    let target = Target::Group(name.to_owned());
    if let Some(verdict) = patient.at_once(&target, group.map(|it| &it.tags)) {
        return Some(verdict);
    }
    let group = group?;
    let setting = patient.policy.remedies.replace_instance.as_ref();
    let least = share(group.desired, setting.map_or(50, |it| it.keep_percent));
    let is_counted = one.is_connected && one.status == "ACTIVE";
    let others = group.connected.saturating_sub(u32::from(is_counted));
    (others < least).then(|| {
        Verdict::tell(
            Code::TooFewLeft,
            format!("{others} other instances of {name} take tasks, of {least} at least: {facts}"),
            "Several instances at once have another cause: look at the network, the agent's \
             version and the endpoints that it needs.",
        )
    })
}

/// An instance that this case has drained, and that is so still: neither given back nor
/// replaced.
pub(crate) fn drained<'a>(patient: &Patient<'a>) -> Option<&'a OfInstance> {
    let mut given_back = Vec::new();
    for tried in patient.case.tried.iter().rev() {
        match &tried.remedy {
            // One whose call failed has an effect that says so, or none.
            Remedy::UseInstance(of) if tried.effect == Some(Effect::Helped) => {
                given_back.push(of);
            }
            Remedy::DrainInstance(of) if !given_back.contains(&of) => {
                let instance = patient.world().instances.get(&of.instance);
                if instance.is_some_and(|it| it.status == "DRAINING") {
                    return Some(of);
                }
            }
            _ => {}
        }
    }
    None
}

/// Giving back an instance that this case has drained, when it is well again.
pub(crate) fn give_back(patient: &Patient<'_>) -> Option<Doing> {
    let of = drained(patient)?;
    let instance = patient.world().instances.get(&of.instance)?;
    instance.is_connected.then(|| Doing {
        code: Code::InstanceBack,
        why: format!("instance {} is well again", of.ec2),
        remedy: Remedy::UseInstance(of.clone()),
        goes_on: true,
        risk: "",
    })
}
