"""Amazon ECS: container instances of Auto Scaling groups, capacity providers, and where tasks find room.

The instances of a group are container instances of the cluster that the group's capacity provider belongs to, or that
its user data names ("Bootstrapping Amazon ECS Linux container instances to pass data", ECS Developer Guide); they
register when they are in service and are deregistered when they are terminated ("Deregistering an Amazon ECS container
instance"). "Amazon ECS cluster auto scaling" is the source for managed scaling.

Nothing is known here of memory, CPU or ports: an instance has room for as many tasks as the account's settings say.
"""

import math
import re

from moto.core.responses import ActionResult
from moto.ecs.models import ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse

import autoscaling
import ecs_events
import operations
import settings
from ecs_place import Place
from operations import parameters_of, refuse

# API_DescribeCapacityProviders, maxResults: "up to 10 results". API_ListContainerInstances: "up to 100 results".
PROVIDERS_PAGE = 10
INSTANCES_PAGE = 100
# API_DescribeContainerInstances: "A list of up to 100 container instance IDs".
MOST_INSTANCES = 100
# API_UpdateContainerInstancesState: "A list of up to 10 container instance IDs".
MOST_TO_UPDATE = 10

CLUSTER_OF_USER_DATA = re.compile(r"ECS_CLUSTER=[\"']?([A-Za-z0-9_-]+)")

# What launches tasks anywhere, as if there were room without end.
ANYWHERE = object()


class Demand:
    """What the tasks of one configuration of a service need: the launch type EC2, a capacity provider, or nothing."""

    def __init__(self, place, configuration):
        self._place = place
        self._provider = _group_provider(place, configuration.get("capacityProviderStrategy"))
        launch_type = None if configuration.get("capacityProviderStrategy") else configuration.get("launchType")
        if self._provider is None and (launch_type != "EC2" or not _has_instances(place)):
            self._provider = ANYWHERE

    @property
    def is_for_anywhere(self):
        """True where room is not modelled: on Fargate, and in clusters that no Auto Scaling group belongs to."""
        return self._provider is ANYWHERE

    @property
    def waits(self):
        """"Amazon ECS cluster auto scaling": with managed scaling, tasks without room wait in PROVISIONING.

        Without it none is launched (ECS Developer Guide, "Service event messages": unable to place a task).
        """
        return self._provider not in (ANYWHERE, None) and _is_scaled(self._provider)

    def room(self):
        """The container instance that has room for one more task, that with the fewest; None if none has."""
        used = _tasks_by_instance(self._place)
        most = settings.of_account(self._place.account).ecs_tasks_per_instance
        fitting = [arn for arn in self.active_instances() if used.get(arn, 0) < most]
        return min(fitting, key=lambda arn: used.get(arn, 0), default=None)

    def active_instances(self):
        """The container instances that take tasks of the configuration."""
        name = getattr(self._provider, "name", None)
        return [
            instance.container_instance_arn
            for instance in instances_of(self._place)
            # No task is placed where the agent is not connected ("Service event messages", AGENT).
            if instance.status == "ACTIVE" and instance.agent_connected
            and name in (None, vars(instance).get("capacity_provider_name"))
        ]

    def raise_capacity(self):
        """Managed scaling: let the group grow to what the tasks of the capacity provider need."""
        if self.waits:
            group = _group_of(self._place, self._provider)
            wanted = _wanted_capacity(self._place, self._provider, group)
            if wanted > group.desired_capacity:
                autoscaling.resize(group, wanted)
            look(self._place)

    def look_at_groups(self):
        """Whoever waits for room sees time pass for the instances that are to bring it."""
        if self._provider not in (ANYWHERE, None):
            autoscaling.look(_group_of(self._place, self._provider))
        elif self._provider is None:
            for group, _ in _groups_of(self._place):
                autoscaling.look(group)
        look(self._place)


def look(place):
    """Register instances that are in service, drain those that are leaving, and deregister those that are gone."""
    backend, cluster = place.backend, place.cluster_name
    states = {
        state.instance_id: (state.lifecycle_state, provider)
        for group, provider in _groups_of(place)
        for state in group.instance_states
    }
    registered = {instance.ec2_instance_id: instance for instance in instances_of(place)}
    for instance_id, (state, provider) in states.items():
        if state == "InService" and instance_id not in registered:
            instance = backend.register_container_instance(cluster, instance_id)
            instance.is_of_group = True
            instance.capacity_provider_name = provider
            ecs_events.instance_change(place, instance)
        elif state == "Terminating" and instance_id in registered:
            # "Amazon ECS managed instance draining": no task is placed on an instance that is being terminated.
            if registered[instance_id].status != "DRAINING":
                registered[instance_id].status = "DRAINING"
                ecs_events.instance_change(place, registered[instance_id])
    for instance_id, instance in registered.items():
        if instance_id not in states and vars(instance).get("is_of_group"):
            _deregister(place, instance)


