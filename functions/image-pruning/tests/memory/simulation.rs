//! Half a year of a company that pushes, deploys, scales to zero, rolls back
//! and retags every day, with a prune every night that is killed or doubled
//! now and then. At no moment is an image missing that somebody needs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use image_pruning::{
    Digest, Image, InUse, Override, Pin, PruningPolicy, RemoveBy, Repository, Retention, Use, User,
    UserKind, World,
};
use jiff::{SignedDuration, Timestamp};
use steward::policy::{Period, PolicyDocument, Selection};
use steward::report::Status;

use crate::cloud::{Cloud, Hands, Shared, block_on, document};
use crate::oracle;

const ROLLBACKS: usize = 3;

/// Chance that can be repeated: "splitmix64".
struct Chance(Cell<u64>);

impl Chance {
    fn below(&self, bound: usize) -> usize {
        let seed = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(seed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % bound
    }

    fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn turns(&self) -> Vec<u8> {
        (0..7)
            .map(|_| u8::try_from(self.below(4)).unwrap())
            .collect()
    }
}

/// A service of Amazon ECS, which runs what its tag named when it was deployed.
#[derive(Clone, Debug)]
struct Service {
    repository: &'static str,
    /// Tasks that are wanted; at zero nothing but the deployment tells what
    /// the service would run.
    wanted: usize,
    running: Digest,
    /// What was deployed, newest last.
    deployed: Vec<Digest>,
    /// Whether its deployments have revisions, which tell their digests.
    /// Those made before October 2024 have none.
    has_revisions: bool,
}

impl Service {
    /// What must be there: what runs or would run, and, where anybody can know
    /// it, what can be rolled back to.
    fn needs(&self) -> BTreeSet<Digest> {
        let rollbacks = self.deployed.iter().rev().take(ROLLBACKS);
        let mut needs: BTreeSet<Digest> =
            rollbacks.filter(|_| self.has_revisions).cloned().collect();
        needs.insert(self.running.clone());
        needs
    }
}

struct Company {
    cloud: Shared,
    services: RefCell<Vec<Service>>,
    now: Cell<Timestamp>,
    builds: Cell<u64>,
    chance: Chance,
}

impl Company {
    /// Two services, one of them in a repository where nothing but the moving
    /// tag names images, and whose deployment is too old to have a revision.
    fn new(seed: u64) -> Self {
        let company = Self {
            cloud: Rc::new(RefCell::new(Cloud::default())),
            services: RefCell::default(),
            now: Cell::new("2026-01-01T00:00:00Z".parse().unwrap()),
            builds: Cell::new(0),
            chance: Chance(Cell::new(seed)),
        };
        for (repository, has_revisions) in [("shop/web", true), ("shop/legacy", false)] {
            company.cloud.borrow_mut().world.repositories.insert(
                repository.to_owned(),
                Repository {
                    complete: true,
                    ..Repository::default()
                }
                .into(),
            );
            let running = company.build(repository);
            company.tag(repository, &running, "stable");
            company.services.borrow_mut().push(Service {
                repository,
                wanted: 2,
                deployed: vec![running.clone()],
                running,
                has_revisions,
            });
        }
        company.tell();
        company
    }

    fn push(&self, repository: &str, image: Image) -> Digest {
        let number = self.builds.get() + 1;
        self.builds.set(number);
        let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let digest = Digest::new(format!("sha256:{scattered:016x}{number:048x}"));
        let image = Image {
            pushed_at: Some(self.now.get()),
            ..image
        };
        let mut cloud = self.cloud.borrow_mut();
        let repository = cloud.world.repositories.get_mut(repository).unwrap();
        Arc::make_mut(repository)
            .images
            .insert(digest.clone(), image);
        digest
    }

