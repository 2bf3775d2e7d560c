"""Mounts file systems: finds the address, runs mount, sees that something is there."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable

from efs_backup.agent.effects.aws import Aws, AwsError
from efs_backup.agent.effects.says import say
from efs_backup.agent.pure.mounting import (
    Mount,
    dns_name,
    mount_arguments,
    nearest,
    no_address,
    why_not_mounted,
    worth_another_try,
)
from efs_backup.effects.mounts import is_on_network
from efs_backup.effects.processes import call
from efs_backup.pure.errors import BackupError

_PROTECTED_HARDLINKS = "/proc/sys/fs/protected_hardlinks"
_PAUSES = (5.0, 20.0)
_MOUNT_SECONDS = 150.0
_UNMOUNT_SECONDS = 10.0


class MountError(BackupError):
    """A file system has no address, or cannot be mounted; the text is a sentence for the mail."""


class Mounter:
    """Mounts file systems of one region on an instance in one zone."""

    def __init__(self, aws: Aws, region: str, url_suffix: str, zone: str | None) -> None:
        """Nothing is mounted yet."""
        self._aws, self._region, self._url_suffix, self._zone = aws, region, url_suffix, zone

    def mount(self, mount: Mount, give_up: Callable[[], bool]) -> None:
        """Mount what is not mounted yet; raise MountError if it cannot be, also when it is tried again."""
        os.makedirs(mount.point, mode=0o755, exist_ok=True)
        if os.path.ismount(mount.point):
            self.unmount(mount.point)
        arguments = self._arguments(mount)
        for pause in (*_PAUSES, None):
            say(f"running {' '.join(arguments)}")
            done = call(arguments, _MOUNT_SECONDS)
            if done.status == 0 and os.path.ismount(mount.point):
                _make_links_cheap(mount)
                return
            say(f"mount ended with status {done.status}: {done.said.strip()}")
            if pause is None or give_up() or not worth_another_try(done.said):
                break
            time.sleep(pause)
        raise MountError(why_not_mounted(mount, done.said))

    def unmount(self, point: str) -> None:
        """Unmount, if something is mounted; if it is busy, once nobody uses it any more."""
        if os.path.ismount(point) and call(["umount", point], _UNMOUNT_SECONDS).status != 0:
            call(["umount", "--lazy", point], _UNMOUNT_SECONDS)

    def _arguments(self, mount: Mount) -> list[str]:
        name = dns_name(mount.file_system, self._region, self._url_suffix)
        address = None if _resolves(name) else self._address(mount.file_system)
        has_efs_utils = shutil.which("mount.efs") is not None
        if not has_efs_utils:
            say("amazon-efs-utils is not installed: mounting by the plain NFS client, without TLS")
        return mount_arguments(mount, address, name, has_efs_utils)

    def _address(self, file_system: str) -> str:
        """Return the address of a mount target, where DNS does not know any."""
        try:
            address = nearest(self._aws.mount_targets(file_system), self._zone)
        except AwsError as error:
            raise MountError(no_address(file_system, str(error))) from error
        if address is None:
            raise MountError(no_address(file_system, "it has no mount target that is available"))
        return address


def _make_links_cheap(mount: Mount) -> None:
    """Have the kernel not look at a file's permissions before root links it: over NFS that is a call for each link.

    `fs.protected_hardlinks` guards users from one another, and an instance has none. A machine on which something else
    than NFS stands for the file system (the local cloud's) is not an instance, and keeps its setting.
    """
    if not mount.writable or not is_on_network(mount.point):
        return
    try:
        with open(_PROTECTED_HARDLINKS, "w", encoding="ascii") as setting:
            setting.write("0\n")
    except OSError as error:
        say(f"{_PROTECTED_HARDLINKS} cannot be set to 0 ({error.strerror}): each hard link costs a call more")
    else:
        say(f"{_PROTECTED_HARDLINKS} is 0 now: only root is here")


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, 2049, type=socket.SOCK_STREAM))
    except OSError:
        return False
