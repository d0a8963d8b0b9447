//! Previews made by hand, and how they look.

use std::collections::BTreeSet;

use snapshot_rotation::{Left, Place, Preview};
use steward::policy::Period;
use steward::report::{GapLine, Refusal};

use super::*;
use crate::preview::Basis;

const PLAIN: Look = Look {
    width: 80,
    colours: false,
    all: false,
};

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn days_after(days: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_hours(24 * days)
}

fn drawn(at: Timestamp, days: i64, why: &[&str], goes: bool) -> Drawn {
    Drawn {
        snapshot: format!("snapshot-{days}"),
        taken_at: Some(at - jiff::SignedDuration::from_hours(24 * days)),
        why: why.iter().map(|why| (*why).to_owned()).collect(),
        goes,
    }
}

/// A moment so many days from now, with a daily snapshot of each of these ages.
fn moment(days: i64, ages: &[i64]) -> Moment {
    let at = days_after(days);
    let daily = ages.iter().map(|age| drawn(at, *age, &["daily"], false));
    Moment {
        at,
        snapshots: daily.collect(),
    }
}

fn picture(databases: &[&str]) -> Picture {
    let mut today = moment(0, &[0, 1]);
    let twice = drawn(now(), 2, &["daily", "weekly"], false);
    let goes = drawn(now(), 30, &["expired"], true);
    let foreign = drawn(now(), 500, &["foreign"], false);
    today.snapshots.extend([twice, goes, foreign]);
    let keep = Keep {
        daily: 7,
        weekly: 5,
        within: Some(Period::days(2)),
        ..Keep::default()
    };
    let home = InPlace {
        place: Place::here("eu-west-1"),
        keep: Some(keep),
        moments: vec![
            today,
            moment(7, &[0, 1, 2, 3, 4, 5, 6, 9]),
            moment(30, &[0, 1, 2, 3, 4, 5, 6, 13, 20, 27]),
            moment(365, &[0, 1, 2, 3, 4, 5, 6, 91, 182, 364]),
        ],
    };
    let vault = InPlace {
        place: Place {
            account: Some("222222222222".to_owned()),
            region: "us-west-2".to_owned(),
        },
        keep: Some(Keep::default()),
        moments: vec![
            moment(0, &[]),
            moment(7, &[0, 1, 2, 3, 4, 5, 6]),
            moment(30, &(0..30).collect::<Vec<_>>()),
            moment(365, &(0..365).collect::<Vec<_>>()),
        ],
    };
    Picture {
        rule: "nightly".to_owned(),
        every: Period::days(1),
        databases: databases.iter().map(|name| (*name).to_owned()).collect(),
        places: vec![home, vault],
        needs: BTreeSet::from(["its key cannot be shared".to_owned()]),
    }
}

fn answer(pictures: Vec<Picture>) -> Answer {
    Answer {
        basis: Basis {
            schema_version: 1,
            function: "snapshot-rotation",
            policy: "policy.yaml".to_owned(),
            policy_digest: format!("sha256:{:064x}", 1),
        },
        account: Some("111111111111".to_owned()),
        region: "eu-west-1".to_owned(),
        preview: Preview {
            moments: [0, 7, 30, 365].map(days_after),
            pictures,
            left: vec![],
            room: vec![],
        },
        next_run: None,
        gaps: vec![],
        warnings: vec![],
    }
}

fn plan() -> Vec<String> {
    let words = [
        "steward",
        "snapshot-rotation",
        "plan",
        "--policy policy.yaml",
    ];
    words.map(str::to_owned).to_vec()
}

fn text(answer: &Answer, look: &Look) -> String {
    let text = Drawing::new(answer, look).draw(&plan());
    for line in text.lines() {
        assert!(line.chars().count() <= look.width, "{line}");
        assert_eq!(line, line.trim_end(), "{line:?}");
    }
    text
}

