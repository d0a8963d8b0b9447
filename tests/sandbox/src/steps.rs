//! The steps of a run in memory: where others get their turn, and where it may be
//! killed.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::task::Poll;

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
}
