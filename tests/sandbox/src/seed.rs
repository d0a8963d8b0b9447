//! The reference system, as it would be after eight months of work: a web
//! application behind a load balancer, its workers and jobs, its database, and
//! a registry full of what pipelines leave behind.
//!
//! Everything is dated from a given moment, and digests depend on names only,
//! so that two seeds of the same moment are equal.

mod alarms;
mod alive;
mod registry;
mod system;

use anyhow::Result;
use jiff::Timestamp;

pub use alive::bring_to_life;
pub use registry::{
    BatchStory, ReleaseImages, ReportsStory, ThumbnailsStory, UnusedStory, WebStory, WorkerStory,
};
pub use system::System;

use crate::account::Account;

/// What the seed has made: names, ARNs, and the digests of each story.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Network, load balancer, cluster, database and the rest.
    pub system: System,
    /// `shop/web`: many releases for two architectures, the service is in the
    /// middle of a deployment.
    pub web: WebStory,
    /// `shop/worker`: the service is pinned to a digest that `latest` left long
    /// ago.
    pub worker: WorkerStory,
    /// `shop/reports`: the service is scaled to zero, and its tag has moved on.
    pub reports: ReportsStory,
    /// `shop/batch`: a task that a rule starts every night.
    pub batch: BatchStory,
    /// `thumbnails`: a Lambda function whose tag has moved on.
    pub thumbnails: ThumbnailsStory,
    /// `shop/admin`: releases of something that runs nowhere.
    pub admin: UnusedStory,
    /// `tools/base`: base images, nearly all old; a prune would take nearly
    /// all.
    pub base: UnusedStory,
}

/// An image that something depends on, and so must outlive every prune.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InUse {
    /// The repository's name.
    pub repository: String,
    /// The image's digest.
    pub digest: String,
    /// Who depends on it, for people.
    pub by: String,
}

impl Reference {
    /// Every image that is in use, with its platforms and signatures, as the
    /// stories tell it: known from the seeding, not from reading the account.
    pub fn in_use(&self) -> Vec<InUse> {
        let mut all = Vec::new();
        let mut add = |repository: &str, digest: &str, by: &str| {
            all.push(InUse {
                repository: repository.to_owned(),
                digest: digest.to_owned(),
                by: by.to_owned(),
            });
        };
        for (release, by) in [
            (&self.web.running, "service web, its running deployment"),
            (
                &self.web.deploying,
                "service web, the deployment on its way",
            ),
        ] {
            for digest in release.all() {
                add(&self.web.repository, digest, by);
            }
        }
        for signature in &self.web.signatures {
            add(
                &self.web.repository,
                signature,
                "signature of a deployed image",
            );
        }
        add(
            &self.worker.repository,
            &self.worker.pinned,
            "service worker, pinned by digest",
        );
        add(
            &self.worker.repository,
            &self.worker.signature,
            "signature of the pinned image, by tag",
        );
        add(
            &self.reports.repository,
            &self.reports.deployed,
            "service reports, scaled to zero",
        );
        add(
            &self.batch.repository,
            &self.batch.scheduled,
            "nightly task batch",
        );
        add(
            &self.thumbnails.repository,
            &self.thumbnails.deployed,
            "Lambda function thumbnails",
        );
        all
    }

    /// Every repository, by name.
    pub fn repositories(&self) -> [&str; 7] {
        [
            &self.web.repository,
            &self.worker.repository,
            &self.reports.repository,
            &self.batch.repository,
            &self.thumbnails.repository,
            &self.admin.repository,
            &self.base.repository,
        ]
    }
}

/// Seeds an empty account with the reference system as it is at `now`.
///
/// # Errors
/// When the account is not empty, or an emulator refuses.
pub async fn reference_system(account: &Account, now: Timestamp) -> Result<Reference> {
    let system = system::build(account).await?;
    let web = registry::web(account, &system, now).await?;
    let worker = registry::worker(account, &system, now).await?;
    let reports = registry::reports(account, &system, now).await?;
    let batch = registry::batch(account, &system, now).await?;
    let thumbnails = registry::thumbnails(account, now).await?;
    let admin = registry::admin(account, now).await?;
    let base = registry::base(account, now).await?;
    system::finish(account, &system).await?;
    Ok(Reference {
        system,
        web,
        worker,
        reports,
        batch,
        thumbnails,
        admin,
        base,
    })
}
