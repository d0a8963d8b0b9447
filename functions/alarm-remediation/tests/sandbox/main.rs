//! alarm-remediation against the sandbox: arranged and asserted with the raw SDK, one
//! sentence per test.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod crash;
mod left_alone;
mod permissions;
mod remedies;
#[path = "../shop/mod.rs"]
mod shop;
mod stage;
