//! `steward doctor`: is everything there that Steward needs? Looks only.
//!
//! Of the whole deployment in an account and Region, or of one function, also
//! where none is deployed. It runs with the operator's credentials and judges
//! the permissions of whoever a function is: its deployed role, the one given
//! by `--role`, or the caller. What cannot be read is told as that, and never
//! taken for fine.

mod alarms;
mod deployment;
mod function;
mod last_run;
mod permissions;
mod recovery;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

use aws_config::SdkConfig;
use aws_sdk_iam::error::ProvideErrorMetadata;
use clap::{Args, FromArgMatches as _};
use serde::Serialize;
use serde_json::json;
use steward::aws::{self, ErrorKind, Identity, Incomplete};
use steward::engine::Leash;
use steward::event::Arn;
use steward::ledger::LedgerTable;
use steward::notify::Topic;
use steward::policy::PolicySource;

use crate::arguments::AwsArguments;
use crate::by_hand;
use crate::exit::{Exit, Failure};
use crate::functions;
use crate::page::{Page, Tone};
use crate::surroundings::Surroundings;
use crate::terminal::{Terminal, print};

pub(crate) use self::function::findings;

#[derive(Clone, Debug, Args)]
pub(crate) struct DoctorArguments {
    /// The function to look at, deployed or not; without it, the whole
    /// deployment in this account and Region.
    #[arg(value_name = "FUNCTION", value_parser = clap::builder::PossibleValuesParser::new(functions::names()))]
    function: Option<String>,

    /// The policy it will run with.
    #[arg(
        long,
        value_name = "FILE|ssm:NAME|s3://BUCKET/KEY",
        requires = "function"
    )]
    policy: Option<String>,

    /// The role it will run as; else the caller's permissions are judged.
    #[arg(long, value_name = "ARN", requires = "function")]
    role: Option<String>,

    /// The topic that it will tell people through.
    #[arg(long, value_name = "ARN", requires = "function")]
    topic: Option<String>,

    /// An environment, by the value of the tag steward:environment, to try permissions on
    /// that roles have by that tag; may be repeated. For functions whose policies name none.
    #[arg(long = "environment", value_name = "NAME")]
    environments: Vec<String>,

    /// Print the findings as JSON, and nothing else.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    aws: AwsArguments,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// As it should be.
    Good,
    /// It works, and a person should know something about it.
    Warning,
    /// It could not be found out.
    Unknown,
    /// It does not work, or something was lost.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// What was looked at: `identity`, `policy`, `permissions`, …
    check: &'static str,
    /// For which function, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'static str>,
    state: State,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    todo: Vec<String>,
}

impl Finding {
    fn new(check: &'static str, state: State, found: impl Into<String>) -> Self {
        Self {
            check,
            function: None,
            state,
            found: found.into(),
            todo: vec![],
        }
    }

    fn todo(mut self, todo: impl Into<String>) -> Self {
        self.todo.push(todo.into());
        self
    }

    /// Something that could not be read, and the IAM action that reads it.
    fn unread<E: Error + ProvideErrorMetadata + 'static>(
        action: &'static str,
        check: &'static str,
        what: &str,
        why: &Incomplete<E>,
    ) -> Self {
        let finding = Self::new(
            check,
            State::Unknown,
            format!("{what} is not read: {action}: {why}"),
        );
        match why.kind() {
            ErrorKind::Denied => finding.todo(format!("allow yourself {action}")),
            _ => finding,
        }
    }

    fn of(mut self, function: &'static str) -> Self {
        self.function = Some(function);
        self
    }
}

/// Where a function is looked at, and with what.
pub(crate) struct Place<'a> {
    config: &'a SdkConfig,
    identity: &'a Identity,
    region: &'a str,
    principal: &'a Result<Principal, String>,
    policy: &'a PolicySource,
    /// Whether the role of a deployed function is judged.
    deployed: bool,
    /// The most that the deployed function does, where that is known.
    leash: Option<Leash>,
    topic: Option<&'a str>,
    ledger: &'a LedgerTable,
    /// Environments to try permissions on.
    environments: &'a [String],
}

/// What every function's look gives.
pub(crate) type Findings<'a> = Pin<Box<dyn Future<Output = Vec<Finding>> + 'a>>;

