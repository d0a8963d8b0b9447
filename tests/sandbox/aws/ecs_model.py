"""Services, deployments, service revisions, task sets and tasks, and the scheduler that keeps them together.

"Amazon ECS service deployments", "Amazon ECS service revisions" and "Container image resolution" (ECS Developer Guide)
are the source. Nothing happens in the background: a service settles when it has been described often enough.
"""

import math
import random
import time
import uuid

import ecs_events
import ecs_trouble
import settings
import targets
import web_application
from ecs_capacity import Demand, instance_of
from ecs_capacity import look as look_at_capacity
from ecs_references import present_digest
from ecs_trouble import FAILURES, NO_ROOM

# DescribeTasks and ListTasks (ECS API Reference): stopped tasks appear for at least one hour.
SECONDS_A_STOPPED_TASK_IS_SEEN = 3600

# API_UpdateService says of each parameter whether it starts a deployment. These do.
REVISION_MEMBERS = (
    "taskDefinition",
    "networkConfiguration",
    "platformVersion",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
)

# "Task lifecycle": the states of a task on its way to RUNNING that are told apart here. API_Service, pendingCount, names
# PENDING only; that what waits for capacity is not running, but wanted, is taken to count.
PENDING = ("PROVISIONING", "PENDING")

# And these are part of a revision as they are when it is made.
REVISION_MEMBERS_TAKEN_ALONG = ("capacityProviderStrategy", "launchType")


def without_none(members):
    """The members that are set."""
    return {name: value for name, value in members.items() if value is not None}


def numeric_id():
    """An id as Amazon ECS gives to deployments and service revisions."""
    return str(random.randrange(10**18, 10**19))


class ServiceRevision:
    """What a deployment deploys. Immutable, but for the digests that the first task fixes."""

    def __init__(self, service, task_definition):
        self.arn = service.place.arn("service-revision", service.name, numeric_id())
        self.service_arn = service.arn
        self.cluster_arn = service.place.cluster_arn
        self.task_definition = task_definition
        members = REVISION_MEMBERS + REVISION_MEMBERS_TAKEN_ALONG
        self.configuration = {name: service.members[name] for name in members if name in service.members}
        self.created_at = time.time()
        #: False for one made as if before 25 October 2024, since when service revisions can be viewed.
        self.is_visible = settings.of_account(service.place.account).ecs_service_revisions
        self._digests = None

    def digests(self):
        """The digest of each container, fixed when the first task asks for them.

        "Container image resolution": the first task that is launched resolves the tags, all others use what it found;
        a container with versionConsistency disabled is not resolved.
        """
        if self._digests is None:
            self._digests = {
                container["name"]: present_digest(container["image"])
                for container in self.task_definition.container_definitions
                if container.get("versionConsistency") != "disabled"
            }
        return self._digests

    def describe(self):
        """API_ServiceRevision."""
        digests = self._digests or {}
        images = [
            without_none(
                {
                    "containerName": container["name"],
                    "image": container["image"],
                    "imageDigest": digests.get(container["name"]),
                }
            )
            for container in self.task_definition.container_definitions
        ]
        return {
            **self.configuration,
            "serviceRevisionArn": self.arn,
            "serviceArn": self.service_arn,
            "clusterArn": self.cluster_arn,
            "taskDefinition": self.task_definition.arn,
            "containerImages": images,
            "guardDutyEnabled": False,
            "createdAt": self.created_at,
        }


