//! The decision and the cycle around it, over registries that live in memory:
//! properties of random ones, and half a year of a busy one in seconds.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod cloud;
mod limits;
mod oracle;
mod properties;
mod simulation;
