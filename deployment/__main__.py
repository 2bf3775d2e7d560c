"""The command line: ``python -m deployment COMMAND``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from deployment import inputs
from deployment.build import build
from deployment.errors import DeploymentError, UsageError
from deployment.release import PROJECT, SOLUTION, Release, project_version

CACHE = PROJECT / "build"
INPUTS = CACHE / "inputs"
RELEASE = PROJECT / "release"
LOCAL_BUCKET = "efs-backup-release"


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 not done, 2 a mistake of the caller's."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except DeploymentError as error:
        sys.stderr.write(f"deployment: {error}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


def say(text: str) -> None:
    """Print a line for a person."""
    sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployment", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    fetch = commands.add_parser("fetch", help="fetch the pinned inputs of a build; the only step that uses the network")
    fetch.set_defaults(run=_fetch)

    builder = commands.add_parser("build", help="build the release")
    builder.add_argument("--bucket", default=os.environ.get("BUCKET") or LOCAL_BUCKET, help="buckets are BUCKET-REGION")
    builder.add_argument("--solution", default=os.environ.get("SOLUTION") or SOLUTION, help="the folder in them")
    builder.add_argument("--directory", type=Path, default=RELEASE, help="where to build it (%(default)s)")
    builder.set_defaults(run=_build)
    return parser


def _fetch(options: argparse.Namespace) -> None:
    if lacking := inputs.missing(INPUTS):
        say(f"fetching {', '.join(lacking)}")
        inputs.fetch(INPUTS)


def _build(options: argparse.Namespace) -> None:
    release = Release(options.bucket, options.solution, project_version())
    build(release, inputs.verified(INPUTS), CACHE, options.directory)
    say(f"{options.directory}: {release.solution} {release.version} for the buckets {release.bucket}-REGION")


if __name__ == "__main__":
    sys.exit(main())
