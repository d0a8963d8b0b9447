//! What a command finds around it: the terminal, and what the environment says.

use steward::lambda;
use steward::ledger::{self, LedgerTable};

use crate::exit::Failure;
use crate::terminal::Terminal;

/// Found out once at the start.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Where the output goes.
    pub(crate) terminal: Terminal,
    /// The variable [`lambda::LEDGER`].
    pub(crate) ledger: Option<String>,
}

impl Surroundings {
    /// The ledger of a run by hand: the one that is named, or the usual one if it
    /// is there.
    pub(crate) fn ledger(&self) -> Result<LedgerTable, Failure> {
        match self
            .ledger
            .as_deref()
            .filter(|name| !name.trim().is_empty())
        {
            Some(name) => lambda::ledger_table(name).map_err(Failure::usage),
            None => Ok(LedgerTable::IfThere(ledger::TABLE.to_owned())),
        }
    }
}
