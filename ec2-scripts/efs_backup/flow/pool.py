"""Runs tasks in a few processes of many threads each, through a concurrent.futures executor.

A unit is what one process is handed at a time: some tasks, and how long it may go on with what they lead to before it
gives the rest back to be shared. Units can be pickled, and done twice.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_any
from types import TracebackType
from typing import Any, NamedTuple

from efs_backup.effects.stop import StopFlag
from efs_backup.effects.syscalls import die_with_parent
from efs_backup.flow.task import Outcome, Task
from efs_backup.pure.errors import BackupError, explain

_UNIT_SECONDS = 0.06
_UNIT_SECONDS_THREADED = 1.0
_TICK_SECONDS = 0.5


class Unit(NamedTuple):
    """What a worker process is handed: tasks, for how many seconds it may go on, and from how many waiting tasks on it
    gives them back although there is time left (others are idle)."""

    tasks: tuple[Task, ...]
    seconds: float
    enough: int


class UnitResult(NamedTuple):
    """What came of a unit, the tasks that are left, and the error that ended it, if one did."""

    outcome: Outcome
    left: tuple[Task, ...]
    error: BackupError | None


Skills = Mapping[type, Callable[[Any, Any, Outcome], None]]
"""What does which task. It is given the workbench, the task, and the outcome to add to."""

_process: tuple[Any, Skills, int] | None = None
"""The workbench, the skills and the number of threads of a worker process: set before it is forked, so that whatever
cannot be opened is an error of the run, and nothing is looked for by a path that a rotation may have changed."""


def _start_worker(parent: int) -> None:
    die_with_parent(parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    # What the parent made will never be garbage here; and a worker makes no cycles worth looking for.
    gc.freeze()
    gc.disable()


def _run_unit(unit: Unit) -> UnitResult:
    assert _process is not None
    bench, skills, threads = _process
    return _Shift(bench, skills, unit).work(threads)


class _Shift:
    """One unit being worked on by the threads of a process."""

    def __init__(self, bench: Any, skills: Skills, unit: Unit) -> None:
        self._bench, self._skills, self._unit = bench, skills, unit
        self._waiting: list[Task] = list(unit.tasks)
        self._busy = 0
        self._until = time.monotonic() + unit.seconds
        self._outcome = Outcome()
        self._error: BackupError | None = None
        self._changed = threading.Condition()
        self._helpers: list[threading.Thread] = []
        self._most_helpers = 0
        self._idle = 0

    def work(self, threads: int) -> UnitResult:
        """Do the unit's tasks and what they lead to; return when all is done, time is up or an error ends it."""
        self._most_helpers = threads - 1
        with self._changed:
            self._call_help(len(self._waiting) - 1)
        self._loop()
        for helper in self._helpers:
            helper.join()
        return UnitResult(self._outcome, tuple(self._waiting), self._error)

    def _call_help(self, tasks: int) -> None:
        """Have as many threads take tasks: those that wait, then new ones. No more are woken; each wants the lock."""
        woken = max(0, min(tasks, self._idle))
        self._idle -= woken
        self._changed.notify(woken)
        for _ in range(min(tasks - woken, self._most_helpers - len(self._helpers))):
            helper = threading.Thread(target=self._loop)
            self._helpers.append(helper)
            helper.start()

    def _loop(self) -> None:
        while (task := self._take()) is not None:
            outcome = Outcome()
            error: BackupError | None = None
            try:
                self._skills[type(task)](self._bench, task, outcome)
            except BackupError as raised:
                error = raised
            except OSError as raised:
                error = explain(raised, getattr(task, "path", "") or "the root of the tree")
            self._give(outcome, error)

    def _take(self) -> Task | None:
        with self._changed:
            while True:
                if self._is_over():
                    # Time may have run out since the last thread gave: who waits must not wait on.
                    self._idle = 0
                    self._changed.notify_all()
                    return None
                if self._waiting:
                    self._busy += 1
                    return self._waiting.pop()
                self._idle += 1
                self._changed.wait()

    _started = False

    def _is_over(self) -> bool:
        late = time.monotonic() >= self._until or len(self._waiting) >= self._unit.enough
        return bool(self._error) or (late and self._started) or (not self._waiting and not self._busy)

    def _give(self, outcome: Outcome, error: BackupError | None) -> None:
        with self._changed:
            self._started = True
            self._busy -= 1
            self._waiting.extend(outcome.tasks)
            new, outcome.tasks = len(outcome.tasks), []
            self._outcome.add(outcome)
            self._error = self._error or error
            if not self._is_over():
                self._call_help(new - 1)  # one of the new tasks is taken by this thread


