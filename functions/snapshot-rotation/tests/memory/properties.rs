//! What holds for every world and policy. The worlds are random and mean: tags on
//! what is not ours, times that are missing or still to come, states that nobody
//! knows, holds, gaps, and names that others have taken.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use snapshot_rotation::retention::Keep;
use snapshot_rotation::{
    Action, Contents, Database, Holdings, Limits, Place, Progress, Quota, RotationPolicy, Rule,
    Scope, Snapshot, SnapshotRotation, World,
};
use steward::engine::{Decision, Function, Gap, Hides, PlanOf, Reason, Seen};
use steward::policy::{Period, Selection};
use steward::report::Status;

use crate::cloud::{Cloud, Hands, block_on, database, document};
use crate::simulation::{copy_to, home, west};

/// Ages in hours around those that the rules below go by.
const AGES: [i64; 14] = [-30, 0, 1, 22, 23, 24, 25, 26, 48, 72, 168, 400, 1000, 9000];

const STATES: [&str; 8] = [
    "available",
    "available",
    "available",
    "available",
    "failed",
    "creating",
    "deleting",
    "nobody-knows",
];

const DATABASE_STATES: [&str; 5] = [
    "available",
    "available",
    "available",
    "stopped",
    "modifying",
];

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

const RESOURCE_IDS: [&str; 2] = ["db-AAAAAAAAAAAAAAAAAAAAONE1", "db-BBBBBBBBBBBBBBBBBBBBTWO2"];

/// How a snapshot is somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Own,
    /// With all tags, which AWS has copied, and a name that somebody gave.
    Tagged,
    /// With a name of our form, and no tags.
    Named,
    /// With name and tags, and RDS says that it is of another database.
    OfAnother,
    Adopted,
}

/// One snapshot before it has a database: age, state, whose, and what is odd.
type Plain = (i64, usize, Whose, bool, bool, bool);

fn plain() -> impl Strategy<Value = Plain> {
    (
        prop::sample::select(&AGES[..]),
        0..STATES.len(),
        prop_oneof![
            8 => Just(Whose::Own),
            1 => Just(Whose::Tagged),
            1 => Just(Whose::Named),
            1 => Just(Whose::OfAnother),
            1 => Just(Whose::Adopted),
        ],
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.2),
    )
}

fn snapshot(of: usize, n: usize, plain: Plain, place: &Place) -> Snapshot {
    let (age, state, whose, held, timeless, untagged) = plain;
    let resource_id = RESOURCE_IDS[of];
    let name = format!("shop-{of}");
    let end = resource_id[resource_id.len() - 6..].to_lowercase();
    // No two of one age have one name.
    let at = ago(age) + SignedDuration::from_mins(i64::try_from(n).unwrap());
    let id = match whose {
        Whose::Own | Whose::Named | Whose::OfAnother => {
            format!("steward-{name}-{end}-{}", at.strftime("%Y%m%d-%H%M"))
        }
        Whose::Tagged => format!("final-{of}-{n}"),
        Whose::Adopted => format!("nightly-{of}-{n}"),
    };
    let mut tags = BTreeMap::new();
    if !matches!(whose, Whose::Named | Whose::Adopted) {
        for (key, value) in [
            ("steward:managed-by", "snapshot-rotation"),
            ("steward:made-for", resource_id),
        ] {
            tags.insert(key.to_owned(), value.to_owned());
        }
    }
    if !untagged {
        tags.insert("steward:taken-at".to_owned(), at.to_string());
    }
    if held {
        tags.insert("steward:hold".to_owned(), String::new());
    }
    let progress = Progress::of(STATES[state], Some(10));
    let time = (progress == Progress::Available && !timeless).then_some(at);
    let at_home = *place == home();
    let of_another = whose == Whose::OfAnother;
    let source = |id: &str| format!("arn:aws:rds:eu-west-1:111111111111:snapshot:{id}");
    Snapshot {
        arn: format!("arn:aws:rds:{}:111111111111:snapshot:{id}", place.region),
        database: name,
        resource_id: at_home.then(|| match of_another {
            true => "db-CCCC".to_owned(),
            false => resource_id.to_owned(),
        }),
        progress,
        created_at: time,
        taken_at: time,
        encrypted: true,
        kms_key: None,
        option_group: None,
        source_arn: (!at_home).then(|| match of_another {
            true => source("another"),
            false => source(&id),
        }),
        tags,
        shared_with: Some(BTreeSet::new()),
        contents: Contents::default(),
        id,
    }
}

