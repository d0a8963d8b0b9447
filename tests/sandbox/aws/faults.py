"""Faults on demand: refusals, delays, and failures inside an answer that is otherwise a success.

AWS refuses whole calls ("Common Errors" in each service's API reference), and some batch operations answer 200 with
`failures[]` (API_BatchDeleteImage and API_BatchGetImage in the Amazon ECR API Reference). A test asks for either here.
"""

import threading

_REFUSAL_KEYS = {"service", "operation", "code", "status", "message", "times", "skip", "match", "delay_ms"}
_IMAGE_KEYS = {"digest", "code", "message", "operation", "times"}
_KEYS_BESIDE_IMAGE_FAILURE = {"image_failure", "service", "operation", "times"}


class Refusal:
    """A fault of a whole call: it is delayed, refused, or both."""

    def __init__(self, wanted):
        _refuse_unknown_keys(wanted, _REFUSAL_KEYS)
        if "code" not in wanted and "delay_ms" not in wanted:
            raise ValueError("a fault needs a code, a delay_ms or both")
        self.service = wanted.get("service")
        self.operation = wanted.get("operation")
        self.code = wanted.get("code")
        self.status = wanted.get("status")
        self.message = wanted.get("message", "A fault that the test asked for.")
        self.delay_seconds = wanted.get("delay_ms", 0) / 1000
        self._match = wanted.get("match", "")
        self._skip = wanted.get("skip", 0)
        self._times = wanted.get("times")

    def strikes(self, call):
        """True if the fault is for this call and its turn has come. Counts the call."""
        if not self._is_for(call) or self._times == 0:
            return False
        if self._skip > 0:
            self._skip -= 1
            return False
        if self._times is not None:
            self._times -= 1
        return True

    def _is_for(self, call):
        return (
            self.service in (None, call.service)
            and self.operation in (None, call.operation)
            and self._match in call.text
        )


class ImageFailure:
    """A failure of one image inside the answer of BatchDeleteImage or BatchGetImage."""

    def __init__(self, wanted):
        _refuse_unknown_keys(wanted, _IMAGE_KEYS)
        self.digest = wanted["digest"]
        self.code = wanted["code"]
        self.message = wanted.get("message", "A failure that the test asked for.")
        self._operation = wanted.get("operation")
        self._times = wanted.get("times")

    def strikes(self, operation, digest):
        """True if the image is to fail in this operation. Counts the image."""
        if digest != self.digest or self._operation not in (None, operation) or self._times == 0:
            return False
        if self._times is not None:
            self._times -= 1
        return True


class _AccountFaults:
    def __init__(self):
        self.refusals = []
        self.image_failures = []


_faults = {}
_lock = threading.Lock()


def add(account, wanted):
    """Add a fault to an account. Raises ValueError or KeyError for one that cannot be understood."""
    wanted = {name: value for name, value in wanted.items() if value not in (None, "")}
    is_image_failure = "image_failure" in wanted
    fault = ImageFailure(_image_failure_of(wanted)) if is_image_failure else Refusal(wanted)
    with _lock:
        faults = _faults.setdefault(account, _AccountFaults())
        (faults.image_failures if is_image_failure else faults.refusals).append(fault)


def clear(account):
    """Remove every fault of an account."""
    with _lock:
        _faults.pop(account, None)


def refusal_for(call):
    """The first fault, in the order they were added, that strikes this call; None if it goes through."""
    with _lock:
        refusals = _faults.get(call.account, _AccountFaults()).refusals
        return next((refusal for refusal in refusals if refusal.strikes(call)), None)


def image_failure_for(account, operation, digest):
    """The failure that an image is to have in a batch operation; None if it has none."""
    with _lock:
        failures = _faults.get(account, _AccountFaults()).image_failures
        return next((failure for failure in failures if failure.strikes(operation, digest)), None)


def _image_failure_of(wanted):
    """An image failure; the operation and the times may stand beside it as they do for other faults."""
    _refuse_unknown_keys(wanted, _KEYS_BESIDE_IMAGE_FAILURE)
    beside = {name: wanted[name] for name in ("operation", "times") if name in wanted}
    inside = {name: value for name, value in wanted["image_failure"].items() if value is not None}
    return {**beside, **inside}


def _refuse_unknown_keys(wanted, known):
    unknown = set(wanted) - known
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}; a fault has {sorted(known)}")
