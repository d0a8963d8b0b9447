//! However the process that started a sandbox ends, the emulators end with it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use steward_sandbox::{Parts, Sandbox};

/// Every process whose parent, or parent's parent, is one of these.
fn with_descendants(roots: &[u32]) -> Vec<u32> {
    let mut family = roots.to_vec();
    let mut next = 0;
    while next < family.len() {
        // A child belongs to the thread that started it.
        let threads = std::fs::read_dir(format!("/proc/{}/task", family[next]))
            .into_iter()
            .flatten()
            .flatten();
        for thread in threads {
            let children =
                std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    family
}

fn is_running(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        // A zombie has ended; it only waits for its parent to notice.
        .is_ok_and(|stat| {
            !stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .trim_start()
                .starts_with('Z')
        })
}

fn assert_all_end(processes: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while processes.iter().any(|process| is_running(*process)) {
        let left: Vec<_> = processes
            .iter()
            .filter(|process| is_running(**process))
            .collect();
        assert!(Instant::now() < deadline, "still running: {left:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_dropped_sandbox_is_gone_with_its_directory() -> Result<()> {
    let sandbox = Sandbox::start(Parts::Both)?;
    let processes = with_descendants(&sandbox.process_ids());
    assert!(
        processes.len() >= 3,
        "moto, ministack's keeper and ministack: {processes:?}"
    );
    assert!(processes.iter().all(|process| is_running(*process)));
    let directory = sandbox.run_directory().to_owned();
    assert!(directory.is_dir());

    drop(sandbox);

    assert!(!directory.exists());
    assert_all_end(&processes);
    Ok(())
}

/// A `sandbox up` that has come up, all its processes, and its directory.
struct Up {
    program: Child,
    processes: Vec<u32>,
    directory: PathBuf,
    // A program that nobody reads from would stop of its own.
    _said: Box<dyn Iterator<Item = String>>,
}

fn up() -> Result<Up> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["up", "--bare"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let stdout = program.stdout.take().context("its standard output")?;
    let mut said = Box::new(BufReader::new(stdout).lines().map_while(Result::ok));
    ensure!(
        said.any(|line| line.contains("AWS_ENDPOINT_URL=")),
        "the sandbox did not come up"
    );
    let processes = with_descendants(&[program.id()]);
    assert!(
        processes.len() >= 4,
        "sandbox, moto, ministack's keeper and ministack: {processes:?}"
    );
    let directory = run_directory_of(program.id())?;
    Ok(Up {
        program,
        processes,
        directory,
        _said: said,
    })
}

#[test]
fn a_killed_sandbox_leaves_no_process_and_the_next_one_removes_its_directory() -> Result<()> {
    let mut up = up()?;
    // SIGKILL: nothing of its own code runs any more.
    up.program.kill()?;
    up.program.wait()?;
    assert_all_end(&up.processes);

    drop(Sandbox::start(Parts::Moto)?);
    assert!(
        !up.directory.exists(),
        "{} was left behind",
        up.directory.display()
    );
    Ok(())
}

#[test]
fn an_interrupted_sandbox_stops_cleanly() -> Result<()> {
    let mut up = up()?;
    let interrupted = Command::new("kill")
        .args(["-INT", &up.program.id().to_string()])
        .status()?;
    assert!(interrupted.success());
    assert!(up.program.wait()?.success());
    assert_all_end(&up.processes);
    assert!(
        !up.directory.exists(),
        "{} was left behind",
        up.directory.display()
    );
    Ok(())
}

fn run_directory_of(process: u32) -> Result<PathBuf> {
    let runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../sandbox/run");
    std::fs::read_dir(&runs)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&format!("{process}-")))
        })
        .with_context(|| format!("no directory of process {process} in {}", runs.display()))
}
