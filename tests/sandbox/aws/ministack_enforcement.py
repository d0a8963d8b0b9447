"""IAM for the whole sandbox: ministack judges what a role asks for, and moto answers what is its own.

ministack knows the roles, and the sessions of the functions that run under them. With AUTH=true it checks their
signatures and judges their requests by the role's policies, conditions included; moto knows policies by action only.
So functions send everything to ministack, and what is allowed and belongs to the account looked after goes on to moto as
it came. Whoever signs with an account number is that account's root, as everywhere in the sandbox, and is not judged.

What ministack judges otherwise than AWS is put right here:

- ecr:DescribeRepositories is judged on the repositories that it names, or on `repository/*`; every call that names its
  repository by ARN on that ("Actions, resources, and condition keys for Amazon Elastic Container Registry", Service
  Authorization Reference). ministack takes `*`, which no statement about repositories allows.
- ssm:GetParameters is judged on each parameter that it names ("… for AWS Systems Manager"). ministack takes `*`.
- What makes, copies, shares, tags or deletes a snapshot of a database is judged on everything that it names: the
  database, the snapshot, its source and its target ("… for Amazon RDS"). ministack knows databases and clusters only.
- ssm:GetCalendarState is judged on the document of each calendar that it names. ministack takes `*`.
- Calls of Amazon ECS are judged on the services that they name, or on the ARN that they tag ("… for Amazon Elastic
  Container Service"), those that change Auto Scaling groups on each group ("… for Amazon EC2 Auto Scaling"). ministack
  takes the cluster and `*`.
- CloudWatch is judged in the protocol that the Rust SDK speaks as well, on the alarms, mute rules or ARN that a call
  names ("… for Amazon CloudWatch"); what may return composite alarms on `*` (API_DescribeAlarms). ministack lets all of
  it through.
- StopTask, StopServiceDeployment and UpdateContainerInstancesState are judged on what they name, the second on the service
  of the deployment as well, SetInstanceHealth on the group of the instance. ministack takes the cluster and `*`.
- PublishBatch needs sns:Publish ("… for Amazon SNS"). ministack asks for an action that there is not.
- aws:ResourceTag of a repository, a database, a snapshot, what Amazon ECS tags or an Auto Scaling group is what moto has;
  ministack looks at its own.
- aws:SecureTransport is true, as for every client of AWS: the sandbox has no TLS, and its policies deny connections
  without.
"""

import asyncio
import io
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

MOTO_URL = "SANDBOX_MOTO_URL"

# Services of moto, as ministack routes them. It has no Application Auto Scaling.
SERVICES = (
    "autoscaling",
    "ec2",
    "ecr",
    "ecs",
    "elasticloadbalancing",
    "kms",
    "lambda",
    "monitoring",
    "rds",
    "secretsmanager",
)

# Parameters of RDS that name what a call is judged on, and the resource types of their values.
OF_RDS = {
    "DBInstanceIdentifier": "db",
    "DBSnapshotIdentifier": "snapshot",
    "SourceDBSnapshotIdentifier": "snapshot",
    "TargetDBSnapshotIdentifier": "snapshot",
    "ResourceName": "",
}

# Parameters of Auto Scaling that name the groups of a call.
NAME_OF_GROUP = re.compile(r"AutoScalingGroupName|Tags\.member\.\d+\.ResourceId")

# "Requests", Smithy RPC v2 CBOR protocol.
CBOR_PATH = re.compile(r"/service/[^/]+/operation/(?P<operation>[^/]+)")

# Members of calls of CloudWatch that name what they are judged on, and its resource type.
OF_CLOUDWATCH = {"AlarmName": "alarm", "AlarmNames": "alarm", "AlarmMuteRuleName": "alarm-mute-rule"}

# Parameters of writes of Amazon ECS that name what they are judged on, and its resource type.
OF_ECS = {
    "StopTask": ("task", "task"),
    "StopServiceDeployment": ("serviceDeploymentArn", "service-deployment"),
    "UpdateContainerInstancesState": ("containerInstances", "container-instance"),
}

# How moto is asked for the tags of what has an ARN, where it answers in JSON.
TAGS_IN_JSON = {
    "ecr": "AmazonEC2ContainerRegistry_V20150921.ListTagsForResource",
    "ecs": "AmazonEC2ContainerServiceV20141113.ListTagsForResource",
}

ROLE_SESSION = re.compile(r"Credential=ASIA")
SEVERAL = " "


def install():
    """Put these in place of ministack's."""
    from ministack import app
    from ministack.core import iam_actions, iam_evaluator
    from ministack.services import tagging

    moto = os.environ[MOTO_URL]
    for service in SERVICES:
        app.SERVICE_HANDLERS[service] = _of_moto_for_roles(moto, app.SERVICE_HANDLERS[service])
    iam_actions.extract_iam_action = _as_iam_names_it(iam_actions.extract_iam_action)
    iam_actions.extract_resource_arn = _as_iam_judges_it(moto, iam_actions.extract_resource_arn)
    iam_actions.access_denied_response = _in_cbor(iam_actions.access_denied_response)
    iam_evaluator.enforce = _on_each(iam_evaluator.enforce)
    iam_evaluator.authenticate = _but_for_root(iam_evaluator.authenticate, iam_evaluator.is_root_access_key)
    app.pin_request_origin = _as_if_encrypted(app.pin_request_origin)
    tagging.resource_tags = _with_those_of_moto(moto, tagging.resource_tags)


