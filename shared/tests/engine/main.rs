//! The engine by its rules: three functions in miniature that its types carry,
//! one scripted function for each rule by itself, crashes and interleavings,
//! and properties over random worlds.
//!
//! Nothing here talks to AWS; every world is in memory.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "../canned/mod.rs"]
mod canned;
mod support;

mod pruning;
mod restore;
mod scaling;
mod scripted;

mod crashes;
mod deadline;
mod gaps;
mod gate;
mod giving_back;
mod lanes;
mod limits;
mod order;
mod plan_files;
mod properties;
mod reports;
mod switches;
