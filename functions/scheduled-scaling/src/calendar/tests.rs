//! When schedules say on and off, held against tables and against a clock on the
//! wall.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

use super::{Calendar, Transition, Wanted};
use crate::schedule::{Dates, Days, Exception, Period, Schedule, TimeOfDay};

fn period(days: &[&str], start: &str, stop: &str) -> Period {
    let time = |text: &str| (!text.is_empty()).then(|| text.parse::<TimeOfDay>().unwrap());
    Period {
        days: Days::of(days).unwrap(),
        start: time(start),
        stop: time(stop),
        size: None,
    }
}

fn schedule(time_zone: &str, periods: Vec<Period>) -> Schedule {
    Schedule {
        time_zone: time_zone.to_owned(),
        periods,
        holidays: vec![],
        exceptions: vec![],
        from_date: None,
        until_date: None,
        change_calendars: vec![],
        enforced: false,
    }
}

fn office() -> Schedule {
    schedule(
        "Europe/Berlin",
        vec![period(&["mon-fri"], "07:30", "19:00")],
    )
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// `DAY TIME WANTED` in the schedule's own zone.
fn told(calendar: &Calendar<'_>, zone: &str, after: &str, until: &str) -> Vec<String> {
    let zone = TimeZone::get(zone).unwrap();
    let day = |text: &str| {
        let date: Date = text.parse().unwrap();
        date.to_zoned(zone.clone()).unwrap().timestamp()
    };
    let transitions = calendar.transitions(day(after), day(until));
    let line = |transition: &Transition| {
        let local = transition.at.to_zoned(zone.clone());
        let wanted = match &transition.to {
            Wanted::Off => "off".to_owned(),
            Wanted::On { size: None } => "on".to_owned(),
            Wanted::On { size: Some(size) } => size.clone(),
        };
        format!("{} {wanted}", local.strftime("%a %m-%d %H:%M"))
    };
    transitions.iter().map(line).collect()
}

fn of(schedule: &Schedule, after: &str, until: &str) -> Vec<String> {
    let holidays = BTreeMap::from([(
        "feast".to_owned(),
        BTreeSet::from(["2026-12-25".parse().unwrap()]),
    )]);
    let calendar = Calendar::new([("it", schedule)], &holidays);
    told(&calendar, &schedule.time_zone, after, until)
}

#[test]
fn a_week_in_the_office() {
    assert_eq!(
        of(&office(), "2026-11-19", "2026-11-25"),
        [
            "Thu 11-19 07:30 on",
            "Thu 11-19 19:00 off",
            "Fri 11-20 07:30 on",
            "Fri 11-20 19:00 off",
            "Mon 11-23 07:30 on",
            "Mon 11-23 19:00 off",
            "Tue 11-24 07:30 on",
            "Tue 11-24 19:00 off",
        ]
    );
}

#[test]
fn a_period_may_cross_midnight_and_belongs_to_the_day_on_which_it_begins() {
    let night = schedule("UTC", vec![period(&["fri"], "22:00", "06:00")]);
    assert_eq!(
        of(&night, "2026-11-20", "2026-11-27"),
        ["Fri 11-20 22:00 on", "Sat 11-21 06:00 off"]
    );
}

#[test]
fn days_that_touch_have_no_night_between() {
    let whole = schedule("UTC", vec![period(&["mon-wed"], "00:00", "24:00")]);
    assert_eq!(
        of(&whole, "2026-11-22", "2026-11-29"),
        // Each day begins again, and nothing ends before the last is over.
        [
            "Mon 11-23 00:00 on",
            "Tue 11-24 00:00 on",
            "Wed 11-25 00:00 on",
            "Thu 11-26 00:00 off",
        ]
    );
}

#[test]
fn what_only_stops_stops_and_what_only_starts_starts() {
    let stops = schedule("UTC", vec![period(&["mon-tue"], "", "20:00")]);
    assert_eq!(
        of(&stops, "2026-11-23", "2026-11-30"),
        ["Mon 11-23 20:00 off", "Tue 11-24 20:00 off"]
    );
    let starts = schedule("UTC", vec![period(&["mon"], "08:00", "")]);
    assert_eq!(
        of(&starts, "2026-11-23", "2026-11-30"),
        ["Mon 11-23 08:00 on"]
    );
}

#[test]
fn sizes_come_with_their_periods() {
    let mut peak = period(&["mon"], "08:00", "12:00");
    peak.size = Some("peak".to_owned());
    let rest = period(&["mon"], "12:00", "18:00");
    assert_eq!(
        of(
            &schedule("UTC", vec![peak, rest]),
            "2026-11-23",
            "2026-11-24"
        ),
        [
            "Mon 11-23 08:00 peak",
            "Mon 11-23 12:00 on",
            "Mon 11-23 18:00 off"
        ]
    );
}

#[test]
fn nothing_begins_on_a_holiday_and_what_only_stops_stops() {
    let mut schedule = office();
    schedule.periods.push(period(&["mon-fri"], "", "22:00"));
    schedule.holidays = vec!["feast".to_owned()];
    assert_eq!(
        of(&schedule, "2026-12-24", "2026-12-28"),
        [
            "Thu 12-24 07:30 on",
            "Thu 12-24 19:00 off",
            "Thu 12-24 22:00 off",
            "Fri 12-25 22:00 off",
        ]
    );
}

#[test]
fn an_exception_takes_the_place_of_the_week() {
    let mut schedule = office();
    schedule.exceptions = vec![
        Exception {
            dates: "2026-12-24".parse().unwrap(),
            periods: vec![period(&["mon-sun"], "08:00", "12:00")],
        },
        Exception {
            dates: "2026-12-21..2027-01-01".parse().unwrap(),
            periods: vec![],
        },
    ];
    assert_eq!(
        of(&schedule, "2026-12-18", "2027-01-05"),
        [
            "Fri 12-18 07:30 on",
            "Fri 12-18 19:00 off",
            "Thu 12-24 08:00 on",
            "Thu 12-24 12:00 off",
            "Mon 01-04 07:30 on",
            "Mon 01-04 19:00 off",
        ]
    );
}

#[test]
fn an_exception_that_begins_during_a_night_before_is_not_stopped_by_it() {
    let mut schedule = schedule("UTC", vec![period(&["mon"], "22:00", "06:00")]);
    schedule.exceptions = vec![Exception {
        dates: "2026-11-24".parse().unwrap(),
        periods: vec![period(&["mon-sun"], "05:00", "09:00")],
    }];
    assert_eq!(
        of(&schedule, "2026-11-23", "2026-11-25"),
        [
            "Mon 11-23 22:00 on",
            "Tue 11-24 05:00 on",
            "Tue 11-24 09:00 off"
        ]
    );
}

#[test]
fn a_schedule_has_its_dates() {
    let mut schedule = schedule("UTC", vec![period(&["mon-sun"], "22:00", "06:00")]);
    schedule.from_date = Some("2026-11-24".parse().unwrap());
    schedule.until_date = Some("2026-11-24".parse().unwrap());
    assert_eq!(
        of(&schedule, "2026-11-20", "2026-11-30"),
        ["Tue 11-24 22:00 on", "Wed 11-25 06:00 off"]
    );
    let calendar = Calendar::new([("it", &schedule)], &BTreeMap::new());
    assert_eq!(calendar.wanted_at(at("2026-11-24T21:59:59Z")), None);
    let on = Some(Wanted::On { size: None });
    assert_eq!(calendar.wanted_at(at("2026-11-24T22:00:00Z")), on);
    assert_eq!(
        calendar.wanted_at(at("2027-11-24T22:00:00Z")),
        Some(Wanted::Off)
    );
}

#[test]
fn a_time_that_clocks_skip_is_skipped_and_one_that_comes_twice_counts_once() {
    // 2026-03-29 02:00 becomes 03:00; 2026-10-25 03:00 becomes 02:00.
    let night = schedule(
        "Europe/Berlin",
        vec![period(&["sat-mon"], "02:30", "05:00")],
    );
    assert_eq!(
        of(&night, "2026-03-28", "2026-03-31"),
        [
            "Sat 03-28 02:30 on",
            "Sat 03-28 05:00 off",
            "Sun 03-29 05:00 off",
            "Mon 03-30 02:30 on",
            "Mon 03-30 05:00 off",
        ]
    );
    let calendar = Calendar::new([("it", &night)], &BTreeMap::new());
    let autumn = calendar.transitions(at("2026-10-24T22:00:00Z"), at("2026-10-25T12:00:00Z"));
    let instants: Vec<Timestamp> = autumn.iter().map(|transition| transition.at).collect();
    // The first half past two is in summer time.
    assert_eq!(
        instants,
        [at("2026-10-25T00:30:00Z"), at("2026-10-25T04:00:00Z")]
    );
    // What should stop in the hour that is skipped goes on until it is stopped next.
    let stops = schedule(
        "Europe/Berlin",
        vec![period(&["sat-mon"], "01:00", "02:30")],
    );
    assert_eq!(
        of(&stops, "2026-03-29", "2026-03-31"),
        [
            "Sun 03-29 01:00 on",
            "Mon 03-30 01:00 on",
            "Mon 03-30 02:30 off"
        ]
    );
}

#[test]
fn on_beats_off_and_the_first_that_is_on_decides_the_size() {
    let mut peak = period(&["mon"], "09:00", "12:00");
    peak.size = Some("peak".to_owned());
    let peak = schedule("UTC", vec![peak]);
    let mut long = period(&["mon"], "08:00", "18:00");
    long.size = Some("small".to_owned());
    let long = schedule("UTC", vec![long]);
    let stops = schedule(
        "UTC",
        vec![period(&["mon"], "", "10:00"), period(&["mon"], "", "22:00")],
    );
    let calendar = Calendar::new(
        [("peak", &peak), ("long", &long), ("stops", &stops)],
        &BTreeMap::new(),
    );
    assert_eq!(
        told(&calendar, "UTC", "2026-11-23", "2026-11-24"),
        [
            "Mon 11-23 08:00 small",
            "Mon 11-23 09:00 peak",
            // At ten somebody says off, and others say on.
            "Mon 11-23 12:00 small",
            "Mon 11-23 18:00 off",
            "Mon 11-23 22:00 off",
        ]
    );
    let transitions = calendar.transitions(at("2026-11-23T11:00:00Z"), at("2026-11-23T23:00:00Z"));
    let by: Vec<&str> = transitions.iter().map(|t| t.schedule.as_str()).collect();
    assert_eq!(by, ["long", "long", "stops"]);
}

#[test]
fn what_is_no_day_time_or_date_is_told() {
    for text in [
        "7:30", "24:01", "12:60", "noon", "", "-1:00", "12:0", "+1:00",
    ] {
        let error = text.parse::<TimeOfDay>().unwrap_err().to_string();
        assert!(error.contains("allowed: 00:00 to 24:00"), "{error}");
    }
    assert_eq!("24:00".parse::<TimeOfDay>().unwrap().to_string(), "24:00");
    for text in ["2026-02-30", "2026-12-24..2026-12-23", "christmas", ""] {
        let error = text.parse::<Dates>().unwrap_err().to_string();
        assert!(error.contains("allowed: 2026-12-24"), "{error}");
    }
    assert!(Days::of(&["mo"]).is_err());
    assert!(Days::of(&["mon-"]).is_err());
    let wraps = format!("{:?}", Days::of(&["sat-mon"]).unwrap());
    assert_eq!(wraps, r#"["mon", "sat", "sun"]"#);
    assert!(serde_json::from_str::<Days>("[]").is_err());
}

/// Every transition by another way: the minutes of the time are gone through one
/// by one, as a clock on the wall of the zone shows them.
fn by_the_clock(
    schedule: &Schedule,
    holidays: &BTreeSet<Date>,
    after: Timestamp,
    until: Timestamp,
) -> Vec<(Timestamp, Wanted)> {
    let zone = TimeZone::get(&schedule.time_zone).unwrap();
    let mut minute = Timestamp::from_second((after.as_second() - 3 * 86_400) / 60 * 60).unwrap();
    let end = until + 2.hours() * 24;
    let mut shown: Vec<(Timestamp, DateTime)> = Vec::new();
    let mut known: HashSet<DateTime> = HashSet::new();
    while minute <= end {
        let local = minute.to_zoned(zone.clone()).datetime();
        if known.insert(local) {
            shown.push((minute, local));
        }
        minute += 1.minute();
    }
    // What begins on a date, as the rules are told in words.
    let of_date = |date: Date| -> Vec<Period> {
        if schedule.from_date.is_some_and(|from| from > date) {
            return vec![];
        }
        if schedule.until_date.is_some_and(|until| until < date) {
            return vec![];
        }
        for exception in &schedule.exceptions {
            if exception.dates.from <= date && exception.dates.until >= date {
                return exception.periods.clone();
            }
        }
        let mut all = schedule.periods.clone();
        all.retain(|period| period.days.contains(date.weekday()));
        if !schedule.holidays.is_empty() && holidays.contains(&date) {
            all.retain(|period| period.start.is_none());
        }
        all
    };
    let civil = |date: Date, minutes: i64| date.at(0, 0, 0, 0) + minutes.minutes();
    // (start, stop, only stops, size) on the wall.
    let mut wall: Vec<(Option<DateTime>, Option<DateTime>, Option<String>)> = Vec::new();
    let mut date = shown[0].1.date();
    while date <= shown.last().unwrap().1.date() {
        for period in of_date(date) {
            let start = period.start.map(TimeOfDay::minutes);
            let stop = period.stop.map(TimeOfDay::minutes);
            let stop = match (start, stop) {
                (Some(start), Some(stop)) if stop <= start => Some(stop + 24 * 60),
                _ => stop,
            };
            wall.push((
                start.map(|m| civil(date, m)),
                stop.map(|m| civil(date, m)),
                period.size,
            ));
        }
        date = date.tomorrow().unwrap();
    }
    let mut all = Vec::new();
    // Those that are on, with their ends: the one that began last is last.
    let mut on: Vec<(DateTime, Option<String>)> = Vec::new();
    for (instant, local) in shown {
        let mut to = None;
        let ending: Vec<_> = wall
            .iter()
            .filter(|(start, stop, _)| start.is_some() && *stop == Some(local))
            .collect();
        let beginning: Vec<_> = wall
            .iter()
            .filter(|(start, ..)| *start == Some(local))
            .collect();
        on.retain(|(end, _)| *end != local);
        for (_, stop, size) in &beginning {
            if let Some(stop) = stop.filter(|stop| known.contains(stop)) {
                on.push((stop, size.clone()));
            }
        }
        for (start, _, size) in ending {
            // Its beginning may have been skipped; its end is one all the same.
            let _ = start;
            match on.last() {
                None => to = Some(Wanted::Off),
                Some((_, other)) if other == size => {}
                Some((_, other)) => {
                    to = Some(Wanted::On {
                        size: other.clone(),
                    })
                }
            }
        }
        if wall
            .iter()
            .any(|(start, stop, _)| start.is_none() && *stop == Some(local))
        {
            to = Some(Wanted::Off);
        }
        for (_, _, size) in beginning {
            to = Some(Wanted::On { size: size.clone() });
        }
        if let Some(to) = to.filter(|_| after < instant && instant <= until) {
            all.push((instant, to));
        }
    }
    all
}

fn time() -> impl Strategy<Value = TimeOfDay> {
    // Around the hours in which clocks change, and at round times.
    let minutes = prop_oneof![
        (0..16_i16).prop_map(|n| n * 15),
        (0..48_i16).prop_map(|n| n * 30)
    ];
    minutes.prop_map(|m| format!("{:02}:{:02}", m / 60, m % 60).parse().unwrap())
}

fn a_period() -> impl Strategy<Value = Period> {
    let days =
        proptest::sample::subsequence(vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"], 1..=7);
    let size = proptest::option::of(prop_oneof![
        Just("small".to_owned()),
        Just("peak".to_owned())
    ]);
    let times = (
        proptest::option::weighted(0.8, time()),
        proptest::option::weighted(0.8, time()),
    );
    (days, times, size).prop_map(|(days, (start, stop), size)| Period {
        days: Days::of(&days).unwrap(),
        start,
        stop: if start == stop { None } else { stop },
        size,
    })
}

fn a_schedule() -> impl Strategy<Value = (Schedule, BTreeSet<Date>, Timestamp)> {
    let zones = prop_oneof![
        Just(("Europe/Berlin", "2026-03-29")),
        Just(("Europe/Berlin", "2026-10-25")),
        Just(("America/New_York", "2026-11-01")),
        // Half an hour, and at midnight.
        Just(("Australia/Lord_Howe", "2026-04-05")),
        Just(("America/Asuncion", "2024-10-06")),
        Just(("Asia/Kolkata", "2026-06-01")),
    ];
    let periods = proptest::collection::vec(a_period(), 1..4);
    let exceptions = proptest::collection::vec(
        (
            -3..4_i64,
            0..3_i64,
            proptest::collection::vec(a_period(), 0..2),
        ),
        0..2,
    );
    let holidays = proptest::collection::btree_set(-3..4_i64, 0..3);
    let range = (
        proptest::option::weighted(0.2, -4..2_i64),
        proptest::option::weighted(0.2, -1..4_i64),
    );
    (zones, periods, exceptions, holidays, range).prop_map(
        |((zone, date), periods, exceptions, holidays, (from, until))| {
            let date: Date = date.parse().unwrap();
            let day = |n: i64| date + n.days();
            let mut made = schedule(zone, periods);
            made.exceptions = exceptions
                .into_iter()
                .map(|(from, days, periods)| Exception {
                    dates: Dates {
                        from: day(from),
                        until: day(from + days),
                    },
                    periods,
                })
                .collect();
            made.holidays = vec!["feast".to_owned()];
            made.from_date = from.map(day);
            made.until_date = until.map(day);
            let noon = date.at(12, 0, 0, 0).to_zoned(TimeZone::get(zone).unwrap());
            let holidays = holidays.into_iter().map(day).collect();
            (made, holidays, noon.unwrap().timestamp())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_calendar_says_what_a_clock_on_the_wall_says((schedule, holidays, around) in a_schedule()) {
        let (after, until) = (around - 72.hours(), around + 72.hours());
        let lists = BTreeMap::from([("feast".to_owned(), holidays.clone())]);
        let calendar = Calendar::new([("it", &schedule)], &lists);
        let found: Vec<_> = calendar
            .transitions(after, until)
            .into_iter()
            .map(|transition| (transition.at, transition.to))
            .collect();
        prop_assert_eq!(found, by_the_clock(&schedule, &holidays, after, until));
    }

    #[test]
    fn a_time_in_parts_has_the_transitions_of_the_whole((schedule, _, around) in a_schedule(), cut in 0..144_i64) {
        let calendar = Calendar::new([("it", &schedule)], &BTreeMap::new());
        let (after, until) = (around - 72.hours(), around + 72.hours());
        let middle = after + cut.hours();
        let parts = [
            calendar.transitions(after, middle),
            calendar.transitions(middle, until),
        ];
        prop_assert_eq!(parts.concat(), calendar.transitions(after, until));
        // What is wanted is what the last asked for.
        let last = calendar.transitions(after, until).pop();
        if let Some(last) = last {
            prop_assert_eq!(calendar.wanted_at(until), Some(last.to));
        }
    }
}
