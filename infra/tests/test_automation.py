"""automation.yaml gives each function what its code needs and nothing else, and loses no wake-up without a trace."""

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
POLICY = "{version: 1, repositories: {include: ['shop/*']}}"
APPLY = {"ImagePruningMode": "apply", "ImagePruningPolicy": POLICY}
RECOVERY_BUCKET = "steward-restore-points-123456789012-eu-west-1"
SWITCHES = (
    ({}, {"Role": "recovery"}, {"RecoveryBucket": RECOVERY_BUCKET}),
    ({}, APPLY),
    ({}, {"ImagePruningPolicyParameter": "/shop/pruning"}, {"ImagePruningPolicyObject": "shop/pruning.yaml"}),
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
        },
    ),
    ({}, {"ImagePruningReadsRestorePoints": "true"}),
)

READS = ("Describe", "List", "Get", "BatchGet", "Simulate")
# What reading takes beside: of restore points, and in other accounts.
TO_READ = {"kms:Decrypt", "sts:AssumeRole"}


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


class Template(unittest.TestCase):
    def test_whatever_is_referred_to_exists(self):
        for given, stack in allowed_combinations():
            with self.subTest(**given):
                self.assertEqual(stack.dangling(), [])

    def test_wrong_combinations_are_refused_with_a_reason(self):
        for given, reason in (
            ({"ImagePruningMode": "apply"}, "needs a policy that selects repositories"),
            ({"Role": "recovery", "RecoveryBucket": RECOVERY_BUCKET}, "leave RecoveryBucket empty"),
            ({"RecoveryBucket": "elsewhere"}, "the recovery stack's output"),
            ({"ImagePruningPolicyParameter": "policy"}, "with its slash in front"),
            ({"ImagePruningPolicyObject": "s3://bucket/key"}, "BUCKET/KEY"),
            ({"ImagePruningPolicyObject": "bucket/*"}, "BUCKET/KEY"),
            ({"ImagePruningPolicyParameter": "/a", "ImagePruningPolicyObject": "bucket/key"}, "not both"),
            ({"ImagePruningSchedule": "0 3 * * *"}, "cron(…) or rate(…)"),
            ({"ImagePruningRepositories": "Shop"}, "a repository's name"),
            ({"LogLevel": "WARN"}, "AllowedValues"),
            ({"ImagePruningOverdueHours": "169"}, "MaxValue"),
        ):
            with self.subTest(**given), self.assertRaises(Refused) as refused:
                steward(**given)
            self.assertIn(reason, str(refused.exception))

    def test_a_deployment_with_defaults_changes_nothing(self):
        stack = steward()
        self.assertEqual(
            stack.resources["ImagePruning"]["Properties"]["Environment"]["Variables"]["STEWARD_MODE"], "plan"
        )
        self.assertEqual(
            stack.resources["ImagePruning"]["Properties"]["CodeUri"], "../target/lambda/image-pruning/bootstrap.zip"
        )
        self.assertEqual(stack.resources["ImagePruningAfterPush"]["Properties"]["State"], "DISABLED")
        self.assertEqual(
            [
                action
                for action in allowed(stack, "ImagePruningRole")
                if action.startswith("ecr:") and not is_read(action)
            ],
            [],
        )

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
        self.assertEqual(named - of_the_cli - set(TEMPLATE["Parameters"]), set())
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
        recovery = steward(Role="recovery", ImagePruningReadsRestorePoints="true")
        primary = steward(RecoveryBucket=RECOVERY_BUCKET, ImagePruningReadsRestorePoints="true")
        self.assertEqual(recovery.resources, primary.resources)
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
        prefix = {function: "".join(map(str.capitalize, function.split("-"))) for function in functions}

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
        variables = steward().resources["ImagePruning"]["Properties"]["Environment"]["Variables"]
        # The policy is always in a place of its own: a change of it is no deployment of the function.
        self.assertEqual(read - set(variables), {"STEWARD_POLICY"})
        self.assertEqual(set(variables) - read, set())
        # And the mode takes what the code takes.
        (modes,) = re.findall(r'name: MODE,.*?allowed: "([^"]+)"', code, re.DOTALL)
        self.assertEqual(TEMPLATE["Parameters"]["ImagePruningMode"]["AllowedValues"], modes.split(", "))

    def test_no_other_code_reads_the_environment(self):
        sources = [*HOUSE.glob("shared/src/**/*.rs"), *HOUSE.glob("functions/*/src/**/*.rs")]
        reading = {
            source.relative_to(HOUSE).as_posix(): line.strip()
            for source in sources
            for line in source.read_text().splitlines()
            if re.search(r"\benv::var|\benv::vars|\bvar_os\(", line)
        }
        # The one lookup that main.rs hands to Environment::read.
        for name in reading:
            self.assertRegex(name, r"^functions/[\w-]+/src/main\.rs$")
            self.assertIn("steward::lambda::serve::<", reading[name])
        functions = {path.parent.name for path in HOUSE.glob("functions/*/Cargo.toml")}
        self.assertEqual({name.split("/")[1] for name in reading}, functions)

    def test_roles_allow_what_the_code_calls_and_nothing_else(self):
        sections = (HOUSE / "functions/image-pruning/README.md").read_text().split("\n### ")

        def actions(heading):
            (section,) = [section for section in sections if section.startswith(f"{heading}\n")]
            return set(re.findall(r"^\| `([a-z0-9]+:[\w*]+)`", section, re.MULTILINE))

        # That the code calls the former is proved by a recording of its calls (functions/image-pruning/tests/sandbox).
        called, behind = actions("Permissions"), actions("Permissions behind a call")
        granted = set()
        for place in ("", "shop/pruning.yaml"):
            stack = steward(
                **APPLY,
                ImagePruningPolicyObject=place,
                ImagePruningReaderRoles="arn:aws:iam::*:role/reads",
                ImagePruningReadsRestorePoints="true",
            )
            granted |= allowed(stack, "ImagePruningRole")
        self.assertEqual(called - granted, set(), "called, and not granted")
        self.assertEqual(granted - called, behind, "granted, and not called")
        self.assertEqual(allowed(steward(), "ImagePruningWakeRole"), {"lambda:InvokeFunction", "sqs:SendMessage"})

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
        for given, stack in allowed_combinations():
            for role in stack.of_type("AWS::IAM::Role"):
                for statement in statements(stack, role):
                    writes = [action for action in listed(statement["Action"]) if not is_read(action)]
                    if statement["Effect"] == "Allow" and writes and "xray:PutTraceSegments" not in writes:
                        self.assertNotIn("*", listed(statement["Resource"]), f"{role} {statement['Sid']}")
            if given.get("ImagePruningMode") == "apply":
                remove, deny = stack.resources["ImagePruningWrites"]["Properties"]["PolicyDocument"]["Statement"]
                self.assertEqual(
                    stack.text(remove["Resource"]), "arn:aws:ecr:eu-central-1:123456789012:repository/shop/*"
                )
                self.assertEqual((deny["Effect"], deny["Action"], deny["Resource"]), ("Deny", remove["Action"], "*"))
                self.assertEqual(deny["Condition"], {"Null": {"aws:ResourceTag/steward:hold": "false"}})

    def test_reading_a_manifest_is_no_pull(self):
        stack = steward()
        excluded = {
            exclusion["PrincipalArn"]["Fn::GetAtt"][0]
            for exclusion in stack.of_type("AWS::ECR::PullTimeUpdateExclusion").values()
        }
        reading = {role for role in stack.of_type("AWS::IAM::Role") if "ecr:BatchGetImage" in allowed(stack, role)}
        self.assertEqual(excluded, reading)

    def test_the_policy_that_may_be_read_is_the_one_that_the_function_is_told(self):
        for place, told, resource in (
            (
                {},
                "ssm:${ImagePruningPolicyDocument}",
                "arn:aws:ssm:eu-central-1:123456789012:parameter${ImagePruningPolicyDocument}",
            ),
            (
                {"ImagePruningPolicyParameter": "/shop/pruning"},
                "ssm:/shop/pruning",
                "arn:aws:ssm:eu-central-1:123456789012:parameter/shop/pruning",
            ),
            (
                {"ImagePruningPolicyObject": "shop/pruning.yaml"},
                "s3://shop/pruning.yaml",
                "arn:aws:s3:::shop/pruning.yaml",
            ),
        ):
            stack = steward(**place)
            variables = stack.resources["ImagePruning"]["Properties"]["Environment"]["Variables"]
            (statement,) = [each for each in statements(stack, "ImagePruningRole") if each["Sid"] == "ReadThePolicy"]
            self.assertEqual(
                (stack.text(variables["STEWARD_POLICY_FROM"]), stack.text(statement["Resource"])), (told, resource)
            )
        # Names of Parameter Store begin with a slash, which the ARN has once.
        self.assertEqual(
            steward().resources["ImagePruningPolicyDocument"]["Properties"]["Name"], "/steward/policy/image-pruning"
        )

    def test_policies_in_the_template_are_policies(self):
        schema = json.loads((HOUSE / "functions/image-pruning/policy.schema.json").read_text())
        for text in (steward().parameters["ImagePruningPolicy"], POLICY):
            jsonschema.validate(yaml.safe_load(text), schema)
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.validate({"version": 1, "repositorys": {}}, schema)

    def test_kill_switches_are_those_that_the_code_asks_for(self):
        code = (HOUSE / "shared/src/switches.rs").read_text()
        for_all = re.search(r'pub const ALL: &str = "([^"]+)"', code)[1]
        prefix = re.search(r'format!\("([^"{]+)\{function\}"\)', code)[1]
        switches = {
            parameter["Name"]: parameter["Value"]
            for parameter in steward().of_type("AWS::SSM::Parameter").values()
            if "kill-switch" in parameter["Name"]
        }
        self.assertEqual(switches, {for_all: "off", f"{prefix}image-pruning": "off"})

    def test_rules_match_the_recorded_events_that_they_are_for(self):
        events = recorded_events()
        for name, rule in steward().of_type("AWS::Events::Rule").items():
            pattern = rule["EventPattern"]
            self.assertEqual({event for event in events if matches(pattern, events[event])}, MATCHED[name], name)
            # Nothing in the pattern is idle: an event that differs in one field is not for it.
            for near_miss in near_misses(pattern, events[min(MATCHED[name])]):
                self.assertFalse(matches(pattern, near_miss), near_miss)


