"""IAM over both emulators: a role may do what its policies say, on what they say, and root everything."""

import json
import tempfile
import unittest
import urllib.error
import urllib.request

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from support import Server

ACCOUNT = "123456789012"
REPOSITORY = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository"
DATABASES = f"arn:aws:rds:us-east-1:{ACCOUNT}"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "ecr:DescribeRepositories", "Resource": f"{REPOSITORY}/*"},
        {
            "Effect": "Allow",
            "Action": ["ecr:BatchDeleteImage", "ecr:ListTagsForResource"],
            "Resource": f"{REPOSITORY}/shop/*",
        },
        {
            "Effect": "Deny",
            "Action": "ecr:BatchDeleteImage",
            "Resource": "*",
            "Condition": {"Null": {"aws:ResourceTag/steward:hold": "false"}},
        },
        {
            "Effect": "Allow",
            "Action": "ssm:GetParameters",
            "Resource": f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/switches/*",
        },
        {
            "Effect": "Allow",
            "Action": "ssm:GetCalendarState",
            "Resource": f"arn:aws:ssm:us-east-1:{ACCOUNT}:document/freeze",
        },
        {
            "Effect": "Allow",
            "Action": ["ecs:UpdateService", "ecs:TagResource"],
            "Resource": f"arn:aws:ecs:us-east-1:{ACCOUNT}:service/shop/*",
        },
        {
            "Effect": "Allow",
            "Action": ["autoscaling:UpdateAutoScalingGroup", "autoscaling:DeleteTags"],
            "Resource": f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/shop",
        },
        {
            "Effect": "Allow",
            "Action": ["rds:CreateDBSnapshot", "rds:AddTagsToResource"],
            "Resource": [f"{DATABASES}:db:shop", f"{DATABASES}:snapshot:steward-*"],
        },
        {
            "Effect": "Allow",
            "Action": "rds:DeleteDBSnapshot",
            "Resource": f"{DATABASES}:snapshot:*",
            "Condition": {"StringEquals": {"aws:ResourceTag/steward:managed-by": "snapshot-rotation"}},
        },
        {
            "Effect": "Allow",
            "Action": ["cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource"],
            "Resource": f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:shop-*",
        },
        {
            "Effect": "Allow",
            "Action": ["ecs:StopTask", "ecs:StopServiceDeployment", "ecs:UpdateContainerInstancesState"],
            "Resource": f"arn:aws:ecs:us-east-1:{ACCOUNT}:*/shop/*",
        },
        {
            "Effect": "Allow",
            "Action": "ecs:StopServiceDeployment",
            "Resource": f"arn:aws:ecs:us-east-1:{ACCOUNT}:service-deployment/half/*",
        },
        {
            "Effect": "Allow",
            "Action": ["ecs:UpdateService", "autoscaling:UpdateAutoScalingGroup"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceTag/owner": "web"}},
        },
        {
            "Effect": "Deny",
            "Action": ["ecs:UpdateService", "autoscaling:UpdateAutoScalingGroup"],
            "Resource": "*",
            "Condition": {"Null": {"aws:ResourceTag/steward:hold": "false"}},
        },
        {
            "Effect": "Allow",
            "Action": "autoscaling:SetInstanceHealth",
            "Resource": f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/capacity",
        },
        {"Effect": "Allow", "Action": "sns:Publish", "Resource": f"arn:aws:sns:us-east-1:{ACCOUNT}:told"},
        {"Effect": "Allow", "Action": "lambda:GetFunction", "Resource": f"arn:aws:lambda:*:{ACCOUNT}:function:*"},
    ],
}


class Enforcement(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        state = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        cls.addClassCleanup(state.cleanup)
        cls.moto = Server("moto")
        cls.addClassCleanup(cls.moto.end)
        cls.ministack = Server("ministack", "--state-dir", state.name, "--moto-url", cls.moto.url, "--enforce")
        cls.addClassCleanup(cls.ministack.end)
        ecr = cls.root("ecr", cls.moto.url)
        for name, tags in (("shop/web", {}), ("shop/held", {"steward:hold": "audit"}), ("tools/base", {})):
            ecr.create_repository(repositoryName=name, tags=[{"Key": key, "Value": tags[key]} for key in tags])
        iam = cls.root("iam", cls.ministack.url)
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
            ],
        }
        role = iam.create_role(RoleName="function", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName="function", PolicyName="may", PolicyDocument=json.dumps(POLICY))
        cls.session = cls.root("sts", cls.ministack.url).assume_role(RoleArn=role, RoleSessionName="run")["Credentials"]

    @classmethod
    def root(cls, service, url):
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="whatever",
        )

    def role(self, service, secret=None):
        """A client of the role, which sends everything to ministack, as functions do."""
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=self.ministack.url,
            aws_access_key_id=self.session["AccessKeyId"],
            aws_secret_access_key=secret or self.session["SecretAccessKey"],
            aws_session_token=self.session["SessionToken"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def assert_denied(self, said, operation, **parameters):
        with self.assertRaises(ClientError) as refused:
            operation(**parameters)
        self.assertIn("is not authorized to perform", str(refused.exception))
        self.assertIn(said, str(refused.exception))

    def test_what_a_role_asks_of_the_account_looked_after_is_judged_and_then_answered_by_moto(self):
        ecr = self.role("ecr")
        found = {repository["repositoryName"] for repository in ecr.describe_repositories()["repositories"]}
        self.assertEqual(found, {"shop/web", "shop/held", "tools/base"})
        self.assertEqual(ecr.list_tags_for_resource(resourceArn=f"{REPOSITORY}/shop/held")["tags"][0]["Value"], "audit")
        self.assert_denied("ecr:ListTagsForResource", ecr.list_tags_for_resource, resourceArn=f"{REPOSITORY}/tools/base")
        self.assert_denied("ecr:DescribeImages", ecr.describe_images, repositoryName="shop/web")
        with self.assertRaises(ClientError) as missing:
            self.role("lambda").get_function(FunctionName="no-such-function")
        self.assertEqual(missing.exception.response["Error"]["Code"], "ResourceNotFoundException")
        self.assert_denied("lambda:ListFunctions", self.role("lambda").list_functions)

    def test_writes_are_judged_by_repository_and_by_its_tags(self):
        ecr = self.role("ecr")
        nothing = {"imageIds": [{"imageDigest": f"sha256:{0:064x}"}]}
        answer = ecr.batch_delete_image(repositoryName="shop/web", **nothing)
        self.assertEqual(answer["failures"][0]["failureCode"], "ImageNotFound")
        self.assert_denied("ecr:BatchDeleteImage", ecr.batch_delete_image, repositoryName="tools/base", **nothing)
        self.assert_denied("explicit deny", ecr.batch_delete_image, repositoryName="shop/held", **nothing)

    def test_snapshots_are_judged_by_all_that_a_call_names_and_by_their_tags(self):
        owner, rds = self.root("rds", self.moto.url), self.role("rds")
        for name in ("shop", "blog"):
            owner.create_db_instance(
                DBInstanceIdentifier=name,
                DBInstanceClass="db.t3.micro",
                Engine="postgres",
                MasterUsername="master",
                MasterUserPassword="not-a-secret",
                AllocatedStorage=20,
            )
        tags = [{"Key": "steward:managed-by", "Value": "snapshot-rotation"}]
        rds.create_db_snapshot(DBInstanceIdentifier="shop", DBSnapshotIdentifier="steward-a", Tags=tags)
        rds.create_db_snapshot(DBInstanceIdentifier="shop", DBSnapshotIdentifier="steward-b")
        for database, snapshot in (("shop", "other"), ("blog", "steward-c")):
            named = {"DBInstanceIdentifier": database, "DBSnapshotIdentifier": snapshot}
            self.assert_denied("rds:CreateDBSnapshot", rds.create_db_snapshot, **named)
        rds.delete_db_snapshot(DBSnapshotIdentifier="steward-a")
        self.assert_denied("rds:DeleteDBSnapshot", rds.delete_db_snapshot, DBSnapshotIdentifier="steward-b")
        rds.add_tags_to_resource(ResourceName=f"{DATABASES}:snapshot:steward-b", Tags=tags)
        blog = {"ResourceName": f"{DATABASES}:db:blog", "Tags": tags}
        self.assert_denied("rds:AddTagsToResource", rds.add_tags_to_resource, **blog)
        rds.delete_db_snapshot(DBSnapshotIdentifier="steward-b")

    def test_every_parameter_of_a_call_is_judged(self):
        ssm = self.role("ssm")
        self.assertEqual(ssm.get_parameters(Names=["/switches/all"])["InvalidParameters"], ["/switches/all"])
        self.assert_denied("parameter/shop/password", ssm.get_parameters, Names=["/switches/all", "/shop/password"])

    def test_every_calendar_of_a_call_is_judged(self):
        ssm = self.role("ssm")
        with self.assertRaises(ClientError) as missing:
            ssm.get_calendar_state(CalendarNames=["freeze"])
        self.assertEqual(missing.exception.response["Error"]["Code"], "InvalidDocument")
        self.assert_denied("document/other", ssm.get_calendar_state, CalendarNames=["freeze", "other"])

    def test_services_and_groups_are_judged_each_by_its_arn(self):
        self.root("ecs", self.moto.url).create_cluster(clusterName="shop")
        ecs, groups = self.role("ecs"), self.role("autoscaling")
        tags = [{"key": "steward:parked", "value": "now"}]
        arn = f"arn:aws:ecs:us-east-1:{ACCOUNT}:service"
        service, missing = {"service": "web", "desiredCount": 0}, "ServiceNotFoundException"
        self.assert_answered_by_moto(missing, ecs.update_service, cluster="shop", **service)
        self.assert_answered_by_moto(missing, ecs.tag_resource, resourceArn=f"{arn}/shop/web", tags=tags)
        self.assert_denied("ecs:UpdateService", ecs.update_service, cluster="blog", **service)
        self.assert_denied("ecs:TagResource", ecs.tag_resource, resourceArn=f"{arn}/blog/web", tags=tags)
        resize, untag = groups.update_auto_scaling_group, groups.delete_tags
        tag = {"ResourceType": "auto-scaling-group", "Key": "steward:parked"}
        self.assert_answered_by_moto("ValidationError", resize, AutoScalingGroupName="shop", MinSize=0)
        self.assert_answered_by_moto("ValidationError", untag, Tags=[{**tag, "ResourceId": "shop"}])
        self.assert_denied("autoscaling:UpdateAutoScalingGroup", resize, AutoScalingGroupName="blog", MinSize=0)
        both = [{**tag, "ResourceId": name} for name in ("shop", "blog")]
        self.assert_denied("autoscaling:DeleteTags", untag, Tags=both)

    def test_alarms_are_judged_by_name_in_either_protocol(self):
        alarm = f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm"
        cloudwatch = self.role("cloudwatch")
        self.assertEqual([], cloudwatch.describe_alarms(AlarmNames=["shop-errors"])["MetricAlarms"])
        self.assert_denied("cloudwatch:DescribeAlarms", cloudwatch.describe_alarms, AlarmNames=["shop-a", "blog"])
        self.assert_denied("cloudwatch:DescribeAlarms", cloudwatch.describe_alarms)
        both = {"AlarmNames": ["shop-a"], "AlarmTypes": ["CompositeAlarm"]}
        self.assert_denied("cloudwatch:DescribeAlarms", cloudwatch.describe_alarms, **both)
        tags = cloudwatch.list_tags_for_resource
        self.assertEqual([], tags(ResourceARN=f"{alarm}:shop-errors")["Tags"])
        self.assert_denied("cloudwatch:ListTagsForResource", tags, ResourceARN=f"{alarm}:blog")
        self.assertEqual((200, None), self.describe_in_cbor("shop-errors"))
        self.assertEqual((403, "AccessDeniedException"), self.describe_in_cbor("blog"))

    def describe_in_cbor(self, name):
        """The status and error of a call in the protocol of the Rust SDK, which this SDK's client does not choose."""
        model = self.root("cloudwatch", self.moto.url).meta.service_model.operation_model("DescribeAlarms")
        asked = create_serializer("smithy-rpc-v2-cbor").serialize_to_request({"AlarmNames": [name]}, model)
        url = self.ministack.url + asked["url_path"]
        request = AWSRequest("POST", url, headers=asked["headers"], data=bytes(asked["body"]))
        keys = Credentials(*(self.session[key] for key in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
        SigV4Auth(keys, "monitoring", "us-east-1").add_auth(request)
        sent = urllib.request.Request(url, data=request.data, headers=dict(request.headers), method="POST")
        try:
            answer = urllib.request.urlopen(sent)
        except urllib.error.HTTPError as refused:
            answer = refused
        with answer:
            received = {"body": answer.read(), "headers": dict(answer.headers), "status_code": answer.status}
        parsed = create_parser("smithy-rpc-v2-cbor").parse(received, model.output_shape)
        return answer.status, parsed.get("Error", {}).get("Code")

    def test_writes_of_ecs_are_judged_on_what_they_name(self):
        self.root("ecs", self.moto.url).create_cluster(clusterName="shop")
        self.root("ecs", self.moto.url).create_cluster(clusterName="blog")
        ecs, invalid = self.role("ecs"), "InvalidParameterException"
        self.assert_answered_by_moto(invalid, ecs.stop_task, cluster="shop", task="a" * 32)
        self.assert_denied("ecs:StopTask", ecs.stop_task, cluster="blog", task="a" * 32)
        deployment = f"arn:aws:ecs:us-east-1:{ACCOUNT}:service-deployment"
        stop, missing = ecs.stop_service_deployment, "ServiceDeploymentNotFoundException"
        self.assert_answered_by_moto(missing, stop, serviceDeploymentArn=f"{deployment}/shop/web/1")
        self.assert_denied("ecs:StopServiceDeployment", stop, serviceDeploymentArn=f"{deployment}/blog/web/1")
        drain = {"containerInstances": ["b" * 32], "status": "DRAINING"}
        update = ecs.update_container_instances_state
        self.assertEqual("MISSING", update(cluster="shop", **drain)["failures"][0]["reason"])
        self.assert_denied("ecs:UpdateContainerInstancesState", update, cluster="blog", **drain)

    def test_an_instance_is_judged_by_its_group(self):
        owner = self.root("autoscaling", self.moto.url)
        body = json.dumps({"account": ACCOUNT}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.moto.url}/sandbox/network", data=body)) as answer:
            subnet = json.load(answer)["private_subnets"][0]
        instances = {}
        for name in ("capacity", "elsewhere"):
            owner.create_launch_configuration(
                LaunchConfigurationName=name, ImageId="ami-12c6146b", InstanceType="t3.medium"
            )
            sizes = {"MinSize": 0, "MaxSize": 1, "DesiredCapacity": 1, "VPCZoneIdentifier": subnet}
            owner.create_auto_scaling_group(AutoScalingGroupName=name, LaunchConfigurationName=name, **sizes)
            [group] = owner.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
            instances[name] = group["Instances"][0]["InstanceId"]
        put = self.role("autoscaling").set_instance_health
        put(InstanceId=instances["capacity"], HealthStatus="Unhealthy")
        denied = {"InstanceId": instances["elsewhere"], "HealthStatus": "Unhealthy"}
        self.assert_denied("autoscaling:SetInstanceHealth", put, **denied)

    def test_the_tags_of_services_and_groups_count(self):
        ecs, groups = self.root("ecs", self.moto.url), self.root("autoscaling", self.moto.url)
        ecs.create_cluster(clusterName="tagged")
        ecs.register_task_definition(family="web", containerDefinitions=[{"name": "web", "image": "web", "memory": 64}])
        body = json.dumps({"account": ACCOUNT}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.moto.url}/sandbox/network", data=body)) as answer:
            subnet = json.load(answer)["private_subnets"][0]
        groups.create_launch_configuration(LaunchConfigurationName="t", ImageId="ami-12c6146b", InstanceType="t3.small")
        for name, tags in (("mine", {"owner": "web"}), ("held", {"owner": "web", "steward:hold": "audit"}), ("other", {})):
            ecs.create_service(
                cluster="tagged",
                serviceName=name,
                taskDefinition="web",
                desiredCount=0,
                tags=[{"key": key, "value": value} for key, value in tags.items()],
            )
            groups.create_auto_scaling_group(
                AutoScalingGroupName=f"tagged-{name}",
                LaunchConfigurationName="t",
                MinSize=0,
                MaxSize=1,
                VPCZoneIdentifier=subnet,
                Tags=[{"Key": key, "Value": tags[key], "PropagateAtLaunch": False} for key in tags],
            )
        update, resize = self.role("ecs").update_service, self.role("autoscaling").update_auto_scaling_group
        update(cluster="tagged", service="mine", desiredCount=1)
        resize(AutoScalingGroupName="tagged-mine", MaxSize=2)
        for name in ("held", "other"):
            self.assert_denied("ecs:UpdateService", update, cluster="tagged", service=name, desiredCount=1)
            refused = {"AutoScalingGroupName": f"tagged-{name}", "MaxSize": 2}
            self.assert_denied("autoscaling:UpdateAutoScalingGroup", resize, **refused)

    def test_the_end_of_a_deployment_is_judged_on_its_service_as_well(self):
        deployment = f"arn:aws:ecs:us-east-1:{ACCOUNT}:service-deployment/half/web/1"
        stop = self.role("ecs").stop_service_deployment
        # It may do so to the deployment.
        self.assert_denied("ecs:StopServiceDeployment", stop, serviceDeploymentArn=deployment)

    def assert_answered_by_moto(self, code, operation, **parameters):
        with self.assertRaises(ClientError) as refused:
            operation(**parameters)
        self.assertEqual(code, refused.exception.response["Error"]["Code"])

    def test_publishing_in_one_batch_is_publishing(self):
        topic = self.root("sns", self.ministack.url).create_topic(Name="told")["TopicArn"]
        letters = [{"Id": "1", "Message": "hello"}]
        sent = self.role("sns").publish_batch(TopicArn=topic, PublishBatchRequestEntries=letters)
        self.assertEqual(len(sent["Successful"]), 1)
        other = self.root("sns", self.ministack.url).create_topic(Name="other")["TopicArn"]
        with self.assertRaises(ClientError) as refused:
            self.role("sns").publish_batch(TopicArn=other, PublishBatchRequestEntries=letters)
        self.assertEqual(refused.exception.response["Error"]["Code"], "AuthorizationError")

    def test_a_wrong_signature_is_nobody(self):
        with self.assertRaises(ClientError) as refused:
            self.role("ecr", secret="guessed").describe_repositories()
        self.assertIn("signature", str(refused.exception).lower())

    def test_root_is_not_judged(self):
        self.root("ssm", self.ministack.url).put_parameter(Name="/any", Type="String", Value="x")
        self.root("ecr", self.moto.url).describe_images(repositoryName="tools/base")


if __name__ == "__main__":
    unittest.main()