fn holdings(place: Place) -> impl Strategy<Value = Holdings> {
    let plains = || prop::collection::vec(plain(), 0..9);
    let quota = prop::option::weighted(0.3, 0..25_u64);
    (plains(), plains(), quota).prop_map(move |(one, two, max)| {
        let all = [one, two];
        let all = all.into_iter().enumerate().flat_map(|(of, plains)| {
            let numbered = plains.into_iter().enumerate();
            numbered.map(move |(n, plain)| (of, n, plain))
        });
        let snapshots = all.map(|(of, n, plain)| snapshot(of, n, plain, &place));
        let mut by_name: BTreeMap<String, Snapshot> = BTreeMap::new();
        for snapshot in snapshots {
            by_name.insert(snapshot.id.clone(), snapshot);
        }
        let used = by_name.len() as u64;
        Holdings {
            snapshots: by_name.into_values().collect(),
            complete: true,
            quota: max.map(|max| Quota { used, max }),
            ..Holdings::default()
        }
    })
}

fn databases() -> impl Strategy<Value = Vec<Database>> {
    let one = |of: usize| {
        (
            prop::bool::weighted(0.9),
            prop::sample::select(&DATABASE_STATES[..]),
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.2),
        )
            .prop_map(move |(lives, status, held, parked)| {
                let mut made = database(&format!("shop-{of}"), RESOURCE_IDS[of], ago(9999));
                status.clone_into(&mut made.status);
                if held {
                    made.tags.insert("steward:hold".to_owned(), String::new());
                }
                if parked {
                    let at = ago(24).to_string();
                    made.tags.insert("steward:parked".to_owned(), at);
                }
                lives.then_some(made)
            })
    };
    (one(0), one(1)).prop_map(|(one, two)| [one, two].into_iter().flatten().collect())
}

fn world() -> impl Strategy<Value = World> {
    (
        databases(),
        holdings(home()),
        holdings(west()),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(databases, here, there, unread)| {
            let there = match unread {
                true => Holdings::default(),
                false => there,
            };
            World {
                home: home(),
                databases,
                places: BTreeMap::from([(home(), here), (west(), there)]),
                recordings: BTreeMap::new(),
                aws_managed_keys: BTreeSet::new(),
            }
        })
}

fn keep() -> impl Strategy<Value = Keep> {
    let within = prop::option::weighted(0.2, (1..200_u32).prop_map(Period::hours));
    (0..4_u32, 0..5_u32, 0..4_u32, 0..3_u32, within).prop_map(
        |(last, daily, weekly, monthly, within)| Keep {
            last,
            daily,
            weekly,
            monthly,
            within,
            ..Keep::default()
        },
    )
}

fn policy() -> impl Strategy<Value = RotationPolicy> {
    let limits = (1..6_u32, 1..101_u8, 1..9_u32, 1..5_u32, 1..4_u32);
    (
        keep(),
        prop::option::of(keep()),
        limits,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(keep, there, limits, copies, limited)| {
            let (of_database, share, of_run, floor, in_flight) = limits;
            RotationPolicy {
                rules: vec![Rule {
                    name: "all".to_owned(),
                    databases: Some(Selection::everything()),
                    keep,
                    copies: copies
                        .then(|| copy_to(&west(), there))
                        .into_iter()
                        .collect(),
                    adopt: vec!["nightly-*".to_owned()],
                    ..Rule::default()
                }],
                limits: match limited {
                    true => Limits {
                        max_deletes_per_database: of_database,
                        max_delete_share_percent: share,
                        max_deletes_per_run: of_run,
                        keep_snapshots_at_least: floor,
                        max_copies_in_flight: in_flight,
                        ..Limits::default()
                    },
                    false => Limits {
                        max_delete_share_percent: 100,
                        keep_snapshots_at_least: 1,
                        ..Limits::default()
                    },
                },
                ..RotationPolicy::default()
            }
        })
}

fn gaps() -> impl Strategy<Value = Vec<Gap>> {
    let gap = prop_oneof![
        1 => Just(Hides::Everything),
        2 => Just(Hides::unit(home().unit("shop-0", RESOURCE_IDS[0]))),
        2 => Just(Hides::unit(west().unit("shop-1", RESOURCE_IDS[1]))),
    ];
    let gap = gap.prop_map(|hides| Gap {
        read: format!("a read about {hides}"),
        hides,
        grant: "rds:DescribeDBSnapshots".to_owned(),
    });
    prop_oneof![4 => Just(vec![]), 1 => prop::collection::vec(gap, 1..3)]
}

