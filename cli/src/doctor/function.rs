//! Everything about one function: its policy, its kill switches, what a plan
//! cannot read, and the permissions of whoever it will be.

use serde_json::json;
use steward::aws;
use steward::engine::{Clock, Leash, Mode, Trigger};
use steward::event::Arn;
use steward::guard;
use steward::lambda;
use steward::permission::Asked;
use steward::policy::{Policy, PolicyDocument, PolicySource};
use steward::report::Report;
use steward::run::{Context, Run};
use steward::switches::{Absent, Position, Switches};
use steward::tally::UnitTally;

use super::permissions::{Applies, Needs};
use super::{Finding, Place, Principal, State};
use crate::by_hand::{self, ByHand};

/// How many units a permission is simulated on, one call each: IAM throttles
/// simulations soon.
const UNITS: usize = 5;

/// Everything about one function.
pub(crate) async fn findings<F: ByHand>(place: &Place<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut units = Vec::new();
    let loaded = place.policy.load::<F::Policy>(place.config).await;
    findings.push(match &loaded {
        Ok(policy) => of_policy(place, policy),
        Err(error) => Finding::new("policy", State::Bad, aws::chain(error)),
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
                findings.extend(of_plan::<F>(&run.report, policy));
            }
            Err(error) => findings.push(Finding::new("plan", State::Bad, error)),
        }
    }
    findings.extend(permissions::<F>(place, loaded.as_ref().ok(), &units).await);
    findings
}

fn of_policy<P: Policy>(place: &Place<'_>, policy: &PolicyDocument<P>) -> Finding {
    let finding = |state, found: &str| Finding::new("policy", state, found);
    if *place.policy == PolicySource::Defaults {
        let (found, todo) = if place.deployed {
            (
                "none is set: it looks at everything with the defaults",
                format!("set {} on the function", lambda::POLICY_FROM),
            )
        } else {
            (
                "none given: the plan below looks at everything with the defaults",
                "give the one that the function has with --policy".to_owned(),
            )
        };
        finding(without_targets(place), found).todo(todo)
    } else if !policy.selects_targets() {
        let found = "it can be read and selects no targets, so that apply is refused";
        finding(without_targets(place), found)
    } else {
        let found = format!("{}, {}", place.policy, policy.digest());
        finding(State::Good, &found)
    }
}

/// How it is to have no targets: a function that is to act will not.
fn without_targets(place: &Place<'_>) -> State {
    match place.leash {
        Some(Leash(Mode::Apply)) => State::Bad,
        _ => State::Warning,
    }
}

/// What the function would do now, by the operator's own permissions.
async fn plan<F: ByHand>(
    place: &Place<'_>,
    policy: &PolicyDocument<F::Policy>,
) -> Result<Run<F>, String> {
    let mut request = lambda::request::<F>(&json!({ "mode": "plan", "operation": F::SEES_MOST }))
        .map_err(|error| aws::chain(&error))?;
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
    let hands = F::hands(place.config, place.ledger.clone());
    Ok(steward::run::run::<F>(&hands, &context, policy, request).await)
}

fn of_plan<F: ByHand>(report: &Report, policy: &PolicyDocument<F::Policy>) -> Vec<Finding> {
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
    // The finding about the policy has said what its own warnings say.
    let warnings = report.warnings.iter();
    for warning in warnings.filter(|warning| !policy.warnings().contains(warning)) {
        findings.push(Finding::new("warning", State::Warning, warning.clone()));
    }
    let sums = &report.summary;
    let sees_nothing = sums.observed == 0 && report.gaps.is_empty();
    let nothing = policy.selects_targets() && sees_nothing && !F::IDLE_SEES_NOTHING;
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
        F::asked_for(
            policy.policy(),
            partition,
            place.region,
            account,
            units,
            place.environments,
        )
    });
    match place.policy {
        PolicySource::Ssm(name) => asked.push(Asked::on(
            "ssm:GetParameter",
            // A name with a path starts with a slash, which the ARN has already.
            format!(
                "arn:{partition}:ssm:{}:{account}:parameter/{}",
                place.region,
                name.trim_start_matches('/')
            ),
        )),
        PolicySource::S3 { bucket, key } => asked.push(Asked::on(
            "s3:GetObject",
            format!("arn:{partition}:s3:::{bucket}/{key}"),
        )),
        _ => {}
    }
    let topic = place.topic.map(str::to_owned);
    asked.extend(topic.map(|topic| Asked::on("sns:Publish", topic)));
    let needs = Needs {
        function: F::NAME,
        all: F::permissions(),
        asked,
        applies: if place.leash == Some(Leash(Mode::Plan)) {
            Applies::Never
        } else if policy.is_some_and(PolicyDocument::selects_targets) {
            Applies::Now
        } else {
            Applies::Later
        },
        units,
        partition,
        region: place.region,
        account,
    };
    let client = aws_sdk_iam::Client::new(place.config);
    needs.judge(&client, principal).await
}
