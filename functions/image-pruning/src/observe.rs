//! What is true: the selected repositories with their images, and who uses
//! which. It only reads.

mod surroundings;
mod warnings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_ecr as ecr;
use aws_sdk_ecr::primitives::DateTime;
use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageDetail, ImageIdentifier, ImageStatus, ImageStatusFilter,
    ImageTagMutability,
};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use steward::aws::{self, ErrorKind, Incomplete, Pace};
use steward::engine::{Clock, Gap, Hides, Observe, Seen};
use steward::hold;
use tokio::time::Instant;

use self::surroundings::Sharing;
use crate::in_use::{Reading, Users};
use crate::lifecycle::LifecyclePolicy;
use crate::policy::PruningPolicy;
use crate::world::{Digest, Image, Repository, Storage, World};
use crate::{ImagePruning, Scope};

/// Calls about repositories that are under way at once, at the most.
const CALLS_AT_ONCE: usize = 16;

/// Repositories, and parts of one, that are looked at side by side; their calls
/// wait their turn.
pub(crate) const AT_ONCE: usize = 16;

/// The media types of things that list children.
const INDEX_MEDIA_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Everything that can be a manifest, for images whose media type ECR does not
/// tell.
const ALL_MEDIA_TYPES: [&str; 5] = [
    INDEX_MEDIA_TYPES[0],
    INDEX_MEDIA_TYPES[1],
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// The registry of one account and Region, as seen and changed through AWS.
#[derive(Debug)]
pub struct Registry {
    pub(crate) ecr: ecr::Client,
    pub(crate) pace: Pace,
    pub(crate) users: Users,
    pub(crate) clock: Clock,
    /// For the identity behind the credentials, where that matters.
    config: SdkConfig,
    /// What the last observation saw, for the re-check before deleting.
    pub(crate) last: Mutex<Last>,
    /// The last reading of users for that check, and when it began.
    pub(crate) rechecked: tokio::sync::Mutex<Option<(Instant, Arc<Reading>)>>,
}

/// What the re-check before deleting needs to know.
#[derive(Debug, Default)]
pub(crate) struct Last {
    pub(crate) account: String,
    pub(crate) region: String,
    /// ARN and images by name.
    pub(crate) repositories: BTreeMap<String, (String, Arc<Repository>)>,
}

/// A repository as it is listed.
struct Listed {
    name: String,
    arn: String,
    account: String,
    tags_stay: bool,
}

impl Listed {
    /// Its ARN is arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME.
    fn region(&self) -> &str {
        self.arn.split(':').nth(3).unwrap_or_default()
    }
}

/// A repository as it was read; `None` when it has gone since it was listed.
struct Read {
    listed: Listed,
    repository: Option<Repository>,
    lifecycle: Result<Option<LifecyclePolicy>, String>,
    gaps: Vec<Gap>,
}

/// The selected repositories.
#[derive(Default)]
struct Repositories {
    by_name: BTreeMap<String, (Listed, Repository)>,
    /// Whether there are others.
    more: bool,
    lifecycles: BTreeMap<String, LifecyclePolicy>,
}

/// Whether an image lists others, as far as its media type tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manifest {
    Index,
    Single,
    Unknown,
}

impl Registry {
    /// Clients for the registry and its users.
    pub fn new(config: &SdkConfig) -> Self {
        Self::at(config, Clock::System)
    }

    /// The same with another clock, by which holds expire.
    pub fn at(config: &SdkConfig, clock: Clock) -> Self {
        Self {
            ecr: ecr::Client::new(config),
            pace: Pace::new(aws::meter(), "ecr", CALLS_AT_ONCE),
            users: Users::new(config),
            clock,
            config: config.clone(),
            last: Mutex::default(),
            rechecked: tokio::sync::Mutex::default(),
        }
    }

