"""The agent's command line: ``run ENVFILE``, ``finish ENVFILE``, ``drain ENVFILE HOOK GROUP INSTANCE TOKEN``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.says import say
from efs_backup.agent.flow.backup import InstanceBackup
from efs_backup.agent.flow.drain import drain
from efs_backup.agent.flow.finish import finish
from efs_backup.agent.flow.leaving import leave
from efs_backup.agent.flow.restore import InstanceRestore
from efs_backup.agent.pure.settings import BackupSettings, RestoreSettings, parse
from efs_backup.pure.errors import CALLERS_MISTAKE, DONE, NOT_DONE, BackupError, UsageError, one_line


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="efs_backup.agent", description="What runs on the instance (docs/agent.md).")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    run = verbs.add_parser("run", help="do what the settings say, a backup or a restore, to its very end")
    finish_ = verbs.add_parser("finish", help="end the run of an agent that died")
    drain_ = verbs.add_parser("drain", help="stop the run, wait for its end, complete the hook")
    for verb in (run, finish_, drain_):
        verb.add_argument("settings", metavar="ENVFILE", help="the settings, as the user data wrote them")
    for word in ("hook", "group", "instance", "token"):
        drain_.add_argument(word, metavar=word.upper())
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status. Errors are one line."""
    words = parser().parse_args(arguments)
    try:
        with open(words.settings, encoding="utf-8") as file:
            settings = parse(file.read())
        instance = Instance.this(settings.region)
        return _do(words, settings, instance)
    except (BackupError, OSError) as error:
        print(f"efs-backup: {one_line(str(error))}", file=sys.stderr)  # noqa: T201
        return CALLERS_MISTAKE if isinstance(error, UsageError) else NOT_DONE


def _do(words: argparse.Namespace, settings: BackupSettings | RestoreSettings, instance: Instance) -> int:
    if words.verb == "finish":
        finish(settings, instance)
    elif words.verb == "drain":
        drain(settings, instance, words.hook, words.group, words.instance, words.token)
    else:
        _run(settings, instance)
    return DONE


def _run(settings: BackupSettings | RestoreSettings, instance: Instance) -> None:
    with instance.notes.held() as free:
        if not free:
            say("another agent is at work on this instance")
            return
        say(f"efs-backup {settings.version} on {instance.id}: {settings.mode} of stack {settings.stack}")
        if isinstance(settings, BackupSettings):
            is_ours = InstanceBackup(settings, instance).run()
            leave(instance, settings.group, settings.hook, is_ours)
        else:
            InstanceRestore(settings, instance).run()
            leave(instance, settings.group, None, is_ours=True)
