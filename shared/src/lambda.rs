//! The entry of a function in AWS Lambda: environment, logs, diagnostics, and
//! the hand-over to [`crate::run::run`].
//!
//! An answer is always a report. `Err` is only for an event, a policy or an
//! environment that cannot be understood.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
pub use lambda_runtime::Error as RuntimeError;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tracing::Instrument;

use crate::aws;
use crate::engine::{Act, Clock, Deadline, Function, Leash, Mode, Observe, ScopeError};
use crate::event::{self, Event, EventError};
use crate::ledger::LedgerTable;
use crate::logs;
use crate::metrics::{self, Measured};
use crate::notify::{self, Notifier, Told, Topic};
use crate::policy::{Policy, PolicyDocument, PolicyError, PolicySource};
use crate::report::{self, ActionLine, Report};
use crate::run::{self, Context, Request, Run};
use crate::switches::{Absent, Switches};

/// The policy document itself.
pub const POLICY: &str = "STEWARD_POLICY";
/// Where the policy is: `ssm:NAME` or `s3://bucket/key`.
pub const POLICY_FROM: &str = "STEWARD_POLICY_FROM";
/// The function's leash: `plan` (the default) or `apply`.
pub const MODE: &str = "STEWARD_MODE";
/// The ARN of the SNS topic that is told what a run did; without it nobody is.
pub const NOTIFY_TOPIC: &str = "STEWARD_NOTIFY_TOPIC";
/// The name of the ledger's table, [`ledger::TABLE`](crate::ledger::TABLE) where it
/// is not set. Only the functions that need a ledger make use of it.
pub const LEDGER: &str = "STEWARD_LEDGER";
/// The environment variables that every function reads by itself; the SDK and
/// the runtime read those of AWS.
pub const ENVIRONMENT: &[&str] = &[POLICY, POLICY_FROM, MODE, NOTIFY_TOPIC];

/// How long the answer of SNS is waited for, when the function has the time.
const NOTIFY_WITHIN: Duration = Duration::from_secs(10);

/// What is set for the function, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The most that an event may ask for.
    pub leash: Leash,
    /// Where the policy comes from.
    pub policy: PolicySource,
    /// Who is told what a run did.
    pub notify_topic: Option<Topic>,
    /// Where the ledger is.
    pub ledger: LedgerTable,
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
    /// Reads the variables of [`ENVIRONMENT`] and [`LEDGER`] through `lookup`; one
    /// that is empty counts as unset, as templates cannot leave one out.
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
            (Some(text), None) => PolicySource::Inline(text.into()),
            (None, Some(from)) => {
                PolicySource::remote(from.trim()).map_err(EnvironmentError::Source)?
            }
            (None, None) => PolicySource::Defaults,
        };
        let notify_topic = match get(NOTIFY_TOPIC) {
            None => None,
            Some(arn) => Some(Topic::parse(arn.trim()).ok_or(EnvironmentError::Value {
                name: NOTIFY_TOPIC,
                value: arn,
                allowed: Topic::ALLOWED,
            })?),
        };
        Ok(Self {
            leash,
            policy,
            notify_topic,
            ledger: match get(LEDGER) {
                None => LedgerTable::usual(),
                Some(name) => ledger_table(&name)?,
            },
        })
    }
}

/// The table that [`LEDGER`] names.
///
/// # Errors
/// [`EnvironmentError::Value`] when no table can have such a name ("Naming rules",
/// Amazon DynamoDB Developer Guide).
pub fn ledger_table(value: &str) -> Result<LedgerTable, EnvironmentError> {
    let name = value.trim();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (3..=255).contains(&name.len()) && name.chars().all(allowed) {
        Ok(LedgerTable::Required(name.to_owned()))
    } else {
        Err(EnvironmentError::Value {
            name: LEDGER,
            value: value.to_owned(),
            allowed: "the name of a DynamoDB table (3 to 255 letters, digits, `_`, `-` and `.`)",
        })
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

/// What woke the function, as it came. It may hold anything, so that its
/// `Debug` shows nothing; what is said of it is said by [`EventError`].
#[derive(Deserialize)]
#[serde(transparent)]
struct Payload(Value);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload([not shown])")
    }
}

/// What stays from one invocation to the next.
struct Process<H> {
    environment: Result<Environment, EnvironmentError>,
    config: SdkConfig,
    hands: H,
    switches: Switches,
    notifier: Option<Notifier>,
    told: Mutex<Told>,
    /// Whether the next invocation is the first, and had to wait for the
    /// process to start.
    cold: AtomicBool,
}

