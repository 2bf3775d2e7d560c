"""fpart and fpsync for the instance: compiled statically from the pinned source, for both architectures.

The instance never compiles, and what it runs does not depend on the libraries of its image.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deployment.archives import Entry
from deployment.inputs import FPART
from deployment.programs import run

CFLAGS = "-O2 -g0"
LDFLAGS = "-s"


@dataclass(frozen=True)
class Machine:
    """An architecture: its name as ``uname -m`` prints it, and that of Debian's compilers for it."""

    name: str
    triplet: str

    @property
    def compiler(self) -> str:
        """The C compiler, native or cross."""
        return f"{self.triplet}-gcc"


MACHINES = (Machine("x86_64", "x86_64-linux-gnu"), Machine("aarch64", "aarch64-linux-gnu"))


def fpart_entries(source: Path, cache: Path) -> Iterator[Entry]:
    """Yield the files of the agent that come from fpart's source; what is compiled is kept in ``cache``.

    Raises:
        DeploymentError: a compiler is missing, or fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tree = _unpacked(source, Path(scratch))
        script, licence = (tree / "tools" / "fpsync").read_bytes(), (tree / "COPYING").read_bytes()
    yield Entry("fpart/COPYING", licence)
    for machine in MACHINES:
        folder = f"fpart/{machine.name}/bin"
        yield Entry(f"{folder}/fpsync", script, executable=True)
        yield Entry(f"{folder}/fpart", _compiled(source, machine, cache), executable=True)


def compiler_version(machine: Machine) -> str:
    """Return the first line that a compiler says about itself."""
    return _run([machine.compiler, "--version"], Path.cwd()).splitlines()[0]


def _compiled(source: Path, machine: Machine, cache: Path) -> bytes:
    recipe = "\n".join([FPART.sha256, compiler_version(machine), CFLAGS, LDFLAGS])
    kept = cache / f"fpart-{machine.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as scratch:
            built = _compile(_unpacked(source, Path(scratch)), machine)
            cache.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(f".{os.getpid()}")
            shutil.copyfile(built, partial)
            partial.replace(kept)
    return kept.read_bytes()


def _compile(tree: Path, machine: Machine) -> Path:
    """Compile in the source's own folder, so that no path of this machine gets into the program."""
    configure = ["./configure", "--quiet", "--enable-static", "--disable-dependency-tracking"]
    _run([*configure, f"--host={machine.triplet}", f"CFLAGS={CFLAGS}", f"LDFLAGS={LDFLAGS}"], tree)
    _run(["make", "--silent", "-C", "src"], tree)
    return tree / "src" / "fpart"


def _unpacked(source: Path, directory: Path) -> Path:
    _run(["tar", "-xzf", str(source), "-C", str(directory)], directory)
    return directory / f"fpart-{FPART.version}"


def _run(command: list[str], directory: Path) -> str:
    """Run a program with nothing of this machine's settings."""
    return run(command, directory, {"PATH": os.environ["PATH"], "LC_ALL": "C", "SOURCE_DATE_EPOCH": "0"})
