"""Amazon ECS managed daemons: one task on every instance of their capacity providers, and what it runs.

Rules are from the Amazon ECS API Reference (named API_*) and "Amazon ECS Managed Daemons" (ECS Developer Guide). A
deployment succeeds at once, and there are no daemon tasks: nothing here has container instances.
"""

import time

from moto.ecs.models import ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse

import operations
from ecs_model import numeric_id, without_none
from ecs_place import Place
from ecs_references import present_digest
from operations import answer, page_of, parameters_of, position_of, refuse

# API_ListDaemons, API_ListDaemonDeployments, API_DescribeDaemonRevisions.
DAEMONS_PAGE_IF_NOT_SAID = 100
DEPLOYMENTS_PAGE_IF_NOT_SAID = 20
LARGEST_PAGE = 100
MOST_REVISIONS = 20


class Daemon:
    """A daemon with its deployments, the newest last."""

    def __init__(self, place, name):
        self.place = place
        self.name = name
        self.arn = place.arn("daemon", name)
        self.created_at = self.updated_at = time.time()
        self.deployments = []

    def deploy(self, definition):
        """Start a deployment, which finds the digests of the images as they are now ("Container image resolution")."""
        self.updated_at = time.time()
        revision = {
            "daemonRevisionArn": self.place.arn("daemon-revision", self.name, numeric_id()),
            "clusterArn": self.place.cluster_arn,
            "daemonArn": self.arn,
            "daemonTaskDefinitionArn": definition["daemonTaskDefinitionArn"],
            "createdAt": self.updated_at,
            "containerImages": [
                without_none(
                    {
                        "containerName": container.get("name"),
                        "image": container["image"],
                        "imageDigest": present_digest(container["image"]),
                    }
                )
                for container in definition["containerDefinitions"]
            ],
        }
        deployment = self.place.arn("daemon-deployment", self.name, numeric_id())
        self.deployments.append((deployment, revision))

    def brief(self):
        """What creating, updating and deleting answer."""
        return {
            "daemonArn": self.arn,
            "status": "ACTIVE",
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "deploymentArn": self.deployments[-1][0],
        }

    def describe(self):
        """API_DaemonDetail."""
        revision = self.deployments[-1][1]["daemonRevisionArn"]
        return {
            **self.brief(),
            "clusterArn": self.place.cluster_arn,
            "currentRevisions": [{"arn": revision, "capacityProviders": [], "totalRunningCount": 0}],
        }


def register_daemon_task_definition(response):
    """API_RegisterDaemonTaskDefinition."""
    wanted = parameters_of(response)
    backend = _backend_of(response)
    revisions = _definitions(backend).setdefault(wanted["family"], [])
    number = len(revisions) + 1
    prefix = f"arn:{backend.partition}:ecs:{backend.region_name}:{backend.account_id}"
    definition = {
        **wanted,
        "daemonTaskDefinitionArn": f"{prefix}:daemon-task-definition/{wanted['family']}:{number}",
        "revision": number,
        "status": "ACTIVE",
        "registeredAt": time.time(),
    }
    definition.pop("tags", None)
    revisions.append(definition)
    return answer({"daemonTaskDefinitionArn": definition["daemonTaskDefinitionArn"]})


def describe_daemon_task_definition(response):
    """API_DescribeDaemonTaskDefinition: by ARN, by family and revision, or the latest of a family."""
    name = parameters_of(response).get("daemonTaskDefinition")
    return answer({"daemonTaskDefinition": _definition_of(_backend_of(response), name)})


def create_daemon(response):
    """API_CreateDaemon: its first deployment starts at once."""
    wanted = parameters_of(response)
    backend = _backend_of(response)
    place = Place(backend, backend._get_cluster(wanted.get("clusterArn") or "default"))
    daemon = Daemon(place, wanted["daemonName"])
    if daemon.arn in _daemons(backend):
        refuse("InvalidParameterException", "Creation of daemon was not idempotent.")
    daemon.deploy(_definition_of(backend, wanted["daemonTaskDefinitionArn"]))
    _daemons(backend)[daemon.arn] = daemon
    return answer(daemon.brief())


def update_daemon(response):
    """API_UpdateDaemon: starts a deployment."""
    wanted = parameters_of(response)
    backend = _backend_of(response)
    daemon = _daemon_of(backend, wanted["daemonArn"])
    daemon.deploy(_definition_of(backend, wanted["daemonTaskDefinitionArn"]))
    return answer(daemon.brief())


