//! What alarm-remediation changes, complete: acting makes no choices.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use steward::engine::ActionView;

use crate::case::{Health, Noted};
use crate::world::{Target, World};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Writes into the ledger how a case stands.
    Note(Note),
    /// Does something about a case.
    Remedy(Remedying),
    /// Gives back what was raised for a while.
    TakeBack(TakingBack),
}

/// See [`Action::Note`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The key of the case.
    pub case: String,
    /// What its messages are about.
    pub unit: String,
    /// The version of what is remembered; `None` when nothing is.
    pub version: Option<u64>,
    /// What is noted, in this order.
    pub what: Vec<Noted>,
}

/// See [`Action::Remedy`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remedying {
    /// The key of the case.
    pub case: String,
    /// What its messages are about.
    pub unit: String,
    /// Why, with the evidence.
    pub why: String,
    /// How things are before.
    pub before: Health,
    /// What is done.
    pub remedy: Remedy,
    /// Whether it is the second half of the one before, or undoes that: then no bound
    /// holds it back.
    pub goes_on: bool,
    /// Whether a person has approved it: then it need not wait for the last one to have
    /// cooled down.
    pub is_approved: bool,
}

/// What is done about a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Gives a service more tasks for a while.
    RaiseService(RaisingService),
    /// Stops a deployment, so that ECS goes back to what ran before.
    StopDeployment(StoppingDeployment),
    /// Goes back to what ran before the last deployment.
    RollBack(RollingBack),
    /// Stops tasks that are not well, for ECS to start others.
    ReplaceTasks(ReplacingTasks),
    /// Gives a group room for more instances for a while.
    RaiseGroup(RaisingGroup),
    /// Lets no new tasks onto an instance, and moves those of services away.
    DrainInstance(OfInstance),
    /// Tells a group that one of its instances is to be replaced.
    ReplaceInstance(OfInstance),
    /// Lets tasks onto an instance again.
    UseInstance(OfInstance),
    /// Gives a database more storage.
    GrowStorage(GrowingStorage),
    /// Gives a database a larger class, as a person has approved.
    ChangeClass(ChangingClass),
}

/// See [`Remedy::RaiseService`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RaisingService {
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// Its ARN.
    pub arn: String,
    /// The least tasks that Application Auto Scaling has, where it has it.
    pub min: Option<u32>,
    /// How many tasks are asked for.
    pub desired: u32,
    /// How many are to be.
    pub to: u32,
}

/// See [`Remedy::StopDeployment`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoppingDeployment {
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// The ARN of the deployment.
    pub deployment: String,
}

/// See [`Remedy::RollBack`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingBack {
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// The service's ARN.
    pub arn: String,
    /// The revision that it goes back to.
    pub revision: String,
    /// The task definition of that.
    pub task_definition: String,
    /// The digests of its images, by the names of its containers.
    pub digests: BTreeMap<String, String>,
    /// The deployment that it goes back behind.
    pub from: String,
}

/// See [`Remedy::ReplaceTasks`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplacingTasks {
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// The ARNs of the tasks.
    pub tasks: Vec<String>,
}

/// See [`Remedy::RaiseGroup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RaisingGroup {
    /// The group's name.
    pub group: String,
    /// Its ARN.
    pub arn: String,
    /// The most instances it has room for, before and after.
    pub max: (u32, u32),
    /// How many are asked for, before and after; `None` where ECS decides that.
    pub desired: Option<(u32, u32)>,
}

/// A container instance, and the group that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfInstance {
    /// The cluster's name.
    pub cluster: String,
    /// The ARN of the container instance.
    pub instance: String,
    /// The id of the EC2 instance.
    pub ec2: String,
    /// The name of the group.
    pub group: String,
}

/// See [`Remedy::GrowStorage`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowingStorage {
    /// The identifier of the database.
    pub database: String,
    /// What it is, in any account and Region.
    pub resource_id: String,
    /// Its ARN.
    pub arn: String,
    /// Its storage, GiB.
    pub from_gib: u32,
    /// What it is to be, GiB.
    pub to_gib: u32,
}

/// See [`Remedy::ChangeClass`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangingClass {
    /// The identifier of the database.
    pub database: String,
    /// What it is, in any account and Region.
    pub resource_id: String,
    /// Its ARN.
    pub arn: String,
    /// Its class.
    pub from: String,
    /// What it is to be.
    pub to: String,
}

