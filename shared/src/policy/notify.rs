//! The section `notify` of every function's policy: what a run tells people.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, Problems};

/// The most messages that one run sends, which is what one call of
/// `PublishBatch` takes (Amazon SNS API Reference).
pub const MOST_MESSAGES: u8 = 10;

/// What a message can be about, the most important first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// A change was tried and failed, or a run could do nothing.
    Failed,
    /// Only a person can put it right: something cannot be read, or cannot be
    /// done as it is.
    NeedsPerson,
    /// A guard, a kill switch or the mode said no.
    Refused,
    /// Something was changed.
    Done,
    /// A plan would change something.
    Planned,
}

impl News {
    /// The word of the policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::NeedsPerson => "needs_person",
            Self::Refused => "refused",
            Self::Done => "done",
            Self::Planned => "planned",
        }
    }
}

/// What is told to the topic of `STEWARD_NOTIFY_TOPIC` after a Lambda run.
/// Without a topic nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// What a message can be about: `failed`, `needs_person`, `refused`,
    /// `done`, `planned`. An empty list tells nothing.
    pub on: BTreeSet<News>,
    /// Each unit with news has a message of its own. Of a run with more
    /// messages than this there is one digest instead. 0 to 10.
    pub digest_above: u8,
    /// What stands is told again after this: a read that is denied, a refusal, the same
    /// failure. What was done is always told, and to a run by hand everything. 0m to 7d.
    pub again_after: Period,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            on: BTreeSet::from([News::Failed, News::NeedsPerson, News::Refused, News::Done]),
            digest_above: 5,
            again_after: Period::hours(6),
        }
    }
}

impl Notify {
    /// Finds bad values, at `path`.
    pub fn check(&self, path: &str, problems: &mut Problems) {
        let digest = format!("{path}.digest_above");
        problems.within(&digest, self.digest_above, 0, MOST_MESSAGES);
        let again = format!("{path}.again_after");
        problems.within(
            &again,
            self.again_after,
            Period::minutes(0),
            Period::days(7),
        );
    }
}
