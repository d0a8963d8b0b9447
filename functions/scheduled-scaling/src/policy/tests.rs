//! Policies that are wrong, and what is said of them: the place, the value, and
//! what is allowed.

use steward::policy::PolicyDocument;

use super::*;

const RIGHT: &str = r#"
version: 1
holidays:
  germany: ["2026-12-25..2026-12-26", "2027-01-01"]
schedules:
  office:
    time_zone: Europe/Berlin
    periods:
    - {days: [mon-fri], start: "07:30", stop: "19:00", size: peak}
    - {days: [fri], start: "22:00", stop: "02:00"}
    holidays: [germany]
    exceptions:
    - dates: 2026-12-24
      periods: [{start: "08:00", stop: "12:00"}]
environments:
  shop:
    schedules: [office]
    price_per_hour: 0.42
    price_per_hour_of: {peak: 1}
    members:
      database: {databases: {include: ["shop-db"]}, snapshot: true}
      capacity: {groups: {include: ["shop-*"]}, sizes: {peak: {min: 2}}}
      web: {services: {include: ["shop/*"]}, needs: [database, capacity], sizes: {peak: {min: 2, desired: 4, max: 8}}}
"#;

fn parse(text: &str) -> Result<ScalingPolicy, String> {
    let document = PolicyDocument::<ScalingPolicy>::parse(text, "test");
    let policy = document.map(|document| document.policy().clone());
    policy.map_err(|error| error.to_string())
}

#[test]
fn what_these_tests_begin_with_is_right() {
    let policy = parse(RIGHT).unwrap();
    assert_eq!(policy.dates_of_holidays()["germany"].len(), 3);
    assert!(policy.selects_targets());
    assert!(!parse("version: 1").unwrap().selects_targets());
    let needs = policy.environments["shop"].needs();
    assert_eq!(order::waves(&needs).unwrap().len(), 2);
    // Without members there are those of their tag, in order.
    let by_tag = "version: 1\nschedules: {all: {periods: [{start: \"08:00\", stop: \"20:00\"}]}}\n\
                  environments: {shop: {schedules: [all]}}\n";
    let needs = parse(by_tag).unwrap().environments["shop"].needs();
    let waves = order::waves(&needs).unwrap();
    let expected: [std::collections::BTreeSet<&str>; 3] = [
        ["databases"].into(),
        ["capacity"].into(),
        ["services"].into(),
    ];
    assert_eq!(waves, expected);
}

