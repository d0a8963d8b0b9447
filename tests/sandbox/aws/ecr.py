"""Amazon ECR: the operations on images, with the service's limits, pages, filters and references.

moto keeps the repositories, their policies, tags and scans; the images are ours (`ecr_images.py`). Rules are from the
Amazon ECR API Reference (named API_*) and the Amazon ECR User Guide.
"""

import fnmatch
import json
import re
import time

from moto.core.responses import ActionResult
from moto.ecr.models import ecr_backends
from moto.ecr.responses import ECRResponse

import faults
import operations
import settings
from ecr_images import Image, digest_of, images_of
from operations import answer, parameters_of, refuse

# "Valid Range" of maxResults and imageIds in API_DescribeImages, API_ListImages, API_DescribeRepositories,
# API_BatchGetImage, API_BatchDeleteImage, API_ListImageReferrers.
LARGEST_PAGE = 1000
PAGE_IF_NOT_SAID = 100
LARGEST_REFERRERS_PAGE = 50
REFERRERS_PAGE_IF_NOT_SAID = 20
MOST_IDS = 100

STATUSES = ("ACTIVE", "ARCHIVED", "ACTIVATING", "ANY")
TAG_STATUSES = ("TAGGED", "UNTAGGED", "ANY")

DIGEST = re.compile(r"[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+")


def describe_repositories(response):
    """API_DescribeRepositories: paged unless repositories are named; one missing name fails the call."""
    wanted = parameters_of(response)
    names = wanted.get("repositoryNames")
    found = _backend_of(response).describe_repositories(wanted.get("registryId"), names)
    if names:
        _refuse_paging(wanted, "repositoryNames")
        _check_count("repositoryNames", names)
        return ActionResult({"repositories": found})
    page, token = _page(wanted, sorted(found, key=_name_of), _name_of)
    return ActionResult({"repositories": page, "nextToken": token} if token else {"repositories": page})


def describe_images(response):
    """API_DescribeImages: pages of filtered images, or the images named, of which one missing fails the call."""
    wanted = parameters_of(response)
    repository = _repository_of(response, wanted)
    images = images_of(repository)
    if wanted.get("imageIds"):
        # The default of the status filter is about listing; an image that is asked for by id is there or it isn't.
        _refuse_paging(wanted, "imageIds")
        _check_count("imageIds", wanted["imageIds"])
        page, token = _images_named(repository, wanted["imageIds"]), None
    else:
        page, token = _page(wanted, _filtered(images, wanted), _digest_of_image)
    details = [_image_detail(repository, images, image) for image in page]
    _let_time_pass(page)
    return answer({"imageDetails": details, "nextToken": token})


def list_images(response):
    """API_ListImages: one entry for each tag, and one for an image that has none."""
    wanted = parameters_of(response)
    images = images_of(_repository_of(response, wanted))
    entries = [entry for image in _filtered(images, wanted) for entry in _entries_of(image)]
    page, token = _page(wanted, entries, _place_of_entry)
    return answer({"imageIds": page, "nextToken": token})


def batch_get_image(response):
    """API_BatchGetImage: the manifests of the images named; what cannot be had is in failures."""
    wanted = parameters_of(response)
    repository = _repository_of(response, wanted)
    _check_ids(wanted)
    found, failures = {}, []
    for image_id in wanted["imageIds"]:
        image, failure = _find(images_of(repository), image_id)
        if failure is None:
            failure = _reason_not_to_get(repository, image, image_id, wanted.get("acceptedMediaTypes"))
        if failure is not None:
            failures.append(failure)
            continue
        tag = image_id.get("imageTag")
        found[image.digest, tag] = _image_of_answer(repository, image, tag)
    return answer({"images": list(found.values()), "failures": failures})