class Task:
    """One task. Answers to the names by which moto finds and tags it."""

    def __init__(self, place, task_definition, **members):
        self.place = place
        self.task_arn = place.arn("task", uuid.uuid4().hex)
        self.task_definition = task_definition
        self.task_definition_arn = task_definition.arn
        self.cluster_arn = place.cluster_arn
        self.container_instance_arn = None
        #: As a target of these load balancers of its service.
        self.address = targets.new_address()
        self.load_balancers = members.pop("loadBalancers", ())
        self.resource_requirements = []
        self.group = members.pop("group")
        self.started_by = members.pop("startedBy", None)
        self.tags = members.pop("tags", None) or []
        self.members = members
        self.revision = None
        self._application = None
        #: True of a task that a test has put into a state, in which it is to stay.
        self.is_held = False
        #: The trouble that ends it soon, though it runs.
        self.trouble = None
        #: HEALTHY or UNHEALTHY as a test says; None for as it would be.
        self.told_health = None
        self.desired_status = "RUNNING"
        self.last_status = "PENDING"
        self.stop_code = None
        self.stopped_reason = None
        self.created_at = time.time()
        self.started_at = None
        self.stopped_at = None
        self.containers = [
            {
                "containerArn": place.arn("container", self.task_arn.split("/")[-1], str(uuid.uuid4())),
                "taskArn": self.task_arn,
                "name": container["name"],
                "image": container["image"],
                "networkInterfaces": [],
                "cpu": str(container.get("cpu", 0)),
            }
            for container in task_definition.container_definitions
        ]
        place.tasks[self.task_arn] = self

    @property
    def is_live(self):
        return self.last_status != "STOPPED"

    @property
    def is_wanted(self):
        """False of a task that is to stop, though it may run for a while."""
        return self.is_live and self.desired_status == "RUNNING"

    @property
    def health(self):
        """API_Task, healthStatus: UNKNOWN without a health check of a container, or while it does not run."""
        if self.told_health:
            return self.told_health
        checked = any(container.get("healthCheck") for container in self.task_definition.container_definitions)
        if not checked or self.last_status != "RUNNING":
            return "UNKNOWN"
        application = self.application()
        return "HEALTHY" if application is None or application.is_well() else "UNHEALTHY"

    @property
    def is_seen(self):
        """False once a stopped task is forgotten."""
        return self.is_live or time.time() - self.stopped_at < SECONDS_A_STOPPED_TASK_IS_SEEN

    def resolve(self):
        """Fix the digests of the service revision, as the launch of a task does, before anything is pulled."""
        if self.revision is not None:
            self.revision.digests()

    def run(self):
        """The images are pulled and the containers run; only now is it known which images they are."""
        fixed = self.revision.digests() if self.revision is not None else {}
        for container in self.containers:
            if container["name"] in fixed:
                self.set_digest(container, fixed[container["name"]])
            else:
                self.set_digest(container, present_digest(container["image"]))
        self.last_status, self.started_at = "RUNNING", time.time()
        self._application = None
        self.application()
        targets.register(self)

    def application(self):
        """The application that runs in its first container, where the account wants one to; None otherwise.

        It keeps the secrets that there were when it was started.
        """
        if self.last_status != "RUNNING" or not settings.of_account(self.place.account).ecs_applications:
            return None
        if self._application is None:
            self._application = web_application.of_container(self.task_definition.container_definitions[0])
        return self._application

    def pend(self):
        """Back to before anything was pulled."""
        self.last_status, self.started_at = "PENDING", None
        targets.deregister(self)
        for container in self.containers:
            container.pop("imageDigest", None)

    def wait_for(self, container_instance_arn):
        """Wait for the agent of an instance, or while that is None for one ("Task lifecycle": PROVISIONING)."""
        self.container_instance_arn = container_instance_arn
        self.last_status = "PENDING" if container_instance_arn else "PROVISIONING"

    def begin_to_stop(self, code, reason):
        """"Task lifecycle": what is to stop runs on until its agent stops it; its targets are drained meanwhile."""
        self.desired_status = "STOPPED"
        self.stop_code, self.stopped_reason = code, reason
        targets.drain(self)

    def stop(self, code, reason):
        """Stop the task."""
        targets.deregister(self)
        self.desired_status = self.last_status = "STOPPED"
        self.stop_code, self.stopped_reason = code, reason
        self.stopped_at = time.time()

    @staticmethod
    def set_digest(container, digest):
        """Set the digest of a container, or take it away."""
        if digest is None:
            container.pop("imageDigest", None)
        else:
            container["imageDigest"] = digest

    def describe(self, with_tags):
        """API_Task."""
        health = self.health
        described = {
            **self.members,
            "taskArn": self.task_arn,
            "clusterArn": self.cluster_arn,
            "containerInstanceArn": self.container_instance_arn,
            "taskDefinitionArn": self.task_definition_arn,
            "containers": [
                {**container, "lastStatus": self.last_status, "healthStatus": health} for container in self.containers
            ],
            "healthStatus": health,
            "group": self.group,
            "startedBy": self.started_by,
            "desiredStatus": self.desired_status,
            "lastStatus": self.last_status,
            "stopCode": self.stop_code,
            "stoppedReason": self.stopped_reason,
            "createdAt": self.created_at,
            "startedAt": self.started_at,
            "stoppedAt": self.stopped_at,
            "stoppingAt": self.stopped_at,
            "cpu": self.task_definition.cpu,
            "memory": self.task_definition.memory,
            "containerInstanceArn": self.container_instance_arn,
            "attachments": [],
            "version": 1,
            "tags": self.tags if with_tags else [],
        }
        return without_none(described)


