"""The local cloud as tests and the command line use it: start it, deploy into it, look at it, disturb it.

with LocalCloud() as cloud:
    stack = cloud.deploy(template_text, {"Email": "someone@example.com"}, name="backup")
    cloud.clock.advance(hours=24)
    cloud.mails
"""

import contextlib
import email.policy
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import boto3
from botocore.exceptions import ClientError

from localcloud import clock as clocks

REGION = "us-east-1"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
REQUEST_SECONDS = 600.0
POLL_SECONDS = 0.1
PROJECT = Path(__file__).resolve().parent.parent


class LocalCloudError(Exception):
    """The cloud could not be started, or did not understand a request; the message says why."""


class StackFailed(Exception):  # noqa: N818 (the name of a stack's state)
    """A stack was not created or deleted; the message has the reasons of its resources."""


class ProblemsSeen(Exception):  # noqa: N818 (what was seen)
    """Something happened that must fail a run; the message lists it all."""


@dataclass(frozen=True)
class Mail:
    """One delivered mail, and its file."""

    to: str
    subject: str
    body: str
    topic: str
    path: Path


@dataclass(frozen=True)
class Stack:
    """A created stack: its name, id and outputs."""

    name: str
    id: str
    outputs: dict[str, str]


class ClockHandle:
    """The cloud's clock."""

    def __init__(self, cloud: "LocalCloud") -> None:
        """Belong to ``cloud``."""
        self._cloud = cloud

    def now(self) -> datetime:
        """Return the cloud's time (UTC)."""
        return datetime.fromtimestamp(float(self._cloud.control("now")["now"]), UTC)

    def advance(self, **duration: float) -> None:
        """Move forward by a duration, given as for ``timedelta``; schedules and time-outs on the way fire in order.

        Returns when what they started asynchronously (functions, launches) has been done; instances go on working.
        """
        self._cloud.control("advance", seconds=timedelta(**duration).total_seconds())

    def advance_to(self, moment: datetime) -> None:
        """Move forward to a moment."""
        self.advance(seconds=max(0.0, (moment - self.now()).total_seconds()))

    def advance_to_hour(self, hour: int, minute: int = 0) -> None:
        """Move forward to the next time it is ``hour:minute`` (UTC)."""
        now = self.now()
        moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        self.advance_to(moment if moment > now else moment + timedelta(days=1))


class FileSystem:
    """An EFS file system of the cloud: its directory, and what can be made wrong with it."""

    def __init__(self, cloud: "LocalCloud", file_system_id: str) -> None:
        """Belong to ``cloud``."""
        self._cloud, self.id = cloud, file_system_id
        self.path = Path(cloud.control("file-system", id=file_system_id)["path"])

    def unresolvable(self, wrong: bool = True) -> None:
        """Let new instances not know its DNS name."""
        self._cloud.control("file-system", id=self.id, unresolvable=wrong)

    def hidden(self, wrong: bool = True) -> None:
        """Let DescribeMountTargets not show its mount targets."""
        self._cloud.control("file-system", id=self.id, hidden=wrong)

    def fail_mounts(self, message: str) -> None:
        """Let every mount fail with a message; an empty one mends it."""
        self._cloud.control("file-system", id=self.id, mount_error=message)


class Instance:
    """An instance of the cloud."""

    def __init__(self, cloud: "LocalCloud", instance_id: str) -> None:
        """Belong to ``cloud``."""
        self._cloud, self.id = cloud, instance_id

    @property
    def alive(self) -> bool:
        """Say whether it runs."""
        return bool(self._cloud.control("instance", id=self.id)["alive"])

    @property
    def log(self) -> str:
        """Return what its user data has written so far."""
        return str(self._cloud.control("instance", id=self.id)["log"])

    def run(self, script: str, seconds: int = 60) -> subprocess.CompletedProcess[str]:
        """Run a shell script inside it, as root."""
        done = self._cloud.control("run", id=self.id, script=script, seconds=seconds)
        return subprocess.CompletedProcess(script, done["status"], done["output"], done["errors"])

    def kill(self) -> None:
        """End it at once, as when its host dies."""
        self._cloud.control("kill", id=self.id)

    def interrupt(self, seconds: float = 120.0) -> None:
        """Give the notice of a Spot interruption, and end it after ``seconds``."""
        self._cloud.control("interrupt", id=self.id, seconds=seconds)


