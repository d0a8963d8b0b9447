"""What goes wrong with services, and what Amazon ECS and EC2 Auto Scaling do then."""

import json
import unittest
import urllib.request

from scaling_support import CLUSTER, ScalingTest


class TroubleTest(ScalingTest):
    def setUp(self):
        super().setUp()
        self.control("settings", service_events=True)

    def register(self, **more):
        container = {"name": "web", "image": "example.com/web:2", "memory": 128, **more}
        answer = self.ecs.register_task_definition(family="web", containerDefinitions=[container])
        return answer["taskDefinition"]["taskDefinitionArn"]

    def make_target_group(self):
        group = self.client("elbv2").create_target_group(
            Name="web", Protocol="HTTP", Port=80, VpcId=self.network["vpc"], TargetType="ip"
        )
        return group["TargetGroups"][0]["TargetGroupArn"]

    def balanced_service(self, count=2):
        group = self.make_target_group()
        balancer = {"targetGroupArn": group, "containerName": "web", "containerPort": 80}
        self.make_service(count=count, loadBalancers=[balancer])
        return group

    def trouble(self, kind, **more):
        self.control("ecs/trouble", cluster=CLUSTER, service="web", kind=kind, **more)

    def end(self):
        self.control("ecs/trouble/end", cluster=CLUSTER, service="web")

    def service(self):
        [service] = self.ecs.describe_services(cluster=CLUSTER, services=["web"])["services"]
        return service

    def deployments(self):
        """The status, the rollout state and the revision of each."""
        found = self.service()["deployments"]
        return [(each["status"], each["rolloutState"], each["taskDefinition"][-1]) for each in found]

    def messages(self):
        return [event["message"] for event in self.service()["events"]]

    def tasks(self, status="RUNNING"):
        arns = self.ecs.list_tasks(cluster=CLUSTER, serviceName="web", desiredStatus=status)["taskArns"]
        return self.ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []

    def service_deployments(self, **wanted):
        answer = self.ecs.list_service_deployments(cluster=CLUSTER, service="web", **wanted)
        return answer["serviceDeployments"]

    def service_deployment(self, arn):
        [found] = self.ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
        return found

    def events(self, detail_type):
        with urllib.request.urlopen(f"{self.url}/sandbox/events?account={self.account}") as answer:
            return [event for event in json.load(answer) if event["detail-type"] == detail_type]

    def names(self, detail_type):
        return [event["detail"]["eventName"] for event in self.events(detail_type)]


