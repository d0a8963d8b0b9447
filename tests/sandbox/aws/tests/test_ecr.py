"""Amazon ECR as the plugin models it."""

import hashlib
import json
import unittest
from datetime import datetime, timezone

from support import AwsTest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
REPOSITORY = "app/web"


def image_manifest(name, **more):
    """A manifest of an image with one layer, different for each name."""
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 100, "digest": digest(name)}
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 1000, "digest": digest(name + "l")}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": [layer], **more})


def index_manifest(*digests):
    """A manifest of an image index with these children."""
    children = [{"mediaType": OCI_IMAGE, "size": 500, "digest": child} for child in digests]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})


def digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class EcrTest(AwsTest):
    def setUp(self):
        super().setUp()
        self.ecr = self.client("ecr")
        self.ecr.create_repository(repositoryName=REPOSITORY)

    def seed(self, *images):
        answer = self.control("ecr/images", repository=REPOSITORY, images=list(images))
        return [image["digest"] for image in answer["images"]]

    def put(self, manifest, tag=None, **more):
        if tag:
            more["imageTag"] = tag
        answer = self.ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest, **more)
        return answer["image"]["imageId"]["imageDigest"]

    def details(self, **parameters):
        pages = self.ecr.get_paginator("describe_images").paginate(repositoryName=REPOSITORY, **parameters)
        return {detail["imageDigest"]: detail for page in pages for detail in page["imageDetails"]}

    def delete(self, *image_ids):
        answer = self.ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=list(image_ids))
        return answer["imageIds"], [(failure["imageId"], failure["failureCode"]) for failure in answer["failures"]]


class Pushing(EcrTest):
    def test_the_digest_is_that_of_the_manifest_and_its_types_are_kept(self):
        manifest = image_manifest("one")
        self.assertEqual(digest(manifest), self.put(manifest, "v1"))
        [detail] = self.details().values()
        self.assertEqual(digest(manifest), detail["imageDigest"])
        self.assertEqual(["v1"], detail["imageTags"])
        self.assertEqual(OCI_IMAGE, detail["imageManifestMediaType"])
        self.assertEqual("application/vnd.oci.image.config.v1+json", detail["artifactMediaType"])
        self.assertEqual("ACTIVE", detail["imageStatus"])
        self.assertEqual(1100, detail["imageSizeInBytes"])
        self.assertNotIn("lastRecordedPullTime", detail)
        self.assertNotIn("subjectManifestDigest", detail)

    def test_a_tag_that_moves_leaves_the_old_image_untagged(self):
        old = self.put(image_manifest("old"), "latest")
        new = self.put(image_manifest("new"), "latest")
        details = self.details()
        self.assertEqual({old, new}, set(details))
        self.assertNotIn("imageTags", details[old])
        self.assertEqual(["latest"], details[new]["imageTags"])

    def test_an_image_can_have_many_tags(self):
        manifest = image_manifest("one")
        self.assertEqual(self.put(manifest, "a"), self.put(manifest, "b"))
        [detail] = self.details().values()
        self.assertEqual({"a", "b"}, set(detail["imageTags"]))

    def test_pushing_what_is_there_already_is_refused(self):
        manifest = image_manifest("one")
        self.put(manifest, "a")
        self.assert_refused("ImageAlreadyExistsException", self.put, manifest=manifest, tag="a")
        self.assert_refused("ImageAlreadyExistsException", self.put, manifest=manifest)

    def test_an_immutable_tag_stays_where_it_is(self):
        self.ecr.put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
        old = self.put(image_manifest("old"), "v1")
        self.assert_refused("ImageTagAlreadyExistsException", self.put, manifest=image_manifest("new"), tag="v1")
        self.assertEqual(["v1"], self.details()[old]["imageTags"])

    def test_exclusion_filters_are_the_exceptions_to_immutability(self):
        self.ecr.put_image_tag_mutability(
            repositoryName=REPOSITORY,
            imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
            imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}],
        )
        for tag in ("dev-1", "v1"):
            self.put(image_manifest("old " + tag), tag)
        self.put(image_manifest("new"), "dev-1")
        self.assert_refused("ImageTagAlreadyExistsException", self.put, manifest=image_manifest("newer"), tag="v1")

    def test_an_index_needs_its_children(self):
        child = self.put(image_manifest("child"))
        missing = digest("nowhere")
        message = self.assert_refused(
            "ReferencedImagesNotFoundException", self.put, manifest=index_manifest(child, missing), tag="v1"
        )
        self.assertIn(missing, message)
        self.put(index_manifest(child), "v1")

    def test_a_digest_that_is_not_the_manifests_is_refused(self):
        self.assert_refused(
            "ImageDigestDoesNotMatchException", self.put, manifest=image_manifest("one"), imageDigest=digest("other")
        )

    def test_a_manifest_that_is_not_json_is_refused(self):
        self.assert_refused("InvalidParameterException", self.put, manifest="{", imageManifestMediaType=OCI_IMAGE)

    def test_an_index_is_as_large_as_its_largest_child(self):
        small, large = self.seed({"size": 10}, {"size": 99})
        index = self.put(index_manifest(small, large), "v1")
        self.assertEqual(99, self.details()[index]["imageSizeInBytes"])


