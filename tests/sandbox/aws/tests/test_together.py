"""What moto does by itself with what is ours: scans, tags, scaling targets and lifecycle policies."""

import json
import unittest

from support import AwsTest

from test_ecr import image_manifest


class Together(AwsTest):
    def create_service(self):
        ecs = self.client("ecs")
        ecs.create_cluster(clusterName="main")
        ecs.register_task_definition(
            family="web", containerDefinitions=[{"name": "web", "image": "example.com/web", "memory": 128}]
        )
        return ecs.create_service(
            cluster="main",
            serviceName="web",
            taskDefinition="web",
            desiredCount=1,
            tags=[{"key": "steward:environment", "value": "test"}],
        )["service"]

    def test_images_can_be_scanned(self):
        ecr = self.client("ecr")
        ecr.create_repository(repositoryName="app")
        ecr.put_image(repositoryName="app", imageManifest=image_manifest("one"), imageTag="v1")
        ecr.start_image_scan(repositoryName="app", imageId={"imageTag": "v1"})
        findings = ecr.describe_image_scan_findings(repositoryName="app", imageId={"imageTag": "v1"})
        self.assertEqual("COMPLETE", findings["imageScanStatus"]["status"])

    def test_a_repository_keeps_its_lifecycle_policy(self):
        ecr = self.client("ecr")
        ecr.create_repository(repositoryName="app")
        selection = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}
        policy = {"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]}
        ecr.put_lifecycle_policy(repositoryName="app", lifecyclePolicyText=json.dumps(policy))
        kept = ecr.get_lifecycle_policy(repositoryName="app")["lifecyclePolicyText"]
        self.assertEqual(policy, json.loads(kept))

    def test_a_service_can_be_a_scaling_target(self):
        self.create_service()
        scaling = self.client("application-autoscaling")
        target = {
            "ServiceNamespace": "ecs",
            "ResourceId": "service/main/web",
            "ScalableDimension": "ecs:service:DesiredCount",
        }
        scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=4)
        [found] = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
        self.assertEqual((1, 4), (found["MinCapacity"], found["MaxCapacity"]))

    def test_services_and_tasks_have_tags(self):
        service = self.create_service()
        ecs = self.client("ecs")
        ecs.tag_resource(resourceArn=service["serviceArn"], tags=[{"key": "steward:hold", "value": "yes"}])
        described = ecs.describe_services(cluster="main", services=["web"], include=["TAGS"])["services"][0]
        tags = {tag["key"]: tag["value"] for tag in described["tags"]}
        self.assertEqual({"steward:environment": "test", "steward:hold": "yes"}, tags)
        plain = ecs.describe_services(cluster="main", services=["web"])["services"][0]
        self.assertEqual([], plain.get("tags", []))
        found = self.client("resourcegroupstaggingapi").get_resources(
            TagFilters=[{"Key": "steward:hold"}], ResourceTypeFilters=["ecs:service"]
        )["ResourceTagMappingList"]
        self.assertEqual([service["serviceArn"]], [resource["ResourceARN"] for resource in found])
        [task] = ecs.list_tasks(cluster="main")["taskArns"]
        ecs.tag_resource(resourceArn=task, tags=[{"key": "a", "value": "b"}])
        self.assertEqual([{"key": "a", "value": "b"}], ecs.list_tags_for_resource(resourceArn=task)["tags"])

    def test_deregistered_task_definitions_can_be_deleted(self):
        self.create_service()
        ecs = self.client("ecs")
        ecs.deregister_task_definition(taskDefinition="web:1")
        deleted = ecs.delete_task_definitions(taskDefinitions=["web:1"])["taskDefinitions"]
        self.assertEqual(["DELETE_IN_PROGRESS"], [each["status"] for each in deleted])
        # API_DeleteTaskDefinitions: what a service uses goes on running.
        self.assertEqual(1, len(ecs.list_tasks(cluster="main")["taskArns"]))


if __name__ == "__main__":
    unittest.main()
