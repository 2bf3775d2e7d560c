"""Lambda: functions run from their deployed zips, in processes of their own.

An execution environment is one awslambdaric process with a directory of its own. It is kept for the next
invocation, as AWS keeps it; invocations at the same time get environments of their own. Asynchronous invocations
that fail are tried twice more, then go to the dead-letter target.
"""

import importlib.util
import io
import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.awslambda.models import LambdaBackend, LambdaFunction, lambda_backends

from localcloud.clock import Clock, iso
from localcloud.identities import Credentials, Identities, Identity
from localcloud.metrics import Metrics
from localcloud.patching import replace
from localcloud.problems import Problems
from localcloud.runtime_api import Invocation, Outcome, RuntimeApi, error_payload

# What AWS's Python runtimes bring along; nothing else of this machine's site-packages is visible to a function.
RUNTIME_PACKAGES = (
    "awslambdaric", "runtime_client", "snapshot_restore_py", "simplejson",
    "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3",
)  # fmt: skip
RETRY_SECONDS = (0.2, 0.4)  # AWS waits one and two minutes; nothing here depends on how long
MAXIMUM_RETRIES = len(RETRY_SECONDS)
log = logging.getLogger("localcloud.functions")


@dataclass(frozen=True)
class Place:
    """Where functions run: directory, endpoint of the cloud, and the variables of its clock."""

    directory: Path
    endpoint: str
    clock: dict[str, str]


@dataclass
class Asynchronous:
    """An invocation nobody waits for."""

    function: LambdaFunction
    payload: bytes
    request_id: str


class Environment:
    """One execution environment: a process, its Runtime API and its log."""

    def __init__(self, function: LambdaFunction, place: Place, identities: Identities, number: int) -> None:
        """Unpack the function's zip and start its runtime."""
        self.function = function
        self.name = f"function {function.function_name}"
        self.killed = False
        self._api = RuntimeApi()
        self._directory = place.directory / f"{function.function_name}-{number}"
        self.code_sha = function.code_sha_256
        task = self._directory / "task"
        with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
            archive.extractall(task)  # the code of the function itself, with its owner's rights
        credentials = identities.issue(Identity(function.role, self.name, self.kill))
        self.stream = f"{iso(time.time())[:10].replace('-', '/')}/[$LATEST]{uuid.uuid4().hex}"
        self._output = open(self._directory / "output", "wb")  # noqa: SIM115 (closed with the environment)
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-u", "-m", "awslambdaric", str(function.handler)],
            cwd=task, env=self._variables(task, place, credentials), stdin=subprocess.DEVNULL,
            stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._read = 0

    def run(self, invocation: Invocation) -> Outcome:
        """Hand one event to the function and wait for its answer, its death or its time-out."""
        timeout = float(self.function.timeout)
        self._api.send(invocation)
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            if outcome := self._api.outcome(min(left, 0.05)):
                return outcome
            if self._process.poll() is not None:
                return self._last_outcome(invocation)
        self._end()
        message = f"{invocation.request_id} Task timed out after {timeout:.2f} seconds"
        return Outcome(error_payload(message, "Sandbox.Timedout"), failed=True)

    def _last_outcome(self, invocation: Invocation) -> Outcome:
        code = self._process.returncode
        what = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        message = f"RequestId: {invocation.request_id} Error: Runtime exited with error: {what}"
        return self._api.outcome(0.05) or Outcome(error_payload(message, "Runtime.ExitError"), failed=True)

    @property
    def alive(self) -> bool:
        """Say whether it can take another event."""
        return self._process.poll() is None

    def new_output(self) -> list[str]:
        """Return the lines it wrote since the last time."""
        with open(self._directory / "output", "rb") as output:
            output.seek(self._read)
            data = output.read()
        self._read += len(data)
        return data.decode("utf-8", "replace").replace("\r", "\n").splitlines()

    def kill(self) -> None:
        """End the process at once, on purpose: that is no problem of the function's."""
        self.killed = True
        self._end()

    def _end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """End the process and remove its directory."""
        self._end()
        self._api.close()
        self._output.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _variables(self, task: Path, place: Place, credentials: Credentials) -> dict[str, str]:
        function = self.function
        own = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "en_US.UTF-8", "TZ": ":UTC",
            "PYTHONPATH": f"{place.directory / 'runtime'}:{task}", "LAMBDA_TASK_ROOT": str(task),
            "_HANDLER": str(function.handler), "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}", "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_LOG_GROUP_NAME": function.logs_group_name, "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region, "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key, "AWS_SESSION_TOKEN": credentials.token,
            "AWS_ENDPOINT_URL": place.endpoint,
        }  # fmt: skip
        return {**{name: str(value) for name, value in function.environment_vars.items()}, **own, **place.clock}


