"""Amazon ECS as the plugin models it."""

import unittest

from support import AwsTest

from test_ecr import digest, image_manifest

REPOSITORY = "app/web"
CLUSTER = "main"


class EcsTest(AwsTest):
    def setUp(self):
        super().setUp()
        self.ecr, self.ecs = self.client("ecr"), self.client("ecs")
        self.ecr.create_repository(repositoryName=REPOSITORY)
        self.ecs.create_cluster(clusterName=CLUSTER)

    def push(self, name, tag="latest"):
        """Push an image; returns its digest."""
        manifest = image_manifest(name)
        self.ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest, imageTag=tag)
        return digest(manifest)

    def image(self, reference=":latest"):
        return f"{self.account}.dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}{reference}"

    def register(self, *containers, family="web", **more):
        containers = containers or ({"image": self.image()},)
        definitions = [
            {"name": f"c{number}", "memory": 128, **container} for number, container in enumerate(containers)
        ]
        answer = self.ecs.register_task_definition(family=family, containerDefinitions=definitions, **more)
        return answer["taskDefinition"]["taskDefinitionArn"]

    def create(self, name="web", count=1, **more):
        more.setdefault("taskDefinition", "web")
        answer = self.ecs.create_service(cluster=CLUSTER, serviceName=name, desiredCount=count, **more)
        return answer["service"]

    def update(self, name="web", **more):
        return self.ecs.update_service(cluster=CLUSTER, service=name, **more)["service"]

    def describe(self, name="web"):
        [service] = self.ecs.describe_services(cluster=CLUSTER, services=[name])["services"]
        return service

    def revision_images(self, name="web"):
        """The container images of each current revision of a service, newest first."""
        arns = [summary["arn"] for summary in self.describe(name)["currentServiceRevisions"]]
        answer = self.ecs.describe_service_revisions(serviceRevisionArns=arns)
        self.assertEqual([], answer["failures"])
        return [revision["containerImages"] for revision in answer["serviceRevisions"]]

    def digests(self, name="web"):
        """The digest of the first container of each current revision, None where it has none."""
        return [images[0].get("imageDigest") for images in self.revision_images(name)]

    def tasks(self, **filters):
        arns = self.ecs.list_tasks(cluster=CLUSTER, **filters)["taskArns"]
        return self.ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []

    def task_digests(self, **filters):
        return [task["containers"][0].get("imageDigest") for task in self.tasks(**filters)]


