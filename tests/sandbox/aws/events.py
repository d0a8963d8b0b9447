"""What AWS services tell EventBridge: kept for tests to read, and delivered to the bus that ministack has. And what alarms
do, which topics and functions of ministack hear of.

Only AWS puts events whose source begins with `aws.` onto a bus (API_PutEvents), and moto's services are not those of
ministack; so ministack has a door of its own for them (`ministack_events.py`), of which it tells here when it starts.
What happens while a request is answered goes through it before the answer does, and after the account is free again
for everybody whom the events wake.
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone

import settings

DOOR = "/_sandbox/events"
DOOR_OF_ACTIONS = "/_sandbox/alarm-actions"

_kept = {}
_lock = threading.Lock()
_bus = None
_under_way = threading.local()


def emit(account, region, source, detail_type, resources, detail):
    """A service tells of something. It is on the bus before the request that is being answered is."""
    event = {
        "source": source,
        "detail-type": detail_type,
        "account": account,
        "region": region,
        "time": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "resources": resources,
        "detail": detail,
    }
    with _lock:
        _kept.setdefault(account, []).append(event)
    _outbox().append((DOOR, event))


def act(action):
    """An alarm does something: it is under way before the request that is being answered is answered."""
    _outbox().append((DOOR_OF_ACTIONS, action))


def emit_of_service(account, region, source, detail_type, resources, detail):
    """As `emit`, for a service whose events wake functions of a deployed stack: on the bus if the settings say so."""
    if settings.of_account(account).service_events:
        emit(account, region, source, detail_type, resources, detail)


def deliver():
    """Bring what this thread's request has told of to ministack."""
    waiting = _outbox()
    while waiting:
        door, told = waiting.pop(0)
        if _bus is not None:
            _put(door, told)


def of_account(account, region=None):
    """The events of an account in order."""
    with _lock:
        return [event for event in _kept.get(account, []) if region in (None, event["region"])]


def clear(account):
    """Forget the events of an account."""
    with _lock:
        _kept.pop(account, None)


def use_bus(url):
    """ministack answers at this address."""
    global _bus
    if not url.startswith("http://127.0.0.1:"):
        raise ValueError(f"{url!r} is not on this machine")
    _bus = url


def milliseconds(moment):
    """A time as CloudWatch writes it in its events: 2026-01-31T12:00:00.123+0000."""
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%dT%H:%M:%S}.{int(moment * 1000) % 1000:03}+0000"


def zulu(moment=None):
    """A time as other services write it: 2026-01-31T12:00:00.123Z."""
    return milliseconds(time.time() if moment is None else moment).replace("+0000", "Z")


def _put(door, told):
    request = urllib.request.Request(_bus + door, json.dumps(told).encode(), {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except (urllib.error.URLError, OSError) as error:
        print(f"nobody heard of this: {error}: {json.dumps(told)}", file=sys.stderr)


def _outbox():
    if not hasattr(_under_way, "told"):
        _under_way.told = []
    return _under_way.told
