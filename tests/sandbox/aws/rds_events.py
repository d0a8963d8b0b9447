"""Amazon RDS: what it tells of its instances and snapshots, by DescribeEvents and to EventBridge.

"Amazon RDS event categories and event messages" (RDS User Guide) has the ids, categories and messages.
"""

import time
from datetime import datetime, timedelta, timezone

from moto.rds.models import RDSBackend
from moto.rds.responses import RDSResponse

import events
import operations
import rds_answers
from operations import refuse

SOURCE = "aws.rds"

# API_DescribeEvents: "for the past 14 days"; "By default, RDS returns events that were generated in the past hour."
LONGEST, MINUTES_IF_NOT_SAID = timedelta(days=14), 60

# By the id: category and message.
KNOWN = {
    "RDS-EVENT-0001": ("backup", "Backing up DB instance."),
    "RDS-EVENT-0002": ("backup", "Finished DB instance backup."),
    "RDS-EVENT-0003": ("deletion", "DB instance deleted."),
    "RDS-EVENT-0005": ("creation", "DB instance created."),
    "RDS-EVENT-0006": ("availability", "DB instance restarted."),
    "RDS-EVENT-0007": ("low storage", "Allocated storage has been exhausted. Allocate additional storage to resolve."),
    "RDS-EVENT-0016": ("configuration change", "Reset master credentials."),
    "RDS-EVENT-0017": ("configuration change", "Finished applying modification to allocated storage."),
    "RDS-EVENT-0018": ("configuration change", "Applying modification to allocated storage."),
    "RDS-EVENT-0040": ("creation", "Creating manual snapshot."),
    "RDS-EVENT-0042": ("creation", "Manual snapshot created."),
    "RDS-EVENT-0087": ("notification", "DB instance stopped."),
    "RDS-EVENT-0088": ("notification", "DB instance started."),
    "RDS-EVENT-0089": ("low storage", "The free storage capacity for DB instance: {name} is low at {percent}% of the "
                       "provisioned storage [Provisioned Storage: {allocated} GiB, Free Storage: {free} MB]. You may want "
                       "to increase the provisioned storage to address this issue."),
    "RDS-EVENT-0090": ("creation", "Creating automated snapshot."),
    "RDS-EVENT-0091": ("creation", "Automated snapshot created."),
    "RDS-EVENT-0154": (
        "notification",
        "DB instance is being started due to it exceeding the maximum allowed time being stopped.",
    ),
    "RDS-EVENT-0217": ("configuration change", "Applying autoscaling-initiated modification to allocated storage."),
    "RDS-EVENT-0218": (
        "configuration change",
        "Finished applying autoscaling-initiated modification to allocated storage.",
    ),
}

# What moto tells by itself.
OF_MOTO = {
    "DB_INSTANCE_BACKUP_START": "RDS-EVENT-0001",
    "DB_INSTANCE_BACKUP_FINISH": "RDS-EVENT-0002",
    "DB_INSTANCE_CREATE": "RDS-EVENT-0005",
    "DB_INSTANCE_RESET_MASTER_CREDENTIALS": "RDS-EVENT-0016",
    "DB_SNAPSHOT_CREATE_AUTOMATED_START": "RDS-EVENT-0090",
    "DB_SNAPSHOT_CREATE_AUTOMATED_FINISH": "RDS-EVENT-0091",
    "DB_SNAPSHOT_CREATE_MANUAL_START": "RDS-EVENT-0040",
    "DB_SNAPSHOT_CREATE_MANUAL_FINISH": "RDS-EVENT-0042",
}

# "RDS DB Instance Event" and others: source type of the API -> detail type, and source type of EventBridge.
OF_EVENTBRIDGE = {
    "db-instance": ("RDS DB Instance Event", "DB_INSTANCE"),
    "db-snapshot": ("RDS DB Snapshot Event", "SNAPSHOT"),
}


def tell(resource, event_id, **filled):
    """Something happened to an instance or a snapshot; `filled` is what the message has places for."""
    category, message = KNOWN[event_id]
    backend, kind = resource.backend, resource.event_source_type
    event = {
        "SourceIdentifier": resource.resource_id,
        "SourceType": kind,
        "Message": message.format(**filled),
        "EventCategories": [category],
        "Date": datetime.now(timezone.utc),
        "SourceArn": resource.arn,
    }
    vars(backend).setdefault("told_events", []).append(event)
    detail_type, source_type = OF_EVENTBRIDGE[kind]
    detail = {
        **{name: event[name] for name in ("EventCategories", "SourceArn", "Message", "SourceIdentifier")},
        "SourceType": source_type,
        "Date": events.zulu(time.time()),
        "EventID": event_id,
        "Tags": {tag["Key"]: tag["Value"] for tag in resource.tags or []},
    }
    events.emit_of_service(backend.account_id, backend.region_name, SOURCE, detail_type, [resource.arn], detail)


def describe_events(response):
    """API_DescribeEvents: of the last hour unless it is said otherwise, in pages."""
    wanted = response.params
    if wanted.get("SourceIdentifier") and not wanted.get("SourceType"):
        refuse("InvalidParameterCombination", "Cannot specify source identifier without source type")
    begin, end = _span(wanted)
    categories = wanted.get("EventCategories") or ()
    known = vars(response.backend).get("told_events", [])
    found = [
        (number, event)
        for number, event in enumerate(known)
        if wanted.get("SourceIdentifier") in (None, event["SourceIdentifier"])
        and wanted.get("SourceType") in (None, event["SourceType"])
        and (not categories or set(categories) & set(event["EventCategories"]))
        and begin <= event["Date"] <= end
    ]
    return rds_answers.page(response, "Events", found, lambda each: each[0], lambda each: each[1])


def install():
    """Put these in place of moto's."""
    RDSBackend.add_event = lambda _backend, event_type, resource: tell(resource, OF_MOTO[event_type])
    operations.install(RDSResponse, describe_events)


def _span(wanted):
    now = datetime.now(timezone.utc)
    minutes = timedelta(minutes=int(wanted.get("Duration") or MINUTES_IF_NOT_SAID))
    begin, end = (_in_utc(wanted.get(name)) for name in ("StartTime", "EndTime"))
    if begin is None:
        begin = (end or now) - minutes
    if end is None:
        end = begin + minutes if wanted.get("StartTime") and wanted.get("Duration") else now
    if begin > end:
        refuse("InvalidParameterCombination", "The start time must be before the end time.")
    return max(begin, now - LONGEST), end


def _in_utc(moment):
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc) if moment is not None else None
