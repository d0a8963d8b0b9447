"""architecture.yaml holds what its README promises, under every combination of its switches that its rules allow."""

import ipaddress
import itertools
import json
import re
import unittest

from template import INFRA, Refused, Stack, load

TEMPLATE = load("architecture.yaml")

CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/0a1b"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:steward"
DOMAIN = {"DomainName": "shop.example.com", "HostedZoneId": "Z0123456789"}
RECOVERY = {"RecoveryRegion": "eu-west-1", "RecoveryLoadBalancer": "shop-1.eu-west-1.elb.amazonaws.com"}
SWITCHES = (
    ({}, {"Role": "recovery"}, {"Role": "recovery", "FailedOver": "yes"}),
    (
        {},
        RECOVERY,
        RECOVERY | {"RecoveryKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/0a1b", "ReplicateImages": "false"},
    ),
    ({}, {"CertificateArn": CERTIFICATE}),
    ({}, DOMAIN),
    ({}, {"NatGateways": "one"}, {"NatGateways": "one-per-zone"}),
    ({}, {"ImageTag": "v1"}),
    ({}, {"AlarmTopicArn": TOPIC, "AccessLogsBucket": "logs", "SessionManager": "true", "ContainerHealthCheck": ""}),
)


def shop(**given):
    return Stack(TEMPLATE, **given)


def allowed_combinations():
    for chosen in itertools.product(*SWITCHES):
        given = {name: value for switch in chosen for name, value in switch.items()}
        try:
            yield given, shop(**given)
        except Refused:
            continue


class Combinations(unittest.TestCase):
    def test_whatever_is_referred_to_exists(self):
        tried = 0
        for given, stack in allowed_combinations():
            with self.subTest(**given):
                self.assertEqual(stack.dangling(), [])
            tried += 1
        # 2 x 2 x 3 x 2 for each of: both recovery roles, and the primary with its recovery, its key, neither, each with
        # and without an image.
        self.assertEqual(tried, 24 * (2 + 3 * 2))

    def test_wrong_combinations_are_refused_with_a_reason(self):
        for given, reason in (
            ({"Role": "recovery", "ImageTag": "v1"}, "leave ImageTag empty"),
            ({"Role": "recovery", "RecoveryRegion": "eu-west-1"}, "leave RecoveryRegion empty"),
            ({"FailedOver": "yes"}, "said to the recovery stack"),
            ({"RecoveryRegion": "eu-central-1"}, "another Region"),
            ({"RecoveryLoadBalancer": RECOVERY["RecoveryLoadBalancer"]}, "go with a RecoveryRegion"),
            ({"RecoveryRegion": "eu-west-1"} | DOMAIN, "give RecoveryLoadBalancer"),
            ({"DomainName": "shop.example.com"}, "both DomainName and HostedZoneId"),
            ({"HostedZoneId": "Z0123456789"}, "both DomainName and HostedZoneId"),
            ({"VpcCidr": "10.0.0.0/24"}, "a private /16"),
            ({"VpcCidr": "11.0.0.0/16"}, "a private /16"),
            ({"CertificateArn": "shop.example.com"}, "ARN of an ACM certificate"),
            ({"DomainName": "https://shop.example.com/"}, "a domain name in lower case"),
            ({"RecoveryLoadBalancer": "http://" + RECOVERY["RecoveryLoadBalancer"]}, "no scheme"),
            ({"DatabaseEngineVersion": "16.4"}, "PostgreSQL 15"),
            ({"DatabaseEngineVersion": "15"}, "with its minor version"),
            ({"ImageTag": "shop/web:v1"}, "a tag of the repository"),
            ({"SystemName": "Shop"}, "lower-case letters"),
            ({"SpotPercentage": "10"}, "AllowedValues"),
            ({"DatabaseBackupDays": "0"}, "MinValue"),
        ):
            with self.subTest(**given), self.assertRaises(Refused) as refused:
                shop(**given)
            self.assertIn(reason, str(refused.exception))

    def test_the_readme_tells_every_parameter_and_no_other(self):
        table = (INFRA / "README.md").read_text().split("## Parameters", 1)[1].split("\n## ", 1)[0]
        names = [
            name
            for row in table.splitlines()
            if row.startswith("| `")
            for name in re.findall(r"`(\w+)`", row.split("|")[1])
        ]
        self.assertEqual(sorted(names), sorted(TEMPLATE["Parameters"]))

    def test_what_the_linter_skips_is_explained(self):
        for name, resource in TEMPLATE["Resources"].items():
            for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
                self.assertGreater(len(skip["comment"].split()), 4, f"{name} {skip['id']}")

    def test_a_recovery_is_the_primary_without_what_a_restore_brings(self):
        primary, recovery = shop(ImageTag="v1"), shop(Role="recovery")
        self.assertEqual(
            set(primary.resources) - set(recovery.resources),
            {
                "Database",
                "DatabaseLogs",
                "DatabaseSecret",
                "DatabaseSecretAttachment",
                "SettingsSecret",
                "Service",
                "TaskDefinition",
                "ServiceScaling",
                "ScaleOnCpu",
                "ScaleOnMemory",
                "TasksMissingAlarm",
                "ServiceCpuAlarm",
                "ServiceMemoryAlarm",
                "DatabaseCpuAlarm",
                "DatabaseConnectionsAlarm",
                "DatabaseStorageAlarm",
                "DatabaseMemoryAlarm",
            },
        )
        self.assertEqual(set(recovery.resources) - set(primary.resources), {"FailedOverAnswer"})
        self.assertEqual(recovery.resources["AutoScalingGroup"]["Properties"]["MinSize"], 0)

    def test_traffic_moves_only_when_the_recovery_says_so(self):
        primary, recovery = shop(**RECOVERY, **DOMAIN), shop(Role="recovery", **DOMAIN)
        first, second = (stack.resources["DomainRecord"]["Properties"] for stack in (primary, recovery))
        self.assertEqual((first["Failover"], second["Failover"]), ("PRIMARY", "SECONDARY"))
        self.assertNotEqual(primary.text(first["SetIdentifier"]), recovery.text(second["SetIdentifier"]))
        self.assertEqual(first["HealthCheckId"], {"Ref": "NotFailedOver"})
        # Neither record is judged by its targets: a sick primary alone moves nothing.
        self.assertFalse(first["AliasTarget"]["EvaluateTargetHealth"] or second["AliasTarget"]["EvaluateTargetHealth"])
        check = primary.resources["NotFailedOver"]["Properties"]["HealthCheckConfig"]
        self.assertTrue(check["Inverted"])
        for said, moves in (("no", False), ("yes", True)):
            stack = shop(Role="recovery", FailedOver=said)
            rule = stack.resources["FailedOverAnswer"]["Properties"]
            answer = rule["Actions"][0]["FixedResponseConfig"]
            self.assertEqual(rule["Conditions"][0]["PathPatternConfig"]["Values"], [check["ResourcePath"]])
            self.assertEqual(answer["StatusCode"], "200")
            self.assertEqual(check["SearchString"] in stack.text(answer["MessageBody"]), moves)
        alone = shop(**DOMAIN).resources["DomainRecord"]["Properties"]
        self.assertFalse({"Failover", "SetIdentifier", "HealthCheckId"} & set(alone))