class Services(EcsTest):
    def test_a_service_has_tasks_with_the_digest_of_its_revision(self):
        latest = self.push("one")
        self.register()
        self.create(count=2)
        service = self.describe()
        self.assertEqual((2, 2, 0), (service["desiredCount"], service["runningCount"], service["pendingCount"]))
        [deployment] = service["deployments"]
        self.assertEqual(("PRIMARY", "COMPLETED"), (deployment["status"], deployment["rolloutState"]))
        [images] = self.revision_images()
        self.assertEqual([{"containerName": "c0", "image": self.image(), "imageDigest": latest}], images)
        tasks = self.tasks(serviceName="web")
        self.assertEqual([latest, latest], [task["containers"][0]["imageDigest"] for task in tasks])
        self.assertEqual({"service:web"}, {task["group"] for task in tasks})
        self.assertEqual({deployment["id"]}, {task["startedBy"] for task in tasks})

    def test_a_new_task_has_the_digest_of_its_revision_though_the_tag_has_moved(self):
        old = self.push("old")
        self.register()
        self.create()
        self.push("new")
        self.update(desiredCount=2)
        self.assertEqual([old, old], self.task_digests())
        [task, _] = self.tasks()
        self.ecs.stop_task(cluster=CLUSTER, task=task["taskArn"])
        self.assertEqual([old, old], self.task_digests())

    def test_a_service_scaled_to_zero_keeps_its_digest(self):
        old = self.push("old")
        self.register()
        self.create()
        before = self.describe()["currentServiceDeployment"]
        self.update(desiredCount=0)
        self.push("new")
        self.assertEqual([], self.tasks())
        self.assertEqual([old], self.digests())
        self.update(desiredCount=1)
        self.assertEqual([old], self.task_digests())
        self.assertEqual(before, self.describe()["currentServiceDeployment"])

    def test_a_service_created_at_zero_has_no_digest_until_its_first_task(self):
        self.push("old")
        self.register()
        self.create(count=0)
        self.assertEqual([[{"containerName": "c0", "image": self.image()}]], self.revision_images())
        new = self.push("new")
        self.update(desiredCount=1)
        self.assertEqual([new], self.digests())

    def test_a_forced_deployment_resolves_the_tag_again(self):
        self.push("old")
        self.register()
        self.create()
        new = self.push("new")
        self.update(forceNewDeployment=True)
        self.assertEqual([new], self.digests())
        self.assertEqual([new], self.task_digests())
        self.assertEqual([digest(image_manifest("old"))], self.task_digests(desiredStatus="STOPPED"))

    def test_without_version_consistency_there_is_no_digest_in_the_revision(self):
        self.push("old")
        self.register({"image": self.image(), "versionConsistency": "disabled"})
        self.create()
        self.assertEqual([[{"containerName": "c0", "image": self.image()}]], self.revision_images())
        new = self.push("new")
        self.update(desiredCount=2)
        self.assertEqual({digest(image_manifest("old")), new}, set(self.task_digests()))

    def test_a_reference_by_digest_is_that_digest(self):
        pinned = self.push("one")
        self.push("two")
        self.register({"image": self.image("@" + pinned)}, {"image": self.image(":latest@" + pinned)})
        self.create()
        [images] = self.revision_images()
        self.assertEqual([pinned, pinned], [image["imageDigest"] for image in images])

    def test_dual_stack_hosts_resolve_and_other_registries_do_not(self):
        latest = self.push("one")
        self.register(
            {"image": f"{self.account}.dkr-ecr.us-east-1.on.aws/{REPOSITORY}"},
            {"image": "public.ecr.aws/nginx/nginx:latest"},
        )
        self.create()
        [images] = self.revision_images()
        self.assertEqual([latest, None], [image.get("imageDigest") for image in images])

    def test_what_is_said_of_a_service_comes_back(self):
        self.push("one")
        self.register(networkMode="awsvpc")
        network = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": [], "assignPublicIp": "DISABLED"}}
        strategy = [{"capacityProvider": "main", "weight": 1, "base": 0}]
        self.create(
            networkConfiguration=network,
            capacityProviderStrategy=strategy,
            deploymentConfiguration={"maximumPercent": 150},
            healthCheckGracePeriodSeconds=60,
            tags=[{"key": "steward:environment", "value": "test"}],
        )
        service = self.describe()
        self.assertEqual(network, service["networkConfiguration"])
        self.assertEqual(strategy, service["capacityProviderStrategy"])
        self.assertNotIn("launchType", service)
        self.assertEqual(150, service["deploymentConfiguration"]["maximumPercent"])
        self.assertEqual(100, service["deploymentConfiguration"]["minimumHealthyPercent"])
        self.assertEqual(60, service["healthCheckGracePeriodSeconds"])
        self.assertEqual(strategy, service["deployments"][0]["capacityProviderStrategy"])
        tags = self.ecs.list_tags_for_resource(resourceArn=service["serviceArn"])["tags"]
        self.assertEqual([{"key": "steward:environment", "value": "test"}], tags)

    def test_at_most_ten_services_are_described_and_the_missing_are_failures(self):
        self.register()
        self.create()
        answer = self.ecs.describe_services(cluster=CLUSTER, services=["web", "nowhere"])
        self.assertEqual(["web"], [service["serviceName"] for service in answer["services"]])
        [failure] = answer["failures"]
        self.assertEqual("MISSING", failure["reason"])
        self.assertTrue(failure["arn"].endswith("service/nowhere"))
        names = [f"s{number}" for number in range(11)]
        self.assert_refused(
            "InvalidParameterException", self.ecs.describe_services, cluster=CLUSTER, services=names
        )
        self.assert_refused("ClusterNotFoundException", self.ecs.describe_services, cluster="x", services=["web"])

    def test_services_are_listed_ten_to_a_page(self):
        self.register()
        for number in range(12):
            self.create(f"s{number:02}", count=0)
        first = self.ecs.list_services(cluster=CLUSTER)
        second = self.ecs.list_services(cluster=CLUSTER, nextToken=first["nextToken"])
        self.assertEqual((10, 2), (len(first["serviceArns"]), len(second["serviceArns"])))
        self.assertNotIn("nextToken", second)
        self.assertEqual(12, len(self.ecs.list_services(cluster=CLUSTER, maxResults=100)["serviceArns"]))
        self.assert_refused("InvalidParameterException", self.ecs.list_services, cluster=CLUSTER, maxResults=101)

    def test_a_deleted_service_is_inactive_and_its_tasks_are_stopped(self):
        self.register()
        self.create()
        self.assert_refused(
            "InvalidParameterException", self.ecs.delete_service, cluster=CLUSTER, service="web"
        )
        self.ecs.delete_service(cluster=CLUSTER, service="web", force=True)
        self.assertEqual("INACTIVE", self.describe()["status"])
        self.assertEqual([], self.tasks())
        self.assertEqual([], self.ecs.list_services(cluster=CLUSTER)["serviceArns"])
        self.assert_refused("ServiceNotActiveException", self.update, desiredCount=1)

    def test_requests_that_aws_refuses_are_refused(self):
        self.register(networkMode="awsvpc")
        self.assert_refused("InvalidParameterException", self.create)
        self.assert_refused("ClientException", self.create, taskDefinition="nowhere")
        self.register()
        self.create()
        self.assert_refused("InvalidParameterException", self.create)
        self.assert_refused("ServiceNotFoundException", self.update, name="nowhere", desiredCount=1)


