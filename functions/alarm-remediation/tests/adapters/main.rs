//! How the function talks to AWS, call by call, against a scripted AWS: pages and
//! their sizes, absent fields, failures inside answers, denials and throttling, and in
//! which order it changes what.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod absent;
mod account;
mod acting;
mod concerns;
mod failing;
mod listing;
mod stage;
mod taking_back;
mod trouble;
