"""Amazon ECS: services that really have tasks, with deployments, service revisions, task sets, limits and pages.

moto keeps clusters, container instances, capacity providers, task definitions and tags; services and tasks are ours
(`ecs_model.py`). Rules are from the Amazon ECS API Reference (named API_*) and the ECS Developer Guide.
"""

from moto.core.responses import ActionResult
from moto.ecs.models import ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse

import ecs_capacity
import ecs_trouble
import operations
import targets
from ecs_model import PENDING, REVISION_MEMBERS, Service, Task, TaskSet
from ecs_place import Place
from operations import answer, parameters_of, refuse

# The largest pages and lists, and the pages if nothing is said: API_ListServices, API_ListTasks, API_ListClusters,
# API_ListTaskDefinitions, API_ListTaskDefinitionFamilies, API_ListServiceDeployments.
LARGEST_PAGE = 100
SERVICES_PAGE_IF_NOT_SAID = 10
DEPLOYMENTS_PAGE_IF_NOT_SAID = 20
# API_DescribeServices, API_DescribeTasks, API_DescribeServiceRevisions, API_DescribeServiceDeployments, API_RunTask.
MOST_SERVICES = 10
MOST_TASKS = 100
MOST_REVISIONS = 20
MOST_DEPLOYMENTS = 20
MOST_TASKS_TO_RUN = 10

# API_Service and API_DeploymentConfiguration: what a service has if nothing else is said.
DEFAULTS = {
    "loadBalancers": [],
    "serviceRegistries": [],
    "placementConstraints": [],
    "placementStrategy": [],
    "schedulingStrategy": "REPLICA",
    "deploymentController": {"type": "ECS"},
    "enableECSManagedTags": False,
    "enableExecuteCommand": False,
    "propagateTags": "NONE",
}
DEPLOYMENT_DEFAULTS = {
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
}

# Members of a request that are not members of the service.
NOT_KEPT = ("cluster", "service", "serviceName", "taskDefinition", "tags", "clientToken", "role", "forceNewDeployment")


# Services


def create_service(response):
    """API_CreateService."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    name = wanted.get("serviceName")
    if not name:
        refuse("InvalidParameterException", "Service name cannot be empty.")
    former = place.services.get(name)
    if former is not None and former.status == "ACTIVE":
        refuse("InvalidParameterException", "Creation of service was not idempotent.")
    service = Service(place, name, _members_of_new_service(place, wanted), wanted.get("tags") or [])
    task_definition = _task_definition_of_service(place, wanted, service)
    place.backend.services[_key(place, name)] = service
    if service.controller == "ECS":
        service.deploy(task_definition)
    elif service.controller == "CODE_DEPLOY":
        first = _add_task_set(service, task_definition, {})
        first.status = "PRIMARY"
    return answer({"service": service.describe(with_tags=True)})


def update_service(response):
    """API_UpdateService: some members start a deployment, others don't, and desiredCount only scales."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    service = _service_of(place, wanted.get("service"))
    if service.status != "ACTIVE":
        refuse("ServiceNotActiveException", "Service was not ACTIVE.")
    _refuse_what_the_controller_decides(service, wanted)
    _check_count(service.scheduling_strategy, wanted)
    task_definition = _task_definition_of_update(place, service, wanted)
    changed = _changes_revision(service, wanted, task_definition)
    service.members.update(_kept(wanted))
    if "capacityProviderStrategy" in wanted:
        service.members.pop("launchType", None)
    if "desiredCount" in wanted:
        service.desired_count = service.members.pop("desiredCount")
    if service.primary and (changed or wanted.get("forceNewDeployment")):
        service.members["taskDefinition"] = task_definition.arn
        service.deploy(task_definition)
    else:
        service.schedule()
    return answer({"service": service.describe(with_tags=True)})


def delete_service(response):
    """API_DeleteService: a service that is not scaled to zero goes only by force."""
    wanted = parameters_of(response)
    service = _service_of(_place_of(response, wanted), wanted.get("service"))
    if service.desired_count > 0 and not wanted.get("force") and service.scheduling_strategy != "DAEMON":
        refuse("InvalidParameterException", "The service cannot be stopped while it is scaled above 0.")
    service.delete()
    return answer({"service": service.describe(with_tags=True)})