class Listing(EcrTest):
    def test_ten_thousand_images_are_read_completely(self):
        digests = self.seed(*[{"tags": [f"build-{number}"]} for number in range(10_000)])
        self.assertEqual(10_000, len(set(digests)))
        details = self.details(PaginationConfig={"PageSize": 1000})
        self.assertEqual(set(digests), set(details))

    def test_a_page_has_a_hundred_images_unless_asked_for_more(self):
        self.seed(*[{} for _ in range(101)])
        first = self.ecr.describe_images(repositoryName=REPOSITORY)
        self.assertEqual(100, len(first["imageDetails"]))
        second = self.ecr.describe_images(repositoryName=REPOSITORY, nextToken=first["nextToken"])
        self.assertEqual(1, len(second["imageDetails"]))
        self.assertNotIn("nextToken", second)
        whole = self.ecr.describe_images(repositoryName=REPOSITORY, maxResults=101)
        self.assertEqual(101, len(whole["imageDetails"]))
        self.assertNotIn("nextToken", whole)

    def test_images_deleted_between_pages_hide_no_others(self):
        digests = set(self.seed(*[{} for _ in range(20)]))
        first = self.ecr.describe_images(repositoryName=REPOSITORY, maxResults=10)
        seen = {detail["imageDigest"] for detail in first["imageDetails"]}
        self.delete(*[{"imageDigest": digest} for digest in seen])
        second = self.ecr.describe_images(repositoryName=REPOSITORY, nextToken=first["nextToken"])
        self.assertEqual(digests - seen, {detail["imageDigest"] for detail in second["imageDetails"]})

    def test_pages_outside_the_limits_are_refused(self):
        for operation in (self.ecr.describe_images, self.ecr.list_images):
            self.assert_refused("InvalidParameterException", operation, repositoryName=REPOSITORY, maxResults=1001)
            self.assert_refused("InvalidParameterException", operation, repositoryName=REPOSITORY, nextToken="x")
        self.assert_refused("InvalidParameterException", self.ecr.describe_repositories, maxResults=1001)

    def test_images_asked_for_by_id_have_no_pages(self):
        [seeded] = self.seed({})
        ids = [{"imageDigest": seeded}]
        described = self.ecr.describe_images(repositoryName=REPOSITORY, imageIds=ids)
        self.assertEqual([seeded], [detail["imageDigest"] for detail in described["imageDetails"]])
        self.assert_refused(
            "InvalidParameterException",
            self.ecr.describe_images,
            repositoryName=REPOSITORY,
            imageIds=ids,
            maxResults=10,
        )

    def test_a_missing_image_or_repository_is_an_error(self):
        self.assert_refused(
            "ImageNotFoundException",
            self.ecr.describe_images,
            repositoryName=REPOSITORY,
            imageIds=[{"imageTag": "nowhere"}],
        )
        for operation in (self.ecr.describe_images, self.ecr.list_images):
            self.assert_refused("RepositoryNotFoundException", operation, repositoryName="nowhere")

    def test_images_are_filtered_by_tag_status(self):
        tagged, untagged = self.seed({"tags": ["a", "b"]}, {})
        self.assertEqual({tagged}, set(self.details(filter={"tagStatus": "TAGGED"})))
        self.assertEqual({untagged}, set(self.details(filter={"tagStatus": "UNTAGGED"})))
        self.assertEqual({tagged, untagged}, set(self.details(filter={"tagStatus": "ANY"})))
        listed = self.ecr.list_images(repositoryName=REPOSITORY, filter={"tagStatus": "TAGGED"})["imageIds"]
        self.assertEqual([{"imageDigest": tagged, "imageTag": tag} for tag in ("a", "b")], listed)

    def test_only_active_images_are_listed_unless_asked(self):
        active, archived = self.seed({}, {"status": "ARCHIVED"})
        self.assertEqual({active}, set(self.details()))
        self.assertEqual({archived}, set(self.details(filter={"imageStatus": "ARCHIVED"})))
        self.assertEqual({active, archived}, set(self.details(filter={"imageStatus": "ANY"})))
        self.assertEqual(1, len(self.ecr.list_images(repositoryName=REPOSITORY)["imageIds"]))

    def test_repositories_are_listed_in_pages(self):
        for number in range(4):
            self.ecr.create_repository(repositoryName=f"team/{number}")
        first = self.ecr.describe_repositories(maxResults=3)
        second = self.ecr.describe_repositories(nextToken=first["nextToken"])
        names = [repository["repositoryName"] for page in (first, second) for repository in page["repositories"]]
        self.assertEqual([REPOSITORY, "team/0", "team/1", "team/2", "team/3"], names)
        self.assertEqual(3, len(first["repositories"]))
        self.assert_refused(
            "RepositoryNotFoundException", self.ecr.describe_repositories, repositoryNames=[REPOSITORY, "nowhere"]
        )

    def test_repositories_have_tags(self):
        arn = self.ecr.describe_repositories()["repositories"][0]["repositoryArn"]
        self.ecr.tag_resource(resourceArn=arn, tags=[{"Key": "steward:hold", "Value": "yes"}])
        tags = self.ecr.list_tags_for_resource(resourceArn=arn)["tags"]
        self.assertEqual([{"Key": "steward:hold", "Value": "yes"}], tags)


