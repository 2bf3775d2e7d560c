"""EFS: every file-system id is a directory of this machine, and mounting is a bind mount.

An instance's ``mount.efs`` and ``mount.nfs4`` ask here where a file system is; a test can take addresses away or
make mounts fail.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.efs.models import EFSBackend, FileSystem, MountTarget, efs_backends

from localcloud.patching import replace

NAME = re.compile(r"(?:[\w-]+\.)?(fs-[0-9a-f]+)\.efs\.[\w-]+\.amazonaws\.com(?:\.cn)?")


@dataclass
class Faults:
    """What is wrong with a file system on purpose: no DNS name, no mount targets listed, mounts fail (why)."""

    unresolvable: bool = False
    hidden: bool = False
    mount_error: str = ""


@dataclass(frozen=True)
class MountAnswer:
    """What a mount request gets: the directory to bind, or the message of the error."""

    directory: str = ""
    error: str = ""


@dataclass
class FileSystems:
    """The file systems of one account and region, below one directory."""

    account: str
    region: str
    directory: Path
    faults: dict[str, Faults] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def install(self) -> None:
        """Have moto tell real sizes, and hide the mount targets that are to be hidden."""
        self.directory.mkdir()
        file_systems = self

        def size(_: Any) -> Any:
            def patched(self: FileSystem) -> dict[str, Any]:
                used = disk_usage(file_systems.path(self.file_system_id))
                return {"Value": used, "ValueInIA": 0, "ValueInStandard": used}

            return property(patched)

        def describe_mount_targets(original: Callable[..., Any]) -> Any:
            def patched(self: EFSBackend, *arguments: Any, **keywords: Any) -> tuple[str | None, list[MountTarget]]:
                marker, found = original(self, *arguments, **keywords)
                return marker, [target for target in found if not file_systems.of(target.file_system_id).hidden]

            return patched

        replace(FileSystem, "size_in_bytes", size)
        replace(EFSBackend, "describe_mount_targets", describe_mount_targets)

    def of(self, file_system: str) -> Faults:
        """Return what is wrong with a file system, to be read or changed."""
        with self._lock:
            return self.faults.setdefault(file_system, Faults())

    def path(self, file_system: str) -> Path:
        """Return the directory of a file system, made if need be."""
        path = self.directory / file_system
        path.mkdir(mode=0o755, exist_ok=True)
        return path

    def directories(self) -> list[Path]:
        """Return the directories of all file systems, also of those that nobody has mounted yet."""
        return [
            self.path(file_system) for file_system in list(efs_backends[self.account][self.region].file_systems_by_id)
        ]

    def hosts(self) -> str:
        """Return the names and addresses of all mount targets, as lines of /etc/hosts."""
        lines = []
        for target in self._targets():
            name = f"{target.file_system_id}.efs.{self.region}.amazonaws.com"
            if not self.of(target.file_system_id).unresolvable:
                lines.append(f"{target.ip_address} {name} {target.availability_zone_name}.{name}")
        return "".join(f"{line}\n" for line in lines)

    def mount(self, device: str, options: str) -> MountAnswer:
        """Find what ``device`` (``ID:/path``, ``NAME:/path`` or ``ADDRESS:/path``) stands for."""
        host, _, path = device.partition(":")
        known = re.search(r"mounttargetip=([\d.]+)", options)
        file_system = self._file_system_of(host, known[1] if known else "")
        if file_system is None:
            return MountAnswer(error=f"Failed to resolve server {host}: Name or service not known")
        if error := self.of(file_system).mount_error:
            return MountAnswer(error=error)
        directory = self.path(file_system) / path.strip("/")
        if not directory.is_dir():
            return MountAnswer(error=f"mounting {device} failed, reason given by server: No such file or directory")
        return MountAnswer(directory=f"{file_system}/{path.strip('/')}")

    def _file_system_of(self, host: str, address: str) -> str | None:
        by_address = {target.ip_address: target.file_system_id for target in self._targets()}
        if address or host in by_address:
            return by_address.get(address or host)
        match = NAME.fullmatch(host)
        file_system = match[1] if match else host
        has_target = file_system in by_address.values()
        return file_system if has_target and not self.of(file_system).unresolvable else None

    def _targets(self) -> list[MountTarget]:
        backend = efs_backends[self.account][self.region]
        return list(backend.mount_targets_by_id.values())


def disk_usage(directory: Path) -> int:
    """Return the size in bytes of the files below ``directory``, as EFS meters it: each file once."""
    sizes = {}
    for path in directory.rglob("*"):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue  # removed while we looked: a backup may be running
        sizes[status.st_ino] = status.st_size
    return sum(sizes.values())