    /// The selected repositories.
    async fn repositories(&self, policy: &PruningPolicy, scope: &Scope) -> Seen<Repositories> {
        let mut seen: Seen<Repositories> = Seen::default();
        let mut listed = Vec::new();
        let pages = self
            .ecr
            .describe_repositories()
            .into_paginator()
            .page_size(1000)
            .send();
        let ((repositories, incomplete), mut sharing, caches) = futures::join!(
            aws::read_pages(pages, |page| (page.repositories, page.next_token)),
            self.sharing(),
            self.caches(policy),
        );
        seen.gaps.append(&mut sharing.gaps);
        let all_listed = incomplete.is_none();
        if let Some(why) = incomplete {
            seen.gaps.push(Gap {
                read: format!("ecr:DescribeRepositories: {why}"),
                hides: Hides::Everything,
                grant: "ecr:DescribeRepositories".to_owned(),
            });
        }
        for repository in repositories {
            let tags_stay =
                repository.image_tag_mutability() == Some(&ImageTagMutability::Immutable);
            let (Some(name), Some(arn), Some(account)) = (
                repository.repository_name,
                repository.repository_arn,
                repository.registry_id,
            ) else {
                seen.warnings
                    .push("ECR lists a repository without name, ARN or registry".to_owned());
                continue;
            };
            listed.push(Listed {
                name,
                arn,
                account,
                tags_stay,
            });
        }
        let there = listed.len();
        if let Scope::Repositories(names) = scope {
            for name in names {
                if !listed.iter().any(|l| l.name == *name) {
                    seen.warnings
                        .push(format!("repository {name} does not exist here"));
                } else if !policy.selects(name) {
                    seen.warnings
                        .push(format!("the policy does not select repository {name}"));
                }
            }
            listed.retain(|l| names.contains(&l.name));
        }
        listed.retain(|l| policy.selects(&l.name));
        caches.leave_out(policy, &mut listed, &mut seen.gaps, &mut seen.warnings);
        seen.world.more = !all_listed || listed.len() < there;

        let mut unread_lifecycles = Vec::new();
        let mut reads = stream::iter(listed)
            .map(|listed| self.repository(listed, &sharing))
            .buffer_unordered(AT_ONCE);
        while let Some(read) = reads.next().await {
            seen.gaps.extend(read.gaps);
            let Some(repository) = read.repository else {
                continue;
            };
            let name = read.listed.name.clone();
            seen.world.more |= !repository.complete;
            match read.lifecycle {
                Ok(Some(lifecycle)) => {
                    seen.world.lifecycles.insert(name.clone(), lifecycle);
                }
                Ok(None) => {}
                Err(why) => unread_lifecycles.push((name.clone(), why)),
            }
            seen.world.by_name.insert(name, (read.listed, repository));
        }
        unread_lifecycles.sort();
        seen.warnings
            .extend(warnings::unread_lifecycles_warning(&unread_lifecycles));
        seen
    }

