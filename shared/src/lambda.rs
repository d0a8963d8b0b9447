//! The entry of a function in AWS Lambda: environment, logs, diagnostics, and
//! the hand-over to [`crate::run::run`].
//!
//! An answer is always a report. `Err` is only for an event, a policy or an
//! environment that cannot be understood.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
pub use lambda_runtime::Error as RuntimeError;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use tracing::Instrument;

use crate::aws;
use crate::engine::{Act, Clock, Deadline, Function, Leash, Mode, Observe, ScopeError};
use crate::event::{self, Event, EventError};
use crate::policy::{PolicyDocument, PolicyError, PolicySource};
use crate::report::{ActionLine, ActionOutcome, Report};
use crate::run::{self, Context, Request};
use crate::switches::{Absent, Switches};

/// The policy document itself.
pub const POLICY: &str = "STEWARD_POLICY";
/// Where the policy is: `ssm:NAME` or `s3://bucket/key`.
pub const POLICY_FROM: &str = "STEWARD_POLICY_FROM";
/// The function's leash: `plan` (the default) or `apply`.
pub const MODE: &str = "STEWARD_MODE";
/// Every environment variable that a function reads by itself; the SDK and
/// the runtime read those of AWS.
pub const ENVIRONMENT: &[&str] = &[POLICY, POLICY_FROM, MODE];

/// What is set for the function, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The most that an event may ask for.
    pub leash: Leash,
    /// Where the policy comes from.
    pub policy: PolicySource,
}

/// An environment variable that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A value that is not allowed.
    #[error("environment variable {name} is \"{value}\"; allowed: {allowed}")]
    Value {
        /// Which variable.
        name: &'static str,
        /// What it is set to.
        value: String,
        /// What it may be set to.
        allowed: &'static str,
    },
    /// Two that say the same thing differently.
    #[error("both STEWARD_POLICY and STEWARD_POLICY_FROM are set; set one of them")]
    TwoPolicies,
    /// A policy source that is none.
    #[error("environment variable STEWARD_POLICY_FROM: {0}")]
    Source(#[source] PolicyError),
}

impl Environment {
    /// Reads the variables of [`ENVIRONMENT`] through `lookup`; one that is
    /// empty counts as unset, as templates cannot leave one out.
    ///
    /// # Errors
    /// [`EnvironmentError`] naming the variable, its value and what is allowed.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let get = |name| lookup(name).filter(|value| !value.trim().is_empty());
        let leash = match get(MODE).as_deref().map(str::trim) {
            None | Some("plan") => Leash(Mode::Plan),
            Some("apply") => Leash(Mode::Apply),
            Some(other) => {
                return Err(EnvironmentError::Value {
                    name: MODE,
                    value: other.to_owned(),
                    allowed: "plan, apply",
                });
            }
        };
        let policy = match (get(POLICY), get(POLICY_FROM)) {
            (Some(_), Some(_)) => return Err(EnvironmentError::TwoPolicies),
            (Some(text), None) => PolicySource::Inline(text),
            (None, Some(from)) => {
                PolicySource::remote(from.trim()).map_err(EnvironmentError::Source)?
            }
            (None, None) => PolicySource::Defaults,
        };
        Ok(Self { leash, policy })
    }
}

/// Why an invocation has no report.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// The event cannot be understood.
    #[error("the event cannot be understood")]
    Event(#[from] EventError),
    /// The event is understood and asks for what is not there.
    #[error("the event is not for {function}")]
    Scope {
        /// Which function was woken.
        function: &'static str,
        /// What is wrong.
        #[source]
        source: ScopeError,
    },
    /// The policy cannot be used.
    #[error("the policy cannot be used")]
    Policy(#[from] PolicyError),
    /// The environment cannot be used.
    #[error("the environment cannot be used")]
    Environment(#[from] EnvironmentError),
    /// The account or Region is unknown.
    #[error("the account or Region is unknown")]
    Identity(#[from] aws::IdentityError),
}

impl InvocationError {
    /// The stable name for alarms and destinations.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) => "InvalidEvent",
            Self::Scope { .. } => "InvalidRequest",
            Self::Policy(PolicyError::Unreadable { .. }) => "UnreadablePolicy",
            Self::Policy(_) => "InvalidPolicy",
            Self::Environment(_) => "InvalidEnvironment",
            Self::Identity(_) => "UnknownIdentity",
        }
    }
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        Self {
            error_type: error.error_type().to_owned(),
            error_message: aws::chain(&error),
        }
    }
}

/// Turns an event into a request, refusing operations and parameters that the
/// function does not have.
///
/// # Errors
/// [`InvocationError::Event`] and [`InvocationError::Scope`].
pub fn request<F: Function>(payload: &Value) -> Result<Request<F>, InvocationError> {
    let event = event::parse(payload)?;
    let refused = |source| InvocationError::Scope {
        function: F::NAME,
        source,
    };
    let (asked, mode) = match &event {
        Event::Manual(manual) => (manual.operation.as_deref(), manual.mode),
        _ => (None, None),
    };
    let operation = match asked {
        None => F::OPERATIONS.first().copied(),
        Some(asked) => F::OPERATIONS.iter().copied().find(|known| *known == asked),
    };
    let operation = operation.ok_or_else(|| {
        // A payload can be 6 MB, and so could this word.
        let word: String = asked.unwrap_or_default().chars().take(50).collect();
        refused(ScopeError(format!(
            "operation: \"{word}\" is not allowed; allowed: {}",
            F::OPERATIONS.join(", ")
        )))
    })?;
    Ok(Request {
        operation,
        mode,
        trigger: event.trigger(),
        scope: F::scope(&event).map_err(refused)?,
        plan_file: None,
        warnings: event.warnings().to_vec(),
    })
}

