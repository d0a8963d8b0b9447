"""Amazon CloudWatch: alarms with their states, history, contributors and mute rules, and the data of metrics.

Rules are from the Amazon CloudWatch API Reference (named API_*). Nothing is evaluated by itself: a test or SetAlarmState
says what state an alarm is in, and composite alarms follow. EventBridge is told of everything (`cloudwatch_alarms.py`),
topics and functions where an alarm names them. Dashboards, metrics and their statistics are moto's.
"""

import json
import math
import time
from datetime import datetime, timezone

from moto.cloudwatch.models import CloudWatchBackend, cloudwatch_backends
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult, EmptyResult

import cloudwatch_metrics
import events
import operations
from cloudwatch_alarms import STATES, Place
from cloudwatch_metrics import seconds
from cloudwatch_rules import Rule
from operations import refuse

# API_DescribeAlarms, API_DescribeAlarmHistory, API_ListAlarmMuteRules, MaxRecords: from 1 to 100.
LARGEST_PAGE = 100
ALARMS_PAGE_IF_NOT_SAID = 50
MUTES_PAGE_IF_NOT_SAID = 50
# API_DescribeAlarms and API_DeleteAlarms, AlarmNames: "Maximum number of 100 items".
MOST_NAMES = 100
# API_DescribeAlarmContributors pages by itself; how much is on a page is not documented.
CONTRIBUTORS_PAGE = 100

# API_PutMetricAlarm, Metrics: "you cannot include" these beside it.
OF_ONE_METRIC = ("Namespace", "MetricName", "Dimensions", "Period", "Unit", "Statistic", "ExtendedStatistic")

# What other services of moto say of the alarms of their policies, and API_PutMetricAlarm's names for it.
OF_POLICIES = {
    "name": "AlarmName",
    "namespace": "Namespace",
    "metric_name": "MetricName",
    "comparison_operator": "ComparisonOperator",
    "evaluation_periods": "EvaluationPeriods",
    "period": "Period",
    "threshold": "Threshold",
    "statistic": "Statistic",
    "description": "AlarmDescription",
    "dimensions": "Dimensions",
    "alarm_actions": "AlarmActions",
}

_tag_of_moto = CloudWatchResponse.tag_resource


# Alarms


def put_metric_alarm(response):
    """API_PutMetricAlarm."""
    members = _members_of(response)
    _check_metric_alarm(members)
    for metric in members.get("Metrics") or []:
        metric.setdefault("ReturnData", True)
    _put(response, members)
    return EmptyResult()


def put_composite_alarm(response):
    """API_PutCompositeAlarm: of alarms that there are, with both periods where there is a suppressor."""
    members = _members_of(response)
    if members.get("ActionsSuppressor"):
        for period in ("ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod"):
            if members.get(period) is None:
                refuse("ValidationError", f"{period} is required when ActionsSuppressor is specified.")
    if not members.get("AlarmRule"):
        refuse("ValidationError", "1 validation error detected: Value null at 'alarmRule' failed to satisfy constraint")
    _put(response, members, _refuse_unknown_children)
    return EmptyResult()


def describe_alarms(response):
    """API_DescribeAlarms: metric alarms unless AlarmTypes asks for others, in pages."""
    wanted, place = _members_of(response), _place_of(response)
    related = [name for name in ("ChildrenOfAlarmName", "ParentsOfAlarmName") if wanted.get(name)]
    if related:
        if set(wanted) - {related[0], "MaxRecords", "NextToken"}:
            refuse("ValidationError", f"{related[0]} can be combined with MaxRecords and NextToken only.")
        found, answered = _related(place, related[0], wanted[related[0]])
    else:
        found, answered = _selected(place, wanted), lambda alarm: alarm.describe()
    page, token = _page(wanted, sorted(found, key=_name_of), _name_of, ALARMS_PAGE_IF_NOT_SAID)
    of_kind = {
        kind: [answered(alarm) for alarm in page if alarm.kind == kind] for kind in ("MetricAlarm", "CompositeAlarm")
    }
    return _answer(
        response,
        {"MetricAlarms": of_kind["MetricAlarm"], "CompositeAlarms": of_kind["CompositeAlarm"], "NextToken": token},
    )


