//! Runs that are killed anywhere, and two at once: nothing is worse than before,
//! and a later run completes the work.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use snapshot_rotation::retention::Keep;
use snapshot_rotation::{
    Contents, Database, Place, Progress, RotationPolicy, Rule, Snapshot, SnapshotRotation,
};
use steward::policy::{PolicyDocument, Selection};
use steward::report::Status;
use steward::run::Run;

use crate::cloud::{Cloud, Hands, Shared, block_on, database, document};
use crate::simulation::{Chance, copy_to, home, vault, west};

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn policy() -> PolicyDocument<RotationPolicy> {
    let mut policy = RotationPolicy {
        rules: vec![Rule {
            name: "all".to_owned(),
            databases: Some(Selection::everything()),
            keep: Keep {
                last: 2,
                daily: 5,
                weekly: 2,
                ..Keep::default()
            },
            copies: vec![copy_to(&west(), None), copy_to(&vault(), None)],
            ..Rule::default()
        }],
        ..RotationPolicy::default()
    };
    policy.limits.max_delete_share_percent = 100;
    document(&policy)
}

fn snapshot(database: &Database, days_ago: i64) -> Snapshot {
    let taken_at = now() - SignedDuration::from_hours(24 * days_ago + 1);
    let end = database.resource_id.to_lowercase();
    let end = &end[end.len() - 6..];
    let slot = taken_at.strftime("%Y%m%d-%H%M");
    let id = format!("steward-{}-{end}-{slot}", database.identifier);
    let tags = [
        ("steward:managed-by", "snapshot-rotation"),
        ("steward:made-for", &database.resource_id),
    ];
    Snapshot {
        arn: format!("arn:aws:rds:eu-west-1:111111111111:snapshot:{id}"),
        id,
        database: database.identifier.clone(),
        resource_id: Some(database.resource_id.clone()),
        progress: Progress::Available,
        created_at: Some(taken_at),
        taken_at: Some(taken_at),
        encrypted: true,
        kms_key: None,
        option_group: None,
        source_arn: None,
        tags: tags
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        shared_with: Some(BTreeSet::new()),
        contents: Contents::default(),
    }
}

/// Two databases with eleven days of snapshots that nobody has thinned, tagged,
/// shared or copied on; each needs its next. Some copies have failed.
fn neglected() -> Cloud {
    let mut cloud = Cloud::new(now(), home());
    for name in ["blog", "shop"] {
        let resource_id = format!("db-AAAAAAAAAAAA{}", name.to_uppercase());
        let database = database(name, &resource_id, now());
        for days in 1..=11 {
            let source = snapshot(&database, days);
            let mut copy = |place: Place, progress| {
                let copy = Snapshot {
                    arn: source.arn.replace("eu-west-1", &place.region),
                    resource_id: None,
                    source_arn: Some(source.arn.clone()),
                    shared_with: None,
                    progress,
                    ..source.clone()
                };
                cloud.put(&place, copy);
            };
            match days {
                3 => copy(vault(), Progress::Available),
                4 => copy(west(), Progress::of("failed", None)),
                5..=9 => copy(west(), Progress::Available),
                _ => {}
            }
            cloud.put(&home(), source);
        }
        cloud.databases.push(database);
    }
    cloud
}

fn shared(cloud: &Cloud) -> Shared {
    Rc::new(RefCell::new(cloud.clone()))
}

fn left(cloud: &Shared) -> BTreeMap<Place, BTreeSet<String>> {
    let cloud = cloud.borrow();
    let places = cloud.snapshots.iter();
    places
        .map(|(place, all)| (place.clone(), all.keys().cloned().collect()))
        .collect()
}

fn run(cloud: &Shared) -> Run<SnapshotRotation> {
    let at = cloud.borrow().now;
    block_on(Hands::new(cloud).run(&policy(), at)).unwrap()
}

/// Runs again and again, every half an hour, until there is nothing to do.
fn settle(cloud: &Shared) -> BTreeMap<Place, BTreeSet<String>> {
    for _ in 0..14 {
        let report = run(cloud).report;
        assert_eq!(report.summary.failed, 0, "{:#?}", report.actions);
        if report.status == Status::NothingToDo {
            assert_eq!(report.wait, None);
            return left(cloud);
        }
        cloud.borrow_mut().pass(SignedDuration::from_mins(30));
    }
    panic!("never done");
}

#[test]
fn what_is_decided_again_after_it_was_done_is_nothing() {
    let cloud = shared(&neglected());
    let first = run(&cloud).report;
    assert!(first.summary.done > 40, "{:?}", first.summary);
    let left = settle(&cloud);
    // Each day's newest for five days, the week's and the one before.
    for (place, most) in [(home(), 14), (west(), 14), (vault(), 10)] {
        let count = left[&place].len();
        assert!((2..=most).contains(&count), "{place}: {:?}", left[&place]);
    }
    let deleted = cloud.borrow().deleted.len();
    assert_eq!(settle(&cloud), left);
    assert_eq!(cloud.borrow().deleted.len(), deleted);
}

#[test]
fn a_run_that_is_killed_at_any_step_is_completed_by_the_next() {
    let world = neglected();
    let expected = settle(&shared(&world));
    let counting = shared(&world);
    let hands = Hands::new(&counting);
    block_on(hands.run(&policy(), now())).unwrap();
    let steps = hands.steps();
    assert!(steps > 40, "{steps}");
    for step in 1..=steps {
        let cloud = shared(&world);
        let killed = block_on(Hands::new(&cloud).cut_at(step).run(&policy(), now()));
        assert!(killed.is_none(), "step {step} was not reached");
        // What can be restored was not made less but by what the rules let go.
        for database in &world.databases {
            let good = cloud.borrow().good(&home(), &database.resource_id);
            assert!(good.len() >= 5, "step {step}: {good:?}");
        }
        assert_eq!(settle(&cloud), expected, "killed at step {step}");
    }
}

#[test]
fn two_runs_in_any_order_of_steps_do_what_one_does() {
    let world = neglected();
    let expected = settle(&shared(&world));
    let chance = Chance::new(11);
    for _ in 0..40 {
        let cloud = shared(&world);
        let hands = || Hands::new(&cloud).with_turns(chance.turns());
        let (one, two) = (hands(), hands());
        let policy = policy();
        let (one, two) =
            block_on(async { tokio::join!(one.run(&policy, now()), two.run(&policy, now())) });
        for run in [one, two] {
            let summary = run.unwrap().report.summary;
            assert_eq!(summary.failed, 0, "{summary:?}");
        }
        assert_eq!(settle(&cloud), expected);
    }
}
