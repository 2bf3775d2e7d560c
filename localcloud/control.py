"""The control requests of the client, below ``/_localcloud/``: JSON in, JSON out."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs

from localcloud.clock import ClockError, iso
from localcloud.cloud import Cloud, SettleError
from localcloud.dashboard import Dashboards
from localcloud.faults import Fault, FaultError

Arguments = dict[str, Any]


class Control:
    """Answers control requests about one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        """Control ``cloud``."""
        self._cloud = cloud
        self._dashboards = Dashboards(cloud.account, cloud.region, cloud.functions)
        self._verbs: dict[str, Callable[[Arguments], Any]] = {
            "now": lambda _: {"now": cloud.clock.now(), "iso": iso(cloud.clock.now())},
            "advance": lambda a: cloud.clock.advance(float(a["seconds"]), cloud.rest if a.get("rest") else None),
            "settle": lambda a: cloud.settle(float(a["timeout"])),
            "problems": lambda _: cloud.problems.as_json(),
            "clear-problems": lambda _: cloud.problems.clear(),
            "calls": lambda _: cloud.calls.as_json(),
            "fault": lambda a: cloud.faults.add(Fault(**a)),
            "clear-faults": lambda _: cloud.faults.clear(),
            "confirm": lambda a: cloud.mail.confirm(a["address"]),
            "mount": lambda a: asdict(cloud.file_systems.mount(a["device"], a["options"])),
            "file-system": self._file_system,
            "instances": lambda _: [self._instance(instance.id) for instance in cloud.instances.running()],
            "instance": lambda a: self._instance(a["id"]),
            "kill": lambda a: self._find(a["id"]).kill(),
            "run": self._run,
            "packages": lambda a: self._packages(set(a["names"])),
            "fail-launches": lambda a: cloud.groups.fail_launches(int(a["count"]), a["message"]),
            "interrupt": lambda a: cloud.groups.interrupt(a["id"], float(a["seconds"])),
            "repeat": lambda a: cloud.events.repeat(a["rule"], a["id"], float(a["moment"])),
            "emit": lambda a: cloud.events.emit(a["source"], a["kind"], a["detail"], a["resources"]),
            "collected": lambda _: cloud.collector.as_json(),
            "collector": lambda a: cloud.collector.behave(a["mode"]),
            "quiet": lambda _: cloud.quiet,
        }

    def answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        verb, _, rest = environ["PATH_INFO"].removeprefix("/_localcloud/").partition("/")
        body = _body(environ)
        if verb == "collect":
            status = self._cloud.collector.take(body)
            start_response(f"{status} Collector", [("Content-Type", "text/plain")])
            return [b""]
        if verb == "response":
            known = self._cloud.custom.receive(rest, body)
            start_response("200 OK" if known else "404 Not Found", [("Content-Type", "text/plain")])
            return [b""]
        if verb == "dashboard":
            return self._dashboard(rest, _arguments(environ, body), start_response)
        return self._by_verb(verb, _arguments(environ, body), start_response)

    def _dashboard(self, name: str, arguments: Arguments, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a browser: with the list of the dashboards, one of them, or what a button of it called."""
        if name == "call":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [self._dashboards.call(arguments["endpoint"], arguments["event"])]
        try:
            page = self._dashboards.page(name, arguments.get("theme", "light"))
        except ValueError as error:
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"{error}\n".encode()]
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")])
        return [page.encode()]

    def _by_verb(self, verb: str, arguments: Arguments, start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = [("Content-Type", "application/json")]
        if verb not in self._verbs:
            start_response("404 Not Found", headers)
            return [json.dumps({"error": f"{verb}: no such request"}).encode()]
        try:
            result = self._verbs[verb](arguments)
        except (ClockError, FaultError, SettleError, ValueError, KeyError, TypeError) as error:
            start_response("400 Bad Request", headers)
            return [json.dumps({"error": f"{type(error).__name__}: {error}"}).encode()]
        start_response("200 OK", headers)
        return [json.dumps(result).encode()]

    def _find(self, instance_id: str) -> Any:
        instance = self._cloud.instances.find(instance_id)
        if instance is None:
            raise ValueError(f"{instance_id}: no such instance")
        return instance

    def _instance(self, instance_id: str) -> dict[str, Any]:
        instance = self._find(instance_id)
        return {
            "id": instance.id,
            "alive": instance.alive,
            "log": instance.log,
            "root": str(instance.directory / "upper"),
        }

    def _run(self, arguments: Arguments) -> dict[str, Any]:
        done = self._find(arguments["id"]).command(arguments["script"], int(arguments.get("seconds", 60)))
        return {
            "status": done.returncode,
            "output": done.stdout.decode("utf-8", "replace"),
            "errors": done.stderr.decode("utf-8", "replace"),
        }

    def _packages(self, names: set[str]) -> None:
        self._cloud.instances.setting.packages.clear()
        self._cloud.instances.setting.packages.update(names)

    def _file_system(self, arguments: Arguments) -> dict[str, str]:
        file_system = arguments.pop("id")
        faults = self._cloud.file_systems.of(file_system)
        for name, value in arguments.items():
            if not hasattr(faults, name):
                raise ValueError(f"{name}: no such fault of a file system")
            setattr(faults, name, value)
        return {"path": str(self._cloud.file_systems.path(file_system))}


def _body(environ: dict[str, Any]) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return environ["wsgi.input"].read(length) if length else b""


def _arguments(environ: dict[str, Any], body: bytes) -> Arguments:
    query = {
        name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True).items()
    }
    return {**query, **(json.loads(body) if body else {})}
