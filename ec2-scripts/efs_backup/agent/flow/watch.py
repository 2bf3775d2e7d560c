"""Watches what ends the work: the window, the group, Spot, a signal."""

from __future__ import annotations

import signal
import time
from types import FrameType

from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.pure.stopping import Signs, Stop, decide_stop

_LOOK_SECONDS = 3.0


class Watch:
    """Looks at the metadata every few seconds, and at the clock and the signals at each call."""

    def __init__(self, instance: Instance, drain_minutes: float) -> None:
        """Take over SIGTERM and SIGINT: they ask for the work to stop."""
        self._instance, self._drain = instance, drain_minutes
        self.deadline: float | None = None
        """When the work must end, once that is known."""
        self._told = False
        self._looked = 0.0
        self._signs = Signs()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)

    def stop(self) -> Stop | None:
        """Return why and until when the work is to stop, None as long as it goes on."""
        if not self._looked or time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            state = self._instance.sign("autoscaling/target-lifecycle-state")
            self._signs = Signs(state, self._instance.sign("spot/instance-action"))
        signs = Signs(self._signs.lifecycle_state, self._signs.spot_action, self._told)
        return decide_stop(time.time(), self.deadline, self._drain, signs)

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self._told = True
