"""The command line: words in, exit status out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from efs_backup import __version__
from efs_backup.pure.errors import CALLERS_MISTAKE, DONE, NOT_DONE, BackupError, explain, one_line, place_of
from efs_backup.pure.layout import checked_interval, checked_label
from efs_backup.pure.retention import checked_retain


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"efs-backup: {one_line(message)} (efs-backup --help says more)", file=sys.stderr)  # noqa: T201
        raise SystemExit(CALLERS_MISTAKE)


_EXAMPLES = """\
examples:
  efs-backup backup --source /mnt/source --backup /mnt/backup
  efs-backup list --backup /mnt/backup
  efs-backup verify --backup /mnt/backup --all
  efs-backup restore --backup /mnt/backup --source /mnt/source --subdir /home/ --dry-run

exit status: 0 done; 1 not done, or only in part; 2 a mistake in the call; 75 another run holds the lock
"""


_VERBS = {
    "backup": (
        "make a snapshot of the source",
        """\
  efs-backup backup --source /mnt/source --backup /mnt/backup
  efs-backup backup --source /mnt/source --backup /mnt/backup --interval weekly --retain 4
""",
    ),
    "list": (
        "show the snapshots",
        """\
  efs-backup list --backup /mnt/backup
  efs-backup list --backup /mnt/backup --interval weekly --json
""",
    ),
    "verify": (
        "hold snapshots against their checksums",
        """\
  efs-backup verify --backup /mnt/backup
  efs-backup verify --backup /mnt/backup --all
  efs-backup verify --backup /mnt/backup --number 0 --source /mnt/source
""",
    ),
    "restore": (
        "bring a snapshot, or a part of it, back",
        """\
  what would be done:      efs-backup restore --backup /mnt/backup --source /mnt/source --dry-run
  one directory:           efs-backup restore --backup /mnt/backup --source /mnt/source --number 1 --subdir /home/
  one file of it:          efs-backup restore --backup /mnt/backup --source /mnt/source --subdir /home/ --path notes.txt
  beside the live tree:    efs-backup restore --backup /mnt/backup --source /mnt/source --to /mnt/source/restored
  exactly as it was:       efs-backup restore --backup /mnt/backup --source /mnt/source --delete
