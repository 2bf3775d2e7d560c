"""The instance's restore: mount, run the engine, upload the logs, mail, let the instance go."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from typing import Any

from efs_backup.agent.effects.aws import AwsError
from efs_backup.agent.effects.collector import post
from efs_backup.agent.effects.engine import LOG_DIRECTORY
from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.mounter import MountError
from efs_backup.agent.effects.says import say
from efs_backup.agent.flow.backup import RUN
from efs_backup.agent.flow.ending import ENDED
from efs_backup.agent.flow.leaving import empty_group
from efs_backup.agent.flow.logs import log_address, upload_logs
from efs_backup.agent.flow.telling import Telling
from efs_backup.agent.flow.watch import Watch
from efs_backup.agent.flow.workplace import BACKUP, SOURCE, mounted, run_engine
from efs_backup.agent.pure.mail import restore_mail
from efs_backup.agent.pure.outcome import INCOMPLETE, UNSUCCESSFUL, in_terms_of, sentence
from efs_backup.agent.pure.restoring import (
    RestoreOutcome,
    restore_outcome,
    restore_target,
    restore_words,
    what_was_done,
)
from efs_backup.agent.pure.settings import RestoreSettings
from efs_backup.agent.pure.usage import restore_usage
from efs_backup.pure.errors import UsageError, one_line

_CONFIRMATION_SECONDS = 15 * 60.0
_LOOK_SECONDS = 5.0
_DRAIN_MINUTES = 2.0


class InstanceRestore:
    """The restore of one instance. It has no table and no hook: its mail is what is known of it."""

    def __init__(self, settings: RestoreSettings, instance: Instance) -> None:
        """Nothing is done yet."""
        self._settings, self._instance = settings, instance
        self._began = time.time()
        self._watch = Watch(instance, _DRAIN_MINUTES)

    def run(self) -> None:
        """Do it all."""
        self._instance.notes.write(RUN, {"began": self._began})
        telling = Telling(self._settings, self._instance, None, "")
        outcome = self._outcome(telling)
        telling.end(outcome.status, time.time() - self._began, outcome.report)
        end_restore(self._settings, self._instance, outcome, self._began, self._watch)

    def _outcome(self, telling: Telling) -> RestoreOutcome:
        """Do the work; whatever goes wrong becomes an outcome."""
        settings = self._settings
        try:
            words = restore_words(settings, SOURCE, BACKUP)
            with mounted(settings, self._instance, self._watch, writable=SOURCE):
                _demand_no_link(settings)
                outcome = restore_outcome(run_engine(words, self._watch, telling.progress))
        except (MountError, UsageError) as error:
            return RestoreOutcome(UNSUCCESSFUL, sentence(str(error)))
        except Exception as error:  # noqa: BLE001  whatever it is, the run must end in a mail and a log
            traceback.print_exc()
            return RestoreOutcome(INCOMPLETE, sentence(f"The agent on the instance failed: {error!r}"))
        if outcome.report is not None:
            _keep_entries(outcome.report)
        reason = in_terms_of(outcome.reason, {SOURCE: settings.source_efs, BACKUP: settings.backup_efs})
        return RestoreOutcome(outcome.status, reason, outcome.report)


def _demand_no_link(settings: RestoreSettings) -> None:
    """Raise UsageError if a symbolic link leads to where root is to write: users own the source."""
    if settings.to and os.path.realpath(target := restore_target(settings.to, SOURCE)) != target:
        raise UsageError(f"Restore To {settings.to!r} leads through a symbolic link: name a directory without any")


def _keep_entries(report: Mapping[str, Any]) -> None:
    """Write the log of every entry that was, or would be, touched."""
    with open(f"{LOG_DIRECTORY}/entries.log", "w", encoding="utf-8") as file:
        file.writelines(f"{one_line(line)}\n" for line in what_was_done(report))


def end_restore(
    settings: RestoreSettings, instance: Instance, outcome: RestoreOutcome, began: float, watch: Watch | None = None
) -> None:
    """Do all that ends a restore: logs, mail, anonymous data, capacity 0. Each step can be done twice."""
    say(f"the restore ends: {outcome.status}. {outcome.reason}".rstrip())
    upload_logs(settings, instance, began)
    if settings.wait_for_confirmation:
        _wait_for_subscriber(settings, instance, watch)
    try:
        instance.aws.publish(settings.topic, *restore_mail(settings, outcome, log_address(settings, began)))
    except AwsError as error:
        say(f"the mail could not be sent: {error}")
    if settings.send_anonymous_data:
        post(settings.metrics_url, restore_usage(settings, outcome, instance.type, began, time.time()))
    empty_group(instance, settings.group)
    instance.notes.write(ENDED, {"status": outcome.status})


def _wait_for_subscriber(settings: RestoreSettings, instance: Instance, watch: Watch | None) -> None:
    """Wait until somebody would get the mail, for a quarter of an hour at most: Amazon SNS keeps none for later."""
    end = time.time() + _CONFIRMATION_SECONDS
    while time.time() < end and (watch is None or watch.stop() is None):
        try:
            if instance.aws.has_subscriber(settings.topic):
                return
        except AwsError as error:
            say(str(error))
        time.sleep(_LOOK_SECONDS)
    say("nobody has confirmed the subscription: the mail is sent all the same")
