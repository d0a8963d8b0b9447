//! Places as policies name them: Regions, roles of other accounts, and where
//! objects are in S3.

use std::fmt::{self, Display};

/// A place in S3 below which objects are looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct S3Prefix {
    /// The bucket.
    pub bucket: String,
    /// What the keys start with: empty, or with a slash at its end.
    pub prefix: String,
}

impl S3Prefix {
    /// Reads `s3://BUCKET/` and `s3://BUCKET/PREFIX/`.
    pub fn parse(text: &str) -> Option<Self> {
        let (bucket, prefix) = text.strip_prefix("s3://")?.split_once('/')?;
        let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        // "General purpose bucket naming rules" (Amazon S3 User Guide).
        let named = (3..=63).contains(&bucket.len())
            && bucket.chars().all(|c| ends(c) || c == '.' || c == '-')
            && bucket.starts_with(ends)
            && bucket.ends_with(ends);
        (named && (prefix.is_empty() || prefix.ends_with('/'))).then(|| Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

impl Display for S3Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// The account of a role ARN, `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`;
/// `None` when it is none.
pub fn account_of_role(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
        return None;
    };
    let name = resource.strip_prefix("role/")?;
    let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let written = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+=,.@-_/".contains(c));
    (partition.starts_with("aws") && digits && written && !name.is_empty() && !name.ends_with('/'))
        .then_some(*account)
}

/// Whether it looks like a Region: words with hyphens, and a number.
pub fn is_region(text: &str) -> bool {
    let mut parts = text.split('-').rev();
    let number = parts.next().unwrap_or_default();
    let words: Vec<&str> = parts.collect();
    !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
        && words.len() >= 2
        && words
            .iter()
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
}

/// Whether STS takes it (AWS STS API Reference, `AssumeRole`, `ExternalId`).
pub fn is_external_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@:/-_".contains(c);
    (2..=1224).contains(&text.len()) && text.chars().all(allowed)
}
