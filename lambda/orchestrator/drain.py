"""The command that an instance is sent when it is to go. Pure."""

from __future__ import annotations

import shlex

from orchestrator.events import InstanceTerminating

SCRIPT = "/opt/efs-backup/ssm.sh"


def drain_command(request: InstanceTerminating, region: str) -> str:
    """Return the shell command that drains the instance, finishes the backup and completes the lifecycle hook.

    Where the agent never came to be there is no script to do it, and the hook is completed at once.
    """
    drain = shlex.join([SCRIPT, request.hook, request.group, request.instance_id, request.token])
    complete = shlex.join(
        [
            *("aws", "autoscaling", "complete-lifecycle-action", "--lifecycle-action-result", "CONTINUE"),
            *("--lifecycle-hook-name", request.hook, "--auto-scaling-group-name", request.group),
            *("--instance-id", request.instance_id, "--lifecycle-action-token", request.token, "--region", region),
        ]
    )
    return f"if [ -x {SCRIPT} ]; then {drain}; else {complete}; fi"
