"""What the host must have, and how the lab speaks to its user."""

import os
import shutil
import sys
from pathlib import Path

COMMANDS = {
    "debootstrap": "debootstrap",
    "qemu-system-x86_64": "qemu-system-x86",
    "mke2fs": "e2fsprogs",
    "nc": "netcat-openbsd",
    "setpriv": "util-linux",
}
"""Commands the lab starts on the host, each with the Debian package it comes from."""


class LabError(Exception):
    """The lab cannot do what was asked; the message is one line and says what to do."""


def say(line: str = "") -> None:
    """Write one line for the person or log that reads standard output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def check() -> None:
    """Raise LabError, naming everything that is missing, where the lab cannot run."""
    search = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    missing = sorted({package for command, package in COMMANDS.items() if not shutil.which(command, path=search)})
    if missing:
        raise LabError(f"the lab needs these Debian packages: apt-get install {' '.join(missing)}")
    if os.uname().machine != "x86_64":
        raise LabError(f"the lab's virtual machine is x86_64; this host is {os.uname().machine}")


def cache() -> Path:
    """Return the directory in which images are kept, made if absent."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "efs-backup-lab"
    path.mkdir(parents=True, exist_ok=True)
    return path
