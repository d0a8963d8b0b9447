"""AWS KMS: which keys encrypt databases, and which of them AWS manages.

moto keeps the keys; nothing here encrypts anything. "AWS KMS key management" (RDS User Guide): without a key of the
customer's, Amazon RDS encrypts with the account's AWS managed key `aws/rds` of the Region.
"""

import re

from moto.kms.models import KmsBackend, kms_backends
from moto.kms.utils import RESERVED_ALIASES

KEY_OF_RDS = "alias/aws/rds"

KEY_ARN = re.compile(r"arn:[\w-]+:kms:([\w-]+):(\d{12}):(?:key/.+|alias/.+)")

_make_default_key_of_moto = KmsBackend._generate_default_keys

# Operations for which moto wants the bare id of a key. API_DisableKey, KeyId: "Specify the key ID or key ARN".
OF_BARE_IDS = ("disable_key", "enable_key", "cancel_key_deletion", "schedule_key_deletion")


def make_default_key(backend, alias):
    """An AWS managed key, made when it is first used, as on AWS. API_KeyMetadata, KeyManager: AWS or CUSTOMER."""
    made = _make_default_key_of_moto(backend, alias)
    if alias in RESERVED_ALIASES:
        key = backend.keys[made]
        key.key_manager = "AWS"
        service = alias.removeprefix("alias/aws/")
        key.description = f"Default key that protects my {service} data when no other key is defined"
    return made


def default_key(account, region):
    """The AWS managed key of Amazon RDS."""
    return _key_in(account, region, KEY_OF_RDS)


def usable_key(account, region, name):
    """The key that an id, an ARN or an alias names for a caller in a Region, or None when it cannot be used there.

    "KMS keys are specific to the AWS Region that they are created in" (API_CopyDBSnapshot, KmsKeyId). The key may be of
    another account; policies of keys are not judged.
    """
    found = KEY_ARN.fullmatch(name)
    if found and found[1] != region:
        return None
    key = _key_in(found[2] if found else account, region, name)
    return key if key is not None and key.key_state == "Enabled" else None


def key_of_arn(arn):
    """The key that an ARN names, whatever its state, or None."""
    found = KEY_ARN.fullmatch(arn)
    return _key_in(found[2], found[1], arn) if found else None


def install():
    """Let AWS manage the keys that are its own, and let every key be named by ARN."""
    KmsBackend._generate_default_keys = make_default_key
    for name in OF_BARE_IDS:
        setattr(KmsBackend, name, _by_bare_id(getattr(KmsBackend, name)))


def _by_bare_id(operation):
    return lambda backend, key_id, *others, **named: operation(backend, backend.get_key_id(key_id), *others, **named)


def _key_in(account, region, name):
    backend = kms_backends[account][region]
    try:
        return backend.describe_key(name)
    except (AttributeError, KeyError):
        # moto's way to say that there is no such alias or key.
        return None