def put_image(response):
    """API_PutImage: stores a manifest, or gives one that is there another tag."""
    wanted = parameters_of(response)
    repository = _repository_of(response, wanted)
    images = images_of(repository)
    pushed = _pushed_image(wanted)
    tag = wanted.get("imageTag")
    existing = images.by_digest(pushed.digest)
    if existing is not None:
        _refuse_unchanged(repository, existing, tag)
    _refuse_tag_that_may_not_move(repository, tag)
    _refuse_missing_children(images, pushed)
    if existing is None:
        images.add(pushed)
    elif existing.status != "ACTIVE":
        _restore_at_once(existing)
    image = existing or pushed
    if tag:
        images.tag(image, tag)
    return answer({"image": _image_of_answer(repository, image, tag)})


def batch_delete_image(response):
    """API_BatchDeleteImage: by tag removes that tag, and the image with its last one; by digest removes it whole."""
    wanted = parameters_of(response)
    repository = _repository_of(response, wanted)
    images = images_of(repository)
    _check_ids(wanted)
    # The references as they were before the request. Whether Amazon ECR would let a child go in the same request as
    # its index is not documented; a caller that passes here doesn't depend on it.
    indexes_before = {image.digest: images.indexes_of(image.digest) for image in _all_found(images, wanted["imageIds"])}
    deleted, failures = [], []
    for image_id in wanted["imageIds"]:
        image, failure = _find(images, image_id)
        if failure is None:
            failure = _reason_not_to_delete(repository, image, image_id, indexes_before[image.digest])
        if failure is not None:
            failures.append(failure)
        else:
            deleted.extend(_delete(images, image, image_id))
    return answer({"imageIds": deleted, "failures": failures})


def list_image_referrers(response):
    """API_ListImageReferrers: the artifacts whose manifest names the subject; only ACTIVE ones unless asked."""
    wanted = parameters_of(response)
    images = images_of(_repository_of(response, wanted))
    subject = (wanted.get("subjectId") or {}).get("imageDigest")
    if not subject or not DIGEST.fullmatch(subject):
        _refuse_parameter("subjectId", "must have an imageDigest")
    filters = wanted.get("filter") or {}
    status = _one_of("artifactStatus", filters.get("artifactStatus", "ACTIVE"), STATUSES)
    types = filters.get("artifactTypes")
    referrers = [
        image
        for image in images.referrers_of(subject)
        if status in ("ANY", image.status) and (not types or image.artifact_media_type in types)
    ]
    page, token = _page(wanted, referrers, _digest_of_image, LARGEST_REFERRERS_PAGE, REFERRERS_PAGE_IF_NOT_SAID)
    return answer({"referrers": [_referrer(images, image) for image in page], "nextToken": token})


def update_image_storage_class(response):
    """API_UpdateImageStorageClass: archives an image, or begins to restore it, which AWS does within 20 minutes.

    "Lifecycle policy evaluation rules" (ECR User Guide): an image that a manifest list references cannot be archived
    before the manifest list is archived or deleted. That is said of lifecycle policies; for this call nothing is said,
    and the stricter reading is taken.
    """
    wanted = parameters_of(response)
    repository = _repository_of(response, wanted)
    target = _one_of("targetStorageClass", wanted.get("targetStorageClass"), ("STANDARD", "ARCHIVE"))
    [image] = _images_named(repository, [wanted.get("imageId") or {}])
    images = images_of(repository)
    live = [index for index in images.indexes_of(image.digest) if images.by_digest(index).status == "ACTIVE"]
    if target == "ARCHIVE" and live:
        refuse(
            "ImageStorageClassUpdateNotSupportedException",
            f"The image '{image.digest}' is referenced by manifest list: [{', '.join(live)}]",
        )
    if target == "ARCHIVE" and image.status == "ACTIVE":
        image.status, image.last_archived_at = "ARCHIVED", time.time()
    elif target == "STANDARD" and image.status == "ARCHIVED":
        image.status = "ACTIVATING"
        image.activating_polls = settings.of_account(_backend_of(response).account_id).ecr_polls
    else:
        refuse(
            "ImageStorageClassUpdateNotSupportedException",
            f"The image '{image.digest}' with status {image.status} cannot be moved to storage class {target}",
        )
    status = image.status
    _let_time_pass([image])
    return answer(
        {
            "registryId": repository.registry_id,
            "repositoryName": repository.name,
            "imageId": {"imageDigest": image.digest},
            "imageStatus": status,
        }
    )


