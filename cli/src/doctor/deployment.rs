//! The whole deployment in an account and Region: what `infra/automation.yaml`
//! makes for all functions, and each function as it is deployed.
//!
//! Everything is found by its name, which the template fixes.

use std::collections::{BTreeSet, HashMap};

use aws_config::SdkConfig;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::types::LastUpdateStatus;
use aws_sdk_sqs::types::QueueAttributeName;
use steward::aws::{self, ErrorKind, Identity, Incomplete};
use steward::engine::{Clock, Leash, Mode};
use steward::lambda::{Environment, NOTIFY_TOPIC};

use super::{Finding, Place, Principal, State, alarms, last_run, recovery};
use crate::functions::{self, Entry};
use crate::words::count;

/// The queue of what could not be delivered, or ended without a report.
const DEAD_LETTERS: &str = "steward-dead-letters";

/// Below this unreserved concurrency Lambda lets nobody reserve any (AWS Lambda
/// Developer Guide, "Configuring reserved concurrency for a function").
const NOT_TO_RESERVE: i32 = 100;

const NO_REASON: &str = "Lambda gives no reason";

/// What a function is called in Lambda.
fn name_of(function: &str) -> String {
    format!("steward-{function}")
}

/// A function as it is deployed.
enum Deployed {
    /// There is none of its name.
    No,
    /// It could not be found out.
    Unread(Finding),
    /// Lambda's own description of it.
    Yes(Box<GetFunctionConfigurationOutput>),
}

/// Looks at all of it.
pub(super) async fn look(
    config: &SdkConfig,
    identity: &Identity,
    region: &str,
    environments: &[String],
) -> Vec<Finding> {
    let lambda = aws_sdk_lambda::Client::new(config);
    let mut all = Vec::new();
    for entry in functions::FUNCTIONS {
        all.push((entry, configuration(&lambda, entry.name).await));
    }
    let absent = |(_, deployed): &(_, Deployed)| matches!(deployed, Deployed::No);
    if all.iter().all(absent) {
        return vec![
            Finding::new(
                "deployment",
                State::Bad,
                format!("no function of Steward is deployed in {region}"),
            )
            .todo("deploy infra/automation.yaml there, or name the Region where it is")
            .todo("what it takes to run one by hand tells steward doctor FUNCTION"),
        ];
    }
    let mut findings = vec![concurrency(&lambda).await, dead_letters(config).await];
    let mut topics = BTreeSet::new();
    let mut of_functions = Vec::new();
    for (entry, deployed) in &all {
        let of_function = match deployed {
            Deployed::No => vec![
                Finding::new(
                    "function",
                    State::Bad,
                    format!("there is no {}", name_of(entry.name)),
                )
                .todo("deploy infra/automation.yaml again"),
            ],
            Deployed::Unread(finding) => vec![finding.clone(), last_run(config, entry).await],
            Deployed::Yes(configured) => {
                let mut findings = vec![concurrency_of(&lambda, entry.name).await];
                findings.extend(of_configuration(configured));
                let vantage = (config, identity, region, environments);
                let environment = environment_of(configured);
                findings.extend(inside(entry, configured, environment, vantage, &mut topics).await);
                findings.push(last_run(config, entry).await);
                findings
            }
        };
        of_functions.extend(of_function.into_iter().map(|f| f.of(entry.name)));
    }
    findings.extend(alarms::look(config, &functions::names(), topics).await);
    findings.extend(recovery::look(config, &identity.account, region).await);
    findings.extend(of_functions);
    findings
}