class Functions:
    """All execution environments of the cloud."""

    def __init__(
        self, place: Place, clock: Clock, identities: Identities, problems: Problems, metrics: Metrics,
    ) -> None:  # fmt: skip
        """Make the runtime's packages visible in one directory."""
        self._place, self._clock = place, clock
        self._identities, self._problems, self._metrics = identities, problems, metrics
        self._lock = threading.Lock()
        self._idle: dict[str, list[Environment]] = defaultdict(list)
        self._all: list[Environment] = []
        self._numbers = itertools.count(1)
        self._unfinished = 0
        _link_runtime(place.directory / "runtime")

    def install(self, deliver: Callable[[str, str], None]) -> None:
        """Have moto run functions here; ``deliver`` brings a dead letter to a queue or topic ARN."""
        self._deliver = deliver
        functions = self

        def invoke(_: Any) -> Any:
            def patched(self: LambdaFunction, body: Any, request_headers: Any, response_headers: Any) -> Any:
                return functions.invoke(self, _bytes(body), request_headers, response_headers)

            return patched

        def delete(original: Any) -> Any:
            def patched(self: LambdaBackend, function_name: str, qualifier: str | None = None) -> None:
                functions.forget(self.get_function(function_name).function_name)
                original(self, function_name, qualifier)

            return patched

        replace(LambdaFunction, "invoke", invoke)
        replace(LambdaBackend, "delete_function", delete)

    def invoke(self, function: LambdaFunction, payload: bytes, request_headers: Any, response_headers: Any) -> bytes:
        """Answer the Invoke call of any of the three invocation types."""
        kind = request_headers.get("x-amz-invocation-type") or "RequestResponse"
        if kind == "DryRun":
            return b""
        if kind == "Event":
            self.enqueue(function, payload)
            return b""
        outcome = self.run(function, payload, str(uuid.uuid4()))
        if outcome.failed:
            response_headers["x-amz-function-error"] = "Unhandled"
        return outcome.payload

    def enqueue(self, function: LambdaFunction, payload: bytes) -> None:
        """Invoke asynchronously: at once, in a thread, with retries."""
        with self._lock:
            self._unfinished += 1
        work = Asynchronous(function, payload, str(uuid.uuid4()))
        threading.Thread(target=self._run_asynchronous, args=(work,), name="invocation", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Say whether an asynchronous invocation is running or waiting for another try."""
        with self._lock:
            return self._unfinished > 0

    def run(self, function: LambdaFunction, payload: bytes, request_id: str) -> Outcome:
        """Run one invocation in an environment, log it and count it."""
        environment = self._take(function)
        deadline = self._clock.now() + float(function.timeout)
        started = time.monotonic()
        outcome = environment.run(Invocation(request_id, function.function_arn, payload, deadline))
        duration = (time.monotonic() - started) * 1000
        self._log(environment, request_id, duration, outcome)
        self._count(function, outcome, duration)
        if outcome.failed and not environment.killed:
            self._problems.add(environment.name, _error_text(outcome))
        self._give_back(environment)
        return outcome

    def forget(self, name: str) -> None:
        """End the environments of a function that is deleted or updated."""
        with self._lock:
            for environment in self._idle.pop(name, []):
                environment.close()
                self._all.remove(environment)

    def close(self) -> None:
        """End all environments."""
        with self._lock:
            for environment in self._all:
                environment.close()

    def _take(self, function: LambdaFunction) -> Environment:
        with self._lock:
            idle = self._idle[function.function_name]
            while idle:
                environment = idle.pop()
                if environment.alive and environment.code_sha == function.code_sha_256:
                    return environment
                environment.close()
                self._all.remove(environment)
            environment = Environment(function, self._place, self._identities, next(self._numbers))
            self._all.append(environment)
            return environment

    def _give_back(self, environment: Environment) -> None:
        with self._lock:
            name = environment.function.function_name
            current = lambda_backends[environment.function.account_id][environment.function.region]
            if environment.alive and any(f.function_name == name for f in current.list_functions()):
                self._idle[name].append(environment)
            else:
                environment.close()
                self._all.remove(environment)

    def _run_asynchronous(self, work: Asynchronous) -> None:
        try:
            outcome = self.run(work.function, work.payload, work.request_id)
            for delay in RETRY_SECONDS[: self._retries(work.function)]:
                if not outcome.failed:
                    break
                time.sleep(delay)
                outcome = self.run(work.function, work.payload, work.request_id)
            if outcome.failed:
                self._bury(work, outcome)
        finally:
            with self._lock:
                self._unfinished -= 1

    def _retries(self, function: LambdaFunction) -> int:
        settings = [config.config.get("MaximumRetryAttempts") for config in function.event_invoke_config]
        return next((int(setting) for setting in settings if setting is not None), MAXIMUM_RETRIES)

    def _bury(self, work: Asynchronous, outcome: Outcome) -> None:
        """Send an event that failed for good to the dead-letter target and the on-failure destination."""
        target = getattr(work.function, "dead_letter_config", {}).get("TargetArn", "")
        if target:
            self._deliver(target, work.payload.decode())
        for config in work.function.event_invoke_config:
            failure = config.config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
            if failure:
                self._deliver(failure, json.dumps(_failure_record(work, outcome, self._clock.now())))

    def _log(self, environment: Environment, request_id: str, duration: float, outcome: Outcome) -> None:
        function = environment.function
        lines = [f"START RequestId: {request_id} Version: $LATEST", *environment.new_output()]
        if outcome.failed and not environment.alive:
            lines.append(_error_text(outcome))
        lines.append(f"END RequestId: {request_id}")
        lines.append(
            f"REPORT RequestId: {request_id}\tDuration: {duration:.2f} ms\tMemory Size: {function.memory_size} MB"
        )
        backend, group = function.logs_backend, function.logs_group_name
        if group == f"/aws/lambda/{function.function_name}":
            backend.ensure_log_group(group)  # Lambda makes this one itself, and no other
        if group not in backend.groups:
            return
        if environment.stream not in backend.groups[group].streams:
            backend.create_log_stream(group, environment.stream)
        moment = int(self._clock.now() * 1000)
        backend.put_log_events(group, environment.stream, [{"timestamp": moment, "message": line} for line in lines])

    def _count(self, function: LambdaFunction, outcome: Outcome, duration: float) -> None:
        dimensions = {"FunctionName": function.function_name}
        self._metrics.put("AWS/Lambda", "Invocations", 1, "Count", dimensions)
        self._metrics.put("AWS/Lambda", "Errors", int(outcome.failed), "Count", dimensions)
        self._metrics.put("AWS/Lambda", "Duration", duration, "Milliseconds", dimensions)


def _link_runtime(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name in RUNTIME_PACKAGES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise FileNotFoundError(f"the Python package {name} is not installed: run make setup")
        origin = Path(found.origin)
        target = origin.parent if found.submodule_search_locations else origin
        (directory / target.name).symlink_to(target)


def _bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body or b"{}"
    return (body or "{}").encode()


def _error_text(outcome: Outcome) -> str:
    try:
        error = json.loads(outcome.payload)
    except ValueError:
        return outcome.payload.decode("utf-8", "replace")
    trace = "".join(error.get("stackTrace") or [])
    return f"{error.get('errorType', '')}: {error.get('errorMessage', '')}\n{trace}".strip()


def _failure_record(work: Asynchronous, outcome: Outcome, now: float) -> dict[str, Any]:
    """Return the invocation record that a destination gets (Lambda Developer Guide, "Asynchronous invocation")."""
    return {
        "version": "1.0",
        "timestamp": iso(now),
        "requestContext": {
            "requestId": work.request_id,
            "functionArn": f"{work.function.function_arn}:$LATEST",
            "condition": "RetriesExhausted",
        },
        "requestPayload": json.loads(work.payload),
        "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
        "responsePayload": json.loads(outcome.payload),
    }
