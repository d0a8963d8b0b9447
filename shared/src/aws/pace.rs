//! How many calls to one service are under way at once: fewer while the
//! service throttles, and slowly more again when it does not.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::meter::Meter;

/// A bound on the calls under way to one service.
///
/// It starts at its most. When a throttled answer came in while a call was under
/// way, the bound is halved, once for all the calls of that moment; it is never
/// below one. A whole round of calls without one raises it by one, up to the
/// most. (Additive increase, multiplicative decrease: RFC 5681, section 3.1.)
///
/// A call keeps its turn while the SDK waits to try again, so that a throttled
/// service sees no new calls meanwhile.
#[derive(Debug)]
pub struct Pace {
    meter: Meter,
    service: &'static str,
    most: usize,
    turns: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Calls that may be under way, from 1 to the most.
    width: usize,
    /// Turns that calls under way hold beyond the width; they end with them.
    excess: usize,
    /// Calls since the width last changed that saw no throttle.
    unhindered: usize,
    /// Goes up each time that the width is halved.
    halvings: u64,
}

/// A call's turn; given back when it is dropped, also when the call is.
struct Turn<'a> {
    pace: &'a Pace,
    throttles: u64,
    halvings: u64,
}

impl Pace {
    /// For calls to the service that is signed for as `service` (`ecr`, `ecs`),
    /// at most `most` of them at once; 0 counts as 1. The meter has to be the one
    /// that counts those calls.
    pub fn new(meter: &Meter, service: &'static str, most: usize) -> Self {
        let most = most.max(1);
        Self {
            meter: meter.clone(),
            service,
            most,
            turns: Semaphore::new(most),
            state: Mutex::new(State {
                width: most,
                excess: 0,
                unhindered: 0,
                halvings: 0,
            }),
        }
    }

    /// Makes a call when its turn has come; first come, first served.
    pub async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        // The semaphore is never closed; were it, the call would still be made.
        let permit = self.turns.acquire().await.ok();
        let turn = Turn {
            pace: self,
            throttles: self.meter.throttles_of(self.service),
            halvings: self.state().halvings,
        };
        if let Some(permit) = permit {
            // The turn gives it back, or keeps it where the bound has shrunk.
            permit.forget();
        }
        let answer = call.await;
        drop(turn);
        answer
    }

    /// Calls that may be under way at once, from 1 to the most.
    pub fn width(&self) -> usize {
        self.state().width
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let pace = self.pace;
        let throttled = pace.meter.throttles_of(pace.service) > self.throttles;
        let mut state = pace.state();
        if throttled && self.halvings == state.halvings {
            let width = (state.width / 2).max(1);
            state.excess += state.width - width;
            state.excess -= pace.turns.forget_permits(state.excess);
            state.width = width;
            state.unhindered = 0;
            state.halvings += 1;
        } else if !throttled {
            state.unhindered += 1;
        }
        let mut back = 1;
        if state.unhindered >= state.width && state.width < pace.most {
            state.width += 1;
            state.unhindered = 0;
            back += 1;
        }
        let kept = state.excess.min(back);
        state.excess -= kept;
        pace.turns.add_permits(back - kept);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    /// A round of `n` calls; each of the numbered ones is throttled once.
    /// Returns how many were under way at once.
    async fn round(pace: &Pace, meter: &Meter, n: usize, throttled: &[usize]) -> usize {
        let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let calls = (0..n).map(|i| {
            let (under_way, most) = (&under_way, &most);
            pace.call(async move {
                let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                yield_now().await;
                if throttled.contains(&i) {
                    meter.throttled("ecs");
                }
                under_way.fetch_sub(1, Ordering::SeqCst);
            })
        });
        join_all(calls).await;
        most.into_inner()
    }

    #[tokio::test]
    async fn keeps_to_its_most() {
        let meter = Meter::default();
        let pace = Pace::new(&meter, "ecs", 4);
        assert_eq!(round(&pace, &meter, 30, &[]).await, 4);
        assert_eq!(pace.width(), 4);
    }

    #[tokio::test]
    async fn halves_once_for_all_the_calls_of_a_moment() {
        let meter = Meter::default();
        let pace = Pace::new(&meter, "ecs", 8);
        round(&pace, &meter, 8, &[0, 1, 2, 3, 4, 5, 6, 7]).await;
        assert_eq!(pace.width(), 4);
        assert_eq!(round(&pace, &meter, 3, &[]).await, 3);
        assert_eq!(pace.width(), 4);
        assert_eq!(round(&pace, &meter, 4, &[3]).await, 4);
        assert_eq!(pace.width(), 2);
    }

    #[tokio::test]
    async fn is_never_below_one_and_goes_on() {
        let meter = Meter::default();
        let pace = Pace::new(&meter, "ecs", 8);
        for _ in 0..10 {
            round(&pace, &meter, 1, &[0]).await;
        }
        assert_eq!(pace.width(), 1);
        assert_eq!(round(&pace, &meter, 1, &[]).await, 1);
        let none = Pace::new(&meter, "ecs", 0);
        assert_eq!(round(&none, &meter, 3, &[]).await, 1);
    }

    #[tokio::test]
    async fn recovers_by_one_for_each_round() {
        let meter = Meter::default();
        let pace = Pace::new(&meter, "ecs", 4);
        round(&pace, &meter, 1, &[0]).await;
        assert_eq!(pace.width(), 2);
        assert_eq!(round(&pace, &meter, 2, &[]).await, 2);
        assert_eq!(pace.width(), 3);
        assert_eq!(round(&pace, &meter, 3, &[]).await, 3);
        assert_eq!(pace.width(), 4);
        assert_eq!(round(&pace, &meter, 40, &[]).await, 4);
        assert_eq!(pace.width(), 4);
    }

    #[tokio::test]
    async fn minds_no_other_service() {
        let meter = Meter::default();
        let pace = Pace::new(&meter, "ecs", 4);
        pace.call(async { meter.throttled("ecr") }).await;
        assert_eq!(pace.width(), 4);
    }

    #[tokio::test]
    async fn a_dropped_call_gives_its_turn_back() {
        let meter = Meter::default();
        let pace = Pace::new(&meter, "ecs", 1);
        {
            let mut call = Box::pin(pace.call(std::future::pending::<()>()));
            assert!(futures::poll!(&mut call).is_pending());
        }
        assert_eq!(round(&pace, &meter, 2, &[]).await, 1);
    }
}
