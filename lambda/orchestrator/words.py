"""What is said about a backup's end: what happened, and what to do about it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.state import SKIPPED, SUCCESS, UNKNOWN, UNSUCCESSFUL

INCOMPLETE = "Incomplete"
FPSYNC_FAILED = "fpsync failed"
DELETE_INCOMPLETE = "Rsync Delete Incomplete"

MESSAGES = {
    SUCCESS: "The EFS backup was successful.",
    INCOMPLETE: (
        "The EFS backup was incomplete. Either backup window expired before full backup or fpsync process was not"
        " completed."
    ),
    UNSUCCESSFUL: (
        "The EFS backup was unsuccessful. The mount address of a file system was not found, or it could not be mounted."
    ),
    FPSYNC_FAILED: "The EFS backup failed: fpsync did not start, or ended with an error.",
    DELETE_INCOMPLETE: (
        "The EFS backup was incomplete. Files that are gone from the source could not all be removed from it."
    ),
    UNKNOWN: "The result of the EFS backup is unknown. Its instance is gone and never recorded a status.",
    SKIPPED: "The EFS backup was skipped. Another one of this stack was still running.",
}
"""The messages of the statuses, as the record has them. The agent has the same; a test compares them."""


@dataclass(frozen=True)
class Case:
    """What to do if a backup ended with one of these statuses and a reason in which this is found."""

    statuses: tuple[str, ...]
    reason: str
    advice: str


CARRIES_ON = "The next backup carries on where this one stopped."

CASES = (
    Case((SUCCESS,), "", "Nothing."),
    Case(
        (UNSUCCESSFUL,),
        "could not be launched",
        "Amazon EC2 gave this reason. Start a backup later, or update the stack with another Instance Type, the"
        " Purchase Option On-Demand, or other Subnets.",
    ),
    Case(
        (UNSUCCESSFUL,),
        "^The (instance could not fetch|instance could not unpack|agent )",
        "See that the instance reaches Amazon S3: a subnet without internet needs an endpoint for it. Update the stack"
        " with the template of a release whose files are still in its bucket.",
    ),
    Case((UNSUCCESSFUL,), "^The directory .* does not exist", "Update the stack with a Backup Prefix that exists."),
    Case(
        (UNSUCCESSFUL,),
        "mount|^$",
        "See that the mount targets of both file systems are in the zones of the stack's Subnets, and that those of the"
        " source let in the stack's security group by NFS (TCP 2049).",
    ),
    Case(
        (INCOMPLETE,),
        "could not be read",
        "See why root may not read these entries, or why they fail: an access point, a file system policy without"
        " ClientRootAccess, a damaged entry. Until then every snapshot keeps what the one before it had of them.",
    ),
    Case(
        (INCOMPLETE,),
        "killed by signal",
        "The instance may have run out of memory: the log says so. If this repeats, choose a larger Instance Type. "
        + CARRIES_ON,
    ),
    Case((INCOMPLETE,), "agent on the instance failed", f"The log has the error. {CARRIES_ON}"),
    Case(
        (INCOMPLETE, UNSUCCESSFUL),
        "[Nn]o space left",
        f"Make room on the file system that the reason names. {CARRIES_ON}",
    ),
    Case(
        (INCOMPLETE,),
        "^$",
        f"{CARRIES_ON} If this repeats, choose a longer Backup Window, the Purchase Option On-Demand if it is Spot, or"
        " several stacks with a Backup Prefix each.",
    ),
    Case((INCOMPLETE, UNSUCCESSFUL), "", "Mend what the reason says; the log has more. The next backup tries again."),
    Case(
        (FPSYNC_FAILED,),
        "",
        f"The log of the copy has the error. {CARRIES_ON} For a file system with millions of files, several stacks with"
        " a Backup Prefix each take less time.",
    ),
    Case((DELETE_INCOMPLETE,), "", "The log names the files. The next backup tries again to remove them."),
    Case(
        (UNKNOWN,),
        "",
        "Look at the instance's log, and in the activities of the Auto Scaling group for why it went. " + CARRIES_ON,
    ),
    Case((SKIPPED,), "", "If this repeats, choose a shorter Backup Window or a less frequent Backup Schedule."),
)
"""The first that fits holds."""


def what_happened(status: str, reason: str) -> str:
    """Return, in two sentences, how a backup ended: with its own reason, if there is one, in place of the general."""
    message = MESSAGES.get(status, f"The EFS backup ended with the status {status}.")
    if not reason:
        return message
    headline = re.split("[.:] ", message)[0].rstrip(".")
    return f"{headline}. {reason}"


def what_to_do(status: str, reason: str) -> str:
    """Return what a person should do after a backup with this status and reason."""
    for case in CASES:
        if status in case.statuses and re.search(case.reason, reason):
            return case.advice
    return "Look at the instance's log."
