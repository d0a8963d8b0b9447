//! How the function reads AWS, call by call, against a scripted AWS: pages and
//! their sizes, pages that fail, absent fields, throttling, and what is asked for
//! side by side or not at all.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod absent;
mod documents;
mod elsewhere;
mod listing;
mod script;