class Getting(EcrTest):
    def get(self, *image_ids, **more):
        return self.ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=list(image_ids), **more)

    def test_manifests_come_back_as_they_were_pushed(self):
        manifest = index_manifest(self.put(image_manifest("child")))
        self.put(manifest, "v1")
        answer = self.get({"imageTag": "v1"})
        [image] = answer["images"]
        self.assertEqual(manifest, image["imageManifest"])
        self.assertEqual(OCI_INDEX, image["imageManifestMediaType"])
        self.assertEqual({"imageDigest": digest(manifest), "imageTag": "v1"}, image["imageId"])
        self.assertEqual([], answer["failures"])

    def test_what_cannot_be_had_is_in_failures(self):
        [archived] = self.seed({"status": "ARCHIVED"})
        answer = self.get({"imageTag": "nowhere"}, {"imageDigest": archived}, {"imageDigest": "x"})
        codes = [failure["failureCode"] for failure in answer["failures"]]
        self.assertEqual(["ImageNotFound", "ImageNotFound", "InvalidImageDigest"], codes)
        self.assertEqual([], answer["images"])

    def test_a_type_that_is_not_accepted_is_not_returned(self):
        self.put(image_manifest("one"), "v1")
        self.assertEqual(1, len(self.get({"imageTag": "v1"}, acceptedMediaTypes=[OCI_IMAGE])["images"]))
        self.assertEqual(1, len(self.get({"imageTag": "v1"}, acceptedMediaTypes=[OCI_INDEX])["failures"]))

    def test_a_hundred_images_can_be_had_at_once_and_no_more(self):
        ids = [{"imageDigest": digest} for digest in self.seed(*[{} for _ in range(101)])]
        self.assertEqual(100, len(self.get(*ids[:100])["images"]))
        self.assert_refused(
            "InvalidParameterException", self.ecr.batch_get_image, repositoryName=REPOSITORY, imageIds=ids
        )


