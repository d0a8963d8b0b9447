"""Amazon ECS as the plugin models it: container instances, capacity providers, and services that wait for room."""

import unittest

from scaling_support import CLUSTER, ScalingTest


class Registration(ScalingTest):
    def test_instances_in_service_are_container_instances_of_the_provider_of_their_group(self):
        self.make_group(desired=2)
        self.assertEqual([], self.container_instances())
        self.make_provider()
        of_group = {instance["InstanceId"] for instance in self.group()["Instances"]}
        registered = self.container_instances()
        self.assertEqual(of_group, {instance["ec2InstanceId"] for instance in registered})
        self.assertEqual({("ACTIVE", "of-group")}, {(one["status"], one["capacityProviderName"]) for one in registered})
        [cluster] = self.ecs.describe_clusters(clusters=[CLUSTER])["clusters"]
        self.assertEqual(2, cluster["registeredContainerInstancesCount"])

    def test_instances_register_with_the_cluster_that_their_user_data_names(self):
        self.make_group(desired=1, user_data=f"#!/bin/bash\necho ECS_CLUSTER={CLUSTER} >> /etc/ecs/ecs.config\n")
        self.make_group("other", desired=1, user_data="#!/bin/bash\necho ECS_CLUSTER=elsewhere\n")
        [registered] = self.container_instances()
        self.assertEqual(self.group()["Instances"][0]["InstanceId"], registered["ec2InstanceId"])

    def test_instances_come_and_go_with_their_group(self):
        self.make_group(desired=1)
        self.make_provider()
        self.control("settings", autoscaling_polls=1)
        self.resize(DesiredCapacity=2)
        self.states()
        self.assertEqual(1, len(self.container_instances()))
        self.states()
        self.assertEqual(["ACTIVE"] * 2, [one["status"] for one in self.container_instances()])
        self.resize(DesiredCapacity=0)
        self.states()
        self.assertEqual(["DRAINING"] * 2, [one["status"] for one in self.container_instances()])
        self.states()
        self.assertEqual([], self.container_instances())
        [cluster] = self.ecs.describe_clusters(clusters=[CLUSTER])["clusters"]
        self.assertEqual(0, cluster["registeredContainerInstancesCount"])

    def test_container_instances_and_providers_come_in_pages(self):
        self.make_group(desired=3)
        self.make_provider()
        pages = self.ecs.get_paginator("list_container_instances").paginate(
            cluster=CLUSTER, PaginationConfig={"PageSize": 2}
        )
        self.assertEqual([2, 1], [len(page["containerInstanceArns"]) for page in pages])
        arn = self.group()["AutoScalingGroupARN"]
        for number in range(10):
            self.ecs.create_capacity_provider(
                name=f"p{number}", autoScalingGroupProvider={"autoScalingGroupArn": arn}, tags=[{"key": "k", "value": "v"}]
            )
        first = self.ecs.describe_capacity_providers()
        second = self.ecs.describe_capacity_providers(nextToken=first["nextToken"], include=["TAGS"])
        self.assertEqual((10, 1), (len(first["capacityProviders"]), len(second["capacityProviders"])))
        self.assertEqual([{"key": "k", "value": "v"}], second["capacityProviders"][0]["tags"])
        named = self.ecs.describe_capacity_providers(capacityProviders=["of-group", "nowhere"])
        [provider] = named["capacityProviders"]
        self.assertEqual("ENABLED", provider["autoScalingGroupProvider"]["managedScaling"]["status"])
        self.assertEqual(["MISSING"], [failure["reason"] for failure in named["failures"]])
        self.assert_refused("InvalidParameterException", self.ecs.describe_capacity_providers, maxResults=11)


