"""Runs the command as a user does: a process of its own, its status, its standard output and its messages."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DONE, NOT_DONE, BAD_USE, LOCKED = 0, 1, 2, 75
PREFIX = "efs-backup: "
DEFAULT_TIMEOUT = 120.0


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of the command: this repository's package, no terminal."""
    paths = [os.path.join(REPOSITORY, "ec2-scripts")]
    if "PYTHONPATH" in os.environ:
        paths.append(os.environ["PYTHONPATH"])
    own = {"PYTHONPATH": os.pathsep.join(paths), "TERM": "dumb", "PYTHONFAULTHANDLER": "1"}
    return {**os.environ, **own, **(extra or {})}


def command_line(*arguments: str | bytes) -> list[bytes]:
    """The command with ``arguments``, as an argument list."""
    return [os.fsencode(part) for part in (sys.executable, "-m", "efs_backup", *arguments)]


@dataclass(frozen=True)
class Finished:
    """What a run of the command left: status, output, messages, seconds it took."""

    status: int
    stdout: bytes
    stderr: str
    seconds: float
    arguments: tuple[str | bytes, ...] = field(default=())

    @property
    def report(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        value = json.loads(self.stdout)
        assert isinstance(value, dict), f"not an object: {value!r}"
        return value

    def paths(self, key: str) -> set[bytes]:
        """A list of paths of the report, as bytes."""
        return {os.fsencode(path) for path in self.report[key]}

    def expect(self, status: int) -> Finished:
        """Fail, with everything the command said, unless it ended with ``status``."""
        assert self.status == status, (
            f"{self.arguments!r} ended with {self.status}, not {status}\n"
            f"stdout: {self.stdout[-2000:]!r}\nstderr: {self.stderr[-4000:]}"
        )
        assert "Traceback (most recent call last)" not in self.stderr, self.stderr
        return self

    @property
    def errors(self) -> list[str]:
        """The lines of standard error that start with the command's name."""
        return [line for line in self.stderr.splitlines() if line.startswith(PREFIX)]


def expect_one_line(finished: Finished, *words: str) -> str:
    """Fail unless the command said exactly one line, an error, with all the ``words``; return it."""
    lines = finished.stderr.splitlines()
    assert len(lines) == 1, f"expected one line, got {len(lines)}:\n{finished.stderr}"
    assert lines[0].startswith(PREFIX), lines[0]
    for word in words:
        assert word.lower() in lines[0].lower(), f"{word!r} is not in {lines[0]!r}"
    return lines[0]


def start(
    *arguments: str | bytes,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, so that signals of the terminal do not reach it."""
    return subprocess.Popen(
        [os.fsencode(part) for part in prefix] + command_line(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment(env),
        cwd="/",
        start_new_session=True,
    )


def finish(
    process: subprocess.Popen[bytes], timeout: float = DEFAULT_TIMEOUT, arguments: tuple[str | bytes, ...] = ()
) -> Finished:
    """Wait for a started command; fail, with where it was, when it takes longer than ``timeout`` seconds."""
    began = time.monotonic()
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # Python then says on standard error where it was
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(
            f"{arguments or process.args!r} did not end within {timeout} s; it said: {stderr[-4000:]!r}"
        ) from None
    return Finished(
        process.returncode, stdout, (stderr or b"").decode(errors="replace"), time.monotonic() - began, arguments
    )


def run(
    *arguments: str | bytes,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Finished:
    """Run the command to its end."""
    return finish(start(*arguments, prefix=prefix, env=env), timeout, arguments)


@dataclass(frozen=True)
class Pair:
    """A source and a backup directory, and the command on them. ``options`` go to every verb that takes them."""

    source: str
    backup: str
    label: str = "efs-backup"
    interval: str = "daily"

    @property
    def folder(self) -> str:
        """The directory of the label: snapshots and ``.efs-backup``."""
        return os.path.join(self.backup, self.label)

    def snapshot(self, number: int = 0) -> str:
        """Where the snapshot with this number lies after a run that ended well."""
        return os.path.join(self.folder, f"{self.interval}.{number}")

    def arguments(self, verb: str, *options: str | bytes) -> tuple[str | bytes, ...]:
        """The arguments of ``verb`` on this pair, JSON asked for."""
        source = ("--source", self.source) if verb in ("backup", "restore") else ()
        names = ("--folder-label", self.label, "--interval", self.interval)
        return (verb, *source, "--backup", self.backup, *names, "--json", *options)

    def run(self, verb: str, *options: str | bytes, **how: Any) -> Finished:
        """Run ``verb``, whatever its end."""
        return run(*self.arguments(verb, *options), **how)

    def back_up(self, *options: str | bytes, status: int = DONE, **how: Any) -> Finished:
        """Run a backup that must end with ``status``."""
        return self.run("backup", *options, **how).expect(status)

    def restore(self, *options: str | bytes, status: int = DONE, **how: Any) -> Finished:
        """Run a restore that must end with ``status``."""
        return self.run("restore", *options, **how).expect(status)

    def verify(self, *options: str | bytes, status: int = DONE, **how: Any) -> Finished:
        """Run a verify that must end with ``status``."""
        return self.run("verify", *options, **how).expect(status)

    def list(self) -> list[dict[str, Any]]:
        """The snapshots as ``list`` has them, newest first; none where it says that there is no such folder."""
        listed = self.run("list")
        if listed.status == BAD_USE and not os.path.exists(self.folder):
            return []
        snapshots = listed.expect(DONE).report["snapshots"]
        assert isinstance(snapshots, list)
        return snapshots

    def names(self) -> set[str]:
        """What lies in the label's directory."""
        try:
            return set(os.listdir(self.folder))
        except FileNotFoundError:
            return set()

    def published(self) -> set[str]:
        """The names of the snapshots that lie in the label's directory."""
        return {name for name in self.names() if name.startswith(self.interval + ".")}
