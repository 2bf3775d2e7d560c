"""``python -m tests.bench``: speed and memory of the engine beside rsync and fpsync, as a table.

Everything runs on a tmpfs of its own, which is gone afterwards. ``--quick`` takes about a minute and shows the shape
of the table; its numbers say little.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.table import Table

from tests.bench import peers, trees
from tests.bench.memory import Measured, measure
from tests.support.command import Pair, command_line
from tests.support.filesystems import is_root, tmpfs

RETAIN = 7
PARTITIONS = (500, 2_000, 10_000, 50_000)
PEERS = (("3.5.0", 0.12), ("3.2.7", 0.45))
FLAT_MEMORY, DIRECTORY_MEMORY, FIRST_RATIO = 300 << 20, 600 << 20, 1.1


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    operation: str
    ours: str
    peer: str = "–"  # noqa: RUF001 - a dash for people
    ratio: str = "–"  # noqa: RUF001
    memory: str = "–"  # noqa: RUF001
    promise: str = ""


@dataclass
class Bench:
    """Sizes, where to work, and the rows so far."""

    options: argparse.Namespace
    top: str
    console: Console
    rows: list[Row] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether the sizes are those that the promises speak of."""
        return not self.options.quick

    def say(self, text: str) -> None:
        """Tell what is done now."""
        self.console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {text}", highlight=False)

    @contextlib.contextmanager
    def room(self) -> Iterator[Pair]:
        """An empty pair on a tmpfs without limits of its own."""
        with tmpfs(os.path.join(self.top, "room"), "nr_inodes=0,size=90%") as where:
            pair = Pair(os.path.join(where, "source"), os.path.join(where, "backup"))
            os.mkdir(pair.source)
            os.mkdir(pair.backup)
            yield pair

    def back_up(self, pair: Pair, *, sample: bool) -> Measured:
        """One run of ours."""
        workers = ("--workers", str(self.options.jobs)) if self.options.jobs else ()
        arguments = pair.arguments("backup", "--retain", str(RETAIN), *workers)
        return measure(command_line(*arguments), sample=sample)


def seconds(value: float) -> str:
    """Seconds for people."""
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def megabytes(value: int) -> str:
    """Bytes for people."""
    return f"{value / (1 << 20):.0f} MB"


def kept(is_kept: bool, promise: str, *, counts: bool) -> str:
    """A promise with whether it is kept; it counts only at the sizes it was given for."""
    if not counts:
        return f"{promise} at full size"
    return f"{promise}: {'kept' if is_kept else 'NOT KEPT'}"


def timed(do: Callable[[], object]) -> float:
    """How many seconds it takes."""
    began = time.monotonic()
    do()
    return time.monotonic() - began


def quiet_night(bench: Bench) -> None:
    """A night with 0.1 % changed, all snapshots and the spare in place, beside rsync with --link-dest and rm -rf."""
    files, repeat = bench.options.files, bench.options.repeat
    with bench.room() as pair:
        bench.say(f"quiet night: {files:,} files, {RETAIN} snapshots and a spare")
        trees.fill(pair.source, files)
        for night in range(RETAIN + 2):
            trees.change(pair.source, files, night)
            bench.back_up(pair, sample=False)
        nights: list[float] = []
        for night in range(repeat):
            trees.change(pair.source, files, 100 + night)
            nights.append(bench.back_up(pair, sample=False).seconds)
        trees.change(pair.source, files, 200)
        peak = bench.back_up(pair, sample=True).peak
        bench.say(f"ours: {', '.join(map(seconds, nights))}")
        shutil.rmtree(pair.backup)
        ours = statistics.median(nights)
        for version, promise in PEERS:
            bench.rows.append(beside_rsync(bench, pair, version, promise, ours, peak))


