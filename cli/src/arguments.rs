//! The command line.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Args, Command, value_parser};

use crate::doctor::DoctorArguments;
use crate::functions;

/// What every run of every function takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArguments {
    /// The policy. Required for apply.
    #[arg(long, value_name = "FILE|ssm:NAME|s3://BUCKET/KEY")]
    pub(crate) policy: Option<String>,

    /// The event to act on: a file with what AWS would send, or with the manual
    /// form; `-` is standard input. It may ask for less than the subcommand,
    /// and is refused when it asks for more.
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    pub(crate) event: Option<String>,

    /// Save the whole plan for review; `apply --plan` does exactly that.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan_out: Option<PathBuf>,

    /// Overwrite the file of --plan-out.
    #[arg(long, requires = "plan_out")]
    pub(crate) force: bool,

    /// A saved plan: only what is in it, and still wanted, is done. With
    /// `plan`, shows what of it has drifted.
    #[arg(long, value_name = "FILE", conflicts_with = "plan_out")]
    pub(crate) plan: Option<String>,

    /// Print the report as JSON, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,

    /// Show every row.
    #[arg(long, conflicts_with = "json")]
    pub(crate) all: bool,

    /// Exit with 10 when a plan has changes.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,

    #[command(flatten)]
    pub(crate) aws: AwsArguments,
}

/// Which account and Region, beside what the environment says.
#[derive(Clone, Debug, Args)]
pub(crate) struct AwsArguments {
    /// The AWS profile.
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// The AWS Region.
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
}

/// The whole command line.
pub(crate) fn command() -> Command {
    let functions = functions::FUNCTIONS.iter().map(|f| (f.command)());
    Command::new("steward")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Every function of Steward by hand, with your own AWS credentials.")
        .after_help(
            "Exit status: 0 done, planned or nothing to do; 1 failed; 2 wrong usage, policy, plan \
             file or event; 3 refused; 4 waiting; 5 partly done. With --detailed-exitcode, 10 when \
             a plan has changes.",
        )
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(functions)
        .subcommand(doctor_command())
        .subcommand(report_command())
        .subcommand(schema_command())
}

fn doctor_command() -> Command {
    DoctorArguments::augment_args(Command::new("doctor"))
        .about("Check that everything is there that Steward needs; change nothing")
        .long_about(
            "Check that everything is there that Steward needs, and change nothing. Of the whole \
             deployment in this account and Region: functions, concurrency, dead letters, alarms, \
             topics, what a recovery needs, last runs, and everything about each function. Of one \
             function, deployed or not: who is calling, the policy, the kill switches, what a plan \
             cannot read, and by simulation whether its role has every permission. The exit \
             status is 0 when nothing is wrong, and 1 when something is or cannot be told.",
        )
}

fn report_command() -> Command {
    Command::new("report")
        .about("Show a saved report as text")
        .long_about(
            "Show a saved report as text: the output of --json, the answer of a Lambda function, \
             or the record of a Lambda destination. The exit status is that of the run it tells of.",
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .help("The report; `-` is standard input"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .help("Show every row"),
        )
}

fn schema_command() -> Command {
    Command::new("schema")
        .about("Print the JSON Schema of reports, or of a function's policy")
        .arg(
            Arg::new("of")
                .value_name("OF")
                .required(true)
                .value_parser(functions::schema_names()),
        )
}

/// The mode of an operation that is called by its name.
pub(crate) fn mode_argument() -> Arg {
    Arg::new("mode")
        .long("mode")
        .value_name("MODE")
        .default_value("plan")
        .value_parser(clap::builder::PossibleValuesParser::new(["plan", "apply"]))
        .help("What it may do: look and tell, or act")
}

/// A scope argument that may be given more than once.
pub(crate) fn scope_argument(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("NAME")
        .action(ArgAction::Append)
        .value_parser(value_parser!(String))
        .conflicts_with_all(["event", "plan"])
        .help(help)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
