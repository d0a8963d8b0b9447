//! What holds for every registry, whoever uses it and whatever the policy
//! says. The registries are random and mean: shared children, claimed cycles,
//! attachments of attachments, tags that move between everything.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use image_pruning::{
    Action, Digest, Image, ImagePruning, InUse, Limits, NEVER_SOONER_THAN, Outsider, Override, Pin,
    PruningPolicy, RemoveBy, Repository, Retention, Scope, Storage, Tags, Use, User, UserKind,
    World,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use steward::engine::{Decision, Function, Gap, Hides, PlanOf, Reason, Seen};
use steward::hold::Hold;
use steward::policy::{Period, Selection};
use steward::report::{ActionOutcome, Status};

use crate::cloud::{Cloud, Hands, block_on, document};
use crate::oracle;

const REPOSITORIES: [&str; 2] = ["app", "tools"];
const MOST_IMAGES: usize = 9;
const TAGS: [&str; 5] = ["v1", "v2", "stable", "release-1", "release-2"];

/// Ages in hours around every limit that a policy below may set.
const AGES: [i64; 12] = [0, 23, 24, 25, 47, 48, 49, 72, 168, 336, 720, 9000];

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// Scattered, so that the order of digests says nothing.
fn digest(repository: usize, n: usize) -> Digest {
    let seed = (repository * MOST_IMAGES + n + 1) as u64;
    let scattered = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Digest::new(format!("sha256:{scattered:016x}{seed:048x}"))
}

fn ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

fn storage() -> impl Strategy<Value = Storage> {
    let since = prop::option::weighted(0.9, prop::sample::select(&[1, 2160, 2161, 2400, 9000][..]));
    prop_oneof![
        12 => Just(Storage::Standard),
        2 => since.prop_map(|hours| Storage::Archived { since: hours.map(ago) }),
        1 => Just(Storage::Moving),
    ]
}

/// When an image was pushed, pulled and restored, in hours before now.
type Times = (Option<i64>, Option<i64>, Option<i64>);

fn times() -> impl Strategy<Value = Times> {
    (
        prop::option::weighted(0.95, prop::sample::select(&AGES[..])),
        prop::option::weighted(0.4, prop::sample::select(&AGES[..])),
        prop::option::weighted(0.1, prop::sample::select(&AGES[..])),
    )
}

/// One image before tags are given out: times, storage class, children, subject.
type Plain = (Times, Storage, Vec<usize>, Option<usize>);

fn plain() -> impl Strategy<Value = Plain> {
    (
        times(),
        storage(),
        prop_oneof![
            2 => Just(vec![]),
            1 => prop::collection::vec(0..MOST_IMAGES, 1..4),
        ],
        prop::option::weighted(0.2, 0..MOST_IMAGES),
    )
}

/// For each tag who has it, and who is attached to whom by a tag.
type Given = (Vec<Option<usize>>, Vec<(usize, usize)>);

fn given() -> impl Strategy<Value = Given> {
    (
        prop::collection::vec(prop::option::weighted(0.6, 0..MOST_IMAGES), TAGS.len()),
        prop::collection::vec((0..MOST_IMAGES, 0..MOST_IMAGES), 0..3),
    )
}

