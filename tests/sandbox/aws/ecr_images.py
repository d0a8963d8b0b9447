"""The images of one repository and the references between them, as Amazon ECR keeps them.

Everything is found by key, so that repositories with tens of thousands of images stay quick.
"""

import hashlib
import json
import time
from bisect import bisect_left, insort

# "Container image manifest format support in Amazon ECR" (Amazon ECR User Guide).
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest_of(text):
    """The digest of a manifest: the SHA-256 of its text (API_ImageDetail, imageDigest)."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class Image:
    """One manifest in a repository, with what Amazon ECR knows of it.

    It answers to the names that moto's scanning code uses (image_tags, get_image_digest, last_scan, scan_*).
    """

    def __init__(self, manifest, digest=None, media_type=None):
        contents = _parsed(manifest)
        self.manifest = manifest
        self.digest = digest or digest_of(manifest)
        self.media_type = media_type or media_type_of(contents)
        self.artifact_media_type = contents.get("artifactType") or _member(contents, "config", "mediaType")
        self.annotations = contents.get("annotations") or {}
        self.subject = _member(contents, "subject", "digest")
        self.children = [child["digest"] for child in contents.get("manifests") or [] if "digest" in child]
        self.own_size = _size_of_blobs(contents)
        self.given_size = None
        self.tags = []
        self.pushed_at = time.time()
        self.last_pull = None
        self.status = "ACTIVE"
        self.last_archived_at = None
        self.last_activated_at = None
        self.activating_polls = 0
        self.last_scan = None
        self.scan_finding_results_queue = []
        self.scan_finding_results = {}

    @property
    def image_tags(self):
        return self.tags

    @property
    def image_tag(self):
        return self.tags[-1] if self.tags else None

    @property
    def image_digest(self):
        return self.digest

    def get_image_digest(self):
        return self.digest


class RepositoryImages:
    """The images of a repository. Stands where moto keeps its list of images."""

    def __init__(self):
        self._by_digest = {}
        self._digest_of_tag = {}
        self._indexes_of_child = {}
        self._referrers_of_subject = {}
        self._sorted_digests = []
        self._made = 0

    def __iter__(self):
        return iter(list(self._by_digest.values()))

    def __len__(self):
        return len(self._by_digest)

    def in_order(self):
        """All images by digest. AWS documents no order, and this one lets nobody rely on the order of pushes."""
        return [self._by_digest[digest] for digest in self._sorted_digests]

    def by_digest(self, digest):
        return self._by_digest.get(digest)

    def by_tag(self, tag):
        return self._by_digest.get(self._digest_of_tag.get(tag))

    def indexes_of(self, digest):
        """The digests of the image indexes that list this image as a child."""
        return sorted(self._indexes_of_child.get(digest, ()))

    def referrers_of(self, digest):
        """The images whose manifest names this one as its subject, by digest."""
        return [self._by_digest[referrer] for referrer in sorted(self._referrers_of_subject.get(digest, ()))]

    def size_of(self, image):
        """The size that API_ImageDetail gives: of a manifest list, the largest of its manifests."""
        if image.given_size is not None:
            return image.given_size
        children = [self._by_digest[child] for child in image.children if child in self._by_digest]
        return max((self.size_of(child) for child in children), default=image.own_size)

    def add(self, image):
        """Store an image that is not there yet."""
        self._by_digest[image.digest] = image
        insort(self._sorted_digests, image.digest)
        for child in image.children:
            self._indexes_of_child.setdefault(child, set()).add(image.digest)
        if image.subject:
            self._referrers_of_subject.setdefault(image.subject, set()).add(image.digest)

    def remove(self, image):
        """Remove an image with all its tags."""
        del self._by_digest[image.digest]
        del self._sorted_digests[bisect_left(self._sorted_digests, image.digest)]
        for tag in image.tags:
            del self._digest_of_tag[tag]
        image.tags = []
        for child in image.children:
            self._indexes_of_child[child].discard(image.digest)
        if image.subject:
            self._referrers_of_subject[image.subject].discard(image.digest)

    def tag(self, image, tag):
        """Give an image a tag. An image that had it stays, without it ("Image tag mutability", ECR User Guide)."""
        former = self.by_tag(tag)
        if former is image:
            return
        if former is not None:
            former.tags.remove(tag)
        image.tags.append(tag)
        self._digest_of_tag[tag] = image.digest

    def untag(self, image, tag):
        """Take a tag from an image."""
        image.tags.remove(tag)
        del self._digest_of_tag[tag]

    def generated_manifest(self, origin, subject=None):
        """A manifest of an image with one platform, that no other image has; a referrer if it is given a subject."""
        self._made += 1
        own = hashlib.sha256(f"{origin}#{self._made}".encode()).hexdigest()
        base = hashlib.sha256(origin.encode()).hexdigest()
        layers = [("sha256:" + base, 40_000_000), ("sha256:" + own[::-1], 5_000_000 + self._made)]
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE if subject else DOCKER_IMAGE,
            "config": {"mediaType": DOCKER_CONFIG, "size": 7_000, "digest": "sha256:" + own},
            "layers": [{"mediaType": DOCKER_LAYER, "size": size, "digest": digest} for digest, size in layers],
        }
        if subject:
            manifest["subject"] = {"mediaType": DOCKER_IMAGE, "size": 1_000, "digest": subject}
        return json.dumps(manifest)


def images_of(repository):
    """The images of one of moto's repositories."""
    if not isinstance(repository.images, RepositoryImages):
        repository.images = RepositoryImages()
    return repository.images


def media_type_of(contents):
    """The media type of a manifest, told from its members where it doesn't say."""
    if contents.get("mediaType"):
        return contents["mediaType"]
    if "manifests" in contents:
        return OCI_INDEX
    return OCI_IMAGE if "config" in contents else None


def _parsed(manifest):
    """The members of a manifest; none of one that cannot be read, which seeding allows on purpose."""
    try:
        contents = json.loads(manifest)
    except ValueError:
        return {}
    return contents if isinstance(contents, dict) else {}


def _member(contents, outer, inner):
    inside = contents.get(outer)
    return inside.get(inner) if isinstance(inside, dict) else None


def _size_of_blobs(contents):
    blobs = [contents.get("config")] + list(contents.get("layers") or [])
    return sum(blob.get("size", 0) for blob in blobs if isinstance(blob, dict))
