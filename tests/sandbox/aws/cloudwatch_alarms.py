"""Alarms: their states, what changes them, and what CloudWatch tells EventBridge of it.

"Alarm events and EventBridge" (CloudWatch User Guide) has the shape of each event, "Alarm tags in action payloads" says
which tags are in it. A mute rule or a suppressor keeps actions back; the event comes all the same, and says so.
"""

import hashlib
import json
import time
import uuid
from datetime import datetime, timezone

import cloudwatch_actions
import events
from cloudwatch_mutes import MuteRule
from cloudwatch_rules import Rule, name_of

SOURCE = "aws.cloudwatch"
STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")

# What an event says of an alarm's configuration, and the names of the request for it.
COMPOSITE_CONFIGURATION = {
    "AlarmRule": "alarmRule",
    "ActionsSuppressor": "actionsSuppressor",
    "ActionsSuppressorWaitPeriod": "actionsSuppressorWaitPeriod",
    "ActionsSuppressorExtensionPeriod": "actionsSuppressorExtensionPeriod",
}
CONFIGURATION_OF_CHANGES = {
    "EvaluationPeriods": "evaluationPeriods",
    "DatapointsToAlarm": "datapointsToAlarm",
    "Threshold": "threshold",
    "ThresholdMetricId": "thresholdMetricId",
    "ComparisonOperator": "comparisonOperator",
    "TreatMissingData": "treatMissingData",
    **COMPOSITE_CONFIGURATION,
}


class State:
    """A state of an alarm, or of a contributor."""

    def __init__(self, value, reason=None, reason_data=None, at=None):
        self.value, self.reason, self.reason_data = value, reason, reason_data
        self.updated_at = self.transitioned_at = time.time() if at is None else at

    def of_event(self):
        """As events have it."""
        told = {
            "value": self.value,
            "reason": self.reason,
            "reasonData": self.reason_data,
            "timestamp": events.milliseconds(self.updated_at),
        }
        return {name: value for name, value in told.items() if value is not None}


class Contributor:
    """One time series of an alarm on a Metrics Insights query: in ALARM or OK, never without data."""

    def __init__(self, attributes):
        self.attributes = attributes
        self.id = hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()[:16]
        self.state = State("OK")

    def describe(self):
        """API_AlarmContributor."""
        return {
            "ContributorId": self.id,
            "ContributorAttributes": self.attributes,
            "StateReason": self.state.reason or "",
            "StateTransitionedTimestamp": self.state.transitioned_at,
        }


