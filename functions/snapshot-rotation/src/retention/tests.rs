//! Tables made by hand from restic's documentation, and what holds of every
//! list.

use std::collections::BTreeSet;

use jiff::civil::date;
use jiff::{SignedDuration, ToSpan};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Snapshots by their times, which are their names.
fn named(times: &[String]) -> Vec<Restorable<'_>> {
    times
        .iter()
        .map(|id| Restorable {
            id,
            taken_at: at(id),
        })
        .collect()
}

fn utc(keep: &Keep, times: &[String], now: &str) -> BTreeMap<String, Vec<Stays>> {
    let stays = stay(keep, &named(times), &TimeZone::UTC, at(now));
    let owned = stays.into_iter().map(|(id, why)| (id.to_owned(), why));
    owned.collect()
}

fn days(stays: &BTreeMap<String, Vec<Stays>>) -> Vec<&str> {
    stays.keys().map(|id| &id[..10]).collect()
}

/// Every day from one to another at 03:00, in UTC.
fn daily(from: jiff::civil::Date, to: jiff::civil::Date) -> Vec<String> {
    from.series(1.day())
        .take_while(|day| *day <= to)
        .map(|day| format!("{day}T03:00:00Z"))
        .collect()
}

/// The twelve Sundays of restic's documentation.
fn sundays() -> Vec<String> {
    date(2019, 9, 1)
        .series(7.days())
        .take(12)
        .map(|day| format!("{day}T11:00:00Z"))
        .collect()
}

#[test]
fn four_daily_of_twelve_sundays_are_the_last_four_sundays() {
    let keep = Keep {
        daily: 4,
        ..Keep::default()
    };
    let stays = utc(&keep, &sundays(), "2019-11-20T00:00:00Z");
    assert_eq!(
        days(&stays),
        ["2019-10-27", "2019-11-03", "2019-11-10", "2019-11-17"]
    );
    let daily = vec![Stays::Newest(Per::Day)];
    assert!(stays.values().all(|why| *why == daily), "{stays:?}");
}

#[test]
fn monthly_keeps_the_newest_of_each_month_and_the_oldest_while_months_are_too_few() {
    let keep = Keep {
        monthly: 4,
        ..Keep::default()
    };
    let stays = utc(&keep, &sundays(), "2019-11-20T00:00:00Z");
    assert_eq!(
        days(&stays),
        ["2019-09-01", "2019-09-29", "2019-10-27", "2019-11-17"]
    );
    assert_eq!(stays["2019-09-01T11:00:00Z"], [Stays::Oldest(Per::Month)]);
    // With as many months as are asked for it is not needed.
    let keep = Keep { monthly: 3, ..keep };
    let stays = utc(&keep, &sundays(), "2019-11-20T00:00:00Z");
    assert_eq!(days(&stays), ["2019-09-29", "2019-10-27", "2019-11-17"]);
}

#[test]
fn daily_weekly_monthly_and_yearly_together() {
    // 2025-11-20 is a Thursday.
    let all = daily(date(2022, 1, 1), date(2025, 11, 20));
    let keep = Keep {
        daily: 7,
        weekly: 5,
        monthly: 12,
        yearly: 75,
        ..Keep::default()
    };
    let stays = utc(&keep, &all, "2025-11-20T12:00:00Z");
    let expected = [
        // The oldest, because 75 years are not there yet; the ends of years.
        "2022-01-01",
        "2022-12-31",
        "2023-12-31",
        // The ends of months; that of 2024 is also the end of a year.
        "2024-12-31",
        "2025-01-31",
        "2025-02-28",
        "2025-03-31",
        "2025-04-30",
        "2025-05-31",
        "2025-06-30",
        "2025-07-31",
        "2025-08-31",
        "2025-09-30",
        // The ends of weeks, and of October.
        "2025-10-26",
        "2025-10-31",
        "2025-11-02",
        "2025-11-09",
        // The last seven days; the 16th is also the end of a week.
        "2025-11-14",
        "2025-11-15",
        "2025-11-16",
        "2025-11-17",
        "2025-11-18",
        "2025-11-19",
        "2025-11-20",
    ];
    assert_eq!(days(&stays), expected);
    assert_eq!(stays["2022-01-01T03:00:00Z"], [Stays::Oldest(Per::Year)]);
    assert_eq!(
        stays["2024-12-31T03:00:00Z"],
        [Stays::Newest(Per::Month), Stays::Newest(Per::Year)]
    );
}

