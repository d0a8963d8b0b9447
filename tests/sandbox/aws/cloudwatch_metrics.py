"""GetMetricData of what a test says that metrics are (API_GetMetricData).

A test gives a metric, or an expression as it is written, a value that it has in every period, or values at times. What
PutMetricData brought counts as well. Expressions that nobody gave a value are added, subtracted, multiplied and divided
point by point; of functions nothing is known.
"""

import ast
import math
import operator
from datetime import datetime, timezone

from moto.core.utils import unix_time

from operations import refuse

# API_GetMetricData: "A single GetMetricData call can include up to 500 MetricDataQuery structures."
MOST_QUERIES = 500

STATISTICS = {
    "Average": lambda values: sum(values) / len(values),
    "Sum": sum,
    "Minimum": min,
    "Maximum": max,
    "SampleCount": len,
}
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


class Series:
    """What a test says of one metric: a value at all times, or values at times."""

    def __init__(self, value=None, points=()):
        self._value = value
        self._points = list(points)

    def within(self, begin, end):
        """The values of a period."""
        if self._value is not None:
            return [self._value]
        return [value for at, value in self._points if begin <= at < end]


def arrange(backend, series, expression=None, namespace=None, metric=None, dimensions=None):
    """Let a metric, or an expression, have these values from now on."""
    key = _key_of_expression(expression) if expression else _key(namespace, metric, dimensions or {})
    vars(backend).setdefault("arranged_metrics", {})[key] = series


def get_metric_data(backend, queries, begin, end, newest_first):
    """The results of queries, of those that are to be returned."""
    if len(queries) > MOST_QUERIES:
        refuse("ValidationError", f"The collection MetricDataQueries must not have a size greater than {MOST_QUERIES}.")
    if begin >= end:
        refuse("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    points, waiting = {}, list(queries)
    while waiting:
        # An expression comes after what it names.
        query = next((each for each in waiting if _names_of(each, waiting).isdisjoint(q["Id"] for q in waiting)), None)
        if query is None:
            refuse("ValidationError", "Error in expression: circular dependency.")
        waiting.remove(query)
        points[query["Id"]] = _points_of(backend, query, begin, end, points)
    return [
        _result(query, points[query["Id"]], newest_first) for query in queries if query.get("ReturnData", True) is not False
    ]


def _points_of(backend, query, begin, end, known):
    """The points of a query: value by the begin of its period."""
    arranged = vars(backend).get("arranged_metrics", {})
    stat = query.get("MetricStat")
    if stat is not None:
        of = stat["Metric"]
        dimensions = {each["Name"]: each["Value"] for each in of.get("Dimensions") or []}
        key = _key(of.get("Namespace"), of.get("MetricName"), dimensions)
        return _in_periods(arranged.get(key) or _reported(backend, key), int(stat["Period"]), stat["Stat"], begin, end)
    expression = query.get("Expression")
    if not expression:
        refuse("ValidationError", "The parameter MetricDataQueries.member.1.MetricStat is required.\n")
    series = arranged.get(_key_of_expression(expression))
    if series is not None:
        return _in_periods(series, int(query.get("Period") or 60), "Average", begin, end)
    return _calculated(expression, known)


def _in_periods(series, period, stat, begin, end):
    # A percentile of what is given as one value is that value.
    statistic = STATISTICS.get(stat, max)
    points = {}
    # "CloudWatch rounds the specified timestamp": periods begin at multiples of their length.
    moment = math.floor(begin / period) * period
    while moment < end:
        values = series.within(moment, moment + period)
        if values:
            points[moment] = float(statistic(values))
        moment += period
    return points


def _reported(backend, key):
    """What PutMetricData brought."""
    points = []
    for datum in backend.metric_data:
        dimensions = {each.name: each.value for each in datum.dimensions}
        if _key(datum.namespace, datum.name, dimensions) == key and hasattr(datum, "value"):
            points.append((unix_time(datum.timestamp.replace(tzinfo=None)), datum.value))
    return Series(points=points)


def _calculated(expression, known):
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        times = set.intersection(*(set(known[name]) for name in _names_in(tree)))
        return {moment: _value(tree, moment, known) for moment in sorted(times)}
    except (KeyError, SyntaxError, TypeError, ZeroDivisionError):
        return {}


def _value(tree, moment, known):
    if isinstance(tree, ast.BinOp):
        return float(OPERATORS[type(tree.op)](_value(tree.left, moment, known), _value(tree.right, moment, known)))
    if isinstance(tree, ast.Name):
        return known[tree.id][moment]
    if isinstance(tree, ast.Constant):
        return float(tree.value)
    raise KeyError(type(tree).__name__)


def _names_of(query, others):
    """The ids of other queries that an expression names."""
    try:
        names = _names_in(ast.parse((query.get("Expression") or "0").strip(), mode="eval"))
    except SyntaxError:
        return set()
    return names & {each["Id"] for each in others if each is not query}


def _names_in(tree):
    return {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}


def _result(query, points, newest_first):
    """API_MetricDataResult."""
    times = sorted(points, reverse=newest_first)
    stat = query.get("MetricStat")
    label = query.get("Label") or (stat["Metric"]["MetricName"] if stat else query["Id"])
    return {
        "Id": query["Id"],
        "Label": label,
        "Timestamps": [float(moment) for moment in times],
        "Values": [points[moment] for moment in times],
        "StatusCode": "Complete",
    }


def _key(namespace, metric, dimensions):
    return namespace, metric, tuple(sorted(dimensions.items()))


def _key_of_expression(expression):
    return " ".join(expression.split())


def seconds(moment):
    """A time of a request, in seconds since 1970."""
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp() if isinstance(moment, datetime) else moment
