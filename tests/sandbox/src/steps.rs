//! The steps of a run in memory: where others get their turn, and where it may be
//! killed.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::task::Poll;

use jiff::Timestamp;
use serde_json::Value;
use steward::engine::{Act, Clock, Function, Leash, Mode, Observe};
use steward::lambda;
use steward::policy::PolicyDocument;
use steward::run::{self, Context, Run};
use steward::switches::{Position, Switches};

/// Steps that are counted, interleaved and cut. They are of one thread.
#[derive(Debug)]
pub struct Steps {
    taken: Cell<usize>,
    cut_at: Option<usize>,
    is_cut: Cell<bool>,
    /// How often others get their turn before each step, over and over.
    turns: Vec<u8>,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            taken: Cell::new(0),
            cut_at: None,
            is_cut: Cell::new(false),
            turns: vec![0],
        }
    }
}

impl Steps {
    /// The run is killed at this step, from 1.
    #[must_use]
    pub fn cut_at(self, step: usize) -> Self {
        Self {
            cut_at: Some(step),
            ..self
        }
    }

    /// Others get so many turns before each step, over and over.
    #[must_use]
    pub fn with_turns(self, turns: Vec<u8>) -> Self {
        Self { turns, ..self }
    }

    /// How many there were.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Something that takes time: others may go on meanwhile, and the run may be
    /// killed here.
    pub async fn step(&self) {
        let step = self.taken.get() + 1;
        self.taken.set(step);
        let turns = self.turns.get(step % self.turns.len().max(1));
        for _ in 0..turns.copied().unwrap_or(0) {
            tokio::task::yield_now().await;
        }
        if self.cut_at == Some(step) {
            self.is_cut.set(true);
            pending::<()>().await;
        }
    }

    /// A run to its end, or to where it is killed, which is `None`.
    pub async fn until_cut<T>(&self, run: impl Future<Output = T>) -> Option<T> {
        let killed = poll_fn(|_| match self.is_cut.get() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        tokio::select! {
            // The run first: only it can get to where it is killed.
            biased;
            run = run => Some(run),
            () = killed => None,
        }
    }

    /// One run of a function that may change everything, in an account (by number) and a
    /// Region, to its end, or to where it is killed, which is `None`.
    ///
    /// # Panics
    /// When the event is none of the function's, or the sums of the report do not add up.
    pub async fn run<F: Function>(
        &self,
        hands: &(impl Observe<F> + Act<F>),
        (account, region): (&str, &str),
        now: Timestamp,
        policy: &PolicyDocument<F::Policy>,
        event: &Value,
    ) -> Option<Run<F>> {
        let switches = Switches::Fixed(Position::Run);
        let context = Context {
            account: account.to_owned(),
            region: region.to_owned(),
            run_id: "memory".to_owned(),
            leash: Leash(Mode::Apply),
            clock: Clock::Fixed(now),
            deadline: None,
            switches: &switches,
            most_lines: usize::MAX,
        };
        let request = match lambda::request::<F>(event) {
            Ok(request) => request,
            Err(error) => panic!("{event}: {error}"),
        };
        let running = run::run(hands, &context, policy, request);
        let run = self.until_cut(running).await?;
        assert!(run.report.sums_hold(), "{:?}", run.report.summary);
        Some(run)
    }
}
