"""The lab's own decisions: what is packed, what a verdict is, how a table reads. Booting is tried by `make lab`."""

import operator
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from lab import bench, fit, host, image, machine, suite, table, work
from lab.guest import tree
from lab.instance import pack_command_line


def test_the_same_tree_and_nights_come_out_each_time(tmp_path: Path) -> None:
    def grown(name: str) -> dict[str, tuple[int, int, bytes]]:
        root = tmp_path / name
        for what in ("create DIR --files 60", "night DIR --number 1 --rate 0.2"):
            words = what.replace("DIR", str(root)).split()
            subprocess.run([sys.executable, str(work.GUEST / "tree.py"), *words], check=True)
        files = (path for path in root.rglob("*") if path.is_file())
        return {
            str(path.relative_to(root)): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
            for path in files
        }

    first = grown("first")
    assert first == grown("second")
    assert len(first) == 60
    assert sum("night01" in name for name in first) == 6


def test_five_thousand_files_are_in_121_directories() -> None:
    assert len(tree.directories(5_000)) == 121
    assert len(tree.directories(20_000)) == 481


def test_a_test_that_never_reports_has_failed() -> None:
    report = suite.Report(["one", "two", "three"])
    report.hear("pass one 3")
    report.hear("fail two 4 because")
    report.hear("pass nothing that was asked for")
    assert report.close() == "1 passed, 2 failed"
    assert report.failed == ["two", "three"]


@pytest.mark.parametrize(("words", "status"), [((), 2), (("--where-possible",), 0)])
def test_what_the_host_lacks_is_named(words: tuple[str, ...], status: int) -> None:
    command = [sys.executable, "-m", "lab", "test", "--short", *words]
    done = subprocess.run(
        command, cwd=work.REPOSITORY, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False
    )
    (line,) = (done.stdout + done.stderr).splitlines()
    assert done.returncode == status
    assert "the lab needs these Debian packages: apt-get install " in line
    assert "netcat-openbsd qemu-system-x86" in line


def test_the_short_run_is_part_of_all() -> None:
    everything, short = suite.names(short=False, chosen=[]), suite.names(short=True, chosen=[])
    assert 0 < len(short) < len(everything)
    assert set(short) < set(everything)


def test_an_unknown_test_is_named() -> None:
    with pytest.raises(host.LabError, match="no test is called 'nosuch'"):
        suite.names(short=False, chosen=["nosuch"])


