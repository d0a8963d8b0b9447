//! Runs a scenario some times, each in a new process, and holds every run to
//! what is true.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::aws::{Aws, Change, Seen};
use crate::process::{self, CpuShare};
use crate::runtime::Runtime;
use crate::scenario::{REGION, Scenario, Truth};

/// How to measure.
pub(crate) struct Options {
    pub(crate) runs: u32,
    /// Pass the function's log lines through.
    pub(crate) log: bool,
}

/// Medians of the runs of a scenario; calls and connections are those of the
/// last run.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) init_ms: f64,
    pub(crate) first_call_ms: f64,
    pub(crate) run_ms: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) peak_mib: f64,
    /// Until the first call of the first event that changes something, from the start of
    /// the process, and of the last, from the event.
    pub(crate) to_change_ms: Option<(f64, f64)>,
    pub(crate) seen: Seen,
    /// Calls that were too many or too few by their formulae, in any run.
    pub(crate) wrong_calls: Vec<String>,
    /// Why there are no figures, where there are none.
    pub(crate) skipped: Option<String>,
}

struct Run {
    init: Duration,
    first_call: Duration,
    run: Duration,
    cpu: Duration,
    peak_mib: f64,
    to_change: Option<(Duration, Duration)>,
    seen: Seen,
}

pub(crate) async fn measure(
    binary: &Path,
    scenario: &Scenario,
    options: &Options,
) -> Result<Measured> {
    let share = match scenario.cpu_share.map(CpuShare::new).transpose() {
        Ok(share) => share,
        Err(error) => return Ok(Measured::skipped(format!("{error:#}"))),
    };
    let mut runs = Vec::new();
    for _ in 0..options.runs {
        runs.push(run(binary, scenario, share.as_ref(), options.log).await?);
    }
    let seen = runs.last().map(|run| run.seen.clone()).unwrap_or_default();
    let mut wrong_calls: Vec<String> = runs
        .iter()
        .flat_map(|run| wrong_calls(scenario, &run.seen))
        .collect();
    wrong_calls.sort();
    wrong_calls.dedup();
    let median = |of: &dyn Fn(&Run) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    Ok(Measured {
        init_ms: median(&|run| ms(run.init)),
        first_call_ms: median(&|run| ms(run.first_call)),
        run_ms: median(&|run| ms(run.run)),
        cpu_ms: median(&|run| ms(run.cpu)),
        peak_mib: median(&|run| run.peak_mib),
        to_change_ms: runs.iter().all(|run| run.to_change.is_some()).then(|| {
            let of = |run: &Run| run.to_change.unwrap_or_default();
            (median(&|run| ms(of(run).0)), median(&|run| ms(of(run).1)))
        }),
        seen,
        wrong_calls,
        skipped: None,
    })
}

impl Measured {
    fn skipped(why: String) -> Self {
        Self {
            init_ms: 0.0,
            first_call_ms: 0.0,
            run_ms: 0.0,
            cpu_ms: 0.0,
            peak_mib: 0.0,
            to_change_ms: None,
            seen: Seen::default(),
            wrong_calls: vec![],
            skipped: Some(why),
        }
    }
}

