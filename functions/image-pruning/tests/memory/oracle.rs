//! What must stay because somebody uses it, worked out as plainly as possible
//! and on purpose in another way than the function does: by looking at every
//! image again until nothing changes any more.

use std::collections::BTreeSet;

use image_pruning::{Digest, Image, Pin, Repository, Storage, Use, World};
use jiff::Timestamp;

/// Every image of the repository that a use protects.
pub(crate) fn in_use(world: &World, name: &str) -> BTreeSet<Digest> {
    let Some(repository) = world.repositories.get(name) else {
        return BTreeSet::new();
    };
    let mut stays = BTreeSet::new();
    for used in world.uses.iter().filter(|used| used.repository == name) {
        stays.extend(named_by(repository, used));
    }
    until_it_rests(&mut stays, |stays| {
        let mut more = BTreeSet::new();
        for (digest, image) in &repository.images {
            if image.children.iter().any(|child| stays.contains(child)) {
                more.insert(digest.clone());
            }
            if stays.contains(digest) {
                more.extend(subjects(repository, digest));
            }
        }
        more
    });
    until_it_rests(&mut stays, |stays| {
        let mut more = BTreeSet::new();
        for (digest, image) in &repository.images {
            if stays.contains(digest) {
                let there = |child: &&Digest| repository.images.contains_key(*child);
                more.extend(image.children.iter().filter(there).cloned());
            }
            if !subjects(repository, digest).is_disjoint(stays) {
                more.insert(digest.clone());
            }
        }
        more
    });
    stays
}

fn until_it_rests(
    set: &mut BTreeSet<Digest>,
    more: impl Fn(&BTreeSet<Digest>) -> BTreeSet<Digest>,
) {
    loop {
        let before = set.len();
        set.extend(more(set));
        if set.len() == before {
            return;
        }
    }
}

fn named_by(repository: &Repository, used: &Use) -> BTreeSet<Digest> {
    let with_tag = |tag: &String| {
        let tagged = |digest: &&Digest| repository.images[*digest].tags.contains(tag);
        repository.images.keys().filter(tagged).cloned().collect()
    };
    match &used.pin {
        Pin::Digest(digest) => repository
            .images
            .contains_key(digest)
            .then(|| digest.clone())
            .into_iter()
            .collect(),
        Pin::Tag(tag) => with_tag(tag),
        Pin::WasTag(tag) if repository.tags_stay => with_tag(tag),
        Pin::WasTag(_) => repository.images.keys().cloned().collect(),
    }
}

/// When an image or anything that hangs on it was last pulled.
pub(crate) fn last_pulled_at(repository: &Repository, digest: &Digest) -> Option<Timestamp> {
    let mut family = BTreeSet::from([digest.clone()]);
    until_it_rests(&mut family, |family| {
        let hangs_on_it = |other: &&Digest| {
            !listed_by(repository, other).is_disjoint(family)
                || !subjects(repository, other).is_disjoint(family)
        };
        let all = repository.images.keys();
        all.filter(hangs_on_it).cloned().collect()
    });
    let pulls = family
        .iter()
        .map(|one| repository.images[one].last_pulled_at);
    pulls.max().flatten()
}

/// Whether an archived index, which nobody can read, can list another image by
/// what is known of their times.
pub(crate) fn can_list(index: &Image, image: &Image) -> bool {
    let unreadable = index.index && index.storage != Storage::Standard;
    // An index is pushed after what it lists.
    let pushed_before = match (index.pushed_at, image.pushed_at) {
        (Some(index), Some(other)) => other <= index || image.restored_at.is_some(),
        _ => true,
    };
    // And archived before it, unless it was restored in between.
    let archived_before = match (index.storage, image.storage) {
        (
            Storage::Archived {
                since: Some(index_since),
            },
            Storage::Archived { since: Some(since) },
        ) => since < index_since && index.restored_at.is_none(),
        _ => false,
    };
    unreadable && pushed_before && !archived_before
}

/// The indexes that are there and list an image.
pub(crate) fn listed_by(repository: &Repository, digest: &Digest) -> BTreeSet<Digest> {
    let lists = |index: &&Digest| repository.images[*index].children.contains(digest);
    repository.images.keys().filter(lists).cloned().collect()
}

/// What an image is about, as far as that is there and not the image itself.
pub(crate) fn subjects(repository: &Repository, digest: &Digest) -> BTreeSet<Digest> {
    let Some(image) = repository.images.get(digest) else {
        return BTreeSet::new();
    };
    let by_tag = image.tags.iter().filter_map(|tag| attached_to(tag));
    let all = image.subject.clone().into_iter().chain(by_tag);
    all.filter(|subject| subject != digest && repository.images.contains_key(subject))
        .collect()
}

/// What a tag of an attachment names.
pub(crate) fn attached_to(tag: &str) -> Option<Digest> {
    let name = ["sig", "att", "sbom"]
        .iter()
        .find_map(|suffix| tag.strip_suffix(&format!(".{suffix}")))
        .unwrap_or(tag);
    let hex = name.strip_prefix("sha256-")?;
    (hex.len() == 64).then(|| Digest::new(format!("sha256:{hex}")))
}