""",
    ),
}
"""What each verb does, and calls of it that work."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = _Parser(
        prog="efs-backup",
        description="Exact, browsable, verified snapshots of a directory tree on another file system.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"efs-backup {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for add, (verb, (says, examples)) in zip(
        (_add_backup, _add_list, _add_verify, _add_restore), _VERBS.items(), strict=True
    ):
        add(
            verbs.add_parser(
                verb,
                help=says,
                description=f"{says[0].upper()}{says[1:]}.",
                epilog=f"examples:\n{examples}",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    return top


def _add_common(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--backup", required=True, metavar="DIR", help="where the backup file system is mounted")
    verb.add_argument(
        "--folder-label", default="efs-backup", metavar="NAME", help="folder of the snapshots (efs-backup)"
    )
    verb.add_argument(
        "--interval", default="daily", metavar="NAME", help="name of the snapshots: NAME.0, NAME.1 … (daily)"
    )
    verb.add_argument("--json", action="store_true", help="print one JSON object, and nothing else, on standard output")


def _add_backup(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--source", required=True, metavar="DIR", help="the tree to back up")
    _add_common(verb)
    verb.add_argument("--retain", default="7", metavar="N", help="how many complete snapshots are kept (7)")
    verb.add_argument(
        "--workers", metavar="N", help="how many files are worked on at once (by the kind of file system)"
    )
    verb.add_argument("--allow-empty", action="store_true", help="back up a source that has become empty")
    verb.add_argument("--accept-source", action="store_true", help="back up another source than the last time")
    verb.add_argument("--source-id", metavar="TEXT", help="names the source file system, where the mount does not")
    verb.add_argument("--log-dir", metavar="DIR", help="keep the log of fpsync in this directory")
    verb.add_argument("--progress-file", metavar="FILE", help="rewrite FILE with the progress every few seconds")
    verb.set_defaults(run=_backup)


def _backup(words: argparse.Namespace) -> int:
    from efs_backup.flow.backup import backup
    from efs_backup.flow.options import BackupOptions, checked_workers

    options = BackupOptions(
        words.source, words.backup, checked_label(words.folder_label), checked_interval(words.interval),
        checked_retain(words.retain), checked_workers(words.workers) if words.workers is not None else None,
        words.allow_empty, words.accept_source, words.source_id, words.log_dir, words.progress_file,
    )  # fmt: skip
    report = backup(options)
    _say(words, report.to_plain(), report.lines)
    return DONE if report.complete else NOT_DONE


def _add_list(verb: argparse.ArgumentParser) -> None:
    _add_common(verb)
    verb.set_defaults(run=_list)


def _list(words: argparse.Namespace) -> int:
    from efs_backup.flow.inventory import HEAD, inventory

    found = inventory(words.backup, checked_label(words.folder_label), checked_interval(words.interval))
    if found.snapshots and not words.json and sys.stdout.isatty():
        from efs_backup.flow.terminal import show_table  # rich takes a tenth of a second to import

        show_table(HEAD, found.rows())
    else:
        _say(words, found.to_plain(), found.lines)
    return DONE


def _add_choice(verb: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    which = verb.add_mutually_exclusive_group()
    which.add_argument("--number", metavar="N", help="which snapshot, as numbered now (0, the newest)")
    which.add_argument("--snapshot", metavar="ID", help="which snapshot, by the id that stays with it")
    return which


def _add_verify(verb: argparse.ArgumentParser) -> None:
    _add_common(verb)
    _add_choice(verb).add_argument("--all", action="store_true", help="all snapshots, newest first")
    verb.add_argument("--source", metavar="DIR", help="also name what differs from this tree now")
    verb.add_argument("--workers", metavar="N", help="how many files are read at once (by the kind of file system)")
    verb.set_defaults(run=_verify)


def _verify(words: argparse.Namespace) -> int:
    from efs_backup.flow.options import checked_workers
    from efs_backup.flow.snapshots import checked_number
    from efs_backup.flow.verify import VerifyOptions, verify

    options = VerifyOptions(
        words.backup, checked_label(words.folder_label), checked_interval(words.interval),
        checked_number(words.number) if words.number is not None else None, words.snapshot, words.all, words.source,
        checked_workers(words.workers) if words.workers is not None else None,
    )  # fmt: skip
    report = verify(options)
    for checked in report.snapshots:
        if checked.note:
            print(f"efs-backup: {report.interval}.{checked.number}: {one_line(checked.note)}", file=sys.stderr)  # noqa: T201
    _say(words, report.to_plain(), report.lines)
    return DONE if report.sound else NOT_DONE


def _add_restore(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--source", required=True, metavar="DIR", help="the tree the snapshot came from")
    _add_common(verb)
    _add_choice(verb)
    verb.add_argument("--subdir", default="/", metavar="/X/", help="only this directory of the snapshot (/)")
    verb.add_argument(
        "--path", action="append", default=[], metavar="REL", help="only this file or directory of it; repeatable"
    )
    verb.add_argument("--to", metavar="DIR", help="restore under DIR instead of the source")
    verb.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
    verb.add_argument("--delete", action="store_true", help="also remove what the snapshot does not have")
    verb.add_argument(
        "--workers", metavar="N", help="how many files are worked on at once (by the kind of file system)"
    )
    verb.add_argument("--source-id", metavar="TEXT", help="names the source file system, where the mount does not")
    verb.add_argument("--log-dir", metavar="DIR", help="keep the log of fpsync in this directory")
    verb.add_argument("--progress-file", metavar="FILE", help="rewrite FILE with the progress every few seconds")
    verb.set_defaults(run=_restore)


def _restore(words: argparse.Namespace) -> int:
    from efs_backup.flow.options import checked_workers
    from efs_backup.flow.restore import RestoreOptions, checked_path, checked_subdirectory, restore
    from efs_backup.flow.snapshots import checked_number

    options = RestoreOptions(
        words.backup, words.source, checked_label(words.folder_label), checked_interval(words.interval),
        checked_number(words.number) if words.number is not None else None, words.snapshot,
        checked_subdirectory(words.subdir), tuple(checked_path(path) for path in words.path), words.to, words.dry_run,
        words.delete, checked_workers(words.workers) if words.workers is not None else None, words.source_id,
        words.log_dir, words.progress_file,
    )  # fmt: skip
    report = restore(options)
    _say(words, report.to_plain(), report.lines)
    return NOT_DONE if report.failed else DONE


def _say(words: argparse.Namespace, plain: dict[str, Any], lines: Callable[[], list[str]]) -> None:
    if words.json:
        print(json.dumps(plain))  # noqa: T201
    else:
        print("\n".join(one_line(line) for line in lines()))  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status. Errors are one line on standard error."""
    words = parser().parse_args(arguments)
    try:
        status: int = words.run(words)
    except BackupError as error:
        print(f"efs-backup: {one_line(str(error))}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    except OSError as error:
        # Where something could be done about it it has been handled; a person is owed one line all the same.
        print(f"efs-backup: {_explained(error, words.backup)}", file=sys.stderr)  # noqa: T201
        return NOT_DONE
    return status


def _explained(error: OSError, backup: str) -> BackupError:
    if isinstance(error.filename, int):
        # A descriptor: what is listed or looked at by one is a directory of the backup.
        return BackupError(one_line(f"cannot read a directory under {backup}: {error.strerror}"))
    return explain(error, place_of(error, "a file of this machine (is TMPDIR or /dev/shm full?)"))
