//! The Lambda function scheduled-scaling.

use scheduled_scaling::{Environments, ScheduledScaling};

// One thread: below 1,769 MB Lambda gives less than one CPU, and a run waits more
// than it computes.
#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read once, here"
)]
async fn main() -> Result<(), steward::lambda::RuntimeError> {
    steward::lambda::serve::<ScheduledScaling, _>(
        |name| std::env::var(name).ok(),
        Environments::new,
    )
    .await
}
