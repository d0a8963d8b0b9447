//! One run of a function in an account, as a test starts it.

use anyhow::{Result, ensure};
use jiff::Timestamp;
use steward::engine::{Act, Clock, Function, Leash, Mode, Observe};
use steward::policy::PolicyDocument;
use steward::run::{self, Context, Request, Run};
use steward::switches::Switches;

use crate::account::Account;

impl Account {
    /// Runs a function here at a moment, which may do what its request asks for:
    /// a plan, when that says nothing.
    ///
    /// # Errors
    /// When the policy is none, or the sums of the report do not hold.
    pub async fn run_function<F: Function>(
        &self,
        hands: &(impl Observe<F> + Act<F>),
        now: Timestamp,
        switches: &Switches,
        policy: &str,
        request: Request<F>,
    ) -> Result<Run<F>> {
        let context = Context {
            account: self.id().to_owned(),
            region: self.region_name().to_owned(),
            run_id: "test".to_owned(),
            leash: Leash(request.mode.unwrap_or(Mode::Plan)),
            clock: Clock::Fixed(now),
            deadline: None,
            switches,
            most_lines: usize::MAX,
        };
        let policy = PolicyDocument::parse(policy, "test")?;
        let run = run::run(hands, &context, &policy, request).await;
        let summary = &run.report.summary;
        ensure!(run.report.sums_hold(), "the sums do not hold: {summary:#?}");
        Ok(run)
    }
}
