//! An account in memory with services, groups and databases that take their time, and
//! hands of the function over it that can be stopped at any step.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use scheduled_scaling::due::Override;
use scheduled_scaling::{
    Action, Asked, Database, Direction, Gate, Group, Kind, Look, Mark, Memory, Progress,
    Remembered, Resource, Saved, Scalable, ScalingPolicy, ScheduledScaling, Scope, Service,
    Setting, Sizes, State, Stray, Subject, Suspended, World,
};
use serde_json::{Value, json};
use steward::engine::{Act, Gap, Hides, Observe, Outcome, Seen};
use steward::names::{ENVIRONMENT, PARKED};
use steward::policy::PolicyDocument;
use steward::run::Run;
use steward_sandbox::Steps;

const ACCOUNT: &str = "111111111111";

/// How long a database, and instances and tasks, take to come and go.
const DATABASES_TAKE: SignedDuration = SignedDuration::from_mins(8);
const OTHERS_TAKE: SignedDuration = SignedDuration::from_mins(3);

/// How long RDS leaves a database stopped.
const SEVEN_DAYS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is true, for all who look at it.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    pub(crate) now: Timestamp,
    /// By ARN; what is remembered of them is in [`Self::sizes`].
    pub(crate) resources: BTreeMap<String, Resource>,
    /// When what is on its way arrives, by ARN.
    arrives: BTreeMap<String, Timestamp>,
    pub(crate) environments: BTreeMap<String, (Progress, u64)>,
    pub(crate) overrides: BTreeMap<String, Asked>,
    pub(crate) sizes: BTreeMap<String, Saved>,
    leases: BTreeMap<String, (String, Timestamp)>,
    pub(crate) calendars: BTreeMap<String, Gate>,
    /// Whether listings of resources fail.
    pub(crate) is_down: bool,
    /// When each database was stopped.
    stopped_at: BTreeMap<String, Timestamp>,
    /// How often each kind of change was made, by ARN.
    pub(crate) changes: BTreeMap<(String, &'static str), u32>,
}

pub(crate) type Shared = Rc<RefCell<Cloud>>;

pub(crate) fn service_arn(name: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:{ACCOUNT}:service/{name}")
}

pub(crate) fn group_arn(name: &str) -> String {
    format!(
        "arn:aws:autoscaling:eu-central-1:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/{name}"
    )
}

pub(crate) fn database_arn(name: &str) -> String {
    format!("arn:aws:rds:eu-central-1:{ACCOUNT}:db:{name}")
}