class Pool:
    """The worker processes of a run. A context manager; leaving it ends them."""

    def __init__(self, bench: Any, skills: Skills, flag: StopFlag, processes: int, threads: int) -> None:
        """Fork the workers (before this process has threads of its own); `bench` is what all of them work with."""
        global _process
        self._flag, self._processes, self._threads = flag, processes, threads
        _process = (bench, skills, threads)
        context = multiprocessing.get_context("fork")
        self._executor = ProcessPoolExecutor(processes, context, initializer=_start_worker, initargs=(os.getpid(),))
        others = multiprocessing.active_children()
        # With "fork" the first submission starts all workers; later there will be threads here that must not be forked.
        first = self._submit(_nothing)
        self._workers = [child for child in multiprocessing.active_children() if child not in others]
        try:
            first.result()
        except BrokenProcessPool as error:
            self._end()
            raise _worker_died() from error

    def __enter__(self) -> Pool:
        """Return the pool."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers, after what they are doing now."""
        self._end()

    def _end(self) -> None:
        watch = threading.Thread(target=self._kill_all_if_one_was)
        watch.start()
        self._executor.shutdown(wait=True, cancel_futures=True)
        watch.join()

    def _kill_all_if_one_was(self) -> None:
        """While the workers end: who was killed may have held a lock that the others wait for, for ever.

        (The executor sends them SIGTERM then, which they ignore, and waits for them without a limit.)
        """
        alive = self._workers
        # One that was killed before the workers were listed is not among them.
        missing = len(alive) < self._processes
        while alive:
            if not missing:
                wait_for_any([worker.sentinel for worker in alive])
            alive = [worker for worker in alive if worker.is_alive()]
            if missing or any(worker.exitcode for worker in self._workers):
                for worker in alive:
                    worker.kill()
            missing = False

    def _submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        try:
            return self._executor.submit(call, *arguments)
        except BrokenProcessPool as error:
            raise _worker_died() from error

    def run(self, tasks: Iterable[Task], take: Callable[[Outcome], None], tick: Callable[[], None]) -> None:
        """Do tasks and all they lead to. `take` is handed each outcome, `tick` is called about twice a second.

        Tasks may be any iterable, and are read only as fast as they are worked on. Raises the first error of a worker,
        after all have stopped and what they had done has been taken.
        """
        source = iter(tasks)
        waiting: list[Task] = []
        flying: set[Future[UnitResult]] = set()
        failure: BaseException | None = None
        while True:
            while failure is None and len(flying) < self._processes * 2:
                unit = self._next_unit(source, waiting, len(flying))
                if unit is None:
                    break
                try:
                    flying.add(self._submit(_run_unit, unit))
                except BackupError as raised:
                    failure = raised
            if not flying:
                break
            landed, flying = wait(flying, _TICK_SECONDS, FIRST_COMPLETED)
            try:
                for future in landed:
                    ended = self._land(future, waiting, take)
                    failure = failure or ended
                tick()
            except BaseException as raised:  # noqa: BLE001  raised again below, once no worker writes any more
                failure = failure or raised
            if failure is not None:
                self._flag.raise_drain()
        if failure is not None:
            raise failure

    def _next_unit(self, source: Iterable[Task], waiting: list[Task], flying: int) -> Unit | None:
        """Return what the next free worker gets; fewer tasks, and earlier given back, while there are few."""
        for task in source:
            waiting.append(task)
            if len(waiting) >= self._processes * self._threads * 8:
                break
        if not waiting:
            return None
        share = max(1, min(len(waiting) // (2 * self._processes), 512))
        tasks = tuple(waiting[-share:])
        del waiting[-share:]
        scarce = len(waiting) < self._processes * 2 and self._processes > 1
        enough = max(len(tasks) + 1, self._processes * 4 if scarce else 1 << 30)
        return Unit(tasks, _UNIT_SECONDS if self._threads == 1 else _UNIT_SECONDS_THREADED, enough)

    def _land(
        self, future: Future[UnitResult], waiting: list[Task], take: Callable[[Outcome], None]
    ) -> BaseException | None:
        try:
            result = future.result()
        except BrokenProcessPool:
            return _worker_died()
        waiting.extend(result.left)
        take(result.outcome)
        return result.error


def _worker_died() -> BackupError:
    return BackupError("a worker process died (was it killed for want of memory?): run again, it carries on from here")


def _nothing() -> None:
    """Do nothing, in a worker that has started."""
