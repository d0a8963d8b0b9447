"""What AWS Lambda, EventBridge Scheduler, STS, IAM and CloudFormation do and ministack does not, and functions rely on.

- The answer of an asynchronous run is sent to the function's destinations ("Capturing records of Lambda asynchronous
  invocations", AWS Lambda Developer Guide). ministack sends failures only, and nothing at all of what EventBridge
  invoked; it also does not try again what EventBridge invoked.
- Scheduler fills in the keywords of a target's input ("Adding context attributes", EventBridge Scheduler User Guide).
- A schedule fires within its minute. ministack looks every ten seconds, which tests would wait for.
- The credentials of an assumed role act in the account of the role, whichever account assumed it ("IAM tutorial:
  Delegate access across AWS accounts using IAM roles"). ministack knows that of its own sessions, but moto, which does
  not know these, has to read the account from the access key id.
- SimulateCustomPolicy and SimulatePrincipalPolicy judge conditions by the context that they are given (`ContextEntries`,
  IAM API Reference). ministack judges them as if nothing were given.
- Conditions of a template may join the members of a parameter ("Fn::Join", AWS CloudFormation Template Reference).
  ministack compares the function itself, so that a list without a member is never an empty text.
"""

import contextvars
import dataclasses
import json
import threading
import time
import uuid
from datetime import datetime, timezone

from ministack.core import iam_evaluator
from ministack.services import eventbridge, iam, lambda_svc, scheduler, sts
from ministack.services.cloudformation import changesets, handlers, stacks
from ministack.services.cloudformation import engine as cloudformation

import ministack_wakes

SECONDS_BETWEEN_LOOKS = 0.5
# "How Lambda handles errors and retries with asynchronous invocation": two more attempts unless it is configured.
RETRIES_IF_NOT_SAID = 2
SECONDS_BEFORE_A_RETRY = 0.2

_invoke_target = eventbridge._invoke_target
_assumed_role_arn = sts._assumed_role_arn
_session_access_key = sts._gen_session_access_key

_evaluate = iam_evaluator.evaluate
_evaluate_conditions = cloudformation._evaluate_conditions

_given_context = contextvars.ContextVar("context of a simulation", default={})
_rule = contextvars.ContextVar("the rule whose target is being invoked", default=None)
_account_of_role = contextvars.ContextVar("account of the role that is being assumed")