impl Cloud {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            resources: BTreeMap::new(),
            arrives: BTreeMap::new(),
            environments: BTreeMap::new(),
            overrides: BTreeMap::new(),
            sizes: BTreeMap::new(),
            leases: BTreeMap::new(),
            calendars: BTreeMap::new(),
            is_down: false,
            stopped_at: BTreeMap::new(),
            changes: BTreeMap::new(),
        }
    }

    fn put(&mut self, environment: &str, arn: String, name: &str, kind: Kind) {
        let resource = Resource {
            arn: arn.clone(),
            name: name.to_owned(),
            tags: [(ENVIRONMENT.to_owned(), environment.to_owned())].into(),
            saved: None,
            raised_from: None,
            kind,
        };
        self.resources.insert(arn, resource);
    }

    pub(crate) fn put_service(
        &mut self,
        environment: &str,
        name: &str,
        desired: u32,
        scales: Option<(u32, u32)>,
    ) {
        let scalable = scales.map(|(min, max)| Scalable {
            min,
            max,
            suspended: Suspended::default(),
        });
        let service = Service {
            status: "ACTIVE".to_owned(),
            desired,
            running: desired,
            deployed_by_ecs: true,
            scalable,
            ..Service::default()
        };
        self.put(environment, service_arn(name), name, Kind::Service(service));
    }

    pub(crate) fn put_group(
        &mut self,
        environment: &str,
        name: &str,
        (min, desired, max): (u32, u32, u32),
        is_managed: bool,
    ) {
        let group = Group {
            min,
            desired,
            max,
            instances: desired,
            in_service: desired,
            is_managed,
            ..Group::default()
        };
        self.put(environment, group_arn(name), name, Kind::Group(group));
    }

    pub(crate) fn put_database(&mut self, environment: &str, name: &str) {
        let database = Database {
            status: "available".to_owned(),
            resource_id: format!("db-{}", name.to_uppercase()),
            engine: "postgres".to_owned(),
            snapshots: Some(BTreeMap::new()),
            ..Database::default()
        };
        self.put(
            environment,
            database_arn(name),
            name,
            Kind::Database(database),
        );
    }

    pub(crate) fn service(&self, name: &str) -> &Service {
        match &self.resources[&service_arn(name)].kind {
            Kind::Service(service) => service,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn group(&self, name: &str) -> &Group {
        match &self.resources[&group_arn(name)].kind {
            Kind::Group(group) => group,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn database(&self, name: &str) -> &Database {
        match &self.resources[&database_arn(name)].kind {
            Kind::Database(database) => database,
            other => panic!("{other:?}"),
        }
    }

    /// What is the same before and after a night: sizes, tags, states.
    pub(crate) fn picture(&self) -> BTreeMap<String, Resource> {
        self.resources.clone()
    }

    fn environment_of(resource: &Resource) -> String {
        resource.environment().unwrap_or_default().to_owned()
    }

    /// Lets time pass, in steps that are short enough for what takes time.
    pub(crate) fn pass(&mut self, time: SignedDuration) {
        let until = self.now + time;
        while self.now < until {
            self.now = (self.now + SignedDuration::from_mins(1)).min(until);
            self.settle();
        }
    }

    fn settle(&mut self) {
        let now = self.now;
        let busy: BTreeMap<String, u32> =
            self.resources
                .values()
                .fold(BTreeMap::new(), |mut busy, resource| {
                    if let Kind::Service(service) = &resource.kind {
                        *busy.entry(Self::environment_of(resource)).or_default() +=
                            service.desired.max(service.running);
                    }
                    busy
                });
        let room: BTreeMap<String, u32> =
            self.resources
                .values()
                .fold(BTreeMap::new(), |mut room, resource| {
                    if let Kind::Group(group) = &resource.kind {
                        *room.entry(Self::environment_of(resource)).or_default() +=
                            group.in_service;
                    }
                    room
                });
        for (arn, resource) in &mut self.resources {
            let environment = Self::environment_of(resource);
            let wants = busy.get(&environment).copied().unwrap_or_default();
            let has_room = room.get(&environment).copied().unwrap_or_default() > 0;
            let moves = match &mut resource.kind {
                Kind::Service(service) => {
                    let can = if has_room { service.desired } else { 0 };
                    service.running != can
                }
                Kind::Group(group) => {
                    if group.is_managed {
                        let needed = if wants > 0 { wants.div_ceil(4) } else { 0 };
                        group.desired = needed.max(group.min).min(group.max);
                    }
                    group.instances != group.desired
                }
                Kind::Database(database) => {
                    matches!(
                        database.status.as_str(),
                        "stopping" | "starting" | "backing-up"
                    )
                }
            };
            if let Kind::Database(database) = &mut resource.kind
                && database.status == "stopped"
                && let Some(since) = self.stopped_at.get(arn)
                && now.duration_since(*since) >= SEVEN_DAYS
            {
                "starting".clone_into(&mut database.status);
                self.stopped_at.remove(arn);
                continue;
            }
            if !moves {
                self.arrives.remove(arn);
                continue;
            }
            let takes = match &resource.kind {
                Kind::Database(_) => DATABASES_TAKE,
                _ => OTHERS_TAKE,
            };
            let at = *self.arrives.entry(arn.clone()).or_insert(now + takes);
            if at > now {
                continue;
            }
            self.arrives.remove(arn);
            match &mut resource.kind {
                Kind::Service(service) => {
                    service.running = if has_room { service.desired } else { 0 };
                }
                Kind::Group(group) => {
                    group.instances = group.desired;
                    group.in_service = group.desired;
                }
                Kind::Database(database) => {
                    if let Some(snapshots) = &mut database.snapshots {
                        for state in snapshots.values_mut() {
                            "available".clone_into(state);
                        }
                    }
                    if database.status == "stopping" {
                        "stopped".clone_into(&mut database.status);
                        self.stopped_at.insert(arn.clone(), now);
                    } else {
                        "available".clone_into(&mut database.status);
                    }
                }
            }
        }
    }

    /// What somebody asks of an environment against its schedules.
    pub(crate) fn ask(&mut self, environment: &str, what: Override) {
        let asked = Asked {
            what,
            by: "somebody".to_owned(),
            why: "a test".to_owned(),
        };
        self.overrides.insert(environment.to_owned(), asked);
    }

    fn count(&mut self, arn: &str, what: &'static str) {
        *self.changes.entry((arn.to_owned(), what)).or_default() += 1;
    }
}

/// The hands of one run.
#[derive(Debug)]
pub(crate) struct Hands {
    cloud: Shared,
    steps: Steps,
    name: String,
    held: RefCell<BTreeMap<String, bool>>,
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
            held: RefCell::default(),
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
        policy: &PolicyDocument<ScalingPolicy>,
        event: Value,
    ) -> Option<Run<ScheduledScaling>> {
        let now = self.cloud.borrow().now;
        self.steps
            .run(self, (ACCOUNT, "eu-central-1"), now, policy, &event)
            .await
    }

    pub(crate) fn tick(&self, policy: &PolicyDocument<ScalingPolicy>) -> Run<ScheduledScaling> {
        block_on(self.run(policy, json!({}))).unwrap()
    }

    async fn hold(&self, environment: &str) -> bool {
        if let Some(held) = self.held.borrow().get(environment) {
            return *held;
        }
        self.steps.step().await;
        let mut cloud = self.cloud.borrow_mut();
        let now = cloud.now;
        let free = cloud
            .leases
            .get(environment)
            .is_none_or(|(by, until)| *by == self.name || *until <= now);
        if free {
            let until = now + SignedDuration::from_mins(3);
            cloud
                .leases
                .insert(environment.to_owned(), (self.name.clone(), until));
        }
        self.held.borrow_mut().insert(environment.to_owned(), free);
        free
    }

    /// Whether the ledger still says what was decided on.
    async fn is_still_wanted(&self, of: &Subject) -> bool {
        self.steps.step().await;
        let cloud = self.cloud.borrow();
        let known = cloud.environments.get(&of.environment);
        known.is_some_and(|(progress, _)| progress.last == of.transition)
    }

    async fn remember(&self, of: &Subject, sizes: Sizes, state: State) -> Mark {
        self.steps.step().await;
        let mut cloud = self.cloud.borrow_mut();
        let at = cloud.now;
        let saved = match cloud.sizes.get(&of.arn).cloned() {
            Some(saved) => Saved { state, ..saved },
            None => Saved {
                environment: of.environment.clone(),
                sizes,
                at,
                transition: of.transition.at,
                state,
            },
        };
        let sizes = saved.sizes;
        cloud.sizes.insert(of.arn.clone(), saved);
        Mark { at, sizes }
    }

    async fn confirm(&self, of: &Subject, state: State) {
        self.steps.step().await;
        let mut cloud = self.cloud.borrow_mut();
        let at = cloud.now;
        let saved = cloud.sizes.get_mut(&of.arn).unwrap();
        saved.at = at;
        saved.transition = of.transition.at;
        saved.state = state;
    }

    async fn tag(&self, of: &Subject, value: Option<String>) {
        self.steps.step().await;
        let mut cloud = self.cloud.borrow_mut();
        let Some(resource) = cloud.resources.get_mut(&of.arn) else {
            return;
        };
        match value {
            Some(value) => resource.tags.insert(PARKED.to_owned(), value),
            None => resource.tags.remove(PARKED),
        };
    }

    async fn forget(&self, of: &Subject) {
        self.steps.step().await;
        self.cloud.borrow_mut().sizes.remove(&of.arn);
    }

    async fn set_desired(&self, setting: &Setting) {
        self.steps.step().await;
        let mut cloud = self.cloud.borrow_mut();
        let resource = cloud.resources.get_mut(&setting.of.arn).unwrap();
        if let (Kind::Service(service), Some(desired)) = (&mut resource.kind, setting.to.desired) {
            service.desired = desired;
        }
    }

    /// Bounds of a service, which move it into them; everything of a group.
    async fn bound(&self, setting: &Setting) {
        self.steps.step().await;
        let (arn, to) = (&setting.of.arn, setting.to);
        let mut cloud = self.cloud.borrow_mut();
        let what = match setting.direction {
            Direction::Park => "park",
            Direction::Wake => "wake",
            Direction::Resize => "resize",
        };
        cloud.count(arn, what);
        match &mut cloud.resources.get_mut(arn).unwrap().kind {
            Kind::Service(service) => {
                if let Some(scalable) = &mut service.scalable {
                    scalable.min = to.min.unwrap_or(scalable.min);
                    scalable.max = to.max.unwrap_or(scalable.max);
                    scalable.suspended = to.suspended.unwrap_or(scalable.suspended);
                    assert!(scalable.min <= scalable.max, "{setting:?}");
                    service.desired = service.desired.clamp(scalable.min, scalable.max);
                }
            }
            Kind::Group(group) => {
                group.min = to.min.unwrap_or(group.min);
                group.max = to.max.unwrap_or(group.max);
                group.desired = to.desired.unwrap_or(group.desired).max(group.min);
                assert!(group.max > 0 && group.desired <= group.max, "{setting:?}");
            }
            Kind::Database(_) => panic!("a database has no sizes"),
        }
    }

    async fn set(&self, setting: &Setting) -> Outcome {
        let of = &setting.of;
        if let Some(sizes) = setting.remember {
            if setting.direction == Direction::Park {
                let mark = self.remember(of, sizes, State::Parking).await;
                self.tag(of, Some(mark.to_string())).await;
            } else if setting.direction == Direction::Resize
                || !self.cloud.borrow().sizes.contains_key(&of.arn)
            {
                self.remember(of, sizes, State::Sizing).await;
            }
        }
        if setting.direction == Direction::Park {
            self.bound(setting).await;
            self.set_desired(setting).await;
        } else {
            self.set_desired(setting).await;
            self.bound(setting).await;
        }
        if setting.direction != Direction::Park {
            self.tag(of, None).await;
        }
        match (setting.remember, setting.direction, &setting.size) {
            (None, ..) => self.forget(of).await,
            (_, Direction::Park, _) => self.confirm(of, State::Parked).await,
            (_, _, Some(size)) => self.confirm(of, State::Sized(size.clone())).await,
            other => panic!("{other:?}"),
        }
        Outcome::Done
    }

    async fn one(&self, action: &Action) -> Outcome {
        if !self.hold(action.environment()).await {
            return Outcome::Skipped("another run works on it".to_owned());
        }
        if let Some(of) = action.subject()
            && !self.is_still_wanted(of).await
        {
            return Outcome::Skipped("another transition".to_owned());
        }
        match action {
            Action::Note(note) => {
                self.steps.step().await;
                let mut cloud = self.cloud.borrow_mut();
                let now = cloud.now;
                let known = cloud.environments.get(&note.environment).cloned();
                let version = known.as_ref().map(|(_, version)| *version);
                if version != note.version {
                    return Outcome::Skipped("another run has gone on".to_owned());
                }
                let before = known.as_ref().map(|(progress, _)| progress);
                let after = note.what.after(before, now).unwrap();
                let version = version.unwrap_or_default() + 1;
                cloud
                    .environments
                    .insert(note.environment.clone(), (after, version));
                Outcome::Done
            }
            Action::SetOverride(wanted) => {
                self.steps.step().await;
                let mut cloud = self.cloud.borrow_mut();
                let (from, to) = (cloud.now, wanted.to.clone());
                let until = wanted.lasts.after(from);
                let what = Override {
                    since: from,
                    from,
                    until,
                    to,
                };
                cloud.ask(&wanted.environment, what);
                Outcome::Done
            }
            Action::EndOverride { environment } => {
                self.steps.step().await;
                let mut cloud = self.cloud.borrow_mut();
                let now = cloud.now;
                if let Some(asked) = cloud.overrides.get_mut(environment) {
                    asked.what.until = asked.what.until.min(now);
                }
                Outcome::Done
            }
            Action::SetService(setting) | Action::SetGroup(setting) => self.set(setting).await,
            Action::SnapshotDatabase(wanted) => {
                self.steps.step().await;
                let mut cloud = self.cloud.borrow_mut();
                cloud.count(&wanted.of.arn, "snapshot");
                let resource = cloud.resources.get_mut(&wanted.of.arn).unwrap();
                let Kind::Database(database) = &mut resource.kind else {
                    panic!("{wanted:?}");
                };
                if database.status != "available" {
                    return Outcome::Skipped(database.status.clone());
                }
                "backing-up".clone_into(&mut database.status);
                let snapshots = database.snapshots.get_or_insert_default();
                snapshots.insert(wanted.snapshot.clone(), "creating".to_owned());
                Outcome::Done
            }
            Action::ParkDatabase(of) => {
                let mark = self.remember(of, Sizes::default(), State::Parking).await;
                self.tag(of, Some(mark.at.to_string())).await;
                self.steps.step().await;
                let outcome = self.stop_or_start(of, "available", "stopping", "park");
                self.confirm(of, State::Parked).await;
                outcome
            }
            Action::WakeDatabase(of) => {
                self.steps.step().await;
                let outcome = self.stop_or_start(of, "stopped", "starting", "wake");
                self.tag(of, None).await;
                self.forget(of).await;
                outcome
            }
            Action::Unmark(of) => {
                self.tag(of, None).await;
                self.forget(of).await;
                Outcome::Done
            }
        }
    }

    fn stop_or_start(&self, of: &Subject, from: &str, to: &str, what: &'static str) -> Outcome {
        let mut cloud = self.cloud.borrow_mut();
        cloud.count(&of.arn, what);
        cloud.stopped_at.remove(&of.arn);
        let resource = cloud.resources.get_mut(&of.arn).unwrap();
        let Kind::Database(database) = &mut resource.kind else {
            panic!("{of:?}");
        };
        if database.status != from {
            return Outcome::Skipped(database.status.clone());
        }
        to.clone_into(&mut database.status);
        Outcome::Done
    }
}

impl Observe<ScheduledScaling> for Hands {
    async fn observe(&self, policy: &ScalingPolicy, _: &Scope) -> Seen<World> {
        self.steps.step().await;
        let mut seen: Seen<World> = Seen::default();
        {
            let cloud = self.cloud.borrow();
            let known = cloud.environments.iter();
            let known = known.map(|(name, (progress, version))| {
                let (progress, version) = (progress.clone(), *version);
                (name.clone(), Remembered { version, progress })
            });
            seen.world.memory = Some(Memory {
                environments: known.collect(),
                overrides: cloud.overrides.clone(),
                ..Memory::default()
            });
            seen.world.change_calendars = cloud.calendars.clone();
        }
        self.steps.step().await;
        let cloud = self.cloud.borrow();
        let names = policy.environments.keys();
        seen.world.looked_at = names.map(|name| (name.clone(), Look::Whole)).collect();
        if cloud.is_down {
            seen.gaps.push(Gap {
                read: "ecs:ListServices: no answer".to_owned(),
                hides: Hides::Units(policy.environments.keys().cloned().collect()),
                grant: "ecs:ListServices".to_owned(),
            });
            return seen;
        }
        seen.world.resources = cloud.resources.clone();
        for (arn, saved) in &cloud.sizes {
            if let Some(resource) = seen.world.resources.get_mut(arn) {
                resource.saved = Some(saved.clone());
            } else {
                let stray = Stray {
                    saved: saved.clone(),
                    is_gone: true,
                };
                seen.world.strays.insert(arn.clone(), stray);
            }
        }
        seen
    }
}

impl Act<ScheduledScaling> for Hands {
    async fn act(&self, _: &ScalingPolicy, batch: &[Action]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for action in batch {
            outcomes.push(self.one(action).await);
        }
        outcomes
    }

    async fn finish(&self) -> Vec<String> {
        self.steps.step().await;
        let mut cloud = self.cloud.borrow_mut();
        cloud.leases.retain(|_, (by, _)| *by != self.name);
        vec![]
    }
}

/// Runs a future that needs no network and no clock.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// A policy from its text.
pub(crate) fn document(text: &str) -> PolicyDocument<ScalingPolicy> {
    PolicyDocument::parse(text, "test").unwrap()
}
