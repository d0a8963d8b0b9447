//! Whether whoever runs a function has the permissions that it needs, by IAM's
//! own simulation.

use std::collections::BTreeMap;

use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType,
};
use steward::aws::{self, ErrorKind};
use steward::event::Arn;
use steward::permission::{Asked, Needed, Permission};

use super::{Finding, State};
use crate::words::count;

/// How many answers one page of a simulation has at most (AWS IAM API
/// Reference, `SimulatePrincipalPolicy`).
const PAGE: i32 = 1000;

/// What a function under its policy needs, and where.
pub(super) struct Needs<'a> {
    /// The function's name.
    pub(super) function: &'static str,
    pub(super) all: &'static [Permission],
    /// What the policy and the settings ask for beyond what is always needed.
    pub(super) asked: Vec<Asked>,
    pub(super) applies: Applies,
    /// A few of the units that it looks at.
    pub(super) units: &'a [String],
    pub(super) partition: &'a str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
}

/// Whether the function acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applies {
    /// Its policy lets it.
    Now,
    /// Its policy selects nothing yet, or is not known.
    Later,
    /// It is deployed to plan only. Its role must not be able to act, then.
    Never,
}

/// One action on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    action: &'static str,
    why: &'static str,
    resource: String,
    /// A tag that the resource has, and its value where that is known.
    tag: Option<(&'static str, Option<String>)>,
    /// How it is without it.
    without: State,
    when: &'static str,
}

impl Needs<'_> {
    fn questions(&self) -> Vec<Question> {
        let mut questions = Vec::new();
        for permission in self.all {
            let (without, when) = match (permission.needed, self.applies) {
                (Needed::Plan, _) => (State::Bad, "always"),
                (Needed::Advice, _) => (State::Warning, "for warnings"),
                (Needed::Apply | Needed::SometimesToApply, Applies::Never) => continue,
                (Needed::Apply, Applies::Now) => (State::Bad, "to apply"),
                (Needed::Apply, Applies::Later) => (State::Warning, "to apply"),
                (Needed::Sometimes | Needed::SometimesToApply, _) => {
                    let asked = self.asked.iter().filter(|a| a.action == permission.action);
                    questions.extend(asked.map(|asked| Question {
                        action: permission.action,
                        why: permission.why,
                        resource: asked.resource.clone(),
                        tag: asked.tag.clone(),
                        without: match &asked.tag {
                            Some((_, None)) => State::Warning,
                            _ => State::Bad,
                        },
                        when: "by what is set",
                    }));
                    continue;
                }
            };
            // Who allows less than everything allows it on what there is.
            let anything = [String::new()];
            let units = if permission.is_per_unit() {
                self.units
            } else {
                &anything
            };
            questions.extend(units.iter().map(|unit| Question {
                action: permission.action,
                why: permission.why,
                resource: permission.resource(self.partition, self.region, self.account, unit),
                tag: None,
                without,
                when,
            }));
        }
        questions
    }

    /// Asks IAM about all of it.
    pub(super) async fn judge(
        &self,
        client: &aws_sdk_iam::Client,
        principal: &str,
    ) -> Vec<Finding> {
        let questions = self.questions();
        let mut calls: BTreeMap<Call<'_>, Vec<&Question>> = BTreeMap::new();
        for question in &questions {
            let call = Call {
                resource: &question.resource,
                service: question.action.split(':').next().unwrap_or_default(),
                tag: question.known_tag(),
            };
            calls.entry(call).or_default().push(question);
        }
        let mut findings = Vec::new();
        let mut had = 0;
        for (call, asked) in &calls {
            let Call {
                resource, service, ..
            } = call;
            let answers = match self.simulate(client, principal, call, asked).await {
                // IAM does not take every mixture of actions in one call.
                Err(refused) if refused.invalid && asked.len() > 1 => {
                    self.simulate_one_by_one(client, principal, call, asked)
                        .await
                }
                answers => answers,
            };
            match answers {
                Ok(answers) => {
                    for question in asked {
                        match denied(&answers, question) {
                            None => had += 1,
                            Some(by) => findings.push(question.denied(principal, &by)),
                        }
                    }
                }
                Err(refused) => {
                    let found = format!("{service} on {resource} is not known: {}", refused.why);
                    let finding = Finding::new("permissions", State::Unknown, found);
                    if refused.denied {
                        let todo =
                            format!("allow yourself iam:SimulatePrincipalPolicy of {principal}");
                        findings.push(finding.todo(todo));
                        return findings;
                    }
                    findings.push(finding);
                }
            }
        }
        if self.units.is_empty() && self.all.iter().any(Permission::is_per_unit) {
            let found = "nothing was seen to try permissions on that are given one by one";
            findings.push(Finding::new("permissions", State::Warning, found));
        }
        let state = if had == questions.len() {
            State::Good
        } else {
            State::Warning
        };
        let tried = count(questions.len(), "permission");
        let found = format!("{principal} has {had} of {tried} that were tried");
        findings.push(Finding::new("permissions", state, found));
        findings
    }

    async fn simulate(
        &self,
        client: &aws_sdk_iam::Client,
        principal: &str,
        call: &Call<'_>,
        asked: &[&Question],
    ) -> Result<Vec<EvaluationResult>, Refused> {
        let actions = asked.iter().map(|question| question.action.to_owned());
        let pages = client
            .simulate_principal_policy()
            .policy_source_arn(principal)
            .set_action_names(Some(actions.collect()))
            .set_context_entries(Some(context(call, self.function)))
            .resource_arns(call.resource)
            .max_items(PAGE)
            .into_paginator()
            .send();
        let (answers, incomplete) =
            aws::read_pages(pages, |page| (page.evaluation_results, page.marker)).await;
        match incomplete {
            None => Ok(answers),
            Some(why) => Err(Refused {
                denied: why.kind() == ErrorKind::Denied,
                invalid: why
                    .code()
                    .is_some_and(|code| code.starts_with("InvalidInput")),
                why: format!("iam:SimulatePrincipalPolicy: {why}"),
            }),
        }
    }

    async fn simulate_one_by_one(
        &self,
        client: &aws_sdk_iam::Client,
        principal: &str,
        call: &Call<'_>,
        asked: &[&Question],
    ) -> Result<Vec<EvaluationResult>, Refused> {
        let mut answers = Vec::new();
        for question in asked {
            answers.extend(self.simulate(client, principal, call, &[question]).await?);
        }
        Ok(answers)
    }
}