class Room(ScalingTest):
    def test_without_managed_scaling_no_task_starts_without_room(self):
        self.make_group(desired=0)
        self.make_provider(managedScaling={"status": "DISABLED"})
        self.control("settings", ecs_tasks_per_instance=2)
        self.make_service(count=3)
        self.assertEqual((3, 0, 0), self.counts())
        [service] = self.ecs.describe_services(cluster=CLUSTER, services=["web"])["services"]
        self.assertIn("unable to place a task", service["events"][0]["message"])
        self.assertEqual("IN_PROGRESS", service["deployments"][0]["rolloutState"])
        self.resize(DesiredCapacity=1)
        self.assertEqual((3, 2, 0), self.counts())
        self.resize(DesiredCapacity=2)
        self.assertEqual((3, 3, 0), self.counts())
        [service] = self.ecs.describe_services(cluster=CLUSTER, services=["web"])["services"]
        self.assertEqual("COMPLETED", service["deployments"][0]["rolloutState"])

    def test_the_launch_type_ec2_needs_room_in_a_cluster_that_has_container_instances(self):
        self.make_service("before", count=2, launchType="EC2")
        self.assertEqual((2, 2, 0), self.counts("before"))
        self.make_group(desired=1, user_data=f"ECS_CLUSTER={CLUSTER}")
        self.control("settings", ecs_tasks_per_instance=1)
        self.make_service(count=2, launchType="EC2")
        self.assertEqual((2, 1, 0), self.counts())

    def test_tasks_of_an_instance_that_goes_stop_and_start_where_there_is_room(self):
        self.make_group(desired=2)
        self.make_provider(managedScaling={"status": "DISABLED"})
        self.make_service(count=4)
        self.assertEqual((4, 4, 0), self.counts())
        self.assertEqual([2, 2], [one["runningTasksCount"] for one in self.container_instances()])
        self.resize(DesiredCapacity=1)
        self.assertEqual((4, 4, 0), self.counts())
        self.assertEqual([4], [one["runningTasksCount"] for one in self.container_instances()])
        stopped = self.ecs.list_tasks(cluster=CLUSTER, desiredStatus="STOPPED")["taskArns"]
        tasks = self.ecs.describe_tasks(cluster=CLUSTER, tasks=stopped)["tasks"]
        self.assertEqual([("TerminationNotice", True)] * 2, [
            (task["stopCode"], task["stoppedReason"].startswith("Host EC2 (instance i-")) for task in tasks
        ])
        self.resize(DesiredCapacity=0)
        self.assertEqual((4, 0, 0), self.counts())


class ManagedScaling(ScalingTest):
    def test_tasks_without_room_wait_and_make_the_group_grow(self):
        self.make_group(desired=0)
        self.make_provider()
        self.control("settings", autoscaling_polls=2, ecs_tasks_per_instance=2)
        self.make_service(count=3)
        self.assertEqual((0, 2, 10), self.sizes())
        tasks = self.ecs.list_tasks(cluster=CLUSTER)["taskArns"]
        described = self.ecs.describe_tasks(cluster=CLUSTER, tasks=tasks)["tasks"]
        self.assertEqual({"PROVISIONING"}, {task["lastStatus"] for task in described})
        self.assertEqual((3, 0, 3), self.counts())
        self.assertEqual((3, 3, 0), self.counts())
        self.assertEqual(["InService"] * 2, self.states())

    def test_a_group_at_its_maximum_grows_no_further(self):
        self.make_group(desired=0, largest=1)
        self.make_provider()
        self.control("settings", ecs_tasks_per_instance=1)
        self.make_service(count=2)
        self.assertEqual((2, 1, 1), self.counts())
        self.assertEqual((0, 1, 1), self.sizes())

    def test_an_idle_group_falls_to_its_minimum_after_a_while(self):
        self.make_group(desired=0, smallest=0)
        self.make_provider()
        self.make_service(count=1)
        self.assertEqual((0, 1, 10), self.sizes())
        self.resize(MinSize=2)
        self.scale(0)
        self.resize(MinSize=0)
        self.assertEqual((0, 2, 10), self.sizes())
        self.control("settle")
        self.assertEqual((0, 0, 10), self.sizes())
        self.assertEqual([], self.states())

    def test_with_termination_protection_only_instances_without_tasks_leave(self):
        self.control("settings", ecs_tasks_per_instance=2)
        self.make_group(desired=2, NewInstancesProtectedFromScaleIn=True)
        self.make_provider(managedTerminationProtection="ENABLED")
        self.make_service(count=3)
        self.assertEqual((3, 3, 0), self.counts())
        self.scale(1)
        [busy] = [one["ec2InstanceId"] for one in self.container_instances() if one["runningTasksCount"]]
        self.control("settle")
        self.assertEqual([busy], [instance["InstanceId"] for instance in self.group()["Instances"]])

    def test_more_room_than_is_needed_is_kept_by_the_target_capacity(self):
        self.make_group(desired=0)
        self.make_provider(managedScaling={"status": "ENABLED", "targetCapacity": 50})
        self.make_service(count=1)
        self.assertEqual((0, 2, 10), self.sizes())


