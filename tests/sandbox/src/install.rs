//! The emulators' virtual environment: made on first use, below
//! `target/sandbox/venv`, from the pinned `aws/requirements.txt`.
//!
//! An installation is complete or it is not there: it is made under another
//! name, stamped with the digest of its requirements, and moved into place.
//! Nothing is ever installed outside `target/`.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::progress::Progress;

/// The oldest Python that moto and ministack run on.
const OLDEST_PYTHON: (u32, u32) = (3, 10);

/// Names under which a Python is looked for, the system's own choice first.
const PYTHON_NAMES: [&str; 7] = [
    "python3",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
    "python",
];

/// File in a virtual environment that says what is completely installed in it.
const STAMP: &str = "installed-from";

/// Why the emulators could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no Python, or only older ones.
    #[error(
        "the sandbox needs Python {}.{} or newer, and {found}.\n\
         Install it, for example:\n  \
         Debian, Ubuntu:  sudo apt-get install python3 python3-venv\n  \
         Fedora:          sudo dnf install python3\n  \
         macOS:           brew install python3",
        OLDEST_PYTHON.0, OLDEST_PYTHON.1
    )]
    NoPython {
        /// What was found instead.
        found: String,
    },
    /// Debian and Ubuntu package the venv module separately.
    #[error(
        "{} has no venv module, which the sandbox needs to install its emulators below target/.\n\
         Install it, for example:\n  \
         Debian, Ubuntu:  sudo apt-get install python3-venv",
        .python.display()
    )]
    NoVenv {
        /// The Python that was found.
        python: PathBuf,
    },
    /// A command of the installation failed.
    #[error("{what} failed ({status}):\n{output}")]
    Step {
        /// What was run.
        what: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// A file or directory could not be read or written.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// An installed virtual environment.
#[derive(Clone, Debug)]
pub struct Venv {
    directory: PathBuf,
}

impl Venv {
    /// The environment's Python.
    pub fn python(&self) -> PathBuf {
        self.directory.join("bin/python")
    }
}

/// The sandbox's virtual environment, installed now if it is not there yet.
///
/// Two processes at once are safe: the second waits for the first.
///
/// # Errors
/// [`InstallError`] tells what is missing and how to install it.
pub fn ensure() -> Result<Venv, InstallError> {
    ensure_in(
        &crate::paths::root(),
        &crate::paths::python_package().join("requirements.txt"),
        &search_path(),
    )
}

/// As [`ensure`], into `root/venv`, with Python looked for in `search_path`.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_in(
    root: &Path,
    requirements: &Path,
    search_path: &OsStr,
) -> Result<Venv, InstallError> {
    let wanted = digest(&fs::read(requirements).map_err(io("read", requirements))?);
    let venv = Venv {
        directory: root.join("venv"),
    };
    if is_complete(&venv.directory, &wanted) {
        return Ok(venv);
    }

    fs::create_dir_all(root).map_err(io("create", root))?;
    let lock_path = root.join("install.lock");
    let lock = File::create(&lock_path).map_err(io("create", &lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let progress =
                Progress::start("Waiting for another process to install the AWS emulators");
            let locked = lock.lock();
            progress.clear();
            locked.map_err(io("lock", &lock_path))?;
        }
        Err(TryLockError::Error(error)) => return Err(io("lock", &lock_path)(error)),
    }
    // Another process may have finished while this one waited for the lock.
    if is_complete(&venv.directory, &wanted) {
        return Ok(venv);
    }

    let python = find_python(search_path)?;
    let partial = root.join("venv.partial");
    remove_directory(&partial)?;
    let progress =
        Progress::start("Installing the AWS emulators below target/sandbox (once, about a minute)");
    let made = make(&python, &partial, requirements, &progress).and_then(|()| {
        let stamp = partial.join(STAMP);
        fs::write(&stamp, &wanted).map_err(io("write", &stamp))?;
        remove_directory(&venv.directory)?;
        fs::rename(&partial, &venv.directory).map_err(io("move into place", &venv.directory))
    });
    match made {
        Ok(()) => progress.finish("Installed the AWS emulators below target/sandbox/venv."),
        Err(error) => {
            progress.clear();
            return Err(error);
        }
    }
    Ok(venv)
}

