//! The Lambda function image-pruning.

use image_pruning::{ImagePruning, Registry};

#[tokio::main]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read once, here"
)]
async fn main() -> Result<(), steward::lambda::RuntimeError> {
    steward::lambda::serve::<ImagePruning, _>(|name| std::env::var(name).ok(), Registry::new).await
}
