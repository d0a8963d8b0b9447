//! What every test here needs: a setting to run in, and the checks that hold
//! for every report whatever happened.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use steward::engine::{
    Act, Clock, Deadline, Function, Leash, Mode, Observe, RunLimits, Trigger, UnitLimits,
};
use steward::policy::{Notify, Policy, PolicyDocument, Problems, Selection};
use steward::report::{ActionOutcome, MAX_BYTES, Report, Status, Summary};
use steward::run::{Context, Request, Run};
use steward::switches::{Position, Switches};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "eu-west-1";

/// Midnight this many days after the day that every story here begins on.
pub(crate) fn day(n: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * n)
}

/// What is around a run.
pub(crate) struct Setting {
    pub(crate) leash: Leash,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) now: Timestamp,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) switches: Switches,
}

impl Setting {
    /// A function whose leash is this long, with nothing in its way.
    pub(crate) fn of(leash: Mode) -> Self {
        Self {
            leash: Leash(leash),
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            now: day(300),
            deadline: None,
            switches: Switches::Fixed(Position::Run),
        }
    }

    /// Calls `inside` with the engine's own context of this setting.
    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            account: self.account.clone(),
            region: self.region.clone(),
            run_id: "run-1".to_owned(),
            leash: self.leash,
            clock: Clock::Fixed(self.now),
            deadline: self.deadline,
            switches: &self.switches,
            most_lines: usize::MAX,
        }
    }

    /// One run, whose report is sound whatever came of it.
    pub(crate) async fn run<F: Function>(
        &self,
        hands: &(impl Observe<F> + Act<F>),
        policy: &PolicyDocument<F::Policy>,
        request: Request<F>,
    ) -> Run<F> {
        let run = steward::run::run(hands, &self.context(), policy, request).await;
        assert_sound(&run.report);
        assert_tallied(&run);
        run
    }
}

/// A request for the main operation, in the mode of the leash.
pub(crate) fn woken<F: Function>(scope: F::Scope) -> Request<F> {
    Request {
        operation: F::OPERATIONS[0],
        mode: None,
        trigger: Trigger::Schedule,
        scope,
        plan_file: None,
        warnings: vec![],
    }
}

/// The units together are the report.
fn assert_tallied<F: Function>(run: &Run<F>) {
    let sum = |of: fn(&Summary) -> usize| -> usize {
        run.units.iter().map(|tally| of(&tally.summary)).sum()
    };
    let sums = run.report.summary;
    assert_eq!(sum(|s| s.observed), sums.observed);
    assert_eq!(sum(|s| s.kept), sums.kept);
    assert_eq!(sum(|s| s.deferred), sums.deferred);
    assert_eq!(sum(|s| s.planned), sums.planned);
    assert_eq!(sum(|s| s.done), sums.done);
    assert_eq!(sum(|s| s.already_done), sums.already_done);
    assert_eq!(sum(|s| s.skipped), sums.skipped);
    assert_eq!(sum(|s| s.failed), sums.failed);
    for tally in &run.units {
        let done: usize = tally.done_kinds.values().sum();
        assert_eq!(done, tally.summary.done);
        assert_eq!(
            tally.failures.is_empty(),
            tally.summary.failed == 0,
            "{tally:?}"
        );
    }
}

