//! Where the sandbox keeps what it needs: everything below `target/sandbox`,
//! so that `cargo clean` removes all of it.

use std::path::{Path, PathBuf};

/// The Python package with the emulators' entry point and our plugin.
pub(crate) fn python_package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("aws")
}

/// The CloudFormation templates, and the scripts that read them.
pub(crate) fn templates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra")
}

/// `target/sandbox` of this workspace, honouring `CARGO_TARGET_DIR`.
#[expect(
    clippy::disallowed_methods,
    reason = "Cargo tells where its target directory is by the environment and in no other way."
)]
pub(crate) fn root() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
            PathBuf::from,
        )
        .join("sandbox")
}
