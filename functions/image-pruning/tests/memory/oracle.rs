//! What must stay because somebody uses it, worked out as plainly as possible
//! and on purpose in another way than the function does: by looking at every
//! image again until nothing changes any more.

use std::collections::BTreeSet;

use image_pruning::{Digest, Pin, Repository, Use, World};

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
                more.extend(subject(repository, digest));
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
            if subject(repository, digest).is_some_and(|subject| stays.contains(&subject)) {
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
        Pin::WasTag(tag) => {
            let mut all: BTreeSet<Digest> = with_tag(tag);
            for (digest, image) in &repository.images {
                if image.tags.is_empty()
                    && listed_by(repository, digest).is_empty()
                    && subject(repository, digest).is_none()
                {
                    all.insert(digest.clone());
                }
            }
            all
        }
    }
}

/// The indexes that are there and list an image.
pub(crate) fn listed_by(repository: &Repository, digest: &Digest) -> BTreeSet<Digest> {
    let lists = |index: &&Digest| repository.images[*index].children.contains(digest);
    repository.images.keys().filter(lists).cloned().collect()
}

/// What an image is about, if that is there and not the image itself.
pub(crate) fn subject(repository: &Repository, digest: &Digest) -> Option<Digest> {
    let image = repository.images.get(digest)?;
    let by_tag = image.tags.iter().find_map(|tag| {
        let name = ["sig", "att", "sbom"]
            .iter()
            .find_map(|suffix| tag.strip_suffix(&format!(".{suffix}")))?;
        let hex = name.strip_prefix("sha256-")?;
        (hex.len() == 64).then(|| Digest::new(format!("sha256:{hex}")))
    });
    let subject = image.subject.clone().or(by_tag)?;
    (subject != *digest && repository.images.contains_key(&subject)).then_some(subject)
}
