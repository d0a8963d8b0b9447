//! What is remembered of an alarm that was taken on, until it has been quiet for a while:
//! the case. And what was tried, which bounds what is tried next.
//!
//! Every change of a case is made by [`Noted::after`], a pure function of the case, the
//! note and the time, so that memory in tests and the ledger cannot disagree.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::action::Remedy;
use crate::world::{Concern, Target};

/// The partition of cases, attempts and leases in the ledger.
pub const PARTITION: &str = "alarm-remediation";

/// The partition of cases that have ended.
pub const HISTORY: &str = "alarm-remediation-history";

/// What the sort keys of entries begin with.
pub mod keys {
    /// A case.
    pub const CASE: &str = "case#";
    /// What was tried on something.
    pub const ATTEMPTS: &str = "attempts#";
    /// What was tried in all of the account.
    pub const OF_ALL: &str = "all";
    /// Whoever works on something.
    pub const LEASE: &str = "lease#";
}

/// How many lines of what happened a case keeps, the newest.
const MOST_LINES: usize = 60;

/// What a case is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An alarm, by its ARN.
    Alarm(String),
    /// The agent of a container instance, by the cluster's name and the instance's ARN.
    Agent {
        /// The name of the cluster.
        cluster: String,
        /// The ARN of the instance.
        instance: String,
    },
}

impl Source {
    /// The key of its case.
    pub fn key(&self) -> String {
        match self {
            Self::Alarm(arn) => arn.clone(),
            Self::Agent { instance, .. } => instance.clone(),
        }
    }
}

/// How something is: more good and less bad is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Tasks that are well, instances that take tasks, GiB of storage.
    pub good: u32,
    /// Tasks and targets that are not well.
    pub bad: u32,
}

/// What came of a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The alarm is quiet.
    Helped,
    /// It is not.
    DidNotHelp,
    /// It is not, and more is broken than before.
    MadeWorse,
    /// It is not, and what was to be done is not so: the call failed, or a run was killed
    /// before it.
    NotDone,
    /// Nobody can tell: the alarm has no data any more.
    NotKnown,
}

impl Effect {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Helped => "helped",
            Self::DidNotHelp => "did not help",
            Self::MadeWorse => "made it worse",
            Self::NotDone => "was not done",
            Self::NotKnown => "was done, and nobody can tell whether it helped",
        }
    }
}

/// Where a case stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Looked at by every tick.
    Open,
    /// Something was done, and is given time.
    Settling {
        /// Until then.
        until: Timestamp,
        /// How things were before.
        before: Health,
    },
    /// The alarm is quiet.
    Calm {
        /// Since then.
        since: Timestamp,
    },
}

/// A remedy that was tried for a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// When.
    pub at: Timestamp,
    /// What was done, whole.
    pub remedy: Remedy,
    /// What came of it; `None` before that was looked at.
    pub effect: Option<Effect>,
}

/// A line of what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: String,
}

/// An alarm, or a lost agent, that was taken on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is about.
    pub source: Source,
    /// The alarm's name, or the instance's.
    pub name: String,
    /// What its messages are about.
    pub unit: String,
    /// What the alarm was about when the case was opened.
    pub concerns: Vec<Concern>,
    /// When it was opened.
    pub opened: Timestamp,
    /// Since when what it is about is as it is: a new time is a new state.
    pub since: Timestamp,
    /// Where it stands.
    pub stage: Stage,
    /// The codes of what a person was told. An alarm that flaps is told of once: what is
    /// quiet for long enough is another case.
    pub told: BTreeSet<String>,
    /// What waits for a person's approval.
    pub proposed: Option<Remedy>,
    /// What was tried, the oldest first.
    pub tried: Vec<Tried>,
    /// The ARNs of what was raised for it and is not known to be taken back.
    pub raised: BTreeSet<String>,
    /// What happened, the oldest first.
    pub log: Vec<Line>,
}