class Alarm:
    """A metric or composite alarm. Answers to the names by which moto finds and tags it."""

    #: What moto asks of an alarm and ours keeps in `members`.
    rule = None

    def __init__(self, place, members):
        self.place = place
        self.name = members["AlarmName"]
        self.alarm_arn = place.arn("alarm", self.name)
        # "When this operation creates an alarm, the alarm state is immediately set to INSUFFICIENT_DATA."
        self.state = State("INSUFFICIENT_DATA", "Unchecked: Initial alarm creation")
        self.evaluation_state = None
        self.contributors = {}
        self.configure(members)

    def configure(self, members):
        """Overwrite the whole configuration, and leave the state as it is."""
        self.members = {name: value for name, value in members.items() if value is not None and name != "Tags"}
        for name in ("OKActions", "AlarmActions", "InsufficientDataActions"):
            self.members.setdefault(name, [])
        self.members.setdefault("ActionsEnabled", True)
        self.configured_at = time.time()
        self.metric_id = str(uuid.uuid4())

    @property
    def is_composite(self):
        return "AlarmRule" in self.members

    @property
    def kind(self):
        """API_DescribeAlarms, AlarmTypes."""
        return "CompositeAlarm" if self.is_composite else "MetricAlarm"

    @property
    def metric_name(self):
        return self.members.get("MetricName")

    @property
    def namespace(self):
        return self.members.get("Namespace")

    @property
    def actions(self):
        """Every action, whatever state it is for."""
        return [each for name, value in self.members.items() if name.endswith("Actions") for each in value]

    @property
    def actions_enabled(self):
        return self.members["ActionsEnabled"]

    @actions_enabled.setter
    def actions_enabled(self, value):
        self.members["ActionsEnabled"] = value

    @property
    def query(self):
        """The Metrics Insights query that it watches, if it watches one."""
        expressions = (each.get("Expression") or "" for each in self.members.get("Metrics") or [])
        return next((each for each in expressions if each.lstrip().upper().startswith("SELECT")), None)

    def describe(self):
        """API_MetricAlarm and API_CompositeAlarm."""
        described = {
            **self.members,
            "AlarmArn": self.alarm_arn,
            "AlarmConfigurationUpdatedTimestamp": self.configured_at,
            "StateValue": self.state.value,
            "StateReason": self.state.reason,
            "StateReasonData": self.state.reason_data,
            "StateUpdatedTimestamp": self.state.updated_at,
            "StateTransitionedTimestamp": self.state.transitioned_at,
            "EvaluationState": self.evaluation_state,
        }
        return {name: value for name, value in described.items() if value is not None}

    def tags_of_events(self):
        """"Alarm tags in action payloads": the tags, if they are propagated; those that begin with aws: never are."""
        wanted = (self.members.get("ActionConfiguration") or {}).get("AlarmTagsPropagation") or {}
        if not wanted.get("Enabled"):
            return {}
        only, never = wanted.get("IncludedTagKeys"), wanted.get("ExcludedTagKeys") or ()
        tags = {
            key: value
            for key, value in self.place.tags_of(self.alarm_arn).items()
            if not key.startswith("aws:") and key not in never and (only is None or key in only)
        }
        return {"alarmTags": tags, "alarmTagsStatus": "SUCCESS"}

    def configuration_of_events(self, names=()):
        """What events say of the configuration; `names` are those of changes of it, which say more."""
        told = {names[name]: value for name, value in self.members.items() if name in names}
        if self.members.get("AlarmDescription"):
            told["description"] = self.members["AlarmDescription"]
        if self.is_composite:
            known = COMPOSITE_CONFIGURATION.items()
            return {**told, **{as_told: self.members[name] for name, as_told in known if name in self.members}}
        return {**told, "metrics": [_metric_of_event(metric) for metric in self.metrics()]}

    def metrics(self):
        """API_PutMetricAlarm, Metrics; an alarm on a single metric has one of those for its events."""
        if "Metrics" in self.members:
            return self.members["Metrics"]
        dimensions = self.members.get("Dimensions")
        metric = {"MetricName": self.metric_name, "Namespace": self.namespace, "Dimensions": dimensions}
        stat = self.members.get("Statistic") or self.members.get("ExtendedStatistic")
        return [
            {
                "Id": self.metric_id,
                "MetricStat": {"Metric": metric, "Period": self.members.get("Period"), "Stat": stat},
                "ReturnData": True,
            }
        ]


class CompositeAlarm(Alarm):
    """A composite alarm, which its children and its suppressor decide on."""

    def configure(self, members):
        super().configure(members)
        self.rule = Rule(members["AlarmRule"])
        self.suppressor = name_of(members["ActionsSuppressor"]) if members.get("ActionsSuppressor") else None
        #: WaitPeriod, ExtensionPeriod, Alarm, or None while actions are not suppressed; and since when.
        self._suppressed_by, self._suppressed_since = None, None

    def describe(self):
        by = self.suppressed_by()
        suppression = {"ActionsSuppressedBy": by, "ActionsSuppressedReason": _reason_of_suppression(by)} if by else {}
        return {**super().describe(), **suppression}

    def suppressed_by(self):
        """API_CompositeAlarm, ActionsSuppressedBy: periods end by themselves."""
        periods = {
            "WaitPeriod": self.members.get("ActionsSuppressorWaitPeriod", 0),
            "ExtensionPeriod": self.members.get("ActionsSuppressorExtensionPeriod", 0),
        }
        lasts = periods.get(self._suppressed_by)
        if lasts is not None and time.time() - self._suppressed_since >= lasts:
            self._suppressed_by = None
        return self._suppressed_by

    def begin_suppression(self):
        """The alarm changes its state: its actions wait for the suppressor, or are suppressed by it."""
        if self.suppressor:
            self._suppress("Alarm" if self.place.state_of(self.suppressor) == "ALARM" else "WaitPeriod")

    def suppressor_changed(self, value):
        """The suppressor goes into ALARM, or leaves it, while actions are suppressed."""
        if self.suppressed_by() is not None and value == "ALARM":
            self._suppress("Alarm")
        elif self._suppressed_by == "Alarm":
            self._suppress("ExtensionPeriod")

    def end_periods(self):
        """The period that actions wait for is over."""
        if self._suppressed_by != "Alarm":
            self._suppressed_by = None

    def _suppress(self, by):
        self._suppressed_by, self._suppressed_since = by, time.time()


