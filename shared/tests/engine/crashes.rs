//! Runs that are killed at any await and runs that overlap: the next clean run
//! finishes the work, and nothing is done twice.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use steward::engine::{Act, Function, Mode, Observe};
use steward::policy::PolicyDocument;
use steward::report::{Report, Status};
use steward::run::Run;

use crate::pruning::{Ecr, Image, Pruning, Registry};
use crate::restore::{Recovery, Region, Restore};
use crate::scaling::{Account, Environment, Scaling};
use crate::support::{ByHand, Limits, Setting, day, policy, woken};

/// A world in memory with its function: how it begins, how its time passes,
/// and what happened in it.
trait Story: Observe<Self::Function> + Act<Self::Function> {
    type Function: Function<Policy = Limits>;
    type End: PartialEq + std::fmt::Debug;

    fn begin() -> Self;
    fn scope() -> <Self::Function as Function>::Scope;
    fn now() -> Timestamp;
    fn tick(&self);
    /// How the world is.
    fn end(&self) -> Self::End;
    /// Everything that was really changed, in order.
    fn changes(&self) -> Vec<String>;
}

/// A setting and a policy that live as long as a story.
struct Around {
    setting: Setting,
    policy: PolicyDocument<Limits>,
}

impl Around {
    fn of<S: Story>() -> Self {
        let mut setting = Setting::of(Mode::Apply);
        setting.now = S::now();
        Self {
            setting,
            policy: policy(""),
        }
    }

    fn start<'a, S: Story>(&'a self, story: &'a S) -> ByHand<'a, Run<S::Function>> {
        let request = woken::<S::Function>(S::scope());
        ByHand::new(self.setting.run(story, &self.policy, request))
    }

    /// Clean runs until there is nothing left to do.
    fn to_rest<S: Story>(&self, story: &S) -> Vec<Report> {
        let mut reports = vec![];
        for _ in 0..50 {
            let (run, _) = self.start(story).finish();
            let at_rest = run.report.status == Status::NothingToDo;
            reports.push(run.report);
            story.tick();
            if at_rest {
                return reports;
            }
        }
        panic!("never at rest: {:?}", reports.last());
    }
}

/// How a story ends when nothing goes wrong, and how many steps each of its
/// runs takes.
fn undisturbed<S: Story>(around: &Around) -> (S::End, Vec<String>, Vec<usize>) {
    let story = S::begin();
    let mut steps = vec![];
    loop {
        let (run, taken) = around.start(&story).finish();
        steps.push(taken);
        story.tick();
        if run.report.status == Status::NothingToDo {
            break;
        }
    }
    let mut changes = story.changes();
    changes.sort();
    (story.end(), changes, steps)
}

/// Kills each run of a story at each of its awaits, and lets clean runs finish.
fn sweep<S: Story>() -> usize {
    let around = Around::of::<S>();
    let (end, changes, steps) = undisturbed::<S>(&around);
    let mut kills = 0;
    for (killed_run, length) in steps.iter().enumerate() {
        for step in 0..*length {
            for ticks in [0, 1] {
                let story = S::begin();
                for _ in 0..killed_run {
                    around.start(&story).finish();
                    story.tick();
                }
                let ended = around.start(&story).killed_after(step);
                assert!(
                    ended.is_none(),
                    "run {killed_run} ended before its step {step}"
                );
                (0..ticks).for_each(|_| story.tick());
                around.to_rest(&story);

                let place = format!("run {killed_run} killed at step {step}");
                assert_eq!(story.end(), end, "{place}");
                let mut found = story.changes();
                found.sort();
                assert_eq!(found, changes, "{place}: something was done twice or never");
                kills += 1;
            }
        }
    }
    kills
}

/// Two runs at once: the second starts at each step of the first, and from
/// there they take turns in each of a few rhythms.
fn interleave<S: Story>() -> usize {
    let around = Around::of::<S>();
    let (end, changes, steps) = undisturbed::<S>(&around);
    let mut pairs = 0;
    for head_start in 0..steps[0] {
        for rhythm in [[1, 1], [1, 3], [3, 1], [2, 5]] {
            let story = S::begin();
            let mut runs = [Some(around.start(&story)), Some(around.start(&story))];
            let mut reports = vec![];
            let mut step = |which: usize, count: usize| {
                for _ in 0..count {
                    let Some(run) = &mut runs[which] else { return };
                    if let Some(run_ended) = run.step() {
                        reports.push(run_ended.report);
                        runs[which] = None;
                    }
                }
            };
            step(0, head_start);
            for _ in 0..1_000 {
                step(0, rhythm[0]);
                step(1, rhythm[1]);
            }
            drop(runs);
            assert_eq!(reports.len(), 2, "both runs end");
            assert!(reports.iter().all(|r| r.summary.failed == 0), "{reports:?}");

            story.tick();
            around.to_rest(&story);
            assert_eq!(story.end(), end);
            let mut found = story.changes();
            found.sort();
            assert_eq!(found, changes, "something was done twice or never");
            pairs += 1;
        }
    }
    pairs
}

