//! image-pruning over a registry and a cluster: what is true there, and how many
//! calls a run needs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Value, json};

use crate::ecr::Kind;
use crate::scenario::{Truth, now, pages};

/// `in_use.revisions_per_family` of the policy under measurement.
const REVISIONS_PER_FAMILY: usize = 5;

/// `limits.max_deletes_per_repository` of the policy, its most.
const MAX_DELETES_PER_REPOSITORY: usize = 10_000;

/// A registry, and a cluster that uses it.
#[derive(Clone, Debug)]
pub(crate) struct Pruning {
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

impl Default for Pruning {
    fn default() -> Self {
        Self {
            repositories: 20,
            images: 250,
            platforms: 1,
            services: 10,
            tasks_each: 2,
            revisions_each: 5,
            keep_newest: 100,
            apply: false,
            now: now(),
        }
    }
}

impl Pruning {
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
            left: observed - if self.apply { planned } else { 0 },
        }
    }

    /// The calls that the run makes, by operation.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, usize> {
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
        BTreeMap::from([
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
        ])
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