/// `steward doctor`.
pub(crate) async fn run(
    matches: &clap::ArgMatches,
    around: &Surroundings,
) -> Result<Exit, Failure> {
    let given = DoctorArguments::from_arg_matches(matches).map_err(Failure::usage)?;
    if let Some(role) = &given.role {
        check_role(role).map_err(Failure::usage)?;
    }
    if let Some(topic) = &given.topic {
        check_topic(topic).map_err(Failure::usage)?;
    }
    let policy = match &given.policy {
        Some(text) => PolicySource::argument(text).map_err(Failure::usage)?,
        None => PolicySource::Defaults,
    };
    let ledger = around.ledger()?;
    let config = by_hand::sdk_config(&given.aws).await;
    let findings = look(&given, &policy, &config, &ledger).await;
    let text = if given.json {
        let json = json!({ "schema_version": 1, "findings": findings });
        format!("{json}\n")
    } else {
        show(&findings, &around.terminal)
    };
    print(&text).map_err(Failure::failed)?;
    let good = |finding: &Finding| matches!(finding.state, State::Good | State::Warning);
    Ok(if findings.iter().all(good) {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn check_role(arn: &str) -> anyhow::Result<()> {
    let is_role = Arn::parse(arn).is_some_and(|arn| {
        arn.service == "iam"
            && arn.region.is_empty()
            && arn.account.len() == 12
            && arn.resource_type() == "role"
            && !arn.resource_id().is_empty()
    });
    anyhow::ensure!(
        is_role,
        "--role: \"{arn}\" is not allowed; allowed: arn:aws:iam::ACCOUNT:role/NAME"
    );
    Ok(())
}

fn check_topic(arn: &str) -> anyhow::Result<()> {
    let allowed = Topic::ALLOWED;
    anyhow::ensure!(
        Topic::parse(arn).is_some(),
        "--topic: \"{arn}\" is not allowed; allowed: {allowed}"
    );
    Ok(())
}

async fn look(
    given: &DoctorArguments,
    policy: &PolicySource,
    config: &SdkConfig,
    ledger: &LedgerTable,
) -> Vec<Finding> {
    let region = match aws::region(config) {
        Ok(region) => region,
        Err(error) => return vec![Finding::new("region", State::Bad, error.to_string())],
    };
    let mut findings = vec![Finding::new("region", State::Good, region.clone())];
    let identity = match aws::identity(config).await {
        Ok(identity) => identity,
        Err(error) => {
            findings.push(
                Finding::new("identity", State::Bad, aws::chain(&error))
                    .todo("sign in, or name a profile with --profile"),
            );
            return findings;
        }
    };
    findings.push(Finding::new(
        "identity",
        State::Good,
        format!("account {}, as {}", identity.account, identity.arn),
    ));
    let Some(function) = given.function.as_deref().and_then(functions::named) else {
        findings.extend(deployment::look(config, &identity, &region, &given.environments).await);
        return findings;
    };
    let principal = principal(given, config, &identity).await;
    let place = Place {
        config,
        identity: &identity,
        region: &region,
        principal: &principal,
        policy,
        deployed: given.role.is_some(),
        leash: None,
        topic: given.topic.as_deref(),
        ledger,
        environments: &given.environments,
    };
    let of_function = (function.findings)(&place).await;
    findings.extend(of_function.into_iter().map(|f| f.of(function.name)));
    findings
}

/// Whose permissions are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Principal {
    /// An IAM user or role.
    Arn(String),
    /// The account's root user, who may do everything that the organisation
    /// allows.
    Root,
}

/// An assumed role's session names the role without its path, which the
/// simulation needs (`arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`, AWS IAM
/// User Guide, "IAM identifiers").
async fn principal(
    given: &DoctorArguments,
    config: &SdkConfig,
    identity: &Identity,
) -> Result<Principal, String> {
    if let Some(role) = &given.role {
        return Ok(Principal::Arn(role.clone()));
    }
    let arn = Arn::parse(&identity.arn)
        .ok_or_else(|| format!("the caller's ARN {} cannot be read", identity.arn))?;
    let name: Vec<&str> = arn.resource.split('/').collect();
    match (arn.service.as_str(), name.as_slice()) {
        ("iam", ["root"]) => Ok(Principal::Root),
        ("iam", ["user" | "role", ..]) => Ok(Principal::Arn(identity.arn.clone())),
        ("sts", ["assumed-role", role, ..]) => {
            let answer = aws_sdk_iam::Client::new(config)
                .get_role()
                .role_name(*role)
                .send()
                .await
                .map_err(|error| {
                    format!(
                        "iam:GetRole of the caller's role {role}: {}",
                        aws::explain(&error)
                    )
                })?;
            let arn = answer.role.map(|role| role.arn);
            arn.map(Principal::Arn)
                .ok_or_else(|| format!("iam:GetRole of {role}: the answer has no role in it"))
        }
        _ => Err(format!(
            "{} is neither user nor role, and IAM simulates no other",
            identity.arn
        )),
    }
}

/// The findings as text, and what they add up to.
fn show(findings: &[Finding], terminal: &Terminal) -> String {
    let mut page = Page::new(terminal.width, terminal.colours);
    let mut of = None;
    for finding in findings {
        if of != Some(finding.function) {
            page.heading(finding.function.unwrap_or("account"), Tone::Strong);
            of = Some(finding.function);
        }
        let mark = match finding.state {
            State::Good => "ok       ",
            State::Warning => "look     ",
            State::Unknown => "unknown  ",
            State::Bad => "wrong    ",
        };
        let check = finding.check.replace('_', " ");
        page.hang(mark, &format!("{check}: {}", finding.found));
        for todo in &finding.todo {
            page.hang("         -> ", todo);
        }
    }
    let number = |state| findings.iter().filter(|f| f.state == state).count();
    let (bad, unknown, warnings) = (
        number(State::Bad),
        number(State::Unknown),
        number(State::Warning),
    );
    let (text, tone) = if bad + unknown > 0 {
        let text = format!("{bad} wrong, {unknown} unknown, {warnings} to look at");
        (text, Tone::Bad)
    } else if warnings > 0 {
        (format!("nothing wrong, {warnings} to look at"), Tone::Look)
    } else {
        ("nothing wrong".to_owned(), Tone::Good)
    };
    page.heading(&text, tone);
    page.finish()
}
