//! Where else images may be used, as the policy names it: restore points in
//! S3, and other accounts and Regions.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward::policy::{Problems, S3Prefix, account_of_role, is_external_id, is_region};

use super::InUse;

/// Another account or Region whose tasks, services, task definitions, Lambda
/// functions, rules and schedules count as users of images here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Elsewhere {
    /// The role that may read there: `arn:aws:iam::222222222222:role/NAME`.
    /// `null` reads other Regions of this account with the function's own role.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// What the role's trust policy asks for as `sts:ExternalId`.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The Regions to read there; one or more.
    pub regions: Vec<String>,
}

impl Elsewhere {
    /// The account of the role; `None` without a role, which is this account.
    pub fn account(&self) -> Option<&str> {
        self.role_arn.as_deref().and_then(account_of_role)
    }
}

impl InUse {
    /// Whether `elsewhere` names this account and Region, so that its users are
    /// read and counted. An entry without a role names Regions of
    /// `own_account`.
    pub fn names_consumer(&self, own_account: &str, account: &str, region: &str) -> bool {
        self.elsewhere.iter().any(|entry| {
            entry.account().unwrap_or(own_account) == account
                && entry.regions.iter().any(|named| named == region)
        })
    }

    /// Whether `elsewhere` names a role of this account, in whatever Region.
    pub fn names_account(&self, account: &str) -> bool {
        let mut named = self.elsewhere.iter().filter_map(Elsewhere::account);
        named.any(|named| named == account)
    }

    pub(super) fn check_elsewhere(&self, problems: &mut Problems) {
        let mut seen = BTreeSet::new();
        for (n, entry) in self.elsewhere.iter().enumerate() {
            let path = format!("in_use.elsewhere[{n}]");
            if let (Some(role), None) = (&entry.role_arn, entry.account()) {
                problems.add(
                    &format!("{path}.role_arn"),
                    format!("\"{role}\""),
                    "arn:aws:iam::ACCOUNT:role/NAME, or null for this account",
                );
            }
            match &entry.external_id {
                Some(id) if !is_external_id(id) => problems.add(
                    &format!("{path}.external_id"),
                    format!("\"{id}\""),
                    "2 to 1224 letters, digits and +=,.@:/-_",
                ),
                Some(id) if entry.role_arn.is_none() => problems.add(
                    &format!("{path}.external_id"),
                    format!("\"{id}\""),
                    "only together with role_arn",
                ),
                _ => {}
            }
            let regions = format!("{path}.regions");
            if entry.regions.is_empty() {
                problems.add(&regions, "[]", "one or more Regions");
            }
            for (m, region) in entry.regions.iter().enumerate() {
                let at = format!("{regions}[{m}]");
                if !is_region(region) {
                    problems.add(&at, format!("\"{region}\""), "a Region such as eu-west-1");
                } else if !seen.insert((&entry.role_arn, region)) {
                    let allowed = "every Region once for each role";
                    problems.add(&at, format!("\"{region}\""), allowed);
                }
            }
        }
    }

    pub(super) fn check_restore_points(&self, problems: &mut Problems) {
        let mut seen = BTreeSet::new();
        for (n, text) in self.restore_points.iter().enumerate() {
            let path = format!("in_use.restore_points[{n}]");
            match S3Prefix::parse(text) {
                None => problems.add(
                    &path,
                    format!("\"{text}\""),
                    "s3://BUCKET/ or s3://BUCKET/PREFIX/",
                ),
                Some(_) if !seen.insert(text) => {
                    problems.add(&path, format!("\"{text}\""), "every place once");
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(yaml: &str) -> String {
        let text = format!("version: 1\nin_use:\n{yaml}");
        steward::policy::PolicyDocument::<crate::PruningPolicy>::parse(&text, "test")
            .map(|_| String::new())
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn takes_roles_and_regions() {
        let text = r#"  elsewhere:
  - role_arn: arn:aws:iam::222222222222:role/path/steward-reads
    external_id: "shop/42"
    regions: [eu-west-1, us-gov-west-1]
  - regions: [eu-west-1, eusc-de-east-1]
  restore_points: ["s3://shop-restore/points/", "s3://shop.recipes/"]
"#;
        assert_eq!(problems_of(text), "");
    }

    #[test]
    fn names_the_place_the_value_and_what_is_allowed() {
        for (yaml, place, allowed) in [
            (
                "  elsewhere: [{role_arn: \"arn:aws:iam::2222:role/x\", regions: [eu-west-1]}]",
                "in_use.elsewhere[0].role_arn: \"arn:aws:iam::2222:role/x\"",
                "arn:aws:iam::ACCOUNT:role/NAME",
            ),
            (
                "  elsewhere: [{role_arn: \"arn:aws:iam::222222222222:user/x\", regions: [eu-west-1]}]",
                "in_use.elsewhere[0].role_arn",
                "arn:aws:iam::ACCOUNT:role/NAME",
            ),
            (
                "  elsewhere: [{regions: []}]",
                "in_use.elsewhere[0].regions: []",
                "one or more Regions",
            ),
            (
                "  elsewhere: [{regions: [Ireland]}]",
                "in_use.elsewhere[0].regions[0]: \"Ireland\"",
                "a Region such as eu-west-1",
            ),
            (
                "  elsewhere: [{regions: [eu-west-1]}, {regions: [us-east-1, eu-west-1]}]",
                "in_use.elsewhere[1].regions[1]: \"eu-west-1\"",
                "every Region once for each role",
            ),
            (
                "  elsewhere: [{external_id: abc, regions: [eu-west-1]}]",
                "in_use.elsewhere[0].external_id: \"abc\"",
                "only together with role_arn",
            ),
            (
                "  elsewhere: [{role_arn: \"arn:aws:iam::222222222222:role/x\", external_id: \"a\", \
                 regions: [eu-west-1]}]",
                "in_use.elsewhere[0].external_id: \"a\"",
                "2 to 1224",
            ),
            (
                "  restore_points: [\"s3://bucket/points\"]",
                "in_use.restore_points[0]: \"s3://bucket/points\"",
                "s3://BUCKET/PREFIX/",
            ),
            (
                "  restore_points: [\"s3://bucket/\", \"s3://bucket/\"]",
                "in_use.restore_points[1]: \"s3://bucket/\"",
                "every place once",
            ),
        ] {
            let problems = problems_of(yaml);
            assert!(
                problems.contains(place) && problems.contains(allowed),
                "{yaml}: {problems}"
            );
        }
    }

    #[test]
    fn names_consumers_by_account_and_region() {
        let own = "111111111111";
        let in_use = InUse {
            elsewhere: vec![
                Elsewhere {
                    role_arn: Some("arn:aws:iam::222222222222:role/reads".to_owned()),
                    external_id: None,
                    regions: vec!["eu-west-1".to_owned()],
                },
                Elsewhere {
                    role_arn: None,
                    external_id: None,
                    regions: vec!["us-east-1".to_owned()],
                },
            ],
            ..InUse::default()
        };
        assert!(in_use.names_consumer(own, "222222222222", "eu-west-1"));
        assert!(!in_use.names_consumer(own, "222222222222", "us-east-1"));
        assert!(in_use.names_consumer(own, own, "us-east-1"));
        assert!(!in_use.names_consumer(own, own, "eu-west-1"));
        assert!(!in_use.names_consumer(own, "333333333333", "eu-west-1"));
        assert!(in_use.names_account("222222222222"));
        assert!(!in_use.names_account(own));
    }
}