/// The `main` of a function: reads the environment, builds the hands once, and
/// serves invocations until the sandbox is shut down. A function that needs no
/// ledger makes its hands without it.
///
/// # Errors
/// When the environment cannot be used, or the runtime API goes away.
pub async fn serve<F, H>(
    lookup: impl Fn(&str) -> Option<String>,
    hands: impl FnOnce(&SdkConfig, LedgerTable) -> H,
) -> Result<(), RuntimeError>
where
    F: Function,
    H: Observe<F> + Act<F>,
{
    let level = lookup("AWS_LAMBDA_LOG_LEVEL").or_else(|| lookup("RUST_LOG"));
    let path = std::any::type_name::<F>();
    let own_crate = path.split_once(':').map_or(path, |(name, _)| name);
    logs::init(F::NAME, own_crate, level.as_deref());
    // Of processes that are started ahead nobody waits for the start
    // ("Lambda environment variables", AWS Lambda Developer Guide).
    let started_ahead = lookup("AWS_LAMBDA_INITIALIZATION_TYPE")
        .is_some_and(|how| how == "provisioned-concurrency");
    let environment = Environment::read(lookup);
    let config = aws::sdk_config().await;
    let set = environment.as_ref().ok();
    let topic = set.and_then(|set| set.notify_topic.clone());
    let ledger = set.map_or_else(LedgerTable::usual, |set| set.ledger.clone());
    let process = Process {
        hands: hands(&config, ledger),
        switches: Switches::of(aws_sdk_ssm::Client::new(&config), F::NAME, Absent::Stops),
        notifier: topic.map(|topic| Notifier::new(&config, topic)),
        told: Mutex::default(),
        cold: AtomicBool::new(!started_ahead),
        environment,
        config,
    };
    let process = &process;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Payload>| {
        let keys = Keys::of(&event.context, process.cold.swap(false, Ordering::Relaxed));
        let span = keys.span();
        async move {
            invoke::<F, H>(process, event, &keys)
                .await
                .map_err(|error| {
                    let diagnostic = Diagnostic::from(error);
                    tracing::error!(
                        error.kind = %diagnostic.error_type,
                        "{}: {}",
                        F::NAME,
                        diagnostic.error_message
                    );
                    diagnostic
                })
        }
        .instrument(span)
    }))
    .await
}

/// The keys of an invocation, in every line of it.
struct Keys {
    cold_start: bool,
    function_name: String,
    /// In MB.
    function_memory_size: i32,
    function_arn: String,
    function_request_id: String,
    /// The root of the trace header, which is what X-Ray finds traces by.
    xray_trace_id: Option<String>,
}

impl Keys {
    fn of(lambda: &lambda_runtime::Context, cold_start: bool) -> Self {
        let root = |header: &String| {
            let part = header
                .split(';')
                .find_map(|part| part.trim().strip_prefix("Root="));
            part.map(str::to_owned)
        };
        Self {
            cold_start,
            function_name: lambda.env_config.function_name.clone(),
            function_memory_size: lambda.env_config.memory,
            function_arn: lambda.invoked_function_arn.clone(),
            function_request_id: lambda.request_id.clone(),
            xray_trace_id: lambda.xray_trace_id.as_ref().and_then(root),
        }
    }

    /// A span of the highest level, so that no level leaves its keys out.
    fn span(&self) -> tracing::Span {
        tracing::error_span!(
            "invocation",
            cold_start = self.cold_start,
            function_name = self.function_name,
            function_memory_size = self.function_memory_size,
            function_arn = self.function_arn,
            function_request_id = self.function_request_id,
            xray_trace_id = self.xray_trace_id,
            run.id = self.function_request_id,
        )
    }

    /// The same for the lines with metrics, which are no events.
    fn fields(&self, report: &Report) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("message", format!("metrics of {}", report.function).into());
        put("service", report.function.clone().into());
        put("cold_start", self.cold_start.into());
        put("function_name", self.function_name.clone().into());
        put("function_memory_size", self.function_memory_size.into());
        put("function_arn", self.function_arn.clone().into());
        put(
            "function_request_id",
            self.function_request_id.clone().into(),
        );
        if let Some(id) = &self.xray_trace_id {
            put("xray_trace_id", id.clone().into());
        }
        put("run.id", report.run_id.clone().into());
        put("run.operation", report.operation.clone().into());
        put("run.status", report.status.as_str().into());
        put("run.mode", report.mode.as_str().into());
        put(
            "run.trigger",
            serde_json::to_value(report.trigger).unwrap_or_default(),
        );
        fields
    }
}