class Failures(TroubleTest):
    def deploy_what_fails(self, **trouble):
        """Two tasks of the first revision run, and those of the second fail. Returns the service deployment."""
        self.make_service(count=2)
        self.trouble("start", task_definition=self.register(), **trouble)
        self.ecs.update_service(cluster=CLUSTER, service="web", taskDefinition="web:2")
        return self.service_deployments()[0]["serviceDeploymentArn"]

    def test_a_deployment_whose_tasks_fail_stays_in_progress(self):
        self.deploy_what_fails()
        for _ in range(3):
            service = self.service()
        self.assertEqual([("PRIMARY", "IN_PROGRESS", "2"), ("ACTIVE", "COMPLETED", "1")], self.deployments())
        self.assertGreaterEqual(service["deployments"][0]["failedTasks"], 6)
        self.assertEqual((2, 0), tuple(service["deployments"][1][name] for name in ("runningCount", "failedTasks")))
        stopped = self.tasks("STOPPED")[0]
        self.assertEqual("EssentialContainerExited", stopped["stopCode"])
        self.assertEqual("Essential container in task exited", stopped["stoppedReason"])
        self.assertEqual(1, stopped["containers"][0]["exitCode"])
        self.assertTrue(any("unable to consistently start tasks" in message for message in self.messages()))
        self.assertEqual(1, self.names("ECS Service Action").count("SERVICE_TASK_START_IMPAIRED"))
        self.control("settle")
        self.assertEqual("IN_PROGRESS", self.service_deployments()[0]["status"])

    def test_tasks_that_never_started_say_why(self):
        reason = "CannotPullContainerError: pull image manifest has been retried 1 time(s)"
        self.deploy_what_fails(stop_code="TaskFailedToStart", stopped_reason=reason)
        [container] = self.tasks("STOPPED")[0]["containers"]
        self.assertEqual(reason, container["reason"])
        self.assertNotIn("exitCode", container)

    def test_it_succeeds_when_the_trouble_is_over(self):
        self.deploy_what_fails(times=3)
        self.control("settle")
        self.assertEqual([("PRIMARY", "COMPLETED", "2")], self.deployments())
        self.assertEqual("SUCCESSFUL", self.service_deployments()[0]["status"])

    def test_a_stopped_deployment_is_rolled_back(self):
        arn = self.deploy_what_fails()
        self.control("settings", ecs_polls=1)
        first = self.service_deployments()[1]
        self.assertEqual(arn, self.ecs.stop_service_deployment(serviceDeploymentArn=arn)["serviceDeploymentArn"])
        self.assertEqual("ROLLBACK_REQUESTED", self.service_deployment(arn)["status"])
        self.assertEqual([("PRIMARY", "IN_PROGRESS", "1"), ("ACTIVE", "FAILED", "2")], self.deployments())
        described = self.service_deployment(arn)
        self.assertEqual("ROLLBACK_IN_PROGRESS", described["status"])
        self.assertEqual(first["targetServiceRevisionArn"], described["rollback"]["serviceRevisionArn"])
        self.assert_refused("ConflictException", self.ecs.stop_service_deployment, serviceDeploymentArn=arn)
        self.control("settle")
        self.assertEqual([("PRIMARY", "COMPLETED", "1")], self.deployments())
        self.assertEqual((2, 2, 0), self.counts())
        service = self.service()
        self.assertEqual("1", service["taskDefinition"][-1])
        self.assertEqual(arn, service["currentServiceDeployment"])
        [revision] = service["currentServiceRevisions"]
        self.assertEqual(first["targetServiceRevisionArn"], revision["arn"])
        self.assertEqual("ROLLBACK_SUCCESSFUL", self.service_deployment(arn)["status"])
        [found] = self.service_deployments(status=["ROLLBACK_SUCCESSFUL"])
        self.assertEqual(arn, found["serviceDeploymentArn"])
        self.assertEqual(2, len(self.service_deployments(status=["ROLLBACK_SUCCESSFUL", "SUCCESSFUL"])))

    def test_what_ran_before_is_not_started_anew(self):
        arn = self.deploy_what_fails()
        before = {task["taskArn"] for task in self.tasks() if task["lastStatus"] == "RUNNING"}
        self.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
        self.assertEqual(before, {task["taskArn"] for task in self.tasks()})

    def test_an_aborted_deployment_starts_no_more_tasks(self):
        arn = self.deploy_what_fails()
        self.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ABORT")
        self.control("settle")
        stopped = len(self.tasks("STOPPED"))
        self.control("settle")
        self.assertEqual("STOPPED", self.service_deployment(arn)["status"])
        self.assertIn("stoppedAt", self.service_deployment(arn))
        self.assertEqual(2, self.service()["deployments"][1]["runningCount"])
        self.assertEqual(stopped, len(self.tasks("STOPPED")))

    def test_a_first_deployment_has_nothing_to_go_back_to(self):
        self.control("settings", ecs_polls=5)
        self.make_service(count=2)
        arn = self.service_deployments()[0]["serviceDeploymentArn"]
        self.ecs.stop_service_deployment(serviceDeploymentArn=arn)
        self.assertEqual("ROLLBACK_FAILED", self.service_deployment(arn)["status"])

    def test_only_what_is_under_way_is_stopped(self):
        self.make_service(count=1)
        arn = self.service_deployments()[0]["serviceDeploymentArn"]
        stop = self.ecs.stop_service_deployment
        self.assert_refused("ConflictException", stop, serviceDeploymentArn=arn)
        self.assert_refused("ServiceDeploymentNotFoundException", stop, serviceDeploymentArn=arn + "0")

    def test_a_circuit_breaker_rolls_back_by_itself(self):
        breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
        self.make_service(count=2, deploymentConfiguration=breaker)
        self.trouble("start", task_definition=self.register())
        self.ecs.update_service(cluster=CLUSTER, service="web", taskDefinition="web:2")
        arn = self.service_deployments()[0]["serviceDeploymentArn"]
        for _ in range(3):
            self.service()
        described = self.service_deployment(arn)
        self.assertEqual("ROLLBACK_SUCCESSFUL", described["status"])
        breaker = described["deploymentCircuitBreaker"]
        self.assertEqual(("TRIGGERED", 3), (breaker["status"], breaker["threshold"]))
        self.assertEqual([("PRIMARY", "COMPLETED", "1")], self.deployments())
        told = self.events("ECS Deployment State Change")
        [failed] = [event for event in told if event["detail"]["eventName"] == "SERVICE_DEPLOYMENT_FAILED"]
        self.assertEqual("ERROR", failed["detail"]["eventType"])
        self.assertEqual([self.service()["serviceArn"]], failed["resources"])

    def test_without_rollback_the_deployment_has_failed(self):
        breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
        self.make_service(count=2, deploymentConfiguration=breaker)
        self.trouble("start", task_definition=self.register())
        self.ecs.update_service(cluster=CLUSTER, service="web", taskDefinition="web:2")
        self.control("settle")
        self.control("settle")
        self.assertEqual([("PRIMARY", "FAILED", "2"), ("ACTIVE", "COMPLETED", "1")], self.deployments())
        self.assertEqual("STOPPED", self.service_deployments()[0]["status"])

    def test_a_service_whose_tasks_crash_keeps_trying(self):
        self.make_service(count=1)
        self.trouble("start", running=True, exit_code=137)
        [task] = [task for task in self.tasks("STOPPED") if "startedAt" in task]
        self.assertEqual(137, task["containers"][0]["exitCode"])
        self.assertEqual(0, self.service()["runningCount"])
        self.end()
        self.control("settle")
        self.assertEqual((1, 1, 0), self.counts())

    def test_deployments_are_told(self):
        self.make_service(count=1)
        names = ["SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_COMPLETED"]
        self.assertEqual(names, self.names("ECS Deployment State Change"))
        self.assertEqual(["SERVICE_STEADY_STATE"], self.names("ECS Service Action"))

    def test_nothing_is_told_unless_the_settings_say_so(self):
        self.control("settings", service_events=False)
        self.make_service(count=1)
        self.assertEqual([], self.names("ECS Deployment State Change"))

    def test_trouble_of_no_kind_is_refused(self):
        self.make_service(count=1)
        where = {"cluster": CLUSTER, "service": "web"}
        self.assertIn("no kind of trouble", self.control_refusal("ecs/trouble", **where, kind="x"))
        refusal = self.control_refusal("ecs/trouble", **where, kind="start", reason="RESOURCE:CPU")
        self.assertIn("no reason of start", refusal)