class Rollouts(EcsTest):
    def roll(self):
        """A service that rolls from an old image to a new one; returns their digests."""
        old = self.push("old")
        self.register()
        self.create(count=2)
        new = self.push("new")
        self.control("settings", ecs_polls=2)
        self.update(taskDefinition=self.register())
        return old, new

    def test_a_rollout_lasts_as_many_describes_as_the_settings_say(self):
        old, new = self.roll()
        for _ in range(2):
            service = self.describe()
            primary, former = service["deployments"]
            self.assertEqual(("PRIMARY", "IN_PROGRESS", 2, 0, 2), self.state(primary))
            self.assertEqual(("ACTIVE", "COMPLETED", 2, 2, 0), self.state(former))
            self.assertEqual(2, len(service["currentServiceRevisions"]))
        [primary] = self.describe()["deployments"]
        self.assertEqual(("PRIMARY", "COMPLETED", 2, 2, 0), self.state(primary))
        self.assertEqual([new, new], self.task_digests())
        self.assertEqual([old, old], self.task_digests(desiredStatus="STOPPED"))

    def state(self, deployment):
        members = ("status", "rolloutState", "desiredCount", "runningCount", "pendingCount")
        return tuple(deployment[member] for member in members)

    def test_during_a_rollout_both_digests_are_current_and_pending_tasks_have_none(self):
        old, new = self.roll()
        self.assertEqual([new, old], self.digests())
        pending = [task for task in self.tasks() if task["lastStatus"] == "PENDING"]
        self.assertEqual(2, len(pending))
        self.assertEqual({"RUNNING"}, {task["desiredStatus"] for task in pending})
        self.assertNotIn("imageDigest", pending[0]["containers"][0])

    def test_the_digest_is_that_of_the_start_of_the_rollout(self):
        _, new = self.roll()
        self.push("newer")
        for _ in range(3):
            self.describe()
        self.assertEqual([new, new], self.task_digests())

    def test_a_count_alone_starts_no_deployment(self):
        self.register()
        before = self.create()["deployments"][0]["id"]
        self.update(desiredCount=3)
        self.assertEqual([before], [deployment["id"] for deployment in self.describe()["deployments"]])

    def test_the_same_task_definition_starts_no_deployment(self):
        arn = self.register()
        before = self.create()["deployments"][0]["id"]
        self.update(taskDefinition=arn)
        self.assertEqual([before], [deployment["id"] for deployment in self.describe()["deployments"]])

    def test_service_deployments_tell_what_was_deployed(self):
        self.roll()
        listed = self.ecs.list_service_deployments(cluster=CLUSTER, service="web")["serviceDeployments"]
        self.assertEqual(["IN_PROGRESS", "SUCCESSFUL"], [deployment["status"] for deployment in listed])
        done = self.ecs.list_service_deployments(cluster=CLUSTER, service="web", status=["SUCCESSFUL"])
        self.assertEqual([listed[1]], done["serviceDeployments"])
        arns = [deployment["serviceDeploymentArn"] for deployment in listed]
        answer = self.ecs.describe_service_deployments(serviceDeploymentArns=arns + ["arn:nowhere"])
        newest = answer["serviceDeployments"][0]
        self.assertEqual(listed[0]["targetServiceRevisionArn"], newest["targetServiceRevision"]["arn"])
        sources = [source["arn"] for source in newest["sourceServiceRevisions"]]
        self.assertEqual([listed[1]["targetServiceRevisionArn"]], sources)
        self.assertEqual([{"arn": "arn:nowhere", "reason": "MISSING"}], answer["failures"])

    def test_service_deployments_come_in_pages(self):
        self.register()
        self.create()
        for _ in range(4):
            self.update(forceNewDeployment=True)
        first = self.ecs.list_service_deployments(cluster=CLUSTER, service="web", maxResults=3)
        second = self.ecs.list_service_deployments(
            cluster=CLUSTER, service="web", maxResults=3, nextToken=first["nextToken"]
        )
        found = [each["serviceDeploymentArn"] for page in (first, second) for each in page["serviceDeployments"]]
        self.assertEqual(5, len(set(found)))
        self.assertNotIn("nextToken", second)

    def test_an_older_deployment_has_no_revision_to_see(self):
        self.control("settings", ecs_service_revisions=False)
        old = self.push("old")
        self.register()
        self.create()
        service = self.describe()
        self.assertNotIn("currentServiceRevisions", service)
        self.assertNotIn("currentServiceDeployment", service)
        listed = self.ecs.list_service_deployments(cluster=CLUSTER, service="web")["serviceDeployments"]
        self.assertEqual([], listed)
        self.assertEqual([old], self.task_digests())
        self.control("settings", ecs_service_revisions=True)
        self.assertNotIn("currentServiceRevisions", self.describe())
        self.update(forceNewDeployment=True)
        self.assertEqual([old], self.digests())

    def test_revisions_that_are_not_there_are_failures_and_twenty_is_the_most(self):
        answer = self.ecs.describe_service_revisions(serviceRevisionArns=["arn:nowhere"])
        self.assertEqual([{"arn": "arn:nowhere", "reason": "MISSING"}], answer["failures"])
        self.assert_refused(
            "InvalidParameterException", self.ecs.describe_service_revisions, serviceRevisionArns=["arn:x"] * 21
        )


