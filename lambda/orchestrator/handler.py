"""The entry point of the orchestrator."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from orchestrator import clock
from orchestrator.aws import Aws
from orchestrator.config import Settings
from orchestrator.events import Event, parse
from orchestrator.flow import Flow
from orchestrator.table import Table

log = logging.getLogger(__name__)


def lambda_handler(event: Event, context: Any) -> dict[str, str]:
    """Handle one event; return what was done and why.

    Errors go up: AWS Lambda tries the event twice more, then puts it into the dead-letter queue.
    """
    for logger in ("orchestrator", "collector"):
        logging.getLogger(logger).setLevel(logging.INFO)
    log.info("event %s", json.dumps(event))
    settings = Settings.from_environment(os.environ)
    request_id = context.aws_request_id
    flow = Flow(settings, Table(settings.table), Aws(settings), context.invoked_function_arn, request_id, clock.now())
    decision = flow.handle(parse(event, request_id))
    outcome = {"action": decision.action.value, "reason": decision.reason}
    log.info("outcome %s", json.dumps(outcome))
    return outcome
