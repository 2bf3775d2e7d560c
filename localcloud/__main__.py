"""The command line of the local cloud: ``python -m localcloud start``, look around, ``python -m localcloud stop``."""

import argparse
import re
import shutil
import sys
from datetime import timedelta
from pathlib import Path

from localcloud.client import REGION, LocalCloud, LocalCloudError, StackFailed
from localcloud.clock import ClockError
from localcloud.solution import BackupStack, Release, ReleaseError, Solution

DIRECTORY = Path(".cloud")
PORT = 4599
DURATION = re.compile(r"(\d+)([dhms])")
UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


class UsageError(Exception):
    """A mistake of the caller's; the message says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 not done, 2 a mistake of the caller's."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except UsageError as error:
        sys.stderr.write(f"localcloud: {error}\n")
        return 2
    except (LocalCloudError, ClockError, ReleaseError, StackFailed) as error:
        sys.stderr.write(f"localcloud: {error}\n")
        return 1
    return 0


def say(text: str) -> None:
    """Print a text for a person."""
    sys.stdout.write(f"{text}\n")


def duration(text: str) -> timedelta:
    """Return what ``1d12h30m`` means.

    Raises:
        UsageError: it is no duration.
    """
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{text}: no duration; write for example 30m, 8h or 1d12h")
    return sum((timedelta(**{UNITS[unit]: int(number)}) for number, unit in parts), timedelta())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localcloud", description="The local cloud: AWS on one machine.")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where it keeps everything (%(default)s)")
    commands = parser.add_subparsers(required=True, metavar="command")

    start = commands.add_parser("start", help="start it and leave it running")
    start.add_argument("--port", type=int, default=PORT, help="port of localhost (%(default)s)")
    start.add_argument("--region", default=REGION, help="(%(default)s)")
    start.add_argument("--release", type=Path, help="deploy a backup stack from this release, with a source to back up")
    start.set_defaults(run=_start)

    advance = commands.add_parser("advance", help="move its clock forward")
    advance.add_argument("duration", help="for example 30m, 8h or 1d12h")
    advance.set_defaults(run=_advance)

    confirm = commands.add_parser("confirm", help="confirm the mail subscriptions of an address")
    confirm.add_argument("address")
    confirm.set_defaults(run=_confirm)

    commands.add_parser("mails", help="print the delivered mails").set_defaults(run=_mails)
    commands.add_parser("instances", help="list the instances that run").set_defaults(run=_instances)
    commands.add_parser("problems", help="print what went wrong inside").set_defaults(run=_problems)
    commands.add_parser("stop", help="end it, and everything in it").set_defaults(run=_stop)
    return parser


def _start(options: argparse.Namespace) -> None:
    directory = options.directory.resolve()
    if LocalCloud.attach(directory) is not None:
        raise UsageError(f"a local cloud runs in {directory}; end it with: python -m localcloud stop")
    shutil.rmtree(directory, ignore_errors=True)
    release = Release.read(options.release) if options.release else None
    cloud = LocalCloud(directory, options.port, options.region)
    cloud.start(stay=True)
    if release is not None:
        say(deployed(Solution(cloud, release).deploy_backup()))
    say(how_to_look_around(cloud))


def deployed(backups: BackupStack) -> str:
    """Put something into the source of a new backup stack, and return what a person has to know of it."""
    (backups.source / "hello").write_text("a file to back up\n")
    return f"""The backup stack {backups.stack.name} is deployed, and backs up every night at 2:00 UTC.
  source: {backups.source}
  snapshots, after the first night: {backups.folder}
  let a night pass: python -m localcloud advance 1d
"""


def how_to_look_around(cloud: LocalCloud) -> str:
    """Return what a person who sees a running cloud for the first time needs."""
    return f"""The local cloud runs at {cloud.endpoint}; everything it keeps is in {cloud.directory}.
Its dashboards, for a browser: {cloud.endpoint}/_localcloud/dashboard/

  export AWS_ENDPOINT_URL={cloud.endpoint} AWS_DEFAULT_REGION={cloud.region}
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  aws cloudformation describe-stacks
  aws dynamodb list-tables
  aws logs tail /aws/lambda/NAME
  aws autoscaling describe-scaling-activities

  python -m localcloud advance 8h           move the clock, and what is due happens
  python -m localcloud confirm ADDRESS      mail is delivered only after this
  python -m localcloud mails                (also files: {cloud.directory}/mails)
  python -m localcloud instances            (file systems: {cloud.directory}/file-systems)
  python -m localcloud problems
  python -m localcloud stop"""


def _running(options: argparse.Namespace) -> LocalCloud:
    cloud = LocalCloud.attach(options.directory.resolve())
    if cloud is None:
        raise UsageError(f"no local cloud runs in {options.directory}; start one with: python -m localcloud start")
    return cloud


def _advance(options: argparse.Namespace) -> None:
    cloud = _running(options)
    # A person looks on: what an instance does takes no time of the cloud's, unless it waits for time to pass.
    cloud.control("advance", seconds=duration(options.duration).total_seconds(), rest=True)
    say(f"It is {cloud.clock.now():%Y-%m-%d %H:%M:%S} UTC in the local cloud.")


def _confirm(options: argparse.Namespace) -> None:
    count = _running(options).confirm(options.address)
    say(f"{options.address}: {count} subscriptions confirmed")


def _mails(options: argparse.Namespace) -> None:
    for mail in _running(options).mails:
        say(f"{mail.path}\nTo: {mail.to}\nSubject: {mail.subject}\n\n{mail.body.rstrip()}\n{'-' * 72}")


def _instances(options: argparse.Namespace) -> None:
    for instance in _running(options).control("instances"):
        say(f"{instance['id']}  files: {instance['root']}")


def _problems(options: argparse.Namespace) -> None:
    for problem in _running(options).problems:
        say(f"{problem['where']}: {problem['what']}")


def _stop(options: argparse.Namespace) -> None:
    _running(options).stop()


if __name__ == "__main__":
    sys.exit(main())
