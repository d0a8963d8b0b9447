//! Steward.

pub mod event;
