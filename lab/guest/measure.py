"""Run a command and say what it cost: virtual seconds (and how many of them processors worked for programs, worked in
the kernel, had no work) and RPCs, in all and by operation, as one JSON line.

usage: measure.py CLIENT LABEL OUTPUT COMMAND...
The command's own output goes to OUTPUT's directory, as LABEL.log; the exit status is the command's.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

PROCESSORS = ("user", "system", "idle")


def operations(client: str) -> dict[str, int]:
    """Return how many NFSv4 calls of each kind the client machine has made since it started."""
    command = ["nsenter", f"--net=/run/netns/{client}", "nfsstat", "--client", "--list", "-4"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    counts = {}
    for line in lines:
        head, _, count = line.rpartition(":")
        if head.startswith("nfs v4 client") and (name := head.split()[-1].rstrip(":")) != "total":
            counts[name] = int(count)
    return counts


def spent_by_processors() -> tuple[float, float, float]:
    """Return how many seconds processors have spent in programs, in the kernel and idle since the machine started."""
    user, nice, system, idle, waiting, interrupts, soft = map(int, Path("/proc/stat").read_text().split()[1:8])
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + nice) / ticks, (system + interrupts + soft) / ticks, (idle + waiting) / ticks


def main() -> int:
    """Measure the command given on the command line."""
    client, label, output, *command = sys.argv[1:]
    before = operations(client)
    with Path(output).with_name(f"{label}.log").open("wb") as log:
        begun, earlier = time.monotonic(), spent_by_processors()
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        seconds, later = time.monotonic() - begun, spent_by_processors()
    after = operations(client)
    spent = {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
    record = {
        "label": label,
        "status": status,
        "seconds": round(seconds, 3),
        **{name: round(now - before, 2) for name, now, before in zip(PROCESSORS, later, earlier, strict=True)},
        "rpcs": sum(spent.values()),
    }
    with Path(output).open("a") as out:
        out.write(json.dumps(record | {"operations": spent}) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
