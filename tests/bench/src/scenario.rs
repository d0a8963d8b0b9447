//! The scenarios, what is true in them, and how many calls they need.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ecr::Kind;

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-central-1";

/// `in_use.revisions_per_family` of the policy under measurement.
const REVISIONS_PER_FAMILY: usize = 5;

/// What a scenario has to stay within.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// From the start of the process to its first `/next`.
    InitMs(f64),
    /// From the start of the process to its first call of AWS.
    FirstCallMs(f64),
    /// From the event to the answer.
    RunMs(f64),
    /// Of the process, user and system together.
    CpuMs(f64),
    /// Peak resident memory.
    PeakMib(f64),
    /// The run's time over the time that its longest chain of calls needs.
    OverCriticalPath(f64),
}

/// One AWS and one run over it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) repositories: usize,
    /// In each repository.
    pub(crate) images: usize,
    /// Platforms of each image; above 1 an index lists them.
    pub(crate) platforms: usize,
    pub(crate) services: usize,
    pub(crate) tasks_each: usize,
    /// Active task definitions of each service's family.
    pub(crate) revisions_each: usize,
    pub(crate) keep_newest: usize,
    pub(crate) apply: bool,
    /// Of every call.
    pub(crate) latency: Duration,
    /// Operation, calls per second, calls at once.
    pub(crate) rates: Vec<(&'static str, f64, f64)>,
    /// The share of one CPU from the first `/next` on; `None` for all of it.
    pub(crate) cpu_share: Option<f64>,
    pub(crate) targets: Vec<Target>,
    /// Unix time; image ages count from it.
    pub(crate) now: i64,
}

/// What a service uses images for. Each use is of another image, so that losing
/// one of them shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The present deployment and its tasks.
    Current,
    /// The deployment before.
    Previous,
    /// A task definition, this many revisions behind the newest.
    Definition { behind: usize },
}

/// What a report has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) observed: usize,
    pub(crate) kept: usize,
    pub(crate) planned: usize,
    pub(crate) deferred: usize,
}

impl Scenario {
    fn base(name: &'static str) -> Self {
        Self {
            name,
            repositories: 20,
            images: 250,
            platforms: 1,
            services: 10,
            tasks_each: 2,
            revisions_each: 5,
            keep_newest: 100,
            apply: false,
            latency: Duration::ZERO,
            rates: vec![],
            cpu_share: None,
            targets: vec![],
            now: now(),
        }
    }

    /// How many images belong together: an index and what it lists.
    fn group(&self) -> usize {
        if self.platforms > 1 {
            self.platforms + 1
        } else {
            1
        }
    }

    pub(crate) fn kind(&self, image: usize) -> Kind {
        match (self.group(), image % self.group()) {
            (1, _) => Kind::Single,
            (_, 0) => Kind::Index,
            _ => Kind::Child,
        }
    }

    pub(crate) fn children(&self, index: usize) -> Range<usize> {
        index + 1..self.images.min(index + self.group())
    }

    pub(crate) fn policy(&self) -> Value {
        json!({
            "version": 1,
            "repositories": {"include": ["*"]},
            "retention": {
                "keep_newest": self.keep_newest,
                "keep_younger_than": "1d",
                "remove_untagged_after": "1d",
            },
            "limits": {
                "max_deletes_per_repository": MAX_DELETES_PER_REPOSITORY,
                "max_delete_share_percent": 100,
                "max_deletes_per_run": 100_000,
            },
        })
    }

    /// Repository and image: from the oldest up, which would go first. Of an image
    /// for several platforms it is the index.
    pub(crate) fn image_of(&self, service: usize, what: Use) -> (usize, usize) {
        let slot = match what {
            Use::Current => 0,
            Use::Previous => 1,
            Use::Definition { behind } => 2 + behind,
        };
        let image = self.images - 1 - slot * self.services - service;
        (service % self.repositories, image - image % self.group())
    }

    /// Every group of images in use: by a deployment, a task or a task
    /// definition.
    fn used(&self) -> BTreeSet<(usize, usize)> {
        let definitions = (0..self.revisions_each.min(REVISIONS_PER_FAMILY))
            .map(|behind| Use::Definition { behind });
        let uses: Vec<Use> = [Use::Current, Use::Previous]
            .into_iter()
            .chain(definitions)
            .collect();
        (0..self.services)
            .flat_map(|service| uses.iter().map(move |what| self.image_of(service, *what)))
            .map(|(repository, image)| (repository, image / self.group()))
            .collect()
    }

    /// How many images of each repository stay.
    fn kept_of(&self) -> Vec<usize> {
        let groups = self.images / self.group();
        let mut kept = vec![self.keep_newest.min(groups) * self.group(); self.repositories];
        for (repository, group) in self.used() {
            if group >= self.keep_newest {
                kept[repository] += self.group();
            }
        }
        kept
    }

    pub(crate) fn truth(&self) -> Truth {
        let observed = self.repositories * self.images;
        let kept_of = self.kept_of();
        let kept = kept_of.iter().sum();
        let going = kept_of.into_iter().map(|kept| self.images - kept);
        let planned = going.map(|n| n.min(MAX_DELETES_PER_REPOSITORY)).sum();
        Truth {
            observed,
            kept,
            planned,
            deferred: observed - kept - planned,
        }
    }

