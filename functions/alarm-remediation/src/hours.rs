//! When something may be done about alarms: working hours and freezes.

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward::policy::Problems;

/// When something may be done about alarms. Without working hours it may at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hours {
    /// The time zone of the working hours, by its IANA name.
    pub time_zone: String,
    /// The working hours; something may be done within any of them. Empty: always.
    pub within: Vec<Working>,
    /// When nothing is done, whatever the working hours.
    pub freezes: Vec<Freeze>,
}

impl Default for Hours {
    fn default() -> Self {
        Self {
            time_zone: "UTC".to_owned(),
            within: vec![],
            freezes: vec![],
        }
    }
}

/// Some hours of some days of every week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Working {
    /// The days on which they begin: `mon` to `sun`.
    pub days: Vec<Day>,
    /// When they begin, `HH:MM`.
    pub from: String,
    /// When they end, `HH:MM`; not later than they begin is on the next day.
    pub to: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

/// A time in which nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// When it begins, RFC 3339.
    pub from: Timestamp,
    /// When it ends, RFC 3339.
    pub until: Timestamp,
    /// Why, for those who are told.
    pub why: String,
}

/// Why nothing may be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It is none of the working hours.
    OutsideHours,
    /// There is a freeze.
    Frozen {
        /// Until when.
        until: Timestamp,
        /// Why.
        why: String,
    },
}

fn time(text: &str) -> Option<Time> {
    // `Time` reads seconds and more as well, which nobody means here.
    let is_short = text.len() == 5 && text.as_bytes().get(2) == Some(&b':');
    is_short.then(|| text.parse().ok()).flatten()
}

impl Hours {
    /// Why nothing may be done at `now`; `None`: it may.
    pub fn closed(&self, now: Timestamp) -> Option<Closed> {
        let mut freezes = self.freezes.iter();
        if let Some(freeze) = freezes.find(|freeze| freeze.from <= now && now < freeze.until) {
            return Some(Closed::Frozen {
                until: freeze.until,
                why: freeze.why.clone(),
            });
        }
        // A zone that is unknown was refused with the policy.
        let zone = TimeZone::get(&self.time_zone).ok()?;
        let here = now.to_zoned(zone).datetime();
        let is_within = |working: &Working| {
            let (Some(from), Some(to)) = (time(&working.from), time(&working.to)) else {
                return false;
            };
            let has = |weekday: Weekday| working.days.iter().any(|day| day.weekday() == weekday);
            let (today, at) = (here.date().weekday(), here.time());
            if from < to {
                has(today) && from <= at && at < to
            } else {
                has(today) && from <= at || has(today.previous()) && at < to
            }
        };
        let open = self.within.is_empty() || self.within.iter().any(is_within);
        (!open).then_some(Closed::OutsideHours)
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        if TimeZone::get(&self.time_zone).is_err() {
            problems.add(
                "hours.time_zone",
                format!("\"{}\"", self.time_zone),
                "an IANA time zone, such as Europe/Berlin",
            );
        }
        for (n, working) in self.within.iter().enumerate() {
            let at = |key: &str| format!("hours.within[{n}].{key}");
            if working.days.is_empty() {
                problems.add(&at("days"), "an empty list", "one day or more, mon to sun");
            }
            for (key, text) in [("from", &working.from), ("to", &working.to)] {
                if time(text).is_none() {
                    problems.add(&at(key), format!("\"{text}\""), "HH:MM, 00:00 to 23:59");
                }
            }
        }
        for (n, freeze) in self.freezes.iter().enumerate() {
            if freeze.until <= freeze.from {
                problems.add(
                    &format!("hours.freezes[{n}].until"),
                    freeze.until,
                    format!("a time after {}", freeze.from),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn working(days: &[Day], from: &str, to: &str) -> Working {
        Working {
            days: days.to_vec(),
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    fn berlin(within: Vec<Working>) -> Hours {
        Hours {
            time_zone: "Europe/Berlin".to_owned(),
            within,
            ..Hours::default()
        }
    }

    #[test]
    fn hours_are_of_their_zone_and_may_cross_midnight() {
        use Day::{Fri, Mon, Thu, Tue, Wed};
        let office = berlin(vec![working(&[Mon, Tue, Wed, Thu, Fri], "09:00", "17:00")]);
        let night = berlin(vec![working(&[Fri], "22:00", "06:00")]);
        // 2026-11-20 was a Friday; Berlin was an hour ahead of UTC.
        for (hours, at, open) in [
            (&office, "2026-11-20T07:59:59Z", false),
            (&office, "2026-11-20T08:00:00Z", true),
            (&office, "2026-11-20T15:59:59Z", true),
            (&office, "2026-11-20T16:00:00Z", false),
            (&office, "2026-11-21T10:00:00Z", false),
            (&night, "2026-11-20T20:59:59Z", false),
            (&night, "2026-11-20T21:00:00Z", true),
            (&night, "2026-11-21T04:59:59Z", true),
            (&night, "2026-11-21T05:00:00Z", false),
            (&night, "2026-11-21T21:30:00Z", false),
            (&Hours::default(), "2026-11-21T21:30:00Z", true),
        ] {
            let closed = hours.closed(at.parse().unwrap());
            assert_eq!(closed.is_none(), open, "{at}");
        }
    }

    #[test]
    fn a_freeze_holds_within_hours_and_ends() {
        let freeze = Freeze {
            from: "2026-11-20T00:00:00Z".parse().unwrap(),
            until: "2026-11-30T00:00:00Z".parse().unwrap(),
            why: "sale".to_owned(),
        };
        let hours = Hours {
            freezes: vec![freeze.clone()],
            ..Hours::default()
        };
        let frozen = Closed::Frozen {
            until: freeze.until,
            why: "sale".to_owned(),
        };
        assert_eq!(hours.closed(freeze.from), Some(frozen));
        assert_eq!(hours.closed(freeze.until), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        let now: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let hours = Hours {
            time_zone: "Europe/Nowhere".to_owned(),
            within: vec![working(&[], "9:00", "24:00")],
            freezes: vec![Freeze {
                from: now,
                until: now,
                why: String::new(),
            }],
        };
        let mut problems = Problems::default();
        hours.check(&mut problems);
        let told = format!("{problems:?}");
        for expected in [
            "hours.time_zone: \\\"Europe/Nowhere\\\" is not allowed",
            "hours.within[0].days: an empty list",
            "hours.within[0].from: \\\"9:00\\\"",
            "hours.within[0].to: \\\"24:00\\\"",
            "hours.freezes[0].until: 2026-11-20T00:00:00Z is not allowed",
        ] {
            assert!(told.contains(expected), "{told}");
        }
    }
}
