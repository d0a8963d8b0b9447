"""AWS Systems Manager Change Calendar, which ministack lacks: calendars as documents, and their state.

A calendar is a document of the type ChangeCalendar whose content is iCalendar text ("Creating a change calendar", AWS
Systems Manager User Guide; RFC 5545). A calendar that is DEFAULT_OPEN is closed during its events, and one that is
DEFAULT_CLOSED is open during them. Events that recur are refused.
"""

import json
import re
from datetime import datetime, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ministack.core.responses import AccountRegionScopedDict, error_response_json, get_account_id, get_region, json_response
from ministack.services import ssm

TYPE = "ChangeCalendar"
OPEN_UNLESS_SAID = {"DEFAULT_OPEN": True, "DEFAULT_CLOSED": False}
PROPERTY = re.compile(r"(DTSTART|DTEND)(?:;TZID=([^:;]+))?:(\d{8}T\d{6})(Z?)")

_documents = AccountRegionScopedDict()
_handle_of_ministack = ssm.handle_request


class Refused(Exception):
    """An error that AWS gives: a code and a message."""


class Calendar:
    """What the content of a document says. Raises ValueError for what is no calendar."""

    def __init__(self, content):
        lines = [line.strip() for line in content.replace("\r\n", "\n").split("\n")]
        kinds = [line.partition(":")[2] for line in lines if line.startswith("X-CALENDAR-TYPE:")]
        if lines[0] != "BEGIN:VCALENDAR" or len(kinds) != 1 or kinds[0] not in OPEN_UNLESS_SAID:
            raise ValueError("it is no calendar that is DEFAULT_OPEN or DEFAULT_CLOSED")
        self._open_unless_said = OPEN_UNLESS_SAID[kinds[0]]
        self._events = []
        event = None
        for line in lines:
            if line == "BEGIN:VEVENT":
                event = {}
            elif line == "END:VEVENT":
                self._events.append((event["DTSTART"], event["DTEND"]))
                event = None
            elif event is not None and line.startswith(("RRULE", "RDATE", "DURATION")):
                raise ValueError(f"the sandbox does not know {line.partition(':')[0]}")
            elif event is not None and (found := PROPERTY.fullmatch(line)):
                event[found[1]] = _moment(*found.groups()[1:])

    def is_open_at(self, moment):
        during = any(begin <= moment < end for begin, end in self._events)
        return self._open_unless_said != during

    def edges(self):
        """Every moment at which the state may change."""
        return [edge for event in self._events for edge in event]


def create_document(asked):
    """API_CreateDocument, of calendars."""
    if asked.get("DocumentType") != TYPE:
        raise Refused("InvalidDocumentContent", f"The sandbox has documents of the type {TYPE} only.")
    if asked["Name"] in _documents:
        raise Refused("DocumentAlreadyExists", f"Document with name {asked['Name']} already exists.")
    return _put(asked, 1)


def update_document(asked):
    """API_UpdateDocument."""
    current = _document(asked["Name"])
    if current["content"] == asked["Content"]:
        raise Refused("DuplicateDocumentContent", "The content of the association document matches another document.")
    return _put(asked, current["version"] + 1)


def delete_document(asked):
    """API_DeleteDocument."""
    _document(asked["Name"])
    del _documents[asked["Name"]]
    return {}


def get_calendar_state(asked):
    """API_GetCalendarState: "the command returns the status of OPEN only if all calendars in the request are open"."""
    if not asked.get("CalendarNames"):
        raise Refused("ValidationException", "CalendarNames must have a name at least.")
    calendars = [_document(name)["calendar"] for name in asked["CalendarNames"]]
    moment = _time_of(asked.get("AtTime"))

    def is_open(at):
        return all(calendar.is_open_at(at) for calendar in calendars)

    state = is_open(moment)
    edges = sorted(edge for calendar in calendars for edge in calendar.edges() if edge > moment)
    change = next((edge for edge in edges if is_open(edge) != state), None)
    answer = {"State": "OPEN" if state else "CLOSED", "AtTime": _written(moment)}
    if change is not None:
        answer["NextTransitionTime"] = _written(change)
    return answer


OPERATIONS = {
    "CreateDocument": create_document,
    "UpdateDocument": update_document,
    "DeleteDocument": delete_document,
    "GetCalendarState": get_calendar_state,
}


async def handle_request(method, path, headers, body, query_params):
    """ministack's, and the operations above."""
    operation = OPERATIONS.get(headers.get("x-amz-target", "").split(".")[-1])
    if operation is None:
        return await _handle_of_ministack(method, path, headers, body, query_params)
    try:
        return json_response(operation(json.loads(body)))
    except Refused as refusal:
        return error_response_json(*refusal.args, 400)


def install():
    """Put this in place of ministack's."""
    ssm.handle_request = handle_request


def _put(asked, version):
    try:
        calendar = Calendar(asked["Content"])
    except (KeyError, ValueError, ZoneInfoNotFoundError) as error:
        raise Refused("InvalidDocumentContent", f"The content of the document is not valid: {error}") from error
    _documents[asked["Name"]] = {"content": asked["Content"], "version": version, "calendar": calendar}
    described = {
        "Name": asked["Name"],
        "Owner": get_account_id(),
        "DocumentVersion": str(version),
        "Status": "Active",
        "DocumentType": TYPE,
        "DocumentFormat": "TEXT",
    }
    return {"DocumentDescription": described}


def _document(name):
    """A document by its name or ARN."""
    prefix = f"arn:aws:ssm:{get_region()}:{get_account_id()}:document/"
    found = _documents.get(name.removeprefix(prefix))
    if found is None:
        raise Refused("InvalidDocument", f"Document with name {name} does not exist.")
    return found


def _time_of(text):
    if text is None:
        return datetime.now(timezone.utc)
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise Refused("ValidationException", f"{text!r} is no time of ISO 8601.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _moment(zone, written, utc):
    moment = datetime.strptime(written, "%Y%m%dT%H%M%S")
    return moment.replace(tzinfo=timezone.utc if utc or not zone else ZoneInfo(zone))


def _written(moment):
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
