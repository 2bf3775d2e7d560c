"""The settings of the stack, as its user data wrote them: KEY=value, one a line (docs/agent.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from efs_backup.pure.errors import UsageError

BACKUP, RESTORE = "backup", "restore"


@dataclass(frozen=True, slots=True)
class Settings:
    """What backups and restores have in common. ``group`` and ``log_bucket`` are names, ``topic`` is an ARN."""

    mode: str
    stack: str
    version: str
    region: str
    url_suffix: str
    group: str
    topic: str
    log_bucket: str
    source_efs: str
    backup_efs: str
    prefix: str
    label: str
    interval: str
    uuid: str
    send_anonymous_data: bool
    metrics_url: str


@dataclass(frozen=True, slots=True)
class BackupSettings(Settings):
    """The settings of a backup; ``window`` and ``drain`` are minutes."""

    hook: str
    table: str
    retain: int
    window: int
    drain: int
    notify_success: bool
    prices: str
    spot: bool


@dataclass(frozen=True, slots=True)
class RestoreSettings(Settings):
    """The settings of a restore. A snapshot's id, if there is one, overrides the number; ``to`` may be empty.

    ``exact`` also removes what the snapshot does not have; ``preview`` changes nothing.
    """

    number: int
    snapshot_id: str
    subdirectory: str
    to: str
    exact: bool
    preview: bool
    wait_for_confirmation: bool


def parse(text: str) -> BackupSettings | RestoreSettings:
    """Given the text of the settings, return them; raise UsageError that names the key that is missing or wrong."""
    lines = (line.partition("=") for line in text.splitlines() if line)
    read = _Reader({key: value for key, _, value in lines})
    return _backup(read) if read.one_of("MODE", BACKUP, RESTORE) == BACKUP else _restore(read)


def _common(read: _Reader) -> dict[str, str | bool]:
    return {
        "mode": read.text("MODE"),
        "stack": read.text("STACK_NAME"),
        "version": read.text("VERSION"),
        "region": read.text("REGION"),
        "url_suffix": read.text("URL_SUFFIX"),
        "group": read.text("GROUP_NAME"),
        "topic": read.text("TOPIC_ARN"),
        "log_bucket": read.text("LOG_BUCKET"),
        "source_efs": read.text("SOURCE_EFS"),
        "backup_efs": read.text("BACKUP_EFS"),
        "prefix": read.text("PREFIX"),
        "label": read.text("FOLDER_LABEL"),
        "interval": read.text("INTERVAL"),
        "uuid": read.text("UUID"),
        "send_anonymous_data": read.yes("SEND_ANONYMOUS_DATA"),
        "metrics_url": read.text("METRICS_URL"),
    }


def _backup(read: _Reader) -> BackupSettings:
    return BackupSettings(
        **_common(read),  # type: ignore[arg-type]  # every key has the type of its field
        hook=read.text("LIFECYCLE_HOOK"),
        table=read.text("TABLE_NAME"),
        retain=read.number("RETAIN"),
        window=read.number("BACKUP_WINDOW"),
        drain=read.number("DRAIN_MINUTES"),
        notify_success=read.yes("SUCCESS_NOTIFICATION"),
        prices=read.optional("PRICES"),
        spot=read.one_of("PURCHASE_OPTION", "On-Demand", "Spot") == "Spot",
    )


def _restore(read: _Reader) -> RestoreSettings:
    return RestoreSettings(
        **_common(read),  # type: ignore[arg-type]  # as above
        number=read.number("BACKUP_NUMBER"),
        snapshot_id=read.optional("SNAPSHOT_ID"),
        subdirectory=read.text("RESTORE_SUBDIR"),
        to=read.optional("RESTORE_TO"),
        exact=read.one_of("RESTORE_MODE", "keep", "exact") == "exact",
        preview=read.yes("PREVIEW"),
        wait_for_confirmation=read.yes("WAIT_FOR_CONFIRMATION"),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads typed values and names the key that is missing or wrong."""

    values: Mapping[str, str]

    def optional(self, key: str) -> str:
        """The value of a key that must be there; it may be empty."""
        if key not in self.values:
            raise UsageError(f"the setting {key} is missing: the stack's template writes it")
        return self.values[key]

    def text(self, key: str) -> str:
        """The value of a key that must be there and not be empty."""
        value = self.optional(key)
        if not value:
            raise UsageError(f"the setting {key} is empty: the stack's template fills it in")
        return value

    def number(self, key: str) -> int:
        """A whole number."""
        value = self.text(key)
        if not value.isascii() or not value.isdigit():
            raise UsageError(f"the setting {key} is {value!r}: it must be a whole number")
        return int(value)

    def one_of(self, key: str, *words: str) -> str:
        """One of the words that a key may say."""
        value = self.text(key)
        if value not in words:
            raise UsageError(f"the setting {key} is {value!r}: it must be {' or '.join(words)}")
        return value

    def yes(self, key: str) -> bool:
        """Whether a key says Yes; the only other word is No."""
        return self.one_of(key, "Yes", "No") == "Yes"
