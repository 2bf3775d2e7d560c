"""``python -m tests.demo RELEASE``: the whole solution on the local cloud, from the deployment to a restore.

Each step says what happens and why, shows what the user would see, and checks what it told: the demonstration ends with
a status other than 0 when anything is not as said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from localcloud import LocalCloud, LocalCloudError, Mail, StackFailed
from localcloud.__main__ import DIRECTORY
from localcloud.solution import EMAIL, BackupStack, Item, Release, ReleaseError, Solution
from rich.console import Console
from rich.text import Text

from tests.demo.telling import NotAsToldError, Voice, expect
from tests.support.changes import content, overwrite
from tests.support.tree import Tree, differences, snapshot_of
from tests.support.zoo import make_plain, plain_file, write

FILES, NEW_FILES = 600, 30_000
RETAIN = "3"


@dataclass
class Demo(Voice):
    """The cloud, the stack, and the voice that tells."""

    cloud: LocalCloud = field(kw_only=True)
    release: Release = field(kw_only=True)
    backups: BackupStack = field(init=False)

    @property
    def source(self) -> str:
        """The directory that is backed up."""
        return str(self.backups.source)

    def night(self, status: str = "Success") -> Item:
        """Let a night pass and show its item; its status must be the one that is told."""
        item = self.backups.night()
        self.show_night(item, status)
        return item

    def show_night(self, item: Item, status: str) -> None:
        """Show the item of a backup that is over."""
        self.aside(f"[{item['BackupStartTime']} UTC] {item['BackupId']}: {item['BackupStatus']}{transferred(item)}")
        expect(item["BackupStatus"] == status, f"the night ended with {item['BackupStatus']}, not {status}")
        expect(not self.backups.leftovers(), f"something is left: {self.backups.leftovers()}")

    def mail(self, lines: int) -> Mail:
        """Show the beginning of the newest mail."""
        mail = self.backups.mails[-1]
        shown = mail.body.splitlines()[:lines]
        self.said("\n".join([f"Subject: {mail.subject}", "", *shown, "…"]), lines + 4)
        return mail

    def newest_is(self, wanted: Tree) -> None:
        """The newest snapshot must be exactly this tree."""
        found = differences(wanted, snapshot_of(str(self.backups.snapshot())))
        expect(not found, f"the snapshot differs: {found[:5]}")
        self.note("daily.0 is the source in every name, byte, owner, mode, time and link")


def transferred(item: Item) -> str:
    """What a backup's item says about its files."""
    if "NumberOfFilesTransferred" not in item:
        return ""
    return f", {item['NumberOfFilesTransferred']:,} of {item['NumberOfFiles']:,} files copied"


def deploy(demo: Demo) -> None:
    """The stack is there."""
    demo.tell("The backup stack is deployed: the release's own template, functions and agent, on a local cloud.")
    solution = Solution(demo.cloud, demo.release)
    demo.backups = solution.deploy_backup({"Retain": RETAIN, "BackupWindow": "60"})
    demo.command("aws cloudformation describe-stacks --stack-name nightly")
    shown = ("SourceEFS", "BackupEFS", "LogBucket", "SNSTopic", "AmiId")
    demo.table(["output", "value"], [(name, demo.backups.stack.outputs[name]) for name in shown])
    demo.note(f"CREATE_COMPLETE; {EMAIL} has followed the link in the confirmation mail")
    make_plain(demo.source, FILES, size=2000)
    os.link(plain_file(demo.source, 1), f"{demo.source}/second name of a file")
    os.symlink("second name of a file", f"{demo.source}/link")
    demo.note(f"the source file system, {demo.backups.parameters['SrcEFS']}, holds {FILES:,} files")


def first_night(demo: Demo) -> None:
    """The schedule fires, an instance copies everything."""
    demo.tell(
        "The clock moves to 02:00. The schedule invokes the orchestrator, it sets the group's capacity to 1; an"
        " instance boots, mounts both file systems, and copies everything."
    )
    demo.night()
    log = next(text for key, text in demo.backups.logs("ec2-logs").items() if "cloud-init.log" not in key)
    demo.said("\n".join(line for line in log.splitlines() if line[:2] == "20"), 8)
    demo.newest_is(snapshot_of(demo.source))
    demo.aside("The mail that follows:")
    demo.mail(16)
    demo.note("the instance is gone, capacity is 0, and the rule that would have ended the window is removed")


def more_nights(demo: Demo) -> None:
    """Only changes are copied."""
    demo.tell(f"More nights: what changed is copied, all else is linked; {RETAIN} snapshots are kept.")
    for night in range(3):
        for number in range(5):
            write(plain_file(demo.source, 50 * night + number), content(night, 700))
        os.unlink(plain_file(demo.source, 400 + night))
        demo.night()
    demo.newest_is(snapshot_of(demo.source))
    demo.command(f"ls {demo.backups.folder}")
    demo.said("  ".join(demo.backups.snapshots))
    expect(demo.backups.snapshots == ["daily.0", "daily.1", "daily.2"], f"snapshots: {demo.backups.snapshots}")