class Deleting(EcrTest):
    def test_by_tag_only_the_tag_goes_while_there_are_others(self):
        [image] = self.seed({"tags": ["a", "b"]})
        self.assertEqual(([{"imageDigest": image, "imageTag": "a"}], []), self.delete({"imageTag": "a"}))
        self.assertEqual(["b"], self.details()[image]["imageTags"])

    def test_the_image_goes_with_its_last_tag(self):
        self.seed({"tags": ["a"]})
        self.delete({"imageTag": "a"})
        self.assertEqual({}, self.details())

    def test_by_digest_the_image_goes_with_all_its_tags(self):
        [image] = self.seed({"tags": ["a", "b"]})
        deleted, failures = self.delete({"imageDigest": image})
        self.assertEqual([{"imageDigest": image, "imageTag": tag} for tag in ("a", "b")], deleted)
        self.assertEqual([], failures)
        self.assertEqual({}, self.details())

    def test_an_untagged_image_goes_by_digest(self):
        [image] = self.seed({})
        self.assertEqual(([{"imageDigest": image}], []), self.delete({"imageDigest": image}))

    def test_a_child_stays_while_an_index_refers_to_it(self):
        child = self.put(image_manifest("child"))
        index = self.put(index_manifest(child), "v1")
        refused = ({"imageDigest": child}, "ImageReferencedByManifestList")
        self.assertEqual(([], [refused]), self.delete({"imageDigest": child}))
        deleted, failures = self.delete({"imageDigest": index}, {"imageDigest": child})
        self.assertEqual([{"imageDigest": index, "imageTag": "v1"}], deleted)
        self.assertEqual([refused], failures)
        self.assertEqual(([{"imageDigest": child}], []), self.delete({"imageDigest": child}))

    def test_a_child_of_two_indexes_needs_both_gone(self):
        child, other = self.put(image_manifest("child")), self.put(image_manifest("other"))
        first, second = self.put(index_manifest(child), "v1"), self.put(index_manifest(child, other), "v2")
        self.delete({"imageDigest": first})
        self.assertEqual(1, len(self.delete({"imageDigest": child})[1]))
        self.delete({"imageDigest": second})
        self.assertEqual([], self.delete({"imageDigest": child})[1])

    def test_failures_come_inside_a_success(self):
        [image] = self.seed({"tags": ["a"]})
        ids = [
            {"imageDigest": digest("nowhere")},
            {"imageDigest": image, "imageTag": "other"},
            {"imageDigest": "nonsense"},
            {},
        ]
        deleted, failures = self.delete(*ids)
        self.assertEqual([], deleted)
        codes = ["ImageNotFound", "ImageTagDoesNotMatchDigest", "InvalidImageDigest", "MissingDigestAndTag"]
        self.assertEqual(list(zip(ids, codes)), failures)
        self.assertEqual({image}, set(self.details()))

    def test_a_hundred_images_can_go_at_once_and_no_more(self):
        ids = [{"imageDigest": digest} for digest in self.seed(*[{} for _ in range(101)])]
        self.assert_refused(
            "InvalidParameterException", self.ecr.batch_delete_image, repositoryName=REPOSITORY, imageIds=ids
        )
        self.assertEqual(100, len(self.delete(*ids[:100])[0]))
        self.assertEqual(1, len(self.details()))

    def test_a_repository_with_images_goes_only_by_force(self):
        self.seed({})
        self.assert_refused("RepositoryNotEmptyException", self.ecr.delete_repository, repositoryName=REPOSITORY)
        self.ecr.delete_repository(repositoryName=REPOSITORY, force=True)