def _of_moto_for_roles(moto, own):
    async def handle(method, path, headers, body, query_params):
        if not ROLE_SESSION.search(headers.get("authorization", "")):
            return await own(method, path, headers, body, query_params)
        query = urllib.parse.urlencode(query_params, doseq=True) if method == "GET" else ""
        url = f"{moto}{urllib.parse.quote(path)}{'?' if query else ''}{query}"
        return await asyncio.to_thread(_send, method, url, headers, body)

    return handle


def _send(method, url, headers, body):
    headers = {name: value for name, value in headers.items() if name not in ("host", "content-length")}
    request = urllib.request.Request(url, data=body or None, headers=headers, method=method)
    try:
        answer = urllib.request.urlopen(request)
    except urllib.error.HTTPError as refusal:
        answer = refusal
    with answer:
        return answer.status, {name: value for name, value in answer.headers.items()}, answer.read()


def _as_iam_names_it(extract):
    def action(service, method, path, *rest):
        cbor = CBOR_PATH.fullmatch(path)
        if service == "monitoring" and cbor:
            return f"cloudwatch:{cbor['operation']}"
        found = extract(service, method, path, *rest)
        return "sns:Publish" if found == "sns:PublishBatch" else found

    return action


def _in_cbor(denied):
    """Who asks in CBOR is denied in CBOR; ministack would need another package for that, and answers in JSON."""

    def answer(*denial, headers=None, **more):
        status, answered, body = denied(*denial, headers=headers, **more)
        if "cbor" not in (headers or {}).get("smithy-protocol", ""):
            return status, answered, body
        # Only now, because it brings moto along.
        from cbor import CONTENT_TYPE, PROTOCOL, encode

        answered = {**answered, "Content-Type": CONTENT_TYPE, "Smithy-Protocol": PROTOCOL}
        return status, answered, encode(json.loads(body), None)

    return answer


def _as_iam_judges_it(moto, extract):
    def resource(service, method, path, headers, body, query_params, region, account):
        if service == "monitoring":
            return _of_cloudwatch(path, headers, body, region, account)
        if service == "ecr":
            asked = json.loads(body or b"{}")
            names = asked.get("repositoryNames") or []
            if headers.get("x-amz-target", "").endswith(".DescribeRepositories"):
                names = names or ["*"]
            if names:
                return SEVERAL.join(f"arn:aws:ecr:{region}:{account}:repository/{name}" for name in names)
            if asked.get("resourceArn"):
                return asked["resourceArn"]
        if service == "ecs":
            asked = json.loads(body or b"{}")
            written = OF_ECS.get(headers.get("x-amz-target", "").split(".")[-1])
            if written:
                return _of_write(asked, *written, region, account)
            if asked.get("resourceArn"):
                return asked["resourceArn"]
            services = asked.get("services") or [asked[key] for key in ("service",) if asked.get(key)]
            if services:
                cluster = asked.get("cluster", "default").split("/")[-1]
                return SEVERAL.join(
                    name if name.startswith("arn:") else f"arn:aws:ecs:{region}:{account}:service/{cluster}/{name}"
                    for name in services
                )
        if service == "autoscaling":
            asked = urllib.parse.parse_qs((body or b"").decode())
            names = {values[0]: None for key, values in asked.items() if NAME_OF_GROUP.fullmatch(key)}
            if asked["Action"] == ["SetInstanceHealth"]:
                names = _groups_of_instance(moto, asked["InstanceId"][0], region, account)
            if names and not asked["Action"][0].startswith("Describe"):
                return SEVERAL.join(
                    f"arn:aws:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{name}"
                    for name in names
                )
            return "*"
        if service == "rds":
            asked = urllib.parse.parse_qs((body or b"").decode())
            named = [(OF_RDS[key], values[0]) for key, values in asked.items() if key in OF_RDS]
            if named:
                return SEVERAL.join(
                    name if name.startswith("arn:") else f"arn:aws:rds:{region}:{account}:{kind}:{name}"
                    for kind, name in named
                )
        if service == "ssm" and headers.get("x-amz-target", "").endswith(".GetParameters"):
            names = (name.lstrip("/") for name in json.loads(body)["Names"])
            return SEVERAL.join(f"arn:aws:ssm:{region}:{account}:parameter/{name}" for name in names)
        if service == "ssm" and headers.get("x-amz-target", "").endswith(".GetCalendarState"):
            names = (name.split(":document/")[-1] for name in json.loads(body)["CalendarNames"])
            return SEVERAL.join(f"arn:aws:ssm:{region}:{account}:document/{name}" for name in names)
        return extract(service, method, path, headers, body, query_params, region, account)

    return resource


