"""Alarm mute rules: when they are active, and what they mute (API_PutAlarmMuteRule, API_Schedule)."""

import re
import time
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

# API_Schedule, Duration: ISO 8601, at least a minute, at most fifteen days.
DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?")
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=15)
# API_MuteTargets: up to a hundred alarms.
MOST_TARGETS = 100

MONTHS = {name: number for number, name in enumerate("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), 1)}
WEEKDAYS = {name: number for number, name in enumerate("SUN MON TUE WED THU FRI SAT".split())}
# cron(Minutes Hours Day-of-month Month Day-of-week): the smallest and largest value of each, and their English names.
FIELDS = ((0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, MONTHS), (0, 6, WEEKDAYS))


class MuteRule:
    """One rule. Raises ValueError for one that CloudWatch would not understand."""

    def __init__(self, arn, members):
        self.arn = arn
        self.members = members
        self.updated_at = time.time()
        self.alarms = (members.get("MuteTargets") or {}).get("AlarmNames") or []
        if len(self.alarms) > MOST_TARGETS:
            raise ValueError(f"a mute rule has at most {MOST_TARGETS} targets")
        schedule = members["Rule"]["Schedule"]
        self._zone = ZoneInfo(schedule.get("Timezone") or "UTC")
        self._duration = _duration_of(schedule["Duration"])
        self._at, self._cron = _times_of(schedule["Expression"])

    @property
    def name(self):
        return self.members["Name"]

    @property
    def mute_type(self):
        """API_GetAlarmMuteRule, MuteType."""
        return "ONE_TIME" if self._at else "RECURRING"

    def window(self, now):
        """The begin and end of the window that is open at a time, in seconds since 1970; None while none is."""
        if not self._may_be_active(now):
            return None
        begin = self._last_begin(now)
        return (begin, begin + self._duration.total_seconds()) if begin is not None else None

    def status(self, now):
        """API_GetAlarmMuteRule: SCHEDULED, ACTIVE or EXPIRED."""
        if self.window(now):
            return "ACTIVE"
        expires = self.members.get("ExpireDate")
        over = self._at and now >= self._local(self._at) + self._duration.total_seconds()
        return "EXPIRED" if over or (expires is not None and now >= expires) else "SCHEDULED"

    def describe(self, now):
        """API_GetAlarmMuteRule."""
        kept = ("Name", "Description", "Rule", "MuteTargets", "StartDate", "ExpireDate")
        return {
            **{name: self.members[name] for name in kept if self.members.get(name) is not None},
            "AlarmMuteRuleArn": self.arn,
            "Status": self.status(now),
            "LastUpdatedTimestamp": self.updated_at,
            "MuteType": self.mute_type,
        }

    def summary(self, now):
        """API_AlarmMuteRuleSummary."""
        described = self.describe(now)
        kept = ("AlarmMuteRuleArn", "ExpireDate", "Status", "MuteType", "LastUpdatedTimestamp")
        return {name: described[name] for name in kept if name in described}

    def _may_be_active(self, now):
        starts, expires = self.members.get("StartDate"), self.members.get("ExpireDate")
        return (starts is None or now >= starts) and (expires is None or now < expires)

    def _last_begin(self, now):
        if self._at:
            begin = self._local(self._at)
            return begin if begin <= now < begin + self._duration.total_seconds() else None
        moment = datetime.fromtimestamp(now, timezone.utc).replace(second=0, microsecond=0)
        earliest = datetime.fromtimestamp(now, timezone.utc) - self._duration
        while moment > earliest:
            if self._cron.matches(moment.astimezone(self._zone)):
                return moment.timestamp()
            moment -= timedelta(minutes=1)
        return None

    def _local(self, moment):
        return moment.replace(tzinfo=self._zone).timestamp()


class Cron:
    """The five fields of a cron expression, of which each is *, a value, a range, or a list of these."""

    def __init__(self, text):
        fields = text.split()
        if len(fields) != len(FIELDS):
            raise ValueError(f"cron({text}) has {len(fields)} fields instead of {len(FIELDS)}")
        self._allowed = [_values_of(field, *bounds) for field, bounds in zip(fields, FIELDS)]

    def matches(self, moment):
        """Whether a window begins in this minute."""
        weekday = (moment.weekday() + 1) % 7
        values = (moment.minute, moment.hour, moment.day, moment.month, weekday)
        return all(value in allowed for value, allowed in zip(values, self._allowed))


def _values_of(field, smallest, largest, names):
    values = set()
    for part in field.split(","):
        first, _, last = part.partition("-")
        if part == "*":
            values.update(range(smallest, largest + 1))
            continue
        bounds = [names[each] if each in names else int(each) for each in (first, last or first)]
        if not smallest <= bounds[0] <= bounds[1] <= largest:
            raise ValueError(f"{part!r} is not between {smallest} and {largest}")
        values.update(range(bounds[0], bounds[1] + 1))
    return values


def _duration_of(text):
    found = DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration")
    days, hours, minutes = (int(number or 0) for number in found.groups())
    duration = timedelta(days=days, hours=hours, minutes=minutes)
    if not SHORTEST <= duration <= LONGEST:
        raise ValueError(f"{text!r} is not between PT1M and P15D")
    return duration


def _times_of(expression):
    """The only time of an at expression, or the times of a cron expression."""
    kind, _, inner = expression.rstrip(")").partition("(")
    if kind == "at":
        return datetime.strptime(inner, "%Y-%m-%dT%H:%M"), None
    if kind == "cron":
        return None, Cron(inner)
    raise ValueError(f"{expression!r} is neither at(...) nor cron(...)")