class Tasks(ScalingTest):
    def test_tasks_take_time_to_start_and_stop(self):
        self.make_service(count=1)
        self.control("settings", ecs_polls=1)
        self.scale(3)
        self.assertEqual((3, 1, 2), self.counts())
        self.assertEqual((3, 3, 0), self.counts())
        self.scale(0)
        self.assertEqual((0, 3, 0), self.counts())
        self.assertEqual([], self.ecs.list_tasks(cluster=CLUSTER)["taskArns"])
        self.assertEqual((0, 0, 0), self.counts())

    def test_tasks_that_are_held_are_let_go_on_demand(self):
        self.control("settings", ecs_polls=1000)
        self.make_service(count=2)
        self.assertEqual([(2, 0, 2)] * 3, [self.counts() for _ in range(3)])
        self.control("settle")
        self.assertEqual((2, 2, 0), self.counts())
        self.scale(0)
        self.assertEqual([(0, 2, 0)] * 3, [self.counts() for _ in range(3)])
        self.control("settle")
        self.assertEqual((0, 0, 0), self.counts())

    def test_a_service_that_grows_again_starts_other_tasks_than_those_that_stop(self):
        self.make_service(count=2)
        self.control("settings", ecs_polls=1)
        self.scale(0)
        self.scale(2)
        self.assertEqual((2, 2, 2), self.counts())
        self.assertEqual((2, 2, 0), self.counts())

    def test_daemons_have_a_task_on_each_instance_and_no_count(self):
        self.make_group(desired=2)
        self.make_provider()
        self.assert_refused(
            "InvalidParameterException", self.make_service, count=1, schedulingStrategy="DAEMON", launchType="EC2"
        )
        self.ecs.create_service(
            cluster=CLUSTER, serviceName="agent", taskDefinition="web", schedulingStrategy="DAEMON", launchType="EC2"
        )
        self.assertEqual((2, 2, 0), self.counts("agent"))
        self.assertIn("daemon", self.assert_refused("InvalidParameterException", self.scale, count=0, name="agent"))
        self.resize(DesiredCapacity=3)
        self.assertEqual((3, 3, 0), self.counts("agent"))
        self.resize(DesiredCapacity=0)
        self.assertEqual((0, 0, 0), self.counts("agent"))

    def test_services_are_tagged(self):
        arn = self.make_service()["serviceArn"]
        self.ecs.tag_resource(resourceArn=arn, tags=[{"key": "steward:parked", "value": "t desired=2 min=1 max=4"}])
        self.ecs.tag_resource(resourceArn=arn, tags=[{"key": "team", "value": "a"}])
        self.assertEqual({"steward:parked": "t desired=2 min=1 max=4", "team": "a"}, self.tags())
        self.ecs.untag_resource(resourceArn=arn, tagKeys=["steward:parked", "nobody-has-it"])
        self.assertEqual({"team": "a"}, self.tags())
        answer = self.ecs.describe_services(cluster=CLUSTER, services=["web", "nowhere"])
        self.assertNotIn("team", {tag["key"] for tag in answer["services"][0].get("tags", [])})
        self.assertEqual(["MISSING"], [failure["reason"] for failure in answer["failures"]])

    def tags(self):
        answer = self.ecs.describe_services(cluster=CLUSTER, services=["web"], include=["TAGS"])
        return {tag["key"]: tag["value"] for tag in answer["services"][0]["tags"]}


class Health(ScalingTest):
    def setUp(self):
        super().setUp()
        self.elb = self.client("elbv2")
        answer = self.elb.create_target_group(
            Name="web", Protocol="HTTP", Port=80, VpcId=self.network["vpc"], TargetType="ip"
        )
        self.target_group = answer["TargetGroups"][0]["TargetGroupArn"]
        balancer = {"targetGroupArn": self.target_group, "containerName": "web", "containerPort": 3000}
        self.make_service(count=2, loadBalancers=[balancer])

    def health(self):
        answer = self.elb.describe_target_health(TargetGroupArn=self.target_group)
        return [target["TargetHealth"]["State"] for target in answer["TargetHealthDescriptions"]]

    def test_the_targets_of_a_service_are_its_tasks(self):
        self.assertEqual(["healthy"] * 2, self.health())
        answer = self.elb.describe_target_health(TargetGroupArn=self.target_group)
        targets = [target["Target"] for target in answer["TargetHealthDescriptions"]]
        self.assertEqual([3000] * 2, [target["Port"] for target in targets])
        self.scale(0)
        self.assertEqual([], self.health())

    def test_targets_take_time_to_be_healthy_and_to_leave(self):
        self.control("settings", ecs_polls=1, target_polls=1)
        self.scale(3)
        self.assertEqual(["healthy"] * 2, self.health())
        self.counts(), self.counts()
        self.assertEqual(["healthy", "healthy", "initial"], self.health())
        self.assertEqual(["healthy"] * 3, self.health())
        self.scale(1)
        self.assertEqual(["draining", "draining", "healthy"], sorted(self.health()))
        self.counts(), self.counts()
        self.assertEqual(["healthy"], self.health())

    def test_targets_can_be_held_unhealthy(self):
        self.control("elbv2/target-health", target_group=self.target_group, state="unhealthy")
        self.scale(3)
        self.assertEqual(["unhealthy"] * 3, self.health())
        self.control("elbv2/target-health", target_group=self.target_group)
        self.assertEqual(["healthy"] * 3, self.health())
        refusal = self.control_refusal("elbv2/target-health", target_group=self.target_group, state="ill")
        self.assertIn("no state of a target", refusal)
        self.assertIn("no target group", self.control_refusal("elbv2/target-health", target_group="x"))


if __name__ == "__main__":
    unittest.main()
