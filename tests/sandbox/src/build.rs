//! Builds the binaries that the sandbox runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What was built, in Cargo's target directory.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    /// The functions, by name.
    pub(crate) functions: BTreeMap<&'static str, PathBuf>,
    /// The command line.
    pub(crate) steward: PathBuf,
}

/// Every function.
const FUNCTIONS: [&str; 4] = [
    "image-pruning",
    "snapshot-rotation",
    "scheduled-scaling",
    "alarm-remediation",
];

impl Binaries {
    /// The functions as they are deployed.
    pub(crate) fn packages(&self) -> Vec<(&str, &Path)> {
        let functions = self.functions.iter();
        functions
            .map(|(name, path)| (*name, path.as_path()))
            .collect()
    }

    /// Another package of a function.
    ///
    /// # Errors
    /// When there is no such function.
    pub(crate) fn replace(&mut self, function: &str, package: PathBuf) -> Result<()> {
        let names = FUNCTIONS.join(", ");
        let own = self.functions.get_mut(function);
        *own.with_context(|| format!("there is no function {function}, but {names}"))? = package;
        Ok(())
    }
}

/// Builds the functions and the command line. Cargo shows its own progress.
pub(crate) fn binaries() -> Result<Binaries> {
    // The whole workspace takes part in feature resolution: with `-p`, other
    // features would rebuild the SDK.
    let mut cargo = Command::new(cargo());
    cargo
        .args(["build", "--bin", "steward"])
        .args(FUNCTIONS.iter().flat_map(|function| ["--bin", function]))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .stdin(Stdio::null());
    // Cargo describes this package to the program it runs. Build scripts of
    // others that look at these would run again for nothing.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ]
        .iter()
        .any(|start| name.starts_with(start))
        {
            cargo.env_remove(&*name);
        }
    }
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo build failed ({status})");
    let directory = std::env::current_exe()?
        .parent()
        .context("a program without a directory")?
        .to_owned();
    // Cargo put this program where it puts the others, unless it was asked for
    // another profile.
    let directory = if directory.ends_with("debug") {
        directory
    } else {
        directory.with_file_name("debug")
    };
    Ok(Binaries {
        functions: FUNCTIONS
            .iter()
            .map(|function| (*function, directory.join(function)))
            .collect(),
        steward: directory.join("steward"),
    })
}

/// The Cargo that runs this program, or the one on `PATH`.
#[expect(
    clippy::disallowed_methods,
    reason = "Cargo tells where it is by the environment and in no other way."
)]
fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
