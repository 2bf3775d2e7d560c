"""An EC2 instance that is a virtual machine: it boots, by systemd and cloud-init, as on AWS.

The metadata service is at its real address and asks for a token; the file systems are NFSv4.1 servers at the addresses
of their mount targets; the instance reaches nothing else but the cloud, as in a subnet without internet. What the file
systems hold is copied in at the start and back at the end, so one instance at a time may change a file system; one that
is killed takes its changes with it.
"""

import json
import re
import shutil
import socket
import subprocess
import tarfile
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from localcloud.client import free_port
from localcloud.instances import AWS_COMMAND_LINE, PATH, Instance
from localcloud.metadata import ADDRESS, PORT, MetadataServer

from lab import image, machine, work

GATEWAY = "169.254.2.100"  # as in lab/guest/boot/instance.sh, and so is the port
COMMANDS_PORT = 8022
POWER_OFF_SECONDS = 180.0
SERVICES = ("autoscaling", "dynamodb", "s3", "sdb", "sns")
"""What user data calls by the AWS command line, and one (sdb) that this always looks at."""
UNUSED = re.compile(r"aws/(pip|setuptools|pkg_resources)|awscli/examples")
OTHERS = re.compile(rf"botocore/data/(?!({'|'.join(SERVICES)})/)[\w-]+/.+/(?P<file>.+)")


class VirtualInstance(Instance):
    """One running virtual machine."""

    @property
    def alive(self) -> bool:
        """Say whether it still runs, or what it left is still being fetched."""
        return not self._over.is_set()

    @property
    def log(self) -> str:
        """Return what it has written to its console."""
        path = self.directory / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self) -> None:
        """End it at once, as when its host dies."""
        self._process.kill()
        self._over.wait()

    def terminate(self) -> None:
        """Press its power button, and wait until it is off; pull the plug if that takes too long."""
        with suppress(OSError):
            _monitor(self.directory / "monitor", "system_powerdown")
        if not self._over.wait(POWER_OFF_SECONDS):
            self.kill()

    def command(self, script: str, seconds: int, directory: str = "/") -> subprocess.CompletedProcess[bytes]:
        """Run a shell script inside it, as root; one that takes longer than ``seconds`` exits with 124."""
        request = json.dumps({"script": script, "seconds": seconds, "directory": directory}).encode() + b"\n"
        try:
            with socket.create_connection(("127.0.0.1", self._commands_port)) as connection:
                connection.sendall(request)
                answer = json.loads(connection.makefile("rb").readline())
        except (OSError, ValueError) as error:
            return subprocess.CompletedProcess(script, 255, b"", f"{self.id} takes no commands: {error}\n".encode())
        return subprocess.CompletedProcess(
            script, answer["status"], answer["output"].encode(), answer["errors"].encode()
        )

    def _prepare_root(self) -> None:
        """Write the disks that it boots with."""
        efs = self.directory / "efs"
        efs.mkdir(parents=True)
        for tree in self.setting.file_systems.directories():
            _tar("--format=posix", "--sparse", "-cf", str(efs / f"{tree.name}.tar"), "-C", str(tree), ".")
        hosts, commands = self.directory / "hosts", self.directory / "aws.tar"
        hosts.write_text(f"127.0.0.1 localhost {self.host_name}\n{self.setting.file_systems.hosts()}")
        pack_command_line(commands)
        words = f"{self.setting.port} {self.moto.private_ip_address}"
        script = f'#!/bin/sh\nexec /job/lab/boot/instance.sh "$1" {words}\n'
        work.pack(self.directory / "work.disk", script, {"efs": efs, "hosts": hosts, "aws.tar": commands})
        with (self.directory / "results.disk").open("wb") as disk:
            disk.truncate(machine.RESULTS_BYTES)

    def _start(self) -> None:
        """Switch it on; it has booted a minute or more later."""
        self._over = threading.Event()
        self._commands_port = free_port()
        listener = socket.create_server(("127.0.0.1", 0))
        self._metadata = MetadataServer(listener, self.metadata_tree)
        command = machine.qemu_command(image.ensure(), machine.Clock.PLAIN, self.directory, kernel_words="")
        with (self.directory / "emulator.log").open("wb") as errors:
            self._process = subprocess.Popen(
                [*command, *self._surroundings(listener.getsockname()[1])],
                env={"PATH": PATH}, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
            )  # fmt: skip
        threading.Thread(target=self._close_when_ended, name=self.id, daemon=True).start()

    def _surroundings(self, metadata_port: int) -> list[str]:
        """Return the emulator's options for what EC2 gives: identity, clock, network, a power button."""
        uuid = f"ec2{self.id.removeprefix('i-'):0>29}"
        uuid = "-".join(uuid[start:end] for start, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
        network = [
            "user", "id=net", "net=169.254.0.0/16", "restrict=on",
            f"guestfwd=tcp:{ADDRESS}:{PORT}-cmd:nc -N 127.0.0.1 {metadata_port}",
            f"guestfwd=tcp:{GATEWAY}:{self.setting.port}-cmd:nc -N 127.0.0.1 {self.setting.port}",
            f"hostfwd=tcp:127.0.0.1:{self._commands_port}-:{COMMANDS_PORT}",
        ]  # fmt: skip
        return [
            "-smbios", f"type=1,uuid={uuid},serial={uuid}", "-rtc", f"base={datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
            "-netdev", ",".join(network), "-device", "virtio-net-pci,netdev=net",
            "-monitor", f"unix:{self.directory / 'monitor'},server=on,wait=off",
        ]  # fmt: skip

    def _close_when_ended(self) -> None:
        self._process.wait()
        self._metadata.close()
        self._fetch_results()
        self._over.set()

    def _fetch_results(self) -> None:
        """Put what it left where the cloud has it: file systems, and its logs."""
        results, logs = self.directory / "results", self.directory / "upper/var/log"
        logs.mkdir(parents=True)
        shutil.copy(self.directory / "console.log", logs)
        if work.unpack(self.directory / "results.disk", results) != 0:
            return
        _tar("-xf", str(results / "log.tar"), "-C", str(logs))
        for tree in self.setting.file_systems.directories():
            after = tree.with_suffix(".new")
            after.mkdir()
            _tar("--numeric-owner", "-xpf", str(results / f"efs/{tree.name}.tar"), "-C", str(after))
            shutil.rmtree(tree)
            after.rename(tree)


def pack_command_line(archive: Path) -> None:
    """Write the AWS command line of this machine as an archive, without what the lab does not call."""
    (packages,) = AWS_COMMAND_LINE.glob("lib/python3.*/site-packages")
    with tarfile.open(archive, "w") as target:
        target.add(packages, "aws", filter=_needed)


def _needed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what is not needed; of services that are not called, the command line only wants to see the names."""
    other = OTHERS.search(entry.name)
    if UNUSED.search(entry.name) or (other and not other["file"].startswith("service-")):
        return None
    if other:
        entry.size = 0
    return entry


def _tar(*arguments: str) -> None:
    subprocess.run(["/usr/bin/tar", *arguments], check=True, env={"PATH": PATH})


def _monitor(path: Path, command: str) -> None:
    """Give the emulator a command."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(path))
        monitor.sendall(f"{command}\n".encode())
        monitor.shutdown(socket.SHUT_WR)
        while monitor.recv(4096):
            pass
