//! What image-pruning is told. `policy.example.yaml` shows every key with its
//! default.

mod elsewhere;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward::engine::UnitLimits;
use steward::guard;
use steward::policy::{Notify, Period, Policy, Problems, Selection};

pub use self::elsewhere::Elsewhere;
use crate::reference;
use crate::world::{Outsider, Repository};

/// No image that was pushed less than this ago is ever deleted, whatever the
/// policy says: a build may still be on its way to its first deployment.
pub const NEVER_SOONER_THAN: Period = Period::hours(24);

/// The shortest time by which pulls may be judged: the grain of a recorded pull
/// time (24 hours: Amazon ECR API Reference, `ImageDetail`) on top of
/// [`NEVER_SOONER_THAN`].
pub const PULLS_TELL_AFTER: Period = Period::hours(48);

/// An archived image is never deleted sooner than this: AWS bills 90 days in the
/// archive at least (Amazon ECR User Guide, "Archiving an image").
pub const ARCHIVED_AT_LEAST: Period = Period::days(90);

/// The policy of image-pruning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PruningPolicy {
    /// The repositories that are pruned. Required for apply; `"*"` is an
    /// explicit choice. Without it, a plan looks at all of them.
    pub repositories: Option<Selection>,
    /// What is kept, where no override says otherwise.
    pub retention: Retention,
    /// Other retention or limits for some repositories. The first entry that
    /// selects a repository is the one that counts.
    pub overrides: Vec<Override>,
    /// Who counts as a user of an image.
    pub in_use: InUse,
    /// How much one run may delete.
    pub limits: Limits,
    /// What a run tells people.
    pub notify: Notify,
}

/// What is kept of a repository although nothing uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// The newest tagged images by push time, used ones included. 1 to 10000.
    pub keep_newest: u32,
    /// Tagged images pushed within this time. 1d to 3650d.
    pub keep_younger_than: Period,
    /// Images with such a tag.
    pub keep_tags: Tags,
    /// Untagged images go when they were pushed longer ago than this. 1d to
    /// 3650d.
    pub remove_untagged_after: Period,
    /// Tagged images whose last recorded pull is longer ago than this, and that
    /// were pushed longer ago too, go, `keep_younger_than` or not; those pulled
    /// within it stay. Of an image without a recorded pull only its age counts.
    /// Null: pulls say nothing. 2d to 3650d.
    pub remove_unpulled_after: Option<Period>,
    /// What becomes of images that go: deleted, or moved to the archive storage
    /// class, from which they can be restored.
    pub remove_by: RemoveBy,
    /// Unused images that have been in the archive for longer than this are
    /// deleted, whoever archived them. Null: never. 90d to 3650d.
    pub delete_archived_after: Option<Period>,
}

/// What becomes of an image that goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemoveBy {
    /// It is deleted for good.
    #[default]
    Delete,
    /// It is moved to the archive storage class: nobody can pull it, and it can
    /// be restored.
    Archive,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep_newest: 20,
            keep_younger_than: Period::days(30),
            keep_tags: Tags::default(),
            remove_untagged_after: Period::days(14),
            remove_unpulled_after: None,
            remove_by: RemoveBy::Delete,
            delete_archived_after: None,
        }
    }
}

/// Tags selected by globs; unlike [`Selection`] it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tags {
    /// A tag is selected when one of these matches.
    pub include: Vec<String>,
    /// And none of these does.
    pub exclude: Vec<String>,
}

impl Tags {
    /// Whether the tag is selected.
    pub fn selects(&self, tag: &str) -> bool {
        let Self { include, exclude } = self.clone();
        Selection { include, exclude }.selects(tag)
    }
}

/// Another retention or other limits for some repositories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Which repositories.
    pub repositories: Selection,
    /// Replaces the general retention as a whole: keys left out have the
    /// documented defaults, not the general values.
    #[serde(default)]
    pub retention: Option<Retention>,
    /// Replaces `limits.max_deletes_per_repository`.
    #[serde(default)]
    pub max_deletes_per_repository: Option<u32>,
    /// Replaces `limits.max_delete_share_percent`.
    #[serde(default)]
    pub max_delete_share_percent: Option<u8>,
}