#[test]
fn within_counts_from_the_newest_and_not_from_now() {
    let keep = Keep {
        within: Some(Period::days(7)),
        ..Keep::default()
    };
    let all = daily(date(2025, 1, 1), date(2025, 1, 31));
    // Half a year after the last backup that worked.
    let stays = utc(&keep, &all, "2025-07-31T00:00:00Z");
    assert_eq!(stays.len(), 7);
    assert_eq!(days(&stays)[0], "2025-01-25");
}

#[test]
fn a_snapshot_of_the_future_stays_and_takes_no_place() {
    let keep = Keep {
        last: 1,
        within: Some(Period::days(1)),
        ..Keep::default()
    };
    let mut all = daily(date(2025, 1, 1), date(2025, 1, 3));
    all.push("2026-01-01T03:00:00Z".to_owned());
    let stays = utc(&keep, &all, "2025-01-03T12:00:00Z");
    assert_eq!(days(&stays), ["2025-01-03", "2026-01-01"]);
    assert_eq!(stays["2026-01-01T03:00:00Z"], [Stays::InTheFuture]);
}

#[test]
fn without_a_rule_everything_stays() {
    let all = daily(date(2025, 1, 1), date(2025, 1, 31));
    let stays = utc(&Keep::default(), &all, "2025-02-01T00:00:00Z");
    assert_eq!(stays.len(), 31);
    assert!(stays.values().all(|why| *why == [Stays::NoRule]));
}

#[test]
fn weeks_are_those_of_iso_also_around_new_year() {
    // 2024-12-30 to 2025-01-05 is week 1 of 2025.
    let keep = Keep {
        weekly: 2,
        ..Keep::default()
    };
    let all = daily(date(2024, 12, 20), date(2025, 1, 2));
    let stays = utc(&keep, &all, "2025-01-02T12:00:00Z");
    assert_eq!(days(&stays), ["2024-12-29", "2025-01-02"]);
}

#[test]
fn days_and_hours_are_those_of_the_time_zone() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let keep = Keep {
        daily: 2,
        ..Keep::default()
    };
    // The first two are of one day in Berlin, and of two in UTC.
    let times = [
        "2025-06-01T22:30:00Z",
        "2025-06-02T01:30:00Z",
        "2025-06-02T23:30:00Z",
    ]
    .map(str::to_owned);
    let stays = stay(&keep, &named(&times), &berlin, at("2025-06-03T12:00:00Z"));
    let ids: Vec<&str> = stays.into_keys().collect();
    assert_eq!(ids, ["2025-06-02T01:30:00Z", "2025-06-02T23:30:00Z"]);

    // Summer time ends: 02:30 comes twice, and these are two hours.
    let keep = Keep {
        hourly: 2,
        ..Keep::default()
    };
    let times = ["2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z"].map(str::to_owned);
    let stays = stay(&keep, &named(&times), &berlin, at("2025-10-27T00:00:00Z"));
    assert!(stays.values().all(|why| *why == [Stays::Newest(Per::Hour)]));
    assert_eq!(stays.len(), 2);
}