class Placement(TroubleTest):
    def test_tasks_that_cannot_be_placed_are_told(self):
        self.make_group(desired=1)
        self.make_provider(managedScaling={"status": "DISABLED"})
        self.make_service(count=1)
        self.trouble("placement", reason="RESOURCE:ENI")
        self.scale(2)
        self.assertEqual((2, 1, 0), self.counts())
        message = self.messages()[0]
        self.assertIn("was unable to place a task because no container instance met all of its requirements.", message)
        self.assertIn('encountered error "RESOURCE:ENI"', message)
        told = [event["detail"] for event in self.events("ECS Service Action")]
        [failure] = {detail["reason"] for detail in told if detail["eventName"] == "SERVICE_TASK_PLACEMENT_FAILURE"}
        self.assertEqual("RESOURCE:ENI", failure)
        self.end()
        self.assertEqual((2, 2, 0), self.counts())


class Health(TroubleTest):
    def health(self):
        return sorted(task["healthStatus"] for task in self.tasks())

    def targets(self, group):
        described = self.client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        found = [each["TargetHealth"] for each in described]
        return sorted((each["State"], each.get("Reason")) for each in found)

    def test_health_is_unknown_without_a_check(self):
        self.make_service(count=1)
        self.assertEqual(["UNKNOWN"], self.health())
        self.register(healthCheck={"command": ["CMD", "true"]})
        self.ecs.update_service(cluster=CLUSTER, service="web", taskDefinition="web:2")
        self.assertEqual(["HEALTHY"], self.health())

    def test_what_replaces_an_unhealthy_task_is_as_it_was_arranged(self):
        self.make_service(count=2)
        self.trouble("unhealthy", running=True, times=1)
        tasks = self.tasks()
        self.assertEqual(["UNHEALTHY", "UNHEALTHY"], self.health())
        self.ecs.stop_task(cluster=CLUSTER, task=tasks[0]["taskArn"])
        self.assertEqual(["UNHEALTHY", "UNHEALTHY"], self.health())
        self.ecs.stop_task(cluster=CLUSTER, task=tasks[1]["taskArn"])
        self.assertEqual(["UNHEALTHY", "UNKNOWN"], self.health())

    def test_only_what_runs_now_may_be_unhealthy(self):
        self.make_service(count=1)
        self.trouble("unhealthy", running=True, times=0)
        [task] = self.tasks()
        self.assertEqual(["UNHEALTHY"], self.health())
        self.ecs.stop_task(cluster=CLUSTER, task=task["taskArn"])
        self.assertEqual(["UNKNOWN"], self.health())

    def test_a_single_task_may_be_unhealthy(self):
        self.make_service(count=2)
        self.control("ecs/tasks", cluster=CLUSTER, task=self.tasks()[0]["taskArn"], health_status="UNHEALTHY")
        self.assertEqual(["UNHEALTHY", "UNKNOWN"], self.health())

    def test_targets_are_unhealthy_for_a_reason(self):
        group = self.balanced_service()
        self.control("elbv2/target-health", target_group=group, state="unhealthy", reason="Target.Timeout")
        self.assertEqual([("unhealthy", "Target.Timeout")] * 2, self.targets(group))
        self.assertIn(f"is unhealthy in (target-group {group}) due to (reason Request timed out).", self.messages()[0])
        self.control("elbv2/target-health", target_group=group)
        self.assertEqual([("healthy", None)] * 2, self.targets(group))
        put = {"target_group": group, "state": "healthy", "reason": "Target.Timeout"}
        self.assertIn("no reason of healthy", self.control_refusal("elbv2/target-health", **put))

    def test_one_target_is_unhealthy_until_it_is_replaced(self):
        group = self.balanced_service()
        task = self.tasks()[0]["taskArn"]
        self.control("elbv2/target-health", target_group=group, state="unhealthy", task=task)
        self.assertEqual([("healthy", None), ("unhealthy", "Target.FailedHealthChecks")], self.targets(group))
        self.ecs.stop_task(cluster=CLUSTER, task=task)
        self.assertEqual([("healthy", None)] * 2, self.targets(group))

    def test_tasks_that_fail_health_checks_are_replaced_again_and_again(self):
        group = self.balanced_service()
        self.trouble("health-checks", task_definition=self.register())
        self.ecs.update_service(cluster=CLUSTER, service="web", taskDefinition="web:2")
        self.assertIn(("unhealthy", "Target.FailedHealthChecks"), self.targets(group))
        service = self.service()
        self.assertEqual(2, service["deployments"][0]["failedTasks"])
        stopped = self.tasks("STOPPED")[0]
        self.assertEqual(f"Task failed ELB health checks in (target-group {group})", stopped["stoppedReason"])
        self.assertEqual("ServiceSchedulerInitiated", stopped["stopCode"])
        self.assertEqual([("PRIMARY", "IN_PROGRESS", "2"), ("ACTIVE", "COMPLETED", "1")], self.deployments())