class Network(unittest.TestCase):
    FLOWS = {
        ("internet", "LoadBalancerGroup", 80),
        ("LoadBalancerGroup", "TaskGroup", 3000),
        ("TaskGroup", "DatabaseGroup", 5432),
        ("InstanceGroup", "internet", 443),
    }

    def flows(self, stack):
        """Who may open a connection to whom, as security groups say it; both ends must agree."""
        into, out_of = set(), set()
        for rule in stack.of_type("AWS::EC2::SecurityGroupIngress").values():
            self.assertEqual((rule["IpProtocol"], rule["FromPort"]), ("tcp", rule["ToPort"]))
            source = "internet" if rule.get("CidrIp") == "0.0.0.0/0" else rule["SourceSecurityGroupId"]["Ref"]
            into.add((source, rule["GroupId"]["Ref"], rule["FromPort"]))
        for rule in stack.of_type("AWS::EC2::SecurityGroupEgress").values():
            self.assertEqual((rule["IpProtocol"], rule["FromPort"]), ("tcp", rule["ToPort"]))
            to = "internet" if rule.get("CidrIp") == "0.0.0.0/0" else rule["DestinationSecurityGroupId"]["Ref"]
            out_of.add((rule["GroupId"]["Ref"], to, rule["FromPort"]))
        both_ends = [{flow for flow in side if "internet" not in flow} for side in (into, out_of)]
        self.assertEqual(both_ends[0], both_ends[1], "one end is shut")
        for group in stack.of_type("AWS::EC2::SecurityGroup").values():
            self.assertNotIn("SecurityGroupIngress", group)
            self.assertEqual([rule["CidrIp"] for rule in group["SecurityGroupEgress"]], ["127.0.0.1/32"])
        return into | out_of

    def test_only_the_flows_drawn_are_open(self):
        self.assertEqual(self.flows(shop()), self.FLOWS)
        self.assertEqual(
            self.flows(shop(CertificateArn=CERTIFICATE)), self.FLOWS | {("internet", "LoadBalancerGroup", 443)}
        )
        self.assertEqual(self.flows(shop(NatGateways="one")), self.FLOWS | {("TaskGroup", "internet", 443)})

    def test_network_acls_let_every_flow_and_its_answers_through(self):
        for given in ({}, {"CertificateArn": CERTIFICATE}, {"NatGateways": "one"}, {"NatGateways": "one-per-zone"}):
            stack = shop(**given)
            inner = "private" if "NatGateways" in given else "public"
            at = {
                "LoadBalancerGroup": ("public", "10.0.1.9", (1024, 65535)),
                "TaskGroup": (inner, "10.0.3.9" if inner == "private" else "10.0.2.9", (32768, 60999)),
                "InstanceGroup": (inner, "10.0.4.9" if inner == "private" else "10.0.1.8", (32768, 60999)),
                "DatabaseGroup": ("private", "10.0.4.7", (32768, 60999)),
                "internet": (None, "198.51.100.7", (1024, 65535)),
            }
            for source, to, port in self.flows(stack):
                (net, address, calling), (far_net, far_address, _) = at[source], at[to]
                with self.subTest(source=source, to=to, port=port, **given):
                    self.passes(stack, net, "out", far_address, (port, port))
                    self.passes(stack, far_net, "in", address, (port, port))
                    self.passes(stack, far_net, "out", address, calling)
                    self.passes(stack, net, "in", far_address, calling)
            # Through NAT: the gateway stands in a public subnet and calls from any high port.
            if inner == "private":
                self.passes(stack, "public", "in", "10.0.3.9", (1024, 65535))
                self.passes(stack, "public", "out", "198.51.100.7", (443, 443))
                self.passes(stack, "public", "in", "198.51.100.7", (1024, 65535))
                self.passes(stack, "public", "out", "10.0.3.9", (1024, 65535))

    def passes(self, stack, net, way, peer, ports):
        if net is None:
            return
        for entry in stack.of_type("AWS::EC2::NetworkAclEntry").values():
            self.assertEqual(entry["RuleAction"], "allow")
            of = {"PublicAcl": "public", "PrivateAcl": "private"}[entry["NetworkAclId"]["Ref"]]
            towards = "out" if entry.get("Egress") else "in"
            if (of, towards, entry["Protocol"]) != (net, way, 6):
                continue
            open_ports = entry["PortRange"]
            if (
                ipaddress.ip_address(peer) in ipaddress.ip_network(entry["CidrBlock"])
                and open_ports["From"] <= ports[0]
                and ports[1] <= open_ports["To"]
            ):
                return
        self.fail(f"the {net} network ACL stops {way} {peer} ports {ports}")

    def test_nothing_reaches_the_private_subnets_from_outside_without_nat(self):
        outside = [
            entry
            for entry in shop().of_type("AWS::EC2::NetworkAclEntry").values()
            if entry["NetworkAclId"]["Ref"] == "PrivateAcl"
            and entry["Protocol"] == 6
            and entry["CidrBlock"] != "10.0.0.0/16"
        ]
        self.assertEqual(outside, [])
        self.assertEqual(
            [route["RouteTableId"]["Ref"] for route in shop().of_type("AWS::EC2::Route").values()], ["PublicRoutes"]
        )

    def test_the_database_is_private_and_the_load_balancer_public(self):
        stack = shop()
        private, public = ([{"Ref": f"{kind}Subnet{zone}"} for zone in (1, 2)] for kind in ("Private", "Public"))
        self.assertEqual(stack.resources["DatabaseSubnets"]["Properties"]["SubnetIds"], private)
        self.assertEqual(stack.resources["LoadBalancer"]["Properties"]["Subnets"], public)
        self.assertFalse(stack.resources["Database"]["Properties"]["PubliclyAccessible"])
        zones = {
            name: subnet["AvailabilityZone"]["Fn::Select"][0]
            for name, subnet in stack.of_type("AWS::EC2::Subnet").items()
        }
        self.assertEqual(zones, {"PublicSubnet1": 0, "PublicSubnet2": 1, "PrivateSubnet1": 0, "PrivateSubnet2": 1})


