//! A schedule that fired without a payload of its own.

use super::envelope::{Delivered, Envelope};

pub(super) const DETAIL_TYPE: &str = "Scheduled Event";

/// A schedule fired: an EventBridge rule with a schedule expression, or
/// EventBridge Scheduler whose target has no input.
///
/// The usual payload of Scheduler is the target's own input, and that is the
/// manual form. AWS: "Creating a rule that runs on a schedule in Amazon
/// EventBridge" and "Managing targets in EventBridge Scheduler".
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleEvent {
    /// `resources` holds the rule or the schedule, `time` when it was due.
    pub envelope: Envelope,
    /// What was tolerated while reading.
    pub warnings: Vec<String>,
}

pub(super) fn read(delivered: Delivered<'_>) -> ScheduleEvent {
    ScheduleEvent {
        envelope: delivered.envelope,
        warnings: Vec::new(),
    }
}
