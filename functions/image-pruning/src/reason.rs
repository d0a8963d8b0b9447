//! Why an image stays, waits or goes: the stable code and the sentence.

use std::fmt;

use steward::hold::Hold;
use steward::policy::Period;

use crate::policy::NEVER_SOONER_THAN;
use crate::world::{Digest, User};

/// Why an image stays, waits or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Stays: the repository is on hold.
    Held(Hold),
    /// Stays: somebody uses it.
    InUse(User),
    /// Stays: somebody uses an image whose digest is not known any more, and it
    /// could be this one.
    MayBeDeployed(User),
    /// Stays: an index whose child is in use, or the subject of one.
    HoldsUsed {
        /// What is in use.
        part: Digest,
    },
    /// Stays: a child of an index that stays.
    ChildOfKept {
        /// The index.
        index: Digest,
    },
    /// Stays: a signature, attestation or SBOM of an image that stays.
    RefersToKept {
        /// The image.
        subject: Digest,
    },
    /// Stays: a signature, attestation or SBOM whose image is, or may be, in
    /// another repository.
    SubjectElsewhere {
        /// The image.
        subject: Digest,
    },
    /// Stays: an archived index, which cannot be read, may list it.
    MayBePartOfArchived {
        /// The index.
        index: Digest,
    },
    /// Stays: an index that would be archived, and what it lists is in the
    /// archive before it.
    HoldsArchived {
        /// What is in the archive.
        part: Digest,
    },
    /// Stays: in the archive, and the policy does not say that it goes from
    /// there, or not yet.
    Archived,
    /// Stays: ECR does not say when it was pushed.
    PushTimeUnknown,
    /// Stays: pushed less than a day ago, whatever the policy says.
    JustPushed,
    /// Stays: it has a tag that the policy keeps.
    TagKept {
        /// The tag.
        tag: String,
    },
    /// Stays: somebody whom the policy does not name may pull it, and somebody
    /// pulled it, or pushed it, not long ago.
    PulledFromElsewhere {
        /// What tells of them.
        outsider: String,
        /// How long ago that may have been.
        keep_pulled_within: Period,
    },
    /// Stays: among the newest tagged images.
    Newest {
        /// How many of them are kept.
        keep_newest: u32,
    },
    /// Stays: the newest of a repository in which nothing has a tag, because a
    /// repository is never emptied.
    LastImage,
    /// Stays: pushed within the time that the policy keeps.
    Young {
        /// How long.
        keep_younger_than: Period,
    },
    /// Stays: tagged, and pulled not long ago.
    PulledRecently {
        /// How long ago that may have been.
        remove_unpulled_after: Period,
    },
    /// Stays: untagged, and not for long enough.
    UntaggedYoung {
        /// How long.
        remove_untagged_after: Period,
    },
    /// Waits: a read failed that could have shown that it is in use.
    Unseen {
        /// The read.
        read: String,
    },
    /// Goes: tagged, old, and not among the newest.
    Superseded {
        /// How many newer ones are kept.
        keep_newest: u32,
        /// The time after which tagged images go.
        keep_younger_than: Period,
    },
    /// Goes: tagged, and pulled before, but not for long enough.
    Unpulled {
        /// The time after which images go that nobody pulls.
        remove_unpulled_after: Period,
    },
    /// Goes: untagged for long enough.
    Untagged {
        /// The time after which untagged images go.
        remove_untagged_after: Period,
    },
    /// Goes: with the index that lists it.
    ChildOfDeleted {
        /// The index.
        index: Digest,
    },
    /// Goes: with the image that it is about.
    RefersToDeleted {
        /// The image.
        subject: Digest,
    },
    /// Goes to the archive: the image that it is about is there already.
    RefersToArchived {
        /// The image.
        subject: Digest,
    },
    /// Goes: in the archive for long enough.
    ArchivedLongEnough {
        /// The time after which archived images go.
        delete_archived_after: Period,
    },
}

impl steward::engine::Reason for Reason {
    fn code(&self) -> &'static str {
        match self {
            Self::Held(_) => "held",
            Self::InUse(user) => user.kind.code(),
            Self::MayBeDeployed(_) => "may_be_deployed",
            Self::HoldsUsed { .. } => "holds_used_image",
            Self::ChildOfKept { .. } => "child_of_kept_index",
            Self::RefersToKept { .. } => "refers_to_kept_image",
            Self::SubjectElsewhere { .. } => "subject_elsewhere",
            Self::MayBePartOfArchived { .. } => "may_be_part_of_archived",
            Self::HoldsArchived { .. } => "holds_archived_image",
            Self::Archived => "archived",
            Self::PushTimeUnknown => "push_time_unknown",
            Self::JustPushed => "just_pushed",
            Self::TagKept { .. } => "tag_kept",
            Self::PulledFromElsewhere { .. } => "pulled_from_elsewhere",
            Self::Newest { .. } => "newest",
            Self::LastImage => "last_image",
            Self::Young { .. } => "young",
            Self::PulledRecently { .. } => "pulled_recently",
            Self::UntaggedYoung { .. } => "untagged_young",
            Self::Unseen { .. } => "unseen",
            Self::Superseded { .. } => "superseded",
            Self::Unpulled { .. } => "unpulled",
            Self::Untagged { .. } => "untagged",
            Self::ChildOfDeleted { .. } => "child_of_deleted_index",
            Self::RefersToDeleted { .. } => "refers_to_deleted_image",
            Self::RefersToArchived { .. } => "refers_to_archived_image",
            Self::ArchivedLongEnough { .. } => "archived_long_enough",
        }
    }
}

