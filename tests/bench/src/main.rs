//! Measures the real release binaries of the functions: behind a Lambda Runtime
//! API, against an AWS that pages, caps its batches and counts its calls, over
//! TLS on 127.0.0.1.
//!
//! `cargo benches` prints the table of `docs/performance.md` and fails when a
//! figure misses its target, when a run makes a call more or less than its
//! formula says, or when a report does not add up to what was there.

mod aws;
// What the sandbox's scripted AWS speaks to CloudWatch's clients; its crate would bring the
// whole SDK.
#[expect(unreachable_pub, reason = "of its crate it is part of the interface")]
#[path = "../../sandbox/src/faults/cbor.rs"]
mod cbor;
mod ecr;
mod ecs;
mod environments;
mod incidents;
mod ledger;
mod measure;
mod process;
mod pruning;
mod rds;
mod remediation;
mod rotation;
mod runtime;
mod s3;
mod scaling;
mod scenario;
mod table;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Parser;

/// Measures the functions' release binaries against a paging AWS on 127.0.0.1.
#[derive(Parser)]
struct Arguments {
    /// Runs per scenario; figures are medians.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Only scenarios whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// The binary of a function, such as image-pruning=PATH; without it, cargo
    /// builds it as it is shipped. May be repeated.
    #[arg(long, value_name = "FUNCTION=PATH", value_parser = binary)]
    binary: Vec<(String, PathBuf)>,
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
    let only = arguments.only.as_deref().unwrap_or_default();
    let mut binaries: BTreeMap<String, PathBuf> = arguments.binary.iter().cloned().collect();
    let mut rows = Vec::new();
    for scenario in scenario::all() {
        if !scenario.name.contains(only) {
            continue;
        }
        let function = scenario.function().to_owned();
        let binary = match binaries.entry(function) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let built = build(unknown.key())?;
                unknown.insert(built)
            }
        };
        let measured = measure::measure(binary, &scenario, &arguments.options())
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

fn binary(text: &str) -> Result<(String, PathBuf), String> {
    let (function, path) = text
        .split_once('=')
        .ok_or("allowed: FUNCTION=PATH, such as image-pruning=target/release/image-pruning")?;
    Ok((function.to_owned(), PathBuf::from(path)))
}

/// Builds the binary with the features that it is shipped with, which are its
/// own and not the whole workspace's.
fn build(function: &str) -> Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target/bench");
    let built = Command::new(env!("CARGO"))
        .current_dir(&root)
        .args(["build", "--release", "-p", function, "--target-dir"])
        .arg(&target)
        .stdin(Stdio::null())
        .status()
        .context("cargo cannot be started")?;
    ensure!(built.success(), "cargo could not build {function}");
    Ok(target.join("release").join(function))
}
