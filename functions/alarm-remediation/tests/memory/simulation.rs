//! A day of alarms that flap over fifty services: every bound holds at every minute, and
//! in the end everything has its usual size.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use alarm_remediation::{Effect, State, Symptom};
use jiff::{SignedDuration, Timestamp};

use crate::cloud::{Cloud, Done, Hands, Shared, document};

const SERVICES: u32 = 50;
const ATTEMPTS: usize = 2;
const PER_HOUR: usize = 12;
const COOL_DOWN: SignedDuration = SignedDuration::from_mins(15);
const WINDOW: SignedDuration = SignedDuration::from_hours(6);

const POLICY: &str = r#"
version: 1
alarms: {include: ["*"]}
remedies:
  raise_service: {of: {include: ["*"]}, most: 12, for: 1h}
  replace_tasks: {of: {include: ["*"]}}
bounds: {attempts: 2, cool_down: 15m, window: 6h, per_hour: 12}
"#;

/// Numbers that look random and are the same every time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

fn account() -> Cloud {
    let now: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
    let mut cloud = Cloud::new(now);
    for n in 0..SERVICES {
        let name = format!("shop/s{n}");
        cloud.put_service(&name, 4, (n % 2 == 0).then_some((4, 10)));
        cloud.put_alarm(&format!("busy-{n}"), &name, Symptom::Busy);
        cloud.put_alarm(&format!("unwell-{n}"), &name, Symptom::Unhealthy);
    }
    cloud
}

fn held(done: &[Done]) {
    let mut by_target: BTreeMap<String, Vec<&Done>> = BTreeMap::new();
    for one in done {
        by_target
            .entry(one.target.to_string())
            .or_default()
            .push(one);
        let hour = one.at - SignedDuration::from_hours(1);
        let in_hour = done.iter().filter(|it| it.at > hour && it.at <= one.at);
        assert!(in_hour.count() <= PER_HOUR, "{one:?}");
    }
    for (target, done) in by_target {
        for pair in done.windows(2) {
            let between = pair[1].at.duration_since(pair[0].at);
            assert!(between >= COOL_DOWN, "{target}: {pair:?}");
        }
        for one in &done {
            let since = one.at - WINDOW;
            let same = done.iter().filter(|it| it.kind == one.kind);
            let in_window = same.filter(|it| it.at > since && it.at <= one.at);
            assert!(in_window.count() <= ATTEMPTS, "{target}: {one:?}");
        }
    }
}

/// How many messages there were, by what they were about.
#[derive(Default)]
struct Told(BTreeMap<String, usize>);

fn minute(cloud: &Shared, dice: &mut Dice, told: &mut Told, flaps: bool) {
    let policy = document(POLICY);
    let mut fired = Vec::new();
    for n in 0..SERVICES {
        for kind in ["busy", "unwell"] {
            let name = format!("{kind}-{n}");
            // Every fifth service is never well; the others flap.
            let goes_off = flaps && (n % 5 == 0 || dice.below(20) == 0);
            let goes_quiet = !flaps || n % 5 != 0 && dice.below(4) == 0;
            let mut cloud = cloud.borrow_mut();
            if goes_off {
                let service = cloud.services.get_mut(&format!("shop/s{n}")).unwrap();
                if kind == "unwell"
                    && let Some(task) = service.tasks.first_mut()
                {
                    task.is_unhealthy = true;
                }
                if cloud.set(&name, State::Alarm) {
                    fired.push(name);
                }
            } else if goes_quiet {
                let service = cloud.services.get_mut(&format!("shop/s{n}")).unwrap();
                if kind == "unwell" {
                    for task in &mut service.tasks {
                        task.is_unhealthy = false;
                    }
                }
                cloud.set(&name, State::Ok);
            }
        }
    }
    // Each event by itself, some of them twice, then the tick.
    let mut runs = Vec::new();
    for name in fired {
        let names = [name];
        runs.push(Hands::new(cloud).on_alarms(&policy, &names));
        if dice.below(10) == 0 {
            runs.push(Hands::new(cloud).on_alarms(&policy, &names));
        }
    }
    runs.push(Hands::new(cloud).tick(&policy));
    for run in runs {
        assert_eq!(run.report.summary.failed, 0, "{:?}", run.report);
        for unit in &run.units {
            *told.0.entry(unit.unit.clone()).or_default() += unit.needs.len();
        }
    }
    cloud.borrow_mut().pass(SignedDuration::from_mins(1));
}

