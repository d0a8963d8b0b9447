//! A sign of life on standard error while AWS is read and changed, when
//! somebody watches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use steward::engine::{Act, Observe, Outcome, Seen};

use crate::by_hand::ByHand;

/// A spinner with the time that has passed, or nothing.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Spins when `watched`.
    pub(crate) fn start(watched: bool) -> Self {
        Self(watched.then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
            let spinner = ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        }))
    }

    /// What goes on now.
    pub(crate) fn say(&self, what: String) {
        if let Some(spinner) = &self.0 {
            spinner.set_message(what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = &self.0 {
            spinner.finish_and_clear();
        }
    }
}

/// A function's hands, watched.
pub(crate) struct Watched<'a, H> {
    hands: &'a H,
    progress: &'a Progress,
    done: AtomicUsize,
}

impl<'a, H> Watched<'a, H> {
    pub(crate) fn new(hands: &'a H, progress: &'a Progress) -> Self {
        Self {
            hands,
            progress,
            done: AtomicUsize::new(0),
        }
    }
}

impl<F: ByHand, H: Observe<F>> Observe<F> for Watched<'_, H> {
    async fn observe(&self, policy: &F::Policy, scope: &F::Scope) -> Seen<F::World> {
        self.progress.say(format!("{} …", F::READING));
        self.hands.observe(policy, scope).await
    }
}

impl<F: ByHand, H: Act<F>> Act<F> for Watched<'_, H> {
    async fn act(&self, policy: &F::Policy, batch: &[F::Action]) -> Vec<Outcome> {
        let say = |done: usize| self.progress.say(format!("acting, {done} done …"));
        say(self.done.load(Ordering::Relaxed));
        let outcomes = self.hands.act(policy, batch).await;
        let good = outcomes
            .iter()
            .filter(|o| matches!(o, Outcome::Done | Outcome::AlreadyDone))
            .count();
        say(self.done.fetch_add(good, Ordering::Relaxed) + good);
        outcomes
    }

    async fn finish(&self) -> Vec<String> {
        self.hands.finish().await
    }
}
