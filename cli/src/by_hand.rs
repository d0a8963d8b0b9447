//! The one road of every function by hand: arguments, policy, account, run,
//! report. The subcommand is the leash; the engine does the rest.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use aws_config::identity::IdentityCache;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use clap::{Arg, ArgMatches, Args as _, Command, FromArgMatches as _};
use serde_json::{Map, Value};
use steward::aws;
use steward::engine::{Act, Clock, Function, Leash, Mode, Observe, Trigger};
use steward::lambda;
use steward::ledger::LedgerTable;
use steward::permission::{Asked, Permission};
use steward::plan_file::PlanFile;
use steward::policy::{Policy, PolicyDocument, PolicySource};
use steward::report::Status;
use steward::run::{Context, Request};
use steward::switches::{Absent, Switches};

use crate::arguments::{AwsArguments, RunArguments, mode_argument};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::functions::Ending;
use crate::progress::{Progress, Watched};
use crate::show::{self, Given, Look};
use crate::surroundings::Surroundings;
use crate::terminal::print;

/// What a function needs to be run by hand.
pub(crate) trait ByHand: Function + Sized + 'static {
    /// Its reading and writing halves.
    type Hands: Observe<Self> + Act<Self>;
    /// What it does, for `--help`.
    const ABOUT: &'static str;
    /// What takes long, for the spinner.
    const READING: &'static str;

    /// Its clients. A function that needs no ledger makes them without it.
    fn hands(config: &SdkConfig, ledger: LedgerTable) -> Self::Hands;

    /// The permissions it needs.
    fn permissions() -> &'static [Permission];

    /// Those that this policy asks for beyond what is always needed: on a few of the units
    /// that it sees, and in environments that a person has named.
    fn asked_for(
        policy: &Self::Policy,
        partition: &str,
        region: &str,
        account: &str,
        units: &[String],
        environments: &[String],
    ) -> Vec<Asked>;

    /// What it has beside its operations, if anything.
    const ASIDE: Option<Aside> = None;

    /// The operation that sees the most, which the doctor plans.
    const SEES_MOST: &'static str = Self::OPERATIONS[0];

    /// Whether that operation sees nothing where there is nothing to do. Where that of
    /// another function sees nothing, its policy selects nothing that is there.
    const IDLE_SEES_NOTHING: bool = false;

    /// Its own arguments.
    fn scope_arguments() -> Vec<Arg>;

    /// Those of an operation that takes others.
    fn arguments_of(_operation: &str) -> Option<Vec<Arg>> {
        None
    }

    /// These arguments as parameters of the manual form.
    fn parameters(operation: Option<&str>, matches: &ArgMatches) -> Map<String, Value>;

    /// Notes who calls, where that is part of what is asked for and nobody has said.
    fn sign(_scope: &mut Self::Scope, _caller: &str) {}
}

/// The arguments of an operation, or of `plan` and `apply`.
fn own_arguments<F: ByHand>(operation: Option<&str>) -> Vec<Arg> {
    let others = operation.and_then(F::arguments_of);
    others.unwrap_or_else(F::scope_arguments)
}

/// A subcommand that tells what is to come or has been, and changes nothing: it is
/// no operation, and no run of the engine.
pub(crate) struct Aside {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its command line, of this name.
    pub(crate) command: fn() -> Command,
    /// Runs it.
    pub(crate) run: for<'a> fn(&'a ArgMatches, &'a Surroundings) -> Ending<'a>,
}

