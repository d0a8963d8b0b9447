//! When a schedule says on and when off. Pure: time is a parameter.
//!
//! A schedule is made of periods that begin on dates. Where clocks change it goes
//! by what Amazon EventBridge Scheduler does ("Daylight savings time", EventBridge
//! Scheduler User Guide): a time that does not exist on a day is skipped, and one
//! that comes twice counts once, the first time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::schedule::{Period, Schedule, TimeOfDay};

/// How far back the state of a schedule is looked for, in days: holidays do not
/// last as long.
const LOOK_BACK_DAYS: i64 = 400;

/// What a schedule asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Nothing runs.
    Off,
    /// It runs, in a size that the policy names, or the one that was remembered.
    On {
        /// The name of the size.
        size: Option<String>,
    },
}

impl Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On { size: None } => f.write_str("on"),
            Self::On { size: Some(size) } => write!(f, "on ({size})"),
        }
    }
}

/// A moment at which a schedule asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When it is due.
    pub at: Timestamp,
    /// What is asked for from then on.
    pub to: Wanted,
    /// The schedule that asks.
    pub schedule: String,
}

/// One period on one date, as instants; a time that is skipped is `None`.
struct Occurrence<'a> {
    period: &'a Period,
    start: Option<Timestamp>,
    stop: Option<Timestamp>,
}

impl Occurrence<'_> {
    /// Whether it lasts at a moment. One without an end, or a beginning, never
    /// does.
    fn covers(&self, at: Timestamp) -> bool {
        let begun = self.start.is_some_and(|start| start <= at);
        begun && self.stop.is_some_and(|stop| at < stop)
    }
}

/// The schedules of one environment, the first one first in rank.
#[derive(Clone, Debug)]
pub struct Calendar<'a> {
    schedules: Vec<Of<'a>>,
}

#[derive(Clone, Debug)]
struct Of<'a> {
    name: &'a str,
    schedule: &'a Schedule,
    zone: TimeZone,
    /// The dates of its holidays.
    free: BTreeSet<Date>,
}

impl<'a> Calendar<'a> {
    /// Of schedules by their names; `holidays` has the dates of each list that
    /// they name. What a policy's check has refused is left out here.
    pub fn new(
        schedules: impl IntoIterator<Item = (&'a str, &'a Schedule)>,
        holidays: &BTreeMap<String, BTreeSet<Date>>,
    ) -> Self {
        let of = |(name, schedule): (&'a str, &'a Schedule)| {
            let lists = schedule.holidays.iter();
            let free = lists.filter_map(|list| holidays.get(list)).flatten();
            Some(Of {
                name,
                schedule,
                zone: TimeZone::get(&schedule.time_zone).ok()?,
                free: free.copied().collect(),
            })
        };
        Self {
            schedules: schedules.into_iter().filter_map(of).collect(),
        }
    }

    /// Every transition after a moment, up to and with another, in order.
    ///
    /// Where several schedules are together, on beats off, and of several that say
    /// on the first named decides the size. A transition that changes nothing of
    /// this, because another schedule decides at that moment, is none.
    pub fn transitions(&self, after: Timestamp, until: Timestamp) -> Vec<Transition> {
        let each = self.schedules.iter().map(|of| of.transitions(after, until));
        let each: Vec<Vec<(Timestamp, Wanted)>> = each.collect();
        let mut moments: BTreeMap<Timestamp, Vec<(usize, &Wanted)>> = BTreeMap::new();
        for (rank, transitions) in each.iter().enumerate() {
            for (at, to) in transitions {
                moments.entry(*at).or_default().push((rank, to));
            }
        }
        // What each schedule says before the first of them.
        let mut says: Vec<Option<Wanted>> = self
            .schedules
            .iter()
            .map(|of| of.wanted_at(after))
            .collect();
        let mut all = Vec::new();
        for (at, changes) in moments {
            let before = decided(&says).map(|(_, wanted)| wanted.clone());
            for (rank, to) in &changes {
                says[*rank] = Some((*to).clone());
            }
            let Some((decides, to)) = decided(&says) else {
                continue;
            };
            let own = |(rank, of): &&(usize, &Wanted)| match to {
                // Off is what all say together, whoever says it last.
                Wanted::Off => *of == &Wanted::Off,
                Wanted::On { .. } => *rank == decides,
            };
            let own = changes.iter().find(own).map(|(rank, _)| *rank);
            if own.is_some() || before.as_ref() != Some(to) {
                all.push(Transition {
                    at,
                    to: to.clone(),
                    schedule: self.schedules[own.unwrap_or(decides)].name.to_owned(),
                });
            }
        }
        all
    }

    /// The times at which a period would begin or end, had clocks not skipped them:
    /// those of periods that begin on a date, with their schedule.
    pub fn skipped(&self, date: Date) -> Vec<(&'a str, DateTime)> {
        let each = self.schedules.iter().map(|of| (of.name, of.skipped(date)));
        each.flat_map(|(name, times)| times.into_iter().map(move |at| (name, at)))
            .collect()
    }

    /// What is asked for at a moment; `None` before the first transition there ever
    /// was.
    pub fn wanted_at(&self, at: Timestamp) -> Option<Wanted> {
        decided_at(&self.schedules, at)
    }
}

