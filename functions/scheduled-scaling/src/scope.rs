//! What a run is about: all environments, some, or what a person asks of one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use steward::engine::{ScopeError, names_in};
use steward::event::ManualEvent;
use steward::policy::Period;

use crate::calendar::Wanted;
use crate::policy::ScalingPolicy;

/// The shortest and the longest override.
const SHORTEST: Period = Period::minutes(1);
const LONGEST: Period = Period::days(31);

/// The operation of what a person asks for.
pub const OVERRIDE: &str = "override";

/// The most characters of why and by whom.
const LONGEST_TEXT: usize = 200;

/// What a run is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All environments of the policy.
    Everything,
    /// Only these.
    Environments(Vec<String>),
    /// What a person asks of one, against its schedules.
    Override(Asking),
}

/// What a person asks of an environment, against its schedules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asking {
    /// The environment.
    pub environment: String,
    /// What is asked for; `None`: what the schedules say again.
    pub to: Option<Wanted>,
    /// For how long: 1m to 31d.
    #[serde(rename = "for")]
    pub lasts: Period,
    /// Who asks, as far as that is known.
    pub by: Option<String>,
    /// Why.
    pub why: String,
}

impl Scope {
    /// Whether a run works on this environment.
    pub(crate) fn covers(&self, environment: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Environments(names) => names.iter().any(|name| name == environment),
            Self::Override(_) => false,
        }
    }

    /// Refuses environments and sizes that the policy does not have.
    pub(crate) fn check(&self, policy: &ScalingPolicy) -> Result<(), ScopeError> {
        let is_known = |place: &str, name: &String| {
            if policy.environments.contains_key(name) {
                return Ok(());
            }
            let names: Vec<&str> = policy.environments.keys().map(String::as_str).collect();
            Err(ScopeError(format!(
                "{place}: \"{name}\" is not in the policy; allowed: {}",
                if names.is_empty() {
                    "none, because it has no environments".to_owned()
                } else {
                    names.join(", ")
                }
            )))
        };
        match self {
            Self::Everything => Ok(()),
            Self::Environments(names) => names
                .iter()
                .try_for_each(|name| is_known("environments", name)),
            Self::Override(asked) => {
                is_known("environment", &asked.environment)?;
                let Some(Wanted::On { size: Some(size) }) = &asked.to else {
                    return Ok(());
                };
                let environment = &policy.environments[&asked.environment];
                let sizes = environment.sizes();
                if sizes.contains(size) {
                    return Ok(());
                }
                let names: Vec<&str> = sizes.iter().map(String::as_str).collect();
                Err(ScopeError(format!(
                    "size: \"{size}\" is no size of {}; allowed: {}",
                    asked.environment,
                    if names.is_empty() {
                        "none, because it has no sizes".to_owned()
                    } else {
                        names.join(", ")
                    }
                )))
            }
        }
    }
}

/// The scope of the operation `scale` by hand.
pub(crate) fn parse_scale(manual: &ManualEvent) -> Result<Scope, ScopeError> {
    let names = names_in(manual, "environments", "names of environments")?;
    Ok(names.map_or(Scope::Everything, Scope::Environments))
}

/// The keys of the operation `override`.
const KEYS: [&str; 6] = ["environment", "to", "size", "for", "why", "by"];

/// The scope of the operation `override`.
pub(crate) fn parse_override(manual: &ManualEvent) -> Result<Scope, ScopeError> {
    let given = &manual.parameters;
    if let Some(other) = given.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(ScopeError(format!(
            "{other}: not a key of this event; allowed: operation, mode, {}",
            KEYS.join(", ")
        )));
    }
    let environment = required(given, "environment", "the name of an environment")?;
    let size = text(given, "size", "the name of a size, or nothing")?;
    let to = required(given, "to", "on, off or none")?;
    let to = match (to.as_str(), size) {
        ("on", size) => Some(Wanted::On { size }),
        ("off", None) => Some(Wanted::Off),
        ("none", None) => None,
        ("off" | "none", Some(size)) => {
            return Err(bad("size", &Value::from(size), "one only where to is on"));
        }
        (other, _) => return Err(bad("to", &Value::from(other), "on, off or none")),
    };
    let allowed = "a period from 1m to 31d, such as 3h";
    let lasts = match (text(given, "for", allowed)?, &to) {
        (Some(_), None) => return Err(bad("for", &given["for"], "nothing where to is none")),
        (None, None) => SHORTEST,
        (None, Some(_)) => return Err(missing("for", allowed)),
        (Some(text), Some(_)) => {
            let period: Result<Period, _> = text.parse();
            let within = period.ok().filter(|it| (SHORTEST..=LONGEST).contains(it));
            within.ok_or_else(|| bad("for", &Value::from(text), allowed))?
        }
    };
    let why = match to {
        Some(_) => required(given, "why", "why it is asked for, in up to 200 characters")?,
        None => text(given, "why", "why, in up to 200 characters")?.unwrap_or_default(),
    };
    let by = text(given, "by", "who asks, in up to 200 characters")?;
    Ok(Scope::Override(Asking {
        environment,
        to,
        lasts,
        by,
        why,
    }))
}

fn bad(key: &str, value: &Value, allowed: &str) -> ScopeError {
    let shown: String = value.to_string().chars().take(100).collect();
    ScopeError(format!("{key}: {shown} is not allowed; allowed: {allowed}"))
}

fn missing(key: &str, allowed: &str) -> ScopeError {
    ScopeError(format!("{key}: missing; allowed: {allowed}"))
}

/// The text under a key; `None` where it is left out or null.
fn text(
    given: &Map<String, Value>,
    key: &str,
    allowed: &str,
) -> Result<Option<String>, ScopeError> {
    match given.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text))
            if !text.trim().is_empty() && text.chars().count() <= LONGEST_TEXT =>
        {
            Ok(Some(text.trim().to_owned()))
        }
        Some(other) => Err(bad(key, other, allowed)),
    }
}

fn required(given: &Map<String, Value>, key: &str, allowed: &str) -> Result<String, ScopeError> {
    text(given, key, allowed)?.ok_or_else(|| missing(key, allowed))
}
