"""The templates deploy, as far as the sandbox's CloudFormation goes, in both roles and with their switches on.

ministack reads the template as CloudFormation does (limits, Rules, parameters, conditions, references, dynamic
references) and makes what it knows. What it doesn't know is taken out by a list that has to be exact, and is held by
test_architecture.py and test_automation.py from the templates instead.
"""

import io
import json
import re
import sys
import tempfile
import time
import unittest
import zipfile

from template import INFRA, Stack, load, references
from test_automation import MATCHED, near_misses, recorded_events

sys.path.insert(0, str(INFRA.parent / "tests" / "sandbox" / "aws" / "tests"))

import boto3
from botocore.exceptions import ClientError
from support import Server

ACCOUNT = "123456789012"
HOME, RECOVERY = "eu-central-1", "eu-west-1"

# Types that ministack refuses.
UNSUPPORTED_TYPES = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::EC2::EIP",
    "AWS::EC2::NatGateway",
    "AWS::EC2::NetworkAcl",
    "AWS::EC2::NetworkAclEntry",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::SubnetNetworkAclAssociation",
    "AWS::ECR::PullTimeUpdateExclusion",
    "AWS::ECR::ReplicationConfiguration",
    "AWS::ECS::CapacityProvider",
    "AWS::ECS::ClusterCapacityProviderAssociations",
    "AWS::Route53::HealthCheck",
}
# Resources that it refuses although it knows their type.
UNSUPPORTED_RESOURCES = {"TasksMissingAlarm": "metric math", "ImagePruningOverdueAlarm": "metric math"}

EVERY_SWITCH = {
    "ImageTag": "v1",
    "RecoveryRegion": RECOVERY,
    "NatGateways": "one-per-zone",
    "CertificateArn": f"arn:aws:acm:{HOME}:{ACCOUNT}:certificate/0a1b",
    "DomainName": "shop.example.com",
    "AlarmTopicArn": f"arn:aws:sns:{HOME}:{ACCOUNT}:steward",
    "SessionManager": "true",
}


