//! What surrounds the images of a registry: who else may pull, which
//! repositories are caches of others, which lifecycle policies there are,
//! and whether our own reads count as pulls.

use std::collections::BTreeSet;

use aws_sdk_ecr::error::SdkError;
use aws_sdk_ecr::types::{ReplicationRule, RepositoryFilterType};
use steward::aws::{self, ErrorKind};
use steward::engine::{Gap, Hides};
use steward::event::Arn;

use super::{Listed, Registry};
use crate::lifecycle::LifecyclePolicy;
use crate::outsiders::{self, RegistryPolicy};
use crate::policy::PruningPolicy;
use crate::world::{Outsider, Repository, World};

/// The prefix of a cache rule that is about every repository (Amazon ECR User
/// Guide, "Customizing repository prefixes for ECR to ECR pull through cache").
const ROOT: &str = "ROOT";

/// Who may pull by what is set for the registry as a whole.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    policy: RegistryPolicy,
    replication: Vec<ReplicationRule>,
    pub(super) gaps: Vec<Gap>,
}

impl Sharing {
    fn gap(&mut self, operation: &str, why: &str) {
        self.gaps.push(Gap {
            read: format!("{operation}: {why}"),
            hides: Hides::Everything,
            grant: operation.to_owned(),
        });
    }

    /// Who may pull from a repository by what is set for all.
    fn outsiders_of(&self, listed: &Listed) -> BTreeSet<Outsider> {
        let mut all = self.policy.outsiders_of(&listed.arn, &listed.account);
        let about_it = |rule: &&ReplicationRule| {
            let filters = rule.repository_filters();
            filters.is_empty()
                || filters.iter().any(|filter| {
                    // A filter of a kind that is new to us may be about it.
                    filter.filter_type() != &RepositoryFilterType::PrefixMatch
                        || listed.name.starts_with(filter.filter())
                })
        };
        for to in self
            .replication
            .iter()
            .filter(about_it)
            .flat_map(ReplicationRule::destinations)
        {
            let (account, region) = (to.registry_id(), to.region());
            all.insert(Outsider {
                account: Some(account.to_owned()),
                region: Some(region.to_owned()),
                words: format!("it is replicated to {account} in {region}"),
            });
        }
        all
    }
}

/// Which repositories are caches of other registries.
#[derive(Debug)]
pub(super) struct Caches {
    prefixes: Vec<String>,
    /// Why they may not be all.
    incomplete: Option<String>,
}

impl Caches {
    /// Leaves out what is a cache and what the policy does not name, with one
    /// warning for all, or with a gap where that is not known.
    pub(super) fn leave_out(
        self,
        policy: &PruningPolicy,
        listed: &mut Vec<Listed>,
        gaps: &mut Vec<Gap>,
        warnings: &mut Vec<String>,
    ) {
        let mut left_out: Vec<String> = Vec::new();
        listed.retain(|listed| {
            let below = |prefix: &String| {
                // A `/` is always taken to end the prefix (same page as ROOT).
                let rest = listed.name.strip_prefix(prefix.trim_end_matches('/'));
                prefix == ROOT || rest.is_some_and(|rest| rest.starts_with('/'))
            };
            let goes = !policy.names(&listed.name) && self.prefixes.iter().any(below);
            if goes {
                left_out.push(listed.name.clone());
            }
            !goes
        });
        if let Some(first) = left_out.first() {
            warnings.push(format!(
                "{} that pull through cache rules fill, such as {first}, {} left alone: to prune \
                 them, name them in repositories.include by more than \"*\"",
                match left_out.len() {
                    1 => "1 repository".to_owned(),
                    n => format!("{n} repositories"),
                },
                if left_out.len() == 1 { "is" } else { "are" },
            ));
        }
        let unnamed: BTreeSet<String> = listed
            .iter()
            .filter(|listed| !policy.names(&listed.name))
            .map(|listed| listed.name.clone())
            .collect();
        if let Some(why) = self.incomplete.filter(|_| !unnamed.is_empty()) {
            let operation = "ecr:DescribePullThroughCacheRules";
            gaps.push(Gap {
                read: format!("{operation}: {why}"),
                hides: Hides::Units(unnamed),
                grant: operation.to_owned(),
            });
        }
    }
}