def describe_services(response):
    """API_DescribeServices: at most ten; the missing are in failures."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    names = _checked_list("services", wanted.get("services"), MOST_SERVICES)
    found, failures = [], []
    for name in names:
        service = _find_service(place, name)
        if service is None:
            failures.append(_missing(_arn_of_missing(response, "service", name)))
        elif service not in found:
            service.look()
            found.append(service)
    with_tags = "TAGS" in wanted.get("include", [])
    return answer({"services": [service.describe(with_tags) for service in found], "failures": failures})


def list_services(response):
    """API_ListServices: the services that are not deleted, ten to a page unless more are asked for."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    arns = sorted(
        service.arn
        for service in place.services.values()
        if service.status == "ACTIVE"
        and wanted.get("launchType") in (None, service.launch_type)
        and wanted.get("schedulingStrategy") in (None, service.scheduling_strategy)
    )
    page, token = _page(wanted, arns, _itself, SERVICES_PAGE_IF_NOT_SAID)
    return answer({"serviceArns": page, "nextToken": token})


# Service revisions and service deployments


def describe_service_revisions(response):
    """API_DescribeServiceRevisions: at most twenty; those that cannot be viewed are in failures."""
    wanted = parameters_of(response)
    arns = _checked_list("serviceRevisionArns", wanted.get("serviceRevisionArns"), MOST_REVISIONS)
    services = _backend_of(response).services.values()
    known = {arn: revision for service in services for arn, revision in service.revisions.items()}
    visible = {arn: revision for arn, revision in known.items() if revision.is_visible}
    return answer(
        {
            "serviceRevisions": [visible[arn].describe() for arn in arns if arn in visible],
            "failures": [_missing(arn) for arn in arns if arn not in visible],
        }
    )


def list_service_deployments(response):
    """API_ListServiceDeployments: newest first, twenty to a page unless more are asked for."""
    wanted = parameters_of(response)
    service = _service_of(_place_of(response, wanted), wanted.get("service"))
    statuses = wanted.get("status")
    span = wanted.get("createdAt") or {}
    deployments = [
        deployment
        for deployment in service.history
        if deployment.revision.is_visible
        and (not statuses or deployment.service_deployment_status in statuses)
        and span.get("after", 0) <= deployment.created_at <= span.get("before", deployment.created_at)
    ]
    page, token = _page(wanted, deployments, _newest_first, DEPLOYMENTS_PAGE_IF_NOT_SAID)
    return answer({"serviceDeployments": [deployment.brief() for deployment in page], "nextToken": token})


def describe_service_deployments(response):
    """API_DescribeServiceDeployments: at most twenty; those that cannot be viewed are in failures."""
    wanted = parameters_of(response)
    arns = _checked_list("serviceDeploymentArns", wanted.get("serviceDeploymentArns"), MOST_DEPLOYMENTS)
    known = {
        deployment.arn: deployment
        for service in _backend_of(response).services.values()
        for deployment in service.history
        if deployment.revision.is_visible
    }
    return answer(
        {
            "serviceDeployments": [known[arn].describe_service_deployment() for arn in arns if arn in known],
            "failures": [_missing(arn) for arn in arns if arn not in known],
        }
    )


def stop_service_deployment(response):
    """API_StopServiceDeployment: of a service deployment that is under way."""
    wanted = parameters_of(response)
    arn, stop_type = wanted.get("serviceDeploymentArn"), wanted.get("stopType") or "ROLLBACK"
    services = _backend_of(response).services.values()
    found = next((each for service in services for each in service.history if each.arn == arn), None)
    if found is None:
        refuse("ServiceDeploymentNotFoundException", "The service deploy ARN that you specified was not found.")
    if stop_type not in ("ROLLBACK", "ABORT"):
        refuse("InvalidParameterException", f"{stop_type!r} is not a valid stopType.")
    if not found.is_in_progress:
        refuse("ConflictException", f"The service deployment is {found.service_deployment_status} and cannot be stopped.")
    if stop_type == "ABORT":
        found.service.abort(found)
    else:
        found.service.roll_back(found, "Service deployment rolled back because of a StopServiceDeployment request.")
    return answer({"serviceDeploymentArn": arn})


