"""EC2 instances: processes that run the real user data in namespaces of their own.

An instance has its own mounts (a throw-away layer over this machine's root), processes, host name and network. Its
network holds nothing but itself, the metadata service, and the cloud's endpoint on ``localhost``: like a subnet
without internet. What it leaves out: the boot of an image, cloud-config, a size, a region's other services.
"""

import base64
import json
import logging
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from moto.ec2.models.instances import Instance as MotoInstance
from moto.iam.models import iam_backends

from localcloud import clock, metadata, namespaces
from localcloud.clock import iso
from localcloud.filesystems import FileSystems
from localcloud.identities import Identities, Identity
from localcloud.patching import replace

GUEST = Path(__file__).with_name("guest")
AWS_COMMAND_LINE = Path(__file__).resolve().parent.parent / ".venv-aws"  # preinstalled on Amazon Linux
GUEST_AWS = "/usr/lib/localcloud/aws"  # where an instance sees it, wherever this machine has it
DIE_WITH_PARENT = ["/usr/bin/setpriv", "--pdeathsig", "KILL"]
UNSHARE, NSENTER = "/usr/bin/unshare", "/usr/bin/nsenter"
GUEST_CLOCK = Path("/usr/lib/localcloud")
SHUTDOWN_COMMANDS = ("shutdown", "poweroff", "halt", "reboot")
TOKEN_HOURS = 6
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
log = logging.getLogger("localcloud.instances")


@dataclass(frozen=True)
class Setting:
    """What all instances of a cloud share."""

    directory: Path  # of the cloud; holds file-systems/ and the clock
    port: int
    region: str
    account: str
    identities: Identities
    file_systems: FileSystems
    packages: set[str] = field(default_factory=lambda: {"mount.efs", "mount.nfs4", "mount.nfs"})

    @property
    def endpoint(self) -> str:
        """Return the cloud's endpoint, as seen from everywhere."""
        return f"http://localhost:{self.port}"


