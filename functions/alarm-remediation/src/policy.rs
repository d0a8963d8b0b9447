//! What alarm-remediation is told.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward::policy::{Notify, Period, Policy, Problems, Selection};

use crate::action::Remedy;
use crate::hours::Hours;
use crate::world::{Symptom, Target};

/// The policy of alarm-remediation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RemediationPolicy {
    /// The alarms that are taken on, by name. Null: only those that the tag
    /// `steward:remediation` selects.
    pub alarms: Option<Selection>,
    /// The clusters whose lost agents are taken on, by name. Null: none.
    pub clusters: Option<Selection>,
    /// What alarms are about that do not say it by their dimensions; the first that
    /// fits counts.
    pub targets: Vec<Mapping>,
    /// What may be done about them. Whatever is null is only proposed.
    pub remedies: Remedies,
    /// How much may be done.
    pub bounds: Bounds,
    /// When something may be done. At other times people are told.
    pub hours: Hours,
    /// How long a remedy is given before it is looked at what it did. 1m to 2h.
    pub settle: Period,
    /// How long a case may be open before a person is told, whatever else was. 5m to
    /// 1d.
    pub escalate_after: Period,
    /// What a run tells people.
    pub notify: Notify,
}

impl Default for RemediationPolicy {
    fn default() -> Self {
        Self {
            alarms: None,
            clusters: None,
            targets: vec![],
            remedies: Remedies::default(),
            bounds: Bounds::default(),
            hours: Hours::default(),
            settle: Period::minutes(5),
            escalate_after: Period::minutes(30),
            notify: Notify::default(),
        }
    }
}

/// What some alarms are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The alarms, by name.
    pub alarms: Selection,
    /// `service:CLUSTER/SERVICE`, `group:NAME` or `database:IDENTIFIER`.
    pub target: String,
    /// What is wrong when they go off. Null: what their metrics tell, which those of logs
    /// do not.
    #[serde(default)]
    pub symptom: Option<Symptom>,
}

/// What may be done about alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Remedies {
    /// A busy service gets more tasks for a while.
    pub raise_service: Option<RaiseService>,
    /// A deployment that brings errors is stopped and rolled back.
    pub stop_deployment: Option<Plain>,
    /// A service goes back to what ran before its last deployment. Database migrations
    /// of that deployment are not undone.
    pub roll_back: Option<RollBack>,
    /// Unhealthy tasks are replaced.
    pub replace_tasks: Option<ReplaceTasks>,
    /// A group gets room for more instances for a while.
    pub raise_group: Option<RaiseGroup>,
    /// An instance whose agent is lost, or which fails its checks, is drained and
    /// replaced.
    pub replace_instance: Option<ReplaceInstance>,
    /// A database that runs out of storage gets more, which cannot be taken back.
    pub grow_storage: Option<GrowStorage>,
    /// A database that is busy or has many connections gets a larger class, which restarts
    /// it: only ever proposed, for a person to approve.
    pub change_class: Option<ChangeClass>,
}

/// A remedy without settings of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// Of what, by name.
    pub of: Selection,
    /// Whether a person has to approve each.
    #[serde(default)]
    pub approval: bool,
}

/// See [`Remedies::raise_service`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RaiseService {
    /// Of which services, as `CLUSTER/SERVICE`.
    pub of: Selection,
    /// Whether a person has to approve each.
    #[serde(default)]
    pub approval: bool,
    /// The most tasks that a service is given. 1 to 5000. The maximum of its scalable
    /// target holds as well.
    pub most: u32,
    /// How many tasks more, percent of those asked for, rounded up. 1 to 100.
    #[serde(default = "half")]
    pub step_percent: u32,
    /// For how long. 10m to 7d.
    #[serde(rename = "for", default = "an_hour")]
    pub lasts: Period,
}

/// See [`Remedies::roll_back`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBack {
    /// Of which services, as `CLUSTER/SERVICE`.
    pub of: Selection,
    /// Whether a person has to approve each.
    #[serde(default = "yes")]
    pub approval: bool,
    /// How long after a deployment has ended what goes wrong is blamed on it. 5m to
    /// 1d.
    #[serde(default = "an_hour")]
    pub within: Period,
}

