//! Weeks of small policies, and how they look.

use scheduled_scaling::Asked;
use scheduled_scaling::calendar::Wanted;
use scheduled_scaling::due::Override;
use scheduled_scaling::policy::ScalingPolicy;
use scheduled_scaling::preview::{Days, preview};
use steward::policy::PolicyDocument;

use super::*;
use crate::preview::Basis;

const PLAIN: Look = Look {
    width: 80,
    colours: false,
    all: false,
};

const POLICY: &str = r#"
version: 1
currency: EUR
holidays:
  germany: ["2026-12-25..2026-12-26"]
schedules:
  office:
    time_zone: Europe/Berlin
    periods:
    - {days: [mon-thu], start: "07:30", stop: "19:00"}
    - {days: [fri], start: "07:30", stop: "22:00", size: peak}
    holidays: [germany]
    exceptions:
    - {dates: 2026-12-24, periods: [{start: "08:00", stop: "12:00"}]}
    - {dates: 2026-12-31..2027-01-01}
  sale:
    time_zone: America/New_York
    periods: [{days: [sat], start: "10:00", stop: "14:00", size: petite}]
    change_calendars: [freeze]
    from_date: 2026-11-28
    until_date: 2026-12-19
  night:
    time_zone: Europe/Berlin
    periods: [{start: "22:00", stop: "02:30"}]
environments:
  dev: {schedules: [office], price_per_hour: 0.42, members: &web {web: {services: {include: ["*"]}, sizes: {peak: {desired: 4}, petite: {desired: 1}}}}}
  shop:
    schedules: [office, sale]
    price_per_hour: 15.5
    price_per_hour_of: {petite: 3, peak: 20}
    members: *web
  later: {schedules: [sale], members: *web}
  batch: {schedules: [night]}
"#;

/// Monday, 17:40 in Berlin.
const NOW: &str = "2026-11-23T16:40:00Z";

fn answer(names: &[&str], from: Option<&str>, days: u8) -> Answer {
    asked(names, from, days, None)
}

fn asked(
    names: &[&str],
    from: Option<&str>,
    days: u8,
    overrides: Option<BTreeMap<String, Asked>>,
) -> Answer {
    let document = PolicyDocument::<ScalingPolicy>::parse(POLICY, "test").unwrap();
    let mut policy = document.policy().clone();
    policy
        .environments
        .retain(|name, _| names.contains(&name.as_str()));
    let days = Days {
        from: from.map(|date| date.parse().unwrap()),
        days,
    };
    Answer {
        basis: Basis {
            schema_version: 1,
            function: "scheduled-scaling",
            policy: "policy.yaml".to_owned(),
            policy_digest: format!("sha256:{:064x}", 1),
        },
        preview: preview(&policy, days, overrides.as_ref(), NOW.parse().unwrap()),
        warnings: vec![],
    }
}

fn text(answer: &Answer, look: &Look) -> String {
    let words = [
        "steward",
        "scheduled-scaling",
        "plan",
        "--policy policy.yaml",
    ];
    let text = Drawing::new(answer, look).draw(&words.map(str::to_owned));
    for line in text.lines() {
        assert!(line.chars().count() <= look.width, "{line}");
        assert_eq!(line, line.trim_end(), "{line:?}");
    }
    text
}

#[test]
fn a_week_of_several_environments() {
    insta::assert_snapshot!(text(&answer(&["dev", "shop", "later"], None, 7), &PLAIN));
}

#[test]
fn clock_changes_are_marked() {
    insta::assert_snapshot!(text(&answer(&["batch"], Some("2027-03-27"), 3), &PLAIN));
    let autumn = text(&answer(&["batch"], Some("2026-10-25"), 1), &PLAIN);
    let note = "* Sun 10-25: the clocks of Europe/Berlin go back from 03:00 to 02:00";
    assert!(autumn.contains(note), "{autumn}");
}

#[test]
fn holidays_and_exceptions_are_named() {
    let text = text(&answer(&["dev"], Some("2026-12-24"), 9), &PLAIN);
    let notes: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("  * "))
        .collect();
    assert_eq!(
        notes,
        [
            "  * Thu 12-24: an exception of office (2026-12-24): 1 period of its own",
            "  * Fri 12-25: a holiday of germany, on which nothing begins by office",
            "  * Sat 12-26: a holiday of germany, on which nothing begins by office",
            "  * Thu 12-31: an exception of office (2026-12-31..2027-01-01): nothing begins",
            "  * Fri 01-01: an exception of office (2026-12-31..2027-01-01): nothing begins",
        ]
    );
    let marked = text.lines().filter(|line| line.contains("* ·"));
    assert_eq!(marked.count(), 5);
}

#[test]
fn what_a_person_asked_for_is_drawn_and_told() {
    let of = |to: Wanted| {
        let what = Override {
            since: "2026-11-23T16:00:00Z".parse().unwrap(),
            from: "2026-11-23T16:00:00Z".parse().unwrap(),
            until: "2026-11-23T21:00:00Z".parse().unwrap(),
            to,
        };
        let (by, why) = ("jo@example.com".to_owned(), "a demo".to_owned());
        let overrides = BTreeMap::from([("dev".to_owned(), Asked { what, by, why })]);
        text(&asked(&["dev"], None, 1, Some(overrides)), &PLAIN)
    };
    let size = Some("peak".to_owned());
    insta::assert_snapshot!(of(Wanted::On { size }));
    let off = of(Wanted::Off);
    for part in ["░░░░", "░ off by override", "17:40 CET: off\n"] {
        assert!(off.contains(part), "{part}: {off}");
    }
}