#[test]
fn what_is_wrong_is_refused_with_the_place_the_value_and_what_is_allowed() {
    for (right, wrong, expected) in [
        (
            "Europe/Berlin",
            "Europe/Berlim",
            "schedules.office.time_zone: \"Europe/Berlim\" is not allowed; allowed: an IANA time \
             zone such as Europe/Berlin",
        ),
        (
            "\"07:30\"",
            "\"7:30\"",
            "\"7:30\" is no time of day; allowed: 00:00 to 24:00",
        ),
        (
            "[mon-fri]",
            "[mo-fr]",
            "\"mo-fr\" is no day; allowed: mon, tue",
        ),
        (
            "[mon-fri]",
            "[]",
            "an empty list; allowed: one or more days",
        ),
        (
            "\"2027-01-01\"",
            "\"2027-02-30\"",
            "\"2027-02-30\" is no date; allowed: 2026-12-24",
        ),
        (
            "{days: [fri], start: \"22:00\", stop: \"02:00\"}",
            "{days: [fri], start: \"18:59\", stop: \"02:00\"}",
            "schedules.office.periods[1]: a period that overlaps [0] is not allowed; allowed: \
             periods that at most touch",
        ),
        // Over the end of the week, into Monday.
        (
            "{days: [fri], start: \"22:00\", stop: \"02:00\"}",
            "{days: [sun], start: \"22:00\", stop: \"07:31\"}",
            "schedules.office.periods[1]: a period that overlaps [0]",
        ),
        (
            "start: \"07:30\", stop: \"19:00\"",
            "start: \"07:30\", stop: \"07:30\"",
            "schedules.office.periods[0]: 07:30 to 07:30 is not allowed; allowed: times that \
             differ; a whole day is 00:00 to 24:00",
        ),
        (
            "start: \"22:00\", stop: \"02:00\"",
            "",
            "schedules.office.periods[1]: a period without times is not allowed; allowed: start, \
             stop or both",
        ),
        (
            "start: \"07:30\", stop: \"19:00\", size: peak",
            "stop: \"19:00\", size: peak",
            "schedules.office.periods[0].size: a size is not allowed",
        ),
        (
            "holidays: [germany]",
            "holidays: [france]",
            "schedules.office.holidays[0]: \"france\" is not allowed; allowed: germany",
        ),
        (
            "holidays: [germany]",
            "from_date: 2026-12-01\n    until_date: 2026-11-30",
            "schedules.office.until_date: 2026-11-30 is not allowed; allowed: 2026-12-01 \
             (from_date) or later",
        ),
        (
            "schedules: [office]",
            "schedules: [night]",
            "environments.shop.schedules[0]: \"night\" is not allowed; allowed: office",
        ),
        (
            "schedules: [office]",
            "schedules: [office, office]",
            "environments.shop.schedules[1]: \"office\" is not allowed; allowed: each schedule once",
        ),
        (
            "schedules: [office]",
            "schedules: []",
            "environments.shop.schedules: an empty list is not allowed",
        ),
        (
            "needs: [database, capacity]",
            "needs: [databse]",
            "environments.shop.members: web needs databse, which is no member of the environment",
        ),
        (
            "groups: {include: [\"shop-*\"]}",
            "groups: {include: [\"shop-*\"]}, needs: [web]",
            "environments.shop.members: capacity, web need each other in a circle",
        ),
        (
            "desired: 4",
            "desired: 9",
            "environments.shop.members.web.sizes.peak: desired 9 with max 8 is not allowed; \
             allowed: min up to desired, and desired up to max",
        ),
        (
            "{peak: {min: 2}}",
            "{peak: {max: 0}}",
            "environments.shop.members.capacity.sizes.peak.max: 0 is not allowed; allowed: 1 or more",
        ),
        (
            "{peak: {min: 2}}",
            "{peak: {}}",
            "environments.shop.members.capacity.sizes.peak: a size of nothing",
        ),
        (
            "size: peak",
            "size: huge",
            "environments.shop.members: without size \"huge\", which schedule office asks for, is \
             not allowed",
        ),
        (
            "{databases: {include: [\"shop-db\"]}, snapshot: true}",
            "{untagged: true}",
            "environments.shop.members.database: a member of nothing",
        ),
        (
            "groups: {include: [\"shop-*\"]}",
            "groups: {include: [\"shop-*\"]}, snapshot: true",
            "environments.shop.members.capacity.snapshot: true is not allowed; allowed: true only \
             where there are databases",
        ),
        (
            "price_per_hour: 0.42",
            "price_per_hour: -0.42",
            "environments.shop.price_per_hour: -0.42 is no price; allowed: a number from 0 to \
             1000000000, such as 0.42",
        ),
        // It must not count as null.
        (
            "price_per_hour: 0.42",
            "price_per_hour: .nan",
            "non-finite float `.nan` rejected",
        ),
        (
            "{peak: 1}",
            "{peak: .inf}",
            "non-finite float `.inf` rejected",
        ),
        (
            "{peak: 1}",
            "{peak: null}",
            "environments.shop.price_per_hour_of.peak: invalid type: null, expected a number from 0",
        ),
        (
            "price_per_hour: 0.42",
            "price_per_hour: 0.42 USD",
            "environments.shop.price_per_hour: invalid type: string \"0.42 USD\", expected a number \
             from 0",
        ),
        (
            "    price_per_hour: 0.42\n",
            "",
            "environments.shop.price_per_hour_of: prices of sizes alone is not allowed; allowed: them \
             beside a price_per_hour",
        ),
        (
            "{peak: 1}",
            "{peek: 1}",
            "environments.shop.price_per_hour_of.peek: the price of no size is not allowed; allowed: \
             peak",
        ),
        (
            "version: 1",
            "version: 1\ncurrency: eur",
            "currency: \"eur\" is not allowed; allowed: three capital letters, such as USD or EUR",
        ),
        (
            "version: 1",
            "version: 1\ncatch_up: 14m",
            "catch_up: 14m is not allowed; allowed: 15m to 7d",
        ),
        (
            "version: 1",
            "version: 1\nlimits: {max_parked_per_run: 0}",
            "limits.max_parked_per_run: 0 is not allowed; allowed: 1 to 1000",
        ),
    ] {
        assert!(RIGHT.contains(right), "{right}");
        let text = RIGHT.replacen(right, wrong, 1);
        let error = parse(&text).expect_err(&text);
        assert!(error.contains(expected), "{error}\ninstead of\n{expected}");
    }
}

#[test]
fn periods_that_touch_do_not_overlap() {
    for (one, other) in [
        (
            "{start: \"00:00\", stop: \"12:00\"}",
            "{start: \"12:00\", stop: \"24:00\"}",
        ),
        (
            "{days: [sun], start: \"12:00\", stop: \"24:00\"}",
            "{days: [mon], start: \"00:00\", stop: \"06:00\"}",
        ),
        ("{start: \"00:00\", stop: \"24:00\"}", "{stop: \"20:00\"}"),
        ("{start: \"08:00\", stop: \"20:00\"}", "{start: \"09:00\"}"),
    ] {
        let text = format!("version: 1\nschedules: {{all: {{periods: [{one}, {other}]}}}}\n");
        parse(&text).unwrap();
    }
    let whole = "{start: \"00:00\", stop: \"24:00\"}";
    let text = format!("version: 1\nschedules: {{all: {{periods: [{whole}, {whole}]}}}}\n");
    assert!(parse(&text).unwrap_err().contains("overlaps [0]"));
}
