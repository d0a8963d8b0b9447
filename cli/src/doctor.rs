//! `steward doctor`: is everything there that a function needs? Looks only.
//!
//! It runs with the operator's credentials and judges the permissions of
//! whoever the function will be: its role, given by `--role`, or the caller.

use std::future::Future;
use std::pin::Pin;

use aws_config::SdkConfig;
use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType};
use clap::{Args, FromArgMatches as _};
use serde::Serialize;
use serde_json::json;
use steward::aws::{self, Identity};
use steward::engine::{Clock, Leash, Mode, Trigger};
use steward::guard;
use steward::lambda;
use steward::permission::{Needed, Permission};
use steward::policy::PolicySource;
use steward::report::Report;
use steward::run::Context;
use steward::switches::{Absent, Position, Switches};

use crate::arguments::AwsArguments;
use crate::by_hand::{self, ByHand};
use crate::exit::{Exit, Failure};
use crate::functions;
use crate::page::{Page, Tone};
use crate::terminal::{Terminal, print};
use crate::words::{count, unit_of};

/// How many units a permission is simulated on, one call each: IAM throttles
/// simulations soon.
const UNITS: usize = 5;

/// How many actions one simulation takes; IAM gives no number, and every
/// function has fewer (AWS IAM API Reference, `SimulatePrincipalPolicy`).
const PAGE: i32 = 1000;

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
}

/// What every function's look gives.
pub(crate) type Findings<'a> = Pin<Box<dyn Future<Output = Vec<Finding>> + 'a>>;

/// `steward doctor`.
pub(crate) async fn run(matches: &clap::ArgMatches, terminal: &Terminal) -> Result<Exit, Failure> {
    let given = DoctorArguments::from_arg_matches(matches).map_err(Failure::usage)?;
    if let Some(role) = &given.role {
        check_role(role).map_err(Failure::usage)?;
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
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "iam", "", account, name]
            if account.len() == 12 && name.starts_with("role/") && name.len() > 5 =>
        {
            Ok(())
        }
        _ => Err(anyhow::anyhow!(
            "--role: \"{arn}\" is not allowed; allowed: arn:aws:iam::ACCOUNT:role/NAME"
        )),
    }
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
    let parts: Vec<&str> = identity.arn.splitn(6, ':').collect();
    let (service, name) = match parts.as_slice() {
        [_, _, service, _, _, name] => (*service, *name),
        _ => return Err(format!("the caller's ARN {} cannot be read", identity.arn)),
    };
    match (service, name.split('/').collect::<Vec<_>>().as_slice()) {
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
        None => Ok(PolicySource::Defaults),
        Some(source) => source,
    };
    let loaded = match &source {
        Ok(source) => source.load::<F::Policy>(place.config).await,
        Err(error) => {
            findings.push(Finding::new("policy", State::Bad, error.to_string()));
            return named::<F>(findings);
        }
    };
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
            // A plan needs none, and by hand none has to exist.
            Position::Stop(why) => Finding::new("kill_switches", State::Warning, why)
                .todo("until then the deployed function refuses to act"),
        },
    );

    if let Ok(policy) = &loaded {
        match plan::<F>(place, policy).await {
            Ok(run) => {
                units = units_of(&run);
                findings.extend(of_plan(&run));
            }
            Err(error) => findings.push(Finding::new("plan", State::Bad, error)),
        }
    }
    findings.extend(permissions(place, F::permissions(), &units).await);
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
    policy: &steward::policy::PolicyDocument<F::Policy>,
) -> Result<Report, String> {
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
    };
    let hands = F::hands(place.config);
    let run = steward::run::run::<F>(&hands, &context, policy, request).await;
    Ok(run.report)
}

fn of_plan(report: &Report) -> Vec<Finding> {
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
    findings.push(Finding::new(
        "plan",
        State::Good,
        format!(
            "{} observed, {} kept, {} left for later, {} planned",
            sums.observed, sums.kept, sums.deferred, sums.planned
        ),
    ));
    findings
}