def install():
    """Put these operations in place of moto's."""
    operations.install(
        ECRResponse,
        describe_repositories,
        describe_images,
        list_images,
        batch_get_image,
        put_image,
        batch_delete_image,
        list_image_referrers,
        update_image_storage_class,
    )


# Reading a request


def _backend_of(response):
    return ecr_backends[response.current_account][response.region]


def _repository_of(response, wanted):
    return _backend_of(response)._get_repository(wanted.get("repositoryName"), wanted.get("registryId"))


def _refuse_parameter(name, constraint):
    refuse("InvalidParameterException", f"Invalid parameter at '{name}' failed to satisfy constraint: '{constraint}'")


def _refuse_paging(wanted, by):
    for name in ("maxResults", "nextToken"):
        if wanted.get(name) is not None:
            _refuse_parameter(name, f"cannot be used together with {by}")


def _one_of(name, value, allowed):
    if value not in allowed:
        _refuse_parameter(name, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
    return value


def _check_count(name, values):
    if not 1 <= len(values) <= MOST_IDS:
        _refuse_parameter(name, f"Member must have length between 1 and {MOST_IDS}")


def _check_ids(wanted):
    _check_count("imageIds", wanted.get("imageIds") or [])


def _page(wanted, items, position, largest=LARGEST_PAGE, if_not_said=PAGE_IF_NOT_SAID):
    size = wanted.get("maxResults", if_not_said)
    if not isinstance(size, int) or not 1 <= size <= largest:
        _refuse_parameter("maxResults", f"Member must have value between 1 and {largest}")
    after = None
    if wanted.get("nextToken") is not None:
        try:
            after = operations.position_of(wanted["nextToken"])
        except ValueError:
            _refuse_parameter("nextToken", "Invalid token")
    return operations.page_of(items, size, after, position)


def _filtered(images, wanted):
    filters = wanted.get("filter") or {}
    tag_status = _one_of("tagStatus", filters.get("tagStatus", "ANY"), TAG_STATUSES)
    # API_DescribeImagesFilter and API_ListImagesFilter: without imageStatus only ACTIVE images are returned.
    status = _one_of("imageStatus", filters.get("imageStatus", "ACTIVE"), STATUSES)
    return [
        image
        for image in images.in_order()
        if status in ("ANY", image.status) and tag_status in ("ANY", "TAGGED" if image.tags else "UNTAGGED")
    ]


def _name_of(repository):
    return repository.name


def _digest_of_image(image):
    return image.digest


def _entries_of(image):
    if not image.tags:
        return [{"imageDigest": image.digest}]
    return [{"imageDigest": image.digest, "imageTag": tag} for tag in sorted(image.tags)]


def _place_of_entry(entry):
    return [entry["imageDigest"], entry.get("imageTag", "")]


# Finding images


def _images_named(repository, image_ids):
    """The images with these ids, each once. The first that is missing fails the call."""
    found = {}
    for image_id in image_ids:
        image, failure = _find(images_of(repository), image_id)
        if failure is not None:
            _refuse_missing_image(repository, image_id, failure)
        found[image.digest] = image
    return list(found.values())


def _refuse_missing_image(repository, image_id, failure):
    if failure["failureCode"] in ("InvalidImageDigest", "MissingDigestAndTag"):
        _refuse_parameter("imageIds", failure["failureReason"])
    digest, tag = image_id.get("imageDigest", "null"), image_id.get("imageTag", "null")
    refuse(
        "ImageNotFoundException",
        f"The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the repository "
        f"with name '{repository.name}' in the registry with id '{repository.registry_id}'",
    )


def _find(images, image_id):
    """The image with an id, or else the failure that tells why there is none (API_ImageFailure)."""
    digest, tag = image_id.get("imageDigest"), image_id.get("imageTag")
    if not digest and not tag:
        return None, _failure(image_id, "MissingDigestAndTag", "both tag and digest cannot be null")
    if digest and not DIGEST.fullmatch(digest):
        return None, _failure(image_id, "InvalidImageDigest", f"image digest should satisfy '{DIGEST.pattern}'")
    image = images.by_digest(digest) if digest else images.by_tag(tag)
    if image is None:
        return None, _failure(image_id, "ImageNotFound", "Requested image not found")
    if digest and tag and tag not in image.tags:
        return None, _failure(image_id, "ImageTagDoesNotMatchDigest", "The tag is not on the image with the digest")
    return image, None


def _all_found(images, image_ids):
    candidates = (_find(images, image_id)[0] for image_id in image_ids)
    return [image for image in candidates if image is not None]


def _failure(image_id, code, reason):
    return {"imageId": image_id, "failureCode": code, "failureReason": reason}


def _failure_on_demand(repository, operation, image, image_id):
    failure = faults.image_failure_for(repository.account_id, operation, image.digest)
    return failure and _failure(image_id, failure.code, failure.message)


# Describing images


def _image_detail(repository, images, image):
    """API_ImageDetail. What is not set is absent: no tags, never pulled, no subject."""
    detail = {
        "registryId": repository.registry_id,
        "repositoryName": repository.name,
        "imageDigest": image.digest,
        "imageTags": list(image.tags) or None,
        "imageSizeInBytes": images.size_of(image),
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
        "artifactMediaType": image.artifact_media_type,
        "lastRecordedPullTime": image.last_pull,
        "subjectManifestDigest": image.subject,
        "imageStatus": image.status,
        "lastArchivedAt": image.last_archived_at,
        "lastActivatedAt": image.last_activated_at,
    }
    return {name: value for name, value in detail.items() if value is not None}


def _referrer(images, image):
    """API_ImageReferrer."""
    referrer = {
        "digest": image.digest,
        "mediaType": image.media_type,
        "artifactType": image.artifact_media_type,
        "size": images.size_of(image),
        "annotations": image.annotations,
        "artifactStatus": image.status,
    }
    return {name: value for name, value in referrer.items() if value is not None}


def _image_of_answer(repository, image, tag):
    """API_Image."""
    image_id = {"imageDigest": image.digest}
    if tag:
        image_id["imageTag"] = tag
    return {
        "registryId": repository.registry_id,
        "repositoryName": repository.name,
        "imageId": image_id,
        "imageManifest": image.manifest,
        "imageManifestMediaType": image.media_type,
    }


def _let_time_pass(images):
    """An image that is being restored becomes ACTIVE when it has been looked at often enough."""
    for image in images:
        if image.status == "ACTIVATING":
            if image.activating_polls == 0:
                _restore_at_once(image)
            else:
                image.activating_polls -= 1


def _restore_at_once(image):
    image.status, image.last_activated_at = "ACTIVE", time.time()


# Getting


def _reason_not_to_get(repository, image, image_id, accepted_types):
    # "Archiving an image" (ECR User Guide): a request to pull an archived image fails as not found, also while it is
    # being restored.
    if image.status != "ACTIVE":
        return _failure(image_id, "ImageNotFound", "Requested image not found")
    # API_BatchGetImage doesn't say what becomes of an image of another type. To fail it is the stricter reading.
    if accepted_types and image.media_type not in accepted_types:
        return _failure(image_id, "ImageNotFound", f"The image is of type {image.media_type}, which is not accepted")
    return _failure_on_demand(repository, "BatchGetImage", image, image_id)


# Pushing


def _pushed_image(wanted):
    manifest = wanted.get("imageManifest") or ""
    try:
        contents = json.loads(manifest)
    except ValueError:
        contents = None
    if not isinstance(contents, dict):
        _refuse_parameter("imageManifest", "Invalid JSON syntax")
    media_type = wanted.get("imageManifestMediaType") or contents.get("mediaType")
    if not media_type:
        # API_PutImage: a manifest without mediaType needs imageManifestMediaType.
        _refuse_parameter("imageManifestMediaType", "must be given for a manifest without mediaType")
    digest = wanted.get("imageDigest")
    if digest and digest != digest_of(manifest):
        refuse(
            "ImageDigestDoesNotMatchException",
            f"The digest '{digest}' is not that of the manifest, '{digest_of(manifest)}'",
        )
    return Image(manifest, media_type=media_type)


def _refuse_unchanged(repository, image, tag):
    if tag in image.tags or (tag is None and image.status == "ACTIVE"):
        refuse(
            "ImageAlreadyExistsException",
            f"Image with digest '{image.digest}' and tag '{tag}' already exists in the repository with name "
            f"'{repository.name}' in registry with id '{repository.registry_id}'",
        )


def _refuse_tag_that_may_not_move(repository, tag):
    if tag and images_of(repository).by_tag(tag) is not None and _is_immutable(repository, tag):
        refuse(
            "ImageTagAlreadyExistsException",
            f"The image tag '{tag}' already exists in the '{repository.name}' repository and cannot be overwritten "
            "because the tag is immutable.",
        )


def _is_immutable(repository, tag):
    """API_PutImageTagMutability: the filters are the exceptions to what the repository says of its tags."""
    filters = repository.image_tag_mutability_exclusion_filters or []
    excepted = any(fnmatch.fnmatchcase(tag, exclusion["filter"]) for exclusion in filters)
    immutable = str(getattr(repository.image_tag_mutability, "value", repository.image_tag_mutability))
    return immutable.startswith("IMMUTABLE") != excepted


def _refuse_missing_children(images, image):
    missing = [child for child in image.children if images.by_digest(child) is None]
    if missing:
        refuse(
            "ReferencedImagesNotFoundException",
            f"Images with digests '[{', '.join(missing)}]' required for pushing image into repository do not exist",
        )


# Deleting


def _reason_not_to_delete(repository, image, image_id, indexes):
    whole = "imageDigest" in image_id or image.tags == [image_id.get("imageTag")]
    if whole and indexes:
        reason = f"Requested image referenced by manifest list: [{', '.join(indexes)}]"
        return _failure(image_id, "ImageReferencedByManifestList", reason)
    return _failure_on_demand(repository, "BatchDeleteImage", image, image_id)


def _delete(images, image, image_id):
    """Delete what an id names; returns the ids that are gone."""
    tag = image_id.get("imageTag")
    if "imageDigest" not in image_id and image.tags != [tag]:
        images.untag(image, tag)
        return [{"imageDigest": image.digest, "imageTag": tag}]
    gone = _entries_of(image)
    images.remove(image)
    return gone


# Seeding


def seed_images(account, region, repository_name, wanted):
    """Put images into a repository in one go, also such as AWS would not accept; returns their digests in order."""
    repository = ecr_backends[account][region]._get_repository(repository_name)
    images = images_of(repository)
    origin = repository.arn
    return [_seed_image(images, origin, description) for description in wanted]


def _seed_image(images, origin, wanted):
    manifest = wanted.get("manifest")
    if manifest is None:
        manifest = images.generated_manifest(origin, wanted.get("subject"))
    digest = wanted.get("digest") or digest_of(manifest)
    image = images.by_digest(digest)
    if image is None:
        image = Image(manifest, digest, wanted.get("media_type"))
        image.subject = wanted.get("subject", image.subject)
        images.add(image)
    image.artifact_media_type = wanted.get("artifact_media_type", image.artifact_media_type)
    image.given_size = wanted.get("size", image.given_size)
    image.pushed_at = wanted.get("pushed_at", image.pushed_at)
    image.last_pull = wanted.get("last_pull", image.last_pull)
    image.status = wanted.get("status", image.status)
    if image.status == "ARCHIVED":
        image.last_archived_at = wanted.get("archived_at", image.last_archived_at or image.pushed_at)
    image.last_activated_at = wanted.get("restored_at", image.last_activated_at)
    for tag in wanted.get("tags", []):
        images.tag(image, tag)
    return image.digest
