//! Weeks as they are told, held against tables.

use steward::policy::PolicyDocument;

use super::*;
use crate::due::Override;

const POLICY: &str = r#"
version: 1
currency: EUR
holidays:
  germany: ["2026-12-25..2026-12-26"]
schedules:
  office:
    time_zone: Europe/Berlin
    periods: [{days: [mon-fri], start: "07:30", stop: "19:00"}]
    holidays: [germany]
    exceptions:
    - dates: 2026-12-24
      periods: [{start: "08:00", stop: "12:00"}]
    - {dates: 2026-12-31}
  weekend:
    time_zone: America/New_York
    periods: [{days: [sat], start: "10:00", stop: "14:00", size: small}]
    change_calendars: [freeze]
    from_date: 2026-11-28
    until_date: 2026-11-28
environments:
  dev: {schedules: [office], price_per_hour: 0.42}
  shop:
    schedules: [office, weekend]
    price_per_hour: 1.5
    price_per_hour_of: {small: 0.3}
    members:
      web: {services: {include: ["*"]}, sizes: {small: {desired: 1}}}
  unpriced: {schedules: [weekend], members: {web: {services: {include: ["*"]}, sizes: {small: {desired: 1}}}}}
"#;

fn policy(text: &str) -> ScalingPolicy {
    let document = PolicyDocument::<ScalingPolicy>::parse(text, "test").unwrap();
    document.policy().clone()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Monday, 17:40 in Berlin.
const NOW: &str = "2026-11-23T16:40:00Z";

fn days(from: &str, days: u8) -> Days {
    let from = (!from.is_empty()).then(|| from.parse().unwrap());
    Days { from, days }
}

fn course(name: &str, of: Days, asked: Option<(&str, Asked)>) -> Course {
    let overrides = asked.map(|(name, asked)| BTreeMap::from([(name.to_owned(), asked)]));
    let preview = preview(&policy(POLICY), of, overrides.as_ref(), at(NOW));
    let mut all = preview.environments.into_iter();
    all.find(|course| course.environment == name).unwrap()
}

fn word(state: &State) -> &str {
    match state {
        State::Off => "off",
        State::On { size: None } => "on",
        State::On { size: Some(size) } => size,
        State::Undecided => "?",
    }
}

/// `DATE: UNTIL STATE, …` with the hours of the end of each span, `!` for those that
/// a person asked for.
fn told(course: &Course) -> Vec<String> {
    let zone = TimeZone::get(&course.time_zone).unwrap();
    let line = |day: &Day| {
        let span = |span: &Span| {
            let until = span.until.to_zoned(zone.clone());
            let until = match until.date() == day.date {
                true => until.strftime("%H:%M").to_string(),
                false => "24:00".to_owned(),
            };
            let mark = if span.overridden { "!" } else { "" };
            format!("{until} {}{mark}", word(&span.state))
        };
        let spans: Vec<String> = day.spans.iter().map(span).collect();
        format!("{}: {}", day.date, spans.join(", "))
    };
    course.days.iter().map(line).collect()
}

fn upcoming(course: &Course) -> Vec<String> {
    let line = |it: &Upcoming| {
        let by = match &it.by {
            By::Schedule(name) => name,
            By::OverrideBegins => "begins",
            By::OverrideEnds => "ends",
        };
        assert_eq!(it.local.timestamp(), it.at);
        let local = it.local.strftime("%a %d %H:%M %Z");
        format!("{local} {} {by}", word(&it.to))
    };
    course.transitions.iter().map(line).collect()
}

#[test]
fn a_week_begins_today_in_the_environments_own_zone() {
    let dev = course("dev", days("", 7), None);
    assert_eq!(dev.time_zone, "Europe/Berlin");
    let work = "07:30 off, 19:00 on, 24:00 off";
    assert_eq!(
        told(&dev),
        [
            format!("2026-11-23: {work}"),
            format!("2026-11-24: {work}"),
            format!("2026-11-25: {work}"),
            format!("2026-11-26: {work}"),
            format!("2026-11-27: {work}"),
            "2026-11-28: 24:00 off".to_owned(),
            "2026-11-29: 24:00 off".to_owned(),
        ]
    );
    assert_eq!(dev.now, State::On { size: None });
    let next = upcoming(&dev);
    assert_eq!(next.len(), 9);
    assert_eq!(next[0], "Mon 23 19:00 CET off office");
    assert_eq!(next[1], "Tue 24 07:30 CET on office");
    assert_eq!(next[8], "Fri 27 19:00 CET off office");
    // 5 days of 12.5 hours and two of 24, of 168; each 0.42.
    assert_eq!((dev.seconds, dev.seconds_off), (168 * 3600, 1_105 * 360));
    let savings = dev.savings.unwrap();
    assert_eq!(savings.estimate_per_week.to_string(), "46.41");
    // 46.41 / 168 * 730 = 201.662…
    assert_eq!(savings.estimate_per_month.to_string(), "201.66");
}

#[test]
fn today_is_that_of_the_zone_and_not_of_utc() {
    let late = at("2026-11-23T23:30:00Z");
    let preview = preview(&policy(POLICY), days("", 1), None, late);
    let today = |name: &str| {
        let mut all = preview.environments.iter();
        let course = all.find(|course| course.environment == name).unwrap();
        course.days[0].date.to_string()
    };
    assert_eq!(today("dev"), "2026-11-24");
    assert_eq!(today("unpriced"), "2026-11-23");
}

#[test]
fn sizes_have_their_own_price_and_other_zones_their_own_hours() {
    let shop = course("shop", days("2026-11-28", 2), None);
    // 10:00 to 14:00 in New York.
    assert_eq!(
        told(&shop),
        [
            "2026-11-28: 16:00 off, 20:00 small, 24:00 off",
            "2026-11-29: 24:00 off"
        ]
    );
    assert_eq!(upcoming(&shop)[0], "Sat 28 16:00 CET small weekend");
    let only = |what: fn(String) -> Note| what("weekend".to_owned());
    let notes = [
        only(|schedule| Note::FirstDate { schedule }),
        only(|schedule| Note::LastDate { schedule }),
    ];
    assert_eq!(shop.days[0].notes, notes);
    // 44 of 48 hours at 1.5 and 4 at 1.2, in 168 of 48: 70.8 * 3.5.
    assert_eq!(
        shop.savings.unwrap().estimate_per_week.to_string(),
        "247.80"
    );
    assert_eq!(shop.schedules[1].change_calendars, ["freeze"]);
}

#[test]
fn what_nobody_has_asked_for_yet_is_not_off() {
    let unpriced = course("unpriced", days("2026-11-27", 2), None);
    assert_eq!(
        told(&unpriced),
        [
            "2026-11-27: 24:00 ?",
            "2026-11-28: 10:00 ?, 14:00 small, 24:00 off"
        ]
    );
    assert_eq!(unpriced.now, State::Undecided);
    assert_eq!(unpriced.seconds_off, 10 * 3600);
    assert_eq!(unpriced.savings, None);
}

#[test]
fn holidays_and_exceptions_are_named_where_they_count() {
    let dev = course("dev", days("2026-12-24", 8), None);
    let lines = told(&dev);
    assert_eq!(lines[0], "2026-12-24: 08:00 off, 12:00 on, 24:00 off");
    assert_eq!(lines[1], "2026-12-25: 24:00 off");
    assert_eq!(lines[7], "2026-12-31: 24:00 off");
    let notes: Vec<&[Note]> = dev.days.iter().map(|day| &day.notes[..]).collect();
    let exception = |date: &str, periods| Note::Exception {
        schedule: "office".to_owned(),
        dates: date.parse().unwrap(),
        periods,
    };
    let holiday = [Note::Holiday {
        schedule: "office".to_owned(),
        list: "germany".to_owned(),
    }];
    assert_eq!(notes[0], [exception("2026-12-24", 1)]);
    assert_eq!(notes[1], holiday);
    assert_eq!(notes[2], holiday);
    assert_eq!(notes[3], []);
    assert_eq!(notes[7], [exception("2026-12-31", 0)]);
}

#[test]
fn a_day_on_which_clocks_change_is_shorter_or_longer_and_says_so() {
    let spring = course("dev", days("2027-03-28", 1), None);
    assert_eq!(spring.seconds, 23 * 3600);
    assert_eq!(spring.seconds_off, 23 * 3600);
    let change = |at_: &str, from: &str, to: &str| Note::ClockChange {
        time_zone: "Europe/Berlin".to_owned(),
        at: at(at_),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    };
    assert_eq!(
        spring.days[0].notes,
        [change(
            "2027-03-28T01:00:00Z",
            "2027-03-28T02:00:00",
            "2027-03-28T03:00:00"
        )]
    );
    let autumn = course("dev", days("2027-10-31", 1), None);
    assert_eq!(autumn.seconds, 25 * 3600);
    assert_eq!(
        autumn.days[0].notes,
        [change(
            "2027-10-31T01:00:00Z",
            "2027-10-31T03:00:00",
            "2027-10-31T02:00:00"
        )]
    );
    // A week is one of 168 hours: 109.5 hours of 167 at 0.42, times 168 of 167.
    let week = course("dev", days("2027-03-22", 7), None);
    assert_eq!((week.seconds, week.seconds_off), (167 * 3600, 1_095 * 360));
    let saved = week.savings.unwrap().estimate_per_week.to_string();
    assert_eq!(saved, "46.27");
    // Those of another schedule's zone are told too.
    let shop = course("shop", days("2027-03-14", 1), None);
    let [Note::ClockChange { time_zone, .. }] = &shop.days[0].notes[..] else {
        panic!("{:?}", shop.days[0].notes);
    };
    assert_eq!(time_zone, "America/New_York");
}

#[test]
fn a_time_that_clocks_skip_is_told() {
    let text = "version: 1\nschedules: {night: {time_zone: Europe/Berlin, periods: [{start: \
                \"22:00\", stop: \"02:30\"}]}}\nenvironments: {dev: {schedules: [night]}}\n";
    let preview = preview(&policy(text), days("2027-03-27", 2), None, at(NOW));
    let dev = &preview.environments[0];
    let skipped = Note::SkippedTime {
        schedule: "night".to_owned(),
        time: "2027-03-28T02:30:00".parse().unwrap(),
    };
    assert_eq!(dev.days[0].notes, [skipped]);
    assert_eq!(dev.days[1].notes.len(), 1);
    // So it goes on until the next stop.
    assert_eq!(told(dev)[1], "2027-03-28: 24:00 on");
}

fn asked(from: &str, until: &str, to: Wanted) -> Asked {
    Asked {
        what: Override {
            since: at(from),
            from: at(from),
            until: at(until),
            to,
        },
        by: "jo".to_owned(),
        why: "a demo".to_owned(),
    }
}

/// The days of `name`, a character for each two hours.
fn cells(course: &Course, step: u16) -> Vec<String> {
    let mark = |cell: Option<&Span>| match cell.map(|span| &span.state) {
        None => 'x',
        Some(State::Off) => '.',
        Some(State::On { .. }) => '#',
        Some(State::Undecided) => '?',
    };
    let days = course.days.iter();
    days.map(|day| course.cells(day, step).into_iter().map(mark).collect())
        .collect()
}

#[test]
fn cells_go_by_the_clock_on_the_wall() {
    let dev = course("dev", days("2026-11-27", 2), None);
    // 07:30 to 19:00; the hours are as they are at half past.
    assert_eq!(
        cells(&dev, 60),
        [".......############.....", "........................"]
    );
    assert_eq!(cells(&dev, 15)[0].find('#'), Some(30));
    assert_eq!(cells(&dev, 15)[0].rfind('#'), Some(75));
    let early = "version: 1\nschedules: {early: {time_zone: Europe/Berlin, periods: [{start: \
                 \"01:00\", stop: \"04:00\"}]}}\nenvironments: {dev: {schedules: [early]}}\n";
    let of = |from: &str| {
        let preview = preview(&policy(early), days(from, 1), None, at(NOW));
        cells(&preview.environments[0], 30).remove(0)
    };
    assert_eq!(&of("2027-03-28")[..10], "..##xx##..");
    assert_eq!(&of("2027-10-31")[..10], "..######..");
}

#[test]
fn what_all_save_is_the_sum_of_what_each_does() {
    let all = preview(&policy(POLICY), days("", 7), None, at(NOW));
    let each = all
        .environments
        .iter()
        .map(|it| it.savings.map(|it| it.estimate_per_week));
    let each: Vec<Option<Amount>> = each.collect();
    let [Some(dev), Some(shop), None] = each[..] else {
        panic!("{each:?}");
    };
    // Of 168 hours: 106.5 off at 1.5, and 4 at 1.2.
    assert_eq!(
        (dev.to_string(), shop.to_string()),
        ("46.41".into(), "164.55".into())
    );
    assert_eq!(all.savings.unwrap().estimate_per_week.to_string(), "210.96");
    let none = POLICY
        .replace("price_per_hour: 0.42", "")
        .replace("price_per_hour: 1.5", "");
    let none = none.replace("    price_per_hour_of: {small: 0.3}\n", "");
    let none = preview(&policy(&none), days("", 7), None, at(NOW));
    assert_eq!(none.savings, None);
}

#[test]
fn what_a_person_asked_for_counts_until_it_ends() {
    let on = Wanted::On { size: None };
    let longer = asked("2026-11-23T16:00:00Z", "2026-11-23T21:00:00Z", on.clone());
    let dev = course("dev", days("", 2), Some(("dev", longer.clone())));
    assert_eq!(
        told(&dev),
        [
            "2026-11-23: 07:30 off, 17:00 on, 22:00 on!, 24:00 off",
            "2026-11-24: 07:30 off, 19:00 on, 24:00 off"
        ]
    );
    // The evening of the schedule does not come; the override's end does.
    assert_eq!(upcoming(&dev)[0], "Mon 23 22:00 CET off ends");
    assert_eq!(upcoming(&dev)[1], "Tue 24 07:30 CET on office");
    let overridden = dev.overridden.unwrap();
    assert_eq!((&*overridden.by, &*overridden.why), ("jo", "a demo"));
    // One of another environment, or that is over, is none.
    let other = course("shop", days("", 2), Some(("dev", longer)));
    assert_eq!(other.overridden, None);
    let over = asked("2026-11-23T10:00:00Z", NOW, Wanted::Off);
    let dev = course("dev", days("", 1), Some(("dev", over)));
    assert_eq!((dev.overridden, dev.now), (None, State::On { size: None }));
    // One that ends with a transition of a schedule ends once.
    let until_evening = asked("2026-11-23T16:00:00Z", "2026-11-23T18:00:00Z", on.clone());
    let dev = course("dev", days("", 1), Some(("dev", until_evening)));
    assert_eq!(upcoming(&dev), ["Mon 23 19:00 CET off ends"]);
    // One that is still to begin does.
    let later = asked("2026-11-23T20:00:00Z", "2026-11-23T21:00:00Z", on);
    let dev = course("dev", days("", 1), Some(("dev", later)));
    assert_eq!(
        upcoming(&dev),
        [
            "Mon 23 19:00 CET off office",
            "Mon 23 21:00 CET on begins",
            "Mon 23 22:00 CET off ends"
        ]
    );
}

#[test]
fn where_nothing_happens_the_next_that_does_is_told() {
    let weekend = course("unpriced", days("", 2), None);
    assert_eq!(upcoming(&weekend), ["Sat 28 10:00 EST small weekend"]);
    let none = course("unpriced", days("2027-01-01", 2), None);
    assert_eq!(upcoming(&none), Vec::<String>::new());
    let past = course("dev", days("2026-11-02", 2), None);
    assert_eq!(upcoming(&past), ["Mon 23 19:00 CET off office"]);
    // What is due as the first day begins is one of its transitions.
    let whole = "version: 1\nschedules: {day: {periods: [{days: [tue], start: \"00:00\", stop: \
                 \"24:00\"}]}}\nenvironments: {dev: {schedules: [day]}}\n";
    let preview = preview(&policy(whole), days("2026-11-24", 1), None, at(NOW));
    assert_eq!(
        upcoming(&preview.environments[0]),
        ["Tue 24 00:00 UTC on day"]
    );
}

#[test]
fn spans_fill_their_days_and_days_follow_each_other() {
    for (from, n) in [("2027-03-20", 14), ("2027-10-25", 31), ("2026-12-20", 0)] {
        for name in ["dev", "shop", "unpriced"] {
            let course = course(name, days(from, n), None);
            assert_eq!(course.days.len(), usize::from(n.max(1)));
            let mut at = course.days[0].from;
            for day in &course.days {
                assert_eq!(day.from, at);
                for span in &day.spans {
                    assert_eq!(span.from, at);
                    assert!(span.from < span.until);
                    at = span.until;
                }
                assert_eq!(day.until, at);
            }
            let all: i64 = course.days.iter().map(|day| day.seconds_off).sum();
            assert_eq!(all, course.seconds_off);
        }
    }
    let end = course("dev", days("9999-12-30", 31), None);
    assert!(end.days.len() <= 1, "{:?}", end.days);
}

#[test]
fn a_dearer_size_may_cost_more_than_it_saves() {
    let text = POLICY.replace("{small: 0.3}", "{small: 40}");
    let of = days("2026-11-28", 1);
    let shop = preview(&policy(&text), of, None, at(NOW))
        .environments
        .remove(1);
    // 20 hours save 1.5 and 4 cost 38.5: -124 in a day.
    let saved = shop.savings.unwrap().estimate_per_week;
    assert_eq!((saved.is_loss(), &*saved.to_string()), (true, "-868.00"));
}

#[test]
fn as_data_it_says_the_same() {
    let asked = asked("2026-11-23T16:00:00Z", "2026-11-23T21:00:00Z", Wanted::Off);
    let overrides = BTreeMap::from([("dev".to_owned(), asked)]);
    let preview = preview(&policy(POLICY), days("", 1), Some(&overrides), at(NOW));
    let json = serde_json::to_value(&preview).unwrap();
    assert_eq!(json["currency"], "EUR");
    assert_eq!(json["overrides_known"], true);
    let dev = &json["environments"][0];
    assert_eq!(dev["now"], serde_json::json!({"state": "off"}));
    assert_eq!(
        dev["override"],
        serde_json::json!({
            "from": "2026-11-23T16:00:00Z", "until": "2026-11-23T21:00:00Z", "state": "off",
            "by": "jo", "why": "a demo",
        })
    );
    assert_eq!(
        dev["transitions"][0],
        serde_json::json!({
            "at": "2026-11-23T21:00:00Z", "local": "2026-11-23T22:00:00+01:00[Europe/Berlin]",
            "state": "off", "by": "override_ends",
        })
    );
    assert_eq!(
        dev["days"][0]["spans"][1],
        serde_json::json!({
            "from": "2026-11-23T06:30:00Z", "until": "2026-11-23T16:00:00Z", "state": "on",
            "size": null, "overridden": false,
        })
    );
}
