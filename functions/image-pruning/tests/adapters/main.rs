//! How the function talks to AWS, call by call, against a scripted AWS: pages
//! and their sizes, absent fields, failures inside answers, throttling, things
//! that go away between two calls, and what is asked for only once.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod absent;
mod archiving;
mod caches;
mod consumers;
mod daemon_definitions;
mod deleting;
mod failing;
mod paging;
mod replicas;
mod script;
mod surroundings;