#[test]
fn each_place_has_its_line_of_marks_for_each_moment() {
    let mut answer = answer(vec![
        picture(&[
            "shop-db",
            "shop-db-2",
            "shop-db-3",
            "shop-db-4",
            "shop-db-5",
        ]),
        picture(&["store-db"]),
    ]);
    let left = |database: &str, because: &str| Left {
        database: database.to_owned(),
        reason: "not_available",
        because: because.to_owned(),
    };
    answer.preview.left = vec![
        left(
            "old-db",
            "RDS makes no snapshot of a database that is stopped",
        ),
        left("test-db", "no rule of the policy selects it"),
        left("try-db", "no rule of the policy selects it"),
    ];
    let room = |region: &str, max, full_at| Room {
        place: Place::here(region),
        now: 40,
        most: 1204,
        most_at: days_after(200),
        max,
        full_at,
    };
    answer.preview.room = vec![
        room("eu-west-1", Some(2000), None),
        room("us-west-2", Some(100), Some(days_after(9))),
        room("us-east-1", None, Some(days_after(9))),
    ];
    answer.next_run = Some(NextRun {
        makes: 1,
        copies: 12,
        deletes: 1300,
        refusals: vec![Refusal::new(
            "max_share_percent",
            "eu-west-1/shop-db/db-A",
            "60 of 90 (66 %) would be changed; the limit is 50 %",
        )],
    });
    answer.gaps = vec![GapLine {
        read: "rds:DescribeDBSnapshots in us-west-2: AccessDenied".to_owned(),
        hides: "us-west-2/x".to_owned(),
        grant: "rds:DescribeDBSnapshots".to_owned(),
    }];
    answer.warnings = vec!["there is no DB instance nowhere here".to_owned()];
    insta::assert_snapshot!(text(&answer, &PLAIN));
}

#[test]
fn a_policy_alone_is_drawn_for_a_new_database() {
    let mut answer = answer(vec![picture(&["new-database"])]);
    answer.account = None;
    let text = text(&answer, &PLAIN);
    assert!(
        text.starts_with("snapshot-rotation preview: a new database under 1 rule;"),
        "{text}"
    );
    assert!(
        text.contains("\nA new database\n  rule nightly: every 1d\n"),
        "{text}"
    );
    assert!(!text.contains("The next run"), "{text}");
}

#[test]
fn what_was_not_worked_out_is_not_drawn() {
    let mut picture = picture(&["shop-db"]);
    for place in &mut picture.places {
        place.moments.truncate(2);
    }
    let text = text(&answer(vec![picture]), &PLAIN);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("in a year"))
        .collect();
    assert_eq!(lines, ["  in a year    too many to work out"; 2]);
}

#[test]
fn only_so_many_pictures_unless_all_are_asked_for() {
    let of = |n: usize| {
        let mut picture = picture(&["a-db"]);
        picture.databases = vec![format!("db-{n}")];
        picture.rule = format!("rule-{n}");
        picture
    };
    let answer = answer((0..20).map(of).collect());
    let some = text(&answer, &PLAIN);
    assert!(
        some.contains("And 8 pictures of 8 databases; --all"),
        "{some}"
    );
    assert!(!some.contains("rule-12"), "{some}");
    let all = text(&answer, &Look { all: true, ..PLAIN });
    assert!(all.contains("rule rule-19"), "{all}");
}

#[test]
fn ages_have_their_column_whatever_the_width() {
    for (every, greatest) in [
        (3600, 3600),
        (3600, 86_400 * 400),
        (86_400 * 7, 86_400 * 4000),
    ] {
        for columns in [10, 55, 200] {
            let axis = Axis {
                every,
                greatest,
                columns,
            };
            assert_eq!(axis.column(0), 0);
            assert_eq!(axis.column(greatest), columns - 1);
            assert_eq!(axis.column(greatest * 2), columns - 1);
            assert!(axis.scale().len() <= columns + OVERHANG, "{axis:?}");
            let half = axis.column(greatest / 2);
            assert!(half > (columns - 1) / 2, "{axis:?}: the older the closer");
        }
    }
}

#[test]
fn columns_count_what_is_in_them() {
    let axis = Axis {
        every: 86_400,
        greatest: 86_400 * 365,
        columns: 40,
    };
    let line = |ages: &[i64]| axis.line(&moment(0, ages));
    assert_eq!(line(&[]), "·".repeat(40));
    assert!(
        line(&[0, 0, 0, 365]).starts_with("3···"),
        "{}",
        line(&[0, 0, 0, 365])
    );
    assert!(line(&[0, 365]).ends_with("··•"));
    assert!(line(&[365; 9]).ends_with("··9"));
    assert!(line(&[365; 10]).ends_with("··+"));
}

#[test]
fn nothing_in_a_preview_steers_the_terminal() {
    let evil = "x\u{1b}]0;owned\u{7}";
    let mut picture = picture(&[evil]);
    picture.rule = evil.to_owned();
    picture.places[0].place.region = evil.to_owned();
    picture.needs = BTreeSet::from([evil.to_owned()]);
    picture.places[0].moments[0].snapshots[0].why = vec![evil.to_owned()];
    let mut answer = answer(vec![picture]);
    answer.basis.policy = evil.to_owned();
    answer.region = evil.to_owned();
    answer.warnings = vec![evil.to_owned()];
    answer.preview.left = vec![Left {
        database: evil.to_owned(),
        reason: "held",
        because: evil.to_owned(),
    }];
    let text = text(&answer, &PLAIN);
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text:?}"
    );
}
