"""The templates deploy, as far as the sandbox's CloudFormation goes, in both roles and with their switches on.

What it doesn't know is taken out by deploy.py's list, which has to be exact, and is held by test_architecture.py and
test_automation.py from the templates instead.
"""

import json
import re
import sys
import tempfile
import unittest

from deploy import UNSUPPORTED_TYPES, Failed, Target, functions, packaged, without_unsupported
from template import INFRA, Stack, load
from test_automation import (
    FUNCTIONS,
    KEY,
    MATCHED,
    PRUNING,
    REMEDIATION,
    ROTATION,
    SCALING,
    TASK_ROLES,
    near_misses,
    patterns,
    recorded_events,
)

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
        for region in (HOME, RECOVERY):
            # The emulator has none of AWS's public parameters.
            cls.aws("ssm", region).put_parameter(Name="/test/ecs-ami", Type="String", Value="ami-0ec5000000000a123")

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
        recovery = self.deploy("steward-recovery", with_packages(template, RECOVERY), RECOVERY, Role="recovery")
        primary = self.deploy(
            "steward",
            with_packages(template, HOME),
            RecoveryBucket=recovery["RestorePointBucketName"],
            NotifyEmail="ops@example.com",
            RestorePointLockDays="30",
            SnapshotRotationTellsRegion=RECOVERY,
            **PRUNING.to_apply(**PRUNING.everything),
            **ROTATION.to_apply(**ROTATION.everything),
            **SCALING.to_apply(**SCALING.everything),
            **REMEDIATION.to_apply(**REMEDIATION.everything),
        )

        for region, outputs, mode in ((RECOVERY, recovery, "plan"), (HOME, primary, "apply")):
            for function, writes in (
                (PRUNING, {"remove-images"}),
                (ROTATION, {"rotate-snapshots", "write-restore-points"}),
                (SCALING, {"scale-environments"}),
                (REMEDIATION, {"remedy-alarms"}),
            ):
                self.check_function(function, region, outputs, mode, writes)

        role = primary["SnapshotRotationRoleArn"].split("/")[-1]
        document = self.aws("iam").get_role_policy(RoleName=role, PolicyName="rotate-snapshots")["PolicyDocument"]
        conditions = {each["Sid"]: each.get("Condition") for each in document["Statement"]}
        self.assertEqual(
            conditions["CopyToOtherRegions"], {"StringEquals": {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}}
        )
        keys = {each["Sid"]: each["Resource"] for each in document["Statement"]}["GrantKeysToRds"]
        self.assertEqual(keys, ROTATION.everything["Keys"].split(","))
        self.assertEqual(keys[0], KEY)

        role = primary["AlarmRemediationRoleArn"].split("/")[-1]
        document = self.aws("iam").get_role_policy(RoleName=role, PolicyName="remedy-alarms")["PolicyDocument"]
        (passing,) = [each for each in document["Statement"] if each["Action"] == "iam:PassRole"]
        self.assertEqual(passing["Resource"], [TASK_ROLES])
        invoking = json.loads(self.aws("lambda").get_policy(FunctionName="steward-alarm-remediation")["Policy"])
        principals = {each["Principal"]["Service"] for each in invoking["Statement"]}
        self.assertEqual(
            principals, {"events.amazonaws.com", "lambda.alarms.cloudwatch.amazonaws.com", "sns.amazonaws.com"}
        )

    def check_function(self, function, region, outputs, mode, writes):
        """That a function is deployed as its parameters said."""
        configuration = self.aws("lambda", region).get_function_configuration(
            FunctionName=outputs[f"{function.prefix}FunctionName"]
        )
        self.assertEqual(
            (configuration["FunctionName"], configuration["Runtime"]), (f"steward-{function.name}", "provided.al2023")
        )
        self.assertEqual((configuration["MemorySize"], configuration["Timeout"]), (256, function.timeout))
        self.assertEqual(
            configuration["Environment"]["Variables"],
            {
                "STEWARD_MODE": mode,
                "STEWARD_POLICY_FROM": f"ssm:/steward/policy/{function.name}",
                "STEWARD_NOTIFY_TOPIC": outputs["TopicArn"],
            }
            | {name: outputs["LedgerName"] for name in function.variables_beside},
        )
        named = ["/steward/kill-switch/all", f"/steward/kill-switch/{function.name}", f"/steward/policy/{function.name}"]
        parameters = self.aws("ssm", region).get_parameters(Names=named)
        values = {parameter["Name"]: parameter["Value"] for parameter in parameters["Parameters"]}
        policy = function.policy if mode == "apply" else "version: 1"
        self.assertEqual(values, dict(zip(named, ("off", "off", policy), strict=True)))
        for name in function.schedules:
            schedule = self.aws("scheduler", region).get_schedule(GroupName="steward", Name=name)
            self.assertEqual(schedule["Target"]["Arn"], configuration["FunctionArn"])
            self.assertEqual(schedule["State"], function.awake["recovery" if region == RECOVERY else "primary"])
        role = outputs[f"{function.prefix}RoleArn"].split("/")[-1]
        policies = set(self.aws("iam", region).list_role_policies(RoleName=role)["PolicyNames"])
        self.assertEqual(policies & writes, writes if mode == "apply" else set())
        self.assertEqual(policies - writes - {"tell", "copy-elsewhere"}, set())
        attached = self.aws("iam", region).list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        # What every plan reads, and restore points where that was asked for.
        records = mode == "apply" and function in (PRUNING, ROTATION)
        self.assertEqual(len(attached), 2 if records else 1, attached)

    def test_the_role_of_an_account_with_copies_deploys(self):
        outputs = self.deploy(
            "steward-copies",
            load("copy-account.yaml"),
            RECOVERY,
            RotationRoleArn="arn:aws:iam::210987654321:role/rotation",
            ExternalId="0123456789abcdef",
            SourceRegion=HOME,
        )
        role = outputs["RoleArn"].split("/")[-1]
        document = self.aws("iam", RECOVERY).get_role_policy(RoleName=role, PolicyName="keep-copies")["PolicyDocument"]
        (copy,) = [each for each in document["Statement"] if each["Sid"] == "CopyWhatIsShared"]
        self.assertEqual(
            copy["Resource"],
            [
                f"arn:aws:rds:{HOME}:210987654321:snapshot:steward-*",
                f"arn:aws:rds:{RECOVERY}:{ACCOUNT}:snapshot:steward-*",
            ],
        )
        self.assertIn(f":{RECOVERY}:{ACCOUNT}:key/", outputs["KeyArn"])

    def test_a_package_is_of_a_function_that_there_is(self):
        template = load("automation.yaml")
        self.assertEqual({name for _, name in functions(template)}, {function.name for function in FUNCTIONS})
        with self.assertRaisesRegex(Failed, "image-prunning"):
            packaged(self.target(), template, {"image-prunning": __file__})

    def test_eventbridge_matches_the_events_that_the_rules_are_for(self):
        def matched(pattern, event):
            answer = self.aws("events").test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))
            return answer["Result"]

        events = {name: event for name, event in recorded_events().items() if "id" in event}
        for name, pattern in patterns(Stack(load("automation.yaml"), SnapshotRotationTellsRegion="us-east-1")).items():
            wanted = MATCHED[name] & set(events)
            self.assertEqual({event for event in events if matched(pattern, events[event])}, wanted, name)
            for near_miss in near_misses(pattern, events[min(wanted)]):
                # EventBridge takes no event without the fields that every event has.
                if {"source", "detail-type"} <= set(near_miss):
                    self.assertFalse(matched(pattern, near_miss), near_miss)

    def test_the_list_of_what_the_emulator_lacks_is_exact(self):
        switched = EVERY_SWITCH | {
            "HostedZoneId": "Z0123",
            "RecoveryLoadBalancer": "shop-1.eu-west-1.elb.amazonaws.com",
        }
        refused = set()
        for template, given in ((load("architecture.yaml"), switched), (with_packages(load("automation.yaml"), HOME), {})):
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


def with_packages(template, region):
    # They never run here; the demonstration deploys the real ones.
    return packaged(Deploys.target(region), template, {})


if __name__ == "__main__":
    unittest.main()