def beside_rsync(bench: Bench, pair: Pair, version: str, promise: float, ours: float, peak: int) -> Row:
    """The same nights by one rsync."""
    name = f"quiet night, {bench.options.files:,} files, rsync {version} --link-dest and rm -rf"
    rsync = peers.rsync_of(version)
    if rsync.program is None:
        return Row(name, seconds(ours), f"not to be had: {rsync.note}", memory=megabytes(peak))
    folder = os.path.join(os.path.dirname(pair.backup), f"rsync-{version}")
    os.mkdir(folder)
    peers.rotate_and_copy(rsync.program, pair.source, folder, RETAIN)
    for number in range(1, RETAIN):
        measure(
            [b"cp", b"-al", os.fsencode(f"{folder}/daily.0"), os.fsencode(f"{folder}/daily.{number}")], sample=False
        )
    nights: list[float] = []
    for night in range(bench.options.repeat):
        trees.change(pair.source, bench.options.files, 300 + night)
        nights.append(timed(partial(peers.rotate_and_copy, rsync.program, pair.source, folder, RETAIN)))
    bench.say(f"rsync {version}: {', '.join(map(seconds, nights))}")
    shutil.rmtree(folder)
    ratio = ours / statistics.median(nights)
    promised = kept(ratio <= promise, f"at most {promise}", counts=bench.full)
    return Row(name, seconds(ours), seconds(statistics.median(nights)), f"{ratio:.3f}", megabytes(peak), promised)


def memory(bench: Bench) -> None:
    """Peak memory of a first backup and a quiet night at two sizes, with one name and with two names each."""
    peaks: dict[tuple[int, int], int] = {}
    for names in (1, 2):
        for files in (bench.options.files, bench.options.large):
            bench.say(f"memory: {files:,} files, {names} name{'s' if names > 1 else ''} each")
            with bench.room() as pair:
                trees.fill(pair.source, files, every=4, names=names)
                first = bench.back_up(pair, sample=True)
                trees.change(pair.source, files, 1)
                night = bench.back_up(pair, sample=True)
            peaks[names, files] = max(first.peak, night.peak)
            what = f"{files:,} files, {names} name{'s' if names > 1 else ''} each"
            promise = kept(
                max(first.peak, night.peak) < FLAT_MEMORY, f"under {megabytes(FLAT_MEMORY)}", counts=bench.full
            )
            bench.rows.append(
                Row(f"first backup, {what}", seconds(first.seconds), memory=megabytes(first.peak), promise=promise)
            )
            bench.rows.append(
                Row(f"second night, {what}", seconds(night.seconds), memory=megabytes(night.peak), promise=promise)
            )
        ratio = peaks[names, bench.options.large] / max(1, peaks[names, bench.options.files])
        what = f"memory, {bench.options.large:,} to {bench.options.files:,} files, {names} name(s)"
        bench.rows.append(
            Row(what, "", ratio=f"{ratio:.2f}", promise=kept(ratio < 1.25, "flat: under 1.25", counts=bench.full))
        )


def one_directory(bench: Bench) -> None:
    """Peak memory with one directory of very many entries."""
    files = bench.options.directory
    bench.say(f"one directory with {files:,} entries")
    with bench.room() as pair:
        trees.fill(pair.source, files, every=4, flat=True)
        for what in ("first backup", "second night"):
            run = bench.back_up(pair, sample=True)
            promise = kept(run.peak < DIRECTORY_MEMORY, f"under {megabytes(DIRECTORY_MEMORY)}", counts=bench.full)
            name = f"{what}, one directory with {files:,} entries"
            bench.rows.append(Row(name, seconds(run.seconds), memory=megabytes(run.peak), promise=promise))


