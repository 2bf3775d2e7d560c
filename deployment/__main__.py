"""The command line: ``python -m deployment COMMAND``. The makefile has a target for each."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from deployment import drive, inputs, notices
from deployment.aws import Account
from deployment.buckets import Access
from deployment.build import build
from deployment.checksums import read_release
from deployment.errors import DeploymentError, UsageError
from deployment.launch import Launcher
from deployment.links import launch_link
from deployment.parameters import Ask, Parameter
from deployment.publish import fill_readme, publish
from deployment.release import BACKUP, PROJECT, RESTORE, SOLUTION, Release, project_version

CACHE = PROJECT / "build"
INPUTS = CACHE / "inputs"
RELEASE = PROJECT / "release"
LOCAL_BUCKET = "efs-backup-release"
STACK = "efs-backup"
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 not done, 2 a mistake of the caller's."""
    options = _parser(os.environ).parse_args(arguments)
    try:
        options.run(options)
    except UsageError as error:
        return _failed(error, 2)
    except (DeploymentError, BotoCoreError, ClientError, OSError) as error:
        return _failed(error, 1)
    except KeyboardInterrupt:
        return _failed("interrupted; what was begun in the account goes on", INTERRUPTED)
    return 0


def say(text: str) -> None:
    """Print a line for a person."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def ask(parameter: Parameter) -> str:
    """Ask a person for a parameter until the answer can be one."""
    say(f"\n{parameter.title}: {parameter.description}")
    while True:
        try:
            value = input("> ").strip()
        except EOFError as error:
            raise UsageError(f"no value for {parameter.title}") from error
        complaint = parameter.complaint(value)
        if complaint is None:
            return value
        say(complaint)


def _failed(error: Exception | str, status: int) -> int:
    line = " ".join(str(error).split())
    sys.stderr.write(f"deployment: {line}\n")
    return status


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Options have the environment's values as defaults: that is how make passes on what it is given."""
    parser = argparse.ArgumentParser(prog="python -m deployment", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        release = Path(environment.get("RELEASE") or RELEASE)
        added.add_argument("--release", type=Path, default=release, metavar="DIR", help="the release (%(default)s)")
        added.set_defaults(run=run)
        return added

    command("fetch", _fetch, "fetch the pinned inputs of a build; the only step of a build that uses the network")
    builder = command("build", _build, "build the release")
    builder.add_argument(
        "--bucket", default=environment.get("BUCKET") or LOCAL_BUCKET, help="buckets are BUCKET-REGION"
    )
    builder.add_argument("--solution", default=environment.get("SOLUTION") or SOLUTION, help="the folder in them")

    publisher = command("publish", _publish, "upload the release to a bucket in each region, and print launch links")
    publisher.add_argument("--regions", default=environment.get("REGIONS", ""), help="names, or all (yours)")
    publisher.add_argument(
        "--access", default=environment.get("ACCESS", ""), help="private, public, an organization's id"
    )
    publisher.add_argument("--readme", type=Path, default=PROJECT / "README.md", help="where the launch buttons go")

    deployer = command("deploy", _deploy, "create or update a backup stack")
    restorer = command("restore", _restore, "create a restore stack")
    restorer.add_argument(
        "--from", dest="backups", default=environment.get("FROM"), help="fill in from this backup stack"
    )
    for launcher, name in ((deployer, environment.get("STACK") or STACK), (restorer, environment.get("STACK"))):
        launcher.add_argument("--stack", default=name, help="its name")
        launcher.add_argument("--parameters", type=Path, default=environment.get("PARAMETERS"), help="a JSON file")
    for driver in (
        command("backup-now", _backup_now, "start a backup"),
        command("stop-now", _stop_now, "stop the backup that runs; the next one carries on"),
        command("test-mail", _test_mail, "send a mail to whoever is told about backups"),
    ):
        driver.add_argument("--stack", default=environment.get("STACK") or STACK, help="the backup stack (%(default)s)")
    return parser


def _fetch(_: argparse.Namespace) -> None:
    if lacking := inputs.missing(INPUTS):
        say(f"fetching {', '.join(lacking)}")
        inputs.fetch(INPUTS)


def _build(options: argparse.Namespace) -> None:
    release = Release(options.bucket, options.solution, project_version())
    build(release, inputs.verified(INPUTS), CACHE, options.release)
    say(f"{options.release}: {release.solution} {release.version} for the buckets {release.bucket}-REGION")


def _publish(options: argparse.Namespace) -> None:
    release, access = read_release(options.release), Access(options.access) if options.access else None
    regions = publish(Account(), release, options.release, options.regions.split(), access)
    for region in regions:
        say(f"{region.name}: s3://{release.bucket_in(region.name)}/{release.prefix}/")
        for what, template in (("back up", BACKUP), ("restore", RESTORE)):
            say(f"  {what}: {launch_link(release, region, template)}")
    fill_readme(options.readme, release, regions)


def _deploy(options: argparse.Namespace) -> None:
    launcher = _launcher(options)
    stack = launcher.deploy(options.stack, options.parameters)
    for name, value in stack.outputs.items():
        say(f"  {name}: {value}")
    say(f"  restore: {launcher.restore_link(stack)}")


def _restore(options: argparse.Namespace) -> None:
    stack = _launcher(options).restore(options.stack, options.backups, options.parameters)
    say(f"{stack.name}: the restore has begun; a mail says how it went")


def _backup_now(options: argparse.Namespace) -> None:
    say(drive.backup_now(Account(), options.stack))


def _stop_now(options: argparse.Namespace) -> None:
    say(drive.stop_now(Account(), options.stack))


def _test_mail(options: argparse.Namespace) -> None:
    say(f"{options.stack}: {notices.send_test_mail(Account(), options.stack)}")


def _launcher(options: argparse.Namespace) -> Launcher:
    asking: Ask | None = ask if sys.stdin.isatty() else None
    return Launcher(Account(), options.release, say, asking)


if __name__ == "__main__":
    sys.exit(main())