fn repository(of: usize) -> impl Strategy<Value = Repository> {
    (
        prop::collection::vec(plain(), 0..=MOST_IMAGES),
        given(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            move |(plain, (tags, attached), held, incomplete, cycles, shared)| {
                let there = plain.len();
                let mut images: Vec<Image> = Vec::new();
                for (n, (times, storage, children, subject)) in plain.into_iter().enumerate() {
                    let (pushed, pulled, restored) = times;
                    // Without claimed cycles things hang on what comes before.
                    let children = children.into_iter().filter(|c| cycles || *c > n);
                    let children: Vec<usize> = children.collect();
                    images.push(Image {
                        pushed_at: pushed.map(ago),
                        last_pulled_at: pulled.map(ago),
                        restored_at: restored.map(ago),
                        storage,
                        size_bytes: Some(1000),
                        // What an archived index lists is not known.
                        index: n % 2 == 0 || !children.is_empty(),
                        children: match storage {
                            Storage::Standard => children.iter().map(|c| digest(of, *c)).collect(),
                            Storage::Archived { .. } | Storage::Moving => vec![],
                        },
                        subject: subject.filter(|s| cycles || *s < n).map(|s| digest(of, s)),
                        tags: vec![],
                    });
                }
                for (tag, owner) in TAGS.iter().zip(tags) {
                    if let Some(image) = owner.and_then(|n| images.get_mut(n)) {
                        image.tags.push((*tag).to_owned());
                    }
                }
                for (signature, subject) in attached {
                    if signature < there && (cycles || subject < signature) {
                        let hex = digest(of, subject).as_str().replace(':', "-");
                        images[signature].tags.push(format!("{hex}.sig"));
                    }
                }
                for image in &mut images {
                    image.tags.sort();
                    image.tags.dedup();
                }
                let digests = (0..).map(|n| digest(of, n));
                Repository {
                    hold: held.then_some(Hold::Tag),
                    images: digests.zip(images).collect(),
                    complete: !incomplete,
                    tags_stay: there % 3 == 0,
                    outsiders: shared
                        .then(|| Outsider {
                            account: None,
                            region: None,
                            words: "anybody may pull".to_owned(),
                        })
                        .into_iter()
                        .collect(),
                }
            },
        )
}

fn used() -> impl Strategy<Value = Use> {
    let kinds = [
        UserKind::Task,
        UserKind::StoppedTask,
        UserKind::Deployment,
        UserKind::RollbackTarget,
        UserKind::TaskSet,
        UserKind::Daemon,
        UserKind::EventRule,
        UserKind::Schedule,
        UserKind::TaskDefinition,
        UserKind::LambdaFunction,
        UserKind::RestorePoint,
        UserKind::Recipe,
        UserKind::PolicyReference,
    ];
    let tag = prop::sample::select(&TAGS[..]);
    (
        0..REPOSITORIES.len(),
        0..MOST_IMAGES + 1,
        0..5_usize,
        tag,
        prop::sample::select(kinds.to_vec()),
        0..3_u8,
    )
        .prop_map(|(repository, n, how, tag, kind, name)| Use {
            repository: REPOSITORIES[repository].to_owned(),
            pin: match how {
                0 => Pin::WasTag(tag.to_owned()),
                1 => Pin::Tag(tag.to_owned()),
                _ => Pin::Digest(digest(repository, n)),
            },
            by: User {
                kind,
                name: format!("user {name}"),
            },
        })
}

fn gap() -> impl Strategy<Value = Gap> {
    prop_oneof![
        1 => Just(Hides::Everything),
        3 => prop::sample::select(&REPOSITORIES[..]).prop_map(Hides::unit),
        1 => Just(Hides::unit("elsewhere")),
    ]
    .prop_map(|hides| Gap {
        read: format!("a read about {hides}"),
        hides,
        grant: "ecs:ListTasks".to_owned(),
    })
}

fn retention() -> impl Strategy<Value = Retention> {
    let unpulled = prop::option::of((48..100_u32).prop_map(Period::hours));
    let archived = prop::option::of((2160..2300_u32).prop_map(Period::hours));
    let by = prop::sample::select(vec![RemoveBy::Delete, RemoveBy::Archive]);
    let ages = (24..80_u32, 24..80_u32);
    (1..4_u32, ages, 0..3_usize, unpulled, archived, by).prop_map(
        |(newest, (tagged, untagged), tags, unpulled, archived, by)| Retention {
            remove_unpulled_after: unpulled,
            remove_by: by,
            delete_archived_after: archived,
            keep_newest: newest,
            keep_younger_than: Period::hours(tagged),
            remove_untagged_after: Period::hours(untagged),
            keep_tags: Tags {
                include: [vec![], vec!["release-*".to_owned()], vec!["*".to_owned()]][tags].clone(),
                exclude: vec!["release-2".to_owned()],
            },
        },
    )
}

/// One that holds nothing back, or one that does.
fn limits() -> impl Strategy<Value = Limits> {
    let none = Limits {
        max_delete_share_percent: 100,
        ..Limits::default()
    };
    let some = (1..5_u32, 1..101_u8, 1..8_u32, 1..5_u32);
    let some = some.prop_map(|(repository, share, run, floor)| Limits {
        max_deletes_per_repository: repository,
        max_delete_share_percent: share,
        max_deletes_per_run: run,
        keep_images_at_least: floor,
        ..Limits::default()
    });
    prop_oneof![Just(none), some]
}

fn policy() -> impl Strategy<Value = PruningPolicy> {
    (
        retention(),
        prop::option::weighted(0.3, retention()),
        limits(),
        48..400_u32,
    )
        .prop_map(|(retention, over, limits, pulled)| PruningPolicy {
            in_use: InUse {
                keep_pulled_within: Period::hours(pulled),
                ..InUse::default()
            },
            repositories: Some(Selection::everything()),
            retention,
            overrides: over
                .into_iter()
                .map(|retention| Override {
                    repositories: Selection {
                        include: vec!["tool*".to_owned()],
                        exclude: vec![],
                    },
                    retention: Some(retention),
                    max_deletes_per_repository: None,
                    max_delete_share_percent: None,
                })
                .collect(),
            limits,
            ..PruningPolicy::default()
        })
}

fn world() -> impl Strategy<Value = World> {
    (
        repository(0),
        repository(1),
        prop::collection::vec(used(), 0..5),
        any::<bool>(),
    )
        .prop_map(|(one, other, uses, more_repositories)| World {
            account: "123456789012".to_owned(),
            repositories: BTreeMap::from([
                (REPOSITORIES[0].to_owned(), one.into()),
                (REPOSITORIES[1].to_owned(), other.into()),
            ]),
            uses,
            more_repositories,
        })
}

fn gaps() -> impl Strategy<Value = Vec<Gap>> {
    prop_oneof![
        4 => Just(vec![]),
        1 => prop::collection::vec(gap(), 1..3),
    ]
}

fn plan_of(policy: &PruningPolicy, world: &World, gaps: &[Gap]) -> PlanOf<ImagePruning> {
    let seen = Seen {
        world: world.clone(),
        gaps: gaps.to_vec(),
        warnings: vec![],
    };
    ImagePruning::decide(policy, &Scope::Everything, &seen, now())
}

/// How each image of a repository that goes does so.
#[derive(Clone, Debug, Default)]
struct Going {
    deleted: BTreeSet<Digest>,
    archived: BTreeSet<Digest>,
}

impl Going {
    fn all(&self) -> BTreeSet<Digest> {
        &self.deleted | &self.archived
    }
}

/// What a plan would remove, by repository.
fn going(plan: &PlanOf<ImagePruning>) -> BTreeMap<String, Going> {
    let mut all: BTreeMap<String, Going> = BTreeMap::new();
    for item in &plan.items {
        if let Decision::Act(change) = &item.decision {
            let image = change.action.removal();
            let going = all.entry(image.repository.clone()).or_default();
            let set = match &change.action {
                Action::DeleteImage(_) => &mut going.deleted,
                Action::ArchiveImage(_) => &mut going.archived,
            };
            set.insert(image.digest.clone());
        }
    }
    all
}

/// The codes of everything in a plan, by target.
fn codes(plan: &PlanOf<ImagePruning>) -> BTreeMap<String, &'static str> {
    let items = plan.items.iter();
    items.map(|i| (i.target.clone(), i.reason.code())).collect()
}

