"""What an HTTP request asks of AWS, and how a refusal looks on the wire.

Each AWS protocol names the operation in a place of its own, and wants its errors in a form of its own ("AWS Protocols",
Smithy documentation). botocore's service models say which service speaks which; nothing here knows a single operation.
"""

import io
import json
import warnings
from urllib.parse import parse_qsl

from botocore.exceptions import UnknownServiceError
from moto.core.model import OperationModel
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import NotFound, get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

import accounts
from operations import Refused

# Services whose name in a signature differs from the name under which the SDKs know them.
SERVICE_OF_SIGNING_NAME = {
    "monitoring": "cloudwatch",
    "elasticloadbalancing": "elbv2",
    "states": "stepfunctions",
    "tagging": "resourcegroupstaggingapi",
}

# moto warns of error codes that a service's model lacks; services have many, such as those for throttling.
warnings.filterwarnings("ignore", message=".*does not match an error shape.*")

# "Common Errors" of the API references: the errors that are the server's fault.
SERVER_FAULTS = {
    "InternalError": 500,
    "InternalFailure": 500,
    "ServerException": 500,
    "ServiceException": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
}

FORM_TYPE = "application/x-www-form-urlencoded"


class Call:
    """One request: whose it is, what it asks for, and its body."""

    def __init__(self, environ, body):
        credential = accounts.credential_of(environ)
        self.signed = credential is not None
        self.account = credential.account if credential else accounts.DEFAULT_ACCOUNT
        self.region = credential.region if credential else accounts.DEFAULT_REGION
        self.service = service_of(credential) if credential else ""
        self.content_type = environ.get("CONTENT_TYPE", "")
        self.text = body.decode("utf-8", "replace")
        self.form = dict(parse_qsl(self.text)) if self.content_type.startswith(FORM_TYPE) else {}
        self.operation = self._operation(environ)

    def readable_body(self):
        """The body as a test wants to compare it: an object where it is JSON or a form, text otherwise."""
        if self.form:
            return {key: value for key, value in self.form.items() if key not in ("Action", "Version")}
        try:
            return json.loads(self.text) if self.text else {}
        except ValueError:
            return self.text

    def _operation(self, environ):
        target = environ.get("HTTP_X_AMZ_TARGET")
        if target:
            return target.split(".")[-1]
        if "Action" in self.form:
            return self.form["Action"]
        return self._operation_of_path(environ) if self.service else ""

    def _operation_of_path(self, environ):
        try:
            operation, _ = get_service_router(self.service).match(Request(dict(environ)))
            return operation.name
        except (NotFound, NotImplementedError, UnknownServiceError):
            return ""


def read_body(environ):
    """Take the whole body from the connection, and put it back for whoever reads next."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def error_answer(call, code, message, status):
    """The status, headers and body of a refusal, in the protocol of the call's service.

    `status` None means the status that the service's model gives the error, or else 400, or 5xx for a server's fault.
    """
    model = get_service_model(call.service)
    protocol = determine_request_protocol(model, call.content_type)
    operation = model.operation_model(call.operation) if call.operation else OperationModel({}, model)
    serializer = get_serializer_class(call.service, protocol)(operation)
    answer = serializer.serialize(Refused(code, message))
    status = status or SERVER_FAULTS.get(code) or answer["status_code"]
    return status, dict(answer["headers"]), _as_bytes(answer["body"])


def service_of(credential):
    """The name under which the SDKs know the service that a request was signed for."""
    return SERVICE_OF_SIGNING_NAME.get(credential.signing_name, credential.signing_name)


def _as_bytes(body):
    return body.encode() if isinstance(body, str) else body
