//! `steward`: every function by hand, with the operator's own credentials.
//!
//! Standard output holds the answer and nothing else; progress, errors and,
//! with `RUST_LOG`, logs go to standard error. What a run may do is decided by
//! the engine that the Lambda functions run on, never here.

mod arguments;
mod by_hand;
mod doctor;
mod exit;
mod files;
mod functions;
mod history;
mod page;
mod preview;
mod progress;
mod saved;
mod show;
mod surroundings;
mod terminal;
mod words;

use std::io::Write as _;
use std::process::ExitCode;

use crate::exit::{Exit, Failure};
use crate::surroundings::Surroundings;
use crate::terminal::Terminal;

#[tokio::main]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read once, here"
)]
async fn main() -> ExitCode {
    let logs = std::env::var("RUST_LOG").ok().filter(|l| !l.is_empty());
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let around = Surroundings {
        terminal: Terminal::detect(no_color, logs.is_some()),
        ledger: std::env::var(steward::lambda::LEDGER).ok(),
    };
    if let Some(filter) = logs {
        init_logs(&filter);
    }
    let matches = arguments::command().get_matches();
    match dispatch(&matches, &around).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // When standard error is gone, the exit status still tells.
            let _ = writeln!(std::io::stderr(), "steward: {failure}");
            failure.exit().into()
        }
    }
}

async fn dispatch(matches: &clap::ArgMatches, around: &Surroundings) -> Result<Exit, Failure> {
    match matches.subcommand() {
        Some(("doctor", matches)) => doctor::run(matches, around).await,
        Some(("report", matches)) => saved::show(matches, &around.terminal),
        Some(("schema", matches)) => functions::print_schema(matches),
        Some((name, matches)) => match functions::named(name) {
            Some(function) => (function.run)(matches, around).await,
            None => Err(Failure::usage(anyhow::anyhow!("{name} is no function"))),
        },
        None => Err(Failure::usage(anyhow::anyhow!("a command is missing"))),
    }
}

fn init_logs(filter: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // There is no other subscriber in this process that it could collide with.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}
