//! The function's process: its CPU time, its memory, and its share of a CPU.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time of all threads so far. The first figure of `schedstat` is
/// nanoseconds on a CPU (Linux kernel documentation, "Scheduler Statistics");
/// threads that have ended are not in it, and the function ends none in a run.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let first = text.split(' ').next().unwrap_or_default();
        nanoseconds += first.parse::<u64>().context("schedstat has no number")?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Peak resident memory so far, in MiB.
pub(crate) fn peak_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: f64 = kib.context("no VmHWM in status")?.trim().parse()?;
    Ok(kib / 1024.0)
}

/// A control group that gives its processes a part of one CPU, as a quota in
/// each period of 20 ms. It is removed when this is dropped, after its processes
/// have ended.
pub(crate) struct CpuShare {
    directory: PathBuf,
}

/// In microseconds.
const PERIOD: u32 = 20_000;

impl CpuShare {
    /// Makes the group, by version 2 of control groups or by version 1.
    ///
    /// # Errors
    /// When this user may make none.
    pub(crate) fn new(share: f64) -> Result<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share is from 0 to 1"
        )]
        let quota = (f64::from(PERIOD) * share) as u32;
        let name = format!("steward-bench-{}", std::process::id());
        let two = PathBuf::from("/sys/fs/cgroup").join(&name);
        let one = PathBuf::from("/sys/fs/cgroup/cpu").join(&name);
        let version_2 = fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok();
        let directory = if version_2 { two } else { one };
        fs::create_dir(&directory)
            .with_context(|| format!("cannot make the control group {}", directory.display()))?;
        let group = Self { directory };
        if version_2 {
            group.write("cpu.max", &format!("{quota} {PERIOD}"))?;
        } else {
            group.write("cpu.cfs_period_us", &PERIOD.to_string())?;
            group.write("cpu.cfs_quota_us", &quota.to_string())?;
        }
        Ok(group)
    }

    /// Puts a process with all its threads under the share.
    pub(crate) fn hold(&self, pid: u32) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    fn write(&self, file: &str, value: &str) -> Result<()> {
        let path = self.directory.join(file);
        fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        // What cannot be removed holds no process and costs nothing.
        let _ = fs::remove_dir(&self.directory);
    }
}