def invoke_target(target, event, rule, view=None):
    """Scheduler's targets are invoked as those of rules are, once their input is filled in."""
    is_schedule = event.get("Source") == "aws.scheduler"
    if is_schedule and target.get("Input"):
        context = {
            "schedule-arn": rule["Arn"],
            "scheduled-time": datetime.fromtimestamp(event["Time"], timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "execution-id": uuid.uuid4().hex[:16],
            "attempt-number": "1",
        }
        for keyword, value in context.items():
            target = target | {"Input": target["Input"].replace(f"<aws.scheduler.{keyword}>", value)}
    token = _rule.set(None if is_schedule else rule.get("Arn"))
    try:
        _invoke_target(target, event, rule, view)
    finally:
        _rule.reset(token)


def dispatch_to_lambda(arn, payload):
    """EventBridge invokes functions asynchronously ("Invoking a Lambda function asynchronously").

    A rule does so by the function's policy, Scheduler by a role of its own.
    """
    event, rule = json.loads(payload), _rule.get()
    if rule is not None:
        ministack_wakes.invoke(arn, event, ministack_wakes.RULES, rule)
        return
    function, config, _ = lambda_svc._get_func_record_for_ref(arn)
    if function and config:
        invoke_asynchronously(lambda_svc._execution_record_for_config(function, config), event)


def invoke_asynchronously(function, event):
    """Run a function until it succeeds or has been tried often enough, and tell its destination."""

    def run():
        config = function.get("config") or function
        account, region = lambda_svc._account_region_from_function_config(config)
        lambda_svc._request_account_id.set(account)
        lambda_svc._request_region.set(region)
        settings = function.get("event_invoke_config") or {}
        retries = settings.get("MaximumRetryAttempts")
        attempts = 1 + (RETRIES_IF_NOT_SAID if retries is None else int(retries))
        for attempt in range(1, attempts + 1):
            result = lambda_svc._execute_function(function, event)
            if not result.get("error"):
                break
            if attempt < attempts:
                time.sleep(SECONDS_BEFORE_A_RETRY)
        _tell_destination(config, settings.get("DestinationConfig") or {}, event, result, attempt)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()


def _tell_destination(config, destinations, event, result, attempts):
    failed = bool(result.get("error"))
    target = (destinations.get("OnFailure" if failed else "OnSuccess") or {}).get("Destination")
    if not target and failed:
        target = (config.get("DeadLetterConfig") or {}).get("TargetArn")
    if not target:
        return
    record = {
        "version": "1.0",
        "timestamp": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": f"{config['FunctionArn']}:{config.get('Version', '$LATEST')}",
            "condition": "RetriesExhausted" if failed else "Success",
            "approximateInvokeCount": attempts,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": config.get("Version", "$LATEST")},
        "responsePayload": result.get("body"),
    }
    if failed:
        record["responseContext"]["functionError"] = "Unhandled"
    eventbridge._invoke_target({"Arn": target, "Input": json.dumps(record)}, {"Detail": "{}"}, {})


def assumed_role_arn(role_arn, session_name):
    """ministack's first step of AssumeRole; `session_access_key` is a later one of the same request."""
    assumed, refusal = _assumed_role_arn(role_arn, session_name)
    if assumed:
        _account_of_role.set(assumed.split(":")[4])
    return assumed, refusal


def session_access_key():
    """An access key id that names its account, as `accounts.py` reads it."""
    account = _account_of_role.get(None)
    return f"ASIAX{account}{uuid.uuid4().hex[:16].upper()}" if account else _session_access_key()


def in_context(simulate):
    """A simulation that knows the context keys it is given, each with its first value."""

    def simulate_in_context(parameters):
        context, number = {}, 1
        while name := iam._p(parameters, f"ContextEntries.member.{number}.ContextKeyName"):
            context[name.lower()] = iam._p(parameters, f"ContextEntries.member.{number}.ContextKeyValues.member.1")
            number += 1
        token = _given_context.set(context)
        try:
            return simulate(parameters)
        finally:
            _given_context.reset(token)

    return simulate_in_context


def evaluate(context, *policies, **more):
    """ministack's, in the context of the simulation."""
    given = _given_context.get()
    context = dataclasses.replace(
        context,
        region=given.get("aws:requestedregion", context.region),
        service_context=context.service_context | given,
    )
    return _evaluate(context, *policies, **more)


def evaluate_conditions(template, parameters):
    """ministack's, of conditions in which a list of parameters that is joined is a text."""

    def joined(node):
        if isinstance(node, list):
            return [joined(each) for each in node]
        if not isinstance(node, dict):
            return node
        delimiter, of = node.get("Fn::Join", (None, None))
        if isinstance(of, dict) and of.get("Ref") in parameters:
            # It is one text here, with commas.
            return delimiter.join(part.strip() for part in str(parameters[of["Ref"]]["Value"]).split(","))
        return {key: joined(value) for key, value in node.items()}

    conditions = joined(template.get("Conditions") or {})
    return _evaluate_conditions({**template, "Conditions": conditions}, parameters)


def install():
    """Put these in place of ministack's."""
    eventbridge._invoke_target = invoke_target
    eventbridge._dispatch_to_lambda = dispatch_to_lambda
    lambda_svc.invoke_async_with_retry = invoke_asynchronously
    scheduler._SCHEDULE_TICK_INTERVAL = SECONDS_BETWEEN_LOOKS
    sts._assumed_role_arn = assumed_role_arn
    sts._gen_session_access_key = session_access_key
    for operation in ("SimulateCustomPolicy", "SimulatePrincipalPolicy"):
        iam._IAM_HANDLERS[operation] = in_context(iam._IAM_HANDLERS[operation])
    iam_evaluator.evaluate = evaluate
    for module in (cloudformation, changesets, handlers, stacks):
        module._evaluate_conditions = evaluate_conditions
