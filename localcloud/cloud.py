"""One cloud: all its parts, put together."""

import time
from pathlib import Path

from localcloud import clock as clocks
from localcloud import cloudformation, tables
from localcloud.alarms import Alarms
from localcloud.calls import CREDENTIAL, Calls, Request
from localcloud.clock import Clock
from localcloud.collector import Collector
from localcloud.commands import Commands
from localcloud.custom import CustomResources
from localcloud.events import Events
from localcloud.faults import Faults
from localcloud.filesystems import FileSystems
from localcloud.functions import Functions, Place
from localcloud.groups import Groups
from localcloud.identities import Identities, Identity
from localcloud.instances import Instance, Instances, Setting
from localcloud.mail import Mail
from localcloud.metrics import Metrics
from localcloud.problems import Problems, UnsupportedWatch
from localcloud.resources import Resources

SETTLE_SECONDS = 120.0
CALM_SECONDS = 0.15
REST_SECONDS = 120.0
POLL_SECONDS = 0.02


class SettleError(Exception):
    """Functions or groups did not come to rest in time."""


class Cloud:
    """The parts of a cloud and how they hold together. Patches moto for the whole process."""

    def __init__(
        self, directory: Path, port: int, region: str, account: str, instance: type[Instance] = Instance
    ) -> None:
        """Build everything below ``directory``, to be served on ``port`` of localhost, with this kind of instances."""
        endpoint = f"http://localhost:{port}"
        self.directory, self.region, self.account, self.endpoint = directory, region, account, endpoint
        self.problems, self.identities, self.calls, self.faults = Problems(), Identities(), Calls(), Faults()
        self.collector = Collector()
        self.clock = Clock(directory, self.settle)
        self.metrics = Metrics(account, region, self.clock.now)
        self.mail = Mail(account, region, directory / "mails", endpoint, self.clock.now)
        place = Place(directory / "functions", endpoint, clocks.environment(directory))
        self.functions = Functions(place, self.clock, self.identities, self.problems, self.metrics)
        self.events = Events(account, region, self.clock, self.problems, self.functions.enqueue)
        self.file_systems = FileSystems(account, region, directory / "file-systems")
        setting = Setting(directory, port, region, account, self.identities, self.file_systems)
        self.instances = Instances(setting, instance)
        self.groups = Groups(account, region, self.clock, self.instances, self.events.emit, self.problems)
        self.commands = Commands(account, region, self.instances, self.problems)
        self.alarms = Alarms(account, region, self.problems, self.mail.send)
        self.custom = CustomResources(endpoint, self.functions.enqueue)
        self._install(endpoint)

    def _install(self, endpoint: str) -> None:
        UnsupportedWatch(self.problems)
        tables.install()
        self.mail.install()
        self.functions.install(self.mail.send)
        self.events.install(self.mail.send)
        self.file_systems.install()
        self.instances.install()
        self.groups.install()
        self.commands.install()
        self.custom.install()
        cloudformation.install(Resources(endpoint, self.region), self.problems)
        for timed in (self.metrics, self.events, self.groups, self.alarms):
            self.clock.add(timed)

    def start(self) -> None:
        """Begin what goes on by itself."""
        self.clock.start()
        self.groups.start()

    def close(self) -> None:
        """End all processes of functions and instances."""
        self.groups.stop()
        self.instances.close()
        self.functions.close()

    def identity_of(self, request: Request) -> Identity | None:
        """Return who signed a request, or None: the user, or the cloud itself."""
        match = CREDENTIAL.search(request.headers.get("authorization", ""))
        return self.identities.find(match[1]) if match else None

    def settle(self, timeout: float = SETTLE_SECONDS) -> None:
        """Wait until no function runs asynchronously and every group has what it wants or waits for something.

        Raises:
            SettleError: that takes longer than ``timeout`` seconds.
        """
        end, busy = time.monotonic() + timeout, self.busy
        calm_since = time.monotonic() if busy else 0.0
        while time.monotonic() - calm_since < CALM_SECONDS:
            if self.busy:
                calm_since = time.monotonic()
            if time.monotonic() > end:
                raise SettleError(f"functions or groups are still at work after {timeout:.0f} seconds")
            time.sleep(POLL_SECONDS)

    def rest(self) -> None:
        """Wait for the work of instances too, up to a point: one of them may itself wait for time to pass."""
        end = time.monotonic() + REST_SECONDS
        while not self.quiet and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        self.settle()

    @property
    def busy(self) -> bool:
        """Say whether a function or a group is at work. Each gives the other work, so both are asked twice."""
        return any(part.busy for part in (self.groups, self.functions, self.groups, self.functions))

    @property
    def quiet(self) -> bool:
        """Say whether nothing is at work, no instance and no command either.

        Groups give instances work, and get it from those that end, so they are asked before and after: a group that
        was just launching was asked last, and its new instance first, before it was there.
        """
        return not (self.busy or self.instances.running() or self.commands.busy or self.busy)
