"""EventBridge: schedule rules fired by the clock, pattern rules matched against events, delivery to targets.

moto stores the rules and matches patterns; it fires nothing and delivers to no function.
"""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.events.exceptions import ValidationException
from moto.events.models import EventsBackend, Rule, events_backends

from localcloud.clock import Clock, iso
from localcloud.patching import replace
from localcloud.problems import Problems
from orchestrator import expressions

PLACEHOLDER = re.compile(r"<([^<>\s]+)>")


@dataclass
class Watched:
    """A schedule rule as last seen: its expression, since when, and up to when its firings are done."""

    expression: str
    created: datetime
    done: datetime


class Events:
    """The default event bus of one account and region."""

    def __init__(
        self, account: str, region: str, clock: Clock, problems: Problems,
        invoke: Callable[[LambdaFunction, bytes], None],
    ) -> None:  # fmt: skip
        """Fire by ``clock``, and call functions by ``invoke``."""
        self._account, self._region, self._clock = account, region, clock
        self._problems, self._invoke = problems, invoke
        self._watched: dict[str, Watched] = {}

    def install(self, deliver: Callable[[str, str], None]) -> None:
        """Have moto hand events over; ``deliver`` brings text to a queue or topic ARN."""
        self._deliver = deliver
        events = self

        def send_to_targets(_: Any) -> Any:
            def patched(self: Rule, original_event: Any, transform_input: bool = True) -> None:
                del transform_input
                events._offer(self, {**original_event, "time": iso(float(original_event["time"]))})

            return patched

        replace(Rule, "send_to_targets", send_to_targets)
        replace(EventsBackend, "put_rule", _checked_put_rule)

    def emit(self, source: str, kind: str, detail: dict[str, Any], resources: list[str]) -> None:
        """Put an event of AWS itself on the bus."""
        event = self._event(source, kind, detail, resources, self._clock.now())
        for rule in self._rules():
            self._offer(rule, event)

    def next_due(self, now: float) -> float | None:
        """Return when the next schedule rule fires."""
        moments = [moment.timestamp() for rule in self._rules() if (moment := self._next(rule, now))]
        return min(moments, default=None)

    def fire(self, now: float) -> None:
        """Fire the schedule rules that are due. What a disabled one would have fired is not made up for."""
        rules = self._rules()
        self._watched = {rule.name: self._watched[rule.name] for rule in rules if rule.name in self._watched}
        for rule in rules:
            while (moment := self._next(rule, now)) is not None and moment.timestamp() <= now:
                self._watched[rule.name].done = moment
                event = self._event("aws.events", "Scheduled Event", {}, [rule.arn], moment.timestamp())
                self._send(rule, event)

    def repeat(self, rule_name: str, event_id: str, moment: float) -> None:
        """Deliver a scheduled event as EventBridge may: once more, with the id and time of the first."""
        rule = next(rule for rule in self._rules() if rule.name == rule_name)
        self._send(rule, {**self._event("aws.events", "Scheduled Event", {}, [rule.arn], moment), "id": event_id})

    def _rules(self) -> list[Rule]:
        bus = events_backends[self._account][self._region].event_buses["default"]
        return [rule for rule in list(bus.rules.values()) if rule.state == "ENABLED"]

    def _next(self, rule: Rule, now: float) -> datetime | None:
        if not rule.scheduled_expression:
            return None
        current = datetime.fromtimestamp(now, UTC)
        watched = self._watched.get(rule.name)
        if watched is None or watched.expression != rule.scheduled_expression:
            watched = Watched(rule.scheduled_expression, current, current)
            self._watched[rule.name] = watched
        return expressions.parse(watched.expression).next_after(watched.done, watched.created)

    def _event(
        self, source: str, kind: str, detail: dict[str, Any], resources: list[str], moment: float
    ) -> dict[str, Any]:
        return {
            "version": "0", "id": str(uuid.uuid4()), "detail-type": kind, "source": source, "account": self._account,
            "time": iso(moment), "region": self._region, "resources": resources, "detail": detail,
        }  # fmt: skip

    def _offer(self, rule: Rule, event: dict[str, Any]) -> None:
        """Send an event to a rule's targets if the rule has a pattern and the event matches it."""
        if rule.state == "ENABLED" and rule.event_pattern.get_pattern() and rule.event_pattern.matches_event(event):  # type: ignore[arg-type]
            self._send(rule, event)

    def _send(self, rule: Rule, event: dict[str, Any]) -> None:
        for target in list(rule.targets):
            body, arn = target_input(target, event, rule.arn, rule.name), str(target["Arn"])
            service = arn.split(":")[2]
            if service == "lambda":
                self._send_to_function(rule, arn, body)
            elif service in ("sqs", "sns"):
                self._deliver(arn, body)
            else:
                self._problems.add("events", f"rule {rule.name}: no delivery to {arn} in the local cloud")

    def _send_to_function(self, rule: Rule, arn: str, body: str) -> None:
        function = lambda_backends[self._account][self._region].get_function(arn)
        if not may_invoke(function, rule.arn):
            self._problems.add("events", f"rule {rule.name} has no permission to invoke {function.function_name}")
            return
        self._invoke(function, body.encode())


