//! Runs that are killed anywhere, and two at once: no second action, no harm, and later
//! runs end right.

use std::cell::RefCell;
use std::rc::Rc;

use alarm_remediation::{Stage, State, Symptom};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use crate::cloud::{Cloud, Hands, Shared, block_on, document};

const POLICY: &str = r#"
version: 1
alarms: {include: ["*"]}
remedies:
  raise_service: {of: {include: ["*"]}, most: 12, for: 30m}
  replace_tasks: {of: {include: ["*"]}}
"#;

fn account() -> Cloud {
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let mut cloud = Cloud::new(now);
    cloud.put_service("shop/web", 4, Some((2, 10)));
    cloud.put_service("shop/worker", 4, None);
    cloud.put_alarm("web-cpu", "shop/web", Symptom::Busy);
    cloud.put_alarm("web-memory", "shop/web", Symptom::Busy);
    cloud.put_alarm("worker-cpu", "shop/worker", Symptom::Busy);
    cloud.pass(SignedDuration::from_mins(1));
    for name in ["web-cpu", "web-memory", "worker-cpu"] {
        cloud.set(name, State::Alarm);
    }
    cloud
}

fn names() -> serde_json::Value {
    json!({"operation": "remediate", "alarms": ["web-cpu", "web-memory", "worker-cpu"]})
}

/// Everything goes on for as long as it takes: first it burns, then it is quiet.
fn ends_right(cloud: &Shared) {
    let policy = document(POLICY);
    for n in 0..120 {
        if n == 20 {
            for name in ["web-cpu", "web-memory", "worker-cpu"] {
                cloud.borrow_mut().set(name, State::Ok);
            }
        }
        Hands::new(cloud).tick(&policy);
        cloud.borrow_mut().pass(SignedDuration::from_mins(1));
    }
    let cloud = cloud.borrow();
    assert_eq!(cloud.cases.len(), 0, "{:#?}", cloud.cases);
    assert_eq!(cloud.raises.len(), 0, "{:#?}", cloud.raises);
    assert_eq!(cloud.services["shop/web"].scalable.unwrap().min, 2);
    assert_eq!(cloud.services["shop/worker"].desired, 4);
    // Both alarms of the one service, and that of the other: what was done counts for
    // all, and twice is what is allowed.
    for name in ["shop/web", "shop/worker"] {
        let done = cloud.done.iter().filter(|it| it.target.name() == name);
        assert!((1..=2).contains(&done.count()), "{:#?}", cloud.done);
    }
    let tried: usize = cloud.attempts.values().map(|it| it.made.len()).sum();
    assert!(tried >= cloud.done.len(), "{:#?}", cloud.attempts);
}

#[test]
fn a_run_that_is_killed_at_any_step_is_made_good_by_later_ones() {
    let policy = document(POLICY);
    let whole = Rc::new(RefCell::new(account()));
    let hands = Hands::new(&whole);
    block_on(hands.run(&policy, names())).unwrap();
    let steps = hands.steps();
    assert!(steps > 10, "{steps}");
    ends_right(&whole);
    for step in 1..=steps {
        let cloud: Shared = Rc::new(RefCell::new(account()));
        let hands = Hands::new(&cloud).cut_at(step);
        assert!(block_on(hands.run(&policy, names())).is_none(), "{step}");
        // What is not tried was not written, and what was done was written before.
        for done in &cloud.borrow().done {
            assert!(cloud.borrow().attempts.contains_key(&done.target), "{step}");
        }
        // The event comes again, as it does when nobody answers.
        cloud.borrow_mut().pass(SignedDuration::from_mins(1));
        block_on(Hands::new(&cloud).run(&policy, names())).unwrap();
        ends_right(&cloud);
    }
}

#[test]
fn taking_a_raise_back_may_be_cut_anywhere() {
    let policy = document(POLICY);
    let raised = || {
        let cloud: Shared = Rc::new(RefCell::new(account()));
        block_on(Hands::new(&cloud).run(&policy, names())).unwrap();
        cloud.borrow_mut().pass(SignedDuration::from_mins(2));
        for name in ["web-cpu", "web-memory", "worker-cpu"] {
            cloud.borrow_mut().set(name, State::Ok);
        }
        Hands::new(&cloud).tick(&policy);
        cloud.borrow_mut().pass(SignedDuration::from_mins(40));
        cloud
    };
    let whole = raised();
    let hands = Hands::new(&whole);
    hands.tick(&policy);
    assert_eq!(whole.borrow().raises.len(), 0);
    for step in 1..=hands.steps() {
        let cloud = raised();
        assert!(block_on(Hands::new(&cloud).cut_at(step).run(&policy, json!({}))).is_none());
        cloud.borrow_mut().pass(SignedDuration::from_mins(6));
        ends_right(&cloud);
    }
}

proptest! {
    #[test]
    fn two_runs_at_once_do_one_thing(
        one in prop::collection::vec(0u8..4, 1..6),
        other in prop::collection::vec(0u8..4, 1..6),
    ) {
        let policy = document(POLICY);
        let cloud: Shared = Rc::new(RefCell::new(account()));
        let (first, second) = (
            Hands::new(&cloud).with_turns(one),
            Hands::new(&cloud).with_turns(other),
        );
        block_on(async {
            tokio::join!(first.run(&policy, names()), second.run(&policy, names()))
        });
        for name in ["shop/web", "shop/worker"] {
            let cloud = cloud.borrow();
            let done = cloud.done.iter().filter(|it| it.target.name() == name);
            prop_assert_eq!(done.count(), 1, "{:#?}", &cloud.done);
        }
        let open = cloud.borrow().cases.len();
        prop_assert_eq!(open, 3);
        let settling = |case: &alarm_remediation::Case| matches!(case.stage, Stage::Settling { .. });
        let settling = cloud.borrow().cases.values().filter(|(_, case)| settling(case)).count();
        prop_assert_eq!(settling, 2);
        ends_right(&cloud);
    }
}
