"""What the tests of scaling share: a group, a cluster with it as its capacity provider, and services."""

from support import AwsTest

CLUSTER = "main"


class ScalingTest(AwsTest):
    """A test of groups and services, in an account with a network and an empty cluster."""

    def setUp(self):
        super().setUp()
        self.groups, self.ecs = self.client("autoscaling"), self.client("ecs")
        self.network = self.control("network")
        self.ecs.create_cluster(clusterName=CLUSTER)
        self.ecs.register_task_definition(
            family="web", containerDefinitions=[{"name": "web", "image": "example.com/web:1", "memory": 128}]
        )

    def make_group(self, name="group", smallest=0, largest=10, desired=2, user_data="", **more):
        self.groups.create_launch_configuration(
            LaunchConfigurationName=name, ImageId="ami-12c6146b", InstanceType="t3.medium", UserData=user_data
        )
        self.groups.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchConfigurationName=name,
            MinSize=smallest,
            MaxSize=largest,
            DesiredCapacity=desired,
            VPCZoneIdentifier=self.network["private_subnets"][0],
            **more,
        )

    def make_provider(self, name="group", **more):
        """Let a group be the capacity of the cluster, with managed scaling unless it is said otherwise."""
        settings = {"managedScaling": {"status": "ENABLED", "targetCapacity": 100}, **more}
        arn = self.group(name)["AutoScalingGroupARN"]
        self.ecs.create_capacity_provider(
            name=f"of-{name}", autoScalingGroupProvider={"autoScalingGroupArn": arn, **settings}
        )
        self.ecs.put_cluster_capacity_providers(
            cluster=CLUSTER,
            capacityProviders=[f"of-{name}"],
            defaultCapacityProviderStrategy=[{"capacityProvider": f"of-{name}", "weight": 1}],
        )

    def group(self, name="group"):
        [group] = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return group

    def resize(self, name="group", **sizes):
        self.groups.update_auto_scaling_group(AutoScalingGroupName=name, **sizes)

    def sizes(self, name="group"):
        """Minimum, desired capacity and maximum."""
        group = self.group(name)
        return group["MinSize"], group["DesiredCapacity"], group["MaxSize"]

    def states(self, name="group"):
        """The lifecycle states of the instances, sorted."""
        return sorted(instance["LifecycleState"] for instance in self.group(name)["Instances"])

    def make_service(self, name="web", count=1, **more):
        more = {"taskDefinition": "web", "desiredCount": count, **more}
        return self.ecs.create_service(cluster=CLUSTER, serviceName=name, **more)["service"]

    def scale(self, count, name="web"):
        return self.ecs.update_service(cluster=CLUSTER, service=name, desiredCount=count)["service"]

    def counts(self, name="web"):
        """Desired, running and pending tasks."""
        [service] = self.ecs.describe_services(cluster=CLUSTER, services=[name])["services"]
        return service["desiredCount"], service["runningCount"], service["pendingCount"]

    def container_instances(self):
        arns = self.ecs.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]
        if not arns:
            return []
        return self.ecs.describe_container_instances(cluster=CLUSTER, containerInstances=arns)["containerInstances"]
