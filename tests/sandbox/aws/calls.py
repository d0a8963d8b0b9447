"""The record of what was asked of this AWS, so that a test can say what a function did and did not do."""

import threading

# The status of a call that is not answered yet. No answer has it.
UNDER_WAY = 0

_calls = {}
_lock = threading.Lock()


def begin(call):
    """Note a call when it arrives; returns the entry, to be ended with its status."""
    entry = {
        "service": call.service,
        "operation": call.operation,
        "region": call.region,
        "body": call.readable_body(),
        "status": UNDER_WAY,
    }
    with _lock:
        _calls.setdefault(call.account, []).append(entry)
    return entry


def end(entry, status):
    """Note how a call was answered."""
    entry["status"] = status


def of_account(account, region=None):
    """The calls of an account in the order of their arrival; `status` is 0 for one that is still under way."""
    with _lock:
        return [dict(entry) for entry in _calls.get(account, []) if region in (None, entry["region"])]


def clear(account):
    """Forget the calls of an account."""
    with _lock:
        _calls.pop(account, None)