/// See [`Remedies::replace_tasks`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceTasks {
    /// Of which services, as `CLUSTER/SERVICE`.
    pub of: Selection,
    /// Whether a person has to approve each.
    #[serde(default)]
    pub approval: bool,
    /// The most tasks at once, percent of those asked for, and at least one. The
    /// service's minimum healthy percent holds as well. 1 to 50.
    #[serde(default = "a_quarter")]
    pub batch_percent: u32,
}

/// See [`Remedies::raise_group`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RaiseGroup {
    /// Of which Auto Scaling groups.
    pub of: Selection,
    /// Whether a person has to approve each.
    #[serde(default)]
    pub approval: bool,
    /// The most instances that a group is given room for. 1 to 1000.
    pub most: u32,
    /// How many instances more. 1 to 100.
    #[serde(default = "one")]
    pub step: u32,
    /// For how long. 10m to 7d.
    #[serde(rename = "for", default = "an_hour")]
    pub lasts: Period,
}

/// See [`Remedies::replace_instance`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceInstance {
    /// Of which Auto Scaling groups.
    pub of: Selection,
    /// Whether a person has to approve each.
    #[serde(default)]
    pub approval: bool,
    /// How long an agent may be lost before: agents come back. 5m to 1d.
    #[serde(default = "a_while")]
    pub lost_for: Period,
    /// How many instances of the group must take tasks besides, percent of those that
    /// are asked for, and at least one. 1 to 100.
    #[serde(default = "half")]
    pub keep_percent: u32,
}

/// See [`Remedies::grow_storage`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrowStorage {
    /// Of which databases.
    pub of: Selection,
    /// Whether a person has to approve each.
    #[serde(default)]
    pub approval: bool,
    /// The most storage that a database is given, GiB. 20 to 65536.
    pub most_gib: u32,
    /// How much more, percent of what it has. 10 to 100: RDS takes no less than 10.
    #[serde(default = "a_fifth")]
    pub step_percent: u32,
}

/// See [`Remedies::change_class`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeClass {
    /// Of which databases.
    pub of: Selection,
    /// The classes that they may have, the smallest first: the one after that which a
    /// database has is proposed. 2 to 20, such as `db.t4g.medium`.
    pub classes: Vec<String>,
}

/// How much may be done. What is tried counts, whatever came of it and whichever alarm
/// it was for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// How long after a remedy the same target is left alone. 1m to 1d.
    pub cool_down: Period,
    /// How often one kind of remedy is tried on a target in a window; of instances on
    /// their group. 1 to 20.
    pub attempts: u32,
    /// The window. 10m to 7d.
    pub window: Period,
    /// How many remedies there are in the account in an hour. 1 to 100.
    pub per_hour: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            cool_down: Period::minutes(15),
            attempts: 2,
            window: Period::hours(6),
            per_hour: 10,
        }
    }
}

/// How long after a deployment what goes wrong is blamed on it, where the policy does
/// not say.
pub(crate) const BLAMED: Period = Period::hours(1);

/// How many tasks are replaced at once, where the policy does not say, in percent.
pub(crate) const BATCH_PERCENT: u32 = 25;

/// How long an agent may be lost, where the policy does not say.
pub(crate) const LOST_FOR: Period = Period::minutes(10);

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn half() -> u32 {
    50
}

fn a_quarter() -> u32 {
    BATCH_PERCENT
}

fn a_fifth() -> u32 {
    20
}

fn an_hour() -> Period {
    BLAMED
}

fn a_while() -> Period {
    LOST_FOR
}

/// How a remedy may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The policy does not name it, or not for this target.
    None,
    /// A person has to approve it.
    Approval,
    /// It may.
    Granted,
}