def instances_of(place):
    """The container instances of a cluster, in the order in which they registered."""
    return list(place.backend.container_instances.get(place.cluster_name, {}).values())


def instance_of(place, arn):
    """The container instance that an ARN, or the id in it, names; None if there is none."""
    return place.backend.container_instances.get(place.cluster_name, {}).get((arn or "").split("/")[-1])


def put_agent(place, name, connected):
    """Let the agent of an instance be connected or not. What runs there runs on."""
    instance = instance_of(place, name)
    if instance is None:
        raise ValueError(f"there is no container instance {name!r}")
    instance.agent_connected = connected
    ecs_events.instance_change(place, instance)


def scale_in(account):
    """Managed scaling: what AWS does in an account after some fifteen minutes in which groups were too large.

    Instances with tasks leave last, and not at all with managed termination protection.
    """
    for region, backend in ecs_backends[account].items():
        for cluster in list(backend.clusters.values()):
            place = Place(backend, cluster)
            for provider in _providers_of(place):
                if _is_scaled(provider):
                    _lower(place, provider)


def install():
    """Put these operations in place of moto's."""
    operations.install(
        EC2ContainerServiceResponse,
        describe_capacity_providers,
        describe_container_instances,
        list_container_instances,
        update_container_instances_state,
    )


_describe_instances_of_moto = EC2ContainerServiceResponse.describe_container_instances
_update_state_of_moto = EC2ContainerServiceResponse.update_container_instances_state


# Operations


def describe_capacity_providers(response):
    """API_DescribeCapacityProviders: those named or all, ten to a page; the missing are in failures."""
    wanted = parameters_of(response)
    backend = ecs_backends[response.current_account][response.region]
    names = wanted.get("capacityProviders") or []
    found, failures = backend.describe_capacity_providers(names)
    if not names:
        found = sorted(backend.capacity_providers.values(), key=_name_of)
    page, token = _page(wanted, found, _name_of, PROVIDERS_PAGE) if not names else (found, None)
    with_tags = "TAGS" in wanted.get("include", [])
    described = [
        {
            "capacityProviderArn": provider.capacity_provider_arn,
            "name": provider.name,
            "status": provider.status,
            "autoScalingGroupProvider": provider.auto_scaling_group_provider,
            "tags": (provider.tags or []) if with_tags else [],
        }
        for provider in page
    ]
    failures = [{"arn": failure.arn, "reason": failure.reason} for failure in failures]
    return operations.answer({"capacityProviders": described, "failures": failures, "nextToken": token})