# Task sets


def create_task_set(response):
    """API_CreateTaskSet: for services with the EXTERNAL controller."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    service = _service_of(place, wanted.get("service"))
    if service.controller != "EXTERNAL":
        refuse("InvalidParameterException", "The deployment controller of the service must be EXTERNAL.")
    task_definition = _active_task_definition(place.backend, wanted.get("taskDefinition"))
    task_set = _add_task_set(service, task_definition, wanted)
    return answer({"taskSet": task_set.describe(with_tags=True)})


def describe_task_sets(response):
    """API_DescribeTaskSets: those of a service, or those named."""
    wanted = parameters_of(response)
    service = _service_of(_place_of(response, wanted), wanted.get("service"))
    names = wanted.get("taskSets") or [task_set.task_set_arn for task_set in service.task_sets]
    found = {task_set.task_set_arn: task_set for task_set in service.task_sets}
    found.update({task_set.id: task_set for task_set in service.task_sets})
    with_tags = "TAGS" in wanted.get("include", [])
    return answer(
        {
            "taskSets": [found[name].describe(with_tags) for name in names if name in found],
            "failures": [_missing(name) for name in names if name not in found],
        }
    )


def update_task_set(response):
    """API_UpdateTaskSet: changes the scale."""
    wanted = parameters_of(response)
    service = _service_of(_place_of(response, wanted), wanted.get("service"))
    task_set = _task_set_of(service, wanted.get("taskSet"))
    task_set.scale = wanted["scale"]
    service.schedule()
    return answer({"taskSet": task_set.describe(with_tags=True)})


def delete_task_set(response):
    """API_DeleteTaskSet."""
    wanted = parameters_of(response)
    service = _service_of(_place_of(response, wanted), wanted.get("service"))
    task_set = _task_set_of(service, wanted.get("taskSet"))
    for task in task_set.live_tasks():
        task.stop("ServiceSchedulerInitiated", f"Task set {task_set.id} was deleted")
    service.task_sets.remove(task_set)
    return answer({"taskSet": {**task_set.describe(with_tags=True), "status": "DRAINING"}})


def update_service_primary_task_set(response):
    """API_UpdateServicePrimaryTaskSet."""
    wanted = parameters_of(response)
    service = _service_of(_place_of(response, wanted), wanted.get("service"))
    primary = _task_set_of(service, wanted.get("primaryTaskSet"))
    for task_set in service.task_sets:
        task_set.status = "PRIMARY" if task_set is primary else "ACTIVE"
    return answer({"taskSet": primary.describe(with_tags=True)})


# Tasks


def run_task(response):
    """API_RunTask: at most ten at once; their tags are resolved when they start, each for itself."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    count = wanted.get("count", 1)
    if not 1 <= count <= MOST_TASKS_TO_RUN:
        refuse("InvalidParameterException", f"count must be between 1 and {MOST_TASKS_TO_RUN}")
    task_definition = _active_task_definition(place.backend, wanted.get("taskDefinition"))
    _check_network(task_definition, wanted)
    tasks = [_run_one(place, task_definition, wanted) for _ in range(count)]
    return answer({"tasks": [task.describe(with_tags=True) for task in tasks], "failures": []})


def stop_task(response):
    """API_StopTask: a service replaces the task, with the digest of its revision."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    task = _find_task(place, wanted.get("task"))
    if task is None:
        refuse("InvalidParameterException", "The referenced task was not found.")
    if task.is_live:
        task.stop("UserInitiated", wanted.get("reason") or "Task stopped by user")
    service = place.services.get(task.group.partition("service:")[2])
    if service is not None:
        service.schedule()
    return answer({"task": task.describe(with_tags=True)})


def describe_tasks(response):
    """API_DescribeTasks: at most a hundred; the missing are in failures."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    names = _checked_list("tasks", wanted.get("tasks"), MOST_TASKS)
    with_tags = "TAGS" in wanted.get("include", [])
    described, failures = [], []
    for name in names:
        task = _find_task(place, name)
        if task is None or not task.is_seen:
            failures.append(_missing(name if name.startswith("arn:") else place.arn("task", name)))
        else:
            described.append(task.describe(with_tags))
    return answer({"tasks": described, "failures": failures})


