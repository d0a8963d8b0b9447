//! What will be there, worked out by hand from restic's documentation.

use steward::engine::{Gap, Hides};

use super::*;
use crate::policy::CopyTo;
use crate::retention;
use crate::world::{Contents, Progress, Quota, Snapshot};
use steward::names;

/// A Monday.
fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn home() -> Place {
    Place::here("eu-west-1")
}

fn west() -> Place {
    Place::here("us-west-2")
}

fn copy_to(place: &Place, keep: Option<Keep>) -> CopyTo {
    CopyTo {
        region: place.region.clone(),
        kms_key_id: "alias/backups".to_owned(),
        role_arn: None,
        external_id: None,
        keep,
        objective: None,
        option_group: None,
        restore_points: None,
    }
}

fn policy(rule: Rule) -> RotationPolicy {
    RotationPolicy {
        rules: vec![rule],
        ..RotationPolicy::default()
    }
}

fn database(n: usize) -> Database {
    Database {
        identifier: format!("shop-{n}"),
        resource_id: format!("db-AAAAAAAAAAAAAAAAAAAA{n:06}"),
        arn: format!("arn:aws:rds:eu-west-1:111111111111:db:shop-{n}"),
        ..made_up(&home(), now())
    }
}

/// A snapshot of a database, as the function leaves it.
fn own(of: &Database, taken_at: Timestamp) -> Snapshot {
    let id = names::snapshot_id(&of.identifier, &of.resource_id, taken_at, 1);
    Snapshot {
        arn: format!("arn:aws:rds:eu-west-1:111111111111:snapshot:{id}"),
        id,
        database: of.identifier.clone(),
        resource_id: Some(of.resource_id.clone()),
        progress: Progress::Available,
        created_at: Some(taken_at),
        taken_at: Some(taken_at),
        encrypted: true,
        kms_key: None,
        option_group: None,
        source_arn: None,
        tags: BTreeMap::from([
            (names::MANAGED_BY.to_owned(), crate::NAME.to_owned()),
            (names::MADE_FOR.to_owned(), of.resource_id.clone()),
            (names::TAKEN_AT.to_owned(), taken_at.to_string()),
        ]),
        shared_with: None,
        contents: Contents::default(),
    }
}

fn ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

fn seen(databases: Vec<Database>, snapshots: Vec<Snapshot>) -> Seen<World> {
    let holdings = Holdings {
        snapshots,
        complete: true,
        ..Holdings::default()
    };
    Seen {
        world: World {
            home: home(),
            databases,
            places: BTreeMap::from([(home(), holdings)]),
            recordings: BTreeMap::new(),
            aws_managed_keys: BTreeSet::new(),
        },
        gaps: vec![],
        warnings: vec![],
    }
}

/// The days of the snapshots of each moment, the newest first.
fn days(place: &InPlace) -> Vec<Vec<String>> {
    let moments = place.moments.iter();
    moments
        .map(|moment| {
            let taken = moment.snapshots.iter().filter_map(|drawn| drawn.taken_at);
            taken.map(|at| at.strftime("%m-%d").to_string()).collect()
        })
        .collect()
}

fn count(moment: &Moment, label: &str) -> usize {
    let why = moment.snapshots.iter().flat_map(|drawn| &drawn.why);
    why.filter(|why| *why == label).count()
}

#[test]
fn the_default_rule_fills_days_weeks_and_months() {
    let preview = preview_from_nothing(&RotationPolicy::default(), &home(), now());
    let times = preview.moments.map(|at| at.to_string());
    assert_eq!(times[1], "2026-11-30T12:00:00Z");
    assert_eq!(times[2], "2026-12-23T12:00:00Z");
    assert_eq!(times[3], "2027-11-23T12:00:00Z");
    let [picture] = preview.pictures.as_slice() else {
        panic!("{preview:?}");
    };
    let [place] = picture.places.as_slice() else {
        panic!("{picture:?}");
    };
    // last 2, daily 7, weekly 5 (Sundays, but for the week that goes on), monthly 12
    // (last days, but for the month that goes on), and the first of all as long as
    // weeks or months are too few.
    let expected = [
        "",
        "11-30 11-29 11-28 11-27 11-26 11-25 11-24 11-23",
        "12-23 12-22 12-21 12-20 12-19 12-18 12-17 12-13 12-06 11-30 11-29 11-23",
        "11-23 11-22 11-21 11-20 11-19 11-18 11-17 11-14 11-07 10-31 09-30 08-31 07-31 06-30 \
         05-31 04-30 03-31 02-28 01-31 12-31",
    ];
    for (found, expected) in days(place).iter().zip(expected) {
        assert_eq!(found.join(" "), expected);
    }
    let counts = |nth: usize| {
        let labels = ["last", "daily", "weekly", "monthly", "oldest"];
        labels.map(|label| count(&place.moments[nth], label))
    };
    assert_eq!(counts(0), [0, 0, 0, 0, 0]);
    assert_eq!(counts(1), [2, 7, 2, 1, 1]);
    assert_eq!(counts(2), [2, 7, 5, 2, 1]);
    assert_eq!(counts(3), [2, 7, 5, 12, 0]);
    assert!(picture.needs.is_empty(), "{:?}", picture.needs);
}

