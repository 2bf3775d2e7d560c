"""SSM Run Command: scripts run inside the instance, in the namespaces of its own processes.

``AWS-RunShellScript`` and documents of the stack's own with ``aws:runShellScript`` steps (schema 2.2).
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml
from moto.s3.models import s3_backends
from moto.ssm.models import Command, SimpleSystemManagerBackend, ssm_backends

from localcloud.instances import Instance, Instances
from localcloud.patching import replace
from localcloud.problems import Problems

DOCUMENT = "AWS-RunShellScript"
DEFAULT_SECONDS = 3600
SHOWN = 24000  # characters of output that GetCommandInvocation returns
VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True)
class Step:
    """One script of a command."""

    name: str
    script: str
    directory: str
    seconds: int


class Commands:
    """Runs the commands of one account and region."""

    def __init__(self, account: str, region: str, instances: Instances, problems: Problems) -> None:
        """Run in ``instances``."""
        self._account, self._region = account, region
        self._instances, self._problems = instances, problems
        self._running = 0
        self._lock = threading.Lock()

    def install(self) -> None:
        """Have moto's SendCommand run something."""
        commands = self

        def send_command(original: Any) -> Any:
            def patched(self: SimpleSystemManagerBackend, *arguments: Any, **keywords: Any) -> Command:
                command: Command = original(self, *arguments, **keywords)
                commands.begin(command)
                return command

            return patched

        replace(SimpleSystemManagerBackend, "send_command", send_command)

    @property
    def busy(self) -> bool:
        """Say whether a command runs."""
        return self._running > 0

    def begin(self, command: Command) -> None:
        """Start a command on each of its instances, in threads."""
        steps = self._steps(command)
        command.status = command.status_details = "InProgress"
        command.completed_count = 0
        for invocation in command.invocations:
            invocation.update(Status="InProgress", StatusDetails="InProgress", ResponseCode=-1)
            self._count(1)
            threading.Thread(target=self._run, args=(command, invocation, steps), name="command", daemon=True).start()

    def _count(self, change: int) -> None:
        with self._lock:
            self._running += change

    def _steps(self, command: Command) -> list[Step]:
        parameters = dict(command.parameters)
        if command.document_name == DOCUMENT:
            return [
                Step("awsrunShellScript/0.awsrunShellScript", "\n".join(parameters["commands"]) + "\n",
                     _first(parameters, "workingDirectory", "/"),
                     int(_first(parameters, "executionTimeout", str(DEFAULT_SECONDS)))),
            ]  # fmt: skip
        document = ssm_backends[self._account][self._region].get_document(str(command.document_name), "", "", "")
        return document_steps(yaml.safe_load(document["Content"]), parameters)

    def _run(self, command: Command, invocation: dict[str, Any], steps: list[Step]) -> None:
        try:
            instance = self._instances.find(invocation["InstanceId"])
            if instance is None or not instance.alive:
                invocation.update(Status="Undeliverable", StatusDetails="Undeliverable")
            else:
                self._run_steps(command, invocation, steps, instance)
            command.completed_count += 1
            statuses = {other["Status"] for other in command.invocations}
            if "InProgress" not in statuses:
                command.status = command.status_details = "Success" if statuses == {"Success"} else "Failed"
        finally:
            self._count(-1)

    def _run_steps(self, command: Command, invocation: dict[str, Any], steps: list[Step], instance: Instance) -> None:
        output = errors = b""
        status, code = "Success", 0
        for step in steps:
            done = instance.command(step.script, step.seconds, step.directory)
            output, errors, code = output + done.stdout, errors + done.stderr, done.returncode
            self._upload(command, instance.id, step, done.stdout, done.stderr)
            if code:
                status = "TimedOut" if code == 124 else "Failed"
                break
        invocation.update(
            Status=status, StatusDetails=status, ResponseCode=code,
            StandardOutputContent=output.decode("utf-8", "replace")[:SHOWN],
            StandardErrorContent=errors.decode("utf-8", "replace")[:SHOWN],
        )  # fmt: skip

    def _upload(self, command: Command, instance_id: str, step: Step, output: bytes, errors: bytes) -> None:
        """Put the output into the bucket that the command names, where SSM puts it."""
        bucket = command.output_s3_bucket_name
        if not bucket:
            return
        backend = s3_backends[self._account]["aws"]
        if bucket not in backend.buckets:
            self._problems.add("commands", f"output bucket {bucket} does not exist")
            return
        parts = [command.output_s3_key_prefix, command.command_id, instance_id, step.name]
        prefix = "/".join(part.strip("/") for part in parts if part)
        for name, data in (("stdout", output), ("stderr", errors)):
            if data:
                backend.put_object(bucket, f"{prefix}/{name}", data)


def document_steps(document: dict[str, Any], given: dict[str, list[str]]) -> list[Step]:
    """Return the shell steps of a command document, with its parameters filled in."""
    defaults = {name: _as_list(spec.get("default", "")) for name, spec in document.get("parameters", {}).items()}
    values = {**defaults, **given}
    steps = []
    fill = _filler(values)
    for number, step in enumerate(document["mainSteps"]):
        inputs, action = step["inputs"], re.sub(r"\W", "", step["action"])
        script = "\n".join(fill(line) for line in inputs["runCommand"]) + "\n"
        seconds = int(fill(str(inputs.get("timeoutSeconds", DEFAULT_SECONDS))))
        steps.append(
            Step(f"{step['name']}/{number}.{action}", script, fill(inputs.get("workingDirectory", "/")), seconds)
        )
    return steps


def _filler(values: dict[str, list[str]]) -> Callable[[str], str]:
    return lambda text: VARIABLE.sub(lambda match: "\n".join(values.get(match[1], [match[0]])), text)


def _first(parameters: dict[str, list[str]], name: str, default: str) -> str:
    return (parameters.get(name) or [default])[0] or default


def _as_list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
