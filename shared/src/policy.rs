//! What we are told: where a policy comes from, how it is read, and the values
//! that every policy is written in.
//!
//! A policy is one YAML document (JSON is YAML) with `version: 1`. A wrong one
//! is an error that names the key path, the value and what is allowed, and
//! changes nothing.

mod notify;
mod places;

use std::fmt::{self, Display};
use std::str::FromStr;

use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use wildmatch::WildMatch;

use crate::aws;
use crate::digest::sha256_of;

pub use self::notify::{MOST_MESSAGES, News, Notify};
pub use self::places::{S3Prefix, account_of_role, is_external_id, is_region};

/// The largest policy that is read, in bytes. A Parameter Store value holds
/// 8 KB at most; S3 has room for more.
pub const MAX_BYTES: usize = 256 * 1024;

/// A function's policy.
pub trait Policy: Default + DeserializeOwned + Serialize + JsonSchema {
    /// Finds bad values and impossible combinations.
    fn check(&self, problems: &mut Problems);

    /// Whether it names its targets; `"*"` is an explicit choice. Without,
    /// `apply` is refused.
    fn selects_targets(&self) -> bool;

    /// What a run tells people: the section `notify`.
    fn notify(&self) -> &Notify;
}

/// The JSON Schema of a policy document: the policy's own keys, and the
/// `version` that stands above every policy.
pub fn schema<P: Policy>() -> Schema {
    let mut schema = schemars::schema_for!(P);
    if let Some(keys) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let version = serde_json::json!({ "description": "Of this shape: 1.", "const": 1 });
        keys.insert("version".to_owned(), version);
    }
    schema.insert("required".to_owned(), serde_json::json!(["version"]));
    schema
}

/// Collects what is wrong with a policy.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// One bad value: where, what it is, what is allowed.
    pub fn add(&mut self, path: &str, value: impl Display, allowed: impl Display) {
        self.0.push(format!(
            "{path}: {value} is not allowed; allowed: {allowed}"
        ));
    }

    /// Adds a problem unless `value` lies within the bounds, both included.
    pub fn within<T: PartialOrd + Display>(&mut self, path: &str, value: T, least: T, most: T) {
        if value < least || value > most {
            self.add(path, value, format!("{least} to {most}"));
        }
    }
}

/// A policy that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PolicyError {
    /// `--policy` or an environment variable names no known kind of place.
    #[error("\"{0}\" is no policy source; allowed: ssm:NAME, s3://bucket/key, or by hand a file")]
    Source(String),
    /// It could not be fetched.
    #[error("policy {origin} cannot be read: {problem}")]
    Unreadable {
        /// Where it should be.
        origin: String,
        /// The whole cause chain.
        problem: String,
    },
    /// It could be read and is wrong.
    #[error("policy {origin}: {}", problems.join("; "))]
    Invalid {
        /// Where it is from.
        origin: String,
        /// Key path, value and what is allowed, of everything that is wrong.
        problems: Vec<String>,
    },
}

/// The text of a policy. It may come from an encrypted parameter and hold what
/// nobody meant to print, so that its `Debug` shows nothing and there is no
/// `Display`. What is said of it is said by [`PolicyError`], value by value.
#[derive(Clone, Debug)]
pub struct PolicyText(SecretString);

