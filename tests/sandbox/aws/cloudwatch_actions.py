"""What an alarm does when its state changes: it publishes to topics and invokes functions.

"Alarm actions" (CloudWatch User Guide) says when, "Invoke a Lambda function from an alarm" what a function is given,
"Alarm events and EventBridge" how each part of that looks. What SNS is given is written down for users of "Amazon SNS
event destinations" by example only; these are its members. Actions of other kinds are kept and not carried out.
"""

import json
from functools import lru_cache

import events

# API_PutMetricAlarm: which actions are those of which state.
ACTIONS_OF = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}

# How a message to SNS writes the statistics of an alarm ("SampleCount" is written in two words).
STATISTICS = {"SampleCount": "SAMPLE_COUNT"}


def carry_out(alarm, detail, before):
    """Do what an alarm is to do in the state it is in now; `detail` is that of its event, `before` the state it was in."""
    for arn in _actions(alarm, alarm.state.value):
        if _service(arn) == "sns":
            subject = f'{alarm.state.value}: "{alarm.name}" in {_display_name(alarm.place.region)}'
            # A subject has at most 100 characters (API_Publish, Amazon SNS API Reference).
            _do(alarm, arn, subject=subject[:99], message=json.dumps(_message(alarm, before)))
        elif _service(arn) == "lambda":
            _do(alarm, arn, payload=_payload(alarm, detail, alarm.state))


def carry_out_of(alarm, contributor, detail):
    """The same for a time series of an alarm on several, as "Alarm actions" has it: functions are told of each.

    So are topics, in a form that is not documented; they are told nothing here.
    """
    for arn in _actions(alarm, contributor.state.value):
        if _service(arn) == "lambda":
            _do(alarm, arn, payload=_payload(alarm, detail, contributor.state))


def _actions(alarm, value):
    return alarm.members[ACTIONS_OF[value]] if alarm.actions_enabled else ()


def _service(arn):
    return arn.split(":")[2] if arn.count(":") >= 5 else None


def _do(alarm, arn, **what):
    place = alarm.place
    events.act({"account": place.account, "region": place.region, "alarm": alarm.alarm_arn, "action": arn, **what})


def _payload(alarm, detail, state):
    """What a function is given: the account, and the detail of the event under another name."""
    return {
        "source": "aws.cloudwatch",
        "alarmArn": alarm.alarm_arn,
        "accountId": alarm.place.account,
        "time": events.milliseconds(state.updated_at),
        "region": alarm.place.region,
        "alarmData": detail,
    }


def _message(alarm, before):
    """What a topic is given, as a text of JSON."""
    members = alarm.members
    message = {
        "AlarmName": alarm.name,
        "AlarmDescription": members.get("AlarmDescription"),
        "AWSAccountId": alarm.place.account,
        "AlarmConfigurationUpdatedTimestamp": events.milliseconds(alarm.configured_at),
        "NewStateValue": alarm.state.value,
        "NewStateReason": alarm.state.reason,
        "StateChangeTime": events.milliseconds(alarm.state.updated_at),
        "Region": _display_name(alarm.place.region),
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": before.value,
        "OKActions": members["OKActions"],
        "AlarmActions": members["AlarmActions"],
        "InsufficientDataActions": members["InsufficientDataActions"],
    }
    if alarm.is_composite:
        return {**message, "AlarmRule": members["AlarmRule"]}
    return {**message, "Trigger": _trigger(alarm)}


def _trigger(alarm):
    members = alarm.members
    trigger = {
        "Period": members.get("Period"),
        "EvaluationPeriods": members.get("EvaluationPeriods"),
        "DatapointsToAlarm": members.get("DatapointsToAlarm"),
        "ComparisonOperator": members.get("ComparisonOperator"),
        "Threshold": members.get("Threshold"),
        "ThresholdMetricId": members.get("ThresholdMetricId"),
        "TreatMissingData": members.get("TreatMissingData") or "missing",
        "EvaluateLowSampleCountPercentile": members.get("EvaluateLowSampleCountPercentile") or "",
    }
    if "Metrics" in members:
        trigger["Metrics"] = [_metric(metric) for metric in members["Metrics"]]
    else:
        extended = members.get("ExtendedStatistic")
        trigger.update(
            MetricName=alarm.metric_name,
            Namespace=alarm.namespace,
            StatisticType="ExtendedStatistic" if extended else "Statistic",
            **({"ExtendedStatistic": extended} if extended else {"Statistic": _statistic(members["Statistic"])}),
            Unit=members.get("Unit"),
            Dimensions=_dimensions(members.get("Dimensions")),
        )
    # Of these a message says null where there is none.
    return {name: value for name, value in trigger.items() if value is not None or name in ("Unit", "Period")}


def _metric(metric):
    told = {name: metric[name] for name in ("Expression", "Id", "Label", "Period") if metric.get(name) is not None}
    stat = metric.get("MetricStat")
    if stat:
        of = {**stat["Metric"], "Dimensions": _dimensions(stat["Metric"].get("Dimensions"))}
        told["MetricStat"] = {**stat, "Metric": of}
    return {**told, "ReturnData": metric.get("ReturnData", True)}


def _dimensions(dimensions):
    return [{"value": each["Value"], "name": each["Name"]} for each in dimensions or ()]


def _statistic(name):
    return STATISTICS.get(name, name.upper())


@lru_cache(maxsize=None)
def _display_name(region):
    """The name of a Region for people."""
    from botocore.loaders import Loader

    partitions = Loader().load_data("endpoints")["partitions"]
    named = (partition["regions"].get(region, {}).get("description") for partition in partitions)
    return next((name for name in named if name), region)