class Deploys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        state = tempfile.TemporaryDirectory(prefix="steward-infra-")
        cls.addClassCleanup(state.cleanup)
        cls.server = Server("ministack", "--state-dir", state.name)
        cls.addClassCleanup(cls.server.end)
        for region in (HOME, RECOVERY):
            cls.aws("s3", region).create_bucket(
                Bucket=f"templates-{region}", CreateBucketConfiguration={"LocationConstraint": region}
            )
            # The emulator has none of AWS's public parameters.
            cls.aws("ssm", region).put_parameter(Name="/test/ecs-ami", Type="String", Value="ami-0ec5000000000a123")

    @classmethod
    def aws(cls, service, region=HOME):
        return boto3.client(
            service,
            endpoint_url=cls.server.url,
            region_name=region,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="-",
        )

    def deploy(self, stack, template, region=HOME, **given):
        """Deploys the template and answers the stack's outputs."""
        # Too long to be sent inline, as for real; `aws cloudformation deploy --s3-bucket` does the same.
        self.aws("s3", region).put_object(Bucket=f"templates-{region}", Key=stack, Body=json.dumps(template).encode())
        defaults = {"EcsAmi": "/test/ecs-ami"} if "EcsAmi" in template["Parameters"] else {}
        cloudformation = self.aws("cloudformation", region)
        cloudformation.create_stack(
            StackName=stack,
            TemplateURL=f"{self.server.url}/templates-{region}/{stack}",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in (defaults | given).items()],
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            (seen,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
            if not seen["StackStatus"].endswith("_IN_PROGRESS"):
                break
            time.sleep(0.1)
        failed = [
            f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
            for event in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
            if event["ResourceStatus"].endswith("_FAILED")
        ]
        self.assertEqual((seen["StackStatus"], failed), ("CREATE_COMPLETE", []))
        return {output["OutputKey"]: output["OutputValue"] for output in seen["Outputs"]}

    def refusal(self, template, **given):
        with self.assertRaises(ClientError) as refused:
            self.deploy("refused", template, **given)
        return refused.exception.response["Error"]["Message"]

    def test_both_roles_deploy_and_what_they_make_is_what_was_asked_for(self):
        template = without_unsupported(load("architecture.yaml"))
        zone = self.aws("route53").create_hosted_zone(Name="example.com", CallerReference="once")["HostedZone"]["Id"]
        zone = zone.removeprefix("/hostedzone/")
        recovery = self.deploy(
            "shop-recovery", template, RECOVERY, Role="recovery", DomainName="shop.example.com", HostedZoneId=zone
        )
        switched = EVERY_SWITCH | {
            "HostedZoneId": zone,
            "RecoveryLoadBalancer": recovery["LoadBalancerDnsName"],
            "RecoveryKeyArn": recovery["DataKeyArn"],
        }
        plain = self.deploy("shop", template, SystemName="shop")
        self.deploy("other", template, SystemName="other", **switched)

        (database,) = self.aws("rds").describe_db_instances(DBInstanceIdentifier="shop")["DBInstances"]
        self.assertEqual(
            (
                database["DeletionProtection"],
                database["StorageEncrypted"],
                database["BackupRetentionPeriod"],
                database["PubliclyAccessible"],
            ),
            (True, True, 7, False),
        )
        self.assertEqual(self.aws("rds", RECOVERY).describe_db_instances()["DBInstances"], [])
        ecs = self.aws("ecs")
        (service,) = ecs.describe_services(cluster=plain["ClusterName"], services=[plain["ServiceName"]])["services"]
        self.assertEqual((service["status"], service["desiredCount"]), ("ACTIVE", 0))
        task = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
        self.assertEqual((task["networkMode"], task["cpu"], task["memory"]), ("awsvpc", "512", "1024"))
        secret = json.loads(
            self.aws("secretsmanager").get_secret_value(SecretId=plain["DatabaseSecretArn"])["SecretString"]
        )
        self.assertEqual((secret["username"], len(secret["password"])), ("shop", 32))
        (rule,) = self.aws("elbv2", RECOVERY).describe_rules(RuleArns=[recovery["FailedOverRuleArn"]])["Rules"]
        self.assertEqual(rule["Actions"][0]["FixedResponseConfig"]["MessageBody"], "failed-over=no")

    def test_the_automation_deploys_where_it_plans_and_where_it_applies(self):
        for region in (HOME, RECOVERY):
            self.aws("s3", region).put_object(Bucket=f"templates-{region}", Key="bootstrap.zip", Body=empty_package())
        template = without_unsupported(load("automation.yaml"))
        recovery = self.deploy("steward-recovery", packaged(template, RECOVERY), RECOVERY, Role="recovery")
        primary = self.deploy(
            "steward",
            packaged(template, HOME),
            RecoveryBucket=recovery["RestorePointBucketName"],
            ImagePruningMode="apply",
            ImagePruningPolicy="{version: 1, repositories: {include: ['shop/*']}}",
            NotifyEmail="ops@example.com",
            RestorePointLockDays="30",
            ImagePruningReadsRestorePoints="true",
        )

        for region, outputs, mode in ((RECOVERY, recovery, "plan"), (HOME, primary, "apply")):
            function = self.aws("lambda", region).get_function_configuration(
                FunctionName=outputs["ImagePruningFunctionName"]
            )
            self.assertEqual(
                (function["FunctionName"], function["Runtime"]), ("steward-image-pruning", "provided.al2023")
            )
            self.assertEqual((function["MemorySize"], function["Timeout"]), (256, 900))
            self.assertEqual(
                function["Environment"]["Variables"],
                {
                    "STEWARD_MODE": mode,
                    "STEWARD_POLICY_FROM": "ssm:/steward/policy/image-pruning",
                    "STEWARD_NOTIFY_TOPIC": outputs["TopicArn"],
                },
            )
            parameters = self.aws("ssm", region).get_parameters(
                Names=[
                    "/steward/kill-switch/all",
                    "/steward/kill-switch/image-pruning",
                    "/steward/policy/image-pruning",
                ]
            )
            self.assertEqual([parameter["Value"] for parameter in parameters["Parameters"]][:2], ["off", "off"])
            self.assertEqual(parameters["InvalidParameters"], [])
            schedule = self.aws("scheduler", region).get_schedule(GroupName="steward", Name="steward-image-pruning")
            self.assertEqual(schedule["Target"]["Arn"], function["FunctionArn"])
            role = outputs["ImagePruningRoleArn"].split("/")[-1]
            policies = self.aws("iam", region).list_role_policies(RoleName=role)["PolicyNames"]
            self.assertEqual("remove-images" in policies, mode == "apply", policies)
            attached = self.aws("iam", region).list_attached_role_policies(RoleName=role)["AttachedPolicies"]
            # What every plan reads, and restore points where that was asked for.
            self.assertEqual(len(attached), 2 if outputs is primary else 1, attached)

    def test_eventbridge_matches_the_events_that_the_rules_are_for(self):
        def matched(pattern, event):
            answer = self.aws("events").test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))
            return answer["Result"]

        events = {name: event for name, event in recorded_events().items() if "id" in event}
        for name, rule in Stack(load("automation.yaml")).of_type("AWS::Events::Rule").items():
            pattern = rule["EventPattern"]
            self.assertEqual({event for event in events if matched(pattern, events[event])}, MATCHED[name], name)
            for near_miss in near_misses(pattern, events[min(MATCHED[name])]):
                # EventBridge takes no event without the fields that every event has.
                if {"source", "detail-type"} <= set(near_miss):
                    self.assertFalse(matched(pattern, near_miss), near_miss)

    def test_the_list_of_what_the_emulator_lacks_is_exact(self):
        switched = EVERY_SWITCH | {
            "HostedZoneId": "Z0123",
            "RecoveryLoadBalancer": "shop-1.eu-west-1.elb.amazonaws.com",
        }
        refused = set()
        for template, given in ((load("architecture.yaml"), switched), (packaged(load("automation.yaml"), HOME), {})):
            said = self.refusal(template, **given)
            types = re.search(r"Unrecognized resource types: \[(.*)\]", said)
            self.assertIsNotNone(types, said)
            refused |= set(types[1].split(", "))
        self.assertEqual(refused, UNSUPPORTED_TYPES)

    def test_cloudformation_itself_refuses_wrong_combinations(self):
        template = without_unsupported(load("architecture.yaml"))
        self.assertIn("leave ImageTag empty", self.refusal(template, Role="recovery", ImageTag="v1"))
        self.assertIn("another Region", self.refusal(template, RecoveryRegion=HOME))
        self.assertIn("PostgreSQL 15", self.refusal(template, DatabaseEngineVersion="16.4"))


