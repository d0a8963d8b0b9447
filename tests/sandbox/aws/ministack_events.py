"""The door by which events of AWS services come onto ministack's event buses, and that for what alarms do.

ministack refuses PutEvents with a source of AWS, as AWS does. What moto's services tell (`events.py`) comes in here, and
from here on ministack's rules and targets are those of EventBridge. What alarms do has a door of its own
(`ministack_wakes.py`).
"""

import json
import sys
import urllib.error
import urllib.request

import ministack_wakes
from events import DOOR, DOOR_OF_ACTIONS

REGISTRATION = "/sandbox/events/bus"


class Door:
    """Wraps ministack's ASGI application."""

    def __init__(self, application):
        self._application = application

    async def __call__(self, scope, receive, send):
        told_to = DOORS.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if told_to is None:
            await self._application(scope, receive, send)
            return
        told_to(json.loads(await _body_of(receive)))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


def put(event):
    """Put an event onto the default bus of its account and Region."""
    from ministack.core.responses import request_scope
    from ministack.services import eventbridge

    entry = {
        "Source": event["source"],
        "DetailType": event["detail-type"],
        "Detail": json.dumps(event["detail"]),
        "Resources": event["resources"],
    }
    with request_scope(event["account"], event["region"]):
        eventbridge._ensure_default_bus()
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


DOORS = {DOOR: put, DOOR_OF_ACTIONS: ministack_wakes.act}


def register(moto_url, own_url):
    """Tell moto where the door is."""
    request = urllib.request.Request(moto_url + REGISTRATION, json.dumps({"url": own_url}).encode())
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except (urllib.error.URLError, OSError) as error:
        print(f"moto does not know of this event bus: {error}", file=sys.stderr)


async def _body_of(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