/// `plan` and `apply` are the modes of the main operation; every operation can
/// be called by its name, too.
pub(crate) fn command<F: ByHand>() -> Command {
    let sub = |name: &'static str, about: String| {
        let own = own_arguments::<F>(Some(name));
        // The arguments bring a text of their own, which is not about this.
        RunArguments::augment_args(Command::new(name).args(own))
            .about(about)
            .long_about(None)
    };
    let operations = F::OPERATIONS.iter().map(|operation| {
        let about = format!("The operation {operation}: plans, unless --mode says apply");
        sub(operation, about).arg(mode_argument())
    });
    Command::new(F::NAME)
        .about(F::ABOUT)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(sub(
            Mode::Plan.as_str(),
            "Look, decide and tell; change nothing. Needs read permissions only".to_owned(),
        ))
        .subcommand(sub(
            Mode::Apply.as_str(),
            "Do what plan tells, under a policy that selects its targets".to_owned(),
        ))
        .subcommands(operations)
        .subcommands(F::ASIDE.map(|aside| (aside.command)()))
}

/// What the subcommand allows.
struct Wanted {
    /// `None`: the main operation, or what a plan file or event says.
    operation: Option<&'static str>,
    mode: Mode,
}

fn asked<F: ByHand>(subcommand: &str, matches: &ArgMatches) -> Result<Wanted, Failure> {
    let named = F::OPERATIONS.iter().copied().find(|o| *o == subcommand);
    let mode = match named {
        None => subcommand,
        Some(_) => matches
            .get_one::<String>("mode")
            .map_or("plan", String::as_str),
    };
    Ok(Wanted {
        operation: named,
        mode: mode
            .parse()
            .map_err(|error: steward::event::UnknownMode| Failure::usage(error))?,
    })
}

/// Runs a function and shows its report.
pub(crate) async fn run<F: ByHand>(
    matches: &ArgMatches,
    around: &Surroundings,
) -> Result<Exit, Failure> {
    let (subcommand, matches) = matches
        .subcommand()
        .ok_or_else(|| Failure::usage(anyhow!("{} needs a subcommand", F::NAME)))?;
    if let Some(aside) = F::ASIDE.filter(|aside| subcommand == aside.name) {
        return (aside.run)(matches, around).await;
    }
    let terminal = &around.terminal;
    let ledger = around.ledger()?;
    let asked = asked::<F>(subcommand, matches)?;
    let given = RunArguments::from_arg_matches(matches).map_err(Failure::usage)?;
    if asked.mode == Mode::Apply && given.policy.is_none() {
        let name = F::NAME;
        return Err(Failure::usage(anyhow!(
            "{name} {subcommand} needs --policy: a policy that selects what it may act on; see \
             first what it would do with `steward {name} plan --policy POLICY`"
        )));
    }
    if let Some(path) = given.plan_out.as_deref().filter(|_| !given.force) {
        files::ensure_free(path)
            .context("--plan-out")
            .map_err(Failure::usage)?;
    }
    let mut request = request::<F>(&asked, &given, matches)?;

    let Told {
        source,
        policy,
        config,
    } = told::<F::Policy>(given.policy.as_deref(), &given.aws).await?;
    F::check(policy.policy(), &request.scope).map_err(Failure::usage)?;
    let region = aws::region(&config).map_err(Failure::usage)?;
    if let Some(file) = &request.plan_file
        && file.policy_digest != policy.digest()
    {
        request.warnings.push(
            "the plan was made under another policy; what this one does not want is skipped"
                .to_owned(),
        );
    }
    let caller = aws::identity(&config).await.map_err(Failure::failed)?;
    F::sign(&mut request.scope, &caller.arn);
    let account = caller.account;

    let switches = Switches::of(aws_sdk_ssm::Client::new(&config), F::NAME, Absent::Passes);
    let context = Context {
        account,
        region,
        run_id: run_id(Clock::System),
        leash: Leash(asked.mode),
        clock: Clock::System,
        deadline: None,
        switches: &switches,
        most_lines: usize::MAX,
    };
    if let Some(file) = &request.plan_file {
        file.fits(request.operation, &context.account, &context.region)
            .with_context(|| format!("plan file {}", given.plan.as_deref().unwrap_or_default()))
            .map_err(Failure::usage)?;
    }

    let hands = F::hands(&config, ledger);
    let progress = Progress::start(terminal.progress);
    let run = {
        let watched = Watched::new(&hands, &progress);
        steward::run::run::<F>(&watched, &context, &policy, request).await
    };
    drop(progress);

    let report = &run.report;
    let looked = report.status != Status::Refused || report.summary.observed > 0;
    let saved = match given.plan_out.as_deref().filter(|_| looked) {
        Some(path) => save(&run.plan_file(), path, given.force).map(|()| Some(path)),
        None => Ok(None),
    };
    let text = if given.json {
        serde_json::to_string(&report.bounded())
            .map(|json| json + "\n")
            .map_err(Failure::failed)?
    } else {
        let look = Look {
            width: terminal.width,
            colours: terminal.colours,
            all: given.all,
        };
        let plan_out = saved.as_ref().ok().copied().flatten();
        let by_hand = by_hand_of::<F>(&source, plan_out, &given, asked.operation, matches);
        show::show(report, &look, Some(&by_hand))
    };
    // Whatever became of the plan file: what was done has to be told.
    print(&text)
        .context("the report cannot be written to standard output")
        .map_err(Failure::failed)?;
    saved?;
    Ok(Exit::of(report, given.detailed_exitcode))
}