    async fn repository(&self, listed: Listed, sharing: &Sharing) -> Read {
        let mut gaps = Vec::new();
        let mut gap = |read: String, operation: &str| {
            gaps.push(Gap {
                read: format!("{operation} of repository {}: {read}", listed.name),
                hides: Hides::unit(&listed.name),
                grant: operation.to_owned(),
            });
        };
        let (hold, images, outsiders, lifecycle) = futures::join!(
            self.hold_of(&listed.arn),
            self.images(&listed.name),
            self.outsiders_of(&listed, sharing),
            self.lifecycle_policy_of(&listed.name),
        );
        let mut repository = Repository {
            complete: true,
            tags_stay: listed.tags_stay,
            ..Repository::default()
        };
        match hold {
            Ok(hold) => repository.hold = hold,
            Err(HoldError::Gone) => {
                return Read {
                    listed,
                    repository: None,
                    lifecycle,
                    gaps,
                };
            }
            Err(HoldError::Unreadable(why)) => gap(why, "ecr:ListTagsForResource"),
        }
        let Some((images, incomplete)) = images else {
            return Read {
                listed,
                repository: None,
                lifecycle,
                gaps,
            };
        };
        match outsiders {
            Ok(outsiders) => repository.outsiders = outsiders,
            Err(why) => gap(why, "ecr:GetRepositoryPolicy"),
        }
        if let Some(why) = incomplete {
            repository.complete = false;
            gap(why, "ecr:DescribeImages");
        }
        // An archived image cannot be got (Amazon ECR User Guide, "Archiving an
        // image"); what it lists stays unknown.
        let unread: Vec<(Digest, Manifest)> = images
            .iter()
            .filter(|(_, (image, manifest))| *manifest != Manifest::Single && image.can_be_pulled())
            .map(|(digest, (_, manifest))| (digest.clone(), *manifest))
            .collect();
        let images = images.into_iter();
        repository.images = images.map(|(digest, (image, _))| (digest, image)).collect();
        let chunks: Vec<Vec<(Digest, Manifest)>> = unread.chunks(100).map(<[_]>::to_vec).collect();
        let answers: Vec<Vec<(Digest, Children)>> = stream::iter(chunks)
            .map(|chunk| self.children(&listed.name, chunk))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (digest, children) in answers.into_iter().flatten() {
            match children {
                Children::Are(children) => {
                    if let Some(image) = repository.images.get_mut(&digest) {
                        image.children = children;
                    }
                }
                Children::Unknown(why) => gap(why, "ecr:BatchGetImage"),
            }
        }
        Read {
            listed,
            repository: Some(repository),
            lifecycle,
            gaps,
        }
    }

    /// The hold on a repository.
    pub(crate) async fn hold_of(&self, arn: &str) -> Result<Option<hold::Hold>, HoldError> {
        let request = self.ecr.list_tags_for_resource().resource_arn(arn);
        let answer = self.pace.call(request.send()).await;
        match answer {
            Ok(answer) => {
                let tags = answer.tags.ok_or_else(|| {
                    HoldError::Unreadable("the answer has no list in it".to_owned())
                })?;
                let tags = tags.iter().map(|tag| (tag.key(), tag.value()));
                Ok(hold::hold_of(tags, self.clock.now()))
            }
            Err(error) if aws::kind(&error) == ErrorKind::NotFound => Err(HoldError::Gone),
            Err(error) => Err(HoldError::Unreadable(aws::explain(&error))),
        }
    }

    /// Every image of a repository, and why they may not be all; `None` when
    /// the repository is gone.
    async fn images(&self, repository: &str) -> Option<(Listing, Option<String>)> {
        // Archived images are left out unless they are asked for (Amazon ECR
        // API Reference, `DescribeImagesFilter`).
        let filter = DescribeImagesFilter::builder()
            .image_status(ImageStatusFilter::Any)
            .build();
        let listing = self
            .ecr
            .describe_images()
            .repository_name(repository)
            .filter(filter);
        let pages = listing.into_paginator().page_size(1000).send();
        // Page by page, because an image is a tenth of what ECR tells about it.
        let (read, incomplete) = aws::read_pages_at(&self.pace, pages, |page| {
            let images = |all: Vec<_>| all.into_iter().map(image_of).collect();
            (page.image_details.map(images), page.next_token)
        })
        .await;
        let mut incomplete = match incomplete {
            Some(Incomplete::Failed(error))
                if aws::code(&error) == Some("RepositoryNotFoundException") =>
            {
                return None;
            }
            Some(why) => Some(why.to_string()),
            None => None,
        };
        let mut images = Listing::new();
        for image in read {
            match image {
                Some((digest, image, manifest)) => {
                    images.insert(digest, (image, manifest));
                }
                None => incomplete = Some("an image has no digest".to_owned()),
            }
        }
        Some((images, incomplete))
    }