impl Registry {
    /// What the registry's policy and its replication say. Where the registry
    /// gets copies from within its own account, only the other Region tells.
    pub(super) async fn sharing(&self) -> Sharing {
        let mut sharing = Sharing::default();
        let (registry, policy) = futures::join!(
            self.ecr.describe_registry().send(),
            self.ecr.get_registry_policy().send(),
        );
        match registry.map(|answer| answer.replication_configuration) {
            Ok(Some(configuration)) => sharing.replication = configuration.rules,
            Ok(None) => sharing.gap(
                "ecr:DescribeRegistry",
                "the answer has no replication in it",
            ),
            Err(error) => sharing.gap("ecr:DescribeRegistry", &aws::explain(&error)),
        }
        let text = match policy {
            Ok(answer) => answer
                .policy_text
                .ok_or_else(|| "the answer has no policy in it".to_owned())
                .map(Some),
            Err(error) if aws::kind(&error) == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(aws::explain(&error)),
        };
        let parse = |text: String| RegistryPolicy::parse(&text).map_err(|e| e.to_string());
        match text.and_then(|text| text.map(parse).transpose()) {
            Ok(policy) => sharing.policy = policy.unwrap_or_default(),
            Err(why) => sharing.gap("ecr:GetRegistryPolicy", &why),
        }
        sharing
    }

    /// Who outside this account and Region may pull from a repository, or why
    /// that is not known.
    pub(super) async fn outsiders_of(
        &self,
        listed: &Listed,
        sharing: &Sharing,
    ) -> Result<BTreeSet<Outsider>, String> {
        let mut all = sharing.outsiders_of(listed);
        let request = self
            .ecr
            .get_repository_policy()
            .repository_name(&listed.name);
        match self.pace.call(request.send()).await {
            Ok(answer) => {
                let text = answer.policy_text.ok_or("the answer has no policy in it")?;
                let found = outsiders::parse_repository_policy(&text, &listed.account);
                all.extend(found.map_err(|error| error.to_string())?);
            }
            Err(error) if aws::kind(&error) == ErrorKind::NotFound => {}
            Err(error) => return Err(aws::explain(&error)),
        }
        Ok(all)
    }

    /// The caches, as far as the policy can select one without naming it.
    pub(super) async fn caches(&self, policy: &PruningPolicy) -> Caches {
        if !policy.selects_unnamed() {
            return Caches {
                prefixes: vec![],
                incomplete: None,
            };
        }
        let pages = self
            .ecr
            .describe_pull_through_cache_rules()
            .into_paginator()
            .page_size(1000)
            .send();
        let (rules, incomplete) = aws::read_pages(pages, |page| {
            (page.pull_through_cache_rules, page.next_token)
        })
        .await;
        let mut incomplete = incomplete.map(|why| why.to_string());
        let mut prefixes = Vec::new();
        for rule in rules {
            match rule.ecr_repository_prefix {
                Some(prefix) => prefixes.push(prefix),
                None => incomplete = Some("a rule has no prefix".to_owned()),
            }
        }
        Caches {
            prefixes,
            incomplete,
        }
    }

    /// The lifecycle policy of a repository, or why it is not known.
    pub(super) async fn lifecycle_policy_of(
        &self,
        repository: &str,
    ) -> Result<Option<LifecyclePolicy>, String> {
        let request = self.ecr.get_lifecycle_policy().repository_name(repository);
        let text = match self.pace.call(request.send()).await {
            Ok(answer) => answer.lifecycle_policy_text,
            Err(error) if aws::kind(&error) == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(aws::explain(&error)),
        };
        let text = text.ok_or("the answer has no policy in it")?;
        let policy = LifecyclePolicy::parse(&text);
        policy.map(Some).map_err(|error| error.to_string())
    }

