"""The templates deploy, as far as the sandbox's CloudFormation goes, in both roles and with their switches on.

What it doesn't know is taken out by deploy.py's list, which has to be exact, and is held by test_architecture.py and
test_automation.py from the templates instead.
"""

import json
import pathlib
import re
import sys
import tempfile
import unittest

from deploy import UNSUPPORTED_TYPES, Target, package_of, packaged, without_unsupported
from template import INFRA, Stack, load
from test_automation import MATCHED, near_misses, recorded_events

sys.path.insert(0, str(INFRA.parent / "tests" / "sandbox" / "aws" / "tests"))

from botocore.exceptions import ClientError
from support import Server

ACCOUNT = "123456789012"
HOME, RECOVERY = "eu-central-1", "eu-west-1"

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
        # It never runs here; the demonstration deploys the real one.
        executable = pathlib.Path(state.name) / "bootstrap"
        executable.write_text("#!/bin/sh\nexit 1\n")
        for region in (HOME, RECOVERY):
            # The emulator has none of AWS's public parameters.
            cls.aws("ssm", region).put_parameter(Name="/test/ecs-ami", Type="String", Value="ami-0ec5000000000a123")
            cls.target(region).store("bootstrap.zip", package_of(executable))

    @classmethod
    def target(cls, region=HOME):
        return Target(cls.server.url, ACCOUNT, region)

    @classmethod
    def aws(cls, service, region=HOME):
        return cls.target(region).aws(service)

    def deploy(self, stack, template, region=HOME, **given):
        """Deploys the template and answers the stack's outputs."""
        defaults = {"EcsAmi": "/test/ecs-ami"} if "EcsAmi" in template["Parameters"] else {}
        return self.target(region).deploy(stack, template, defaults | given)

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
        template = without_unsupported(load("automation.yaml"))
        recovery = self.deploy("steward-recovery", with_package(template, RECOVERY), RECOVERY, Role="recovery")
        primary = self.deploy(
            "steward",
            with_package(template, HOME),
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
        for template, given in ((load("architecture.yaml"), switched), (with_package(load("automation.yaml"), HOME), {})):
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


def with_package(template, region):
    return packaged(template, Deploys.target(region).bucket, "bootstrap.zip")


if __name__ == "__main__":
    unittest.main()
