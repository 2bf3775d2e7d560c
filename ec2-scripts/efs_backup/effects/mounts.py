"""What is mounted where, and how it is used, from /proc/self/mountinfo (man 5 proc) and mountstats."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

NETWORK_TYPES = frozenset({"nfs", "nfs4"})
_SILLY_RENAMES = 22
"""Where the line of events (its own name is word 0) has them."""
_RECEIVED = 8
"""Where the line of a transport (its own name is word 0) over TCP has how many answers came."""


class Mount(NamedTuple):
    """One mount: where, of what type, and from what device or server."""

    point: str
    kind: str
    source: str
    root: str


def mounts() -> list[Mount]:
    """Return all mounts of this mount namespace, in the order they were made."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return [_parse(line) for line in lines]


def mount_of(path: str) -> Mount:
    """Return the mount that a path (any path that exists) lies on."""
    real = os.path.realpath(path)
    covering = [m for m in mounts() if m.point == "/" or real == m.point or real.startswith(m.point + "/")]
    return max(reversed(covering), key=lambda m: len(m.point))


def mounts_below(path: str) -> list[str]:
    """Return the paths, relative to path, at which something is mounted below it."""
    prefix = os.path.realpath(path).rstrip("/") + "/"
    return sorted({m.point[len(prefix) :] for m in mounts() if m.point.startswith(prefix) and m.point != prefix})


def file_system_name(path: str) -> str:
    """Return a name of the path's file system that stays the same across mounts and boots where the kernel has one."""
    identifier = os.statvfs(path).f_fsid
    mount = mount_of(path)
    if identifier and mount.kind not in NETWORK_TYPES:
        return f"{mount.kind}:{identifier:x}"
    return f"{mount.kind}:{mount.source}"


def is_on_network(path: str) -> bool:
    """Tell whether a path lies on a network file system."""
    return mount_of(path).kind in NETWORK_TYPES


def silly_renames() -> int | None:
    """Return how many silly renames this machine's NFS mounts have seen, None if that is unknown.

    A client that unlinks a file which one of its own processes has open renames it to `.nfs` and digits instead, and
    counts that: field 22 of `events` in /proc/self/mountstats (nfs-utils, statvers 1.1).
    """
    with open("/proc/self/mountstats", encoding="utf-8", errors="surrogateescape") as lines:
        text = lines.read()
    counted = [int(line.split()[_SILLY_RENAMES]) for line in text.splitlines() if line.startswith("\tevents:")]
    return sum(counted) if counted and len(counted) == text.count(" statvers=1.1\n") else None


def answers(point: str) -> int | None:
    """Return how many answers have come from the server of the NFS mount at a point, None if none is mounted there.

    Field 8 of each `xprt` in /proc/self/mountstats (nfs-utils, statvers 1.1). Reading it asks no server.
    """
    received: int | None = None
    there = False
    with open("/proc/self/mountstats", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            if line.startswith("device "):
                mounted = line.partition(" mounted on ")[2].partition(" with fstype ")[0]
                there = _unescape(mounted) == point and " statvers=1.1" in line
                received = 0 if there else received
            elif there and line.startswith("\txprt:\ttcp "):
                received = (received or 0) + int(line.split()[_RECEIVED])
    return received


def _parse(line: str) -> Mount:
    fields, _, rest = line.partition(" - ")
    root, point = fields.split(" ")[3:5]
    kind, source = rest.split(" ")[:2]
    return Mount(_unescape(point), kind, _unescape(source), _unescape(root))


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), text)