def list_tasks(response):
    """API_ListTasks: tasks that are to run, unless desiredStatus says otherwise; stopped ones for an hour."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    if wanted.get("serviceName"):
        _service_of(place, wanted["serviceName"])
    arns = sorted(task.task_arn for task in place.tasks.values() if task.is_seen and _is_wanted(task, wanted))
    page, token = _page(wanted, arns, _itself, LARGEST_PAGE)
    return answer({"taskArns": page, "nextToken": token})


# Clusters and task definitions


def list_clusters(response):
    """API_ListClusters."""
    clusters = _backend_of(response).clusters.values()
    arns = sorted(cluster.arn for cluster in clusters if cluster.status == "ACTIVE")
    page, token = _page(parameters_of(response), arns, _itself, LARGEST_PAGE)
    return answer({"clusterArns": page, "nextToken": token})


_describe_clusters_of_moto = EC2ContainerServiceResponse.describe_clusters


def describe_clusters(response):
    """API_DescribeClusters, with the numbers of services and tasks that there are."""
    backend = _backend_of(response)
    for cluster in backend.clusters.values():
        place = Place(backend, cluster)
        ecs_capacity.look(place)
        services = place.services.values()
        statuses = [task.last_status for task in backend.tasks.get(cluster.name, {}).values()]
        cluster.active_services_count = sum(service.status == "ACTIVE" for service in services)
        cluster.running_tasks_count = statuses.count("RUNNING")
        cluster.pending_tasks_count = sum(status in PENDING for status in statuses)
    return _describe_clusters_of_moto(response)


def describe_task_definition(response):
    """API_DescribeTaskDefinition: a family without a revision stands for its latest ACTIVE one."""
    wanted = parameters_of(response)
    backend = _backend_of(response)
    task_definition = _find_task_definition(backend, wanted.get("taskDefinition"))
    described = {"taskDefinition": task_definition}
    if "TAGS" in wanted.get("include", []):
        described["tags"] = task_definition.tags
    return ActionResult(described)


def list_task_definitions(response):
    """API_ListTaskDefinitions: by family and revision, ACTIVE ones unless status says otherwise."""
    wanted = parameters_of(response)
    status = wanted.get("status", "ACTIVE")
    places = sorted(
        [family, revision]
        for family, revisions in _backend_of(response).task_definitions.items()
        for revision, task_definition in revisions.items()
        # familyPrefix is the whole name of a family here: "limits the listed task definitions to a single family".
        if wanted.get("familyPrefix") in (None, family) and task_definition.status == status
    )
    position = _itself
    if wanted.get("sort") == "DESC":
        places.reverse()
        position = _descending
    page, token = _page(wanted, places, position, LARGEST_PAGE)
    known = _backend_of(response).task_definitions
    return answer({"taskDefinitionArns": [known[name][number].arn for name, number in page], "nextToken": token})


def list_task_definition_families(response):
    """API_ListTaskDefinitionFamilies: families with ACTIVE task definitions, without, or both (the default)."""
    wanted = parameters_of(response)
    status = wanted.get("status", "ALL")
    families = sorted(
        family
        for family, revisions in _backend_of(response).task_definitions.items()
        if family.startswith(wanted.get("familyPrefix", "")) and status in ("ALL", _status_of_family(revisions))
    )
    page, token = _page(wanted, families, _itself, LARGEST_PAGE)
    return answer({"families": page, "nextToken": token})


# What a test arranges


def settle(account):
    """Let everything that the services of an account have under way come to its end."""
    for backend in ecs_backends[account].values():
        for service in list(backend.services.values()):
            if service.status == "ACTIVE":
                service.settle()


def edit_task(account, region, cluster, task, changes):
    """Put a task into a state: last_status, stopped_reason, image_digest. It stays as it is put."""
    backend = ecs_backends[account][region]
    found = _find_task(Place(backend, backend._get_cluster(cluster)), task)
    if found is None:
        raise ValueError(f"there is no task {task!r}")
    found.is_held = True
    _EDITS[changes.get("last_status")](found, changes)
    if "health_status" in changes:
        found.told_health = changes["health_status"]
    if "image_digest" in changes:
        for container in found.containers:
            Task.set_digest(container, changes["image_digest"])
    return found.describe(with_tags=True)


def put_trouble(account, region, cluster, service, running=False, **what):
    """Let the tasks of a service have trouble from now on (`ecs_trouble.py`)."""
    found = _arranged_service(account, region, cluster, service)
    found.tell_trouble(ecs_trouble.Trouble(**what), running)


def end_troubles(account, region, cluster, service):
    """Let the tasks of a service be as they would be."""
    _arranged_service(account, region, cluster, service).end_troubles()


def put_agent(account, region, cluster, instance, connected):
    """Let the agent of a container instance be connected or not."""
    backend = ecs_backends[account][region]
    ecs_capacity.put_agent(Place(backend, backend._get_cluster(cluster)), instance, connected)


def put_target_health(account, region, group, state=None, reason=None, task=None):
    """Let the targets of a group that are tasks be in a state, or one of them. Services say of which it is unhealthy."""
    backend = ecs_backends[account][region]
    tasks = [each for of_cluster in backend.tasks.values() for each in of_cluster.values()]
    found = next((each for each in tasks if each.task_arn == task), None) if task else None
    if task and found is None:
        raise ValueError(f"there is no task {task!r}")
    targets.put_health(account, region, group, state, reason, found)
    if state != "unhealthy":
        return
    for service in backend.services.values():
        for each in service.live_tasks():
            balancers = [balancer.get("targetGroupArn") for balancer in each.load_balancers]
            if group in balancers and found in (None, each):
                ecs_trouble.unhealthy_target(service, each, targets.description_of(state, reason))


def _arranged_service(account, region, cluster, name):
    backend = ecs_backends[account][region]
    service = _find_service(Place(backend, backend._get_cluster(cluster)), name)
    if service is None:
        raise ValueError(f"there is no service {name!r}")
    return service


def _edit_running(task, _changes):
    task.desired_status = "RUNNING"
    task.stopped_at = task.stop_code = task.stopped_reason = None
    task.run()


def _edit_pending(task, _changes):
    task.desired_status = "RUNNING"
    task.stopped_at = task.stop_code = task.stopped_reason = None
    task.pend()


def _edit_stopped(task, changes):
    task.stop(changes.get("stop_code", "TaskFailedToStart"), changes.get("stopped_reason", "Stopped by the test"))
    task.stopped_at = changes.get("stopped_at", task.stopped_at)


def _edit_nothing(_task, _changes):
    pass


_EDITS = {"RUNNING": _edit_running, "PENDING": _edit_pending, "STOPPED": _edit_stopped, None: _edit_nothing}


def install():
    """Put these operations in place of moto's."""
    ecs_capacity.install()
    operations.install(
        EC2ContainerServiceResponse,
        create_service,
        update_service,
        delete_service,
        describe_services,
        list_services,
        describe_service_revisions,
        list_service_deployments,
        describe_service_deployments,
        stop_service_deployment,
        create_task_set,
        describe_task_sets,
        update_task_set,
        delete_task_set,
        update_service_primary_task_set,
        run_task,
        stop_task,
        describe_tasks,
        list_tasks,
        list_clusters,
        describe_clusters,
        describe_task_definition,
        list_task_definitions,
        list_task_definition_families,
    )


