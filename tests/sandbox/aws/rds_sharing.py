"""Amazon RDS: snapshots that an account lets others use ("Sharing a DB snapshot for Amazon RDS", RDS User Guide)."""

import re

from moto.core.responses import ActionResult
from moto.rds.models import rds_backends
from moto.rds.responses import RDSResponse

import kms
import operations
import rds_snapshots
import rds_states
from operations import refuse
from rds_answers import refuse_snapshot_state

# API_DescribeDBSnapshots, SnapshotType: those of other accounts.
TYPES = ("shared", "public")

EVERYBODY = "all"

# "You can share a manual snapshot with up to 20 other AWS accounts."
MOST_ACCOUNTS = 20


def describe_db_snapshot_attributes(response):
    """API_DescribeDBSnapshotAttributes."""
    return _answer(_manual_snapshot(response))


def modify_db_snapshot_attribute(response):
    """API_ModifyDBSnapshotAttribute."""
    snapshot = _manual_snapshot(response)
    attribute = response.params["AttributeName"]
    if attribute != "restore":
        refuse("InvalidParameterValue", f"Invalid snapshot attribute {attribute}")
    if snapshot.status != "available":
        refuse_snapshot_state(snapshot, "is not currently in the available state.")
    more, less = (list(response.params.get(name) or []) for name in ("ValuesToAdd", "ValuesToRemove"))
    for value in more + less:
        if value != EVERYBODY and not re.fullmatch(r"\d{12}", value):
            refuse("InvalidParameterValue", f"Invalid value for restore attribute: {value}")
    if set(more) & set(less):
        refuse("InvalidParameterCombination", "A value may not appear in both the add list and remove list.")
    if more and snapshot.encrypted:
        _refuse_what_encryption_forbids(snapshot, more)
    values = [value for value in snapshot.attributes["restore"] if value not in less]
    values += [value for value in dict.fromkeys(more) if value not in values]
    if len(values) > MOST_ACCOUNTS:
        refuse("SharedSnapshotQuotaExceeded", f"You can share a snapshot with at most {MOST_ACCOUNTS} accounts.")
    snapshot.attributes["restore"] = values
    return _answer(snapshot)


class Visible:
    """A snapshot of another account, as one that may use it sees it.

    AWS documents neither the identifier, which is the ARN here, nor that tags stay behind.
    """

    def __init__(self, snapshot, snapshot_type):
        self.snapshot = snapshot
        self.arn = snapshot.arn
        self.snapshot_type = snapshot_type

    def described(self):
        """As API_DBSnapshot has it; time passes for it."""
        rds_states.look(self.snapshot)
        shown = {"DBSnapshotIdentifier": self.arn, "SnapshotType": self.snapshot_type, "TagList": []}
        return {**rds_snapshots.described(self.snapshot), **shown}


def visible(account, region, shared, public):
    """The snapshots of other accounts that are shared with one, or public, or either."""
    for snapshot_type, wanted, value in (("shared", shared, account), ("public", public, EVERYBODY)):
        for snapshot in _others(account, region) if wanted else ():
            if value in snapshot.attributes["restore"]:
                yield Visible(snapshot, snapshot_type)


def may_use(account, snapshot):
    """Whether an account may copy or restore a snapshot."""
    if snapshot.account_id == account:
        return True
    return not {account, EVERYBODY}.isdisjoint(snapshot.attributes["restore"])


def is_under_default_key(snapshot):
    """Whether a snapshot is encrypted with a key that AWS manages, which no other account can use."""
    key = kms.key_of_arn(snapshot.kms_key_id) if snapshot.encrypted else None
    return key is not None and key.key_manager == "AWS"


def install():
    """Put these operations in place of moto's."""
    operations.install(RDSResponse, describe_db_snapshot_attributes, modify_db_snapshot_attribute)


def _refuse_what_encryption_forbids(snapshot, accounts):
    # "Sharing encrypted snapshots for Amazon RDS" (RDS User Guide).
    if EVERYBODY in accounts:
        refuse("InvalidParameterValue", "Encrypted snapshots cannot be shared as public.")
    if is_under_default_key(snapshot):
        refuse(
            "InvalidParameterValue",
            "Sharing snapshots encrypted with the default service key for RDS is currently not supported.",
        )


def _manual_snapshot(response):
    name = response.params["DBSnapshotIdentifier"]
    snapshot = response.backend.database_snapshots.get(name)
    if snapshot is None:
        refuse("DBSnapshotNotFound", f"DBSnapshot {name} not found.")
    if snapshot.snapshot_type != "manual":
        refuse("InvalidParameterValue", "The parameter DBSnapshotIdentifier is not a valid identifier.")
    return snapshot


def _answer(snapshot):
    attributes = [{"AttributeName": "restore", "AttributeValues": snapshot.attributes["restore"]}]
    name = snapshot.db_snapshot_identifier
    result = {"DBSnapshotIdentifier": name, "DBSnapshotAttributes": attributes}
    return ActionResult({"DBSnapshotAttributesResult": result})


def _others(account, region):
    for owner, backends in list(rds_backends.items()):
        if owner != account and region in backends:
            yield from list(backends[region].database_snapshots.values())