class Place:
    """The alarms of an account and Region, kept where moto looks for them."""

    def __init__(self, backend):
        self.backend = backend
        self.account, self.region = backend.account_id, backend.region_name
        self.alarms = backend.alarms
        self.mute_rules = vars(backend).setdefault("mute_rules", {})
        self.history = vars(backend).setdefault("alarm_history", [])

    def arn(self, kind, name):
        return f"arn:{self.backend.partition}:cloudwatch:{self.region}:{self.account}:{kind}:{name}"

    def tags_of(self, arn):
        return self.backend.tagger.get_tag_dict_for_resource(arn)

    def state_of(self, name):
        alarm = self.alarms.get(name)
        return alarm.state.value if alarm else "INSUFFICIENT_DATA"

    def composites(self):
        return [alarm for alarm in self.alarms.values() if alarm.is_composite]

    def put(self, members):
        """Create or update an alarm. Raises ValueError for a rule that cannot be understood."""
        alarm = self.alarms.get(members["AlarmName"])
        operation, before = ("update", self._configuration_of_change(alarm)) if alarm else ("create", None)
        if alarm is None:
            alarm = (CompositeAlarm if "AlarmRule" in members else Alarm)(self, members)
            self.alarms[alarm.name] = alarm
            if members.get("Tags"):
                self.backend.tagger.tag_resource(alarm.alarm_arn, members["Tags"])
        else:
            alarm.configure(members)
        self._note(alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" {operation}d', {"type": operation.title()})
        self._tell_of_change(alarm, operation, before)
        if alarm.is_composite:
            self._evaluate(alarm, f"{alarm.alarm_arn} was {operation}d and its alarm rule evaluates to")
        return alarm

    def delete(self, alarm):
        del self.alarms[alarm.name]
        self._note(alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" deleted', {"type": "Delete"})
        self._tell_of_change(alarm, "delete", None)
        self.backend.tagger.delete_all_tags_for_resource(alarm.alarm_arn)

    def put_mute_rule(self, members):
        """Raises ValueError for a rule that cannot be understood."""
        rule = MuteRule(self.arn("alarm-mute-rule", members["Name"]), members)
        self.mute_rules[rule.name] = rule
        return rule

    def transition(self, alarm, value, reason, reason_data=None):
        """Let an alarm be in a state. Only a change of the state's value is told, and is looked at by other alarms."""
        before, alarm.state = alarm.state, State(value, reason, reason_data)
        if before.value == value:
            alarm.state.transitioned_at = before.transitioned_at
            return
        if alarm.is_composite:
            alarm.begin_suppression()
        self._note_transition(alarm, before)
        self._tell_of_transition(alarm, before)
        for composite in self.composites():
            if composite.suppressor == alarm.name:
                composite.suppressor_changed(value)
            if alarm.name in composite.rule.children:
                when = datetime.fromtimestamp(alarm.state.updated_at, timezone.utc)
                moment = f"{when:%A} {when.day} {when:%B}, {when:%Y %H:%M:%S} UTC"
                self._evaluate(composite, f"{alarm.alarm_arn} transitioned to {value} at {moment}", by_child=True)

    def contribute(self, alarm, attributes, value, reason):
        """Let a time series of an alarm be in a state, and the alarm in that which follows from all of them."""
        found = Contributor(attributes)
        contributor = alarm.contributors.setdefault(found.id, found)
        if contributor.state.value != value:
            contributor.state = State(value, reason)
            self._note(
                alarm,
                "AlarmContributorStateUpdate",
                f"Alarm contributor updated to {value}",
                {"version": "1.0", "state": {"stateValue": value, "stateReason": reason}},
                contributor,
            )
            detail = {
                "alarmName": alarm.name,
                "alarmContributor": {"id": contributor.id, "attributes": attributes},
                "state": contributor.state.of_event(),
                "configuration": alarm.configuration_of_events(),
            }
            muted = self._mute_of(alarm)
            self._emit("CloudWatch Alarm Contributor State Change", alarm, {**detail, **muted})
            if not muted:
                cloudwatch_actions.carry_out_of(alarm, contributor, detail)
        in_alarm = sum(each.state.value == "ALARM" for each in alarm.contributors.values())
        summary = f"{in_alarm} out of {len(alarm.contributors)} time series evaluated to ALARM"
        self.transition(alarm, "ALARM" if in_alarm else "OK", summary)
        return contributor

    def _evaluate(self, composite, reason, by_child=False):
        value = "ALARM" if composite.rule.is_true(self.state_of) else "OK"
        children = [self.alarms[name] for name in composite.rule.children if name in self.alarms]
        if value == "ALARM":
            children = [child for child in children if child.state.value == "ALARM"] or children
        triggering = [
            {
                "arn": child.alarm_arn,
                "state": {"value": child.state.value, "timestamp": events.milliseconds(child.state.updated_at)},
            }
            for child in children
        ]
        if composite.state.value != value:
            reason = reason if by_child else f"{reason} {value}"
            data = json.dumps({"triggeringAlarms": triggering}, separators=(",", ":"))
            self.transition(composite, value, reason, data)

    def _note_transition(self, alarm, before):
        old = {"stateValue": before.value, "stateReason": before.reason}
        new = {"stateValue": alarm.state.value, "stateReason": alarm.state.reason}
        if alarm.state.reason_data:
            new["stateReasonData"] = _as_json(alarm.state.reason_data)
        summary = f"Alarm updated from {before.value} to {alarm.state.value}"
        self._note(alarm, "StateUpdate", summary, {"version": "1.0", "oldState": old, "newState": new})

    def _note(self, alarm, kind, summary, data, contributor=None):
        """API_AlarmHistoryItem."""
        item = {
            "AlarmName": alarm.name,
            "AlarmType": alarm.kind,
            "Timestamp": time.time(),
            "HistoryItemType": kind,
            "HistorySummary": summary,
            "HistoryData": json.dumps(data),
        }
        if contributor is not None:
            item.update(AlarmContributorId=contributor.id, AlarmContributorAttributes=contributor.attributes)
        self.history.append(item)

    def _tell_of_transition(self, alarm, before):
        state = alarm.state.of_event()
        by = alarm.suppressed_by() if alarm.is_composite else None
        if by:
            state.update(actionsSuppressedBy=by, actionsSuppressedReason=_reason_of_suppression(by))
        detail = {
            "alarmName": alarm.name,
            "state": state,
            "previousState": before.of_event(),
            "configuration": alarm.configuration_of_events(),
        }
        muted, tags = self._mute_of(alarm), alarm.tags_of_events()
        self._emit("CloudWatch Alarm State Change", alarm, {**detail, **muted, **tags})
        # Of an alarm on several time series each of these does what is to be done.
        if not muted and not by and alarm.query is None:
            cloudwatch_actions.carry_out(alarm, {**detail, **tags}, before)

    def _tell_of_change(self, alarm, operation, before):
        state = alarm.state.of_event()
        detail = {
            "alarmName": alarm.name,
            "operation": operation,
            "state": {name: state[name] for name in ("value", "timestamp")},
            "configuration": self._configuration_of_change(alarm),
        }
        if before is not None:
            detail["previousConfiguration"] = before
        self._emit("CloudWatch Alarm Configuration Change", alarm, detail)

    def _configuration_of_change(self, alarm):
        return {
            **alarm.configuration_of_events(CONFIGURATION_OF_CHANGES),
            "alarmName": alarm.name,
            "actionsEnabled": alarm.actions_enabled,
            "timestamp": events.milliseconds(alarm.configured_at),
            "okActions": alarm.members["OKActions"],
            "alarmActions": alarm.members["AlarmActions"],
            "insufficientDataActions": alarm.members["InsufficientDataActions"],
        }

    def _mute_of(self, alarm):
        """Which rule mutes an alarm now: the first by its name, if several do."""
        now = time.time()
        for _, rule in sorted(self.mute_rules.items()):
            window = rule.window(now) if alarm.name in rule.alarms else None
            if window:
                begin, end = (events.milliseconds(moment) for moment in window)
                return {"muteDetail": {"mutedByArn": rule.arn, "muteWindowStart": begin, "muteWindowEnd": end}}
        return {}

    def _emit(self, detail_type, alarm, detail):
        events.emit(self.account, self.region, SOURCE, detail_type, [alarm.alarm_arn], detail)


def _metric_of_event(metric):
    told = {"id": metric["Id"], "returnData": metric.get("ReturnData", True)}
    for name, as_told in (("Expression", "expression"), ("Label", "label"), ("Period", "period")):
        if metric.get(name) is not None:
            told[as_told] = metric[name]
    stat = metric.get("MetricStat")
    if stat:
        of = stat["Metric"]
        dimensions = {each["Name"]: each["Value"] for each in of.get("Dimensions") or []}
        told["metricStat"] = {
            "metric": {"namespace": of.get("Namespace"), "name": of.get("MetricName"), "dimensions": dimensions},
            "period": stat.get("Period"),
            "stat": stat.get("Stat"),
        }
    return told


def _reason_of_suppression(by):
    # "Alarm events and EventBridge" has it for WaitPeriod.
    return f"Actions suppressed by {by}"


def _as_json(text):
    try:
        return json.loads(text)
    except ValueError:
        return text
