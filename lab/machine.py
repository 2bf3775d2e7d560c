"""One run of the virtual machine: boot it with a job, follow its events, collect its results."""

import enum
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import host, work
from lab.image import Image

RESULTS_BYTES = 1 << 30
MEMORY = "8G"


class Clock(enum.Enum):
    """How time passes in the virtual machine.

    VIRTUAL counts instructions and skips idle time: a measurement comes out the same however busy the host is, on one
    processor. PLAIN is the host's time on two processors, some ten times slower than the host.
    """

    VIRTUAL = "virtual"
    PLAIN = "plain"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the guest's exit status (None if it died or was cut off), and where its files are."""

    status: int | None
    results: Path
    console: Path
    real_seconds: float


JOB = "init=/usr/local/sbin/lab-init"
"""Words for the kernel that make it start a job in place of systemd."""


def qemu_command(image: Image, clock: Clock, directory: Path, kernel_words: str = JOB) -> list[str]:
    """Return the command that boots `image` with the disks and logs in `directory`."""
    accelerator = {
        Clock.VIRTUAL: ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off,align=off", "-smp", "1",
                        "-rtc", "base=2025-01-01T00:00:00,clock=vm"],
        Clock.PLAIN: ["-accel", "tcg,thread=multi", "-smp", "2"],
    }[clock]  # fmt: skip
    kernel_line = f"root=/dev/vda rw console=ttyS0 quiet mitigations=off {kernel_words}".rstrip()
    return [
        "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *accelerator,
        "-cpu", "max", "-m", MEMORY, "-nodefaults", "-display", "none", "-no-reboot", "-device", "virtio-rng-pci",
        "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", kernel_line,
        "-serial", f"file:{directory / 'console.log'}", "-serial", f"file:{directory / 'events.log'}",
        "-drive", f"file={image.root},if=virtio,format=raw,snapshot=on",
        "-drive", f"file={directory / 'work.disk'},if=virtio,format=raw,readonly=on",
        "-drive", f"file={directory / 'results.disk'},if=virtio,format=raw",
    ]  # fmt: skip


def run(
    image: Image,
    clock: Clock,
    script: str,
    results: Path,
    entries: Mapping[str, Path] | None = None,
    limit: float = 1800,
    on_event: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Boot `image` with a job and return when it is over, or after `limit` real seconds.

    `script` is started in /job beside `entries` and lab/ (the guest library); the lines it writes to /dev/ttyS1 are
    given to `on_event` as they come. What it leaves in /results is in the directory `results` afterwards.
    """
    begun = time.monotonic()
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="efs-lab-") as name:
        directory = Path(name)
        work.pack(directory / "work.disk", script, entries or {})
        (directory / "events.log").touch()
        with (directory / "results.disk").open("wb") as disk:
            disk.truncate(RESULTS_BYTES)
        with _booted(qemu_command(image, clock, directory)) as process:
            _follow(process, directory / "events.log", on_event, begun + limit)
        shutil.copy(directory / "console.log", results / "console.log")
        status = work.unpack(directory / "results.disk", results)
    return Outcome(status, results, results / "console.log", time.monotonic() - begun)


@contextmanager
def _booted(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start the emulator; it never outlives the block."""
    environment = os.environ | {"PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _follow(process: subprocess.Popen[bytes], log: Path, on_event: Callable[[str], None], deadline: float) -> None:
    """Hand over each complete line of `log` until the process ends or the deadline (monotonic seconds) passes."""
    rest = ""
    with log.open(encoding="utf-8", errors="replace") as events:
        while True:
            ended = process.poll() is not None
            *lines, rest = (rest + events.read()).split("\n")
            for line in lines:
                on_event(line.rstrip("\r"))
            if ended:
                return
            if time.monotonic() > deadline:
                host.say("lab: the virtual machine was stopped: its time was over")
                return
            time.sleep(0.2)