def delete_daemon(response):
    """API_DeleteDaemon."""
    backend = _backend_of(response)
    daemon = _daemon_of(backend, parameters_of(response)["daemonArn"])
    del _daemons(backend)[daemon.arn]
    return answer({**daemon.brief(), "status": "DELETE_IN_PROGRESS"})


def list_daemons(response):
    """API_ListDaemons: of one cluster, the default one if nothing is said."""
    wanted = parameters_of(response)
    backend = _backend_of(response)
    cluster = backend._get_cluster(wanted.get("clusterArn") or "default")
    daemons = sorted(
        (daemon for daemon in _daemons(backend).values() if daemon.place.cluster_arn == cluster.arn),
        key=_arn_of,
    )
    page, token = _page(wanted, daemons, _arn_of, DAEMONS_PAGE_IF_NOT_SAID)
    members = ("daemonArn", "status", "createdAt", "updatedAt")
    summaries = [{name: daemon.brief()[name] for name in members} for daemon in page]
    return answer({"daemonSummariesList": summaries, "nextToken": token})


def describe_daemon(response):
    """API_DescribeDaemon."""
    daemon = _daemon_of(_backend_of(response), parameters_of(response).get("daemonArn"))
    return answer({"daemon": daemon.describe()})


def describe_daemon_revisions(response):
    """API_DescribeDaemonRevisions: at most twenty."""
    arns = parameters_of(response).get("daemonRevisionArns") or []
    if not 0 < len(arns) <= MOST_REVISIONS:
        refuse("InvalidParameterException", f"daemonRevisionArns must have 1 to {MOST_REVISIONS} elements.")
    known = {
        revision["daemonRevisionArn"]: revision
        for daemon in _daemons(_backend_of(response)).values()
        for _, revision in daemon.deployments
    }
    return answer(
        {
            "daemonRevisions": [known[arn] for arn in arns if arn in known],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known],
        }
    )


def list_daemon_deployments(response):
    """API_ListDaemonDeployments: twenty to a page unless more are asked for."""
    wanted = parameters_of(response)
    daemon = _daemon_of(_backend_of(response), wanted.get("daemonArn"))
    statuses = wanted.get("status") or ["SUCCESSFUL"]
    deployments = [
        {
            "daemonDeploymentArn": arn,
            "daemonArn": daemon.arn,
            "clusterArn": daemon.place.cluster_arn,
            "status": "SUCCESSFUL",
            "targetDaemonRevisionArn": revision["daemonRevisionArn"],
            "createdAt": revision["createdAt"],
        }
        for arn, revision in daemon.deployments
        if "SUCCESSFUL" in statuses
    ]
    page, token = _page(wanted, sorted(deployments, key=_newest_first), _newest_first, DEPLOYMENTS_PAGE_IF_NOT_SAID)
    return answer({"daemonDeployments": page, "nextToken": token})


def install():
    """Put these into moto, which has none of them."""
    operations.install(
        EC2ContainerServiceResponse,
        create_daemon,
        delete_daemon,
        describe_daemon,
        describe_daemon_revisions,
        describe_daemon_task_definition,
        list_daemon_deployments,
        list_daemons,
        register_daemon_task_definition,
        update_daemon,
    )


def _backend_of(response):
    return ecs_backends[response.current_account][response.region]


def _daemons(backend):
    return backend.__dict__.setdefault("daemons", {})


def _definitions(backend):
    return backend.__dict__.setdefault("daemon_task_definitions", {})


def _daemon_of(backend, arn):
    daemon = _daemons(backend).get(arn)
    if daemon is None:
        refuse("DaemonNotFoundException", "The specified daemon wasn't found.")
    return daemon


def _definition_of(backend, name):
    family, _, revision = (name or "").split("/")[-1].partition(":")
    revisions = _definitions(backend).get(family, [])
    if not revision and revisions:
        return revisions[-1]
    if revision.isdigit() and 0 < int(revision) <= len(revisions):
        return revisions[int(revision) - 1]
    return refuse("ClientException", "Unable to describe daemon task definition.")


def _page(wanted, items, position, if_not_said):
    size = wanted.get("maxResults", if_not_said)
    if not 0 < size <= LARGEST_PAGE:
        refuse("InvalidParameterException", f"maxResults must be between 1 and {LARGEST_PAGE}.")
    try:
        after = position_of(wanted["nextToken"]) if wanted.get("nextToken") else None
    except ValueError:
        refuse("InvalidParameterException", "The next token is not valid.")
    return page_of(items, size, after, position)


def _arn_of(daemon):
    return daemon.arn


def _newest_first(deployment):
    return [-deployment["createdAt"], deployment["daemonDeploymentArn"]]
