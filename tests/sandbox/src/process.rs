//! The emulators' processes. Each holds the reading end of a pipe whose writing
//! end is in this process: when this process is gone, however it went, the pipe
//! closes and the emulator ends itself and every function process it started.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::install::{Venv, tail};

/// How long an emulator may take to answer; a cold disk takes a few seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an emulator may take to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How many log files are kept from earlier runs.
const KEPT_LOGS: usize = 20;

/// Why an emulator could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The virtual environment could not be made.
    #[error(transparent)]
    Install(#[from] crate::install::InstallError),
    /// The process ended or stayed silent before it was ready.
    #[error("{server} did not start: {reason}\nThe end of its log ({}):\n{log_tail}", .log.display())]
    NotReady {
        /// Which emulator.
        server: &'static str,
        /// What happened instead.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        log_tail: String,
    },
    /// A file, directory or process could not be made.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A part that the task needs was not started.
    #[error(transparent)]
    NotLoopback(#[from] crate::endpoints::NotLoopback),
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Io { what, path, source }
}

/// A directory of this sandbox alone, removed with it. It is held by a lock, so
/// that the next sandbox can tell what a killed one has left behind.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
    _lock: File,
}

impl RunDirectory {
    /// Removes what killed sandboxes left, and makes a new directory.
    pub(crate) fn create(root: &Path) -> Result<Self, StartError> {
        let runs = root.join("run");
        fs::create_dir_all(&runs).map_err(io("create", &runs))?;
        // Between the making of a directory and its locking nobody may sweep.
        let gate_path = root.join("run.lock");
        let gate = File::create(&gate_path).map_err(io("create", &gate_path))?;
        gate.lock().map_err(io("lock", &gate_path))?;
        sweep(&runs);
        let own_process = std::process::id();
        let path = (0..)
            .map(|n| runs.join(format!("{own_process}-{n}")))
            .find(|path| !path.exists())
            .unwrap_or_else(|| runs.join(own_process.to_string()));
        fs::create_dir(&path).map_err(io("create", &path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(io("create", &lock_path))?;
        lock.lock().map_err(io("lock", &lock_path))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Unique among running sandboxes: `<process>-<n>`.
    pub(crate) fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the directories that no living sandbox holds.
fn sweep(runs: &Path) {
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        let held = File::open(entry.path().join("lock"))
            .is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        if !held {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A file for the log of a server; old ones are removed.
fn create_log(root: &Path, name: &str) -> Result<(PathBuf, File), StartError> {
    let logs = root.join("logs");
    fs::create_dir_all(&logs).map_err(io("create", &logs))?;
    let mut old: Vec<_> = fs::read_dir(&logs)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    old.sort();
    for (_, path) in old.iter().take(old.len().saturating_sub(KEPT_LOGS)) {
        let _ = fs::remove_file(path);
    }
    let path = logs.join(name);
    let file = File::create(&path).map_err(io("create", &path))?;
    Ok((path, file))
}

/// A running emulator.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    /// Dropped first of all: its closing tells the emulator to end.
    life_line: Option<ChildStdin>,
    /// What it prints; closed when it ends.
    lines: Mutex<Receiver<String>>,
    log: PathBuf,
}

impl Server {
    /// Starts `serve.py <name> --port 0 <arguments>`; [`Server::ready`] waits
    /// for it.
    pub(crate) fn spawn(
        name: &'static str,
        venv: &Venv,
        root: &Path,
        run: &RunDirectory,
        arguments: &[&str],
    ) -> Result<Self, StartError> {
        let (log, log_file) = create_log(root, &format!("{}-{name}.log", run.name()))?;
        let script = crate::paths::python_package().join("serve.py");
        let mut child = Command::new(venv.python())
            .arg(&script)
            .args([name, "--port", "0"])
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env("TMPDIR", run.path())
            .current_dir(run.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // A terminal's Ctrl-C goes to a whole group. The sandbox alone
            // decides in which order things stop.
            .process_group(0)
            .spawn()
            .map_err(io("run", &venv.python()))?;
        let life_line = child.stdin.take();
        let stdout = child.stdout.take();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout
                .into_iter()
                .flat_map(|stdout| BufReader::new(stdout).lines())
                .map_while(Result::ok)
            {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            name,
            child,
            life_line,
            lines: Mutex::new(lines),
            log,
        })
    }

    /// Waits for the line `ready <port>`, and answers the address.
    pub(crate) fn ready(&mut self) -> Result<String, StartError> {
        let reason = match self.line(START_TIMEOUT) {
            Ok(line) => match line
                .strip_prefix("ready ")
                .and_then(|port| port.trim().parse::<u16>().ok())
            {
                Some(port) => return Ok(format!("http://127.0.0.1:{port}")),
                None => format!("it said `{line}` instead of `ready <port>`"),
            },
            Err(RecvTimeoutError::Disconnected) => match self.child.wait() {
                Ok(status) => format!("it ended ({status})"),
                Err(error) => format!("it ended ({error})"),
            },
            Err(RecvTimeoutError::Timeout) => {
                format!("it was not ready after {} s", START_TIMEOUT.as_secs())
            }
        };
        let log_tail = tail(&fs::read_to_string(&self.log).unwrap_or_default(), 20);
        Err(StartError::NotReady {
            server: self.name,
            reason,
            log: self.log.clone(),
            log_tail,
        })
    }

    /// The next line it prints.
    fn line(&mut self, timeout: Duration) -> Result<String, RecvTimeoutError> {
        match self.lines.get_mut() {
            Ok(lines) => lines.recv_timeout(timeout),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        }
    }

    /// The process id, for the tests that look at what is left running.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to end, without waiting for it.
    pub(crate) fn let_go(&mut self) {
        drop(self.life_line.take());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.let_go();
        // Its standard output closes when it ends.
        while self.line(STOP_TIMEOUT).is_ok() {}
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_start_shows_the_end_of_its_log() {
        let venv = crate::install::ensure().unwrap();
        let root = crate::paths::root().canonicalize().unwrap();
        let run = RunDirectory::create(&root).unwrap();
        let mut server = Server::spawn("no-such-emulator", &venv, &root, &run, &[]).unwrap();
        let message = server.ready().unwrap_err().to_string();
        assert!(
            message.contains("no-such-emulator did not start: it ended (exit status: 2)"),
            "{message}"
        );
        assert!(message.contains("invalid choice"), "{message}");
    }
}