    /// The calls that the run makes, by operation: the formulae of
    /// `docs/performance.md`.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, usize> {
        let pages = |n: usize, size: usize| n.div_ceil(size).max(1);
        let (repositories, services) = (self.repositories, self.services);
        let tasks = services * self.tasks_each;
        let indexes = if self.platforms > 1 {
            self.images.div_ceil(self.group())
        } else {
            0
        };
        let definitions = services * self.revisions_each;
        let described = services * self.revisions_each.min(REVISIONS_PER_FAMILY);
        // Two of each service, 20 to a call, for the ten services of a describe.
        let revisions = (2 * services).div_ceil(20);
        let batches = self.batches();
        // Who uses what is read again before deleting; what cannot change is
        // remembered: revisions and definitions.
        let readings = if batches > 0 { 2 } else { 1 };
        let switches = if self.apply { 1 + batches } else { 0 };
        let all = [
            ("ecr:DescribeRegistry", 1),
            ("ecr:GetRegistryPolicy", 1),
            ("ecr:DescribePullThroughCacheRules", 1),
            ("ecr:DescribeRepositories", pages(repositories, 1000)),
            ("ecr:GetRepositoryPolicy", repositories),
            ("ecr:GetLifecyclePolicy", repositories),
            (
                "ecr:DescribeImages",
                repositories * pages(self.images, 1000) + batches,
            ),
            ("ecr:ListTagsForResource", repositories + batches),
            ("ecr:BatchGetImage", repositories * indexes.div_ceil(100)),
            ("ecr:BatchDeleteImage", batches),
            ("ecs:ListClusters", readings),
            ("ecs:ListServices", readings * pages(services, 100)),
            ("ecs:DescribeServices", readings * services.div_ceil(10)),
            ("ecs:ListServiceDeployments", readings * services),
            ("ecs:DescribeServiceRevisions", revisions),
            ("ecs:ListDaemons", readings),
            // Running and stopped.
            ("ecs:ListTasks", readings * (pages(tasks, 100) + 1)),
            ("ecs:DescribeTasks", readings * tasks.div_ceil(100)),
            (
                "ecs:ListTaskDefinitions",
                readings * pages(definitions, 100),
            ),
            ("ecs:DescribeTaskDefinition", described),
            ("eventbridge:ListEventBuses", readings),
            ("eventbridge:ListRules", readings),
            ("scheduler:ListSchedules", readings),
            ("lambda:ListFunctions", readings),
            ("ssm:GetParameters", switches),
        ];
        all.into_iter().filter(|(_, n)| *n > 0).collect()
    }

    /// Batches of deletions: 100 images of a repository each.
    fn batches(&self) -> usize {
        if !self.apply {
            return 0;
        }
        let going = self.kept_of().into_iter().map(|kept| self.images - kept);
        going
            .map(|n| n.min(MAX_DELETES_PER_REPOSITORY).div_ceil(100))
            .sum()
    }

    /// The longest chain of calls of which each needs the answer of the one
    /// before: the pages of a repository, or the way to what a service can be
    /// rolled back to.
    pub(crate) fn critical_path(&self) -> usize {
        let indexes = usize::from(self.platforms > 1);
        let images = 1 + self.images.div_ceil(1000).max(1) + indexes;
        // Clusters, services, their description, their deployments, the revisions
        // of these.
        let services = 3 + if self.services > 0 { 2 } else { 0 };
        images.max(services)
    }
}

/// `limits.max_deletes_per_repository` of the policy, its most.
const MAX_DELETES_PER_REPOSITORY: usize = 10_000;

#[expect(
    clippy::disallowed_methods,
    reason = "the function under measurement goes by the clock"
)]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// The scenarios of the table, in its order.
pub(crate) fn all() -> Vec<Scenario> {
    use Target::{CpuMs, FirstCallMs, InitMs, OverCriticalPath, PeakMib, RunMs};
    let base = Scenario::base;
    let twenty_ms = Duration::from_millis(20);
    vec![
        Scenario {
            targets: vec![InitMs(10.0), FirstCallMs(15.0), RunMs(40.0), PeakMib(20.0)],
            ..base("20 x 250")
        },
        Scenario {
            images: 249,
            platforms: 2,
            keep_newest: 20,
            ..base("20 x 249, indexes of two platforms")
        },
        Scenario {
            apply: true,
            ..base("20 x 250, deleted")
        },
        Scenario {
            repositories: 1,
            images: 100_000,
            targets: vec![CpuMs(1000.0)],
            ..base("1 x 100,000")
        },
        Scenario {
            repositories: 100,
            images: 1000,
            targets: vec![CpuMs(1000.0)],
            ..base("100 x 1,000")
        },
        Scenario {
            latency: twenty_ms,
            targets: vec![OverCriticalPath(1.5)],
            ..base("20 x 250, 20 ms a call")
        },
        Scenario {
            repositories: 100,
            images: 1000,
            latency: twenty_ms,
            ..base("100 x 1,000, 20 ms a call")
        },
        Scenario {
            repositories: 1,
            images: 100_000,
            latency: twenty_ms,
            targets: vec![OverCriticalPath(1.5)],
            ..base("1 x 100,000, 20 ms a call")
        },
        Scenario {
            rates: vec![
                ("ecr:DescribeImages", 20.0, 10.0),
                ("ecs:DescribeTaskDefinition", 20.0, 20.0),
            ],
            ..base("20 x 250, throttled")
        },
        Scenario {
            cpu_share: Some(0.0724),
            targets: vec![RunMs(300.0)],
            ..base("20 x 250, CPU share of 128 MB")
        },
    ]
}