#[test]
fn a_rule_by_the_hour_and_a_place_with_rules_of_its_own() {
    let rule = Rule {
        every: Period::hours(6),
        keep: Keep {
            hourly: 4,
            ..Keep::default()
        },
        copies: vec![copy_to(
            &west(),
            Some(Keep {
                monthly: 2,
                within: Some(Period::hours(18)),
                ..Keep::default()
            }),
        )],
        ..Rule::default()
    };
    let preview = preview_from_nothing(&policy(rule), &home(), now());
    let [here, there] = preview.pictures[0].places.as_slice() else {
        panic!("{preview:?}");
    };
    for moment in &here.moments[1..] {
        let hours = moment.snapshots.iter().map(|drawn| {
            let age = moment.at.duration_since(drawn.taken_at.unwrap());
            age.as_hours()
        });
        assert_eq!(hours.collect::<Vec<_>>(), [0, 6, 12, 18]);
    }
    // All that are younger than 18 hours, and the last of October.
    let year = &there.moments[3].snapshots;
    let times = year.iter().map(|drawn| drawn.taken_at.unwrap().to_string());
    assert_eq!(
        times.collect::<Vec<_>>(),
        [
            "2027-11-23T12:00:00Z",
            "2027-11-23T06:00:00Z",
            "2027-11-23T00:00:00Z",
            "2027-10-31T18:00:00Z"
        ]
    );
    assert_eq!(year[0].why, ["monthly", "within 18h"]);
    assert_eq!(year[3].why, ["monthly"]);
}

#[test]
fn what_is_there_goes_on_at_its_own_time_of_day() {
    let shop = database(1);
    let snapshots: Vec<Snapshot> = (0..40).map(|n| own(&shop, ago(9 + 24 * n))).collect();
    let rule = Rule {
        keep: Keep {
            last: 3,
            ..Keep::default()
        },
        ..Rule::default()
    };
    let foreign = Snapshot {
        id: "before-the-upgrade".to_owned(),
        tags: BTreeMap::new(),
        ..own(&shop, ago(50))
    };
    let seen = seen(vec![shop], [snapshots, vec![foreign]].concat());
    let preview = preview(&policy(rule), &Scope::Everything, &seen, now());
    let moments = &preview.pictures[0].places[0].moments;
    let going = |moment: &Moment| moment.snapshots.iter().filter(|drawn| drawn.goes).count();
    assert_eq!((moments[0].snapshots.len(), going(&moments[0])), (41, 37));
    for moment in &moments[1..] {
        let own = moment.snapshots.iter().filter(|d| d.why != ["foreign"]);
        let times: Vec<String> = own
            .map(|drawn| drawn.taken_at.unwrap().strftime("%H:%M").to_string())
            .collect();
        assert_eq!(times, ["03:00", "03:00", "03:00"]);
        assert_eq!((count(moment, "foreign"), going(moment)), (1, 0));
    }
    let [room] = preview.room.as_slice() else {
        panic!("{:?}", preview.room);
    };
    assert_eq!((room.now, room.most, room.most_at), (41, 41, now()));
    assert_eq!((room.max, room.full_at), (None, None));
}

#[test]
fn databases_that_are_alike_are_one_picture_and_others_are_told() {
    let mut databases: Vec<Database> = (0..6).map(database).collect();
    // Two have a snapshot of the same day, two have none.
    let snapshots = vec![own(&databases[0], ago(2)), own(&databases[1], ago(5))];
    "stopped".clone_into(&mut databases[4].status);
    let hold = ("steward:hold".to_owned(), String::new());
    databases[5].tags = BTreeMap::from([hold]);
    let mut seen = seen(databases, snapshots);
    let all = policy(Rule::default());
    let preview_of = |seen: &Seen<World>| preview(&all, &Scope::Everything, seen, now());
    let drawn = |preview: &Preview| -> Vec<String> {
        let pictures = preview.pictures.iter();
        pictures
            .map(|picture| picture.databases.join(" "))
            .collect()
    };
    let whole = preview_of(&seen);
    assert_eq!(drawn(&whole), ["shop-0 shop-1", "shop-2 shop-3"]);
    let left: Vec<(&str, &str)> = whole
        .left
        .iter()
        .map(|left| (left.database.as_str(), left.reason))
        .collect();
    assert_eq!(left, [("shop-4", "not_available"), ("shop-5", "held")]);

    // What could not be read is not drawn.
    let unit = home().unit("shop-0", &seen.world.databases[0].resource_id);
    seen.gaps.push(Gap {
        read: "a read".to_owned(),
        hides: Hides::unit(unit),
        grant: String::new(),
    });
    let partial = preview_of(&seen);
    assert_eq!(drawn(&partial), ["shop-2 shop-3", "shop-1"]);
    assert_eq!(
        partial.left[0].because,
        "not everything could be read: a read"
    );

    let only = Scope::Databases(vec!["shop-3".to_owned()]);
    let only = preview(&all, &only, &seen, now());
    assert_eq!(drawn(&only), ["shop-3"]);
    assert_eq!(only.room, []);
}

