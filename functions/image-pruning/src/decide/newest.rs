//! What stays of a repository for being the newest of it.

use std::collections::{BTreeMap, HashSet};

use crate::graph::Graph;
use crate::reason::Reason;
use crate::world::{Digest, Image, Repository};

/// The newest named images that are nobody's child, as a set. Archived ones
/// stay anyway and cannot be pulled, so that they take no place in it.
pub(super) fn newest_named<'a>(
    repository: &'a Repository,
    graph: &Graph<'a>,
    keep: u32,
) -> HashSet<&'a Digest> {
    let mut named: Vec<(&Digest, &Image)> = repository
        .images
        .iter()
        .filter(|(digest, image)| {
            image.named() && image.can_be_pulled() && !graph.parents.contains_key(digest)
        })
        .collect();
    let keep = keep as usize;
    if keep < named.len() {
        // Which they are, not their order.
        named.select_nth_unstable_by(keep, |(a, x), (b, y)| {
            y.arrived_at().cmp(&x.arrived_at()).then(a.cmp(b))
        });
    }
    let newest = named.into_iter().take(keep);
    newest.map(|(digest, _)| digest).collect()
}

/// The one image that stays where nothing else would for certain: one that can
/// be pulled where there is any, for which archived images that somebody uses
/// are no substitute. Without it a repository of old untagged images would be
/// refused for ever, for what would be left of it.
pub(super) fn last<'a>(
    repository: &'a Repository,
    graph: &Graph<'a>,
    newest: &HashSet<&'a Digest>,
    protected: &BTreeMap<&'a Digest, Reason>,
) -> Option<&'a Digest> {
    let can_be_pulled = |digest: &Digest| {
        let image = repository.images.get(digest);
        image.is_some_and(Image::can_be_pulled)
    };
    if !newest.is_empty() || protected.keys().any(|digest| can_be_pulled(digest)) {
        return None;
    }
    let above = |digest: &Digest| {
        let parents = graph.parents.get(digest).into_iter().flatten();
        let subjects = graph.subjects.get(digest).into_iter().flatten();
        parents.chain(subjects)
    };
    repository
        .images
        .iter()
        .filter(|(_, image)| protected.is_empty() || image.can_be_pulled())
        // What hangs on something that can be pulled goes with that.
        .filter(|(digest, _)| !above(digest).any(|holder| can_be_pulled(holder)))
        .max_by_key(|(digest, image)| {
            let on_its_own = above(digest).next().is_none();
            let can_be_pulled = image.can_be_pulled();
            (can_be_pulled, on_its_own, image.arrived_at(), *digest)
        })
        .map(|(digest, _)| digest)
}