/// Policy, kill switches, plan and permissions, by what is set on the function.
async fn inside(
    entry: &Entry,
    configured: &GetFunctionConfigurationOutput,
    environment: Result<Environment, Finding>,
    (config, identity, region, environments): (&SdkConfig, &Identity, &str, &[String]),
    topics: &mut BTreeSet<String>,
) -> Vec<Finding> {
    let environment = match environment {
        Ok(environment) => environment,
        Err(finding) => return vec![finding],
    };
    let Leash(mode) = environment.leash;
    let mut findings = vec![Finding::new(
        "environment",
        State::Good,
        match mode {
            Mode::Plan => "mode plan: it tells what it would do, and changes nothing".to_owned(),
            Mode::Apply => "mode apply: it acts by its policy".to_owned(),
        },
    )];
    let topic = environment.notify_topic.map(|topic| topic.to_string());
    match &topic {
        Some(arn) => drop(topics.insert(arn.clone())),
        None => findings.push(
            Finding::new(
                "environment",
                State::Warning,
                "it has no topic, so that its runs tell nobody",
            )
            .todo(format!("set {NOTIFY_TOPIC} on the function")),
        ),
    }
    let role = configured.role().ok_or("Lambda does not tell its role");
    let principal = role
        .map(|arn| Principal::Arn(arn.to_owned()))
        .map_err(str::to_owned);
    let place = Place {
        config,
        identity,
        region,
        principal: &principal,
        policy: &environment.policy,
        deployed: true,
        leash: Some(environment.leash),
        topic: topic.as_deref(),
        ledger: &environment.ledger,
        environments,
    };
    findings.extend((entry.findings)(&place).await);
    findings
}

async fn last_run(config: &SdkConfig, entry: &Entry) -> Finding {
    last_run::look(config, entry.name, Clock::System.now()).await
}

async fn configuration(client: &aws_sdk_lambda::Client, function: &str) -> Deployed {
    let name = name_of(function);
    match client
        .get_function_configuration()
        .function_name(&name)
        .send()
        .await
    {
        Ok(answer) => Deployed::Yes(Box::new(answer)),
        Err(error) if aws::kind(&error) == ErrorKind::NotFound => Deployed::No,
        Err(error) => Deployed::Unread(Finding::unread(
            "lambda:GetFunctionConfiguration",
            "function",
            &name,
            &Incomplete::Failed(error),
        )),
    }
}

/// Whether Lambda can run it (AWS Lambda Developer Guide, "Lambda function
/// states").
fn of_configuration(configured: &GetFunctionConfigurationOutput) -> Vec<Finding> {
    use aws_sdk_lambda::types::State as OfFunction;
    let mut findings = Vec::new();
    match configured.state() {
        // Lambda wakes an idle function by itself.
        Some(OfFunction::Active | OfFunction::Inactive) => {}
        Some(state) => {
            let is = match state {
                OfFunction::Pending => State::Warning,
                _ => State::Bad,
            };
            let reason = configured.state_reason();
            let found = format!("its state is {state}: {}", reason.unwrap_or(NO_REASON));
            findings.push(Finding::new("function", is, found));
        }
        None => {
            let found = "Lambda does not tell its state";
            findings.push(Finding::new("function", State::Unknown, found));
        }
    }
    if configured.last_update_status() == Some(&LastUpdateStatus::Failed) {
        let reason = configured.last_update_status_reason();
        findings.push(Finding::new(
            "function",
            State::Bad,
            format!(
                "its last update failed, so that it runs as before: {}",
                reason.unwrap_or(NO_REASON)
            ),
        ));
    }
    if findings.is_empty() {
        let found = format!(
            "{}, {} MB, {} s, last changed {}",
            configured.function_name().unwrap_or_default(),
            configured.memory_size().unwrap_or_default(),
            configured.timeout().unwrap_or_default(),
            configured.last_modified().unwrap_or("at an unknown time"),
        );
        findings.push(Finding::new("function", State::Good, found));
    }
    findings
}

fn environment_of(configured: &GetFunctionConfigurationOutput) -> Result<Environment, Finding> {
    let none = HashMap::new();
    let environment = configured.environment();
    if let Some(error) = environment.and_then(|e| e.error()) {
        let message = error.message().unwrap_or(NO_REASON);
        let found = format!("its variables cannot be read: {message}");
        return Err(Finding::new("environment", State::Unknown, found));
    }
    let variables = environment.and_then(|e| e.variables()).unwrap_or(&none);
    Environment::read(|name| variables.get(name).cloned())
        .map_err(|error| Finding::new("environment", State::Bad, aws::chain(&error)))
}

