//! A role as it stands in IAM, and what IAM's simulation says of it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum};
use serde_json::Value;

use crate::account::Account;
use crate::faults::percent_decoded;

/// A role's policies, its own and those attached to it.
#[derive(Clone, Debug)]
pub struct Role {
    account: Account,
    policies: Vec<Value>,
}

/// What the simulation answers ("`EvalDecision`", IAM API Reference,
/// `EvaluationResult`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// No statement allows it.
    NotAllowed,
    /// A statement denies it.
    Denied,
}

impl Account {
    /// Reads a role and its policies.
    ///
    /// # Errors
    /// When there is no such role, or a policy is no JSON.
    pub async fn role(&self, arn: &str) -> Result<Role> {
        let iam = self.iam();
        let name = arn.rsplit('/').next().unwrap_or_default();
        let mut policies = Vec::new();
        let own = iam.list_role_policies().role_name(name).send().await;
        for policy in own.with_context(|| format!("no role {arn}"))?.policy_names {
            let read = iam.get_role_policy().role_name(name).policy_name(&policy);
            policies.push(document(&read.send().await?.policy_document)?);
        }
        let attached = iam.list_attached_role_policies().role_name(name);
        for policy in attached.send().await?.attached_policies.unwrap_or_default() {
            let arn = policy.policy_arn.context("a policy without an ARN")?;
            let read = iam.get_policy().policy_arn(&arn).send().await?.policy;
            let version = read.and_then(|policy| policy.default_version_id);
            let read = iam
                .get_policy_version()
                .policy_arn(&arn)
                .version_id(version.context("a policy without a version")?);
            let version = read.send().await?.policy_version;
            let text = version.and_then(|version| version.document);
            policies.push(document(&text.context("a policy without a document")?)?);
        }
        Ok(Role {
            account: self.clone(),
            policies,
        })
    }
}

/// Policy documents come percent-encoded (IAM API Reference, `GetRolePolicy`).
fn document(encoded: &str) -> Result<Value> {
    serde_json::from_str(&percent_decoded(encoded)).context("a policy that is no JSON")
}

impl Role {
    /// Every statement of every policy.
    pub fn statements(&self) -> impl Iterator<Item = &Value> {
        let statements = self.policies.iter().map(|policy| &policy["Statement"]);
        statements.flat_map(each)
    }

    /// Every statement that has conditions: `SID ACTIONS CONDITIONS`.
    pub fn conditions(&self) -> BTreeSet<String> {
        let conditional = self.statements().filter(|one| !one["Condition"].is_null());
        let told = |one: &Value| format!("{} {} {}", one["Sid"], one["Action"], one["Condition"]);
        conditional.map(told).collect()
    }

    /// The actions that its statements allow, as they are written there.
    pub fn allowed_actions(&self) -> BTreeSet<String> {
        self.statements()
            .filter(|statement| statement["Effect"] == "Allow")
            .flat_map(|statement| each(&statement["Action"]))
            .filter_map(|action| action.as_str().map(str::to_owned))
            .collect()
    }

    /// Asks IAM (`iam:SimulateCustomPolicy`) whether the role may do this to
    /// that. Conditions are judged without their keys.
    ///
    /// # Errors
    /// When IAM refuses to say.
    pub async fn judge(&self, action: &str, resource: &str) -> Result<Decision> {
        self.judge_in(action, resource, &[]).await
    }

    /// As [`Role::judge`], with values of condition keys, such as
    /// `aws:RequestedRegion`.
    ///
    /// # Errors
    /// When IAM refuses to say.
    pub async fn judge_in(
        &self,
        action: &str,
        resource: &str,
        context: &[(&str, &str)],
    ) -> Result<Decision> {
        use aws_sdk_iam::types::PolicyEvaluationDecisionType as Eval;
        let policies = self.policies.iter().map(Value::to_string).collect();
        let entry = |(key, value): &(&str, &str)| {
            ContextEntry::builder()
                .context_key_name(*key)
                .context_key_values(*value)
                .context_key_type(ContextKeyTypeEnum::String)
                .build()
        };
        let context = context.iter().map(entry).collect();
        let answer = self
            .account
            .iam()
            .simulate_custom_policy()
            .set_policy_input_list(Some(policies))
            .action_names(action)
            .resource_arns(resource)
            .set_context_entries(Some(context))
            .send()
            .await?;
        let result = answer.evaluation_results().first();
        let decision = result.context("no result")?.eval_decision();
        Ok(match decision {
            Eval::Allowed => Decision::Allowed,
            Eval::ExplicitDeny => Decision::Denied,
            _ => Decision::NotAllowed,
        })
    }
}

/// What may be written alone or in a list.
fn each(value: &Value) -> std::slice::Iter<'_, Value> {
    match value {
        Value::Array(list) => list.iter(),
        one => std::slice::from_ref(one).iter(),
    }
}
