//! What schedules will do in the days to come, and what that saves. Pure: time is a
//! parameter, and nothing is asked of AWS.
//!
//! What it supposes: each transition is applied in time and takes none, no Change
//! Calendar is closed, and nobody starts, stops or changes anything by hand.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use serde::Serialize;

use crate::calendar::{Calendar, Wanted};
use crate::decide::Schedules;
use crate::policy::{Environment, ScalingPolicy};
use crate::price::{Amount, Price};
use crate::schedule::{Dates, Schedule};
use crate::world::Asked;

/// The most days of a preview.
pub const MOST_DAYS: u8 = 31;

/// How far ahead the next transition is looked for where the days have none.
const LOOK_AHEAD_DAYS: i64 = 400;

const HOURS_OF_A_WEEK: i64 = 7 * 24;
/// The hours of a month, a year's twelfth part.
pub const HOURS_OF_A_MONTH: i64 = 730;

/// Which days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// The first; `None` is today, in the time zone of each environment.
    pub from: Option<Date>,
    /// How many, 1 to [`MOST_DAYS`]; what is beyond counts as that.
    pub days: u8,
}

/// What schedules will do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preview {
    /// Now.
    pub now: Timestamp,
    /// The currency of all amounts.
    pub currency: String,
    /// Whether overrides could be looked at: there is a ledger, and it was read.
    pub overrides_known: bool,
    /// Each environment, by its name.
    pub environments: Vec<Course>,
    /// What all of them together save that have a price; `None` when none has.
    pub savings: Option<Savings>,
}

/// What will become of an environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// Its name.
    pub environment: String,
    /// The time zone of its first schedule, in which its days are.
    pub time_zone: String,
    /// Its schedules, in their rank.
    pub schedules: Vec<Told>,
    /// What it is to be now.
    pub now: State,
    /// What a person asked for, against the schedules.
    #[serde(rename = "override")]
    pub overridden: Option<Overridden>,
    /// The days, in order.
    pub days: Vec<Day>,
    /// The transitions of these days that are still to come; where there is none the
    /// one after them, within 400 days.
    pub transitions: Vec<Upcoming>,
    /// The seconds of the days.
    pub seconds: i64,
    /// How many of them it is to be off.
    pub seconds_off: i64,
    /// What that saves, where the policy has prices.
    pub savings: Option<Savings>,
    #[serde(skip)]
    zone: TimeZone,
}

impl Course {
    /// A moment in its time zone.
    pub fn local(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.zone.clone())
    }

    /// What a day is in the middle of each `step` minutes of its clock, from 00:00 to
    /// 24:00; `None` at a time that clocks skip. Of one that comes twice it is the
    /// first.
    pub fn cells<'a>(&self, day: &'a Day, step: u16) -> Vec<Option<&'a Span>> {
        let step = i64::from(step.clamp(1, 24 * 60));
        let cell = |n: i64| {
            let middle = SignedDuration::from_secs(step * 60 * n + step * 30);
            let time = day.date.at(0, 0, 0, 0).checked_add(middle).ok()?;
            let time = self.zone.to_ambiguous_timestamp(time);
            if matches!(time.offset(), AmbiguousOffset::Gap { .. }) {
                return None;
            }
            let at = time.earlier().ok()?;
            let mut spans = day.spans.iter();
            spans.find(|span| span.from <= at && at < span.until)
        };
        (0..24 * 60 / step).map(cell).collect()
    }
}

/// What a person should know of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// Its time zone.
    pub time_zone: String,
    /// The Change Calendars that hold it up while one is closed. A preview supposes
    /// that none is.
    pub change_calendars: Vec<String>,
}

/// What an environment is to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Asleep.
    Off,
    /// Awake, in a size that the policy names, or the one that was remembered.
    On {
        /// The name of the size.
        size: Option<String>,
    },
    /// As it is: no schedule has asked for anything yet.
    Undecided,
}

impl From<Option<Wanted>> for State {
    fn from(wanted: Option<Wanted>) -> Self {
        match wanted {
            Some(Wanted::Off) => Self::Off,
            Some(Wanted::On { size }) => Self::On { size },
            None => Self::Undecided,
        }
    }
}

/// What a person asked for, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overridden {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// What.
    #[serde(flatten)]
    pub to: State,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub why: String,
}

/// A date, as the clocks of the environment's time zone have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Day {
    /// The date.
    pub date: Date,
    /// When it begins.
    pub from: Timestamp,
    /// When the next begins.
    pub until: Timestamp,
    /// What the environment is to be, from the beginning of the day to its end
    /// without a gap.
    pub spans: Vec<Span>,
    /// The seconds in which it is to be off.
    pub seconds_off: i64,
    /// What is special about it.
    pub notes: Vec<Note>,
}

