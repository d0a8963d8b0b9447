//! The Lambda function alarm-remediation.

use alarm_remediation::{AlarmRemediation, Alarms};

// One thread: below 1,769 MB Lambda gives less than one CPU, and a run waits more
// than it computes.
#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read once, here"
)]
async fn main() -> Result<(), steward::lambda::RuntimeError> {
    steward::lambda::serve::<AlarmRemediation, _>(|name| std::env::var(name).ok(), Alarms::new)
        .await
}
