"""``python -m tests.demo.engine``: the engine alone: nights, a run cut off and carried on, a verify, a restore.

Each step says in a line what happens and why, shows the command as it would be typed, and checks what it told: the
demonstration ends with a status other than 0 when anything is not as said. ``--keep`` leaves the trees to look at.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from tests.demo.telling import NotAsToldError, Voice, expect
from tests.support.changes import content, overwrite
from tests.support.command import DONE, NOT_DONE, Pair, command_line, environment
from tests.support.tree import Tree, differences, snapshot_of
from tests.support.zoo import make_plain, plain_file, write

FILES = 3000
NEW_FILES = 20_000
RETAIN = "3"


@dataclass
class Demo(Voice):
    """The trees and the voice that tells."""

    pair: Pair = field(kw_only=True)

    def show(self, arguments: tuple[str, ...]) -> None:
        """Print a command as it would be typed."""
        self.command(f"efs-backup {shlex.join(arguments)}")

    def arguments(self, verb: str, *more: str) -> tuple[str, ...]:
        """A command on the two trees."""
        source = ("--source", self.pair.source) if verb in ("backup", "restore") else ()
        return (verb, *source, "--backup", self.pair.backup, *more)

    def run(self, verb: str, *more: str, status: int = DONE, lines: int = 12) -> str:
        """Show a command, run it, show what it says; its status must be the one that is told."""
        arguments = self.arguments(verb, *more)
        self.show(arguments)
        done = subprocess.run(command_line(*arguments), capture_output=True, env=environment(), check=False)
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        self.said(said, lines)
        if done.returncode:
            self.aside(f"(exit status {done.returncode})")
        expect(done.returncode == status, f"efs-backup {verb} ended with {done.returncode}, not {status}")
        return said

    def newest_is(self, wanted: Tree) -> None:
        """The newest snapshot must be exactly this tree."""
        found = differences(wanted, snapshot_of(self.pair.snapshot()))
        expect(not found, f"the snapshot differs: {found[:5]}")
        self.note("daily.0 is the source in every name, byte, owner, mode, time and link")


def build_source(demo: Demo) -> None:
    """The tree that is backed up."""
    source = demo.pair.source
    demo.tell(f"A source with {FILES} files, and some of what real trees have: hard links, odd names, a sparse file.")
    make_plain(source, FILES, size=2000)
    os.link(plain_file(source, 1), f"{source}/second name of a file")
    write(os.fsencode(source) + b"/-odd\nname \xff", b"a name with a newline that is no text")
    os.symlink("second name of a file", f"{source}/link")
    with open(f"{source}/sparse", "wb") as file:
        file.truncate(64 << 20)
    demo.note(f"{source} holds {len(snapshot_of(source, content=False))} entries")


def first_night(demo: Demo) -> None:
    """Everything is copied."""
    demo.tell("The first night copies everything; the snapshot is a plain directory that anyone can browse.")
    demo.run("backup", "--retain", RETAIN)
    demo.newest_is(snapshot_of(demo.pair.source))


def more_nights(demo: Demo) -> None:
    """Only what changed is copied; old snapshots go."""
    demo.tell(f"More nights with changes: only these are copied, all else is linked; {RETAIN} snapshots are kept.")
    first = snapshot_of(demo.pair.snapshot())
    for night in range(4):
        for number in range(20):
            write(plain_file(demo.pair.source, 100 * night + number), content(night, 700))
        os.unlink(plain_file(demo.pair.source, 1000 + night))
        os.chmod(plain_file(demo.pair.source, 2000 + night), 0o4711)
        demo.run("backup", "--retain", RETAIN, lines=3)
        if night == 0:
            expect(not differences(first, snapshot_of(demo.pair.snapshot(1))), "an older snapshot has changed")
            demo.note("the snapshot of the night before is as it was: a published snapshot never changes")
    demo.newest_is(snapshot_of(demo.pair.source))
    demo.run("list")
    expect(len(demo.pair.list()) == int(RETAIN), f"not {RETAIN} snapshots")


def night_cut_off(demo: Demo) -> None:
    """A run ends before it is done, the next one goes on."""
    pair = demo.pair
    demo.tell(f"{NEW_FILES:,} new files come, and the night's run is stopped in the middle, as by the end of a window.")
    before = pair.list()
    for number in range(NEW_FILES):
        write(f"{pair.source}/new/{number // 100:03d}/file-{number:05d}", content(number % 50, 4000))
    arguments = demo.arguments("backup", "--retain", RETAIN)
    demo.show(arguments)
    process = subprocess.Popen(
        command_line(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment()
    )
    copied = wait_for_copies(demo, process, NEW_FILES // 50)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    demo.said(output.decode(errors="replace").strip(), 4)
    demo.aside(f"(SIGTERM after {copied} new files; exit status {process.returncode})")
    expect(process.returncode == NOT_DONE, f"the run that was cut off ended with {process.returncode}")
    expect(pair.list() == before, "a run that was cut off published something")
    demo.note("nothing half done is published: the list is what it was")
    demo.tell("The next run carries on where that one stopped.")
    demo.run("backup", "--retain", RETAIN, lines=4)
    demo.newest_is(snapshot_of(pair.source))


def wait_for_copies(demo: Demo, process: subprocess.Popen[bytes], enough: int) -> int:
    """Wait until some of the new files are copied; how many there are."""
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        copied = 0
        for directory, names, files in os.walk(f"{demo.pair.folder}/.efs-backup"):
            names[:] = [name for name in names if name != "000"]
            copied += len(files) if "/new/" in directory + "/" else 0
        if copied >= enough:
            return copied
        time.sleep(0.01)
    raise NotAsToldError("the run ended before it could be cut off")


def verify_and_damage(demo: Demo) -> None:
    """Checksums find what nothing else does."""
    demo.tell("Verify reads every file of a snapshot again and compares it with the checksum taken when it was copied.")
    demo.run("verify")
    victim = plain_file(demo.pair.snapshot(), 42)
    demo.tell("One byte of the backup is changed, its time put back, as a failing disk would do; verify finds it.")
    overwrite_one_byte(victim)
    said = demo.run("verify", status=NOT_DONE)
    expect(os.path.basename(victim) in said, "verify does not name the damaged file")
    demo.tell("The next night takes the file from the source again, and all is well.")
    demo.run("backup", "--retain", RETAIN, lines=3)
    demo.run("verify", lines=3)


def overwrite_one_byte(path: str) -> None:
    """Change the first byte of a file; size and time stay."""
    info = os.stat(path)
    with open(path, "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def restore_with_preview(demo: Demo) -> None:
    """What was lost comes back."""
    source = demo.pair.source
    wanted = snapshot_of(source)
    demo.tell("An accident on the source: a directory is deleted, a file overwritten; a colleague adds a file.")
    shutil.rmtree(f"{source}/000/000002")
    overwrite(plain_file(source, 7), 1)
    write(f"{source}/new/colleague", b"must not be lost")
    damaged = snapshot_of(source)
    demo.tell("The preview says what a restore would do, and does nothing.")
    said = demo.run("restore", "--dry-run", lines=8)
    expect("file-" in said, "the preview names no file")
    expect(not differences(damaged, snapshot_of(source)), "the preview changed something")
    demo.tell("The restore brings back what is missing or differs, and deletes nothing.")
    demo.run("restore", lines=4)
    left = differences(wanted, snapshot_of(source))
    expect(any("colleague" in line for line in left), "the colleague's file is gone")
    expect(all("colleague" in line or "b'new' mtime_ns" in line for line in left), f"not all came back: {left[:5]}")
    demo.note("all is as it was, and the colleague's file is still there")


STORY = (build_source, first_night, more_nights, night_cut_off, verify_and_damage, restore_with_preview)


def main() -> int:
    """Tell the story."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.engine", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave source and backup to look at")
    keep = parser.parse_args().keep
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if os.geteuid() != 0:
        console.print("tests.demo.engine: keeping owners takes root; run it with sudo")
        return 2
    top = tempfile.mkdtemp(prefix="efs-backup-demo-")
    pair = Pair(f"{top}/source", f"{top}/backup")
    os.mkdir(pair.source)
    os.mkdir(pair.backup)
    demo, began = Demo(console, pair=pair), time.monotonic()
    try:
        for part in STORY:
            part(demo)
    except NotAsToldError as error:
        console.print(Text(f"\nNot as told: {error}", style="bold red"))
        return 1
    finally:
        if not keep:
            shutil.rmtree(top)
    console.print(Text(f"\nAll as told, in {time.monotonic() - began:.0f} seconds.", style="bold green"))
    if keep:
        console.print(Text(f"To look at: {pair.source} and {pair.folder}"), soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
