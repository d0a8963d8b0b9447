//! What a preview says comes true: a year of the whole cycle over the Amazon RDS in
//! memory, in which nothing goes wrong and nothing takes time.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use snapshot_rotation::{Picture, Place, Preview, RotationPolicy, Scope, preview};
use steward::engine::Observe;
use steward::policy::{Period, PolicyDocument};

use crate::cloud::{Cloud, Hands, Shared, block_on, database, document};
use crate::simulation::{home, policy, vault, west};

const RESOURCE_ID: &str = "db-AAAAAAAAAAAAAAAAAAAAONE1";

/// The snapshots of each place, by name, with when their data was taken.
type There = BTreeMap<Place, BTreeMap<String, Timestamp>>;

struct Real {
    cloud: Shared,
    policy: PolicyDocument<RotationPolicy>,
    every: SignedDuration,
}

impl Real {
    fn new(policy: PolicyDocument<RotationPolicy>) -> Self {
        let every = policy.policy().rules[0].every.seconds();
        let start = "2026-01-01T00:07:00Z".parse().unwrap();
        let mut cloud = Cloud::new(start, home());
        cloud.creation_takes = SignedDuration::ZERO;
        cloud.copy_takes = SignedDuration::ZERO;
        cloud.databases.push(database("shop", RESOURCE_ID, start));
        Self {
            cloud: Rc::new(cloud.into()),
            policy,
            every: SignedDuration::from_secs(every),
        }
    }

    fn there(&self) -> There {
        let cloud = self.cloud.borrow();
        let places = [home(), west(), vault()].into_iter();
        places
            .map(|place| (place.clone(), cloud.good(&place, RESOURCE_ID)))
            .collect()
    }

    fn preview(&self) -> Preview {
        let hands = Hands::new(&self.cloud);
        let policy = self.policy.policy();
        let seen = block_on(hands.observe(policy, &Scope::Everything));
        let now = self.cloud.borrow().now;
        preview(policy, &Scope::Everything, &seen, now)
    }

    /// Lives up to a moment, with runs each time that a snapshot is due, until one
    /// has nothing to do.
    fn live(&self, until: Timestamp) {
        loop {
            let now = self.cloud.borrow().now;
            let newest = self.there()[&home()].values().max().copied();
            let due = newest.map_or(now, |newest| newest + self.every);
            if due > until {
                self.cloud.borrow_mut().pass(until.duration_since(now));
                return;
            }
            self.cloud.borrow_mut().pass(due.duration_since(now));
            loop {
                let run = block_on(Hands::new(&self.cloud).run(&self.policy, due)).unwrap();
                self.cloud.borrow_mut().pass(SignedDuration::ZERO);
                if run.report.summary.done == 0 {
                    break;
                }
            }
        }
    }
}

fn foretold(picture: &Picture, moment: usize) -> There {
    let places = picture.places.iter();
    places
        .map(|place| {
            let snapshots = place.moments[moment].snapshots.iter();
            let named = snapshots.map(|drawn| (drawn.snapshot.clone(), drawn.taken_at.unwrap()));
            (place.place.clone(), named.collect())
        })
        .collect()
}

#[test]
fn a_year_is_as_its_preview() {
    let real = Real::new(policy());
    let mut sizes = Vec::new();
    let mut awaited: BTreeMap<Timestamp, There> = BTreeMap::new();
    // A second look is at what is there half a year later, in between two runs.
    for days in [0, 180] {
        let start = real.cloud.borrow().now;
        let look = start + SignedDuration::from_hours(24 * days + days / 30);
        check(&real, &mut awaited, look, &mut sizes);
        let preview = real.preview();
        let [picture] = preview.pictures.as_slice() else {
            panic!("{preview:?}");
        };
        assert_eq!(foretold(picture, 0), real.there());
        for (nth, at) in preview.moments.into_iter().enumerate().skip(1) {
            awaited.insert(at, foretold(picture, nth));
        }
    }
    check(&real, &mut awaited, Timestamp::MAX, &mut sizes);
    assert_eq!(sizes.len(), 6);
    let many = |[here, west, vault]: &[usize; 3]| *here > 7 && *west > 7 && *vault > 2;
    assert!(sizes.iter().all(many), "{sizes:?}");
}

/// Of what is made every few hours, a preview copies and deletes but once a day.
#[test]
fn a_month_by_the_hour_is_as_its_preview() {
    let mut policy = policy().policy().clone();
    let rule = &mut policy.rules[0];
    rule.every = Period::hours(3);
    rule.keep.hourly = 20;
    let real = Real::new(document(&policy));
    let mut awaited: BTreeMap<Timestamp, There> = BTreeMap::new();
    let mut sizes = Vec::new();
    let preview = real.preview();
    for (nth, at) in preview.moments.into_iter().enumerate().skip(1).take(2) {
        awaited.insert(at, foretold(&preview.pictures[0], nth));
    }
    check(&real, &mut awaited, Timestamp::MAX, &mut sizes);
    assert_eq!(sizes.len(), 2);
    assert!(sizes[1][0] > 20 && sizes[1][2] > 15, "{sizes:?}");
}

/// Lives through all that was foretold for the time up to `until`, and then up to
/// there if something is still to come.
fn check(
    real: &Real,
    awaited: &mut BTreeMap<Timestamp, There>,
    until: Timestamp,
    sizes: &mut Vec<[usize; 3]>,
) {
    while let Some((at, foretold)) = awaited.pop_first() {
        if at > until {
            awaited.insert(at, foretold);
            break;
        }
        real.live(at);
        let there = real.there();
        assert_eq!(there, foretold, "{at}");
        sizes.push([home(), west(), vault()].map(|place| there[&place].len()));
    }
    if until < Timestamp::MAX {
        real.live(until);
    }
}
