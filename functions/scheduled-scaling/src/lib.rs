//! Whole environments that sleep and wake, in the right order.
//!
//! So far: schedules as a policy writes them, and when they say on and off.

pub mod calendar;
pub mod schedule;
