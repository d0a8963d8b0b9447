"""CloudWatch as SDKs speak to it today, for a moto that knows only the older ways.

The Rust SDK sends the "Smithy RPC v2 CBOR protocol" (Smithy documentation). A request in it becomes one in the AWS JSON
protocol, which CloudWatch speaks as well, and the answer is turned back; what lies between sees nothing but JSON.
"""

import base64
import io
import json
import re
import struct

from botocore.model import OperationNotFoundError
from botocore.parsers import RpcV2CBORParser
from moto.core.utils import get_service_model

import accounts
import wire

# "Requests": POST to /service/<service shape>/operation/<operation>, said by a header of the protocol's own.
PATH = re.compile(r".*/service/(?P<service>[^/]+)/operation/(?P<operation>[^/]+)")
PROTOCOL_HEADER = "HTTP_SMITHY_PROTOCOL"
PROTOCOL = "rpc-v2-cbor"
CONTENT_TYPE = "application/cbor"


class CborToJson:
    """Wraps a WSGI application that speaks JSON so that it speaks CBOR as well."""

    def __init__(self, application):
        self._application = application

    def __call__(self, environ, start_response):
        path = PATH.fullmatch(environ.get("PATH_INFO", ""))
        credential = accounts.credential_of(environ)
        if environ.get(PROTOCOL_HEADER) != PROTOCOL or path is None or credential is None:
            return self._application(environ, start_response)
        model = get_service_model(wire.service_of(credential))
        _become_json(environ, path, model)
        return self._answered_in_cbor(environ, start_response, _output_shape(model, path["operation"]))

    def _answered_in_cbor(self, environ, start_response, shape):
        answer = {}

        def start(status, headers, exc_info=None):
            answer.update(status=status, headers=headers)

        body = b"".join(self._application(environ, start))
        succeeded = answer["status"].startswith("2")
        encoded = encode(json.loads(body or b"{}"), shape if succeeded else None)
        start_response(answer["status"], _headers_of_cbor(answer["headers"], encoded))
        return [encoded]


def encode(value, shape):
    """CBOR of a value that JSON could hold; its shape says what is a time, a blob or a fraction."""
    kind = shape.type_name if shape is not None else None
    if isinstance(value, dict):
        pairs = [(key, item) for key, item in value.items() if item is not None]
        encoded = [encode(key, None) + encode(item, _shape_of_member(shape, key)) for key, item in pairs]
        return _head(5, len(pairs)) + b"".join(encoded)
    if isinstance(value, list):
        member = shape.member if shape is not None else None
        return _head(4, len(value)) + b"".join(encode(item, member) for item in value)
    if kind == "timestamp":
        return b"\xc1" + _double(value)
    if kind == "blob":
        content = base64.b64decode(value)
        return _head(2, len(content)) + content
    if isinstance(value, str):
        content = value.encode()
        return _head(3, len(content)) + content
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if value is None:
        return b"\xf6"
    if kind in ("double", "float") or value != int(value):
        return _double(value)
    return _head(0, int(value)) if value >= 0 else _head(1, -1 - int(value))


def _become_json(environ, path, model):
    """Turn a request around in place."""
    body = wire.read_body(environ)
    members = RpcV2CBORParser().parse_data_item(io.BufferedReader(io.BytesIO(body))) if body else {}
    body = json.dumps(members, default=_json_of).encode()
    environ.update(
        PATH_INFO="/",
        RAW_URI="/",
        REQUEST_URI="/",
        CONTENT_TYPE=f"application/x-amz-json-{model.metadata['jsonVersion']}",
        CONTENT_LENGTH=str(len(body)),
        HTTP_X_AMZ_TARGET=f"{path['service']}.{path['operation']}",
    )
    environ["wsgi.input"] = io.BytesIO(body)
    del environ[PROTOCOL_HEADER]


def _json_of(value):
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    return value.timestamp()


def _output_shape(model, operation):
    try:
        return model.operation_model(operation).output_shape
    except OperationNotFoundError:
        return None


def _headers_of_cbor(headers, body):
    replaced = {"content-type", "content-length"}
    kept = [(name, value) for name, value in headers if name.lower() not in replaced]
    return kept + [
        ("Smithy-Protocol", PROTOCOL),
        ("Content-Type", CONTENT_TYPE),
        ("Content-Length", str(len(body))),
    ]


def _shape_of_member(shape, name):
    if shape is None:
        return None
    return shape.value if shape.type_name == "map" else shape.members.get(name)


def _head(major, number):
    """The beginning of an item: its major type and a number ("Specification of the CBOR encoding", RFC 8949)."""
    if number < 24:
        return bytes([major << 5 | number])
    for information, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | information]) + number.to_bytes(size, "big")
    raise ValueError(f"{number} is too large for CBOR")


def _double(value):
    return b"\xfb" + struct.pack(">d", value)