    /// Every image of a repository as it is now, archived ones included; `None`
    /// when the repository is gone. An index does not tell what it lists.
    ///
    /// # Errors
    ///
    /// When not all of them can be told.
    pub(crate) async fn images_now(
        &self,
        repository: &str,
    ) -> Result<Option<BTreeMap<Digest, Image>>, String> {
        match self.images(repository).await {
            None => Ok(None),
            Some((_, Some(why))) => Err(format!("ecr:DescribeImages: {why}")),
            Some((images, None)) => {
                let images = images.into_iter();
                Ok(Some(
                    images.map(|(digest, (image, _))| (digest, image)).collect(),
                ))
            }
        }
    }

    /// What the indexes among `digests` list; at most 100 of them.
    async fn children(
        &self,
        repository: &str,
        unread: Vec<(Digest, Manifest)>,
    ) -> Vec<(Digest, Children)> {
        let kinds: BTreeMap<Digest, Manifest> = unread.iter().cloned().collect();
        let digests = unread.into_iter().map(|(digest, _)| digest);
        let ids = kinds
            .keys()
            .map(|d| ImageIdentifier::builder().image_digest(d.as_str()).build());
        let request = self
            .ecr
            .batch_get_image()
            .repository_name(repository)
            .set_image_ids(Some(ids.collect()))
            .set_accepted_media_types(Some(ALL_MEDIA_TYPES.map(str::to_owned).to_vec()));
        let answer = self.pace.call(request.send()).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let why = aws::explain(&error);
                return digests
                    .take(1)
                    .map(|digest| (digest, Children::Unknown(why.clone())))
                    .collect();
            }
        };
        let mut found: BTreeMap<Digest, Children> = digests
            .map(|digest| {
                let why = format!("index {digest} is missing from the answer");
                (digest, Children::Unknown(why))
            })
            .collect();
        for failure in answer.failures() {
            let id = failure.image_id().and_then(|id| id.image_digest());
            let Some(known) = id.and_then(|id| found.get_mut(&Digest::new(id))) else {
                continue;
            };
            // Also one that is not found: it was listed a moment ago.
            *known = Children::Unknown(format!(
                "index {}: {} {}",
                id.unwrap_or_default(),
                failure
                    .failure_code()
                    .map_or("no failure code", |code| code.as_str()),
                failure.failure_reason().unwrap_or_default()
            ));
        }
        for image in answer.images() {
            let Some(digest) = image.image_id().and_then(|id| id.image_digest()) else {
                continue;
            };
            let digest = Digest::new(digest);
            let (Some(known), Some(kind)) = (found.get_mut(&digest), kinds.get(&digest)) else {
                continue;
            };
            *known = match listed(image.image_manifest().unwrap_or_default(), *kind) {
                Ok(children) => Children::Are(children),
                Err(why) => {
                    Children::Unknown(format!("the manifest of {digest} cannot be read: {why}"))
                }
            };
        }
        found.into_iter().collect()
    }
}

type Listing = BTreeMap<Digest, (Image, Manifest)>;

/// Why the hold of a repository is not known.
#[derive(Debug)]
pub(crate) enum HoldError {
    /// There is no such repository any more.
    Gone,
    /// With the whole cause chain.
    Unreadable(String),
}

/// What an index lists.
enum Children {
    Are(Vec<Digest>),
    Unknown(String),
}

/// As much of a manifest as tells its children, and whether it can have any.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestBody {
    manifests: Option<Vec<Descriptor>>,
    layers: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
    blobs: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

/// The children that a manifest lists. One that says neither what it lists nor
/// what it is made of tells nothing, and that is not the same as no children.
fn listed(manifest: &str, kind: Manifest) -> Result<Vec<Digest>, String> {
    let body: ManifestBody = serde_json::from_str(manifest).map_err(|error| error.to_string())?;
    let made_of_parts = body.layers.is_some() || body.fs_layers.is_some() || body.blobs.is_some();
    match body.manifests {
        Some(manifests) => Ok(manifests
            .into_iter()
            .map(|m| Digest::new(m.digest))
            .collect()),
        None if kind == Manifest::Unknown && made_of_parts => Ok(vec![]),
        None => Err("it has no list of manifests".to_owned()),
    }
}

