//! image-pruning against the sandbox: arranged and asserted with the raw SDK,
//! one sentence per test.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod crash;
mod deletes;
mod elsewhere;
mod fails_closed;
mod graph;
mod in_use;
mod incidents;
mod permissions;
mod plan_files;
mod restore_points;
mod retention;
mod stage;
mod starts_tasks;
mod whole_system;
