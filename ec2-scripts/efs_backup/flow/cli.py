"""The command line: words in, exit status out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from efs_backup import __version__
from efs_backup.pure.errors import CALLERS_MISTAKE, DONE, NOT_DONE, BackupError, one_line
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
    _add_backup(verbs.add_parser("backup", help="make a snapshot of the source"))
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
    return status
