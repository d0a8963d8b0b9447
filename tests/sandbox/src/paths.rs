//! Where the sandbox keeps what it needs: everything below `target/sandbox`,
//! so that `cargo clean` removes all of it.

use std::path::{Path, PathBuf};

/// The Python package with the emulators' entry point and our plugin.
pub(crate) fn python_package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("aws")
}

/// Where this workspace is.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The CloudFormation templates, and the scripts that read them.
pub(crate) fn templates() -> PathBuf {
    repository().join("infra")
}

/// `target/sandbox` of this workspace, honouring `CARGO_TARGET_DIR`.
#[expect(
    clippy::disallowed_methods,
    reason = "Cargo tells where its target directory is by the environment and in no other way."
)]
pub(crate) fn root() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), PathBuf::from)
        .join("sandbox")
}
