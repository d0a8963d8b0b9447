"""The control API: accounts, faults, the record of calls, settings and the network."""

import json
import threading
import time
import unittest
import urllib.error
import urllib.request

from support import AwsTest

from test_ecr import digest, image_manifest


class Accounts(AwsTest):
    def test_an_access_key_of_twelve_digits_is_the_account(self):
        self.client("ecr").create_repository(repositoryName="mine")
        other = self.client("ecr", access_key_id="111122223333")
        names = [repository["repositoryName"] for repository in other.describe_repositories()["repositories"]]
        self.assertNotIn("mine", names)
        [mine] = self.client("ecr").describe_repositories()["repositories"]
        self.assertEqual(self.account, mine["registryId"])
        self.assertIn(f":{self.account}:", mine["repositoryArn"])

    def test_any_other_access_key_is_the_default_account(self):
        name = f"default/{self.account}"
        for access_key_id in ("ASIAIOSFODNN7EXAMPLE", "test", "123456789012"):
            ecr = self.client("ecr", access_key_id=access_key_id)
            if access_key_id.startswith("ASIA"):
                ecr.create_repository(repositoryName=name)
            [repository] = ecr.describe_repositories(repositoryNames=[name])["repositories"]
            self.assertEqual("123456789012", repository["registryId"])

    def test_regions_are_apart(self):
        self.client("ecr").create_repository(repositoryName="here")
        elsewhere = self.client("ecr", region="eu-west-1")
        self.assertEqual([], elsewhere.describe_repositories()["repositories"])


# An operation without parameters of a service of each protocol that the account looked after has.
OPERATIONS = {
    "ecr": "DescribeRepositories",
    "ecs": "ListClusters",
    "secretsmanager": "ListSecrets",
    "application-autoscaling": "DescribeScalableTargets",
    "rds": "DescribeDBInstances",
    "elbv2": "DescribeLoadBalancers",
    "autoscaling": "DescribeAutoScalingGroups",
    "cloudwatch": "DescribeAlarms",
    "ec2": "DescribeVpcs",
    "lambda": "ListFunctions",
}
PARAMETERS = {"application-autoscaling": {"ServiceNamespace": "ecs"}}


class Faults(AwsTest):
    def call(self, service):
        client = self.client(service)
        method = {api: name for name, api in client.meta.method_to_api_mapping.items()}[OPERATIONS[service]]
        return getattr(client, method)(**PARAMETERS.get(service, {}))

    def test_a_fault_speaks_the_protocol_of_its_service(self):
        for service, operation in OPERATIONS.items():
            with self.subTest(service):
                self.control(
                    "faults",
                    service=service,
                    operation=operation,
                    code="AccessDeniedException",
                    status=403,
                    message="not for you",
                    times=1,
                )
                message = self.assert_refused("AccessDeniedException", self.call, service=service)
                self.assertEqual("not for you", message)
                self.assertEqual(403, self.calls()[-1]["status"])
                self.call(service)

    def test_a_fault_of_the_service_has_the_status_of_its_model(self):
        self.control("faults", service="ecr", operation="DescribeRepositories", code="ServerException", times=1)
        self.assert_refused("ServerException", self.call, service="ecr")
        self.assertEqual(500, self.calls()[-1]["status"])

    def test_a_fault_strikes_as_often_and_as_late_as_asked(self):
        self.control("faults", service="ecr", code="ThrottlingException", skip=1, times=2, status=None, match=None)
        self.call("ecr")
        for _ in range(2):
            self.assert_refused("ThrottlingException", self.call, service="ecr")
        self.call("ecr")

    def test_a_fault_without_times_stays_until_it_is_cleared(self):
        self.control("faults", service="ecr", code="ThrottlingException")
        for _ in range(3):
            self.assert_refused("ThrottlingException", self.call, service="ecr")
        self.call("rds")
        self.control("faults/clear")
        self.call("ecr")

    def test_a_fault_can_be_for_requests_that_hold_a_text(self):
        self.control("faults", service="ecr", match='"bad"', code="LimitExceededException")
        ecr = self.client("ecr")
        ecr.create_repository(repositoryName="good")
        self.assert_refused("LimitExceededException", ecr.create_repository, repositoryName="bad")

    def test_a_delay_lets_the_call_through(self):
        self.control("faults", service="ecr", delay_ms=300, times=1)
        began = time.monotonic()
        self.call("ecr")
        self.assertGreaterEqual(time.monotonic() - began, 0.3)

    def test_a_delayed_call_is_on_record_before_it_is_answered(self):
        self.control("faults", service="ecr", delay_ms=500, times=1)
        caller = threading.Thread(target=self.call, args=("ecr",))
        caller.start()
        deadline = time.monotonic() + 5
        while not self.calls() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual([0], [call["status"] for call in self.calls()])
        caller.join()
        self.assertEqual([200], [call["status"] for call in self.calls()])

    def test_a_fault_is_of_one_account(self):
        self.control("faults", service="ecr", code="ThrottlingException")
        self.client("ecr", access_key_id="111122223333").describe_repositories()

    def test_an_image_fails_inside_a_success(self):
        ecr = self.client("ecr")
        ecr.create_repository(repositoryName="app")
        manifest = image_manifest("one")
        ecr.put_image(repositoryName="app", imageManifest=manifest, imageTag="a")
        self.control("faults", image_failure={"digest": digest(manifest), "code": "KmsError"})
        for operation in (ecr.batch_get_image, ecr.batch_delete_image):
            answer = operation(repositoryName="app", imageIds=[{"imageTag": "a"}])
            self.assertEqual(["KmsError"], [failure["failureCode"] for failure in answer["failures"]])
        self.control("faults/clear")
        self.assertEqual(1, len(ecr.batch_get_image(repositoryName="app", imageIds=[{"imageTag": "a"}])["images"]))

    def test_an_image_fails_in_one_operation_as_often_as_asked(self):
        ecr = self.client("ecr")
        ecr.create_repository(repositoryName="app")
        manifest = image_manifest("one")
        ecr.put_image(repositoryName="app", imageManifest=manifest)
        ids = [{"imageDigest": digest(manifest)}]
        failure = {"digest": digest(manifest), "code": "ImageInaccessible"}
        self.control("faults", image_failure=failure, operation="BatchDeleteImage", times=1)
        self.assertEqual([], ecr.batch_get_image(repositoryName="app", imageIds=ids)["failures"])
        self.assertEqual(1, len(ecr.batch_delete_image(repositoryName="app", imageIds=ids)["failures"]))
        self.assertEqual(ids, ecr.batch_delete_image(repositoryName="app", imageIds=ids)["imageIds"])

    def test_nonsense_is_refused_with_the_reason(self):
        self.assertIn("needs a code", self.control_refusal("faults", service="ecr"))
        self.assertIn("colour", self.control_refusal("faults", code="X", colour=1))
        self.assertIn("colour", self.control_refusal("settings", colour=1))
        self.assertIn("takes int", self.control_refusal("settings", rds_polls=True))
        self.assertIn("negative", self.control_refusal("settings", rds_polls=-1))