# Reading a request


def _backend_of(response):
    return ecs_backends[response.current_account][response.region]


def _place_of(response, wanted):
    backend = _backend_of(response)
    return Place(backend, backend._get_cluster(wanted.get("cluster") or "default"))


def _checked_list(name, values, most):
    if not values:
        refuse("InvalidParameterException", f"{name} cannot be empty.")
    if len(values) > most:
        refuse("InvalidParameterException", f"{name} can have at most {most} items.")
    return values


def _page(wanted, items, position, if_not_said):
    size = wanted.get("maxResults", if_not_said)
    if not 1 <= size <= LARGEST_PAGE:
        refuse("InvalidParameterException", f"maxResults must be between 1 and {LARGEST_PAGE}")
    after = None
    if wanted.get("nextToken") is not None:
        try:
            after = operations.position_of(wanted["nextToken"])
        except ValueError:
            refuse("InvalidParameterException", "Invalid token")
    return operations.page_of(items, size, after, position)


def _itself(item):
    return item


def _descending(place):
    """A place of [family, revision] that grows while family and revision fall."""
    family, revision = place
    return [[-ord(character) for character in family] + [0], -revision]


def _newest_first(deployment):
    return [-deployment.created_at, deployment.arn]


def _missing(arn):
    return {"arn": arn, "reason": "MISSING"}


