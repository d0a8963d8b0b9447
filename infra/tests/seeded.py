"""The sandbox's seeded system is the one that architecture.yaml declares, but for what is listed here with its reason.

Every property of every resource that the template makes with its defaults and an image is looked up in the seeded
account. `tests/sandbox/tests/the_reference_system_is_the_template.rs` seeds it and runs this with the account in its
environment; run alone, it has no account to look at.

    python -m unittest seeded
"""

import json
import re
import unittest

import boto3
from template import PSEUDO, Stack, load

STACK = Stack(load("architecture.yaml"), ImageTag="v1")

# Types of which the seed has none, and why.
NOT_SEEDED = {
    "AWS::CloudWatch::CompositeAlarm": "no function of today reads one",
    "AWS::CloudWatch::Dashboard": "for people only",
    "AWS::EC2::LaunchTemplate": "the group has a launch configuration; instances of the sandbox do nothing",
    "AWS::EC2::NetworkAcl": "no packet is sent in the sandbox",
    "AWS::EC2::NetworkAclEntry": "the same",
    "AWS::EC2::SubnetNetworkAclAssociation": "the same",
    "AWS::EC2::SecurityGroupEgress": "the same; what may come in is compared",
    "AWS::EC2::Route": "the same",
    "AWS::EC2::RouteTable": "the same",
    "AWS::EC2::SubnetRouteTableAssociation": "the same",
    "AWS::EC2::InternetGateway": "the same",
    "AWS::EC2::VPCGatewayAttachment": "the same",
    "AWS::IAM::InstanceProfile": "nobody assumes roles of the system in the sandbox",
    "AWS::IAM::Role": "the same",
    "AWS::KMS::Alias": "the sandbox encrypts nothing",
    "AWS::KMS::Key": "the same",
    "AWS::Logs::MetricFilter": "the sandbox's services log nothing",
    "AWS::RDS::DBParameterGroup": "the database of the sandbox is never connected to",
    "AWS::SecretsManager::SecretTargetAttachment": "the secret holds nothing secret and nothing real",
}
# Resources of which the seed has none, although it has others of their type.
NOT_SEEDED_BY_NAME = {
    "DatabaseLogs": "the sandbox's database logs nothing",
    "ErrorLinesAlarm": "counts log lines, of which there are none",
    "InstanceGroup": "instances and tasks share the group of the service",
    "TasksMissingAlarm": "metric math, which the sandbox's CloudWatch does not evaluate",
}
# Properties that differ or are missing, as the seed has them (None: not there), and why.
DIFFERENT = {
    # Everything.
    "*.Tags": "the seed is found by its names",
    "*.KmsKeyId": "the sandbox encrypts nothing",
    "*.AlarmDescription": "for people",
    "*.TreatMissingData": "the sandbox evaluates no alarm by itself",
    # Network: the groups are named after what they are for.
    "*Group.GroupDescription": "words",
    "*Group.SecurityGroupEgress": "no packet is sent in the sandbox",
    "Vpc.EnableDns*": "the same",
    "*Subnet?.AvailabilityZone": "a choice at deployment; the seed has two zones as well",
    "LoadBalancer.LoadBalancerAttributes": "the sandbox's load balancer forwards nothing",
    "TargetGroup.TargetGroupAttributes": "the same",
    "Cluster.ClusterSettings": "no insights of containers that do nothing",
    # Capacity.
    "AutoScalingGroup.MixedInstancesPolicy": "a launch configuration with the same first instance type",
    "AutoScalingGroup.MaxInstanceLifetime": "instances of the sandbox do not age",
    "AutoScalingGroup.CapacityRebalance": "there is no Spot in the sandbox",
    "CapacityProvider.AutoScalingGroupProvider.ManagedScaling.InstanceWarmupPeriod": "nothing scales by itself",
    "CapacityProvider.AutoScalingGroupProvider.ManagedDraining": "the same",
    # Application: the seed tells stories of images, and its families are named after their services.
    "TaskDefinition.Family": "web, like worker, reports and batch, which the template does not have",
    "TaskDefinition.*RoleArn": "nobody assumes roles of the system in the sandbox",
    "TaskDefinition.ContainerDefinitions.0.Image": "the story's own release",
    "TaskDefinition.ContainerDefinitions.0.VersionConsistency": "enabled is AWS's default",
    "TaskDefinition.ContainerDefinitions.0.PortMappings.0.Protocol": "tcp is AWS's default",
    "TaskDefinition.ContainerDefinitions.0.ReadonlyRootFilesystem": "no container runs in the sandbox",
    "TaskDefinition.ContainerDefinitions.0.LinuxParameters": "the same",
    "TaskDefinition.ContainerDefinitions.0.Environment": "the same",
    "TaskDefinition.ContainerDefinitions.0.Secrets": "one secret by reference, as tests need",
    "TaskDefinition.ContainerDefinitions.0.HealthCheck": "no container runs in the sandbox",
    "TaskDefinition.ContainerDefinitions.0.LogConfiguration.Options.mode": "the same",
    "TaskDefinition.ContainerDefinitions.0.LogConfiguration.Options.max-buffer-size": "the same",
    "TaskDefinition.ContainerDefinitions.0.LogConfiguration.Options.awslogs-region": "the Region of the sandbox",
    "Service.TaskDefinition": "the story's own, in the middle of a deployment",
    "Service.AvailabilityZoneRebalancing": "tasks of the sandbox have no instances",
    "Service.PlacementStrategies": "the same",
    "Service.DeploymentConfiguration": "the seeded services have no circuit breaker",
    "Service.EnableECSManagedTags": "the seed is found by its names",
    "Service.PropagateTags": "the same",
    # Database.
    "Database.EngineVersion": "15.4 as in the overview; the template takes no version that RDS has deprecated",
    "Database.MasterUserPassword": "managed by RDS in the sandbox, so that no secret is written",
    "Database.DBParameterGroupName": "the database of the sandbox is never connected to",
    "Database.EnableCloudwatchLogsExports": "the same",
    "Database.AllowMajorVersionUpgrade": "a setting of a change, which no describe answers",
    "Database.DeleteAutomatedBackups": "a setting of the deletion, which no describe answers",
    "Database.Preferred*Window": "a choice at deployment",
    "DatabaseSubnets.DBSubnetGroupDescription": "words",
    # Images and secrets: the repositories' stories need tags that move.
    "Repository.ImageTagMutability": "stories of tags that move need MUTABLE; other tests cover IMMUTABLE",
    "Repository.LifecyclePolicy": "so that nothing but image-pruning is about to remove images",
    "*Secret.Description": "words",
    "*Secret.GenerateSecretString": "nothing secret in a sandbox",
    "*Secret.SecretString": "the same",
}