impl PolicyText {
    fn read(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for PolicyText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl PartialEq for PolicyText {
    fn eq(&self, other: &Self) -> bool {
        self.read() == other.read()
    }
}

impl Eq for PolicyText {}

/// Where a policy comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// `STEWARD_POLICY`: the document itself.
    Inline(PolicyText),
    /// A file, by hand only.
    File(String),
    /// A Systems Manager parameter.
    Ssm(String),
    /// An S3 object.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// No policy: the documented defaults, for a first `plan`.
    Defaults,
}

impl PolicySource {
    /// Reads `ssm:NAME` and `s3://bucket/key`.
    ///
    /// # Errors
    /// [`PolicyError::Source`] for anything else.
    pub fn remote(text: &str) -> Result<Self, PolicyError> {
        let bad = || PolicyError::Source(text.to_owned());
        if let Some(name) = text.strip_prefix("ssm:").filter(|name| !name.is_empty()) {
            return Ok(Self::Ssm(name.to_owned()));
        }
        let (bucket, key) = text
            .strip_prefix("s3://")
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(bad)?;
        if bucket.is_empty() || key.is_empty() {
            return Err(bad());
        }
        Ok(Self::S3 {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Reads the argument of `--policy`: a remote source or a file.
    ///
    /// # Errors
    /// [`PolicyError::Source`] when it looks remote and is not.
    pub fn argument(text: &str) -> Result<Self, PolicyError> {
        if text.starts_with("ssm:") || text.starts_with("s3:") {
            Self::remote(text)
        } else {
            Ok(Self::File(text.to_owned()))
        }
    }

    /// Fetches, parses and checks the policy.
    ///
    /// # Errors
    /// [`PolicyError::Unreadable`] and [`PolicyError::Invalid`].
    pub async fn load<P: Policy>(
        &self,
        config: &SdkConfig,
    ) -> Result<PolicyDocument<P>, PolicyError> {
        match self.fetch(config).await? {
            Some(text) => PolicyDocument::parse(text.read(), &self.to_string()),
            None => Ok(PolicyDocument::defaults()),
        }
    }

    async fn fetch(&self, config: &SdkConfig) -> Result<Option<PolicyText>, PolicyError> {
        let unreadable = |problem: String| PolicyError::Unreadable {
            origin: self.to_string(),
            problem,
        };
        let text = match self {
            Self::Defaults => return Ok(None),
            Self::Inline(text) => text.clone(),
            Self::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|error| unreadable(error.to_string()))?
                .into(),
            Self::Ssm(name) => aws_sdk_ssm::Client::new(config)
                .get_parameter()
                .name(name)
                .with_decryption(true)
                .send()
                .await
                .map_err(|error| unreadable(format!("ssm:GetParameter: {}", aws::explain(&error))))?
                .parameter
                .and_then(|parameter| parameter.value)
                .ok_or_else(|| unreadable("the parameter has no value".to_owned()))?
                .into(),
            Self::S3 { bucket, key } => {
                let object = aws_sdk_s3::Client::new(config)
                    .get_object()
                    .bucket(bucket)
                    .key(key)
                    .send()
                    .await
                    .map_err(|error| {
                        unreadable(format!("s3:GetObject: {}", aws::explain(&error)))
                    })?;
                let size = object
                    .content_length()
                    .and_then(|n| usize::try_from(n).ok());
                if size.is_some_and(|size| size > MAX_BYTES) {
                    return Err(unreadable(format!("larger than {MAX_BYTES} bytes")));
                }
                let bytes = object
                    .body
                    .collect()
                    .await
                    .map_err(|error| unreadable(aws::chain(&error)))?
                    .into_bytes();
                String::from_utf8(bytes.into())
                    .map_err(|error| unreadable(error.to_string()))?
                    .into()
            }
        };
        if text.read().len() > MAX_BYTES {
            return Err(unreadable(format!("larger than {MAX_BYTES} bytes")));
        }
        Ok(Some(text))
    }
}

impl Display for PolicySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("STEWARD_POLICY"),
            Self::File(path) => f.write_str(path),
            Self::Ssm(name) => write!(f, "ssm:{name}"),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::Defaults => f.write_str("defaults"),
        }
    }
}

/// A policy that was parsed and checked.
#[derive(Clone, Debug)]
pub struct PolicyDocument<P> {
    policy: P,
    digest: String,
    warnings: Vec<String>,
    explicit: bool,
}

impl<P: Policy> PolicyDocument<P> {
    /// The documented defaults, which select nothing for `apply`.
    pub fn defaults() -> Self {
        Self::of(P::default(), false)
    }

