//! What holds in every world, with any gaps, holds and limits.

use std::collections::BTreeSet;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use steward::engine::{After, Decision, Effect, Function, Gap, Hides, Mode, Seen};
use steward::report::ActionOutcome;
use steward::run::Run;

use crate::pruning::{Ecr, Image, Pruning, Registry};
use crate::scripted::{Scripted, Stage, Thing, Wish, thing};
use crate::support::{ByHand, Setting, day, policy, woken};

const UNITS: [&str; 3] = ["a", "b", "c"];

fn things() -> impl Strategy<Value = Vec<Thing>> {
    let wish = prop_oneof![
        Just(Wish::Keep),
        Just(Wish::Defer),
        Just(Wish::Change {
            effect: Effect::Restore,
            step: "restore"
        }),
        Just(Wish::Change {
            effect: Effect::Change,
            step: "change"
        }),
        Just(Wish::Change {
            effect: Effect::Destroy,
            step: "end"
        }),
        Just(Wish::Change {
            effect: Effect::Destroy,
            step: "end"
        }),
    ];
    let after = prop_oneof![Just(None), vec(0..30_usize, 0..3).prop_map(Some),];
    let one = (
        0..3_usize,
        0..3_usize,
        0..3_u8,
        after,
        wish,
        proptest::option::of(0..9_i64),
    );
    vec(one, 0..30).prop_map(|all| {
        let mut things = vec![];
        for (n, (unit, lane, pass, after, wish, since)) in all.into_iter().enumerate() {
            let mut one = thing(UNITS[unit], format!("t{n}"));
            one.lane = UNITS[lane].to_owned();
            one.pass = pass;
            one.after = match after {
                None => After::EarlierPasses,
                Some(targets) => {
                    let others = targets.into_iter().filter(|t: &usize| *t != n);
                    After::Targets(others.map(|t| format!("t{t}")).collect())
                }
            };
            one.wish = wish;
            one.since = since.map(day);
            things.push(one);
        }
        things
    })
}

fn gaps() -> impl Strategy<Value = Vec<Gap>> {
    let hides = prop_oneof![
        1 => Just(Hides::Everything),
        4 => btree_set(0..4_usize, 1..3).prop_map(|units| {
            Hides::Units(units.into_iter().map(|n| ["a", "b", "c", "elsewhere"][n].to_owned()).collect())
        }),
    ];
    let gap = hides.prop_map(|hides| Gap {
        read: "a read failed".to_owned(),
        hides,
        grant: "a:Read".to_owned(),
    });
    vec(gap, 0..2)
}

/// YAML of random limits, and the floor and counts in it.
#[derive(Clone, Debug)]
struct Drawn {
    unit: Option<u32>,
    run: Option<u32>,
    floor: Option<u32>,
    share: Option<u8>,
}