class Referrers(EcrTest):
    def referrers(self, subject, **more):
        return self.ecr.list_image_referrers(
            repositoryName=REPOSITORY, subjectId={"imageDigest": subject}, **more
        )

    def test_a_signature_refers_to_its_subject(self):
        subject = self.put(image_manifest("signed"), "v1")
        manifest = image_manifest(
            "signature",
            artifactType="application/vnd.example.signature",
            subject={"mediaType": OCI_IMAGE, "size": 1, "digest": subject},
            annotations={"by": "test"},
        )
        signature = self.put(manifest)
        [referrer] = self.referrers(subject)["referrers"]
        expected = {
            "digest": signature,
            "mediaType": OCI_IMAGE,
            "artifactType": "application/vnd.example.signature",
            "size": 1100,
            "annotations": {"by": "test"},
            "artifactStatus": "ACTIVE",
        }
        self.assertEqual(expected, referrer)
        self.assertEqual(subject, self.details()[signature]["subjectManifestDigest"])
        self.delete({"imageDigest": signature})
        self.assertEqual([], self.referrers(subject)["referrers"])

    def test_referrers_come_in_pages_of_at_most_fifty(self):
        [subject] = self.seed({})
        seeded = self.seed(*[{"subject": subject} for _ in range(60)])
        first = self.referrers(subject, maxResults=50)
        second = self.referrers(subject, maxResults=50, nextToken=first["nextToken"])
        self.assertEqual(50, len(first["referrers"]))
        found = {referrer["digest"] for page in (first, second) for referrer in page["referrers"]}
        self.assertEqual(set(seeded), found)
        self.assert_refused("InvalidParameterException", self.referrers, subject=subject, maxResults=51)

    def test_referrers_are_filtered_by_type_and_status(self):
        [subject] = self.seed({})
        signature, _, archived = self.seed(
            {"subject": subject, "artifact_media_type": "signature"},
            {"subject": subject, "artifact_media_type": "sbom"},
            {"subject": subject, "artifact_media_type": "signature", "status": "ARCHIVED"},
        )
        of_type = self.referrers(subject, filter={"artifactTypes": ["signature"]})["referrers"]
        self.assertEqual([signature], [referrer["digest"] for referrer in of_type])
        in_archive = self.referrers(subject, filter={"artifactStatus": "ARCHIVED"})["referrers"]
        self.assertEqual([archived], [referrer["digest"] for referrer in in_archive])


class StorageClasses(EcrTest):
    def move(self, digest, target):
        return self.ecr.update_image_storage_class(
            repositoryName=REPOSITORY, imageId={"imageDigest": digest}, targetStorageClass=target
        )["imageStatus"]

    def status(self, digest):
        return self.details(filter={"imageStatus": "ANY"})[digest]["imageStatus"]

    def test_an_image_is_archived_and_restored(self):
        self.control("settings", ecr_polls=1)
        [image] = self.seed({"tags": ["a"]})
        self.assertEqual("ARCHIVED", self.move(image, "ARCHIVE"))
        archived = self.details(filter={"imageStatus": "ARCHIVED"})[image]
        self.assertEqual(["a"], archived["imageTags"])
        self.assertIsInstance(archived["lastArchivedAt"], datetime)
        self.assertEqual("ACTIVATING", self.move(image, "STANDARD"))
        self.assertEqual("ACTIVATING", self.status(image))
        self.assertEqual("ACTIVE", self.status(image))
        self.assertIsInstance(self.details()[image]["lastActivatedAt"], datetime)

    def test_an_image_that_is_there_already_cannot_be_moved(self):
        [image] = self.seed({})
        self.assert_refused("ImageStorageClassUpdateNotSupportedException", self.move, digest=image, target="STANDARD")

    def test_a_part_of_a_live_index_is_archived_only_after_it(self):
        # "Lifecycle policy evaluation rules" (ECR User Guide), taken to hold for every way of archiving.
        child = self.put(image_manifest("child"))
        index = self.put(index_manifest(child), "v1")
        self.assert_refused("ImageStorageClassUpdateNotSupportedException", self.move, digest=child, target="ARCHIVE")
        self.assertEqual("ARCHIVED", self.move(index, "ARCHIVE"))
        self.assertEqual("ARCHIVED", self.move(child, "ARCHIVE"))

    def test_a_part_of_an_archived_index_cannot_be_deleted(self):
        child = self.put(image_manifest("child"))
        index = self.put(index_manifest(child), "v1")
        self.move(index, "ARCHIVE")
        _, failures = self.delete({"imageDigest": child})
        self.assertEqual([({"imageDigest": child}, "ImageReferencedByManifestList")], failures)

    def test_times_of_the_archive_can_be_seeded(self):
        [image] = self.seed(
            {"status": "ARCHIVED", "archived_at": "2026-01-02T00:00:00Z", "restored_at": "2026-01-01T00:00:00Z"}
        )
        seeded = self.details(filter={"imageStatus": "ARCHIVED"})[image]
        self.assertEqual(datetime(2026, 1, 2, tzinfo=timezone.utc), seeded["lastArchivedAt"])
        self.assertEqual(datetime(2026, 1, 1, tzinfo=timezone.utc), seeded["lastActivatedAt"])

    def test_a_missing_image_cannot_be_moved(self):
        self.assert_refused("ImageNotFoundException", self.move, digest=digest("nowhere"), target="ARCHIVE")

    def test_an_archived_image_can_be_deleted(self):
        [image] = self.seed({"status": "ARCHIVED"})
        self.assertEqual([], self.delete({"imageDigest": image})[1])

    def test_pushing_an_archived_image_restores_it(self):
        manifest = image_manifest("one")
        image = self.put(manifest)
        self.move(image, "ARCHIVE")
        self.put(manifest, "again")
        self.assertEqual("ACTIVE", self.status(image))