/// The newest tagged images that can be pulled and are nobody's part.
fn newest(repository: &Repository, keep: u32) -> BTreeSet<Digest> {
    let mut all: Vec<(&Digest, &Image)> = repository
        .images
        .iter()
        .filter(|(digest, image)| {
            let by_people = image.tags.iter().any(|tag| TAGS.contains(&tag.as_str()));
            by_people
                && image.storage == Storage::Standard
                && oracle::listed_by(repository, digest).is_empty()
        })
        .collect();
    let arrived = |image: &Image| image.pushed_at.map(|at| Some(at).max(image.restored_at));
    all.sort_by_key(|(digest, image)| (std::cmp::Reverse(arrived(image)), *digest));
    let kept = all.into_iter().take(keep as usize);
    kept.map(|(digest, _)| digest.clone()).collect()
}

/// What may never be among what is deleted.
fn untouchable(
    policy: &PruningPolicy,
    world: &World,
    gaps: &[Gap],
    name: &str,
) -> BTreeSet<Digest> {
    let repository = &world.repositories[name];
    let hidden = gaps.iter().any(|gap| gap.hides.covers(name));
    if hidden || repository.hold.is_some() {
        return repository.images.keys().cloned().collect();
    }
    let mut all = oracle::in_use(world, name);
    all.extend(newest(repository, policy.retention_of(name).keep_newest));
    let floor = NEVER_SOONER_THAN.before(now());
    let retention = policy.retention_of(name);
    for (digest, image) in &repository.images {
        let stays_in_archive = match image.storage {
            Storage::Standard => false,
            Storage::Moving => true,
            Storage::Archived { since } => {
                let limit = retention
                    .delete_archived_after
                    .map(|after| after.before(now()));
                since.is_none() || limit.is_none() || since > limit
            }
        };
        let arrived = image.pushed_at.max(image.restored_at);
        let pulled = oracle::last_pulled_at(repository, digest);
        let shared = !repository.outsiders.is_empty()
            && pulled.max(arrived) > Some(policy.in_use.keep_pulled_within.before(now()));
        let by_people = image.tags.iter().any(|tag| TAGS.contains(&tag.as_str()));
        let pulled_lately = by_people
            && image.storage == Storage::Standard
            && retention
                .remove_unpulled_after
                .is_some_and(|after| pulled > Some(after.before(now())));
        let apart = image
            .tags
            .iter()
            .filter_map(|tag| oracle::attached_to(tag))
            .any(|about| {
                let elsewhere = || {
                    world
                        .repositories
                        .values()
                        .any(|r| r.images.contains_key(&about))
                };
                !repository.images.contains_key(&about) && (world.more_repositories || elsewhere())
            });
        let young = image.pushed_at.is_none() || arrived > Some(floor);
        if stays_in_archive || apart || young || shared || pulled_lately {
            all.insert(digest.clone());
        }
    }
    all
}

