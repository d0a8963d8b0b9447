"""AWS Lambda functions made from images, as the plugin models them."""

import unittest

from support import AwsTest

from test_ecr import digest, image_manifest

REPOSITORY = "app/function"


class LambdaTest(AwsTest):
    def setUp(self):
        super().setUp()
        self.ecr, self.functions = self.client("ecr"), self.client("lambda")
        self.ecr.create_repository(repositoryName=REPOSITORY)
        self.repository = f"{self.account}.dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}"

    def push(self, name, tag="latest"):
        manifest = image_manifest(name)
        self.ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest, imageTag=tag)
        return digest(manifest)

    def create(self, name="f", reference=":latest", **more):
        return self.functions.create_function(
            FunctionName=name,
            Role=f"arn:aws:iam::{self.account}:role/any",
            PackageType="Image",
            Code={"ImageUri": self.repository + reference},
            **more,
        )

    def code(self, name="f", **more):
        return self.functions.get_function(FunctionName=name, **more)["Code"]

    def resolved(self, *args, **more):
        return self.code(*args, **more)["ResolvedImageUri"].removeprefix(self.repository + "@")


class FunctionsFromImages(LambdaTest):
    def test_the_tag_is_resolved_when_the_function_is_created(self):
        old = self.push("old")
        self.create()
        self.push("new")
        code = self.code()
        self.assertEqual("ECR", code["RepositoryType"])
        self.assertEqual(self.repository + ":latest", code["ImageUri"])
        self.assertEqual(f"{self.repository}@{old}", code["ResolvedImageUri"])

    def test_an_update_resolves_the_tag_again(self):
        self.push("old")
        self.create()
        new = self.push("new")
        self.functions.update_function_code(FunctionName="f", ImageUri=self.repository + ":latest")
        self.assertEqual(new, self.resolved())

    def test_a_published_version_and_its_alias_keep_their_digest(self):
        old = self.push("old")
        self.create()
        self.assertEqual("1", self.functions.publish_version(FunctionName="f")["Version"])
        self.functions.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
        new = self.push("new")
        self.functions.update_function_code(FunctionName="f", ImageUri=self.repository + ":latest", Publish=True)
        for qualifier, expected in (("1", old), ("live", old), ("2", new), ("$LATEST", new)):
            self.assertEqual(expected, self.resolved(Qualifier=qualifier), qualifier)
        self.assertEqual(old, self.resolved("f:live"))

    def test_a_reference_by_digest_is_that_digest(self):
        pinned = self.push("one")
        self.create(reference="@" + pinned)
        self.assertEqual(pinned, self.resolved())
        self.assertEqual(f"{self.repository}@{pinned}", self.code()["ImageUri"])

    def test_an_image_that_is_not_there_is_refused(self):
        self.assert_refused("InvalidParameterValueException", self.create, reference=":nowhere")
        self.assert_refused("ResourceNotFoundException", self.functions.get_function, FunctionName="f")


class Listing(LambdaTest):
    def test_functions_come_fifty_to_a_page(self):
        self.push("one")
        names = [f"f{number:03}" for number in range(55)]
        for name in names:
            self.create(name)
        first = self.functions.list_functions(MaxItems=100)
        second = self.functions.list_functions(MaxItems=100, Marker=first["NextMarker"])
        self.assertEqual((50, 5), (len(first["Functions"]), len(second["Functions"])))
        self.assertNotIn("NextMarker", second)
        listed = [function["FunctionName"] for page in (first, second) for function in page["Functions"]]
        self.assertEqual(names, listed)
        self.assertEqual({"Image"}, {function["PackageType"] for function in first["Functions"]})
        self.assert_refused("InvalidParameterValueException", self.functions.list_functions, Marker="x")

    def test_all_versions_are_listed_on_request(self):
        self.push("one")
        self.create("a", Publish=True)
        self.create("b")
        pages = self.functions.get_paginator("list_functions")
        listed = [
            (function["FunctionName"], function["Version"], function["FunctionArn"].split(":function:")[1])
            for page in pages.paginate(FunctionVersion="ALL", PaginationConfig={"PageSize": 1})
            for function in page["Functions"]
        ]
        expected = [("a", "$LATEST", "a:$LATEST"), ("a", "1", "a:1"), ("b", "$LATEST", "b:$LATEST")]
        self.assertEqual(expected, listed)
        [plain, _] = self.functions.list_functions()["Functions"]
        self.assertTrue(plain["FunctionArn"].endswith(":function:a"))

    def test_versions_and_aliases_are_listed(self):
        self.push("one")
        self.create("a", Publish=True)
        self.functions.create_alias(FunctionName="a", Name="live", FunctionVersion="1")
        versions = self.functions.list_versions_by_function(FunctionName="a")["Versions"]
        self.assertEqual(["$LATEST", "1"], [version["Version"] for version in versions])
        [alias] = self.functions.list_aliases(FunctionName="a", FunctionVersion="1")["Aliases"]
        self.assertEqual("live", alias["Name"])
        self.assertEqual([], self.functions.list_aliases(FunctionName="a", FunctionVersion="2")["Aliases"])


if __name__ == "__main__":
    unittest.main()