def aws(service):
    return boto3.client(service)


def flat(node, path=""):
    """Leaves by their path. Lists of texts stay whole: their order means nothing."""
    if isinstance(node, dict):
        pairs = node.items()
    elif isinstance(node, list) and any(isinstance(each, (dict, list)) for each in node):
        pairs = enumerate(node)
    else:
        yield path, sorted(map(plain, node)) if isinstance(node, list) else plain(node)
        return
    for key, value in pairs:
        yield from flat(value, f"{path}.{key}" if path else str(key))


def plain(value):
    """As text: CloudFormation takes numbers and truth either way."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def declared(node, known):
    """A resource's properties with parameters in place, and references as the seed's own ids."""
    if isinstance(node, list):
        return [declared(each, known) for each in node]
    if not isinstance(node, dict):
        return node
    if set(node) <= {"Ref", "Fn::Sub", "Fn::GetAtt"}:
        return re.sub(r"\$\{([^}]+)\}", lambda name: known.get(name[1], name[0]), STACK.text(node))
    if set(node) == {"Fn::Select"}:
        number, of = node["Fn::Select"]
        if set(of) == {"Fn::Cidr"}:
            # The /24s of a /16, in order.
            return re.sub(r"\.0\.0/16$", f".{number}.0/24", of["Fn::Cidr"][0])
    return {key: declared(value, known) for key, value in node.items()}


def as_cloudformation(node):
    """What ECS, ECR and Logs answer, with the first letters that CloudFormation writes."""
    if isinstance(node, list):
        return [as_cloudformation(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key if key == "options" else key[0].upper() + key[1:]: as_cloudformation(value) for key, value in node.items()
    } | ({"Options": node["options"]} if "options" in node else {})


class Seeded:
    """What there is, by the template's names, in the form of the template's properties."""

    def __init__(self):
        self.seen = {}
        self.known = {"AWS::AccountId": aws("sts").get_caller_identity()["Account"]}
        self._network()
        self._load_balancer()
        self._capacity()
        self._database()
        self._application()
        self._rest()

    def _network(self):
        ec2 = aws("ec2")
        for vpc in ec2.describe_vpcs()["Vpcs"]:
            if vpc["CidrBlock"] == "10.0.0.0/16":
                self.seen["Vpc"], self.known["Vpc"] = vpc, vpc["VpcId"]
        blocks = {subnet["CidrBlock"]: subnet for subnet in ec2.describe_subnets()["Subnets"]}
        for number, name in enumerate(("PublicSubnet1", "PublicSubnet2", "PrivateSubnet1", "PrivateSubnet2"), 1):
            self.seen[name] = blocks[f"10.0.{number}.0/24"]
            self.known[name] = self.seen[name]["SubnetId"]
        groups = {
            group["GroupName"]: group
            for group in ec2.describe_security_groups()["SecurityGroups"]
            if group["VpcId"] == self.known["Vpc"]
        }
        for name, of in (("LoadBalancerGroup", "alb"), ("TaskGroup", "service"), ("DatabaseGroup", "database")):
            self.seen[name] = groups[of]
            self.known[name] = self.known[f"{name}.GroupId"] = groups[of]["GroupId"]
        self.ingress = {
            (group["GroupId"], rule["FromPort"], rule["ToPort"], source)
            for group in groups.values()
            for rule in group["IpPermissions"]
            if "FromPort" in rule
            for source in [each["CidrIp"] for each in rule["IpRanges"]]
            + [each["GroupId"] for each in rule["UserIdGroupPairs"]]
        }

    def _load_balancer(self):
        elb = aws("elbv2")
        (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
        (group,) = elb.describe_target_groups()["TargetGroups"]
        (listener,) = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
        self.seen["LoadBalancer"] = balancer | {
            "Name": balancer["LoadBalancerName"],
            "Subnets": [zone["SubnetId"] for zone in balancer["AvailabilityZones"]],
        }
        self.seen["TargetGroup"] = group | {"Name": group["TargetGroupName"]}
        self.seen["HttpListener"] = listener
        self.known["LoadBalancer"] = balancer["LoadBalancerArn"]
        self.known["LoadBalancer.LoadBalancerFullName"] = balancer["LoadBalancerArn"].split("loadbalancer/")[1]
        self.known["TargetGroup"] = group["TargetGroupArn"]
        self.known["TargetGroup.TargetGroupFullName"] = group["TargetGroupArn"].split(":")[-1]

    def _capacity(self):
        (group,) = aws("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        self.seen["AutoScalingGroup"] = group | {"VPCZoneIdentifier": group["VPCZoneIdentifier"].split(",")}
        self.known["AutoScalingGroup"] = group["AutoScalingGroupARN"]
        ecs = aws("ecs")
        (cluster,) = ecs.describe_clusters(clusters=["shop"])["clusters"]
        (provider,) = ecs.describe_capacity_providers(capacityProviders=cluster["capacityProviders"])[
            "capacityProviders"
        ]
        self.seen["Cluster"] = as_cloudformation(cluster)
        self.seen["ClusterCapacity"] = as_cloudformation(cluster) | {"Cluster": cluster["clusterName"]}
        self.seen["CapacityProvider"] = as_cloudformation(provider)
        self.known |= {"Cluster": cluster["clusterName"], "CapacityProvider": provider["name"]}

    def _database(self):
        rds = aws("rds")
        (database,) = rds.describe_db_instances()["DBInstances"]
        group = database["DBSubnetGroup"]
        self.known |= {"Database": database["DBInstanceIdentifier"], "DatabaseSubnets": group["DBSubnetGroupName"]}
        self.seen["Database"] = database | {
            "Port": database["Endpoint"]["Port"],
            "DBSubnetGroupName": group["DBSubnetGroupName"],
            "VPCSecurityGroups": [each["VpcSecurityGroupId"] for each in database["VpcSecurityGroups"]],
        }
        self.seen["DatabaseSubnets"] = group | {"SubnetIds": [each["SubnetIdentifier"] for each in group["Subnets"]]}

    def _application(self):
        ecs = aws("ecs")
        (service,) = ecs.describe_services(cluster="shop", services=["web"])["services"]
        self.seen["Service"] = as_cloudformation(service) | {"Cluster": service["clusterArn"].split("/")[-1]}
        self.known["Service.Name"] = service["serviceName"]
        definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
        self.seen["TaskDefinition"] = as_cloudformation(definition)
        scaling = aws("application-autoscaling")
        (target,) = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
        self.seen["ServiceScaling"] = target
        self.known["ServiceScaling"] = target["ResourceId"]
        policies = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
        for name in ("ScaleOnCpu", "ScaleOnMemory"):
            for policy in policies:
                if policy["PolicyName"] == STACK.resources[name]["Properties"]["PolicyName"]:
                    self.seen[name] = policy | {"ScalingTargetId": policy["ResourceId"]}

    def _rest(self):
        ecr = aws("ecr")
        (repository,) = ecr.describe_repositories(repositoryNames=["shop/web"])["repositories"]
        self.seen["Repository"] = as_cloudformation(repository)
        secrets = {secret["Name"]: secret for secret in aws("secretsmanager").list_secrets()["SecretList"]}
        for name, of in (("DatabaseSecret", "shop/database"), ("SettingsSecret", "shop/settings")):
            if of in secrets:
                self.seen[name] = secrets[of]
        for group in aws("logs").describe_log_groups(logGroupNamePrefix="/ecs/shop")["logGroups"]:
            self.seen["ApplicationLogs"] = as_cloudformation(group)
            self.known["ApplicationLogs"] = group["logGroupName"]
        self.alarms = {}
        for page in aws("cloudwatch").get_paginator("describe_alarms").paginate():
            for alarm in page["MetricAlarms"]:
                self.alarms[alarm["AlarmName"]] = alarm
        for name, alarm in STACK.of_type("AWS::CloudWatch::Alarm").items():
            found = self.alarms.get(STACK.text(alarm["AlarmName"]))
            if found:
                self.seen[name] = found


def matches(pattern, path):
    """Whether a listed difference is about a property, or about one that this is in."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".") + r"(\..*)?", path)