/// See [`Action::TakeBack`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakingBack {
    /// The key of the case that stands for it.
    pub case: String,
    /// What its messages are about.
    pub unit: String,
    /// What was raised.
    pub target: Target,
    /// Its ARN.
    pub arn: String,
    /// Until when it was to be raised, as the ledger says it.
    pub until: Timestamp,
    /// The least that it has and is to have, where that is what it was raised to still.
    pub min: Option<(u32, u32)>,
    /// The same of how many are asked for.
    pub desired: Option<(u32, u32)>,
    /// The same of the most that it may have.
    pub max: Option<(u32, u32)>,
}

/// Every action kind, for the contract section of the README.
pub const ACTION_KINDS: &[&str] = &[
    "open_case",
    "reopen_case",
    "calm_case",
    "record_effect",
    "tell_person",
    "record_raise_gone",
    "close_case",
    "raise_service",
    "stop_deployment",
    "roll_back",
    "replace_tasks",
    "raise_group",
    "drain_instance",
    "replace_instance",
    "use_instance",
    "grow_storage",
    "change_class",
    "take_back",
];

/// The kinds that only write down how cases stand.
pub const NOTES: &[&str] = &[
    "open_case",
    "reopen_case",
    "calm_case",
    "record_effect",
    "tell_person",
    "record_raise_gone",
    "close_case",
];

impl Remedy {
    /// The kind of the action, which is that of the policy's `remedies` as well, but for
    /// `drain_instance` and `use_instance`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RaiseService(_) => "raise_service",
            Self::StopDeployment(_) => "stop_deployment",
            Self::RollBack(_) => "roll_back",
            Self::ReplaceTasks(_) => "replace_tasks",
            Self::RaiseGroup(_) => "raise_group",
            Self::DrainInstance(_) => "drain_instance",
            Self::ReplaceInstance(_) => "replace_instance",
            Self::UseInstance(_) => "use_instance",
            Self::GrowStorage(_) => "grow_storage",
            Self::ChangeClass(_) => "change_class",
        }
    }

    /// What it is done to.
    pub fn target(&self) -> Target {
        let service = |cluster: &String, service: &String| Target::Service {
            cluster: cluster.clone(),
            service: service.clone(),
        };
        match self {
            Self::RaiseService(it) => service(&it.cluster, &it.service),
            Self::StopDeployment(it) => service(&it.cluster, &it.service),
            Self::RollBack(it) => service(&it.cluster, &it.service),
            Self::ReplaceTasks(it) => service(&it.cluster, &it.service),
            Self::RaiseGroup(it) => Target::Group(it.group.clone()),
            Self::DrainInstance(it) | Self::ReplaceInstance(it) | Self::UseInstance(it) => {
                Target::Instance {
                    cluster: it.cluster.clone(),
                    instance: it.instance.clone(),
                }
            }
            Self::GrowStorage(it) => Target::Database(it.database.clone()),
            Self::ChangeClass(it) => Target::Database(it.database.clone()),
        }
    }

    /// The ARN of what it raises for a while.
    pub fn raises(&self) -> Option<&str> {
        match self {
            Self::RaiseService(it) => Some(&it.arn),
            Self::RaiseGroup(it) => Some(&it.arn),
            _ => None,
        }
    }

    /// What it does, in a sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::RaiseService(it) => format!(
                "service {}/{} gets {} tasks instead of {} for a while",
                it.cluster, it.service, it.to, it.desired
            ),
            Self::StopDeployment(it) => format!(
                "the deployment of {}/{} is stopped and rolled back",
                it.cluster, it.service
            ),
            Self::RollBack(it) => format!(
                "service {}/{} goes back to {}, pinned to the images that ran",
                it.cluster,
                it.service,
                short(&it.task_definition)
            ),
            Self::ReplaceTasks(it) => format!(
                "{} unhealthy of service {}/{} {} replaced",
                tasks(it.tasks.len()),
                it.cluster,
                it.service,
                if it.tasks.len() == 1 { "is" } else { "are" }
            ),
            Self::RaiseGroup(it) => format!(
                "group {} gets room for {} instances instead of {} for a while",
                it.group, it.max.1, it.max.0
            ),
            Self::DrainInstance(it) => format!("instance {} is drained", it.ec2),
            Self::ReplaceInstance(it) => {
                format!("group {} is told to replace instance {}", it.group, it.ec2)
            }
            Self::UseInstance(it) => format!("instance {} takes tasks again", it.ec2),
            Self::GrowStorage(it) => format!(
                "database {} gets {} GiB of storage instead of {}",
                it.database, it.to_gib, it.from_gib
            ),
            Self::ChangeClass(it) => format!(
                "database {} gets class {} instead of {}",
                it.database, it.to, it.from
            ),
        }
    }

    /// How a person takes it back, where that is one command.
    pub fn undo(&self) -> Option<String> {
        match self {
            Self::RaiseService(it) => Some(match it.min {
                Some(min) => format!(
                    "aws application-autoscaling register-scalable-target --service-namespace ecs \
                     --scalable-dimension ecs:service:DesiredCount --resource-id \
                     service/{}/{} --min-capacity {min}",
                    it.cluster, it.service
                ),
                None => format!(
                    "aws ecs update-service --cluster {} --service {} --desired-count {}",
                    it.cluster, it.service, it.desired
                ),
            }),
            Self::RaiseGroup(it) => Some(format!(
                "aws autoscaling update-auto-scaling-group --auto-scaling-group-name {} \
                 --max-size {}{}",
                it.group,
                it.max.0,
                it.desired.map_or(String::new(), |(desired, _)| format!(
                    " --desired-capacity {desired}"
                ))
            )),
            Self::DrainInstance(it) => Some(format!(
                "aws ecs update-container-instances-state --cluster {} --container-instances {} \
                 --status ACTIVE",
                it.cluster, it.instance
            )),
            Self::ChangeClass(it) => Some(format!(
                "aws rds modify-db-instance --db-instance-identifier {} --db-instance-class {} \
                 --apply-immediately",
                it.database, it.from
            )),
            _ => None,
        }
    }
}