/// Who counts as a user of an image. Running, pending and recently stopped
/// tasks, every deployment of every service, task sets, managed daemons, rules
/// and schedules that start tasks, and Lambda functions always do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InUse {
    /// The newest revisions of each active task-definition family whose images
    /// are kept: what can be started or rolled back to by hand. 1 to 100.
    pub revisions_per_family: u32,
    /// The last releases of each service before the present one whose images are
    /// kept: successful deployments that ran other images. 1 to 20.
    pub rollback_deployments: u32,
    /// Images that something uses that nobody can see here: full references, by
    /// tag or digest.
    pub references: Vec<String>,
    /// Where restore points and recipes are, `s3://BUCKET/PREFIX/`: the images
    /// that they name are kept.
    pub restore_points: Vec<String>,
    /// Other accounts and Regions whose users of images are read too.
    pub elsewhere: Vec<Elsewhere>,
    /// In repositories from which somebody may pull whom `elsewhere` does not
    /// name, images pulled within this time are kept, and those without a
    /// recorded pull that were pushed within it. 2d to 3650d.
    pub keep_pulled_within: Period,
}

impl Default for InUse {
    fn default() -> Self {
        Self {
            revisions_per_family: 5,
            rollback_deployments: 3,
            references: vec![],
            restore_points: vec![],
            elsewhere: vec![],
            keep_pulled_within: Period::days(90),
        }
    }
}

/// How much one run may delete. Images that are archived count as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most removals in one repository and run; the rest waits, oldest
    /// first. 1 to 10000.
    pub max_deletes_per_repository: u32,
    /// A repository of which more than this part would go is refused; judged
    /// when more than 10 images would. 1 to 100.
    pub max_delete_share_percent: u8,
    /// The most removals in one run; the rest waits. Repositories take turns,
    /// each with its oldest. 1 to 100000.
    pub max_deletes_per_run: u32,
    /// A repository that would be left with fewer images that can be pulled is
    /// refused. 1 to 10000.
    pub keep_images_at_least: u32,
    /// The limits that a reviewed plan file may exceed:
    /// `max_actions_per_unit`, `max_actions_per_run`, `max_share_percent`.
    pub reviewed_plan_may_exceed: BTreeSet<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_deletes_per_repository: 500,
            max_delete_share_percent: 75,
            max_deletes_per_run: 2000,
            keep_images_at_least: 1,
            reviewed_plan_may_exceed: BTreeSet::new(),
        }
    }
}

impl PruningPolicy {
    fn override_of(&self, repository: &str) -> Option<&Override> {
        self.overrides
            .iter()
            .find(|o| o.repositories.selects(repository))
    }

    /// Whether the repository is pruned.
    pub fn selects(&self, repository: &str) -> bool {
        self.repositories
            .as_ref()
            .is_none_or(|selection| selection.selects(repository))
    }

    /// Whether the policy names the repository, by more than `"*"`.
    pub fn names(&self, repository: &str) -> bool {
        let named = |pattern: &&String| !pattern.chars().all(|c| c == '*');
        self.repositories.as_ref().is_some_and(|selection| {
            let include: Vec<String> = selection.include.iter().filter(named).cloned().collect();
            let exclude = selection.exclude.clone();
            Selection { include, exclude }.selects(repository)
        })
    }

    /// Whether it can select a repository that it does not name.
    pub fn selects_unnamed(&self) -> bool {
        self.repositories.as_ref().is_none_or(|selection| {
            let all = |pattern: &String| pattern.chars().all(|c| c == '*');
            selection.include.iter().any(all)
        })
    }

    /// Somebody who may pull from a repository, and whose use of images the
    /// policy does not have looked at.
    /// A policy does not tell from which Region an account pulls, so that there
    /// the account alone has to be named.
    pub(crate) fn unnamed_outsider<'a>(
        &self,
        own_account: &str,
        repository: &'a Repository,
    ) -> Option<&'a Outsider> {
        let in_use = &self.in_use;
        let mut outsiders = repository.outsiders.iter();
        outsiders.find(|outsider| match (&outsider.account, &outsider.region) {
            (Some(account), Some(region)) => !in_use.names_consumer(own_account, account, region),
            (Some(account), None) => !in_use.names_account(account),
            (None, _) => true,
        })
    }

    /// Whether pulls are judged anywhere.
    pub(crate) fn removes_unpulled(&self) -> bool {
        let overrides = self.overrides.iter().filter_map(|o| o.retention.as_ref());
        std::iter::once(&self.retention)
            .chain(overrides)
            .any(|retention| retention.remove_unpulled_after.is_some())
    }

    /// The retention in force for a repository.
    pub fn retention_of(&self, repository: &str) -> &Retention {
        let over = self
            .override_of(repository)
            .and_then(|o| o.retention.as_ref());
        over.unwrap_or(&self.retention)
    }

    /// The limits for the engine. Those of an override are per repository, so
    /// the repositories that are there have to be named.
    pub fn limits_of(&self, repository: &str) -> UnitLimits {
        let over = self.override_of(repository);
        UnitLimits {
            max_actions: Some(
                over.and_then(|o| o.max_deletes_per_repository)
                    .unwrap_or(self.limits.max_deletes_per_repository),
            ),
            max_share_percent: Some(
                over.and_then(|o| o.max_delete_share_percent)
                    .unwrap_or(self.limits.max_delete_share_percent),
            ),
            keep_at_least: Some(self.limits.keep_images_at_least),
        }
    }
}

