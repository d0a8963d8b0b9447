//! `steward doctor`: is everything there that a function needs? Looks only.
//!
//! It runs with the operator's credentials and judges the permissions of
//! whoever the function will be: its role, given by `--role`, or the caller.

mod permissions;

use std::future::Future;
use std::pin::Pin;

use aws_config::SdkConfig;
use clap::{Args, FromArgMatches as _};
use serde::Serialize;
use serde_json::json;
use steward::aws::{self, Identity};
use steward::engine::{Clock, Leash, Mode, Trigger};
use steward::event::Arn;
use steward::guard;
use steward::lambda;
use steward::notify::Topic;
use steward::permission::Asked;
use steward::policy::{PolicyDocument, PolicySource};
use steward::report::Report;
use steward::run::{Context, Run};
use steward::switches::{Absent, Position, Switches};
use steward::tally::UnitTally;

use crate::arguments::AwsArguments;
use crate::by_hand::{self, ByHand};
use crate::exit::{Exit, Failure};
use crate::functions;
use crate::page::{Page, Tone};
use crate::terminal::{Terminal, print};

/// How many units a permission is simulated on, one call each: IAM throttles
/// simulations soon.
const UNITS: usize = 5;

#[derive(Clone, Debug, Args)]
pub(crate) struct DoctorArguments {
    /// The function to look at; all of them when none is named.
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
    #[arg(long, value_name = "ARN")]
    role: Option<String>,

    /// The topic that it will tell people through.
    #[arg(long, value_name = "ARN", requires = "function")]
    topic: Option<String>,

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
    /// It will not work.
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
}

/// Where a function is looked at, and with what.
pub(crate) struct Place<'a> {
    config: &'a SdkConfig,
    identity: &'a Identity,
    region: &'a str,
    principal: &'a Result<Principal, String>,
    policy: Option<&'a str>,
    /// Whether the role of a deployed function is judged.
    deployed: bool,
    topic: Option<&'a str>,
}

/// What every function's look gives.
pub(crate) type Findings<'a> = Pin<Box<dyn Future<Output = Vec<Finding>> + 'a>>;

