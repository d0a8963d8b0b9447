//! Measures the real release binary of image-pruning: behind a Lambda Runtime
//! API, against an AWS that pages, caps its batches and counts its calls, over
//! TLS on 127.0.0.1.
//!
//! `cargo benches` prints the table of `docs/performance.md` and fails when a
//! figure misses its target, when a run makes a call more or less than its
//! formula says, or when a report does not add up to what was there.

mod aws;
mod ecr;
mod ecs;
mod measure;
mod process;
mod runtime;
mod scenario;
mod table;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Parser;

/// Measures image-pruning's release binary against a paging AWS on 127.0.0.1.
#[derive(Parser)]
struct Arguments {
    /// Runs per scenario; figures are medians.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Only scenarios whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// The binary; without it, cargo builds it as it is shipped.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Print the calls of each scenario too.
    #[arg(long)]
    calls: bool,
    /// Pass the function's log lines through.
    #[arg(long)]
    log: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    let mut rows = Vec::new();
    for scenario in scenario::all() {
        let wanted = arguments.only.as_ref();
        if wanted.is_some_and(|part| !scenario.name.contains(part.as_str())) {
            continue;
        }
        let measured = measure::measure(&binary, &scenario, &arguments.options())
            .await
            .with_context(|| format!("scenario \"{}\"", scenario.name))?;
        rows.push((scenario, measured));
    }
    Ok(if table::print(&rows, arguments.calls) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Arguments {
    fn options(&self) -> measure::Options {
        measure::Options {
            runs: self.runs,
            log: self.log,
        }
    }
}

/// Builds the binary with the features that it is shipped with, which are its
/// own and not the whole workspace's.
fn build() -> Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target/bench");
    let built = Command::new(env!("CARGO"))
        .current_dir(&root)
        .args(["build", "--release", "-p", "image-pruning", "--target-dir"])
        .arg(&target)
        .stdin(Stdio::null())
        .status()
        .context("cargo cannot be started")?;
    ensure!(built.success(), "cargo could not build image-pruning");
    Ok(target.join("release/image-pruning"))
}