def packaged(template, region):
    """The template with the package in a bucket, as `aws cloudformation package` and `sam deploy` leave it."""
    function = template["Resources"]["ImagePruning"]
    package = {"CodeUri": {"Bucket": f"templates-{region}", "Key": "bootstrap.zip"}}
    function = function | {"Properties": function["Properties"] | package}
    return template | {"Resources": template["Resources"] | {"ImagePruning": function}}


def empty_package():
    """A package as cargo-lambda makes it, without the function."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh\nexit 1\n")
    return package.getvalue()


def without_unsupported(template):
    """The template without what ministack lacks; references to that become its name."""
    gone = {
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] in UNSUPPORTED_TYPES or name in UNSUPPORTED_RESOURCES
    }

    def stand_in(node):
        if isinstance(node, list):
            return [stand_in(each) for each in node]
        if not isinstance(node, dict):
            return node
        if set(node) <= {"Ref", "Fn::GetAtt"} and gone & set(references(node)):
            return next(references(node))
        if set(node) == {"Fn::Sub"} and isinstance(node["Fn::Sub"], str):
            return {
                "Fn::Sub": re.sub(
                    r"\$\{(\w+)[\w.]*\}", lambda match: match[1] if match[1] in gone else match[0], node["Fn::Sub"]
                )
            }
        return {key: stand_in(value) for key, value in node.items()}

    kept = {name: resource for name, resource in template["Resources"].items() if name not in gone}
    for resource in kept.values():
        if "DependsOn" in resource:
            needs = resource["DependsOn"]
            resource["DependsOn"] = [
                name for name in ([needs] if isinstance(needs, str) else needs) if name not in gone
            ]
    return template | {"Resources": stand_in(kept), "Outputs": stand_in(template["Outputs"])}


if __name__ == "__main__":
    unittest.main()
