"""automation.yaml gives each function what its code needs and nothing else, and loses no wake-up without a trace."""

import dataclasses
import itertools
import json
import re
import unittest

import jsonschema
import yaml
from template import INFRA, Refused, Stack, load

TEMPLATE = load("automation.yaml")
TEXT = (INFRA / "automation.yaml").read_text()
HOUSE = INFRA.parent
RECOVERY_BUCKET = "steward-restore-points-123456789012-eu-west-1"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0a1b"
SERVICE = "arn:aws:ecs:eu-central-1:123456789012:service/shop/web"
GROUP = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:*:autoScalingGroupName/shop"
DATABASE = "arn:aws:rds:eu-central-1:123456789012:db:shop*"
TASK = "arn:aws:ecs:eu-central-1:123456789012:task/shop/*"
INSTANCE = "arn:aws:ecs:eu-central-1:123456789012:container-instance/shop/*"
# Writes that take no resource, or whose resource AWS has told differently.
TAKE_NO_RESOURCE = {"xray:PutTraceSegments", "ecs:RegisterTaskDefinition"}
TASK_ROLES = "arn:aws:iam::123456789012:role/shop-*"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:shop-alarms"


@dataclasses.dataclass(frozen=True)
class Function:
    """A function, and what is special about it."""

    name: str
    operation: str
    # What its policy selects, a policy that selects some, and one that its schema refuses.
    targets: str
    policy: str
    wrong_policy: dict
    # Switches with which its role has all that the code may ask for, without their prefix.
    everything: dict
    # The state that its schedule and events have by default, by the role of the stack.
    awake: dict
    # How long it may stay away before an alarm.
    overdue_hours: str
    alarms: set = frozenset()
    # Variables that it reads beside those that every function reads.
    variables_beside: set = frozenset()
    # What its other schedules ask for, by what their names end with.
    schedules_beside: dict = dataclasses.field(default_factory=dict)
    # How late its schedules may be.
    window: dict = dataclasses.field(default_factory=lambda: {"Mode": "OFF"})
    timeout: int = 900

    @property
    def prefix(self):
        return "".join(map(str.capitalize, self.name.split("-")))

    def given(self, **own):
        """Parameters of this function."""
        return {f"{self.prefix}{name}": value for name, value in own.items()}

    def to_apply(self, **own):
        return self.given(Mode="apply", Policy=self.policy, **own)

    @property
    def schedules(self):
        """What each of its schedules asks for, by name."""
        beside = {f"steward-{self.name}-{name}": operation for name, operation in self.schedules_beside.items()}
        return {f"steward-{self.name}": self.operation} | beside

    def variables(self, stack):
        return stack.resources[self.prefix]["Properties"]["Environment"]["Variables"]


FUNCTIONS = (
    Function(
        "image-pruning",
        operation="prune",
        targets="repositories",
        policy="{version: 1, repositories: {include: ['shop/*']}}",
        wrong_policy={"version": 1, "repositorys": {}},
        everything={"ReaderRoles": "arn:aws:iam::*:role/reads", "ReadsRestorePoints": "true"},
        awake={"primary": "ENABLED", "recovery": "ENABLED"},
        overdue_hours="26",
        window={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30},
    ),
    Function(
        "snapshot-rotation",
        operation="rotate",
        targets="databases",
        policy="{version: 1, rules: [{name: shop, databases: {include: ['shop*']}}]}",
        wrong_policy={"version": 1, "rules": [{"name": "shop", "database": "shop"}]},
        everything={
            "CopyRegions": "eu-west-1,us-east-1",
            "Keys": f"{KEY},{KEY.replace('eu-west-1', 'eu-central-1')}",
            "CopyRoles": "arn:aws:iam::210987654321:role/copies",
            "Adopts": "before-release-*",
            "RestorePoints": "true",
        },
        # Copies lie in the recovery Region, and the databases that they are of do not.
        awake={"primary": "ENABLED", "recovery": "DISABLED"},
        overdue_hours="3",
        alarms={"ObjectivesMissed", "CopiesPending", "DocumentsIncomplete"},
        window={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5},
    ),
    Function(
        "scheduled-scaling",
        operation="scale",
        targets="environments",
        policy=(
            "{version: 1, schedules: {office: {time_zone: Europe/Berlin, periods: [{days: [mon-fri], start: '07:00', "
            "stop: '19:00'}]}}, environments: {shop-test: {schedules: [office]}}}"
        ),
        wrong_policy={"version": 1, "environments": {"shop-test": {"schedule": "office"}}},
        everything={"Untagged": f"{SERVICE},{GROUP},{DATABASE}", "Snapshots": "true", "Keys": KEY},
        # Nothing runs in the recovery Region yet.
        awake={"primary": "ENABLED", "recovery": "DISABLED"},
        overdue_hours="1",
        alarms={"StepsOverdue"},
        variables_beside={"STEWARD_LEDGER"},
        timeout=300,
    ),
    Function(
        "alarm-remediation",
        operation="remediate",
        targets="alarms or clusters",
        policy="{version: 1, alarms: {include: ['shop-*']}}",
        wrong_policy={"version": 1, "alarm": {"include": ["shop-*"]}},
        everything={
            "Untagged": f"{SERVICE},{TASK},{INSTANCE},{GROUP},{DATABASE}",
            "TaskRoles": TASK_ROLES,
            "GrowsStorage": "true",
            "Topic": TOPIC,
        },
        # Nothing runs in the recovery Region yet.
        awake={"primary": "ENABLED", "recovery": "DISABLED"},
        overdue_hours="1",
        variables_beside={"STEWARD_LEDGER"},
        schedules_beside={"sweep": "sweep"},
        timeout=300,
    ),
)
PRUNING, ROTATION, SCALING, REMEDIATION = FUNCTIONS
APPLY = {name: value for function in FUNCTIONS for name, value in function.to_apply().items()}
SWITCHES = (
    ({}, {"Role": "recovery"}, {"RecoveryBucket": RECOVERY_BUCKET}),
    ({}, APPLY),
    (
        {},
        {
            "ImagePruningPolicyParameter": "/shop/pruning",
            "SnapshotRotationPolicyObject": "shop/rotation.yaml",
            "ScheduledScalingPolicyParameter": "/shop/scaling",
            "AlarmRemediationPolicyObject": "shop/remediation.yaml",
        },
        {
            "ImagePruningPolicyObject": "shop/pruning.yaml",
            "SnapshotRotationPolicyParameter": "/shop/rotation",
            "ScheduledScalingPolicyObject": "shop/scaling.yaml",
            "AlarmRemediationPolicyParameter": "/shop/remediation",
        },
    ),
    (
        {},
        {
            "NotifyEmail": "ops@example.com",
            "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
            "PlanPrincipals": "arn:aws:iam::123456789012:role/ops",
            "ImagePruningReaderRoles": "arn:aws:iam::*:role/steward-reads",
            "RestorePointLockDays": "30",
            "ImagePruningConcurrency": "1",
            "ImagePruningScheduleState": "DISABLED",
            "SnapshotRotationConcurrency": "1",
            "SnapshotRotationScheduleState": "DISABLED",
            "SnapshotRotationTellsRegion": "eu-west-1",
            "ScheduledScalingConcurrency": "1",
            "ScheduledScalingScheduleState": "DISABLED",
            "AlarmRemediationConcurrency": "1",
            "AlarmRemediationScheduleState": "DISABLED",
        },
    ),
    ({}, {name: value for each in FUNCTIONS for name, value in each.given(**each.everything).items()}),
)

READS = ("Describe", "List", "Get", "BatchGet", "Query", "Simulate")
# What reading takes beside: of restore points, and in other accounts.
TO_READ = {"kms:Decrypt", "sts:AssumeRole"}
# What every function may do in any mode: leave its logs, traces and lost runs, and tell people.
TO_TELL = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "sqs:SendMessage",
    "sns:Publish",
    "kms:GenerateDataKey*",
    "kms:Decrypt",
}


