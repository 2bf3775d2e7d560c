"""What must fail the run that saw it: unsupported resources, internal errors, unhandled exceptions."""

import logging
import threading
from dataclasses import asdict, dataclass
from typing import Any

UNSUPPORTED = "No Moto CloudFormation support"
log = logging.getLogger("localcloud.problems")


@dataclass(frozen=True)
class Problem:
    """One thing that went wrong: where (``moto``, ``function NAME`` ...) and what, as text."""

    where: str
    what: str


class Problems:
    """The list of problems seen so far. Thread-safe."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._seen: list[Problem] = []

    def add(self, where: str, what: str) -> None:
        """Note a problem, and say it in the log."""
        log.error("%s: %s", where, what)
        with self._lock:
            self._seen.append(Problem(where, what))

    def as_json(self) -> list[dict[str, Any]]:
        """Return all problems, oldest first."""
        with self._lock:
            return [asdict(problem) for problem in self._seen]

    def clear(self) -> None:
        """Forget all problems: the caller has looked at them."""
        with self._lock:
            self._seen.clear()


class UnsupportedWatch(logging.Handler):
    """Turns moto's warning about a resource type it ignores into a problem."""

    def __init__(self, problems: Problems) -> None:
        """Watch moto's logger on behalf of ``problems``."""
        super().__init__(level=logging.WARNING)
        self._problems = problems
        logging.getLogger("moto").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line of moto's log."""
        message = record.getMessage()
        if UNSUPPORTED in message:
            self._problems.add("moto", message)