fn decided_at(schedules: &[Of<'_>], at: Timestamp) -> Option<Wanted> {
    let says: Vec<Option<Wanted>> = schedules.iter().map(|of| of.wanted_at(at)).collect();
    decided(&says).map(|(_, wanted)| wanted.clone())
}

/// What several schedules come to, and which of them decides.
fn decided(says: &[Option<Wanted>]) -> Option<(usize, &Wanted)> {
    let said = || {
        let ranked = says.iter().enumerate();
        ranked.filter_map(|(rank, wanted)| Some((rank, wanted.as_ref()?)))
    };
    let on = said().find(|(_, wanted)| matches!(wanted, Wanted::On { .. }));
    on.or_else(|| said().next())
}

/// The date on which a period ends that begins on another.
fn last_date(period: &Period, begins: Date) -> Option<Date> {
    let is_next_day = match (period.start, period.stop) {
        (Some(start), Some(stop)) => stop <= start,
        _ => false,
    };
    if is_next_day {
        begins.tomorrow().ok()
    } else {
        Some(begins)
    }
}

impl Of<'_> {
    /// The periods that begin on a date.
    fn periods_on(&self, date: Date) -> Vec<&Period> {
        let schedule = self.schedule;
        let after = schedule.from_date.is_none_or(|from| date >= from);
        let before = schedule.until_date.is_none_or(|until| date <= until);
        if !after || !before {
            return vec![];
        }
        let mut exceptions = schedule.exceptions.iter();
        if let Some(exception) = exceptions.find(|exception| exception.dates.contains(date)) {
            return exception.periods.iter().collect();
        }
        let begins = |period: &&Period| {
            let is_free = self.free.contains(&date);
            period.days.contains(date.weekday()) && !(is_free && period.start.is_some())
        };
        schedule.periods.iter().filter(begins).collect()
    }

    fn occurrences(&self, from: Date, until: Date) -> Vec<Occurrence<'_>> {
        let dates = from.series(1.day()).take_while(|date| *date <= until);
        let on = |date: Date| {
            let periods = self.periods_on(date).into_iter();
            periods.map(move |period| {
                let start = period.start.and_then(|time| self.instant(date, time));
                let stop = period
                    .stop
                    .and_then(|time| self.instant(last_date(period, date)?, time));
                Occurrence {
                    period,
                    start,
                    stop,
                }
            })
        };
        dates.flat_map(on).collect()
    }

    /// The times of day of periods that begin on a date and that clocks skip.
    fn skipped(&self, date: Date) -> Vec<DateTime> {
        let times = |period: &Period| {
            let start = period.start.and_then(|time| time.on(date));
            let end = |time: TimeOfDay| time.on(last_date(period, date)?);
            [start, period.stop.and_then(end)]
        };
        let all = self.periods_on(date).into_iter().flat_map(times).flatten();
        let is_skipped = |at: &DateTime| {
            let offset = self.zone.to_ambiguous_timestamp(*at).offset();
            matches!(offset, AmbiguousOffset::Gap { .. })
        };
        all.filter(is_skipped).collect()
    }

    /// When a time of day comes on a date; `None` when clocks skip it.
    fn instant(&self, date: Date, time: TimeOfDay) -> Option<Timestamp> {
        let at: DateTime = time.on(date)?;
        let ambiguous = self.zone.to_ambiguous_timestamp(at);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } => None,
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                ambiguous.earlier().ok()
            }
        }
    }

    /// Every transition after a moment, up to and with another, each moment once.
    fn transitions(&self, after: Timestamp, until: Timestamp) -> Vec<(Timestamp, Wanted)> {
        let date = |at: Timestamp| at.to_zoned(self.zone.clone()).date();
        // A period that crosses midnight ends on the day after its date.
        let from = date(after).checked_sub(2.days()).unwrap_or(Date::MIN);
        let occurrences = self.occurrences(from, date(until));
        let mut all: BTreeMap<Timestamp, Wanted> = BTreeMap::new();
        let is_between = |at: &Timestamp| *at > after && *at <= until;
        for ended in occurrences.iter().filter(|of| of.period.start.is_some()) {
            let Some(stop) = ended.stop.filter(is_between) else {
                continue;
            };
            // Another may go on, such as one that an exception brought.
            let others = occurrences.iter().filter(|other| other.covers(stop));
            match others.max_by_key(|other| other.start) {
                None => drop(all.insert(stop, Wanted::Off)),
                Some(other) if other.period.size == ended.period.size => {}
                Some(other) => {
                    let size = other.period.size.clone();
                    all.insert(stop, Wanted::On { size });
                }
            }
        }
        // What only stops does so whatever goes on.
        let only_stops = occurrences.iter().filter(|of| of.period.start.is_none());
        for stop in only_stops.filter_map(|of| of.stop).filter(is_between) {
            all.insert(stop, Wanted::Off);
        }
        for begun in &occurrences {
            if let Some(start) = begun.start.filter(is_between) {
                let size = begun.period.size.clone();
                all.insert(start, Wanted::On { size });
            }
        }
        all.into_iter().collect()
    }

    /// What its last transition asked for.
    fn wanted_at(&self, at: Timestamp) -> Option<Wanted> {
        // Most have one within a week.
        [8, LOOK_BACK_DAYS].into_iter().find_map(|days| {
            let after = at
                .checked_sub((24 * days).hours())
                .unwrap_or(Timestamp::MIN);
            self.transitions(after, at).pop().map(|(_, wanted)| wanted)
        })
    }
}

#[cfg(test)]
mod tests;