def steward(**given):
    return Stack(TEMPLATE, **given)


def allowed_combinations():
    for chosen in itertools.product(*SWITCHES):
        given = {name: value for switch in chosen for name, value in switch.items()}
        yield given, steward(**given)


def statements(stack, role):
    """Every statement of a role: its own, of its managed policies, and of policies attached to it."""
    properties = stack.resources[role]["Properties"]
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    documents += [
        stack.resources[policy["Ref"]]["Properties"]["PolicyDocument"]
        for policy in properties.get("ManagedPolicyArns", [])
    ]
    documents += [
        policy["PolicyDocument"]
        for policy in stack.of_type("AWS::IAM::Policy").values()
        if {"Ref": role} in policy["Roles"]
    ]
    return [statement for document in documents for statement in document["Statement"]]


def listed(value):
    return value if isinstance(value, list) else [value]


def allowed(stack, role):
    return {
        action for each in statements(stack, role) if each["Effect"] == "Allow" for action in listed(each["Action"])
    }


def is_read(action):
    return action.split(":")[1].startswith(READS)


def section(heading):
    """A section of the README's part about the automation."""
    readme = (INFRA / "README.md").read_text().split("## The automation", 1)[1]
    return readme.split(f"\n{heading}\n", 1)[1].split("\n### ", 1)[0]


def wrong_for(function):
    """Combinations that are wrong for every function, and what is said of them."""
    return (
        (function.given(Mode="apply"), f"needs a policy that selects {function.targets}"),
        (function.given(PolicyParameter="policy"), "with its slash in front"),
        (function.given(PolicyObject="s3://bucket/key"), "BUCKET/KEY"),
        (function.given(PolicyObject="bucket/*"), "BUCKET/KEY"),
        (function.given(PolicyParameter="/a", PolicyObject="bucket/key"), "not both"),
        (function.given(Schedule="0 3 * * *"), "cron(…) or rate(…)"),
        (function.given(OverdueHours="169"), "MaxValue"),
    )


class Template(unittest.TestCase):
    def test_whatever_is_referred_to_exists(self):
        for given, stack in allowed_combinations():
            with self.subTest(**given):
                self.assertEqual(stack.dangling(), [])

    def test_wrong_combinations_are_refused_with_a_reason(self):
        for given, reason in (
            ({"Role": "recovery", "RecoveryBucket": RECOVERY_BUCKET}, "leave RecoveryBucket empty"),
            ({"RecoveryBucket": "elsewhere"}, "the recovery stack's output"),
            ({"ImagePruningRepositories": "Shop"}, "a repository's name"),
            ({"LogLevel": "WARN"}, "AllowedValues"),
            ({"SnapshotRotationDatabases": "rds:shop"}, "a DB instance's identifier"),
            ({"SnapshotRotationCopyRegions": "eu-west-1,everywhere"}, "Regions with commas"),
            ({"SnapshotRotationKeys": f"{KEY},alias/copies"}, "ARNs of keys"),
            ({"SnapshotRotationCopyRoles": "arn:aws:iam::*:role/copies"}, "ARNs of roles"),
            # Nothing that would take in everybody's snapshots.
            ({"SnapshotRotationAdopts": "*"}, "begins with a letter"),
            ({"SnapshotRotationTellsRegion": "eu-central-1"}, "is another Region"),
            ({"ScheduledScalingEnvironments": "shop,test env"}, "steward:environment"),
            # Nothing that would take in all services, groups or databases of everybody.
            ({"ScheduledScalingUntagged": "*"}, "ARNs of services"),
            ({"ScheduledScalingUntagged": f"{SERVICE},arn:aws:ecs:*"}, "ARNs of services"),
            ({"ScheduledScalingUntagged": "arn:aws:rds:eu-central-1:123456789012:cluster:shop"}, "ARNs of services"),
            ({"ScheduledScalingKeys": "alias/shop"}, "ARNs of keys"),
            ({"AlarmRemediationEnvironments": "shop,test env"}, "steward:environment"),
            ({"AlarmRemediationUntagged": "*"}, "ARNs of services"),
            ({"AlarmRemediationUntagged": f"{TASK},arn:aws:ecs:eu-central-1:123456789012:*"}, "ARNs of services"),
            # Nothing that would pass every role of the account.
            ({"AlarmRemediationTaskRoles": "arn:aws:iam::123456789012:role/*"}, "ARNs of roles"),
            ({"AlarmRemediationTaskRoles": f"{TASK_ROLES},arn:aws:iam::*:role/shop"}, "ARNs of roles"),
            ({"AlarmRemediationSweepSchedule": "15 minutes"}, "cron(…) or rate(…)"),
            # It would be woken by what it tells.
            ({"AlarmRemediationTopic": TOPIC.replace("shop-alarms", "steward")}, "not steward"),
            *itertools.chain(*map(wrong_for, FUNCTIONS)),
        ):
            with self.subTest(**given), self.assertRaises(Refused) as refused:
                steward(**given)
            self.assertIn(reason, str(refused.exception))

    def test_a_deployment_with_defaults_changes_nothing(self):
        stack = steward()
        for function in FUNCTIONS:
            self.assertEqual(function.variables(stack)["STEWARD_MODE"], "plan")
            self.assertEqual(
                stack.resources[function.prefix]["Properties"]["CodeUri"],
                f"../target/lambda/{function.name}/bootstrap.zip",
            )
            changes = {action for action in allowed(stack, f"{function.prefix}Role") if not is_read(action)}
            self.assertEqual(changes, TO_TELL, function.name)
        self.assertEqual(stack.resources["ImagePruningAfterPush"]["Properties"]["State"], "DISABLED")

    def test_the_readme_tells_every_parameter_and_no_other(self):
        table = section("### Parameters")
        names = [
            name
            for row in table.splitlines()
            if row.startswith("| `")
            for name in re.findall(r"`(\w+)`", row.split("|")[1])
        ]
        self.assertEqual(sorted(names), sorted(TEMPLATE["Parameters"]))

    def test_the_readme_deploys_with_parameters_and_outputs_that_there_are(self):
        readme = (INFRA / "README.md").read_text().split("## The automation", 1)[1]
        of_the_cli = {
            "Enabled",
            "OrganizationalUnitIds",
            "OutputKey",
            "ParameterKey",
            "ParameterValue",
            "RetainStacksOnAccountRemoval",
        }
        named = set(re.findall(r"\b([A-Z][a-z]\w+)=", readme)) | set(re.findall(r"ParameterKey=(\w+)", readme))
        parameters = set(TEMPLATE["Parameters"]) | set(load("copy-account.yaml")["Parameters"])
        self.assertEqual(named - of_the_cli - parameters, set())
        outputs = set(re.findall(r"\$\(steward_out (\w+)", readme))
        self.assertEqual(outputs - set(TEMPLATE["Outputs"]), set())
        self.assertGreater(len(outputs), 2)

    def test_what_the_linter_skips_is_explained(self):
        for name, resource in TEMPLATE["Resources"].items():
            for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
                self.assertGreater(len(skip["comment"].split()), 4, f"{name} {skip['id']}")


