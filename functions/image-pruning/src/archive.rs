//! What is known of images in the archive storage class.
//!
//! An archived index cannot be read, so that nobody can say what it lists. Two
//! things are known all the same. It was pushed after everything that it lists:
//! ECR refuses an index whose images are not there (Amazon ECR API Reference,
//! `ReferencedImagesNotFoundException`). And what it lists was archived after it:
//! image-pruning does it in that order, and so do lifecycle policies (Amazon ECR
//! User Guide, "Lifecycle policy evaluation rules": an image that a manifest list
//! references is not archived before the list is). Where an image was restored
//! and archived again its times tell neither, and nothing is concluded from them.

use std::cmp::Reverse;

use jiff::Timestamp;

use crate::world::{Digest, Image, Repository, Storage};

/// Archived indexes, and what they may list.
#[derive(Debug, Default)]
pub(crate) struct ClosedIndexes<'a>(Vec<Closed<'a>>);

/// One of them, with what those before it add up to.
#[derive(Debug)]
struct Closed<'a> {
    digest: &'a Digest,
    pushed_at: Option<Timestamp>,
    /// When the first of those up to and with this one was archived, as far as
    /// that tells anything, and which it was.
    first_archived: (Option<Timestamp>, &'a Digest),
}

impl<'a> ClosedIndexes<'a> {
    /// Those of a repository for which `stays` says so.
    pub(crate) fn of(
        repository: &'a Repository,
        stays: impl Fn(&(&'a Digest, &'a Image)) -> bool,
    ) -> Self {
        let images = repository.images.iter();
        let mut all: Vec<_> = images
            .filter(|(_, image)| image.is_closed_index())
            .filter(stays)
            .collect();
        // Those of which the push time is not known, then the youngest.
        all.sort_by_key(|(digest, image)| {
            (image.pushed_at.is_some(), Reverse(image.pushed_at), *digest)
        });
        let mut closed = Self::default();
        for (digest, image) in all {
            closed.add(digest, image);
        }
        closed
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a Digest> {
        self.0.iter().map(|index| index.digest)
    }

    fn add(&mut self, digest: &'a Digest, image: &Image) {
        // `None` is before every time, and so concerns images archived ever.
        let archived_at = match image.storage {
            Storage::Archived { since } if image.restored_at.is_none() => since,
            _ => None,
        };
        let own = (archived_at, digest);
        let first_archived = match self.0.last() {
            Some(before) => before.first_archived.min(own),
            None => own,
        };
        self.0.push(Closed {
            digest,
            pushed_at: image.pushed_at,
            first_archived,
        });
    }

    /// One of them that may list the image.
    pub(crate) fn may_list(&self, image: &Image) -> Option<&'a Digest> {
        let not_before = image.pushed_at.filter(|_| image.restored_at.is_none());
        let pushed_later = self.0.partition_point(|index| match index.pushed_at {
            Some(at) => not_before.is_none_or(|not_before| at >= not_before),
            None => true,
        });
        let last = self.0.get(pushed_later.checked_sub(1)?)?;
        let (first_archived, index) = last.first_archived;
        match image.storage {
            Storage::Archived { since: Some(since) } if first_archived > Some(since) => None,
            _ => Some(index),
        }
    }
}