/// One run in a new process: a cold start and the scenario's events.
async fn run(
    binary: &Path,
    scenario: &Scenario,
    share: Option<&CpuShare>,
    log: bool,
) -> Result<Run> {
    let aws = Aws::start(scenario).await?;
    let mut runtime = Runtime::start().await?;
    let roots = Roots::write(&aws.roots)?;
    let spawned = Instant::now();
    let mut child = spawn(binary, scenario, &aws, &runtime.address, &roots, log)?;
    let pid = child.id().context("the function has ended at once")?;
    let next = runtime.next().await?;
    if let Some(share) = share {
        share.hold(pid)?;
    }
    let mut took = Duration::ZERO;
    let mut to_change = None;
    for nth in 0..scenario.events() {
        let before = aws.seen().all_calls();
        let began = Instant::now();
        let (report, of_this) = runtime.invoke(&scenario.event(nth)).await?;
        took += of_this;
        if let Some(expected) = scenario.before_the_first_change(nth) {
            let change = first_change(&aws.seen(), before)?;
            let calls = change.after - before;
            ensure!(
                calls == expected,
                "{calls} calls before the first that changes something, {expected} by formula"
            );
            let warm = change.at - began;
            let (cold, _) = to_change.unwrap_or((change.at - spawned, warm));
            to_change = Some((cold, warm));
        }
        // Asking for the next event ends the work on this one.
        runtime.next().await?;
        let number = nth + 1;
        check_report(&scenario.truth(nth), scenario, &report)
            .with_context(|| format!("event {number}"))?;
    }
    let cpu = process::cpu_time(pid)?;
    let peak_mib = process::peak_mib(pid)?;
    child.kill().await?;
    let seen = aws.seen();
    let (left, expected) = (aws.left(), scenario.truth(scenario.events() - 1).left);
    ensure!(
        left == expected,
        "{left} are left of what is looked after, and {expected} should be"
    );
    let first_call = seen.first_call.context("the function made no call")?;
    Ok(Run {
        init: next - spawned,
        first_call: first_call - spawned,
        run: took,
        cpu,
        peak_mib,
        to_change,
        seen,
    })
}

/// The first call that changes something, of those after so many.
fn first_change(seen: &Seen, before: usize) -> Result<Change> {
    let mut changes = seen.changes.iter();
    let first = changes.find(|change| change.after >= before);
    first.copied().context("nothing was changed")
}

fn spawn(
    binary: &Path,
    scenario: &Scenario,
    aws: &Aws,
    runtime: &str,
    roots: &Roots,
    log: bool,
) -> Result<Child> {
    let output = || if log { Stdio::inherit() } else { Stdio::null() };
    Command::new(binary)
        .env_clear()
        .envs(aws.endpoints.iter().cloned())
        .env("SSL_CERT_FILE", &roots.path)
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "a secret of no one")
        .env("AWS_SESSION_TOKEN", "a token")
        .env("AWS_LAMBDA_RUNTIME_API", runtime)
        .env("AWS_LAMBDA_FUNCTION_NAME", scenario.function())
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "one")
        .env("STEWARD_POLICY", scenario.policy().to_string())
        .env("STEWARD_MODE", scenario.mode())
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", binary.display()))
}

/// The report has to add up to what was there.
fn check_report(truth: &Truth, scenario: &Scenario, report: &Value) -> Result<()> {
    let count = |key: &str| report["summary"][key].as_u64().unwrap_or(u64::MAX);
    let expected = [
        ("observed", truth.observed),
        ("kept", truth.kept),
        ("planned", truth.planned),
        ("deferred", truth.deferred),
        ("done", if scenario.applies() { truth.planned } else { 0 }),
        ("failed", 0),
        ("skipped", 0),
    ];
    for (key, expected) in expected {
        let found = count(key);
        ensure!(
            found == expected as u64,
            "the report says {found} {key}, and it is {expected}: gaps {}, warnings {}",
            report["gaps"],
            report["warnings"]
        );
    }
    let gaps = report["gaps"].as_array().map_or(0, Vec::len);
    ensure!(gaps == 0, "the report has gaps: {}", report["gaps"]);
    Ok(())
}

/// The run has to make the calls of its formulae and no other. What is throttled
/// is called again, and counts once.
fn wrong_calls(scenario: &Scenario, seen: &Seen) -> Vec<String> {
    let expected = scenario.calls();
    let mut actions: BTreeSet<&str> = expected.keys().copied().collect();
    actions.extend(seen.calls.keys().map(String::as_str));
    actions
        .into_iter()
        .filter_map(|action| {
            let made = seen.calls.get(action).copied().unwrap_or(0);
            let made = made - seen.throttled.get(action).copied().unwrap_or(0);
            let expected = expected.get(action).copied().unwrap_or(0);
            let words = format!("{action}: {made} calls, {expected} by its formula");
            (made != expected).then_some(words)
        })
        .collect()
}

/// The file with the roots that the function trusts, removed when it is dropped.
struct Roots {
    path: std::path::PathBuf,
}

impl Roots {
    fn write(pem: &str) -> Result<Self> {
        let name = format!("steward-bench-{}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, pem)?;
        Ok(Self { path })
    }
}

impl Drop for Roots {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