/// `steward doctor`.
pub(crate) async fn run(matches: &clap::ArgMatches, terminal: &Terminal) -> Result<Exit, Failure> {
    let given = DoctorArguments::from_arg_matches(matches).map_err(Failure::usage)?;
    if let Some(role) = &given.role {
        check_role(role).map_err(Failure::usage)?;
    }
    if let Some(topic) = &given.topic {
        check_topic(topic).map_err(Failure::usage)?;
    }
    let config = by_hand::sdk_config(&given.aws).await;
    let findings = look(&given, &config).await;
    let text = if given.json {
        let json = json!({ "schema_version": 1, "findings": findings });
        format!("{json}\n")
    } else {
        show(&findings, terminal)
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

async fn look(given: &DoctorArguments, config: &SdkConfig) -> Vec<Finding> {
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
    let principal = principal(given, config, &identity).await;
    let place = Place {
        config,
        identity: &identity,
        region: &region,
        principal: &principal,
        policy: given.policy.as_deref(),
        deployed: given.role.is_some(),
        topic: given.topic.as_deref(),
    };
    for function in functions::FUNCTIONS {
        if given
            .function
            .as_deref()
            .is_none_or(|name| name == function.name)
        {
            findings.extend((function.findings)(&place).await);
        }
    }
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

/// Everything about one function.
pub(crate) async fn findings<F: ByHand>(place: &Place<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut units = Vec::new();
    let source = match place.policy.map(PolicySource::argument) {
        None => PolicySource::Defaults,
        Some(Ok(source)) => source,
        Some(Err(error)) => {
            findings.push(Finding::new("policy", State::Bad, error.to_string()));
            return named::<F>(findings);
        }
    };
    let loaded = source.load::<F::Policy>(place.config).await;
    findings.push(match (&loaded, place.policy) {
        (Ok(_), None) => Finding::new(
            "policy",
            State::Warning,
            "none given: the plan below looks at everything with the defaults",
        )
        .todo("give the one that the function has with --policy"),
        (Ok(policy), Some(_)) if !policy.selects_targets() => Finding::new(
            "policy",
            State::Warning,
            "it can be read and selects no targets, so that apply is refused",
        ),
        (Ok(policy), Some(origin)) => Finding::new(
            "policy",
            State::Good,
            format!("{origin}, {}", policy.digest()),
        ),
        (Err(error), _) => Finding::new("policy", State::Bad, aws::chain(error)),
    });

    let client = aws_sdk_ssm::Client::new(place.config);
    findings.push(
        match Switches::of(client, F::NAME, Absent::Stops).read().await {
            Position::Run => Finding::new("kill_switches", State::Good, "off"),
            // By hand none has to exist.
            Position::Stop(why) => {
                let state = if place.deployed {
                    State::Bad
                } else {
                    State::Warning
                };
                Finding::new("kill_switches", state, why)
                    .todo("until then the deployed function refuses to act")
            }
        },
    );

    if let Ok(policy) = &loaded {
        match plan::<F>(place, policy).await {
            Ok(run) => {
                units = units_of(&run);
                findings.extend(of_plan(&run.report, policy.selects_targets()));
            }
            Err(error) => findings.push(Finding::new("plan", State::Bad, error)),
        }
    }
    findings.extend(permissions::<F>(place, loaded.as_ref().ok(), &source, &units).await);
    named::<F>(findings)
}

fn named<F: ByHand>(mut findings: Vec<Finding>) -> Vec<Finding> {
    for finding in &mut findings {
        finding.function = Some(F::NAME);
    }
    findings
}

/// What the function would do now, by the operator's own permissions.
async fn plan<F: ByHand>(
    place: &Place<'_>,
    policy: &PolicyDocument<F::Policy>,
) -> Result<Run<F>, String> {
    let mut request =
        lambda::request::<F>(&json!({ "mode": "plan" })).map_err(|error| aws::chain(&error))?;
    request.trigger = Trigger::Cli;
    let client = aws_sdk_ssm::Client::new(place.config);
    let switches = Switches::of(client, F::NAME, Absent::Passes);
    let context = Context {
        account: place.identity.account.clone(),
        region: place.region.to_owned(),
        run_id: by_hand::run_id(Clock::System),
        leash: Leash(Mode::Plan),
        clock: Clock::System,
        deadline: None,
        switches: &switches,
        most_lines: usize::MAX,
    };
    let hands = F::hands(place.config);
    Ok(steward::run::run::<F>(&hands, &context, policy, request).await)
}

fn of_plan(report: &Report, selects: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for gap in &report.gaps {
        let mut finding = Finding::new(
            "gap",
            State::Bad,
            format!("{} (could hide {})", gap.read, gap.hides),
        );
        if !gap.grant.is_empty() {
            finding = finding.todo(format!("if it was denied, allow {}", gap.grant));
        }
        findings.push(finding);
    }
    // A refusal for a gap says again what the gap says.
    let refusals = report.refusals.iter();
    for refusal in refusals.filter(|refusal| refusal.guard != guard::INCOMPLETE_OBSERVATION) {
        findings.push(Finding::new(
            "refusal",
            State::Warning,
            format!("{} for {}: {}", refusal.guard, refusal.unit, refusal.detail),
        ));
    }
    for warning in &report.warnings {
        findings.push(Finding::new("warning", State::Warning, warning.clone()));
    }
    let sums = &report.summary;
    let nothing = selects && sums.observed == 0 && report.gaps.is_empty();
    let state = if nothing { State::Warning } else { State::Good };
    findings.push(Finding::new(
        "plan",
        state,
        format!(
            "{} observed, {} kept, {} left for later, {} planned",
            sums.observed, sums.kept, sums.deferred, sums.planned
        ),
    ));
    findings
}

/// Units to try permissions on: those that the plan wants to change first.
fn units_of<F: ByHand>(run: &Run<F>) -> Vec<String> {
    let mut units: Vec<&UnitTally> = run.units.iter().collect();
    units.sort_by_key(|tally| std::cmp::Reverse(tally.summary.planned));
    let names = units.iter().take(UNITS).map(|tally| tally.unit.clone());
    names.collect()
}

/// Whether the principal has every permission that the function needs.
async fn permissions<F: ByHand>(
    place: &Place<'_>,
    policy: Option<&PolicyDocument<F::Policy>>,
    source: &PolicySource,
    units: &[String],
) -> Vec<Finding> {
    let principal = match place.principal {
        Ok(Principal::Arn(arn)) => arn,
        Ok(Principal::Root) => {
            let found = "the caller is the root user, who may do everything";
            return vec![
                Finding::new("permissions", State::Warning, found)
                    .todo("name the function's role with --role"),
            ];
        }
        Err(why) => {
            return vec![
                Finding::new("permissions", State::Unknown, why.clone())
                    .todo("name the function's role with --role"),
            ];
        }
    };
    let account = place.identity.account.as_str();
    let arn = Arn::parse(principal);
    let Some(arn) = arn.filter(|arn| arn.account == account) else {
        let found = format!("{principal} is not of account {account}, and only its own can tell");
        return vec![Finding::new("permissions", State::Unknown, found)];
    };
    let partition = arn.partition.as_str();
    let mut asked = policy.map_or_else(Vec::new, |policy| {
        F::asked_for(policy.policy(), partition, place.region, account, units)
    });
    match source {
        PolicySource::Ssm(name) => asked.push(Asked {
            action: "ssm:GetParameter",
            // A name with a path starts with a slash, which the ARN has already.
            resource: format!(
                "arn:{partition}:ssm:{}:{account}:parameter/{}",
                place.region,
                name.trim_start_matches('/')
            ),
        }),
        PolicySource::S3 { bucket, key } => asked.push(Asked {
            action: "s3:GetObject",
            resource: format!("arn:{partition}:s3:::{bucket}/{key}"),
        }),
        _ => {}
    }
    asked.extend(place.topic.map(|topic| Asked {
        action: "sns:Publish",
        resource: topic.to_owned(),
    }));
    let needs = permissions::Needs {
        all: F::permissions(),
        asked,
        applies: policy.is_some_and(PolicyDocument::selects_targets),
        units,
        partition,
        region: place.region,
        account,
    };
    let client = aws_sdk_iam::Client::new(place.config);
    needs.judge(&client, principal).await
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