def _arn_of_missing(response, kind, name):
    if name.startswith("arn:"):
        return name
    backend = _backend_of(response)
    return f"arn:{backend.partition}:ecs:{backend.region_name}:{backend.account_id}:{kind}/{name}"


# Services in a request


def _key(place, name):
    return f"{place.cluster_name}:{name}"


def _find_service(place, name_or_arn):
    service = place.backend.services.get(_key(place, name_or_arn.split("/")[-1]))
    if service is not None and name_or_arn.startswith("arn:") and name_or_arn != service.arn:
        return None
    return service


def _service_of(place, name_or_arn):
    service = _find_service(place, name_or_arn or "")
    if service is None:
        refuse("ServiceNotFoundException", "Service not found.")
    return service


def _kept(wanted):
    """What a request says of a service and DescribeServices gives back."""
    kept = {name: value for name, value in wanted.items() if name not in NOT_KEPT and value is not None}
    if "deploymentConfiguration" in kept:
        kept["deploymentConfiguration"] = {**DEPLOYMENT_DEFAULTS, **kept["deploymentConfiguration"]}
    return kept


def _members_of_new_service(place, wanted):
    _check_count(wanted.get("schedulingStrategy"), wanted)
    if wanted.get("launchType") and wanted.get("capacityProviderStrategy"):
        refuse(
            "InvalidParameterException",
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        )
    members = {**DEFAULTS, "deploymentConfiguration": dict(DEPLOYMENT_DEFAULTS), **_kept(wanted)}
    if not wanted.get("launchType") and not wanted.get("capacityProviderStrategy"):
        # API_CreateService: the cluster's default strategy is used; without one the launch type is EC2.
        default = place.backend.clusters[place.cluster_name].default_capacity_provider_strategy
        members.update({"capacityProviderStrategy": default} if default else {"launchType": "EC2"})
    if wanted.get("role"):
        members["roleArn"] = wanted["role"]
    return members


def _task_definition_of_service(place, wanted, service):
    """The task definition of a new service, which one with the EXTERNAL controller doesn't have."""
    if service.controller == "EXTERNAL":
        return None
    task_definition = _active_task_definition(place.backend, wanted.get("taskDefinition"))
    _check_network(task_definition, wanted)
    service.members["taskDefinition"] = task_definition.arn
    return task_definition


def _task_definition_of_update(place, service, wanted):
    if wanted.get("taskDefinition"):
        return _active_task_definition(place.backend, wanted["taskDefinition"])
    return service.primary.revision.task_definition if service.primary else None


def _check_count(strategy, wanted):
    """API_CreateService and API_UpdateService, desiredCount: of services with the REPLICA strategy; not negative."""
    count = wanted.get("desiredCount")
    if count is not None and strategy == "DAEMON":
        refuse(
            "InvalidParameterException",
            "The daemon scheduling strategy does not support a desired count for services. Remove the desired count "
            "value and try again",
        )
    if count is not None and count < 0:
        refuse("InvalidParameterException", "desiredCount cannot be negative.")