/// What is asked for, by plan file, event or arguments.
fn request<F: ByHand>(
    asked: &Wanted,
    given: &RunArguments,
    matches: &ArgMatches,
) -> Result<Request<F>, Failure> {
    let mut request = if let Some(path) = &given.plan {
        files::read(path)
            .and_then(|text| Ok(PlanFile::parse(&text)?))
            .and_then(|file| planned(file, asked))
            .with_context(|| format!("plan file {path}"))
            .map_err(Failure::usage)?
    } else if let Some(path) = &given.event {
        files::read(path)
            .and_then(|text| serde_json::from_str::<Value>(&text).context("is not JSON"))
            .and_then(|payload| understood::<F>(&payload, asked))
            .with_context(|| format!("event {path}"))
            .map_err(Failure::usage)?
    } else {
        let mut payload = F::parameters(asked.operation, matches);
        if let Some(operation) = asked.operation {
            payload.insert("operation".to_owned(), operation.into());
        }
        payload.insert("mode".to_owned(), asked.mode.as_str().into());
        understood::<F>(&payload.into(), asked).map_err(Failure::usage)?
    };
    if request.mode.is_some_and(|mode| mode < asked.mode) {
        request
            .warnings
            .push("the event asks for plan, so that nothing is changed".to_owned());
    }
    request.trigger = Trigger::Cli;
    Ok(request)
}

/// The request of a plan file, which holds its operation and scope.
fn planned<F: ByHand>(file: PlanFile<F>, asked: &Wanted) -> anyhow::Result<Request<F>> {
    let mut known = F::OPERATIONS.iter().copied();
    let operation = known
        .find(|known| *known == file.operation)
        .ok_or_else(|| {
            let allowed = F::OPERATIONS.join(", ");
            anyhow!(
                "operation: \"{}\" is not allowed; allowed: {allowed}",
                file.operation
            )
        })?;
    is_of_subcommand(operation, asked)?;
    Ok(Request {
        operation,
        mode: None,
        trigger: Trigger::Cli,
        scope: file.scope.clone(),
        plan_file: Some(file),
        warnings: vec![],
    })
}

/// The request of an event, whose operation must be the subcommand's if both
/// name one.
fn understood<F: ByHand>(payload: &Value, asked: &Wanted) -> anyhow::Result<Request<F>> {
    let mut request = lambda::request::<F>(payload)?;
    if payload.get("operation").is_some() {
        is_of_subcommand(request.operation, asked)?;
    }
    request.operation = asked.operation.unwrap_or(request.operation);
    Ok(request)
}

fn is_of_subcommand(operation: &str, asked: &Wanted) -> anyhow::Result<()> {
    match asked.operation {
        Some(named) if named != operation => Err(anyhow!(
            "operation: \"{operation}\" is not the subcommand's, {named}"
        )),
        _ => Ok(()),
    }
}