def _of_cloudwatch(path, headers, body, region, account):
    asked = _members_of_cloudwatch(headers, body)
    if asked.get("ResourceARN"):
        return asked["ResourceARN"]
    if "CompositeAlarm" in (asked.get("AlarmTypes") or ()):
        return "*"
    for member, kind in OF_CLOUDWATCH.items():
        names = asked.get(member)
        if names:
            names = names if isinstance(names, list) else [names]
            return SEVERAL.join(f"arn:aws:cloudwatch:{region}:{account}:{kind}:{name}" for name in names)
    operation = headers.get("x-amz-target", path).replace("/", ".").split(".")[-1]
    # "Actions defined by Amazon CloudWatch": these have alarms as their resource type, also when they name none.
    return f"arn:aws:cloudwatch:{region}:{account}:alarm:*" if operation.startswith("DescribeAlarm") else "*"


def _members_of_cloudwatch(headers, body):
    """The members of a call in JSON or CBOR; its older protocol is spoken by nobody here."""
    if "cbor" in headers.get("smithy-protocol", ""):
        from botocore.parsers import RpcV2CBORParser

        return RpcV2CBORParser().parse_data_item(io.BufferedReader(io.BytesIO(body))) if body else {}
    return json.loads(body or b"{}") if "json" in headers.get("content-type", "") else {}


def _of_write(asked, member, kind, region, account):
    cluster = asked.get("cluster", "default").split("/")[-1]
    names = asked.get(member) or "*"
    arns = [
        name if name.startswith("arn:") else f"arn:aws:ecs:{region}:{account}:{kind}/{cluster}/{name}"
        for name in (names if isinstance(names, list) else [names])
    ]
    if kind == "service-deployment":
        arns += [arn.replace(f":{kind}/", ":service/").rpartition("/")[0] for arn in arns]
    return SEVERAL.join(arns)


def _groups_of_instance(moto, instance, region, account):
    scope = f"{account}/20260101/{region}/autoscaling/aws4_request"
    headers = {
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}",
        "content-type": "application/x-www-form-urlencoded",
    }
    parameters = {"Action": "DescribeAutoScalingInstances", "Version": "2011-01-01", "InstanceIds.member.1": instance}
    _, _, answer = _send("POST", moto, headers, urllib.parse.urlencode(parameters).encode())
    elements = ElementTree.fromstring(answer).iter()
    return [element.text for element in elements if element.tag.endswith("AutoScalingGroupName")]


def _on_each(enforce):
    def on_each(access_key_id, action, service, region, resource_arn="*", service_context=None):
        for arn in resource_arn.split(SEVERAL):
            denied = enforce(access_key_id, action, service, region, resource_arn=arn, service_context=service_context)
            if denied:
                return denied
        return None

    return on_each


def _but_for_root(authenticate, is_root):
    def checked(access_key_id, account):
        # The sandbox's own client signs for one emulator and sends to either.
        return None if is_root(access_key_id) else authenticate(access_key_id, account)

    return checked


def _as_if_encrypted(pin):
    return lambda source_ip, _: pin(source_ip, True)


def _with_those_of_moto(moto, own):
    def tags(arn):
        _, _, service, region, account, resource = arn.split(":", 5) if arn.count(":") >= 5 else [""] * 6
        if service not in (*TAGS_IN_JSON, "autoscaling", "rds") or arn.endswith("*"):
            return own(arn)
        headers = {"authorization": f"AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/{service}/aws4_request"}
        if service in TAGS_IN_JSON:
            headers["content-type"] = "application/x-amz-json-1.1"
            headers["x-amz-target"] = TAGS_IN_JSON[service]
            body = json.dumps({"resourceArn": arn})
        else:
            headers["content-type"] = "application/x-www-form-urlencoded"
            body = urllib.parse.urlencode(_for_tags_of(service, arn, resource))
        status, _, answer = _send("POST", moto, headers, body.encode())
        if status != 200:
            return None
        if service in TAGS_IN_JSON:
            tags = json.loads(answer).get("tags") or []
            return {tag.get("Key", tag.get("key")): tag.get("Value", tag.get("value")) for tag in tags}
        return _pairs_of(ElementTree.fromstring(answer))

    return tags


def _for_tags_of(service, arn, resource):
    if service == "rds":
        return {"Action": "ListTagsForResource", "Version": "2014-10-31", "ResourceName": arn}
    return {
        "Action": "DescribeTags",
        "Version": "2011-01-01",
        "Filters.member.1.Name": "auto-scaling-group",
        "Filters.member.1.Values.member.1": resource.split("/")[-1],
    }


def _pairs_of(answer):
    """The keys and values in an answer in XML, each in an element of their own."""
    pairs = {}
    for element in answer.iter():
        parts = {part.tag.rsplit("}", 1)[-1]: part.text or "" for part in element}
        if {"Key", "Value"} <= set(parts):
            pairs[parts["Key"]] = parts["Value"]
    return pairs
