//! Who outside this account and Region may pull from a repository: what policies
//! of repositories and of the registry, and its replication, tell.
//!
//! A policy is read tolerantly and towards caution: whatever is not clearly
//! about our own account alone is an outsider. Statements that deny are not
//! weighed against those that allow.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use wildmatch::WildMatch;

use crate::world::Outsider;

/// What a client of Amazon ECR needs to pull (Amazon ECR User Guide, "IAM
/// permissions for pulling an image").
const PULL_ACTIONS: [&str; 2] = ["ecr:batchgetimage", "ecr:getdownloadurlforlayer"];

/// What another registry needs to put copies here (Amazon ECR User Guide,
/// "Private registry policy examples").
const REPLICATE: &str = "ecr:replicateimage";

/// Conditions that narrow the principal down to an account by its id.
const ACCOUNT_KEYS: [&str; 2] = ["aws:principalaccount", "aws:sourceaccount"];

/// Conditions that narrow it down by an ARN, which has the account in it.
const ARN_KEYS: [&str; 2] = ["aws:principalarn", "aws:sourcearn"];

/// A policy document that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyTextError {
    /// It is no JSON.
    #[error("the policy is no JSON: {0}")]
    NoJson(#[from] serde_json::Error),
    /// It has no statements.
    #[error("the policy has no Statement")]
    NoStatement,
}

/// A policy of the registry, whose statements name the repositories that they
/// are about.
#[derive(Debug, Default)]
pub(crate) struct RegistryPolicy(Vec<Map<String, Value>>);

impl RegistryPolicy {
    /// Reads it.
    ///
    /// # Errors
    /// [`PolicyTextError`].
    pub(crate) fn parse(text: &str) -> Result<Self, PolicyTextError> {
        statements(text).map(Self)
    }

    /// Whom it lets pull from the repository with this ARN, or put copies there.
    pub(crate) fn outsiders_of(&self, arn: &str, own_account: &str) -> BTreeSet<Outsider> {
        let about_it = |statement: &&Map<String, Value>| match statement.get("Resource") {
            Some(patterns) => texts(patterns).any(|p| WildMatch::new(p).matches(arn)),
            None => true,
        };
        let statements = self.0.iter().filter(about_it);
        statements
            .flat_map(|statement| {
                outsiders_of_statement(statement, "the registry's policy", own_account)
            })
            .collect()
    }
}

/// Whom the policy of a repository lets pull.
///
/// # Errors
/// [`PolicyTextError`].
pub(crate) fn parse_repository_policy(
    text: &str,
    own_account: &str,
) -> Result<BTreeSet<Outsider>, PolicyTextError> {
    let statements = statements(text)?;
    let of = |statement| outsiders_of_statement(statement, "the repository's policy", own_account);
    Ok(statements.iter().flat_map(of).collect())
}

fn statements(text: &str) -> Result<Vec<Map<String, Value>>, PolicyTextError> {
    let mut document: Value = serde_json::from_str(text)?;
    let statement = document.get_mut("Statement").map(Value::take);
    let all = match statement {
        Some(Value::Array(all)) => all,
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err(PolicyTextError::NoStatement),
    };
    let object = |value| match value {
        Value::Object(statement) => Some(statement),
        _ => None,
    };
    let all: Option<Vec<_>> = all.into_iter().map(object).collect();
    all.ok_or(PolicyTextError::NoStatement)
}

/// One text, or each of a list of texts.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let one = value.as_str().into_iter();
    let list = value.as_array().into_iter().flatten();
    one.chain(list.filter_map(Value::as_str))
}

fn outsiders_of_statement(
    statement: &Map<String, Value>,
    of: &str,
    own_account: &str,
) -> Vec<Outsider> {
    if statement.get("Effect").and_then(Value::as_str) == Some("Deny") || !lets_pull(statement) {
        return vec![];
    }
    let outsider = |account: Option<String>, who: &str| Outsider {
        account,
        region: None,
        words: match statement.get("Sid").and_then(Value::as_str) {
            Some(sid) => format!("{of} allows {who} ({sid})"),
            None => format!("{of} allows {who}"),
        },
    };
    // A condition that holds for our own account alone, whoever the principal is.
    let narrowed = narrowed_to(statement.get("Condition"));
    if let Some(accounts) = narrowed {
        let others = accounts.into_iter().filter(|a| a != own_account);
        return others
            .map(|account| {
                let who = format!("account {account}");
                outsider(Some(account), &who)
            })
            .collect();
    }
    let Some(Value::Object(kinds)) = statement.get("Principal") else {
        let who = match statement.get("Principal").map(texts) {
            Some(mut all) => all.next().map_or("an unreadable principal", |_| "anybody"),
            None => "everybody but some",
        };
        return vec![outsider(None, who)];
    };
    let mut found = Vec::new();
    for (kind, principals) in kinds {
        let mut any = false;
        for principal in texts(principals) {
            any = true;
            match account_of(principal).filter(|_| kind == "AWS") {
                Some(account) if account == own_account => {}
                Some(account) => found.push(outsider(Some(account), principal)),
                None => found.push(outsider(None, principal)),
            }
        }
        if !any {
            found.push(outsider(None, "an unreadable principal"));
        }
    }
    found
}

