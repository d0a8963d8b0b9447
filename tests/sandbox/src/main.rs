//! The sandbox by hand: an AWS on this machine that stays until Ctrl-C, and the
//! demonstration.

use std::io::Write;

use anyhow::Result;
use clap::{Parser, Subcommand};
use steward_sandbox::{Account, Parts, Sandbox};

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
        /// Seed and deploy nothing.
        #[arg(long)]
        bare: bool,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Up { bare: _ } => up().await,
    }
}

async fn up() -> Result<()> {
    let sandbox = Sandbox::start(Parts::Both)?;
    print_exports(&sandbox.default_account())?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}

fn print_exports(account: &Account) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, value) in account.env() {
        writeln!(out, "export {name}={value}")?;
    }
    out.flush()?;
    Ok(())
}
