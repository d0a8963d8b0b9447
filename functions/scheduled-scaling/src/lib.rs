//! Whole environments that sleep and wake, in the right order.
//!
//! So far: schedules as a policy writes them, when they say on and off, what is due,
//! and in which order.

pub mod calendar;
pub mod due;
pub mod order;
pub mod policy;
pub mod preview;
pub mod price;
pub mod schedule;