impl RemediationPolicy {
    /// Whether a remedy may be done.
    pub fn leave(&self, remedy: &Remedy) -> Leave {
        let remedies = &self.remedies;
        let name = remedy.target().name();
        let of = |selection: &Selection, name: &str, approval: bool| match approval {
            _ if !selection.selects(name) => Leave::None,
            true => Leave::Approval,
            false => Leave::Granted,
        };
        let leave = match remedy {
            Remedy::RaiseService(_) => {
                let it = remedies.raise_service.as_ref();
                it.map(|it| of(&it.of, &name, it.approval))
            }
            Remedy::StopDeployment(_) => {
                let it = remedies.stop_deployment.as_ref();
                it.map(|it| of(&it.of, &name, it.approval))
            }
            Remedy::RollBack(_) => {
                let it = remedies.roll_back.as_ref();
                it.map(|it| of(&it.of, &name, it.approval))
            }
            Remedy::ReplaceTasks(_) => {
                let it = remedies.replace_tasks.as_ref();
                it.map(|it| of(&it.of, &name, it.approval))
            }
            Remedy::RaiseGroup(_) => {
                let it = remedies.raise_group.as_ref();
                it.map(|it| of(&it.of, &name, it.approval))
            }
            Remedy::DrainInstance(one) | Remedy::ReplaceInstance(one) => {
                let it = remedies.replace_instance.as_ref();
                it.map(|it| of(&it.of, &one.group, it.approval))
            }
            // It only undoes what was done.
            Remedy::UseInstance(_) => Some(Leave::Granted),
            Remedy::GrowStorage(_) => {
                let it = remedies.grow_storage.as_ref();
                it.map(|it| of(&it.of, &name, it.approval))
            }
            // It restarts the database: always a person's decision.
            Remedy::ChangeClass(_) => {
                let it = remedies.change_class.as_ref();
                it.map(|it| of(&it.of, &name, true))
            }
        };
        leave.unwrap_or(Leave::None)
    }

    /// How long what a remedy raises stays so.
    pub fn lasts(&self, remedy: &Remedy) -> Option<Period> {
        let remedies = &self.remedies;
        match remedy {
            Remedy::RaiseService(_) => remedies.raise_service.as_ref().map(|it| it.lasts),
            Remedy::RaiseGroup(_) => remedies.raise_group.as_ref().map(|it| it.lasts),
            _ => None,
        }
    }

    /// What an alarm of this name is about, by the policy.
    pub fn mapped(&self, alarm: &str) -> Option<(Target, Option<Symptom>)> {
        let mut targets = self.targets.iter();
        let mapping = targets.find(|mapping| mapping.alarms.selects(alarm))?;
        Some((mapping.target.parse().ok()?, mapping.symptom))
    }

    /// Whether an alarm is taken on: its tag decides, and else the policy.
    pub fn takes_on(&self, name: &str, tag: Option<&str>) -> bool {
        match tag {
            Some(value) => value != OFF,
            None => self.alarms.as_ref().is_some_and(|it| it.selects(name)),
        }
    }
}

/// The value of the tag `steward:remediation` of alarms that are left alone.
pub const OFF: &str = "off";

