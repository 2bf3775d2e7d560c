"""Removes trees from the trash: first all files everywhere at once, then the directories, deepest first."""

from __future__ import annotations

import os

from efs_backup.effects.tree import directory, list_names, unlink
from efs_backup.flow.task import EmptyTask, Outcome, RemoveTask
from efs_backup.flow.workbench import Workbench
from efs_backup.pure.layout import join


def empty_directory(bench: Workbench, task: EmptyTask, outcome: Outcome) -> None:
    """Unlink what is in one directory of the trash; its subdirectories follow."""
    bench.flag.check()
    with directory(bench.trash, task.path) as descriptor:
        # Listed to the end first: a listing from which names are removed meanwhile may skip others.
        files, directories = list_names(descriptor)
        for name in files:
            bench.flag.check()
            unlink(descriptor, name)
    outcome.tasks.extend(EmptyTask(join(task.path, name)) for name in directories)


def remove_tree(bench: Workbench, task: RemoveTask, outcome: Outcome) -> None:
    """Remove a tree of the trash that holds nothing but directories."""
    waiting, order = [task.path], []
    while waiting:
        bench.flag.check()
        at = waiting.pop()
        order.append(at)
        with directory(bench.trash, at) as descriptor:
            waiting.extend(join(at, name) for name in os.listdir(descriptor))
    for path in reversed(order):
        bench.flag.check()
        parent, _, name = path.rpartition("/")
        with directory(bench.trash, parent) as descriptor:
            os.rmdir(name, dir_fd=descriptor)
    outcome.directories += len(order)
