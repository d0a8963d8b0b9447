"""The WSGI application: moto, with our operations in it, and around it accounts, recording, faults and control.

A request goes through here once: its account is read from its access key, it is recorded, a fault may end it, and then
moto answers it. Requests of one account are answered one at a time, so that what moto does in several steps is one
step to everybody else; accounts don't wait for each other.
"""

import json
import threading
import time
import traceback
from http import HTTPStatus

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app

import accounts
import autoscaling
import calls
import cloudwatch
import control
import ecr
import ecr_registry
import ecs
import ecs_daemons
import events
import faults
import lambda_images
import rds
import scalable_targets
import targets
import wire

SERVICES = (autoscaling, cloudwatch, ecr, ecr_registry, ecs, ecs_daemons, lambda_images, rds, scalable_targets, targets)


class QuietRequestHandler(MotoRequestHandler):
    """How requests are read: for many small ones from few clients, on connections that stay open."""

    protocol_version = "HTTP/1.1"
    # Without this an answer on an open connection waits some 40 ms for the acknowledgement of its headers.
    disable_nagle_algorithm = True

    def log_request(self, code="-", size="-"):
        """Log nothing: `calls.py` has the record of requests."""


class Application:
    """moto with the plugin, as a WSGI application."""

    def __init__(self):
        for service in SERVICES:
            service.install()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._account_locks = {}
        self._locks_lock = threading.Lock()

    def __call__(self, environ, start_response):
        body = wire.read_body(environ)
        if environ.get("PATH_INFO", "").startswith(control.PREFIX):
            return self._control(environ, body, start_response)
        call = wire.Call(environ, body)
        accounts.choose_account(environ, call.account)
        if not call.signed:
            return self._moto(environ, start_response)
        entry = calls.begin(call)
        refusal = faults.refusal_for(call)
        if refusal is not None:
            time.sleep(refusal.delay_seconds)
            if refusal.code:
                return _refused(call, refusal.code, refusal.message, refusal.status, entry, start_response)
        return self._answered_by_moto(environ, call, entry, start_response)

    def _control(self, environ, body, start_response):
        with self._lock_of(_account_of_control(environ, body)):
            status, members = control.answer(environ, body)
        events.deliver()
        return _send(start_response, status, [("Content-Type", "application/json")], json.dumps(members).encode())

    def _answered_by_moto(self, environ, call, entry, start_response):
        def start(status, headers, exc_info=None):
            calls.end(entry, int(status.split()[0]))
            return start_response(status, headers, exc_info)

        try:
            with self._lock_of(call.account):
                body = b"".join(self._moto(environ, start))
            events.deliver()
            return [body]
        except NotImplementedError as error:
            # Not a server's fault, which an SDK would try again.
            message = f"The sandbox cannot do this: {error}"
            return _refused(call, "UnknownOperationException", message, 400, entry, start_response)
        except Exception as error:
            traceback.print_exc()
            message = f"The sandbox failed: {type(error).__name__}: {error}"
            return _refused(call, "InternalFailure", message, 500, entry, start_response)

    def _lock_of(self, account):
        with self._locks_lock:
            return self._account_locks.setdefault(account, threading.RLock())


def _account_of_control(environ, body):
    try:
        return control.Request(environ, body).account
    except ValueError:
        return accounts.DEFAULT_ACCOUNT


def _refused(call, code, message, status, entry, start_response):
    status, headers, body = wire.error_answer(call, code, message, status)
    calls.end(entry, status)
    return _send(start_response, status, list(headers.items()), body)


def _send(start_response, status, headers, body):
    start_response(f"{status} {HTTPStatus(status).phrase}", headers + [("Content-Length", str(len(body)))])
    return [body]