/// A time in which an environment is to be one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// What it is to be.
    #[serde(flatten)]
    pub state: State,
    /// Whether a person asked for that.
    pub overridden: bool,
}

impl Span {
    fn seconds(&self) -> i64 {
        self.until.duration_since(self.from).as_secs()
    }
}

/// What is special about a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Note {
    /// Clocks change.
    ClockChange {
        /// Of this time zone.
        time_zone: String,
        /// When.
        at: Timestamp,
        /// What they would have shown then.
        from: DateTime,
        /// What they show.
        to: DateTime,
    },
    /// A period would begin or end at a time that clocks skip, and does not.
    SkippedTime {
        /// Of this schedule.
        schedule: String,
        /// The time.
        time: DateTime,
    },
    /// Nothing begins.
    Holiday {
        /// By this schedule.
        schedule: String,
        /// Which names this list.
        list: String,
    },
    /// Other periods begin than those of the week.
    Exception {
        /// By this schedule.
        schedule: String,
        /// Which has the exception for these dates.
        dates: Dates,
        /// How many periods; 0 is nothing.
        periods: usize,
    },
    /// The first date of a schedule.
    FirstDate {
        /// Which.
        schedule: String,
    },
    /// The last date of a schedule.
    LastDate {
        /// Which.
        schedule: String,
    },
}

/// A transition that is to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upcoming {
    /// When it is due.
    pub at: Timestamp,
    /// The same in the time zone of the environment.
    pub local: Zoned,
    /// What is asked for from then on.
    #[serde(flatten)]
    pub to: State,
    /// Who asks.
    pub by: By,
}

/// Who asks for a transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A schedule.
    Schedule(String),
    /// A person, whose override begins.
    OverrideBegins,
    /// The schedules, because an override ends.
    OverrideEnds,
}

/// What is saved against the same environment always awake: an estimate by the
/// prices of the policy, and as if all weeks were like these days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Savings {
    /// In a week of 168 hours.
    pub estimate_per_week: Amount,
    /// In a month of 730 hours.
    pub estimate_per_month: Amount,
}

impl Savings {
    fn and(self, other: Self) -> Self {
        Self {
            estimate_per_week: self.estimate_per_week.and(other.estimate_per_week),
            estimate_per_month: self.estimate_per_month.and(other.estimate_per_month),
        }
    }
}

/// What schedules will do in these days. `overrides` has what persons asked for, by
/// environment; `None` when nobody looked.
pub fn preview(
    policy: &ScalingPolicy,
    days: Days,
    overrides: Option<&BTreeMap<String, Asked>>,
    now: Timestamp,
) -> Preview {
    let schedules = Schedules::of(policy);
    let course = |(name, environment): (&String, &Environment)| {
        let asked = overrides.and_then(|all| all.get(name));
        let asked = asked.filter(|asked| now < asked.what.until);
        let outlook = Outlook::new(policy, environment, &schedules, asked, now)?;
        Some(outlook.course(name, days))
    };
    let environments: Vec<Course> = policy.environments.iter().filter_map(course).collect();
    let priced = environments.iter().filter_map(|course| course.savings);
    Preview {
        now,
        currency: policy.currency.clone(),
        overrides_known: overrides.is_some(),
        savings: priced.reduce(Savings::and),
        environments,
    }
}

/// One environment, and from when it is looked at.
struct Outlook<'a> {
    environment: &'a Environment,
    schedules: Vec<(&'a str, &'a Schedule)>,
    holidays: &'a BTreeMap<String, BTreeSet<Date>>,
    calendar: Calendar<'a>,
    zone: TimeZone,
    asked: Option<&'a Asked>,
    now: Timestamp,
}

impl<'a> Outlook<'a> {
    /// `None` for what a policy's check refuses: no schedule, or no time zone.
    fn new(
        policy: &'a ScalingPolicy,
        environment: &'a Environment,
        of: &'a Schedules<'a>,
        asked: Option<&'a Asked>,
        now: Timestamp,
    ) -> Option<Self> {
        let named = environment.schedules.iter();
        let schedules: Vec<(&str, &Schedule)> = named
            .filter_map(|name| {
                let (name, schedule) = policy.schedules.get_key_value(name)?;
                Some((name.as_str(), schedule))
            })
            .collect();
        let (_, first) = schedules.first()?;
        Some(Self {
            environment,
            zone: TimeZone::get(&first.time_zone).ok()?,
            calendar: of.calendar(environment),
            schedules,
            holidays: &of.holidays,
            asked,
            now,
        })
    }

