"""The virtual machine's image: a Debian made by debootstrap, kept in the cache under a hash of its recipe."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import host

SUITE = "bookworm"
SIZE = "3G"
HERE = Path(__file__).parent
PACKAGES = HERE / "image-packages.txt"
GUEST = HERE / "guest"
SERVICE = "etc/systemd/system/lab-instance.service"
FILES = {
    "usr/local/sbin/lab-init": GUEST / "init.sh",
    "usr/local/sbin/lab-instance": GUEST / "boot" / "lab-instance.sh",
    SERVICE: GUEST / "boot" / "lab-instance.service",
    "etc/cloud/cloud.cfg.d/90-lab.cfg": GUEST / "boot" / "cloud.cfg",
}
"""What is in the image beside packages, by its place: the first process of a job, and what an EC2 instance finds."""
MASKED = ("nfs-server.service", "exim4.service", "sysstat.service", "e2scrub_reap.service", "apt-daily.timer")
"""Units that packages brought and no instance needs."""


@dataclass(frozen=True)
class Image:
    """A bootable image: the root file system (raw ext4), and the kernel and initial RAM disk to boot it with."""

    root: Path
    kernel: Path
    initrd: Path


def recipe_hash() -> str:
    """Return the hash (16 hex digits) of everything an image is made from, the packages' versions excepted."""
    digest = hashlib.sha256()
    for path in (Path(__file__), PACKAGES, *FILES.values()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def ensure() -> Image:
    """Return the image of the present recipe, built first (a few minutes, as root) if the cache has none."""
    host.check()
    directory = host.cache() / recipe_hash()
    image = Image(directory / "root.img", directory / "vmlinuz", directory / "initrd")
    with _building(directory):
        if not image.root.exists():
            _build(directory, image)
    return image


@contextmanager
def _building(directory: Path) -> Iterator[None]:
    """Let one process at a time build into `directory`."""
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(directory: Path, image: Image) -> None:
    """Make the image's files; the root file system appears last, so a build that was cut off starts anew."""
    if os.geteuid() != 0:
        raise host.LabError("building the lab's image needs root: run it once with sudo")
    log = directory / "build.log"
    tree = directory / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    host.say(f"lab: building the virtual machine's image in {directory} (a few minutes)")
    sources = apt_sources()
    _run(["debootstrap", "--variant=minbase", "--include=systemd-sysv", SUITE, str(tree), sources[0].split()[1]], log)
    _configure_apt(tree, sources)
    _install(tree, log)
    _place_files(tree)
    shutil.copy(next(tree.glob("boot/vmlinuz-*")), image.kernel)
    shutil.copy(next(tree.glob("boot/initrd.img-*")), image.initrd)
    unfinished = directory / "root.unfinished"
    unfinished.unlink(missing_ok=True)
    _run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(unfinished), SIZE], log)
    unfinished.rename(image.root)
    shutil.rmtree(tree)


def apt_sources() -> list[str]:
    """Return the lines for the image's sources.list: where this host's apt gets Debian's own packages from.

    The first line is the main archive. LabError where the host's apt knows no archive of the suite.
    """
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages", "Origin: Debian"]
    targets = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    pairs = sorted({tuple(line.split()) for line in targets if line.count(" ") == 1}, key=lambda pair: pair[1])
    lines = [f"deb {site} {codename} main" for site, codename in pairs if codename.split("-")[0] == SUITE]
    if not lines or not lines[0].endswith(f" {SUITE} main"):
        raise host.LabError(f"apt on this host knows no Debian {SUITE} archive: add one to its sources, apt-get update")
    return lines


def _configure_apt(tree: Path, sources: list[str]) -> None:
    """Let apt inside `tree` fetch as the host's does: same archives, same proxies."""
    (tree / "etc/apt/sources.list").write_text("\n".join(sources) + "\n")
    command = ["apt-config", "dump", "Acquire"]
    acquire = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (tree / "etc/apt/apt.conf.d/00host").write_text(acquire)
    shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")


def package_names(text: str) -> list[str]:
    """Return the names in a package list: one a line, '#' begins a comment."""
    return [name for line in text.splitlines() if (name := line.split("#")[0].strip())]


def _install(tree: Path, log: Path) -> None:
    """Install the listed packages inside `tree`, services unstarted."""
    policy = tree / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    packages = package_names(PACKAGES.read_text())
    _run(["chroot", str(tree), "apt-get", "update", "-q"], log)
    _run(["chroot", str(tree), "apt-get", "install", "-q", "-y", "--no-install-recommends", *packages], log)
    _run(["chroot", str(tree), "apt-get", "clean"], log)
    policy.unlink()


def _place_files(tree: Path) -> None:
    """Put the lab's own files in place, and the mount points they need."""
    for place, source in FILES.items():
        shutil.copy(source, tree / place)
    for name in ("job", "results", "srv/efs"):
        (tree / name).mkdir()
    units = tree / "etc/systemd/system"
    wanted = units / "sysinit.target.wants" / Path(SERVICE).name
    wanted.parent.mkdir(exist_ok=True)
    wanted.symlink_to(f"/{SERVICE}")
    for name in MASKED:
        (units / name).symlink_to("/dev/null")


def _run(command: list[str], log: Path) -> None:
    """Run one step of the build; LabError names the step and the log if it fails."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "PATH": _path()}
    with log.open("ab") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False)
    if done.returncode != 0:
        raise host.LabError(f"building the image failed at {command[0]} (exit {done.returncode}); see {log}")


def _path() -> str:
    """Return a search path on which system programs are found, whatever the caller's is."""
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
