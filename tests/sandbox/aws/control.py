"""The control API: what a test arranges that AWS has no call for. JSON in, JSON out, on moto's own port.

Everything is below /sandbox; the paths are in `ROUTES`. A request that makes no sense is answered 400 with the reason.
"""

import json
from datetime import datetime, timezone
from urllib.parse import parse_qsl

import pg8000
from moto.core.exceptions import ServiceException

import accounts
import autoscaling
import calls
import cloudwatch
import ecr
import ecs
import ecs_capacity
import events
import faults
import network
import postgres
import rds
import rds_backups
import rds_restores
import rds_snapshots
import rds_states
import rds_storage
import scalable_targets
import settings
import targets
import web_balancer

PREFIX = "/sandbox/"

# Members of requests that are times.
TIMES = {
    "pushed_at",
    "last_pull",
    "archived_at",
    "restored_at",
    "taken_at",
    "created_at",
    "latest_restorable_time",
    "earliest",
    "latest",
}


class Request:
    """A control request: whose account and Region it is about, and the rest of its members."""

    def __init__(self, environ, body):
        members = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        members.update(_members_of(body))
        self.names_region = "region" in members
        self.account = members.pop("account", accounts.DEFAULT_ACCOUNT)
        self.region = members.pop("region", accounts.DEFAULT_REGION)
        self.members = members

    def __getitem__(self, name):
        if name not in self.members:
            raise ValueError(f"{name!r} is missing")
        return self.members[name]