    fn of(policy: P, explicit: bool) -> Self {
        let digest = sha256_of(&policy);
        let warnings = match (explicit, policy.selects_targets()) {
            (false, _) => {
                vec!["no policy was given: this looks at everything with the defaults".to_owned()]
            }
            (true, false) => {
                vec!["the policy selects no targets: this looks at everything".to_owned()]
            }
            (true, true) => vec![],
        };
        Self {
            policy,
            digest,
            warnings,
            explicit,
        }
    }

    /// Parses and checks one document.
    ///
    /// # Errors
    /// [`PolicyError::Invalid`] with everything that is wrong.
    pub fn parse(text: &str, origin: &str) -> Result<Self, PolicyError> {
        let invalid = |problems| PolicyError::Invalid {
            origin: origin.to_owned(),
            problems,
        };
        // A tag would otherwise vanish, and with it what somebody meant by it:
        // `- !tmp-*` for "not". YAML 1.1 booleans would make `no` a `false`.
        let options = serde_saphyr::options! {
            with_snippet: false,
            reject_unsupported_tags: true,
            strict_booleans: true,
        };
        let mut value: Value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| invalid(vec![format!("not YAML: {error}")]))?;
        let Some(document) = value.as_object_mut() else {
            return Err(invalid(vec![format!(
                "the document is {}; expected a mapping that starts with `version: 1`",
                kind_of(&value)
            )]));
        };
        match document.remove("version") {
            Some(version) if version == 1 => {}
            Some(version) => {
                return Err(invalid(vec![format!(
                    "version: {version} is not allowed; allowed: 1"
                )]));
            }
            None => return Err(invalid(vec!["version: missing; allowed: 1".to_owned()])),
        }
        let policy: P = serde_path_to_error::deserialize(value.clone()).map_err(|error| {
            let path = error.path().to_string();
            let message = error.inner().to_string();
            if let Some(problem) = unknown_name(&message) {
                return invalid(vec![format!("{path}: {problem}")]);
            }
            let found = value_at(&value, error.path())
                .filter(|v| !v.is_object() && !v.is_array())
                .map(|v| format!(" (value {v})"))
                .unwrap_or_default();
            invalid(vec![format!("{path}: {message}{found}")])
        })?;
        let mut problems = Problems::default();
        policy.check(&mut problems);
        if problems.0.is_empty() {
            Ok(Self::of(policy, true))
        } else {
            Err(invalid(problems.0))
        }
    }

    /// The policy.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// `sha256:` over the policy with its defaults; comments and order do not
    /// matter.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What a person should know about it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether `apply` may go by it.
    pub fn selects_targets(&self) -> bool {
        self.explicit && self.policy.selects_targets()
    }
}

/// Says it of a key or a word that is none: what is allowed, and which of it
/// is near. Serde names them in its message only: "unknown field `x`, expected
/// one of `a`, `b`".
fn unknown_name(message: &str) -> Option<String> {
    let (what, rest) = [("key", "unknown field `"), ("word", "unknown variant `")]
        .into_iter()
        .find_map(|(what, start)| Some((what, message.strip_prefix(start)?)))?;
    // Names and what is between them take turns.
    let names: Vec<&str> = rest.split('`').step_by(2).collect();
    let (found, known) = names.split_first()?;
    let known: Vec<&str> = known
        .iter()
        .copied()
        .filter(|name| !name.is_empty())
        .collect();
    let distance = |name: &str| strsim::damerau_levenshtein(&found.to_lowercase(), name);
    let near = known
        .iter()
        .min_by_key(|name| distance(name))
        .filter(|name| distance(name) <= 1 + name.len() / 4)
        .map(|name| format!(" (did you mean \"{name}\"?)"))
        .unwrap_or_default();
    Some(format!(
        "unknown {what} \"{found}\"{near}; allowed: {}",
        known.join(", ")
    ))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn value_at<'a>(value: &'a Value, path: &serde_path_to_error::Path) -> Option<&'a Value> {
    use serde_path_to_error::Segment;
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Map { key } => value.get(key),
        Segment::Seq { index } => value.get(index),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// A span of time, written `14d`, `6h` or `15m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    minutes: u32,
}