class Seeding(EcrTest):
    def test_images_are_seeded_as_described(self):
        [image] = self.seed(
            {
                "tags": ["a"],
                "pushed_at": "2026-01-31T12:00:00Z",
                "last_pull": "2026-02-01T00:00:00+01:00",
                "size": 42,
                "digest": digest("given"),
                "media_type": "media/type",
                "artifact_media_type": "artifact/type",
                "subject": digest("subject"),
            }
        )
        detail = self.details()[image]
        self.assertEqual(digest("given"), image)
        self.assertEqual(datetime(2026, 1, 31, 12, tzinfo=timezone.utc), detail["imagePushedAt"])
        self.assertEqual(datetime(2026, 1, 31, 23, tzinfo=timezone.utc), detail["lastRecordedPullTime"])
        self.assertEqual(42, detail["imageSizeInBytes"])
        self.assertEqual("media/type", detail["imageManifestMediaType"])
        self.assertEqual("artifact/type", detail["artifactMediaType"])
        self.assertEqual(digest("subject"), detail["subjectManifestDigest"])

    def test_five_thousand_images_are_seeded_at_once(self):
        images = [{"tags": [str(number)], "pushed_at": "2026-01-31T12:00:00Z"} for number in range(5_000)]
        self.assertEqual(5_000, len(set(self.seed(*images))))

    def test_seeded_tags_move_as_pushed_ones_do(self):
        old, new = self.seed({"tags": ["latest"]}, {"tags": ["latest"]})
        details = self.details()
        self.assertNotIn("imageTags", details[old])
        self.assertEqual(["latest"], details[new]["imageTags"])

    def test_a_seeded_index_protects_its_children_and_may_be_unreadable(self):
        [child] = self.seed({})
        self.seed({"manifest": index_manifest(child, digest("nowhere"))}, {"manifest": "not json", "tags": ["bad"]})
        self.assertEqual("ImageReferencedByManifestList", self.delete({"imageDigest": child})[1][0][1])
        got = self.ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "bad"}])
        self.assertEqual("not json", got["images"][0]["imageManifest"])

    def test_nonsense_is_refused_with_the_reason(self):
        self.assertIn("RepositoryNotFound", self.control_refusal("ecr/images", repository="nowhere", images=[{}]))
        self.assertIn("colour", self.control_refusal("ecr/images", repository=REPOSITORY, images=[{"colour": 1}]))
        without_zone = {"pushed_at": "2026-01-01T00:00:00"}
        self.assertIn("time zone", self.control_refusal("ecr/images", repository=REPOSITORY, images=[without_zone]))


if __name__ == "__main__":
    unittest.main()
