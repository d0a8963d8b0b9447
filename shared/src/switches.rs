//! The kill switches: Systems Manager parameters that stop a function before
//! its next batch of writes.
//!
//! One is for every function, one for each. `off` means that the switch is
//! off and the function runs; any other value stops it, and so does a switch
//! that cannot be read.

use aws_sdk_ssm::Client;

use crate::aws;

/// Stops every function.
pub const ALL: &str = "/steward/kill-switch/all";

/// The value that lets a function run.
pub const OFF: &str = "off";

/// The name of one function's own switch.
pub fn name_for(function: &str) -> String {
    format!("/steward/kill-switch/{function}")
}

/// What a switch that does not exist means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// A deployed function has its switches deployed with it; one that is
    /// gone is not readable, and unreadable means stop.
    Stops,
    /// By hand, in an account where nothing is deployed, there is none.
    Passes,
}

/// What the switches say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Go on.
    Run,
    /// Stop, and why.
    Stop(String),
}

/// Where the switches are read.
#[derive(Debug)]
pub enum Switches {
    /// Systems Manager parameters.
    Parameters {
        /// Of the account and Region that the function runs in.
        client: Client,
        /// Their names; at most 10, as `GetParameters` takes.
        names: Vec<String>,
        /// What a missing one means.
        absent: Absent,
    },
    /// For tests and simulations: always this position.
    Fixed(Position),
}

impl Switches {
    /// The two switches of a function.
    pub fn of(client: Client, function: &str, absent: Absent) -> Self {
        Self::Parameters {
            client,
            names: vec![ALL.to_owned(), name_for(function)],
            absent,
        }
    }

    /// Reads them all in one call (`ssm:GetParameters`).
    pub async fn read(&self) -> Position {
        let (client, names, absent) = match self {
            Self::Fixed(position) => return position.clone(),
            Self::Parameters {
                client,
                names,
                absent,
            } => (client, names, *absent),
        };
        let answer = match client
            .get_parameters()
            .set_names(Some(names.clone()))
            .send()
            .await
        {
            Ok(answer) => answer,
            Err(error) => {
                return Position::Stop(format!(
                    "the kill switches {} cannot be read, which means stop: {}",
                    names.join(", "),
                    aws::explain(&error),
                ));
            }
        };
        for name in names {
            let value = answer
                .parameters()
                .iter()
                .find(|p| p.name() == Some(name))
                .map(|p| p.value().unwrap_or_default().trim());
            match (value, absent) {
                (Some(OFF), _) | (None, Absent::Passes) => {}
                (Some(value), _) => {
                    return Position::Stop(format!(
                        "kill switch {name} is \"{value}\"; set it to \"{OFF}\" to go on"
                    ));
                }
                (None, Absent::Stops) => {
                    return Position::Stop(format!(
                        "kill switch {name} does not exist, which means stop; create it with the \
                         value \"{OFF}\" to go on"
                    ));
                }
            }
        }
        Position::Run
    }
}