    fn course(&self, name: &str, days: Days) -> Course {
        let days = self.days(days);
        let spans = || days.iter().flat_map(|day| &day.spans);
        let seconds = spans().map(Span::seconds).sum();
        Course {
            environment: name.to_owned(),
            time_zone: self.schedules[0].1.time_zone.clone(),
            schedules: self.schedules.iter().map(|it| told(*it)).collect(),
            now: self.state_at(self.now),
            overridden: self.asked.map(overridden),
            transitions: self.upcoming(&days),
            seconds,
            seconds_off: days.iter().map(|day| day.seconds_off).sum(),
            savings: self.savings(spans(), seconds),
            zone: self.zone.clone(),
            days,
        }
    }

    fn days(&self, days: Days) -> Vec<Day> {
        let today = || self.now.to_zoned(self.zone.clone()).date();
        let first = days.from.unwrap_or_else(today);
        let dates = first.series(1.day());
        let dates = dates.take(days.days.clamp(1, MOST_DAYS).into());
        // None at the end of all time.
        dates.filter_map(|date| self.day(date)).collect()
    }

    fn day(&self, date: Date) -> Option<Day> {
        let begins = |date: Date| {
            let begins = date.to_zoned(self.zone.clone()).ok()?;
            Some(begins.timestamp())
        };
        let (from, until) = (begins(date)?, begins(date.tomorrow().ok()?)?);
        let spans = self.spans(from, until);
        let off = spans.iter().filter(|span| span.state == State::Off);
        Some(Day {
            date,
            from,
            until,
            seconds_off: off.map(Span::seconds).sum(),
            spans,
            notes: self.notes(date, from, until),
        })
    }

    /// Whether a person's wish counts at a moment.
    fn is_overridden(&self, at: Timestamp) -> bool {
        self.asked
            .is_some_and(|asked| asked.what.from <= at && at < asked.what.until)
    }

    fn state_at(&self, at: Timestamp) -> State {
        match self.asked.filter(|_| self.is_overridden(at)) {
            Some(asked) => Some(asked.what.to.clone()).into(),
            None => self.calendar.wanted_at(at).into(),
        }
    }

    /// What it is to be between two moments.
    fn spans(&self, from: Timestamp, until: Timestamp) -> Vec<Span> {
        let transitions = self.calendar.transitions(from, until);
        let mut edges: BTreeSet<Timestamp> = transitions.iter().map(|it| it.at).collect();
        edges.extend([from, until]);
        if let Some(asked) = self.asked {
            let within = |at: &Timestamp| from < *at && *at < until;
            edges.extend(
                [asked.what.from, asked.what.until]
                    .iter()
                    .filter(|at| within(at)),
            );
        }
        let edges: Vec<Timestamp> = edges.into_iter().collect();
        let mut spans: Vec<Span> = Vec::new();
        for pair in edges.windows(2) {
            let [from, until] = *pair else {
                continue;
            };
            let (state, overridden) = (self.state_at(from), self.is_overridden(from));
            match spans.last_mut() {
                Some(last) if last.state == state && last.overridden == overridden => {
                    last.until = until;
                }
                _ => spans.push(Span {
                    from,
                    until,
                    state,
                    overridden,
                }),
            }
        }
        spans
    }

    /// The transitions of the days that are still to come.
    fn upcoming(&self, days: &[Day]) -> Vec<Upcoming> {
        let (Some(first), Some(last)) = (days.first(), days.last()) else {
            return vec![];
        };
        // What is due at the very beginning is one of them.
        let before = first.from.saturating_sub(SignedDuration::from_nanos(1));
        let after = before.map_or(self.now, |before| before.max(self.now));
        let within = self.between(after, last.until);
        if !within.is_empty() {
            return within;
        }
        let far = SignedDuration::from_hours(24 * LOOK_AHEAD_DAYS);
        let far = last.until.saturating_add(far).unwrap_or(Timestamp::MAX);
        let next = self.between(after.max(last.until), far).into_iter().next();
        next.into_iter().collect()
    }

    /// The transitions after a moment and before another.
    fn between(&self, after: Timestamp, until: Timestamp) -> Vec<Upcoming> {
        let upcoming = |at: Timestamp, to: State, by: By| Upcoming {
            at,
            local: at.to_zoned(self.zone.clone()),
            to,
            by,
        };
        // What an override ends with is in it: that is told as its end.
        let counts = |at: Timestamp| {
            let ends = self.asked.is_some_and(|asked| asked.what.until == at);
            !self.is_overridden(at) && !ends
        };
        let transitions = self.calendar.transitions(after, until).into_iter();
        let transitions = transitions.filter(|it| counts(it.at)).map(|it| {
            let to = Some(it.to).into();
            upcoming(it.at, to, By::Schedule(it.schedule))
        });
        let mut all: Vec<Upcoming> = transitions.collect();
        if let Some(Asked { what, .. }) = self.asked {
            let ends = [
                (what.from, By::OverrideBegins),
                (what.until, By::OverrideEnds),
            ];
            let within = ends
                .into_iter()
                .filter(|(at, _)| after < *at && *at < until);
            all.extend(within.map(|(at, by)| upcoming(at, self.state_at(at), by)));
        }
        all.retain(|it| it.at < until);
        all.sort_by_key(|it| it.at);
        all
    }

