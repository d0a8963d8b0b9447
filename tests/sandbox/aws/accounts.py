"""Which account a request is for.

Tests run side by side without seeing each other because every test has an account of its own: an access key id of
twelve digits is the account id, and the temporary one that AssumeRole gives names the account of the role. Any other
access key id, such as the temporary one of a role that a function runs under, stands for the default account. Nothing
here checks signatures.
"""

import re

DEFAULT_ACCOUNT = "123456789012"
DEFAULT_REGION = "us-east-1"

# The access key id of a session that AssumeRole began (`ministack_gaps.py`). AWS's own tell the account as well, in
# another way; no id that ministack makes has an X in it.
SESSION = re.compile(r"ASIAX(\d{12})[0-9A-F]{16}")

# The environ key of the header by which moto lets a caller choose the account.
MOTO_ACCOUNT_HEADER = "HTTP_X_MOTO_ACCOUNT_ID"

# "Create a signed AWS API request" (AWS General Reference): Credential=<access key id>/<date>/<region>/<service>/...
CREDENTIAL_SCOPE = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/([^/]+)/aws4_request")


class Credential:
    """What the signature of a request says about its origin."""

    def __init__(self, access_key_id, region, signing_name):
        self.account = account_of_access_key(access_key_id)
        self.region = region
        self.signing_name = signing_name.lower()


def account_of_access_key(access_key_id):
    """The account id that an access key id stands for."""
    if re.fullmatch(r"\d{12}", access_key_id):
        return access_key_id
    session = SESSION.fullmatch(access_key_id)
    return session[1] if session else DEFAULT_ACCOUNT


def credential_of(environ):
    """The credential of a signed request, or None for an unsigned one."""
    found = CREDENTIAL_SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    return Credential(*found.groups()) if found else None


def choose_account(environ, account):
    """Tell moto the account of a request."""
    environ[MOTO_ACCOUNT_HEADER] = account
