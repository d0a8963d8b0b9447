//! `steward alarm-remediation history`: what the ledger remembers of alarms that were
//! taken on, what was tried, and what came of it. It changes nothing.

mod drawing;

use alarm_remediation::{History, NAME, Remembered};
use anyhow::anyhow;
use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use jiff::Timestamp;
use serde::Serialize;
use steward::engine::Clock;
use steward::ledger::Ledger;

use self::drawing::Drawing;
use crate::arguments::AwsArguments;
use crate::by_hand::{self, Aside};
use crate::exit::{Exit, Failure};
use crate::preview::Shape;
use crate::surroundings::Surroundings;

const HISTORY: &str = "history";

/// Of alarm-remediation.
pub(crate) const OF_REMEDIATION: Aside = Aside {
    name: HISTORY,
    command,
    run: |matches, around| Box::pin(run(matches, around)),
};

/// The arguments.
#[derive(Clone, Debug, Args)]
struct HistoryArguments {
    /// All that happened in the cases of this alarm or instance: its name, or its ARN.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,

    #[command(flatten)]
    shape: Shape,

    #[command(flatten)]
    aws: AwsArguments,
}

fn command() -> Command {
    HistoryArguments::augment_args(Command::new(HISTORY))
        .about("Show what was tried for which alarms, and what came of it; change nothing")
        .long_about(
            "Show what was tried for which alarms, and what came of it: the cases that are open, \
             and those that have ended in the last 90 days. It reads the ledger, and changes \
             nothing.",
        )
}

/// What is told.
#[derive(Clone, Debug, Serialize)]
struct Answer {
    schema_version: u32,
    function: &'static str,
    /// The name of the ledger's table.
    ledger: String,
    now: Timestamp,
    /// The open ones first, and of each kind the newest first.
    cases: Vec<Remembered>,
    warnings: Vec<String>,
}

impl Answer {
    fn of(ledger: &str, now: Timestamp, history: Option<History>) -> Self {
        let mut warnings = Vec::new();
        let mut cases = Vec::new();
        match history {
            Some(history) => {
                cases = history.cases;
                warnings = history.malformed;
            }
            None => warnings.push(format!(
                "there is no ledger, and so nothing is remembered: table {ledger} does not exist"
            )),
        }
        Self {
            schema_version: 1,
            function: NAME,
            ledger: ledger.to_owned(),
            now,
            cases,
            warnings,
        }
    }

    /// Leaves only the cases of this name.
    fn only(&mut self, name: &str) -> Result<(), Failure> {
        self.cases.retain(|it| it.is_called(name));
        if self.cases.is_empty() {
            return Err(Failure::usage(anyhow!(
                "--case: no case that is remembered is called \"{name}\"; allowed: the name or \
                 the ARN of an alarm or instance that `steward {NAME} {HISTORY}` shows"
            )));
        }
        Ok(())
    }
}

/// Reads the ledger and shows it.
async fn run(matches: &ArgMatches, around: &Surroundings) -> Result<Exit, Failure> {
    let given = HistoryArguments::from_arg_matches(matches).map_err(Failure::usage)?;
    let table = around.ledger()?;
    let config = by_hand::sdk_config(&given.aws).await;
    let ledger = Ledger::new(&config, table);
    let now = Clock::System.now();
    let history = History::read(&ledger, now).await;
    let history = history.map_err(Failure::failed)?;
    let mut answer = Answer::of(ledger.table(), now, history);
    if let Some(name) = &given.case {
        answer.only(name)?;
    }
    let draw = |look: &_| {
        let drawing = Drawing::new(&answer, look, &given.aws);
        match &given.case {
            Some(_) => drawing.draw_whole(),
            None => drawing.draw(),
        }
    };
    given.shape.tell(&answer, &around.terminal, draw)?;
    Ok(Exit::Done)
}