/// Nothing that goes leaves behind an index that lists it, or what it is about;
/// but a referrer may follow its subject to the archive. What is in the archive
/// is not deleted while its whole only gets there, or may be what an archived
/// index lists that stays; but of archived indexes that are all condemned, one
/// may go before another. What a wanted one may list is not archived either.
fn no_part_without_its_whole(
    policy: &PruningPolicy,
    world: &World,
    name: &str,
    going: &Going,
    condemned: &BTreeSet<Digest>,
) -> bool {
    let repository = &world.repositories[name];
    let wanted = wanted(policy, world, name);
    let all = going.all();
    let storage = |digest: &Digest| repository.images[digest].storage;
    let in_archive = |digest: &Digest| matches!(storage(digest), Storage::Archived { .. });
    let removed = all.iter().all(|digest| {
        let follows = |subject: &Digest| {
            going.archived.contains(digest) && in_archive(subject) && !wanted.contains(subject)
        };
        oracle::listed_by(repository, digest).is_subset(&all)
            && oracle::subjects(repository, digest)
                .iter()
                .all(|subject| all.contains(subject) || follows(subject))
    });
    let from_archive = going.deleted.iter().filter(|digest| in_archive(digest));
    let whole = from_archive.clone().all(|digest| {
        let mut above = oracle::listed_by(repository, digest);
        above.extend(oracle::subjects(repository, digest));
        above.is_disjoint(&going.archived)
    });
    let nameless = going.deleted.iter().filter(|digest| {
        let above = oracle::listed_by(repository, digest).len()
            + oracle::subjects(repository, digest).len();
        let tags = &repository.images[*digest].tags;
        above == 0 && (in_archive(digest) || !tags.iter().any(|t| TAGS.contains(&t.as_str())))
    });
    let mut nameless = nameless.chain(from_archive);
    let unlisted = nameless.all(|digest| {
        let closed = repository.images.iter().filter(|(index, image)| {
            let both = in_archive(digest) && repository.images[digest].index;
            *index != digest
                && !going.deleted.contains(*index)
                && !(both && condemned.contains(*index))
                && oracle::can_list(image, &repository.images[digest])
        });
        closed.count() == 0
    });
    let mut nameless = going.archived.iter().filter(|digest| {
        let tags = &repository.images[*digest].tags;
        !tags.iter().any(|tag| TAGS.contains(&tag.as_str()))
    });
    let unwanted = nameless.all(|digest| {
        let image = &repository.images[digest];
        let mut indexes = wanted.iter().map(|index| &repository.images[index]);
        !indexes.any(|index| oracle::can_list(index, image))
    });
    removed && whole && unlisted && unwanted
}