impl Question {
    /// The tag that IAM is told of.
    fn known_tag(&self) -> Option<(&str, &str)> {
        let (key, value) = self.tag.as_ref()?;
        Some((key, value.as_deref()?))
    }

    fn denied(&self, principal: &str, by: &str) -> Finding {
        let Self {
            action,
            why,
            resource,
            tag,
            without,
            when,
        } = self;
        if let Some((key, None)) = tag {
            // A role that is scoped by the tag is right to have no more.
            let found = format!("{action} on {resource} without tags: {by}; {when}: {why}");
            return Finding::new("permissions", *without, found).todo(format!(
                "see whether {principal} has it by the tag {key}: steward doctor --environment \
                 VALUE"
            ));
        }
        let tag = self.known_tag();
        let tag = tag.map(|(key, value)| format!(" with the tag {key}={value}"));
        let on = format!("{resource}{}", tag.unwrap_or_default());
        let found = format!("{action} on {on}: {by}; needed {when}: {why}");
        Finding::new("permissions", *without, found)
            .todo(format!("allow {principal} {action} on {on}"))
    }
}

/// Who says no to an action, if somebody does.
fn denied(answers: &[EvaluationResult], question: &Question) -> Option<String> {
    let mut of_action = answers
        .iter()
        .filter(|answer| answer.eval_action_name() == question.action);
    match of_action.next() {
        Some(answer) if *answer.eval_decision() == PolicyEvaluationDecisionType::Allowed => None,
        Some(answer) => Some(said_by(answer).to_owned()),
        None => Some("IAM gave no answer".to_owned()),
    }
}

/// Why a simulation gave no answers.
struct Refused {
    why: String,
    denied: bool,
    /// IAM does not take this input.
    invalid: bool,
}

/// What one simulation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call<'a> {
    resource: &'a str,
    service: &'a str,
    tag: Option<(&'a str, &'a str)>,
}

/// What IAM would know of a request for one of Steward's own things, and does
/// not find out in a simulation (AWS IAM API Reference,
/// `SimulatePrincipalPolicy`): the Region that it is sent to, the function in the
/// tag of what it made, the tag that a role knows the resource by, and of what a
/// scalable target is.
fn context(call: &Call<'_>, function: &str) -> Vec<ContextEntry> {
    let entry = |name: &str, value: &str| {
        ContextEntry::builder()
            .context_key_name(name)
            .context_key_type(ContextKeyTypeEnum::String)
            .context_key_values(value)
            .build()
    };
    let region = Arn::parse(call.resource).map(|arn| arn.region);
    let region = region.filter(|region| !region.is_empty());
    let region = region.map(|region| entry("aws:RequestedRegion", &region));
    let mut entries: Vec<ContextEntry> = region.into_iter().collect();
    entries.push(entry("aws:ResourceTag/steward:managed-by", function));
    if let Some((key, value)) = call.tag {
        entries.push(entry(&format!("aws:ResourceTag/{key}"), value));
    }
    if call.service == "application-autoscaling" {
        // Steward has to do with services of ECS only.
        for (key, value) in [
            ("service-namespace", "ecs"),
            ("scalable-dimension", "ecs:service:DesiredCount"),
        ] {
            entries.push(entry(&format!("application-autoscaling:{key}"), value));
        }
    }
    entries
}

