//! A plan as a file: made by `--plan-out`, read by a person, applied by
//! `--plan`.
//!
//! Applying one observes again. A line that is already achieved counts as
//! done, one that is no longer wanted word for word is skipped as drifted, and
//! nothing that is not in the file is done.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::sha256_of;
use crate::engine::{Change, Function, Outcome};
use crate::entry::{Entries, Entry, Held, Standing};

/// A saved plan.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct PlanFile<F: Function> {
    /// Of this shape: 1.
    pub schema_version: u32,
    /// Which function made it.
    pub function: String,
    /// Which of its operations.
    pub operation: String,
    /// Whose resources it is about.
    pub account: String,
    /// Where they are.
    pub region: String,
    /// When it was made; for people, nothing depends on it.
    pub created_at: Timestamp,
    /// The policy it was made under; for people, the policy in force decides.
    pub policy_digest: String,
    /// Over everything that matters, so that an edited file is noticed.
    pub plan_digest: String,
    /// What woke the run that made it.
    pub scope: F::Scope,
    /// Everything that it would do.
    pub actions: Vec<F::Action>,
}

/// A plan file that cannot be applied here.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// Not JSON, or not a plan file.
    #[error("is not a plan file of {function}: {problem}")]
    Malformed {
        /// The function that reads it.
        function: &'static str,
        /// What is wrong and where.
        problem: String,
    },
    /// Made for something else.
    #[error("{field} is \"{found}\", but this run is for \"{expected}\"")]
    Elsewhere {
        /// Which part of the file.
        field: &'static str,
        /// What the file says.
        found: String,
        /// What this run is for.
        expected: String,
    },
    /// Changed after it was made.
    #[error(
        "plan_digest is {found}, but its contents have {computed}: the file was changed after it \
         was made; make a new plan"
    )]
    Edited {
        /// What the file says.
        found: String,
        /// What it should say.
        computed: String,
    },
}

impl<F: Function> PlanFile<F> {
    /// Reads a plan file.
    ///
    /// # Errors
    /// [`PlanFileError::Malformed`] with the place, [`PlanFileError::Elsewhere`]
    /// for another function or version, [`PlanFileError::Edited`].
    pub fn parse(text: &str) -> Result<Self, PlanFileError> {
        let malformed = |problem| PlanFileError::Malformed {
            function: F::NAME,
            problem,
        };
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
        for (field, expected) in [
            ("schema_version", serde_json::json!(1)),
            ("function", F::NAME.into()),
        ] {
            let found = value
                .get(field)
                .ok_or_else(|| malformed(format!("{field} is missing")))?;
            if *found != expected {
                let text = |v: &serde_json::Value| v.as_str().map_or(v.to_string(), str::to_owned);
                return Err(PlanFileError::Elsewhere {
                    field,
                    found: text(found),
                    expected: text(&expected),
                });
            }
        }
        let file: Self = serde_path_to_error::deserialize(value)
            .map_err(|e| malformed(format!("{}: {}", e.path(), e.inner())))?;
        let computed = digest::<F>(
            &file.operation,
            &file.account,
            &file.region,
            &file.scope,
            &file.actions.iter().collect::<Vec<_>>(),
        );
        if computed != file.plan_digest {
            return Err(PlanFileError::Edited {
                found: file.plan_digest,
                computed,
            });
        }
        Ok(file)
    }

    /// Refuses a plan that was made for another operation, account or Region.
    ///
    /// # Errors
    /// [`PlanFileError::Elsewhere`] naming the difference.
    pub fn fits(&self, operation: &str, account: &str, region: &str) -> Result<(), PlanFileError> {
        let pairs = [
            ("operation", self.operation.as_str(), operation),
            ("account", &self.account, account),
            ("region", &self.region, region),
        ];
        for (field, found, expected) in pairs {
            if found != expected {
                let (found, expected) = (found.to_owned(), expected.to_owned());
                return Err(PlanFileError::Elsewhere {
                    field,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }
}

/// `sha256:` over what a plan would do and where; equal plans have equal
/// digests.
pub(crate) fn digest<F: Function>(
    operation: &str,
    account: &str,
    region: &str,
    scope: &F::Scope,
    actions: &[&F::Action],
) -> String {
    sha256_of(&(F::NAME, operation, account, region, scope, actions))
}

/// Holds the lines of a plan file against today's plan: what is wanted word
/// for word stands, what is achieved is done, everything else has drifted and
/// is skipped, and what only today's plan wants is left alone.
pub(crate) fn reconcile<F: Function>(
    file: &PlanFile<F>,
    world: &F::World,
    entries: &mut Entries<F>,
) {
    let mut by_target: HashMap<String, Vec<usize>> = HashMap::new();
    for (n, entry) in entries.iter().enumerate() {
        by_target.entry(entry.target.clone()).or_default().push(n);
    }
    let here = |target: &str| by_target.get(target).map(Vec::as_slice).unwrap_or_default();

    // What is wanted word for word comes first, so that no other line of the
    // same target takes its place.
    let mut listed = HashSet::new();
    let mut others = Vec::new();
    for action in &file.actions {
        let view = F::view(action);
        let same = here(&view.target).iter().copied().find(|n| {
            let wanted = entries[*n].change().map(|change| &change.action);
            wanted == Some(action)
        });
        match same {
            Some(n) => {
                listed.insert(n);
            }
            None => others.push((action, view)),
        }
    }
    for (action, view) in others {
        let mut unlisted = here(&view.target)
            .iter()
            .copied()
            .filter(|n| !listed.contains(n));
        let achieved = F::achieved(action, world);
        let place = if achieved {
            // Another change of it that today's plan wants is not done by this.
            unlisted.find(|n| entries[*n].change().is_none())
        } else {
            let unlisted: Vec<usize> = unlisted.collect();
            let wanted = unlisted.iter().find(|n| entries[**n].change().is_some());
            wanted.or(unlisted.first()).copied()
        };
        let outcome = if achieved {
            Outcome::AlreadyDone
        } else {
            let now = place.or(here(&view.target).first().copied());
            Outcome::Skipped(match now.and_then(|n| entries[n].reason.as_ref()) {
                Some(reason) => format!("drifted since the plan was made: {reason}"),
                None => "drifted since the plan was made: no longer there".to_owned(),
            })
        };
        let action = action.clone();
        match place {
            Some(n) => {
                listed.insert(n);
                // What today's plan wants instead keeps its place in the order
                // of things, so that nothing that comes after it goes ahead.
                let change = match entries[n].change().cloned() {
                    Some(change) => Change { action, ..change },
                    None => Change::bare(action),
                };
                entries[n].standing = Standing::Ended(change, outcome);
            }
            None => entries.push(Entry {
                unit: view.unit,
                target: view.target,
                since: None,
                serves: false,
                reason: None,
                standing: Standing::Ended(Change::bare(action), outcome),
            }),
        }
    }
    for (n, entry) in entries.iter_mut().enumerate() {
        if !listed.contains(&n) {
            entry.hold(Held::NotInPlanFile);
        }
    }
}