def night_cut_off(demo: Demo) -> None:
    """The window ends first."""
    demo.tell(f"{NEW_FILES:,} new files come, and the window (here an hour) ends while they are copied.")
    make_plain(f"{demo.source}/new", NEW_FILES, size=1000)
    before = count(demo.backups.folder)
    demo.cloud.clock.advance_to_hour(2)
    demo.cloud.wait_for(lambda: count(demo.backups.folder) > before + NEW_FILES // 50, "the first copies", 120)
    demo.cloud.clock.advance(minutes=50)
    demo.cloud.wait_quiet()
    demo.show_night(demo.backups.items[-1], "Incomplete")
    demo.mail(3)
    demo.note("the instance stopped in good order; nothing half done is published: daily.0 is what it was")
    demo.tell("The next night carries on where that one stopped.")
    item = demo.night()
    expect(item["NumberOfFilesTransferred"] < NEW_FILES, "everything was copied again")
    demo.newest_is(snapshot_of(demo.source))


def count(directory: Path) -> int:
    """How many files are below a directory."""
    return sum(len(files) for _, _, files in os.walk(directory))


def night_that_fails(demo: Demo) -> None:
    """A file system cannot be mounted."""
    demo.tell("The source's mount targets are gone: the night fails, says so, and leaves the snapshots alone.")
    file_system = demo.cloud.file_system(demo.backups.parameters["SrcEFS"])
    file_system.unresolvable()
    file_system.hidden()
    demo.night("Unsuccessful")
    demo.mail(20)
    file_system.unresolvable(False)
    file_system.hidden(False)


def restore(demo: Demo) -> None:
    """An accident, a preview, a restore."""
    wanted = snapshot_of(demo.source)
    demo.tell("An accident on the source: a directory is deleted, a file overwritten; a colleague adds a file.")
    shutil.rmtree(f"{demo.source}/000/000002")
    overwrite(plain_file(demo.source, 7), 1)
    write(f"{demo.source}/colleague", b"must not be lost")
    chosen = next(item["SnapshotId"] for item in reversed(demo.backups.items) if "SnapshotId" in item)
    demo.aside(f"The mail of the last good night has a link to the restore template, filled in; snapshot {chosen}.")
    demo.tell("A restore stack with Preview says what it would do, and does nothing.")
    damaged = snapshot_of(demo.source)
    launch(demo, "preview", {"SnapshotId": chosen, "Preview": "Yes"})
    expect(not differences(damaged, snapshot_of(demo.source)), "the preview changed something")
    demo.tell("A restore stack brings back what is missing or differs, and deletes nothing.")
    launch(demo, "restore", {"SnapshotId": chosen})
    left = differences(wanted, snapshot_of(demo.source))
    expect(any("colleague" in line for line in left), "the colleague's file is gone")
    expect(all("colleague" in line or "b'.' mtime_ns" in line for line in left), f"not all came back: {left[:5]}")
    demo.note("all is as it was, and the colleague's file is still there")


def launch(demo: Demo, name: str, parameters: dict[str, str]) -> None:
    """Launch a restore stack, wait for its end, show its mail, delete it."""
    stack = demo.backups.solution.deploy_restore(demo.backups, parameters, name)
    stack.wait()
    expect(demo.mail(22).subject.startswith(f"EFS {name} Success"), f"the {name} did not succeed")
    demo.cloud.delete(stack.stack)


def look_around(demo: Demo) -> None:
    """Everything that is left, and where."""
    backups = demo.backups
    demo.tell("What there is to look at.")
    demo.command("aws dynamodb scan --table-name nightly")
    demo.table(
        ["BackupId", "BackupStatus", "files", "copied"],
        [
            (
                item["BackupId"],
                item["BackupStatus"],
                item.get("NumberOfFiles", "-"),
                item.get("NumberOfFilesTransferred", "-"),
            )
            for item in backups.items
        ],
    )
    demo.command(f"aws s3 ls --recursive s3://{backups.stack.outputs['LogBucket']}")
    prefixes = ("ec2-logs", "efs-backup-log", "ssm-logs", "efs-restore-logs")
    demo.table(["prefix", "objects"], [(f"{prefix}/", len(backups.logs(prefix))) for prefix in prefixes])
    demo.command(f"grep -h ^Subject: {demo.cloud.directory}/mails/*")
    demo.said("\n".join(mail.subject for mail in demo.cloud.mails), 20)
    demo.table(
        ["look at", "in"],
        [
            ("the snapshots", backups.folder),
            ("the source", backups.source),
            ("the mails", demo.cloud.directory / "mails"),
            ("the instances' own logs", demo.cloud.directory / "logs"),
        ],
    )


STORY: tuple[Callable[[Demo], None], ...] = (
    deploy, first_night, more_nights, night_cut_off, night_that_fails, restore, look_around,
)  # fmt: skip


def main() -> int:
    """Tell the story."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("release", type=Path, help="the release to deploy (make release builds it in release/)")
    options = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    directory = DIRECTORY.resolve()
    if os.geteuid() != 0 or LocalCloud.attach(directory) is not None:
        console.print("tests.demo: run it as root, and end the local cloud that runs: python -m localcloud stop")
        return 2
    shutil.rmtree(directory, ignore_errors=True)
    began = time.monotonic()
    try:
        with LocalCloud(directory) as cloud:
            cloud.clock.advance_to_hour(12, 30)  # the story is the same at whatever hour it is told
            demo = Demo(console, cloud=cloud, release=Release.read(options.release))
            for part in STORY:
                part(demo)
    except (NotAsToldError, LocalCloudError, ReleaseError, StackFailed) as error:
        console.print(Text(f"\nNot as told: {error}", style="bold red"))
        return 1
    console.print(Text(f"\nAll as told, in {time.monotonic() - began:.0f} seconds.", style="bold green"))
    console.print("The files stay until the next demonstration. For a cloud that stays and answers: make cloud")
    return 0


if __name__ == "__main__":
    sys.exit(main())
