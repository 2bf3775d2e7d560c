"""The commands of `python -m deployment`, run as a person runs them, against a local cloud."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from deployment.links import BEGIN, END
from deployment.release import PROJECT
from localcloud import LocalCloud, Stack
from localcloud.solution import Release

DONE, NOT_DONE, BAD_USE = 0, 1, 2


@dataclass(frozen=True)
class Finished:
    """How a command ended, and what it said."""

    status: int
    output: str
    errors: str

    def expect(self, status: int) -> Finished:
        """Fail, with all that it said, unless it ended with ``status``; what went wrong is said in one line."""
        assert self.status == status, f"status {self.status}\n{self.output}\n{self.errors}"
        if status != DONE:
            assert self.errors.startswith("deployment: "), self.errors
            assert self.errors.count("\n") == 1, self.errors
        return self


@dataclass(frozen=True)
class Deployment:
    """Runs commands with the release in ``directory`` against a cloud."""

    cloud: LocalCloud
    directory: Path

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of a person who works in the cloud, with variables of theirs."""
        account = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
        place = {"AWS_ENDPOINT_URL": self.cloud.endpoint, "AWS_REGION": self.cloud.region}
        own = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "RELEASE": str(self.directory)}
        return {**own, **account, **place, **variables}

    def run(self, command: str, *options: str, **variables: str) -> Finished:
        """Run a command; nobody can be asked anything."""
        words = [sys.executable, "-m", "deployment", command, *options]
        ran = subprocess.run(
            words,
            cwd=PROJECT,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Finished(ran.returncode, ran.stdout, ran.stderr)


def readme(path: Path) -> Path:
    """Make a README with a place for the launch buttons."""
    path.write_text(f"# Title\n\n{BEGIN}\nnothing yet\n{END}\n\nText.\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class PublishedRelease(Release):
    """A release that gets into the cloud as a person publishes it."""

    directory: Path = Path()

    def upload(self, cloud: LocalCloud) -> None:
        """Publish it."""
        notes = readme(cloud.directory / "README.md")
        Deployment(cloud, self.directory).run("publish", "--readme", str(notes)).expect(DONE)


def deployed(cloud: LocalCloud, name: str) -> Stack:
    """Return a stack that was made by a command."""
    (stack,) = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return Stack(name, stack["StackId"], {pair["OutputKey"]: str(pair["OutputValue"]) for pair in stack["Outputs"]})


@dataclass(frozen=True)
class Link:
    """A launch link, taken apart."""

    region: str
    fields: dict[str, str]

    @property
    def template(self) -> str:
        """The address of the template."""
        return self.fields["templateURL"]

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters that it fills in."""
        marked = {name: value for name, value in self.fields.items() if name.startswith("param_")}
        return {name.removeprefix("param_"): value for name, value in marked.items()}


def parsed(link: str) -> Link:
    """Take a launch link apart, as the console does: the fields are in the part after the hash sign."""
    address = urlsplit(link)
    page, _, query = address.fragment.partition("?")
    assert page == "/stacks/create/review", link
    region = parse_qs(address.query)["region"][0]
    assert address.netloc.startswith(f"{region}.console."), link
    fields = parse_qs(query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in fields.values()), link
    return Link(region, {name: values[0] for name, values in fields.items()})