#[test]
fn room_is_counted_for_everybody_and_while_the_old_is_still_there() {
    let databases: Vec<Database> = (0..10).map(database).collect();
    let mut seen = seen(databases, vec![]);
    let keep = |last| Rule {
        keep: Keep {
            last,
            ..Keep::default()
        },
        ..Rule::default()
    };
    let room_of = |seen: &Seen<World>, last| {
        let preview = preview(&policy(keep(last)), &Scope::Everything, seen, now());
        preview.room.into_iter().next().unwrap()
    };
    // The place of the databases is told first.
    let elsewhere = Place::here("ap-south-1");
    let there = Holdings {
        complete: true,
        ..Holdings::default()
    };
    seen.world.places.insert(elsewhere, there);
    let holdings = seen.world.places.get_mut(&home()).unwrap();
    holdings.quota = Some(Quota { used: 7, max: 47 });
    // Ten times three and one that is just made, beside seven of others.
    let room = room_of(&seen, 3);
    assert_eq!((room.now, room.most), (7, 47));
    assert_eq!(room.most_at, now() + SignedDuration::from_hours(72));
    assert_eq!((room.max, room.full_at), (Some(47), None));
    let room = room_of(&seen, 4);
    assert_eq!(room.most, 57);
    let full_at = now() + SignedDuration::from_hours(96);
    assert_eq!((room.most_at, room.full_at), (full_at, Some(full_at)));
}

#[test]
fn what_a_person_has_to_put_right_is_told() {
    let shop = database(1);
    let snapshot = Snapshot {
        option_group: Some("own-group".to_owned()),
        ..own(&shop, ago(2))
    };
    let mut seen = seen(vec![shop], vec![snapshot]);
    let there = Holdings {
        complete: true,
        ..Holdings::default()
    };
    seen.world.places.insert(west(), there);
    let rule = Rule {
        copies: vec![copy_to(&west(), None)],
        ..Rule::default()
    };
    let preview = preview(&policy(rule), &Scope::Everything, &seen, now());
    let picture = &preview.pictures[0];
    let mut needs = picture.needs.iter();
    assert!(
        needs.any(|need| need.starts_with("it has option group own-group")),
        "{:?}",
        picture.needs
    );
    assert!(picture.places[1].moments[3].snapshots.is_empty());
}

#[test]
fn what_nothing_thins_is_followed_only_so_far() {
    let rule = Rule {
        every: Period::hours(1),
        keep: Keep::default(),
        ..Rule::default()
    };
    let preview = preview_from_nothing(&policy(rule), &home(), now());
    let picture = &preview.pictures[0];
    let moments = picture.places[0].moments.iter();
    let counts: Vec<usize> = moments.map(|moment| moment.snapshots.len()).collect();
    assert_eq!(counts, [0, 7 * 24 + 1, 30 * 24 + 1]);
    let mut needs = picture.needs.iter();
    assert!(needs.any(|need| need.contains("more than 1000 snapshots")));
}

#[test]
fn what_is_under_way_is_complete_by_the_first_run() {
    let shop = database(1);
    let making = Snapshot {
        progress: Progress::of("creating", Some(40)),
        created_at: None,
        taken_at: None,
        ..own(&shop, ago(1))
    };
    let deleting = Snapshot {
        progress: Progress::Deleting,
        ..own(&shop, ago(900))
    };
    let seen = seen(vec![shop], vec![making, deleting]);
    let keep = retention::Keep {
        daily: 2,
        ..Keep::default()
    };
    let rule = Rule {
        keep,
        ..Rule::default()
    };
    let preview = preview(&policy(rule), &Scope::Everything, &seen, now());
    let place = &preview.pictures[0].places[0];
    assert_eq!(count(&place.moments[0], "under_way"), 2);
    assert_eq!(days(place)[1], ["11-30", "11-29"]);
}
