"""Run a command and say what it cost: virtual seconds (idle: how many of them no processor had work) and RPCs, in all
and by operation, as one JSON line.

usage: measure.py CLIENT LABEL OUTPUT COMMAND...
The command's own output goes to OUTPUT's directory, as LABEL.log; the exit status is the command's.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


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


def idle() -> float:
    """Return how many seconds processors have had nothing to do since the machine started."""
    return int(Path("/proc/stat").read_text().split()[4]) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure the command given on the command line."""
    client, label, output, *command = sys.argv[1:]
    before = operations(client)
    with Path(output).with_name(f"{label}.log").open("wb") as log:
        begun, idled = time.monotonic(), idle()
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        seconds, waited = time.monotonic() - begun, idle() - idled
    after = operations(client)
    spent = {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
    record = {
        "label": label,
        "status": status,
        "seconds": round(seconds, 3),
        "idle": round(waited, 2),
        "rpcs": sum(spent.values()),
    }
    with Path(output).open("a") as out:
        out.write(json.dumps(record | {"operations": spent}) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