class Instance:
    """One running instance. ``moto`` is moto's record of it."""

    def __init__(self, moto: MotoInstance, setting: Setting, *, tags_in_metadata: bool) -> None:
        """Make its root and start it.

        Raises:
            RuntimeError: it does not come up.
        """
        self.moto, self.id, self.setting = moto, str(moto.id), setting
        self.directory = setting.directory / "instances" / self.id
        self.lifecycle_state = "InService"
        self.spot_notice: str | None = None
        self.tags_in_metadata = tags_in_metadata
        self.host_name = str(moto.private_dns_name)
        self.role = role_of(moto, setting.account)
        self._issue_credentials()
        self._lock = threading.Lock()
        self._prepare_root()
        self._start()

    @property
    def alive(self) -> bool:
        """Say whether it still runs."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """Return what the user data wrote, as in /var/log/cloud-init-output.log."""
        path = self.directory / "upper/var/log/cloud-init-output.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self) -> None:
        """End it at once, as when its host dies."""
        with self._lock:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGKILL)
                self._process.wait()
                self._servers_closed()

    def terminate(self) -> None:
        """End it as EC2 does when it is told to."""
        self.kill()

    def close(self) -> None:
        """End it, and remove all but its logs."""
        self.kill()
        logs = self.directory / "upper/var/log"
        kept = self.setting.directory / "logs" / self.id
        if logs.is_dir() and not kept.exists():
            shutil.copytree(logs, kept, symlinks=True, ignore_dangling_symlinks=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def command(self, script: str, seconds: int, directory: str = "/") -> subprocess.CompletedProcess[bytes]:
        """Run a shell script inside the instance, as root; one that takes longer than ``seconds`` exits with 124."""
        enter = [NSENTER, "--target", str(self._init), "--all", "env", "-i"]
        variables = [f"{name}={value}" for name, value in self._environment().items()]
        stage = (
            'file=$(mktemp /tmp/_script.XXXXXX) && cat >"$file" && cd "$2" && exec timeout "$1" sh "$file" </dev/null'
        )
        shell = ["sh", "-c", stage, "sh", str(seconds), directory]
        return subprocess.run(
            [*enter, *variables, *shell], input=script.encode(), capture_output=True, check=False, env={"PATH": PATH}
        )

    def metadata_tree(self) -> metadata.Tree:
        """Return what the metadata service says now."""
        moto, zone = self.moto, self.moto.placement.zone
        document = {
            "accountId": self.setting.account, "architecture": moto.architecture, "availabilityZone": zone,
            "imageId": moto.image_id, "instanceId": self.id, "instanceType": moto.instance_type,
            "privateIp": moto.private_ip_address, "region": self.setting.region, "version": "2017-09-30",
        }  # fmt: skip
        tree = {
            "meta-data/ami-id": str(moto.image_id),
            "meta-data/hostname": self.host_name,
            "meta-data/local-hostname": self.host_name,
            "meta-data/instance-id": self.id,
            "meta-data/instance-type": str(moto.instance_type),
            "meta-data/instance-life-cycle": "spot" if moto.lifecycle == "spot" else "on-demand",
            "meta-data/local-ipv4": str(moto.private_ip_address),
            "meta-data/placement/availability-zone": str(zone),
            "meta-data/placement/region": self.setting.region,
            "meta-data/services/domain": "amazonaws.com",
            "meta-data/services/partition": "aws",
            "meta-data/autoscaling/target-lifecycle-state": self.lifecycle_state,
            "dynamic/instance-identity/document": json.dumps(document),
            "user-data": user_data(moto).decode("utf-8", "replace"),
        }
        if self.tags_in_metadata:
            tree.update({f"meta-data/tags/instance/{tag['key']}": tag["value"] for tag in moto.get_tags()})
        if self.spot_notice:
            tree["meta-data/spot/instance-action"] = metadata.spot_notice(self.spot_notice)
        return {**tree, **self._role_tree()}

    def _role_tree(self) -> metadata.Tree:
        if not self.role:
            return {}
        name, profile = self.role.rpartition("/")[2], str((self.moto.iam_instance_profile or {}).get("Arn", ""))
        keys = {
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": iso(time.time()),
            "AccessKeyId": self._credentials.access_key, "SecretAccessKey": self._credentials.secret_key,
            "Token": self._credentials.token,
            "Expiration": (datetime.now(UTC) + timedelta(hours=TOKEN_HOURS)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }  # fmt: skip
        return {
            "meta-data/iam/info": json.dumps({"Code": "Success", "InstanceProfileArn": profile}),
            f"meta-data/iam/security-credentials/{name}": json.dumps(keys),
        }

    def _issue_credentials(self) -> None:
        identity = Identity(self.role, f"instance {self.id}", self.kill)
        self._credentials = self.setting.identities.issue(identity)

    def _prepare_root(self) -> None:
        upper = self.directory / "upper"
        for name in ("etc", "usr/sbin", "usr/bin", "usr/lib/localcloud/aws", "var/lib/cloud/instance", "var/log"):
            (upper / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "work").mkdir()
        (upper / "etc/hostname").write_text(self.host_name.split(".")[0] + "\n")
        (upper / "etc/hosts").write_text(f"127.0.0.1 localhost {self.host_name}\n{self.setting.file_systems.hosts()}")
        (upper / "etc/resolv.conf").write_text("# no name server: names are in /etc/hosts\n")
        (upper / "etc/localcloud-endpoint").write_text(self.setting.endpoint + "\n")
        environment = "".join(f"{name}={value}\n" for name, value in self._environment().items())
        (upper / "etc/environment").write_text(environment)
        (upper / "var/lib/cloud/instance/user-data.txt").write_bytes(user_data(self.moto))
        (upper / "var/log/cloud-init-output.log").write_text("")
        shutil.copy(self.setting.directory / clock.LIBRARY, upper / "usr/lib/localcloud")
        for package in self.setting.packages:
            shutil.copy(GUEST / "mount-helper", upper / "usr/sbin" / package)
        if AWS_COMMAND_LINE.exists():
            (upper / "usr/bin/aws").write_text(f'#!/bin/sh\nexec {GUEST_AWS}/bin/python {GUEST_AWS}/bin/aws "$@"\n')
            (upper / "usr/bin/aws").chmod(0o755)
        for command in SHUTDOWN_COMMANDS:
            shutil.copy(GUEST / "shutdown", upper / "usr/sbin" / command)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": PATH,
            "AWS_ENDPOINT_URL": self.setting.endpoint,
            **clock.environment(GUEST_CLOCK),
        }

    def _start(self) -> None:
        namespaces_of_its_own = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"]
        places = [GUEST / "init", self.directory, self.setting.directory, AWS_COMMAND_LINE]
        init_command = ["bash", *map(str, places)]
        with open(self.directory / "init.log", "wb") as errors:
            self._process = subprocess.Popen(
                [*DIE_WITH_PARENT, UNSHARE, *namespaces_of_its_own, *init_command],
                env={"PATH": PATH}, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        assert self._process.stdin and self._process.stdout
        if self._process.stdout.readline().strip() != b"ready":
            raise RuntimeError(f"{self.id} does not start: {(self.directory / 'init.log').read_text()}")
        init = namespaces.child_of(self._process.pid)
        assert init is not None, "the first process said it is ready"
        self._init = init
        self._relay = namespaces.Relay(namespaces.listen(init, "127.0.0.1", self.setting.port), self.setting.port)
        listener = namespaces.listen(init, metadata.ADDRESS, metadata.PORT)
        self._metadata = metadata.MetadataServer(listener, self.metadata_tree)
        self._process.stdin.write(b"go\n")
        self._process.stdin.close()
        threading.Thread(target=self._close_when_ended, name=self.id, daemon=True).start()

    def _close_when_ended(self) -> None:
        self._process.wait()
        with self._lock:
            self._servers_closed()

    def _servers_closed(self) -> None:
        self._relay.close()
        self._metadata.close()


class Instances:
    """All instances of the cloud that were started, by id."""

    def __init__(self, setting: Setting, kind: type[Instance] = Instance) -> None:
        """Start with none; each will be of this kind."""
        self.setting, self._kind = setting, kind
        self._lock = threading.Lock()
        self._by_id: dict[str, Instance] = {}

    def install(self) -> None:
        """Have moto's TerminateInstances end the process."""
        instances = self

        def terminate(original: Any) -> Any:
            def patched(self: MotoInstance, *arguments: Any, **keywords: Any) -> Any:
                result = original(self, *arguments, **keywords)
                if running := instances.find(self.id):
                    running.terminate()
                return result

            return patched

        replace(MotoInstance, "terminate", terminate)

    def start(self, moto: MotoInstance, *, tags_in_metadata: bool = False) -> Instance:
        """Start what moto has recorded."""
        instance = self._kind(moto, self.setting, tags_in_metadata=tags_in_metadata)
        with self._lock:
            self._by_id[instance.id] = instance
        return instance

    def find(self, instance_id: str) -> Instance | None:
        """Return an instance that was started, whether or not it still runs."""
        return self._by_id.get(instance_id)

    def running(self) -> list[Instance]:
        """Return the instances that run."""
        with self._lock:
            return [instance for instance in self._by_id.values() if instance.alive]

    def close(self) -> None:
        """End all."""
        with self._lock:
            for instance in self._by_id.values():
                instance.close()


def user_data(moto: MotoInstance) -> bytes:
    """Return the user data of an instance, decoded."""
    return base64.b64decode(moto.user_data.as_bytes()) if moto.user_data else b""


def role_of(moto: MotoInstance, account: str) -> str:
    """Return the ARN of the role in an instance's profile, or the empty string."""
    wanted = moto.iam_instance_profile or {}
    for profile in iam_backends[account]["aws"].instance_profiles.values():
        if profile.arn == wanted.get("Arn") or profile.name == wanted.get("Name"):
            return str(profile.roles[0].arn) if profile.roles else ""
    return ""
