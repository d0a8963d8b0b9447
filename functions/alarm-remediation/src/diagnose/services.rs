//! Services: deployments first, because what changed last is to blame most often; then
//! whether tasks can start and have room; then the tasks themselves.

use jiff::{SignedDuration, Timestamp};

use super::{Patient, Verdict, capacity, share};
use crate::action::{
    RaisingService, Remedy, ReplacingTasks, RollingBack, StoppingDeployment, short,
};
use crate::policy::{BATCH_PERCENT, BLAMED, has_lasted};
use crate::reason::Code;
use crate::world::{Concern, Deployer, Deployment, Service, Symptom, Target, Task};

/// What stopped reasons say when no other task would do better ("Amazon ECS stopped
/// task error messages", Developer Guide).
const CANNOT_START: &[&str] = &[
    "CannotPull",
    "ResourceInitializationError",
    "CannotStartContainer",
    "CannotCreateVolume",
];

/// How long after a remedy was written down its deployment begins, at most.
const BEGINS_WITHIN: SignedDuration = SignedDuration::from_mins(5);

struct Of<'a> {
    patient: &'a Patient<'a>,
    cluster: &'a str,
    name: &'a str,
    service: &'a Service,
}

pub(super) fn diagnose(
    patient: &Patient<'_>,
    concern: &Concern,
    cluster: &str,
    name: &str,
) -> Verdict {
    let service = patient.world().services.get(&concern.target.name());
    if let Some(verdict) = patient.at_once(&concern.target, service.map(|it| &it.tags)) {
        return verdict;
    }
    let Some(service) = service else {
        return Verdict::wait(Code::Unseen, format!("{cluster}/{name} was not looked at"));
    };
    let of = Of {
        patient,
        cluster,
        name,
        service,
    };
    if service.status != "ACTIVE" {
        let text = format!("service {} is {}", of.called(), service.status);
        let next = "Delete the alarm with the service.";
        return Verdict::tell(Code::TargetGone, text, next);
    }
    if let Some(deployment) = &service.under_way {
        return of.during(deployment, concern.symptom);
    }
    match concern.symptom {
        Symptom::Busy => of.busy(),
        Symptom::Errors => of.errors(),
        Symptom::Unhealthy => of.unhealthy(),
        _ => Verdict::tell(
            Code::NoRemedy,
            format!(
                "no remedy is known for what the alarm watches. {}",
                of.facts()
            ),
            "Look at the alarm's metric, and at the service's events and logs.",
        ),
    }
}

