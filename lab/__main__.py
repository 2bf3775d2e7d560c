"""The lab's command line: build the image, run a job in it, boot the release, run the tests, run the benchmark."""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from lab import bench, host, image, machine, suite, table, work

BUILD = work.REPOSITORY / "build"
BOOT = work.REPOSITORY / "tests" / "boot"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("image", help="build the virtual machine's image if the cache has none")
    _add_run(verbs.add_parser("run", help="boot with a directory whose `run` is started; exit with its status"))
    boot = verbs.add_parser("boot", help="boot the release as EC2 does, for a backup and a restore")
    boot.add_argument("--results", type=Path, default=BUILD / "lab-boot", help="where the cloud and its logs go")
    _add_test(verbs.add_parser("test", help="run the tests on real NFSv4.1"))
    _add_bench(verbs.add_parser("bench", help="measure RPCs and time, ours and the peers'"))
    return top


def _add_run(command: argparse.ArgumentParser) -> None:
    """Add the options of `run`."""
    command.add_argument("directory", type=Path, help="goes to /job; must hold an executable `run`")
    command.add_argument("--results", type=Path, default=BUILD / "lab-run", help="where /results goes")
    command.add_argument("--limit", type=float, default=1800, help="real seconds")
    _add_clock(command, machine.Clock.PLAIN)


def _add_test(command: argparse.ArgumentParser) -> None:
    """Add the options of `test`."""
    command.add_argument("names", nargs="*", help="tests to run (all)")
    command.add_argument("--short", action="store_true", help="only those quick enough for every change")
    command.add_argument("--where-possible", action="store_true", help="succeed where the host cannot have the lab")
    command.add_argument("--results", type=Path, default=BUILD / "lab-test", help="where the logs go")
    command.add_argument("--limit", type=float, default=3600, help="real seconds")
    _add_clock(command, machine.Clock.PLAIN)


def _add_bench(command: argparse.ArgumentParser) -> None:
    """Add the options of `bench`."""
    command.add_argument("--tools", nargs="+", choices=table.TOOLS, default=["listing", "ours", "published"])
    command.add_argument("--files", nargs="+", type=int, default=[5000])
    command.add_argument("--rate", nargs="+", type=float, default=[0.01], help="part of the files changed a night")
    command.add_argument("--latency", nargs="+", type=int, default=[1], help="milliseconds there and back")
    command.add_argument("--nights", type=int, default=9, help="nights before the measured one")
    command.add_argument("--retain", type=int, default=7)
    command.add_argument("--workers", type=int, help="workers of ours and threads of the published steps")
    command.add_argument("--steps", nargs="+", choices=table.STEPS, default=list(table.STEPS))
    command.add_argument("--trace", action="store_true", help="say which system calls the RPCs come from")
    command.add_argument("--output", type=Path, default=BUILD / "bench-nfs")
    _add_clock(command, machine.Clock.VIRTUAL)


def _add_clock(command: argparse.ArgumentParser, default: machine.Clock) -> None:
    """Add the choice of how time passes."""
    names = "{" + ",".join(clock.value for clock in machine.Clock) + "}"
    command.add_argument("--clock", type=machine.Clock, metavar=names, default=default, help=f"({default.value})")


def run_job(options: argparse.Namespace) -> int:
    """Boot with the user's directory; return the guest's status."""
    if not (options.directory / "run").is_file():
        raise host.LabError(f"{options.directory} holds no file `run` to start in the virtual machine")
    entries = work.product() | {path.name: path for path in options.directory.iterdir() if path.name != "run"}
    script = (options.directory / "run").read_text()
    outcome = machine.run(image.ensure(), options.clock, script, options.results, entries, options.limit, host.say)
    if outcome.status is None:
        raise host.LabError(f"the virtual machine ended without a status; see {outcome.console}")
    return outcome.status


def run_tests(options: argparse.Namespace) -> int:
    """Run the tests; return 1 if one failed. Where there can be no virtual machine, say why."""
    try:
        image.ensure()
    except host.LabError as error:
        if not options.where_possible:
            raise
        host.say(f"lab: nothing was tested on real NFSv4.1, for this host cannot: {error}")
        return 0
    passed = suite.run(options.short, options.names, options.clock, options.results, options.limit)
    return 0 if passed else 1


def run_boot(options: argparse.Namespace) -> int:
    """Run the test that boots the release; return its status."""
    image.ensure()
    command = [sys.executable, "-m", "pytest", "-q", "--basetemp", str(options.results), str(BOOT)]
    return subprocess.run(command, cwd=work.REPOSITORY, check=False).returncode


def run_bench(options: argparse.Namespace) -> int:
    """Run the benchmark; return 1 if a tool failed."""
    scenarios = [table.Scenario(files, rate) for files in options.files for rate in options.rate]
    plan = bench.Plan(
        options.tools, scenarios, options.latency, options.nights, options.retain, options.workers, options.clock,
        options.steps, options.trace,
    )  # fmt: skip
    return 1 if bench.run(plan, options.output) else 0


def main() -> int:
    """Do what the command line says; return the exit status."""
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what was begun is tidied up
    try:
        match options.verb:
            case "image":
                host.say(str(image.ensure().root))
                return 0
            case "run":
                return run_job(options)
            case "boot":
                return run_boot(options)
            case "bench":
                return run_bench(options)
            case _:
                return run_tests(options)
    except host.LabError as error:
        sys.stderr.write(f"lab: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
