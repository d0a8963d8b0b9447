//! sandbox.

pub mod faults;