class TaskSets(EcsTest):
    def test_an_external_service_has_task_sets_with_tasks(self):
        latest = self.push("one")
        arn = self.register()
        self.ecs.create_service(
            cluster=CLUSTER, serviceName="web", desiredCount=3, deploymentController={"type": "EXTERNAL"}
        )
        created = self.ecs.create_task_set(
            cluster=CLUSTER, service="web", taskDefinition=arn, scale={"value": 50, "unit": "PERCENT"}
        )["taskSet"]
        self.assertEqual(2, created["computedDesiredCount"])
        service = self.describe()
        self.assertEqual([], service["deployments"])
        self.assertNotIn("currentServiceRevisions", service)
        [task_set] = service["taskSets"]
        self.assertEqual((arn, 2), (task_set["taskDefinition"], task_set["runningCount"]))
        self.assertEqual([latest, latest], self.task_digests(startedBy=created["id"]))
        described = self.ecs.describe_task_sets(cluster=CLUSTER, service="web")["taskSets"]
        self.assertEqual([created["taskSetArn"]], [each["taskSetArn"] for each in described])
        self.ecs.delete_task_set(cluster=CLUSTER, service="web", taskSet=created["id"])
        self.assertEqual([], self.describe()["taskSets"])
        self.assertEqual([], self.tasks())

    def test_a_deployment_of_codedeploy_is_a_task_set(self):
        self.register()
        self.create(deploymentController={"type": "CODE_DEPLOY"})
        service = self.describe()
        self.assertEqual([], service["deployments"])
        self.assertEqual(["PRIMARY"], [task_set["status"] for task_set in service["taskSets"]])
        self.assert_refused("InvalidParameterException", self.update, forceNewDeployment=True)
        self.update(desiredCount=2)
        self.assertEqual(2, len(self.tasks()))