/// Acting, and deciding again: what was done is not wanted again.
fn nothing_left<S: Story>() {
    let around = Around::of::<S>();
    let story = S::begin();
    let reports = around.to_rest(&story);
    let changes = story.changes().len();
    assert_eq!(
        reports.iter().map(|r| r.summary.done).sum::<usize>(),
        changes,
        "every change is in a report, once"
    );
    let (again, _) = around.start(&story).finish();
    assert_eq!(again.report.status, Status::NothingToDo);
    assert!(again.planned().is_empty());
    assert_eq!(again.report.summary.kept, again.report.summary.observed);
    assert_eq!(story.changes().len(), changes);
}

// ---- pruning -------------------------------------------------------------------

fn registry() -> Registry {
    let image = |n: i64| Image {
        pushed_at: day(n),
        in_use: n % 10 == 0,
        held: n % 17 == 1,
        children: [].into(),
    };
    let mut registry = Registry::new();
    for repository in ["api", "web", "worker"] {
        let mut images: BTreeMap<String, Image> = (1..130)
            .map(|n| (format!("image{n:03}"), image(n)))
            .collect();
        for n in (5..120).step_by(5) {
            let mut index = image(n + 1);
            index.children = [n, n + 2].map(|n| format!("image{n:03}")).into();
            images.insert(format!("index{n:03}"), index);
        }
        registry.insert(repository.to_owned(), images);
    }
    registry
}

impl Story for Ecr {
    type Function = Pruning;
    type End = Registry;

    fn begin() -> Self {
        Self::of(registry())
    }
    fn scope() {}
    fn now() -> Timestamp {
        day(160)
    }
    fn tick(&self) {}
    fn end(&self) -> Registry {
        self.registry.borrow().clone()
    }
    fn changes(&self) -> Vec<String> {
        self.deleted.borrow().clone()
    }
}

#[test]
fn pruning_survives_being_killed_at_any_await() {
    assert!(sweep::<Ecr>() > 20);
}

#[test]
fn two_pruning_runs_at_once_do_no_harm() {
    assert!(interleave::<Ecr>() > 20);
}

#[test]
fn after_pruning_nothing_is_left_to_prune() {
    nothing_left::<Ecr>();
}

#[test]
fn pruning_takes_a_call_for_a_hundred_and_indexes_before_their_children() {
    let story = Ecr::begin();
    Around::of::<Ecr>().to_rest(&story);
    let deleted = story.deleted.borrow();
    assert!(deleted.len() > 200, "{}", deleted.len());
    assert!(story.calls.get() < 10, "{} calls", story.calls.get());
    // ECR refuses the other order, so that a failure would have been reported.
    assert!(deleted.iter().any(|target| target.contains("index")));
    for (repository, images) in &*story.registry.borrow() {
        assert!(
            images.values().filter(|i| i.in_use).count() >= 12,
            "{repository}"
        );
    }
}

// ---- scaling -------------------------------------------------------------------

/// At night: one environment is awake, one half parked, one parked.
struct Night(Account);
/// By day: the other way round.
struct Morning(Account);

fn half_parked() -> Environment {
    Environment {
        saved: Some(4),
        ..Environment::awake(4)
    }
}

macro_rules! scaling_story {
    ($name:ident, $world:expr, $hour:expr) => {
        impl Observe<Scaling> for $name {
            async fn observe(
                &self,
                policy: &Limits,
                scope: &(),
            ) -> steward::engine::Seen<crate::scaling::World> {
                self.0.observe(policy, scope).await
            }
        }

        impl Act<Scaling> for $name {
            async fn act(
                &self,
                policy: &Limits,
                batch: &[crate::scaling::Scale],
            ) -> Vec<steward::engine::Outcome> {
                self.0.act(policy, batch).await
            }
        }

        impl Story for $name {
            type Function = Scaling;
            type End = crate::scaling::World;

            fn begin() -> Self {
                let world = $world.map(|(name, environment)| (name.to_owned(), environment));
                Self(Account::of(world.into()))
            }
            fn scope() {}
            fn now() -> Timestamp {
                day(10) + SignedDuration::from_hours($hour)
            }
            fn tick(&self) {
                self.0.tick();
            }
            fn end(&self) -> Self::End {
                self.0.world.borrow().clone()
            }
            fn changes(&self) -> Vec<String> {
                self.0.changes.borrow().clone()
            }
        }
    };
}

scaling_story!(
    Night,
    [
        ("dev", Environment::awake(2)),
        ("staging", half_parked()),
        ("test", Environment::parked(1)),
    ],
    22
);
scaling_story!(
    Morning,
    [
        ("dev", Environment::parked(2)),
        ("staging", half_parked()),
        ("test", Environment::parked(1)),
        ("web", Environment::awake(9)),
    ],
    9
);

