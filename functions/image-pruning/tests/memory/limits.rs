//! What a limit leaves for the next nights: the oldest goes first, an index
//! before its children, and never a child whose index stays.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use image_pruning::{Digest, Image, Limits, PruningPolicy, Repository};
use jiff::{SignedDuration, Timestamp};
use steward::policy::{Period, Selection};
use steward::report::Status;

use crate::cloud::{Cloud, Hands, Shared, block_on, document};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn digest(name: &str) -> Digest {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    Digest::new(format!("sha256:{hex:0<64}"))
}

/// Two old indexes with two children each, a plain image of an age between
/// theirs, and the newest.
fn repository() -> Repository {
    let image = |days: i64, tag: Option<&str>, children: &[&str]| Image {
        tags: tag.into_iter().map(str::to_owned).collect(),
        pushed_at: Some(now() - SignedDuration::from_hours(24 * days)),
        children: children.iter().map(|child| digest(child)).collect(),
        ..Image::default()
    };
    let images = [
        ("a", image(90, Some("v1"), &["a1", "a2"])),
        ("a1", image(90, None, &[])),
        ("a2", image(90, None, &[])),
        ("b", image(70, Some("v3"), &["b1", "b2"])),
        ("b1", image(70, None, &[])),
        ("b2", image(70, None, &[])),
        ("plain", image(80, Some("v2"), &[])),
        ("z", image(40, Some("v4"), &[])),
    ];
    Repository {
        images: images
            .into_iter()
            .map(|(name, image)| (digest(name), image))
            .collect(),
        complete: true,
        ..Repository::default()
    }
}

fn policy(limits: Limits) -> PruningPolicy {
    let mut policy = PruningPolicy {
        repositories: Some(Selection::everything()),
        limits: Limits {
            max_delete_share_percent: 100,
            ..limits
        },
        ..PruningPolicy::default()
    };
    policy.retention.keep_newest = 1;
    policy.retention.keep_younger_than = Period::days(1);
    policy.retention.remove_untagged_after = Period::days(1);
    policy
}

/// What each night deletes until there is nothing to do, by name.
fn nights(cloud: &Shared, limits: Limits) -> Vec<Vec<String>> {
    let names = ["a", "a1", "a2", "b", "b1", "b2", "plain", "z"];
    let names: BTreeMap<Digest, &str> = names.iter().map(|name| (digest(name), *name)).collect();
    let policy = document(&policy(limits));
    let mut nights = Vec::new();
    for _ in 0..20 {
        let before = cloud.borrow().deleted.len();
        let report = block_on(Hands::new(cloud).run(&policy, now()))
            .unwrap()
            .report;
        if report.status == Status::NothingToDo {
            return nights;
        }
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        let deleted = cloud.borrow().deleted[before..].to_vec();
        let mut night: Vec<String> = deleted
            .iter()
            .map(|(repository, digest)| match repository.as_str() {
                "app" => names[digest].to_owned(),
                other => format!("{other} {}", names[digest]),
            })
            .collect();
        night.sort();
        nights.push(night);
    }
    panic!("never done: {nights:?}");
}

fn cloud(repositories: &[&str]) -> Shared {
    let mut cloud = Cloud::default();
    for name in repositories {
        cloud
            .world
            .repositories
            .insert((*name).to_owned(), repository().into());
    }
    Rc::new(RefCell::new(cloud))
}

#[test]
fn a_repository_gives_up_its_oldest_whole_images_first() {
    for (most, expected) in [
        (1, &["a", "a1", "a2", "plain", "b", "b1", "b2"][..]),
        (2, &["a a1", "a2 plain", "b b1", "b2"][..]),
        (3, &["a a1 a2", "b b1 plain", "b2"][..]),
        (4, &["a a1 a2 plain", "b b1 b2"][..]),
        (6, &["a a1 a2 b b1 plain", "b2"][..]),
        (7, &["a a1 a2 b b1 b2 plain"][..]),
    ] {
        let limits = Limits {
            max_deletes_per_repository: most,
            ..Limits::default()
        };
        let found: Vec<String> = nights(&cloud(&["app"]), limits)
            .iter()
            .map(|night| night.join(" "))
            .collect();
        assert_eq!(found, expected, "{most} a night");
    }
}

#[test]
fn under_the_limit_of_a_run_repositories_take_turns_each_with_its_oldest() {
    let limits = Limits {
        max_deletes_per_run: 4,
        ..Limits::default()
    };
    let found = nights(&cloud(&["app", "web"]), limits);
    assert_eq!(found[0], ["a", "a1", "web a", "web a1"]);
    assert!(found.iter().all(|night| night.len() <= 4), "{found:?}");
    assert_eq!(found.concat().len(), 14);
}

#[test]
fn a_floor_refuses_the_repository_as_a_whole() {
    let cloud = cloud(&["app"]);
    let limits = Limits {
        keep_images_at_least: 2,
        ..Limits::default()
    };
    let policy = document(&policy(limits));
    let report = block_on(Hands::new(&cloud).run(&policy, now()))
        .unwrap()
        .report;
    assert_eq!(report.status, Status::Refused);
    assert_eq!(report.refusals[0].guard, "keep_at_least");
    assert!(cloud.borrow().deleted.is_empty());
}
