"""How operations of moto are added and replaced, and what all of ours share.

moto routes a request to the method of its service's response class that is named after the operation, and botocore's
model writes the answer; so one function per operation is all that an operation takes.
"""

import base64
import binascii
import json

from moto.core.exceptions import ServiceException


class Refused(ServiceException):
    """An error that AWS gives. moto finds its HTTP status and form in the model of the service that was called."""


def install(response_class, *operations):
    """Make functions the operations that their names say, in place of moto's own where it has them."""
    for operation in operations:
        setattr(response_class, operation.__name__, operation)


def parameters_of(response):
    """The parameters of a call to a service that speaks JSON."""
    return json.loads(response.body or "{}")


def answer(members):
    """A successful answer of a service that speaks JSON, with times as seconds since 1970 ("AWS JSON 1.1 protocol").

    Members that are None are left out, as AWS leaves out what is not set. Written without moto's serializer, which
    takes ten times as long over large pages.
    """
    set_members = {name: value for name, value in members.items() if value is not None}
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(set_members)


def refuse(code, message):
    """End an operation with an error of the service."""
    raise Refused(code, message)


def token_after(position):
    """A paging token that says where the next page begins. Callers must treat it as opaque, and so it looks it."""
    return base64.urlsafe_b64encode(json.dumps(["steward", position]).encode()).decode()


def position_of(token):
    """The position that a paging token holds. Raises ValueError for a token that is not one of ours."""
    try:
        mark, position = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError, binascii.Error) as error:
        raise ValueError("not a token of an earlier answer") from error
    if mark != "steward":
        raise ValueError("not a token of an earlier answer")
    return position


def page_of(items, size, after, position):
    """One page of sorted items, and the token for the next one, None on the last page.

    `position` gives the place of an item, comparable and JSON; a page begins behind the place `after`, so that items
    which vanish between two pages neither repeat nor hide others.
    """
    begin = 0 if after is None else _first_behind(items, after, position)
    page = items[begin : begin + size]
    more = begin + size < len(items)
    return page, token_after(position(page[-1])) if more else None


def _first_behind(items, after, position):
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if position(items[middle]) <= after:
            low = middle + 1
        else:
            high = middle
    return low