fn plan_of(policy: &RotationPolicy, world: &World, gaps: &[Gap]) -> PlanOf<SnapshotRotation> {
    let seen = Seen {
        world: world.clone(),
        gaps: gaps.to_vec(),
        warnings: vec![],
    };
    SnapshotRotation::decide(policy, &Scope::Everything, &seen, now())
}

/// What a plan would delete, by place and name, with the unit that it is judged by.
fn going(plan: &PlanOf<SnapshotRotation>) -> BTreeMap<(Place, String), String> {
    let mut going = BTreeMap::new();
    for item in &plan.items {
        if let Decision::Act(change) = &item.decision
            && let Action::DeleteSnapshot(deletion) = &change.action
        {
            let key = (deletion.of.place.clone(), deletion.of.snapshot.clone());
            assert!(going.insert(key, item.unit.clone()).is_none());
        }
    }
    going
}

/// Whose a snapshot is, worked out from what it is called and tagged.
fn is_managed(world: &World, policy: &RotationPolicy, place: &Place, snapshot: &Snapshot) -> bool {
    let by_name = snapshot.id.starts_with("steward-shop-");
    let tagged = snapshot.tags.contains_key("steward:made-for");
    let told = match *place == home() {
        true => snapshot.resource_id.as_deref() != Some("db-CCCC"),
        false => !snapshot.source_arn.as_ref().unwrap().ends_with(":another"),
    };
    let adopted = *place == home() && snapshot.id.starts_with("nightly-");
    let lives = world
        .databases
        .iter()
        .any(|d| d.identifier == snapshot.database);
    let goes_there = *place == home() || !policy.rules[0].copies.is_empty();
    lives && goes_there && ((by_name && tagged && told) || adopted)
}

/// All that can be restored of a database in a place, adopted ones too, newest
/// last.
fn good<'a>(
    world: &'a World,
    policy: &RotationPolicy,
    place: &Place,
    database: &str,
) -> Vec<&'a Snapshot> {
    let all = world.places[place].snapshots.iter();
    let mut good: Vec<&Snapshot> = all
        .filter(|s| s.database == database && s.is_available() && s.taken_at.is_some())
        .filter(|s| is_managed(world, policy, place, s))
        .collect();
    good.sort_by_key(|s| (s.taken_at, s.id.clone()));
    good
}

/// The world as one that acts.
fn cloud_of(world: &World) -> Cloud {
    let mut cloud = Cloud::new(now(), home());
    cloud.databases.clone_from(&world.databases);
    for (place, holdings) in &world.places {
        for snapshot in &holdings.snapshots {
            cloud.put(place, snapshot.clone());
        }
        if let Some(quota) = holdings.quota {
            cloud.room.insert(place.clone(), quota.max);
        }
        if !holdings.complete {
            cloud.down.insert(place.clone());
        }
    }
    cloud
}

