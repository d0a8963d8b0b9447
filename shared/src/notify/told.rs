//! What people were told lately, so that what stands is not told by every run: a function
//! with a tick each minute would say 1,440 times a day that a read is denied.
//!
//! It is kept in the memory of the process: what is remembered elsewhere could be out of
//! reach just when that is the news. A process that starts anew tells everything again.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;

use crate::policy::{News, Period};

/// How many things are remembered. The oldest are forgotten, and told again.
const MOST: usize = 5_000;

/// What was told by this process, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    at: BTreeMap<u64, Timestamp>,
}

/// What is the same thing to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing(u64);

impl Thing {
    /// A thing that is told about a unit, or about the run: the same when it is told in
    /// the same letters.
    pub(super) fn exactly(unit: Option<&str>, news: News, text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (unit, news.name(), text).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// The same, but for counts, times and ids, which change from run to run while what
    /// stands does not: words with a digit make no other thing of it.
    pub(super) fn but_for_numbers(unit: Option<&str>, news: News, text: &str) -> Self {
        let words = text.split_whitespace();
        let words = words.filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
        Self::exactly(unit, news, &words.collect::<Vec<_>>().join(" "))
    }
}

impl Told {
    /// Whether a thing was not told, or so long ago that it is told again.
    pub(super) fn is_due(&self, thing: Thing, again_after: Period, now: Timestamp) -> bool {
        let before = self.at.get(&thing.0);
        before.is_none_or(|before| again_after.after(*before) <= now)
    }

    /// Remembers that things were told.
    pub fn note(&mut self, things: impl IntoIterator<Item = Thing>, now: Timestamp) {
        self.at
            .extend(things.into_iter().map(|thing| (thing.0, now)));
        if let Some(excess @ 1..) = self.at.len().checked_sub(MOST) {
            let mut by_age: Vec<(Timestamp, u64)> =
                self.at.iter().map(|(thing, at)| (*at, *thing)).collect();
            by_age.sort_unstable();
            for (_, thing) in by_age.into_iter().take(excess) {
                self.at.remove(&thing);
            }
        }
    }
}