class Tasks(EcsTest):
    def test_a_task_that_is_run_has_the_present_digest(self):
        latest = self.push("one")
        self.register(family="job")
        self.ecs.run_task(cluster=CLUSTER, taskDefinition="job", count=2, startedBy="test")
        self.assertEqual([latest, latest], self.task_digests(family="job", startedBy="test"))
        self.assert_refused(
            "InvalidParameterException", self.ecs.run_task, cluster=CLUSTER, taskDefinition="job", count=11
        )

    def test_tasks_are_listed_a_hundred_to_a_page_and_stopped_ones_on_request(self):
        self.register()
        self.create(count=101)
        first = self.ecs.list_tasks(cluster=CLUSTER)
        second = self.ecs.list_tasks(cluster=CLUSTER, nextToken=first["nextToken"])
        self.assertEqual((100, 1), (len(first["taskArns"]), len(second["taskArns"])))
        self.update(desiredCount=1)
        self.assertEqual(1, len(self.tasks()))
        self.assertEqual(100, len(self.tasks(desiredStatus="STOPPED")))
        self.assert_refused("ServiceNotFoundException", self.tasks, serviceName="nowhere")

    def test_missing_tasks_are_failures_and_a_hundred_is_the_most(self):
        answer = self.ecs.describe_tasks(cluster=CLUSTER, tasks=["nowhere"])
        self.assertEqual("MISSING", answer["failures"][0]["reason"])
        self.assert_refused(
            "InvalidParameterException", self.ecs.describe_tasks, cluster=CLUSTER, tasks=["x"] * 101
        )

    def test_a_stopped_task_is_forgotten_after_an_hour(self):
        self.register()
        arn = self.ecs.run_task(cluster=CLUSTER, taskDefinition="web")["tasks"][0]["taskArn"]
        self.control(
            "ecs/tasks", cluster=CLUSTER, task=arn, last_status="STOPPED", stopped_at="2026-01-01T00:00:00Z"
        )
        self.assertEqual([], self.tasks(desiredStatus="STOPPED"))
        self.assertEqual(1, len(self.ecs.describe_tasks(cluster=CLUSTER, tasks=[arn])["failures"]))

    def test_a_task_stays_as_a_test_has_edited_it(self):
        latest = self.push("one")
        self.register()
        self.create()
        [task] = self.tasks()

        def edit(**changes):
            self.control("ecs/tasks", cluster=CLUSTER, task=task["taskArn"], **changes)
            self.describe()
            return self.ecs.describe_tasks(cluster=CLUSTER, tasks=[task["taskArn"]])["tasks"][0]

        pending = edit(last_status="PENDING")
        self.assertEqual("PENDING", pending["lastStatus"])
        self.assertNotIn("imageDigest", pending["containers"][0])
        self.assertEqual(1, self.describe()["pendingCount"])
        self.assertEqual(latest, edit(last_status="RUNNING")["containers"][0]["imageDigest"])
        other = digest("other")
        self.assertEqual(other, edit(image_digest=other)["containers"][0]["imageDigest"])
        self.assertNotIn("imageDigest", edit(image_digest=None)["containers"][0])
        stopped = edit(last_status="STOPPED", stopped_reason="CannotPullContainerError")
        self.assertEqual(("STOPPED", "CannotPullContainerError"), (stopped["lastStatus"], stopped["stoppedReason"]))

    def test_clusters_count_their_tasks(self):
        self.register()
        self.create(count=3)
        [cluster] = self.ecs.describe_clusters(clusters=[CLUSTER])["clusters"]
        self.assertEqual((1, 3), (cluster["activeServicesCount"], cluster["runningTasksCount"]))