class LocalCloud:
    """A running local cloud. Use it as a context manager, or ``start`` and ``stop`` it."""

    server = "localcloud.server"
    """The module whose process is the cloud."""

    def __init__(self, directory: Path | None = None, port: int | None = None, region: str = REGION) -> None:
        """Keep everything in ``directory`` (default: a temporary one, removed in the end)."""
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="localcloud-"))
        self.region = region
        self.port = port or free_port()
        self.endpoint = f"http://localhost:{self.port}"
        self.clock = ClockHandle(self)
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0  # of a cloud that another process started
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; raise ProblemsSeen if there were problems and no other exception is on its way."""
        problems = self.problems if self._alive() else []
        if kind is not None:
            sys.stderr.write(f"local cloud's log ({self.directory}):\n{self.log[-6000:]}\n")
        self.stop()
        if kind is None and problems:
            raise ProblemsSeen(_lines(problems))

    @classmethod
    def attach(cls, directory: Path) -> Self | None:
        """Return the cloud that runs in ``directory``, or None."""
        ready = directory / "ready"
        if not ready.exists():
            return None
        known = json.loads(ready.read_text())
        command = Path(f"/proc/{known['pid']}/cmdline")
        if not command.exists() or str(directory).encode() not in command.read_bytes():
            return None
        cloud = cls(directory, known["port"], known["region"])
        cloud._pid = known["pid"]
        return cloud

    def start(self, *, stay: bool = False) -> None:
        """Start the process and wait until it serves; it ends with this one unless it is to ``stay``.

        Raises:
            LocalCloudError: it does not come up; the message has its log.
            ClockError: the clock cannot be built.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = clocks.prepare(self.directory)
        arguments = [str(self.directory), str(self.port), self.region, *([] if stay else [str(os.getpid())])]
        variables = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        # The orchestrator's evaluator of schedule expressions fires this cloud's rules too.
        variables.update(environment, PYTHONPATH=f"{PROJECT}{os.pathsep}{PROJECT / 'lambda'}", TZ="UTC")
        with open(self.directory / "server.log", "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.server, *arguments],
                cwd=PROJECT, env=variables, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while not (self.directory / "ready").exists():
            if self._process.poll() is not None or time.monotonic() > end:
                log = self.log[-3000:]
                self.stop()
                raise LocalCloudError(f"the local cloud does not start:\n{log}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End the process and everything it started."""
        if self._process is not None:
            _end(self._process)
        elif self._pid:
            os.kill(self._pid, signal.SIGTERM)
            self.wait_for(lambda: not Path(f"/proc/{self._pid}").exists(), "the local cloud to end", STOP_SECONDS)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def log(self) -> str:
        """Return the log of the process."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def control(self, verb: str, **arguments: Any) -> Any:
        """Send a control request.

        Raises:
            LocalCloudError: it was not understood, or could not be done.
        """
        request = urllib.request.Request(  # noqa: S310 (always http://localhost)
            f"{self.endpoint}/_localcloud/{verb}", data=json.dumps(arguments).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise LocalCloudError(json.load(error)["error"]) from error

    def client(self, service: str) -> Any:
        """Return a boto3 client of the cloud, as its user."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service, endpoint_url=self.endpoint, region_name=self.region, aws_access_key_id="test",
                aws_secret_access_key="test",  # noqa: S106 (the cloud asks for none)
            )  # fmt: skip
        return self._clients[service]

    def deploy(self, template: str, parameters: dict[str, str] | None = None, name: str = "stack") -> Stack:
        """Create a stack from a template's text, and wait until it is complete.

        Raises:
            StackFailed: it is not.
        """
        arguments = {"TemplateURL" if template.startswith("http") else "TemplateBody": template}
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()]
        try:
            created = self.client("cloudformation").create_stack(
                StackName=name, Parameters=given, Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"], **arguments
            )
        except ClientError as error:
            raise StackFailed(f"{name}: {error}") from error
        stack = self._wait_while(created["StackId"], "CREATE_IN_PROGRESS")
        if stack["StackStatus"] != "CREATE_COMPLETE":
            raise StackFailed(f"{name}: {stack['StackStatus']}\n{self._failures(created['StackId'])}")
        outputs = {output["OutputKey"]: str(output["OutputValue"]) for output in stack.get("Outputs", [])}
        return Stack(name, created["StackId"], outputs)

    def delete(self, stack: Stack) -> None:
        """Delete a stack, and wait until it is gone.

        Raises:
            StackFailed: it cannot be deleted.
        """
        self.client("cloudformation").delete_stack(StackName=stack.id)
        status = self._wait_while(stack.id, "DELETE_IN_PROGRESS")["StackStatus"]
        if status != "DELETE_COMPLETE":
            raise StackFailed(f"{stack.name}: {status}\n{self._failures(stack.id)}")

    def _wait_while(self, stack_id: str, status: str) -> dict[str, Any]:
        while True:
            stack = self.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"][0]
            if stack["StackStatus"] != status:
                return cast(dict[str, Any], stack)
            time.sleep(POLL_SECONDS)

    def _failures(self, stack_id: str) -> str:
        events = self.client("cloudformation").describe_stack_events(StackName=stack_id)["StackEvents"]
        return "\n".join(
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
            for event in events
            if event["ResourceStatus"].endswith("FAILED")
        )

    @property
    def mails(self) -> list[Mail]:
        """Return the delivered mails, oldest first; mails that ask for confirmation are among them."""
        found = []
        for path in sorted((self.directory / "mails").glob("*.eml")):
            message = BytesParser(policy=email.policy.default).parsebytes(path.read_bytes())
            found.append(
                Mail(message["To"], message["Subject"], message.get_content(), message["X-Topic-Arn"].strip(), path)
            )
        return found

    def confirm(self, address: str) -> int:
        """Follow the links of the confirmation mails to an address; return how many there were."""
        return int(self.control("confirm", address=address))

    def file_system(self, file_system_id: str) -> FileSystem:
        """Return a handle on a file system."""
        return FileSystem(self, file_system_id)

    @property
    def instances(self) -> list[Instance]:
        """Return the instances that run."""
        return [Instance(self, instance["id"]) for instance in self.control("instances")]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Return all AWS calls so far: service, operation, region, role, caller, parameters, status, fault."""
        return cast(list[dict[str, Any]], self.control("calls"))

    @property
    def problems(self) -> list[dict[str, str]]:
        """Return what must fail a run: where and what."""
        return cast(list[dict[str, str]], self.control("problems"))

    @property
    def collected(self) -> list[Any]:
        """Return the anonymous data that has arrived at ``collector_url``."""
        return cast(list[Any], self.control("collected"))

    @property
    def collector_url(self) -> str:
        """Return where anonymous data can be sent."""
        return f"{self.endpoint}/_localcloud/collect"

    def collector(self, mode: str) -> None:
        """Let the collector ``accept``, ``fail`` or ``hang``."""
        self.control("collector", mode=mode)

    def fault(self, kind: str, **where: Any) -> None:
        """Let calls go wrong: kind ``throttle``, ``error``, ``hang``, ``die-before`` or ``die-after``.

        ``where``: service, operation, caller (shell patterns), first (counted from now), times.
        """
        self.control("fault", kind=kind, **where)

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self.control("clear-faults")

    def fail_launches(self, count: int = 1, message: str = "We currently do not have sufficient capacity.") -> None:
        """Let the next launches of Auto Scaling fail."""
        self.control("fail-launches", count=count, message=message)

    def packages(self, *names: str) -> None:
        """Say which mount helpers new instances have (``mount.efs``, ``mount.nfs4``, ``mount.nfs``)."""
        self.control("packages", names=names)

    def emit(self, source: str, kind: str, detail: dict[str, Any], resources: list[str] | None = None) -> None:
        """Put an event of AWS on the bus, for example once more or out of order."""
        self.control("emit", source=source, kind=kind, detail=detail, resources=resources or [])

    def repeat(self, rule: str, event_id: str, moment: datetime) -> None:
        """Deliver a scheduled event with a given id and time, as EventBridge may more than once."""
        self.control("repeat", rule=rule, id=event_id, moment=moment.timestamp())

    def settle(self, timeout: float = 120.0) -> None:
        """Wait until functions and groups have nothing left to do; instances may go on working."""
        self.control("settle", timeout=timeout)

    def wait_quiet(self, timeout: float = 300.0) -> None:
        """Wait until no function, command or instance runs.

        Raises:
            LocalCloudError: that takes longer than ``timeout`` seconds.
        """
        self.wait_for(lambda: self.control("quiet"), "everything to end", timeout)
        self.settle()

    def wait_for(self, condition: Callable[[], Any], what: str, timeout: float = 60.0) -> Any:
        """Wait until ``condition()`` is true, and return its value.

        Raises:
            LocalCloudError: it is not within ``timeout`` seconds.
        """
        end = time.monotonic() + timeout
        while not (value := condition()):
            if time.monotonic() > end:
                raise LocalCloudError(f"waited {timeout:.0f} seconds for {what}")
            time.sleep(POLL_SECONDS)
        return value

    @contextlib.contextmanager
    def expecting_problems(self) -> Iterator[list[dict[str, str]]]:
        """Collect the problems of a block into a list, and forget them: they were wanted."""
        seen: list[dict[str, str]] = []
        yield seen
        self.settle()
        seen += self.problems
        self.control("clear-problems")

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None


def free_port() -> int:
    """Return a port of localhost that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _lines(problems: list[dict[str, str]]) -> str:
    return "\n".join(f"{problem['where']}: {problem['what']}" for problem in problems)
