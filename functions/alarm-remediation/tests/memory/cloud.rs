//! An account in memory with services and their alarms, a ledger that is written only on
//! conditions, and hands of the function over it that can be stopped at any step.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use alarm_remediation::{
    Action, Alarm, AlarmRemediation, Attempt, Attempts, Case, Concern, Memory, Note, Noted, Quiet,
    RemediationPolicy, Remedy, Remedying, Scalable, Scope, Service, Stage, State, Symptom,
    TakingBack, Target, Targets, Task, World, counts_for, raise_of, refuses,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use steward::engine::{Act, Observe, Outcome, Seen};
use steward::ledger::Raise;
use steward::policy::PolicyDocument;
use steward::run::Run;
use steward_sandbox::Steps;

const ACCOUNT: &str = "111111111111";

/// Something that was done to AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) at: Timestamp,
    pub(crate) kind: &'static str,
    pub(crate) target: Target,
}

/// What is true, for all who look at it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cloud {
    pub(crate) now: Timestamp,
    pub(crate) services: BTreeMap<String, Service>,
    pub(crate) alarms: BTreeMap<String, Alarm>,
    pub(crate) cases: BTreeMap<String, (u64, Case)>,
    pub(crate) ended: BTreeMap<String, Case>,
    pub(crate) attempts: BTreeMap<Target, Attempts>,
    pub(crate) of_all: Attempts,
    pub(crate) raises: BTreeMap<String, Raise>,
    leases: BTreeMap<Target, (String, Timestamp)>,
    /// What was done to AWS, in order.
    pub(crate) done: Vec<Done>,
    version: u64,
}

pub(crate) type Shared = Rc<RefCell<Cloud>>;

pub(crate) fn alarm_arn(name: &str) -> String {
    format!("arn:aws:cloudwatch:eu-central-1:{ACCOUNT}:alarm:{name}")
}

pub(crate) fn service_arn(name: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:{ACCOUNT}:service/{name}")
}

pub(crate) fn target(name: &str) -> Target {
    format!("service:{name}").parse().unwrap()
}

fn task(service: &str, n: u32) -> Task {
    Task {
        arn: format!("{service}/{n}"),
        started: None,
        is_unhealthy: false,
    }
}

impl Cloud {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    pub(crate) fn put_service(&mut self, name: &str, tasks: u32, scales: Option<(u32, u32)>) {
        let service = Service {
            arn: service_arn(name),
            status: "ACTIVE".to_owned(),
            desired: tasks,
            running: tasks,
            min_healthy_percent: 50,
            scalable: scales.map(|(min, max)| Scalable { min, max }),
            tasks: (0..tasks).map(|n| task(name, n)).collect(),
            targets: Targets {
                healthy: tasks,
                unhealthy: vec![],
            },
            ..Service::default()
        };
        self.services.insert(name.to_owned(), service);
    }

    /// An alarm about a service, which is quiet.
    pub(crate) fn put_alarm(&mut self, name: &str, service: &str, symptom: Symptom) {
        let alarm = Alarm {
            arn: alarm_arn(name),
            name: name.to_owned(),
            state: State::Ok,
            since: self.now,
            why: "Threshold Crossed".to_owned(),
            is_of_its_making: false,
            tags: Some(BTreeMap::new()),
            quiet: Quiet::No,
            is_of_scaling: false,
            is_of_steward: false,
            concerns: vec![Concern {
                target: target(service),
                symptom,
            }],
            unread: vec![],
        };
        self.alarms.insert(alarm.arn.clone(), alarm);
    }

    /// Answers whether that is another state.
    pub(crate) fn set(&mut self, alarm: &str, state: State) -> bool {
        let now = self.now;
        let alarm = self.alarms.get_mut(&alarm_arn(alarm)).unwrap();
        let changes = alarm.state != state;
        if changes {
            alarm.state = state;
            alarm.since = now;
        }
        changes
    }