/// What a command is told: the policy, and whom to ask.
pub(crate) struct Told<P> {
    /// Where the policy is from.
    pub(crate) source: PolicySource,
    /// The policy.
    pub(crate) policy: PolicyDocument<P>,
    /// The configuration for the account and Region that are asked for.
    pub(crate) config: SdkConfig,
}

/// Reads the policy of `--policy`; without it there are the defaults.
pub(crate) async fn told<P: Policy>(
    policy: Option<&str>,
    aws: &AwsArguments,
) -> Result<Told<P>, Failure> {
    let source = match policy {
        Some(text) => PolicySource::argument(text).map_err(Failure::usage)?,
        None => PolicySource::Defaults,
    };
    // A policy on this machine is judged before AWS is asked anything.
    let local = match source {
        PolicySource::Ssm(_) | PolicySource::S3 { .. } => None,
        _ => Some(load::<P>(&source, &SdkConfig::builder().build()).await?),
    };
    let config = sdk_config(aws).await;
    let policy = match local {
        Some(policy) => policy,
        None => load::<P>(&source, &config).await?,
    };
    Ok(Told {
        source,
        policy,
        config,
    })
}

async fn load<P: Policy>(
    source: &PolicySource,
    config: &SdkConfig,
) -> Result<PolicyDocument<P>, Failure> {
    source.load(config).await.map_err(Failure::usage)
}

/// The configuration for the account that is asked for.
pub(crate) async fn sdk_config(given: &AwsArguments) -> SdkConfig {
    let mut loader = aws::config_loader();
    if let Some(region) = &given.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let Some(profile) = &given.profile else {
        return loader.load().await;
    };
    let loader = loader.profile_name(profile);
    let config = loader.load().await;
    // Left to itself, the SDK prefers credentials in the environment to those
    // of the profile: another account than the one that was asked for.
    let provider = ProviderConfig::without_region()
        .with_region(config.region().cloned())
        .with_http_client(aws::http_client());
    let credentials = ProfileFileCredentialsProvider::builder()
        .configure(&provider)
        .profile_name(profile)
        .build();
    config
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .identity_cache(IdentityCache::lazy().build())
        .build()
}

/// Unique among the runs of everybody in the account, as far as that is needed
/// to find a run's log lines and report again.
pub(crate) fn run_id(clock: Clock) -> String {
    let now = clock.now();
    format!(
        "cli-{}-{}",
        now.strftime("%Y%m%dT%H%M%S%3fZ"),
        std::process::id()
    )
}

/// How the run was called, for the parts of the text that a report cannot
/// know.
fn by_hand_of<F: ByHand>(
    source: &PolicySource,
    plan_out: Option<&Path>,
    given: &RunArguments,
    operation: Option<&str>,
    matches: &ArgMatches,
) -> Given {
    let mut options = Vec::new();
    let own = [
        ("profile", &given.aws.profile),
        ("region", &given.aws.region),
    ];
    for (name, value) in own {
        if let Some(value) = value {
            options.push((name.to_owned(), value.clone()));
        }
    }
    let mut scope = Vec::new();
    let mut operands = Vec::new();
    for argument in own_arguments::<F>(operation) {
        let name = argument.get_id().as_str();
        for value in matches.get_many::<String>(name).into_iter().flatten() {
            match argument.get_long() {
                Some(option) => scope.push((option.to_owned(), value.clone())),
                None => operands.push(value.clone()),
            }
        }
    }
    if let Some(event) = &given.event {
        scope.push(("event".to_owned(), event.clone()));
    }
    Given {
        policy_source: source.to_string(),
        policy: given.policy.clone(),
        plan: given.plan.clone(),
        plan_out: plan_out.map(|path| path.display().to_string()),
        options,
        operation: operation.map(str::to_owned),
        operands,
        scope,
    }
}

fn save<F: Function>(plan: &PlanFile<F>, path: &Path, force: bool) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(plan).map_err(Failure::failed)? + "\n";
    files::write(path, &json, force)
        .context("--plan-out")
        .map_err(Failure::failed)
}
