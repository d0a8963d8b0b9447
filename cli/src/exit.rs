//! Exit statuses, which scripts rely on, and the one way in which a command
//! can end without an answer.

use std::fmt;
use std::process::ExitCode;

use steward::aws::chain;
use steward::engine::Mode;
use steward::report::{Report, Status};

use crate::words::plain;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, nothing to do, or planned.
    Done = 0,
    /// Something failed and nothing was done.
    Failed = 1,
    /// A wrong argument, policy, plan file or event.
    Usage = 2,
    /// A guard, a kill switch or the mode forbids it.
    Refused = 3,
    /// The work goes on later.
    Waiting = 4,
    /// Some was done.
    Partial = 5,
    /// With `--detailed-exitcode`: a plan has changes.
    Changes = 10,
}

impl Exit {
    /// The exit status that a report stands for.
    pub(crate) fn of(report: &Report, detailed: bool) -> Self {
        match report.status {
            Status::Planned if detailed && has_changes(report) => Self::Changes,
            Status::Planned | Status::Applied | Status::NothingToDo => Self::Done,
            Status::Refused => Self::Refused,
            Status::Partial => Self::Partial,
            Status::Waiting => Self::Waiting,
            Status::Failed => Self::Failed,
        }
    }
}

/// Whether something would be changed. A plan file's lines that are done
/// already or have drifted count as planned, and change nothing.
pub(crate) fn has_changes(report: &Report) -> bool {
    let sums = &report.summary;
    report.mode == Mode::Plan
        && sums.planned > sums.done + sums.already_done + sums.skipped + sums.failed
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that ends without an answer.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// What the operator gave cannot be used.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Usage,
            error: error.into(),
        }
    }

    /// Something else went wrong.
    pub(crate) fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Failed,
            error: error.into(),
        }
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    /// One line with the whole cause chain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain(&chain(self.error.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::report;

    #[test]
    fn every_status_has_its_exit_status() {
        for (status, plainly, detailed) in [
            (Status::Planned, 0, 10),
            (Status::Applied, 0, 0),
            (Status::NothingToDo, 0, 0),
            (Status::Failed, 1, 1),
            (Status::Refused, 3, 3),
            (Status::Waiting, 4, 4),
            (Status::Partial, 5, 5),
        ] {
            let mut report = report();
            report.status = status;
            report.summary.planned = 1;
            assert_eq!(Exit::of(&report, false) as u8, plainly, "{status:?}");
            assert_eq!(Exit::of(&report, true) as u8, detailed, "{status:?}");
        }
        assert_eq!(Exit::Usage as u8, 2);
    }

    #[test]
    fn a_plan_file_that_has_drifted_altogether_has_no_changes() {
        let mut report = report();
        report.status = Status::Planned;
        report.summary.planned = 3;
        report.summary.skipped = 2;
        report.summary.already_done = 1;
        assert_eq!(Exit::of(&report, true), Exit::Done);
        report.summary.planned = 4;
        assert_eq!(Exit::of(&report, true), Exit::Changes);
    }

    #[test]
    fn a_failure_is_one_line_with_its_causes() {
        let error = anyhow::anyhow!("no such\nfile").context("policy.yaml cannot be read");
        assert_eq!(
            Failure::usage(error).to_string(),
            "policy.yaml cannot be read: no such file"
        );
    }
}
