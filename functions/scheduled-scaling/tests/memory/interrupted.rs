//! Runs that are killed anywhere, and two at once: nothing is worse than before, and
//! later runs complete the work with sizes intact.

use std::cell::RefCell;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use scheduled_scaling::{ScalingPolicy, Suspended};
use serde_json::json;
use steward::policy::PolicyDocument;

use crate::cloud::{Cloud, Hands, block_on, document};

const EVENING: &str = "2026-11-23T20:00:00Z";
const MORNING: &str = "2026-11-24T08:00:00Z";

fn policy() -> PolicyDocument<ScalingPolicy> {
    document(
        r#"
version: 1
schedules:
  day: {periods: [{start: "08:00", stop: "20:00"}]}
environments:
  dev: {schedules: [day]}
"#,
    )
}

fn account() -> Cloud {
    let now: Timestamp = "2026-11-23T19:00:00Z".parse().unwrap();
    let mut cloud = Cloud::new(now);
    cloud.put_database("dev", "shop-db");
    cloud.put_group("dev", "shop-managed", (1, 2, 6), true);
    cloud.put_group("dev", "shop-plain", (1, 3, 4), false);
    cloud.put_service("dev", "shop/web", 4, Some((2, 8)));
    cloud.put_service("dev", "shop/worker", 1, None);
    let shared = Rc::new(RefCell::new(cloud));
    // The first sight of it.
    Hands::new(&shared).tick(&policy());
    Rc::try_unwrap(shared).unwrap().into_inner()
}

fn go_to(cloud: &Rc<RefCell<Cloud>>, at: &str) {
    let at: Timestamp = at.parse().unwrap();
    let now = cloud.borrow().now;
    cloud.borrow_mut().pass(at.duration_since(now));
}

/// Ticks until nothing is left to do.
fn settle(cloud: &Rc<RefCell<Cloud>>, policy: &PolicyDocument<ScalingPolicy>) {
    for _ in 0..40 {
        let run = Hands::new(cloud).tick(policy);
        cloud.borrow_mut().pass(SignedDuration::from_mins(5));
        let finished = cloud.borrow().environments["dev"].0.finished;
        if finished && run.report.summary.planned == 0 {
            return;
        }
    }
    panic!("it never ends: {:#?}", cloud.borrow());
}

fn is_asleep(cloud: &Cloud) {
    let web = cloud.service("shop/web");
    let scalable = web.scalable.unwrap();
    assert_eq!((web.desired, web.running), (0, 0));
    assert_eq!((scalable.min, scalable.max), (0, 0));
    assert_eq!(scalable.suspended, Suspended::ALL);
    assert_eq!(cloud.service("shop/worker").running, 0);
    assert_eq!(
        (
            cloud.group("shop-managed").min,
            cloud.group("shop-managed").instances
        ),
        (0, 0)
    );
    assert_eq!(
        (
            cloud.group("shop-plain").min,
            cloud.group("shop-plain").desired
        ),
        (0, 0)
    );
    assert_eq!(cloud.database("shop-db").status, "stopped");
    assert_eq!(cloud.sizes.len(), 5, "{:?}", cloud.sizes);
    let unmarked = cloud
        .resources
        .values()
        .find(|resource| resource.mark().is_none());
    assert_eq!(unmarked, None);
}

/// It is as it was before the night.
fn is_awake(cloud: &Cloud, before: &Cloud) {
    assert_eq!(cloud.picture(), before.picture());
    assert!(cloud.sizes.is_empty(), "{:?}", cloud.sizes);
}

#[test]
fn a_night_ends_as_it_began() {
    let before = account();
    let cloud = Rc::new(RefCell::new(before.clone()));
    go_to(&cloud, EVENING);
    let run = Hands::new(&cloud).tick(&policy());
    // That a transition begins is written down, and no news.
    assert_eq!(run.report.summary.done, 3);
    let told = &run.units.first().unwrap().done_kinds;
    assert_eq!(*told, [("park_service", 2)].into());
    settle(&cloud, &policy());
    is_asleep(&cloud.borrow());
    go_to(&cloud, MORNING);
    settle(&cloud, &policy());
    is_awake(&cloud.borrow(), &before);
}

/// Every run of an evening and a morning is killed at each of its steps; the next
/// ticks bring it to the right state, with sizes intact.
#[test]
fn a_run_may_be_killed_at_any_step() {
    let policy = policy();
    let before = account();
    for (begin, ends_asleep) in [(EVENING, true), (MORNING, false)] {
        let start = Rc::new(RefCell::new(before.clone()));
        if !ends_asleep {
            go_to(&start, EVENING);
            settle(&start, &policy);
        }
        go_to(&start, begin);
        let mut killed = 0;
        // The runs of the transition, one after the other.
        for _ in 0..20 {
            for step in 1.. {
                let cloud = Rc::new(RefCell::new(start.borrow().clone()));
                let hands = Hands::new(&cloud).cut_at(step);
                if block_on(hands.run(&policy, json!({}))).is_some() {
                    break;
                }
                killed += 1;
                // The lease of a run that is gone expires.
                cloud.borrow_mut().pass(SignedDuration::from_mins(5));
                settle(&cloud, &policy);
                if ends_asleep {
                    is_asleep(&cloud.borrow());
                    go_to(&cloud, MORNING);
                    settle(&cloud, &policy);
                }
                is_awake(&cloud.borrow(), &before);
            }
            Hands::new(&start).tick(&policy);
            start.borrow_mut().pass(SignedDuration::from_mins(5));
        }
        assert!(killed > 50, "only {killed} steps");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Two runs at once, taking turns in any way, one of them killed somewhere.
    #[test]
    fn two_runs_at_once_do_no_harm(
        one in proptest::collection::vec(0..4_u8, 1..7),
        other in proptest::collection::vec(0..4_u8, 1..7),
        cut in 1..80_usize,
    ) {
        let policy = policy();
        let before = account();
        let cloud = Rc::new(RefCell::new(before.clone()));
        for begin in [EVENING, MORNING] {
            go_to(&cloud, begin);
            for _ in 0..4 {
                let first = Hands::new(&cloud).with_turns(one.clone()).cut_at(cut);
                let second = Hands::new(&cloud).with_turns(other.clone());
                block_on(async {
                    tokio::join!(first.run(&policy, json!({})), second.run(&policy, json!({})))
                });
                prop_assert!(second.steps() > 0);
                cloud.borrow_mut().pass(SignedDuration::from_mins(5));
            }
            settle(&cloud, &policy);
            if begin == EVENING {
                is_asleep(&cloud.borrow());
            }
        }
        is_awake(&cloud.borrow(), &before);
    }
}
