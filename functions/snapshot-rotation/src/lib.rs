//! Snapshots of RDS databases: made, copied, thinned, and written down with
//! everything else that a restore needs.

pub mod retention;