impl Of<'_> {
    fn called(&self) -> String {
        format!("{}/{}", self.cluster, self.name)
    }

    /// The facts, for people.
    fn facts(&self) -> String {
        let service = self.service;
        let mut facts = vec![format!(
            "{}: {} of {} tasks run",
            self.called(),
            service.running,
            service.desired
        )];
        let unwell = service.tasks.iter().filter(|task| task.is_unhealthy);
        let unwell = unwell.count();
        if unwell > 0 {
            facts.push(format!("{unwell} of them unhealthy"));
        }
        let targets = &service.targets;
        if !targets.unhealthy.is_empty() {
            facts.push(format!(
                "{} targets healthy and {} not ({})",
                targets.healthy,
                targets.unhealthy.len(),
                some(&targets.unhealthy)
            ));
        }
        if !service.stopped.is_empty() {
            facts.push(format!("tasks stopped lately: {}", some(&service.stopped)));
        }
        if let Some(why) = &service.no_place {
            facts.push(format!("tasks cannot be placed: {why}"));
        }
        if let Some(last) = &service.last {
            facts.push(match last.finished {
                Some(finished) => format!("last deployed {finished}"),
                None => format!("last deployed from {}", last.started),
            });
        }
        facts.join("; ")
    }

    /// Whether the alarm went off after something began, to the minute: metrics are of
    /// whole minutes.
    fn is_since(&self, began: Timestamp) -> bool {
        self.patient.case.since.as_second() + 60 >= began.as_second()
    }

    fn during(&self, deployment: &Deployment, symptom: Symptom) -> Verdict {
        let called = self.called();
        if deployment.is_rolling_back() {
            let text = format!("the deployment of {called} is being rolled back");
            return Verdict::wait(Code::RollingBack, text);
        }
        if self.is_by_remedy(deployment.started) {
            let text = format!("{called} goes back to what ran before");
            return Verdict::wait(Code::RollingBack, text);
        }
        let blames = matches!(symptom, Symptom::Errors | Symptom::Unhealthy);
        if !blames || !self.is_since(deployment.started) {
            let text = format!(
                "a deployment of {called} is under way since {}",
                deployment.started
            );
            return Verdict::wait(Code::Deploying, text);
        }
        let facts = format!(
            "the alarm went off during the deployment of {} that began {}, {} tasks of which \
             failed. {}",
            short(&deployment.task_definition),
            deployment.started,
            deployment.failed_tasks,
            self.facts()
        );
        match self.service.deployer {
            Deployer::Rolling if self.service.last.is_none() => Verdict::tell(
                Code::NothingToGoBackTo,
                format!("nothing ran before: {facts}"),
                "Mend the release, or delete the service.",
            ),
            Deployer::Rolling => Verdict::remedy(
                Code::BadDeployment,
                facts,
                Remedy::StopDeployment(StoppingDeployment {
                    cluster: self.cluster.to_owned(),
                    service: self.name.to_owned(),
                    deployment: deployment.arn.clone(),
                }),
                "Migrations that the release has run stay.",
            ),
            Deployer::Shifting => Verdict::tell(
                Code::LeftToOwner,
                format!("blue/green deployments are left to their owner: {facts}"),
                format!(
                    "Roll it back: aws ecs stop-service-deployment --service-deployment-arn {} \
                     --stop-type ROLLBACK",
                    deployment.arn
                ),
            ),
            Deployer::Another => Verdict::tell(
                Code::LeftToOwner,
                format!("{called} is not deployed by ECS: {facts}"),
                "Roll it back where it is deployed from.",
            ),
        }
    }

    /// Going back to what ran before the last deployment, when that is to blame.
    fn roll_back(&self) -> Option<Verdict> {
        let last = self.service.last.as_ref()?;
        // A newer one that did not come to stay brought what is wrong, and took it along.
        let newer = self.service.newest.as_ref().filter(|it| it.arn != last.arn);
        if newer.is_some_and(|it| self.is_since(it.started)) {
            return None;
        }
        let within = self.patient.policy.remedies.roll_back.as_ref();
        let within = within.map_or(BLAMED, |it| it.within);
        let ended = last.finished.unwrap_or(last.started);
        let is_recent = !has_lasted(ended, within, self.patient.case.since);
        // What was gone back to is no release, and what was left by it is not gone back to.
        if !is_recent || !self.is_since(last.started) || self.went_back(last) {
            return None;
        }
        let facts = format!(
            "the alarm went off after {} was deployed, {ended}. {}",
            short(&last.task_definition),
            self.facts()
        );
        if self.service.deployer != Deployer::Rolling {
            let called = self.called();
            return Some(Verdict::tell(
                Code::LeftToOwner,
                format!("the deployments of {called} are left to their owner: {facts}"),
                "Roll the release back where it is deployed from.",
            ));
        }
        let known = self.service.before_last.as_ref();
        let Some(revision) = known.filter(|it| !it.digests.is_empty()) else {
            return Some(Verdict::tell(
                Code::NothingToGoBackTo,
                format!("no revision is known, with its images, that ran before: {facts}"),
                "Deploy a release that is good, or mend this one.",
            ));
        };
        // One whose call failed has left the release where it was.
        let is_it = |remedy: &Remedy| matches!(remedy, Remedy::RollBack(it) if it.from != last.arn);
        if self.patient.case.has_failed(is_it) {
            return Some(Verdict::tell(
                Code::NoRelease,
                format!("going back did not help: {facts}"),
                "The release was not to blame. Look at what the service depends on.",
            ));
        }
        Some(Verdict::remedy(
            Code::BadRelease,
            facts,
            Remedy::RollBack(RollingBack {
                cluster: self.cluster.to_owned(),
                service: self.name.to_owned(),
                arn: self.service.arn.clone(),
                revision: revision.arn.clone(),
                task_definition: revision.task_definition.clone(),
                digests: revision.digests.clone(),
                from: last.arn.clone(),
            }),
            "Migrations that the release has run stay: what ran before may not work with them.",
        ))
    }

    /// Whether the last deployment went back itself: by its images, or because a remedy did
    /// so when it began, which its images do not tell where releases share them.
    fn went_back(&self, last: &Deployment) -> bool {
        self.service.went_back || self.is_by_remedy(last.started)
    }

    /// Whether a remedy went back when a deployment began.
    fn is_by_remedy(&self, started: Timestamp) -> bool {
        let target = Target::Service {
            cluster: self.cluster.to_owned(),
            service: self.name.to_owned(),
        };
        let memory = self.patient.world().memory.as_ref();
        let attempts = memory.and_then(|memory| memory.attempts.get(&target));
        let mut made = attempts.into_iter().flat_map(|attempts| &attempts.made);
        made.any(|attempt| {
            let after = started.duration_since(attempt.at);
            let is_its = (SignedDuration::ZERO..=BEGINS_WITHIN).contains(&after);
            attempt.kind == "roll_back" && is_its
        })
    }

    fn errors(&self) -> Verdict {
        self.roll_back().unwrap_or_else(|| {
            Verdict::tell(
                Code::NoRelease,
                format!(
                    "there are errors, and no release to blame. {}",
                    self.facts()
                ),
                "Look at the service's logs and at what it depends on. Restarting tasks does not \
                 mend a dependency.",
            )
        })
    }

    fn unhealthy(&self) -> Verdict {
        // Where there is nothing to go back to, the tasks may still be replaced.
        let nothing = |verdict: &Verdict| matches!(verdict, Verdict::Tell(it) if it.reason.code == Code::NothingToGoBackTo);
        if let Some(verdict) = self.roll_back().filter(|verdict| !nothing(verdict)) {
            return verdict;
        }
        let cannot = |why: &&String| CANNOT_START.iter().any(|word| why.contains(word));
        if let Some(why) = self.service.stopped.iter().find(cannot) {
            return Verdict::tell(
                Code::TasksFail,
                format!("tasks cannot start ({why}). {}", self.facts()),
                "Another task would not start either: look at the image, the secrets and the \
                 roles that the task definition names.",
            );
        }
        self.room().unwrap_or_else(|| self.replace())
    }

    fn replace(&self) -> Verdict {
        let service = self.service;
        let mut unwell: Vec<_> = service.tasks.iter().collect();
        unwell.retain(|task| task.is_unhealthy);
        // One that has just started is given the time that its service gives it.
        let grace = SignedDuration::from_secs(service.grace_seconds.into());
        let now = self.patient.now;
        let is_new = |task: &&Task| {
            let is_within = |at: Timestamp| now.duration_since(at) < grace;
            !grace.is_zero() && task.started.is_some_and(is_within)
        };
        let all = unwell.len();
        unwell.retain(|task| !is_new(task));
        if unwell.is_empty() && all > 0 {
            let text = format!(
                "the tasks that are not healthy have just started. {}",
                self.facts()
            );
            return Verdict::wait(Code::HealsItself, text);
        }
        if unwell.is_empty() {
            return Verdict::tell(
                Code::TasksFail,
                format!(
                    "no task that runs is known to be unhealthy. {}",
                    self.facts()
                ),
                "Look at the service's events and logs.",
            );
        }
        // One whose call failed has left all of them where they were.
        let still_runs = |arn: &String| service.tasks.iter().any(|task| task.arn == *arn);
        let is_it = |remedy: &Remedy| matches!(remedy, Remedy::ReplaceTasks(it) if !it.tasks.iter().all(still_runs));
        if self.patient.case.has_failed(is_it) {
            return Verdict::tell(
                Code::TasksFail,
                format!(
                    "tasks that took the place of others are unhealthy as well. {}",
                    self.facts()
                ),
                "Replacing more of them does not help: look at what the service depends on, and \
                 at its logs.",
            );
        }
        if service.is_daemon || service.deployer == Deployer::Another {
            return Verdict::tell(
                Code::LeftToOwner,
                format!(
                    "ECS does not schedule its tasks by number. {}",
                    self.facts()
                ),
                "Stop the tasks by hand, one after the other.",
            );
        }
        unwell.sort_by_key(|task| (task.started, &task.arn));
        let batch = unwell.iter().take(self.batch(unwell.len()));
        let tasks = batch.map(|task| task.arn.clone()).collect();
        Verdict::remedy(
            Code::Unhealthy,
            self.facts(),
            Remedy::ReplaceTasks(ReplacingTasks {
                cluster: self.cluster.to_owned(),
                service: self.name.to_owned(),
                tasks,
            }),
            "What the tasks are doing is lost. Those that take their place run the same images.",
        )
    }

    /// How many unhealthy tasks are stopped at once: a batch, and no more than leave as
    /// many running as deployments do. One may always go: it serves nobody, and where
    /// none is well that is how it is found out whether another would be.
    fn batch(&self, unwell: usize) -> usize {
        let service = self.service;
        let setting = self.patient.policy.remedies.replace_tasks.as_ref();
        let percent = setting.map_or(BATCH_PERCENT, |it| it.batch_percent);
        let least = match service.min_healthy_percent {
            0 => 0,
            percent => share(service.desired, percent),
        };
        let above = service.running.saturating_sub(least);
        let most = share(service.desired, percent).min(above).max(1);
        let all_are_unwell = usize::try_from(service.running).is_ok_and(|all| unwell >= all);
        if all_are_unwell {
            return 1;
        }
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// More room for tasks, when there is none.
    fn room(&self) -> Option<Verdict> {
        self.service.no_place.as_ref()?;
        let facts = self.facts();
        let [group] = self.service.groups.as_slice() else {
            return Some(Verdict::tell(
                Code::NoGroup,
                format!("{facts}; it is not known which one group could have more instances"),
                "Give the cluster more instances.",
            ));
        };
        Some(capacity::raise(self.patient, group, facts))
    }

    fn busy(&self) -> Verdict {
        if let Some(verdict) = self.room() {
            return verdict;
        }
        let service = self.service;
        if service.is_daemon {
            return Verdict::tell(
                Code::LeftToOwner,
                format!("each instance has one task of it. {}", self.facts()),
                "Give the cluster more or larger instances.",
            );
        }
        if service.running < service.desired {
            let text = format!("tasks are on their way. {}", self.facts());
            return Verdict::wait(Code::HealsItself, text);
        }
        let setting = self.patient.policy.remedies.raise_service.as_ref();
        let step = share(service.desired, setting.map_or(50, |it| it.step_percent));
        let most = setting.map_or(u32::MAX, |it| it.most);
        let most = most.min(service.scalable.map_or(u32::MAX, |it| it.max));
        let to = service.desired.saturating_add(step).min(most);
        if to <= service.desired {
            return Verdict::tell(
                Code::AtMaximum,
                format!(
                    "it has {} tasks, and {most} are the most. {}",
                    service.desired,
                    self.facts()
                ),
                "Raise the maximum of its scalable target and in the policy, or give its tasks \
                 more CPU and memory.",
            );
        }
        Verdict::remedy(
            Code::Busy,
            self.facts(),
            Remedy::RaiseService(RaisingService {
                cluster: self.cluster.to_owned(),
                service: self.name.to_owned(),
                arn: service.arn.clone(),
                min: service.scalable.map(|it| it.min),
                desired: service.desired,
                to,
            }),
            "More tasks hold more connections to the database, and cost more.",
        )
    }
}

/// The first few of a list.
fn some(all: &[String]) -> String {
    const MOST: usize = 3;
    let first: Vec<&str> = all.iter().take(MOST).map(String::as_str).collect();
    let mut text = first.join(", ");
    if all.len() > MOST {
        text.push_str(&format!(" and {} more", all.len() - MOST));
    }
    text
}