impl Remedies {
    fn check(&self, problems: &mut Problems) {
        let at = |name: &str, key: &str| format!("remedies.{name}.{key}");
        let (ten_minutes, week) = (Period::minutes(10), Period::days(7));
        let day = Period::days(1);
        let five = Period::minutes(5);
        if let Some(it) = &self.raise_service {
            it.of.check(&at("raise_service", "of"), problems);
            problems.within(&at("raise_service", "most"), it.most, 1, 5000);
            let path = at("raise_service", "step_percent");
            problems.within(&path, it.step_percent, 1, 100);
            problems.within(&at("raise_service", "for"), it.lasts, ten_minutes, week);
        }
        if let Some(it) = &self.stop_deployment {
            it.of.check(&at("stop_deployment", "of"), problems);
        }
        if let Some(it) = &self.roll_back {
            it.of.check(&at("roll_back", "of"), problems);
            problems.within(&at("roll_back", "within"), it.within, five, day);
        }
        if let Some(it) = &self.replace_tasks {
            it.of.check(&at("replace_tasks", "of"), problems);
            let path = at("replace_tasks", "batch_percent");
            problems.within(&path, it.batch_percent, 1, 50);
        }
        if let Some(it) = &self.raise_group {
            it.of.check(&at("raise_group", "of"), problems);
            problems.within(&at("raise_group", "most"), it.most, 1, 1000);
            problems.within(&at("raise_group", "step"), it.step, 1, 100);
            problems.within(&at("raise_group", "for"), it.lasts, ten_minutes, week);
        }
        if let Some(it) = &self.replace_instance {
            it.of.check(&at("replace_instance", "of"), problems);
            problems.within(&at("replace_instance", "lost_for"), it.lost_for, five, day);
            let path = at("replace_instance", "keep_percent");
            problems.within(&path, it.keep_percent, 1, 100);
        }
        if let Some(it) = &self.grow_storage {
            it.of.check(&at("grow_storage", "of"), problems);
            problems.within(&at("grow_storage", "most_gib"), it.most_gib, 20, 65536);
            let path = at("grow_storage", "step_percent");
            problems.within(&path, it.step_percent, 10, 100);
        }
        if let Some(it) = &self.change_class {
            it.of.check(&at("change_class", "of"), problems);
            let path = at("change_class", "classes");
            if !(2..=20).contains(&it.classes.len()) {
                let count = format!("a list of {}", it.classes.len());
                problems.add(&path, count, "2 to 20 classes, the smallest first");
            }
            for (n, class) in it.classes.iter().enumerate() {
                let is_one = class.strip_prefix("db.").is_some_and(|rest| {
                    let mut parts = rest.split('.');
                    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                    parts.clone().count() >= 2
                        && parts.all(|part| !part.is_empty() && part.chars().all(known))
                });
                if !is_one || it.classes[..n].contains(class) {
                    problems.add(
                        &format!("{path}[{n}]"),
                        format!("\"{class}\""),
                        "a class of RDS, such as db.t4g.medium, and each once",
                    );
                }
            }
        }
    }
}

impl Policy for RemediationPolicy {
    fn check(&self, problems: &mut Problems) {
        for (path, selection) in [("alarms", &self.alarms), ("clusters", &self.clusters)] {
            if let Some(selection) = selection {
                selection.check(path, problems);
            }
        }
        for (n, mapping) in self.targets.iter().enumerate() {
            mapping
                .alarms
                .check(&format!("targets[{n}].alarms"), problems);
            let is_usable = |target: Target| !matches!(target, Target::Instance { .. });
            if !mapping.target.parse().is_ok_and(is_usable) {
                problems.add(
                    &format!("targets[{n}].target"),
                    format!("\"{}\"", mapping.target),
                    "service:CLUSTER/SERVICE, group:NAME or database:IDENTIFIER",
                );
            }
        }
        self.remedies.check(problems);
        let Bounds {
            cool_down,
            attempts,
            window,
            per_hour,
        } = self.bounds;
        let (minute, day) = (Period::minutes(1), Period::days(1));
        problems.within("bounds.cool_down", cool_down, minute, day);
        problems.within("bounds.attempts", attempts, 1, 20);
        let (ten_minutes, week) = (Period::minutes(10), Period::days(7));
        problems.within("bounds.window", window, ten_minutes, week);
        if cool_down > window {
            problems.add(
                "bounds.cool_down",
                cool_down,
                format!("at most the window, {window}"),
            );
        }
        problems.within("bounds.per_hour", per_hour, 1, 100);
        self.hours.check(problems);
        problems.within("settle", self.settle, minute, Period::hours(2));
        let five = Period::minutes(5);
        problems.within("escalate_after", self.escalate_after, five, day);
        self.notify.check("notify", problems);
    }

    fn selects_targets(&self) -> bool {
        self.alarms.is_some() || self.clusters.is_some()
    }

    fn notify(&self) -> &Notify {
        &self.notify
    }
}

/// The least time between now and when a case is forgotten that has been quiet.
pub const LINGERS: Period = Period::minutes(15);

/// How long a case that has ended is kept in the history.
pub const KEPT_FOR: Period = Period::days(90);

/// Whether something is old enough.
pub(crate) fn has_lasted(since: Timestamp, period: Period, now: Timestamp) -> bool {
    period.after(since) <= now
}

#[cfg(test)]
mod tests;