/// Whether a statement is about pulling, or may be.
fn lets_pull(statement: &Map<String, Value>) -> bool {
    let Some(actions) = statement.get("Action") else {
        return true;
    };
    let mut patterns = texts(actions).peekable();
    patterns.peek().is_none()
        || patterns.any(|pattern| {
            let pattern = WildMatch::new(&pattern.to_ascii_lowercase());
            let mut about = PULL_ACTIONS.iter().chain([&REPLICATE]);
            about.any(|action| pattern.matches(action))
        })
}

/// The accounts that conditions narrow a statement down to, when one of them
/// does. All conditions must hold, so that one is enough.
fn narrowed_to(condition: Option<&Value>) -> Option<BTreeSet<String>> {
    let operators = condition?.as_object()?;
    operators.iter().find_map(|(operator, keys)| {
        // Not with IfExists or ForAllValues, which hold where the key is absent,
        // and not those that negate.
        let narrows = [
            "StringEquals",
            "StringEqualsIgnoreCase",
            "StringLike",
            "ArnEquals",
            "ArnLike",
        ];
        let operator = operator.strip_prefix("ForAnyValue:").unwrap_or(operator);
        let keys = keys.as_object().filter(|_| narrows.contains(&operator))?;
        keys.iter().find_map(|(key, values)| {
            let key = key.to_ascii_lowercase();
            let all: Vec<&str> = texts(values).collect();
            let accounts: Option<BTreeSet<String>> = if ACCOUNT_KEYS.contains(&key.as_str()) {
                all.iter().map(|text| account_id(text)).collect()
            } else if ARN_KEYS.contains(&key.as_str()) {
                all.iter().map(|text| account_in_arn(text)).collect()
            } else {
                None
            };
            accounts.filter(|accounts| !accounts.is_empty())
        })
    })
}

/// The account of a principal: its id, or an ARN with it. Not of `*`, nor of the
/// unique id that remains of a principal that was deleted.
fn account_of(principal: &str) -> Option<String> {
    account_id(principal).or_else(|| account_in_arn(principal))
}

