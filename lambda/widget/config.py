"""What the template tells the widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from environment import Reader
from links import RestoreLink


@dataclass(frozen=True)
class Settings:
    """The settings of the widget. ``orchestrator`` is the ARN of the function that the buttons call."""

    stack: str
    interval: str
    table: str
    topic: str
    email: str
    log_bucket: str
    orchestrator: str
    restore: RestoreLink

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Given the environment of the function, return its settings.

        Raises ConfigurationError, naming the variable, if one is missing.
        """
        read = Reader(environment)
        return cls(
            stack=read.text("STACK_NAME"),
            interval=read.text("INTERVAL_TAG"),
            table=read.text("TABLE_NAME"),
            topic=read.text("TOPIC_ARN"),
            email=read.text("EMAIL"),
            log_bucket=read.text("LOG_BUCKET"),
            orchestrator=read.text("ORCHESTRATOR_ARN"),
            restore=RestoreLink.from_environment(read),
        )