class TaskDefinitions(EcsTest):
    def test_what_is_said_of_a_task_definition_comes_back(self):
        arn = self.register({"image": self.image(), "versionConsistency": "disabled"}, networkMode="awsvpc")
        described = self.ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        self.assertEqual("awsvpc", described["networkMode"])
        self.assertEqual("disabled", described["containerDefinitions"][0]["versionConsistency"])

    def test_task_definitions_are_sorted_by_family_and_number(self):
        arns = [self.register(family=family) for family in ("b", "a") for _ in range(11)]
        ordered = arns[11:] + arns[:11]
        pages = self.ecs.get_paginator("list_task_definitions")

        def listed(**more):
            return [arn for page in pages.paginate(**more) for arn in page["taskDefinitionArns"]]

        self.assertEqual(ordered, listed(PaginationConfig={"PageSize": 5}))
        self.assertEqual(ordered[::-1], listed(sort="DESC", PaginationConfig={"PageSize": 5}))
        self.assertEqual(ordered[:11][::-1][:2], listed(familyPrefix="a", sort="DESC")[:2])

    def test_a_family_stands_for_its_latest_active_revision(self):
        first, second = self.register(), self.register()
        self.ecs.deregister_task_definition(taskDefinition=second)
        described = self.ecs.describe_task_definition(taskDefinition="web")["taskDefinition"]
        self.assertEqual(first, described["taskDefinitionArn"])
        self.assertEqual([first], self.ecs.list_task_definitions()["taskDefinitionArns"])
        self.assertEqual([second], self.ecs.list_task_definitions(status="INACTIVE")["taskDefinitionArns"])
        self.assert_refused("ClientException", self.create, taskDefinition=second)

    def test_families_are_listed_by_status_in_pages(self):
        for family in ("a", "b", "c"):
            self.register(family=family)
        self.ecs.deregister_task_definition(taskDefinition="b:1")
        self.assertEqual(["a", "c"], self.ecs.list_task_definition_families(status="ACTIVE")["families"])
        first = self.ecs.list_task_definition_families(maxResults=2)
        second = self.ecs.list_task_definition_families(maxResults=2, nextToken=first["nextToken"])
        self.assertEqual(["a", "b", "c"], first["families"] + second["families"])

    def test_clusters_are_listed_in_pages(self):
        for number in range(3):
            self.ecs.create_cluster(clusterName=f"c{number}")
        first = self.ecs.list_clusters(maxResults=3)
        second = self.ecs.list_clusters(nextToken=first["nextToken"])
        self.assertEqual((3, 1), (len(first["clusterArns"]), len(second["clusterArns"])))


if __name__ == "__main__":
    unittest.main()