    pub(crate) fn pass(&mut self, by: SignedDuration) {
        self.now += by;
        // ECS starts and stops tasks as is asked for.
        for (name, service) in &mut self.services {
            service.tasks.retain(|task| !task.arn.is_empty());
            let has = u32::try_from(service.tasks.len()).unwrap();
            let first = 1_000 * u32::try_from(self.now.as_second() % 1_000_000).unwrap();
            for n in has..service.desired {
                service.tasks.push(task(name, first + n));
            }
            service.tasks.truncate(service.desired as usize);
            service.running = service.desired;
            service.targets.healthy = service.desired;
        }
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn did(&mut self, remedy: &Remedy) {
        let done = Done {
            at: self.now,
            kind: remedy.kind(),
            target: remedy.target(),
        };
        self.done.push(done);
    }
}

pub(crate) fn document(text: &str) -> PolicyDocument<RemediationPolicy> {
    PolicyDocument::parse(text, "test").unwrap()
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// The hands of one run.
#[derive(Debug)]
pub(crate) struct Hands {
    cloud: Shared,
    steps: Steps,
    name: String,
}

thread_local! {
    static RUNS: Cell<u32> = const { Cell::new(0) };
}

impl Hands {
    pub(crate) fn new(cloud: &Shared) -> Self {
        let name = RUNS.with(|runs| {
            runs.set(runs.get() + 1);
            format!("run {}", runs.get())
        });
        Self {
            cloud: Rc::clone(cloud),
            steps: Steps::default(),
            name,
        }
    }

    pub(crate) fn cut_at(self, step: usize) -> Self {
        let steps = self.steps.cut_at(step);
        Self { steps, ..self }
    }

    pub(crate) fn with_turns(self, turns: Vec<u8>) -> Self {
        let steps = self.steps.with_turns(turns);
        Self { steps, ..self }
    }

    pub(crate) fn steps(&self) -> usize {
        self.steps.taken()
    }

    /// One run to its end, or to where it is killed, which is `None`.
    pub(crate) async fn run(
        &self,
        policy: &PolicyDocument<RemediationPolicy>,
        event: Value,
    ) -> Option<Run<AlarmRemediation>> {
        let now = self.cloud.borrow().now;
        self.steps
            .run(self, (ACCOUNT, "eu-central-1"), now, policy, &event)
            .await
    }

    pub(crate) fn tick(&self, policy: &PolicyDocument<RemediationPolicy>) -> Run<AlarmRemediation> {
        block_on(self.run(policy, json!({}))).unwrap()
    }

    pub(crate) fn on_alarms(
        &self,
        policy: &PolicyDocument<RemediationPolicy>,
        names: &[String],
    ) -> Run<AlarmRemediation> {
        block_on(self.run(policy, json!({ "operation": "remediate", "alarms": names }))).unwrap()
    }

    async fn note(&self, note: &Note) -> Outcome {
        self.steps.step().await;
        let mut cloud = self.cloud.borrow_mut();
        let now = cloud.now;
        let known = cloud.cases.get(&note.case).cloned();
        let (version, case) = known.unzip();
        if note
            .what
            .iter()
            .all(|noted| noted.is_said_by(case.as_ref()))
        {
            return Outcome::AlreadyDone;
        }
        if version != note.version {
            return Outcome::Skipped("changed".to_owned());
        }
        if let Some(case) = &case
            && let Some(last) = Noted::last_words(&note.what, case, now)
        {
            let key = format!("{}#{}", last.opened, note.case);
            cloud.ended.insert(key, last);
            cloud.cases.remove(&note.case);
            return Outcome::Done;
        }
        let Some(after) = Noted::all_after(&note.what, case.as_ref(), now) else {
            return Outcome::Skipped("closed".to_owned());
        };
        let version = cloud.next_version();
        cloud.cases.insert(note.case.clone(), (version, after));
        Outcome::Done
    }

    async fn lease(&self, on: &Target) -> bool {
        self.steps.step().await;
        let mut cloud = self.cloud.borrow_mut();
        let now = cloud.now;
        let held = cloud.leases.get(on);
        if held.is_some_and(|(by, until)| *by != self.name && *until > now) {
            return false;
        }
        let until = now + SignedDuration::from_mins(5);
        cloud.leases.insert(on.clone(), (self.name.clone(), until));
        true
    }

    async fn release(&self, on: &Target) {
        self.steps.step().await;
        self.cloud.borrow_mut().leases.remove(on);
    }

    async fn remedy(&self, policy: &RemediationPolicy, remedying: &Remedying) -> Outcome {
        let on = counts_for(&remedying.remedy);
        if !self.lease(&on).await {
            return Outcome::Skipped("held".to_owned());
        }
        let outcome = self.with_lease(policy, remedying, &on).await;
        self.release(&on).await;
        outcome
    }

    async fn with_lease(
        &self,
        policy: &RemediationPolicy,
        remedying: &Remedying,
        on: &Target,
    ) -> Outcome {
        self.steps.step().await;
        let remedy = &remedying.remedy;
        let (case, on_target) = {
            let cloud = self.cloud.borrow();
            let Some((_, case)) = cloud.cases.get(&remedying.case).cloned() else {
                return Outcome::Skipped("no case".to_owned());
            };
            if case.stage != Stage::Open {
                return Outcome::Skipped("another run".to_owned());
            }
            let on_target = cloud.attempts.get(on).cloned().unwrap_or_default();
            let both = (&on_target, &cloud.of_all);
            let (bounds, kind) = (&policy.bounds, remedy.kind());
            let refused = refuses(bounds, kind, both, 0, remedying.is_approved, cloud.now);
            if let Some(reason) = refused {
                return Outcome::Skipped(reason.text);
            }
            (case, on_target)
        };
        // Each of these is a write, and before each the run may be killed.
        self.steps.step().await;
        {
            let mut cloud = self.cloud.borrow_mut();
            let attempt = Attempt {
                at: cloud.now,
                kind: remedy.kind().to_owned(),
                case: remedying.case.clone(),
            };
            let since = policy.bounds.window.before(cloud.now);
            let made = on_target.with(attempt.clone(), since);
            let version = cloud.attempts.get(on).and_then(|it| it.version);
            if version != on_target.version {
                return Outcome::Skipped("changed".to_owned());
            }
            let version = Some(cloud.next_version());
            cloud
                .attempts
                .insert(on.clone(), Attempts { version, made });
            let hour = cloud.now - SignedDuration::from_hours(1);
            let made = cloud.of_all.with(attempt, hour);
            cloud.of_all = Attempts { version, made };
        }
        self.steps.step().await;
        {
            let mut cloud = self.cloud.borrow_mut();
            let now = cloud.now;
            let settles = policy.settle.after(now);
            let with = case.with(remedy, &remedying.why, remedying.before, now, settles);
            let version = cloud.next_version();
            cloud.cases.insert(remedying.case.clone(), (version, with));
        }
        if let (Remedy::RaiseService(it), Some(lasts)) = (remedy, policy.lasts(remedy)) {
            self.steps.step().await;
            let mut cloud = self.cloud.borrow_mut();
            let until = lasts.after(cloud.now);
            let new = raise_of(remedy, until).unwrap();
            let raise = cloud.raises.entry(it.arn.clone()).or_insert(Raise {
                to: vec![],
                ..new.clone()
            });
            raise.until = raise.until.max(until);
            raise.to.extend(new.to);
        }
        self.steps.step().await;
        let mut cloud = self.cloud.borrow_mut();
        cloud.did(remedy);
        let service = cloud.services.get_mut(&remedy.target().name()).unwrap();
        match remedy {
            Remedy::RaiseService(it) => {
                service.desired = it.to;
                if let Some(scalable) = &mut service.scalable {
                    scalable.min = it.to;
                }
            }
            Remedy::ReplaceTasks(it) => {
                service.tasks.retain(|task| !it.tasks.contains(&task.arn));
            }
            other => panic!("{other:?}"),
        }
        Outcome::Done
    }

    async fn take_back(&self, back: &TakingBack) -> Outcome {
        if !self.lease(&back.target).await {
            return Outcome::Skipped("held".to_owned());
        }
        self.steps.step().await;
        if self.cloud.borrow().raises.contains_key(&back.arn) {
            {
                let mut cloud = self.cloud.borrow_mut();
                let service = cloud.services.get_mut(&back.target.name()).unwrap();
                if let (Some((_, min)), Some(scalable)) = (back.min, &mut service.scalable) {
                    scalable.min = min;
                    // The load is gone, and a scaling policy with it goes back.
                    service.desired = min;
                }
                if let Some((_, desired)) = back.desired {
                    service.desired = desired;
                }
            }
            self.steps.step().await;
            self.cloud.borrow_mut().raises.remove(&back.arn);
        }
        self.steps.step().await;
        {
            let mut cloud = self.cloud.borrow_mut();
            let now = cloud.now;
            if let Some((_, case)) = cloud.cases.get(&back.case).cloned() {
                let version = cloud.next_version();
                let without = case.without_raise(&back.arn, now);
                cloud.cases.insert(back.case.clone(), (version, without));
            }
        }
        self.release(&back.target).await;
        Outcome::Done
    }
}

impl Observe<AlarmRemediation> for Hands {
    async fn observe(&self, _: &RemediationPolicy, _: &Scope) -> Seen<World> {
        self.steps.step().await;
        let cloud = self.cloud.borrow();
        let memory = Memory {
            cases: cloud.cases.clone(),
            attempts: cloud.attempts.clone(),
            of_all: cloud.of_all.clone(),
            raises: cloud.raises.clone(),
            ..Memory::default()
        };
        let world = World {
            memory: Some(memory),
            alarms: cloud.alarms.clone(),
            services: cloud.services.clone(),
            ..World::default()
        };
        Seen {
            world,
            ..Seen::default()
        }
    }
}

impl Act<AlarmRemediation> for Hands {
    async fn act(&self, policy: &RemediationPolicy, batch: &[Action]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for action in batch {
            outcomes.push(match action {
                Action::Note(note) => self.note(note).await,
                Action::Remedy(remedying) => self.remedy(policy, remedying).await,
                Action::TakeBack(back) => self.take_back(back).await,
            });
        }
        outcomes
    }
}