/// A policy that keeps as much as its floors want; others are refused.
fn keeping(policy: &RotationPolicy) -> RotationPolicy {
    let mut policy = policy.clone();
    for rule in &mut policy.rules {
        let of_copies = rule.copies.iter_mut().filter_map(|copy| copy.keep.as_mut());
        for keep in std::iter::once(&mut rule.keep).chain(of_copies) {
            keep.last = keep.last.max(4);
        }
    }
    policy
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn every_snapshot_and_database_has_one_fate(
        policy in policy(), world in world(), gaps in gaps(),
    ) {
        let plan = plan_of(&policy, &world, &gaps);
        let mut told: BTreeMap<&str, u32> = BTreeMap::new();
        for item in &plan.items {
            let is_copy = matches!(
                &item.decision,
                Decision::Act(change) if matches!(change.action, Action::CopySnapshot(_))
            );
            // A copy may be wanted under a name that somebody else has taken.
            let waits = ["quota_full", "copies_in_flight"].contains(&item.reason.code());
            if !is_copy && !waits {
                *told.entry(&item.target).or_default() += 1;
            }
        }
        prop_assert!(told.values().all(|n| *n == 1), "{told:?}");
        for (place, holdings) in &world.places {
            for snapshot in &holdings.snapshots {
                let target = place.target(&snapshot.id);
                prop_assert!(told.contains_key(target.as_str()), "{target} has no fate");
            }
        }
    }

    #[test]
    fn nothing_goes_that_is_foreign_held_newest_hidden_or_uncertain(
        policy in policy(), world in world(), gaps in gaps(),
    ) {
        for ((place, id), unit) in going(&plan_of(&policy, &world, &gaps)) {
            let snapshot = world.snapshot(&place, &id).unwrap();
            let name = &snapshot.database;
            prop_assert!(is_managed(&world, &policy, &place, snapshot), "{snapshot:?}");
            prop_assert!(!snapshot.tags.contains_key("steward:hold"));
            let database = world.databases.iter().find(|d| d.identifier == *name).unwrap();
            prop_assert!(!database.tags.contains_key("steward:hold"));
            prop_assert!(!gaps.iter().any(|gap| gap.hides.covers(&unit)));
            prop_assert!(world.places[&place].complete);
            if !snapshot.is_available() {
                prop_assert_eq!(snapshot.progress.clone(), Progress::of("failed", None));
                continue;
            }
            let taken_at = snapshot.taken_at.unwrap();
            prop_assert!(taken_at <= now());
            let mut past = good(&world, &policy, &place, name).into_iter();
            let newest = past.rfind(|s| s.taken_at.unwrap() <= now()).unwrap();
            prop_assert!(newest.id != id, "the newest goes: {snapshot:?}");
            // And everything that is copied can be read.
            if !policy.rules[0].copies.is_empty() {
                prop_assert!(world.places[&west()].complete || snapshot.id.starts_with("nightly"));
            }
        }
    }

    #[test]
    fn what_is_seen_in_another_order_is_decided_alike(
        policy in policy(), world in world(), gaps in gaps(),
    ) {
        let fates = |world: &World| {
            let plan = plan_of(&policy, world, &gaps);
            let fates: BTreeSet<String> = plan
                .items
                .iter()
                .map(|item| format!("{} {} {:?}", item.target, item.reason, item.decision))
                .collect();
            let needs: BTreeSet<String> = plan.needs.iter().map(|n| n.what.clone()).collect();
            let measures: BTreeSet<String> =
                plan.measures.iter().map(|m| format!("{m:?}")).collect();
            (fates, needs, measures, plan.wait)
        };
        let mut other = world.clone();
        other.databases.reverse();
        for holdings in other.places.values_mut() {
            holdings.snapshots.reverse();
        }
        prop_assert_eq!(fates(&world), fates(&other));
    }

    #[test]
    fn a_run_keeps_its_limits_and_floors(policy in policy(), world in world()) {
        let cloud = cloud_of(&world);
        let cloud = Rc::new(RefCell::new(cloud));
        let hands = Hands::new(&cloud);
        let run = block_on(hands.run(&document(&keeping(&policy)), now())).unwrap();
        let cloud = cloud.borrow();
        let mut of_unit: BTreeMap<(Place, String), u32> = BTreeMap::new();
        for (place, snapshot) in &cloud.deleted {
            let key = (place.clone(), snapshot.database.clone());
            *of_unit.entry(key).or_default() += 1;
        }
        prop_assert!(cloud.deleted.len() <= policy.limits.max_deletes_per_run as usize);
        for ((place, name), count) in of_unit {
            prop_assert!(count <= policy.limits.max_deletes_per_database);
            let before = good(&world, &policy, &place, &name).len();
            let gone = cloud.deleted.iter().filter(|(at, s)| {
                *at == place && s.database == name && s.is_available()
            });
            let left = before - gone.count();
            let floor = policy.limits.keep_snapshots_at_least as usize;
            prop_assert!(left >= floor.min(before), "{left} of {before} in {place}");
        }
        let unread = !world.places[&west()].complete && !policy.rules[0].copies.is_empty();
        if unread && !world.databases.is_empty() {
            prop_assert!(run.report.status != Status::Applied);
            prop_assert!(run.report.status != Status::NothingToDo);
        }
    }
}

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn after_some_hours_there_is_nothing_left_to_do(policy in policy(), world in world()) {
        let mut policy = keeping(&policy);
        policy.limits = Limits {
            max_delete_share_percent: 100,
            ..Limits::default()
        };
        let policy = document(&policy);
        let cloud = Rc::new(RefCell::new(cloud_of(&world)));
        let run = || {
            let at = cloud.borrow().now;
            let run = block_on(Hands::new(&cloud).run(&policy, at)).unwrap();
            cloud.borrow_mut().pass(SignedDuration::from_mins(40));
            run.report
        };
        for _ in 0..12 {
            run();
        }
        for _ in 0..3 {
            let report = run();
            prop_assert_eq!(report.summary.done, 0, "{:#?}", report.actions);
        }
    }
}