/// Units to try permissions on: those that the plan wants to change.
fn units_of(report: &Report) -> Vec<String> {
    let mut units: Vec<String> = Vec::new();
    for line in &report.actions {
        let unit = unit_of(line);
        if units.len() < UNITS && !units.iter().any(|known| known == unit) {
            units.push(unit.to_owned());
        }
    }
    units
}

/// What IAM says to one action on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Denied {
    action: &'static str,
    resource: String,
    by: String,
}

/// Simulates every permission for the principal.
async fn permissions(
    place: &Place<'_>,
    all: &'static [Permission],
    units: &[String],
) -> Vec<Finding> {
    let arn = match place.principal {
        Ok(Principal::Arn(arn)) => arn,
        Ok(Principal::Root) => {
            return vec![
                Finding::new(
                    "permissions",
                    State::Warning,
                    "the caller is the root user, who may do everything",
                )
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
    let partition = place.identity.arn.split(':').nth(1).unwrap_or("aws");
    let account = place.identity.account.as_str();
    let mut questions: Vec<(String, Vec<&Permission>)> = Vec::new();
    let anything = ["*".to_owned()];
    for permission in all {
        let on = if permission.is_per_unit() && !units.is_empty() {
            units
        } else {
            &anything[..]
        };
        for unit in on {
            let resource = permission.resource(partition, place.region, account, unit);
            match questions.iter_mut().find(|(known, _)| *known == resource) {
                Some((_, asked)) => asked.push(permission),
                None => questions.push((resource, vec![permission])),
            }
        }
    }
    let client = aws_sdk_iam::Client::new(place.config);
    let mut denied: Vec<(Needed, Denied)> = Vec::new();
    for (resource, asked) in &questions {
        let answers = match simulate(&client, arn, resource, asked).await {
            Ok(answers) => answers,
            Err(why) => {
                return vec![
                    Finding::new("permissions", State::Unknown, why)
                        .todo("allow yourself iam:SimulatePrincipalPolicy on it"),
                ];
            }
        };
        for permission in asked {
            match answers
                .iter()
                .find(|a| a.eval_action_name() == permission.action)
            {
                Some(answer)
                    if *answer.eval_decision() == PolicyEvaluationDecisionType::Allowed => {}
                answer => denied.push((
                    permission.needed,
                    Denied {
                        action: permission.action,
                        resource: resource.clone(),
                        by: answer.map_or_else(|| "IAM gave no answer".to_owned(), said_by),
                    },
                )),
            }
        }
    }
    told(arn, all, &denied)
}

async fn simulate(
    client: &aws_sdk_iam::Client,
    principal: &str,
    resource: &str,
    asked: &[&Permission],
) -> Result<Vec<EvaluationResult>, String> {
    let actions = asked.iter().map(|p| p.action.to_owned()).collect();
    let pages = client
        .simulate_principal_policy()
        .policy_source_arn(principal)
        .set_action_names(Some(actions))
        .resource_arns(resource)
        .max_items(PAGE)
        .into_paginator()
        .send();
    let (answers, incomplete) = aws::read_pages(pages, |page| page.evaluation_results).await;
    match incomplete {
        None => Ok(answers),
        Some(why) => Err(format!("iam:SimulatePrincipalPolicy of {principal}: {why}")),
    }
}

/// Which kind of policy said no.
fn said_by(answer: &EvaluationResult) -> String {
    if answer
        .organizations_decision_detail()
        .is_some_and(|detail| !detail.allowed_by_organizations())
    {
        return "a service control policy of the organisation denies it".to_owned();
    }
    if answer
        .permissions_boundary_decision_detail()
        .is_some_and(|detail| !detail.allowed_by_permissions_boundary())
    {
        return "the permissions boundary does not allow it".to_owned();
    }
    match answer.eval_decision() {
        PolicyEvaluationDecisionType::ExplicitDeny => "a policy denies it",
        _ => "no policy allows it",
    }
    .to_owned()
}

/// One finding for each kind of need, and one that sums up.
fn told(principal: &str, all: &'static [Permission], denied: &[(Needed, Denied)]) -> Vec<Finding> {
    let why = |action: &str| {
        let found = all.iter().find(|permission| permission.action == action);
        found.map_or("", |permission| permission.why)
    };
    let mut findings: Vec<Finding> = denied
        .iter()
        .map(
            |(
                needed,
                Denied {
                    action,
                    resource,
                    by,
                },
            )| {
                let (state, when) = match needed {
                    Needed::Plan => (State::Bad, "always"),
                    Needed::Apply => (State::Warning, "to apply"),
                    Needed::Sometimes => (State::Warning, "only where it is asked for"),
                };
                let found = format!(
                    "{action} on {resource}: {by}; needed {when}: {}",
                    why(action)
                );
                Finding::new("permissions", state, found)
                    .todo(format!("allow {principal} {action}"))
            },
        )
        .collect();
    let missing: Vec<&str> = denied.iter().map(|(_, denied)| denied.action).collect();
    let allowed = all.iter().filter(|p| !missing.contains(&p.action)).count();
    let total = all.len();
    let state = if denied.is_empty() {
        State::Good
    } else {
        State::Warning
    };
    findings.push(Finding::new(
        "permissions",
        state,
        format!(
            "{principal} has {allowed} of {}",
            count(total, "permission")
        ),
    ));
    findings
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

#[cfg(test)]
mod tests {
    use super::*;

    const PERMISSIONS: &[Permission] = &[
        Permission {
            action: "ecr:DescribeImages",
            why: "images",
            on: "arn:{partition}:ecr:{region}:{account}:repository/{unit}",
            needed: Needed::Plan,
        },
        Permission {
            action: "s3:GetObject",
            why: "the policy",
            on: "*",
            needed: Needed::Sometimes,
        },
    ];

    fn denied(of: &Permission, by: &str) -> (Needed, Denied) {
        let denied = Denied {
            action: of.action,
            resource: of.resource("aws-cn", "cn-north-1", "123456789012", "shop/web"),
            by: by.to_owned(),
        };
        (of.needed, denied)
    }

    #[test]
    fn what_a_plan_needs_weighs_more_than_what_is_seldom_asked_for() {
        let all: Vec<(Needed, Denied)> = PERMISSIONS
            .iter()
            .map(|p| denied(p, "no policy allows it"))
            .collect();
        let told = told("arn:aws-cn:iam::123456789012:role/x", PERMISSIONS, &all);
        let states: Vec<State> = told.iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Bad, State::Warning, State::Warning]);
        assert_eq!(
            told[0].found,
            "ecr:DescribeImages on arn:aws-cn:ecr:cn-north-1:123456789012:repository/shop/web: no \
             policy allows it; needed always: images"
        );
        assert!(
            told[2].found.ends_with("has 0 of 2 permissions"),
            "{told:?}"
        );
    }

    #[test]
    fn a_permission_that_one_of_two_units_lacks_is_not_there() {
        let one = [denied(&PERMISSIONS[0], "no policy allows it")];
        let told = told("arn:aws:iam::123456789012:role/x", PERMISSIONS, &one);
        assert!(
            told[1].found.ends_with("has 1 of 2 permissions"),
            "{told:?}"
        );
    }

    #[test]
    fn a_denial_names_the_kind_of_policy() {
        use aws_sdk_iam::types::{OrganizationsDecisionDetail, PermissionsBoundaryDecisionDetail};
        let answer = |decision: PolicyEvaluationDecisionType| {
            EvaluationResult::builder()
                .eval_action_name("ecr:DescribeImages")
                .eval_decision(decision)
        };
        let implicit = || answer(PolicyEvaluationDecisionType::ImplicitDeny);
        let explicit = answer(PolicyEvaluationDecisionType::ExplicitDeny);
        let organisation = OrganizationsDecisionDetail::builder()
            .allowed_by_organizations(false)
            .build();
        let boundary = PermissionsBoundaryDecisionDetail::builder()
            .allowed_by_permissions_boundary(false)
            .build();
        for (answer, expected) in [
            (implicit(), "no policy allows it"),
            (explicit, "a policy denies it"),
            (
                implicit().organizations_decision_detail(organisation),
                "a service control policy of the organisation denies it",
            ),
            (
                implicit().permissions_boundary_decision_detail(boundary),
                "the permissions boundary does not allow it",
            ),
        ] {
            assert_eq!(said_by(&answer.build().unwrap()), expected);
        }
    }
}
