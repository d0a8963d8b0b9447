//! `preview`: a subcommand that tells what is to come under a policy. It never
//! changes anything.

mod rotation;
mod scaling;

use clap::Args;
use serde::Serialize;
use steward::policy::Policy;

use crate::arguments::AwsArguments;
use crate::by_hand::{Aside, Told};
use crate::exit::Failure;
use crate::page::{Page, Tone};
use crate::show::{self, Look};
use crate::terminal::{Terminal, print};
use crate::words::short;

/// What it is called, of every function that has one.
const PREVIEW: &str = "preview";

/// Of snapshot-rotation: snapshots in a week, a month and a year.
pub(crate) const OF_ROTATION: Aside = Aside {
    name: PREVIEW,
    command: rotation::command,
    run: |matches, around| Box::pin(rotation::run(matches, &around.terminal)),
};

/// Of scheduled-scaling: when environments sleep and wake.
pub(crate) const OF_SCALING: Aside = Aside {
    name: PREVIEW,
    command: scaling::command,
    run: |matches, around| Box::pin(scaling::run(matches, around)),
};

/// How many of a kind are shown, unless everything is to be.
const SOME: usize = 12;

/// How it is told.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Shape {
    /// Print all of it as JSON, and nothing else.
    #[arg(long)]
    json: bool,

    /// Show everything, however long.
    #[arg(long, conflicts_with = "json")]
    all: bool,
}

impl Shape {
    /// Prints an answer as data, or as it is drawn.
    pub(crate) fn tell(
        self,
        answer: &impl Serialize,
        terminal: &Terminal,
        draw: impl FnOnce(&Look) -> String,
    ) -> Result<(), Failure> {
        let text = if self.json {
            serde_json::to_string(answer).map_err(Failure::failed)? + "\n"
        } else {
            draw(&Look {
                width: terminal.width,
                colours: terminal.colours,
                all: self.all,
            })
        };
        print(&text).map_err(Failure::failed)
    }
}

/// What a preview goes by.
#[derive(Clone, Debug, Serialize)]
struct Basis {
    schema_version: u32,
    function: &'static str,
    /// Where the policy is from.
    policy: String,
    policy_digest: String,
}

impl Basis {
    fn of<P: Policy>(function: &'static str, told: &Told<P>) -> Self {
        Self {
            schema_version: 1,
            function,
            policy: told.source.to_string(),
            policy_digest: told.policy.digest().to_owned(),
        }
    }

    fn draw(&self, page: &mut Page) {
        let policy = format!("{} ({})", self.policy, short(&self.policy_digest));
        page.hang("policy    ", &policy);
    }
}

/// A heading with what a person should know, when there is anything.
pub(crate) fn draw_warnings(page: &mut Page, warnings: &[String], most: usize) {
    if warnings.is_empty() {
        return;
    }
    page.heading("Warnings", Tone::Look);
    for warning in warnings.iter().take(most) {
        page.say(warning);
    }
}

/// The plan of what the next run would do, as `--argument NAME` says of which.
fn plan_command(
    function: &str,
    policy: Option<&String>,
    aws: &AwsArguments,
    (argument, names): (&str, &[String]),
) -> Vec<String> {
    let mut words = ["steward", function, "plan"].map(str::to_owned).to_vec();
    let options = [
        ("policy", policy),
        ("profile", aws.profile.as_ref()),
        ("region", aws.region.as_ref()),
    ];
    let names = names.iter().map(|name| (argument, Some(name)));
    for (name, value) in options.into_iter().chain(names) {
        if let Some(value) = value {
            show::option(&mut words, name, value);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_of_the_same_policy_place_and_names() {
        let aws = AwsArguments {
            profile: Some("dev account".to_owned()),
            region: None,
        };
        let names = ["a".to_owned(), "b".to_owned()];
        let policy = "policy.yaml".to_owned();
        let words = plan_command("x", Some(&policy), &aws, ("database", &names));
        assert_eq!(
            words.join(" "),
            "steward x plan --policy policy.yaml --profile 'dev account' --database a --database b"
        );
    }
}