/// Every reason code, for the contract section of the README.
pub const REASON_CODES: &[&str] = &[
    "held",
    "in_use_by_task",
    "in_use_by_stopped_task",
    "in_use_by_deployment",
    "rollback_target",
    "in_use_by_task_set",
    "in_use_by_daemon",
    "started_by_rule",
    "started_by_schedule",
    "in_task_definition",
    "in_use_by_lambda_function",
    "named_by_restore_point",
    "named_by_recipe",
    "referenced_by_policy",
    "may_be_deployed",
    "holds_used_image",
    "child_of_kept_index",
    "refers_to_kept_image",
    "subject_elsewhere",
    "may_be_part_of_archived",
    "holds_archived_image",
    "archived",
    "push_time_unknown",
    "just_pushed",
    "tag_kept",
    "pulled_from_elsewhere",
    "newest",
    "last_image",
    "young",
    "pulled_recently",
    "untagged_young",
    "unseen",
    "superseded",
    "unpulled",
    "untagged",
    "child_of_deleted_index",
    "refers_to_deleted_image",
    "refers_to_archived_image",
    "archived_long_enough",
];

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(hold) => write!(f, "its repository is on hold by {hold}"),
            Self::InUse(user) => write!(f, "{user}"),
            Self::MayBeDeployed(user) => write!(
                f,
                "may be what is {user}, whose digest is not recorded any more"
            ),
            Self::HoldsUsed { part } => write!(f, "{part}, which is in use, is part of it"),
            Self::ChildOfKept { index } => write!(f, "part of index {index}, which stays"),
            Self::RefersToKept { subject } => write!(f, "about {subject}, which stays"),
            Self::SubjectElsewhere { subject } => {
                write!(
                    f,
                    "about {subject}, which is or may be in another repository"
                )
            }
            Self::MayBePartOfArchived { index } => {
                write!(f, "may be part of archived index {index}, which stays")
            }
            Self::HoldsArchived { part } => write!(
                f,
                "{part}, which it lists, was archived before it, so that later nobody could tell \
                 that they belong together"
            ),
            Self::Archived => f.write_str("in the archive storage class"),
            Self::PushTimeUnknown => f.write_str("ECR does not say when it was pushed"),
            Self::JustPushed => {
                write!(
                    f,
                    "pushed less than {NEVER_SOONER_THAN} ago, which no policy can change"
                )
            }
            Self::TagKept { tag } => write!(f, "the policy keeps tag {tag}"),
            Self::PulledFromElsewhere {
                outsider,
                keep_pulled_within,
            } => write!(
                f,
                "pulled within {keep_pulled_within}, or never as far as is recorded and pushed \
                 within it, and {outsider}"
            ),
            Self::Newest { keep_newest } => write!(f, "among the newest {keep_newest} tagged"),
            Self::LastImage => {
                f.write_str("the newest of a repository in which nothing else is sure to stay")
            }
            Self::Young { keep_younger_than } => {
                write!(f, "tagged and pushed within {keep_younger_than}")
            }
            Self::PulledRecently {
                remove_unpulled_after,
            } => write!(f, "tagged and pulled within {remove_unpulled_after}"),
            Self::UntaggedYoung {
                remove_untagged_after,
            } => {
                write!(f, "untagged, but pushed within {remove_untagged_after}")
            }
            Self::Unseen { read } => write!(f, "may be in use, because this failed: {read}"),
            Self::Superseded {
                keep_newest,
                keep_younger_than,
            } => write!(
                f,
                "unused, older than {keep_younger_than} and not among the newest {keep_newest}"
            ),
            Self::Unpulled {
                remove_unpulled_after,
            } => write!(
                f,
                "unused, not pulled for {remove_unpulled_after} and not among the newest"
            ),
            Self::Untagged {
                remove_untagged_after,
            } => {
                write!(f, "unused, untagged and older than {remove_untagged_after}")
            }
            Self::ChildOfDeleted { index } => write!(f, "part of index {index}, which goes"),
            Self::RefersToDeleted { subject } => write!(f, "about {subject}, which goes"),
            Self::RefersToArchived { subject } => {
                write!(f, "about {subject}, which is in the archive")
            }
            Self::ArchivedLongEnough {
                delete_archived_after,
            } => write!(f, "unused, and in the archive for {delete_archived_after}"),
        }
    }
}