    /// Two platforms, an attestation, the index over them, and sometimes a
    /// signature of one kind or the other.
    fn build(&self, repository: &str) -> Digest {
        let children: Vec<Digest> = (0..3)
            .map(|_| self.push(repository, Image::default()))
            .collect();
        let index = self.push(
            repository,
            Image {
                children,
                ..Image::default()
            },
        );
        if repository != "shop/legacy" {
            self.tag(repository, &index, &format!("build-{}", self.builds.get()));
        }
        match self.chance.below(3) {
            0 => {
                let subject = Some(index.clone());
                self.push(
                    repository,
                    Image {
                        subject,
                        ..Image::default()
                    },
                );
            }
            1 => {
                let signature = self.push(repository, Image::default());
                let tag = format!("{}.sig", index.as_str().replace(':', "-"));
                self.tag(repository, &signature, &tag);
            }
            _ => {}
        }
        index
    }

    /// Moves a tag, as a push does.
    fn tag(&self, repository: &str, to: &Digest, tag: &str) {
        let mut cloud = self.cloud.borrow_mut();
        let repository = cloud.world.repositories.get_mut(repository).unwrap();
        let images = &mut Arc::make_mut(repository).images;
        for image in images.values_mut() {
            image.tags.retain(|other| other != tag);
        }
        let image = images.get_mut(to).unwrap();
        image.tags.push(tag.to_owned());
        image.tags.sort();
    }

    fn deploy(&self, service: usize, digest: &Digest) {
        let mut services = self.services.borrow_mut();
        let service = &mut services[service];
        service.running = digest.clone();
        service.deployed.push(digest.clone());
        drop(services);
        self.tell();
    }

    /// Makes the users of images what Amazon ECS would tell of the services.
    fn tell(&self) {
        let mut uses = Vec::new();
        for (n, service) in self.services.borrow().iter().enumerate() {
            let mut add = |kind, pin| {
                uses.push(Use {
                    repository: service.repository.to_owned(),
                    pin,
                    by: User {
                        kind,
                        name: format!("service {n}"),
                    },
                });
            };
            if service.wanted > 0 {
                add(UserKind::Task, Pin::Digest(service.running.clone()));
            }
            if service.has_revisions {
                add(UserKind::Deployment, Pin::Digest(service.running.clone()));
                for digest in service.deployed.iter().rev().take(ROLLBACKS) {
                    add(UserKind::RollbackTarget, Pin::Digest(digest.clone()));
                }
            } else {
                add(UserKind::Deployment, Pin::WasTag("stable".to_owned()));
            }
        }
        self.cloud.borrow_mut().world.uses = uses;
    }

    /// Everything that is needed is there, with all its parts.
    fn check(&self) {
        let cloud = self.cloud.borrow();
        for service in self.services.borrow().iter() {
            let images = &cloud.world.repositories[service.repository].images;
            for digest in service.needs() {
                let Some(image) = images.get(&digest) else {
                    panic!("{}: {service:?} has lost {digest}", self.now.get());
                };
                assert!(image.can_be_pulled(), "{service:?} cannot pull {digest}");
                for child in &image.children {
                    let there = images.get(child).is_some_and(Image::can_be_pulled);
                    assert!(there, "{service:?} has lost a part");
                }
            }
        }
    }

    /// One thing that people or pipelines do.
    fn event(&self) {
        let n = self.chance.below(self.services.borrow().len());
        let service = self.services.borrow()[n].clone();
        let repository = service.repository;
        match self.chance.below(8) {
            0..3 => {
                let digest = self.build(repository);
                self.tag(repository, &digest, "stable");
                self.deploy(n, &digest);
            }
            3 => {
                // Built and tagged, and deployed by nobody: a tag that moves
                // on while the service runs what it named before.
                let digest = self.build(repository);
                self.tag(repository, &digest, "stable");
            }
            4 => {
                self.services.borrow_mut()[n].wanted = 0;
                self.tell();
            }
            5 => {
                self.services.borrow_mut()[n].wanted = 1 + self.chance.below(4);
                self.tell();
            }
            6 if service.has_revisions => {
                let targets = service.deployed.len().min(ROLLBACKS);
                let back = 1 + self.chance.below(targets);
                let target = service.deployed[service.deployed.len() - back].clone();
                self.deploy(n, &target);
            }
            _ => self.deploy_anything(n, repository),
        }
    }