/// Finds a Python new enough and with its venv module.
///
/// # Errors
/// [`InstallError::NoPython`] and [`InstallError::NoVenv`] name what to install.
pub fn find_python(search_path: &OsStr) -> Result<PathBuf, InstallError> {
    let mut found = "none was found on PATH".to_owned();
    let mut without_venv = None;
    for directory in std::env::split_paths(search_path) {
        for name in PYTHON_NAMES {
            let candidate = directory.join(name);
            if !candidate.is_file() {
                continue;
            }
            match python_version(&candidate) {
                Some((version, _)) if version < OLDEST_PYTHON => {
                    found = format!(
                        "only {}.{} was found ({})",
                        version.0,
                        version.1,
                        candidate.display()
                    );
                }
                Some((_, true)) => return Ok(candidate),
                Some((_, false)) => without_venv = without_venv.or(Some(candidate)),
                None => {}
            }
        }
    }
    match without_venv {
        Some(python) => Err(InstallError::NoVenv { python }),
        None => Err(InstallError::NoPython { found }),
    }
}

/// The version of a Python, and whether it can make virtual environments.
/// (Debian's `venv` imports without `python3-venv`; `ensurepip` does not.)
fn python_version(python: &Path) -> Option<((u32, u32), bool)> {
    const ASK: &str = "import sys\n\
        try:\n import venv, ensurepip\n has = 1\n\
        except ImportError:\n has = 0\n\
        print(sys.version_info[0], sys.version_info[1], has)";
    let output = Command::new(python)
        .args(["-c", ASK])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse::<u32>);
    let version = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((version, numbers.next()?.ok()? == 1))
}

fn make(
    python: &Path,
    partial: &Path,
    requirements: &Path,
    progress: &Progress,
) -> Result<(), InstallError> {
    let mut venv = Command::new(python);
    venv.args(["-m", "venv"]).arg(partial);
    run("making a virtual environment", &mut venv, |_| {})?;

    let mut pip = Command::new(partial.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
        "-r",
    ])
    .arg(requirements);
    run("pip install", &mut pip, |line| {
        if let Some(package) = line.strip_prefix("Collecting ") {
            progress.step(format!(
                "  fetching {}",
                package
                    .split([' ', '<', '>', '=', '!', '~'])
                    .next()
                    .unwrap_or(package)
            ));
        } else if line.starts_with("Installing collected packages") {
            progress.step("  unpacking");
        }
    })
}

/// Runs a command to its end, handing each line of its standard output on.
fn run(
    what: &str,
    command: &mut Command,
    mut on_line: impl FnMut(&str),
) -> Result<(), InstallError> {
    let failed = |status: String, output: &str| InstallError::Step {
        what: what.to_owned(),
        status,
        output: tail(output, 15),
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string(), ""))?;
    // Read side by side: a full pipe that nobody empties would stop the child.
    let errors = child.stderr.take().map(|mut stream| {
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text);
            text
        })
    });
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            on_line(line.trim());
            output.push_str(&line);
            output.push('\n');
        }
    }
    let status = child
        .wait()
        .map_err(|error| failed(error.to_string(), &output))?;
    if let Some(errors) = errors {
        output.push_str(&errors.join().unwrap_or_default());
    }
    if status.success() {
        Ok(())
    } else {
        Err(failed(status.to_string(), &output))
    }
}

/// The last `lines` lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn is_complete(venv: &Path, wanted: &str) -> bool {
    fs::read_to_string(venv.join(STAMP)).is_ok_and(|stamp| stamp == wanted)
        && venv.join("bin/python").exists()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn remove_directory(path: &Path) -> Result<(), InstallError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::Io { what, path, source }
}

#[expect(
    clippy::disallowed_methods,
    reason = "PATH is where programs are looked for."
)]
fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}