impl Retention {
    fn check(&self, path: &str, problems: &mut Problems) {
        let at = |key: &str| format!("{path}.{key}");
        problems.within(&at("keep_newest"), self.keep_newest, 1, 10_000);
        for (key, period) in [
            ("keep_younger_than", self.keep_younger_than),
            ("remove_untagged_after", self.remove_untagged_after),
        ] {
            problems.within(&at(key), period, NEVER_SOONER_THAN, Period::MAX);
        }
        for (key, period, least) in [
            (
                "remove_unpulled_after",
                self.remove_unpulled_after,
                PULLS_TELL_AFTER,
            ),
            (
                "delete_archived_after",
                self.delete_archived_after,
                ARCHIVED_AT_LEAST,
            ),
        ] {
            if let Some(period) = period {
                problems.within(&at(key), period, least, Period::MAX);
            }
        }
        for (key, list) in [
            ("include", &self.keep_tags.include),
            ("exclude", &self.keep_tags.exclude),
        ] {
            for (n, glob) in list
                .iter()
                .enumerate()
                .filter(|(_, glob)| glob.trim().is_empty())
            {
                problems.add(
                    &at(&format!("keep_tags.{key}[{n}]")),
                    format!("\"{glob}\""),
                    "a tag or a glob with * and ?",
                );
            }
        }
    }
}

impl Policy for PruningPolicy {
    fn check(&self, problems: &mut Problems) {
        if let Some(repositories) = &self.repositories {
            repositories.check("repositories", problems);
        }
        self.retention.check("retention", problems);
        for (n, over) in self.overrides.iter().enumerate() {
            let path = format!("overrides[{n}]");
            over.repositories
                .check(&format!("{path}.repositories"), problems);
            if let Some(retention) = &over.retention {
                retention.check(&format!("{path}.retention"), problems);
            }
            if let Some(most) = over.max_deletes_per_repository {
                problems.within(
                    &format!("{path}.max_deletes_per_repository"),
                    most,
                    1,
                    10_000,
                );
            }
            if let Some(share) = over.max_delete_share_percent {
                problems.within(&format!("{path}.max_delete_share_percent"), share, 1, 100);
            }
        }
        let InUse {
            revisions_per_family,
            rollback_deployments,
            references,
            keep_pulled_within,
            ..
        } = &self.in_use;
        problems.within(
            "in_use.keep_pulled_within",
            *keep_pulled_within,
            PULLS_TELL_AFTER,
            Period::MAX,
        );
        problems.within("in_use.revisions_per_family", *revisions_per_family, 1, 100);
        problems.within("in_use.rollback_deployments", *rollback_deployments, 1, 20);
        for (n, text) in references.iter().enumerate() {
            let path = format!("in_use.references[{n}]");
            let allowed = "ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY with :TAG or @DIGEST";
            match reference::parse(text) {
                Ok(Some(_)) => {}
                Ok(None) => problems.add(&path, format!("\"{text}\""), allowed),
                Err(error) => problems.add(&path, error, allowed),
            }
        }
        self.in_use.check_restore_points(problems);
        self.in_use.check_elsewhere(problems);
        let limits = &self.limits;
        problems.within(
            "limits.max_deletes_per_repository",
            limits.max_deletes_per_repository,
            1,
            10_000,
        );
        problems.within(
            "limits.max_delete_share_percent",
            limits.max_delete_share_percent,
            1,
            100,
        );
        problems.within(
            "limits.max_deletes_per_run",
            limits.max_deletes_per_run,
            1,
            100_000,
        );
        problems.within(
            "limits.keep_images_at_least",
            limits.keep_images_at_least,
            1,
            10_000,
        );
        let may_exceed = [
            guard::MAX_ACTIONS_PER_UNIT,
            guard::MAX_ACTIONS_PER_RUN,
            guard::MAX_SHARE_PERCENT,
        ];
        for name in limits
            .reviewed_plan_may_exceed
            .iter()
            .filter(|n| !may_exceed.contains(&n.as_str()))
        {
            let path = "limits.reviewed_plan_may_exceed";
            problems.add(path, format!("\"{name}\""), may_exceed.join(", "));
        }
        self.notify.check("notify", problems);
    }

    fn selects_targets(&self) -> bool {
        self.repositories.is_some()
    }

    fn notify(&self) -> &Notify {
        &self.notify
    }
}