def describe_container_instances(response):
    """API_DescribeContainerInstances, with the numbers of tasks that there are."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    look(place)
    if len(wanted.get("containerInstances") or []) > MOST_INSTANCES:
        refuse("InvalidParameterException", f"containerInstances can have at most {MOST_INSTANCES} items.")
    place.backend.container_instances.setdefault(place.cluster_name, {})
    for instance in instances_of(place):
        on_it = [task for task in place.tasks.values() if task.container_instance_arn == instance.container_instance_arn]
        statuses = [task.last_status for task in on_it]
        instance.running_tasks_count = statuses.count("RUNNING")
        instance.pending_tasks_count = statuses.count("PENDING")
    return _describe_instances_of_moto(response)


def list_container_instances(response):
    """API_ListContainerInstances: ACTIVE and DRAINING ones unless a status is asked for, a hundred to a page."""
    wanted = parameters_of(response)
    place = _place_of(response, wanted)
    look(place)
    statuses = (wanted["status"],) if wanted.get("status") else ("ACTIVE", "DRAINING")
    arns = sorted(one.container_instance_arn for one in instances_of(place) if one.status in statuses)
    page, token = _page(wanted, arns, lambda arn: arn, INSTANCES_PAGE)
    return operations.answer({"containerInstanceArns": page, "nextToken": token})


def update_container_instances_state(response):
    """API_UpdateContainerInstancesState: services start the tasks of what drains elsewhere, where there is room."""
    wanted = parameters_of(response)
    place, status = _place_of(response, wanted), wanted.get("status")
    look(place)
    names = wanted.get("containerInstances") or []
    if status not in ("ACTIVE", "DRAINING"):
        refuse("InvalidParameterException", "Container instance status should be one of [ACTIVE, DRAINING]")
    if not 1 <= len(names) <= MOST_TO_UPDATE:
        refuse("InvalidParameterException", f"containerInstances can have at most {MOST_TO_UPDATE} items.")
    place.backend.container_instances.setdefault(place.cluster_name, {})
    for name in names:
        instance = instance_of(place, name)
        if instance is not None and instance.status != status:
            instance.status, instance.is_to_drain = status, status == "DRAINING"
            ecs_events.instance_change(place, instance)
    result = _update_state_of_moto(response)
    for service in place.services.values():
        if service.status == "ACTIVE":
            service.schedule()
    return result


# Groups and their clusters


def _groups_of(place):
    """The groups whose instances belong to a cluster, each with the name of its capacity provider or None."""
    backend = place.backend
    groups = autoscaling.autoscaling_backends[place.account][backend.region_name].autoscaling_groups.values()
    if not groups:
        return []
    by_arn = {provider.auto_scaling_group_provider["autoScalingGroupArn"]: provider for provider in _providers_of(place)}
    found = []
    for group in groups:
        provider = by_arn.get(group.arn) or by_arn.get(group.name)
        if provider is not None:
            found.append((group, provider.name))
        elif _cluster_of_user_data(group) == place.cluster_name:
            found.append((group, None))
    return found


def _cluster_of_user_data(group):
    data = group.user_data
    found = CLUSTER_OF_USER_DATA.search(data.decode()) if data else None
    return found[1] if found else None


def _providers_of(place):
    """The capacity providers of a cluster that have an Auto Scaling group."""
    names = place.backend.clusters[place.cluster_name].capacity_providers or []
    providers = [place.backend._get_provider(name) for name in names]
    return [provider for provider in providers if provider is not None and _group_of(place, provider) is not None]


def _group_provider(place, strategy):
    """The capacity provider of a strategy if it has an Auto Scaling group."""
    provider = place.backend._get_provider(strategy[0]["capacityProvider"]) if strategy else None
    return provider if provider is not None and _group_of(place, provider) is not None else None


def _group_of(place, provider):
    arn = (provider.auto_scaling_group_provider or {}).get("autoScalingGroupArn")
    return autoscaling.group_of_arn(place.account, place.backend.region_name, arn) if arn else None


def _has_instances(place):
    """Whether container instances are known of a cluster, be they gone by now."""
    return place.cluster_name in place.backend.container_instances or bool(_groups_of(place))


def _tasks_by_instance(place):
    used = {}
    for task in place.tasks.values():
        if task.is_live and task.container_instance_arn:
            used[task.container_instance_arn] = used.get(task.container_instance_arn, 0) + 1
    return used


def _deregister(place, instance):
    """The tasks of an instance that is terminated stop; their services start others, where there is room."""
    ecs_events.instance_change(place, instance, "INACTIVE")
    del place.backend.container_instances[place.cluster_name][instance.id]
    place.backend.clusters[place.cluster_name].registered_container_instances_count -= 1
    services = place.services
    for task in list(place.tasks.values()):
        if task.is_live and task.container_instance_arn == instance.container_instance_arn:
            task.stop("TerminationNotice", f"Host EC2 (instance {instance.ec2_instance_id}) terminated.")
            service = services.get(task.group.partition("service:")[2])
            if service is not None:
                service.is_short = True


# Managed scaling


def _is_scaled(provider):
    """API_ManagedScaling, status."""
    return provider.auto_scaling_group_provider["managedScaling"]["status"] == "ENABLED"


def _wanted_capacity(place, provider, group):
    """"Amazon ECS cluster auto scaling": the needed instances are to be targetCapacity percent of those there are."""
    tasks = sum(
        task.is_live and task.desired_status == "RUNNING" and task.members.get("capacityProviderName") == provider.name
        for task in place.tasks.values()
    )
    needed = math.ceil(tasks / settings.of_account(place.account).ecs_tasks_per_instance)
    target = provider.auto_scaling_group_provider["managedScaling"]["targetCapacity"]
    return min(max(math.ceil(needed * 100 / target), group.min_size), group.max_size)


def _lower(place, provider):
    group = _group_of(place, provider)
    look(place)
    wanted = _wanted_capacity(place, provider, group)
    if wanted >= group.desired_capacity:
        return
    used = _tasks_by_instance(place)
    idle = {one.ec2_instance_id for one in instances_of(place) if one.container_instance_arn not in used}
    if provider.auto_scaling_group_provider["managedTerminationProtection"] == "ENABLED":
        # "Control the instances Amazon ECS terminates": Amazon ECS protects the instances that have tasks, and only them.
        for state in group.instance_states:
            state.protected_from_scale_in = state.instance_id not in idle
    autoscaling.resize(group, wanted, leaving_first=idle)
    look(place)


# Reading a request


def _place_of(response, wanted):
    backend = ecs_backends[response.current_account][response.region]
    return Place(backend, backend._get_cluster(wanted.get("cluster") or "default"))


def _page(wanted, items, position, largest):
    size = wanted.get("maxResults", largest)
    if not 1 <= size <= largest:
        refuse("InvalidParameterException", f"maxResults must be between 1 and {largest}")
    try:
        after = operations.position_of(wanted["nextToken"]) if wanted.get("nextToken") else None
    except ValueError:
        refuse("InvalidParameterException", "Invalid token")
    return operations.page_of(items, size, after, position)


def _name_of(provider):
    return provider.name
