"""The entry point of the widget."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from environment import ConfigurationError
from widget.config import Settings
from widget.history import HistoryError, parse_backups, parse_lease, parse_snapshots
from widget.page import apology, page
from widget.sources import Sources, UnavailableError
from widget.summary import Known

log = logging.getLogger(__name__)

T = TypeVar("T")

DESCRIPTION = """\
## EFS backup

Shows whether backups are fine, the one that runs, the snapshots with a link that restores each, and the last weeks.
Buttons start a backup and stop it: whoever presses them needs `lambda:InvokeFunction` on the orchestrator.

The widget takes no parameters.
"""


def lambda_handler(event: Mapping[str, Any], context: Any) -> str:
    """Return the widget's HTML, or what it is if the console asks to ``describe`` it. It never raises."""
    del context
    if event.get("describe"):
        return DESCRIPTION
    theme = _theme(event)
    try:
        settings = Settings.from_environment(os.environ)
    except ConfigurationError as error:
        return str(apology(f"The widget cannot work: {error}.", theme))
    return str(page(settings, known(Sources(settings), datetime.now(UTC)), theme))


def known(sources: Sources, now: datetime) -> Known:
    """Return all that can be read, and a sentence for each thing that cannot."""
    problems: list[str] = []
    snapshots = _read(lambda: parse_snapshots(sources.snapshots()), problems)
    items = _read(sources.items, problems) or []
    subscriptions = _read(sources.subscriptions, problems)
    return Known(
        now=now,
        snapshots=snapshots or (),
        backups=parse_backups(items),
        lease=parse_lease(items),
        subscriptions=None if subscriptions is None else tuple(subscriptions),
        problems=tuple(problems),
    )


def _read(read: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return read()
    except (UnavailableError, HistoryError) as error:
        log.warning("%s", error)
        problems.append(str(error))
        return None


def _theme(event: Mapping[str, Any]) -> str:
    context = event.get("widgetContext")
    return str(context.get("theme", "light")) if isinstance(context, Mapping) else "light"