class Application(unittest.TestCase):
    def test_the_first_deployment_needs_no_image(self):
        before, after = shop(), shop(ImageTag="v1")
        self.assertEqual(before.resources["Service"]["Properties"]["DesiredCount"], 0)
        self.assertEqual(before.of_type("AWS::ApplicationAutoScaling::ScalableTarget"), {})
        # Afterwards scaling owns the count; a template that names one sets it back with every update.
        self.assertNotIn("DesiredCount", after.resources["Service"]["Properties"])
        scaling = after.resources["ServiceScaling"]["Properties"]
        self.assertEqual((scaling["MinCapacity"], scaling["MaxCapacity"]), ("2", "10"))
        image = after.resources["TaskDefinition"]["Properties"]["ContainerDefinitions"][0]["Image"]
        self.assertEqual(after.text(image), "${Repository.RepositoryUri}:v1")

    def test_tasks_fit_the_instances_also_while_a_deployment_doubles_them(self):
        stack = shop(ImageTag="v1")
        # Elastic network interfaces of a t3.medium: 3, one of them its own; T3 has no trunking.
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AvailableIpPerENI.html
        interfaces, cpu, memory = 3 - 1, 2048, 3800
        self.assertEqual(stack.parameters["InstanceType"], "t3.medium")
        task, service = (stack.resources[name]["Properties"] for name in ("TaskDefinition", "Service"))
        per_instance = min(interfaces, cpu // int(task["Cpu"]), memory // int(task["Memory"]))
        doubling = service["DeploymentConfiguration"]["MaximumPercent"] / 100
        for tasks, instances in (("MinTasks", "MinInstances"), ("MaxTasks", "MaxInstances")):
            self.assertLessEqual(
                int(stack.parameters[tasks]) * doubling, int(stack.parameters[instances]) * per_instance
            )

    def test_no_secret_is_written_anywhere(self):
        for _, stack in allowed_combinations():
            if stack.parameters["Role"] == "recovery":
                self.assertEqual(stack.of_type("AWS::SecretsManager::Secret"), {})
                continue
            password = stack.resources["Database"]["Properties"]["MasterUserPassword"]
            self.assertEqual(stack.text(password), "{{resolve:secretsmanager:${DatabaseSecret}:SecretString:password}}")
            container = stack.resources["TaskDefinition"]["Properties"]["ContainerDefinitions"][0]
            self.assertEqual(
                {variable["Name"] for variable in container["Environment"]},
                {"PORT", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME"},
            )
            self.assertEqual(
                {secret["Name"]: stack.text(secret["ValueFrom"]) for secret in container["Secrets"]},
                {
                    "DATABASE_USERNAME": "${DatabaseSecret}:username::",
                    "DATABASE_PASSWORD": "${DatabaseSecret}:password::",
                    "SETTINGS": "${SettingsSecret}",
                },
            )
            for name, secret in stack.of_type("AWS::SecretsManager::Secret").items():
                self.assertEqual(secret.get("SecretString", "{}"), "{}", name)
            # Resolved by CloudFormation, the reference would be plain text anywhere else.
            self.assertEqual(json.dumps([stack.resources, stack.outputs]).count("{{resolve:"), 1)

    def test_what_cannot_be_made_again_outlives_the_stack(self):
        resources = shop().resources
        kept = {
            name: resource["DeletionPolicy"] for name, resource in resources.items() if "DeletionPolicy" in resource
        }
        self.assertEqual(
            kept,
            {
                "Database": "Snapshot",
                **dict.fromkeys(("DataKey", "DatabaseSecret", "SettingsSecret", "Repository"), "RetainExceptOnCreate"),
            },
        )
        for name in kept:
            self.assertIn(resources[name]["UpdateReplacePolicy"], ("Retain", "Snapshot"))

    def test_ecr_itself_expires_untagged_images_only_and_late(self):
        stack = shop()
        policy = json.loads(
            stack.text(stack.resources["Repository"]["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])
        )
        selections = [rule["selection"] for rule in policy["rules"]]
        self.assertEqual([selection["tagStatus"] for selection in selections], ["untagged"])
        self.assertGreaterEqual(selections[0]["countNumber"], 365)
        with self.assertRaises(Refused):
            shop(UntaggedImageDays="30")

    def test_defaults_are_those_of_the_reference_system(self):
        stack = shop()
        properties = {name: resource.get("Properties", {}) for name, resource in stack.resources.items()}
        database, target, task = (properties[name] for name in ("Database", "TargetGroup", "TaskDefinition"))
        self.assertEqual(properties["Vpc"]["CidrBlock"], "10.0.0.0/16")
        slash_24 = list(ipaddress.ip_network("10.0.0.0/16").subnets(new_prefix=24))
        self.assertEqual(
            {
                name: str(slash_24[subnet["CidrBlock"]["Fn::Select"][0]])
                for name, subnet in stack.of_type("AWS::EC2::Subnet").items()
            },
            {
                "PublicSubnet1": "10.0.1.0/24",
                "PublicSubnet2": "10.0.2.0/24",
                "PrivateSubnet1": "10.0.3.0/24",
                "PrivateSubnet2": "10.0.4.0/24",
            },
        )
        self.assertEqual((target["Port"], target["HealthCheckPath"], target["TargetType"]), (3000, "/api/health", "ip"))
        self.assertEqual((task["NetworkMode"], task["Cpu"], task["Memory"]), ("awsvpc", "512", "1024"))
        self.assertEqual(
            (properties["AutoScalingGroup"]["MinSize"], properties["AutoScalingGroup"]["MaxSize"]), ("2", "10")
        )
        wanted = {
            "Engine": "postgres",
            "DBInstanceClass": "db.t3.micro",
            "AllocatedStorage": "20",
            "StorageType": "gp2",
            "StorageEncrypted": True,
            "BackupRetentionPeriod": "7",
            "MultiAZ": "false",
            "DeletionProtection": "true",
        }
        self.assertEqual({key: database[key] for key in wanted}, wanted)
        repository = properties["Repository"]
        self.assertEqual(
            (
                repository["ImageScanningConfiguration"],
                repository["EncryptionConfiguration"],
                repository["ImageTagMutability"],
            ),
            ({"ScanOnPush": True}, {"EncryptionType": "AES256"}, "IMMUTABLE"),
        )


class Watching(unittest.TestCase):
    # The monitoring points of the reference system, and what watches them.
    EVERYWHERE = {
        ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"),
        ("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count"),
        ("AWS/ApplicationELB", "TargetResponseTime"),
        ("AWS/ApplicationELB", "UnHealthyHostCount"),
        ("AWS/ECS", "CPUReservation"),
        ("AWS/ECS", "MemoryReservation"),
        ("AWS/ECS/ManagedScaling", "CapacityProviderReservation"),
        ("shop", "ErrorLines"),
    }
    PRIMARY = {
        ("AWS/ECS", "CPUUtilization"),
        ("AWS/ECS", "MemoryUtilization"),
        ("ECS/ContainerInsights", "DesiredTaskCount"),
        ("ECS/ContainerInsights", "RunningTaskCount"),
        ("AWS/RDS", "CPUUtilization"),
        ("AWS/RDS", "DatabaseConnections"),
        ("AWS/RDS", "FreeStorageSpace"),
        ("AWS/RDS", "FreeableMemory"),
    }
    # An error rate needs requests, and a day without any is no alarm.
    ONLY_SHOWN = {("AWS/ApplicationELB", "RequestCount")}

    def watched(self, stack):
        for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
            for metric in alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}]):
                if "MetricStat" in metric:
                    metric = metric["MetricStat"]["Metric"]
                    yield metric["Namespace"], metric["MetricName"]

    def test_every_monitoring_point_has_its_alarm(self):
        self.assertEqual(sorted(self.watched(shop())), sorted(self.EVERYWHERE | self.PRIMARY))
        self.assertEqual(sorted(self.watched(shop(Role="recovery"))), sorted(self.EVERYWHERE))

    def test_every_alarm_reaches_the_topic_itself_or_through_the_composite_alarm(self):
        for role in ("primary", "recovery"):
            stack = shop(Role=role, AlarmTopicArn=TOPIC)
            composite = stack.resources["ImpairedAlarm"]["Properties"]
            self.assertEqual(composite["AlarmActions"], [TOPIC])
            for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
                by_composite = f'ALARM("${{{name}}}")' in composite["AlarmRule"]["Fn::Sub"]
                self.assertNotEqual(by_composite, alarm.get("AlarmActions") == [TOPIC], name)

    def test_the_dashboard_shows_every_monitoring_point(self):
        stack = shop()
        body = json.loads(stack.text(stack.resources["Dashboard"]["Properties"]["DashboardBody"]))
        shown = set()
        for widget in body["widgets"]:
            namespace = None
            for row in widget["properties"].get("metrics", []):
                if row[0] != "...":
                    namespace = namespace if row[0] == "." else row[0]
                    shown.add((namespace, row[1]))
        self.assertEqual((self.EVERYWHERE | self.PRIMARY | self.ONLY_SHOWN) - shown, set())
        self.assertIn("log", [widget["type"] for widget in body["widgets"]])

    def test_logs_end(self):
        for name, group in shop().of_type("AWS::Logs::LogGroup").items():
            self.assertEqual(group["RetentionInDays"], "30", name)


if __name__ == "__main__":
    unittest.main()
