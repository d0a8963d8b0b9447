"""Who may wake a function of ministack, and how topics and alarms do.

- A function is invoked by a rule, a topic or an alarm only if its policy lets that service do so, for that rule, topic or
  alarm ("Granting Lambda function access to AWS services", AWS Lambda Developer Guide). ministack invokes whatever is named.
- SNS invokes functions asynchronously ("Fanout Amazon SNS notifications to Lambda functions", Amazon SNS Developer Guide),
  so that their answers go to destinations as well. ministack's SNS has them answer to nobody.
- What alarms of moto do (`cloudwatch_actions.py`) comes in by the door of `ministack_events.py`: a message is published to a
  topic, and a function is invoked by the principal lambda.alarms.cloudwatch.amazonaws.com ("Invoke a Lambda function from an
  alarm", CloudWatch User Guide).
"""

import json
import sys

ALARMS = "lambda.alarms.cloudwatch.amazonaws.com"
RULES = "events.amazonaws.com"
TOPICS = "sns.amazonaws.com"


def may_invoke(function, arn, service, source):
    """Whether a function's own policy lets a service invoke it for a rule, a topic or an alarm."""
    from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

    account = source.split(":")[4]
    context = EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action="lambda:InvokeFunction",
        resource_arn=arn,
        region=arn.split(":")[3],
        service_context={"aws:sourcearn": source, "aws:sourceaccount": account},
    )
    return evaluate_resource_policy(function.get("policy"), context, service=service).decision == "Allow"


def invoke(arn, event, service, source):
    """Invoke a function for a rule, a topic or an alarm, asynchronously, if it is there and that is let."""
    from ministack.services import lambda_svc

    import ministack_gaps

    function, config, _ = lambda_svc._get_func_record_for_ref(arn)
    if not function or not config or not may_invoke(function, arn, service, source):
        print(f"{source} cannot invoke {arn}: it is not there, or does not let {service} do so", file=sys.stderr)
        return
    ministack_gaps.invoke_asynchronously(lambda_svc._execution_record_for_config(function, config), event)


def deliver_to_lambda(endpoint, envelope, topic_arn, subscription_arn, *_):
    """SNS's: "Amazon SNS event" has the shape (AWS Lambda Developer Guide)."""
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription_arn,
        "Sns": {"MessageAttributes": {}, **json.loads(envelope)},
    }
    invoke(endpoint, {"Records": [record]}, TOPICS, topic_arn)


def act(action):
    """Carry out what an alarm does."""
    from ministack.core.responses import request_scope
    from ministack.services import sns

    arn = action["action"]
    with request_scope(action["account"], action["region"]):
        if "message" in action:
            if sns.publish_internal(arn, action["message"], action["subject"]) is None:
                print(f"{action['alarm']} cannot publish to {arn}: there is no such topic", file=sys.stderr)
        else:
            invoke(arn, action["payload"], ALARMS, action["alarm"])


def install():
    """Put these in place of ministack's."""
    from ministack.services import sns

    sns._deliver_to_lambda = deliver_to_lambda