class Recovery(unittest.TestCase):
    """What a recovery finds in its Region on the day when the other is gone (`Role=recovery`)."""

    def test_it_has_all_that_the_primary_has_and_nothing_of_the_primary(self):
        everything = PRUNING.given(**PRUNING.everything)
        recovery = steward(Role="recovery", **everything)
        primary = steward(RecoveryBucket=RECOVERY_BUCKET, **everything)
        differing = {
            name
            for name in {**recovery.resources, **primary.resources}
            if recovery.resources.get(name) != primary.resources.get(name)
        }
        # What sleeps there is there, and nothing tells that it does not run.
        asleep = {
            name
            for name in differing & set(recovery.resources)
            if recovery.resources[name]["Properties"] | {"State": "ENABLED"} == primary.resources[name]["Properties"]
        }
        self.assertEqual(
            asleep,
            {
                "SnapshotRotationHourly",
                "SnapshotRotationAfterSnapshot",
                "SnapshotRotationAfterWaiting",
                "ScheduledScalingTick",
                "ScheduledScalingAfterDatabase",
                "AlarmRemediationTick",
                "AlarmRemediationSweep",
                "AlarmRemediationAfterAlarm",
                "AlarmRemediationAfterAgent",
            },
        )
        sleeping = (ROTATION, SCALING, REMEDIATION)
        self.assertEqual(differing - asleep, {f"{function.prefix}OverdueAlarm" for function in sleeping})
        enabled = {name: state for each in sleeping for name, state in each.given(ScheduleState="ENABLED").items()}
        awake = steward(Role="recovery", **enabled, **everything)
        self.assertEqual(awake.resources, primary.resources)
        for kind in (
            "AWS::DynamoDB::Table",
            "AWS::KMS::Key",
            "AWS::S3::Bucket",
            "AWS::SNS::Topic",
            "AWS::SQS::Queue",
            "AWS::Scheduler::ScheduleGroup",
            "AWS::Serverless::Function",
            "AWS::SSM::Parameter",
        ):
            self.assertNotEqual(recovery.of_type(kind), {}, kind)
        # Its own Region is the only one that any of it names, but for reads of functions and keys anywhere.
        self.assertNotIn("eu-west-1", json.dumps([recovery.resources, primary.resources]))
        self.assertEqual(set(primary.outputs) - set(recovery.outputs), {"RecoveryBucketName"})
        self.assertEqual(primary.outputs["RecoveryBucketName"]["Value"], RECOVERY_BUCKET)

    def test_the_name_that_the_primary_is_given_is_the_buckets(self):
        recovery = steward(Role="recovery")
        self.assertEqual(recovery.outputs["RestorePointBucketName"]["Value"], {"Ref": "RestorePoints"})
        name = recovery.text(recovery.resources["RestorePoints"]["Properties"]["BucketName"])
        self.assertEqual(steward(RecoveryBucket=name).parameters["RecoveryBucket"], name)
        # The doctor finds the buckets of every Region by it.
        prefix = name.replace("123456789012-eu-central-1", "{account}-")
        self.assertIn(f'"{prefix}"', (HOUSE / "cli/src/doctor/recovery.rs").read_text())

    def test_both_regions_fit_into_one_account(self):
        # These are global: two stacks with the same name for one would collide.
        stack = steward()
        for kind, named in (
            ("AWS::IAM::Role", "RoleName"),
            ("AWS::IAM::ManagedPolicy", "ManagedPolicyName"),
        ):
            for name, properties in stack.of_type(kind).items():
                self.assertNotIn(named, properties, name)
        for name in (
            stack.resources["RestorePoints"]["Properties"]["BucketName"],
            stack.resources["Dashboard"]["Properties"]["DashboardName"],
        ):
            self.assertIn("${AWS::Region}", name["Fn::Sub"])

    def test_functions_of_either_region_can_be_allowed_to_write_restore_points(self):
        stack = steward(Role="recovery")
        # The bucket refuses nobody of the account but for plain connections, and the key leaves it to IAM.
        (refusal,) = stack.resources["RestorePointsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        self.assertEqual(
            (refusal["Effect"], refusal["Condition"]), ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        )
        (statement,) = stack.resources["RestorePointKey"]["Properties"]["KeyPolicy"]["Statement"]
        self.assertEqual(stack.text(statement["Principal"]["AWS"]), "arn:aws:iam::123456789012:root")
        # Both outlive the stack, and so does the ledger.
        for name in ("RestorePoints", "RestorePointKey", "Ledger"):
            resource = stack.resources[name]
            self.assertEqual(
                (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]), ("RetainExceptOnCreate", "Retain"), name
            )


class Layout(unittest.TestCase):
    def test_each_function_has_one_section_of_parameters_and_one_of_resources(self):
        functions = {path.parent.name for path in HOUSE.glob("functions/*/Cargo.toml")}
        prefix = {function.name: function.prefix for function in FUNCTIONS}
        self.assertEqual(set(prefix), functions)

        def sections(part, heading):
            (body,) = re.findall(rf"^{part}:\n(.*?)(?=^\w)", TEXT, re.DOTALL | re.MULTILINE)
            # What stands before the first heading, and then headings and bodies in turn.
            split = re.split(heading, body, flags=re.MULTILINE)
            return dict(zip(split[1::2], split[2::2], strict=True))

        for kind, heading, shared in (
            ("Parameters", r"^  # ([\w-]+)$", {"Shared"}),
            ("Resources", r"^  # ==== ([\w-]+).* ====$", {"Shared", "Dashboard"}),
        ):
            bodies = sections(kind, heading)
            self.assertEqual(set(bodies), shared | functions)
            seen = set()
            for section, body in bodies.items():
                for name in re.findall(r"^  (\w+):", body, re.MULTILINE):
                    owners = {function for function in functions if name.startswith(prefix[function])}
                    self.assertEqual(owners, {section} - shared, name)
                    seen.add(name)
            self.assertEqual(seen, set(TEMPLATE[kind]))