class Calls(AwsTest):
    def test_calls_are_recorded_in_order_with_their_bodies_and_statuses(self):
        ecr = self.client("ecr")
        ecr.create_repository(repositoryName="app")
        self.assert_refused("RepositoryNotFoundException", ecr.list_images, repositoryName="nowhere")
        self.client("rds", region="eu-west-1").describe_db_snapshots(SnapshotType="manual")
        self.client("lambda").list_functions()
        calls = self.calls()
        operations = [(call["service"], call["operation"], call["status"]) for call in calls]
        expected = [
            ("ecr", "CreateRepository", 200),
            ("ecr", "ListImages", 400),
            ("rds", "DescribeDBSnapshots", 200),
            ("lambda", "ListFunctions", 200),
        ]
        self.assertEqual(expected, operations)
        self.assertEqual({"repositoryName": "nowhere"}, calls[1]["body"])
        self.assertEqual({"SnapshotType": "manual"}, calls[2]["body"])
        self.assertEqual("eu-west-1", calls[2]["region"])
        with urllib.request.urlopen(f"{self.url}/sandbox/calls?account={self.account}&region=eu-west-1") as answer:
            self.assertEqual([calls[2]], json.load(answer))
        self.control("calls/clear")
        self.assertEqual([], self.calls())


class Unmodelled(AwsTest):
    def test_an_operation_that_nobody_models_is_refused_for_good(self):
        self.assert_refused(
            "UnknownOperationException",
            self.client("ecr").start_lifecycle_policy_preview,
            repositoryName="app",
        )
        self.assertEqual(400, self.calls()[-1]["status"])


class Network(AwsTest):
    def test_the_network_of_the_reference_system_is_laid_out(self):
        network = self.control("network")
        ec2 = self.client("ec2")
        [vpc] = ec2.describe_vpcs(VpcIds=[network["vpc"]])["Vpcs"]
        self.assertEqual("10.0.0.0/16", vpc["CidrBlock"])
        for kind, blocks in (
            ("public_subnets", ["10.0.1.0/24", "10.0.2.0/24"]),
            ("private_subnets", ["10.0.3.0/24", "10.0.4.0/24"]),
        ):
            subnets = ec2.describe_subnets(SubnetIds=network[kind])["Subnets"]
            self.assertEqual(blocks, sorted(subnet["CidrBlock"] for subnet in subnets))
            self.assertEqual(2, len({subnet["AvailabilityZone"] for subnet in subnets}))
        groups = network["security_groups"]
        [database] = ec2.describe_security_groups(GroupIds=[groups["database"]])["SecurityGroups"]
        [rule] = database["IpPermissions"]
        self.assertEqual((5432, 5432), (rule["FromPort"], rule["ToPort"]))
        self.assertEqual([groups["service"]], [pair["GroupId"] for pair in rule["UserIdGroupPairs"]])
        self.assertEqual([], rule["IpRanges"])


class Health(AwsTest):
    def test_the_server_says_that_it_is_well(self):
        with urllib.request.urlopen(f"{self.url}/sandbox/health") as answer:
            self.assertEqual({"status": "ok"}, json.load(answer))

    def test_an_unknown_request_is_not_found(self):
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{self.url}/sandbox/nowhere")
        self.assertEqual(404, refused.exception.code)
        refused.exception.close()


if __name__ == "__main__":
    unittest.main()