def _refuse_what_the_controller_decides(service, wanted):
    """API_UpdateService: with another controller than ECS, only what starts no deployment can be updated."""
    if service.controller == "ECS":
        return
    refused = [name for name in REVISION_MEMBERS + ("forceNewDeployment",) if wanted.get(name)]
    if refused:
        refuse(
            "InvalidParameterException",
            f"Unable to update {', '.join(refused)} on services with a {service.controller} deployment controller.",
        )


def _changes_revision(service, wanted, task_definition):
    if service.primary is None:
        return False
    if task_definition is not service.primary.revision.task_definition:
        return True
    others = [name for name in REVISION_MEMBERS if name != "taskDefinition"]
    return any(name in wanted and wanted[name] != service.members.get(name) for name in others)


def _add_task_set(service, task_definition, wanted):
    kept = ("externalId", "networkConfiguration", "loadBalancers", "serviceRegistries", "launchType")
    kept += ("capacityProviderStrategy", "platformVersion", "scale")
    members = {name: wanted[name] for name in kept if wanted.get(name) is not None}
    task_set = TaskSet(service, task_definition, members, wanted.get("tags") or [])
    service.task_sets.append(task_set)
    service.schedule()
    return task_set


def _task_set_of(service, name):
    found = [task_set for task_set in service.task_sets if name in (task_set.id, task_set.task_set_arn)]
    if not found:
        refuse("TaskSetNotFoundException", "The specified task set does not exist.")
    return found[0]


# Tasks in a request


def _find_task(place, name_or_arn):
    arn = name_or_arn if name_or_arn.startswith("arn:") else place.arn("task", name_or_arn)
    return place.tasks.get(arn)


def _run_one(place, task_definition, wanted):
    strategy = wanted.get("capacityProviderStrategy")
    kept = ("overrides", "platformVersion", "enableExecuteCommand")
    members = {name: wanted[name] for name in kept if wanted.get(name) is not None}
    if strategy:
        members["capacityProviderName"] = strategy[0]["capacityProvider"]
    else:
        members["launchType"] = wanted.get("launchType") or "EC2"
    task = Task(
        place,
        task_definition,
        group=wanted.get("group") or f"family:{task_definition.family}",
        startedBy=wanted.get("startedBy"),
        tags=wanted.get("tags"),
        **members,
    )
    task.run()
    return task


def _is_wanted(task, wanted):
    family = wanted.get("family")
    service = wanted["serviceName"].split("/")[-1] if wanted.get("serviceName") else None
    return (
        task.desired_status == wanted.get("desiredStatus", "RUNNING")
        and family in (None, task.task_definition.family)
        and service in (None, task.group.partition("service:")[2])
        and wanted.get("startedBy") in (None, task.started_by)
        and wanted.get("launchType") in (None, task.members.get("launchType"))
        and wanted.get("containerInstance") in (None, task.container_instance_arn)
    )


# Task definitions in a request


def _find_task_definition(backend, name):
    family, _, revision = (name or "").split("/")[-1].partition(":")
    revisions = backend.task_definitions.get(family, {})
    if revision:
        found = revisions.get(int(revision)) if revision.isdigit() else None
    else:
        active = [number for number, each in revisions.items() if each.status == "ACTIVE"]
        found = revisions[max(active)] if active else None
    if found is None:
        refuse("ClientException", "Unable to describe task definition.")
    return found


def _active_task_definition(backend, name):
    task_definition = _find_task_definition(backend, name)
    if task_definition.status != "ACTIVE":
        refuse("ClientException", "TaskDefinition is inactive")
    return task_definition


def _check_network(task_definition, wanted):
    """API_CreateService and API_RunTask, networkConfiguration: required for the awsvpc network mode."""
    if task_definition.network_mode == "awsvpc" and not wanted.get("networkConfiguration"):
        refuse(
            "InvalidParameterException",
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        )


def _status_of_family(revisions):
    return "ACTIVE" if any(each.status == "ACTIVE" for each in revisions.values()) else "INACTIVE"
