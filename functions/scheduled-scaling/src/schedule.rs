//! Schedules as a policy writes them.

use std::fmt::{self, Display};
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Weekday};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// When something is on and when it is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The time zone of all its times, an IANA name.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// What comes again every week. Two of them may touch, and not overlap.
    pub periods: Vec<Period>,
    /// The lists of `holidays` on whose dates nothing begins. What only stops does
    /// so on holidays too.
    #[serde(default)]
    pub holidays: Vec<String>,
    /// Dates with periods of their own instead; the first that has a date counts.
    #[serde(default)]
    pub exceptions: Vec<Exception>,
    /// The first date on which a period begins. Null: it has always been.
    #[serde(default)]
    pub from_date: Option<Date>,
    /// The last date on which a period begins. Null: it is for ever.
    #[serde(default)]
    pub until_date: Option<Date>,
    /// Change Calendars of AWS Systems Manager, by name or ARN: while one of them
    /// is closed, no transition begins.
    #[serde(default)]
    pub change_calendars: Vec<String>,
    /// Whether what somebody changes by hand is put right by the next tick: what wakes
    /// at night sleeps again, and databases and named sizes by day. Else it lasts until
    /// the next transition.
    #[serde(default)]
    pub enforced: bool,
}

impl Schedule {
    /// Whether a period of it only starts or only stops: what it says lasts until it
    /// says something else, so that together with others it would say so for ever.
    pub fn is_one_sided(&self) -> bool {
        self.all_periods()
            .any(|period| period.start.is_none() || period.stop.is_none())
    }

    /// Its periods and those of its exceptions.
    pub fn all_periods(&self) -> impl Iterator<Item = &Period> {
        let exceptions = self
            .exceptions
            .iter()
            .flat_map(|exception| &exception.periods);
        self.periods.iter().chain(exceptions)
    }
}

/// A time in which something is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// The days on which it begins: `mon` to `sun`, or from one to another:
    /// `mon-fri`. All, when left out.
    #[serde(default)]
    pub days: Days,
    /// When it begins, `07:30`. Null: it only stops.
    #[serde(default)]
    pub start: Option<TimeOfDay>,
    /// When it ends, `19:00`; not after `start`, it is the next day. Null: it only
    /// starts.
    #[serde(default)]
    pub stop: Option<TimeOfDay>,
    /// The size of `sizes` in which things run. Null: the one that they had.
    #[serde(default)]
    pub size: Option<String>,
}

/// Dates that are not like others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// One date, or from one to another: `2026-12-24..2027-01-01`.
    pub dates: Dates,
    /// What begins on each of them; nothing, when left out. Their `days` do not
    /// count.
    #[serde(default)]
    pub periods: Vec<Period>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Days of the week.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Days([bool; 7]);

impl Default for Days {
    fn default() -> Self {
        Self([true; 7])
    }
}

/// As they are written.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// What cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A day, or two with a hyphen between.
    #[error(
        "\"{0}\" is no day; allowed: mon, tue, wed, thu, fri, sat, sun, or two of them with a \
         hyphen between"
    )]
    Day(String),
    /// A time of day.
    #[error("\"{0}\" is no time of day; allowed: 00:00 to 24:00")]
    Time(String),
    /// A date, or the first and the last.
    #[error(
        "\"{0}\" is no date; allowed: 2026-12-24, or 2026-12-24..2027-01-01 with the earlier first"
    )]
    Dates(String),
}

fn index_of(text: &str) -> Option<usize> {
    DAYS.iter().position(|(name, _)| *name == text)
}

impl Days {
    /// Whether it has this day.
    pub fn contains(self, day: Weekday) -> bool {
        let index = DAYS.iter().position(|(_, other)| *other == day);
        index.is_some_and(|index| self.0[index])
    }

    /// Reads a list of days and ranges; a range may go over the end of the week.
    ///
    /// # Errors
    /// [`ScheduleError::Day`], with the first that is none.
    pub fn of<S: AsRef<str>>(texts: &[S]) -> Result<Self, ScheduleError> {
        let mut days = [false; 7];
        for text in texts.iter().map(AsRef::as_ref) {
            let (from, to) = text.split_once('-').unwrap_or((text, text));
            let bad = || ScheduleError::Day(text.to_owned());
            let from = index_of(from).ok_or_else(bad)?;
            let to = index_of(to).ok_or_else(bad)?;
            for n in 0..=(to + 7 - from) % 7 {
                days[(from + n) % 7] = true;
            }
        }
        Ok(Self(days))
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        let all = DAYS.iter().zip(self.0);
        all.filter_map(|((name, _), is_in)| is_in.then_some(*name))
    }
}

impl fmt::Debug for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Serialize for Days {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        if texts.is_empty() {
            return Err(serde::de::Error::custom(
                "an empty list; allowed: one or more days such as mon-fri, or nothing for all",
            ));
        }
        Self::of(&texts).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Days {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Days".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let day = "(mon|tue|wed|thu|fri|sat|sun)";
        json_schema!({
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "pattern": format!("^{day}(-{day})?$")},
        })
    }
}

/// A time of day to the minute, `00:00` to `24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    minutes: i16,
}

/// The end of a day.
const MIDNIGHT: TimeOfDay = TimeOfDay { minutes: 24 * 60 };

impl TimeOfDay {
    /// The minutes since the beginning of the day.
    pub fn minutes(self) -> i64 {
        self.minutes.into()
    }

    /// This time on a date; `24:00` is the beginning of the next. `None` at the end
    /// of all dates.
    pub fn on(self, date: Date) -> Option<DateTime> {
        if self == MIDNIGHT {
            return Some(date.tomorrow().ok()?.at(0, 0, 0, 0));
        }
        let (hour, minute) = (self.minutes / 60, self.minutes % 60);
        Some(date.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0))
    }
}

impl FromStr for TimeOfDay {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let bad = || ScheduleError::Time(text.to_owned());
        let (hour, minute) = text.split_once(':').ok_or_else(bad)?;
        let digits = |text: &str| {
            let is_number = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| text.parse::<i16>().ok()).flatten()
        };
        let (hour, minute) = digits(hour).zip(digits(minute)).ok_or_else(bad)?;
        let time = Self {
            minutes: hour * 60 + minute,
        };
        (minute < 60 && time <= MIDNIGHT)
            .then_some(time)
            .ok_or_else(bad)
    }
}

impl Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

/// Dates from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    /// The first.
    pub from: Date,
    /// The last, not before the first.
    pub until: Date,
}

impl Dates {
    /// Whether a date is one of them.
    pub fn contains(&self, date: Date) -> bool {
        self.from <= date && date <= self.until
    }
}

impl FromStr for Dates {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let bad = || ScheduleError::Dates(text.to_owned());
        let (from, until) = text.split_once("..").unwrap_or((text, text));
        let parse = |text: &str| text.parse::<Date>().map_err(|_| bad());
        let (from, until) = (parse(from)?, parse(until)?);
        (from <= until)
            .then_some(Self { from, until })
            .ok_or_else(bad)
    }
}

impl Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.until {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{}..{}", self.from, self.until)
        }
    }
}

macro_rules! written_as_text {
    ($name:ident, $pattern:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}

written_as_text!(TimeOfDay, r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$");
written_as_text!(
    Dates,
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(\.\.[0-9]{4}-[0-9]{2}-[0-9]{2})?$"
);