/// The `main` of a function: reads the environment, builds the hands once, and
/// serves invocations until the sandbox is shut down.
///
/// # Errors
/// When the environment cannot be used, or the runtime API goes away.
pub async fn serve<F, H>(
    lookup: impl Fn(&str) -> Option<String>,
    hands: impl FnOnce(&SdkConfig) -> H,
) -> Result<(), RuntimeError>
where
    F: Function,
    H: Observe<F> + Act<F>,
{
    init_logs(
        lookup("AWS_LAMBDA_LOG_LEVEL")
            .or_else(|| lookup("RUST_LOG"))
            .as_deref(),
    );
    let environment = Environment::read(lookup);
    let config = aws::sdk_config().await;
    let hands = hands(&config);
    let switches = Switches::of(aws_sdk_ssm::Client::new(&config), F::NAME, Absent::Stops);
    lambda_runtime::spawn_graceful_shutdown_handler(|| async {
        tracing::info!("{}: shut down between invocations", F::NAME);
    })
    .await;
    let (environment, config, hands, switches) = (&environment, &config, &hands, &switches);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let environment = environment
            .as_ref()
            .map_err(|e| InvocationError::from(e.clone()));
        let report = match environment {
            Ok(environment) => invoke::<F, H>(environment, config, hands, switches, event).await,
            Err(error) => Err(error),
        };
        report.map_err(|error| {
            let diagnostic = Diagnostic::from(error);
            tracing::error!(
                error.kind = %diagnostic.error_type,
                "{}: {}",
                F::NAME,
                diagnostic.error_message
            );
            diagnostic
        })
    }))
    .await
}

/// One invocation: the event's request under the policy in force.
async fn invoke<F: Function, H: Observe<F> + Act<F>>(
    environment: &Environment,
    config: &SdkConfig,
    hands: &H,
    switches: &Switches,
    event: LambdaEvent<Value>,
) -> Result<Report, InvocationError> {
    let LambdaEvent {
        payload,
        context: lambda,
        ..
    } = event;
    let request = request::<F>(&payload)?;
    let policy: PolicyDocument<F::Policy> = environment.policy.load(config).await?;
    // An ARN's fifth part is the account
    // (arn:partition:lambda:region:account:function:name), which saves a call.
    let account = lambda
        .invoked_function_arn
        .split(':')
        .nth(4)
        .filter(|account| !account.is_empty())
        .map(str::to_owned);
    let account = match account {
        Some(account) => account,
        None => aws::identity(config).await?.account,
    };
    let context = Context {
        account,
        region: aws::region(config)?,
        run_id: lambda.request_id.clone(),
        leash: environment.leash,
        clock: Clock::System,
        deadline: Some(Deadline::after(remaining(lambda.deadline()))),
        switches,
    };
    let span = tracing::info_span!(
        "run",
        requestId = %lambda.request_id,
        run.id = %context.run_id,
        function = F::NAME
    );
    let run = run::run::<F>(hands, &context, &policy, request)
        .instrument(span)
        .await;
    let report = run.report.bounded();
    if report.truncated {
        for (kind, lines) in [
            ("refusal", json_lines(&run.report.refusals)),
            ("gap", json_lines(&run.report.gaps)),
            ("warning", json_lines(&run.report.warnings)),
        ] {
            for line in lines {
                tracing::warn!(run.id = %context.run_id, line, "{kind}");
            }
        }
        // What was deferred is counted; it is decided again by the next run.
        let ended = |line: &&ActionLine| line.outcome != ActionOutcome::Deferred;
        for line in run.report.actions.iter().filter(ended) {
            let json = serde_json::to_string(line).unwrap_or_default();
            tracing::info!(run.id = %context.run_id, action = %json, "{} {}", line.kind, line.resource);
        }
    }
    Ok(report)
}

fn json_lines<T: serde::Serialize>(lines: &[T]) -> Vec<String> {
    let json = |line| serde_json::to_string(line).unwrap_or_default();
    lines.iter().map(json).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "Lambda gives its deadline as a wall-clock time"
)]
fn remaining(deadline: SystemTime) -> Duration {
    deadline
        .duration_since(SystemTime::now())
        .unwrap_or_default()
}

/// JSON lines with a timestamp, as CloudWatch Logs Insights reads them.
fn init_logs(level: Option<&str>) {
    use tracing_subscriber::EnvFilter;
    let filter = level.and_then(|level| EnvFilter::try_new(level.to_lowercase()).ok());
    // A second subscriber, as in tests, is refused, and the first one serves.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new("info")))
        .with_target(false)
        .try_init();
}
