//! image-pruning against the sandbox: arranged and asserted with the raw SDK,
//! one sentence per test.

mod crash;
mod deletes;
mod fails_closed;
mod graph;
mod in_use;
mod plan_files;
mod retention;
mod stage;
mod whole_system;