impl Drawn {
    fn yaml(&self) -> String {
        let lines = [
            self.unit.map(|n| format!("max_actions_per_unit: {n}")),
            self.run.map(|n| format!("max_actions_per_run: {n}")),
            self.floor.map(|n| format!("keep_at_least: {n}")),
            self.share.map(|n| format!("max_share_percent: {n}")),
        ];
        lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

fn limits() -> impl Strategy<Value = Drawn> {
    use proptest::option::of;
    (of(0..6_u32), of(0..12_u32), of(0..8_u32), of(0..=100_u8)).prop_map(
        |(unit, run, floor, share)| Drawn {
            unit,
            run,
            floor,
            share,
        },
    )
}

fn run(stage: &Stage, limits: &Drawn, mode: Mode) -> Run<Scripted> {
    let request = woken::<Scripted>(String::new());
    let setting = Setting::of(mode);
    let policy = policy(&limits.yaml());
    let (run, _) = ByHand::new(setting.run(stage, &policy, request)).finish();
    run
}

fn effect(thing: &Thing) -> Option<Effect> {
    match thing.wish {
        Wish::Change { effect, .. } => Some(effect),
        Wish::Keep | Wish::Defer => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_scripted_the_guards_hold(
        things in things(),
        gaps in gaps(),
        limits in limits(),
        failing in btree_set(0..30_usize, 0..4),
    ) {
        let failing: Vec<String> = failing.into_iter().map(|n| format!("t{n}")).collect();
        let names: Vec<&str> = failing.iter().map(String::as_str).collect();
        let stage = Stage::of(things.iter().cloned()).failing(&names);
        *stage.gaps.borrow_mut() = gaps.clone();
        let report = run(&stage, &limits, Mode::Apply).report;
        let touched = stage.touched();
        let of = |name: &String| things.iter().find(|t| t.target == *name).unwrap();

        // Every observed thing is in exactly one bucket, once.
        prop_assert_eq!(report.summary.observed, things.len());
        let lines: BTreeSet<&str> = report.actions.iter().map(|l| l.resource.as_str()).collect();
        prop_assert_eq!(lines.len() + report.summary.kept, things.len());

        // Nothing is done twice, and nothing that was not wanted.
        let once: BTreeSet<&String> = touched.iter().collect();
        prop_assert_eq!(once.len(), touched.len());
        prop_assert!(touched.iter().all(|name| effect(of(name)).is_some()));

        // Nothing hidden is destroyed.
        for name in &touched {
            let hidden = gaps.iter().any(|gap| gap.hides.covers(&of(name).unit));
            prop_assert!(!hidden || effect(of(name)) != Some(Effect::Destroy), "{} is hidden", name);
        }

        // Counts hold, per unit and for the run.
        let limited: Vec<&Thing> = touched
            .iter()
            .map(of)
            .filter(|t| effect(t) != Some(Effect::Restore))
            .collect();
        prop_assert!(limits.run.is_none_or(|most| limited.len() <= most as usize));
        for unit in UNITS {
            let of_unit: Vec<_> = limited.iter().filter(|t| t.unit == unit).collect();
            prop_assert!(limits.unit.is_none_or(|most| of_unit.len() <= most as usize));

            // Floors hold.
            let there = things.iter().filter(|t| t.unit == unit).count();
            let ended = of_unit.iter().filter(|t| effect(t) == Some(Effect::Destroy)).count();
            let floor = limits.floor.unwrap_or(0) as usize;
            prop_assert!(ended == 0 || there - ended >= floor, "{} of {} in {}", ended, there, unit);
        }

        // Order holds: what a change came after was done before it, or had
        // not been there.
        for (at, name) in touched.iter().enumerate() {
            let earlier: BTreeSet<&String> = touched[..at].iter().collect();
            let first: Vec<&Thing> = match &of(name).after {
                After::Targets(targets) => {
                    things.iter().filter(|t| targets.contains(&t.target)).collect()
                }
                After::EarlierPasses => things
                    .iter()
                    .filter(|t| effect(t).is_some() && t.lane == of(name).lane && t.pass < of(name).pass)
                    .collect(),
            };
            for before in first {
                prop_assert!(
                    earlier.contains(&before.target) && !failing.contains(&before.target),
                    "{} was done without {}", name, before.target
                );
            }
        }
    }

    #[test]
    fn whatever_is_scripted_waking_up_is_held_back_by_no_limit(
        things in things(),
        gaps in gaps(),
        limits in limits(),
    ) {
        let free: Vec<Thing> = things
            .into_iter()
            .map(|mut t| { t.after = After::Targets(vec![]); t })
            .collect();
        let wakes = free.iter().filter(|t| effect(t) == Some(Effect::Restore)).count();
        let stage = Stage::of(free.iter().cloned());
        *stage.gaps.borrow_mut() = gaps;
        run(&stage, &limits, Mode::Apply);
        let woken = stage.touched().into_iter().filter(|name| {
            free.iter().any(|t| t.target == *name && effect(t) == Some(Effect::Restore))
        });
        prop_assert_eq!(woken.count(), wakes);
    }

    #[test]
    fn whatever_is_scripted_a_plan_is_what_apply_does(things in things(), limits in limits()) {
        let planned = run(&Stage::of(things.iter().cloned()), &limits, Mode::Plan);
        let stage = Stage::of(things.iter().cloned());
        let applied = run(&stage, &limits, Mode::Apply);
        prop_assert_eq!(&planned.report.plan_digest, &applied.report.plan_digest);
        prop_assert_eq!(planned.report.summary.planned, applied.report.summary.done);
        let targets: BTreeSet<String> =
            planned.planned().into_iter().map(|d| d.target.clone()).collect();
        prop_assert_eq!(targets, stage.touched().into_iter().collect());
    }

    #[test]
    fn under_a_count_runs_come_to_an_end_with_nothing_left(
        things in things(),
        most in 1..4_u32,
    ) {
        // Nothing stays that others could have to come after.
        let wanted = things.into_iter().filter(|t| effect(t).is_some());
        let stage = Stage::of(wanted.map(|mut t| {
            t.lane = "one".to_owned();
            if let After::Targets(targets) = &mut t.after {
                targets.clear();
            }
            t
        }));
        let limits = Drawn { unit: None, run: Some(most), floor: None, share: None };
        for _ in 0..31 {
            run(&stage, &limits, Mode::Apply);
        }
        prop_assert!(stage.left().is_empty(), "{:?} never goes", stage.left());
    }

    #[test]
    fn the_order_of_what_was_seen_does_not_matter(
        things in things().prop_shuffle(),
        gaps in gaps(),
        limits in limits(),
    ) {
        let mut sorted = things.clone();
        sorted.sort_by(|a, b| a.target.cmp(&b.target));
        let done = |things: &[Thing]| {
            let stage = Stage::of(things.iter().cloned());
            *stage.gaps.borrow_mut() = gaps.clone();
            let report = run(&stage, &limits, Mode::Apply).report;
            let ends: BTreeSet<(String, String)> = report
                .actions
                .iter()
                .map(|l| (l.resource.clone(), format!("{:?}", l.outcome)))
                .collect();
            (report.status, report.summary, ends)
        };
        prop_assert_eq!(done(&things), done(&sorted));
    }
}

// ---- pruning -------------------------------------------------------------------

fn registries() -> impl Strategy<Value = Registry> {
    let image = (
        0..300_i64,
        any::<bool>(),
        proptest::bool::weighted(0.1),
        btree_set("i[0-9]", 0..3),
    )
        .prop_map(|(n, in_use, held, children)| Image {
            pushed_at: day(n),
            in_use,
            held,
            children,
        });
    btree_map("[abc]", btree_map("i[0-9]{1,2}", image, 0..12), 0..4).prop_map(|mut registry| {
        // An index refers to what has a longer name, so that there are no
        // circles, as there are none among digests.
        for images in registry.values_mut() {
            for (digest, image) in images.iter_mut() {
                let depth = digest.len();
                image.children = image
                    .children
                    .iter()
                    .map(|child| format!("{child}0"))
                    .filter(|child| child.len() > depth)
                    .collect();
            }
        }
        registry
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn pruning_keeps_what_is_in_use_held_hidden_or_a_part_of_it(
        registry in registries(),
        gaps in gaps(),
        limits in limits(),
    ) {
        let ecr = Ecr::of(registry.clone());
        *ecr.gaps.borrow_mut() = gaps.clone();
        let setting = Setting::of(Mode::Apply);
        let policy = policy(&limits.yaml());
        let (run, _) = ByHand::new(setting.run(&ecr, &policy, woken::<Pruning>(()))).finish();
        prop_assert_eq!(run.report.summary.failed, 0, "ECR refuses a wrong order");
        let observed: usize = registry.values().map(|images| images.len()).sum();
        prop_assert_eq!(run.report.summary.observed, observed);

        let left = ecr.registry.borrow();
        for (repository, images) in &registry {
            let hidden = gaps.iter().any(|gap| gap.hides.covers(repository));
            let gone = images.len() - left[repository].len();
            prop_assert!(!hidden || gone == 0);
            prop_assert!(gone == 0 || left[repository].len() >= limits.floor.unwrap_or(0) as usize);
            for (digest, image) in images {
                let stays = left[repository].contains_key(digest);
                prop_assert!(stays || !(image.in_use || image.held), "{} is gone", digest);
                for child in &image.children {
                    let broken = stays && images.contains_key(child) && !left[repository].contains_key(child);
                    prop_assert!(!broken, "{} lost its part {}", digest, child);
                }
            }
        }
        let done = run.report.actions.iter().filter(|l| l.outcome == ActionOutcome::Done);
        prop_assert_eq!(done.count(), ecr.deleted.borrow().len());
    }

    #[test]
    fn pruning_decides_the_same_twice_and_nothing_after_it_acted(registry in registries()) {
        let seen = |world: &Registry| Seen { world: world.clone(), ..Seen::default() };
        let limits = crate::support::Limits::default();
        let decide = |world: &Registry| {
            let plan = Pruning::decide(&limits, &(), &seen(world), day(300));
            let wanted = plan.items.into_iter().filter_map(|item| match item.decision {
                Decision::Act(change) => Some(change.action),
                Decision::Keep | Decision::Defer => None,
            });
            wanted.collect::<Vec<_>>()
        };
        prop_assert_eq!(decide(&registry), decide(&registry));

        let ecr = Ecr::of(registry);
        let setting = Setting::of(Mode::Apply);
        let policy = policy("");
        let (run, _) = ByHand::new(setting.run(&ecr, &policy, woken::<Pruning>(()))).finish();
        let left = ecr.registry.borrow();
        prop_assert!(run.planned().iter().all(|action| Pruning::achieved(action, &left)));
        prop_assert!(decide(&left).is_empty());
    }
}