class Instances(TroubleTest):
    def setUp(self):
        super().setUp()
        self.control("settings", ecs_tasks_per_instance=2)
        self.make_group(desired=2)
        self.make_provider(managedScaling={"status": "DISABLED"})
        self.make_service(count=2)

    def instances(self):
        return sorted(self.container_instances(), key=lambda each: each["containerInstanceArn"])

    def update(self, instance, status):
        arns = [instance["containerInstanceArn"]]
        return self.ecs.update_container_instances_state(cluster=CLUSTER, containerInstances=arns, status=status)

    def test_an_agent_may_be_lost(self):
        lost = self.instances()[0]
        where = {"cluster": CLUSTER, "container_instance": lost["containerInstanceArn"]}
        self.control("ecs/container-instances", **where, agent_connected=False)
        found = self.instances()[0]
        self.assertEqual((False, "ACTIVE", 1), (found["agentConnected"], found["status"], found["runningTasksCount"]))
        detail = self.events("ECS Container Instance State Change")[-1]["detail"]
        self.assertEqual((False, lost["ec2InstanceId"]), (detail["agentConnected"], detail["ec2InstanceId"]))
        # Nothing is placed there.
        self.scale(3)
        self.control("settle")
        by_instance = {each["containerInstanceArn"]: each["runningTasksCount"] for each in self.container_instances()}
        self.assertEqual(1, by_instance[lost["containerInstanceArn"]])
        self.control("ecs/container-instances", **where, agent_connected=True)
        self.assertTrue(self.instances()[0]["agentConnected"])

    def test_tasks_leave_what_drains(self):
        draining = self.instances()[0]
        answer = self.update(draining, "DRAINING")
        self.assertEqual(["DRAINING"], [each["status"] for each in answer["containerInstances"]])
        self.control("settle")
        self.assertEqual([0, 2], sorted(each["runningTasksCount"] for each in self.instances()))
        self.assertEqual((2, 2, 0), self.counts())
        self.assertEqual("DRAINING", self.events("ECS Container Instance State Change")[-1]["detail"]["status"])
        self.update(draining, "ACTIVE")
        self.assertEqual(["ACTIVE", "ACTIVE"], [each["status"] for each in self.instances()])

    def test_tasks_stay_where_there_is_no_room_elsewhere(self):
        self.scale(4)
        self.control("settle")
        self.update(self.instances()[0], "DRAINING")
        self.control("settle")
        self.assertEqual((4, 4, 0), self.counts())
        self.assertEqual([2, 2], [each["runningTasksCount"] for each in self.instances()])

    def test_states_that_there_are_not_are_refused(self):
        self.assert_refused(
            "InvalidParameterException",
            self.ecs.update_container_instances_state,
            cluster=CLUSTER,
            containerInstances=["x"],
            status="REGISTERING",
        )
        missing = self.update({"containerInstanceArn": "nobody"}, "DRAINING")
        self.assertEqual(["MISSING"], [failure["reason"] for failure in missing["failures"]])

    def test_an_unhealthy_instance_is_replaced_and_the_new_one_registers(self):
        self.control("settings", autoscaling_polls=1, ecs_polls=1)
        sick = self.instances()[0]
        self.groups.set_instance_health(InstanceId=sick["ec2InstanceId"], HealthStatus="Unhealthy")
        health = {each["InstanceId"]: each["HealthStatus"] for each in self.group()["Instances"]}
        self.assertEqual("Unhealthy", health[sick["ec2InstanceId"]])
        self.assertIn("Terminating", self.states())
        self.control("settle")
        self.assertEqual(["InService", "InService"], self.states())
        ids = [each["ec2InstanceId"] for each in self.container_instances()]
        self.assertEqual(2, len(ids))
        self.assertNotIn(sick["ec2InstanceId"], ids)
        self.assertEqual((2, 2, 0), self.counts())
        statuses = [event["detail"]["status"] for event in self.events("ECS Container Instance State Change")]
        self.assertIn("INACTIVE", statuses)

    def test_a_grace_period_is_respected_unless_it_is_said_otherwise(self):
        self.resize(HealthCheckGracePeriod=300)
        instance = self.group()["Instances"][0]["InstanceId"]
        self.groups.set_instance_health(InstanceId=instance, HealthStatus="Unhealthy")
        self.assertIn(instance, [each["InstanceId"] for each in self.group()["Instances"]])
        self.groups.set_instance_health(
            InstanceId=instance, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
        )
        self.assertNotIn(instance, [each["InstanceId"] for each in self.group()["Instances"]])

    def test_nothing_is_replaced_while_that_is_suspended(self):
        self.groups.suspend_processes(AutoScalingGroupName="group", ScalingProcesses=["ReplaceUnhealthy"])
        instance = self.group()["Instances"][0]["InstanceId"]
        self.groups.set_instance_health(InstanceId=instance, HealthStatus="Unhealthy")
        self.control("settle")
        self.assertIn(instance, [each["InstanceId"] for each in self.group()["Instances"]])

    def test_an_instance_of_no_group_is_refused(self):
        wanted = {"InstanceId": "i-0123456789abcdef0", "HealthStatus": "Unhealthy"}
        self.assert_refused("ValidationError", self.groups.set_instance_health, **wanted)


if __name__ == "__main__":
    unittest.main()
