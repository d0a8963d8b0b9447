//! What image-pruning knows about the world: repositories with their images,
//! and who uses which. No SDK types.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::sync::Arc;

use jiff::Timestamp;
use steward::hold::Hold;

pub use crate::reference::Digest;

/// The registry of one account and Region, and everything that uses it.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Whose registry it is (12 digits).
    pub account: String,
    /// The selected repositories by name.
    pub repositories: BTreeMap<String, Arc<Repository>>,
    /// Who uses which image, in every repository.
    pub uses: Vec<Use>,
    /// Whether there are repositories that are not among these.
    pub more_repositories: bool,
}

/// One repository.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// A person's word that nothing in it is touched.
    pub hold: Option<Hold>,
    /// Every image by its digest.
    pub images: BTreeMap<Digest, Image>,
    /// Whether every page was read; when not, an absent image may exist.
    pub complete: bool,
    /// Whether a tag, once pushed, always names the same image.
    pub tags_stay: bool,
    /// Who outside this account and Region may pull from it.
    pub outsiders: BTreeSet<Outsider>,
}

/// Somebody outside this account and Region who may pull from a repository, by
/// its policy, the registry's policy, or a copy that is kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outsider {
    /// Its account (12 digits); `None` when nothing tells whose it is, as with
    /// the principal `*`.
    pub account: Option<String>,
    /// Its Region, where that is told as well.
    pub region: Option<String>,
    /// What says so, for a person to look it up.
    pub words: String,
}

/// In which storage class an image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// The standard one, from which it can be pulled.
    #[default]
    Standard,
    /// The archive: it can be restored within some 20 minutes, and until then
    /// neither be pulled nor read (Amazon ECR User Guide, "Archiving an image").
    Archived {
        /// `lastArchivedAt`; `None` when ECR does not say.
        since: Option<Timestamp>,
    },
    /// On its way out of the archive, or in a state that is new to us.
    Moving,
}

impl Repository {
    /// Whether a tag that was looked up once still tells which image it was: it
    /// stays where it is, and it is there.
    pub(crate) fn tells(&self, tag: &str) -> bool {
        let named = |image: &Image| image.tags.iter().any(|t| t == tag);
        self.tags_stay && self.images.values().any(named)
    }
}

/// One image, index or other artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Its tags, sorted; none for an untagged image.
    pub tags: Vec<String>,
    /// When it was pushed; `None` when ECR does not say.
    pub pushed_at: Option<Timestamp>,
    /// When it was last restored from the archive, if it ever was.
    pub restored_at: Option<Timestamp>,
    /// When it was last pulled, as far as ECR has recorded it: a later pull can
    /// be missing for 24 hours, and `None` is not "never".
    pub last_pulled_at: Option<Timestamp>,
    /// As ECR counts it: compressed; for an index the largest child.
    pub size_bytes: Option<u64>,
    /// The images that an index lists; empty for anything else, and for an
    /// archived index, which cannot be read.
    pub children: Vec<Digest>,
    /// Whether it is an index, or may be one.
    pub index: bool,
    /// What a referrer (signature, attestation, SBOM) is about.
    pub subject: Option<Digest>,
    /// In which storage class it is.
    pub storage: Storage,
}

impl Image {
    /// Whether it can be pulled as it is.
    pub fn can_be_pulled(&self) -> bool {
        self.storage == Storage::Standard
    }

    /// Whether it is in the archive, and not on its way out of it.
    pub(crate) fn is_archived(&self) -> bool {
        matches!(self.storage, Storage::Archived { .. })
    }

    /// Whether it lists images that are not known, because it cannot be read.
    pub(crate) fn is_closed_index(&self) -> bool {
        self.index && !self.can_be_pulled()
    }

    /// From when on its age counts: a restored image is as new as a pushed one
    /// (Amazon ECR User Guide, "Restoring an image"). `None` when ECR does not
    /// say when it was pushed.
    pub(crate) fn arrived_at(&self) -> Option<Timestamp> {
        let pushed_at = self.pushed_at?;
        Some(self.restored_at.map_or(pushed_at, |at| at.max(pushed_at)))
    }

