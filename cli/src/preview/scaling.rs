//! `steward scheduled-scaling preview`: when environments sleep and wake in the days
//! to come, and what that saves. It never changes anything.

mod drawing;

use anyhow::anyhow;
use clap::{ArgMatches, Args, Command, FromArgMatches as _, value_parser};
use jiff::civil::Date;
use scheduled_scaling::preview::{Days, MOST_DAYS, Preview, preview};
use scheduled_scaling::{Environments, NAME, ScalingPolicy};
use serde::Serialize;
use steward::engine::Clock;

use self::drawing::Drawing;
use super::{Basis, PREVIEW, Shape, plan_command};
use crate::arguments::AwsArguments;
use crate::by_hand;
use crate::exit::{Exit, Failure};
use crate::surroundings::Surroundings;

/// The arguments.
#[derive(Clone, Debug, Args)]
struct PreviewArguments {
    /// The policy.
    #[arg(long, value_name = "FILE|ssm:NAME|s3://BUCKET/KEY")]
    policy: String,

    /// How many days.
    #[arg(long, value_name = "N", default_value_t = 7,
          value_parser = value_parser!(u8).range(1..=i64::from(MOST_DAYS)))]
    days: u8,

    /// The first of them, such as 2026-12-24. Without it, today.
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,

    /// Only this environment; may be repeated.
    #[arg(long, value_name = "NAME")]
    environment: Vec<String>,

    /// Draw what persons asked for against the schedules as well: asks the ledger, with
    /// the credentials of the AWS profile.
    #[arg(long)]
    overrides: bool,

    #[command(flatten)]
    shape: Shape,

    #[command(flatten)]
    aws: AwsArguments,
}

/// Its command line.
pub(super) fn command() -> Command {
    PreviewArguments::augment_args(Command::new(PREVIEW))
        .about("Draw when environments sleep and wake in the coming week; change nothing")
        .long_about(
            "Draw when environments sleep and wake in the coming week, each in the time zone of its \
             first schedule, with the transitions to come, clock changes, holidays and exceptions, \
             and by the prices of the policy an estimate of what is saved. It goes by the policy \
             alone and supposes that all goes well: each transition is made in time, no Change \
             Calendar is closed, and nobody starts or stops anything by hand. Nothing is changed.",
        )
}

/// What is told.
#[derive(Clone, Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    basis: Basis,
    #[serde(flatten)]
    preview: Preview,
    warnings: Vec<String>,
}

/// Reads the policy, works out and draws.
pub(super) async fn run(matches: &ArgMatches, around: &Surroundings) -> Result<Exit, Failure> {
    let given = PreviewArguments::from_arg_matches(matches).map_err(Failure::usage)?;
    let told = by_hand::told::<ScalingPolicy>(Some(&given.policy), &given.aws).await?;
    let policy = only(told.policy.policy(), &given.environment)?;
    let days = Days {
        from: given.from,
        days: given.days,
    };
    let mut warnings = Vec::new();
    let mut overrides = None;
    if given.overrides {
        let hands = Environments::new(&told.config, around.ledger()?);
        overrides = hands.overrides().await.map_err(Failure::failed)?;
        if overrides.is_none() {
            warnings.push("there is no ledger, and so there are no overrides".to_owned());
        }
    }
    if policy.environments.is_empty() {
        warnings.push("the policy has no environments: nothing sleeps or wakes".to_owned());
    }
    let answer = Answer {
        basis: Basis::of(NAME, &told),
        preview: preview(&policy, days, overrides.as_ref(), Clock::System.now()),
        warnings,
    };
    let names = ("environment", &given.environment[..]);
    let plan = plan_command(NAME, Some(&given.policy), &given.aws, names);
    let draw = |look: &_| Drawing::new(&answer, look).draw(&plan);
    given.shape.tell(&answer, &around.terminal, draw)?;
    Ok(Exit::Done)
}

/// The policy with only these environments; with all when none is named.
fn only(policy: &ScalingPolicy, names: &[String]) -> Result<ScalingPolicy, Failure> {
    let mut policy = policy.clone();
    let known = &policy.environments;
    if let Some(name) = names.iter().find(|name| !known.contains_key(*name)) {
        let known: Vec<&str> = known.keys().map(String::as_str).collect();
        return Err(Failure::usage(anyhow!(
            "--environment: \"{name}\" is not in the policy; allowed: {}",
            match known.as_slice() {
                [] => "none, because there are none".to_owned(),
                known => known.join(", "),
            }
        )));
    }
    if !names.is_empty() {
        policy.environments.retain(|name, _| names.contains(name));
    }
    Ok(policy)
}