# The recorded events that each rule is for.
MATCHED = {"ImagePruningAfterPush": {"ecr-push"}}


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
    """Whether EventBridge would match; of its operators only the list of exact values."""
    for key, wanted in pattern.items():
        found = event.get(key) if isinstance(event, dict) else None
        if isinstance(wanted, dict):
            if not matches(wanted, found):
                return False
        elif not all(isinstance(value, str) for value in wanted):
            raise ValueError(f"no exact values: {wanted}")
        elif found not in wanted:
            return False
    return True


class Shared(unittest.TestCase):
    def test_nothing_is_lost_without_a_trace(self):
        stack = steward()
        queue = {"Fn::GetAtt": ["DeadLetters", "Arn"]}
        targets = [rule["Targets"] for rule in stack.of_type("AWS::Events::Rule").values()]
        targets += [[schedule["Target"]] for schedule in stack.of_type("AWS::Scheduler::Schedule").values()]
        self.assertEqual(len(targets), 2)
        for target in itertools.chain(*targets):
            self.assertEqual(target["DeadLetterConfig"], {"Arn": queue})
            self.assertLessEqual(target["RetryPolicy"]["MaximumEventAgeInSeconds"], 3600)
        for schedule in stack.of_type("AWS::Scheduler::Schedule").values():
            # Every keyword of "Adding context attributes" (EventBridge Scheduler User Guide), under the names of the code.
            self.assertEqual(
                json.loads(schedule["Target"]["Input"]),
                {
                    "operation": "prune",
                    "scheduleArn": "<aws.scheduler.schedule-arn>",
                    "scheduledTime": "<aws.scheduler.scheduled-time>",
                    "executionId": "<aws.scheduler.execution-id>",
                    "attemptNumber": "<aws.scheduler.attempt-number>",
                },
            )
            self.assertEqual(schedule["FlexibleTimeWindow"]["Mode"], "FLEXIBLE")
        for function in stack.of_type("AWS::Serverless::Function").values():
            asynchronous = function["EventInvokeConfig"]
            self.assertEqual(asynchronous["DestinationConfig"]["OnFailure"]["Destination"], queue)
            self.assertEqual(asynchronous["MaximumRetryAttempts"], 0)

    def test_every_alarm_reaches_the_topic_and_watches_what_the_docs_advise(self):
        watched = set()
        for name, alarm in steward().of_type("AWS::CloudWatch::Alarm").items():
            self.assertEqual(alarm["AlarmActions"], [{"Ref": "Topic"}], name)
            for metric in alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}]):
                if "MetricStat" in metric:
                    watched.add(
                        (metric["MetricStat"]["Metric"]["Namespace"], metric["MetricStat"]["Metric"]["MetricName"])
                    )
        own = {"Failed", "RunFailed", "Gaps", "NotificationsFailed"}
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

    def test_the_doctor_looks_at_the_alarms_that_there_are(self):
        code = (HOUSE / "cli/src/doctor/alarms.rs").read_text()

        def names(constant):
            (listing,) = re.findall(rf"const {constant}: &\[&str\] = &\[([^\]]*)\]", code)
            return re.findall(r'"([\w-]+)"', listing)

        of_each = names("OF_A_FUNCTION") + names("IF_SCHEDULED")
        wanted = {f"steward-{name}" for name in names("OF_ALL")}
        wanted |= {f"steward-image-pruning-{name}" for name in of_each}
        alarms = steward().of_type("AWS::CloudWatch::Alarm").values()
        self.assertEqual({alarm["AlarmName"] for alarm in alarms}, wanted)

    def test_a_run_is_overdue_after_the_hours_that_were_said(self):
        def alarm(**given):
            return steward(**given).resources.get("ImagePruningOverdueAlarm", {}).get("Properties")

        for hours, given in (("26", {}), ("168", {"ImagePruningOverdueHours": "168"})):
            self.assertEqual(alarm(**given)["EvaluationPeriods"], hours)
            self.assertIn(f" {hours} hours", steward(**given).text(alarm(**given)["AlarmDescription"]))
            for metric in alarm(**given)["Metrics"]:
                if "MetricStat" in metric:
                    # PutMetricAlarm takes at most a week, and that only with periods of an hour or more.
                    self.assertEqual(metric["MetricStat"]["Period"], 3600)
        self.assertIsNone(alarm(ImagePruningOverdueHours="0"))
        self.assertIsNone(alarm(ImagePruningScheduleState="DISABLED"))

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

        # Rules deliver to the functions only. For EventBridge the key's condition would let nothing through.
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

    def test_restore_points_have_few_readers(self):
        def readers(stack):
            return {role for role in stack.of_type("AWS::IAM::Role") if "s3:ListBucket" in allowed(stack, role)}

        named = {"PlanPrincipals": "arn:aws:iam::123456789012:role/ops"}
        wanted = {"ImagePruningReadsRestorePoints": "true"}
        self.assertEqual(readers(steward()), set())
        self.assertEqual(readers(steward(**named)), set())
        self.assertEqual(readers(steward(**wanted)), {"ImagePruningRole"})
        self.assertEqual(readers(steward(**named, **wanted)), {"ImagePruningRole", "PlanRole"})

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