/// In which storage class an image is; a status that is new to us is none from
/// which anything is known to be pulled or deleted.
pub(crate) fn storage_of(detail: &ImageDetail) -> Storage {
    match detail.image_status() {
        None | Some(ImageStatus::Active) => Storage::Standard,
        Some(ImageStatus::Archived) => Storage::Archived {
            since: detail.last_archived_at().and_then(time_of),
        },
        Some(_) => Storage::Moving,
    }
}

fn time_of(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), at.subsec_nanos().try_into().ok()?).ok()
}

fn image_of(detail: ImageDetail) -> Option<(Digest, Image, Manifest)> {
    let manifest = match detail.image_manifest_media_type() {
        Some(media_type) if INDEX_MEDIA_TYPES.contains(&media_type) => Manifest::Index,
        Some(_) => Manifest::Single,
        None => Manifest::Unknown,
    };
    let storage = storage_of(&detail);
    let mut tags = detail.image_tags.unwrap_or_default();
    tags.sort();
    let at = |time: Option<DateTime>| time.as_ref().and_then(time_of);
    let image = Image {
        tags,
        pushed_at: at(detail.image_pushed_at),
        restored_at: at(detail.last_activated_at),
        last_pulled_at: at(detail.last_recorded_pull_time),
        size_bytes: detail
            .image_size_in_bytes
            .and_then(|n| u64::try_from(n).ok()),
        children: vec![],
        subject: detail.subject_manifest_digest.map(Digest::new),
        index: manifest != Manifest::Single,
        storage,
    };
    Some((Digest::new(detail.image_digest?), image, manifest))
}

impl Observe<ImagePruning> for Registry {
    async fn observe(&self, policy: &PruningPolicy, scope: &Scope) -> Seen<World> {
        // A reading from before this observation must not pass for a re-check
        // after it.
        *self.rechecked.lock().await = None;
        if matches!(scope, Scope::Repositories(names) if names.is_empty()) {
            return Seen::default();
        }
        // On the heap: every call of both is part of them, and a stack holds less.
        let (repositories, users) = futures::join!(
            Box::pin(self.repositories(policy, scope)),
            Box::pin(self.users.read(&policy.in_use))
        );
        let mut seen = Seen {
            world: World {
                more_repositories: repositories.world.more,
                ..World::default()
            },
            gaps: repositories.gaps,
            warnings: repositories.warnings,
        };
        seen.gaps.extend(users.gaps.iter().cloned());
        seen.warnings.extend(users.warnings.iter().cloned());

        let mut last = Last::default();
        for (name, (listed, repository)) in repositories.world.by_name {
            last.region = listed.region().to_owned();
            last.account = listed.account;
            let repository = Arc::new(repository);
            last.repositories
                .insert(name.clone(), (listed.arn, Arc::clone(&repository)));
            seen.world.repositories.insert(name, repository);
        }
        seen.world.account = last.account.clone();
        let (uses, gaps) = users.uses_of(&last.account, &last.region);
        seen.world.uses = uses.into_iter().collect();
        seen.gaps.extend(gaps);
        seen.warnings.extend(warnings::kept_whole(&seen.world));
        seen.warnings
            .extend(warnings::idle_references(policy, &last, &seen.world));
        seen.warnings.extend(warnings::lifecycle_warnings(
            policy,
            &seen.world,
            &repositories.world.lifecycles,
            self.clock.now(),
        ));
        let own_reads = Box::pin(self.own_reads_warning(policy, &seen.world));
        seen.warnings.extend(own_reads.await);
        seen.gaps.sort();
        seen.gaps.dedup();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        seen
    }
}