    /// What it is about: by the OCI `subject`, and by tags of attachments. One
    /// SBOM can be about several images of the same content.
    pub fn refers_to(&self) -> impl Iterator<Item = Digest> {
        self.subject
            .clone()
            .into_iter()
            .chain(self.attached_by_tag())
    }

    /// What it is about by its tags alone, which need not be in its repository:
    /// cosign can keep signatures apart (`COSIGN_REPOSITORY`).
    pub fn attached_by_tag(&self) -> impl Iterator<Item = Digest> {
        self.tags
            .iter()
            .filter_map(|tag| Digest::of_attachment_tag(tag))
    }

    /// Whether a person gave it a name, as opposed to a tool that attached it
    /// to something.
    pub fn named(&self) -> bool {
        self.tags
            .iter()
            .any(|tag| Digest::of_attachment_tag(tag).is_none())
    }
}

/// Somebody uses an image of a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The repository.
    pub repository: String,
    /// Which image of it.
    pub pin: Pin,
    /// Who uses it.
    pub by: User,
}

/// How exactly it is known which image is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pin {
    /// Exactly this.
    Digest(Digest),
    /// Whatever the tag points to when it is needed.
    Tag(String),
    /// What the tag pointed to when it was deployed, and no one knows any more:
    /// unless tags stay where they are, it may be any image.
    WasTag(String),
}

/// What kind of thing uses an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserKind {
    /// A running or pending ECS task.
    Task,
    /// An ECS task that stopped within the last hour or so.
    StoppedTask,
    /// A deployment of an ECS service, also one that is scaled to zero.
    Deployment,
    /// A deployment of an ECS service that could be rolled back to.
    RollbackTarget,
    /// A task set of an ECS service with another deployment controller.
    TaskSet,
    /// An ECS managed daemon, or what it can be rolled back to.
    Daemon,
    /// A rule of EventBridge that starts tasks.
    EventRule,
    /// A schedule of EventBridge Scheduler that starts tasks.
    Schedule,
    /// A recent revision of an active task-definition family.
    TaskDefinition,
    /// A version of a Lambda function.
    LambdaFunction,
    /// A restore point below `in_use.restore_points` of the policy.
    RestorePoint,
    /// A recipe of an environment, in the same places.
    Recipe,
    /// `in_use.references` of the policy.
    PolicyReference,
}

impl UserKind {
    /// The reason code of what it keeps.
    pub fn code(self) -> &'static str {
        match self {
            Self::Task => "in_use_by_task",
            Self::StoppedTask => "in_use_by_stopped_task",
            Self::Deployment => "in_use_by_deployment",
            Self::RollbackTarget => "rollback_target",
            Self::TaskSet => "in_use_by_task_set",
            Self::Daemon => "in_use_by_daemon",
            Self::EventRule => "started_by_rule",
            Self::Schedule => "started_by_schedule",
            Self::TaskDefinition => "in_task_definition",
            Self::LambdaFunction => "in_use_by_lambda_function",
            Self::RestorePoint => "named_by_restore_point",
            Self::Recipe => "named_by_recipe",
            Self::PolicyReference => "referenced_by_policy",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Task => "runs in task",
            Self::StoppedTask => "ran in recently stopped task",
            Self::Deployment => "deployed by service",
            Self::RollbackTarget => "rollback target of service",
            Self::TaskSet => "in a task set of service",
            Self::Daemon => "deployed by daemon",
            Self::EventRule => "started by rule",
            Self::Schedule => "started by schedule",
            Self::TaskDefinition => "named by task definition",
            Self::LambdaFunction => "used by Lambda function",
            Self::RestorePoint => "named by restore point",
            Self::Recipe => "named by recipe",
            Self::PolicyReference => "named by the policy as",
        }
    }
}

/// Who uses an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// What it is.
    pub kind: UserKind,
    /// Its name, as a person would look for it.
    pub name: String,
}

impl Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.words(), self.name)
    }
}
