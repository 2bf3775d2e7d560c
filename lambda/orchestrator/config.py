"""What the stack tells its functions: the environment, read once an invocation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from environment import Reader
from links import RestoreLink


@dataclass(frozen=True)
class Settings:
    """The settings of a backup stack, as its template passes them to the orchestrator.

    ``window`` and ``drain`` are minutes. ``topic`` and ``dead_letters`` are ARNs, ``stop_rule`` and ``group`` names.
    ``schedule`` is the expression of the rule that starts backups. ``restore`` makes the links of the mails.
    """

    stack: str
    version: str
    region: str
    group: str
    stop_rule: str
    dead_letters: str
    table: str
    topic: str
    log_bucket: str
    source_efs: str
    backup_efs: str
    prefix: str
    folder_label: str
    interval: str
    retain: int
    window: int
    drain: int
    schedule: str
    instance_type: str
    notify_success: bool
    email: str
    restore: RestoreLink
    uuid: str
    send_anonymous_data: bool
    metrics_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Given the environment of the function, return its settings.

        Raises ConfigurationError, naming the variable, if one is missing or wrong.
        """
        read = Reader(environment)
        return cls(
            stack=read.text("STACK_NAME"),
            version=read.text("SOLUTION_VERSION"),
            region=read.text("AWS_REGION"),
            group=read.text("GROUP_NAME"),
            stop_rule=read.text("STOP_RULE"),
            dead_letters=read.text("DEAD_LETTERS"),
            table=read.text("TABLE_NAME"),
            topic=read.text("TOPIC_ARN"),
            log_bucket=read.text("LOG_BUCKET"),
            source_efs=read.text("SOURCE_EFS"),
            backup_efs=read.text("BACKUP_EFS"),
            prefix=read.text("BACKUP_PREFIX"),
            folder_label=read.text("FOLDER_LABEL"),
            interval=read.text("INTERVAL_TAG"),
            retain=read.number("RETAIN"),
            window=read.number("BACKUP_WINDOW"),
            drain=read.number("DRAIN_MINUTES"),
            schedule=read.text("BACKUP_SCHEDULE"),
            instance_type=read.text("INSTANCE_TYPE"),
            notify_success=read.yes("SUCCESS_NOTIFICATION"),
            email=read.text("EMAIL"),
            restore=RestoreLink.from_environment(read),
            uuid=read.text("UUID"),
            send_anonymous_data=read.yes("SEND_ANONYMOUS_DATA"),
            metrics_url=read.text("METRICS_URL"),
        )
