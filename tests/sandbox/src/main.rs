//! The sandbox by hand: an AWS on this machine that stays until Ctrl-C, and the
//! demonstration of what Steward does in it.

mod build;
mod demo;
mod show;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use show::Stage;

#[derive(Parser)]
#[command(
    about = "An AWS on this machine, seeded with the reference system.",
    version
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts the sandbox, prints what to export, and keeps it up until Ctrl-C.
    Up {
        /// Start it empty: seed and deploy nothing.
        #[arg(long)]
        bare: bool,
    },
    /// Shows the functions at work on the reference system, and stops.
    Demo {
        /// Run this instead of a binary built for it: the zip that `cargo lambda
        /// build --release --output-format zip` makes of a function. May be
        /// repeated.
        #[arg(long, value_name = "FUNCTION=ZIP", value_parser = package)]
        package: Vec<(String, PathBuf)>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let stage = Stage::default();
    let act = async {
        match Arguments::parse().command {
            Command::Up { bare } => up::up(&stage, bare).await,
            Command::Demo { package } => demo::demo(&stage, package).await,
        }
    };
    // Dropping what was being done stops the emulators, in either case.
    let ended = tokio::select! {
        ended = act => ended,
        _ = tokio::signal::ctrl_c() => stage.say("\nStopped."),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stage.complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn package(text: &str) -> Result<(String, PathBuf), String> {
    let (function, zip) = text
        .split_once('=')
        .ok_or("allowed: FUNCTION=ZIP, such as image-pruning=bootstrap.zip")?;
    Ok((function.to_owned(), PathBuf::from(zip)))
}