def time_of(text):
    """The seconds since 1970 of an RFC 3339 time."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as 2026-01-31T12:00:00Z")
    return moment.astimezone(timezone.utc).timestamp()


def health(_request):
    return {"status": "ok"}


def seed_images(request):
    wanted = [_seeded_image(image) for image in request["images"]]
    digests = ecr.seed_images(request.account, request.region, request["repository"], wanted)
    return {"images": [{"digest": digest} for digest in digests]}


def change_settings(request):
    changes = {name: value for name, value in request.members.items() if value is not None}
    return {"settings": settings.change(request.account, changes)}


def settle(request):
    """Let everything that takes time come to its end, also what AWS does of itself after a while."""
    rds_states.settle(request.account)
    rds_storage.settle(request.account)
    rds.settle(request.account)
    rds_states.settle(request.account)
    # Policies want tasks, which want instances, which make room for the tasks; then groups may be larger than they need.
    for part in (autoscaling, scalable_targets, ecs, autoscaling, ecs):
        part.settle(request.account)
    ecs_capacity.scale_in(request.account)
    for part in (autoscaling, ecs, targets, cloudwatch):
        part.settle(request.account)
    return {}


def put_target_health(request):
    changes = _described(request.members, {"target_group", "state", "reason", "task"})
    group = changes.pop("target_group", None) or request["target_group"]
    ecs.put_target_health(request.account, request.region, group, **changes)
    return {}


def tell_address(request):
    _refuse_unknown(request.members, {"load_balancer"})
    return {"url": web_balancer.address_of(request.account, request.region, request["load_balancer"])}


def put_trouble(request):
    known = {"cluster", "service", "kind", "task_definition", "times", "stop_code", "stopped_reason", "exit_code"}
    changes = _described(request.members, known | {"reason", "running"})
    cluster, service = (changes.pop(key, None) or request[key] for key in ("cluster", "service"))
    ecs.put_trouble(request.account, request.region, cluster, service, **changes)
    return {}


def end_troubles(request):
    _refuse_unknown(request.members, {"cluster", "service"})
    ecs.end_troubles(request.account, request.region, request["cluster"], request["service"])
    return {}


def put_agent(request):
    _refuse_unknown(request.members, {"cluster", "container_instance", "agent_connected"})
    where = request["cluster"], request["container_instance"]
    ecs.put_agent(request.account, request.region, *where, request["agent_connected"])
    return {}


def add_fault(request):
    faults.add(request.account, request.members)
    return {}


def clear_faults(request):
    faults.clear(request.account)
    return {}


def backdate_snapshot(request):
    created_at = time_of(request["created_at"])
    rds_snapshots.backdate(request.account, request.region, request["snapshot"], created_at)
    return {}


def seed_snapshots(request):
    wanted = [
        _described(snapshot, {"instance", "id", "type", "taken_at", "created_at", "tags", "status", "source"})
        for snapshot in request["snapshots"]
    ]
    return {"snapshots": rds_snapshots.seed(request.account, request.region, wanted)}


def fail_snapshot(request):
    rds_snapshots.fail(request.account, request.region, request["snapshot"])
    return {}


def put_instance(request):
    changes = _described(request.members, {"instance", "status", "latest_restorable_time"})
    name = changes.pop("instance", None) or request["instance"]
    rds.put_instance(request.account, request.region, name, **changes)
    return {}


def put_free_storage(request):
    _refuse_unknown(request.members, {"instance", "free_bytes"})
    rds_storage.put_free(request.account, request.region, request["instance"], request["free_bytes"])
    return {}


def start_instance_automatically(request):
    rds.start_automatically(request.account, request.region, request["instance"])
    return {}


def make_database_real(request):
    _refuse_unknown(request.members, {"instance"})
    rds.make_real(request.account, request.region, request["instance"])
    return rds.connection_of(request.account, request.region, request["instance"])


def tell_connection(request):
    _refuse_unknown(request.members, {"instance"})
    return rds.connection_of(request.account, request.region, request["instance"])


def run_sql(request):
    _refuse_unknown(request.members, {"instance", "sql", "parameters"})
    parameters = request.members.get("parameters") or {}
    return rds.run_sql(request.account, request.region, request["instance"], request["sql"], parameters)


def put_outcome(request):
    _refuse_unknown(request.members, {"instance", "status"})
    rds_restores.put_outcome(request.account, request.region, request["instance"], request["status"])
    return {}


def put_replicated_backup(request):
    changes = _described(request.members, {"resource_id", "status", "earliest", "latest"})
    resource_id = changes.pop("resource_id", None) or request["resource_id"]
    rds_backups.put_replicated(request.account, request.region, resource_id, **changes)
    return {}


def put_alarm_state(request):
    known = {"alarm", "state", "reason", "reason_data", "datapoints", "evaluation_state"}
    changes = _described(request.members, known)
    name, state = (changes.pop(key, None) or request[key] for key in ("alarm", "state"))
    cloudwatch.put_state(request.account, request.region, name, state, **changes)
    return {}


def put_alarm_contributor(request):
    changes = _described(request.members, {"alarm", "attributes", "state", "reason"})
    name, attributes = (changes.pop(key, None) or request[key] for key in ("alarm", "attributes"))
    return {"id": cloudwatch.put_contributor(request.account, request.region, name, attributes, **changes)}


def put_metric(request):
    changes = _described(request.members, {"namespace", "metric", "dimensions", "expression", "value", "points"})
    if "points" in changes:
        changes["points"] = [{**point, "at": time_of(point["at"])} for point in changes["points"]]
    cloudwatch.put_metric(request.account, request.region, **changes)
    return {}


def use_event_bus(request):
    events.use_bus(request["url"])
    return {}


def list_events(request):
    return events.of_account(request.account, request.region if request.names_region else None)


def clear_events(request):
    events.clear(request.account)
    return {}


def lay_out_network(request):
    return network.lay_out(request.account, request.region)


def edit_task(request):
    cluster, task = request["cluster"], request["task"]
    changes = {
        name: value
        for name, value in request.members.items()
        # Only of the digest does null say something: that it is not known yet.
        if name not in ("cluster", "task") and (value is not None or name == "image_digest")
    }
    _refuse_unknown(changes, {"last_status", "stopped_reason", "stop_code", "stopped_at", "image_digest", "health_status"})
    if "stopped_at" in changes:
        changes["stopped_at"] = time_of(changes["stopped_at"])
    return {"task": ecs.edit_task(request.account, request.region, cluster, task, changes)}


def list_calls(request):
    return calls.of_account(request.account, request.region if request.names_region else None)


def clear_calls(request):
    calls.clear(request.account)
    return {}


ROUTES = {
    ("GET", "health"): health,
    ("POST", "cloudwatch/alarms"): put_alarm_state,
    ("POST", "cloudwatch/contributors"): put_alarm_contributor,
    ("POST", "cloudwatch/metrics"): put_metric,
    ("POST", "ecr/images"): seed_images,
    ("POST", "ecs/tasks"): edit_task,
    ("POST", "ecs/trouble"): put_trouble,
    ("POST", "ecs/trouble/end"): end_troubles,
    ("POST", "ecs/container-instances"): put_agent,
    ("POST", "rds/snapshots"): seed_snapshots,
    ("POST", "rds/backdate"): backdate_snapshot,
    ("POST", "rds/fail"): fail_snapshot,
    ("POST", "rds/instances"): put_instance,
    ("POST", "rds/storage"): put_free_storage,
    ("POST", "rds/automatic-start"): start_instance_automatically,
    ("POST", "rds/replicated-backups"): put_replicated_backup,
    ("POST", "rds/outcomes"): put_outcome,
    ("POST", "database/real"): make_database_real,
    ("POST", "database/connection"): tell_connection,
    ("POST", "database/sql"): run_sql,
    ("POST", "elbv2/target-health"): put_target_health,
    ("POST", "elbv2/address"): tell_address,
    ("POST", "network"): lay_out_network,
    ("POST", "settings"): change_settings,
    ("POST", "settle"): settle,
    ("POST", "faults"): add_fault,
    ("POST", "faults/clear"): clear_faults,
    ("GET", "calls"): list_calls,
    ("POST", "calls/clear"): clear_calls,
    ("GET", "events"): list_events,
    ("POST", "events/clear"): clear_events,
    ("POST", "events/bus"): use_event_bus,
}


def answer(environ, body):
    """The status and JSON body that answer a control request."""
    route = environ["REQUEST_METHOD"], environ["PATH_INFO"][len(PREFIX) :]
    action = ROUTES.get(route)
    if action is None:
        known = ", ".join(f"{method} {PREFIX}{path}" for method, path in ROUTES)
        return 404, {"error": f"no such request; there are {known}"}
    try:
        return 200, action(Request(environ, body))
    except ServiceException as error:
        return 400, {"error": f"{error.code}: {error.message}"}
    except (AttributeError, KeyError, TypeError, ValueError, OSError, pg8000.Error, postgres.Unavailable) as error:
        return 400, {"error": f"{type(error).__name__}: {error}"}


def _members_of(body):
    if not body:
        return {}
    members = json.loads(body)
    if not isinstance(members, dict):
        raise ValueError("the body must be a JSON object")
    return members


def _seeded_image(image):
    """A seeded image."""
    known = {
        "tags",
        "pushed_at",
        "last_pull",
        "size",
        "manifest",
        "digest",
        "media_type",
        "artifact_media_type",
        "subject",
        "status",
        "archived_at",
        "restored_at",
    }
    return _described(image, known)


def _described(members, known):
    """The members that are set, with times as seconds since 1970. Unknown ones are refused."""
    _refuse_unknown(members, known)
    described = {name: value for name, value in members.items() if value is not None}
    for name in TIMES & set(described):
        described[name] = time_of(described[name])
    return described


def _refuse_unknown(members, known):
    unknown = set(members) - known
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}; there are {sorted(known)}")
