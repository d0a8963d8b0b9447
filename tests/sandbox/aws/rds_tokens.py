"""Amazon RDS: tokens in place of passwords.

"IAM database authentication for MariaDB, MySQL, and PostgreSQL" (RDS User Guide).

A token is the presigned URL of a request that nobody sends. Signatures are not checked, as nowhere here, and neither is
whether the caller's policies allow `rds-db:connect`.
"""

import re
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import accounts

# "Each token has a lifetime of 15 minutes."
LONGEST_LIFE_SECONDS = 900
CREDENTIAL = re.compile(r"([^/]+)/\d{8}/([^/]+)/rds-db/aws4_request")
TIME = "%Y%m%dT%H%M%SZ"
SIGNATURE = re.compile(r"[0-9a-f]{64}")


def is_valid(token, user, host, port, account, region):
    """Whether a token lets a user into the database at an endpoint, now."""
    url = urlsplit(f"https://{token}")
    told = {name: values[0] for name, values in parse_qs(url.query).items()}
    credential = CREDENTIAL.fullmatch(told.get("X-Amz-Credential", ""))
    try:
        if url.hostname != host or url.port != port or credential is None:
            return False
        begin = datetime.strptime(told["X-Amz-Date"], TIME).replace(tzinfo=timezone.utc)
        seconds = int(told["X-Amz-Expires"])
    except (KeyError, ValueError):
        return False
    now = datetime.now(timezone.utc)
    return (
        (told.get("Action"), told.get("DBUser")) == ("connect", user)
        and (accounts.account_of_access_key(credential[1]), credential[2]) == (account, region)
        and 0 < seconds <= LONGEST_LIFE_SECONDS
        and begin <= now + timedelta(minutes=5)
        and now <= begin + timedelta(seconds=seconds)
        and SIGNATURE.fullmatch(told.get("X-Amz-Signature", "")) is not None
    )
