"""Elastic Load Balancing: requests that are really answered, by the applications of tasks that are targets.

A load balancer is reached on a port of 127.0.0.1 that the control API tells. "Listeners for your Application Load
Balancers" and "Target group health" (User Guide for Application Load Balancers): healthy targets get the requests; when all are unhealthy, all of them do; without targets it is a 503.
"""

import functools
import itertools
import threading
from http import HTTPStatus

from moto.elbv2.models import elbv2_backends
from werkzeug.serving import WSGIRequestHandler, make_server

import targets
import web_application

HOST = "127.0.0.1"
HTML = [("Content-Type", "text/html")]


class _QuietRequestHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code="-", size="-"):
        """Log nothing."""


_servers = {}
_lock = threading.Lock()
_turns = itertools.count()


def address_of(account, region, name):
    """The URL at which a load balancer, named by its ARN or name, answers from now on."""
    balancers = elbv2_backends[account][region].load_balancers
    found = next((each for each in balancers.values() if name in (each.arn, each.name)), None)
    if found is None:
        raise ValueError(f"there is no load balancer {name!r}")
    with _lock:
        if found.arn not in _servers:
            where = account, region, found.arn

            answer = functools.partial(_answer, *where)
            server = make_server(HOST, 0, answer, threaded=True, request_handler=_QuietRequestHandler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            _servers[found.arn] = server
        return f"http://{HOST}:{_servers[found.arn].server_port}"


def _answer(account, region, arn, environ, start_response):
    status, headers, body = _answered(account, region, arn, environ.get("PATH_INFO", "/"))
    line = f"{status} {HTTPStatus(status).phrase}"
    start_response(line, [*headers, ("Content-Length", str(len(body)))])
    return [body]


def _answered(account, region, arn, path):
    backend = elbv2_backends[account][region]
    balancer = backend.load_balancers.get(arn)
    group = _group_for(backend, balancer) if balancer is not None else None
    task = _one_of(targets.in_turn(group)) if group is not None else None
    if task is None:
        return 503, HTML, b"<html><body>503 Service Temporarily Unavailable</body></html>"
    application = task.application()
    if application is None:
        return 502, HTML, b"<html><body>502 Bad Gateway</body></html>"
    status, members = application.answer(path)
    return status, [("Content-Type", "application/json")], web_application.body_of(members)


def _group_for(backend, balancer):
    """The target group that the default action of the first listener forwards to; rules are not looked at."""
    for listener in balancer.listeners.values():
        for action in listener.default_actions:
            arn = action.data.get("TargetGroupArn") or _first_of(action.data.get("ForwardConfig"))
            if arn in backend.target_groups:
                return backend.target_groups[arn]
    return None


def _first_of(forward):
    groups = (forward or {}).get("TargetGroups") or []
    return groups[0].get("TargetGroupArn") if groups else None


def _one_of(tasks):
    return tasks[next(_turns) % len(tasks)] if tasks else None
