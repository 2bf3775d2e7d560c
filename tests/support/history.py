"""Remembers what every snapshot was when it was published, and holds the later ones against it."""

from __future__ import annotations

import os
from typing import Any

from tests.support.command import DONE, Finished, Pair
from tests.support.tree import Tree, assert_same, snapshot_of


class History:
    """A pair of trees over many nights: each published snapshot is recorded by its id and never may change."""

    def __init__(self, pair: Pair) -> None:
        """Begin with what ``pair`` has."""
        self.pair = pair
        self.seen: dict[str, Tree] = {}

    def record(self) -> list[dict[str, Any]]:
        """Remember all snapshots that are new in the list; return the list."""
        listed = self.pair.list()
        for snapshot in listed:
            if snapshot["id"] not in self.seen:
                self.seen[snapshot["id"]] = snapshot_of(snapshot["path"])
        return listed

    def check(self) -> list[dict[str, Any]]:
        """Fail unless every listed snapshot that was seen before is as it was then; return the list."""
        listed = self.pair.list()
        for snapshot in listed:
            if snapshot["id"] in self.seen:
                now = snapshot_of(snapshot["path"])
                assert_same(self.seen[snapshot["id"]], now, what=f"snapshot {snapshot['number']}, published earlier,")
        return listed

    def night(self, *options: str | bytes, status: int = DONE, exact: bool = True, **how: Any) -> Finished:
        """Back up; then snapshot 0 must equal the source, and all older ones what they were."""
        source = snapshot_of(self.pair.source) if exact else {}
        finished = self.pair.back_up(*options, status=status, **how)
        self.check()
        listed = self.record()
        if exact:
            assert_same(source, self.seen[listed[0]["id"]], what="the new snapshot")
            assert_same(source, snapshot_of(self.pair.source), what="the source, which a backup only reads,")
            assert os.path.samefile(finished.report["snapshot"], listed[0]["path"])
        return finished

    def complete(self) -> int:
        """How many complete snapshots are listed."""
        return sum(1 for snapshot in self.pair.list() if snapshot["complete"])