    /// Somebody deploys an image of long ago by its tag, if it is still there.
    fn deploy_anything(&self, service: usize, repository: &str) {
        // What is deployed in the instant between the last look and the
        // deletion, no one can save: AWS has no condition for a deletion.
        if self.cloud.borrow().deleting > 0 {
            return;
        }
        let tagged: Vec<Digest> = self.cloud.borrow().world.repositories[repository]
            .images
            .iter()
            .filter(|(_, image)| image.tags.iter().any(|tag| !tag.starts_with("sha256-")))
            .filter(|(_, image)| image.can_be_pulled())
            .map(|(digest, _)| digest.clone())
            .collect();
        let digest = tagged[self.chance.below(tagged.len())].clone();
        self.deploy(service, &digest);
    }

    async fn day(&self) {
        for _ in 0..4 {
            self.now.set(self.now.get() + SignedDuration::from_hours(4));
            self.event();
            self.check();
        }
        self.now.set(self.now.get() + SignedDuration::from_hours(8));
    }

    /// One prune or two at once, whole or killed, while the pipelines go on.
    async fn night(&self, policy: &PolicyDocument<PruningPolicy>) {
        let hands = || {
            let hands = Hands::new(&self.cloud).with_turns(self.chance.turns());
            if self.chance.one_in(3) {
                hands.cut_at(1 + self.chance.below(12))
            } else {
                hands
            }
        };
        let (one, two) = (hands(), hands());
        let second = self.chance.one_in(4);
        let over = Cell::new(false);
        let runs = async {
            let other = async {
                match second {
                    true => two.run(policy, self.now.get()).await,
                    false => None,
                }
            };
            let (one, other) = tokio::join!(one.run(policy, self.now.get()), other);
            for run in [one, other].into_iter().flatten() {
                assert_eq!(run.report.summary.failed, 0, "{:?}", run.report);
                assert!(
                    matches!(
                        run.report.status,
                        Status::Applied | Status::NothingToDo | Status::Partial
                    ),
                    "{:?}",
                    run.report.refusals
                );
            }
            over.set(true);
        };
        let life = async {
            while !over.get() {
                if self.chance.one_in(10) {
                    self.event();
                }
                self.check();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(runs, life);
        self.check();
    }

    fn count(&self, repository: &str) -> usize {
        self.cloud.borrow().world.repositories[repository]
            .images
            .len()
    }
}

fn policy() -> PolicyDocument<PruningPolicy> {
    document(&PruningPolicy {
        repositories: Some(Selection::everything()),
        retention: Retention {
            keep_newest: 5,
            keep_younger_than: Period::days(7),
            remove_untagged_after: Period::days(2),
            ..Retention::default()
        },
        in_use: InUse {
            rollback_deployments: u32::try_from(ROLLBACKS).unwrap(),
            ..InUse::default()
        },
        // When the old service gets its first revision, nearly all that was
        // kept for want of one goes at once.
        overrides: vec![Override {
            repositories: Selection {
                include: vec!["shop/legacy".to_owned()],
                exclude: vec![],
            },
            retention: None,
            max_deletes_per_repository: None,
            max_delete_share_percent: Some(100),
        }],
        ..PruningPolicy::default()
    })
}

#[test]
fn half_a_year_of_every_day_life_loses_nothing_and_stays_bounded() {
    const WEEKS: u32 = 26;
    let policy = policy();
    for seed in [1, 2, 3] {
        let company = Company::new(seed);
        let started = Instant::now();
        block_on(async {
            for week in 0..WEEKS {
                for _ in 0..7 {
                    company.day().await;
                    company.night(&policy).await;
                }
                if week == WEEKS / 2 {
                    assert!(
                        company.count("shop/legacy") > 150,
                        "without a revision everything untagged is kept"
                    );
                    company.services.borrow_mut()[1].has_revisions = true;
                    let running = company.services.borrow()[1].running.clone();
                    company.deploy(1, &running);
                }
                // At most five builds a day with the nights, kept for a week,
                // five manifests each, and a few that are kept for longer.
                if week >= 3 {
                    assert!(company.count("shop/web") < 8 * 5 * 5 + 60);
                }
                if week > WEEKS / 2 + 2 {
                    assert!(company.count("shop/legacy") < 8 * 5 * 5 + 60);
                }
            }
        });
        let deleted = company.cloud.borrow().deleted.len();
        let different: BTreeSet<_> = company.cloud.borrow().deleted.iter().cloned().collect();
        assert_eq!(different.len(), deleted, "an image was deleted twice");
        assert!(deleted > 500, "only {deleted} images went in half a year");
        println!(
            "seed {seed}: {:.1} ms per week, {deleted} of {} manifests deleted, {} and {} left",
            started.elapsed().as_secs_f64() * 1000.0 / f64::from(WEEKS),
            company.builds.get(),
            company.count("shop/web"),
            company.count("shop/legacy"),
        );
    }
}

/// The same, but what goes is archived first, and deleted 90 days later.
fn archiving() -> PolicyDocument<PruningPolicy> {
    let mut policy = policy().policy().clone();
    policy.retention.remove_by = RemoveBy::Archive;
    policy.retention.delete_archived_after = Some(Period::days(90));
    // After months in which everything was archived, nearly all is in there.
    policy.limits.max_delete_share_percent = 100;
    document(&policy)
}

#[test]
fn what_is_archived_every_night_is_deleted_in_the_end_and_nothing_stays_behind() {
    let policy = archiving();
    for seed in [4, 5] {
        let company = Company::new(seed);
        company.services.borrow_mut()[1].has_revisions = true;
        company.tell();
        block_on(async {
            for _ in 0..8 * 7 {
                company.day().await;
                company.night(&policy).await;
            }
        });
        let archived = company.cloud.borrow().archived.len();
        assert!(archived > 200, "only {archived} images were archived");
        assert_eq!(company.cloud.borrow().deleted.len(), 0);

        // Nobody builds any more, and time goes by.
        block_on(async {
            for _ in 0..200 {
                let next = company.now.get() + SignedDuration::from_hours(24);
                company.now.set(next);
                let hands = Hands::new(&company.cloud);
                let report = hands.run(&policy, next).await.unwrap().report;
                assert_eq!(report.summary.failed, 0, "{report:?}");
                company.check();
            }
        });
        let cloud = company.cloud.borrow();
        for (name, repository) in &cloud.world.repositories {
            let in_use = oracle::in_use(&cloud.world, name);
            for (digest, image) in &repository.images {
                assert!(
                    image.can_be_pulled(),
                    "{digest} was left in the archive of {name}: {image:?}"
                );
                let kept = in_use.contains(digest) || !image.tags.is_empty();
                let part = !oracle::listed_by(repository, digest).is_empty()
                    || !oracle::subjects(repository, digest).is_empty();
                assert!(
                    kept || part,
                    "{digest} was left behind in {name}: {image:?}"
                );
            }
        }
        assert!(cloud.deleted.len() >= archived, "{}", cloud.deleted.len());
    }
}

#[test]
fn an_archiving_run_that_is_killed_at_any_step_is_completed_by_the_next() {
    let (world, now) = neglected();
    let policy = archiving();
    let storages = |cloud: &Shared| -> BTreeSet<(Digest, bool)> {
        let cloud = cloud.borrow();
        let images = cloud.world.repositories.values().flat_map(|r| &r.images);
        images
            .map(|(digest, image)| (digest.clone(), image.can_be_pulled()))
            .collect()
    };
    let clean = cloud_of(&world);
    let hands = Hands::new(&clean);
    let report = block_on(hands.run(&policy, now)).unwrap().report;
    assert_eq!(report.status, Status::Applied);
    assert!(report.summary.done > 100, "{:?}", report.summary);
    for step in 1..=hands.steps() {
        let cloud = cloud_of(&world);
        let killed = block_on(Hands::new(&cloud).cut_at(step).run(&policy, now));
        assert!(killed.is_none(), "step {step} was not reached");
        let next = block_on(Hands::new(&cloud).run(&policy, now)).unwrap();
        assert_eq!(next.report.summary.failed, 0);
        assert_eq!(storages(&cloud), storages(&clean), "killed at step {step}");
        let again = block_on(Hands::new(&cloud).run(&policy, now)).unwrap();
        assert_eq!(again.report.status, Status::NothingToDo, "step {step}");
    }
}

/// A registry after some weeks without any prune.
fn neglected() -> (World, Timestamp) {
    let company = Company::new(7);
    company.services.borrow_mut()[1].has_revisions = true;
    company.tell();
    block_on(async {
        for _ in 0..28 {
            company.day().await;
        }
    });
    let world = company.cloud.borrow().world.clone();
    (world, company.now.get())
}

fn cloud_of(world: &World) -> Shared {
    Rc::new(RefCell::new(Cloud {
        world: world.clone(),
        ..Cloud::default()
    }))
}

fn left(cloud: &Shared) -> BTreeSet<(String, Digest)> {
    let cloud = cloud.borrow();
    let repositories = cloud.world.repositories.iter();
    repositories
        .flat_map(|(name, repository)| {
            let digests = repository.images.keys();
            digests.map(move |digest| (name.clone(), digest.clone()))
        })
        .collect()
}

#[test]
fn a_run_that_is_killed_at_any_step_is_completed_by_the_next() {
    let (world, now) = neglected();
    let policy = policy();
    let clean = cloud_of(&world);
    let hands = Hands::new(&clean);
    let report = block_on(hands.run(&policy, now)).unwrap().report;
    assert_eq!(report.status, Status::Applied);
    assert!(report.summary.done > 100, "{:?}", report.summary);
    let steps = hands.steps();
    assert!(steps > 10, "{steps}");
    for step in 1..=steps {
        let cloud = cloud_of(&world);
        let killed = block_on(Hands::new(&cloud).cut_at(step).run(&policy, now));
        assert!(killed.is_none(), "step {step} was not reached");
        // What is left is whole, whenever it was.
        for (name, digest) in &cloud.borrow().deleted {
            let repository = &cloud.borrow().world.repositories[name];
            assert_eq!(oracle::listed_by(repository, digest), BTreeSet::new());
            assert!(!oracle::in_use(&world, name).contains(digest));
        }
        let next = block_on(Hands::new(&cloud).run(&policy, now)).unwrap();
        assert_eq!(next.report.summary.failed, 0);
        assert_eq!(left(&cloud), left(&clean), "killed at step {step}");
        let again = block_on(Hands::new(&cloud).run(&policy, now)).unwrap();
        assert_eq!(again.report.status, Status::NothingToDo, "step {step}");
    }
}

#[test]
fn two_runs_in_any_order_of_steps_do_what_one_does() {
    let (world, now) = neglected();
    let policy = policy();
    let clean = cloud_of(&world);
    block_on(Hands::new(&clean).run(&policy, now)).unwrap();
    let chance = Chance(Cell::new(11));
    for _ in 0..100 {
        let cloud = cloud_of(&world);
        let (one, two) = (
            Hands::new(&cloud).with_turns(chance.turns()),
            Hands::new(&cloud).with_turns(chance.turns()),
        );
        let (one, two) =
            block_on(async { tokio::join!(one.run(&policy, now), two.run(&policy, now)) });
        let (one, two) = (one.unwrap().report, two.unwrap().report);
        assert_eq!(left(&cloud), left(&clean));
        assert_eq!(one.summary.failed + two.summary.failed, 0);
        let done = one.summary.done + two.summary.done;
        assert_eq!(done, cloud.borrow().deleted.len());
        assert_eq!(done, left(&cloud_of(&world)).len() - left(&clean).len());
    }
}
