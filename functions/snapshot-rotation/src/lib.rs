//! Snapshots of RDS databases: made, copied, thinned, and written down with
//! everything else that a restore needs.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "nothing uses it yet")
)]
mod record;
pub mod retention;
