"""Amazon ECS managed daemons as the plugin models them."""

import unittest

from test_ecs import CLUSTER, EcsTest


class Daemons(EcsTest):
    def register_daemon(self, image, family="agent"):
        answer = self.ecs.register_daemon_task_definition(
            family=family, containerDefinitions=[{"name": "agent", "image": image}]
        )
        return answer["daemonTaskDefinitionArn"]

    def create_daemon(self, image, name="agent"):
        cluster = self.ecs.describe_clusters(clusters=[CLUSTER])["clusters"][0]["clusterArn"]
        return self.ecs.create_daemon(
            clusterArn=cluster,
            daemonName=name,
            daemonTaskDefinitionArn=self.register_daemon(image),
            capacityProviderArns=["arn:aws:ecs:us-east-1:1:capacity-provider/one"],
        )["daemonArn"]

    def cluster_arn(self):
        return self.ecs.list_clusters()["clusterArns"][0]

    def images(self, arn):
        daemon = self.ecs.describe_daemon(daemonArn=arn)["daemon"]
        arns = [revision["arn"] for revision in daemon["currentRevisions"]]
        answer = self.ecs.describe_daemon_revisions(daemonRevisionArns=arns)
        self.assertEqual([], answer["failures"])
        return [revision["containerImages"] for revision in answer["daemonRevisions"]]

    def test_a_revision_keeps_the_digest_that_its_deployment_found(self):
        first = self.push("one")
        arn = self.create_daemon(self.image())
        self.push("two")
        expected = {"containerName": "agent", "image": self.image(), "imageDigest": first}
        self.assertEqual([[expected]], self.images(arn))

    def test_an_image_that_is_not_there_has_no_digest(self):
        arn = self.create_daemon(self.image(":missing"))
        self.assertEqual([[{"containerName": "agent", "image": self.image(":missing")}]], self.images(arn))

    def test_every_update_is_a_deployment_and_the_newest_comes_first(self):
        self.push("one")
        arn = self.create_daemon(self.image())
        second = self.push("two")
        self.ecs.update_daemon(
            daemonArn=arn,
            daemonTaskDefinitionArn=self.register_daemon(self.image()),
            capacityProviderArns=["arn:aws:ecs:us-east-1:1:capacity-provider/one"],
        )
        self.assertEqual(second, self.images(arn)[0][0]["imageDigest"])
        page = self.ecs.list_daemon_deployments(daemonArn=arn, maxResults=1)
        rest = self.ecs.list_daemon_deployments(daemonArn=arn, nextToken=page["nextToken"])
        current = self.ecs.describe_daemon(daemonArn=arn)["daemon"]["currentRevisions"][0]["arn"]
        self.assertEqual(current, page["daemonDeployments"][0]["targetDaemonRevisionArn"])
        self.assertNotEqual(current, rest["daemonDeployments"][0]["targetDaemonRevisionArn"])
        self.assertNotIn("nextToken", rest)

    def test_daemons_are_listed_by_cluster_in_pages_until_they_are_deleted(self):
        self.push("one")
        arns = [self.create_daemon(self.image(), name) for name in ("a", "b")]
        page = self.ecs.list_daemons(clusterArn=self.cluster_arn(), maxResults=1)
        rest = self.ecs.list_daemons(clusterArn=self.cluster_arn(), nextToken=page["nextToken"])
        found = [each["daemonArn"] for each in page["daemonSummariesList"] + rest["daemonSummariesList"]]
        self.assertEqual(arns, found)
        self.ecs.delete_daemon(daemonArn=arns[0])
        listed = self.ecs.list_daemons(clusterArn=self.cluster_arn())["daemonSummariesList"]
        self.assertEqual(arns[1:], [each["daemonArn"] for each in listed])
        self.assert_refused("DaemonNotFoundException", self.ecs.describe_daemon, daemonArn=arns[0])

    def test_a_revision_that_is_not_there_is_missing(self):
        answer = self.ecs.describe_daemon_revisions(daemonRevisionArns=["arn:aws:ecs:us-east-1:1:daemon-revision/x"])
        self.assertEqual(["MISSING"], [failure["reason"] for failure in answer["failures"]])

    def test_a_definition_is_found_by_family_and_by_revision(self):
        first = self.register_daemon("example.com/agent:1")
        second = self.register_daemon("example.com/agent:2")
        for name, arn in (("agent", second), ("agent:1", first), (second, second)):
            found = self.ecs.describe_daemon_task_definition(daemonTaskDefinition=name)["daemonTaskDefinition"]
            self.assertEqual(arn, found["daemonTaskDefinitionArn"])
        self.assert_refused(
            "ClientException", self.ecs.describe_daemon_task_definition, daemonTaskDefinition="agent:3"
        )


if __name__ == "__main__":
    unittest.main()
