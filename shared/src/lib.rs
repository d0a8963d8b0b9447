//! What two or more of Steward's functions need, and nothing else.
//!
//! The road that every function follows is in [`engine`]: a wake-up
//! ([`event`]) and a policy ([`policy`]) lead to an observation, a pure
//! decision, guards ([`guard`]), an execution in lanes ([`run`]), and a report
//! ([`report`]). [`lambda`] is the entry in AWS, the `steward` binary the entry
//! by hand; both call [`run::run`]. In AWS a run also leaves log lines
//! ([`logs`]), metrics ([`metrics`]) and messages to people ([`notify`]).

pub mod aws;
mod digest;
pub mod engine;
mod entry;
pub mod event;
pub mod guard;
pub mod hold;
pub mod lambda;
pub mod ledger;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod notify;
pub mod permission;
pub mod plan_file;
pub mod policy;
pub mod report;
pub mod restore_point;
pub mod run;
pub mod switches;
pub mod tally;
