"""What the orchestrator tells every hour: how overdue a backup is, and who gets no mail."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from orchestrator.aws import Aws, Metric
from orchestrator.config import Settings
from orchestrator.overdue import hours_overdue
from subscriptions import unconfirmed

log = logging.getLogger(__name__)


def publish_health(settings: Settings, aws: Aws, since: datetime, now: datetime) -> None:
    """Publish the metrics that the alarm and the dashboard need.

    ``since`` is when the last complete snapshot was finished, or when the stack was made.
    """
    overdue = hours_overdue(settings.schedule, timedelta(minutes=settings.window), since, now)
    metrics = [Metric("HoursOverdue", overdue, "None")]
    if (subscriptions := aws.subscriptions()) is not None:
        silent = unconfirmed(settings.email, subscriptions)
        if silent:
            log.warning("no mail goes to %s: the subscription was not confirmed", ", ".join(silent))
        metrics.append(Metric("UnconfirmedAddresses", len(silent), "Count"))
    aws.publish_metrics(metrics, now)
