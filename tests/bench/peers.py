"""The peers: rsync in the versions that matter, from this machine or from Debian's archive, and fpsync."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

CACHE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "build", "peers")


@dataclass(frozen=True)
class Rsync:
    """An rsync to compare with; ``program`` is None where it cannot be had, and ``note`` says why."""

    version: str
    program: str | None
    note: str = ""


def version_of(program: str) -> str:
    """The version that an rsync says it is."""
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version\s+v?(\S+)", text)
    return found[1] if found else "unknown"


def fpsync_version() -> str:
    """The version that fpsync says it is."""
    done = subprocess.run(["fpsync", "-h"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    found = re.search(r"fpsync v(\S+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"


def rsync_of(version: str) -> Rsync:
    """An rsync of this version: the machine's own, or Debian's package of it, unpacked beside the build."""
    installed = shutil.which("rsync")
    if installed and version_of(installed) == version:
        return Rsync(version, installed)
    unpacked = os.path.join(CACHE, f"rsync-{version}", "usr", "bin", "rsync")
    if not os.path.exists(unpacked):
        note = _unpack(version, os.path.join(CACHE, f"rsync-{version}"))
        if note:
            return Rsync(version, None, note)
    return Rsync(version, unpacked)


def _unpack(version: str, where: str) -> str:
    """Fetch and unpack the package; return why that was not possible, or nothing."""
    if not shutil.which("apt-get"):
        return "no apt-get here"
    offered = subprocess.run(["apt-cache", "madison", "rsync"], capture_output=True, text=True, check=False).stdout
    packages = [line.split("|")[1].strip() for line in offered.splitlines() if line.count("|") >= 2]
    wanted = next((package for package in packages if package.split("+")[0].split("-")[0] == version), None)
    if wanted is None:
        return f"not in Debian's archive now, which offers {', '.join(packages) or 'none'}"
    os.makedirs(where, exist_ok=True)
    fetched = subprocess.run(
        ["apt-get", "download", f"rsync={wanted}"], cwd=where, capture_output=True, text=True, check=False
    )
    if fetched.returncode != 0:
        return fetched.stderr.strip().splitlines()[-1]
    package = next(name for name in os.listdir(where) if name.endswith(".deb"))
    subprocess.run(["dpkg-deb", "-x", package, "."], cwd=where, check=True)
    return ""


def rotate_and_copy(rsync: str, source: str, folder: str, retain: int) -> None:
    """A night as rsync users script it: remove the oldest, rename the others, copy with links to the newest."""
    oldest = os.path.join(folder, f"daily.{retain - 1}")
    if os.path.exists(oldest):
        subprocess.run(["rm", "-rf", oldest], check=True)
    for number in range(retain - 1, 0, -1):
        if os.path.exists(os.path.join(folder, f"daily.{number - 1}")):
            os.rename(os.path.join(folder, f"daily.{number - 1}"), os.path.join(folder, f"daily.{number}"))
    newest, base = os.path.join(folder, "daily.0"), os.path.join(folder, "daily.1")
    link = [f"--link-dest={base}"] if os.path.exists(base) else []
    subprocess.run([rsync, "-a", "--delete", *link, source + "/", newest + "/"], check=True)


def fpsync(source: str, target: str, jobs: int, files: int, shared: str) -> None:
    """fpsync alone, with what a backup needs; ``files`` is -f, ``shared`` where it keeps its queue."""
    os.makedirs(target, exist_ok=True)
    options = "-lptgoD --numeric-ids"
    line = ["fpsync", "-n", str(jobs), "-f", str(files), "-t", shared, "-o", options, source + "/", target + "/"]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL, capture_output=True)
