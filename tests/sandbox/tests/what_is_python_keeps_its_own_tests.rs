//! The sandbox's plugin is Python of this house and is tested in Python, and so
//! are the templates; this runs those tests, so that `cargo test` runs every
//! test.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use steward_sandbox::install;

#[test]
fn the_plugins_tests_pass() -> Result<()> {
    tests_pass("aws/tests")
}

#[test]
fn the_templates_tests_pass() -> Result<()> {
    tests_pass("../../infra/tests")
}

/// Runs every test of a directory of this package with the emulators' Python.
fn tests_pass(directory: &str) -> Result<()> {
    let venv = install::ensure()?;
    let output = Command::new(venv.python())
        .args(["-m", "unittest", "discover"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // `Ran 42 tests in 1.234s`: none at all is a failure, too.
    let ran = said.lines().find_map(|line| {
        line.strip_prefix("Ran ")?
            .split(' ')
            .next()?
            .parse::<u32>()
            .ok()
    });
    assert!(ran.is_some_and(|ran| ran > 0), "no test was run:\n{said}");
    Ok(())
}
