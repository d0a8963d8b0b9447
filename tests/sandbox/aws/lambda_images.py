"""AWS Lambda functions made from container images: which digest a function and each of its versions run.

"Create a Lambda function using a container image" and API_FunctionCodeLocation (AWS Lambda Developer Guide and API
Reference): Lambda resolves a tag when the code is set, and runs that digest however the tag moves. moto keeps the
functions; nothing here runs one. Functions from archives stay as moto has them, but are listed in pages as well.
"""

import copy
import json

from moto.awslambda.models import LambdaFunction, LambdaStorage
from moto.awslambda.responses import LambdaResponse

import operations
from ecs_references import present_digest
from operations import refuse

# API_ListFunctions, API_ListVersionsByFunction and API_ListAliases: at most fifty to a page, whatever MaxItems says.
LARGEST_PAGE = 50
LARGEST_MAX_ITEMS = 10_000

_set_code_of_moto = LambdaFunction._set_function_code
_get_code_of_moto = LambdaFunction.get_code


def set_function_code(function, spec):
    """Set the code of a function, at creation or by API_UpdateFunctionCode."""
    if "ImageUri" not in spec:
        _set_code_of_moto(function, spec)
        return
    uri = spec["ImageUri"]
    digest = present_digest(uri)
    if digest is None:
        refuse("InvalidParameterValueException", f"Source image {uri} does not exist. Provide a valid source image.")
    if spec.get("DryRun"):
        return
    # A new dictionary, because published versions share the old one and must keep what they have.
    function.code = {"ImageUri": uri, "ResolvedImageUri": f"{_repository_of(uri)}@{digest}"}
    function.code_sha_256 = digest.removeprefix("sha256:")
    function.code_size = 0
    function.code_bytes = b""


def get_code(function):
    """API_GetFunction: of a function from an image, the reference as it was given and what it was resolved to."""
    if "ImageUri" not in function.code:
        return _get_code_of_moto(function)
    answer = {"Configuration": function.get_configuration(), "Code": {"RepositoryType": "ECR", **function.code}}
    if function.tags:
        answer["Tags"] = function.tags
    if function.reserved_concurrency is not None:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved_concurrency}
    return answer


def put_function(storage, function):
    """Store a function. Its role isn't looked for: roles are in the other emulator."""
    group = storage._functions.setdefault(function.function_name, {"latest": None, "versions": []})
    group["latest"] = function
    storage._arns[function.function_arn] = function


def list_functions(response):
    """API_ListFunctions: the unpublished version of each function, or with FunctionVersion=ALL all versions."""
    storage = response.backend._lambdas
    with_versions = _parameter(response, "FunctionVersion") == "ALL"
    functions = []
    for name in sorted(storage._functions):
        group = storage._functions[name]
        functions.extend(_all_versions(group) if with_versions else [group["latest"]])
    described = [_configuration(function) for function in functions]
    return _paged(response, "Functions", described, _place_of_function)


def list_versions_by_function(response):
    """API_ListVersionsByFunction."""
    storage = response.backend._lambdas
    function = storage.get_function_by_name_or_arn_with_qualifier(_function_of_path(response))
    described = [_configuration(version) for version in _all_versions(storage._functions[function.function_name])]
    return _paged(response, "Versions", described, _place_of_function)


def list_aliases(response):
    """API_ListAliases, of one version if FunctionVersion says so."""
    version = _parameter(response, "FunctionVersion")
    aliases = [
        alias.to_json()
        for alias in response.backend.list_aliases(_function_of_path(response))
        if version in (None, alias.function_version)
    ]
    return _paged(response, "Aliases", aliases, lambda alias: alias["Name"])


def install():
    """Put these operations in place of moto's."""
    LambdaFunction._set_function_code = set_function_code
    LambdaFunction.get_code = get_code
    LambdaStorage.put_function = put_function
    operations.install(LambdaResponse, list_functions, list_versions_by_function, list_aliases)


def _repository_of(uri):
    """An image reference without its tag and digest."""
    host, _, rest = uri.partition("/")
    return f"{host}/{rest.split('@')[0].split(':')[0]}"


def _all_versions(group):
    if group["latest"] is None:
        return group["versions"]
    latest = copy.copy(group["latest"])
    latest.function_arn += ":$LATEST"
    return [latest] + group["versions"]


def _configuration(function):
    """API_FunctionConfiguration, of which a function from an image lacks some members."""
    return {name: value for name, value in function.get_configuration().items() if value is not None}


def _place_of_function(configuration):
    version = configuration["Version"]
    return [configuration["FunctionName"], 0 if version == "$LATEST" else int(version)]


def _function_of_path(response):
    return response.path.rstrip("/").split("/")[-2].replace("%3A", ":")


def _parameter(response, name):
    return response.querystring.get(name, [None])[0]


def _paged(response, member, items, position):
    wanted = _parameter(response, "MaxItems") or str(LARGEST_PAGE)
    if not wanted.isdigit() or not 1 <= int(wanted) <= LARGEST_MAX_ITEMS:
        refuse("InvalidParameterValueException", f"MaxItems must be between 1 and {LARGEST_MAX_ITEMS}")
    marker = _parameter(response, "Marker")
    try:
        after = operations.position_of(marker) if marker else None
    except ValueError:
        refuse("InvalidParameterValueException", "Invalid Marker")
    page, token = operations.page_of(items, min(int(wanted), LARGEST_PAGE), after, position)
    answer = {member: page, "NextMarker": token} if token else {member: page}
    return 200, {"Content-Type": "application/json"}, json.dumps(answer)