impl Case {
    fn line(&mut self, at: Timestamp, what: impl Into<String>) {
        let what = what.into();
        self.log.push(Line { at, what });
        let excess = self.log.len().saturating_sub(MOST_LINES);
        self.log.drain(..excess);
    }

    /// The last remedy, and what came of it.
    pub fn last(&self) -> Option<&Tried> {
        self.tried.last()
    }

    /// Whether such a remedy was tried, was done, and did not help.
    pub fn has_failed(&self, is: impl Fn(&Remedy) -> bool) -> bool {
        let failed = [Some(Effect::DidNotHelp), Some(Effect::MadeWorse)];
        let tried = self.tried.iter();
        let mut failed = tried.filter(|it| failed.contains(&it.effect));
        failed.any(|tried| is(&tried.remedy))
    }

    /// The case once a remedy is about to be done: written before it is.
    #[must_use]
    pub fn with(
        &self,
        remedy: &Remedy,
        why: &str,
        before: Health,
        now: Timestamp,
        settles: Timestamp,
    ) -> Self {
        let mut case = self.clone();
        case.line(now, format!("{}: {why}", remedy.sentence()));
        case.tried.push(Tried {
            at: now,
            remedy: remedy.clone(),
            effect: None,
        });
        case.stage = Stage::Settling {
            until: settles,
            before,
        };
        case.proposed = None;
        if let Some(arn) = remedy.raises() {
            case.raised.insert(arn.to_owned());
        }
        case
    }

    /// The case once nothing of it is raised under this ARN any more.
    #[must_use]
    pub fn without_raise(&self, arn: &str, now: Timestamp) -> Self {
        let mut case = self.clone();
        if case.raised.remove(arn) {
            case.line(now, format!("{arn} has its usual size again"));
        }
        case
    }
}

/// What is noted of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noted {
    /// It begins.
    Opened {
        /// What it is about.
        source: Source,
        /// The alarm's name, or the instance's.
        name: String,
        /// What its messages are about.
        unit: String,
        /// What the alarm is about.
        concerns: Vec<Concern>,
        /// Since when the alarm is in alarm; `None` is from now on.
        since: Option<Timestamp>,
        /// Why, in CloudWatch's words.
        why: String,
    },
    /// The alarm went off again before the case was closed.
    Reopened {
        /// Since when it is in alarm; `None` is from now on.
        since: Option<Timestamp>,
    },
    /// The alarm is quiet, or what it is about is well.
    Calmed,
    /// It was looked at what a remedy did.
    Verified {
        /// What.
        effect: Effect,
        /// The remedy, in a sentence.
        of: String,
    },
    /// A person is told.
    Told {
        /// The codes of what is told.
        codes: BTreeSet<String>,
        /// The whole of it.
        text: String,
        /// What could be done, and waits for approval.
        proposed: Option<Remedy>,
    },
    /// A raise that the case stood for is known to be gone.
    RaiseGone {
        /// Of what, by ARN.
        arn: String,
    },
    /// It ends.
    Closed {
        /// Why.
        why: String,
    },
}

impl Noted {
    /// What is remembered after all of these; `None` is nothing any more.
    pub fn all_after(all: &[Self], before: Option<&Case>, now: Timestamp) -> Option<Case> {
        let mut case = before.cloned();
        for noted in all {
            case = noted.after(case.as_ref(), now);
        }
        case
    }

    /// The case as it is kept for people when these end it.
    pub fn last_words(all: &[Self], before: &Case, now: Timestamp) -> Option<Case> {
        let mut case = before.clone();
        for noted in all {
            if let Self::Closed { why } = noted {
                case.line(now, format!("closed: {why}"));
                return Some(case);
            }
            case = noted.after(Some(&case), now)?;
        }
        None
    }

