"""The agent's words: lines on standard output, which the instance keeps in its log."""

from __future__ import annotations

import sys
import time

from efs_backup.agent.pure.times import timestamp
from efs_backup.pure.errors import one_line


def say(text: str) -> None:
    """Write one line with the time of now."""
    print(f"{timestamp(time.time())}Z {one_line(text)}", file=sys.stdout, flush=True)  # noqa: T201  it is the log
