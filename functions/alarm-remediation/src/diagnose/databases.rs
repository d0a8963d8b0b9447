//! RDS instances. Only storage is grown, and a larger class proposed; everything else is
//! told, because what helps a database may cost its data or its time.

use super::{Patient, Verdict, share};
use crate::action::{ChangingClass, GrowingStorage, Remedy};
use crate::reason::Code;
use crate::world::{Concern, Database, Symptom};

/// The statuses in which RDS takes a change of storage ("Viewing Amazon RDS DB instance
/// status", User Guide).
const CHANGEABLE: &[&str] = &["available", "storage-full"];

/// The statuses that pass by themselves.
pub(crate) const PASSING: &[&str] = &[
    "backing-up",
    "configuring-enhanced-monitoring",
    "maintenance",
    "modifying",
    "rebooting",
    "renaming",
    "resetting-master-credentials",
    "starting",
    "storage-config-upgrade",
    "storage-initialization",
    "storage-optimization",
    "upgrading",
];

pub(super) fn diagnose(patient: &Patient<'_>, concern: &Concern, id: &str) -> Verdict {
    let database = patient.world().databases.get(id);
    if let Some(verdict) = patient.at_once(&concern.target, database.map(|it| &it.tags)) {
        return verdict;
    }
    let Some(database) = database else {
        return Verdict::wait(Code::Unseen, format!("database {id} was not looked at"));
    };
    let facts = facts(id, database);
    if PASSING.contains(&database.status.as_str()) {
        return Verdict::wait(Code::HealsItself, facts);
    }
    match concern.symptom {
        Symptom::StorageLow => storage(patient, id, database, facts),
        Symptom::Connections => class(
            patient,
            id,
            database,
            format!("it has many connections. {facts}"),
            "Find who holds them (pg_stat_activity: idle in transaction first). Fewer tasks or a \
             pooler help; a larger class allows more connections, and restarts the database.",
        ),
        Symptom::DatabaseBusy => class(
            patient,
            id,
            database,
            format!("it is busy. {facts}"),
            "Find the statements in Performance Insights, and locks in pg_locks. A larger class \
             helps against load and not against locks, and restarts the database.",
        ),
        _ => Verdict::tell(
            Code::Database,
            format!("no remedy is known for what the alarm watches. {facts}"),
            "Look at the alarm's metric, and at the database's events and logs.",
        ),
    }
}

fn facts(id: &str, database: &Database) -> String {
    let mut facts = format!(
        "database {id} is {}, of class {}, with {} GiB",
        database.status, database.class, database.storage_gib
    );
    if let Some(most) = database.autoscales_to_gib {
        facts.push_str(&format!(", growing by itself up to {most} GiB"));
    }
    if let Some(next) = &database.next_class {
        facts.push_str(&format!(", to be of class {next}"));
    }
    if !database.events.is_empty() {
        let events: Vec<&str> = database.events.iter().take(3).map(String::as_str).collect();
        facts.push_str(&format!("; RDS said lately: {}", events.join("; ")));
    }
    facts
}

/// What is to be said of a database that may be too small: the next class of those that the
/// policy names, for a person to approve, or else what to look at.
fn class(
    patient: &Patient<'_>,
    id: &str,
    database: &Database,
    facts: String,
    next: &'static str,
) -> Verdict {
    let setting = patient.policy.remedies.change_class.as_ref();
    let setting = setting.filter(|it| it.of.selects(id));
    let larger = setting.and_then(|it| {
        let mut classes = it.classes.iter();
        classes.find(|class| **class == database.class)?;
        classes.next()
    });
    match larger {
        Some(to) if database.status == "available" && database.next_class.is_none() => {
            Verdict::remedy(
                Code::SmallDatabase,
                facts,
                Remedy::ChangeClass(ChangingClass {
                    database: id.to_owned(),
                    resource_id: database.resource_id.clone(),
                    arn: database.arn.clone(),
                    from: database.class.clone(),
                    to: to.clone(),
                }),
                "The database restarts, or fails over where it has a standby: connections break. \
                 A larger class costs more, and helps neither against locks nor against \
                 connections that nobody closes (pg_stat_activity, pg_locks, Performance \
                 Insights tell).",
            )
        }
        None if setting.is_some() => Verdict::tell(
            Code::Database,
            format!("{facts}; change_class in the policy has no class after this one"),
            next,
        ),
        _ => Verdict::tell(Code::Database, facts, next),
    }
}

fn storage(patient: &Patient<'_>, id: &str, database: &Database, facts: String) -> Verdict {
    if database.cluster.is_some() {
        return Verdict::tell(
            Code::CannotGrow,
            format!("the storage of Aurora grows by itself: {facts}"),
            "Look at temporary files and logs, which are on the instance's own disk.",
        );
    }
    if !CHANGEABLE.contains(&database.status.as_str()) {
        return Verdict::tell(
            Code::CannotGrow,
            format!("its storage cannot be changed in this status: {facts}"),
            "Look at the database's events.",
        );
    }
    let setting = patient.policy.remedies.grow_storage.as_ref();
    let has = database.storage_gib;
    let least = has.saturating_add(share(has, 10));
    let step = share(has, setting.map_or(20, |it| it.step_percent));
    let most = setting.map_or(u32::MAX, |it| it.most_gib);
    let mut to = has.saturating_add(step).min(most);
    if let Some(ceiling) = database.autoscales_to_gib {
        if ceiling < least {
            return Verdict::tell(
                Code::CannotGrow,
                format!("it is at the most that it grows to by itself: {facts}"),
                format!(
                    "Raise the ceiling: aws rds modify-db-instance --db-instance-identifier {id} \
                     --max-allocated-storage GIB --apply-immediately"
                ),
            );
        }
        // RDS refuses more than it may grow to by itself.
        to = to.min(ceiling);
    }
    if to < least {
        return Verdict::tell(
            Code::AtMaximum,
            format!("RDS grows by 10 % at least, and {most} GiB are the most: {facts}"),
            "Raise most_gib in the policy, or free storage: old data, bloat, replication slots \
             that nobody reads.",
        );
    }
    Verdict::remedy(
        Code::StorageLow,
        facts,
        Remedy::GrowStorage(GrowingStorage {
            database: id.to_owned(),
            resource_id: database.resource_id.clone(),
            arn: database.arn.clone(),
            from_gib: has,
            to_gib: to,
        }),
        "Storage cannot be made smaller again, and costs more. RDS takes the next change only \
         once it has optimised this one.",
    )
}
