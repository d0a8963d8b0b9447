//! How the images of one repository hang together, and what a use of one means
//! for the others.
//!
//! An index lists children; a referrer (signature, attestation, SBOM) is about
//! a subject. Whoever uses a child needs its index, whoever uses an index needs
//! every child, and what is kept keeps what refers to it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use jiff::Timestamp;

use crate::reason::Reason;
use crate::world::{Digest, Pin, Repository, Use};

/// The edges of a repository, both ways.
#[derive(Debug, Default)]
pub(crate) struct Graph<'a> {
    /// Child to the indexes that list it.
    pub(crate) parents: HashMap<&'a Digest, Vec<&'a Digest>>,
    /// Subject to its referrers.
    pub(crate) referrers: HashMap<&'a Digest, Vec<&'a Digest>>,
    /// Referrer to its subjects, where these exist.
    pub(crate) subjects: HashMap<&'a Digest, Vec<&'a Digest>>,
}

impl<'a> Graph<'a> {
    pub(crate) fn of(repository: &'a Repository) -> Self {
        let mut graph = Self::default();
        for (digest, image) in &repository.images {
            for child in &image.children {
                if let Some((child, _)) = repository.images.get_key_value(child) {
                    graph.parents.entry(child).or_default().push(digest);
                }
            }
            for subject in image.refers_to() {
                // A thing that is about itself is about nothing.
                let other = repository.images.get_key_value(&subject);
                let Some((subject, _)) = other.filter(|(subject, _)| *subject != digest) else {
                    continue;
                };
                let of_referrer = graph.subjects.entry(digest).or_default();
                if !of_referrer.contains(&subject) {
                    of_referrer.push(subject);
                    graph.referrers.entry(subject).or_default().push(digest);
                }
            }
        }
        graph
    }

    /// Everything that hangs on `root`, itself excluded: the children of indexes
    /// and the referrers of all, however deep. `visit` gets each with what it
    /// hangs on, and says whether to go on from there.
    pub(crate) fn hanging_on(
        &self,
        repository: &'a Repository,
        root: &'a Digest,
        mut visit: impl FnMut(&'a Digest, By<'a>) -> bool,
    ) {
        let mut queue = VecDeque::from([root]);
        while let Some(digest) = queue.pop_front() {
            let children = repository
                .images
                .get(digest)
                .into_iter()
                .flat_map(|i| &i.children);
            for child in children {
                let there = repository.images.get_key_value(child);
                if let Some((child, _)) = there
                    && visit(child, By::Index(digest))
                {
                    queue.push_back(child);
                }
            }
            for referrer in self.referrers.get(digest).into_iter().flatten() {
                if visit(referrer, By::Subject(digest)) {
                    queue.push_back(referrer);
                }
            }
        }
    }

    /// When the image, or anything that hangs on it, was last pulled: a client
    /// pulls an index, then the platform's image, and verifies its signature,
    /// and any of the three can have the later time.
    pub(crate) fn last_pulled_at(
        &self,
        repository: &'a Repository,
        root: &'a Digest,
    ) -> Option<Timestamp> {
        let pulled_at = |digest| {
            let image = repository.images.get(digest);
            image.and_then(|image| image.last_pulled_at)
        };
        let mut latest = pulled_at(root);
        let mut seen = HashSet::from([root]);
        self.hanging_on(repository, root, |part, _| {
            latest = latest.max(pulled_at(part));
            seen.insert(part)
        });
        latest
    }
}

/// By what an image hangs on another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By<'a> {
    /// This index lists it.
    Index(&'a Digest),
    /// It is about this subject.
    Subject(&'a Digest),
}

/// Everything that stays because somebody uses it, with the reason.
pub(crate) fn protected<'a>(
    repository: &'a Repository,
    graph: &Graph<'a>,
    uses: &[&Use],
) -> BTreeMap<&'a Digest, Reason> {
    let mut reasons: BTreeMap<&'a Digest, Reason> = BTreeMap::new();
    let used_tags: HashSet<&str> = uses
        .iter()
        .filter_map(|used| match &used.pin {
            Pin::Tag(tag) | Pin::WasTag(tag) => Some(tag.as_str()),
            Pin::Digest(_) => None,
        })
        .collect();
    let mut by_tag: HashMap<&str, &'a Digest> = HashMap::new();
    for (digest, image) in &repository.images {
        for tag in &image.tags {
            if used_tags.contains(tag.as_str()) {
                by_tag.insert(tag, digest);
            }
        }
    }
    let mut uses: Vec<&Use> = uses.to_vec();
    // The reason that is told is the weightiest: a running task before a task
    // definition that also names the image.
    uses.sort_by_key(|used| (used.by.kind, &used.by.name, &used.pin));
    let mut unresolved = None;
    for used in uses {
        let digest = match &used.pin {
            Pin::Digest(digest) => repository.images.get_key_value(digest).map(|(d, _)| d),
            Pin::Tag(tag) | Pin::WasTag(tag) => by_tag.get(tag.as_str()).copied(),
        };
        if matches!(&used.pin, Pin::WasTag(tag) if !repository.tells(tag)) {
            unresolved.get_or_insert(used);
        }
        if let Some(digest) = digest {
            reasons
                .entry(digest)
                .or_insert_with(|| Reason::InUse(used.by.clone()));
        }
    }
    if let Some(used) = unresolved {
        for digest in repository.images.keys() {
            reasons
                .entry(digest)
                .or_insert_with(|| Reason::MayBeDeployed(used.by.clone()));
        }
    }

    // Up first: a platform's digest in use needs its index, and so on.
    let mut up: VecDeque<&'a Digest> = reasons.keys().copied().collect();
    let mut seen: HashSet<&'a Digest> = up.iter().copied().collect();
    while let Some(digest) = up.pop_front() {
        let parents = graph.parents.get(digest).into_iter().flatten();
        let subjects = graph.subjects.get(digest).into_iter().flatten();
        for above in parents.chain(subjects) {
            if seen.insert(above) {
                up.push_back(above);
                reasons.entry(above).or_insert_with(|| Reason::HoldsUsed {
                    part: digest.clone(),
                });
            }
        }
    }
    let roots: Vec<&'a Digest> = reasons.keys().copied().collect();
    for root in roots {
        graph.hanging_on(repository, root, |digest, by| {
            let there = reasons.contains_key(digest);
            reasons.entry(digest).or_insert_with(|| match by {
                By::Index(index) => Reason::ChildOfKept {
                    index: index.clone(),
                },
                By::Subject(subject) => Reason::RefersToKept {
                    subject: subject.clone(),
                },
            });
            !there
        });
    }
    reasons
}