/// The account's quota of concurrent executions, which all functions share.
async fn concurrency(client: &aws_sdk_lambda::Client) -> Finding {
    let check = "concurrency";
    let answer = match client.get_account_settings().send().await {
        Ok(answer) => answer,
        Err(error) => {
            return Finding::unread(
                "lambda:GetAccountSettings",
                check,
                "the account's quota",
                &Incomplete::Failed(error),
            );
        }
    };
    let limit = answer.account_limit();
    let Some((all, free)) = limit.and_then(|l| {
        Some((
            l.concurrent_executions(),
            l.unreserved_concurrent_executions()?,
        ))
    }) else {
        let found = "Lambda does not tell the account's quota";
        return Finding::new(check, State::Unknown, found);
    };
    let found = format!("{all} at once in this Region, {free} of them reserved by no function");
    if free < 1 {
        Finding::new(check, State::Bad, format!("{found}: nothing can run"))
            .todo("take back reserved concurrency, or ask Service Quotas for more")
    } else if free < NOT_TO_RESERVE {
        let found =
            format!("{found}: other functions can take all of it, and none can be reserved");
        Finding::new(check, State::Warning, found)
            .todo("ask Service Quotas for more concurrent executions of Lambda")
    } else {
        Finding::new(check, State::Good, found)
    }
}

/// Reserved concurrency of 0 is the last resort to stop a function.
async fn concurrency_of(client: &aws_sdk_lambda::Client, function: &str) -> Finding {
    let name = name_of(function);
    let check = "concurrency";
    match client
        .get_function_concurrency()
        .function_name(&name)
        .send()
        .await
    {
        Ok(answer) => match answer.reserved_concurrent_executions() {
            Some(0) => Finding::new(check, State::Bad, "0 are reserved for it: it cannot run")
                .todo(format!(
                    "aws lambda delete-function-concurrency --function-name {name}"
                )),
            Some(n) => Finding::new(check, State::Good, format!("{n} reserved for it")),
            None => Finding::new(check, State::Good, "none reserved for it"),
        },
        Err(error) => Finding::unread(
            "lambda:GetFunctionConcurrency",
            check,
            "what is reserved for it",
            &Incomplete::Failed(error),
        ),
    }
}

async fn dead_letters(config: &SdkConfig) -> Finding {
    let check = "dead_letters";
    let client = aws_sdk_sqs::Client::new(config);
    let url = match client.get_queue_url().queue_name(DEAD_LETTERS).send().await {
        Ok(answer) => answer.queue_url.unwrap_or_default(),
        Err(error) => {
            let gone = error
                .as_service_error()
                .is_some_and(|error| error.is_queue_does_not_exist());
            if gone {
                let found =
                    format!("there is no queue {DEAD_LETTERS}: what is lost leaves no trace");
                return Finding::new(check, State::Bad, found)
                    .todo("deploy infra/automation.yaml again");
            }
            return Finding::unread(
                "sqs:GetQueueUrl",
                check,
                DEAD_LETTERS,
                &Incomplete::Failed(error),
            );
        }
    };
    // Seen, in flight and delayed: a letter that somebody reads is there, too.
    let counted = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let answer = match client
        .get_queue_attributes()
        .queue_url(&url)
        .set_attribute_names(Some(counted.to_vec()))
        .send()
        .await
    {
        Ok(answer) => answer,
        Err(error) => {
            return Finding::unread(
                "sqs:GetQueueAttributes",
                check,
                DEAD_LETTERS,
                &Incomplete::Failed(error),
            );
        }
    };
    let number = |name| answer.attributes()?.get(name)?.parse::<usize>().ok();
    let numbers: Option<Vec<usize>> = counted.iter().map(number).collect();
    match numbers.map(|numbers| numbers.into_iter().sum()) {
        None => Finding::new(
            check,
            State::Unknown,
            format!("SQS does not tell how many letters are in {DEAD_LETTERS}"),
        ),
        Some(0) => Finding::new(check, State::Good, format!("none in {DEAD_LETTERS}")),
        Some(n) => Finding::new(
            check,
            State::Bad,
            format!(
                "{} in {DEAD_LETTERS}: as many wake-ups or runs were lost",
                count(n, "letter")
            ),
        )
        .todo(format!(
            "read them: aws sqs receive-message --queue-url {url}"
        ))
        .todo(format!(
            "when they are settled: aws sqs purge-queue --queue-url {url}"
        )),
    }
}

/// The same configuration in another Region.
pub(super) fn in_region(config: &SdkConfig, region: &str) -> SdkConfig {
    let region = aws_config::Region::new(region.to_owned());
    config.to_builder().region(region).build()
}
