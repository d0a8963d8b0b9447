"""Deploys a template into the sandbox, as `aws cloudformation deploy` does for real.

    python deploy.py --endpoint URL --account N --region R --stack NAME --template FILE [--package FUNCTION=ZIP …] [KEY=VALUE …]

prints the stack's outputs as JSON. A stack that is there is updated. ministack reads the template as CloudFormation does
(limits, Rules, parameters, conditions, references, dynamic references) and makes what it knows. What it doesn't know is
taken out by the lists below, which test_deploys.py keeps exact.
"""

import argparse
import io
import json
import pathlib
import re
import sys
import time
import zipfile

import boto3
from template import load, references

SECONDS_TO_DEPLOY = 60

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
UNSUPPORTED_RESOURCES = {
    "TasksMissingAlarm": "metric math",
    "ImagePruningOverdueAlarm": "metric math",
    "SnapshotRotationOverdueAlarm": "metric math",
    "ScheduledScalingOverdueAlarm": "metric math",
    "AlarmRemediationOverdueAlarm": "metric math",
}

# What runs as a function that is deployed without a package: nothing.
NO_EXECUTABLE = b"#!/bin/sh\nexit 1\n"


class Failed(Exception):
    """A stack that did not come up, with what each of its resources said."""


class Target:
    """An account and Region of an emulator."""

    def __init__(self, endpoint, account, region):
        self.endpoint = endpoint
        self.account = account
        self.region = region
        self.bucket = f"templates-{account}-{region}"

    def aws(self, service):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.account,
            aws_secret_access_key="sandbox",
        )

    def store(self, key, body):
        """Puts an object where templates and packages are, and answers its address."""
        place = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
        objects = self.aws("s3")
        if self.bucket not in [bucket["Name"] for bucket in objects.list_buckets()["Buckets"]]:
            objects.create_bucket(Bucket=self.bucket, **({"CreateBucketConfiguration": place} if place else {}))
        objects.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"{self.endpoint}/{self.bucket}/{key}"

    def deploy(self, stack, template, parameters):
        """Makes or updates the stack, and answers its outputs."""
        cloudformation = self.aws("cloudformation")
        # Too long to be sent inline, as for real; `aws cloudformation deploy --s3-bucket` does the same.
        arguments = {
            "StackName": stack,
            "TemplateURL": self.store(stack, json.dumps(template).encode()),
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        }
        there = stack in [each["StackName"] for each in cloudformation.list_stacks()["StackSummaries"]]
        (cloudformation.update_stack if there else cloudformation.create_stack)(**arguments)
        deadline = time.monotonic() + SECONDS_TO_DEPLOY
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
        if seen["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE") or failed:
            raise Failed(f"{stack} is {seen['StackStatus']}: {failed}")
        return {output["OutputKey"]: output["OutputValue"] for output in seen["Outputs"]}


def functions(template):
    """Every function, with the name that is in the path of its package."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            yield name, pathlib.PurePath(resource["Properties"]["CodeUri"]).parent.name


def packaged(target, template, executables):
    """The template with a package of each function in a bucket, as `aws cloudformation package` and `sam deploy` leave it.

    A function without an executable is deployed and cannot run.
    """
    packages = dict(functions(template))
    unknown = set(executables) - set(packages.values())
    if unknown:
        raise Failed(f"no function of the template: {sorted(unknown)}")
    resources = dict(template["Resources"])
    for name, function in packages.items():
        key = f"{function}.zip"
        body = pathlib.Path(executables[function]).read_bytes() if function in executables else NO_EXECUTABLE
        target.store(key, package_of(body))
        code = {"CodeUri": {"Bucket": target.bucket, "Key": key}}
        resources[name] = resources[name] | {"Properties": resources[name]["Properties"] | code}
    return template | {"Resources": resources}


def package_of(body):
    """A package as cargo-lambda makes it; a zip is one already."""
    # An executable may have an archive in it, and does not begin with one.
    if body.startswith(b"PK") and zipfile.is_zipfile(io.BytesIO(body)):
        return body
    package = io.BytesIO()
    # Not compressed: it goes no further than this machine.
    with zipfile.ZipFile(package, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, body)
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


def main():
    parser = argparse.ArgumentParser(description="Deploys a template into the sandbox.")
    for name in ("endpoint", "account", "region", "stack", "template"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument(
        "--package",
        action="append",
        default=[],
        metavar="FUNCTION=FILE",
        help="a function's executable, or a zip with it; a function without one is deployed and cannot run",
    )
    parser.add_argument("parameters", nargs="*", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    target = Target(arguments.endpoint, arguments.account, arguments.region)
    template = without_unsupported(load(arguments.template))
    parameters = dict(parameter.split("=", 1) for parameter in arguments.parameters)
    executables = dict(package.split("=", 1) for package in arguments.package)
    try:
        template = packaged(target, template, executables)
        json.dump(target.deploy(arguments.stack, template, parameters), sys.stdout)
    except Failed as failed:
        sys.exit(str(failed))


if __name__ == "__main__":
    main()
