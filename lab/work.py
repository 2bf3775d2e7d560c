"""What goes into the virtual machine and what comes out of it: tar archives on raw disks."""

import importlib.metadata
import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
GUEST = Path(__file__).resolve().parent / "guest"
PRODUCT = REPOSITORY / "ec2-scripts" / "efs_backup"
RUNTIME = ("rich",)
"""Distributions the product needs to run; their own requirements come along."""


def product() -> dict[str, Path]:
    """Return the product's package and what it needs, by their path in the virtual machine."""
    entries = {"python/efs_backup": PRODUCT}
    for distribution in _closure(RUNTIME):
        for name, path in _top_level(distribution):
            entries[f"python/{name}"] = path
    return entries


def pack(disk: Path, run: str, entries: Mapping[str, Path]) -> None:
    """Write the work disk: `run` is the text of the script to start, `entries` files and trees by path in /job."""
    with tarfile.open(disk, "w", format=tarfile.PAX_FORMAT) as archive:
        script = tarfile.TarInfo("run")
        script.mode, script.size = 0o755, len(run.encode())
        archive.addfile(script, io.BytesIO(run.encode()))
        for name, path in entries.items():
            archive.add(path, name, filter=_plain)
        archive.add(GUEST, "lab", filter=_plain)


def unpack(disk: Path, results: Path) -> int | None:
    """Unpack the results disk into `results`; return the guest's exit status, None if the guest left none."""
    results.mkdir(parents=True, exist_ok=True)
    try:
        # "r:" because looking for compressed archives reads an empty disk to its end, which takes minutes
        with tarfile.open(disk, "r:") as archive:
            # Python 3.11.2, which Debian 12 has, takes no filter as an argument yet, and has none of its own.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(results)  # noqa: S202  written by our own guest
        return int((results / "status").read_text())
    except (tarfile.ReadError, FileNotFoundError, ValueError):
        return None


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave compiled Python out, and set one time long past: the guest's virtual clock starts in the past itself."""
    entry.mtime = 1_700_000_000
    return None if entry.name.endswith("__pycache__") else entry


def _closure(names: tuple[str, ...]) -> list[str]:
    """Return the distributions `names` and all they require, extras left out."""
    found: list[str] = []
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.append(name)
        for requirement in importlib.metadata.requires(name) or []:
            if "extra ==" not in requirement and (match := re.match(r"[\w.-]+", requirement)):
                waiting.append(match[0])
    return found


def _top_level(distribution: str) -> list[tuple[str, Path]]:
    """Return the importable files and directories an installed distribution brought, by name."""
    files = importlib.metadata.files(distribution) or []
    names = sorted({file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")})
    root = Path(str(importlib.metadata.distribution(distribution).locate_file("")))
    return [(name, root / name) for name in names if not name.endswith(".dist-info")]