def may_invoke(function: LambdaFunction, rule_arn: str) -> bool:
    """Say whether the function's resource policy lets a rule invoke it."""
    return any(_allows(statement, rule_arn) for statement in function.policy.statements)


def _allows(statement: dict[str, Any], rule_arn: str) -> bool:
    principal = statement.get("Principal", {})
    service = principal.get("Service") if isinstance(principal, dict) else principal
    condition = statement.get("Condition", {})
    source = condition.get("ArnLike", condition.get("StringEquals", {})).get("AWS:SourceArn", "*")
    return statement.get("Effect") == "Allow" and service == "events.amazonaws.com" and fnmatchcase(rule_arn, source)


def target_input(target: dict[str, Any], event: dict[str, Any], rule_arn: str, rule_name: str) -> str:
    """Return what a target gets: the event, a constant, a part of it, or a transformed template."""
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        return json.dumps(at_path(event, target["InputPath"]))
    if "InputTransformer" in target:
        transformer = target["InputTransformer"]
        values = {name: at_path(event, path) for name, path in transformer.get("InputPathsMap", {}).items()}
        reserved = {
            "aws.events.rule-arn": rule_arn, "aws.events.rule-name": rule_name, "aws.events.event": event,
            "aws.events.event.json": event, "aws.events.event.ingestion-time": event["time"],
        }  # fmt: skip
        return fill_template(transformer["InputTemplate"], {**reserved, **values})
    return json.dumps(event)


def at_path(event: Any, path: str) -> Any:
    """Return what a JSON path of the kind EventBridge takes (``$.detail.state``, ``$.resources[0]``) leads to."""
    value = event
    for name, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", path):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def fill_template(template: str, values: dict[str, Any]) -> str:
    """Fill ``<name>`` in an input template: as JSON, or as bare text between quotation marks."""
    filled, quoted, position = "", False, 0
    for match in PLACEHOLDER.finditer(template):
        literal = template[position : match.start()]
        quoted ^= len(re.findall(r'(?<!\\)"', literal)) % 2 == 1
        value = values.get(match[1])
        text = value if isinstance(value, str) else json.dumps(value)
        filled += literal + (_between_quotes(text, value) if quoted else json.dumps(value))
        position = match.end()
    return filled + template[position:]


def _between_quotes(text: str, value: Any) -> str:
    return "" if value is None else json.dumps(text)[1:-1]


def _checked_put_rule(original: Any) -> Any:
    """Refuse schedule expressions that EventBridge refuses; moto takes any."""

    def patched(self: EventsBackend, name: str, **keywords: Any) -> Any:
        expression = keywords.get("scheduled_expression")
        if expression:
            try:
                expressions.parse(expression)
            except expressions.ScheduleError as error:
                raise ValidationException(f"Parameter ScheduleExpression is not valid. ({error})") from error
        if len(name) > 64:
            raise ValidationException(f"Rule name {name} has {len(name)} characters, 64 are allowed.")
        return original(self, name, **keywords)

    return patched