class Deployment:
    """A deployment of a service: an entry of `deployments`, and the service deployment of the same id."""

    def __init__(self, service, revision, sources):
        number = numeric_id()
        self.service = service
        self.id = f"ecs-svc/{number}"
        self.arn = service.place.arn("service-deployment", service.name, number)
        self.revision = revision
        self.sources = sources
        self.status = "PRIMARY"
        self.rollout_state = "IN_PROGRESS"
        self.rollout_reason = f"ECS deployment {self.id} in progress."
        self.service_deployment_status = "IN_PROGRESS"
        self.status_reason = None
        self.failed_tasks = 0
        #: True once the circuit breaker has ended it.
        self.is_tripped = False
        #: API_Rollback.
        self.rollback = None
        self.created_at = self.updated_at = time.time()
        self.finished_at = None

    def live_tasks(self):
        return [task for task in self.service.live_tasks() if task.started_by == self.id]

    def count(self, *statuses):
        return sum(task.last_status in statuses for task in self.live_tasks())

    @property
    def desired_count(self):
        """Of the newest deployment the service's count; an older one wants what it still has."""
        return self.service.desired_count if self.status == "PRIMARY" else len(self.live_tasks())

    @property
    def is_in_progress(self):
        return self.service_deployment_status == "IN_PROGRESS"

    def be(self, rollout_state, reason):
        """API_Deployment, rolloutState and rolloutStateReason."""
        self.rollout_state, self.rollout_reason = rollout_state, reason
        self.updated_at = time.time()

    def fail(self, reason):
        """It starts no more tasks."""
        self.be("FAILED", reason)

    def finish(self, status, reason=None):
        """The service deployment has come to an end."""
        self.service_deployment_status, self.status_reason = status, reason
        self.finished_at = self.updated_at = time.time()

    def describe(self):
        """API_Deployment."""
        taken = ("networkConfiguration", "platformVersion", "capacityProviderStrategy", "launchType")
        configuration = self.revision.configuration
        return {
            **{name: configuration[name] for name in taken if name in configuration},
            "id": self.id,
            "status": self.status,
            "taskDefinition": self.revision.task_definition.arn,
            "desiredCount": self.desired_count,
            "runningCount": self.count("RUNNING"),
            "pendingCount": self.count(*PENDING),
            "failedTasks": self.failed_tasks,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "rolloutState": self.rollout_state,
            "rolloutStateReason": self.rollout_reason,
        }

    def revision_summary(self, arn_member="arn"):
        """The revision with the tasks it has."""
        return {
            arn_member: self.revision.arn,
            "requestedTaskCount": self.desired_count,
            "runningTaskCount": self.count("RUNNING"),
            "pendingTaskCount": self.count(*PENDING),
        }

    def brief(self):
        """API_ServiceDeploymentBrief."""
        return without_none(
            {
                "serviceDeploymentArn": self.arn,
                "serviceArn": self.service.arn,
                "clusterArn": self.service.place.cluster_arn,
                "createdAt": self.created_at,
                "startedAt": self.created_at,
                "finishedAt": self.finished_at,
                "targetServiceRevisionArn": self.revision.arn,
                "status": self.service_deployment_status,
                "statusReason": self.status_reason,
            }
        )

    def describe_service_deployment(self):
        """API_ServiceDeployment."""
        described = {
            **self.brief(),
            "updatedAt": self.updated_at,
            "sourceServiceRevisions": [source.revision_summary() for source in self.sources],
            "targetServiceRevision": self.revision_summary(),
            "deploymentConfiguration": self.service.members["deploymentConfiguration"],
            "deploymentCircuitBreaker": ecs_trouble.describe_breaker(self.service, self),
            "rollback": self.rollback,
            "stoppedAt": self.finished_at if self.service_deployment_status == "STOPPED" else None,
        }
        del described["targetServiceRevisionArn"]
        return without_none(described)