#[test]
fn thinned_every_night_a_history_grows_to_its_length() {
    let keep = Keep {
        daily: 7,
        weekly: 5,
        monthly: 12,
        ..Keep::default()
    };
    let mut there: Vec<String> = vec![];
    for night in daily(date(2023, 1, 1), date(2025, 1, 31)) {
        there.push(night.clone());
        let stays = utc(&keep, &there, &night);
        there.retain(|id| stays.contains_key(id));
    }
    let months: BTreeSet<&str> = there.iter().map(|id| &id[..7]).collect();
    assert_eq!(months.len(), 12);
    let whole = utc(
        &keep,
        &daily(date(2023, 1, 1), date(2025, 1, 31)),
        "2025-01-31T12:00:00Z",
    );
    assert_eq!(there, whole.into_keys().collect::<Vec<_>>());
}

fn keeps() -> impl Strategy<Value = Keep> {
    (
        0..4_u32,
        0..4_u32,
        0..4_u32,
        0..4_u32,
        0..4_u32,
        0..4_u32,
        prop::option::of(0..20_u32),
    )
        .prop_map(
            |(last, hourly, daily, weekly, monthly, yearly, within)| Keep {
                last,
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                within: within.map(Period::days),
            },
        )
}

/// Hours before now, some of them twice.
fn ages() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(0..20_000_i64, 0..40)
}

const NOW: &str = "2025-06-15T12:00:00Z";

fn aged(ages: &[i64]) -> Vec<(String, Timestamp)> {
    let now = at(NOW);
    let numbered = ages.iter().enumerate();
    numbered
        .map(|(n, age)| (format!("s{n:03}"), now - SignedDuration::from_hours(*age)))
        .collect()
}

fn judged(keep: &Keep, all: &[(String, Timestamp)]) -> BTreeMap<String, Vec<Stays>> {
    let snapshots: Vec<Restorable<'_>> = all
        .iter()
        .map(|(id, taken_at)| Restorable {
            id,
            taken_at: *taken_at,
        })
        .collect();
    let stays = stay(keep, &snapshots, &TimeZone::UTC, at(NOW));
    let owned = stays.into_iter().map(|(id, why)| (id.to_owned(), why));
    owned.collect()
}

proptest! {
    #[test]
    fn the_newest_stays(keep in keeps(), ages in ages()) {
        let all = aged(&ages);
        let stays = judged(&keep, &all);
        let newest = all.iter().max_by_key(|(id, taken_at)| (*taken_at, id.clone()));
        if let Some((id, _)) = newest {
            // A period of zero alone keeps nothing, which policies refuse.
            let keeps_some = Keep { within: None, ..keep.clone() } != Keep::default()
                || keep.within.is_none_or(|within| within > Period::days(0));
            prop_assert_eq!(stays.contains_key(id), keeps_some);
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(keep in keeps(), ages in ages()) {
        let mut all = aged(&ages);
        let stays = judged(&keep, &all);
        all.reverse();
        prop_assert_eq!(stays, judged(&keep, &all));
    }

    #[test]
    fn what_stayed_once_stays_when_the_rest_is_gone(keep in keeps(), ages in ages()) {
        let mut all = aged(&ages);
        let stays = judged(&keep, &all);
        all.retain(|(id, _)| stays.contains_key(id));
        let again = judged(&keep, &all);
        prop_assert!(again.keys().eq(stays.keys()), "{:?} then {:?}", stays, again);
    }

    #[test]
    fn no_rule_keeps_more_than_its_count(keep in keeps(), ages in ages()) {
        let stays = judged(&keep, &aged(&ages));
        let counts = [
            (Per::Snapshot, keep.last), (Per::Hour, keep.hourly), (Per::Day, keep.daily),
            (Per::Week, keep.weekly), (Per::Month, keep.monthly), (Per::Year, keep.yearly),
        ];
        for (per, count) in counts {
            let kept = stays.values().flatten().filter(|why| {
                matches!(why, Stays::Newest(of) | Stays::Oldest(of) if *of == per)
            });
            prop_assert!(kept.count() <= count as usize);
        }
    }
}