def describe_alarms_for_metric(response):
    """API_DescribeAlarmsForMetric: alarms on a single metric."""
    wanted, place = _members_of(response), _place_of(response)
    found = [
        alarm.describe()
        for _, alarm in sorted(place.alarms.items())
        if (alarm.namespace, alarm.metric_name) == (wanted.get("Namespace"), wanted.get("MetricName"))
        and "Metrics" not in alarm.members
    ]
    return _answer(response, {"MetricAlarms": found})


def delete_alarms(response):
    """API_DeleteAlarms: those there are, of composite alarms one, and none that a composite alarm depends on."""
    names, place = _members_of(response).get("AlarmNames") or [], _place_of(response)
    alarms = [place.alarms[name] for name in names if name in place.alarms]
    if len(names) > MOST_NAMES or sum(alarm.is_composite for alarm in alarms) > 1:
        refuse("ValidationError", f"At most {MOST_NAMES} alarms can be deleted at once, one composite alarm among them.")
    for alarm in alarms:
        parents = [each.name for each in place.composites() if alarm.name in each.rule.children and each not in alarms]
        if parents:
            refuse("ValidationError", f"Cannot delete {alarm.name} as there are composite alarm(s) depending on it.")
    for alarm in alarms:
        place.delete(alarm)
    return EmptyResult()


def set_alarm_state(response):
    """API_SetAlarmState."""
    wanted = _members_of(response)
    alarm = _alarm_named(response, wanted["AlarmName"], "ResourceNotFound")
    reason_data = wanted.get("StateReasonData")
    if reason_data is not None:
        try:
            json.loads(reason_data)
        except ValueError:
            refuse("InvalidFormat", "StateReasonData was not valid JSON")
    if wanted["StateValue"] not in STATES:
        refuse("ValidationError", f"State value {wanted['StateValue']!r} is none of {', '.join(STATES)}.")
    alarm.place.transition(alarm, wanted["StateValue"], wanted["StateReason"], reason_data)
    return EmptyResult()


def describe_alarm_history(response):
    """API_DescribeAlarmHistory: newest first unless it is said otherwise; also of alarms that were deleted."""
    wanted, place = _members_of(response), _place_of(response)
    kinds = wanted.get("AlarmTypes") or ["MetricAlarm"]
    begin, end = seconds(wanted.get("StartDate") or 0), seconds(wanted.get("EndDate") or math.inf)
    found = [
        {**item, "place": [item["Timestamp"], number]}
        for number, item in enumerate(place.history)
        if wanted.get("AlarmName") in (None, item["AlarmName"])
        and item["AlarmType"] in kinds
        and wanted.get("HistoryItemType") in (None, item["HistoryItemType"])
        and wanted.get("AlarmContributorId") in (None, item.get("AlarmContributorId"))
        and begin <= item["Timestamp"] <= end
    ]
    sign = 1 if wanted.get("ScanBy") == "TimestampAscending" else -1

    def position(item):
        return [sign * part for part in item["place"]]

    page, token = _page(wanted, sorted(found, key=position), position, LARGEST_PAGE)
    items = [{name: value for name, value in item.items() if name != "place"} for item in page]
    return _answer(response, {"AlarmHistoryItems": items, "NextToken": token})


def describe_alarm_contributors(response):
    """API_DescribeAlarmContributors: the time series that are in ALARM, of an alarm that watches several."""
    wanted = _members_of(response)
    alarm = _alarm_named(response, wanted["AlarmName"], "ResourceNotFoundException")
    if alarm.query is None:
        refuse("ValidationError", f"{alarm.name} is no alarm on several time series.")
    contributors = sorted(alarm.contributors.values(), key=lambda each: each.id)
    found = [each.describe() for each in contributors if each.state.value == "ALARM"]
    wanted["MaxRecords"] = CONTRIBUTORS_PAGE
    page, token = _page(wanted, found, lambda each: each["ContributorId"], CONTRIBUTORS_PAGE)
    return _answer(response, {"AlarmContributors": page, "NextToken": token})


def tag_resource(response):
    """API_TagResource: also of mute rules, which moto does not know."""
    place, wanted = _place_of(response), _members_of(response)
    if any(rule.arn == wanted.get("ResourceARN") for rule in place.mute_rules.values()):
        place.backend.tagger.tag_resource(wanted["ResourceARN"], wanted["Tags"])
        return EmptyResult()
    return _tag_of_moto(response)


# Mute rules


