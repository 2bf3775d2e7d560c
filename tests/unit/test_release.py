"""The release: what is in it, that it works where it goes, and that it is the same bytes each time."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from deployment import agent, functions, inputs
from deployment.checksums import read_release, sha256
from deployment.errors import DeploymentError, UsageError
from deployment.release import AGENT, BACKUP, PROJECT, RESTORE, TEMPLATES, Release, project_version
from deployment.templates import filled_in
from tests.support.filesystems import is_root
from tests.support.release import Agent, Built, checkout
from tests.support.tree import assert_same, snapshot_of

needs_root = pytest.mark.skipif(not is_root(), reason="namespaces take root")


@needs_root
def test_another_checkout_builds_the_same_bytes_without_a_network(built: Built, tmp_path: Path) -> None:
    other = checkout(tmp_path / "other")
    command = ["unshare", "--net", sys.executable, "-m", "deployment", "build", "--bucket", "release"]
    ran = subprocess.run(command, cwd=other, umask=0o077, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    names = sorted(path.name for path in built.directory.iterdir())
    assert sorted(path.name for path in (other / "release").iterdir()) == names
    for name in names:
        assert (other / "release" / name).read_bytes() == (built.directory / name).read_bytes(), name


def test_every_file_is_in_the_checksums_and_the_manifest(built: Built) -> None:
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=built.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    there = {path.name for path in built.directory.iterdir()}
    assert {line.split(": ")[0] for line in checked.stdout.splitlines()} == there - {"SHA256SUMS"}

    manifest = json.loads(built.text("manifest.json"))
    assert {entry["name"] for entry in manifest["files"]} == there - {"SHA256SUMS", "manifest.json"}
    assert [entry["name"] for entry in manifest[AGENT]] == built.agent_names()
    assert {pin["name"] for pin in manifest["inputs"]} >= {"boto3", "botocore", "fpart", "rich"}
    assert (manifest["bucket"], manifest["version"]) == ("release", project_version())


def test_the_templates_name_the_bucket_the_version_and_the_agent(built: Built) -> None:
    checksum = sha256((built.directory / AGENT).read_bytes())
    for name in TEMPLATES:
        text = built.text(name)
        assert "%%" not in text
        assert f"AGENT_SHA256={checksum}\n" in text
        assert "AGENT_BUCKET=release-${AWS::Region}\n" in text
        assert f"AGENT_KEY=efs-backup/{project_version()}/{AGENT}\n" in text


def test_all_that_the_templates_fetch_is_in_the_release(built: Built) -> None:
    wanted = {key for name in TEMPLATES for key in re.findall(r"(?:S3Key: |AGENT_KEY=)\"?([^\s\"]+)", built.text(name))}
    assert wanted == {built.release.key(path.name) for path in built.directory.glob("*.zip")} | {
        built.release.key(AGENT)
    }


IMPORTS = """
import importlib, sys
sys.path.insert(0, {archive!r})
for name in {modules!r}:
    importlib.import_module(name)