/// What the contract promises of every report.
pub(crate) fn assert_sound(report: &Report) {
    assert!(
        report.sums_hold(),
        "the sums do not add up: {:?}",
        report.summary
    );
    let sums = report.summary;
    let lines = |outcome| {
        report
            .actions
            .iter()
            .filter(|line| line.outcome == outcome)
            .count()
    };
    assert_eq!(report.actions.len(), report.actions_total);
    assert_eq!(
        report.kept.iter().map(|l| l.count).sum::<usize>(),
        sums.kept
    );
    assert_eq!(lines(ActionOutcome::Deferred), sums.deferred);
    assert_eq!(lines(ActionOutcome::Done), sums.done);
    assert_eq!(lines(ActionOutcome::AlreadyDone), sums.already_done);
    assert_eq!(lines(ActionOutcome::Skipped), sums.skipped);
    assert_eq!(lines(ActionOutcome::Failed), sums.failed);
    for line in &report.actions {
        let says_why = matches!(
            line.outcome,
            ActionOutcome::Deferred | ActionOutcome::Skipped | ActionOutcome::Failed
        );
        assert_eq!(line.error.is_some(), says_why, "{line:?}");
    }
    match report.status {
        Status::Planned => assert_eq!(report.mode, Mode::Plan),
        Status::Applied => assert_eq!(
            (sums.failed, sums.skipped, report.refusals.len()),
            (0, 0, 0)
        ),
        Status::NothingToDo => {
            assert_eq!((sums.done, sums.failed, report.refusals.len()), (0, 0, 0))
        }
        Status::Refused => {
            assert!(sums.done == 0 && (!report.refusals.is_empty() || sums.skipped > 0))
        }
        Status::Waiting => assert!(report.wait.is_some() && sums.failed == 0),
        Status::Failed => assert_eq!(sums.done, 0),
        Status::Partial => assert_eq!(report.mode, Mode::Apply),
    }
    let bounded = report.bounded();
    let json = serde_json::to_string(&bounded).unwrap();
    assert!(json.len() <= MAX_BYTES, "{} bytes", json.len());
    assert_eq!(bounded.summary, sums);
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), bounded);
}

/// The policy of the miniatures: which targets, and every limit there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) targets: Option<Selection>,
    pub(crate) max_actions_per_unit: Option<u32>,
    pub(crate) max_share_percent: Option<u8>,
    pub(crate) keep_at_least: Option<u32>,
    pub(crate) max_actions_per_run: Option<u32>,
    pub(crate) reviewed_plan_may_exceed: BTreeSet<String>,
    pub(crate) notify: Notify,
}

impl Limits {
    pub(crate) fn of_unit(&self) -> UnitLimits {
        UnitLimits {
            max_actions: self.max_actions_per_unit,
            max_share_percent: self.max_share_percent,
            keep_at_least: self.keep_at_least,
        }
    }

    pub(crate) fn of_run(&self) -> RunLimits {
        RunLimits {
            max_actions: self.max_actions_per_run,
            reviewed_plan_may_exceed: self.reviewed_plan_may_exceed.clone(),
        }
    }
}

impl Policy for Limits {
    fn check(&self, problems: &mut Problems) {
        if let Some(targets) = &self.targets {
            targets.check("targets", problems);
        }
        if let Some(share) = self.max_share_percent {
            problems.within("max_share_percent", share, 0, 100);
        }
    }

    fn selects_targets(&self) -> bool {
        self.targets.is_some()
    }

    fn notify(&self) -> &Notify {
        &self.notify
    }
}

/// An explicit policy for everything, with further lines of YAML.
pub(crate) fn policy<P: Policy>(more: &str) -> PolicyDocument<P> {
    let text = format!("version: 1\ntargets: {{include: [\"*\"]}}\n{more}\n");
    PolicyDocument::parse(&text, "test").unwrap()
}

/// Gives way this many times, so that a run can be dropped here and others can
/// run. Lanes that give way more or less often drift apart.
pub(crate) async fn give_way(times: usize) {
    let mut gave = 0;
    std::future::poll_fn(|task| {
        if gave == times {
            return Poll::Ready(());
        }
        gave += 1;
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A run that is polled by hand: dropping it is being killed there.
pub(crate) struct ByHand<'a, T>(Pin<Box<dyn Future<Output = T> + 'a>>);

impl<'a, T> ByHand<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self(Box::pin(future))
    }

    /// One step on.
    pub(crate) fn step(&mut self) -> Option<T> {
        match self
            .0
            .as_mut()
            .poll(&mut TaskContext::from_waker(Waker::noop()))
        {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    /// To its end, and how many steps that took.
    pub(crate) fn finish(mut self) -> (T, usize) {
        for steps in 1..1_000_000 {
            if let Some(value) = self.step() {
                return (value, steps);
            }
        }
        panic!("the run never ends");
    }

    /// Some steps, and then it is killed, unless it ended before.
    pub(crate) fn killed_after(mut self, steps: usize) -> Option<T> {
        (0..steps).find_map(|_| self.step())
    }
}
