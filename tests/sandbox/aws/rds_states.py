"""Amazon RDS: states that take time, for instances and snapshots ("Viewing Amazon RDS DB instance status", RDS User
Guide).

moto makes every change at once. Here a change passes through the state that AWS shows meanwhile, for as many describes
as the account's settings say.
"""

import threading
import weakref

import settings


class Transition:
    """A state on the way to another."""

    def __init__(self, account, resource, during, after, polls, behind, then):
        self.account = account
        self.then = then
        self._resource = weakref.ref(resource)
        self._behind = behind
        self._after = after
        self._polls = self._polls_left = polls
        resource.status = during
        self._show_progress()

    def look(self):
        """Somebody describes the resource: time passes. Returns False when the change is complete."""
        if self._behind is not None and is_changing(self._behind):
            return True
        self._behind = None
        self._show_progress()
        if self._polls_left == 0:
            self._resource().status = self._after
            return False
        self._polls_left -= 1
        return True

    def finish(self):
        """The change is complete, however long it had still to go."""
        self._polls_left = 0
        self._show_progress()
        self._resource().status = self._after

    def _show_progress(self):
        """API_DBSnapshot, PercentProgress: the share of the data that has been transferred."""
        done = self._polls - self._polls_left
        self._resource().percent_progress = 100 * done // self._polls if self._polls else 100


# Accounts are answered side by side, and a copy between two of them is known to both.
_lock = threading.RLock()
_transitions = weakref.WeakKeyDictionary()


def begin(account, resource, during, after="available", behind=None, then=None):
    """Let a resource pass through a state, if the account's settings give states any time.

    `behind` is a resource whose own change has to be complete before this one makes progress. `then` is called when the
    change is complete, and may begin another.
    """
    polls = settings.of_account(account).rds_polls
    if polls:
        with _lock:
            _transitions[resource] = Transition(account, resource, during, after, polls, behind, then)
    elif then is not None:
        then()


def look(resource):
    """Somebody describes a resource."""
    with _lock:
        if resource in _transitions and not _transitions[resource].look():
            _complete(resource)


def settle(account):
    """Complete every change that is under way in an account, oldest first."""
    with _lock:
        while of_account := [each for each in _transitions.items() if each[1].account == account]:
            for resource, transition in of_account:
                transition.finish()
                _complete(resource)


def put(resource, status):
    """Let a resource be in a state from now on, until a call changes it."""
    with _lock:
        _transitions.pop(resource, None)
        resource.status = status


def _complete(resource):
    then = _transitions.pop(resource).then
    if then is not None:
        then()


def is_changing(resource):
    """Whether a resource is on its way to another state."""
    with _lock:
        return resource in _transitions


def changing():
    """Every resource that is on its way to another state, oldest change first."""
    with _lock:
        return list(_transitions)