#[test]
fn parking_and_waking_survive_being_killed_at_any_await() {
    assert!(sweep::<Night>() > 30);
    assert!(sweep::<Morning>() > 30);
}

#[test]
fn two_scaling_runs_at_once_do_no_harm() {
    assert!(interleave::<Night>() > 20);
    assert!(interleave::<Morning>() > 20);
}

#[test]
fn after_parking_and_waking_nothing_is_left_to_do() {
    nothing_left::<Night>();
    nothing_left::<Morning>();
}

#[test]
fn an_environment_is_parked_in_order_over_ticks() {
    let story = Night::begin();
    let reports = Around::of::<Night>().to_rest(&story);
    let of_dev: Vec<_> = story
        .changes()
        .into_iter()
        .filter(|c| c.starts_with("dev"))
        .collect();
    assert_eq!(
        of_dev,
        ["dev: SaveSize(2)", "dev: SetSize(0)", "dev: StopDatabase"]
    );
    assert_eq!(reports[0].status, Status::Waiting);
    assert_eq!(reports[0].wait.as_ref().unwrap().seconds, 60);
    let dev = &story.end()["dev"];
    assert_eq!((dev.saved, dev.size, dev.tasks), (Some(2), 0, 0));
}

#[test]
fn waking_an_environment_is_held_back_by_no_limit_and_parking_is() {
    let none = policy("max_actions_per_unit: 0\nmax_actions_per_run: 0");
    let mut around = Around::of::<Morning>();
    around.policy = none.clone();
    let story = Morning::begin();
    around.to_rest(&story);
    assert_eq!(story.end()["dev"], Environment::awake(2));

    let mut around = Around::of::<Night>();
    around.policy = none;
    let story = Night::begin();
    let report = around.start(&story).finish().0.report;
    assert!(story.changes().is_empty());
    assert!(report.summary.deferred > 0);
}

#[test]
fn under_a_tight_limit_a_size_is_still_saved_before_it_is_lowered() {
    // The account panics when a size is lowered that was not saved.
    let mut around = Around::of::<Night>();
    around.policy = policy("max_actions_per_run: 1");
    let story = Night::begin();
    around.to_rest(&story);
    assert_eq!(story.end()["dev"].saved, Some(2));
    assert_eq!(story.end()["staging"].size, 0);
}

// ---- restore -------------------------------------------------------------------

impl Story for Region {
    type Function = Restore;
    type End = crate::restore::Site;

    fn begin() -> Self {
        Self::default()
    }
    fn scope() -> Recovery {
        Recovery::of_web()
    }
    fn now() -> Timestamp {
        day(0)
    }
    fn tick(&self) {
        Region::tick(self);
    }
    fn end(&self) -> Self::End {
        self.site.borrow().clone()
    }
    fn changes(&self) -> Vec<String> {
        self.made.borrow().iter().map(ToString::to_string).collect()
    }
}

#[test]
fn a_recovery_survives_being_killed_at_any_await() {
    assert!(sweep::<Region>() > 10);
}

#[test]
fn two_recoveries_of_one_id_at_once_do_no_harm() {
    assert!(interleave::<Region>() > 10);
}

#[test]
fn after_a_recovery_nothing_is_left_to_recover() {
    nothing_left::<Region>();
}

#[test]
fn a_step_whose_parameters_do_not_exist_yet_is_deferred_and_waited_for() {
    let around = Around::of::<Region>();
    let region = Region::begin();
    let report = around.start(&region).finish().0.report;
    assert_eq!(report.status, Status::Waiting);
    assert_eq!((report.summary.done, report.summary.deferred), (1, 2));
    let kinds: Vec<_> = report.actions.iter().map(|line| &*line.kind).collect();
    assert_eq!(kinds, ["restore_database", "none", "none"]);
    assert_eq!(report.wait.unwrap().seconds, 30);

    // AWS is still making it: the same again, with nothing done.
    let report = around.start(&region).finish().0.report;
    assert_eq!(report.status, Status::Waiting);
    assert_eq!(report.summary.done, 0);
    assert_eq!(*region.made.borrow(), ["database"]);

    Region::tick(&region);
    around.to_rest(&region);
    assert_eq!(*region.made.borrow(), ["database", "revision", "service"]);
}

#[test]
fn a_read_that_a_recovery_can_do_without_is_a_warning_and_no_gap() {
    // A gap in a unit whose steps are deferred refuses the unit: to the engine
    // a deferral may be because of the gap.
    let around = Around::of::<Region>();
    let region = Region::begin();
    region.gaps.borrow_mut().push(steward::engine::Gap {
        read: "rds:DescribeDBInstances in the primary Region timed out".to_owned(),
        hides: steward::engine::Hides::unit("recovery"),
        grant: "rds:DescribeDBInstances".to_owned(),
    });
    let report = around.start(&region).finish().0.report;
    assert_eq!(report.summary.done, 1, "nothing of a recovery is destroyed");
    assert_eq!(report.status, Status::Partial);
}