/// One invocation: the event's request under the policy in force, and then
/// who is told, and the metrics.
async fn invoke<F: Function, H: Observe<F> + Act<F>>(
    process: &Process<H>,
    event: LambdaEvent<Payload>,
    keys: &Keys,
) -> Result<Report, InvocationError> {
    let LambdaEvent {
        payload: Payload(payload),
        context: lambda,
        ..
    } = event;
    let meter = aws::meter();
    let before = (meter.calls(), meter.throttles());
    let environment = process.environment.as_ref().map_err(Clone::clone)?;
    let config = &process.config;
    let request = request::<F>(&payload)?;
    let policy: PolicyDocument<F::Policy> = environment.policy.load(config).await?;
    F::check(policy.policy(), &request.scope).map_err(|source| InvocationError::Scope {
        function: F::NAME,
        source,
    })?;
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
        switches: &process.switches,
        most_lines: report::MOST_LINES,
    };
    let mut run = run::run::<F>(&process.hands, &context, &policy, request).await;

    let mut measured = Measured {
        cold_start: keys.cold_start,
        ..Measured::default()
    };
    if let Some(notifier) = &process.notifier {
        let notify = policy.policy().notify();
        let group = &lambda.env_config.log_group;
        let mut told = process.told.lock().await;
        let messages = notify::messages(&run.report, &run.units, notify, &told, F::NAME, group);
        // Half of what is left is for the answer.
        let within = NOTIFY_WITHIN.min(remaining(lambda.deadline()) / 2);
        let sent = notifier.send(F::NAME, &messages, within).await;
        measured.notifications_sent = sent.sent;
        measured.notifications_failed = sent.failed;
        if sent.failed == 0 {
            let things = messages.into_iter().flat_map(|message| message.things);
            told.note(things, run.report.finished_at);
        }
        run.report.warnings.extend(sent.warnings);
    }
    measured.api_calls = meter.calls() - before.0;
    measured.throttles = meter.throttles() - before.1;
    log_trouble(&run.report);
    let also = keys.fields(&run.report);
    for line in metrics::lines(&run.report, &run.units, &measured, &also) {
        logs::write_line(&line);
    }

    let report = run.report.bounded();
    if report.truncated {
        log_actions(&run, &also);
    }
    Ok(report)
}

/// One line for each refusal, gap and warning: the answer of a run that nobody
/// waits for goes nowhere.
fn log_trouble(report: &Report) {
    for refusal in &report.refusals {
        tracing::warn!(
            refusal.guard = refusal.guard,
            refusal.unit = refusal.unit,
            refusal.detail = refusal.detail,
            "{} refused by {}: {}",
            refusal.unit,
            refusal.guard,
            refusal.detail
        );
    }
    for gap in &report.gaps {
        tracing::warn!(
            gap.read = gap.read,
            gap.hides = gap.hides,
            gap.grant = gap.grant,
            "not read: {}",
            gap.read
        );
    }
    for warning in &report.warnings {
        tracing::warn!(warning, "{warning}");
    }
}

/// The actions that the answer has no room for, so many to a line that the line
/// stays well below what CloudWatch Logs takes as one event (1 MB: Amazon
/// CloudWatch Logs User Guide, "CloudWatch Logs quotas").
fn log_actions<F: Function>(run: &Run<F>, keys: &Map<String, Value>) {
    const ACTIONS_PER_LINE: usize = 100;
    if !tracing::enabled!(tracing::Level::INFO) {
        return;
    }
    // What was deferred is counted; it is decided again by the next run.
    let mut actions = run.lines();
    let all = run.report.summary.planned;
    let mut fields = keys.clone();
    for first in (1..=all).step_by(ACTIONS_PER_LINE) {
        let lines: Vec<ActionLine> = actions.by_ref().take(ACTIONS_PER_LINE).collect();
        let last = first + lines.len() - 1;
        let message = format!("actions {first} to {last} of {all}");
        fields.insert("message".to_owned(), message.into());
        logs::write_actions(&fields, &lines);
    }
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