/// What somebody uses, what is being restored, and what would have to stay for
/// its tags.
fn wanted(policy: &PruningPolicy, world: &World, name: &str) -> BTreeSet<Digest> {
    let mut wanted = oracle::in_use(world, name);
    let keep_tags = &policy.retention_of(name).keep_tags;
    for (digest, image) in &world.repositories[name].images {
        let kept = image.tags.iter().any(|tag| keep_tags.selects(tag));
        if image.storage == Storage::Moving || kept {
            wanted.insert(digest.clone());
        }
    }
    wanted
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_image_has_exactly_one_fate_and_nothing_protected_goes(
        policy in policy(), world in world(), gaps in gaps(),
    ) {
        let plan = plan_of(&policy, &world, &gaps);

        let mut expected = BTreeSet::new();
        for (name, repository) in &world.repositories {
            expected.extend(repository.images.keys().map(|digest| format!("{name}@{digest}")));
        }
        let targets: BTreeSet<String> = plan.items.iter().map(|i| i.target.clone()).collect();
        prop_assert_eq!(plan.items.len(), expected.len());
        prop_assert_eq!(targets, expected);
        for item in &plan.items {
            prop_assert!(image_pruning::REASON_CODES.contains(&item.reason.code()));
        }
        for (name, going) in going(&plan) {
            let repository = &world.repositories[&name];
            let untouchable = untouchable(&policy, &world, &gaps, &name);
            prop_assert!(going.all().is_disjoint(&untouchable), "{going:?} of {repository:#?}");
            prop_assert!(
                no_part_without_its_whole(&policy, &world, &name, &going, &going.deleted),
                "{going:?} of {repository:#?}"
            );
            prop_assert!(going.deleted.len() < repository.images.len(), "emptied");
            let pulled = |digest: &&Digest| repository.images[*digest].storage == Storage::Standard;
            let mut could_be = repository.images.keys().filter(pulled).peekable();
            prop_assert!(
                could_be.peek().is_none() || could_be.any(|digest| !going.all().contains(digest)),
                "nothing is left that can be pulled: {going:?} of {repository:#?}"
            );
        }
        for gap in &gaps {
            for item in &plan.items {
                if gap.hides.covers(&item.unit) {
                    prop_assert!(!matches!(item.decision, Decision::Act(_)));
                }
            }
        }
    }

    #[test]
    fn an_action_holds_the_image_as_it_is_and_comes_after_what_it_hangs_on(
        policy in policy(), world in world(),
    ) {
        let plan = plan_of(&policy, &world, &[]);
        let mut passes = BTreeMap::new();
        for item in &plan.items {
            if let Decision::Act(change) = &item.decision {
                passes.insert(item.target.clone(), change.pass);
            }
        }
        for item in &plan.items {
            let Decision::Act(change) = &item.decision else { continue };
            let action = change.action.removal();
            let archives = matches!(change.action, Action::ArchiveImage(_));
            let repository = &world.repositories[&action.repository];
            let image = &repository.images[&action.digest];
            prop_assert_eq!(&action.tags, &image.tags);
            prop_assert_eq!(action.pushed_at, image.pushed_at);
            prop_assert_eq!(item.serves, image.storage == Storage::Standard);
            prop_assert_eq!(item.serves, action.archived_at.is_none());
            prop_assert!(!archives || item.serves);
            let mut above = oracle::listed_by(repository, &action.digest);
            above.extend(oracle::subjects(repository, &action.digest));
            for holder in above {
                let target = format!("{}@{holder}", action.repository);
                let storage = repository.images[&holder].storage;
                let follows = archives && matches!(storage, Storage::Archived { .. });
                prop_assert!(follows && !passes.contains_key(&target) || passes.get(&target).is_some_and(|pass| *pass < change.pass));
            }
        }
    }

    #[test]
    fn the_order_in_which_users_are_read_does_not_matter(
        policy in policy(), world in world(), gaps in gaps(), turn in 0..5_usize,
    ) {
        let mut turned = world.clone();
        turned.uses.reverse();
        let length = turned.uses.len().max(1);
        turned.uses.rotate_left(turn % length);
        // Who is read twice is told once.
        turned.uses.extend(world.uses.first().cloned());
        let one = plan_of(&policy, &world, &gaps);
        let other = plan_of(&policy, &turned, &gaps);
        prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }

    #[test]
    fn deciding_again_after_acting_gives_nothing_to_do(policy in policy(), world in world()) {
        let mut world = world;
        let mut quiet = false;
        let most_rounds = world.repositories.values().map(|r| r.images.len()).sum::<usize>() + 1;
        let mut before: Option<BTreeMap<String, &'static str>> = None;
        let mut outlived = false;
        for _ in 0..most_rounds {
            let plan = plan_of(&policy, &world, &[]);
            let going = going(&plan);
            if going.is_empty() {
                quiet = true;
                break;
            }
            if let Some(before) = &before {
                // A part that stays for itself when its whole goes is a new
                // thing of its own, and can take the place that another had
                // among the newest or as the last. Nothing else may change.
                prop_assert!(outlived, "second thoughts: {going:?} of {world:#?}");
                for (name, going) in &going {
                    let repository = &world.repositories[name];
                    for digest in going.all().iter() {
                        let mut above = oracle::listed_by(repository, digest);
                        above.extend(oracle::subjects(repository, digest));
                        let then = before[&format!("{name}@{digest}")];
                        prop_assert!(
                            !above.is_empty() || matches!(then, "newest" | "last_image" | "may_be_part_of_archived"),
                            "{digest} stayed as {then}"
                        );
                    }
                }
            }
            before = Some(codes(&plan));
            outlived = false;
            for (name, going) in &going {
                let repository = world.repositories.get_mut(name).unwrap();
                let all = going.all();
                for digest in repository.images.keys().filter(|digest| !all.contains(*digest)) {
                    let mut above = oracle::listed_by(repository, digest);
                    above.extend(oracle::subjects(repository, digest));
                    outlived |= !above.is_disjoint(&all);
                }
                let closed = |image: &Image| image.index && image.storage != Storage::Standard;
                outlived |= going.deleted.iter().any(|digest| closed(&repository.images[digest]));
                let repository = Arc::make_mut(repository);
                repository.images.retain(|digest, _| !going.deleted.contains(digest));
                for digest in &going.archived {
                    let image = repository.images.get_mut(digest).unwrap();
                    image.storage = Storage::Archived { since: Some(now()) };
                    image.children = vec![];
                }
            }
        }
        prop_assert!(quiet, "never comes to rest");
    }

    #[test]
    fn a_run_keeps_to_its_limits_and_tells_what_it_did(
        policy in policy(), world in world(), gaps in gaps(),
        failing in prop::collection::btree_set((0..2_usize, 0..MOST_IMAGES), 0..3),
    ) {
        let failing = failing.into_iter().map(|(of, n)| digest(of, n)).collect();
        let cloud = Rc::new(RefCell::new(Cloud {
            world: world.clone(),
            gaps: gaps.clone(),
            failing,
            ..Cloud::default()
        }));
        let hands = Hands::new(&cloud);
        let run = block_on(hands.run(&document(&policy), now())).unwrap();

        let cloud = cloud.borrow();
        let report = &run.report;
        let planned = going(&plan_of(&policy, &world, &gaps));
        let mut gone: BTreeMap<String, Going> = BTreeMap::new();
        for (name, digest) in &cloud.deleted {
            let going = gone.entry(name.clone()).or_default();
            prop_assert!(going.deleted.insert(digest.clone()));
        }
        for (name, digest) in &cloud.archived {
            let going = gone.entry(name.clone()).or_default();
            prop_assert!(going.archived.insert(digest.clone()));
        }
        for (name, gone) in &gone {
            let before = &world.repositories[name];
            prop_assert!(gone.all().is_disjoint(&untouchable(&policy, &world, &gaps, name)));
            let condemned = planned.get(name).map(|going| &going.deleted).unwrap();
            prop_assert!(
                no_part_without_its_whole(&policy, &world, name, gone, condemned),
                "{gone:?} of {before:#?}"
            );
            let most = policy.limits.max_deletes_per_repository as usize;
            prop_assert!(gone.all().len() <= most);
            let serves = |image: &&Image| image.storage == Storage::Standard;
            let served = before.images.values().filter(serves).count();
            let serving = cloud.world.repositories[name].images.values().filter(serves).count();
            let floor = policy.limits.keep_images_at_least as usize;
            prop_assert!(serving >= floor || serving == served);
        }
        let done = cloud.deleted.len() + cloud.archived.len();
        prop_assert!(done <= policy.limits.max_deletes_per_run as usize);
        prop_assert_eq!(report.summary.done, done);

        // Every action of the plan has ended, and is achieved exactly if the
        // report says that it is done.
        let outcomes: BTreeMap<&str, ActionOutcome> = report
            .actions
            .iter()
            .map(|line| (line.resource.as_str(), line.outcome))
            .collect();
        for action in run.planned() {
            let view = ImagePruning::view(action);
            let done = matches!(
                outcomes[view.resource.as_str()],
                ActionOutcome::Done | ActionOutcome::AlreadyDone
            );
            let complete = cloud.world.repositories[&view.unit].complete;
            let shows = complete || matches!(action, Action::ArchiveImage(_));
            prop_assert_eq!(ImagePruning::achieved(action, &cloud.world), done && shows);
            prop_assert!(!ImagePruning::achieved(action, &world));
        }
        if !gaps.is_empty() {
            prop_assert!(!matches!(report.status, Status::Applied | Status::NothingToDo));
        }
        if report.summary.failed > 0 {
            prop_assert!(matches!(report.status, Status::Failed | Status::Partial));
        }
    }
}