    fn notes(&self, date: Date, from: Timestamp, until: Timestamp) -> Vec<Note> {
        let mut notes = Vec::new();
        let zones: BTreeSet<&str> = self
            .schedules
            .iter()
            .map(|(_, schedule)| schedule.time_zone.as_str())
            .collect();
        for name in zones {
            let zone = TimeZone::get(name).ok();
            notes.extend(zone.and_then(|zone| clock_change(name, &zone, from, until)));
        }
        let skipped = self.calendar.skipped(date).into_iter();
        notes.extend(skipped.map(|(schedule, time)| Note::SkippedTime {
            schedule: schedule.to_owned(),
            time,
        }));
        for (name, schedule) in &self.schedules {
            self.notes_of(name, schedule, date, &mut notes);
        }
        notes
    }

    fn notes_of(&self, name: &str, of: &Schedule, date: Date, notes: &mut Vec<Note>) {
        let schedule = || name.to_owned();
        let begun = of.from_date.is_none_or(|from| from <= date);
        if !begun || of.until_date.is_some_and(|until| until < date) {
            return;
        }
        let mut exceptions = of.exceptions.iter();
        if let Some(exception) = exceptions.find(|exception| exception.dates.contains(date)) {
            notes.push(Note::Exception {
                schedule: schedule(),
                dates: exception.dates,
                periods: exception.periods.len(),
            });
        } else {
            let has = |list: &&String| {
                self.holidays
                    .get(*list)
                    .is_some_and(|it| it.contains(&date))
            };
            let lists = of.holidays.iter().filter(has);
            notes.extend(lists.map(|list| Note::Holiday {
                schedule: schedule(),
                list: list.clone(),
            }));
        }
        if of.from_date == Some(date) {
            notes.push(Note::FirstDate {
                schedule: schedule(),
            });
        }
        if of.until_date == Some(date) {
            notes.push(Note::LastDate {
                schedule: schedule(),
            });
        }
    }

    fn savings<'s>(&self, spans: impl Iterator<Item = &'s Span>, seconds: i64) -> Option<Savings> {
        let awake = self.environment.price_per_hour?;
        let sizes = &self.environment.price_per_hour_of;
        let saved = spans.map(|span| {
            let price = match &span.state {
                State::Off => Price::default(),
                State::On { size } => {
                    let of_size = size.as_ref().and_then(|size| sizes.get(size));
                    of_size.copied().unwrap_or(awake)
                }
                State::Undecided => awake,
            };
            awake.less(price) * i128::from(span.seconds())
        });
        let saved = saved.sum();
        Some(Savings {
            estimate_per_week: Amount::over(saved, seconds, HOURS_OF_A_WEEK)?,
            estimate_per_month: Amount::over(saved, seconds, HOURS_OF_A_MONTH)?,
        })
    }
}

fn told((name, schedule): (&str, &Schedule)) -> Told {
    Told {
        name: name.to_owned(),
        time_zone: schedule.time_zone.clone(),
        change_calendars: schedule.change_calendars.clone(),
    }
}

fn overridden(asked: &Asked) -> Overridden {
    Overridden {
        from: asked.what.from,
        until: asked.what.until,
        to: Some(asked.what.to.clone()).into(),
        by: asked.by.clone(),
        why: asked.why.clone(),
    }
}

/// How the clocks of a time zone change between two moments.
fn clock_change(name: &str, zone: &TimeZone, from: Timestamp, until: Timestamp) -> Option<Note> {
    let before = |at: Timestamp| at.checked_sub(SignedDuration::from_nanos(1)).ok();
    let changes = zone.following(before(from)?);
    let mut changes = changes.take_while(|change| change.timestamp() < until);
    changes.find_map(|change| {
        let at = change.timestamp();
        let was = zone.to_offset(before(at)?);
        // Some only change the name.
        (was != change.offset()).then(|| Note::ClockChange {
            time_zone: name.to_owned(),
            at,
            from: was.to_datetime(at),
            to: change.offset().to_datetime(at),
        })
    })
}

#[cfg(test)]
mod tests;
