//! What is due for an environment now. Pure: it goes by the transitions since the
//! last that was applied, so that a tick that comes late, twice or after an outage
//! does what one in time would have done, once; and what somebody changes by hand in
//! between lasts until the next.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::calendar::{Calendar, Transition, Wanted};

/// The last transition that was applied, or begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// When it was due.
    pub at: Timestamp,
    /// What it asked for.
    pub to: Wanted,
}

/// What a person asked for, for a while, against the schedules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// From when.
    pub from: Timestamp,
    /// Until when; then the schedules count again.
    pub until: Timestamp,
    /// What is asked for.
    pub to: Wanted,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing since the last.
    Nothing,
    /// It was never seen before: this moment is remembered, and the next transition
    /// is the first that is applied. So nothing goes to sleep because a schedule was
    /// written at night.
    FirstSight,
    /// This is to be applied, or gone on with.
    Apply(Applied),
    /// This was due too long ago to be applied now, which a person is told.
    TooLate(Transition),
}

/// Works out what is due. `catch_up` is how late a transition may still be applied.
pub fn due(
    calendar: &Calendar<'_>,
    last: Option<&Applied>,
    overridden: Option<&Override>,
    now: Timestamp,
    catch_up: SignedDuration,
) -> Due {
    let Some(last) = last else {
        return Due::FirstSight;
    };
    let begun = overridden.filter(|it| it.from <= now);
    if let Some(it) = begun.filter(|it| now < it.until) {
        let wanted = Applied {
            at: it.from,
            to: it.to.clone(),
        };
        return if wanted == *last {
            Due::Nothing
        } else {
            Due::Apply(wanted)
        };
    }
    let newest_since = |at: Timestamp| {
        let newest = calendar.transitions(at, now).pop()?;
        Some(match now.duration_since(newest.at) > catch_up {
            true => Due::TooLate(newest),
            false => Due::Apply(Applied {
                at: newest.at,
                to: newest.to,
            }),
        })
    };
    // When one has ended, what the schedules said at its end is due, or have since.
    if let Some(ended) = begun.filter(|it| it.from <= last.at && last.at < it.until) {
        let then = || {
            let at = ended.until;
            let to = calendar.wanted_at(at)?;
            Some(Due::Apply(Applied { at, to }))
        };
        return newest_since(ended.until)
            .or_else(then)
            .unwrap_or(Due::Nothing);
    }
    newest_since(last.at).unwrap_or(Due::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;
    use std::collections::BTreeMap;

    /// Every day from 08:00 to 20:00 UTC.
    fn daily() -> Schedule {
        let text = r#"{"periods": [{"start": "08:00", "stop": "20:00"}]}"#;
        serde_json::from_str(text).unwrap()
    }

    /// A time on a day of November 2026: `23 08:00`.
    fn at(text: &str) -> Timestamp {
        let (day, time) = text.split_once(' ').unwrap();
        format!("2026-11-{day}T{time}:00Z").parse().unwrap()
    }

    fn on() -> Wanted {
        Wanted::On { size: None }
    }

    fn applied(text: &str, to: Wanted) -> Applied {
        Applied { at: at(text), to }
    }

    fn now_is(text: &str, last: Option<&Applied>, overridden: Option<&Override>) -> Due {
        let schedule = daily();
        let calendar = Calendar::new([("daily", &schedule)], &BTreeMap::new());
        let day = SignedDuration::from_hours(24);
        due(&calendar, last, overridden, at(text), day)
    }

    #[test]
    fn a_transition_is_applied_once_however_late_the_tick() {
        let last = applied("23 08:00", on());
        let evening = applied("23 20:00", Wanted::Off);
        assert_eq!(now_is("23 19:59", Some(&last), None), Due::Nothing);
        for tick in ["23 20:00", "23 20:04", "24 03:00"] {
            assert_eq!(now_is(tick, Some(&last), None), Due::Apply(evening.clone()));
        }
        // By the morning it is the morning's that counts, and the night never was.
        let morning = applied("24 08:00", on());
        assert_eq!(now_is("24 08:01", Some(&last), None), Due::Apply(morning));
        assert_eq!(now_is("24 03:00", Some(&evening), None), Due::Nothing);
    }

    #[test]
    fn what_is_seen_for_the_first_time_is_left_as_it_is() {
        assert_eq!(now_is("23 23:00", None, None), Due::FirstSight);
    }

    #[test]
    fn after_too_long_an_outage_a_person_is_told() {
        let mut schedule = daily();
        schedule.periods[0].days = crate::schedule::Days::of(&["mon-fri"]).unwrap();
        let calendar = Calendar::new([("daily", &schedule)], &BTreeMap::new());
        // Friday evening is found on Sunday.
        let last = applied("20 08:00", on());
        let late = |hours| {
            let bound = SignedDuration::from_hours(hours);
            due(&calendar, Some(&last), None, at("22 12:00"), bound)
        };
        assert!(matches!(late(24), Due::TooLate(missed) if missed.at == at("20 20:00")));
        assert!(matches!(late(48), Due::Apply(it) if it.at == at("20 20:00")));
    }

    #[test]
    fn an_override_counts_until_it_ends_and_then_the_schedules_do() {
        let evening = applied("23 20:00", Wanted::Off);
        let longer = Override {
            from: at("23 21:00"),
            until: at("24 00:00"),
            to: on(),
        };
        let tick = |text: &str, last: &Applied| now_is(text, Some(last), Some(&longer));
        assert_eq!(tick("23 20:30", &evening), Due::Nothing);
        let awake = applied("23 21:00", on());
        assert_eq!(tick("23 21:00", &evening), Due::Apply(awake.clone()));
        assert_eq!(tick("23 23:59", &awake), Due::Nothing);
        let asleep = applied("24 00:00", Wanted::Off);
        assert_eq!(tick("24 00:01", &awake), Due::Apply(asleep.clone()));
        assert_eq!(tick("24 00:06", &asleep), Due::Nothing);
        let morning = applied("24 08:00", on());
        assert_eq!(tick("24 08:00", &asleep), Due::Apply(morning.clone()));
        // A tick that comes only then has no need of the night.
        assert_eq!(tick("24 08:10", &awake), Due::Apply(morning));
    }

    #[test]
    fn a_transition_during_an_override_is_that_of_its_end() {
        let morning = applied("23 08:00", on());
        let all_night = Override {
            from: at("23 19:00"),
            until: at("24 06:00"),
            to: on(),
        };
        let tick = |text: &str, last: &Applied| now_is(text, Some(last), Some(&all_night));
        let kept_on = applied("23 19:00", on());
        assert_eq!(tick("23 19:00", &morning), Due::Apply(kept_on.clone()));
        assert_eq!(tick("23 20:00", &kept_on), Due::Nothing);
        let asleep = applied("24 06:00", Wanted::Off);
        assert_eq!(tick("24 06:00", &kept_on), Due::Apply(asleep));
        // One that came and went while nobody looked never was.
        let late = tick("24 07:00", &morning);
        assert_eq!(late, Due::Apply(applied("23 20:00", Wanted::Off)));
    }
}