def put_alarm_mute_rule(response):
    """API_PutAlarmMuteRule: creates a rule, or puts it in place of that of the same name."""
    members, place = _members_of(response), _place_of(response)
    for name in ("StartDate", "ExpireDate"):
        if members.get(name) is not None:
            members[name] = seconds(members[name])
    try:
        rule = place.put_mute_rule(members)
    except (KeyError, ValueError) as error:
        refuse("ValidationError", f"The mute rule is not valid: {error}")
    if members.get("Tags"):
        place.backend.tagger.tag_resource(rule.arn, members["Tags"])
    return EmptyResult()


def get_alarm_mute_rule(response):
    """API_GetAlarmMuteRule."""
    name, place = _members_of(response)["AlarmMuteRuleName"], _place_of(response)
    if name not in place.mute_rules:
        refuse("ResourceNotFoundException", f"Alarm mute rule {name} does not exist.")
    return _answer(response, place.mute_rules[name].describe(time.time()))


def list_alarm_mute_rules(response):
    """API_ListAlarmMuteRules: of an alarm and in some statuses, or all, in pages."""
    wanted, place, now = _members_of(response), _place_of(response), time.time()
    rules = [
        rule
        for _, rule in sorted(place.mute_rules.items())
        if (wanted.get("AlarmName") is None or wanted["AlarmName"] in rule.alarms)
        and (not wanted.get("Statuses") or rule.status(now) in wanted["Statuses"])
    ]
    page, token = _page(wanted, rules, _name_of, MUTES_PAGE_IF_NOT_SAID)
    return _answer(response, {"AlarmMuteRuleSummaries": [rule.summary(now) for rule in page], "NextToken": token})


def delete_alarm_mute_rule(response):
    """API_DeleteAlarmMuteRule: "This operation is idempotent." """
    _place_of(response).mute_rules.pop(_members_of(response)["AlarmMuteRuleName"], None)
    return EmptyResult()


# Metrics


def get_metric_data(response):
    """API_GetMetricData."""
    wanted = _members_of(response)
    results = cloudwatch_metrics.get_metric_data(
        response.cloudwatch_backend,
        wanted.get("MetricDataQueries") or [],
        seconds(wanted["StartTime"]),
        seconds(wanted["EndTime"]),
        newest_first=wanted.get("ScanBy") != "TimestampAscending",
    )
    return _answer(response, {"MetricDataResults": results, "Messages": []})


# What a test arranges


def put_state(account, region, name, state, reason=None, reason_data=None, datapoints=None, evaluation_state=None):
    """Let an alarm be in a state as if CloudWatch had evaluated it; without a reason it is given one that fits."""
    alarm = _known(account, region, name)
    if state not in STATES:
        raise ValueError(f"{state!r} is no state of an alarm; there are {', '.join(STATES)}")
    alarm.evaluation_state = evaluation_state
    values = datapoints or _crossing(alarm, state)
    if reason_data is None and reason is None and state != "INSUFFICIENT_DATA":
        reason_data = _evaluated(alarm, values)
    if reason_data is not None and not isinstance(reason_data, str):
        reason_data = json.dumps(reason_data, separators=(",", ":"))
    alarm.place.transition(alarm, state, reason or _reason(alarm, state, values), reason_data)


def put_contributor(account, region, name, attributes, state="ALARM", reason=None):
    """Let a time series of an alarm on several be in a state, and tell who it is."""
    alarm = _known(account, region, name)
    if alarm.query is None:
        raise ValueError(f"{name!r} is no alarm on a Metrics Insights query")
    if state not in ("OK", "ALARM"):
        raise ValueError(f"{state!r} is no state of a contributor")
    reason = reason or _reason(alarm, state, _crossing(alarm, state))
    return alarm.place.contribute(alarm, attributes, state, reason).id


def put_metric(account, region, value=None, points=None, **what):
    """Let a metric or an expression have a value at all times, or values at times in seconds since 1970."""
    if (value is None) == (points is None):
        raise ValueError("a metric has a value or points")
    series = cloudwatch_metrics.Series(value, [(each["at"], each["value"]) for each in points or ()])
    cloudwatch_metrics.arrange(cloudwatch_backends[account][region], series, **what)


def settle(account):
    """Let the periods for which composite alarms wait for their suppressors be over."""
    for backend in cloudwatch_backends[account].values():
        for alarm in Place(backend).composites():
            alarm.end_periods()


