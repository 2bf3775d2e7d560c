"""How a file system is mounted: which address, which helper, which options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NFS_OPTIONS = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
"""What Amazon EFS recommends for the plain NFS client (its user guide, "NFS mount settings")."""

_WAITS = (
    "timed out", "timeout", "resource temporarily unavailable", "connection refused", "no route to host",
    "network is unreachable", "temporary failure in name resolution",
)  # fmt: skip
_NO_DIRECTORY = "no such file or directory"


@dataclass(frozen=True, slots=True)
class MountTarget:
    """A mount target that can be used: its address and its zone's name."""

    address: str
    zone: str


@dataclass(frozen=True, slots=True)
class Mount:
    """What is to be mounted where: a directory of a file system, writable or not."""

    file_system: str
    directory: str
    point: str
    writable: bool


def dns_name(file_system: str, region: str, url_suffix: str) -> str:
    """Return the name at which a file system is found inside its VPC."""
    return f"{file_system}.efs.{region}.{url_suffix}"


def nearest(targets: Sequence[MountTarget], zone: str | None) -> str | None:
    """Return the address to use: the one in the instance's own zone, else any; None if there is none."""
    ordered = sorted(targets, key=lambda target: (target.zone != zone, target.address))
    return ordered[0].address if ordered else None


def mount_arguments(mount: Mount, address: str | None, name: str, has_efs_utils: bool) -> list[str]:
    """Return the command that mounts. ``address`` is that of a mount target where DNS does not know ``name``.

    With amazon-efs-utils it goes over TLS and names the instance's role; without, by the plain client.
    """
    mode = [] if mount.writable else ["ro"]
    if has_efs_utils:
        by = [f"mounttargetip={address}"] if address else []
        return [
            "mount", "-t", "efs", "-o", ",".join(["tls", "iam", *mode, *by]),
            f"{mount.file_system}:{mount.directory}", mount.point,
        ]  # fmt: skip
    options = ",".join([NFS_OPTIONS, *mode])
    return ["mount", "-t", "nfs4", "-o", options, f"{address or name}:{mount.directory}", mount.point]


def worth_another_try(said: str) -> bool:
    """Tell from what mount said whether to try again: a network that does not answer may do so in a moment."""
    return any(word in said.lower() for word in _WAITS)


def why_not_mounted(mount: Mount, said: str) -> str:
    """Return the sentence for the mail about a mount that failed."""
    if _NO_DIRECTORY in said.lower() and mount.directory != "/":
        return f"The directory {mount.directory} does not exist on the file system {mount.file_system}."
    last = said.strip().splitlines()[-1] if said.strip() else "mount said nothing"
    return f"The file system {mount.file_system} could not be mounted: {last}."


def no_address(file_system: str, detail: str) -> str:
    """Return the sentence for the mail about a file system whose mount address cannot be found."""
    return (
        f"The mount address of {file_system} was not found: DNS does not know it, and {detail}. Give the file system a"
        " mount target in the stack's subnets."
    )