class TaskSet:
    """A set of tasks of a service whose deployments somebody else controls."""

    def __init__(self, service, task_definition, members, tags):
        self.id = f"ecs-svc/{numeric_id()}"
        self.task_set_arn = service.place.arn("task-set", service.name, self.id)
        self.service = service
        self.task_definition = task_definition
        self.status = "ACTIVE"
        self.scale = members.pop("scale", {"value": 100.0, "unit": "PERCENT"})
        self.members = members
        self.tags = tags
        self.created_at = self.updated_at = time.time()

    @property
    def computed_desired_count(self):
        """API_TaskSet: the service's desired count multiplied by the scale, rounded up."""
        return math.ceil(self.service.desired_count * self.scale["value"] / 100)

    def live_tasks(self):
        return [task for task in self.service.live_tasks() if task.started_by == self.id]

    def describe(self, with_tags):
        """API_TaskSet."""
        statuses = [task.last_status for task in self.live_tasks()]
        return {
            **self.members,
            "id": self.id,
            "taskSetArn": self.task_set_arn,
            "serviceArn": self.service.arn,
            "clusterArn": self.service.place.cluster_arn,
            "status": self.status,
            "taskDefinition": self.task_definition.arn,
            "scale": self.scale,
            "computedDesiredCount": self.computed_desired_count,
            "runningCount": statuses.count("RUNNING"),
            "pendingCount": _count(statuses, PENDING),
            "stabilityStatus": "STABILIZING" if "PENDING" in statuses else "STEADY_STATE",
            "stabilityStatusAt": self.updated_at,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "tags": self.tags if with_tags else [],
        }


