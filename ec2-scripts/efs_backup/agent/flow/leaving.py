"""How the instance goes when its work is done: it waits for the group, and completes the hook itself."""

from __future__ import annotations

import signal
import time

from efs_backup.agent.effects.aws import AwsError
from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.says import say
from efs_backup.pure.errors import BackupError

_LOOK_SECONDS = 2.0
_AGAIN_SECONDS = 60.0
_SSM_SECONDS = 60.0
"""How long ssm.sh, which the orchestrator sends through Systems Manager, gets to complete the hook from outside."""


def empty_group(instance: Instance, group: str) -> bool:
    """Set the group's capacity to 0; say whether that could be done."""
    try:
        instance.aws.empty_group(group)
    except AwsError as error:
        say(str(error))
        return False
    say(f"the capacity of {group} is 0")
    return True


def complete_hook(instance: Instance, group: str, hook: str, token: str | None = None) -> bool:
    """Let the instance go; say whether the hook was there to be completed."""
    try:
        instance.aws.complete_hook(group, hook, instance.id, token)
    except BackupError as error:
        say(f"the hook was not completed, perhaps because it had been: {error}")
        return False
    say(f"the hook {hook} is completed: the instance goes")
    return True


def leave(instance: Instance, group: str, hook: str | None, is_ours: bool) -> None:
    """Wait until the group takes the instance out of service, then complete the hook.

    ``is_ours``: the capacity is this instance's to set; it is set again as long as nothing happens.
    """
    # There is no work left to stop: a signal may end this process.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    again = time.monotonic() + _AGAIN_SECONDS
    while instance.sign("autoscaling/target-lifecycle-state") != "Terminated":
        time.sleep(_LOOK_SECONDS)
        if is_ours and time.monotonic() >= again:
            again = time.monotonic() + _AGAIN_SECONDS
            empty_group(instance, group)
    if hook is not None:
        time.sleep(_SSM_SECONDS)
        complete_hook(instance, group, hook)