fn account_id(text: &str) -> Option<String> {
    let is_one = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    is_one.then(|| text.to_owned())
}

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
fn account_in_arn(text: &str) -> Option<String> {
    let rest = text.strip_prefix("arn:")?;
    account_id(rest.split(':').nth(3)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWN: &str = "123456789012";
    const OTHER: &str = "222222222222";

    /// The accounts of those whom a statement lets pull; `?` for one that cannot
    /// be told.
    fn who(statement: Value) -> Vec<String> {
        let text = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        let found = parse_repository_policy(&text, OWN).unwrap();
        let account = |o: Outsider| o.account.unwrap_or("?".to_owned());
        found.into_iter().map(account).collect()
    }

    fn allow(principal: Value) -> Value {
        json!({"Effect": "Allow", "Principal": principal, "Action": "ecr:*"})
    }

    fn only(mut statement: Value, condition: Value) -> Value {
        statement["Condition"] = condition;
        statement
    }

    #[test]
    fn our_own_account_is_no_outsider_in_whatever_form() {
        for principal in [
            json!({"AWS": OWN}),
            json!({"AWS": format!("arn:aws:iam::{OWN}:root")}),
            json!({"AWS": [OWN, format!("arn:aws:iam::{OWN}:role/ci/deploy")]}),
            json!({"AWS": format!("arn:aws-cn:sts::{OWN}:assumed-role/ci/build")}),
        ] {
            assert_eq!(who(allow(principal.clone())), [""; 0], "{principal}");
        }
    }

    #[test]
    fn other_accounts_are_told_by_their_id() {
        for principal in [
            json!({"AWS": OTHER}),
            json!({"AWS": [OWN, format!("arn:aws:iam::{OTHER}:root")]}),
            json!({"AWS": format!("arn:aws:iam::{OTHER}:role/app")}),
        ] {
            assert_eq!(who(allow(principal.clone())), [OTHER], "{principal}");
        }
    }

    #[test]
    fn whatever_cannot_be_told_is_an_outsider() {
        for principal in [
            json!("*"),
            json!({"AWS": "*"}),
            json!({"AWS": "AROAEXAMPLEEXAMPLE"}),
            json!({"Service": "lambda.amazonaws.com"}),
            json!({"Federated": "arn:aws:iam::123456789012:saml-provider/x"}),
            json!({"AWS": []}),
            json!({"AWS": 5}),
            json!(5),
        ] {
            assert_eq!(who(allow(principal.clone())), ["?"], "{principal}");
        }
        let but_some = json!({"Effect": "Allow", "NotPrincipal": {"AWS": OTHER}, "Action": "*"});
        assert_eq!(who(but_some), ["?"]);
    }

    #[test]
    fn conditions_narrow_it_down_only_when_they_certainly_do() {
        let lambda = || allow(json!({"Service": "lambda.amazonaws.com"}));
        let function = |account: &str| format!("arn:aws:lambda:eu-west-1:{account}:function:*");
        for (condition, expected) in [
            (json!({"StringEquals": {"aws:SourceAccount": OWN}}), vec![]),
            (
                json!({"StringLike": {"aws:sourceArn": function(OWN)}}),
                vec![],
            ),
            (
                json!({"ArnLike": {"aws:SourceArn": [function(OWN), function(OTHER)]}}),
                vec![OTHER],
            ),
            (
                json!({"StringEquals": {"aws:PrincipalAccount": [OTHER]}}),
                vec![OTHER],
            ),
            (
                json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
                vec!["?"],
            ),
            (
                json!({"StringEqualsIfExists": {"aws:SourceAccount": OWN}}),
                vec!["?"],
            ),
            (
                json!({"StringNotEquals": {"aws:SourceAccount": OWN}}),
                vec!["?"],
            ),
            (
                json!({"StringLike": {"aws:SourceAccount": "1234*"}}),
                vec!["?"],
            ),
            (
                json!({"ArnLike": {"aws:SourceArn": "arn:aws:lambda:*:*:function:*"}}),
                vec!["?"],
            ),
            (
                json!({"StringEquals": {"aws:SourceAccount": []}}),
                vec!["?"],
            ),
            (json!("odd"), vec!["?"]),
        ] {
            assert_eq!(
                who(only(lambda(), condition.clone())),
                expected,
                "{condition}"
            );
        }
    }

    #[test]
    fn only_statements_about_pulling_count() {
        for (action, counts) in [
            (json!("*"), true),
            (json!("ecr:*"), true),
            (json!("ECR:batchgetimage"), true),
            (json!(["ecr:PutImage", "ecr:Get*"]), true),
            (json!("ecr:ReplicateImage"), true),
            (json!(["ecr:PutImage", "ecr:InitiateLayerUpload"]), false),
            (json!("ecr:DescribeImages"), false),
            (json!([]), true),
        ] {
            let statement = json!({"Effect": "Allow", "Principal": "*", "Action": action});
            assert_eq!(!who(statement).is_empty(), counts, "{action}");
        }
        let but = json!({"Effect": "Allow", "Principal": "*", "NotAction": "ecr:PutImage"});
        assert_eq!(who(but), ["?"]);
        let deny = json!({"Effect": "Deny", "Principal": "*", "Action": "ecr:*"});
        assert_eq!(who(deny), [""; 0]);
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_an_error_and_not_one_that_allows_nothing() {
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"Statement": 5}"#,
            r#"{"Statement": ["x"]}"#,
        ] {
            assert!(parse_repository_policy(text, OWN).is_err(), "{text}");
        }
        let single = json!({"Statement": allow(json!("*"))}).to_string();
        assert_eq!(parse_repository_policy(&single, OWN).unwrap().len(), 1);
    }

    #[test]
    fn a_registry_policy_is_about_the_repositories_that_it_names() {
        let arn = |name: &str| format!("arn:aws:ecr:eu-west-1:{OWN}:repository/{name}");
        let mut statement = allow(json!({"AWS": OTHER}));
        statement["Resource"] = json!([arn("shop/*"), arn("base")]);
        let policy = RegistryPolicy::parse(&json!({"Statement": [statement]}).to_string()).unwrap();
        for (name, count) in [("shop/web", 1), ("base", 1), ("based", 0), ("other", 0)] {
            assert_eq!(policy.outsiders_of(&arn(name), OWN).len(), count, "{name}");
        }
    }
}