class Code(unittest.TestCase):
    """The template against the code: environment, permissions, events, policy, switches."""

    def test_environment_variables_are_those_that_the_code_reads(self):
        code = (HOUSE / "shared/src/lambda.rs").read_text()
        names = dict(re.findall(r'pub const (\w+): &str = "(STEWARD_\w+)"', code))
        # What Environment::read may look up; `shared/tests/lambda.rs` holds it to that.
        (listed_names,) = re.findall(r"pub const ENVIRONMENT: &\[&str\] = &\[([^\]]*)\]", code)
        read = {names[name] for name in re.findall(r"\w+", listed_names)}
        (modes,) = re.findall(r'name: MODE,.*?allowed: "([^"]+)"', code, re.DOTALL)
        for function in FUNCTIONS:
            variables = function.variables(steward())
            # The policy is always in a place of its own: a change of it is no deployment of the function.
            self.assertEqual(read - set(variables), {"STEWARD_POLICY"})
            self.assertEqual(set(variables) - read, function.variables_beside)
            self.assertLessEqual(function.variables_beside, set(names.values()))
            # And the mode takes what the code takes.
            self.assertEqual(TEMPLATE["Parameters"][f"{function.prefix}Mode"]["AllowedValues"], modes.split(", "))

    def test_no_other_code_reads_the_environment(self):
        sources = [*HOUSE.glob("shared/src/**/*.rs"), *HOUSE.glob("functions/*/src/**/*.rs")]
        reading = {
            source.relative_to(HOUSE).as_posix(): source.read_text()
            for source in sources
            if re.search(r"\benv::var|\benv::vars|\bvar_os\(", source.read_text())
        }
        # The one lookup that main.rs hands to Environment::read.
        for name, text in reading.items():
            self.assertRegex(name, r"^functions/[\w-]+/src/main\.rs$")
            self.assertRegex(text, r"steward::lambda::serve::<\w+, _>\(\s*\|name\| std::env::var\(name\)\.ok\(\),")
            self.assertEqual(text.count("env::"), 1, name)
        functions = {path.parent.name for path in HOUSE.glob("functions/*/Cargo.toml")}
        self.assertEqual({name.split("/")[1] for name in reading}, functions)

    def test_roles_allow_what_the_code_calls_and_nothing_else(self):
        # What every function calls is said once, and its own list has it by name.
        shared = (HOUSE / "shared/src/permission.rs").read_text()
        of_all = dict(
            re.findall(
                r'^pub const (\w+): (?:Permission = Permission::of|Behind = )\(\s*"([^"]+)"', shared, re.MULTILINE
            )
        )
        self.assertTrue(of_all)
        for function in FUNCTIONS:
            code = (HOUSE / f"functions/{function.name}/src/permissions.rs").read_text()
            called, behind = (
                set(re.findall(r'"([a-z0-9-]+:[A-Z][\w*]+)"', body))
                | {of_all[name] for name in re.findall(r"\b[A-Z_]+\b", body) if name in of_all}
                for body in re.findall(r"^pub const (?:PERMISSIONS|BEHIND_CALLS): .*?^\];", code, re.DOTALL | re.MULTILINE)
            )
            granted = set()
            for place in ("", "shop/policy.yaml"):
                given = function.to_apply(PolicyObject=place, **function.everything)
                granted |= allowed(steward(**given), f"{function.prefix}Role")
            self.assertEqual(called - granted, set(), f"{function.name} calls, and is not granted")
            self.assertEqual(granted - called, behind, f"{function.name} is granted, and does not call")
            wakes = allowed(steward(), f"{function.prefix}WakeRole")
            self.assertEqual(wakes, {"lambda:InvokeFunction", "sqs:SendMessage"})
        told = steward(SnapshotRotationTellsRegion="eu-west-1")
        self.assertEqual(allowed(told, "SnapshotRotationTellRole"), {"events:PutEvents"})

    def test_people_plan_without_any_write(self):
        for _, stack in allowed_combinations():
            self.assertEqual([action for action in allowed(stack, "PlanRole") - TO_READ if not is_read(action)], [])

    def test_whoever_plans_may_read_what_the_doctor_reads(self):
        sources = (HOUSE / "cli/src/doctor").glob("*.rs")
        code = "".join(source.read_text() for source in sources if source.name != "tests.rs")
        read = set(re.findall(r'Finding::unread\(\s*"(\w+:\w+)"', code))
        # These two are read for the permissions of a function.
        read |= {"iam:SimulatePrincipalPolicy", "iam:GetRole"}
        own = steward().resources["PlanRole"]["Properties"]["Policies"]
        granted = {
            action
            for policy in own
            for statement in policy["PolicyDocument"]["Statement"]
            for action in listed(statement["Action"])
        }
        self.assertEqual(granted, read)
        told = section("### Looking after it")
        self.assertEqual(set(re.findall(r"`(\w+:\w+)`", told)), read)

    def test_writes_are_scoped_and_holds_are_denied(self):
        for _, stack in allowed_combinations():
            for role in stack.of_type("AWS::IAM::Role"):
                for statement in statements(stack, role):
                    writes = [action for action in listed(statement["Action"]) if not is_read(action)]
                    if statement["Effect"] == "Allow" and writes and not set(writes) & TAKE_NO_RESOURCE:
                        self.assertNotIn("*", listed(statement["Resource"]), f"{role} {statement['Sid']}")
        sizes = {
            "ecs:UpdateService",
            "autoscaling:UpdateAutoScalingGroup",
            "rds:StopDBInstance",
            "rds:StartDBInstance",
            "rds:CreateDBSnapshot",
        }
        remedies = {
            "ecs:UpdateService",
            "ecs:StopServiceDeployment",
            "ecs:StopTask",
            "ecs:UpdateContainerInstancesState",
            "autoscaling:UpdateAutoScalingGroup",
            "autoscaling:SetInstanceHealth",
            "rds:ModifyDBInstance",
        }
        for function, frozen in (
            (PRUNING, {"ecr:BatchDeleteImage", "ecr:UpdateImageStorageClass"}),
            (ROTATION, {"rds:CreateDBSnapshot", "rds:DeleteDBSnapshot", "rds:ModifyDBSnapshotAttribute"}),
            (SCALING, sizes),
            (REMEDIATION, remedies),
        ):
            stack = steward(**function.to_apply(**function.everything))
            (deny,) = [each for each in statements(stack, f"{function.prefix}Role") if each["Sid"] == "NothingOnHold"]
            self.assertEqual((deny["Effect"], set(deny["Action"]), deny["Resource"]), ("Deny", frozen, "*"))
            self.assertEqual(deny["Condition"], {"Null": {"aws:ResourceTag/steward:hold": "false"}})

    def test_images_are_removed_from_the_repositories_that_were_said(self):
        stack = steward(**PRUNING.to_apply())
        (remove,) = [each for each in statements(stack, "ImagePruningRole") if each["Sid"] == "RemoveImages"]
        self.assertEqual(stack.text(remove["Resource"]), "arn:aws:ecr:eu-central-1:123456789012:repository/shop/*")

    def test_snapshots_are_its_own_by_name_and_tag_and_in_the_regions_that_were_said(self):
        here = "arn:aws:rds:eu-central-1:123456789012"
        anywhere = "arn:aws:rds:*:123456789012"
        own = {"aws:ResourceTag/steward:managed-by": "snapshot-rotation"}
        there = {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}
        by_rds = {"kms:ViaService": "rds.*.amazonaws.com"}
        keys = ROTATION.everything["Keys"].split(",")
        plain = {
            "MakeSnapshots": ([f"{here}:db:shop*", f"{here}:snapshot:steward-*"], None),
            "TagSnapshots": ([f"{here}:snapshot:steward-*"], None),
            "DeleteItsOwnSnapshots": ([f"{here}:snapshot:steward-*"], {"StringEquals": own}),
        }
        whole = plain | {
            "ShareItsOwnSnapshots": ([f"{here}:snapshot:steward-*"], {"StringEquals": own}),
            "DeleteWhatItAdopts": ([f"{here}:snapshot:before-release-*"], None),
            "CopyToOtherRegions": ([f"{anywhere}:snapshot:steward-*"], {"StringEquals": there}),
            "DeleteItsOwnCopies": ([f"{anywhere}:snapshot:steward-*"], {"StringEquals": there | own}),
            "UseKeysThroughRds": (keys, {"StringLike": by_rds}),
            "GrantKeysToRds": (keys, {"StringLike": by_rds, "Bool": {"kms:GrantIsForAWSResource": "true"}}),
        }
        sharing = plain | {"ShareItsOwnSnapshots": whole["ShareItsOwnSnapshots"]}
        for given, expected in (
            ({}, plain),
            ({"Shares": "true"}, sharing),
            # Another account copies what is shared with it.
            ({"CopyRoles": ROTATION.everything["CopyRoles"]}, sharing),
            (ROTATION.everything, whole),
        ):
            stack = steward(**ROTATION.to_apply(**given))
            document = stack.resources["SnapshotRotationWrites"]["Properties"]["PolicyDocument"]
            found = {
                statement["Sid"]: (list(map(stack.text, listed(statement["Resource"]))), statement.get("Condition"))
                for statement in document["Statement"]
                if statement["Effect"] == "Allow"
            }
            self.assertEqual(found, expected)

    def test_what_is_parked_has_the_tag_of_an_environment_or_is_named(self):
        here = "{}:eu-central-1:123456789012"
        service = f"arn:aws:{here.format('ecs')}:service/*"
        group = f"arn:aws:{here.format('autoscaling')}:autoScalingGroup:*:autoScalingGroupName/*"
        database = f"arn:aws:{here.format('rds')}:db:*"
        tagged = {"StringLike": {"aws:ResourceTag/steward:environment": ["shop*", "test"]}}
        # Of all tags the mark of what it parked, which is in the code.
        marks = {"ForAllValues:StringEquals": {"aws:TagKeys": ["steward:parked"]}}
        marked = tagged | marks
        by_rds = {"kms:ViaService": "rds.*.amazonaws.com"}
        plain = {
            "SizeServices": ([service], tagged),
            "MarkServices": ([service], marked),
            "SizeScalableTargets": (
                [f"arn:aws:{here.format('application-autoscaling')}:scalable-target/*"],
                {
                    "StringEquals": {
                        "application-autoscaling:service-namespace": "ecs",
                        "application-autoscaling:scalable-dimension": "ecs:service:DesiredCount",
                    }
                },
            ),
            "SizeGroups": ([group], tagged),
            "MarkGroups": ([group], marked),
            "StopAndStartDatabases": ([database], tagged),
            "MarkDatabases": ([database], marked),
        }
        named = [SERVICE, GROUP, DATABASE]
        for given, beside in (
            ({}, {}),
            ({"Untagged": ",".join(named)}, {"SizeWhatIsNamed": (named, None), "MarkWhatIsNamed": (named, marks)}),
            (
                {"Snapshots": "true"},
                {
                    "BackUpDatabases": ([database], tagged),
                    "MakeSnapshots": ([f"arn:aws:{here.format('rds')}:snapshot:steward-*"], None),
                },
            ),
            (
                {"Keys": KEY},
                {
                    "UseKeysThroughRds": ([KEY], {"StringLike": by_rds}),
                    "GrantKeysToRds": ([KEY], {"StringLike": by_rds, "Bool": {"kms:GrantIsForAWSResource": "true"}}),
                },
            ),
        ):
            stack = steward(**SCALING.to_apply(Environments="shop*,test", **given))
            document = stack.resources["ScheduledScalingWrites"]["Properties"]["PolicyDocument"]
            found = {
                statement["Sid"]: (list(map(stack.text, listed(statement["Resource"]))), statement.get("Condition"))
                for statement in document["Statement"]
                if statement["Effect"] == "Allow" and "Ledger" not in statement["Sid"]
            }
            self.assertEqual(found, plain | beside)

    def test_what_is_remedied_has_the_tag_of_an_environment_or_is_named(self):
        ecs = "arn:aws:ecs:eu-central-1:123456789012"
        tagged = {"StringLike": {"aws:ResourceTag/steward:environment": ["shop*", "test"]}}
        database = "arn:aws:rds:eu-central-1:123456789012:db:*"
        definitions = f"{ecs}:task-definition/*"
        plain = {
            "RemedyServices": ([f"{ecs}:service/*"], tagged),
            # Deployments cannot be tagged. AWS judges who stops one on the service as well.
            "StopDeployments": ([f"{ecs}:service-deployment/*"], None),
            "RaiseScalableTargets": (
                ["arn:aws:application-autoscaling:eu-central-1:123456789012:scalable-target/*"],
                {
                    "StringEquals": {
                        "application-autoscaling:service-namespace": "ecs",
                        "application-autoscaling:scalable-dimension": "ecs:service:DesiredCount",
                    }
                },
            ),
            "ReplaceTasks": ([f"{ecs}:task/*"], tagged),
            "DrainInstances": ([f"{ecs}:container-instance/*"], tagged),
            "RemedyGroups": (
                ["arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:*:autoScalingGroupName/*"],
                tagged,
            ),
        }
        storage = {"GrowStorage": ([database], tagged)}
        named = REMEDIATION.everything["Untagged"].split(",")
        roles = f"{TASK_ROLES},arn:aws:iam::123456789012:role/ecs/execution"
        for given, beside in (
            ({}, {}),
            ({"GrowsStorage": "true"}, storage),
            ({"Untagged": ",".join(named)}, {"RemedyWhatIsNamed": (named, None)}),
            (
                {"Untagged": ",".join(named), "GrowsStorage": "true"},
                storage | {"RemedyWhatIsNamed": (named, None), "GrowStorageOfWhatIsNamed": (named, None)},
            ),
            (
                {"TaskRoles": roles},
                {
                    # Whether registering takes a resource AWS has told differently; here it is the same.
                    "PinWhatRanBefore": (
                        ["*"],
                        {"StringEquals": {"aws:RequestedRegion": {"Ref": "AWS::Region"}}},
                    ),
                    # Nothing that is there already gets a tag.
                    "TagWhatItRegisters": (
                        [definitions],
                        {"StringEquals": {"ecs:CreateAction": "RegisterTaskDefinition"}},
                    ),
                    "PassTheRolesOfTasks": (
                        roles.split(","),
                        {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
                    ),
                },
            ),
        ):
            stack = steward(**REMEDIATION.to_apply(Environments="shop*,test", **given))
            document = stack.resources["AlarmRemediationWrites"]["Properties"]["PolicyDocument"]
            allows = [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]
            found = {
                statement["Sid"]: (list(map(stack.text, listed(statement["Resource"]))), statement.get("Condition"))
                for statement in allows
                if "Ledger" not in statement["Sid"]
            }
            self.assertEqual(found, plain | beside)
            # No other role hands on roles.
            passing = {role for role in stack.of_type("AWS::IAM::Role") if "iam:PassRole" in allowed(stack, role)}
            self.assertEqual(passing, {"AlarmRemediationRole"} if "TaskRoles" in given else set())

    def test_steward_knows_its_own_alarms_by_their_names(self):
        code = (HOUSE / "functions/alarm-remediation/src/observe/alarms.rs").read_text()
        (own,) = re.findall(r'name\.starts_with\("([^"]+)"\)', code)
        for given in ({}, {"Role": "recovery"}, APPLY):
            for name, alarm in steward(**given).of_type("AWS::CloudWatch::Alarm").items():
                self.assertTrue(alarm["AlarmName"].startswith(own), name)
        # Those of the system that it looks after are called otherwise.
        system = Stack(load("architecture.yaml"))
        for name, alarm in system.of_type("AWS::CloudWatch::Alarm").items():
            self.assertFalse(system.text(alarm["AlarmName"]).startswith(own), name)

    def test_alarms_of_this_account_may_wake_it_and_a_topic_that_is_named(self):
        def permissions(**given):
            return [
                permission
                for permission in steward(**given).of_type("AWS::Lambda::Permission").values()
                if permission["Principal"] != "events.amazonaws.com"
            ]

        of = {"FunctionName": {"Ref": "AlarmRemediation"}, "Action": "lambda:InvokeFunction"}
        alarms = of | {
            "Principal": "lambda.alarms.cloudwatch.amazonaws.com",
            "SourceAccount": {"Ref": "AWS::AccountId"},
        }
        self.assertEqual(permissions(), [alarms])
        topic = of | {"Principal": "sns.amazonaws.com", "SourceArn": TOPIC}
        self.assertEqual(permissions(AlarmRemediationTopic=TOPIC), [alarms, topic])

    def test_no_group_may_be_made_one_that_cannot_wake(self):
        stack = steward(**SCALING.to_apply())
        (deny,) = [each for each in statements(stack, "ScheduledScalingRole") if each["Sid"] == "NoMaximumOfZero"]
        self.assertEqual(
            (deny["Effect"], deny["Action"], deny["Resource"], deny["Condition"]),
            ("Deny", "autoscaling:UpdateAutoScalingGroup", "*", {"NumericEquals": {"autoscaling:MaxSize": "0"}}),
        )

    def test_each_part_of_the_ledger_has_one_writer(self):
        def parts(path):
            return dict(re.findall(r'pub const (\w+): &str = "([^"]+)"', (HOUSE / path).read_text()))

        raises = parts("shared/src/ledger/raise.rs")["RAISES"]
        scaling = {parts("functions/scheduled-scaling/src/names.rs")["PARTITION"]}
        names = parts("functions/alarm-remediation/src/case.rs")
        # It raises what scheduled-scaling then does not take for the usual.
        remediation = {names["PARTITION"], names["HISTORY"], raises}
        self.assertEqual(scaling & remediation, set())
        table = {"Fn::GetAtt": ["Ledger", "Arn"]}
        of = {
            "ScheduledScalingRole": {frozenset(scaling)},
            "ScheduledScalingRole reads": {frozenset(scaling | {raises})},
            "AlarmRemediationRole": {frozenset(remediation)},
            "AlarmRemediationRole reads": {frozenset(remediation)},
            "PlanRole reads": {frozenset(scaling | {raises}), frozenset(remediation)},
        }
        found = {}
        stack = steward(**APPLY)
        for role in stack.of_type("AWS::IAM::Role"):
            for statement in statements(stack, role):
                actions = [action for action in listed(statement["Action"]) if action.startswith("dynamodb:")]
                if not actions:
                    continue
                self.assertEqual(statement["Resource"], table)
                ((operator, keys),) = statement["Condition"].items()
                self.assertEqual((operator, list(keys)), ("ForAllValues:StringEquals", ["dynamodb:LeadingKeys"]))
                kind = role + (" reads" if all(map(is_read, actions)) else "")
                found.setdefault(kind, set()).add(frozenset(keys["dynamodb:LeadingKeys"]))
        self.assertEqual(found, of)
        # And who uses the key for it does so through DynamoDB.
        for role, sids in (
            ("ScheduledScalingRole", {"DecryptTheLedger", "EncryptItsLedger"}),
            ("AlarmRemediationRole", {"DecryptTheLedger", "EncryptItsLedger"}),
            ("PlanRole", {"DecryptTheLedger"}),
        ):
            through = {
                statement["Sid"]
                for statement in statements(stack, role)
                if "dynamodb." in json.dumps(statement.get("Condition", {}))
            }
            self.assertEqual(through, sids)

    def test_the_ledger_is_as_the_code_keeps_it(self):
        code = (HOUSE / "shared/src/ledger.rs").read_text()
        names = dict(re.findall(r'const (\w+): &str = "(\w[\w-]*)"', code))
        table = steward().resources["Ledger"]["Properties"]
        self.assertEqual(table["TableName"], names["TABLE"])
        keys = {key["KeyType"]: key["AttributeName"] for key in table["KeySchema"]}
        self.assertEqual(keys, {"HASH": names["PARTITION"], "RANGE": names["SORT"]})
        self.assertEqual(
            table["TimeToLiveSpecification"], {"AttributeName": names["EXPIRES_AT"], "Enabled": True}
        )

    def test_nobody_plans_with_the_roles_that_copy_in_other_accounts(self):
        stack = steward(**ROTATION.given(**ROTATION.everything))
        self.assertIn("sts:AssumeRole", allowed(stack, "SnapshotRotationRole"))
        self.assertNotIn("sts:AssumeRole", allowed(stack, "PlanRole"))

    def test_reading_a_manifest_is_no_pull(self):
        stack = steward()
        excluded = {
            exclusion["PrincipalArn"]["Fn::GetAtt"][0]
            for exclusion in stack.of_type("AWS::ECR::PullTimeUpdateExclusion").values()
        }
        reading = {role for role in stack.of_type("AWS::IAM::Role") if "ecr:BatchGetImage" in allowed(stack, role)}
        self.assertEqual(excluded, reading)

    def test_the_policy_that_may_be_read_is_the_one_that_the_function_is_told(self):
        parameters = "arn:aws:ssm:eu-central-1:123456789012:parameter"
        for function in FUNCTIONS:
            own = f"${{{function.prefix}PolicyDocument}}"
            for place, told, resource in (
                ({}, f"ssm:{own}", f"{parameters}{own}"),
                ({"PolicyParameter": "/shop/policy"}, "ssm:/shop/policy", f"{parameters}/shop/policy"),
                ({"PolicyObject": "shop/policy.yaml"}, "s3://shop/policy.yaml", "arn:aws:s3:::shop/policy.yaml"),
            ):
                stack = steward(**function.given(**place))
                read = [
                    each for each in statements(stack, f"{function.prefix}Role") if each["Sid"] == "ReadThePolicy"
                ]
                self.assertEqual([stack.text(each["Resource"]) for each in read], [resource])
                self.assertEqual(stack.text(function.variables(stack)["STEWARD_POLICY_FROM"]), told)
            # Names of Parameter Store begin with a slash, which the ARN has once.
            document = steward().resources[f"{function.prefix}PolicyDocument"]["Properties"]
            self.assertEqual(document["Name"], f"/steward/policy/{function.name}")

    def test_policies_in_the_template_are_policies(self):
        for function in FUNCTIONS:
            schema = json.loads((HOUSE / f"functions/{function.name}/policy.schema.json").read_text())
            for text in (steward().parameters[f"{function.prefix}Policy"], function.policy):
                jsonschema.validate(yaml.safe_load(text), schema)
            with self.assertRaises(jsonschema.ValidationError):
                jsonschema.validate(function.wrong_policy, schema)

    def test_kill_switches_are_those_that_the_code_asks_for(self):
        code = (HOUSE / "shared/src/switches.rs").read_text()
        for_all = re.search(r'pub const ALL: &str = "([^"]+)"', code)[1]
        prefix = re.search(r'format!\("([^"{]+)\{function\}"\)', code)[1]
        switches = {
            parameter["Name"]: parameter["Value"]
            for parameter in steward().of_type("AWS::SSM::Parameter").values()
            if "kill-switch" in parameter["Name"]
        }
        of_each = {f"{prefix}{function.name}": "off" for function in FUNCTIONS}
        self.assertEqual(switches, {for_all: "off"} | of_each)

    def test_rules_match_the_recorded_events_that_they_are_for(self):
        events = recorded_events()
        rules = patterns(steward(SnapshotRotationTellsRegion="us-east-1"))
        self.assertEqual(set(rules), set(MATCHED))
        for name, pattern in rules.items():
            self.assertEqual({event for event in events if matches(pattern, events[event])}, MATCHED[name], name)
            # Nothing in the pattern is idle: an event that differs in one field is not for it.
            for near_miss in near_misses(pattern, events[min(MATCHED[name])]):
                self.assertFalse(matches(pattern, near_miss), near_miss)


# The recorded events that each rule is for.
MATCHED = {
    "ImagePruningAfterPush": {"ecr-push"},
    "SnapshotRotationAfterSnapshot": {"rds-snapshot-copied", "rds-snapshot-manual"},
    "SnapshotRotationAfterWaiting": {"rds-instance-started"},
    "SnapshotRotationCopiesTold": {"rds-snapshot-copied"},
    "ScheduledScalingAfterDatabase": {"rds-instance-minimal", "rds-instance-started"},
    # Not what has no data, nor that somebody has made, changed or deleted an alarm.
    "AlarmRemediationAfterAlarm": {
        "alarm-anomaly",
        "alarm-composite",
        "alarm-composite-not-suppressed",
        "alarm-composite-suppressed",
        "alarm-composite-suppressed-by-alarm",
        "alarm-contributor",
        "alarm-created-in-alarm",
        "alarm-log",
        "alarm-long-period",
        "alarm-metric",
        "alarm-metric-math",
        "alarm-metric-muted",
        "alarm-metrics-insights",
        "alarm-no-dimensions",
        "alarm-null-datapoints",
        "alarm-odd-fields",
        "alarm-promql",
        "alarm-unknown-configuration",
        "alarm-without-configuration",
        "alarm-without-reason-data",
    },
    "AlarmRemediationAfterAgent": {"ecs-container-instance"},
}


def patterns(stack):
    """What each rule matches, in the Region of the recorded events."""
    text = json.dumps({name: rule["EventPattern"] for name, rule in stack.of_type("AWS::Events::Rule").items()})
    return json.loads(text.replace(json.dumps({"Ref": "AWS::Region"}), '"eu-west-1"'))


def recorded_events():
    """Every event of AWS that the code's parser is tested with, by the name of its file."""
    events = {path.stem: json.loads(path.read_text()) for path in (HOUSE / "shared/fixtures/events").glob("*.json")}
    # The rest are not EventBridge's: alarms by Lambda action and by SNS, and the manual form.
    return {name: event for name, event in events.items() if "detail-type" in event}


def near_misses(pattern, event):
    """The event once for each field of the pattern, with another value in it, and once without the field."""
    for key, wanted in pattern.items():
        rest = {name: value for name, value in event.items() if name != key}
        if isinstance(wanted, dict):
            for detail in near_misses(wanted, event[key]):
                yield rest | {key: detail}
        else:
            yield rest | {key: f"not {event[key]}"}
        yield rest


def matches(pattern, event):
    """Whether EventBridge would match; of its operators only exact values and `prefix`."""
    for key, wanted in pattern.items():
        found = event.get(key) if isinstance(event, dict) else None
        if isinstance(wanted, dict):
            if not matches(wanted, found):
                return False
        elif not any([is_wanted(each, found) for each in wanted]):
            return False
    return True


def is_wanted(wanted, found):
    if isinstance(wanted, (str, bool)):
        return found == wanted
    if set(wanted) == {"prefix"}:
        return isinstance(found, str) and found.startswith(wanted["prefix"])
    raise ValueError(f"no operator: {wanted}")


class Shared(unittest.TestCase):
    def test_nothing_is_lost_without_a_trace(self):
        stack = steward(SnapshotRotationTellsRegion="eu-west-1")
        queue = {"Fn::GetAtt": ["DeadLetters", "Arn"]}
        targets = [rule["Targets"] for rule in stack.of_type("AWS::Events::Rule").values()]
        schedules = {schedule["Name"]: schedule for schedule in stack.of_type("AWS::Scheduler::Schedule").values()}
        self.assertEqual(set(schedules), {name for function in FUNCTIONS for name in function.schedules})
        targets += [[schedule["Target"]] for schedule in schedules.values()]
        self.assertEqual(len(targets), len(MATCHED) + len(schedules))
        for target in itertools.chain(*targets):
            self.assertEqual(target["DeadLetterConfig"], {"Arn": queue})
            self.assertLessEqual(target["RetryPolicy"]["MaximumEventAgeInSeconds"], 3600)
        for function, name, operation in (
            (function, name, operation) for function in FUNCTIONS for name, operation in function.schedules.items()
        ):
            schedule = schedules[name]
            self.assertEqual(schedule["Target"]["Arn"], {"Fn::GetAtt": [function.prefix, "Arn"]})
            # Every keyword of "Adding context attributes" (EventBridge Scheduler User Guide), under the names of the code.
            self.assertEqual(
                json.loads(schedule["Target"]["Input"]),
                {
                    "operation": operation,
                    "scheduleArn": "<aws.scheduler.schedule-arn>",
                    "scheduledTime": "<aws.scheduler.scheduled-time>",
                    "executionId": "<aws.scheduler.execution-id>",
                    "attemptNumber": "<aws.scheduler.attempt-number>",
                },
            )
            self.assertEqual(schedule["FlexibleTimeWindow"], function.window)
        for function in stack.of_type("AWS::Serverless::Function").values():
            asynchronous = function["EventInvokeConfig"]
            self.assertEqual(asynchronous["DestinationConfig"]["OnFailure"]["Destination"], queue)
            self.assertEqual(asynchronous["MaximumRetryAttempts"], 0)

    def test_functions_are_woken_where_their_work_is(self):
        for function in FUNCTIONS:
            for role, state in function.awake.items():
                for given, expected in (
                    ({}, state),
                    ({"ScheduleState": "ENABLED"}, "ENABLED"),
                    ({"ScheduleState": "DISABLED"}, "DISABLED"),
                ):
                    schedules = steward(Role=role, **function.given(**given)).of_type("AWS::Scheduler::Schedule")
                    states = {schedule["Name"]: schedule["State"] for schedule in schedules.values()}
                    self.assertEqual({states[name] for name in function.schedules}, {expected})

        def rules(function, **given):
            states = {
                rule["State"]
                for name, rule in steward(**given).of_type("AWS::Events::Rule").items()
                if name.startswith(f"{function.prefix}After")
            }
            self.assertEqual(len(states), 1)
            return states.pop()

        for function in (ROTATION, SCALING, REMEDIATION):
            self.assertEqual(rules(function), "ENABLED")
            self.assertEqual(rules(function, **function.given(OnEvents="DISABLED")), "DISABLED")
            self.assertEqual(rules(function, **function.given(ScheduleState="DISABLED")), "DISABLED")
            self.assertEqual(rules(function, Role="recovery"), "DISABLED")

    def test_ticks_come_in_every_hour_of_every_zone(self):
        given = {"TimeZone": "Europe/Berlin"}
        zones = {
            schedule["Name"]: schedule["ScheduleExpressionTimezone"]
            for schedule in steward(**given).of_type("AWS::Scheduler::Schedule").values()
        }
        # In a zone with summer time the hour that comes twice would have ticks once only.
        for name in [*SCALING.schedules, *REMEDIATION.schedules]:
            self.assertEqual(zones.pop(name), "UTC", name)
        self.assertEqual(set(zones.values()), {"Europe/Berlin"})

    def test_every_alarm_reaches_the_topic_and_watches_what_the_docs_advise(self):
        watched = set()
        for name, alarm in steward().of_type("AWS::CloudWatch::Alarm").items():
            self.assertEqual(alarm["AlarmActions"], [{"Ref": "Topic"}], name)
            for metric in alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}]):
                if "MetricStat" in metric:
                    watched.add(
                        (metric["MetricStat"]["Metric"]["Namespace"], metric["MetricStat"]["Metric"]["MetricName"])
                    )
        own = {"Failed", "RunFailed", "Gaps", "NotificationsFailed"}.union(*(function.alarms for function in FUNCTIONS))
        self.assertEqual(
            watched,
            {("Steward", name) for name in own}
            | {
                ("AWS/Lambda", "Errors"),
                ("AWS/Lambda", "Throttles"),
                ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
            },
        )
        told = set(re.findall(r"^\| `(\w+)` \| Count \|", (HOUSE / "docs/logging.md").read_text(), re.MULTILINE))
        self.assertLessEqual(own, told)

    def test_the_alarms_of_restores_watch_what_the_worst_run_of_an_hour_saw(self):
        def alarms(**given):
            return {
                alarm["MetricName"]: alarm
                for alarm in steward(**given).of_type("AWS::CloudWatch::Alarm").values()
                if alarm.get("MetricName") in ROTATION.alarms
            }

        for name, alarm in alarms().items():
            # Runs of one database, which events wake, would hide another one in a sum or a minimum.
            self.assertEqual((alarm["Statistic"], alarm["Period"], alarm["Threshold"]), ("Maximum", 3600, 0), name)
            self.assertEqual(alarm["Dimensions"], [{"Name": "Function", "Value": "snapshot-rotation"}])
            self.assertEqual(alarm["TreatMissingData"], "notBreaching")
            self.assertEqual(alarm["EvaluationPeriods"], "12" if name == "CopiesPending" else 1)
        self.assertEqual(set(alarms()), ROTATION.alarms)
        self.assertEqual(set(alarms(SnapshotRotationCopyHours="0")), ROTATION.alarms - {"CopiesPending"})

    def test_the_doctor_looks_at_the_alarms_that_there_are(self):
        code = (HOUSE / "cli/src/doctor/alarms.rs").read_text()

        def names(constant):
            (listing,) = re.findall(rf"const {constant}: &\[&str\] = &\[([^\]]*)\]", code)
            return re.findall(r'"([\w-]+)"', listing)

        of_each = names("OF_A_FUNCTION") + names("IF_SCHEDULED")
        others = names("OF_ALL") + names("OF_ONE_FUNCTION") + names("OF_ONE_FUNCTION_IF_WANTED")
        wanted = {f"steward-{name}" for name in others}
        wanted |= {f"steward-{function.name}-{name}" for function in FUNCTIONS for name in of_each}
        alarms = steward().of_type("AWS::CloudWatch::Alarm").values()
        self.assertEqual({alarm["AlarmName"] for alarm in alarms}, wanted)
        # Those that the doctor only misses are those that can be turned off.
        off = steward(SnapshotRotationCopyHours="0", **{f"{each.prefix}OverdueHours": "0" for each in FUNCTIONS})
        left = {alarm["AlarmName"] for alarm in off.of_type("AWS::CloudWatch::Alarm").values()}
        missed = {f"steward-{name}" for name in names("OF_ONE_FUNCTION_IF_WANTED")}
        missed |= {f"steward-{function.name}-{name}" for function in FUNCTIONS for name in names("IF_SCHEDULED")}
        self.assertEqual(wanted - left, missed)

    def test_a_run_is_overdue_after_the_hours_that_were_said(self):
        for function in FUNCTIONS:

            def alarm(function=function, **given):
                stack = steward(**function.given(**given))
                return stack, stack.resources.get(f"{function.prefix}OverdueAlarm", {}).get("Properties")

            for hours, given in ((function.overdue_hours, {}), ("168", {"OverdueHours": "168"})):
                stack, properties = alarm(**given)
                self.assertEqual(properties["EvaluationPeriods"], hours)
                self.assertIn(f" {hours} hours", stack.text(properties["AlarmDescription"]))
                for metric in properties["Metrics"]:
                    if "MetricStat" in metric:
                        # PutMetricAlarm takes at most a week, and that only with periods of an hour or more.
                        self.assertEqual(metric["MetricStat"]["Period"], 3600)
                        of = metric["MetricStat"]["Metric"]["Dimensions"]
                        self.assertEqual(of, [{"Name": "Function", "Value": function.name}])
            self.assertIsNone(alarm(OverdueHours="0")[1])
            self.assertIsNone(alarm(ScheduleState="DISABLED")[1])

    def test_services_that_may_publish_are_those_that_do(self):
        stack = steward()

        def services(document, action):
            return {
                service
                for statement in document["Statement"]
                if statement["Effect"] == "Allow"
                and action in listed(statement["Action"])
                and "EncryptionContext" not in json.dumps(statement.get("Condition", {}))
                for service in listed(statement["Principal"].get("Service", []))
            }

        # Rules deliver to functions and buses only. For EventBridge the key's condition would let nothing through.
        targets = [target for rule in stack.of_type("AWS::Events::Rule").values() for target in rule["Targets"]]
        self.assertNotIn({"Ref": "Topic"}, [target["Arn"] for target in targets])
        alarms = {"cloudwatch.amazonaws.com"}
        self.assertEqual(
            services(stack.resources["TopicPolicy"]["Properties"]["PolicyDocument"], "sns:Publish"), alarms
        )
        self.assertEqual(
            services(stack.resources["OperationsKey"]["Properties"]["KeyPolicy"], "kms:GenerateDataKey*"), alarms
        )

    def test_every_role_can_be_bounded(self):
        boundary = "arn:aws:iam::123456789012:policy/boundary"
        for name, role in steward(PermissionsBoundaryArn=boundary).of_type("AWS::IAM::Role").items():
            self.assertEqual(role["PermissionsBoundary"], boundary, name)

    def test_every_statement_of_a_role_says_why_it_is_there(self):
        sids = {
            statement["Sid"]
            for _, stack in allowed_combinations()
            for role in stack.of_type("AWS::IAM::Role")
            for statement in statements(stack, role)
        }
        lines = TEXT.splitlines()
        for sid in sids:
            at = next(number for number, line in enumerate(lines) if line.strip() in (f"- Sid: {sid}", f"Sid: {sid}"))
            above = [line.strip() for line in lines[max(0, at - 3) : at]]
            self.assertTrue(any(line.startswith("# ") for line in above), sid)

    def test_restore_points_have_few_readers_and_one_writer(self):
        named = {"PlanPrincipals": "arn:aws:iam::123456789012:role/ops"}
        pruning, rotation = PRUNING.given(ReadsRestorePoints="true"), ROTATION.given(RestorePoints="true")
        for wanted, functions in (
            ({}, set()),
            (pruning, {"ImagePruningRole"}),
            (rotation, {"SnapshotRotationRole"}),
            (pruning | rotation, {"ImagePruningRole", "SnapshotRotationRole"}),
        ):
            for given, people in ((named, {"PlanRole"} if wanted else set()), ({}, set())):
                stack = steward(**given, **wanted, **APPLY)
                for action in ("s3:ListBucket", "kms:Decrypt"):
                    with_it = {
                        role
                        for role in stack.of_type("AWS::IAM::Role")
                        for statement in statements(stack, role)
                        if action in listed(statement["Action"]) and "RestorePoints" in statement["Sid"]
                    }
                    self.assertEqual(with_it, functions | people, action)
                writers = {role for role in stack.of_type("AWS::IAM::Role") if "s3:PutObject" in allowed(stack, role)}
                self.assertEqual(writers, functions & {"SnapshotRotationRole"})
        self.assertNotIn("s3:PutObject", allowed(steward(**rotation), "SnapshotRotationRole"))

    def test_restore_points_are_written_in_both_regions_with_the_keys_of_their_buckets(self):
        for given, buckets in (
            ({}, ["${RestorePoints.Arn}"]),
            ({"RecoveryBucket": RECOVERY_BUCKET}, ["${RestorePoints.Arn}", f"arn:aws:s3:::{RECOVERY_BUCKET}"]),
        ):
            stack = steward(**given, **ROTATION.to_apply(RestorePoints="true"))
            of = {each["Sid"]: each for each in statements(stack, "SnapshotRotationRole") if "RestorePoints" in each["Sid"]}
            objects = [f"{bucket}/*" for bucket in buckets]
            for sid, resources in (
                ("ListRestorePoints", buckets),
                ("ReadRestorePoints", objects),
                ("WriteRestorePoints", objects),
            ):
                self.assertEqual(list(map(stack.text, of.pop(sid)["Resource"])), resources, sid)
            self.assertEqual(set(of), {"DecryptRestorePoints", "EncryptRestorePoints"})
            for statement in of.values():
                # Of all keys those that S3 uses for these buckets.
                self.assertEqual(statement["Condition"]["StringLike"], {"kms:ViaService": "s3.*.amazonaws.com"})
                ((key, named),) = statement["Condition"]["StringEquals"].items()
                self.assertEqual(key, "kms:EncryptionContext:aws:s3:arn")
                self.assertEqual(list(map(stack.text, named)), buckets)
        (rule,) = stack.resources["RestorePoints"]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        self.assertIs(rule["BucketKeyEnabled"], True)

    def test_restore_points_are_kept_close(self):
        bucket = steward(RestorePointLockDays="30").resources["RestorePoints"]["Properties"]
        self.assertEqual(bucket["VersioningConfiguration"], {"Status": "Enabled"})
        self.assertEqual(set(bucket["PublicAccessBlockConfiguration"].values()), {True})
        (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        self.assertEqual(
            encryption["ServerSideEncryptionByDefault"],
            {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::GetAtt": ["RestorePointKey", "Arn"]}},
        )
        self.assertEqual(
            bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"], {"Mode": "GOVERNANCE", "Days": "30"}
        )
        self.assertNotIn("ObjectLockEnabled", steward().resources["RestorePoints"]["Properties"])


if __name__ == "__main__":
    unittest.main()
