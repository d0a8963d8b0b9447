//! The Lambda function snapshot-rotation.

use snapshot_rotation::{SnapshotRotation, Snapshots};

// One thread: below 1,769 MB Lambda gives less than one CPU, and a run waits more
// than it computes.
#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read once, here"
)]
async fn main() -> Result<(), steward::lambda::RuntimeError> {
    steward::lambda::serve::<SnapshotRotation, _>(
        |name| std::env::var(name).ok(),
        |config, _| Snapshots::new(config),
    )
    .await
}
