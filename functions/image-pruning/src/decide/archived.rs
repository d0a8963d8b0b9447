//! What an image in the archive means for those that are not there yet, and for
//! those that are there with it.

use std::collections::HashSet;

use steward::policy::Period;

use super::Court;
use crate::archive::ClosedIndexes;
use crate::world::{Digest, Image, Storage};

impl<'a> Court<'a> {
    /// Finds out which archived indexes are wanted, and so on with those that
    /// these may list.
    pub(super) fn find_wanted_indexes(&mut self) {
        let mut wanted = HashSet::new();
        loop {
            let is_wanted = |(digest, image): &(&'a Digest, &'a Image)| {
                wanted.contains(digest)
                    || self.holders(digest).iter().any(|one| self.is_wanted(one))
                    || self.wanted.may_list(image).is_some()
            };
            let found = ClosedIndexes::of(self.repository, is_wanted);
            if found.len() == wanted.len() {
                return;
            }
            wanted.extend(found.iter());
            self.wanted = found;
        }
    }

    /// Whether somebody wants an image from the archive, or it is not there.
    pub(super) fn is_wanted(&self, digest: &'a Digest) -> bool {
        let image = self.repository.images.get(digest);
        image.is_none_or(|image| {
            !image.is_archived()
                || self.protected.contains_key(digest)
                || self.stays_anywhere(digest, image).is_some()
        })
    }

    /// An image and everything that it hangs on, however high.
    fn holders(&self, digest: &'a Digest) -> HashSet<&'a Digest> {
        let mut all = HashSet::from([digest]);
        let mut up = vec![digest];
        while let Some(digest) = up.pop() {
            up.extend(self.above(digest).filter(|holder| all.insert(*holder)));
        }
        all
    }

    /// Whether an image has been in the archive for long enough, and everything
    /// there that refers to it. Once the subject of a signature by tag has gone,
    /// the signature may as well be about an image elsewhere, and stays for ever.
    pub(super) fn is_due_from_archive(&self, digest: &'a Digest, after: Period) -> bool {
        let is_due = |digest| match self.repository.images.get(digest).map(|i| i.storage) {
            Some(Storage::Archived { since }) => since.is_some_and(|at| self.is_over(at, after)),
            Some(Storage::Moving) => false,
            Some(Storage::Standard) | None => true,
        };
        let mut all_due = is_due(digest);
        let mut seen = HashSet::from([digest]);
        self.graph.hanging_on(self.repository, digest, |part, _| {
            all_due &= is_due(part);
            seen.insert(part)
        });
        all_due
    }
}
