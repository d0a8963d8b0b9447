//! What Amazon ECR tells of images: best effort, so never the only wake-up.

use std::collections::BTreeMap;

use super::envelope::{Delivered, Envelope};
use super::fields::Fields;
use super::open_enum::open_enum;
use super::{Event, EventError};

pub(super) const IMAGE_ACTION: &str = "ECR Image Action";
pub(super) const IMAGE_SCAN: &str = "ECR Image Scan";

open_enum! {
    /// What was done to an image.
    EcrImageAction {
        /// Pushed, or a tag put on it.
        Push = "PUSH",
        /// Deleted, by hand or by a lifecycle policy.
        Delete = "DELETE",
        /// Archived or restored.
        UpdateStorageClass = "UPDATE_STORAGE_CLASS",
    }
}

open_enum! {
    /// Whether it was done.
    EcrResult {
        /// It was.
        Success = "SUCCESS",
        /// It was not.
        Failure = "FAILURE",
    }
}

/// `ECR Image Action`. AWS: "Amazon ECR events and EventBridge".
#[derive(Clone, Debug, PartialEq)]
pub struct EcrImageEvent {
    /// Around the event; `resources` is empty.
    pub envelope: Envelope,
    /// The repository's name, slashes included.
    pub repository: String,
    /// What was done.
    pub action: EcrImageAction,
    /// Whether it was done.
    pub result: Option<EcrResult>,
    /// `sha256:…`
    pub digest: Option<String>,
    /// The tag it was done with, when there was one.
    pub tag: Option<String>,
    /// Where an update of the storage class moved it.
    pub target_storage_class: Option<String>,
    /// The manifest's media type.
    pub manifest_media_type: Option<String>,
    /// The artifact's media type.
    pub artifact_media_type: Option<String>,
    /// What was tolerated while reading.
    pub warnings: Vec<String>,
}

open_enum! {
    /// How a scan ended.
    EcrScanStatus {
        /// With findings, possibly none.
        Complete = "COMPLETE",
        /// Without.
        Failed = "FAILED",
    }
}

/// `ECR Image Scan`. AWS: "Amazon ECR events and EventBridge".
#[derive(Clone, Debug, PartialEq)]
pub struct EcrScanEvent {
    /// Around the event.
    pub envelope: Envelope,
    /// The repository's name, slashes included.
    pub repository: String,
    /// How it ended.
    pub status: Option<EcrScanStatus>,
    /// Findings by severity. Only severities that were found are listed, and
    /// `None` is not the same as none found.
    pub finding_counts: Option<BTreeMap<String, u64>>,
    /// `sha256:…`
    pub digest: Option<String>,
    /// The image's tags.
    pub tags: Vec<String>,
    /// What was tolerated while reading.
    pub warnings: Vec<String>,
}

pub(super) fn read(delivered: Delivered<'_>) -> Result<Event, EventError> {
    match delivered.detail_type {
        IMAGE_ACTION => read_image_action(delivered).map(Event::EcrImage),
        _ => read_scan(delivered).map(Event::EcrScan),
    }
}

fn read_image_action(delivered: Delivered<'_>) -> Result<EcrImageEvent, EventError> {
    let Delivered {
        envelope, detail, ..
    } = delivered;
    Ok(EcrImageEvent {
        envelope,
        repository: repository(&detail, IMAGE_ACTION)?,
        action: detail
            .text("action-type")
            .ok_or(EventError::Missing {
                event: IMAGE_ACTION,
                expected: "a text in \"detail.action-type\"",
            })?
            .as_str()
            .into(),
        result: detail.text("result").map(|text| text.as_str().into()),
        digest: detail.text("image-digest"),
        tag: detail.text("image-tag"),
        target_storage_class: detail.text("target-storage-class"),
        manifest_media_type: detail.text("manifest-media-type"),
        artifact_media_type: detail.text("artifact-media-type"),
        warnings: Vec::new(),
    })
}

fn read_scan(delivered: Delivered<'_>) -> Result<EcrScanEvent, EventError> {
    let Delivered {
        envelope, detail, ..
    } = delivered;
    let counts = detail.object("finding-severity-counts");
    Ok(EcrScanEvent {
        envelope,
        repository: repository(&detail, IMAGE_SCAN)?,
        status: detail.text("scan-status").map(|text| text.as_str().into()),
        finding_counts: (!counts.is_absent()).then(|| {
            counts
                .keys()
                .filter_map(|key| Some((key.to_owned(), counts.whole_number(key)?)))
                .collect()
        }),
        digest: detail.text("image-digest"),
        tags: detail.texts("image-tags"),
        warnings: Vec::new(),
    })
}

fn repository(detail: &Fields<'_>, event: &'static str) -> Result<String, EventError> {
    detail.text("repository-name").ok_or(EventError::Missing {
        event,
        expected: "a text in \"detail.repository-name\"",
    })
}