def first_backup(bench: Bench) -> None:
    """A first backup beside fpsync alone, with the same -n and the -f that suits it best."""
    files, size = bench.options.first_files, bench.options.first_size
    jobs = bench.options.jobs or os.cpu_count() or 1
    bench.options.jobs = jobs
    with bench.room() as pair:
        bench.say(f"first backup: {files:,} files of {size:,} bytes, {jobs} jobs")
        trees.fill(pair.source, files, size=size)
        top = os.path.dirname(pair.source)
        trial = {part: fpsync_alone(pair, top, jobs, part) for part in PARTITIONS}
        best = min(trial, key=lambda part: trial[part])
        bench.say("fpsync by -f: " + ", ".join(f"{part} {seconds(took)}" for part, took in trial.items()))
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(bench.options.repeat):
            theirs.append(fpsync_alone(pair, top, jobs, best))
            run = bench.back_up(pair, sample=False)
            ours.append(run.seconds)
            bench.say(f"fpsync {seconds(theirs[-1])}, ours {seconds(run.seconds)}: {_phases(run)}")
            shutil.rmtree(pair.folder)
    mine, peer = statistics.median(ours), statistics.median(theirs)
    promise = kept(mine / peer <= FIRST_RATIO, f"at most {FIRST_RATIO}", counts=bench.full)
    name = f"first backup, {files:,} files of {size:,} bytes, fpsync -n {jobs} -f {best}"
    bench.rows.append(Row(name, seconds(mine), seconds(peer), f"{mine / peer:.2f}", promise=promise))


def fpsync_alone(pair: Pair, top: str, jobs: int, files: int) -> float:
    """The seconds fpsync takes into a new directory, which goes away again."""
    target, shared = os.path.join(top, "fpsync"), os.path.join(top, "queue")
    took = timed(lambda: peers.fpsync(pair.source, target, jobs, files, shared))
    shutil.rmtree(target)
    shutil.rmtree(shared, ignore_errors=True)
    return took


def _phases(run: Measured) -> str:
    spent = json.loads(run.stdout)["seconds"]
    return ", ".join(f"{phase} {value:.2f}" for phase, value in spent.items() if value >= 0.01)


PARTS = {"night": quiet_night, "memory": memory, "directory": one_directory, "first": first_backup}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: a minute, for the shape of the table")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part only; may be given again")
    parser.add_argument("--files", type=int, help="files of the quiet night and the smaller memory run (200,000)")
    parser.add_argument("--large", type=int, help="files of the larger memory run (1,000,000)")
    parser.add_argument("--directory", type=int, help="entries of the one directory (500,000)")
    parser.add_argument("--first-files", type=int, help="files of the first backup (100,000)")
    parser.add_argument("--first-size", type=int, default=8_000, help="bytes in each of them")
    parser.add_argument(
        "--jobs", type=int, default=0, help="workers of ours and -n of fpsync (the engine's own choice)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="measured runs, of which the median counts")
    options = parser.parse_args(arguments)
    usual = (5_000, 20_000, 20_000, 5_000) if options.quick else (200_000, 1_000_000, 500_000, 100_000)
    for name, value in zip(("files", "large", "directory", "first_files"), usual, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def show(bench: Bench) -> None:
    """Print the table and the versions."""
    table = Table("operation", "ours", "peer", "ratio", "peak memory", "promise", title="efs-backup beside its peers")
    for row in bench.rows:
        table.add_row(row.operation, row.ours, row.peer, row.ratio, row.memory, row.promise)
    bench.console.print(table)
    installed = shutil.which("rsync") or "rsync"
    bench.console.print(
        f"Linux {platform.release()}, {os.cpu_count()} processors, Python {platform.python_version()}; the engine used "
        f"rsync {peers.version_of(installed)} and fpsync {peers.fpsync_version()}; all on tmpfs. "
        f"Medians of {bench.options.repeat}. Memory is the peak of PSS summed over all processes.",
        highlight=False,
    )


def main() -> int:
    """Run the parts, print the table."""
    options = parse(sys.argv[1:])
    console = Console(width=None if sys.stdout.isatty() else 160)
    if not is_root():
        console.print("tests.bench: mounting a tmpfs takes root; run it with sudo")
        return 2
    top = tempfile.mkdtemp(prefix="efs-bench-")
    bench = Bench(options, top, console)
    try:
        for name in options.only or PARTS:
            PARTS[name](bench)
    finally:
        shutil.rmtree(top, ignore_errors=True)
    show(bench)
    return 0


if __name__ == "__main__":
    sys.exit(main())