#[test]
fn a_day_of_flapping_alarms_stays_within_every_bound_and_ends_as_it_began() {
    let cloud: Shared = Rc::new(RefCell::new(account()));
    let mut dice = Dice(20_261_123);
    let mut told = Told::default();
    for _ in 0..24 * 60 {
        minute(&cloud, &mut dice, &mut told, true);
    }
    {
        let cloud = cloud.borrow();
        held(&cloud.done);
        // It is a day's work, and no less than the hourly limit lets through.
        assert!(cloud.done.len() > 100, "{}", cloud.done.len());
        for (name, service) in &cloud.services {
            let most = service.scalable.map_or(12, |scalable| scalable.max);
            assert!(service.desired <= most, "{name}: {}", service.desired);
        }
        let cases = cloud.cases.len() + cloud.ended.len();
        assert!(cases >= 2 * SERVICES as usize, "{cases}");
    }
    // A person is told of each case a few times at the most, however often it flaps: no
    // case has a code twice, and what flaps is one case.
    let most = told.0.values().max().copied().unwrap_or(0);
    assert!(most > 0 && most <= 24 * 2 * 4, "{most}");

    // Then it is quiet, and what was raised is taken back.
    for _ in 0..3 * 60 {
        minute(&cloud, &mut dice, &mut told, false);
    }
    let cloud = cloud.borrow();
    held(&cloud.done);
    assert_eq!(cloud.cases.len(), 0, "{:?}", cloud.cases);
    assert_eq!(cloud.raises.len(), 0, "{:?}", cloud.raises);
    for (name, service) in &cloud.services {
        assert_eq!(service.desired, 4, "{name}");
        assert!(service.scalable.is_none_or(|it| it.min == 4), "{name}");
    }
    for case in cloud.ended.values() {
        let unjudged = case.tried.iter().filter(|tried| tried.effect.is_none());
        assert_eq!(unjudged.count(), 0, "{case:?}");
    }
    let effects = cloud.ended.values().flat_map(|case| &case.tried);
    let helped = effects
        .clone()
        .filter(|it| it.effect == Some(Effect::Helped));
    let not = effects.filter(|it| it.effect == Some(Effect::DidNotHelp));
    assert!(helped.count() > 0 && not.count() > 0);
}

#[test]
fn ten_flaps_in_a_minute_are_one_case_and_one_remedy() {
    let cloud: Shared = Rc::new(RefCell::new(account()));
    let policy = document(POLICY);
    for _ in 0..10 {
        cloud.borrow_mut().set("busy-1", State::Alarm);
        Hands::new(&cloud).on_alarms(&policy, &["busy-1".to_owned()]);
        cloud.borrow_mut().pass(SignedDuration::from_secs(3));
        cloud.borrow_mut().set("busy-1", State::Ok);
        Hands::new(&cloud).on_alarms(&policy, &["busy-1".to_owned()]);
        cloud.borrow_mut().pass(SignedDuration::from_secs(3));
    }
    let cloud = cloud.borrow();
    assert_eq!(cloud.done.len(), 1, "{:?}", cloud.done);
    assert_eq!((cloud.cases.len(), cloud.ended.len()), (1, 0));
}

#[test]
fn everything_unhealthy_at_once_is_bounded_by_the_hour() {
    let cloud: Shared = Rc::new(RefCell::new(account()));
    let policy = document(POLICY);
    let names: Vec<String> = (0..SERVICES).map(|n| format!("unwell-{n}")).collect();
    for n in 0..SERVICES {
        let mut cloud = cloud.borrow_mut();
        let service = cloud.services.get_mut(&format!("shop/s{n}")).unwrap();
        for task in &mut service.tasks {
            task.is_unhealthy = true;
        }
        cloud.set(&format!("unwell-{n}"), State::Alarm);
    }
    Hands::new(&cloud).on_alarms(&policy, &names);
    for _ in 0..45 {
        Hands::new(&cloud).tick(&policy);
        cloud.borrow_mut().pass(SignedDuration::from_mins(1));
    }
    let cloud = cloud.borrow();
    assert_eq!(cloud.done.len(), PER_HOUR);
    held(&cloud.done);
    assert_eq!(cloud.cases.len(), SERVICES as usize);
    // Whoever waited for the limit was told of it.
    for (_, case) in cloud.cases.values() {
        assert!(!case.told.is_empty() || !case.tried.is_empty(), "{case:?}");
    }
}