    /// What is remembered afterwards; `None` is nothing, or nothing that fits.
    fn after(&self, before: Option<&Case>, now: Timestamp) -> Option<Case> {
        if let Self::Opened {
            source,
            name,
            unit,
            concerns,
            since,
            why,
        } = self
        {
            let mut case = Case {
                source: source.clone(),
                name: name.clone(),
                unit: unit.clone(),
                concerns: concerns.clone(),
                opened: now,
                since: since.unwrap_or(now),
                stage: Stage::Open,
                told: BTreeSet::new(),
                proposed: None,
                tried: vec![],
                raised: BTreeSet::new(),
                log: vec![],
            };
            case.line(now, format!("opened: {why}"));
            return Some(case);
        }
        let mut case = before?.clone();
        match self {
            Self::Opened { .. } | Self::Closed { .. } => return None,
            Self::Reopened { since } => {
                case.line(now, "in alarm again");
                case.stage = Stage::Open;
                case.since = since.unwrap_or(now);
            }
            Self::Calmed => {
                case.line(now, "quiet");
                case.stage = Stage::Calm { since: now };
                case.proposed = None;
            }
            Self::Verified { effect, of } => {
                if let Some(tried) = case.tried.last_mut() {
                    tried.effect = Some(*effect);
                }
                case.line(now, format!("{of}: it {}", effect.words()));
                case.stage = Stage::Open;
            }
            Self::Told {
                codes,
                text,
                proposed,
            } => {
                case.line(now, format!("told: {text}"));
                case.told.extend(codes.iter().cloned());
                if proposed.is_some() {
                    case.proposed.clone_from(proposed);
                }
            }
            Self::RaiseGone { arn } => return Some(case.without_raise(arn, now)),
        }
        Some(case)
    }

    /// Whether this is what is remembered.
    pub fn is_said_by(&self, case: Option<&Case>) -> bool {
        let Some(case) = case else {
            return matches!(self, Self::Closed { .. });
        };
        match self {
            Self::Opened { since, .. } | Self::Reopened { since } => {
                since.is_none_or(|since| case.since >= since)
                    && !matches!(case.stage, Stage::Calm { .. })
            }
            Self::Calmed => matches!(case.stage, Stage::Calm { .. }),
            Self::Verified { effect, .. } => {
                case.last().is_some_and(|it| it.effect == Some(*effect))
            }
            Self::Told {
                codes, proposed, ..
            } => codes.is_subset(&case.told) && (proposed.is_none() || *proposed == case.proposed),
            Self::RaiseGone { arn } => !case.raised.contains(arn),
            Self::Closed { .. } => false,
        }
    }
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// The kind of the remedy.
    pub kind: String,
    /// For which case.
    pub case: String,
}

/// What was tried on something, whichever alarm it was for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// The version of its entry; `None` when there is none.
    pub version: Option<u64>,
    /// The tries, the oldest first.
    pub made: Vec<Attempt>,
}

impl Attempts {
    /// How many of a kind there were after `then`.
    pub fn since(&self, then: Timestamp, kind: Option<&str>) -> usize {
        let made = self.made.iter().filter(|attempt| attempt.at > then);
        made.filter(|attempt| kind.is_none_or(|kind| attempt.kind == kind))
            .count()
    }

    /// When the last of any kind was.
    pub fn last(&self) -> Option<Timestamp> {
        self.made.iter().map(|attempt| attempt.at).max()
    }

    /// These and one more, without those before `then`.
    #[must_use]
    pub fn with(&self, attempt: Attempt, then: Timestamp) -> Vec<Attempt> {
        let kept = self.made.iter().filter(|attempt| attempt.at > then);
        kept.cloned().chain([attempt]).collect()
    }
}

/// What a remedy counts for, and what of another case it may not run beside.
pub fn counts_for(remedy: &Remedy) -> Target {
    match remedy {
        Remedy::DrainInstance(it) | Remedy::ReplaceInstance(it) | Remedy::UseInstance(it) => {
            Target::Group(it.group.clone())
        }
        other => other.target(),
    }
}
