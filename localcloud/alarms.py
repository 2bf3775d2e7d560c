"""CloudWatch metric alarms: M of N datapoints over a threshold, with the four ways to treat missing ones.

An alarm is evaluated at the end of each of its periods. Metric math, anomaly detection and composite alarms are left
out. Source: CloudWatch User Guide, "Evaluating an alarm" and "Configuring how alarms treat missing data".
"""

import json
import operator
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.cloudwatch.models import Alarm, CloudWatchBackend, MetricDatum, cloudwatch_backends

from localcloud.clock import iso
from localcloud.problems import Problems

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"


def state_of(breaching: Sequence[bool | None], needed: int, missing: str, current: str) -> str:
    """Return the state for N datapoints (True: breaching, None: missing) of which ``needed`` make an alarm."""
    if missing == "breaching":
        breaching = [point is None or point for point in breaching]
    elif missing == "notBreaching":
        breaching = [bool(point) for point in breaching]
    known = [point for point in breaching if point is not None]
    if sum(known) >= needed:
        return ALARM
    if not known:
        return current if missing == "ignore" else INSUFFICIENT
    return OK


class Alarms:
    """All metric alarms of one account and region."""

    def __init__(self, account: str, region: str, problems: Problems, send: Callable[[str, str, str], None]) -> None:
        """Send messages of alarms to topics by ``send`` (ARN, text, subject)."""
        self._account, self._region, self._problems, self._send = account, region, problems, send
        self._evaluated: dict[str, float] = {}

    def next_due(self, now: float) -> float | None:
        """Return the end of the period that ends first."""
        return min((_period_end(alarm, now) + float(alarm.period) for alarm in self._alarms()), default=None)

    def fire(self, now: float) -> None:
        """Evaluate the alarms whose period has ended since the last time."""
        for alarm in self._alarms():
            end = _period_end(alarm, now)
            if self._evaluated.setdefault(alarm.name, end) < end:
                self._evaluated[alarm.name] = end
                self._evaluate(alarm, end)

    def _alarms(self) -> list[Alarm]:
        return [alarm for alarm in list(self._backend().alarms.values()) if self._simple(alarm)]

    def _simple(self, alarm: Alarm) -> bool:
        if not alarm.metric_name and alarm.name not in self._evaluated:
            self._evaluated[alarm.name] = 0
            self._problems.add("alarms", f"{alarm.name}: metric math is not evaluated in the local cloud")
        return bool(alarm.metric_name)

    def _backend(self) -> CloudWatchBackend:
        return cloudwatch_backends[self._account][self._region]

    def _evaluate(self, alarm: Alarm, end: float) -> None:
        periods = int(alarm.evaluation_periods or 1)
        points = [self._breaching(alarm, end - index * float(alarm.period)) for index in range(periods)]
        needed = int(alarm.datapoints_to_alarm or periods)
        state = state_of(points, needed, alarm.treat_missing_data or "missing", alarm.state_value)
        if state != alarm.state_value:
            self._change(alarm, state, f"{sum(point is True for point in points)} of {periods} datapoints breach", end)

    def _breaching(self, alarm: Alarm, end: float) -> bool | None:
        """Say whether the period that ends at ``end`` breaches; None if it has no data."""
        last = datetime.fromtimestamp(end, UTC).replace(tzinfo=None)
        first = last - timedelta(seconds=float(alarm.period))
        statistic = str(alarm.statistic or "Average")
        dimensions = [{"Name": d.name, "Value": d.value} for d in alarm.dimensions]
        found = [
            datum
            for datum in self._backend().get_all_metrics()
            if datum.name == alarm.metric_name  # asked first, and cheap: there are many of other names
            and first <= datum.timestamp.replace(tzinfo=None) < last
            and datum.filter(alarm.namespace, alarm.metric_name, dimensions)  # type: ignore[arg-type]
        ]
        values = [float(datum.value) for datum in found if isinstance(datum, MetricDatum)]
        if not values:
            return None
        return COMPARISONS[alarm.comparison_operator](_statistic(statistic, values), float(alarm.threshold))

    def _change(self, alarm: Alarm, state: str, reason: str, moment: float) -> None:
        before = alarm.state_value
        alarm.update_state(f"Threshold Crossed: {reason} ({alarm.threshold}).", json.dumps({}), state)
        actions = {OK: alarm.ok_actions, ALARM: alarm.alarm_actions, INSUFFICIENT: alarm.insufficient_data_actions}
        text = json.dumps(_message(alarm, before, moment, self._account, self._region))
        for action in (actions[state] or []) if alarm.actions_enabled in (True, "true", None) else []:
            self._send(action, text, f'{state}: "{alarm.name}" in {self._region}'[:99])


def _period_end(alarm: Alarm, now: float) -> float:
    period = float(alarm.period)
    return now // period * period


def _statistic(name: str, values: list[float]) -> float:
    statistics = {
        "SampleCount": float(len(values)), "Sum": sum(values), "Average": sum(values) / len(values),
        "Minimum": min(values), "Maximum": max(values),
    }  # fmt: skip
    return statistics[name]


def _message(alarm: Alarm, before: str, moment: float, account: str, region: str) -> dict[str, Any]:
    return {
        "AlarmName": alarm.name, "AlarmDescription": alarm.description, "AWSAccountId": account,
        "NewStateValue": alarm.state_value, "OldStateValue": before, "NewStateReason": alarm.state_reason,
        "StateChangeTime": iso(moment), "Region": region, "AlarmArn": alarm.alarm_arn,
        "Trigger": {"MetricName": alarm.metric_name, "Namespace": alarm.namespace, "Threshold": alarm.threshold},
    }  # fmt: skip