fn tasks(count: usize) -> String {
    format!("{count} task{}", if count == 1 { "" } else { "s" })
}

/// The end of an ARN, which is what people know.
pub(crate) fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

impl Action {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            // What comes first is what it is about: a person may be told of it as well.
            Self::Note(note) => match note.what.first() {
                Some(Noted::Opened { .. }) => "open_case",
                Some(Noted::Reopened { .. }) => "reopen_case",
                Some(Noted::Calmed) => "calm_case",
                Some(Noted::Verified { .. }) => "record_effect",
                Some(Noted::Told { .. }) => "tell_person",
                Some(Noted::RaiseGone { .. }) => "record_raise_gone",
                Some(Noted::Closed { .. }) | None => "close_case",
            },
            Self::Remedy(remedying) => remedying.remedy.kind(),
            Self::TakeBack(_) => "take_back",
        }
    }

    /// The key of the case that it is for.
    pub fn case(&self) -> &str {
        match self {
            Self::Note(Note { case, .. })
            | Self::Remedy(Remedying { case, .. })
            | Self::TakeBack(TakingBack { case, .. }) => case,
        }
    }

    fn unit(&self) -> &str {
        match self {
            Self::Note(Note { unit, .. })
            | Self::Remedy(Remedying { unit, .. })
            | Self::TakeBack(TakingBack { unit, .. }) => unit,
        }
    }
}

pub(crate) fn view(action: &Action) -> ActionView {
    let mut detail = Map::new();
    detail.insert("case".to_owned(), json!(action.case()));
    let resource = match action {
        Action::Note(note) => {
            for noted in &note.what {
                match noted {
                    Noted::Told { text, .. } => {
                        detail.insert("told".to_owned(), json!(text));
                    }
                    Noted::Verified { effect, .. } => {
                        detail.insert("effect".to_owned(), json!(effect));
                    }
                    _ => {}
                }
            }
            note.case.clone()
        }
        Action::Remedy(remedying) => {
            detail.insert("why".to_owned(), json!(remedying.why));
            let remedy = serde_json::to_value(&remedying.remedy).unwrap_or_default();
            let fields = remedy.as_object().and_then(|one| one.values().next());
            for (key, value) in fields.and_then(Value::as_object).into_iter().flatten() {
                detail.insert(key.clone(), value.clone());
            }
            resource_of(&remedying.remedy)
        }
        Action::TakeBack(back) => {
            for (key, value) in [
                ("min", back.min),
                ("desired", back.desired),
                ("max", back.max),
            ] {
                if let Some((_, to)) = value {
                    detail.insert(key.to_owned(), json!(to));
                }
            }
            back.arn.clone()
        }
    };
    ActionView {
        target: action.case().to_owned(),
        unit: action.unit().to_owned(),
        resource,
        detail,
        elsewhere: None,
    }
}