class TheSeed(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.seeded = Seeded()
        cls.resources = {
            name: resource
            for name, resource in STACK.resources.items()
            if resource["Type"] not in NOT_SEEDED and name not in NOT_SEEDED_BY_NAME
        }

    def differences(self):
        """Every property that is not as it is declared: (path, declared, seeded)."""
        for name, resource in self.resources.items():
            if resource["Type"] == "AWS::EC2::SecurityGroupIngress":
                continue
            if name not in self.seeded.seen:
                yield name, resource["Type"], None
                continue
            seen = dict(flat(self.seeded.seen[name]))
            for path, value in flat(declared(resource["Properties"], self.seeded.known)):
                # What is given as a list may be answered as one of texts, and in another order.
                if seen.get(path) != value:
                    yield f"{name}.{path}", value, seen.get(path)

    def test_it_has_what_the_template_declares(self):
        unlisted = [
            difference
            for difference in self.differences()
            if not any(matches(pattern, difference[0]) for pattern in DIFFERENT)
        ]
        self.assertEqual(unlisted, [], "(property, declared, seeded)")

    def test_no_difference_is_listed_that_there_is_not(self):
        found = [path for path, _, _ in self.differences()]
        idle = [pattern for pattern in DIFFERENT if not any(matches(pattern, path) for path in found)]
        self.assertEqual(idle, [])
        types = {resource["Type"] for resource in STACK.resources.values()}
        self.assertEqual(set(NOT_SEEDED) - types, set())
        self.assertEqual(set(NOT_SEEDED_BY_NAME) - set(STACK.resources), set())
        self.assertEqual([name for name in NOT_SEEDED_BY_NAME if name in self.seeded.seen], [])

    def test_traffic_comes_in_where_the_template_lets_it(self):
        group = "AWS::EC2::SecurityGroupIngress"
        ingress = set()
        for name, resource in self.resources.items():
            if resource["Type"] == group:
                rule = declared(resource["Properties"], self.seeded.known)
                source = rule.get("CidrIp") or rule["SourceSecurityGroupId"]
                ingress.add((rule["GroupId"], int(rule["FromPort"]), int(rule["ToPort"]), source))
        # HTTPS is open before there is a certificate; nothing listens.
        https = {(self.seeded.known["LoadBalancerGroup"], 443, 443, "0.0.0.0/0")}
        self.assertEqual(self.seeded.ingress, ingress | https)

    def test_every_alarm_of_the_seed_is_one_of_the_template(self):
        # Target tracking has made alarms of its own, as it does on AWS.
        own = {name for name in self.seeded.alarms if not name.startswith("TargetTracking")}
        template = {STACK.text(alarm["AlarmName"]) for alarm in STACK.of_type("AWS::CloudWatch::Alarm").values()}
        self.assertLessEqual(own, template)

    def test_what_there_is_beside_is_told(self):
        """The stories of images need more than the one service that the template declares."""
        clusters = aws("ecs").list_services(cluster="shop")["serviceArns"]
        self.assertEqual({arn.split("/")[-1] for arn in clusters}, {"web", "worker", "reports"})
        names = {each["repositoryName"] for each in aws("ecr").describe_repositories()["repositories"]}
        self.assertEqual(
            names,
            {"shop/web", "shop/worker", "shop/reports", "shop/batch", "shop/admin", "thumbnails", "tools/base"},
        )
        self.assertEqual([rule["Name"] for rule in aws("events").list_rules()["Rules"]], ["shop-batch-nightly"])
        functions = aws("lambda").list_functions()["Functions"]
        self.assertEqual([each["FunctionName"] for each in functions], ["thumbnails"])


if __name__ == "__main__":
    unittest.main()
