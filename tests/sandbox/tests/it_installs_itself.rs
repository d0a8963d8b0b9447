//! First use: what is missing is named, and half an installation is no
//! installation.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use steward_sandbox::install::{ensure_in, find_python};

/// An empty directory of this test's own.
fn scratch(name: &str) -> Result<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// A `python3` that answers the version question as told.
fn fake_python(directory: &Path, answer: &str) -> Result<()> {
    let path = directory.join("python3");
    fs::write(&path, format!("#!/bin/sh\necho {answer}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "PATH is where this machine's Python is."
)]
fn path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

#[test]
fn without_python_the_error_names_the_packages_to_install() -> Result<()> {
    let nowhere = scratch("no-python")?;
    let message = find_python(nowhere.as_os_str()).unwrap_err().to_string();
    assert!(
        message.contains("apt-get install python3 python3-venv"),
        "{message}"
    );
    assert!(message.contains("none was found"), "{message}");
    Ok(())
}

#[test]
fn an_old_python_is_named() -> Result<()> {
    let old = scratch("old-python")?;
    fake_python(&old, "3 8 1")?;
    let message = find_python(old.as_os_str()).unwrap_err().to_string();
    assert!(message.contains("only 3.8 was found"), "{message}");
    Ok(())
}

#[test]
fn a_python_without_venv_names_the_package_to_install() -> Result<()> {
    let bare = scratch("bare-python")?;
    fake_python(&bare, "3 12 0")?;
    let message = find_python(bare.as_os_str()).unwrap_err().to_string();
    assert!(
        message.contains("apt-get install python3-venv"),
        "{message}"
    );
    assert!(message.contains("has no venv module"), "{message}");
    Ok(())
}

#[test]
fn a_half_finished_installation_is_made_again_and_a_finished_one_is_not() -> Result<()> {
    let root = scratch("half-finished")?;
    let requirements = root.join("requirements.txt");
    // Nothing to download: what is tested is when it is made, not what is in it.
    fs::write(&requirements, "# nothing\n")?;
    let left_over = root.join("venv.partial/lib/left-over");
    fs::create_dir_all(&left_over)?;
    let unstamped = root.join("venv/bin/python");
    fs::create_dir_all(root.join("venv/bin"))?;
    fs::write(&unstamped, "not a python")?;

    let path = path();
    let venv = ensure_in(&root, &requirements, &path)?;
    assert!(
        std::process::Command::new(venv.python())
            .args(["-c", "import pip"])
            .status()?
            .success()
    );
    assert!(!root.join("venv.partial").exists());

    let marker = root.join("venv/marker");
    fs::write(&marker, "")?;
    ensure_in(&root, &requirements, &path)?;
    assert!(marker.exists(), "a finished installation was made again");

    fs::write(&requirements, "# nothing more\n")?;
    ensure_in(&root, &requirements, &path)?;
    assert!(!marker.exists(), "changed requirements were not installed");
    Ok(())
}

#[test]
fn a_failed_installation_shows_what_pip_said_and_leaves_none() -> Result<()> {
    let root = scratch("failed-installation")?;
    let requirements = root.join("requirements.txt");
    fs::write(&requirements, "./there-is-no-such-directory\n")?;
    let path = path();
    let message = ensure_in(&root, &requirements, &path)
        .unwrap_err()
        .to_string();
    assert!(message.contains("pip install failed"), "{message}");
    assert!(message.contains("there-is-no-such-directory"), "{message}");
    assert!(!root.join("venv").exists());
    Ok(())
}

#[test]
fn two_at_once_install_once() -> Result<()> {
    let root = scratch("two-at-once")?;
    let requirements = root.join("requirements.txt");
    fs::write(&requirements, "# nothing\n")?;
    let path = path();
    let stamps = std::thread::scope(|scope| {
        let install = || -> Result<std::time::SystemTime> {
            ensure_in(&root, &requirements, &path)?;
            Ok(fs::metadata(root.join("venv/installed-from"))?.modified()?)
        };
        [scope.spawn(install), scope.spawn(install)].map(|thread| thread.join().expect("no panic"))
    });
    let [one, other] = stamps;
    assert_eq!(one?, other?);
    Ok(())
}
