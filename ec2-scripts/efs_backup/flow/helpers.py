"""Threads that help where one directory has much to do: over a network each name waits for its own answers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

_SHARE = 8
"""How many names a thread is started for: fewer are done before it is under way."""

_T = TypeVar("_T")


class Helpers:
    """The further threads of a worker process, shared by all directories it has in hand."""

    def __init__(self, threads: int) -> None:
        """Start none yet; there will be as many as `threads`, less the one that asks for help."""
        self._most = threads - 1
        self._executor: ThreadPoolExecutor | None = None
        self._starting = threading.Lock()

    def wanted(self, items: int) -> int:
        """Return how many further threads so many items are worth."""
        return min(self._most, items // _SHARE - 1) if items > _SHARE else 0

    def for_each(self, items: Collection[_T], begin: Callable[[], Callable[[_T], None]]) -> None:
        """Do what the function that `begin` returns does with each item, in several threads; each begins by itself.

        When it fails for one, no further item is begun, and the error goes up once all threads have stopped.
        """
        waiting = deque(items)
        failed = threading.Event()

        def work() -> None:
            act = begin()
            try:
                while not failed.is_set():
                    try:
                        item = waiting.popleft()
                    except IndexError:
                        return
                    act(item)
            except BaseException:
                failed.set()
                raise

        further = [self._threads().submit(work) for _ in range(self.wanted(len(items)))]
        try:
            work()
        finally:
            # Those that found no thread free have nothing left to do.
            begun = [future for future in further if not future.cancel()]
            wait(begun)
        for future in begun:
            future.result()

    def _threads(self) -> ThreadPoolExecutor:
        with self._starting:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._most)
            return self._executor