print(*sorted(m.__file__ for m in sys.modules.values() if (getattr(m, "__file__", None) or "").startswith({archive!r})))
"""


@pytest.mark.parametrize("name", functions.function_names())
def test_a_function_s_archive_holds_what_its_handlers_import_and_nothing_else(built: Built, name: str) -> None:
    handlers = {
        found for text in TEMPLATES for found in re.findall(rf"Handler: ({name}\.\S+)\.\w+\n", built.text(text))
    }
    assert handlers, f"no template has a function of {name}.zip"
    archive = str(built.directory / f"{name}.zip")
    script = IMPORTS.format(archive=archive, modules=sorted(handlers))
    python = sys.executable
    ran = subprocess.run([python, "-c", script], env={}, cwd="/", capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    loaded = {path.removeprefix(f"{archive}/") for path in ran.stdout.split()}
    with zipfile.ZipFile(archive) as packed:
        assert set(packed.namelist()) == loaded


@pytest.fixture(scope="module")
def unpacked(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    return built.unpack_agent(tmp_path_factory.mktemp("agent") / "opt")


def test_the_agent_has_the_layout_that_the_instance_expects(built: Built, unpacked: Agent) -> None:
    tops = {name.partition("/")[0] for name in built.agent_names()}
    assert tops == {"LICENSE", "boot.sh", "ssm.sh", "lib", "fpart"}
    programs = [
        "boot.sh",
        "ssm.sh",
        *(f"fpart/{m}/bin/{p}" for m in ("x86_64", "aarch64") for p in ("fpart", "fpsync")),
    ]
    for name in programs:
        assert os.access(unpacked.root / name, os.X_OK), name
    assert not [name for name in built.agent_names() if name.endswith((".pyc", ".so"))]


def test_the_agent_is_small(built: Built) -> None:
    assert (built.directory / AGENT).stat().st_size < 3_500_000, "an instance fetches it each night"


@pytest.mark.parametrize(("machine", "known"), [("x86_64", "X86-64"), ("aarch64", "AArch64")])
def test_fpart_needs_no_library_of_the_instance(unpacked: Agent, machine: str, known: str) -> None:
    program = unpacked.root / "fpart" / machine / "bin" / "fpart"
    shown = subprocess.run(["readelf", "-hlW", program], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"Machine: .*{known}", shown)
    assert "INTERP" not in shown
    assert "DYNAMIC" not in shown


def grow(root: Path, files: int = 40) -> Path:
    """A small tree with odd names."""
    for number in range(files):
        folder = root / f"folder {number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"-file\n'{number}").write_bytes(b"x" * number * 100)
    (root / "empty").mkdir()
    (root / "link").symlink_to("empty")
    return root


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_fpart_packs_every_file_once(unpacked: Agent, machine: str, tmp_path: Path) -> None:
    program = [str(unpacked.root / "fpart" / machine / "bin" / "fpart")]
    if machine != os.uname().machine:
        emulator = shutil.which(f"qemu-{machine}-static")
        if emulator is None:
            pytest.skip(f"qemu-{machine}-static is not installed")
        program.insert(0, emulator)
    tree = grow(tmp_path / "tree")
    subprocess.run([*program, "-f", "9", "-0", "-o", tmp_path / "part", "."], cwd=tree, check=True, capture_output=True)

    parts = sorted(tmp_path.glob("part.*"))
    packed = [name for part in parts for name in part.read_text().rstrip("\0").split("\0")]
    wanted = [f"./{path.relative_to(tree)}" for path in tree.rglob("*") if path.is_symlink() or path.is_file()]
    assert len(parts) > 4
    assert sorted(packed) == sorted(wanted)


@needs_root
def test_the_agent_backs_up_by_itself(unpacked: Agent, tmp_path: Path) -> None:
    """Its own packages and fpsync, the system's Python and rsync, nothing of this project or its environment."""
    source, backup = grow(tmp_path / "source", 500), tmp_path / "backup"
    backup.mkdir()
    ran = unpacked.python("-m", "efs_backup", "backup", "--source", str(source), "--backup", str(backup), "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["files_transferred"] == 501
    assert_same(snapshot_of(str(source)), snapshot_of(str(backup / "efs-backup" / "daily.0")))


CLIENTS = """
import boto3, sys
from rich.console import Console
from rich.progress import Progress
for name in {services!r}:
    assert boto3.client(name, region_name="eu-central-1").meta.service_model.operation_names
Progress(console=Console(force_terminal=True)).stop()
assert all({lib!r} in m.__file__ for m in (sys.modules["boto3"], sys.modules["botocore"], sys.modules["rich"]))
print(*boto3.Session().get_available_services())
"""


def test_the_agent_has_a_client_for_each_service_it_calls_and_no_other(unpacked: Agent) -> None:
    script = CLIENTS.format(services=agent.SERVICES, lib=str(unpacked.root / "lib"))
    ran = unpacked.python("-c", script)
    assert ran.returncode == 0, ran.stderr
    assert set(ran.stdout.split()) == set(agent.SERVICES)


def test_the_agent_s_code_asks_for_just_these_services() -> None:
    asked = {service for path in agent.SOURCE.rglob("*.py") for service in clients(path)}
    assert asked == set(agent.SERVICES)


def clients(path: Path) -> list[str]:
    """The services that a module names where it makes clients."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    made = [call.args for call in calls if getattr(call.func, "attr", "") in ("client", "_client") and call.args]
    return [str(words[0].value) for words in made if isinstance(words[0], ast.Constant)]


def test_only_the_newest_description_of_a_service_is_needed() -> None:
    old, new = (
        "botocore/data/dynamodb/2011-12-05/service-2.json.gz",
        "botocore/data/dynamodb/2012-08-10/service-2.json.gz",
    )
    others = ["botocore/data/iam/2010-05-08/service-2.json.gz", "botocore/data/dynamodb/2012-08-10/examples-1.json"]
    kept = ["botocore/data/endpoints.json", "botocore/client.py", new]
    assert agent.needed([old, *others, *kept, "botocore-1.dist-info/RECORD", "botocore/docs/a.rst"]) == kept


def test_a_wheel_for_one_architecture_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "awscrt-1.0-cp311-abi3-manylinux_2_17_x86_64.whl"
    with pytest.raises(DeploymentError, match=r"awscrt-1\.0.* is not pure Python"):
        list(agent.wheel_entries(wheel))


def test_inputs_that_are_not_as_pinned_are_not_used(tmp_path: Path) -> None:
    for path in (PROJECT / "build" / "inputs").iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / inputs.FPART_SOURCE).write_bytes(b"something else")
    assert inputs.missing(tmp_path) == ["fpart 1.7.0"]
    with pytest.raises(DeploymentError, match=r"lacks fpart 1\.7\.0: fetch them with: "):
        inputs.verified(tmp_path)


def test_a_release_that_was_changed_is_not_used(built: Built, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(built.directory, tmp_path / "release"))
    assert read_release(copied) == built.release
    (copied / BACKUP).write_text("Resources: {}")
    with pytest.raises(DeploymentError, match=rf"{BACKUP} is not as it was built"):
        read_release(copied)
    with pytest.raises(DeploymentError, match=r"there is no release in .*: build one with: make release"):
        read_release(tmp_path)


def test_a_build_that_fails_leaves_the_old_release(built: Built, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(built.directory, tmp_path / "release"))
    command: list[str | Path] = [sys.executable, "-m", "deployment", "build", "--release", copied]
    ran = subprocess.run(command, cwd=PROJECT, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert re.fullmatch(r"deployment: \S+ is not installed: install it with: deployment/setup.sh release\n", ran.stderr)
    assert read_release(copied) == built.release
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


@pytest.mark.parametrize("bucket", ["", "My-Bucket", "with.dot", "-a-b", "a" * 49, "under_score"])
def test_a_name_that_no_bucket_can_have_is_refused(bucket: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(bucket))):
        Release(bucket, "efs-backup", "v1")


def test_the_longest_bucket_name_fits_every_region(built: Built) -> None:
    regions = re.findall(r"^    ([a-z-]+-\d): \{\"InstanceSize\"", built.text(BACKUP), re.MULTILINE)
    assert len(regions) > 30
    assert max(len(Release("a" * 48, "s", "v1").bucket_in(region)) for region in regions) <= 63


def test_a_token_that_nobody_fills_in_stops_the_build() -> None:
    release = Release("bucket", "efs-backup", "v1")
    assert filled_in("%%BUCKET%%/%%SOLUTION%%/%%VERSION%%/%%AGENT_SHA256%%", release, "f" * 64).startswith("bucket/")
    with pytest.raises(DeploymentError, match="%%REGION%%"):
        filled_in("%%REGION%%", release, "")


def test_versions_agree() -> None:
    version = project_version().removeprefix("v")
    changes = (PROJECT / "CHANGELOG.md").read_text()
    ran = subprocess.run(
        [sys.executable, "-m", "efs_backup", "--version"],
        env={"PYTHONPATH": str(agent.SOURCE)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout == f"efs-backup {version}\n"
    newest = re.search(r"^## (\S+)", changes, re.MULTILINE)
    assert newest is not None
    assert newest[1] == version


def test_the_stack_the_functions_and_the_agent_are_told_the_same_version(built: Built) -> None:
    told = {
        name: set(re.findall(r"(?:VERSION=|SOLUTION_VERSION: |SolutionVersion: )\"?([^\s\"]+)", built.text(name)))
        for name in TEMPLATES
    }
    assert told == {BACKUP: {project_version()}, RESTORE: {project_version()}}


def test_pins_agree_with_those_of_the_environment() -> None:
    constraints = (PROJECT / "constraints.txt").read_text().lower().split()
    for pin in inputs.wheel_pins():
        assert f"{pin.name}=={pin.version}" in constraints