class Service:
    """A service and its scheduler. Answers to the names by which moto finds and tags it."""

    def __init__(self, place, name, members, tags):
        self.place = place
        self.name = name
        self.cluster_name = place.cluster_name
        self.arn = place.arn("service", name)
        self.physical_resource_id = self.arn
        self.status = "ACTIVE"
        self.tags = tags
        self.desired_count = members.pop("desiredCount", 0)
        #: What was said of the service and is only given back.
        self.members = members
        self.deployments = []
        self.history = []
        self.revisions = {}
        self.task_sets = []
        self.events = []
        self.created_at = time.time()
        #: True while there are not as many tasks as are wanted for lack of room.
        self.is_short = False
        #: What goes wrong with its tasks, as a test arranged it.
        self.troubles = []
        #: The service deployment that is being rolled back.
        self.rolling_back = None
        self._tasks = []
        self._polls_left = 0

    @property
    def scheduling_strategy(self):
        return self.members["schedulingStrategy"]

    @property
    def launch_type(self):
        return self.members.get("launchType")

    @property
    def controller(self):
        return self.members["deploymentController"]["type"]

    @property
    def primary(self):
        """The newest deployment; None with a controller other than ECS."""
        return self.deployments[0] if self.deployments else None

    def live_tasks(self):
        return [task for task in self._tasks if task.is_live]

    def deploy(self, task_definition):
        """Start a deployment of the service as it is now."""
        revision = ServiceRevision(self, task_definition)
        self.revisions[revision.arn] = revision
        sources = list(self.deployments)
        for former in sources:
            if former.service_deployment_status == "IN_PROGRESS":
                former.finish("STOPPED")
            former.status = "ACTIVE"
        if self.rolling_back:
            self.rolling_back.finish("ROLLBACK_FAILED", "A new service deployment was started.")
            self.rolling_back = None
        deployment = Deployment(self, revision, sources)
        self.deployments.insert(0, deployment)
        self.history.insert(0, deployment)
        ecs_events.deployment_change(self, deployment, "SERVICE_DEPLOYMENT_IN_PROGRESS", deployment.rollout_reason)
        self.schedule()

    def roll_back(self, deployment, reason):
        """Go back to what the last successful service deployment deployed ("Stopping Amazon ECS service deployments")."""
        target = next((each for each in self.history if each.service_deployment_status == "SUCCESSFUL"), None)
        if target is None:
            deployment.fail(reason)
            deployment.finish("ROLLBACK_FAILED", "No rollback candidate was found to run the rollback.")
            return
        deployment.fail(reason)
        deployment.status, deployment.service_deployment_status = "ACTIVE", "ROLLBACK_REQUESTED"
        deployment.status_reason = reason
        deployment.rollback = {"reason": reason, "startedAt": time.time(), "serviceRevisionArn": target.revision.arn}
        self.rolling_back = deployment
        target.status = "PRIMARY"
        target.be("IN_PROGRESS", f"ECS deployment circuit breaker: rolling back to deploymentId {target.id}.")
        self.deployments = [target] + [each for each in self.deployments if each is not target]
        self.members.update(target.revision.configuration)
        self.members["taskDefinition"] = target.revision.task_definition.arn
        self.note(f"(service {self.name}) rolling back to deployment {target.id}.")
        self.schedule()

    def abort(self, deployment):
        """Leave a service deployment as it is: it starts no more tasks, and those there are stay."""
        deployment.fail(f"ECS deployment {deployment.id} was stopped.")
        deployment.finish("STOPPED", "The service deployment was stopped by a user.")

    def tell_trouble(self, trouble, running=False):
        """Let tasks have trouble from now on, also those that run if it is said so."""
        self.troubles.insert(0, trouble)
        if not running:
            return
        tasks = [task for task in self.live_tasks() if task.is_wanted and trouble.names(task.task_definition)]
        for task in tasks:
            self._afflict(task, trouble)
        if trouble.kind in FAILURES:
            self.schedule()

    def end_troubles(self):
        """Let tasks be as they would be."""
        self.troubles = []
        for task in self.live_tasks():
            task.trouble = task.told_health = None
            targets.put_task_health(task, None)

    def scale(self, desired_count):
        """Change the number of tasks, which starts no deployment (API_UpdateService, desiredCount)."""
        self.desired_count = desired_count
        self.schedule()

    def schedule(self):
        """Start and stop tasks until there are as many as are wanted, and wait for what takes time."""
        look_at_capacity(self.place)
        self._fill()
        self._polls_left = settings.of_account(self.place.account).ecs_polls
        if self._polls_left == 0:
            self._settle()

    def look(self):
        """Somebody describes the service: time passes."""
        look_at_capacity(self.place)
        if self.rolling_back:
            self.rolling_back.service_deployment_status = "ROLLBACK_IN_PROGRESS"
        if self.is_short or self.scheduling_strategy == "DAEMON":
            self._demand().look_at_groups()
        if self._polls_left == 0:
            self._settle()
        else:
            self._polls_left -= 1

    def settle(self):
        """Let everything that is under way come to its end."""
        look_at_capacity(self.place)
        self._polls_left = 0
        self._settle()

    def delete(self):
        """Stop everything. API_DeleteService: the service stays visible as INACTIVE; its revisions are deleted."""
        self.status = "INACTIVE"
        self.desired_count = 0
        for task in self.live_tasks():
            task.stop("ServiceSchedulerInitiated", "Scaling activity initiated by (service deletion)")
        self.deployments, self.history, self.task_sets, self.revisions = [], [], [], {}

    def describe(self, with_tags):
        """API_Service."""
        statuses = [task.last_status for task in self.live_tasks()]
        described = {
            **self.members,
            "serviceArn": self.arn,
            "serviceName": self.name,
            "clusterArn": self.place.cluster_arn,
            "status": self.status,
            "desiredCount": self.desired_count,
            "runningCount": statuses.count("RUNNING"),
            "pendingCount": _count(statuses, PENDING),
            "deployments": [deployment.describe() for deployment in self.deployments],
            "taskSets": [task_set.describe(with_tags) for task_set in self.task_sets],
            "events": self.events[:100],
            "createdAt": self.created_at,
            "tags": self.tags if with_tags else [],
        }
        visible = [deployment for deployment in self.deployments if deployment.revision.is_visible]
        if visible:
            described["currentServiceRevisions"] = [deployment.revision_summary() for deployment in visible]
        if self.primary in visible:
            described["currentServiceDeployment"] = self.history[0].arn
        return described

    def _demand(self):
        return Demand(self.place, self.primary.revision.configuration if self.primary else self.members)

    def _fill(self):
        """Start and stop tasks until there are as many as are wanted, or no room is left."""
        self.is_short = False
        for task_set in self.task_sets:
            self._schedule(
                task_set.live_tasks(), task_set.computed_desired_count, task_set.id, task_set.task_definition, None
            )
        if self.primary:
            revision = self.primary.revision
            if self.scheduling_strategy == "DAEMON":
                self._cover(revision)
                return
            self._schedule(
                self.primary.live_tasks(), self.desired_count, self.primary.id, revision.task_definition, revision
            )

    def _cover(self, revision):
        """API_CreateService, schedulingStrategy: DAEMON is one task on each active container instance."""
        instances = self._demand().active_instances()
        self.desired_count = len(instances)
        covered = {task.container_instance_arn for task in self.primary.live_tasks() if task.is_wanted}
        for arn in instances:
            if arn not in covered:
                self._start_task(self.primary.id, revision.task_definition, revision).wait_for(arn)

    def _schedule(self, live, wanted, started_by, task_definition, revision):
        demand = Demand(self.place, revision.configuration if revision else self.members)
        self._leave_draining(live, demand)
        current = [task for task in live if task.is_wanted]
        if revision and self.primary.rollout_state == "FAILED":
            # API_Deployment, rolloutState: "A deployment in FAILED state doesn't launch any new tasks."
            wanted = min(wanted, len(current))
        for task in current[wanted:]:
            task.begin_to_stop(
                "ServiceSchedulerInitiated", f"Scaling activity initiated by (deployment {started_by})"
            )
        trouble = self._trouble_of(task_definition, ("placement",))
        if trouble is not None and len(current) < wanted:
            self.is_short = True
            ecs_trouble.placement_failed(self, trouble)
            return
        if demand.is_for_anywhere:
            for _ in range(wanted - len(current)):
                self._start_task(started_by, task_definition, revision)
            return
        for task in current[:wanted]:
            if task.last_status == "PROVISIONING":
                task.wait_for(demand.room())
        for _ in range(wanted - len(current)):
            room = demand.room()
            if room is None and not demand.waits:
                self.is_short = True
                self.note(f"(service {self.name}) was unable to place a task because {NO_ROOM}")
                break
            self._start_task(started_by, task_definition, revision).wait_for(room)
        if any(task.last_status == "PROVISIONING" for task in self.live_tasks() if task.is_wanted):
            self.is_short = True
            demand.raise_capacity()

    def _start_task(self, started_by, task_definition, revision):
        configuration = revision.configuration if revision else self.members
        members = without_none(
            {
                "launchType": configuration.get("launchType"),
                "capacityProviderName": _first_provider(configuration.get("capacityProviderStrategy")),
                "loadBalancers": configuration.get("loadBalancers"),
            }
        )
        task = Task(self.place, task_definition, group=f"service:{self.name}", startedBy=started_by, **members)
        task.revision = revision
        task.resolve()
        self._tasks = [known for known in self._tasks if known.is_seen] + [task]
        return task

    def _leave_draining(self, live, demand):
        """API_UpdateContainerInstancesState: running tasks leave an instance that drains where others have room.

        "If the minimum is 100%, the service scheduler can't remove existing tasks until the replacement tasks are
        considered healthy"; below that it need not wait for room.
        """
        minimum = self.members["deploymentConfiguration"].get("minimumHealthyPercent", 100)
        for task in live:
            instance = instance_of(self.place, task.container_instance_arn)
            if not task.is_wanted or instance is None or not vars(instance).get("is_to_drain"):
                continue
            if task.last_status != "RUNNING":
                task.stop("ServiceSchedulerInitiated", "Task stopped because its container instance is draining")
            elif demand.waits or minimum < 100 or demand.room() is not None:
                task.begin_to_stop(
                    "ServiceSchedulerInitiated", f"Scaling activity initiated by (deployment {task.started_by})"
                )

    def _settle(self):
        """What was under way is done: new tasks run, tasks of older deployments are gone, and so are these.

        But for what finds no room, and for tasks that are in trouble.
        """
        for task in self.live_tasks():
            if not task.is_wanted:
                task.stop(task.stop_code, task.stopped_reason)
        failed = [task for task in self.live_tasks() if task.trouble is not None and not task.is_held]
        for task in failed:
            task.trouble.stop(task)
        if self.is_short or self.scheduling_strategy == "DAEMON" or failed:
            self._fill()
        failed += self._start_pending()
        for deployment in list(self.deployments):
            count = sum(task.started_by == deployment.id for task in failed)
            if count:
                ecs_trouble.tasks_failed(self, deployment, count)
        if failed or (self.primary and self.primary.rollout_state == "FAILED"):
            self._fill()
            return
        if self.is_short or any(task.trouble is not None for task in self.live_tasks()):
            return
        former = self.deployments[1:]
        for deployment in former:
            for task in deployment.live_tasks():
                task.stop("ServiceSchedulerInitiated", f"Scaling activity initiated by (deployment {self.primary.id})")
            deployment.status = "INACTIVE"
        self.deployments = self.deployments[:1]
        if self.primary and self.primary.rollout_state == "IN_PROGRESS":
            self.primary.be("COMPLETED", f"ECS deployment {self.primary.id} completed.")
            if self.rolling_back:
                self.rolling_back.finish("ROLLBACK_SUCCESSFUL", self.rolling_back.status_reason)
                self.rolling_back = None
            else:
                self.primary.finish("SUCCESSFUL")
            self.note(f"(service {self.name}) has reached a steady state.")
            reason = self.primary.rollout_reason
            ecs_events.deployment_change(self, self.primary, "SERVICE_DEPLOYMENT_COMPLETED", reason)
            ecs_events.service_action(self, "SERVICE_STEADY_STATE")

    def _start_pending(self):
        """Run what is pending, but for tasks that fail; returns these."""
        failed = []
        for task in self.live_tasks():
            if task.last_status != "PENDING" or task.is_held:
                continue
            trouble = self._trouble_of(task.task_definition, ("start", "health-checks", "unhealthy"))
            if trouble is None:
                task.run()
                continue
            trouble.count()
            if trouble.kind == "start":
                trouble.stop(task)
                failed.append(task)
            else:
                task.run()
                self._afflict(task, trouble)
        return failed

    def _afflict(self, task, trouble):
        """A task that runs has trouble."""
        if trouble.kind == "unhealthy":
            task.told_health = "UNHEALTHY"
        elif trouble.kind in FAILURES:
            task.trouble = trouble
        if trouble.kind == "health-checks":
            targets.put_task_health(task, "unhealthy")
            ecs_trouble.unhealthy_target(self, task)

    def _trouble_of(self, task_definition, kinds):
        return next((each for each in self.troubles if each.kind in kinds and each.is_of(task_definition)), None)

    def note(self, message):
        """API_ServiceEvent: one more of what the scheduler has to say."""
        self.events.insert(0, {"id": str(uuid.uuid4()), "createdAt": time.time(), "message": message})


def _count(statuses, counted):
    return sum(status in counted for status in statuses)


def _first_provider(strategy):
    return strategy[0]["capacityProvider"] if strategy else None

