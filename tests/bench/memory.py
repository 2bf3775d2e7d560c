"""The memory of a command with all its processes: summed PSS, sampled while it runs."""

from __future__ import annotations

import subprocess
import threading
import time
from dataclasses import dataclass

from tests.support.command import environment
from tests.support.faults import descendants


@dataclass(frozen=True)
class Measured:
    """Seconds a command took, and the largest sum of PSS (in bytes) over its processes."""

    seconds: float
    peak: int
    stdout: bytes = b""


def pss_of(process: int) -> int:
    """Proportional set size in bytes: memory shared by several processes counts once over all of them."""
    try:
        with open(f"/proc/{process}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass  # the process has ended
    return 0


def measure(line: list[bytes], *, sample: bool = True) -> Measured:
    """Run a command; sample its memory unless only time counts, as sampling takes time too."""
    began = time.monotonic()
    process = subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd="/"
    )
    peak = [0]
    sampler = threading.Thread(target=_sample, args=(process, peak), daemon=True)
    if sample:
        sampler.start()
    stdout, stderr = process.communicate()
    seconds = time.monotonic() - began
    if process.returncode != 0:
        raise RuntimeError(f"{line!r} ended with {process.returncode}: {stderr.decode(errors='replace')[-2000:]}")
    if sample:
        sampler.join()
    return Measured(seconds, peak[0], stdout)


def _sample(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    while process.poll() is None:
        began = time.monotonic()
        peak[0] = max(peak[0], sum(pss_of(each) for each in [process.pid, *descendants(process.pid)]))
        time.sleep(max(0.05, 5 * (time.monotonic() - began)))
