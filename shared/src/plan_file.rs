//! A plan as a file: made by `--plan-out`, read by a person, applied by
//! `--plan`.
//!
//! Applying one observes again. A line that is already achieved counts as
//! done, one that is no longer wanted word for word is skipped as drifted, and
//! nothing that is not in the file is done.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::{Context, Function, Run};

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
    /// The plan that a run has made, with what only a limit holds back that a
    /// reviewed plan may exceed.
    pub fn of(run: &Run<F>) -> Self {
        Self {
            schema_version: 1,
            function: F::NAME.to_owned(),
            operation: run.report.operation.clone(),
            account: run.report.account.clone(),
            region: run.report.region.clone(),
            created_at: run.report.finished_at,
            policy_digest: run.report.policy_digest.clone(),
            plan_digest: digest::<F>(
                &run.report.operation,
                &run.report.account,
                &run.report.region,
                &run.scope,
                &run.for_review,
            ),
            scope: run.scope.clone(),
            actions: run.for_review.clone(),
        }
    }

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
            &file.actions,
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
    pub fn fits(&self, operation: &str, context: &Context<'_>) -> Result<(), PlanFileError> {
        let pairs = [
            ("operation", self.operation.as_str(), operation),
            ("account", &self.account, &context.account),
            ("region", &self.region, &context.region),
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
    actions: &[F::Action],
) -> String {
    sha256_of(&(F::NAME, operation, account, region, scope, actions))
}

/// `sha256:` and hex over the JSON of a value.
pub(crate) fn sha256_of(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(&json) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