impl Period {
    /// The longest that can be written: ten years.
    pub const MAX: Self = Self::days(3650);

    /// Minutes.
    pub const fn minutes(minutes: u32) -> Self {
        Self { minutes }
    }

    /// Whole days of 24 hours.
    pub const fn days(days: u32) -> Self {
        Self {
            minutes: days * 24 * 60,
        }
    }

    /// Whole hours.
    pub const fn hours(hours: u32) -> Self {
        Self {
            minutes: hours * 60,
        }
    }

    /// The instant this long before `now`.
    pub fn before(self, now: Timestamp) -> Timestamp {
        now.saturating_sub(SignedDuration::from_mins(self.minutes.into()))
            .unwrap_or(Timestamp::MIN)
    }

    /// The instant this long after `then`.
    pub fn after(self, then: Timestamp) -> Timestamp {
        then.saturating_add(SignedDuration::from_mins(self.minutes.into()))
            .unwrap_or(Timestamp::MAX)
    }

    /// In seconds.
    pub const fn seconds(self) -> i64 {
        self.minutes as i64 * 60
    }

    /// A quarter longer, to the minute.
    #[must_use]
    pub const fn and_a_quarter(self) -> Self {
        Self {
            minutes: self.minutes + self.minutes / 4,
        }
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = || {
            format!(
                "\"{text}\" is no period; allowed: a whole number and d, h or m, up to 3650d, such as 14d, 6h, 15m"
            )
        };
        let unit = text.chars().last().ok_or_else(allowed)?;
        let minutes = match unit {
            'd' => 24 * 60,
            'h' => 60,
            'm' => 1,
            _ => return Err(allowed()),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(allowed());
        }
        let count: u32 = digits.parse().map_err(|_| allowed())?;
        let period = Self {
            minutes: count.checked_mul(minutes).ok_or_else(allowed)?,
        };
        if period > Self::MAX {
            Err(allowed())
        } else {
            Ok(period)
        }
    }
}

impl Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minutes {
            m if m % (24 * 60) == 0 => write!(f, "{}d", m / (24 * 60)),
            m if m % 60 == 0 => write!(f, "{}h", m / 60),
            m => write!(f, "{m}m"),
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|error| {
            D::Error::custom(format!("{error}; periods are written 14d, 6h, 15m"))
        })?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+[dhm]$",
            "description": "A span of time: a whole number and d, h or m, up to 3650d."
        })
    }
}

/// Names selected by globs: `*` stands for any run of characters, `?` for one.
///
/// Written as two quoted lists, because a bare `!x` is a tag in YAML and a
/// bare `*` an alias.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// A name is selected when one of these matches.
    pub include: Vec<String>,
    /// And none of these does.
    #[serde(default)]
    pub exclude: Vec<String>,
}

impl Selection {
    /// Everything, as an explicit choice.
    pub fn everything() -> Self {
        Self {
            include: vec!["*".to_owned()],
            exclude: vec![],
        }
    }

    /// Whether `name` is selected.
    pub fn selects(&self, name: &str) -> bool {
        let matched =
            |globs: &[String]| globs.iter().any(|glob| WildMatch::new(glob).matches(name));
        matched(&self.include) && !matched(&self.exclude)
    }

    /// Reports empty lists and empty patterns.
    pub fn check(&self, path: &str, problems: &mut Problems) {
        if self.include.is_empty() {
            problems.add(
                &format!("{path}.include"),
                "an empty list",
                "one pattern or more; \"*\" is everything",
            );
        }
        for (list, name) in [(&self.include, "include"), (&self.exclude, "exclude")] {
            for (n, glob) in list.iter().enumerate() {
                if glob.trim().is_empty() {
                    problems.add(
                        &format!("{path}.{name}[{n}]"),
                        format!("\"{glob}\""),
                        "a name or a glob with * and ?",
                    );
                }
            }
        }
    }
}
