"""Amazon RDS: copies of snapshots, into other Regions and from other accounts.

"Copying a DB snapshot for Amazon RDS" (RDS User Guide, here "Copying") and API_CopyDBSnapshot. The call is made where
the copy shall be.
"""

import re

from moto.core.responses import ActionResult
from moto.rds.models import DBSnapshot, rds_backends
from moto.rds.responses import RDSResponse

import kms
import operations
import rds_answers
import rds_data
import rds_sharing
import rds_snapshots
import rds_states
from operations import refuse

# "Copying": "You can have up to 20 snapshot copy requests in progress to a single destination Region per account."
MOST_COPIES_IN_PROGRESS = 20

SNAPSHOT_ARN = re.compile(r"arn:[\w-]+:rds:([\w-]+):(\d{12}):snapshot:(.+)")


def copy_db_snapshot(response):
    """API_CopyDBSnapshot."""
    target = response.params["TargetDBSnapshotIdentifier"]
    response.backend.validate_db_snapshot_identifier(target, parameter_name="TargetDBSnapshotIdentifier")
    tags = rds_answers.tags_of(response)
    source = _source_of(response)
    if source.status != "available":
        rds_answers.refuse_snapshot_state(source, "is not currently in the available state.")
    rds_snapshots.refuse_if_it_exists(response.backend, target)
    rds_snapshots.refuse_beyond_quota(response.backend)
    key = _key_for(response, source)
    option_group = _option_group_for(response, source)
    _refuse_too_many(response, source)
    copy = _copied(response.backend, source, target, key, option_group)
    copy.tags = tags or _tags_that_come_along(response, source)
    rds_states.begin(response.current_account, copy, "creating", behind=_one_ahead_of(copy))
    return ActionResult({"DBSnapshot": rds_snapshots.described(copy)})


def install():
    """Put this operation in place of moto's."""
    operations.install(RDSResponse, copy_db_snapshot)


def _source_of(response):
    """The snapshot to be copied: by name of this account and Region, by ARN of any that the caller may use."""
    name = response.params["SourceDBSnapshotIdentifier"]
    account, region, own_name = response.current_account, response.region, name
    if name.startswith("arn:"):
        found = SNAPSHOT_ARN.fullmatch(name)
        if not found:
            refuse("InvalidParameterValue", f"The parameter SourceDBSnapshotIdentifier is not valid: {name}")
        region, account, own_name = found.groups()
    source = rds_backends[account][region].database_snapshots.get(own_name)
    if source is None or not rds_sharing.may_use(response.current_account, source):
        refuse("DBSnapshotNotFound", f"DBSnapshot {name} not found.")
    return source


def _key_for(response, source):
    """The key that encrypts the copy, or None for a copy that is not encrypted."""
    wanted = response.params.get("KmsKeyId")
    foreign = source.account_id != response.current_account
    if source.encrypted:
        # "Sharing encrypted snapshots": one under the default key of its account cannot be used by another.
        key = kms.key_of_arn(source.kms_key_id)
        if key is None or key.key_state != "Enabled" or foreign and rds_sharing.is_under_default_key(source):
            _refuse_key("The source snapshot KMS key", source.kms_key_id)
        if wanted is None and source.region != response.region:
            refuse("InvalidParameterValue", "Must specify new KMS key for cross region encrypted snapshot copy.")
        if wanted is None and foreign:
            refuse("InvalidParameterValue", "Must specify new KMS key to copy an encrypted snapshot that is shared.")
    if wanted is None:
        return source.kms_key_id if source.encrypted else None
    key = kms.usable_key(response.current_account, response.region, wanted)
    if key is None:
        _refuse_key("The target KMS key", wanted)
    return key.arn


def _option_group_for(response, source):
    """The option group of the copy. Groups other than the default ones belong to an account and a Region.

    API_CopyDBSnapshot, OptionGroupName: "Specify this option if you are copying a snapshot from one AWS Region to
    another, and your DB instance uses a nondefault option group."
    """
    wanted = response.params.get("OptionGroupName")
    has = source.details["OptionGroupName"]
    moves = (source.account_id, source.region) != (response.current_account, response.region)
    if wanted is None:
        if moves and not _is_default(has):
            refuse("InvalidParameterValue", f"OptionGroupName must be given: option group {has} stays where it is.")
        return has
    if not _is_default(wanted) and wanted not in response.backend.option_groups:
        refuse("OptionGroupNotFoundFault", f"Specified OptionGroupName: {wanted} not found.")
    return wanted


def _is_default(option_group):
    return option_group.startswith("default:")


def _refuse_too_many(response, source):
    if source.region == response.region:
        return
    here = [
        copy
        for copy in _copies_in_progress()
        if (copy.account_id, copy.region) == (response.current_account, response.region)
        and copy.copied_from.region != copy.region
    ]
    if len(here) >= MOST_COPIES_IN_PROGRESS:
        refuse("SnapshotQuotaExceeded", f"Cannot copy more than {MOST_COPIES_IN_PROGRESS} snapshots across regions")


def _copied(backend, source, target, key, option_group):
    """The copy: data and times of its source, and a SnapshotCreateTime of its own. It is manual, whatever that is."""
    copy = DBSnapshot(
        backend, source.database, target, original_created_at=source.original_snapshot_create_time, kms_key_id=key
    )
    copy.encrypted = copy.storage_encrypted = key is not None
    copy.kms_key_id = key
    copy.details = {**source.details, "OptionGroupName": option_group}
    copy.source_region = source.region
    # API_DBSnapshot: "It only has a value in the case of a cross-account or cross-Region copy."
    moved = (source.account_id, source.region) != (backend.account_id, backend.region_name)
    copy.source_db_snapshot_identifier = source.arn if moved else None
    copy.snapshot_database_time = source.snapshot_database_time
    copy.copied_from = source
    rds_data.carry(copy, source)
    backend.database_snapshots[copy.db_snapshot_identifier] = copy
    return copy


def _tags_that_come_along(response, source):
    """API_CopyDBSnapshot, CopyTags: "By default, tags aren't copied." Those of another account cannot be read."""
    if response.params.get("CopyTags") and source.account_id == response.current_account:
        return source.tags
    return []


def _one_ahead_of(copy):
    """"Copying": several copies for the same source DB instance are queued; later ones wait for the earlier."""
    ahead = [
        other
        for other in _copies_in_progress()
        if other.details["DbiResourceId"] == copy.details["DbiResourceId"]
        and (other.account_id, other.region) == (copy.account_id, copy.region)
    ]
    return ahead[-1] if ahead else None


def _copies_in_progress():
    return [resource for resource in rds_states.changing() if getattr(resource, "copied_from", None)]


def _refuse_key(which, name):
    refuse(
        "KMSKeyNotAccessibleFault",
        f"{which} [{name}] does not exist, is not enabled or you do not have permissions to access it.",
    )