/// What people read of an action that was done.
pub(crate) fn tell(action: &Action) -> Option<String> {
    match action {
        Action::Note(note) => note.what.iter().find_map(|noted| match noted {
            Noted::Verified { effect, of } => Some(format!("{of}: it {}", effect.words())),
            _ => None,
        }),
        Action::Remedy(remedying) => {
            let mut text = format!("{}: {}", remedying.remedy.sentence(), remedying.why);
            if let Some((_, alarm)) = remedying.case.split_once(":alarm:") {
                text = format!("Alarm {alarm}: {text}");
            }
            if let Some(undo) = remedying.remedy.undo() {
                text.push_str(&format!(". To undo it: {undo}"));
            }
            Some(text)
        }
        Action::TakeBack(back) => Some(match (back.min, back.desired, back.max) {
            (None, None, None) => format!(
                "{} is not of the size that it was raised to any more, and stays as it is",
                back.arn
            ),
            _ => format!("{} has its usual size again", back.arn),
        }),
    }
}

fn resource_of(remedy: &Remedy) -> String {
    match remedy {
        Remedy::RaiseService(it) => it.arn.clone(),
        Remedy::StopDeployment(it) => it.deployment.clone(),
        Remedy::RollBack(it) => it.arn.clone(),
        Remedy::ReplaceTasks(it) => format!("{}/{}", it.cluster, it.service),
        Remedy::RaiseGroup(it) => it.arn.clone(),
        Remedy::DrainInstance(it) | Remedy::UseInstance(it) => it.instance.clone(),
        Remedy::ReplaceInstance(it) => it.ec2.clone(),
        Remedy::GrowStorage(it) => it.arn.clone(),
        Remedy::ChangeClass(it) => it.arn.clone(),
    }
}

/// Whether the world is as an action would leave it.
pub(crate) fn achieved(action: &Action, world: &World) -> bool {
    let memory = world.memory.as_ref();
    let case_of = |key: &str| memory.and_then(|memory| memory.cases.get(key));
    match action {
        Action::Note(note) => {
            let case = case_of(&note.case).map(|(_, case)| case);
            note.what.iter().all(|noted| noted.is_said_by(case))
        }
        Action::Remedy(remedying) => is_done(&remedying.remedy, world),
        Action::TakeBack(back) => {
            memory.is_some_and(|memory| !memory.raises.contains_key(&back.arn))
                && case_of(&back.case).is_none_or(|(_, case)| !case.raised.contains(&back.arn))
        }
    }
}

/// Whether things are as a remedy would leave them.
pub(crate) fn is_done(remedy: &Remedy, world: &World) -> bool {
    let service = |target: &Target| world.services.get(&target.name());
    match remedy {
        Remedy::RaiseService(it) => service(&remedy.target()).is_some_and(|service| {
            service
                .scalable
                .map_or(service.desired, |scalable| scalable.min)
                >= it.to
        }),
        Remedy::StopDeployment(it) => service(&remedy.target()).is_some_and(|service| {
            let under_way = service.under_way.as_ref();
            under_way.is_none_or(|one| one.arn != it.deployment || one.is_rolling_back())
        }),
        Remedy::RollBack(it) => service(&remedy.target()).is_some_and(|service| {
            let behind = |one: &crate::world::Deployment| one.arn != it.from;
            service.under_way.as_ref().is_some_and(behind)
                || service.last.as_ref().is_some_and(behind)
        }),
        Remedy::ReplaceTasks(it) => service(&remedy.target()).is_some_and(|service| {
            let runs = |arn: &String| service.tasks.iter().any(|task| task.arn == *arn);
            !it.tasks.iter().any(runs)
        }),
        Remedy::RaiseGroup(it) => world.groups.get(&it.group).is_some_and(|group| {
            group.max >= it.max.1 && it.desired.is_none_or(|(_, to)| group.desired >= to)
        }),
        Remedy::DrainInstance(it) => {
            let instance = world.instances.get(&it.instance);
            instance.is_none_or(|instance| instance.status == "DRAINING")
        }
        Remedy::UseInstance(it) => {
            let instance = world.instances.get(&it.instance);
            instance.is_some_and(|instance| instance.status == "ACTIVE")
        }
        Remedy::ReplaceInstance(it) => world
            .groups
            .get(&it.group)
            .is_some_and(|group| !group.in_service.contains(&it.ec2)),
        Remedy::GrowStorage(it) => {
            let database = world.databases.get(&it.database);
            database.is_some_and(|database| database.will_have(it.to_gib))
        }
        Remedy::ChangeClass(it) => {
            let database = world.databases.get(&it.database);
            database.is_some_and(|database| database.class_to_be() == it.to)
        }
    }
}