/// Which kind of policy said no.
fn said_by(answer: &EvaluationResult) -> &'static str {
    let organisation = answer.organizations_decision_detail();
    if organisation.is_some_and(|detail| !detail.allowed_by_organizations()) {
        return "a service control policy of the organisation denies it";
    }
    let boundary = answer.permissions_boundary_decision_detail();
    if boundary.is_some_and(|detail| !detail.allowed_by_permissions_boundary()) {
        return "the permissions boundary does not allow it";
    }
    match answer.eval_decision() {
        PolicyEvaluationDecisionType::ExplicitDeny => "a policy denies it",
        _ => "no policy allows it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn permission(action: &'static str, on: &'static str, needed: Needed) -> Permission {
        Permission {
            action,
            why: "a reason",
            on,
            needed,
        }
    }

    const UNIT: &str = "arn:{partition}:ecr:{region}:{account}:repository/{unit}";
    const PERMISSIONS: &[Permission] = &[
        permission("ecr:DescribeImages", UNIT, Needed::Plan),
        permission("ecr:GetLifecyclePolicy", UNIT, Needed::Advice),
        permission("ecr:BatchDeleteImage", UNIT, Needed::Apply),
        permission("s3:GetObject", "*", Needed::Sometimes),
        permission("sns:Publish", "*", Needed::Sometimes),
        permission(
            "ecr:UpdateImageStorageClass",
            UNIT,
            Needed::SometimesToApply,
        ),
    ];

    fn needs(units: &[String], applies: Applies) -> Needs<'_> {
        let asked = |action, resource: &str| Asked::on(action, resource.to_owned());
        Needs {
            function: "image-pruning",
            all: PERMISSIONS,
            asked: vec![
                asked("s3:GetObject", "arn:aws-cn:s3:::points/shop/*"),
                asked("ecr:UpdateImageStorageClass", "arn:archived"),
            ],
            applies,
            units,
            partition: "aws-cn",
            region: "cn-north-1",
            account: "123456789012",
        }
    }

    fn told(needs: &Needs<'_>) -> Vec<(&'static str, String, State)> {
        let questions = needs.questions().into_iter();
        questions
            .map(|q| (q.action, q.resource, q.without))
            .collect()
    }

    #[test]
    fn what_is_needed_is_asked_where_it_is_needed_and_weighs_as_much() {
        let units = ["a".to_owned(), "b".to_owned()];
        let of = |unit: &str| format!("arn:aws-cn:ecr:cn-north-1:123456789012:repository/{unit}");
        let points = "arn:aws-cn:s3:::points/shop/*".to_owned();
        let archive = (
            "ecr:UpdateImageStorageClass",
            "arn:archived".to_owned(),
            State::Bad,
        );
        assert_eq!(
            told(&needs(&units, Applies::Now)),
            [
                ("ecr:DescribeImages", of("a"), State::Bad),
                ("ecr:DescribeImages", of("b"), State::Bad),
                ("ecr:GetLifecyclePolicy", of("a"), State::Warning),
                ("ecr:GetLifecyclePolicy", of("b"), State::Warning),
                ("ecr:BatchDeleteImage", of("a"), State::Bad),
                ("ecr:BatchDeleteImage", of("b"), State::Bad),
                ("s3:GetObject", points.clone(), State::Bad),
                archive.clone(),
            ]
        );
        // A policy that selects nothing lets it do nothing.
        let later = told(&needs(&units[..1], Applies::Later));
        assert!(later.contains(&("ecr:BatchDeleteImage", of("a"), State::Warning)));
        // Whoever is deployed to plan is not asked for what it must not have.
        assert_eq!(
            told(&needs(&units[..1], Applies::Never)),
            [
                ("ecr:DescribeImages", of("a"), State::Bad),
                ("ecr:GetLifecyclePolicy", of("a"), State::Warning),
                ("s3:GetObject", points.clone(), State::Bad),
            ]
        );
        // What is given one by one cannot be tried on nothing.
        assert_eq!(
            told(&needs(&[], Applies::Now)),
            [("s3:GetObject", points, State::Bad), archive]
        );
    }

    #[test]
    fn a_simulation_knows_the_region_and_whose_the_resource_is() {
        let told = |resource: &str, service, tag| -> Vec<String> {
            let call = Call {
                resource,
                service,
                tag,
            };
            let entries = context(&call, "snapshot-rotation");
            let told = entries.iter().map(|entry| {
                let name = entry.context_key_name().unwrap_or_default();
                format!("{name}={}", entry.context_key_values().join(","))
            });
            told.collect()
        };
        let tag = "aws:ResourceTag/steward:managed-by=snapshot-rotation";
        assert_eq!(
            told(
                "arn:aws:rds:eu-west-1:123456789012:snapshot:steward-*",
                "rds",
                None
            ),
            ["aws:RequestedRegion=eu-west-1", tag]
        );
        for anywhere in ["*", "arn:aws:iam::123456789012:role/copies"] {
            assert_eq!(told(anywhere, "rds", None), [tag], "{anywhere}");
        }
        assert_eq!(
            told("*", "ecs", Some(("steward:environment", "shop-test"))),
            [tag, "aws:ResourceTag/steward:environment=shop-test"]
        );
        assert_eq!(
            told("*", "application-autoscaling", None),
            [
                tag,
                "application-autoscaling:service-namespace=ecs",
                "application-autoscaling:scalable-dimension=ecs:service:DesiredCount"
            ]
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
