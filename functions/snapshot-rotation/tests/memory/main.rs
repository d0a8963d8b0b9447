//! The decision and the cycle around it, over an Amazon RDS that lives in memory:
//! properties of random worlds, and a year of a bad one in seconds.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod cloud;
mod interrupted;
mod oracle;
mod preview;
mod properties;
mod simulation;