    /// A warning when what we read counts as a pull of it, and pulls matter.
    ///
    /// Whether `BatchGetImage`, by which indexes are read, sets the recorded pull
    /// time is not documented; for an excluded principal nothing does.
    pub(super) async fn own_reads_warning(
        &self,
        policy: &PruningPolicy,
        world: &World,
    ) -> Option<String> {
        let judged_by_pulls = |repository: &Repository| {
            policy
                .unnamed_outsider(&world.account, repository)
                .is_some()
                && repository.images.values().any(|image| image.index)
        };
        if !policy.removes_unpulled() && !world.repositories.values().any(|of| judged_by_pulls(of))
        {
            return None;
        }
        let (identity, excluded) = futures::join!(aws::identity(&self.config), self.exclusions());
        let unknown = |why: String| {
            Some(format!(
                "whether our own reads count as pulls is not known, and what they touch may stay \
                 for it: {why}"
            ))
        };
        let excluded = match excluded {
            Ok(excluded) => excluded,
            Err(why) => return unknown(format!("ecr:ListPullTimeUpdateExclusions: {why}")),
        };
        let principal = match identity {
            Ok(identity) => identity.arn,
            Err(error) => return unknown(error.to_string()),
        };
        let Some(registered) = exclusion_of(&principal) else {
            return unknown(format!(
                "{principal} is neither a role nor a user, and only these can be excluded"
            ));
        };
        if excluded.iter().any(|other| is_same(other, &registered)) {
            return None;
        }
        Some(format!(
            "our own reads may count as pulls, and keep what nobody else pulls; exclude them once \
             (a role with its path, if it has one): aws ecr register-pull-time-update-exclusion \
             --principal-arn {registered}"
        ))
    }

    /// The principals whose pulls are not recorded. The SDK has no paginator for
    /// them.
    async fn exclusions(&self) -> Result<Vec<String>, String> {
        let (all, incomplete) = aws::read_pages_by_token(|token| async move {
            let request = self.ecr.list_pull_time_update_exclusions();
            let request = request.max_results(1000).set_next_token(token);
            let page = request.send().await?;
            Ok::<_, SdkError<_>>((page.pull_time_update_exclusions, page.next_token))
        })
        .await;
        match incomplete {
            None => Ok(all),
            Some(why) => Err(why.to_string()),
        }
    }
}

/// How a caller's ARN is written in an exclusion: the role of a session, without
/// its path, which the session does not tell; or the user.
fn exclusion_of(caller: &str) -> Option<String> {
    let arn = Arn::parse(caller)?;
    let resource = match (arn.service.as_str(), arn.resource_type()) {
        ("sts", "assumed-role") => format!("role/{}", arn.resource_id().split('/').next()?),
        ("iam", "user" | "role") => arn.resource.clone(),
        _ => return None,
    };
    let registered = Arn {
        service: "iam".to_owned(),
        region: String::new(),
        resource,
        ..arn
    };
    Some(registered.to_string())
}

/// Whether an exclusion is about a principal, whatever the path of its role.
fn is_same(exclusion: &str, principal: &str) -> bool {
    let ends = |arn: &str| {
        let (account, resource) = arn.rsplit_once(':')?;
        let kind = resource.split('/').next()?;
        let name = resource.rsplit('/').next()?;
        Some([account, kind, name].map(str::to_owned))
    };
    ends(exclusion).is_some_and(|exclusion| Some(exclusion) == ends(principal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_excluded_by_its_role_or_user() {
        let registered = |arn| exclusion_of(arn).unwrap_or_default();
        assert_eq!(
            registered("arn:aws:sts::123456789012:assumed-role/pruning/session"),
            "arn:aws:iam::123456789012:role/pruning"
        );
        assert_eq!(
            registered("arn:aws-cn:iam::123456789012:user/ops/jo"),
            "arn:aws-cn:iam::123456789012:user/ops/jo"
        );
        for other in [
            "arn:aws:iam::123456789012:root",
            "arn:aws:sts::123456789012:federated-user/jo",
            "arn:aws:sts",
            "",
        ] {
            assert_eq!(exclusion_of(other), None, "{other}");
        }
    }

    #[test]
    fn an_exclusion_is_known_by_account_kind_and_name_whatever_the_path() {
        let role = "arn:aws:iam::123456789012:role/pruning";
        assert!(is_same(role, role));
        assert!(is_same(
            "arn:aws:iam::123456789012:role/service-role/pruning",
            role
        ));
        for other in [
            "arn:aws:iam::222222222222:role/pruning",
            "arn:aws:iam::123456789012:user/pruning",
            "arn:aws:iam::123456789012:role/other",
            "pruning",
        ] {
            assert!(!is_same(other, role), "{other}");
        }
    }
}