def install():
    """Put these operations in place of moto's, also where other services of moto make alarms for their policies."""
    CloudWatchBackend.put_metric_alarm = _put_for_policy
    CloudWatchBackend.delete_alarms = _delete_for_policy
    operations.install(
        CloudWatchResponse,
        put_metric_alarm,
        put_composite_alarm,
        describe_alarms,
        describe_alarms_for_metric,
        delete_alarms,
        set_alarm_state,
        describe_alarm_history,
        describe_alarm_contributors,
        tag_resource,
        put_alarm_mute_rule,
        get_alarm_mute_rule,
        list_alarm_mute_rules,
        delete_alarm_mute_rule,
        get_metric_data,
    )


def _put_for_policy(backend, **said):
    members = {OF_POLICIES[name]: value for name, value in said.items() if name in OF_POLICIES and value is not None}
    return Place(backend).put(members)


def _delete_for_policy(backend, names):
    place = Place(backend)
    for name in names:
        if name in place.alarms:
            place.delete(place.alarms[name])


def _known(account, region, name):
    alarm = cloudwatch_backends[account][region].alarms.get(name)
    if alarm is None:
        raise ValueError(f"there is no alarm {name!r}")
    return alarm


def _crossing(alarm, state):
    """A datapoint by which an alarm would be in a state."""
    threshold = alarm.members.get("Threshold")
    if threshold is None or state == "INSUFFICIENT_DATA":
        return []
    above = alarm.members["ComparisonOperator"].startswith("Greater") == (state == "ALARM")
    return [threshold + 1 if above else threshold - 1]


def _reason(alarm, state, values):
    """The words of a reason ("Alarm events and EventBridge" has some)."""
    if state == "INSUFFICIENT_DATA":
        return "Insufficient Data: 1 datapoint was unknown."
    if alarm.members.get("Threshold") is None:
        return f"Set to {state} by the test"
    count = len(values)
    not_said = "" if state == "ALARM" else "not "
    side = "greater" if alarm.members["ComparisonOperator"].startswith("Greater") else "less"
    return (
        f"Threshold Crossed: {count} out of the last {count} datapoints {values} was {not_said}{side} than the threshold "
        f"({alarm.members['Threshold']}) (minimum 1 datapoint for {'OK -> ALARM' if state == 'ALARM' else 'ALARM -> OK'} "
        "transition)."
    )


def _evaluated(alarm, values):
    """What CloudWatch looked at, in JSON. Alarms on queries of several time series and composite alarms have none."""
    if alarm.is_composite or alarm.query is not None or alarm.members.get("Threshold") is None:
        return None
    now, period = time.time(), alarm.members.get("Period") or 60
    data = {
        "version": "1.0",
        "queryDate": events.milliseconds(now),
        "startDate": events.milliseconds(math.floor(now / period) * period - period * len(values)),
        # Of metric math there is no statistic.
        **({"statistic": alarm.members["Statistic"]} if alarm.members.get("Statistic") else {}),
        "period": period,
        "recentDatapoints": [float(value) for value in values],
        "threshold": alarm.members["Threshold"],
    }
    return json.dumps(data, separators=(",", ":"))


# Reading a request


def _place_of(response):
    return Place(response.cloudwatch_backend)


def _members_of(response):
    """The members of a request, also those that this botocore's model does not have yet."""
    members = dict(response._get_params())
    if _speaks_json(response):
        for name, value in json.loads(response.body or "{}").items():
            members.setdefault(name, value)
    return {name: value for name, value in members.items() if value is not None}


def _answer(response, members):
    """An answer in JSON as it is, in other protocols by the model."""
    members = {name: value for name, value in members.items() if value is not None}
    return operations.answer(members) if _speaks_json(response) else ActionResult(_with_times(members))


