//! The Lambda function image-pruning.

use image_pruning::{ImagePruning, Registry};

// One thread: below 1,769 MB Lambda gives less than one CPU, and a run waits more
// than it computes.
#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read once, here"
)]
async fn main() -> Result<(), steward::lambda::RuntimeError> {
    steward::lambda::serve::<ImagePruning, _>(
        |name| std::env::var(name).ok(),
        |config, _| Registry::new(config),
    )
    .await
}