#[test]
fn where_there_is_room_a_character_is_a_quarter_of_an_hour() {
    let look = Look {
        width: 120,
        ..PLAIN
    };
    let wide = text(&answer(&["dev"], None, 1), &look);
    let row = wide
        .lines()
        .find(|line| line.contains("Mon 11-23 "))
        .unwrap();
    assert_eq!(row.matches(['█', '·']).count(), 96);
    assert_eq!(row.matches('█').count(), 46);
    assert!(wide.contains("one for 15 minutes"), "{wide}");
    let narrow = text(&answer(&["dev"], None, 1), &PLAIN);
    assert_eq!(narrow.matches('█').count(), 23 + 1);
}

#[test]
fn only_so_much_unless_all_is_asked_for() {
    let some = text(&answer(&["dev"], None, 31), &PLAIN);
    assert!(
        some.contains("\n  and 39 more in these days; --all"),
        "{some}"
    );
    let every = Look { all: true, ..PLAIN };
    let all = text(&answer(&["dev"], None, 31), &every);
    assert_eq!(all.matches(" office\n").count(), 45 + 1, "{all}");
    let mut many = answer(&["dev"], None, 1);
    let one = many.preview.environments[0].clone();
    many.preview.environments = vec![one; 15];
    let some = text(&many, &PLAIN);
    assert!(some.contains("And 3 environments; --all"), "{some}");
    assert_eq!(text(&many, &every).matches("\ndev\n").count(), 15);
}

#[test]
fn without_prices_nothing_is_said_of_money() {
    let text = text(&answer(&["batch"], None, 7), &PLAIN);
    assert!(
        text.contains("Off 136:30 of 168:00 hours (81 %).\n"),
        "{text}"
    );
    assert!(
        !text.contains("EUR") && !text.contains("estimate"),
        "{text}"
    );
}

#[test]
fn without_environments_there_is_nothing_to_draw() {
    let mut none = answer(&[], None, 7);
    none.warnings = vec!["the policy has no environments".to_owned()];
    let text = text(&none, &PLAIN);
    assert!(text.contains("preview: 0 environments;"), "{text}");
    assert!(
        text.ends_with("Warnings\n  the policy has no environments\n"),
        "{text}"
    );
}

#[test]
fn sizes_have_letters_of_their_own() {
    let of = |names: &[&str]| -> String {
        letters(names.iter().copied().collect())
            .into_values()
            .collect()
    };
    assert_eq!(of(&["peak", "petite", "weekend"]), "PEW");
    assert_eq!(of(&["a", "aa", "aaa"]), "ABC");
    assert_eq!(of(&["größe", "ö", "-"]), "AGB");
    let many: Vec<String> = (0..40).map(|n| format!("{n:02}")).collect();
    let many = of(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(many.matches(OTHER).count(), 4);
}

#[test]
fn money_and_hours_are_written_as_people_do() {
    assert_eq!(
        [hours(0), hours(397_800), hours(59)],
        ["0:00", "110:30", "0:00"]
    );
    let saved = |price: &str| {
        let text = POLICY.replace("price_per_hour: 15.5", &format!("price_per_hour: {price}"));
        let policy = PolicyDocument::<ScalingPolicy>::parse(&text, "test").unwrap();
        let days = Days {
            from: None,
            days: 7,
        };
        let preview = preview(policy.policy(), days, None, NOW.parse().unwrap());
        let shop = preview
            .environments
            .into_iter()
            .find(|it| it.environment == "shop");
        let answer = answer(&["shop"], None, 7);
        Drawing::new(&answer, &PLAIN).saved(&shop.unwrap().savings.unwrap())
    };
    assert_eq!(
        saved("1000000"),
        "saves an estimated 121,999,698.00 EUR a week and 530,117,735.36 EUR a month (730 hours)"
    );
    // Hours in a size cost more than is saved by night.
    assert!(
        saved("0").starts_with("costs an estimated 302.00 EUR a week"),
        "{}",
        saved("0")
    );
}

#[test]
fn nothing_in_a_preview_steers_the_terminal() {
    let evil = "x\u{1b}]0;owned\u{7}";
    let mut answer = answer(&["dev", "shop"], Some("2026-12-24"), 2);
    answer.basis.policy = evil.to_owned();
    answer.preview.currency = evil.to_owned();
    answer.warnings = vec![evil.to_owned()];
    for course in &mut answer.preview.environments {
        course.environment = evil.to_owned();
        course.time_zone = evil.to_owned();
        for schedule in &mut course.schedules {
            schedule.name = evil.to_owned();
            schedule.change_calendars = vec![evil.to_owned()];
        }
        for transition in &mut course.transitions {
            transition.by = By::Schedule(evil.to_owned());
        }
        let holiday = Note::Holiday {
            schedule: evil.to_owned(),
            list: evil.to_owned(),
        };
        course.days[0].notes = vec![holiday];
        course.days[0].spans[0].state = State::On {
            size: Some(evil.to_owned()),
        };
        course.overridden = Some(Overridden {
            from: NOW.parse().unwrap(),
            until: NOW.parse().unwrap(),
            to: State::Off,
            by: evil.to_owned(),
            why: evil.to_owned(),
        });
    }
    let text = text(&answer, &PLAIN);
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text:?}"
    );
}
