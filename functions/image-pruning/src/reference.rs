//! Image references as task definitions, tasks and Lambda functions write them.
//!
//! `repo`, `repo:tag`, `repo@digest` and `repo:tag@digest`, on every host name
//! that Amazon ECR has. What looks like ECR and cannot be read is an error,
//! never "elsewhere": an unread reference could be the one that matters.

use std::fmt::{self, Display};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The digest of a manifest: `sha256:` and 64 hexadecimal digits. Clones share
/// the text: there can be 100,000 images, each named in many places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Digest(Arc<str>);

/// The end of a digest is as good a hash as all of it, and quicker.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let text = self.0.as_bytes();
        state.write(&text[text.len().saturating_sub(16)..]);
    }
}

impl From<String> for Digest {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.as_str().to_owned()
    }
}

impl Digest {
    /// Takes over a digest from AWS.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The digest as AWS writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digest that an attachment is about by its tag: the referrers tag
    /// schema of OCI writes `sha256-<hex>` (OCI Distribution Specification,
    /// "Referrers Tag Schema"), cosign adds `.sig`, `.att` or `.sbom`.
    pub fn of_attachment_tag(tag: &str) -> Option<Self> {
        let rest = tag.strip_prefix("sha256-")?;
        let (hex, suffix) = rest.split_at_checked(64)?;
        let ended = suffix.is_empty() || suffix.starts_with(['.', '-', '_']);
        (ended && is_hex64(hex)).then(|| Self::new(format!("sha256:{}", hex.to_ascii_lowercase())))
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_hex64(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A reference into a private Amazon ECR registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ImageReference {
    /// Whose registry (12 digits).
    pub account: String,
    /// Its Region.
    pub region: String,
    /// The repository, with its namespaces.
    pub repository: String,
    /// The tag; `latest` when neither tag nor digest is written.
    pub tag: Option<String>,
    /// The digest, which wins over the tag.
    pub digest: Option<Digest>,
}

/// A reference that looks like Amazon ECR's and is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("image reference \"{reference}\" cannot be read: {problem}")]
pub(crate) struct ReferenceError {
    reference: String,
    problem: &'static str,
    /// Account and Region, as far as they could be read.
    pub(crate) registry: Option<(String, String)>,
    /// The repository, as far as it could be read.
    pub(crate) repository: Option<String>,
}

/// Reads a reference. `None` is one to another kind of registry (Docker Hub,
/// public.ecr.aws, a registry of one's own).
///
/// # Errors
/// When the host is Amazon ECR's and the rest makes no sense.
pub(crate) fn parse(text: &str) -> Result<Option<ImageReference>, ReferenceError> {
    let error = |problem| ReferenceError {
        reference: text.to_owned(),
        problem,
        registry: None,
        repository: None,
    };
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(error("it is empty"));
    }
    let Some((host, path)) = trimmed.split_once('/') else {
        return Ok(None);
    };
    let Some((account, region)) = registry(host).map_err(error)? else {
        return Ok(None);
    };
    // Up to the digest and the tag, there is the name.
    let end = path.find(['@', ':']).unwrap_or(path.len());
    let error = |problem| ReferenceError {
        registry: Some((account.clone(), region.clone())),
        repository: Some(path[..end].to_owned()).filter(|name| !name.is_empty()),
        ..error(problem)
    };
    let (name, digest) = match path.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (path, None),
    };
    let digest = match digest {
        None => None,
        Some(digest) if digest.strip_prefix("sha256:").is_some_and(is_hex64) => {
            Some(Digest::new(digest.to_ascii_lowercase()))
        }
        Some(_) => return Err(error("the digest is not sha256: and 64 hexadecimal digits")),
    };
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (name, None),
    };
    if repository.is_empty() || repository.contains(':') {
        return Err(error("there is no repository name"));
    }
    if tag.is_some_and(str::is_empty) {
        return Err(error("the tag is empty"));
    }
    let tag = tag
        .or_else(|| digest.is_none().then_some("latest"))
        .map(str::to_owned);
    Ok(Some(ImageReference {
        account,
        region,
        repository: repository.to_owned(),
        tag,
        digest,
    }))
}