def _with_times(value, name=""):
    """The model's serializers for XML want times as such."""
    if isinstance(value, dict):
        return {key: _with_times(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_times(item, name) for item in value]
    is_time = name.endswith(("Timestamp", "Timestamps", "Date")) and isinstance(value, (int, float))
    return datetime.fromtimestamp(value, timezone.utc) if is_time else value


def _speaks_json(response):
    return "json" in (response.headers.get("Content-Type") or "")


def _alarm_named(response, name, error):
    alarm = _place_of(response).alarms.get(name)
    if alarm is None:
        refuse(error, f"Alarm {name} does not exist")
    return alarm


def _put(response, members, check=None):
    place = _place_of(response)
    name = members.get("AlarmName")
    if not name:
        refuse("ValidationError", "1 validation error detected: Value null at 'alarmName' failed to satisfy constraint")
    known = place.alarms.get(name)
    if known is not None and known.is_composite != ("AlarmRule" in members):
        refuse("ValidationError", f"There is an alarm {name} of another type.")
    try:
        if check is not None:
            check(place, members)
        return place.put(members)
    except ValueError as error:
        refuse("ValidationError", f"AlarmRule is not valid: {error}")


def _check_metric_alarm(members):
    """API_PutMetricAlarm: what is required, and what excludes each other."""
    watched = [name for name in ("MetricName", "Metrics", "EvaluationCriteria") if members.get(name)]
    if len(watched) != 1:
        refuse("ValidationError", "Exactly one of MetricName, Metrics and EvaluationCriteria must be specified.")
    if watched == ["EvaluationCriteria"]:
        return
    if watched == ["Metrics"]:
        beside = [name for name in OF_ONE_METRIC if members.get(name)]
        if beside:
            refuse("InvalidParameterCombination", f"{', '.join(beside)} must not be specified together with Metrics.")
    elif bool(members.get("Statistic")) == bool(members.get("ExtendedStatistic")):
        refuse("ValidationError", "Exactly one of Statistic and ExtendedStatistic must be specified.")
    for name in ("EvaluationPeriods", "ComparisonOperator"):
        if members.get(name) is None:
            refuse("ValidationError", f"{name} must be specified.")
    if (members.get("Threshold") is None) == (members.get("ThresholdMetricId") is None):
        refuse("ValidationError", "Exactly one of Threshold and ThresholdMetricId must be specified.")


def _refuse_unknown_children(place, members):
    missing = [name for name in Rule(members["AlarmRule"]).children if name not in place.alarms]
    if missing:
        refuse("ValidationError", f"Could not save the composite alarm as alarms {missing} in the alarm rule do not exist")


def _selected(place, wanted):
    if wanted.get("AlarmNames") and wanted.get("AlarmNamePrefix"):
        refuse("ValidationError", "AlarmNames and AlarmNamePrefix cannot be specified together.")
    if len(wanted.get("AlarmNames") or []) > MOST_NAMES:
        refuse("ValidationError", f"AlarmNames can have at most {MOST_NAMES} items.")
    kinds = wanted.get("AlarmTypes") or ["MetricAlarm"]
    return [
        alarm
        for alarm in place.alarms.values()
        if alarm.kind in kinds
        and (not wanted.get("AlarmNames") or alarm.name in wanted["AlarmNames"])
        and alarm.name.startswith(wanted.get("AlarmNamePrefix") or "")
        and wanted.get("StateValue") in (None, alarm.state.value)
        and (not wanted.get("ActionPrefix") or any(each.startswith(wanted["ActionPrefix"]) for each in alarm.actions))
    ]


def _related(place, relation, name):
    """The children or parents of an alarm, with what API_DescribeAlarms says of them."""
    if relation == "ParentsOfAlarmName":
        parents = [alarm for alarm in place.composites() if name in alarm.rule.children]
        return parents, lambda alarm: {"AlarmName": alarm.name, "AlarmArn": alarm.alarm_arn}
    parent = place.alarms.get(name)
    names = parent.rule.children if parent is not None and parent.is_composite else []
    known = ("AlarmName", "AlarmArn", "StateValue", "StateUpdatedTimestamp")

    def told(alarm):
        described = alarm.describe()
        return {name: described[name] for name in known}

    return [place.alarms[each] for each in names if each in place.alarms], told


def _page(wanted, items, position, if_not_said):
    size = wanted.get("MaxRecords") or if_not_said
    if not 1 <= size <= LARGEST_PAGE:
        refuse("ValidationError", f"MaxRecords must be between 1 and {LARGEST_PAGE}.")
    try:
        after = operations.position_of(wanted["NextToken"]) if wanted.get("NextToken") else None
    except ValueError:
        refuse("InvalidNextToken", f"The token {wanted['NextToken']!r} is invalid.")
    return operations.page_of(items, size, after, position)


def _name_of(named):
    return named.name
