//! alarm-remediation over an AWS in memory: a day of alarms that flap, runs that are
//! killed anywhere, and two at once.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it says"
)]

mod cloud;
mod interrupted;
mod simulation;