def test_a_packed_job_holds_script_library_and_product_without_compiled_files(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    work.pack(disk, "#!/bin/bash\nexit 7\n", work.product())
    with tarfile.open(disk) as archive:
        names = archive.getnames()
    assert {"run", "lab/nfs.sh", "python/efs_backup/__init__.py", "python/rich/__init__.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize(("status", "wanted"), [("5\n", 5), ("", None), (None, None)])
def test_no_status_is_not_success(tmp_path: Path, status: str | None, wanted: int | None) -> None:
    left = tmp_path / "left"
    left.mkdir()
    if status is not None:
        (left / "status").write_text(status)
    with tarfile.open(tmp_path / "disk", "w") as archive:
        archive.add(left, ".")
    assert work.unpack(tmp_path / "disk", tmp_path / "results") == wanted


def test_a_disk_nobody_wrote_to_has_no_status_and_is_soon_read(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(machine.RESULTS_BYTES)
    assert work.unpack(disk, tmp_path / "results") is None


def test_a_table_has_ratios_to_ours_and_our_operations() -> None:
    measures = [
        table.Measure("ours", "night", 1, 1.5, 3_000, {"link": 1_000, "lookup": 2_000}),
        table.Measure("published", "night", 1, 30.0, 36_000, {}),
    ]
    page = table.markdown(table.Scenario(5_000, 0.01), measures)
    assert "36,000 RPCs (12.0x), 30.0 s (20.0x)" in page
    assert "LOOKUP 2,000, LINK 1,000" in page


def test_a_guest_record_becomes_a_measure() -> None:
    record = {"label": "quiet 3ms 500 0.01", "status": 0, "seconds": 0.5, "rpcs": 4, "operations": {"read": 4}}
    measure = table.Measure("borg", "quiet", 3, 0.5, 4, {"read": 4})
    assert table.from_record("borg", record) == (table.Scenario(500, 0.01), measure)


def test_the_fit_finds_what_a_night_is_made_of() -> None:
    costs = (120.0, 6.0, 3.0, 2.0)
    scenarios = [table.Scenario(files, rate) for files in (500, 2_000, 8_000) for rate in (0.001, 0.01, 0.05)]
    found = {
        scenario: [
            table.Measure("ours", "night", 1, 1.0, round(sum(map(operator.mul, costs, fit.terms(scenario, 7)))), {}),
            table.Measure("ours", "quiet", 1, 1.0, 5, {}),
            table.Measure("borg", "night", 1, 1.0, 5, {}),
        ]
        for scenario in scenarios
    }
    nights = fit.nights(found, 1, 7)
    assert len(nights) == len(scenarios)
    assert fit.solve(nights) == pytest.approx(costs, rel=0.02)
    assert "8,000 | 5.00%" in fit.markdown(nights)


def test_a_night_too_small_to_change_anything_has_only_directories() -> None:
    assert fit.terms(table.Scenario(500, 0.001), 7) == (1.0, 13.0, 0.0, 0.0)


def test_virtual_time_is_one_processor_that_skips_idle_time(tmp_path: Path) -> None:
    kept = image.Image(tmp_path / "root", tmp_path / "kernel", tmp_path / "initrd")
    virtual = machine.qemu_command(kept, machine.Clock.VIRTUAL, tmp_path)
    plain = machine.qemu_command(kept, machine.Clock.PLAIN, tmp_path)
    assert "shift=0,sleep=off,align=off" in virtual
    assert virtual[virtual.index("-smp") + 1] == "1"
    assert plain[plain.index("-smp") + 1] == "2"
    assert "-icount" not in plain


def test_the_guest_gets_the_plan() -> None:
    scenarios = [table.Scenario(5_000, 0.001), table.Scenario(500, 0.01)]
    plan = bench.Plan(
        ["ours"], scenarios, [1, 3], nights=9, retain=7, workers=None, clock=machine.Clock.VIRTUAL, steps=["night"],
        trace=False,
    )  # fmt: skip
    guest = bench.guest_script(plan, "ours")
    assert "export LATENCIES='1 3'\n" in guest
    assert "export SCENARIOS='5000:0.001 500:0.01'\n" in guest
    check = subprocess.run(["bash", "-n"], input=guest, text=True, check=False)
    assert check.returncode == 0


def test_an_instance_boots_systemd_and_a_job_does_not(tmp_path: Path) -> None:
    kept = image.Image(tmp_path / "root", tmp_path / "kernel", tmp_path / "initrd")
    words = [machine.qemu_command(kept, machine.Clock.PLAIN, tmp_path, *given) for given in ((), ("",))]
    job, instance = (command[command.index("-append") + 1] for command in words)
    assert job == f"{instance} init=/usr/local/sbin/lab-init"


def test_the_command_line_of_an_instance_calls_what_user_data_calls(tmp_path: Path) -> None:
    packed, unpacked = tmp_path / "aws.tar", tmp_path / "unpacked"
    pack_command_line(packed)
    with tarfile.open(packed) as archive:
        assert not [name for name in archive.getnames() if "/examples/" in name or "/pip/" in name]
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", packed, "-C", unpacked], check=True)
    variables = {
        "PYTHONPATH": str(unpacked / "aws"), "AWS_ENDPOINT_URL": "http://localhost:1", "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    for words in ("s3 cp s3://b/k to", "dynamodb list-tables", "sns list-topics", "autoscaling describe-tags"):
        command = ["/usr/bin/python3", "-S", "-m", "awscli", *words.split()]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        assert "Could not connect to the endpoint URL" in done.stderr, done.stderr


def test_comments_are_no_packages() -> None:
    assert image.package_names("# kernel\nlinux\n\nrsync # copies\n") == ["linux", "rsync"]