/// Account and Region of an ECR host name; `None` for other hosts.
///
/// AWS: "Amazon ECR endpoints and quotas": `ACCOUNT.dkr.ecr.REGION.SUFFIX`,
/// `ACCOUNT.dkr.ecr-fips.REGION.SUFFIX`, dual-stack
/// `ACCOUNT.dkr-ecr.REGION.on.aws` and its FIPS form, and the same with the
/// suffixes of other partitions.
fn registry(host: &str) -> Result<Option<(String, String)>, &'static str> {
    let host = host.to_ascii_lowercase();
    let labels: Vec<&str> = host.split('.').collect();
    let region = match labels.as_slice() {
        [_, "dkr", "ecr" | "ecr-fips", region, _, ..] => region,
        [_, "dkr-ecr" | "dkr-ecr-fips", region, _, ..] => region,
        _ if host.contains(".dkr.ecr") || host.contains(".dkr-ecr") => {
            return Err("the host looks like Amazon ECR's but has no Region");
        }
        _ => return Ok(None),
    };
    let account = labels[0];
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return Err("the host looks like Amazon ECR's but starts with no account number");
    }
    if region.is_empty() {
        return Err("the host looks like Amazon ECR's but has no Region");
    }
    Ok(Some((account.to_owned(), (*region).to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn read(text: &str) -> Option<(String, String, Option<String>, bool)> {
        let found = parse(text).unwrap()?;
        Some((
            format!("{}/{}", found.account, found.region),
            found.repository,
            found.tag,
            found.digest.is_some(),
        ))
    }

    #[test]
    fn reads_every_form_on_every_host() {
        let hosts = [
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.cn",
            "123456789012.dkr-ecr.eu-west-1.on.aws",
            "123456789012.dkr-ecr-fips.eu-west-1.on.aws",
            "123456789012.dkr-ecr.eu-west-1.on.amazonwebservices.com.cn",
            "123456789012.DKR.ECR.eu-west-1.amazonaws.com",
        ];
        for host in hosts {
            let forms = [
                ("shop/web", Some("latest"), false),
                ("shop/web:v1", Some("v1"), false),
                (&format!("shop/web@sha256:{HEX}"), None, true),
                (&format!("shop/web:v1@sha256:{HEX}"), Some("v1"), true),
            ];
            for (path, tag, digest) in forms {
                assert_eq!(
                    read(&format!("{host}/{path}")),
                    Some((
                        "123456789012/eu-west-1".to_owned(),
                        "shop/web".to_owned(),
                        tag.map(str::to_owned),
                        digest
                    )),
                    "{host}/{path}"
                );
            }
        }
    }

    #[test]
    fn ignores_other_registries() {
        for other in [
            "nginx",
            "nginx:1.27",
            "library/nginx",
            "public.ecr.aws/nginx/nginx:1",
            "ghcr.io/owner/app@sha256:abc",
            "localhost:5000/app:v1",
            "registry.example.com:443/team/app:v1",
        ] {
            assert_eq!(parse(other), Ok(None), "{other}");
        }
    }

    #[test]
    fn refuses_what_looks_like_ecr_and_makes_no_sense() {
        for bad in [
            "",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app@sha256:short",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app@md5:00",
            "12345.dkr.ecr.eu-west-1.amazonaws.com/app:v1",
            "123456789012.dkr.ecr/app:v1",
            "123456789012.dkr.ecr..amazonaws.com/app:v1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn attachment_tags_name_their_subject() {
        let subject = Digest::new(format!("sha256:{HEX}"));
        for suffix in ["", ".sig", ".att", ".sbom", ".other", "-2"] {
            assert_eq!(
                Digest::of_attachment_tag(&format!("sha256-{HEX}{suffix}")),
                Some(subject.clone())
            );
        }
        for other in [
            "v1",
            "sha256-abc.sig",
            &format!("sha256-{HEX}0"),
            &format!("sha256-{HEX}é"),
            &format!("sha512-{HEX}"),
        ] {
            assert_eq!(Digest::of_attachment_tag(other), None, "{other}");
        }
    }
}
